"""Decision processes to start from: textbook cases, random and regular families, and Gymnasium's toy text.

`named()` are cases with exact answers (`reference.textbook`).
"""

import difflib
import importlib
from fractions import Fraction
from typing import Any

import numpy as np
from scipy import sparse

from reference.mdp import MDP
from reference.textbook import NamedMDP as NamedMDP
from reference.textbook import deterministic
from reference.textbook import named as named

_DENSE_ENTRIES = 1 << 20  # above this many entries (8 MiB) transitions are kept as CSR
_STEPS = ((-1, 0), (0, 1), (1, 0), (0, -1))  # up, right, down, left: Gymnasium's order in CliffWalking


def garnet(
    n_states: int, n_actions: int, branching: int, seed: int, discount: float = 0.95, *, sparse_rows: bool = False
) -> MDP:
    """A random MDP with `branching` successors per pair (Archibald, McKinnon and Thomas 1995; Bhatnagar et al. 2009).

    Successors are drawn without replacement, probabilities are the gaps between sorted uniform cut points, rewards are
    standard normal. The same seed gives the same process, dense or with `sparse_rows`.
    """
    if not 1 <= branching <= n_states:
        raise ValueError(f"branching is {branching}: expected between 1 and n_states = {n_states}.")
    rng = np.random.default_rng(seed)
    pairs = n_states * n_actions
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
    matrix = _merge(entries, rows * columns, 4)
    arrival = np.asarray(matrix @ (np.arange(rows * columns) == last).astype(np.float64)).reshape(-1, 4)
    rewards = step_reward + goal_reward * arrival
    rewards[last] = 0.0
    available = np.ones((rows * columns, 4), dtype=np.bool_)
    available[last, 1:] = False
    return MDP(_layout(matrix, rows * columns, 4), rewards, discount, available=available, grid=(rows, columns))


def cliff(rows: int = 4, columns: int = 12, discount: float = 0.99) -> MDP:
    """Cliff walking (Sutton and Barto 2018, example 6.6): start and goal are the lower corners, the cliff between them.

    Each step pays -1; stepping into the cliff pays -100 and leads back to the start. The goal is terminal.
    """
    if rows < 2 or columns < 3:
        raise ValueError(f"the grid is {rows} x {columns}: expected at least 2 x 3, or there is no cliff.")
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


def from_gymnasium(id: str, discount: float, **kwargs: Any) -> MDP:
    """The MDP inside a Gymnasium toy-text environment (`FrozenLake-v1`, `Taxi-v4`, `CliffWalking-v1`, ...).

    Read from `env.unwrapped.P`. States keep their numbers; one absorbing state with a single action is added at the
    end, and every transition marked `terminated` leads there (the `P` of Taxi would let the episode go on). Time limits
    are no part of `P` and are left out. Duplicate successors are merged. `kwargs` go to `gymnasium.make`.

    Raises `ValueError` for an unknown id (naming the newest registered version), for arguments that the environment
    refuses and for one without `P`; `ModuleNotFoundError`, with the line that installs it, if Gymnasium is missing.
    """
    try:
        gymnasium = importlib.import_module("gymnasium")
        registration = importlib.import_module("gymnasium.envs.registration")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f'{id} needs Gymnasium, which is not installed: pip install "roer[show]"') from error
    if ":" not in id and id not in registration.registry:
        raise ValueError(_unknown_environment(id, registration, gymnasium.__version__))
    try:
        environment = gymnasium.make(id, disable_env_checker=True, **kwargs)
    except (TypeError, ValueError, KeyError, ImportError, gymnasium.error.Error) as error:
        given = ", ".join(f"{name}={value!r}" for name, value in kwargs.items()) or "its default arguments"
        raise ValueError(f"{id} cannot be made with {given}: {type(error).__name__}: {error}") from error
    try:
        model = environment.unwrapped
        table = getattr(model, "P", None)
        if table is None:
            raise ValueError(
                f"{id} has no transition table env.unwrapped.P: expected a toy-text environment such as FrozenLake-v1, "
                "Taxi-v4 or CliffWalking-v1."
            )
        return _from_table(table, discount, getattr(model, "initial_state_distrib", None), _grid_of(model, len(table)))
    finally:
        environment.close()


def _from_table(table: Any, discount: float, initial: Any, grid: tuple[int, int] | None) -> MDP:
    """Arrays of `P[s][a] = [(probability, next state, reward, terminated), ...]`."""
    n_states, n_actions = len(table), max(len(table[state]) for state in range(len(table)))
    rewards = np.zeros((n_states + 1, n_actions))
    available = np.zeros((n_states + 1, n_actions), dtype=np.bool_)
    available[n_states, 0] = True
    entries = [(n_states, 0, n_states, 1.0)]
    for state in range(n_states):
        for action in table[state]:
            outcomes = table[state][action]
            available[state, action] = True
            # Rewards are averaged exactly and rounded once.
            rewards[state, action] = float(sum(Fraction(float(p)) * Fraction(float(r)) for p, _, r, _ in outcomes))
            for probability, target, _, terminated in outcomes:
                entries.append((state, action, n_states if terminated else int(target), float(probability)))
    matrix = _merge(entries, n_states + 1, n_actions)
    start = None if initial is None else np.append(np.asarray(initial, dtype=np.float64), 0.0)
    return MDP(_layout(matrix, n_states + 1, n_actions), rewards, discount, start, available, grid)


def _merge(entries: list[tuple[int, int, int, float]], n_states: int, n_actions: int) -> sparse.csr_array:
    """CSR transitions from (state, action, next state, probability); duplicates are added up, zeros dropped."""
    state, action, target, probability = (np.array(column) for column in zip(*entries, strict=True))
    shape = (n_states * n_actions, n_states)
    matrix = sparse.csr_array(sparse.coo_array((probability, (state * n_actions + action, target)), shape=shape))
    matrix.eliminate_zeros()
    return matrix


def _layout(matrix: sparse.csr_array, n_states: int, n_actions: int) -> np.ndarray | sparse.csr_array:
    """Dense where that is small, CSR otherwise."""
    if n_states * n_actions * n_states > _DENSE_ENTRIES:
        return matrix
    return matrix.toarray().reshape(n_states, n_actions, n_states)


def _grid_of(model: Any, n_states: int) -> tuple[int, int] | None:
    """The grid that an environment declares, if its cells are its states."""
    sides = getattr(model, "shape", None) or (getattr(model, "nrow", 0), getattr(model, "ncol", 0))
    if len(sides) != 2:
        return None
    rows, columns = int(sides[0]), int(sides[1])
    return (rows, columns) if rows * columns == n_states else None


def _unknown_environment(id: str, registration: Any, version: str) -> str:
    """Why `id` is unknown, and what to ask for instead."""
    newest: dict[str, tuple[int, str]] = {}
    for known, spec in registration.registry.items():
        name = f"{spec.namespace}/{spec.name}" if spec.namespace else spec.name
        newest[name] = max(newest.get(name, (-1, known)), (spec.version or 0, known))
    name = id.rsplit("-v", 1)[0]
    message = f"{id!r} is not registered in Gymnasium {version}."
    if name in newest:
        return f"{message} The newest registered version is {newest[name][1]!r}."
    close = difflib.get_close_matches(name, newest, n=3)
    if close:
        return f"{message} Did you mean {' or '.join(repr(newest[match][1]) for match in close)}?"
    return f"{message} Expected an id such as 'FrozenLake-v1', 'Taxi-v4' or 'CliffWalking-v1'."
