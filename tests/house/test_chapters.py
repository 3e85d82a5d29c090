"""The pages on the course notes lead where they say, name what exists, and their figures can be drawn.

What they say about claims is held against the ledger in `tests/proofs/test_chapters.py`, where its packages are.
"""

import importlib
from pathlib import Path

import chapters
import pytest

import proofs.__main__
import reference.__main__
from reference.parser import parser

ROOT = Path(__file__).parents[2]
FEW = ("--steps", "300", "--replications", "2")  # of a command that learns: the last of two equal options counts
PAGES = pytest.mark.parametrize("page", chapters.PAGES, ids=lambda page: page.stem)
DRAWN_HERE = [page for page in chapters.PAGES if chapters.commands(page)[0].startswith("python -m reference ")]


def found(name: str) -> object:
    """What a dotted name means: its longest part that is a module, and attributes of that."""
    first, *rest = name.split(".")
    there = importlib.import_module(first)
    for index, part in enumerate(rest):
        if not hasattr(there, part):
            importlib.import_module(".".join([first, *rest[: index + 1]]))
        there = getattr(there, part)
    return there


def test_the_index_leads_to_every_page_and_the_readme_to_the_index():
    index = chapters.FOLDER / "README.md"
    missing = {page.name for page in chapters.PAGES} - set(chapters.links(index))
    assert chapters.PAGES, f"no page in {chapters.FOLDER}"
    assert not missing, f"the index has no link to {sorted(missing)}"
    assert chapters.links(ROOT / "README.md").count("reference/chapters/README.md") == 1


@pytest.mark.parametrize("page", [*chapters.PAGES, chapters.FOLDER / "README.md"], ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page):
    assert chapters.links(page), f"{page.name} leads nowhere"
    dead = [link for link in chapters.links(page) if not (page.parent / link).is_file()]
    assert not dead, f"{page.name} leads to {dead}, which do not exist"


@PAGES
def test_pages_are_chained(page):
    index = chapters.PAGES.index(page)
    neighbours = {other.name for other in chapters.PAGES[max(index - 1, 0) : index + 2]} - {page.name}
    assert neighbours == chapters.header(page) - {"README.md"}


@PAGES
def test_every_name_exists(page):
    assert chapters.names(page), f"{page.name} names no function"
    for name in chapters.names(page):
        try:
            found(name)
        except (ImportError, AttributeError) as error:
            pytest.fail(f"{page.name} names {name}: {error}")


def test_a_name_that_does_not_exist_is_noticed():
    with pytest.raises(ImportError):
        found("reference.learning.no_such_function")


@PAGES
def test_formulas_in_the_text_end_on_their_line(page):
    broken = [line for line in chapters.prose(page).splitlines() if line.count("$") % 2]
    assert not broken, f"{page.name}: a formula that goes on in the next line is not set as one: {broken}"


@PAGES
def test_the_command_of_the_figure_is_understood(page, tmp_path):
    package, *arguments = chapters.words(page, tmp_path / "figure.png")
    known = {"reference": parser, "proofs": proofs.__main__.parser}
    parsed = known[package]().parse_args(arguments)
    assert str(tmp_path / "figure.png") in map(str, vars(parsed).values())


@pytest.mark.parametrize("page", DRAWN_HERE, ids=lambda page: page.stem)
def test_the_command_draws_the_figure(page, tmp_path, capsys):
    target = tmp_path / "figure.png"
    _, *arguments = chapters.words(page, target)
    few = FEW if arguments[0] == "learn" else ()
    status = reference.__main__.main([*arguments, *few])
    assert status == 0, capsys.readouterr().err
    assert chapters.is_picture(target)
