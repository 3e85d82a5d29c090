"""Bounds of the rows on sampling in proportion, as `(bound, reason)`; see `tolerances`."""

from __future__ import annotations

import numpy as np
import running_error as re
import tolerances
from running_error import Rounded
from scipy.stats import binom


def descent(slots: int, eps: float) -> float:
    """Total variation between weights and draws that go down a tree, a branch at every level.

    At a level the branch's probability misses its share by the spacing eps of the uniform number, half an eps for the
    product with the sum and half for that sum: 2 eps. Shares of levels multiply, so the misses of levels add up. Stored
    sums are themselves rounded once a level, which moves shares by another eps a level.
    """
    return 3.0 * eps * max(1, int(slots - 1).bit_length())


def cumulated(slots: int, eps: float) -> float:
    """Total variation between weights and draws from their cumulated sum: a boundary misses its place by 2 log2 n eps.

    Summed in any tree the prefixes carry `log2 n` roundings each, the uniform number and its product one eps.
    """
    return slots * eps * (int(slots).bit_length() + 2.0)


def counts(draws: int, law: np.ndarray, variation: float, in_all: int) -> tuple[np.ndarray, np.ndarray, str]:
    """(middle, half width) that each count leaves with probability <= FALSE_ALARM / in_all for any law that near."""
    share = tolerances.FALSE_ALARM / in_all / 2
    low = binom.ppf(share, draws, np.maximum(law - variation, 0.0)) - 1
    high = binom.isf(share, draws, np.minimum(law + variation, 1.0)) + 1
    reason = f"exact binomial law of {in_all} counts, false alarm {tolerances.FALSE_ALARM:g} in all"
    return (high + low) / 2, (high - low) / 2, reason


def power(base: Rounded, exponent: float) -> Rounded:
    """`base ** exponent` for positive bases, however it is computed: as exp(exponent log base) is the worst of ways."""
    return re.exp(re.log(base) * exponent)
