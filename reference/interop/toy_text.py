"""Gymnasium's toy text: the table `P[s][a] = [(probability, next state, reward, terminated), ...]`, both ways.

Source: Gymnasium, `gymnasium.envs.toy_text` (the attribute `P` of FrozenLake, CliffWalking and Taxi).
"""

import difflib
import importlib
import operator
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from reference.layout import laid_out, merged
from reference.mdp import MDP, InvalidMDP

__all__ = ["from_gymnasium", "from_gymnasium_table", "to_gymnasium_table"]

Outcome = tuple[float, int, float, bool]


def from_gymnasium(id: str, discount: float, **kwargs: Any) -> MDP:
    """The MDP inside a Gymnasium toy-text environment (`FrozenLake-v1`, `Taxi-v4`, `CliffWalking-v1`, ...).

    Read from `env.unwrapped.P` by `from_gymnasium_table`. Time limits are no part of `P` and are left out. `kwargs` go
    to `gymnasium.make`.

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
        start = getattr(model, "initial_state_distrib", None)
        return from_gymnasium_table(table, discount, start, _grid_of(model, len(table)))
    finally:
        environment.close()


def from_gymnasium_table(
    table: Mapping[Any, Mapping[Any, Any]],
    discount: float,
    initial: npt.ArrayLike | None = None,
    grid: tuple[int, int] | None = None,
) -> MDP:
    """The MDP of `table[s][a] = [(probability, next state, reward, terminated), ...]`; states keep their numbers.

    A transition marked `terminated` leads to its next state if that is an end itself: one action, itself as its only
    successor, terminated, reward 0. Every other one leads to one absorbing state with a single action that is added at
    the end (the tables of FrozenLake and Taxi would let the episode go on). Successors named twice are merged. The
    reward of a pair is its expectation, computed exactly and rounded once; where all outcomes pay the same it is that.
    Actions that a state lacks are unavailable there. `initial` is over the states of the table.

    Raises `InvalidMDP`, naming state and action, if the table is not of this form.
    """
    n_states, n_actions = _sizes(table)
    outcomes = {(s, int(a)): _outcomes(table[s][a], s, a, n_states) for s in range(n_states) for a in table[s]}
    ends = [len(table[s]) == 1 and all(_stays(outcomes[s, a], s) for a in table[s]) for s in range(n_states)]
    entries: list[tuple[int, int, int, float]] = []
    rewards = np.zeros((n_states + 1, n_actions))
    available = np.zeros((n_states + 1, n_actions), dtype=np.bool_)
    cut = False
    for (state, action), listed in outcomes.items():
        available[state, action] = True
        rewards[state, action] = _expected_reward(listed, state, action)
        for probability, target, _, terminated in listed:
            leaves = terminated and not ends[target]
            cut = cut or leaves
            entries.append((state, action, n_states if leaves else target, probability))
    if cut:
        available[n_states, 0] = True
        entries.append((n_states, 0, n_states, 1.0))
    shape = (n_states + cut, n_actions)
    start = None if initial is None else np.append(np.asarray(initial, dtype=np.float64), [0.0] * cut)
    matrix = merged(zip(*entries, strict=True), shape)
    return MDP(laid_out(matrix, shape), rewards[: shape[0]], discount, start, available[: shape[0]], grid)


def to_gymnasium_table(mdp: MDP) -> dict[int, dict[int, list[Outcome]]]:
    """`P[s][a] = [(probability, next state, reward, terminated), ...]`, what `from_gymnasium_table` reads.

    Every state keeps its number; a transition is `terminated` if its next state is terminal (`MDP.terminal`); every
    outcome of a pair carries the expected reward `r(s, a)`. Reading it back returns the same floats. The table has no
    place for the discount, the initial distribution and the grid, which are arguments there, nor for an action that no
    state has and that is numbered above all others.
    """
    matrix = sparse.csr_array(mdp.matrix)
    terminal = mdp.terminal
    table: dict[int, dict[int, list[Outcome]]] = {state: {} for state in range(mdp.n_states)}
    for state, action in np.argwhere(mdp.available).tolist():
        row = state * mdp.n_actions + action
        entries = slice(matrix.indptr[row], matrix.indptr[row + 1])
        reward = float(mdp.rewards[state, action])
        table[state][action] = [
            (probability, target, reward, bool(terminal[target]))
            for probability, target in zip(matrix.data[entries].tolist(), matrix.indices[entries].tolist(), strict=True)
            if probability > 0.0
        ]
    return table


def _sizes(table: Mapping[Any, Mapping[Any, Any]]) -> tuple[int, int]:
    """`(S, A)`, or `InvalidMDP` if the keys are not 0, 1, ... or a state has no action."""
    if not table or set(table) != set(range(len(table))):
        raise InvalidMDP(f"P has the keys {_shown(table)}: expected the states 0, 1, ..., S - 1 with S >= 1.")
    for state, actions in table.items():
        if not actions or not all(isinstance(key, int | np.integer) and key >= 0 for key in actions):
            raise InvalidMDP(f"P[{state}] has the keys {_shown(actions)}: expected at least one action 0, 1, ...")
    return len(table), int(max(max(actions) for actions in table.values())) + 1


def _outcomes(listed: Any, state: int, action: Any, n_states: int) -> list[Outcome]:
    """`listed` as plain numbers, or `InvalidMDP`."""
    try:
        outcomes = [(float(p), operator.index(target), float(r), bool(end)) for p, target, r, end in listed]
    except (TypeError, ValueError) as error:
        raise InvalidMDP(
            f"P[{state}][{action}] is no list of (probability, next state, reward, terminated): {error}."
        ) from error
    if not outcomes:
        raise InvalidMDP(f"P[{state}][{action}] is empty: expected at least one (probability, next state, ...).")
    for _, target, _, _ in outcomes:
        if not 0 <= target < n_states:
            raise InvalidMDP(
                f"P[{state}][{action}] leads to state {target}: expected a state between 0 and {n_states - 1}."
            )
    return outcomes


def _stays(outcomes: Sequence[Outcome], state: int) -> bool:
    """Whether nothing follows but the same state, for nothing, at the end of the episode."""
    return all(target == state and terminated and reward == 0.0 for _, target, reward, terminated in outcomes)


def _expected_reward(outcomes: Sequence[Outcome], state: int, action: int) -> float:
    """The expectation, exact until it is rounded; a constant is its own, whatever the rounding of probabilities."""
    paid = {reward for _, _, reward, _ in outcomes}
    if len(paid) == 1:
        return paid.pop()
    try:
        return float(sum(Fraction(p) * Fraction(r) for p, _, r, _ in outcomes))
    except (ValueError, OverflowError) as error:
        raise InvalidMDP(f"P[{state}][{action}] has a number that is not finite: {error}.") from error


def _shown(keys: Any) -> str:
    shown = [repr(key) for key in list(keys)[:5]]
    return f"{{{', '.join(shown)}{', ...' if len(keys) > 5 else ''}}}"


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
