"""Optimal planning: value iteration, policy iteration, and a `solve` that chooses.

Every solver returns values with a certified error bound and a policy that is greedy for them. A policy greedy for `v`
with `||v - v*|| <= e` loses at most `2 gamma e / (1 - gamma)` (RL-34).
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from reference import certify
from reference.bellman import greedy
from reference.evaluation import evaluate
from reference.fixed_point import Operator, certified, check_stopping, solution, value_iteration
from reference.mdp import MDP
from reference.solution import Solution, Status

MAXIMUM = Operator(lambda q: q.max(axis=1), greedy, certify.optimality_bounds, certify.lookahead_radius)

# Up to here one factorisation per improvement is cheaper than the sweeps it saves (LAPACK; SuperLU at worst fills in).
POLICY_ITERATION_STATES = 1000


@runtime_checkable
class Solver(Protocol):
    """Anything that turns an MDP into a certified `Solution`."""

    def solve(self, mdp: MDP) -> Solution:
        """Solve `mdp`."""
        ...


@dataclass(frozen=True)
class ValueIteration:
    """Value iteration modulo constants (Puterman 1994, section 6.6; RL-06).

    * `tolerance`: the certified sup-norm error to reach.
    * `max_iterations`: sweeps after which to stop, with a status that says so.
    """

    tolerance: float = 1e-8
    max_iterations: int = 1_000_000

    def solve(self, mdp: MDP) -> Solution:
        """Optimal values of `mdp`. Raises `ValueError` for a tolerance or limit that means nothing."""
        check_stopping(self.tolerance, self.max_iterations)
        found, status, iterations = value_iteration(mdp, MAXIMUM, self.tolerance, self.max_iterations)
        return solution(MAXIMUM, mdp, found, status, iterations, self.tolerance, "value iteration")


@dataclass(frozen=True)
class PolicyIteration:
    """Howard's policy iteration (1960; Puterman 1994, section 6.4; RL-08) with exact linear solves.

    A state keeps its action unless another gains more than rounding can explain, so ties cannot make it cycle. Exact
    policy iteration never meets a policy twice; meeting one again is rounding as well, and ends the run.
    """

    tolerance: float = 1e-8
    max_iterations: int = 10_000

    def solve(self, mdp: MDP) -> Solution:
        """Optimal values of `mdp`. Raises `ValueError` for a tolerance or limit that means nothing."""
        check_stopping(self.tolerance, self.max_iterations)
        states = np.arange(mdp.n_states)
        policy = greedy(np.where(mdp.available, mdp.rewards, -np.inf))
        seen: set[bytes] = set()
        iterations = 0
        while True:
            now = evaluate(mdp, policy)
            iterations += 1
            seen.add(policy.tobytes())
            # Exact evaluation leaves no residual, an exact backup no radius: differences of this size mean nothing.
            noise = 2.0 * certify.lookahead_radius(mdp, now.deviation, now.offset) + float(np.ptp(now.residual))
            current = now.local[states, policy.argmax(axis=1)]
            improved = np.where((now.local.max(axis=1) - current > noise)[:, None], greedy(now.local), policy)
            if improved.tobytes() in seen:
                status = Status.CONVERGED
                break
            if iterations == self.max_iterations:
                status = Status.MAX_ITERATIONS
                break
            policy = improved
        found = certified(mdp, MAXIMUM, now.offset, now.deviation)
        return solution(MAXIMUM, mdp, found, status, iterations, self.tolerance, "policy iteration", policy)


def solve(mdp: MDP, solver: Solver | None = None, tolerance: float = 1e-8) -> Solution:
    """Optimal values and policy of `mdp`, to a certified sup-norm error of `tolerance`.

    Without a `solver`, policy iteration up to 1000 states and value iteration above; `Solution.solver` says which ran.
    A `solver` brings its own tolerance. A tolerance below what rounding allows is no error: the solution then carries
    the bound that holds, and its status says so.
    """
    if solver is None:
        small = mdp.n_states <= POLICY_ITERATION_STATES
        solver = PolicyIteration(tolerance) if small else ValueIteration(tolerance)
    return solver.solve(mdp)
