"""The soft optimum of one state, in every number system: Boltzmann law, soft value, entropy, divergence."""

from __future__ import annotations

import functools
import math
import operator
import random
from collections.abc import Iterator, Sequence
from typing import Any

import sympy
from flint import fmpq

from proofs import instances
from proofs.arithmetic import Number, entropy_term, exp, log
from proofs.exact import LogNumber, Process, mean, solve

ALPHA = sympy.Symbol("alpha", positive=True)


def total(values: Sequence[Number]) -> Number:
    """The sum, in whatever number system the values are."""
    return functools.reduce(operator.add, values)


def boltzmann(q: Sequence[Number], alpha: Number) -> tuple[Number, ...]:
    """e^{q/alpha} normalised over finitely many actions."""
    raw = [exp(x / alpha) for x in q]
    partition = total(raw)
    return tuple(x / partition for x in raw)


def soft_value(q: Sequence[Number], alpha: Number) -> Number:
    """alpha log sum e^{q/alpha}."""
    return alpha * log(total([exp(x / alpha) for x in q]))


def entropy(policy: Sequence[Number]) -> Number:
    """-sum pi log pi, in nats."""
    return -total([entropy_term(p) for p in policy])


def regularised(q: Sequence[Number], policy: Sequence[Number], alpha: Number) -> Number:
    """E_pi[Q - alpha log pi]: the soft value of a policy that need not be the Boltzmann one."""
    return mean(policy, q) + alpha * entropy(policy)


def divergence(policy: Sequence[Number], other: Sequence[Number]) -> Number:
    """KL(pi || other)."""
    return total([p * log(p / o) for p, o in zip(policy, other, strict=True)])


def variance(policy: Sequence[Number], q: Sequence[Number]) -> Number:
    """Var_pi(Q)."""
    average = mean(policy, q)
    return mean(policy, [(x - average) * (x - average) for x in q])


def ones(size: int) -> tuple[fmpq, ...]:
    """The uniform law."""
    return tuple(fmpq(1, size) for _ in range(size))


def states(count: int, seed: int) -> Iterator[tuple[tuple[LogNumber, ...], tuple[fmpq, ...]]]:
    """Action values that are logarithms of rationals, and a full-support policy, for one state."""
    for data in instances.laws(count, seed=seed):
        yield tuple(LogNumber.log(x) for x in data.exponentials), data.masses


def collected(value: Any) -> LogNumber:
    """The same number as one logarithm, (1/n) log q, whose exponential is exact where it is rational."""
    value = LogNumber.of(value)
    denominator = math.lcm(*(int(factor.q) for factor in value.terms.values()))
    product = fmpq(1)
    for argument, factor in value.terms.items():
        product *= argument ** int((factor * denominator).p)
    return LogNumber(value.constant, {} if product == 1 else {product: fmpq(1, denominator)})


def mild_states(count: int, seed: int) -> Iterator[tuple[tuple[LogNumber, ...], tuple[fmpq, ...]]]:
    """The same with e^Q between 1/9 and 9 and small denominators, for sums of logarithms that are compared exactly."""
    generator = random.Random(seed)
    for index in range(count):
        size = 2 + index % 4
        q = tuple(LogNumber.log(fmpq(generator.randint(1, 9), generator.randint(1, 9))) for _ in range(size))
        yield q, instances.distribution(generator, size)


def peaked(q: Sequence[LogNumber]) -> bool:
    """Whether one action is better than every other."""
    best = max(q)
    return sum(x == best for x in q) == 1


def visits(process: Process, policy: Sequence[Sequence[Any]]) -> list[tuple[fmpq, ...]]:
    """(I - gamma P_pi)^{-1}, row by row: the expected discounted number of visits of t from s, of total 1/(1-gamma)."""
    size = process.n_states
    matrix = [
        [
            (1 if s == t else 0)
            - process.discount * mean(policy[s], [process.transitions[s][a][t] for a in range(len(policy[s]))])
            for t in range(size)
        ]
        for s in range(size)
    ]
    columns = [solve(matrix, [fmpq(int(s == t)) for s in range(size)]) for t in range(size)]
    return [tuple(column[s] for column in columns) for s in range(size)]


def soft_values(process: Process, policy: Sequence[Sequence[fmpq]], alpha: fmpq) -> tuple[Any, ...]:
    """V^pi of the soft Bellman equation V = E_pi[Q - alpha log pi], Q = r + gamma P V, exactly."""
    here = [regularised(r, p, alpha) for r, p in zip(process.rewards, policy, strict=True)]
    return tuple(mean(row, here) for row in visits(process, policy))


def backups(process: Process, values: Sequence[Any]) -> tuple[tuple[Any, ...], ...]:
    """Q(s, a) = r + gamma P V for every pair."""
    return tuple(
        tuple(process.backup(s, a, values) for a in range(len(process.rewards[s]))) for s in range(process.n_states)
    )


def soft_backup(process: Process, values: Sequence[Any], alpha: Number) -> tuple[Any, ...]:
    """The soft Bellman operator: alpha log sum_a e^{Q(s, a)/alpha} in every state."""
    return tuple(soft_value(row, alpha) for row in backups(process, values))
