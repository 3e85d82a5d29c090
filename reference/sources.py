"""What a command line may name: a decision process, a policy.

FrozenLake-v1                      a Gymnasium toy-text id (needs the `show` extra)
recycling-robot                    a case of `reference.library.named()`, with exact values known
garnet:STATES,ACTIONS,BRANCHING,SEED
gridworld:ROWS,COLUMNS   cliff:ROWS,COLUMNS   chain:STATES
process.npz                        a file written by `MDP.save`
process.umb                        a UMB archive of whatever tool (`reference.interop.umb`)
process.prism, .nm, .pm            a program in PRISM's language (needs stormpy)
"""

import difflib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from reference import library, planning
from reference.interop.storm import read_prism
from reference.interop.umb import read_umb, write_umb
from reference.mdp import MDP

__all__ = ["FAMILIES", "load_mdp", "load_policy", "save_mdp", "uniform_policy"]

_PRISM = (".prism", ".nm", ".pm")

_DENSE_STATES = 300  # a random process with more states is kept sparse


class Family(NamedTuple):
    """A parametrised process: the names of its integers, and what builds it from them and a discount."""

    parameters: str
    build: Callable[..., MDP]


def _garnet(states: int, actions: int, branching: int, seed: int, discount: float) -> MDP:
    return library.garnet(states, actions, branching, seed, discount, sparse_rows=states > _DENSE_STATES)


FAMILIES = {
    "garnet": Family("STATES,ACTIONS,BRANCHING,SEED", _garnet),
    "gridworld": Family("ROWS,COLUMNS", library.gridworld),
    "cliff": Family("ROWS,COLUMNS", library.cliff),
    "chain": Family("STATES", library.chain),
}


def load_mdp(name: str, discount: float | None = None, reward: str | None = None) -> MDP:
    """The process that `name` stands for. `discount` replaces that of a file or named case; the rest get 0.99.

    The files of model checkers have no discount: it must be given. `reward` chooses among their reward models.
    ValueError (OSError for a path that cannot be read) says what is known, nearest names first.
    """
    suffix = Path(name).suffix
    if Path(name).is_dir():
        raise ValueError(f"{name} is a folder: expected a file, such as process.npz or process.umb")
    if suffix == ".umb":
        return read_umb(name, discount, reward)
    if suffix in _PRISM:
        if discount is None:
            raise ValueError(f"{name} has no discount, and none was given: give one, such as 0.99")
        return read_prism(name, discount, reward)
    if reward is not None:
        raise ValueError(f"{name} has one reward: expected no reward model, saw {reward!r}")
    if name.endswith(".npz") or Path(name).is_file():
        mdp = MDP.load(name)
        return mdp if discount is None else mdp.with_discount(discount)
    cases = library.named()
    if name in cases:
        return cases[name].mdp if discount is None else cases[name].mdp.with_discount(discount)
    family, colon, numbers = name.partition(":")
    if colon and family in FAMILIES:
        return _member(name, family, numbers, 0.99 if discount is None else discount)
    if not re.search(r"-v\d+$", name):
        known = [*cases, *(f"{family}:{value.parameters}" for family, value in FAMILIES.items())]
        close = difflib.get_close_matches(name.lower(), [*cases, *FAMILIES], n=3)
        if close or colon or "/" in name or "." in name:
            hint = f"Did you mean {' or '.join(close)}? " if close else ""
            raise ValueError(
                f"unknown process {name!r}: it is no file and no known name. {hint}Expected a Gymnasium toy-text id "
                f"such as FrozenLake-v1, an .npz, .umb or .prism file, or one of {', '.join(known)}"
            )
    return library.from_gymnasium(name, 0.99 if discount is None else discount)


def _member(name: str, family: str, numbers: str, discount: float) -> MDP:
    parameters = FAMILIES[family].parameters
    parts = numbers.split(",")
    if len(parts) != parameters.count(",") + 1 or not all(re.fullmatch(r"-?\d+", part.strip()) for part in parts):
        raise ValueError(f"cannot read {name!r}: expected {family}:{parameters} in whole numbers")
    values = [int(part) for part in parts]
    sizes = values[:-1] if family == "garnet" else values
    if min(sizes) < 1 or min(values) < 0:
        raise ValueError(f"cannot build {name!r}: expected {parameters} of at least 1 (a seed may be 0)")
    return FAMILIES[family].build(*values, discount=discount)


def save_mdp(mdp: MDP, file: str) -> None:
    """Write `mdp` in the format that the name asks for, `.npz` or `.umb`: whole, or not at all."""
    if file.endswith(".npz"):
        mdp.save(file)
    elif file.endswith(".umb"):
        write_umb(mdp, file)
    else:
        raise ValueError(f"cannot write {file!r}: expected a name that ends in .npz or .umb")


def uniform_policy(mdp: MDP) -> Float64[np.ndarray, "S A"]:
    """Every available action equally likely."""
    return mdp.available / mdp.available.sum(axis=1, keepdims=True)


def load_policy(source: str, mdp: MDP) -> Float64[np.ndarray, "S A"]:
    """`uniform`, `optimal`, or a file: `.npy` with an array `(S, A)`, `.json` with such a list alone or under `policy`.

    The output of `solve --json` is such a file. ValueError if the file holds no policy; whether it is one of this `mdp`
    is for the solvers to check.
    """
    if source == "uniform":
        return uniform_policy(mdp)
    if source == "optimal":
        return planning.solve(mdp).policy
    path = Path(source)
    if path.suffix not in (".npy", ".json"):
        raise ValueError(
            f"unknown policy {source!r}: expected uniform, optimal, a .npy file (S, A), or the .json of solve --json"
        )
    try:
        if path.suffix == ".npy":
            content = np.load(path, allow_pickle=False)
        else:
            content = json.loads(path.read_bytes())
        array = np.array(content["policy"] if isinstance(content, dict) else content, dtype=np.float64)
    except FileNotFoundError:
        raise
    except (ValueError, TypeError, KeyError, EOFError, OSError) as error:
        raise ValueError(
            f"{source} holds no policy: {type(error).__name__}: {error}. Expected (S, A) numbers"
        ) from error
    if array.shape != mdp.rewards.shape:
        raise ValueError(f"the policy in {source} has shape {array.shape}: expected (S, A) = {mdp.rewards.shape}")
    return array
