"""Runs of the literal update law: in balls until beta is clipped, and exactly where the clip decides."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from flint import arb, fmpq

from proofs import balls, literal
from proofs.ess import samples
from proofs.ess.samples import BOUNDS, SUGGESTED
from proofs.exact import LogNumber

Exponent = Callable[[Any, Any, Any], Any]
BITS = 192


@dataclasses.dataclass(frozen=True)
class Orbit:
    """A run of the literal loop in balls: the states (hatE, beta), and whether the last beta is exactly a bound."""

    states: tuple[tuple[arb, arb], ...]
    latched: bool

    @property
    def steps(self) -> int:
        """How many iterations were made."""
        return len(self.states) - 1


def run(
    size: Callable[[arb], arb],
    start: Any,
    target: Any,
    exponent: Exponent,
    bounds: tuple[fmpq, fmpq] = BOUNDS,
    limit: int = 400,
) -> Orbit:
    """The literal loop from beta = `start`, hatE = ESS(start), until beta is clipped or `limit` iterations are made."""
    low, high = balls.ball(bounds[0]), balls.ball(bounds[1])
    states = [(size(balls.ball(start)), balls.ball(start))]
    while len(states) <= limit:
        states.append(advance(size, states[-1], target, exponent, (low, high)))
        if is_bound(states[-1][1], (low, high)):
            return Orbit(tuple(states), True)
    return Orbit(tuple(states), False)


def advance(size: Any, state: tuple[arb, arb], target: Any, exponent: Exponent, bounds: Any) -> tuple[arb, arb]:
    """One iteration of the literal loop at the suggested rate and smoothing, in balls."""
    return literal.adaptive_beta(
        state[0],
        state[1],
        size,
        target=balls.ball(target),
        eta=balls.ball(SUGGESTED["eta"]),
        rho=balls.ball(SUGGESTED["rho"]),
        bounds=bounds,
        exponent=exponent,
    )


def is_bound(beta: arb, bounds: tuple[arb, arb]) -> bool:
    """Whether a beta is a bound itself and not merely next to it: a clipped ball is the bound, digit for digit."""
    return any(beta.mid() == end.mid() and beta.rad() == end.rad() for end in bounds)


def batch(errors: Sequence[LogNumber]) -> Callable[[arb], arb]:
    """ESS of exp(delta/beta) on a batch, in balls."""
    values = [balls.ball(delta) for delta in errors]
    return lambda beta: literal.batch_effective_sample_size(values, beta)


def certainly_monotone(values: Sequence[arb], upward: bool) -> bool:
    """Whether balls certainly increase (or decrease) from each to the next."""
    return all(bool(a < b) if upward else bool(b < a) for a, b in itertools.pairwise(values))


@functools.cache
def gaussian_runs(exponent: Exponent) -> tuple[str, bool]:
    """n = 256, target 128: starts 3% below and above beta*, and at 1; a description, and whether each latched."""
    with balls.precision(BITS):
        middle = balls.root(lambda beta: 128 - samples.gaussian_size(beta, 256), 1, fmpq(4, 3), 96)
        found, latched = [f"β*={balls.short(middle, 5)}"], True
        starts = {"0.97β*": fmpq(97, 100) * middle, "1.03β*": fmpq(103, 100) * middle, "1": balls.ball(1)}
        for name, start in starts.items():
            orbit = run(lambda beta: samples.gaussian_size(beta, 256), start, 128, exponent, limit=200)
            end = orbit.states[-1][1]
            size = samples.gaussian_size(end, 256)
            found.append(
                f"from {name}: β={balls.short(end, 3)}, ESS={balls.short(size, 4)} after {orbit.steps} iterations"
            )
            latched &= orbit.latched
    return "; ".join(found), latched


FOUR = tuple(LogNumber.log(q) for q in (1, 4, 64))
"""TD errors whose weights are rational at beta = 1/2, 1 and 2."""

CRASHES = {"T above ESS(1)": fmpq(3, 2), "T below ESS(1)": fmpq(101, 100)}


def exact_iteration(estimate: fmpq, beta: fmpq, target: fmpq, exponent: Exponent) -> tuple[fmpq, fmpq]:
    """One iteration on FOUR with eta = 5, rho = 1/20 and bounds 1/2 and 2, exact where the clip decides beta.

    ValueError where it does not, because exp(exponent) is irrational.
    """
    size = literal.effective_sample_size([(delta / beta).exp() for delta in FOUR])
    estimate = literal.smoothed_size(estimate, size, SUGGESTED["rho"])
    free = LogNumber.log(beta) + exponent(estimate, target, fmpq(5))
    for bound, beyond in ((fmpq(1, 2), free <= -LogNumber.log(2)), (fmpq(2), free >= LogNumber.log(2))):
        if beyond:
            return estimate, bound
    raise ValueError(f"β e^x lies between the bounds for β={beta}, Ê={estimate}")


def hitting_bound(distance: LogNumber, eta: fmpq, excess: fmpq) -> int:
    """The smallest integer of at least distance / (eta excess), exactly."""
    quotient = distance / (eta * excess)
    steps = int(float(quotient.ball().mid()))
    while quotient > steps:
        steps += 1
    while quotient <= steps - 1:
        steps -= 1
    return steps
