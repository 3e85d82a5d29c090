r"""A policy's chain as preconditioner for the linear systems of the flow problem.

The system is H = sum_{s,a} W(s, a) b(s, a) b(s, a)^T with rows b(s, a) = gamma P(. | s, a) - e_s. For weights W in one
state the mean of b b^T is that of b times itself and a covariance; with T = sum_a W and the policy pi = W / T,

    H = A^T diag(T) A + sum_s T(s) gamma^2 Cov_{a ~ pi}(P(. | s, a)),        A = I - gamma P_pi,                   (1)

so that H >= A^T diag(T) A, with a small difference where one action has nearly all of W, as in the cold and next to a
pole, or where actions lead to similar places. There the weights themselves range over ten decades, which a diagonal
cannot undo and (1) does. A^-1 is one policy evaluation. What stands in for it is a polynomial and a correction of the
mean, linear and with the exact transpose, so that the preconditioner is symmetric and positive definite whatever it is
worth:

    A^-1 ~ N + 1 m^T (I - A N) / (1 - gamma),        N = sum_{i <= k} (gamma P_pi)^i,       sum m = 1.

It is good where (gamma P_pi)^k forgets all but the mean after a few steps, as on random graphs; on grids and corridors
it does not, and there factors of H stay sparse.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64

from reference.flow import Flow

__all__ = ["policy_inverse"]

_FORGOTTEN = 0.05  # what (gamma P)^k may leave of a vector, its mean apart
_TERMS = 12  # of the polynomial; a chain that needs more mixes too slowly for it
_RARE = 0.01  # actions of a smaller share of W are left out of the policy
_TINY = 1e-300


def policy_inverse(
    flow: Flow, weights: Float64[np.ndarray, " M"]
) -> Callable[[Float64[np.ndarray, " N"]], Float64[np.ndarray, " N"]] | None:
    """An approximation of `(B^T diag(weights) B)^-1`, symmetric and positive definite; None if the chain is slow."""
    total = flow.outflow(weights)
    policy = weights / np.maximum(total, _TINY)[flow.owner]
    policy = np.where(policy < _RARE, 0.0, policy)
    mass = flow.outflow(policy)
    policy = policy / np.maximum(mass, _TINY)[flow.owner]
    chain, size = flow.chain(policy), flow.initial.size
    back, discount = chain.T, flow.discount
    total = np.maximum(total, _TINY)
    terms = _terms(chain, discount, np.sqrt(total / total.max()))
    if terms is None:
        return None

    def evaluate(right: np.ndarray) -> np.ndarray:
        """A^-1 right."""
        result = right
        for _ in range(terms):
            result = right + discount * (chain @ result)
        left = right - result + discount * (chain @ result)
        return result + float(left.mean()) / (1.0 - discount)

    def visit(right: np.ndarray) -> np.ndarray:
        """A^-T right: the transpose of `evaluate`, term by term."""
        mean = np.full(size, float(right.sum()) / (1.0 - discount) / size)
        source = right - mean + discount * (back @ mean)
        result = source
        for _ in range(terms):
            result = source + discount * (back @ result)
        return result + mean

    return lambda right: evaluate(visit(right) / total)


def _terms(chain, discount: float, root: Float64[np.ndarray, " N"]) -> int | None:
    """How many terms until one vector of many frequencies is forgotten, in the norm that T gives to values."""
    probe = np.cos(np.arange(root.size) ** 2) / root
    goal = _FORGOTTEN * float(np.linalg.norm(root * probe))
    for terms in range(1, _TERMS + 1):
        probe = discount * (chain @ probe)
        if float(np.linalg.norm(root * (probe - (root**2 @ probe) / (root @ root)))) <= goal:
            return terms
    return None
