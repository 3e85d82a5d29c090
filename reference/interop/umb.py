"""UMB, the unified Markov binary that Storm, PRISM and Modest exchange: a tar of raw arrays and one JSON index.

Source: the UMB specification, format version 1 (pmc-tools.github.io/umb/spec). How an `MDP` travels:

    state s, pair (s, a)   a state; a choice of state s with choice action a, in the order of s, then a
    P[s, a, t] > 0         a branch of that choice: target t, probability of type double
    r[s, a]                the reward annotation "reward" on choices, of type double
    unavailable pair       no choice; #choice-actions is A, whether or not all are used
    mu0                    its support is the set of initial states; unless it is uniform on them, the annotation
                           "initial-distribution" of the group "process" on states holds it
    gamma, grid            {"discount": ..., "grid": [rows, columns]} in the parameters of file-data

so that `read_umb` returns the floats that `write_umb` was given. UMB itself has no place for the last two rows: tools
that read such a file and write it again (Storm, umbi) tell of themselves in file-data, and Storm drops annotations that
it does not know. Then `discount` has to be given when the file is read.
"""

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from reference.interop.archive import read_archive, write_archive
from reference.interop.choices import Choices, chosen_reward
from reference.interop.umb_arrays import Foreign, bits, contents, integers, mapping, reals, starts_of
from reference.mdp import MDP, InvalidMDP

__all__ = ["read_umb", "write_umb"]

_TOOL, _GROUP, _INITIAL, _REWARD = "roer", "process", "initial-distribution", "reward"
_ARRAYS = re.compile(
    r"index\.json|(state-to-choices|state-is-initial|choice-to-branches|branch-to-(target|probability))\.bin"
    rf"|actions/choices/values\.bin|annotations/(rewards/.*|{_GROUP}/{_INITIAL}/states)/values\.bin"
)
_DOUBLE = {"type": "double", "size": 64}


def write_umb(mdp: MDP, path: str | os.PathLike[str]) -> None:
    """Write `mdp` as a UMB archive (gzip). The file appears whole or not at all.

    Lost on the way: explicit zeros and the rows of unavailable pairs, which enter no result; dense or CSR.
    """
    matrix = sparse.csr_array(mdp.matrix)
    keep = (matrix.data > 0.0) & np.repeat(mdp.available.ravel(), np.diff(matrix.indptr))
    rows = np.repeat(np.arange(mdp.rewards.size), np.diff(matrix.indptr))[keep]
    branches = np.bincount(rows, minlength=mdp.rewards.size)[mdp.available.ravel()]
    support = mdp.initial > 0.0
    uniform = bool((mdp.initial[support] == 1.0 / support.sum()).all())
    index = {
        "format-version": 1,
        "format-revision": 0,
        "model-data": {},
        "file-data": {
            "tool": _TOOL,
            "parameters": {"discount": mdp.discount, "grid": None if mdp.grid is None else list(mdp.grid)},
        },
        "transition-system": {
            "time": "discrete", "#players": 1, "#states": mdp.n_states, "#initial-states": int(support.sum()),
            "#choices": int(mdp.available.sum()), "#choice-actions": mdp.n_actions, "#branches": int(keep.sum()),
            "#branch-actions": 0, "#observations": 0, "branch-probability-type": _DOUBLE,
        },
        "annotations": {"rewards": {_REWARD: {"alias": _REWARD, "applies-to": ["choices"], "type": _DOUBLE}}},
    }  # fmt: skip
    # A group of its own only where it is needed: umbi 0.2 reads no other group than rewards and aps into its `ats`.
    if not uniform:
        index["annotations"][_GROUP] = {_INITIAL: {"applies-to": ["states"], "type": _DOUBLE}}
    # Names of actions that no language mistakes for a number.
    names = [f"a{action}".encode() for action in range(mdp.n_actions)]
    files = {
        "index.json": json.dumps(index, indent=1, allow_nan=False).encode(),
        "state-is-initial.bin": bits(support),
        "state-to-choices.bin": starts_of(mdp.available.sum(axis=1)),
        "choice-to-branches.bin": starts_of(branches),
        "branch-to-target.bin": matrix.indices[keep].astype("<u8").tobytes(),
        "branch-to-probability.bin": matrix.data[keep].astype("<f8").tobytes(),
        "actions/choices/values.bin": np.nonzero(mdp.available)[1].astype("<u4").tobytes(),
        "actions/choices/string-mapping.bin": starts_of(np.array([len(name) for name in names])),
        "actions/choices/strings.bin": b"".join(names),
        f"annotations/rewards/{_REWARD}/choices/values.bin": mdp.rewards[mdp.available].astype("<f8").tobytes(),
    }
    if not uniform:
        files[f"annotations/{_GROUP}/{_INITIAL}/states/values.bin"] = mdp.initial.astype("<f8").tobytes()
    write_archive(path, files)


def read_umb(path: str | os.PathLike[str], discount: float | None = None, reward: str | None = None) -> MDP:
    """The MDP in a UMB archive, of whatever tool.

    A DTMC is an MDP with one action. `r(s, a)` is the reward of the state, plus that of the choice, plus the mean of
    that of its branches, all paid when the choice is made. `reward` names the reward annotation (not needed if there is
    one). `discount` replaces that of the file, and must be given where the file has none. Rational numbers are
    rounded once. The first state is uniform over the initial states, and over all if there are none, unless the file
    has a distribution. How choices become actions: `reference.interop.choices`.

    Raises `InvalidMDP` for an archive that is damaged, hostile or not of one player in discrete time without
    observations, and for a state without a choice; `FileNotFoundError` and other `OSError` keep their names.
    """
    with _named(path):
        files = read_archive(Path(path), lambda name: _ARRAYS.fullmatch(name) is not None)
        index = _index(files)
        sizes = _sizes(index)
        choices = _choices(files, index, sizes, reward)
        stored, grid = _parameters(index)
        if discount is None:
            discount = stored
        if discount is None:
            raise Foreign("has no discount, and none was given: give one, such as 0.99")
        return choices.to_mdp(discount, _initial(files, index, sizes), grid)


@contextlib.contextmanager
def _named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Every refusal becomes an `InvalidMDP` that begins with the name of the file."""
    try:
        yield
    except MemoryError:
        raise
    except Foreign as error:
        raise InvalidMDP(f"{path}: {error}. Expected a UMB archive of an MDP, format version 1.") from error
    except (ValueError, TypeError) as error:
        message = str(error)
        raise InvalidMDP(message if message.startswith(str(path)) else f"{path}: {message}") from error


def _index(files: dict[str, bytes]) -> dict[str, Any]:
    if "index.json" not in files:
        raise Foreign("has no index.json")
    try:
        index = json.loads(files["index.json"].decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Foreign(f"has an index.json that is no JSON ({type(error).__name__}: {error})") from error
    version = index.get("format-version") if isinstance(index, dict) else None
    if version != 1:
        raise Foreign(f"is of format version {version!r}, expected 1")
    return index


def _sizes(index: dict[str, Any]) -> dict[str, int]:
    """The counts of the index, if it describes an MDP or a DTMC."""
    system = index.get("transition-system")
    if not isinstance(system, dict):
        raise Foreign("has an index without a transition-system")
    sizes = {}
    names = ["players", "states", "initial-states", "choices", "choice-actions", "branches", "observations"]
    for name in names:
        value = system.get(f"#{name}")
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
            raise Foreign(f"has #{name} = {value!r}, expected a whole number of at least 0")
        sizes[name] = value
    if system.get("time") != "discrete" or sizes["players"] > 1 or sizes["observations"] > 0:
        raise Foreign(
            f"is a model in {system.get('time')} time with {sizes['players']} players and {sizes['observations']} "
            "observations, expected discrete time, at most one player and no observations"
        )
    if min(sizes["states"], sizes["choices"], sizes["branches"]) < 1:
        raise Foreign("has no states, no choices or no branches")
    if not isinstance(system.get("branch-probability-type"), dict):
        raise Foreign("has no branch-probability-type: its branches have no probabilities")
    return sizes


def _choices(files: dict[str, bytes], index: dict[str, Any], sizes: dict[str, int], reward: str | None) -> Choices:
    n_states, n_choices, n_branches = sizes["states"], sizes["choices"], sizes["branches"]
    # First what is as long as there are branches: no count of the index is believed before a file of that size is seen.
    target = integers(files, "branch-to-target.bin", "<u8", n_branches, n_states)
    kind = index["transition-system"]["branch-probability-type"]
    probability = reals(files, "branch-to-probability.bin", kind, n_branches)
    branch_starts = mapping(files, "choice-to-branches.bin", n_choices, n_branches)
    starts = mapping(files, "state-to-choices.bin", n_states, n_choices)
    choice = np.repeat(np.arange(n_choices), np.diff(branch_starts))
    actions = None
    if sizes["choice-actions"] > 0 and "actions/choices/values.bin" in files:
        actions = integers(files, "actions/choices/values.bin", "<u4", n_choices, sizes["choice-actions"])
    rewards = np.zeros(n_choices)
    for entity, values in _rewards(files, index, sizes, reward).items():
        if entity == "choices":
            rewards = rewards + values
        elif entity == "states":
            rewards = rewards + np.repeat(values, np.diff(starts))
        else:
            rewards = rewards + np.bincount(choice, probability * values, minlength=n_choices)
    return Choices(starts, actions, sizes["choice-actions"], choice, target, probability, rewards)


def _rewards(
    files: dict[str, bytes], index: dict[str, Any], sizes: dict[str, int], name: str | None
) -> dict[str, np.ndarray]:
    """The values of one reward annotation, for each kind of entity that it applies to."""
    known = _mapped(_mapped(index, "annotations"), "rewards")
    named = {key: key for key in known}
    for key in known:
        alias = _mapped(known, key).get("alias")
        if isinstance(alias, str):
            named.setdefault(alias, key)
    key = named[chosen_reward(known if name is None else named, name)]
    entry = _mapped(known, key)
    entities = entry.get("applies-to")
    if not isinstance(entities, list) or not entities or not set(entities) <= {"states", "choices", "branches"}:
        raise Foreign(f"has rewards {key!r} that apply to {entities!r}, expected states, choices or branches")
    return {
        entity: reals(files, f"annotations/rewards/{key}/{entity}/values.bin", entry.get("type"), sizes[entity])
        for entity in entities
    }


def _initial(files: dict[str, bytes], index: dict[str, Any], sizes: dict[str, int]) -> np.ndarray | None:
    """The initial distribution: that of the annotation, or uniform over the initial states, or None."""
    n_states, n_initial = sizes["states"], sizes["initial-states"]
    annotation = _mapped(_mapped(index, "annotations"), _GROUP).get(_INITIAL)
    if isinstance(annotation, dict):
        return reals(files, f"annotations/{_GROUP}/{_INITIAL}/states/values.bin", annotation.get("type"), n_states)
    if n_initial == 0:
        return None
    data = contents(files, "state-is-initial.bin", 8 * -(-n_states // 64))
    is_initial = np.unpackbits(np.frombuffer(data, dtype=np.uint8), bitorder="little")[:n_states] > 0
    if is_initial.sum() != n_initial:
        raise Foreign(f"marks {is_initial.sum()} states as initial, expected {n_initial}")
    return is_initial / n_initial


def _parameters(index: dict[str, Any]) -> tuple[float | None, tuple[int, int] | None]:
    """The discount and the grid that `write_umb` leaves in the index; nothing if another tool wrote it."""
    data = _mapped(index, "file-data")
    parameters = _mapped(data, "parameters") if data.get("tool") == _TOOL else {}
    discount, grid = parameters.get("discount"), parameters.get("grid")
    if discount is not None and not isinstance(discount, float):
        raise Foreign(f"has the discount {discount!r}, expected a number such as 0.99")
    if grid is not None and not (isinstance(grid, list) and [type(side) for side in grid] == [int, int]):
        raise Foreign(f"has the grid {grid!r}, expected two whole numbers")
    return discount, None if grid is None else (grid[0], grid[1])


def _mapped(parent: dict[str, Any], key: str) -> dict[str, Any]:
    """The JSON object under `key`, or an empty one."""
    value = parent.get(key)
    return value if isinstance(value, dict) else {}
