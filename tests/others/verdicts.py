"""What each package's survey shows, row by row, held against the file of known deviations."""

from __future__ import annotations

import dataclasses
import enum
import json
import pathlib
from typing import Any

from contract.deviations import Deviation, Key, unmatched
from report.matrix import _reading_order

from others.packages import Package


class Verdict(enum.Enum):
    """What stands where a row and a package meet; the value is what the page prints."""

    AGREES = "agrees"
    KNOWN = "deviates, as listed"
    UNLISTED = "DEVIATES"
    NOT_OFFERED = "not offered"
    NOT_REACHED = "NOT REACHED"
    NOT_INSTALLED = "not installed"


class State(enum.Enum):
    """How a package's survey ended."""

    RAN = "ran"
    CRASHED = "CRASHED"
    NOT_INSTALLED = "not installed"


@dataclasses.dataclass(frozen=True)
class Row:
    """A row as one package met it: its worst comparison."""

    id: str
    quantity: str
    error: float
    bound: float
    reason: str
    exact: bool
    holds: bool
    comparisons: int
    test: str
    seen: float | None = None
    expected: float | None = None
    reproduction: str = ""
    printed: str = ""

    @property
    def key(self) -> Key:
        return self.id, self.quantity

    @property
    def severity(self) -> float:
        """Error over bound, by which the worst is chosen; infinite where a bound of zero is missed."""
        if self.holds and self.error == 0.0:
            return 0.0
        return self.error / self.bound if self.bound > 0.0 and self.error == self.error else float("inf")


@dataclasses.dataclass(frozen=True)
class Column:
    """One package: how its survey ended, its rows, and the tests that failed without a row to show for it."""

    package: Package
    version: str | None
    state: State
    reason: str = ""
    seconds: float = 0.0
    rows: dict[Key, Row] = dataclasses.field(default_factory=dict)
    failures: tuple[tuple[str, str], ...] = ()
    tests: int = 0

    @property
    def broken(self) -> list[Row]:
        return [row for row in self.rows.values() if not row.holds]


def column(package: Package, survey: pathlib.Path, version: str | None, seconds: float, crash: str = "") -> Column:
    """What a survey left behind; a package that is not installed has none, one that crashed says how."""
    if version is None:
        return Column(package, None, State.NOT_INSTALLED, f"{package.distribution} is not installed here")
    if crash or not survey.exists():
        return Column(package, version, State.CRASHED, crash or "the survey wrote nothing", seconds)
    content = json.loads(survey.read_text(encoding="utf-8"))
    if content["name"] != package.name:
        why = f"the adapter calls itself {content['name']!r}, the list of packages {package.name!r}"
        return Column(package, version, State.CRASHED, why, seconds)
    rows: dict[Key, Row] = {}
    failures: list[tuple[str, str]] = []
    for test in content["tests"]:
        if test["outcome"] == "skipped":
            continue  # what a test compared before it found something missing vouches for nothing
        found = [_row(entry, test["test"]) for entry in test["rows"]]
        for row in found:
            rows[row.key] = _worse(rows[row.key], row) if row.key in rows else row
        if test["outcome"] == "failed" and all(row.holds for row in found):
            failures.append((test["test"], test["message"]))
    return Column(package, version, State.RAN, "", seconds, rows, tuple(failures), len(content["tests"]))


def _function(nodeid: str) -> str:
    return nodeid.partition("[")[0]


def _row(entry: dict[str, Any], test: str) -> Row:
    names = {field.name for field in dataclasses.fields(Row)} - {"test"}
    return Row(**{name: value for name, value in entry.items() if name in names}, test=test)


def _worse(one: Row, other: Row) -> Row:
    worst = max((one, other), key=lambda row: (not row.holds, row.severity))
    return dataclasses.replace(worst, comparisons=one.comparisons + other.comparisons)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """All packages side by side."""

    columns: tuple[Column, ...]
    listed: tuple[Deviation, ...]
    revision: str
    date: str

    def lines(self) -> list[Key]:
        """Every row that at least one package was held against, by chapter and number."""
        return sorted({key for column in self.columns for key in column.rows}, key=_reading_order)

    def deviation(self, column: Column, key: Key) -> Deviation | None:
        """The line that excuses a row of a package, None if there is none."""
        found = [line for line in self.listed if (line.name, line.key) == (column.package.name, key)]
        return found[0] if found else None

    def verdict(self, column: Column, key: Key) -> Verdict:
        if column.state is State.NOT_INSTALLED:
            return Verdict.NOT_INSTALLED
        row = column.rows.get(key)
        if row is not None:
            if row.holds:
                return Verdict.AGREES
            return Verdict.KNOWN if self.deviation(column, key) else Verdict.UNLISTED
        measured_by = {_function(other.rows[key].test) for other in self.columns if key in other.rows}
        ended_early = column.state is State.CRASHED or measured_by & {_function(test) for test, _ in column.failures}
        return Verdict.NOT_REACHED if ended_early else Verdict.NOT_OFFERED

    def counts(self, column: Column) -> dict[Verdict, int]:
        """How many rows of a package have each verdict."""
        verdicts = [self.verdict(column, key) for key in self.lines()]
        return {verdict: verdicts.count(verdict) for verdict in Verdict}

    def deviations(self) -> list[tuple[Column, Row, Deviation | None]]:
        """Every broken row with the line that excuses it, those without one first."""
        found = [
            (column, column.rows[key], self.deviation(column, key))
            for column in self.columns
            for key in self.lines()
            if key in column.rows and not column.rows[key].holds
        ]
        return sorted(found, key=lambda entry: entry[2] is not None)

    def idle(self) -> list[Deviation]:
        """Lines that match nothing: of packages that ran and do not differ so, or of packages nobody knows."""
        known = {column.package.name for column in self.columns}
        strangers = [line for line in self.listed if line.name not in known]
        ran = [column for column in self.columns if column.state is State.RAN]
        return strangers + [
            line
            for column in ran
            for line in unmatched(self.listed, column.package.name, [row.key for row in column.broken])
        ]

    def problems(self) -> list[str]:
        """Why the run fails; empty when everything that deviates is listed and everything listed deviates."""
        found = [
            f"{column.package.name}: {row.quantity} [{row.id}] deviates and is not listed"
            for column, row, line in self.deviations()
            if line is None
        ]
        for column in self.columns:
            if column.state is State.CRASHED:
                found.append(f"{column.package.name}: the survey crashed: {column.reason}")
            found += [f"{column.package.name}: {test} raised {message}" for test, message in column.failures]
        found += [
            f"line {line.line}: no broken row matches {line.name} | {line.id} | {line.quantity}" for line in self.idle()
        ]
        if not any(column.state is State.RAN for column in self.columns):
            found.append("not one package was held against the contract")
        return found
