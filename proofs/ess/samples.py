"""What the claims of chapter ESS share: batches of exact weights and TD errors, and their effective sample size."""

from __future__ import annotations

import functools
import random
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from flint import arb, fmpq

from proofs import balls
from proofs.exact import LogNumber

THREE = (LogNumber.log(1), LogNumber.log(2), LogNumber.log(8))
"""The TD errors (0, log 2, log 8): their weights are rational at beta = 1, 1/2, 1/3, ..."""

SUGGESTED = {"eta": fmpq(1, 10), "rho": fmpq(1, 20)}
"""Rate and smoothing from the middle of the ranges that source 001 suggests."""

BOUNDS = (fmpq(1, 1000), fmpq(10))
"""The bounds of beta that source 001 gives as an example."""


def total(values: Sequence[Any]) -> Any:
    """The sum, in whatever number system the values are."""
    return sum(values[1:], values[0])


def moment_size(weights: Sequence[Any]) -> Any:
    """(sum w)^2 / sum w^2, without normalising first."""
    first, second = total(weights), total([w * w for w in weights])
    return first * first / second


def tilted(errors: Sequence[LogNumber], power: int) -> tuple[fmpq, ...]:
    """The weights exp(delta / beta) at beta = 1/power, exactly."""
    return tuple((delta * power).exp() for delta in errors)


def shown(values: Sequence[Any], digits: int = 6) -> str:
    """A tuple of numbers for a reader; a long one abridged."""
    words = [balls.short(value, digits) for value in values]
    return f"({', '.join(words if len(words) < 7 else [*words[:3], '…', *words[-2:]])})"


def weights(count: int, seed: int = 0) -> Iterator[tuple[fmpq, ...]]:
    """Batches of positive rational weights: one sample, equal ones, ties, one that outweighs the rest, random ones."""
    yield (fmpq(3),)
    yield (fmpq(2, 7),) * 4
    yield (fmpq(1), fmpq(9))
    yield (fmpq(1), fmpq(1), fmpq(5))
    yield (fmpq(10**9), fmpq(1), fmpq(1, 10**9))
    yield (fmpq(1), 1 + fmpq(1, 10**12))
    generator = random.Random(seed)
    for index in range(count):
        yield tuple(fmpq(generator.randint(1, 40), generator.randint(1, 12)) for _ in range(2 + index % 6))


def errors(count: int, seed: int = 0) -> Iterator[tuple[LogNumber, ...]]:
    """Batches of TD errors with rational e^delta, not all equal."""
    yield THREE
    yield (LogNumber.log(1), LogNumber.log(9))
    yield (LogNumber.log(1), LogNumber.log(4), LogNumber.log(4), LogNumber.log(fmpq(1, 3)))
    generator = random.Random(seed)
    for index in range(count):
        values = [fmpq(generator.randint(1, 9), generator.randint(1, 9)) for _ in range(2 + index % 4)]
        values[0] = max(values) + fmpq(1, 2)
        yield tuple(LogNumber.log(value) for value in values)


@functools.cache
def gaussian(count: int) -> tuple[fmpq, ...]:
    """Midpoint quantiles of the unit normal, rounded to thousandths: a Gaussian batch without a random number."""
    normal = statistics.NormalDist()
    return tuple(fmpq(round(1000 * normal.inv_cdf((k + 0.5) / count)), 1000) for k in range(count))


def gaussian_size(beta: arb, count: int) -> arb:
    """ESS of exp(delta/beta) on `gaussian(count)`, in balls; the quantiles are symmetric, so half of them suffice."""
    steps = [(balls.ball(delta) / beta).exp() for delta in gaussian(count)[count // 2 :]]
    first = total([w + 1 / w for w in steps])
    second = total([w * w + 1 / (w * w) for w in steps])
    return first * first / second
