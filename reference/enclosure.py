r"""Matrices with a proven radius: what a certificate of a matrix equation is computed in.

A `Ball` is a float64 matrix and an entrywise radius, |exact - middle| <= radius. Sums and products round; a dot product
of n terms errs by at most `gamma_n sum |a b|` in any order of summation (Higham 2002, section 3.1), which is what
`@` charges on top of the propagated radii (S. M. Rump, Verification methods, Acta Numerica 19 (2010), section 9).
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy import linalg

from reference.rounding import UNIT_ROUNDOFF, gamma_n, outward

_SMALLEST = 2.0**-1074


@contextmanager
def judged_later() -> Iterator[None]:
    """Silences SciPy's guess that a matrix is ill-conditioned, where a certificate decides afterwards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", linalg.LinAlgWarning)
        yield


@dataclass(frozen=True, eq=False)
class Ball:
    """Every matrix within `radius` of `middle`, entry by entry."""

    middle: Float64[np.ndarray, "N M"]
    radius: Float64[np.ndarray, "N M"]

    @classmethod
    def exact(cls, matrix: Float64[np.ndarray, "N M"]) -> "Ball":
        """The float matrix itself."""
        return cls(matrix, np.zeros_like(matrix))

    @property
    def T(self) -> "Ball":
        """The transpose."""
        return Ball(self.middle.T, self.radius.T)

    @property
    def size(self) -> Float64[np.ndarray, "N M"]:
        """The largest absolute value of each entry."""
        return outward(np.abs(self.middle) + self.radius)

    def __add__(self, other: "Ball") -> "Ball":
        middle = self.middle + other.middle
        return Ball(middle, outward(self.radius + other.radius + UNIT_ROUNDOFF * np.abs(middle)))

    def __sub__(self, other: "Ball") -> "Ball":
        return self + Ball(-other.middle, other.radius)

    def __matmul__(self, other: "Ball") -> "Ball":
        terms = self.middle.shape[1]
        radius = self.radius @ other.size + np.abs(self.middle) @ other.radius
        radius = radius + gamma_n(terms) * (np.abs(self.middle) @ np.abs(other.middle))
        return Ball(self.middle @ other.middle, (outward(radius) + terms * _SMALLEST) * (1.0 + gamma_n(4 * terms + 8)))

    def times(self, number: float) -> "Ball":
        """The product with an exact float."""
        middle = number * self.middle
        return Ball(middle, outward(abs(number) * self.radius + UNIT_ROUNDOFF * np.abs(middle) + _SMALLEST))

    def symmetric(self) -> "Ball":
        """For a ball around a symmetric matrix: the same, with a middle that is symmetric to the bit."""
        middle = 0.5 * (self.middle + self.middle.T)
        radius = 0.5 * (self.radius + self.radius.T) + UNIT_ROUNDOFF * np.abs(middle) + _SMALLEST
        return Ball(middle, outward(radius))

    def norm(self) -> float:
        """Bound on the spectral norm of every member: the smaller of the Frobenius norm and sqrt(|.|_1 |.|_inf)."""
        if self.middle.size == 0:
            return 0.0
        size = self.size
        frobenius = float(np.sqrt((size * size).sum()))
        mixed = float(np.sqrt(size.sum(axis=0).max()) * np.sqrt(size.sum(axis=1).max()))
        return min(frobenius, mixed) * (1.0 + gamma_n(size.size + 8)) + _SMALLEST

    def trace(self) -> tuple[float, float]:
        """Lower and upper bound on the trace."""
        diagonal, radius = np.diag(self.middle), np.diag(self.radius)
        middle = float(diagonal.sum())
        error = outward(float(radius.sum()) + gamma_n(len(diagonal)) * float(np.abs(diagonal).sum()))
        return middle - error, middle + error


def smallest_eigenvalue(ball: Ball) -> float:
    """A lower bound on the smallest eigenvalue of every symmetric member; -inf if no positive one is proved.

    If a Cholesky factorisation of the float matrix M - s I runs to its end, then M >= s - gamma_(n+1) trace(M - s I) /
    (1 - gamma_(n+1)) (Rump, Verification of positive definiteness, BIT 46 (2006), from Higham 2002, theorem 10.3).
    """
    ball = ball.symmetric()
    middle, n = ball.middle, len(ball.middle)
    if not np.all(np.isfinite(ball.size)):
        return -np.inf
    rounding = gamma_n(n + 1) / (1.0 - gamma_n(n + 1))
    spread = Ball(np.zeros_like(middle), ball.radius).norm()
    guess = float(linalg.eigvalsh(middle).min())
    for share in (1.0 - 2.0**-10, 0.5):
        shift = share * guess
        if shift <= 0.0:
            break
        moved = middle - shift * np.eye(n)
        try:
            linalg.cholesky(moved)
        except linalg.LinAlgError:
            continue
        lost = rounding * float(np.abs(np.diag(moved)).sum()) + UNIT_ROUNDOFF * float(np.abs(np.diag(moved)).max())
        bound = (shift - outward(lost)) - spread
        if bound > 0.0:
            return bound * (1.0 - 2.0**-40)
    return -np.inf


def inverse(ball: Ball) -> Ball:
    """A ball that contains the inverse of every member; infinite radius if none is proved to exist.

    With Z the float inverse and E = I - M Z, |E| < 1: M^-1 = Z + Z E (I - E)^-1 (Rump 2010, section 10).
    """
    n = len(ball.middle)
    try:
        with judged_later():
            middle = linalg.inv(ball.middle)
    except (linalg.LinAlgError, ValueError):
        return Ball(np.zeros((n, n)), np.full((n, n), np.inf))
    around = Ball.exact(middle)
    left = (Ball.exact(np.eye(n)) - ball @ around).norm()
    error = outward(around.norm() * left / (1.0 - left)) if left < 1.0 else np.inf
    return Ball(middle, np.full((n, n), error))


def log_determinant(ball: Ball) -> tuple[float, float]:
    """log det of the middle, and a bound on its distance to that of every member; infinite if none is proved positive.

    The Cholesky factor is exact for a matrix within gamma_(n+1) trace(M) (as in `smallest_eigenvalue`); on the way to
    any member, log det moves by at most n |dM| over the smallest eigenvalue.
    """
    ball, n = ball.symmetric(), len(ball.middle)
    least = smallest_eigenvalue(ball)
    if least <= 0.0:
        return 0.0, np.inf
    logs = 2.0 * np.log(np.diag(linalg.cholesky(ball.middle)))
    backward = outward(gamma_n(n + 1) / (1.0 - gamma_n(n + 1)) * float(np.trace(ball.middle)))
    moved = Ball(np.zeros_like(ball.radius), ball.radius).norm() + backward
    if backward >= least:
        return 0.0, np.inf
    rounding = (8.0 * UNIT_ROUNDOFF + gamma_n(n + 2)) * float(np.abs(logs).sum())
    return float(logs.sum()), outward(n * moved / (least - backward) + rounding)


def lyapunov_weight(closed_loop: Ball, discount: float) -> tuple[Float64[np.ndarray, "N N"], float]:
    """X > 0 and theta > 0 with X - discount F'X F >= theta I for every F in `closed_loop`; theta = 0 if not proved.

    A proof that sqrt(discount) F is stable. If E is symmetric, sum discount^k F'^k E F^k lies between -|E|/theta X and
    |E|/theta X, for the same sum of theta I is at most X.
    """
    n = len(closed_loop.middle)
    scaled = np.sqrt(discount) * closed_loop.middle
    try:
        with judged_later():
            weight = linalg.solve_discrete_lyapunov(scaled.T, np.eye(n))
    except linalg.LinAlgError:
        return np.eye(n), 0.0
    weight = 0.5 * (weight + weight.T)
    if not np.all(np.isfinite(weight)):
        return np.eye(n), 0.0
    around = Ball.exact(weight)
    left = around - (closed_loop.T @ around @ closed_loop).times(discount)
    theta = 1.0 - outward((left - Ball.exact(np.eye(n))).norm())
    return weight, theta if theta > 0.0 and smallest_eigenvalue(around) > 0.0 else 0.0
