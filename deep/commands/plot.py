"""``plot``."""

import dataclasses
from pathlib import Path

import tyro

from deep.errors import InvalidSetting


def run(arguments: list[str]) -> int:
    """Learning curves of one or more runs."""

    @dataclasses.dataclass(frozen=True)
    class Plot:
        """Plot learning curves: seeds of the same environment and preset become one line with its interval."""

        runs: tyro.conf.Positional[tuple[Path, ...]]
        """Run folders."""
        output: Path = Path("curves.png")
        """Figure to write; the ending chooses the format (png, svg, pdf)."""

    parsed = tyro.cli(Plot, prog="python -m deep plot", args=arguments)
    if not parsed.runs:
        raise InvalidSetting("plot: expected at least one run folder")
    from deep import plot

    plot.save(plot.curves(list(parsed.runs)), parsed.output)
    print(parsed.output)
    return 0
