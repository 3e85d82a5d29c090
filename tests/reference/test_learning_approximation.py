"""Stochastic approximation and gradient descent against their exact errors (C6)."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
import tolerances_learning
from hypothesis import given
from hypothesis import strategies as st
from tolerances import FALSE_ALARM

from reference.learning import (
    LeastSquares,
    StepSizes,
    constant,
    descend,
    descent_moments,
    linear_mean_square,
    rescaled_linear,
    robbins_monro,
    subgaussian_envelope,
)
from reference.rounding import gamma_n

RUNS = 4000


def normal(deviations: np.ndarray):
    """Independent normal noise whose standard deviation depends on the step."""
    return lambda rng, k, w: deviations[k - 1] * rng.standard_normal(w.shape)


def test_noise_condition_of_the_notes_is_not_enough(row):
    """RL-12: variance k^2 is finite at every step, and the iterates have variance (k + 1)(2 k + 1) / (6 k)."""
    steps = 30
    _, square = linear_mean_square(1.0, np.arange(1, steps + 1) ** 2.0, StepSizes(), 0.0)
    exact = np.array([float(Fraction((k + 1) * (2 * k + 1), 6 * k)) for k in range(1, steps + 1)])
    row("RL-12", "variance of the counterexample", np.abs(square[1:] - exact) / exact, gamma_n(6 * steps),
        f"gamma_{6 * steps}: six roundings of a sum of nonnegative terms for each step")  # fmt: skip
    iterates = robbins_monro(lambda w: w, normal(np.arange(1.0, steps + 1)), StepSizes(), 0.0, steps, RUNS,
                             np.random.default_rng(1))  # fmt: skip
    low, high, reason = tolerances_learning.normal_squares(RUNS, steps)
    seen = (iterates[1:] ** 2).mean(axis=1) / exact
    centre, radius = 0.5 * (low + high), 0.5 * (high - low)
    row("RL-12", "sampled variance of the counterexample", np.abs(seen - centre), radius, reason)


@pytest.mark.parametrize("sizes", [StepSizes(), StepSizes(1.0, 0.75), constant(0.25), StepSizes(2.0, 1.0, 3.0)])
def test_linear_mean_square(row, sizes):
    """Normal noise: the error is normal with the exact mean and variance, at every step and for every schedule."""
    steps, slope, start = 40, 0.5, 3.0
    iterates = robbins_monro(lambda w: slope * (w - 1.0), normal(np.ones(steps)), sizes, 1.0 + start, steps, RUNS,
                             np.random.default_rng(2))  # fmt: skip
    mean, square = linear_mean_square(slope, np.ones(steps), sizes, start)
    scaled = (iterates[1:] - 1.0 - mean[1:, None]) / np.sqrt(square[1:] - mean[1:] ** 2)[:, None]
    low, high, reason = tolerances_learning.normal_squares(RUNS, 4 * steps)
    seen = (scaled**2).mean(axis=1)
    row("RL-12", "variance of linear Robbins-Monro", np.abs(seen - 0.5 * (low + high)), 0.5 * (high - low), reason)
    # RUNS times the squared mean of standard normals is a squared standard normal.
    _, most, reason = tolerances_learning.normal_squares(1, 4 * steps)
    row("RL-12", "mean of linear Robbins-Monro", RUNS * scaled.mean(axis=1) ** 2, most, reason)


@pytest.mark.parametrize("sizes", [StepSizes(0.5), StepSizes(0.5, 0.75), rescaled_linear(0.5)])
def test_bounded_slopes_converge(row, sizes):
    """RL-12 and RL-13: slopes in [1/2, 3/2], noise within one: every run, at every step, within the proven bound."""
    steps, runs = 2000, 50
    g = lambda w: w + 0.5 * np.sin(w)  # noqa: E731
    iterates = robbins_monro(g, lambda rng, k, w: rng.integers(0, 2, w.shape) * 2.0 - 1.0, sizes, 2.0, steps, runs,
                             np.random.default_rng(3))  # fmt: skip
    bound = subgaussian_envelope(0.5, 1.5, 1.0, sizes, 2.0, steps, FALSE_ALARM / (runs * (steps + 1)))
    row("RL-13", "nonlinear Robbins-Monro", np.abs(iterates).max(axis=1)[1:], bound[1:],
        f"sub-Gaussian bound, {runs} runs of {steps} steps, false alarm {FALSE_ALARM:g} in all")  # fmt: skip
    row.exact("RL-13", "the bound shrinks below the start", bool(bound[-1] < 2.0), f"it is {bound[-1]}")


def test_conditions_of_convergence(row):
    """RL-13: without a bound on the slope, or with summable steps, even noiseless iterates miss the root."""
    still = lambda rng, k, w: np.zeros_like(w)  # noqa: E731
    rng = np.random.default_rng(0)
    cubic = robbins_monro(lambda w: w**3, still, StepSizes(), 3.0, 8, 1, rng)[:, 0]
    row.exact("RL-13", "the cubic diverges", cubic[:3].tolist() == [3.0, -24.0, 6888.0], f"saw {cubic[:3]}")
    row.exact("RL-13", "and leaves the floats", not np.isfinite(cubic[-1]), f"saw {cubic}")
    steps = 200
    summable = robbins_monro(lambda w: w, still, StepSizes(0.5, 2.0), 1.0, steps, 1, rng)[-1, 0]
    # prod (1 - x^2 / k^2) = sin(pi x) / (pi x), here at x^2 = 1/2; what is missing is below sum 1/(2 k^2) past the end.
    exact = np.sin(np.pi * np.sqrt(0.5)) / (np.pi * np.sqrt(0.5))
    row("RL-13", "summable steps leave a factor for ever", abs(summable - exact), exact / steps + gamma_n(4 * steps),
        "Euler's product for the sine, cut after the steps made")  # fmt: skip
    held = [StepSizes(1.0, p).robbins_monro for p in (0.0, 0.5, 0.75, 1.0, 2.0)]
    row.exact("RL-13", "powers that meet the conditions", held == [False, False, True, True, False], f"saw {held}")
    slopes = [(0.0, 1.0), (2.0, 1.0), (1.0, np.inf), (1.0, np.nan)]
    for (lowest, highest), failure in [*((each, 0.1) for each in slopes), ((1.0, 1.0), 0.0), ((1.0, 1.0), 1.0)]:
        with pytest.raises(ValueError, match="expected 0 < lowest <= highest < inf and 0 < failure < 1"):
            subgaussian_envelope(lowest, highest, 1.0, StepSizes(), 1.0, 3, failure)


def problem(rng, size=3, dimension=2):
    return LeastSquares(rng.integers(-3, 4, (size, dimension)) + np.eye(size, dimension) * 8.0,
                        rng.integers(-3, 4, size).astype(np.float64))  # fmt: skip


@given(st.integers(0, 2**32 - 1), st.sampled_from([(1, 3), (2, 2), (3, 1)]))
def test_moments_of_descent(row, seed, shape):
    """Every sequence of batches enumerated: the exact moments are their averages, nothing sampled (RL-14)."""
    batch, steps = shape
    data = problem(np.random.default_rng(seed))
    sizes, start = StepSizes(1.0 / 128.0, 0.5), np.array([1.0, -2.0])
    mean, second = descent_moments(data, batch, sizes, start, steps)
    errors = []
    for chosen in itertools.product(range(3), repeat=batch * steps):
        w = start[None]
        for k, indices in enumerate(np.array(chosen).reshape(steps, 1, batch), start=1):
            w = w - sizes(k) * data.gradient(w, indices)
        errors.append(w[0] - data.minimiser)
    errors = np.array(errors)
    # Features are below 12 and iterates below 8 of the start's and the minimiser's size, through the steps.
    size = float(np.abs(errors).max() + np.abs(start).max() + np.abs(data.minimiser).max())
    roundings = 60 * steps + len(errors)
    bound, reason = gamma_n(roundings) * 16.0 * size, f"gamma_{roundings} of the enumeration and of the recursion"
    row("RL-14", "mean error of mini-batch descent", np.abs(errors.mean(axis=0) - mean[-1]), bound, reason)
    seen = errors.T @ errors / len(errors)
    row("RL-14", "its second moment", np.abs(seen - second[-1]), bound * 16.0 * size, reason)


def test_batch_sizes(row):
    """One datum has the covariance of the gradient, b of them 1/b of it, all of them none (RL-14)."""
    data = problem(np.random.default_rng(5), 6, 2)
    start = data.minimiser + np.array([1.0, 2.0])
    spread = []
    for batch in (1, 2, 8, None):
        mean, second = descent_moments(data, batch, constant(1.0), start, 1)
        spread.append(second[1] - np.outer(mean[1], mean[1]))
    size = float(np.abs(spread[0]).max() + np.abs(mean[1]).max() ** 2)
    bound, reason = gamma_n(64) * size, "gamma_64 of the second moment"
    for batch, covariance in zip((1, 2, 8), spread, strict=False):
        row("RL-14", "covariance of a mini-batch", np.abs(covariance - spread[0] / batch), bound, reason)
    row("RL-14", "covariance of the whole batch", np.abs(spread[-1]), bound, reason)


def test_running_mean(row):
    """x = 1, a_k = 1/k: the k-th iterate is the mean of the data drawn so far, and the rate is Bernstein's (RL-14)."""
    labels = np.array([0.0, 1.0, 1.0, 0.0, 0.5])
    data = LeastSquares(np.ones((5, 1)), labels)
    steps, runs = 3000, 20
    iterates = descend(data, 1, StepSizes(), np.array([7.0]), steps, runs, np.random.default_rng(4))
    drawn = labels[np.random.default_rng(4).integers(5, size=(runs, 1))[:, 0]]
    row(
        "RL-14", "the first step forgets the start", np.abs(iterates[1, :, 0] - drawn), 16.0 * 2.0**-53, "two roundings"
    )
    bound, reason = tolerances_learning.mean_of(steps, labels.var(), 1.0, runs)
    row("RL-14", "stochastic gradient descent", np.abs(iterates[-1, :, 0] - labels.mean()),
        bound + 8.0 * steps * gamma_n(4), f"{reason}, and rounding of the steps")  # fmt: skip
    mean, second = descent_moments(data, 1, StepSizes(), np.array([7.0]), 10)
    exact = labels.var() / np.arange(1, 11)
    row("RL-14", "variance of a running mean", np.abs(second[1:, 0, 0] - exact), gamma_n(2000), "gamma_2000: ten steps")
    row("RL-14", "bias of a running mean", np.abs(mean[1:, 0]), gamma_n(2000), "gamma_2000: ten steps")


def test_whole_batch_is_gradient_descent(row):
    """Without a batch every replication is the same, and converges geometrically (RL-14)."""
    data = problem(np.random.default_rng(6), 5, 2)
    step = 1.0 / float(np.linalg.eigvalsh(data.hessian)[-1])
    iterates = descend(data, None, constant(step), np.zeros(2), 40, 2, np.random.default_rng(0))
    row.exact("RL-14", "nothing random", bool((iterates[:, 0] == iterates[:, 1]).all()), "replications differ")
    rate = 1.0 - step * float(np.linalg.eigvalsh(data.hessian)[0])
    size = np.linalg.norm(data.minimiser)
    slack, reason = tolerances_learning.linear_system(5, np.linalg.cond(data.features) ** 2, size)
    row("RL-14", "geometric convergence", np.linalg.norm(iterates[:, 0] - data.minimiser, axis=1),
        rate ** np.arange(41) * size + 40.0 * slack, f"(1 - a lambda)^k, and {reason} at each step")  # fmt: skip


def test_errors():
    with pytest.raises(ValueError, match="rank 1"):
        LeastSquares(np.ones((3, 2)), np.zeros(3))
    with pytest.raises(ValueError, match="batch is 0"):
        descend(LeastSquares(np.ones((1, 1)), np.zeros(1)), 0, StepSizes(), np.zeros(1), 1, 1, np.random.default_rng(0))
    for wrong in ({"scale": 0.0}, {"power": -1.0}, {"offset": -1.0}, {"scale": np.inf}):
        with pytest.raises(ValueError, match="expected finite"):
            StepSizes(**wrong)
    with pytest.raises(ValueError, match="modulus"):
        rescaled_linear(1.0)
