"""Rational processes: what is refused, what floats were meant to be; exact linear algebra with and without flint."""

from fractions import Fraction

import numpy as np
import pytest
from exact import solve_linear
from hypothesis import given
from hypothesis import strategies as st
from strategies import Drawn, few, mdps

from reference import rational
from reference.checks import InvalidMDP
from reference.library import from_gymnasium, gridworld
from reference.mdp import MDP
from reference.rational import RationalMDP, float_integers, intended, pair_row, solve_integers

THIRDS = [["1/3", "1/3", "1/3"], [0, 1, 0], [0, 0, 1]]


def process(**changes) -> RationalMDP:
    """Three states, one action."""
    given = {"transitions": [[row] for row in THIRDS], "rewards": [[1], [2], ["1/7"]], "discount": "0.99"}
    return RationalMDP(**(given | changes))


def test_numbers_are_stored_as_they_were_meant():
    mdp = process(transitions=[[{0: "1/3", 2: Fraction(2, 3)}], [{1: 1}], [[0, 0, 1.0]]], initial=[0.5, "1/4", "1/4"])
    assert mdp.discount == Fraction(99, 100)
    assert mdp.rows == ({0: Fraction(1, 3), 2: Fraction(2, 3)}, {1: 1}, {2: 1})
    assert mdp.rewards.tolist() == [[1], [2], [Fraction(1, 7)]]
    assert mdp.initial.tolist() == [Fraction(1, 2), Fraction(1, 4), Fraction(1, 4)]
    assert mdp.nearest.rewards[2, 0] == 1.0 / 7.0
    assert repr(mdp) == "RationalMDP(3 states, 1 actions, discount 99/100)"
    assert process().initial.tolist() == [Fraction(1, 3)] * 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transitions": [[[1 / 3] * 3], *[[row] for row in THIRDS[1:]]]}, r"state 0, action 0 sum to .*exactly 1"),
        ({"transitions": [[{0: 2, 1: -1}], [{1: 1}], [{2: 1}]]}, r"action 0 -> 1 is -1: expected a number >= 0"),
        ({"transitions": [[{3: 1}], [{1: 1}], [{2: 1}]]}, r"-> 3 is 1: expected .* a state below 3"),
        ({"transitions": [[[1]], [[0, 1, 0]], [[0, 0, 1]]]}, r"state 0, action 0 has 1 probabilities: expected S = 3"),
        ({"transitions": [[row] for row in THIRDS[:2]]}, r"transitions has 2 states .*expected \(S, A\) = \(3, 1\)"),
        ({"rewards": [[1], [float("nan")], [2]]}, r"reward of state 1, action 0 is nan: expected a rational number"),
        ({"rewards": [[1], ["one"], [2]]}, r"is 'one': expected a rational number"),
        ({"discount": 1}, r"discount is 1\.0: expected 0 <= discount < 1"),
        ({"discount": "99 percent"}, r"the discount is '99 percent'"),
        ({"initial": ["1/3", "1/3", "1/4"]}, r"initial distribution sum to 11/12: expected exactly 1"),
        ({"available": np.zeros((3, 1), dtype=np.bool_)}, r"state 0 has no available action"),
    ],
)  # fmt: skip
def test_data_that_are_no_process_are_refused(changes, message):
    with pytest.raises(InvalidMDP, match=message):
        process(**changes)


def test_intended_rationals_are_found_and_otherwise_refused():
    frozen = intended(from_gymnasium("FrozenLake-v1", 0.99))
    assert set(frozen.rows[0].values()) == {Fraction(1, 3), Fraction(2, 3)}
    assert frozen.discount == Fraction(99, 100)
    slippery = intended(gridworld(2, 3, slip=0.2))
    assert set(slippery.rows[0].values()) == {Fraction(9, 10), Fraction(1, 10)}
    weights = np.array([[[0.1234567, 1.0 - 0.1234567]], [[0.0, 1.0]]])
    with pytest.raises(InvalidMDP, match=r"the probability of 0 -> 0 is 0\.1234567.*Raise largest_denominator"):
        intended(MDP(weights, np.zeros((2, 1)), 0.5))
    with pytest.raises(InvalidMDP, match=r"^the discount is 0\.7654321: expected"):
        intended(MDP(np.eye(2)[:, None], np.zeros((2, 1)), 0.7654321))
    found = intended(MDP(weights, np.zeros((2, 1)), 0.5), 10_000_000)
    assert found.rows[0][0] == Fraction(1234567, 10_000_000)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=5))
def test_floats_are_read_exactly(values):
    numerators, denominator = float_integers(np.array(values))
    assert [Fraction(numerator, denominator) for numerator in numerators] == [Fraction(value) for value in values]


@few
@given(mdps())
def test_rows_are_the_floats_of_either_layout(drawn: Drawn):
    for model in (drawn.mdp, drawn.sparse):
        for pair in range(model.rewards.size):
            row = pair_row(model, pair)
            seen = {t: Fraction(n, row.denominator) for t, n in zip(row.columns, row.numerators, strict=True) if n}
            assert seen == drawn.exact.successors[pair // model.n_actions][pair % model.n_actions]


@few
@given(st.integers(1, 6), st.data())
def test_systems_are_solved_exactly_with_and_without_flint(size, data):
    entries = st.lists(st.integers(-(10**20), 10**20), min_size=size, max_size=size)
    # Diagonally dominant, as `I - gamma P` is, in rows of any order: regular, and pivots may be zero.
    rows = [data.draw(entries) for _ in range(size)]
    for i, row in enumerate(rows):
        row[i] = sum(map(abs, row)) + 1
    rows = data.draw(st.permutations(rows))
    right = data.draw(entries)
    expected = solve_linear([[Fraction(entry) for entry in row] for row in rows], [Fraction(b) for b in right])
    for solve in (solve_integers, rational._eliminate):
        numerators, denominator = solve(rows, right)
        assert denominator > 0
        assert [Fraction(numerator, denominator) for numerator in numerators] == expected


def test_a_missing_flint_is_named_with_its_remedy(monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(rational, "import_module", absent)
    assert solve_integers([[3]], [6]) in (([2], 1), ([6], 3))
    size = rational.FALLBACK_STATES + 1
    with pytest.raises(ModuleNotFoundError, match=r'python-flint .*pip install "roer\[exact\]"'):
        solve_integers(np.eye(size, dtype=np.int64).tolist(), [1] * size)
