"""Bounds for laws of beta and statistics of weights in the precision under test, as `(bound, reason)`."""

from __future__ import annotations

from typing import Any

import numpy as np
from running_error import ROUNDINGS, ULPS, Rounded, unit_roundoff
from tolerances import Bound


def neighbours(dtype: Any) -> Bound:
    """Relative distance of the last two trials of a bisection that cannot get closer.

    Their geometric mean is two roots (ROUNDINGS each) and a product, and it stops between floats that lie an eps apart.
    """
    return (3 * ROUNDINGS + 2) * unit_roundoff(dtype), "a geometric mean of neighbours: two roots, a product"


def bracket(dtype: Any) -> Bound:
    """Relative error of either end of the bracket: no operation in it cancels but a - D*, of exact numbers.

    Low: a - D*, two roots and a product and a quotient of them, a quotient with 1 - D*, the logarithm, the gap, two
    more operations; relative errors of the logarithm's argument, at least 1 + sqrt(1/D*) > 2, enter divided by log 2.
    High: a logarithm, expm1, two sums, a product, a root, log1p, the range, a quotient; log(a) and y pass relative
    errors on at most doubled, sqrt(y) and log1p at most unchanged.
    """
    low = (7 * ROUNDINGS) / np.log(2.0) + 2 * ULPS["log"] + 4 * ROUNDINGS
    high = 2 * (2 * ULPS["log"] + 2 * ULPS["expm1"]) + 2 * ULPS["log1p"] + 8 * ROUNDINGS
    outward = 2.0**-39  # what `reference.targets` widens its own by, and the rounding of that
    return float(2 * max(low, high) * unit_roundoff(dtype)) + outward, "roundings of the closed form; none cancels"


def relative_entropy(weight: Rounded, law: np.ndarray) -> Rounded:
    """E[u log u - u + 1], u = w / E[w]: phi is convex, so over an interval of u it is extreme at the ends or at one."""
    mass = Rounded(law, 0.0, weight.unit, weight.tiny)
    u = weight / (mass * weight).sum()

    def phi(x: np.ndarray) -> np.ndarray:
        return np.where(x > 0, x * np.log(np.where(x > 0, x, 1.0)) - (x - 1.0), 1.0)

    low, high = np.maximum(u.value - u.error, 0.0), u.value + u.error
    ends = np.maximum(np.abs(phi(high) - phi(u.value)), np.abs(phi(low) - phi(u.value)))
    moved = np.maximum(ends, np.where((low < 1.0) & (high > 1.0), phi(u.value), 0.0))
    terms = np.abs(np.where(high > 0, high * np.log(np.where(high > 0, high, 1.0)), 0.0)) + np.abs(high - 1.0)
    cost = (2 * ULPS["log"] + 3 * ROUNDINGS) * weight.unit * (terms + phi(u.value)) + weight.tiny
    return (mass * Rounded(phi(u.value), moved + cost, weight.unit, weight.tiny)).sum()


def jacobian(td_error: np.ndarray, law: np.ndarray, beta: float, dtype: Any) -> Bound:
    """Absolute error of a differentiated step of a feedback law in the coordinates (E/T - 1, log beta).

    The elasticity is a difference of tilted means of |z|, under w p and w^2 p: each a quotient of sums over B rows of
    terms with an exponential each, differentiated through the multiplier as well, which doubles the sums. An entry is
    at most 1 + eta rho s, made of a handful of further operations.
    """
    z = (td_error - td_error[law > 0].max()) / beta
    tilted, twice = law * np.exp(z), law * np.exp(2 * z)
    reach = float(tilted @ np.abs(z) / tilted.sum() + twice @ np.abs(z) / twice.sum())
    rows = len(law)
    per_sum = ROUNDINGS * rows + 2 * ULPS["exp"] + 4 * ROUNDINGS
    # An exponent off by u |z| moves a mean of |z| by u times its second moment, at most reach times the largest z in
    # use, which weighs 64 u or more; the rest are relative errors of four sums for each of the two means.
    used = float(np.abs(z[twice > 0]).max()) if np.any(twice > 0) else 0.0
    bound = unit_roundoff(dtype) * (8 * per_sum * (1.0 + reach) + 4 * ROUNDINGS * reach * min(used, 64.0))
    return bound, "relative errors of the sums of two tilted means and their derivatives"


def bauer_fike(matrix: np.ndarray, perturbation: float) -> float:
    """How far eigenvalues of a diagonalisable matrix move: condition of the eigenvectors times |perturbation|_2."""
    _, vectors = np.linalg.eig(matrix)
    return float(np.linalg.cond(vectors)) * np.sqrt(matrix.size) * perturbation


def printed(digits: int) -> float:
    """A number printed with so many digits after the point."""
    return 0.5 * 10.0**-digits
