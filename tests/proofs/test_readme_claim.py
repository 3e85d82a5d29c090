"""The README's section on adding a claim, followed literally."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from proofs import ledger
from proofs.claim import REGISTRY
from proofs.verdict import Verdict

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
def added(monkeypatch):
    """The claim of the README, entered into the ledger as its section says; the ledger is as before afterwards."""
    text = README.read_text(encoding="utf-8")
    section = text.split("### Adding a claim", 1)[1].split("\n## ", 1)[0]
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert code, "the section on adding a claim has no Python block"
    ledger.claims()
    before = dict(REGISTRY)
    exec(compile(code.group(1), str(README), "exec"), {"__name__": "proofs.kl.readme"})
    (identifier,) = set(REGISTRY) - set(before)
    yield REGISTRY[identifier]
    REGISTRY.clear()
    REGISTRY.update(before)


def test_the_claim_of_the_readme_is_decided_and_its_twins_are_refuted(added, row):
    result = added.run()
    row.exact("proofs-ledger", "README's claim", result.agrees and result.rigorous, "; ".join(result.disagreements()))
    row.exact("proofs-ledger", "README's claim, method", set(added.method) == set(result.grades), str(result.grades))
    row.exact("proofs-ledger", "README's claim, found", ledger.find(added.id) is added, added.id)
    for name, twin in added.twins.items():
        wrong = added.run(**twin)
        verdicts = {ruling.verdict for ruling in wrong.computed.values()}
        refuted = not wrong.agrees and not wrong.error and Verdict.UNDECIDED not in verdicts
        row.exact("proofs-ledger", "README's claim, twins", refuted, f"{name}: {wrong.verdict}")
