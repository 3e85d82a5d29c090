"""From the names in a configuration to the functions that they stand for: the one place that reads them.

Equal configurations give the same objects, so whatever was compiled for one run of a process serves the next.
"""

import functools
from typing import Any

import jax.numpy as jnp
import optax

from deep import agent, divergence, interaction, losses, networks, replay, weights
from deep.config import Config
from deep.types import BetaState, Settings


def learner_of(config: Config, action_size: int) -> agent.Learner:
    """Networks, optimisers and the functions of every axis."""
    adam = _adam(config.learning_rate)
    return _learner(
        _networks(action_size, config.hidden),
        agent.Optimizers(adam, adam, adam, adam),
        config.divergence,
        config.fermi_dirac_cap,
    )


def plan_of(config: Config) -> interaction.Plan:
    """How batches are drawn."""
    return interaction.Plan(weighted_loss, config.batch_size, config.updates_per_step)


def settings_of(config: Config, action_size: int) -> Settings:
    """The traced scalars, as device arrays so that no step converts them again."""
    entropy = -float(action_size) if config.target_entropy is None else config.target_entropy
    values = Settings(
        discount=config.discount,
        tau=config.tau,
        beta=config.beta,
        weight_rate=config.weight_rate,
        target_entropy=entropy,
        value_cap=config.value_cap,
    )
    return Settings(*(jnp.asarray(value, float) for value in values))


def roer(generator: divergence.Divergence | None) -> dict[str, Any]:
    """The functions of SAC with relaxed experience weights of this generator, or of plain SAC for None."""
    return {
        "critic_loss": critic_loss,
        "penalty": None,
        "value": None if generator is None else _conditional(generator),
        "action_noise": None,
        "weighting": None if generator is None else _relaxed(generator),
        "beta_law": fixed,
    }


def critic_loss(q, target, loss_weight, mass, settings):
    """Squared errors."""
    del settings
    return losses.critic_loss(q, target, loss_weight, mass)


def fixed(state, td_error, mass, settings):
    """The beta of the settings."""
    del td_error, mass
    return BetaState(settings.beta, state.effective_sample_fraction)


def weighted_loss(key, stored, batch_size, settings):
    """Uniform indices, the stored weights as factors of the critic's loss."""
    del settings
    indices = replay.sample_indices(key, stored, batch_size)
    return indices, stored.weight[indices]


@functools.lru_cache(maxsize=16)
def _learner(chosen, optimizers, name, cap) -> agent.Learner:
    generator = {
        "none": lambda: None,
        "kl": lambda: divergence.KL,
        "js": lambda: divergence.JENSEN_SHANNON,
        "fermi-dirac": lambda: divergence.fermi_dirac(cap),
    }[name]()
    return agent.Learner(chosen, optimizers, **roer(generator))


@functools.lru_cache(maxsize=16)
def _networks(action_size: int, hidden: tuple[int, ...]) -> networks.Networks:
    return networks.continuous(action_size, hidden)


@functools.lru_cache(maxsize=16)
def _adam(learning_rate: float) -> optax.GradientTransformation:
    return optax.adam(learning_rate)


def _conditional(generator):
    def objective(terms, beta, settings):
        return losses.value_loss(terms.value, terms.q, beta, generator, settings.value_cap, terms.mass)

    return objective


def _relaxed(generator):
    def rule(evidence, beta, settings):
        ratio, multiplier = weights.relaxed_ratio(generator, evidence.td_error / beta, evidence.mass)
        new = weights.additive(evidence.weight, ratio, settings.weight_rate)
        return new, {
            "weights/multiplier": multiplier,
            "weights/ratio_max": jnp.max(ratio),
            "weights/mean": jnp.sum(evidence.mass * new),
            "weights/min": jnp.min(new),
            "weights/max": jnp.max(new),
            "weights/ess": weights.effective_sample_size(new, evidence.mass),
            "weights/ratio_ess": weights.effective_sample_size(ratio, evidence.mass),
        }

    return rule
