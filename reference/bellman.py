"""Bellman operators, their residuals, and the policies they induce.

With `q_v(s, a) = r(s, a) + gamma sum_t P(t | s, a) v(t)`:

    optimality   (T v)(s)       = max_a q_v(s, a)                                            (RL-05, RL-06)
    policy       (T_pi v)(s)    = sum_a pi(a | s) (q_v(s, a) - alpha log pi(a | s))          (RL-02, SAC-03)
    soft         (T_alpha v)(s) = alpha log sum_a exp(q_v(s, a) / alpha)                     (SAC-06)

over the available actions. Each is monotone and a contraction with modulus `gamma` in the sup norm (times the largest
row sum, which rounding may put a little above one).
"""

import numpy as np
from jaxtyping import Bool, Float64
from scipy import sparse
from scipy.special import xlogy

from reference.checks import check_policy, check_temperature
from reference.mdp import MDP


def backup(mdp: MDP, values: Float64[np.ndarray, " S"]) -> Float64[np.ndarray, "S A"]:
    """`q_v = r + gamma P v`, with `-inf` at unavailable pairs."""
    return np.where(mdp.available, mdp.rewards + mdp.discount * mdp.expected_next(values), -np.inf)


def bellman_optimality(mdp: MDP, values: Float64[np.ndarray, " S"]) -> Float64[np.ndarray, " S"]:
    """`T v`: the best one-step lookahead (RL-05)."""
    return backup(mdp, values).max(axis=1)


def bellman_policy(
    mdp: MDP, policy: Float64[np.ndarray, "S A"], values: Float64[np.ndarray, " S"], alpha: float = 0.0
) -> Float64[np.ndarray, " S"]:
    """`T_pi v`, with the entropy bonus `-alpha log pi` if `alpha > 0` (RL-02, SAC-03)."""
    check_policy(policy, mdp.available)
    q = np.where(mdp.available, backup(mdp, values), 0.0)
    return (policy * q).sum(axis=1) - alpha * xlogy(policy, policy).sum(axis=1)


def soft_bellman(mdp: MDP, values: Float64[np.ndarray, " S"], alpha: float) -> Float64[np.ndarray, " S"]:
    """`T_alpha v`: the soft maximum of the one-step lookahead at temperature `alpha > 0` (SAC-06)."""
    return soft_maximum(backup(mdp, values), alpha)


def optimality_residual(mdp: MDP, values: Float64[np.ndarray, " S"]) -> Float64[np.ndarray, " S"]:
    """`T v - v`; zero exactly at the optimal values."""
    return bellman_optimality(mdp, values) - values


def policy_residual(
    mdp: MDP, policy: Float64[np.ndarray, "S A"], values: Float64[np.ndarray, " S"], alpha: float = 0.0
) -> Float64[np.ndarray, " S"]:
    """`T_pi v - v`; zero exactly at the values of the policy."""
    return bellman_policy(mdp, policy, values, alpha) - values


def soft_residual(mdp: MDP, values: Float64[np.ndarray, " S"], alpha: float) -> Float64[np.ndarray, " S"]:
    """`T_alpha v - v`; zero exactly at the soft optimal values."""
    return soft_bellman(mdp, values, alpha) - values


def soft_maximum(q: Float64[np.ndarray, "S A"], alpha: float) -> Float64[np.ndarray, " S"]:
    """`alpha log sum_a exp(q / alpha)` without overflow; entries of `-inf` do not count."""
    top = q.max(axis=1)
    return top + alpha * np.log(_exponentials(q, top, alpha).sum(axis=1))


def greedy(q: Float64[np.ndarray, "S A"]) -> Float64[np.ndarray, "S A"]:
    """The deterministic policy that takes the first best action, as a matrix of zeros and ones."""
    policy = np.zeros_like(q)
    policy[np.arange(len(q)), q.argmax(axis=1)] = 1.0
    return policy


def boltzmann(
    q: Float64[np.ndarray, "S A"], alpha: float, available: Bool[np.ndarray, "S A"] | None = None
) -> Float64[np.ndarray, "S A"]:
    """`pi(a | s)` proportional to `exp(q(s, a) / alpha)` over the available actions (SAC-01)."""
    if available is not None:
        q = np.where(available, q, -np.inf)
    weights = _exponentials(q, q.max(axis=1), alpha)
    return weights / weights.sum(axis=1, keepdims=True)


def _exponentials(
    q: Float64[np.ndarray, "S A"], top: Float64[np.ndarray, " S"], alpha: float
) -> Float64[np.ndarray, "S A"]:
    check_temperature(alpha)
    with np.errstate(over="ignore"):  # a gap of more than 1.8e308 temperatures is -inf, and its exponential 0
        return np.exp((q - top[:, None]) / alpha)


def policy_chain(mdp: MDP, policy: Float64[np.ndarray, "S A"]) -> Float64[np.ndarray, "S S"] | sparse.csr_array:
    """`P_pi(t | s) = sum_a pi(a | s) P(t | s, a)`, dense or CSR like the transitions."""
    check_policy(policy, mdp.available)
    if isinstance(mdp.transitions, np.ndarray):
        return np.einsum("sa,sat->st", policy, mdp.transitions)
    state, action = np.nonzero(policy)
    pairs = (policy[state, action], (state, state * mdp.n_actions + action))
    choice = sparse.coo_array(pairs, shape=(mdp.n_states, policy.size)).tocsr()
    return sparse.csr_array(choice @ mdp.transitions)


def policy_rewards(mdp: MDP, policy: Float64[np.ndarray, "S A"], alpha: float = 0.0) -> Float64[np.ndarray, " S"]:
    """`r_pi(s) = sum_a pi(a | s) (r(s, a) - alpha log pi(a | s))`."""
    return (policy * mdp.rewards).sum(axis=1) - alpha * xlogy(policy, policy).sum(axis=1)
