"""Input checks: whether arrays are a finite discounted MDP, a policy, a temperature.

Every message says what was seen, where, what was expected and what to do. Nothing is repaired here.
"""

import operator
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64
from scipy import sparse

from reference.rounding import admissible_defect, sum_minus_one

_BLOCK = 1 << 16  # entries that are looked at at once, so that what is looked at needs no second copy


class InvalidMDP(ValueError):
    """The data do not describe a finite discounted MDP; the message says what, where and what to do."""


def frozen(array: Any) -> bool:
    """Whether nobody can write to the memory of this float64 or integer array through NumPy: it may be shared."""
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return False
        array = array.base
    return True


def as_floats(value: Any, name: str, shape: str, ndim: int) -> np.ndarray:
    """A read-only float64 array with the entries of `value`, a copy unless it is frozen already, or `InvalidMDP`."""
    if isinstance(value, np.ma.MaskedArray) or np.dtype(getattr(value, "dtype", np.float64)).kind == "c":
        raise InvalidMDP(f"{name} is {_kind(value)}: expected plain float64 numbers of shape {shape}.")
    try:
        shared = isinstance(value, np.ndarray) and value.dtype == np.float64 and frozen(value)
        array = np.ascontiguousarray(value) if shared else np.array(value, dtype=np.float64, order="C")
    except (TypeError, ValueError) as error:
        raise InvalidMDP(f"{name} cannot be read as float64 numbers of shape {shape}: {error}") from error
    if array.ndim != ndim:
        raise InvalidMDP(f"{name} has shape {array.shape}: expected {shape}.")
    array.setflags(write=False)
    return array


def _kind(value: Any) -> str:
    return "a masked array" if isinstance(value, np.ma.MaskedArray) else f"of dtype {value.dtype}"


def as_transitions(value: Any, n_states: int, n_actions: int) -> np.ndarray | sparse.csr_array:
    """Transitions in the stored layout: read-only dense `(S, A, S)`, or canonical CSR `(S*A, S)`."""
    dense_shape, csr_shape = (n_states, n_actions, n_states), (n_states * n_actions, n_states)
    because = f"because rewards has shape {(n_states, n_actions)}"
    if not sparse.issparse(value):
        array = as_floats(value, "transitions", f"(S, A, S) = {dense_shape}", 3)
        if array.shape != dense_shape:
            raise InvalidMDP(
                f"transitions has shape {array.shape}: expected (S, A, S) = {dense_shape}, {because}. "
                f"A sparse matrix would be {csr_shape} with row s*A + a."
            )
        return array
    if value.shape != csr_shape:
        raise InvalidMDP(
            f"sparse transitions has shape {value.shape}: expected (S*A, S) = {csr_shape} with row s*A + a, {because}."
        )
    if value.dtype.kind not in "biuf":
        raise InvalidMDP(f"sparse transitions is {_kind(value)}: expected float64 numbers of shape {csr_shape}.")
    try:
        csr, converted = sparse.csr_array(value), value.format != "csr"
        parts = csr.data.astype(np.float64, copy=False), csr.indices, csr.indptr
        parts = tuple(part if converted or frozen(part) else np.array(part) for part in parts)
        for part in parts:  # now, because SciPy goes on with views, which are frozen only if what they view is
            part.setflags(write=False)
        matrix = sparse.csr_array(parts, shape=csr_shape)  # a new object: the caller's stays as it is
        matrix.check_format(full_check=True)
    except ValueError as error:
        raise InvalidMDP(f"sparse transitions is no CSR matrix of shape {csr_shape}: {error}.") from error
    if not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
    for part in (matrix.data, matrix.indices, matrix.indptr):
        part.setflags(write=False)
    return matrix


def as_availability(value: Any, shape: tuple[int, int]) -> Bool[np.ndarray, "S A"]:
    """`available` as a fresh boolean array; every state must have an action."""
    if value is None:
        return np.ones(shape, dtype=np.bool_)
    array = np.array(value)
    if array.dtype != np.bool_ or array.shape != shape:
        raise InvalidMDP(f"available has dtype {array.dtype} and shape {array.shape}: expected bool, (S, A) = {shape}.")
    idle = np.flatnonzero(~array.any(axis=1))
    if idle.size:
        raise InvalidMDP(
            f"state {idle[0]} has no available action: expected at least one in every state ({idle.size} without). "
            "Give it one, for instance a self-loop with reward 0."
        )
    return array


def as_discount(value: Any) -> float:
    """`discount` as a float in `[0, 1)`."""
    try:
        discount = float(value)
    except (TypeError, ValueError) as error:
        raise InvalidMDP(f"discount is {value!r}: expected a number, 0 <= discount < 1.") from error
    if not 0.0 <= discount < 1.0:
        raise InvalidMDP(
            f"discount is {discount!r}: expected 0 <= discount < 1. Undiscounted problems have no unique value in "
            "general; use a discount close to 1, such as 0.9999."
        )
    return discount


def as_grid(value: tuple[int, int] | None, n_states: int) -> tuple[int, int] | None:
    """`grid` as `(rows, columns)` that fit into the states, or None."""
    if value is None:
        return None
    try:
        rows, columns = (operator.index(side) for side in value)
    except (TypeError, ValueError) as error:
        raise InvalidMDP(f"grid is {value!r}: expected two whole numbers (rows, columns).") from error
    if rows < 1 or columns < 1 or rows * columns > n_states:
        raise InvalidMDP(f"grid is {(rows, columns)}: expected rows * columns between 1 and {n_states} (the states).")
    return rows, columns


def check_rewards(rewards: Float64[np.ndarray, "S A"], available: Bool[np.ndarray, "S A"]) -> None:
    """Every reward of an available pair is finite."""
    finite = np.isfinite(rewards)
    if finite.all():
        return
    bad = np.argwhere(~finite & available)
    if len(bad):
        state, action = bad[0]
        raise InvalidMDP(
            f"rewards[{state}, {action}] (state {state}, action {action}) is {rewards[state, action]}: expected a "
            f"finite number ({len(bad)} such entries). To forbid an action use available[{state}, {action}] = False."
        )


def check_initial(initial: np.ndarray, n_states: int) -> None:
    """The initial distribution is one, up to rounding."""
    if initial.shape != (n_states,):
        raise InvalidMDP(f"initial has shape {initial.shape}: expected (S,) = ({n_states},).")
    bad = np.flatnonzero(~(np.isfinite(initial) & (initial >= 0.0)))
    if bad.size:
        raise InvalidMDP(f"initial[{bad[0]}] (state {bad[0]}) is {initial[bad[0]]}: expected a probability >= 0.")
    defect, limit = float(sum_minus_one(initial[None, :])[0]), admissible_defect(n_states)
    if abs(defect) > limit:
        raise InvalidMDP(
            f"initial sums to {1.0 + defect!r}: expected 1 up to rounding (within {limit:.1e}). "
            "Divide it by its sum if that is what you mean."
        )


def check_entries(matrix: np.ndarray | sparse.csr_array, n_actions: int) -> None:
    """Every transition probability is a finite number >= 0."""
    entries = matrix.ravel() if isinstance(matrix, np.ndarray) else matrix.data
    for first in range(0, len(entries), _BLOCK):
        block = entries[first : first + _BLOCK]
        found = np.flatnonzero(~(np.isfinite(block) & (block >= 0.0)))
        if not found.size:
            continue
        bad = first + int(found[0])
        if isinstance(matrix, np.ndarray):
            row, target = divmod(bad, matrix.shape[1])
        else:
            row, target = int(np.searchsorted(matrix.indptr, bad, side="right")) - 1, int(matrix.indices[bad])
        state, action = divmod(row, n_actions)
        raise InvalidMDP(
            f"the transition probability from state {state} under action {action} to state {target} is {entries[bad]}: "
            "expected a finite number >= 0."
        )


def rows_fit(defects: Float64[np.ndarray, "S A"], n_states: int, blur: float = 0.0) -> bool:
    """Whether `defects` (row sums minus one), wrong by at most `blur`, are what rounding explains in any case."""
    limit = admissible_defect(n_states) - blur
    return float(defects.max()) <= limit and float(defects.min()) >= -limit  # NaN fails as well


def check_rows(defects: Float64[np.ndarray, "S A"], n_states: int) -> None:
    """`defects` (row sums minus one) are what rounding explains."""
    if rows_fit(defects, n_states):
        return
    limit = admissible_defect(n_states)
    bad = np.argwhere(~(np.abs(defects) <= limit))
    if len(bad):
        state, action = (int(i) for i in bad[0])
        raise InvalidMDP(
            f"transitions from state {state} under action {action} sum to {float(1.0 + defects[state, action])!r}: "
            f"expected 1 up to rounding (within {limit:.1e}; {len(bad)} such rows). Correct the row, divide it by its "
            f"sum if that is what you mean, or forbid the action with available[{state}, {action}] = False."
        )


def scale_fits(rewards: np.ndarray, discount: float, largest: float) -> bool:
    """Whether the backup contracts with a largest row sum of `1 + largest`, and values stay finite."""
    margin = (1.0 - discount) - discount * largest
    # A factor of 16 leaves room for differences and sums of a few values.
    return margin > 0.0 and _largest(rewards) <= margin * (float(np.finfo(np.float64).max) / 16.0)


def _largest(rewards: np.ndarray) -> float:
    return max(float(rewards.max()), -float(rewards.min()))


def check_scale(rewards: np.ndarray, discount: float, defects: np.ndarray) -> None:
    """The backup contracts for these very floats, and values stay finite."""
    largest = float(defects.max())
    if scale_fits(rewards, discount, largest):
        return
    if (1.0 - discount) - discount * largest <= 0.0:
        state, action = (int(i) for i in np.unravel_index(defects.argmax(), rewards.shape))
        raise InvalidMDP(
            f"discount times the row sum of state {state}, action {action} is not below 1 (discount {discount!r}, row "
            f"sum 1 + {largest:.1e}): no value exists. Use a smaller discount."
        )
    top = _largest(rewards)
    raise InvalidMDP(f"rewards reach {top:.1e} at discount {discount!r}: values overflow. Rescale the rewards.")


def check_policy(policy: np.ndarray, available: Bool[np.ndarray, "S A"]) -> None:
    """Raise `ValueError` unless every row is a distribution over available actions, up to rounding."""
    if policy.shape != available.shape:
        raise ValueError(f"policy has shape {policy.shape}: expected (S, A) = {available.shape}.")
    possible = np.isfinite(policy) & (policy >= 0.0)
    bad = np.argwhere(~possible | ((policy > 0.0) & ~available))
    if len(bad):
        state, action = bad[0]
        expected = "a number >= 0" if not possible[state, action] else "0, because that action is not available there"
        raise ValueError(
            f"policy[{state}, {action}] (state {state}, action {action}) is {policy[state, action]}: "
            f"expected {expected}."
        )
    defects, limit = sum_minus_one(policy), admissible_defect(policy.shape[1])
    bad = np.flatnonzero(np.abs(defects) > limit)
    if bad.size:
        raise ValueError(
            f"policy in state {bad[0]} sums to {float(1.0 + defects[bad[0]])!r}: expected 1 up to rounding (within "
            f"{limit:.1e}; {bad.size} such states). Divide the row by its sum if that is what you mean."
        )


def check_temperature(alpha: float) -> None:
    """Raise `ValueError` unless `alpha` is a finite number > 0."""
    if not (np.isfinite(alpha) and alpha > 0.0):
        raise ValueError(f"alpha is {alpha!r}: expected a finite temperature > 0. For alpha = 0 use the hard maximum.")
