r"""The learner: SAC with a regressed state value and experience weights, as pure functions.

One ``update`` does, in this order (pinned by the contract's step-order row):

    1 critic       y = r + gamma (1 - terminated) E_{a' ~ pi}[min_i Qbar_i(s', a') - alpha log pi(a'|s')]
                   with the OLD actor, alpha and target critic; loss weighted by the stored weight w
    2 value        regress V on q = min_i Qbar_i(s, a_data) of the OLD target critic     (FD-03, GUM-01)
    3 weights      delta = r + gamma (1 - terminated) V(s') - V(s) of the NEW value;
                   w <- (1 - lambda) w + lambda (f*)'(delta / beta - nu)                 (KL-04, PRI-02)
    4 actor        E[alpha log pi - min_i Q_i] with the NEW critic and the OLD alpha     (SAC-11)
    5 temperature  log pi of step 4's actions                                            (SAC-16)
    6 targets      thetabar <- tau theta_new + (1 - tau) thetabar                        (SAC-23)

Without a divergence (plain SAC) steps 2 and 3 are left out and weights stay as they are.
Random keys: ``interact`` splits the state's key into (next, sample, act), ``update`` splits what it is given
into (next, target, actor); no key is used twice.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key, PyTree

from deep import losses, weights
from deep.divergence import Divergence
from deep.networks import Networks
from deep.replay import Replay, Transition, gather, insert, sample_indices, set_weights
from deep.types import AgentState, Batch, OptimizerStates, Params, Settings

Metrics = dict[str, Float[Array, ""]]


class Optimizers(NamedTuple):
    """One optimiser for each trained group of parameters."""

    critic: optax.GradientTransformation
    actor: optax.GradientTransformation
    value: optax.GradientTransformation
    log_alpha: optax.GradientTransformation


class Learner(NamedTuple):
    """What is fixed at compile time. ``divergence=None`` is plain SAC."""

    networks: Networks
    optimizers: Optimizers
    divergence: Divergence | None


def create(
    learner: Learner, key: Key[Array, ""], observation_size: int, action_size: int, initial_alpha: float = 1.0
) -> AgentState:
    """Initial parameters, optimiser states and key; the target critic starts equal to the critic."""
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
    return AgentState(params, optimizers, key, jnp.zeros((), jnp.int32))


def act(learner: Learner, actor: PyTree, observation: Float[Array, " O"], key: Key[Array, ""]) -> Float[Array, " U"]:
    """One action drawn from pi(.|s)."""
    return learner.networks.actor.apply(actor, observation[None]).sample(key)[0]


def act_greedy(learner: Learner, actor: PyTree, observation: Float[Array, " O"]) -> Float[Array, " U"]:
    """The distribution's mode, for evaluation."""
    return learner.networks.actor.apply(actor, observation[None]).mode()[0]


def polyak(online: PyTree, target: PyTree, tau: Float[Array, ""] | float) -> PyTree:
    """tau * online + (1 - tau) * target, leaf by leaf (SAC-23)."""
    return jax.tree.map(lambda new, old: tau * new + (1.0 - tau) * old, online, target)


def update(learner: Learner, settings: Settings, state: AgentState, batch: Batch) -> tuple[AgentState, Array, Metrics]:
    """One learning step; returns the next state, the rows' new weights ``(B,)`` and scalar metrics."""
    networks, params, optimizers = learner.networks, state.params, state.optimizers
    next_key, target_key, actor_key = jax.random.split(state.key, 3)
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

    def soft_value_of(critic: PyTree, observation: Float[Array, "B O"]):
        """(soft value, log pi) of an action, to be averaged over the policy's actions."""

        def integrand(action, log_prob):
            q = networks.critic.apply(critic, observation, action)
            return losses.soft_value(q, log_prob, alpha), log_prob

        return integrand

    # 1 critic
    next_policy = networks.actor.apply(params.actor, batch.next_observation)
    next_value, _ = next_policy.expect(target_key, soft_value_of(params.target_critic, batch.next_observation))
    target = losses.critic_target(batch.reward, batch.terminated, next_value, settings.discount)

    def critic_objective(critic):
        q = networks.critic.apply(critic, batch.observation, batch.action)
        return losses.critic_loss(q, target, batch.weight, batch.mass), q

    critic, critic_optimizer, q = descend("critic", critic_objective, has_aux=True)

    # 2 value and 3 weights
    value, value_optimizer, new_weight = params.value, optimizers.value, batch.weight
    if (divergence := learner.divergence) is not None:
        data_q = jnp.min(networks.critic.apply(params.target_critic, batch.observation, batch.action), axis=0)

        def value_objective(value):
            v = networks.value.apply(value, batch.observation)
            return losses.value_loss(v, data_q, settings.beta, divergence, settings.value_cap, batch.mass)

        value, value_optimizer, _ = descend("value", value_objective)
        v = networks.value.apply(value, batch.observation)
        next_v = networks.value.apply(value, batch.next_observation)
        delta = losses.td_error(batch.reward, batch.terminated, v, next_v, settings.discount)
        ratio, multiplier = weights.relaxed_ratio(divergence, delta / settings.beta, batch.mass)
        new_weight = weights.additive(batch.weight, ratio, settings.weight_rate)
        metrics |= {
            "values/v": jnp.sum(batch.mass * v),
            "weights/td_error": jnp.sum(batch.mass * delta),
            "weights/multiplier": multiplier,
            "weights/ratio_max": jnp.max(ratio),
            "weights/mean": jnp.sum(batch.mass * new_weight),
            "weights/min": jnp.min(new_weight),
            "weights/max": jnp.max(new_weight),
            "weights/ess": weights.effective_sample_size(new_weight, batch.mass),
            "weights/ratio_ess": weights.effective_sample_size(ratio, batch.mass),
        }

    # 4 actor
    def actor_objective(actor):
        policy = networks.actor.apply(actor, batch.observation)
        soft_values, log_prob = policy.expect(actor_key, soft_value_of(critic, batch.observation))
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
    return AgentState(new_params, new_optimizers, next_key, state.step + 1), new_weight, metrics


def interact(
    learner: Learner,
    settings: Settings,
    batch_size: int,
    state: AgentState,
    replay: Replay,
    transition: Transition,
    observation: Float[Array, " O"],
) -> tuple[AgentState, Replay, Float[Array, " U"], Metrics]:
    """Store a transition, learn from a fresh batch, write its weights back, act: one dispatch per environment step.

    ``observation`` is where the next action is needed: the successor, or the first observation after a reset.
    """
    key, sample_key, act_key = jax.random.split(state.key, 3)
    # Always true, but not at compile time: written straight into the program, the insertion is fused into the gather
    # that follows, and XLA then copies the whole buffer at every step to have it before and after.
    replay = jax.lax.cond(replay.head < replay.reward.shape[0], insert, lambda replay, _: replay, replay, transition)
    indices = sample_indices(sample_key, replay, batch_size)
    state, new_weight, metrics = update(learner, settings, state._replace(key=key), gather(replay, indices))
    if learner.divergence is not None:
        replay = set_weights(replay, indices, new_weight)
    return state, replay, act(learner, state.params.actor, observation, act_key), metrics
