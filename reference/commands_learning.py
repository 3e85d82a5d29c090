"""The command of `python -m reference` that learns from samples and draws the error to the exact answer as it goes."""

import argparse
import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int

from reference import figures, show
from reference.commands import process_facts, process_of
from reference.learners import LEARNERS, Learner, complete, known_step_sizes
from reference.learning import StepSizes, TargetNoise, Task, enveloped, enveloped_windows
from reference.output import report, write_plot
from reference.panel import Panel, axes_or_new, require

__all__ = ["learn"]

FAILURE = 1e-9  # probability that the bound does not hold somewhere in the run
_MARKS = 60  # steps at which the error is noted, evenly spaced on a logarithmic axis
_REDRAWN = 8  # lines a second on a terminal
_DRAWN = 1e100  # larger errors are those of runs that diverge, and leave a figure


class Curve(NamedTuple):
    """Largest error over the entries of the answer at T steps, for R replications, and a bound on it (or None)."""

    steps: Int[np.ndarray, " T"]
    errors: Float64[np.ndarray, "T R"]
    bounds: Float64[np.ndarray, "T R"] | None


def learn(arguments: argparse.Namespace) -> int:
    """Learn, and say how far from the exact answer the table is; 1 if a proven bound was exceeded."""
    complete(arguments)
    mdp = process_of(arguments)
    task, learner = Task(mdp), LEARNERS[arguments.method]
    truth, truth_error = learner.truth(task, arguments)
    step_sizes = known_step_sizes(arguments, task)
    noise = learner.noise(task, truth, arguments)
    curve = _follow(arguments, task, learner, truth, noise, step_sizes)
    write_plot(arguments.plot, figures.size_for(None), lambda ax: plot_curve(curve, learner, arguments.method, ax))
    worst = curve.errors[-1].max()
    facts = {
        **process_facts(arguments, mdp), "method": arguments.method, "seed": arguments.seed,
        "replications": arguments.replications, "step_sizes": repr(step_sizes), "truth": truth,
        "truth_error": truth_error, "steps": curve.steps, "errors": curve.errors, "bounds": curve.bounds,
        "failure": None if noise is None else FAILURE, "quantity": learner.quantity,
    }  # fmt: skip
    lines = [
        f"{arguments.method}, {arguments.steps} {learner.unit}s, {arguments.replications} replications, {step_sizes}",
        f"{learner.quantity}, at the end: median {np.median(curve.errors[-1]):.4g}, worst {worst:.4g}; "
        f"the exact answer within {truth_error:.1e}",
    ]
    if curve.bounds is not None:
        lines.append(f"proven bound at the end {curve.bounds[-1].max():.4g}, false with probability {FAILURE:.0e}")
    broken = curve.bounds is not None and bool((curve.errors > curve.bounds + truth_error).any())
    if broken:
        lines.append("the error exceeded its proven bound: this is a fault, please report it with the seed")
    chosen = np.unique(np.linspace(0, len(curve.steps) - 1, arguments.limit).round().astype(int))
    rows = [_row(curve, index) for index in chosen.tolist()]
    columns = [learner.unit, "median error", "worst error", *([] if curve.bounds is None else ["bound"])]
    panel = Panel(learner.quantity, rows, columns)
    report(f"{arguments.name}: {mdp!r}", facts, lines, [panel], as_json=arguments.json)
    return 1 if broken else 0


def _follow(
    arguments: argparse.Namespace,
    task: Task,
    learner: Learner,
    truth: np.ndarray,
    noise: TargetNoise | None,
    step_sizes: StepSizes,
) -> Curve:
    """Run the learner to its end, note the errors at the marks and show them on a terminal."""
    marks = set(np.unique(np.geomspace(1, arguments.steps, _MARKS).round().astype(int)).tolist())
    known, answers = np.isfinite(truth), learner.read(task, arguments)
    steps = learner.run(task, arguments, step_sizes, np.random.default_rng(arguments.seed))
    if noise is None:
        pairs: Iterator[tuple[Any, np.ndarray | None]] = ((step, None) for step in steps)
    else:
        start = np.zeros((arguments.replications, *truth.shape))
        n, last = learner.window(arguments), (step_sizes, arguments.steps, FAILURE)
        if n == 1:
            pairs = enveloped(steps, task, truth, noise, start, *last)
        else:
            pairs = enveloped_windows(steps, task, truth, noise, start, n, *last)
    numbers, errors, bounds = [], [], []
    with _live(arguments, learner.unit) as draw:
        for step, bound in pairs:
            if step.number not in marks:
                continue
            numbers.append(step.number)
            errors.append(_largest(answers(step), truth, known))
            if bound is not None:
                bounds.append(bound.reshape(len(bound), -1)[:, known.ravel()].max(axis=1))
            draw(Curve(np.array(numbers), np.array(errors), np.array(bounds) if bounds else None))
    return Curve(np.array(numbers), np.array(errors), np.array(bounds) if bounds else None)


def _largest(table: np.ndarray, truth: np.ndarray, known: np.ndarray) -> Float64[np.ndarray, " R"]:
    """The largest error of each replication over the entries that exist, of both tables where there are two.

    Weights that have left the range of float64 are infinitely far off.
    """
    entries = table.reshape(len(table), -1, truth.size)[..., known.ravel()]
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(np.abs(entries - truth[known]), nan=np.inf, posinf=np.inf).max(axis=(1, 2))


def _row(curve: Curve, index: int) -> list[str]:
    errors = curve.errors[index]
    numbers = [float(np.median(errors)), float(errors.max())]
    numbers += [] if curve.bounds is None else [float(curve.bounds[index].max())]
    return [str(int(curve.steps[index])), *(show.number(x, 4) for x in numbers)]


def plot_curve(curve: Curve, learner: Learner, method: str, ax: Any = None) -> Any:
    """Median error and its range over the replications by step, and the bound; both axes logarithmic."""
    ax = axes_or_new(ax)
    low, median, high = (
        np.where(line < _DRAWN, line, np.nan)
        for line in (curve.errors.min(axis=1), np.median(curve.errors, axis=1), curve.errors.max(axis=1))
    )
    ax.fill_between(curve.steps, low, high, alpha=0.25, linewidth=0)
    ax.plot(curve.steps, median, label=f"error, {curve.errors.shape[1]} replications")
    if curve.bounds is not None:
        ax.plot(curve.steps, curve.bounds.max(axis=1), linestyle="--", label=f"bound, false with p = {FAILURE:.0e}")
    ax.set(xscale="log", xlabel=learner.unit, ylabel=learner.quantity, title=method)
    if not (median <= 0.0).any():
        ax.set_yscale("log")
    ax.legend()
    return ax


@contextlib.contextmanager
def _live(arguments: argparse.Namespace, unit: str) -> Iterator[Callable[[Curve], None]]:
    """Where standard error is a terminal, a line of blocks that falls with the error; nothing elsewhere."""
    try:
        console = require("rich.console").Console(stderr=True)
        live = require("rich.live").Live(console=console, transient=True, refresh_per_second=_REDRAWN)
    except ModuleNotFoundError:
        yield lambda curve: None
        return
    if not console.is_terminal:
        yield lambda curve: None
        return
    with live:
        yield lambda curve: live.update(f"{arguments.method}, {unit} {curve.steps[-1]}: {_blocks(curve)}")


def _blocks(curve: Curve) -> str:
    """The median error so far, a block for each mark, and its last value."""
    median = np.median(curve.errors, axis=1)
    top = float(median.max(where=np.isfinite(median), initial=0.0))
    heights = np.zeros(len(median)) if top <= 0.0 else np.minimum(median / top, 1.0)
    return "".join("▁▂▃▄▅▆▇█"[round(7 * float(height))] for height in heights) + f" {median[-1]:.4g}"
