"""What Gumbel regression fits, and the clipped loss that is as it should be (GUM-01, GUM-04)."""

from __future__ import annotations

from typing import Any

import sympy
from flint import fmpq

from proofs import balls, conic, instances, literal, under_test
from proofs.arithmetic import exp, log
from proofs.claim import claim
from proofs.divergences import Law, capped_kl, law
from proofs.evidence import Answer, Case, every
from proofs.exact import LogNumber, mean
from proofs.symbolic import equal, positive, real, sign, summed, vanishes
from proofs.verdict import THEOREM


@claim(
    "GUM-01",
    source=("toolkit", "ROER critic.py (its value objective)"),
    statement="Gumbel regression fits the soft value.",
    formula="argmin_v E[e^z − z − 1] = β log E e^{q/β},  z = (q−v)/β;  minimum (v−Eq)/β;  Eq ≤ v ≤ max q",
    stated=THEOREM,
    corrected="The loss is strictly convex, so the minimiser is unique.",
    method="S+P",
    derivation=(
        "d/dv E[e^z − z − 1] = −(1/β)(E e^z − 1): zero iff e^{v/β} = E e^{q/β}.",
        "The second derivative is E e^z/β² > 0: strictly convex, the minimiser is unique.",
        "There E e^z = 1, so the minimum is −E z = (v − Eq)/β. It is ≥ 0, hence v ≥ Eq; and E e^{q/β} ≤ e^{max q/β}.",
    ),
    twins={
        "the mean instead": {"minimiser": lambda q, d, b: mean(d, q)},
        "beta dropped in front": {"minimiser": lambda q, d, b: log(mean(d, [exp(x / b) for x in q]))},
        "beta multiplies in the exponent": {"minimiser": lambda q, d, b: b * log(mean(d, [exp(x * b) for x in q]))},
        "sign of the linear term": {"loss": lambda z: exp(z) + z - 1},
        "sign of the minimum": {"minimum": lambda v, average, b: (average - v) / b},
    },
)
def gum_01(
    case: Case,
    *,
    loss: Any = literal.gumbel_loss,
    minimiser: Any = lambda q, d, b: b * log(mean(d, [exp(x / b) for x in q])),
    minimum: Any = lambda v, average, b: (v - average) / b,
) -> None:
    """Three symbolic atoms: stationarity, convexity, minimum; the bounds exactly on a family of laws."""
    first, second, beta = positive("D1 D2 beta")
    masses, q, v = (first, second, 1 - first - second), real("q1 q2 q3"), real("v")[0]
    near = {"D1": sympy.Rational(1, 5), "D2": sympy.Rational(3, 7)}
    expected = summed(m * loss((x - v) / beta) for m, x in zip(masses, q, strict=True))
    best = minimiser(q, masses, beta)
    case.theorem(
        "S", "the derivative vanishes at v = β log E e^{q/β}", vanishes(sympy.diff(expected, v).subs(v, best), **near)
    )
    curvature = sympy.diff(loss((q[0] - v) / beta), v, 2)
    case.theorem("S", "strictly convex in v, atom by atom", sign(curvature, 1))
    average = mean(masses, q)
    case.theorem("S", "the minimum is (v − Eq)/β", equal(expected.subs(v, best), minimum(best, average, beta), **near))

    def bounded(data: Law) -> Answer:
        value = minimiser(data.z, data.masses, fmpq(1))
        low, high = data.expect([LogNumber.of(z) for z in data.z]), LogNumber.log(max(data.exponentials))
        return Answer(bool(low <= value <= high), f"{balls.short(low)} ≤ {balls.short(value)} ≤ {balls.short(high)}")

    family = list(instances.laws(40, seed=21))
    try:
        case.theorem("P", "Eq ≤ v ≤ max q", every(bounded(data) for data in family))
    except ValueError:
        case.theorem("P", "Eq ≤ v ≤ max q", False, "v is not the logarithm of a rational")
    case.comparison("B", "reference.conditional.gumbel_value", under_test.gumbel_value())


@claim(
    "GUM-04",
    source=("toolkit", "ROER critic.py, gumbel_rescale_loss_per (repaired)"),
    statement="Without the second division by α the clipped Gumbel loss is what it is meant to be.",
    formula=(
        "ℓ = e^z − z − 1 (z ≤ c), e^c − c − 1 + (e^c − 1)(z − c) (z > c): C¹, convex, and E[min(e^z, e^c)] = 1 at the "
        "minimum"
    ),
    stated=THEOREM,
    corrected="It is capped-KL regression: the dual of max_w E[wq] − βE[w log w − w + 1] over 0 ≤ w ≤ e^c.",
    method="S+Q+C",
    derivation=(
        "The tail has the value and the slope e^c − 1 of the loss at c, so ℓ is C¹; ℓ'' = e^z, then 0: convex.",
        "ℓ'(z) + 1 = min(e^z, e^c) on both branches, and dL/dv = −(1/β)(E[min(e^z, e^c)] − 1).",
        "min(e^y, W) is (f*)' of the KL generator restricted to w ≤ W = e^c: a cap in the primal.",
        "D = (1/10, 9/10), e^{q/β} = (100, 1), W = 4: w = (4, 2/3), with e^{v/β} = 3/2 and the large value capped.",
    ),
    twins={
        "the published tail": {"tail": literal.gumbel_tail_published},
        "slope e^c": {"tail": lambda x, c, a: literal.gumbel_loss(c) + (x - c) * exp(c)},
        "a flat tail": {"tail": lambda x, c, a: literal.gumbel_loss(c) + 0 * x},
        "the cap forgotten": {"weights": lambda data, cap: data.normalised(exp)},
        "capped and rescaled": {"weights": lambda data, cap: (fmpq(40, 13), fmpq(10, 13))},
    },
)
def gum_04(
    case: Case,
    *,
    tail: Any = literal.gumbel_tail_comment,
    weights: Any = lambda data, cap: tuple(min(q / fmpq(3, 2), cap) for q in data.exponentials),
) -> None:
    """Both branches in symbols; a law whose top value is capped, exactly and against Clarabel."""
    (c, alpha), (x,) = positive("c alpha"), real("x")
    inside, outside = literal.gumbel_loss(x), tail(x, c, alpha)
    case.theorem("S", "the value continues at c", vanishes((inside - outside).subs(x, c)))
    case.theorem("S", "the slope continues at c", vanishes((sympy.diff(inside, x) - sympy.diff(outside, x)).subs(x, c)))
    case.theorem("S", "ℓ'' = e^z > 0 below c", sign(sympy.diff(inside, x, 2), 1))
    case.theorem("S", "ℓ'' = 0 beyond c", vanishes(sympy.diff(outside, x, 2)))
    case.theorem("S", "ℓ' + 1 = e^z below c", equal(sympy.diff(inside, x) + 1, sympy.exp(x)))
    case.theorem("S", "ℓ' + 1 = e^c beyond c", equal(sympy.diff(outside, x) + 1, sympy.exp(c)))
    cap, data = fmpq(4), law([1, 9], [100, 1])
    solved = weights(data, cap)
    case.theorem(
        "Q",
        "E[min(e^z, W)] = 1 and w ≤ W",
        data.expect(solved) == 1 and max(solved) <= cap,
        f"w=({', '.join(map(str, solved))})",
    )
    case.theorem("C", "no feasible point is better", conic.optimal(data, capped_kl(cap), solved, "min(e^z, W)"))
    ends = under_test.fitted_value(capped_kl(cap), "kl", lambda d: (min(d.z), max(d.z)), cap=4.0)
    case.comparison("B", "reference.value_loss, KL capped at 4", ends)
