"""Small decision processes and Markov chains in exact rationals: what the claims of this chapter compute with.

Values are tuples indexed by state, action values are tuples of rows; a policy is a tuple of rows of probabilities.
`proofs.exact.Process` evaluates policies; here are the operators, the enumerations and the chains.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from flint import fmpq, fmpq_mat

from proofs import instances
from proofs.exact import Process, mean, rational, solve

HALF = fmpq(1, 2)

Vector = tuple[Any, ...]
Matrix = tuple[Vector, ...]


def numbers(*values: Any) -> Vector:
    """Exact numbers from integers and strings such as "9/5"."""
    return tuple(rational(value) for value in values)


def process(transitions: Any, rewards: Any, discount: Any, initial: Any = None) -> Process:
    """A process from nested integers or strings; the initial law is uniform by default."""
    rows = tuple(tuple(numbers(*row) for row in actions) for actions in transitions)
    start = numbers(*initial) if initial is not None else (fmpq(1, len(rows)),) * len(rows)
    return Process(rows, tuple(numbers(*row) for row in rewards), rational(discount), start)


def moves(successors: Sequence[Sequence[int]], rewards: Any, discount: Any, initial: Any = None) -> Process:
    """A deterministic process: `successors[s][a]` is where action a leads."""
    size = len(successors)
    transitions = [[unit(target, size) for target in row] for row in successors]
    return process(transitions, rewards, discount, initial)


def unit(index: int, size: int) -> Vector:
    """The point mass on one index."""
    return tuple(fmpq(int(i == index)) for i in range(size))


def pure(process: Process, actions: Sequence[int]) -> Matrix:
    """The deterministic policy that takes `actions[s]` in state s."""
    return tuple(unit(action, len(process.rewards[s])) for s, action in enumerate(actions))


def choices(process: Process) -> Iterator[tuple[int, ...]]:
    """Every deterministic policy, as one action for each state."""
    return itertools.product(*(range(len(row)) for row in process.rewards))


def uniform(process: Process) -> Matrix:
    """Every action with the same probability."""
    return tuple(tuple(fmpq(1, len(row)) for _ in row) for row in process.rewards)


def backup(process: Process, values: Sequence[Any]) -> Matrix:
    """q(s, a) = r(s, a) + discount E[v(s')]."""
    return tuple(
        tuple(process.backup(s, a, values) for a in range(len(process.rewards[s]))) for s in range(process.n_states)
    )


def optimality(process: Process, values: Sequence[Any]) -> Vector:
    """(T v)(s) = max_a q(s, a)."""
    return tuple(max(row) for row in backup(process, values))


def evaluation(process: Process, policy: Matrix, values: Sequence[Any]) -> Vector:
    """(T_pi v)(s) = sum_a pi(a|s) q(s, a)."""
    return tuple(mean(p, row) for p, row in zip(policy, backup(process, values), strict=True))


def greedy(process: Process, values: Sequence[Any]) -> tuple[int, ...]:
    """The first best action of each state for the lookahead on `values`."""
    return tuple(row.index(max(row)) for row in backup(process, values))


def optimum(process: Process) -> Vector:
    """v*, by exact policy iteration; what it returns satisfies T v = v."""
    actions = greedy(process, (fmpq(0),) * process.n_states)
    while True:
        values = process.values(pure(process, actions))
        q = backup(process, values)
        better = tuple(
            row.index(max(row)) if max(row) > row[chosen] else chosen for row, chosen in zip(q, actions, strict=True)
        )
        if better == actions:
            return values
        actions = better


def chain(process: Process, policy: Matrix) -> Matrix:
    """P_pi."""
    return tuple(
        tuple(mean(policy[s], [row[t] for row in process.transitions[s]]) for t in range(process.n_states))
        for s in range(process.n_states)
    )


def income(process: Process, policy: Matrix) -> Vector:
    """r_pi."""
    return tuple(mean(p, row) for p, row in zip(policy, process.rewards, strict=True))


def apply(matrix: Sequence[Sequence[Any]], vector: Sequence[Any]) -> Vector:
    """matrix times column."""
    return tuple(mean(row, vector) for row in matrix)


def push(vector: Sequence[Any], matrix: Sequence[Sequence[Any]]) -> Vector:
    """row times matrix: the law after one step."""
    return tuple(mean(vector, column) for column in zip(*matrix, strict=True))


def add(left: Sequence[Any], right: Sequence[Any], factor: Any = 1) -> Vector:
    """left + factor * right."""
    return tuple(x + factor * y for x, y in zip(left, right, strict=True))


def sup(vector: Sequence[Any]) -> Any:
    """The largest absolute value."""
    return max(abs(x) for x in vector)


def distance(left: Sequence[Any], right: Sequence[Any]) -> Any:
    """The distance in the sup norm."""
    return sup(add(left, right, -1))


def one_minus(matrix: Matrix, factor: Any) -> Matrix:
    """I - factor * matrix."""
    return tuple(
        tuple((1 if i == j else 0) - factor * entry for j, entry in enumerate(row)) for i, row in enumerate(matrix)
    )


def _packed(matrix: Matrix) -> fmpq_mat:
    return fmpq_mat(len(matrix), len(matrix[0]), [rational(entry) for row in matrix for entry in row])


def determinant(matrix: Matrix) -> fmpq:
    """The determinant."""
    return _packed(matrix).det()


def inverse(matrix: Matrix) -> Matrix:
    """The inverse; ZeroDivisionError when there is none."""
    result = _packed(matrix).inv()
    return tuple(tuple(result[i, j] for j in range(len(matrix))) for i in range(len(matrix)))


def rank(matrix: Matrix) -> int:
    """The rank."""
    return _packed(matrix).rank()


def stationary(matrix: Matrix) -> Vector:
    """The law d = d P of a chain with one recurrent class; ZeroDivisionError when there are several."""
    size = len(matrix)
    rows = [[matrix[t][s] - (1 if s == t else 0) for t in range(size)] for s in range(size - 1)]
    return solve([*rows, [fmpq(1)] * size], [*(fmpq(0) for _ in rows), fmpq(1)])


def visitation(start: Sequence[Any], matrix: Matrix, discount: Any) -> Vector:
    """rho = start (I - discount P)^{-1}: the discounted number of visits, of mass 1/(1 - discount)."""
    return push(start, inverse(one_minus(matrix, discount)))


def state_action(process: Process, policy: Matrix) -> tuple[Matrix, Vector]:
    """The chain over pairs, and the reward of each pair, in the order of `process.pairs`."""
    rows = tuple(tuple(process.transitions[s][a][t] * policy[t][b] for t, b in process.pairs) for s, a in process.pairs)
    return rows, tuple(process.rewards[s][a] for s, a in process.pairs)


@functools.cache
def family(count: int, seed: int = 0) -> tuple[tuple[Process, Matrix, Matrix], ...]:
    """Random rational processes with two full-support policies each, made once."""
    return tuple(instances.processes(count, seed))


def show(vector: Sequence[Any]) -> str:
    """(a, b, c)."""
    return f"({', '.join(map(str, vector))})"
