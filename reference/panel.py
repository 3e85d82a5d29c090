"""Titled tables of strings, for a terminal, a notebook or plain text; and the optional packages that draw.

A panel renders itself as plain text, as HTML, or as a rich table, the cells of a grid in colors.
"""

import html
import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

__all__ = ["WIDTH", "Panel", "axes_or_new", "heat_of", "require"]

WIDTH = 100  # characters of a line, where no terminal says otherwise


@dataclass(frozen=True)
class Panel:
    """A titled table of strings: with `columns` a table, without a grid; `facts` is a name and a text per row.

    `heat`, numbers from 0 to 1 in the shape of a grid's `rows`, colors its cells from dark blue to yellow.
    """

    title: str
    rows: Sequence[Sequence[str]]
    columns: Sequence[str] = ()
    notes: Sequence[str] = ()
    facts: bool = False
    heat: Sequence[Sequence[float]] = ()

    @property
    def width(self) -> int:
        """Characters of a line as rich draws it: each column with a space on both sides and a rule."""
        lines = [*self.rows, *([self.columns] if self.columns else [])]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return sum(widths) + (3 if self.roomy else 1) * len(widths) + 1

    @property
    def roomy(self) -> bool:
        """Whether cells of a grid have room for spaces: up to twelve in a row."""
        return bool(self.columns) or len(self.rows) == 0 or len(self.rows[0]) < 12

    def to_text(self) -> str:
        """Aligned columns, under their names."""
        lines = [list(row) for row in ([self.columns] if self.columns else []) + list(self.rows)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))] if lines else []
        justify = str.ljust if self.facts else str.rjust
        body = ["  ".join(justify(cell, width) for cell, width in zip(line, widths, strict=True)) for line in lines]
        return "\n".join([self.title, *(f"  {line}".rstrip() for line in body), *self.notes])

    def to_html(self) -> str:
        """A plain `<table>`."""
        align = "left" if self.facts else "right"
        heat = self.heat or [[math.nan] * len(row) for row in self.rows]
        cells = [
            "".join(
                f"<td style='text-align:{align}{_css(shade)}'>{html.escape(cell)}</td>"
                for cell, shade in zip(row, shades, strict=True)
            )
            for row, shades in zip(self.rows, heat, strict=True)
        ]
        head = ["".join(f"<th>{html.escape(column)}</th>" for column in self.columns)] if self.columns else []
        rows = "".join(f"<tr>{row}</tr>" for row in head + cells)
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return f"<table><caption>{html.escape(self.title)}</caption>{rows}</table>{notes}"

    def to_rich(self) -> Any:
        """A rich renderable. ModuleNotFoundError, with the line that installs it, if rich is missing."""
        text, box = require("rich.text").Text, require("rich.box")
        room = (0, 2, 0, 0) if self.facts else (0, int(self.roomy))
        drawn = require("rich.table").Table(
            box=box.SIMPLE_HEAD if self.columns else None if self.facts else box.SQUARE,
            show_header=bool(self.columns), show_lines=not (self.columns or self.facts),
            padding=0 if self.heat else room,
        )  # fmt: skip
        justify = "left" if self.facts else "right" if self.columns else "center"
        for name in self.columns or [""] * max((len(row) for row in self.rows), default=0):
            drawn.add_column(name, justify=justify, no_wrap=not self.facts)
        if self.heat:
            padded = require("rich.padding").Padding  # the only renderable that colors a cell up to its rules
            for row, shades in zip(self.rows, self.heat, strict=True):
                colored = zip(row, map(_rich_style, shades), strict=True)
                drawn.add_row(*(padded(text(cell, justify="center"), room, style=style) for cell, style in colored))
        else:
            for row in self.rows:
                drawn.add_row(*map(text, row))
        notes = [text(note, style="dim") for note in self.notes]
        return require("rich.console").Group(text(self.title, style="bold"), drawn, *notes)


_COLDEST, _MIDDLE, _HOTTEST = (0, 34, 78), (124, 123, 120), (254, 232, 56)  # readable without telling red from green
_BRIGHT = 0.55  # heat from which black is easier to read than white


def _color(heat: float) -> tuple[int, int, int]:
    low, high, share = (_COLDEST, _MIDDLE, 2.0 * heat) if heat < 0.5 else (_MIDDLE, _HOTTEST, 2.0 * heat - 1.0)
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(low, high, strict=True))
    return red, green, blue


def _ink(heat: float) -> str:
    return "black" if heat >= _BRIGHT else "white"


def _css(heat: float) -> str:
    return "" if math.isnan(heat) else f";background:rgb{_color(heat)};color:{_ink(heat)}".replace(", ", ",")


def _rich_style(heat: float) -> str:
    return "" if math.isnan(heat) else f"{_ink(heat)} on rgb{_color(heat)}".replace(", ", ",")


def heat_of(values: Float64[np.ndarray, " N"]) -> Float64[np.ndarray, " N"]:
    """Values scaled to [0, 1] for `Panel.heat`; NaN, which is no color, where there is no number."""
    finite = np.isfinite(values)
    if not finite.any():
        return np.full(values.shape, np.nan)
    low, high = float(values[finite].min()), float(values[finite].max())
    scaled = (np.where(finite, values, np.nan) / 2.0 - low / 2.0) / ((high / 2.0 - low / 2.0) or 1.0)
    return scaled if high > low else np.full(values.shape, np.nan)


def require(module: str) -> Any:
    """Import a module of the `show` extra, or say which extra is missing and how to install it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = f"showing this needs {module.partition('.')[0]}, which is not installed"
        raise ModuleNotFoundError(f'{missing}: pip install "roer[show]"') from error


def axes_or_new(ax: Any) -> Any:
    """`ax`, or new Axes where none are given."""
    return require("matplotlib.pyplot").subplots()[1] if ax is None else ax
