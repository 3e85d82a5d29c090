"""The full-batch priority map is a replicator: fixed points, attractor (PRI-01) and small-step limit (PRI-02).

Claims run against the literal map `proofs.literal.update_priority`.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import sympy
from flint import fmpq

from proofs import balls, literal, under_test
from proofs.arithmetic import log
from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.exact import rational
from proofs.symbolic import equal, positive, sign
from proofs.verdict import FALSE, THEOREM

SIGNALS = (fmpq(1), fmpq(2), fmpq(4))
"""u of the three items on which everything is exact."""

Map = Callable[[Sequence[Any], Sequence[Any], Any], list[Any]]


def target(signals: Sequence[Any]) -> list[Any]:
    """w* = u / E u under the uniform law."""
    total = sum(signals[1:], signals[0])
    return [u * len(signals) / total for u in signals]


def additive(priorities: Sequence[Any], signals: Sequence[Any], rate: Any) -> list[Any]:
    """The additive moving average p <- (1 - b) p + b u / mean u."""
    return [(1 - rate) * p + rate * w for p, w in zip(priorities, target(signals), strict=True)]


def jacobian(update: Map, point: Sequence[Any], signals: Sequence[Any], rate: Any) -> sympy.Matrix:
    """The derivative of the literal map at a point, by differentiating its own code in symbols."""
    symbols = positive(" ".join(f"p{k}" for k in range(len(point))))
    image = sympy.Matrix(update(symbols, [to_sympy(u) for u in signals], to_sympy(rate)))
    at = {symbol: to_sympy(p) for symbol, p in zip(symbols, point, strict=True)}
    return image.jacobian(sympy.Matrix(symbols)).applyfunc(lambda entry: sympy.cancel(entry).subs(at))


def to_sympy(value: Any) -> Any:
    """An exact rational as a sympy number."""
    exact = rational(value)
    return sympy.Rational(int(exact.p), int(exact.q))


def spectrum(matrix: sympy.Matrix) -> list[Any]:
    """Eigenvalues with multiplicity, sorted."""
    eigenvalues: Any = matrix.eigenvals()
    return sorted((value for value, count in eigenvalues.items() for _ in range(count)), key=float)


def vertex(index: int, size: int) -> list[fmpq]:
    """All the mass (mean 1) on one item."""
    return [fmpq(size) if k == index else fmpq(0) for k in range(size)]


def orbit(update: Map, priorities: Sequence[Any], signals: Sequence[Any], rate: Any) -> Iterator[list[Any]]:
    """p, then its images, for ever."""
    current = list(priorities)
    while True:
        yield current
        current = update(current, signals, rate)


@claim(
    "PRI-01",
    source=("ROER sac_learner.py, update_priority", "001 (describes it)"),
    statement="For fixed δ the 'moving average' of priorities converges to the normalised weight.",
    formula="p ← p(1 − b + b·u/mean(pu)) has the fixed point w* = u/E u and converges to it",
    stated=FALSE,
    corrected=(
        "It is a replicator map. Its fixed points are exactly the p with mean one on whose support u is "
        "constant; at the "
        "vertex of item i the multipliers are 1−b (along p_i) and 1 − b + b u_j/u_i, so only argmax u attracts: the "
        "winner takes all. Only the first step from p = 1 equals the additive average, which does converge to w*."
    ),
    method="Q+B+E",
    derivation=(
        "p_i = p_i(1 − b + b u_i/m) with m = mean(pu) needs u_i = m wherever p_i > 0; then mean p = 1.",
        "p_j/p_i is multiplied by (1 − b + b u_j/m)/(1 − b + b u_i/m) in each step: below 1 whenever u_j < u_i.",
        "Linearised at the vertex of i, a direction j ≠ i has the multiplier 1 − b + b u_j/u_i: above 1 if u_j > u_i.",
        "u = (1, 2, 4): p → (0, 0, 3), while w* = (3/7, 6/7, 12/7).",
    ),
    twins={
        "the additive average": {"update": additive},
        "multipliers inverted": {"multiplier": lambda b, u, v: 1 - b + b * v / u},
        "multipliers without the 1-b": {"multiplier": lambda b, u, v: b * u / v},
        "the correction multiplies too": {"repaired": literal.update_priority},
        "the correction multiplies by u over mean u": {
            "repaired": lambda p, u, b: [x * (1 - b + b * w) for x, w in zip(p, target(u), strict=True)]
        },
    },
)
def pri_01(
    case: Case,
    *,
    update: Any = literal.update_priority,
    multiplier: Any = lambda b, u, v: 1 - b + b * u / v,
    repaired: Any = additive,
) -> None:
    """The literal map on three items: fixed points exactly, multipliers at its vertices, an orbit; then the repair."""
    rate, best = fmpq(1, 10), target(SIGNALS)
    image = update(best, SIGNALS, rate)
    case.claimed("Q", "w* is a fixed point", image == best, f"w*=({show(best)}) goes to ({show(image)})")
    with balls.precision(192):
        path = orbit(update, [balls.ball(1)] * 3, SIGNALS, rate)
        last = next(itertools.islice(path, 400, None))
        near = all(abs(p - w) < balls.ball(fmpq(1, 100)) for p, w in zip(last, best, strict=True))
    case.claimed("B", "after 400 steps from p = 1 it is within 1/100 of w*", bool(near), f"p=({show(last)})")

    fixed = []
    for support in ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)):
        for signals in (SIGNALS, (fmpq(1), fmpq(2), fmpq(2)), (fmpq(3),) * 3):
            shares = [fmpq(k + 1) if k in support else fmpq(0) for k in range(3)]
            p = [3 * s / sum(shares, fmpq(0)) for s in shares]
            constant = len({str(signals[k]) for k in support}) == 1
            holds = (literal.update_priority(p, signals, rate) == p) == constant
            fixed.append(Answer(holds, f"support {support}, u=({show(signals)})"))
    case.corrected("Q", "fixed iff u is constant on the support", every(fixed))
    answers = []
    for i in range(3):
        matrix = jacobian(literal.update_priority, vertex(i, 3), SIGNALS, rate)
        others = [to_sympy(multiplier(rate, SIGNALS[j], SIGNALS[i])) for j in range(3) if j != i]
        expected = sorted([to_sympy(1 - rate), *others], key=float)
        seen = spectrum(matrix)
        stable = all(abs(value) < 1 for value in seen)
        answers.append(Answer(seen == expected and stable == (i == 2), f"vertex {i + 1}: {', '.join(map(str, seen))}"))
    shown = "; ".join(answer.witness for answer in answers)
    case.corrected("E", "multipliers 1−b and 1 − b + b u_j/u_i: only argmax u attracts", every(answers, shown))
    with balls.precision(192):
        path = orbit(literal.update_priority, [balls.ball(1)] * 3, SIGNALS, rate)
        last = next(itertools.islice(path, 400, None))
        far = last[0] < balls.ball(fmpq(1, 10**6)) and last[1] < balls.ball(fmpq(1, 10**6))
    case.corrected(
        "B",
        "the orbit from p = 1 goes to (0, 0, 3)",
        bool(far and abs(last[2] - 3) < fmpq(1, 10**5)),
        f"p=({show(last)})",
    )
    ones = [fmpq(1)] * 3
    first = literal.update_priority(ones, SIGNALS, rate) == additive(ones, SIGNALS, rate)
    case.corrected("Q", "the first step from p = 1 is that of the additive average", first)
    again = repaired(best, SIGNALS, rate)
    case.corrected("Q", "w* is a fixed point of the additive average", again == best, f"({show(again)})")


def show(values: Sequence[Any]) -> str:
    """A tuple for a reader."""
    return ", ".join(balls.short(value, 6) for value in values)


@claim(
    "PRI-02",
    source="toolkit",
    statement="What the multiplicative priority tends to for small steps, and the update that tends to w*.",
    formula="b → 0: p ∝ exp(τ e^{δ/β});  additive p ← (1−b)p + b u/mean u: unique fixed point w*, rate 1 − b",
    stated={"multiplicative": THEOREM, "additive": THEOREM},
    corrected="Doubly exponential in δ: log(p_j/p_i) grows like τ(e^{δ_j/β} − e^{δ_i/β}). Use the additive average.",
    method="S+Q+B+E",
    derivation=(
        "One step changes log(p_j/p_i) by log(1 − b + b u_j/m) − log(1 − b + b u_i/m) = b(u_j − u_i)/m + O(b²).",
        "With dτ = b/m the sum is τ(u_j − u_i): p ∝ e^{τu}, and u = e^{δ/β}.",
        "Additive: p' − w* = (1−b)(p − w*) exactly; w* is the only fixed point, every multiplier is 1 − b.",
    ),
    twins={
        "growth with the opposite sign": {"growth": lambda u, v, m: (v - u) / m},
        "growth without the mean": {"growth": lambda u, v, m: u - v},
        "growth of the ratio of signals": {"growth": lambda u, v, m: (u / v - 1) / m},
        "multiplicative instead": {"update": literal.update_priority},
        "additive with half the rate": {"update": lambda p, u, b: additive(p, u, b / 2)},
        "additive without normalisation": {
            "update": lambda p, u, b: [(1 - b) * x + b * v for x, v in zip(p, u, strict=True)]
        },
    },
)
def pri_02(case: Case, *, growth: Any = lambda u, v, m: (u - v) / m, update: Any = additive) -> None:
    """The first-order growth of the literal map, in symbols and along an orbit; contraction of the additive one."""
    part = "multiplicative"
    first, second, p, q, b = positive("u v p q b")
    image = literal.update_priority((p, q), (first, second), b)
    ratio = sympy.log(image[0] / image[1]) - sympy.log(p / q)
    slope = sympy.diff(ratio, b).subs(b, 0)
    average = (p * first + q * second) / 2
    case.theorem(
        "S",
        "d log(p_j/p_i)/db at b = 0 is (u_j − u_i)/mean(pu)",
        equal(slope, growth(first, second, average)),
        part=part,
    )
    errors = []
    with balls.precision(128):
        for steps in (40, 80, 160, 320):
            rate = fmpq(1, steps)
            current, time = [balls.ball(1)] * 3, balls.ball(0)
            for _ in range(steps):
                mean = sum((x * u for x, u in zip(current, SIGNALS, strict=True)), balls.ball(0)) / 3
                time += balls.ball(rate) * growth(fmpq(2), fmpq(1), mean)
                current = literal.update_priority(current, SIGNALS, rate)
            errors.append(abs(log(current[2] / current[0]) - time * (SIGNALS[2] - SIGNALS[0])))
        orders = [a / c for a, c in itertools.pairwise(errors)]
        halves = all(fmpq(17, 10) < x < fmpq(23, 10) for x in orders)
    case.theorem(
        "B",
        "log(p₃/p₁) − τ(u₃ − u₁) is of first order in b",
        bool(halves),
        f"errors at b = 1/40, 1/80, 1/160, 1/320: {show(errors)}",
        part=part,
    )
    x, y, m = positive("x y m")
    shrinks = sympy.together((1 - b + b * y / m) / (1 - b + b * (y + x) / m) - 1)
    inside = shrinks.subs(b, 1 / (1 + p))
    case.theorem("S", "p_j/p_i falls in every step if u_j < u_i, for every 0 < b < 1", sign(inside, -1), part=part)

    part = "additive"
    rate = fmpq(1, 10)
    generator = random.Random(2)
    family = []
    for _ in range(30):
        signals = [fmpq(generator.randint(1, 50)) for _ in range(4)]
        point = [fmpq(generator.randint(0, 40), 7) for _ in range(4)]
        best, image = target(signals), update(point, signals, rate)
        contracts = all(i - w == (1 - rate) * (x_ - w) for i, x_, w in zip(image, point, best, strict=True))
        family.append(Answer(contracts, f"p=({show(point)}), u=({show(signals)}) goes to ({show(image)})"))
    case.theorem(
        "Q", "p' − w* = (1−b)(p − w*): w* is the only fixed point, reached at rate 1−b", every(family), part=part
    )
    seen = spectrum(jacobian(update, target(SIGNALS), SIGNALS, rate))
    case.theorem(
        "E", "every multiplier is 1 − b", seen == [sympy.Rational(9, 10)] * 3, f"{', '.join(map(str, seen))}", part=part
    )
    case.comparison("Q", "reference.recursion", under_test.additive_average(), part=part)
