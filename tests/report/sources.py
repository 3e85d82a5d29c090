"""Where an id leads: what it states, the functions that implement it, and where a test stands. Read, never imported.

A cell of the matrix has packages that the report has not, so the files are parsed: `proofs/` for the claims, the
contract's own docstring for the ids that belong to no claim, the docstrings of `reference/` and `deep/` for functions.
"""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

_ID = re.compile(r"\b[A-Z]{2,4}-\d+\b")
_CONTRACT = Path("tests", "contract", "conftest.py")
_OWN = re.compile(rf"^    ((?:{_ID.pattern})(?:, (?:{_ID.pattern}))*)  (.+(?:\n     +\S.*)*)", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Place:
    """A function, class or module in a file of the repository; `line` counts from 1."""

    name: str
    path: str
    line: int


@dataclasses.dataclass(frozen=True)
class Statement:
    """What an id says, as a formula too where there is one, and where that is written."""

    text: str
    formula: str
    place: Place


@dataclasses.dataclass(frozen=True)
class Sources:
    """The repository by id, and by test function."""

    statements: dict[str, Statement] = dataclasses.field(default_factory=dict)
    functions: dict[str, tuple[Place, ...]] = dataclasses.field(default_factory=dict)
    tests: dict[str, Place] = dataclasses.field(default_factory=dict)

    def test(self, name: str) -> Place | None:
        """Where the test of a JUnit name stands: `tests.house.test_report::test_x[a]`."""
        module, _, function = name.partition("::")
        return self.tests.get(f"{module}::{function.partition('[')[0]}")


def read(root: Path) -> Sources:
    """Every id that the repository at `root` states, implements or tests."""
    statements, functions, tests = dict(_own(root)), {}, {}
    for path, tree in _modules(root, "proofs"):
        statements |= dict(_claims(path, tree))
    for folder in ("reference", "deep"):
        for path, tree in _modules(root, folder):
            for place, docstring in _documented(path, tree):
                for id in dict.fromkeys(_ID.findall(docstring)):
                    functions.setdefault(id, []).append(place)
    for path, tree in _modules(root, "tests"):
        module = path.removesuffix(".py").replace("/", ".")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                tests[f"{module}::{node.name}"] = Place(node.name, path, node.lineno)
    return Sources(statements, {id: tuple(places) for id, places in functions.items()}, tests)


def _modules(root: Path, folder: str) -> Iterator[tuple[str, ast.Module]]:
    for file in sorted((root / folder).rglob("*.py")):
        yield file.relative_to(root).as_posix(), ast.parse(file.read_text(encoding="utf-8"))


def _documented(path: str, tree: ast.Module) -> Iterator[tuple[Place, str]]:
    """Each function, class and module that has a docstring, with it; nested ones speak through those around them."""
    module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    if docstring := ast.get_docstring(tree):
        yield Place(module, path, 1), docstring
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and (docstring := ast.get_docstring(node)):
            yield Place(f"{module}.{node.name}", path, node.lineno), docstring


def _claims(path: str, tree: ast.Module) -> Iterator[tuple[str, Statement]]:
    for node in tree.body:
        for call in getattr(node, "decorator_list", ()):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "claim" and call.args:
                words = {word.arg: word.value for word in call.keywords}
                name = _text(call.args[0])
                place = Place(f"the claim {name}", path, call.lineno)
                yield name, Statement(_text(words.get("statement")), _text(words.get("formula")), place)


def _text(node: ast.expr | None) -> str:
    if node is None:
        return ""
    return str(node.value) if isinstance(node, ast.Constant) else ast.unparse(node)


def _own(root: Path) -> Iterator[tuple[str, Statement]]:
    """The ids that the contract's docstring lists: an id or several, two spaces, what they are."""
    if not (root / _CONTRACT).exists():
        return
    docstring = ast.get_docstring(ast.parse((root / _CONTRACT).read_text(encoding="utf-8")), clean=False) or ""
    for listed in _OWN.finditer(docstring):
        place = Place("the contract's list", _CONTRACT.as_posix(), 1)
        for id in _ID.findall(listed[1]):
            yield id, Statement(" ".join(listed[2].split()), "", place)
