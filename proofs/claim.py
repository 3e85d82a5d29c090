"""A claim: what a source states, and the check that decides it.

A claim is one function under the decorator `claim`. The function receives a `Case`, into which it writes evidence, and
the claim's formulas as keyword-only parameters whose defaults are the formulas as stated::

    @claim(
        "JS-02",
        source="002 §3",
        statement="For the JS generator f'(w) = log(2w/(w+1)).",
        formula="f'(w) = log(2w/(w+1))",
        stated=TRUE,
        method="S",
        twins={"factor 2 dropped": {"derivative": lambda w: log(w / (w + 1))}},
    )
    def js_02(case: Case, *, derivative=js_derivative):
        case.claimed("S", "the derivative of f is the stated one", vanishes(diff(f(w), w) - derivative(w)))

The verdict is computed from the evidence alone (`decide`); the stated verdict is only what it is compared with. Because
the formulas are parameters, a *wrong twin* (a sign, a factor, a dropped term) can be plugged in, and then the computed
verdict has to change.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Formulas = Mapping[str, Any]

SOURCES: dict[str, str] = {
    "000": "000_42325fa2be0ad17a.txt (KL-regularised occupancy optimisation)",
    "001": "001_bea2b9af94d30ba7.txt (adaptive beta from the effective sample size)",
    "002": "002_373510a57ec6ca4c.txt (JS-regularised occupancy optimisation, with code)",
    "003": "003_578eca46be31838d.txt (soft actor-critic)",
    "004": "004_b60905426fcdbf26.txt (reinforcement-learning course notes)",
    "ROER": "the public ROER reference code (sac_learner.py, critic.py, dataset_utils.py)",
    "toolkit": "a companion theorem that the sources need and do not state",
}


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


@dataclasses.dataclass(frozen=True)
class Result:
    """A claim after its check ran: what was computed, beside what is stated."""

    claim: Claim
    computed: Mapping[str, Ruling]
    evidence: tuple[Evidence, ...]
    seconds: float
    error: str = ""

    @property
    def agrees(self) -> bool:
        """Whether every part came out as stated and nothing that its verdict requires is missing."""
        return not self.disagreements()

    def disagreements(self) -> tuple[str, ...]:
        """Each way in which the computed verdict differs from the stated one, as a sentence."""
        if self.error:
            return (f"{self.claim.id}: the check crashed: {self.error}",)
        found = []
        for part in {**self.claim.stated, **self.computed}:
            name = f"{self.claim.id} ({part})" if part else self.claim.id
            stated, computed = self.claim.stated.get(part), self.computed.get(part)
            if stated is None or computed is None:
                found.append(f"{name}: stated {stated or 'nothing'}, computed {computed or 'nothing'}")
            elif stated.verdict is not computed.verdict:
                because = f" ({computed.why})" if computed.why else ""
                found.append(f"{name}: stated {stated}, computed {computed.verdict}{because}")
            else:
                found.extend(f"{name}: {gap}" for gap in self._gaps(part, computed.verdict))
        return tuple(found)

    def _gaps(self, part: str, verdict: Verdict) -> Iterable[str]:
        roles = {item.role for item in self.evidence if item.part == part}
        if verdict is Verdict.FALSE and Role.CORRECTED not in roles:
            yield "FALSE, but no corrected statement was evaluated"
        if verdict is Verdict.TRUE_IF and not {Role.WITHIN, Role.OUTSIDE} <= roles:
            yield "TRUE IF needs one instance with the condition and one violating it"

    @property
    def grades(self) -> tuple[Grade, ...]:
        """The grades of evidence that were executed, in the order of their strength."""
        used = {item.grade for item in self.evidence if item.role is not Role.COMPARISON}
        return tuple(grade for grade in Grade if grade in used)

    @property
    def rigorous(self) -> bool:
        """Whether each part is decided by evidence that rounding cannot fool."""
        deciding = {Role.CLAIMED, Role.WITHIN, Role.OUTSIDE, Role.THEOREM, Role.CONTRADICTION, Role.CONVENTION}
        decided = {item.part for item in self.evidence if item.role in deciding and item.grade in RIGOROUS}
        return not self.error and set(self.claim.stated) <= decided

    @property
    def witness(self) -> str:
        """The one witness that tells most: what refutes a statement, else the first number shown."""
        telling = [item for item in self.evidence if item.role not in (Role.SUPPORT, Role.COMPARISON)]
        order = (
            [item for item in telling if item.holds is False],
            [item for item in telling if item.grade in (Grade.Q, Grade.B, Grade.C)],
            telling,
        )
        return next((item.witness for group in order for item in group if item.witness), self.error)

    @property
    def verdict(self) -> str:
        """The computed verdict of every part, in one line."""
        return describe(self.computed, self.claim.stated) if not self.error else str(Verdict.ERROR)


def describe(rulings: Mapping[str, Ruling], conditions: Mapping[str, Ruling] | None = None) -> str:
    """One line for the rulings of all parts; a computed TRUE IF borrows the wording of its condition."""
    words = []
    for part, ruling in rulings.items():
        condition = ruling.condition
        if ruling.verdict is Verdict.TRUE_IF and conditions and part in conditions:
            condition = conditions[part].condition
        words.append(" ".join(word for word in (f"{part}:" if part else "", str(ruling.verdict), condition) if word))
    return "; ".join(words)


@dataclasses.dataclass(frozen=True)
class Claim:
    """One entry of the ledger. `check(case, **formulas)` computes; everything else describes."""

    id: str
    sources: tuple[str, ...]
    statement: str
    formula: str
    stated: Mapping[str, Ruling]
    corrected: str
    method: tuple[Grade, ...]
    derivation: tuple[str, ...]
    check: Callable[..., None]
    formulas: Formulas
    twins: Mapping[str, Formulas]

    @property
    def chapter(self) -> str:
        """The letters of the id: KL, JS, GUM."""
        return self.id.split("-")[0]

    @property
    def verdict(self) -> str:
        """The stated verdict in one line."""
        return describe(self.stated)

    def run(self, **replaced: Any) -> Result:
        """Execute the check, with the formulas named in `replaced` in place of the stated ones."""
        unknown = set(replaced) - set(self.formulas)
        if unknown:
            raise TypeError(
                f"{self.id} has no formula {', '.join(sorted(unknown))}; its formulas are {', '.join(self.formulas)}"
            )
        case = Case()
        start = time.perf_counter()
        error = ""
        try:
            self.check(case, **replaced)
        except Exception as problem:
            error = f"{type(problem).__name__}: {problem}"
        seconds = time.perf_counter() - start
        parts = dict.fromkeys([*self.stated, *(item.part for item in case.evidence)])
        computed = {part: decide(item for item in case.evidence if item.part == part) for part in parts}
        if error:
            computed = {part: Ruling(Verdict.ERROR, why=error) for part in self.stated}
        return Result(self, computed, tuple(case.evidence), seconds, error)


REGISTRY: dict[str, Claim] = {}


def claim(
    id: str,
    *,
    source: str | tuple[str, ...],
    statement: str,
    formula: str,
    stated: Ruling | Mapping[str, Ruling],
    method: str,
    corrected: str = "",
    derivation: tuple[str, ...] = (),
    twins: Mapping[str, Formulas] | None = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Enter the decorated check into the ledger under `id`.

    `source` is "file section" ("002 §5"; several as a tuple), `method` the grades that the check executes ("S+Q").
    ValueError when the entry contradicts itself: an id that is taken or malformed, an unknown source, a twin of a
    formula that the check does not take, a FALSE without a corrected statement in words.
    """
    if not re.fullmatch(r"[A-Z]{2,4}-\d{2}", id):
        raise ValueError(f"expected an id such as 'JS-05', saw {id!r}")
    if id in REGISTRY:
        raise ValueError(f"{id} is in the ledger already; every claim needs an id of its own")
    sources = (source,) if isinstance(source, str) else source
    for entry in sources:
        if entry.split()[0] not in SOURCES:
            raise ValueError(f"{id}: unknown source {entry!r}; expected one of {', '.join(SOURCES)} and a section")
    rulings = {"": stated} if isinstance(stated, Ruling) else dict(stated)
    if any(ruling.verdict is Verdict.FALSE for ruling in rulings.values()) and not corrected:
        raise ValueError(f"{id} is stated FALSE: say in `corrected` what is true instead")
    grades = tuple(Grade[letter.strip()] for letter in method.split("+"))

    def enter(check: Callable[..., None]) -> Callable[..., None]:
        parameters = inspect.signature(check).parameters.values()
        formulas = {item.name: item.default for item in parameters if item.kind is inspect.Parameter.KEYWORD_ONLY}
        for name, replaced in (twins or {}).items():
            if not set(replaced) <= set(formulas) or not replaced:
                raise ValueError(
                    f"{id}: twin {name!r} replaces {', '.join(replaced) or 'nothing'}; the check takes "
                    f"{', '.join(formulas) or 'no formula'}"
                )
        REGISTRY[id] = Claim(
            id, sources, statement, formula, rulings, corrected, grades, derivation, check, formulas, dict(twins or {})
        )
        return check

    return enter
