"""The policy of the weights as preconditioner for the systems of the flow problem (OCC-01)."""

import numpy as np
import pytest
import tolerances_flow

from reference.divergence import KL
from reference.feasibility import support
from reference.flow import Flow, flow_of
from reference.flow_preconditioner import policy_inverse
from reference.library import garnet, gridworld
from reference.mdp import MDP


def restricted(mdp: MDP) -> Flow:
    """Every pair, with uniform data."""
    law = mdp.available / mdp.available.sum()
    return flow_of(mdp, law, 1.0, KL(), support(mdp, law, KL()))


def decades(flow: Flow, seed: int) -> np.ndarray:
    """Weights like those next to a pole: ten decades, and in every state one action ahead of the others."""
    rng = np.random.default_rng(seed)
    weights = 10.0 ** rng.uniform(-5.0, 0.0, flow.owner.size)
    best = np.zeros(flow.initial.size)
    np.maximum.at(best, flow.owner, weights)
    return np.where(weights == best[flow.owner], weights * 1e5, weights)


def inverse_matrix(inverse, size: int) -> np.ndarray:
    return np.column_stack([inverse(unit) for unit in np.eye(size)])


@pytest.mark.parametrize("seed", range(3))
def test_it_is_symmetric_positive_and_better_than_a_diagonal(row, seed):
    """Symmetric to rounding, dense and CSR; positive definite; and the spectrum it leaves is narrow (OCC-01)."""
    dense = garnet(60, 3, 6, seed, discount=0.9)
    flow, other = restricted(dense), restricted(dense.to_sparse())
    weights = decades(flow, seed)
    inverse, same = policy_inverse(flow, weights), policy_inverse(other, weights)
    assert inverse is not None
    assert same is not None
    matrix = inverse_matrix(inverse, 60)
    scale = np.sqrt(np.diag(matrix))
    unit = matrix / scale / scale[:, None]
    bound, reason = tolerances_flow.preconditioned(flow, weights, scale)
    row("OCC-01", "preconditioner: symmetric", np.abs(unit - unit.T), bound, reason)
    csr = inverse_matrix(same, 60) / scale / scale[:, None]
    row("OCC-01", "preconditioner: dense and CSR", np.abs(unit - csr), bound, reason)
    root = np.linalg.cholesky(0.5 * (matrix + matrix.T))
    hessian = flow.gram(weights, np.ones(60))
    spectrum = np.linalg.eigvalsh(root.T @ hessian @ root)
    diagonal = 1.0 / np.sqrt(np.diag(hessian))
    plain = np.linalg.eigvalsh(diagonal[:, None] * hessian * diagonal)
    assert spectrum.min() > 0.0
    # What it is for: conjugate gradients need steps in proportion to the root of the condition number.
    assert spectrum.max() / spectrum.min() < plain.max() / plain.min()


def test_slow_chains_are_left_to_factors():
    """A corridor remembers where it started."""
    for mdp in (gridworld(2, 200, 0.99), gridworld(1, 400, 0.999)):
        flow = restricted(mdp)
        assert policy_inverse(flow, np.ones(flow.owner.size)) is None
