"""Occupancies and stationary distributions against exact rationals."""

from fractions import Fraction

import numpy as np
import pytest
import tolerances
from exact import fractions, stationary
from hypothesis import given
from hypothesis import strategies as st
from strategies import Drawn, few, mdps, policies

from reference.evaluation import evaluate_policy
from reference.library import chain, garnet
from reference.mdp import MDP
from reference.occupancy import (
    flow_residual,
    occupancy_bound,
    occupancy_measure,
    policy_from_occupancy,
    recurrent_classes,
    stationary_distribution,
)


def distance_l1(given: np.ndarray, exact: list[list[Fraction]]) -> float:
    pairs = zip(given.ravel().tolist(), (entry for line in exact for entry in line), strict=True)
    return float(sum(abs(Fraction(x) - y) for x, y in pairs))


@given(mdps(), st.data())
def test_occupancies_solve_the_flow_equation(row, drawn: Drawn, data):
    policy = data.draw(policies(drawn.mdp))
    exact = drawn.exact.occupancy(fractions(policy))
    for mdp in (drawn.mdp, drawn.sparse):
        found = occupancy_measure(mdp, policy)
        bound = occupancy_bound(mdp, policy, found)
        row("OCC-01", "occupancy of a policy, L1", distance_l1(found, exact), bound, "L1 bound certified from the flow")
        row("OCC-02", "mass of an occupancy", abs(found.sum() - 1.0), *tolerances.total_mass(mdp, bound))
        allowed, reason = tolerances.flow(mdp, bound)
        row("OCC-01", "flow residual, L1", np.abs(flow_residual(mdp, found)).sum(), allowed, reason)
        assert (found >= 0.0).all()
        assert (found[~mdp.available] == 0.0).all()
        value = evaluate_policy(mdp, policy)
        gap = abs((1.0 - mdp.discount) * (mdp.initial @ value.values) - (found * mdp.rewards).sum())
        row("OCC-01", "return from the occupancy", gap, *tolerances.occupancy_identity(mdp, bound, value.error_bound))


@given(mdps(), st.data(), st.floats(1e-9, 1.0))
def test_bound_covers_any_candidate(row, drawn: Drawn, data, size):
    mdp, policy = drawn.mdp, data.draw(policies(drawn.mdp))
    exact = drawn.exact.occupancy(fractions(policy))
    noise = data.draw(st.lists(st.integers(-5, 5), min_size=policy.size, max_size=policy.size))
    candidate = np.array([[float(x) for x in line] for line in exact]) + size * np.reshape(noise, policy.shape)
    bound = occupancy_bound(mdp, policy, candidate)
    true = distance_l1(candidate, exact)
    row("OCC-01", "perturbed occupancy, L1", true, bound, "L1 bound certified from the flow")
    allowed, reason = tolerances.flow_width(mdp, candidate, true)
    row("OCC-01", "width of the L1 bound", bound, allowed, reason)


@few
@given(mdps(), st.data())
def test_policies_come_back_from_their_occupancies(row, drawn: Drawn, data):
    mdp, policy = drawn.mdp, data.draw(policies(drawn.mdp))
    found = occupancy_measure(mdp, policy)
    again = policy_from_occupancy(mdp, found)
    visited = found.sum(axis=1) >= np.finfo(np.float64).tiny / np.finfo(np.float64).eps
    error = np.abs(again - policy)[visited]
    if error.size:
        row("OCC-01", "policy from its occupancy", error, *tolerances.conditional(mdp))
    uniform = mdp.available / mdp.available.sum(axis=1, keepdims=True)
    unvisited = found.sum(axis=1) == 0.0
    np.testing.assert_array_equal(again[unvisited], uniform[unvisited])


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ((1, 0), -0.5, r"occupancy\[1, 0\] .* is -0\.5: expected a finite number >= 0"),
        ((2, 1), 0.5, r"occupancy\[2, 1\] .* is 0\.5: expected .* 0 where the action is not available"),
        ((0, 0), np.nan, r"occupancy\[0, 0\] .* is nan"),
    ],
)
def test_occupancies_that_are_none_are_refused(entry, value, message):
    mdp = chain(3)
    occupancy = np.zeros((3, 2))
    occupancy[entry] = value
    with pytest.raises(ValueError, match=message):
        policy_from_occupancy(mdp, occupancy)
    with pytest.raises(ValueError, match=r"shape \(2, 2\): expected \(S, A\) = \(3, 2\)"):
        policy_from_occupancy(mdp, np.zeros((2, 2)))


@few
@given(st.integers(1, 6), st.data())
def test_stationary_distributions_are_accurate_in_every_entry(row, size, data):
    """Nearly decoupled chains included: entries of very different size keep their relative accuracy."""
    exponents = data.draw(st.lists(st.integers(0, 40), min_size=size * size, max_size=size * size))
    weights = 2.0 ** -np.reshape(exponents, (size, 1, size)).astype(np.float64)
    mdp = MDP(weights / weights.sum(axis=2, keepdims=True), np.zeros((size, 1)), 0.9)
    exact = stationary(fractions(mdp.transitions[:, 0]))
    for model in (mdp, mdp.to_sparse()):
        found = stationary_distribution(model, np.ones((size, 1)))
        relative = [float(abs(Fraction(float(x)) / y - 1)) for x, y in zip(found, exact, strict=True)]
        row("OCC-03", "stationary distribution, relative", relative, *tolerances.elimination(size))


@few
@given(mdps(max_actions=2), st.data())
def test_recurrent_classes_are_closed_and_reached(drawn: Drawn, data):
    mdp, policy = drawn.mdp, data.draw(policies(drawn.mdp))
    classes = recurrent_classes(mdp, policy)
    reach = reachability(mdp, policy)
    for states in classes:  # closed, and communicating
        for state in states:
            assert set(np.flatnonzero(reach[state])) == set(states.tolist())
    members = {int(state) for states in classes for state in states}
    assert sum(map(len, classes)) == len(members)
    for state in range(mdp.n_states):  # every state ends in a class; a state outside cannot be returned to for ever
        assert members & set(np.flatnonzero(reach[state]).tolist())
    if len(classes) == 1:
        found = stationary_distribution(mdp, policy)
        assert set(np.flatnonzero(found).tolist()) == members
    else:
        with pytest.raises(ValueError, match=f"{len(classes)} recurrent classes .*expected one.*occupancy_measure"):
            stationary_distribution(mdp, policy)
    sparse_classes = recurrent_classes(drawn.sparse, policy)
    assert [states.tolist() for states in sparse_classes] == [states.tolist() for states in classes]


def reachability(mdp: MDP, policy: np.ndarray) -> np.ndarray:
    """Whether one state can be reached from another, by Warshall's algorithm."""
    steps = (policy[:, :, None] * mdp.transitions > 0.0).any(axis=1) | np.eye(mdp.n_states, dtype=np.bool_)
    for via in range(mdp.n_states):
        steps |= steps[:, [via]] & steps[[via], :]
    return steps


def test_larger_models_keep_their_certificate(row):
    for seed in range(3):
        mdp = garnet(80, 3, 4, seed, 0.99)
        policy = np.full((80, 3), 1.0) / 3.0
        dense, csr = occupancy_measure(mdp, policy), occupancy_measure(mdp.to_sparse(), policy)
        bound = occupancy_bound(mdp, policy, dense) + occupancy_bound(mdp.to_sparse(), policy, csr)
        row("OCC-01", "CSR against dense, L1", np.abs(dense - csr).sum(), bound, "both certified L1 bounds")
        allowed, reason = tolerances.occupancy_floor(mdp)
        row("OCC-01", "certified L1 bound", bound, 2.0 * allowed, reason)
