"""What the generators promise, as `(bound, reason)` like the bounds of `tolerances`."""

from __future__ import annotations

import numpy as np
from tolerances import SMALLEST, Bound, divergence_accuracy

from reference.divergence import Divergence
from reference.rounding import UNIT_ROUNDOFF


def forward(generator: Divergence, true: float) -> Bound:
    """Functions of the ratio: relative `accuracy`, and one underflow."""
    return generator.accuracy * abs(true) + 2.0 * SMALLEST, "relative accuracy that the generator states"


def backward(generator: Divergence, argument: float, true: float, slope: float) -> Bound:
    """Functions of the argument: `accuracy` of the value at an argument within a relative `argument_accuracy`.

    `slope` is that of the function at `argument`; doubled for second order.
    """
    moved = 2.0 * generator.argument_accuracy * abs(argument) * abs(slope)
    return forward(generator, true)[0] + moved, "accuracy of the value and of the argument that the generator states"


def inverse(generator: Divergence, ratio: float, slope: float) -> Bound:
    """(f*)'(f'(w)) against w: an error in the slope moves w by the curvature times that.

    Slopes next to a pole are rounded to units of the pole.
    """
    pole = generator.supremum if np.isfinite(generator.supremum) else 0.0
    error = divergence_accuracy(slope)[0] + generator.argument_accuracy * abs(slope) + 2.0 * UNIT_ROUNDOFF * pole
    bound = 2.0 * forward(generator, ratio)[0] + float(generator.curvature(ratio)) * float(error)
    return bound, "accuracy of both functions; an error of the slope times the curvature"


def closed(size: float) -> Bound:
    """A certificate of the relaxed problem on data of moderate size: what the toolkit promises, 1e-12 of it."""
    return 1e-12 * size, "certificates close to 1e-12 of the data"
