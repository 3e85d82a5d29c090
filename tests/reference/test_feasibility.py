"""Which flow problems have a solution: support, reachability, caps; and refusals that name what is missing."""

from fractions import Fraction

import numpy as np
import pytest
import tolerances
import tolerances_flow
from exact import Exact, fractions

from reference.divergence import KL, FermiDirac, JensenShannon, PearsonChi2, ReverseKL, TwoSidedFermiDirac
from reference.feasibility import InfeasibleFlow, support
from reference.flow_cap import smallest_cap
from reference.flow_floor import largest_floor
from reference.library import chain, garnet
from reference.mdp import MDP
from reference.occupancy import occupancy_measure
from reference.regularized import flow_bounds, regularized_occupancy
from reference.sampled import sampled_occupancy

GENERATORS = (KL(), JensenShannon(), PearsonChi2())
BY_NAME = pytest.mark.parametrize("divergence", GENERATORS, ids=lambda d: d.name)


def fork(initial=(1.0, 0.0, 0.0, 0.0)) -> MDP:
    """0 goes to 1 or 2, 1 and 2 repeat themselves with rewards 1 and 2, and 3, which nothing reaches, goes to 1."""
    successors = [[1, 2], [1, 1], [2, 2], [1, 1]]
    transitions = np.zeros((4, 2, 4))
    for state, line in enumerate(successors):
        transitions[state, [0, 1], line] = 1.0
    return MDP(transitions, [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [5.0, 5.0]], 0.5, list(initial))


@BY_NAME
def test_unreachable_states_are_harmless(row, divergence):
    """Nothing reaches state 3: its data cost f(0), V = +inf, w = 0; the rest is the problem without it (OCC-03)."""
    whole = fork()
    law = np.full((4, 2), 1.0 / 8.0)
    found = regularized_occupancy(whole, law, 0.5, divergence)
    np.testing.assert_array_equal(found.ratio[3], 0.0)
    assert found.values[3] == np.inf
    np.testing.assert_array_equal(found.td_error[3], -np.inf)
    np.testing.assert_array_equal(found.policy[3], 0.5)
    part = MDP(whole.transitions[:3, :, :3], whole.rewards[:3], 0.5, whole.initial[:3])
    value, price = float(np.sum(found.occupancy * whole.rewards)), np.sum(law * divergence.f(found.ratio))
    bound, reason = tolerances_flow.gap_floor(whole, found)
    row("OCC-03", "objective with unreachable data", abs(value - 0.5 * price - found.dual), bound, reason)
    policy = found.policy[:3]
    error = np.abs(occupancy_measure(part, policy) - found.occupancy[:3]).sum()
    row("OCC-03", "occupancy without the unreachable", error, *tolerances_flow.mass(whole))
    assert found.converged


@BY_NAME
def test_states_without_data_are_avoided(row, divergence):
    """No data in state 2: d avoids it, V = -inf there, and data on the pair that leads there cost f(0) (OCC-03)."""
    mdp = fork()
    law = np.array([[1.0, 1.0], [1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]) / 4.0
    found = regularized_occupancy(mdp, law, 0.5, divergence)
    assert found.values[2] == -np.inf
    assert found.td_error[0, 1] == -np.inf
    np.testing.assert_array_equal(found.ratio[0], [found.ratio[0, 0], 0.0])
    # the only occupancies: 1/2 at (0, 0), 1/2 in state 1, where symmetry halves it
    expected = np.array([[0.5, 0.0], [0.25, 0.25], [0.0, 0.0], [0.0, 0.0]])
    bound, reason = tolerances_flow.strong_concavity(
        found.gap, 0.5, divergence, np.full((2, 2), 0.25), found.ratio[:2], expected[:2] / 0.25
    )
    row("OCC-03", "occupancy by hand", np.abs(found.occupancy - expected)[:2], 0.25 * bound, reason)
    by_hand = 0.5 - 0.5 * float(np.sum(0.25 * divergence.f(expected[:2] / 0.25)))
    row("OCC-03", "value by hand", abs(found.dual - by_hand), *tolerances_flow.gap_floor(mdp, found))
    # a finite V, very low there, comes as close as it likes
    low = np.array([*found.values[:2], -1e4, 0.0])
    assert flow_bounds(mdp, law, 0.5, divergence, low, found.policy).dual >= found.primal
    assert flow_bounds(mdp, law, 0.5, divergence, low, np.full((4, 2), 0.5)).primal == -np.inf


def test_missing_pairs_are_harmless(row):
    """Data on one action only: the occupancy of that policy, whatever the generator (pitfall of SOLVERS section 4)."""
    mdp = garnet(6, 3, 3, seed=0, discount=0.9)
    policy = np.eye(3)[np.random.default_rng(0).integers(0, 3, 6)]
    law = policy / 6.0
    expected = occupancy_measure(mdp, policy)
    for divergence in GENERATORS:
        found = regularized_occupancy(mdp, law, 0.3, divergence)
        bound, reason = tolerances_flow.mass(mdp)
        row("OCC-03", "one action with data", np.abs(found.occupancy - expected), 2.0 * bound, reason)


def exact_cap(mdp: MDP, law: np.ndarray, values: np.ndarray, occupancy: np.ndarray) -> tuple[Fraction, Fraction]:
    """Both sides of C_min in rationals: the ratio of OCC-04 at V, and max d/D of the exact occupancy of a policy."""
    exact, v, d = Exact.of(mdp), fractions(values), fractions(law)
    gain = (1 - exact.discount) * sum(m * x for m, x in zip(exact.initial, v, strict=True))
    weight = Fraction(0)
    for s in exact.states:
        for a in exact.actions[s]:
            following = sum((p * v[t] for t, p in exact.successors[s][a].items()), start=Fraction(0))
            weight += d[s][a] * max(v[s] - exact.discount * following, Fraction(0))
    rows = fractions(occupancy)
    policy = [[x / sum(line) for x in line] for line in rows]
    visits = exact.occupancy(policy)
    worst = max(visits[s][a] / d[s][a] for s in exact.states for a in exact.actions[s] if d[s][a] > 0)
    return gain / weight, worst


@pytest.mark.parametrize("seed", range(4))
def test_smallest_cap_in_rationals(row, seed):
    """Both certificates of the linear program, exactly; C_min = 1 for the data of a policy (OCC-04)."""
    mdp = garnet(5, 3, 3, seed=seed, discount=0.9)
    law = np.random.default_rng(seed).dirichlet(np.ones(15)).reshape(5, 3)
    law /= law.sum()
    found = smallest_cap(mdp, law)
    below, above = exact_cap(mdp, law, found.values, found.occupancy)
    row.exact("OCC-04", "C_min: lower certificate", Fraction(found.lower) <= below, f"{found.lower} > {float(below)}")
    row.exact("OCC-04", "C_min: upper certificate", Fraction(found.upper) >= above, f"{found.upper} < {float(above)}")
    width, reason = tolerances_flow.linear_program(mdp)
    row("OCC-04", "C_min: width", found.upper - found.lower, width * found.upper, reason)
    own = occupancy_measure(mdp, np.full((5, 3), 1.0 / 3.0))
    one = smallest_cap(mdp, own / own.sum())
    row("OCC-04", "C_min of an occupancy", np.abs([one.lower - 1.0, one.upper - 1.0]), width, reason)


@pytest.mark.parametrize("seed", range(2))
def test_caps_on_both_sides_of_the_smallest(row, seed):
    """Just above C_min there is a certified solution, just below an error that names it (OCC-04)."""
    mdp = garnet(5, 3, 3, seed=seed, discount=0.9)
    law = np.random.default_rng(seed).dirichlet(np.ones(15)).reshape(5, 3)
    law /= law.sum()
    smallest = smallest_cap(mdp, law)
    for beta in (10.0, 0.01):
        found = regularized_occupancy(mdp, law, beta, FermiDirac(1.02 * smallest.upper))
        assert found.converged, found
        row("OCC-04", "cap kept", max(float(found.ratio.max()) - 1.02 * smallest.upper, 0.0), 0.0, "kept exactly")
        with pytest.raises(InfeasibleFlow, match=rf"at least C_min = {smallest.lower:.6g} .* but the cap is"):
            regularized_occupancy(mdp, law, beta, FermiDirac(0.98 * smallest.lower))


def exact_floor(
    mdp: MDP, law: np.ndarray, cap: float, values: np.ndarray, occupancy: np.ndarray
) -> tuple[Fraction, list[Fraction]]:
    """The bound of OCC-04 on floors at V in rationals, and d/D of the exact occupancy of a policy."""
    exact, v, d = Exact.of(mdp), fractions(values), fractions(law)
    room = -(1 - exact.discount) * sum(m * x for m, x in zip(exact.initial, v, strict=True))
    weight = Fraction(0)
    for s in exact.states:
        for a in exact.actions[s]:
            following = sum((p * v[t] for t, p in exact.successors[s][a].items()), start=Fraction(0))
            drop = v[s] - exact.discount * following
            room += Fraction(cap) * d[s][a] * max(drop, Fraction(0))
            weight += d[s][a] * max(-drop, Fraction(0))
    policy = [[x / sum(line) for x in line] for line in fractions(occupancy)]
    visits = exact.occupancy(policy)
    return room / weight, [visits[s][a] / d[s][a] for s in exact.states for a in exact.actions[s] if d[s][a] > 0]


@pytest.mark.parametrize("seed", range(4))
def test_largest_floor_in_rationals(row, seed):
    """Both certificates, exactly; an occupancy as data keeps a floor of one (OCC-04)."""
    mdp = garnet(5, 3, 3, seed=seed, discount=0.9)
    law = np.random.default_rng(seed).dirichlet(np.ones(15)).reshape(5, 3)
    law /= law.sum()
    smallest = smallest_cap(mdp, law)
    for cap in (1.1 * smallest.upper, 10.0 * smallest.upper):
        found = largest_floor(mdp, law, cap, smallest)
        above, ratios = exact_floor(mdp, law, cap, found.values, found.occupancy)
        row.exact("OCC-04", "largest floor: upper certificate", above <= Fraction(found.upper), f"{found}")
        row.exact("OCC-04", "largest floor: lower certificate", Fraction(found.lower) <= min(ratios), f"{found}")
        row.exact("OCC-04", "largest floor: cap kept", max(ratios) <= Fraction(cap), f"{float(max(ratios))} > {cap}")
        width, reason = tolerances_flow.linear_program(mdp)
        row("OCC-04", "largest floor: width", found.upper - found.lower, width * cap, reason)
    own = occupancy_measure(mdp, np.full((5, 3), 1.0 / 3.0))
    own = own / own.sum()
    one = largest_floor(mdp, own, 2.0, smallest_cap(mdp, own))
    row("OCC-04", "largest floor of an occupancy", np.abs([one.lower - 1.0, one.upper - 1.0]), 2.0 * width, reason)


@pytest.mark.parametrize("seed", range(2))
def test_floors_on_both_sides_of_the_largest(row, seed):
    """Below the largest floor there is a certified solution, just above it an error that names it (OCC-04)."""
    mdp = garnet(5, 3, 3, seed=seed, discount=0.9)
    law = np.random.default_rng(seed).dirichlet(np.ones(15)).reshape(5, 3)
    law /= law.sum()
    smallest = smallest_cap(mdp, law)
    cap = 3.0 * smallest.upper
    largest = largest_floor(mdp, law, cap, smallest)
    for beta in (10.0, 0.01):
        found = regularized_occupancy(mdp, law, beta, TwoSidedFermiDirac(0.9 * largest.lower, cap))
        assert found.converged, found
        row("OCC-04", "floor kept", max(0.9 * largest.lower - float(found.ratio.min()), 0.0), 0.0, "kept exactly")
        with pytest.raises(InfeasibleFlow, match=rf"one of at most {largest.upper:.6g} somewhere .* but the floor is"):
            regularized_occupancy(mdp, law, beta, TwoSidedFermiDirac(1.02 * largest.upper, cap))
        with pytest.raises(InfeasibleFlow, match="C_min"):
            regularized_occupancy(mdp, law, beta, TwoSidedFermiDirac(0.5 * largest.lower, 0.98 * smallest.lower))


def test_a_floor_needs_a_cap_that_can_be_kept():
    mdp = garnet(5, 3, 3, seed=0, discount=0.9)
    law = np.full((5, 3), 1.0 / 15.0)
    smallest = smallest_cap(mdp, law)
    for cap in (0.9 * smallest.lower, np.inf):
        with pytest.raises(ValueError, match="expected a finite cap above C_min"):
            largest_floor(mdp, law, cap, smallest)


def test_support_by_hand():
    law = np.array([[1.0, 1.0], [1.0, 1.0], [0.0, 0.0], [1.0, 1.0]]) / 6.0
    found = support(fork(), law, KL())
    np.testing.assert_array_equal(found.dead, [False, False, True, False])
    np.testing.assert_array_equal(found.pairs, [[True, False], [True, True], [False, False], [False, False]])
    np.testing.assert_array_equal(found.states, [True, True, False, False])
    csr = support(fork().to_sparse(), law, KL())
    np.testing.assert_array_equal(csr.pairs, found.pairs)


CORRIDOR = np.array([[0.0, 1.0], [0.0, 1.0], [0.0, 0.0], [0.0, 1.0], [1.0, 0.0]]) / 4.0
HALF = np.array([[0.5, 0.5], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: regularized_occupancy(chain(5), CORRIDOR, 1.0),
            r"no data in state 2, which cannot be avoided from state 0, which has initial .* 0\.2: .*0 -> 1 -> 2",
        ),
        (
            lambda: regularized_occupancy(
                fork((0.5, 0.0, 0.5, 0.0)), np.array([[1.0, 0], [1, 0], [0, 0], [0, 0]]) / 2, 1.0
            ),
            r"no data in state 2, which has initial probability 0\.5: every occupancy visits it",
        ),
        (lambda: sampled_occupancy(fork(), HALF, 1.0), r"no data in state [12], which cannot be avoided from state 0"),
        (
            lambda: regularized_occupancy(fork(), np.full((4, 2), 1.0 / 8.0), 1.0, ReverseKL()),
            r"f\(0\) = inf.*cannot charge state 3, action 0 .*no policy reaches that state",
        ),
        (
            lambda: regularized_occupancy(fork(), np.array([[1.0, 1], [1, 1], [0, 0], [0, 0]]) / 4, 1.0, ReverseKL()),
            r"cannot charge state 0, action 1 .*may lead to state 2.*data are missing",
        ),
        (
            lambda: regularized_occupancy(fork(), np.full((2, 2), 0.25), 1.0),
            r"shape \(2, 2\): expected \(S, A\) = \(4, 2\)",
        ),
        (lambda: regularized_occupancy(fork(), np.full((4, 2), 0.25), 1.0), r"sums to 2\.0: expected 1 up to rounding"),
        (
            lambda: regularized_occupancy(chain(2), np.full((2, 2), 0.25), 1.0),
            r"behavior\[1, 1\] .*: expected 0, because it is not available\.",
        ),
        (
            lambda: regularized_occupancy(fork(), np.array([[np.nan, 1.0]] + [[0.0, 0.0]] * 3), 1.0),
            r"behavior\[0, 0\] .*is nan: expected a probability >= 0",
        ),
        (
            lambda: regularized_occupancy(fork(), np.full((4, 2), 0.125), 0.0),
            "beta is 0.0: expected a finite temperature",
        ),
        (lambda: regularized_occupancy(fork(), np.full((4, 2), 0.125), np.inf), "beta is inf"),
        (lambda: regularized_occupancy(fork(), np.full((4, 2), 0.125), 1.0, tolerance=0.0), "tolerance is 0.0"),
        (lambda: regularized_occupancy(fork(), np.full((4, 2), 0.125), 1.0, max_iterations=0), "max_iterations is 0"),
        (
            lambda: flow_bounds(fork(), np.full((4, 2), 0.125), 1.0, KL(), np.full(4, np.nan), np.full((4, 2), 0.5)),
            r"values\[0\] is nan: expected a finite number",
        ),
    ],
)
def test_wrong_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_one_state_is_the_relaxed_problem(row):
    """|S| = 1: the flow says sum d = 1 and nothing else, so both problems are one (OCC-05)."""
    mdp = MDP(np.ones((1, 3, 1)), [[0.0, 1.0, -2.0]], 0.5)
    law = np.array([[0.25, 0.25, 0.5]])
    found = regularized_occupancy(mdp, law, 0.5)
    weights = np.exp(mdp.rewards / 0.5)
    expected = weights / float(np.sum(law * weights))
    bound, reason = tolerances.input_rounding(8.0 * float(expected.max()), 4.0)
    row("OCC-05", "one state: softmax ratio", np.abs(found.ratio - expected), bound, reason)
