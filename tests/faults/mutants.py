"""Mutate the code and count what the tests notice: `python -m faults.mutants --log mutants.jsonl` (tests/ on the path).

mutmut makes the mutants, some forty thousand; a sample of each group, drawn with a seed, estimates the share that is
noticed, with an exact interval of 95 % (Clopper and Pearson), and `--all` runs every one. A mutant is run against the
tests that enter its function, in processes forked from one that has them loaded; one that no test notices is killed by
a new check, or listed with a reason in tests/faults/equivalents.toml. A time limit that is broken counts as noticed.

What is in the log is not run again: a stopped count goes on where it was, a larger sample keeps the smaller one, and
`--again` runs those once more that were not noticed. The first run notes beside the log which tests enter which
functions; of these notes, those of test files that have changed since are made anew.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from faults import mutation
from faults.mutant_runs import Group, Lend, Server, Tests, copied, judge, observe, on_servers, order, servers
from faults.mutant_score import noticed, summary
from faults.mutation import Equivalent, Mutant
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

ROOT = Path(__file__).resolve().parents[2]
EQUIVALENTS = "tests/faults/equivalents.toml"
GOAL = 0.9
Track = Callable[[Iterator, int, str], Iterator]
UNSHRUNK = ("-p", "faults.no_shrinking")
GROUPS = (
    Group(
        "deep",
        ("deep/losses.py", "deep/weights.py", "deep/divergence.py", "deep/replay.py"),
        ("deep",),
        ("tests/contract", "tests/deep/test_divergence.py", "tests/deep/test_replay.py"),
        UNSHRUNK,
        (("JAX_ENABLE_X64", "1"), ("JAX_PLATFORMS", "cpu")),
        ("scipy.stats", "scipy.optimize", "jax.numpy", "flax.linen", "optax", "gymnasium"),
    ),
    Group(
        "studio",
        ("reference/studio.py",),
        ("reference",),
        ("tests/studio",),
        UNSHRUNK,
        preload=("scipy.stats", "scipy.optimize", "matplotlib.figure", "marimo"),
        from_text=True,
    ),
    Group(
        "reference",
        ("reference/*.py",),
        ("reference",),
        ("tests/reference",),
        (*UNSHRUNK, "-m", "not interop and not compiled"),
        preload=("scipy.stats", "scipy.optimize", "scipy.sparse.linalg"),
    ),
)


# -- what is run ------------------------------------------------------------------------------------------------------


def chosen_files(root: Path, groups: Sequence[Group], patterns: Sequence[str]) -> dict[Group, list[str]]:
    """The files of each group that match, those of a group before it left out; `*` reaches into folders.

    ValueError for a pattern that none matches.
    """
    unmatched = set(patterns)
    files: dict[Group, list[str]] = {}
    claimed: set[str] = set()
    for group in groups:
        found = {
            path.relative_to(root).as_posix() for package in group.packages for path in (root / package).rglob("*.py")
        }
        found = {file for file in found if any(fnmatch.fnmatch(file, source) for source in group.sources)} - claimed
        claimed |= found
        if patterns:
            hits = {file: {pattern for pattern in patterns if fnmatch.fnmatch(file, pattern)} for file in found}
            unmatched -= set().union(*hits.values())
            found = {file for file in found if hits[file]}
        if found:
            files[group] = sorted(found)
    if unmatched:
        sources = ", ".join(source for group in groups for source in group.sources)
        raise ValueError(f"no source file matches {sorted(unmatched)}; expected some of {sources}")
    return files


def made(root: Path, files: Sequence[str], folder: Path) -> tuple[list[Mutant], dict[str, int]]:
    """All mutants of these files, and how many are left out of each; kept in `folder` for the next time."""
    mutants: list[Mutant] = []
    left_out: dict[str, int] = {}
    for file in files:
        text = (root / file).read_text(encoding="utf-8")
        digest = hashlib.sha256(text.encode()).hexdigest()
        kept = folder / f"{file.replace('/', '.')}.json"
        if not kept.exists() or (found := json.loads(kept.read_text(encoding="utf-8")))["of"] != digest:
            ours, excluded = mutation.mutants(file, text)
            found = {"of": digest, "excluded": excluded, "mutants": ours}
            folder.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(found), encoding="utf-8")
        mutants += [Mutant(*fields) for fields in found["mutants"]]
        left_out[file] = found["excluded"]
    return mutants, left_out


def known_tests(root: Path, group: Group, lend: Lend, notes: Path, jobs: int, track: Track) -> Tests:
    """Which tests enter which functions, from the notes and, where a test is new or its file has changed, from a run.

    ValueError where a test fails without any mutant: nothing can be learnt from tests that fail.
    """
    noted = (
        json.loads(notes.read_text(encoding="utf-8")) if notes.exists() else {"files": {}, "seconds": {}, "touched": {}}
    )
    with lend() as server:
        tests, known = server.tests, Tests({}, {}, server.imported)
    files = sorted({test.partition("::")[0] for test in tests})
    digests = {file: hashlib.sha256((root / file).read_bytes()).hexdigest() for file in files}
    same = {test for test in tests if noted["files"].get(file := test.partition("::")[0]) == digests[file]}
    known.seconds.update({test: seconds for test, seconds in noted["seconds"].items() if test in same})
    for function, touching in noted["touched"].items():
        known.touched[function] = [test for test in touching if test in known.seconds]
    unknown = [test for test in tests if test not in known.seconds]
    failing = []

    def note() -> None:
        kept = {"files": digests, "seconds": known.seconds, "touched": known.touched}
        notes.write_text(json.dumps(kept), encoding="utf-8")

    observed = track(on_servers(lend, observe, unknown, jobs), len(unknown), "tests without a mutant")
    for count, (test, answer) in enumerate(observed, start=1):
        if answer["why"] is not None:
            failing.append(f"{test}: {answer['why']} {answer['message']}")
            continue
        known.seconds[test] = answer["seconds"].get(test, 0.0)
        for function in answer["touched"]:
            known.touched.setdefault(function, []).append(test)
        if count % 50 == 0:  # a stopped run begins where it was
            note()
    note()
    if failing:
        shown = "\n".join(failing[:10])
        raise ValueError(f"{group.name}: {len(failing)} tests fail without a mutant, each run by itself:\n{shown}")
    return known


def check_exchange(group: Group, sources: dict[str, str], lend: Lend, known: Tests) -> None:
    """Functions whose code is exchanged for the same code must still pass: the quickest hundred tests that enter them.

    ValueError where one fails.
    """
    tests = {t for name, touching in known.touched.items() if name.partition("::")[0] in sources for t in touching}
    quickest = sorted(tests, key=lambda test: known.seconds[test])[:100]
    with lend() as server:
        answer = server.ask([(test, known.seconds[test]) for test in quickest], list(sources.items()))
    if answer["why"] is not None:
        where = f"{answer['failed']} fails on code that was exchanged for itself"
        raise ValueError(f"{group.name}: {where}: {answer['message']}")


def run_all(
    root: Path,
    group: Group,
    mutants: Sequence[Mutant],
    lines: dict[str, dict],
    options: argparse.Namespace,
    track: Track,
) -> Iterator[dict]:
    """The log's line of every mutant, as they come; `lines` are those that the log has already."""
    said, notes = (options.log.parent / f"{group.name}.{ending}" for ending in ("pytest.txt", "tests.json"))
    sources = {mutant.file: (root / mutant.file).read_text(encoding="utf-8") for mutant in mutants}
    killers: dict[tuple[str, str], list[str]] = {}
    for line in lines.values():
        if line["verdict"] == "killed" and line["test"]:
            killers.setdefault((line["file"], line["function"]), []).append(line["test"])

    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, contextlib.ExitStack() as stack:
        copy = copied(root, Path(folder))
        lend = stack.enter_context(servers(copy, group, said))
        preloaded = stack.enter_context(servers(copy, group, said, group.preload))
        known = known_tests(root, group, lend, notes, options.jobs, track)
        if not group.from_text:
            check_exchange(group, sources, lend, known)

        def work(server: Server, mutant: Mutant) -> dict:
            began, first = time.monotonic(), killers.setdefault((mutant.file, mutant.function), [])
            if group.from_text:
                tests = sorted(known.seconds.items(), key=lambda test: (test[0] not in first, test[1]))
            else:
                tests = order(mutant, known, list(first), options.quick)
            if mutant.id in lines and lines[mutant.id]["quick"]:  # what has passed already comes last
                passed = {test for test, _ in order(mutant, known, quick=True)}
                tests.sort(key=lambda test: test[0] in passed)
            verdict = judge(mutant, sources[mutant.file], tests, known, server, preloaded, copy, group.from_text)
            if verdict.verdict == "killed" and verdict.test and verdict.test not in first:
                first.insert(0, verdict.test)
            seconds = round(time.monotonic() - began, 2)
            kept = {"id": mutant.id, "file": mutant.file, "function": mutant.function, "diff": mutant.diff}
            return {**kept, **verdict._asdict(), "seconds": seconds, "quick": options.quick}

        for _, line in track(on_servers(lend, work, mutants, options.jobs), len(mutants), "mutants"):
            yield line


# -- the command --------------------------------------------------------------------------------------------------


def matched(mutant: Mutant, listed: Sequence[Equivalent]) -> Equivalent | None:
    """The entry of the reviewed list for this mutant."""
    return next((entry for entry in listed if entry[:3] == (mutant.file, mutant.function, mutant.diff)), None)


def main(arguments: list[str] | None = None, root: Path = ROOT, groups: Sequence[Group] = GROUPS) -> int:
    """Exit status 0 where every group's score reaches the goal, 1 where one does not, 2 where nothing can be said."""
    parser = argparse.ArgumentParser(
        prog="python -m faults.mutants", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "files", nargs="*", help="source files or patterns (default: four files of deep, all reference)"
    )
    parser.add_argument("--sample", type=int, default=150, help="mutants of each group (default 150)")
    parser.add_argument("--all", action="store_true", help="every mutant of these files")
    parser.add_argument("--seed", type=int, default=0, help="which sample (default 0)")
    parser.add_argument(
        "--quick", action="store_true", help="one parameter set of every test; run those not noticed again without it"
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time (default 2)")
    parser.add_argument("--again", action="store_true", help="run those of the sample again that were not noticed")
    parser.add_argument(
        "--log", type=Path, default=Path("mutants/mutants.jsonl"), help="a line of JSON for every mutant"
    )
    options = parser.parse_args(arguments)
    options.log = options.log.resolve()
    options.log.parent.mkdir(parents=True, exist_ok=True)
    try:
        listed = mutation.equivalents(root / EQUIVALENTS)
        chosen = chosen_files(root, groups, options.files)
        return max([_count(options, root, group, files, listed) for group, files in chosen.items()])
    except ValueError as error:
        print(f"mutants: {error}", file=sys.stderr)
        return 2


def _count(
    options: argparse.Namespace, root: Path, group: Group, files: Sequence[str], listed: Sequence[Equivalent]
) -> int:
    mutants, left_out = made(root, files, options.log.parent / "made")
    if gone := mutation.stale(listed, mutants):
        shown = "\n".join(f"{entry.file} {entry.function}:\n{entry.diff}" for entry in gone)
        raise ValueError(f"{EQUIVALENTS}: {len(gone)} entries match no mutant; has the code changed?\n{shown}")
    sampled = mutation.in_random_order(mutants, options.seed)[: None if options.all else options.sample]
    argued = {mutant.id for mutant in sampled if matched(mutant, listed)}
    lines = _logged(options.log)
    known = {
        id
        for id, line in lines.items()
        if noticed(line["verdict"]) or not (options.again or (line["quick"] and not options.quick))
    }
    missing = [mutant for mutant in sampled if mutant.id not in argued | known]
    console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 160)
    with _progress(console) as progress:

        def track(things: Iterator, total: int, what: str) -> Iterator:
            return iter(progress.track(things, total, description=f"{group.name}: {what}"))

        for line in run_all(root, group, missing, dict(lines), options, track) if missing else ():
            lines[line["id"]] = line
            with options.log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            if not noticed(line["verdict"]):
                console.print(f"{line['verdict']}: {line['file']} {line['function']}\n{line['diff']}", markup=False)
    if wrong := [lines[id] for id in argued if id in lines and noticed(lines[id]["verdict"])]:
        shown = "\n".join(f"{line['file']} {line['function']} by {line['test']}:\n{line['diff']}" for line in wrong)
        raise ValueError(f"{EQUIVALENTS}: listed as equivalent, yet noticed:\n{shown}")
    rows: dict[str, list[str]] = {}
    for mutant in sorted(sampled):
        rows.setdefault(mutant.file, []).append("equivalent" if mutant.id in argued else lines[mutant.id]["verdict"])
    total = {file: sum(mutant.file == file for mutant in mutants) for file in files}
    console.print(summary(rows, total, left_out))
    counted = [verdict for verdicts in rows.values() for verdict in verdicts if verdict != "equivalent"]
    return 1 if sum(map(noticed, counted)) < GOAL * len(counted) else 0


def _logged(log: Path) -> dict[str, dict]:
    """The last line of each mutant in the log."""
    if not log.exists():
        return {}
    return {line["id"]: line for line in map(json.loads, log.read_text(encoding="utf-8").splitlines())}


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, TextColumn("left"), TimeRemainingColumn(), console=console)


if __name__ == "__main__":
    sys.exit(main())
