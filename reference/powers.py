r"""Generators made of powers: Pearson's chi-square, Hellinger, reverse KL and the power family (FD-01).

Chi-square and the power family are *clipped*: f'(0) is finite, so that arguments at or below it have the ratio zero,
exactly. Hellinger and reverse KL are barriers with the pole f'(inf) = 1. The domains, what the accuracies mean and the
names are those of `reference.generator`.
"""

import dataclasses
import math
from typing import ClassVar

import numpy as np

from reference.entropic import entropy_excess
from reference.generator import Divergence, Mean

__all__ = ["Hellinger", "PearsonChi2", "Power", "ReverseKL"]


@dataclasses.dataclass(frozen=True)
class PearsonChi2(Divergence):
    """Half of Pearson's chi-square, f(w) = (w - 1)^2/2. The ratio max(1 + y, 0) is clipped at zero.

    "Chi-square with beta", f = (w - 1)^2, is this generator with 2 beta.
    """

    name: ClassVar[str] = "chi2"

    @property
    def infimum(self) -> float:
        """-1."""
        return -1.0

    @property
    def mean_below(self) -> Mean:
        """The ratio is convex in y."""
        return Mean.MEAN

    def _f(self, w):
        return 0.5 * (w - 1.0) * (w - 1.0)

    def _f_prime(self, w):
        return w - 1.0

    def _conjugate_at_ratio(self, w):
        return 0.5 * (w - 1.0) * (w + 1.0)

    def _curvature(self, w):
        return np.ones_like(w)

    def _conjugate(self, y):
        kept = np.maximum(y, -1.0)
        return 0.5 * kept * (2.0 + kept)

    def _ratio(self, y):
        return np.maximum(1.0 + y, 0.0)


@dataclasses.dataclass(frozen=True)
class Hellinger(Divergence):
    """Squared Hellinger distance, f(w) = (sqrt(w) - 1)^2. Ratios 1/(1 - y)^2, with a pole at y = 1."""

    name: ClassVar[str] = "hellinger"

    @property
    def supremum(self) -> float:
        """1."""
        return 1.0

    @property
    def mean_below(self) -> Mean:
        """The ratio is convex in y."""
        return Mean.MEAN

    def _f(self, w):
        return self._conjugate_at_ratio(w) ** 2

    def _f_prime(self, w):
        root = np.sqrt(w)
        return (w - 1.0) / (root * (1.0 + root))

    def _conjugate_at_ratio(self, w):
        return (w - 1.0) / (np.sqrt(w) + 1.0)  # sqrt(w) - 1

    def _curvature(self, w):
        return 2.0 * w * np.sqrt(w)

    def _conjugate(self, y):
        slack = 1.0 - y
        return np.where(y < -1.0, 1.0 / slack - 1.0, np.maximum(y, -1.0) / slack)

    def _ratio(self, y):
        return self._ratio_at_slack(1.0 - y)

    def _slope_slack(self, w):
        return 1.0 / np.sqrt(w)

    def _conjugate_at_slack(self, s):
        return 1.0 / s - 1.0

    def _ratio_at_slack(self, s):
        inverse = 1.0 / s
        return inverse * inverse


@dataclasses.dataclass(frozen=True)
class ReverseKL(Divergence):
    """Reverse Kullback-Leibler, KL(D || d): f(w) = w - 1 - log w (OCC-08). Ratios 1/(1 - y), with a pole at y = 1."""

    name: ClassVar[str] = "reverse-kl"

    @property
    def supremum(self) -> float:
        """1."""
        return 1.0

    @property
    def mean_below(self) -> Mean:
        """The ratio is convex in y."""
        return Mean.MEAN

    def _f(self, w):
        near = np.abs(w - 1.0) < 0.25
        close = np.where(near, w, 1.0)
        # w times the entropy excess of 1/w
        near_value = close * entropy_excess((1.0 - close) / close, 1.0 / close)
        return np.where(near, near_value, (w - 1.0) - np.log(np.where(near, 1.0, w)))

    def _f_prime(self, w):
        return (w - 1.0) / w

    def _conjugate_at_ratio(self, w):
        return np.log(w)

    def _curvature(self, w):
        return w * w

    def _conjugate(self, y):
        return -np.log1p(-y)

    def _ratio(self, y):
        return 1.0 / (1.0 - y)

    def _slope_slack(self, w):
        return 1.0 / w

    def _conjugate_at_slack(self, s):
        return -np.log(s)

    def _ratio_at_slack(self, s):
        return 1.0 / s


@dataclasses.dataclass(frozen=True)
class Power(Divergence):
    """The generator of power priorities, f'(w) = w^p - 1 with p = 1/alpha: f(w) = (w^(1+p) - 1)/(1+p) - w + 1 (KL-09).

    Its ratio is thresholded, signed prioritised replay, max(1 + y, 0)^alpha; alpha = 1 is `PearsonChi2`, and alpha
    times this generator tends to KL for alpha -> inf. ValueError unless 0 < alpha < inf with 1/alpha finite.
    """

    alpha: float
    name: ClassVar[str] = "power"

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", float(self.alpha))
        if not (0.0 < self.alpha < math.inf and 1.0 / self.alpha < math.inf):
            raise ValueError(
                f"Power: expected a finite exponent alpha > 0, saw {self.alpha:g}; ratios are (1 + y)^alpha, and "
                "alpha = 1 is chi2"
            )

    @property
    def infimum(self) -> float:
        """-1."""
        return -1.0

    @property
    def mean_below(self) -> Mean | None:
        """For alpha >= 1 the ratio is convex in y."""
        return Mean.MEAN if self.alpha >= 1.0 else None

    @property
    def _p(self) -> tuple[float, float]:
        """1/alpha as a float and its rounding error."""
        p = 1.0 / self.alpha
        return p, math.fsum((1.0, *(-part for part in _product(p, self.alpha)))) / self.alpha

    def _f(self, w):
        # (p (w log w - w + 1) + w (w^p - 1 - p log w))/(1 + p): two terms that are never negative
        p = self._p[0]
        w_inside = np.where(w > 0.0, w, 1.0)
        exponent = p * np.log(w_inside)
        near = np.abs(exponent) < 0.5
        far = (_power(w_inside, 0.0, *self._p) - 1.0) - np.where(near, 0.0, exponent)
        excess = np.where(near, _exponential_excess(np.where(near, exponent, 0.0)), far)
        return p / (1.0 + p) * entropy_excess(w - 1.0, w) + np.where(w > 0.0, w * excess / (1.0 + p), 0.0)

    def _f_prime(self, w):
        exponent = self._p[0] * np.log(np.where(w > 0.0, w, 1.0))
        near = np.abs(exponent) < 1.0
        far = _power(w, 0.0, *self._p) - 1.0
        return np.where(near & (w > 0.0), np.expm1(np.where(near, exponent, 0.0)), far)

    def _conjugate_at_ratio(self, w):
        # (w^(1+p) - 1)/(1 + alpha)
        p, tail = self._p
        exponent = (1.0 + p) * np.log(np.where(w > 0.0, w, 1.0))
        near = np.abs(exponent) < 1.0
        far = _power(w, 0.0, *_sum(1.0, p, tail)) - 1.0
        return np.where(near & (w > 0.0), np.expm1(np.where(near, exponent, 0.0)), far) / (1.0 + self.alpha)

    def _curvature(self, w):
        p, tail = self._p
        return self.alpha * _power(w, 0.0, *_sum(1.0, -p, -tail))

    def _conjugate(self, y):
        kept = np.maximum(y, -1.0)
        exponent = (1.0 + self.alpha) * np.log1p(kept)
        near = np.abs(exponent) < 1.0
        far = _power(*_sum(1.0, kept), *_sum(1.0, self.alpha)) - 1.0
        return np.where(near, np.expm1(np.where(near, exponent, 0.0)), far) / (1.0 + self.alpha)

    def _ratio(self, y):
        return _power(*_sum(1.0, np.maximum(y, -1.0)), self.alpha, 0.0)


def _product(a: float, b: float) -> tuple[float, ...]:
    """a b as a sum of floats without error (T. J. Dekker, A floating-point technique, Numer. Math. 18, 1971)."""
    (a_mantissa, a_power), (b_mantissa, b_power) = math.frexp(a), math.frexp(b)
    scale = a_power + b_power

    def halves(mantissa: float) -> tuple[float, float]:
        high = math.ldexp(round(math.ldexp(mantissa, 26)), -26)
        return high, mantissa - high

    (a_high, a_low), (b_high, b_low) = halves(a_mantissa), halves(b_mantissa)
    products = (a_high * b_high, a_high * b_low, a_low * b_high, a_low * b_low)
    return tuple(math.ldexp(product, scale) for product in products)


def _sum(a, b, tail=0.0):
    """a + b as a float and what it misses, to which `tail` is added (D. E. Knuth, TAOCP 2, theorem 4.2.2B)."""
    total = a + b
    with np.errstate(invalid="ignore"):  # inf - inf where the sum is infinite, and misses nothing
        partner = total - a
        missing = (a - (total - partner)) + (b - partner)
    return total, np.where(np.isfinite(total), missing, 0.0) + tail


def _power(base, base_tail, exponent, exponent_tail):
    """(base + base_tail)^(exponent + exponent_tail) for base >= 0, where rounding of either would be magnified."""
    inside = np.where((base > 0.0) & (base < math.inf), base, 1.0)
    change = exponent * np.log1p(base_tail / inside) + exponent_tail * np.log(inside)
    return np.power(base, exponent) * np.exp(change)


def _exponential_excess(x: np.ndarray | np.float64) -> np.ndarray | np.float64:
    """e^x - 1 - x for |x| <= 1/2, to relative accuracy: x^2/2 (1 + x/3 (1 + x/4 (...))), fifteen terms."""
    series = np.ones_like(x)
    for k in range(17, 2, -1):
        series = 1.0 + x / k * series
    return 0.5 * x * x * series
