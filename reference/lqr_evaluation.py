r"""A given linear-Gaussian policy in a linear-quadratic problem: its values, and where it spends its time.

For u ~ N(-K x, S) and F = A - B K, the values are V(x) = -x'P x + v0 with

    P = Q - N K - K'N' + K'R K + gamma F'P F,
    (1 - gamma) v0 = -gamma tr(P W) - tr(Huu S) + alpha/2 log det(2 pi e S),      Huu = R + gamma B'P B              (1)

(entropy bonus only for alpha > 0), and the discounted occupancy of states has the mean and second moment

    m = (1 - gamma) E sum gamma^t x_t     = (1 - gamma) mu0 + gamma F m
    M = (1 - gamma) E sum gamma^t x_t x_t' = (1 - gamma)(S0 + mu0 mu0') + gamma (F M F' + W + B S B')                (2)

both finite iff sqrt(gamma) F is stable. (1 - gamma) E V(x_0) = -E_occupancy[cost] + alpha entropy joins the two, as
OCC-02 does for finite processes. Linear matrix equations are solved, refined, and enclosed (`reference.enclosure`).
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy import linalg

from reference.certify import ELEMENTARY
from reference.enclosure import Ball, inverse, judged_later, log_determinant, lyapunov_weight
from reference.lqr import LQRSolution, discounted_constant, q_function
from reference.lqr_problem import LQR, InvalidLQR, LinearGaussian, check_policy_shape
from reference.rounding import UNIT_ROUNDOFF, outward
from reference.solution import Status

__all__ = ["LQROccupancy", "evaluate_lqr", "lqr_occupancy"]

_REFINEMENTS = 2


@dataclass(frozen=True, eq=False)
class LQROccupancy:
    """Discounted occupancy of the states, normalised to mass one, with bounds in the Euclidean and spectral norm.

    * `mean` m `(n,)`, `second_moment` M `(n, n)` of (2); `mean_error`, `second_moment_error`: rounding included.
    * `pair_second_moment` `(n+m, n+m)`: of (x, u).
    """

    mean: Float64[np.ndarray, " n"]
    second_moment: Float64[np.ndarray, "n n"]
    pair_second_moment: Float64[np.ndarray, "k k"]
    mean_error: float
    second_moment_error: float

    @property
    def covariance(self) -> Float64[np.ndarray, "n n"]:
        """M - m m'."""
        return self.second_moment - np.outer(self.mean, self.mean)

    @property
    def covariance_error(self) -> float:
        """Bound on the error of `covariance` in the spectral norm."""
        size = float(np.linalg.norm(self.mean))
        lost = 2.0 * UNIT_ROUNDOFF * (float(np.linalg.norm(self.second_moment)) + 2.0 * size * size)
        return outward(self.second_moment_error + self.mean_error * (2.0 * size + self.mean_error) + lost)


def evaluate_lqr(problem: LQR, policy: LinearGaussian, alpha: float = 0.0) -> LQRSolution:
    """The values of a linear-Gaussian policy, with entropy bonus for alpha > 0 (SAC-03); RL-02 for alpha = 0.

    `gain_error` and `covariance_error` are 0: the policy is given. InvalidLQR if sqrt(gamma)(A - B K) is unstable, for
    then the values are infinite; ValueError for a policy that does not fit, or alpha > 0 without a density.
    """
    if not (math.isfinite(alpha) and alpha >= 0.0):
        raise ValueError(f"alpha is {alpha!r}: expected a finite temperature >= 0.")
    F = _stable_loop(problem, policy)
    K, S = Ball.exact(policy.gain), Ball.exact(policy.covariance)
    Q, N, R = map(Ball.exact, (problem.state_cost, problem.cross_cost, problem.action_cost))
    stage = Q - N @ K - K.T @ N.T + K.T @ R @ K
    P, value_error = _solve_lyapunov(F, stage, problem.discount)
    values = Ball(P, np.full_like(P, value_error))
    B = Ball.exact(problem.control)
    low, high = ((R + (B.T @ values @ B).times(problem.discount)) @ S).trace()
    bonus, bonus_error = -0.5 * (low + high), 0.5 * (high - low) + UNIT_ROUNDOFF * (abs(low) + abs(high))
    if alpha > 0.0:
        log_det, log_det_error = log_determinant(S)
        if not math.isfinite(log_det_error):
            raise ValueError(f"policy.covariance is not positive definite: expected a density, as alpha is {alpha:g}")
        m = len(policy.covariance)
        entropy = 0.5 * (m * (1.0 + math.log(2.0 * math.pi)) + log_det)
        bonus += alpha * entropy
        bonus_error += alpha * (0.5 * log_det_error + 2.0 * ELEMENTARY * (4.0 * m + abs(log_det)))
        bonus_error += 2.0 * UNIT_ROUNDOFF * (abs(bonus) + alpha * abs(entropy))
    constant, constant_error = discounted_constant(problem, values, bonus, outward(bonus_error))
    certain = math.isfinite(value_error) and math.isfinite(constant_error)
    return LQRSolution(
        P=P, constant=constant, **q_function(problem, P, constant), policy=policy, alpha=alpha,
        value_error=value_error, constant_error=constant_error, gain_error=0.0, covariance_error=0.0,
        status=Status.DIRECT if certain else Status.ROUNDING_FLOOR,
    )  # fmt: skip


def lqr_occupancy(problem: LQR, policy: LinearGaussian) -> LQROccupancy:
    """Mean and second moment of the discounted occupancy of `policy` (OCC-01, OCC-02). Raises like `evaluate_lqr`."""
    gamma = problem.discount
    F = _stable_loop(problem, policy)
    B, S = Ball.exact(problem.control), Ball.exact(policy.covariance)
    start = Ball.exact(problem.initial_mean[:, None])
    complement = 1.0 - gamma  # within half an ulp of exact; charged as a rounding of what it multiplies
    first = (Ball.exact(problem.initial_covariance) + start @ start.T).times(complement)
    first = Ball(first.middle, outward(first.radius + 2.0 * UNIT_ROUNDOFF * np.abs(first.middle)))
    source = first + (Ball.exact(problem.noise) + B @ S @ B.T).times(gamma)
    M, second_moment_error = _solve_lyapunov(F.T, source, gamma)

    n = len(M)
    system = Ball.exact(np.eye(n)) - F.times(gamma)
    resolvent = inverse(system)
    shifted = start.times(complement)
    shifted = Ball(shifted.middle, outward(shifted.radius + 2.0 * UNIT_ROUNDOFF * np.abs(shifted.middle)))
    mean = linalg.solve(system.middle, shifted.middle)
    mean = mean + linalg.solve(system.middle, shifted.middle - system.middle @ mean)
    mean_error = outward(resolvent.norm() * (shifted - system @ Ball.exact(mean)).norm())

    cross = -M @ policy.gain.T
    actions = policy.gain @ M @ policy.gain.T + policy.covariance
    pair = np.block([[M, cross], [cross.T, actions]])
    return LQROccupancy(mean[:, 0], M, 0.5 * (pair + pair.T), mean_error, second_moment_error)


def _stable_loop(problem: LQR, policy: LinearGaussian) -> Ball:
    """A - B K, proved or at least seen to be stable under the discount."""
    check_policy_shape(problem, policy)
    F = Ball.exact(problem.dynamics) - Ball.exact(problem.control) @ Ball.exact(policy.gain)
    modulus = math.sqrt(problem.discount) * float(np.abs(linalg.eigvals(F.middle)).max())
    if modulus >= 1.0:
        raise InvalidLQR(
            f"sqrt(discount) (A - B K) has spectral radius {modulus:.6g}: expected less than 1, or values and "
            "occupancy are infinite. Use a stabilising gain (solve_lqr finds one) or a smaller discount."
        )
    return F


def _solve_lyapunov(F: Ball, source: Ball, discount: float) -> tuple[np.ndarray, float]:
    """The solution of P = source + discount F'P F, and a bound on its error in the spectral norm."""
    scaled = math.sqrt(discount) * F.middle.T
    P = np.zeros_like(source.middle)
    with judged_later():
        for _ in range(1 + _REFINEMENTS):
            residual = source.middle + discount * F.middle.T @ P @ F.middle - P
            P = P + linalg.solve_discrete_lyapunov(scaled, 0.5 * (residual + residual.T))
            P = 0.5 * (P + P.T)
    around = Ball.exact(P)
    residual = (source + (F.T @ around @ F).times(discount) - around).norm()
    weight, theta = lyapunov_weight(F, discount)
    return P, outward(residual / theta * Ball.exact(weight).norm()) if theta > 0.0 else math.inf
