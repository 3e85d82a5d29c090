"""`deep`'s laws for beta, its weighting rules and what it logs of weights, behind the adapter protocol."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from contract.adapters import deep as adapter

from deep import beta, types, weights

LAWS = {
    "fixed": lambda _: beta.fixed,
    "effective-sample-fraction": beta.effective_sample_fraction,
    "kl-ball": beta.kl_ball,
    "feedback": beta.feedback,
    "feedback-as-printed": lambda _: beta.feedback_as_printed,
}
RULES = {"relaxed": weights.relaxed, "occupancy": weights.occupancy}
RECURSIONS = {"additive": weights.additive, "replicator": weights.replicator, "immediate": weights.immediate}
_REST = {"discount": 0.0, "tau": 0.0, "beta": 1.0, "weight_rate": 0.0, "target_entropy": 0.0, "value_cap": 0.0}


def _settings(settings) -> types.Settings:
    return types.Settings(**(_REST | settings))


@functools.lru_cache
def _law(name, divergence):
    law = LAWS[name](adapter.DIVERGENCES[divergence])

    def step(beta, fraction, td_error, mass, settings):
        return law(types.BetaState(beta, fraction), td_error, mass, _settings(settings))

    return adapter.compiled(step), adapter.compiled(jax.jacobian(step, argnums=(0, 1)))


def beta_law(name, divergence, beta, fraction, td_error, mass, /, **settings):
    return tuple(_law(name, divergence)[0](beta, fraction, td_error, mass, settings))


def beta_law_jacobian(name, divergence, beta, fraction, td_error, mass, /, **settings):
    return tuple(_law(name, divergence)[1](beta, fraction, td_error, mass, settings))


@functools.lru_cache
def _bracket():
    return adapter.compiled(beta.bracket)


def beta_bracket(td_error, mass, fraction, steepness):
    return _bracket()(td_error, mass, fraction, steepness)


@functools.lru_cache
def _recursion(name):
    def repeat(weight, ratio, rate, mass, times):
        return jax.lax.fori_loop(0, times, lambda _, w: RECURSIONS[name](w, ratio, rate, mass), weight)

    return adapter.compiled(repeat)


def recursion(name, weight, ratio, rate, mass, times):
    return _recursion(name)(weight, ratio, rate, mass, times)


@functools.lru_cache
def _weighting(rule, recursion, divergence):
    apply = RULES[rule](adapter.DIVERGENCES[divergence], RECURSIONS[recursion])

    def step(td_error, weight, mass, beta, settings):
        nothing = jnp.zeros((2, len(td_error)), td_error.dtype)
        return apply(types.Evidence(td_error, nothing, weight, mass), beta, _settings(settings))

    return adapter.compiled(step)


def weighting(rule, recursion, divergence, td_error, weight, mass, beta, **settings):
    return _weighting(rule, recursion, divergence)(td_error, weight, mass, beta, settings)


@functools.lru_cache
def _statistics():
    def both(weight, mass, floor, cap):
        return weights.statistics(weight, mass, floor, cap), weights.quantiles(weight, mass)

    return adapter.compiled(both)


def weight_statistics(weight, mass, floor, cap):
    seen, quantiles = _statistics()(weight, mass, floor, cap)
    return seen | dict(zip(map("q{}".format, weights.PERCENTILES), quantiles, strict=True))


def stored_statistics(weight, size, floor, cap):
    return weights.stored_statistics(jnp.asarray(weight), size, floor, cap)


def largest_stable_gain(smoothing):
    return beta.largest_stable_gain(smoothing)
