"""Rigorous enclosures of the zero of a system of equations: Newton to find it, Krawczyk's test to prove it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flint import arb, arb_mat

from proofs import balls

System = Callable[[Sequence[arb]], Sequence[Any]]
Jacobian = Callable[[Sequence[arb]], Sequence[Sequence[Any]]]


def refine(function: System, jacobian: Jacobian, start: Sequence[Any], bits: int = 128, steps: int = 60) -> list[arb]:
    """Newton's method from `start`, a point near the zero: nothing is proved about what it returns."""
    with balls.precision(bits):
        point = [balls.ball(x).mid() for x in start]
        for _ in range(steps):
            size = len(point)
            matrix = arb_mat(size, size, [balls.ball(e).mid() for row in jacobian(point) for e in row])
            step = matrix.solve(arb_mat(size, 1, [balls.ball(e).mid() for e in function(point)]))
            point = [(x - step[i, 0]).mid() for i, x in enumerate(point)]
            if max(float(abs(step[i, 0]).upper()) for i in range(size)) < 2.0 ** (-bits // 2 - 8):
                break
        return point


def isolate(function: System, jacobian: Jacobian, centre: Sequence[Any], bits: int = 128) -> tuple[arb, ...]:
    """Balls that contain exactly one zero, near `centre` (Krawczyk's test); ValueError where it proves nothing.

    If K(X) = m - Y F(m) + (I - Y F'(X))(X - m) lies inside the box X around m, F has exactly one zero in X, and it
    lies in K(X). Y is any matrix; the inverse of F'(m) makes K small.
    """
    with balls.precision(2 * bits):
        size = len(centre)
        middle = [balls.ball(x).mid() for x in centre]
        inverse = arb_mat(size, size, [balls.ball(e).mid() for row in jacobian(middle) for e in row]).inv()
        step = inverse * arb_mat(size, 1, [balls.ball(e) for e in function(middle)])
        width = max((abs(step[i, 0]).upper() for i in range(size)), key=float) * 4 + arb(2) ** (-bits)
        spread = arb(0, width.upper())
        box = [x + spread for x in middle]
        defect = arb_mat(size, size, [balls.ball(e) for row in jacobian(box) for e in row])
        identity = arb_mat(size, size, [int(i == j) for i in range(size) for j in range(size)])
        image = (identity - inverse * defect) * arb_mat(size, 1, [spread] * size) - step
        found = [x + image[i, 0] for i, x in enumerate(middle)]
        if not all(b.contains_interior(f) for b, f in zip(box, found, strict=True)):
            raise ValueError(f"Krawczyk's test does not close on a box of half-width {balls.short(width, 2)}")
        return tuple(found)
