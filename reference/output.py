"""How the command line answers: tables or JSON on standard output, figures in files that appear whole or not at all."""

import contextlib
import json
import math
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reference.panel import WIDTH, Panel, require

__all__ = ["check_plot", "page_width", "report", "waiting", "write_plot"]

_PATIENCE = 0.5  # seconds after which a terminal is told what takes so long


@contextlib.contextmanager
def waiting(what: str) -> Iterator[None]:
    """While the block runs, say on a terminal's standard error what is being done and for how long."""
    progress = _spinner()
    if progress is None:
        yield
        return
    progress.add_task(what)
    begin = threading.Timer(_PATIENCE, progress.start)
    begin.start()
    try:
        yield
    finally:
        begin.cancel()
        begin.join()
        progress.stop()


def report(title: str, facts: dict[str, Any], lines: Sequence[str], panels: Sequence[Panel], *, as_json: bool) -> None:
    """Print `facts` as JSON, or lines and panels: with rich where it is installed, in plain text where it is not."""
    if as_json:
        print(json.dumps(plain(facts), allow_nan=False))
        return
    print("\n".join([title, *lines]))
    try:
        console = require("rich.console").Console(highlight=False, width=page_width())
    except ModuleNotFoundError:
        for panel in panels:
            print(f"\n{panel.to_text()}")
        return
    for panel in panels:
        console.print()
        console.print(panel.to_rich())


def _spinner() -> Any:
    """A line with a clock on standard error; None where that is no terminal or rich is not installed."""
    try:
        console, bars = require("rich.console").Console(stderr=True), require("rich.progress")
    except ModuleNotFoundError:
        return None
    if not console.is_terminal:
        return None
    return bars.Progress(
        bars.SpinnerColumn(), bars.TextColumn("{task.description}", markup=False), bars.TimeElapsedColumn(),
        console=console, transient=True, redirect_stdout=False, redirect_stderr=False,
    )  # fmt: skip


def page_width() -> int:
    """Characters of a line: those of the terminal, and of a page where output goes to a file."""
    return shutil.get_terminal_size((WIDTH, 24)).columns


def plain(value: Any) -> Any:
    """Lists and numbers for JSON, every digit kept; what is not finite becomes null."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def check_plot(path: Path) -> None:
    """Before any work: the format is known, the folder is there, matplotlib is installed."""
    if path.suffix not in (".png", ".pdf", ".svg"):
        raise ValueError(f"cannot plot to {str(path)!r}: expected a name that ends in .png, .pdf or .svg")
    if not path.parent.is_dir():
        raise ValueError(f"cannot plot to {str(path)!r}: there is no folder {str(path.parent)!r}")
    require("matplotlib")


def write_plot(file: str | None, inches: tuple[float, float], draw: Callable[[Any], Any]) -> None:
    """Write the figure whole or not at all, without a window and without touching pyplot's state."""
    if file is None:
        return
    figure = require("matplotlib.figure").Figure(figsize=inches, layout="constrained")
    draw(figure.add_subplot())
    target = Path(file)
    partial = target.with_name(f".{target.stem}.{secrets.token_hex(4)}.partial{target.suffix}")
    try:
        figure.savefig(partial, dpi=150)
        os.replace(partial, target)  # same folder, hence atomic
    finally:
        partial.unlink(missing_ok=True)
