"""Run tests against mutants: in a copy of the repository, by processes that have the tests loaded and wait."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from faults.mutation import Mutant

LEFT_OUT = shutil.ignore_patterns("__pycache__", ".*", "build", "*.egg-info")
LONGEST = (30.0, 15.0)
"""A test may take so many seconds more, and so many times as long, as without a mutant; mutmut's factor is 15."""

LONGEST_ALONE = 60.0
"""So many seconds, and 15 times as many more, may a test take whose time is not known yet."""
Thing = TypeVar("Thing")
Outcome = TypeVar("Outcome")


class Group(NamedTuple):
    """Source files that are tested alike.

    sources   patterns, below the root
    packages  what is watched for the functions that tests enter
    tests     files or folders of tests
    options   what else pytest is told
    preload   modules of other people that the tests will need, which take long to import and start no thread
    from_text whether others compile the functions from the text of their file, as marimo does its cells: nobody holds a
              function whose code could be exchanged or be seen to be entered, so every test imports the changed file
    """

    name: str
    sources: tuple[str, ...]
    packages: tuple[str, ...]
    tests: tuple[str, ...]
    options: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    preload: tuple[str, ...] = ("numpy",)
    from_text: bool = False


class Tests(NamedTuple):
    """What the tests do without a mutant.

    seconds   of every test that ran, in a process of its own
    touched   "file::function" -> the tests that enter it
    imported  functions that run when modules are imported, before any test
    """

    seconds: dict[str, float]
    touched: dict[str, list[str]]
    imported: set[str]


class Verdict(NamedTuple):
    """`killed`, `timeout`, `survived` or `no tests`; by which test, and what it said."""

    verdict: str
    test: str | None
    message: str
    tests: int


def copied(root: Path, folder: Path) -> Path:
    """A copy of the repository's files, in which packages are imported from the copy."""
    return shutil.copytree(root, folder / "copy", ignore=LEFT_OUT)


class Server:
    """A process that has the tests of a group loaded; or, with `preload`, what they will need: see `begin`."""

    def __init__(self, copy: Path, group: Group, log: Path, preload: tuple[str, ...] = ()) -> None:
        requests, self._requests = os.pipe()
        answers, writing = os.pipe()
        self._group, self._told = group, log
        self._folder = Path(tempfile.mkdtemp(prefix="tests-", dir=copy.parent))
        paths = [str(copy), str(copy / "tests"), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
            "PYTHONSAFEPATH": "1",
            "MPLBACKEND": "Agg",
            "OPENBLAS_NUM_THREADS": "1",  # a process with threads cannot be forked
            "OMP_NUM_THREADS": "1",
            "HYPOTHESIS_PROFILE": "dev",
            "HYPOTHESIS_STORAGE_DIRECTORY": str(self._folder / "hypothesis"),
            "MUTANTS_ROOT": str(copy),
            "MUTANTS_WATCHED": os.pathsep.join(group.packages),
            "MUTANTS_REQUESTS": str(requests),
            "MUTANTS_ANSWERS": str(writing),
            "MUTANTS_PRELOAD": os.pathsep.join(preload),
            **dict(group.environment),
        }
        # As planted faults are run: without the type checker's import hook, for a mutant must be noticed by what it
        # computes.
        options = ["-o", "addopts=", "--import-mode=importlib", "-p", "no:cacheprovider", "-p", "no:randomly"]
        options += ["-p", "faults.mutant_server", "--hypothesis-seed=0", "-q", *group.options]
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pytest", *options, *group.tests],
                cwd=copy,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                pass_fds=(requests, writing),
            )
        os.close(requests)
        os.close(writing)
        self._answers = os.fdopen(answers, encoding="utf-8")
        if not preload:
            self._loaded(self._read())

    def begin(self, folder: Path) -> bool:
        """Load the tests against the packages in `folder`; false where that is not possible."""
        self._write(str(folder))
        ready = self._read()
        if "ended" in ready:
            return False
        self._loaded(ready)
        return True

    def end(self) -> None:
        """Forget what `begin` has loaded."""
        self._write("")
        self._read()

    def ask(
        self,
        tests: Iterable[tuple[str, float]],
        edited: Sequence[tuple[str, str]] = (),
        places: Sequence[tuple[str, str, int]] | None = None,
        record: bool = False,
    ) -> dict:
        """Run tests, (node id, seconds without a mutant), up to the first that fails; see `mutant_server`."""
        more, times = LONGEST
        limits = [(test, more + times * seconds) for test, seconds in tests]
        folder = tempfile.mkdtemp(dir=self._folder)
        request = {"tests": limits, "edited": edited, "places": places, "record": record, "folder": folder}
        self._write(json.dumps(request))
        answer = self._read()
        shutil.rmtree(folder, ignore_errors=True)
        if answer["error"]:
            raise RuntimeError(f"the tests could not be run: {answer['error']}")
        return answer

    def close(self) -> None:
        """Let the process end."""
        os.close(self._requests)
        self._answers.close()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _loaded(self, ready: dict) -> None:
        if ready["threads"] > 1:
            raise ValueError(
                f"{self._group.name}: expected one thread once the tests are loaded, saw {ready['threads']}: a process "
                "with threads cannot be forked. Does a test module make a JAX array when it is imported?"
            )
        self.tests: list[str] = ready["tests"]
        self.broken: int = ready["broken"]
        self.imported = set(ready["imported"])

    def _write(self, line: str) -> None:
        rest = line.encode() + b"\n"
        while rest:
            rest = rest[os.write(self._requests, rest) :]

    def _read(self) -> dict:
        line = self._answers.readline()
        if not line:
            said = self._told.read_text(encoding="utf-8", errors="replace")[-3000:]
            raise RuntimeError(f"the process with the tests ended (exit status {self._process.wait()}):\n{said}")
        return json.loads(line)


Lend = Callable[[], contextlib.AbstractContextManager[Server]]


@contextlib.contextmanager
def servers(copy: Path, group: Group, log: Path, preload: tuple[str, ...] = ()) -> Iterator[Lend]:
    """What lends a server, one that has been given back where there is one: loading takes a while."""
    idle: list[Server] = []

    @contextlib.contextmanager
    def lend() -> Iterator[Server]:
        server = idle.pop() if idle else Server(copy, group, log, preload)
        try:
            if not preload and server.broken:
                raise ValueError(f"{group.name}: {server.broken} test files cannot be loaded; see {log}")
            yield server
        except BaseException:
            server.close()
            raise
        idle.append(server)

    try:
        yield lend
    finally:
        for server in idle:
            server.close()


def on_servers(
    lend: Lend, work: Callable[[Server, Thing], Outcome], things: Sequence[Thing], jobs: int
) -> Iterator[tuple[Thing, Outcome]]:
    """`work` on every thing, as they get done, on `jobs` servers; the first error is raised here."""
    waiting, done = queue.SimpleQueue[Thing](), queue.SimpleQueue[tuple[Thing, Outcome] | BaseException]()
    stopped = threading.Event()
    for thing in things:
        waiting.put(thing)

    def serve() -> None:
        try:
            with lend() as server, contextlib.suppress(queue.Empty):
                while not stopped.is_set():
                    thing = waiting.get_nowait()
                    done.put((thing, work(server, thing)))
        except BaseException as error:
            done.put(error)

    threads = [threading.Thread(target=serve, daemon=True) for _ in range(min(jobs, len(things)))]
    try:
        for thread in threads:
            thread.start()
        for _ in things:
            result = done.get()
            if isinstance(result, BaseException):
                raise result
            yield result
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def observe(server: Server, test: str) -> dict:
    """Run a test without a mutant, in a process of its own: how long it takes and what it enters."""
    return server.ask([(test, LONGEST_ALONE)], record=True)


def order(mutant: Mutant, known: Tests, killers: Sequence[str] = (), quick: bool = False) -> list[tuple[str, float]]:
    """The tests that enter the mutant's function, those first that are likely to notice it soon.

    First those that have killed a mutant of the function; then one parameter set of each test function, the fastest
    first, which is all of a `quick` run; then the rest. What a function computes that runs at import may be read by
    tests that do not enter it: then all tests of the files in which any enters a function of the mutant's file, these
    tests last.
    """
    fastest = sorted(known.touched.get(f"{mutant.file}::{mutant.function}", []), key=known.seconds.__getitem__)
    seen: set[str] = set()
    firsts = [test for test in fastest if (family := test.partition("[")[0]) not in seen and not seen.add(family)]
    ordered = dict.fromkeys([*(test for test in killers if test in known.seconds), *firsts])
    if not quick:
        ordered |= dict.fromkeys(fastest)
    if not quick and f"{mutant.file}::{mutant.function}" in known.imported:
        near = {test for name, tests in known.touched.items() if name.startswith(f"{mutant.file}::") for test in tests}
        files = {test.partition("::")[0] for test in near}
        rest = (test for test in known.seconds if test.partition("::")[0] in files)
        ordered |= dict.fromkeys(sorted(rest, key=lambda test: (test not in near, known.seconds[test])))
    return [(test, known.seconds[test]) for test in ordered]


def judge(
    mutant: Mutant,
    source: str,
    tests: list[tuple[str, float]],
    known: Tests,
    server: Server,
    lend: Lend,
    packages: Path,
    from_text: bool = False,
) -> Verdict:
    """Run the tests against one mutant.

    On `server` where exchanging the function's code is the whole difference; otherwise, for a function that runs at
    import, for a default argument and for what others compile `from_text`, on a preloaded one that `lend` lends, which
    imports a copy of `packages`.
    """
    if not tests:
        return Verdict("no tests", None, "", 0)
    edited = mutant.planted(source)
    if not (from_text or mutant.signature or f"{mutant.file}::{mutant.function}" in known.imported):
        answer = server.ask(tests, [(mutant.file, edited)], [(mutant.file, mutant.function, mutant.line)])
    else:
        with tempfile.TemporaryDirectory(dir=packages.parent) as folder, lend() as fresh:
            package = mutant.file.partition("/")[0]
            shutil.copytree(packages / package, Path(folder) / package)
            (Path(folder) / mutant.file).write_text(edited, encoding="utf-8")
            answer = _imported_anew(Path(folder), tests, known, fresh)
    verdict = {None: "survived", "timeout": "timeout"}.get(answer["why"], "killed")
    return Verdict(verdict, answer["failed"], answer["message"], len(answer["seconds"]))


def _imported_anew(folder: Path, tests: list[tuple[str, float]], known: Tests, server: Server) -> dict:
    died = {"why": "died", "failed": None, "message": "the tests cannot be loaded", "seconds": {}}
    if not server.begin(folder):
        return died
    try:
        if server.broken:
            return died | {"message": f"{server.broken} test files cannot be loaded"}
        # A mutant may change what tests are called: those that are not known by their name come last.
        there = set(server.tests)
        renamed = [(test, LONGEST_ALONE) for test in server.tests if test not in known.seconds]
        return server.ask([*(test for test in tests if test[0] in there), *renamed])
    finally:
        server.end()
