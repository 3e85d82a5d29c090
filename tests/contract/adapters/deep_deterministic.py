"""`deep`'s deterministic policies (DDPG, TD3) behind the contract's adapter protocol."""

from __future__ import annotations

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
from contract.adapters import deep as adapter
from contract.adapters.deep_dqn import settings_of
from contract.agents import Batch, DeterministicLayers, DeterministicSettings
from contract.networks import ACTION_SIZE, OBSERVATIONS, WIDTH

from deep import deterministic, losses, networks, types

CRITICS = {1: networks.SingleCritic((WIDTH,)), 2: networks.TwinCritic((WIDTH,))}
NAMES = ("first", "second")


def _descent() -> optax.GradientTransformation:
    """Gradient descent whose rate is its state."""
    return optax.GradientTransformation(
        lambda params: jnp.zeros(()),
        lambda gradient, rate, params=None: (jax.tree.map(lambda g: -rate * g, gradient), rate),
    )


@functools.lru_cache
def _policy_gradient():
    """The gradient of the actor's loss for a linear actor and a critic that is a quadratic form."""

    def values(parameters, s, a):
        s, a = s[:, 0], a[:, 0]
        return (parameters[0] * s * s + parameters[1] * s * a + parameters[2] * a * a)[None]

    linear = SimpleNamespace(apply=lambda gain, s: gain * s)
    learner = deterministic.Learner(SimpleNamespace(apply=values), linear, _descent(), losses.squared_error)

    def loss(gain, quadratic, observation, mass):
        unread = jnp.full_like(mass, jnp.nan)
        rows = unread[:, None]
        batch = types.Batch(observation[:, None], rows, unread, rows, unread, unread, unread, unread, mass)
        return deterministic.actor_loss(learner, gain, quadratic, batch)

    return adapter.compiled(jax.grad(loss))


def policy_gradient(gain, quadratic, observation, mass):
    return _policy_gradient()(gain, quadratic, observation, mass)


def _rows(batch: Batch, discount) -> types.Batch:
    return types.Batch(**batch._asdict(), discount=discount, loss_weight=batch.weight)


def _settings(chosen: DeterministicSettings) -> types.Settings:
    settings = settings_of(
        tau=chosen.tau, actor_period=chosen.period, target_noise=chosen.noise, target_noise_clip=chosen.clip
    )
    return types.Settings(*(jnp.asarray(value, float) for value in settings))


class DeterministicDeep:
    """Deterministic policies on small ReLU networks."""

    def __init__(self, critics: int) -> None:
        self.learner = deterministic.Learner(
            CRITICS[critics], networks.DeterministicActor((WIDTH,), ACTION_SIZE), _descent(), losses.squared_error
        )
        self.names = NAMES[:critics]
        self._update = adapter.compiled(lambda *arguments: deterministic.update(self.learner, *arguments)[0])
        self._target = adapter.compiled(functools.partial(deterministic.critic_target, self.learner))
        self._act = adapter.compiled(self._actions)

    def initial(self, seed: int) -> deterministic.State:
        create = jax.jit(functools.partial(deterministic.create, self.learner), static_argnums=(1, 2))
        return create(jax.random.key(seed), OBSERVATIONS, ACTION_SIZE)

    def state(self, layers: DeterministicLayers, rates: tuple[float, float], seed: int) -> deterministic.State:
        def stack(dense):
            return {f"Dense_{k}": adapter.dense(layer) for k, layer in enumerate(dense)}

        def critic(nets):
            return {"params": {name: stack(net) for name, net in zip(self.names, nets, strict=True)}}

        def actor(net):
            return {"params": stack(net[:-1]) | {"mean": adapter.dense(net[-1])}}

        params = deterministic.Params(
            critic(layers.critic), critic(layers.target_critic), actor(layers.actor), actor(layers.target_actor)
        )
        optimizers = deterministic.OptimizerStates(*(jnp.asarray(rate, float) for rate in rates))
        return deterministic.State(params, optimizers, jax.random.key(seed), jnp.zeros((), jnp.int32))

    def layers(self, state: deterministic.State) -> DeterministicLayers:
        def stack(tree):
            return [adapter.pair(tree[name]) for name in sorted(tree)]

        def critic(tree):
            return [stack(tree["params"][name]) for name in tree["params"]]

        params = state.params
        actors = (stack(tree["params"]) for tree in (params.actor, params.target_actor))
        return DeterministicLayers(critic(params.critic), critic(params.target_critic), *actors)

    @staticmethod
    def noise(state: deterministic.State, rows: int) -> np.ndarray:
        key = jax.random.split(state.key)[1]
        return np.asarray(jax.random.normal(key, (rows, ACTION_SIZE), jnp.zeros(0).dtype))

    def target(self, state: deterministic.State, batch: Batch, discount, chosen: DeterministicSettings):
        return self._target(_settings(chosen), state, _rows(batch, discount), jax.random.split(state.key)[1])

    def update(self, state: deterministic.State, batch: Batch, discount, chosen: DeterministicSettings):
        return self._update(_settings(chosen), state, _rows(batch, discount))

    def actions(self, state: deterministic.State, observations, std: float, seed: int):
        keys = jax.random.split(jax.random.key(seed), len(observations))
        return tuple(np.asarray(found) for found in self._act(state, observations, jnp.asarray(std, float), keys))

    def _actions(self, state, observations, std, keys):
        method, settings = self.learner.method, settings_of(exploration_noise=std)
        actor = getattr(state.params, method.policy)
        taken = jax.vmap(lambda at, key: method.act(self.learner, settings, state, at, key))(observations, keys)
        noise = jax.vmap(lambda key: jax.random.normal(key, (ACTION_SIZE,), std.dtype))(keys)
        return taken, noise, jax.vmap(lambda at: method.act_greedy(self.learner, actor, at))(observations)


deterministic_agent = functools.lru_cache(DeterministicDeep)
