"""The data that the learner reads and carries: batches, parameters, settings.

The whole learner is one pytree (:class:`AgentState`), so one jitted function maps it to its
successor, one `vmap` runs many seeds and one checkpoint holds everything.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Array, Float, Int, Key, PyTree

Scalar = Float[Array, ""] | float


class Batch(NamedTuple):
    """B rows of experience; every loss is ``sum_b mass_b * loss_b``.

    reward       sum_{i<k} gamma^i r_i over the k steps of the row (k = 1 but for n-step returns)
    terminated   1 where ``next_observation``, the state after the k steps, ends the task and cuts the bootstrap; a time
                 limit (``truncated``) never does and therefore has no field here
    discount     gamma^k, the discount of the bootstrap
    weight       the stored experience weight, which the recursion continues
    loss_weight  the factor of the critic's loss: the stored weight, or an importance correction
    mass         what makes the same update exact on a decision process: ``1/B`` for a sampled batch, the exact
                 probability of the row for an enumerated one, 0 for padding
    """

    observation: Float[Array, "B O"]
    action: Float[Array, "B U"]
    reward: Float[Array, " B"]
    next_observation: Float[Array, "B O"]
    terminated: Float[Array, " B"]
    discount: Float[Array, " B"]
    weight: Float[Array, " B"]
    loss_weight: Float[Array, " B"]
    mass: Float[Array, " B"]


class Initial(NamedTuple):
    """I states in which episodes begin, with their probabilities: the (1 - gamma) E[V(s0)] of the flow dual."""

    observation: Float[Array, "I O"]
    mass: Float[Array, " I"]


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


class BetaState(NamedTuple):
    """Temperature of the occupancy regulariser, in units of reward, and the smoothed effective sample fraction."""

    beta: Float[Array, ""]
    effective_sample_fraction: Float[Array, ""]


class AgentState(NamedTuple):
    """Everything that an update reads and writes."""

    params: Params
    optimizers: OptimizerStates
    key: Key[Array, ""]
    step: Int[Array, ""]
    beta: BetaState


class Settings(NamedTuple):
    """Scalars of the algorithms, traced so that one compilation serves every value; an agent reads those of its own.

    discount             gamma in [0, 1)
    tau                  Polyak step: target <- tau * online + (1 - tau) * target
    beta                 temperature of the occupancy regulariser, in units of reward: a fixed one, or where it starts
    weight_rate          lambda of the weight recursion (PRI-02)
    target_entropy       H-bar, in nats, that the learned alpha steers to (SAC-16)
    value_cap            z_c, where the conjugate is continued linearly (FD-05, GUM-04)
    ratio_min, ratio_max clips of exp(delta / beta) in the public recursion (PRI-04)
    weight_floor         smallest stored weight of the public recursion
    priority_exponent    alpha of prioritised replay
    priority_offset      epsilon of prioritised replay
    importance_exponent  exponent of the importance correction, 0 (none) to 1 (complete)
    importance_growth    what an update adds to it, up to 1
    huber_width          |error| above which the Huber loss is linear
    penalty              coefficient of the gradient penalty
    noise_std            standard deviation of the noise on the data actions of the value target
    noise_clip           its bound
    ess_target           fraction of the batch that the weights shall effectively use (BET-03)
    kl_target            KL divergence of the weighted from the plain batch, in nats (BET-01)
    feedback_rate        eta of the feedback law (ESS-05)
    feedback_smoothing   rho of its moving average
    beta_min, beta_max   bounds of every adaptive beta, in units of reward
    target_period        updates between two steps of the target network, up to 2^24 (DQN)
    epsilon_start        probability of a random action before the first update (DQN)
    epsilon_final        the same after ``epsilon_updates`` updates and from then on
    epsilon_updates      updates over which it falls, in a straight line
    trace_decay          lambda of the advantage estimates, in [0, 1] (A2C, PPO)
    ratio_clip           how far the ratio of probabilities may leave one before the gain is cut (PPO)
    entropy_bonus        coefficient of the policy's entropy, in units of advantage (REINFORCE, A2C, PPO)
    exploration_noise    standard deviation of the noise on the actions taken in training (DDPG, TD3)
    target_noise         standard deviation of the noise on the target actor's actions (TD3)
    target_noise_clip    its bound
    actor_period         updates between two steps of the actor and of all targets, up to 2^24 (TD3)
    """

    discount: Scalar
    tau: Scalar
    beta: Scalar
    weight_rate: Scalar
    target_entropy: Scalar
    value_cap: Scalar
    ratio_min: Scalar = 1.0
    ratio_max: Scalar = 50.0
    weight_floor: Scalar = 1.0
    priority_exponent: Scalar = 0.6
    priority_offset: Scalar = 1e-6
    importance_exponent: Scalar = 0.0
    importance_growth: Scalar = 0.0
    huber_width: Scalar = 1.0
    penalty: Scalar = 1.0
    noise_std: Scalar = 0.1
    noise_clip: Scalar = 0.5
    ess_target: Scalar = 0.5
    kl_target: Scalar = 0.5
    feedback_rate: Scalar = 0.1
    feedback_smoothing: Scalar = 0.05
    beta_min: Scalar = 1e-3
    beta_max: Scalar = 1e3
    target_period: Scalar = 1.0
    epsilon_start: Scalar = 1.0
    epsilon_final: Scalar = 0.05
    epsilon_updates: Scalar = 10_000.0
    trace_decay: Scalar = 0.95
    ratio_clip: Scalar = 0.2
    entropy_bonus: Scalar = 0.0
    exploration_noise: Scalar = 0.1
    target_noise: Scalar = 0.2
    target_noise_clip: Scalar = 0.5
    actor_period: Scalar = 2.0


class Method(NamedTuple):
    """What a session needs of a kind of agent: pure functions of its learner, which holds what compiling fixes.

    create      (learner, key, O, U, *starts) -> state, which has ``params`` (a named tuple), ``key`` and ``step``
    update      (learner, settings, state, batch, initial) -> (state, the rows' new weights (B,), metrics)
    errors      (learner, state, batch, key) -> Q_i - y of the critics before the update, (N, B), by which LaBER draws;
                None for a kind of agent that has no such baseline
    act         (learner, settings, state, observation (O,), key) -> action (U,), exploring as in training
    act_greedy  (learner, policy, observation (O,)) -> action (U,), as it is evaluated
    policy      what ``act_greedy`` reads: the name of one group of ``state.params``
    """

    create: Callable[..., Any]
    update: Callable[..., Any]
    errors: Callable[..., Any] | None
    act: Callable[..., Any]
    act_greedy: Callable[..., Any]
    policy: str


class ValueTerms(NamedTuple):
    """What a value objective may read; ``value``, ``next_value`` and ``initial_value`` depend on V's parameters.

    q is min_i Qbar_i(s, a) of the target critic at the data's actions.
    """

    value: Float[Array, " B"]
    next_value: Float[Array, " B"]
    q: Float[Array, " B"]
    reward: Float[Array, " B"]
    terminated: Float[Array, " B"]
    discount: Float[Array, " B"]
    mass: Float[Array, " B"]
    initial_value: Float[Array, " I"]
    initial_mass: Float[Array, " I"]


class Evidence(NamedTuple):
    """What a weighting rule may read.

    td_error      delta of the new value network (zeros where none is trained)
    critic_error  Q_i - y of the critics before this update
    weight        the stored weights
    """

    td_error: Float[Array, " B"]
    critic_error: Float[Array, "2 B"]
    weight: Float[Array, " B"]
    mass: Float[Array, " B"]
