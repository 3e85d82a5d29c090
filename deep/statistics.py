"""Statistics of scores: interquartile means, performance profiles, probability of improvement, bootstrap intervals.

The definitions are those of Agarwal, Schwarzer, Castro, Courville and Bellemare, "Deep reinforcement learning at the
edge of the statistical precipice", NeurIPS 2021, and of the library rliable that goes with it. The scores of one
algorithm are a sequence of M arrays, one for each task, of the scores of its N_m runs there: the *strata*. Every
statistic below reduces the first axis of each stratum, so that it serves the scores themselves, (N_m,), and all of
their resamples at once, (N_m, R).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

CONFIDENCE = 0.95
RESAMPLES = 2000

Strata = Sequence[Float64[np.ndarray, "_ ..."]]
Statistic = Callable[[Strata], Any]


class Interval(NamedTuple):
    """A point estimate and the ends of its confidence interval."""

    estimate: float
    low: float
    high: float


class Band(NamedTuple):
    """An interval at each of T thresholds."""

    estimate: Float64[np.ndarray, " T"]
    low: Float64[np.ndarray, " T"]
    high: Float64[np.ndarray, " T"]


def interquartile_mean(values: Float64[np.ndarray, "N ..."]) -> Float64[np.ndarray, "..."]:
    """Mean of what is left when the lowest and the highest floor(N/4) values of the first axis are cut off.

    A number of values that four does not divide is rounded to fewer values cut, never split (as by
    ``scipy.stats.trim_mean``, which rliable calls): three values have their mean, five the mean of the middle three.
    """
    ordered = np.sort(values, axis=0)
    cut = ordered.shape[0] // 4
    return np.asarray(ordered[cut : ordered.shape[0] - cut].mean(axis=0))


def aggregate_iqm(scores: Strata) -> np.ndarray:
    """Interquartile mean of all runs of all tasks together."""
    return interquartile_mean(np.concatenate(list(scores)))


def aggregate_mean(scores: Strata) -> np.ndarray:
    """Mean over the tasks of the mean over each task's runs."""
    return np.asarray(np.mean([task.mean(axis=0) for task in scores], axis=0))


def aggregate_median(scores: Strata) -> np.ndarray:
    """Median over the tasks of the mean over each task's runs."""
    return np.asarray(np.median([task.mean(axis=0) for task in scores], axis=0))


def optimality_gap(scores: Strata, target: float = 1.0) -> np.ndarray:
    """By how much the scores miss ``target`` on average, those above it counting as ``target``; every task the same."""
    return np.asarray(target - np.mean([np.minimum(task, target).mean(axis=0) for task in scores], axis=0))


def performance_profile(scores: Strata, thresholds: ArrayLike) -> np.ndarray:
    """Fraction of runs with a score above each of T thresholds, averaged over the tasks: (T, ...).

    The run-score distribution of the paper, 1 minus the distribution function: P(score > threshold).
    """
    return np.stack(
        [np.mean([(task > one).mean(axis=0) for task in scores], axis=0) for one in np.atleast_1d(thresholds)]
    )


def probability_of_improvement(scores: Strata, others: Strata) -> np.ndarray:
    """P(X > Y) + P(X = Y)/2 for a run X of ``scores`` and a run Y of ``others`` on the same task, averaged over tasks.

    On each task it is the Mann-Whitney statistic U / (N_x N_y). ValueError unless both have the same number of tasks.
    """
    chances = []
    for x, y in zip(scores, others, strict=True):
        above, equal = x[:, None] > y[None], x[:, None] == y[None]
        chances.append((above + 0.5 * equal).mean(axis=(0, 1)))
    return np.asarray(np.mean(chances, axis=0))


def bootstrap(
    values: Float64[np.ndarray, " N"],
    statistic: Callable[[Any], np.ndarray] = interquartile_mean,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap of ``statistic`` over N values; with one value the interval is that value.

    ``statistic`` reduces the first axis. Deterministic: the resampling has a seed of its own.
    """
    return stratified_bootstrap([values], lambda strata: statistic(strata[0]), confidence, seed)


def stratified_bootstrap(
    scores: Strata, statistic: Statistic, confidence: float = CONFIDENCE, seed: int = 0
) -> Interval:
    """Percentile bootstrap: the runs of each task are resampled among themselves, tasks are not.

    Two algorithms are compared by the strata of both, one after the other, and a ``statistic`` that takes them apart:
    they are then resampled independently of each other. Deterministic.

    From few runs such an interval is too narrow: for the mean of N normal scores of one task it covers with probability
    of about P(abs(t) < 1.96 sqrt(1 - 1/N)), t of N - 1 degrees of freedom: 75 % for 3 runs, 85 % for 5, 90 % for 10.
    """
    estimate, low, high = _percentiles(scores, statistic, confidence, seed)
    return Interval(float(estimate), float(low), float(high))


def stratified_band(scores: Strata, statistic: Statistic, confidence: float = CONFIDENCE, seed: int = 0) -> Band:
    """:func:`stratified_bootstrap` of a statistic with T values; each has an interval of its own."""
    return Band(*_percentiles(scores, statistic, confidence, seed))


def _percentiles(scores: Strata, statistic: Statistic, confidence: float, seed: int) -> tuple[Any, Any, Any]:
    strata = [np.asarray(task, np.float64) for task in scores]
    for task in strata or [np.empty(0)]:
        if task.ndim != 1 or task.size == 0:
            raise ValueError(f"bootstrap: expected one-dimensional arrays with at least one value, saw {task.shape}")
    generator = np.random.default_rng(seed)
    resampled = statistic([task[generator.integers(task.size, size=(task.size, RESAMPLES))] for task in strata])
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(resampled, [tail, 100.0 - tail], axis=-1)
    return statistic(strata), low, high
