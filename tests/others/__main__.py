"""Hold each package against the contract in a process of its own; write JSON, page and Markdown of what it shows."""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import datetime
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from contract import deviations
from report.__main__ import revision

from others import markdown, page
from others.packages import PACKAGES, Package
from others.verdicts import Column, Comparison, State, column

TESTS = Path(__file__).resolve().parents[1]
LISTED = TESTS / "contract" / "adapters" / "deviations.txt"
PATIENCE = 1800.0  # seconds for one package


def main(arguments: list[str] | None = None, packages: Sequence[Package] = PACKAGES) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m others", description=__doc__)
    parser.add_argument("--to", type=Path, required=True, help="folder for others.html, others.md and others.json")
    parser.add_argument("--only", nargs="*", metavar="NAME", help="these packages alone")
    parser.add_argument("--select", help="pytest's -k: these tests alone; lines of others then match nothing")
    parser.add_argument("--jobs", type=int, default=1, help="how many packages at a time (default 1)")
    parser.add_argument("--deviations", type=Path, default=LISTED, help="the file of known deviations")
    options = parser.parse_args(arguments)
    chosen = [package for package in packages if not options.only or package.name in options.only]
    try:
        listed = deviations.read(options.deviations)
    except (OSError, ValueError) as problem:
        print(problem, file=sys.stderr)
        return 2
    options.to.mkdir(parents=True, exist_ok=True)
    if options.only:
        listed = [line for line in listed if line.name in options.only]
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:  # each waits for a process
        columns = tuple(pool.map(lambda package: surveyed(package, options.to, options.select), chosen))
    comparison = Comparison(
        columns=columns,
        listed=tuple(listed),
        revision=revision(),
        date=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    files = {
        "others.html": page.render(comparison),
        "others.md": markdown.render(comparison),
        "others.json": json.dumps(as_json(comparison), indent=1) + "\n",
    }
    for name, text in files.items():
        partial = options.to / f"{name}.partial"
        partial.write_text(text, encoding="utf-8")
        partial.replace(options.to / name)
    print(summary(comparison))
    print(f"page: {options.to / 'others.html'}")
    return 1 if comparison.problems() else 0


def surveyed(package: Package, folder: Path, select: str | None = None, tests: Path = TESTS / "contract") -> Column:
    """One package: its survey, run in a process of its own, and what it left."""
    path, version = folder / f"{package.module}.json", package.version
    path.unlink(missing_ok=True)
    if version is None:
        return column(package, path, None, 0.0)
    paths = [str(TESTS), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONSAFEPATH": "1",
        "JAX_ENABLE_X64": "0",
        "HYPOTHESIS_PROFILE": os.environ.get("HYPOTHESIS_PROFILE", "ci"),  # the same examples in every run
    }
    # Someone else's warnings are not ours to turn into errors, nor their types to check.
    options = ["-o", "addopts=", "--import-mode=importlib", "-o", "filterwarnings=ignore", "-p", "others.survey"]
    options += [
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
        "--implementation",
        package.specification,
        "--survey",
        str(path),
    ]
    options += ["-k", select] if select else []
    command = [sys.executable, "-m", "pytest", *options, str(tests)]
    began = time.monotonic()
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=PATIENCE, cwd=TESTS.parent
        )
    except subprocess.TimeoutExpired:
        return column(package, path, version, PATIENCE, f"no end after {PATIENCE:.0f} s")
    crash = "" if done.returncode in (0, 1) else f"exit code {done.returncode}: {_last(done.stdout + done.stderr)}"
    return column(package, path, version, time.monotonic() - began, crash)


def _last(text: str) -> str:
    return " / ".join([line.strip() for line in text.splitlines() if line.strip()][-3:])[-400:]


def summary(comparison: Comparison) -> str:
    """A line for each package, then what is wrong."""
    lines = []
    for entry in comparison.columns:
        if entry.state is State.RAN:
            counts = comparison.counts(entry)
            told = ", ".join(f"{count} {verdict.value}" for verdict, count in counts.items() if count)
        else:
            told = entry.reason
        lines.append(f"{entry.package.name} {entry.version or ''}: {told}")
    return "\n".join([*lines, *(f"  {problem}" for problem in comparison.problems())])


def as_json(comparison: Comparison) -> dict:
    """The comparison for machines."""
    return {
        "revision": comparison.revision,
        "date": comparison.date,
        "problems": comparison.problems(),
        "packages": [
            {
                "name": entry.package.name,
                "distribution": entry.package.distribution,
                "version": entry.version,
                "state": entry.state.value,
                "reason": entry.reason,
                "rows": [
                    {"id": key[0], "quantity": key[1], "verdict": comparison.verdict(entry, key).value}
                    | (dataclasses.asdict(entry.rows[key]) if key in entry.rows else {})
                    | ({"listed": line.reason} if (line := comparison.deviation(entry, key)) else {})
                    for key in comparison.lines()
                ],
            }
            for entry in comparison.columns
        ],
    }


if __name__ == "__main__":
    raise SystemExit(main())
