"""The pytest plugin that runs the contract to the end, breaks or not, and writes every row with its worst example.

    python -m pytest tests/contract -p others.survey --implementation module:object --survey FILE

Where the contract would stop at the first comparison that breaks its bound, a survey goes on: Hypothesis draws all its
examples, and each row keeps the one that is worst for its bound, with the call of the implementation that preceded it.
Such a call is then cut down to the one row of the batch that matters, where that row alone shows the same, and written
as a few lines of Python, which are executed: what they print is what is published.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import math
import pathlib
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import rows
from contract import protocol

LONGEST = 4000  # characters of a reproduction


class Call(NamedTuple):
    """One call of a function that the implementation offers."""

    name: str
    function: Callable[..., Any]
    arguments: dict[str, Any]
    result: Any


class Example(NamedTuple):
    """What stood behind the worst comparison of a row."""

    call: Call | None
    witness: rows.Witness | None
    row: rows.Row


class _Surveying(rows.Rows):
    """Rows that are kept, broken or not."""

    def __init__(self, last: Callable[[], Call | None]) -> None:
        super().__init__()
        self.last = last
        self.examples: dict[tuple[str, str], Example] = {}

    def _keep(self, row: rows.Row, witness: rows.Witness | None) -> None:
        key = row.id, row.quantity
        before = self._worst.get(key)
        with contextlib.suppress(AssertionError):
            super()._keep(row, witness)
        if not row.holds and (before is None or row.severity > before.severity):
            self.examples[key] = Example(self.last(), witness, row)


class Survey:
    """The plugin: what each test did, and what each row saw."""

    def __init__(self, specification: str, path: pathlib.Path) -> None:
        self.specification, self.path = specification, path
        self.calls: list[Call] = []
        self.recorders: dict[str, _Surveying] = {}
        self.reports: dict[str, dict[str, str]] = {}

    def recorder(self, request: pytest.FixtureRequest) -> rows.Rows:
        self.calls.clear()
        made = self.recorders[request.node.nodeid] = _Surveying(lambda: self.calls[-1] if self.calls else None)
        return made

    def watch(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, its last call remembered."""

        def watched(*arguments, **options):
            result = function(*arguments, **options)
            self.calls[:] = [Call(name, function, _named(function, arguments, options), result)]
            return result

        return watched

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        entry = self.reports.setdefault(report.nodeid, {"outcome": "passed", "message": ""})
        if report.skipped and entry["outcome"] == "passed":
            entry.update(outcome="skipped", message=str(report.longrepr[2]).removeprefix("Skipped: "))
        elif report.failed:
            said = getattr(getattr(report.longrepr, "reprcrash", None), "message", str(report.longrepr))
            entry.update(outcome="failed", message=said.strip().splitlines()[0][:300] if said.strip() else "failed")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        implementation = protocol.load(self.specification)
        tests = []
        for nodeid, report in self.reports.items():
            recorder = self.recorders.get(nodeid)
            kept = recorder.collected() if recorder else ()
            entries = [self._entry(row, recorder, nodeid, implementation) for row in kept]
            tests.append({"test": nodeid, **report, "rows": entries})
        content = {"name": implementation.name, "specification": self.specification, "tests": tests}
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
        partial.replace(self.path)

    def _entry(self, row: rows.Row, recorder: _Surveying, nodeid: str, implementation) -> dict[str, Any]:
        entry = json.loads(row.to_json()) | {"holds": row.holds}
        example = recorder.examples.get((row.id, row.quantity))
        if example is None:
            return entry
        entry |= {"error": example.row.error, "bound": example.row.bound, "reason": example.row.reason}
        if example.witness is not None:
            entry |= {"seen": example.witness.seen, "expected": example.witness.expected}
        code = reproduction(example, implementation, self.specification)
        if code is None:
            command = f"python -m pytest '{nodeid}' --implementation {self.specification}"
            return entry | {"reproduction": command, "printed": row.message()}
        return entry | {"reproduction": code, "printed": executed(code)}


def _named(function: Callable[..., Any], arguments: tuple, options: dict[str, Any]) -> dict[str, Any]:
    """Arguments by the names of the parameters."""
    bound = inspect.signature(function).bind(*arguments, **options)
    named: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        if bound.signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL:
            named |= {f"{name}{position}": entry for position, entry in enumerate(value)}
        elif bound.signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            named |= value
        else:
            named[name] = value
    return named


# -- reproductions ----------------------------------------------------------------------------------------------------


def shown_at(result: Any, witness: rows.Witness) -> tuple[int, ...] | None:
    """Where the result of a call holds what was seen, its place in a tuple first; None where it does not."""
    parts = result if isinstance(result, tuple | list) else (result,)
    for position, part in enumerate(parts):
        try:
            array = np.asarray(part, np.float64)
        except (TypeError, ValueError):  # an agent, a buffer
            continue
        if witness.index < array.size and same(float(array.flat[witness.index]), witness.seen):
            where = tuple(int(i) for i in np.unravel_index(witness.index, array.shape))
            return (position, *where) if parts is result else where
    return None


def same(left: float, right: float) -> bool:
    return left == right or (math.isnan(left) and math.isnan(right))


def cut(call: Call, witness: rows.Witness, where: tuple[int, ...]) -> tuple[dict[str, Any], tuple[int, ...]]:
    """The arguments of the worst call and where its result is worst; one row of the batch where one row shows it."""
    if isinstance(call.result, tuple | list) or not where:
        return call.arguments, where
    shape = np.shape(call.result)
    axis = int(np.argmax(shape))
    size, row = shape[axis], where[axis]

    def slim(value: Any) -> Any:
        if not isinstance(value, np.ndarray) or size not in value.shape:
            return value
        along = value.ndim - 1 - value.shape[::-1].index(size) if axis else value.shape.index(size)
        return np.take(value, [row], axis=along)

    slimmed = {name: slim(value) for name, value in call.arguments.items()}
    moved = (*where[:axis], 0, *where[axis + 1 :])
    try:
        again = float(np.asarray(call.function(**slimmed), np.float64)[moved])
    except Exception:
        return call.arguments, where  # their function wants the whole batch
    return (slimmed, moved) if same(again, witness.seen) else (call.arguments, where)


def literal(value: Any) -> str:
    """A value as Python."""
    if isinstance(value, np.ndarray | np.generic):
        return f"np.array({value.tolist()!r}, np.{value.dtype})".replace("nan", "np.nan").replace("inf", "np.inf")
    return repr(value)


def reproduction(example: Example, implementation: protocol.Implementation, specification: str) -> str | None:
    """Python that calls the package with the worst example's numbers and prints its answer and the exact one.

    None where the worst number was formed from more than one call, or where a page has no room for the arguments.
    """
    whole = implementation.snippets.get(f"{example.row.id} {example.row.quantity}")
    if whole is not None:
        return whole.strip() + "\n"
    call, witness = example.call, example.witness
    if call is None or witness is None or any(callable(value) for value in call.arguments.values()):
        return None
    where = shown_at(call.result, witness)
    if where is None:
        return None
    arguments, where = cut(call, witness, where)
    lines = ["import numpy as np", *(f"{name} = {literal(value)}" for name, value in arguments.items())]
    snippet = implementation.snippets.get(call.name)
    if snippet is None:
        snippet = (
            "from contract.protocol import load  # with tests/ on the path\n"
            f'theirs = load("{specification}").{call.name}({", ".join(arguments)})'
        )
    if isinstance(call.result, tuple | list):
        first, *where = where
        picked = f"theirs[{first}]"
    else:
        picked = "theirs"
    at = f"[{', '.join(map(str, where))}]" if where else ""
    lines += snippet.strip().splitlines()
    lines.append(f'print("theirs", float(np.asarray({picked}){at}), "exact", {witness.expected!r})')
    code = "\n".join(lines) + "\n"
    return code if len(code) <= LONGEST else None


def executed(code: str) -> str:
    """What a reproduction prints; its last line of traceback where it raises."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "<reproduction>", "exec"), {})
    except Exception:
        return printed.getvalue() + traceback.format_exc().strip().splitlines()[-1]
    return printed.getvalue().strip()


# -- the plugin -------------------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--survey", type=pathlib.Path, metavar="FILE", help="where the rows of the survey are written")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("--survey")
    if path is None:
        return
    survey = Survey(config.getoption("--implementation"), path)
    config.stash[rows.RECORDER] = survey.recorder
    config.stash[rows.WATCH] = survey.watch
    config.pluginmanager.register(survey, "survey-of-others")
