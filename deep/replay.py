"""Device-resident ring buffer with a weight per transition; pure functions on one pytree.

A slot's weight starts anew when the slot is overwritten: a new transition never inherits the weight of an old one.
Where weights are sampling probabilities (``create(..., proportional=True)``) their sums are kept in a tree beside them;
how batches are drawn is in :mod:`deep.sampling`.

N-step rows are put together when they are gathered, so that one stored transition serves every n and a window can end
where its episode does, by termination or time limit, or at the newest transition, whichever comes first.

What belongs together lies together: s beside s', and action, reward, terminated and ended in one row. An insertion is
then two writes and a batch two gathers in place of six each.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from deep.types import Batch, Scalar


class Transition(NamedTuple):
    """One step: ``next_observation`` is the true successor (never the observation after a reset).

    terminated  1 where the successor ends the task
    ended       1 where the episode ends after this step, by termination or by a time limit
    """

    observation: Float[Array, " O"]
    action: Float[Array, " U"]
    reward: Float[Array, ""]
    next_observation: Float[Array, " O"]
    terminated: Float[Array, ""]
    ended: Float[Array, ""]


class Replay(NamedTuple):
    """Storage of N slots, of which the first ``size`` are filled; ``head`` is the slot written next.

    states   s and s'
    steps    action, reward, terminated, ended
    weight   0 in empty slots
    largest  the largest weight ever stored, at least 1
    sums     node j holds the sum of nodes 2j and 2j + 1; node P + i, with P the least power of two >= N, is the weight
             of slot i. None where weights are no probabilities

    The properties below are the transitions' fields, also of a buffer with a leading axis of lanes.
    """

    states: Float[Array, "N 2 O"]
    steps: Float[Array, "N U+3"]
    weight: Float[Array, " N"]
    size: Int[Array, ""]
    head: Int[Array, ""]
    largest: Float[Array, ""]
    sums: Float[Array, " P"] | None

    @property
    def observation(self) -> Float[Array, "... N O"]:
        """The state before each step."""
        return self.states[..., 0, :]

    @property
    def next_observation(self) -> Float[Array, "... N O"]:
        """The state after each step."""
        return self.states[..., 1, :]

    @property
    def action(self) -> Float[Array, "... N U"]:
        """The action of each step."""
        return self.steps[..., :-3]

    @property
    def reward(self) -> Float[Array, "... N"]:
        """The reward of each step."""
        return self.steps[..., -3]

    @property
    def terminated(self) -> Float[Array, "... N"]:
        """1 where the state after the step ends the task."""
        return self.steps[..., -2]

    @property
    def ended(self) -> Float[Array, "... N"]:
        """1 where the episode ends after the step."""
        return self.steps[..., -1]


def create(capacity: int, observation_size: int, action_size: int, proportional: bool = False) -> Replay:
    """An empty buffer in JAX's default float precision; ``proportional`` keeps the sums that such sampling needs."""
    if capacity < 1:
        raise ValueError(f"replay: the capacity must be at least 1 transition, got {capacity}")
    return Replay(
        states=jnp.zeros((capacity, 2, observation_size)),
        steps=jnp.zeros((capacity, action_size + 3)),
        weight=jnp.zeros(capacity),
        size=jnp.zeros((), jnp.int32),
        head=jnp.zeros((), jnp.int32),
        largest=jnp.ones(()),
        sums=jnp.zeros(1 << (capacity - 1).bit_length()) if proportional else None,
    )


def insert(replay: Replay, transition: Transition, weight: Scalar = 1.0) -> Replay:
    """Write one transition at ``head`` with an initial weight, overwriting the oldest once full.

    Prioritised replay hands in ``replay.largest``, so that every transition is soon seen once.
    """
    # Always true, but not at compile time: written straight into the program, the insertion is fused into the gather
    # that follows, and XLA then copies arrays of the buffer at every step to have them before and after. The predicate
    # reads nothing of the buffer, so `vmap` leaves it one branch: a predicate for each lane would become a selection
    # between two whole buffers.
    always = jax.lax.optimization_barrier(jnp.ones((), bool))
    weight = jnp.asarray(weight, replay.weight.dtype)
    return jax.lax.cond(always, _write, _leave, replay, transition, weight)


def sample_indices(key: Key[Array, ""], replay: Replay, batch_size: int) -> Int[Array, " B"]:
    """Uniform indices of filled slots, with replacement."""
    return jax.random.randint(key, (batch_size,), 0, replay.size)


def gather(replay: Replay, indices: Int[Array, " B"], discount: Scalar, n: int = 1) -> Batch:
    """The rows at ``indices`` as a batch of equal masses; the stored weight is the factor of the critic's loss.

    Row i covers the k <= n steps from slot i up to the first that ended its episode and never past the newest slot:

        reward            sum_{j<k} discount^j r_{i+j}
        next_observation  s' of the last step, with its ``terminated``
        discount          discount^k, k the number of steps that there were and not n

    For n > 1 the later actions are those of older policies, and neither the target nor anything else here corrects for
    that: what is learned is biased towards the data's behaviour, and the soft target omits its entropy on the way.
    """
    if n < 1:
        raise ValueError(f"n-step returns: expected at least 1 step, got {n}")
    count, last = indices.shape[0], indices
    states, first = replay.states[indices], replay.steps[indices]
    step = first
    reward, reach = step[:, -3], jnp.full(count, discount, replay.steps.dtype)
    next_observation, terminated = states[:, 1], step[:, -2]
    if n > 1:
        capacity = replay.weight.shape[0]
        goes_on = jnp.ones(count, bool)
        for _ in range(n - 1):
            goes_on &= (step[:, -1] == 0.0) & ((last + 1) % capacity != replay.head)
            last = jnp.where(goes_on, (last + 1) % capacity, last)
            step = replay.steps[last]
            reward = reward + jnp.where(goes_on, reach * step[:, -3], 0.0)
            reach = jnp.where(goes_on, reach * discount, reach)
        next_observation, terminated = replay.states[last, 1], step[:, -2]
    weight = replay.weight[indices]
    return Batch(
        observation=states[:, 0],
        action=first[:, :-3],
        reward=reward,
        next_observation=next_observation,
        terminated=terminated,
        discount=reach,
        weight=weight,
        loss_weight=weight,
        mass=jnp.full(count, 1.0 / count, weight.dtype),
    )


def set_weights(replay: Replay, indices: Int[Array, " B"], weights: Float[Array, " B"]) -> Replay:
    """Store new weights; an index drawn twice carries the same row and so the same new weight twice."""
    weight = replay.weight.at[indices].set(weights)
    return replay._replace(
        weight=weight,
        largest=jnp.max(weights, initial=replay.largest),
        sums=None if replay.sums is None else _refreshed(replay.sums, weight, indices),
    )


def with_sums(replay: Replay) -> Replay:
    """The buffer with the sums of its weights, bit for bit those that insertions and new weights would have left."""
    nodes = 1 << (replay.weight.shape[0] - 1).bit_length()
    level = jnp.pad(replay.weight, (0, nodes - replay.weight.shape[0]))
    levels = []
    while level.shape[0] > 1:
        level = level[0::2] + level[1::2]
        levels.append(level)
    return replay._replace(sums=jnp.concatenate([jnp.zeros(1, level.dtype), *reversed(levels)]))


def _write(replay: Replay, transition: Transition, weight: Float[Array, ""]) -> Replay:
    at, capacity = replay.head, replay.weight.shape[0]
    states = jnp.stack([transition.observation, transition.next_observation])
    flags = jnp.stack([transition.reward, transition.terminated, transition.ended])
    weights = replay.weight.at[at].set(weight)
    return Replay(
        states=replay.states.at[at].set(states),
        steps=replay.steps.at[at].set(jnp.concatenate([transition.action, flags])),
        weight=weights,
        size=jnp.minimum(replay.size + 1, capacity),
        head=(at + 1) % capacity,
        largest=jnp.maximum(replay.largest, weight),
        sums=None if replay.sums is None else _refreshed(replay.sums, weights, at[None]),
    )


def _leave(replay: Replay, transition: Transition, weight: Float[Array, ""]) -> Replay:
    del transition, weight
    return replay


def _refreshed(sums: Float[Array, " P"], weight: Float[Array, " N"], slots: Int[Array, " B"]) -> Float[Array, " P"]:
    """The sums with every node above ``slots`` added up anew from its two children, so that no error accumulates."""
    nodes = sums.shape[0]
    if nodes == 1:
        return sums

    def children(node):
        left = 2 * node - nodes
        return weight.at[left].get(mode="fill", fill_value=0.0) + weight.at[left + 1].get(mode="fill", fill_value=0.0)

    def rise(_, carry):
        sums, node = carry
        node = node // 2
        return sums.at[node].set(sums[2 * node] + sums[2 * node + 1]), node

    node = (nodes + slots) // 2
    sums = sums.at[node].set(children(node))
    return jax.lax.fori_loop(0, nodes.bit_length() - 2, rise, (sums, node))[0]
