"""Ball arithmetic: rigorous enclosures, and comparisons that answer yes, no or "these balls overlap"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flint import arb, ctx, fmpq

from proofs.evidence import Answer
from proofs.exact import LogNumber, rational

Ball = Any

#: Working precisions in bits that `settle` tries in turn before it gives up.
PRECISIONS = (128, 256, 512, 1024, 2048)


def ball(value: Any) -> arb:
    """An exact number (int, float, `fmpq`, `LogNumber`, "9/5") or a ball as a ball at the current precision."""
    if isinstance(value, arb):
        return value
    if isinstance(value, LogNumber):
        return value.ball()
    return arb(rational(value))


def precision(bits: int) -> Any:
    """A context manager that sets the working precision in bits."""
    return ctx.workprec(bits)


def less(left: Any, right: Any) -> bool | None:
    """Whether left < right: True and False are certain, None means that the balls overlap."""
    left, right = ball(left), ball(right)
    if left < right:
        return True
    if left >= right:
        return False
    return None


def settle(question: Callable[[], bool | None], precisions: tuple[int, ...] = PRECISIONS) -> bool | None:
    """Ask `question` at growing precision until it is answered; None when even the last precision leaves it open."""
    for bits in precisions:
        with ctx.workprec(bits):
            answer = question()
        if answer is not None:
            return answer
    return None


def certainly_less(left: Callable[[], Any], right: Callable[[], Any], name: str = "") -> Answer:
    """left() < right(): exactly where both are exact, else at growing precision until the balls part."""
    first, second = left(), right()
    if isinstance(first, arb) or isinstance(second, arb):
        holds = settle(lambda: less(left(), right()))
    else:
        holds = LogNumber.of(first) < second
    with ctx.workprec(PRECISIONS[0]):
        sign = "<" if holds else ">=" if holds is False else "?"
        return Answer(holds, f"{name}{short(left())} {sign} {short(right())}")


def vanishes_within(value: Any, width: Any) -> bool | None:
    """Whether an enclosure contains 0 and is narrower than `width`; False when it excludes 0."""
    value = ball(value)
    if not value.contains(0):
        return False
    return True if value.rad() < ball(width) else None


def short(value: Any, digits: int = 8) -> str:
    """A number for a reader: exact ones as they are, balls as a correctly rounded decimal."""
    if isinstance(value, LogNumber):
        return value.decimal(digits)
    if isinstance(value, arb):
        return value.str(digits, radius=False)
    if isinstance(value, fmpq) and max(len(str(value.p)), len(str(value.q))) > 12:
        return ball(value).str(digits, radius=False)
    return str(value)


def root(function: Callable[[arb], Any], low: Any, high: Any, bits: int = 128) -> arb:
    """A ball around the root of a decreasing function with function(low) >= 0 >= function(high).

    Regula falsi (Illinois) safeguarded by bisection, on exact dyadic points: every sign that moves an end is certain,
    and a point whose sign the balls cannot tell ends the search, so the result is an enclosure whatever its width.
    ValueError when the signs at the two ends are certainly not those of a bracket.
    """
    with ctx.workprec(2 * bits):
        left, right = _dyadic(ball(low), -1), _dyadic(ball(high), 1)
        above, below = ball(function(ball(left))), ball(function(ball(right)))
        if above < 0 or below > 0:
            raise ValueError(
                f"expected a decreasing function with a root in [{short(ball(left))}, {short(ball(right))}], "
                f"saw the values {short(above)} and {short(below)} at the ends"
            )
        for step in range(4 * bits):
            if ball(right - left) < arb(2) ** (-bits):
                break
            point = (left + right) / 2 if step % 3 == 2 else _secant(left, right, above, below)
            value = ball(function(ball(point)))
            if value > 0:
                left, above, below = point, value, below / 2
            elif value < 0:
                right, below, above = point, value, above / 2
            else:
                break
        return ball(left).union(ball(right))


def _secant(left: fmpq, right: fmpq, above: arb, below: arb) -> fmpq:
    """Where the chord crosses zero, as a dyadic point inside (left, right); the middle where there is no chord."""
    share = (above / (above - below)).mid()
    if not share.is_finite() or not 0 < share < 1:
        return (left + right) / 2
    return left + (right - left) * _dyadic(share, 1)


def _dyadic(value: arb, side: int) -> fmpq:
    """An exact rational just outside a ball, on the given side."""
    end = value.lower() if side < 0 else value.upper()
    mantissa, exponent = end.mid().man_exp()
    power = int(exponent)
    return fmpq(mantissa) * (fmpq(2) ** power)
