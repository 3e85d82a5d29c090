"""Device-resident ring buffer with a weight per transition; pure functions on one pytree.

Sampling is uniform with replacement; the experience weight multiplies the critic's loss.
A slot's weight is reset to 1 when the slot is overwritten: a new transition never inherits
the weight of an old one.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from deep.types import Batch, Scalar


class Transition(NamedTuple):
    """One step: ``next_observation`` is the true successor (never the observation after a reset)."""

    observation: Float[Array, " O"]
    action: Float[Array, " U"]
    reward: Float[Array, ""]
    next_observation: Float[Array, " O"]
    terminated: Float[Array, ""]


class Replay(NamedTuple):
    """Storage of N slots, of which the first ``size`` are filled; ``head`` is the slot written next."""

    observation: Float[Array, "N O"]
    action: Float[Array, "N U"]
    reward: Float[Array, " N"]
    next_observation: Float[Array, "N O"]
    terminated: Float[Array, " N"]
    weight: Float[Array, " N"]
    size: Int[Array, ""]
    head: Int[Array, ""]


def create(capacity: int, observation_size: int, action_size: int) -> Replay:
    """An empty buffer in JAX's default float precision."""
    if capacity < 1:
        raise ValueError(f"replay: the capacity must be at least 1 transition, got {capacity}")
    return Replay(
        observation=jnp.zeros((capacity, observation_size)),
        action=jnp.zeros((capacity, action_size)),
        reward=jnp.zeros(capacity),
        next_observation=jnp.zeros((capacity, observation_size)),
        terminated=jnp.zeros(capacity),
        weight=jnp.ones(capacity),
        size=jnp.zeros((), jnp.int32),
        head=jnp.zeros((), jnp.int32),
    )


def insert(replay: Replay, transition: Transition) -> Replay:
    """Write one transition at ``head`` with weight 1, overwriting the oldest once full."""
    capacity = replay.reward.shape[0]
    at = replay.head
    return Replay(
        observation=replay.observation.at[at].set(transition.observation),
        action=replay.action.at[at].set(transition.action),
        reward=replay.reward.at[at].set(transition.reward),
        next_observation=replay.next_observation.at[at].set(transition.next_observation),
        terminated=replay.terminated.at[at].set(transition.terminated),
        weight=replay.weight.at[at].set(1.0),
        size=jnp.minimum(replay.size + 1, capacity),
        head=(at + 1) % capacity,
    )


def sample_indices(key: Key[Array, ""], replay: Replay, batch_size: int) -> Int[Array, " B"]:
    """Uniform indices of filled slots, with replacement."""
    return jax.random.randint(key, (batch_size,), 0, replay.size)


def gather(replay: Replay, indices: Int[Array, " B"], discount: Scalar) -> Batch:
    """The rows at ``indices`` as a batch of equal masses; the stored weight is the factor of the critic's loss."""
    count = indices.shape[0]
    return Batch(
        observation=replay.observation[indices],
        action=replay.action[indices],
        reward=replay.reward[indices],
        next_observation=replay.next_observation[indices],
        terminated=replay.terminated[indices],
        discount=jnp.full(count, discount, replay.reward.dtype),
        weight=replay.weight[indices],
        loss_weight=replay.weight[indices],
        mass=jnp.full(count, 1.0 / count, replay.weight.dtype),
    )


def set_weights(replay: Replay, indices: Int[Array, " B"], weights: Float[Array, " B"]) -> Replay:
    """Store new weights; an index drawn twice carries the same row and so the same new weight twice."""
    return replay._replace(weight=replay.weight.at[indices].set(weights))
