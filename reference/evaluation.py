"""Policy evaluation: the Bellman linear system (RL-02, RL-03).

    (I - gamma P_pi) v = r_pi,      r_pi(s) = sum_a pi(a | s) (r(s, a) - alpha log pi(a | s))

has exactly one solution for `gamma < 1`. It is solved directly (LAPACK or SuperLU), then refined: the system is solved
again for what the solution still leaves, with the common part of the values taken out, so that the residual is known to
a rounding of the *differences* of values (`reference.certify`).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy import linalg, sparse
from scipy.sparse import linalg as sparse_linalg
from scipy.special import xlogy

from reference import certify
from reference.bellman import policy_chain, policy_rewards
from reference.mdp import MDP
from reference.rounding import sum_minus_one
from reference.solution import Solution, Status

_REFINEMENTS = 2  # each gains the digits that the condition number leaves; two reach the floor for gamma <= 1 - 1e-7


class Evaluation(NamedTuple):
    """Values of a policy as `offset + deviation`, and the `q - offset` that they imply."""

    offset: float
    deviation: Float64[np.ndarray, " S"]
    local: Float64[np.ndarray, "S A"]
    residual: Float64[np.ndarray, " S"]


def evaluate_policy(mdp: MDP, policy: Float64[np.ndarray, "S A"], alpha: float = 0.0) -> Solution:
    """The values of `policy`, soft values with entropy bonus `-alpha log pi` if `alpha > 0` (SAC-03).

    `q` is `r + gamma P v`: it holds the entropy of later choices, not of its own. Raises `ValueError` if `policy` is no
    policy of this MDP or `alpha` is negative.
    """
    if not (np.isfinite(alpha) and alpha >= 0.0):
        raise ValueError(f"alpha is {alpha!r}: expected a finite temperature >= 0.")
    found = evaluate(mdp, policy, alpha)
    bounds = certify.policy_bounds(mdp, policy, found.deviation, alpha, found.offset)
    values, error_bound = certify.join(found.offset, found.deviation, bounds)
    q = found.offset + found.local
    return Solution(
        values, q, policy, error_bound, Status.DIRECT, 1, "direct linear solve", found.offset, found.deviation
    )


def evaluate(mdp: MDP, policy: Float64[np.ndarray, "S A"], alpha: float = 0.0) -> Evaluation:
    """The values of `policy` without a certificate; what policy iteration builds on."""
    solve = linear_solver(mdp, policy)
    first = solve(policy_rewards(mdp, policy, alpha))
    offset, deviation, _ = certify.split(first)
    bonus = -alpha * xlogy(policy, policy).sum(axis=1)
    excess = sum_minus_one(policy)

    def compare() -> tuple[Float64[np.ndarray, "S A"], Float64[np.ndarray, " S"]]:
        """`q - offset`, and what the Bellman equation still lacks."""
        local = certify.lookahead(mdp, deviation, offset)
        target = (policy * np.where(mdp.available, local, 0.0)).sum(axis=1) + (bonus + offset * excess)
        return local, target - deviation

    for _ in range(_REFINEMENTS):
        moved, deviation, _ = certify.split(deviation + solve(compare()[1]))
        offset += moved
    return Evaluation(offset, deviation, *compare())


def linear_solver(
    mdp: MDP, policy: Float64[np.ndarray, "S A"], transpose: bool = False
) -> Callable[[Float64[np.ndarray, " S"]], Float64[np.ndarray, " S"]]:
    """A function that solves `(I - gamma P_pi) x = b`, or the transposed system, factored once."""
    chain = policy_chain(mdp, policy)
    if isinstance(chain, np.ndarray):
        factors = linalg.lu_factor(np.eye(mdp.n_states) - mdp.discount * chain)
        return lambda right: linalg.lu_solve(factors, right, trans=int(transpose))
    system = sparse.csc_array(sparse.eye_array(mdp.n_states) - mdp.discount * chain)
    factors = sparse_linalg.splu(system)
    return lambda right: factors.solve(right, trans="T" if transpose else "N")
