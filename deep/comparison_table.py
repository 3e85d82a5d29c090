"""A comparison on the terminal, in Markdown, as JSON and as a figure."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from deep import figures
from deep.compare import Comparison, Entry, Overall
from deep.statistics import CONFIDENCE, Interval

WIDTH = 160  # of a pipe or a file, which has none of its own


class Table(NamedTuple):
    """A title, the heads of the columns, and rows of as many words."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables(comparison: Comparison) -> list[Table]:
    """Final returns by task; and scores over all tasks, where there are any."""
    versus = f"vs {comparison.baseline}"
    heads = ("task", "steps", "preset", "runs", "IQM of returns", "median", f"IQM {versus}", f"P(better) {versus}")
    found = [Table("Final returns", heads, tuple(_entry_row(entry) for entry in comparison.entries))]
    if comparison.overall:
        count = len(comparison.tasks)
        title = f"Scores over {count} task{'s' * (count > 1)} (0: random actions, 1: mean of {comparison.baseline})"
        heads = ("preset", "IQM", "mean", "median", "optimality gap", f"P(better) {versus}")
        found.append(Table(title, heads, tuple(_overall_row(overall) for overall in comparison.overall)))
    return found


def show(comparison: Comparison) -> None:
    """Print the tables and the notes."""
    from rich.console import Console
    from rich.table import Table as Grid

    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    for table in tables(comparison):
        grid = Grid(title=table.title, title_justify="left")
        for at, head in enumerate(table.heads):
            words = at == 0 or head == "preset"
            grid.add_column(head, justify="left" if words else "right", no_wrap=words)
        for at, row in enumerate(table.rows):
            following = table.rows[min(at + 1, len(table.rows) - 1)]
            grid.add_row(*row, end_section=table.heads[0] == "task" and following[0] != row[0])
        console.print(grid, markup=False)
    for note in _notes(comparison):
        console.print(f"  {note}", markup=False, highlight=False, soft_wrap=True)


def markdown(comparison: Comparison) -> str:
    """The tables and the notes as GitHub's Markdown."""
    parts = []
    for table in tables(comparison):
        lines = [table.heads, tuple("---" for _ in table.heads), *table.rows]
        rows = "\n".join("| " + " | ".join(word.replace("|", "\\|") for word in line) + " |" for line in lines)
        parts.append(f"**{table.title}**\n\n{rows}")
    parts.append("\n".join(f"* {note}" for note in _notes(comparison)))
    return "\n\n".join(parts)


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Everything, as JSON values; the intervals as objects of estimate, low and high."""
    entries = [
        {name: _plain(value) for name, value in entry._asdict().items()} | {"returns": entry.returns.tolist()}
        for entry in comparison.entries
    ]
    overall = [
        {name: _plain(value) for name, value in one._asdict().items()}
        | {"profile": {name: values.tolist() for name, values in one.profile._asdict().items()}}
        for one in comparison.overall
    ]
    return {
        "baseline": comparison.baseline,
        "confidence": CONFIDENCE,
        "entries": entries,
        "tasks": list(comparison.tasks),
        "thresholds": comparison.thresholds.tolist(),
        "overall": overall,
        "notes": list(comparison.notes),
    }


def figure(comparison: Comparison) -> Any:
    """Performance profiles, and beside them each preset's probability of improvement on the baseline."""
    drawn, axes = figures.panels(2, width=5.0, height=3.6)
    looks = figures.styles([entry.label for entry in comparison.entries])
    handles = _draw_profiles(axes[0], comparison, looks)
    _draw_improvement(axes[1], comparison, looks)
    figures.legend(drawn, handles, f"{CONFIDENCE:.0%} stratified bootstrap intervals")
    return drawn


def _draw_profiles(axes: Any, comparison: Comparison, looks: dict[str, dict[str, Any]]) -> dict[str, Any]:
    handles = {}
    for one in comparison.overall:
        (line,) = axes.plot(comparison.thresholds, one.profile.estimate, drawstyle="steps-post", **looks[one.label])
        axes.fill_between(
            comparison.thresholds,
            one.profile.low,
            one.profile.high,
            color=looks[one.label]["color"],
            alpha=0.18,
            linewidth=0,
            step="post",
        )
        handles[one.label] = line
    axes.set_title("performance profile", fontsize="medium")
    axes.set_xlabel(f"score $\\tau$  (0: random actions, 1: mean of {comparison.baseline})")
    axes.set_ylabel("fraction of runs with score > $\\tau$")
    axes.set_ylim(-0.02, 1.02)
    return handles


def _draw_improvement(axes: Any, comparison: Comparison, looks: dict[str, dict[str, Any]]) -> None:
    rated = [(one.label, one.improvement) for one in comparison.overall if one.improvement is not None]
    for at, (label, chance) in enumerate(reversed(rated)):
        colour = looks[label]["color"]
        axes.barh(at, chance.high - chance.low, left=chance.low, height=0.5, color=colour, alpha=0.35, linewidth=0)
        axes.plot([chance.estimate] * 2, [at - 0.25, at + 0.25], color=colour, linewidth=2)
    axes.axvline(0.5, color="0.3", linewidth=0.8, linestyle="--")
    axes.set_yticks(range(len(rated)), [label for label, _ in reversed(rated)])
    axes.set_ylim(-0.6 - max(0, 3 - len(rated)) / 2, len(rated) - 0.4 + max(0, 3 - len(rated)) / 2)
    axes.set_xlim(-0.02, 1.02)
    axes.grid(visible=False, axis="y")
    axes.set_title("probability of improvement", fontsize="medium")
    axes.set_xlabel(f"P(a run scores above a run of {comparison.baseline})")


def _entry_row(entry: Entry) -> tuple[str, ...]:
    digits = 0 if abs(entry.iqm.estimate) >= 1000 else 1
    return (
        entry.environment,
        f"{entry.step:,}",
        entry.label,
        str(len(entry.seeds)),
        _interval(entry.iqm, f",.{digits}f", alone=len(entry.seeds) == 1),
        f"{entry.median:,.{digits}f}",
        _interval(entry.difference, f"+,.{digits}f"),
        _interval(entry.improvement, ".2f"),
    )


def _overall_row(one: Overall) -> tuple[str, ...]:
    intervals = (one.iqm, one.mean, one.median, one.optimality_gap, one.improvement)
    return (one.label, *(_interval(interval, ".2f") for interval in intervals))


def _interval(interval: Interval | None, form: str, *, alone: bool = False) -> str:
    if interval is None:
        return "-"
    estimate = f"{interval.estimate:{form}}"
    return estimate if alone else f"{estimate} [{interval.low:{form}}, {interval.high:{form}}]"


def _notes(comparison: Comparison) -> Sequence[str]:
    meaning = (
        f"[a, b]: {CONFIDENCE:.0%} stratified bootstrap interval; IQM: interquartile mean; P(better): probability that "
        "a run does better than one of the baseline, ties counted half"
    )
    return (meaning, *comparison.notes)


def _plain(value: Any) -> Any:
    return value._asdict() if isinstance(value, Interval) else value
