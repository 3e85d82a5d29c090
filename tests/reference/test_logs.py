"""Empirical processes are what the counts say (MDP-03), and claim nothing that was not logged."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from same import difference
from strategies import Drawn, few, mdps

from reference import library
from reference.interop import from_steps, from_transitions
from reference.mdp import InvalidMDP
from reference.occupancy import occupancy_measure

Step = tuple[int, int, float, int, bool, bool]


def every_outcome(drawn: Drawn) -> list[Step]:
    """Sixteen steps of each pair, in the exact proportions of a dyadic process."""
    mdp = drawn.mdp
    steps = []
    for state, action in np.argwhere(mdp.available).tolist():
        for target, probability in enumerate(np.asarray(mdp.to_dense().transitions)[state, action].tolist()):
            steps += [(state, action, mdp.rewards[state, action].item(), target, False, False)] * int(16 * probability)
    return steps


@given(mdps(dyadic=True), st.randoms(use_true_random=False))
def test_a_log_in_exact_proportions_returns_the_process(row, drawn: Drawn, random):
    sent = drawn.mdp
    steps = every_outcome(drawn)
    random.shuffle(steps)
    logged = from_steps(
        steps, sent.discount, n_states=sent.n_states, n_actions=sent.n_actions, initial=sent.initial.tolist()
    )
    differs = difference(sent, logged.mdp, ignore=("grid",))
    row.exact("MDP-03", "process of an exact log", not differs, f"{differs} differ")
    np.testing.assert_array_equal(logged.counts, 16 * sent.available)
    np.testing.assert_array_equal(logged.policy, sent.available / sent.available.sum(axis=1, keepdims=True))
    np.testing.assert_array_equal(logged.law, sent.available / sent.available.sum())


steps = st.lists(
    st.tuples(
        st.integers(0, 3), st.integers(0, 2), st.floats(-1e6, 1e6), st.integers(0, 3), st.booleans(), st.booleans()
    ),
    min_size=1,
    max_size=40,
)


@given(steps)
def test_every_number_is_that_of_the_counts(row, log: list[Step]):
    logged = from_steps(log, 0.9, n_states=4, n_actions=3, close=True)
    mdp = logged.mdp
    ends = any(step[4] for step in log)
    assert mdp.n_states == 4 + ends
    dense = np.asarray(mdp.to_dense().transitions)
    for state in range(mdp.n_states):
        for action in range(3):
            own = [step for step in log if step[:2] == (state, action)]
            assert logged.counts[state, action] == len(own)
            if not own:
                continue
            targets = [4 if step[4] else step[3] for step in own]
            expected = [float(Fraction(targets.count(t), len(own))) for t in range(mdp.n_states)]
            row.exact("MDP-03", "frequencies", dense[state, action].tolist() == expected, f"{dense[state, action]}")
            total = sum((Fraction(step[2]) for step in own), Fraction(0))
            mean = float(float(total) / len(own))  # the sum rounded once, the quotient once
            row.exact(
                "MDP-03", "mean reward", mdp.rewards[state, action] == mean, f"{mdp.rewards[state, action]}, {mean}"
            )
    idle = np.flatnonzero(logged.counts.sum(axis=1) == 0)
    assert mdp.terminal[idle].all()
    assert (mdp.available.sum(axis=1)[idle] == 1).all()
    tried = np.setdiff1d(np.arange(mdp.n_states), idle)
    np.testing.assert_array_equal(mdp.available[tried], logged.counts[tried] > 0)
    starts = [step[0] for step, before in zip(log, [None, *log], strict=False) if before is None or any(before[4:])]
    np.testing.assert_array_equal(
        mdp.initial, [float(Fraction(starts.count(s), len(starts))) for s in range(mdp.n_states)]
    )


@few
@given(steps)
def test_arrays_and_steps_are_the_same_log(log: list[Step]):
    s, a, r, t, end, cut = (np.array(column) for column in zip(*log, strict=True))
    one = from_transitions(s, a, r, t, end, 0.9, truncated=cut, close=True)
    two = from_steps(iter(log), 0.9, close=True)
    assert not difference(one.mdp, two.mdp)
    np.testing.assert_array_equal(one.counts, two.counts)


def test_the_end_of_an_episode_is_absorbing():
    """A chain walked to its end: the last state is never acted in, and its value is none of the data's business."""
    log = [(0, 1, 0.0, 1, False, False), (1, 1, 1.0, 2, True, False), (1, 0, 0.0, 0, False, True)]
    logged = from_steps(log, 0.9)
    mdp = logged.mdp
    assert mdp.n_states == 4
    assert mdp.terminal.tolist() == [False, False, True, True]
    assert mdp.transitions[1, 1].tolist() == [0.0, 0.0, 0.0, 1.0]
    assert mdp.available.tolist() == [[False, True], [True, True], [True, False], [True, False]]
    assert mdp.initial.tolist() == [0.5, 0.5, 0.0, 0.0]
    # The law of the data has none of the absorbing state; the occupancy of the behavior policy has.
    assert logged.law[3].sum() == 0.0
    assert occupancy_measure(mdp, logged.policy)[3, 0] > 0.0
    with pytest.raises(ValueError, match="read-only"):
        logged.counts[0, 0] = 7


def test_a_state_that_is_entered_alive_needs_data():
    log = [(0, 0, 1.0, 1, False, True), (0, 0, 1.0, 0, False, False)]
    with pytest.raises(InvalidMDP) as caught:
        from_steps(log, 0.9)
    for fragment in ("state 1 is entered (transition 0, from state 0)", "expected data", "close=True", "1 without"):
        assert fragment in str(caught.value)
    closed = from_steps(log, 0.9, close=True).mdp
    assert closed.terminal.tolist() == [False, True]
    never = from_steps(log[1:], 0.9, n_states=3).mdp  # nobody goes there, so nothing depends on it
    assert never.terminal.tolist() == [False, True, True]


def test_a_large_log_is_kept_sparse():
    n = 1500
    around = np.arange(n)
    mdp = from_transitions(around, np.zeros(n, int), np.ones(n), (around + 1) % n, np.zeros(n, bool), 0.9).mdp
    assert mdp.is_sparse
    assert mdp.initial.tolist() == library.chain(n).initial.tolist()


ARRAYS = {"states": [0, 0], "actions": [0, 1], "rewards": [1.0, 2.0], "next_states": [0, 0], "terminated": [0, 0]}
REFUSED = {
    "no transition": ({name: [] for name in ARRAYS}, "no transition is given"),
    "actions short": ({"actions": [0]}, "actions has 1 entries and states 2"),
    "rewards short": ({"rewards": [1.0]}, "rewards has 1 entries"),
    "flags short": ({"terminated": [0]}, "terminated has 1 entries"),
    "states as floats": ({"states": [0.0, 0.5]}, "states is float64 of shape (2,): expected whole numbers"),
    "a table of states": ({"states": [[0, 0]]}, "shape (1, 2): expected whole numbers"),
    "actions as floats": ({"actions": [0.0, 0.5]}, "actions is float64 of shape (2,): expected whole numbers"),
    "next states as text": ({"next_states": ["a", "b"]}, "next_states is <U1 of shape (2,): expected whole numbers"),
    "negative state": ({"next_states": [0, -2]}, "next_states[1] is -2: expected a number of at least 0"),
    "NaN reward": ({"rewards": [1.0, np.nan]}, "rewards[1] is nan: expected a finite number"),
    "rewards as text": ({"rewards": ["a", "b"]}, "rewards cannot be read as float64"),
    "rewards in a table": ({"rewards": [[1.0, 2.0]]}, "rewards has shape (1, 2): expected (n,)"),
    "flags as numbers": ({"terminated": [0, 2]}, "terminated is int64 of shape (2,): expected booleans"),
    "too few states": ({"n_states": 0}, "n_states is 0: expected at least 1, because 0 occurs"),
    "too few actions": ({"n_actions": 1}, "n_actions is 1: expected at least 2"),
    "discount": ({"discount": 1.0}, "discount is 1.0"),
    "initial": ({"initial": [0.5]}, "initial sums to 0.5"),
    "initial of another size": ({"initial": [0.5, 0.5]}, "initial has shape (2,): expected (S,) = (1,)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_logs_that_are_none_are_refused(case):
    changes, message = REFUSED[case]
    with pytest.raises(InvalidMDP) as caught:
        from_transitions(**(ARRAYS | {"discount": 0.9} | changes))
    assert message in str(caught.value)


@pytest.mark.parametrize("log", [[(0, 0, 1.0, 0, False)], [3], []])
def test_steps_that_are_none_are_refused(log):
    with pytest.raises(InvalidMDP, match=r"step 0 is .* expected \(state, action|no step is given"):
        from_steps(log, 0.9)
