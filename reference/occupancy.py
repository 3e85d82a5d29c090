"""Occupancy measures: how often a policy meets each pair (OCC-01, OCC-02), and stationary distributions.

The discounted occupancy of `pi` from `mu0`,

    d(s, a) = (1 - gamma) E sum_t gamma^t 1[s_t = s, a_t = a] = rho(s) pi(a | s),

solves the Bellman flow `rho = (1 - gamma) mu0 + gamma P_pi^T rho` and has total mass one. `(1 - gamma) v_pi . mu0`
equals the sum of `d r`.
"""

import numpy as np
from jaxtyping import Float64
from scipy import sparse
from scipy.sparse import csgraph

from reference.bellman import policy_chain
from reference.certify import occupancy_bound as occupancy_bound
from reference.checks import check_policy
from reference.evaluation import linear_solver
from reference.mdp import MDP
from reference.rounding import gamma_n


def occupancy_measure(mdp: MDP, policy: Float64[np.ndarray, "S A"]) -> Float64[np.ndarray, "S A"]:
    """The discounted occupancy of `policy`, nonnegative and of mass one up to rounding.

    Direct solve with one refinement; `occupancy_bound(mdp, policy, d)` bounds its L1 error. Raises `ValueError` if
    `policy` is no policy of this MDP.
    """
    check_policy(policy, mdp.available)
    solve = linear_solver(mdp, policy, transpose=True)
    source = (1.0 - mdp.discount) * mdp.initial
    states = solve(source)
    inflow = mdp.discount * np.asarray(mdp.matrix.T @ (policy * states[:, None]).ravel())
    states = states + solve(source + inflow - states)
    # Exact occupancies are nonnegative: where rounding went below zero, zero is closer.
    return np.maximum(states, 0.0)[:, None] * policy


def flow_residual(mdp: MDP, occupancy: Float64[np.ndarray, "S A"]) -> Float64[np.ndarray, " S"]:
    """`(1 - gamma) mu0 + gamma P^T d - sum_a d(., a)`: zero exactly for the occupancies of policies (OCC-01)."""
    inflow = np.asarray(mdp.matrix.T @ occupancy.ravel())
    return (1.0 - mdp.discount) * mdp.initial + mdp.discount * inflow - occupancy.sum(axis=1)


def policy_from_occupancy(mdp: MDP, occupancy: Float64[np.ndarray, "S A"]) -> Float64[np.ndarray, "S A"]:
    """`d(s, a) / sum_b d(s, b)`; uniform over the available actions in states without mass."""
    if occupancy.shape != mdp.rewards.shape:
        raise ValueError(f"occupancy has shape {occupancy.shape}: expected (S, A) = {mdp.rewards.shape}.")
    bad = np.argwhere(~(np.isfinite(occupancy) & (occupancy >= 0.0)) | ((occupancy > 0.0) & ~mdp.available))
    if len(bad):
        state, action = bad[0]
        raise ValueError(
            f"occupancy[{state}, {action}] (state {state}, action {action}) is {occupancy[state, action]}: expected a "
            "finite number >= 0, and 0 where the action is not available."
        )
    # Scaling by the largest entry first keeps subnormal masses from losing their digits.
    scaled = occupancy / np.maximum(occupancy.max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    mass = scaled.sum(axis=1, keepdims=True)
    uniform = mdp.available / mdp.available.sum(axis=1, keepdims=True)
    return np.where(mass > 0.0, scaled / np.where(mass > 0.0, mass, 1.0), uniform)


def recurrent_classes(mdp: MDP, policy: Float64[np.ndarray, "S A"]) -> list[np.ndarray]:
    """The closed communicating classes of the chain under `policy`, each as sorted state indices."""
    chain = sparse.csr_array(policy_chain(mdp, policy))
    chain.eliminate_zeros()
    count, label = csgraph.connected_components(chain, directed=True, connection="strong")
    coo = sparse.coo_array(chain)
    leaves = label[coo.row] != label[coo.col]
    closed = np.setdiff1d(np.arange(count), label[coo.row[leaves]])
    classes = [np.flatnonzero(label == index) for index in closed]
    return sorted(classes, key=lambda states: int(states[0]))


def stationary_distribution(mdp: MDP, policy: Float64[np.ndarray, "S A"]) -> Float64[np.ndarray, " S"]:
    """The stationary distribution of the chain under `policy`; zero on transient states.

    By the elimination of Grassmann, Taksar and Heyman (1985), which never subtracts: every entry has a small *relative*
    error (O'Cinneide 1993). Only off-diagonal probabilities enter; the diagonal is taken to be what is missing to one.

    Raises `ValueError` if there are several recurrent classes, for then there are many stationary distributions.
    """
    classes = recurrent_classes(mdp, policy)
    if len(classes) > 1:
        listed = "; ".join(_abbreviate(states) for states in classes[:4]) + ("; ..." if len(classes) > 4 else "")
        raise ValueError(
            f"the chain has {len(classes)} recurrent classes ({listed}): expected one, or the stationary distribution "
            "is not unique. Restrict the MDP to one class, or use occupancy_measure, which starts from mdp.initial."
        )
    states = classes[0]
    block = sparse.csr_array(policy_chain(mdp, policy))[states][:, states].toarray()
    result = np.zeros(mdp.n_states)
    result[states] = _eliminate(block)
    return result


def stationary_exponent(n_states: int, relative: float) -> float:
    """A bound on |log(law / exact law)| in every state, for `stationary_distribution` of a chain of so many states.

    `relative` is how far its probabilities may be from exact. Censoring one of m states rounds m + 3 times, and a
    relative change of the off-diagonal entries counts at most 2 m times (O'Cinneide 1993).
    """
    censored = sum(2.0 * m * gamma_n(m + 3) for m in range(1, n_states + 1))
    return censored + 2.0 * n_states * relative + gamma_n(2 * n_states + 4)


def _eliminate(chain: Float64[np.ndarray, "M M"]) -> Float64[np.ndarray, " M"]:
    """Stationary distribution of an irreducible chain by censoring one state after another; overwrites `chain`."""
    size = len(chain)
    for last in range(size - 1, 0, -1):
        chain[:last, last] /= chain[last, :last].sum()
        chain[:last, :last] += np.outer(chain[:last, last], chain[last, :last])
    weights = np.ones(size)
    for state in range(1, size):
        weights[state] = weights[:state] @ chain[:state, state]
    return weights / weights.sum()


def _abbreviate(states: np.ndarray) -> str:
    shown = ", ".join(str(int(state)) for state in states[:5])
    return f"{{{shown}{', ...' if len(states) > 5 else ''}}}"
