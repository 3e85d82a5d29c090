"""Rows of the matrix: what a test compared, the largest error it saw and the bound that the error must obey.

A test asks for the `row` fixture and hands it one comparison after another::

    row("JS-04", "relaxed weights", error=abs(ours - theirs), bound=bound, reason=reason)
    row.exact("RPL-01", "replay contents", condition, "slot 3 holds transition 7, expected 8")

Each call fails unless `error <= bound` (a NaN fails). Over all calls of a test, and so over all examples that
Hypothesis draws, the worst error is kept beside its bound and written into the JUnit file, where the report finds it.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import ArrayLike


@dataclasses.dataclass(frozen=True)
class Row:
    """One quantity as one test saw it: the worst of `comparisons` comparisons."""

    id: str
    quantity: str
    error: float
    bound: float
    reason: str
    exact: bool = False
    comparisons: int = 1

    @property
    def holds(self) -> bool:
        """Whether the error obeys its bound; false for NaN."""
        return self.error <= self.bound

    @property
    def severity(self) -> float:
        """Error as a fraction of its bound, by which rows are compared: 0 for no error, infinite for NaN."""
        if self.error == 0.0:
            return 0.0
        if math.isnan(self.error) or self.bound == 0.0:
            return math.inf
        return self.error / self.bound

    def message(self) -> str:
        """What a failing comparison says."""
        if self.exact:
            return f"{self.quantity} [{self.id}]: {self.reason}"
        comparison = f"largest error {self.error:.3e} exceeds bound {self.bound:.3e}"
        return f"{self.quantity} [{self.id}]: {comparison} ({self.reason})"

    def merged(self, other: Row) -> Row:
        """The worse of two rows of the same quantity, counting the comparisons of both."""
        worse = other if other.severity > self.severity else self
        return dataclasses.replace(worse, comparisons=self.comparisons + other.comparisons)

    def to_json(self) -> str:
        """The form in which the row travels in a JUnit property."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)


class Witness(NamedTuple):
    """The entry of an array that is worst for its bound: where it stands, what was seen there and what was expected."""

    index: int
    seen: float
    expected: float


class Rows:
    """The `row` fixture: records comparisons and fails on the first that breaks its bound."""

    def __init__(self) -> None:
        self._worst: dict[tuple[str, str], Row] = {}

    def __call__(
        self,
        id: str,
        quantity: str,
        error: ArrayLike,
        bound: ArrayLike,
        reason: str,
        values: tuple[np.ndarray, np.ndarray] | None = None,
        at: np.ndarray | None = None,
    ) -> None:
        """Require `error <= bound`.

        `error` and `bound` may be arrays that broadcast; the entry worst relative to its bound is what is kept.
        `values`, what was seen and what was expected in the shape of `error`, are shown for that entry; the input `at`
        which it was seen, in decimal and bit for bit, becomes part of the reason.
        ValueError for a comparison that could not fail: no entries, or a bound that is negative, infinite or NaN.
        """
        __tracebackhide__ = True
        errors, bounds = np.broadcast_arrays(np.asarray(error, dtype=np.float64), np.asarray(bound, dtype=np.float64))
        if errors.size == 0:
            raise ValueError(
                f"{quantity} [{id}]: nothing to compare; expected at least one error, saw shape {errors.shape}"
            )
        if not np.all(np.isfinite(bounds) & (bounds >= 0.0)):
            raise ValueError(
                f"{quantity} [{id}]: expected finite bounds >= 0, saw {bounds.min()} .. {bounds.max()} ({reason})"
            )
        if np.any(errors < 0.0):
            raise ValueError(f"{quantity} [{id}]: expected errors >= 0 (take the magnitude), saw {errors.min()}")
        with np.errstate(over="ignore"):  # a bound near the smallest number: any error is infinitely many of it
            severities = np.divide(errors, bounds, out=np.where(errors == 0.0, 0.0, np.inf), where=bounds > 0.0)
        worst = int(np.argmax(np.where(np.isnan(errors), np.inf, severities)))
        if at is not None:
            where = float(np.broadcast_to(at, errors.shape).flat[worst])
            reason = f"{reason}; worst input {where!r} = {where.hex()}"
        witness = None
        if values is not None:
            seen, expected = (np.broadcast_to(array, errors.shape).flat[worst] for array in values)
            witness = Witness(worst, float(seen), float(expected))
        self._keep(Row(id, quantity, float(errors.flat[worst]), float(bounds.flat[worst]), reason), witness)

    def exact(self, id: str, quantity: str, condition: bool, message: str) -> None:
        """Require a yes/no `condition`; `message` says what was expected and what was seen."""
        __tracebackhide__ = True
        row = Row(id, quantity, 0.0 if condition else 1.0, 0.0, message if not condition else "exact", exact=True)
        self._keep(row, None)

    def _keep(self, row: Row, witness: Witness | None) -> None:
        __tracebackhide__ = True
        if not row.id or any(character.isspace() for character in row.id):
            raise ValueError(f"expected an id such as 'JS-04', saw {row.id!r} for {row.quantity!r}")
        key = (row.id, row.quantity)
        self._worst[key] = self._worst[key].merged(row) if key in self._worst else row
        if not row.holds:
            shown = f"; saw {witness.seen!r}, expected {witness.expected!r}" if witness else ""
            raise AssertionError(row.message() + shown)

    def collected(self) -> tuple[Row, ...]:
        """The worst row of each (id, quantity), in the order of first use."""
        return tuple(self._worst.values())


RECORDER = pytest.StashKey[Callable[[pytest.FixtureRequest], Rows]]()
"""What a plugin may set: who makes the recorder of a test, in place of `Rows`."""
WATCH = pytest.StashKey[Callable[[str, Callable[..., Any]], Callable[..., Any]]]()
"""What a plugin may set: a wrapper of the functions that an implementation offers, by name."""
_SESSION = pytest.StashKey[list[Row]]()
_PASSED = pytest.StashKey[bool]()


def session_rows(config: pytest.Config) -> dict[str, Row]:
    """The worst row of each id over the session so far; what a certificate records."""
    return merge(config.stash.get(_SESSION, []))


def merge(rows: Iterable[Row]) -> dict[str, Row]:
    """The worst row of each id."""
    worst: dict[str, Row] = {}
    for row in rows:
        worst[row.id] = worst[row.id].merged(row) if row.id in worst else row
    return worst


def passed(node: pytest.Item) -> bool:
    """Whether the test's own body ran to its end; false when it failed or was skipped."""
    return node.stash.get(_PASSED, False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """Remember whether the test's own body passed, so that teardown need not guess."""
    report = yield
    if report.when == "call":
        item.stash[_PASSED] = report.passed
    return report


@pytest.fixture
def row(request: pytest.FixtureRequest, record_property):
    """Compare a quantity with its bound; see the module's docstring."""
    recorder = request.config.stash.get(RECORDER, lambda _: Rows())(request)
    yield recorder
    collected = recorder.collected()
    for entry in collected:
        record_property("row", entry.to_json())
    request.config.stash.setdefault(_SESSION, []).extend(collected)
    if not collected and passed(request.node):
        pytest.fail("this test asked for `row` and never compared anything; a row that was not checked is not a row")
