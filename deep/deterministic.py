r"""Deterministic policy gradients for continuous actions: DDPG, with the three changes of TD3 as options.

One ``update`` does, in this order (pinned by the contract):

    1 critic   y = r + gamma^k (1 - terminated) min_i Qbar_i(s', a'),
               a' = mubar(s') + clip(noise, -c, c) clipped to the box, noise ~ N(0, target_noise^2)
               loss sum_i sum_b mass_b w_b h(Q_i(s_b, a_b) - y_b), h half the square or Huber's function
    2 actor    after every ``actor_period``-th update, and after no other:
               ascend sum_b mass_b Q_1(s_b, mu(s_b)) in mu, Q_1 the NEW first critic                        (RL-31)
    3 targets  together with the actor: thetabar <- tau theta_new + (1 - tau) thetabar, critics and actor   (SAC-23)

One critic, no target noise and period 1 are DDPG (Lillicrap et al. 2016), two critics, noise and period 2 are TD3
(Fujimoto, van Hoof & Meger 2018): the minimum of two critics against choosing what noise overrates, the noise against
an actor that sits on a narrow peak of Q, the period so that the actor follows a critic that has had time to settle. As
in TD3 all targets wait for the period, and the actor ascends the first critic, not the minimum.

The gradient is that of the return if the batch's states have the policy's own discounted visitation (RL-31); the states
of a replay buffer have not, which is the usual approximation. No action is reweighted: the actor chooses its own.

Exploration is Gaussian noise on the actor's action, clipped to the box [-1, 1]^U; DDPG's first version had a
correlated one instead. Rows of k steps: see :mod:`deep.dqn`.
Random keys: ``update`` splits the state's key into (next, noise); acting uses its key once.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key, PyTree

from deep import agent, losses
from deep.agent import CriticLoss, Metrics
from deep.types import Batch, Initial, Method, Scalar, Settings


class Params(NamedTuple):
    """Parameters of the critics and of the actor, and of the targets that follow them."""

    critic: PyTree
    target_critic: PyTree
    actor: PyTree
    target_actor: PyTree


class OptimizerStates(NamedTuple):
    """Optimiser states of the two trained groups."""

    critic: Any
    actor: Any


class State(NamedTuple):
    """Everything that an update reads and writes."""

    params: Params
    optimizers: OptimizerStates
    key: Key[Array, ""]
    step: Int[Array, ""]


class Learner(NamedTuple):
    """What is fixed at compile time.

    critic       Flax module: s (B, O), a (B, U) -> Q_i(s, a) (N, B), N = 1 or 2
    actor        Flax module: s (B, O) -> mu(s) (B, U) in [-1, 1]^U
    optimizer    of both, each with a state of its own
    critic_loss  (q (N, B), y (B,), loss_weight (B,), mass (B,), settings) -> scalar
    """

    critic: Any
    actor: Any
    optimizer: optax.GradientTransformation
    critic_loss: CriticLoss

    @property
    def method(self) -> Method:
        """What a session does with this learner."""
        return Method(create, update, None, act, act_greedy, "actor")

    @property
    def weighting(self) -> None:
        """No rule gives transitions weights."""
        return None


def create(learner: Learner, key: Key[Array, ""], observation_size: int, action_size: int) -> State:
    """Initial parameters, optimiser states and key; the targets start equal to what they follow."""
    key, critic_key, actor_key = jax.random.split(key, 3)
    observation, action = jnp.zeros((1, observation_size)), jnp.zeros((1, action_size))
    critic = learner.critic.init(critic_key, observation, action)
    actor = learner.actor.init(actor_key, observation)
    params = Params(critic, jax.tree.map(jnp.copy, critic), actor, jax.tree.map(jnp.copy, actor))
    optimizers = OptimizerStates(learner.optimizer.init(critic), learner.optimizer.init(actor))
    return State(params, optimizers, key, jnp.zeros((), jnp.int32))


def act(
    learner: Learner, settings: Settings, state: State, observation: Float[Array, " O"], key: Key[Array, ""]
) -> Float[Array, " U"]:
    """mu(s) with Gaussian noise of ``exploration_noise``, inside the box [-1, 1]^U."""
    action = act_greedy(learner, state.params.actor, observation)
    noise = settings.exploration_noise * jax.random.normal(key, action.shape, action.dtype)
    return jnp.clip(action + noise, -1.0, 1.0)


def act_greedy(learner: Learner, actor: PyTree, observation: Float[Array, " O"]) -> Float[Array, " U"]:
    """mu(s), for evaluation."""
    return learner.actor.apply(actor, observation[None])[0]


def smoothed(
    action: Float[Array, "B U"], noise: Float[Array, "B U"], std: Scalar, bound: Scalar
) -> Float[Array, "B U"]:
    """The target actor's action with standard-normal ``noise`` of this deviation, cut at ``bound``, inside the box."""
    return jnp.clip(action + jnp.clip(std * noise, -bound, bound), -1.0, 1.0)


def critic_target(
    learner: Learner, settings: Settings, state: State, batch: Batch, key: Key[Array, ""]
) -> Float[Array, " B"]:
    """y of step 1, from the state's target networks at s'."""
    action = learner.actor.apply(state.params.target_actor, batch.next_observation)
    noise = jax.random.normal(key, action.shape, action.dtype)
    action = smoothed(action, noise, settings.target_noise, settings.target_noise_clip)
    q = learner.critic.apply(state.params.target_critic, batch.next_observation, action)
    return losses.critic_target(batch.reward, batch.terminated, jnp.min(q, axis=0), batch.discount)


def actor_loss(learner: Learner, actor: PyTree, critic: PyTree, batch: Batch) -> Float[Array, ""]:
    """-sum_b mass_b Q_1(s_b, mu(s_b)), whose gradient in mu is the deterministic policy gradient (RL-31)."""
    q = learner.critic.apply(critic, batch.observation, learner.actor.apply(actor, batch.observation))
    return -jnp.sum(batch.mass * q[0])


def update(
    learner: Learner, settings: Settings, state: State, batch: Batch, initial: Initial | None = None
) -> tuple[State, Float[Array, " B"], Metrics]:
    """One learning step: the next state, the rows' weights as they are, and metrics; ``initial`` is not read."""
    del initial
    params, optimizers = state.params, state.optimizers
    key, noise_key = jax.random.split(state.key)
    y = critic_target(learner, settings, state, batch, noise_key)

    def critic_objective(critic):
        q = learner.critic.apply(critic, batch.observation, batch.action)
        return learner.critic_loss(q, y, batch.loss_weight, batch.mass, settings), q

    (loss, q), gradient = jax.value_and_grad(critic_objective, has_aux=True)(params.critic)
    change, critic_optimizer = learner.optimizer.update(gradient, optimizers.critic, params.critic)
    critic = optax.apply_updates(params.critic, change)

    def move(params: Params, optimizer: Any) -> tuple[Params, Any]:
        """Steps 2 and 3."""
        gradient = jax.grad(lambda actor: actor_loss(learner, actor, critic, batch))(params.actor)
        change, optimizer = learner.optimizer.update(gradient, optimizer, params.actor)
        actor = optax.apply_updates(params.actor, change)
        target_critic = agent.polyak(critic, params.target_critic, settings.tau)
        return Params(critic, target_critic, actor, agent.polyak(actor, params.target_actor, settings.tau)), optimizer

    step = state.step + 1
    due = step % jnp.asarray(settings.actor_period, step.dtype) == 0
    params, actor_optimizer = jax.lax.cond(
        due, move, lambda params, optimizer: (params, optimizer), params._replace(critic=critic), optimizers.actor
    )
    metrics = {"losses/critic": loss, "values/q": jnp.sum(batch.mass * jnp.mean(q, axis=0))}
    return State(params, OptimizerStates(critic_optimizer, actor_optimizer), key, step), batch.weight, metrics
