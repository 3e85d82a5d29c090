"""Whole runs of sampled policy gradients gain what is proven, and their critics find the values (C9, C10).

False alarms below 1e-9 for each row.
"""

from __future__ import annotations

import numpy as np
import pytest
import tolerances_gradients
import tolerances_learning
import tolerances_linear
from episodic import shared, twins
from hypothesis import example, given
from hypothesis import strategies as st
from situations import ending, situations
from strategies import few
from tolerances import FALSE_ALARM

from reference import MDP
from reference.learning import (
    Gain,
    StepSizes,
    Task,
    a2c,
    action_noise,
    actor_gains,
    constant,
    domination_constant,
    enveloped,
    gradient_moments,
    martingale_bound,
    off_policy_a2c,
    on_policy_law,
    one_hot,
    optimal_values,
    policy_values,
    projected_fixed_point,
    prospects,
    qac,
    reinforce,
    reinforce_gains,
    rescaled_linear,
    smoothness,
    start_gradient,
    state_noise,
    tabular,
    td_operator,
    td_outcomes,
    value_baseline,
    weight_envelope,
)
from reference.rounding import gamma_n

STILL = constant(2.0**-200)
"""Actor steps that no float notices: the policy stays what it is."""


def fork(discount: float = 0.5) -> Task:
    """A turn into one of two states that pay 1 or nothing and 1/8 or nothing, and the end: two steps at most."""
    rows = np.zeros((4, 2, 4))
    rows[0, 0, 1] = rows[0, 1, 2] = 1.0
    rows[1:, :, 3] = 1.0
    available = np.array([[True, True]] * 3 + [[True, False]])
    pay = [[0.0, 0.0], [1.0, 0.0], [0.125, 0.0], [0.0, 0.0]]
    return Task(MDP(rows, pay, min(discount, 0.5), [0.5, 0.25, 0.25, 0.0], available), discount)


WRONG_TURN = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
"""The best policy of `fork` that turns the wrong way."""
EVEN = np.array([[0.5, 0.5]] * 3 + [[1.0, 0.0]])


def collected(gains) -> Gain:
    """Every field `(K, R)`."""
    return Gain(*(np.array(column) for column in zip(*gains, strict=True)))


def accounted(row, id, name, task, gains, smooth, rounding):
    """(3) at every step and (4) after every step; what the run is then bound to have gained, after each step."""
    error = np.abs(gains.after - gains.before - gains.realised)
    row(id, f"gain of a step, {name}", error, 0.5 * smooth * gains.moved + rounding, "L-smoothness, and exact values")
    radius = martingale_bound(gains.variance, gains.width, FALSE_ALARM)
    steps = np.arange(1, len(error) + 1)
    stray = np.abs(np.cumsum((gains.realised - gains.expected).sum(axis=1)))
    row(id, f"updates of a run, {name}", stray, radius + steps * error.shape[1] * rounding,
        f"Freedman's martingale at all times, false alarm {FALSE_ALARM:g}")  # fmt: skip
    certain = np.cumsum((gains.expected - 0.5 * smooth * gains.moved).sum(axis=1)) - radius
    return certain - steps * error.shape[1] * 2.0 * rounding


def begun(task: Task, logits: np.ndarray) -> np.ndarray:
    """Logits that are 0 where nothing is chosen."""
    return np.where(task.terminal[:, None], np.where(task.mdp.available, 0.0, -np.inf), logits)


@few
@given(situations(), st.integers(0, 2**32 - 1))
@example(ending(), 0)
def test_actors_on_random_processes(row, situation, seed):
    """Whatever the process, the tables and the behaviour: the exact account of QAC and A2C holds (RL-28, RL-29)."""
    task, behaviour, (table, other) = situation
    rng, steps, runs = np.random.default_rng(seed), 25, 8
    logits = begun(task, np.where(task.mdp.available, other / 16.0, -np.inf))
    values = np.where(task.terminal, 0.0, np.where(task.mdp.available, table, np.inf).min(axis=1)) / 8.0
    sizes, rest = (constant(0.125), constant(0.5)), (steps, runs, rng, logits)
    smooth = smoothness(task, tabular(task.mdp))
    rounding = tolerances_gradients.gain(task, 1.0 + float(np.abs(table[np.isfinite(table)]).max(initial=0.0)))
    for id, name, gains in (
        ("RL-28", "QAC", actor_gains(qac(task, *sizes, *rest, table), task, logits, table)),
        ("RL-28", "A2C", actor_gains(a2c(task, *sizes, *rest, values), task, logits, values)),
        ("RL-29", "off-policy A2C", actor_gains(off_policy_a2c(task, behaviour, *sizes, *rest, values), task, logits,
                                                values, behaviour)),
    ):  # fmt: skip
        accounted(row, id, f"{name} on random processes", task, collected(gains), smooth, rounding)


@few
@given(situations(), st.integers(0, 2**32 - 1), st.booleans())
@example(ending(), 0, True)
def test_reinforce_on_random_processes(row, situation, seed, factor):
    """Episodes cut after three rewards, with a baseline and without, with gamma^t and without (RL-25, RL-27)."""
    task, _, (table, _) = situation
    policy, rng, horizon = tabular(task.mdp), np.random.default_rng(seed), 3
    theta = np.where(np.isfinite(table), table, 0.0).ravel() / 16.0
    smooth, rounding = smoothness(task, policy, horizon), tolerances_gradients.gain(task, 1.0)
    for name, baseline in (("none", None), ("v", value_baseline)):
        updates = reinforce(task, policy, constant(0.125), 15, horizon, 8, rng, theta, baseline=baseline, factor=factor)
        gains = collected(reinforce_gains(updates, task, policy, theta, horizon, baseline=baseline, factor=factor))
        accounted(row, "RL-25", f"REINFORCE on random processes, baseline {name}", task, gains, smooth, rounding)
        exact = gradient_moments(task, policy, theta, horizon, factor=factor).mean
        slope = gradient_moments(task, policy, theta, horizon).mean
        row("RL-25", "expected gain of REINFORCE", np.abs(gains.expected[0] - 0.125 * exact @ slope), rounding,
            "two recursions")  # fmt: skip


@few
@given(situations(), st.integers(0, 2**32 - 1))
@example(ending(), 0)
def test_exact_sides(row, situation, seed):
    """Prospects are the certified ones; (5) holds, and (3) does for steps of any length (RL-24)."""
    task, _, _ = situation
    policy, rng = tabular(task.mdp), np.random.default_rng(seed)
    thetas = rng.integers(-8, 9, (6, policy.dimension)) / 4.0
    rounding, smooth = tolerances_gradients.gain(task, 1.0), smoothness(task, policy)
    probabilities = policy.probabilities(thetas)
    found = prospects(task, probabilities)
    slopes = (found.visits[:, :, None] * probabilities * found.advantages).reshape(len(thetas), -1)
    for theta, objective, slope in zip(thetas, found.objective, slopes, strict=True):
        exact = start_gradient(task, policy, theta)
        row("RL-24", "objective of many policies", abs(objective - exact.objective), exact.objective_bound + rounding,
            "certified, and plain solves")  # fmt: skip
        row("RL-24", "gradient of many policies", np.abs(slope - exact.gradient), exact.error_bound + rounding,
            "certified, and plain solves")  # fmt: skip
    gaps = thetas[:, None] - thetas[None]
    errors = found.objective[:, None] - found.objective[None] - np.einsum("jd,ijd->ij", slopes, gaps)
    row("RL-24", "smoothness", np.abs(errors), 0.5 * smooth * (gaps**2).sum(axis=2) + 64.0 * rounding, "L of (2)")
    best, starts = optimal_values(task), np.where(task.terminal, 0.0, task.mdp.initial)
    top = float(starts @ np.where(task.terminal, 0.0, best.values) / starts.sum())
    constants, lengths = domination_constant(task, probabilities), np.linalg.norm(slopes, axis=1)
    counted = np.isfinite(constants)
    lack = np.maximum(top - found.objective, 0.0)[counted]
    row("RL-24", "gradient domination", lack, (constants * (lengths + rounding))[counted] * (1.0 + 2.0**-30)
        + best.error_bound + rounding, "(5)")  # fmt: skip


def test_a_third_of_the_smoothness_is_needed(row):
    """Two actions that pay 1 and 0: curvature reaches 1/(3 sqrt 3) along the logits, and L is 1/2 (RL-24)."""
    task = Task(MDP(np.ones((1, 2, 1)), [[1.0, 0.0]], 0.0))
    policy, length = tabular(task.mdp), 2.0**-8
    # p'' = p (1 - p) (1 - 2 p) is largest at p = (3 + sqrt 3) / 6.
    theta = np.array([np.log(2.0 + np.sqrt(3.0)), 0.0])
    moved = theta + length * np.array([1.0, -1.0])
    here, there = start_gradient(task, policy, theta), start_gradient(task, policy, moved)
    bent = abs(there.objective - here.objective - here.gradient @ (moved - theta)) / (0.5 * 2.0 * length**2)
    row.exact("RL-24", "L of a bandit", smoothness(task, policy) == 0.5, f"saw {smoothness(task, policy)}")
    row.exact("RL-24", "a third of L is needed", bent > 0.5 / 3.0, f"curvature {bent}")


@pytest.mark.long
@pytest.mark.parametrize("baseline", ["none", "v"])
def test_reinforce(row, baseline):
    """The mean square of the gradient along a run, hence of what the policy lacks, is at most what is proven (RL-25).

    Where runs begin both are larger: no run has stayed there. And J ends above that of every policy that turns the
    wrong way, another stationary point.
    """
    task, steps, runs, size = fork(1.0), 600, 32, 0.0625
    policy, chosen = tabular(task.mdp), None if baseline == "none" else value_baseline
    updates = reinforce(task, policy, constant(size), steps, 2, runs, np.random.default_rng(1), 0.0, baseline=chosen)
    kept, smooth = [], smoothness(task, policy, 2)
    watched = (kept.append(update.theta.copy()) or update for update in updates)
    gains = collected(reinforce_gains(watched, task, policy, 0.0, 2, baseline=chosen))
    rounding = tolerances_gradients.gain(Task(task.mdp, 0.5), 1.0)
    certain = accounted(row, "RL-25", f"REINFORCE, baseline {baseline}", task, gains, smooth, rounding)
    thetas = np.array([np.zeros((runs, policy.dimension)), *kept[:-1]])
    square = gains.expected / size
    top = float(optimal_values(task).values @ task.mdp.initial)
    # What is certain without the expected updates is what they may have cost at most: J has nowhere else to go.
    most = ((top - gains.before[0]).sum() - certain[-1]) / (size * steps * runs) + square.mean()
    row("RL-25", f"mean square of the gradient, baseline {baseline}", square.mean(), most, "Ghadimi and Lan, with (4)")
    row.exact("RL-25", f"runs leave the start, baseline {baseline}", most < square[0].min(), f"{most}, {square[0]}")
    constants = domination_constant(task, policy.probabilities(thetas.reshape(-1, policy.dimension)))
    lack = np.sqrt(np.mean((top - gains.before) ** 2))
    proven = constants.max() * np.sqrt(most)
    row("RL-25", f"what policies lack along a run, baseline {baseline}", lack, proven, "(5), Mei et al. 2020, lemma 8")
    wrong = float(prospects(task, WRONG_TURN[None]).objective[0])
    promised = gains.before[0].mean() + certain.max() / runs
    row.exact("RL-25", f"better than any wrong turn, baseline {baseline}", promised > wrong, f"{promised}, {wrong}")


@pytest.mark.long
@pytest.mark.parametrize("method", ["QAC", "A2C", "off-policy A2C"])
def test_actor_critic(row, method):
    """Actor and critic learning together: what the actor is bound to gain is more than any wrong turn has (RL-28).

    Expected updates are those of the critic as it stands; that they are as large as they are says that it has learnt.
    """
    task, steps, runs = fork(), 1000, 32
    smooth, rest = smoothness(task, tabular(task.mdp), 2), (constant(0.0625), StepSizes(1.0, 2.0 / 3.0), steps, runs)
    rng, behaviour = np.random.default_rng(2), EVEN if method == "off-policy A2C" else None
    learner = {"QAC": qac, "A2C": a2c}.get(method, lambda task, *given: off_policy_a2c(task, EVEN, *given))
    gains = collected(actor_gains(learner(task, *rest, rng), task, 0.0, 0.0, behaviour))
    id = "RL-29" if behaviour is not None else "RL-28"
    rounding = tolerances_gradients.gain(task, 1.0)
    certain = accounted(row, id, method, task, gains, smooth, rounding)
    wrong = float(prospects(task, WRONG_TURN[None]).objective[0])
    promised = gains.before[0].mean() + certain.max() / runs
    row.exact(id, f"{method} is better than any wrong turn", promised > wrong, f"{promised}, {wrong}")
    ended = gains.after[certain.argmax()].mean()
    row(id, f"what {method} gains", max(0.0, promised - ended), rounding, "the account of a run")


@pytest.mark.parametrize("method", ["A2C", "off-policy A2C"])
@pytest.mark.parametrize("fault", ["rewards of the wrong sign", "no bootstrap"])
def test_faults_break_the_account(row, method, fault):
    """What (4) tells apart: learners of neighbouring processes do not make the updates that are expected (RL-28)."""
    task, behaviour = fork(), EVEN if method == "off-policy A2C" else None
    wrong = Task(task.mdp, 0.0)
    if fault != "no bootstrap":
        wrong = Task(MDP(task.mdp.transitions, -task.mdp.rewards, 0.5, task.mdp.initial, task.mdp.available))
    learner = a2c if behaviour is None else lambda task, *given: off_policy_a2c(task, EVEN, *given)
    steps = learner(wrong, constant(0.25), StepSizes(1.0, 2.0 / 3.0), 250, 32, np.random.default_rng(3))
    gains = collected(actor_gains(steps, task, 0.0, 0.0, behaviour))
    stray = np.abs(np.cumsum((gains.realised - gains.expected).sum(axis=1)))
    radius = martingale_bound(gains.variance, gains.width, FALSE_ALARM)
    row.exact("RL-28", f"seen in {method}: {fault}", bool((stray > radius).any()), f"{(stray / radius).max():.2g}")


def test_the_factor_is_missed(row):
    """REINFORCE without gamma^t breaks (4) where its mean is taken for the gradient, and keeps it otherwise (RL-25)."""
    (task, policy), steps, runs = shared(0.5), 100, 32
    for factor in (True, False):
        updates = reinforce(task, policy, constant(0.125), steps, 2, runs, np.random.default_rng(6), 0.0, factor=False)
        gains = collected(reinforce_gains(updates, task, policy, 0.0, 2, factor=factor))
        stray = np.abs(np.cumsum((gains.realised - gains.expected).sum(axis=1)))
        outside = bool((stray > martingale_bound(gains.variance, gains.width, FALSE_ALARM)).any())
        row.exact(
            "RL-25", f"{'with' if factor else 'without'} gamma^t in the account", outside == factor, f"{stray[-1]}"
        )


@pytest.mark.long
@pytest.mark.parametrize("method", ["QAC", "A2C"])
def test_critics(row, method):
    """With an actor at rest, the critics find q_pi and v_pi along trajectories, and not the optimum (RL-17)."""
    task, sizes, steps = twins(0.5), rescaled_linear(0.5), 1500
    policy = task.mdp.available / task.mdp.available.sum(axis=1, keepdims=True)
    found, best, live = policy_values(task, policy), optimal_values(task), ~task.terminal
    rng, pairs = np.random.default_rng(4), method == "QAC"
    learner = (qac if pairs else a2c)(task, STILL, sizes, steps, 2, rng)
    truth, other = (found.q, best.q) if pairs else (found.values, best.values)
    noise = action_noise(task, truth, policy, drawn=True) if pairs else state_noise(task, policy, truth)
    start, last, bound = task.table(2) if pairs else np.zeros((2, task.mdp.n_states)), None, np.zeros(0)
    critics = (step.critic for step in learner)
    for last, bound in enveloped(critics, task, truth, noise, start, sizes, steps, FALSE_ALARM):  # noqa: B007
        pass
    slack, reason = tolerances_learning.updates(task, truth, steps, 0.0)
    slack += tolerances_learning.sampled_law(task, tolerances_learning.magnitude(task, truth)) / (1.0 - task.discount)
    known = np.isfinite(truth) & (live[:, None] if pairs else live)
    limit = bound[:, known] + slack + found.error_bound
    row("RL-28", f"critic of {method}", np.abs(last.table[:, known] - truth[known]), limit,
        f"proven bound, false alarm {FALSE_ALARM:g}, and {reason}")  # fmt: skip
    apart = (np.abs(truth[known] - other[known]) - limit).max(axis=1)
    row.exact("RL-28", f"and not the optimum, {method}", bool((apart > 0.0).all()), f"too wide by {-apart.min():.2g}")


@pytest.mark.long
def test_off_policy_critic(row):
    """With an actor at rest, weighted TD(0) finds the values of the actor, not those of the behaviour (RL-29)."""
    rows = np.array([[[0.75, 0.25], [0.25, 0.75]], [[0.25, 0.75], [0.75, 0.25]]])
    task, logits = Task(MDP(rows, [[2.0, 0.5], [1.5, 1.0]], 0.25)), np.array([[1.0, -1.0], [1.0, -1.0]])
    policy, behaviour = tabular(task.mdp).probabilities(logits.ravel()), np.full((2, 2), 0.5)
    law, steps, size, runs = on_policy_law(task, behaviour), 3000, 0.75 * 2.0**-8, 8
    found = projected_fixed_point(td_operator(task, policy), one_hot(2), law)
    other = projected_fixed_point(td_operator(task, behaviour), one_hot(2), law)
    outcomes = td_outcomes(task, policy, one_hot(2), None, behaviour)
    envelope = weight_envelope(outcomes, found.weights, constant(size), other.weights, steps, np.eye(2), runs,
                               FALSE_ALARM)  # fmt: skip
    *_, last = off_policy_a2c(task, behaviour, STILL, constant(size), steps, runs, np.random.default_rng(5), logits,
                              other.weights)  # fmt: skip
    slack, reason = tolerances_linear.run(task, envelope, found, size, 2.0)
    bound = envelope.bounds[-1] + slack
    row(
        "RL-29", "critic of off-policy A2C", np.abs(last.critic.table - found.weights), bound, f"proven bound, {reason}"
    )
    apart = float((np.abs(found.weights - other.weights) - bound).max())
    row.exact("RL-29", "v_pi and not the behaviour's values", apart > 0.0, f"the bounds are too wide by {-apart:.2g}")


def test_errors():
    with pytest.raises(ValueError, match="discount is 1"):
        smoothness(fork(1.0), tabular(fork(1.0).mdp))
    with pytest.raises(ValueError, match="failure is 0"):
        martingale_bound(np.ones((1, 1)), np.ones((1, 1)), 0.0)


def test_martingale_bounds_know_the_past_alone():
    """A bound after k steps is that of these k steps; replications count as so much more of the same step."""
    rng = np.random.default_rng(7)
    variances, widths = rng.random((5, 3)), 0.1 + rng.random((5, 3))
    bounds = martingale_bound(variances, widths, 0.1)
    assert (np.diff(bounds) > 0.0).all()
    for k in range(1, 6):
        np.testing.assert_array_equal(bounds[:k], martingale_bound(variances[:k], widths[:k], 0.1))
    each = martingale_bound(variances.reshape(15, 1), widths.reshape(15, 1), 0.1)[2::3]
    # Fifteen nonnegative numbers in two orders: fewer than 64 roundings, none of them magnified.
    np.testing.assert_allclose(bounds, each, rtol=gamma_n(64), atol=0.0)
