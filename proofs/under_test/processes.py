"""Comparisons with what `reference` computes on decision processes: values, optima, stationary laws, occupancies.

As in `proofs.under_test` the data is dyadic, so that the floats handed to `reference` are exactly the numbers that the
rationals are about. Each bound is the one that `reference` states itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flint import fmpq

from proofs import balls
from proofs.evidence import Answer
from proofs.exact import Process, rational
from proofs.under_test.data import shielded


def _dyadic_process() -> tuple[Process, Any]:
    """Three states, two actions, discount 3/4 and a policy, all of them exactly floats."""
    rows = (((1, 2, 1), (4, 0, 0)), ((0, 1, 3), (2, 2, 0)), ((1, 0, 3), (0, 4, 0)))
    transitions = tuple(tuple(tuple(fmpq(mass, 4) for mass in row) for row in actions) for actions in rows)
    rewards = tuple(tuple(fmpq(r, 4) for r in row) for row in ((3, -8), (0, 5), (-6, 1)))
    policy = tuple(tuple(fmpq(p, 8) for p in row) for row in ((5, 3), (1, 7), (4, 4)))
    return Process(transitions, rewards, fmpq(3, 4), (fmpq(1, 2), fmpq(1, 4), fmpq(1, 4))), policy


def _floats(nested: Any) -> Any:
    import numpy as np

    return np.vectorize(lambda value: int(value.p) / int(value.q), otypes=[float])(np.array(nested, dtype=object))


def _mdp(process: Process) -> Any:
    from reference.mdp import MDP

    return MDP(
        _floats(process.transitions),
        _floats(process.rewards),
        float(_floats(process.discount)),
        _floats(process.initial),
    )


def _within(seen: Any, exact: Any, bound: Any, what: str) -> Answer:
    worst = max(abs(rational(float(x)) - y) for x, y in zip(seen, exact, strict=True))
    shown = balls.short(balls.ball(worst), 2)
    return Answer(bool(worst <= rational(bound)), f"{what}: largest error {shown}, bound {float(bound):.1e}")


@shielded
def policy_values() -> Answer:
    """Whether `reference.evaluation.evaluate_policy` is as close to the exact values as its own bound says."""
    from reference.evaluation import evaluate_policy

    process, policy = _dyadic_process()
    found = evaluate_policy(_mdp(process), _floats(policy))
    return _within(found.values, process.values(policy), found.error_bound, "policy values")


@shielded
def optimal_values(solver: str, exact: Callable[[Process], Any]) -> Answer:
    """Whether a solver of `reference.planning` is as close to the exact optimal values as its own bound says."""
    from reference import planning

    process, _ = _dyadic_process()
    found = getattr(planning, solver)().solve(_mdp(process))
    return _within(found.values, exact(process), found.error_bound, solver)


@shielded
def bellman_operator(exact: Callable[[Process, Any], Any]) -> Answer:
    """Whether `reference.bellman.bellman_optimality` is exact on dyadic data small enough that nothing is rounded."""
    from reference.bellman import bellman_optimality

    process, _ = _dyadic_process()
    values = (fmpq(5, 2), fmpq(-1), fmpq(7, 4))
    return _within(bellman_optimality(_mdp(process), _floats(values)), exact(process, values), 0.0, "T v")


@shielded
def stationary_law(exact: Callable[[Process, Any], Any]) -> Answer:
    """Whether `reference.occupancy.stationary_distribution` has a relative error of a few roundings.

    Elimination without subtractions (O'Cinneide 1993): under 2 n^3 roundings for n states.
    """
    from reference.occupancy import stationary_distribution

    process, policy = _dyadic_process()
    bound = 2 * process.n_states**3 * 2.0**-53
    return _within(
        stationary_distribution(_mdp(process), _floats(policy)), exact(process, policy), bound, "stationary law"
    )


@shielded
def occupancy() -> Answer:
    """Whether `reference.occupancy.occupancy_measure` is as close to the exact occupancy as its own bound says."""
    from reference.occupancy import occupancy_bound, occupancy_measure

    process, policy = _dyadic_process()
    mdp, pi = _mdp(process), _floats(policy)
    found = occupancy_measure(mdp, pi)
    exact = process.occupancy(policy)
    return _within(found.ravel(), [exact[pair] for pair in process.pairs], occupancy_bound(mdp, pi, found), "occupancy")
