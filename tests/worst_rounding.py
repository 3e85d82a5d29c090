"""The worst that rounding may do to a formula, in the standard model: what a bound on rounding errors must cover.

A float64 result misses the exact one by far less than a proved bound allows, so that comparing the two says nothing of
the terms of the bound: one may be missing, or have the wrong sign, and the slack of the others hides it. `Worst` takes
the model at its word instead. Every operation may err by u of its result in either direction (Higham 2002, section
2.2), independently of the others, so that

    sup |computed - exact| = sum over the operations of u |result| |how much the end feels it|      to first order in u,

in rational arithmetic, and a bound that is below it is wrong for some rounding, though not for the one that happened.
Inputs may be known to some distance only, which enters in the same way.

Operations that no rounding can touch are free: sums with 0, products with 0, and with powers of two.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from tolerances import ELEMENTARY

U = Fraction(1, 2**53)
FIRST_ORDER = 1.0 - 2.0**-30
"""Terms of second order in u may reduce the supremum: a formula of n operations by less than n u of it, n < 2^20."""


class Worst:
    """A rational number that is computed in float64, and the largest distance of what is computed, to first order."""

    __slots__ = ("loss", "value")

    def __init__(self, value: Any, loss: Any = 0) -> None:
        self.value, self.loss = Fraction(value), Fraction(loss)

    def __repr__(self) -> str:
        return f"{float(self.value)} +- {float(self.loss)}"

    def _rounded(self, value: Fraction, loss: Fraction, free: bool) -> Worst:
        return Worst(value, loss if free else loss + U * abs(value))

    def __neg__(self) -> Worst:
        return Worst(-self.value, self.loss)

    def __abs__(self) -> Worst:
        return Worst(abs(self.value), self.loss)

    def __add__(self, other: Any) -> Worst:
        if isinstance(other, np.ndarray):
            return NotImplemented
        other = _lift(other)
        free = _nothing(self) or _nothing(other)
        return self._rounded(self.value + other.value, self.loss + other.loss, free)

    def __sub__(self, other: Any) -> Worst:
        if isinstance(other, np.ndarray):
            return NotImplemented
        return self + -_lift(other)

    def __mul__(self, other: Any) -> Worst:
        if isinstance(other, np.ndarray):
            return NotImplemented
        other = _lift(other)
        loss = abs(self.value) * other.loss + abs(other.value) * self.loss
        return self._rounded(self.value * other.value, loss, _power_of_two(self) or _power_of_two(other))

    def __truediv__(self, other: Any) -> Worst:
        if isinstance(other, np.ndarray):
            return NotImplemented
        other = _lift(other)
        quotient = self.value / other.value
        return self._rounded(
            quotient, (self.loss + abs(quotient) * other.loss) / abs(other.value), _power_of_two(other)
        )

    def __radd__(self, other: Any) -> Worst:
        return self + other

    def __rsub__(self, other: Any) -> Worst:
        return _lift(other) - self

    def __rmul__(self, other: Any) -> Worst:
        return self * other

    def __rtruediv__(self, other: Any) -> Worst:
        return _lift(other) / self

    def __lt__(self, other: Any) -> bool:
        return self.value < _lift(other).value

    def __ge__(self, other: Any) -> bool:
        return self.value >= _lift(other).value


def worst(array: Any, loss: Any = 0.0) -> np.ndarray:
    """Floats, exact or known to `loss`, as an object array: its sums and products are those of `Worst`."""
    array, loss = np.broadcast_arrays(np.asarray(array, dtype=np.float64), np.asarray(loss, dtype=np.float64))
    flat = [Worst(float(x), float(e)) for x, e in zip(array.ravel(), loss.ravel(), strict=True)]
    result = np.empty(array.size, dtype=object)
    result[:] = flat
    return result.reshape(array.shape)


def summed_once(terms: Any) -> Worst:
    """`math.fsum`: the losses of its terms, and one rounding of the result."""
    terms = list(np.ravel(terms))
    value = sum((term.value for term in terms), start=Fraction(0))
    return Worst(value, sum((term.loss for term in terms), start=Fraction(0)) + U * abs(value))


def exp(number: Worst) -> Worst:
    """e^x by a library that keeps what NumPy's tests hold it to."""
    value = Fraction(math.exp(number.value))
    return Worst(value, value * (number.loss + Fraction(ELEMENTARY)))


def log(number: Worst) -> Worst:
    """log x, likewise."""
    value = Fraction(math.log(number.value))
    return Worst(value, number.loss / number.value + abs(value) * Fraction(ELEMENTARY))


def expm1(number: Worst) -> Worst:
    """e^x - 1, likewise."""
    value = Fraction(math.expm1(number.value))
    return Worst(value, (1 + value) * number.loss + abs(value) * Fraction(ELEMENTARY))


def log1p(number: Worst) -> Worst:
    """log(1 + x), likewise."""
    value = Fraction(math.log1p(number.value))
    return Worst(value, number.loss / (1 + number.value) + abs(value) * Fraction(ELEMENTARY))


def exactly(number: Worst) -> Worst:
    """The same number, known exactly: where what is lost before a step is counted on its own."""
    return Worst(number.value)


def also(number: Worst, before: Worst) -> Worst:
    """`number`, computed from floats that may themselves be as far off as `before`, which it passes on as they are."""
    return Worst(number.value, number.loss + before.loss)


def least(value: Fraction | Worst) -> float:
    """What a bound must reach: less what second-order terms may take."""
    value = value.loss if isinstance(value, Worst) else value
    return float(value) * FIRST_ORDER


def _lift(other: Any) -> Worst:
    return other if isinstance(other, Worst) else Worst(other)


def _nothing(number: Worst) -> bool:
    return number.value == 0 and number.loss == 0


def _power_of_two(number: Worst) -> bool:
    size = abs(number.value)
    plain = size == 0 or (size.numerator & (size.numerator - 1) == 0 == size.denominator & (size.denominator - 1))
    return number.loss == 0 and plain
