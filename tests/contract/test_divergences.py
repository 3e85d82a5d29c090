"""Generators one by one: conjugates with their derivatives, slopes, and the relaxed problem at every temperature."""

import numpy as np
import pytest
import tolerances_divergences as bounds
from contract import shadow
from contract.compare import EPS, examples
from contract.generators import GENERATORS, LOG_2, reference_divergence
from contract.problems import DTYPE, grids, laws
from contract.protocol import DIVERGENCES, STEEP_DIVERGENCES
from contract.shadow import exact
from hypothesis import assume, example, given
from hypothesis import strategies as st
from running_error import unit_roundoff
from tolerances import divergence_accuracy

from reference.weights import optimal_weights

GENERATED = (*DIVERGENCES, *STEEP_DIVERGENCES)
B = 64
N = 256
UNIT = unit_roundoff(DTYPE)
EXPONENTS = np.arange(1.0, np.finfo(DTYPE).nmant - 8)  # next to a pole its distance keeps eight bits of the argument
FAR = 2.0 ** np.array([8.0, 16.0, 30.0, 60.0, 100.0])


UNEVEN = (np.random.default_rng(0).multinomial(1024, np.full(B, 1 / B)) / 1024).astype(DTYPE)


def ladder(rows: int) -> np.ndarray:
    """Steps of one size; far apart, all but one ratio of a bounded generator are at an end of its domain."""
    return (np.arange(rows) / 16 - 2).astype(DTYPE)


def arguments(divergence: str) -> np.ndarray:
    """Both sides of zero and of the kinks at every scale, and up to the pole where there is one; N of them."""
    generator = GENERATORS[divergence]
    pole = generator.supremum
    points = [np.arange(-64, 65) / 16, 2.0 ** np.arange(-20, 6), -(2.0 ** np.arange(-20, 6))]
    points += [(pole if np.isfinite(pole) else LOG_2) - 2.0**-EXPONENTS]
    y = np.unique(np.concatenate(points).astype(DTYPE).astype(np.float64))
    y = y[y < pole - 2.0 ** -EXPONENTS[-1] / 2]
    return np.resize(y, N).astype(DTYPE)


@pytest.mark.parametrize("divergence", GENERATED)
def test_conjugate(divergence, offered, row):
    """f* against reference; its derivative is the ratio, and the ratio's the curvature, off kinks (FD-01, FD-05)."""
    y = arguments(divergence)
    value, ratio, bend = offered("conjugate")(divergence, y)
    oracle, generator, at = reference_divergence(divergence), GENERATORS[divergence], exact(y)
    points = y.astype(np.float64)
    w = np.asarray(oracle.ratio(points))
    smooth = (points != generator.edge) & (w > 0) | (points < -1.0)
    for quantity, seen, expected, truth, where in (
        ("conjugate", value, generator.conjugate(at), oracle.conjugate(points), ...),
        ("derivative of the conjugate", ratio, generator.slope(at), w, ...),
        ("derivative of the ratio", bend, generator.bend(at, generator.slope(at)), oracle.curvature(w), smooth),
    ):
        bound, reason = bounds.two_evaluations(expected)
        bound = bound + divergence_accuracy(truth)[0]
        error = np.abs(np.asarray(seen, float) - truth)
        row("FD-01", f"{quantity} ({divergence})", error[where], bound[where], reason)


@pytest.mark.parametrize("divergence", GENERATED)
def test_no_derivative_is_undefined(divergence, offered, row):
    """Far below and, without a pole, far above, and at kinks: infinite perhaps, never NaN."""
    generator = GENERATORS[divergence]
    y = np.concatenate([-FAR, [-1.0, 0.0], [] if np.isfinite(generator.supremum) else [generator.inverse(3.0), *FAR]])
    results = offered("conjugate")(divergence, np.resize(y, N).astype(DTYPE))
    row.exact(
        "FD-05",
        f"derivatives of the conjugate are defined everywhere ({divergence})",
        not any(np.isnan(np.asarray(result)).any() for result in results),
        f"expected no NaN in f* and its first two derivatives between {y.min():g} and {y.max():g}",
    )


@pytest.mark.parametrize("divergence", GENERATED)
def test_slope(divergence, offered, row):
    """f'(w), which turns a largest ratio into a cap on arguments, against reference."""
    oracle = reference_divergence(divergence)
    w = np.unique(np.concatenate([2.0 ** np.arange(-12.0, 13.0), np.arange(1, 65) / 16]).astype(DTYPE))
    w = np.resize(w[w < oracle.largest_ratio], N)
    truth = np.asarray(oracle.f_prime(w.astype(np.float64)))
    pole = GENERATORS[divergence].supremum
    bound, reason = bounds.slopes(truth, w.astype(np.float64), pole if np.isfinite(pole) else 0.0, UNIT)
    seen = np.asarray(offered("slope")(divergence, w), float)
    row("FD-01", f"slope ({divergence})", np.abs(seen - truth), bound, reason)


@pytest.mark.parametrize("divergence", GENERATED)
@examples(0.5)
@example(grid=ladder, law=UNEVEN, exponent=17, tied=False)
@given(grid=grids(-3, 3), law=laws(B), exponent=st.sampled_from((-17, -8, -2, 2, 8, 14, 17)), tied=st.booleans())
def test_relaxed_at_every_temperature(divergence, grid, law, exponent, tied, offered, row):
    """Ten decades of beta, ties, few rows and many: ratios keep mean one, in either precision (JS-04, KL-10)."""
    z = grid(B)
    z = (np.round(z) if tied else z) * DTYPE.type(2.0**exponent)
    z[law == 0] = 2.0**20  # padding may hold anything
    ratio, _, derivative = (np.asarray(x, float) for x in offered("relaxed")(divergence, z, law))
    held = law > 0
    points, masses = z[held].astype(np.float64), law[held].astype(np.float64)
    generator = reference_divergence(divergence)
    answer = optimal_weights(points, masses, 1.0, generator)
    bound, reason = bounds.relaxed(generator, points, masses, answer, UNIT)
    row(
        "JS-04",
        f"relaxed weights times their law, over ten decades of beta ({divergence})",
        masses * np.abs(ratio[held] - answer.weights),
        bound,
        reason,
    )
    row(
        "JS-04",
        f"mean of relaxed weights over ten decades of beta ({divergence})",
        abs(masses @ ratio[held] - 1.0),
        bound.max(),
        reason,
    )
    row.exact(
        "UP-05",
        f"rows of mass zero leave no NaN in the multiplier's derivative ({divergence})",
        bool(np.isfinite(derivative).all() and (derivative[~held] == 0.0).all() and np.isfinite(ratio).all()),
        f"expected finite derivatives, zero where the law is zero, saw {derivative}",
    )


@pytest.mark.parametrize("divergence", GENERATED)
@examples(0.4)
@given(grid=grids(-2, 2), law=laws(B))
def test_derivative_of_the_multiplier(divergence, grid, law, offered, row):
    """The implicit function theorem on E (f*)'(z - nu) = 1: d nu / dz_b = p_b (f*)''_b / E (f*)''."""
    z = grid(B)
    seen = np.asarray(offered("relaxed")(divergence, z, law)[2], float)
    held = law > 0
    y = exact(z) - shadow.multiplier(divergence, exact(z), law.astype(np.float64))
    expected, bound, reason = bounds.multiplier_slope(
        reference_divergence(divergence), law[held].astype(np.float64), y[held]
    )
    assume(bound.max() <= np.sqrt(EPS))  # no row within rounding of a kink
    row("JS-04", f"derivative of the multiplier ({divergence})", np.abs(seen[held] - expected), bound, reason)
