"""Whole runs of linear methods stay within proven bounds of their exact fixed points; false alarms below 1e-9 (C6, C8).

Every bound is known before anything is drawn, and small enough to tell the fixed point from another one: the
projection, the fixed point without importance weights, that of another target.
"""

from __future__ import annotations

import numpy as np
import pytest
import tolerances_linear
from hypothesis import example, given
from hypothesis import strategies as st
from situations import ending, situations
from strategies import few
from tolerances import FALSE_ALARM

from reference import MDP
from reference.learning import (
    LeastSquares,
    LinearSolution,
    Outcomes,
    StepSizes,
    Task,
    aggregated,
    constant,
    descend,
    expected_semi_gradient,
    following,
    independent_td,
    linear_q_learning,
    linear_sarsa,
    linear_td,
    on_policy_law,
    pair_law,
    pair_outcomes,
    policy_values,
    projected_fixed_point,
    projection,
    q_operator,
    sarsa_operator,
    td_operator,
    td_outcomes,
    weight_envelope,
    weight_moments,
)
from reference.rounding import gamma_n

RUNS = 8


def circle() -> tuple[Task, np.ndarray, np.ndarray]:
    """Three states in a ring, two of them with one weight: the fixed point of TD is far from the projection."""
    rows = np.array([[[0.125, 0.875, 0.0]], [[0.0, 0.125, 0.875]], [[0.875, 0.0, 0.125]]])
    return Task(MDP(rows, [[2.0], [-1.0], [1.0]], 0.5)), np.ones((3, 1)), aggregated([0, 0, 1])


def levers() -> tuple[Task, np.ndarray]:
    """Two groups of two states, from which one mostly stays in the group; what pays is the action, up to a quarter.

    The second array holds the features 1 and the sign of the group, which are orthonormal under the stationary law.
    """
    lean = np.array([[0.375, 0.375, 0.125, 0.125], [0.125, 0.125, 0.375, 0.375]])
    rewards = [[2.25, -1.0], [1.75, -1.0], [2.0, -2.25], [2.0, -1.75]]
    signs = np.array([[1.0, 1.0], [1.0, 1.0], [1.0, -1.0], [1.0, -1.0]])
    return Task(MDP(np.broadcast_to(lean, (4, 2, 4)), rewards, 0.5)), signs


SIGNS = np.tile([[1.0, 1.0], [1.0, -1.0]], (4, 1))
"""Features of the pairs of `levers`: 1 and the sign of the action."""
EVEN = np.full((4, 2), 0.5)


def held(row, id, quantity, seen, solution, bound, slack, reason):
    """Errors of the last weights of every run."""
    row(id, quantity, np.abs(seen - solution.weights), bound + slack,
        f"proven bound, false alarm {FALSE_ALARM:g}, and {reason}")  # fmt: skip


def tells_apart(row, id, quantity, solution, other, bound):
    """A run within its bound of the one point is not at the other."""
    margin = np.abs(solution - other) - bound
    row.exact(id, quantity, bool(margin.max() > 0.0), f"the bounds are too wide by {-margin.max():.2g}")


@pytest.mark.long
@pytest.mark.parametrize("draws", ["independent", "trajectory"])
def test_td(row, draws):
    """From the projection, TD(0) leaves for the projected fixed point (RL-20)."""
    task, policy, features = circle()
    law, truth = on_policy_law(task, policy), policy_values(task, policy)
    found = projected_fixed_point(td_operator(task, policy), features, law)
    nearest = projection(features, law, truth.values, truth.error_bound)
    steps, sizes = (
        (9000, StepSizes(8.0, 1.0, 3000.0)) if draws == "independent" else (3000, StepSizes(8.0, 1.0, 1000.0))
    )
    outcomes = td_outcomes(task, policy, features, law if draws == "independent" else None)
    envelope = weight_envelope(outcomes, found.weights, sizes, nearest.weights, steps, np.eye(2), RUNS, FALSE_ALARM)
    rng = np.random.default_rng(1)
    if draws == "independent":
        seen = independent_td(outcomes, sizes, nearest.weights, steps, RUNS, rng)[-1]
    else:
        *_, last = linear_td(task, policy, features, sizes, steps, RUNS, rng, nearest.weights)
        seen = last.table
    slack, reason = tolerances_linear.run(task, envelope, found, float(sizes(1)), 1.0)
    held(row, "RL-20", f"linear TD(0), {draws}", seen, found, envelope.bounds[-1], slack, reason)
    tells_apart(row, "RL-20", f"and not the projection, {draws}", found.weights, nearest.weights,
                envelope.bounds[-1] + slack)  # fmt: skip


@pytest.mark.long
def test_off_policy_td(row):
    """Importance weights lead to the values of the policy that is not followed, and not to those of the other (RL-29).

    Under this behaviour the expected update is stable; it need not be (RL-21).
    """
    (task, features), policy = levers(), np.tile([0.75, 0.25], (4, 1))
    law, steps, sizes = on_policy_law(task, EVEN), 4000, StepSizes(4.0, 1.0, 2000.0)
    found = projected_fixed_point(td_operator(task, policy), features, law)
    unweighted = projected_fixed_point(td_operator(task, EVEN), features, law)
    outcomes = td_outcomes(task, policy, features, None, EVEN)
    envelope = weight_envelope(outcomes, found.weights, sizes, unweighted.weights, steps, np.eye(2), RUNS, FALSE_ALARM)
    *_, last = linear_td(task, policy, features, sizes, steps, RUNS, np.random.default_rng(2), unweighted.weights, EVEN)
    slack, reason = tolerances_linear.run(task, envelope, found, float(sizes(1)), 1.5)
    held(row, "RL-29", "linear TD(0), off-policy", last.table, found, envelope.bounds[-1], slack, reason)
    tells_apart(row, "RL-29", "and not what the behaviour is worth", found.weights, unweighted.weights,
                envelope.bounds[-1] + slack)  # fmt: skip


def best_fit(task: Task, start: np.ndarray) -> tuple[np.ndarray, LinearSolution]:
    """A fixed point of linear Q-learning: a greedy policy of its own fixed point, and that point."""
    law, weights = pair_law(task, EVEN), start
    for _ in range(10):
        greedy = np.eye(2)[(SIGNS @ weights).reshape(4, 2).argmax(axis=1)]
        found = projected_fixed_point(sarsa_operator(task, greedy), SIGNS, law)
        if np.array_equal(found.weights, weights):
            return greedy, found
        weights = found.weights
    raise AssertionError(f"no greedy policy is that of its own fixed point: {weights}")


@pytest.mark.long
@pytest.mark.parametrize("method", ["Sarsa", "Q-learning"])
def test_action_values(row, method):
    """Each begins at the fixed point of the other one, and leaves it for its own (RL-20).

    Q-learning is linear as long as its greedy policy is the one at its fixed point: the bound is below the margin, in
    every step, so that it does not leave that policy.
    """
    (task, _), steps, sizes = levers(), 4000, StepSizes(4.0, 1.0, 1000.0)
    law, rng, act = pair_law(task, EVEN), np.random.default_rng(3), following(EVEN)
    under = projected_fixed_point(sarsa_operator(task, EVEN), SIGNS, law)
    greedy, best = best_fit(task, under.weights)
    found, other, target = (under, best, None) if method == "Sarsa" else (best, under, greedy)
    learner = linear_sarsa if method == "Sarsa" else linear_q_learning
    # What an action lacks of the best one is moved by the error of the weights.
    lead = (SIGNS.reshape(4, 2, 2) * greedy[:, :, None]).sum(axis=1)
    lacks = (lead[:, None] - SIGNS.reshape(4, 2, 2))[greedy == 0.0]
    outcomes = pair_outcomes(task, EVEN, SIGNS, target)
    envelope = weight_envelope(outcomes, found.weights, sizes, other.weights, steps, np.vstack([np.eye(2), lacks]),
                               RUNS, FALSE_ALARM)  # fmt: skip
    *_, last = learner(task, act, SIGNS, sizes, steps, RUNS, rng, other.weights)
    slack, reason = tolerances_linear.run(task, envelope, found, float(sizes(1)), 2.0)
    if method == "Q-learning":
        field = expected_semi_gradient(q_operator(task, (SIGNS @ found.weights).reshape(4, 2)).ravel(), SIGNS, law,
                                       found.weights)  # fmt: skip
        bound, why = tolerances_linear.expected_update(task, SIGNS, found.weights, 8)
        row("RL-20", "fixed point of linear Q-learning", np.abs(field), bound + 4.0 * found.weights_bound, why)
        spare = (lacks @ found.weights - envelope.bounds[:, 2:] - slack).min()
        row.exact("RL-20", "no run leaves the greedy policy", spare > 0.0, f"the bound is too wide by {-spare:.2g}")
    held(row, "RL-20", f"linear {method}", last.table, found, envelope.bounds[-1, :2], slack, reason)
    tells_apart(row, "RL-20", f"{method}: one fixed point and not the other", found.weights, other.weights,
                envelope.bounds[-1, :2] + slack)  # fmt: skip


@pytest.mark.parametrize("batch", [1, 4])
def test_descent(row, batch):
    """Stochastic and mini-batch descent, from the best that the first feature does alone to the minimiser (RL-14)."""
    features = np.array([[1.0, 1.0], [1.0, -1.0], [1.0, 0.5], [1.0, -0.5]])
    labels, steps, sizes = np.array([2.75, -1.75, 1.25, -0.25]), 3000 // batch, StepSizes(4.0, 1.0, 1000.0 // batch)
    data, start = LeastSquares(features, labels), np.array([labels.mean(), 0.0])
    outcomes = Outcomes(np.ones(1), *np.zeros((2, 4), dtype=np.int64), np.full(4, 0.25), features, features, labels)
    envelope = weight_envelope(outcomes, data.minimiser, sizes, start, steps, np.eye(2), RUNS, FALSE_ALARM, batch)
    last = descend(data, batch, sizes, start, steps, RUNS, np.random.default_rng(4))[-1]
    # Eight roundings a step of numbers below eight, each of which at most adds up in the norm of the bound.
    slack = 8.0 * envelope.condition * steps * gamma_n(16)
    row("RL-14", f"descent on {'single data' if batch == 1 else 'batches'}", np.abs(last - data.minimiser),
        envelope.bounds[-1] + slack, f"proven bound, false alarm {FALSE_ALARM:g}, and rounding")  # fmt: skip
    tells_apart(row, "RL-14", "and not the best of one feature", data.minimiser, start, envelope.bounds[-1] + slack)


def mixed(task: Task) -> Task:
    """The process that one time of four goes anywhere, so that there is one recurrent class."""
    rows = np.asarray(task.mdp.to_dense().transitions)
    blurred = np.where(task.terminal[:, None, None], rows, 0.75 * rows + 0.25 / len(rows))
    return Task(MDP(blurred, task.mdp.rewards, task.discount, task.mdp.initial, task.mdp.available))


def certain() -> tuple[Task, np.ndarray, np.ndarray]:
    """A step that pays 1 and is the last: nothing is random, and no part of the noise is there at the fixed point."""
    task = Task(MDP([[[0.0, 1.0]], [[0.0, 1.0]]], [[1.0], [0.0]], 0.0, [1.0, 0.0]))
    return task, np.ones((2, 1)), np.zeros((2, 2, 1))


@few
@given(situations(), st.integers(0, 2**32 - 1))
@example(ending(), 0)
@example(certain(), 0)
def test_random_processes(row, situation, seed):
    """Wherever the expected update is stable the bounds hold at every step, however little a short run learns."""
    task, policy, _ = situation
    task, rng, steps = mixed(task), np.random.default_rng(seed), 40
    law, pairs = on_policy_law(task, policy), pair_law(task, policy)
    features = rng.integers(-2, 3, (len(pairs), 2)).astype(np.float64)
    for kept, counted in ((features[: len(law)], law > 0.0), (features, pairs > 0.0)):
        if np.linalg.matrix_rank(kept[counted]) < 2:
            features = np.ones((len(pairs), 1))
    width = features.shape[1]
    sizes, start = constant(2.0**-8), rng.integers(-4, 5, width) / 4.0
    plain = projected_fixed_point(td_operator(task, policy), features[: len(law)], law)
    several = projected_fixed_point(sarsa_operator(task, policy), features, pairs)
    for name, outcomes, solution, learner in (
        ("TD(0)", td_outcomes(task, policy, features[: len(law)]), plain,
         linear_td(task, policy, features[: len(law)], sizes, steps, 4, rng, start)),
        ("Sarsa", pair_outcomes(task, policy, features), several,
         linear_sarsa(task, following(policy), features, sizes, steps, 4, rng, start)),
    ):  # fmt: skip
        envelope = weight_envelope(outcomes, solution.weights, sizes, start, steps, np.eye(width), 4, FALSE_ALARM)
        bounded = np.isfinite(envelope.bounds).all(axis=1)[1:]
        slack, reason = tolerances_linear.run(
            task, envelope._replace(bounds=envelope.bounds[:-1][bounded]), solution, float(sizes(1)), 2.0)  # fmt: skip
        seen = np.array([step.table.copy() for step in learner])
        row("RL-20", f"{name} with random features", np.abs(seen - solution.weights)[bounded],
            envelope.bounds[1:][bounded][:, None] + slack, f"proven bound, {reason}")  # fmt: skip


def test_faults_leave_the_bound(row):
    """What the bound tells apart: learners of neighbouring processes, begun at the fixed point, leave it (RL-20)."""
    (task, _), steps, sizes = levers(), 600, StepSizes(4.0, 1.0, 1000.0)
    greedy, best = best_fit(task, np.array([0.0, 1.0]))
    outcomes, start = pair_outcomes(task, EVEN, SIGNS, greedy), best.weights
    bound = weight_envelope(outcomes, best.weights, sizes, start, steps, np.eye(2), 4, FALSE_ALARM).bounds[-1]
    for fault, wrong in (
        ("none", task),
        ("no bootstrap", Task(task.mdp, 0.0)),
        ("a quarter for a half", Task(task.mdp, 0.25)),
        ("rewards of the wrong sign", Task(MDP(task.mdp.transitions, -task.mdp.rewards, task.discount))),
    ):
        *_, last = linear_q_learning(wrong, following(EVEN), SIGNS, sizes, steps, 4, np.random.default_rng(5), start)
        outside = bool((np.abs(last.table - best.weights) > bound).any())
        row.exact("RL-20", f"outside of the bound: {fault}", outside == (fault != "none"), f"{last.table}, {bound}")


@pytest.mark.parametrize("target", [None, np.ones((2, 1))], ids=["Sarsa", "expected"])
def test_pairs_behind_the_end_of_an_episode_are_not_bootstrapped_from(target):
    """From state 0, either back to it or to the end, after which the next pair is that of a fresh start (RL-20)."""
    task = Task(MDP([[[0.5, 0.5]], [[0.0, 1.0]]], [[1.0], [0.0]], 0.5, initial=[1.0, 0.0]))
    outcomes = pair_outcomes(task, np.ones((2, 1)), np.array([[3.0], [7.0]]), target)
    assert outcomes.sources.tolist() == outcomes.targets.tolist() == [0, 0]
    assert sorted(outcomes.differences.ravel().tolist()) == [3.0 - 0.5 * 3.0, 3.0]


def test_moments_of_pairs(row):
    """The outcomes of pairs are those of TD(0) on the process of pairs: exact moments of Sarsa (RL-20)."""
    task, _ = levers()
    chain = np.einsum("sat,tb->satb", np.asarray(task.mdp.to_dense().transitions), EVEN).reshape(8, 8)
    whole = Task(MDP(chain[:, None], task.mdp.rewards.reshape(8, 1), task.discount))
    sizes, start, steps = constant(0.125), np.array([1.0, -1.0]), 4
    ours = weight_moments(pair_outcomes(task, EVEN, SIGNS), sizes, start, steps)
    outcomes = td_outcomes(whole, np.ones((8, 1)), SIGNS)
    reached = float(tolerances_linear.reach(outcomes, sizes, start, steps)[-1])
    for mine, theirs in zip(ours, weight_moments(outcomes, sizes, start, steps), strict=True):
        bound = 2.0 * tolerances_linear.moments(outcomes, steps, reached**2)
        row("RL-20", "moments of Sarsa", np.abs(mine - theirs), bound, "two recursions")


def test_errors():
    (task, features), three = levers(), np.zeros(2)
    outcomes = td_outcomes(task, EVEN, features)
    with pytest.raises(ValueError, match="drawn independently"):
        weight_envelope(outcomes, three, constant(0.1), three, 1, np.eye(2), 1, 0.1, 2)
    with pytest.raises(ValueError, match="failure is 1"):
        weight_envelope(outcomes, three, constant(0.1), three, 1, np.eye(2), 1, 1.0)
    with pytest.raises(ValueError, match="positive real parts"):
        weight_envelope(td_outcomes(task, EVEN, 0.0 * features), three, constant(0.1), three, 1, np.eye(2), 1, 0.1)
    gone = weight_envelope(outcomes, three, constant(64.0), np.ones(2), 400, np.eye(2), 1, 0.1)
    assert np.isinf(gone.bounds[-1]).all()
