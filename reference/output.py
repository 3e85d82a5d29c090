"""How the command line answers: tables or JSON on standard output, figures in files that appear whole or not at all."""

import json
import math
import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reference import show

__all__ = ["check_plot", "page_width", "report", "write_plot"]


def report(
    title: str, facts: dict[str, Any], lines: Sequence[str], panels: Sequence[show.Panel], *, as_json: bool
) -> None:
    """Print `facts` as JSON, or lines and panels: with rich where it is installed, in plain text where it is not."""
    if as_json:
        print(json.dumps(plain(facts), allow_nan=False))
        return
    print("\n".join([title, *lines]))
    try:
        console = show.require("rich.console").Console(highlight=False, width=page_width())
    except ModuleNotFoundError:
        for panel in panels:
            print(f"\n{panel.to_text()}")
        return
    for panel in panels:
        console.print()
        console.print(panel.to_rich())


def page_width() -> int:
    """Characters of a line: those of the terminal, and of a page where output goes to a file."""
    return shutil.get_terminal_size((show.WIDTH, 24)).columns


def plain(value: Any) -> Any:
    """Lists and numbers for JSON, every digit kept; what is not finite becomes null."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list):
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
    show.require("matplotlib")


def write_plot(file: str | None, inches: tuple[float, float], draw: Callable[[Any], Any]) -> None:
    """Write the figure whole or not at all, without a window and without touching pyplot's state."""
    if file is None:
        return
    figure = show.require("matplotlib.figure").Figure(figsize=inches, layout="constrained")
    draw(figure.add_subplot())
    target = Path(file)
    partial = target.with_name(f".{target.stem}.{secrets.token_hex(4)}.partial{target.suffix}")
    try:
        figure.savefig(partial, dpi=150)
        os.replace(partial, target)  # same folder, hence atomic
    finally:
        partial.unlink(missing_ok=True)
