"""Policy evaluation against exact rationals, and with an entropy bonus against 50 digits."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import tolerances
from exact import Exact, distance, fractions
from hypothesis import given
from hypothesis import strategies as st
from strategies import Drawn, few, mdps, policies, vectors

from reference import certify
from reference.bellman import bellman_policy, policy_chain, policy_residual, policy_rewards
from reference.evaluation import evaluate_policy
from reference.library import garnet
from reference.mdp import MDP
from reference.solution import Status


def uniform(mdp: MDP) -> np.ndarray:
    return mdp.available / mdp.available.sum(axis=1, keepdims=True)


@given(mdps(), st.data())
def test_values_solve_the_bellman_system(row, drawn: Drawn, data):
    policy = data.draw(policies(drawn.mdp))
    exact = drawn.exact.policy_values(fractions(policy))
    for mdp in (drawn.mdp, drawn.sparse):
        found = evaluate_policy(mdp, policy)
        assert found.status is Status.DIRECT
        assert found.converged
        row("RL-03", "values of a policy", distance(found.values, exact), *tolerances.certified(found.error_bound))
        allowed, reason = tolerances.policy_backup(mdp, found.values)
        allowed += (1.0 + mdp.discount * (1.0 + mdp.largest_defect)) * found.error_bound
        residual = np.abs(policy_residual(mdp, policy, found.values)).max()
        row("RL-02", "residual of the Bellman equation", residual, allowed, f"(1 + gamma) |v - v_pi| and {reason}")


@given(mdps(max_states=3), st.data(), st.sampled_from([1e-3, 0.5, 20.0]))
def test_soft_values_of_a_policy(row, drawn: Drawn, data, alpha):
    policy = data.draw(policies(drawn.mdp))
    exact = drawn.exact.soft_policy_values(fractions(policy), alpha)
    for mdp in (drawn.mdp, drawn.sparse):
        found = evaluate_policy(mdp, policy, alpha)
        row(
            "SAC-03", "soft values of a policy", distance(found.values, exact), *tolerances.certified(found.error_bound)
        )
        allowed, reason = tolerances.policy_backup(mdp, found.values, alpha)
        allowed += (1.0 + mdp.discount * (1.0 + mdp.largest_defect)) * found.error_bound
        residual = np.abs(policy_residual(mdp, policy, found.values, alpha)).max()
        row("SAC-03", "residual of the soft equation", residual, allowed, f"(1 + gamma) |v - v_pi| and {reason}")
    still = drawn.mdp.with_discount(0.0)
    rewards = Exact.of(still).soft_policy_values(fractions(policy), alpha)
    bound, reason = tolerances.policy_backup(still, np.zeros(still.n_states), alpha)
    row("SAC-03", "rewards with entropy", distance(policy_rewards(still, policy, alpha), rewards), bound, reason)


@given(mdps(), st.data(), st.floats(1e-12, 1.0))
def test_certificates_enclose_any_values(row, drawn: Drawn, data, size):
    mdp, policy = drawn.mdp, data.draw(policies(drawn.mdp))
    exact = drawn.exact.policy_values(fractions(policy))
    values = np.array([float(v) for v in exact]) + size * data.draw(vectors(mdp.n_states))
    bounds = certify.policy_bounds(mdp, policy, values)
    errors = [true - Fraction(float(value)) for true, value in zip(exact, values, strict=True)]
    row.exact("RL-04", "lower bound", bounds.lower <= min(errors), f"{bounds.lower} above {float(min(errors))}")
    row.exact("RL-04", "upper bound", bounds.upper >= max(errors), f"{bounds.upper} below {float(max(errors))}")


@few
@given(mdps(), st.data(), st.integers(1, 6))
def test_iterative_evaluation_converges_at_rate_gamma(row, drawn: Drawn, data, steps):
    mdp, policy = drawn.mdp, data.draw(policies(drawn.mdp))
    start = data.draw(vectors(mdp.n_states))
    exact = np.array([float(v) for v in drawn.exact.policy_values(fractions(policy))])
    values, rounding = start, 0.0
    for _ in range(steps):
        rounding = rounding * mdp.discount + tolerances.policy_backup(mdp, values)[0]
        values = bellman_policy(mdp, policy, values)
    bound, reason = tolerances.power(mdp, steps, float(np.abs(start - exact).max()), rounding, exact)
    row("RL-04", "iterative evaluation", np.abs(values - exact).max(), bound, reason)


@few
@given(mdps(dyadic=True), st.data())
def test_inverse_has_row_sums_of_the_horizon(row, drawn: Drawn, data):
    """RL-03: with rewards 1 and rows that sum to one exactly, every value is 1/(1 - gamma)."""
    mdp = drawn.mdp
    ones = MDP(mdp.transitions, np.ones_like(mdp.rewards), mdp.discount, mdp.initial, mdp.available)
    chosen = np.zeros_like(mdp.rewards)
    for state in range(mdp.n_states):
        chosen[state, data.draw(st.sampled_from(np.flatnonzero(mdp.available[state]).tolist()))] = 1.0
    found = evaluate_policy(ones, chosen)
    horizon = [1 / (1 - Fraction(mdp.discount))] * mdp.n_states
    row("RL-03", "row sums of the inverse", distance(found.values, horizon), *tolerances.certified(found.error_bound))


@few
@given(mdps(), st.data())
def test_chain_and_rewards_of_a_policy(row, drawn: Drawn, data):
    mdp, policy = drawn.mdp, data.draw(policies(drawn.mdp))
    before = policy.copy()
    dense, csr = policy_chain(mdp, policy), policy_chain(drawn.sparse, policy).toarray()
    np.testing.assert_array_equal(policy, before)
    exact = [
        [(s == t) - entry for t, entry in enumerate(line)]
        for s, line in enumerate(drawn.exact.system(fractions(policy)))
    ]
    for name, seen in (("dense", dense), ("CSR", csr)):
        scaled = [[Fraction(mdp.discount) * entry for entry in line] for line in fractions(seen)]
        error = [[float(abs(x - y)) for x, y in zip(a, b, strict=True)] for a, b in zip(scaled, exact, strict=True)]
        row("RL-02", f"chain of a policy, {name}", error, *tolerances.mixture(mdp))
    rewards = drawn.exact.policy_rewards(fractions(policy))
    bound, reason = tolerances.mixture(mdp)
    row(
        "RL-02",
        "rewards of a policy",
        distance(policy_rewards(mdp, policy), rewards),
        bound * mdp.largest_reward,
        reason,
    )


@pytest.mark.parametrize("discount", [0.9, 0.999, 1.0 - 1e-6])
def test_bounds_stay_near_the_rounding_floor(row, discount):
    ratios = []
    for seed in range(20):
        mdp = garnet(8, 3, 3, seed, discount)
        found = evaluate_policy(mdp, uniform(mdp))
        exact = Exact.of(mdp).policy_values(fractions(uniform(mdp)))
        row(
            "RL-03",
            "values of the uniform policy",
            distance(found.values, exact),
            *tolerances.certified(found.error_bound),
        )
        ratios.append(found.error_bound / tolerances.rounding_floor(mdp, found.values)[0])
    row("RL-03", "median bound over the rounding floor", np.median(ratios), *tolerances.tightness())


def test_entropy_pays_for_choice_alone(row):
    """SAC-07's example: uniform over two actions, no reward: v = +10 log 2 at gamma = 0.9, alpha = 1."""
    mdp = MDP(np.ones((1, 2, 1)), np.zeros((1, 2)), 0.9)
    found = evaluate_policy(mdp, np.array([[0.5, 0.5]]), 1.0)
    expected = Decimal(2).ln() / (1 - Decimal(mdp.discount))
    row(
        "SAC-03",
        "entropy of two equal actions",
        distance(found.values, [expected]),
        *tolerances.certified(found.error_bound),
    )


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ([[1.0, 0.0], [0.4, 0.5], [1.0, 0.0]], r"state 1 sums to 0\.9: expected 1 up to rounding"),
        ([[1.0, 0.0], [1.5, -0.5], [1.0, 0.0]], r"policy\[1, 1\] .* is -0\.5: expected a number >= 0"),
        ([[1.0, 0.0], [1.0, 0.0], [np.nan, 1.0]], r"policy\[2, 0\] .* is nan"),
        (
            [[0.5, 0.5], [1.0, 0.0], [0.5, 0.5]],
            r"policy\[2, 1\] .* is 0\.5: expected 0, because that action is not available",
        ),
        ([[0.5, 0.5], [1.0, 0.0]], r"policy has shape \(2, 2\): expected \(S, A\) = \(3, 2\)"),
    ],
)
def test_policies_that_are_none_are_refused(policy, message):
    available = np.array([[True, True], [True, True], [True, False]])
    mdp = MDP(np.full((3, 2, 3), 1.0 / 3.0), np.zeros((3, 2)), 0.9, available=available)
    for call in (evaluate_policy, policy_chain):
        with pytest.raises(ValueError, match=message):
            call(mdp, np.array(policy))


@pytest.mark.parametrize("alpha", [-1.0, np.nan, np.inf])
def test_negative_temperatures_are_refused(alpha):
    mdp = garnet(3, 2, 2, 0)
    with pytest.raises(ValueError, match=r"alpha is .*: expected a finite temperature >= 0"):
        evaluate_policy(mdp, uniform(mdp), alpha)
