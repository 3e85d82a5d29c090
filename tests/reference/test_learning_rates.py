"""Sampled temporal differences converge to the exact fixed points at proven rates; false alarms below 1e-9 (C7)."""

from __future__ import annotations

import numpy as np
import pytest
import tolerances_learning
from episodic import twins
from hypothesis import given
from hypothesis import strategies as st
from strategies import few, mdps, policies
from tolerances import FALSE_ALARM

from reference import MDP
from reference.learning import (
    Step,
    StepSizes,
    TargetNoise,
    Task,
    action_noise,
    constant,
    double_q_learning,
    enveloped,
    enveloped_windows,
    epsilon_greedy,
    epsilon_soft_optimum,
    expected_sarsa,
    expected_sarsa_rule,
    exploring,
    following,
    n_step_noise,
    n_step_rule,
    n_step_sarsa,
    n_step_td,
    noise_weights,
    optimal_values,
    policy_values,
    q_learning,
    q_learning_rule,
    random_walk,
    rescaled_linear,
    sarsa,
    state_noise,
    synchronous,
    synchronous_envelope,
    td,
    td_error_moments,
)
from reference.rounding import gamma_n


def uniform(task: Task) -> np.ndarray:
    return task.mdp.available / task.mdp.available.sum(axis=1, keepdims=True)


LEANING = np.array([[0.9375, 0.0625], [0.9375, 0.0625], [0.0625, 0.9375], [0.0625, 0.9375], [1.0, 0.0]])
"""A policy of `twins` that mostly takes one action, so that there is little noise in what it takes."""


def held(row, id, quantity, task, run, truth, bound, start=0.0, steps=1):
    """Errors of the last tables against their bounds; returns the bounds of one replication at pairs that count."""
    live = np.isfinite(truth) & (~task.terminal if truth.ndim == 1 else ~task.terminal[:, None])
    slack, reason = tolerances_learning.updates(task, truth, steps, start)
    slack += tolerances_learning.sampled_law(task, tolerances_learning.magnitude(task, truth)) / (1.0 - task.discount)
    error = np.abs(run[..., live] - truth[live])
    row(id, quantity, error, bound[..., live] + slack, f"proven bound, false alarm {FALSE_ALARM:g}, and {reason}")


def tells_apart(row, id, quantity, bound, truth, other):
    """The bound is small enough to tell the fixed point from another one: a run within it is not at the other."""
    known = np.isfinite(truth)
    margin = np.abs(truth[known] - other[known]) - bound[..., known]
    row.exact(id, quantity, bool((margin.max(axis=-1) > 0.0).all()), f"the bounds are too wide by {-margin.max():.2g}")


def run(task, learner, truth, noise, sizes, steps, replications, start=0.0, tables=None):
    """The last table of a learner and its bound."""
    first = task.table(replications, start) if tables is None else tables
    last, bound = None, None
    for last, bound in enveloped(learner, task, truth, noise, first, sizes, steps, FALSE_ALARM):  # noqa: B007
        pass
    return last.table, bound


STEPS = 1000


@pytest.mark.parametrize("behaviour", ["off-policy", "on-policy"])
def test_q_learning(row, behaviour):
    task, sizes = twins(0.5), rescaled_linear(0.5)
    best, other = optimal_values(task), policy_values(task, uniform(task))
    act = following(uniform(task)) if behaviour == "off-policy" else exploring(0.5)
    learner = q_learning(task, act, sizes, STEPS, 2, np.random.default_rng(1), 3.0)
    table, bound = run(task, learner, best.q, action_noise(task, best.q), sizes, STEPS, 2, 3.0)
    held(row, "RL-18", f"Q-learning converges to q*, {behaviour}", task, table, best.q, bound, 3.0, STEPS)
    tells_apart(row, "RL-18", f"q* and not the behaviour's q, {behaviour}", bound, best.q, other.q)


def test_a_pair_that_is_not_visited_keeps_its_value(row):
    """The condition of RL-18, and what the bound says without it."""
    task, sizes = twins(0.5), rescaled_linear(0.5)
    never = np.array([[1.0, 0.0]] * 5)
    best = optimal_values(task)
    learner = q_learning(task, following(never), sizes, 50, 3, np.random.default_rng(2), 7.0)
    table, bound = run(task, learner, best.q, action_noise(task, best.q), sizes, 50, 3, 7.0)
    kept = table[:, :4, 1]
    row.exact("RL-18", "unvisited pairs keep their first value", bool((kept == 7.0).all()), f"saw {kept}")
    row.exact(
        "RL-18", "and their first bound", bool((bound[:, :4, 1] == np.abs(7.0 - best.q[:4, 1])).all()), f"{bound}"
    )


def test_double_q_learning(row):
    """With 3 gamma < 1, where the proof holds (`enveloped`)."""
    task, sizes = twins(0.25), rescaled_linear(0.75)
    best, other = optimal_values(task), policy_values(task, uniform(task))
    tables = np.repeat(task.table(2)[:, None], 2, axis=1)
    learner = double_q_learning(task, exploring(0.5), sizes, STEPS, 2, np.random.default_rng(3))
    table, bound = run(task, learner, best.q, action_noise(task, best.q), sizes, STEPS, 2, tables=tables)
    held(row, "RL-19", "double Q-learning converges to q*", task, table, best.q, bound, 0.0, STEPS)
    tells_apart(row, "RL-19", "q* and not the uniform policy's q", bound, best.q, other.q)


def test_expected_sarsa(row):
    """Off-policy: the table's own epsilon-greedy policy acts, the uniform one is evaluated (RL-16)."""
    task, sizes = twins(0.5), rescaled_linear(0.5)
    policy = uniform(task)
    truth, other = policy_values(task, policy).q, optimal_values(task).q
    learner = expected_sarsa(task, following(policy), exploring(0.5), sizes, STEPS, 2, np.random.default_rng(4))
    table, bound = run(task, learner, truth, action_noise(task, truth, policy), sizes, STEPS, 2)
    held(row, "RL-16", "Expected Sarsa converges to q_pi, off-policy", task, table, truth, bound, 0.0, STEPS)
    tells_apart(row, "RL-16", "q_pi and not q*", bound, truth, other)


def test_sarsa_control(row):
    """Sarsa that explores with constant epsilon converges to the best epsilon-soft policy, not to q* (RL-11)."""
    task, sizes, epsilon = twins(0.5), rescaled_linear(0.5), 0.9
    _, truth = epsilon_soft_optimum(task, epsilon)
    noise = action_noise(task, truth, epsilon_greedy(truth, epsilon), drawn=True)
    learner = sarsa(task, exploring(epsilon), sizes, 3 * STEPS, 2, np.random.default_rng(5))
    table, bound = run(task, learner, truth, noise, sizes, 3 * STEPS, 2)
    held(row, "RL-11", "epsilon-greedy Sarsa converges to the epsilon-soft optimum", task, table, truth, bound, 0.0,
         3 * STEPS)  # fmt: skip
    tells_apart(row, "RL-11", "the epsilon-soft optimum and not q*", bound, truth, optimal_values(task).q)


@pytest.mark.long
@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("method", ["TD", "Sarsa"])
def test_windows(row, method, n):
    """TD(0), Sarsa and their n-step forms along trajectories, where windows overlap (RL-15, RL-17)."""
    task, policy, steps = twins(0.5), LEANING, 2500
    sizes, id, rng = rescaled_linear(0.5**n), "RL-15" if method == "TD" else "RL-17", np.random.default_rng(n)
    found, other = policy_values(task, policy), policy_values(task, uniform(task))
    if method == "TD":
        truth, noise, start = found.values, state_noise(task, policy, found.values), np.zeros((2, task.mdp.n_states))
        learner = (n_step_td if n > 1 else td)(task, policy, *([n] if n > 1 else []), sizes, steps, 2, rng)
        truth, far = np.where(task.terminal, 0.0, truth), np.where(task.terminal, 0.0, other.values)
    else:
        truth, far, noise = found.q, other.q, action_noise(task, found.q, policy, drawn=True)
        start, act = task.table(2), following(policy)
        learner = (n_step_sarsa if n > 1 else sarsa)(task, act, *([n] if n > 1 else []), sizes, steps, 2, rng)
    known = [task, truth, noise, start, *([n] if n > 1 else []), sizes, steps, FALSE_ALARM]
    last, bound = None, np.zeros(0)
    for last, bound in (enveloped_windows if n > 1 else enveloped)(learner, *known):  # noqa: B007
        pass
    name = f"{n}-step {method}"
    held(row, id, f"{name} along trajectories", task, last.table, truth, bound + found.error_bound, 0.0, steps)
    tells_apart(row, id, f"{name}: the policy's values and not the uniform one's", bound, truth, far)


@few
@given(st.data(), st.integers(0, 2**32 - 1))
def test_random_processes(row, data, seed):
    """The bounds hold on any process, however little a short run has learnt."""
    mdp = data.draw(mdps(4, 2, discounts=(0.0, 0.5, 0.9), scales=(1.0,)))
    mdp = mdp.mdp if not mdp.mdp.terminal[mdp.mdp.initial > 0.0].all() else MDP([[[1.0]]], [[2.0]], 0.5)
    task, sizes = Task(mdp), rescaled_linear(mdp.discount)
    policy = data.draw(policies(mdp, positive=True))
    rng, steps = np.random.default_rng(seed), 40
    best, found = optimal_values(task), policy_values(task, policy)
    for id, quantity, learner, truth, noise, start in (
        ("RL-18", "Q-learning", q_learning(task, exploring(0.5), sizes, steps, 2, rng), best.q,
         action_noise(task, best.q), None),
        ("RL-16", "Expected Sarsa", expected_sarsa(task, following(policy), following(policy), sizes, steps, 2, rng),
         found.q, action_noise(task, found.q, policy), None),
        ("RL-17", "Sarsa", sarsa(task, following(policy), sizes, steps, 2, rng), found.q,
         action_noise(task, found.q, policy, drawn=True), None),
        ("RL-15", "TD(0)", td(task, policy, sizes, steps, 2, rng), found.values,
         state_noise(task, policy, found.values), np.zeros((2, mdp.n_states))),
        ("RL-19", "double Q-learning", double_q_learning(task, exploring(0.5), sizes, steps, 2, rng), best.q,
         action_noise(task, best.q), np.repeat(task.table(2)[:, None], 2, axis=1)),
    ):  # fmt: skip
        table, bound = run(task, learner, truth, noise, sizes, steps, 2, tables=start)
        held(row, id, f"{quantity} on random processes", task, table, truth, bound + found.error_bound, 0.0, steps)
    for id, quantity, learner, truth, noise, start in (
        ("RL-15", "3-step TD", n_step_td(task, policy, 3, sizes, steps, 2, rng),
         np.where(task.terminal, 0.0, found.values), state_noise(task, policy, found.values),
         np.zeros((2, mdp.n_states))),
        ("RL-17", "3-step Sarsa", n_step_sarsa(task, following(policy), 3, sizes, steps, 2, rng), found.q,
         action_noise(task, found.q, policy, drawn=True), task.table(2)),
    ):  # fmt: skip
        last, bound = None, np.zeros(0)
        for last, bound in enveloped_windows(learner, task, truth, noise, start, 3, sizes, steps, FALSE_ALARM):  # noqa: B007
            pass
        held(row, id, f"{quantity} on random processes", task, last.table, truth, bound + found.error_bound, 0.0, steps)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_n_step_targets(row, n):
    """n-step Sarsa contracts with gamma^n, and its noise has the variance of a martingale (RL-17)."""
    task, steps = twins(0.5), 1000
    policy = uniform(task)
    truth = policy_values(task, policy).q
    sizes = rescaled_linear(0.5**n)
    noise = n_step_noise(task, truth, policy, n)
    gap = float(np.abs(truth[np.isfinite(truth)]).max())
    bound = synchronous_envelope(0.5**n, noise, gap, sizes, steps, 4, FALSE_ALARM)[-1]
    for table in synchronous(task, n_step_rule(policy, n), sizes, steps, 4, np.random.default_rng(n)):  # noqa: B007
        pass
    held(row, "RL-17", f"{n}-step Sarsa converges to q_pi", task, table, truth, bound, 0.0, steps)
    tells_apart(row, "RL-17", f"{n}-step: q_pi and not q*", bound, truth, optimal_values(task).q)


@pytest.mark.parametrize("method", ["Q-learning", "Expected Sarsa"])
def test_synchronous(row, method):
    task, steps, sizes, policy = twins(0.75), 1000, rescaled_linear(0.75), uniform(twins(0.75))
    best, under = optimal_values(task).q, policy_values(task, policy).q
    truth, other = (best, under) if method == "Q-learning" else (under, best)
    rule = q_learning_rule if method == "Q-learning" else expected_sarsa_rule(policy)
    noise = action_noise(task, truth, None if method == "Q-learning" else policy)
    gap = float(np.abs(truth[np.isfinite(truth)]).max())
    bound = synchronous_envelope(0.75, noise, gap, sizes, steps, 4, FALSE_ALARM)[-1]
    for table in synchronous(task, rule, sizes, steps, 4, np.random.default_rng(6)):  # noqa: B007
        pass
    id = "RL-18" if method == "Q-learning" else "RL-16"
    held(row, id, f"synchronous {method}", task, table, truth, bound, 0.0, steps)
    tells_apart(row, id, f"synchronous {method}: one fixed point and not the other", bound, truth, other)


def test_td_moments(row):
    """The exact mean and mean square of TD(0)'s error on the random walk, against 4000 runs (RL-15)."""
    walk, step_size, episodes, runs = random_walk(), 0.25, 6, 4000
    exact = td_error_moments(walk.task, walk.policy, step_size, episodes, 0.5)
    done, live = np.zeros(runs, dtype=np.int64), ~walk.task.terminal
    errors = np.zeros((episodes + 1, runs, 5))
    errors[0] = 0.5 - walk.values[live]
    for step in td(walk.task, walk.policy, constant(step_size), 10**6, runs, np.random.default_rng(7), 0.5):
        over = np.flatnonzero(step.ended & (done < episodes))
        done[over] += 1
        errors[done[over], over] = step.table[over][:, live] - walk.values[live]
        if (done == episodes).all():
            break
    bias, square = exact.bias[1:, live], exact.mean_square[1:, live]
    # Values stay in [0, 1]: an error spans 1, and the square of an error is at most 1, so Var e^2 <= E e^2.
    variance = np.maximum(square - bias**2, 0.0)
    bound, reason = tolerances_learning.mean_of(runs, variance, 1.0, 2 * bias.size)
    row("RL-15", "mean error of TD(0) by episode", np.abs(errors[1:].mean(axis=1) - bias), bound, reason)
    bound, reason = tolerances_learning.mean_of(runs, square, 1.0, 2 * bias.size)
    row("RL-15", "mean square error of TD(0)", np.abs((errors[1:] ** 2).mean(axis=1) - square), bound, reason)


def test_moments_of_one_episode_by_hand(row):
    """One state, reward 1 and the end: v_1 = a, and e_1 = (1 - a) e_0 exactly."""
    rows = np.array([[[0.0, 1.0]], [[0.0, 1.0]]])
    task = Task(MDP(rows, [[1.0], [0.0]], 0.5, [1.0, 0.0]), 1.0)
    found = td_error_moments(task, np.ones((2, 1)), 0.25, 3, 0.0)
    expected = np.array([-(0.75**k) for k in range(4)])
    bound, reason = gamma_n(200), "gamma_200: three episodes, four unknowns each, numbers up to one"
    row("RL-15", "deterministic learning curve", np.abs(found.bias[:, 0] - expected), bound, reason)
    row("RL-15", "its square", np.abs(found.mean_square[:, 0] - expected**2), bound, reason)


def test_chain_of_rl_35(row):
    """0 -> 1 -> 2 -> end, 1 paid at the end, step one: TD(0) learns (0, 0, 1), Monte Carlo (1, 1, 1)."""
    rows = np.zeros((4, 1, 4))
    rows[[0, 1, 2, 3], 0, [1, 2, 3, 3]] = 1.0
    task = Task(MDP(rows, [[0.0], [0.0], [1.0], [0.0]], 0.5, [1.0, 0.0, 0.0, 0.0]), 1.0)
    policy, rng = np.ones((4, 1)), np.random.default_rng(0)
    for n, expected in ((1, [0.0, 0.0, 1.0]), (2, [0.0, 1.0, 1.0]), (3, [1.0] * 3), (9, [1.0] * 3)):
        *_, last = n_step_td(task, policy, n, constant(1.0), 3, 1, rng)
        row.exact("RL-35", f"{n}-step TD after one episode", last.table[0, :3].tolist() == expected, f"{last.table}")
    *_, last = td(task, policy, constant(1.0), 3, 1, rng)
    row.exact("RL-35", "TD(0) after one episode", last.table[0, :3].tolist() == [0.0, 0.0, 1.0], f"{last.table}")


def test_n_step_discounts_by_hand(row):
    """Rewards 1, 2, 4 and the end, gamma 1/2, step one: windows in full, shorter ones at the end (RL-17)."""
    rows = np.zeros((4, 1, 4))
    rows[[0, 1, 2, 3], 0, [1, 2, 3, 3]] = 1.0
    task = Task(MDP(rows, [[1.0], [2.0], [4.0], [0.0]], 0.5, [1.0, 0.0, 0.0, 0.0]))
    policy = np.ones((4, 1))
    # Two steps: r + gamma r' + gamma^2 * (16 before the update), then 2 + 4 / 2 and 4.
    for name, learner in (
        ("TD", n_step_td(task, policy, 2, constant(1.0), 3, 1, np.random.default_rng(0), 16.0)),
        ("Sarsa", n_step_sarsa(task, following(policy), 2, constant(1.0), 3, 1, np.random.default_rng(0), 16.0)),
    ):
        *_, last = learner
        seen = last.table.reshape(4)[:3].tolist()
        row.exact("RL-17", f"2-step {name} by hand", seen == [1 + 1 + 4, 4.0, 4.0], f"expected [6, 4, 4], saw {seen}")


def test_one_step_is_sarsa(row):
    """n-step Sarsa with n = 1 makes Sarsa's draws and Sarsa's updates."""
    task = twins(0.5)
    for single, several in zip(
        sarsa(task, exploring(0.5), constant(0.25), 60, 3, np.random.default_rng(8)),
        n_step_sarsa(task, exploring(0.5), 1, constant(0.25), 60, 3, np.random.default_rng(8)),
        strict=True,
    ):
        same = np.array_equal(single.table, several.table)
        row.exact("RL-17", "1-step Sarsa is Sarsa", same, f"tables differ at step {single.number}")


def test_noise_weights(row):
    """Averaging: n weights 1/n. And a bound that asks for step sizes above one is refused."""
    squares, largest = noise_weights(StepSizes(), 8)
    expected = 1.0 / np.arange(1, 9)
    slack = 8 * 4 * 2.0**-53
    row("RL-12", "weights of averaging", np.abs(squares[1:] - expected), slack, "eight recursions of four roundings")
    row("RL-12", "largest weight", np.abs(largest[1:] - expected), slack, "eight recursions of four roundings")
    task = twins(0.5)
    q = optimal_values(task).q
    with pytest.raises(ValueError, match="at most 1"):
        next(enveloped([], task, q, action_noise(task, q), task.table(1), StepSizes(2.0), 1, FALSE_ALARM))


def test_windows_look_at_where_they_end():
    """Without noise the envelope is (1 - a) e(s) + a gamma^n e(s'), e(s') the largest error where the window ends."""
    task, sizes = Task(MDP(np.eye(3)[[[1], [2], [2]]], np.zeros((3, 1)), 0.5, [1.0, 0.0, 0.0])), constant(0.5)
    silent = TargetNoise(np.zeros(()), np.zeros(()))
    one = np.ones(1, dtype=np.int64)

    def visit(number: int, state: int, following: int, ended: bool = False) -> Step:
        entry, onward, over = state * one, following * one, np.full(1, ended)
        return Step(number, np.zeros((1, 3)), entry, 0 * one, np.zeros(1), onward, over, one, np.full(1, 0.5))

    def envelopes(n: int, start: list[float], *steps: Step) -> list[list[float]]:
        known = (task, np.zeros(3), silent, np.array([start]), n, sizes, 8, FALSE_ALARM)
        return [bound[0].tolist() for _, bound in enveloped_windows(steps, *known)]

    # Of one step: the error of state 0, which is the largest, has nothing to do with a step from 1 to 2.
    assert envelopes(1, [64.0, 8.0, 4.0], visit(1, 1, 2)) == [[64.0, 5.0, 4.0]]
    # Of two steps: the first visit waits for the second; where an episode ends, all that wait bootstrap from nothing.
    passed = envelopes(2, [64.0, 8.0, 4.0], visit(1, 0, 1), visit(2, 1, 2), visit(3, 2, 2, ended=True))
    assert passed == [[64.0, 8.0, 4.0], [32.5, 8.0, 4.0], [32.5, 4.0, 2.0]]
