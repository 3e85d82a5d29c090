"""Every claim of the ledger, executed: the computed verdict is the stated one, and nothing it requires is missing."""

from __future__ import annotations

import functools
import importlib
import inspect

import pytest

from proofs import ledger, under_test
from proofs.claim import Claim, Result
from proofs.evidence import Role
from proofs.verdict import Verdict

CLAIMS = ledger.claims()


@functools.cache
def executed(identifier: str) -> Result:
    return ledger.find(identifier).run()


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_the_computed_verdict_is_the_stated_one(claim: Claim, row):
    result = executed(claim.id)
    row.exact(claim.id, f"verdict {claim.verdict}", result.agrees, "; ".join(result.disagreements()))


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_every_method_that_the_entry_names_is_executed_and_rigorous(claim: Claim, row):
    result = executed(claim.id)
    named, used = set(claim.method), set(result.grades)
    message = f"expected evidence of grades {[g.name for g in claim.method]}, saw {[g.name for g in result.grades]}"
    row.exact(claim.id, "methods executed", named == used, message)
    row.exact(claim.id, "decided without rounding", result.rigorous, "no rigorous evidence decides some part")


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_the_entry_explains_itself(claim: Claim, row):
    row.exact(claim.id, "witness", bool(executed(claim.id).witness), "the executed claim shows no witness")
    row.exact(claim.id, "derivation", len(claim.derivation) >= 2, "expected a derivation of at least two steps")
    row.exact(claim.id, "twins", len(claim.twins) >= 2, "expected at least two wrong twins")


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_a_refuted_statement_shows_its_counterexample(claim: Claim, row):
    result = executed(claim.id)
    wanted = {Verdict.FALSE: (Role.CLAIMED, Role.WITHIN, Role.THEOREM), Verdict.TRUE_IF: (Role.OUTSIDE,)}
    parts = [(part, ruling.verdict) for part, ruling in claim.stated.items() if ruling.verdict in wanted]
    for part, verdict in parts:
        refuting = [e for e in result.evidence if e.part == part and e.role in wanted[verdict] and e.holds is False]
        message = f"{part or 'the statement'} is {verdict}, and no failing instance carries numbers"
        row.exact(claim.id, "counterexample", any(e.witness for e in refuting), message)
    if not parts:
        row.exact(claim.id, "counterexample", all(e.holds for e in result.evidence), "some evidence does not hold")


def test_the_reference_obeys_its_own_bounds_around_the_proofs(row):
    compared = [(c, e) for c in CLAIMS for e in executed(c.id).evidence if e.role is Role.COMPARISON]
    for claim, item in compared:
        row.exact(claim.id, item.text, item.holds is True, item.witness)
    # Every comparison that there is belongs to some claim: one that none calls would compare nothing.
    called = "".join(inspect.getsource(importlib.import_module(c.check.__module__)) for c in CLAIMS)
    offered = [name for name in vars(under_test) if callable(getattr(under_test, name))]
    idle = [name for name in offered if f"under_test.{name}(" not in called]
    row.exact("proofs-ledger", "comparisons made", len(offered) > 15 and not idle, f"no claim calls {idle}")


def test_the_ledger_is_complete(row):
    """Sections 2 to 11 of the specification, and how many entries each has."""
    sizes = {"KL": 11, "ESS": 16, "JS": 25, "FD": 7, "OCC": 10, "GUM": 6, "PRI": 6, "BET": 4, "SAC": 26, "RL": 35}
    wanted = {f"{chapter}-{k:02d}" for chapter, size in sizes.items() for k in range(1, size + 1)}
    seen = {claim.id for claim in CLAIMS}
    row.exact("proofs-ledger", "entries", wanted <= seen, f"missing {sorted(wanted - seen)}")


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_a_claim_is_where_its_chapter_says(claim: Claim, row):
    """A chapter of one module has its claims itself; one that is a package names each beside its module."""
    chapter = importlib.import_module(ledger.CHAPTERS[claim.chapter])
    named = [line.split()[0] for line in (chapter.__doc__ or "").splitlines() if claim.id in line]
    expected = [f"{chapter.__name__}.{name}" for name in named] if hasattr(chapter, "__path__") else [chapter.__name__]
    seen = claim.check.__module__
    row.exact(claim.id, "index", expected == [seen], f"{chapter.__name__} names {expected or 'no module'}, saw {seen}")
