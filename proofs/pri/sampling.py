"""Weighting against sampling (PRI-05), and the multiplicative priority on mini-batches (PRI-06)."""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Sequence
from typing import Any

from flint import arb, fmpq

from proofs import balls, literal, zeros
from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.pri.replicator import SIGNALS, show, target
from proofs.verdict import THEOREM, TRUE


def average(values: Any) -> Any:
    """The mean."""
    values = list(values)
    return sum(values, 0 * values[0]) / len(values)


def weighted(priorities: Sequence[Any], gradients: Sequence[Any]) -> tuple[Any, Any]:
    """Mean and second moment of p g for a uniformly sampled item."""
    products = [p * g for p, g in zip(priorities, gradients, strict=True)]
    return average(products), average(x * x for x in products)


def proportional(priorities: Sequence[Any], gradients: Sequence[Any]) -> tuple[Any, Any]:
    """Mean and second moment of g for an item sampled in proportion to p."""
    total = sum(priorities, 0 * priorities[0])
    shares = [p / total for p in priorities]
    mean = sum((q * g for q, g in zip(shares, gradients, strict=True)), 0 * gradients[0])
    return mean, sum((q * g * g for q, g in zip(shares, gradients, strict=True)), 0 * gradients[0])


def problems(count: int, seed: int) -> list[tuple[list[fmpq], list[fmpq]]]:
    """Mean-one priorities and scalar gradients, random."""
    generator = random.Random(seed)
    found = []
    for index in range(count):
        size = 2 + index % 5
        raw = [fmpq(generator.randint(1, 30)) for _ in range(size)]
        total = sum(raw, fmpq(0))
        found.append(([size * p / total for p in raw], [fmpq(generator.randint(-9, 9), 2) for _ in range(size)]))
    return found


@claim(
    "PRI-05",
    source=("ROER dataset_utils.py and critic.py", "001 (related work)"),
    statement="Uniform sampling with the priority as a loss weight does what sampling in proportion to it does.",
    formula="E_unif[p g] = mean(p)·E_{∝p}[g];  E_unif[p²‖g‖²] − E_{∝p}[‖g‖²] = E[p(p−1)‖g‖²] at mean p = 1",
    stated={"mean": TRUE, "second moment": THEOREM, "correction": THEOREM},
    corrected=(
        "The mean is the same up to mean(p), the noise is not: with equal gradient norms weighting is n/ESS times "
        "worse, and there are cases where it is better. PER's correction (N P)^{−1} with exponent 1 cancels any ratio: "
        "the two must never be combined."
    ),
    method="Q",
    derivation=(
        "Proportional sampling has P_i = p_i/(n·mean p), so Σ P_i g_i = mean(p g)/mean(p).",
        "Second moments at mean one: mean(p²‖g‖²) against mean(p‖g‖²); the difference is mean(p(p−1)‖g‖²).",
        "Equal norms: mean(p²) against 1, and mean(p²) = n/ESS ≥ 1.",
        "p = (1/2, 3/2), ‖g‖² = (10, 1): 19/8 < 13/4, because the noisy item has the small priority.",
        "Sampled ∝ p and weighted with (n P_i)^{−1}: Σ P_i g_i/(n P_i) = mean(g), whatever p is.",
    ),
    twins={
        "no factor mean p": {"direction": lambda mean, p: mean},
        "difference with p(p+1)": {
            "difference": lambda p, g: average(x * (x + 1) * y * y for x, y in zip(p, g, strict=True))
        },
        "difference with p-1": {"difference": lambda p, g: average((x - 1) * y * y for x, y in zip(p, g, strict=True))},
        "ESS/n": {"factor": lambda p: average(p) ** 2 / average(x * x for x in p)},
        "correction with exponent 1/2 of the ratio": {"corrected_weight": lambda n, share: 1 / (n * n * share * share)},
    },
)
def pri_05(
    case: Case,
    *,
    direction: Any = lambda mean, p: average(p) * mean,
    difference: Any = lambda p, g: average(x * (x - 1) * y * y for x, y in zip(p, g, strict=True)),
    factor: Any = lambda p: average(x * x for x in p) / average(p) ** 2,
    corrected_weight: Any = lambda n, share: 1 / (n * share),
) -> None:
    """Both estimators on exact families, and the stated example."""
    means, seconds, equal_norms, cancelled = [], [], [], []
    for priorities, gradients in problems(40, 5):
        scaled = [3 * p for p in priorities]
        mean, _ = weighted(scaled, gradients)
        other, _ = proportional(scaled, gradients)
        means.append(Answer(mean == direction(other, scaled), f"{mean} and mean(p) · {other}"))
        gap = weighted(priorities, gradients)[1] - proportional(priorities, gradients)[1]
        seconds.append(Answer(gap == difference(priorities, gradients), f"difference {gap}"))
        signs = [fmpq(1 if g >= 0 else -1) for g in gradients]
        ratio = weighted(priorities, signs)[1] / proportional(priorities, signs)[1]
        equal_norms.append(Answer(ratio == factor(priorities), f"ratio {ratio}"))
        total = sum(priorities, fmpq(0))
        shares = [p / total for p in priorities]
        flat = sum((q * corrected_weight(len(shares), q) * g for q, g in zip(shares, gradients, strict=True)), fmpq(0))
        cancelled.append(
            Answer(flat == average(gradients), f"p=({show(priorities)}): {flat}, unweighted {average(gradients)}")
        )
    case.claimed("Q", "the same mean direction, times mean p", every(means, means[0].witness), part="mean")
    part = "second moment"
    case.theorem("Q", "second moments differ by E[p(p−1)‖g‖²]", every(seconds, seconds[0].witness), part=part)
    case.theorem(
        "Q", "equal norms: weighting is n/ESS times worse", every(equal_norms, equal_norms[0].witness), part=part
    )
    halves, norms = [fmpq(1, 2), fmpq(3, 2)], [fmpq(10), fmpq(1)]
    first = average(p * p * g for p, g in zip(halves, norms, strict=True))
    second = average(p * g for p, g in zip(halves, norms, strict=True))
    reversed_ = first == fmpq(19, 8) and second == fmpq(13, 4) and first < second
    case.theorem(
        "Q", "and can be better: 19/8 < 13/4", reversed_, f"p=(1/2, 3/2), ‖g‖²=(10, 1): {first} < {second}", part=part
    )
    case.theorem(
        "Q",
        "sampling ∝ p with PER's weight (nP)^{−1} is uniform again",
        every(cancelled, cancelled[0].witness),
        part="correction",
    )


BATCH = 8


@functools.cache
def companions() -> tuple[tuple[tuple[int, ...], fmpq], ...]:
    """How often each of three equally frequent classes is among the other seven items of a batch, with probability."""
    found = []
    for first in range(BATCH):
        for second in range(BATCH - first):
            third = BATCH - 1 - first - second
            ways = math.comb(BATCH - 1, first) * math.comb(BATCH - 1 - first, second)
            found.append(((first, second, third), fmpq(ways, 3 ** (BATCH - 1))))
    return tuple(found)


def drift(priorities: Sequence[Any]) -> list[Any]:
    """E[u_k / mean_B(pu)] - 1 for an item of class k in the batch: what a small step adds to log p_k, over b."""
    total = [0 * priorities[0]] * 3
    for counts, probability in companions():
        others = sum((n * p * u for n, p, u in zip(counts, priorities, SIGNALS, strict=True)), 0 * priorities[0])
        for k in range(3):
            total[k] = total[k] + probability * BATCH * SIGNALS[k] / (others + priorities[k] * SIGNALS[k])
    return [value - 1 for value in total]


def drift_slopes(priorities: Sequence[Any]) -> list[list[Any]]:
    """The Jacobian of `drift`."""
    rows = [[0 * priorities[0]] * 3 for _ in range(3)]
    for counts, probability in companions():
        others = sum((n * p * u for n, p, u in zip(counts, priorities, SIGNALS, strict=True)), 0 * priorities[0])
        for k in range(3):
            square = (others + priorities[k] * SIGNALS[k]) ** 2
            for j in range(3):
                share = (counts[j] + (1 if j == k else 0)) * SIGNALS[j]
                rows[k][j] = rows[k][j] - probability * BATCH * SIGNALS[k] * share / square
    return rows


def simulate(update: Any, per_class: int, rate: float, steps: int, seed: int = 0) -> list[float]:
    """Time averages of p for each class over the second half of a run of the literal update on uniform batches."""
    generator = random.Random(seed)
    signals = [float(u) for u in (1, 2, 4) for _ in range(per_class)]
    priorities = [1.0] * len(signals)
    totals, counted = [0.0] * 3, 0
    for step in range(steps):
        batch = [generator.randrange(len(signals)) for _ in range(BATCH)]
        for item, value in zip(
            batch, update([priorities[i] for i in batch], [signals[i] for i in batch], rate), strict=True
        ):
            priorities[item] = value
        if step >= steps // 2 and step % 20 == 0:
            counted += 1
            for k in range(3):
                totals[k] += sum(priorities[k * per_class : (k + 1) * per_class]) / per_class
    return [total / counted for total in totals]


@claim(
    "PRI-06",
    source="ROER sac_learner.py, update_priority",
    statement="What mini-batches do to the multiplicative priority.",
    formula=(
        "B = 1: p' = (1−b)p + b;  always p' ≤ max(p, B), and ≤ max(p, B, m) with floor m;  B = 8: not w* on average"
    ),
    stated={"single": THEOREM, "bound": THEOREM, "averages": THEOREM},
    corrected=(
        "With B = 1 the TD error is forgotten. With u = 1, 2, 4 in three equally frequent classes and B = 8 the "
        "small-step "
        "limit is (0.00108, 0.3186, 2.680), against w* = (0.429, 0.857, 1.714)."
    ),
    method="Q+B+N",
    derivation=(
        "B = 1: u/mean(pu) = 1/p, so p' = p(1 − b) + b, whatever u is.",
        "p_i u_i ≤ B·mean_B(pu) because every term is positive, so p_i' ≤ (1−b)p_i + bB ≤ max(p_i, B).",
        "For small b, log p_k of an item in the batch moves by b(E[u_k/mean_B(pu)] − 1); the other seven items are "
        "multinomial over the classes. The zero of these three equations is enclosed in balls.",
        "At w* the drift is not zero: the top class still grows, the others fall.",
    ),
    twins={
        "normalised by mean u": {
            "update": lambda p, u, b: [x * (1 - b + b * v / average(u)) for x, v in zip(p, u, strict=True)]
        },
        "additive on the batch": {
            "update": lambda p, u, b: [(1 - b) * x + b * v / average(u) for x, v in zip(p, u, strict=True)]
        },
        "bound 1": {"bound": lambda p, size: max(p, fmpq(1))},
        "bound without the first priority": {"bound": lambda p, size: fmpq(size)},
        "B = 1 keeps p": {"single": lambda p, b: p},
        "the average is w*": {"limit": lambda: target(SIGNALS)},
    },
)
def pri_06(
    case: Case,
    *,
    update: Any = literal.update_priority,
    single: Any = lambda p, b: (1 - b) * p + b,
    bound: Any = lambda p, size: max(p, fmpq(size)),
    limit: Any = lambda: (fmpq(108, 10**5), fmpq(3186, 10**4), fmpq(268, 100)),
) -> None:
    """The literal update on batches of one and on random batches, exactly; the small-step limit in balls; a run."""
    alone, capped, floored = [], [], []
    for index, (priorities, signals) in enumerate(problems(40, 6)):
        rate = fmpq(1, 2 + index % 20)
        u = [abs(x) + 1 for x in signals]
        image = update(priorities[:1], u[:1], rate)
        alone.append(
            Answer(image == [single(priorities[0], rate)], f"p={priorities[0]}, u={u[0]}, b={rate}: {image[0]}")
        )
        high = [4 * p for p in priorities]
        size = len(high)
        after = update(high, u, rate)
        holds = all(x <= bound(p, size) for x, p in zip(after, high, strict=True))
        capped.append(Answer(holds, f"B={size}: ({show(high)}) → ({show(after)})"))
        floor = fmpq(10)
        lifted = [max(x, floor) for x in after]
        holds = all(x <= max(bound(p, size), floor) for x, p in zip(lifted, high, strict=True))
        floored.append(Answer(holds, f"B={size}, m=10: ({show(lifted)})"))
    one, tiny = fmpq(1), fmpq(1, 10**6)
    extreme = update([one, tiny, tiny], [fmpq(50), one, one], one)
    capped.append(Answer(extreme[0] <= bound(one, 3), f"B=3: 1 → {show(extreme[:1])}"))
    case.theorem("Q", "B = 1: p' = (1−b)p + b", every(alone, alone[0].witness), part="single")
    case.theorem(
        "Q", "p' ≤ max(p, B)", every(capped), f"nearly attained at b = 1: {show(extreme[:1])} of B = 3", part="bound"
    )
    case.theorem("Q", "with the floor m, p' ≤ max(p, B, m)", every(floored), part="bound")

    part, best = "averages", target(SIGNALS)
    at_target = drift(best)
    case.theorem(
        "Q",
        "the drift at w* is not zero",
        at_target[2] > 0 > at_target[0],
        f"({show(at_target)}) at w*=({show(best)})",
        part=part,
    )
    start = zeros.refine(drift, drift_slopes, [fmpq(1, 1000), fmpq(32, 100), fmpq(268, 100)])
    zero = zeros.isolate(drift, drift_slopes, start)
    with balls.precision(128):
        close = all(abs(z / w - 1) < arb(1) / 500 for z, w in zip(zero, limit(), strict=True))
        total = average(zero)
    case.theorem(
        "B",
        "the small-step limit is (0.00108, 0.3186, 2.680)",
        bool(close),
        f"zero of the drift ({show(zero)}), mean {balls.short(total, 6)}",
        part=part,
    )
    seen = simulate(update, 100, 0.05, 16000)
    near = seen[0] < 0.01 and 0.2 < seen[1] < 0.45 and 2.5 < seen[2] < 2.85
    text = ", ".join(f"{x:.3f}" for x in seen)
    case.theorem(
        "N",
        "so are the time averages of the literal update",
        near,
        f"300 items, b = 0.05, 16 000 batches: ({text})",
        part=part,
    )
