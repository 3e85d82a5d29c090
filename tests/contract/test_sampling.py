"""Sampling in proportion to the stored weights: the law of the indices, the importance correction, first weights."""

import numpy as np
import pytest
import tolerances_replay as bounds
from contract.agents import NotOffered
from contract.compare import EPS, agree, examples
from contract.problems import DTYPE
from contract.shadow import exact
from hypothesis import example, given
from hypothesis import strategies as st

DRAWS = 2**16
BATCH = 64


def fill(buffers, capacity: int, inserted: int, weights: dict[int, float]):
    """A ring after `inserted` insertions, the slots in `weights` weighed anew."""
    buffer = buffers.create(capacity)
    for number in range(inserted):
        buffer = buffers.insert(buffer, number, 0.0, 0.0, 0.0)
    return buffers.set_weights(buffer, np.array(list(weights)), np.array(list(weights.values()))) if weights else buffer


def corrected(buffers, buffer, seed: int, exponent: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices and factors of a batch, of a buffer that corrects for what it drew."""
    indices, factors = buffers.draw(buffer, seed, BATCH, DTYPE.type(exponent))
    if factors is None:
        raise NotOffered("the importance correction is not offered")
    return indices, factors


@pytest.mark.parametrize(
    ("capacity", "inserted", "weights"),
    [
        (1, 3, {0: 0.25}),
        (2, 1, {}),
        (5, 5, {0: 4.0, 2: 0.0, 4: 0.5}),
        (5, 3, {0: 0.0, 1: 2.0}),
        (8, 13, {0: 0.0, 7: 3.0, 3: 1e-3}),
        (13, 13, {12: 9.0, 11: 0.0}),
    ],
)
def test_frequencies(capacity, inserted, weights, offered, row, stream):
    """Each slot in proportion to its weight, the first and the last too, one by one and in consecutive pairs."""
    buffers = offered("store")()
    buffer = fill(buffers, capacity, inserted, weights)
    filled = min(capacity, inserted)
    expected = np.array([weights.get(slot, 1.0) for slot in range(filled)])
    law = expected / expected.sum()
    indices, _ = buffers.draw(buffer, stream + 7 * capacity + inserted, DRAWS, 0.0)
    row.exact(
        "RB-03",
        "proportional indices lie in the filled slots",
        bool(indices.min() >= 0 and indices.max() < filled),
        f"{filled} of {capacity} slots are filled, saw indices {indices.min()} .. {indices.max()}",
    )
    counts = np.bincount(indices, minlength=filled)
    row.exact(
        "RB-03",
        "slots of weight zero are never drawn",
        bool((counts[expected == 0] == 0).all()),
        f"weights {expected.tolist()}, saw counts {counts.tolist()}",
    )
    variation = bounds.descent(capacity, EPS)
    middle, half, reason = bounds.counts(DRAWS, law, variation, filled)
    row("RB-03", "frequencies of proportional indices", np.abs(counts - middle), half, reason)
    pairs = np.bincount(indices[0::2] * filled + indices[1::2], minlength=filled**2)
    middle, half, reason = bounds.counts(DRAWS // 2, np.outer(law, law).ravel(), 2 * variation, filled**2)
    row("RB-03", "frequencies of pairs of proportional indices", np.abs(pairs - middle), half, reason)


def test_keys(offered, row, stream):
    """Two keys give independent draws: how often they agree is binomial."""
    buffers = offered("store")()
    weights = {0: 1.0, 1: 2.0, 2: 5.0}
    buffer = fill(buffers, 5, 3, weights)
    law = np.array(list(weights.values())) / sum(weights.values())
    first, second = (buffers.draw(buffer, seed, DRAWS, 0.0)[0] for seed in (stream + 1, stream + 2))
    agreement = np.array([(law**2).sum()])
    middle, half, reason = bounds.counts(DRAWS, agreement, 2 * bounds.descent(5, EPS), 1)
    row("RB-03", "agreement of the indices of two keys", np.abs((first == second).sum() - middle), half, reason)


def test_many_slots(offered, row, stream):
    """A million slots and a weight range of 1e12: nothing of weight zero, and every part of the buffer in its share."""
    buffers = offered("store")()
    slots, parts = 2**20 - 3, 64
    rng = np.random.default_rng(0)
    weights = np.exp(rng.uniform(-14.0, 14.0, slots)).astype(DTYPE)
    weights[rng.random(slots) < 0.5] = 0.0
    weights[:4], weights[-4:] = 0.0, 0.0
    indices, _ = buffers.draw(buffers.weighing(weights), stream + 3, DRAWS, 0.0)
    row.exact(
        "RB-03",
        "slots of weight zero are never drawn",
        bool((weights[indices] > 0).all()),
        f"saw slots {indices[weights[indices] == 0][:5].tolist()}, whose weight is zero",
    )
    part = np.arange(slots) * parts // slots
    law = np.bincount(part, weights.astype(np.float64)) / weights.sum(dtype=np.float64)
    middle, half, reason = bounds.counts(DRAWS, law, bounds.descent(slots, EPS), parts)
    counts = np.bincount(part[indices], minlength=parts)
    row("RB-03", "frequencies of parts of a large buffer", np.abs(counts - middle), half, reason)


@examples(0.6)
@example(sixteenths=[1, 2**14, 2**14, 2**13], exponent=1.0, seed=0)  # a slot that is not drawn has no say
@given(
    sixteenths=st.lists(st.integers(1, 256), min_size=4, max_size=4),
    exponent=st.sampled_from((0.0, 0.25, 0.5, 1.0)),
    seed=st.integers(0, 2**16),
)
def test_importance(sixteenths, exponent, seed, offered, row):
    """(N P(i))^-b over the maximum of the batch, not of the buffer, so that one is always 1; all are 1 for b = 0."""
    buffers = offered("store")()
    weights = np.array(sixteenths) / 16
    buffer = fill(buffers, 4, 4, dict(enumerate(weights)))
    indices, factors = corrected(buffers, buffer, seed, exponent)
    drawn = exact(weights[indices])
    if exponent == 0.0:
        row.exact("RB-04", "no correction at exponent zero", bool((factors == 1).all()), f"expected 1, saw {factors}")
    # the largest of (N P)^-b is that of the smallest weight
    expected = bounds.power(exact(np.min(weights[indices])) / drawn, exponent)
    agree(row, "RB-04", "importance correction", factors, expected)
    row.exact(
        "RB-04", "a batch's largest importance correction", max(factors) == 1.0, f"expected 1, saw {max(factors)}"
    )


@given(sixteenths=st.lists(st.integers(1, 64), min_size=4, max_size=4), seed=st.integers(0, 2**16))
@examples(0.4)
def test_corrected_gradient(sixteenths, seed, offered, row):
    """Fully corrected, every slot counts alike: P(i) times its factor is the same for all slots of a batch."""
    buffers = offered("store")()
    weights = np.array(sixteenths) / 16
    buffer = fill(buffers, 4, 4, dict(enumerate(weights)))
    indices, factors = corrected(buffers, buffer, seed, 1.0)
    contributions = weights[indices] * np.asarray(factors, np.float64)
    bound = bounds.power(exact(weights[indices]), 1.0).error + 8 * EPS * weights[indices]
    row(
        "RB-04",
        "expected gradient after complete correction",
        np.abs(contributions - contributions[np.argmin(weights[indices])]),
        bound,
        "a quotient and a power",
    )


def test_first_weights(offered, row):
    """A new transition has the weight that it is given, or the largest ever stored; never the overwritten one."""
    buffers = offered("store")()
    buffer, model, largest = buffers.create(3), {}, 1.0
    script = [(None, {}), (None, {0: 4.0}), (None, {0: 0.5, 1: 0.25}), (0.75, {}), (None, {2: 0.125}), (None, {0: 6.0})]
    for number, (given_weight, changes) in enumerate(script):
        try:
            buffer = buffers.insert(buffer, number, 0.0, 0.0, 0.0, given_weight)
        except NotOffered:  # a buffer that takes no weight from its caller: what is left is its own choice
            given_weight = None
            buffer = buffers.insert(buffer, number, 0.0, 0.0, 0.0, None)
        model[number % 3] = largest if given_weight is None else given_weight
        seen, expected = buffers.weights(buffer), [model[slot] for slot in sorted(model)]
        row.exact(
            "RB-05",
            "first weight of a new transition",
            np.array_equal(seen, expected),
            f"insertion {number}: expected {expected}, saw {seen.tolist()}",
        )
        if changes:
            buffer = buffers.set_weights(buffer, np.array(list(changes)), np.array(list(changes.values())))
            model |= changes
        largest = max(largest, *model.values())
