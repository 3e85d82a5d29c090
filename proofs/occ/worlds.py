"""The processes and laws on which chapter OCC is checked, all with small rational data."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator
from typing import Any

from flint import fmpq

from proofs import instances
from proofs.exact import Process
from proofs.generators import CHI, HELLINGER, JS, KL, REVERSE, Curved, fermi_dirac
from proofs.occ.flow import FlowProblem, occupancy_of

FERMI_DIRAC = fermi_dirac(fmpq(4))

SIX: tuple[Curved, ...] = (KL, JS, CHI, HELLINGER, REVERSE, FERMI_DIRAC)
"""The six generators that OCC-01 names."""

BETA = fmpq(3, 10)


def drawn(generator: random.Random, n_states: int, n_actions: int, discount: fmpq) -> Process:
    """A process with random small integers in every entry."""
    transitions = tuple(
        tuple(instances.distribution(generator, n_states, full=False) for _ in range(n_actions))
        for _ in range(n_states)
    )
    rewards = tuple(tuple(fmpq(generator.randint(-6, 6), 6) for _ in range(n_actions)) for _ in range(n_states))
    return Process(transitions, rewards, discount, instances.distribution(generator, n_states))


@functools.cache
def textbook() -> tuple[Process, tuple[fmpq, ...], tuple[fmpq, ...]]:
    """Five states, three actions, discount 9/10; a law that is an occupancy, and one that is none."""
    generator = random.Random(20)
    process = drawn(generator, 5, 3, fmpq(9, 10))
    policy = tuple(instances.distribution(generator, 3) for _ in range(5))
    return process, occupancy_of(process, policy), instances.distribution(generator, 15)


def problems(beta: fmpq = BETA) -> Iterator[FlowProblem]:
    """The textbook process with both laws and all six generators."""
    process, valid, generic = textbook()
    for law in (valid, generic):
        for generator in SIX:
            yield FlowProblem(process, law, beta, generator)


@functools.cache
def small(count: int, seed: int = 3) -> tuple[tuple[Process, Any, tuple[fmpq, ...], tuple[fmpq, ...]], ...]:
    """Small processes, each with a full-support policy, the occupancy of it, and a law that is no occupancy."""
    generator = random.Random(seed)
    found = []
    for process, policy, _ in instances.processes(count, seed):
        found.append(
            (process, policy, occupancy_of(process, policy), instances.distribution(generator, len(process.pairs)))
        )
    return tuple(found)


def dyadic() -> tuple[Process, tuple[fmpq, ...]]:
    """Three states whose every number is a float64 exactly, and a law on its six pairs."""
    rows = (((1, 3, 4), (8, 0, 0)), ((0, 2, 6), (4, 4, 0)), ((2, 2, 4), (1, 0, 7)))
    transitions = tuple(tuple(tuple(fmpq(n, 8) for n in row) for row in pair) for pair in rows)
    rewards = ((fmpq(1, 2), fmpq(-1)), (fmpq(0), fmpq(5, 4)), (fmpq(2), fmpq(-1, 4)))
    initial = (fmpq(1, 2), fmpq(1, 4), fmpq(1, 4))
    law = tuple(fmpq(n, 16) for n in (3, 1, 4, 2, 1, 5))
    return Process(transitions, rewards, fmpq(3, 4), initial), law
