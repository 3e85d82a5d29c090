"""Mutants of a source file as mutmut makes them, each as the text of the whole file with one change.

mutmut chooses what is changed and into what (its operators and its visitor); here every mutant is one plain source
text. mutmut's own way, all mutants of a function side by side behind a wrapper that picks one, would change what is
under test: wrapped functions are other objects to `jax.jit`, to caches and to whoever compares callables.

Functions with decorators (properties, cached constructors) are mutated too, which mutmut's wrappers cannot do. Text
outside functions is left alone, as there.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.file_mutation import MutationVisitor, deep_replace
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import IgnoredCode

NOT_PRAGMAS = IgnoredCode(set(), set(), set())
"""A survivor is argued in the reviewed list, beside its reason, and not silenced by a comment in the source."""


class Mutant(NamedTuple):
    """One change of one function.

    function     its qualified name
    line         where that function begins, the first decorator included
    diff         the changed lines, `- old` and `+ new`, without numbers or indentation
    occurrence   how many mutants of the function with the same diff come before it
    signature    whether a default of the function's arguments is what changed
    start, stop  lines [start, stop) of the file, from 0, are replaced by `lines`
    """

    file: str
    function: str
    line: int
    diff: str
    occurrence: int
    signature: bool
    start: int
    stop: int
    lines: list[str]

    @property
    def id(self) -> str:
        """The same as long as the function's changed lines are the same; no numbering that edits elsewhere shift."""
        digest = hashlib.sha256(f"{self.diff}\n{self.occurrence}".encode()).hexdigest()[:10]
        return f"{self.file}::{self.function}::{digest}"

    def planted(self, source: str) -> str:
        """The text of the whole file with the change."""
        lines = source.splitlines(keepends=True)
        return "".join([*lines[: self.start], *self.lines, *lines[self.stop :]])


class Equivalent(NamedTuple):
    """An entry of the reviewed list: the mutants of a function with this diff compute the same, for this reason."""

    file: str
    function: str
    diff: str
    reason: str


class _Visitor(MutationVisitor):
    """mutmut's, which also enters functions with decorators."""

    def _skip_node_and_children(self, node: cst.CSTNode) -> bool:
        return not isinstance(node, cst.FunctionDef) and super()._skip_node_and_children(node)


def mutants(file: str, source: str) -> tuple[list[Mutant], int]:
    """The mutants of a file, and how many more there are of error messages, which are left out.

    Left out are changes of a string literal inside a `raise` statement: what an error says is text for people, and
    tests look for the parts that matter. A message replaced by None is kept.
    """
    wrapper = MetadataWrapper(cst.parse_module(source))
    visitor = _Visitor(mutation_operators, NOT_PRAGMAS)
    module = wrapper.visit(visitor)
    assert isinstance(module, cst.Module)
    positions = wrapper.resolve(PositionProvider)
    places = {function: (place, owner) for place, owner, function in _functions(module)}
    texts = {function: _text(module, owner, function) for function, (_, owner) in places.items()}
    firsts = {f: positions[f.decorators[0] if f.decorators else f.name].start.line for f in places}
    starts = {function: _start(source, text, firsts[function]) for function, text in texts.items()}
    messages = {id(node) for raised in _of(module, cst.Raise) for node in _of(raised, cst.SimpleString)}
    made, excluded, seen = [], 0, Counter[tuple[str, str]]()
    for mutation in visitor.mutations:
        function = mutation.contained_by_top_level_function
        if not isinstance(function, cst.FunctionDef) or function not in places:
            continue
        if id(mutation.original_node) in messages:
            excluded += 1
            continue
        changed = deep_replace(function, mutation.original_node, mutation.mutated_node)
        assert isinstance(changed, cst.FunctionDef)
        place, owner = places[function]
        old = texts[function].splitlines(keepends=True)
        new = _text(module, owner, changed).splitlines(keepends=True)
        if old == new:
            continue
        before, after = _common(old, new)
        gone, come = old[before : len(old) - after], new[before : len(new) - after]
        diff = "\n".join([*(f"- {line.strip()}" for line in gone), *(f"+ {line.strip()}" for line in come)])
        start = starts[function] + before
        signature = any(node is mutation.original_node for node in _walk(function.params))
        occurrence = seen[place, diff]
        seen[place, diff] += 1
        stop = start + len(gone)
        made.append(Mutant(file, place, firsts[function], diff, occurrence, signature, start, stop, come))
    return made, excluded


def equivalents(path: Path) -> list[Equivalent]:
    """The reviewed list: tables `equivalent` with `file`, `function`, `diffs` and the `reason` that they share."""
    listed = []
    for entry in tomllib.loads(path.read_text(encoding="utf-8")).get("equivalent", []):
        missing = {"file", "function", "diffs", "reason"} - {key for key, value in entry.items() if value}
        if missing:
            raise ValueError(f"{path}: an entry lacks {sorted(missing)}: {entry}")
        for diff in entry["diffs"]:
            lines = "\n".join(line.strip() for line in diff.strip().splitlines())
            listed.append(Equivalent(entry["file"], entry["function"], lines, entry["reason"]))
    return listed


def stale(listed: Sequence[Equivalent], made: Sequence[Mutant]) -> list[Equivalent]:
    """The entries for files of `made` that no mutant of them answers to."""
    files = {mutant.file for mutant in made}
    there = {(mutant.file, mutant.function, mutant.diff) for mutant in made}
    return [entry for entry in listed if entry.file in files and entry[:3] not in there]


def in_random_order(made: Sequence[Mutant], seed: int) -> list[Mutant]:
    """The mutants in an order that the seed decides: its first N are a sample without replacement.

    A mutant's place depends on its own identity alone, so that editing one function leaves the others where they were.
    """
    return sorted(made, key=lambda mutant: hashlib.sha256(f"{seed} {mutant.id}".encode()).hexdigest())


def _functions(module: cst.Module) -> Iterator[tuple[str, cst.ClassDef | None, cst.FunctionDef]]:
    for statement in module.body:
        if isinstance(statement, cst.FunctionDef):
            yield statement.name.value, None, statement
        elif isinstance(statement, cst.ClassDef):
            for inner in statement.body.body:
                if isinstance(inner, cst.FunctionDef):
                    yield f"{statement.name.value}.{inner.name.value}", statement, inner


def _text(module: cst.Module, owner: cst.ClassDef | None, function: cst.FunctionDef) -> str:
    """The function as it stands in the file: a method with its indentation."""
    alone = module.code_for_node(function)
    if owner is None:
        return alone
    body = owner.body.with_changes(body=[function], footer=[])
    return "".join(module.code_for_node(owner.with_changes(body=body)).splitlines(keepends=True)[-alone.count("\n") :])


def _start(source: str, text: str, line: int) -> int:
    """The number of lines before the `text` that `line` (from 1) is in; two classes may have the same method."""
    at, height = source.find(text), text.count("\n")
    while at >= 0:
        before = source.count("\n", 0, at)
        if before < line <= before + height:
            return before
        at = source.find(text, at + 1)
    raise ValueError(f"expected a function at line {line} of its file, did not see it there:\n{text}")


def _common(old: Sequence[str], new: Sequence[str]) -> tuple[int, int]:
    """The numbers of lines that both begin with, and that both end with besides."""
    least = min(len(old), len(new))
    before = next((i for i in range(least) if old[i] != new[i]), least)
    after = next((i for i in range(least - before) if old[-1 - i] != new[-1 - i]), least - before)
    return before, after


def _walk(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    yield node
    for child in node.children:
        yield from _walk(child)


def _of(node: cst.CSTNode, kind: type[cst.CSTNode]) -> Iterator[cst.CSTNode]:
    return (found for found in _walk(node) if isinstance(found, kind))
