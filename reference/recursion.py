"""Weights that are refreshed a little at a time: the additive average, which has the right fixed point (PRI-02).

The multiplicative update of the public ROER code is a replicator: it rests on the best entries alone (PRI-01), and is
not offered.
"""

import numpy as np
from jaxtyping import Float64

__all__ = ["additive", "additive_after"]


def additive(
    weights: Float64[np.ndarray, " N"], ratio: Float64[np.ndarray, " N"], rate: float
) -> Float64[np.ndarray, " N"]:
    """One refresh: (1 - rate) weights + rate ratio, with `ratio` of mean one (PRI-02).

    Its only fixed point is `ratio`, approached by the factor 1 - rate exactly; the mean of the weights goes to one by
    the same factor. ValueError unless 0 < rate <= 1.
    """
    _check(rate)
    return (1.0 - rate) * weights + rate * ratio


def additive_after(
    weights: Float64[np.ndarray, " N"], ratio: Float64[np.ndarray, " N"], rate: float, updates: int
) -> Float64[np.ndarray, " N"]:
    """The same after `updates` refreshes towards one `ratio`: ratio + (1 - rate)^updates (weights - ratio)."""
    _check(rate)
    if updates < 0:
        raise ValueError(f"expected updates >= 0, saw {updates}")
    return ratio + (1.0 - rate) ** updates * (weights - ratio)


def _check(rate: float) -> None:
    if not 0.0 < rate <= 1.0:
        raise ValueError(f"expected a rate in (0, 1], saw {rate!r}")
