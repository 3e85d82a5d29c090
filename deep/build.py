"""From the names in a configuration to the functions that they stand for: the one place that reads them.

Equal configurations give the same objects, so whatever was compiled for one run of a process serves the next.
"""

import functools
import math
from typing import Any

import jax.numpy as jnp
import optax

from deep import (
    a2c,
    agent,
    baselines,
    beta,
    deterministic,
    divergence,
    dqn,
    environments,
    interaction,
    losses,
    networks,
    on_policy,
    optimizers,
    penalty,
    ppo,
    published,
    reinforce,
    sampling,
    weights,
)
from deep.config import ON_POLICY, Config
from deep.errors import InvalidSetting
from deep.types import Settings

LARGEST_RATIO = math.exp(7.0)
"""Ratio at which the value loss is continued linearly unless told otherwise; for KL at 7, as in the public code."""

DIVERGENCES = {
    "kl": lambda config: divergence.KL,
    "js": lambda config: divergence.JENSEN_SHANNON,
    "fermi-dirac": lambda config: divergence.fermi_dirac(config.fermi_dirac_cap),
    "chi2": lambda config: divergence.CHI2,
    "hellinger": lambda config: divergence.HELLINGER,
    "reverse-kl": lambda config: divergence.REVERSE_KL,
    "power": lambda config: divergence.power(config.power),
}
OBJECTIVES = {
    "conditional": losses.conditional,
    "occupancy": losses.occupancy,
    "published": lambda generator: published.value_objective,
    "js-note": lambda generator: published.note_value_objective,
}
RECURSIONS = {"additive": weights.additive, "replicator": weights.replicator, "none": weights.immediate}
LITERAL_RULES = {"published": published.weighting, "js-note": published.note_weighting}
BETA_LAWS = {
    "fixed": lambda generator: beta.fixed,
    "ess": beta.effective_sample_fraction,
    "kl": beta.kl_ball,
    "feedback": beta.feedback,
    "feedback-as-printed": lambda generator: beta.feedback_as_printed,
}
CRITIC_LOSSES = {"squared": losses.squared_error, "huber": losses.huber_error}
BASELINE_LOSSES = {"lap": losses.huber_error, "pal": baselines.pal_loss}
BASELINE_RULES = {"per": baselines.per, "lap": baselines.lap}
BOOTSTRAPS = {"maximum": dqn.maximum, "double": dqn.double}
NETWORKS = {"standard": networks.continuous, "published": networks.published}
ON_POLICY_LEARNERS = {
    "reinforce": lambda config, *parts: reinforce.Learner(*parts, baseline=config.control_variate == "value"),
    "a2c": lambda config, *parts: a2c.Learner(*parts),
    "ppo": lambda config, *parts: ppo.Learner(*parts, epochs=config.epochs, minibatches=config.minibatches),
}

Learner = interaction.Learner | on_policy.Learner


def divergence_of(config: Config) -> divergence.Divergence | None:
    """The generator of the weights, capped if asked for; None without one. InvalidSetting for a cap that it refuses."""
    if config.divergence == "none":
        return None
    generator = DIVERGENCES[config.divergence](config)
    try:
        return generator if config.ratio_cap is None else divergence.capped(generator, config.ratio_cap)
    except ValueError as error:
        raise InvalidSetting(f"--ratio-cap: {error}") from error


@functools.lru_cache(maxsize=64)
def rollout_learner_of(config: Config, action_size: int, discrete: bool) -> on_policy.Learner:
    """The learner of an on-policy agent, for actions of either kind."""
    hidden, optimizer = tuple(config.hidden), optimizers.clipped_adam(config.learning_rate, config.gradient_clip)
    actor = networks.CategoricalActor if discrete else networks.NormalActor
    chosen = on_policy.Networks(actor(hidden, action_size), networks.BoundedValue(hidden))
    return ON_POLICY_LEARNERS[config.agent](config, chosen, on_policy.Optimizers(optimizer, optimizer))


@functools.lru_cache(maxsize=64)
def learner_of(config: Config, action_size: int) -> interaction.Learner:
    """Networks, optimisers and the functions of every axis, of an agent that learns from a replay."""
    if config.agent in ON_POLICY:
        raise ValueError(f"expected an agent with a replay, got {config.agent}: its learner is rollout_learner_of")
    if config.agent == "dqn":
        return dqn.Learner(
            networks.MLP(tuple(config.hidden), action_size),
            optimizers.adam(config.learning_rate),
            CRITIC_LOSSES[config.critic_loss],
            BOOTSTRAPS[config.bootstrap],
        )
    if config.agent in ("ddpg", "td3"):
        hidden = tuple(config.hidden)
        return deterministic.Learner(
            networks.TwinCritic(hidden) if config.critics == 2 else networks.SingleCritic(hidden),
            networks.DeterministicActor(hidden, action_size),
            optimizers.adam(config.learning_rate),
            CRITIC_LOSSES[config.critic_loss],
        )
    return compose(
        _networks(config.networks, action_size, config.hidden),
        optimizers.adam(config.learning_rate),
        divergence_of(config),
        objective=config.value_objective,
        recursion=config.weight_recursion,
        law=config.beta_law,
        critic_loss=config.critic_loss,
        baseline=config.baseline,
        penalised=config.gradient_penalty > 0,
        noised=config.action_noise > 0,
    )


def environment_of(config: Config, *, render_mode: str | None = None) -> environments.Environment:
    """The environment with the agent's kind of actions; raises what :func:`deep.environments.make` does."""
    kind = None if config.agent in ON_POLICY else config.agent == "dqn"
    return environments.make(config.environment, render_mode=render_mode, discrete=kind)


def plan_of(config: Config) -> interaction.Plan:
    """How batches are drawn."""
    proportional = config.weight_use == "sampling"
    weighed = config.divergence != "none"
    return interaction.Plan(
        sampling=sampling.proportional if proportional else sampling.weighted if weighed else sampling.uniform,
        batch_size=config.batch_size,
        updates=config.updates_per_step,
        n_step=config.n_step,
        candidates=config.candidates if config.baseline == "laber" else 1,
        initial_states=config.batch_size if weighed and config.value_objective == "occupancy" else 0,
        proportional=proportional,
        prioritised=config.baseline in ("per", "lap"),
    )


def settings_of(config: Config, action_size: int) -> Settings:
    """The traced scalars, as device arrays so that no step converts them again.

    InvalidSetting for a cap of the value loss at or beyond the pole of the generator's conjugate.
    """
    per_dimension = -0.5 if config.networks == "published" else -1.0
    entropy = per_dimension * action_size if config.target_entropy is None else config.target_entropy
    final = config.importance_exponent if config.importance_final is None else config.importance_final
    updates = max(1, (config.steps - config.warmup_steps) * config.updates_per_step)
    values = Settings(
        discount=config.discount,
        tau=config.tau,
        beta=config.beta,
        weight_rate=config.weight_rate,
        target_entropy=entropy,
        value_cap=value_cap(config),
        ratio_min=config.ratio_min,
        ratio_max=config.ratio_max,
        weight_floor=config.weight_floor,
        priority_exponent=config.priority_exponent,
        priority_offset=config.priority_offset,
        importance_exponent=config.importance_exponent,
        importance_growth=(final - config.importance_exponent) / updates,
        huber_width=config.huber_width,
        penalty=config.gradient_penalty,
        noise_std=config.action_noise,
        noise_clip=config.action_noise_clip,
        ess_target=config.ess_target,
        kl_target=config.kl_target,
        feedback_rate=config.feedback_rate,
        feedback_smoothing=config.feedback_smoothing,
        beta_min=config.beta_min,
        beta_max=config.beta_max,
        target_period=config.target_period,
        epsilon_start=config.epsilon_start,
        epsilon_final=config.epsilon_final,
        epsilon_updates=config.epsilon_steps * config.updates_per_step,
        trace_decay=config.trace_decay,
        ratio_clip=config.ratio_clip,
        entropy_bonus=config.entropy_bonus,
        exploration_noise=config.exploration_noise,
        target_noise=config.target_noise,
        target_noise_clip=config.target_noise_clip,
        actor_period=config.actor_period,
    )
    return Settings(*(jnp.asarray(value, float) for value in values))


def value_cap(config: Config) -> float:
    """Argument at which the value loss is continued linearly; InvalidSetting for one at or beyond the pole."""
    generator = divergence_of(config)
    if generator is None or config.value_objective in ("published", "js-note"):
        return math.log(LARGEST_RATIO) if config.value_cap is None else config.value_cap
    if config.value_cap is None:
        return divergence.largest_argument(generator, LARGEST_RATIO)
    if not config.value_cap < generator.supremum:
        raise InvalidSetting(
            f"--value-cap: the conjugate of {generator.name} ends at {generator.supremum:.4f}; expected a cap below "
            f"it, or none for the argument at which ratios reach {LARGEST_RATIO:.0f}, saw {config.value_cap!r}"
        )
    return config.value_cap


def starts_of(config: Config) -> tuple[Any, ...]:
    """What the learner's state begins with beside its key: for SAC alpha, beta, and the fraction held; else nothing."""
    return (config.initial_alpha, config.beta, config.ess_target) if config.agent == "sac" else ()


def weight_limits(config: Config) -> tuple[float, float]:
    """The smallest and the largest weight that the rule of a configuration can store."""
    generator = divergence_of(config)
    if generator is None or config.weight_recursion == "published":
        return (0.0 if generator is None else config.weight_floor), math.inf
    return published.NOTE_RANGE if config.weight_recursion == "js-note" else weights.ratio_limits(generator)


def roer(generator: divergence.Divergence | None) -> dict[str, Any]:
    """The functions of SAC with relaxed experience weights of this generator, or of plain SAC for None."""
    return {
        "critic_loss": losses.squared_error,
        "penalty": None,
        "value": None if generator is None else losses.conditional(generator),
        "action_noise": None,
        "weighting": None if generator is None else weights.relaxed(generator, weights.additive),
        "beta_law": beta.fixed,
    }


@functools.lru_cache(maxsize=64)
def compose(
    chosen: networks.Networks,
    optimizer: optax.GradientTransformation,
    generator: divergence.Divergence | None,
    *,
    objective: str = "conditional",
    recursion: str = "additive",
    law: str = "fixed",
    critic_loss: str = "squared",
    baseline: str = "uniform",
    penalised: bool = False,
    noised: bool = False,
) -> agent.Learner:
    """The learner that the names of a configuration stand for, on any networks and with one optimiser for all groups.

    Without a generator the names of objective, recursion and law mean nothing.
    """
    functions = roer(generator)
    if generator is not None:
        ratio = weights.occupancy if objective == "occupancy" else weights.relaxed
        functions["value"] = OBJECTIVES[objective](generator)
        functions["weighting"] = LITERAL_RULES.get(recursion) or ratio(generator, RECURSIONS[recursion])
        functions["beta_law"] = BETA_LAWS[law](generator)
        functions["action_noise"] = published.action_noise if noised else None
    functions["critic_loss"] = BASELINE_LOSSES.get(baseline, CRITIC_LOSSES[critic_loss])
    functions["weighting"] = BASELINE_RULES.get(baseline, functions["weighting"])
    functions["penalty"] = penalty.penalised_values if penalised else None
    return agent.Learner(chosen, agent.Optimizers(optimizer, optimizer, optimizer, optimizer), **functions)


@functools.lru_cache(maxsize=64)
def _networks(name: str, action_size: int, hidden: tuple[int, ...]) -> networks.Networks:
    return NETWORKS[name](action_size, hidden)
