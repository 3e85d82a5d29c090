"""The command of `python -m reference` that learns from samples and draws the error to the exact answer as it goes."""

import argparse
import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int

from reference import figures, show
from reference.commands import process_facts, process_of
from reference.learning import (
    Step,
    StepSizes,
    TargetNoise,
    Task,
    action_noise,
    constant,
    double_q_learning,
    enveloped,
    epsilon_soft_optimum,
    expected_sarsa,
    exploring,
    following,
    n_step_sarsa,
    n_step_td,
    optimal_values,
    policy_values,
    q_learning,
    rescaled_linear,
    sarsa,
    state_noise,
    td,
)
from reference.output import report, write_plot
from reference.sources import load_policy

__all__ = ["LEARNERS", "learn"]

FAILURE = 1e-9  # probability that the bound does not hold somewhere in the run
_MARKS = 60  # steps at which the error is noted, evenly spaced on a logarithmic axis
_REDRAWN = 8  # lines a second on a terminal


class Learner(NamedTuple):
    """A method: what it finds, and how one runs it.

    * `run(task, arguments, step_sizes, rng)` gives the steps.
    * `truth(task, arguments)`: what the table converges to and a bound on the error of that; `(S,)` or `(S, A)`.
    * `noise(task, truth, arguments)`: the law of the targets there, or None where no bound is proven along the run.
    """

    run: Callable[[Task, argparse.Namespace, StepSizes, np.random.Generator], Iterator[Step]]
    truth: Callable[[Task, argparse.Namespace], tuple[np.ndarray, float]]
    noise: Callable[[Task, np.ndarray, argparse.Namespace], TargetNoise | None]


def _values(task: Task, arguments: argparse.Namespace) -> tuple[np.ndarray, float]:
    found = policy_values(task, load_policy(arguments.policy, task.mdp))
    return found.values, found.error_bound


def _action_values(task: Task, arguments: argparse.Namespace) -> tuple[np.ndarray, float]:
    found = policy_values(task, load_policy(arguments.policy, task.mdp))
    return found.q, found.error_bound


def _optimum(task: Task, arguments: argparse.Namespace) -> tuple[np.ndarray, float]:
    found = optimal_values(task)
    return found.q, found.error_bound


def _soft_optimum(task: Task, arguments: argparse.Namespace) -> tuple[np.ndarray, float]:
    found, q = epsilon_soft_optimum(task, arguments.epsilon)
    return q, found.error_bound


def _state_noise(task: Task, truth: np.ndarray, arguments: argparse.Namespace) -> TargetNoise:
    return state_noise(task, load_policy(arguments.policy, task.mdp), truth)


def _pair_noise(task: Task, truth: np.ndarray, arguments: argparse.Namespace) -> TargetNoise:
    return action_noise(task, truth)


def _policy_noise(task: Task, truth: np.ndarray, arguments: argparse.Namespace) -> TargetNoise:
    return action_noise(task, truth, load_policy(arguments.policy, task.mdp))


def _none(task: Task, truth: np.ndarray, arguments: argparse.Namespace) -> None:
    return None


def _shape(arguments: argparse.Namespace) -> tuple[int, int]:
    return arguments.steps, arguments.replications


def _of_policy(learner: Callable[..., Iterator[Step]]) -> Callable[..., Iterator[Step]]:
    """A learner of the values of a policy that it follows."""

    def run(task, arguments, step_sizes, rng):
        return learner(task, load_policy(arguments.policy, task.mdp), step_sizes, *_shape(arguments), rng)

    return run


def _exploring(learner: Callable[..., Iterator[Step]]) -> Callable[..., Iterator[Step]]:
    """A learner that acts epsilon-greedily for its own table."""

    def run(task, arguments, step_sizes, rng):
        return learner(task, exploring(arguments.epsilon), step_sizes, *_shape(arguments), rng)

    return run


def _n_step_td(task, arguments, step_sizes, rng):
    policy = load_policy(arguments.policy, task.mdp)
    return n_step_td(task, policy, arguments.n, step_sizes, *_shape(arguments), rng)


def _n_step_sarsa(task, arguments, step_sizes, rng):
    behaviour = following(load_policy(arguments.policy, task.mdp))
    return n_step_sarsa(task, behaviour, arguments.n, step_sizes, *_shape(arguments), rng)


def _expected_sarsa(task, arguments, step_sizes, rng):
    behaviour = following(load_policy(arguments.policy, task.mdp))
    return expected_sarsa(task, behaviour, behaviour, step_sizes, *_shape(arguments), rng)


LEARNERS = {
    "td": Learner(_of_policy(td), _values, _state_noise),
    "n-step-td": Learner(_n_step_td, _values, _none),
    "sarsa": Learner(_exploring(sarsa), _soft_optimum, _none),
    "expected-sarsa": Learner(_expected_sarsa, _action_values, _policy_noise),
    "n-step-sarsa": Learner(_n_step_sarsa, _action_values, _none),
    "q-learning": Learner(_exploring(q_learning), _optimum, _pair_noise),
    "double-q-learning": Learner(_exploring(double_q_learning), _optimum, _none),
}


class Curve(NamedTuple):
    """Largest error over the entries of the table at T steps, for R replications, and a bound on it (or None)."""

    steps: Int[np.ndarray, " T"]
    errors: Float64[np.ndarray, "T R"]
    bounds: Float64[np.ndarray, "T R"] | None


_DEFAULTS = {"epsilon": 0.1, "n": 4, "policy": "uniform"}
_CONTROL = ("sarsa", "q-learning", "double-q-learning")
_TAKERS = {
    "epsilon": _CONTROL,
    "n": ("n-step-td", "n-step-sarsa"),
    "policy": tuple(method for method in LEARNERS if method not in _CONTROL),
}


def _complete(arguments: argparse.Namespace) -> None:
    """Fill in defaults; ValueError for an option that the method would ignore."""
    for option, default in _DEFAULTS.items():
        if getattr(arguments, option) is None:
            setattr(arguments, option, default)
        elif arguments.method not in _TAKERS[option]:
            raise ValueError(f"--{option}: {arguments.method} takes none, only {', '.join(_TAKERS[option])}")


def learn(arguments: argparse.Namespace) -> int:
    """Learn, and say how far from the exact answer the table is; 1 if a proven bound was exceeded."""
    _complete(arguments)
    mdp = process_of(arguments)
    task, learner = Task(mdp), LEARNERS[arguments.method]
    truth, truth_error = learner.truth(task, arguments)
    if truth.ndim == 1:
        truth = np.where(task.terminal, 0.0, truth)
    else:
        truth = np.where(mdp.available, np.where(task.terminal[:, None], 0.0, truth), -np.inf)
    step_sizes = _step_sizes(arguments, task)
    steps = learner.run(task, arguments, step_sizes, np.random.default_rng(arguments.seed))
    noise = learner.noise(task, truth, arguments)
    curve = _follow(arguments, task, truth, steps, noise, step_sizes)
    write_plot(arguments.plot, figures.size_for(None), lambda ax: plot_curve(curve, arguments.method, ax))
    worst = curve.errors[-1].max()
    facts = {
        **process_facts(arguments, mdp), "method": arguments.method, "seed": arguments.seed,
        "replications": arguments.replications, "step_sizes": repr(step_sizes), "truth": truth,
        "truth_error": truth_error, "steps": curve.steps, "errors": curve.errors, "bounds": curve.bounds,
        "failure": None if noise is None else FAILURE,
    }  # fmt: skip
    lines = [
        f"{arguments.method}, {arguments.steps} steps, {arguments.replications} replications, {step_sizes}",
        f"largest error of the table at the end: median {np.median(curve.errors[-1]):.4g}, worst {worst:.4g}; "
        f"the exact answer within {truth_error:.1e}",
    ]
    if curve.bounds is not None:
        lines.append(f"proven bound at the end {curve.bounds[-1].max():.4g}, false with probability {FAILURE:.0e}")
    broken = curve.bounds is not None and bool((curve.errors > curve.bounds + truth_error).any())
    if broken:
        lines.append("the error exceeded its proven bound: this is a fault, please report it with the seed")
    chosen = np.unique(np.linspace(0, len(curve.steps) - 1, arguments.limit).round().astype(int))
    rows = [_row(curve, index) for index in chosen.tolist()]
    columns = ["step", "median error", "worst error", *([] if curve.bounds is None else ["bound"])]
    panel = show.Panel("largest error of the table", rows, columns)
    report(f"{arguments.name}: {mdp!r}", facts, lines, [panel], as_json=arguments.json)
    return 1 if broken else 0


def _step_sizes(arguments: argparse.Namespace, task: Task) -> StepSizes:
    if arguments.step_size is not None:
        return constant(arguments.step_size)
    return StepSizes() if task.discount == 1.0 else rescaled_linear(task.discount)


def _follow(
    arguments: argparse.Namespace,
    task: Task,
    truth: np.ndarray,
    steps: Iterator[Step],
    noise: TargetNoise | None,
    step_sizes: StepSizes,
) -> Curve:
    """Run the learner to its end, note the errors at the marks and show them on a terminal."""
    marks = set(np.unique(np.geomspace(1, arguments.steps, _MARKS).round().astype(int)).tolist())
    known = np.isfinite(truth)
    if noise is None:
        pairs: Iterator[tuple[Step, np.ndarray | None]] = ((step, None) for step in steps)
    else:
        start = np.zeros((arguments.replications, *truth.shape))
        pairs = enveloped(steps, task, truth, noise, start, step_sizes, arguments.steps, FAILURE)
    numbers, errors, bounds = [], [], []
    with _live(arguments) as draw:
        for step, bound in pairs:
            if step.number not in marks:
                continue
            numbers.append(step.number)
            errors.append(_largest(step.table, truth, known))
            if bound is not None:
                bounds.append(bound.reshape(len(bound), -1)[:, known.ravel()].max(axis=1))
            draw(Curve(np.array(numbers), np.array(errors), np.array(bounds) if bounds else None))
    return Curve(np.array(numbers), np.array(errors), np.array(bounds) if bounds else None)


def _largest(table: np.ndarray, truth: np.ndarray, known: np.ndarray) -> Float64[np.ndarray, " R"]:
    """The largest error of each replication over the entries that exist, of both tables where there are two."""
    entries = table.reshape(len(table), -1, truth.size)[..., known.ravel()]
    return np.abs(entries - truth[known]).max(axis=(1, 2))


def _row(curve: Curve, index: int) -> list[str]:
    errors = curve.errors[index]
    numbers = [float(np.median(errors)), float(errors.max())]
    numbers += [] if curve.bounds is None else [float(curve.bounds[index].max())]
    return [str(int(curve.steps[index])), *(show.number(x, 4) for x in numbers)]


def plot_curve(curve: Curve, method: str, ax: Any = None) -> Any:
    """Median error and its range over the replications by step, and the bound; both axes logarithmic."""
    ax = show.axes_or_new(ax)
    median = np.median(curve.errors, axis=1)
    ax.fill_between(curve.steps, curve.errors.min(axis=1), curve.errors.max(axis=1), alpha=0.25, linewidth=0)
    ax.plot(curve.steps, median, label=f"error, {curve.errors.shape[1]} replications")
    if curve.bounds is not None:
        ax.plot(curve.steps, curve.bounds.max(axis=1), linestyle="--", label=f"bound, false with p = {FAILURE:.0e}")
    ax.set(xscale="log", xlabel="step", ylabel="largest error of the table", title=method)
    if (median > 0.0).all():
        ax.set_yscale("log")
    ax.legend()
    return ax


@contextlib.contextmanager
def _live(arguments: argparse.Namespace) -> Iterator[Callable[[Curve], None]]:
    """Where standard error is a terminal, a line of blocks that falls with the error; nothing elsewhere."""
    try:
        console = show.require("rich.console").Console(stderr=True)
        live = show.require("rich.live").Live(console=console, transient=True, refresh_per_second=_REDRAWN)
    except ModuleNotFoundError:
        yield lambda curve: None
        return
    if not console.is_terminal:
        yield lambda curve: None
        return
    with live:
        yield lambda curve: live.update(f"{arguments.method}, step {curve.steps[-1]}: {_blocks(curve)}")


def _blocks(curve: Curve) -> str:
    """The median error so far, a block for each mark, and its last value."""
    median = np.median(curve.errors, axis=1)
    top = float(median.max())
    heights = np.zeros(len(median)) if top <= 0.0 else median / top
    return "".join("▁▂▃▄▅▆▇█"[round(7 * float(height))] for height in heights) + f" {median[-1]:.4g}"
