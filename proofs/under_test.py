"""Comparisons with `reference` as the thing under test: shown beside a claim, and no part of its verdict.

The inputs are dyadic, so that the floats handed to `reference` are exactly the numbers that the balls are about.
`reference` is imported inside the functions and whatever it raises becomes an answer, so that no verdict hangs on it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from flint import fmpq

from proofs import balls, conic
from proofs.divergences import Generator, Law
from proofs.evidence import Answer
from proofs.exact import rational

_ADVANTAGE = (0.0, 0.5, -1.25, 2.0)
_BEHAVIOR = (0.125, 0.5, 0.25, 0.125)
_BETA = 0.5


def _law() -> Law:
    return Law(tuple(rational(mass) for mass in _BEHAVIOR), tuple(rational(a) / rational(_BETA) for a in _ADVANTAGE))


def _shielded(comparison: Callable[..., Answer]) -> Callable[..., Answer]:
    """A comparison whose exceptions are answers: the implementation under test then does not agree."""

    @functools.wraps(comparison)
    def compare(*arguments: Any, **options: Any) -> Answer:
        try:
            return comparison(*arguments, **options)
        except Exception as problem:
            return Answer(False, f"{type(problem).__name__}: {problem}")

    return compare


@_shielded
def relaxed_weights(generator: Generator, divergence: str, bracket: Any, cap: float | None = None) -> Answer:
    """Whether `reference.weights.optimal_weights` is as close to the exact weights as its own error bound says.

    The exact multiplier is enclosed by bisection on `bracket(law)`.
    """
    from reference.divergence import divergence_from_name
    from reference.weights import optimal_weights

    law = _law()
    low, high = bracket(law)
    nu = conic.multiplier(law, generator.ratio, low, high, 200)
    theirs = optimal_weights(_ADVANTAGE, _BEHAVIOR, _BETA, divergence_from_name(divergence, cap))
    with balls.precision(256):
        exact = [generator.ratio(balls.ball(z) - nu) for z in law.z]
        errors = [abs(w - balls.ball(float(t))) for w, t in zip(exact, theirs.weights, strict=True)]
        bound = balls.ball(theirs.weights_error)
        holds = all(error <= bound for error in errors)
        worst = max(float(error.upper()) for error in errors)
    return Answer(holds, f"largest error {worst:.1e}, its own bound {theirs.weights_error:.1e}")


@_shielded
def gumbel_value() -> Answer:
    """Whether `reference.conditional.gumbel_value` is the rounded exact soft value.

    The bound counts its roundings: n + 6 units of the value and of the largest |q|.
    """
    import numpy as np

    from reference.conditional import gumbel_value as theirs

    law = _law()
    seen = float(np.ravel(theirs(np.array([_ADVANTAGE]), np.array([_BEHAVIOR]), _BETA))[0])
    with balls.precision(256):
        exact = balls.ball(_BETA) * balls.ball(law.expect([balls.ball(z).exp() for z in law.z])).log()
        error = abs(exact - balls.ball(seen))
        unit = fmpq(1, 2**53)
        bound = (len(_ADVANTAGE) + 6) * unit * (max(abs(rational(a)) for a in _ADVANTAGE) + balls.ball(abs(seen)))
        return Answer(bool(error <= bound), f"error {balls.short(error.upper(), 2)}, bound {balls.short(bound, 2)}")
