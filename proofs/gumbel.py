"""Chapter GUM: Gumbel (ExtremeQ) regression, the value loss of ROER, and its continuation beyond the clip.

The loss of a value v is E[e^x - x - 1] with x = (q - v)/alpha; beyond a clip c it is continued linearly.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import sympy
from flint import arb, fmpq

from proofs import balls, conic, instances, literal, under_test
from proofs.arithmetic import exp, log
from proofs.claim import claim
from proofs.divergences import Law, capped_kl, law
from proofs.evidence import Answer, Case, every
from proofs.exact import LogNumber, mean
from proofs.symbolic import equal, positive, real, sign, summed, vanishes
from proofs.verdict import FALSE, THEOREM, true_if

CLIP = 7
"""`gumbel_max_clip` in the published launch scripts."""


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


@dataclasses.dataclass(frozen=True)
class TwoPoint:
    """q = top with probability p, else 0; x = (q - v)/alpha, the tail beginning at `clip`."""

    top: int
    probability: fmpq
    alpha: fmpq
    clip: int = CLIP

    def tail_slope(self, tail: Any) -> arb:
        """d tail/dx, constant because every tail here is linear in x."""
        c = balls.ball(self.clip)
        return tail(c + 1, c, balls.ball(self.alpha)) - tail(c, c, balls.ball(self.alpha))

    @property
    def edge(self) -> fmpq:
        """Below this v the top atom lies in the tail."""
        return self.top - self.clip * self.alpha

    def local_minima(self, tail: Any) -> list[arb]:
        """Every local minimiser, in closed form.

        In each of the two regions -clip alpha < v < edge and v > edge the derivative is increasing in v (it is linear
        in e^{-v/alpha}), so it has at most one root there, a minimum; below both the loss decreases.
        """
        p, alpha = balls.ball(self.probability), balls.ball(self.alpha)
        found = []
        inner = 1 - p * self.tail_slope(tail) / (1 - p)
        if inner > 0:
            v = -alpha * inner.log()
            if v < balls.ball(self.edge):
                found.append(v)
        outer = alpha * ((1 - p) + p * (balls.ball(self.top) / alpha).exp()).log()
        if outer > balls.ball(self.edge):
            found.append(outer)
        return found

    def loss(self, v: Any, tail: Any) -> arb:
        """E of the loss at v; ValueError when the balls cannot tell on which side of the clip an atom lies."""
        total = balls.ball(0)
        for q, mass in ((self.top, self.probability), (0, 1 - self.probability)):
            x = (balls.ball(q) - balls.ball(v)) / balls.ball(self.alpha)
            inside = balls.less(x, balls.ball(self.clip))
            if inside is None:
                raise ValueError(f"x={x} may lie on either side of the clip {self.clip}")
            value = literal.gumbel_loss(x) if inside else tail(x, balls.ball(self.clip), balls.ball(self.alpha))
            total += balls.ball(mass) * value
        return total


def mis_scaled() -> TwoPoint:
    """The example of GUM-03: one value in 500 is 100, the rest 0, alpha = 4 as in a published launch script."""
    return TwoPoint(100, fmpq(1, 500), fmpq(4))


@claim(
    "GUM-03",
    source="ROER critic.py, gumbel_rescale_loss_per",
    statement="Beyond the clip the Gumbel loss is continued by its tangent (code: slope divided by α; comment: not).",
    formula="ℓ(x) = e^c − c − 1 + (x − c)(e^c − 1)/α  for x > c,  with x = (q − v)/α already",
    stated={"C1": true_if("α = 1"), "convex": true_if("α ≤ 1"), "minimiser": FALSE},
    corrected="ℓ(x) = e^c − c − 1 + (x − c)(e^c − 1), as the code's own comment says: no second division by α.",
    method="S+B",
    derivation=(
        "x is already divided by α, so the tangent at c has slope e^c − 1; the code's has (e^c − 1)/α.",
        "At c = 7 the slope jumps from 1095.6 to 273.9 (α = 4) or to 2739 (α = 0.4); a slope that falls is not convex.",
        "q = 100 with probability 1/500, else 0, α = 4, c = 7. For v < 72 the large value lies in the tail; dL/dv = 0 "
        "reads (499/500)(1 − e^{−v/4}) = (1/500)(e^7 − 1)/4: v = 3.184.",
        "For v > 72 it does not, and E e^x = 1 gives v = 4 log((499 + e^{25})/500) = 75.142, the intended value.",
        "The losses there are 11.85 and 18.73: the global minimiser is the wrong one.",
    ),
    twins={
        "the tail of the comment": {"tail": literal.gumbel_tail_comment},
        "alpha multiplies": {"tail": lambda x, c, a: literal.gumbel_loss(c) + (x - c) * (exp(c) - 1) * a},
        "slope e^c": {"tail": lambda x, c, a: literal.gumbel_loss(c) + (x - c) * exp(c) / a},
        "the correction divides by alpha": {"right": literal.gumbel_tail_published},
        "the correction takes slope e^c": {"right": lambda x, c, a: literal.gumbel_loss(c) + (x - c) * exp(c)},
    },
)
def gum_03(case: Case, *, tail: Any = literal.gumbel_tail_published, right: Any = literal.gumbel_tail_comment) -> None:
    """The jump of the slope in symbols; every local minimum of the two-point example, isolated, in balls."""
    (c, alpha), (x,) = positive("c alpha"), real("x")

    def jump(candidate: Any) -> Any:
        slope = sympy.diff(candidate(x, c, alpha), x)
        return slope - sympy.diff(literal.gumbel_loss(x), x).subs(x, c)

    one = {alpha: sympy.Integer(1)}
    four, small = {alpha: sympy.Integer(4)}, {alpha: sympy.Rational(2, 5)}
    with balls.precision(128):
        slopes = {a: TwoPoint(100, fmpq(1, 500), a).tail_slope(tail) for a in (fmpq(1), fmpq(4), fmpq(2, 5))}
        before = balls.ball(CLIP).exp() - 1
        numbers = f"slope at c=7: {balls.short(before, 5)} before, " + ", ".join(
            f"{balls.short(s, 5)} after at α={a}" for a, s in slopes.items()
        )
    case.within("S", "value and slope continue at c for α = 1", vanishes(jump(tail).subs(one)), part="C1")
    case.outside("S", "the slope continues at c for α = 4", vanishes(jump(tail).subs(four)), numbers, part="C1")
    solutions = sympy.solve(sympy.Eq(jump(literal.gumbel_tail_published), 0), alpha)
    case.corrected("S", "it continues for α = 1 only", solutions == [1], f"α in {solutions}", part="C1")
    case.corrected("S", "the tangent's slope continues for every α", vanishes(jump(right)), part="C1")

    def rises(slope: arb) -> bool | None:
        with balls.precision(128):
            return True if (slope - before).contains(0) else balls.less(before, slope)

    case.within("S", "the slope does not fall for α = 1", vanishes(jump(tail).subs(one)), part="convex")
    case.within("B", "the slope does not fall for α = 2/5", rises(slopes[fmpq(2, 5)]), numbers, part="convex")
    case.outside("B", "the slope does not fall for α = 4", rises(slopes[fmpq(4)]), numbers, part="convex")
    exact = sign((jump(literal.gumbel_tail_published) / (sympy.exp(c) - 1)).subs(small), 1)
    case.corrected("S", "it rises by (e^c − 1)(1/α − 1), which has the sign of 1 − α", exact, part="convex")

    example = mis_scaled()
    with balls.precision(192):
        intended = example.alpha * log(1 - balls.ball(example.probability) + example.probability * balls.ball(25).exp())
        minima = example.local_minima(tail)
        losses = [example.loss(v, tail) for v in minima]
        best = min(range(len(minima)), key=lambda k: float(losses[k].mid()))
        separated = all(losses[best] < other for k, other in enumerate(losses) if k != best)
        shown = ", ".join(
            f"({balls.short(v, 5)}, loss {balls.short(f, 5)})" for v, f in zip(minima, losses, strict=True)
        )
        case.support(
            "B", "the losses at the local minima are told apart", separated or len(minima) == 1, part="minimiser"
        )
        case.claimed(
            "B",
            "the global minimiser is the soft value 75.142",
            minima[best].overlaps(intended),
            f"local minima {shown}; intended {balls.short(intended, 5)}",
            part="minimiser",
        )
        repaired = example.local_minima(right)
        case.corrected(
            "B",
            "with the tangent it is the only minimum",
            len(repaired) == 1 and repaired[0].overlaps(intended),
            f"minima at {', '.join(balls.short(v, 5) for v in repaired)}",
            part="minimiser",
        )
        window = [
            len(TwoPoint(100, odds / (1 + odds), fmpq(4)).local_minima(literal.gumbel_tail_published)) for odds in ODDS
        ]
    case.corrected(
        "B",
        "two minima exist for outlier odds between about e^−7 and 4e^−7",
        window == [1, 2, 2, 1],
        f"number of minima at odds {', '.join(map(str, ODDS))}: {', '.join(map(str, window))} (e^−7 ≈ 1/1097)",
        part="minimiser",
    )


ODDS = (fmpq(1, 1100), fmpq(1, 1090), fmpq(1, 280), fmpq(1, 270))
"""Odds just outside and just inside both ends of the window in which the published loss has two minima."""


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
