"""Families of exact instances for the properties: small first, so that the first failure is already a small one.

Everything is drawn from small integers with a fixed seed: the same instances on every machine and Python version.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from flint import fmpq

from proofs.divergences import Law, law
from proofs.exact import Process

#: Powers applied to e^{A}: z = A / beta over more than ten decades of beta, from nearly uniform to nearly greedy.
SCALES = (fmpq(1), fmpq(3), fmpq(17), fmpq(400))


def laws(count: int, seed: int = 0, largest: int = 5) -> Iterator[Law]:
    """Laws with rational e^z: one atom, ties, equal advantages, tiny and huge advantages, then random ones."""
    yield law([1], [fmpq(3, 2)])
    yield law([1, 1], [1, 1])
    yield law([1, 1], [1, fmpq(9, 5)])
    yield law([1, 3, 2], [2, 2, fmpq(1, 3)])
    yield law([1, 10**9], [10**12, 1])
    yield law([10**9, 1], [1 + fmpq(1, 10**10), 1])
    generator = random.Random(seed)
    for index in range(count):
        size = 2 + index * (largest - 1) // max(count, 1)
        scale = int(SCALES[index % len(SCALES)])
        masses = [generator.randint(1, 9) for _ in range(size)]
        exponentials = [fmpq(generator.randint(1, 12), generator.randint(1, 12)) ** scale for _ in range(size)]
        if index % 5 == 4:
            exponentials[1] = exponentials[0]
        yield law(masses, exponentials)


def distinct(laws_: Iterator[Law]) -> Iterator[Law]:
    """Those laws whose advantage is not constant."""
    return (item for item in laws_ if len({str(q) for q in item.exponentials}) > 1)


def distribution(generator: random.Random, size: int, *, full: bool = True) -> tuple[fmpq, ...]:
    """A rational distribution; without zeros when `full`."""
    weights = [generator.randint(1 if full else 0, 6) for _ in range(size)]
    if not any(weights):
        weights[0] = 1
    total = sum(weights)
    return tuple(fmpq(weight, total) for weight in weights)


def processes(count: int, seed: int = 0, *, deterministic: bool = False) -> Iterator[tuple[Process, Any, Any]]:
    """Rational decision processes, each with two full-support policies."""
    generator = random.Random(seed)
    for index in range(count):
        n_states, n_actions = 2 + index % 3, 2 + index % 2
        transitions = []
        for _ in range(n_states):
            rows = []
            for _ in range(n_actions):
                if deterministic:
                    target = generator.randrange(n_states)
                    rows.append(tuple(fmpq(int(t == target)) for t in range(n_states)))
                else:
                    rows.append(distribution(generator, n_states, full=False))
            transitions.append(tuple(rows))
        rewards = tuple(tuple(fmpq(generator.randint(-6, 6), 3) for _ in range(n_actions)) for _ in range(n_states))
        process = Process(
            tuple(transitions), rewards, fmpq(generator.randint(1, 9), 10), distribution(generator, n_states)
        )
        policies = [tuple(distribution(generator, n_actions) for _ in range(n_states)) for _ in range(2)]
        yield process, policies[0], policies[1]


def off_flow(process: Process, occupancy: Any) -> Any:
    """A distribution over pairs that is no occupancy: the occupancy, moved halfway towards one pair."""
    first = next(iter(occupancy))
    moved = {pair: mass / 2 + (fmpq(1, 2) if pair == first else 0) for pair, mass in occupancy.items()}
    return moved


def policy_of(process: Process, occupancy: Any) -> Any:
    """pi(a|s) proportional to d(s, a); uniform in states without mass."""
    policy = []
    for state in range(process.n_states):
        actions = range(len(process.rewards[state]))
        total = sum((occupancy[state, action] for action in actions), fmpq(0))
        policy.append(
            tuple(occupancy[state, action] / total if total != 0 else fmpq(1, len(actions)) for action in actions)
        )
    return tuple(policy)
