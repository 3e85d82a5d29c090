"""What can be proved about a solution, whatever produced it: its error, an interval for every state, the best actions.

One float64 pass with every rounding bounded (`reference.certify`) serves any size; the rational optimum
(`reference.exact`) serves small processes, tells ties from near ties, and gives the error itself and not a bound on it.
"""

import math
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

import numpy as np
from jaxtyping import Bool, Float64

from reference import certify as bounds
from reference.exact import ExactSolution, solve_exactly
from reference.mdp import MDP
from reference.rational import RationalMDP
from reference.rounding import UNIT_ROUNDOFF, outward
from reference.solution import Solution

__all__ = ["Certificate", "CertificateKind", "candidate_actions", "certify"]


class CertificateKind(Enum):
    """What a certificate rests on. The value of a member is its message."""

    RIGOROUS_FLOAT = "rigorous: one float64 pass over the model, every rounding bounded"
    EXACT = "exact: rational optimum, every optimality inequality decided"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, eq=False, repr=False)
class Certificate:
    """What is proved about a solution.

    * `error_bound`: true bound on `max |values - optimal values|`; for kind `EXACT`, that very error, rounded up.
    * `lower`, `upper` `(S,)`: the optimal values lie between; neighbouring floats or equal for kind `EXACT`.
    * `candidates` `(S, A)`: the actions not proved suboptimal (action elimination, MacQueen 1967; Puterman 1994,
      section 6.7); for kind `EXACT`, the optimal ones and no others.
    * `exact`: the rational optimum, if asked for.
    """

    error_bound: float
    lower: Float64[np.ndarray, " S"]
    upper: Float64[np.ndarray, " S"]
    candidates: Bool[np.ndarray, "S A"]
    kind: CertificateKind
    exact: ExactSolution | None = None

    @property
    def decided(self) -> Bool[np.ndarray, " S"]:
        """`(S,)`: whether a single action is left, which is then proved to be the only optimal one."""
        return self.candidates.sum(axis=1) == 1

    def __repr__(self) -> str:
        decided, states = int(self.decided.sum()), len(self.lower)
        kind = self.kind.name.lower().replace("_", " ")
        return (
            f"Certificate({kind}, error <= {self.error_bound:.1e}, best action proved in {decided} of {states} states)"
        )


def certify(
    process: MDP | RationalMDP, solution: Solution, exact: bool = False, limit: int | None = None
) -> Certificate:
    """What can be proved about a `solution` of the optimality problem, whatever produced it (RL-06, RL-34).

    Without `exact`, one float64 pass with every rounding bounded; its bounds hold for the floats of an `MDP`. With
    `exact`, the rational optimum by `solve_exactly`, guided by the policy of `solution`; `limit` as there.

    Only `values`, `policy` and, if they are there, `offset` and `deviation` of the solution are read; its own
    `error_bound` is not. ValueError for shapes that do not fit, or rational data without `exact`.
    """
    shape = process.available.shape
    if solution.policy.shape != shape or solution.values.shape != shape[:1]:
        raise ValueError(
            f"the solution has values of shape {solution.values.shape} and a policy of shape {solution.policy.shape}: "
            f"expected {shape[:1]} and {shape}, those of the process. Certify it against the process it solves."
        )
    if exact:
        return _certify_exactly(process, solution, limit)
    if isinstance(process, RationalMDP):
        raise ValueError(
            "float64 bounds hold for floats, and the process has rational data: expected exact=True (or certify "
            "against process.nearest, whose values are others)."
        )
    offset, deviation = solution.offset, solution.deviation
    if deviation is None:
        offset, deviation, _ = bounds.split(solution.values)
    enclosed = bounds.optimality_bounds(process, deviation, offset)
    values, lost = bounds.join(offset, deviation, bounds.Bounds(0.0, 0.0))
    away = lost + outward(float(np.abs(values - solution.values).max()))
    spill = 4.0 * UNIT_ROUNDOFF * (np.abs(values) + abs(enclosed.lower) + abs(enclosed.upper)) + lost
    return Certificate(
        enclosed.widened(away).error,
        (values + enclosed.lower) - spill,
        (values + enclosed.upper) + spill,
        candidate_actions(process, deviation, offset, enclosed),
        CertificateKind.RIGOROUS_FLOAT,
    )


def candidate_actions(
    mdp: MDP, deviation: Float64[np.ndarray, " S"], offset: float, enclosed: bounds.Bounds
) -> Bool[np.ndarray, "S A"]:
    """The actions that `enclosed`, bounds on `v* - offset - deviation`, do not prove to be suboptimal.

    From `v + l <= v* <= v + h` follow `q* <= q_v + gamma rho h` and `v* = T v* >= T v + gamma rho' l`, with the row
    sums that make either weakest. An action whose upper bound is below the lower bound of its state is not optimal.
    """
    local = np.where(mdp.available, bounds.lookahead(mdp, deviation, offset), 0.0)
    if not np.isfinite(enclosed.error) or not np.isfinite(local).all():
        return mdp.available
    rates = [mdp.discount * (1.0 + float(end(mdp.defects))) for end in (np.min, np.max)]
    low, high = min(rate * enclosed.lower for rate in rates), max(rate * enclosed.upper for rate in rates)
    best = np.where(mdp.available, local, -np.inf).max(axis=1, keepdims=True) + low
    slack = 2.0 * bounds.lookahead_radius(mdp, deviation, offset)
    slack += 16.0 * UNIT_ROUNDOFF * (float(np.abs(local).max()) + abs(low) + abs(high))
    return mdp.available & (local + high + slack >= best)


def _certify_exactly(process: MDP | RationalMDP, solution: Solution, limit: int | None) -> Certificate:
    found = solve_exactly(process, solution.policy, limit)
    nearest = found.nearest
    above = [Fraction(float(v)) - exact for v, exact in zip(nearest, found.values, strict=True)]
    lower = np.where([gap > 0 for gap in above], np.nextafter(nearest, -np.inf), nearest)
    upper = np.where([gap < 0 for gap in above], np.nextafter(nearest, np.inf), nearest)
    error = found.error(solution.values)
    rounded = float(error)
    bound = rounded if Fraction(rounded) >= error else math.nextafter(rounded, math.inf)
    return Certificate(bound, lower, upper, found.optimal, CertificateKind.EXACT, found)
