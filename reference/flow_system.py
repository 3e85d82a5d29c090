"""The linear systems of Newton's method for the flow problem: conjugate gradients first, factors where they fail.

Three ways, each tried until it fails. A unit diagonal is enough while all weights are of one size. Next to a pole and
in the cold they range over ten decades; on graphs that mix, the policy they make (`reference.flow_preconditioner`)
undoes that. On grids and corridors it does not, but there factors stay sparse. Nothing here depends on the generator.
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

_SHORT = 50  # conjugate-gradient steps with a unit diagonal after which the policy of the weights is tried
_POLICY = 40  # steps with that policy, a dozen times as dear, after which a factorisation is taken
_LONG = 1500  # steps where there can be none: a direction that is not quite Newton's still descends
_ACCURATE = 1e-3  # with the policy steps are so few that looser directions cost more Newton steps than they save
_TINY = 1e-300

Inverse = Callable[[Float64[np.ndarray, " N"]], Float64[np.ndarray, " N"]]


class NormalEquations:
    """Solves `B^T diag(weights) B x = right`; remembers which ways have failed."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._direct = flow.starts_direct
        self._diagonal = self._policy = True

    @property
    def method(self) -> str:
        """How the last system was solved."""
        if not self._direct:
            return "conjugate gradients"
        return "sparse factors" if self._flow.is_local else "Cholesky factors"

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
        scale, jitter = 1.0 / np.sqrt(diagonal), 16.0 * UNIT_ROUNDOFF
        while jitter < 1.0:
            try:
                return scale * self._factored(weights, scale, jitter)(scale * right)
            except (linalg.LinAlgError, RuntimeError, ValueError):
                jitter *= 1e3  # not positive definite to rounding
        return np.full_like(right, np.nan)

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
