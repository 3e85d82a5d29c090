"""Run folders with the returns that a test wants, and policies, made without training."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import jax.numpy as jnp

from deep import build, runs
from deep.config import Config
from deep.environments import Environment
from deep.policy import Trained


def made(folder: Path, returns: dict[int, list[float]], random: list[float] = (), **settings) -> Path:
    """A run whose evaluations had these returns, by step, and whose warm-up these episodes of random actions."""
    config = Config(**{"environment": "Made-v0", **settings})
    runs.create(folder, config, {"date": "today", "certificate": None, "versions": {}, "git_revision": None})
    lines = [{"step": 1 + at, "charts/episodic_return": value} for at, value in enumerate(random)]
    lines += [{"step": config.warmup_steps + 1, "charts/episodic_return": 1e6}]
    lines += [{"step": step, "evaluation/returns": values} for step, values in returns.items()]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def untrained(config: Config, environment: Environment) -> Trained:
    """The policy of a run's first step, said to be of its fortieth."""
    learner = build.learner_of(config, environment.action_size)
    actor = learner.networks.actor.init(jax.random.key(config.seed), jnp.zeros((1, environment.observation_size)))
    return Trained(config, 40, learner, actor, environment.observation_size, environment.actions)
