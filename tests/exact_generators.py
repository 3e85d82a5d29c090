"""The table FD-01 at many digits: the oracle for `reference.divergence`, with floats as exact numbers.

Every formula is written from the table, independently of the code under test, and is asked for inside
`mpmath.workdps`; at w = 1 +- 2^-52 the double zero of f costs 32 digits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath
from mpmath import exp, log, sqrt

from reference.divergence import (
    KL,
    Capped,
    Divergence,
    FermiDirac,
    Hellinger,
    JensenShannon,
    Mixture,
    PearsonChi2,
    Power,
    ReverseKL,
    TwoSidedFermiDirac,
)

Number = mpmath.mpf


@dataclass(frozen=True)
class Formulas:
    """f, f', f'', f* and (f*)' of one generator; `supremum` is where f* and its derivative become infinite."""

    value: Callable[[Number], Number]
    slope: Callable[[Number], Number]
    second: Callable[[Number], Number]
    conjugate: Callable[[Number], Number]
    ratio: Callable[[Number], Number]
    supremum: Number


def formulas(divergence: Divergence) -> Formulas:
    """What the table says of a generator."""
    return _TABLE[type(divergence)](divergence)


def generator(divergence: Divergence, w: Number) -> Number:
    """f."""
    return formulas(divergence).value(w)


def slope(divergence: Divergence, w: Number) -> Number:
    """f'."""
    return formulas(divergence).slope(w)


def conjugate(divergence: Divergence, y: Number) -> Number:
    """f*; infinite at and above the supremum."""
    exact = formulas(divergence)
    return exact.conjugate(y) if y < exact.supremum else mpmath.inf


def ratio(divergence: Divergence, y: Number) -> Number:
    """(f*)'; infinite at and above the supremum."""
    exact = formulas(divergence)
    return exact.ratio(y) if y < exact.supremum else mpmath.inf


def _x_log(x: Number, scale: Number = 1) -> Number:
    return x * log(x / scale) if x > 0 else Number(0)


def _kl(_: Any) -> Formulas:
    return Formulas(
        lambda w: _x_log(w) - w + 1, log, lambda w: 1 / w, lambda y: exp(y) - 1, lambda y: exp(y), mpmath.inf
    )


def _js(_: Any) -> Formulas:
    return Formulas(
        lambda w: _x_log(w) - (w + 1) * log((w + 1) / 2),
        lambda w: log(2 * w / (w + 1)),
        lambda w: 1 / (w * (w + 1)),
        lambda y: -log(2 - exp(y)),
        lambda y: exp(y) / (2 - exp(y)),
        log(2),
    )


def _logistic(m: Number, top: Number) -> Formulas:
    odds = (top - 1) / (1 - m)  # f'(1) = 0 moves the argument by its logarithm

    def ratio(y: Number) -> Number:
        return m + (top - m) / (1 + odds * exp(-y))

    return Formulas(
        lambda w: _x_log(w - m, 1 - m) + _x_log(top - w, top - 1),
        lambda w: log((w - m) / (top - w) * odds),
        lambda w: 1 / (w - m) + 1 / (top - w),
        # softplus with its constant: m y + (M - m) log((odds + e^y)/(odds + 1))
        lambda y: m * y + (top - m) * log((odds + exp(y)) / (odds + 1)),
        ratio,
        mpmath.inf,
    )


def _chi2(_: Any) -> Formulas:
    return Formulas(
        lambda w: (w - 1) ** 2 / 2,
        lambda w: w - 1,
        lambda w: Number(1),
        lambda y: y + y * y / 2 if y >= -1 else -Number(1) / 2,
        lambda y: max(1 + y, Number(0)),
        mpmath.inf,
    )


def _hellinger(_: Any) -> Formulas:
    return Formulas(
        lambda w: (sqrt(w) - 1) ** 2,
        lambda w: 1 - 1 / sqrt(w),
        lambda w: 1 / (2 * w * sqrt(w)),
        lambda y: y / (1 - y),
        lambda y: 1 / (1 - y) ** 2,
        Number(1),
    )


def _reverse_kl(_: Any) -> Formulas:
    return Formulas(
        lambda w: w - 1 - log(w),
        lambda w: 1 - 1 / w,
        lambda w: 1 / w**2,
        lambda y: -log(1 - y),
        lambda y: 1 / (1 - y),
        Number(1),
    )


def _power(divergence: Power) -> Formulas:
    alpha = Number(divergence.alpha)
    p = 1 / alpha
    return Formulas(
        lambda w: (w ** (1 + p) - 1) / (1 + p) - (w - 1),
        lambda w: w**p - 1,
        lambda w: p * w ** (p - 1),
        lambda y: (max(1 + y, Number(0)) ** (1 + alpha) - 1) / (1 + alpha),
        lambda y: max(1 + y, Number(0)) ** alpha,
        mpmath.inf,
    )


def _capped(divergence: Capped) -> Formulas:
    inner, cap = formulas(divergence.divergence), Number(divergence.cap)
    edge = inner.slope(cap)
    return Formulas(
        inner.value,
        inner.slope,
        inner.second,
        lambda y: inner.conjugate(y) if y <= edge else cap * y - inner.value(cap),
        lambda y: inner.ratio(y) if y <= edge else cap,
        mpmath.inf,
    )


def _mixture(divergence: Mixture) -> Formulas:
    parts = [(Number(coefficient), formulas(part)) for coefficient, part in divergence.terms]

    def value(w: Number) -> Number:
        return sum((c * part.value(w) for c, part in parts), Number(0))

    def slope(w: Number) -> Number:
        return sum((c * part.slope(w) for c, part in parts), Number(0))

    def second(w: Number) -> Number:
        return sum((c * part.second(w) for c, part in parts), Number(0))

    low, high = Number(divergence.smallest_ratio), Number(divergence.largest_ratio)

    def ratio(y: Number) -> Number:
        return _inverse(slope, second, y, low, high)

    return Formulas(
        value,
        slope,
        second,
        lambda y: ratio(y) * y - value(ratio(y)),
        ratio,
        mpmath.inf if high < mpmath.inf else sum((c * part.supremum for c, part in parts), Number(0)),
    )


def _inverse(
    slope: Callable[[Number], Number], second: Callable[[Number], Number], y: Number, low: Number, high: Number
) -> Number:
    """The root of an increasing slope in [low, high], by bisection in log w and Newton steps, to the last digits."""
    small, unit = Number(10) ** -600, Number(10) ** (8 - mpmath.mp.dps)
    if high < mpmath.inf and y >= _limit(slope, high, 1 - unit):
        return high
    if y <= _limit(slope, low if low > 0 else small, 1 + unit):
        return low
    under, over = _around_one(slope, y, low if low > 0 else small, high if high < mpmath.inf else 1 / small)
    w = sqrt(under * over)
    for _ in range(100 * mpmath.mp.dps):
        miss = slope(w) - y
        under, over = (w, over) if miss < 0 else (under, w)
        step = miss / (second(w) * w)
        if abs(step) <= unit or over / under - 1 <= unit:
            return w * (1 - step)
        newton = w * exp(-step) if abs(step) < 30 else Number(0)
        w = newton if under < newton < over else sqrt(under * over)
    raise ArithmeticError(f"the oracle did not settle at y = {y}")


def _around_one(slope: Callable[[Number], Number], y: Number, low: Number, high: Number) -> tuple[Number, Number]:
    """Ratios on both sides of the root, from one outward by repeated squaring: not far from it, in log w."""
    reach = Number(2)
    if y >= 0:
        while reach < high and slope(reach) < y:
            reach *= reach
        return Number(1) if reach == 2 else sqrt(reach), min(reach, high)
    while 1 / reach > low and slope(1 / reach) > y:
        reach *= reach
    return max(1 / reach, low), Number(1) if reach == 2 else 1 / sqrt(reach)


def _limit(slope: Callable[[Number], Number], end: Number, inside: Number) -> Number:
    """The slope at an end of the domain, where that is finite; otherwise next to it."""
    try:
        return slope(end)
    except (ZeroDivisionError, ValueError):
        return slope(end * inside)


_TABLE: dict[type[Divergence], Callable[[Any], Formulas]] = {
    KL: _kl,
    JensenShannon: _js,
    FermiDirac: lambda divergence: _logistic(Number(0), Number(divergence.cap)),
    TwoSidedFermiDirac: lambda divergence: _logistic(Number(divergence.low), Number(divergence.high)),
    PearsonChi2: _chi2,
    Hellinger: _hellinger,
    ReverseKL: _reverse_kl,
    Power: _power,
    Capped: _capped,
    Mixture: _mixture,
}
