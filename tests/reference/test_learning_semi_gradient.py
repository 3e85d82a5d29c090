"""Semi-gradient learners: expected updates, the tables that they are, exact moments, divergence (C8)."""

from __future__ import annotations

import numpy as np
import pytest
import tolerances_learning
import tolerances_linear
from hypothesis import example, given
from hypothesis import strategies as st
from scripted import Scripted, paths
from situations import ending, script, situations
from strategies import few
from tolerances import FALSE_ALARM

from reference import MDP, garnet
from reference.learning import (
    StepSizes,
    Task,
    action_values,
    aggregated,
    constant,
    expected_semi_gradient,
    exploring,
    following,
    independent_td,
    linear_monte_carlo,
    linear_q_learning,
    linear_sarsa,
    linear_td,
    n_step_td,
    on_policy_law,
    one_hot,
    policy_values,
    projected_fixed_point,
    projection,
    q_learning,
    q_operator,
    random_walk,
    sarsa,
    sarsa_operator,
    td,
    td_operator,
    td_outcomes,
    td_system,
    truncation_bias,
    w_to_2w,
    weight_moments,
)
from reference.rounding import gamma_n

RUNS = 2000


@given(situations(), st.integers(0, 2**32 - 1))
@example(ending(), 0)
def test_expected_updates(row, situation, seed):
    """Every transition enumerated: the mean change of the weights under a law is `Phi^T D (T q - q)` (RL-20, RL-21)."""
    task, acting, _ = situation
    rng = np.random.default_rng(seed)
    states, actions = task.mdp.rewards.shape
    live = task.mdp.available & ~task.terminal[:, None]
    pairs = rng.integers(-3, 4, (states * actions, 3)).astype(np.float64)
    weights = rng.integers(-8, 9, 3) / 4.0
    found = paths(task.mdp, acting, 1)
    count = len(found.weights)
    law = np.where(live, rng.integers(1, 5, live.shape), 0.0)
    law = law / law.sum()

    def change(learner, *arguments, ahead, shares):
        """The change of the weights, averaged over all transitions and next actions with these shares of the pairs."""
        numbers = Scripted(script(task, acting, found, ahead=ahead))
        step = next(learner(task, *arguments, constant(1.0), 1, count, numbers, weights))
        assert np.array_equal(step.states, found.states[:, 0])
        assert np.array_equal(step.next_states, found.states[:, 1])
        return (found.weights * shares[found.first]) @ (step.table - weights)

    take, q = following(acting), action_values(task, pairs, weights)
    bound, reason = tolerances_linear.expected_update(task, pairs, weights, count)
    ours = change(linear_sarsa, take, pairs, ahead=True, shares=law)
    system = td_system(sarsa_operator(task, acting), pairs, law.ravel())
    row("RL-20", "expected update of linear Sarsa", np.abs(ours - system.update(weights)), bound, reason)
    theirs = expected_semi_gradient(q_operator(task, q).ravel(), pairs, law.ravel(), weights)
    ours = change(linear_q_learning, take, pairs, ahead=False, shares=law)
    row("RL-20", "expected update of linear Q-learning", np.abs(ours - theirs), bound, reason)
    # TD(0): the share of a state is that of its actions together, on-policy and with importance weights.
    features, shares = pairs[:states], law.sum(axis=1)
    target = np.where(task.mdp.available, 1.0 + rng.integers(0, 3, live.shape), 0.0)
    target = target / target.sum(axis=1, keepdims=True)
    for name, policy, behaviour in (("", acting, None), (", off-policy", target, acting)):
        ours = change(lambda task, *given, policy=policy, behaviour=behaviour: linear_td(
            task, policy, features, *given, behaviour), ahead=False, shares=shares[:, None] * acting)  # fmt: skip
        theirs = td_system(td_operator(task, policy), features, shares).update(weights)
        ratio = 1.0 if behaviour is None else float((policy / np.where(acting > 0.0, acting, 1.0)).max())
        bound, reason = tolerances_linear.expected_update(task, features, weights, count, max(1.0, ratio))
        row("RL-20", f"expected update of linear TD(0){name}", np.abs(ours - theirs), bound, reason)


@few
@given(situations(4, 2), st.integers(0, 2**32 - 1))
@example(ending(), 0)
def test_one_hot_features_are_a_table(row, situation, seed):
    """The same draws and the same numbers, at every step, whatever the behaviour (RL-20)."""
    task, policy, _ = situation
    states, known = task.mdp.n_states, task.mdp.available
    pairs, sizes, steps = one_hot(task.mdp.rewards.size), constant(0.25), 30
    for name, linear, tabular, act in (
        ("Sarsa", linear_sarsa, sarsa, exploring(0.5)),
        ("Sarsa", linear_sarsa, sarsa, following(policy)),
        ("Q-learning", linear_q_learning, q_learning, exploring(0.5)),
    ):
        first, second = np.random.default_rng(seed), np.random.default_rng(seed)
        for ours, theirs in zip(linear(task, act, pairs, sizes, steps, 3, first),
                                tabular(task, act, sizes, steps, 3, second), strict=True):  # fmt: skip
            table = ours.table.reshape(theirs.table.shape)
            same = np.array_equal(table[:, known], theirs.table[:, known])
            row.exact("RL-20", f"one-hot {name} is tabular", same, f"differs at step {ours.number}")
    first, second = np.random.default_rng(seed), np.random.default_rng(seed)
    for ours, theirs in zip(linear_td(task, policy, one_hot(states), sizes, steps, 3, first),
                            td(task, policy, sizes, steps, 3, second), strict=True):  # fmt: skip
        same = np.array_equal(ours.table, theirs.table) and np.array_equal(ours.next_states, theirs.next_states)
        row.exact("RL-20", "one-hot TD(0) is tabular", same, f"differs at step {ours.number}")


def test_one_hot_monte_carlo_is_every_visit(row):
    """A walk of which every number is dyadic: after each episode the table of a window longer than it (RL-20)."""
    walk, episodes = random_walk(), 12
    features = one_hot(walk.task.mdp.n_states)
    window = n_step_td(walk.task, walk.policy, 400, constant(0.25), 10**6, 1, np.random.default_rng(5), 0.5)
    tables = []
    for step in window:
        if step.ended[0]:
            tables.append(np.where(walk.task.terminal, 0.5, step.table[0]))
        if len(tables) == episodes:
            break
    ended = 0
    for step in linear_monte_carlo(walk.task, walk.policy, features, constant(0.25), episodes, 400, 1,
                                   np.random.default_rng(5), 0.5):  # fmt: skip
        if step.ended[0]:
            same = np.array_equal(step.table[0], tables[ended])
            row.exact("RL-20", "one-hot Monte Carlo is tabular", same, f"differs after episode {ended + 1}")
            ended += 1
    row.exact("RL-20", "every episode ends", ended == episodes, f"{ended} of {episodes}")


def process(seed: int = 11) -> tuple[Task, np.ndarray, np.ndarray, np.ndarray]:
    """Four states and an end, two policies of them, two features."""
    inner = np.asarray(garnet(4, 2, 4, seed).transitions)
    rows = np.zeros((5, 2, 5))
    rows[:4, :, :4], rows[:4, :, 4], rows[4, :, 4] = 0.75 * inner, 0.25, 1.0
    available = np.array([[True, True]] * 4 + [[True, False]])
    pay = np.array([[1.0, -1.0], [0.5, 2.0], [-1.0, 0.0], [1.5, -0.5], [0.0, 0.0]])
    task = Task(MDP(rows, pay, 0.75, [0.75, 0.25, 0.0, 0.0, 0.0], available))
    first = np.array([[0.75, 0.25]] * 4 + [[1.0, 0.0]])
    second = np.array([[0.5, 0.5]] * 4 + [[1.0, 0.0]])
    return task, first, second, np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [-1.0, 0.5], [0.0, 0.0]])


def compare_moments(row, quantity, task, outcomes, sizes, start, seen, mean, second):
    """Means and second moments of sampled weights `(steps, R, 2)` against the exact ones, at every step."""
    steps, runs = seen.shape[:2]
    reached = tolerances_linear.reach(outcomes, sizes, start, steps)[1:, None]
    comparisons = steps * (2 + 4)
    variance = np.maximum(second[1:, [0, 1], [0, 1]] - mean[1:] ** 2, 0.0)
    slack = tolerances_linear.moments(outcomes, steps, float(reached.max()) ** 2)
    slack += tolerances_learning.sampled_law(task, 2.0 * float(reached.max()) ** 2) * steps
    bound, reason = tolerances_learning.mean_of(runs, variance + slack, 2.0 * reached, comparisons)
    row("RL-20", f"mean weights of {quantity}", np.abs(seen.mean(axis=1) - mean[1:]), bound + slack, reason)
    squares = np.einsum("kri,krj->kij", seen, seen) / runs
    # Var w_i w_j <= E w_i^2 w_j^2 <= max w_j^2 E w_i^2.
    most = reached[:, :, None] ** 2
    bound, reason = tolerances_learning.mean_of(runs, most * second[1:, [0, 1], [0, 1]][:, :, None] + slack, 2.0 * most,
                                                comparisons)  # fmt: skip
    row("RL-20", f"second moment of the weights of {quantity}", np.abs(squares - second[1:]), bound + slack, reason)


@pytest.mark.parametrize("draws", ["independent", "trajectory", "trajectory, off-policy"])
def test_moments_of_the_weights(row, draws):
    """Sampled means and second moments against the exact ones, at every step (RL-20)."""
    task, policy, other, features = process()
    behaviour = other if "off-policy" in draws else None
    law = on_policy_law(task, policy) if draws == "independent" else None
    outcomes = td_outcomes(task, policy, features, law, behaviour)
    steps, sizes, start, rng = 6, StepSizes(0.125, 0.5), np.array([1.0, -1.0]), np.random.default_rng(3)
    mean, second = weight_moments(outcomes, sizes, start, steps)
    if draws == "independent":
        seen = independent_td(outcomes, sizes, start, steps, RUNS, rng)[1:]
        system = td_system(td_operator(task, policy), features, law)
        expected = mean[:-1] + sizes(np.arange(1, steps + 1))[:, None] * system.update(mean[:-1])
        slack = tolerances_linear.moments(outcomes, steps, float(np.abs(mean).max()))
        row("RL-20", "mean weights follow the expected update", np.abs(mean[1:] - expected), slack,
            "roundings of two recursions")  # fmt: skip
    else:
        seen = np.array([step.table.copy() for step in linear_td(task, policy, features, sizes, steps, RUNS, rng,
                                                                 start, behaviour)])  # fmt: skip
    compare_moments(row, f"TD(0), {draws}", task, outcomes, sizes, start, seen, mean, second)


def pairs_as_states(task: Task, policy: np.ndarray) -> Task:
    """The process of the pairs under a policy: what Sarsa is TD(0) of."""
    size = task.mdp.rewards.size
    over = (task.terminal[:, None] | ~task.mdp.available).ravel()
    chain = np.einsum("sat,tb->satb", np.asarray(task.mdp.to_dense().transitions), policy).reshape(size, size)
    chain[over] = np.eye(size)[over]
    pay, begin = np.where(over, 0.0, task.mdp.rewards.ravel()), (task.mdp.initial[:, None] * policy).ravel()
    return Task(MDP(chain[:, None, :], pay[:, None], task.discount, begin))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_moments_of_linear_sarsa(row, seed):
    """Random processes with ends: sampled means and second moments are those of TD(0) on the pairs (RL-20)."""
    task, policy, _, _ = process(seed)
    features = np.random.default_rng(seed).integers(-2, 3, (10, 2)) / 2.0
    features[8:] = 0.0
    twin = pairs_as_states(task, policy)
    outcomes = td_outcomes(twin, np.ones((10, 1)), features)
    steps, sizes, start = 6, StepSizes(0.125, 0.5), np.array([1.0, -1.0])
    mean, second = weight_moments(outcomes, sizes, start, steps)
    rng = np.random.default_rng(100 + seed)
    seen = np.array([step.table.copy() for step in linear_sarsa(task, following(policy), features, sizes, steps,
                                                                10 * RUNS, rng, start)])  # fmt: skip
    compare_moments(row, "linear Sarsa", twin, outcomes, sizes, start, seen, mean, second)


def test_moments_by_enumeration(row):
    """Every sequence of three transitions of a trajectory, off-policy, through ends: nothing sampled (RL-20)."""
    task, policy, other, features = process()
    outcomes, sizes, start, steps = td_outcomes(task, policy, features, None, other), constant(0.25), np.ones(2), 3
    grown = [(source, float(mass), start) for source, mass in enumerate(outcomes.first) if mass > 0.0]
    rows = np.asarray(task.mdp.to_dense().transitions)
    for _ in range(steps):
        following_ones = []
        for state, mass, w in grown:
            for action in range(2):
                for after in np.flatnonzero(rows[state, action]):
                    ended, chance = bool(task.terminal[after]), other[state, action] * rows[state, action, after]
                    value = 0.0 if ended else float(features[after] @ w)
                    error = task.mdp.rewards[state, action] + task.discount * value - float(features[state] @ w)
                    ratio = policy[state, action] / other[state, action]
                    moved = w + 0.25 * ratio * error * features[state]
                    for again, share in [(0, 0.75), (1, 0.25)] if ended else [(int(after), 1.0)]:
                        following_ones.append((again, mass * chance * share, moved))
        grown = following_ones
    masses, ends = np.array([mass for _, mass, _ in grown]), np.array([w for _, _, w in grown])
    mean, second = weight_moments(outcomes, sizes, start, steps)
    reached = float(tolerances_linear.reach(outcomes, sizes, start, steps)[-1])
    bound = tolerances_linear.moments(outcomes, steps, reached**2) + gamma_n(2 * len(masses)) * reached**2
    reason = f"gamma_{2 * len(masses)} of the enumeration, and the recursion"
    row("RL-20", "mean weights, enumerated", np.abs(masses @ ends - mean[-1]), bound, reason)
    row("RL-20", "second moment, enumerated", np.abs((ends.T * masses) @ ends - second[-1]), bound, reason)


def circle() -> tuple[Task, np.ndarray, np.ndarray]:
    """Three states in a ring, two of them with one weight: the fixed point of TD is far from the projection."""
    rows = np.array([[[0.125, 0.875, 0.0]], [[0.0, 0.125, 0.875]], [[0.875, 0.0, 0.125]]])
    return Task(MDP(rows, [[2.0], [-1.0], [1.0]], 0.5)), np.ones((3, 1)), aggregated([0, 0, 1])


@pytest.mark.long
def test_where_the_methods_stop(row):
    """TD(0) arrives at the projected fixed point and not at the projection; Monte Carlo the other way round (RL-20)."""
    task, policy, features = circle()
    law, steps, sizes = on_policy_law(task, policy), 100, StepSizes(6.0, 1.0, 6.0)
    truth = policy_values(task, policy)
    found = projected_fixed_point(td_operator(task, policy), features, law)
    nearest = projection(features, law, truth.values, truth.error_bound)
    outcomes = td_outcomes(task, policy, features)
    mean, second = weight_moments(outcomes, sizes, np.zeros(2), steps)
    variance = np.maximum(np.diagonal(second[-1]) - mean[-1] ** 2, 0.0)
    # Steps are below one and features one-hot, so weights stay among values, which reach 2 / (1 - 1/2) either way.
    width = 2.0 * task.mdp.largest_reward / (1.0 - task.discount)
    *_, last = linear_td(task, policy, features, sizes, steps, RUNS, np.random.default_rng(6))
    slack = tolerances_linear.moments(outcomes, steps, width**2) + found.weights_bound
    bound, reason = tolerances_learning.mean_of(RUNS, variance + slack, width, 4)
    bias = np.abs(mean[-1] - found.weights)
    error = np.abs(last.table.mean(axis=0) - found.weights)
    row("RL-20", "TD(0) with features arrives at its fixed point", error, bound + bias + slack,
        f"exact bias, and {reason}")  # fmt: skip
    apart = float((np.abs(found.weights - nearest.weights) - (bound + bias + slack)).min())
    row.exact("RL-20", "and that is not the projection", apart > 0.0, f"the bound is too wide by {-apart:.2g}")

    horizon, episodes = 16, 100
    # The bound knows no variance, and pays for the width: more runs.
    *_, last = linear_monte_carlo(task, policy, features, sizes, episodes, horizon, 4 * RUNS, np.random.default_rng(7),
                                  starts_only=True)  # fmt: skip
    # The expected update is the same as that of TD(0) with a matrix for which nothing is bootstrapped.
    centre, gram = np.zeros(2), (features.T * law) @ features
    for size in sizes(np.arange(1, episodes + 1)):
        centre = centre + size * (gram @ (nearest.weights - centre))
    bias = np.abs(centre - nearest.weights) + truncation_bias(task, horizon) + nearest.weights_bound
    bounds = [tolerances_learning.empirical_mean(last.table[:, k], width, 2) for k in range(2)]
    bound, reason = np.array([bound for bound, _ in bounds]), bounds[0][1]
    row("RL-20", "Monte Carlo with features arrives at the projection",
        np.abs(last.table.mean(axis=0) - nearest.weights), bound + bias + slack,
        f"exact bias, truncation, and {reason}")  # fmt: skip
    apart = float((np.abs(found.weights - nearest.weights) - (bound + bias + slack)).min())
    row.exact("RL-20", "and that is not the fixed point of TD", apart > 0.0, f"the bound is too wide by {-apart:.2g}")


@pytest.mark.long
def test_runs_of_w_to_2w_diverge(row):
    """RL-21: off-policy every run grows as fast as the law of large numbers says, and on-policy none does."""
    case, step, steps, runs = w_to_2w(0.99), 0.125, 2000, 20
    gamma = case.task.discount
    # An update multiplies w: by one if the action is not the policy's, which has importance weight 2.
    factors = np.array([1.0, 1.0 + step * 2.0 * (2.0 * gamma - 1.0), 1.0, 1.0 - step * 2.0 * 4.0 * (1.0 - gamma)])
    logs = np.log(factors)
    drift, width = float(logs.mean()), float(np.ptp(logs))
    # A coin decides this action and the next state: it moves two of the logarithms (McDiarmid 1989).
    promised = steps * drift - 2.0 * width * np.sqrt(0.5 * (steps + 1) * np.log(runs / FALSE_ALARM))
    row.exact("RL-21", "the promise is divergence", promised > 0.0, f"only {promised}")
    *_, last = linear_td(case.task, case.policy, case.features, constant(step), steps, runs, np.random.default_rng(8),
                         case.start, case.behaviour)  # fmt: skip
    grown = np.log(np.abs(last.table[:, 0]))
    row("RL-21", "growth of w -> 2w, off-policy", np.maximum(0.0, promised - grown), gamma_n(16 * steps),
        f"McDiarmid's inequality for {runs} runs, false alarm {FALSE_ALARM:g}")  # fmt: skip
    *_, last = linear_td(case.task, case.policy, case.features, constant(step), steps, runs, np.random.default_rng(9),
                         case.start)  # fmt: skip
    # The first state may be met once, at the start; from then on w shrinks by 1 - 4 a (1 - gamma).
    most = np.log1p(step * (2.0 * gamma - 1.0)) + (steps - 1) * np.log1p(-step * 4.0 * (1.0 - gamma))
    row("RL-21", "growth of w -> 2w, on-policy", np.maximum(0.0, np.log(np.abs(last.table[:, 0])) - most),
        gamma_n(16 * steps), "the exact factor of every step")  # fmt: skip


def test_weights_may_leave_the_floats(row):
    """Divergence is an answer: steps far too long, all learners, no error and no warning (RL-21)."""
    task, policy, _, features = process()
    pairs, sizes = np.repeat(features, 2, axis=0) + np.tile([[0.0, 0.0], [1.0, -1.0]], (5, 1)), constant(1e6)
    rng = np.random.default_rng(4)
    for learner in (
        linear_td(task, policy, features, sizes, 200, 2, rng, 1.0),
        linear_sarsa(task, exploring(0.5), pairs, sizes, 200, 2, rng, 1.0),
        linear_q_learning(task, exploring(0.5), pairs, sizes, 200, 2, rng, 1.0),
        linear_monte_carlo(task, policy, features, sizes, 200, 50, 2, rng, 1.0),
    ):
        *_, last = learner
        gone = not np.isfinite(last.table).any()
        row.exact("RL-21", "weights leave the range of float64", gone, f"saw {last.table}")


def test_errors():
    task, policy, other, features = process()
    rng = np.random.default_rng(0)
    never = np.array([[1.0, 0.0]] * 5)
    with pytest.raises(ValueError, match="never takes action 1 in state 0"):
        next(linear_td(task, policy, features, constant(0.5), 1, 1, rng, 0.0, never))
    with pytest.raises(ValueError, match=r"expected \(10, D\)"):
        next(linear_sarsa(task, following(other), features, constant(0.5), 1, 1, rng))
    with pytest.raises(ValueError, match="5 sources"):
        independent_td(td_outcomes(task, policy, features), constant(0.5), np.zeros(2), 1, 1, rng)
