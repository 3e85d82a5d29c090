"""What all figures share: panels, a colour and a line style for each label, axes of steps, writing the file.

Figures are made without pyplot, so that nothing opens a window and nothing has to be closed.
"""

import contextlib
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deep.errors import InvalidRun

# Okabe and Ito's colours, told apart by people with any kind of colour vision; yellow, too pale for a line, left out.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (6, 1)), (0, (3, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (8, 4)))
COLUMNS = 3


def panels(count: int, width: float = 4.6, height: float = 3.3) -> tuple[Any, list[Any]]:
    """A figure with ``count`` axes, at most COLUMNS side by side."""
    from matplotlib.figure import Figure

    columns = min(count, COLUMNS)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(max(width * columns, 6.0), max(height * rows, 4.0)), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for unused in axes[count:]:
        unused.remove()
    for at, used in enumerate(axes[:count]):
        if at + columns >= count:
            used.set_xlabel("environment steps")
        used.grid(alpha=0.3, linewidth=0.6)
        used.spines[["top", "right"]].set_visible(False)
    return figure, axes[:count]


def styles(labels: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colour and line style of each label: a label looks the same in every panel."""
    count = len(COLOURS)
    return {
        label: {"color": COLOURS[at % count], "linestyle": DASHES[at // count % len(DASHES)]}
        for at, label in enumerate(sorted(set(labels)))
    }


def count_steps(axes: Any) -> None:
    """Write the horizontal axis as environment steps: 200k, 1M."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: steps(value)))
    axes.margins(x=0.02)


def steps(value: float) -> str:
    """A number of steps in few characters."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.6g}{letter}"
    return f"{value:g}"


def legend(figure: Any, handles: dict[str, Any], title: str) -> None:
    """One legend for all panels, below them."""
    longest = max(map(len, handles))
    room = figure.get_size_inches()[0] * 12.0  # characters across, at this size
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside lower center",
        ncols=max(1, min(len(handles), int(room // (longest + 8)))),
        title=title,
        title_fontsize="small",
        fontsize="small",
        frameon=False,
    )


def save(figure: Any, path: Path) -> None:
    """Write a figure; the ending chooses the format (png, svg, pdf). InvalidRun when it cannot be written."""
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(partial, dpi=150)
        os.replace(partial, path)
    except (OSError, ValueError) as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise InvalidRun(f"cannot write the figure {path}: {error}") from error
