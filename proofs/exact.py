"""Exact numbers: rationals (`fmpq`), logarithms of rationals, and exact linear algebra on decision processes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from flint import arb, ctx, fmpq, fmpq_mat, fmpz

Rational = Any
"""An `int` or `fmpq`."""


def rational(value: Any) -> fmpq:
    """An `int`, `fmpq`, float (exactly the number it stores) or a string such as "9/5" as `fmpq`.

    ValueError for anything that is not a finite rational number.
    """
    if isinstance(value, fmpq):
        return value
    if isinstance(value, (int, fmpz)):
        return fmpq(value)
    if isinstance(value, float):
        numerator, denominator = value.as_integer_ratio()
        return fmpq(numerator, denominator)
    if isinstance(value, str):
        numerator, _, denominator = value.partition("/")
        return fmpq(int(numerator), int(denominator or 1))
    raise ValueError(f"expected an int, a float, an fmpq or a string such as '9/5', saw {value!r}")


def _root(value: fmpq, degree: int) -> fmpq:
    """The exact `degree`-th root of a positive rational; ValueError when it is irrational."""
    numerator, denominator = value.p.root(degree), value.q.root(degree)
    if numerator**degree != value.p or denominator**degree != value.q:
        raise ValueError(f"{value} has no rational root of degree {degree}; use balls")
    return fmpq(numerator, denominator)


@dataclasses.dataclass(frozen=True)
class LogNumber:
    """The exact real number `constant + sum of r_i log q_i`, with rational r_i and positive rational q_i.

    Closed under addition and multiplication by rationals; `exp` is exact where the result is rational. Comparison is
    exact: by Lindemann's theorem a nonzero rational is never the logarithm of a rational, so the number is zero only
    if `constant` is 0 and the product of q_i^{r_i} is 1, and otherwise balls of growing precision find its sign.
    """

    constant: fmpq
    terms: Mapping[fmpq, fmpq]

    @staticmethod
    def of(value: Rational | LogNumber) -> LogNumber:
        """A rational as a `LogNumber`."""
        return value if isinstance(value, LogNumber) else LogNumber(rational(value), {})

    @staticmethod
    def log(value: Rational) -> LogNumber:
        """The logarithm of a positive rational; ValueError otherwise."""
        value = rational(value)
        if value <= 0:
            raise ValueError(f"expected a positive rational inside a logarithm, saw {value}")
        return LogNumber(fmpq(0), {} if value == 1 else {value: fmpq(1)})

    def __add__(self, other: Any) -> Any:
        if isinstance(other, arb):
            return self.ball() + other
        other = LogNumber.of(other)
        terms = dict(self.terms)
        for argument, factor in other.terms.items():
            total = terms.get(argument, fmpq(0)) + factor
            if total == 0:
                terms.pop(argument, None)
            else:
                terms[argument] = total
        return LogNumber(self.constant + other.constant, terms)

    __radd__ = __add__

    def __mul__(self, factor: Any) -> Any:
        if isinstance(factor, arb):
            return self.ball() * factor
        if isinstance(factor, LogNumber):
            if factor.terms and self.terms:
                raise ValueError(f"({self}) * ({factor}) is no sum of logarithms of rationals; use balls")
            return self * factor.constant if self.terms else factor * self.constant
        factor = rational(factor)
        if factor == 0:
            return LogNumber(fmpq(0), {})
        return LogNumber(self.constant * factor, {argument: value * factor for argument, value in self.terms.items()})

    __rmul__ = __mul__

    def __neg__(self) -> LogNumber:
        return self * -1

    def __sub__(self, other: Any) -> Any:
        return self + -other

    def __rsub__(self, other: Any) -> Any:
        return -self + other

    def __truediv__(self, divisor: Any) -> Any:
        return self * (1 / (divisor if isinstance(divisor, arb) else rational(divisor)))

    def exp(self) -> fmpq:
        """e to this number; ValueError unless that is rational."""
        if self.constant != 0:
            raise ValueError(f"e^({self}) is irrational; use balls")
        result = fmpq(1)
        for argument, factor in self.terms.items():
            result *= _root(argument, int(factor.q)) ** int(factor.p)
        return result

    def ball(self) -> arb:
        """An enclosure at the current precision."""
        total = arb(self.constant)
        for argument, factor in self.terms.items():
            total += arb(factor) * arb(argument).log()
        return total

    def is_zero(self) -> bool:
        """Whether the number is exactly 0."""
        if self.constant != 0 or not self.terms:
            return self.constant == 0 and not self.terms
        denominator = 1
        for factor in self.terms.values():
            denominator = int(fmpz(denominator).lcm(factor.q))
        product = fmpq(1)
        for argument, factor in self.terms.items():
            product *= argument ** int((factor * denominator).p)
        return product == 1

    def sign(self) -> int:
        """-1, 0 or 1, exactly."""
        precision = 64
        while True:
            with ctx.workprec(precision):
                ball = self.ball()
                if ball > 0:
                    return 1
                if ball < 0:
                    return -1
            if precision == 256 and self.is_zero():
                return 0
            precision *= 2

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (int, fmpq, LogNumber)):
            return NotImplemented
        return (self - other).is_zero()

    def __hash__(self) -> int:
        return hash((self.constant, frozenset(self.terms.items())))

    def __lt__(self, other: Rational | LogNumber) -> bool:
        return (self - other).sign() < 0

    def __le__(self, other: Rational | LogNumber) -> bool:
        return (self - other).sign() <= 0

    def __gt__(self, other: Rational | LogNumber) -> bool:
        return (self - other).sign() > 0

    def __ge__(self, other: Rational | LogNumber) -> bool:
        return (self - other).sign() >= 0

    def __str__(self) -> str:
        pieces = [str(self.constant)] if self.constant != 0 or not self.terms else []
        for argument, factor in self.terms.items():
            pieces.append(f"log({argument})" if factor == 1 else f"({factor}) log({argument})")
        return " + ".join(pieces)

    __repr__ = __str__

    def decimal(self, digits: int = 6) -> str:
        """A decimal of `digits` significant digits, correctly rounded by a ball that is narrow enough."""
        with ctx.workprec(64 + 4 * digits):
            return self.ball().str(digits, radius=False)


def mean(masses: Sequence[Any], values: Sequence[Any]) -> Any:
    """The expectation of `values` under `masses`, in whatever number system they are."""
    total = masses[0] * values[0]
    for mass, value in zip(masses[1:], values[1:], strict=True):
        total = total + mass * value
    return total


def solve(matrix: Sequence[Sequence[Rational]], right: Sequence[Rational]) -> tuple[fmpq, ...]:
    """The exact solution of a square rational system; ZeroDivisionError when it is singular."""
    size = len(right)
    entries = [rational(entry) for row in matrix for entry in row]
    solution = fmpq_mat(size, size, entries).solve(fmpq_mat(size, 1, [rational(entry) for entry in right]))
    return tuple(solution[i, 0] for i in range(size))


@dataclasses.dataclass(frozen=True)
class Process:
    """A finite decision process with rational data: `transitions[s][a][t]`, `rewards[s][a]`, discount, initial law."""

    transitions: tuple[tuple[tuple[fmpq, ...], ...], ...]
    rewards: tuple[tuple[Any, ...], ...]
    discount: fmpq
    initial: tuple[fmpq, ...]

    @property
    def n_states(self) -> int:
        """The number of states."""
        return len(self.initial)

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Every (state, action)."""
        return tuple((s, a) for s in range(self.n_states) for a in range(len(self.rewards[s])))

    def backup(self, state: int, action: int, values: Sequence[Any]) -> Any:
        """r(s, a) + discount * E[v(s')]."""
        expected = mean(self.transitions[state][action], values)
        return self.rewards[state][action] + self.discount * expected

    def td_error(self, state: int, action: int, values: Sequence[Any]) -> Any:
        """delta_V(s, a) = r + discount * E[V(s')] - V(s)."""
        return self.backup(state, action, values) - values[state]

    def values(self, policy: Sequence[Sequence[Rational]]) -> tuple[fmpq, ...]:
        """V^pi by an exact solve of (I - gamma P_pi) v = r_pi."""
        size = self.n_states
        matrix = [
            [
                (1 if s == t else 0)
                - self.discount * mean(policy[s], [self.transitions[s][a][t] for a in range(len(policy[s]))])
                for t in range(size)
            ]
            for s in range(size)
        ]
        return solve(matrix, [mean(policy[s], self.rewards[s]) for s in range(size)])

    def advantages(self, policy: Sequence[Sequence[Rational]]) -> dict[tuple[int, int], fmpq]:
        """A^pi(s, a) = Q^pi - V^pi."""
        values = self.values(policy)
        return {(s, a): self.td_error(s, a, values) for s, a in self.pairs}

    def objective(self, policy: Sequence[Sequence[Rational]]) -> fmpq:
        """J(pi) = E_{mu0} V^pi."""
        return mean(self.initial, self.values(policy))

    def occupancy(self, policy: Sequence[Sequence[Rational]]) -> dict[tuple[int, int], fmpq]:
        """The discounted occupancy d_pi(s, a), of total mass 1, by an exact solve of the flow equations."""
        size = self.n_states
        matrix = [
            [
                (1 if s == t else 0)
                - self.discount * mean(policy[t], [self.transitions[t][a][s] for a in range(len(policy[t]))])
                for t in range(size)
            ]
            for s in range(size)
        ]
        states = solve(matrix, [(1 - self.discount) * mass for mass in self.initial])
        return {(s, a): states[s] * policy[s][a] for s, a in self.pairs}

    def flow_residual(self, occupancy: Mapping[tuple[int, int], Any]) -> tuple[Any, ...]:
        """sum_a d(s, a) - (1-gamma) mu0(s) - gamma sum P(s|t, a) d(t, a), for each s; zero for an occupancy."""
        residuals = []
        for state in range(self.n_states):
            inflow = (1 - self.discount) * self.initial[state]
            for (origin, action), mass in occupancy.items():
                inflow = inflow + self.discount * self.transitions[origin][action][state] * mass
            outflow = sum((mass for (origin, _), mass in occupancy.items() if origin == state), fmpq(0))
            residuals.append(outflow - inflow)
        return tuple(residuals)
