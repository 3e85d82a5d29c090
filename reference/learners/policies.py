"""Policies by name: REINFORCE and actor-critic methods, held against the best value from the first states (C9, C10)."""

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float64

from reference.bellman import boltzmann
from reference.learners.learner import Learner, Running, no_noise, shape_of, states
from reference.learning import (
    ActorStep,
    StepSizes,
    Task,
    Update,
    a2c,
    constant,
    optimal_values,
    q_values,
    qac,
    reinforce,
    step_baseline,
    tabular,
    value_baseline,
)
from reference.rounding import gamma_n

__all__ = ["BASELINES", "POLICIES"]

BASELINES = {"none": None, "v": value_baseline, "optimal": step_baseline}

_QUANTITY = "what the policy's value lacks of the best one"
_KEPT = 0.01  # share of the rewards that a cut episode of REINFORCE may miss


def _best(task: Task, arguments: argparse.Namespace) -> tuple[np.ndarray, float]:
    found, starts = optimal_values(task), _starts(task)
    rounding = gamma_n(2 * len(starts) + 2) * float(starts @ np.abs(found.values))
    return np.array([starts @ states(task, found.values)]), found.error_bound + rounding


def _starts(task: Task) -> Float64[np.ndarray, " S"]:
    starts = np.where(task.terminal, 0.0, task.mdp.initial)
    return starts / starts.sum()


def _worth(probabilities: Callable[[Any], np.ndarray]):
    """The exact value of every replication's policy from the first states, from its probabilities."""

    def read(task: Task, arguments: argparse.Namespace) -> Callable[[Any], np.ndarray]:
        def value(update: Any) -> np.ndarray:
            policy = probabilities(update)
            return ((policy * q_values(task, policy)).sum(axis=2) @ _starts(task))[:, None]

        return value

    return read


def _reinforce(task, arguments, sizes, rng):
    horizon = arguments.horizon
    if horizon is None:
        horizon = 1 if task.discount == 0.0 else int(np.ceil(np.log(_KEPT) / np.log(task.discount)))
    baseline = BASELINES[arguments.baseline]
    policy, (episodes, replications) = tabular(task.mdp), shape_of(arguments)
    return reinforce(task, policy, sizes, episodes, horizon, replications, rng, baseline=baseline)


def _reinforce_worth(task: Task, arguments: argparse.Namespace) -> Callable[[Update], np.ndarray]:
    policy = tabular(task.mdp)
    return _worth(lambda update: policy.probabilities(update.theta))(task, arguments)


def _actor_worth(task: Task, arguments: argparse.Namespace) -> Callable[[ActorStep], np.ndarray]:
    shape = task.mdp.rewards.shape
    return _worth(lambda step: boltzmann(step.logits.reshape(-1, shape[1]), 1.0).reshape(-1, *shape))(task, arguments)


def _actor_critic(learner: Callable[..., Iterator[ActorStep]]) -> Running:
    """An actor with the given step sizes; its critic is faster, `k ** (-2/3)` at the k-th visit of an entry."""
    critic = StepSizes(1.0, 2.0 / 3.0)
    return lambda task, arguments, sizes, rng: learner(task, sizes, critic, *shape_of(arguments), rng)


def _gentle(task: Task, arguments: argparse.Namespace) -> StepSizes:
    """So small that one return moves no logit by more than one."""
    return constant((1.0 - task.discount) / (task.mdp.largest_reward or 1.0))


POLICIES = {
    "reinforce": Learner(_reinforce, _best, no_noise, _reinforce_worth, _gentle, _QUANTITY, "episode", 1000),
    "qac": Learner(_actor_critic(qac), _best, no_noise, _actor_worth, _gentle, _QUANTITY),
    "a2c": Learner(_actor_critic(a2c), _best, no_noise, _actor_worth, _gentle, _QUANTITY),
}
