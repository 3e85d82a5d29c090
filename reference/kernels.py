"""The passes over the transitions that planning spends its time in: NumPy/SciPy, and compiled where that pays.

Every function takes the transitions as a matrix with row `s*A + a` for the pair `(s, a)`, dense `(S*A, S)` or CSR. The
two versions do the same arithmetic up to the order of sums (and fused multiply-add), which no error bound of this
package depends on. The compiled ones (`reference.compiled`, extra `fast`: numba) are serial, and used from
`COMPILED_FROM` stored transitions on; below, importing numba costs more than it gains. Dense products are BLAS calls in
both.

`ROER_KERNELS=numpy` turns the compiled versions off, `ROER_KERNELS=numba` demands them at every size.
"""

import os
from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int
from scipy import sparse

from reference.rounding import gamma_n, segment_sums_minus_one, sum_minus_one

COMPILED_FROM = 100_000
_BLOCK = 1 << 16  # entries that stay in a core's cache from one operation to the next
_COLUMNS = 64  # up to here a maximum over actions is faster column by column than row by row

Matrix = np.ndarray | sparse.csr_array


class Scan(NamedTuple):
    """What one reading of the transitions tells."""

    smallest: float
    defects: Float64[np.ndarray, " SA"]  # row sums minus one (`reference.rounding`)
    row_entries: int  # the largest number of stored nonzeros in a row
    blur: float = 0.0  # how far the defects of nonnegative rows may be from exact; 0 where they are, to one rounding


class Sweep(NamedTuple):
    """One backup: the best value and the first best action of every state."""

    best: Float64[np.ndarray, " S"]
    action: Int[np.ndarray, " S"]


class Kernels(NamedTuple):
    """The passes in one version."""

    name: str
    scan: Callable[..., Scan]
    glance: Callable[..., Scan]
    lookahead: Callable[..., np.ndarray]
    improve: Callable[..., Sweep]
    select: Callable[..., Matrix]
    evaluate: Callable[..., tuple[np.ndarray, float, float]]


def kernels(matrix: Matrix) -> Kernels:
    """The version to use for `matrix`. Raises `ImportError` if `ROER_KERNELS` demands one that is not installed."""
    asked = os.environ.get("ROER_KERNELS", "auto")
    if asked not in ("auto", "numpy", "numba"):
        raise ValueError(f"ROER_KERNELS is {asked!r}: expected 'auto', 'numpy' or 'numba'.")
    if asked == "numpy" or (asked == "auto" and matrix.size < COMPILED_FROM):
        return NUMPY
    try:
        return import_module("reference.compiled").compiled(isinstance(matrix, np.ndarray))
    except ImportError as error:
        if asked == "numba":
            raise ImportError("ROER_KERNELS=numba needs numba: pip install 'roer[fast]'") from error
        return NUMPY


def scan(matrix: Matrix) -> Scan:
    """Smallest entry, row sums minus one and longest row, block by block while a block is in cache."""
    with np.errstate(invalid="ignore", over="ignore"):  # what is no number is reported by whoever asked
        if isinstance(matrix, np.ndarray):
            return _scan_dense(matrix)
        return _scan_csr(matrix)


def _scan_dense(matrix: np.ndarray) -> Scan:
    smallest, defects = np.inf, np.empty(len(matrix))
    step = max(1, _BLOCK // matrix.shape[1])
    for first in range(0, len(matrix), step):
        block = matrix[first : first + step]
        smallest = np.minimum(smallest, block.min())
        defects[first : first + step] = sum_minus_one(block)
    return Scan(float(smallest), defects, longest_row(matrix, smallest))


def longest_row(matrix: np.ndarray, smallest: float) -> int:
    """The largest number of nonzeros in a row: counting is dearer than all the rest, and needless without zeros."""
    if smallest > 0.0:
        return matrix.shape[1]
    step = max(1, _BLOCK // matrix.shape[1])
    return max(int(np.count_nonzero(matrix[i : i + step], axis=1).max()) for i in range(0, len(matrix), step))


def glance(matrix: Matrix) -> Scan:
    """`scan`, but with the row sums of a plain product where that is quicker: for large dense transitions."""
    if not isinstance(matrix, np.ndarray) or matrix.size < COMPILED_FROM:
        return scan(matrix)
    entries = matrix.shape[1]
    smallest, defects, ones = np.inf, np.empty(len(matrix)), np.ones(entries)
    step = max(1, _BLOCK // entries)
    with np.errstate(invalid="ignore", over="ignore"):
        for first in range(0, len(matrix), step):
            block = matrix[first : first + step]
            smallest = np.minimum(smallest, block.min())
            np.matmul(block, ones, out=defects[first : first + step])
        defects -= 1.0
        # A sum of n nonnegative numbers in any order is off by gamma_(n-1) of what it should be, which is gamma_n of
        # what it is (n < 2**26); two more roundings are for the one that is taken off, and for this bound.
        blur = gamma_n(entries + 2) * (1.0 + max(0.0, float(defects.max())))
    return Scan(float(smallest), defects, longest_row(matrix, smallest), blur)


def row_sums(matrix: np.ndarray, rows: Int[np.ndarray, " N"]) -> Float64[np.ndarray, " N"]:
    """The defects that `scan` finds in these rows of dense transitions."""
    step = max(1, _BLOCK // matrix.shape[1])
    parts = [sum_minus_one(matrix[rows[first : first + step]]) for first in range(0, len(rows), step)]
    return np.concatenate(parts) if parts else np.empty(0)


def _scan_csr(matrix: sparse.csr_array) -> Scan:
    data, indptr = matrix.data, matrix.indptr
    smallest, defects = np.inf, np.empty(len(indptr) - 1)
    step = max(1, 4 * _BLOCK * len(defects) // max(1, len(data)))
    for first in range(0, len(defects), step):
        bounds = indptr[first : first + step + 1]
        entries = data[bounds[0] : bounds[-1]]
        smallest = min(smallest, entries.min()) if len(entries) else smallest
        defects[first : first + step] = segment_sums_minus_one(entries, bounds - bounds[0])
    return Scan(float(smallest), defects, int(np.diff(indptr).max(initial=0)))


def lookahead(
    matrix: Matrix,
    deviation: Float64[np.ndarray, " S"],
    rewards: Float64[np.ndarray, "S A"],
    defects: Float64[np.ndarray, "S A"],
    discount: float,
    offset: float,
) -> Float64[np.ndarray, "S A"]:
    """`(r - (1 - gamma) c) + (gamma c delta + gamma P w)`: what `certify.lookahead` bounds, term by term."""
    result = np.asarray(matrix @ deviation).reshape(rewards.shape)
    result *= discount
    term = offset * defects
    term *= discount
    result += term
    np.subtract(rewards, (1.0 - discount) * offset, out=term)
    result += term
    return result


def improve(
    matrix: Matrix, base: Float64[np.ndarray, "S A"], discount: float, deviation: Float64[np.ndarray, " S"]
) -> Sweep:
    """The best of `base + gamma P w` in every state; `base` is `-inf` at unavailable pairs."""
    q = np.asarray(matrix @ (discount * deviation)).reshape(base.shape)
    q += base
    return best_of(q)


def best_of(q: Float64[np.ndarray, "S A"]) -> Sweep:
    """The largest entry of every row and where it first occurs."""
    best = row_maxima(q)
    if q.shape[1] > _COLUMNS:
        return Sweep(best, q.argmax(axis=1))
    missed = np.ones(len(q), dtype=np.bool_)
    action = np.zeros(len(q), dtype=np.int32)
    for column in range(q.shape[1] - 1):
        missed &= q[:, column] < best
        action += missed
    return Sweep(best, action)


def row_maxima(q: Float64[np.ndarray, "S A"]) -> Float64[np.ndarray, " S"]:
    """`q.max(axis=1)`; for a few columns, column by column, which NumPy vectorises."""
    if q.shape[1] > _COLUMNS:
        return q.max(axis=1)
    best = q[:, 0].copy()
    for action in range(1, q.shape[1]):
        np.maximum(best, q[:, action], out=best)
    return best


def select(
    matrix: Matrix,
    action: Int[np.ndarray, " S"],
    n_actions: int,
    before: tuple[Matrix, Int[np.ndarray, " S"]] | None = None,
) -> Matrix:
    """The rows of a deterministic policy, as a contiguous matrix of their own.

    `before` is such a matrix with its actions; it may be overwritten, so that small changes are cheap.
    """
    rows = np.arange(0, len(action) * n_actions, n_actions) + action
    if not isinstance(matrix, np.ndarray):
        return matrix[rows]
    if before is None:
        return matrix.take(rows, axis=0)
    chain, held = before
    changed = np.flatnonzero(action != held)
    chain[changed] = matrix[rows[changed]]
    return chain


def evaluate(
    chain: Matrix,
    rewards: Float64[np.ndarray, " S"],
    discount: float,
    deviation: Float64[np.ndarray, " S"],
    sweeps: int,
) -> tuple[Float64[np.ndarray, " S"], float, float]:
    """`sweeps` backups `r + gamma P w` of one policy; the result, least and largest change of the last one."""
    for _ in range(sweeps - 1):
        deviation = chain @ (discount * deviation)
        deviation += rewards
    last = chain @ (discount * deviation)
    last += rewards
    change = last - deviation
    return last, float(change.min()), float(change.max())


NUMPY = Kernels("NumPy", scan, glance, lookahead, improve, select, evaluate)
