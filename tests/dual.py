"""Exact derivatives without differences: numbers `x + y e` with `e^2 = 0` over Decimals, for any formula in + - * /."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Context, Decimal, localcontext
from typing import Any

from exact import solve_linear

from reference.mdp import MDP

DIGITS = 60


class Dual:
    """A number and its derivative in one direction."""

    __slots__ = ("slope", "value")

    def __init__(self, value: Any, slope: Any = 0) -> None:
        self.value, self.slope = Decimal(value), Decimal(slope)

    def __add__(self, other: Any) -> Dual:
        other = lift(other)
        return Dual(self.value + other.value, self.slope + other.slope)

    def __sub__(self, other: Any) -> Dual:
        other = lift(other)
        return Dual(self.value - other.value, self.slope - other.slope)

    def __mul__(self, other: Any) -> Dual:
        other = lift(other)
        return Dual(self.value * other.value, self.value * other.slope + self.slope * other.value)

    def __truediv__(self, other: Any) -> Dual:
        other = lift(other)
        quotient = self.value / other.value
        return Dual(quotient, (self.slope - quotient * other.slope) / other.value)

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other: Any) -> Dual:
        return lift(other) - self

    def __abs__(self) -> Decimal:
        return abs(self.value)

    def __eq__(self, other: object) -> bool:
        other = lift(other)
        return self.value == other.value and self.slope == other.slope

    def __hash__(self) -> int:
        return hash((self.value, self.slope))

    def exp(self) -> Dual:
        value = self.value.exp()
        return Dual(value, value * self.slope)


def lift(number: Any) -> Dual:
    """`number` as a constant."""
    return number if isinstance(number, Dual) else Dual(number)


class Process:
    """A process under a softmax policy in the floats' exact values, for one direction of the parameters."""

    def __init__(self, mdp: MDP, features: Any, theta: Sequence[float], direction: int) -> None:
        rows = mdp.to_dense().transitions
        self.size, self.discount = mdp.n_states, Decimal(mdp.discount)
        self.rows = [[[Decimal(float(p)) for p in pair] for pair in state] for state in rows]
        self.rewards = [[Decimal(float(r)) for r in state] for state in mdp.rewards]
        moved = [Dual(float(x), int(i == direction)) for i, x in enumerate(theta)]
        self.policy = []
        for s in range(self.size):
            powers = {}
            for a in range(mdp.n_actions):
                if mdp.available[s, a]:
                    terms = [x * Decimal(float(f)) for x, f in zip(moved, features[s, a], strict=True)]
                    powers[a] = sum(terms, start=Dual(0)).exp()
            total = sum(powers.values(), start=Dual(0))
            self.policy.append({a: power / total for a, power in powers.items()})

    def chain(self, completed: bool) -> list[list[Dual]]:
        """`P_pi`; `completed`: the diagonal is what the other entries leave of one."""
        chain = [
            [sum((p * self.rows[s][a][t] for a, p in self.policy[s].items()), start=Dual(0)) for t in range(self.size)]
            for s in range(self.size)
        ]
        if completed:
            for s, row in enumerate(chain):
                row[s] = Dual(1) - sum((row[t] for t in range(self.size) if t != s), start=Dual(0))
        return chain

    def system(self, discount: Any, completed: bool = False) -> list[list[Dual]]:
        """`I - discount P_pi`."""
        chain = self.chain(completed)
        return [[int(s == t) - discount * chain[s][t] for t in range(self.size)] for s in range(self.size)]

    def pay(self) -> list[Dual]:
        """`r_pi`."""
        return [sum((p * self.rewards[s][a] for a, p in self.policy[s].items()), start=Dual(0)) for s in self.states]

    @property
    def states(self) -> range:
        return range(self.size)

    def values(self, live: Sequence[int], discount: Decimal, completed: bool = False) -> list[Dual]:
        """`v_pi`, over the states that are not terminal."""
        system, pay = self.system(discount, completed), self.pay()
        return solve_linear([[system[s][t] for t in live] for s in live], [pay[s] for s in live])

    def stationary(self) -> list[Dual]:
        """`d_pi` of a chain with one recurrent class, whose rows are completed."""
        system = self.system(Decimal(1), completed=True)
        balance = [[system[s][t] for s in self.states] for t in self.states]
        balance[-1] = [Dual(1)] * self.size
        return solve_linear(balance, [Dual(0)] * (self.size - 1) + [Dual(1)])


def dot(left: Sequence[Any], right: Sequence[Any]) -> Dual:
    """A sum of products."""
    return sum((lift(x) * y for x, y in zip(left, right, strict=True)), start=Dual(0))


def derivatives(
    mdp: MDP, features: Any, theta: Sequence[float], metric: Callable[[Process], Dual]
) -> Iterator[tuple[Decimal, Decimal]]:
    """The metric and its derivative in each parameter, to about fifty digits."""
    with localcontext(Context(prec=DIGITS)):
        found = [metric(Process(mdp, features, theta, i)) for i in range(len(theta))]
    return ((one.value, one.slope) for one in found)
