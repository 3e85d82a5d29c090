"""Models of the model checker Storm, and through it of PRISM's language.

The conventions, which are those of `reference.interop.umb` as well:

* A DTMC is an MDP with one action. Choices become actions as `reference.interop.choices` says; labels of choices count
  in alphabetical order.
* `r(s, a)` is the reward of the state, plus that of the choice, plus the mean of that of its transitions, all paid when
  the choice is made: the value is that of Storm's `R{"name"}max=? [Cdiscount=gamma]`.
* A terminal state is an ordinary state that repeats itself; what it pays is paid for ever, discounted. Storm adds such
  loops where a PRISM program stops.
* The first state is uniform over Storm's initial states, and over all if there are none.

Models in continuous time, games, partial observations and parameters are refused.
"""

import contextlib
import importlib
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from reference.interop.choices import Choices, chosen_reward
from reference.mdp import MDP

__all__ = ["from_storm", "read_prism"]


def from_storm(model: Any, discount: float, reward: str | None = None) -> MDP:
    """The MDP of a sparse stormpy model (MDP or DTMC, in floats or exact rationals, which are rounded once).

    `reward` names the reward model; it is not needed if there is one only. Raises `ValueError` for a model of another
    kind and an unknown reward model; `InvalidMDP` if the floats are no MDP.
    """
    kind = getattr(getattr(model, "model_type", None), "name", type(model).__name__)
    if kind not in ("MDP", "DTMC") or not getattr(model, "is_sparse_model", False) or model.has_parameters:
        parametric = " with parameters" if getattr(model, "has_parameters", False) else ""
        raise ValueError(f"the model is a {kind}{parametric}: expected a sparse MDP or DTMC without parameters.")
    try:
        reward = chosen_reward(model.reward_models, reward)
    except ValueError as error:
        raise ValueError(f"the model {error}") from None
    n_states, n_choices = model.nr_states, model.nr_choices
    starts = np.asarray(model.nondeterministic_choice_indices if kind == "MDP" else range(n_states + 1), dtype=np.int64)
    choice, target, probability = _entries(model.transition_matrix)
    paid = model.reward_models[reward]
    rewards = np.zeros(n_choices)
    if paid.has_state_action_rewards:
        rewards += _numbers(paid.state_action_rewards)
    if paid.has_state_rewards:
        rewards += np.repeat(_numbers(paid.state_rewards), np.diff(starts))
    if paid.has_transition_rewards:
        on_branch = {(c, t): r for c, t, r in zip(*_entries(paid.transition_rewards), strict=True)}
        earned = np.array([on_branch.get(pair, 0.0) for pair in zip(choice, target, strict=True)])
        rewards += np.bincount(choice, probability * earned, minlength=n_choices)
    actions, n_actions = _labels(model, n_choices)
    first = np.asarray(list(model.initial_states), dtype=np.int64)
    initial = np.bincount(first, minlength=n_states) / len(first) if len(first) else None
    return Choices(starts, actions, n_actions, choice, target, probability, rewards).to_mdp(discount, initial)


def read_prism(path: str | os.PathLike[str], discount: float, reward: str | None = None, constants: str = "") -> MDP:
    """The MDP that a program in PRISM's language describes, as Storm explores it from its initial states.

    `constants` defines those that the program leaves open: `"N=3,p=0.1"`. `reward` as in `from_storm`. Raises
    `ValueError`, with what Storm says, for a program that it refuses; `ModuleNotFoundError`, with the line that
    installs it, without stormpy; `OSError` for a file that cannot be read.
    """
    with Path(path).open("rb"):  # a missing or unreadable file keeps its own error
        pass
    try:
        stormpy = importlib.import_module("stormpy")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{path} needs Storm to be read, which is not installed: pip install stormpy"
        ) from error
    with _quiet():
        try:
            program = stormpy.parse_prism_program(str(path))
            if constants:
                program = stormpy.instantiate_constants(program, constants)[0]
            if program.has_undefined_constants:
                names = sorted(constant.name for constant in program.get_undefined_constants())
                given = ",".join(f"{name}=1" for name in names)
                raise ValueError(
                    f'it leaves the constants {", ".join(names)} open; give them, such as constants="{given}"'
                )
            options = stormpy.BuilderOptions()
            options.set_build_all_reward_models(True)
            options.set_build_choice_labels(True)
            model = stormpy.build_model(program, options=options)
        except Exception as error:  # Storm's exceptions have no class of their own in common
            raise ValueError(f"{path}: Storm cannot build it: {' '.join(str(error).split())}") from error
    try:
        return from_storm(model, discount, reward)
    except MemoryError:
        raise
    except ValueError as error:
        raise type(error)(f"{path}: {error}") from error


def _entries(matrix: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, column and value of each entry."""
    rows, columns, values = [], [], []
    for row in range(matrix.nr_rows):
        for entry in matrix.get_row(row):
            value = entry.value
            rows.append(row)
            columns.append(entry.column)
            values.append(value() if callable(value) else value)  # a method before stormpy 2
    return np.array(rows, dtype=np.int64), np.array(columns, dtype=np.int64), _numbers(values)


def _numbers(values: Any) -> np.ndarray:
    """Floats as they are, rationals rounded once."""
    return np.array(
        [value if isinstance(value, float) else float(Fraction(str(value))) for value in values], dtype=np.float64
    )


def _labels(model: Any, n_choices: int) -> tuple[np.ndarray | None, int]:
    """The label of each choice as a number, and how many labels there are; None if choices carry none."""
    if not model.has_choice_labeling():
        return None, 0
    labeling = model.choice_labeling
    labels = [tuple(sorted(labeling.get_labels_of_choice(choice))) for choice in range(n_choices)]
    numbers = {label: number for number, label in enumerate(sorted(set(labels)))}
    return np.array([numbers[label] for label in labels], dtype=np.int64), len(numbers)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what Storm writes past Python to standard output, its errors among it, out of the caller's answer."""
    kept = os.dup(1)
    silent = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(silent, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(silent)
