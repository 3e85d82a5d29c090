"""The ledger as a table for a terminal, as Markdown and as JSON (`proofs.html` has the page)."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

from proofs.claim import Result
from proofs.evidence import RIGOROUS, Grade, Role
from proofs.verdict import Verdict

COLUMNS = ("id", "claim", "verdict", "method", "witness", "time")

_STYLES = {
    Verdict.TRUE: "green",
    Verdict.FALSE: "red",
    Verdict.TRUE_IF: "yellow",
    Verdict.THEOREM: "cyan",
}


def cells(result: Result) -> tuple[str, ...]:
    """One row of the ledger, in the order of COLUMNS."""
    verdict = result.verdict if result.agrees else f"{result.verdict} — DISAGREES, stated {result.claim.verdict}"
    return (
        result.claim.id,
        result.claim.statement,
        verdict,
        "+".join(grade.name for grade in result.grades),
        result.witness,
        f"{result.seconds:.1f} s",
    )


def summary(results: Sequence[Result]) -> str:
    """How many claims agree, and how many are decided by methods that rounding cannot fool."""
    agree = sum(result.agrees for result in results)
    rigorous = sum(result.rigorous for result in results)
    grades = ", ".join(grade.name for grade in Grade if grade in RIGOROUS)
    return (
        f"{len(results)} claims, {agree} verdicts as stated, {len(results) - agree} disagreements; {rigorous} decided "
        f"by methods that rounding cannot fool ({grades}); {sum(result.seconds for result in results):.1f} s"
    )


def notes(results: Sequence[Result]) -> list[str]:
    """Every disagreement, and every implementation under test that differs from the proof."""
    lines = [line for result in results for line in result.disagreements()]
    for result in results:
        for item in result.evidence:
            if item.role is Role.COMPARISON and item.holds is False:
                lines.append(f"{result.claim.id}: {item.text} differs from the proof: {item.witness}")
    return lines


def table(results: Sequence[Result], *, width: int | None = None, color: bool = False) -> str:
    """The ledger as a table of text; `width` in characters, the terminal's when None."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(show_lines=True, expand=True)
    grid.add_column("id", no_wrap=True)
    grid.add_column("claim", ratio=4, overflow="fold")
    grid.add_column("verdict", ratio=3, overflow="fold")
    grid.add_column("method", no_wrap=True)
    grid.add_column("witness", ratio=5, overflow="fold")
    grid.add_column("time", justify="right", no_wrap=True)
    for result in results:
        row = [Text(cell) for cell in cells(result)]
        first = next(iter(result.computed.values())).verdict
        row[2].stylize("bold white on red" if not result.agrees else _STYLES.get(first, ""))
        grid.add_row(*row)
    buffer = io.StringIO()
    console = Console(file=buffer, width=width, force_terminal=color, color_system="standard" if color else None)
    console.print(grid)
    return buffer.getvalue() + "\n".join([summary(results), *notes(results)]) + "\n"


def markdown(results: Sequence[Result]) -> str:
    """The ledger as a Markdown table."""

    def escape(cell: str) -> str:
        return cell.replace("|", "\\|").replace("\n", " ")

    lines = ["# Ledger of claims", "", f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    lines += [f"| {' | '.join(escape(cell) for cell in cells(result))} |" for result in results]
    lines += ["", summary(results), *(f"\n* {note}" for note in notes(results))]
    return "\n".join(lines) + "\n"


def record(result: Result) -> dict[str, Any]:
    """Everything about one executed claim, in plain data."""
    claim = result.claim
    return {
        "id": claim.id,
        "chapter": claim.chapter,
        "sources": list(claim.sources),
        "statement": claim.statement,
        "formula": claim.formula,
        "corrected": claim.corrected,
        "stated": {part: _ruling(ruling) for part, ruling in claim.stated.items()},
        "computed": {part: _ruling(ruling) for part, ruling in result.computed.items()},
        "verdict": result.verdict,
        "agrees": result.agrees,
        "disagreements": list(result.disagreements()),
        "method": [grade.name for grade in result.grades],
        "rigorous": result.rigorous,
        "witness": result.witness,
        "derivation": list(claim.derivation),
        "twins": list(claim.twins),
        "evidence": [
            {
                "part": item.part,
                "role": item.role.name,
                "grade": item.grade.name,
                "text": item.text,
                "holds": item.holds,
                "witness": item.witness,
            }
            for item in result.evidence
        ],
        "seconds": round(result.seconds, 3),
    }


def _ruling(ruling: Any) -> dict[str, str]:
    return {"verdict": str(ruling.verdict), "condition": ruling.condition, "why": ruling.why}


def json_text(results: Sequence[Result]) -> str:
    """A JSON array with one record for each id."""
    return json.dumps([record(result) for result in results], ensure_ascii=False, indent=1, allow_nan=False) + "\n"
