"""Exact expectations under the standard normal law, in symbols.

E[x^n e^{tx}] is the n-th derivative of e^{t^2/2}, for complex t as well; so polynomials times sines, cosines and
exponentials need no integration. What it rests on, the moment generating function, is shown once in `generating`.
"""

from __future__ import annotations

import functools
from typing import Any

import sympy

from proofs.evidence import Answer, every
from proofs.symbolic import equal

X = sympy.Symbol("x", real=True)
"""The standard normal variable of the integrands."""


def expectation(integrand: Any) -> Any:
    """E of a polynomial in `X` times exponentials of multiples of `X`; sines and cosines are rewritten.

    ValueError for an integrand of another form.
    """
    expanded = sympy.expand(sympy.sympify(integrand).rewrite([sympy.sin, sympy.cos], sympy.exp), power_exp=False)
    return sympy.simplify(sympy.Add(*(_term(term) for term in sympy.Add.make_args(expanded))))


def _term(term: Any) -> Any:
    constant, rest = term.as_independent(X, as_Add=False)
    exponent: Any = sympy.Integer(0)
    power = 0
    for factor in sympy.Mul.make_args(rest):
        if factor == 1:
            continue
        if isinstance(factor, sympy.exp):
            exponent += factor.args[0]
            continue
        base, degree = factor.as_base_exp()
        if base != X or not degree.is_Integer or degree < 0:
            raise ValueError(f"expected powers and exponentials of {X}, saw {factor}")
        power += int(degree)
    slope: Any = sympy.expand(exponent).coeff(X, 1)
    if sympy.expand(exponent - slope * X) != 0:
        raise ValueError(f"expected an exponent linear in {X}, saw {exponent}")
    t = sympy.Dummy("t")
    return constant * sympy.diff(sympy.exp(t**2 / 2), t, power).subs(t, slope)


@functools.cache
def generating() -> Answer:
    """Whether E e^{tx} = e^{t^2/2}: the integrand is e^{t^2/2} times the density moved by t, and that has mass one."""
    t = sympy.Symbol("t", real=True)
    density = sympy.exp(-(X**2) / 2) / sympy.sqrt(2 * sympy.pi)
    moved = equal(density * sympy.exp(t * X), sympy.exp(t**2 / 2) * density.subs(X, X - t))
    return every([moved, equal(sympy.integrate(density, (X, -sympy.oo, sympy.oo)), 1)])


def variance(integrand: Any) -> Any:
    """E y^2 - (E y)^2."""
    return sympy.simplify(expectation(sympy.expand(integrand**2)) - expectation(integrand) ** 2)


def log_normal_density(x: Any, mean: Any, deviation: Any) -> Any:
    """log N(x; mean, deviation^2)."""
    return -((x - mean) ** 2) / (2 * deviation**2) - sympy.log(deviation) - sympy.log(2 * sympy.pi) / 2
