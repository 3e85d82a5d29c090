"""Transition matrices from lists of entries, and whether they are kept dense or as CSR."""

import numpy as np
import numpy.typing as npt
from scipy import sparse

__all__ = ["DENSE_ENTRIES", "laid_out", "merged"]

DENSE_ENTRIES = 1 << 20  # above this many entries (8 MiB) transitions are kept as CSR


def merged(
    state: npt.ArrayLike,
    action: npt.ArrayLike,
    target: npt.ArrayLike,
    probability: npt.ArrayLike,
    shape: tuple[int, int],
) -> sparse.csr_array:
    """CSR transitions `(S*A, S)` from one column for each part of an entry; duplicates are added up, zeros dropped.

    `shape` is `(S, A)`; sums are taken in the order of the entries.
    """
    n_states, n_actions = shape
    row = np.asarray(state, dtype=np.int64) * n_actions + np.asarray(action, dtype=np.int64)
    entries = (np.asarray(probability, dtype=np.float64), (row, np.asarray(target, dtype=np.int64)))
    matrix = sparse.csr_array(sparse.coo_array(entries, shape=(n_states * n_actions, n_states)))
    matrix.eliminate_zeros()
    return matrix


def laid_out(matrix: sparse.csr_array, shape: tuple[int, int]) -> np.ndarray | sparse.csr_array:
    """Dense `(S, A, S)` where that is small, CSR otherwise."""
    n_states, n_actions = shape
    if n_states * n_actions * n_states > DENSE_ENTRIES:
        return matrix
    return matrix.toarray().reshape(n_states, n_actions, n_states)
