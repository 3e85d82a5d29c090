"""The pages on the course notes say of each claim what the ledger says, and the figures of claims can be drawn."""

from __future__ import annotations

import chapters
import pytest

from proofs import __main__ as command
from proofs import ledger

OF_A_CLAIM = [page for page in chapters.PAGES if chapters.commands(page)[0].startswith("python -m proofs ")]


@pytest.mark.parametrize("page", chapters.PAGES, ids=lambda page: page.stem)
def test_a_page_has_the_claims_of_its_chapter_with_their_verdicts(page, row):
    source = f"004 C{int(page.stem[1:])}"
    judged = {
        claim.id: [str(ruling.verdict) for ruling in claim.stated.values()]
        for claim in ledger.select(source="004")
        if source in claim.sources
    }
    written = chapters.claims(page)
    differing = set(judged) ^ set(written)
    row.exact("chapters", "claims of a chapter", not differing, f"{page.name}: on one side only {sorted(differing)}")
    for identifier, verdicts in written.items():
        stated = judged.get(identifier)
        row.exact("chapters", "verdict", verdicts == stated, f"{page.name}, {identifier}: {verdicts}, ledger {stated}")


@pytest.mark.parametrize("page", OF_A_CLAIM, ids=lambda page: page.stem)
def test_the_figure_of_a_page_shows_one_of_its_claims(page, tmp_path, capsys, row):
    target = tmp_path / "figure.png"
    _, *arguments = chapters.words(page, target)
    status = command.main(["--quiet", *arguments])
    row.exact("chapters", "figure of a claim", arguments[1] in chapters.claims(page), f"{page.name}: {arguments}")
    drawn = status == 0 and chapters.is_picture(target)
    row.exact("chapters", "figure drawn", drawn, f"{page.name}: {capsys.readouterr().err}")
