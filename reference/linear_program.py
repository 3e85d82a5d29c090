"""The linear program of a discounted MDP (d'Epenoux 1963; Puterman 1994, section 6.9).

    min sum_s v(s)    subject to    v(s) >= r(s, a) + gamma sum_t P(t | s, a) v(t)    for all available (s, a)

has the optimal values as its only solution. Its dual variables are unnormalised occupancies; at a vertex one action of
each state carries all of them, the policy of that vertex.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy import sparse
from scipy.optimize import linprog

from reference.bellman import greedy
from reference.mdp import MDP

_ITERATION_LIMIT = 1  # SciPy's code for it
_FEASIBILITY = 1e-10  # the tightest that HiGHS accepts


class Vertex(NamedTuple):
    """What HiGHS found: the policy of the last vertex, or None if the iterations did not reach one."""

    policy: Float64[np.ndarray, "S A"] | None
    iterations: int
    message: str


def vertex(mdp: MDP, max_iterations: int) -> Vertex:
    """The policy that HiGHS finds optimal. Raises `RuntimeError` with its message if it fails.

    The program is solved for `u = (v - min r / (1 - gamma)) / max |r|`, which is nonnegative and of the order
    `1 / (1 - gamma)`, so that the absolute tolerances of HiGHS mean the same for every model.
    """
    pairs = np.flatnonzero(mdp.available)
    least, scale = float(mdp.rewards.ravel()[pairs].min()), mdp.largest_reward or 1.0
    rows = sparse.csr_array(mdp.matrix)[pairs]
    states = sparse.csr_array(
        (np.ones(len(pairs)), (np.arange(len(pairs)), pairs // mdp.n_actions)), shape=(len(pairs), mdp.n_states)
    )
    found = linprog(
        np.ones(mdp.n_states),
        A_ub=sparse.csc_array(mdp.discount * rows - states),
        b_ub=(least - mdp.rewards.ravel()[pairs]) / scale,
        method="highs",
        options={
            "maxiter": max_iterations,
            "primal_feasibility_tolerance": _FEASIBILITY,
            "dual_feasibility_tolerance": _FEASIBILITY,
        },
    )
    message = f"HiGHS: {' '.join(found.message.split())}"
    if found.status == _ITERATION_LIMIT:
        return Vertex(None, int(found.nit), message)
    if found.status != 0:
        raise RuntimeError(f"{message}. The program of a discounted MDP always has a solution; use PolicyIteration.")
    occupancy = np.full(mdp.rewards.size, -np.inf)
    occupancy[pairs] = -np.asarray(found.ineqlin.marginals)
    return Vertex(greedy(occupancy.reshape(mdp.rewards.shape)), int(found.nit), message)
