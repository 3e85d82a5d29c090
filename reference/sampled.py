r"""The *sampled* flow problem: TD errors of single transitions inside f*, and the luck that this buys (OCC-07).

    minimise   (1 - gamma) E_{mu0} V + beta E_{D P} f*(delta / beta),       delta = r + gamma V(s') - V(s)          (1)

is what one gets from the dual of `reference.regularized` when the expectation over next states is taken outside f*
instead of inside. Its primal runs over laws d(s, a, s') against D P under the same Bellman flow: the agent chooses its
next states as well, at a price. Dynamics are tilted towards good luck, under KL by

    d(s' | s, a)  proportional to  P(s' | s, a) exp(gamma V(s') / beta).

By Jensen its optimum is never below that of the flow problem; they agree where transitions are deterministic.
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Float64, Int
from scipy import sparse

from reference.divergence import Divergence
from reference.feasibility import check_law
from reference.mdp import MDP
from reference.regularized import RegularizedOccupancy, regularized_occupancy

__all__ = ["SampledOccupancy", "sampled_occupancy"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class SampledOccupancy:
    """Solution of the dual with the TD errors of single transitions inside f*: an agent that chooses its luck (OCC-07).

    * `problem`: the flow problem of the MDP whose actions are the transitions (a, s'), and its certificate; its dual is
      that of the sampled TD errors, and `values` are its V.
    * `state`, `action`, `next_state` `(N,)`: the transitions with data; `law` `(N,)`: D(s, a) P(s' | s, a);
      `occupancy` `(N,)`, `ratio` `(N,)`, `td_error` `(N,)`: d(s, a, s'), d over the law, r + gamma V(s') - V(s).
    """

    problem: RegularizedOccupancy
    state: Int[np.ndarray, " N"]
    action: Int[np.ndarray, " N"]
    next_state: Int[np.ndarray, " N"]
    law: Float64[np.ndarray, " N"]
    occupancy: Float64[np.ndarray, " N"]
    ratio: Float64[np.ndarray, " N"]
    td_error: Float64[np.ndarray, " N"]

    @property
    def values(self) -> Float64[np.ndarray, " S"]:
        """V of the sampled dual."""
        return self.problem.values

    @property
    def primal(self) -> float:
        """Lower bound on the optimum of the sampled problem."""
        return self.problem.primal

    @property
    def dual(self) -> float:
        """Upper bound on the optimum of the sampled problem."""
        return self.problem.dual

    def __repr__(self) -> str:
        return f"SampledOccupancy({self.law.size} transitions with data, {self.problem!r})"


def sampled_occupancy(
    mdp: MDP,
    behavior: Float64[np.ndarray, "S A"],
    beta: float,
    divergence: Divergence | None = None,
    tolerance: float = 1e-8,
    max_iterations: int = 500,
) -> SampledOccupancy:
    """Solve (1) and its primal as the flow problem of the MDP whose actions are transitions (OCC-07).

    Arguments and errors as in `regularized_occupancy`. D P is rounded, and divided by its sum: what is certified is
    the problem for `law`, the floats that come out.
    """
    check_law(mdp, behavior)
    weighted = sparse.csr_array(sparse.diags_array(behavior.ravel()) @ sparse.csr_array(mdp.matrix))
    weighted.eliminate_zeros()  # pairs without data, and zeros that were stored
    moves = sparse.coo_array(weighted)
    pair, target, law = moves.row.astype(np.int64), moves.col.astype(np.int64), np.asarray(moves.data, np.float64)
    state = pair // mdp.n_actions
    rank = np.arange(state.size) - np.searchsorted(state, state)
    width = int(rank.max()) + 1
    available = np.zeros((mdp.n_states, width), dtype=np.bool_)
    available[state, rank] = True
    rewards = np.zeros((mdp.n_states, width))
    rewards[state, rank] = mdp.rewards.ravel()[pair]
    laws = np.zeros((mdp.n_states, width))
    laws[state, rank] = law / math.fsum(law)
    idle = np.flatnonzero(~available[:, 0])  # a state without data still needs an action
    available[idle, 0] = True
    heads = np.concatenate([state * width + rank, idle * width])
    tails = np.concatenate([target, idle])
    transitions = sparse.csr_array((np.ones(heads.size), (heads, tails)), shape=(mdp.n_states * width, mdp.n_states))
    lucky = MDP(transitions, rewards, mdp.discount, mdp.initial, available)
    solved = regularized_occupancy(lucky, laws, beta, divergence, tolerance, max_iterations)
    return SampledOccupancy(
        problem=solved,
        state=state,
        action=pair % mdp.n_actions,
        next_state=target,
        law=laws[state, rank],
        occupancy=solved.occupancy[state, rank],
        ratio=solved.ratio[state, rank],
        td_error=solved.td_error[state, rank],
    )
