"""What a method must say of itself to be run by `python -m reference learn` and held against the exact answer."""

import argparse
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from reference.learning import StepSizes, TargetNoise, Task
from reference.sources import load_policy

__all__ = ["Learner", "Running", "no_noise", "pairs", "policy_of", "shape_of", "states"]

Running = Callable[[Task, argparse.Namespace, StepSizes, np.random.Generator], Iterator[Any]]
"""From a task, the options, step sizes and random numbers to updates that have a `number`."""


class Learner(NamedTuple):
    """A method: what it finds, and how one runs it.

    * `run`: gives the updates; `read(task, arguments)`: gives what turns one into answers, `(R, ...)` like the truth.
    * `truth(task, arguments)`: the exact answer, `-inf` where there is none, and a bound on its error.
    * `noise(task, truth, arguments)`: the law of the targets there, or None where no bound is proven along the run.
    * `step_sizes(task, arguments)`: those that are taken unless one is given.
    * `quantity`: what the error is of; `unit`, `steps`: what an update is, and how many there are by default.
    * `window(arguments)`: over how many steps a target reaches.
    """

    run: Running
    truth: Callable[[Task, argparse.Namespace], tuple[np.ndarray, float]]
    noise: Callable[[Task, np.ndarray, argparse.Namespace], TargetNoise | None]
    read: Callable[[Task, argparse.Namespace], Callable[[Any], np.ndarray]]
    step_sizes: Callable[[Task, argparse.Namespace], StepSizes]
    quantity: str
    unit: str = "step"
    steps: int = 20_000
    window: Callable[[argparse.Namespace], int] = lambda arguments: 1


def policy_of(task: Task, arguments: argparse.Namespace) -> Float64[np.ndarray, "S A"]:
    """What `--policy` names."""
    return load_policy(arguments.policy, task.mdp)


def shape_of(arguments: argparse.Namespace) -> tuple[int, int]:
    """How many updates, and of how many replications."""
    return arguments.steps, arguments.replications


def states(task: Task, values: Float64[np.ndarray, " S"]) -> Float64[np.ndarray, " S"]:
    """`values`, 0 where episodes are over."""
    return np.where(task.terminal, 0.0, values)


def pairs(task: Task, q: Float64[np.ndarray, "S A"]) -> Float64[np.ndarray, "S A"]:
    """`q`, 0 where episodes are over and `-inf` at pairs that are not available."""
    return np.where(task.mdp.available, np.where(task.terminal[:, None], 0.0, q), -np.inf)


def no_noise(task: Task, truth: np.ndarray, arguments: argparse.Namespace) -> None:
    """No bound is proven along the run."""
    return None
