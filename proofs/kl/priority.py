"""Which priorities are optimal for some regulariser, and which for none (KL-09)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import sympy
from flint import fmpq

from proofs import balls
from proofs.arithmetic import exp, log
from proofs.claim import claim
from proofs.evidence import Answer, Case, every, some
from proofs.symbolic import equal, positive, sign
from proofs.verdict import THEOREM, TRUE


def generator_slopes() -> dict[str, Any]:
    """f' of five generators on w > 0."""
    return {
        "KL": sympy.log,
        "JS": lambda w: sympy.log(2 * w / (w + 1)),
        "chi-square": lambda w: w - 1,
        "Hellinger": lambda w: 1 - w ** sympy.Rational(-1, 2),
        "reverse KL": lambda w: 1 - 1 / w,
    }


def power(base: fmpq, exponent: fmpq) -> fmpq:
    """base to a rational power, exactly; ValueError where that is irrational."""
    return fmpq(0) if base == 0 else exp(exponent * log(base))


def per_priority(delta: fmpq, alpha: fmpq) -> fmpq:
    """PER: |delta|^alpha."""
    return power(abs(delta), alpha)


def signed_priority(y: fmpq, alpha: fmpq) -> fmpq:
    """(1 + y)_+^alpha with y = (A - nu)/beta."""
    return power(max(1 + y, fmpq(0)), alpha)


def power_slope(w: Any, alpha: Any) -> Any:
    """f'(w) = w^{1/alpha} - 1 of the power divergence."""
    return w ** (1 / alpha) - 1


EXPONENTS = (fmpq(1, 3), fmpq(1, 2), fmpq(1), fmpq(2), fmpq(3))
DELTAS = tuple(sign_ * fmpq(k) ** 6 for k in (0, 1, 2, fmpq(3, 2)) for sign_ in (-1, 1))
"""TD errors that are sixth powers, so that every exponent gives a rational priority."""


@claim(
    "KL-09",
    source=("000 §5", "001 related work"),
    statement="The priority should match the regulariser rather than be an arbitrary power of the TD error.",
    formula="w* non-decreasing in A for every f;  |δ|^α is not;  f'(w) = w^{1/α} − 1 ⇒ w* = (1 + (A−ν)/β)_+^α",
    stated={"regulariser": TRUE, "power": THEOREM},
    corrected=(
        "PER's |δ|^α is optimal for no f-divergence. A thresholded, signed power is: for the power divergence "
        "f = w^{1+1/α}/(1+1/α) − w. α = 1 is chi-square."
    ),
    method="S+P",
    derivation=(
        "Two pairs at the optimum: A₁ − A₂ = β(f'(w₁) − f'(w₂)). If f is strictly convex, f' increases, so the larger "
        "advantage has the larger weight (a weight at 0 has A ≤ λ + βf'(0) and is the smallest).",
        "PER gives δ = −2 the priority 2^α and δ = 0 the priority 0: the order is reversed, for every α > 0.",
        "f'(w) = w^{1/α} − 1 = y has the solution w = (1 + y)^α if y > −1; else f'(0) = −1 ≥ y and w = 0 is optimal.",
    ),
    twins={
        "the signed power called PER": {"priority": lambda delta, alpha: power(max(1 + delta, fmpq(0)), fmpq(2))},
        "a concave f": {"slopes": lambda: {**generator_slopes(), "concave": lambda w: -w}},
        "f' = w^α − 1": {"slope": lambda w, alpha: w**alpha - 1},
        "no threshold": {"weight": lambda y, alpha: power(abs(1 + y), alpha)},
        "exponent 1/α": {"weight": lambda y, alpha: power(max(1 + y, fmpq(0)), 1 / alpha)},
        "the 1 dropped": {"weight": lambda y, alpha: power(max(y, fmpq(0)), fmpq(1))},
    },
)
def kl_09(
    case: Case,
    *,
    priority: Any = per_priority,
    slopes: Any = generator_slopes,
    slope: Any = power_slope,
    weight: Any = signed_priority,
) -> None:
    """f'' > 0 in symbols; orders of priorities exactly; the power divergence in symbols and its optimality exactly."""
    (w, u, alpha), part = positive("w u alpha"), "regulariser"
    for name, derivative in slopes().items():
        case.claimed("S", f"f'' > 0 for {name}: w increases with A", sign(sympy.diff(derivative(w), w), 1), part=part)

    def misordered(alpha: fmpq) -> Answer:
        pairs = itertools.combinations(sorted(set(DELTAS)), 2)
        found = (
            Answer(priority(low, alpha) > priority(high, alpha), f"α={alpha}: δ={low} outranks δ={high}")
            for low, high in pairs
        )
        return some(found)

    two = Answer(
        bool(priority(fmpq(-2), fmpq(1)) > priority(fmpq(0), fmpq(1))),
        f"δ=−2 has priority {priority(fmpq(-2), fmpq(1))}, δ=0 has {priority(fmpq(0), fmpq(1))}",
    )
    case.claimed("P", "PER at α = 1 ranks δ = −2 above δ = 0: optimal for no f", two, part=part)
    orders = every((misordered(exponent) for exponent in EXPONENTS), f"α = {', '.join(map(str, EXPONENTS))}")
    case.claimed("P", "PER reverses the order of some pair for every α", orders, part=part)

    part = "power"
    value = w ** (1 + 1 / alpha) / (1 + 1 / alpha) - w
    case.theorem("S", "f' = w^{1/α} − 1", equal(sympy.diff(value, w), slope(w, alpha)), part=part)
    case.theorem(
        "S", "f'(u^α) = u − 1, so w = (1 + y)^α", equal(sympy.powdenest(slope(u**alpha, alpha)), u - 1), part=part
    )
    case.theorem("S", "f'' > 0", sign(sympy.diff(slope(w, alpha), w), 1), part=part)
    case.theorem("S", "α = 1: f' = w − 1, chi-square", equal(slope(w, sympy.Integer(1)), w - 1), part=part)

    def optimal(alpha: fmpq, low: fmpq, high: fmpq) -> Answer:
        """A two-atom law whose weights have mean one; stationary where w > 0, and f'(0) >= y where w = 0."""
        arguments = (low, high)
        weights = [weight(y, alpha) for y in arguments]
        shown = f"α={alpha}, (A−ν)/β=({low}, {high}): w=({', '.join(map(balls.short, weights))})"
        if not weights[0] < 1 < weights[1]:
            return Answer(False, f"{shown}: no law gives them mean one")
        mass = (weights[1] - 1) / (weights[1] - weights[0])
        mean = mass * weights[0] + (1 - mass) * weights[1]
        return Answer(mean == 1 and all(map(stationary, arguments, weights, itertools.repeat(alpha))), shown)

    def stationary(y: fmpq, w: fmpq, alpha: fmpq) -> bool:
        return bool(power(w, 1 / alpha) - 1 == y) if w > 0 else bool(y <= -1)

    cases: Sequence[tuple[fmpq, fmpq, fmpq]] = [
        (alpha, low, fmpq(k) ** 6 - 1)
        for alpha in EXPONENTS
        for low in (fmpq(-65), fmpq(-1), fmpq(1, 64) - 1, fmpq(2, 3) ** 6 - 1)
        for k in (fmpq(3, 2), 2)
    ]
    case.theorem("P", "w = (1 + (A−ν)/β)_+^α is optimal", every(optimal(*item) for item in cases), part=part)
