"""What the claims of chapter JS share: the three normalised weights, the multiplier in its bracket, one exact law."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from flint import arb, fmpq

from proofs import balls, conic
from proofs.arithmetic import log, sigmoid
from proofs.divergences import Law, js_ratio, kl_ratio, law
from proofs.exact import LogNumber

TEXTBOOK = law([1, 1], [1, fmpq(9, 5)])
"""D = (1/2, 1/2), A/beta = (0, log 9/5): every formula of source 002 can be evaluated on it exactly."""


def js_derivative(w: Any) -> Any:
    """f'(w) of the generator of source 002."""
    return log(2 * w / (w + 1))


def bracket_low(data: Law) -> LogNumber:
    """The proved lower end of the multiplier: max(log E e^z, z_max - log(2 / (1 + D_max)))."""
    top = max(data.exponentials)
    mass = sum((m for m, q in zip(data.masses, data.exponentials, strict=True) if q == top), fmpq(0))
    return LogNumber.log(max(data.expect(data.exponentials), top * (1 + mass) / 2))


def bracket_high(data: Law) -> LogNumber:
    """The proved upper end of the multiplier: z_max."""
    return LogNumber.log(max(data.exponentials))


def one_atom_bracket(data: Law) -> tuple[Any, Any]:
    """A bracket that needs no rational e^z: z_max - log(2/(1 + D_max)) with the smallest mass for D_max, and z_max."""
    return max(data.z) - log(2 / (1 + min(data.masses))), max(data.z)


def mean_ratio(data: Law, c: fmpq) -> fmpq | None:
    """E g(z - nu) for e^nu = c, exactly; None outside the domain (an atom with e^{z - nu} >= 2)."""
    if max(data.exponentials) >= 2 * c:
        return None
    return data.expect([q / (2 * c - q) for q in data.exponentials])


def js_multiplier(data: Law, bits: int = 160) -> arb:
    """A ball around the multiplier nu of the exact JS optimum."""
    return conic.multiplier(data, js_ratio, bracket_low(data), bracket_high(data), bits)


@functools.lru_cache(maxsize=256)
def js_weights(data: Law) -> tuple[arb, ...]:
    """Enclosures of the exact JS optimum w = g(z - nu)."""
    nu = js_multiplier(data)
    return tuple(js_ratio(balls.ball(z) - nu) for z in data.z)


def kl_weights(data: Law) -> tuple[fmpq, ...]:
    """The exact KL optimum e^z / E e^z."""
    return data.normalised(kl_ratio)


def fermi_weights(data: Law) -> tuple[fmpq, ...]:
    """What source 002 calls the JS optimum: sigma(z) / E sigma(z)."""
    return data.normalised(sigmoid)


def show(values: Sequence[Any]) -> str:
    """A tuple of numbers for a reader."""
    return f"({', '.join(balls.short(value, 6) for value in values)})"


def abridged(data: Law) -> str:
    """A law in a few words."""
    text = str(data)
    return text if len(text) < 100 else f"{text[:100]}…"
