"""What finished and unfinished runs have to show: their evaluations, grouped into what may be averaged.

Runs are seeds of the same thing when they share environment, preset and every setting that the learner depends on.
Two runs of one preset with different values of beta are therefore two groups, and their labels say in what they differ.
"""

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from deep import log, runs
from deep.config import Config
from deep.errors import InvalidRun

# What says where a run is, how long it is and how closely it is watched, but not what it learns.
BOOKKEEPING = frozenset(
    {
        "environment",
        "preset",
        "seed",
        "steps",
        "evaluate_every",
        "evaluation_episodes",
        "log_every",
        "checkpoint_every",
    }
)


class Result(NamedTuple):
    """The evaluations of one run: steps (T,), the returns of their E episodes (T, E), and returns of random actions."""

    folder: Path
    config: Config
    steps: Int64[np.ndarray, " T"]
    returns: Float64[np.ndarray, "T E"]
    random: Float64[np.ndarray, " K"]
    """Returns of the K training episodes that ended within the warm-up, whose actions are uniform on the action box."""

    @property
    def means(self) -> dict[int, float]:
        """The mean return of each evaluation, by its step."""
        return dict(zip(self.steps.tolist(), self.returns.mean(axis=1).tolist(), strict=True))


class Group(NamedTuple):
    """The seeds of one thing: same environment, same preset, same settings of the learner."""

    environment: str
    label: str
    runs: tuple[Result, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, in order."""
        return tuple(run.config.seed for run in self.runs)


def folders(paths: Sequence[Path]) -> list[Path]:
    """Each path that is a run folder, and the run folders below each path that is none; every folder once, in order.

    InvalidRun for a path that neither is a run folder nor holds one.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        inside = [path] if (path / "config.json").exists() else sorted(one.parent for one in path.rglob("config.json"))
        if not inside:
            raise InvalidRun(f"{path} is not a run folder and holds none: expected a config.json in it or below it")
        for folder in inside:
            found.setdefault(folder.resolve(), folder)
    return list(found.values())


def read(folder: Path) -> Result:
    """The evaluations of one run; InvalidRun if it has none yet."""
    config = runs.settings(folder)
    lines = log.read(folder)
    evaluations = [line for line in lines if "evaluation/returns" in line]
    if not evaluations:
        raise InvalidRun(f"{folder}: nothing to show, the run has no evaluation yet")
    random = [
        line["charts/episodic_return"]
        for line in lines
        if line["step"] <= config.warmup_steps and "charts/episodic_return" in line
    ]
    steps = np.array([line["step"] for line in evaluations], np.int64)
    returns = np.array([line["evaluation/returns"] for line in evaluations], np.float64)
    return Result(folder, config, steps, returns, np.array(random, np.float64))


def groups(results: Sequence[Result]) -> list[Group]:
    """The runs sorted into groups, by environment and label; the runs of a group by seed.

    InvalidRun when two of them are the same run twice: counted as two seeds, they would feign certainty.
    """
    alike: dict[tuple[str, str], dict[tuple[Any, ...], list[Result]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        alike[result.config.environment, result.config.preset][tuple(_identity(result.config).values())].append(result)
    found = []
    for (environment, preset), variants in alike.items():
        identities = [_identity(members[0].config) for members in variants.values()]
        differing = [name for name in identities[0] if len({one[name] for one in identities}) > 1]
        for identity, members in zip(identities, variants.values(), strict=True):
            said = ", ".join(f"{name}={_short(identity[name])}" for name in differing)
            ordered = sorted(members, key=lambda run: run.config.seed)
            for one, other in itertools.pairwise(ordered):
                if one.config.seed == other.config.seed:
                    raise InvalidRun(
                        f"{one.folder} and {other.folder} are both seed {one.config.seed} of {preset} on {environment} "
                        "with equal settings: the same run twice; name one of them"
                    )
            found.append(Group(environment, f"{preset} ({said})" if said else preset, tuple(ordered)))
    return sorted(found, key=lambda group: (group.environment, group.label))


def _identity(config: Config) -> dict[str, Any]:
    """The settings that a group shares."""
    names = (field.name for field in dataclasses.fields(config))
    return {name: getattr(config, name) for name in names if name not in BOOKKEEPING}


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value).lower()
