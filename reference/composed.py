r"""Generators made of others: capped versions (FD-05) and mixtures.

Both rest on what a generator f offers as a function of the *ratio*: f, f', w f' - f = f*(f'(w)) and f'' add up over a
mixture, with terms of one sign, so that nothing cancels. Only the argument y must be turned into a ratio. A cap does
that in closed form; a mixture numerically (`_root`), with a bracket that is proved to contain the answer.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np

from reference.generator import Divergence, Mean
from reference.rounding import SLACK, UNIT_ROUNDOFF

__all__ = ["Capped", "Mixture"]

_MAX_STEPS = 3000  # bisection from the widest bracket of floats takes 64 steps, each forced after at most three others
_CLOSE = 4.0 * UNIT_ROUNDOFF


@dataclasses.dataclass(frozen=True)
class Capped(Divergence):
    """A generator restricted to ratios w <= cap: its conjugate is continued linearly, C^1, beyond f'(cap) (FD-05).

    The ratio is min((f*)'(y), cap). There is no barrier left: with a pole of f* below, the cap is reached before it.
    ValueError unless 1 < cap < largest ratio of the generator.
    """

    divergence: Divergence
    cap: float
    name: ClassVar[str] = "capped"

    def __post_init__(self) -> None:
        object.__setattr__(self, "cap", float(self.cap))
        if not 1.0 < self.cap < self.divergence.largest_ratio:
            raise ValueError(
                f"Capped: expected a cap in (1, {self.divergence.largest_ratio:g}), saw {self.cap:g}; ratios have mean "
                f"one, so the problem is infeasible below a cap of 1, and {self.divergence!r} has no larger ratios"
            )

    @property
    def smallest_ratio(self) -> float:
        """As without the cap."""
        return self.divergence.smallest_ratio

    @property
    def largest_ratio(self) -> float:
        """The cap."""
        return self.cap

    @property
    def infimum(self) -> float:
        """As without the cap."""
        return self.divergence.infimum

    @property
    def saturation(self) -> float:
        """f'(cap)."""
        return float(self.divergence.f_prime(self.cap))

    @property
    def accuracy(self) -> float:
        """One sum more than without the cap."""
        return self.divergence.accuracy + 4.0 * UNIT_ROUNDOFF

    @property
    def argument_accuracy(self) -> float:
        """The rounding of f'(cap) comes on top."""
        return self.divergence.argument_accuracy + self.divergence.accuracy

    @property
    def mean_above(self) -> Mean | None:
        """The smaller of a concave function and a constant is concave."""
        return self.divergence.mean_above

    def _f(self, w):
        return self.divergence._f(w)

    def _f_prime(self, w):
        return self.divergence._f_prime(w)

    def _conjugate_at_ratio(self, w):
        return self.divergence._conjugate_at_ratio(w)

    def _curvature(self, w):
        return self.divergence._curvature(w)

    def _conjugate(self, y):
        kept = np.minimum(y, self.saturation)
        end = self.divergence._conjugate_at_ratio(np.asarray(self.cap))
        beyond = end + self.cap * np.maximum(y - self.saturation, 0.0)
        return np.where(y < self.saturation, self.divergence._conjugate(kept), beyond)

    def _ratio(self, y):
        kept = self.divergence._ratio(np.minimum(y, self.saturation))
        return np.where(y < self.saturation, np.minimum(kept, self.cap), self.cap)


@dataclasses.dataclass(frozen=True)
class Mixture(Divergence):
    """sum_k c_k f_k of generators with coefficients c_k >= 0, given as pairs (c_k, f_k); the domains intersect.

    f, f' and f*(f'(w)) are sums; the ratio at an argument y is the root of sum_k c_k f_k'(w) = y. One pair alone is a
    scaled generator: ``Mixture([(0.5, JensenShannon())])`` is the Jensen-Shannon divergence. ValueError, naming the
    pair, for a coefficient that is negative or not finite; or if none is positive.
    """

    terms: tuple[tuple[float, Divergence], ...]
    name: ClassVar[str] = "mixture"

    def __init__(self, terms: Sequence[tuple[float, Divergence]]) -> None:
        pairs = tuple((float(coefficient), divergence) for coefficient, divergence in terms)
        for index, (coefficient, divergence) in enumerate(pairs):
            if not 0.0 <= coefficient < math.inf:
                raise ValueError(
                    f"Mixture: expected coefficients >= 0, saw {coefficient:g} for {divergence!r} in pair {index}; a "
                    "negative one may lose convexity"
                )
        kept = tuple(pair for pair in pairs if pair[0] > 0.0)
        if not kept:
            raise ValueError(f"Mixture: expected at least one positive coefficient, saw {[c for c, _ in pairs]}")
        object.__setattr__(self, "terms", kept)

    @property
    def smallest_ratio(self) -> float:
        """The largest of the smallest ratios."""
        return max(divergence.smallest_ratio for _, divergence in self.terms)

    @property
    def largest_ratio(self) -> float:
        """The smallest of the largest ratios."""
        return min(divergence.largest_ratio for _, divergence in self.terms)

    @property
    def infimum(self) -> float:
        """The slope at the smallest ratio."""
        return self._slope_at(self.smallest_ratio)

    @property
    def saturation(self) -> float:
        """The slope at a finite largest ratio."""
        return self._slope_at(self.largest_ratio) if self.largest_ratio < math.inf else math.inf

    @property
    def supremum(self) -> float:
        """The sum of f_k'(inf), unless there is a cap."""
        if self.largest_ratio < math.inf:
            return math.inf
        return math.fsum(coefficient * divergence.supremum for coefficient, divergence in self.terms)

    @property
    def accuracy(self) -> float:
        """A product and a sum for each term."""
        return max(divergence.accuracy for _, divergence in self.terms) + (len(self.terms) + 3) * UNIT_ROUNDOFF

    @property
    def argument_accuracy(self) -> float:
        """The residual left by `_root`, and the accuracy of the slope that it sees."""
        return self.accuracy + 2.0 * _CLOSE

    @property
    def mean_below(self) -> Mean | None:
        """A ratio is convex in y iff f' is concave, which adds up; convex in e^y implies it."""
        bounds = [divergence.mean_below for _, divergence in self.terms]
        return Mean.MEAN if all(mean is not None and mean >= Mean.MEAN for mean in bounds) else None

    def _sum(self, parts: Callable[[Divergence], np.ndarray | np.float64]) -> np.ndarray:
        return np.asarray(sum(coefficient * parts(divergence) for coefficient, divergence in self.terms))

    def _slope_at(self, w: float) -> float:
        with np.errstate(divide="ignore"):
            return float(self._f_prime(np.asarray(w)))

    def _f(self, w):
        return self._sum(lambda divergence: divergence._f(w))

    def _f_prime(self, w):
        return self._sum(lambda divergence: divergence._f_prime(w))

    def _conjugate_at_ratio(self, w):
        return self._sum(lambda divergence: divergence._conjugate_at_ratio(w))

    def _curvature(self, w):
        return 1.0 / self._sum(lambda divergence: 1.0 / np.asarray(divergence._curvature(w)))

    def _slope_slack(self, w):
        return self._sum(lambda divergence: divergence._slope_slack(w))

    def _near_pole(self, y):
        return (y > 0.5 * self.supremum) if self.supremum < math.inf else np.zeros(np.shape(y), dtype=np.bool_)

    def _conjugate(self, y):
        polar = self._near_pole(y)
        plain = np.where(polar, 0.0, y)
        finite = np.where(np.isfinite(plain), plain, 0.0)
        value = self._around(plain, self._plain_ratio(plain), lambda w: finite - self._f_prime(w))
        return np.where(polar, self._conjugate_at_slack(self.supremum - y), value) if np.any(polar) else value

    def _ratio(self, y):
        polar = self._near_pole(y)
        value = self._plain_ratio(np.where(polar, 0.0, y))
        return np.where(polar, self._ratio_at_slack(self.supremum - y), value) if np.any(polar) else value

    def _conjugate_at_slack(self, s):
        finite = np.where(np.isfinite(s), s, 0.0)
        return self._around(self.supremum - s, self._ratio_at_slack(s), lambda w: self._slope_slack(w) - finite)

    def _around(self, y, w, residual: Callable[[np.ndarray], np.ndarray | np.float64]):
        """f*(y) from a ratio w next to (f*)'(y): f*(f'(w)) + w (y - f'(w)), wrong by at most |dw| |y - f'(w)|.

        Where w is an end of the domain f' may be infinite and f is not: there w y - f(w), which is stationary.
        """
        slope = self._f_prime(np.where(w < math.inf, w, 1.0))
        inside = np.isfinite(slope) & (w < math.inf) & np.isfinite(y)
        w_inside = np.where(inside, w, 1.0)
        around = self._conjugate_at_ratio(w_inside) + w_inside * np.where(inside, residual(w_inside), 0.0)
        w_end = np.where(inside | (w == math.inf), 1.0, w)
        product = w_end * np.where(inside | (w_end == 0.0), 0.0, y)  # no price on an infinite argument at w = 0
        at_end = np.where(w == math.inf, math.inf, product - self._f(w_end))
        return np.where(inside, around, at_end)

    def _plain_ratio(self, y):
        """The root w of sum_k c_k f_k'(w) = y.

        For y > 0, hence w >= 1, all terms are >= 0. So c_k f_k'(w) <= y for every k: w <= (f_k*)'(y/c_k). And one term
        is at least the share y/K: w >= min_k (f_k*)'(y/(K c_k)). For y < 0 the same with signs and ends exchanged.
        """
        floor, cap, count = self.smallest_ratio, self.largest_ratio, len(self.terms)
        inside = (y > self.infimum) & (y < min(self.saturation, math.inf)) & (y != 0.0)
        target = np.where(inside, y, 1e-3)
        toward, away = target * (1.0 - SLACK), target * (1.0 + SLACK)
        shares = [_unbounded_ratio(divergence, toward / (count * c)) for c, divergence in self.terms]
        whole = [_unbounded_ratio(divergence, away / c) for c, divergence in self.terms]
        up = target > 0.0
        low = np.where(up, np.minimum.reduce(shares), np.maximum.reduce(whole))
        high = np.where(up, np.minimum.reduce(whole), np.maximum.reduce(shares))
        if self.supremum < math.inf:
            high = np.minimum(high, self._bracket_at_slack(0.5 * self.supremum)[1])
        least, most = max(floor, math.ulp(0.0)), min(cap, np.finfo(np.float64).max)
        low, high = np.clip(low * (1.0 - SLACK), least, most), np.clip(high * (1.0 + SLACK), least, most)
        root = _root(self._f_prime, self._curvature, target, low, high)
        # beyond the last slope that a float ratio has, the ratio overflows or underflows
        root = np.where(target > self._slope_at(most), cap, np.where(target < self._slope_at(least), floor, root))
        ends = np.where(y == 0.0, 1.0, np.where(y < 0.0, floor, cap))
        return np.where(inside, root, ends)

    def _ratio_at_slack(self, s):
        """The root w of sum_k c_k (f_k'(inf) - f_k'(w)) = s."""
        inside = (s > 0.0) & (s < math.inf)
        target = np.where(inside, s, 0.5 * self.supremum)
        low, high = self._bracket_at_slack(target)
        root = _root(lambda w: -self._slope_slack(w), self._curvature, -target, low, high)
        return np.where(inside, root, np.where(s > 0.0, self.smallest_ratio, math.inf))

    def _bracket_at_slack(self, s):
        """All distances to the poles are positive: none is above s, and one is at least s/K. Each falls in w."""
        count = len(self.terms)
        whole = [divergence._ratio_at_slack(s / c * (1.0 + SLACK)) for c, divergence in self.terms]
        shares = [divergence._ratio_at_slack(s / (count * c) * (1.0 - SLACK)) for c, divergence in self.terms]
        least, most = np.finfo(np.float64).smallest_subnormal, np.finfo(np.float64).max
        low = np.clip(np.maximum.reduce(whole) * (1.0 - SLACK), least, most)
        return low, np.clip(np.maximum.reduce(shares) * (1.0 + SLACK), least, most)


def _unbounded_ratio(divergence: Divergence, y: np.ndarray | np.float64) -> np.ndarray:
    """(f*)'(y), and inf at and above the supremum."""
    inside = y < divergence.supremum
    return np.where(inside, divergence._ratio(np.where(inside, y, 0.0)), math.inf)


def _root(
    function: Callable[[np.ndarray], np.ndarray | np.float64],
    inverse_slope: Callable[[np.ndarray], np.ndarray | np.float64],
    target: np.ndarray | np.float64,
    low: np.ndarray | np.float64,
    high: np.ndarray | np.float64,
) -> np.ndarray:
    """The w in [low, high] at which an increasing function has the value target, elementwise, for 0 < low <= high.

    Newton steps in log w, safeguarded by bisection in log w: a step that leaves the bracket is replaced, and so is
    every one while the bracket does not halve in three steps. An entry is done when the function, as computed, is
    within `_CLOSE` of its target, relatively; or when it is below the target at one float and not below it at the
    next but one. In both cases w is, to two roundings, the root for a target changed by a relative `_CLOSE` and the
    accuracy of the function. A root outside the bracket (it underflows, or overflows) gives the nearer end.
    """
    low, high, target = (np.array(a, dtype=np.float64) for a in np.broadcast_arrays(low, high, target))
    w = np.sqrt(low) * np.sqrt(high)
    best, smallest = w.copy(), np.full(w.shape, math.inf)
    width, stalled, nudge = np.log(high) - np.log(low), np.zeros(w.shape, dtype=np.int64), 2.0 * UNIT_ROUNDOFF
    for _ in range(_MAX_STEPS):
        value = function(w)
        distance = np.abs(value - target)
        closer = distance < smallest
        best, smallest = np.where(closer, w, best), np.where(closer, distance, smallest)
        below = value < target
        low, high = np.where(below, w, low), np.where(below, high, w)
        done = (smallest <= _CLOSE * np.abs(target)) | (high - low <= 2.0 * np.spacing(low))
        if np.all(done):
            return best
        now = np.log(high) - np.log(low)
        stalled = np.where(now <= 0.5 * width, 0, stalled + 1)
        width = np.where(stalled == 0, now, width)
        with np.errstate(invalid="ignore"):  # an infinite slope has no Newton step: the comparison below rejects it
            step = np.clip((target - value) * (inverse_slope(w) / w), -50.0, 50.0)
        # a nudge across the root, so that its two sides close in on it
        newton = w * np.exp(step) * np.where(below, 1.0 + nudge, 1.0 - nudge)
        middle = np.sqrt(low) * np.sqrt(high)
        w = np.where((low < newton) & (newton < high) & (stalled < 3), newton, middle)
        stalled = np.where(stalled >= 3, 0, stalled)
        w = np.where((low < w) & (w < high), w, np.nextafter(low, high))
    raise ArithmeticError(f"the inverse of a mixture did not settle in {_MAX_STEPS} steps: not reachable for floats")
