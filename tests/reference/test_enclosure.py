"""`reference.enclosure`: balls hold exact products, and the bounds on eigenvalues, inverses and determinants hold."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
import tolerances
from exact import fractions
from exact_lqr import distance, lyapunov, product, scaled, total, transposed
from hypothesis import given
from hypothesis import strategies as st
from strategies import few

from reference.enclosure import Ball, inverse, log_determinant, lyapunov_weight, smallest_eigenvalue

SIZES = st.integers(1, 4)


def matrices(size: int, columns: int | None = None, unit: float = 1.0 / 3.0) -> st.SearchStrategy[np.ndarray]:
    """Matrices of rounded thirds, so that products round."""
    columns = size if columns is None else columns
    numbers = st.lists(st.integers(-9, 9), min_size=size * columns, max_size=size * columns)
    return numbers.map(lambda drawn: unit * np.array(drawn, dtype=np.float64).reshape(size, columns))


def inside(ball: Ball, exact) -> bool:
    """Whether the exact matrix lies in the ball, decided in rationals."""
    rows, columns = ball.middle.shape
    return all(
        abs(Fraction(float(ball.middle[i, j])) - exact[i][j]) <= Fraction(float(ball.radius[i, j]))
        for i in range(rows)
        for j in range(columns)
    )


@few
@given(st.data(), SIZES)
def test_arithmetic_holds_the_exact_result(row, data, size):
    """Sums, products, multiples, of members that are not the middle either."""
    a, b, c = (data.draw(matrices(size)) for _ in range(3))
    moved = data.draw(matrices(size, unit=2.0**-60))
    ball = Ball(b, np.abs(moved))
    number = data.draw(st.sampled_from([0.1, -0.9, 7.0]))
    found = (Ball.exact(a) @ ball @ Ball.exact(a).T - Ball.exact(c)).times(number) + ball
    member = total(fractions(b), fractions(moved))
    left = product(fractions(a), member, transposed(fractions(a)))
    exact = total(scaled(Fraction(number), total(left, scaled(Fraction(-1), fractions(c)))), member)
    row.exact("LQR-02", "ball arithmetic", inside(found, exact), f"{found} does not hold {exact}")
    low, high = found.trace()
    trace = sum(exact[i][i] for i in range(size))
    row.exact("LQR-02", "trace", Fraction(low) <= trace <= Fraction(high), f"{trace} outside [{low}, {high}]")
    with mpmath.workdps(40):
        norm = mpmath.svd_r(to_mpmath(exact), compute_uv=False)[0]
        row.exact("LQR-02", "spectral norm", mpmath.mpf(found.norm()) >= norm, f"{found.norm()} below {norm}")


def to_mpmath(exact) -> mpmath.matrix:
    return mpmath.matrix([[mpmath.mpf(x.numerator) / x.denominator for x in line] for line in exact])


@few
@given(st.data(), SIZES, st.sampled_from([1.0, 1e-3, 1e-9]))
def test_eigenvalues_inverses_and_determinants(row, data, size, ridge):
    """Every bound against 40 digits, for products M M' + ridge I down to nearly singular."""
    factor = data.draw(matrices(size))
    matrix = factor @ factor.T + ridge * np.eye(size)
    matrix = 0.5 * (matrix + matrix.T)
    ball = Ball.exact(matrix)
    with mpmath.workdps(40):
        exact = to_mpmath(fractions(matrix))
        least = min(mpmath.eigsy(exact, eigvals_only=True))
        bound = smallest_eigenvalue(ball)
        row.exact("LQR-02", "smallest eigenvalue", mpmath.mpf(bound) <= least, f"{bound} above {least}")
        found = inverse(ball)
        if np.isfinite(found.radius).all():
            error = distance(found.middle, exact**-1)
            row("LQR-02", "inverse", error, size * float(found.radius.max()), "Frobenius norm of the radius")
        value, radius = log_determinant(ball)
        if np.isfinite(radius):
            error = float(abs(mpmath.log(mpmath.det(exact)) - mpmath.mpf(value)))
            row("LQR-02", "log determinant", error, radius, "certified radius")
    if ridge == 1.0:  # well conditioned: nothing may be left unproved
        proved = bound > 0.0 and np.isfinite(found.radius).all() and np.isfinite(radius)
        row.exact("LQR-02", "proofs of well-conditioned matrices", proved, f"{bound}, {found}, {radius}")


@few
@given(st.data(), SIZES, st.sampled_from([0.5, 0.9, 0.99]))
def test_lyapunov_weights_bound_series(row, data, size, discount):
    """Sum discount^k F'^k E F^k lies within |E|/theta X, exactly solved; no weight for an unstable loop."""
    loop = data.draw(matrices(size, unit=0.1))
    weight, theta = lyapunov_weight(Ball.exact(loop), discount)
    radius = np.sqrt(discount) * float(np.abs(np.linalg.eigvals(loop)).max())
    if radius >= 1.0:
        row.exact("LQR-02", "no weight for an unstable loop", theta == 0.0, f"theta {theta} at radius {radius}")
        return
    if theta == 0.0:  # so close to instability that float64 proves nothing
        assert radius > 1.0 - 2.0**-20
        return
    source = data.draw(matrices(size))
    source = source + source.T
    with mpmath.workdps(60):
        solved = to_mpmath(lyapunov(fractions(loop), fractions(source), Fraction(discount)))
        scale = mpmath.mpf(Ball.exact(source).norm()) / mpmath.mpf(theta)
        around = scale * to_mpmath(fractions(weight))
        for sign in (-1, 1):
            least = min(mpmath.eigsy(around - sign * (solved + solved.T) / 2, eigvals_only=True))
            outside = float(max(-least, mpmath.mpf(0)))
            row("LQR-02", "series outside the weight", outside, *tolerances.forty_digits(float(scale)))


@pytest.mark.parametrize("matrix", [[[0.0]], [[-1.0]], [[1.0, 2.0], [2.0, 1.0]], [[np.inf]]])
def test_what_is_not_positive_is_not_proved_so(matrix):
    ball = Ball.exact(np.array(matrix))
    assert smallest_eigenvalue(ball) == -np.inf
    assert log_determinant(ball)[1] == np.inf


def test_singular_matrices_have_no_proven_inverse():
    singular = Ball.exact(np.ones((2, 2)))
    assert not np.isfinite(inverse(singular).radius).any()
    assert not np.isfinite(inverse(Ball(np.eye(2), np.ones((2, 2)))).radius).any()
