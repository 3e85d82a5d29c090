"""Wrong twins: a sign, a factor or a dropped term in a claim's formula has to change the computed verdict."""

from __future__ import annotations

import pytest

from proofs import ledger
from proofs.claim import Claim
from proofs.verdict import Verdict

TWINS = [pytest.param(claim, name, id=f"{claim.id}: {name}") for claim in ledger.claims() for name in claim.twins]


@pytest.mark.long
@pytest.mark.parametrize(("claim", "name"), TWINS)
def test_a_wrong_twin_is_refuted(claim: Claim, name: str, row):
    result = claim.run(**claim.twins[name])
    verdicts = {ruling.verdict for ruling in result.computed.values()}
    row.exact(claim.id, "twin runs", not result.error, f"{name}: {result.error}")
    row.exact(
        claim.id,
        "twin refuted",
        not result.agrees,
        f"{name}: the verdict is still {result.verdict}, so this check does not see that formula",
    )
    row.exact(claim.id, "twin decided", Verdict.UNDECIDED not in verdicts, f"{name}: {result.disagreements()}")


def test_every_formula_of_a_claim_has_a_twin(row):
    for claim in ledger.claims():
        replaced = {formula for twin in claim.twins.values() for formula in twin}
        untouched = set(claim.formulas) - replaced
        row.exact(claim.id, "formulas with a twin", not untouched, f"no twin replaces {sorted(untouched)}")


def test_replacing_an_unknown_formula_is_an_error(row):
    claim = ledger.find("JS-02")
    with pytest.raises(TypeError, match=r"JS-02 has no formula slope; its formulas are derivative"):
        claim.run(slope=lambda w: w)
    row.exact("JS-02", "unknown formula refused", True, "")
