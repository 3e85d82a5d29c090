r"""Deep Q-learning for discrete actions: DQN, with double estimation and n-step returns, as pure functions.

One ``update`` does, in this order (pinned by the contract):

    1 critic    y = r + gamma^k (1 - terminated) V(s'), V(s') = max_b Qbar(s', b)                        (RL-18)
                with double estimation V(s') = Qbar(s', argmax_b Q(s', b)), Q the OLD online network     (RL-19)
                loss sum_b mass_b w_b h(Q(s_b, a_b) - y_b), h half the square or Huber's function
    2 target    after every ``target_period``-th update, and after no other:
                thetabar <- tau theta_new + (1 - tau) thetabar                                           (SAC-23)

tau = 1 with a long period is the periodic copy of Mnih et al. (2015), a small tau with period 1 the moving average of
Lillicrap et al. (2016). Double estimation is that of van Hasselt, Guez & Silver (2016): the online network chooses,
the target network judges, so that noise in one table is not chosen by itself.

Rows of k steps come from :func:`deep.replay.gather` and bring gamma^k as their discount. Their later actions are those
of the exploring policy and nothing corrects for it, so for n > 1 the fixed point is not q*.

Actions are rows of the identity, as :class:`deep.spaces.OneHot` hands them out: Q(s, a) is their product with Q(s, .),
which is exact. Ties of a maximum fall to the first action.
Random keys: ``update`` draws nothing; acting splits its key into (whether to explore, which action).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key, PyTree

from deep import agent, losses
from deep.agent import CriticLoss, Metrics
from deep.types import Batch, Initial, Method, Scalar, Settings

NextValue = Callable[[Float[Array, "B A"], Float[Array, "B A"]], Float[Array, " B"]]


class Params(NamedTuple):
    """Parameters of the online and of the target network, by the names that they have in every agent."""

    critic: PyTree
    target_critic: PyTree


class State(NamedTuple):
    """Everything that an update reads and writes."""

    params: Params
    optimizer: Any
    key: Key[Array, ""]
    step: Int[Array, ""]


class Learner(NamedTuple):
    """What is fixed at compile time.

    network      Flax module: s (B, O) -> Q(s, .) (B, A)
    critic_loss  (q (1, B), y (B,), loss_weight (B,), mass (B,), settings) -> scalar
    next_value   (Q(s', .), Qbar(s', .)) -> V(s') (B,): :func:`maximum` or :func:`double`
    """

    network: Any
    optimizer: optax.GradientTransformation
    critic_loss: CriticLoss
    next_value: NextValue

    @property
    def method(self) -> Method:
        """What a session does with this learner."""
        return Method(create, update, None, act, act_greedy, "critic")

    @property
    def weighting(self) -> None:
        """No rule gives transitions weights."""
        return None


def maximum(online: Float[Array, "B A"], target: Float[Array, "B A"]) -> Float[Array, " B"]:
    """max_b Qbar(s', b): the target network chooses and judges (RL-18)."""
    del online
    return jnp.max(target, axis=-1)


def double(online: Float[Array, "B A"], target: Float[Array, "B A"]) -> Float[Array, " B"]:
    """Qbar(s', argmax_b Q(s', b)): the online network chooses, the target network judges (RL-19)."""
    chosen = jnp.argmax(online, axis=-1)
    return jnp.take_along_axis(target, chosen[:, None], axis=-1)[:, 0]


def create(learner: Learner, key: Key[Array, ""], observation_size: int, action_size: int) -> State:
    """Initial parameters, optimiser state and key; the target network starts equal to the online one."""
    key, critic_key = jax.random.split(key)
    observation = jnp.zeros((1, observation_size))
    critic = learner.network.init(critic_key, observation)
    width = jax.eval_shape(learner.network.apply, critic, observation).shape[-1]
    if width != action_size:
        raise ValueError(f"dqn: expected a network with a value for each of {action_size} actions, saw {width} values")
    params = Params(critic, jax.tree.map(jnp.copy, critic))
    return State(params, learner.optimizer.init(critic), key, jnp.zeros((), jnp.int32))


def epsilon(settings: Settings, step: Int[Array, ""]) -> Float[Array, ""]:
    """Probability of a random action after ``step`` updates: a straight line, then constant (RL-11)."""
    left = jnp.maximum(1.0 - step / settings.epsilon_updates, 0.0)
    return settings.epsilon_final + (settings.epsilon_start - settings.epsilon_final) * left


def explore(key: Key[Array, ""], q: Float[Array, " A"], probability: Scalar) -> Float[Array, " A"]:
    """The one-hot action that is greedy for q, or with this probability one of all A, each alike.

    So P(a) = (1 - epsilon) 1[a = argmax q] + epsilon / A: the random action may be the greedy one (RL-11).
    """
    coin_key, action_key = jax.random.split(key)
    anything = jax.random.randint(action_key, (), 0, q.shape[0])
    # u lies in [0, 1): u < epsilon never holds for 0 and always for 1.
    explores = jax.random.uniform(coin_key, (), q.dtype) < probability
    return jax.nn.one_hot(jnp.where(explores, anything, jnp.argmax(q)), q.shape[0], dtype=q.dtype)


def act(
    learner: Learner, settings: Settings, state: State, observation: Float[Array, " O"], key: Key[Array, ""]
) -> Float[Array, " A"]:
    """One epsilon-greedy action for the online network, epsilon after the updates made so far.

    NaN where a value of the network is no finite number, so that the session stops as it does for any policy.
    """
    q = learner.network.apply(state.params.critic, observation[None])[0]
    return explore(key, q, epsilon(settings, state.step)) + _poison(q)


def act_greedy(learner: Learner, critic: PyTree, observation: Float[Array, " O"]) -> Float[Array, " A"]:
    """The greedy action, one-hot, for evaluation; NaN where a value is no finite number."""
    q = learner.network.apply(critic, observation[None])[0]
    return jax.nn.one_hot(jnp.argmax(q), q.shape[0], dtype=q.dtype) + _poison(q)


def critic_target(learner: Learner, state: State, batch: Batch) -> Float[Array, " B"]:
    """y of step 1, from the state's two networks at s'."""
    online, target = (learner.network.apply(params, batch.next_observation) for params in state.params)
    return losses.critic_target(batch.reward, batch.terminated, learner.next_value(online, target), batch.discount)


def update(
    learner: Learner, settings: Settings, state: State, batch: Batch, initial: Initial | None = None
) -> tuple[State, Float[Array, " B"], Metrics]:
    """One learning step: the next state, the rows' weights as they are, and metrics; ``initial`` is not read."""
    del initial
    critic, target_critic = state.params
    y = critic_target(learner, state, batch)

    def objective(critic):
        q = _values(learner, critic, batch)
        return learner.critic_loss(q[None], y, batch.loss_weight, batch.mass, settings), q

    (loss, q), gradient = jax.value_and_grad(objective, has_aux=True)(critic)
    change, optimizer = learner.optimizer.update(gradient, state.optimizer, critic)
    critic = optax.apply_updates(critic, change)
    step = state.step + 1
    due = step % jnp.asarray(settings.target_period, step.dtype) == 0
    moved = agent.polyak(critic, target_critic, settings.tau)
    target_critic = jax.tree.map(lambda new, old: jnp.where(due, new, old), moved, target_critic)
    metrics = {
        "losses/critic": loss,
        "values/q": jnp.sum(batch.mass * q),
        "values/epsilon": epsilon(settings, step),
    }
    return State(Params(critic, target_critic), optimizer, state.key, step), batch.weight, metrics


def _values(learner: Learner, critic: PyTree, batch: Batch) -> Float[Array, " B"]:
    """Q(s, a) of the batch's actions."""
    return jnp.sum(batch.action * learner.network.apply(critic, batch.observation), axis=-1)


def _poison(q: Float[Array, " A"]) -> Float[Array, ""]:
    """0, or NaN if not all of q is finite: an argmax would hide it."""
    return jnp.where(jnp.all(jnp.isfinite(q)), 0.0, jnp.nan).astype(q.dtype)
