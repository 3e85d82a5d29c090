"""Running error analysis bounds what it says it bounds, and no more where a selection is certain."""

import numpy as np
import pytest
import running_error as re
from running_error import Rounded

COUNT = 4096
CORNERS = [(x, y) for x in (-1.0, 0.0, 0.5, 1.0) for y in (-1.0, -0.25, 0.0, 1.0)]
"""Where in their intervals the computed arguments lie, as fractions of the errors."""


def drawn(seed: int) -> Rounded:
    """Numbers of all sizes and signs with errors from none to far above them; dyadic, so that sums are exact."""
    generator = np.random.default_rng(seed)
    value, error = (np.ldexp(generator.integers(0, 2**8, COUNT), generator.integers(-20, 5, COUNT)) for _ in range(2))
    like = Rounded.exact(0.0, np.float32)
    return Rounded(generator.choice([-1.0, 1.0], COUNT) * value, error, like.unit, like.tiny)


def inside(result: Rounded, computed: np.ndarray) -> np.ndarray:
    """Whether float64's answer from arguments within their errors is within the result's; its own rounding aside."""
    return np.abs(computed - result.value) <= result.error * (1.0 + 2.0**-40)


@pytest.mark.parametrize(
    ("function", "plain"),
    [
        (re.maximum, np.maximum),
        (re.minimum, np.minimum),
        (lambda x, _: re.softplus(x), lambda x, _: np.logaddexp(0.0, x)),
        (lambda x, _: re.positive(x), lambda x, _: x > 0.0),
    ],
    ids=["maximum", "minimum", "softplus", "positive"],
)
@pytest.mark.parametrize("corner", CORNERS)
def test_arguments_within_their_errors_give_results_within_theirs(function, plain, corner):
    x, y = drawn(1), drawn(2)
    computed = plain(x.value + corner[0] * x.error, y.value + corner[1] * y.error)
    held = inside(function(x, y), computed)
    assert held.all(), f"outside of its bound at {x.value[~held][:3]} +- {x.error[~held][:3]}"


@pytest.mark.parametrize("corner", [-1.0, 0.5, 1.0])
def test_logarithms_of_arguments_within_their_errors(corner):
    y = drawn(3)
    x = Rounded(np.abs(y.value) - 0.5, np.minimum(y.error, 0.25), y.unit, y.tiny)
    assert inside(re.log1p(x), np.log1p(x.value + corner * x.error)).all()


def test_the_logarithm_of_what_may_be_zero_has_no_bound():
    with pytest.raises(ZeroDivisionError, match="one plus the argument may be zero"):
        re.log1p(Rounded([0.0, -0.75], [0.0, 0.25], 2.0**-24, 2.0**-126))


def test_a_certain_selection_keeps_the_error_of_what_it_selects():
    wide, narrow = Rounded([5.0, 5.0], [1.0, 4.5], 2.0**-24, 2.0**-126), Rounded([1.0, 1.0], 0.5, 2.0**-24, 2.0**-126)
    assert re.maximum(wide, narrow).error.tolist() == [1.0, 4.5]
    assert re.minimum(wide, narrow).error.tolist() == [0.5, 4.5]


def test_an_exact_zero_is_certainly_not_positive():
    x = Rounded([0.0, 0.0, 1.0], [0.0, 2.0**-126, 0.5], 2.0**-24, 2.0**-126)
    assert re.positive(x).value.tolist() == [0.0, 0.0, 1.0]
    assert re.positive(x).error.tolist() == [0.0, 1.0, 0.0]


def test_softplus_forgets_errors_far_below_zero():
    x = Rounded([-1e30], [1e20], 2.0**-24, 2.0**-126)
    assert re.softplus(x).error[0] == 2.0**-126
