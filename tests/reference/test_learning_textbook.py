"""Sutton and Barto's random walks and cliff: what is printed and exact, and what their figures estimate (C7)."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import tolerances_learning

from reference import MDP, cliff
from reference.learning import (
    Task,
    cliff_walking,
    constant,
    episode_returns,
    epsilon_greedy,
    epsilon_soft_optimum,
    exploring,
    following,
    greedy_path,
    optimal_values,
    policy_values,
    q_learning,
    random_walk,
    sarsa,
    td,
    td_error_moments,
    undiscounted_optimum,
    undiscounted_values,
    walk_errors,
)
from reference.rounding import gamma_n
from reference.solution import Status

START, GOAL = 36, 47


@pytest.mark.parametrize("size", [5, 19])
def test_walk_values(row, size):
    """k/6 for the five states of example 6.2, and -9/10 .. 9/10 for the nineteen of example 7.1."""
    walk = random_walk() if size == 5 else random_walk(19, -1.0, 1.0)
    printed = [Fraction(k, 6) for k in range(1, 6)] if size == 5 else [Fraction(k, 10) for k in range(-9, 10)]
    row.exact("RL-15", f"values of the walk of {size}", list(walk.exact[:size]) == printed, f"saw {walk.exact}")
    found = policy_values(walk.task, walk.policy)
    row("RL-15", f"fixed point of TD(0) on the walk of {size}", np.abs(found.values - walk.values),
        found.error_bound + 2.0**-53, "certified, and the fractions rounded")  # fmt: skip


def test_first_episode_of_the_walk(row):
    """Exercise 6.3: from 1/2 everywhere and step 1/10, the first episode moves one end only, by 1/20."""
    walk, runs = random_walk(), 50
    over = np.zeros(runs, dtype=np.bool_)
    first = np.full((runs, 6), np.nan)
    for step in td(walk.task, walk.policy, constant(0.1), 10_000, runs, np.random.default_rng(1), 0.5):
        first[step.ended & ~over] = step.table[step.ended & ~over]
        over |= step.ended
        if over.all():
            break
    moved = np.abs(first[:, :5] - 0.5)
    only = ((moved > 0.0).sum(axis=1) == 1) & (moved[:, 1:4] == 0.0).all(axis=1)
    row.exact("RL-15", "only an end moves", bool(only.all()), f"saw {first[~only]}")
    row("RL-15", "by 1/20", np.abs(moved.max(axis=1) - 0.05), 8.0 * 2.0**-53, "four roundings of numbers below one")


def test_learning_curve_of_the_walk(row):
    """The mean over runs of figure 6.2 never exceeds the root of the exact mean square; its square's mean agrees."""
    walk, runs, episodes = random_walk(), 1000, 40
    exact = td_error_moments(walk.task, walk.policy, 0.1, episodes, 0.5).mean_square[:, :5].mean(axis=1)
    seen = walk_errors(walk, 1, 0.1, episodes, runs, np.random.default_rng(2), 0.5)
    # Squared errors, averaged over states, lie in [0, 1].
    bound, reason = tolerances_learning.mean_of(runs, exact[1:], 1.0, episodes)
    row("RL-15", "mean square error over the states", np.abs((seen[1:] ** 2).mean(axis=1) - exact[1:]), bound, reason)
    row.exact("RL-15", "the curve falls, and not to zero", bool(exact[0] > exact[-1] > 0.0), f"{exact[[0, -1]]}")
    larger = td_error_moments(walk.task, walk.policy, 0.15, 100, 0.5).mean_square[:, :5].mean(axis=1)
    smaller = td_error_moments(walk.task, walk.policy, 0.05, 100, 0.5).mean_square[:, :5].mean(axis=1)
    crossing = larger[5] < smaller[5] and larger[100] > smaller[100]
    row.exact("RL-15", "larger steps: faster at first, worse in the end", bool(crossing), f"{larger}, {smaller}")


def test_cliff_optimum(row):
    """Example 6.6: the optimal path runs along the edge and costs 13."""
    task = cliff_walking()
    best = optimal_values(task)
    row("RL-18", "optimal cost of the cliff", abs(best.values[START] + 13.0), best.error_bound, "certified")
    path = greedy_path(task, best.q)
    edge = [START, *range(24, 36), GOAL]
    row.exact("RL-18", "optimal path", path == edge, f"expected {edge}, saw {path}")


def test_cliff_with_exploration(row):
    """What Sarsa converges to is better online than exploring around the optimum, and keeps away from the edge."""
    task, epsilon = cliff_walking(), 0.1
    soft, q = epsilon_soft_optimum(task, epsilon)
    careless = policy_values(task, epsilon_greedy(optimal_values(task).q, epsilon))
    row.exact("RL-11", "the epsilon-soft optimum is better online",
              bool(soft.values[START] - soft.error_bound > careless.values[START] + careless.error_bound),
              f"{soft.values[START]} and {careless.values[START]}")  # fmt: skip
    path = greedy_path(task, q)
    away = [36, 24, *range(12, 24), 35, 47]
    row.exact("RL-11", "the safe path", path == away, f"expected {away}, saw {path}")
    # Its value without exploration: one step up more, and one down.
    deterministic = policy_values(task, epsilon_greedy(q, 0.0))
    row(
        "RL-11",
        "cost of the safe path",
        abs(deterministic.values[START] + 15.0),
        deterministic.error_bound,
        "certified",
    )
    # The values of the policy of the solution in the process itself, from a different linear system.
    again = policy_values(task, epsilon_greedy(q, epsilon))
    # Rows and rewards of the mixture take eight roundings; a relative error counts once in every step of an episode.
    counting = MDP(task.mdp.transitions, 1.0 * ~task.terminal[:, None] * task.mdp.available, 0.0, None,
                   task.mdp.available)  # fmt: skip
    longest = undiscounted_values(counting, epsilon_greedy(q, epsilon)).values.max()
    mixed = longest * gamma_n(8) * (100.0 + 2.0 * np.abs(soft.values).max())
    row("RL-11", "the epsilon-soft optimum is the value of its policy", np.abs(again.values - soft.values),
        again.error_bound + soft.error_bound + mixed, "two certificates, and the mixed rows rounded")  # fmt: skip


@pytest.mark.long
def test_cliff_online(row):
    """Figure of example 6.6, sums of rewards by episode: none beats the optimum, and all agree with their steps."""
    task, runs, episodes = cliff_walking(), 6, 20
    for name, learner in (("Q-learning", q_learning), ("Sarsa", sarsa)):
        steps = learner(task, exploring(0.1), constant(0.5), 10**9, runs, np.random.default_rng(4))
        kept = []
        totals = episode_returns((kept.append((step.rewards, step.ended)) or step for step in steps), episodes)
        row.exact("RL-18", f"no episode of {name} beats the optimum", bool((totals <= -13.0).all()), f"{totals.max()}")
        for run in range(runs):
            rewards, ended = (np.array(column)[:, run] for column in zip(*kept, strict=True))
            parts = np.split(rewards, np.flatnonzero(ended) + 1)[:episodes]
            same = totals[:, run].tolist() == [part.sum() for part in parts]
            row.exact("RL-18", f"episodes of {name} are told apart", same, f"run {run}")


def test_exploring_around_the_optimum(row):
    """-45.80 is the mean of real episodes: those of the epsilon-greedy optimum, sampled (a fixed policy, C7)."""
    task = cliff_walking()
    policy = epsilon_greedy(optimal_values(task).q, 0.1)
    exact = policy_values(task, policy)
    frozen = q_learning(task, following(policy), constant(0.5), 10**9, 2000, np.random.default_rng(5))
    totals = episode_returns(frozen, 2)
    # Chebyshev's inequality, whose variance is that of the return: sum over the steps of the differences' variances.
    second = _second_moment(task, policy, exact.values)
    deviation = np.sqrt((second[START] - exact.values[START] ** 2) / totals.size / 1e-9)
    row("RL-11", "mean return of the careless policy", abs(totals.mean() - exact.values[START]), deviation,
        "Chebyshev's inequality from the exact variance, false alarm 1e-9")  # fmt: skip


def _second_moment(task: Task, policy: np.ndarray, values: np.ndarray) -> np.ndarray:
    """E G^2 of the undiscounted return: (I - P) m = r_pi^2 + 2 r P v, action by action."""
    rows = np.asarray(task.mdp.to_dense().transitions)
    live = np.flatnonzero(~task.terminal)
    pay = task.mdp.rewards
    right = (policy * (pay**2 + 2.0 * pay * (rows @ values))).sum(axis=1)[live]
    chain = np.einsum("sa,sat->st", policy, rows)[np.ix_(live, live)]
    second = np.zeros(len(values))
    second[live] = np.linalg.solve(np.eye(len(live)) - chain, right)
    return second


def test_undiscounted_values(row):
    """A coin, a corridor, and what is refused: policies that may never end."""
    coin = MDP([[[0.5, 0.5]], [[0.0, 1.0]]], [[1.0], [0.0]], 0.5)
    found = undiscounted_values(coin, np.ones((2, 1)))
    row("RL-10", "tosses of a coin", abs(found.values[0] - 2.0), found.error_bound, "certified")
    assert (found.status, found.iterations) == (Status.DIRECT, 1)
    assert found.solver == "direct linear solve without a discount"
    best = undiscounted_optimum(cliff(2, 5))
    row("RL-18", "a short cliff", abs(best.values[5] + 6.0), best.error_bound, "certified")
    stay = MDP([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]], [[0.0, -1.0], [0.0, 0.0]], 0.5,
               available=[[True, True], [True, False]])  # fmt: skip
    for refused in (
        lambda: undiscounted_values(stay, np.array([[1.0, 0.0], [1.0, 0.0]])),
        lambda: undiscounted_optimum(stay),
    ):
        with pytest.raises(ValueError, match="does not surely end"):
            refused()


def test_errors():
    with pytest.raises(ValueError, match="odd"):
        random_walk(4)
    with pytest.raises(ValueError, match="stopped after 0 episodes"):
        episode_returns(q_learning(cliff_walking(), exploring(0.1), constant(0.5), 3, 2, np.random.default_rng(0)), 1)
    with pytest.raises(ValueError, match="does not end within"):
        greedy_path(cliff_walking(), np.where(cliff().available, 0.0, -np.inf))
    corridor, onward = Task(MDP(np.eye(4)[[[1], [2], [3], [3]]], np.zeros((4, 1)), 0.5, np.eye(4)[0])), np.zeros((4, 1))
    assert greedy_path(corridor, onward, limit=3) == [0, 1, 2, 3]
    with pytest.raises(ValueError, match=r"does not end within 2 steps: it goes through \[0, 1, 2\] and on"):
        greedy_path(corridor, onward, limit=2)
    walk = random_walk(99)
    with pytest.raises(ValueError, match="unknowns"):
        td_error_moments(walk.task, walk.policy, 0.1, 1)
