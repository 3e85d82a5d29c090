r"""The exact mean and mean square of the error of TD(0), episode by episode.

TD(0) with a constant step size is a random linear map of the augmented table x = (v, 1): on a transition (s, a, t)

    x -> L x,      (L x)(s) = (1 - a) v(s) + a (r(s, a) + gamma v(t) [t not terminal]),

so the second moment X = E x x^T after an episode is linear in the one before. With Y(s) the sum over time of
E x x^T 1{S_t = s},

    Y(t) = mu0(t) X + sum_{s, a} pi(a|s) P(t|s, a) L Y(s) L^T,      X' = sum over the transitions that end an episode,

a linear system of S (S + 1)^2 unknowns, factored once. No step of it is sampled: it is the curve of which every plot of
Sutton and Barto's example 6.2 is an estimate. For step sizes in (0, 1] the table stays bounded, so the sums converge
wherever episodes end with probability one.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy import sparse
from scipy.sparse import linalg as sparse_linalg

from reference.checks import check_policy
from reference.learning.operators import policy_values
from reference.learning.task import Task

__all__ = ["ErrorMoments", "td_error_moments"]

MOST_UNKNOWNS = 20_000
"""Above this many unknowns the factorisation takes minutes."""


@dataclass(frozen=True, eq=False)
class ErrorMoments:
    """Of the error `v - v_pi` after `0 .. episodes` episodes: `bias` `(K, S)` and `mean_square` `(K, S)`."""

    bias: Float64[np.ndarray, "K S"]
    mean_square: Float64[np.ndarray, "K S"]


def td_error_moments(
    task: Task, policy: Float64[np.ndarray, "S A"], step_size: float, episodes: int, start: float = 0.0
) -> ErrorMoments:
    """Exact moments of the error of `td` with a constant step size, up to the rounding of linear solves.

    `ValueError` if the step size is not in `(0, 1]`, the policy is none, or the process is too large.
    """
    check_policy(policy, task.mdp.available)
    if not 0.0 < step_size <= 1.0:
        raise ValueError(f"step_size is {step_size!r}: expected 0 < step_size <= 1, for which tables stay bounded.")
    live = np.flatnonzero(~task.terminal)
    size = len(live) + 1
    if len(live) * size**2 > MOST_UNKNOWNS:
        raise ValueError(
            f"{len(live)} states give {len(live) * size**2} unknowns: expected at most {MOST_UNKNOWNS}. Sample instead."
        )
    inside, ending = _transfer(task, policy, step_size, live)
    begin = np.where(task.terminal, 0.0, task.mdp.initial)[live]
    begin = begin / begin.sum()
    solve = sparse_linalg.splu(sparse.csc_array(sparse.eye_array(len(live) * size**2) - inside)).solve
    values = policy_values(task, policy).values[live]
    table = np.append(np.full(len(live), start), 1.0)
    second = np.outer(table, table)
    seconds = [second]
    for _ in range(episodes):
        visits = solve(np.kron(begin, second.ravel()))
        second = (ending @ visits).reshape(size, size)
        seconds.append(second)
    moments = np.array(seconds)
    bias, mean_square = np.zeros((2, episodes + 1, task.mdp.n_states))
    means, squares = moments[:, :-1, -1], np.einsum("kss->ks", moments)[:, :-1]
    bias[:, live] = means - values
    mean_square[:, live] = squares - 2.0 * values * means + values**2
    return ErrorMoments(bias, mean_square)


def _transfer(task: Task, policy: np.ndarray, step_size: float, live: np.ndarray) -> tuple:
    """The maps of `Y` to itself and to `X'`, on flattened second moments."""
    size = len(live) + 1
    place = {int(state): index for index, state in enumerate(live)}
    transitions = np.asarray(task.mdp.to_dense().transitions)
    inside = sparse.lil_array((len(live) * size**2,) * 2)
    ending = np.zeros((size**2, len(live) * size**2))
    for state, action, target in np.argwhere((policy[:, :, None] * transitions > 0.0) & ~task.terminal[:, None, None]):
        here = place[int(state)]
        update = np.eye(size)
        update[here, here] -= step_size
        update[here, -1] += step_size * task.mdp.rewards[state, action]
        if not task.terminal[target]:
            update[here, place[int(target)]] += step_size * task.discount
        weight = policy[state, action] * transitions[state, action, target]
        columns = slice(here * size**2, (here + 1) * size**2)
        if task.terminal[target]:
            ending[:, columns] += weight * np.kron(update, update)
        else:
            there = place[int(target)]
            inside[there * size**2 : (there + 1) * size**2, columns] += weight * np.kron(update, update)
    return sparse.csc_array(inside), ending
