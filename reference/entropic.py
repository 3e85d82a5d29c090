r"""Generators made of logarithms: Kullback-Leibler, Jensen-Shannon, Fermi-Dirac and its two-sided version (FD-01).

Their optimal ratios are Maxwell-Boltzmann, Bose-Einstein and Fermi-Dirac occupation numbers (JS-13). The domains, what
the accuracies mean and the names are those of `reference.generator`.
"""

import dataclasses
import math
from typing import ClassVar

import numpy as np

from reference.generator import Divergence, Mean

__all__ = ["KL", "LOG_2", "FermiDirac", "JensenShannon", "TwoSidedFermiDirac", "entropy_excess"]

LOG_2 = math.log(2.0)
LOG_2_TAIL = 2.3190468138462996e-17  # log 2 - LOG_2, to double precision: the float lies below the real number


@dataclasses.dataclass(frozen=True)
class KL(Divergence):
    """Kullback-Leibler, f(w) = w log w - w + 1 (KL-01 to KL-04). Ratios are e^y; no barrier."""

    name: ClassVar[str] = "kl"

    @property
    def mean_below(self) -> Mean:
        """e^y is linear in itself: the multiplier is log E e^z."""
        return Mean.SOFT_MAXIMUM

    @property
    def mean_above(self) -> Mean:
        """As `mean_below`."""
        return Mean.SOFT_MAXIMUM

    def _f(self, w):
        return entropy_excess(w - 1.0, w)

    def _f_prime(self, w):
        return np.log(w)

    def _conjugate_at_ratio(self, w):
        return w - 1.0

    def _curvature(self, w):
        return w

    def _conjugate(self, y):
        return np.expm1(y)

    def _ratio(self, y):
        return np.exp(y)


@dataclasses.dataclass(frozen=True)
class JensenShannon(Divergence):
    """Twice the Jensen-Shannon divergence, f(w) = w log w - (w+1) log((w+1)/2) (JS-01, JS-02).

    In the literature's names `two_jsd`: ``E_D[f(d/D)] = KL(d || m) + KL(D || m)`` with m = (d + D)/2, at most 2 log 2.
    "JSD with beta" is this generator with beta/2. Arguments of the conjugate stay below log 2, where the ratio
    e^y / (2 - e^y) has its pole; at a slack s it is 1/(e^s - 1), the Bose-Einstein form (JS-13).
    """

    name: ClassVar[str] = "js"
    barrier_text: ClassVar[str] = "log 2 = 0.693147..."

    @property
    def supremum(self) -> float:
        """log 2."""
        return LOG_2

    @property
    def mean_below(self) -> Mean:
        """u/(2 - u) is convex in u = e^y (JS-04)."""
        return Mean.SOFT_MAXIMUM

    def _f(self, w):
        # KL(w || m) + KL(1 || m), m = (w + 1)/2: two terms that are never negative, so nothing cancels
        middle = 0.5 * w + 0.5
        contrast = (w - 1.0) / (w + 1.0)
        return middle * (entropy_excess(contrast, w / middle) + entropy_excess(-contrast, 1.0 / middle))

    def _f_prime(self, w):
        small = np.minimum(w, 0.5)
        near_one = np.log1p((np.maximum(w, 0.5) - 1.0) / (np.maximum(w, 0.5) + 1.0))
        return np.where(w < 0.5, np.log(2.0 * small / (1.0 + small)), near_one)

    def _conjugate_at_ratio(self, w):
        return np.log1p(0.5 * (w - 1.0))

    def _curvature(self, w):
        return w * (1.0 + w)

    def _conjugate(self, y):
        near_pole = y > 0.5 * LOG_2
        slack = _below_log_2(np.where(near_pole, y, 0.0))
        return np.where(near_pole, self._conjugate_at_slack(slack), -np.log1p(-np.expm1(np.minimum(y, 0.5 * LOG_2))))

    def _ratio(self, y):
        e = np.exp(np.minimum(y, 0.0))
        return np.where(y > 0.0, self._ratio_at_slack(_below_log_2(np.maximum(y, 0.0))), e / (2.0 - e))

    def _slope_slack(self, w):
        return np.log1p(1.0 / w)

    def _conjugate_at_slack(self, s):
        return -np.log(-2.0 * np.expm1(-s))

    def _ratio_at_slack(self, s):
        return 1.0 / np.expm1(s)


class _Logistic(Divergence):
    """f(w) = (w-m) log((w-m)/(1-m)) + (M-w) log((M-w)/(M-1)) on [m, M]; the ratio m + (M-m) sigmoid(y - y0)."""

    @property
    def mean_below(self) -> Mean:
        """The ratio is convex in e^-y."""
        return Mean.SOFT_MINIMUM

    @property
    def mean_above(self) -> Mean:
        """The ratio is concave in e^y."""
        return Mean.SOFT_MAXIMUM

    @property
    def _below(self) -> float:
        """1 - m."""
        return 1.0 - self.smallest_ratio

    @property
    def _above(self) -> float:
        """M - 1."""
        return self.largest_ratio - 1.0

    def _f(self, w):
        # KL(w - m || 1 - m) + KL(M - w || M - 1): two terms that are never negative
        below, above, excess = self._below, self._above, w - 1.0
        lower = entropy_excess(excess / below, (w - self.smallest_ratio) / below)
        return below * lower + above * entropy_excess(-excess / above, (self.largest_ratio - w) / above)

    def _f_prime(self, w):
        share = (w - 1.0) / self._below
        low = share < -0.5
        lower = np.where(low, np.log((w - self.smallest_ratio) / self._below), np.log1p(np.where(low, 0.0, share)))
        return lower - self._log_room(w)

    def _log_room(self, w):
        """log((M - w)/(M - 1))."""
        share = (w - 1.0) / self._above
        high = share > 0.5
        return np.where(high, np.log((self.largest_ratio - w) / self._above), np.log1p(-np.where(high, 0.0, share)))

    def _conjugate_at_ratio(self, w):
        width = self.largest_ratio - self.smallest_ratio
        # at m = 0 the first term is 0 times -inf at the end w = 0, with the limit 0
        floor = self.smallest_ratio * self._f_prime(w) if self.smallest_ratio > 0.0 else 0.0
        return floor - width * self._log_room(w)

    def _curvature(self, w):
        width = self.largest_ratio - self.smallest_ratio
        return (w - self.smallest_ratio) * ((self.largest_ratio - w) / width)

    def _conjugate(self, y):
        below, above, width = self._below, self._above, self.largest_ratio - self.smallest_ratio
        relative = below * np.expm1(np.minimum(y, 700.0)) / width
        low, high = relative < -0.5, y > 700.0
        logistic = np.select(
            [low, high],
            [
                np.log((above + below * np.exp(np.minimum(y, 0.0))) / width),
                y + math.log(below / width) + np.log1p(above / below * np.exp(-np.maximum(y, 0.0))),
            ],
            np.log1p(np.where(low, 0.0, relative)),
        )
        return width * logistic + (self.smallest_ratio * y if self.smallest_ratio > 0.0 else 0.0)

    def _ratio(self, y):
        below, above, width = self._below, self._above, self.largest_ratio - self.smallest_ratio
        e, middle = np.exp(-np.abs(y)), np.clip(y, -0.6, 0.6)
        # near one as 1 + ..., which is one at y = 0 without rounding; further off from the nearer of m and 0
        near = 1.0 + above * (below * np.expm1(middle) / (above + below * np.exp(middle)))
        far = np.where(y >= 0.0, width / (1.0 + above / below * e), e * (width / (above / below + e)))
        return np.where(middle == y, near, self.smallest_ratio + far)


@dataclasses.dataclass(frozen=True)
class FermiDirac(_Logistic):
    """Capped ratios, f(w) = w log w + (C - w) log((C - w)/(C - 1)) on [0, C] (JS-10, FD-06).

    The ratio ``C sigmoid(y - log(C - 1))`` is the shifted sigmoid that is often taken for Jensen-Shannon. C -> inf is
    KL, C -> 1 uniform. ValueError unless 1 < cap < inf: no ratio of mean one stays below a cap of one.
    """

    cap: float
    name: ClassVar[str] = "fermi-dirac"

    def __post_init__(self) -> None:
        object.__setattr__(self, "cap", float(self.cap))
        if not 1.0 < self.cap < math.inf:
            raise ValueError(
                f"FermiDirac: expected a cap in (1, inf), saw {self.cap:g}; ratios have mean one, so the problem is "
                "infeasible below a cap of 1 (use KL() for no cap at all)"
            )

    @property
    def largest_ratio(self) -> float:
        """The cap."""
        return self.cap


@dataclasses.dataclass(frozen=True)
class TwoSidedFermiDirac(_Logistic):
    """Ratios in [m, M], f(w) = (w-m) log((w-m)/(1-m)) + (M-w) log((M-w)/(M-1)) with m = low, M = high (JS-20).

    The ratio ``m + (M - m) sigmoid(y - log((M-1)/(1-m)))`` is the affine sigmoid of source 002, with the multiplier
    that makes it optimal. m = 0 is `FermiDirac(M)`. ValueError unless 0 <= low < 1 < high < inf.
    """

    low: float
    high: float
    name: ClassVar[str] = "two-sided-fermi-dirac"

    def __post_init__(self) -> None:
        object.__setattr__(self, "low", float(self.low))
        object.__setattr__(self, "high", float(self.high))
        if not 0.0 <= self.low < 1.0 < self.high < math.inf:
            raise ValueError(
                f"TwoSidedFermiDirac: expected 0 <= low < 1 < high < inf, saw low={self.low:g}, high={self.high:g}; "
                "ratios have mean one, so one must lie between the bounds"
            )

    @property
    def smallest_ratio(self) -> float:
        """The lower bound m."""
        return self.low

    @property
    def largest_ratio(self) -> float:
        """The upper bound M."""
        return self.high


# artanh(v) - v = v^3 (1/3 + v^2/5 + v^4/7 + ...); 28 terms leave less than 2^-57 of the first for |v| <= 1/2
_ARTANH_TAIL = tuple(1.0 / (2 * k + 3) for k in range(28))


def entropy_excess(t: np.ndarray | np.float64, w: np.ndarray | np.float64) -> np.ndarray:
    """w log w - w + 1 at w = 1 + t >= 0, to relative accuracy also next to its double zero at t = 0.

    Near the zero, with v = t/(2 + t): log w = 2 artanh v, and w log w - t = t v + 2 w (artanh v - v), where the second
    term is the smaller (C. Loader, Fast and Accurate Computation of Binomial Probabilities, 2000, deviance term).
    Both t and w are taken, because each is exact where the other is rounded.
    """
    near = (t > -0.6) & (t < 2.0)
    t_near = np.where(near, t, 0.0)
    v = t_near / (2.0 + t_near)
    square = v * v
    tail = np.polynomial.polynomial.polyval(square, _ARTANH_TAIL)
    near_value = t_near * v + 2.0 * (1.0 + t_near) * v * square * tail
    far = np.where(near, 1.0, w)
    far_value = far * np.log(np.where(far > 0.0, far, 1.0)) - np.where(near, 0.0, t)
    return np.where(near, near_value, far_value)


def _below_log_2(y: np.ndarray | np.float64) -> np.ndarray:
    """log 2 - y, where LOG_2 - y alone would miss the part of log 2 that a float cannot hold."""
    return np.asarray((LOG_2 - y) + LOG_2_TAIL)
