"""The flow problem side by side with a conic solver, in one run: `python tests/benchmarks/flow.py [--large]`.

Prints Markdown. Both sides get the same arrays; the time of cvxpy includes building its program, the time of
`regularized_occupancy` includes its certificate. Both values are compared with the dual at our values in extended
precision (64 bits): the dual is flat there, so what those lack counts squared. It lies in the certified enclosure, or
the row says so. Nothing is asserted: read ratios, not seconds. Needs cvxpy and clarabel (`pip install cvxpy clarabel`).
"""

from __future__ import annotations

import argparse
import math
import resource
import time
import warnings
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from scipy import sparse

from reference.divergence import KL, Divergence, JensenShannon
from reference.library import garnet, gridworld
from reference.mdp import MDP
from reference.regularized import RegularizedOccupancy, regularized_occupancy

T = TypeVar("T")


def random_law(mdp: MDP) -> np.ndarray:
    """Independent uniform weights on the available pairs."""
    law = np.random.default_rng(0).random(mdp.rewards.shape) * mdp.available
    return law / law.sum()


def conic_value(mdp: MDP, law: np.ndarray, beta: float, divergence: Divergence) -> tuple[float, str]:
    """The optimal value by Clarabel, and its status."""
    import cvxpy

    entries, data = cvxpy.Variable(law.size, nonneg=True), law.ravel()
    pairs = sparse.csr_array(
        (np.ones(law.size), (np.arange(law.size) // mdp.n_actions, np.arange(law.size))),
        shape=(mdp.n_states, law.size),
    )
    balance = sparse.csr_array(pairs - mdp.discount * sparse.csr_array(mdp.matrix).T)
    if divergence.name == "kl":
        price = cvxpy.sum(cvxpy.kl_div(entries, data))
    else:
        middle = (entries + data) / 2.0
        price = cvxpy.sum(cvxpy.rel_entr(entries, middle)) + cvxpy.sum(cvxpy.rel_entr(data, middle))
    goal = cvxpy.Maximize(mdp.rewards.ravel() @ entries - beta * price)
    problem = cvxpy.Problem(goal, [balance @ entries == (1.0 - mdp.discount) * mdp.initial])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            problem.solve(solver=cvxpy.CLARABEL)
        except cvxpy.error.SolverError:
            return math.nan, "failed"
    return float(problem.value), str(problem.status)


def timed(call: Callable[[], T], repetitions: int) -> tuple[T, float]:
    """The result and the shortest of several times."""
    best = math.inf
    for _ in range(repetitions):
        start = time.perf_counter()
        result = call()
        best = min(best, time.perf_counter() - start)
    return result, best


def extended_dual(mdp: MDP, law: np.ndarray, found: RegularizedOccupancy) -> np.longdouble:
    """(1 - gamma) mu0 . V + beta E_D f*(delta_V / beta) with 64 bits, at the values found (OCC-01)."""
    wide = np.longdouble
    matrix, values, discount = sparse.csr_array(mdp.matrix), found.values.astype(wide), wide(mdp.discount)
    following = np.add.reduceat(matrix.data.astype(wide) * values[matrix.indices], matrix.indptr[:-1])
    delta = mdp.rewards.ravel().astype(wide) + discount * following - np.repeat(values, mdp.n_actions)
    argument = delta / wide(found.beta)
    conjugate = np.expm1(argument) if found.divergence.name == "kl" else -np.log(2.0 - np.exp(argument))
    start = (1.0 - discount) * (mdp.initial.astype(wide) @ values)
    return start + wide(found.beta) * (law.ravel().astype(wide) @ conjugate)


def digits(value: float, truth: np.longdouble) -> float:
    """Correct decimal digits; NaN where a solver failed."""
    error = abs(np.longdouble(value) - truth)
    return math.inf if error == 0.0 else float(-np.log10(error / abs(truth)))


def against_conic(mdp: MDP, name: str, betas: list[float], divergences: list[Divergence]) -> None:
    """One row for each temperature and generator, both solvers one after the other."""
    law = random_law(mdp)
    for divergence in divergences:
        for beta in betas:
            found, ours = timed(lambda d=divergence, b=beta: regularized_occupancy(mdp, law, b, d), 3)
            (value, status), theirs = timed(lambda d=divergence, b=beta: conic_value(mdp, law, b, d), 1)
            relative, truth = found.gap / abs(found.dual), extended_dual(mdp, law, found)
            outside = "" if found.primal <= truth <= found.dual else " (OUTSIDE the enclosure)"
            print(
                f"| {name} | {divergence.name} | {beta:g} | {ours:.3f} | {found.iterations} | {relative:.0e} | "
                f"{digits(found.value, truth):.1f}{outside} | {theirs:.2f} | {digits(value, truth):.1f} ({status}) | "
                f"{theirs / ours:.0f} |",
                flush=True,
            )


def alone(mdp: MDP, name: str, betas: list[float], divergences: list[Divergence]) -> None:
    """Sizes that the conic solver does not reach in reasonable time; the peak is that of the process so far."""
    law = random_law(mdp)
    for divergence in divergences:
        for beta in betas:
            found, ours = timed(lambda d=divergence, b=beta: regularized_occupancy(mdp, law, b, d), 1)
            relative = found.gap / abs(found.dual)
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
            print(
                f"| {name} | {divergence.name} | {beta:g} | {ours:.2f} | {found.iterations} | {relative:.0e} | "
                f"{memory:.0f} | {found.method} |",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--large", action="store_true", help="also S*A = 1e5 and a grid of 4e4 pairs, without peer")
    arguments = parser.parse_args()
    print("| instance | f | beta | ours s | steps | gap / value | our digits | Clarabel s | its digits | ratio |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    warm = garnet(5, 2, 2, seed=0)
    conic_value(warm, random_law(warm), 1.0, KL())  # imports and first calls count for neither side
    small = garnet(200, 4, 5, seed=0, sparse_rows=True)
    against_conic(small, "200 x 4", [1.0, 0.1, 0.01], [KL(), JensenShannon()])
    against_conic(garnet(2500, 4, 5, seed=0, sparse_rows=True), "2500 x 4", [1.0, 0.1, 0.01], [KL(), JensenShannon()])
    against_conic(garnet(1000, 10, 5, seed=0, sparse_rows=True), "1000 x 10", [0.1], [KL(), JensenShannon()])
    grid = gridworld(50, 50, 0.99, slip=0.1)
    against_conic(grid, "grid 50 x 50", [0.1], [KL(), JensenShannon()])
    if arguments.large:
        print("\n| instance | f | beta | ours s | steps | gap / value | peak MB | method |")
        print("|---|---|---|---|---|---|---|---|")
        big = garnet(25_000, 4, 5, seed=0, sparse_rows=True)
        alone(big, "25000 x 4", [1.0, 0.1, 0.01], [KL(), JensenShannon()])
        alone(gridworld(100, 100, 0.99, slip=0.1), "grid 100 x 100", [1.0, 0.1, 0.01], [KL(), JensenShannon()])


if __name__ == "__main__":
    main()
