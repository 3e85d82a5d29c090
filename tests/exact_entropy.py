"""Mean entropies of soft-optimal policies at 50 digits, for the rational MDP behind the floats."""

from __future__ import annotations

from decimal import Context, Decimal, localcontext
from fractions import Fraction

from exact import DIGITS, Exact, solve_linear


def soft_optimal_policy(exact: Exact, alpha: float) -> list[list[Decimal]]:
    """Boltzmann policy of the exact soft-optimal values."""
    values = exact.soft_optimal_values(alpha)
    with localcontext(Context(prec=DIGITS, Emin=-(10**9), Emax=10**9)):
        policy = []
        for s in exact.states:
            q = {}
            for a in exact.actions[s]:
                ahead = sum((decimal(p) * values[t] for t, p in exact.successors[s][a].items()), start=Decimal(0))
                q[a] = decimal(exact.rewards[s][a]) + decimal(exact.discount) * ahead
            top = max(q.values())
            powers = {a: ((value - top) / Decimal(alpha)).exp() for a, value in q.items()}
            total = sum(powers.values())
            policy.append([powers.get(a, Decimal(0)) / total for a in range(len(exact.rewards[0]))])
        return policy


def row_entropy(probabilities: list[Decimal]) -> Decimal:
    """Entropy in nats."""
    return -sum((p * p.ln() for p in probabilities if p > 0), start=Decimal(0))


def mean_entropy(exact: Exact, alpha: float) -> Decimal:
    """(1 - gamma) E sum gamma^t entropy of the soft-optimal policy, from the exact initial law."""
    policy = soft_optimal_policy(exact, alpha)
    with localcontext(Context(prec=DIGITS, Emin=-(10**9), Emax=10**9)):
        matrix = [[Decimal(int(s == t)) for t in exact.states] for s in exact.states]
        for s in exact.states:
            for a in exact.actions[s]:
                for t, p in exact.successors[s][a].items():
                    matrix[s][t] -= decimal(exact.discount) * policy[s][a] * decimal(p)
        values = solve_linear(matrix, [row_entropy(row) for row in policy])
        start = sum((decimal(p) * v for p, v in zip(exact.initial, values, strict=True)), start=Decimal(0))
        return (1 - decimal(exact.discount)) * start


def decimal(fraction: Fraction) -> Decimal:
    """The quotient, rounded to the digits of the context."""
    return Decimal(fraction.numerator) / Decimal(fraction.denominator)
