"""Exact answers for the floats of a small MDP: rationals where there are rationals, 50 digits where there is an exp.

Independent of `reference`'s solvers: plain Gaussian elimination, policy iteration without any tolerance, enumeration.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from fractions import Fraction

import numpy as np

from reference.mdp import MDP

DIGITS = 50


def fractions(array) -> list:
    """A nested list of the exact values of a float array."""
    array = np.asarray(array)
    return Fraction(float(array)) if array.ndim == 0 else [fractions(row) for row in array]


def solve_linear(matrix: list[list], right: list) -> list:
    """Solve a square system over any field by elimination with pivoting on size."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    size = len(rows)
    for column in range(size):
        pivot = max(range(column, size), key=lambda i: abs(rows[i][column]))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        head = rows[column]
        for row in rows[column + 1 :]:
            if row[column] != 0:
                factor = row[column] / head[column]
                for index in range(column, size + 1):
                    row[index] -= factor * head[index]
    solution = [None] * size
    for row in reversed(range(size)):
        known = sum((rows[row][j] * solution[j] for j in range(row + 1, size)), start=type(rows[row][row])(0))
        solution[row] = (rows[row][size] - known) / rows[row][row]
    return solution


def distance(given: np.ndarray, exact: Sequence) -> float:
    """`max |given - exact|`, computed exactly and rounded once."""
    kind = type(exact[0])
    return float(max(abs(kind(float(x)) - y) for x, y in zip(given, exact, strict=True)))


@dataclass(frozen=True)
class Exact:
    """The rational MDP that the floats of an `MDP` are."""

    successors: list[list[dict[int, Fraction]]]  # [state][action] -> {next state: probability}
    rewards: list[list[Fraction]]
    discount: Fraction
    initial: list[Fraction]
    actions: list[list[int]]  # available ones

    @classmethod
    def of(cls, mdp: MDP) -> Exact:
        """Read every stored float as the rational number that it is."""
        rows = np.asarray(mdp.to_dense().transitions)
        successors = [
            [{int(t): Fraction(float(row[t])) for t in np.flatnonzero(row)} for row in state] for state in rows
        ]
        actions = [np.flatnonzero(state).tolist() for state in mdp.available]
        discount = Fraction(mdp.discount)
        return cls(successors, fractions(mdp.rewards), discount, fractions(mdp.initial), actions)

    @property
    def states(self) -> range:
        return range(len(self.rewards))

    def q(self, values: Sequence[Fraction], state: int, action: int) -> Fraction:
        """One exact backup."""
        expected = sum((p * values[t] for t, p in self.successors[state][action].items()), start=Fraction(0))
        return self.rewards[state][action] + self.discount * expected

    def backup(self, values: Sequence[Fraction]) -> list[Fraction]:
        """The optimality operator."""
        return [max(self.q(values, s, a) for a in self.actions[s]) for s in self.states]

    def system(self, policy: Sequence[Sequence[Fraction]]) -> list[list[Fraction]]:
        """`I - gamma P_pi`."""
        matrix = [[Fraction(int(s == t)) for t in self.states] for s in self.states]
        for s in self.states:
            for a in self.actions[s]:
                for t, p in self.successors[s][a].items():
                    matrix[s][t] -= self.discount * policy[s][a] * p
        return matrix

    def policy_rewards(self, policy: Sequence[Sequence[Fraction]]) -> list[Fraction]:
        """Expected reward in each state."""
        return [sum((policy[s][a] * self.rewards[s][a] for a in self.actions[s]), Fraction(0)) for s in self.states]

    def policy_values(self, policy: Sequence[Sequence[Fraction]]) -> list[Fraction]:
        """Values of a stochastic policy, given as rationals."""
        return solve_linear(self.system(policy), self.policy_rewards(policy))

    def deterministic(self, actions: Sequence[int]) -> list[list[Fraction]]:
        """The matrix of a deterministic policy."""
        return [[Fraction(int(a == chosen)) for a in range(len(self.rewards[0]))] for chosen in actions]

    def optimal_values(self) -> list[Fraction]:
        """Exact policy iteration; a state changes its action only for a strictly better one."""
        chosen = [max(self.actions[s], key=lambda a, s=s: self.rewards[s][a]) for s in self.states]
        while True:
            values = self.policy_values(self.deterministic(chosen))
            better = [max(self.actions[s], key=lambda a, s=s: self.q(values, s, a)) for s in self.states]
            gains = [self.q(values, s, better[s]) > self.q(values, s, chosen[s]) for s in self.states]
            if not any(gains):
                return values
            chosen = [new if gain else old for new, old, gain in zip(better, chosen, gains, strict=True)]

    def policies(self) -> Iterator[tuple[int, ...]]:
        """Every deterministic policy."""
        return itertools.product(*self.actions)

    def occupancy(self, policy: Sequence[Sequence[Fraction]]) -> list[list[Fraction]]:
        """The discounted occupancy of a policy."""
        transposed = [list(column) for column in zip(*self.system(policy), strict=True)]
        states = solve_linear(transposed, [(1 - self.discount) * mass for mass in self.initial])
        return [[states[s] * p for p in policy[s]] for s in self.states]

    # -- soft: Decimal arithmetic, whose exp and ln are correctly rounded -------------------------------------------

    def soft_policy_values(self, policy: Sequence[Sequence[Fraction]], alpha: float) -> list[Decimal]:
        """Values with the entropy bonus `-alpha log pi`, to about 50 digits."""
        with localcontext(Context(prec=DIGITS)):
            matrix = [[_decimal(entry) for entry in row] for row in self.system(policy)]
            rewards = [_decimal(reward) for reward in self.policy_rewards(policy)]
            for s in self.states:
                terms = [_decimal(p) * _decimal(p).ln() for p in policy[s] if p > 0]
                rewards[s] -= Decimal(alpha) * sum(terms, start=Decimal(0))
            return solve_linear(matrix, rewards)

    def soft_optimal_values(self, alpha: float) -> list[Decimal]:
        """Newton's method on the soft Bellman equation, to a residual of about 40 digits."""
        with localcontext(Context(prec=DIGITS, Emin=-(10**9), Emax=10**9)):
            temperature, discount = Decimal(alpha), _decimal(self.discount)
            rewards = [[_decimal(reward) for reward in row] for row in self.rewards]
            successors = [[{t: _decimal(p) for t, p in pair.items()} for pair in row] for row in self.successors]
            values = [Decimal(0) for _ in self.states]
            scale = max((abs(reward) for row in rewards for reward in row), default=Decimal(0)) + temperature
            for _ in range(1000):
                matrix = [[Decimal(int(s == t)) for t in self.states] for s in self.states]
                residual = []
                for s in self.states:
                    q = {}
                    for a in self.actions[s]:
                        expected = sum((p * values[t] for t, p in successors[s][a].items()), start=Decimal(0))
                        q[a] = rewards[s][a] + discount * expected
                    top = max(q.values())
                    powers = {a: ((value - top) / temperature).exp() for a, value in q.items()}
                    total = sum(powers.values())
                    residual.append(top + temperature * total.ln() - values[s])
                    for a, power in powers.items():
                        for t, p in successors[s][a].items():
                            matrix[s][t] -= discount * power / total * p
                if max(map(abs, residual)) <= scale * Decimal(10) ** -40 / (1 - discount):
                    return values
                steps = solve_linear(matrix, residual)
                values = [value + step for value, step in zip(values, steps, strict=True)]
        raise AssertionError("Newton's method on the soft Bellman equation did not converge in 1000 steps")


def _decimal(fraction: Fraction) -> Decimal:
    return Decimal(fraction.numerator) / Decimal(fraction.denominator)


def stationary(chain: list[list[Fraction]]) -> list[Fraction]:
    """Stationary distribution of an irreducible chain whose diagonal is what its other entries leave of one."""
    size = len(chain)
    leaving = [sum(row[t] for t in range(size) if t != s) for s, row in enumerate(chain)]
    balance = [[-leaving[t] if s == t else chain[s][t] for s in range(size)] for t in range(size)]
    balance[-1] = [Fraction(1)] * size
    return solve_linear(balance, [Fraction(0)] * (size - 1) + [Fraction(1)])
