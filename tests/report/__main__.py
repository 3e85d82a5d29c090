"""Read every cell of the tox run that just ended, write the matrix, and exit non-zero if something is wrong."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
from pathlib import Path

from report import machine, markdown, page, sources
from report.cells import State, read
from report.matrix import Matrix

ROOT = Path(__file__).resolve().parents[2]


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m report", description=__doc__)
    parser.add_argument(
        "--from", dest="source", type=Path, required=True, help="folder in which the cells left their files"
    )
    parser.add_argument("--to", dest="target", type=Path, required=True, help="folder for matrix.html, .md, .json")
    options = parser.parse_args(arguments)
    try:
        session = json.loads((options.source / "session.json").read_text(encoding="utf-8"))
        names, selected = list(session["cells"]), set(session["selected"])
    except (OSError, ValueError, KeyError, TypeError) as problem:
        print(
            f"expected a tox session in {options.source / 'session.json'}, saw {type(problem).__name__}: {problem}\n"
            "toxfile.py writes it when tox starts the report: run `tox run-parallel`, not this module by hand",
            file=sys.stderr,
        )
        return 2
    matrix = Matrix(
        cells=tuple(read(name, options.source, selected=name in selected) for name in names),
        revision=revision(),
        date=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        ci=bool(os.environ.get("CI")),
    )
    options.target.mkdir(parents=True, exist_ok=True)
    found = sources.read(ROOT)
    files = {
        "matrix.md": markdown.render(matrix),
        "matrix.html": page.render(matrix, found),
        "matrix.json": machine.render(matrix, found),
    }
    for name, text in files.items():
        partial = options.target / f"{name}.partial"
        partial.write_text(text, encoding="utf-8")
        partial.replace(options.target / name)
    forget(options.source, names)
    verdict = f"matrix: {options.target / 'matrix.html'}\n{matrix.count_line()}\n"
    (options.source / "verdict.txt").write_text(verdict, encoding="utf-8")  # tox prints it once more, at the very end
    print(summary(matrix))
    print(verdict, end="")
    return 0 if matrix.holds else 1


def summary(matrix: Matrix) -> str:
    """What a terminal needs: one line per cell, then what is wrong."""
    shown = [cell for cell in matrix.cells if cell.name not in matrix.not_selected()]
    width = max((len(cell.name) for cell in shown), default=0)
    lines = []
    for cell in shown:
        counts = f"{cell.passed} passed, {cell.failed} failed, {cell.skipped} skipped" if cell.state.ran else ""
        lines.append(
            "  ".join(part for part in (cell.name.ljust(width), cell.state.value, counts, cell.reason) if part)
        )
    if matrix.not_selected():
        lines.append(f"{State.NOT_SELECTED.value}: {', '.join(matrix.not_selected())}")
    for title, pairs in matrix.broken_groups():
        lines += ["", f"{title}:", *(f"  {markdown.broken_line(matrix, key, row)}" for key, row in pairs)]
    return "\n".join(lines) + "\n"


def forget(folder: Path, names: list[str]) -> None:
    """Delete what was read: a stale file must never speak for a later run."""
    for name in ("session", *names):
        for suffix in (".json", ".xml"):
            (folder / f"{name}{suffix}").unlink(missing_ok=True)


def revision() -> str:
    """The commit of the checkout, marked where the work tree differs from it."""
    try:
        head = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        changes = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+changes" if changes.stdout.strip() else "")


if __name__ == "__main__":
    raise SystemExit(main())
