"""The conditional problem: Gumbel values in one step and as fixed points, against 50 digits and a conic solver."""

import dataclasses
import math
from decimal import Context, Decimal, localcontext
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import tolerances
from exact import DIGITS, Exact, distance
from hypothesis import given
from hypothesis import strategies as st
from strategies import BETAS, DISCOUNTS, Drawn, few, mdps, policies, weighted_data

from reference import certify
from reference.bellman import backup
from reference.conditional import conditional_ratio, conditional_value, gumbel_operator, gumbel_value
from reference.divergence import KL
from reference.evaluation import evaluate_policy
from reference.library import chain, garnet
from reference.mdp import MDP
from reference.occupancy import occupancy_bound, occupancy_measure
from reference.planning import solve
from reference.solution import Status
from reference.weights import optimal_weights

QUICK = tuple(discount for discount in DISCOUNTS if discount <= 0.99)
TEMPERATURES = (1e-3, 0.1, 1.0, 30.0)


def exact_conditional_values(drawn: Drawn, behavior_policy: np.ndarray, beta: float) -> list[Decimal]:
    """Fifty digits: the soft optimum at temperature beta of rewards r + beta log pi_D over the actions of pi_D."""
    with localcontext(Context(prec=DIGITS, Emin=-(10**9), Emax=10**9)):
        rewards, actions = [], []
        for known, row in zip(drawn.exact.rewards, behavior_policy, strict=True):
            mass = sum(Fraction(float(p)) for p in row)
            shares = [Fraction(float(p)) / mass for p in row]
            logs = [
                Fraction((Decimal(p.numerator) / Decimal(p.denominator)).ln()) if p else Fraction(0) for p in shares
            ]
            rewards.append([r + Fraction(beta) * log for r, log in zip(known, logs, strict=True)])
            actions.append(np.flatnonzero(row).tolist())
    return dataclasses.replace(drawn.exact, rewards=rewards, actions=actions).soft_optimal_values(beta)


@given(case=weighted_data())
def test_gumbel_value_to_eighty_digits(row, case):
    """beta log E exp(q/beta), beta over ten decades, and the theorem E q <= v <= max q (GUM-01)."""
    q, policy = case.advantage, case.behavior
    value = float(gumbel_value(q, policy, case.beta))
    bound, reason = tolerances.gumbel(q, policy, case.beta)
    with mpmath.workdps(80):
        law = [mpmath.mpf(float(p)) for p in policy]
        beta, numbers = mpmath.mpf(case.beta), [mpmath.mpf(float(x)) for x in q]
        mean = mpmath.fsum(p * mpmath.exp(x / beta) for p, x in zip(law, numbers, strict=True)) / mpmath.fsum(law)
        error = float(abs(beta * mpmath.log(mean) - mpmath.mpf(value)))
        average = float(mpmath.fsum(p * x for p, x in zip(law, numbers, strict=True)) / mpmath.fsum(law))
    row("GUM-01", "Gumbel value", error, bound, reason)
    row("GUM-01", "E q <= v", max(average - value, 0.0), bound, reason)
    row("GUM-01", "v <= max q", max(value - float(q[policy > 0.0].max()), 0.0), bound, reason)


@given(case=weighted_data())
def test_gumbel_value_is_the_value_of_the_relaxed_problem(row, case):
    """One state: the KL optimum of `reference.weights`, found by another path, and its weights (GUM-01, KL-04)."""
    solved = optimal_weights(case.advantage, case.behavior, case.beta, KL())
    value = gumbel_value(case.advantage, case.behavior, case.beta)
    bound, reason = tolerances.gumbel(case.advantage, case.behavior, case.beta)
    row("GUM-01", "Gumbel value and KL optimum", abs(float(value) - solved.value), bound + solved.gap, reason)
    ratio = conditional_ratio(case.advantage, case.behavior, case.beta)
    support = case.behavior > 0.0
    error = np.abs(ratio - solved.weights)[support]
    relative = 2.0 * bound / case.beta + tolerances.divergence_accuracy(1.0)[0]
    relative = relative + 2.0**-51 * (1.0 + np.ptp(case.advantage[support]) / case.beta)
    row("KL-04", "ratio", error, solved.weights[support] * relative + solved.weights_error, reason + ", over beta")
    row.exact("OCC-06", "no ratio without data", bool(np.all(np.isnan(ratio[~support]))), f"saw {ratio[~support]}")


@given(
    case=weighted_data(betas=[0.5, 1.0, 4.0], scales=[1.0]), step=st.sampled_from([-1.0, -(2.0**-10), 2.0**-10, 1.0])
)
def test_gumbel_value_is_the_minimiser_of_the_regression(row, case, step):
    """E[e^z - z - 1], z = (q - v)/beta: least at v, where it is (v - E q)/beta, and larger on both sides (GUM-01)."""
    q, law, beta = case.advantage[case.behavior > 0.0], case.behavior[case.behavior > 0.0], case.beta

    def loss(v: float) -> float:
        z = (q - v) / beta
        return math.fsum(law * (np.expm1(z) - z)) / math.fsum(law)

    value = float(gumbel_value(q, law, beta))
    average = math.fsum(law * q) / math.fsum(law)
    z = np.abs((q - value) / beta)
    scale = 4.0 * (1.0 + float(np.max(law * np.exp((q - value) / beta))) + float(z.max()))
    bound, reason = tolerances.conjugate_identity(len(q), scale)
    bound += 4.0 * float(tolerances.gumbel(q, law, beta)[0]) / beta
    row("GUM-01", "least loss", abs(loss(value) - (value - average) / beta), bound, reason)
    # strictly convex: at distance h the loss is larger by e^-s - 1 + s with s = h / beta
    s = step / beta
    rise = math.expm1(-s) + s
    gained = loss(value + step) - loss(value)
    row("GUM-01", "rise away from the minimiser", abs(gained - rise), bound * (1.0 + math.exp(abs(s))), reason)


def test_gumbel_value_by_hand(row):
    """q = (0, log 9/5) at beta = 1 under (1/2, 1/2): log 7/5; an action without data does not count."""
    q = np.array([[0.0, math.log(9 / 5), math.nan], [3.0, -np.inf, 1e300]])
    policy = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    bound, reason = tolerances.input_rounding(1.0, 1.0)
    row("GUM-01", "value", np.abs(gumbel_value(q, policy, 1.0) - [math.log(7 / 5), 3.0]), bound, reason)
    # soft minimum, the fault of a flipped sign (e^-z): it would lie below the mean
    row.exact("GUM-01", "above the mean", gumbel_value(q, policy, 1.0)[0] > math.log(9 / 5) / 2, "v <= E q")


@few
@given(drawn=mdps(), beta=st.sampled_from(TEMPERATURES), data=st.data())
def test_fixed_point_to_fifty_digits(row, drawn: Drawn, beta, data):
    """V = beta log E_piD exp((r + gamma P V)/beta) on random MDPs, dense and CSR, within its own bound (OCC-06)."""
    behavior = data.draw(policies(drawn.mdp))
    exact = exact_conditional_values(drawn, behavior, beta)
    for mdp in (drawn.mdp, drawn.sparse):
        found = conditional_value(mdp, behavior, beta)
        row("OCC-06", "conditional values", distance(found.values, exact), *tolerances.certified(found.error_bound))
        assert found.converged == (found.error_bound <= 1e-8), found
        np.testing.assert_array_equal(np.isneginf(found.q), ~mdp.available)
        row.exact("OCC-06", "policy within pi_D", bool(np.all(found.policy[behavior == 0.0] == 0.0)), "new actions")
        terminal = np.append(np.abs(found.values[mdp.terminal]), 0.0)
        row("OCC-06", "terminal values", terminal, *tolerances.certified(found.error_bound))


@few
@given(drawn=mdps(max_states=3), beta=st.sampled_from(TEMPERATURES), data=st.data(), size=st.floats(1e-12, 1.0))
def test_certificate_encloses_any_values(row, drawn: Drawn, beta, data, size):
    """The bounds hold wherever the values come from, not only at the end of the solver (OCC-06)."""
    behavior = data.draw(policies(drawn.mdp))
    exact = exact_conditional_values(drawn, behavior, beta)
    shifts = data.draw(st.lists(st.integers(-50, 50), min_size=len(exact), max_size=len(exact)))
    values = np.array([float(v) for v in exact]) + size * np.array(shifts, dtype=np.float64)
    bounds = gumbel_operator(behavior, beta).certify(drawn.mdp, values, 0.0)
    errors = [true - Decimal(float(value)) for true, value in zip(exact, values, strict=True)]
    row.exact("OCC-06", "lower bound", Decimal(bounds.lower) <= min(errors), f"{bounds.lower} above {min(errors)}")
    row.exact("OCC-06", "upper bound", Decimal(bounds.upper) >= max(errors), f"{bounds.upper} below {max(errors)}")


@few
@given(drawn=mdps(discounts=QUICK), beta=st.sampled_from(TEMPERATURES), data=st.data())
def test_ratio_has_mean_one_in_every_state(row, drawn: Drawn, beta, data):
    """E_piD[pi*/pi_D | s] = 1 and pi* = ratio pi_D: it corrects no state marginal (OCC-06)."""
    behavior = data.draw(policies(drawn.mdp))
    found = conditional_value(drawn.mdp, behavior, beta)
    product = behavior * np.where(behavior > 0.0, found.ratio, 0.0)
    spans = np.where(behavior > 0.0, np.abs(found.q), 0.0).max() / beta
    bound, reason = tolerances.conjugate_identity(behavior.shape[1] + 8, 4.0 + 4.0 * float(spans))
    row("OCC-06", "mean of the ratio", np.abs(product.sum(axis=1) / behavior.sum(axis=1) - 1.0), bound, reason)
    row("OCC-06", "policy is ratio times pi_D", np.abs(found.policy - product), bound, reason)


@few
@given(drawn=mdps(discounts=QUICK, scales=(1.0,)), beta=st.sampled_from((0.1, 1.0, 30.0)), data=st.data())
def test_value_is_the_optimum_of_the_conditional_problem(row, drawn: Drawn, beta, data):
    """(1 - gamma) E V = sum d r - beta sum d log(pi*/pi_D) at pi*, and no other policy has more (OCC-06)."""
    mdp = drawn.mdp
    behavior = data.draw(policies(mdp, positive=True))
    found = conditional_value(mdp, behavior, beta)
    for policy, optimal in ((found.policy, True), (data.draw(policies(mdp)), False)):
        occupancy = occupancy_measure(mdp, policy)
        used = policy > 0.0
        price = np.where(used, np.log(np.where(used, policy, 1.0) / np.where(used, behavior, 1.0)), 0.0)
        objective = math.fsum((occupancy * (mdp.rewards - beta * price)).ravel())
        magnitude = float(np.abs(mdp.rewards).max() + beta * np.abs(price).max())
        error = occupancy_bound(mdp, policy, occupancy)
        bound, reason = tolerances.flow_identity(mdp, magnitude, error, found.error_bound)
        # the values speak of laws relative to their sums, the policy of its own floats: rows may miss one by rounding
        bound += magnitude * tolerances.total_mass(mdp, error)[0] / (1.0 - mdp.discount)
        if optimal:
            row("OCC-06", "objective of pi*", abs(objective - found.objective), bound, reason)
        else:
            row("OCC-06", "objective of another policy", max(objective - found.objective, 0.0), bound, reason)


@few
@given(drawn=mdps(discounts=QUICK), beta=st.sampled_from(BETAS), data=st.data())
def test_values_between_those_of_behavior_and_the_optimum(row, drawn: Drawn, beta, data):
    """v_piD <= V <= v*, increasing as beta falls; for large beta within span(q)^2/(8 beta (1 - gamma)) of v_piD.

    The last is Hoeffding's lemma: beta log E e^(q/beta) <= E q + span(q)^2/(8 beta).
    """
    mdp = drawn.mdp
    behavior = data.draw(policies(mdp, positive=True))
    found, colder = conditional_value(mdp, behavior, beta), conditional_value(mdp, behavior, beta / 4.0)
    own, best = evaluate_policy(mdp, behavior), solve(mdp)
    slack = found.error_bound + colder.error_bound + own.error_bound + best.error_bound
    # evaluate_policy takes the rows of the policy as they are, (1) relative to their sums
    slack += (
        tolerances.total_mass(mdp, 0.0)[0] * float(np.abs(own.values).max() + mdp.largest_reward) / (1.0 - mdp.discount)
    )
    reason = "certified errors of the solvers, rows of the policy that miss one by rounding"
    row("OCC-06", "at least v_piD", np.maximum(own.values - found.values, 0.0), slack, reason)
    row("OCC-06", "at most v*", np.maximum(found.values - best.values, 0.0), slack, reason)
    row("OCC-06", "colder is larger", np.maximum(found.values - colder.values, 0.0), slack, reason)
    span = float(np.ptp(np.where(mdp.available, found.q, np.nan)[mdp.available]))
    hoeffding = span**2 / (8.0 * beta * (1.0 - mdp.discount * (1.0 + mdp.largest_defect)))
    row("GUM-01", "near v_piD", np.maximum(found.values - own.values, 0.0), hoeffding + slack, "Hoeffding's lemma")


@pytest.mark.parametrize("beta", [0.2, 2.0])
def test_against_an_independent_conic_solver(row, beta):
    """Clarabel on max sum d r - beta sum d log(pi_d/pi_D) over occupancies: within its own two-sided gap (OCC-06).

    Its policy, evaluated here, bounds the optimum from below; its multipliers V, shifted up until V >= T V, from above.
    """
    cvxpy = pytest.importorskip("cvxpy", reason="the third opinion needs cvxpy and clarabel")
    mdp = garnet(4, 3, 2, seed=1, discount=0.9)
    behavior = np.random.default_rng(0).dirichlet(np.ones(3), size=4)
    d = cvxpy.Variable((4, 3), nonneg=True)
    states = cvxpy.sum(d, axis=1)
    price = sum(cvxpy.sum(cvxpy.rel_entr(d[s], behavior[s] * states[s])) for s in range(4))
    transitions = np.asarray(mdp.transitions)
    inflow = sum(transitions[s].T @ d[s] for s in range(4))
    flow = states == (1.0 - mdp.discount) * mdp.initial + mdp.discount * inflow
    problem = cvxpy.Problem(cvxpy.Maximize(cvxpy.sum(cvxpy.multiply(d, mdp.rewards)) - beta * price), [flow])
    problem.solve(solver=cvxpy.CLARABEL)
    assert problem.status == "optimal"

    theirs = d.value / d.value.sum(axis=1, keepdims=True)
    rewards = mdp.rewards - beta * np.log(theirs / behavior)
    evaluated = evaluate_policy(MDP(mdp.transitions, rewards, mdp.discount, mdp.initial), theirs)
    lower = (1.0 - mdp.discount) * float(mdp.initial @ evaluated.values)

    def from_above(values: np.ndarray) -> float:
        """Any V gives an upper bound; so does either sign of the solver's multipliers, one of them a sharp one."""
        excess = gumbel_value(backup(mdp, values), behavior, beta) - values
        return (1.0 - mdp.discount) * float(mdp.initial @ values) + float(excess.max())

    upper = min(from_above(np.asarray(flow.dual_value)), from_above(-np.asarray(flow.dual_value)))
    found = conditional_value(mdp, behavior, beta)
    bound = max(upper - lower, 0.0) + found.error_bound + evaluated.error_bound
    row("OCC-06", "conic value", abs(found.objective - lower), bound, "gap between the conic solver's two answers")
    # an opinion that could not tell V from the values of pi_D would be worth nothing
    own = (1.0 - mdp.discount) * float(mdp.initial @ evaluate_policy(mdp, behavior).values)
    assert upper - lower < found.objective - own


def test_three_ratios_are_three(row):
    """The MDP of KL-05: the relaxed optimum moves mass between states, the conditional ratio cannot (OCC-06).

    s0 leads to s1 by either action; s1 repeats itself and pays +-log 9. Both ratios are known by hand.
    """
    log9 = math.log(9.0)
    transitions = np.zeros((2, 2, 2))
    transitions[:, :, 1] = 1.0
    mdp = MDP(transitions, np.array([[0.0, 0.0], [log9, -log9]]), 0.5, np.array([1.0, 0.0]))
    uniform = np.full((2, 2), 0.5)
    found = conditional_value(mdp, uniform, 1.0)
    relaxed = optimal_weights([[0.0, 0.0], [log9, -log9]], np.full((2, 2), 0.25), 1.0)
    bound, reason = tolerances.input_rounding(2.0, log9)
    # E e^r = (9 + 1/9)/2 = 41/9: the ratio is e^r / E e^r
    expected = np.array([[1.0, 1.0], [81 / 41, 1 / 41]])
    row("OCC-06", "conditional ratio", np.abs(found.ratio - expected), bound + found.error_bound, reason)
    expected = np.array([[9 / 25, 9 / 25], [81 / 25, 1 / 25]])
    row("KL-05", "relaxed ratio", np.abs(relaxed.weights - expected), bound + relaxed.weights_error, reason)
    value = 2.0 * math.log(41 / 9)  # V(s1) = log 41/9 + V(s1)/2
    row(
        "OCC-06", "values by hand", np.abs(found.values - [value / 2.0, value]), 4.0 * bound + found.error_bound, reason
    )


def test_large_and_sparse(row):
    """Two hundred states as CSR: dense and sparse agree within their bounds, in a handful of Newton steps."""
    mdp = garnet(200, 4, 3, seed=0, discount=0.99, sparse_rows=True)
    behavior = np.random.default_rng(1).dirichlet(np.ones(4), size=200)
    found, dense = conditional_value(mdp, behavior, 0.5), conditional_value(mdp.to_dense(), behavior, 0.5)
    bound = found.error_bound + dense.error_bound
    row("OCC-06", "dense and CSR", np.abs(found.values - dense.values), bound, "certified errors of both")
    assert found.iterations <= 10
    assert found.converged


def test_status_tells_what_was_reached():
    mdp = chain(5)
    behavior = np.where(mdp.available, 1.0, 0.0) / mdp.available.sum(axis=1, keepdims=True)
    assert conditional_value(mdp, behavior, 1.0).status is Status.CONVERGED
    assert conditional_value(mdp, behavior, 1.0, tolerance=5e-324).status is Status.ROUNDING_FLOOR
    limited = conditional_value(garnet(20, 3, 3, seed=0), np.full((20, 3), 1 / 3), 0.01, max_iterations=1)
    assert limited.status is Status.MAX_ITERATIONS
    assert limited.error_bound > certify.UNIT_ROUNDOFF
    assert "error <= " in repr(limited)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gumbel_value(np.zeros(2), np.full(2, 0.5), 0.0), "beta is 0.0: expected a finite temperature > 0"),
        (lambda: gumbel_value(np.zeros(2), np.full(2, 0.5), math.nan), "beta is nan"),
        (lambda: gumbel_value(np.zeros((2, 2)), np.full((2, 3), 1 / 3), 1.0), r"q has shape \(2, 2\): expected"),
        (lambda: gumbel_value(np.array([1.0, math.nan]), np.full(2, 0.5), 1.0), r"q\[1\] is nan where behavior_policy"),
        (lambda: gumbel_value(np.zeros(2), np.array([0.5, 0.4]), 1.0), r"sums to 0\.9: expected 1 up to rounding"),
        (lambda: conditional_value(chain(3), np.full((3, 2), 0.5), 1.0), r"state 2, action 1.*not available"),
        (lambda: conditional_value(chain(3), np.eye(3)[:, :2], 1.0), "policy in state 2 sums to 0.0"),
        (lambda: conditional_value(chain(3), np.eye(3, 2), -1.0), "policy in state 2|beta is -1.0"),
        (lambda: conditional_value(chain(2), np.array([[0.5, 0.5], [1.0, 0.0]]), 1.0, tolerance=0.0), "tolerance is 0"),
    ],
)
def test_wrong_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_exact_oracle_agrees_with_a_closed_form(row):
    """The oracle itself on one state: V = log(E e^r)/(1 - gamma) at beta = 1."""
    mdp = MDP(np.ones((1, 2, 1)), np.array([[0.0, 1.0]]), 0.5)
    drawn = Drawn(mdp)
    assert isinstance(drawn.exact, Exact)
    [value] = exact_conditional_values(drawn, np.array([[0.25, 0.75]]), 1.0)
    with mpmath.workdps(50):
        true = 2 * mpmath.log((1 + 3 * mpmath.e) / 4)
        error = float(abs(mpmath.mpf(str(value)) - true))
    row("OCC-06", "oracle", error, *tolerances.forty_digits(float(true)))
