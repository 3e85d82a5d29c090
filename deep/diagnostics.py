"""What happened inside runs: a panel for each quantity of the log, a line for each group of seeds.

A panel that draws several quantities (the quantiles of the weights) tells groups apart by colour and quantities by the
dash of their lines. Over seeds the line is the median and the band the range.
"""

import fnmatch
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from deep import figures, log, results
from deep.errors import InvalidRun


class Panel(NamedTuple):
    """A title and the metrics that belong below it, as patterns of their names."""

    title: str
    patterns: tuple[str, ...]


PANELS = (
    Panel("critic loss", ("losses/critic",)),
    Panel("actor loss", ("losses/actor",)),
    Panel("value loss", ("losses/value",)),
    Panel("gradient penalty", ("losses/penalty", "losses/gradient_penalty")),
    Panel("Q and V at stored actions, units of reward", ("values/q", "values/v")),
    Panel("alpha, units of reward", ("values/alpha",)),
    Panel("entropy of the policy, nats", ("values/entropy",)),
    Panel("probability of exploring", ("values/epsilon",)),
    Panel("KL from the policy that acted, nats", ("policy/kl",)),
    Panel("share of ratios outside the clip", ("policy/clipped",)),
    Panel("beta, units of reward", ("*/beta",)),
    Panel("effective sample size, fraction of the batch", ("*/ess", "*/ratio_ess", "*/effective_sample_fraction")),
    Panel("KL of the weights to uniform, nats", ("*/kl", "*/kl_to_uniform")),
    Panel("experience weights", ("weights/min", "weights/max", "weights/mean")),
    Panel("stored weights, quantiles", ("stored/q*",)),
    Panel("largest ratio", ("weights/ratio_max",)),
    Panel("share of weights at a clip", ("weights/*floor*", "weights/*cap*", "stored/at_*")),
)


class Trace(NamedTuple):
    """One metric of one group at T steps: median over its seeds, least and greatest."""

    label: str
    panel: str
    metric: str
    steps: Int64[np.ndarray, " T"]
    middle: Float64[np.ndarray, " T"]
    low: Float64[np.ndarray, " T"]
    high: Float64[np.ndarray, " T"]


def read(paths: Sequence[Path]) -> list[Trace]:
    """Every metric that has a panel, for each group of the runs in ``paths``; InvalidRun if there is none."""
    found = results.groups([results.read(folder) for folder in results.folders(paths)])
    several = len({group.environment for group in found}) > 1
    traces = []
    for group in found:
        label = f"{group.label}, {group.environment}" if several else group.label
        logged = [_columns(run.folder) for run in group.runs]
        for panel in PANELS:
            for metric in _matching(panel, set.intersection(*(set(one) for one in logged))):
                common = sorted(set.intersection(*(set(one[metric]) for one in logged)))
                if common:
                    values = np.array([[one[metric][step] for step in common] for one in logged])
                    middle, low, high = np.median(values, axis=0), values.min(axis=0), values.max(axis=0)
                    traces.append(Trace(label, panel.title, metric, np.array(common), middle, low, high))
    if not traces:
        raise InvalidRun(f"{found[0].runs[0].folder}: no losses in its log yet; they are written after the warm-up")
    return traces


def draw(traces: Sequence[Trace]) -> Any:
    """The figure: only panels for which the runs have a metric."""
    titles = [panel.title for panel in PANELS if any(trace.panel == panel.title for trace in traces)]
    figure, axes = figures.panels(len(titles), width=4.2, height=2.7)
    labels = [trace.label for trace in traces]
    colours = {label: look["color"] for label, look in figures.styles(labels).items()}
    handles: dict[str, Any] = {}
    for title, panel in zip(titles, axes, strict=True):
        shown = [trace for trace in traces if trace.panel == title]
        metrics = sorted({trace.metric for trace in shown})
        dashes = dict(zip(metrics, figures.DASHES * len(metrics), strict=False))
        for trace in shown:
            look = {"color": colours[trace.label], "linestyle": dashes[trace.metric]}
            (line,) = panel.plot(trace.steps, trace.middle, linewidth=1.2, **look)
            panel.fill_between(trace.steps, trace.low, trace.high, color=look["color"], alpha=0.15, linewidth=0)
            if dashes[trace.metric] == figures.DASHES[0]:
                handles.setdefault(trace.label, line)
        if len(metrics) > 1:
            _name_dashes(panel, dashes)
        if _spans_decades(shown):
            panel.set_yscale("log")
        panel.set_title(title, fontsize="medium")
        figures.count_steps(panel)
    figures.legend(figure, handles, "of several seeds: median and range")
    return figure


def to_json(traces: Sequence[Trace]) -> dict[str, Any]:
    """The plotted numbers as JSON values."""
    arrays = ("steps", "middle", "low", "high")
    return {"traces": [trace._asdict() | {name: getattr(trace, name).tolist() for name in arrays} for trace in traces]}


def _columns(folder: Path) -> dict[str, dict[int, float]]:
    """Each scalar of the log by step."""
    columns: dict[str, dict[int, float]] = {}
    for line in log.read(folder):
        for name, value in line.items():
            if not isinstance(value, list):
                columns.setdefault(name, {})[line["step"]] = float(value)
    return columns


def _matching(panel: Panel, names: set[str]) -> list[str]:
    return sorted(name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in panel.patterns))


def _name_dashes(panel: Any, dashes: dict[str, Any]) -> None:
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], color="0.35", linewidth=1.2, linestyle=dash) for dash in dashes.values()]
    panel.legend(lines, [name.partition("/")[2] for name in dashes], fontsize="x-small", framealpha=0.7)


def _spans_decades(shown: Sequence[Trace]) -> bool:
    """Whether a linear axis would show one end only: all positive, and more than two decades apart."""
    low = min(float(trace.low.min()) for trace in shown)
    high = max(float(trace.high.max()) for trace in shown)
    return low > 0 and high > 100 * low
