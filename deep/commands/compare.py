"""Final returns of several presets side by side, with intervals."""

import dataclasses
import json
from pathlib import Path

from deep.errors import InvalidSetting


def run(arguments: list[str]) -> int:
    """Print the comparison; status 0."""
    import tyro

    @dataclasses.dataclass(frozen=True)
    class Compare:
        """Compare presets: returns by task, and scores over all tasks when every preset was run on them."""

        runs: tyro.conf.Positional[tuple[Path, ...]]
        """Run folders, or folders that hold them."""
        baseline: str | None = None
        """Preset that the others are compared with; none means sac if it is there, else the first by name."""
        at: int | None = None
        """Compare the evaluations at this step; none means the last ones, which must then be at equal steps."""
        output: Path | None = None
        """Figure to write (png, svg, pdf): performance profiles and probability of improvement."""
        json: bool = False
        """Print every number as JSON instead of the table."""
        markdown: bool = False
        """Print Markdown instead of the table."""

    parsed = tyro.cli(Compare, prog="python -m deep compare", args=arguments, config=(tyro.conf.FlagCreatePairsOff,))
    if not parsed.runs:
        raise InvalidSetting("compare: expected at least one run folder")
    if parsed.json and parsed.markdown:
        raise InvalidSetting("--json and --markdown: expected one of them")
    from deep import comparison_table as table
    from deep import figures, results
    from deep.compare import compare

    comparison = compare([results.read(one) for one in results.folders(parsed.runs)], parsed.baseline, parsed.at)
    if parsed.output is not None:
        if not comparison.overall:
            raise InvalidSetting(f"--output: there is nothing to draw: {comparison.notes[0]}")
        figures.save(table.figure(comparison), parsed.output)
    if parsed.json:
        print(json.dumps(table.to_json(comparison)))
    elif parsed.markdown:
        print(table.markdown(comparison))
    else:
        table.show(comparison)
    return 0
