"""Maximum-entropy planning against 50 digits, and the claims about it."""

from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
import tolerances
from exact import DIGITS, Exact, distance
from hypothesis import given
from hypothesis import strategies as st
from strategies import DISCOUNTS, Drawn, few, mdps, policies, vectors

from reference import certify
from reference.bellman import backup, boltzmann, soft_bellman, soft_residual
from reference.evaluation import evaluate_policy
from reference.library import chain, from_gymnasium, garnet, named
from reference.planning import solve
from reference.soft import SoftPolicyIteration, SoftValueIteration, solve_soft
from reference.solution import Status

ALPHAS = (1e-3, 0.1, 1.0, 30.0)
QUICK = tuple(discount for discount in DISCOUNTS if discount <= 0.9)


def check_solution(row, name: str, mdp, solver, exact) -> None:
    found = solver.solve(mdp)
    row("SAC-06", f"soft values, {name}", distance(found.values, exact), *tolerances.certified(found.error_bound))
    assert found.converged == (found.error_bound <= solver.tolerance), found
    assert found.iterations <= solver.max_iterations
    np.testing.assert_array_equal(np.isneginf(found.q), ~mdp.available)
    assert (found.policy[~mdp.available] == 0.0).all()


@given(mdps(), st.sampled_from(ALPHAS))
def test_soft_policy_iteration_on_random_mdps(row, drawn: Drawn, alpha):
    exact = drawn.exact.soft_optimal_values(alpha)
    for mdp in (drawn.mdp, drawn.sparse):
        check_solution(row, "policy iteration", mdp, SoftPolicyIteration(alpha), exact)


@given(mdps(discounts=QUICK), st.sampled_from(ALPHAS), st.sampled_from([1e-8, 1e-2, 5e-324]))
def test_soft_value_iteration_on_random_mdps(row, drawn: Drawn, alpha, tolerance):
    exact = drawn.exact.soft_optimal_values(alpha)
    solver = SoftValueIteration(alpha, tolerance, 20_000)
    for mdp in (drawn.mdp, drawn.sparse):
        check_solution(row, f"value iteration to {tolerance:g}", mdp, solver, exact)


@given(mdps(max_states=3), st.sampled_from(ALPHAS), st.data(), st.floats(1e-12, 1.0))
def test_certificates_enclose_any_values(row, drawn: Drawn, alpha, data, size):
    exact = drawn.exact.soft_optimal_values(alpha)
    values = np.array([float(v) for v in exact]) + size * data.draw(vectors(drawn.mdp.n_states))
    bounds = certify.soft_bounds(drawn.mdp, values, alpha)
    errors = [true - Decimal(float(value)) for true, value in zip(exact, values, strict=True)]
    row.exact("SAC-06", "lower bound", Decimal(bounds.lower) <= min(errors), f"{bounds.lower} above {min(errors)}")
    row.exact("SAC-06", "upper bound", Decimal(bounds.upper) >= max(errors), f"{bounds.upper} below {max(errors)}")


@few
@given(mdps(), st.sampled_from(ALPHAS), st.data())
def test_soft_operator_contracts(row, drawn: Drawn, alpha, data):
    mdp = drawn.mdp
    first, second = data.draw(vectors(mdp.n_states)), data.draw(vectors(mdp.n_states, 1e3))
    moved = np.abs(soft_bellman(mdp, first, alpha) - soft_bellman(mdp, second, alpha)).max()
    rounding = max(tolerances.soft_backup(mdp, v, alpha)[0] for v in (first, second))
    bound, reason = tolerances.contraction(mdp, float(np.abs(first - second).max()), rounding)
    row("SAC-06", "contraction of the soft operator", moved, bound, reason)


@few
@given(mdps(), st.sampled_from(ALPHAS))
def test_soft_values_lie_above_hard_ones_by_entropy(row, drawn: Drawn, alpha):
    mdp = drawn.mdp
    hard, soft = solve(mdp), solve_soft(mdp, alpha)
    slack = hard.error_bound + soft.error_bound
    row("SAC-06", "soft below hard", max(0.0, (hard.values - soft.values).max()), slack, "both certified bounds")
    bonus, reason = tolerances.entropy_bonus(mdp, alpha)
    row("SAC-06", "soft above hard", max(0.0, (soft.values - hard.values).max()), bonus + slack, reason)
    if mdp.terminal.any():
        row(
            "SAC-06",
            "terminal value",
            np.abs(soft.values[mdp.terminal]),
            soft.error_bound,
            "0, as entropy of one action is",
        )


@few
@given(mdps(), st.sampled_from(ALPHAS), st.data())
def test_boltzmann_step_improves_any_policy(row, drawn: Drawn, alpha, data):
    """SAC-06: the soft values of the Boltzmann policy of Q_pi are at least those of pi."""
    mdp = drawn.mdp
    before = evaluate_policy(mdp, data.draw(policies(mdp)), alpha)
    after = evaluate_policy(mdp, boltzmann(before.q, alpha), alpha)
    worst = max(0.0, float((before.values - after.values).max()))
    bound, reason = tolerances.improvement(mdp, alpha, before, after)
    row("SAC-06", "soft policy improvement", worst, bound, reason)


@few
@given(mdps(max_states=3), st.sampled_from(ALPHAS))
def test_policy_is_the_boltzmann_policy_of_the_exact_q(row, drawn: Drawn, alpha):
    mdp = drawn.mdp
    exact = drawn.exact.soft_optimal_values(alpha)
    found = solve_soft(mdp, alpha)
    q_error = mdp.discount * (1.0 + mdp.largest_defect) * found.error_bound + tolerances.backup(mdp, found.values)[0]
    with localcontext(prec=DIGITS):
        for state in drawn.exact.states:
            actions = drawn.exact.actions[state]
            q = {a: exact_q(drawn.exact, exact, state, a) for a in actions}
            top = max(q.values())
            powers = {a: ((value - top) / Decimal(alpha)).exp() for a, value in q.items()}
            for action in actions:
                true = powers[action] / sum(powers.values())
                bound, reason = tolerances.boltzmann(mdp, alpha, q_error, float(top - min(q.values())))
                error = float(abs(Decimal(float(found.policy[state, action])) - true))
                # Probabilities below the smallest float are zero.
                row("SAC-01", "Boltzmann policy", error, float(true) * min(bound, 1e300) + tolerances.SMALLEST, reason)


def exact_q(exact: Exact, values, state: int, action: int) -> Decimal:
    def decimal(x: Fraction) -> Decimal:
        return Decimal(x.numerator) / Decimal(x.denominator)

    expected = sum((decimal(p) * values[t] for t, p in exact.successors[state][action].items()), start=Decimal(0))
    return decimal(exact.rewards[state][action]) + decimal(exact.discount) * expected


def test_loop_or_stop(row):
    """SAC-05: the Boltzmann policy of Q_pi is not pi; from always stopping, iterating gives 3/5, 0.7427, ... -> 3/4."""
    case = named()["loop-or-stop"]
    policy, loop = np.array([[0.0, 1.0], [1.0, 0.0]]), Decimal(0)
    bound, reason = tolerances.data_rounding(case.mdp, 1.0)
    for step in range(6):
        policy = boltzmann(evaluate_policy(case.mdp, policy, 1.0).q, 1.0)
        # On paper: V = (p log 3 + (1 - p) log 4 + H(p)) / (1 - p/2), next p = 3 exp(V/2) / (3 exp(V/2) + 4).
        gains = ((loop, Decimal(3)), (1 - loop, Decimal(4)))
        value = sum((p * (reward / p).ln() for p, reward in gains if p), start=Decimal(0)) / (1 - loop / 2)
        loop = 3 * (value / 2).exp() / (3 * (value / 2).exp() + 4)
        row("SAC-05", f"probability to loop after step {step + 1}", abs(policy[0, 0] - float(loop)), bound, reason)
        if step == 0:
            row.exact("SAC-05", "first step", abs(loop - Decimal("0.6")) < Decimal("1e-25"), f"{loop}, expected 3/5")
    row("SAC-05", "fixed point of soft policy iteration", abs(policy[0, 0] - 3 / 4), bound, reason)
    for solver in (SoftPolicyIteration(1.0), SoftValueIteration(1.0)):
        found = solver.solve(case.mdp)
        rounding, reason = tolerances.data_rounding(case.mdp, float(np.abs(case.soft_values).max()))
        allowed = found.error_bound + rounding
        row("SAC-05", "soft values 2 log 4 and 0", np.abs(found.values - case.soft_values).max(), allowed, reason)


@pytest.mark.parametrize("name", [name for name, case in sorted(named().items()) if case.soft_values is not None])
def test_named_soft_values(row, name):
    case = named()[name]
    found = solve_soft(case.mdp, case.soft_alpha)
    rounding, reason = tolerances.data_rounding(case.mdp, float(np.abs(case.soft_values).max()))
    error = np.abs(found.values - case.soft_values).max()
    row("SAC-06", "closed-form soft values", error, found.error_bound + rounding, reason)
    # The operator contracts; its own rounding is within what bounds the error of its fixed point.
    gamma = case.mdp.discount
    away = np.abs(soft_residual(case.mdp, found.values, case.soft_alpha)).max()
    row(
        "SAC-06",
        "residual of soft values",
        away,
        (1.0 + gamma) * found.error_bound,
        "|T v - v| <= (1 + gamma) |v - v*|",
    )
    moved = soft_residual(case.mdp, found.values + 1.0, case.soft_alpha)
    off = np.abs(moved + (1.0 - gamma)).max()
    row(
        "SAC-06",
        "residual of values and a constant",
        off,
        4.0 * (found.error_bound + rounding),
        "T(v + c) = T v + gamma c",
    )


def test_temperature_limits(row):
    """SAC-02: towards zero uniform on the best actions, with the stated rates; towards infinity uniform."""
    q = np.array([[1.0, 3.0, 3.0, 0.0]])
    for alpha in (0.5, 0.1, 0.01):
        policy = boltzmann(q, alpha)
        allowed = 2.0 * np.exp(-2.0 / alpha)
        row("SAC-02", "mass away from the best actions", policy[0, [0, 3]].sum(), allowed, "(n - m) exp(-gap/alpha)")
        row.exact("SAC-02", "ties share", policy[0, 1] == policy[0, 2], f"{policy}")
    for alpha in (1e2, 1e4, 1e8):
        spread = np.abs(boltzmann(q, alpha) - 0.25).max()
        bound = np.expm1(3.0 / alpha) / 4.0 + tolerances.ELEMENTARY
        row("SAC-02", "distance to uniform", spread, bound, "(exp(R/alpha) - 1)/n, and one exponential")


def test_extreme_temperatures_neither_overflow_nor_stall(row):
    mdp = garnet(6, 3, 3, 2, 0.9)
    hard = solve(mdp)
    for alpha in (1e-300, 1e-12):
        found = solve_soft(mdp, alpha, 1e-6)
        allowed = hard.error_bound + found.error_bound + tolerances.entropy_bonus(mdp, alpha)[0]
        row(
            "SAC-06",
            "cold limit",
            np.abs(found.values - hard.values).max(),
            allowed,
            "bounds, alpha log A / (1 - gamma)",
        )
    hot = solve_soft(mdp, 1e6)
    uniform = np.full((6, 3), 1.0) / 3.0
    row("SAC-02", "hot limit", np.abs(hot.policy - uniform).max(), np.ptp(hot.q) / 1e6, "(exp(R/alpha) - 1)/n")


@pytest.mark.parametrize("name", ["FrozenLake8x8-v1", "CliffWalking-v1", "Taxi-v4"])
@pytest.mark.parametrize("alpha", [1e-3, 1.0])
def test_toy_text(row, name, alpha):
    # Hot and patient, an agent would rather live for ever than end: value iteration has nothing to mix there.
    assert SoftPolicyIteration(alpha).solve(from_gymnasium(name, 0.999)).converged
    mdp = from_gymnasium(name, 0.9)
    one, two = SoftPolicyIteration(alpha).solve(mdp), SoftValueIteration(alpha).solve(mdp)
    assert one.converged
    assert two.converged
    bound = one.error_bound + two.error_bound
    row("SAC-06", f"two soft solvers on {name}", np.abs(one.values - two.values).max(), bound, "both certified bounds")
    row(
        "SAC-06", f"terminal value on {name}", np.abs(one.values[mdp.terminal]), one.error_bound, "0, whatever alpha is"
    )


@pytest.mark.parametrize("discount", [0.5, 0.99, 0.9999, 1.0 - 1e-6])
@pytest.mark.parametrize("solver", [SoftValueIteration, SoftPolicyIteration])
def test_impossible_tolerances_end_with_an_honest_bound(row, discount, solver):
    mdp = garnet(4, 3, 3, 5, discount)
    found = solver(0.1, 5e-324).solve(mdp)
    assert found.status is Status.ROUNDING_FLOOR
    exact = Exact.of(mdp).soft_optimal_values(0.1)
    row("SAC-06", "soft values at the floor", distance(found.values, exact), *tolerances.certified(found.error_bound))
    floor, reason = tolerances.soft_floor(mdp, 0.1, found.values)
    row("SAC-06", "certificate at the floor", found.error_bound, tolerances.tightness()[0] * floor, reason)


def test_limits_and_choices_are_reported():
    mdp = chain(10, 0.99)
    for solver in (SoftValueIteration(0.1, max_iterations=2), SoftPolicyIteration(0.1, 5e-324, 1)):
        assert solver.solve(mdp).status is Status.MAX_ITERATIONS
    assert solve_soft(mdp, 0.1).solver == "soft policy iteration"
    assert solve_soft(garnet(1001, 2, 2, 0, 0.9, sparse_rows=True), 0.1).solver == "soft value iteration"


@pytest.mark.parametrize("alpha", [0.0, -1.0, np.nan, np.inf])
def test_meaningless_temperatures_are_refused(alpha):
    mdp = chain(3)
    for call in (lambda: solve_soft(mdp, alpha), lambda: SoftValueIteration(alpha).solve(mdp),
                 lambda: boltzmann(backup(mdp, np.zeros(3)), alpha)):  # fmt: skip
        with pytest.raises(ValueError, match=r"alpha is .*: expected a finite temperature > 0"):
            call()


@given(st.floats(-700.0, 0.0), st.floats(1.0, 1e6))
def test_elementary_functions_keep_the_charged_accuracy(row, x, z):
    """The constant on which soft certificates rest, on this machine's NumPy."""
    for name, seen, true in (
        ("exp", np.exp(np.full(9, x)), Decimal(x).exp()), ("log", np.log(np.full(9, z)), Decimal(z).ln())
    ):  # fmt: skip
        error = max(float(abs(Decimal(float(value)) - true)) for value in seen)  # vector lanes and remainder
        row("SAC-06", f"{name} in float64", error, certify.ELEMENTARY * float(abs(true)), "4 ulp charged")
