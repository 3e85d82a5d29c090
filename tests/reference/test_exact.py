"""Exact optima, policy values and occupancies against plain elimination; what `certify` proves about a solution."""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
import tolerances
import tolerances_exact
from exact import Exact, distance, fractions
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import Drawn, few, mdps, policies, vectors

from reference.certificate import CertificateKind, certify
from reference.exact import (
    FLOAT_STATES,
    evaluate_policy_exactly,
    occupancy_measure_exactly,
    solve_exactly,
)
from reference.library import chain, from_gymnasium, garnet, named
from reference.mdp import MDP
from reference.planning import PolicyIteration, ValueIteration, solve
from reference.rational import RationalMDP, intended
from reference.solution import Solution, Status

NAMED = sorted(named())


def optimal_actions(exact: Exact, values: list[Fraction], shape: tuple[int, int]) -> np.ndarray:
    """Every action that attains the optimum."""
    optimal = np.zeros(shape, dtype=np.bool_)
    for s in exact.states:
        for a in exact.actions[s]:
            optimal[s, a] = exact.q(values, s, a) == values[s]
    return optimal


@given(mdps(), st.data())
def test_the_optimum_and_every_tie_are_exact(row, drawn: Drawn, data):
    """RL-05, from the policy of the floats and from any other."""
    values = drawn.exact.optimal_values()
    start = data.draw(st.none() | policies(drawn.mdp))
    for mdp in (drawn.mdp, drawn.sparse):
        found = solve_exactly(mdp, start)
        row.exact("RL-05", "exact optimal values", list(found.values) == values, f"{found.values}, expected {values}")
        optimal = optimal_actions(drawn.exact, values, mdp.rewards.shape)
        message = f"{found.optimal.tolist()}, expected {optimal.tolist()}"
        row.exact("RL-05", "exact optimal actions", np.array_equal(found.optimal, optimal), message)
        achieved = drawn.exact.policy_values(fractions(found.policy))
        row.exact("RL-05", "values of the exact policy", achieved == values, f"{achieved}, expected {values}")
        np.testing.assert_array_equal(found.nearest, [float(value) for value in values])


@given(mdps(twins=False), st.sampled_from([-1, 1]), st.data())
def test_ties_and_near_ties_are_told_apart(row, drawn: Drawn, direction, data):
    """Two equal actions, of which one then pays a single unit in the last place more or less."""
    mdp = drawn.mdp
    assume(mdp.n_actions > 1 and mdp.available[0, :2].all())
    transitions, rewards = np.array(mdp.transitions), np.array(mdp.rewards)
    transitions[0, 1], rewards[0, 1] = transitions[0, 0], rewards[0, 0]
    for steps in (0, 1):
        rewards[0, 1] = np.nextafter(rewards[0, 0], direction * np.inf) if steps else rewards[0, 0]
        near = MDP(transitions, rewards, mdp.discount, mdp.initial, mdp.available)
        found, exact = solve_exactly(near), Exact.of(near)
        optimal = optimal_actions(exact, exact.optimal_values(), rewards.shape)
        assert optimal[0, 0] == optimal[0, 1] or steps
        message = f"{found.optimal.tolist()}, expected {optimal.tolist()}"
        row.exact("RL-05", "ties and near ties", np.array_equal(found.optimal, optimal), message)


@pytest.mark.parametrize("name", NAMED)
def test_named_cases(row, name):
    case = named()[name]
    found = solve_exactly(case.mdp)
    row.exact("RL-05", "exact optimal values of named cases", found.values == case.exact, f"{name}: {found.values}")


@few
@given(mdps(), st.data())
def test_policy_values_and_occupancies_are_exact(row, drawn: Drawn, data):
    policy = data.draw(policies(drawn.mdp))
    values, occupancy = drawn.exact.policy_values(fractions(policy)), drawn.exact.occupancy(fractions(policy))
    for mdp in (drawn.mdp, drawn.sparse):
        found = evaluate_policy_exactly(mdp, policy)
        row.exact("RL-03", "exact policy values", list(found.values) == values, f"{found.values}, expected {values}")
        seen = [list(line) for line in occupancy_measure_exactly(mdp, policy)]
        row.exact("OCC-01", "exact occupancy", seen == occupancy, f"{seen}, expected {occupancy}")
    assert found.error(found.nearest) == max(
        abs(Fraction(float(x)) - y) for x, y in zip(found.nearest, values, strict=True)
    )


def test_intended_rationals_and_their_floats_are_two_processes(row):
    """FrozenLake with thirds, and with the floats nearest to thirds: which actions tie depends on it."""
    floats = from_gymnasium("FrozenLake8x8-v1", 0.99)
    meant = intended(floats)
    of_floats, of_thirds = solve_exactly(floats), solve_exactly(meant)
    assert of_thirds.denominator < of_floats.denominator
    assert of_thirds.optimal.sum() > of_floats.optimal.sum()
    gap = float(max(abs(x - y) for x, y in zip(of_floats.values, of_thirds.values, strict=True)))
    row("RL-05", "thirds and their floats", gap, *tolerances_exact.data_rounding(floats, of_floats.nearest))
    assert gap > 0.0


def test_a_policy_that_floats_cannot_rank_is_improved_exactly():
    """One action pays 2^-60 more on a common reward of one: below the rounding of every backup."""
    reward = RationalMDP([[[1], [1]]], [[1, 1 + Fraction(1, 2**60)]], Fraction(1, 2))
    found = solve_exactly(reward)
    assert found.values == (2 + Fraction(1, 2**59),)
    assert found.optimal.tolist() == [[False, True]]
    assert found.solves == 2
    assert repr(found).startswith("ExactSolution(1 states, 2 actions, 0 with ties, denominator of ")


@given(mdps(), st.sampled_from([ValueIteration(1e-2), PolicyIteration(), ValueIteration(1e-300, 3)]))
def test_certificates_of_solutions_hold(row, drawn: Drawn, solver):
    values = drawn.exact.optimal_values()
    optimal = optimal_actions(drawn.exact, values, drawn.mdp.rewards.shape)
    for mdp in (drawn.mdp, drawn.sparse):
        found = solver.solve(mdp)
        seen, exact = certify(mdp, found), certify(mdp, found, exact=True)
        error = distance(found.values, values)
        row("RL-34", "certified solution", error, *tolerances.certified(seen.error_bound))
        assert exact.exact is not None
        row("RL-34", "exact error of a solution", abs(error - exact.error_bound), *tolerances_exact.one_rounding(error))
        for one in (seen, exact):
            for low, value, high in zip(one.lower, values, one.upper, strict=True):
                inside = Fraction(float(low)) <= value <= Fraction(float(high))
                row.exact("RL-34", "interval of every state", inside, f"[{low!r}, {high!r}] without {float(value)!r}")
        row.exact("RL-34", "optimal actions are candidates", bool((optimal <= seen.candidates).all()), f"{seen}")
        row.exact("RL-34", "exact candidates", np.array_equal(exact.candidates, optimal), f"{exact}")
        np.testing.assert_array_equal(exact.decided, optimal.sum(axis=1) == 1)


@few
@given(mdps(), st.data(), st.floats(1e-12, 1e3))
def test_any_values_are_certified_whatever_they_claim(row, drawn: Drawn, data, size):
    mdp, exact = drawn.mdp, drawn.exact.optimal_values()
    values = np.array([float(v) for v in exact]) + size * data.draw(vectors(mdp.n_states))
    claim = Solution(values, np.zeros_like(mdp.rewards), data.draw(policies(mdp)), 0.0, Status.CONVERGED, 0)
    seen = certify(mdp, claim)
    row("RL-34", "certified solution", distance(values, exact), *tolerances.certified(seen.error_bound))
    # A part that does not belong to the values must not mislead: their distance is part of the bound.
    apart = dataclasses.replace(claim, offset=1.0, deviation=values)
    bound = certify(mdp, apart).error_bound
    row("RL-34", "certified solution", distance(values, exact), *tolerances.certified(bound))
    assert certify(mdp, claim, exact=True).error_bound >= 0.0


def test_patient_solutions_keep_their_digits(row):
    """At discounts near one the parts of a solution are certified far below the rounding of its values."""
    for seed in range(5):
        mdp = garnet(30, 3, 5, seed, 0.99999)
        found = solve(mdp)
        assert found.deviation is not None
        bare = dataclasses.replace(found, deviation=None)
        row(
            "RL-34", "certificate of the parts", certify(mdp, found).error_bound, *tolerances.two_sum(found.error_bound)
        )
        plain = certify(mdp, bare).error_bound
        row("RL-34", "certificate of rounded values", plain, *tolerances_exact.rounded_values(mdp, found))
        assert certify(mdp, found).decided.all()


def test_gaps_wider_than_the_bound_are_decided():
    """Puterman's example: one action is better by far in each state; with a bound wider than the gap, nothing is."""
    mdp = named()["puterman"].mdp
    found = solve(mdp)
    assert certify(mdp, found).decided.all()
    loose = dataclasses.replace(found, values=np.array([-1e3, 1e3]), deviation=None)
    seen = certify(mdp, loose)
    np.testing.assert_array_equal(seen.candidates, mdp.available)
    assert str(seen.kind) == CertificateKind.RIGOROUS_FLOAT.value
    assert repr(certify(mdp, found, exact=True)).startswith("Certificate(exact, error <= ")
    broken = dataclasses.replace(found, values=np.array([np.nan, 0.0]), deviation=None)
    assert certify(mdp, broken).error_bound == np.inf


def test_sizes_beyond_the_practical_are_refused_with_the_remedy():
    large = chain(FLOAT_STATES + 1)
    message = rf"exact solve of {FLOAT_STATES + 1} states with float64 data: expected at most {FLOAT_STATES}.*limit="
    with pytest.raises(ValueError, match=message):
        solve_exactly(large)
    with pytest.raises(ValueError, match="expected at most 2"):
        evaluate_policy_exactly(chain(3), solve(chain(3)).policy, limit=2)
    with pytest.raises(ValueError, match="expected at most 2"):
        occupancy_measure_exactly(chain(3), solve(chain(3)).policy, limit=2)


def test_what_does_not_belong_together_is_refused():
    found = solve(chain(3))
    with pytest.raises(ValueError, match=r"values of shape \(3,\).*expected \(4,\) and \(4, 2\)"):
        certify(chain(4), found)
    with pytest.raises(ValueError, match=r"rational data: expected exact=True"):
        certify(intended(chain(3)), found)
    assert certify(intended(chain(3)), found, exact=True).exact is not None
