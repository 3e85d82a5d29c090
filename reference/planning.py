"""Optimal planning: value, policy and modified policy iteration, linear programming, and a `solve` that chooses.

Every solver returns values with a certified error bound and a policy that is greedy for them. A policy greedy for `v`
with `||v - v*|| <= e` loses at most `2 gamma e / (1 - gamma)` (RL-34). Which actions are proved not to be optimal
(action elimination) `reference.certificate.certify` says, for the solution of any solver.
"""

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64

from reference import certify
from reference.bellman import greedy
from reference.evaluation import Evaluation, evaluate
from reference.fixed_point import check_stopping
from reference.kernels import best_of, kernels
from reference.linear_program import vertex
from reference.mdp import MDP
from reference.modified import Run, modified_policy_iteration, recentred
from reference.solution import Solution, Status

# Up to here one factorisation per improvement is cheaper than the sweeps it saves: in general, and where gamma is so
# close to one that the number of sweeps, of the order 1 / (1 - gamma) at worst, cannot be foretold.
FEW_STATES = 300
POLICY_ITERATION_STATES = 1000
LONG_HORIZON = 10_000.0


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
        run = modified_policy_iteration(mdp, self.tolerance, self.max_iterations, 1)
        return _solution(run, self.tolerance, "value iteration")


@dataclass(frozen=True)
class ModifiedPolicyIteration:
    """Modified policy iteration modulo constants, the notes' truncated policy iteration (Puterman 1994, 6.5; RL-09).

    * `n`: backups of each policy before it is improved: 1 is value iteration, and the larger, the closer to policy
      iteration. Without it, as many as pay: few while the policy changes, all that it takes once it does not.
    * `tolerance`, `max_iterations`: as for `ValueIteration`; an iteration is one improvement.

    Values converge to the optimum for every `n`; those of the policies on the way need not improve (RL-09).
    """

    tolerance: float = 1e-8
    max_iterations: int = 1_000_000
    n: int | None = None

    def solve(self, mdp: MDP) -> Solution:
        """Optimal values of `mdp`. Raises `ValueError` for a tolerance, limit or `n` that means nothing."""
        check_stopping(self.tolerance, self.max_iterations)
        if self.n is not None and self.n < 1:
            raise ValueError(f"n is {self.n!r}: expected at least 1 backup of each policy, or None to let it choose.")
        run = modified_policy_iteration(mdp, self.tolerance, self.max_iterations, self.n)
        return _solution(run, self.tolerance, "modified policy iteration")


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
        start = greedy(np.where(mdp.available, mdp.rewards, -np.inf))
        policy, now, status, iterations = _improve(mdp, start, self.max_iterations)
        run = _certified(mdp, now.offset, now.deviation, status, iterations)
        return replace(_solution(run, self.tolerance, "policy iteration"), policy=policy)


@dataclass(frozen=True)
class LinearProgram:
    """The linear program `min sum v` over `v >= r + gamma P v`, by HiGHS (Puterman 1994, section 6.9; RL-05).

    Its vertices are the values of deterministic policies, and HiGHS stops within tolerances of its own. So the policy
    of its last vertex is taken, evaluated by a linear solve and improved like in `PolicyIteration` until rounding is
    all that is left; `Solution.reason` says what HiGHS reported and whether there was anything to improve.
    `max_iterations` are those of HiGHS.
    """

    tolerance: float = 1e-8
    max_iterations: int = 1_000_000

    def solve(self, mdp: MDP) -> Solution:
        """Optimal values of `mdp`. Raises `ValueError` as the others, `RuntimeError` with HiGHS's words if it fails."""
        check_stopping(self.tolerance, self.max_iterations)
        found = vertex(mdp, self.max_iterations)
        if found.policy is None:
            run = _certified(mdp, 0.0, np.zeros(mdp.n_states), Status.MAX_ITERATIONS, found.iterations)
            return replace(_solution(run, self.tolerance, "linear program"), reason=found.message)
        policy, now, status, rounds = _improve(mdp, found.policy, PolicyIteration.max_iterations)
        run = _certified(mdp, now.offset, now.deviation, status, found.iterations)
        reason = f"{found.message}; policy improvements after that: {rounds - 1}"
        return replace(_solution(run, self.tolerance, "linear program"), policy=policy, reason=reason)


def solve(mdp: MDP, solver: Solver | None = None, tolerance: float = 1e-8) -> Solution:
    """Optimal values and policy of `mdp`, to a certified sup-norm error of `tolerance`.

    Without a `solver` one is chosen by size, sparsity and discount; `Solution.solver` says which ran, `Solution.reason`
    why. A `solver` brings its own tolerance. A tolerance below what rounding allows is no error: the solution then
    carries the bound that holds, and its status says so.
    """
    if solver is not None:
        return solver.solve(mdp)
    chosen, reason = choose(mdp, tolerance)
    return replace(chosen.solve(mdp), reason=reason)


def choose(mdp: MDP, tolerance: float = 1e-8) -> tuple[Solver, str]:
    """The solver that `solve` takes for `mdp`, and why."""
    states, horizon = mdp.n_states, 1.0 / (1.0 - mdp.discount)
    if states <= FEW_STATES:
        why = f"{states} states (at most {FEW_STATES}): factorising each policy costs less than the sweeps it saves"
        return PolicyIteration(tolerance), why
    if states <= POLICY_ITERATION_STATES and horizon > LONG_HORIZON:
        why = (
            f"horizon 1/(1 - gamma) = {horizon:.1e} (above {LONG_HORIZON:.0e}) may take as many sweeps, and {states} "
            f"states (at most {POLICY_ITERATION_STATES}) can be factorised"
        )
        return PolicyIteration(tolerance), why
    layout, passes = "sparse" if mdp.is_sparse else "dense", kernels(mdp.matrix).name
    why = (
        f"{states} {layout} states: sweeps of one policy at a time cost less than sweeps of all actions or "
        f"factorising; passes by {passes}"
    )
    return ModifiedPolicyIteration(tolerance), why


def _improve(
    mdp: MDP, policy: Float64[np.ndarray, "S A"], max_iterations: int
) -> tuple[Float64[np.ndarray, "S A"], Evaluation, Status, int]:
    """Howard's improvements from `policy` on: the last policy, its values, how it ended, and evaluations it took."""
    states = np.arange(mdp.n_states)
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
            return policy, now, Status.CONVERGED, iterations
        if iterations == max_iterations:
            return policy, now, Status.MAX_ITERATIONS, iterations
        policy = improved


def _certified(mdp: MDP, offset: float, deviation: Float64[np.ndarray, " S"], status: Status, iterations: int) -> Run:
    """The values of any origin as a certified `Run`."""
    return recentred(mdp, Run(offset, deviation, *certify.optimality(mdp, deviation, offset), status, iterations, 0))


def _solution(run: Run, tolerance: float, solver: str) -> Solution:
    """The `Solution` of a run; its status is decided by the certificate alone. Takes the run's `q` over."""
    values, error_bound = certify.join(run.offset, run.deviation, run.bounds)
    status = Status.ROUNDING_FLOOR if run.status is Status.CONVERGED else run.status
    policy = np.zeros_like(run.local)
    policy[np.arange(len(policy)), best_of(run.local).action] = 1.0
    q = run.local
    q += run.offset
    status = Status.CONVERGED if error_bound <= tolerance else status
    return Solution(values, q, policy, error_bound, status, run.iterations, solver, run.offset, run.deviation)
