"""flashbax's prioritised trajectory buffer and its trajectory buffer, with trajectories of one item.

Its item buffers are these two with smaller batches only. A priority exponent of one makes priorities probabilities.
flashbax draws stratified: one index from each of B equal parts of the cumulated priorities, in their order. It states
the probability of each index and leaves the importance correction to its users; its buffers have no n-step rows and no
look-up by index.
"""

from __future__ import annotations

import functools

import flashbax
import jax
import jax.numpy as jnp
import numpy as np
from contract.adapters import numbered
from contract.agents import NotOffered
from contract.protocol import Implementation


def _one_item(capacity: int, count: int) -> dict[str, int]:
    """Trajectories of one item, added one at a time."""
    lengths = {"sample_sequence_length": 1, "period": 1, "min_length_time_axis": 1, "max_length_time_axis": capacity}
    return lengths | {"add_batch_size": 1, "sample_batch_size": count}


@functools.lru_cache
def _prioritised(capacity: int, count: int):
    buffer = flashbax.make_prioritised_trajectory_buffer(**_one_item(capacity, count), priority_exponent=1.0)
    return buffer.replace(**{name: jax.jit(getattr(buffer, name)) for name in ("add", "sample", "set_priorities")})


class Prioritised:
    """Transition k stores k."""

    def create(self, capacity):
        return capacity, _prioritised(capacity, 1).init(jnp.zeros(()))

    def insert(self, buffer, number, reward, terminated, ended, weight=None):
        """flashbax gives every new item the largest priority ever set, at least one: no weight can be handed over."""
        capacity, state = buffer
        if weight not in (None, 1.0):
            raise NotOffered("flashbax: an item's first priority is not for the caller to choose")
        return capacity, _prioritised(capacity, 1).add(state, jnp.full((1, 1), float(number)))

    def set_weights(self, buffer, indices, weights):
        capacity, state = buffer
        arrays = jnp.asarray(indices, jnp.int32), jnp.asarray(weights, float)
        return capacity, _prioritised(capacity, 1).set_priorities(state, *arrays)

    def weights(self, buffer):
        capacity, state = buffer
        tree = state.sum_tree_state
        filled = capacity if bool(state.is_full) else int(state.current_index)
        return np.asarray(flashbax.buffers.sum_tree.get(tree, jnp.arange(filled)))

    def weighing(self, weights):
        capacity = len(weights)
        state = _prioritised(capacity, 1).init(jnp.zeros(()))
        full = state.replace(is_full=jnp.asarray(True), running_index=jnp.asarray(capacity, jnp.int32))
        return self.set_weights((capacity, full), np.arange(capacity), weights)

    def _sample(self, buffer, seed, count):
        capacity, state = buffer
        return _prioritised(capacity, count).sample(state, jax.random.key(seed))

    def draw(self, buffer, seed, count, exponent):
        return np.asarray(self._sample(buffer, seed, count).indices), None

    def probabilities(self, buffer, seed, count):
        sample = self._sample(buffer, seed, count)
        return np.asarray(sample.indices), np.asarray(sample.probabilities)

    def windows(self, buffer, indices, discount, n):
        raise NotOffered("flashbax: n-step rows are not offered")


@functools.lru_cache
def _items(capacity: int, count: int):
    buffer = flashbax.make_trajectory_buffer(**_one_item(capacity, count))
    return buffer.replace(add=jax.jit(buffer.add), sample=jax.jit(buffer.sample))


class Items:
    """The uniform buffer; transition k as `numbered` says."""

    row = staticmethod(numbered.row)

    @staticmethod
    def _item(number):
        return [jnp.asarray(field, float) for field in numbered.fields(number)]

    def create(self, capacity):
        return capacity, _items(capacity, 1).init(self._item(0.0))

    def insert(self, buffer, number):
        capacity, state = buffer
        return capacity, _items(capacity, 1).add(state, [field[None, None] for field in self._item(number)])

    def contents(self, buffer):
        capacity, state = buffer
        filled = capacity if bool(state.is_full) else int(state.current_index)
        columns = [np.asarray(field)[0, :filled].reshape(filled, -1) for field in state.experience]
        return np.concatenate(columns, axis=1), None

    def sample(self, buffer, seed, count):
        capacity, state = buffer
        drawn = _items(capacity, count).sample(state, jax.random.key(seed)).experience
        return np.asarray(drawn[0][:, 0, 0]).astype(int) % capacity  # the number that a state says is that of its slot

    def gather(self, buffer, indices):
        raise NotOffered("flashbax: no look-up by index")

    def set_weights(self, buffer, indices, weights):
        raise NotOffered("flashbax: the uniform buffer weighs nothing")


STRATIFIED = """
import flashbax, jax, jax.numpy as jnp
buffer = flashbax.make_prioritised_trajectory_buffer(
    add_batch_size=1, sample_batch_size=16, sample_sequence_length=1, period=1,
    min_length_time_axis=1, max_length_time_axis=3, priority_exponent=1.0,
)
state = buffer.init(jnp.zeros(()))
for number in range(3):
    state = buffer.add(state, jnp.full((1, 1), float(number)))
state = buffer.set_priorities(state, jnp.arange(3), jnp.array([1.0, 2.0, 5.0]))
for seed in (1, 2):
    print("seed", seed, "draws", buffer.sample(state, jax.random.key(seed)).indices)
"""

implementation = Implementation(
    name="flashbax",
    store=Prioritised,
    replay=Items,
    divergences=(),
    snippets={
        "RB-03 frequencies of pairs of proportional indices": STRATIFIED,
        "RB-03 agreement of the indices of two keys": STRATIFIED,
    },
)
