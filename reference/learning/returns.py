r"""Exact moments of the return that Monte Carlo methods average (C5).

A return cut after T rewards, G_T = sum_{i < T} gamma^i R_{i+1}, obeys G_T = r(s, a) + gamma G_{T-1}' with G_{T-1}' from
the next pair, so its first two moments follow a recursion over T (Sobel 1982), and cutting it costs at most

    |E G - E G_T| <= gamma^T max|r| / (1 - gamma).                                                            (RL-10)
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from reference.learning.operators import sarsa_operator
from reference.learning.task import Task

__all__ = ["ReturnMoments", "return_moments", "truncation_bias"]


class ReturnMoments(NamedTuple):
    """Of the return cut at a horizon, from each pair `(S, A)`, 0 at pairs that are unavailable or terminal.

    `width` bounds largest minus smallest return.
    """

    mean: Float64[np.ndarray, "S A"]
    variance: Float64[np.ndarray, "S A"]
    width: Float64[np.ndarray, "S A"]


def return_moments(task: Task, policy: Float64[np.ndarray, "S A"], horizon: int) -> ReturnMoments:
    """Mean, variance and width of `G_T` from each pair, `policy` being followed after it (RL-10).

    The variance comes from the law of total variance, so that nothing cancels: `gamma^2 (Var m(S', A') + E Var')`.
    """
    if horizon < 0:
        raise ValueError(f"horizon is {horizon!r}: expected a number of rewards >= 0.")
    operator = sarsa_operator(task, policy)
    following, discount = operator.matrix, task.discount
    kernel = following / discount if discount > 0.0 else np.zeros_like(following)
    # What has no successor to bootstrap from is followed by 0 with the probability that is left.
    ends = np.maximum(1.0 - kernel.sum(axis=1), 0.0) * (kernel.sum(axis=1) < 1.0)
    mean, variance, low, high = (np.zeros(policy.size) for _ in range(4))
    possible = kernel > 0.0
    for _ in range(horizon):
        centre = kernel @ mean
        spread = (kernel * (mean[None, :] - centre[:, None]) ** 2).sum(axis=1) + ends * centre**2
        variance = discount**2 * (spread + kernel @ variance)
        mean = operator.offset + discount * centre
        lowest = np.where(possible, low, np.inf).min(axis=1)
        highest = np.where(possible, high, -np.inf).max(axis=1)
        cut = (ends > 0.0) | ~possible.any(axis=1)
        low = operator.offset + discount * np.where(cut, np.minimum(lowest, 0.0), lowest)
        high = operator.offset + discount * np.where(cut, np.maximum(highest, 0.0), highest)
    shape = policy.shape
    return ReturnMoments(mean.reshape(shape), variance.reshape(shape), (high - low).reshape(shape))


def truncation_bias(task: Task, horizon: int) -> float:
    """`gamma^T max|r| / (1 - gamma)`: what cutting after `horizon` rewards can do to a value (RL-10).

    `ValueError` without a discount: there only the law of the episode's length can tell.
    """
    if task.discount == 1.0:
        raise ValueError("discount is 1: expected a discount below 1, or the bias of a horizon has no such bound.")
    return task.discount**horizon * task.mdp.largest_reward / (1.0 - task.discount)
