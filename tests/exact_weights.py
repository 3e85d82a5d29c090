"""The generators and the relaxed problem at many digits: the oracle for `reference.divergence` and `reference.weights`.

Everything is taken from the table FD-01 and from the first-order condition, with floats as exact numbers. Use inside
`mpmath.workdps`; at w = 1 +- 2^-52 the double zero of f costs 32 digits.
"""

from __future__ import annotations

from dataclasses import dataclass

import mpmath
import numpy as np

from reference.divergence import KL, Divergence, FermiDirac, JensenShannon

Number = mpmath.mpf


def generator(divergence: Divergence, w: Number) -> Number:
    """f."""
    log = mpmath.log
    own = w * log(w) if w > 0 else Number(0)
    if isinstance(divergence, KL):
        return own - w + 1
    if isinstance(divergence, JensenShannon):
        return own - (w + 1) * log((w + 1) / 2)
    cap = _cap(divergence)
    return own + ((cap - w) * log((cap - w) / (cap - 1)) if w < cap else Number(0))


def slope(divergence: Divergence, w: Number) -> Number:
    """f'."""
    if isinstance(divergence, KL):
        return mpmath.log(w)
    if isinstance(divergence, JensenShannon):
        return mpmath.log(2 * w / (w + 1))
    return mpmath.log(w * (_cap(divergence) - 1) / (_cap(divergence) - w))


def conjugate(divergence: Divergence, y: Number) -> Number:
    """f*; infinite at and above the supremum."""
    e = mpmath.exp(y)
    if isinstance(divergence, KL):
        return e - 1
    if isinstance(divergence, JensenShannon):
        return -mpmath.log(2 - e) if e < 2 else mpmath.inf
    cap = _cap(divergence)
    return cap * mpmath.log((cap - 1 + e) / cap)


def ratio(divergence: Divergence, y: Number) -> Number:
    """(f*)'; infinite at and above the supremum."""
    e = mpmath.exp(y)
    if isinstance(divergence, KL):
        return e
    if isinstance(divergence, JensenShannon):
        return e / (2 - e) if e < 2 else mpmath.inf
    cap = _cap(divergence)
    return cap * e / (cap - 1 + e)


@dataclass(frozen=True)
class ExactWeights:
    """The solution of the relaxed problem on the support of the law."""

    weights: list[Number]
    multiplier: Number
    value: Number


def solve(divergence: Divergence, advantage: np.ndarray, behavior: np.ndarray, beta: float) -> ExactWeights:
    """Bisection on the first-order condition E[(f*)'(A/beta - nu)] = 1, to the last digit in use."""
    support = [i for i in range(len(behavior)) if behavior[i] > 0.0]
    mass = sum((Number(float(behavior[i])) for i in support), Number(0))
    law = [Number(float(behavior[i])) / mass for i in support]
    z = [Number(float(advantage[i])) / Number(float(beta)) for i in support]

    def mean(nu: Number) -> Number:
        return sum((p * ratio(divergence, x - nu) for p, x in zip(law, z, strict=True)), Number(0))

    low, high = min(z), max(z)
    if isinstance(divergence, JensenShannon):
        low = max(low, high - mpmath.log(2))
    for _ in range(4 * mpmath.mp.prec):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if mean(middle) >= 1 else (low, middle)
    nu = high
    dual = nu + sum((p * conjugate(divergence, x - nu) for p, x in zip(law, z, strict=True)), Number(0))
    return ExactWeights([ratio(divergence, x - nu) for x in z], nu, Number(float(beta)) * dual)


def _cap(divergence: Divergence) -> Number:
    if not isinstance(divergence, FermiDirac):
        raise TypeError(f"no exact formulas for {divergence!r}")
    return Number(divergence.cap)
