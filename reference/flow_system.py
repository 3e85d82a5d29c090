"""The linear systems of Newton's method for the flow problem: conjugate gradients first, factors where they fail.

On random graphs conjugate gradients with a unit diagonal need a few dozen products and factors fill up; on grids, near
poles and in the cold it is the other way round. Nothing here depends on the generator.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64
from scipy import linalg, sparse
from scipy.sparse import linalg as sparse_linalg

from reference.flow import Flow
from reference.rounding import UNIT_ROUNDOFF

__all__ = ["NormalEquations"]

_SHORT = 150  # conjugate-gradient steps after which a factorisation is taken, where there can be one
_LONG = 1500  # and where there cannot: a direction that is not quite Newton's still descends
_TINY = 1e-300


class NormalEquations:
    """Solves `B^T diag(weights) B x = right`, scaled to a unit diagonal; remembers once conjugate gradients fail."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._direct = flow.starts_direct
        self._limit = _SHORT

    @property
    def method(self) -> str:
        """How the last system was solved."""
        if not self._direct:
            return "conjugate gradients"
        return "sparse factors" if self._flow.is_local else "Cholesky factors"

    def solve(
        self, weights: Float64[np.ndarray, " M"], right: Float64[np.ndarray, " N"], tolerance: float
    ) -> Float64[np.ndarray, " N"]:
        """The solution; with conjugate gradients, to `tolerance` in the scaled residual or as far as they come."""
        scale = 1.0 / np.sqrt(np.maximum(self._flow.diagonal(weights), _TINY))
        if not self._direct:
            result, done = self._iterate(weights, scale, right, tolerance)
            if done:
                return result
            self._direct = self._flow.may_be_direct
            if not self._direct:
                self._limit = _LONG
                return self._iterate(weights, scale, right, tolerance)[0]
        jitter = 16.0 * UNIT_ROUNDOFF
        while jitter < 1.0:
            try:
                return scale * self._factored(weights, scale, jitter)(scale * right)
            except (linalg.LinAlgError, RuntimeError, ValueError):
                jitter *= 1e3  # not positive definite to rounding
        return np.full_like(right, np.nan)

    def _iterate(
        self, weights: np.ndarray, scale: np.ndarray, right: np.ndarray, tolerance: float
    ) -> tuple[np.ndarray, bool]:
        flow, result = self._flow, np.zeros_like(right)
        residual = scale * right
        direction, size = residual.copy(), float(residual @ residual)
        goal = tolerance**2 * size
        for _ in range(self._limit):
            if size <= goal:
                return scale * result, True
            image = scale * flow.adjoint(weights * flow.forward(scale * direction))
            curved = float(direction @ image)
            if not curved > 0.0:
                break
            length = size / curved
            result += length * direction
            residual -= length * image
            size, before = float(residual @ residual), size
            direction = residual + (size / before) * direction
        return scale * result, False

    def _factored(self, weights: np.ndarray, scale: np.ndarray, jitter: float) -> Callable[[np.ndarray], np.ndarray]:
        matrix = self._flow.gram(weights, scale)
        if isinstance(matrix, np.ndarray):
            matrix.flat[:: len(matrix) + 1] += jitter
            factors = linalg.cho_factor(matrix, lower=True, overwrite_a=True)
            return lambda right: linalg.cho_solve(factors, right)
        shifted = sparse.csc_array(matrix + jitter * sparse.eye_array(len(scale)))
        options = {"SymmetricMode": True}
        return sparse_linalg.splu(shifted, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options).solve
