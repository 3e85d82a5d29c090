r"""A proven bound on the weights of linear stochastic approximation, step by step, before anything is drawn (C8).

    w -> w + a_k g (r - h . w),                                                     e_k = w_k - w*,  A w* = c

with (g, h, r) one of finitely many `Outcomes`: drawn independently, or along a Markov chain of sources s_0, s_1, ....
Write F(o, e) = g (r - h . (w* + e)), whose mean under the stationary law is -A e. With the solution nu(s, e) of
Poisson's equation, nu - P nu = E[F | s] + A e (affine in e; zero where the outcomes are independent),

    F_k = -A e_k + D_k + nu(s_k, e_k) - nu(s_{k+1}, e_k),     E[D_k | past] = 0,

so that z_k = e_k + a_{k-1} nu(s_k, e_k), a_{-1} = a_0, obeys (Benveniste, Metivier and Priouret 1990, part II)

    z_{k+1} = (I - a_k A) z_k + a_k D_k + R_k,                                                                    (1)
    R_k = (a_k - a_{k-1}) nu_k + a_k a_{k-1} A nu_k - a_k^2 nu_1(s_{k+1}) F_k,    nu(s, e) = nu_0(s) - nu_1(s) e.

Let u_0, u_1, ... be numbers. Until |e_k| > u_k for the first time, the martingale of the a_k D_k in (1) has increments
and conditional variances that u bounds, whatever the past was; stopped there, it obeys Freedman's inequality (Annals of
Probability 3, 1975)

    P(|u . M_n| >= x) <= 2 exp(-x^2 / (2 (V + b x / 3))).

Choose u_n as what (1) then leaves of z_n, and of e_n: by induction, and by a union over steps, functionals and
replications, no |e_n| ever exceeds u_n but with the stated probability. Nothing is asymptotic and nothing is projected.

The norm is |x|_P = |L x|, P = L^T L from Lyapunov's equation A^T P + P A = I: the bound asks that A be stable, not that
it be positive definite. With (x + y)^2 <= (1 + t) x^2 + (1 + 1/t) y^2 conditional second moments are at most
(1 + t) S_0 + (1 + 1/t) |e|_P^2 S_1, where S_0 and S_1 dominate those of the two parts of D = d_0 - d_1 e, from every
source.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy.linalg import solve_continuous_lyapunov

from reference.learning.linear import stability
from reference.learning.linear_moments import Outcomes
from reference.learning.schedules import StepSizes
from reference.mdp import MDP
from reference.occupancy import stationary_distribution

__all__ = ["WeightEnvelope", "weight_envelope"]

_OUTWARD = 1.0 + 2.0**-30  # more than the roundings of the constants below can do


class WeightEnvelope(NamedTuple):
    """After `k = 0 .. K` updates: `bounds` `(K + 1, M)` on `|functional . e_k|`, `lengths` `(K + 1,)` on `|e_k|_P`.

    `condition`: the condition of L, by which a push of `|x|` in one update may at most be felt later.
    """

    bounds: Float64[np.ndarray, "K M"]
    lengths: Float64[np.ndarray, " K"]
    condition: float


class _Noise(NamedTuple):
    """What (1) needs, in coordinates L x, in which the norm is Euclid's."""

    matrix: np.ndarray  # A
    poisson: tuple[np.ndarray, np.ndarray]  # nu_0 (S, D), nu_1 (S, D, D)
    still: np.ndarray  # S_0
    moving: np.ndarray  # S_1
    increments: tuple[np.ndarray, np.ndarray]  # |d_0| and |d_1| of every outcome
    updates: tuple[np.ndarray, np.ndarray]  # |F| at e = 0, and what e adds to it


def weight_envelope(
    outcomes: Outcomes,
    weights: Float64[np.ndarray, " D"],
    step_sizes: StepSizes,
    start: Float64[np.ndarray, " D"],
    steps: int,
    functionals: Float64[np.ndarray, "M D"],
    replications: int,
    failure: float,
    batch: int = 1,
) -> WeightEnvelope:
    """Bounds on `|functionals (w_k - weights)|`, all of which hold in all runs with probability `1 - failure`.

    * `weights`: where the expected update stops; `start`: where the runs begin; `steps`: how many updates are made.
    * `batch`: how many independent outcomes an update averages (`reference.learning.descend`).

    For the real numbers that the floats of a learner round; infinite from where the induction breaks, for which smaller
    steps are the cure. `ValueError` if the expected update is not stable, if sources have several recurrent classes, or
    if a batch is to be drawn along a chain.
    """
    if batch < 1 or (batch > 1 and len(outcomes.first) > 1):
        raise ValueError(f"batch is {batch!r}: expected 1, or more of outcomes that are drawn independently.")
    if not 0.0 < failure < 1.0:
        raise ValueError(f"failure is {failure!r}: expected a probability between 0 and 1.")
    law = _law(outcomes)
    shares = law[outcomes.sources] * outcomes.probabilities
    matrix = np.einsum("n,ni,nj->ij", shares, outcomes.gradients, outcomes.differences)
    spectrum = stability(matrix)
    if not spectrum.stable:
        raise ValueError(
            f"the expected update has the eigenvalues {spectrum.eigenvalues} of A: expected positive real parts, or "
            "the weights run away (RL-21)."
        )
    weight = solve_continuous_lyapunov(matrix.T, np.eye(len(matrix)))
    length = np.linalg.cholesky(0.5 * (weight + weight.T)).T
    back = np.linalg.inv(length)
    noise = _noise(outcomes, law, matrix, weights, length, back)
    sizes = step_sizes(np.arange(1, steps + 1))
    rows = np.vstack([np.eye(len(matrix)), functionals @ back])
    logarithm = np.log(2.0 * len(rows) * max(1, steps) * replications / failure)
    with np.errstate(over="ignore", invalid="ignore"):  # where the induction breaks, the bound is infinite
        bounds, lengths = _induction(noise, rows, length @ (start - weights), outcomes.first, sizes, logarithm, batch)
    bounds, lengths = (np.where(np.isnan(found), np.inf, found) for found in (bounds, lengths))
    return WeightEnvelope(bounds[:, len(matrix) :], lengths, float(np.linalg.cond(length)))


def _law(outcomes: Outcomes) -> Float64[np.ndarray, " S"]:
    """The stationary law of the sources."""
    size = len(outcomes.first)
    chain = np.zeros((size, size))
    np.add.at(chain, (outcomes.sources, outcomes.targets), outcomes.probabilities)
    # A source that is never left has no outcomes: it is no source of the chain.
    met = chain.sum(axis=1) > 0.0
    inner = chain[np.ix_(met, met)]
    law = np.zeros(size)
    process = MDP((inner / inner.sum(axis=1, keepdims=True))[:, None, :], np.zeros((len(inner), 1)), 0.0)
    law[met] = stationary_distribution(process, np.ones((len(inner), 1)))
    return law


def _noise(
    outcomes: Outcomes, law: np.ndarray, matrix: np.ndarray, weights: np.ndarray, length: np.ndarray, back: np.ndarray
) -> _Noise:
    size, width = len(law), len(matrix)
    sources, targets, chances = outcomes.sources, outcomes.targets, outcomes.probabilities
    errors = outcomes.rewards - outcomes.differences @ weights
    # F(o, e) = f_0 - f_1 e, in the coordinates L x.
    gradients = outcomes.gradients @ length.T
    still = errors[:, None] * gradients
    moving = gradients[:, :, None] * (outcomes.differences @ back)[:, None, :]
    turned = length @ matrix @ back
    chain = np.zeros((size, size))
    np.add.at(chain, (sources, targets), chances)
    mean_still, mean_moving = np.zeros((size, width)), np.zeros((size, width, width))
    np.add.at(mean_still, sources, chances[:, None] * still)
    np.add.at(mean_moving, sources, chances[:, None, None] * (moving - turned))
    system = np.eye(size) - chain + law
    nu = np.linalg.solve(system, mean_still - law @ mean_still)
    pushed = mean_moving.reshape(size, -1)
    slope = np.linalg.solve(system, pushed - law @ pushed).reshape(size, width, width)
    apart = still + nu[targets] - nu[sources]
    spread = moving - turned + slope[targets] - slope[sources]
    squares = chances[:, None, None] * apart[:, :, None] * apart[:, None, :]
    turns = chances[:, None, None] * (spread @ spread.transpose(0, 2, 1))
    per_source = np.zeros((2, size, width, width))
    np.add.at(per_source[0], sources, squares)
    np.add.at(per_source[1], sources, turns)
    return _Noise(
        turned, (nu, slope), _dominating(per_source[0], law), _dominating(per_source[1], law),
        (np.linalg.norm(apart, axis=1), np.linalg.norm(spread, 2, axis=(1, 2))),
        (np.linalg.norm(still, axis=1), np.linalg.norm(moving, 2, axis=(1, 2))),
    )  # fmt: skip


def _dominating(matrices: Float64[np.ndarray, "S D D"], law: np.ndarray) -> Float64[np.ndarray, "D D"]:
    """A matrix that is at least each of some positive semidefinite ones: their mean, times what that takes."""
    size = float(np.trace(matrices, axis1=1, axis2=2).max())
    if len(matrices) == 1 or size == 0.0:
        return _OUTWARD * matrices[0] if len(matrices) == 1 else matrices[0]
    # What no outcome moves in some direction is given a little, so that the mean can be inverted.
    floor = 2.0**-20 * size * np.eye(matrices.shape[1])
    shares = 0.5 * law + 0.5 / len(law)
    for _ in range(50):
        inverse = np.linalg.inv(np.linalg.cholesky(np.tensordot(shares, matrices, 1) + floor))
        excess = np.linalg.eigvalsh(inverse @ matrices @ inverse.T)[:, -1]
        shares = shares * (0.5 + 0.5 * excess / excess.max())
        shares = shares / shares.sum()
    mean = np.tensordot(shares, matrices, 1) + floor
    inverse = np.linalg.inv(np.linalg.cholesky(mean))
    return _OUTWARD * float(np.linalg.eigvalsh(inverse @ matrices @ inverse.T)[:, -1].max()) * mean


def _induction(
    noise: _Noise, rows: np.ndarray, gap: np.ndarray, first: np.ndarray, sizes: np.ndarray, logarithm: float, batch: int
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds on `|rows . e_k|`, the first `D` rows being the coordinates, and on `|e_k|`."""
    width, steps = len(noise.matrix), len(sizes)
    nu, slope = noise.poisson
    nu_size, slope_size = float(np.linalg.norm(nu, axis=1).max()), float(np.linalg.norm(slope, 2, axis=(1, 2)).max())
    drift = float(np.linalg.norm(noise.matrix, 2))
    traces = float(np.trace(noise.still)), float(np.trace(noise.moving))
    ratio = float(np.sqrt(traces[1] / traces[0])) if min(traces) > 2.0**-500 * max(traces) else 0.0
    reach = np.linalg.norm(rows, axis=1)
    rows_nu = np.abs(rows @ nu.T).max(axis=1)
    rows_slope = np.linalg.norm(np.einsum("mi,sij->smj", rows, slope), axis=2).max(axis=0)
    step = float(sizes[0]) if steps else 0.0
    began = gap + step * (nu - slope @ gap)[first > 0.0]  # z_0, for each source that may be the first
    variance, largest, rest = np.zeros((width, width)), 0.0, 0.0
    bounds, lengths = np.full((steps + 1, len(rows)), np.inf), np.full(steps + 1, np.inf)
    bounds[0], lengths[0] = np.abs(rows @ gap), np.linalg.norm(gap)
    onwards = np.eye(width) - sizes[:, None, None] * noise.matrix
    rhos = np.linalg.norm(onwards, 2, axis=(1, 2)).tolist()
    for k, (size, onward, rho) in enumerate(zip(sizes.tolist(), onwards, rhos, strict=True)):
        now = float(lengths[k])
        if size * slope_size >= 1.0 or not np.isfinite(now):
            break
        nu_now = nu_size + slope_size * now
        share = 1.0 + ratio * now
        moved = share * (noise.still + noise.moving * (now / ratio)) if ratio > 0.0 else 2.0 * (
            noise.still + noise.moving * (now * now))  # fmt: skip
        variance = onward @ variance @ onward.T + (size * size / batch) * moved
        increment = float((noise.increments[0] + noise.increments[1] * now).max())
        largest = max(rho * largest, size * increment / batch)
        update = float((noise.updates[0] + noise.updates[1] * now).max())
        rest = rho * rest + (abs(size - step) + size * step * drift) * nu_now + size * size * slope_size * update
        began = began @ onward.T
        linear = reach * largest * logarithm / 3.0
        squares = ((rows @ variance) * rows).sum(axis=1)
        stray = linear + np.sqrt(linear**2 + 2.0 * squares * logarithm)
        apart = np.abs(began @ rows.T).max(axis=0) + _OUTWARD * (stray + reach * rest)
        lengths[k + 1] = (float(np.linalg.norm(apart[:width])) + size * nu_size) / (1.0 - size * slope_size)
        bounds[k + 1] = apart + size * (rows_nu + rows_slope * lengths[k + 1])
        step = size
    return bounds, lengths
