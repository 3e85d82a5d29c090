r"""REINFORCE (C9), with and without the factor `gamma^t`, with and without a baseline.

One episode, cut after T rewards, gives the estimate

    g = sum_{t < T} c_t grad log pi(A_t|S_t) (G_t - b(S_t)),          c_t = gamma^t, or c_t = 1,                  (1)

and the update `theta + alpha_k g`. With `gamma^t` its mean is the gradient of the value of the cut return; without, it
is not, for `gamma < 1`, the gradient of anything in general (RL-25, `reference.learning.policy_gradient`). Whatever the
baseline, the mean is the same (RL-27). "=" between the expectation and the sample line of the notes is stochastic
approximation. Exact means and covariances of (1): `reference.learning.gradient_moments`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int

from reference.learning.monte_carlo import Episodes, returns_to_go, sample_episodes
from reference.learning.schedules import StepSizes
from reference.learning.softmax import Softmax
from reference.learning.task import Task

__all__ = ["Baseline", "Update", "episode_gradients", "reinforce"]

Baseline = Callable[[Task, Softmax, Float64[np.ndarray, "R D"]], Float64[np.ndarray, "R S"]]
"""A number for each state, from the parameters before the episode."""


@dataclass(frozen=True, eq=False)
class Update:
    """One episode of `R` learners. The next one overwrites `theta`: copy what is to be kept.

    `number`: 1, 2, ...; `theta` `(R, D)`: after the update; `gradients` `(R, D)`: the estimates (1); `returns` `(R,)`:
    discounted returns of the episode; `lengths` `(R,)`: its steps; `step_size`.
    """

    number: int
    theta: Float64[np.ndarray, "R D"]
    gradients: Float64[np.ndarray, "R D"]
    returns: Float64[np.ndarray, " R"]
    lengths: Int[np.ndarray, " R"]
    step_size: float


def episode_gradients(
    task: Task,
    policy: Softmax,
    probabilities: Float64[np.ndarray, "R S A"],
    episodes: Episodes,
    baseline: Float64[np.ndarray, "R S"] | None = None,
    *,
    factor: bool = True,
) -> Float64[np.ndarray, "R D"]:
    """The estimate (1) of each of `R` episodes, sampled under its own `probabilities`; `factor`: keep `gamma^t`."""
    returns = returns_to_go(task, episodes)
    rows = np.arange(returns.shape[1])
    total, weight = np.zeros((len(rows), policy.dimension)), 1.0
    for t in range(len(returns)):
        if not episodes.alive[t].any():
            break
        states = episodes.states[t]
        scores = policy.scores_at(probabilities[rows, states], states, episodes.actions[t])
        gains = returns[t] if baseline is None else returns[t] - baseline[rows, states]
        total += np.where(episodes.alive[t], weight * gains, 0.0)[:, None] * scores
        weight *= task.discount if factor else 1.0
    return total


def reinforce(
    task: Task,
    policy: Softmax,
    step_sizes: StepSizes,
    episodes: int,
    horizon: int,
    replications: int,
    rng: np.random.Generator,
    start: float | np.ndarray = 0.0,
    *,
    baseline: Baseline | None = None,
    factor: bool = True,
) -> Iterator[Update]:
    """`theta_k + alpha_k g_k`, one episode of at most `horizon` steps after another (RL-25, RL-27).

    * `step_sizes`: asked for with the number of the episode; `start`: parameters `(D,)` or one number for all.
    * `baseline`: none, or one of `reference.learning.baselines`; `factor`: whether (1) keeps `gamma^t`.

    `ValueError` unless `horizon >= 1`.
    """
    if horizon < 1:
        raise ValueError(f"horizon is {horizon!r}: expected at least 1 step.")
    theta = np.tile(np.broadcast_to(np.asarray(start, dtype=np.float64), (policy.dimension,)), (replications, 1))
    for number in range(1, episodes + 1):
        probabilities = policy.probabilities(theta)
        sampled = sample_episodes(task, probabilities, task.start(rng, replications), horizon, rng)
        expected = None if baseline is None else baseline(task, policy, theta)
        gradients = episode_gradients(task, policy, probabilities, sampled, expected, factor=factor)
        size = float(step_sizes(number))
        theta += size * gradients
        returns, lengths = returns_to_go(task, sampled)[0], sampled.alive.sum(axis=0)
        yield Update(number, theta, gradients, returns, lengths, size)
