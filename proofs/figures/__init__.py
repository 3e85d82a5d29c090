"""Figures of the ledger: one for each chapter, and for single claims where a picture says more than a number.

A figure draws the formulas that its claim judges, evaluated by the same code, never a sketch of them. `figure(id)`
finds one, `svg(id)` draws it for a page and `save(id, path)` into a file. Which module draws what::

    weights    KL-09, KL-10, JS-05, JS-12, FD-01   weights against advantage, and their concentration
    losses     GUM-03                              the two minima of the mis-scaled loss
    dynamics   ESS-03, PRI-01, SAC-17              recursions that run away beside those that settle
    problems   OCC-09, BET-03                      whole problems against their temperature
    gradients  RL-27                               the variance of a policy gradient against its baseline
    course     RL-01, RL-09, RL-10, RL-12, RL-21,  what the course notes print, beside what holds
               RL-25
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

WIDTH, HEIGHT = 4.6, 3.1
"""Inches. Narrow, so that its letters are still letters when a phone scales it to its own width."""

FORMATS = (".svg", ".png", ".pdf")

_STYLE: dict[Any, Any] = {
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.4,
    "svg.hashsalt": "ledger",  # the same figure is the same file
    "figure.facecolor": "white",
}


@dataclasses.dataclass(frozen=True)
class Figure:
    """What a figure shows, in words, and the function that draws it on the Axes that it is handed."""

    caption: str
    draw: Callable[[Any], None]


FIGURES: dict[str, Figure] = {}

CHAPTERS: dict[str, str] = {
    "KL": "KL-10",
    "ESS": "ESS-03",
    "JS": "JS-05",
    "FD": "FD-01",
    "OCC": "OCC-09",
    "GUM": "GUM-03",
    "PRI": "PRI-01",
    "BET": "BET-03",
    "SAC": "SAC-17",
    "RL": "RL-27",
}
"""The figure that opens each chapter."""


def drawn(identifier: str, caption: str) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Enter the decorated function as the figure of the claim `identifier`; ValueError when it has one already."""

    def enter(draw: Callable[[Any], None]) -> Callable[[Any], None]:
        if identifier in FIGURES:
            raise ValueError(f"{identifier} has a figure already")
        FIGURES[identifier] = Figure(caption, draw)
        return draw

    return enter


@functools.cache
def figures() -> dict[str, Figure]:
    """Every figure, by the id of its claim."""
    from proofs.figures import course, dynamics, gradients, losses, problems, weights  # noqa: F401  (importing enters them)

    return FIGURES


def figure(identifier: str) -> Figure | None:
    """The figure of a claim, None when it has none."""
    return figures().get(identifier)


def save(identifier: str, target: Path | io.BytesIO, format: str) -> None:
    """Draw the figure of a claim into a file or a buffer, as "svg", "png" or "pdf"; KeyError when it has none."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    with rc_context(_STYLE):
        canvas = Canvas(figsize=(WIDTH, HEIGHT), layout="constrained")
        FigureCanvasAgg(canvas)
        figures()[identifier].draw(canvas.add_subplot())
        dated = {"Date": None} if format == "svg" else {"CreationDate": None} if format == "pdf" else None
        canvas.savefig(target, format=format, dpi=200, metadata=dated)


@functools.cache
def svg(identifier: str) -> str:
    """The figure of a claim as the address of an image that carries its own data."""
    buffer = io.BytesIO()
    save(identifier, buffer, "svg")
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"
