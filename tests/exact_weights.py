"""The relaxed problem at many digits: the oracle for `reference.weights`.

Everything is taken from the table FD-01 (`exact_generators`) and from the first-order condition, with floats as exact
numbers. Use inside `mpmath.workdps`.
"""

from __future__ import annotations

from dataclasses import dataclass

import mpmath
import numpy as np
from exact_generators import Number, formulas

from reference.divergence import Divergence


@dataclass(frozen=True)
class ExactWeights:
    """The solution of the relaxed problem on the support of the law."""

    weights: list[Number]
    multiplier: Number
    value: Number


def solve(divergence: Divergence, advantage: np.ndarray, behavior: np.ndarray, beta: float) -> ExactWeights:
    """Bisection on the first-order condition E[(f*)'(A/beta - nu)] = 1, to the last digit in use.

    Where many multipliers satisfy it this is the largest, up to the last digit.
    """
    exact = formulas(divergence)
    support = [i for i in range(len(behavior)) if behavior[i] > 0.0]
    mass = sum((Number(float(behavior[i])) for i in support), Number(0))
    law = [Number(float(behavior[i])) / mass for i in support]
    z = [Number(float(advantage[i])) / Number(float(beta)) for i in support]

    def ratio(y: Number) -> Number:
        return exact.ratio(y) if y < exact.supremum else mpmath.inf

    def mean(nu: Number) -> Number:
        return sum((p * ratio(x - nu) for p, x in zip(law, z, strict=True)), Number(0))

    low, high = min(z), max(z)
    if exact.supremum < mpmath.inf:
        low = max(low, high - exact.supremum)
    for _ in range(4 * mpmath.mp.prec):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if mean(middle) >= 1 else (low, middle)
    nu = high
    dual = nu + sum((p * exact.conjugate(x - nu) for p, x in zip(law, z, strict=True)), Number(0))
    return ExactWeights([ratio(x - nu) for x in z], nu, Number(float(beta)) * dual)
