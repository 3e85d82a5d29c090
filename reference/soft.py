"""Maximum-entropy planning: the soft optimal values and their Boltzmann policy (SAC-01, SAC-06).

    q* = r + gamma P v*,   v*(s) = alpha log sum_a exp(q*(s, a) / alpha),   pi*(a | s) = exp((q*(s, a) - v*(s)) / alpha)

over the available actions: the optimum of `E sum gamma^t (r - alpha log pi)` (Haarnoja et al. 2018). It lies between
the hard optimum and that plus `alpha log A / (1 - gamma)`.
"""

from dataclasses import dataclass

from reference import certify
from reference.bellman import boltzmann, soft_maximum
from reference.checks import check_temperature
from reference.fixed_point import Operator, check_stopping, newton_iteration, solution, value_iteration
from reference.mdp import MDP
from reference.planning import POLICY_ITERATION_STATES
from reference.solution import Solution


def soft_operator(alpha: float) -> Operator:
    """The soft Bellman operator at temperature `alpha`."""
    check_temperature(alpha)
    return Operator(
        lambda q: soft_maximum(q, alpha),
        lambda q: boltzmann(q, alpha),
        lambda mdp, deviation, offset: certify.soft_bounds(mdp, deviation, alpha, offset),
        lambda mdp, deviation, offset: certify.soft_radius(mdp, deviation, alpha, offset),
    )


@dataclass(frozen=True)
class SoftValueIteration:
    """Soft value iteration modulo constants, stopped on a certified bound (SAC-06)."""

    alpha: float
    tolerance: float = 1e-8
    max_iterations: int = 1_000_000

    def solve(self, mdp: MDP) -> Solution:
        """Soft optimal values. Raises `ValueError` for a temperature, tolerance or limit that means nothing."""
        operator = soft_operator(self.alpha)
        check_stopping(self.tolerance, self.max_iterations)
        found, status, iterations = value_iteration(mdp, operator, self.tolerance, self.max_iterations)
        return solution(operator, mdp, found, status, iterations, self.tolerance, "soft value iteration")


@dataclass(frozen=True)
class SoftPolicyIteration:
    """Soft policy iteration: evaluate the policy with its entropy, then take the Boltzmann policy of its `q` (SAC-06).

    It is run as what it is, Newton's method on the soft Bellman equation (`fixed_point.newton_iteration`).
    """

    alpha: float
    tolerance: float = 1e-8
    max_iterations: int = 10_000

    def solve(self, mdp: MDP) -> Solution:
        """Soft optimal values. Raises `ValueError` for a temperature, tolerance or limit that means nothing."""
        operator = soft_operator(self.alpha)
        check_stopping(self.tolerance, self.max_iterations)
        found, status, iterations = newton_iteration(mdp, operator, self.tolerance, self.max_iterations)
        return solution(operator, mdp, found, status, iterations, self.tolerance, "soft policy iteration")


def solve_soft(mdp: MDP, alpha: float, tolerance: float = 1e-8) -> Solution:
    """Soft optimal values and the Boltzmann policy at temperature `alpha > 0`, to a certified error of `tolerance`.

    Soft policy iteration up to 1000 states and soft value iteration above; `Solution.solver` says which ran.
    """
    small = mdp.n_states <= POLICY_ITERATION_STATES
    solver = SoftPolicyIteration(alpha, tolerance) if small else SoftValueIteration(alpha, tolerance)
    return solver.solve(mdp)
