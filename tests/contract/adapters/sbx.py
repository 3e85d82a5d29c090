"""SBX's SAC, in JAX: its jitted pieces, called as they stand, and its networks.

`update_critic`, `update_actor`, `update_temperature` and `soft_update` take Flax train states. For one formula these
hold known numbers, an `apply_fn` that returns them, and an optimiser that keeps the gradient that it is handed; for the
whole update they hold SBX's own networks with given parameters. Batches are averaged and know no weights, so rows have
weight one and mass 1/B.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
from contract.adapters.sb3 import Nowhere
from contract.agents import Batch, Layers, NotOffered, Rates, Settings
from contract.protocol import Implementation
from flax.training.train_state import TrainState
from sbx import SAC
from sbx.common.distributions import TanhTransformedDistribution, tfd
from sbx.common.type_aliases import ReplayBufferSamplesNp, RLTrainState
from sbx.sac.sac import EntropyCoef

KEEPING = optax.GradientTransformation(
    lambda parameters: jax.tree.map(jnp.zeros_like, parameters),
    lambda gradients, state, parameters=None: (jax.tree.map(jnp.zeros_like, gradients), gradients),
)
"""Moves nothing; its state is the last gradient."""


class _Known(NamedTuple):
    """A policy that returns given log-probabilities."""

    log_probs: jax.Array

    def sample(self, seed):
        return jnp.zeros((len(self.log_probs), 2))

    def log_prob(self, actions):
        return self.log_probs


def _policy(parameters, observations):
    return _Known(parameters)


def _values(parameters, observations, actions, rngs=None):
    return parameters["q"][..., None]


def _alpha(variables):
    return variables["params"]


def _critic(q, next_q, reward, terminated, log_prob, discount, alpha) -> jax.Array:
    """The gradient (2, B) that `SAC.update_critic` hands to the critics' optimiser."""
    rows = len(reward)
    policy = TrainState.create(apply_fn=_policy, params=jnp.asarray(log_prob), tx=KEEPING)
    critic = RLTrainState.create(
        apply_fn=_values, params={"q": jnp.asarray(q)}, target_params={"q": jnp.asarray(next_q)}, tx=KEEPING
    )
    entropy = TrainState.create(apply_fn=_alpha, params=jnp.asarray(alpha, float), tx=KEEPING)
    states, actions = jnp.zeros((rows, 3)), jnp.zeros((rows, 2))
    discounts = jnp.full(rows, discount, float)
    numbers = jnp.asarray(reward), jnp.asarray(terminated), discounts
    after, _, _ = SAC.update_critic(policy, critic, entropy, states, actions, states, *numbers, jax.random.PRNGKey(0))
    return after.opt_state["q"]


def soft_value(q, log_prob, alpha):
    """The target with reward zero and discount one, read off the gradient (0 - y)/B; B is a power of two."""
    zero = np.zeros_like(log_prob)
    return -len(zero) * _critic(np.zeros_like(q), q, zero, zero, log_prob, 1.0, alpha)[0]


def critic_target(reward, terminated, next_value, discount):
    q = np.stack([next_value] * 2)
    gradient = _critic(np.zeros_like(q), q, reward, terminated, np.zeros_like(reward), discount, 1.0)
    return -len(reward) * gradient[0]


def critic_gradient(q, target, weight, mass):
    return _critic(q, np.zeros_like(q), target, np.ones_like(target), np.zeros_like(target), 1.0, 1.0)


def temperature_gradient(log_alpha, log_prob, target_entropy):
    parameters = {"log_ent_coef": jnp.asarray(log_alpha)}
    entropy = TrainState.create(apply_fn=_entropy_coefficient().apply, params=parameters, tx=KEEPING)
    return SAC.update_temperature(target_entropy, entropy, -log_prob)[0].opt_state["log_ent_coef"]


@functools.lru_cache
def _entropy_coefficient() -> EntropyCoef:
    return EntropyCoef(1.0)


def polyak(online, target, tau):
    state = RLTrainState.create(
        apply_fn=_values, params={"q": jnp.asarray(online)}, target_params={"q": jnp.asarray(target)}, tx=KEEPING
    )
    return SAC.soft_update(tau, state).target_params["q"]


def _squashed(mean, log_std) -> TanhTransformedDistribution:
    return TanhTransformedDistribution(tfd.MultivariateNormalDiag(loc=mean, scale_diag=jnp.exp(log_std)))


@jax.jit
def squashed_log_prob(mean, log_std, pre_tanh):
    """The density at the action that its own bijector makes of `pre_tanh`, as of a sampled action."""
    policy = _squashed(mean, log_std)
    return policy.log_prob(policy.bijector.forward(pre_tanh))


@jax.jit
def _draw(mean, log_std, key):
    policy = _squashed(mean, log_std)
    action = policy.sample(seed=key)
    return action, policy.log_prob(action), policy.distribution.sample(seed=key)


def squashed_draw(mean, log_std, seed):
    return _draw(mean, log_std, jax.random.PRNGKey(seed))


@jax.jit
def squashed_mode(mean, log_std):
    return _squashed(mean, log_std).mode()


def actor_gradient(mean, log_std, noise, alpha, critic, mass):
    """The rows' derivatives of the mean are B mass times those of the weighted sum."""
    parameters = jnp.asarray(mean), jnp.asarray(log_std)

    def policy(parameters, observations):
        m, s = parameters
        return _squashed(m[:, None], s[:, None])

    def values(parameters, observations, actions, rngs=None):
        return jnp.stack([critic(actions[:, 0])[:, None]] * 2)

    actor = TrainState.create(apply_fn=policy, params=parameters, tx=KEEPING)
    twins = RLTrainState.create(apply_fn=values, params=jnp.zeros(()), target_params=jnp.zeros(()), tx=KEEPING)
    entropy = TrainState.create(apply_fn=_alpha, params=jnp.asarray(alpha, float), tx=KEEPING)
    states = jnp.zeros((len(mean), 3))
    given = jnp.asarray(noise)
    with mock.patch.object(jax.random, "normal", lambda key, shape=(), dtype=float: given.astype(dtype).reshape(shape)):
        after, *_ = SAC.update_actor(actor, twins, entropy, states, jax.random.PRNGKey(0))
    return [len(mean) * mass * gradient for gradient in after.opt_state]


# -- the whole update -------------------------------------------------------------------------------------------------


class State(NamedTuple):
    """What an update starts from."""

    critic: RLTrainState
    actor: TrainState
    entropy: TrainState
    key: jax.Array


@functools.lru_cache
def _model(seed: int = 0, alpha: float = 1.0) -> SAC:
    return SAC(
        "MlpPolicy", Nowhere(), seed=seed, ent_coef=f"auto_{alpha}", buffer_size=1, policy_kwargs={"net_arch": [5]}
    )


@functools.lru_cache
def _descent(rate: float) -> optax.GradientTransformation:
    return optax.sgd(rate)


def _twins(twins: list) -> dict[str, Any]:
    pairs = zip(*twins, strict=True)  # each layer of both twins
    dense = {
        f"Dense_{k}": {"kernel": jnp.stack([a[0], b[0]]), "bias": jnp.stack([a[1], b[1]])}
        for k, (a, b) in enumerate(pairs)
    }
    return {"params": {"VmapContinuousCritic_0": dense}}


def _read_twins(parameters) -> list:
    dense = parameters["params"]["VmapContinuousCritic_0"]
    layers = [dense[name] for name in sorted(dense)]
    return [[(np.asarray(layer["kernel"][i]), np.asarray(layer["bias"][i])) for layer in layers] for i in range(2)]


class Continuous:
    """SBX's own networks, one hidden layer of width 5, ReLU; the update is `SAC._train` for one step."""

    log_std_range = (-20.0, 2.0)  # log_std_min and log_std_max of SBX's SquashedGaussianActor

    def state(self, layers: Layers, rates: Rates, seed: int) -> State:
        made = _model()
        heads = (*layers.actor, layers.mean, layers.log_std)
        dense = {f"Dense_{k}": {"kernel": jnp.asarray(w), "bias": jnp.asarray(b)} for k, (w, b) in enumerate(heads)}
        critic = RLTrainState.create(
            apply_fn=made.policy.qf_state.apply_fn,
            params=_twins(layers.critic),
            target_params=_twins(layers.target),
            tx=_descent(rates.critic),
        )
        actor = TrainState.create(
            apply_fn=made.policy.actor_state.apply_fn, params={"params": dense}, tx=_descent(rates.actor)
        )
        parameters = {"log_ent_coef": jnp.asarray(layers.log_alpha)}
        entropy = TrainState.create(
            apply_fn=made.ent_coef_state.apply_fn, params=parameters, tx=_descent(rates.log_alpha)
        )
        return State(critic, actor, entropy, jax.random.PRNGKey(seed))

    def initial(self, seed: int, alpha: float) -> State:
        made = _model(seed, alpha)
        return State(made.policy.qf_state, made.policy.actor_state, made.ent_coef_state, made.key)

    def noise(self, state: State, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """`update_critic` splits its key in four and `update_actor` what it hands on in three."""
        key, target_key, _, _ = jax.random.split(state.key, 4)
        _, _, actor_key = jax.random.split(key, 3)
        normal = tfd.MultivariateNormalDiag(jnp.zeros((rows, 2)), jnp.ones((rows, 2)))
        return tuple(np.asarray(normal.sample(seed=key)) for key in (target_key, actor_key))

    def update(self, state: State, batch: Batch, settings: Settings):
        discounts = np.full_like(batch.reward, settings.discount)
        rows = ReplayBufferSamplesNp(
            batch.observation, batch.action, batch.next_observation, batch.terminated, batch.reward, discounts
        )
        critic, actor, entropy, key, _ = SAC._train(
            settings.tau, settings.target_entropy, 1, rows, 1, 0, state.critic, state.actor, state.entropy, state.key
        )
        return State(critic, actor, entropy, key), None

    def layers(self, state: State) -> Layers:
        dense = state.actor.params["params"]
        heads = [(np.asarray(dense[name]["kernel"]), np.asarray(dense[name]["bias"])) for name in sorted(dense)]
        twins, targets = _read_twins(state.critic.params), _read_twins(state.critic.target_params)
        log_alpha = np.asarray(state.entropy.params["log_ent_coef"])
        return Layers(twins, targets, heads[:-2], heads[-2], heads[-1], [], log_alpha, self.log_std_range)


def continuous(divergence: str | None, penalised: bool = False) -> Continuous:
    if penalised:
        raise NotOffered("SBX: a gradient penalty is not offered")
    if divergence is not None:
        raise NotOffered(f"SBX: divergence {divergence} is not offered")
    return Continuous()


implementation = Implementation(
    name="SBX",
    soft_value=soft_value,
    critic_target=critic_target,
    critic_gradient=critic_gradient,
    temperature_gradient=temperature_gradient,
    actor_gradient=actor_gradient,
    polyak=polyak,
    squashed_log_prob=squashed_log_prob,
    squashed_draw=squashed_draw,
    squashed_mode=squashed_mode,
    continuous=continuous,
    divergences=(),
    weighted=False,
)
