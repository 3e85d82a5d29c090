"""Exactly normalised weights of six generators along a few temperatures, for ESS-11 and ESS-14."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import random
from collections.abc import Callable
from typing import Any

from flint import arb, fmpq

from proofs import balls
from proofs.arithmetic import log
from proofs.divergences import JS, KL, Generator, Law, fermi_dirac
from proofs.ess.samples import shown
from proofs.evidence import Answer
from proofs.exact import LogNumber

CHI_SQUARE = Generator(
    "chi-square",
    lambda w: (w - 1) ** 2 / 2,
    lambda w: w - 1,
    lambda y: y + y * y / 2,
    lambda y: max(1 + y, fmpq(0)),
)
HELLINGER = Generator(
    "Hellinger",
    lambda w: (balls.ball(w).sqrt() - 1) ** 2,
    lambda w: 1 - 1 / balls.ball(w).sqrt(),
    lambda y: y / (1 - y),
    lambda y: 1 / (1 - y) ** 2,
)
REVERSE_KL = Generator(
    "reverse KL", lambda w: w - 1 - log(w), lambda w: 1 - 1 / w, lambda y: -log(1 - y), lambda y: 1 / (1 - y)
)
FERMI_DIRAC = fermi_dirac(fmpq(2))
GENERATORS = (KL, JS, CHI_SQUARE, HELLINGER, REVERSE_KL, FERMI_DIRAC)

OFFSET = fmpq(1, 7)
"""Added to the upper end of a bracket, so that no symmetry puts the root on a point of the search (see `root`)."""

TEMPERATURES = (fmpq(1, 5), fmpq(1), fmpq(6))


def chi_square_weights(law: Law) -> tuple[fmpq, ...]:
    """(1 + z - nu)_+ of mean one, exactly: the atoms from the best down, as long as they stay positive."""
    order = sorted(range(len(law.z)), key=lambda k: -law.z[k])
    mass = moment = fmpq(0)
    nu = None
    for k in order:
        if nu is not None and 1 + law.z[k] - nu <= 0:
            break
        mass, moment = mass + law.masses[k], moment + law.masses[k] * law.z[k]
        nu = 1 + (moment - 1) / mass
    return tuple(CHI_SQUARE.ratio(z - nu) for z in law.z)


def weights(law: Law, generator: Generator) -> tuple[Any, ...]:
    """The exactly normalised weights: rationals for chi-square, enclosures for the others.

    nu >= z_min, or all weights exceed one; nu >= z_max - f'(1/D_top), or the best atom alone has more than mass one;
    and nu <= z_max, or all weights are below one.
    """
    if generator is CHI_SQUARE:
        return chi_square_weights(law)
    with balls.precision(192):
        top = max(law.z)
        ends = [balls.ball(min(law.z))]
        most = 1 / law.masses[law.z.index(top)]
        if generator.cap is None or most < generator.cap:
            ends.append(balls.ball(top) - balls.ball(generator.derivative(balls.ball(most))))
        low = max(ends, key=lambda end: end.mid())
        nu = balls.root(
            lambda v: law.expect([generator.ratio(balls.ball(z) - v) for z in law.z]) - 1,
            low,
            balls.ball(top) + OFFSET,
            96,
        )
        return tuple(generator.ratio(balls.ball(z) - nu) for z in law.z)


@dataclasses.dataclass(frozen=True)
class Path:
    """One law and generator along TEMPERATURES: the advantages, and the weights at each."""

    generator: Generator
    masses: tuple[fmpq, ...]
    advantage: tuple[fmpq, ...]
    weights: tuple[tuple[Any, ...], ...]

    def decreasing(self, measure: Callable[[Any, Any], Any]) -> Answer:
        """Whether E_D[measure(w, A)] does not increase with beta: certainly less in balls, at most where exact."""
        law = Law(self.masses, self.advantage)
        with balls.precision(192):
            values = [
                law.expect([measure(w, a) for w, a in zip(weights, self.advantage, strict=True)])
                for weights in self.weights
            ]
            for cold, warm in itertools.pairwise(values):
                exact = not isinstance(cold, arb) and not isinstance(warm, arb)
                holds = bool(LogNumber.of(warm) <= cold) if exact else balls.less(warm, cold)
                if holds is not True:
                    return Answer(holds, f"{self.generator.name}, A={shown(self.advantage)}: {shown(values)}")
        return Answer(True)


@functools.cache
def paths() -> tuple[Path, ...]:
    """Every generator on ties, a rare best atom, and random small laws, at each temperature."""
    generator = random.Random(11)
    laws = [
        ((fmpq(1, 2), fmpq(1, 2)), (fmpq(0), fmpq(1))),
        ((fmpq(1, 3),) * 3, (fmpq(1), fmpq(1), fmpq(-1, 2))),
        ((fmpq(1, 1000), fmpq(999, 1000)), (fmpq(2), fmpq(0))),
    ]
    for index in range(5):
        counts = [generator.randint(1, 9) for _ in range(3 + index % 2)]
        advantage = [fmpq(generator.randint(-9, 9), 4) for _ in counts]
        advantage[0] = max(advantage) + fmpq(1, 4)
        laws.append((tuple(fmpq(c, sum(counts)) for c in counts), tuple(advantage)))
    return tuple(
        Path(
            g,
            masses,
            advantage,
            tuple(weights(Law(masses, tuple(a / beta for a in advantage)), g) for beta in TEMPERATURES),
        )
        for masses, advantage in laws
        for g in GENERATORS
    )
