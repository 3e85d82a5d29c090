"""Ring of the states in which episodes began, from which the flow dual's (1 - gamma) E[V(s0)] is estimated (OCC-01)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from deep.types import Initial, Scalar


class Initials(NamedTuple):
    """K slots, of which the first ``size`` are filled; ``head`` is the slot written next."""

    observation: Float[Array, "K O"]
    size: Int[Array, ""]
    head: Int[Array, ""]


def create(capacity: int, observation_size: int) -> Initials:
    """An empty ring in JAX's default float precision."""
    if capacity < 1:
        raise ValueError(f"initial states: the capacity must be at least 1 state, got {capacity}")
    zero = jnp.zeros((), jnp.int32)
    return Initials(jnp.zeros((capacity, observation_size)), zero, zero)


def insert(initials: Initials, observation: Float[Array, " O"], begins: Scalar = 1.0) -> Initials:
    """Write one state over the oldest where ``begins`` is not 0; otherwise leave the ring as it is.

    Called at every step with "the last episode has ended", so that one program serves first and later steps.
    """
    capacity, at = initials.observation.shape[0], initials.head
    one = (jnp.asarray(begins) != 0).astype(jnp.int32)
    written = jnp.where(one == 1, observation, initials.observation[at])
    return Initials(
        initials.observation.at[at].set(written),
        jnp.minimum(initials.size + one, capacity),
        (at + one) % capacity,
    )


def sample(key: Key[Array, ""], initials: Initials, count: int) -> Initial:
    """``count`` of the stored states, uniformly with replacement, each of mass 1/count."""
    indices = jax.random.randint(key, (count,), 0, initials.size)
    observation = initials.observation[indices]
    return Initial(observation, jnp.full(count, 1.0 / count, observation.dtype))
