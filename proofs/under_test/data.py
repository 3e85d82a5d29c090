"""The data of the comparisons, and what turns an exception of the thing under test into an answer."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from proofs.divergences import Law
from proofs.evidence import Answer
from proofs.exact import rational

ADVANTAGE = (0.0, 0.5, -1.25, 2.0)
BEHAVIOR = (0.125, 0.5, 0.25, 0.125)
BETA = 0.5


def law() -> Law:
    """The law of these advantages at that temperature, exactly."""
    return Law(tuple(rational(mass) for mass in BEHAVIOR), tuple(rational(a) / rational(BETA) for a in ADVANTAGE))


def shielded(comparison: Callable[..., Answer]) -> Callable[..., Answer]:
    """A comparison whose exceptions are answers: the implementation under test then does not agree."""

    @functools.wraps(comparison)
    def compare(*arguments: Any, **options: Any) -> Answer:
        try:
            return comparison(*arguments, **options)
        except Exception as problem:
            return Answer(False, f"{type(problem).__name__}: {problem}")

    return compare
