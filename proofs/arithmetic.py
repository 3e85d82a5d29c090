"""Elementary functions that mean the same in every number system of `proofs`.

A formula is written once, with `exp`, `log` and ordinary operators, and then evaluated on symbols (sympy), on exact
numbers (`fmpq`, `LogNumber`) or on balls (`arb`), so that the statement that is proved is the one that is computed.
"""

from __future__ import annotations

from typing import Any

import sympy
from flint import arb, fmpq

from proofs.exact import LogNumber

Number = Any
"""An `int`, `fmpq`, `LogNumber`, `arb` or sympy expression."""


def exp(x: Number) -> Number:
    """e to the x; exact for a logarithm of a rational."""
    if isinstance(x, LogNumber):
        return x.exp()
    if isinstance(x, sympy.Basic):
        return sympy.exp(x)
    if isinstance(x, arb):
        return x.exp()
    return LogNumber.of(x).exp()


def log(x: Number) -> Number:
    """The natural logarithm; exact (a `LogNumber`) for a positive rational."""
    if isinstance(x, sympy.Basic):
        return sympy.log(x)
    if isinstance(x, arb):
        return x.log()
    return LogNumber.log(fmpq(x))


def entropy_term(w: Number) -> Number:
    """w log w, continued by 0 to w = 0."""
    if not isinstance(w, sympy.Basic) and not isinstance(w, arb) and w == 0:
        return fmpq(0)
    if isinstance(w, arb) and w.is_zero():
        return arb(0)
    return w * log(w)


def sigmoid(z: Number) -> Number:
    """The logistic function e^z / (1 + e^z)."""
    return exp(z) / (1 + exp(z))


def minimum(x: Number, y: Number) -> Number:
    """The smaller of two exact numbers, or an enclosure of it when one is a ball."""
    if isinstance(x, arb) or isinstance(y, arb):
        x, y = (value.ball() if isinstance(value, LogNumber) else arb(value) for value in (x, y))
        return x.min(y)
    if isinstance(x, sympy.Basic) or isinstance(y, sympy.Basic):
        return sympy.Min(x, y)
    return x if LogNumber.of(x) <= y else y


def maximum(x: Number, y: Number) -> Number:
    """The larger of two exact numbers, or an enclosure of it when one is a ball."""
    return -minimum(-x, -y)
