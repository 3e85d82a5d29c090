"""The comparison as Markdown: what is wrong first, then packages, rows and every deviation with its reproduction."""

from __future__ import annotations

from report.markdown import _escape, _table, number

from others.verdicts import Column, Comparison, Row, State, Verdict

ABOUT = (
    "The contract's rows, held against the installed packages through the adapters in tests/contract/adapters, in "
    "float32. A row agrees if the largest error of all examples obeys a bound that is derived from the formula and the "
    "precision; a deviation is not a verdict on a package but a difference in a number, which the lines beside it "
    "print. What an adapter does not offer was not compared; rows that none of them offers are not shown."
)


def render(comparison: Comparison) -> str:
    """The whole report."""
    problems = comparison.problems()
    parts = [
        f"# Other people's code under the contract\n\nRevision `{comparison.revision}`, {comparison.date}.\n\n{ABOUT}",
        "## Problems\n\n" + "\n".join(f"* {_escape(line)}" for line in problems) if problems else "",
        _packages(comparison),
        _rows(comparison),
        _deviations(comparison),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def cell(verdict: Verdict, row: Row | None) -> str:
    """What stands where a row and a package meet."""
    if row is None:
        return verdict.value
    if row.exact:
        return verdict.value
    relation = "≤" if row.holds else ">"
    return f"{'✓' if row.holds else '✗'} {number(row.error)} {relation} {number(row.bound)}"


def heading(column: Column, row: Row) -> str:
    return f"{column.package.name} {column.version}: {row.quantity} [{row.id}]"


def size(row: Row) -> str:
    """By how much a row deviates, and where."""
    if row.exact:
        return f"{row.reason} ({row.test})"
    values = f", theirs {row.seen!r}, exact {row.expected!r}" if row.seen is not None else ""
    return f"off by {row.error:.3g} where {row.bound:.3g} is allowed ({row.reason}){values}; {row.test}"


def _packages(comparison: Comparison) -> str:
    counted = (Verdict.AGREES, Verdict.KNOWN, Verdict.UNLISTED, Verdict.NOT_OFFERED)
    head = ["package", "version", "what of it", *(verdict.value for verdict in counted), "seconds"]
    lines = []
    for column in comparison.columns:
        counts = comparison.counts(column)
        version = column.version or "not installed"
        if column.state is State.CRASHED:
            version += f": **{column.reason}**"
        numbers = [str(counts[verdict]) for verdict in counted]
        lines.append([column.package.name, version, column.package.about, *numbers, f"{column.seconds:.0f}"])
    return "## Packages\n\n" + _table(head, lines)


def _rows(comparison: Comparison) -> str:
    head = ["id", "quantity", *(column.package.name for column in comparison.columns)]
    lines = [
        [*key, *(cell(comparison.verdict(column, key), column.rows.get(key)) for column in comparison.columns)]
        for key in comparison.lines()
    ]
    legend = "`✓ error ≤ bound`, `✗ error > bound`; a row without numbers is a yes/no statement."
    return f"## Rows\n\n{legend}\n\n" + _table(head, lines) if lines else ""


def _deviations(comparison: Comparison) -> str:
    blocks = []
    for column, row, line in comparison.deviations():
        why = line.reason if line else "**not listed**"
        language = "sh" if row.reproduction.startswith("python -m") else "python"
        blocks.append(
            f"### {heading(column, row)}\n\n{why}\n\n{size(row)}\n\n```{language}\n{row.reproduction.strip()}\n```\n\n"
            f"prints\n\n```\n{row.printed.strip()}\n```"
        )
    return "## Deviations\n\n" + "\n\n".join(blocks) if blocks else ""
