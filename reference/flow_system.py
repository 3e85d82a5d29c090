"""The linear systems of Newton's method for the flow problem: conjugate gradients first, factors where they fail.

Three ways, each tried until it fails. A unit diagonal is enough while all weights are of one size. Next to a pole and
in the cold they range over ten decades; on graphs that mix, the policy they make (`reference.flow_preconditioner`)
undoes that. On grids and corridors it does not, but there factors stay sparse. Nothing here depends on the generator.

Factors of B^T diag(h) B lose the square of the condition number of diag(h)^(1/2) B, and a shift of all values has the
size 1 - gamma there. Where dense ones leave a residual, those of the rows themselves are taken: the triangle R of their
QR decomposition, in R^T R x = b with refinement (A. Bjorck, Stability analysis of the method of seminormal equations,
Linear Algebra and its Applications 88/89, 1987), heavy rows first (A. J. Cox and N. J. Higham, Stability of Householder
QR factorization for weighted least squares problems, Numerical Analysis 1997).
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64
from scipy import linalg, sparse
from scipy.sparse import linalg as sparse_linalg

from reference.flow import Flow
from reference.flow_preconditioner import policy_inverse
from reference.rounding import UNIT_ROUNDOFF

__all__ = ["NormalEquations"]

_SHORT = 30  # conjugate-gradient steps with a unit diagonal after which the policy of the weights is tried
_POLICY = 40  # steps with that policy, a dozen times as dear, after which a factorisation is taken
_LONG = 1500  # steps where there can be none: a direction that is not quite Newton's still descends
_ACCURATE = 1e-2  # with the policy steps are so few that looser directions cost more Newton steps than they save
_RESIDUAL = 1e-8  # of the right-hand side, above which Cholesky factors are given up for orthogonal ones
_REFINEMENTS = 5
_TINY = 1e-300

Inverse = Callable[[Float64[np.ndarray, " N"]], Float64[np.ndarray, " N"]]


class NormalEquations:
    """Solves `B^T diag(weights) B x = right`; remembers which ways have failed."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._direct = flow.starts_direct
        self._diagonal = self._policy = self._cholesky = True

    @property
    def method(self) -> str:
        """How the last system was solved."""
        if not self._direct:
            return "conjugate gradients"
        if self._flow.is_local:
            return "sparse factors"
        return "Cholesky factors" if self._cholesky else "orthogonal factors"

    def solve(
        self, weights: Float64[np.ndarray, " M"], right: Float64[np.ndarray, " N"], tolerance: float
    ) -> Float64[np.ndarray, " N"]:
        """The solution; with conjugate gradients, to `tolerance` in a scaled residual or as far as they come."""
        diagonal = np.maximum(self._flow.diagonal(weights), _TINY)

        def unit(vector: np.ndarray) -> np.ndarray:
            return vector / diagonal

        if self._diagonal and not self._direct:
            result, self._diagonal = self._iterate(weights, unit, right, tolerance, _SHORT)
            if self._diagonal:
                return result
        if self._policy and not self._direct:
            inverse = policy_inverse(self._flow, weights)
            if inverse is not None:
                result, done = self._iterate(weights, inverse, right, min(tolerance, _ACCURATE), _POLICY)
                if done:
                    return result
            self._policy = False
        self._direct = self._direct or self._flow.may_be_direct
        if not self._direct:
            return self._iterate(weights, unit, right, tolerance, _LONG)[0]
        scale = 1.0 / np.sqrt(diagonal)
        if self._cholesky or self._flow.is_local:
            result = self._by_factors(weights, scale, right)
            if self._flow.is_local or self._left(weights, scale, right, result) <= _RESIDUAL:
                return result
        refined = self._by_rows(weights, scale, right)
        if refined is not None:
            self._cholesky = False
            return refined
        return self._by_factors(weights, scale, right)

    def _by_factors(self, weights: np.ndarray, scale: np.ndarray, right: np.ndarray) -> np.ndarray:
        """By factors of the matrix, with what its diagonal needs to be positive definite."""
        jitter = 16.0 * UNIT_ROUNDOFF
        while jitter < 1.0:
            try:
                return scale * self._factored(weights, scale, jitter)(scale * right)
            except (linalg.LinAlgError, RuntimeError, ValueError):
                jitter *= 1e3  # not positive definite to rounding
        return np.full_like(right, np.nan)

    def _by_rows(self, weights: np.ndarray, scale: np.ndarray, right: np.ndarray) -> np.ndarray | None:
        """By orthogonal factors of the weighted rows; None where they are singular to rounding."""
        rows = self._flow.weighted_rows(weights, scale)
        if not np.isfinite(rows).all():
            return None
        triangle = np.asarray(linalg.qr(rows[np.argsort(-weights)], overwrite_a=True, mode="r", check_finite=False)[0])
        triangle = triangle[: len(right)]
        if len(triangle) < len(right) or np.abs(triangle.diagonal()).min() <= UNIT_ROUNDOFF:
            return None
        result, rest, least = np.zeros_like(right), right, np.inf
        for _ in range(_REFINEMENTS):
            half = linalg.solve_triangular(triangle, scale * rest, trans=1, check_finite=False)
            result = result + scale * linalg.solve_triangular(triangle, half, check_finite=False)
            rest = right - self._flow.adjoint(weights * self._flow.forward(result))
            size = float(np.abs(scale * rest).max())
            if not size < 0.5 * least:
                break
            least = size
        return result

    def _left(self, weights: np.ndarray, scale: np.ndarray, right: np.ndarray, result: np.ndarray) -> float:
        """The residual as a share of the right-hand side, both scaled; infinite if it is no number."""
        rest = scale * (right - self._flow.adjoint(weights * self._flow.forward(result)))
        share = float(np.abs(rest).max()) / max(float(np.abs(scale * right).max()), _TINY)
        return share if np.isfinite(share) else np.inf

    def _iterate(
        self, weights: np.ndarray, inverse: Inverse, right: np.ndarray, tolerance: float, limit: int
    ) -> tuple[np.ndarray, bool]:
        """Preconditioned conjugate gradients; the residual is measured in the norm of `inverse`."""
        flow, result, residual = self._flow, np.zeros_like(right), right.copy()
        direction = better = inverse(residual)
        size = float(residual @ better)
        goal = tolerance**2 * size
        for _ in range(limit):
            if size <= goal:
                return result, True
            image = flow.adjoint(weights * flow.forward(direction))
            curved = float(direction @ image)
            if not curved > 0.0:
                break
            length = size / curved
            result += length * direction
            residual -= length * image
            better = inverse(residual)
            size, before = float(residual @ better), size
            direction = better + (size / before) * direction
        return result, False

    def _factored(self, weights: np.ndarray, scale: np.ndarray, jitter: float) -> Callable[[np.ndarray], np.ndarray]:
        matrix = self._flow.gram(weights, scale)
        if isinstance(matrix, np.ndarray):
            matrix.flat[:: len(matrix) + 1] += jitter
            factors = linalg.cho_factor(matrix, lower=True, overwrite_a=True)
            return lambda right: linalg.cho_solve(factors, right)
        shifted = sparse.csc_array(matrix + jitter * sparse.eye_array(len(scale)))
        options = {"SymmetricMode": True}
        return sparse_linalg.splu(shifted, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options).solve
