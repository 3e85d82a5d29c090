"""GAE as a matrix, its expectation and its bias; what state values alone cannot tell (C10)."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import tolerances_actors
import tolerances_learning
from exact import fractions
from hypothesis import example, given
from hypothesis import strategies as st
from scripted import Scripted, expectation, paths
from strategies import few, mdps, policies, vectors

from reference import MDP, garnet
from reference.bellman import backup, greedy
from reference.learning import (
    Task,
    actor_field,
    advantage_function,
    constant,
    expected_gae,
    gae_bias,
    gae_map,
    n_step_map,
    opposite_bandits,
    policy_values,
    sample_trajectories,
    td,
    td_operator,
)


@st.composite
def trajectories(draw, max_steps: int = 7):
    """Rewards, values, next values, both flags (also together), discount and lambda."""
    steps = draw(st.integers(1, max_steps))
    numbers = [draw(vectors(steps)) for _ in range(3)]
    flags = [np.array(draw(st.lists(st.booleans(), min_size=steps, max_size=steps)), dtype=np.bool_) for _ in range(2)]
    unit = st.sampled_from([0.0, 0.3, 0.5, 0.99, 1.0])
    return (*numbers, *flags, draw(unit), draw(unit))


# Both flags in the middle, every number different from zero: what must be cut and what must be kept is seen.
FLAGGED = (
    np.array([1.0, 2.0, 4.0, 8.0]), np.array([16.0, 3.0, 5.0, 7.0]), np.array([9.0, 11.0, 13.0, 15.0]),
    np.array([False, True, False, False]), np.array([False, False, True, False]), 0.5, 0.5,
)  # fmt: skip


def recursion(trajectory, *, shift=0, bootstrap_truncated=True, cut_truncated=True, power=1) -> list[Fraction]:
    """Equation (2) backwards, in rationals; keywords plant the faults of the test below."""
    *arrays, terminated, truncated, discount, decay = trajectory
    rewards, values, next_values = (fractions(array) for array in arrays)
    gamma, decay, following, found = Fraction(discount), Fraction(decay), Fraction(0), []
    for t in reversed(range(len(rewards))):
        flag = min(t + shift, len(rewards) - 1)
        ended = terminated[flag] or (truncated[flag] and not bootstrap_truncated)
        error = rewards[t] + (0 if ended else gamma * next_values[t]) - values[t]
        cut = terminated[flag] or (truncated[flag] and cut_truncated)
        following = error + (0 if cut else gamma * decay**power * following)
        found.append(following)
    return found[::-1]


def distances(found: np.ndarray, exact: list[Fraction]) -> np.ndarray:
    return np.array([float(abs(Fraction(float(x)) - y)) for x, y in zip(found, exact, strict=True)])


@given(trajectories())
@example(FLAGGED)
def test_gae_is_its_recursion(row, trajectory):
    *arrays, terminated, truncated, discount, decay = trajectory
    applied = gae_map(terminated, truncated, discount, decay)
    found = applied(*arrays)
    bound, reason = tolerances_actors.advantage_map(applied, *arrays)
    row("RL-28", "GAE as a matrix", distances(found, recursion(trajectory)), bound, reason)
    single, none = gae_map(terminated, truncated, discount, 0.0), n_step_map(terminated, truncated, discount, 1)
    same = np.array_equal(single.trace, none.trace) and np.array_equal(single.trace, np.eye(len(found)))
    row.exact("RL-28", "lambda = 0 is one step, the TD error", same, f"saw {single.trace}")
    # (1 - lambda) sum_n lambda^(n-1) A^(n), whose windows all end after T steps.
    steps = len(found)
    total, weight = np.zeros(steps), 1.0
    for n in range(1, steps + 1):
        share = weight * (1.0 - decay) if n < steps else weight
        total += share * n_step_map(terminated, truncated, discount, n)(*arrays)
        weight *= decay
    whole = gae_map(terminated, truncated, discount, 1.0)
    bound = 2.0 * (steps + 2) * tolerances_actors.advantage_map(whole, *arrays)[0]
    row("RL-28", "GAE is the exponential mean of n-step advantages", np.abs(total - found), bound, reason)


@given(trajectories(), st.integers(1, 5))
@example(FLAGGED, 2)
def test_windows(row, trajectory, n):
    """n rewards and a bootstrap by hand; lambda = 1 is the Monte Carlo return less the value."""
    *arrays, terminated, truncated, discount, _ = trajectory
    rewards, values, next_values = (fractions(array) for array in arrays)
    # Inside an episode the next value is that of the next state: without that windows do not telescope.
    for t in range(len(rewards) - 1):
        if not (terminated[t] or truncated[t]):
            next_values[t] = values[t + 1]
    arrays = (*arrays[:2], np.array([float(x) for x in next_values]))
    gamma = Fraction(discount)
    for name, steps, applied in (
        ("n-step advantage", n, n_step_map(terminated, truncated, discount, n)),
        ("lambda = 1: Monte Carlo advantage", len(rewards), gae_map(terminated, truncated, discount, 1.0)),
    ):
        exact = []
        for t in range(len(rewards)):
            last = t
            while last + 1 < min(t + steps, len(rewards)) and not (terminated[last] or truncated[last]):
                last += 1
            gain = sum((gamma ** (k - t) * rewards[k] for k in range(t, last + 1)), Fraction(0))
            rest = Fraction(0) if terminated[last] else gamma ** (last + 1 - t) * next_values[last]
            exact.append(gain + rest - values[t])
        bound, reason = tolerances_actors.advantage_map(applied, *arrays)
        row("RL-28", name, distances(applied(*arrays), exact), bound, reason)


@pytest.mark.parametrize(
    ("name", "fault"),
    [("flags one step late", {"shift": 1}), ("truncation cuts the bootstrap", {"bootstrap_truncated": False}),
     ("truncation keeps the trace", {"cut_truncated": False}), ("lambda twice", {"power": 2})],
)  # fmt: skip
def test_usual_faults_are_seen(row, name, fault):
    """PG01, PG04, BT05, PG17: the recursion with the fault is further away than the bound."""
    *arrays, terminated, truncated, discount, decay = FLAGGED
    applied = gae_map(terminated, truncated, discount, decay)
    bound, _ = tolerances_actors.advantage_map(applied, *arrays)
    seen = distances(applied(*arrays), recursion(FLAGGED, **fault))
    row.exact("RL-28", f"told apart: {name}", bool((seen > bound).any()), f"differs by {seen}, bound {bound}")


@st.composite
def critics(draw, max_states: int = 3):
    """A task that may start anywhere, a policy and a critic that is zero where all is over."""
    mdp = draw(mdps(max_states, 2, discounts=(0.0, 0.5, 0.9), scales=(1.0, 1.0 / 3.0))).mdp
    mdp = MDP(mdp.transitions, mdp.rewards, mdp.discount, None, mdp.available)
    if mdp.terminal.all():
        mdp = MDP([[[1.0]]], [[1.0]], 0.5)
    task = Task(mdp)
    return task, draw(policies(mdp, positive=True)), np.where(task.terminal, 0.0, draw(vectors(mdp.n_states)))


def ending() -> tuple[Task, np.ndarray, np.ndarray]:
    """A critic that is nowhere zero, where every step may be the last: what must be cut is seen."""
    rows = np.full((3, 2, 3), 0.25)
    rows[:, :, 2], rows[2] = 0.5, [0.0, 0.0, 1.0]
    available = np.array([[True, True], [True, True], [True, False]])
    task = Task(MDP(rows, [[1.0, 2.0], [3.0, 4.0], [0.0, 0.0]], 0.5, None, available))
    return task, np.array([[0.25, 0.75], [0.75, 0.25], [1.0, 0.0]]), np.array([5.0, 6.0, 0.0])


@few
@given(critics(2), st.integers(1, 3), st.sampled_from([0.0, 0.5, 1.0]))
@example(ending(), 3, 0.5)
@example(ending(), 2, 1.0)
def test_expectation_over_all_paths(row, critic, horizon, decay):
    """The matrix applied to every path that is truncated after `horizon` steps, weighted by its probability."""
    task, policy, values = critic
    found = paths(task.mdp, policy, horizon)
    states, following = found.states[:, :horizon], found.states[:, 1:]
    terminated = task.terminal[following]
    truncated = np.broadcast_to(np.arange(horizon) == horizon - 1, terminated.shape)
    applied = gae_map(terminated, truncated, task.discount, decay)
    seen = applied(task.mdp.rewards[states, found.actions[:, :horizon]], values[states], values[following])[:, 0]
    ours, theirs = expectation(task.mdp, found, seen), expected_gae(task, policy, values, decay, horizon)
    bound, reason = tolerances_actors.expected_advantage(task, values, horizon)
    row("RL-28", "expected GAE, all paths", np.abs(ours - theirs), bound, reason)
    windows = n_step_map(terminated, truncated, task.discount, horizon)
    seen = windows(task.mdp.rewards[states, found.actions[:, :horizon]], values[states], values[following])[:, 0]
    theirs = expected_gae(task, policy, values, 1.0, horizon)
    row("RL-28", "expected n-step advantage, all paths", np.abs(expectation(task.mdp, found, seen) - theirs), bound,
        reason)  # fmt: skip


@given(critics(), st.sampled_from([0.0, 0.5, 0.9, 1.0]), st.sampled_from([None, 1, 2, 5]))
@example(ending(), 0.5, None)
@example(ending(), 0.5, 2)
def test_bias(row, critic, decay, horizon):
    """RL-28: expected GAE is the advantage plus formula (3), and a TD error is unbiased only for v = v_pi."""
    task, policy, values = critic
    found = policy_values(task, policy)
    truth, error = np.where(task.terminal, 0.0, found.values), values - np.where(task.terminal, 0.0, found.values)
    seen = expected_gae(task, policy, values, decay, horizon) - advantage_function(task, policy)
    size = np.abs(values) + np.abs(truth)
    bound, reason = tolerances_actors.discounted_advantage(task, size, decay if horizon is None else 1.0)
    bound += 4.0 * found.error_bound
    row("RL-28", "bias of GAE", np.abs(seen - gae_bias(task, policy, error, decay, horizon)), bound, reason)
    unbiased = expected_gae(task, policy, truth, decay, horizon) - advantage_function(task, policy)
    row("RL-28", "no bias for v = v_pi", np.abs(unbiased), bound + 2.0 * found.error_bound, reason)
    one = expected_gae(task, policy, values, 0.0) - advantage_function(task, policy)
    mean = np.abs((policy * one).sum(axis=1)).max()
    least = (1.0 - task.discount) * np.abs(error).max()
    row("RL-28", "bias of the TD error at least (1 - gamma) |v - v_pi|", max(0.0, least - mean), 2.0 * bound, reason)
    # Monte Carlo without a cut: what is left of the bias depends on the state alone, and the actor does not see it.
    late = gae_bias(task, policy, error, 1.0)
    flat = actor_field(policy, late, np.ones(len(policy)))
    row("RL-28", "lambda = 1: the actor sees no bias", np.abs(flat), 4.0 * bound, reason)


def test_sampled_means(row):
    """Trajectories with ends and a time limit of 3: the first advantage has the exact mean, cut after 3 steps."""
    rows = np.array(garnet(4, 2, 2, seed=5, discount=0.75).transitions)
    rows[3] = np.eye(4)[3]
    rewards = np.array([[1.0, -2.0], [0.5, 3.0], [-1.0, 1.0], [0.0, 0.0]])
    available = np.array([[True, True]] * 3 + [[True, False]])
    task = Task(MDP(rows * available[:, :, None], rewards, 0.75, [0.5, 0.25, 0.25, 0.0], available))
    policy, values = available / available.sum(axis=1, keepdims=True), np.array([16.0, 17.0, 15.0, 0.0])
    limit, count, decay = 3, 20_000, 1.0
    seen = sample_trajectories(task, policy, 5, limit, count, np.random.default_rng(0))
    flags = (int((seen.terminated & ~seen.truncated).sum()), int((seen.truncated & ~seen.terminated).sum()),
             int((seen.truncated & seen.terminated).sum()))  # fmt: skip
    row.exact("RL-28", "trajectories hold both flags, alone and together", min(flags) > 0, f"saw {flags}")
    over = (seen.terminated | seen.truncated)[:, :-1]
    joined = np.array_equal(seen.states[:, 1:][~over], seen.next_states[:, :-1][~over])
    ended = np.array_equal(seen.terminated, task.terminal[seen.next_states])
    row.exact("RL-28", "a trajectory goes on unless it is over", joined and ended, "a state is not the next one")
    applied = gae_map(seen.terminated, seen.truncated, task.discount, decay)
    found = applied(seen.rewards, values[seen.states], values[seen.next_states])[:, 0]
    exact = expected_gae(task, policy, values, decay, limit)
    starts = task.mdp.initial[:, None] * policy
    # lambda = 1: three rewards, a bootstrap and the value, all else telescopes.
    width = 2.0 * (limit * task.mdp.largest_reward + 2.0 * float(np.abs(values).max()))
    bound, reason = tolerances_learning.empirical_mean(found, width, 1)
    error = abs(found.mean() - (starts * exact).sum())
    row("RL-28", "mean of sampled GAE", error, bound + tolerances_learning.sampled_law(task, 2.0 * width), reason)
    never = (starts * expected_gae(task, policy, values, decay)).sum()
    row.exact("RL-28", "and not that of an uncut trace", abs(found.mean() - never) > bound, f"{never}: bound {bound}")


def test_state_values_do_not_choose(row):
    """RL-33, RL-32: the bandits (0, 1) and (1, 0)."""
    first, second = (Task(mdp) for mdp in opposite_bandits())
    uniform = np.array([[0.5, 0.5]])
    one, two = td_operator(first, uniform), td_operator(second, uniform)
    same = np.array_equal(one.matrix, two.matrix) and np.array_equal(one.offset, two.offset)
    row.exact("RL-33", "the same expected update of TD(0)", same, f"{one.offset} and {two.offset}")
    numbers = np.random.default_rng(0).random((20, 8))

    def tables(task, actions):
        script = [numbers[0]] + [part for k in range(1, 20) for part in (actions[k], numbers[k])]
        return [step.table.copy() for step in td(task, uniform, constant(0.25), 8, 8, Scripted(script))]

    # What the coin of the action says is mirrored: a law that is uniform does not change.
    equal = np.array_equal(tables(first, numbers), tables(second, 1.0 - numbers))
    row.exact("RL-33", "the same law of whole runs of TD(0)", equal, "mirrored runs differ")
    seen = [advantage_function(task, uniform).tolist() for task in (first, second)]
    expected = [[[-0.5, 0.5]], [[0.5, -0.5]]]
    row.exact("RL-33", "advantages tell the best action", seen == expected, f"expected {expected}, saw {seen}")
    chosen = [int(greedy(backup(task.mdp, np.array([0.5])))[0].argmax()) for task in (first, second)]
    row.exact("RL-32", "with the model a lookahead on v improves", chosen == [1, 0], f"saw {chosen}")


def test_refusals():
    flags = np.zeros(2, dtype=np.bool_)
    with pytest.raises(ValueError, match=r"trace_decay is 1\.5: expected a number in \[0, 1\]"):
        gae_map(flags, flags, 0.5, 1.5)
    with pytest.raises(ValueError, match="n is 0: expected at least 1 step"):
        n_step_map(flags, flags, 0.5, 0)
    rows = np.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]])
    task = Task(MDP(rows, [[1.0, 0.0], [0.0, 0.0]], 0.5, [1.0, 0.0], np.array([[True, True], [True, False]])), 1.0)
    for call in (expected_gae, gae_bias):
        with pytest.raises(ValueError, match="does not surely end an episode"):
            call(task, np.array([[1.0, 0.0], [1.0, 0.0]]), np.zeros(2), 1.0)
        with pytest.raises(ValueError, match="horizon is 0: expected at least 1"):
            call(task, np.array([[0.5, 0.5], [1.0, 0.0]]), np.zeros(2), 1.0, 0)
