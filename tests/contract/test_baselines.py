"""PER, LAP, PAL and LaBER: priorities and derivatives by formula, expected gradients by enumeration."""

import numpy as np
import pytest
import tolerances_replay as bounds
from contract.compare import EPS, agree, examples
from contract.problems import DTYPE, grids
from contract.shadow import exact
from hypothesis import given
from hypothesis import strategies as st
from running_error import Rounded, maximum, minimum

B = 16
EXPONENTS = st.sampled_from((0.25, 0.4, 0.6, 1.0)).map(DTYPE.type)
WIDTHS = st.sampled_from((0.25, 1.0, 2.0))


def size(error: Rounded) -> Rounded:
    """The larger of the twins' |error|."""
    return maximum(maximum(error, -error)[0], maximum(error, -error)[1])


def lap(error: Rounded, exponent: float, width: float) -> Rounded:
    return bounds.power(maximum(size(error), width), float(exponent))


@given(grid=grids(-4, 4), exponent=EXPONENTS, offset=st.sampled_from((2.0**-6, 2.0**-20)))
def test_per(grid, exponent, offset, offered, row):
    """(|delta| + eps)^alpha of the larger of the twins' errors, neither exponent nor offset applied twice."""
    error = grid(2, B)
    error[:, 0] = 0.0
    expected = bounds.power(size(exact(error)) + offset, float(exponent))
    agree(row, "PER-01", "priorities of PER", offered("per_priority")(error, exponent, offset), expected)


@given(grid=grids(-4, 4), exponent=EXPONENTS, width=WIDTHS)
def test_lap(grid, exponent, width, offered, row):
    """max(|delta|, width)^alpha; small errors are all as likely."""
    error = grid(2, B)
    expected = lap(exact(error), exponent, width)
    agree(row, "LAP-01", "priorities of LAP", offered("lap_priority")(error, exponent, width), expected)


@given(
    grid=grids(-4, 4), weight=grids(0, 2), mass=grids(1, 2, 256), exponent=EXPONENTS, width=WIDTHS, same=st.booleans()
)
def test_pal(grid, weight, mass, exponent, width, same, offered, row):
    """Each twin's derivative m w clip(delta) max(|delta|, width)^alpha / lambda: nothing comes through lambda."""
    q, y, w, m = grid(2, B), grid(B), weight(B), mass(B)
    if same:
        q[1] = q[0]
    error = exact(q) - exact(y)
    scale = (exact(m) * lap(error, exponent, width)).sum() / exact(m).sum()
    priority = bounds.power(maximum(maximum(error, -error), width), float(exponent))
    expected = exact(m) * exact(w) * minimum(maximum(error, -width), width) * priority / scale
    seen = offered("pal_gradient")(q, y, w, m, exponent, width)
    agree(row, "PAL-01", "gradient of the PAL loss", seen, expected)


@given(grid=grids(-4, 4), exponent=EXPONENTS, width=WIDTHS)
@examples(0.6)
def test_lap_equals_pal(grid, exponent, width, offered, row):
    """Over all rows: the Huber gradient under sampling by LAP's priorities is PAL's gradient under uniform sampling."""
    q, y = grid(2, B), grid(B)
    q[1] = 2 * y - q[0]  # the twins' errors agree in size, not in sign
    ones, mass = np.ones(B, DTYPE), np.full(B, 1 / B, DTYPE)
    priority = np.asarray(offered("lap_priority")(q - y, exponent, width), np.float64)
    sampled = np.asarray(offered("lap_gradient")(q, y, ones, mass, width), np.float64) * B * priority / priority.sum()
    uniform = np.asarray(offered("pal_gradient")(q, y, ones, mass, exponent, width), np.float64)
    error = exact(q) - exact(y)
    bound = (minimum(maximum(error, -width), width) * lap(error, exponent, width)).error / priority.sum()
    relative = float(np.max(lap(error, exponent, width).error / priority)) + 8 * EPS
    row(
        "PAL-01",
        "expected gradient of LAP and gradient of PAL",
        np.abs(sampled - uniform),
        2 * (bound + relative * np.abs(sampled)) + np.finfo(DTYPE).tiny,
        "roundings of clip, power and sum on both sides",
    )


def drawn(select, priorities: np.ndarray, seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    positions, factors = (np.asarray(x) for x in select(priorities, seed, count))
    return positions, factors.astype(np.float64)


@given(sixteenths=st.lists(st.integers(0, 64), min_size=B, max_size=B), seed=st.integers(0, 2**16))
@examples(0.6)
def test_laber_is_unbiased(sixteenths, seed, offered, row):
    """P(i) times the factor of i is 1/M, so sub-sampling keeps the mean gradient; rows without a priority stay out."""
    priorities = (np.array(sixteenths) / 16).astype(DTYPE)
    positions, factors = drawn(offered("laber_select"), priorities, seed, 64)
    law = priorities / priorities.sum() if priorities.any() else np.full(B, 1 / B)
    row.exact(
        "LAB-01",
        "rows without a priority are never drawn",
        bool((law[positions] > 0).all()),
        f"priorities {priorities.tolist()}, saw positions {sorted(set(positions.tolist()))}",
    )
    share = law[positions] * factors
    reason = "a mean of M priorities and a quotient"
    row("LAB-01", "probability times factor in LaBER", np.abs(share - 1 / B), (B + 4) * EPS / B, reason)


@pytest.mark.parametrize("empty", [(), (0, 1, B - 1), range(B)])
def test_laber_frequencies(empty, offered, row, stream):
    """Positions in proportion to the priorities; all alike where no row has one."""
    priorities = np.arange(1, B + 1, dtype=DTYPE)
    priorities[list(empty)] = 0.0
    law = priorities / priorities.sum() if priorities.any() else np.full(B, 1 / B)
    draws = 2**16
    positions, _ = drawn(offered("laber_select"), priorities, stream + 5, draws)
    row.exact(
        "LAB-01",
        "LaBER's positions lie in the batch",
        bool(positions.min() >= 0 and positions.max() < B),
        f"{B} rows, saw positions {positions.min()} .. {positions.max()}",
    )
    middle, half, reason = bounds.counts(draws, law, bounds.cumulated(B, EPS), B)
    counts = np.bincount(positions, minlength=B)
    row("LAB-01", "frequencies of LaBER's positions", np.abs(counts - middle), half, reason)


@given(grid=grids(-4, 4), seed=st.integers(0, 2**16))
@examples(0.6)
def test_laber_gradient(grid, seed, offered, row):
    """Nothing is differentiated through probabilities or factors: rows that were not drawn have no gradient."""
    q, y = grid(2, B), grid(B)
    gradient, (positions, factors) = offered("laber_gradient")(q, y, seed)
    positions, factors = np.asarray(positions), np.asarray(factors)
    times = np.zeros(B)
    np.add.at(times, positions, np.asarray(factors, np.float64) / B)
    error = exact(q) - exact(y)
    expected = error * Rounded(times, 2 * B * EPS * times, error.unit, error.tiny)
    agree(row, "LAB-01", "gradient of the sub-sampled loss", gradient, expected)
