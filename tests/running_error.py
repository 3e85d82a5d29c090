"""Running error analysis: arrays that carry a rigorous bound on what rounding may have done to them.

A test that compares a float32 computation with a float64 one needs a bound, and the bound must follow from the
computation. `Rounded` derives it while the expected value is computed: every operation propagates the bounds of its
arguments exactly (to all orders, not to the first) and adds what rounding the result may cost (Wilkinson's running
error analysis; N. J. Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd edition, sections 3.3 and 4.2).
The invariant of every instance is

    |computed - value| <= error        elementwise,

where `computed` is the same formula evaluated in the floating-point type under test, in any order of summation, with or
without fused multiply-add, and with each elementary operation split or merged once (`ROUNDINGS` roundings are charged
for each, so that `x / c` may become `x * (1 / c)` and `a * (b - c)` may be evaluated as the reverse pass of a
differentiated formula does).

Elementary functions are charged what JAX documents for them on CPU and GPU ("Numerical accuracy" in JAX's
documentation, tables for float32 and float64): the larger of the listed maxima in units in the last place, one unit
being at most `2 u |result|`. One of them is wrong: `_log1p_ulps`.
"""

from __future__ import annotations

from functools import cache
from importlib import metadata
from typing import Any

import numpy as np

ROUNDINGS = 2
"""Roundings charged for one arithmetic operation."""

ULPS = {"exp": 2.0, "expm1": 6.5, "log": 1.5, "log1p": 3.0, "logistic": 4.5, "tanh": 7.0}
"""Largest documented error of each function, in units in the last place (of float32, float64, CPU and GPU)."""


def unit_roundoff(dtype: Any) -> float:
    """Return u of the type under test plus u of float64, because the expected value is itself rounded there."""
    return float(np.finfo(dtype).eps) / 2 + float(np.finfo(np.float64).eps) / 2


class Rounded:
    """A float64 array `value` with a bound `error` on its distance to the same array in the type under test."""

    __slots__ = ("error", "tiny", "unit", "value")
    __array_ufunc__ = None  # an ndarray on the left hands the operation over to this class

    def __init__(self, value: Any, error: Any, unit: float, tiny: float) -> None:
        self.value = np.asarray(value, dtype=np.float64)
        self.error = np.broadcast_to(np.asarray(error, dtype=np.float64), self.value.shape)
        self.unit = unit
        self.tiny = tiny

    # -- construction -------------------------------------------------------------------------------------------------

    @classmethod
    def exact(cls, value: Any, dtype: Any) -> Rounded:
        """Wrap an array that both sides hold bit for bit; refuses one that the type under test cannot hold."""
        array = np.asarray(value, dtype=np.float64)
        held = array.astype(dtype).astype(np.float64)
        if not np.array_equal(held, array):
            raise ValueError(
                f"{array[held != array].ravel()[0]!r} is not a {np.dtype(dtype).name} number; round the input first"
            )
        return cls(array, 0.0, unit_roundoff(dtype), float(np.finfo(dtype).tiny))

    def _new(self, value: Any, propagated: Any, roundings: float = ROUNDINGS) -> Rounded:
        """Return a result that its arguments' errors move by `propagated` and that is rounded `roundings` times."""
        value = np.asarray(value, dtype=np.float64)
        error = propagated + roundings * self.unit * (np.abs(value) + propagated) + self.tiny
        return Rounded(value, error, self.unit, self.tiny)

    def _lift(self, other: Any) -> Rounded:
        return other if isinstance(other, Rounded) else Rounded(other, 0.0, self.unit, self.tiny)

    def constant(self, value: Any) -> Rounded:
        """Return a number that the type under test may have to round (such as log 2), as an operand for this array."""
        return Rounded(value, self.unit * np.abs(value), self.unit, self.tiny)

    def ones(self) -> Rounded:
        """Return exact ones of this array's shape."""
        return Rounded(np.ones(self.value.shape), 0.0, self.unit, self.tiny)

    def _free(self, value: Any, error: Any) -> Rounded:
        """Return a result that costs no rounding (a selection, a copy, a sign)."""
        return Rounded(value, error, self.unit, self.tiny)

    # -- shape --------------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def T(self) -> Rounded:
        return self._free(self.value.T, self.error.T)

    def __getitem__(self, index: Any) -> Rounded:
        return self._free(self.value[index], self.error[index])

    def reshape(self, *shape: int) -> Rounded:
        return self._free(self.value.reshape(*shape), self.error.reshape(*shape))

    def __len__(self) -> int:
        return len(self.value)

    def __repr__(self) -> str:
        return f"Rounded({self.value!r} +- {self.error!r})"

    # -- arithmetic ---------------------------------------------------------------------------------------------------

    def __neg__(self) -> Rounded:
        return self._free(-self.value, self.error)

    def __add__(self, other: Any) -> Rounded:
        other = self._lift(other)
        return self._new(self.value + other.value, self.error + other.error)

    def __sub__(self, other: Any) -> Rounded:
        other = self._lift(other)
        return self._new(self.value - other.value, self.error + other.error)

    def __mul__(self, other: Any) -> Rounded:
        other = self._lift(other)
        moved = np.abs(self.value) * other.error + np.abs(other.value) * self.error + self.error * other.error
        return self._new(self.value * other.value, moved)

    def __truediv__(self, other: Any) -> Rounded:
        other = self._lift(other)
        room = np.abs(other.value) - other.error
        if np.any(room <= 0):
            raise ZeroDivisionError("running error analysis: the divisor's bound reaches zero")
        quotient = self.value / other.value
        return self._new(quotient, (self.error + np.abs(quotient) * other.error) / room)

    def __radd__(self, other: Any) -> Rounded:
        return self + other

    def __rsub__(self, other: Any) -> Rounded:
        return self._lift(other) - self

    def __rmul__(self, other: Any) -> Rounded:
        return self * other

    def __rtruediv__(self, other: Any) -> Rounded:
        return self._lift(other) / self

    def sum(self, axis: int | tuple[int, ...] | None = None) -> Rounded:
        """Sum in any order: n - 1 additions, each charged on the sum of magnitudes (Higham, section 4.2)."""
        total = self.value.sum(axis=axis)
        terms = self.value.size // max(total.size, 1)
        magnitude = (np.abs(self.value) + self.error).sum(axis=axis)
        error = self.error.sum(axis=axis) + ROUNDINGS * terms * self.unit * magnitude + terms * self.tiny
        return Rounded(total, error, self.unit, self.tiny)

    def __matmul__(self, other: Any) -> Rounded:
        other = self._lift(other)
        terms = self.value.shape[-1]
        magnitude = (np.abs(self.value) + self.error) @ (np.abs(other.value) + other.error)
        moved = magnitude - np.abs(self.value) @ np.abs(other.value)
        error = np.maximum(moved, 0.0) + (ROUNDINGS * (terms + 1) + 2) * self.unit * magnitude + terms * self.tiny
        return Rounded(self.value @ other.value, error, self.unit, self.tiny)

    def __rmatmul__(self, other: Any) -> Rounded:
        return self._lift(other) @ self


def exp(x: Rounded) -> Rounded:
    value = np.exp(x.value)
    return x._new(value, value * np.expm1(x.error), 2 * ULPS["exp"])


def expm1(x: Rounded) -> Rounded:
    value = np.expm1(x.value)
    return x._new(value, np.exp(x.value) * np.expm1(x.error), 2 * ULPS["expm1"])


def log(x: Rounded) -> Rounded:
    if np.any(x.value <= x.error):
        raise ZeroDivisionError("running error analysis: the logarithm's argument may be zero within its bound")
    return x._new(np.log(x.value), -np.log1p(-x.error / x.value), 2 * ULPS["log"])


@cache
def _log1p_ends_early() -> bool:
    """Whether this is a jaxlib whose float64 log1p is less accurate than documented."""
    try:
        version = metadata.version("jaxlib")
    except metadata.PackageNotFoundError:
        return False
    return tuple(map(int, version.split(".")[:2])) < (0, 12)


def _log1p_ulps(x: np.ndarray, unit: float) -> np.ndarray:
    """What log1p is charged at `x`.

    jaxlib 0.7.0 and 0.10.2 use a polynomial up to |x| = sqrt(2) - 1 that in float64 is off by up to 239.9 u at its ends
    (by 5.5 u at 0.35), where 6 u are documented; 0.12.0 is right. Measured with mpmath on 19,000 numbers.
    """
    size = np.abs(x)
    worse = (unit < 1e-12) & (size > 0.34) & (size < 0.4143)
    return np.where(worse & _log1p_ends_early(), 120.0, ULPS["log1p"])


def log1p(x: Rounded) -> Rounded:
    if np.any(1.0 + x.value <= x.error):
        raise ZeroDivisionError("running error analysis: one plus the argument may be zero within its bound")
    return x._new(np.log1p(x.value), -np.log1p(-x.error / (1.0 + x.value)), 2 * _log1p_ulps(x.value, x.unit))


def tanh(x: Rounded) -> Rounded:
    nearest = np.maximum(np.abs(x.value) - x.error, 0.0)
    return x._new(np.tanh(x.value), x.error / np.cosh(np.minimum(nearest, 300.0)) ** 2, 2 * ULPS["tanh"])


def logistic(x: Rounded) -> Rounded:
    value = 0.5 * (1.0 + np.tanh(x.value / 2))
    upper = 0.5 * (1.0 + np.tanh((x.value + x.error) / 2))
    return x._new(value, np.maximum(upper - value, x.error / 4), 2 * ULPS["logistic"])


def softplus(x: Rounded) -> Rounded:
    """log(1 + e^x) as max(x, 0) + log1p(exp(-|x|)): two terms of one sign, so relative errors stay relative.

    Convex: an error in x moves it by no more than the derivative at the upper end of x.
    """
    value, steepest = np.logaddexp(0.0, x.value), np.exp(-np.logaddexp(0.0, -(x.value + x.error)))
    ulps = _log1p_ulps(np.exp(-np.abs(x.value)), x.unit)
    return x._new(value, x.error * steepest, 2 * (ULPS["exp"] + ulps) + ROUNDINGS)


def minimum(x: Rounded, y: Any) -> Rounded:
    """A selection costs nothing: where it is certain, the error of what is selected, else that of the worse.

    In general |min(a, b) - min(a', b')| <= max(|a - a'|, |b - b'|).
    """
    return -maximum(-x, -x._lift(y))


def maximum(x: Rounded, y: Any) -> Rounded:
    y = x._lift(y)
    first, second = x.value - x.error > y.value + y.error, y.value - y.error > x.value + x.error
    error = np.where(first, x.error, np.where(second, y.error, np.maximum(x.error, y.error)))
    return x._free(np.maximum(x.value, y.value), error)


def where(condition: np.ndarray, x: Rounded, y: Any) -> Rounded:
    """Select by a condition that both sides know exactly."""
    y = x._lift(y)
    return x._free(np.where(condition, x.value, y.value), np.where(condition, x.error, y.error))


def positive(x: Rounded) -> Rounded:
    """The indicator of x > 0; where rounding may decide it, either answer is allowed (error one)."""
    uncertain = (np.abs(x.value) <= x.error) & (x.error > 0.0)
    return x._free((x.value > 0).astype(np.float64), uncertain.astype(np.float64))


def log_softmax(x: Rounded) -> Rounded:
    """log softmax over the last axis, the maximum subtracted first.

    Shifts cancel, so the arguments' errors enter as e_i + max_j e_j; rounding enters through the shifted values, the
    exponentials (relative), their sum and its logarithm.
    """
    shifted = x.value - x.value.max(axis=-1, keepdims=True)
    powers = np.exp(shifted)
    total = powers.sum(axis=-1, keepdims=True)
    u = x.unit
    per_term = 2 * ROUNDINGS * u * np.abs(shifted) + 2 * ULPS["exp"] * u
    relative = (powers * per_term).sum(axis=-1, keepdims=True) / total + ROUNDINGS * x.value.shape[-1] * u
    log_total = np.log(total)
    spread = x.error.max(axis=-1, keepdims=True)
    value = shifted - log_total
    rounding = 1.5 * relative + 2 * ULPS["log"] * u * log_total + 2 * ROUNDINGS * u * (np.abs(shifted) + np.abs(value))
    return x._free(value, (x.error + spread + rounding) * (1 + 8 * u) + x.tiny)


def softmax(x: Rounded) -> Rounded:
    """softmax over the last axis: relative error as the absolute one of `log_softmax`."""
    return exp(log_softmax(x))


def stack(items: list[Rounded], axis: int = 0) -> Rounded:
    return items[0]._free(np.stack([i.value for i in items], axis), np.stack([i.error for i in items], axis))


def concatenate(items: list[Rounded], axis: int = -1) -> Rounded:
    return items[0]._free(
        np.concatenate([i.value for i in items], axis), np.concatenate([i.error for i in items], axis)
    )


def scatter_add(rows: Rounded, indices: tuple[np.ndarray, ...], shape: tuple[int, ...]) -> Rounded:
    """Sum rows into a table of `shape` at `indices`, in any order, zero rows included in the count."""
    value, error, magnitude = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    np.add.at(value, indices, rows.value)
    np.add.at(error, indices, rows.error)
    np.add.at(magnitude, indices, np.abs(rows.value) + rows.error)
    terms = len(rows.value)
    return rows._free(value, error + ROUNDINGS * terms * rows.unit * magnitude + terms * rows.tiny)
