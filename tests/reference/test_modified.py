"""Modified policy iteration, the linear program, action elimination and the choice of a solver."""

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import tolerances
from exact import Exact, distance, fractions
from hypothesis import given
from hypothesis import strategies as st
from strategies import Drawn, few, mdps

from reference import linear_program
from reference.bellman import backup, greedy
from reference.certificate import certify
from reference.library import chain, from_gymnasium, garnet, gridworld, named
from reference.mdp import MDP
from reference.modified import modified_policy_iteration
from reference.planning import (
    FEW_STATES,
    POLICY_ITERATION_STATES,
    LinearProgram,
    ModifiedPolicyIteration,
    PolicyIteration,
    ValueIteration,
    choose,
    solve,
)
from reference.solution import Status

SOLVERS = {
    "MPI": ModifiedPolicyIteration(),
    "MPI, n = 2": ModifiedPolicyIteration(n=2),
    "MPI, n = 30": ModifiedPolicyIteration(n=30),
    "MPI, loose": ModifiedPolicyIteration(1e-2),
    "MPI, at the floor": ModifiedPolicyIteration(5e-324),
    "MPI, interrupted": ModifiedPolicyIteration(1e-12, 3, 4),
    "linear program": LinearProgram(),
}
# What nothing mixes takes log(1/tolerance) / (1 - gamma) sweeps, so these are solved there by what does not sweep.
SWEEPING = (0.0, 0.5, 0.9, 0.99)
LONG = (0.999, 0.99999)
WITHOUT_SWEEPS = {
    "policy iteration": PolicyIteration(),
    "linear program": LinearProgram(),
    "value iteration, interrupted": ValueIteration(1e-8, 40),
    "MPI, interrupted": ModifiedPolicyIteration(1e-8, 10, 40),
}


def check(row, name: str, mdp: MDP, solver, values) -> None:
    """True error <= certified bound, and a status and a policy that follow from it."""
    found = solver.solve(mdp)
    row("RL-34", f"optimal values, {name}", distance(found.values, values), *tolerances.certified(found.error_bound))
    assert found.converged == (found.error_bound <= solver.tolerance), found
    assert ((found.policy > 0.0) <= mdp.available).all()
    np.testing.assert_array_equal(found.policy.sum(axis=1), 1.0)
    np.testing.assert_array_equal(np.isneginf(found.q), ~mdp.available)


@pytest.mark.parametrize("name", sorted(named()))
@pytest.mark.parametrize("solver", SOLVERS)
def test_named_cases(row, name, solver):
    case = named()[name]
    for mdp in (case.mdp, case.mdp.to_sparse()):
        check(row, solver, mdp, SOLVERS[solver], case.exact)


@given(mdps(discounts=SWEEPING), st.sampled_from(sorted(SOLVERS)))
def test_random_mdps(row, drawn: Drawn, solver):
    values = drawn.exact.optimal_values()
    for mdp in (drawn.mdp, drawn.sparse):
        check(row, solver, mdp, SOLVERS[solver], values)


@given(mdps(discounts=LONG), st.sampled_from(sorted(WITHOUT_SWEEPS)))
def test_random_mdps_with_long_horizons(row, drawn: Drawn, solver):
    values = drawn.exact.optimal_values()
    for mdp in (drawn.mdp, drawn.sparse):
        check(row, f"{solver}, long horizon", mdp, WITHOUT_SWEEPS[solver], values)


@pytest.mark.parametrize("discount", [0.999, 0.99999, 1.0 - 1e-7])
def test_long_horizons_that_mix_cost_few_sweeps(row, discount):
    """A norm-stopped iteration needs of the order of the horizon; the span does not know the horizon."""
    mdp = garnet(30, 3, 6, 2, discount)
    run = modified_policy_iteration(mdp, 1e-4, 1000)
    assert run.status is Status.CONVERGED
    values = Exact.of(mdp).optimal_values()
    found = ModifiedPolicyIteration(1e-4).solve(mdp)
    row("RL-09", "values near discount one", distance(found.values, values), *tolerances.certified(found.error_bound))
    shorter = modified_policy_iteration(mdp.with_discount(0.99), 1e-4, 1000)
    # The span shrinks by the same factor in both; what differs is how far it has to: the ratio of the horizons.
    factor = 1.0 + np.log(1e-2 / (1.0 - discount)) / np.log(mdp.n_states)
    assert run.sweeps + run.iterations <= factor * 4.0 * (shorter.sweeps + shorter.iterations)
    assert run.sweeps + run.iterations < 1.0 / (1.0 - discount)


def deterministic(successors, rewards, discount=0.5) -> MDP:
    return MDP(np.eye(len(successors))[np.array(successors)], np.array(rewards, dtype=np.float64), discount)


# CLAIMS.md RL-09: (successors, rewards, first values, n, actions of successive policies, their exact values).
WORSE_ON_THE_WAY = {
    "n = 2": (
        [[2, 0], [0, 1], [0, 1]], [[-1, -4], [1, 0], [-1, 0]], [-2.0, -1.0, 2.0], 2,
        [(0, 0, 1), (0, 1, 1)], [("-6/7", "4/7", "2/7"), ("-1", "0", "0")],
    ),
    "n = 1": (
        [[1, 0], [1, 0]], [[4, -4], [1, 1]], [5.0, -3.0], 1,
        None, [("6", "4"), ("5", "2")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WORSE_ON_THE_WAY)
def test_policies_on_the_way_may_get_worse(row, case):
    """RL-09: values converge for every n, while the value of the policy that made them may fall in every state."""
    successors, rewards, start, n, actions, values = WORSE_ON_THE_WAY[case]
    mdp = deterministic(successors, rewards)
    exact, start = Exact.of(mdp), np.array(start)
    policies = [greedy(backup(mdp, start))]
    policies.append(greedy(modified_policy_iteration(mdp, 5e-324, 1, n, start).local))
    if actions is not None:
        assert [tuple(policy.argmax(axis=1).tolist()) for policy in policies] == actions
    seen = [exact.policy_values(fractions(policy)) for policy in policies]
    expected = [[Fraction(entry) for entry in line] for line in values]
    row.exact("RL-09", "values of successive policies", seen == expected, f"{seen}, expected {expected}")
    assert all(after < before for before, after in zip(*seen, strict=True))
    run = modified_policy_iteration(mdp, 1e-8, 10_000, n, start)
    bound = run.error
    row("RL-09", "values in the end", distance(run.offset + run.deviation, exact.optimal_values()), bound,
        "certified by the solver")  # fmt: skip


@few
@given(mdps(discounts=(0.5, 0.9)), st.data())
def test_any_start_ends_at_the_optimum(row, drawn: Drawn, data):
    start = np.array(data.draw(st.lists(st.integers(-1000, 1000), min_size=drawn.mdp.n_states,
                                        max_size=drawn.mdp.n_states)), dtype=np.float64)  # fmt: skip
    run = modified_policy_iteration(drawn.mdp, 1e-8, 10_000, data.draw(st.sampled_from([None, 1, 3])), start)
    values = drawn.exact.optimal_values()
    row("RL-09", "values from any start", distance(run.offset + run.deviation, values), run.error, "certified")
    assert run.status in (Status.CONVERGED, Status.ROUNDING_FLOOR)
    assert (run.status is Status.CONVERGED) == (run.error <= 1e-8)


@pytest.mark.parametrize("name", ["FrozenLake8x8-v1", "Taxi-v4", "CliffWalking-v1"])
@pytest.mark.parametrize("discount", [0.9, 0.99, 0.999])
def test_gymnasium(row, name, discount):
    mdp = from_gymnasium(name, discount)
    one, two = ModifiedPolicyIteration().solve(mdp), PolicyIteration().solve(mdp)
    assert one.converged
    bound = one.error_bound + two.error_bound
    row("RL-09", f"MPI against PI on {name}", np.abs(one.values - two.values).max(), bound, "both certified bounds")


@pytest.mark.parametrize("discount", [0.5, 0.99, 0.9999, 1.0 - 1e-6])
def test_impossible_tolerances_end_with_an_honest_bound(row, discount):
    weights = np.random.default_rng(5).random((12, 3, 12)) + 0.01
    rewards = np.random.default_rng(6).standard_normal((12, 3))
    mdp = MDP(weights / weights.sum(axis=2, keepdims=True), rewards, discount)
    values = Exact.of(mdp).optimal_values()
    for solver in (ModifiedPolicyIteration(5e-324), ModifiedPolicyIteration(5e-324, n=3), LinearProgram(5e-324)):
        found = solver.solve(mdp)
        assert found.status is Status.ROUNDING_FLOOR
        row("RL-34", "values at the rounding floor", distance(found.values, values),
            *tolerances.certified(found.error_bound))  # fmt: skip
        floor, reason = tolerances.rounding_floor(mdp, found.values)
        factor, why = tolerances.tightness()
        row("RL-34", "certificate at the rounding floor", found.error_bound, factor * floor, f"{reason}; {why}")


# -- elimination -------------------------------------------------------------------------------------------------------


@given(mdps(discounts=SWEEPING), st.sampled_from([1e-1, 1e-4, 1e-8]), st.sampled_from(["PI", "VI", "MPI", "LP"]))
def test_eliminated_actions_are_not_optimal(row, drawn: Drawn, tolerance, name):
    mdp, exact = drawn.mdp, drawn.exact
    kind = {"PI": PolicyIteration, "VI": ValueIteration, "MPI": ModifiedPolicyIteration, "LP": LinearProgram}[name]
    found = kind(tolerance * max(mdp.largest_reward, np.finfo(np.float64).tiny)).solve(mdp)
    values = exact.optimal_values()
    seen = certify(mdp, found)
    out, sure, best = ~seen.candidates, seen.decided, found.q.argmax(axis=1)
    for s in exact.states:
        tops = [a for a in exact.actions[s] if exact.q(values, s, a) == values[s]]
        wrong = [a for a in tops if out[s, a]]
        row.exact("RL-34", "eliminated actions", not wrong, f"state {s}: actions {wrong} are optimal")
        assert out[s][~mdp.available[s]].all()
        if sure[s]:
            row.exact("RL-34", "certified actions", tops == [best[s]], f"state {s}: {tops} tie, {best[s]} certified")
        assert sure[s] == (out[s].sum() == mdp.n_actions - 1)


def test_elimination_sees_what_the_bound_allows():
    """Nothing is certified where actions tie, all is where they differ by more than twice the bound."""
    tied = MDP(np.full((3, 2, 3), 1.0 / 3.0), np.zeros((3, 2)), 0.9)
    assert not certify(tied, solve(tied)).decided.any()
    apart = garnet(40, 3, 5, 0, 0.95)
    for solver in (PolicyIteration(), ModifiedPolicyIteration(), ValueIteration(), LinearProgram()):
        found = solver.solve(apart)
        gaps = np.diff(np.sort(found.q, axis=1)[:, -2:], axis=1)[:, 0]
        decided = certify(apart, found).decided
        assert decided[gaps > 2.0 * found.error_bound].all()
        assert decided.all()


# -- the choice, settings and refusals ---------------------------------------------------------------------------------


def test_solve_says_what_it_chose_and_why():
    cases = [
        (gridworld(10, 10, 0.9), PolicyIteration, f"100 states (at most {FEW_STATES})"),
        (garnet(400, 2, 3, 0, 0.9), ModifiedPolicyIteration, "400 dense states"),
        (garnet(400, 2, 3, 0, 0.9, sparse_rows=True), ModifiedPolicyIteration, "400 sparse states"),
        (garnet(400, 2, 3, 0, 1.0 - 1e-6), PolicyIteration, "horizon 1/(1 - gamma) = 1.0e+06"),
        (garnet(POLICY_ITERATION_STATES + 1, 2, 2, 0, 1.0 - 1e-6, sparse_rows=True), ModifiedPolicyIteration, "1001"),
    ]
    for mdp, kind, fragment in cases:
        solver, reason = choose(mdp, 1e-3)
        assert isinstance(solver, kind)
        assert solver.tolerance == 1e-3
        assert fragment in reason
        found = solve(mdp, tolerance=1e-3)
        assert found.converged
        assert found.reason == reason
    assert solve(chain(3), ValueIteration()).reason == ""


def test_linear_program_reports_highs_and_what_was_left(monkeypatch):
    mdp = garnet(30, 3, 4, 1, 0.9)
    found = LinearProgram().solve(mdp)
    assert found.reason.startswith("HiGHS: ")
    assert found.reason.endswith("policy improvements after that: 0")
    assert found.iterations > 0
    right = linear_program.vertex(mdp, 1000)
    other = np.roll(right.policy, 1, axis=1)
    monkeypatch.setattr("reference.planning.vertex", lambda *_: right._replace(policy=other))
    repaired = LinearProgram().solve(mdp)
    np.testing.assert_array_equal(repaired.policy, found.policy)
    assert not repaired.reason.endswith(": 0")


def test_linear_program_that_is_cut_short_or_fails(row, monkeypatch):
    mdp = garnet(30, 3, 4, 1, 0.9)
    values = Exact.of(mdp).optimal_values()
    limited = SimpleNamespace(status=1, nit=7, message="Iteration limit reached.")
    monkeypatch.setattr(linear_program, "linprog", lambda *_, **__: limited)
    found = LinearProgram(max_iterations=7).solve(mdp)
    assert found.status is Status.MAX_ITERATIONS
    assert (found.iterations, found.reason) == (7, "HiGHS: Iteration limit reached.")
    row("RL-34", "values of an interrupted program", distance(found.values, values),
        *tolerances.certified(found.error_bound))  # fmt: skip
    failed = SimpleNamespace(status=4, nit=0, message="Numerical difficulties encountered.")
    monkeypatch.setattr(linear_program, "linprog", lambda *_, **__: failed)
    with pytest.raises(RuntimeError, match=r"Numerical difficulties.*use PolicyIteration"):
        LinearProgram().solve(mdp)


@pytest.mark.parametrize("solver", [ModifiedPolicyIteration, LinearProgram])
def test_meaningless_settings_are_refused(solver):
    mdp = chain(3)
    for tolerance in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"tolerance is .*: expected a finite number > 0"):
            solver(tolerance).solve(mdp)
    with pytest.raises(ValueError, match="max_iterations is 0: expected at least 1"):
        solver(1e-8, 0).solve(mdp)
    with pytest.raises(ValueError, match="n is 0: expected at least 1 backup of each policy"):
        ModifiedPolicyIteration(n=0).solve(mdp)
