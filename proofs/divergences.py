"""The generators f of the f-divergences, with their conjugates and optimal ratios, in every number system.

f is convex on w >= 0 with f(1) = f'(1) = 0 up to a constant that no optimum sees; f*(y) = sup_w (w y - f(w)) and
`ratio` = (f*)'. The formulas stand here once, written independently of `reference.divergence`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from flint import fmpq

from proofs.arithmetic import Number, entropy_term, exp, log, minimum, sigmoid
from proofs.exact import LogNumber, mean


def kl(w: Number) -> Number:
    """KL: w log w - w + 1."""
    return entropy_term(w) - w + 1


def two_jsd(w: Number) -> Number:
    """The generator of source 002, w log w - (w + 1) log((w + 1) / 2), which is twice that of the JSD (JS-01)."""
    return entropy_term(w) - (w + 1) * log((w + 1) / 2)


def kl_ratio(y: Number) -> Number:
    """(f*)' of KL: e^y."""
    return exp(y)


def js_ratio(y: Number) -> Number:
    """(f*)' of two_jsd: e^y / (2 - e^y), on y < log 2."""
    return exp(y) / (2 - exp(y))


@dataclasses.dataclass(frozen=True)
class Generator:
    """A convex generator with what its duality needs; `cap` is the largest w of its domain, None for no cap.

    `slope_limit` is f'(infinity), the supremum of the domain of f*: None when it is infinite.
    """

    name: str
    value: Callable[[Number], Number]
    derivative: Callable[[Number], Number]
    conjugate: Callable[[Number], Number]
    ratio: Callable[[Number], Number]
    cap: fmpq | None = None
    slope_limit: LogNumber | None = None


KL = Generator("KL", kl, log, lambda y: exp(y) - 1, kl_ratio)

JS = Generator(
    "JS",
    two_jsd,
    lambda w: log(2 * w / (w + 1)),
    lambda y: -log(2 - exp(y)),
    js_ratio,
    slope_limit=LogNumber.log(2),
)


def fermi_dirac(cap: Any) -> Generator:
    """w log w + (C - w) log(C - w) on [0, C], a number or a symbol: its optimal ratio is C * sigmoid (JS-10)."""
    return Generator(
        f"Fermi-Dirac C={cap}",
        lambda w: entropy_term(w) + entropy_term(cap - w),
        lambda w: log(w / (cap - w)),
        lambda y: cap * log(1 + exp(y)) - entropy_term(cap),
        lambda y: cap * sigmoid(y),
        cap=cap if isinstance(cap, fmpq) else None,
    )


def capped_kl(cap: Any) -> Generator:
    """KL restricted to w <= cap: its conjugate is that of KL, continued linearly (C1) beyond y = log cap (GUM-04)."""
    edge = log(cap)
    return Generator(
        f"KL w<={cap}",
        kl,
        log,
        lambda y: exp(minimum(y, edge)) - 1 + cap * (y - minimum(y, edge)),
        lambda y: exp(minimum(y, edge)),
        cap=cap,
    )


@dataclasses.dataclass(frozen=True)
class Law:
    """A finite law D with the advantage z = A / beta of each atom, both exact."""

    masses: tuple[fmpq, ...]
    z: tuple[Any, ...]

    def __post_init__(self) -> None:
        """ValueError unless the masses are positive and sum to one."""
        if any(mass <= 0 for mass in self.masses) or sum(self.masses, fmpq(0)) != 1:
            raise ValueError(f"expected positive masses that sum to 1, saw {', '.join(map(str, self.masses))}")

    @property
    def exponentials(self) -> tuple[fmpq, ...]:
        """e^z of each atom, where rational."""
        return tuple(exp(z) for z in self.z)

    def expect(self, values: Sequence[Any]) -> Any:
        """E_D of one value for each atom."""
        return mean(self.masses, values)

    def objective(self, weights: Sequence[Any], generator: Generator) -> Any:
        """The relaxed objective E[w z] - E[f(w)], in units of beta."""
        return self.expect([w * z - generator.value(w) for w, z in zip(weights, self.z, strict=True)])

    def normalised(self, shape: Callable[[Number], Number]) -> tuple[Any, ...]:
        """shape(z) divided by its mean."""
        raw = [shape(z) for z in self.z]
        total = self.expect(raw)
        return tuple(value / total for value in raw)

    def __str__(self) -> str:
        return f"D=({', '.join(map(str, self.masses))}), A/beta=({', '.join(map(str, self.z))})"


def law(masses: Sequence[Any], exponentials: Sequence[Any]) -> Law:
    """A law from masses (normalised here) and the values of e^z, all rational."""
    total = sum((fmpq(mass) for mass in masses), fmpq(0))
    return Law(tuple(fmpq(mass) / total for mass in masses), tuple(LogNumber.log(q) for q in exponentials))
