"""What a run would be, without beginning it: settings, sizes, memory, files, certificate.

Nothing is written, nothing is compiled and no array is made: sizes are those of the abstract values that JAX's own
shape evaluation gives for the functions that the run will call.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from jaxtyping import PyTree

from deep import build, certificate, checkpoint, interaction, offline, presets, programs, rollouts
from deep.cautions import cautions
from deep.config import ON_POLICY, Config
from deep.environments import Environment, Rescaling


def describe(configs: Sequence[Config], environment: Environment, folders: Sequence[Path]) -> str:
    """Several lines of text about runs that would be trained together in ``folders``; they differ in their seeds alone.

    InvalidSetting for what building the learner refuses.
    """
    config, observation_size = configs[0], environment.observation_size
    build.settings_of(config, environment.action_size)
    state, memory, steps, kept = (_rollouts if config.agent in ON_POLICY else _replay)(config, environment)
    evaluations = math.ceil(config.steps / config.evaluate_every) + (config.pretrain_steps > 0)
    each = "" if len(configs) == 1 else f", for each of {len(configs)} seeds"
    lines = [
        ("environment", f"{environment.name}: observations {observation_size}, {_actions(environment)}"),
        ("preset", config.preset),
        ("seed" if len(configs) == 1 else "seeds", ", ".join(str(one.seed) for one in configs)),
        *((name, f"{value}  (preset: {before})") for name, value, before in _changed(config)),
        *(("warning", text) for text in cautions(config, environment.time_limit)),
        *steps,
        ("evaluations", f"{evaluations:,} of {config.evaluation_episodes} episodes"),
        *((f"{name} parameters", f"{_count(group):,}") for name, group in state.params._asdict().items()),
        ("learner", f"{_size(_bytes(state))}: parameters, optimisers, key{each}"),
        (kept[0], f"{_size(_bytes(memory))}: {kept[1]} of {certificate.precision()}{each}"),
        ("checkpoints", f"at most {_size(_bytes(state) + _bytes(memory))} each; {checkpoint.KEPT} are kept{each}"),
        ("device", f"{certificate.backend()}, {certificate.precision()}"),
        ("certificate", _certificate()),
        *(("folder", f"{folder}{_taken(folder)}") for folder in folders),
    ]
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {text}" for name, text in lines)


Sizes = tuple[PyTree, PyTree, list[tuple[str, str]], tuple[str, str]]
"""The learner's state, what is kept of the environment, the lines about steps, and what the kept is called."""


def _replay(config: Config, environment: Environment) -> Sizes:
    """Of an agent that learns from a replay."""
    sizes = (environment.observation_size, environment.action_size)
    learner, plan = build.learner_of(config, environment.action_size), build.plan_of(config)
    state = jax.eval_shape(lambda: programs.initial_states(learner, plan, sizes, [config]))
    data, begin = 0, []
    if config.dataset is not None:
        data = len(offline.read(config.dataset, environment, config.reward_shift).reward)
        begin = [("data set", f"{data:,} transitions, {config.pretrain_steps:,} updates before the first step")]
    capacity = min(config.buffer_size, config.steps + data)
    memory = jax.eval_shape(functools.partial(interaction.create, plan, capacity, config.initial_states, *sizes))
    warmup = min(config.warmup_steps, config.steps)
    updates = (config.steps - warmup) * config.updates_per_step
    steps = f"{config.steps:,}: {warmup:,} of warm-up, then {updates:,} updates"
    return state, memory, [*begin, ("steps", steps)], ("buffer", f"{capacity:,} transitions")


def _rollouts(config: Config, environment: Environment) -> Sizes:
    """Of an on-policy agent."""
    sizes = (environment.observation_size, environment.action_size)
    learner = build.rollout_learner_of(config, environment.action_size, environment.discrete)
    state = jax.eval_shape(lambda: rollouts.programs(learner, *sizes).create(jax.random.key(0)))
    if learner.method.episodic:
        length, what = environment.time_limit or 1, "an update after every episode"
    else:
        length = config.rollout_steps
        updates = config.steps // (length * config.environments)
        what = f"{updates:,} updates after {length:,} steps of {config.environments} environments each"
    rows = jax.eval_shape(lambda: jax.numpy.zeros((length, config.environments, rollouts.width(*sizes))))
    kept = f"{length * config.environments:,} transitions"
    return state, rows, [("steps", f"{config.steps:,}: {what}")], ("rollout", kept)


def _actions(environment: Environment) -> str:
    continuous = isinstance(environment.actions, Rescaling)
    return f"actions {environment.action_size} in [-1, 1]" if continuous else f"{environment.action_size} actions"


def _changed(config: Config) -> list[tuple[str, Any, Any]]:
    """The settings in which the configuration differs from its preset, with both values."""
    base = presets.preset(config.preset, config.environment)
    said_elsewhere = {"environment", "preset", "seed", "steps"}
    return [
        (field.name, getattr(config, field.name), getattr(base, field.name))
        for field in dataclasses.fields(Config)
        if field.name not in said_elsewhere and getattr(config, field.name) != getattr(base, field.name)
    ]


def _taken(folder: Path) -> str:
    return "  (exists already: training would refuse it)" if folder.exists() else ""


def _certificate() -> str:
    precision = certificate.precision()
    found = certificate.find(precision)
    if found is None:
        return f"none covers this run: {certificate.refusal(precision)}"
    return f"{found.id} of {found.date} ({len(found.rows)} rows)"


def _count(tree: PyTree) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def _bytes(tree: PyTree) -> int:
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _size(count: int) -> str:
    """Bytes in the largest unit of which there is one."""
    for factor, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"
