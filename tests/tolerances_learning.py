"""Bounds for sampled learning: rounding of a few updates, and concentration with a stated false alarm."""

from __future__ import annotations

import numpy as np
from tolerances import FALSE_ALARM, Bound

from reference.learning import Task
from reference.rounding import UNIT_ROUNDOFF, gamma_n

# Learners that are compared with a bound of probability one less than this.
FAILURE = FALSE_ALARM


def magnitude(task: Task, table: np.ndarray) -> float:
    """The largest number in a target: a reward and the largest finite entry of a table."""
    finite = np.where(np.isfinite(table), np.abs(table), 0.0)
    return task.mdp.largest_reward + float(finite.max(initial=0.0))


def expected_target(task: Task, table: np.ndarray, steps: int = 1) -> Bound:
    """An expectation over all successors and actions, summed here and as a matrix there.

    A target of `n` rewards and a bootstrap takes `2 n + 4` roundings, its probability `2 n + 1` from entries each of
    which is a sum over actions at most, and there are `(S A)^n` terms; the operator takes as many.
    """
    terms = task.mdp.rewards.size + task.mdp.n_states
    roundings = 2 * steps * (terms + 8)
    size = (steps + 1) * magnitude(task, table)
    return gamma_n(2 * roundings) * size, f"gamma_{2 * roundings} of {steps} rewards and a value: two expectations"


def updates(task: Task, truth: np.ndarray, steps: int, start: float) -> Bound:
    """Roundings of `steps` updates `x + a (target - x)`, six each, none of which is ever made larger.

    An error of the table enters later targets times `gamma` at most, so it at most adds up.
    """
    size = magnitude(task, truth) / (1.0 - task.discount) + abs(start)
    bound = 6.0 * steps * UNIT_ROUNDOFF * 4.0 * size / (1.0 - task.discount)
    return bound, f"six roundings of {steps} updates"


def sampled_law(task: Task, width: float) -> float:
    """How much an expectation may move because uniform numbers have 53 bits and cumulative sums are rounded."""
    successors = task.columns.shape[1] + task.mdp.n_actions
    return successors * (2 * successors + 4) * UNIT_ROUNDOFF * width


def mean_of(samples: int, variance: np.ndarray | float, width: np.ndarray | float, comparisons: int) -> Bound:
    """Bernstein's inequality for the mean of independent numbers of known variance within an interval of `width`."""
    logarithm = np.log(2.0 * comparisons / FALSE_ALARM)
    linear = np.asarray(width) * logarithm / (3.0 * samples)
    bound = linear + np.sqrt(linear**2 + 2.0 * np.asarray(variance) * logarithm / samples)
    return bound, f"Bernstein's inequality, {samples} samples, {comparisons} comparisons, false alarm {FALSE_ALARM:g}"


def normal_squares(samples: int, comparisons: int) -> tuple[float, float, str]:
    """Interval for the mean of `samples` squared standard normals: the exact chi-square law."""
    from scipy.stats import chi2

    share = FALSE_ALARM / comparisons / 2.0
    low, high = chi2.ppf(share, samples) / samples, chi2.isf(share, samples) / samples
    return float(low), float(high), f"chi-square law of {samples} runs, false alarm {FALSE_ALARM:g} in all"


def linear_system(size: int, condition: float, scale: float) -> Bound:
    """A direct solve of `size` unknowns: `3 n gamma_n`-like backward error times the condition number (Higham 2002)."""
    return 3.0 * size * gamma_n(size) * condition * scale, f"backward stable solve of {size} unknowns times condition"


def empirical_mean(sample: np.ndarray, width: float, comparisons: int) -> Bound:
    """Maurer and Pontil (2009), theorem 4: Bernstein's inequality with the sample's own variance, on both sides."""
    count, logarithm = len(sample), np.log(4.0 * comparisons / FALSE_ALARM)
    bound = np.sqrt(2.0 * sample.var(ddof=1) * logarithm / count) + 7.0 * width * logarithm / (3.0 * (count - 1))
    return float(bound), f"empirical Bernstein bound, {count} samples, false alarm {FALSE_ALARM:g} in all"


def median_of_means(samples: int, deviation: np.ndarray | float, comparisons: int) -> tuple[int, Bound]:
    """Into how many groups to split, and how far the median of their means is from a mean of known `deviation`.

    Nemirovsky and Yudin (1983). By Chebyshev's inequality a group is off by `sqrt(8 / n)` deviations with probability
    1/8 at most, and the median only if half of the k groups are: `2^k 8^(-k/2) = 2^(-k/2)`. No bound on the numbers
    themselves is needed.
    """
    groups = int(np.ceil(2.0 * np.log2(comparisons / FALSE_ALARM)))
    bound = np.asarray(deviation) * np.sqrt(8.0 / (samples // groups))
    return groups, (bound, f"median of {groups} means of {samples // groups}, false alarm {FALSE_ALARM:g} in all")


def stake(sample: np.ndarray, level: float, width: float, above: bool) -> float:
    """The logarithm of what a gambler has made of 1 who bets that the mean of numbers in [0, width] is on one side.

    If it is not, his capital is a supermartingale: it reaches `exp(l)` with probability `exp(-l)` at most (Ville 1939;
    Waudby-Smith and Ramdas 2024, J. Royal Statistical Society B 86). `level` must not depend on the sample.
    """
    most = level if above else width - level
    gains = (sample - level) / most if above else (level - sample) / most
    return float(np.log1p(0.75 * gains).sum())
