r"""The flow problem on the pairs that an occupancy may charge, and its linear algebra (OCC-01).

With the m pairs and n states of `reference.feasibility.support`, V = c + W for a common part c, and the m x n matrix
B = gamma P - E (E takes a state's value to its pairs),

    delta = r - (1 - gamma) c + gamma c (row-sum defects) + B W          TD errors,
    R(d)  = (1 - gamma) mu0 + B^T d                                      what d still lacks of the Bellman flow,
    dual  = (1 - gamma) mu0 . V + beta E_D f*(delta / beta),             gradient R(D (f*)'(delta / beta)) in W.

`Flow` hands out products with B and B^T, and B^T diag(h) B for small or local problems; dense transitions are never
copied.
"""

import dataclasses
import math
from functools import cached_property

import numpy as np
from jaxtyping import Float64, Int
from scipy import sparse
from scipy.sparse import csgraph

from reference.divergence import Divergence
from reference.feasibility import Support
from reference.mdp import MDP

__all__ = ["Flow", "flow_of"]

_DIRECT = 300  # up to this many states a dense factor is cheaper than any iteration
_DENSE = 1600  # above this many states a dense factor is too dear
_LOCAL = 0.1  # a graph is local where a renumbering brings all moves this close, as a share of the states


@dataclasses.dataclass(frozen=True, eq=False)
class Flow:
    """The problem restricted to `pairs` (indices s*A + a, sorted) and `states`; `owner` is the state of each pair.

    `law` is D on the pairs, `initial` is (1 - gamma) mu0 on the states, `matrix` the rows and columns of P that are
    left, and `constant` what the pairs that cannot be charged pay: -beta f(0) times their data.
    """

    divergence: Divergence
    beta: float
    discount: float
    states: Int[np.ndarray, " N"]
    pairs: Int[np.ndarray, " M"]
    owner: Int[np.ndarray, " M"]
    rewards: Float64[np.ndarray, " M"]
    law: Float64[np.ndarray, " M"]
    defects: Float64[np.ndarray, " M"]
    initial: Float64[np.ndarray, " N"]
    matrix: Float64[np.ndarray, "M N"] | sparse.csr_array
    constant: float

    def td_error(self, offset: float, deviation: Float64[np.ndarray, " N"]) -> Float64[np.ndarray, " M"]:
        """delta_V for V = offset + deviation."""
        common = self.discount * (offset * self.defects) - (1.0 - self.discount) * offset
        return (self.rewards + common) + self.forward(deviation)

    def residual(self, occupancy: Float64[np.ndarray, " M"]) -> Float64[np.ndarray, " N"]:
        """R(d): zero exactly where the Bellman flow holds."""
        return self.initial + self.adjoint(occupancy)

    def forward(self, values: Float64[np.ndarray, " N"]) -> Float64[np.ndarray, " M"]:
        """B values."""
        if isinstance(self.matrix, np.ndarray):
            return self.discount * (self.matrix @ values) - values[self.owner]
        return self._steps @ values

    def adjoint(self, charges: Float64[np.ndarray, " M"]) -> Float64[np.ndarray, " N"]:
        """B^T charges."""
        if isinstance(self.matrix, np.ndarray):
            return self.discount * (self.matrix.T @ charges) - np.bincount(self.owner, charges, self.initial.size)
        return self._steps_transposed @ charges

    def inflow(self, charges: Float64[np.ndarray, " M"]) -> Float64[np.ndarray, " N"]:
        """gamma P^T charges, a sum of nonnegative terms for nonnegative charges."""
        if isinstance(self.matrix, np.ndarray):
            return np.asarray(self.discount * (self.matrix.T @ charges))
        return np.asarray(self.discount * (self._transposed @ charges))

    def outflow(self, charges: Float64[np.ndarray, " M"]) -> Float64[np.ndarray, " N"]:
        """The sum over the pairs of each state."""
        return np.bincount(self.owner, charges, self.initial.size)

    def conditional(self, occupancy: Float64[np.ndarray, " M"]) -> Float64[np.ndarray, " M"]:
        """pi(a | s) = d / sum_a d; that of the data in states that d does not visit."""
        mass, data = self.outflow(occupancy)[self.owner], self.outflow(self.law)[self.owner]
        visited = mass >= np.finfo(np.float64).tiny
        return np.where(visited, occupancy / np.where(visited, mass, 1.0), self.law / data)

    def chain(self, policy: Float64[np.ndarray, " M"]) -> np.ndarray | sparse.csr_array:
        """P_pi for probabilities pi(a | s) on the pairs; rows of states without a choice are empty."""
        size = self.initial.size
        starts = np.searchsorted(self.owner, np.arange(size + 1))
        if isinstance(self.matrix, np.ndarray):
            rows = sparse.csr_array((policy, np.arange(policy.size), starts), shape=(size, policy.size))
            return np.asarray(rows @ self.matrix)
        # Pairs are sorted by state: the rows of a state's pairs, one after another, make its row.
        lengths = np.diff(self.matrix.indptr)
        kept = np.repeat(policy > 0.0, lengths)
        ends = np.concatenate([[0], np.cumsum(np.where(policy > 0.0, lengths, 0))])[starts]
        data = (self.matrix.data * np.repeat(policy, lengths))[kept]
        return sparse.csr_array((data, self.matrix.indices[kept], ends), shape=(size, size))

    def diagonal(self, weights: Float64[np.ndarray, " M"]) -> Float64[np.ndarray, " N"]:
        """The diagonal of B^T diag(weights) B."""
        if not isinstance(self.matrix, np.ndarray):
            return self._squares @ weights
        squares = self.discount**2 * np.einsum("ms,ms,m->s", self.matrix, self.matrix, weights)
        stay = self.matrix[np.arange(self.owner.size), self.owner]
        return squares + self.outflow(weights * (1.0 - 2.0 * self.discount * stay))

    def gram(
        self, weights: Float64[np.ndarray, " M"], scale: Float64[np.ndarray, " N"]
    ) -> np.ndarray | sparse.csc_array:
        """diag(scale) B^T diag(weights) B diag(scale), dense where `is_local` does not hold."""
        if isinstance(self.matrix, np.ndarray) or self.initial.size <= _DIRECT:
            rows = self.weighted_rows(weights, scale)
            return rows.T @ rows
        rows = sparse.csr_array(sparse.diags_array(np.sqrt(weights)) @ self._steps @ sparse.diags_array(scale))
        product = rows.T @ rows
        return sparse.csc_array(product) if self.is_local else product.toarray()

    def weighted_rows(
        self, weights: Float64[np.ndarray, " M"], scale: Float64[np.ndarray, " N"]
    ) -> Float64[np.ndarray, "M N"]:
        """diag(sqrt(weights)) B diag(scale), dense."""
        return np.sqrt(weights)[:, None] * self._dense * scale

    @property
    def starts_direct(self) -> bool:
        """Whether a factorisation is the cheapest way from the beginning."""
        return self.initial.size <= _DIRECT

    @property
    def may_be_direct(self) -> bool:
        """Whether a factorisation is affordable where conjugate gradients do not get through."""
        return self.initial.size <= _DENSE or self.is_local

    @cached_property
    def is_local(self) -> bool:
        """Whether sparse factors stay sparse: grids, corridors, but not random graphs (reverse Cuthill-McKee width)."""
        if isinstance(self.matrix, np.ndarray) or self.initial.size <= _DIRECT:
            return False
        steps = self._steps
        merge = sparse.csr_array(
            (np.ones(self.owner.size), (self.owner, np.arange(self.owner.size))),
            shape=(self.initial.size, self.owner.size),
        )
        graph = sparse.csr_array(merge @ abs(steps))
        graph = sparse.csr_array(graph + graph.T)
        rank = np.empty(self.initial.size, dtype=np.int64)
        rank[csgraph.reverse_cuthill_mckee(graph, symmetric_mode=True)] = np.arange(self.initial.size)
        coo = graph.tocoo()
        return float(np.abs(rank[coo.row] - rank[coo.col]).max()) <= _LOCAL * self.initial.size

    @cached_property
    def _dense(self) -> Float64[np.ndarray, "M N"]:
        """B itself."""
        matrix = self.matrix if isinstance(self.matrix, np.ndarray) else self.matrix.toarray()
        dense = self.discount * matrix
        dense[np.arange(self.owner.size), self.owner] -= 1.0
        return dense

    @cached_property
    def _steps(self) -> sparse.csr_array:
        size = self.owner.size
        takes = sparse.csr_array((np.ones(size), self.owner, np.arange(size + 1)), shape=(size, self.initial.size))
        return sparse.csr_array(self.discount * sparse.csr_array(self.matrix) - takes)

    @cached_property
    def _steps_transposed(self) -> sparse.csr_array:
        return sparse.csr_array(self._steps.T)

    @cached_property
    def _transposed(self) -> sparse.csr_array:
        return sparse.csr_array(sparse.csr_array(self.matrix).T)

    @cached_property
    def _squares(self) -> sparse.csr_array:
        steps = self._steps_transposed
        return sparse.csr_array((steps.data**2, steps.indices, steps.indptr), shape=steps.shape)


def flow_of(
    mdp: MDP, behavior: Float64[np.ndarray, "S A"], beta: float, divergence: Divergence, where: Support
) -> Flow:
    """The restriction of a checked problem to the pairs of `where`."""
    pairs, states = np.flatnonzero(where.pairs), np.flatnonzero(where.states)
    law = behavior.ravel()
    matrix = mdp.matrix
    if states.size < mdp.n_states:
        matrix = matrix[np.ix_(pairs, states)] if isinstance(matrix, np.ndarray) else matrix[pairs][:, states]
    elif pairs.size < law.size:
        matrix = matrix[pairs]
    place = np.cumsum(where.states) - 1
    unused = math.fsum(law[~where.pairs.ravel()])
    return Flow(
        divergence=divergence,
        beta=beta,
        discount=mdp.discount,
        states=states,
        pairs=pairs,
        owner=place[pairs // mdp.n_actions],
        rewards=mdp.rewards.ravel()[pairs],
        law=law[pairs],
        defects=mdp.defects.ravel()[pairs],
        initial=(1.0 - mdp.discount) * mdp.initial[states],
        matrix=matrix,
        constant=-beta * float(divergence.f(0.0)) * unused if unused > 0.0 else 0.0,
    )
