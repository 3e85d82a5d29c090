"""Mass outside the support of the data: JS allows it, at a price of log 2 (JS-25)."""

from __future__ import annotations

from typing import Any

import sympy
from flint import fmpq

from proofs import balls, conic
from proofs.claim import claim
from proofs.divergences import JS
from proofs.evidence import Answer, Case
from proofs.exact import rational
from proofs.js.weights import TEXTBOOK
from proofs.symbolic import positive, sign, vanishes
from proofs.verdict import true_if

OPTIMUM = (fmpq(1, 2), fmpq(3, 2))
"""The JS weights of the textbook law (JS-05)."""


def value(p: Any) -> Any:
    """The objective of source 002 section 1 at d = (1 - p, p), for D = (1, 0), A = (0, 1), beta = 1."""
    on = (1 - p) * _log(2 * (1 - p) / (2 - p)) + _log(2 / (2 - p))
    return p - on - p * _log_two(p)


def _log(x: Any) -> Any:
    return sympy.log(x) if isinstance(x, sympy.Basic) else balls.ball(x).log()


def _log_two(like: Any) -> Any:
    return sympy.log(2) if isinstance(like, sympy.Basic) else balls.ball(2).log()


def escaped() -> Any:
    """The mass that the optimum moves off the support."""
    return (sympy.E - 2) / (sympy.E - 1)


def enclosure() -> tuple[Any, Any, float]:
    """A two-sided enclosure of the optimal value from Clarabel's primal and dual answers, and its mass off the support.

    Upper: nu + f*(0 - nu) on the support, for any nu with A - nu <= f'(infinity) = log 2 off it.
    """
    import cvxpy
    import numpy as np

    base, advantage = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    unknown: Any = cvxpy.Variable(2, nonneg=True)
    middle = (unknown + base) / 2
    penalty = cvxpy.sum(cvxpy.rel_entr(unknown, middle) + cvxpy.rel_entr(base, middle))
    total: list[Any] = [cvxpy.sum(unknown) == 1]
    problem: Any = cvxpy.Problem(cvxpy.Maximize(advantage @ unknown - penalty), total)
    problem.solve(solver=cvxpy.CLARABEL)
    mass = min(max(rational(float(unknown.value[1])), fmpq(0)), fmpq(1))
    with balls.precision(256):
        nu = balls.ball(rational(float(total[0].dual_value)))
        nu = nu.max(1 - balls.ball(2).log())
        upper = nu - (2 - (-nu).exp()).log()
        return balls.ball(value(balls.ball(mass))), upper, float(unknown.value[1])


@claim(
    "JS-25",
    source="002 §1–2",
    statement="With d = w d_b the problem over occupancies d is the problem over ratios w.",
    formula="max_d Σ dA − β D_f(d‖D) = max_w E[wA] − βE[f(w)]",
    stated=true_if("d ≪ D, or D has full support"),
    corrected=(
        "JS charges only log 2 for each unit of mass outside the support of D. With D = (1, 0), A = (0, 1), β = 1 the "
        "optimum moves (e−2)/(e−1) = 41.8 % of the mass there; KL moves none (its price is infinite)."
    ),
    method="S+C",
    derivation=(
        "Where D = 0 there is no w; the f-divergence charges f'(∞) = log 2 for each unit of d there.",
        "D = (1, 0), d = (1−p, p): J(p) = p − (1−p) log(2(1−p)/(2−p)) − log(2/(2−p)) − p log 2.",
        "J'(p) = 1 − log 2 + log(2(1−p)/(2−p)) = 0 iff (2−p)/(1−p) = e: p = (e−2)/(e−1). J'' < 0.",
        "In ratios only w = 1 on the one pair is feasible: J = 0, while J(p) = log(e/2) − log(…) > 0.",
    ),
    twins={
        "only the support matters": {"off": lambda: sympy.Integer(0)},
        "mass 1/(e-1)": {"off": lambda: 1 / (sympy.E - 1)},
        "mass (e-2)/e": {"off": lambda: (sympy.E - 2) / sympy.E},
        "the ratio's optimum on full support is KL's": {"weights": (fmpq(5, 7), fmpq(9, 7))},
    },
)
def js_25(case: Case, *, off: Any = escaped, weights: Any = OPTIMUM) -> None:
    """Full support: the ratio's optimum against Clarabel in d. One pair without data: stationarity and Clarabel."""
    case.within("C", "full support: the optimum in w is the optimum in d", conic.optimal(TEXTBOOK, JS, weights, "w"))
    lower, upper, mass = enclosure()
    with balls.precision(256):
        width = balls.short((upper - lower).upper(), 2)
        shown = f"w = 1 attains 0; Clarabel in d: value in [{balls.short(lower)}, {balls.short(upper)}], gap {width}"
        case.outside("C", "D = (1, 0): the optimum in w is the optimum in d", Answer(bool(lower <= 0), shown))
        stated = balls.ball(value(_ball_of(off())))
        inside = bool(stated >= lower) and not bool(stated > upper)
        found = f"J={balls.short(stated)} at p={sympy.N(off(), 6)}, Clarabel's p={mass:.6f}"
        case.corrected("C", "moving (e−2)/(e−1) off the support is optimal", inside, found)
    (p,) = positive("p")
    slope = sympy.diff(value(p), p)
    case.corrected("S", "J'(p) = 0 there", vanishes(sympy.simplify(slope.subs(p, off()))))
    (q,) = positive("q")  # q = 1 - p, in (0, 1)
    case.corrected("S", "J is strictly concave", sign(sympy.diff(value(1 - q), q, 2), -1))


def _ball_of(number: Any) -> Any:
    """A number built from e and integers as a ball."""
    e = balls.ball(1).exp()
    symbol = sympy.Symbol("e")
    return sympy.lambdify(symbol, number.subs(sympy.E, symbol), modules="math")(e)
