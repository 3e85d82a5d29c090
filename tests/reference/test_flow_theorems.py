"""What the flow problem is to its neighbours: relaxed, sampled, log-barrier, limits (OCC-02, OCC-05, OCC-07 to -09)."""

import math

import numpy as np
import pytest
import tolerances_flow
from hypothesis import given
from hypothesis import strategies as st
from strategies import few, vectors

from reference.divergence import KL, JensenShannon, ReverseKL
from reference.library import chain, garnet
from reference.mdp import MDP
from reference.occupancy import occupancy_bound, occupancy_measure
from reference.planning import PolicyIteration, solve
from reference.regularized import regularized_occupancy
from reference.sampled import sampled_occupancy
from reference.weights import optimal_weights

GENERATORS = (KL(), JensenShannon())
BY_NAME = pytest.mark.parametrize("divergence", GENERATORS, ids=lambda d: d.name)


def random_law(mdp: MDP, seed: int) -> np.ndarray:
    law = np.random.default_rng(seed).random(mdp.rewards.shape) * mdp.available
    return law / law.sum()


@BY_NAME
def test_ratio_is_a_function_of_the_td_error(row, divergence):
    """w = (f*)'(delta_V / beta), of mean one without a multiplier, which V contains (OCC-01, OCC-02)."""
    mdp, beta = garnet(30, 3, 4, seed=2, discount=0.9), 0.3
    law = random_law(mdp, 2)
    found = regularized_occupancy(mdp, law, beta, divergence)
    implied = np.asarray(divergence.ratio(found.td_error / beta))
    bound, reason = tolerances_flow.strong_concavity(found.gap, beta, divergence, law, found.ratio, implied)
    row("OCC-01", "ratio of the TD error", np.abs(found.ratio - implied), bound, reason)
    row("OCC-02", "mean of the ratio", abs(math.fsum((law * found.ratio).ravel()) - 1.0), *tolerances_flow.mass(mdp))


@few
@given(values=vectors(8), seed=st.integers(0, 20))
def test_relaxed_problem_is_an_upper_bound(row, values, seed):
    """relaxed(delta_U) + (1 - gamma) mu0 . U >= the flow optimum for every U, with equality at U = V* (OCC-05)."""
    mdp, beta = garnet(8, 3, 3, seed=seed, discount=0.9), 0.5
    law = random_law(mdp, seed)
    for divergence in GENERATORS:
        found = regularized_occupancy(mdp, law, beta, divergence)
        for potential, sharp in ((values, False), (found.values, True)):
            delta = mdp.rewards + mdp.discount * mdp.expected_next(potential) - potential[:, None]
            relaxed = optimal_weights(delta, law, beta, divergence)
            start = (1.0 - mdp.discount) * float(mdp.initial @ potential)
            excess = start + relaxed.value - found.dual
            bound, reason = tolerances_flow.lagrangian(mdp, potential, relaxed.gap + found.gap, beta)
            row("OCC-05", "relaxed below flow", max(-excess, 0.0), bound, reason)
            if sharp:
                row("OCC-05", "relaxed at V* equals flow", abs(excess), bound, reason)
            elif np.ptp(values) > 1.0:
                row.exact("OCC-05", "strict for other U", excess > 0.0, f"excess {excess}")


@BY_NAME
def test_sampled_td_errors_are_optimistic(row, divergence):
    """The dual with single-sample delta is another problem, above; its d(s, a, s') solves its own primal (OCC-07)."""
    mdp, beta = garnet(12, 2, 3, seed=3, discount=0.9), 0.3
    law = random_law(mdp, 3)
    plain, lucky = (solver(mdp, law, beta, divergence) for solver in (regularized_occupancy, sampled_occupancy))
    row("OCC-07", "sampled below exact", max(plain.primal - lucky.dual, 0.0), plain.gap, "certified gap")
    bias = lucky.primal - plain.dual
    row.exact("OCC-07", "bias", bias > plain.gap + lucky.problem.gap, f"no bias beyond rounding: {bias}")
    # the primal, written out: reward less divergence from D P, for a d(s, a, s') that satisfies the flow
    objective = math.fsum(lucky.occupancy * mdp.rewards[lucky.state, lucky.action])
    objective -= beta * math.fsum(lucky.law * divergence.f(lucky.ratio))
    bound, reason = tolerances_flow.gap_floor(mdp, lucky.problem)
    row("OCC-07", "primal over (s, a, s')", abs(objective - lucky.dual), bound, reason)
    outflow = np.bincount(lucky.state, lucky.occupancy, mdp.n_states)
    inflow = np.bincount(lucky.next_state, lucky.occupancy, mdp.n_states)
    lacks = np.abs((1.0 - mdp.discount) * mdp.initial + mdp.discount * inflow - outflow).sum()
    row("OCC-07", "flow of (s, a, s')", lacks, *tolerances_flow.flow_floor(mdp))


def test_sampled_dynamics_are_tilted_by_the_value(row):
    """Under KL, d(s' | s, a) is proportional to P(s' | s, a) exp(gamma V(s') / beta) (OCC-07)."""
    mdp, beta = garnet(12, 2, 3, seed=4, discount=0.9), 0.3
    lucky = sampled_occupancy(mdp, random_law(mdp, 4), beta)
    pair = lucky.state * mdp.n_actions + lucky.action
    dynamics = lucky.occupancy / np.bincount(pair, lucky.occupancy)[pair]
    exponent = mdp.discount * lucky.values[lucky.next_state] / beta
    tilted = mdp.transitions[lucky.state, lucky.action, lucky.next_state] * np.exp(exponent - exponent.max())
    tilted = tilted / np.bincount(pair, tilted)[pair]
    errors, _ = tolerances_flow.strong_concavity(
        lucky.problem.gap, beta, KL(), lucky.law, lucky.ratio, np.exp(lucky.td_error / beta)
    )
    bound, reason = tolerances_flow.tilt(mdp, float(np.ptp(exponent)), float(np.max(errors / lucky.ratio)))
    row("OCC-07", "optimistic dynamics", np.abs(dynamics / tilted - 1.0), bound, reason)


def test_sampled_problem_skips_what_has_no_data(row):
    """Pairs without data, states without data and stored zeros are no transitions; dense and CSR agree (OCC-07)."""
    mdp = chain(5)
    law = np.array([[0.0, 1.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]) / 5.0
    mdp = MDP(mdp.transitions, mdp.rewards, mdp.discount, np.eye(5)[0], mdp.available)
    dense, csr = (sampled_occupancy(model, law, 0.5) for model in (mdp, mdp.to_sparse()))
    assert (dense.law > 0.0).all()
    np.testing.assert_array_equal(dense.state * 2 + dense.action, np.flatnonzero(law))
    assert dense.values[4] == -np.inf
    bound, reason = tolerances_flow.jensen(dense.problem, csr.problem)
    row("OCC-07", "sampled: dense and CSR", abs(dense.dual - csr.dual), bound, reason)
    assert "5 transitions with data" in repr(csr)


def test_sampled_and_exact_agree_without_noise(row):
    """Deterministic transitions: one next state for each pair, so both problems are one (OCC-07)."""
    mdp = chain(6)
    law = random_law(mdp, 0)
    for divergence in GENERATORS:
        plain, lucky = (solver(mdp, law, 0.5, divergence) for solver in (regularized_occupancy, sampled_occupancy))
        bound, reason = tolerances_flow.jensen(plain, lucky.problem)
        row("OCC-07", "deterministic: sampled = exact", abs(plain.dual - lucky.dual), bound, reason)


@pytest.mark.parametrize("beta", [1.0, 0.1, 0.01])
def test_reverse_kl_is_the_log_barrier(row, beta):
    """With f = -log w: (1 - gamma) mu0 . V - sum d r = beta, V strictly LP-feasible, the LP optimum between (OCC-08).

    Normalised f = -log w + w - 1 shifts V by -beta/(1 - gamma) (FD-07): its V and d have equal returns, and adding
    beta/(1 - gamma) gives the barrier's V.
    """
    mdp = garnet(10, 3, 3, seed=5, discount=0.9)
    law = random_law(mdp, 5)
    found = regularized_occupancy(mdp, law, beta, ReverseKL())
    reward = math.fsum((found.occupancy * mdp.rewards).ravel())
    start = (1.0 - mdp.discount) * float(mdp.initial @ found.values)
    # at the optimum sum d delta = beta (sum d - 1) exactly
    bound, reason = tolerances_flow.barrier(mdp, found)
    row("OCC-08", "normalised: equal returns", abs(start - reward), bound, reason)
    barrier = found.values + beta / (1.0 - mdp.discount)
    row(
        "OCC-08",
        "barrier: gap is beta",
        abs((1.0 - mdp.discount) * float(mdp.initial @ barrier) - reward - beta),
        bound,
        reason,
    )
    slack = barrier[:, None] - mdp.rewards - mdp.discount * mdp.expected_next(barrier)
    row.exact("OCC-08", "strictly dual feasible", bool((slack > 0.0).all()), f"slack {slack.min()}")
    best = solve(mdp, PolicyIteration())
    top = (1.0 - mdp.discount) * float(mdp.initial @ best.values)
    slop = bound + best.error_bound
    row("OCC-08", "d and V bracket the optimum", np.maximum([reward - top, top - reward - beta], 0.0), slop, reason)


@BY_NAME
def test_limits_in_the_temperature(row, divergence):
    """J_LP - beta D_f(d_LP) <= value(beta) <= J_LP, reward falls with beta, D stays if it is an occupancy (OCC-09)."""
    mdp = garnet(10, 3, 3, seed=6, discount=0.9)
    law = random_law(mdp, 6)
    best = solve(mdp, PolicyIteration())
    top = (1.0 - mdp.discount) * float(mdp.initial @ best.values)
    greedy = occupancy_measure(mdp, best.policy)
    price = float(np.sum(law * divergence.f(greedy / law)))
    previous, rewards = -np.inf, []
    for beta in (1e2, 1.0, 1e-1, 1e-2, 1e-3):
        found = regularized_occupancy(mdp, law, beta, divergence)
        bound, reason = tolerances_flow.limits(mdp, found, best.error_bound, price)
        row("OCC-09", "value above J_LP", max(found.dual - top, 0.0), bound, reason)
        row("OCC-09", "value below J_LP - beta D_f", max(top - beta * price - found.primal, 0.0), bound, reason)
        row("OCC-09", "value falls with beta", max(previous - found.dual, 0.0), bound, reason)
        previous = found.primal
        rewards.append(math.fsum((found.occupancy * mdp.rewards).ravel()))
    assert (np.diff(rewards) > 0.0).all(), rewards
    own = occupancy_measure(mdp, np.full((10, 3), 1.0 / 3.0))
    own = own / own.sum()
    for beta in (1e2, 1e4):
        found = regularized_occupancy(mdp, own, beta, divergence)
        distance = float(np.sum(own * divergence.f(found.ratio)))
        lost = 2.0 * mdp.largest_reward * occupancy_bound(mdp, np.full((10, 3), 1.0 / 3.0), own)
        gain = (top - math.fsum((own * mdp.rewards).ravel()) + lost) / beta
        bound, reason = tolerances_flow.limits(mdp, found, best.error_bound, price)
        row("OCC-09", "D_f <= (J_LP - J_D) / beta", distance, gain + bound / beta, "D itself is feasible; " + reason)
