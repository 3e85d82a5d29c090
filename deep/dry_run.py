"""What a run would be, without beginning it: settings, sizes, memory, files, certificate.

Nothing is written, nothing is compiled and no array is made: sizes are those of the abstract values that JAX's own
shape evaluation gives for the functions that the run will call.
"""

import dataclasses
import functools
import math
from pathlib import Path
from typing import Any

import jax
from jaxtyping import PyTree

from deep import agent, certificate, checkpoint, presets, replay, session
from deep.environments import Environment
from deep.presets import Config


def describe(config: Config, environment: Environment, folder: Path) -> str:
    """Several lines of text; ``folder`` is where the run would lie."""
    sizes = (environment.observation_size, environment.action_size)
    learner = session.learner_of(config, environment.action_size)
    create = functools.partial(agent.create, learner, observation_size=sizes[0], action_size=sizes[1])
    state = jax.eval_shape(create, jax.random.key(0))
    capacity = min(config.buffer_size, config.steps)
    stored = jax.eval_shape(functools.partial(replay.create, capacity, *sizes))
    updates = max(0, config.steps - config.warmup_steps)
    evaluations = math.ceil(config.steps / config.evaluate_every)
    checkpoint_bytes = _bytes(state) + _bytes(stored)
    lines = [
        ("environment", f"{environment.name}: observations {sizes[0]}, actions {sizes[1]} in [-1, 1]"),
        ("preset", f"{config.preset}, seed {config.seed}"),
        *((name, f"{value}  (preset: {before})") for name, value, before in _changed(config)),
        ("steps", f"{config.steps:,}: {min(config.warmup_steps, config.steps):,} of warm-up, {updates:,} updates"),
        ("evaluations", f"{evaluations:,} of {config.evaluation_episodes} episodes"),
        *((f"{name} parameters", f"{_count(group):,}") for name, group in state.params._asdict().items()),
        ("learner", f"{_size(_bytes(state))}: parameters, optimisers, key"),
        ("buffer", f"{_size(_bytes(stored))}: {capacity:,} transitions of {certificate.precision()}"),
        ("checkpoints", f"at most {_size(checkpoint_bytes)} each, {checkpoint.KEPT + 1} of them while one is written"),
        ("device", f"{certificate.backend()}, {certificate.precision()}"),
        ("certificate", _certificate()),
        ("folder", f"{folder}" + (" (exists already: training would refuse it)" if folder.exists() else "")),
    ]
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {text}" for name, text in lines)


def _changed(config: Config) -> list[tuple[str, Any, Any]]:
    """The settings in which the configuration differs from its preset, with both values."""
    base = presets.preset(config.preset)
    said_elsewhere = {"environment", "preset", "seed", "steps"}
    return [
        (field.name, getattr(config, field.name), getattr(base, field.name))
        for field in dataclasses.fields(Config)
        if field.name not in said_elsewhere and getattr(config, field.name) != getattr(base, field.name)
    ]


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
