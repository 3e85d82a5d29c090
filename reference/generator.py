r"""What a generator of an f-divergence is: the functions and the domain that every regularised problem asks for.

A generator f is convex, differentiable and strictly convex on its domain, an interval of ratios around one, with
f(1) = f'(1) = 0 (FD-07). Its names, in the order of the axis they live on:

    ratios       smallest_ratio <= w <= largest_ratio           the domain of f (largest_ratio may be inf)
    slopes       infimum = f'(smallest_ratio), saturation = f'(largest_ratio)   both may be infinite
    arguments    y <= infimum:  w = smallest_ratio;   infimum < y < saturation:  w = (f')^{-1}(y);
                 y >= saturation:  w = largest_ratio; y must stay below `supremum`

`supremum` is finite for *barrier* generators only: ratios are unbounded and f'(inf) is finite, so that (f*)' has a pole
there. Floats near the pole cannot say how far from it they are, hence the functions `..._at_slack`, of the distance
`slack = supremum - y`.

Concrete generators are in `reference.entropic`, `reference.powers` and `reference.composed`; `reference.divergence` has
the table of all of them.
"""

import abc
import dataclasses
import enum
import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from jaxtyping import Float64

__all__ = ["RELATIVE_ACCURACY", "Divergence", "DomainError", "Mean", "Reals", "Values"]

RELATIVE_ACCURACY = 16 * 2.0**-53  # of every closed form, away from underflow; the largest error seen is 7.7 units

Reals = float | int | np.number | np.ndarray | Sequence
"""Real numbers as a caller may hand them over; every function makes float64 arrays of them."""

Values = np.float64 | Float64[np.ndarray, "..."]


class DomainError(ValueError):
    """An argument outside the domain of a generator, its conjugate or its ratio."""


class Mean(enum.IntEnum):
    """Means of z = advantage/beta that Jensen's inequality compares with the multiplier, from least to largest."""

    SOFT_MINIMUM = 1  # -log E e^-z
    MEAN = 2  # E z
    SOFT_MAXIMUM = 3  # log E e^z


@dataclasses.dataclass(frozen=True)
class Divergence(abc.ABC):
    """One convex generator f with f(1) = f'(1) = 0.

    Errors are bounded in the mixed sense: `f`, `f_prime`, `conjugate_at_ratio`, `curvature` and `slope_slack` are
    within a relative `accuracy`; `conjugate` and `ratio` within a relative `accuracy` of their values at an argument
    that is within a relative `argument_accuracy` of the one given (and so for slacks). The latter is zero for closed
    forms, whose accuracy is `RELATIVE_ACCURACY`.

    ``mean_below`` and ``mean_above`` name means of z that are never above, or below, the multiplier of the relaxed
    problem (`reference.multiplier` has the proof); None where no Jensen inequality holds.
    """

    name: ClassVar[str]
    barrier_text: ClassVar[str] = ""

    @property
    def smallest_ratio(self) -> float:
        """The lower end of the domain of f, in [0, 1)."""
        return 0.0

    @property
    def largest_ratio(self) -> float:
        """The upper end of the domain of f, in (1, inf]."""
        return math.inf

    @property
    def infimum(self) -> float:
        """f' at the smallest ratio: arguments at or below it have that ratio."""
        return -math.inf

    @property
    def saturation(self) -> float:
        """f' at a finite largest ratio: arguments at or above it have that ratio. inf without a cap."""
        return math.inf

    @property
    def supremum(self) -> float:
        """Arguments of the conjugate stay below it: f'(inf) of a barrier generator, inf for all others."""
        return math.inf

    @property
    def accuracy(self) -> float:
        """Relative error of the values (see the class)."""
        return RELATIVE_ACCURACY

    @property
    def argument_accuracy(self) -> float:
        """Relative backward error of `conjugate` and `ratio` (see the class)."""
        return 0.0

    @property
    def mean_below(self) -> Mean | None:
        """The mean of z that the multiplier is never below."""
        return None

    @property
    def mean_above(self) -> Mean | None:
        """The mean of z that the multiplier is never above."""
        return None

    def f(self, ratio: Reals) -> Values:
        """Price a ratio: f at finite w in its domain, any shape; inf where it exceeds every float.

        DomainError for a ratio outside, or NaN.
        """
        with np.errstate(divide="ignore", over="ignore"):
            return np.asarray(self._f(self._checked_ratio("f", ratio)))[()]

    def f_prime(self, ratio: Reals) -> Values:
        """f'(w) for ratios w in the domain, any shape. DomainError for a ratio outside, or NaN."""
        with np.errstate(divide="ignore", over="ignore"):
            return np.asarray(self._f_prime(self._checked_ratio("f_prime", ratio)))[()]

    def conjugate_at_ratio(self, ratio: Reals) -> Values:
        """f*(f'(w)) = w f'(w) - f(w), without the cancellation of that difference. DomainError as `f`."""
        with np.errstate(divide="ignore", over="ignore"):
            return np.asarray(self._conjugate_at_ratio(self._checked_ratio("conjugate_at_ratio", ratio)))[()]

    def curvature(self, ratio: Reals) -> Values:
        """(f*)''(y) at w = ratio(y), the slope of the ratio in its argument: 1/f''(w).

        Zero where the ratio stays at an end of its domain for a range of arguments.
        """
        w = np.asarray(ratio, dtype=np.float64)
        with np.errstate(divide="ignore", over="ignore", under="ignore"):
            slope = self._curvature(w)
        stays = (w >= self.largest_ratio) & (self.saturation < math.inf)
        stays |= (w <= self.smallest_ratio) & (self.infimum > -math.inf)
        return np.where(stays, 0.0, slope)[()]

    def conjugate(self, y: Reals) -> Values:
        """f*(y) = sup_w (w y - f(w)) for y below the supremum, any shape; at -inf its limit.

        DomainError for an argument outside, or NaN.
        """
        with np.errstate(divide="ignore", under="ignore", over="ignore"):
            return np.asarray(self._conjugate(self._checked_argument("conjugate", y)))[()]

    def ratio(self, y: Reals) -> Values:
        """(f*)'(y), the ratio that attains f*(y), for y below the supremum, any shape; the smallest ratio at -inf.

        DomainError for an argument outside, or NaN. A ratio beyond the largest float is returned as inf.
        """
        with np.errstate(divide="ignore", under="ignore", over="ignore"):
            return np.asarray(self._ratio(self._checked_argument("ratio", y)))[()]

    def slope_slack(self, ratio: Reals) -> Values:
        """f'(inf) - f'(w), accurate also for large w; barrier generators only. DomainError as `f`."""
        with np.errstate(divide="ignore", over="ignore"):
            return np.asarray(self._slope_slack(self._checked_ratio("slope_slack", ratio)))[()]

    def conjugate_at_slack(self, slack: Reals) -> Values:
        """f*(supremum - slack) for slack >= 0, for arguments closer to the pole than floats can say.

        DomainError without a pole, for a negative slack, or NaN.
        """
        with np.errstate(divide="ignore", under="ignore", over="ignore"):
            return np.asarray(self._conjugate_at_slack(self._checked_slack("conjugate_at_slack", slack)))[()]

    def ratio_at_slack(self, slack: Reals) -> Values:
        """(f*)'(supremum - slack) for slack >= 0. DomainError as `conjugate_at_slack`."""
        with np.errstate(divide="ignore", under="ignore", over="ignore"):
            return np.asarray(self._ratio_at_slack(self._checked_slack("ratio_at_slack", slack)))[()]

    def _checked_ratio(self, function: str, ratio: Reals) -> np.ndarray:
        w = np.asarray(ratio, dtype=np.float64)
        outside = ~((w >= self.smallest_ratio) & (w <= self.largest_ratio) & (w < math.inf))
        if np.any(outside):
            end = "inf)" if self.largest_ratio == math.inf else f"{self.largest_ratio:g}]"
            domain = f"[{self.smallest_ratio:g}, {end}"
            raise DomainError(f"{self!r}.{function}: expected ratios in {domain}, saw {_first(w, outside)}")
        return w

    def _checked_argument(self, function: str, y: Reals) -> np.ndarray:
        y = np.asarray(y, dtype=np.float64)
        outside = ~(y <= self.supremum)
        if np.any(outside):
            raise DomainError(
                f"{self!r}.{function}: expected arguments below f'(inf) = {self.barrier_text or f'{self.supremum:g}'}, "
                f"saw {_first(y, outside)}; with y = advantage/beta - multiplier the multiplier is too small: raise "
                "it, or let optimal_weights solve"
            )
        return y

    def _checked_slack(self, function: str, slack: Reals) -> np.ndarray:
        s = np.asarray(slack, dtype=np.float64)
        if self.supremum == math.inf:
            raise DomainError(f"{self!r}.{function}: f'(inf) is infinite, so there is no pole to be near; use y itself")
        outside = ~(s >= 0.0)
        if np.any(outside):
            raise DomainError(f"{self!r}.{function}: expected distances >= 0 to the pole, saw {_first(s, outside)}")
        return s

    @abc.abstractmethod
    def _f(self, w: np.ndarray) -> np.ndarray | np.float64: ...

    @abc.abstractmethod
    def _f_prime(self, w: np.ndarray) -> np.ndarray | np.float64: ...

    @abc.abstractmethod
    def _conjugate_at_ratio(self, w: np.ndarray) -> np.ndarray | np.float64: ...

    @abc.abstractmethod
    def _curvature(self, w: np.ndarray) -> np.ndarray | np.float64: ...

    @abc.abstractmethod
    def _conjugate(self, y: np.ndarray) -> np.ndarray | np.float64: ...

    @abc.abstractmethod
    def _ratio(self, y: np.ndarray) -> np.ndarray | np.float64: ...

    # Generators with a finite supremum override the three below; for all others `_checked_slack` speaks first.

    def _slope_slack(self, w: np.ndarray) -> np.ndarray | np.float64:
        return np.full_like(w, math.inf)

    def _conjugate_at_slack(self, s: np.ndarray) -> np.ndarray | np.float64:
        raise NotImplementedError(f"{type(self).__name__} has a finite supremum and no conjugate at a slack")

    def _ratio_at_slack(self, s: np.ndarray) -> np.ndarray | np.float64:
        raise NotImplementedError(f"{type(self).__name__} has a finite supremum and no ratio at a slack")


def _first(values: np.ndarray, wrong: np.ndarray | np.bool_) -> str:
    """The first offending entry, with its place: `1.5 at index (2, 0)`."""
    index = tuple(int(i) for i in np.argwhere(wrong)[0])
    place = f" at index {index[0] if len(index) == 1 else index}" if index else ""
    return f"{values[index]:g}{place}"
