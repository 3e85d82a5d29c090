"""From recorded transitions to a full buffer, and back.

Offline to online is three moves, in this order: :func:`fill` puts the transitions into the empty buffer, weight 1
each; :meth:`deep.session.Session.pretrain` makes gradient steps on it while the environment stands still; and the run
goes on as every run does, its own transitions behind the recorded ones. :func:`of_replay` goes the other way, from a
run's buffer to transitions that :func:`deep.offline.write` records.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32
from numpy.typing import NDArray

from deep.errors import InvalidData
from deep.initials import Initials
from deep.offline import Transitions
from deep.replay import Replay, with_sums


def of_replay(replay: Replay) -> Transitions:
    """The contents of a buffer, oldest first; the newest row ends it, whether or not its episode went on."""
    size, head, capacity = int(replay.size), int(replay.head), replay.weight.shape[0]
    order = (np.arange(size) + (head if size == capacity else 0)) % capacity

    def rows(field: Array) -> NDArray[np.float32]:
        return np.asarray(field)[order].astype(np.float32)

    terminated, ended = rows(replay.terminated) > 0, rows(replay.ended) > 0
    ended[-1:] = True
    return Transitions(
        rows(replay.observation),
        rows(replay.action),
        rows(replay.reward),
        rows(replay.next_observation),
        terminated,
        ended & ~terminated,
        ended,
    )


def fill(replay: Replay, transitions: Transitions) -> Replay:
    """An empty buffer with the transitions in its first slots, weight 1 each; donates the buffer that it is given.

    InvalidData when they do not fit: a full buffer would begin by forgetting what it was filled with.
    """
    capacity, count = replay.weight.shape[0], len(transitions.reward)
    if int(replay.size):
        raise ValueError(f"fill: the buffer already holds {int(replay.size)} transitions; expected an empty one")
    if count > capacity:
        raise InvalidData(
            f"{count} recorded transitions do not fit into a buffer of {capacity}; set --buffer-size to at least "
            f"{count}, and to that plus the steps of the run if none of them is to be overwritten"
        )
    states = np.stack([transitions.observation, transitions.next_observation], axis=1)
    flags = (transitions.reward, transitions.terminated, transitions.ended)
    return _filled(replay, states, np.column_stack([transitions.action, *flags]).astype(np.float32))


def begun(initials: Initials, transitions: Transitions) -> Initials:
    """An empty ring with the newest of the recorded initial states that it has room for, oldest first."""
    capacity = initials.observation.shape[0]
    states = initial_observations(transitions)[-capacity:]
    count = len(states)
    return Initials(
        initials.observation.at[:count].set(states),
        jnp.full_like(initials.size, count),
        jnp.full_like(initials.head, count % capacity),
    )


def initial_observations(transitions: Transitions) -> Float32[np.ndarray, "I O"]:
    """The observations in which the recorded episodes begin: the first row's, and each after an end.

    InvalidData where rows do not continue and none said that an episode ended: of shuffled transitions nobody knows
    which were the first.
    """
    said = transitions.terminated | transitions.truncated
    torn = np.flatnonzero(transitions.ended[:-1] & ~said[:-1])
    if torn.size:
        raise InvalidData(
            f"where episodes begin is unknown: row {torn[0]} neither terminated nor was truncated, and row "
            f"{torn[0] + 1} does not continue it ({torn.size} such rows). The objective 'occupancy' needs initial "
            "states: record transitions in order, with 'truncations'"
        )
    return transitions.observation[np.append(True, said[:-1])]


@functools.partial(jax.jit, donate_argnums=0)
def _filled(replay: Replay, states: Float[Array, "M 2 O"], steps: Float[Array, "M F"]) -> Replay:
    count, capacity = states.shape[0], replay.weight.shape[0]
    filled = replay._replace(
        states=replay.states.at[:count].set(states),
        steps=replay.steps.at[:count].set(steps),
        weight=replay.weight.at[:count].set(1.0),
        size=jnp.int32(count),
        head=jnp.int32(count % capacity),
    )
    return filled if replay.sums is None else with_sums(filled)
