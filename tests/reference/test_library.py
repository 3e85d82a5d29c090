"""The library: textbook values are exact, families are what they say, Gymnasium's tables arrive unchanged."""

import importlib
import re
import sys
from collections import deque
from fractions import Fraction

import numpy as np
import pytest
import tolerances
from exact import Exact
from hypothesis import given
from hypothesis import strategies as st
from strategies import few

from reference.library import chain, cliff, from_gymnasium, garnet, gridworld, named
from reference.textbook import puterman

NAMED = sorted(named())
TOY_TEXT = ("FrozenLake-v1", "FrozenLake8x8-v1", "CliffWalking-v1", "Taxi-v4")


@pytest.mark.parametrize("name", NAMED)
def test_stated_values_solve_the_bellman_equation_exactly(row, name):
    case = named()[name]
    exact = Exact.of(case.mdp)
    backed_up = exact.backup(case.exact)
    message = f"{name}: T v = {backed_up}, expected v = {case.exact}"
    row.exact("RL-05", "closed-form values", list(case.exact) == backed_up, message)
    assert re.match(r"[A-Z][a-z]+.* \((19|20)\d\d\)|counterexample [A-Z]+-\d\d|geometric series$", case.source)
    np.testing.assert_array_equal(case.values, [float(value) for value in case.exact])


@given(st.floats(0.0, 0.999))
def test_puterman_switches_at_ten_elevenths(discount):
    case = puterman(discount)
    exact = Exact.of(case.mdp)
    assert list(case.exact) == exact.optimal_values()
    patient = exact.q(case.exact, 0, 0) > exact.q(case.exact, 0, 1)
    assert patient == (Fraction(discount) > Fraction(10, 11))


@few
@given(st.integers(2, 12), st.integers(1, 3), st.data(), st.integers(0, 10**6))
def test_garnets_have_the_stated_branching(n_states, n_actions, data, seed):
    branching = data.draw(st.integers(1, n_states))
    mdp = garnet(n_states, n_actions, branching, seed, 0.9)
    assert mdp.rewards.shape == (n_states, n_actions)
    assert (np.count_nonzero(mdp.transitions, axis=2) == branching).all()
    again = garnet(n_states, n_actions, branching, seed, 0.9, sparse_rows=True)
    assert again.is_sparse
    np.testing.assert_array_equal(again.to_dense().transitions, mdp.transitions)
    np.testing.assert_array_equal(again.rewards, mdp.rewards)
    assert not np.array_equal(garnet(n_states, n_actions, branching, seed + 1).rewards, mdp.rewards)


def test_garnet_probabilities_are_gaps_of_uniform_cuts():
    # Gaps of k - 1 uniform cuts have mean 1/k and variance (k - 1) / (k^2 (k + 1)).
    size, branching = 300, 4
    gaps = garnet(size, 2, branching, 1, sparse_rows=True).matrix.data
    variance = (branching - 1) / (branching**2 * (branching + 1))
    squares = (gaps.reshape(-1, branching) ** 2).mean(axis=1)  # one independent number in [0, 1] per row
    bound, reason = tolerances.sample_mean(len(squares))
    assert abs(squares.mean() - variance - 1 / branching**2) <= bound, reason


@pytest.mark.parametrize("branching", [0, 4])
def test_garnet_refuses_impossible_branching(branching):
    with pytest.raises(ValueError, match=f"branching is {branching}: expected between 1 and n_states = 3"):
        garnet(3, 2, branching, 0)


@few
@given(st.integers(2, 7), st.sampled_from([0.0, 0.5, 0.9, 0.999]))
def test_chain_values_are_powers_of_the_discount(n_states, discount):
    mdp = chain(n_states, discount)
    expected = [Fraction(discount) ** (n_states - 2 - s) for s in range(n_states - 1)] + [Fraction(0)]
    assert Exact.of(mdp).optimal_values() == expected
    assert mdp.terminal.tolist() == [False] * (n_states - 1) + [True]


def steps_to(mdp, goal: int) -> dict[int, int]:
    """Breadth-first distances to the goal over single steps that cost no more than one."""
    sources: dict[int, set[int]] = {}
    for state, action in np.argwhere(mdp.available & (mdp.rewards >= -1.0)):
        for target in np.flatnonzero(mdp.to_dense().transitions[state, action]):
            sources.setdefault(int(target), set()).add(int(state))
    distance, queue = {goal: 0}, deque([goal])
    while queue:
        here = queue.popleft()
        for state in sources.get(here, ()):
            if state not in distance:
                distance[state] = distance[here] + 1
                queue.append(state)
    return distance


@pytest.mark.parametrize(
    "mdp",
    [
        gridworld(3, 4, 0.9),
        gridworld(2, 3, 0.5, goal=(0, 1)),
        gridworld(1, 1, 0.9),
        cliff(3, 5, 0.75),
        cliff(2, 3, 0.5),
    ],
    ids=repr,
)
def test_deterministic_grids_cost_a_geometric_series(mdp):
    goal = int(np.flatnonzero(mdp.terminal)[0])
    g = Fraction(mdp.discount)
    expected = [-(1 - g ** steps_to(mdp, goal)[state]) / (1 - g) for state in range(mdp.n_states)]
    # From inside the cliff a step sideways falls again: those cells are never entered and cost what they cost.
    exact = Exact.of(mdp)
    entered = {int(t) for row in exact.successors for pair in row for t in pair}
    values = exact.optimal_values()
    assert [values[s] for s in entered] == [expected[s] for s in entered]


def test_cliff_is_the_book_s():
    mdp = cliff()
    assert mdp.grid == (4, 12)
    assert mdp.initial[36] == 1.0
    falls = mdp.rewards == -100.0
    assert (mdp.transitions[falls][:, 36] == 1.0).all()
    # From above the cliff by stepping down, from the start by stepping right, and between its own cells.
    assert falls[25:35, 2].all()
    assert falls[36, 1]
    assert falls[:36].sum() == 10


def test_gridworld_slips_to_both_sides():
    mdp = gridworld(3, 3, 0.9, slip=0.25, goal_reward=5.0)
    up = mdp.transitions[4, 0]  # from the centre: up, or right or left by accident
    assert [up[cell] for cell in (1, 5, 3, 7)] == [0.75, 0.125, 0.125, 0.0]
    assert mdp.rewards[5, 2] == -1.0 + 5.0 * 0.75
    assert mdp.terminal.tolist() == [False] * 8 + [True]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: chain(1), "n_states is 1: expected at least 2"),
        (lambda: gridworld(2, 2, goal=(2, 0)), r"goal \(2, 0\) is not a cell of a 2 x 2 grid"),
        (lambda: gridworld(2, 2, goal=(0, 2)), r"goal \(0, 2\) is not a cell of a 2 x 2 grid"),
        (lambda: gridworld(2, 2, goal=(-1, 0)), r"goal \(-1, 0\) is not a cell"),
        (lambda: gridworld(2, 2, goal=(0, -1)), r"goal \(0, -1\) is not a cell"),
        (lambda: gridworld(0, 2, goal=(0, 0)), r"a 0 x 2 grid: expected 0 <= row < 0"),
        (lambda: gridworld(2, 2, slip=1.5), "slip is 1.5"),
        (lambda: gridworld(2, 2, slip=-0.5), "slip is -0.5"),
        (lambda: cliff(1, 12), "1 x 12: expected at least 2 x 3"),
        (lambda: cliff(2, 2), "2 x 2: expected at least 2 x 3"),
    ],
)
def test_families_refuse_impossible_sizes(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("name", TOY_TEXT)
def test_gymnasium_tables_arrive_unchanged(name):
    mdp = from_gymnasium(name, 0.99)
    environment = importlib.import_module("gymnasium").make(name, disable_env_checker=True)
    table = environment.unwrapped.P
    absorbing = len(table)
    dense = mdp.to_dense().transitions
    assert mdp.n_states == absorbing + 1
    np.testing.assert_array_equal(mdp.initial, np.append(environment.unwrapped.initial_state_distrib, 0.0))
    for state, actions in table.items():
        assert mdp.available[state].tolist() == [action in actions for action in range(mdp.n_actions)]
        for action, outcomes in actions.items():
            expected: dict[int, float] = {}
            for probability, target, _, terminated in outcomes:
                end = absorbing if terminated else int(target)
                expected[end] = expected.get(end, 0.0) + probability
            successors = np.flatnonzero(dense[state, action])
            assert {int(t): dense[state, action, t] for t in successors} == {t: p for t, p in expected.items() if p > 0}
            mean = sum((Fraction(float(p)) * Fraction(float(r)) for p, _, r, _ in outcomes), Fraction(0))
            assert mdp.rewards[state, action] == float(mean)
    assert mdp.available[absorbing].sum() == 1
    assert mdp.terminal[absorbing]
    assert mdp.terminal.sum() == 1
    environment.close()


def test_gymnasium_grids_and_arguments():
    assert from_gymnasium("FrozenLake-v1", 0.9).grid == (4, 4)
    assert from_gymnasium("CliffWalking-v1", 0.9).grid == (4, 12)
    assert from_gymnasium("Taxi-v4", 0.9).grid is None
    assert from_gymnasium("Taxi-v4", 0.9).is_sparse
    still = from_gymnasium("FrozenLake-v1", 0.9, is_slippery=False, map_name="8x8")
    assert still.grid == (8, 8)
    np.testing.assert_array_equal(np.count_nonzero(still.transitions, axis=2), still.available)


@pytest.mark.parametrize(
    ("name", "arguments", "fragments"),
    [
        ("Taxi-v3", {}, ["'Taxi-v3' is not registered", "newest registered version is 'Taxi-v4'"]),
        ("Taxi", {}, ["newest registered version is 'Taxi-v4'"]),
        ("FrozenLak-v1", {}, ["Did you mean", "'FrozenLake-v1'"]),
        ("Taxi-v-v3", {}, ["'Taxi-v-v3' is not registered", "Did you mean", "'Taxi-v4'"]),
        ("Zzzzzz-v0", {}, ["not registered in Gymnasium", "Expected an id such as"]),
        ("Blackjack-v1", {}, ["Blackjack-v1 has no transition table", "toy-text"]),
        ("FrozenLake-v1", {"colour": 3}, ["FrozenLake-v1 cannot be made with colour=3"]),
        ("FrozenLake-v1", {"map_name": "5x5"}, ["cannot be made with map_name='5x5'"]),
    ],
)
def test_unknown_environments_and_arguments_are_named(name, arguments, fragments):
    with pytest.raises(ValueError, match=name) as caught:
        from_gymnasium(name, 0.9, **arguments)
    missing = [fragment for fragment in fragments if fragment not in str(caught.value)]
    assert not missing, f"the message lacks {missing}: {caught.value}"


def test_missing_gymnasium_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(ModuleNotFoundError, match=r'FrozenLake-v1 needs Gymnasium.*pip install "roer\[show\]"'):
        from_gymnasium("FrozenLake-v1", 0.9)
