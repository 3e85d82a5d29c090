"""Exact policy gradients against derivatives of exact values, to fifty digits: three metrics and a direction (C9)."""

from __future__ import annotations

from decimal import Context, Decimal, localcontext

import dual
import numpy as np
import pytest
import tolerances_gradients
from dual import Dual, dot
from episodic import ending, shared
from exact import solve_linear
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import few, mdps, vectors

from reference import MDP
from reference.learning import (
    Softmax,
    Task,
    average_gradient,
    policy_values,
    q_values,
    reinforce_direction,
    start_gradient,
    stationary_gradient,
    tabular,
)
from reference.occupancy import recurrent_classes
from reference.rounding import gamma_n


@st.composite
def situations(draw, discounts=(0.0, 0.5, 0.9, 0.999)):
    """A process, a softmax policy (of logits, or of two features of its pairs) and its parameters."""
    mdp = draw(mdps(3, 2, discounts=discounts, scales=(1.0, 1.0 / 3.0, 1e8))).mdp
    assume(np.where(mdp.terminal, 0.0, mdp.initial).any())
    if draw(st.booleans()):
        policy = tabular(mdp)
    else:
        policy = Softmax(draw(vectors(2 * mdp.rewards.size, 0.125)).reshape(*mdp.rewards.shape, 2), mdp.available)
    return mdp, policy, draw(vectors(policy.dimension, 0.25))


def live_of(task: Task) -> list[int]:
    return np.flatnonzero(~task.terminal).tolist()


def compare(row, id: str, quantity: str, found, exact) -> None:
    """Gradient and objective against the derivatives, within their own bounds."""
    values, slopes = zip(*exact, strict=True)
    row(id, f"gradient of {quantity}", tolerances_gradients.distance(found.gradient, slopes), found.error_bound,
        "certified")  # fmt: skip
    row(id, quantity, tolerances_gradients.distance(found.objective, values[:1]), found.objective_bound, "certified")


@few
@given(situations(), st.booleans())
def test_start_value(row, situation, given_law):
    """`sum d v_pi` with a fixed `d`, the initial law or another: weights `d (I - gamma P)^{-1}` (RL-24)."""
    mdp, policy, theta = situation
    task = Task(mdp)
    law = np.arange(1.0, mdp.n_states + 1) if given_law else None
    found = start_gradient(task, policy, theta, law)
    live = live_of(task)
    if law is None:
        exact_law = [Decimal(float(mdp.initial[s])) for s in live]
        with localcontext(Context(prec=50)):
            exact_law = [mass / sum(exact_law) for mass in exact_law]
    else:
        exact_law = [Decimal(float(law[s])) for s in live]
    exact = dual.derivatives(mdp, policy.features, theta, lambda p: dot(exact_law, p.values(live, p.discount)))
    compare(row, "RL-24", "the start value", found, exact)
    if law is None:
        row("RL-24", "certificate of the gradient", found.error_bound,
            *tolerances_gradients.certificate(task, policy, theta))  # fmt: skip
        mass = found.weights.sum() * (1.0 - mdp.discount)
        # Weights never sum to more: what is missing has ended. Rows may miss one by rounding, over 1 - gamma.
        slack = (mdp.largest_defect + tolerances_gradients.relative(policy, theta, 64)) / (1.0 - mdp.discount)
        row("RL-24", "the weights have mass 1 / (1 - gamma) at most", max(0.0, mass - 1.0), 4.0 * slack, "rounding")


@few
@given(situations())
def test_average_reward_and_stationary_value(row, situation):
    """`r_bar`, and `sum d_pi v_pi` whose law moves with the policy (RL-23, RL-24); transient states, periods, ends."""
    mdp, policy, theta = situation
    assume(len(recurrent_classes(mdp, policy.probabilities(theta))) == 1)
    found = average_gradient(mdp, policy, theta)
    exact = dual.derivatives(mdp, policy.features, theta, lambda p: dot(p.stationary(), p.pay()))
    compare(row, "RL-24", "the average reward", found, exact)
    everywhere = list(range(mdp.n_states))

    def stationary_value(process: dual.Process) -> Dual:
        system = process.system(process.discount, completed=True)
        return dot(process.stationary(), solve_linear(system, process.pay()))

    exact = dual.derivatives(mdp, policy.features, theta, stationary_value)
    compare(row, "RL-23", "the stationary value", stationary_gradient(mdp, policy, theta), exact)
    row.exact("RL-23", "weights of the average are a law", bool((found.weights[everywhere] >= 0.0).all()),
              f"expected nonnegative weights, saw {found.weights}")  # fmt: skip


def test_weights_and_values_must_match(row):
    """RL-24: d_pi with discounted q is the gradient for d_pi held fixed, and misses `(1 - gamma) grad d_pi . v_pi`."""
    rows = [[[0.75, 0.25], [0.25, 0.75]], [[0.5, 0.5], [0.0, 1.0]]]
    features, theta = np.eye(4).reshape(2, 2, 4), np.array([0.5, -0.25, 0.0, 1.0])
    missed = []
    for discount in (0.5, 0.875, 0.984375):  # 1 - gamma is a power of two
        mdp = MDP(rows, [[1.0, -1.0], [2.0, 0.5]], discount)
        policy = tabular(mdp)
        full = average_gradient(mdp, policy, theta)
        frozen = start_gradient(Task(mdp), policy, theta, full.weights)
        margin = 1.0 - discount
        gap = full.gradient - margin * frozen.gradient
        allowed = full.error_bound + margin * frozen.error_bound + gamma_n(4) * np.abs(full.gradient)
        # The law that is held fixed is rounded: a relative error of it is one of `sum d grad v`, and is in this bound.
        allowed += tolerances_gradients.certificate(Task(mdp), policy, theta)[0]

        def moved(process: dual.Process) -> Dual:
            values = process.values([0, 1], process.discount)
            return (1 - process.discount) * dot(process.stationary(), [one.value for one in values])

        slopes = [slope for _, slope in dual.derivatives(mdp, features, theta, moved)]
        row("RL-24", "what discounted q misses", tolerances_gradients.distance(gap, slopes), allowed, "certified")
        row.exact("RL-24", "it is no rounding", bool(np.abs(gap).max() > 2.0 * allowed.max()), f"saw {gap}, {allowed}")
        missed.append(float(np.abs(gap).max() - allowed.max()))
    row.exact("RL-24", "and falls with 1 - gamma", missed[0] > missed[1] > missed[2] > 0.0, f"saw {missed}")


def test_metrics_differ(row):
    """RL-23: r = (1, 0), chain (1/2, 1/2), (1/4, 3/4), gamma = 1/2: r_bar = 1/3, but (1 - gamma) v(s0) = 5/7."""
    mdp = MDP([[[0.5, 0.5]], [[0.25, 0.75]]], [[1.0], [0.0]], 0.5, [1.0, 0.0])
    policy, theta = tabular(mdp), np.zeros(2)
    average, start = average_gradient(mdp, policy, theta), start_gradient(Task(mdp), policy, theta)
    slack = gamma_n(3)  # of 1/3 and 5/7 as floats
    row("RL-23", "average reward", abs(average.objective - 1.0 / 3.0), average.objective_bound + slack, "certified")
    row("RL-23", "start value", abs(0.5 * start.objective - 5.0 / 7.0), start.objective_bound + slack, "certified")
    stationary = stationary_gradient(mdp, policy, theta)
    row("RL-23", "stationary value", abs(0.5 * stationary.objective - 1.0 / 3.0), stationary.objective_bound + slack,
        "certified")  # fmt: skip
    still = MDP([[[1.0, 0.0]], [[0.0, 1.0]]], [[1.0], [2.0]], 0.5)
    with pytest.raises(ValueError, match="2 recurrent classes"):
        average_gradient(still, tabular(still), theta)
    held = start_gradient(Task(still), tabular(still), theta)
    row("RL-23", "a fixed law needs no recurrent class", abs(held.objective - 3.0), held.objective_bound, "certified")


def test_without_the_factor(row):
    """RL-25: in dJ/dp = +1/4 the update without gamma^t moves p by -1/2; with gamma = 1 both are dJ/dp = -1/2."""
    theta = np.zeros(1)  # p = 1/2, and dp/dtheta = 1/4
    task, policy = shared(0.5)
    gradient, direction = start_gradient(task, policy, theta), reinforce_direction(task, policy, theta)
    row("RL-25", "dJ/dp", abs(gradient.gradient - 0.0625), gradient.error_bound, "certified")
    row("RL-25", "direction without gamma^t", abs(direction.vector + 0.125), direction.error_bound, "certified")
    task, policy = shared(1.0)
    gradient, direction = start_gradient(task, policy, theta), reinforce_direction(task, policy, theta)
    row("RL-25", "dJ/dp without a discount", abs(gradient.gradient + 0.125), gradient.error_bound, "certified")
    row("RL-25", "the same direction", abs(direction.vector + 0.125), direction.error_bound, "certified")


def formula(task: Task, visits_discount: Decimal):
    """(1) of `reference.learning.policy_gradient` in any field: entry k of the vector, for tables of logits."""
    live = live_of(task)
    begin = [Dual(float(task.mdp.initial[s])) for s in live]
    discount = Decimal(task.discount)

    def entry(process: dual.Process, k: int) -> Dual:
        system = process.system(visits_discount)
        visits = solve_linear([[system[t][s] for t in live] for s in live], begin)
        values = dict(zip(live, process.values(live, discount), strict=True))
        state, action = divmod(k, task.mdp.n_actions)
        if state not in values or action not in process.policy[state]:
            return Dual(0)
        following = sum((process.rows[state][action][t] * values[t] for t in live), start=Dual(0))
        advantage = process.rewards[state][action] + discount * following - values[state]
        return visits[live.index(state)] * process.policy[state][action] * advantage

    return entry


@pytest.mark.parametrize("discount", [0.5, 1.0])
def test_direction_is_no_gradient(row, discount):
    """RL-25: its Jacobian is not symmetric for gamma < 1, so no function has it as its gradient; with gamma^t it is."""
    task = ending(discount)
    policy, theta = tabular(task.mdp), np.array([0.5, -0.5, 0.25, 0.0, 0.0, 0.0])
    jacobians = {}
    for name, visits_discount in (("with", Decimal(discount)), ("without", Decimal(1))):
        entry = formula(task, visits_discount)
        columns = [list(dual.derivatives(task.mdp, policy.features, theta, lambda p, k=k, entry=entry: entry(p, k)))
                   for k in range(4)]  # fmt: skip
        vector = [column[0][0] for column in columns]
        if name == "with":
            found = start_gradient(task, policy, theta)
            seen, bound = found.gradient, found.error_bound
        else:
            found = reinforce_direction(task, policy, theta)
            seen, bound = found.vector, found.error_bound
        row(
            "RL-25",
            f"direction {name} gamma^t",
            tolerances_gradients.distance(seen[:4], vector),
            bound[:4],
            "certified",
        )
        jacobians[name] = [[slope for _, slope in column[:4]] for column in columns]
    twist = {name: max(abs(float(j[a][b] - j[b][a])) for a in range(4) for b in range(4))
             for name, j in jacobians.items()}  # fmt: skip
    size = max(abs(float(x)) for line in jacobians["with"] for x in line)
    digits = size * 10.0 ** -(dual.DIGITS - 10)
    row("RL-25", "asymmetry of the Hessian", twist["with"], digits, "ten digits less than were computed")
    if discount < 1.0:
        row.exact("RL-25", "no gradient without gamma^t", twist["without"] > 2.0 * digits,
                  f"asymmetry {twist['without']} of {size}")  # fmt: skip
    else:
        row("RL-25", "asymmetry without a discount", twist["without"], digits, "ten digits less than were computed")


@few
@given(situations((0.0, 0.5, 0.9)))
def test_action_values_of_many(row, situation):
    """The values behind the baselines, for many parameters at once, against certified ones."""
    mdp, policy, theta = situation
    task = Task(mdp)
    many = q_values(task, policy.probabilities(np.stack([theta, -theta])))
    live = mdp.available & ~mdp.terminal[:, None]
    for one, parameters in zip(many, (theta, -theta), strict=True):
        exact = policy_values(task, policy.probabilities(parameters))
        # A backward stable solve of a system of norm 2 whose inverse has norm 1 / (1 - gamma), and the backup.
        size = mdp.largest_reward / (1.0 - mdp.discount)
        solve = 6.0 * mdp.n_states * gamma_n(mdp.n_states + 4) * 4.0 * size / (1.0 - mdp.discount)
        slack = solve + (gamma_n(2 * mdp.rewards.size + 8) + 4.0 * policy.accuracy(parameters)) * size * 2.0 / (
            1.0 - mdp.discount
        )
        row("RL-27", "action values of many policies", np.abs(one - exact.q)[live].max(initial=0.0),
            exact.error_bound + slack, "certified, and a backward stable solve")  # fmt: skip


def test_errors():
    task = ending(0.5)
    policy, theta = tabular(task.mdp), np.zeros(6)
    for wrong in (np.zeros(5), np.full(6, np.inf)):
        with pytest.raises(ValueError, match="expected finite numbers of shape"):
            policy.probabilities(wrong)
    with pytest.raises(ValueError, match="more than 700"):
        start_gradient(task, policy, np.array([800.0, 0.0, 0.0, 0.0, 0.0, 0.0]))
    with pytest.raises(ValueError, match="expected the pairs of the process"):
        start_gradient(task, tabular(MDP([[[1.0]]], [[1.0]], 0.5)), np.zeros(1))
    with pytest.raises(ValueError, match="expected numbers >= 0"):
        start_gradient(task, policy, theta, np.array([1.0, -1.0, 0.0]))
    with pytest.raises(ValueError, match="feature 0 of state 1, action 0"):
        Softmax(np.array([[[0.0]], [[np.nan]]]), np.ones((2, 1), dtype=np.bool_))
    forever = MDP([[[1.0]]], [[1.0]], 0.5)
    with pytest.raises(ValueError, match="need not"):
        reinforce_direction(Task(forever), tabular(forever), np.zeros(1))
