"""The data that the learner reads and carries: batches, parameters, settings.

The whole learner is one pytree (:class:`AgentState`), so one jitted function maps it to its
successor, one `vmap` runs many seeds and one checkpoint holds everything.
"""

from typing import Any, NamedTuple

from jaxtyping import Array, Float, Int, Key, PyTree


class Batch(NamedTuple):
    """B transitions; every loss is ``sum_b mass_b * loss_b``.

    ``mass`` is what makes the same update exact on a decision process: ``1/B`` for a sampled
    batch, the exact probability of the row for an enumerated one, 0 for padding.
    ``terminated`` is 1 where the next state ends the task and cuts the bootstrap; a time
    limit (``truncated``) never does and therefore has no field here.
    """

    observation: Float[Array, "B O"]
    action: Float[Array, "B U"]
    reward: Float[Array, " B"]
    next_observation: Float[Array, "B O"]
    terminated: Float[Array, " B"]
    weight: Float[Array, " B"]
    mass: Float[Array, " B"]


class Params(NamedTuple):
    """Network parameters and the logarithm of the temperature alpha."""

    critic: PyTree
    target_critic: PyTree
    actor: PyTree
    value: PyTree
    log_alpha: Float[Array, ""]


class OptimizerStates(NamedTuple):
    """Optimiser states of the four trained groups (the target critic has none)."""

    critic: Any
    actor: Any
    value: Any
    log_alpha: Any


class AgentState(NamedTuple):
    """Everything that an update reads and writes."""

    params: Params
    optimizers: OptimizerStates
    key: Key[Array, ""]
    step: Int[Array, ""]


class Settings(NamedTuple):
    """Scalars of the algorithm, traced so that one compilation serves every value.

    discount        gamma in [0, 1)
    tau             Polyak step: target <- tau * online + (1 - tau) * target
    beta            temperature of the occupancy regulariser, in units of reward
    weight_rate     lambda of the additive weight recursion (PRI-02)
    target_entropy  H-bar, in nats, that the learned alpha steers to (SAC-16)
    value_cap       z_c, where the conjugate is continued linearly (FD-05, GUM-04)
    """

    discount: Float[Array, ""] | float
    tau: Float[Array, ""] | float
    beta: Float[Array, ""] | float
    weight_rate: Float[Array, ""] | float
    target_entropy: Float[Array, ""] | float
    value_cap: Float[Array, ""] | float
