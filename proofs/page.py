"""One claim as a page that a student can follow, and the ledger as a web page that stands alone."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Sequence

from proofs.claim import SOURCES, Result
from proofs.evidence import Evidence, Role
from proofs.ledger import TITLES
from proofs.render import notes, summary

_WIDTH = 100


def outcome(item: Evidence) -> str:
    """What one piece of evidence found, in a word."""
    return {True: "holds", False: "fails", None: "undecided"}[item.holds]


def sources(result: Result) -> list[str]:
    """Each source of a claim with the file behind its short name."""
    return [f"{entry} — {SOURCES[entry.split()[0]]}" for entry in result.claim.sources]


def text(result: Result) -> str:
    """Statement, derivation in steps, what was computed with its numbers, verdict: plain text of 100 columns."""
    claim = result.claim

    def block(heading: str, paragraphs: Sequence[str], marker: str = "") -> list[str]:
        lines = ["", heading]
        for index, paragraph in enumerate(paragraphs, 1):
            first = f"  {index}. " if marker == "number" else "  "
            lines += textwrap.wrap(
                paragraph, _WIDTH, initial_indent=first, subsequent_indent=" " * len(first), break_long_words=True
            )
        return lines

    lines = [claim.id, "=" * len(claim.id)]
    lines += block("Statement", [claim.statement])
    lines += block("As a formula", [claim.formula])
    lines += block("Source", sources(result))
    lines += block("Verdict, computed", [result.verdict])
    if not result.agrees:
        lines += block("DISAGREES with the stated verdict", result.disagreements())
    if claim.derivation:
        lines += block("Derivation", claim.derivation, "number")
    if claim.corrected:
        lines += block("What is true, exactly", [claim.corrected])
    lines += ["", "What the program computed"]
    for item in result.evidence:
        part = f" ({item.part})" if item.part else ""
        lines += textwrap.wrap(
            f"[{item.grade.name}] {item.role.value}{part}: {item.text} — {outcome(item)}",
            _WIDTH,
            initial_indent="  ",
            subsequent_indent="      ",
        )
        if item.witness:
            lines += textwrap.wrap(item.witness, _WIDTH, initial_indent="      ", subsequent_indent="      ")
    if claim.twins:
        lines += block(
            "Wrong twins that must change the verdict", [", ".join(claim.twins) + " (tests/proofs/test_twins.py)"]
        )
    grades = {item.grade for item in result.evidence}
    lines += block("Grades", [f"{grade.name}: {grade.value}" for grade in result.grades if grade in grades])
    return "\n".join(lines) + "\n"


_STYLE = """
:root { color-scheme: light dark; --line: #8885; --ok: #1a7f37; --no: #b3261e; --if: #8a6100; --th: #0a6a8a; }
@media (prefers-color-scheme: dark) { :root { --ok: #57c274; --no: #ff8a80; --if: #e0b040; --th: #62c3e0; } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 72rem; padding: 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
details { border-top: 1px solid var(--line); padding: .5rem 0; overflow-wrap: anywhere; }
summary { cursor: pointer; }
.id { font-weight: 700; font-family: ui-monospace, monospace; }
.verdict { font-weight: 700; } .TRUE { color: var(--ok); } .FALSE { color: var(--no); }
.TRUE_IF { color: var(--if); } .THEOREM { color: var(--th); }
.bad { background: var(--no); color: #fff; padding: 0 .3em; }
.meta { color: GrayText; font-size: .9em; }
code { font-family: ui-monospace, monospace; white-space: pre-wrap; }
dt { font-weight: 600; margin-top: .6rem; } dd { margin-left: 1rem; }
"""


def _claim_section(result: Result) -> str:
    escape = html.escape
    claim = result.claim
    verdict = next(iter(result.computed.values())).verdict.name
    flag = "" if result.agrees else f' <span class="bad">stated {escape(claim.verdict)}</span>'
    evidence = "".join(
        f"<li><b>[{item.grade.name}]</b> {escape(item.role.value)}"
        f"{escape(f' ({item.part})' if item.part else '')}: {escape(item.text)} — <b>{outcome(item)}</b>"
        f"{f'<br><code>{escape(item.witness)}</code>' if item.witness else ''}</li>"
        for item in result.evidence
    )
    steps = "".join(f"<li>{escape(step)}</li>" for step in claim.derivation)
    return (
        f'<details id="{claim.id}"><summary><span class="id">{claim.id}</span> '
        f'<span class="verdict {verdict}">{escape(result.verdict)}</span>{flag} — {escape(claim.statement)} '
        f'<span class="meta">{"+".join(grade.name for grade in result.grades)}, {result.seconds:.1f} s</span></summary>'
        f"<dl><dt>Formula</dt><dd><code>{escape(claim.formula)}</code></dd>"
        f"<dt>Source</dt><dd>{'<br>'.join(escape(source) for source in sources(result))}</dd>"
        f"<dt>Witness</dt><dd><code>{escape(result.witness)}</code></dd>"
        f"{f'<dt>What is true, exactly</dt><dd>{escape(claim.corrected)}</dd>' if claim.corrected else ''}"
        f"{f'<dt>Derivation</dt><dd><ol>{steps}</ol></dd>' if steps else ''}"
        f"<dt>What the program computed</dt><dd><ul>{evidence}</ul></dd></dl></details>"
    )


def document(results: Sequence[Result]) -> str:
    """The ledger as one HTML file without any external request; each claim unfolds."""
    sections = []
    for chapter in dict.fromkeys(result.claim.chapter for result in results):
        sections.append(f"<h2>{html.escape(chapter)} — {html.escape(TITLES.get(chapter, chapter))}</h2>")
        sections += [_claim_section(result) for result in results if result.claim.chapter == chapter]
    warnings = "".join(f'<p class="bad">{html.escape(note)}</p>' for note in notes(results))
    roles = "; ".join(f"{role.name.lower()}: {role.value}" for role in Role)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>Ledger of claims</title><style>{_STYLE}</style></head><body><h1>Ledger of claims</h1>"
        f"<p>{html.escape(summary(results))}</p>{warnings}{''.join(sections)}"
        f'<p class="meta">Roles of evidence: {html.escape(roles)}.</p></body></html>\n'
    )
