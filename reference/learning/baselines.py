r"""Baselines of REINFORCE: none, v, and the one of smallest variance (RL-27).

A number b(s) taken from the return changes no mean, because scores have mean zero in every state. Of one sample
x(A) (q(A) - b), with the score x and q known, the trace of the covariance is smallest at

    b*(s) = E[|x(s, A)|^2 q(s, A)] / E|x(s, A)|^2,      b* - v_pi = Cov(|x|^2, q) / E|x|^2,                       (1)

which is v_pi exactly where |x|^2 and q are uncorrelated, not "approximately" as the notes have it. For a softmax over
two actions it swaps the probabilities, b* = (1 - p) q_1 + p q_2, and both samples are the gradient itself: no noise is
left, where v_pi may be worse than nothing.

In an episode the terms of different steps are correlated, and (1) is not the best choice. There b enters the trace as
sum_s (M(s) b(s)^2 - 2 L(s) b(s)) + constant: scores are martingale differences, so no two states mix, and

    M(s) = sum_t c_t^2 P(S_t = s) E|x(s, A)|^2,       L(s) = E[g_0 . sum_t c_t x(S_t, A_t) 1{S_t = s}],           (2)

g_0 being the estimate without a baseline. `episode_baseline` is L / M, exactly.
"""

import numpy as np
from jaxtyping import Float64

from reference.learning.softmax import Softmax
from reference.learning.task import Task

__all__ = ["episode_baseline", "optimal_baseline", "q_values", "score_covariance", "step_baseline", "value_baseline"]


def q_values(task: Task, probabilities: Float64[np.ndarray, "R S A"]) -> Float64[np.ndarray, "R S A"]:
    """`q_pi` of many policies at once, 0 at pairs that are unavailable or terminal; plain solves without a bound.

    `start_gradient` has certified values for one policy. `ValueError` if episodes need not end and nothing is
    discounted.
    """
    live = ~task.terminal
    rows = np.asarray(task.mdp.to_dense().transitions) * live
    chains = task.discount * np.einsum("rsa,sat->rst", probabilities * live[:, None], rows)
    rewards = (probabilities * task.mdp.rewards).sum(axis=2) * live
    try:
        values = np.linalg.solve(np.eye(len(live)) - chains, rewards[:, :, None])[:, :, 0]
    except np.linalg.LinAlgError as error:
        raise ValueError(
            "under one of the policies an episode need not end, and nothing is discounted: expected values that exist. "
            "Use a discount below 1."
        ) from error
    q = task.mdp.rewards + task.discount * np.einsum("sat,rt->rsa", rows, values)
    return q * (task.mdp.available & live[:, None])


def value_baseline(task: Task, policy: Softmax, theta: Float64[np.ndarray, "R D"]) -> Float64[np.ndarray, "R S"]:
    """`v_pi`, the baseline of advantage methods."""
    probabilities = policy.probabilities(theta)
    return (probabilities * q_values(task, probabilities)).sum(axis=2)


def step_baseline(task: Task, policy: Softmax, theta: Float64[np.ndarray, "R D"]) -> Float64[np.ndarray, "R S"]:
    """`b*` of every state (1): best for single steps."""
    return optimal_baseline(policy, theta, q_values(task, policy.probabilities(theta)))


def optimal_baseline(
    policy: Softmax, theta: Float64[np.ndarray, "... D"], q: Float64[np.ndarray, "... S A"]
) -> Float64[np.ndarray, "... S"]:
    """`b*` for one sample in each state (1); `v_pi` where no score moves anything."""
    probabilities = policy.probabilities(theta)
    lengths = probabilities * (policy.scores(theta) ** 2).sum(axis=-1)
    total = lengths.sum(axis=-1, keepdims=True)
    weights = np.where(total > 0.0, lengths / np.where(total > 0.0, total, 1.0), probabilities)
    return (weights * q).sum(axis=-1)


def score_covariance(
    policy: Softmax, theta: Float64[np.ndarray, " D"], q: Float64[np.ndarray, "S A"],
    baseline: Float64[np.ndarray, " S"],
) -> Float64[np.ndarray, "S D D"]:  # fmt: skip
    """The covariance of one sample `x(s, A) (q(s, A) - b(s))` in each state, centred so that nothing cancels."""
    probabilities, scores = policy.probabilities(theta), policy.scores(theta)
    samples = scores * (q - baseline[:, None])[:, :, None]
    samples = samples - np.einsum("sa,sad->sd", probabilities, samples)[:, None]
    return np.einsum("sa,sad,sae->sde", probabilities, samples, samples)


def episode_baseline(
    task: Task, policy: Softmax, theta: Float64[np.ndarray, " D"], horizon: int, *, factor: bool = True
) -> Float64[np.ndarray, " S"]:
    """The baseline `b(s)` of smallest trace for whole episodes cut after `horizon` rewards: `L / M` (2).

    0 where no episode comes, or where no score moves anything. L has three parts, as the step t meets itself, a later
    step (whose estimate depends on A_t through what follows) or an earlier one (whose return holds that of t).
    """
    probabilities, scores = policy.probabilities(theta), policy.scores(theta)
    live, discount = ~task.terminal, task.discount
    carry = discount if factor else 1.0
    taken = probabilities * live[:, None]
    rows = np.asarray(task.mdp.to_dense().transitions) * live
    lengths = (scores**2).sum(axis=2)
    # Mean return from each pair with 1 .. horizon rewards to come, and mean estimates from each state with as many.
    q, estimates = [], [np.zeros((len(live), policy.dimension))]
    values = np.zeros(len(live))
    for _ in range(horizon):
        q.append(task.mdp.rewards + discount * (rows @ values))
        estimates.append(
            np.einsum("sa,sad->sd", taken * q[-1], scores)
            + carry * np.einsum("sa,sat,td->sd", taken, rows, estimates[-1])
        )
        values = (taken * q[-1]).sum(axis=1)
    starts = np.where(live, task.mdp.initial, 0.0)
    reached, weight = starts / starts.sum(), 1.0
    earlier = np.zeros((len(live), policy.dimension))  # E sum_{j < t} c_j gamma^(t - j) x_j 1{S_t = s}
    linear, quadratic = np.zeros(len(live)), np.zeros(len(live))
    for t in range(horizon):
        left = horizon - t
        now = (taken * lengths * q[left - 1]).sum(axis=1)
        later = carry * np.einsum("sa,sad,sat,td->s", taken, scores, rows, estimates[left - 1])
        own = np.einsum("sa,sad->sd", taken * q[left - 1], scores)
        linear += weight**2 * reached * (now + later) + weight * (earlier * own).sum(axis=1)
        quadratic += weight**2 * reached * (taken * lengths).sum(axis=1)
        moved = earlier[:, None] + weight * reached[:, None, None] * scores
        earlier = discount * np.einsum("sa,sat,sad->td", taken, rows, moved)
        reached = np.einsum("s,sa,sat->t", reached, taken, rows)
        weight *= carry
    return np.where(quadratic > 0.0, linear / np.where(quadratic > 0.0, quadratic, 1.0), 0.0)
