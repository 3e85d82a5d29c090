"""The pages on the course notes, taken apart: claims, names, links, and the command of the figure."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "reference" / "chapters"
PAGES = sorted(FOLDER.glob("c*.md"))
_CLAIM = re.compile(r"\*\*([A-Z]+-\d{2})\*\* \(([A-Z]+(?: IF)?(?:, [A-Z]+(?: IF)?)*)\)")
_NAME = re.compile(r"`(reference(?:\.\w+)+)`")
_LINK = re.compile(r"\]\(([^)#]+)\)")
_SHELL = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)


def text(page: Path) -> str:
    """What a page says."""
    return page.read_text(encoding="utf-8")


def claims(page: Path) -> dict[str, list[str]]:
    """The verdicts of each claim of a page, by its id."""
    found = _CLAIM.findall(text(page))
    assert len(found) == len(dict(found)), f"{page.name} judges a claim twice: {found}"
    return {identifier: verdicts.split(", ") for identifier, verdicts in found}


def names(page: Path) -> list[str]:
    """The dotted names of a page that begin with `reference`."""
    return _NAME.findall(text(page))


def links(page: Path) -> list[str]:
    """Where a page leads."""
    return _LINK.findall(text(page))


def header(page: Path) -> set[str]:
    """Where the line under the title leads."""
    return set(_LINK.findall(text(page).splitlines()[2]))


def commands(page: Path) -> list[str]:
    """The lines of the shell blocks of a page that stand in its section on the figure."""
    _, _, section = text(page).partition("\n## Figure\n")
    return [line for block in _SHELL.findall(section) for line in block.splitlines()]


def words(page: Path, target: Path) -> list[str]:
    """The one command of a page without `python -m`, drawing into `target`: the package, then its arguments."""
    (line,) = commands(page)
    python, option, *rest = shlex.split(line)
    assert (python, option) == ("python", "-m"), f"{page.name}: expected python -m ..., seen {line!r}"
    picture = f"{page.stem}.png"
    assert rest.count(picture) == 1, f"{page.name}: expected one {picture} in {line!r}"
    return [str(target) if word == picture else word for word in rest]


def is_picture(target: Path) -> bool:
    """Whether a file begins as every PNG does (ISO/IEC 15948, 5.2) and holds at least one chunk of pixels."""
    content = target.read_bytes()
    return content.startswith(b"\x89PNG\r\n\x1a\n") and b"IDAT" in content


def prose(page: Path) -> str:
    """What a page says apart from its code and its displayed formulas."""
    without_code = re.sub(r"^```.*?^```", "", text(page), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`|\$\$.*?\$\$", "", without_code, flags=re.DOTALL)
