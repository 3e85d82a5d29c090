"""The radius of matrix balls, held against the worst rounding of each operation: as `test_certificate_terms`."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
import tolerances
from worst_rounding import U, least, worst

from reference.enclosure import Ball

REASON = "the largest sum of roundings, u of each result, that the radius must allow"
LEFT = np.array([[0.7, -0.3, 0.1], [1.1, 0.9, -0.7], [0.3, 0.2, 0.6]])
RIGHT = np.array([[0.3, 0.6, -0.1], [-0.9, 0.4, 0.8], [0.7, 0.7, 1.3]])
SCALES = (0.0, 2.0**-40, 1.0, 2.0**40)
RADII = (0.0, 2.0**-60, 2.0**-20)


def balls():
    """Pairs of balls whose middles and radii are of very different sizes, and the worst numbers for the same."""
    for scale, left, right in itertools.product(SCALES, RADII, RADII):
        a, b = Ball(scale * LEFT, left * np.abs(RIGHT)), Ball(RIGHT, right * np.abs(LEFT))
        yield a, b, worst(a.middle, a.radius), worst(b.middle, b.radius)


def covered(row, quantity: str, exact: np.ndarray, ball: Ball, sizes: np.ndarray) -> None:
    """Require every radius to cover what may be lost, and to be no more than a dozen times that and two roundings."""
    losses = np.array([[least(number) for number in line] for line in exact])
    row("LQR-01", f"worst rounding of {quantity}", losses, ball.radius, REASON)
    factor, reason = tolerances.tightness()
    most = factor * (losses + 2.0 * float(U) * sizes) + 2.0**-1000
    row("LQR-01", f"charge for the rounding of {quantity}", ball.radius, most, reason)
    error = [
        [abs(Fraction(float(x)) - y.value) for x, y in zip(*pair, strict=True)]
        for pair in zip(ball.middle, exact, strict=True)
    ]
    row("LQR-01", f"middle of {quantity}", np.array(error, dtype=float), ball.radius, "certified")


def test_sums_and_multiples(row):
    """a + b, a - b and 0.3 a."""
    for a, b, exact_a, exact_b in balls():
        sizes = np.abs(a.middle) + np.abs(b.middle)
        covered(row, "a sum", exact_a + exact_b, a + b, sizes)
        covered(row, "a difference", exact_a - exact_b, a - b, sizes)
        covered(row, "a multiple", 0.3 * exact_a, a.times(0.3), sizes)
        covered(row, "a negative multiple", -3.0 * exact_a, a.times(-3.0), sizes)


def test_products(row):
    """a b and b a, where either may be known to a radius only."""
    for a, b, exact_a, exact_b in balls():
        # Where both have a radius, so has their product: the smaller term, which is of second order.
        product = a.radius @ b.radius
        covered(row, "a product", exact_a @ exact_b, a @ b, (np.abs(a.middle) @ np.abs(b.middle)) + product / float(U))
        covered(row, "a product", exact_b @ exact_a, b @ a, (np.abs(b.middle) @ np.abs(a.middle)) + product / float(U))


def test_symmetric_parts(row):
    """(a + a') / 2, of which no more than one rounding is known."""
    for a, _, exact, _ in balls():
        covered(
            row,
            "a symmetric part",
            (exact + exact.T) * Fraction(1, 2),
            a.symmetric(),
            np.abs(a.middle) + np.abs(a.middle.T),
        )


def test_traces(row):
    """Lower and upper bound of a sum of three, each known to a radius."""
    for a, _, exact, _ in balls():
        low, high = map(Fraction, a.trace())
        trace = exact[0, 0] + exact[1, 1] + exact[2, 2]
        row("LQR-01", "worst rounding of a trace", 2.0 * least(trace), float(high - low), REASON)
        factor, reason = tolerances.tightness()
        size = 2 * U * sum(Fraction(float(abs(x))) for x in np.diag(a.middle))
        row("LQR-01", "charge for a trace", float(high - low), factor * float(trace.loss + size) + 2.0**-1000, reason)


@pytest.mark.parametrize(
    "matrix",
    [
        np.eye(16),
        np.full((4, 4), 0.5),
        np.diag([3.0, 0.0]),
        np.array([[0.0, 2.0**60], [0.0, 0.0]]),
        np.array([[-5.0]]),
        np.ones((16, 1)),
        np.ones((1, 16)),
    ],
)
def test_norms(row, matrix):
    """Of matrices whose spectral norm one of the two bounds meets."""
    exact = float(np.linalg.norm(matrix, 2))
    found = Ball.exact(matrix).norm()
    row("LQR-01", "norm, from below", max(exact * (1.0 - 2.0**-50) - found, 0.0), 0.0, "a bound on the norm")
    row(
        "LQR-01", "norm, from above", found, exact * (1.0 + 4.0 * tolerances.EVALUATION), "met by one of its two bounds"
    )
    wide = Ball(matrix, np.abs(matrix)).norm()
    row("LQR-01", "norm of a ball", max(2.0 * exact * (1.0 - 2.0**-50) - wide, 0.0), 0.0, "twice the matrix is in it")
