"""Numbers to draw: a formula of the ledger, evaluated in ball arithmetic, rounded once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from jaxtyping import Float64

from proofs import balls

#: Enough for formulas that lose a few digits; a figure shows three.
_BITS = 128


def values(formula: Callable[[Any], Any], points: Iterable[float]) -> Float64[np.ndarray, " n"]:
    """formula(x) at each x; nan where the balls cannot tell."""
    with balls.precision(_BITS):
        return np.array([float(balls.ball(formula(balls.ball(float(x)))).mid()) for x in points])


def floats(numbers: Iterable[Any]) -> Float64[np.ndarray, " n"]:
    """Exact numbers or balls, rounded once."""
    with balls.precision(_BITS):
        return np.array([float(balls.ball(x).mid()) for x in numbers])
