"""`reference.entropy_target`: certified entropies and their temperatures, against 50 digits and a conic solver."""

import dataclasses
import itertools
import math
from decimal import Decimal

import mpmath
import numpy as np
import pytest
import tolerances
import tolerances_temperature as bounds
from exact_entropy import mean_entropy, soft_optimal_policy
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import Drawn, few, mdps

from reference.bellman import boltzmann
from reference.entropy_target import (
    InfeasibleEntropy,
    certified_entropy,
    largest_entropy,
    soft_value_bounds,
    temperature_for_entropy,
    temperature_for_entropy_at,
)
from reference.library import chain, garnet
from reference.mdp import MDP
from reference.planning import solve
from reference.rounding import SLACK, UNIT_ROUNDOFF
from reference.soft import solve_soft

ALPHAS = (0.1, 1.0, 30.0)
MILD = (0.0, 0.5, 0.9, 0.99)


@few
@given(mdps(max_states=3, discounts=MILD), st.sampled_from(ALPHAS))
def test_certified_entropy_holds_the_exact_one(row, drawn: Drawn, alpha):
    """SAC-16: H(alpha) of the exact soft-optimal policy; its error is finite where values are known well enough."""
    exact = mean_entropy(drawn.exact, alpha)
    for mdp in (drawn.mdp, drawn.sparse):
        found = certified_entropy(mdp, solve_soft(mdp, alpha), alpha)
        assume(math.isfinite(found.error))
        error = float(abs(Decimal(found.value) - exact))
        row("SAC-16", "entropy over the occupancy", error, *tolerances.certified(found.error))


@few
@given(mdps(max_states=3, discounts=MILD, scales=(1.0, 1e-6, 1e6)), st.sampled_from([0.1, 0.5, 0.95]))
def test_temperature_of_a_target_entropy(row, drawn: Drawn, share):
    """SAC-20: the exact entropy is below the target at the lower end of the interval, and above at the upper."""
    mdp = drawn.mdp
    most = largest_entropy(mdp)
    assume(most.value > 0.0)
    target = share * most.value
    try:
        found = temperature_for_entropy(mdp, target)
    except InfeasibleEntropy:
        if most.value - most.error <= target:  # not proved to be below the largest entropy, which may be zero
            return
        cold = float(mean_entropy(drawn.exact, 2.0**-40 * (mdp.largest_reward or 1.0)))
        reason = "the entropy of best actions that tie, rounded once"
        row("SAC-20", "target refused though reached", max(target - cold, 0.0), tolerances.UNIT_ROUNDOFF, reason)
        return
    if found.low > 0.0:
        low = mean_entropy(drawn.exact, found.low)
        row.exact("SAC-20", "lower end for the occupancy", low <= Decimal(target), f"{low} > {target} at {found.low}")
    if found.high < math.inf:
        high = mean_entropy(drawn.exact, found.high)
        row.exact("SAC-20", "upper end for the occupancy", high >= Decimal(target), f"{high} < {target}")
    here = float(abs(mean_entropy(drawn.exact, found.alpha) - Decimal(found.achieved)))
    row("SAC-20", "entropy achieved", here, *tolerances.certified(found.achieved_error))
    assert found.low <= found.alpha <= found.high
    assert found.solution is not None
    np.testing.assert_array_equal(found.policy, found.solution.policy)


@pytest.mark.parametrize("make", [lambda: garnet(6, 3, 3, 2, 0.9), lambda: garnet(6, 3, 3, 2, 0.999), lambda: chain(8)])
def test_entropy_grows_with_the_temperature(row, make):
    """H is the derivative of a convex function of alpha: over four decades it does not fall, and has a sup."""
    mdp = make()
    most = largest_entropy(mdp)
    last = None
    for alpha in np.geomspace(1e-2, 1e2, 5):
        entropy = certified_entropy(mdp, solve_soft(mdp, float(alpha), 1e-11), float(alpha))
        if last is not None:
            fall = max(last.value - entropy.value, 0.0)
            row("SAC-18", "entropy grows with alpha", fall, last.error + entropy.error, "both certified errors")
        excess = max(entropy.value - most.value, 0.0)
        row("SAC-21", "entropy below the largest", excess, entropy.error + most.error, "both certified errors")
        last = entropy


def test_entropy_at_fixed_states_need_not_grow(row):
    """Soft values move with alpha: hot, the first state prefers the one action that leads to choices.

    State 0 has two actions with equal rewards, one to the end, one to a state with three equal choices, worth alpha
    log 3 / (1 - gamma): at alpha -> 0 both are taken equally often, entropy log 2, and hot it is less. Over the
    occupancy, the entropy of the choices makes up for it.
    """
    transitions, available = np.zeros((3, 3, 3)), np.zeros((3, 3), dtype=bool)
    transitions[0, 0, 2] = transitions[0, 1, 1] = 1.0
    transitions[1, :, 1] = transitions[2, :, 2] = 1.0
    available[0, :2] = available[1] = available[2, 0] = True
    rewards = np.zeros((3, 3))
    rewards[0, 0] = 1.0  # ending pays a little
    mdp = MDP(transitions, rewards, 0.5, np.array([1.0, 0.0, 0.0]), available)
    entropies = []
    for alpha in (0.5, 1.0, 2.0, 8.0):
        row_of_zero = solve_soft(mdp, alpha).policy[:1]
        entropies.append(float(-(row_of_zero * np.log(np.where(row_of_zero > 0, row_of_zero, 1.0))).sum()))
    falls = min(two - one for one, two in itertools.pairwise(entropies)) < 0.0
    row.exact("SAC-18", "entropy of one state falls with alpha", falls, f"{entropies}")
    over = [certified_entropy(mdp, solve_soft(mdp, alpha), alpha).value for alpha in (0.5, 1.0, 2.0, 8.0)]
    row.exact("SAC-18", "while that over the occupancy grows", over == sorted(over), f"{over}")
    # log 3 for ever after one step of choice, or rather H(p) + p gamma/(1 - gamma) log 3, largest at p = 3/4
    most, true = largest_entropy(mdp), 0.5 * math.log(4.0)
    row("SAC-21", "largest entropy seeks choices", abs(most.value - true), most.error + tolerances.ELEMENTARY, "exact")


@few
@given(mdps(max_states=3), st.sampled_from(ALPHAS))
def test_hard_values_bound_soft_ones(row, drawn: Drawn, alpha):
    """SAC-06 as a function."""
    hard = solve(drawn.mdp)
    lower, upper = soft_value_bounds(drawn.mdp, hard, alpha)
    soft = drawn.exact.soft_optimal_values(alpha)
    inside = all(Decimal(float(a)) <= v <= Decimal(float(b)) for a, v, b in zip(lower, soft, upper, strict=True))
    row.exact("SAC-06", "hard bounds on soft values", inside, f"{soft} outside [{lower}, {upper}]")
    # No wider than alpha log A / (1 - gamma), what the hard values may be off on either side, and a dozen roundings.
    bonus = alpha * math.log(drawn.mdp.available.sum(axis=1).max()) / (1.0 - drawn.mdp.discount)
    size = float(np.abs(hard.values).max()) + bonus
    slack = 2.0 * hard.error_bound + 12.0 * UNIT_ROUNDOFF * size + 2.0 * SLACK * bonus
    slack += 4.0 * (drawn.mdp.largest_defect + UNIT_ROUNDOFF) / (1.0 - drawn.mdp.discount) * bonus
    row("SAC-06", "width of the hard bounds", float((upper - lower).max()), bonus + slack, "as in the docstring")


@pytest.mark.parametrize("discount", [0.5, 0.9, 0.99])
def test_what_entropy_is_still_to_come_counts(row, discount):
    """A choice between a state where one chooses for ever and one where one never does, known to `blur` only."""
    alpha, blur = 1.0, 2.0**-10
    transitions = np.zeros((3, 2, 3))
    transitions[0, 0, 1] = transitions[0, 1, 2] = 1.0
    transitions[1:, :, :] = np.eye(3)[1:, None, :]
    available = np.array([[True, True], [True, True], [True, False]])
    free = alpha * math.log(2.0) / (1.0 - discount)  # worth of choosing for ever
    rewards = np.array([[0.0, discount * free], [0.0, 0.0], [0.0, 0.0]])
    mdp = MDP(transitions, rewards, discount, np.array([1.0, 0.0, 0.0]), available)
    exact = solve_soft(mdp, alpha, 1e-12)
    # Both actions of the first state are worth the same: half of the visits choose for ever, and the first does.
    ahead = math.log(2.0) * (1.0 - discount + 0.5 * discount)
    found = certified_entropy(mdp, exact, alpha)
    row("SAC-16", "entropy of both", abs(found.value - ahead), found.error + tolerances.ELEMENTARY, "exact")
    for sign in (-1.0, 1.0):
        blurred = dataclasses.replace(
            exact,
            values=exact.values + sign * blur * np.array([0.0, 1.0, -1.0]),
            error_bound=blur + exact.error_bound,
            deviation=None,
        )
        found = certified_entropy(mdp, blurred, alpha)
        row("SAC-16", "entropy from values with an error", abs(found.value - ahead), found.error, "certified")
        assert found.error < math.log(2.0), "an entropy of two actions is no larger: such a bound would say nothing"


Q = np.array([[0.0, 1.0, 2.0], [3.0, 3.0, -np.inf], [0.0, -4.0, 8.0]])
STATES = np.array([0.25, 0.25, 0.5])


@given(st.floats(0.05, 0.95))
def test_temperature_at_a_fixed_q(row, share):
    """SAC-18: between 1/4 log 2, the tie of the second state, and 3/4 log 3 + 1/4 log 2; exact in 40 digits."""
    least, most = 0.25 * math.log(2), 0.75 * math.log(3) + 0.25 * math.log(2)
    target = least + share * (most - least)
    found = temperature_for_entropy_at(Q, target, STATES)
    with mpmath.workdps(40):

        def entropy(alpha):
            total = mpmath.mpf(0)
            for mass, values in zip(STATES, Q, strict=True):
                powers = [mpmath.exp((mpmath.mpf(v) - values.max()) / mpmath.mpf(alpha)) for v in values if v > -np.inf]
                z = sum(powers)
                total -= mass * sum(p / z * mpmath.log(p / z) for p in powers)
            return total

        row.exact("SAC-18", "lower end at a fixed q", entropy(found.low) <= target, f"{found}")
        row.exact("SAC-18", "upper end at a fixed q", entropy(found.high) >= target, f"{found}")
        error = float(abs(entropy(found.alpha) - mpmath.mpf(found.achieved)))
        row("SAC-18", "entropy achieved at a fixed q", error, *tolerances.certified(found.achieved_error))
        slope = float(mpmath.diff(entropy, mpmath.mpf(found.alpha)))
    policy = boltzmann(Q, found.alpha)
    np.testing.assert_array_equal(found.policy, policy)
    values = np.where(np.isfinite(Q), Q, 0.0)
    variance = (policy * (values - (policy * values).sum(axis=1, keepdims=True)) ** 2).sum(axis=1)
    bound, reason = bounds.elasticity(3, 12.0 / found.alpha)
    derivative = STATES @ variance / found.alpha**3
    row("SAC-18", "dH/dalpha = Var(q)/alpha^3", abs(derivative - slope) * found.alpha, bound, reason)


def test_temperature_against_a_conic_solver(row):
    """SAC-20: alpha is the multiplier of the entropy constraint over occupancies, by Clarabel."""
    cvxpy = pytest.importorskip("cvxpy", reason="the third opinion needs cvxpy and clarabel")
    mdp = garnet(4, 3, 3, 7, 0.8)
    target = 0.6 * largest_entropy(mdp).value
    found = temperature_for_entropy(mdp, target)
    assert found.solution is not None
    d = cvxpy.Variable((4, 3), nonneg=True)
    mass = cvxpy.sum(d, axis=1)
    entropy = -sum(cvxpy.rel_entr(d[s, a], mass[s]) for s in range(4) for a in range(3))
    inflow = sum(d[s, a] * mdp.transitions[s, a] for s in range(4) for a in range(3))
    constraint = entropy >= target
    flow = mass == (1.0 - mdp.discount) * mdp.initial + mdp.discount * inflow
    problem = cvxpy.Problem(cvxpy.Maximize(cvxpy.sum(cvxpy.multiply(mdp.rewards, d))), [constraint, flow])
    problem.solve(solver=cvxpy.CLARABEL)
    assert problem.status == "optimal"

    def dual(alpha: float) -> float:
        """g(alpha) - alpha target, whose minimum is the optimum."""
        return (1.0 - mdp.discount) * float(mdp.initial @ solve_soft(mdp, alpha, 1e-12).values) - alpha * target

    theirs = float(constraint.dual_value)
    scale = 1.0 + float(np.abs(found.solution.values).max()) + found.alpha
    slack, reason = bounds.conic(scale)
    row("SAC-20", "conic value at a target entropy", abs(dual(found.alpha) - problem.value), slack, reason)
    # dual'' = dH/dalpha, from certified entropies at the ends of an interval that holds both temperatures
    reach = 1.25 * found.alpha
    rise = certified_entropy(mdp, solve_soft(mdp, reach, 1e-12), reach).value - target
    assert rise > 0.0
    least = 0.25 * rise / (reach - found.alpha)
    gap = max(dual(theirs) - dual(found.alpha), 0.0) + slack
    row("SAC-20", "conic multiplier", abs(theirs - found.alpha), *bounds.strong_convexity(gap, least))


def test_entropies_that_no_temperature_reaches():
    mdp = garnet(6, 3, 3, 2, 0.9)
    with pytest.raises(InfeasibleEntropy, match=r"target entropy 1\.2: expected less than 1\.0986.* nats"):
        temperature_for_entropy(mdp, 1.2)
    for target in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(InfeasibleEntropy, match=r"expected a finite number of nats > 0"):
            temperature_for_entropy(mdp, target)
    tied = MDP(mdp.transitions, np.zeros((6, 3)), 0.9)  # nothing to choose by: log 3 at every temperature
    with pytest.raises(InfeasibleEntropy, match=r"still has 1\.0986.* best actions tie|Best actions tie"):
        temperature_for_entropy(tied, 0.5)
    twins = np.repeat(np.asarray(mdp.transitions)[:, :1], 2, axis=1)
    doubled = MDP(
        np.concatenate([twins, np.asarray(mdp.transitions)[:, 1:2]], axis=1),
        np.column_stack([np.ones(6), np.ones(6), np.zeros(6)]), 0.9,
    )  # fmt: skip
    with pytest.raises(InfeasibleEntropy, match=r"still has 0\.69.* nats .* at alpha = "):
        temperature_for_entropy(doubled, 0.5)  # at most the log 2 of the twins
    assert temperature_for_entropy(doubled, 0.8).achieved_error < 0.8 - math.log(2)
    with pytest.raises(InfeasibleEntropy, match=r"strictly between 0\.173.* and 0\.99"):
        temperature_for_entropy_at(Q, 0.1, STATES)
    with pytest.raises(ValueError, match="one such pair in every state"):
        temperature_for_entropy_at(np.full((1, 2), -np.inf), 0.1, np.ones(1))
    with pytest.raises(ValueError, match="initial"):
        temperature_for_entropy_at(Q, 0.5, np.ones(3))


def test_oracle_on_paper(row):
    """The oracle itself: one state, q = (0, log 3) at alpha = 1: p = (1/4, 3/4)."""
    mdp = MDP(np.ones((1, 2, 1)), np.array([[0.0, math.log(3)]]), 0.5)
    policy = soft_optimal_policy(Drawn(mdp).exact, 1.0)[0]
    row("SAC-01", "oracle on paper", float(abs(policy[0] - Decimal("0.25"))), *tolerances.input_rounding(0.25, 1.1))
    true = 0.25 * math.log(4) + 0.75 * math.log(4 / 3)
    bound, reason = tolerances.input_rounding(1.0, 2.0)
    row(
        "SAC-16",
        "oracle's mean entropy on paper",
        abs(float(mean_entropy(Drawn(mdp).exact, 1.0)) - true),
        bound,
        reason,
    )
