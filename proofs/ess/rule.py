"""The update law of source 001 near its fixed point: a saddle as printed, stable with the sign reversed (ESS-03, -05).

u = eta rho s. Every Jacobian is taken of the literal pseudo-code (`jacobian`): symbolically, and by finite differences
in balls.
"""

from __future__ import annotations

import itertools
from typing import Any

import sympy
from flint import fmpq

from proofs import balls, literal, under_test
from proofs.claim import claim
from proofs.ess import samples
from proofs.ess.jacobian import (
    ELASTICITY,
    ETA,
    PRECISION,
    RHO,
    Matrix,
    agree,
    described,
    eigenvalues,
    law_spectrum,
    moduli,
    observed,
    reversed_exponent,
    symbolic_jacobian,
)
from proofs.evidence import Answer, Case, every
from proofs.symbolic import equal, positive, sign, vanishes
from proofs.verdict import FALSE, THEOREM


def printed_jacobian(eta: Any, rho: Any, s: Any) -> Matrix:
    """The Jacobian of the law as printed."""
    return (1 - rho, rho * s), (eta * (1 - rho), 1 + eta * rho * s)


def same(left: Matrix, right: Matrix) -> Answer:
    """Whether two matrices of expressions agree."""
    return every(equal(a, b) for a, b in zip(itertools.chain(*left), itertools.chain(*right), strict=True))


@claim(
    "ESS-03",
    source=("001 adaptive rule", "001 pseudo-code"),
    statement="The rule adjusts β in proportion to the smoothed ESS's excess over its target, and so stabilises it.",
    formula="β' = clip(β exp(η(Ê'/T − 1)), β_min, β_max),  Ê' = (1−ρ)Ê + ρ ESS(β):  Ê → T",
    stated=FALSE,
    corrected=(
        "ESS grows with β (ESS-02), so the feedback is positive: the fixed point is a saddle for every η > 0, "
        "ρ ∈ (0, 1] and elasticity s > 0, with real eigenvalues 0 ≤ λ₂ < 1 < λ₁. The sign has to be reversed (ESS-05)."
    ),
    method="S+E",
    derivation=(
        "With e = Ê/T − 1, x = log(β/β*) and s = d log ESS/d log β: e' = (1−ρ)e + ρsx and x' = x + ηe', so "
        "J = [[1−ρ, ρs], [η(1−ρ), 1+ηρs]].",
        "Its characteristic polynomial is p(z) = z² − (2−ρ+u)z + (1−ρ) with u = ηρs.",
        "p(1) = −u < 0: one eigenvalue exceeds 1. Their product is 1−ρ ∈ [0, 1): the other lies in [0, 1).",
        "The discriminant ρ² + 2(2−ρ)u + u² is positive: both are real. At α = ½, η = 0.1, ρ = 0.05 and Gaussian δ "
        "(s = 2 log 2): 1.06446 and 0.89247.",
    ),
    twins={
        "the sign reversed": {"exponent": reversed_exponent},
        "no smoothing in the corner of J": {
            "jacobian": lambda eta, rho, s: ((1 - rho, rho * s), (eta, 1 + eta * rho * s))
        },
        "s dropped": {"jacobian": lambda eta, rho, s: ((1 - rho, rho), (eta * (1 - rho), 1 + eta * rho))},
        "mixed term of the discriminant dropped": {"discriminant": lambda rho, u: rho**2 + u**2},
    },
)
def ess_03(
    case: Case,
    *,
    exponent: Any = literal.beta_exponent,
    jacobian: Any = printed_jacobian,
    discriminant: Any = lambda rho, u: rho**2 + 2 * (2 - rho) * u + u**2,
) -> None:
    """Jury's first condition on the literal loop, in symbols and by differences; then the saddle in full."""
    (a, b), (c, d) = symbolic_jacobian(exponent)
    at_one = 1 - (a + d) + (a * d - b * c)
    case.claimed("S", "p(1) > 0, which stability requires", sign(at_one, 1), f"p(1) = {sympy.factor(at_one)}")
    with balls.precision(PRECISION):
        found = eigenvalues(observed(exponent)["Gaussian δ, α = 1/2"][0])
        inside = every(Answer(balls.less(m, 1)) for m in moduli(found))
        case.claimed(
            "E", "both eigenvalues lie inside the unit circle at α=½, η=0.1, ρ=0.05", inside.holds, described(found)
        )

    printed = symbolic_jacobian(literal.beta_exponent)
    stated = jacobian(ETA, RHO, ELASTICITY)
    case.corrected("S", "the Jacobian of the literal loop", same(printed, stated))
    case.corrected("E", "finite differences of the literal loop agree with it", agree(literal.beta_exponent, jacobian))
    (a, b), (c, d) = stated
    u = ETA * RHO * ELASTICITY
    trace, determinant = a + d, a * d - b * c
    case.corrected("S", "p(1) = −ηρs", vanishes(1 - trace + determinant + u))
    case.corrected("S", "the product of the eigenvalues is 1 − ρ", equal(determinant, 1 - RHO))
    square = discriminant(RHO, u)
    case.corrected("S", "the discriminant is ρ² + 2(2−ρ)u + u²", equal(trace**2 - 4 * determinant, square))
    (k,) = positive("k")
    for name, rho in {"ρ = 1/(1+k) < 1": 1 / (1 + k), "ρ = 1": sympy.Integer(1)}.items():
        case.corrected("S", f"it is positive for {name}: real eigenvalues", sign(square.subs(RHO, rho), 1))
    case.comparison("B", "reference.temperature_feedback, printed law", under_test.feedback(1))


def stable_jacobian(eta: Any, rho: Any, s: Any) -> Matrix:
    """The Jacobian of the law with the sign reversed."""
    return (1 - rho, rho * s), (-eta * (1 - rho), 1 - eta * rho * s)


SMOOTHINGS = (fmpq(1, 100), fmpq(1, 20), fmpq(3, 10), fmpq(3, 4), fmpq(1))
ROOTS = (fmpq(0), fmpq(1, 4), fmpq(1, 2), fmpq(9, 10), fmpq(99, 100))
"""Values of sqrt(1 - rho)."""
NEAR = fmpq(1, 1000)


@claim(
    "ESS-05",
    source=("toolkit", "001 adaptive rule (repaired)"),
    statement="With the sign reversed the rule is a servo, stable up to a gain that is known.",
    formula="β' = β exp(−η(Ê'/T − 1)): stable iff 0 < ηs < 4/ρ − 2;  rings iff |ηρs − (1+q²)| < 2q, q = √(1−ρ)",
    stated=THEOREM,
    corrected="While it rings, |λ| = √(1−ρ): at η = 0.1, ρ = 0.05 it does, with |λ| = 0.9747. For ρ = 1: ηs < 2.",
    method="S+E+P",
    derivation=(
        "p(z) = z² − (2−ρ−u)z + (1−ρ), u = ηρs. Jury's test: p(1) = u > 0, p(−1) = 4 − 2ρ − u > 0, det = 1−ρ < 1.",
        "p(−1) > 0 is ηs < 4/ρ − 2. At ρ = 1 that is ηs < 2.",
        "The discriminant is (u − (1−q)²)(u − (1+q)²) with q² = 1−ρ: negative exactly for (1−q)² < u < (1+q)², "
        "and then |λ|² = det = q².",
        "Small ρ puts (1−q)² ≈ ρ²/4 below u: smoothing more brings ringing, not calm.",
    ),
    twins={
        "the printed sign": {"exponent": literal.beta_exponent},
        "4/ρ − 1": {"largest": lambda rho: 4 / rho - 1},
        "2/ρ − 2": {"largest": lambda rho: 2 / rho - 2},
        "rings from 1 − q on": {"ringing": lambda q: ((1 - q), (1 + q) ** 2)},
        "modulus 1 − ρ": {"modulus": lambda q: q**2},
    },
)
def ess_05(
    case: Case,
    *,
    exponent: Any = reversed_exponent,
    largest: Any = lambda rho: 4 / rho - 2,
    ringing: Any = lambda q: ((1 - q) ** 2, (1 + q) ** 2),
    modulus: Any = lambda q: q,
) -> None:
    """Jury's conditions and the discriminant as identities; differences of the literal loop; enclosed eigenvalues."""
    (a, b), (c, d) = symbolic_jacobian(exponent)
    trace, determinant = a + d, a * d - b * c
    u = ETA * RHO * ELASTICITY
    (q,) = positive("q")
    case.theorem("S", "p(1) = ηρs", vanishes(1 - trace + determinant - u))
    gap = largest(RHO) - ETA * ELASTICITY
    case.theorem("S", "p(−1) = ρ(4/ρ − 2 − ηs)", equal(1 + trace + determinant, RHO * gap))
    case.theorem("S", "det = 1 − ρ", equal(determinant, 1 - RHO))
    below, above = ringing(q)
    square = (trace**2 - 4 * determinant).subs(RHO, 1 - q**2)
    inside = u.subs(RHO, 1 - q**2)
    case.theorem("S", "discriminant = (u − (1−q)²)(u − (1+q)²)", equal(square, (inside - below) * (inside - above)))

    case.theorem("E", "finite differences of the literal loop are J", agree(exponent, stable_jacobian))
    with balls.precision(PRECISION):
        found = eigenvalues(observed(exponent)["Gaussian δ, α = 1/2"][0])
        expected = modulus((1 - balls.ball(samples.SUGGESTED["rho"])).sqrt())
        near = all(float(abs(m - expected).upper()) < 2.0**-150 for m in moduli(found))
        case.theorem("E", "at η = 0.1, ρ = 0.05 and α = ½ it rings with |λ| = √(1−ρ)", near, described(found))

    def stable(rho: fmpq, gain: fmpq) -> Answer:
        with balls.precision(128):
            found = law_spectrum(gain, rho, exponent)
            inside = every(Answer(balls.less(m, 1)) for m in moduli(found)).holds
            holds = None if inside is None else inside == bool(0 < gain < largest(rho))
            return Answer(holds, f"ρ={rho}, ηs={gain}: {described(found)}")

    gains = [
        (rho, share * (4 / rho - 2))
        for rho in SMOOTHINGS
        for share in (-NEAR, NEAR, fmpq(1, 10), fmpq(1, 2), 1 - NEAR, 1 + NEAR, fmpq(3, 2))
    ]
    case.theorem("P", "stable iff 0 < ηs < 4/ρ − 2", every(stable(*item) for item in gains))

    def rings(root: fmpq, u: fmpq) -> Answer:
        rho = 1 - root**2
        with balls.precision(128):
            found = law_spectrum(u / rho, rho, exponent)
            low, high = ringing(root)
            complex_ = not found[0][1].is_zero()
            known = not complex_ or (moduli(found)[0] - balls.ball(modulus(root))).contains(0)
            return Answer(complex_ == bool(low < u < high) and known, f"ρ={rho}, ηρs={u}: {described(found)}")

    edges = [
        (root, edge * (1 + side))
        for root in ROOTS
        for edge in ((1 - root) ** 2, (1 + root) ** 2)
        for side in (-NEAR, NEAR)
    ]
    case.theorem("P", "rings iff (1−q)² < ηρs < (1+q)², with |λ| = q", every(rings(*item) for item in edges))
    case.comparison("B", "reference.temperature_feedback, stable law", under_test.feedback(-1))
