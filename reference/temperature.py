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
monotonicity every root lies inside. Where E_D[phi(w)] is constant over a range of beta (chi-square below
D(argmax)(A_1 - A_2), capped generators with all free weight in one tie) and the target is that constant, the interval
holds the whole range.

Sources: J. Peters, K. Muelling, Y. Altuen, Relative Entropy Policy Search (2010); A. Kong, A Note on Importance
Sampling using Standardized Weights (1992).
"""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy import optimize

from reference.certify import ELEMENTARY
from reference.divergence import KL, RELATIVE_ACCURACY, Divergence, Reals
from reference.multiplier import solve_multiplier
from reference.rounding import UNIT_ROUNDOFF, gamma_n
from reference.weights import Weights, effective_sample_size, optimal_weights

__all__ = ["InfeasibleTarget", "Temperature", "beta_bracket", "beta_for_effective_sample_fraction", "beta_for_kl",
           "beta_for_perplexity_fraction", "effective_sample_elasticity", "effective_sample_floor", "perplexity",
           "perplexity_elasticity"]  # fmt: skip

_OUTWARD = 2.0**-40  # relative slack of closed forms, which take far fewer than 2**12 roundings
_WARMEST = 1e300  # and no beta above this one is tried


class InfeasibleTarget(ValueError):
    """A concentration that no temperature reaches; the message says what the reachable range is."""


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


def beta_for_effective_sample_fraction(
    advantage: Reals, behavior: Reals, fraction: float, divergence: Divergence | None = None
) -> Temperature:
    """The beta at which 1/E_D[w^2], under the uniform law ESS/n, is `fraction` (BET-03, ESS-11).

    InfeasibleTarget unless the fraction lies strictly between its limits at beta = 0, for uncapped generators
    D(argmax A), and infinity, 1. ValueError for data that `optimal_weights` refuses.
    """
    return _meet(_SAMPLES, advantage, behavior, fraction, divergence)


def beta_for_perplexity_fraction(
    advantage: Reals, behavior: Reals, fraction: float, divergence: Divergence | None = None
) -> Temperature:
    """The beta at which exp(-KL(d || D)), under the uniform law perplexity/n, is `fraction` (BET-03, ESS-11).

    Raises like `beta_for_effective_sample_fraction`.
    """
    return _meet(_PERPLEXITY, advantage, behavior, fraction, divergence)


def beta_for_kl(
    advantage: Reals, behavior: Reals, radius: float, divergence: Divergence | None = None
) -> Temperature:
    """The beta at which KL(d || D) is `radius`, in nats: for KL weights the multiplier of REPS (BET-01).

    InfeasibleTarget unless 0 < radius < its limit at beta = 0, for uncapped generators -log D(argmax A). Raises
    ValueError like `optimal_weights`.
    """
    return _meet(_KL, advantage, behavior, radius, divergence)


def beta_bracket(
    advantage: Reals, behavior: Reals, fraction: float, perplexity: bool = False
) -> tuple[float, float]:
    """Proven bounds on the beta of KL weights for an effective sample fraction, or a perplexity fraction (BET-03).

    With D* = D(argmax A), the gap between the two largest advantages, and the range R of all,

        gap / (k log((1 - D*)/(sqrt(a D*) - D*)))  <=  beta  <=  R / (2 arcosh(a^(-1/2)))

    k = 1 for the effective sample fraction a: E e^x <= D* + (1 - D*) e^(-gap/beta) for x = (A - max A)/beta, and
    E e^2x >= D*; the right side is Kantorovich's inequality (BET-04). k = 2 for a perplexity fraction a: KL >=
    -2 log E sqrt(w) gives the left side, KL <= log E w^2 the right. Rounded outward. Raises InfeasibleTarget.
    """
    data = _Data.of(advantage, behavior)
    signal = _PERPLEXITY if perplexity else _SAMPLES
    _check_feasible(signal, data, fraction, KL())
    return _bracket(signal, data, fraction)


def perplexity(weights: Reals, behavior: Reals) -> float:
    """n exp(-KL(d || D)) for d proportional to `weights` D and n entries with data; exp(entropy) if D is uniform.

    At least the effective sample size and at most n (ESS-01); invariant to scaling of the weights.
    """
    effective_sample_size(weights, behavior)  # checks both
    law = np.asarray(behavior, dtype=np.float64)
    support = law > 0.0
    law, w = law[support], np.asarray(weights, dtype=np.float64)[support]
    w = w / w.max()
    w = w / (math.fsum(law * w) / math.fsum(law))
    return len(w) * math.exp(-math.fsum(law * np.asarray(KL().f(w))) / math.fsum(law))


def effective_sample_floor(spread: float, beta: float) -> float:
    """1/cosh^2(R/(2 beta)) <= ESS/n for KL weights of advantages with range R (Kantorovich, BET-04)."""
    half = 0.5 * spread / beta
    return 1.0 / math.cosh(half) ** 2 if half < 300.0 else 0.0


def effective_sample_elasticity(advantage: Reals, behavior: Reals, beta: float) -> float:
    """d log ESS / d log beta = 2 t (m(2t) - m(t)) >= 0 of KL weights, t = 1/beta, m the tilted mean of A (ESS-02)."""
    data = _Data.of(advantage, behavior)
    gaps = (data.advantage - data.advantage.max()) / beta
    once, twice = data.law * np.exp(gaps), data.law * np.exp(2.0 * gaps)
    return 2.0 * (math.fsum(twice * gaps) / math.fsum(twice) - math.fsum(once * gaps) / math.fsum(once))


def perplexity_elasticity(advantage: Reals, behavior: Reals, beta: float) -> float:
    """d log perplexity / d log beta = Var_d(A)/beta^2 of KL weights, d their distribution (ESS-14)."""
    data = _Data.of(advantage, behavior)
    gaps = (data.advantage - data.advantage.max()) / beta
    tilted = data.law * np.exp(gaps)
    mean = math.fsum(tilted * gaps) / math.fsum(tilted)
    return math.fsum(tilted * (gaps - mean) ** 2) / math.fsum(tilted)


class _Signal(NamedTuple):
    """One kind of target: the convex phi, and how a target becomes a radius of E phi(w)."""

    name: str
    phi: Callable[[np.ndarray], np.ndarray]
    radius: Callable[[float], float]
    target: Callable[[float], float]
    relative: float  # rounding of `radius`, relative
    steepness: float  # k of `beta_bracket`
    inverse: Callable[[float], float]  # the fraction of `beta_bracket` that belongs to a target


def _kl_excess(w: np.ndarray) -> np.ndarray:
    return np.asarray(KL().f(w))


_SAMPLES = _Signal("effective sample fraction", lambda w: (w - 1.0) ** 2, lambda a: (1.0 - a) / a,
                   lambda radius: 1.0 / (1.0 + radius), gamma_n(2), 1.0, lambda a: a)  # fmt: skip
_PERPLEXITY = _Signal("perplexity fraction", _kl_excess, lambda p: -math.log(p),
                      lambda radius: math.exp(-radius), ELEMENTARY, 2.0, lambda p: p)  # fmt: skip
_KL = _Signal("KL(d || D)", _kl_excess, lambda radius: radius,
              lambda radius: radius, 0.0, 2.0, lambda radius: math.exp(-radius))  # fmt: skip


class _Data(NamedTuple):
    """Advantages and law on the entries with data."""

    advantage: Float64[np.ndarray, " N"]
    law: Float64[np.ndarray, " N"]
    mass: float

    @classmethod
    def of(cls, advantage: Reals, behavior: Reals) -> "_Data":
        law = np.array(behavior, dtype=np.float64)
        values = np.array(advantage, dtype=np.float64)
        # Not solved for its answer: this is where data of the wrong shape, mass or size are refused, by name.
        optimal_weights(values, law, max(1.0, float(np.max(np.abs(values), where=np.isfinite(values), initial=0.0))))
        return cls(values[law > 0.0], law[law > 0.0], math.fsum(law[law > 0.0]))

    @property
    def best(self) -> np.ndarray:
        """Which entries have the largest advantage."""
        return self.advantage == self.advantage.max()

    @property
    def spread(self) -> float:
        """The range of the advantages."""
        return float(self.advantage.max()) - float(self.advantage.min())

    @property
    def coldest(self) -> float:
        """No beta below this is tried: advantages over it would come near the largest float."""
        return float(np.abs(self.advantage).max()) / 1e300

    def mean(self, values: np.ndarray) -> float:
        """E_D."""
        return math.fsum(self.law * values) / self.mass


def _meet(
    signal: _Signal, advantage: Reals, behavior: Reals, target: float, divergence: Divergence | None
) -> Temperature:
    divergence = KL() if divergence is None else divergence
    data = _Data.of(advantage, behavior)
    target = float(target)
    radius = _check_feasible(signal, data, target, divergence)
    low, high = _bracket(signal, data, target) if isinstance(divergence, KL) else (0.0, math.inf)
    beta = _search(signal, data, divergence, radius, _bracket(signal, data, target))
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


def _check_feasible(signal: _Signal, data: _Data, target: float, divergence: Divergence) -> float:
    """The radius of a target that some temperature reaches; InfeasibleTarget otherwise."""
    if data.spread == 0.0:
        raise InfeasibleTarget(
            f"{signal.name} {target:g}: all advantages are {data.advantage[0]:g}, so every temperature gives weights of "
            "one; expected advantages that differ"
        )
    coldest = data.mean(signal.phi(_coldest(data, divergence)))
    limits = sorted((signal.target(coldest), signal.target(0.0)))
    if not limits[0] < target < limits[1] or not signal.radius(target) < coldest * (1.0 - 32.0 * UNIT_ROUNDOFF):
        raise InfeasibleTarget(
            f"{signal.name} {target!r}: expected it strictly between {limits[0]:.17g} and {limits[1]:.17g}, its limits "
            f"for beta -> 0 and beta -> infinity under {divergence!r}, and not within rounding of the first. The best "
            f"advantage has probability {data.mean(data.best):.6g} under the data ({np.count_nonzero(data.best)} of "
            f"{len(data.law)} entries)"
        )
    return signal.radius(target)


def _coldest(data: _Data, divergence: Divergence) -> Float64[np.ndarray, " N"]:
    """The ratios for beta -> 0: as much as the generator allows on the best entries, ties sharing evenly."""
    smallest, largest = float(divergence.ratio(-math.inf)), divergence.largest_ratio
    ratios = np.full(len(data.law), smallest)
    left = 1.0 - smallest
    for value in np.unique(data.advantage)[::-1]:
        tied = data.advantage == value
        mass = data.mean(tied)
        extra = min(left / mass, largest - smallest)
        ratios[tied] += extra
        left -= extra * mass
        if left <= 4.0 * UNIT_ROUNDOFF:
            break
    return ratios


def _bracket(signal: _Signal, data: _Data, target: float) -> tuple[float, float]:
    """`beta_bracket`, rounded outward."""
    fraction, best = signal.inverse(target), data.mean(data.best)
    blur = ELEMENTARY + 8.0 * UNIT_ROUNDOFF
    # sqrt(a D*) - D* = sqrt(D*)(a - D*)/(sqrt(a) + sqrt(D*)), where only a - D* cancels
    excess = fraction * (1.0 - blur) - best * (1.0 + blur)
    low = 0.0
    if excess > 0.0:
        share = math.sqrt(best) * excess / (math.sqrt(fraction) + math.sqrt(best))
        gap = float(data.advantage.max()) - float(data.advantage[~data.best].max())
        low = gap / (signal.steepness * math.log(data.mean(~data.best) / share)) * (1.0 - _OUTWARD)
    # arcosh(1 + y) with y = a^(-1/2) - 1, which a close to one would cancel
    y = math.expm1(0.5 * (math.log1p(signal.radius(target)) if signal is _SAMPLES else signal.radius(target)))
    high = 0.5 * data.spread / math.log1p(y + math.sqrt(y * (2.0 + y))) * (1.0 + _OUTWARD)
    return low, high


def _search(
    signal: _Signal, data: _Data, divergence: Divergence, radius: float, bracket: tuple[float, float]
) -> float:
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
    root = optimize.brentq(excess, low, high, xtol=4.0 * UNIT_ROUNDOFF, rtol=8.0 * UNIT_ROUNDOFF)
    return math.exp(float(root))


def _ratios(data: _Data, divergence: Divergence, beta: float) -> Float64[np.ndarray, " N"]:
    """Optimal ratios without a certificate; for KL in closed form."""
    if isinstance(divergence, KL):
        with np.errstate(under="ignore"):
            tilted = np.exp((data.advantage - data.advantage.max()) / beta)
        return tilted / data.mean(tilted)
    root = solve_multiplier(data.advantage, data.law, beta, divergence)
    return root.arguments.ratio(root.x)


class _Certificate(NamedTuple):
    """Proofs of the sign of E phi(w_beta) - radius, for an exact radius in [smallest, largest]."""

    signal: _Signal
    data: _Data
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
