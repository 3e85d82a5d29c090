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

The verdict is computed from the evidence alone (`proofs.verdict.decide`); the stated verdict is only what it is
compared with. Because the formulas are parameters, a *wrong twin* (a sign, a factor, a dropped term) can be plugged in,
and then the computed verdict has to change.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from proofs.evidence import RIGOROUS, Case, Evidence, Grade, Role
from proofs.verdict import Ruling, Verdict, decide, describe

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
