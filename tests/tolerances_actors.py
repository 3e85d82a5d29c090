"""Bounds for actor-critic: rounding of linear maps and of expectations over paths, and of Lyapunov equations."""

from __future__ import annotations

import numpy as np
import tolerances_learning
from tolerances import ELEMENTARY, SMALLEST, Bound

from reference.enclosure import Ball, lyapunov_weight
from reference.learning import AdvantageMap, Task
from reference.lqr_problem import LQR
from reference.rounding import gamma_n


def advantage_map(
    applied: AdvantageMap, rewards: np.ndarray, values: np.ndarray, next_values: np.ndarray
) -> tuple[np.ndarray, str]:
    """`T` steps: an entry is a power of a rounded product, at most `2 T` roundings, and `2 T + 1` terms are summed."""
    steps = rewards.shape[-1]
    size = applied.trace @ (np.abs(rewards) + np.abs(values))[..., None]
    size = (size + applied.bootstrap @ np.abs(next_values)[..., None])[..., 0]
    roundings = 5 * steps + 8
    return gamma_n(roundings) * size + 4 * steps * SMALLEST * (1.0 + size), f"gamma_{roundings} of {steps} steps"


def expected_advantage(task: Task, values: np.ndarray, horizon: int) -> Bound:
    """`horizon` TD errors of at most `|r| + 2 |v|`, each with a probability and an expectation, here and there."""
    size = 3.0 * horizon * tolerances_learning.magnitude(task, values)
    roundings = 4 * horizon * (task.mdp.rewards.size + task.mdp.n_states + 8)
    return gamma_n(roundings) * size, f"gamma_{roundings} of {horizon} TD errors: two expectations"


def discounted_advantage(task: Task, values: np.ndarray, trace_decay: float) -> Bound:
    """Two solves with I - lambda M, of condition 2 / (1 - lambda gamma), and sums over pairs (tests of RL-28)."""
    margin = 1.0 - trace_decay * task.discount
    scale = 3.0 * tolerances_learning.magnitude(task, values) / margin
    solved, reason = tolerances_learning.linear_system(task.mdp.rewards.size, 2.0 / margin, scale)
    return 2.0 * solved + gamma_n(4 * task.mdp.rewards.size + 32) * scale, reason


def field(task: Task, size: float, weight: float = 1.0) -> Bound:
    """An expected update as an expectation over paths: softmax twice, a target, products, sums over pairs.

    `size`: the largest table entry, target or logit; `weight`: the largest importance ratio.
    """
    terms = task.mdp.rewards.size + task.mdp.n_states
    softmax = 4.0 * (ELEMENTARY * (1.0 + size) + gamma_n(terms + 4))
    return weight * size * (softmax + gamma_n(6 * (terms + 8))), "two softmaxes, a target, sums over successors"


def off_policy_gradient(task: Task, q: np.ndarray, value_error: float) -> Bound:
    """Visits by one solve of condition 2 / (1 - gamma), times certified values, centred."""
    margin, states = 1.0 - task.discount, task.mdp.n_states
    span = 2.0 * float(np.abs(q[np.isfinite(q)]).max())
    visits, reason = tolerances_learning.linear_system(states, 2.0 / margin, 1.0 / margin)
    rounding = gamma_n(4 * task.mdp.n_actions + 8) * span
    return visits * span + (2.0 * value_error + rounding) / margin, f"{reason}; certified values over 1 - gamma"


def lyapunov(problem: LQR, gain: np.ndarray) -> float:
    """Relative error of the Lyapunov equations of a gain: a solve of n^2 unknowns (SciPy's, up to ten dimensions).

    The inverse of X -> X - gamma F X F' has the spectral norm of its value at the identity, at most `sqrt(n)` times
    that in the Frobenius norm, and the map itself has norm `1 + gamma |F|^2`.
    """
    loop, n = problem.dynamics - problem.control @ gain, len(problem.dynamics)
    weight, theta = lyapunov_weight(Ball.exact(loop), problem.discount)
    assert theta > 0.0, "the test's own gain is not provably stable"
    inverse = np.sqrt(n) * float(np.linalg.norm(weight, 2)) / theta
    condition = inverse * (1.0 + problem.discount * float(np.linalg.norm(loop, 2)) ** 2)
    forming = 1.0 + (1.0 + float(np.linalg.norm(gain, 2))) ** 2
    return tolerances_learning.linear_system(n * n, condition, forming)[0]


def forms(problem: LQR, *gains: np.ndarray) -> float:
    """Relative error of a trace of products of slopes, curvatures and visits, each from Lyapunov equations."""
    return 8.0 * sum(lyapunov(problem, gain) for gain in gains) + gamma_n(16 * len(problem.dynamics) ** 2)


def importance(outcomes: int, scale: float) -> Bound:
    """A sum of products of a value, a ratio and a probability."""
    return gamma_n(2 * outcomes + 8) * scale, f"sum of {outcomes} products"
