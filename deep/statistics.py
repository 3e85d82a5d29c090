"""Statistics of returns: the interquartile mean, and bootstrap intervals."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

CONFIDENCE = 0.95
RESAMPLES = 2000


class Interval(NamedTuple):
    """A point estimate and the ends of its confidence interval."""

    estimate: float
    low: float
    high: float


def interquartile_mean(values: Float64[np.ndarray, "N ..."]) -> Float64[np.ndarray, "..."]:
    """Mean of what is left when the lowest and the highest floor(N/4) values of the first axis are cut off."""
    ordered = np.sort(values, axis=0)
    cut = ordered.shape[0] // 4
    return np.asarray(ordered[cut : ordered.shape[0] - cut].mean(axis=0))


def bootstrap(
    values: Float64[np.ndarray, " N"],
    statistic: Callable[..., np.ndarray] = interquartile_mean,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap of ``statistic`` over N values; with one value the interval is that value.

    ``statistic`` reduces the first axis. Deterministic: the resampling has a seed of its own.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"bootstrap: expected a one-dimensional array with at least one value, saw {values.shape}")
    generator = np.random.default_rng(seed)
    resampled = statistic(values[generator.integers(values.size, size=(values.size, RESAMPLES))])
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(resampled, [tail, 100.0 - tail])
    return Interval(float(statistic(values)), float(low), float(high))
