"""The flow problem at many digits: an enclosure of its optimum from any V and any policy (OCC-10).

Floats are the rationals that they are; exp and log are mpmath's. Newton's method on the dual, started from values that
may come from anywhere, gives V; its ratios give a policy; both sides are then evaluated as the theorem says, so that
the enclosure holds whatever Newton's method did. Use inside `mpmath.workdps`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import exact_generators
import mpmath
import numpy as np
from exact import Exact, solve_linear

from reference.divergence import Divergence
from reference.mdp import MDP

Number = mpmath.mpf


@dataclass(frozen=True)
class Enclosure:
    """`lower <= optimum <= upper`; the d whose objective is `lower`, and the V whose dual is `upper`."""

    lower: Number
    upper: Number
    occupancy: list[list[Number]]
    values: list[Number]


class ExactFlow:
    """The flow problem of a small MDP in which every state can be reached and has data."""

    def __init__(self, mdp: MDP, behavior: np.ndarray, beta: float, divergence: Divergence) -> None:
        self.exact, self.divergence, self.beta = Exact.of(mdp), divergence, Number(beta)
        self.pairs = [(int(s), int(a)) for s, a in np.argwhere(behavior > 0.0)]
        self.law = [Number(float(behavior[pair])) for pair in self.pairs]
        self.discount = _number(self.exact.discount)
        self.start = [(1 - self.discount) * _number(mass) for mass in self.exact.initial]
        self.rewards = [_number(self.exact.rewards[s][a]) for s, a in self.pairs]
        self.rows = [{t: _number(p) for t, p in self.exact.successors[s][a].items()} for s, a in self.pairs]

    def arguments(self, values: list[Number]) -> list[Number]:
        """delta_V / beta."""
        return [
            (r + self.discount * mpmath.fsum(p * values[t] for t, p in row.items()) - values[s]) / self.beta
            for (s, _), r, row in zip(self.pairs, self.rewards, self.rows, strict=True)
        ]

    def dual(self, values: list[Number]) -> Number:
        """(1 - gamma) mu0 . V + beta E_D f*(delta_V / beta)."""
        conjugates = [exact_generators.conjugate(self.divergence, y) for y in self.arguments(values)]
        inner = mpmath.fsum(p * c for p, c in zip(self.law, conjugates, strict=True))
        return mpmath.fsum(m * v for m, v in zip(self.start, values, strict=True)) + self.beta * inner

    def objective(self, occupancy: list[list[Number]]) -> Number:
        """sum d r - beta E_D f(d/D), for an occupancy without mass outside the data."""
        terms = []
        for (s, a), law, reward in zip(self.pairs, self.law, self.rewards, strict=True):
            price = exact_generators.generator(self.divergence, occupancy[s][a] / law)
            terms.append(occupancy[s][a] * reward - self.beta * law * price)
        return mpmath.fsum(terms)

    def occupancy(self, policy: list[list[Number]]) -> list[list[Number]]:
        """The exact occupancy of a policy."""
        size = len(self.start)
        system = [[Number(int(s == t)) for t in range(size)] for s in range(size)]
        for (s, a), row in zip(self.pairs, self.rows, strict=True):
            for t, p in row.items():
                system[t][s] -= self.discount * policy[s][a] * p
        visits = solve_linear(system, self.start)
        return [[visits[s] * p for p in row] for s, row in enumerate(policy)]

    def enclose(self, values: np.ndarray) -> Enclosure:
        """Newton steps from `values`, then both sides by the theorem."""
        current = [Number(float(v)) for v in values]
        for _ in range(12):
            current = self._newton(current)
        ratios = [exact_generators.ratio(self.divergence, y) for y in self.arguments(current)]
        policy = [[Number(0)] * len(self.exact.rewards[0]) for _ in self.start]
        for (s, a), law, w in zip(self.pairs, self.law, ratios, strict=True):
            policy[s][a] = law * w
        policy = [[p / mpmath.fsum(row) for p in row] for row in policy]
        occupancy = self.occupancy(policy)
        return Enclosure(self.objective(occupancy), self.dual(current), occupancy, current)

    def _newton(self, values: list[Number]) -> list[Number]:
        size = len(self.start)
        gradient = list(self.start)
        hessian = [[Number(0)] * size for _ in range(size)]
        for (s, _), law, row, y in zip(self.pairs, self.law, self.rows, self.arguments(values), strict=True):
            step = {t: self.discount * p for t, p in row.items()}
            step[s] = step.get(s, Number(0)) - 1
            w = exact_generators.ratio(self.divergence, y)
            h = Number(10) ** (-mpmath.mp.dps // 3)
            rise = exact_generators.ratio(self.divergence, y + h) - exact_generators.ratio(self.divergence, y - h)
            slope = rise / (2 * h)
            for t, b in step.items():
                gradient[t] += law * w * b
                for u, c in step.items():
                    hessian[t][u] += law * slope * b * c / self.beta
        moves = solve_linear(hessian, gradient)
        return [v - m for v, m in zip(values, moves, strict=True)]


def _number(fraction: Fraction) -> Number:
    return Number(fraction.numerator) / Number(fraction.denominator)
