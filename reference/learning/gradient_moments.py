r"""The exact mean and covariance of REINFORCE's estimate from one episode.

With h rewards to come, let G_h be the return and U_h the estimate of `reference.learning.reinforce`, its weights
counted from now. From the pair (s, a), with the score x, kappa = gamma (or 1 without the factor) and primes for the
next state,

    G_h = r + gamma G'_{h-1},        U_h = x (G_h - b(s)) + kappa U'_{h-1},

so means and covariances of (G_h, U_h) follow a recursion over h. By the law of total covariance every step adds the
spread of conditional means to what the next state leaves, and no square of a mean is subtracted from anything. With
V = Var G, K = Cov(G, U), C = Cov U of the next state, what it leaves is

    Var G: gamma^2 V,    Cov(G, U): gamma^2 x V + gamma kappa K,
    Cov U: gamma^2 x x^T V + gamma kappa (x K^T + K x^T) + kappa^2 C.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from reference.learning.softmax import Softmax
from reference.learning.task import Task

__all__ = ["GradientMoments", "gradient_moments"]


class GradientMoments(NamedTuple):
    """Of the estimate from one episode: `mean`, `covariance`, and a bound `width` on largest minus smallest."""

    mean: Float64[np.ndarray, " D"]
    covariance: Float64[np.ndarray, "D D"]
    width: Float64[np.ndarray, " D"]


def gradient_moments(
    task: Task,
    policy: Softmax,
    theta: Float64[np.ndarray, " D"],
    horizon: int,
    baseline: Float64[np.ndarray, " S"] | None = None,
    *,
    factor: bool = True,
) -> GradientMoments:
    """Moments of `episode_gradients` for episodes of at most `horizon` steps, up to rounding (RL-25, RL-27).

    The mean does not depend on `baseline`, and with `factor` it is the gradient of the value of the cut return.
    `ValueError` unless `horizon >= 1`.
    """
    if horizon < 1:
        raise ValueError(f"horizon is {horizon!r}: expected at least 1 step.")
    live, discount = ~task.terminal, task.discount
    carry = discount if factor else 1.0
    states, dimension = len(live), policy.dimension
    b = np.zeros(states) if baseline is None else np.where(live, baseline, 0.0)
    x = policy.scores(theta)
    rows = np.asarray(task.mdp.to_dense().transitions)
    law = (policy.probabilities(theta) * live[:, None])[:, :, None] * rows
    chain = law.sum(axis=1)
    value, estimate = np.zeros(states), np.zeros((states, dimension))
    v, k, c = np.zeros(states), np.zeros((states, dimension)), np.zeros((states, dimension, dimension))
    reach, weight, width = 0.0, 1.0, np.zeros(dimension)
    for _ in range(horizon):
        # What is known once the pair and the next state are: the return, and the estimate.
        returns = task.mdp.rewards[:, :, None] + discount * value
        estimates = x[:, :, None] * (returns - b[:, None, None])[..., None] + carry * estimate
        value, estimate = (law * returns).sum(axis=(1, 2)), np.einsum("sat,satd->sd", law, estimates)
        spread, apart = returns - value[:, None, None], estimates - estimate[:, None, None]
        mixed = discount * carry * np.einsum("sat,sad,te->sde", law, x, k)
        c = (
            np.einsum("sat,satd,sate->sde", law, apart, apart)
            + discount**2 * np.einsum("sat,sad,sae,t->sde", law, x, x, v)
            + (mixed + mixed.swapaxes(1, 2))
            + carry**2 * np.einsum("st,tde->sde", chain, c)
        )
        k = (
            np.einsum("sat,sat,satd->sd", law, spread, apart)
            + discount**2 * np.einsum("sat,sad,t->sd", law, x, v)
            + discount * carry * chain @ k
        )
        v = (law * spread**2).sum(axis=(1, 2)) + discount**2 * chain @ v
    longest = np.abs(x).max(axis=(0, 1))
    for _ in range(horizon):
        reach = task.mdp.largest_reward + discount * reach
    for _ in range(horizon):
        width += 2.0 * weight * longest * (reach + float(np.abs(b).max()))
        weight *= carry
    starts = np.where(live, task.mdp.initial, 0.0)
    starts = starts / starts.sum()
    mean = starts @ estimate
    between = np.einsum("s,sd,se->de", starts, estimate - mean, estimate - mean)
    return GradientMoments(mean, between + np.einsum("s,sde->de", starts, c), width)
