"""`python -m proofs`: the ledger from a terminal."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_DESCRIPTION = """\
Executes the ledger: for each formula that the sources state, a program computes whether it is TRUE, FALSE, TRUE IF a
condition holds, or a THEOREM that this toolkit adds, and compares that with the verdict stated in the ledger."""

_EPILOG = """\
verdicts
  TRUE       holds as stated
  FALSE      fails; the counterexample and the corrected statement are computed too
  TRUE IF    holds under a condition that the source leaves out; one instance with it, one without
  THEOREM    a companion result of this toolkit

methods
  S symbolic identity          Q exact rationals                   B ball arithmetic (rigorous enclosures)
  C two-sided certificate around a conic solver's answer           P property over a family of exact instances

examples
  python -m proofs                                  the whole ledger
  python -m proofs --only JS                        one chapter; --only JS-05 one claim
  python -m proofs --source 002                     what is claimed in one source
  python -m proofs --format html --output ledger.html
  python -m proofs show JS-05                       one claim as a page: statement, derivation, numbers
  python -m proofs show JS-05 --figure js-05.svg    and its figure, where a picture helps

exit status: 0 all verdicts as stated, 1 a verdict differs, 2 a wrong argument or a missing package"""

_NEEDS = {
    "sympy": "sympy",
    "flint": "python-flint",
    "mpmath": "mpmath",
    "cvxpy": "cvxpy",
    "clarabel": "clarabel",
    "rich": "rich",
    "matplotlib": "matplotlib",
}


class UsageError(Exception):
    """Something the caller has to change; its message is what is printed."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    root = argparse.ArgumentParser(
        prog="python -m proofs",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument(
        "--only", action="append", default=[], metavar="ID", help="a chapter (JS) or an id (JS-05); repeatable"
    )
    root.add_argument("--source", metavar="NAME", help="only claims about one source: 000 to 004, ROER, toolkit")
    root.add_argument(
        "--format", choices=("table", "md", "html", "json"), default="table", help="how to print it (default: table)"
    )
    root.add_argument(
        "--output", metavar="FILE", type=Path, help="write there instead of printing; replaced only when complete"
    )
    root.add_argument("--quiet", action="store_true", help="no progress")
    commands = root.add_subparsers(dest="command", metavar="show ID")
    show = commands.add_parser(
        "show",
        help="one claim as a page",
        description="One claim as a page: statement, derivation in steps, numbers, verdict.",
    )
    show.add_argument("id", help="the id of the claim, for example JS-05")
    show.add_argument("--figure", metavar="FILE", type=Path, help="draw its figure there: .svg, .png or .pdf")
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    chosen = parser().parse_args(arguments)
    try:
        return _run(chosen)
    except UsageError as problem:
        print(f"proofs: error: {problem}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader of the pipe has gone; without this Python would complain again while it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as problem:
        print(f"proofs: error: {problem.filename or 'output'}: {problem.strerror or problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("proofs: interrupted; nothing was written", file=sys.stderr)
        return 130


def _run(chosen: argparse.Namespace) -> int:
    for module, distribution in _NEEDS.items():
        if importlib.util.find_spec(module) is None:
            raise UsageError(f'this needs {distribution}, which is not installed: pip install "roer[proofs]"')
    from proofs import ledger, page, render, web

    try:
        claims = [ledger.find(chosen.id)] if chosen.command else ledger.select(chosen.only, chosen.source)
    except ledger.UnknownClaim as problem:
        raise UsageError(problem) from None
    if chosen.output is not None:
        _check_writable("--output", chosen.output)
    if chosen.command and chosen.figure is not None:
        _draw(claims[0].id, chosen.figure)
    with _progress(len(claims), chosen.quiet) as report:
        results = list(ledger.execute(claims, report))
    if chosen.command:
        content = page.text(results[0])
    elif chosen.format == "json":
        content = render.json_text(results)
    elif chosen.format == "md":
        content = render.markdown(results)
    elif chosen.format == "html":
        content = web.document(results)
    else:
        to_terminal = chosen.output is None and sys.stdout.isatty()
        content = render.table(results, width=None if to_terminal else 160, color=to_terminal)
    if chosen.output is None:
        sys.stdout.write(content)
    else:
        _write(chosen.output, content)
        print(f"{render.summary(results)}\nwrote {chosen.output}", file=sys.stderr)
    for note in render.notes(results):
        print(f"proofs: {note}", file=sys.stderr)
    return 0 if all(result.agrees for result in results) else 1


def _check_writable(option: str, path: Path) -> None:
    """Complain before minutes of work rather than after them."""
    if path.is_dir():
        raise UsageError(f"{option} {path} is a directory; name a file")
    if not path.resolve().parent.is_dir():
        raise UsageError(f"{option} {path}: the directory {path.resolve().parent} does not exist; create it first")


def _draw(identifier: str, path: Path) -> None:
    """The figure of a claim as a file, in the format that its name ends in."""
    from proofs import figures

    if figures.figure(identifier) is None:
        raise UsageError(f"{identifier} has no figure; these have one: {', '.join(sorted(figures.figures()))}")
    if path.suffix.lower() not in figures.FORMATS:
        raise UsageError(f"--figure {path}: expected a name that ends in {', '.join(figures.FORMATS)}")
    _check_writable("--figure", path)
    buffer = io.BytesIO()
    figures.save(identifier, buffer, path.suffix.lower()[1:])
    _write(path, buffer.getvalue())
    print(f"wrote {path}", file=sys.stderr)


def _write(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all."""
    target = path.resolve()
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content if isinstance(content, bytes) else content.encode())
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
        os.chmod(temporary, mode)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


@contextlib.contextmanager
def _progress(total: int, quiet: bool) -> Iterator[Any]:
    """A bar on a terminal, one line for each claim otherwise, both on standard error."""
    if quiet:
        yield lambda result: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("starting", total=total)

            def advance(result: Any) -> None:
                bar.update(task, advance=1, description=f"{result.claim.id} {result.verdict[:40]}")

            yield advance
    else:
        yield lambda result: print(
            f"{result.claim.id}  {result.verdict}  ({result.seconds:.1f} s)", file=sys.stderr, flush=True
        )


if __name__ == "__main__":
    sys.exit(main())
