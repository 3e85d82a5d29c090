"""Monte Carlo methods, evaluation and control: what averages of first visits add up to, exactly and sampled (C5).

The sum of the returns from the first visits of an episode to (s, a) has the mean sum_t f_t m_{T - t}: f_t the chance
that the first visit is at time t, m_h the mean of a return of h rewards. Control changes the policy after an episode,
never within one: sums less their means given the past are martingale differences, whatever the policies become.
"""

from __future__ import annotations

import numpy as np
import pytest
import tolerances_learning
import tolerances_linear
from episodic import twins
from hypothesis import example, given
from hypothesis import strategies as st
from scripted import Scripted, paths, uniform_for
from situations import ending, situations
from strategies import few
from tolerances import FALSE_ALARM

from reference.learning import (
    Task,
    constant,
    epsilon_greedy,
    epsilon_greedy_control,
    exploring_starts,
    linear_monte_carlo,
    martingale_bound,
    mc_basic,
    mc_evaluate,
    optimal_values,
    return_moments,
    sample_episodes,
    visit_sums,
)


def first_visits(task: Task, policies: np.ndarray, begin: np.ndarray, horizon: int) -> tuple[np.ndarray, ...]:
    """Of one episode of each policy `(R, S, A)` from a law of first pairs `(R, S, A)`: for every pair, the chance of a
    visit, and the mean and the mean square of the sum of the returns from first visits."""
    live = ~task.terminal
    rows = np.asarray(task.mdp.to_dense().transitions) * live
    taken = policies * live[:, None]
    pay, gamma = task.mdp.rewards * live[:, None], task.discount
    mean = square = np.zeros(policies.shape)
    means, squares = [mean], [square]
    for _ in range(horizon):
        onward, again = (np.einsum("sat,rt->rsa", rows, (taken * x).sum(axis=2)) for x in (mean, square))
        mean, square = pay + gamma * onward, pay**2 + 2.0 * gamma * pay * onward + gamma**2 * again
        means.append(mean)
        squares.append(square)
    pairs = np.eye(pay.size).reshape(pay.size, *pay.shape)
    flow = np.broadcast_to(begin[:, None], (len(policies), pay.size, *pay.shape))
    chance, total, second = (np.zeros((len(policies), pay.size)) for _ in range(3))
    for t in range(horizon):
        now = (flow * pairs).sum(axis=(2, 3))
        chance = chance + now
        total = total + now * means[horizon - t].reshape(len(policies), -1)
        second = second + now * squares[horizon - t].reshape(len(policies), -1)
        states = np.einsum("rpsa,sat->rpt", flow * (1.0 - pairs), rows)
        flow = states[..., None] * taken[:, None]
    return tuple(x.reshape(policies.shape) for x in (chance, total, second))


def begun(task: Task) -> np.ndarray:
    starts = np.where(task.terminal, 0.0, task.mdp.initial)
    return starts / starts.sum()


@few
@given(situations(3, 2), st.integers(1, 3))
@example(ending(), 3)
def test_visits_enumerated(row, situation, horizon):
    """Every episode through the sampler: expected sums and numbers of first visits, nothing sampled (RL-10)."""
    task, policy, _ = situation
    found = paths(task.mdp, policy, horizon)
    rows, count = np.asarray(task.mdp.to_dense().transitions), len(found.weights)
    numbers = []
    for t in range(horizon):
        state, action = found.states[:, t], found.actions[:, t]
        numbers += [uniform_for(policy[state], action), uniform_for(rows[state, action], found.states[:, t + 1])]
    each = np.broadcast_to(policy, (count, *policy.shape))
    episodes = sample_episodes(task, each, found.states[:, 0], horizon, Scripted(numbers))
    weights = begun(task)[found.states[:, 0]] * policy[found.first] * found.weights
    sums, counts = visit_sums(task, episodes, count, first=True)
    chance, total, second = first_visits(task, policy[None], (begun(task)[:, None] * policy)[None], horizon)
    bound, reason = tolerances_learning.expected_target(task, np.zeros(1), 2 * horizon + 2)
    for name, ours, theirs, power in (
        ("number", counts, chance, 0), ("sum of the returns", sums, total, 1), ("squared sum", sums**2, second, 2),
    ):  # fmt: skip
        size = (1.0 + horizon * task.mdp.largest_reward) ** power
        row("RL-10", f"{name} of first visits", np.abs(np.einsum("n,nsa->sa", weights, ours) - theirs[0]),
            bound * size + tolerances_learning.gamma_n(64 * horizon + count) * size, reason)  # fmt: skip


@few
@given(situations(3, 2), st.integers(0, 2**32 - 1))
@example(ending(), 0)
def test_evaluation_on_random_processes(row, situation, seed):
    """First visits and MC-basic, from many episodes: the means are those of cut returns (RL-08, RL-10)."""
    task, policy, _ = situation
    rng, runs, horizon, width = np.random.default_rng(seed), 1000, 8, 0.0
    for _ in range(horizon):
        width = 2.0 * task.mdp.largest_reward + task.discount * width
    live = task.mdp.available & ~task.terminal[:, None]
    chance, total, second = first_visits(task, policy[None], (begun(task)[:, None] * policy)[None], horizon)
    q, counts = mc_evaluate(task, policy, 1, horizon, runs, rng)
    sums = np.where(counts > 0, q, 0.0).mean(axis=0)
    slack = tolerances_learning.sampled_law(task, 8.0 * horizon * (1.0 + width))
    variance = np.maximum(second - total**2, 0.0)[0]
    bound, reason = tolerances_learning.mean_of(runs, variance[live], width, int(live.sum()))
    row("RL-10", "sampled sums of first visits", np.abs(sums - total[0])[live], bound + slack, reason)
    bound, reason = tolerances_learning.mean_of(runs, 0.25, 1.0, int(live.sum()))
    row(
        "RL-10", "sampled numbers of first visits", np.abs(counts.mean(axis=0) - chance[0])[live], bound + slack, reason
    )
    moments = return_moments(task, policy, horizon)
    _, estimates = mc_basic(task, policy, 1, 100, horizon, 4, rng)
    bound, reason = tolerances_learning.mean_of(100, moments.variance[live], moments.width[live], 4 * int(live.sum()))
    row("RL-08", "estimates of MC-basic on random processes", np.abs(estimates[0] - moments.mean)[:, live],
        bound + slack, reason)  # fmt: skip


def followed(control, task: Task, episodes: int, runs: int, seed: int, horizon: int, epsilon: float):
    """Policies `(K, R, S, A)` of the episodes of one run, and its last table and counts: shorter runs begin alike."""
    policies = []
    for k in range(episodes + 1):
        q, counts = control(k, horizon, runs, np.random.default_rng(seed))
        policies.append(epsilon_greedy(q, epsilon))
    return np.array(policies[:-1]), q, counts


@pytest.mark.parametrize("control", ["exploring starts", "epsilon-greedy"])
def test_control(row, control):
    """What control averages are returns of the policies that it really followed, and of no better ones (RL-10, RL-11).

    That exploring starts converge to the optimum is not known in general (RL-10): this is what is proven of any run.
    """
    task, episodes, runs, horizon = twins(0.5), 8, 150, 3
    live = task.mdp.available & ~task.terminal[:, None]
    if control == "exploring starts":
        epsilon, begin = 0.0, live / live.sum()
        policies, q, counts = followed(lambda k, *rest: exploring_starts(task, k, rest[0], rest[1], rest[2]), task,
                                       episodes, runs, 1, horizon, epsilon)  # fmt: skip
        laws = np.broadcast_to(begin, policies.shape)
    else:
        epsilon = 0.5
        policies, q, counts = followed(lambda k, *rest: epsilon_greedy_control(task, epsilon, k, *rest), task, episodes,
                                       runs, 2, horizon, epsilon)  # fmt: skip
        laws = begun(task)[:, None] * policies
    flat = (-1, *live.shape)
    chance, total, second = first_visits(task, policies.reshape(flat), laws.reshape(flat), horizon)
    sums = np.where(counts > 0, q, 0.0) * counts
    width, id = 0.0, "RL-10" if control == "exploring starts" else "RL-11"
    for _ in range(horizon):
        width = 2.0 * task.mdp.largest_reward + task.discount * width
    slack = runs * episodes * tolerances_learning.sampled_law(task, 8.0 * horizon * width)
    best = optimal_values(task).q
    for name, seen, expected, variance, most in (
        ("returns", sums, total, second, width), ("visits", counts, chance, chance, 1.0),
    ):  # fmt: skip
        apart, ratios = [], []
        for s, a in np.argwhere(live):
            spread = variance.reshape(policies.shape)[:, :, s, a]
            # Of two comparisons for each of eight pairs.
            bound = martingale_bound(spread, np.full_like(spread, most), FALSE_ALARM / (2 * live.sum()))[-1] + slack
            error = abs(seen[:, s, a].sum() - expected.reshape(policies.shape)[:, :, s, a].sum())
            row(id, f"{name} that {control} averages", error, bound, f"Freedman's, false alarm {FALSE_ALARM:g} in all")
            apart.append(abs(seen[:, s, a].sum() - counts[:, s, a].sum() * best[s, a]) - bound)
            ratios.append(bound)
        if name == "returns":
            row.exact(id, f"{control}: not the returns of the optimum", max(apart) > 0.0, f"{apart}, {ratios}")


@few
@given(situations(3, 2), st.integers(1, 3), st.integers(0, 2**32 - 1))
@example(ending(), 3, 0)
def test_expected_update_of_linear_monte_carlo(row, situation, horizon, seed):
    """Every episode enumerated: the first state of an episode moves by the mean of its cut return (RL-20)."""
    task, policy, _ = situation
    rng = np.random.default_rng(seed)
    features = rng.integers(-3, 4, (task.mdp.n_states, 2)).astype(np.float64)
    weights = rng.integers(-8, 9, 2) / 4.0
    found = paths(task.mdp, policy, horizon)
    rows, count = np.asarray(task.mdp.to_dense().transitions), len(found.weights)
    begin = begun(task)
    numbers = [uniform_for(np.tile(begin, (count, 1)), found.states[:, 0])]
    for t in range(horizon):
        state, action = found.states[:, t], found.actions[:, t]
        numbers += [uniform_for(policy[state], action), uniform_for(rows[state, action], found.states[:, t + 1])]
    step = next(linear_monte_carlo(task, policy, features, constant(1.0), 1, horizon, count, Scripted(numbers), weights,
                                   starts_only=True))  # fmt: skip
    shares = begin[found.states[:, 0]] * policy[found.first] * found.weights
    mean = (policy * return_moments(task, policy, horizon).mean).sum(axis=1)
    exact = features.T @ (begin * (mean - features @ weights))
    bound, reason = tolerances_linear.expected_update(task, features, weights, count * (horizon + 1))
    row("RL-20", "expected update of linear Monte Carlo", np.abs(shares @ (step.table - weights) - exact),
        (horizon + 1) * bound, reason)  # fmt: skip
