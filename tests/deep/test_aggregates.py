"""Aggregates over tasks and runs against enumeration in rational numbers; intervals against the law they sample."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from deep import statistics
from deep.statistics import RESAMPLES, Interval
from reference.rounding import gamma_n

SCORES = st.lists(st.lists(st.integers(-20, 20), min_size=1, max_size=7), min_size=1, max_size=4)


def arrays(tasks):
    return [np.array(task, np.float64) for task in tasks]


def mean(values) -> Fraction:
    values = list(values)
    return Fraction(sum(values), 1) / len(values)


def rounding(tasks) -> float:
    """Sums over the runs of a task, over tasks, and two divisions, of numbers no larger than the largest score."""
    terms = sum(map(len, tasks)) + len(tasks) + 4
    return gamma_n(terms) * (1 + max(abs(score) for task in tasks for score in task))


@given(SCORES)
def test_aggregates_are_those_of_the_definition(row, tasks):
    scores = arrays(tasks)
    pooled = sorted(score for task in tasks for score in task)
    cut = len(pooled) // 4
    means = sorted(mean(task) for task in tasks)
    middle = means[(len(means) - 1) // 2 : len(means) // 2 + 1]
    expected = {
        "IQM": (statistics.aggregate_iqm(scores), mean(pooled[cut : len(pooled) - cut])),
        "mean": (statistics.aggregate_mean(scores), mean(means)),
        "median": (statistics.aggregate_median(scores), mean(middle)),
        "optimality gap": (
            statistics.optimality_gap(scores, 5.0),
            5 - mean(mean(min(score, 5) for score in task) for task in tasks),
        ),
    }
    for name, (seen, exact) in expected.items():
        row("STAT-AGG", name, abs(Fraction(float(seen)) - exact), rounding([*tasks, [5]]), "sums and divisions")


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=60))
def test_the_interquartile_mean_is_scipys_trimmed_mean(row, values):
    """What rliable calls; the number of values need not be a multiple of four."""
    scores = np.array(values, np.float64)
    seen, theirs = statistics.interquartile_mean(scores), scipy.stats.trim_mean(scores, 0.25)
    row("STAT-IQM", "scipy's trimmed mean", abs(seen - theirs), 2 * rounding([values]), "two sums in another order")


@given(SCORES, st.lists(st.integers(-21, 21), min_size=1, max_size=5))
def test_profiles_count_runs_above_a_threshold(row, tasks, thresholds):
    seen = statistics.performance_profile(arrays(tasks), thresholds)
    exact = [mean(mean(int(score > one) for score in task) for task in tasks) for one in thresholds]
    error = [abs(Fraction(float(ours)) - theirs) for ours, theirs in zip(seen, exact, strict=True)]
    row("STAT-PROFILE", "fraction of runs above", np.array(error, float), rounding([*tasks, [1]]), "sums and divisions")


@given(SCORES, st.data())
def test_the_probability_of_improvement_is_mann_whitneys_u(row, tasks, data):
    runs = st.lists(st.integers(-20, 20), min_size=1, max_size=7)
    others = [data.draw(runs) for _ in tasks]
    seen = statistics.probability_of_improvement(arrays(tasks), arrays(others))
    chances = [
        mean(Fraction(int(a > b)) + Fraction(int(a == b), 2) for a, b in product(x, y))
        for x, y in zip(tasks, others, strict=True)
    ]
    pairs = [[1] * (len(x) * len(y)) for x, y in zip(tasks, others, strict=True)]
    row("STAT-PI", "P(X > Y) + P(X = Y)/2", abs(Fraction(float(seen)) - mean(chances)), rounding(pairs), "sums")
    statistic = [
        scipy.stats.mannwhitneyu(x, y, method="asymptotic").statistic / (len(x) * len(y))
        for x, y in zip(tasks, others, strict=True)
        if len({*x, *y}) > 1
    ]
    if len(statistic) == len(tasks):
        row("STAT-PI", "Mann-Whitney U / (m n)", abs(seen - np.mean(statistic)), 2 * rounding(pairs), "sums, twice")
    opposite = statistics.probability_of_improvement(arrays(others), arrays(tasks))
    row(
        "STAT-PI", "both directions make one", abs(seen + opposite - 1), 2 * rounding(pairs) + gamma_n(2), "ties halved"
    )


def test_only_equal_tasks_are_compared():
    with pytest.raises(ValueError, match="zip"):
        statistics.probability_of_improvement(arrays([[1], [2]]), arrays([[1]]))


def atoms(law: np.ndarray, values: np.ndarray) -> tuple[float, float, float]:
    """The 2.5 % and 97.5 % quantiles of a discrete law, and the chance that RESAMPLES draws from it show another.

    The end of an interval is another atom only if the number of draws below the quantile, or up to it, strays across
    the order statistics between which the percentile lies.
    """
    distribution = np.cumsum(law)
    low, high = np.searchsorted(distribution, [0.025, 0.975])
    below = distribution[low - 1] if low else 0.0
    above = distribution[high - 1] if high else 0.0
    end = 0.025 * RESAMPLES
    miss = binom.sf(end - 2, RESAMPLES, below) + binom.cdf(end + 2, RESAMPLES, distribution[low])
    miss += binom.sf(RESAMPLES - end - 2, RESAMPLES, above) + binom.cdf(
        RESAMPLES - end + 2, RESAMPLES, distribution[high]
    )
    return float(values[low]), float(values[high]), float(miss)


STATED = 1e-7  # chance that a right implementation with another seed fails; a property of the examples below


def test_runs_are_resampled_within_their_task(row):
    """Two tasks of different level: the mean's law is a convolution, narrow; resampled together it would be wide."""
    easy, hard = np.repeat([0.0, 1.0], [3, 2]), np.repeat([100.0, 101.0], [2, 3])
    seen = statistics.stratified_bootstrap([easy, hard], statistics.aggregate_mean)
    counts = np.convolve(binom.pmf(np.arange(6), 5, 2 / 5), binom.pmf(np.arange(6), 5, 3 / 5))
    low, high, miss = atoms(counts, (100 + np.arange(11) / 5) / 2)
    expected = Interval((100 + 5 / 5) / 2, low, high)
    error = np.abs(np.array(seen) - expected)
    row("STAT-CI", "interval of two tasks' mean", error, gamma_n(40) * 200, "exact law of the resampled mean")
    row("STAT-CI", "chance that a right bootstrap fails here", miss, STATED, "stated false alarm")


def test_two_algorithms_are_resampled_apart(row):
    """The difference of two means has the law of independent resampling; resampled in step it would be constant."""
    one = np.repeat([0.0, 1.0], [3, 2])
    seen = statistics.stratified_bootstrap([one, one], lambda s: s[0].mean(axis=0) - s[1].mean(axis=0))
    law = binom.pmf(np.arange(6), 5, 2 / 5)
    low, high, miss = atoms(np.convolve(law, law[::-1]), (np.arange(11) - 5) / 5)
    error = np.abs(np.array(seen) - (0.0, low, high))
    row("STAT-CI", "interval of a difference", error, gamma_n(40), "exact law of the difference")
    row("STAT-CI", "chance that a right bootstrap fails here", miss, STATED, "stated false alarm")


def test_an_interval_covers_as_often_as_it_must(row):
    """Twelve coin tosses: the percentile interval of the mean holds 1/2 for 3 to 9 heads, so with chance 0.9614.

    The number of heads decides the sample, so coverage is a finite sum over the thirteen samples.
    """
    tosses, covered, exact, miss = 12, 0.0, 0.0, 0.0
    for heads in range(tosses + 1):
        interval = statistics.bootstrap(np.repeat([0.0, 1.0], [tosses - heads, heads]), lambda v: v.mean(axis=0))
        chance = binom.pmf(heads, tosses, 0.5)
        covered += chance * (interval.low <= 0.5 <= interval.high)
        law = binom(tosses, heads / tosses)
        exact += chance * (law.ppf(0.025) <= tosses / 2 <= law.ppf(0.975))
        for tail in (law.cdf(tosses / 2), law.sf(tosses / 2 - 1)):
            end = 0.025 * RESAMPLES
            miss += binom.sf(end - 2, RESAMPLES, tail) if tail < 0.025 else binom.cdf(end + 2, RESAMPLES, tail)
    row("STAT-CI", "coverage of a known mean", abs(covered - exact), gamma_n(2 * tosses), "a sum of thirteen chances")
    row("STAT-CI", "chance that a right bootstrap fails here", miss, STATED, "stated false alarm")
    row("STAT-CI", "the exact coverage is 3938/4096", abs(exact - 3938 / 4096), gamma_n(30), "binomial numbers")


def test_a_band_is_an_interval_at_each_threshold():
    scores = arrays([[0.0, 1.0, 2.0, 3.0], [1.0, 2.0, 2.0, 5.0]])
    thresholds = np.array([-1.0, 0.5, 1.5, 5.0])
    band = statistics.stratified_band(scores, lambda s: statistics.performance_profile(s, thresholds))
    for at, one in enumerate(thresholds):
        single = statistics.stratified_bootstrap(scores, lambda s, t=one: statistics.performance_profile(s, t)[0])
        assert (band.estimate[at], band.low[at], band.high[at]) == single
    assert band.estimate.tolist() == [1.0, 0.875, 0.625, 0.0]


@pytest.mark.parametrize("strata", [[], [np.zeros((2, 2))], [np.zeros(3), np.zeros(0)]])
def test_strata_that_are_none(strata):
    with pytest.raises(ValueError, match="expected one-dimensional arrays with at least one value"):
        statistics.stratified_bootstrap(strata, statistics.aggregate_mean)
