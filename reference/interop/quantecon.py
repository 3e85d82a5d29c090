"""QuantEcon's `DiscreteDP`, both ways.

A `DiscreteDP` holds rewards `R`, transitions `Q` and the discount `beta` in one of two forms:

    product            R (n, m), Q (n, m, n); R = -inf where an action is not feasible
    state-action pairs R (L,), Q (L, n) dense or sparse, s_indices (L,), a_indices (L,): the feasible pairs

Source: QuantEcon.py, `quantecon.markov.ddp`.
"""

import importlib
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float64
from scipy import sparse

from reference.layout import laid_out
from reference.mdp import MDP, InvalidMDP
from reference.memory import require_memory

__all__ = ["from_quantecon", "to_quantecon"]


def from_quantecon(ddp: Any, initial: npt.ArrayLike | None = None, grid: tuple[int, int] | None = None) -> MDP:
    """The MDP of a `DiscreteDP`, in either form; `ddp` may be anything with its attributes.

    A pair is available if it is listed and its reward is not `-inf`; the rows of all others become zero. The number of
    actions of a list of pairs is the largest index plus one. `Q` in product form is shared, not copied, if it is a
    C-ordered float64 array that cannot be written to (as `to_quantecon` makes it) and needs no row cleared.

    Raises `InvalidMDP` for arrays that are not of either form, naming a pair that is listed twice or out of range.
    """
    missing = [name for name in ("R", "Q", "beta") if not hasattr(ddp, name)]
    if missing:
        raise InvalidMDP(
            f"{type(ddp).__name__} has no attribute {' and no '.join(missing)}: expected a QuantEcon DiscreteDP."
        )
    rewards = _floats(ddp.R, "R")
    transitions = ddp.Q if sparse.issparse(ddp.Q) else _floats(ddp.Q, "Q")
    if rewards.ndim == 2 and transitions.ndim == 3:
        available = ~np.isneginf(rewards)
        if transitions.shape[:2] == rewards.shape and transitions[~available].any():
            transitions = np.where(available[:, :, None], transitions, 0.0)
        return MDP(transitions, np.where(available, rewards, 0.0), ddp.beta, initial, available, grid)
    if rewards.ndim != 1 or transitions.ndim != 2:
        raise InvalidMDP(
            f"R has shape {rewards.shape} and Q {transitions.shape}: expected (n, m) and (n, m, n), or (L,) and (L, n)."
        )
    return _from_pairs(ddp, rewards, sparse.csr_array(transitions, dtype=np.float64), initial, grid)


def _from_pairs(
    ddp: Any,
    rewards: Float64[np.ndarray, " L"],
    rows: sparse.csr_array,
    initial: npt.ArrayLike | None,
    grid: tuple[int, int] | None,
) -> MDP:
    n_pairs, n_states = ddp.Q.shape
    state, action = _indices(ddp, "s_indices", n_pairs), _indices(ddp, "a_indices", n_pairs)
    if len(rewards) != n_pairs:
        raise InvalidMDP(f"R has {len(rewards)} entries: expected one for each of the {n_pairs} rows of Q.")
    if n_pairs == 0 or state.min() < 0 or action.min() < 0 or state.max() >= n_states:
        raise InvalidMDP(
            f"s_indices or a_indices is out of range: expected at least one pair, states between 0 and {n_states - 1} "
            "(the columns of Q) and actions of at least 0."
        )
    shape = (n_states, int(action.max()) + 1)
    require_memory(
        24.0 * n_states * shape[1], f"{n_states} states with actions up to {shape[1] - 1}", "Use smaller indices."
    )
    flat = state * shape[1] + action
    first, count = np.unique(flat, return_counts=True)
    if (count > 1).any():
        twice_state, twice_action = divmod(int(first[count > 1][0]), shape[1])
        raise InvalidMDP(
            f"state {twice_state}, action {twice_action} is listed {count.max()} times: expected each pair once."
        )
    listed = ~np.isneginf(rewards)
    available, dense_rewards = np.zeros(shape, dtype=np.bool_), np.zeros(shape)
    available.flat[flat[listed]] = True
    dense_rewards.flat[flat[listed]] = rewards[listed]
    coo = sparse.coo_array(rows[np.flatnonzero(listed)])
    entries = (coo.data, (flat[listed][coo.row], coo.col))
    matrix = sparse.csr_array(sparse.coo_array(entries, shape=(n_states * shape[1], n_states)))
    transitions = matrix if sparse.issparse(ddp.Q) else laid_out(matrix, shape)
    return MDP(transitions, dense_rewards, ddp.beta, initial, available, grid)


def to_quantecon(mdp: MDP) -> Any:
    """A `quantecon.markov.DiscreteDP` of the same floats: product form if dense, state-action pairs if CSR.

    The arrays of the MDP are shared, not copied, where no action is unavailable (and `Q` in product form always); they
    stay read-only. `DiscreteDP` has no place for the initial distribution and the grid.

    Raises `ModuleNotFoundError`, with the line that installs it, if QuantEcon is missing.
    """
    try:
        discrete = importlib.import_module("quantecon.markov").DiscreteDP
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "to_quantecon needs QuantEcon, which is not installed: pip install quantecon"
        ) from error
    everywhere = bool(mdp.available.all())
    if not mdp.is_sparse:
        rewards = mdp.rewards if everywhere else np.where(mdp.available, mdp.rewards, -np.inf)
        return discrete(rewards, mdp.transitions, mdp.discount)
    state, action = _pairs(mdp.available)
    matrix = sparse.csr_matrix(mdp.matrix)  # an array type, whose `*` is elementwise, would mislead its arithmetic
    if everywhere:
        return discrete(mdp.rewards.ravel(), matrix, mdp.discount, state, action)
    kept = state * mdp.n_actions + action
    return discrete(mdp.rewards.ravel()[kept], matrix[kept], mdp.discount, state, action)


def _pairs(available: Bool[np.ndarray, "S A"]) -> tuple[np.ndarray, np.ndarray]:
    """State and action of each available pair, in the order of the rows of `P`."""
    state, action = np.nonzero(available)
    return state, action


def _floats(value: Any, name: str) -> np.ndarray:
    """`value` as float64, without a copy where it is that already."""
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidMDP(f"{name} cannot be read as float64 numbers: {error}") from error


def _indices(ddp: Any, name: str, n_pairs: int) -> np.ndarray:
    """One of the index arrays of the pair form."""
    value = getattr(ddp, name, None)
    array = np.asarray(value)
    if value is None or array.shape != (n_pairs,) or array.dtype.kind not in "iu":
        raise InvalidMDP(
            f"{name} is {'absent' if value is None else f'{array.dtype} of shape {array.shape}'}: "
            f"expected {n_pairs} whole numbers, one for each row of Q."
        )
    return array.astype(np.int64)
