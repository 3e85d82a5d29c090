r"""The deterministic policy gradient where all is exact: linear gains in a linear-quadratic problem (C10, RL-31).

For u = mu(x) = -K x and J(K) = E V_K(x_0), the theorem of Silver et al. (2014) reads

    grad J = E_{x ~ rho}[grad_K mu(x) grad_u Q_K(x, u) at u = mu(x)] = -2 E_K Sigma_K,                            (1)
    E_K = Huu K - Hux,   Huu = R + gamma B'P_K B,   Hux = N' + gamma B'P_K A,   Sigma_K = sum_t gamma^t E x_t x_t',

because mu = -K x and grad_u Q = -2 (Hux x + Huu u). rho is the un-normalised discounted visitation of mu itself: with
the states of another policy in place of Sigma_K, (1) is no gradient of J, though it vanishes at the same K if they span
the space. No importance weights are needed, because the action is not averaged over.

**Differences.** With D = K' - K (as in Fazel et al. 2018, arXiv:1801.05039, with a discount and noise)

    J(K) - J(K') = tr Sigma_K' (2 D'E_K + D'Huu D),                                                              (2)

which loses no digits when K' is close to K. With the optimal K*, where E = 0: J* - J(K) = tr Sigma_K D'Huu* D.

**Gradient domination.** The bracket in (2) is at least -E_K'Huu^-1 E_K, so for K' = K*, and then by (1),

    J* - J(K) <= tr Sigma* E_K'Huu^-1 E_K <= kappa |grad J|_F^2,
    kappa = |Sigma_K^-1 Sigma* Sigma_K^-1| / (4 lambda_min(Huu)).                                                 (3)

A step K' = K + eta grad J that gains at least eta |grad J|_F^2 / 2 therefore leaves at most 1 - eta / (2 kappa) of the
distance J* - J: ascent converges to the Riccati gain although J is not concave.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy import linalg

from reference.enclosure import Ball, judged_later
from reference.lqr import solve_lqr
from reference.lqr_evaluation import evaluate_lqr, lqr_occupancy
from reference.lqr_problem import LQR, LinearGaussian
from reference.rounding import UNIT_ROUNDOFF, gamma_n, outward

__all__ = [
    "Ascent", "DeterministicGradient", "RiccatiDistance", "ascend", "deterministic_gradient", "domination",
    "gain_difference", "riccati_distance",
]  # fmt: skip

_SUFFICIENT = 0.5
_HALVINGS = 60


@dataclass(frozen=True, eq=False)
class DeterministicGradient:
    """`gradient` of J with respect to K `(m, n)`, with a bound `error` in the spectral norm, rounding included.

    * `slope` E_K `(m, n)`; `action_curvature` Huu `(m, m)`; `visits` Sigma_K `(n, n)`; `objective` J(K).
    """

    gradient: Float64[np.ndarray, "m n"]
    error: float
    slope: Float64[np.ndarray, "m n"]
    action_curvature: Float64[np.ndarray, "m m"]
    visits: Float64[np.ndarray, "n n"]
    objective: float


class RiccatiDistance(NamedTuple):
    """Bounds: on `|K - K*|` in the Frobenius norm, and on J* - J(K)."""

    gain: float
    objective: float


class Ascent(NamedTuple):
    """A step made: the `gain` reached, its `step_size`, by how much J grew, and the squared norm of the gradient."""

    gain: Float64[np.ndarray, "m n"]
    step_size: float
    increase: float
    squared_gradient: float


def deterministic_gradient(problem: LQR, gain: Float64[np.ndarray, "m n"]) -> DeterministicGradient:
    """Formula (1) with a certificate (RL-31). Raises like `evaluate_lqr` if values under `gain` are infinite."""
    policy = _policy(gain)
    found, occupancy = evaluate_lqr(problem, policy), lqr_occupancy(problem, policy)
    gamma, K = problem.discount, Ball.exact(gain)
    A, B = Ball.exact(problem.dynamics), Ball.exact(problem.control)
    values = Ball(found.P, np.full_like(found.P, found.value_error))
    Huu = Ball.exact(problem.action_cost) + (B.T @ values @ B).times(gamma)
    Hux = Ball.exact(problem.cross_cost).T + (B.T @ values @ A).times(gamma)
    slope = Huu @ K - Hux
    moment = Ball(occupancy.second_moment, np.full_like(found.P, occupancy.second_moment_error))
    visits = moment.times(1.0 / (1.0 - gamma))
    # Two roundings of the factor.
    visits = Ball(visits.middle, outward(visits.radius + 3.0 * UNIT_ROUNDOFF * np.abs(visits.middle)))
    gradient = (slope @ visits).times(-2.0)
    objective = found.constant - float(np.sum(found.P * _first_moment(problem)))
    error = Ball(np.zeros_like(gain), gradient.radius).norm()
    return DeterministicGradient(
        gradient.middle, error, slope.middle, Huu.middle, visits.middle, objective,
    )  # fmt: skip


def gain_difference(problem: LQR, gain: Float64[np.ndarray, "m n"], other: Float64[np.ndarray, "m n"]) -> float:
    """J(`other`) - J(`gain`) by (2), to a relative error of rounding; `-inf` if values under `other` are infinite."""
    here = _moments(problem, gain)
    if here is None:
        raise ValueError("values under the first gain are infinite: expected one that stabilises the problem.")
    return _difference(problem, here, other - gain, _visits(problem, other))


def ascend(problem: LQR, gain: Float64[np.ndarray, "m n"], steps: int) -> Iterator[Ascent]:
    """Gradient steps on J from `gain`, each the largest of its halvings that gains half of what the slope promises.

    Each step obeys the rate of (3). Ends before `steps` only where the gradient is nothing but its rounding. Raises
    like `evaluate_lqr` if values under the first gain are infinite.
    """
    evaluate_lqr(problem, _policy(gain))
    size = None
    for _ in range(steps):
        here = _moments(problem, gain)
        if here is None or _settled(problem, gain, here):
            return
        gradient = -2.0 * here.slope @ here.visits
        squared = float((gradient * gradient).sum())
        if size is None:
            size = 0.5 / float(np.linalg.norm(here.curvature, 2) * np.linalg.norm(here.visits, 2))
        for _ in range(_HALVINGS):
            other = gain + size * gradient
            increase = _difference(problem, here, other - gain, _visits(problem, other))
            if increase >= _SUFFICIENT * size * squared:
                break
            size *= 0.5
        else:
            return
        gain = other
        yield Ascent(gain, size, increase, squared)
        size *= 2.0


def domination(problem: LQR, gain: Float64[np.ndarray, "m n"]) -> float:
    """kappa of (3), from floats; infinite if some direction of the state is never visited."""
    here = deterministic_gradient(problem, gain)
    best = lqr_occupancy(problem, solve_lqr(problem).policy).second_moment / (1.0 - problem.discount)
    least = float(linalg.eigvalsh(here.visits).min())
    if least <= gamma_n(16 * len(best)) * float(np.trace(here.visits)):
        return math.inf
    inverse = linalg.inv(here.visits)
    spread = float(np.linalg.norm(inverse @ best @ inverse, 2))
    return spread / (4.0 * float(linalg.eigvalsh(here.action_curvature).min()))


def riccati_distance(problem: LQR, gain: Float64[np.ndarray, "m n"]) -> RiccatiDistance:
    """How far `gain` is from the Riccati solution, certified, and what that costs: `|D|_F^2 |Huu*| tr Sigma_K`."""
    best, occupancy = solve_lqr(problem), lqr_occupancy(problem, _policy(gain))
    moved = Ball.exact(gain) - Ball.exact(best.policy.gain)
    columns = math.sqrt(min(gain.shape))  # the certificate of the gain is in the spectral norm
    distance = outward(float(np.sqrt((moved.size**2).sum())) + columns * best.gain_error)
    B, values = Ball.exact(problem.control), Ball(best.P, np.full_like(best.P, best.value_error))
    curvature = (Ball.exact(problem.action_cost) + (B.T @ values @ B).times(problem.discount)).norm()
    n = len(best.P)
    _, trace = Ball(occupancy.second_moment, np.full((n, n), occupancy.second_moment_error)).trace()
    return RiccatiDistance(distance, outward(distance**2 * curvature * trace / (1.0 - problem.discount)))


class _Moments(NamedTuple):
    slope: np.ndarray
    curvature: np.ndarray
    visits: np.ndarray


def _moments(problem: LQR, gain: np.ndarray) -> _Moments | None:
    """E, Huu and Sigma in floats; None if values are infinite."""
    visits = _visits(problem, gain)
    if visits is None:
        return None
    A, B, gamma = problem.dynamics, problem.control, problem.discount
    F, mixed = A - B @ gain, problem.cross_cost @ gain
    stage = problem.state_cost - mixed - mixed.T + gain.T @ problem.action_cost @ gain
    P = _lyapunov(math.sqrt(gamma) * F.T, stage)
    curvature = problem.action_cost + gamma * B.T @ P @ B
    return _Moments(curvature @ gain - problem.cross_cost.T - gamma * B.T @ P @ A, curvature, visits)


def _visits(problem: LQR, gain: np.ndarray) -> np.ndarray | None:
    """Sigma of (1): the first moment and the noise of every later step, carried on; None if it is infinite."""
    gamma = problem.discount
    scaled = math.sqrt(gamma) * (problem.dynamics - problem.control @ gain)
    if float(np.abs(linalg.eigvals(scaled)).max()) >= 1.0:
        return None
    return _lyapunov(scaled, _first_moment(problem) + gamma / (1.0 - gamma) * problem.noise)


def _difference(problem: LQR, here: _Moments, moved: np.ndarray, visits: np.ndarray | None) -> float:
    """J(K + `moved`) - J(K) by (2), `visits` being those of K + `moved`."""
    if visits is None:
        return -math.inf
    return -float(np.sum(visits * (2.0 * moved.T @ here.slope + moved.T @ here.curvature @ moved)))


def _settled(problem: LQR, gain: np.ndarray, here: _Moments) -> bool:
    """Whether the slope is within what rounding does to its two terms, which cancel at the optimum."""
    size = np.abs(here.curvature) @ np.abs(gain)
    return bool((np.abs(here.slope) <= gamma_n(8 * len(problem.dynamics)) * size).all())


def _first_moment(problem: LQR) -> np.ndarray:
    return problem.initial_covariance + np.outer(problem.initial_mean, problem.initial_mean)


def _lyapunov(scaled: np.ndarray, source: np.ndarray) -> np.ndarray:
    """X = source + scaled X scaled'."""
    with judged_later():
        found = linalg.solve_discrete_lyapunov(scaled, 0.5 * (source + source.T))
    return 0.5 * (found + found.T)


def _policy(gain: np.ndarray) -> LinearGaussian:
    return LinearGaussian(gain, np.zeros((len(gain), len(gain))))
