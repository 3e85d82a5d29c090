"""Value iteration and Newton's method, once for every Bellman optimality operator.

What the hard and the soft problem do not share is an `Operator`: how a state sums up its actions, which policy that
makes, and how a result is certified. Values travel as `offset + deviation` (`reference.certify`).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from reference import certify
from reference.certify import Bounds
from reference.evaluation import linear_solver
from reference.mdp import MDP
from reference.solution import Solution, Status


class Operator(NamedTuple):
    """A Bellman optimality operator on `q`."""

    reduce: Callable[[np.ndarray], np.ndarray]  # (S, A) -> (S,): maximum or soft maximum
    policy: Callable[[np.ndarray], np.ndarray]  # (S, A) -> (S, A): what attains it
    certify: Callable[[MDP, np.ndarray, float], Bounds]
    radius: Callable[[MDP, np.ndarray, float], float]  # what rounding can do to one backup


class Iterate(NamedTuple):
    """Where an iteration ended: values `offset + deviation`, certified."""

    offset: float
    deviation: Float64[np.ndarray, " S"]
    bounds: Bounds


def check_stopping(tolerance: float, max_iterations: int) -> None:
    """Raise `ValueError` for a tolerance or an iteration limit that means nothing."""
    if not (np.isfinite(tolerance) and tolerance > 0.0):
        raise ValueError(f"tolerance is {tolerance!r}: expected a finite number > 0.")
    if max_iterations < 1:
        raise ValueError(f"max_iterations is {max_iterations!r}: expected at least 1.")


def certified(mdp: MDP, operator: Operator, offset: float, deviation: Float64[np.ndarray, " S"]) -> Iterate:
    """Certify, move by the constant that halves the bound, certify again; keep the better."""
    first = Iterate(offset, deviation, operator.certify(mdp, deviation, offset))
    moved = offset + first.bounds.centre
    second = Iterate(moved, deviation, operator.certify(mdp, deviation, moved))
    return min(first, second, key=lambda iterate: iterate.bounds.error)


def value_iteration(mdp: MDP, operator: Operator, tolerance: float, max_iterations: int) -> tuple[Iterate, Status, int]:
    """Value iteration modulo constants: stop on the span, shift to MacQueen's midrange (Puterman 1994, 6.6).

    The residual `T v - v` shrinks in span by `gamma rho` or more in every exact step, so a span that has not halved in
    the number of steps in which that halves it, or one within the rounding bound of a backup, is made of rounding.
    """
    discount = mdp.discount
    rate = discount * (1.0 + mdp.largest_defect)
    patience = 2 + (math.ceil(math.log(2.0) / -math.log(rate)) if rate > 0.5 else 1)
    offset, deviation = 0.0, np.zeros(mdp.n_states)
    target = 0.5 * tolerance  # the other half is left to rounding
    milestone, since = np.inf, 0
    for iteration in range(1, max_iterations + 1):
        backed_up = operator.reduce(certify.lookahead(mdp, deviation, offset))
        residual = backed_up - deviation
        low, high = float(residual.min()), float(residual.max())
        middle = 0.5 * float(backed_up.min()) + 0.5 * float(backed_up.max())
        deviation = backed_up - middle
        # The shift belongs inside: with it, what row sums miss of one acts on the right common part from early on.
        offset += middle + discount / (1.0 - discount) * (0.5 * low + 0.5 * high)
        span = high - low
        if 0.5 * span * discount / (1.0 - discount) <= target:
            found = certified(mdp, operator, offset, deviation)
            if found.bounds.error <= tolerance:
                return found, Status.CONVERGED, iteration
            target *= 0.5
        floor = iteration - since > patience
        if span <= 0.5 * milestone:
            milestone, since = span, iteration
            floor = span <= operator.radius(mdp, deviation, offset)
        if floor:
            return certified(mdp, operator, offset, deviation), Status.ROUNDING_FLOOR, iteration
    return certified(mdp, operator, offset, deviation), Status.MAX_ITERATIONS, max_iterations


def newton_iteration(
    mdp: MDP, operator: Operator, tolerance: float, max_iterations: int
) -> tuple[Iterate, Status, int]:
    """Newton's method for a convex smooth operator: `v + (I - gamma P_pi)^-1 (T v - v)`, with `pi` its policy at `v`.

    This is policy iteration, the value of `pi`, in a form in which the rounding of `pi` enters only times `T v - v`.
    """
    offset, deviation, iterations = 0.0, np.zeros(mdp.n_states), 0
    status = Status.MAX_ITERATIONS
    while iterations < max_iterations:
        local = certify.lookahead(mdp, deviation, offset)
        residual = operator.reduce(local) - deviation
        step = linear_solver(mdp, operator.policy(local))(residual)
        moved, deviation, _ = certify.split(deviation + step)
        offset += moved
        iterations += 1
        if certified(mdp, operator, offset, deviation).bounds.error <= tolerance:
            status = Status.CONVERGED
            break
        # After the first, exact steps lower no value: one that lowers as much as it raises is made of rounding.
        lowers = iterations > 1 and float(step.min()) <= -float(step.max())
        if lowers or float(np.abs(residual).max()) <= operator.radius(mdp, deviation, offset):
            status = Status.ROUNDING_FLOOR
            break
    return certified(mdp, operator, offset, deviation), status, iterations


def solution(
    operator: Operator, mdp: MDP, found: Iterate, status: Status, iterations: int, tolerance: float, solver: str,
    policy: Float64[np.ndarray, "S A"] | None = None,
) -> Solution:  # fmt: skip
    """The `Solution` of a run; its status is decided by the certificate alone."""
    values, error_bound = certify.join(found.offset, found.deviation, found.bounds)
    if error_bound <= tolerance:
        status = Status.CONVERGED
    elif status is Status.CONVERGED:
        status = Status.ROUNDING_FLOOR
    q = found.offset + certify.lookahead(mdp, found.deviation, found.offset)
    policy = operator.policy(q - found.offset) if policy is None else policy
    return Solution(values, q, policy, error_bound, status, iterations, solver, found.offset, found.deviation)
