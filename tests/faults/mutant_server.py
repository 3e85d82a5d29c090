"""A pytest plugin that collects once and then runs chosen tests, each request in a process forked from there.

Requests are lines of JSON from the file descriptor MUTANTS_REQUESTS, answers lines of JSON to MUTANTS_ANSWERS:

    tests     [[node id, seconds that it may take], ...], run in this order up to the first that fails
    edited    null, or [[file, its text], ...]: functions take the code that they have in these texts
    places    null, or [[file, function, first line], ...]: which functions do; all of the files without it
    record    whether the answer names the functions of MUTANTS_WATCHED that were entered
    folder    for the temporary files of the tests

    ->  {"failed": node id or null, "why": "failed" | "timeout" | "died" | null, "message": ..., "seconds": {...},
         "touched": ["file::function", ...], "error": what kept the request from being run at all, or null}

The code is exchanged in the function objects that are there (`function.__code__`), before any test has run: caches,
programs and whoever holds the function see one and the same object, and nothing has been traced or computed with the
old code, unless by a function that runs at import; those are named in the first answer, and are not for this plugin.

A process must have one thread to be forked safely, so no test module may start JAX's backend when it is imported.

Where MUTANTS_PRELOAD names modules, the process imports those and stops before it loads any test. A first request, the
folder to import the packages under test from, is a fork that goes on from there and is what is said above, up to an
empty line; then `{"ended": status}` says that the next may come. Most of what loading takes are other people's modules.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import select
import signal
import sys
from pathlib import Path
from types import CodeType, FunctionType

import pytest


def _wait_for_a_folder() -> None:
    """Be the process that is forked, for each folder that is asked for; returns in the fork."""
    for name in filter(None, os.environ.get("MUTANTS_PRELOAD", "").split(os.pathsep)):
        importlib.import_module(name)
    requests, answers = int(os.environ["MUTANTS_REQUESTS"]), int(os.environ["MUTANTS_ANSWERS"])
    while folder := _line(requests):
        child = os.fork()
        if child == 0:
            os.environ["MUTANTS_ROOT"] = folder
            sys.path.insert(0, folder)
            return
        os.write(answers, json.dumps({"ended": os.waitpid(child, 0)[1]}).encode() + b"\n")
    os._exit(0)


def _line(reading: int) -> str:
    """The next line, and not a byte more: what follows may be for a fork of this process."""
    line = b""
    while (byte := os.read(reading, 1)) not in (b"", b"\n"):
        line += byte
    return line.decode()


if os.environ.get("MUTANTS_PRELOAD"):
    _wait_for_a_folder()
ROOT = Path(os.environ["MUTANTS_ROOT"])
WATCHED = tuple(str(ROOT / name) + os.sep for name in os.environ["MUTANTS_WATCHED"].split(os.pathsep))
MEMORY = 12 * 2**30  # bytes of address space: a mutant that allocates without end takes nobody else along
TOOL = 4  # of `sys.monitoring`: one that no profiler, debugger or coverage claims

_touched: set[str] = set()


def _enter(code: CodeType, _: int) -> object:
    if code.co_filename.startswith(WATCHED):
        _touched.add(f"{Path(code.co_filename).relative_to(ROOT)}::{code.co_qualname.partition('.<locals>')[0]}")
    return sys.monitoring.DISABLE


sys.monitoring.use_tool_id(TOOL, "mutants")
sys.monitoring.register_callback(TOOL, sys.monitoring.events.PY_START, _enter)
sys.monitoring.set_events(TOOL, sys.monitoring.events.PY_START)


def pytest_unconfigure() -> None:
    sys.monitoring.set_events(TOOL, 0)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    """Answer requests until there are no more, in place of running what was collected."""
    items = {item.nodeid: item for item in session.items}
    threads = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1
    functions = [thing for thing in gc.get_objects() if isinstance(thing, FunctionType)]
    functions = [function for function in functions if function.__code__.co_filename.startswith(WATCHED)]
    requests = int(os.environ["MUTANTS_REQUESTS"])
    with os.fdopen(int(os.environ["MUTANTS_ANSWERS"]), "w", encoding="utf-8", buffering=1) as answers:
        ready = {"tests": list(items), "imported": sorted(_touched), "threads": threads, "broken": session.testsfailed}
        answers.write(json.dumps(ready) + "\n")
        while line := _line(requests):
            answers.write(json.dumps(_answer(session, items, functions, json.loads(line))) + "\n")
    return True


def _answer(session: pytest.Session, items: dict, functions: list[FunctionType], request: dict) -> dict:
    """Fork, and follow what the child tells until it is done, dead or over its time."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        try:
            os.setpgid(0, 0)
            os.close(reading)
            _run(session, items, functions, request, writing)
        except BaseException as error:
            _tell(writing, {"error": repr(error)})
        finally:
            os._exit(0)
    os.close(writing)
    answer = {"failed": None, "why": "died", "message": "", "seconds": {}, "touched": [], "error": None}
    for told in _told(reading, dict(request["tests"])):
        if "touched" in told:
            told["seconds"] = answer["seconds"] | told["seconds"]
        answer |= told
        if "begun" in told and told["begun"] is None:
            break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # whatever a test has left behind as well
    os.waitpid(child, 0)
    os.close(reading)
    begun = answer.pop("begun", None)
    if answer["why"] in ("died", "timeout"):
        answer["failed"] = begun
    return answer


def _told(reading: int, limits: dict[str, float]):
    """What a child tells, line by line; at its end or over the time of a test, a last word of ours."""
    rest, limit = b"", max(limits.values(), default=60.0)
    while True:
        ready, _, _ = select.select([reading], [], [], limit)
        if not ready:
            yield {"why": "timeout"}
            return
        read = os.read(reading, 2**16)
        if not read:
            return
        *lines, rest = (rest + read).split(b"\n")
        for line in lines:
            told = json.loads(line)
            yield told
            limit = limits.get(told.get("begun"), limit)


def _tell(writing: int, told: dict) -> None:
    os.write(writing, json.dumps(told).encode() + b"\n")


class _Reporter:
    """Tells of the first failure, and how long every test took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.failure: dict = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        if report.failed and not self.failure:
            crash = getattr(report.longrepr, "reprcrash", None)
            message = (crash.message if crash else str(report.longrepr)).strip().splitlines()
            self.failure = {"failed": report.nodeid, "why": "failed", "message": message[0][:300] if message else ""}


def _run(session: pytest.Session, items: dict, functions: list[FunctionType], request: dict, writing: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    os.environ["PYTEST_DEBUG_TEMPROOT"] = request["folder"]  # where `tmp_path` is
    for file, text in request["edited"] or []:
        places = [tuple(place[1:]) for place in request["places"] or [] if place[0] == file]
        _exchange(functions, ROOT / file, text, places if request["places"] else None)
    reporter = _Reporter()
    session.config.pluginmanager.register(reporter, "mutants-reporter")
    _touched.clear()
    sys.monitoring.set_events(TOOL, sys.monitoring.events.PY_START if request["record"] else 0)
    sys.monitoring.restart_events()
    chosen = [items[test] for test, _ in request["tests"]]
    for item, following in zip(chosen, [*chosen[1:], None], strict=True):
        _tell(writing, {"begun": item.nodeid})
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if reporter.failure:
            break
    end = reporter.failure or {"why": None}
    _tell(writing, end | {"begun": None, "seconds": reporter.seconds, "touched": sorted(_touched)})


def _exchange(functions: list[FunctionType], file: Path, text: str, places: list[tuple[str, int]] | None) -> None:
    """Give the functions and methods of a file their code in `text`; a named place that nobody has is an error.

    Not those inside functions: lambdas of one line are told apart by nothing, and come anew with their function.
    """
    codes = {(code.co_qualname, code.co_firstlineno): code for code in _codes(compile(text, str(file), "exec"))}
    exchanged = set()
    for function in functions:
        place = (function.__code__.co_qualname, function.__code__.co_firstlineno)
        here = function.__code__.co_filename == str(file) and "<" not in place[0]
        if here and place in codes and (places is None or place in places):
            function.__code__ = codes[place]
            exchanged.add(place)
    if places is not None and exchanged != set(places):
        raise LookupError(f"{file}: expected the functions {places}, saw {sorted(exchanged)}")


def _codes(code: CodeType):
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)
