"""The cells side by side: which lines the matrix has, what is broken where, and the verdict."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable

from report.cells import Cell, Problem, Row, State

Key = tuple[str, str]  # id and quantity: one line of the matrix

_NUMBERS = re.compile(r"(\d+)")
VERSIONS = ("python", "numpy", "scipy", "jax", "flax", "optax", "gymnasium", "mujoco", "sympy", "python-flint")
SETTINGS = ("precision", "jit", "calls", "examples", "left out")


@dataclasses.dataclass(frozen=True)
class Matrix:
    """Every cell of one run, in the order in which tox.ini lists them: the longest first."""

    cells: tuple[Cell, ...]
    revision: str
    date: str
    ci: bool = False

    @property
    def columns(self) -> list[Cell]:
        """The cells that stand beside one another: those that measured something, or would have, had they run.

        By kind and by name; tox.ini lists them by how long they take.
        """
        idle = (State.OK, State.BROKEN, State.NOT_SELECTED, State.NO_PROGRAM)
        shown = [cell for cell in self.cells if cell.rows or (cell.has_tests and cell.state not in idle)]
        kinds = list(dict.fromkeys(_kind(cell) for cell in shown))
        return sorted(shown, key=lambda cell: (kinds.index(_kind(cell)), cell.name))

    def keys(self) -> list[Key]:
        """Every line, by chapter and number."""
        return sorted({key for cell in self.cells for key in cell.rows}, key=_reading_order)

    def chapters(self) -> dict[str, list[Key]]:
        """The lines of each chapter: ids that share the part before the number."""
        chapters: dict[str, list[Key]] = {}
        for key in self.keys():
            chapters.setdefault(chapter(key[0]), []).append(key)
        return chapters

    def broken_rows(self) -> dict[Key, list[Row]]:
        """Each line that is broken somewhere, fewest cells first, with its broken rows."""
        return _fewest_first(self.cells, lambda cell: {key: row for key, row in cell.rows.items() if row.broken})

    def broken_groups(self) -> list[tuple[str, list[tuple[Key, Row]]]]:
        """The broken lines under their headings, each with its worst row; one broken cell among many says most."""
        worst = {key: max(rows, key=lambda row: row.severity) for key, rows in self.broken_rows().items()}
        single = [pair for pair in worst.items() if len(self.cells_with(pair[0], broken=True)) == 1]
        several = [pair for pair in worst.items() if len(self.cells_with(pair[0], broken=True)) > 1]
        groups = [("Broken in exactly one cell", single), ("Broken in several cells", several)]
        return [(title, pairs) for title, pairs in groups if pairs]

    def broken_tests(self) -> dict[str, dict[str, Problem]]:
        """Each failing test, fewest cells first: cell name -> problem."""
        found: dict[str, dict[str, Problem]] = {}
        for cell in self.cells:
            for problem in cell.problems:
                if problem.outcome != "skipped":
                    found.setdefault(problem.test, {})[cell.name] = problem
        return dict(sorted(found.items(), key=lambda item: (len(item[1]), item[0])))

    def cells_with(self, key: Key, *, broken: bool | None = None) -> list[str]:
        """The cells that measured a line; with `broken`, those in which it is or is not broken."""
        return [cell.name for cell in self.cells if key in cell.rows and broken in (None, cell.rows[key].broken)]

    def is_left_out(self, key: Key, cell: Cell) -> bool:
        """Whether a line is missing in `cell` because the test that measures it elsewhere was left out there."""
        return key not in cell.rows and not cell.left_out.isdisjoint(self._measured_by[key])

    def left_out_everywhere(self) -> list[str]:
        """The tests that some cell left out and no cell ran."""
        left_out, ran = ([getattr(cell, name) for cell in self.cells] for name in ("left_out", "tests"))
        return sorted(frozenset().union(*left_out).difference(*ran))

    @functools.cached_property
    def _measured_by(self) -> dict[Key, set[str]]:
        """The tests that measured each line, in any cell."""
        found: dict[Key, set[str]] = {}
        for cell in self.cells:
            for key, row in cell.rows.items():
                found.setdefault(key, set()).add(row.test)
        return found

    def skipped_tests(self) -> dict[tuple[str, str], list[str]]:
        """Skipped tests and why, with the cells that skipped them."""
        found: dict[tuple[str, str], list[str]] = {}
        for cell in self.cells:
            for problem in cell.problems:
                if problem.outcome == "skipped":
                    found.setdefault((problem.test, problem.message), []).append(cell.name)
        return found

    def not_selected(self) -> list[str]:
        """The cells that the caller of tox left out."""
        return [cell.name for cell in self.cells if cell.state is State.NOT_SELECTED]

    def explained(self) -> list[Cell]:
        """The cells that ended in a way that their numbers do not show."""
        return [cell for cell in self.cells if cell.reason and cell.state is not State.NOT_SELECTED]

    def failing(self) -> list[Cell]:
        """The cells because of which the run fails."""
        return [cell for cell in self.cells if cell.state.fails(self.ci)]

    @property
    def holds(self) -> bool:
        """Whether nothing failed and something ran: a run in which every cell was skipped has shown nothing."""
        return not self.failing() and any(cell.state is State.OK for cell in self.cells)

    def tightest(self, count: int) -> list[tuple[Cell, Row]]:
        """The holding rows whose errors come closest to their bounds, one per line of the matrix."""
        closest: dict[Key, tuple[Cell, Row]] = {}
        for cell in self.cells:
            for key, row in cell.rows.items():
                if not row.broken and (key not in closest or row.severity > closest[key][1].severity):
                    closest[key] = cell, row
        ranked = sorted(closest.values(), key=lambda pair: pair[1].severity, reverse=True)
        return [pair for pair in ranked[:count] if pair[1].severity > 0.0]

    def count_line(self) -> str:
        """How many tests passed, failed and were skipped; a cell without counts of its own counts as one."""
        passed = sum(cell.passed for cell in self.cells)
        failed = sum(max(cell.failed, int(cell.state.fails(self.ci))) for cell in self.cells)
        skipped = sum(cell.skipped + int(not cell.state.ran and not cell.state.fails(self.ci)) for cell in self.cells)
        if not failed and not self.holds:
            failed = 1  # nothing ran: that is a failure of the run itself
        return f"{passed} passed, {failed} failed, {skipped} skipped"


def chapter(id: str) -> str:
    """The part of an id before its number: `JS` of `JS-04`."""
    return id.rpartition("-")[0] or id


def _kind(cell: Cell) -> str:
    """What a cell runs: `deep` of `py312-deep-f64`, its name where that says no more."""
    return next(iter(cell.name.split("-")[1:]), cell.name)


def _reading_order(key: Key) -> tuple[str, list[tuple[int, int | str]], str]:
    id, quantity = key
    parts: list[tuple[int, int | str]] = [
        (0, int(part)) if part.isdigit() else (1, part) for part in _NUMBERS.split(id) if part
    ]
    return chapter(id), parts, quantity


def _fewest_first(cells: tuple[Cell, ...], select: Callable[[Cell], dict[Key, Row]]) -> dict[Key, list[Row]]:
    found: dict[Key, list[Row]] = {}
    for cell in cells:
        for key, row in select(cell).items():
            found.setdefault(key, []).append(row)
    return dict(sorted(found.items(), key=lambda item: (len(item[1]), _reading_order(item[0]))))
