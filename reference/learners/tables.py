"""Tables by name: TD, Sarsa and Q-learning, held against values of a policy or of the optimum (C7)."""

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from reference.learners.learner import Learner, Running, no_noise, pairs, policy_of, shape_of, states
from reference.learning import (
    Step,
    StepSizes,
    TargetNoise,
    Task,
    action_noise,
    double_q_learning,
    epsilon_greedy,
    epsilon_soft_optimum,
    expected_sarsa,
    exploring,
    following,
    n_step_sarsa,
    n_step_td,
    optimal_values,
    policy_values,
    q_learning,
    rescaled_linear,
    sarsa,
    state_noise,
    td,
)

__all__ = ["CONTROL", "TABLES"]


def _values(task: Task, arguments: argparse.Namespace) -> tuple[np.ndarray, float]:
    found = policy_values(task, policy_of(task, arguments))
    return states(task, found.values), found.error_bound


def _action_values(task: Task, arguments: argparse.Namespace) -> tuple[np.ndarray, float]:
    found = policy_values(task, policy_of(task, arguments))
    return pairs(task, found.q), found.error_bound


def _optimum(task: Task, arguments: argparse.Namespace) -> tuple[np.ndarray, float]:
    found = optimal_values(task)
    return pairs(task, found.q), found.error_bound


def _soft_optimum(task: Task, arguments: argparse.Namespace) -> tuple[np.ndarray, float]:
    found, q = epsilon_soft_optimum(task, arguments.epsilon)
    return pairs(task, q), found.error_bound


def _state_noise(task: Task, truth: np.ndarray, arguments: argparse.Namespace) -> TargetNoise:
    return state_noise(task, policy_of(task, arguments), truth)


def _pair_noise(task: Task, truth: np.ndarray, arguments: argparse.Namespace) -> TargetNoise:
    return action_noise(task, truth)


def _policy_noise(task: Task, truth: np.ndarray, arguments: argparse.Namespace) -> TargetNoise:
    return action_noise(task, truth, policy_of(task, arguments))


def _drawn_noise(task: Task, truth: np.ndarray, arguments: argparse.Namespace) -> TargetNoise:
    return action_noise(task, truth, policy_of(task, arguments), drawn=True)


def _soft_noise(task: Task, truth: np.ndarray, arguments: argparse.Namespace) -> TargetNoise:
    return action_noise(task, truth, epsilon_greedy(truth, arguments.epsilon), drawn=True)


def _whole(task: Task, arguments: argparse.Namespace) -> Callable[[Step], np.ndarray]:
    return lambda step: step.table


def _shrinking(task: Task, arguments: argparse.Namespace) -> StepSizes:
    return rescaled_linear(task.discount)


def _table(run: Running, truth: Any, noise: Any) -> Learner:
    return Learner(run, truth, noise, _whole, _shrinking, "largest error of the table")


def _of_policy(learner: Callable[..., Iterator[Step]]) -> Running:
    """A learner of the values of a policy that it follows."""
    return lambda task, arguments, sizes, rng: learner(
        task, policy_of(task, arguments), sizes, *shape_of(arguments), rng
    )


def _exploring(learner: Callable[..., Iterator[Step]]) -> Running:
    """A learner that acts epsilon-greedily for its own table."""
    return lambda task, arguments, sizes, rng: learner(
        task, exploring(arguments.epsilon), sizes, *shape_of(arguments), rng
    )


def _steps(arguments: argparse.Namespace) -> int:
    return arguments.n


def _n_step_td(task, arguments, sizes, rng):
    return n_step_td(task, policy_of(task, arguments), arguments.n, sizes, *shape_of(arguments), rng)


def _n_step_sarsa(task, arguments, sizes, rng):
    behaviour = following(policy_of(task, arguments))
    return n_step_sarsa(task, behaviour, arguments.n, sizes, *shape_of(arguments), rng)


def _expected_sarsa(task, arguments, sizes, rng):
    behaviour = following(policy_of(task, arguments))
    return expected_sarsa(task, behaviour, behaviour, sizes, *shape_of(arguments), rng)


TABLES = {
    "td": _table(_of_policy(td), _values, _state_noise),
    "n-step-td": _table(_n_step_td, _values, _state_noise)._replace(window=_steps),
    "sarsa": _table(_exploring(sarsa), _soft_optimum, _soft_noise),
    "expected-sarsa": _table(_expected_sarsa, _action_values, _policy_noise),
    "n-step-sarsa": _table(_n_step_sarsa, _action_values, _drawn_noise)._replace(window=_steps),
    "q-learning": _table(_exploring(q_learning), _optimum, _pair_noise),
    "double-q-learning": _table(_exploring(double_q_learning), _optimum, no_noise),
}

CONTROL = ("sarsa", "q-learning", "double-q-learning")
"""Those that act for their own table; the others follow a policy."""
