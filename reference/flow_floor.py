r"""The largest floor under d/D that an occupancy below a cap can keep (OCC-04).

A generator with ratios in [m, M] (two-sided Fermi-Dirac) needs an occupancy d with m D <= d <= M D. Given that one
keeps the cap (`reference.flow_cap`), one keeps both iff m is at most

    max over occupancies d <= M D of min d/D = min over V of (M E_D[g_+] - (1 - gamma) mu0 . V) / E_D[g_-],

with g = V - gamma P V = g_+ - g_-: sum d g = (1 - gamma) mu0 . V on the flow, and sum d g <= M E_D[g_+] - m E_D[g_-].
As there, HiGHS solves the linear program, any V certifies one side, and any policy's occupancy the other.
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Float64
from scipy import optimize, sparse

from reference.divergence import ReverseKL
from reference.feasibility import Support, support
from reference.flow import flow_of
from reference.flow_cap import SmallestCap, balance, value_drop
from reference.flow_certificate import state_error
from reference.mdp import MDP
from reference.rounding import UNIT_ROUNDOFF, gamma_n

__all__ = ["LargestFloor", "floor_bound", "largest_floor"]


@dataclasses.dataclass(frozen=True, eq=False)
class LargestFloor:
    """The largest floor below a cap enclosed: `lower <= floor <= upper`, rounding included.

    * `occupancy` `(S, A)`: one that keeps `lower` and the cap; `values` `(S,)`: the V that certifies `upper`.
    """

    lower: float
    upper: float
    occupancy: Float64[np.ndarray, "S A"]
    values: Float64[np.ndarray, " S"]


def largest_floor(mdp: MDP, behavior: Float64[np.ndarray, "S A"], cap: float, smallest: SmallestCap) -> LargestFloor:
    """Solve the linear program for the largest floor and certify both sides (OCC-04).

    `smallest` is the `smallest_cap` of the same data, and `cap` a finite number above it: ValueError otherwise.
    `InfeasibleFlow` names data that no occupancy charges; RuntimeError if HiGHS finds no optimum.
    """
    if not smallest.upper < cap < math.inf:
        raise ValueError(f"cap is {cap!r}: expected a finite cap above C_min, which is at most {smallest.upper!r}")
    divergence = ReverseKL()  # any generator with f(0) = inf: only its support is asked for
    where = support(mdp, behavior, divergence)
    flow = flow_of(mdp, behavior, 1.0, divergence, where)
    pairs, states = flow.rewards.size, flow.initial.size
    equal = sparse.hstack([balance(flow) @ sparse.diags_array(flow.law), sparse.csr_array((states, 1))], format="csr")
    above = sparse.hstack([-sparse.eye_array(pairs), sparse.csr_array(np.ones((pairs, 1)))], format="csr")
    cost = np.zeros(pairs + 1)
    cost[-1] = -1.0
    for method in ("highs", "highs-ipm"):
        found = optimize.linprog(
            cost, above, np.zeros(pairs), equal, flow.initial, bounds=[(0.0, cap)] * (pairs + 1), method=method
        )
        if found.status == 0:
            break
    else:
        raise RuntimeError(f"HiGHS found no optimum of the linear program for the largest floor: {found.message}")
    values = np.zeros(mdp.n_states)
    values[flow.states] = found.eqlin.marginals
    charged = flow.law * np.maximum(found.x[:-1], 0.0)
    error, _ = state_error(flow, charged, relative=True)
    reach = error[flow.owner] * flow.conditional(charged)
    most = float(np.max((charged + reach) / flow.law)) * (1.0 + gamma_n(8))
    least = float(np.min((charged - reach) / flow.law)) * (1.0 - gamma_n(8))
    # What rounding lifts above the cap comes down by a share of the occupancy with the smallest cap.
    share = (most - cap) / (most - smallest.upper) * (1.0 + gamma_n(8)) if most > cap else 0.0
    share = min(share, 1.0) if math.isfinite(most) else 1.0
    occupancy = np.zeros(mdp.rewards.size)
    occupancy[flow.pairs] = (1.0 - share) * charged + share * smallest.occupancy.ravel()[flow.pairs]
    return LargestFloor(
        lower=max(least, 0.0) * (1.0 - share) * (1.0 - gamma_n(4)) if share < 1.0 else 0.0,
        upper=floor_bound(mdp, behavior, cap, values, where),
        occupancy=occupancy.reshape(mdp.rewards.shape),
        values=values,
    )


def floor_bound(
    mdp: MDP, behavior: Float64[np.ndarray, "S A"], cap: float, values: Float64[np.ndarray, " S"], where: Support
) -> float:
    """The upper bound (M E_D[g_+] - (1 - gamma) mu0 . V) / E_D[g_-] on the floor, rounded up; it holds for every V."""
    law = behavior.ravel()[np.flatnonzero(where.pairs)]
    values = np.where(where.states, values, 0.0)
    drop, rounding, gain = value_drop(mdp, values, where)
    above = cap * math.fsum(law * (np.maximum(drop, 0.0) + rounding)) * (1.0 + gamma_n(8))
    below = math.fsum(law * np.maximum(-drop - rounding, 0.0)) * (1.0 - gamma_n(8))
    room = above - gain + 2.0 * UNIT_ROUNDOFF * (above + abs(gain))
    return max(room, 0.0) / below * (1.0 + gamma_n(4)) if below > 0.0 else math.inf
