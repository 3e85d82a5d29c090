"""What the clips of the public ROER code do: the floor (PRI-03) and the clip of the signal to [1, max] (PRI-04)."""

from __future__ import annotations

import itertools
import random
from typing import Any

from flint import fmpq

from proofs import literal
from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.pri.replicator import show
from proofs.verdict import THEOREM

RATE = fmpq(1, 100)
"""per_beta of the published launch scripts."""

FLOOR, CAP = fmpq(10), fmpq(50)
"""min_clip and max_clip of its MuJoCo scripts (half of which take 100)."""


def drawn(count: int, seed: int) -> list[tuple[list[fmpq], list[fmpq]]]:
    """Priorities and signals in [1, 50], random."""
    generator = random.Random(seed)
    found = []
    for index in range(count):
        size = 2 + index % 5
        priorities = [fmpq(generator.randint(1, 60), generator.randint(1, 4)) for _ in range(size)]
        found.append((priorities, [fmpq(generator.randint(1, 50)) for _ in range(size)]))
    return found


def average(values: Any) -> fmpq:
    """The mean."""
    return sum(values, fmpq(0)) / len(values)


@claim(
    "PRI-03",
    source="ROER sac_learner.py, update_priority",
    statement="The mean of the priorities, and the floor min_clip.",
    formula=(
        "no floor: mean p' = (1−b) mean p + b;  floor m: p = m everywhere is fixed iff max u ≤ m·mean u;  else one top "
        "class at p = (n u_top − mΣ_rest u)/(n_top u_top)"
    ),
    stated={"mean": THEOREM, "floor": THEOREM, "top class": THEOREM},
    corrected=(
        "With m = 10 and max_clip = 50 the floor swallows every difference as soon as mean u ≥ 5; otherwise one class "
        "escapes, a single item among 256 as far as p = 205."
    ),
    method="Q",
    derivation=(
        "Sum p_i(1 − b + b u_i/mean(pu)) over i: (1−b)Σp + b n.",
        "At p = m everywhere, item i is mapped to m(1 − b + b u_i/(m mean u)): not above m iff u_i ≤ m·mean u.",
        "If the top class alone is above the floor, it is fixed iff u_top = mean(pu) = (n_top p u_top + mΣ_rest u)/n.",
        "One item with u = 50 among 255 with u = 1, m = 10: (256·50 − 10·255)/50 = 205.",
    ),
    twins={
        "mean without the b": {"mean": lambda before, b: (1 - b) * before},
        "mean kept": {"mean": lambda before, b: before},
        "condition without m": {"levels": lambda u, m: max(u) <= average(u)},
        "condition with the opposite sign": {"levels": lambda u, m: max(u) >= m * average(u)},
        "top class without the rest": {"top": lambda n, n_top, u_top, rest, m: fmpq(n, n_top)},
        "top class without m": {"top": lambda n, n_top, u_top, rest, m: (n * u_top - rest) / (n_top * u_top)},
    },
)
def pri_03(
    case: Case,
    *,
    mean: Any = lambda before, b: (1 - b) * before + b,
    levels: Any = lambda u, m: max(u) <= m * average(u),
    top: Any = lambda n, n_top, u_top, rest, m: (n * u_top - m * rest) / (n_top * u_top),
) -> None:
    """The literal map on exact families; the example of 256 items."""
    means = []
    for priorities, signals in drawn(40, 3):
        image = literal.update_priority(priorities, signals, RATE)
        expected = mean(average(priorities), RATE)
        means.append(Answer(average(image) == expected, f"mean {average(priorities)} → {average(image)}"))
    case.theorem("Q", "mean p' = (1−b) mean p + b, which tends to 1", every(means, means[0].witness), part="mean")

    flat = []
    for index, (_, signals) in enumerate(drawn(60, 4)):
        if index % 2:
            signals = [signals[0], *(fmpq(1) for _ in range(11))]
        floor = (fmpq(2), fmpq(5), FLOOR)[index % 3]
        level = [floor] * len(signals)
        stays = literal.update_priority_with_floor(level, signals, RATE, floor) == level
        flat.append(
            Answer(stays == levels(signals, floor), f"m={floor}, u=({show(signals)}): {'fixed' if stays else 'moves'}")
        )
    case.theorem("Q", "p = m everywhere is fixed iff max u ≤ m·mean u", every(flat), part="floor")
    swallowed = []
    for _, signals in drawn(60, 5):
        if average(signals) >= 5:
            level = [FLOOR] * len(signals)
            swallowed.append(
                Answer(literal.update_priority_with_floor(level, signals, RATE, FLOOR) == level, show(signals))
            )
    case.theorem("Q", "m = 10, max 50: fixed whenever mean u ≥ 5", every(swallowed), part="floor")

    classes = []
    for n, n_top, u_top in ((256, 1, 50), (256, 2, 40), (100, 1, 30), (64, 3, 20)):
        signals = [fmpq(u_top)] * n_top + [fmpq(1)] * (n - n_top)
        rest = fmpq(n - n_top)
        for floor in (fmpq(2), fmpq(3), FLOOR):
            if not fmpq(u_top) > floor * average(signals):
                continue
            p = top(n, n_top, fmpq(u_top), rest, floor)
            point = [p] * n_top + [floor] * (n - n_top)
            fixed = literal.update_priority_with_floor(point, signals, RATE, floor) == point and p > floor
            classes.append(Answer(fixed, f"n={n}, {n_top} at u={u_top}, m={floor}: p={p}"))
    case.theorem(
        "Q",
        "otherwise the top class alone stands above the floor, at the stated p",
        every(classes),
        classes[0].witness,
        part="top class",
    )
    alone = top(256, 1, CAP, fmpq(255), FLOOR)
    case.theorem("Q", "one item with u = 50 among 256: p = 205", alone == 205, f"p = {alone}", part="top class")


@claim(
    "PRI-04",
    source=("ROER sac_learner.py, update_priority", "ROER dataset_utils.py (initial priority)"),
    statement="The clip of e^{δ/β} to [1, max_clip], and the weight of new items.",
    formula=(
        "u = clip(e^{δ/β}, 1, max): every δ ≤ 0 has u = 1, u/u' ∈ [1/max, max];  a new item has p = 1, then p ≥ "
        "min_clip"
    ),
    stated={"clip": THEOREM, "new items": THEOREM},
    corrected=(
        "No pair is weighted down for a negative TD error, however large. With min_clip = 10 a fresh item has a "
        "tenth or "
        "less of the weight of every item that was ever sampled: a built-in penalty on fresh data."
    ),
    method="P",
    derivation=(
        "δ ≤ 0 means e^{δ/β} ≤ 1, and the clip lifts it to 1: all of these tie.",
        "u ∈ [1, max] for every δ and β, so any two signals differ by a factor of at most max; it is attained.",
        "The buffer starts p at 1, and the loss uses p before it is updated: the first gradient of an item has "
        "weight 1.",
        "The first update ends with max(·, min_clip): from then on p ≥ min_clip.",
    ),
    twins={
        "clipped at 1/max": {"signal": lambda e, cap: min(max(e, 1 / cap), cap)},
        "no lower clip": {"signal": min},
        "no upper clip": {"signal": lambda e, cap: max(e, fmpq(1))},
        "new items start at the floor": {"initial": lambda floor: floor},
        "floor forgotten": {"update": lambda p, u, b, floor: literal.update_priority(p, u, b)},
    },
)
def pri_04(
    case: Case,
    *,
    signal: Any = literal.priority_signal,
    initial: Any = lambda floor: fmpq(1),
    update: Any = literal.update_priority_with_floor,
) -> None:
    """Exact e^{δ/β} from 10⁻⁹ to 10⁹; the literal update on batches with fresh items."""
    exponentials = [fmpq(a, b) ** k for a, b in ((1, 2), (3, 2), (9, 10), (11, 10), (1, 1)) for k in (1, 2, 7, 30)]
    ties = [
        Answer(signal(e, CAP) == 1, f"e^(δ/β) = {show([e])}: u = {show([signal(e, CAP)])}")
        for e in exponentials
        if e <= 1
    ]
    case.theorem("P", "every δ ≤ 0 has u = 1", every(ties), part="clip")
    ratios = []
    for cap in (CAP, fmpq(100)):
        signals = [signal(e, cap) for e in exponentials]
        for u, v in itertools.product(signals, repeat=2):
            ratios.append(Answer(1 <= u <= cap and u / v <= cap, f"u = {show([u])}, u' = {show([v])}"))
        ratios.append(
            Answer(max(signals) / min(signals) == cap, f"largest ratio {show([max(signals) / min(signals)])}")
        )
    case.theorem("P", "1 ≤ u ≤ max, u/u' ≤ max, and the bound is attained", every(ratios), part="clip")
    fresh = []
    for old, signals in drawn(40, 7):
        priorities = [initial(FLOOR), *(max(p, FLOOR) for p in old[1:])]
        after = update(priorities, signals, RATE, FLOOR)
        holds = 10 * priorities[0] <= min(priorities[1:]) and min(after) >= FLOOR
        fresh.append(Answer(holds, f"weights ({show(priorities)}), after the update ({show(after)})"))
    case.theorem(
        "P",
        "its first gradient has weight 1, a tenth of any other's; then p ≥ min_clip",
        every(fresh),
        fresh[0].witness,
        part="new items",
    )
