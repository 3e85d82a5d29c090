"""The matrix as a reader has it: opened from disk in Chromium, wide and narrow, folded open, its links followed.

`tox run -e py312-browser`; ROER_SCREENSHOTS names a folder for pictures.
"""

import importlib
import os
import urllib.parse
from pathlib import Path

import chromium
import pytest
from report import page as matrix_page
from report import sources
from report.cells import Cell, Row, State
from report.matrix import Matrix

ROOT = Path(__file__).resolve().parents[2]
WIDTHS = (1280, 390)
pytestmark = chromium.needed


def measured(id: str, quantity: str, error: float, *, exact: bool = False) -> Row:
    test = "tests.contract.test_weights::test_relaxed_weights[kl]"
    return Row(id, quantity, error, 1e-6, "rounding of a sum", exact, 25, test, error > 1e-6, False)


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    """A page with a broken row, a cell that crashed, one without its interpreter, and lines enough to scroll."""
    lines = [measured(f"JS-{n:02}", f"quantity {n} of a long name that has to be broken", 1e-9) for n in range(1, 27)]
    rows = {row.key: row for row in (*lines, measured("KL-04", "relaxed weights", 3e-6))}
    cells = [Cell(f"py31{n}-deep-f{bits}", State.OK, passed=9, rows=rows) for n in (1, 2, 3) for bits in (32, 64)]
    rows = {row.key: row for row in (*lines, measured("KL-04", "relaxed weights", 3e-7))}
    cells += [
        Cell("py312-faults", State.CRASHED, "ended with exit code -9 (signal 9) before pytest wrote its file"),
        Cell("py313-reference", State.NO_INTERPRETER, "the machine lacks its interpreter"),
        Cell("py312-reference", State.OK, passed=3, rows=rows),
    ]
    found = tmp_path_factory.mktemp("matrix") / "build" / "matrix" / "matrix.html"
    found.parent.mkdir(parents=True)
    found.write_text(matrix_page.render(Matrix(tuple(cells), "abc", "today"), sources.read(ROOT)), encoding="utf-8")
    return found


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_is_whole_without_a_request(width, file):
    said, requests = [], []
    with importlib.import_module("playwright.sync_api").sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium.PATH, args=chromium.QUIET)
        page = browser.new_page(viewport={"width": width, "height": 800})
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(file.as_uri())
        wide = "[...document.body.children].filter(e => e.scrollWidth > innerWidth).map(e => e.outerHTML.slice(0, 300))"
        assert page.evaluate("document.documentElement.scrollWidth") <= width, page.evaluate(wide)
        # Whatever is scrolled to, the name of a line stands beside its numbers and leaves them most of the room.
        table = page.locator(".scroll").first
        table.evaluate("element => element.scrollTo(element.scrollWidth, 300)")
        name, box = page.locator("tbody tr:not(.id):not(.chapter) th").first.bounding_box(), table.bounding_box()
        assert abs(name["x"] - box["x"]) <= 2.0
        assert name["width"] <= 0.6 * box["width"]
        claim = page.locator("#JS-05 details")
        folded = claim.bounding_box()["height"]
        claim.locator("summary").click()
        assert claim.get_by_text("sigmoid").first.is_visible()
        assert claim.bounding_box()["height"] >= 3 * folded
        assert claim.bounding_box()["width"] <= 0.6 * box["width"]
        assert page.get_by_text("py312-faults: CRASHED").is_visible()
        assert page.get_by_text("py313-reference: NOT RUN: no interpreter").is_visible()
        links = page.locator("a").evaluate_all("all => all.map(a => a.href)")
        if folder := os.environ.get("ROER_SCREENSHOTS"):
            page.screenshot(path=str(Path(folder) / f"matrix_{width}.png"))
        browser.close()
    assert said == []
    assert requests == [file.as_uri()]
    assert len(links) > 26
    root = file.parents[2]
    for link in set(links):
        path = Path(urllib.parse.unquote(urllib.parse.urlsplit(link).path))
        assert (ROOT / path.relative_to(root)).is_file(), link
