"""Evidence: what a check computed, how rigorously, and what it is evidence of."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable


class Grade(enum.Enum):
    """How a piece of evidence was obtained; the value is its explanation."""

    S = "symbolic identity, zero remainder, double-checked numerically"
    Q = "exact rational arithmetic"
    B = "ball arithmetic: rigorous enclosures that exclude the wrong answer"
    C = "two-sided duality certificate around the answer of an independent conic solver"
    E = "eigenvalues of the literal map"
    P = "property over a family of instances, each decided exactly or by balls"
    N = "high-precision numerics"


#: Grades that rounding cannot fool: every comparison behind them is exact or an enclosure.
RIGOROUS = frozenset({Grade.S, Grade.Q, Grade.B, Grade.C, Grade.P})


class Role(enum.Enum):
    """What a piece of evidence is evidence of."""

    CLAIMED = "the statement"
    WITHIN = "the statement, where the condition holds"
    OUTSIDE = "the statement, where the condition is violated"
    THEOREM = "the companion theorem"
    CONTRADICTION = "two statements of the source exclude each other"
    CONVENTION = "the choice is consistent in itself"
    CORRECTED = "the corrected statement"
    SUPPORT = "what this check rests on"
    COMPARISON = "another implementation agrees (no part of the verdict)"


@dataclasses.dataclass(frozen=True)
class Answer:
    """Whether something holds (None: could not be decided) and the numbers that show it."""

    holds: bool | None
    witness: str = ""

    def __invert__(self) -> Answer:
        return Answer(None if self.holds is None else not self.holds, self.witness)


def every(answers: Iterable[Answer], summary: str = "") -> Answer:
    """All of `answers`: false with the first that fails, undecided with the first undecided, else true."""
    count = 0
    undecided: Answer | None = None
    for answer in answers:
        count += 1
        if answer.holds is False:
            return answer
        if answer.holds is None and undecided is None:
            undecided = answer
    if count == 0:
        return Answer(None, "no instance was examined")
    return undecided or Answer(True, summary or f"{count} instances")


def some(answers: Iterable[Answer]) -> Answer:
    """Any of `answers`: true with the first that holds."""
    return ~every(~answer for answer in answers)


@dataclasses.dataclass(frozen=True)
class Evidence:
    """One thing that a check computed."""

    part: str
    role: Role
    grade: Grade
    text: str
    holds: bool | None
    witness: str


class Case:
    """What a check writes its evidence into; one method for each role.

    `part` names the part of a claim that states several things at once ("order", "proportionality"); a claim that
    states one thing leaves it empty.
    """

    def __init__(self) -> None:
        self.evidence: list[Evidence] = []

    def _add(self, role: Role, grade: str, text: str, holds: Answer | bool | None, witness: str, part: str) -> None:
        answer = holds if isinstance(holds, Answer) else Answer(holds)
        witness = "; ".join(piece for piece in (witness, answer.witness) if piece)
        self.evidence.append(Evidence(part, role, Grade[grade], text, answer.holds, witness))

    def claimed(self, grade: str, text: str, holds: Answer | bool | None, witness: str = "", part: str = "") -> None:
        """The statement itself, evaluated as the source states it."""
        self._add(Role.CLAIMED, grade, text, holds, witness, part)

    def within(self, grade: str, text: str, holds: Answer | bool | None, witness: str = "", part: str = "") -> None:
        """The statement on an instance that satisfies the condition."""
        self._add(Role.WITHIN, grade, text, holds, witness, part)

    def outside(self, grade: str, text: str, holds: Answer | bool | None, witness: str = "", part: str = "") -> None:
        """The statement on an instance that violates the condition (`holds` says whether the *statement* holds)."""
        self._add(Role.OUTSIDE, grade, text, holds, witness, part)

    def theorem(self, grade: str, text: str, holds: Answer | bool | None, witness: str = "", part: str = "") -> None:
        """A companion theorem, which no source states."""
        self._add(Role.THEOREM, grade, text, holds, witness, part)

    def contradiction(
        self, grade: str, text: str, holds: Answer | bool | None, witness: str = "", part: str = ""
    ) -> None:
        """Two statements of one source exclude each other (`holds` says whether they do)."""
        self._add(Role.CONTRADICTION, grade, text, holds, witness, part)

    def convention(self, grade: str, text: str, holds: Answer | bool | None, witness: str = "", part: str = "") -> None:
        """A choice is consistent in itself."""
        self._add(Role.CONVENTION, grade, text, holds, witness, part)

    def corrected(self, grade: str, text: str, holds: Answer | bool | None, witness: str = "", part: str = "") -> None:
        """The corrected statement, which has to hold."""
        self._add(Role.CORRECTED, grade, text, holds, witness, part)

    def support(self, grade: str, text: str, holds: Answer | bool | None, witness: str = "", part: str = "") -> None:
        """Something that the check rests on, which has to hold for the verdict to mean anything."""
        self._add(Role.SUPPORT, grade, text, holds, witness, part)

    def comparison(self, grade: str, text: str, holds: Answer | bool | None, witness: str = "", part: str = "") -> None:
        """Another implementation under test; shown, and no part of the verdict."""
        self._add(Role.COMPARISON, grade, text, holds, witness, part)
