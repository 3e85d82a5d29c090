"""One claim as a page of plain text that a student can follow."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from proofs.claim import SOURCES, Result
from proofs.evidence import Evidence
from proofs.figures import figure

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
    picture = figure(claim.id)
    if picture is not None:
        drawing = f"To draw it: python -m proofs show {claim.id} --figure {claim.id.lower()}.svg"
        lines += block("Figure", [picture.caption, drawing])
    if claim.twins:
        lines += block(
            "Wrong twins that must change the verdict", [", ".join(claim.twins) + " (tests/proofs/test_twins.py)"]
        )
    grades = {item.grade for item in result.evidence}
    lines += block("Grades", [f"{grade.name}: {grade.value}" for grade in result.grades if grade in grades])
    return "\n".join(lines) + "\n"
