"""What the comparison of certificates with exact answers asks for."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import tolerances
from tolerances import SMALLEST, Bound

from reference.divergence import Divergence
from reference.mdp import MDP
from reference.rounding import UNIT_ROUNDOFF, gamma_n
from reference.solution import Solution

MEDIAN_RATIO = 100.0
"""The median bound of a quantity is at most this many times the true error: what the toolkit promises."""

ELIMINATION_STATES = 20
"""Up to here plain elimination in `Fraction`, which shares nothing with the solvers, takes well below a second."""


def median_ratio() -> Bound:
    """`MEDIAN_RATIO`."""
    return MEDIAN_RATIO, "at most 100 times the true error in the median"


def data_rounding(mdp: MDP, values: np.ndarray) -> Bound:
    """Rationals and the floats nearest to them: relative `u` in each of `P` (after sums of `n`), `gamma` and `r`.

    `|v - v'| <= (|r| u + gamma |v| (2 u + gamma_n)) / (1 - gamma)`, to first order; doubled.
    """
    size = float(np.abs(values).max())
    change = UNIT_ROUNDOFF * mdp.largest_reward + mdp.discount * size * (2.0 * UNIT_ROUNDOFF + gamma_n(mdp.row_entries))
    return 2.0 * change / (1.0 - mdp.discount), "data rounded once, over 1 - gamma"


def one_rounding(number: float) -> Bound:
    """Two numbers that are the same rational, one rounded to nearest and one rounded up."""
    return 2.0 * UNIT_ROUNDOFF * number + SMALLEST, "the same rational, rounded to nearest and rounded up"


def rounded_values(mdp: MDP, found: Solution) -> Bound:
    """Values rounded to one float each move the residual by `(1 + gamma) u |v|`, over `1 - gamma`; and the bound."""
    margin = 1.0 - mdp.discount * (1.0 + mdp.largest_defect)
    lost = UNIT_ROUNDOFF * float(np.abs(found.values).max())
    factor = tolerances.tightness()[0]
    floor = tolerances.rounding_floor(mdp, found.values)[0]
    return 2.0 * lost / margin + found.error_bound + factor * floor, "(1 + gamma) u |v| / (1 - gamma), and rounding"


def decimals(mdp: MDP, scale: float) -> Bound:
    """The oracle on 50 decimal digits stops at a residual of 1e-40 of its scale over `1 - gamma`, twice that in values.

    `mdp` counts through its margin; a common factor of ten for the sums of the oracle itself.
    """
    margin = 1.0 - mdp.discount * (1.0 + mdp.largest_defect)
    return 1e-39 * scale / margin**2, "40 digits of the residual, over (1 - gamma)^2"


def width(mdp: MDP, scale: float, bits: int) -> Bound:
    """`2^-bits` of the values over `1 - gamma`: 64 guard bits hold the rest."""
    margin = 1.0 - mdp.discount * (1.0 + mdp.largest_defect)
    return 2.0**-bits * scale / margin, f"2^-{bits} |v| / (1 - gamma)"


def digits(scale: float, count: int) -> Bound:
    """So many decimal digits of the largest term."""
    return 10.0**-count * scale, f"{count} digits"


def bisection(generator: Divergence, advantage: np.ndarray, beta: float, weights: list[Fraction]) -> Bound:
    """The multiplier of the 60-digit oracle is off by 1e-58 of the arguments, which ratios see through their slope.

    `(f*)''` is at most `v + v^2` with `v = max(w, 1)`: 2 w^(3/2) for Hellinger, a w^(1 - 1/a) for power
    with 1 <= a <= 2.
    """
    largest = float(max(weights))
    shift = 1e-57 * (1.0 + float(np.abs(advantage).max()) / beta)
    return shift * (largest + largest**2), f"58 digits of the arguments, times the slope of {generator.name}"
