"""The flow problem and its dual, with a Newton method of our own and bounds that rounding cannot touch.

    max_d  sum d r - beta E_D f(d/D)   s.t.  sum_a d(s, a) = (1-gamma) mu0(s) + gamma sum P(s|s', a') d(s', a')   (1)
    min_V  (1-gamma) E_mu0 V + beta E_D f*(delta_V / beta),      delta_V = r + gamma P V - V                      (2)

Any rational V bounds (1) from above by (2), and any rational policy bounds it from below by its occupancy, an exact
solve. Both numbers are balls around exact formulas, so how V and the policy were found does not matter.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

from flint import arb, arb_mat, fmpq

from proofs import balls, zeros
from proofs.exact import Process, rational
from proofs.generators import Curved

BITS = 192


@dataclasses.dataclass(frozen=True)
class FlowProblem:
    """The flow problem of a process, a law D with full support (one mass for each pair), beta and a generator."""

    process: Process
    law: tuple[fmpq, ...]
    beta: fmpq
    generator: Curved

    def __post_init__(self) -> None:
        """ValueError unless the law has a positive mass for each pair and sums to one."""
        if len(self.law) != len(self.process.pairs) or min(self.law) <= 0 or sum(self.law, fmpq(0)) != 1:
            raise ValueError(f"expected {len(self.process.pairs)} positive masses that sum to 1, saw {self.law}")

    def td_errors(self, values: Sequence[Any]) -> list[Any]:
        """delta_V of each pair."""
        return [self.process.td_error(s, a, values) for s, a in self.process.pairs]

    def start(self, values: Sequence[Any]) -> Any:
        """(1-gamma) E_mu0 V."""
        total = sum((m * v for m, v in zip(self.process.initial, values, strict=True)), fmpq(0))
        return (1 - self.process.discount) * total

    def scaled(self, values: Sequence[Any]) -> list[arb]:
        """delta_V / beta as balls."""
        return [balls.ball(delta) / balls.ball(self.beta) for delta in self.td_errors(values)]

    def ratios(self, values: Sequence[Any]) -> list[arb]:
        """w = (f*)'(delta_V / beta)."""
        return [self.generator.ratio(y) for y in self.scaled(values)]

    def expect(self, terms: Sequence[Any]) -> Any:
        """E_D of one term for each pair."""
        return sum((m * t for m, t in zip(self.law, terms, strict=True)), fmpq(0))

    def dual(self, values: Sequence[Any]) -> arb:
        """(2): an upper bound of the optimum wherever delta_V lies in the domain of f*; infinite elsewhere."""
        y = self.scaled(values)
        limit = self.generator.slope_limit
        if limit is not None and not all(item < balls.ball(limit) for item in y):
            return arb("inf")
        penalty = self.expect([self.generator.conjugate(item) for item in y])
        return balls.ball(self.start(values)) + balls.ball(self.beta) * balls.ball(penalty)

    def reward(self, occupancy: Sequence[Any]) -> Any:
        """sum d r."""
        pairs = zip(self.process.pairs, occupancy, strict=True)
        return sum((mass * self.process.rewards[s][a] for (s, a), mass in pairs), fmpq(0))

    def penalty(self, occupancy: Sequence[Any]) -> arb:
        """E_D f(d/D)."""
        ratios = [d / m for d, m in zip(occupancy, self.law, strict=True)]
        return balls.ball(self.expect([self.generator.value(balls.ball(w)) for w in ratios]))

    def objective(self, occupancy: Sequence[Any]) -> arb:
        """(1) at d; -infinite beyond the cap of the generator. A lower bound of the optimum if d is an occupancy."""
        cap = self.generator.cap
        if cap is not None and any(d > cap * m for d, m in zip(occupancy, self.law, strict=True)):
            return arb("-inf")
        return balls.ball(self.reward(occupancy)) - balls.ball(self.beta) * self.penalty(occupancy)

    def feasible(self, raw: Sequence[Any]) -> tuple[fmpq, ...]:
        """The exact occupancy of the policy that a nonnegative d, correct or not, has in each state."""
        return occupancy_of(self.process, policy_of(self.process, raw))

    def residual(self, occupancy: Sequence[Any]) -> tuple[Any, ...]:
        """What d lacks of the flow equations, state by state."""
        return self.process.flow_residual(dict(zip(self.process.pairs, occupancy, strict=True)))

    def gradient(self, values: Sequence[Any]) -> list[arb]:
        """The derivative of (2): minus the flow residual of D (f*)'(delta/beta)."""
        charged = [m * w for m, w in zip(self.law, self.ratios(values), strict=True)]
        return [-balls.ball(r) for r in self.residual(charged)]

    def hessian(self, values: Sequence[Any]) -> list[list[arb]]:
        """The second derivative of (2): B^T diag(D (f*)''/beta) B with B = gamma P - E."""
        size = self.process.n_states
        total = [[arb(0)] * size for _ in range(size)]
        rows = self.steps()
        for row, mass, y in zip(rows, self.law, self.scaled(values), strict=True):
            weight = balls.ball(mass) * self.generator.slope(y) / balls.ball(self.beta)
            charged = [(k, entry) for k, entry in enumerate(row) if entry != 0]
            for i, first in charged:
                for j, second in charged:
                    total[i][j] += weight * balls.ball(first * second)
        return total

    def steps(self) -> list[list[fmpq]]:
        """B = gamma P - E, one row for each pair."""
        process = self.process
        return [
            [process.discount * process.transitions[s][a][t] - (1 if s == t else 0) for t in range(process.n_states)]
            for s, a in process.pairs
        ]

    def shifted_inside(self, values: Sequence[fmpq]) -> tuple[fmpq, ...]:
        """V plus the smallest convenient constant that brings every delta_V into the domain of f*."""
        limit = self.generator.slope_limit
        if limit is None:
            return tuple(values)
        with balls.precision(BITS):
            edge = middle(balls.ball(limit))
        excess = max(self.td_errors(values)) / self.beta - edge
        margin = fmpq(1, 10**9)
        shift = max(excess + margin, fmpq(0)) * self.beta / (1 - self.process.discount)
        return tuple(v + shift for v in values)


def middle(value: Any) -> fmpq:
    """The midpoint of a ball as an exact rational."""
    mantissa, exponent = balls.ball(value).mid().man_exp()
    return fmpq(mantissa) * fmpq(2) ** int(exponent)


def policy_of(process: Process, raw: Sequence[Any]) -> tuple[tuple[fmpq, ...], ...]:
    """pi(a|s) proportional to d(s, a), as exact rationals; uniform where there is no mass."""
    exact = dict(zip(process.pairs, (max(value, fmpq(0)) for value in raw), strict=True))
    policy = []
    for state in range(process.n_states):
        row = [exact[state, action] for action in range(len(process.rewards[state]))]
        total = sum(row, fmpq(0))
        policy.append(tuple(mass / total if total != 0 else fmpq(1, len(row)) for mass in row))
    return tuple(policy)


def occupancy_of(process: Process, policy: Any) -> tuple[fmpq, ...]:
    """The exact occupancy of a rational policy, pair by pair."""
    occupancy = process.occupancy(policy)
    return tuple(occupancy[pair] for pair in process.pairs)


@dataclasses.dataclass(frozen=True)
class Optimum:
    """What Newton's method on the dual found, and the bounds that it proves: lower <= optimum <= upper."""

    values: tuple[fmpq, ...]
    ratios: tuple[fmpq, ...]
    occupancy: tuple[fmpq, ...]
    lower: arb
    upper: arb

    @property
    def gap(self) -> arb:
        """upper - lower."""
        return self.upper - self.lower


def bounds(problem: FlowProblem, values: Sequence[fmpq], raw: Sequence[fmpq]) -> Optimum:
    """The two-sided certificate of any V and any nonnegative d (OCC-10)."""
    with balls.precision(2 * BITS):
        occupancy = problem.feasible(raw)
        ratios = tuple(d / m for d, m in zip(raw, problem.law, strict=True))
        return Optimum(tuple(values), ratios, occupancy, problem.objective(occupancy), problem.dual(values))


@functools.lru_cache(maxsize=256)
def newton(problem: FlowProblem, bits: int = BITS, steps: int = 80) -> Optimum:
    """Minimise the dual by damped Newton steps at `bits` bits, and bound the optimum from both sides."""
    values = _minimise(problem, bits, steps)
    with balls.precision(bits):
        raw = tuple(middle(m * w) for m, w in zip(problem.law, problem.ratios(values), strict=True))
    return bounds(problem, values, raw)


def _minimise(problem: FlowProblem, bits: int, steps: int) -> tuple[fmpq, ...]:
    process = problem.process
    rewards = [rational(reward) for row in process.rewards for reward in row]
    with balls.precision(bits):
        # Below f'(infinity) in every pair, and where no pair of the clipped generators is clipped.
        level = max(rewards) + problem.beta if problem.generator.slope_limit is not None else min(rewards)
        point = [arb(level / (1 - process.discount))] * process.n_states
        if problem.generator.cap is not None or problem.generator.name.startswith(("KL", "w log w")):
            point = [arb(max(rewards) / (1 - process.discount))] * process.n_states
        here = problem.dual(point)
        for _ in range(steps):
            slope, matrix = problem.gradient(point), problem.hessian(point)
            slope = [item.mid() for item in slope]
            step = _solve([[entry.mid() for entry in row] for row in matrix], slope, bits)
            fall = sum((a * b for a, b in zip(slope, step, strict=True)), arb(0))
            length = arb(1)
            while True:
                trial = [(v - length * d).mid() for v, d in zip(point, step, strict=True)]
                there = problem.dual(trial).mid()
                # A fall that rounding hides cannot be tested, and needs no test: the method then converges by itself.
                if abs(fall) < arb(2) ** (-bits // 2) or there <= (here - length * fall / 8).mid():
                    break
                length = length / 2
            size = max(abs(d) * length for d in step)
            point, here = trial, there
            if size < arb(2) ** (-bits + 16):
                break
        return tuple(middle(v) for v in point)


def _solve(matrix: list[list[arb]], right: list[arb], bits: int) -> list[arb]:
    """The Newton step, with a growing multiple of the identity where the matrix is singular."""
    size = len(right)
    scale = sum((matrix[i][i] for i in range(size)), arb(0)).mid()
    ridge = arb(0)
    while True:
        shifted = [[entry + (ridge if i == j else 0) for j, entry in enumerate(row)] for i, row in enumerate(matrix)]
        try:
            solution = arb_mat(size, size, [entry for row in shifted for entry in row]).solve(
                arb_mat(size, 1, list(right))
            )
            return [solution[i, 0].mid() for i in range(size)]
        except ZeroDivisionError:
            ridge = max(ridge * 1000, scale * arb(2) ** (-bits // 2))


def enclose(problem: FlowProblem, optimum: Optimum, bits: int = 128) -> tuple[arb, ...]:
    """Balls that contain the exact dual optimum V*; ValueError where Krawczyk's test proves nothing."""
    return zeros.isolate(problem.gradient, problem.hessian, optimum.values, bits)
