"""Decision processes with rational data, and the exact linear algebra that solves them.

Two processes may stand behind the same floats, and they differ by more than an error bound may hide:

* **the floats, exactly.** Every float64 is a rational number with a power of two below the line; this is what an `MDP`
  is, here as everywhere in this package. A row of three float64 thirds misses one by 2^-54.
* **intended rationals.** Someone who wrote 1/3 meant 1/3. A `RationalMDP` holds such numbers; `intended` recovers them
  from floats. Values of the two differ by up to `gamma |v| u k / (1 - gamma)` for `k` successors.

Rows travel as integers over a common denominator, so that no greatest common divisor is ever taken of long numbers.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from importlib import import_module
from itertools import chain, pairwise
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from reference.checks import InvalidMDP
from reference.mdp import MDP
from reference.rounding import admissible_defect

FALLBACK_STATES = 60
"""States up to which systems are solved without python-flint: a few seconds of Python integers."""

Number = Fraction | int | float | str
"""What `Fraction` reads: a float as the number that it is, and strings such as "1/3" or "0.99"."""


class Row(NamedTuple):
    """`numerators[i] / denominator` is the probability of `columns[i]`."""

    columns: list[int]
    numerators: list[int]
    denominator: int


@dataclass(frozen=True, eq=False, repr=False, init=False)
class RationalMDP:
    """A finite discounted MDP with `S` states and `A` actions whose data are rational numbers.

    * `transitions`: `transitions[s][a]` is a sequence of `S` probabilities or a mapping `{next state: probability}`.
    * `rewards`: `rewards[s][a]`; `discount` in `[0, 1)`; `initial`: `S` probabilities, uniform if not given.
    * `available`: `(S, A)` booleans, all true if not given; rows and rewards of unavailable pairs are ignored.

    Numbers are anything that `Fraction` reads. Rows must sum to one *exactly*. Raises `InvalidMDP`, naming state and
    action. `rewards` and `initial` are stored as object arrays of `Fraction`; `nearest` is the `MDP` of nearest floats.
    """

    rows: tuple[dict[int, Fraction], ...]  # pair s*A + a -> {next state: probability}
    rewards: np.ndarray
    discount: Fraction
    initial: np.ndarray
    available: Bool[np.ndarray, "S A"]
    nearest: MDP = field(init=False)
    integers: tuple[Row, ...] = field(init=False)  # the same rows over a common denominator each

    def __init__(
        self,
        transitions: Sequence[Sequence[Sequence[Number] | Mapping[int, Number]]],
        rewards: Sequence[Sequence[Number]],
        discount: Number,
        initial: Sequence[Number] | None = None,
        available: Bool[np.ndarray, "S A"] | None = None,
        grid: tuple[int, int] | None = None,
    ) -> None:
        n_states = len(rewards)
        n_actions = len(rewards[0]) if n_states else 0
        shape = (n_states, n_actions)
        counted = [len(line) for line in transitions]
        if len(transitions) != n_states or {n_actions} != {*counted, *map(len, rewards)}:
            raise InvalidMDP(
                f"transitions has {len(transitions)} states with {sorted(set(counted))} actions: expected (S, A) = "
                f"{shape}, because rewards has {n_states} rows, the first of length {n_actions}."
            )
        usable = np.ones(shape, dtype=np.bool_) if available is None else np.array(available, dtype=np.bool_)
        rows, pays = [], np.full(shape, Fraction(0), dtype=object)
        for state, action in np.ndindex(shape):
            place = f"state {state}, action {action}"
            free = bool(usable[state, action])
            rows.append(_law(transitions[state][action], n_states, place) if free else {})
            if free:
                pays[state, action] = _number(rewards[state][action], f"the reward of {place}")
        start = [Fraction(1, n_states)] * n_states if initial is None else initial
        law = _law(start, n_states, "the initial distribution")
        stored = {
            "rows": tuple(rows),
            "integers": tuple(_over_common(row) for row in rows),
            "rewards": pays,
            "discount": _number(discount, "the discount"),
            "initial": np.array([law.get(state, Fraction(0)) for state in range(n_states)], dtype=object),
            "available": usable,
        }
        for name, value in stored.items():
            object.__setattr__(self, name, value)
        dense = np.zeros((n_states * n_actions, n_states))
        for pair, row in enumerate(rows):
            dense[pair, list(row)] = [float(probability) for probability in row.values()]
        nearest = MDP(
            dense.reshape(*shape, n_states), pays.astype(np.float64), float(self.discount),
            self.initial.astype(np.float64), usable, grid,
        )  # fmt: skip
        object.__setattr__(self, "nearest", nearest)

    @property
    def n_states(self) -> int:
        """The number of states."""
        return self.nearest.n_states

    @property
    def n_actions(self) -> int:
        """The number of actions."""
        return self.nearest.n_actions

    def __repr__(self) -> str:
        return f"RationalMDP({self.n_states} states, {self.n_actions} actions, discount {self.discount})"


def intended(mdp: MDP, largest_denominator: int = 1000) -> RationalMDP:
    """The process that the floats of `mdp` were meant to be: each the simplest rational within rounding of it.

    A float is replaced by the nearest fraction with a denominator of at most `largest_denominator` (0.333... by 1/3,
    0.99 by 99/100), which must lie within `admissible_defect(S)` of it, relatively: room for sums of `S` rounded
    numbers. Rows must then sum to one exactly. Raises `InvalidMDP`, naming the number, where either fails.
    """
    slack = Fraction(admissible_defect(mdp.n_states))

    def simplest(value: float, place: str) -> Fraction:
        near = Fraction(value).limit_denominator(largest_denominator)
        if abs(near - Fraction(value)) > slack * abs(near):
            raise InvalidMDP(
                f"{place} is {value!r}: expected a number within rounding of a fraction with a denominator of at most "
                f"{largest_denominator}, and the nearest is {near}. Raise largest_denominator, or solve the floats."
            )
        return near

    rows, dense = [], mdp.matrix if isinstance(mdp.matrix, np.ndarray) else mdp.matrix.toarray()
    for state in range(mdp.n_states):
        line = dense[state * mdp.n_actions : (state + 1) * mdp.n_actions]
        rows.append([
            {int(t): simplest(float(row[t]), f"the probability of {state} -> {t}") for t in np.flatnonzero(row)}
            for row in line
        ])  # fmt: skip
    rewards = [
        [simplest(float(reward), f"a reward of state {state}") for reward in line]
        for state, line in enumerate(mdp.rewards)
    ]
    initial = [simplest(float(mass), f"the initial probability of {state}") for state, mass in enumerate(mdp.initial)]
    discount = simplest(mdp.discount, "the discount")
    return RationalMDP(rows, rewards, discount, initial, mdp.available, mdp.grid)


def nearest_floats(process: MDP | RationalMDP) -> MDP:
    """`process` itself if it is made of floats."""
    return process if isinstance(process, MDP) else process.nearest


def pair_row(process: MDP | RationalMDP, pair: int) -> Row:
    """The exact transition probabilities of `pair = s*A + a`."""
    return pair_rows(process, [pair])[0]


def pair_rows(process: MDP | RationalMDP, pairs: Sequence[int]) -> list[Row]:
    """The exact transition probabilities of each of `pairs`."""
    if isinstance(process, RationalMDP):
        return [process.integers[pair] for pair in pairs]
    matrix = process.matrix
    if isinstance(matrix, np.ndarray):
        block = matrix[pairs]
        which, columns = np.nonzero(block)
        data, ends = block[which, columns], np.searchsorted(which, np.arange(len(pairs) + 1)).tolist()
    else:
        entries = [np.arange(matrix.indptr[pair], matrix.indptr[pair + 1]) for pair in pairs]
        ends = [0, *np.cumsum([len(row) for row in entries]).tolist()]
        where = np.concatenate(entries)
        data, columns = matrix.data[where], matrix.indices[where]
    digits, shifts = _digits(data)
    targets = columns.tolist()
    return [
        Row(targets[here:there], *_over_one_power(digits[here:there], shifts[here:there]))
        for here, there in pairwise(ends)
    ]


def float_integers(values: np.ndarray) -> tuple[list[int], int]:
    """Finite floats as integers over one power of two."""
    return _over_one_power(*_digits(values))


def _digits(values: np.ndarray) -> tuple[list[int], list[int]]:
    """Finite floats as `digits * 2^shifts`."""
    mantissa, exponent = np.frexp(values)
    return np.ldexp(mantissa, 53).astype(np.int64).tolist(), (exponent - 53).tolist()


def _over_one_power(digits: list[int], shifts: list[int]) -> tuple[list[int], int]:
    """`digits * 2^shifts` as integers over one power of two, in lowest terms."""
    lowest = min([0, *shifts])
    numerators = [digit << (shift - lowest) for digit, shift in zip(digits, shifts, strict=True)]
    common = math.gcd(1 << -lowest, *numerators)
    return [numerator // common for numerator in numerators], (1 << -lowest) // common


def solve_integers(rows: list[list[int]], right: list[int]) -> tuple[list[int], int]:
    """The solution of a regular square system of integers, as numerators over one denominator > 0.

    By Dixon's p-adic lifting in python-flint where that is installed (J. D. Dixon, Numer. Math. 40, 1982), else by the
    fraction-free elimination of E. H. Bareiss (Math. Comp. 22, 1968), up to `FALLBACK_STATES` unknowns.
    """
    size = len(right)
    try:
        flint = import_flint()
    except ModuleNotFoundError:
        if size > FALLBACK_STATES:
            raise
        return _eliminate(rows, right)
    matrix = flint.fmpq_mat(flint.fmpz_mat(size, size, list(chain.from_iterable(rows))))
    solution = matrix.solve(flint.fmpq_mat(flint.fmpz_mat(size, 1, right)), algorithm="dixon")
    numerators, denominator = solution.numer_denom()
    return [int(entry) for entry in numerators.entries()], int(denominator)


def import_flint() -> Any:
    """The `flint` module, or a `ModuleNotFoundError` that names the pip line."""
    try:
        return import_module("flint")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "this needs python-flint (exact solves beyond "
            f'{FALLBACK_STATES} states, and ball arithmetic): pip install "roer[exact]"'
        ) from error


def _eliminate(rows: list[list[int]], right: list[int]) -> tuple[list[int], int]:
    """Gauss-Jordan elimination in which every division is exact: entries stay minors of the matrix (Bareiss 1968)."""
    table = [[*row, value] for row, value in zip(rows, right, strict=True)]
    size, previous = len(right), 1
    for column in range(size):
        chosen = next(i for i in range(column, size) if table[i][column])
        table[column], table[chosen] = table[chosen], table[column]
        head, pivot = table[column], table[column][column]
        for i, row in enumerate(table):
            if i != column:
                factor = row[column]
                table[i] = [(pivot * x - factor * y) // previous for x, y in zip(row, head, strict=True)]
        previous = pivot
    sign = 1 if previous > 0 else -1
    return [sign * row[size] for row in table], abs(previous)


def _number(value: Any, place: str) -> Fraction:
    try:
        return Fraction(value)
    except (TypeError, ValueError, OverflowError, ZeroDivisionError) as error:
        raise InvalidMDP(f"{place} is {value!r}: expected a rational number, such as 1, '1/3' or 0.25.") from error


def _over_common(row: Mapping[int, Fraction]) -> Row:
    denominator = math.lcm(*(p.denominator for p in row.values()))
    return Row(list(row), [p.numerator * (denominator // p.denominator) for p in row.values()], denominator)


def _law(row: Sequence[Number] | Mapping[int, Number], n_states: int, place: str) -> dict[int, Fraction]:
    """`{state: probability > 0}`, checked."""
    entries = row.items() if isinstance(row, Mapping) else enumerate(row)
    law = {int(state): _number(probability, f"a probability of {place}") for state, probability in entries}
    if not isinstance(row, Mapping) and len(row) != n_states:
        raise InvalidMDP(f"{place} has {len(row)} probabilities: expected S = {n_states}, or a mapping from states.")
    for state, probability in law.items():
        if not 0 <= state < n_states or probability < 0:
            raise InvalidMDP(
                f"the probability of {place} -> {state} is {probability}: expected a number >= 0 and a state below "
                f"{n_states}."
            )
    total = sum(law.values(), start=Fraction(0))
    if total != 1:
        raise InvalidMDP(
            f"the probabilities of {place} sum to {total}: expected exactly 1. Rounded rows belong into an MDP of "
            "floats; `intended` finds the fractions behind them."
        )
    return {state: probability for state, probability in law.items() if probability}
