"""The machinery itself: how evidence becomes a verdict, and that a claim which contradicts itself is refused."""

from __future__ import annotations

import re

import pytest

from proofs.claim import REGISTRY, Claim, claim
from proofs.evidence import Answer, Case, Grade, every, some
from proofs.verdict import FALSE, THEOREM, TRUE, Verdict, decide, true_if


def verdict_of(*entries: tuple[str, bool | None]) -> Verdict:
    case = Case()
    for role, holds in entries:
        getattr(case, role)("Q", f"{role} {holds}", holds)
    return decide(case.evidence).verdict


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        ([("claimed", True)], Verdict.TRUE),
        ([("claimed", True), ("claimed", False)], Verdict.FALSE),
        ([("claimed", False), ("corrected", True)], Verdict.FALSE),
        ([("claimed", False), ("corrected", False)], Verdict.INCONSISTENT),
        ([("claimed", True), ("corrected", False)], Verdict.INCONSISTENT),
        ([("theorem", True)], Verdict.THEOREM),
        ([("theorem", False)], Verdict.FALSE),
        ([("within", True), ("outside", False)], Verdict.TRUE_IF),
        ([("within", True), ("outside", True)], Verdict.TRUE),
        ([("within", False), ("outside", False)], Verdict.FALSE),
        ([("contradiction", True)], Verdict.CONTRADICTION),
        ([("convention", True)], Verdict.CONVENTION),
        ([("claimed", True), ("support", False)], Verdict.UNDECIDED),
        ([("claimed", None)], Verdict.UNDECIDED),
        ([("claimed", False), ("corrected", None)], Verdict.UNDECIDED),
        ([("claimed", True), ("theorem", True)], Verdict.UNDECIDED),
        ([("claimed", True), ("comparison", False)], Verdict.TRUE),
        ([("corrected", True)], Verdict.UNDECIDED),
        ([], Verdict.UNDECIDED),
    ],
)
def test_evidence_decides(evidence, expected, row):
    seen = verdict_of(*evidence)
    row.exact(
        "proofs-ledger", "verdict from evidence", seen is expected, f"{evidence}: expected {expected}, saw {seen}"
    )


def test_answers_combine(row):
    yes, no, open_ = Answer(True, "y"), Answer(False, "n"), Answer(None, "o")
    row.exact("proofs-ledger", "every", every([yes, open_, no]) == no, "a failing instance decides")
    row.exact(
        "proofs-ledger", "every, undecided", every([yes, open_]) == open_, "an undecided instance stays undecided"
    )
    row.exact("proofs-ledger", "every, empty", every([]).holds is None, "no instance proves nothing")
    row.exact("proofs-ledger", "some", some([no, yes]).holds is True, "one instance suffices")


@pytest.fixture
def registry(monkeypatch):
    """A copy of the ledger in which a test may enter claims."""
    entries = dict(REGISTRY)
    yield REGISTRY
    REGISTRY.clear()
    REGISTRY.update(entries)


def entered(registry, stated, *evidence, **options) -> Claim:
    @claim("TST-01", source="002 §1", statement="s", formula="f", stated=stated, method="Q", **options)
    def check(case: Case, *, formula=None) -> None:
        for role, holds, part in evidence:
            getattr(case, role)("Q", "text", holds, part=part)

    return registry["TST-01"]


def test_a_claim_takes_one_function(registry, row):
    result = entered(registry, TRUE, ("claimed", True, "")).run()
    row.exact(
        "proofs-ledger", "one function", result.agrees and result.grades == (Grade.Q,), str(result.disagreements())
    )


def test_a_false_without_its_correction_disagrees(registry, row):
    result = entered(registry, FALSE, ("claimed", False, ""), corrected="c").run()
    row.exact(
        "proofs-ledger",
        "correction required",
        not result.agrees,
        "FALSE agreed although nothing corrected was computed",
    )


def test_a_true_if_needs_both_instances(registry, row):
    result = entered(registry, true_if("c"), ("claimed", True, ""), ("outside", False, "")).run()
    row.exact(
        "proofs-ledger", "both instances required", not result.agrees, "TRUE IF agreed without an instance inside"
    )


def test_parts_are_compared_one_by_one(registry, row):
    claim_ = entered(registry, {"a": TRUE, "b": THEOREM}, ("claimed", True, "a"))
    seen = claim_.run().disagreements()
    row.exact("proofs-ledger", "missing part", any("(b)" in line for line in seen), f"part b was not missed: {seen}")


def test_a_crash_is_an_error_not_a_verdict(registry, row):
    @claim("TST-02", source="002 §1", statement="s", formula="f", stated=TRUE, method="Q")
    def check(case: Case) -> None:
        case.claimed("Q", "text", True)
        raise ZeroDivisionError("1/0")

    result = registry["TST-02"].run()
    row.exact("proofs-ledger", "crash", not result.agrees and "ZeroDivisionError" in result.error, str(result))


@pytest.mark.parametrize(
    ("identifier", "options", "message"),
    [
        ("js-5", {}, "expected an id such as 'JS-05'"),
        ("JS-05", {}, "JS-05 is in the ledger already"),
        ("TST-03", {"source": "005 §1"}, "unknown source '005 §1'"),
        ("TST-03", {"stated": FALSE}, "say in `corrected` what is true instead"),
        ("TST-03", {"twins": {"t": {"nothing": 1}}}, "twin 't' replaces nothing"),
    ],
)
def test_an_entry_that_contradicts_itself_is_refused(registry, identifier, options, message, row):
    from proofs import js  # noqa: F401  (JS-05 is in the ledger)

    arguments = {"source": "002 §1", "statement": "s", "formula": "f", "stated": TRUE, "method": "Q", **options}
    with pytest.raises(ValueError, match=re.escape(message)):
        claim(identifier, **arguments)(lambda case: None)
    row.exact("proofs-ledger", "entry refused", True, "")
