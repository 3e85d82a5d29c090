"""The ledger as a web page that stands alone: it asks for nothing, and every claim unfolds."""

from __future__ import annotations

import html
from collections.abc import Sequence

from proofs import figures
from proofs.claim import Result
from proofs.evidence import Role
from proofs.ledger import TITLES
from proofs.page import outcome, sources
from proofs.render import notes, summary
from proofs.verdict import Verdict

_STYLE = """
:root { color-scheme: light dark; --line: #8885; --ok: #1a7f37; --no: #b3261e; --if: #8a6100; --th: #0a6a8a;
  --cv: #6b4fa0; }
@media (prefers-color-scheme: dark) { :root { --ok: #57c274; --no: #ff8a80; --if: #e0b040; --th: #62c3e0;
  --cv: #b9a2e8; } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 72rem; padding: 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
details { border-top: 1px solid var(--line); padding: .5rem 0; overflow-wrap: anywhere; }
summary { cursor: pointer; }
.id { font-weight: 700; font-family: ui-monospace, monospace; }
.verdict { font-weight: 700; } .TRUE { color: var(--ok); } .FALSE { color: var(--no); }
.TRUE_IF { color: var(--if); } .THEOREM { color: var(--th); } .CONVENTION, .CONTRADICTION { color: var(--cv); }
.bad { background: var(--no); color: #fff; padding: 0 .3em; }
.meta { color: GrayText; font-size: .9em; }
code { font-family: ui-monospace, monospace; white-space: pre-wrap; }
dt { font-weight: 600; margin-top: .6rem; } dd { margin-left: 1rem; }
dl { scroll-margin-top: 6rem; }
nav p { margin: .4rem 0; line-height: 2; }
nav a { font: .85rem ui-monospace, monospace; text-decoration: none; border: 1px solid currentColor;
  border-radius: .3rem; padding: .15rem .35rem; white-space: nowrap; }
nav b { display: inline-block; min-width: 3rem; }
figure { margin: 1rem 0; max-width: 34rem; } figure img { width: 100%; border-radius: .3rem; }
figcaption { font-size: .9rem; }
"""


def _verdict(result: Result) -> Verdict:
    """The verdict whose colour stands for a claim: that of its first part."""
    return next(iter(result.computed.values())).verdict


def _figure(identifier: str) -> str:
    """The figure of a claim with its caption; nothing when it has none."""
    picture = figures.figure(identifier)
    if picture is None:
        return ""
    caption = html.escape(picture.caption)
    return (
        f'<figure><img src="{figures.svg(identifier)}" alt="{caption}"><figcaption><b>{identifier}</b> {caption}'
        "</figcaption></figure>"
    )


def _claim_section(result: Result, picture: str) -> str:
    escape = html.escape
    claim = result.claim
    flag = "" if result.agrees else f' <span class="bad">stated {escape(claim.verdict)}</span>'
    evidence = "".join(
        f"<li><b>[{item.grade.name}]</b> {escape(item.role.value)}"
        f"{escape(f' ({item.part})' if item.part else '')}: {escape(item.text)} — <b>{outcome(item)}</b>"
        f"{f'<br><code>{escape(item.witness)}</code>' if item.witness else ''}</li>"
        for item in result.evidence
    )
    steps = "".join(f"<li>{escape(step)}</li>" for step in claim.derivation)
    # The id stands inside the part that unfolds: a browser that follows a link to it unfolds that part.
    return (
        f'<details><summary><span class="id">{claim.id}</span> '
        f'<span class="verdict {_verdict(result).name}">{escape(result.verdict)}</span>{flag} — '
        f"{escape(claim.statement)} "
        f'<span class="meta">{"+".join(grade.name for grade in result.grades)}, {result.seconds:.1f} s</span></summary>'
        f'<dl id="{claim.id}"><dt>Formula</dt><dd><code>{escape(claim.formula)}</code></dd>'
        f"<dt>Source</dt><dd>{'<br>'.join(escape(source) for source in sources(result))}</dd>"
        f"<dt>Witness</dt><dd><code>{escape(result.witness)}</code></dd>"
        f"{f'<dt>What is true, exactly</dt><dd>{escape(claim.corrected)}</dd>' if claim.corrected else ''}"
        f"{f'<dt>Derivation</dt><dd><ol>{steps}</ol></dd>' if steps else ''}"
        f"<dt>What the program computed</dt><dd><ul>{evidence}</ul></dd></dl>{picture}</details>"
    )


def _overview(results: Sequence[Result]) -> str:
    """Every claim as a link in the colour of its verdict, a line for each chapter, and how often each verdict came."""
    lines = []
    for chapter in dict.fromkeys(result.claim.chapter for result in results):
        links = " ".join(
            f'<a class="{_verdict(result).name if result.agrees else "bad"}" href="#{result.claim.id}" '
            f'title="{html.escape(f"{result.verdict} — {result.claim.statement}")}">{result.claim.id[-2:]}</a>'
            for result in results
            if result.claim.chapter == chapter
        )
        lines.append(f"<p><b>{html.escape(chapter)}</b> {links}</p>")
    counted = {verdict: sum(_verdict(result) is verdict for result in results) for verdict in Verdict}
    legend = ", ".join(
        f'<span class="verdict {verdict.name}">{verdict}</span> {number}'
        for verdict, number in counted.items()
        if number
    )
    return f"<nav>{''.join(lines)}</nav><p>{legend} <span class='meta'>(by the first part of a claim)</span></p>"


def document(results: Sequence[Result]) -> str:
    """The ledger as one HTML file without any external request; each claim unfolds, each chapter has a figure."""
    sections = []
    for chapter in dict.fromkeys(result.claim.chapter for result in results):
        sections.append(f"<h2>{html.escape(chapter)} — {html.escape(TITLES.get(chapter, chapter))}</h2>")
        opening = figures.CHAPTERS.get(chapter, "")
        sections.append(_figure(opening))
        sections += [
            _claim_section(result, "" if result.claim.id == opening else _figure(result.claim.id))
            for result in results
            if result.claim.chapter == chapter
        ]
    warnings = "".join(f'<p class="bad">{html.escape(note)}</p>' for note in notes(results))
    roles = "; ".join(f"{role.name.lower()}: {role.value}" for role in Role)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>Ledger of claims</title><style>{_STYLE}</style></head><body><h1>Ledger of claims</h1>"
        f"<p>{html.escape(summary(results))}</p>{warnings}{_overview(results)}{''.join(sections)}"
        f'<p class="meta">Roles of evidence: {html.escape(roles)}.</p></body></html>\n'
    )
