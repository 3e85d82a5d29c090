r"""Linear-quadratic control: the continuous decision process whose exact answer is known.

    x' = A x + B u + noise,   noise ~ (0, W),        reward  r(x, u) = -(x'Q x + 2 x'N u + u'R u),       discount gamma

The optimal values are V(x) = -x'P x + v0, where P is the stabilising solution of the discounted Riccati equation

    P = Q + gamma A'P A - (N + gamma A'P B) Huu^-1 (N' + gamma B'P A),     Huu = R + gamma B'P B                    (1)

and u = -K x with K = Huu^-1 (N' + gamma B'P A) is optimal among all policies whose discounted second moment stays
finite. Q(x, u) = -(x, u)'H (x, u) + q0 with H = [[Q, N], [N', R]] + gamma [A B]'P [A B], q0 = gamma (v0 - tr P W).

*Soft* (maximum entropy, temperature alpha, SAC-01 and SAC-03): V(x) = alpha log int exp(Q(x, u)/alpha) du is a Gaussian
integral. P and K stay the same, the policy is N(-K x, alpha/2 Huu^-1), and

    (1 - gamma) v0 = -gamma tr(P W) + alpha/2 (m log(pi alpha) - log det Huu)                                       (2)

*Regularised* by alpha KL(policy || prior) with a prior N(-K0 x, S0): the soft problem for the costs plus
alpha/2 (u + K0 x)'S0^-1 (u + K0 x), with -alpha/2 (m log 2 pi + log det S0) more in (2).

**What the bounds cover.** Floats come from SciPy and are refined by Newton's method (Kleinman); then one pass in ball
arithmetic (`reference.enclosure`) proves, for the given float matrices, that the stabilising solution exists and
|P - exact| is at most `value_error` in the spectral norm. Let F = A - B K, E = Q - N K - K'N' + K'R K + gamma F'P F - P
and X - gamma F'X F >= theta I. Then P + c X is above the values of K, hence above P*, once c theta >= |E|; and P~ =
P - c X satisfies Riccati(P~) - P~ >= c theta - |E| - |G|^2 / lambda_min(Huu(P~)) with G = N' - R K + gamma B'P~F, hence
P~ <= P* once that is positive. (Kleinman's iterates from K decrease and stay above P~, and strictness makes their limit
stabilising.) `H` and `q_constant` follow from P and v0 and carry no bound of their own.

Sources: D. Bertsekas, Dynamic Programming and Optimal Control I, section 4.1; D. Kleinman, IEEE TAC 13 (1968); P.
Lancaster and L. Rodman, Algebraic Riccati Equations (1995), theorem 13.1.1.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy import linalg

from reference.certify import ELEMENTARY
from reference.checks import check_temperature
from reference.enclosure import (
    Ball,
    inverse,
    judged_later,
    log_determinant,
    lyapunov_weight,
    smallest_eigenvalue,
)
from reference.lqr_problem import LQR, InvalidLQR, LinearGaussian, check_policy_shape
from reference.rounding import UNIT_ROUNDOFF, gamma_n, outward
from reference.solution import Status

__all__ = ["LQRSolution", "solve_kl_lqr", "solve_lqr", "solve_soft_lqr"]

_REFINEMENTS = 3  # Newton's method doubles the digits that SciPy's solver leaves; the last only confirms


@dataclass(frozen=True, eq=False)
class LQRSolution:
    """Quadratic values of a policy, with a certificate.

    * `P` `(n, n)`, `constant` v0: V(x) = -x'P x + v0; `H` `(n+m, n+m)`, `q_constant` q0: Q(x, u) = q0 minus the form H
      of (x, u), with the entropy (or the price) of later actions, not of its own.
    * `policy`: the optimal policy, or the one that was evaluated.
    * `value_error`, `gain_error`, `covariance_error`: bounds in the spectral norm on the errors of P, K and S, and
      `constant_error` on that of v0, for the given floats, rounding included; infinite where the certificate fails.
    * `alpha`: temperature; `status`: whether the certificate holds.
    """

    P: Float64[np.ndarray, "n n"]
    constant: float
    H: Float64[np.ndarray, "k k"]
    q_constant: float
    policy: LinearGaussian
    alpha: float
    value_error: float
    constant_error: float
    gain_error: float
    covariance_error: float
    status: Status

    def value(self, state: Float64[np.ndarray, "*batch n"]) -> np.float64 | Float64[np.ndarray, "*batch"]:
        """V(x), off by at most `error_at(x)` and the rounding of this sum."""
        return self.constant - np.einsum("...i,ij,...j->...", state, self.P, state)

    def q(
        self, state: Float64[np.ndarray, "*batch n"], action: Float64[np.ndarray, "*batch m"]
    ) -> np.float64 | Float64[np.ndarray, "*batch"]:
        """Q(x, u)."""
        pair = np.concatenate([state, action], axis=-1)
        return self.q_constant - np.einsum("...i,ij,...j->...", pair, self.H, pair)

    def error_at(self, state: Float64[np.ndarray, "*batch n"]) -> np.float64 | Float64[np.ndarray, "*batch"]:
        """Bound on the error of V(x): `value_error` |x|^2 + `constant_error`."""
        return self.value_error * np.square(state).sum(axis=-1) + self.constant_error


def solve_lqr(problem: LQR) -> LQRSolution:
    """The optimal values and the optimal, deterministic policy; InvalidLQR if nothing stabilises the problem."""
    return _solve(problem, _Costs.of(problem), 0.0, None)


def solve_soft_lqr(problem: LQR, alpha: float) -> LQRSolution:
    """The soft-optimal values and the Gaussian policy at temperature `alpha` > 0 (SAC-01, SAC-03).

    InvalidLQR if nothing stabilises the problem.
    """
    check_temperature(alpha)
    return _solve(problem, _Costs.of(problem), alpha, None)


def solve_kl_lqr(problem: LQR, alpha: float, prior: LinearGaussian) -> LQRSolution:
    """The optimum of reward minus alpha KL(policy || prior), alpha > 0, for a Gaussian prior with S0 > 0.

    ValueError for a prior of the wrong shape or without density; InvalidLQR if nothing stabilises the problem.
    """
    check_temperature(alpha)
    check_policy_shape(problem, prior)
    precision = inverse(Ball.exact(prior.covariance)).symmetric()
    log_density, error = log_determinant(Ball.exact(prior.covariance))
    if not np.isfinite(error):
        raise ValueError("prior.covariance: expected a positive definite matrix, so that the prior has a density")
    half = precision.times(0.5 * alpha)
    gain, costs = Ball.exact(prior.gain), _Costs.of(problem)
    shifted = _Costs(costs.Q + gain.T @ half @ gain, costs.N + gain.T @ half, costs.R + half)
    return _solve(problem, shifted, alpha, (log_density, error))


@dataclass(frozen=True, eq=False)
class _Costs:
    """Stage costs, as floats that may carry a radius."""

    Q: Ball
    N: Ball
    R: Ball

    @classmethod
    def of(cls, problem: LQR) -> "_Costs":
        return cls(*map(Ball.exact, (problem.state_cost, problem.cross_cost, problem.action_cost)))


def _solve(problem: LQR, costs: _Costs, alpha: float, prior: tuple[float, float] | None) -> LQRSolution:
    gamma = problem.discount
    P, K = _refined(problem, costs)
    value_error = _riccati_error(problem, costs, P, K)
    A, B = Ball.exact(problem.dynamics), Ball.exact(problem.control)
    values = Ball(P, np.full_like(P, value_error)) if np.isfinite(value_error) else Ball(P, np.full_like(P, np.inf))
    Huu = (costs.R + (B.T @ values @ B).times(gamma)).symmetric()
    least = smallest_eigenvalue(Huu)
    gradient = costs.N.T - costs.R @ Ball.exact(K) + (B.T @ values @ (A - B @ Ball.exact(K))).times(gamma)
    gain_error = outward(gradient.norm() / least) if least > 0.0 else math.inf

    m = len(K)
    covariance = inverse(Huu).symmetric().times(0.5 * alpha)
    spread = Ball(np.zeros((m, m)), covariance.radius).norm() if alpha > 0.0 else 0.0
    bonus, bonus_error = 0.0, 0.0
    if alpha > 0.0:
        log_det, log_det_error = log_determinant(Huu)
        volume = m * math.log(0.5 * alpha if prior else math.pi * alpha)
        prior_log_det, prior_error = prior or (0.0, 0.0)
        bonus = 0.5 * alpha * (volume - log_det - prior_log_det)
        size = abs(volume) + m + abs(log_det) + abs(prior_log_det)
        bonus_error = 0.5 * alpha * (log_det_error + prior_error + 2.0 * ELEMENTARY * size)
    constant, constant_error = discounted_constant(problem, values, bonus, bonus_error)
    certain = np.isfinite([value_error, gain_error, spread, constant_error]).all()
    return LQRSolution(
        P=P, constant=constant, **q_function(problem, P, constant),
        policy=LinearGaussian(K, np.zeros((m, m)) if alpha == 0.0 else covariance.middle), alpha=alpha,
        value_error=value_error, constant_error=constant_error, gain_error=gain_error, covariance_error=spread,
        status=Status.DIRECT if certain else Status.ROUNDING_FLOOR,
    )  # fmt: skip


def _refined(problem: LQR, costs: _Costs) -> tuple[np.ndarray, np.ndarray]:
    """P and K of (1) in floats: SciPy's solution, and Newton's method on what it leaves (Kleinman 1968)."""
    gamma, A, B = problem.discount, problem.dynamics, problem.control
    Q, N, R = costs.Q.middle, costs.N.middle, costs.R.middle
    root = math.sqrt(gamma)

    def best_gain(P: np.ndarray) -> np.ndarray:
        return linalg.solve(R + gamma * B.T @ P @ B, N.T + gamma * B.T @ P @ A, assume_a="pos")

    try:
        with judged_later():
            P = linalg.solve_discrete_are(root * A, root * B, Q, R, s=N) if gamma > 0.0 else np.zeros_like(Q)
            for _ in range(_REFINEMENTS):
                P = 0.5 * (P + P.T)
                K = best_gain(P)
                F = A - B @ K
                residual = Q - N @ K - K.T @ N.T + K.T @ R @ K + gamma * F.T @ P @ F - P
                P = P + linalg.solve_discrete_lyapunov(root * F.T, 0.5 * (residual + residual.T))
            P = 0.5 * (P + P.T)
            K = best_gain(P)
            # Where no gain stabilises, SciPy may return a matrix all the same.
            if not np.abs(linalg.eigvals(root * (A - B @ K))).max() < 1.0:
                raise linalg.LinAlgError("the gain does not stabilise")
            return P, K
    except (linalg.LinAlgError, ValueError) as error:
        raise InvalidLQR(_why_unstable(problem)) from error


def _riccati_error(problem: LQR, costs: _Costs, P: np.ndarray, K: np.ndarray) -> float:
    """The bound on |P - exact| of the module's docstring; infinite if it cannot be proved."""
    gamma, A, B = problem.discount, Ball.exact(problem.dynamics), Ball.exact(problem.control)
    gain, values = Ball.exact(K), Ball.exact(P)
    F = A - B @ gain
    stage = costs.Q - costs.N @ gain - gain.T @ costs.N.T + gain.T @ costs.R @ gain
    residual = (stage + (F.T @ values @ F).times(gamma) - values).norm()
    weight, theta = lyapunov_weight(F, gamma)
    if theta == 0.0:
        return math.inf
    around = Ball.exact(weight)
    c = max((1.0 + 2.0**-10) * residual / theta, 2.0**-1000)
    for _ in range(6):
        below = values - around.times(c)
        least = smallest_eigenvalue(costs.R + (B.T @ below @ B).times(gamma))
        gradient = (costs.N.T - costs.R @ gain + (B.T @ below @ F).times(gamma)).norm()
        if least <= 0.0:
            return math.inf
        needed = outward(residual + gradient * gradient / least)
        if needed < c * theta:
            return outward(c * around.norm())
        c = (1.0 + 2.0**-10) * needed / theta
    return math.inf


# -- shared with the evaluation of a given policy -----------------------------------------------------------------


def discounted_constant(problem: LQR, values: Ball, bonus: float, bonus_error: float) -> tuple[float, float]:
    """v0 with (1 - gamma) v0 = bonus - gamma tr(P W), and a bound on its error."""
    gamma = problem.discount
    low, high = (values @ Ball.exact(problem.noise)).trace()
    loss = gamma * 0.5 * (low + high)
    constant = (bonus - loss) / (1.0 - gamma)
    error = (bonus_error + 0.5 * gamma * (high - low)) / (1.0 - gamma)
    error += 8.0 * UNIT_ROUNDOFF * ((abs(bonus) + abs(low) + abs(high)) / (1.0 - gamma) + abs(constant))
    return constant, outward(error) if np.isfinite(error) else math.inf


def q_function(problem: LQR, P: np.ndarray, constant: float) -> dict:
    """`H` and `q_constant` of Q(x, u) = r(x, u) + gamma E V(x')."""
    step = np.hstack([problem.dynamics, problem.control])
    H = problem.cost + problem.discount * step.T @ P @ step
    return {"H": 0.5 * (H + H.T), "q_constant": problem.discount * (constant - float(np.sum(P * problem.noise)))}


def _why_unstable(problem: LQR) -> str:
    """Which mode no gain can move (Popov-Belevitch-Hautus), or that the costs leave one undecided."""
    scaled = math.sqrt(problem.discount) * problem.dynamics
    n = len(scaled)
    for mode in linalg.eigvals(scaled):
        pencil = np.hstack([scaled - mode * np.eye(n), problem.control])
        singular = linalg.svdvals(pencil)
        if abs(mode) >= 1.0 - gamma_n(16 * n) and singular[-1] <= gamma_n(64 * n) * singular[0]:
            return (
                f"not stabilisable: sqrt(discount) A has the eigenvalue {mode:.6g}, of modulus >= 1, and control does "
                "not reach its mode. Expected a pair (A, B) that some gain stabilises; use a smaller discount, or let "
                "control act on that mode."
            )
    return (
        "no stabilising solution of the Riccati equation: a mode of sqrt(discount) A on or near the unit circle costs "
        "nothing. Expected state_cost to charge every such mode; add to it, or use a smaller discount."
    )
