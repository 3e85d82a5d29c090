"""The matrix as Markdown: what is wrong first, then what ran and what did not, then every number."""

from __future__ import annotations

from report.cells import Cell, Row, State
from report.matrix import SETTINGS, VERSIONS, Matrix

LEGEND = (
    "`✓ error ≤ bound`: the largest error seen, beside the bound it must obey. `✗`: broken. `∼`: skipped. "
    "`?`: the cell did not run. `–`: its test was left out of this cell, and run in another. Empty: the cell does not "
    "measure it. A row without numbers is a yes/no statement."
)


def render(matrix: Matrix) -> str:
    """The whole report."""
    parts = [
        f"# Matrix\n\n**{matrix.count_line()}.** Revision `{matrix.revision}`, {matrix.date}.",
        _broken(matrix),
        _not_run(matrix),
        _cells(matrix),
        _faults(matrix),
        _rows(matrix),
        _tightest(matrix),
        _skipped(matrix),
        _left_out(matrix),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def number(value: float) -> str:
    """Two digits say enough."""
    return "0" if value == 0.0 else f"{value:.1e}"


def mark(matrix: Matrix, key: tuple[str, str], cell: Cell) -> str:
    """What stands where a line and a column meet."""
    row = cell.rows.get(key)
    if row is None:
        return "?" if not cell.state.ran else "–" if matrix.is_left_out(key, cell) else ""
    sign = "✗" if row.broken else "∼" if row.skipped else "✓"
    if row.exact:
        return sign
    return f"{sign} {number(row.error)} {'≤' if row.error <= row.bound else '>'} {number(row.bound)}"


def broken_line(matrix: Matrix, key: tuple[str, str], row: Row) -> str:
    """One broken line of the matrix in words."""
    where = matrix.cells_with(key, broken=True)
    holds = matrix.cells_with(key, broken=False)
    numbers = row.reason if row.exact else f"error {number(row.error)}, bound {number(row.bound)} ({row.reason})"
    others = f"; holds in {len(holds)} other{'s' if len(holds) != 1 else ''}" if holds else ""
    return f"{row.quantity} [{row.id}]: {numbers}. Broken in {', '.join(where)}{others}. Test: {row.test}"


def _broken(matrix: Matrix) -> str:
    blocks = [
        f"## {title}\n\n" + "\n".join(f"* {_escape(broken_line(matrix, key, row))}" for key, row in pairs)
        for title, pairs in matrix.broken_groups()
    ]
    tests = matrix.broken_tests()
    if tests:
        lines = [
            f"* `{test}` in {', '.join(problems)}: {_escape(next(iter(problems.values())).message)}"
            for test, problems in tests.items()
        ]
        blocks.append("## Failing tests\n\n" + "\n".join(lines))
    return "\n\n".join(blocks)


def _not_run(matrix: Matrix) -> str:
    lines = [f"* `{cell.name}`: {cell.state.value}. {_escape(cell.reason)}" for cell in matrix.explained()]
    if matrix.not_selected():
        lines.append(f"* {State.NOT_SELECTED.value}: {', '.join(matrix.not_selected())}")
    if not lines:
        return ""
    return "## Cells that did not run or did not end well\n\n" + "\n".join(lines)


def _cells(matrix: Matrix) -> str:
    shown = [name for name in (*VERSIONS, *SETTINGS) if any(cell.versions.get(name) for cell in matrix.cells)]
    head = ["cell", "state", "passed", "failed", "skipped", "rows", "seconds", *shown]
    lines = [
        [
            f"`{cell.name}`",
            cell.state.value if cell.state is State.OK else f"**{cell.state.value}**",
            *(str(count) for count in (cell.passed, cell.failed, cell.skipped, len(cell.rows))),
            f"{cell.seconds:.0f}",
            *(cell.versions.get(name, "") for name in shown),
        ]
        for cell in matrix.cells
    ]
    return "## Cells\n\n" + _table(head, lines)


def _faults(matrix: Matrix) -> str:
    head = ["fault", "planted in", "what noticed it", "precision", "s"]
    lines = [
        [f"{fault.id} {fault.what}", f"`{fault.file}`", fault.message, fault.precision, f"{fault.seconds:.0f}"]
        for cell in matrix.cells
        for fault in cell.faults
    ]
    return f"## Planted faults that were caught: {len(lines)}\n\n" + _table(head, lines) if lines else ""


def _rows(matrix: Matrix) -> str:
    columns = matrix.columns
    blocks = []
    for name, keys in matrix.chapters().items():
        # A chapter that a cell could not have measured is not shown for it; a cell that did not run might have.
        present = [cell for cell in columns if not cell.state.ran or any(key in cell.rows for key in keys)]
        head = ["id", "quantity", *("<br>".join(cell.name.split("-")) for cell in present)]
        lines = [[key[0], key[1], *(mark(matrix, key, cell) for cell in present)] for key in keys]
        blocks.append(f"### {name}\n\n" + _table(head, lines))
    return "## Rows\n\n" + LEGEND + "\n\n" + "\n\n".join(blocks) if blocks else ""


def _tightest(matrix: Matrix) -> str:
    closest = matrix.tightest(5)
    if not closest:
        return ""
    lines = [
        f"* {_escape(row.quantity)} [{row.id}] in `{cell.name}`: {row.severity:.0%} of its bound"
        for cell, row in closest
    ]
    return "## Closest to their bounds\n\n" + "\n".join(lines)


def _skipped(matrix: Matrix) -> str:
    skipped = matrix.skipped_tests()
    if not skipped:
        return ""
    lines = [f"* `{test}` in {', '.join(cells)}: {_escape(why)}" for (test, why), cells in skipped.items()]
    return "## Skipped tests\n\n" + "\n".join(lines)


def _left_out(matrix: Matrix) -> str:
    tests = matrix.left_out_everywhere()
    return "## Left out of every cell that ran\n\n" + "\n".join(f"* `{test}`" for test in tests) if tests else ""


def _table(head: list[str], lines: list[list[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(_escape(entry) for entry in row) + " |" for row in rows)


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
