"""What every certificate rests on: n roundings, and the slack of a bound's own evaluation."""

from fractions import Fraction

import numpy as np
import pytest

from reference.rounding import SLACK, UNIT_ROUNDOFF, gamma_n, outward


@pytest.mark.parametrize("n", [0, 1, 2, 1000, 2**40])
def test_gamma_covers_that_many_roundings(n):
    """n u / (1 - n u), which exceeds (1 + u)^n - 1, but for the roundings of itself."""
    exact = Fraction(n, 2**53) / (1 - Fraction(n, 2**53))
    assert abs(Fraction(gamma_n(n)) - exact) <= 3 * Fraction(1, 2**53) * exact
    assert Fraction(gamma_n(n)) >= Fraction(n, 2**53)


def test_more_roundings_than_float64_has_digits_for_are_refused():
    with pytest.raises(ValueError, match="fewer than 9007199254740992 roundings, got 9007199254740992"):
        gamma_n(2**53)


def test_bounds_are_rounded_outward():
    """By more than 2**12 roundings of it, and by so little that no digit which is printed shows it."""
    assert 2.0**12 * UNIT_ROUNDOFF < SLACK < 1e-9
    assert outward(3.0) == 3.0 * (1.0 + SLACK) > 3.0
    np.testing.assert_array_equal(outward(np.array([0.0, 1.0])), [0.0, 1.0 + SLACK])
    assert outward(float("inf")) == float("inf")
