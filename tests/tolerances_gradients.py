"""Bounds for policy gradients: rounding of estimates, of their exact moments, and what a certificate may charge."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import tolerances_learning
from tolerances import ELEMENTARY, Bound

from reference.learning import Softmax, Task
from reference.rounding import gamma_n


def distance(given: np.ndarray, exact: list[Decimal]) -> np.ndarray:
    """`|given - exact|` entry by entry, of numbers with fifty digits."""
    return np.array([float(abs(Decimal(float(x)) - y)) for x, y in zip(np.ravel(given), exact, strict=True)])


def longest(policy: Softmax) -> float:
    """A score is the difference of a feature and a mean of features."""
    return 2.0 * float(np.abs(policy.features).max())


def relative(policy: Softmax, theta: np.ndarray, roundings: int, factors: int = 2) -> float:
    """`roundings` operations and `factors` probabilities, each of which is within `accuracy` of exact."""
    return factors * policy.accuracy(theta) * (1.0 + policy.accuracy(theta)) ** factors + gamma_n(roundings)


def estimate(
    task: Task, policy: Softmax, theta: np.ndarray, horizon: int, baseline: np.ndarray | float = 0.0, paths: int = 1
) -> tuple[float, float, str]:
    """Largest estimate from an episode; relative error of a mean of estimates, twice: over paths, and by recursion.

    A path has two factors for each of `T` steps. Its estimate sums `T` terms: returns of `2 T` roundings, scores of
    `A + 3`. The recursion sums over the actions and successors of every state, `T` times.
    """
    roundings = 2 * horizon * (2 * horizon + task.mdp.rewards.size * task.mdp.n_states + 2 * task.mdp.n_actions + 12)
    size = horizon * longest(policy) * (horizon * task.mdp.largest_reward + float(np.abs(baseline).max()))
    error = 2.0 * relative(policy, theta, roundings + paths, 2 * horizon + 2)
    return size, error, f"gamma_{roundings + paths} and {2 * horizon + 2} probabilities, twice"


def certificate(task: Task, policy: Softmax, theta: np.ndarray) -> Bound:
    """The most that a tight certificate of a discounted gradient may charge.

    `e` being the relative error of a probability and of the sums: values lack `3 e` of an advantage, which is at most
    `2 r / (1 - gamma)`; over `1 - gamma`, twice for the difference, times weights of mass `1 / (1 - gamma)`: 12. The
    weights lack `3 e / (1 - gamma)^2` in all, times an advantage: 6. Probabilities themselves: 2. What refinement
    leaves is a rounding of the advantages again, charged once more: 12.
    """
    mdp, margin = task.mdp, 1.0 - task.discount
    error = relative(policy, theta, 4 * (mdp.n_states + mdp.rewards.size) + 16, 1)
    bound = 32.0 * error * longest(policy) * mdp.largest_reward / margin**3
    return bound + 2.0**-900, "32 e |x| r / (1 - gamma)^3 for probabilities and sums within a relative e"


def cut(task: Task, policy: Softmax, horizon: int) -> Bound:
    """What rewards past the horizon add to the gradient: `sum_{t >= T} gamma^t r (t + 1) |x|`.

    The reward of step t has the gradient `E gamma^t R sum_{j <= t} x_j`.
    """
    gamma = task.discount
    tail = gamma**horizon * ((horizon + 1) / (1.0 - gamma) + gamma / (1.0 - gamma) ** 2)
    return tail * task.mdp.largest_reward * longest(policy), "gradients of the rewards past the horizon, summed"


def gain(task: Task, size: float) -> float:
    """Rounding of J, its gradient and one expected update, of tables below `size` and logits below eight.

    Values and visits are solves of condition `2 / (1 - gamma)`, probabilities two softmaxes; a product of values,
    visits and probabilities takes the relative errors of all.
    """
    margin, pairs = 1.0 - task.discount, task.mdp.rewards.size
    scale = (task.mdp.largest_reward + 2.0 * size) / margin**2
    solved = tolerances_learning.linear_system(task.mdp.n_states, 2.0 / margin, 1.0)[0]
    softmax = 4.0 * (9.0 * ELEMENTARY + gamma_n(pairs + 8))
    return 16.0 * scale * (solved + softmax + gamma_n(8 * (pairs + task.mdp.n_states)))
