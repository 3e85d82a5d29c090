"""Bounds for temperatures, feedback laws and linear-quadratic control, as `(bound, reason)`, like `tolerances`."""

from __future__ import annotations

import numpy as np
from tolerances import ELEMENTARY, Bound

from reference.rounding import UNIT_ROUNDOFF, gamma_n


def data_sensitivity(beta: float, largest: float, elasticity: float) -> Bound:
    """How far beta for a target moves when advantages and target are floats that stand for real numbers.

    log ESS = 2 L(t) - L(2t) moves by at most 4 t |dA|, with |dA| one elementary function of the largest advantage, and
    the target is rounded twice; beta by that over the elasticity. Doubled for second order.
    """
    moved = 4.0 * ELEMENTARY * largest / beta + 2.0 * UNIT_ROUNDOFF
    return 2.0 * beta * moved / elasticity, "rounded advantages and target over the elasticity"


def interval_width(relative_error: float, elasticity: float) -> Bound:
    """How wide the interval for beta may be.

    Ends are tried at steps that quadruple, from half the relative uncertainty of the moment; the sign is decided once
    the moment has moved by twice that, and it moves with the elasticity or faster.
    """
    step = relative_error + 2.0**-50
    return 16.0 * step * (1.0 + 1.0 / elasticity), "steps that quadruple, from rounding over the elasticity"


def elasticity(size: int, spread: float) -> Bound:
    """Rounding of differences of tilted means of gaps up to `spread`: products, exponentials of rounded gaps, sums."""
    relative = gamma_n(size + 12) + 2.0 * ELEMENTARY + 8.0 * UNIT_ROUNDOFF * spread
    return 8.0 * relative * (1.0 + spread) ** 2, "exponentials of rounded gaps, and means of up to two gaps"


def strong_convexity(gap: float, least: float) -> Bound:
    """A point within `gap` of the minimum of a function with second derivative at least `least`."""
    return float(np.sqrt(2.0 * gap / least)), "sqrt(2 gap / g''): strong convexity of the dual"


def law_step() -> Bound:
    """One step of a feedback law: a mean, a difference, a quotient, three products, one exponential; relative."""
    return gamma_n(10) + 2.0 * ELEMENTARY, "gamma_10 and an exponential, relative"


def characteristic(trace: float, root: complex) -> Bound:
    """`z^2 - trace z + det` at a root computed from it: ten roundings of each of its terms."""
    return gamma_n(10) * (abs(root) ** 2 + abs(trace * root) + 1.0), "ten roundings of each term"


def conic(scale: float) -> Bound:
    """What Clarabel promises where it reports `optimal`: gap and residuals within 1e-8, absolute and relative.

    tol_gap_abs, tol_gap_rel and tol_feas of its documentation, left at their defaults; both primal and dual residuals
    enter the value, with multipliers up to `scale`.
    """
    return 4e-8 * (1.0 + scale), "Clarabel's default tolerances for the gap and both residuals"


def matrix_sum(steps: int, size: int, scale: float) -> Bound:
    """A float series of `steps` matrix terms, each of two products of `size` terms, of total size `scale`."""
    return gamma_n((2 * size + 4) * steps) * scale * size, f"gamma of {steps} recursions of two products"


def quadratic_forms(size: int, scale: float) -> Bound:
    """A few quadratic forms and traces of `size` dimensions, of total size `scale`."""
    return gamma_n(4 * size * size + 32) * scale, "gamma of a handful of quadratic forms"


def riccati_floor(size: int, weight: float, values: float) -> Bound:
    """How large the certificate of P may be: the rounding of its residual, times the weight of the Lyapunov bound.

    The residual sums seven terms, each of three products over at most `size` dimensions, and refinement leaves as much
    again; the Frobenius norm adds a factor `size`. Charged eight times for second order and propagated radii.
    """
    return 8.0 * gamma_n(24 * size) * size * weight * values, "the residual's rounding through the closed loop"


def trapezoid_gaussian(step: float, deviation: float, reach: float) -> float:
    """Relative error of the trapezoidal rule for a Gaussian of standard deviation `deviation` at its centre +- `reach`.

    By Poisson summation 2 exp(-2 pi^2 deviation^2 / step^2), up to the next term of the series, doubled for that; and
    the tails.
    """
    z = reach / deviation
    return 4.0 * float(np.exp(-2.0 * (np.pi * deviation / step) ** 2)) + 2.0 * float(np.exp(-0.5 * z * z))
