"""The policy that a run has learned so far: what evaluations, videos and exports begin with."""

import sys
from pathlib import Path
from typing import NamedTuple

import jax
from jaxtyping import PyTree

from deep import build, checkpoint, runs
from deep.build import Learner
from deep.config import ON_POLICY, Config
from deep.environments import OneHot, Rescaling


class Trained(NamedTuple):
    """A run's settings, the step of its last sound checkpoint, and the actor of that checkpoint."""

    config: Config
    step: int
    learner: Learner
    actor: PyTree
    observation_size: int
    actions: Rescaling | OneHot


def load(folder: Path) -> Trained:
    """Read the actor of a run; of its checkpoint nothing else is rebuilt.

    A checkpoint that is not sound is named on standard error and the one before it taken. InvalidRun, CheckpointError
    and InvalidEnvironment as their names say.
    """
    config = runs.settings(folder)
    saved, refused = checkpoint.latest(folder / "checkpoints")
    for error in refused:
        print(f"warning: {error}; falling back to {saved.path.name}", file=sys.stderr)
    environment = build.environment_of(config)
    size, actions = environment.observation_size, environment.actions
    environment.close()
    if config.agent in ON_POLICY:
        learner = build.rollout_learner_of(config, actions.size, isinstance(actions, OneHot))
    else:
        learner = build.learner_of(config, actions.size)
    state = jax.eval_shape(lambda key: learner.method.create(learner, key, size, actions.size), jax.random.key(0))
    group = learner.method.policy
    actor = checkpoint.tree_like(getattr(state.params, group), saved, f"agent/params/{group}")
    return Trained(config, saved.step, learner, actor, size, actions)
