r"""Robbins and Monro's root finding (C6), with the noise condition that it needs, and exact errors where there are any.

    w_{k+1} = w_k - a_k (g(w_k) + eta_k),     0 < c1 <= g' <= c2,     sum a_k = inf,     sum a_k^2 < inf

converges to the root w* almost surely (Robbins and Monro 1951; Blum 1954) if the noise obeys E[eta_k | H_k] = 0 and

    sup_k E[eta_k^2 | H_k] <= C (1 + w_k^2).                                                                (RL-12)

That each E[eta_k^2 | H_k] is finite, as the notes ask, is not enough: with g(w) = w, a_k = 1/k and independent noise of
variance k^2 the iterates have variance (k + 1)(2 k + 1) / (6 k), which grows without bound. Slopes unbounded above
(g(w) = w^3) or summable steps break convergence as well (RL-13).
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from jaxtyping import Float64

from reference.learning.schedules import StepSizes

__all__ = ["linear_mean_square", "robbins_monro", "subgaussian_envelope"]

Noise = Callable[[np.random.Generator, int, Float64[np.ndarray, " R"]], Float64[np.ndarray, " R"]]


def robbins_monro(
    g: Callable[[Float64[np.ndarray, " R"]], Float64[np.ndarray, " R"]],
    noise: Noise,
    step_sizes: StepSizes,
    start: float,
    steps: int,
    replications: int,
    rng: np.random.Generator,
) -> Float64[np.ndarray, "K R"]:
    """The iterates `w_1 .. w_{steps + 1}` of `replications` independent runs, `w_1 = start` (C6, RL-12, RL-13).

    `noise(rng, k, w)` draws `eta_k`, one for each run. Runs that leave the range of float64 go on as `inf` or `nan`.
    """
    iterates = np.full((steps + 1, replications), float(start))
    with np.errstate(over="ignore", invalid="ignore"):  # divergence is an answer (RL-13)
        for k, size in enumerate(step_sizes(np.arange(1, steps + 1)), start=1):
            now = iterates[k - 1]
            iterates[k] = now - size * (g(now) + noise(rng, k, now))
    return iterates


def linear_mean_square(
    slope: float, variances: npt.ArrayLike, step_sizes: StepSizes, start_error: float
) -> tuple[Float64[np.ndarray, " K"], Float64[np.ndarray, " K"]]:
    """Exact mean and mean square of `w_k - w*` for `g(w) = slope (w - w*)` and independent noise (RL-12).

    `variances` `(K,)`: those of `eta_1 .. eta_K`. Returns two arrays `(K + 1,)`, of

        m_{k+1} = (1 - a_k slope) m_k,      M_{k+1} = (1 - a_k slope)^2 M_k + a_k^2 Var eta_k.

    With normal noise these two say the whole law.
    """
    variances = np.asarray(variances, dtype=np.float64)
    mean, square = np.empty(len(variances) + 1), np.empty(len(variances) + 1)
    mean[0], square[0] = start_error, start_error**2
    for k, size in enumerate(step_sizes(np.arange(1, len(variances) + 1))):
        keep = 1.0 - size * slope
        mean[k + 1], square[k + 1] = keep * mean[k], keep**2 * square[k] + size**2 * variances[k]
    return mean, square


def subgaussian_envelope(
    lowest: float, highest: float, noise_bound: float, step_sizes: StepSizes, start_error: float, steps: int,
    failure: float,
) -> Float64[np.ndarray, " K"]:  # fmt: skip
    r"""A bound on `|w_k - w*|`, `k = 1 .. steps + 1`, each of which fails with probability at most `failure`.

    For any g with slopes in `[lowest, highest]`, `lowest > 0`, and noise of conditional mean zero within `noise_bound`.
    With rho_k = max(|1 - a_k c1|, |1 - a_k c2|), and because cosh is even, convex and grows away from zero,

        E cosh(t e_{k+1}) <= E cosh(t rho_k e_k) exp(t^2 a_k^2 b^2 / 2)                     (Hoeffding's lemma),

    so that e_k has the tail 2 exp(-(x - m_k)^2 / (2 s_k^2)) beyond m_k = prod rho |e_1|, where
    s_{k+1}^2 = rho_k^2 s_k^2 + a_k^2 b^2. `ValueError` unless `0 < lowest <= highest` and `0 < failure < 1`.
    """
    if not (0.0 < lowest <= highest < np.inf and 0.0 < failure < 1.0):
        raise ValueError(
            f"slopes within [{lowest!r}, {highest!r}] and failure {failure!r}: expected 0 < lowest <= highest < inf "
            "and 0 < failure < 1. Without such slopes the iterates need not converge (RL-13)."
        )
    remains, spread = np.empty(steps + 1), np.empty(steps + 1)
    remains[0], spread[0] = abs(start_error), 0.0
    for k, size in enumerate(step_sizes(np.arange(1, steps + 1))):
        rho = max(abs(1.0 - size * lowest), abs(1.0 - size * highest))
        remains[k + 1] = rho * remains[k]
        spread[k + 1] = np.hypot(rho * spread[k], size * noise_bound)
    return remains + spread * np.sqrt(2.0 * np.log(2.0 / failure))
