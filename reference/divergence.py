r"""Generators of f-divergences, with conjugates and ratios, normalised f(1) = f'(1) = 0 (FD-07).

A generator f is convex on [0, cap]; it measures a law d against the data law D by ``D_f(d || D) = E_D[f(d/D)]``.
What a regularised problem needs of it is four functions (FD-01):

    f(w)                                     the price of the ratio w = d/D
    f'(w)                                    its slope, which maps [0, cap] onto [-inf, supremum]
    f*(y) = sup_{0 <= w <= cap} (w y - f(w)) the conjugate, finite for y < supremum
    (f*)'(y) = (f')^{-1}(y)                  the ratio that attains it

    name          f(w)                                  f'(w)              f*(y)                   (f*)'(y)
    kl            w log w - w + 1                       log w              e^y - 1                 e^y
    js            w log w - (w+1) log((w+1)/2)          log(2w/(w+1))      -log(2 - e^y)           e^y / (2 - e^y)
    fermi-dirac   w log w + (C-w) log((C-w)/(C-1))      log(w(C-1)/(C-w))  C log((C-1+e^y)/C)      C e^y / (C-1+e^y)

Their optimal ratios are Maxwell-Boltzmann, Bose-Einstein and Fermi-Dirac occupation numbers (JS-13). `js` is *twice*
the Jensen-Shannon divergence (JS-01), and its ratio is not a sigmoid (JS-05); the sigmoid is Fermi-Dirac (JS-10).

Every function works on arrays of any shape and keeps its *relative* accuracy (`RELATIVE_ACCURACY`) at the
ends of its domain and at the zeros of f and f* at w = 1 and y = 0, where the printed formulas cancel. Arguments
outside the domain raise `DomainError`; the ends of the domain give the limits, infinite where the limit is.
"""

import abc
import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from jaxtyping import Float64

__all__ = ["KL", "Divergence", "DomainError", "FermiDirac", "JensenShannon", "divergence_from_name"]

LOG_2 = math.log(2.0)
LOG_2_TAIL = 2.3190468138462996e-17  # log 2 - LOG_2, to double precision: the float lies below the real number

RELATIVE_ACCURACY = 16 * 2.0**-53  # of every function here, away from underflow; the largest error seen is 9.3 units

Reals = float | int | np.number | np.ndarray | Sequence
"""Real numbers as a caller may hand them over; every function makes float64 arrays of them."""

Values = np.float64 | Float64[np.ndarray, "..."]


class DomainError(ValueError):
    """An argument outside the domain of a generator, its conjugate or its ratio."""


@dataclasses.dataclass(frozen=True)
class Divergence(abc.ABC):
    """One convex generator f with f(1) = f'(1) = 0.

    ``supremum`` is f'(inf), which arguments of the conjugate stay below (infinite where there is no barrier), ``cap``
    the largest ratio at which f is finite.
    """

    name: ClassVar[str]
    supremum: ClassVar[float] = math.inf

    @property
    def largest_ratio(self) -> float:
        """The upper end of the domain of f."""
        return math.inf

    def f(self, ratio: Reals) -> Values:
        """Price a ratio: f at finite w in [0, cap], any shape; inf where it exceeds every float.

        DomainError for a ratio outside, or NaN.
        """
        with np.errstate(over="ignore"):
            return np.asarray(self._f(self._checked_ratio("f", ratio)))[()]

    def f_prime(self, ratio: Reals) -> Values:
        """f'(w) for ratios w in [0, cap], any shape; -inf at zero. DomainError for a ratio outside, or NaN."""
        with np.errstate(divide="ignore", over="ignore"):
            return np.asarray(self._f_prime(self._checked_ratio("f_prime", ratio)))[()]

    def conjugate(self, y: Reals) -> Values:
        """f*(y) for y below the supremum, any shape; -f(0) at -inf. DomainError for an argument outside, or NaN."""
        with np.errstate(under="ignore", over="ignore"):
            return np.asarray(self._conjugate(self._checked_argument("conjugate", y)))[()]

    def ratio(self, y: Reals) -> Values:
        """(f*)'(y) for y below the supremum, any shape; 0 at -inf. DomainError for an argument outside, or NaN.

        A ratio beyond the largest float is returned as inf.
        """
        with np.errstate(under="ignore", over="ignore"):
            return np.asarray(self._ratio(self._checked_argument("ratio", y)))[()]

    def _checked_ratio(self, function: str, ratio: Reals) -> np.ndarray:
        w = np.asarray(ratio, dtype=np.float64)
        outside = ~((w >= 0.0) & (w <= self.largest_ratio) & (w < math.inf))
        if np.any(outside):
            domain = "[0, inf)" if self.largest_ratio == math.inf else f"[0, {self.largest_ratio:g}]"
            raise DomainError(f"{self!r}.{function}: expected ratios in {domain}, saw {_first(w, outside)}")
        return w

    def _checked_argument(self, function: str, y: Reals) -> np.ndarray:
        y = np.asarray(y, dtype=np.float64)
        outside = ~(y <= self.supremum)
        if np.any(outside):
            what = "f'(inf) = log 2 = 0.693147..." if self.supremum == LOG_2 else f"f'(inf) = {self.supremum:g}"
            raise DomainError(
                f"{self!r}.{function}: expected arguments below {what}, saw {_first(y, outside)}; with "
                "y = advantage/beta - multiplier the multiplier is too small: raise it, or let optimal_weights solve"
            )
        return y

    @abc.abstractmethod
    def _f(self, w: np.ndarray) -> np.ndarray | np.float64: ...

    @abc.abstractmethod
    def _f_prime(self, w: np.ndarray) -> np.ndarray | np.float64: ...

    @abc.abstractmethod
    def _conjugate(self, y: np.ndarray) -> np.ndarray | np.float64: ...

    @abc.abstractmethod
    def _ratio(self, y: np.ndarray) -> np.ndarray | np.float64: ...

    @abc.abstractmethod
    def curvature(self, ratio: Reals) -> Values:
        """(f*)''(y) = 1/f''(w) at w = ratio(y): the slope of the ratio in its argument."""


@dataclasses.dataclass(frozen=True)
class KL(Divergence):
    """Kullback-Leibler, f(w) = w log w - w + 1 (KL-01 to KL-04). Ratios are e^y; no barrier."""

    name: ClassVar[str] = "kl"

    def _f(self, w):
        return _entropy_excess(w - 1.0, w)

    def _f_prime(self, w):
        return np.log(w)

    def _conjugate(self, y):
        return np.expm1(y)

    def _ratio(self, y):
        return np.exp(y)

    def curvature(self, ratio: Reals) -> Values:
        """w."""
        return np.asarray(ratio, dtype=np.float64)[()]


@dataclasses.dataclass(frozen=True)
class JensenShannon(Divergence):
    """Twice the Jensen-Shannon divergence, f(w) = w log w - (w+1) log((w+1)/2) (JS-01, JS-02).

    In the literature's names `two_jsd`: ``E_D[f(d/D)] = KL(d || m) + KL(D || m)`` with m = (d + D)/2, at most 2 log 2.
    "JSD with beta" is this generator with beta/2. Arguments of the conjugate stay below log 2, where the ratio
    e^y / (2 - e^y) has its pole.
    """

    name: ClassVar[str] = "js"
    supremum: ClassVar[float] = LOG_2

    def _f(self, w):
        # KL(w || m) + KL(1 || m), m = (w + 1)/2: two terms that are never negative, so nothing cancels
        middle = 0.5 * w + 0.5
        contrast = (w - 1.0) / (w + 1.0)
        return middle * (_entropy_excess(contrast, w / middle) + _entropy_excess(-contrast, 1.0 / middle))

    def _f_prime(self, w):
        small = np.minimum(w, 0.5)
        near_one = np.log1p((np.maximum(w, 0.5) - 1.0) / (np.maximum(w, 0.5) + 1.0))
        return np.where(w < 0.5, np.log(2.0 * small / (1.0 + small)), near_one)

    def _conjugate(self, y):
        near_pole = y > 0.5 * LOG_2
        slack = _distance_to_pole(np.where(near_pole, y, 0.0))
        return np.where(near_pole, self.conjugate_at_slack(slack), -np.log1p(-np.expm1(np.minimum(y, 0.5 * LOG_2))))

    def _ratio(self, y):
        e = np.exp(np.minimum(y, 0.0))
        return np.where(y > 0.0, self.ratio_at_slack(_distance_to_pole(np.maximum(y, 0.0))), e / (2.0 - e))

    def conjugate_at_slack(self, slack: Reals) -> Values:
        """f*(log 2 - slack) = -log(2 (1 - e^-slack)), for arguments closer to the pole than floats near log 2 are."""
        return (-np.log(-2.0 * np.expm1(-np.asarray(slack, dtype=np.float64))))[()]

    def ratio_at_slack(self, slack: Reals) -> Values:
        """(f*)'(log 2 - slack) = 1 / (e^slack - 1), the Bose-Einstein form (JS-13)."""
        with np.errstate(over="ignore"):
            return (1.0 / np.expm1(np.asarray(slack, dtype=np.float64)))[()]

    def curvature(self, ratio: Reals) -> Values:
        """w (1 + w)."""
        w = np.asarray(ratio, dtype=np.float64)
        return (w * (1.0 + w))[()]


@dataclasses.dataclass(frozen=True)
class FermiDirac(Divergence):
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

    def _f(self, w):
        # KL(w || 1) + KL(C - w || C - 1): two terms that are never negative
        rest = self.cap - 1.0
        excess = w - 1.0
        return _entropy_excess(excess, w) + rest * _entropy_excess(-excess / rest, (self.cap - w) / rest)

    def _f_prime(self, w):
        rest = self.cap - 1.0
        share = (w - 1.0) / rest
        high = share > 0.5
        return np.log(w) - np.where(high, np.log((self.cap - w) / rest), np.log1p(-np.where(high, 0.0, share)))

    def _conjugate(self, y):
        cap, rest = self.cap, self.cap - 1.0
        relative = np.expm1(np.minimum(y, 700.0)) / cap
        low, high = relative < -0.5, y > 700.0
        return cap * np.select(
            [low, high],
            [
                np.log((rest + np.exp(np.minimum(y, 0.0))) / cap),
                y - math.log(cap) + np.log1p(rest * np.exp(-np.maximum(y, 0.0))),
            ],
            np.log1p(np.where(low, 0.0, relative)),
        )

    def _ratio(self, y):
        rest = self.cap - 1.0
        e = np.exp(-np.abs(y))
        return np.where(y >= 0.0, self.cap / (1.0 + rest * e), e * (self.cap / (rest + e)))

    def curvature(self, ratio: Reals) -> Values:
        """w (C - w) / C."""
        w = np.asarray(ratio, dtype=np.float64)
        return (w * ((self.cap - w) / self.cap))[()]


def divergence_from_name(name: str, cap: float | None = None) -> Divergence:
    """The generator called `kl`, `js` or `fermi-dirac` on a command line. ValueError names what is known."""
    if name == FermiDirac.name:
        if cap is None:
            raise ValueError("fermi-dirac: expected a cap > 1 on the ratio, saw none; give one, for example cap=2")
        return FermiDirac(cap)
    if cap is not None:
        raise ValueError(f"divergence {name!r}: expected no cap, saw {cap:g}; only fermi-dirac takes one")
    for plain in (KL(), JensenShannon()):
        if plain.name == name:
            return plain
    raise ValueError(f"expected a divergence among kl, js, fermi-dirac, saw {name!r}")


# artanh(v) - v = v^3 (1/3 + v^2/5 + v^4/7 + ...); sixteen terms leave less than 2^-57 of the first for |v| <= 0.3
_ARTANH_TAIL = tuple(1.0 / (2 * k + 3) for k in range(16))


def _entropy_excess(t: np.ndarray | np.float64, w: np.ndarray | np.float64) -> np.ndarray:
    """w log w - w + 1 at w = 1 + t >= 0, to relative accuracy also next to its double zero at t = 0.

    Near the zero, with v = t/(2 + t): log w = 2 artanh v, and w log w - t = t v + 2 w (artanh v - v), where the second
    term is the smaller (C. Loader, Fast and Accurate Computation of Binomial Probabilities, 2000, deviance term).
    Both t and w are taken, because each is exact where the other is rounded.
    """
    near = np.abs(t) < 0.45
    t_near = np.where(near, t, 0.0)
    v = t_near / (2.0 + t_near)
    square = v * v
    tail = np.polynomial.polynomial.polyval(square, _ARTANH_TAIL)
    near_value = t_near * v + 2.0 * (1.0 + t_near) * v * square * tail
    far = np.where(near, 1.0, w)
    far_value = far * np.log(np.where(far > 0.0, far, 1.0)) - np.where(near, 0.0, t)
    return np.where(near, near_value, far_value)


def _distance_to_pole(y: np.ndarray | np.float64) -> np.ndarray:
    """log 2 - y, where LOG_2 - y alone would miss the part of log 2 that a float cannot hold."""
    return np.asarray((LOG_2 - y) + LOG_2_TAIL)


def _first(values: np.ndarray, wrong: np.ndarray | np.bool_) -> str:
    """The first offending entry, with its place: `1.5 at index (2, 0)`."""
    index = tuple(int(i) for i in np.argwhere(wrong)[0])
    place = f" at index {index[0] if len(index) == 1 else index}" if index else ""
    return f"{values[index]:g}{place}"
