"""What a run writes down while it goes: metrics.jsonl, timing.jsonl, the boards asked for, and the terminal.

``metrics.jsonl`` is deterministic: one JSON object a line, ``step`` first, no clock in it, so that two runs with equal
settings, or a run and its resumed twin, have equal bytes. Everything that depends on the clock goes to
``timing.jsonl`` and the boards. Names follow CleanRL (``charts/``, ``losses/``); :data:`METRICS` says what each is.
"""

import json
import math
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deep.boards import Board
from deep.errors import Diverged, InvalidRun

METRICS: dict[str, str] = {
    "charts/episodic_return": "undiscounted return of the training episode that ended at this step (noisy policy)",
    "charts/episodic_length": "its number of steps",
    "evaluation/return": "mean undiscounted return of the evaluation's episodes under the policy's mode",
    "evaluation/returns": "the return of each of these episodes",
    "evaluation/length": "their mean number of steps",
    "pretraining/step": "updates made on the data set before the first environment step",
    "losses/critic": "sum over the critics (two, or one) of the mean of w (Q - y)^2 / 2 over the batch",
    "losses/value": "mean of beta (f*(z) - z), z = (q - V)/beta, continued linearly above value_cap (FD-03, GUM-04)",
    "losses/actor": "mean of alpha log pi - min Q (SAC-11)",
    "losses/log_alpha": "-alpha (mean log pi + target entropy) (SAC-16)",
    "values/q": "mean over batch and critics of Q at the stored actions",
    "values/epsilon": "probability with which dqn takes a random action",
    "values/v": "mean of V over the batch",
    "policy/kl": "KL divergence of the policy from the one that acted, in nats, estimated; mean over an update",
    "policy/clipped": "share of rows whose ratio rho has left the clip; mean over an update",
    "values/alpha": "temperature alpha, in units of reward",
    "values/entropy": "minus the mean log pi of the policy's own actions, in nats",
    "weights/td_error": "mean of delta = r + gamma (1 - terminated) V(s') - V(s)",
    "weights/beta": "temperature beta of the weights, in units of reward",
    "weights/multiplier": "nu that makes the batch's ratios mean one, in units of delta / beta (JS-04)",
    "weights/ratio_max": "largest ratio of the batch",
    "weights/kl": "KL divergence of the batch under the new weights from the plain one, in nats",
    "weights/at_floor": "share of the batch whose weight is the smallest that the rule gives",
    "weights/at_cap": "share of the batch whose weight is the largest that the rule gives",
    "weights/ratio_mean": "mean of the ratios: one for the relaxed problem; at the flow dual's optimum at most one",
    "weights/ratio_min": "smallest ratio of the batch",
    "weights/ratio_kl": "KL divergence of the batch under the ratios from the plain one, in nats",
    "weights/ratio_at_floor": "share of the batch whose ratio is the smallest that the divergence gives",
    "weights/ratio_at_cap": "share of the batch whose ratio is the largest that the divergence gives",
    "weights/mean": "mean of the batch's new experience weights",
    "weights/min": "smallest of them",
    "weights/max": "largest of them",
    "weights/ess": "effective sample size of the weights as a fraction of the batch (ESS-01)",
    "weights/ratio_ess": "effective sample size of the ratios as a fraction of the batch",
    **{
        f"stored/{name}": f"{what} of the experience weights in the buffer"
        for name, what in {
            "mean": "mean",
            "ess": "effective sample size, as a fraction,",
            "kl": "KL divergence from uniform, in nats,",
            "at_floor": "share at the smallest value that the rule gives",
            "at_cap": "share at the largest value that the rule gives",
            **{f"q{percent}": f"{percent} % quantile" for percent in (0, 5, 25, 50, 75, 95, 100)},
        }.items()
    },
    "charts/SPS": "environment steps per second, evaluations not counted (timing.jsonl and boards only)",
    "evaluation/seconds": "duration of the evaluation (timing.jsonl only)",
}


class Log:
    """The writers of one run folder; ``position`` continues an interrupted metrics.jsonl at that byte.

    ``boards`` get every scalar as well and are closed with the log.
    """

    def __init__(self, folder: Path, position: int | None = None, step: int = 0, boards: Sequence[Board] = ()) -> None:
        self.path = folder / "metrics.jsonl"
        if position is not None:
            _truncate(self.path, position)
        self._metrics = self.path.open("ab")
        self._timing = (folder / "timing.jsonl").open("a", encoding="utf-8")
        self._boards = tuple(boards)
        self._clock, self._last_step = time.monotonic(), step

    def write(self, step: int, metrics: dict[str, Any]) -> None:
        """Append one line; Diverged names the first metric that is not finite."""
        for name, value in metrics.items():
            if not all(map(math.isfinite, value if isinstance(value, list) else [value])):
                raise Diverged(f"{name} is {value} at step {step}; expected a finite number")
        self._metrics.write(json.dumps({"step": step, **metrics}).encode() + b"\n")
        self._metrics.flush()  # handed to the system: survives the death of this process
        if self._boards:
            self._show(step, {name: value for name, value in metrics.items() if not isinstance(value, list)})

    def speed(self, step: int) -> None:
        """Append the steps per second since the previous line of this kind to timing.jsonl; evaluations not counted."""
        elapsed = time.monotonic() - self._clock
        rate = (step - self._last_step) / elapsed if elapsed > 0 else 0.0
        self._clock, self._last_step = time.monotonic(), step
        self._time(step, {"charts/SPS": rate})
        self._show(step, {"charts/SPS": rate})

    def evaluated(self, step: int, seconds: float) -> None:
        """Append how long an evaluation took."""
        self._clock += seconds
        self._time(step, {"evaluation/seconds": seconds})

    def _show(self, step: int, scalars: dict[str, float]) -> None:
        for board in self._boards:
            board.write(step, scalars)

    def _time(self, step: int, values: dict[str, float]) -> None:
        self._timing.write(json.dumps({"step": step, "time": time.time(), **values}) + "\n")
        self._timing.flush()

    def position(self) -> int:
        """The number of bytes of metrics.jsonl, all of them on the disk when this returns."""
        self._metrics.flush()
        os.fsync(self._metrics.fileno())
        return self._metrics.tell()

    def close(self) -> None:
        """Flush and close every file."""
        self._metrics.close()
        self._timing.close()
        for board in self._boards:
            board.close()


def read(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics.jsonl; a last line cut short by a crash is left out. InvalidRun if there is none."""
    path = folder / "metrics.jsonl"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidRun(
            f"{folder}: no readable metrics.jsonl here; expected a run folder of `deep train` ({error})"
        ) from error
    complete = text[: text.rfind("\n") + 1]
    try:
        return [json.loads(line) for line in complete.splitlines()]
    except ValueError as error:
        raise InvalidRun(f"{path}: not a log of `deep train`: {error}") from error


def _truncate(path: Path, position: int) -> None:
    size = path.stat().st_size if path.exists() else 0
    if size < position:
        raise InvalidRun(
            f"{path}: has {size} bytes, but the checkpoint was written when it had {position}; "
            "restore the file, or resume a copy of the run folder that is complete"
        )
    os.truncate(path, position)


class Lines:
    """What a pipe or a file gets: one line per evaluation. The same methods as :class:`Bar`."""

    def __init__(self, total: int, step: int) -> None:
        self._total, self._start, self._clock = total, step, time.monotonic()

    def tick(self, step: int) -> None:
        """Called every few steps, so it must cost next to nothing; here it does nothing."""

    def episode(self, episodic_return: float) -> None:
        """A training episode ended: nothing is printed."""

    def evaluation(self, step: int, mean: float, spread: float) -> None:
        """Steps, return, speed since the start of this process, time left."""
        rate = (step - self._start) / max(time.monotonic() - self._clock, 1e-9)
        left = (self._total - step) / rate if rate > 0 else math.inf
        self.note(
            f"step {step:>9,} of {self._total:,}  return {mean:10.2f} +- {spread:.2f}  {rate:7.0f} steps/s  "
            f"{_duration(left)} left"
        )

    def note(self, text: str) -> None:
        """Print the line at once."""
        print(text, flush=True)

    def close(self) -> None:
        """Nothing."""


class Bar:
    """For a terminal: a progress bar with the last returns, steps per second and the time left."""

    INTERVAL = 0.25

    def __init__(self, total: int, step: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]} steps/s"),
            TimeRemainingColumn(),
            TextColumn("return {task.fields[last]}  evaluation {task.fields[evaluated]}"),
            console=Console(),
            auto_refresh=False,  # a refreshing thread would take its share of the processor from the training
        )
        self._task = self._progress.add_task("", total=total, completed=step, rate="-", last="-", evaluated="-")
        self._progress.start()
        self._next = self._clock = time.monotonic()
        self._step = step

    def tick(self, step: int) -> None:
        """Redraw, at most every INTERVAL seconds."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + self.INTERVAL
        if now - self._clock >= 2.0:
            self._progress.update(self._task, rate=f"{(step - self._step) / (now - self._clock):.0f}")
            self._clock, self._step = now, step
        self._progress.update(self._task, completed=step)
        self._progress.refresh()

    def episode(self, episodic_return: float) -> None:
        """Show the return."""
        self._progress.update(self._task, last=f"{episodic_return:.1f}")

    def evaluation(self, step: int, mean: float, spread: float) -> None:
        """Show the mean and keep a line of it."""
        self._progress.update(self._task, evaluated=f"{mean:.1f}")
        self.note(f"step {step:>9,}  return {mean:10.2f} +- {spread:.2f}")

    def note(self, text: str) -> None:
        """Print the line above the bar."""
        self._progress.console.print(text, highlight=False, markup=False)

    def close(self) -> None:
        """Draw the last state and hand the terminal back."""
        self._progress.refresh()
        self._progress.stop()


def display(total: int, step: int) -> Lines | Bar:
    """A bar on a terminal, lines elsewhere."""
    return Bar(total, step) if sys.stdout.isatty() else Lines(total, step)


def _duration(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "?"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
