"""Learning curves, or what happened inside, of one or more runs."""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Literal

from deep.errors import InvalidSetting


def run(arguments: list[str]) -> int:
    """Draw the runs into one figure; status 0."""
    import tyro

    @dataclasses.dataclass(frozen=True)
    class Plot:
        """Plot runs: seeds of one preset become one line with its interval, each environment has its panel."""

        runs: tyro.conf.Positional[tuple[Path, ...]]
        """Run folders, or folders that hold them."""
        what: Literal["curves", "diagnostics"] = "curves"
        """curves: return against steps; diagnostics: losses, temperatures, entropy and experience weights."""
        statistic: Literal["iqm", "mean"] = "iqm"
        """What the curve of several seeds is: their interquartile mean or their mean."""
        output: Path | None = None
        """Figure to write; the ending chooses the format (png, svg, pdf). None means curves.png or diagnostics.png."""
        json: bool = False
        """Print the plotted numbers as JSON."""

    parsed = tyro.cli(Plot, prog="python -m deep plot", args=arguments, config=(tyro.conf.FlagCreatePairsOff,))
    if not parsed.runs:
        raise InvalidSetting("plot: expected at least one run folder")
    import numpy as np

    from deep import diagnostics, figures, plot
    from deep.statistics import interquartile_mean

    if parsed.what == "diagnostics":
        traces = diagnostics.read(parsed.runs)
        figure, numbers = diagnostics.draw(traces), diagnostics.to_json(traces)
    else:
        statistic, name = {
            "iqm": (interquartile_mean, "IQM"),
            "mean": (functools.partial(np.mean, axis=0), "mean"),
        }[parsed.statistic]
        found = plot.read(parsed.runs, statistic)
        figure, numbers = plot.draw(found, name), plot.to_json(found, name)
    output = parsed.output or Path(f"{parsed.what}.png")
    figures.save(figure, output)
    print(json.dumps(numbers) if parsed.json else output)
    return 0
