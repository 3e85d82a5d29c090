"""A verdict, and how it is computed from evidence alone.

Nothing here knows what the ledger states; `proofs.claim` compares the two.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Mapping

from proofs.evidence import Evidence, Role


class Verdict(enum.Enum):
    """What a program can say about a statement; the value is its explanation."""

    TRUE = "holds as stated"
    FALSE = "fails as stated; a counterexample and the corrected statement are given"
    TRUE_IF = "holds under a condition that the source leaves out; an instance without it fails"
    THEOREM = "a companion result of this toolkit, proved and checked"
    CONTRADICTION = "the source states two things that exclude each other"
    CONVENTION = "a choice, consistent in itself, and neither true nor false"
    INCONSISTENT = "the statement fails, and so does its correction"
    UNDECIDED = "the evidence does not decide it"
    ERROR = "the check crashed"

    def __str__(self) -> str:
        return self.name.replace("_", " ")


@dataclasses.dataclass(frozen=True)
class Ruling:
    """A verdict, its condition if it has one, and, when it was computed, why."""

    verdict: Verdict
    condition: str = ""
    why: str = ""

    def __str__(self) -> str:
        return f"{self.verdict} {self.condition}".strip()


TRUE = Ruling(Verdict.TRUE)
FALSE = Ruling(Verdict.FALSE)
THEOREM = Ruling(Verdict.THEOREM)
CONTRADICTION = Ruling(Verdict.CONTRADICTION)
CONVENTION = Ruling(Verdict.CONVENTION)


def true_if(condition: str) -> Ruling:
    """The stated verdict TRUE IF `condition`."""
    return Ruling(Verdict.TRUE_IF, condition)


def decide(evidence: Iterable[Evidence]) -> Ruling:
    """The verdict that the evidence of one part amounts to; knows nothing of the stated verdict.

    Supports have to hold (else UNDECIDED). Of the statement: all true gives TRUE (THEOREM, CONTRADICTION, CONVENTION
    for the roles of that name); a false one gives FALSE, or INCONSISTENT when the corrected statement fails too; true
    wherever the condition holds and false on an instance without it gives TRUE IF. A FALSE without a corrected
    statement that was evaluated stays FALSE; `Claim.gaps` reports what is missing.
    """
    by_role: dict[Role, list[Evidence]] = {role: [] for role in Role}
    for item in evidence:
        by_role[item.role].append(item)
    verdict_if_true = {
        Role.CLAIMED: Verdict.TRUE,
        Role.THEOREM: Verdict.THEOREM,
        Role.CONTRADICTION: Verdict.CONTRADICTION,
        Role.CONVENTION: Verdict.CONVENTION,
    }
    stating = [item for role in verdict_if_true for item in by_role[role]]
    conditional = by_role[Role.WITHIN] + by_role[Role.OUTSIDE]
    for item in by_role[Role.SUPPORT] + stating + conditional + by_role[Role.CORRECTED]:
        if item.holds is None or (item.holds is False and item.role is Role.SUPPORT):
            return Ruling(Verdict.UNDECIDED, why=f"{item.text}: {item.witness or 'not decided'}")
    if not stating and not conditional:
        return Ruling(Verdict.UNDECIDED, why="the statement was never evaluated")
    refuted = [item for item in stating + by_role[Role.WITHIN] if item.holds is False]
    uncorrected = [item for item in by_role[Role.CORRECTED] if item.holds is False]
    if uncorrected:
        return Ruling(Verdict.INCONSISTENT, why=f"{uncorrected[0].text}: {uncorrected[0].witness}")
    if refuted:
        return Ruling(Verdict.FALSE, why=f"{refuted[0].text}: {refuted[0].witness}")
    violated = [item for item in by_role[Role.OUTSIDE] if item.holds is False]
    if violated:
        return Ruling(Verdict.TRUE_IF, why=f"{violated[0].text}: {violated[0].witness}")
    verdicts = {verdict_if_true[item.role] for item in stating} or {Verdict.TRUE}
    if len(verdicts) > 1:
        return Ruling(Verdict.UNDECIDED, why="one part mixes the statement with a companion theorem; name the parts")
    return Ruling(verdicts.pop())


def describe(rulings: Mapping[str, Ruling], conditions: Mapping[str, Ruling] | None = None) -> str:
    """One line for the rulings of all parts; a computed TRUE IF borrows the wording of its condition."""
    words = []
    for part, ruling in rulings.items():
        condition = ruling.condition
        if ruling.verdict is Verdict.TRUE_IF and conditions and part in conditions:
            condition = conditions[part].condition
        words.append(" ".join(word for word in (f"{part}:" if part else "", str(ruling.verdict), condition) if word))
    return "; ".join(words)
