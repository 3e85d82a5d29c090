"""Monte Carlo methods against exact moments of returns, and the exact bias of every visit (C5)."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import tolerances_learning
from hypothesis import given
from hypothesis import strategies as st
from scripted import Scripted, expectation, paths, uniform_for
from strategies import few, mdps, policies

from reference import MDP, greedy
from reference.learning import (
    Episodes,
    Loops,
    Task,
    epsilon_greedy,
    epsilon_greedy_control,
    epsilon_soft_optimum,
    every_visit_mean,
    exploring_starts,
    loops,
    mc_basic,
    mc_evaluate,
    optimal_values,
    policy_values,
    return_moments,
    returns_to_go,
    sample_episodes,
    truncation_bias,
    visit_sums,
    visit_value,
)
from reference.rounding import gamma_n

COIN = MDP([[[0.5, 0.5]], [[0.0, 1.0]]], [[1.0], [0.0]], 0.5, [1.0, 0.0])
"""Tossed until it shows tails: one paid for each toss, two on average."""


def corridor(discount: float) -> Task:
    """Three cells and an end: action 0 may slip, action 1 is dear but certain; far apart in value."""
    rows = np.zeros((4, 2, 4))
    rows[0, 0, [0, 1]] = rows[1, 0, [0, 2]] = rows[2, 0, [1, 3]] = 0.5
    rows[0, 1, 1] = rows[1, 1, 2] = rows[2, 1, 3] = rows[3, :, 3] = 1.0
    available = np.array([[True, True]] * 3 + [[True, False]])
    return Task(MDP(rows, [[-1.0, -4.0], [-1.0, 2.0], [1.0, -3.0], [0.0, 0.0]], discount, None, available))


@few
@given(st.data(), st.integers(1, 3))
def test_returns_enumerated(row, data, horizon):
    """Every path of an episode, through the sampler: mean and variance of the return are the exact ones."""
    mdp = data.draw(mdps(3, 2, discounts=(0.0, 0.5, 0.9), scales=(1.0,))).mdp
    mdp = MDP(mdp.transitions, mdp.rewards, mdp.discount, None, mdp.available)
    mdp = COIN if mdp.terminal.all() else mdp
    task, policy = Task(mdp), data.draw(policies(mdp, positive=True))
    found = paths(mdp, policy, horizon)
    rows, count = np.asarray(mdp.to_dense().transitions), len(found.weights)
    numbers = [uniform_for(rows[found.states[:, 0], found.actions[:, 0]], found.states[:, 1])]
    for t in range(1, horizon):
        numbers.append(uniform_for(policy[found.states[:, t]], found.actions[:, t]))
        numbers.append(uniform_for(rows[found.states[:, t], found.actions[:, t]], found.states[:, t + 1]))
    each = np.broadcast_to(policy, (count, *policy.shape))
    episodes = sample_episodes(task, each, found.states[:, 0], horizon, Scripted(numbers), found.actions[:, 0])
    returns = returns_to_go(task, episodes)[0]
    exact = return_moments(task, policy, horizon)
    live = mdp.available & ~mdp.terminal[:, None]
    bound, reason = tolerances_learning.expected_target(task, exact.mean, horizon + 1)
    mean = expectation(mdp, found, returns)
    row("RL-10", "mean of the cut return", np.abs(mean - exact.mean)[live], bound, reason)
    variance = expectation(mdp, found, (returns - exact.mean[found.first]) ** 2)
    size = 8.0 * (horizon + 1) * tolerances_learning.magnitude(task, exact.mean)
    row("RL-10", "variance of the cut return", np.abs(variance - exact.variance)[live], bound * size, reason)
    widest = np.full(mdp.rewards.shape, 0.0)
    np.maximum.at(widest, found.first, np.abs(returns - exact.mean[found.first]))
    row("RL-10", "returns stay within their width", widest[live], exact.width[live] + bound, reason)
    whole = policy_values(task, policy)
    cut = np.abs(whole.q[live] - exact.mean[live]).max()
    row(
        "RL-10",
        "truncation bias",
        cut,
        truncation_bias(task, horizon) + whole.error_bound + bound,
        "gamma^T r/(1-gamma)",
    )


@pytest.mark.parametrize("process", ["corridor", "paid for ever", "charged for ever", "coin"])
def test_widths_are_attained(row, process):
    """Largest minus smallest return of every pair, from all returns that there are, in fractions of powers of two."""
    task = {
        "corridor": corridor(0.5),
        "paid for ever": Task(MDP([[[1.0]]], [[1.0]], 0.5)),
        "charged for ever": Task(MDP([[[0.5, 0.5]], [[1.0, 0.0]]], [[-1.0], [-2.0]], 0.5)),
        "coin": Task(COIN),
    }[process]
    mdp, rows = task.mdp, np.asarray(task.mdp.to_dense().transitions)
    policy = mdp.available / mdp.available.sum(axis=1, keepdims=True)
    pairs = [(s, a) for s, a in np.argwhere(mdp.available).tolist() if not mdp.terminal[s]]
    returns = {pair: {Fraction(0)} for pair in pairs}
    for horizon in range(5):
        width = return_moments(task, policy, horizon).width
        expected = {pair: float(max(all_of) - min(all_of)) for pair, all_of in returns.items()}
        row.exact(
            "RL-10", "width of the cut return", {pair: float(width[pair]) for pair in pairs} == expected,
            f"{width} is not {expected}",
        )  # fmt: skip
        before = returns
        returns = {
            (s, a): {
                Fraction(mdp.rewards[s, a].item()) + Fraction(1, 2) * later
                for t in np.flatnonzero(rows[s, a]).tolist()
                for later in (
                    {Fraction(0)} if mdp.terminal[t] else set().union(*(before[p] for p in pairs if p[0] == t))
                )
            }
            for s, a in pairs
        }


def test_truncation_bias_is_attained(row):
    """A reward of one for ever: cutting loses exactly gamma^T / (1 - gamma)."""
    task = Task(MDP([[[1.0]]], [[1.0]], 0.5))
    exact = [2.0 - float(return_moments(task, np.ones((1, 1)), t).mean[0, 0]) for t in range(6)]
    row.exact(
        "RL-10", "the truncation bound is attained", exact == [truncation_bias(task, t) for t in range(6)], f"{exact}"
    )
    with pytest.raises(ValueError, match="discount is 1"):
        truncation_bias(Task(COIN, 1.0), 3)


def test_every_visit_of_a_coin(row):
    """RL-10: two tosses on average; one episode estimates 3/2, two 5/3, n of them 2 - 1/(n + 1)."""
    seen = loops(Task(COIN, 1.0), np.ones((2, 1)), 0)
    row.exact("RL-10", "a coin's loops", seen == Loops(0.5, 1.0, 1.0, 1.0), f"saw {seen}")
    for n in (1, 2, 3, 10, 100):
        exact = float(2 - Fraction(1, n + 1))
        # Sums of at most a few thousand nonnegative terms, and scipy's binomial weights to about as many ulps.
        row("RL-10", "every visit of a coin", abs(every_visit_mean(seen, n) - exact), gamma_n(4000),
            "gamma_4000: sums over the numbers of visits and their tail")  # fmt: skip


@few
@given(st.data(), st.integers(1, 40))
def test_every_visit_without_discount(row, data, episodes):
    """Singh and Sutton's closed form: v - l p / ((1 - p) (n + 1)), whatever the process; and v is the value."""
    mdp = data.draw(mdps(4, 2, discounts=(0.5,), scales=(1.0,), terminals=False)).mdp
    # With probability 1/4 everything ends, so that episodes are short.
    size = mdp.n_states
    rows = np.zeros((size + 1, mdp.n_actions, size + 1))
    rows[:size, :, :size], rows[:size, :, size], rows[size, :, size] = 0.75 * mdp.transitions, 0.25, 1.0
    rows[:size, :, size] = 1.0 - rows[:size, :, :size].sum(axis=2)
    available = np.vstack([mdp.available, np.arange(mdp.n_actions) == 0])
    mdp = MDP(rows, np.vstack([mdp.rewards, np.zeros(mdp.n_actions)]), 0.5, None, available)
    policy, task = data.draw(policies(mdp)), Task(mdp, 1.0)
    for discount in (1.0, 0.5):
        task = Task(mdp, discount)
        values = policy_values(task, policy)
        seen = loops(task, policy, 0)
        # Each of three systems in a row has an inverse of norm 4 at most, is of norm 2, and sums rewards below 16.
        slack, reason = tolerances_learning.linear_system(4 * size, 8.0**3, 16.0)
        row("RL-10", "value from loops", abs(visit_value(seen) - values.values[0]), values.error_bound + slack, reason)
        if discount == 1.0:
            p = seen.probability
            exact = visit_value(seen) - seen.reward * p / ((1.0 - p) * (episodes + 1))
            row("RL-10", "every visit without discount", abs(every_visit_mean(seen, episodes) - exact),
                64.0 * gamma_n(10_000), "gamma_10000 of sums over the numbers of visits, rewards below 64")  # fmt: skip


def test_first_and_every_visit_sampled(row):
    """20000 pairs of episodes of the coin: first visits average to 2, every visit to 5/3."""
    task, policy, runs, horizon = Task(COIN, 1.0), np.ones((2, 1)), 20_000, 80
    for first, exact in ((True, 2.0), (False, 5.0 / 3.0)):
        q, counts = mc_evaluate(task, policy, 2, horizon, runs, np.random.default_rng(1), first=first)
        # Cut at 80 tosses (of probability 2^-80 to be reached); Var of the mean of two is 1, that of every visit less.
        bound, reason = tolerances_learning.mean_of(runs, 1.0, float(horizon), 2)
        row("RL-10", "first visit" if first else "every visit", abs(q[:, 0, 0].mean() - exact), bound, reason)
        row.exact("RL-10", "visits counted", bool((counts[:, 0, 0] == 2).all()) == first, f"{counts[:4, 0, 0]}")


def test_visits_by_hand(row):
    """One episode s, t, s with rewards 1, 2, 4: first visits (3, 4) from s and t, every visit the mean of 3 and 4."""
    task = Task(MDP(np.full((2, 1, 2), 0.5), [[1.0], [2.0]], 0.5))
    columns = [0, 1, 0], [0, 0, 0], [1.0, 2.0, 4.0], [True] * 3, [1, 0, 1]
    episode = Episodes(*(np.array(x)[:, None] for x in columns))
    returns = returns_to_go(task, episode)[:, 0].tolist()
    row.exact("RL-01", "returns to go", returns == [3.0, 4.0, 4.0], f"expected [3, 4, 4], saw {returns}")
    for first, sums, counts in ((True, [3.0, 4.0], [1, 1]), (False, [7.0, 4.0], [2, 1])):
        found = visit_sums(task, episode, 1, first=first)
        same = found[0].ravel().tolist() == sums and found[1].ravel().tolist() == counts
        row.exact("RL-10", "sums of first or every visit", same, f"first={first}: saw {found}")


def gaps(task, q):
    """The smallest amount by which an action is best."""
    sorted_q = np.sort(q[~task.terminal], axis=1)
    return float((sorted_q[:, -1] - sorted_q[:, -2]).min())


@pytest.mark.parametrize("epsilon", [0.0, 0.25])
def test_mc_basic_is_policy_iteration(row, epsilon):
    """With returns enough to tell the actions apart, every run visits the policies of exact policy iteration (RL-08).

    With epsilon, the policies are epsilon-greedy, and the last one is the best epsilon-soft one (RL-11).
    """
    task, horizon, episodes, runs, iterations = corridor(0.5), 12, 1500, 4, 4
    exact = [epsilon_greedy(np.where(task.mdp.available, 0.0, -np.inf), epsilon)]
    live = task.mdp.available & ~task.terminal[:, None]
    policies_, estimates = mc_basic(
        task, exact[0], iterations, episodes, horizon, runs, np.random.default_rng(2), epsilon
    )
    for k in range(iterations):
        q = policy_values(task, exact[-1]).q
        moments = return_moments(task, exact[-1], horizon)
        comparisons = int(live.sum()) * runs * iterations
        bound, reason = tolerances_learning.mean_of(episodes, moments.variance[live], moments.width[live], comparisons)
        bound = bound + truncation_bias(task, horizon) + gamma_n(episodes + 50) * 32.0
        row("RL-10", "MC-basic's estimates", np.abs(estimates[k][:, live] - q[live]), bound, f"{reason}, and the cut")
        row.exact("RL-08", "returns enough to tell actions apart", 2.0 * bound.max() < gaps(task, q),
                  f"bound {bound.max():.3f}, gap {gaps(task, q):.3f}")  # fmt: skip
        exact.append(epsilon_greedy(q, epsilon))
        row.exact("RL-08", "MC-basic takes policy iteration's policies", bool((policies_[k + 1] == exact[-1]).all()),
                  f"iteration {k}, epsilon {epsilon}")  # fmt: skip
    if epsilon:
        _, q = epsilon_soft_optimum(task, epsilon)
        row.exact("RL-11", "the last policy is the best epsilon-soft one",
                  bool((exact[-1] == epsilon_greedy(q, epsilon)).all()), f"saw {exact[-1]}")  # fmt: skip
    else:
        row.exact("RL-08", "the last policy is optimal",
                  bool((exact[-1] == greedy(optimal_values(task).q)).all()), f"saw {exact[-1]}")  # fmt: skip


@pytest.mark.parametrize("control", ["exploring starts", "epsilon-greedy"])
def test_control_where_actions_do_not_matter(row, control):
    """If both actions are the same, so are all policies: averages over improving ones are plain averages (RL-10)."""
    rows = np.array([[[0.5, 0.5]] * 2, [[0.0, 1.0]] * 2])
    mdp = MDP(rows, [[1.0, 1.0], [0.0, 0.0]], 0.5, [1.0, 0.0], [[True, True], [True, False]])
    task, runs, episodes, horizon, rng = Task(mdp), 2000, 8, 40, np.random.default_rng(3)
    if control == "exploring starts":
        q, counts = exploring_starts(task, episodes, horizon, runs, rng)
    else:
        q, counts = epsilon_greedy_control(task, 0.5, episodes, horizon, runs, rng)
    # A first visit is known when it happens, so what is returned after it has mean 4/3 and variance 8/63 whatever came
    # before, and lies in [1, 2]. A run sums two of these in each of 8 episodes at most.
    centred = (counts[:, 0] * (q[:, 0] - 4.0 / 3.0)).sum(axis=1)
    bound, reason = tolerances_learning.mean_of(runs, 4.0 * episodes * 8.0 / 63.0, 2.0 * episodes, 2)
    slack = 2.0 * episodes * truncation_bias(task, horizon) + gamma_n(100) * 4.0 * episodes
    row("RL-10", f"averages of {control}", abs(centred.mean()), bound + slack, reason)
    row.exact(
        "RL-10", f"{control} meets both actions", bool((counts.sum(axis=0)[0] > 0).all()), f"{counts.sum(axis=0)}"
    )
    row.exact("RL-10", "terminal states are not met", bool((counts[:, 1] == 0).all()), f"{counts[:, 1].max()}")


def test_errors():
    with pytest.raises(ValueError, match="terminal"):
        loops(Task(COIN, 1.0), np.ones((2, 1)), 1)
    with pytest.raises(ValueError, match="for ever"):
        loops(Task(MDP([[[1.0]]], [[1.0]], 0.5)), np.ones((1, 1)), 0)
    with pytest.raises(ValueError, match="at least 1"):
        every_visit_mean(Loops(0.5, 1.0, 1.0, 1.0), 0)
    with pytest.raises(ValueError, match="horizon is -1"):
        return_moments(Task(COIN), np.ones((2, 1)), -1)
    with pytest.raises(ValueError, match=r"discount is 1\.0"):
        Task(MDP([[[1.0]]], [[1.0]], 0.5), 1.0)
    with pytest.raises(ValueError, match="every first state"):
        Task(MDP([[[1.0]]], [[0.0]], 0.5))
