"""What a sweep shows: lines for a pipe, bars for a terminal, and the table at its end."""

import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from deep.statistics import bootstrap
from deep.sweep import Entry

TAIL = 4096  # bytes of timing.jsonl that hold its last line


class Lines:
    """What a pipe or a file gets: one line for whatever happened to a run. The same methods as :class:`Bars`."""

    def tick(self, entries: Iterable[Entry]) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Print the line at once."""
        print(text, flush=True)

    def close(self) -> None:
        """Nothing."""


class Bars:
    """For a terminal: a bar for the sweep and one for each run that is being trained."""

    INTERVAL = 1.0

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            console=Console(),
            auto_refresh=False,
        )
        self._all = self._progress.add_task("runs", total=1, rate="")
        self._bars: dict[str, TaskID] = {}
        self._next = 0.0
        self._progress.start()

    def tick(self, entries: Iterable[Entry]) -> None:
        """Redraw, at most every INTERVAL seconds."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self.INTERVAL
        entries = list(entries)
        done = sum(entry.state == "complete" for entry in entries)
        self._progress.update(self._all, total=len(entries), completed=done)
        running = {entry.unit.name: entry.unit for entry in entries if entry.state == "running"}
        for name in self._bars.keys() - running.keys():
            self._progress.remove_task(self._bars.pop(name))
        for name, unit in running.items():
            if name not in self._bars:
                self._bars[name] = self._progress.add_task(name, total=unit.config.steps, rate="")
            step, rate = pace(unit.folder)
            self._progress.update(self._bars[name], completed=step, rate=f"{rate:.0f} steps/s" if rate else "")
        self._progress.refresh()

    def note(self, text: str) -> None:
        """Print the line above the bars."""
        self._progress.console.print(text, highlight=False, markup=False)

    def close(self) -> None:
        """Hand the terminal back."""
        self._progress.stop()


def display() -> Lines | Bars:
    """Bars on a terminal, lines elsewhere."""
    return Bars() if sys.stdout.isatty() else Lines()


def pace(folder: Path) -> tuple[int, float]:
    """The step and the steps per second that a run last wrote down; zeros before that."""
    try:
        with (folder / "timing.jsonl").open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - TAIL))
            lines = [json.loads(line) for line in file.read().splitlines(keepends=True)[1:] if line.endswith(b"\n")]
    except (OSError, ValueError):
        return 0, 0.0
    rates = [line for line in lines if "charts/SPS" in line]
    return (rates[-1]["step"], rates[-1]["charts/SPS"]) if rates else (0, 0.0)


def table(entries: list[Entry]) -> None:
    """Print a row for each task and preset: complete runs, the IQM over seeds of their last returns, its interval."""
    from rich.console import Console
    from rich.table import Table

    groups: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        groups[entry.unit.config.environment, entry.unit.config.preset].append(entry)
    shown = Table(box=None, header_style="bold")
    for heading in ("environment", "preset"):
        shown.add_column(heading, overflow="fold")
    for heading in ("complete", "return (IQM)", "95 % interval", "not complete"):
        shown.add_column(heading, justify="right")
    for (environment, preset), group in groups.items():
        scores = [entry.score for entry in group if entry.state == "complete" and entry.score is not None]
        interval = bootstrap(np.array(scores)) if scores else None
        shown.add_row(
            environment,
            preset,
            f"{sum(entry.state == 'complete' for entry in group)} of {len(group)}",
            f"{interval.estimate:.2f}" if interval else "",
            f"{interval.low:.2f} to {interval.high:.2f}" if interval and len(scores) > 1 else "",
            ", ".join(f"s{entry.unit.config.seed} {entry.state}" for entry in group if entry.state != "complete"),
        )
    Console().print(shown)
