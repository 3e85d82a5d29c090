"""What float64 rounding can do: the bounds and the exact sums that checks and certificates rest on.

Sources: N. J. Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd edition (2002), section 3.1; S. M. Rump,
T. Ogita and S. Oishi, *Accurate floating-point summation I*, SIAM J. Sci. Comput. 31 (2008).
"""

from typing import TypeVar

import numpy as np
from jaxtyping import Float64, Int
from scipy import sparse

UNIT_ROUNDOFF = 2.0**-53
SLACK = 2.0**-40  # of a bound: evaluating it takes far fewer than 2**12 roundings
Bound = TypeVar("Bound", float, np.ndarray)


def outward(bound: Bound) -> Bound:
    """A bound on errors, and `SLACK` of it for the roundings of its own evaluation."""
    return bound * (1.0 + SLACK)


def gamma_n(n: int) -> float:
    """`n u / (1 - n u)`: relative error of `n` consecutive roundings (Higham 2002, lemma 3.1), in any order."""
    product = n * UNIT_ROUNDOFF
    if product >= 1.0:
        raise ValueError(f"expected fewer than {1 / UNIT_ROUNDOFF:.0f} roundings, got {n}: no float64 bound exists")
    return product / (1.0 - product)


def admissible_defect(n_entries: int) -> float:
    """How far the exact sum of `n_entries` float64 probabilities may be from one and still be one up to rounding.

    Dividing `n` nonnegative numbers by their float64 sum (n - 1 additions, one division) leaves a defect of at most
    `gamma_n(n)`; rounding exact probabilities leaves less. The product of two such matrices doubles the first and
    adds its own `n` roundings. `gamma_n(2 (n + 1))` covers each of these, and no error that is worth a name.
    """
    return gamma_n(2 * (n_entries + 1))


def sum_minus_one(rows: Float64[np.ndarray, "N M"]) -> Float64[np.ndarray, " N"]:
    """Row sums minus one, of nonnegative rows that sum to about one: exact up to `u |result| + M**2 u**2`.

    Each entry is split without error into a multiple of `2**-52` and a rest of at most `2**-53` (Rump, Ogita and
    Oishi 2008, *ExtractVector*). Partial sums of the multiples stay below two, hence are exact in every order.
    """
    ones = np.ones(rows.shape[1])
    high = rows + 1.0
    high -= 1.0
    sums = high @ ones
    np.subtract(rows, high, out=high)
    return (sums - 1.0) + high @ ones


def csr_sum_minus_one(matrix: sparse.csr_array) -> Float64[np.ndarray, " N"]:
    """`sum_minus_one` for the rows of a CSR matrix."""
    return segment_sums_minus_one(matrix.data, matrix.indptr)


def segment_sums_minus_one(data: Float64[np.ndarray, " K"], indptr: Int[np.ndarray, " M"]) -> Float64[np.ndarray, " N"]:
    """`sum_minus_one` for the segments `data[indptr[i]:indptr[i + 1]]`."""
    one, columns = np.ones(1), np.zeros(len(data), dtype=indptr.dtype)

    def sums(entries: Float64[np.ndarray, " K"]) -> Float64[np.ndarray, " N"]:
        return sparse.csr_array((entries, columns, indptr), shape=(len(indptr) - 1, 1)) @ one

    high = data + 1.0
    high -= 1.0
    multiples = sums(high)
    np.subtract(data, high, out=high)
    return (multiples - 1.0) + sums(high)
