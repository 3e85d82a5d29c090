"""The three weights at high temperature, as power series in 1/beta (JS-11)."""

from __future__ import annotations

from typing import Any

import sympy

from proofs.arithmetic import sigmoid
from proofs.claim import claim
from proofs.divergences import js_ratio, kl_ratio
from proofs.evidence import Case, every
from proofs.symbolic import equal, positive, real, summed, vanishes
from proofs.verdict import THEOREM

HALF = sympy.Rational(1, 2)


def moments() -> tuple[Any, Any, Any, Any, Any]:
    """Three atoms in symbols: masses, advantages, mean, variance and third central moment."""
    first, second = positive("D1 D2")
    masses = (first, second, 1 - first - second)
    advantage = real("A1 A2 A3")
    mean = summed(m * a for m, a in zip(masses, advantage, strict=True))
    variance = summed(m * (a - mean) ** 2 for m, a in zip(masses, advantage, strict=True))
    third = summed(m * (a - mean) ** 3 for m, a in zip(masses, advantage, strict=True))
    return masses, advantage, mean, variance, third


def taylor(ratio: Any, masses: Any, advantage: Any) -> list[tuple[Any, Any]]:
    """First and second order in t = 1/beta of the exactly normalised w = ratio(tA - nu(t)), for ratio(0) = 1.

    nu = n1 t + n2 t^2 follows order by order from E[w] = 1: n1 = E A, and slope n2 = E[curvature (A - E A)^2 / 2].
    """
    y = sympy.Symbol("y")
    slope, curvature = (sympy.diff(ratio(y), y, k).subs(y, 0) for k in (1, 2))
    mean = summed(m * a for m, a in zip(masses, advantage, strict=True))
    first = [slope * (a - mean) for a in advantage]
    bend = summed(m * curvature / 2 * (a - mean) ** 2 for m, a in zip(masses, advantage, strict=True))
    second = [curvature / 2 * (a - mean) ** 2 - bend for a in advantage]
    return list(zip(first, second, strict=True))


def quotient_series(top: tuple[Any, Any, Any], bottom: tuple[Any, Any, Any]) -> tuple[Any, Any]:
    """First and second order of a quotient of two power series whose constant terms agree."""
    first = (top[1] - bottom[1]) / bottom[0]
    return first, (top[2] - bottom[2]) / bottom[0] - first * bottom[1] / bottom[0]


@claim(
    "JS-11",
    source=("toolkit", "002 §7, §9 (need it)"),
    statement="How the three weights depart from uniform at high temperature.",
    formula=(
        "x = (A−Ā)/β:  KL 1 + x + ½(x²−Var x);  JS 1 + 2x + 3(x²−Var x);  sigmoid 1 + x/2 − (Ā/4β)x;  each + O(β⁻³)"
    ),
    stated=THEOREM,
    corrected="The true JSD (generator f/2) has slope 4. The sigmoid's second order depends on Ā: no shift invariance.",
    method="S",
    derivation=(
        "w = g(tA − ν(t)) with t = 1/β, g(0) = 1. First order of E[w] = 1: ν = tĀ, so w = 1 + g'(0) t(A−Ā).",
        "Second order: ½g''(0) t²(A−Ā)² − g'(0)n₂t², and E[w] = 1 subtracts the mean: ½g''(0)(x² − Var x).",
        "KL: g' = g'' = 1. JS: g = e^y/(2−e^y), g'(0) = 2, g''(0) = 6. Sigmoid: expand σ(tA)/E σ(tA) directly.",
    ),
    twins={
        "slope of JS 4": {"js": (4, 3)},
        "second order of JS 2": {"js": (2, 2)},
        "KL without the half": {"kl": (1, 1)},
        "the sigmoid's mean term dropped": {"sigmoid_second": lambda x, mean: 0 * x},
        "the sigmoid's mean term with factor 1/2": {"sigmoid_second": lambda x, mean: -mean * x / 2},
    },
)
def js_11(
    case: Case,
    *,
    kl: Any = (1, HALF),
    js: Any = (2, 3),
    sigmoid_second: Any = lambda x, mean: -mean * x / 4,
) -> None:
    """Taylor coefficients of three symbolic atoms, the multiplier expanded with them."""
    masses, advantage, mean, variance, _ = moments()
    near = {"D1": sympy.Rational(1, 5), "D2": sympy.Rational(3, 7)}
    for name, ratio, (c1, c2) in (("KL", kl_ratio, kl), ("JS", js_ratio, js)):
        terms = taylor(ratio, masses, advantage)
        for order in (0, 1):
            average = summed(m * term[order] for m, term in zip(masses, terms, strict=True))
            case.support("S", f"{name}: the mean stays one in order {order + 1}", vanishes(average, **near))
        answers = []
        for (first, second), a in zip(terms, advantage, strict=True):
            answers.append(equal(first, c1 * (a - mean), **near))
            answers.append(equal(second, c2 * ((a - mean) ** 2 - variance), **near))
        case.theorem("S", f"{name}: 1 + {c1}x + {c2}(x² − Var x)", every(answers, "zero remainder in both orders"))
    true_jsd = taylor(lambda y: js_ratio(2 * y), masses, advantage)
    slopes = (equal(first, 4 * (a - mean), **near) for (first, _), a in zip(true_jsd, advantage, strict=True))
    case.corrected("S", "the JSD's own generator f/2 has slope 4", every(slopes))
    t = sympy.Symbol("t", real=True)
    orders = [sympy.diff(sigmoid(t), t, k).subs(t, 0) / sympy.factorial(k) for k in range(3)]
    tops = [tuple(order * a**k for k, order in enumerate(orders)) for a in advantage]
    _, slope, bend = (summed(m * top[k] for m, top in zip(masses, tops, strict=True)) for k in range(3))
    answers = []
    for a, top in zip(advantage, tops, strict=True):
        first, second = quotient_series(top, (orders[0], slope, bend))
        answers.append(equal(first, (a - mean) / 2, **near))
        answers.append(equal(second, sigmoid_second(a - mean, mean), **near))
    case.theorem("S", "sigmoid: 1 + x/2 − (Ā/4β)x", every(answers, "zero remainder in both orders"))
