"""One cell of the tox run: how it ended, what it ran with, and the rows that its tests measured.

A cell leaves two files. `<cell>.json` is written by tox itself and says how far the cell came; `<cell>.xml` is pytest's
JUnit file. Neither is trusted alone: a cell is in order only if tox saw it end well *and* its JUnit file says the same.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

_MISSING_PROGRAM = "not run: this machine has no "  # how a test says so when it skips itself


class State(enum.Enum):
    """How a cell ended; the value is what the matrix prints."""

    OK = "ok"
    BROKEN = "BROKEN"
    CRASHED = "CRASHED"
    NOT_INSTALLED = "NOT INSTALLED"
    NO_TRACE = "NO TRACE"
    NO_INTERPRETER = "NOT RUN: no interpreter"
    NO_PROGRAM = "NOT RUN: a program is missing"
    NOT_SELECTED = "NOT RUN: not selected"

    @property
    def ran(self) -> bool:
        """Whether the cell's rows may be read."""
        return self in (State.OK, State.BROKEN)

    def fails(self, ci: bool) -> bool:
        """Whether the whole run fails because of this cell.

        A machine without some interpreter is a fact about the machine, so it fails only where somebody promised a
        complete matrix (`ci`). A program that neither pip nor tox can install, such as a browser, nobody can promise
        on its behalf: the cell is shown as not run, and fails nothing, no more than one that nobody selected.
        """
        if self is State.NO_INTERPRETER:
            return ci
        return self not in (State.OK, State.NO_PROGRAM, State.NOT_SELECTED)


@dataclasses.dataclass(frozen=True)
class Row:
    """One quantity in one cell: the worst comparison of all tests that report it."""

    id: str
    quantity: str
    error: float
    bound: float
    reason: str
    exact: bool
    comparisons: int
    test: str
    broken: bool
    skipped: bool

    @property
    def key(self) -> tuple[str, str]:
        """Rows of different cells are the same line of the matrix if their keys are equal."""
        return self.id, self.quantity

    @property
    def severity(self) -> float:
        """Error as a fraction of its bound; infinite where the row is broken without a number."""
        if math.isnan(self.error) or (self.bound == 0.0 and self.error > 0.0):
            return math.inf
        return self.error / self.bound if self.bound > 0.0 else 0.0

    def merged(self, other: Row) -> Row:
        """The worse of two: broken before skipped before holding, then by severity."""
        first, second = sorted((self, other), key=lambda row: (row.broken, row.skipped, row.severity), reverse=True)
        return dataclasses.replace(first, comparisons=first.comparisons + second.comparisons)


@dataclasses.dataclass(frozen=True)
class Problem:
    """A test that did not simply pass."""

    test: str
    outcome: str  # "failed", "error" or "skipped"
    message: str


@dataclasses.dataclass(frozen=True)
class Fault:
    """A planted fault that was caught: the row that noticed it, and how long that took."""

    id: str
    what: str
    file: str
    tests: str
    precision: str
    message: str
    seconds: float


@dataclasses.dataclass(frozen=True)
class Cell:
    """One column of the matrix."""

    name: str
    state: State
    reason: str = ""
    seconds: float = 0.0
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    tests: frozenset[str] = frozenset()  # those that ran or skipped themselves
    left_out: frozenset[str] = frozenset()  # those that the cell's own command deselected
    rows: dict[tuple[str, str], Row] = dataclasses.field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    faults: tuple[Fault, ...] = ()
    has_tests: bool = True


def read(name: str, folder: Path, *, selected: bool = True) -> Cell:
    """What cell `name` left in `folder`."""
    if not selected:
        return Cell(name, State.NOT_SELECTED)
    status_path, junit_path = folder / f"{name}.json", folder / f"{name}.xml"
    if not status_path.exists():
        # Without tox's word a JUnit file may be of any age, so it does not speak for this run.
        return Cell(name, State.NO_TRACE, "tox left no word of it: interrupted, or stopped before its turn")
    try:
        status = json.loads(status_path.read_text(encoding="utf-8"))
        cell = _ending(name, status)
        if cell.state is State.OK and cell.has_tests:
            return _tested(cell, status["exit_code"], junit_path)
    except (ValueError, KeyError, TypeError) as problem:
        return Cell(name, State.NO_TRACE, f"its status file is unreadable: {type(problem).__name__}: {problem}")
    return cell


def _ending(name: str, status: dict[str, Any]) -> Cell:
    """What tox itself saw."""
    reason, exit_code = status["reason"], status["exit_code"]
    cell = Cell(name, State.OK, "", float(status["seconds"]), has_tests=bool(status["tests"]))
    if status["state"] == "no interpreter":
        why = reason or "the machine lacks its interpreter"
        return dataclasses.replace(cell, state=State.NO_INTERPRETER, reason=why)
    if status["state"] == "set-up failed":
        why = reason or "its environment could not be built"
        return dataclasses.replace(cell, state=State.NOT_INSTALLED, reason=why)
    if status["state"] != "finished":
        return dataclasses.replace(cell, state=State.CRASHED, reason=reason or "interrupted while it ran")
    if cell.has_tests:
        return cell
    if exit_code != 0:
        return dataclasses.replace(cell, state=State.BROKEN, reason=_exit_reason(exit_code), failed=1)
    return dataclasses.replace(cell, passed=1)


def _tested(cell: Cell, exit_code: int, junit: Path) -> Cell:
    """What pytest saw, held against the exit code that tox saw."""
    if not junit.exists():
        why = f"{_exit_reason(exit_code)} before pytest wrote its file"
        return dataclasses.replace(cell, state=State.CRASHED, reason=why)
    try:
        cell = _with_results(cell, junit)
    except (ElementTree.ParseError, ValueError, KeyError, TypeError, StopIteration) as problem:
        why = f"{_exit_reason(exit_code)}; its JUnit file is unreadable: {type(problem).__name__}: {problem}"
        return dataclasses.replace(cell, state=State.CRASHED, reason=why)
    if cell.failed:
        return dataclasses.replace(cell, state=State.BROKEN)
    if exit_code != 0:
        return dataclasses.replace(cell, state=State.BROKEN, reason=f"no test failed, yet it {_exit_reason(exit_code)}")
    if cell.passed == 0:
        reasons = list(dict.fromkeys(problem.message for problem in cell.problems))
        if len(reasons) == 1 and reasons[0].startswith(_MISSING_PROGRAM):
            return dataclasses.replace(cell, state=State.NO_PROGRAM, reason=reasons[0], skipped=0, problems=(), rows={})
        return dataclasses.replace(cell, state=State.BROKEN, reason="not one test passed")
    return cell


def _exit_reason(exit_code: int) -> str:
    signal = f" (signal {-exit_code})" if exit_code < 0 else ""  # how POSIX reports a process that was killed
    return f"ended with exit code {exit_code}{signal}"


def _with_results(cell: Cell, junit: Path) -> Cell:
    suite = next(ElementTree.parse(junit).getroot().iter("testsuite"))
    versions = {
        item.get("name", ""): item.get("value", "")
        for item in suite.findall("properties/property")
        if not item.get("name", "").startswith("hypothesis-statistics")
    }
    left_out = frozenset(json.loads(versions.pop("left out", "[]")))
    rows: dict[tuple[str, str], Row] = {}
    problems: list[Problem] = []
    faults: list[Fault] = []
    tests: dict[str, str] = {}  # a test that fails and then errs in its teardown has two entries: count it once
    for case in suite.iter("testcase"):
        test = f"{case.get('classname')}::{case.get('name')}"
        problem = _problem(case, test)
        if problem is not None:
            problems.append(problem)
        outcome = "passed" if problem is None else "skipped" if problem.outcome == "skipped" else "failed"
        tests[test] = "failed" if "failed" in (outcome, tests.get(test)) else outcome
        faults += [Fault(**json.loads(value)) for value in _properties(case, "fault")]
        for row in _rows(case, test, outcome):
            rows[row.key] = rows[row.key].merged(row) if row.key in rows else row
    outcomes = list(tests.values())
    return dataclasses.replace(
        cell,
        passed=outcomes.count("passed"),
        failed=outcomes.count("failed"),
        skipped=outcomes.count("skipped"),
        versions={**versions, "left out": str(len(left_out))} if left_out else versions,
        tests=frozenset(tests),
        left_out=left_out,
        rows=rows,
        problems=tuple(problems),
        faults=tuple(faults),
    )


def _properties(case: ElementTree.Element, name: str) -> list[str]:
    return [item.get("value", "") for item in case.iter("property") if item.get("name") == name]


def _problem(case: ElementTree.Element, test: str) -> Problem | None:
    for tag, outcome in (("failure", "failed"), ("error", "error"), ("skipped", "skipped")):
        element = case.find(tag)
        if element is not None:
            message = element.get("message") or (element.text or "").strip()
            return Problem(test, outcome, next(iter(message.strip().splitlines()), outcome))
    return None


def _rows(case: ElementTree.Element, test: str, outcome: str) -> list[Row]:
    entries: list[dict[str, Any]] = [json.loads(value) for value in _properties(case, "row")]
    breaks = [not entry["error"] <= entry["bound"] for entry in entries]  # a NaN breaks its bound
    # A test may fail for a reason that is not a row (an exception); then none of what it measured is vouched for.
    unexplained = outcome == "failed" and not any(breaks)
    doubt = "what it measured holds, but the test that measured it failed"
    return [
        Row(
            id=entry["id"],
            quantity=entry["quantity"],
            error=float(entry["error"]),
            bound=float(entry["bound"]),
            reason=doubt if unexplained else entry["reason"],
            exact=bool(entry["exact"]),
            comparisons=int(entry["comparisons"]),
            test=test,
            broken=breaks_bound or unexplained,
            skipped=outcome == "skipped",
        )
        for entry, breaks_bound in zip(entries, breaks, strict=True)
    ]
