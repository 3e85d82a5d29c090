"""`deep`'s on-policy agents behind the contract's adapter protocol."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from contract.adapters import deep as adapter
from contract.agents import Rollout
from contract.protocol import ACTIONS

from deep import a2c, advantages, networks, ppo, reinforce, types
from deep import on_policy as shared
from deep.distributions import Categorical, Normal


def _settings(**chosen) -> types.Settings:
    """Settings of which a function reads only those that are given."""
    unread = {name: 0.0 for name in types.Settings._fields if name not in types.Settings._field_defaults}
    return types.Settings(**(unread | chosen))


def _number(value) -> jax.Array:
    return jnp.asarray(value, float)


def _late(function):
    """`adapter.compiled` at the first call: the module that has it is the one that imports this."""
    program = functools.cache(lambda: adapter.compiled(function))
    return lambda *arguments: program()(*arguments)


_gae = _late(advantages.generalised)


def gae(reward, terminated, ended, value, next_value, discount, decay):
    return _gae(reward, terminated, ended, value, next_value, _number(discount), _number(decay))


@functools.cache
def _returns(n: int | None):
    if n is None:
        return adapter.compiled(advantages.monte_carlo)
    return adapter.compiled(lambda *arguments: advantages.n_step(*arguments, n))


def returns(reward, terminated, ended, next_value, discount, n):
    return _returns(n)(reward, terminated, ended, next_value, _number(discount))


def _law(distribution, *parameters_and_action):
    *parameters, action = parameters_and_action
    policy = distribution(*parameters)
    return policy.log_prob(action), policy.entropy()


categorical = _late(functools.partial(_law, Categorical))
normal = _late(functools.partial(_law, Normal))


def _rows(log_prob, advantage, returns, mass) -> shared.Samples:
    """Samples whose observations and actions no loss reads."""
    unread = jnp.full((len(mass), 1), jnp.nan, mass.dtype)
    return shared.Samples(unread, unread, advantage, returns, log_prob, mass)


def _policy_loss(log_prob, advantage, mass):
    rows = _rows(log_prob, advantage, jnp.full_like(mass, jnp.nan), mass)
    return jax.value_and_grad(shared.policy_gradient_loss)(log_prob, rows, _settings())


def _surrogate(log_prob, old_log_prob, advantage, mass, clip):
    rows = _rows(old_log_prob, advantage, jnp.full_like(mass, jnp.nan), mass)
    return jax.value_and_grad(ppo.surrogate_loss)(log_prob, rows, _settings(ratio_clip=clip))


def _regression(value, target, mass):
    unread = jnp.full_like(mass, jnp.nan)
    return jax.value_and_grad(shared.value_loss)(value, _rows(unread, unread, target, mass))


policy_loss = _late(_policy_loss)
regression = _late(_regression)
normalised = _late(shared.normalised)
_clipped = _late(_surrogate)


def surrogate(log_prob, old_log_prob, advantage, mass, clip):
    return _clipped(log_prob, old_log_prob, advantage, mass, _number(clip))


def minibatches(seed, rows, parts):
    return ppo.deal(jax.random.key(seed), rows, parts)


def _descent() -> optax.GradientTransformation:
    """Gradient descent whose state is its rate."""

    def update(gradient, rate, params=None):
        del params
        return jax.tree.map(lambda g: -rate * g, gradient), rate

    return optax.GradientTransformation(lambda params: jnp.zeros(()), update)


class OnPolicy:
    """An on-policy agent on tables."""

    def __init__(self, method: str) -> None:
        tables = shared.Networks(networks.SoftmaxTable(ACTIONS), networks.ValueTable())
        optimizers = shared.Optimizers(_descent(), _descent())
        self.learner = {
            "a2c": a2c.Learner(tables, optimizers),
            "reinforce": reinforce.Learner(tables, optimizers, baseline=False),
            "reinforce-baseline": reinforce.Learner(tables, optimizers, baseline=True),
            "ppo": ppo.Learner(tables, optimizers, epochs=2, minibatches=1),
        }[method]
        self._update = adapter.compiled(lambda *arguments: self.learner.method.update(self.learner, *arguments)[0])
        self._act = adapter.compiled(self._actions, static_argnums=2)
        self._greedy = adapter.compiled(
            jax.vmap(lambda actor, at: self.learner.method.act_greedy(self.learner, actor, at), in_axes=(None, 0))
        )

    def _state(self, logits, value, rate, seed=0) -> shared.State:
        params = shared.Params(*({"params": {"table": jnp.asarray(table)}} for table in (logits, value)))
        rates = shared.OptimizerStates(_number(rate), _number(rate))
        return shared.State(params, rates, jax.random.key(seed), jnp.zeros((), jnp.int32))

    def update(self, logits, value, rollout: Rollout, rate, *, discount, decay, clip, bonus):
        settings = _settings(discount=discount, trace_decay=decay, ratio_clip=clip, entropy_bonus=bonus)
        settings = types.Settings(*map(_number, settings))
        state = self._update(settings, self._state(logits, value, rate), shared.Rollout(*map(jnp.asarray, rollout)))
        return tuple(np.asarray(group["params"]["table"]) for group in state.params)

    def _actions(self, state, observations, times):
        def at(time):
            return shared.act_together(self.learner, state, observations, time)

        return jnp.argmax(jax.vmap(at)(jnp.arange(times)), axis=-1)

    def actions(self, logits, observations, times, seed):
        state = self._state(logits, np.zeros_like(logits[:, 0]), 0.0, seed)
        return np.asarray(self._act(state, observations, times))

    def greedy(self, logits, observations):
        params = {"params": {"table": jnp.asarray(logits)}}
        return np.asarray(jnp.argmax(self._greedy(params, observations), axis=-1))


on_policy = functools.lru_cache(OnPolicy)
