"""The flow problem as a cone program (cvxpy with Clarabel), and the two-sided certificate around its answer.

The solver is independent of `proofs.occ.flow`: it sees the primal and the flow equations only. Its d becomes a rational
policy, hence an exactly feasible occupancy and a lower bound; its multipliers of the flow equations become a rational V
and an upper bound. Where it is right to 1e-9, so are the bounds.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

from flint import fmpq

from proofs import balls
from proofs.evidence import Answer
from proofs.exact import Process, rational
from proofs.occ.flow import FlowProblem, Optimum, bounds


@dataclasses.dataclass(frozen=True)
class Solved:
    """Clarabel's answer: the bounds that it proves, its d and V as they came, and its flow residual."""

    certificate: Optimum
    raw: tuple[fmpq, ...]
    values: tuple[fmpq, ...]
    flow_residual: float

    def decides(self, value: Any, name: str) -> Answer:
        """Whether `value` lies within the enclosure of the optimum; false when it certainly does not."""
        value = balls.ball(value)
        low, high = self.certificate.lower, self.certificate.upper
        width = (high - low).upper().str(2, radius=False)
        shown = f"{name} {balls.short(value)} in [{balls.short(low)}, {balls.short(high)}], gap {width}"
        if not value.is_finite() or value < low or value > high:
            return Answer(False, shown.replace(" in ", " outside "))
        return Answer(True if value >= low and value <= high else None, shown)

    def distance(self, occupancy: Sequence[Any]) -> float:
        """The largest difference between Clarabel's d and another."""
        return max(
            float(abs(balls.ball(ours) - balls.ball(theirs)).upper())
            for ours, theirs in zip(occupancy, self.raw, strict=True)
        )


def number(value: Any) -> float:
    """A rational as the nearest float."""
    return float(value.p) / float(value.q)


def flow_matrix(process: Process) -> list[list[float]]:
    """E - gamma P transposed: one row of the flow equations for each state."""
    return [
        [(1.0 if s == t else 0.0) - number(process.discount * process.transitions[s][a][t]) for s, a in process.pairs]
        for t in range(process.n_states)
    ]


def solve(problem: FlowProblem) -> Solved:
    """Clarabel on the flow problem."""
    return _solve(problem)


@functools.lru_cache(maxsize=64)
def _solve(problem: FlowProblem) -> Solved:
    import cvxpy
    import numpy as np

    process = problem.process
    masses = np.array([number(m) for m in problem.law])
    rewards = np.array([number(rational(process.rewards[s][a])) for s, a in process.pairs])
    ratio: Any = cvxpy.Variable(len(masses), nonneg=True)
    unknown = cvxpy.multiply(masses, ratio)
    start = np.array([number((1 - process.discount) * m) for m in process.initial])
    constraints: list[Any] = [np.array(flow_matrix(process)) @ unknown == start]
    if problem.generator.cap is not None:
        constraints.append(ratio <= number(problem.generator.cap))
    penalty = cvxpy.sum(cvxpy.multiply(masses, problem.generator.cone(ratio)))
    program: Any = cvxpy.Problem(cvxpy.Maximize(rewards @ unknown - number(problem.beta) * penalty), constraints)
    program.solve(solver=cvxpy.CLARABEL, tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10)
    if program.status not in (cvxpy.OPTIMAL, cvxpy.OPTIMAL_INACCURATE):
        raise RuntimeError(f"Clarabel ended with status {program.status!r} on {problem.generator.name}")
    raw = tuple(max(rational(float(x)), fmpq(0)) * m for x, m in zip(ratio.value, problem.law, strict=True))
    values = problem.shifted_inside([rational(float(v)) for v in constraints[0].dual_value])
    residual = max(abs(number(r)) for r in problem.residual(raw))
    return Solved(bounds(problem, values, raw), raw, values, residual)
