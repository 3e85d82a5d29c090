"""Learning curves from run folders: return against environment steps, a panel for each environment.

Over the seeds of a group the line is the interquartile mean (or the mean) of the evaluations' mean returns and the band
its 95 % bootstrap interval, at the steps that all of its runs have evaluated; for a single run the band spans the
interquartile range of each evaluation's episodes.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from deep import figures, results
from deep.errors import InvalidRun
from deep.figures import save
from deep.results import Group
from deep.statistics import bootstrap, interquartile_mean

__all__ = ["Curve", "curve", "curves", "draw", "read", "save", "to_json"]

Statistic = Callable[[Any], np.ndarray]


class Curve(NamedTuple):
    """The curve of one group at T steps and the ends of its band there."""

    environment: str
    label: str
    seeds: tuple[int, ...]
    steps: Int64[np.ndarray, " T"]
    middle: Float64[np.ndarray, " T"]
    low: Float64[np.ndarray, " T"]
    high: Float64[np.ndarray, " T"]


def read(paths: Sequence[Path], statistic: Statistic = interquartile_mean) -> list[Curve]:
    """One curve for each group of the runs in ``paths``. InvalidRun names a run that has nothing to show."""
    found = results.groups([results.read(folder) for folder in results.folders(paths)])
    return [curve(group, statistic) for group in found]


def curves(paths: Sequence[Path], statistic: Statistic = interquartile_mean, statistic_name: str = "IQM") -> Any:
    """The figure of the runs in ``paths``."""
    return draw(read(paths, statistic), statistic_name)


def draw(found: Sequence[Curve], statistic_name: str = "IQM") -> Any:
    """A figure with one panel for each environment and one legend."""
    environments = sorted({curve.environment for curve in found})
    figure, axes = figures.panels(len(environments))
    looks = figures.styles([curve.label for curve in found])
    handles: dict[str, Any] = {}
    for environment, panel in zip(environments, axes, strict=True):
        for curve in (one for one in found if one.environment == environment):
            alone = curve.steps.size == 1
            (line,) = panel.plot(
                curve.steps, curve.middle, **looks[curve.label], label=curve.label, marker="o" if alone else None
            )
            panel.fill_between(
                curve.steps, curve.low, curve.high, color=looks[curve.label]["color"], alpha=0.18, linewidth=0
            )
            handles.setdefault(_named(found, curve.label), line)
        panel.set_title(environment, fontsize="medium")
        figures.count_steps(panel)
    figure.supylabel("return of the evaluation episodes", fontsize="medium")
    figures.legend(figure, handles, _explained(found, statistic_name))
    return figure


def to_json(found: Sequence[Curve], statistic_name: str) -> dict[str, Any]:
    """The plotted numbers as JSON values."""
    numbers = [
        {
            **curve._asdict(),
            "steps": curve.steps.tolist(),
            "middle": curve.middle.tolist(),
            "low": curve.low.tolist(),
            "high": curve.high.tolist(),
        }
        for curve in found
    ]
    return {"statistic": statistic_name, "confidence": 0.95, "curves": numbers}


def curve(group: Group, statistic: Statistic = interquartile_mean) -> Curve:
    """The curve of one group at the steps that all of its runs have evaluated."""
    if len(group.runs) == 1:
        (run,) = group.runs
        low, high = np.percentile(run.returns, [25, 75], axis=1)
        return Curve(group.environment, group.label, group.seeds, run.steps, run.returns.mean(axis=1), low, high)
    means = [run.means for run in group.runs]
    # Only steps that every run has reached: a mean over a changing set of runs would bend for no reason.
    common = sorted(set.intersection(*(set(one) for one in means)))
    if not common:
        raise InvalidRun(
            f"{group.label} on {group.environment}: its {len(group.runs)} runs share no evaluation step, "
            "so they have no common curve"
        )
    intervals = [bootstrap(np.array([one[step] for one in means]), statistic) for step in common]
    middle, low, high = np.array(intervals).T
    return Curve(group.environment, group.label, group.seeds, np.array(common), middle, low, high)


def _named(found: Sequence[Curve], label: str) -> str:
    """The label with the number of its seeds, which may differ between panels."""
    seeds = [curve.seeds for curve in found if curve.label == label]
    counts = sorted({len(one) for one in seeds})
    if counts == [1]:
        return f"{label}, seed {seeds[0][0]}" if len(set(seeds)) == 1 else f"{label}, 1 seed"
    return f"{label}, {'-'.join(map(str, sorted({counts[0], counts[-1]})))} seeds"


def _explained(found: Sequence[Curve], statistic_name: str) -> str:
    counts = {len(curve.seeds) > 1 for curve in found}
    several = f"several seeds: {statistic_name} and its 95 % bootstrap interval"
    single = "one seed: mean and interquartile range of its episodes"
    return "; ".join([several] * (True in counts) + [single] * (False in counts))
