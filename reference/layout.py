"""Transition matrices from lists of entries, and whether they are kept dense or as CSR."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy import sparse

__all__ = ["DENSE_ENTRIES", "laid_out", "merged"]

DENSE_ENTRIES = 1 << 20  # above this many entries (8 MiB) transitions are kept as CSR


def merged(columns: Iterable[Any], shape: tuple[int, int]) -> sparse.csr_array:
    """CSR transitions `(S*A, S)` from `columns`: state, action, next state and probability of each entry.

    `shape` is `(S, A)`. Entries of the same place are added up in their order; zeros are dropped.
    """
    state, action, target, probability = columns
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
