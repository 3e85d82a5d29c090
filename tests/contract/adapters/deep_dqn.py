"""`deep`'s deep Q-learning behind the contract's adapter protocol."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from contract.adapters import deep as adapter
from contract.agents import Batch
from contract.protocol import ACTIONS

from deep import dqn, losses, networks, types

LOSSES = {"squared": losses.squared_error, "huber": losses.huber_error}


def settings_of(**chosen) -> types.Settings:
    """Settings of which a function reads only those that are given."""
    unread = {name: 0.0 for name in types.Settings._fields if name not in types.Settings._field_defaults}
    return types.Settings(**(unread | chosen))


def _descent() -> optax.GradientTransformation:
    """Gradient descent whose state is its rate and the gradient that it was handed last."""

    def init(params):
        return jnp.zeros(()), jax.tree.map(jnp.zeros_like, params)

    def update(gradient, state, params=None):
        del params
        rate, _ = state
        return jax.tree.map(lambda g: -rate * g, gradient), (rate, gradient)

    return optax.GradientTransformation(init, update)


@functools.lru_cache
def _learner(double: bool, loss: str) -> dqn.Learner:
    return dqn.Learner(networks.QTable(ACTIONS), _descent(), LOSSES[loss], dqn.double if double else dqn.maximum)


def _state(table, target, rate=0.0, seed=0) -> dqn.State:
    online, judge = ({"params": {"table": jnp.asarray(one)}} for one in (table, target))
    optimizer = (jnp.asarray(rate, float), jax.tree.map(jnp.zeros_like, online))
    return dqn.State(dqn.Params(online, judge), optimizer, jax.random.key(seed), jnp.zeros((), jnp.int32))


def _rows(batch: Batch, discount) -> types.Batch:
    return types.Batch(**batch._asdict(), discount=discount, loss_weight=batch.weight)


@functools.lru_cache
def _target(double: bool):
    learner = _learner(double, "squared")

    def target(q, target_q, reward, terminated, discount):
        rows, unread = jnp.eye(len(reward), dtype=reward.dtype), jnp.full_like(reward, jnp.nan)
        batch = types.Batch(rows, unread[:, None], reward, rows, terminated, discount, unread, unread, unread)
        return dqn.critic_target(learner, _state(q, target_q), batch)

    return adapter.compiled(target)


def q_target(double, q, target_q, reward, terminated, discount):
    return _target(double)(q, target_q, reward, terminated, discount)


@functools.lru_cache
def _gradient(loss: str):
    learner = _learner(False, loss)

    def gradient(q, action, target, weight, mass, width):
        """What the optimiser of an update is handed when every row ends its episode with the target for a reward."""
        rows, ends = jnp.eye(len(target), dtype=target.dtype), jnp.ones_like(target)
        batch = types.Batch(rows, action, target, rows, ends, jnp.zeros_like(target), weight, weight, mass)
        state, _, _ = dqn.update(learner, settings_of(tau=0.0, huber_width=width), _state(q, q), batch)
        return state.optimizer[1]["params"]["table"]

    return adapter.compiled(gradient)


def q_gradient(loss, q, action, target, weight, mass, width):
    return _gradient(loss)(q, action, target, weight, mass, width)


@functools.lru_cache
def _epsilon():
    return adapter.compiled(
        lambda start, final, updates, step: dqn.epsilon(
            settings_of(epsilon_start=start, epsilon_final=final, epsilon_updates=updates), step
        )
    )


def exploration(start, final, updates, step):
    return _epsilon()(*(jnp.asarray(number, float) for number in (start, final, updates)), jnp.asarray(step, jnp.int32))


class DeepQ:
    """Deep Q-learning on tables."""

    def __init__(self, double: bool, loss: str) -> None:
        self.learner = _learner(double, loss)
        self._update = adapter.compiled(lambda *arguments: dqn.update(self.learner, *arguments)[0])
        self._act = adapter.compiled(self._actions)

    def state(self, table, target, rate: float) -> dqn.State:
        return _state(table, target, rate)

    def update(self, state: dqn.State, batch: Batch, discount, tau: float, period: int, width: float) -> dqn.State:
        settings = settings_of(tau=tau, target_period=period, huber_width=width)
        settings = types.Settings(*(jnp.asarray(value, float) for value in settings))
        return self._update(settings, state, _rows(batch, discount))

    @staticmethod
    def tables(state: dqn.State) -> tuple[np.ndarray, np.ndarray]:
        online, target = (np.asarray(params["params"]["table"]) for params in state.params)
        return online, target

    def actions(self, state: dqn.State, observations, epsilon: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """The numbers of the actions taken in training with this epsilon, and in evaluation."""
        keys = jax.random.split(jax.random.key(seed), len(observations))
        taken, greedy = self._act(state, observations, jnp.asarray(epsilon, float), keys)
        return np.asarray(taken), np.asarray(greedy)

    def _actions(self, state, observations, epsilon, keys):
        method, settings = self.learner.method, settings_of(epsilon_start=epsilon, epsilon_final=epsilon)
        policy = getattr(state.params, method.policy)
        taken = jax.vmap(lambda at, key: method.act(self.learner, settings, state, at, key))(observations, keys)
        greedy = jax.vmap(lambda at: method.act_greedy(self.learner, policy, at))(observations)
        return jnp.argmax(taken, axis=-1), jnp.argmax(greedy, axis=-1)


deep_q = functools.lru_cache(DeepQ)
