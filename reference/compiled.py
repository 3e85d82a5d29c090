"""The passes of `reference.kernels` as plain loops, compiled by numba (extra `fast`).

Compiled when first used and kept on disk where a folder can be written. Indices arrive as unsigned integers: signed
ones cost a test for wrap-around in every access. The matrix must be a valid one, as that of every `MDP` is: nothing
here checks an index.
"""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, no_type_check

import numpy as np
from scipy import sparse

from reference.kernels import NUMPY, Kernels, Scan, Sweep, longest_row


@no_type_check
def _scan_loop(data, indptr, defects):
    smallest = np.inf
    for row in range(len(defects)):
        multiples, rest = 0.0, 0.0
        for k in range(indptr[row], indptr[row + 1]):
            entry = data[k]
            high = (entry + 1.0) - 1.0
            multiples += high
            rest += entry - high
            if entry < smallest:  # not so for NaN, which shows in the sum
                smallest = entry
        defects[row] = (multiples - 1.0) + rest
    return smallest


@no_type_check
def _scan_dense_loop(matrix, defects):
    # Sixty-four sums side by side, which the compiler turns into vectors.
    multiples, rest, smallest = np.zeros(64), np.zeros(64), np.full(64, np.inf)
    for row in range(len(matrix)):
        line = matrix[row]
        multiples[:] = 0.0
        rest[:] = 0.0
        for first in range(0, len(line), 64):
            part = line[first : first + 64]
            for lane in range(len(part)):
                entry = part[lane]
                high = (entry + 1.0) - 1.0
                multiples[lane] += high
                rest[lane] += entry - high
                smallest[lane] = min(entry, smallest[lane])
        defects[row] = (multiples.sum() - 1.0) + rest.sum()
    return smallest.min()


@no_type_check
def _lookahead_loop(data, indices, indptr, deviation, rewards, defects, discount, offset, result):
    shift = (1.0 - discount) * offset
    for row in range(len(result)):
        expected = 0.0
        for k in range(indptr[row], indptr[row + 1]):
            expected += data[k] * deviation[indices[k]]
        result[row] = (rewards[row] - shift) + (discount * (offset * defects[row]) + discount * expected)


@no_type_check
def _improve_loop(data, indices, indptr, base, discount, deviation, best, action):
    n_actions = base.shape[1]
    row = 0
    for state in range(len(best)):
        top, chosen = -np.inf, 0
        for a in range(n_actions):
            expected = 0.0
            for k in range(indptr[row], indptr[row + 1]):
                expected += data[k] * deviation[indices[k]]
            q = base[state, a] + discount * expected
            if q > top:
                top, chosen = q, a
            row += 1
        best[state], action[state] = top, chosen


@no_type_check
def _select_loop(data, indices, indptr, n_actions, action, before, new_data, new_indices, new_indptr):
    for state in range(len(action)):
        if action[state] != before[state]:
            row, at = state * n_actions + action[state], new_indptr[state]
            for k in range(indptr[row], indptr[row + 1]):
                new_data[at], new_indices[at] = data[k], indices[k]
                at += 1
            for k in range(at, new_indptr[state + 1]):  # room for the longest row of this state
                new_data[k], new_indices[k] = 0.0, 0


@no_type_check
def _evaluate_loop(data, indices, indptr, rewards, discount, deviation, result):
    low, high = np.inf, -np.inf
    for state in range(len(result)):
        expected = 0.0
        for k in range(indptr[state], indptr[state + 1]):
            expected += data[k] * deviation[indices[k]]
        value = rewards[state] + discount * expected
        change = value - deviation[state]
        low, high = min(low, change), max(high, change)
        result[state] = value
    return low, high


@cache
def compiled(dense: bool) -> Kernels:
    """The compiled kernels for a dense or a CSR matrix. Raises `ImportError` without numba."""
    numba = import_module("numba")
    if dense:
        scan_ = _jit(numba, _scan_dense_loop)

        def scan_dense(matrix: np.ndarray) -> Scan:
            defects = np.empty(len(matrix))
            smallest = scan_(matrix, defects)
            return Scan(smallest, defects, longest_row(matrix, smallest))

        return NUMPY._replace(name="numba", scan=scan_dense, glance=scan_dense)
    loops = (_scan_loop, _lookahead_loop, _improve_loop, _select_loop, _evaluate_loop)
    scan_, lookahead_, improve_, select_, evaluate_ = (_jit(numba, loop) for loop in loops)

    def scan(matrix: sparse.csr_array) -> Scan:
        defects = np.empty(len(matrix.indptr) - 1)
        smallest = scan_(matrix.data, _unsigned(matrix.indptr), defects)
        return Scan(smallest, defects, int(np.diff(matrix.indptr).max(initial=0)))

    def lookahead(matrix, deviation, rewards, defects, discount, offset):
        result = np.empty(rewards.shape)
        lookahead_(*_parts(matrix), deviation, rewards.ravel(), defects.ravel(), discount, offset, result.ravel())
        return result

    def improve(matrix, base, discount, deviation):
        best, action = np.empty(len(base)), np.empty(len(base), dtype=np.int32)
        improve_(*_parts(matrix), base, discount, deviation, best, action)
        return Sweep(best, action)

    def select(matrix, action, n_actions, before=None):
        if before is None:
            room = np.maximum.reduceat(np.diff(matrix.indptr), np.arange(0, len(action) * n_actions, n_actions))
            indptr = np.zeros(len(action) + 1, dtype=matrix.indptr.dtype)
            np.cumsum(room, out=indptr[1:])
            parts = (np.empty(indptr[-1]), np.empty(indptr[-1], dtype=matrix.indices.dtype), indptr)
            # Padded rows name column 0 more than once: the sum does not mind.
            before = sparse.csr_array(parts, shape=(len(action), matrix.shape[1])), np.full_like(action, -1)
        chain, held = before
        parts = (chain.data, chain.indices, chain.indptr)
        select_(matrix.data, matrix.indices, matrix.indptr, n_actions, action, held, *parts)
        return chain

    def evaluate(chain, rewards, discount, deviation, sweeps):
        parts, low, high = _parts(chain), 0.0, 0.0
        given, result, spare = deviation, np.empty_like(deviation), np.empty_like(deviation)
        for _ in range(sweeps):
            low, high = evaluate_(*parts, rewards, discount, given, result)
            given, result, spare = result, spare, result
        return given, low, high

    return Kernels("numba", scan, scan, lookahead, improve, select, evaluate)


def _jit(numba: Any, loop: Callable) -> Callable:
    """`loop` compiled at its first call and kept on disk where a folder can be written."""
    try:
        return numba.njit(cache=True, nogil=True)(loop)
    except RuntimeError:  # no place for the cache
        return numba.njit(nogil=True)(loop)


def _unsigned(indices: np.ndarray) -> np.ndarray:
    return indices.view(np.dtype(f"u{indices.dtype.itemsize}"))


def _parts(matrix: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return matrix.data, _unsigned(matrix.indices), _unsigned(matrix.indptr)
