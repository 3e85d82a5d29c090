"""The generators of the conjugate table (FD-01) beside those of `proofs.divergences`, in every number system.

Each comes with the slope (f*)'' that Newton's method on a dual needs, and with a cone form for the conic solver.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import sympy
from flint import arb, fmpq

from proofs import divergences
from proofs.arithmetic import Number, entropy_term, exp, log, minimum, sigmoid
from proofs.divergences import Generator
from proofs.exact import LogNumber, rational


def sqrt(x: Number) -> Number:
    """The square root; exact only for a square of a rational, else a ball."""
    if isinstance(x, sympy.Basic):
        return sympy.sqrt(x)
    return (x if isinstance(x, arb) else arb(rational(x))).max(arb(0)).sqrt()


def positive_part(x: Number) -> Number:
    """max(x, 0)."""
    if isinstance(x, sympy.Basic):
        return sympy.Max(x, 0)
    if isinstance(x, arb):
        return x.max(arb(0))
    return x if x > 0 else fmpq(0)


@dataclasses.dataclass(frozen=True)
class Curved(Generator):
    """A generator with the slope (f*)'' of its ratio and f(w) as a cone-representable expression of w."""

    slope: Callable[[Number], Number] = lambda y: y
    cone: Callable[[Any], Any] = lambda w: w


def _curved(base: Generator, slope: Callable[[Number], Number], cone: Callable[[Any], Any]) -> Curved:
    fields = {field.name: getattr(base, field.name) for field in dataclasses.fields(Generator)}
    return Curved(**fields, slope=slope, cone=cone)


def _entropy(w: Any) -> Any:
    import cvxpy

    return -cvxpy.entr(w)


def _jensen_shannon(w: Any) -> Any:
    import cvxpy

    return cvxpy.rel_entr(w, (w + 1) / 2) + cvxpy.rel_entr(1, (w + 1) / 2)


def _root(w: Any) -> Any:
    import cvxpy

    return cvxpy.sqrt(w)


def _log(w: Any) -> Any:
    import cvxpy

    return cvxpy.log(w)


def _power(w: Any, exponent: float) -> Any:
    import cvxpy

    return cvxpy.power(w, exponent)


def _square(w: Any) -> Any:
    import cvxpy

    return cvxpy.square(w)


KL = _curved(divergences.KL, exp, lambda w: _entropy(w) - w + 1)

KL0 = Curved(
    "w log w",
    entropy_term,
    lambda w: log(w) + 1,
    lambda y: exp(y - 1),
    lambda y: exp(y - 1),
    slope=lambda y: exp(y - 1),
    cone=_entropy,
)

JS = _curved(divergences.JS, lambda y: 2 * exp(y) / (2 - exp(y)) ** 2, _jensen_shannon)

CHI = Curved(
    "chi-square",
    lambda w: (w - 1) ** 2 / 2,
    lambda w: w - 1,
    lambda y: (positive_part(1 + y) ** 2 - 1) / 2,
    lambda y: positive_part(1 + y),
    slope=lambda y: _step(1 + y),
    cone=lambda w: _square(w - 1) / 2,
)

HELLINGER = Curved(
    "Hellinger",
    lambda w: w - 2 * sqrt(w) + 1,
    lambda w: 1 - 1 / sqrt(w),
    lambda y: y / (1 - y),
    lambda y: 1 / (1 - y) ** 2,
    slope_limit=LogNumber.of(1),
    slope=lambda y: 2 / (1 - y) ** 3,
    cone=lambda w: w - 2 * _root(w) + 1,
)

REVERSE = Curved(
    "reverse KL",
    lambda w: w - 1 - log(w),
    lambda w: 1 - 1 / w,
    lambda y: -log(1 - y),
    lambda y: 1 / (1 - y),
    slope_limit=LogNumber.of(1),
    slope=lambda y: 1 / (1 - y) ** 2,
    cone=lambda w: w - 1 - _log(w),
)

REVERSE0 = Curved(
    "-log w",
    lambda w: -log(w),
    lambda w: -1 / w,
    lambda y: -1 - log(-y),
    lambda y: -1 / y,
    slope_limit=LogNumber.of(0),
    slope=lambda y: 1 / y**2,
    cone=lambda w: -_log(w),
)

ROOT_POWER = Curved(
    "power 2",
    lambda w: 2 * w * sqrt(w) / 3 - w,
    lambda w: sqrt(w) - 1,
    lambda y: positive_part(1 + y) ** 3 / 3,
    lambda y: positive_part(1 + y) ** 2,
    slope=lambda y: 2 * positive_part(1 + y),
    cone=lambda w: _power(w, 1.5) / 1.5 - w,
)


def fermi_dirac(cap: Any) -> Curved:
    """w log w + (C - w) log(C - w) on [0, C]; C may be a symbol."""
    return _curved(
        divergences.fermi_dirac(cap),
        lambda y: cap * sigmoid(y) * (1 - sigmoid(y)),
        lambda w: _entropy(w) + _entropy(float(cap.p) / float(cap.q) - w),
    )


def capped(base: Curved, cap: fmpq) -> Curved:
    """`base` restricted to w <= cap: its conjugate continued linearly beyond y = f'(cap) (FD-05)."""
    edge = base.derivative(cap)
    return Curved(
        f"{base.name} w<={cap}",
        base.value,
        base.derivative,
        lambda y: base.conjugate(minimum(y, edge)) + cap * (y - minimum(y, edge)),
        lambda y: base.ratio(minimum(y, edge)),
        cap=cap,
        slope=lambda y: base.slope(minimum(y, edge)),
        cone=base.cone,
    )


def two_sided(low: Any, high: Any) -> Curved:
    """(w - m) log(w - m) + (M - w) log(M - w) on [m, M], whose ratio is m + (M - m) sigmoid; m, M may be symbols."""
    width = high - low
    return Curved(
        f"two-sided Fermi-Dirac [{low}, {high}]",
        lambda w: entropy_term(w - low) + entropy_term(high - w),
        lambda w: log((w - low) / (high - w)),
        lambda y: low * y + width * log(1 + exp(y)) - entropy_term(width),
        lambda y: low + width * sigmoid(y),
        slope=lambda y: width * sigmoid(y) * (1 - sigmoid(y)),
        cone=lambda w: _entropy(w - float(low.p) / float(low.q)) + _entropy(float(high.p) / float(high.q) - w),
    )


def _step(x: Number) -> Number:
    """1 where x > 0, else 0; both where the ball cannot tell."""
    if not isinstance(x, arb):
        return fmpq(int(x > 0))
    if x > 0:
        return arb(1)
    return arb(0) if x <= 0 else arb(0).union(arb(1))
