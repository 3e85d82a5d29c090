"""Recorded transitions: read from an ``.npz`` file or a Minari data set, checked, and turned into the learner's units.

The file holds plain arrays of N rows, in the order in which they were made:

    observations       (N, ...)  flat, or with the shape of the environment's Box
    actions            (N, U)    in the environment's own units, inside its box
    rewards            (N,)
    next_observations  (N, ...)  the true successors
    terminations       (N,)      1 where the successor ends the task (D4RL: ``terminals``)
    truncations        (N,)      1 where an episode was cut off there (D4RL: ``timeouts``); optional with successors

Without ``next_observations`` the rows are read as D4RL (Fu et al. 2020, arXiv:2004.07219) stores episodes: the
successor of a row is the observation of the next one. Then ``truncations`` are needed, because the successor at an end
is not in the file: a row that terminated keeps its own observation in that place, which no target reads, and a row that
was cut off is left out.

An action may lie outside its box by the rounding of float32, and is clipped; further out it is an error. Nothing
pickled is ever opened.
"""

import io
import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32
from numpy.typing import NDArray

from deep.environments import Environment
from deep.errors import InvalidData
from deep.files import write_atomically
from deep.spaces import Rescaling

__all__ = ["Transitions", "joined", "read", "read_minari", "read_npz", "write"]

MINARI = "minari:"
ALIASES = {"terminations": "terminals", "truncations": "timeouts"}
REQUIRED = ("observations", "actions", "rewards", "terminations")

ROUNDINGS = 4


class Transitions(NamedTuple):
    """N steps in the learner's units, in order.

    ``ended`` is True where the next row does not continue this one: it terminated, was truncated, is the last, or its
    successor is not the observation of the next row. Returns of several steps must stop there.
    """

    observation: Float32[np.ndarray, "N O"]
    action: Float32[np.ndarray, "N U"]
    reward: Float32[np.ndarray, " N"]
    next_observation: Float32[np.ndarray, "N O"]
    terminated: Bool[np.ndarray, " N"]
    truncated: Bool[np.ndarray, " N"]
    ended: Bool[np.ndarray, " N"]


def read(source: str, environment: Environment, reward_shift: float = 0.0) -> Transitions:
    """The transitions of "minari:ID", or of the file of that name; see :func:`read_npz`."""
    if source.startswith(MINARI):
        return read_minari(source.removeprefix(MINARI), environment, reward_shift)
    return read_npz(Path(source), environment, reward_shift)


def read_npz(path: Path, environment: Environment, reward_shift: float = 0.0) -> Transitions:
    """The transitions of a file, checked against the environment that they are to be used for.

    ``reward_shift`` is added to every reward (-1 for AntMaze makes each step cost one until the goal ends the task);
    the session must add it to the rewards of its own steps as well. InvalidData names the key, the row, and what was
    expected.
    """
    arrays = _loaded(path)
    for key, alias in ALIASES.items():
        if key not in arrays and alias in arrays:
            arrays[key] = arrays.pop(alias)
    missing = [key for key in REQUIRED if key not in arrays]
    if missing:
        hint = " ('dones' mixes terminations with time limits, which must be told apart)" if "dones" in arrays else ""
        raise InvalidData(f"{path}: no array {missing[0]!r}{hint}; expected {', '.join(REQUIRED)}, saw {_keys(arrays)}")
    count = len(arrays["rewards"]) if arrays["rewards"].ndim else 0
    if count == 0:
        raise InvalidData(f"{path}: 'rewards' has the shape {arrays['rewards'].shape}; expected (N,) with N at least 1")
    columns = {
        key: _column(path, key, arrays[key], count, width)
        for key, width in _widths(environment).items()
        if key in arrays
    }
    terminated = _flags(path, "terminations", columns["terminations"])
    if "truncations" in columns:
        truncated = _flags(path, "truncations", columns["truncations"])
    elif "next_observations" in columns:
        truncated = np.zeros(count, bool)
    else:
        raise InvalidData(
            f"{path}: neither 'next_observations' nor 'truncations' (or 'timeouts'): where an episode ends is unknown, "
            "and the first observation of one would pass for the successor of the one before; add either"
        )
    reward, observation = columns["rewards"][:, 0], columns["observations"]
    successor = columns.get("next_observations")
    if successor is None:
        successor = np.concatenate([observation[1:], observation[-1:]])
        successor[terminated] = observation[terminated]
        truncated[-1] = True  # the successor of the last row is not in the file
        kept = terminated | ~truncated
        if not kept.any():
            raise InvalidData(f"{path}: every row is the last of its episode, and none has a successor")
        truncated |= np.append(~kept[1:], False) & ~terminated  # the episode now ends where a row was left out
    else:
        kept = np.ones(count, bool)
    actions = _in_units(str(path), environment, columns["actions"])
    rows = (observation, actions, reward + reward_shift, successor, terminated, truncated)
    return joined(*(column[kept] for column in rows))


def read_minari(identifier: str, environment: Environment, reward_shift: float = 0.0) -> Transitions:
    """The transitions of a Minari data set that is on this machine; nothing is downloaded.

    Structured observations are laid end to end as the environment's are. InvalidData where it is not here, and as for
    :func:`read_npz`; the extra ``offline`` brings Minari.
    """
    try:
        import minari
    except ModuleNotFoundError as error:
        raise InvalidData(
            f'{MINARI}{identifier} needs {error.name}, which is not installed: pip install "roer[offline]"'
        ) from error
    source = f"{MINARI}{identifier}"
    try:
        episodes = list(minari.load_dataset(identifier, download=False).iterate_episodes())
    except ImportError as error:
        raise InvalidData(f'{source}: {error}: pip install "roer[offline]"') from error
    except (FileNotFoundError, ValueError) as error:
        known = ", ".join(minari.list_local_datasets()) or "none"
        raise InvalidData(
            f"{source}: not on this machine, or damaged ({error}). Here are: {known}. "
            f"Get it with: minari download {identifier}"
        ) from error
    parts: list[tuple[NDArray[Any], ...]] = []
    for number, episode in enumerate(episodes):
        steps, place = len(episode.rewards), f"{source}, episode {number}"
        try:
            observed = environment.observations.rows(episode.observations, steps + 1)
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise InvalidData(
                f"{place}: expected {steps + 1} observations of the form {environment.inner.observation_space}, which "
                f"{environment.name} has: {error}"
            ) from error
        observed = _column(place, "observations", observed, steps + 1, environment.observation_size)
        actions = _column(place, "actions", np.asarray(episode.actions), steps, environment.action_size)
        rewards = _column(place, "rewards", np.asarray(episode.rewards), steps, 1)[:, 0]
        terminated, truncated = np.array(episode.terminations, bool), np.array(episode.truncations, bool)
        truncated[-1:] |= ~terminated[-1:]  # an episode ends with its last step, whether or not that was recorded
        parts.append((observed[:-1], actions, rewards + reward_shift, observed[1:], terminated, truncated))
    if not any(len(part[2]) for part in parts):
        raise InvalidData(f"{source}: has no steps")
    observation, actions, reward, successor, terminated, truncated = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    units = _in_units(source, environment, actions)
    return joined(observation, units, reward, successor, terminated, truncated)


def write(path: Path, transitions: Transitions, environment: Environment) -> None:
    """Record transitions as a file that :func:`read_npz` reads, atomically; actions in the environment's units.

    Actions are written in float64, so that reading gives back the learner's float32 actions: bit for bit in a box
    around zero, to one rounding elsewhere.
    """
    scale = _scale(environment)
    arrays = {
        "observations": transitions.observation,
        "actions": (scale.centre + scale.half * transitions.action.astype(np.float64)).reshape(-1, *scale.shape),
        "rewards": transitions.reward,
        "next_observations": transitions.next_observation,
        "terminations": transitions.terminated,
        "truncations": transitions.truncated,
    }
    contents = io.BytesIO()
    np.savez_compressed(contents, allow_pickle=False, **arrays)
    write_atomically(path, contents.getvalue())


def joined(
    observation: Float32[np.ndarray, "N O"],
    action: Float32[np.ndarray, "N U"],
    reward: Float32[np.ndarray, " N"],
    successor: Float32[np.ndarray, "N O"],
    terminated: Bool[np.ndarray, " N"],
    truncated: Bool[np.ndarray, " N"],
) -> Transitions:
    """Rows in order; where one ends the run of rows is found by looking whether the next one continues it."""
    torn = (successor[:-1] != observation[1:]).any(axis=1)
    ended = terminated | truncated | np.append(torn, np.ones(min(1, len(reward)), bool))
    return Transitions(observation, action, reward, successor, terminated, truncated, ended)


def _loaded(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of the file that have a meaning here, and empty ones in place of the rest."""
    wanted = {*REQUIRED, "next_observations", "truncations", *ALIASES.values()}
    key, arrays = "", {}
    try:
        with open(path, "rb") as file:  # NumPy leaves a handle of its own open where the archive is damaged
            held = np.load(file, allow_pickle=False)
            for key in held.files if isinstance(held, np.lib.npyio.NpzFile) else ():
                arrays[key] = held[key] if key in wanted else np.empty(0)
    except FileNotFoundError as error:
        raise InvalidData(f"{path}: no such file; expected an .npz file of transitions, or {MINARI}ID") from error
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        at = f" at {key!r}" if key else ""
        raise InvalidData(
            f"{path}: cannot be read{at} ({error}); expected an .npz file of plain numeric arrays, never pickled ones"
        ) from error
    if not arrays:
        raise InvalidData(f"{path}: holds no named arrays; expected an .npz file with {', '.join(REQUIRED)}")
    return arrays


def _widths(environment: Environment) -> dict[str, int]:
    observation, action = environment.observation_size, environment.action_size
    return {
        "observations": observation,
        "actions": action,
        "rewards": 1,
        "next_observations": observation,
        "terminations": 1,
        "truncations": 1,
    }


def _column(place: str | Path, key: str, array: NDArray[Any], count: int, width: int) -> NDArray[Any]:
    """The array as (count, width) floats, actions in float64; InvalidData names what is not finite, and where."""
    if array.dtype.kind not in "biuf":
        raise InvalidData(f"{place}: {key!r} holds {array.dtype}; expected numbers")
    if not array.ndim or len(array) != count or array.size != count * width:
        expected = f"({count},)" if width == 1 else f"({count}, {width})"
        raise InvalidData(
            f"{place}: {key!r} has the shape {array.shape}; expected {expected}: {count} rows for this environment"
        )
    with np.errstate(over="ignore"):
        rows = array.reshape(count, width).astype(np.float64 if key == "actions" else np.float32)
    if not np.isfinite(rows).all():
        row, at = np.argwhere(~np.isfinite(rows))[0]
        raise InvalidData(f"{place}: {key}[{row}, {at}] is {rows[row, at]}; expected finite float32 numbers")
    return rows


def _flags(path: Path, key: str, rows: NDArray[Any]) -> Bool[np.ndarray, " N"]:
    wrong = np.flatnonzero((rows != 0) & (rows != 1))
    if wrong.size:
        raise InvalidData(f"{path}: {key}[{wrong[0]}] is {rows.flat[wrong[0]]}; expected 0 or 1")
    return rows[:, 0] == 1


def _scale(environment: Environment) -> Rescaling:
    if not isinstance(environment.actions, Rescaling):
        raise InvalidData(f"{environment.name}: recorded transitions need continuous actions, these are discrete")
    return environment.actions


def _in_units(source: str, environment: Environment, actions: NDArray[Any]) -> Float32[np.ndarray, "N U"]:
    """Actions in [-1, 1]; InvalidData says by how much the worst lies outside its box."""
    scale = _scale(environment)
    excess = np.maximum(scale.low - actions, actions - scale.high)
    # Whoever recorded them rescaled in float32: a few roundings of a number as large as the bounds.
    rounding = ROUNDINGS * np.spacing(np.maximum(np.abs(scale.low), np.abs(scale.high)).astype(np.float32))
    if (excess > rounding).any():
        row, at = np.unravel_index(int(np.argmax(excess - rounding)), excess.shape)
        raise InvalidData(
            f"{source}: actions[{row}, {at}] is {actions[row, at]}, outside [{scale.low[at]}, {scale.high[at]}] of "
            f"{environment.name} by {excess[row, at]:.3g} ({int((excess > rounding).any(1).sum())} of {len(actions)} "
            "rows are outside). Expected actions as the environment takes them, not rescaled ones; clip them if "
            "the environment did"
        )
    return scale.decode(actions.reshape(-1, *scale.shape))


def _keys(arrays: dict[str, NDArray[Any]]) -> str:
    return ", ".join(sorted(arrays)) or "nothing"
