"""Many runs: a grid of tasks, presets and seeds, each an ordinary run folder, trained until all are complete.

The state of a sweep is its run folders and nothing else: what is complete, what can be continued and with which
settings is read from them, so a sweep that was killed at any moment goes on when the same command is given again, and
a larger grid in the same folder trains what is missing.

Runs are trained by an engine (:mod:`deep.sweep_local`, :mod:`deep.sweep_ray`), which starts processes and says how they
ended; what that means is decided here, once for all of them. A process ended from outside is lost, and its run is
continued from its last checkpoint. A process that ended by itself with an error gets one more attempt, because a full
disk or a missing licence may pass; the same error twice is the run's own.
"""

import contextlib
import json
import signal
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from deep import checkpoint, log, runs
from deep.config import Config, to_json
from deep.errors import InvalidRun
from deep.files import write_atomically
from deep.stop import Stop
from deep.worker import Ended

POLL = 0.25  # seconds between two looks at the processes

State = Literal["waiting", "running", "complete", "failed", "stopped"]


class Unit(NamedTuple):
    """One run of the grid: settings, folder, log file, the words of ``python -m deep`` that begin it, and those of them
    that are said again when it is continued.
    """

    config: Config
    folder: Path
    log: Path
    words: tuple[str, ...]
    options: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of the run folder."""
        return self.folder.name


@runtime_checkable
class Engine(Protocol):
    """Where runs are trained: starts processes and says how they ended."""

    slots: int

    def start(self, unit: Unit, words: Sequence[str]) -> None:
        """Run ``python -m deep WORD ...`` with its output appended to the unit's log."""
        ...

    def ended(self, seconds: float) -> list[tuple[Unit, Ended]]:
        """The processes that ended since the last call; waits at most this long for one."""
        ...

    def stop(self) -> None:
        """Tell every process to save and leave."""
        ...

    def close(self) -> None:
        """End whatever is left at once."""
        ...


@runtime_checkable
class Show(Protocol):
    """What the person at the terminal sees of a sweep."""

    def tick(self, entries: Iterable["Entry"]) -> None:
        """Called several times a second."""
        ...

    def note(self, text: str) -> None:
        """Print a line."""
        ...


@dataclass
class Entry:
    """What became of a unit so far; ``ends`` are the attempts of this sweep that did not complete it.

    ``score`` is the mean return of its last evaluation, None before the first.
    """

    unit: Unit
    state: State = "waiting"
    ends: list[Ended] = field(default_factory=list)
    score: float | None = None

    @property
    def step(self) -> int:
        """Of its last checkpoint."""
        return checkpoint.reached(self.unit.folder / "checkpoints")


def plan(
    folder: Path, configs: Sequence[Config], words: Callable[[Config], Sequence[str]], options: Sequence[str] = ()
) -> list[Unit]:
    """The units of a grid below ``folder``, each checked against the run that may lie there.

    ``words`` are the settings of a run as `train` takes them, ``options`` what every process is told beside them.
    InvalidRun when a folder holds a run with other settings (a smaller number of steps among them) or no run at all.
    """
    units: dict[str, Unit] = {}
    for config in configs:
        place = runs.folder_of(config, folder)
        if place.name in units:
            raise InvalidRun(
                f"{place}: two runs of the grid have this folder: {units[place.name].config.environment} and "
                f"{config.environment}, {config.preset}, seed {config.seed}; name each once"
            )
        units[place.name] = Unit(
            config,
            place,
            folder / "logs" / f"{place.name}.log",
            ("train", config.environment, *words(config), *options, "--folder", str(place)),
            tuple(options),
        )
    for unit in units.values():
        if unit.folder.exists():
            _same_settings(unit)
    return list(units.values())


def begin_or_continue(unit: Unit) -> tuple[str, ...]:
    """The words that train the unit from where it is."""
    if not unit.folder.exists():
        return unit.words
    words = ("train", "--resume", str(unit.folder))
    if runs.settings(unit.folder).steps != unit.config.steps:
        words += ("--steps", str(unit.config.steps))
    return words + unit.options


def complete(unit: Unit) -> bool:
    """Whether the run's last checkpoint is that of its last step."""
    return checkpoint.reached(unit.folder / "checkpoints") >= unit.config.steps


def judge(entry: Entry, retries: int) -> tuple[State, str]:
    """What follows from the last of the ends of a unit that is not complete, and the line that says so."""
    last, name, step = entry.ends[-1], entry.unit.name, entry.step
    again = f"continuing at step {step:,}" if step else "beginning again"
    if len(entry.ends) > retries:
        return "failed", f"{name} failed: {_ended(last)}, after {retries} retries; see {entry.unit.log}"
    if last.lost:
        return "waiting", f"{name} lost ({_ended(last)}): {again}, retry {len(entry.ends)} of {retries}"
    if len(entry.ends) > 1 and entry.ends[-2] == last:
        return "failed", f"{name} failed twice the same way: {_ended(last)}; see {entry.unit.log}"
    return "waiting", f"{name}: {_ended(last)}; {again}, retry {len(entry.ends)} of {retries}"


def train(units: Sequence[Unit], engine: Engine, retries: int, show: Show, summary: Path) -> tuple[list[Entry], int]:
    """Train the units that are not complete; what became of each, and the signal that stopped the sweep or 0.

    ``summary`` is rewritten whenever a run ends.
    """
    entries = {
        unit.name: Entry(unit, "complete" if complete(unit) else "waiting", score=final_return(unit.folder))
        for unit in units
    }
    waiting = deque(entry for entry in entries.values() if entry.state == "waiting")
    stop, told, in_use = Stop(), 0, set[str]()
    done = len(entries) - len(waiting)
    show.note(f"{len(entries)} runs, {done} complete before, {engine.slots} at once")
    write(summary, entries.values())
    try:
        with stop.listening():
            while waiting or any(entry.state == "running" for entry in entries.values()):
                if stop.signal and not told:
                    told = stop.signal
                    show.note(f"{signal.Signals(told).name}: the runs save and leave; Ctrl-C ends them at once")
                    for entry in waiting:
                        entry.state = "stopped"
                    waiting.clear()
                    engine.stop()
                running = sum(entry.state == "running" for entry in entries.values())
                for _ in range(min(len(waiting), engine.slots - running)):
                    entry = waiting.popleft()
                    if _busy(entry.unit, in_use, show):
                        waiting.append(entry)
                    else:
                        entry.state = "running"
                        engine.start(entry.unit, begin_or_continue(entry.unit))
                for unit, ended in engine.ended(POLL):
                    entry = entries[unit.name]
                    entry.score = final_return(unit.folder)
                    if complete(unit):
                        entry.state, line = "complete", f"{unit.name} complete: {_result(entry)}"
                    elif told:
                        entry.ends.append(ended)
                        entry.state, line = "stopped", f"{unit.name} saved at step {entry.step:,}"
                    else:
                        entry.ends.append(ended)
                        entry.state, line = judge(entry, retries)
                        if entry.state == "waiting":
                            waiting.append(entry)
                    finished = sum(each.state in ("complete", "failed") for each in entries.values())
                    show.note(f"[{finished:>{len(str(len(entries)))}}/{len(entries)}] {line}")
                    write(summary, entries.values())
                show.tick(entries.values())
    finally:
        engine.close()
        write(summary, entries.values())
    return list(entries.values()), told


def outcome(entry: Entry) -> dict[str, Any]:
    """A unit's line of the summary: what it is, how far it came, its last evaluation, and what ended its attempts."""
    config = entry.unit.config
    return {
        "environment": config.environment,
        "preset": config.preset,
        "seed": config.seed,
        "state": entry.state,
        "step": entry.step,
        "steps": config.steps,
        "return": entry.score,
        "ends": [{"status": end.status, "said": end.said} for end in entry.ends],
    }


def write(path: Path, entries: Iterable[Entry]) -> None:
    """The summary of a sweep as JSON: run folders by name."""
    write_atomically(path, json.dumps({each.unit.name: outcome(each) for each in entries}, indent=1) + "\n")


def final_return(folder: Path) -> float | None:
    """The mean return of the run's last evaluation; None before the first."""
    with contextlib.suppress(InvalidRun):
        for line in reversed(log.read(folder)):
            if "evaluation/return" in line:
                return line["evaluation/return"]
    return None


def _busy(unit: Unit, known: set[str], show: Show) -> bool:
    """Whether another process has the run; said once. It may be one of this sweep's own that is still saving."""
    if not (unit.folder.exists() and runs.in_use(unit.folder)):
        return False
    if unit.name not in known:
        show.note(f"{unit.name} is in use by another process: waiting for it")
        known.add(unit.name)
    return True


def _same_settings(unit: Unit) -> None:
    stored = runs.settings(unit.folder)
    ours, theirs = to_json(unit.config), to_json(stored)
    differing = [f"{key} {theirs[key]!r} -> {ours[key]!r}" for key in ours if ours[key] != theirs[key]]
    if stored.steps <= unit.config.steps:
        differing = [text for text in differing if not text.startswith("steps ")]
    if differing:
        raise InvalidRun(
            f"{unit.folder} holds a run with other settings ({', '.join(differing)}); "
            "give the sweep the settings that it was begun with, or another --folder"
        )


def _ended(end: Ended) -> str:
    if end.status is not None and end.status < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-end.status).name}"
    return end.said or ("its machine was lost" if end.status is None else f"exit status {end.status}")


def _result(entry: Entry) -> str:
    return f"{entry.unit.config.steps:,} steps" + (f", return {entry.score:.2f}" if entry.score is not None else "")
