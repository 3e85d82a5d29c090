"""The relaxed KL problem in the occupancy ratio (KL-01, KL-02)."""

from __future__ import annotations

import itertools
from typing import Any

import sympy

from proofs.arithmetic import log
from proofs.claim import claim
from proofs.evidence import Case, every
from proofs.symbolic import equal, positive, real, sign, summed, vanishes
from proofs.verdict import TRUE, true_if

BETA = sympy.Symbol("beta", positive=True)


def relaxed_term(w: Any, advantage: Any, beta: Any) -> Any:
    """The summand that source 000 obtains in section 2: w A - beta w log w."""
    return w * advantage - beta * w * log(w)


@claim(
    "KL-01",
    source="000 §2",
    statement="Substituting the occupancy ratio w = d/d_b turns the objective into an expectation over d_b.",
    formula="Σ d A − β KL(d‖d_b) = Σ d_b [w A − β w log w]",
    stated=true_if("d is absolutely continuous with respect to d_b (d ≪ d_b)"),
    corrected="KL = +∞ when d charges a pair that d_b does not, so for KL nothing is lost by leaving such d out.",
    method="S",
    derivation=(
        "Put d = w d_b into Σ d A: the sum becomes Σ d_b w A.",
        "KL(d‖d_b) = Σ d log(d/d_b) = Σ d_b w log w, wherever d_b > 0.",
        "Where d_b = 0 < d there is no finite w: the left side is −∞, while the right side simply leaves the pair out.",
    ),
    twins={
        "sign of the penalty": {"term": lambda w, a, b: w * a + b * w * log(w)},
        "beta dropped": {"term": lambda w, a, b: w * a - w * log(w)},
        "factor w dropped from the penalty": {"term": lambda w, a, b: w * a - b * log(w)},
    },
)
def kl_01(case: Case, *, term: Any = relaxed_term) -> None:
    """Symbols on three pairs; a law that charges a pair without data."""
    behavior, ratio = positive("D1 D2 D3"), positive("w1 w2 w3")
    advantage = real("A1 A2 A3")
    occupancy = [w * base for w, base in zip(ratio, behavior, strict=True)]
    left = summed(
        d * a - BETA * d * sympy.log(d / base) for d, a, base in zip(occupancy, advantage, behavior, strict=True)
    )
    right = summed(base * term(w, a, BETA) for base, w, a in zip(behavior, ratio, advantage, strict=True))
    case.within("S", "both sides agree on three pairs with d_b > 0", equal(left, right))

    base = behavior[0]
    half = sympy.Rational(1, 2)
    charged = sympy.limit(half * advantage[1] - BETA * half * sympy.log(half / base), base, 0, "+")
    supported = term(half, advantage[0], BETA)
    case.outside(
        "S",
        "both sides agree for d=(1/2, 1/2) on d_b=(1, 0)",
        charged.is_finite is not False,
        f"left side {charged}, right side {supported} over the support of d_b",
    )


@claim(
    "KL-02",
    source="000 §2-3",
    statement="The problem in w is a separable concave maximisation with the single constraint that w has mean one.",
    formula="max_w Σ d_b [w A − β w log w]  s.t.  Σ d_b w = 1",
    stated=TRUE,
    corrected=(
        "Separable only after the constraint is dualised. The constraint w ≥ 0, which the source does not write, never "
        "binds: the slope of −β w log w is +∞ at 0, so the maximiser is unique and strictly positive."
    ),
    method="S",
    derivation=(
        "The Lagrangian has a diagonal Hessian, with entries −β d_b/w < 0: separable and strictly concave.",
        "Its slope in w tends to +∞ as w → 0 and to −∞ as w → ∞, so each maximiser is interior and unique.",
        "Eliminate w₃ through the constraint instead and mixed second derivatives appear: the constraint couples.",
    ),
    twins={
        "sign of the penalty": {"term": lambda w, a, b: w * a + b * w * log(w)},
        "penalty without the log": {"term": lambda w, a, b: w * a - b * w},
        "penalty that is finite-sloped at 0": {"term": lambda w, a, b: w * a - b * w**2 / 2},
    },
)
def kl_02(case: Case, *, term: Any = relaxed_term) -> None:
    """Hessian of the Lagrangian, slopes at both ends, and the coupling that elimination brings."""
    behavior, ratio = positive("D1 D2 D3"), positive("w1 w2 w3")
    advantage, multiplier = real("A1 A2 A3"), sympy.Symbol("lambda", real=True)
    objective = summed(base * term(w, a, BETA) for base, w, a in zip(behavior, ratio, advantage, strict=True))
    constraint = summed(base * w for base, w in zip(behavior, ratio, strict=True)) - 1
    lagrangian = objective - multiplier * constraint
    mixed = [sympy.diff(lagrangian, u, v) for u, v in itertools.combinations(ratio, 2)]
    case.claimed(
        "S",
        "the Lagrangian separates: no mixed second derivative",
        every([vanishes(m) for m in mixed], "Hessian diagonal"),
    )
    case.claimed(
        "S",
        "strictly concave in each w",
        every(sign(sympy.diff(lagrangian, w, 2), -1) for w in ratio),
        "(w log w)''=1/w",
    )
    slope = sympy.diff(lagrangian, ratio[0])
    at_zero = sympy.limit(slope, ratio[0], 0, "+")
    case.claimed("S", "slope +∞ at w = 0, so w ≥ 0 never binds", at_zero == sympy.oo, f"slope at 0: {at_zero}")
    at_infinity = sympy.limit(slope, ratio[0], sympy.oo)
    case.claimed(
        "S", "slope −∞ at w = ∞, so a maximiser exists", at_infinity == -sympy.oo, f"slope at ∞: {at_infinity}"
    )
    last = sympy.solve(constraint, ratio[2])[0]
    stated = summed(base * relaxed_term(w, a, BETA) for base, w, a in zip(behavior, ratio, advantage, strict=True))
    coupled = sympy.diff(stated.subs(ratio[2], last), ratio[0], ratio[1])
    case.corrected("S", "eliminating the constraint couples the w", ~vanishes(coupled))
