"""The replay buffer: its contents as a model test against a plain list, and the law of its indices."""

import numpy as np
import pytest
import tolerances
from contract.agents import NotOffered
from contract.compare import EPS
from contract.problems import DTYPE
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

DRAWS = 4


def machine(buffers, row) -> type[RuleBasedStateMachine]:
    """A state machine that holds `buffers` against a list of (transition number, weight), oldest overwritten first."""

    class AgainstAList(RuleBasedStateMachine):
        @initialize(capacity=st.sampled_from((1, 3, 5)))
        def begin(self, capacity):
            self.capacity, self.inserted = capacity, 0
            self.buffer = buffers.create(capacity)
            self.model: list[list[float]] = []  # slot -> [transition number, weight]
            self._insert(1)
            self.weighs = buffers.contents(self.buffer)[1] is not None

        @rule(times=st.integers(1, 4))
        def insert(self, times):
            self._insert(times)

        def _insert(self, times):
            for _ in range(times):
                self.buffer = buffers.insert(self.buffer, self.inserted)
                slot = self.inserted % self.capacity
                fresh = [self.inserted, 1.0]
                if slot < len(self.model):
                    self.model[slot] = fresh
                else:
                    self.model.append(fresh)
                self.inserted += 1

        def _slots(self, seed):
            rng = np.random.default_rng(seed)
            return rng.integers(0, len(self.model), DRAWS)

        @precondition(lambda self: self.model and self.weighs)
        @rule(seed=st.integers(0, 2**16))
        def reweigh(self, seed):
            """As learning does it: a slot that is drawn twice is handed one and the same new weight twice."""
            slots = self._slots(seed)
            new = (2.0 + slots + seed % 7) / 4
            self.buffer = buffers.set_weights(self.buffer, slots, new)
            for slot, weight in zip(slots, new, strict=True):
                self.model[slot][1] = weight

        @precondition(lambda self: self.model)
        @rule(seed=st.integers(0, 2**16))
        def gather(self, seed):
            slots = self._slots(seed)
            try:
                rows, weights, masses = buffers.gather(self.buffer, slots)
            except NotOffered:
                return
            expected = np.array([buffers.row(self.model[slot][0]) for slot in slots])
            row.exact(
                "RB-01",
                "rows gathered from the replay",
                np.array_equal(rows, expected),
                f"slots {slots.tolist()}: expected rows\n{expected}\nsaw\n{rows}",
            )
            if self.weighs:
                row.exact(
                    "RB-01",
                    "weights gathered from the replay",
                    np.array_equal(weights, [self.model[slot][1] for slot in slots]),
                    f"slots {slots.tolist()}: expected {[self.model[s][1] for s in slots]}, saw {weights.tolist()}",
                )
            if masses is not None:
                error = np.abs(masses - 1 / DRAWS)
                row("RB-01", "masses of a sampled batch are 1/B", error, EPS, "one rounding of 1/B")

        @invariant()
        def contents(self):
            rows, weights = buffers.contents(self.buffer)
            row.exact(
                "RB-01",
                "replay size",
                len(rows) == len(self.model),
                f"{self.inserted} insertions, {self.capacity} slots: expected {len(self.model)}, saw {len(rows)}",
            )
            expected = np.array([buffers.row(number) for number, _ in self.model]).reshape(rows.shape)
            row.exact("RB-01", "replay contents", np.array_equal(rows, expected), f"expected\n{expected}\nsaw\n{rows}")
            if weights is not None:
                row.exact(
                    "RB-01",
                    "replay weights (reset to one on overwrite)",
                    np.array_equal(weights, [weight for _, weight in self.model]),
                    f"expected {[weight for _, weight in self.model]}, saw {weights.tolist()}",
                )

    return AgainstAList


def test_contents(offered, row):
    """Insertion, wraparound, weights and gathering, in any order."""
    budget = settings(max_examples=max(5, settings().max_examples // 2), stateful_step_count=20)
    run_state_machine_as_test(machine(offered("replay")(), row), settings=budget)


def test_precision_of_storage(offered, row):
    """A number of the tested precision comes back bit for bit: nothing is stored narrower."""
    buffers = offered("replay")()
    number = float(DTYPE.type(1) + 8 * np.finfo(DTYPE).eps)
    rows, _ = buffers.contents(buffers.insert(buffers.create(2), number))
    row.exact(
        "RB-01",
        "precision of storage",
        bool(np.array_equal(rows[0].astype(DTYPE), buffers.row(number).astype(DTYPE))),
        f"stored {number!r}, expected {buffers.row(number)!r}, saw {rows[0]!r}",
    )


@pytest.mark.parametrize(("inserted", "capacity"), [(1, 5), (3, 5), (5, 5), (7, 5)])
def test_index_frequencies(inserted, capacity, offered, row, stream):
    """Every filled slot equally often and no other slot, one by one and in consecutive pairs."""
    buffers = offered("replay")()
    buffer = buffers.create(capacity)
    for number in range(inserted):
        buffer = buffers.insert(buffer, number)
    filled, draws = min(inserted, capacity), 2**18
    indices = np.asarray(buffers.sample(buffer, stream + 17 * inserted, draws))
    row.exact(
        "RB-02",
        "indices lie in the filled slots",
        bool(indices.min() >= 0 and indices.max() < filled),
        f"{filled} of {capacity} slots are filled, saw indices {indices.min()} .. {indices.max()}",
    )
    low, high, reason = tolerances.binomial_counts(draws, 1 / filled, filled)
    counts = np.bincount(indices, minlength=filled)
    row("RB-02", "frequencies of replay indices", np.abs(counts - (low + high) / 2), (high - low) / 2, reason)
    pairs = np.bincount(indices[0::2] * filled + indices[1::2], minlength=filled**2)
    low, high, reason = tolerances.binomial_counts(draws // 2, 1 / filled**2, filled**2)
    row(
        "RB-02",
        "frequencies of consecutive pairs of replay indices",
        np.abs(pairs - (low + high) / 2),
        (high - low) / 2,
        reason,
    )


def test_indices_depend_on_the_key(offered, row, stream):
    """Two keys give independent draws: their agreements are binomial."""
    buffers = offered("replay")()
    buffer = buffers.create(5)
    for number in range(5):
        buffer = buffers.insert(buffer, number)
    draws = 2**18
    first, second = (np.asarray(buffers.sample(buffer, seed, draws)) for seed in (stream + 1, stream + 2))
    low, high, reason = tolerances.binomial_counts(draws, 1 / 5, 1)
    row(
        "RB-02",
        "agreement of the indices of two keys",
        abs(int((first == second).sum()) - (low + high) / 2),
        (high - low) / 2,
        reason,
    )
