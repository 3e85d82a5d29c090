"""Symbolic identities whose remainder simplifies to zero, each double-checked with numbers.

The simplifier is not trusted alone: an identity holds only if the remainder is the symbol 0 *and* evaluates to 0 at
random rational points; it fails only if it is certainly nonzero at a point, which is then the witness.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Callable, Iterable
from typing import Any

import sympy

from proofs.evidence import Answer

_DIGITS = 60
_POINTS = 3


def positive(names: str) -> tuple[sympy.Symbol, ...]:
    """Positive symbols."""
    return sympy.symbols(names, positive=True, seq=True)


def real(names: str) -> tuple[sympy.Symbol, ...]:
    """Real symbols."""
    return sympy.symbols(names, real=True, seq=True)


def summed(terms: Iterable[Any]) -> Any:
    """The sum of symbolic terms."""
    return sympy.Add(*terms)


def _split_logs(expression: Any) -> Any:
    """Every logarithm written as a sum over the factors of its argument."""
    return sympy.expand(
        sympy.sympify(expression).replace(
            lambda e: isinstance(e, sympy.log),
            lambda e: sympy.expand_log(sympy.log(sympy.factor(sympy.together(e.args[0]))), force=True),
        )
    )


def _simplifiers() -> Iterable[Callable[[Any], Any]]:
    """From cheap to dear; each is tried until one yields 0."""
    yield sympy.expand
    yield _split_logs
    yield lambda e: sympy.cancel(sympy.together(_split_logs(e)))
    yield lambda e: sympy.expand(sympy.expand_log(sympy.together(e), force=True))
    yield lambda e: sympy.cancel(sympy.together(sympy.powsimp(sympy.expand_log(e, force=True))))
    yield lambda e: sympy.simplify(sympy.expand_log(sympy.simplify(e), force=True))


def _zero_symbolically(remainder: Any) -> bool:
    """Whether some simplification yields exactly 0 (`force` is sound for positive arguments of logarithms only)."""
    return any(simplify(remainder) == 0 for simplify in _simplifiers())


def points(symbols: Iterable[sympy.Symbol], count: int = _POINTS, seed: int = 0) -> Iterable[dict[Any, Any]]:
    """Random rational points in the domain of `symbols`: (0, 1) where they are positive, else (-1, 1)."""
    generator = random.Random(seed)
    ordered = sorted(symbols, key=lambda symbol: symbol.name)
    for _ in range(count):
        point = {}
        for symbol in ordered:
            value = sympy.Rational(generator.randint(1, 96), 97)
            sign = 1 if symbol.is_positive else generator.choice((-1, 1))
            point[symbol] = sign * value
        yield point


def vanishes(remainder: Any, **values: Any) -> Answer:
    """Whether an expression is identically 0 on the domain of its symbols.

    `values` fixes symbols by name for the numeric double-check where the random points would leave the domain of the
    identity, as in vanishes(e, beta=3).
    """
    remainder = sympy.sympify(remainder)
    return _vanishes(remainder, tuple((s, values[s.name]) for s in remainder.free_symbols if s.name in values))


@functools.lru_cache(maxsize=4096)
def _vanishes(remainder: Any, values: tuple[tuple[Any, Any], ...]) -> Answer:
    fixed = dict(values)
    for point in points(remainder.free_symbols - set(fixed)):
        value = sympy.N(remainder.subs({**point, **fixed}), _DIGITS)
        if value.is_finite is False:
            return Answer(False, f"infinite at {_show({**point, **fixed})}")
        if not isinstance(value, sympy.Number) and not value.is_comparable:
            return Answer(None, f"{value} at {_show({**point, **fixed})} has no numerical value")
        if abs(value) > sympy.Float(10) ** (-_DIGITS // 2):
            return Answer(False, f"remainder {sympy.N(value, 8)} at {_show({**point, **fixed})}")
    if _zero_symbolically(remainder):
        return Answer(True, "zero remainder")
    return Answer(None, f"no simplification of {remainder} to 0 was found, and no point where it is not 0")


def equal(left: Any, right: Any, **values: Any) -> Answer:
    """Whether two expressions are identically equal."""
    return vanishes(sympy.sympify(left) - sympy.sympify(right), **values)


def sign(expression: Any, expected: int) -> Answer:
    """Whether an expression has the sign `expected` (1 or -1) on the whole domain of its symbols.

    Proved by sympy's assumptions after factoring; refuted by a rational point.
    """
    expression = sympy.factor(sympy.together(sympy.simplify(expression)))
    for point in points(expression.free_symbols):
        value = sympy.N(expression.subs(point), _DIGITS)
        if not value.is_real or not value * expected > 0:
            return Answer(False, f"{sympy.N(value, 8)} at {_show(point)}")
    proved = expression.is_positive if expected > 0 else expression.is_negative
    if proved:
        return Answer(True, f"{expression} {'>' if expected > 0 else '<'} 0")
    return Answer(None, f"the sign of {expression} was not proved")


def polynomial_roots(expression: Any, variable: sympy.Symbol, unknown: sympy.Symbol) -> tuple[Any, ...]:
    """The values of `unknown` for which a rational function of `variable` is 0 for every value of `variable`.

    Each coefficient of the numerator has to vanish at once. ValueError when the expression is not rational.
    """
    numerator, _ = sympy.fraction(sympy.cancel(sympy.together(expression)))
    coefficients = sympy.Poly(numerator, variable).coeffs()
    if variable in set(itertools.chain.from_iterable(c.free_symbols for c in coefficients)):
        raise ValueError(f"{expression} is not a rational function of {variable}")
    candidates: set[Any] | None = None
    for coefficient in coefficients:
        roots = set(sympy.roots(sympy.Poly(coefficient, unknown)))
        candidates = roots if candidates is None else candidates & roots
    return tuple(sorted(candidates or (), key=sympy.default_sort_key))


def _show(point: dict[Any, Any]) -> str:
    return ", ".join(f"{symbol}={value}" for symbol, value in point.items()) or "every point"
