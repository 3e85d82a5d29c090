"""The Gumbel loss beyond its clip, as the public code has it twice (GUM-02, GUM-03)."""

from __future__ import annotations

import dataclasses
from typing import Any

import sympy
from flint import arb, fmpq

from proofs import balls, literal
from proofs.arithmetic import exp, log
from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.symbolic import positive, real, sign, vanishes
from proofs.verdict import FALSE, true_if

CLIP = 7
"""`gumbel_max_clip` in the published launch scripts."""


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


@claim(
    "GUM-02",
    source="ROER critic.py, gumbel_rescale_loss",
    statement="Clipping z = (q − v)/α at c inside the Gumbel loss keeps its minimiser and only tames its gradient.",
    formula="ℓ(z) = e^x − x − 1 with x = min(z, c): one minimiser in v, near α log E e^{q/α}",
    stated=FALSE,
    corrected=(
        "Beyond the clip the loss is flat: no gradient where q − v > cα, so v never moves if that holds for all q, "
        "and the loss is not convex. The C¹ tangent e^c − 1 keeps one minimum (GUM-04)."
    ),
    method="S+P+B",
    derivation=(
        "For z > c the loss is the constant e^c − c − 1, and dL/dv = 0 there.",
        "q = 100 with probability 1/10, else 0, α = 1, c = 7. For v < 93 only the atoms at 0 pull: minimum at v = 0.",
        "For v > 93 nothing is clipped and E e^x = 1 gives v = log(9/10 + e^{100}/10) = 97.70, the intended value.",
    ),
    twins={
        "the tail of the comment": {"tail": literal.gumbel_tail_comment},
        "the correction is flat as well": {"right": literal.gumbel_tail_flat},
        "the correction falls": {"right": lambda x, c, a: literal.gumbel_loss(c) - (x - c) * (exp(c) - 1)},
    },
)
def gum_02(case: Case, *, tail: Any = literal.gumbel_tail_flat, right: Any = literal.gumbel_tail_comment) -> None:
    """The slope beyond the clip in symbols and on a family; every local minimum of the two-point example, in balls."""
    with balls.precision(256):
        example = TwoPoint(100, fmpq(1, 10), fmpq(1))
        intended = balls.ball(log(fmpq(9, 10)).exp() + balls.ball(100).exp() / 10).log()
        minima, only = example.local_minima(tail), example.local_minima(right)
        shown = ", ".join(balls.short(v, 4) for v in minima)
        case.claimed(
            "B", "one minimum, the soft value", len(minima) == 1 and minima[0].overlaps(intended), f"minima at {shown}"
        )
        case.corrected(
            "B",
            "with the tangent one minimum, the soft value up to the cap",
            len(only) == 1 and only[0].overlaps(intended),
            f"minimum at {', '.join(balls.short(v, 6) for v in only)}, soft value {balls.short(intended, 6)}",
        )
    (c, alpha), (x,) = positive("c alpha"), real("x")
    slope, repaired = (sympy.diff(candidate(x, c, alpha), x) for candidate in (tail, right))
    case.claimed("S", "the gradient beyond the clip is e^c − 1, that of the loss at c", vanishes(slope - exp(c) + 1))
    case.corrected("S", "the tangent has that gradient", vanishes(repaired - exp(c) + 1))

    def pulled(candidate: Any, top: int, probability: fmpq, step: fmpq) -> Answer:
        """Whether a v with every q more than c alpha above it is pulled up, by half of the slope at c at least."""
        example = TwoPoint(top, probability, step)
        with balls.precision(128):
            v = -CLIP * step - 1
            change = example.loss(v + fmpq(1, 2), candidate) - example.loss(v, candidate)
            half = -(balls.ball(CLIP).exp() - 1) / (4 * step)
            falls = balls.less(change, half)
            shown = f"q ∈ {{0, {top}}}, α={step}: from v={v} to {v + fmpq(1, 2)} the loss changes by less than"
            return Answer(falls, f"{shown} {balls.short(abs(change).upper() if not falls else change, 2)}")

    family = [(top, fmpq(1, n), step) for top in (3, 50, 100) for n in (2, 10, 500) for step in STEPS]
    case.claimed("P", "a v below every clip is pulled up", every(pulled(tail, *item) for item in family))
    case.corrected("P", "with the tangent it is", every(pulled(right, *item) for item in family))


STEPS = (fmpq(2, 5), fmpq(1), fmpq(4))
"""alpha in the published launch scripts."""


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
