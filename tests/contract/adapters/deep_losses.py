"""`deep`'s losses, gradient penalty and published recipes behind the contract's adapter protocol."""

from __future__ import annotations

import functools
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from contract.adapters import deep as adapter

from deep import losses, penalty, published, types, weights

VALUES = {"roer-published": published.value_objective, "js-note": published.note_value_objective}
WEIGHTS = {"roer-published": published.weighting, "js-note": published.note_weighting}


def _compiled(static=()):
    """`jax.jit`, with NumPy arguments made JAX arrays first."""

    def decorate(function):
        run = jax.jit(function, static_argnums=static)

        @functools.wraps(function)
        def call(*arguments):
            return run(*jax.tree.map(lambda x: jnp.asarray(x) if isinstance(x, np.ndarray) else x, arguments))

        return call

    return decorate


def _settings(**chosen) -> types.Settings:
    """Settings of which a function reads only those that are given."""
    unread = {name: 0.0 for name in types.Settings._fields if name not in types.Settings._field_defaults}
    return types.Settings(**(unread | chosen))


def _terms(value, q, mass) -> types.ValueTerms:
    zero, none = jnp.zeros_like(value), jnp.zeros(0, value.dtype)
    return types.ValueTerms(value, zero, q, zero, zero, zero, mass, none, none)


@_compiled()
def huber_gradient(q, target, weight, mass, width):
    return jax.grad(losses.huber_error)(q, target, weight, mass, _settings(huber_width=width))


@_compiled(static=0)
def flow_gradient(
    divergence, value, next_value, initial_value, reward, terminated, discount, gamma, beta, cap, mass, initial_mass
):
    objective, settings = losses.occupancy(adapter.DIVERGENCES[divergence]), _settings(discount=gamma, value_cap=cap)

    def loss(value, next_value, initial_value):
        unread = jnp.full_like(value, jnp.nan)  # the critic has no part in the flow
        terms = types.ValueTerms(
            value, next_value, unread, reward, terminated, discount, mass, initial_value, initial_mass
        )
        return objective(terms, beta, settings)

    return jax.grad(loss, argnums=(0, 1, 2))(value, next_value, initial_value)


@_compiled(static=0)
def flow_ratio(divergence, td_error, beta, cap):
    return weights.occupancy_ratio(adapter.DIVERGENCES[divergence], td_error / beta, cap)


@_compiled()
def _penalised_gradient(critic, observation, action, target, weight, mass, coefficient):
    def loss(critic):
        q, slope = penalty.values_and_slopes(critic, observation, action)
        excess = penalty.slope_penalty(slope, mass)
        return losses.critic_loss(q, target, weight, mass) + coefficient * excess, excess

    return jax.grad(loss, has_aux=True)(critic)


def penalised_gradient(twins, observation, action, target, weight, mass, coefficient):
    def tree(layers):
        return {f"Dense_{k}": {"kernel": kernel, "bias": bias} for k, (kernel, bias) in enumerate(layers)}

    critic = {"params": {"first": tree(twins[0]), "second": tree(twins[1])}}
    gradient, excess = _penalised_gradient(critic, observation, action, target, weight, mass, coefficient)
    pairs = [
        [(layers[f"Dense_{k}"]["kernel"], layers[f"Dense_{k}"]["bias"]) for k in range(len(layers))]
        for layers in (gradient["params"]["first"], gradient["params"]["second"])
    ]
    return excess, pairs


@_compiled(static=0)
def published_value(recipe, value, q, beta, cap, mass):
    settings = _settings(value_cap=cap)
    return jax.value_and_grad(lambda v: VALUES[recipe](_terms(v, q, mass), beta, settings))(value)


@_compiled(static=0)
def published_weights(recipe, td_error, weight, mass, beta, rate, low, high, floor):
    settings = _settings(weight_rate=rate, ratio_min=low, ratio_max=high, weight_floor=floor)
    evidence = types.Evidence(td_error, jnp.zeros((2, len(td_error)), td_error.dtype), weight, mass)
    return WEIGHTS[recipe](evidence, beta, settings)[0]


@_compiled()
def published_noise(action, noise, std, clip):
    """The action with the given standard-normal noise in place of the generator's."""
    with mock.patch.object(jax.random, "normal", lambda key, shape, dtype: noise.astype(dtype).reshape(shape)):
        return published.action_noise(jax.random.key(0), action, _settings(noise_std=std, noise_clip=clip))
