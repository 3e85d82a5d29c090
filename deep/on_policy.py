r"""What the on-policy agents share: rollouts, policy and value, and one gradient step of each.

A rollout is T steps of each of K environments under one policy. An update turns it into samples (advantage, return, and
the log-probability under the policy that acted) and takes steps on

    actor   the method's objective of log pi(a|s), minus ``entropy_bonus`` times the mean entropy
    value   sum_b mass_b (V(s_b) - G_b)^2 / 2

with an optimiser each, so that no coefficient weighs one against the other. Advantages and returns enter as numbers:
the critic has no gradient through the actor's loss. Old log-probabilities are those of the parameters with which the
update begins; these are the ones that acted, for no parameter changes during a rollout.

:mod:`deep.reinforce`, :mod:`deep.a2c` and :mod:`deep.ppo` are the methods. None of them weighs step t by gamma^t, so
the expected direction is the gradient of the discounted return only as far as the states of later steps are worth
counting in full (RL-25).

Actions of a Gaussian policy are unbounded. The environment clips them to its box; what is stored, and what log pi is
taken of, is the action before that.

Random keys: a state's key splits into (act, order, next). The action of environment k at step t of a rollout is drawn
with the key ``act`` folded with k and t, so acting changes no state; an update leaves ``next``.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key, PyTree

from deep import advantages
from deep.types import Settings

Metrics = dict[str, Float[Array, ""]]
SMALLEST_DEVIATION = 1e-8  # keeps equal advantages, and a single one, from being divided by zero


class Rollout(NamedTuple):
    """T steps of each of K environments.

    next_observation  the true successor, at the end of an episode too
    terminated        1 where it ends the task
    ended             1 where the episode ends after this step, by termination or by a time limit
    mass              of the row in every loss: one over the number of rows, 0 for padding
    """

    observation: Float[Array, "T K O"]
    action: Float[Array, "T K U"]
    reward: Float[Array, "T K"]
    next_observation: Float[Array, "T K O"]
    terminated: Float[Array, "T K"]
    ended: Float[Array, "T K"]
    mass: Float[Array, "T K"]


class Samples(NamedTuple):
    """B rows as the losses read them; ``log_prob`` is that of the policy that acted."""

    observation: Float[Array, "B O"]
    action: Float[Array, "B U"]
    advantage: Float[Array, " B"]
    returns: Float[Array, " B"]
    log_prob: Float[Array, " B"]
    mass: Float[Array, " B"]


class Networks(NamedTuple):
    """Flax modules: actor(s) -> :class:`~deep.distributions.Categorical` or ``Normal``, value(s) -> (B,)."""

    actor: Any
    value: Any


class Optimizers(NamedTuple):
    """One optimiser for each group of parameters."""

    actor: optax.GradientTransformation
    value: optax.GradientTransformation


class OptimizerStates(NamedTuple):
    """What each optimiser remembers."""

    actor: Any
    value: Any


class Params(NamedTuple):
    """Network parameters."""

    actor: PyTree
    value: PyTree


class State(NamedTuple):
    """Everything that acting and an update read and an update writes; ``step`` counts updates."""

    params: Params
    optimizers: OptimizerStates
    key: Key[Array, ""]
    step: Int[Array, ""]


class Keys(NamedTuple):
    """What a state's key splits into."""

    act: Key[Array, ""]
    order: Key[Array, ""]
    next: Key[Array, ""]


class Method(NamedTuple):
    """What a session needs of an on-policy learner: pure functions of it.

    create      (learner, key, O, U) -> state
    update      (learner, settings, state, rollout) -> (state, metrics)
    act         (learner, state, observation (O,), key) -> action (U,)
    act_greedy  (learner, actor, observation (O,)) -> action (U,), as it is evaluated
    policy      what ``act_greedy`` reads: the name of one group of ``state.params``
    episodic    whether a rollout is one whole episode, of whatever length, and not a fixed number of steps
    """

    create: Callable[..., State]
    update: Callable[..., tuple[State, Metrics]]
    act: Callable[..., Any]
    act_greedy: Callable[..., Any]
    policy: str
    episodic: bool


@runtime_checkable
class Learner(Protocol):
    """What :mod:`deep.reinforce`, :mod:`deep.a2c` and :mod:`deep.ppo` each call a learner."""

    @property
    def networks(self) -> Networks:
        """The modules of policy and value."""
        ...

    @property
    def optimizers(self) -> Optimizers:
        """What steps each of them."""
        ...

    @property
    def method(self) -> Method:
        """What a session does with the learner."""
        ...


ActorObjective = Callable[[Float[Array, " B"], Samples, Settings], Float[Array, ""]]


def method(update: Callable[..., tuple[State, Metrics]], *, episodic: bool = False) -> Method:
    """The functions that the on-policy agents share, with an update of one of them."""
    return Method(create, update, act, act_greedy, "actor", episodic)


def create(learner: Learner, key: Key[Array, ""], observation_size: int, action_size: int) -> State:
    """Initial parameters, optimiser states and key. ValueError for a policy over another number of actions."""
    key, actor_key, value_key = jax.random.split(key, 3)
    observation, networks = jnp.zeros((1, observation_size)), learner.networks
    params = Params(networks.actor.init(actor_key, observation), networks.value.init(value_key, observation))
    width = jax.eval_shape(networks.actor.apply, params.actor, observation)[0].shape[-1]
    if width != action_size:
        raise ValueError(f"expected a policy over actions of size {action_size}, saw one of size {width}")
    states = (optimizer.init(group) for optimizer, group in zip(learner.optimizers, params, strict=True))
    return State(params, OptimizerStates(*states), key, jnp.zeros((), jnp.int32))


def keys(state: State) -> Keys:
    """What the state's key splits into; a function of the state, so that no key is handed on."""
    return Keys(*jax.random.split(state.key, 3))


def act(learner: Learner, state: State, observation: Float[Array, " O"], key: Key[Array, ""]) -> Float[Array, " U"]:
    """One action drawn from pi(.|s); NaN where the policy's parameters are no finite numbers."""
    policy = learner.networks.actor.apply(state.params.actor, observation[None])
    return policy.sample(key)[0] + _poison(policy)


def act_greedy(learner: Learner, actor: PyTree, observation: Float[Array, " O"]) -> Float[Array, " U"]:
    """The policy's mode, for evaluation; NaN where its parameters are no finite numbers."""
    policy = learner.networks.actor.apply(actor, observation[None])
    return policy.mode()[0] + _poison(policy)


def act_together(
    learner: Learner, state: State, observations: Float[Array, "K O"], time: Int[Array, ""]
) -> Float[Array, "K U"]:
    """The actions of all environments at step ``time`` of the rollout, from a key for each."""
    root = keys(state).act

    def one(place, observation):
        return act(learner, state, observation, jax.random.fold_in(jax.random.fold_in(root, place), time))

    return jax.vmap(one)(jnp.arange(len(observations)), observations)


def values(learner: Learner, state: State, rollout: Rollout) -> tuple[Float[Array, "T K"], Float[Array, "T K"]]:
    """V of the rollout's states and of their true successors."""
    of = jax.vmap(lambda rows: learner.networks.value.apply(state.params.value, rows))
    return of(rollout.observation), of(rollout.next_observation)


def gae_samples(learner: Learner, settings: Settings, state: State, rollout: Rollout) -> Samples:
    """Samples with generalised advantage estimates; the returns are A + V, which are lambda-returns."""
    value, next_value = values(learner, state, rollout)
    advantage = advantages.generalised(
        rollout.reward,
        rollout.terminated,
        rollout.ended,
        value,
        next_value,
        settings.discount,
        settings.trace_decay,
    )
    return samples(learner, state, rollout, advantage, advantage + value)


def samples(
    learner: Learner,
    state: State,
    rollout: Rollout,
    advantage: Float[Array, "T K"],
    returns: Float[Array, "T K"],
) -> Samples:
    """The rollout's rows with these advantages and returns, in the order of time and then of environments."""
    of_rows = jax.tree.map(lambda rows: rows.reshape(-1, *rows.shape[2:]), (rollout, advantage, returns))
    flat, advantage, returns = of_rows
    policy = learner.networks.actor.apply(state.params.actor, flat.observation)
    return Samples(flat.observation, flat.action, advantage, returns, policy.log_prob(flat.action), flat.mass)


def normalised(advantage: Float[Array, " B"], mass: Float[Array, " B"]) -> Float[Array, " B"]:
    """(A - mean) / std over all rows of positive mass, which count by their mass; zero for a single row."""
    share = mass / jnp.sum(mass)
    centred = advantage - jnp.sum(share * advantage)
    return centred / (jnp.sqrt(jnp.sum(share * jnp.square(centred))) + SMALLEST_DEVIATION)


def policy_gradient_loss(log_prob: Float[Array, " B"], rows: Samples, settings: Settings) -> Float[Array, ""]:
    """-sum_b mass_b A_b log pi(a_b|s_b), whose gradient is minus the policy gradient's estimate (RL-24)."""
    del settings
    return -jnp.sum(rows.mass * rows.advantage * log_prob)


def value_loss(value: Float[Array, " B"], rows: Samples) -> Float[Array, ""]:
    """sum_b mass_b (V(s_b) - G_b)^2 / 2."""
    return jnp.sum(rows.mass * 0.5 * jnp.square(value - rows.returns))


def step(
    learner: Learner,
    settings: Settings,
    params: Params,
    optimizers: OptimizerStates,
    rows: Samples,
    objective: ActorObjective,
) -> tuple[Params, OptimizerStates, Metrics]:
    """One gradient step of the actor and one of the value network."""
    networks = learner.networks

    def actor_objective(actor):
        policy = networks.actor.apply(actor, rows.observation)
        entropy = jnp.sum(rows.mass * policy.entropy())
        loss = objective(policy.log_prob(rows.action), rows, settings) - settings.entropy_bonus * entropy
        return loss, entropy / jnp.sum(rows.mass)

    def value_objective(value):
        v = networks.value.apply(value, rows.observation)
        return value_loss(v, rows), jnp.sum(rows.mass * v) / jnp.sum(rows.mass)

    actor, actor_state, actor_loss, entropy = descend(
        learner.optimizers.actor, params.actor, optimizers.actor, actor_objective
    )
    value, value_state, regression, v = descend(
        learner.optimizers.value, params.value, optimizers.value, value_objective
    )
    metrics = {
        "losses/actor": actor_loss,
        "losses/value": regression,
        "values/v": v,
        "values/entropy": entropy,
    }
    return Params(actor, value), OptimizerStates(actor_state, value_state), metrics


def descend(
    optimizer: optax.GradientTransformation, group: PyTree, state: Any, objective: Callable[..., tuple[Array, Array]]
) -> tuple[PyTree, Any, Array, Array]:
    """Gradient step on one group: its parameters, its optimiser's state, and what the objective returned before."""
    (loss, seen), gradient = jax.value_and_grad(objective, has_aux=True)(group)
    change, state = optimizer.update(gradient, state, group)
    return optax.apply_updates(group, change), state, loss, seen


def _poison(policy: Any) -> Float[Array, ""]:
    """0, or NaN if not all of the policy's parameters are finite: an argmax would hide it."""
    finite = jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in policy])
    return jnp.where(jnp.all(finite), 0.0, jnp.nan).astype(policy[0].dtype)
