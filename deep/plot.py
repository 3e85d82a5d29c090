"""Learning curves from run folders: return against environment steps, one line for each (environment, preset).

Over the seeds of a group the line is the interquartile mean of the evaluations' mean returns and the band its 95 %
bootstrap interval; for a single run the band spans the interquartile range of each evaluation's episodes.
"""

import os
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from deep import log, runs
from deep.errors import InvalidRun
from deep.statistics import bootstrap


class Curve(NamedTuple):
    """A run's evaluations: steps (T,) and the returns of their E episodes (T, E)."""

    label: str
    seed: int
    steps: np.ndarray
    returns: Float64[np.ndarray, "T E"]


def read(folder: Path) -> Curve:
    """The evaluations of one run; InvalidRun if it has none yet."""
    config = runs.settings(folder)
    lines = [line for line in log.read(folder) if "evaluation/returns" in line]
    if not lines:
        raise InvalidRun(f"{folder}: nothing to plot, the run has no evaluation yet")
    steps = np.array([line["step"] for line in lines])
    returns = np.array([line["evaluation/returns"] for line in lines], np.float64)
    return Curve(f"{config.environment}, {config.preset}", config.seed, steps, returns)


def curves(folders: list[Path], axes: Any = None) -> Any:
    """Draw the runs into ``axes`` (new ones if None) and return the axes."""
    if axes is None:
        from matplotlib.figure import Figure

        axes = Figure(figsize=(7, 4.5), layout="constrained").subplots()
    groups: dict[str, list[Curve]] = defaultdict(list)
    for folder in folders:
        curve = read(folder)
        groups[curve.label].append(curve)
    for label, group in sorted(groups.items()):
        steps, middle, low, high = _summary(group)
        (line,) = axes.plot(steps, middle, label=f"{label} ({_seeds(group)})", marker="o" if steps.size == 1 else None)
        axes.fill_between(steps, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    axes.set_xlabel("environment steps")
    axes.set_ylabel("return of the evaluation episodes")
    axes.grid(alpha=0.3)
    axes.legend()
    return axes


def save(axes: Any, path: Path) -> None:
    """Write the figure of ``axes``; the ending chooses the format. InvalidRun when it cannot be written."""
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        axes.figure.savefig(partial, dpi=150)
        os.replace(partial, path)
    except (OSError, ValueError) as error:
        partial.unlink(missing_ok=True)
        raise InvalidRun(f"cannot write the figure {path}: {error}") from error


def _summary(group: list[Curve]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    if len(group) == 1:
        (curve,) = group
        low, high = np.percentile(curve.returns, [25, 75], axis=1)
        return curve.steps, curve.returns.mean(axis=1), low, high
    means = [dict(zip(curve.steps.tolist(), curve.returns.mean(axis=1), strict=True)) for curve in group]
    # Only steps that every run has reached: a mean over a changing set of runs would bend for no reason.
    common = sorted(set.intersection(*(set(one) for one in means)))
    if not common:
        raise InvalidRun(
            f"{group[0].label}: its {len(group)} runs share no evaluation step, so they have no common curve"
        )
    intervals = [bootstrap(np.array([one[step] for one in means])) for step in common]
    middle, low, high = np.array(intervals).T
    return np.array(common), middle, low, high


def _seeds(group: list[Curve]) -> str:
    return f"seed {group[0].seed}" if len(group) == 1 else f"{len(group)} runs"
