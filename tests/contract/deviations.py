"""Known deviations: rows in which an implementation differs from the contract, each with the reason, one line each.

    # name | id | quantity | reason
    Stable-Baselines3 | SAC-16 | temperature gradient | descends in log alpha itself: alpha is left out

`name` is that of the `Implementation`, id and quantity are those of the row, the reason is for the reader. A row that
is listed and breaks its bound does not fail its test; a row that is not listed does. A line that no broken row matches
is an error, so that the file cannot outlive what it excuses: run the whole contract when you pass it.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterable
from typing import NamedTuple

import pytest
import rows
from contract import protocol

Key = tuple[str, str]


class Deviation(NamedTuple):
    """One line of the file."""

    name: str
    id: str
    quantity: str
    reason: str
    line: int

    @property
    def key(self) -> Key:
        return self.id, self.quantity


def read(path: pathlib.Path) -> list[Deviation]:
    """The lines of a file. ValueError, with the line, for one that is not `name | id | quantity | reason`."""
    found: list[Deviation] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        parts = [part.strip() for part in line.split(" | ", 3)]  # quantities may hold a bar, as |u| does
        if len(parts) != 4 or not all(parts):
            raise ValueError(f"{path}:{number}: expected `name | id | quantity | reason`, saw {line!r}")
        deviation = Deviation(*parts, number)
        earlier = [other.line for other in found if (other.name, other.key) == (deviation.name, deviation.key)]
        if earlier:
            raise ValueError(f"{path}:{number}: {deviation.name} lists {deviation.id} as line {earlier[0]} does")
        found.append(deviation)
    return found


def unmatched(listed: Iterable[Deviation], name: str, broken: Iterable[Key]) -> list[Deviation]:
    """The lines of `name` that none of the broken rows matches."""
    seen = set(broken)
    return [deviation for deviation in listed if deviation.name == name and deviation.key not in seen]


class _Excusing(rows.Rows):
    """Rows of which those that are listed may break."""

    def __init__(self, listed: set[Key], broken: set[Key]) -> None:
        super().__init__()
        self.listed, self.broken = listed, broken

    def _keep(self, row: rows.Row, witness: rows.Witness | None) -> None:
        __tracebackhide__ = True
        key = row.id, row.quantity
        if key not in self.listed:
            super()._keep(row, witness)
            return
        try:
            super()._keep(row, witness)
        except AssertionError:
            self.broken.add(key)


class _Lines:
    """The plugin that `--deviations FILE` registers."""

    def __init__(self, path: pathlib.Path, listed: list[Deviation], name: str) -> None:
        self.path, self.listed, self.name = path, listed, name
        self.broken: set[Key] = set()
        self.idle: list[Deviation] = []
        keys = {deviation.key for deviation in listed if deviation.name == name}
        self.recorder = lambda _: _Excusing(keys, self.broken)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self.idle = unmatched(self.listed, self.name, self.broken)
        if self.idle and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter) -> None:
        terminalreporter.section("known deviations")
        terminalreporter.write_line(f"{self.name}: {len(self.broken)} rows differ as {self.path} says")
        for line in self.idle:
            terminalreporter.write_line(f"{self.path}:{line.line}: no broken row matches {line.id} | {line.quantity}")


def install(config: pytest.Config, path: pathlib.Path, specification: str) -> None:
    """Excuse the rows that the file lists for the implementation; UsageError where file or implementation is amiss."""
    try:
        plugin = _Lines(path, read(path), protocol.load(specification).name)
    except (OSError, ValueError) as error:
        raise pytest.UsageError(f"--deviations {path}: {error}") from error
    config.stash[rows.RECORDER] = plugin.recorder
    config.pluginmanager.register(plugin, "known-deviations")
