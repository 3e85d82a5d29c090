"""Three generators in their textbook form, written against the interface alone: a barrier, a clip, a price of inf at 0.

They keep the relative accuracy that `reference.divergence` promises, for w near one as well.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np

from reference.divergence import Divergence


@dataclasses.dataclass(frozen=True)
class ReverseKL(Divergence):
    """f(w) = w - 1 - log w; infinite at 0."""

    name: ClassVar[str] = "reverse-kl"
    supremum: ClassVar[float] = 1.0
    infimum: ClassVar[float] = -np.inf

    def _f(self, w):
        near = np.abs(w - 1.0) < 0.1
        t = np.where(near, w - 1.0, 0.0)
        series = t**2 * np.polynomial.polynomial.polyval(-t, [1.0 / k for k in range(2, 22)])
        return np.where(near, series, w - 1.0 - np.log(np.where(near, 1.0, w)))

    def _f_prime(self, w):
        return (w - 1.0) / w

    def _conjugate(self, y):
        return -np.log1p(-y)

    def _ratio(self, y):
        return 1.0 / (1.0 - y)

    def curvature(self, ratio):
        """w^2."""
        return np.asarray(ratio, dtype=np.float64) ** 2


@dataclasses.dataclass(frozen=True)
class PearsonChi2(Divergence):
    """f(w) = (w - 1)^2 / 2; ratios are exactly zero for arguments below -1."""

    name: ClassVar[str] = "chi2"
    infimum: ClassVar[float] = -1.0

    def _f(self, w):
        return 0.5 * (w - 1.0) ** 2

    def _f_prime(self, w):
        return w - 1.0

    def _conjugate(self, y):
        return np.where(y >= -1.0, np.maximum(y, -1.0) * (1.0 + 0.5 * np.maximum(y, -1.0)), -0.5)

    def _ratio(self, y):
        return np.maximum(1.0 + y, 0.0)

    def curvature(self, ratio):
        """One."""
        return np.ones_like(np.asarray(ratio, dtype=np.float64))


@dataclasses.dataclass(frozen=True)
class Hellinger(Divergence):
    """f(w) = (sqrt(w) - 1)^2."""

    name: ClassVar[str] = "hellinger"
    supremum: ClassVar[float] = 1.0
    infimum: ClassVar[float] = -np.inf

    def _f(self, w):
        return ((w - 1.0) / (np.sqrt(w) + 1.0)) ** 2

    def _f_prime(self, w):
        return (w - 1.0) / (np.sqrt(w) * (np.sqrt(w) + 1.0))

    def _conjugate(self, y):
        return y / (1.0 - y)

    def _ratio(self, y):
        return (1.0 - y) ** -2.0

    def curvature(self, ratio):
        """2 w^(3/2)."""
        return 2.0 * np.asarray(ratio, dtype=np.float64) ** 1.5
