r"""The smallest cap on d/D that an occupancy can keep (OCC-04).

A generator with a largest ratio C (Fermi-Dirac, capped) needs an occupancy d <= C D. One exists iff

    C >= C_min = min over occupancies d of max d/D = max over V of (1 - gamma) mu0 . V / E_D[(V - gamma P V)_+],

a linear program and its dual. HiGHS solves it; what is returned is not its word but two numbers that hold for the
floats of the MDP: any V certifies a lower bound, any policy's occupancy an upper one.
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Float64
from scipy import optimize, sparse

from reference.divergence import KL
from reference.feasibility import Support, support
from reference.flow import Flow, flow_of
from reference.flow_certificate import state_error
from reference.mdp import MDP
from reference.rounding import UNIT_ROUNDOFF, gamma_n

__all__ = ["SmallestCap", "balance", "cap_bound", "smallest_cap", "value_drop"]


@dataclasses.dataclass(frozen=True, eq=False)
class SmallestCap:
    """C_min enclosed: `lower <= C_min <= upper`, rounding included.

    * `values` `(S,)`: the V that certifies `lower`; `occupancy` `(S, A)`: an occupancy that keeps `upper`.
    """

    lower: float
    upper: float
    values: Float64[np.ndarray, " S"]
    occupancy: Float64[np.ndarray, "S A"]


def smallest_cap(mdp: MDP, behavior: Float64[np.ndarray, "S A"]) -> SmallestCap:
    """Solve the linear program for C_min and certify both sides (OCC-04).

    `behavior` is a law on (S, A). `InfeasibleFlow` if no occupancy is confined to its data at any cap; ValueError if it
    is no law; RuntimeError if HiGHS finds no optimum.
    """
    divergence = KL()  # any generator without a cap: only its support is asked for
    where = support(mdp, behavior, divergence)
    flow = flow_of(mdp, behavior, 1.0, divergence, where)
    pairs, states = flow.rewards.size, flow.initial.size
    # The unknowns are ratios and the cap, so that all are of the size of the answer.
    equal = sparse.hstack([balance(flow) @ sparse.diags_array(flow.law), sparse.csr_array((states, 1))], format="csr")
    below = sparse.hstack([sparse.eye_array(pairs), sparse.csr_array(-np.ones((pairs, 1)))], format="csr")
    cost = np.zeros(pairs + 1)
    cost[-1] = 1.0
    program = (cost, below, np.zeros(pairs), equal, flow.initial)
    for method in ("highs", "highs-ipm"):  # data over many decades may defeat one of them
        found = optimize.linprog(*program, bounds=(0.0, None), method=method)
        if found.status == 0:
            break
    else:
        raise RuntimeError(
            f"HiGHS found no optimum of the linear program for C_min: {found.message} The data range from "
            f"{flow.law.min():.1e} to {flow.law.max():.1e}; drop the rarest, or use a generator without a cap"
        )
    values = np.zeros(mdp.n_states)
    values[flow.states] = found.eqlin.marginals
    charged = flow.law * np.maximum(found.x[:-1], 0.0)
    error, _ = state_error(flow, charged, relative=True)
    share = flow.conditional(charged)
    upper = float(np.max((charged + error[flow.owner] * share) / flow.law)) * (1.0 + gamma_n(8))
    occupancy = np.zeros(mdp.rewards.size)
    occupancy[flow.pairs] = charged
    return SmallestCap(cap_bound(mdp, behavior, values, where), upper, values, occupancy.reshape(mdp.rewards.shape))


def cap_bound(
    mdp: MDP, behavior: Float64[np.ndarray, "S A"], values: Float64[np.ndarray, " S"], where: Support
) -> float:
    """The lower bound (1 - gamma) mu0 . V / E_D[(V - gamma P V)_+] on C_min, rounded down; it holds for every V."""
    law = behavior.ravel()[np.flatnonzero(where.pairs)]
    drop, rounding, gain = value_drop(mdp, np.where(where.states, values, 0.0), where)
    weight = math.fsum(law * (np.maximum(drop, 0.0) + rounding)) * (1.0 + gamma_n(4))
    return max(gain, 0.0) / weight * (1.0 - gamma_n(4)) if weight > 0.0 else 0.0


def value_drop(
    mdp: MDP, values: Float64[np.ndarray, " S"], where: Support
) -> tuple[Float64[np.ndarray, " M"], float, float]:
    """V - gamma P V on the pairs of `where`, a bound on its rounding, and (1 - gamma) mu0 . V rounded down."""
    index = np.flatnonzero(where.pairs)
    drop = (np.repeat(values, mdp.n_actions) - mdp.discount * mdp.expected_next(values).ravel())[index]
    rounding = gamma_n(mdp.row_entries + 4) * 2.0 * float(np.abs(values).max())
    gain = (1.0 - mdp.discount) * math.fsum(mdp.initial * values)
    return drop, rounding, gain - 8.0 * UNIT_ROUNDOFF * math.fsum(mdp.initial * np.abs(values))


def balance(flow: Flow) -> sparse.csr_array:
    """E^T - gamma P^T: what leaves a state less what arrives, which the flow makes (1 - gamma) mu0."""
    pairs, states = flow.rewards.size, flow.initial.size
    leaving = sparse.csr_array((np.ones(pairs), (flow.owner, np.arange(pairs))), shape=(states, pairs))
    return sparse.csr_array(leaving - flow.discount * sparse.csr_array(flow.matrix).T)
