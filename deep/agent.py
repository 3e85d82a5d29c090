r"""The learner: SAC with a regressed state value and experience weights, as pure functions.

One ``update`` does, in this order (pinned by the contract's step-order row):

    1 critic       y = r + gamma (1 - terminated) E_{a' ~ pi}[min_i Qbar_i(s', a') - alpha log pi(a'|s')]
                   with the OLD actor, alpha and target critic; loss weighted by the stored weight w
    2 value        regress V on q = min_i Qbar_i(s, a_data) of the OLD target critic     (FD-03, GUM-01),
                   or minimise the flow dual, which reads rewards and no q               (OCC-01); with the OLD beta
    3 weights      delta = r + gamma (1 - terminated) V(s') - V(s) of the NEW value; beta by its law from delta;
                   w <- (1 - lambda) w + lambda (f*)'(delta / beta - nu)                 (KL-04, PRI-02)
    4 actor        E[alpha log pi - min_i Q_i] with the NEW critic and the OLD alpha     (SAC-11)
    5 temperature  log pi of step 4's actions                                            (SAC-16)
    6 targets      thetabar <- tau theta_new + (1 - tau) thetabar                        (SAC-23)

Each axis on which the presets differ is a function in :class:`Learner`; without a value objective (plain SAC and the
baselines) step 2 is left out, without a weighting rule step 3.
Random keys: ``update`` splits the state's key into (next, target, actor, noise); no key is used twice.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key, PyTree

from deep import losses
from deep.networks import Networks
from deep.types import (
    AgentState,
    Batch,
    BetaState,
    Evidence,
    Initial,
    Method,
    OptimizerStates,
    Params,
    Scalar,
    Settings,
    ValueTerms,
)

Metrics = dict[str, Float[Array, "..."]]

Rows = Float[Array, " B"]
CriticLoss = Callable[[Float[Array, "N B"], Rows, Rows, Rows, Settings], Array]
Penalty = Callable[[PyTree, Float[Array, "B O"], Float[Array, "B U"], Rows], tuple[Array, Array]]
ValueObjective = Callable[[ValueTerms, Scalar, Settings], Array]
ActionNoise = Callable[[Key[Array, ""], Float[Array, "B U"], Settings], Float[Array, "B U"]]
Weighting = Callable[[Evidence, Scalar, Settings], tuple[Rows, Metrics]]
BetaLaw = Callable[[BetaState, Rows, Rows, Settings], BetaState]


class Optimizers(NamedTuple):
    """One optimiser for each trained group of parameters."""

    critic: optax.GradientTransformation
    actor: optax.GradientTransformation
    value: optax.GradientTransformation
    log_alpha: optax.GradientTransformation


class Learner(NamedTuple):
    """What is fixed at compile time.

    critic_loss   (q (2, B), y (B,), loss_weight (B,), mass (B,), settings) -> scalar
    penalty       None, or (critic parameters, s, a, mass) -> (Q (2, B), penalty), added with ``settings.penalty``
    value         None, or (ValueTerms, beta, settings) -> scalar: what the value network minimises
    action_noise  None, or (key, a, settings) -> a: noise on the data's actions in the value's target
    weighting     None, or (Evidence, beta, settings) -> (new weights (B,), metrics)
    beta_law      (BetaState, delta (B,), mass (B,), settings) -> BetaState
    """

    networks: Networks
    optimizers: Optimizers
    critic_loss: CriticLoss
    penalty: Penalty | None
    value: ValueObjective | None
    action_noise: ActionNoise | None
    weighting: Weighting | None
    beta_law: BetaLaw

    @property
    def method(self) -> Method:
        """What a session does with this learner."""
        return Method(create, update, critic_errors, _explore, act_greedy, "actor")


def create(
    learner: Learner,
    key: Key[Array, ""],
    observation_size: int,
    action_size: int,
    initial_alpha: Scalar = 1.0,
    initial_beta: Scalar = 1.0,
    initial_fraction: Scalar = 1.0,
) -> AgentState:
    """Initial parameters, optimiser states, temperatures and key; the target critic starts equal to the critic.

    ``initial_fraction`` is where the moving average of the feedback laws starts: at its target it pushes nowhere.
    """
    key, critic_key, actor_key, value_key = jax.random.split(key, 4)
    observation, action = jnp.zeros((1, observation_size)), jnp.zeros((1, action_size))
    critic = learner.networks.critic.init(critic_key, observation, action)
    params = Params(
        critic=critic,
        target_critic=jax.tree.map(jnp.copy, critic),
        actor=learner.networks.actor.init(actor_key, observation),
        value=learner.networks.value.init(value_key, observation),
        log_alpha=jnp.log(jnp.asarray(initial_alpha, observation.dtype)),
    )
    optimizers = OptimizerStates(
        *(optimizer.init(getattr(params, name)) for name, optimizer in learner.optimizers._asdict().items())
    )
    beta = BetaState(*(jnp.asarray(start, observation.dtype) for start in (initial_beta, initial_fraction)))
    return AgentState(params, optimizers, key, jnp.zeros((), jnp.int32), beta)


def act(learner: Learner, actor: PyTree, observation: Float[Array, " O"], key: Key[Array, ""]) -> Float[Array, " U"]:
    """One action drawn from pi(.|s)."""
    return learner.networks.actor.apply(actor, observation[None]).sample(key)[0]


def act_greedy(learner: Learner, actor: PyTree, observation: Float[Array, " O"]) -> Float[Array, " U"]:
    """The distribution's mode, for evaluation."""
    return learner.networks.actor.apply(actor, observation[None]).mode()[0]


def _explore(
    learner: Learner, settings: Settings, state: AgentState, observation: Float[Array, " O"], key: Key[Array, ""]
) -> Float[Array, " U"]:
    """``act`` as a session calls it; the policy is stochastic, so no setting enters."""
    del settings
    return act(learner, state.params.actor, observation, key)


def polyak(online: PyTree, target: PyTree, tau: Float[Array, ""] | float) -> PyTree:
    """tau * online + (1 - tau) * target, leaf by leaf (SAC-23)."""
    return jax.tree.map(lambda new, old: tau * new + (1.0 - tau) * old, online, target)


def critic_target(learner: Learner, state: AgentState, batch: Batch, key: Key[Array, ""]) -> Float[Array, " B"]:
    """y of step 1: the soft value of the successor under the state's actor, alpha and target critic, discounted."""
    params = state.params
    policy = learner.networks.actor.apply(params.actor, batch.next_observation)
    soft_values = _soft_values(learner, params.target_critic, jnp.exp(params.log_alpha), batch.next_observation)
    next_value, _ = policy.expect(key, soft_values)
    return losses.critic_target(batch.reward, batch.terminated, next_value, batch.discount)


def critic_errors(learner: Learner, state: AgentState, batch: Batch, key: Key[Array, ""]) -> Float[Array, "2 B"]:
    """Q_i - y of the state's critics, which no update follows."""
    target = critic_target(learner, state, batch, key)
    return learner.networks.critic.apply(state.params.critic, batch.observation, batch.action) - target


def update(
    learner: Learner, settings: Settings, state: AgentState, batch: Batch, initial: Initial | None = None
) -> tuple[AgentState, Array, Metrics]:
    """One learning step; returns the next state, the rows' new weights ``(B,)`` and metrics.

    ``initial`` holds the states in which episodes begin; only the occupancy objective reads them.
    """
    networks, params, optimizers = learner.networks, state.params, state.optimizers
    next_key, target_key, actor_key, noise_key = jax.random.split(state.key, 4)
    alpha = jnp.exp(params.log_alpha)
    metrics: Metrics = {}

    def descend(name: str, loss_function, *, has_aux=False) -> tuple[Any, Any, Any]:
        """Gradient step on the parameter group ``name`` alone."""
        (loss, aux), gradient = jax.value_and_grad(
            loss_function if has_aux else lambda p: (loss_function(p), None), has_aux=True
        )(getattr(params, name))
        step, optimizer = getattr(learner.optimizers, name).update(
            gradient, getattr(optimizers, name), getattr(params, name)
        )
        metrics[f"losses/{name}"] = loss
        return optax.apply_updates(getattr(params, name), step), optimizer, aux

    # 1 critic
    target = critic_target(learner, state, batch, target_key)

    def critic_objective(critic):
        if learner.penalty is None:
            q = networks.critic.apply(critic, batch.observation, batch.action)
            return learner.critic_loss(q, target, batch.loss_weight, batch.mass, settings), q
        q, penalty = learner.penalty(critic, batch.observation, batch.action, batch.mass)
        return learner.critic_loss(q, target, batch.loss_weight, batch.mass, settings) + settings.penalty * penalty, q

    critic, critic_optimizer, q = descend("critic", critic_objective, has_aux=True)

    # 2 value
    value, value_optimizer, beta = params.value, optimizers.value, state.beta
    td_error = jnp.zeros_like(batch.reward)
    if learner.value is not None:
        value, value_optimizer = _value_step(learner, settings, state, batch, initial, noise_key, descend)
        v = networks.value.apply(value, batch.observation)
        next_v = networks.value.apply(value, batch.next_observation)
        td_error = losses.td_error(batch.reward, batch.terminated, v, next_v, batch.discount)
        beta = learner.beta_law(beta, td_error, batch.mass, settings)
        metrics |= {
            "values/v": jnp.sum(batch.mass * v),
            "weights/td_error": jnp.sum(batch.mass * td_error),
            "weights/beta": beta.beta,
        }

    # 3 weights
    new_weight = batch.weight
    if learner.weighting is not None:
        evidence = Evidence(td_error, q - target, batch.weight, batch.mass)
        new_weight, seen = learner.weighting(evidence, beta.beta, settings)
        metrics |= seen

    # 4 actor
    def actor_objective(actor):
        policy = networks.actor.apply(actor, batch.observation)
        soft_values, log_prob = policy.expect(actor_key, _soft_values(learner, critic, alpha, batch.observation))
        return losses.actor_loss(soft_values, batch.mass), jnp.sum(batch.mass * log_prob) / jnp.sum(batch.mass)

    actor, actor_optimizer, log_prob = descend("actor", actor_objective, has_aux=True)

    # 5 temperature
    log_alpha, alpha_optimizer, _ = descend(
        "log_alpha", lambda log_alpha: losses.temperature_loss(log_alpha, log_prob, settings.target_entropy)
    )

    metrics |= {
        "values/q": jnp.sum(batch.mass * jnp.mean(q, axis=0)),
        "values/alpha": alpha,
        "values/entropy": -log_prob,
    }
    new_params = Params(critic, polyak(critic, params.target_critic, settings.tau), actor, value, log_alpha)
    new_optimizers = OptimizerStates(critic_optimizer, actor_optimizer, value_optimizer, alpha_optimizer)
    return AgentState(new_params, new_optimizers, next_key, state.step + 1, beta), new_weight, metrics


def _soft_values(learner: Learner, critic: PyTree, alpha: Scalar, observation: Float[Array, "B O"]):
    """(soft value, log pi) of an action, to be averaged over the policy's actions."""

    def integrand(action, log_prob):
        q = learner.networks.critic.apply(critic, observation, action)
        return losses.soft_value(q, log_prob, alpha), log_prob

    return integrand


def _value_step(learner, settings, state, batch, initial, noise_key, descend) -> tuple[PyTree, Any]:
    """Step 2: the value network and its optimiser after one gradient step."""
    networks = learner.networks
    action = batch.action
    if learner.action_noise is not None:
        action = learner.action_noise(noise_key, action, settings)
    q = jnp.min(networks.critic.apply(state.params.target_critic, batch.observation, action), axis=0)

    def objective(value):
        none = jnp.zeros((0,), batch.reward.dtype)
        terms = ValueTerms(
            value=networks.value.apply(value, batch.observation),
            next_value=networks.value.apply(value, batch.next_observation),
            q=q,
            reward=batch.reward,
            terminated=batch.terminated,
            discount=batch.discount,
            mass=batch.mass,
            initial_value=none if initial is None else networks.value.apply(value, initial.observation),
            initial_mass=none if initial is None else initial.mass,
        )
        return learner.value(terms, state.beta.beta, settings)

    value, optimizer, _ = descend("value", objective)
    return value, optimizer
