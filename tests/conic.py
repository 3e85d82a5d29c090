"""E_D f(d/D) in the cones of a disciplined convex program, for a third opinion by Clarabel through cvxpy.

Written from the table FD-01 and not from `reference.divergence`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

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


def price(cvxpy: Any, divergence: Divergence, entries: Any, data: np.ndarray) -> tuple[Any, list[Any]]:
    """The divergence of the vector `entries` from `data`, and the constraints that its domain adds."""
    excess = cvxpy.sum(entries) - float(data.sum())
    match divergence:
        case KL():
            return cvxpy.sum(cvxpy.rel_entr(entries, data)) - excess, []
        case JensenShannon():
            middle = (entries + data) / 2.0
            return cvxpy.sum(cvxpy.rel_entr(entries, middle)) + cvxpy.sum(cvxpy.rel_entr(data, middle)), []
        case FermiDirac(cap=cap):
            return _logistic(cvxpy, entries, data, 0.0, cap), []
        case TwoSidedFermiDirac(low=low, high=high):
            return _logistic(cvxpy, entries, data, low, high), []
        case PearsonChi2():
            return cvxpy.sum_squares(cvxpy.multiply(entries - data, data**-0.5)) / 2.0, [entries >= 0.0]
        case Hellinger():
            roots = cvxpy.sum(cvxpy.multiply(data**0.5, cvxpy.sqrt(entries)))
            return excess + 2.0 * float(data.sum()) - 2.0 * roots, []
        case ReverseKL():
            return cvxpy.sum(cvxpy.rel_entr(data, entries)) + excess, []
        case Power(alpha=alpha):
            exponent = 1.0 + 1.0 / alpha
            powers = cvxpy.multiply(data, cvxpy.power(cvxpy.multiply(entries, 1.0 / data), exponent))
            return (cvxpy.sum(powers) - float(data.sum())) / exponent - excess, [entries >= 0.0]
        case Capped(divergence=inner, cap=cap):
            expression, constraints = price(cvxpy, inner, entries, data)
            return expression, [*constraints, entries <= cap * data]
        case Mixture(terms=terms):
            parts = [(coefficient, *price(cvxpy, inner, entries, data)) for coefficient, inner in terms]
            return sum(c * expression for c, expression, _ in parts), [one for _, _, added in parts for one in added]
    raise TypeError(f"no cones for {divergence!r}")


def _logistic(cvxpy: Any, entries: Any, data: np.ndarray, low: float, high: float) -> Any:
    lower = cvxpy.rel_entr(entries - low * data, (1.0 - low) * data)
    return cvxpy.sum(lower) + cvxpy.sum(cvxpy.rel_entr(high * data - entries, (high - 1.0) * data))
