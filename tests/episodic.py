"""Small episodic processes on which policy gradients are known, or fixed points are far apart."""

from __future__ import annotations

import numpy as np

from reference import MDP
from reference.learning import Softmax, Task


def ending(discount: float, rewards: tuple[float, ...] = (1.0, -2.0, 3.0, 0.5)) -> Task:
    """Two states and an end that every pair may reach."""
    rows = np.zeros((3, 2, 3))
    rows[0, 0], rows[0, 1] = [0.25, 0.5, 0.25], [0.0, 0.5, 0.5]
    rows[1, 0], rows[1, 1] = [0.5, 0.25, 0.25], [0.5, 0.0, 0.5]
    rows[2, :, 2] = 1.0
    available = np.array([[True, True], [True, True], [True, False]])
    mdp = MDP(rows, [rewards[:2], rewards[2:], [0.0, 0.0]], min(discount, 0.5), [0.75, 0.25, 0.0], available)
    return Task(mdp, discount)


def shared(discount: float) -> tuple[Task, Softmax]:
    """RL-25: two steps that share one logit; action 0 pays 1 in the first and -3/2 in the second, action 1 nothing."""
    rows = np.zeros((3, 2, 3))
    rows[0, :, 1] = rows[1, :, 2] = rows[2, :, 2] = 1.0
    available = np.array([[True, True], [True, True], [True, False]])
    mdp = MDP(rows, [[1.0, 0.0], [-1.5, 0.0], [0.0, 0.0]], 0.5, [1.0, 0.0, 0.0], available)
    features = np.zeros((3, 2, 1))
    features[:2, 0] = 1.0
    return Task(mdp, discount), Softmax(features, available)


def bandit(*pay: float) -> Task:
    """One state that is left at once."""
    rows = np.zeros((2, len(pay), 2))
    rows[:, :, 1] = 1.0
    available = np.array([[True] * len(pay), [True] + [False] * (len(pay) - 1)])
    return Task(MDP(rows, [pay, [0.0] * len(pay)], 0.5, [1.0, 0.0], available))


def twins(discount: float) -> Task:
    """Two pairs of almost equal states and an end: little noise, and policies that are worth very different amounts.

    Action 0 leads to one of the first pair, action 1 to one of the second pair, and from there to the end.
    """
    rows = np.zeros((5, 2, 5))
    rows[:2, 0, :2] = rows[:2, 1, 2:4] = rows[2:4, 0, :2] = 0.5
    rows[2:, 1, 4] = rows[4, 0, 4] = 1.0
    available = np.ones((5, 2), dtype=np.bool_)
    available[4, 1] = False
    rewards = [[-8.0, 4.0], [-7.5, 3.5], [8.0, -4.0], [7.5, -4.5], [0.0, 0.0]]
    return Task(MDP(rows, rewards, discount, [0.25] * 4 + [0.0], available))
