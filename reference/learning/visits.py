r"""The exact bias of every-visit Monte Carlo (RL-10).

Seen from one state s, an episode is a number M of visits with M - 1 loops between them. Loops are independent, each
happens with probability p, pays L and shrinks what follows by the discount Gamma over its length; the last stretch pays
F. With l = E L, g = E Gamma over loops and f = E F, the return of the visit with j loops to come has mean h_0 = f,
h_{j+1} = l + g h_j, whatever the number of visits. First visits see h_{M-1}, so v(s) = E h_{M-1} (unbiased). Every
visit of n episodes gives

    E[ sum_i (h_0 + ... + h_{M_i - 1}) / sum_i M_i ],        M_i geometric and independent,

which for gamma = 1 is v(s) - l p / ((1 - p) (n + 1)) (Singh and Sutton 1996, on first and every visit): 1 / (n + 1)
below 2 for the tosses of a coin until it shows tails.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy import stats

from reference.checks import check_policy
from reference.learning.task import Task

__all__ = ["Loops", "every_visit_mean", "loops", "visit_value"]

TAIL = 2.0**-60
"""Probability that the sums over numbers of visits leave out."""


class Loops(NamedTuple):
    """An episode seen from one state: probability of a loop, and `E L`, `E Gamma`, `E F` given the kind of stretch."""

    probability: float
    reward: float
    discount: float
    last: float


def loops(task: Task, policy: Float64[np.ndarray, "S A"], state: int) -> Loops:
    """Cut the episodes of `policy` at `state`; exact up to linear solves.

    `ValueError` if the state is terminal, or if episodes may avoid both it and the end for ever.
    """
    check_policy(policy, task.mdp.available)
    if task.terminal[state]:
        raise ValueError(f"state {state} is terminal: expected one in which an episode goes on.")
    others = np.flatnonzero(~task.terminal & (np.arange(task.mdp.n_states) != state))
    transitions = np.asarray(task.mdp.to_dense().transitions)
    chain = np.einsum("sa,sat->st", policy, transitions)
    inner, back, over = chain[np.ix_(others, others)], chain[others, state], chain[others][:, task.terminal].sum(axis=1)
    plain = np.eye(len(others)) - inner
    try:
        returns, ends = np.linalg.solve(plain, back), np.linalg.solve(plain, over)
    except np.linalg.LinAlgError as error:
        raise ValueError(
            f"under the policy an episode may go on for ever without state {state}: expected one that ends."
        ) from error
    discounted = np.eye(len(others)) - task.discount * inner
    shrink = np.linalg.solve(discounted, task.discount * back)  # E gamma^length, only where it returns
    # Probability of each kind of stretch from every state, terminal ones and `state` itself included.
    to_loop, to_end = np.zeros(task.mdp.n_states), task.terminal.astype(np.float64)
    to_loop[others], to_loop[state], to_end[others] = returns, 1.0, ends
    paid = []
    for kind in (to_loop, to_end):
        # A reward counts if the stretch turns out to be of this kind: that depends on the same action.
        now = (policy * task.mdp.rewards * (transitions @ kind)).sum(axis=1)
        later = np.linalg.solve(discounted, now[others])
        paid.append(float(now[state] + task.discount * chain[state, others] @ later))
    p = float(chain[state, state] + chain[state, others] @ returns)
    if not p < 1.0:
        raise ValueError(f"an episode returns to state {state} for ever under the policy: expected one that ends.")
    gain = float(task.discount * (chain[state, state] + chain[state, others] @ shrink))
    return Loops(p, paid[0] / p if p > 0.0 else 0.0, gain / p if p > 0.0 else 0.0, paid[1] / (1.0 - p))


def visit_value(seen: Loops) -> float:
    """`v(s)`, which the mean of first visits estimates without bias: `v = p (l + g v) + (1 - p) f`."""
    p = seen.probability
    return (p * seen.reward + (1.0 - p) * seen.last) / (1.0 - p * seen.discount)


def every_visit_mean(seen: Loops, episodes: int) -> float:
    """The expectation of the every-visit estimate from `episodes` episodes that meet the state (RL-10).

    Summed over the numbers of visits of one episode and of the others together, up to a tail of probability `TAIL`.
    """
    if episodes < 1:
        raise ValueError(f"episodes is {episodes!r}: expected at least 1.")
    p = seen.probability
    if p == 0.0:
        return seen.last
    most = int(stats.nbinom.isf(TAIL, 1, 1.0 - p)) + 1
    visits = np.arange(1, most + 1)
    single = stats.nbinom.pmf(visits - 1, 1, 1.0 - p)
    means = np.empty(most)
    means[0] = seen.last
    for j in range(1, most):
        means[j] = seen.reward + seen.discount * means[j - 1]
    collected = np.cumsum(means)
    if episodes == 1:
        return float(single @ (collected / visits))
    rest = np.arange(int(stats.nbinom.isf(TAIL, episodes - 1, 1.0 - p)) + 2)  # visits of the others beyond one each
    weights = stats.nbinom.pmf(rest, episodes - 1, 1.0 - p)
    share = 1.0 / (visits[:, None] + (rest + episodes - 1)[None, :])
    return float(episodes * (single * collected) @ (share @ weights))
