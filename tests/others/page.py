"""The comparison as one stand-alone HTML page: no script, no font, nothing fetched."""

from __future__ import annotations

from html import escape

from report.page import _STYLE, _list

from others.markdown import ABOUT, cell, heading, size
from others.verdicts import Column, Comparison, Row, State, Verdict

_MORE = """
td.known { background: #b8860b22; } .warn { color: #9a6b00; } pre { font-size: 12px; white-space: pre-wrap;
overflow-wrap: anywhere; background: #8881; padding: .5rem; } details { margin: .4rem 0; } summary { cursor: pointer; }
p.about { max-width: 60rem; } p, summary, code { overflow-wrap: anywhere; }
"""
_TONES = {
    Verdict.AGREES: "good",
    Verdict.KNOWN: "warn",
    Verdict.UNLISTED: "bad",
    Verdict.NOT_OFFERED: "idle",
    Verdict.NOT_REACHED: "bad",
    Verdict.NOT_INSTALLED: "idle",
}


def render(comparison: Comparison) -> str:
    """The whole page."""
    problems = comparison.problems()
    verdict = f"{len(problems)} problems" if problems else "every deviation is listed, every listed one was seen"
    body = [
        "<h1>Other people's code under the contract</h1>",
        f'<p><span class="verdict {"bad" if problems else "good"}">{escape(verdict)}</span><br>'
        f"revision <code>{escape(comparison.revision)}</code>, {escape(comparison.date)}</p>",
        f'<p class="about">{escape(ABOUT)}</p>',
        *([f'<h2 class="bad">Problems</h2>{_list(problems)}'] if problems else []),
        *_packages(comparison),
        *_rows(comparison),
        *_deviations(comparison),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Other people\'s code under the contract</title>'
        f"<style>{_STYLE}{_MORE}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _packages(comparison: Comparison) -> list[str]:
    heads = "".join(f"<th>{name}</th>" for name in ("package", "version", "what of it", *_shown(), "s"))
    lines = []
    for column in comparison.columns:
        counts = comparison.counts(column)
        state = "" if column.state is State.RAN else f' <span class="bad">{escape(column.reason)}</span>'
        numbers = "".join(f"<td>{counts[verdict]}</td>" for verdict in Verdict if verdict.value in _shown())
        lines.append(
            f"<tr><th>{escape(column.package.name)}{state}</th><td>{escape(column.version or '')}</td>"
            f"<td>{escape(column.package.about.replace('`', ''))}</td>{numbers}<td>{column.seconds:.0f}</td></tr>"
        )
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    return [f'<h2>Packages</h2><div class="scroll">{table}</div>']


def _shown() -> list[str]:
    """The verdicts that are counted."""
    return [verdict.value for verdict in (Verdict.AGREES, Verdict.KNOWN, Verdict.UNLISTED, Verdict.NOT_OFFERED)]


def _rows(comparison: Comparison) -> list[str]:
    heads = "".join(f"<th>{escape(column.package.name)}</th>" for column in comparison.columns)
    lines = []
    for key in comparison.lines():
        entries = "".join(_entry(comparison, column, key) for column in comparison.columns)
        lines.append(f"<tr><th><code>{escape(key[0])}</code> {escape(key[1])}</th>{entries}</tr>")
    table = f"<table><thead><tr><th>row</th>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    return [f'<h2>Rows</h2><div class="scroll">{table}</div>']


def _entry(comparison: Comparison, column: Column, key: tuple[str, str]) -> str:
    verdict, row = comparison.verdict(column, key), column.rows.get(key)
    broken = {Verdict.KNOWN: " known", Verdict.UNLISTED: " broken"}.get(verdict, "")
    tip = f' title="{escape(row.reason)}&#10;{row.comparisons} comparisons"' if row else ""
    text = f'<span class="{_TONES[verdict]}">{escape(cell(verdict, row))}</span>'
    if broken:
        text = f'<a href="#{_anchor(column, row)}">{text}</a>'
    return f'<td class="number{broken}"{tip}>{text}</td>'


def _anchor(column: Column, row: Row) -> str:
    words = f"{column.package.name} {row.id} {row.quantity}".lower()
    return "-".join("".join(letter if letter.isalnum() else " " for letter in words).split())


def _deviations(comparison: Comparison) -> list[str]:
    blocks = []
    for column, row, line in comparison.deviations():
        why = line.reason if line else "not listed"
        blocks.append(
            f'<details id="{_anchor(column, row)}" open><summary><b>{escape(heading(column, row))}</b></summary>'
            f'<p class="{"warn" if line else "bad"}">{escape(why)}</p><p>{escape(size(row))}</p>'
            f"<pre>{escape(row.reproduction)}</pre><p>prints</p><pre>{escape(row.printed)}</pre></details>"
        )
    return ["<h2>Deviations</h2>", *blocks] if blocks else []
