"""The exponential of the advantage, and the certificate that nothing is better (KL-03, KL-04)."""

from __future__ import annotations

from typing import Any

import sympy
from flint import fmpq

from proofs import balls, conic, exact, under_test
from proofs.arithmetic import entropy_term, exp, log, sigmoid
from proofs.claim import claim
from proofs.divergences import KL, law
from proofs.evidence import Case
from proofs.exact import LogNumber
from proofs.kl.problem import BETA
from proofs.symbolic import equal, positive, real, summed, vanishes
from proofs.verdict import TRUE


def stationary_weight(advantage: Any, multiplier: Any, beta: Any) -> Any:
    """The solution of the first-order condition in source 000 section 4."""
    return exp((advantage - multiplier) / beta - 1)


def weight_constant(multiplier: Any, beta: Any) -> Any:
    """The constant C of source 000 section 4."""
    return exp(-multiplier / beta - 1)


@claim(
    "KL-03",
    source="000 §4",
    statement="Setting the derivative of the Lagrangian to zero gives an exponential of the advantage.",
    formula="A − β(log w + 1) − λ = 0  ⇒  w = exp((A−λ)/β − 1) = C e^{A/β},  C = exp(−λ/β − 1)",
    stated=TRUE,
    corrected="With the constraint: λ = β(log E e^{A/β} − 1) and C = 1/E e^{A/β}.",
    method="S",
    derivation=(
        "d/dw [w A − β w log w − λ w] = A − β(log w + 1) − λ.",
        "Solve for log w, then exponentiate; the part without A is the constant C.",
        "E[w] = 1 fixes λ: C E e^{A/β} = 1.",
    ),
    twins={
        "sign of lambda": {"weight": lambda a, m, b: exp((a + m) / b - 1)},
        "the -1 dropped": {"weight": lambda a, m, b: exp((a - m) / b)},
        "beta multiplies": {"weight": lambda a, m, b: exp((a - m) * b - 1)},
        "sign of lambda in C": {"constant": lambda m, b: exp(m / b - 1)},
    },
)
def kl_03(case: Case, *, weight: Any = stationary_weight, constant: Any = weight_constant) -> None:
    """The first-order condition, the factorisation, and the multiplier of a three-atom law."""
    (w,) = positive("w")
    a, lam = real("A lambda")
    slope = sympy.diff(w * a - BETA * w * log(w) - lam * w, w)
    case.claimed("S", "the weight solves the first-order condition", vanishes(slope.subs(w, weight(a, lam, BETA))))
    case.claimed(
        "S",
        "the weight is C e^{A/β}",
        equal(sympy.log(weight(a, lam, BETA)), sympy.log(constant(lam, BETA)) + a / BETA),
    )
    behavior, advantage = positive("D1 D2 D3"), real("A1 A2 A3")
    partition = summed(d * sympy.exp(x / BETA) for d, x in zip(behavior, advantage, strict=True))
    solved = BETA * (sympy.log(partition) - 1)
    mean = summed(d * stationary_weight(x, solved, BETA) for d, x in zip(behavior, advantage, strict=True))
    case.corrected("S", "λ = β(log E e^{A/β} − 1) makes the mean one", vanishes(sympy.log(sympy.simplify(mean))))


@claim(
    "KL-04",
    source=("000 §4", "000 §5"),
    statement="The optimal occupancy ratio is proportional to exp(A/β) (boxed).",
    formula="w* ∝ exp(A/β)",
    stated=TRUE,
    corrected=(
        "Of the relaxed problem. Its value is β log E e^{A/β}, and every distribution d falls short of it by exactly "
        "β KL(d‖d*): an optimality certificate in one line, without calculus."
    ),
    method="S+B+C",
    derivation=(
        "Let d* = D e^{A/β}/Z with Z = E e^{A/β}, so that A = β log(d*/D) + β log Z.",
        "Then J(d) = Σ d A − β Σ d log(d/D) = β log Z − β Σ d log(d/d*) = β log Z − β KL(d‖d*).",
        "KL is positive unless d = d*, so d* is the unique maximiser.",
    ),
    twins={
        "sign": {"shape": lambda z: exp(-z)},
        "factor 2": {"shape": lambda z: exp(2 * z)},
        "sigmoid instead": {"shape": sigmoid},
        "plus one": {"shape": lambda z: 1 + exp(z)},
    },
)
def kl_04(case: Case, *, shape: Any = exp) -> None:
    """The identity in symbols, in balls of width below 1e-50 on rational d, and Clarabel's two-sided certificate."""
    behavior, occupancy, z = positive("D1 D2 D3"), positive("d1 d2 d3"), real("z1 z2 z3")
    raw = [shape(x) for x in z]
    total = summed(d * r for d, r in zip(behavior, raw, strict=True))
    optimum = [base * r / total for base, r in zip(behavior, raw, strict=True)]
    partition = summed(base * sympy.exp(x) for base, x in zip(behavior, z, strict=True))
    last = 1 - occupancy[0] - occupancy[1]
    point = [occupancy[0], occupancy[1], last]
    objective = summed(d * x - d * sympy.log(d / base) for d, x, base in zip(point, z, behavior, strict=True))
    divergence = summed(d * sympy.log(d / best) for d, best in zip(point, optimum, strict=True))
    small = {"d1": sympy.Rational(1, 5), "d2": sympy.Rational(3, 7)}
    case.claimed(
        "S",
        "value − J(d) = β KL(d‖d*) for every d",
        vanishes(sympy.log(partition) - objective - divergence, **small),
    )

    data = law([1, 2, 3], [fmpq(1, 2), 3, fmpq(9, 5)])
    weights = data.normalised(shape)
    best = [mass * w for mass, w in zip(data.masses, weights, strict=True)]
    for trial in ((1, 1, 1), (1, 5, 2), (7, 1, 4)):
        d = [fmpq(x, sum(trial)) for x in trial]

        def shortfall(d: Any = d) -> Any:
            value = balls.ball(LogNumber.log(data.expect(data.exponentials)))
            ratio = [x / base for x, base in zip(d, data.masses, strict=True)]
            attained = balls.ball(data.expect([w * q for w, q in zip(ratio, data.z, strict=True)]))
            attained -= balls.ball(data.expect([entropy_term(balls.ball(w)) for w in ratio]))
            return (
                value
                - attained
                - balls.ball(
                    exact.mean(
                        [balls.ball(x) for x in d], [balls.ball(x / y).log() for x, y in zip(d, best, strict=True)]
                    )
                )
            )

        holds = balls.settle(lambda shortfall=shortfall: balls.vanishes_within(shortfall(), fmpq(1, 10**50)))
        case.claimed(
            "B",
            f"the certificate at d=({', '.join(map(str, d))})",
            holds,
            "encloses 0 within 1e-50" if holds else "0 excluded",
        )
    case.claimed("C", "no feasible point is better", conic.optimal(data, KL, weights, "the claimed ratio"))
    case.comparison("B", "reference.weights, KL", under_test.relaxed_weights(KL, "kl", lambda d: (min(d.z), max(d.z))))
