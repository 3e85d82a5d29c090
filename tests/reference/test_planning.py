"""Planning: every bound is true and tight, every status honest, no tie makes a solver cycle."""

from fractions import Fraction

import numpy as np
import pytest
import tolerances
from exact import Exact, distance, fractions
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import sparse
from strategies import DISCOUNTS, Drawn, few, mdps, policies, vectors

from reference import certify
from reference.bellman import backup, bellman_optimality, greedy, optimality_residual
from reference.library import chain, from_gymnasium, garnet, gridworld, named
from reference.mdp import MDP
from reference.planning import PolicyIteration, Solver, ValueIteration, solve
from reference.solution import Status

NAMED = sorted(named())
SOLVERS = {
    "value iteration": ValueIteration(),
    "value iteration, loose": ValueIteration(1e-2),
    "value iteration, at the floor": ValueIteration(5e-324, 20_000),
    "policy iteration": PolicyIteration(),
}
# Value iteration needs about log(1/tolerance)/(1 - gamma) sweeps where nothing mixes: seconds at 0.999, no new code.
QUICK = tuple(discount for discount in DISCOUNTS if discount <= 0.9)


def check_solution(row, id: str, name: str, mdp: MDP, solver: Solver, exact_values) -> None:
    """The theorem of every solver: true error <= certified bound, and a status that follows from it."""
    found = solver.solve(mdp)
    bound, reason = tolerances.certified(found.error_bound)
    row(id, f"optimal values, {name}", distance(found.values, exact_values), bound, reason)
    tolerance = solver.tolerance
    assert found.converged == (found.error_bound <= tolerance), (found, tolerance)
    assert found.iterations <= solver.max_iterations
    assert ((found.policy > 0.0) <= mdp.available).all()
    np.testing.assert_array_equal(found.policy.sum(axis=1), 1.0)
    np.testing.assert_array_equal(np.isneginf(found.q), ~mdp.available)


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("solver", SOLVERS)
def test_named_cases(row, name, solver):
    case = named()[name]
    for mdp in (case.mdp, case.mdp.to_sparse()):
        check_solution(row, "RL-05", solver, mdp, SOLVERS[solver], case.exact)


@given(mdps())
def test_policy_iteration_on_random_mdps(row, drawn: Drawn):
    values = drawn.exact.optimal_values()
    for mdp in (drawn.mdp, drawn.sparse):
        check_solution(row, "RL-08", "policy iteration", mdp, SOLVERS["policy iteration"], values)


@given(mdps(discounts=QUICK), st.sampled_from(sorted(set(SOLVERS) - {"policy iteration"})))
def test_value_iteration_on_random_mdps(row, drawn: Drawn, solver):
    values = drawn.exact.optimal_values()
    for mdp in (drawn.mdp, drawn.sparse):
        check_solution(row, "RL-34", solver, mdp, SOLVERS[solver], values)


@few
@given(mdps(max_states=3, max_actions=2))
def test_optimal_values_dominate_every_policy(row, drawn: Drawn):
    """RL-05 by enumeration, without any solver: some deterministic policy is best in all states at once."""
    exact, found = drawn.exact, solve(drawn.mdp)
    values = [exact.policy_values(exact.deterministic(actions)) for actions in exact.policies()]
    best = [max(column) for column in zip(*values, strict=True)]
    assert best in values
    row("RL-05", "best of all policies", distance(found.values, best), *tolerances.certified(found.error_bound))


@given(st.data(), mdps(), st.floats(1e-12, 1.0), st.sampled_from([1.0, 1e-6, 1e6]))
def test_certificates_enclose_and_do_not_flatter(row, data, drawn: Drawn, size, scale):
    """Bounds hold for any values at all, from any source, and do not exceed what MacQueen's theorem grants."""
    mdp, exact = drawn.mdp, drawn.exact
    optimal = exact.optimal_values()
    values = np.array([float(v) for v in optimal]) + size * data.draw(vectors(mdp.n_states, scale))
    bounds = certify.optimality_bounds(mdp, values)
    errors = [best - Fraction(float(value)) for best, value in zip(optimal, values, strict=True)]
    row.exact("RL-34", "lower bound", bounds.lower <= min(errors), f"{bounds.lower} above {float(min(errors))}")
    row.exact("RL-34", "upper bound", bounds.upper >= max(errors), f"{bounds.upper} below {float(max(errors))}")
    # |T v - v| <= (1 + gamma rho) |v* - v|, so the bound cannot be wider than that over 1 - gamma, and its rounding.
    true = max(abs(error) for error in errors)
    bound, reason = tolerances.macqueen_width(mdp, values, float(true))
    row("RL-34", "width of the certified interval", bounds.error, bound, reason)


@few
@given(mdps(), st.data())
def test_optimality_operator_contracts(row, drawn: Drawn, data):
    mdp = drawn.mdp
    first, second = data.draw(vectors(mdp.n_states)), data.draw(vectors(mdp.n_states, 1e3))
    moved = np.abs(bellman_optimality(mdp, first) - bellman_optimality(mdp, second)).max()
    rounding = max(tolerances.backup(mdp, first)[0], tolerances.backup(mdp, second)[0])
    bound, reason = tolerances.contraction(mdp, float(np.abs(first - second).max()), rounding)
    row("RL-06", "contraction of the optimality operator", moved, bound, reason)
    row("RL-06", "one exact backup", distance(bellman_optimality(mdp, first), drawn.exact.backup(fractions(first))),
        *tolerances.backup(mdp, first))  # fmt: skip


def test_modulus_is_exactly_gamma_and_only_in_the_sup_norm(row):
    """RL-06: equality on constants; in the Euclidean norm the operator may expand."""
    mdp = MDP(np.array([[[1.0, 0.0]], [[1.0, 0.0]]]), np.zeros((2, 1)), 0.9)
    constant = np.ones(2)
    row.exact("RL-06", "modulus", (bellman_optimality(mdp, constant) == 0.9 * constant).all(), "T 1 is not 0.9")
    first = np.array([1.0, 0.0])
    assert np.linalg.norm(bellman_optimality(mdp, first)) > 1.2 * np.linalg.norm(first)


@given(mdps(discounts=QUICK), st.sampled_from([1e-1, 1e-3, 1e-6]))
def test_greedy_policies_lose_no_more_than_the_theorem(row, drawn: Drawn, tolerance):
    mdp, exact = drawn.mdp, drawn.exact
    scaled = tolerance * max(mdp.largest_reward, np.finfo(np.float64).tiny)
    assume(scaled > 0.0)
    found = ValueIteration(scaled).solve(mdp)
    optimal, achieved = exact.optimal_values(), exact.policy_values(fractions(found.policy))
    loss = max(best - value for best, value in zip(optimal, achieved, strict=True))
    bound, reason = tolerances.greedy_loss(mdp, distance(found.values, optimal), found.values)
    row("RL-34", "loss of the greedy policy", float(loss), bound, reason)


@given(mdps())
def test_policy_iteration_returns_an_optimal_policy(row, drawn: Drawn):
    mdp, exact = drawn.mdp, drawn.exact
    found = PolicyIteration().solve(mdp)
    optimal, achieved = exact.optimal_values(), exact.policy_values(fractions(found.policy))
    loss = max(best - value for best, value in zip(optimal, achieved, strict=True))
    bound, reason = tolerances.incumbent_loss(mdp, found.values)
    row("RL-08", "loss of the final policy", float(loss), bound, reason)


@few
@given(mdps(discounts=QUICK), st.data())
def test_policies_improve(row, drawn: Drawn, data):
    """RL-08: a policy greedy for the values of another is at least as good, exactly."""
    exact = drawn.exact
    policy = fractions(data.draw(policies(drawn.mdp)))
    before = exact.policy_values(policy)
    q = [
        [exact.q(before, s, a) if a in exact.actions[s] else None for a in range(drawn.mdp.n_actions)]
        for s in exact.states
    ]
    better = [max(exact.actions[s], key=lambda a, s=s: q[s][a]) for s in exact.states]
    after = exact.policy_values(exact.deterministic(better))
    # Rows of a drawn policy miss one by rounding, and a constant reward pays for it: compare against a row of mass one.
    mass = max(abs(1 - sum(line)) for line in policy)
    slack = (
        mass * max(abs(v) for v in [*before, *(abs(r) for line in exact.rewards for r in line)]) / (1 - exact.discount)
    )
    worst = max(old - new for old, new in zip(before, after, strict=True))
    bound = float(2 * slack)
    row("RL-08", "policy improvement", max(float(worst), 0.0), bound, "rounding of the drawn policy's rows")


@pytest.mark.parametrize("name", ["FrozenLake8x8-v1", "FrozenLake-v1", "Taxi-v4", "CliffWalking-v1"])
@pytest.mark.parametrize("discount", [0.9, 0.99, 0.999])
def test_ties_do_not_make_policy_iteration_cycle(row, name, discount):
    """Symmetric maps tie up to rounding; QuantEcon's policy iteration runs into its limit on FrozenLake and Taxi."""
    mdp = from_gymnasium(name, discount)
    found = PolicyIteration().solve(mdp)
    row(
        "RL-08",
        f"iterations on {name}",
        found.iterations,
        mdp.n_states,
        "Howard needs far fewer than S steps; a cycle never ends",
    )
    assert found.converged
    other = ValueIteration().solve(mdp)
    assert other.converged
    bound = found.error_bound + other.error_bound
    row("RL-05", f"two solvers on {name}", np.abs(found.values - other.values).max(), bound, "both certified bounds")


def test_indifferent_states_stop_at_once():
    """All policies tie; rows of thirds make the backups differ by rounding."""
    weights = np.array([[[1, 2, 0], [1, 1, 1], [0, 2, 1]]] * 3) / 3.0
    mdp = MDP(weights, np.full((3, 3), -1.0), 0.999)
    found = PolicyIteration().solve(mdp)
    assert found.converged
    assert found.iterations == 1
    np.testing.assert_array_equal(found.policy, greedy(mdp.rewards))


@pytest.mark.parametrize("seed", range(6))
def test_ties_that_rounding_breaks_change_nothing(seed):
    """Every state has a clone; action 1 leads to clones where action 0 does not: equal on paper, not in floats."""
    half, discount = 12, 0.99
    mdp = garnet(half, 1, half, seed, discount)
    row, none = mdp.transitions[:, 0], np.zeros((half, half))
    swapped = np.random.default_rng(seed).integers(2, size=(half, half)) == 1
    first, second = np.hstack([row, none]), np.hstack([np.where(swapped, none, row), np.where(swapped, row, none)])
    transitions = np.tile(np.stack([first, second], axis=1), (2, 1, 1))
    tied = MDP(transitions, np.tile(np.repeat(mdp.rewards, 2, axis=1), (2, 1)), discount)
    found = PolicyIteration().solve(tied)
    assert found.iterations == 1
    assert (found.policy[:, 0] == 1.0).all()


def test_row_sums_decide_near_discount_one(row):
    """A row that sums to 1 + 2**-52 moves a horizon of 2**40 steps by a part in 4096; bounds must know."""
    for defect in (2.0**-52, -(2.0**-53)):
        mdp = MDP(np.array([[[1.0 + defect]]]), np.ones((1, 1)), 1.0 - 2.0**-40)
        exact = Exact.of(mdp).optimal_values()
        for values in (np.zeros(1), np.array([float(exact[0])]), np.array([2.0 * float(exact[0])])):
            bounds = certify.optimality_bounds(mdp, values)
            error = exact[0] - Fraction(float(values[0]))
            row.exact(
                "RL-34",
                "bounds with row-sum defects",
                bounds.lower <= error <= bounds.upper,
                f"{bounds}, {float(error)}",
            )
        found = PolicyIteration().solve(mdp)
        row(
            "RL-34",
            "values with row-sum defects",
            distance(found.values, exact),
            *tolerances.certified(found.error_bound),
        )
        floor, reason = tolerances.rounding_floor(mdp, found.values)
        row("RL-34", "certificate with row-sum defects", found.error_bound, tolerances.tightness()[0] * floor, reason)


@given(mdps(max_states=3, max_actions=2), st.data())
def test_lookahead_is_as_exact_as_its_radius_says(row, drawn: Drawn, data):
    """Each term of the bound alone: common part, deviations and rewards may each be absent, small or large."""
    mdp = drawn.mdp
    offset = data.draw(st.sampled_from([0.0, 1.0 / 3.0, 1e6 / 3.0, -1e12 / 7.0]))
    deviation = data.draw(vectors(mdp.n_states, data.draw(st.sampled_from([0.0, 1.0 / 3.0, 1e-9, 1e9]))))
    seen = certify.lookahead(mdp, deviation, offset)
    values = [Fraction(offset) + entry for entry in fractions(deviation)]
    error = max(
        abs(Fraction(float(seen[s, a])) + Fraction(offset) - drawn.exact.q(values, s, a))
        for s in drawn.exact.states for a in drawn.exact.actions[s]
    )  # fmt: skip
    radius = certify.lookahead_radius(mdp, deviation, offset)
    row("RL-06", "centred lookahead", float(error), radius, "a-priori rounding bound of a centred backup")


@pytest.mark.parametrize("n_states", [3, 200, 4000])
def test_long_rows_are_charged_for_their_length(row, n_states):
    """Thousands of products of one sign, added one after another as CSR does, round more than a few."""
    rng = np.random.default_rng(n_states)
    line = rng.random(n_states)
    line /= line.sum()
    transitions = sparse.csr_array((line, np.arange(n_states), [0, *[n_states] * n_states]), shape=(n_states, n_states))
    transitions = sparse.vstack([transitions[[0]], sparse.eye_array(n_states).tocsr()[1:]]).tocsr()
    mdp = MDP(transitions, np.zeros((n_states, 1)), 0.75)
    deviation = rng.random(n_states)
    exact = Fraction(0.75) * sum(p * v for p, v in zip(fractions(line), fractions(deviation), strict=True))
    seen = certify.lookahead(mdp, deviation, 0.0)[0, 0]
    radius = certify.lookahead_radius(mdp, deviation, 0.0)
    row("RL-06", f"dot product of {n_states}", float(abs(Fraction(float(seen)) - exact)), radius, "gamma_n sum p |w|")


@given(st.data())
def test_joining_loses_what_it_says(row, data):
    offset = data.draw(st.floats(-1e12, 1e12))
    deviation = np.array(data.draw(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=4)))
    values, bound = certify.join(offset, deviation, certify.Bounds(0.0, 0.0))
    error = distance(values, [Fraction(offset) + entry for entry in fractions(deviation)])
    row("RL-34", "sum of offset and deviation", error, bound, "the rounding error itself, by TwoSum")
    allowed, reason = tolerances.two_sum(error)
    row("RL-34", "stated loss of that sum", bound, allowed, reason)


@pytest.mark.parametrize("discount", [0.5, 0.99, 0.9999, 1.0 - 1e-6, 1.0 - 1e-9])
@pytest.mark.parametrize("solver", [ValueIteration(5e-324), PolicyIteration(5e-324)], ids=["VI", "PI"])
def test_impossible_tolerances_end_with_an_honest_bound(row, discount, solver):
    # Normalised rows, whose sums miss one here and there: what a Garnet's telescoping gaps rarely do.
    weights = np.random.default_rng(5).random((12, 3, 12)) + 0.01
    rewards = np.random.default_rng(6).standard_normal((12, 3))
    mdp = MDP(weights / weights.sum(axis=2, keepdims=True), rewards, discount)
    assert np.ptp(mdp.defects) > 0.0
    found = solver.solve(mdp)
    assert found.status is Status.ROUNDING_FLOOR
    assert not found.converged
    assert "not converged" in str(found.status)
    values = Exact.of(mdp).optimal_values()
    row(
        "RL-34",
        "values at the rounding floor",
        distance(found.values, values),
        *tolerances.certified(found.error_bound),
    )
    floor, reason = tolerances.rounding_floor(mdp, found.values)
    factor, why = tolerances.tightness()
    row("RL-34", "certificate at the rounding floor", found.error_bound, factor * floor, f"{reason}; {why}")


def test_certificates_are_tight_in_the_median(row):
    """Against what any one-backup certificate must allow, and against the true error where truncation dominates."""
    at_floor, truncated = [], []
    for seed in range(60):
        mdp = garnet(5, 3, 3, seed, DISCOUNTS[1 + seed % 4])
        values = Exact.of(mdp).optimal_values()
        exactly = PolicyIteration().solve(mdp)
        at_floor.append(exactly.error_bound / tolerances.rounding_floor(mdp, exactly.values)[0])
        loose = ValueIteration(1e-4).solve(mdp)
        truncated.append(loose.error_bound / distance(loose.values, values))
    factor, reason = tolerances.tightness()
    row("RL-34", "median bound over the rounding floor", np.median(at_floor), factor, reason)
    slack, reason = tolerances.macqueen_slack()
    row("RL-34", "median bound over the true error", np.median(truncated), slack, reason)


@few
@given(mdps(discounts=(0.9, 0.99, 0.999)), st.integers(1, 4))
def test_running_out_of_iterations_is_said_and_bounded(row, drawn: Drawn, limit):
    found = ValueIteration(1e-300, limit).solve(drawn.mdp)
    assert found.iterations <= limit
    assert found.status in (Status.MAX_ITERATIONS, Status.ROUNDING_FLOOR, Status.CONVERGED)
    if found.status is Status.CONVERGED:
        assert found.error_bound <= 1e-300
    values = drawn.exact.optimal_values()
    row(
        "RL-34",
        "values of an interrupted run",
        distance(found.values, values),
        *tolerances.certified(found.error_bound),
    )


def test_iteration_limits_are_reported():
    mdp = chain(10, 0.99)
    for solver in (ValueIteration(max_iterations=2), PolicyIteration(max_iterations=1)):
        found = solver.solve(mdp)
        assert (found.status, found.iterations) == (Status.MAX_ITERATIONS, solver.max_iterations)
        assert "max_iterations" in str(found.status)
        assert "max iterations" in repr(found)


def test_solve_says_which_solver_ran():
    small, large = gridworld(10, 10, 0.9), garnet(1001, 2, 3, 0, 0.9, sparse_rows=True)
    assert solve(small).solver == "policy iteration"
    assert solve(large).solver == "modified policy iteration"
    assert solve(small, ValueIteration(1e-3)).solver == "value iteration"
    for found in (solve(small), solve(large)):
        assert found.converged
        assert "converged" in repr(found)
    assert solve(small, tolerance=5e-324).status is Status.ROUNDING_FLOOR


def test_layouts_agree_on_larger_models(row):
    for seed in range(3):
        dense = garnet(60, 4, 5, seed, 0.99)
        for solver in (ValueIteration(), PolicyIteration()):
            one, two = solver.solve(dense), solver.solve(dense.to_sparse())
            bound = one.error_bound + two.error_bound
            row("RL-05", "CSR against dense", np.abs(one.values - two.values).max(), bound, "both certified bounds")


@few
@given(mdps())
def test_q_and_residual_belong_to_the_values(row, drawn: Drawn):
    mdp = drawn.mdp
    found = solve(mdp)
    bound, reason = tolerances.backup(mdp, found.values)
    top = 2.0 * bound + tolerances.joined(found.values)[0]
    difference = found.q[mdp.available] - backup(mdp, found.values)[mdp.available]
    row("RL-05", "q of the returned values", np.abs(difference).max(), top, f"{reason}, twice; values rounded once")
    allowed = (1.0 + mdp.discount * (1.0 + mdp.largest_defect)) * found.error_bound + 2.0 * bound
    residual = np.abs(optimality_residual(mdp, found.values)).max()
    row("RL-05", "Bellman residual", residual, allowed, "|T v - v| <= (1 + gamma) |v - v*|, and rounding")


@pytest.mark.parametrize("solver", [ValueIteration, PolicyIteration])
def test_meaningless_settings_are_refused(solver):
    mdp = chain(3)
    for tolerance in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"tolerance is .*: expected a finite number > 0"):
            solver(tolerance).solve(mdp)
    with pytest.raises(ValueError, match="max_iterations is 0: expected at least 1"):
        solver(1e-8, 0).solve(mdp)


def test_values_that_are_no_numbers_are_not_certified():
    mdp = chain(3)
    for bad in (np.nan, np.inf):
        assert certify.optimality_bounds(mdp, np.array([0.0, bad, 0.0])).error == np.inf
