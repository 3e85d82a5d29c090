"""The loss whose minimiser is the value of a generator: E[f*(z) - z], z = (q - v) / beta (FD-03, GUM-01, JS-23).

Where the loss is stationary the ratios `(f*)'(z)` have mean one, so the minimiser is `beta nu` of the relaxed problem
with `q` as its advantage. Clipping belongs into the generator: `Capped(KL(), e^c)` continues the Gumbel loss beyond
`z = c` by its tangent (GUM-04), without a second division by beta.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from reference.divergence import Divergence
from reference.rounding import UNIT_ROUNDOFF
from reference.weights import optimal_weights

__all__ = ["FittedValue", "fitted_value", "value_loss", "value_loss_slope"]


class FittedValue(NamedTuple):
    """The minimiser `v` of a value loss, and how far it can be off."""

    value: float
    error: float


def value_loss(
    q: Float64[np.ndarray, " N"],
    v: float,
    behavior: Float64[np.ndarray, " N"],
    beta: float,
    divergence: Divergence,
) -> float:
    """E_D[f*(z) - z] at `v`, in units of beta; infinite where some z lies at or beyond the generator's pole (FD-03).

    `behavior` `(N,)`: the law D, not necessarily normalised; entries without mass are left out.
    """
    z, law = _arguments(q, v, behavior, beta)
    if float(z.max()) >= divergence.supremum:
        return math.inf
    return math.fsum(law * (np.asarray(divergence.conjugate(z)) - z)) / math.fsum(law)


def value_loss_slope(
    q: Float64[np.ndarray, " N"],
    v: float,
    behavior: Float64[np.ndarray, " N"],
    beta: float,
    divergence: Divergence,
) -> float:
    """The derivative of `value_loss` by `v`, (1 - E_D[(f*)'(z)]) / beta; minus infinity where the loss is infinite."""
    z, law = _arguments(q, v, behavior, beta)
    if float(z.max()) >= divergence.supremum:
        return -math.inf
    return math.fsum(law * (1.0 - np.asarray(divergence.ratio(z)))) / math.fsum(law) / beta


def fitted_value(
    q: Float64[np.ndarray, " N"],
    behavior: Float64[np.ndarray, " N"],
    beta: float,
    divergence: Divergence,
) -> FittedValue:
    """The `v` at which the loss is least: beta nu, with the error of nu (JS-04) and of the product.

    ValueError as in `optimal_weights`.
    """
    found = optimal_weights(q, behavior, beta, divergence)
    value = beta * found.multiplier
    error = beta * found.multiplier_error * (1.0 + 2.0 * UNIT_ROUNDOFF) + math.ulp(value)
    return FittedValue(value, error)


def _arguments(
    q: Float64[np.ndarray, " N"], v: float, behavior: Float64[np.ndarray, " N"], beta: float
) -> tuple[np.ndarray, np.ndarray]:
    """z and the law, where there is any."""
    if not (math.isfinite(v) and math.isfinite(beta) and beta > 0.0):
        raise ValueError(f"expected a finite v and a beta > 0, saw v = {v!r}, beta = {beta!r}")
    if not (np.all(np.isfinite(behavior)) and np.all(behavior >= 0.0) and np.any(behavior > 0.0)):
        raise ValueError("behavior: expected finite masses >= 0, at least one of them positive")
    support = behavior > 0.0
    if not np.all(np.isfinite(q[support])):
        raise ValueError("q: expected finite values wherever behavior has mass")
    return (q[support] - v) / beta, behavior[support]
