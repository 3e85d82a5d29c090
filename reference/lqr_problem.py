"""What a linear-quadratic problem is, and what a linear-Gaussian policy in it is; checked once, here."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float64
from scipy import linalg

from reference.enclosure import Ball, smallest_eigenvalue
from reference.rounding import gamma_n


class InvalidLQR(ValueError):
    """The matrices do not describe a linear-quadratic problem with a solution; the message says what and where."""


@dataclass(frozen=True, eq=False, init=False)
class LQR:
    """A linear-quadratic problem with `n` state and `m` action dimensions. Arrays are read-only float64.

    * `dynamics` A `(n, n)`, `control` B `(n, m)`, `noise` W `(n, n)`: zero if not given.
    * `state_cost` Q `(n, n)`, `action_cost` R `(m, m)`, `cross_cost` N `(n, m)`, zero if not given: the reward is
      -(x'Qx + 2 x'Nu + u'Ru). R must be positive definite, [[Q, N], [N', R]] and covariances positive semidefinite.
    * `discount` in [0, 1); `initial_mean` `(n,)`, zero if not given; `initial_covariance` `(n, n)`, then the identity.

    InvalidLQR, naming the matrix, for anything that does not fit. Symmetric matrices must be so to the bit.
    """

    dynamics: Float64[np.ndarray, "n n"]
    control: Float64[np.ndarray, "n m"]
    state_cost: Float64[np.ndarray, "n n"]
    action_cost: Float64[np.ndarray, "m m"]
    discount: float
    noise: Float64[np.ndarray, "n n"]
    initial_mean: Float64[np.ndarray, " n"]
    initial_covariance: Float64[np.ndarray, "n n"]
    cross_cost: Float64[np.ndarray, "n m"]

    def __init__(
        self,
        dynamics: npt.ArrayLike,
        control: npt.ArrayLike,
        state_cost: npt.ArrayLike,
        action_cost: npt.ArrayLike,
        discount: float,
        noise: npt.ArrayLike | None = None,
        initial_mean: npt.ArrayLike | None = None,
        initial_covariance: npt.ArrayLike | None = None,
        cross_cost: npt.ArrayLike | None = None,
    ) -> None:
        b = _array("control", control, None)
        n, m = b.shape
        fields = {
            "dynamics": _array("dynamics", dynamics, (n, n)),
            "control": b,
            "state_cost": _symmetric("state_cost", state_cost, n),
            "action_cost": _symmetric("action_cost", action_cost, m),
            "noise": _symmetric("noise", np.zeros((n, n)) if noise is None else noise, n),
            "initial_mean": _array("initial_mean", np.zeros(n) if initial_mean is None else initial_mean, (n,)),
            "initial_covariance": _symmetric(
                "initial_covariance", np.eye(n) if initial_covariance is None else initial_covariance, n
            ),
            "cross_cost": _array("cross_cost", np.zeros((n, m)) if cross_cost is None else cross_cost, (n, m)),
        }
        if not 0.0 <= float(discount) < 1.0:
            raise InvalidLQR(f"discount is {discount!r}: expected a number in [0, 1).")
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "discount", float(discount))
        if smallest_eigenvalue(Ball.exact(self.action_cost)) <= 0.0:
            least = float(linalg.eigvalsh(self.action_cost).min())
            raise InvalidLQR(f"action_cost has the eigenvalue {least:g}: expected a positive definite matrix.")
        _check_semidefinite("[[state_cost, cross_cost], [cross_cost', action_cost]]", self.cost)
        _check_semidefinite("noise", self.noise)
        _check_semidefinite("initial_covariance", self.initial_covariance)

    @property
    def cost(self) -> Float64[np.ndarray, "k k"]:
        """[[Q, N], [N', R]]."""
        return np.block([[self.state_cost, self.cross_cost], [self.cross_cost.T, self.action_cost]])


@dataclass(frozen=True, eq=False)
class LinearGaussian:
    """The policy N(-K x, S): `gain` K `(m, n)`, `covariance` S `(m, m)`, zero for a deterministic one."""

    gain: Float64[np.ndarray, "m n"]
    covariance: Float64[np.ndarray, "m m"]


def check_policy_shape(problem: LQR, policy: LinearGaussian) -> None:
    """ValueError unless the gain is `(m, n)` and the covariance symmetric `(m, m)`, both finite."""
    n, m = problem.control.shape
    for name, array, shape in (("gain", policy.gain, (m, n)), ("covariance", policy.covariance, (m, m))):
        if array.shape != shape or not np.all(np.isfinite(array)):
            raise ValueError(f"policy.{name} has shape {array.shape}: expected finite numbers of shape {shape}")
    if not np.array_equal(policy.covariance, policy.covariance.T):
        raise ValueError("policy.covariance is not symmetric: expected S == S.T; pass 0.5 * (S + S.T)")


def _array(name: str, value: npt.ArrayLike, shape: tuple[int, ...] | None) -> np.ndarray:
    array = np.array(value, dtype=np.float64)
    if shape is None and (array.ndim != 2 or array.size == 0):
        raise InvalidLQR(f"{name} has shape {array.shape}: expected (n, m), with at least one state and one action.")
    if shape is not None and array.shape != shape:
        raise InvalidLQR(f"{name} has shape {array.shape}: expected {shape}, as control has n rows and m columns.")
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        index = [int(i) for i in wrong[0]]
        raise InvalidLQR(f"{name}{index} is {array[tuple(index)]}: expected a finite number.")
    array.setflags(write=False)
    return array


def _symmetric(name: str, value: npt.ArrayLike, size: int) -> np.ndarray:
    array = _array(name, value, (size, size))
    wrong = np.argwhere(array != array.T)
    if len(wrong):
        i, j = (int(k) for k in wrong[0])
        raise InvalidLQR(
            f"{name}[{i}, {j}] is {array[i, j]:.17g} and {name}[{j}, {i}] is {array[j, i]:.17g}: expected a symmetric "
            "matrix. Pass 0.5 * (M + M.T) if it is symmetric up to rounding."
        )
    return array


def _check_semidefinite(name: str, matrix: np.ndarray) -> None:
    least = float(linalg.eigvalsh(matrix).min())
    if least < -gamma_n(16 * len(matrix)) * float(np.abs(matrix).sum()):
        raise InvalidLQR(f"{name} has the eigenvalue {least:g}: expected a positive semidefinite matrix.")
