"""The matrix as one stand-alone HTML page: no script, no font, nothing fetched.

Every id unfolds to what it states and to links into the repository, which the page finds two folders above itself.
"""

from __future__ import annotations

import math
from html import escape

from report.cells import Cell, Row, State
from report.markdown import LEGEND, broken_line, number
from report.matrix import SETTINGS, VERSIONS, Key, Matrix
from report.sources import Place, Sources

_DECADES = 6  # the bar is logarithmic: empty at a millionth of the bound, full at the bound

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #2a8a4a; --bad: #c62828; --idle: #888; --paper: Canvas; }
body { font: 14px/1.45 system-ui, sans-serif; margin: 2rem; color: CanvasText; background: var(--paper); }
h1 { margin: 0 0 .2rem; } h2 { margin: 2rem 0 .5rem; font-size: 1.15rem; }
.verdict { font-size: 1.1rem; font-weight: 600; } .good { color: var(--good); } .bad { color: var(--bad); }
.idle { color: var(--idle); } .scroll { overflow: auto; max-height: 85vh; border: 1px solid var(--line); }
table { border-collapse: separate; border-spacing: 0; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .5rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
thead th { position: sticky; top: 0; background: var(--paper); z-index: 2; font-weight: 600; }
tbody th { position: sticky; left: 0; background: var(--paper); font-weight: 400; width: 20rem; min-width: 15rem;
  overflow-wrap: anywhere; }
thead th:first-child { left: 0; z-index: 3; }
tr.chapter th { font-weight: 700; padding-top: 1rem; } tr.id summary { font-weight: 600; }
tbody a { color: inherit; text-decoration-color: var(--idle); } summary { cursor: pointer; }
@media (max-width: 700px) { body { margin: .7rem; } tbody th { min-width: 9rem; width: 11rem; max-width: 11rem; } }
td.number { white-space: nowrap; font-size: 12px; } td.broken { background: #c6282822; }
.bar { display: block; height: 4px; margin-top: 2px; background: var(--line); min-width: 6rem; }
.bar i { display: block; height: 100%; background: var(--good); } .broken .bar i { background: var(--bad); }
code { font-size: 12px; } li { margin: .2rem 0; overflow-wrap: anywhere; }
"""


def render(matrix: Matrix, sources: Sources) -> str:
    """The whole page."""
    verdict = "good" if matrix.holds else "bad"
    body = [
        "<h1>Matrix</h1>",
        f'<p><span class="verdict {verdict}">{escape(matrix.count_line())}</span><br>'
        f"revision <code>{escape(matrix.revision)}</code>, {escape(matrix.date)}</p>",
        *_broken(matrix),
        *_not_run(matrix),
        *_rows(matrix, sources),
        *_faults(matrix),
        *_cells(matrix),
        *_skipped(matrix),
        *_left_out(matrix),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Matrix</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def filled(row: Row) -> float:
    """How full the bar of a row is, in [0, 1]: the logarithm of error over bound, over the last decades."""
    if row.broken:
        return 1.0
    if row.severity <= 0.0:
        return 0.0
    return min(1.0, max(0.0, 1.0 + math.log10(row.severity) / _DECADES))


def _broken(matrix: Matrix) -> list[str]:
    blocks = [
        f'<h2 class="bad">{title}</h2>{_list([broken_line(matrix, key, row) for key, row in pairs])}'
        for title, pairs in matrix.broken_groups()
    ]
    tests = matrix.broken_tests()
    if tests:
        lines = [
            f"{test} in {', '.join(problems)}: {next(iter(problems.values())).message}"
            for test, problems in tests.items()
        ]
        blocks.append(f'<h2 class="bad">Failing tests</h2>{_list(lines)}')
    return blocks


def _not_run(matrix: Matrix) -> list[str]:
    lines = [f"{cell.name}: {cell.state.value}. {cell.reason}" for cell in matrix.explained()]
    if matrix.not_selected():
        lines.append(f"{State.NOT_SELECTED.value}: {', '.join(matrix.not_selected())}")
    return [f"<h2>Cells that did not run or did not end well</h2>{_list(lines)}"] if lines else []


def _rows(matrix: Matrix, sources: Sources) -> list[str]:
    columns = matrix.columns
    if not matrix.keys():
        return []
    heads = "".join(f"<th>{'<br>'.join(escape(part) for part in cell.name.split('-'))}</th>" for cell in columns)
    lines = []
    rest = f'<td colspan="{len(columns)}"></td>'
    for name, keys in matrix.chapters().items():
        lines.append(f'<tr class="chapter"><th>{escape(name)}</th>{rest}</tr>')
        last = ""
        for key in keys:
            if key[0] != last:
                lines.append(f'<tr class="id"><th id="{escape(key[0])}">{_about(key[0], sources)}</th>{rest}</tr>')
                last = key[0]
            entries = "".join(_entry(matrix, key, cell) for cell in columns)
            lines.append(f"<tr><th>{_quantity(key, matrix, sources)}</th>{entries}</tr>")
    legend = escape(LEGEND.replace("`", "")) + f" The bar is full at the bound and empty at 1e-{_DECADES} of it."
    table = f"<table><thead><tr><th>id, quantity</th>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    return [f'<h2>Rows</h2><p>{legend}</p><div class="scroll">{table}</div>']


def _about(id: str, sources: Sources) -> str:
    """An id that unfolds to its statement, its formula, and where the claim and the functions are."""
    statement, functions = sources.statements.get(id), sources.functions.get(id, ())
    lines = []
    if statement is not None:
        formula = f"<br><code>{escape(statement.formula)}</code>" if statement.formula else ""
        lines.append(f"{escape(statement.text)}{formula}<br>{_link(statement.place)}")
    lines += [_link(place) for place in functions]
    if not lines:
        return f"<code>{escape(id)}</code>"
    return f"<details><summary><code>{escape(id)}</code></summary>{'<br>'.join(lines)}</details>"


def _quantity(key: Key, matrix: Matrix, sources: Sources) -> str:
    """What a line measures, linked to the test that measured it."""
    tests = (cell.rows[key].test for cell in matrix.cells if key in cell.rows)
    place = next((place for test in tests if (place := sources.test(test))), None)
    return escape(key[1]) if place is None else _link(Place(key[1], place.path, place.line))


def _link(place: Place) -> str:
    return f'<a href="../../{escape(place.path)}#L{place.line}">{escape(place.name)}</a>'


def _entry(matrix: Matrix, key: Key, cell: Cell) -> str:
    row = cell.rows.get(key)
    if row is None:
        if not cell.state.ran:
            return f'<td class="idle" title="{escape(cell.state.value)}">?</td>'
        left_out = matrix.is_left_out(key, cell)
        return '<td class="idle" title="left out of this cell, run in another">–</td>' if left_out else "<td></td>"
    sign = "✗" if row.broken else "∼" if row.skipped else "✓"
    tone = "bad" if row.broken else "idle" if row.skipped else "good"
    tip = f"{row.reason}\n{row.comparisons} comparison{'s' if row.comparisons != 1 else ''}\n{row.test}"
    text = f'<span class="{tone}">{sign}</span>'
    if not row.exact:
        relation = "≤" if row.error <= row.bound else "&gt;"
        text += f" {number(row.error)} {relation} {number(row.bound)}"
        text += f'<span class="bar"><i style="width:{100 * filled(row):.0f}%"></i></span>'
    return f'<td class="number{" broken" if row.broken else ""}" title="{escape(tip)}">{text}</td>'


def _faults(matrix: Matrix) -> list[str]:
    lines = [
        "<tr>"
        + f"<th><code>{escape(fault.id)}</code> {escape(fault.what)}</th><td><code>{escape(fault.file)}</code></td>"
        + f"<td>{escape(fault.message)}</td><td>{escape(fault.precision)}</td><td>{fault.seconds:.0f}</td></tr>"
        for cell in matrix.cells
        for fault in cell.faults
    ]
    if not lines:
        return []
    heads = "<th>fault</th><th>planted in</th><th>what noticed it</th><th>precision</th><th>s</th>"
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    return [f'<h2>Planted faults that were caught: {len(lines)}</h2><div class="scroll">{table}</div>']


def _cells(matrix: Matrix) -> list[str]:
    shown = [name for name in (*VERSIONS, *SETTINGS) if any(cell.versions.get(name) for cell in matrix.cells)]
    heads = "".join(
        f"<th>{escape(name)}</th>" for name in ("cell", "state", "passed", "failed", "skipped", "s", *shown)
    )
    lines = []
    for cell in matrix.cells:
        tone = "good" if cell.state is State.OK else "bad" if cell.state.fails(matrix.ci) else "idle"
        numbers = (cell.passed, cell.failed, cell.skipped, f"{cell.seconds:.0f}")
        entries = "".join(f"<td>{escape(str(value))}</td>" for value in numbers)
        versions = "".join(f"<td>{escape(cell.versions.get(name, ''))}</td>" for name in shown)
        state = f'<td class="{tone}">{escape(cell.state.value)}</td>'
        lines.append(f"<tr><th><code>{escape(cell.name)}</code></th>{state}{entries}{versions}</tr>")
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    return [f'<h2>Cells</h2><div class="scroll">{table}</div>']


def _skipped(matrix: Matrix) -> list[str]:
    lines = [f"{test} in {', '.join(cells)}: {why}" for (test, why), cells in matrix.skipped_tests().items()]
    return [f"<h2>Skipped tests</h2>{_list(lines)}"] if lines else []


def _left_out(matrix: Matrix) -> list[str]:
    tests = matrix.left_out_everywhere()
    return [f"<h2>Left out of every cell that ran</h2>{_list(tests)}"] if tests else []


def _list(lines: list[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"
