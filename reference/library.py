"""Decision processes to start from: textbook cases, random and regular families, and what other libraries hold.

`named()` are cases with exact answers (`reference.textbook`); `from_gymnasium`, `from_quantecon`, `from_storm` are
those of `reference.interop`. A size that cannot fit is refused before anything is allocated.
"""

import numpy as np
from scipy import sparse

from reference.interop.quantecon import from_quantecon as from_quantecon
from reference.interop.storm import from_storm as from_storm
from reference.interop.toy_text import from_gymnasium as from_gymnasium
from reference.layout import DENSE_ENTRIES, laid_out, merged
from reference.mdp import MDP
from reference.memory import require_memory
from reference.textbook import NamedMDP as NamedMDP
from reference.textbook import deterministic
from reference.textbook import named as named

_STEPS = ((-1, 0), (0, 1), (1, 0), (0, -1))  # up, right, down, left: Gymnasium's order in CliffWalking

# Bytes for each pair at the peak of the construction (tracemalloc, NumPy 2.5 and SciPy 1.18), rounded up: lists of
# Python numbers weigh more than the arrays that they become. A dense array is held four times while it is checked.
_GARNET_BYTES, _GARNET_SUCCESSOR_BYTES, _GRIDWORLD_BYTES, _STEP_BYTES, _DENSE_BYTES = 256.0, 72.0, 768.0, 320.0, 36.0


def garnet(
    n_states: int, n_actions: int, branching: int, seed: int, discount: float = 0.95, *, sparse_rows: bool = False
) -> MDP:
    """A random MDP with `branching` successors per pair (Archibald, McKinnon and Thomas 1995; Bhatnagar et al. 2009).

    Successors are drawn without replacement, probabilities are the gaps between sorted uniform cut points, rewards are
    standard normal. The same seed gives the same process, dense or with `sparse_rows`.
    """
    if not 1 <= branching <= n_states:
        raise ValueError(f"branching is {branching}: expected between 1 and n_states = {n_states}.")
    if n_actions < 1:
        raise ValueError(f"n_actions is {n_actions}: expected at least 1.")
    rng = np.random.default_rng(seed)
    pairs = n_states * n_actions
    needed = pairs * (_GARNET_BYTES + branching * _GARNET_SUCCESSOR_BYTES)
    needed += 0.0 if sparse_rows else pairs * n_states * _DENSE_BYTES
    _require(f"garnet with {n_states} states, {n_actions} actions and {branching} successors", needed)
    columns = np.stack([np.sort(rng.choice(n_states, branching, replace=False)) for _ in range(pairs)])
    cuts = np.sort(rng.random((pairs, branching - 1)), axis=1)
    gaps = np.diff(np.pad(cuts, ((0, 0), (1, 1)), constant_values=(0.0, 1.0)), axis=1)
    matrix = sparse.csr_array(
        (gaps.ravel(), columns.ravel(), np.arange(0, pairs * branching + 1, branching)), shape=(pairs, n_states)
    )
    transitions = matrix if sparse_rows else matrix.toarray().reshape(n_states, n_actions, n_states)
    return MDP(transitions, rng.standard_normal((n_states, n_actions)), discount)


def chain(n_states: int, discount: float = 0.9) -> MDP:
    """A corridor: action 0 steps left, action 1 right; entering the last, terminal state pays 1.

    The optimal value of state `s` is `discount ** (n_states - 2 - s)`, and 0 at the end.
    """
    if n_states < 2:
        raise ValueError(f"n_states is {n_states}: expected at least 2 (a start and an end).")
    _require(f"chain with {n_states} states", 2 * n_states * _STEP_BYTES)
    successors = [[max(state - 1, 0), min(state + 1, n_states - 1)] for state in range(n_states)]
    rewards = [[0.0, float(state == n_states - 2)] for state in range(n_states)]
    successors[-1] = [n_states - 1] * 2
    available = np.ones((n_states, 2), dtype=np.bool_)
    available[-1, 1] = False
    return deterministic(successors, rewards, discount, available, (1, n_states))


def gridworld(
    rows: int,
    columns: int,
    discount: float = 0.99,
    *,
    goal: tuple[int, int] | None = None,
    slip: float = 0.0,
    step_reward: float = -1.0,
    goal_reward: float = 0.0,
) -> MDP:
    """A grid with actions up, right, down, left and one terminal goal (the last cell if not given).

    Every step pays `step_reward`, entering the goal `goal_reward` on top. With probability `slip` the step goes
    sideways, half to each side. Steps off the grid stay. Without slip and goal reward the value `k` steps from the goal
    is `step_reward * (1 - discount ** k) / (1 - discount)`.
    """
    end = (rows - 1, columns - 1) if goal is None else goal
    if rows < 1 or columns < 1 or not (0 <= end[0] < rows and 0 <= end[1] < columns):
        raise ValueError(
            f"the goal {end} is not a cell of a {rows} x {columns} grid: expected 0 <= row < {rows} and so on."
        )
    if not 0.0 <= slip <= 1.0:
        raise ValueError(f"slip is {slip!r}: expected a probability.")
    _require(f"gridworld of {rows} x {columns}", 4 * rows * columns * _GRIDWORLD_BYTES)
    last = end[0] * columns + end[1]
    sideways = [(0, 1.0 - slip), (1, 0.5 * slip), (3, 0.5 * slip)]
    entries: list[tuple[int, int, int, float]] = []
    for row, column in np.ndindex(rows, columns):
        state = row * columns + column
        for action in range(4):
            for turn, probability in sideways if state != last else [(0, 1.0)]:
                down, right = _STEPS[(action + turn) % 4] if state != last else (0, 0)
                target = min(max(row + down, 0), rows - 1) * columns + min(max(column + right, 0), columns - 1)
                entries.append((state, action, target, probability))
    matrix = merged(zip(*entries, strict=True), (rows * columns, 4))
    arrival = np.asarray(matrix @ (np.arange(rows * columns) == last).astype(np.float64)).reshape(-1, 4)
    rewards = step_reward + goal_reward * arrival
    rewards[last] = 0.0
    available = np.ones((rows * columns, 4), dtype=np.bool_)
    available[last, 1:] = False
    return MDP(laid_out(matrix, (rows * columns, 4)), rewards, discount, available=available, grid=(rows, columns))


def cliff(rows: int = 4, columns: int = 12, discount: float = 0.99) -> MDP:
    """Cliff walking (Sutton and Barto 2018, example 6.6): start and goal are the lower corners, the cliff between them.

    Each step pays -1; stepping into the cliff pays -100 and leads back to the start. The goal is terminal.
    """
    if rows < 2 or columns < 3:
        raise ValueError(f"the grid is {rows} x {columns}: expected at least 2 x 3, or there is no cliff.")
    _require(f"cliff of {rows} x {columns}", 4 * rows * columns * _STEP_BYTES)
    start, last = (rows - 1) * columns, rows * columns - 1
    successors, rewards = [], []
    for row, column in np.ndindex(rows, columns):
        ends, pays = [], []
        for down, right in _STEPS:
            target = min(max(row + down, 0), rows - 1) * columns + min(max(column + right, 0), columns - 1)
            falls = start < target < last
            ends.append(start if falls else target)
            pays.append(-100.0 if falls else -1.0)
        successors.append(ends)
        rewards.append(pays)
    successors[last], rewards[last] = [last] * 4, [0.0] * 4
    available = np.ones((rows * columns, 4), dtype=np.bool_)
    available[last, 1:] = False
    mdp = deterministic(successors, rewards, discount, available, (rows, columns))
    return MDP(
        mdp.transitions,
        mdp.rewards,
        discount,
        (np.arange(rows * columns) == start).astype(np.float64),
        available,
        (rows, columns),
    )


def _require(what: str, needed: float) -> None:
    """Raise `NotEnoughMemory` unless `needed` bytes, and what a process that is kept dense takes besides, are there."""
    require_memory(needed + DENSE_ENTRIES * _DENSE_BYTES, what, "Ask for fewer states, actions or successors.")
