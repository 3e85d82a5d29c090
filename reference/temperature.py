r"""Choosing beta: the temperature at which optimal weights are as concentrated as asked (BET-01, BET-03, ESS-11).

For optimal ratios w = d/D of `reference.weights` (any generator, exactly normalised) and every convex phi,

    E_D[phi(w_beta)]   does not increase in beta                                                              (ESS-11)

so the three usual targets are one problem, E_D[phi(w)] = radius, with a root that needs no feedback rule:

    target                                  phi(w)             radius
    effective sample fraction  a            (w - 1)^2          1/a - 1       chi-square ball (ESS-01)
    perplexity fraction        p            w log w - w + 1    -log p        KL ball
    KL(d || D) <= epsilon                   w log w - w + 1    epsilon       relative entropy policy search (BET-01)

"Fraction" is relative to the law D: 1/E_D[w^2] and exp(-KL(d || D)). Under the uniform law on n samples they are ESS/n
and perplexity/n, and D(argmax A) is m/n with m the multiplicity of the best advantage.

The answer is an interval of beta at whose ends the sign of E_D[phi(w)] - radius is proved, rounding counted; by
monotonicity every root lies inside. E_D[phi(w)] can be constant only from 0 up to some beta (chi-square below
D(argmax)(A_1 - A_2); capped generators once a single tie has all the weight that may still move): there it is at its
limit, which is no target.

Sources: J. Peters, K. Muelling, Y. Altuen, Relative Entropy Policy Search (2010); A. Kong, A Note on Importance
Sampling using Standardized Weights (1992).
"""

import dataclasses
import math
from importlib import import_module
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy import optimize

from reference.certify import ELEMENTARY
from reference.divergence import KL, RELATIVE_ACCURACY, Divergence, Reals
from reference.multiplier import solve_multiplier
from reference.rounding import UNIT_ROUNDOFF, gamma_n
from reference.targets import (
    KL_BALL,
    PERPLEXITY,
    SAMPLES,
    Data,
    InfeasibleTarget,
    Signal,
    bracket_kl,
    check_feasible,
)
from reference.weights import Weights, optimal_weights

__all__ = [
    "InfeasibleTarget",
    "Temperature",
    "beta_bracket",
    "beta_for_effective_sample_fraction",
    "beta_for_kl",
    "beta_for_perplexity_fraction",
]

_WARMEST = 1e300  # no beta above this one is tried


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Temperature:
    """The beta that meets a target, and a proof.

    * `beta`: the best guess; every exact solution lies in `[low, high]`.
    * `target`: what was asked; `achieved`: the same quantity at exactly `beta`, off by at most `achieved_error`.
    * `signal`: what the target is a target of; `weights`: the optimal weights at `beta`, with their own certificate.
    """

    beta: float
    low: float
    high: float
    target: float
    achieved: float
    achieved_error: float
    signal: str
    weights: Weights

    @property
    def relative_error(self) -> float:
        """Bound on `|beta - exact| / beta`; infinite where rounding left an end of the interval open."""
        return max(self.beta - self.low, self.high - self.beta) / self.beta

    def __repr__(self) -> str:
        return (
            f"Temperature(beta {self.beta:.8g}, relative error <= {self.relative_error:.1e}, {self.signal} "
            f"{self.achieved:.8g}, target {self.target:.8g}, {self.weights.divergence!r})"
        )

    def _repr_html_(self) -> str:
        return import_module("reference.show").to_html(self)


def beta_for_effective_sample_fraction(
    advantage: Reals, behavior: Reals, fraction: float, divergence: Divergence | None = None
) -> Temperature:
    """The beta at which 1/E_D[w^2], under the uniform law ESS/n, is `fraction` (BET-03, ESS-11).

    InfeasibleTarget unless the fraction lies strictly between its limits at beta = 0, for uncapped generators
    D(argmax A), and infinity, 1. ValueError for data that `optimal_weights` refuses.
    """
    return _meet(SAMPLES, advantage, behavior, fraction, divergence)


def beta_for_perplexity_fraction(
    advantage: Reals, behavior: Reals, fraction: float, divergence: Divergence | None = None
) -> Temperature:
    """The beta at which exp(-KL(d || D)), under the uniform law perplexity/n, is `fraction` (BET-03, ESS-11).

    Raises like `beta_for_effective_sample_fraction`.
    """
    return _meet(PERPLEXITY, advantage, behavior, fraction, divergence)


def beta_for_kl(advantage: Reals, behavior: Reals, radius: float, divergence: Divergence | None = None) -> Temperature:
    """The beta at which KL(d || D) is `radius`, in nats: for KL weights the multiplier of REPS (BET-01).

    InfeasibleTarget unless 0 < radius < its limit at beta = 0, for uncapped generators -log D(argmax A). Raises
    ValueError like `optimal_weights`.
    """
    return _meet(KL_BALL, advantage, behavior, radius, divergence)


def beta_bracket(advantage: Reals, behavior: Reals, fraction: float, perplexity: bool = False) -> tuple[float, float]:
    """Proven bounds on the beta of KL weights for an effective sample fraction, or a perplexity fraction (BET-03).

    With D* = D(argmax A), the gap between the two largest advantages, and the range R of all,

        gap / (k log((1 - D*)/(sqrt(a D*) - D*)))  <=  beta  <=  R / (2 arcosh(a^(-1/2)))

    k = 1 for the effective sample fraction a: E e^x <= D* + (1 - D*) e^(-gap/beta) for x = (A - max A)/beta, and
    E e^2x >= D*; the right side is Kantorovich's inequality (BET-04). k = 2 for a perplexity fraction a: KL >=
    -2 log E sqrt(w) gives the left side, KL <= log E w^2 the right. Rounded outward. Raises InfeasibleTarget.
    """
    data = Data.of(advantage, behavior)
    signal = PERPLEXITY if perplexity else SAMPLES
    check_feasible(signal, data, fraction, KL())
    return bracket_kl(signal, data, fraction)


def _meet(
    signal: Signal, advantage: Reals, behavior: Reals, target: float, divergence: Divergence | None
) -> Temperature:
    divergence = KL() if divergence is None else divergence
    data = Data.of(advantage, behavior)
    target = float(target)
    radius = check_feasible(signal, data, target, divergence)
    low, high = bracket_kl(signal, data, target) if isinstance(divergence, KL) else (0.0, math.inf)
    beta = _search(signal, data, divergence, radius, bracket_kl(signal, data, target))
    certify = _Certificate(signal, data, divergence, radius * (1.0 - signal.relative), radius * (1.0 + signal.relative))
    below, above = certify.moment(beta)
    ends = signal.target(below), signal.target(above)
    width = (above - below) / (above + below)  # what rounding leaves of the moment, which falls like beta^-2 or slower
    achieved = 0.5 * (ends[0] + ends[1])
    return Temperature(
        beta=beta,
        low=certify.end(beta, low, -1.0, width),
        high=certify.end(beta, high, 1.0, width),
        target=target,
        achieved=achieved,
        achieved_error=0.5 * abs(ends[1] - ends[0]) + 2.0 * ELEMENTARY * achieved,
        signal=signal.name,
        weights=optimal_weights(advantage, behavior, beta, divergence),
    )


def _search(signal: Signal, data: Data, divergence: Divergence, radius: float, bracket: tuple[float, float]) -> float:
    """A float next to the root, by Brent's method on log E phi(w) as a function of log beta, nearly a straight line.

    `bracket` is proved for KL weights; for others it is where widening starts.
    """

    def excess(exponent: float) -> float:
        moment = data.mean(signal.phi(_ratios(data, divergence, math.exp(exponent))))
        return math.log(max(moment, 2.0**-1074)) - math.log(radius)

    coldest, warmest = math.log(data.coldest), math.log(_WARMEST)
    low, high = (min(max(math.log(end or data.coldest), coldest), warmest) for end in bracket)
    step = 1.0
    while excess(low) < 0.0 and low > coldest:
        low, high, step = max(low - step, coldest), low, 2.0 * step
    step = 1.0
    while excess(high) > 0.0 and high < warmest:
        low, high, step = high, min(high + step, warmest), 2.0 * step
    if excess(low) <= 0.0:
        return math.exp(low)
    if excess(high) >= 0.0:
        return math.exp(high)
    tight = {"xtol": 4.0 * UNIT_ROUNDOFF, "rtol": 8.0 * UNIT_ROUNDOFF}
    return math.exp(optimize.root_scalar(excess, method="brentq", bracket=(low, high), **tight).root)


def _ratios(data: Data, divergence: Divergence, beta: float) -> Float64[np.ndarray, " N"]:
    """Optimal ratios without a certificate; for KL in closed form."""
    if isinstance(divergence, KL):
        with np.errstate(under="ignore"):
            tilted = np.exp((data.advantage - data.advantage.max()) / beta)
        return tilted / data.mean(tilted)
    root = solve_multiplier(data.advantage, data.law, beta, divergence)
    return root.arguments.ratio(root.x)


class _Certificate(NamedTuple):
    """Proofs of the sign of E phi(w_beta) - radius, for an exact radius in [smallest, largest]."""

    signal: Signal
    data: Data
    divergence: Divergence
    smallest: float
    largest: float

    def moment(self, beta: float) -> tuple[float, float]:
        """Bounds on E phi(w) at exactly this beta.

        The ratios are known to `weights_error`; phi falls up to one and grows beyond, so over an interval of ratios it
        is largest at an end and smallest at the point next to one.
        """
        data = self.data
        solved = optimal_weights(data.advantage, data.law, beta, self.divergence)
        error = solved.weights_error + 2.0 * UNIT_ROUNDOFF * solved.weights
        low, high = np.maximum(solved.weights - error, 0.0), solved.weights + error
        upper = data.mean(np.maximum(self.signal.phi(low), self.signal.phi(high)))
        lower = data.mean(self.signal.phi(np.clip(1.0, low, high)))
        slack, lost = RELATIVE_ACCURACY + gamma_n(8), len(data.law) * 2.0**-1074
        return max(lower * (1.0 - slack) - lost, 0.0), upper * (1.0 + slack) + lost

    def decided(self, beta: float, direction: float) -> bool:
        """Whether beta is proved to lie on this side of every root."""
        lower, upper = self.moment(beta)
        return upper < self.smallest if direction > 0.0 else lower > self.largest

    def end(self, beta: float, limit: float, direction: float, width: float) -> float:
        """The nearest beta tried on which the sign is proved; the proven `limit` where none is found before it."""
        cold, hot = (max(limit, self.data.coldest), _WARMEST) if direction < 0.0 else (0.0, min(limit, _WARMEST))
        step = max(0.5 * width, 2.0**-50)
        while True:
            candidate = beta * (1.0 + step) if direction > 0.0 else beta / (1.0 + step)
            if not cold < candidate < hot:
                return limit
            if self.decided(candidate, direction):
                return candidate
            step *= 4.0
