"""The tanh-Normal: its density, its samples, its mode, and the gradient of the actor's loss through it."""

import math

import mpmath
import numpy as np
import pytest
import running_error as re
import tolerances
from contract import shadow
from contract.compare import EPS, agree, examples
from contract.problems import DTYPE, grids
from contract.shadow import exact
from hypothesis import given
from hypothesis import strategies as st

ROWS, DIMENSIONS = 128, 2
MEANS = (-3.0, -0.5, 0.0, 2.0)
LOG_STDS = (-5.0, -1.0, 0.0, 2.0)


def density(mean, log_std, u) -> re.Rounded:
    """log pi at tanh(u) per dimension, by the stable form, with its running error."""
    m, s, x = exact(mean), exact(log_std), exact(u)
    return shadow.normal_log_prob((x - m) / re.exp(s), s) - shadow.log_tanh_slope(x)


@given(mean=grids(-3, 3), log_std=grids(-4, 2), pre=grids(-20, 20))
def test_log_density(mean, log_std, pre, offered, row):
    """log N(u) - sum log(1 - tanh^2 u), summed over dimensions."""
    m, s, u = mean(ROWS, DIMENSIONS), log_std(ROWS, DIMENSIONS), pre(ROWS, DIMENSIONS)
    agree(
        row, "SAC-14", "tanh-Normal log-density", offered("squashed_log_prob")(m, s, u), density(m, s, u).sum(axis=-1)
    )


def test_log_density_far_out(offered, row):
    """Exact to |u| = 20 against 60-digit arithmetic, where 1 - tanh^2 u is 1.7e-17."""
    u = np.linspace(-20, 20, ROWS).astype(DTYPE)
    with mpmath.workdps(60):
        for mean in MEANS:
            for log_std in LOG_STDS:
                m, s = np.full((ROWS, 1), mean, DTYPE), np.full((ROWS, 1), log_std, DTYPE)
                seen = np.asarray(offered("squashed_log_prob")(m, s, u[:, None]), float)
                bound = density(m, s, u[:, None]).sum(axis=-1).error
                std = mpmath.e ** mpmath.mpf(log_std)
                truth = [
                    -(((mpmath.mpf(float(x)) - mean) / std) ** 2) / 2
                    - log_std
                    - mpmath.log(2 * mpmath.pi) / 2
                    - mpmath.log(1 - mpmath.tanh(mpmath.mpf(float(x))) ** 2)
                    for x in u
                ]
                error = [float(abs(mpmath.mpf(float(a)) - b)) for a, b in zip(seen, truth, strict=True)]
                row(
                    "SAC-14",
                    "tanh-Normal log-density to |u| = 20 against mpmath",
                    error,
                    bound,
                    f"running error analysis of the stable form in {DTYPE.name}",
                    (seen, np.array(truth, float)),
                )


@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("log_std", [-1.0, 0.0, 0.5])
def test_density_integrates_to_one(mean, log_std, offered, row):
    """The integral over actions, substituted a = tanh(u): the trapezoidal rule on a grid of 12 standard deviations."""
    points, bound, reason = tolerances.normal_trapezoid(ROWS, 12.0)
    u = (mean + math.exp(log_std) * points).astype(DTYPE)
    m, s = np.full((ROWS, 1), mean, DTYPE), np.full((ROWS, 1), log_std, DTYPE)
    log_pi = np.asarray(offered("squashed_log_prob")(m, s, u[:, None]), float)
    wide = u.astype(np.float64)
    # da = (1 - tanh^2 u) du, its logarithm in float64 by a form that shares nothing with the density's
    log_slope = -2 * (np.abs(wide) + np.log1p(np.exp(-2 * np.abs(wide))) - np.log(2.0))
    terms = np.exp(log_pi + log_slope) * np.gradient(wide)
    error = density(m, s, u[:, None]).sum(axis=-1).error
    # Rounding the abscissae to the tested precision moves the grid by EPS |u|, and each integrand by its slope times
    # that.
    shifted = EPS * (1 + np.abs(wide)) / math.exp(log_std) * (2 + np.abs(points))
    row(
        "SAC-14",
        "tanh-Normal density integrates to one",
        abs(terms.sum() - 1.0),
        bound + float(terms @ np.expm1(error + shifted)) + 8 * EPS,
        f"{reason}; running error of the density",
    )


@examples(0.4)
@given(mean=grids(-2, 2), log_std=grids(-3, 1), seed=st.integers(0, 2**31 - 1))
def test_samples_carry_their_density(mean, log_std, seed, offered, row):
    """(action, log pi, u) of one draw belong together: a = tanh(u), and log pi is the density at that action."""
    m, s = mean(ROWS, DIMENSIONS), log_std(ROWS, DIMENSIONS)
    action, log_prob, u = (np.asarray(x) for x in offered("squashed_draw")(m, s, seed))
    agree(row, "SAC-14", "action is tanh of the draw", action, re.tanh(exact(u)))
    # The draw u is rounded after mean + std * noise; a density formed from the noise itself sees the unrounded one.
    wide = exact(u)
    blurred = wide._new(wide.value, 4 * wide.unit * (np.abs(m.astype(float)) + np.abs(wide.value)))
    expected = shadow.normal_log_prob((blurred - exact(m)) / re.exp(exact(s)), exact(s)) - shadow.log_tanh_slope(
        blurred
    )
    agree(row, "SAC-14", "log-probability of a sampled action", log_prob, expected.sum(axis=-1))


def test_law_of_samples(offered, row, stream):
    """(u - mean)/std is standard normal: distance of distribution functions, bounded without asymptotics."""
    collected = []
    shape = (ROWS, DIMENSIONS)
    m = np.linspace(-2, 2, ROWS * DIMENSIONS).reshape(shape).astype(DTYPE)
    s = np.linspace(-3, 1, ROWS * DIMENSIONS).reshape(shape).astype(DTYPE)
    for seed in range(stream, stream + 256):
        _, _, u = offered("squashed_draw")(m, s, seed)
        collected.append(((np.asarray(u, float) - m) / np.exp(s.astype(float))).ravel())
    noise = np.sort(np.concatenate(collected))
    draws = len(noise)
    bound, reason = tolerances.empirical_distribution(draws)
    law = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in noise])
    ranks = np.arange(1, draws + 1) / draws
    distance = max(np.abs(ranks - law).max(), np.abs(ranks - 1 / draws - law).max())
    row("RN-03", "law of the sampler's noise (log-std, mean)", distance, bound + 8 * EPS, reason)


@given(mean=grids(-3, 3), log_std=grids(-3, 1))
def test_mode(mean, log_std, offered, row):
    """The deterministic action is tanh of the mean."""
    m, s = mean(ROWS, DIMENSIONS), log_std(ROWS, DIMENSIONS)
    agree(row, "SAC-14", "deterministic action is tanh of the mean", offered("squashed_mode")(m, s), re.tanh(exact(m)))


def away_from_a_half(action):
    """A critic for the quadrature: largest at a = 1/2."""
    return -((action - 0.5) ** 2)


@pytest.mark.parametrize("mean", [-0.5, 0.25])
@pytest.mark.parametrize("log_std", [-2.0, -0.75])
@pytest.mark.parametrize("alpha", [0.25, 2.0])
def test_actor_gradient_by_quadrature(mean, log_std, alpha, offered, row):
    """The reparameterised gradient, averaged over the noise by quadrature, equals the score-function gradient (SAC-13).

    Two derivations of d/d(mean, log std) of E[alpha log pi - Q], Q = -(a - 1/2)^2: pathwise through a = tanh(u),
    which the implementation differentiates, and E[score * (alpha log pi - Q)], which needs no derivative of Q or of
    tanh at all.
    """
    eps, bound, reason = tolerances.normal_trapezoid(ROWS, 10.0)
    eps = eps.astype(DTYPE)
    noise = eps.astype(np.float64)
    mass = np.exp(-0.5 * noise**2) / np.exp(-0.5 * noise**2).sum()
    m, s = np.full(ROWS, mean, DTYPE), np.full(ROWS, log_std, DTYPE)
    gradients = offered("actor_gradient")(m, s, eps, alpha, critic=away_from_a_half, mass=mass.astype(DTYPE))
    std = math.exp(log_std)
    u = mean + std * noise
    log_pi = -0.5 * noise**2 - log_std - 0.5 * math.log(2 * math.pi) - 2 * (math.log(2) - u - np.logaddexp(0, -2 * u))
    cost = alpha * log_pi + (np.tanh(u) - 0.5) ** 2
    scores = {"mean": noise / std, "log std": noise**2 - 1}
    for name, seen, score in zip(("mean", "log std"), gradients, scores.values(), strict=True):
        # E[score * constant] is zero on the grid to the rule's own error, so the constant may be taken out of the cost.
        expected = float(mass @ (score * (cost - cost.mean())))
        magnitude = float(mass @ (np.abs(score) * np.abs(cost - cost.mean()))) + alpha * (1 + 1 / std) + 1
        terms = ROWS * magnitude
        row(
            "SAC-13",
            f"actor gradient in the {name}, averaged over noise",
            abs(float(np.asarray(seen, float).sum()) - expected),
            (bound + 64 * EPS) * terms / ROWS + ROWS * EPS * float(np.abs(np.asarray(seen, float)).sum()),
            f"{reason}; {ROWS} summands rounded in {DTYPE.name}",
        )
