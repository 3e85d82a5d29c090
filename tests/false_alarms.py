"""Count the false alarms of the contract: `python tests/false_alarms.py --runs 200 --log alarms.jsonl`.

Every run is the quick contract with a seed of its own: other examples, other samples in the statistical rows, and
another parameter set of every test. A correct implementation must pass all of them; statistical rows are wrong with a
probability of at most 1e-9 each. The runs share their processes, so that programs are compiled once; every run's seed
is in the log, and `pytest tests/contract --quick --hypothesis-seed SEED` repeats it. What is in the log is not run
again, so a stopped count goes on where it was.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.progress import track

TESTS = Path(__file__).resolve().parent


class Failures:
    """A pytest plugin: which tests of a run failed, with their messages, and how many passed."""

    def __init__(self) -> None:
        self.failed: dict[str, str] = {}
        self.passed = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed[report.nodeid] = str(report.longrepr)[-2000:]
        elif report.when == "call" and report.passed:
            self.passed += 1


def run(seed: int, tests: list[str], precision: str) -> dict:
    """One quick contract in this process; the line of the log."""
    os.environ["JAX_ENABLE_X64"] = "1" if precision == "float64" else "0"  # read when the first run imports JAX
    failures, began = Failures(), time.monotonic()
    # Without the type checker's import hook, which wants every process for itself.
    options = ["-o", "addopts=--import-mode=importlib", "-p", "no:cacheprovider", "-p", "no:randomly", "--quick"]
    with contextlib.redirect_stdout(io.StringIO()) as told:
        status = pytest.main([*options, f"--hypothesis-seed={seed}", *tests], plugins=[failures])
    return {
        "seed": seed,
        "status": int(status),
        "passed": failures.passed,
        "failed": failures.failed,
        "said": "" if status == 0 else told.getvalue()[-2000:],
        "seconds": round(time.monotonic() - began, 1),
    }


def green(line: dict) -> bool:
    """Whether a run ended with every test passed, and had tests at all."""
    return line["status"] == 0 and not line["failed"] and line["passed"] > 0


def main(arguments: list[str] | None = None, once: Callable[[int, list[str], str], dict] = run) -> int:
    """Exit status 0 where every run was green."""
    parser = argparse.ArgumentParser(prog="python tests/false_alarms.py", description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="how many quick contracts (default 200)")
    parser.add_argument("--first", type=int, default=1, help="the first seed (default 1)")
    parser.add_argument("--precision", choices=("float32", "float64"), default="float32", help="default float32")
    parser.add_argument("--log", type=Path, default=Path("false_alarms.jsonl"), help="a line of JSON for every run")
    parser.add_argument("tests", nargs="*", default=[str(TESTS / "contract")], help="what is run (default: all of it)")
    options = parser.parse_args(arguments)
    options.log.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.loads(text) for text in options.log.read_text().splitlines()] if options.log.exists() else []
    wanted = range(options.first, options.first + options.runs)
    lines = [line for line in lines if line["seed"] in wanted and line["precision"] == options.precision]
    missing = [seed for seed in wanted if seed not in {line["seed"] for line in lines}]
    for seed in track(missing, description="quick contracts"):
        line = {"precision": options.precision, **once(seed, options.tests, options.precision)}
        if not line["passed"] and not line["failed"]:
            # Not a verdict on the code under test, so it is not in the log: mended, the count begins with this seed.
            said = line["said"].strip() or "nothing"
            print(
                f"seed {seed}: expected tests to run, saw none (exit status {line['status']}). Are the packages and "
                f"the tests' group installed, as `tox run -e alarms` does it? pytest said:\n{said}",
                file=sys.stderr,
            )
            return 2
        lines.append(line)
        with options.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if not green(line):
            print(f"seed {seed}: exit status {line['status']}, failed {list(line['failed'])}", flush=True)
    red = [line["seed"] for line in lines if not green(line)]
    tests = sum(line["passed"] for line in lines)
    verdict = f"{len(red)} not green: seeds {red}" if red else "all green"
    print(f"{len(lines)} runs in {options.precision}, {tests} tests passed, {verdict}")
    return 1 if red or len(lines) < options.runs else 0


if __name__ == "__main__":
    sys.exit(main())
