"""The expected update of every method is its operator: all successors enumerated, nothing sampled (C7)."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tolerances_learning
from exact import Exact, fractions
from hypothesis import example, given
from hypothesis import strategies as st
from scripted import Scripted, expectation, paths, uniform_for
from situations import ending, script, situations
from strategies import few

from reference import MDP, garnet
from reference.learning import (
    StepSizes,
    Task,
    constant,
    double_bias,
    double_q_learning,
    double_q_operator,
    epsilon_greedy,
    epsilon_soft_operator,
    epsilon_soft_optimum,
    expected_sarsa,
    expected_sarsa_operator,
    expected_sarsa_rule,
    exploring,
    following,
    maximisation_bias,
    n_step_operator,
    n_step_rule,
    n_step_sarsa,
    n_step_td,
    optimal_values,
    policy_values,
    q_learning,
    q_learning_rule,
    q_operator,
    sarsa,
    sarsa_operator,
    target_variance,
    td,
    td_operator,
)

# The first update of an entry takes the target; what comes after weighs 2^-60, less than a rounding.
ONCE = StepSizes(1.0, 60.0)


def compare(row, id: str, quantity: str, task: Task, table: np.ndarray, ours: np.ndarray, theirs: np.ndarray, n=1):
    live = task.mdp.available & ~task.terminal[:, None]
    bound, reason = tolerances_learning.expected_target(task, table, n)
    row(id, quantity, np.abs(ours[live] - theirs[live]), bound, reason)


@given(situations())
@example(ending())
def test_one_step_updates(row, situation):
    task, policy, (table, other) = situation
    found = paths(task.mdp, policy, 1)
    count, first = len(found.weights), found.first
    rows = np.arange(count)

    def target(learner, *behaviour, ahead=False, start=table, coin=0):
        """The mean of the updated entries, over all transitions and next actions."""
        rng = Scripted(script(task, policy, found, ahead=ahead), coin)
        step = next(learner(task, *behaviour, constant(1.0), 1, count, rng, start=start))
        assert np.array_equal(step.states, found.states[:, 0])
        assert np.array_equal(step.actions, found.actions[:, 0])
        assert np.array_equal(step.next_states, found.states[:, 1])
        where = (rows, *first) if step.which is None else (rows, step.which, *first)
        return expectation(task.mdp, found, step.table[where])

    take = following(policy)
    compare(row, "RL-17", "expected update of Sarsa", task, table,
            target(sarsa, take, ahead=True), sarsa_operator(task, policy)(table))  # fmt: skip
    compare(row, "RL-16", "expected update of Expected Sarsa", task, table,
            target(expected_sarsa, take, take), expected_sarsa_operator(task, policy, table))  # fmt: skip
    greedily = exploring(0.25)
    compare(row, "RL-11", "expected update of Expected Sarsa, epsilon-greedy for its own table", task, table,
            target(expected_sarsa, greedily, take), epsilon_soft_operator(task, 0.25, table))  # fmt: skip
    compare(row, "RL-18", "expected update of Q-learning", task, table,
            target(q_learning, take), q_operator(task, table))  # fmt: skip
    both = np.stack([table, other])
    for coin, (chooser, judge) in enumerate(((table, other), (other, table))):
        compare(row, "RL-19", "expected update of double Q-learning", task, both,
                target(double_q_learning, take, start=both, coin=coin),
                double_q_operator(task, chooser, judge))  # fmt: skip
    # The means over the paths are over the action as well in TD(0): from the state.
    rng = Scripted(script(task, policy, found, ahead=False))
    values = np.where(task.terminal, 0.0, table[:, 0].clip(-50.0))
    step = next(td(task, policy, constant(1.0), 1, count, rng, values))
    seen = (policy * expectation(task.mdp, found, step.table[rows, found.states[:, 0]])).sum(axis=1)
    bound, reason = tolerances_learning.expected_target(task, values)
    live = ~task.terminal
    row("RL-15", "expected update of TD(0)", np.abs(seen - td_operator(task, policy)(values))[live], bound, reason)


@few
@given(situations(2, 2), st.integers(1, 3))
@example(ending(), 1)
@example(ending(), 2)
def test_n_step_updates(row, situation, n):
    task, policy, (table, _) = situation
    found = paths(task.mdp, policy, n)
    count, rows = len(found.weights), np.arange(len(found.weights))
    rng = Script(script(task, policy, found, ahead=True))
    for step in n_step_sarsa(task, following(policy), n, ONCE, n, count, rng, start=table):
        last = step
    ours = expectation(task.mdp, found, last.table[(rows, *found.first)])
    theirs = n_step_operator(task, policy, n)(table)
    compare(row, "RL-17", "expected update of n-step Sarsa", task, table, ours, theirs, n)
    # The same paths through n-step TD, whose mean is over the first action as well.
    values = np.where(task.terminal, 0.0, table[:, 0].clip(-50.0))
    rng = Script(script(task, policy, found, ahead=False))
    for step in n_step_td(task, policy, n, ONCE, n, count, rng, start=values):
        last = step
    seen = (policy * expectation(task.mdp, found, last.table[rows, found.states[:, 0]])).sum(axis=1)
    exact, live = values, ~task.terminal
    for _ in range(n):
        exact = np.where(live, td_operator(task, policy)(exact), 0.0)
    bound, reason = tolerances_learning.expected_target(task, values, n)
    row("RL-15", "expected update of n-step TD", np.abs(seen - exact)[live], bound, reason)


def test_td_of_one_step_is_td():
    """Every field of every step, with the same draws: what the transition was, and what was learned from it."""
    task, policy, _ = ending()
    alone = td(task, policy, ONCE, 40, 3, np.random.default_rng(2))
    window = n_step_td(task, policy, 1, ONCE, 40, 3, np.random.default_rng(2))
    for one, other in zip(alone, window, strict=True):
        for name in (field.name for field in dataclasses.fields(one)):
            np.testing.assert_array_equal(getattr(other, name), getattr(one, name), err_msg=f"{name} of {one.number}")


class Script(Scripted):
    """As `Scripted`, but replications that are over may ask for as many fresh starts as they like."""

    def random(self, size=None, dtype=np.float64, out=None):
        return super().random(size) if self.numbers and self.numbers[0].shape == (size,) else np.zeros(size)


@few
@given(situations(2, 2), st.integers(1, 3))
@example(ending(), 1)
@example(ending(), 3)
def test_synchronous_updates(row, situation, n):
    """The rules for a simulator: replication `i` walks path `i` from its first pair; its other pairs do not matter."""
    task, policy, (table, _) = situation
    rows, size = np.asarray(task.mdp.to_dense().transitions), table.size
    for id, quantity, rule, operator, length in (
        ("RL-17", "expected update of the n-step rule", n_step_rule(policy, n), n_step_operator(task, policy, n), n),
        ("RL-18", "expected update of the Q-learning rule", q_learning_rule, lambda q: q_operator(task, q), 1),
        ("RL-16", "expected update of the Expected Sarsa rule", expected_sarsa_rule(policy),
         lambda q: expected_sarsa_operator(task, policy, q), 1),
    ):  # fmt: skip
        found = paths(task.mdp, policy, length)
        count = len(found.weights)
        walker = np.arange(count) * size + found.states[:, 0] * task.mdp.n_actions + found.actions[:, 0]
        numbers = []
        for t in range(length):
            state, action, after = found.states[:, t], found.actions[:, t], found.states[:, t + 1]
            for uniform in (
                uniform_for(rows[state, action], after),
                uniform_for(policy[after], found.actions[:, t + 1]),
            ):
                numbers.append(np.zeros(count * size))
                numbers[-1][walker] = uniform
        targets = rule(task, np.tile(table, (count, 1, 1)), Scripted(numbers))
        ours = expectation(task.mdp, found, targets[(np.arange(count), *found.first)])
        compare(row, id, quantity, task, table, ours, operator(table), length)


@few
@given(situations())
def test_operators_are_bellmans(row, situation):
    """Against exact rational backups, which know nothing of tasks and targets."""
    task, policy, (table, _) = situation
    exact, live = Exact.of(task.mdp), task.mdp.available & ~task.terminal[:, None]
    tables = fractions(np.where(live, table, 0.0))
    weights = fractions(policy)
    under = [sum((w * x for w, x in zip(weights[s], tables[s], strict=True)), 0) for s in exact.states]
    best = [max(tables[s][a] for a in exact.actions[s]) for s in exact.states]
    for id, quantity, ours, values in (
        ("RL-17", "operator of Sarsa", sarsa_operator(task, policy)(table), under),
        ("RL-18", "operator of Q-learning", q_operator(task, table), best),
    ):
        theirs = np.array([[float(exact.q(values, s, a)) for a in range(task.mdp.n_actions)] if not task.terminal[s]
                           else [0.0] * task.mdp.n_actions for s in exact.states])  # fmt: skip
        compare(row, id, quantity, task, table, ours, theirs)


@few
@given(situations())
def test_fixed_points(row, situation):
    """The solvers' answers are the fixed points, and the moduli of the operators are what RL-17 says."""
    task, policy, (table, other) = situation
    live = task.mdp.available & ~task.terminal[:, None]

    def fixed(id, quantity, applied, q, error):
        slack, reason = tolerances_learning.expected_target(task, q)
        row(id, quantity, np.abs(applied[live] - q[live]), 2.0 * error + slack, f"certified error twice, and {reason}")

    found, best = policy_values(task, policy), optimal_values(task)
    fixed("RL-17", "fixed point of Sarsa", sarsa_operator(task, policy)(found.q), found.q, found.error_bound)
    fixed("RL-17", "fixed point of 3-step Sarsa", n_step_operator(task, policy, 3)(found.q), found.q,
          3.0 * found.error_bound)  # fmt: skip
    fixed("RL-18", "fixed point of Q-learning", q_operator(task, best.q), best.q, best.error_bound)
    fixed(
        "RL-19", "fixed point of double Q-learning", double_q_operator(task, best.q, best.q), best.q, best.error_bound
    )
    soft, q = epsilon_soft_optimum(task, 0.25)
    fixed("RL-11", "fixed point of epsilon-greedy Sarsa", epsilon_soft_operator(task, 0.25, q), q, soft.error_bound)
    gap = np.abs(table[live] - other[live]).max()
    for n in (1, 2, 3):
        operator = n_step_operator(task, policy, n)
        bound = (
            task.discount**n * gap + 2.0 * n * tolerances_learning.expected_target(task, np.stack([table, other]), n)[0]
        )
        moved = np.abs(operator(table)[live] - operator(other)[live]).max()
        row("RL-17", "modulus gamma^n", moved, bound, "gamma^n and rounding")


def test_variances(row):
    """What Expected Sarsa saves is gamma^2 E Var_pi q(S', .): the example of RL-16, and paths enumerated."""
    # A step to a state whose two actions pay +-sqrt(3): variance 3 of the action, none of the state.
    mdp = garnet(4, 3, 3, seed=3, discount=0.75)
    task = Task(mdp)
    policy = np.tile([0.5, 0.25, 0.25], (4, 1))
    q = policy_values(task, policy).q
    found = paths(mdp, policy, 1)
    bootstrap = task.discount * q[found.states[:, 1], found.actions[:, 1]]
    mean = expectation(mdp, found, bootstrap)
    drawn = expectation(mdp, found, (bootstrap - mean[found.first]) ** 2)
    expected, with_action = target_variance(task, q, policy)
    size = tolerances_learning.magnitude(task, q) ** 2
    bound, reason = tolerances_learning.expected_target(task, q)
    bound *= size * 4.0 / tolerances_learning.magnitude(task, q)
    row("RL-16", "variance of Sarsa's target", np.abs(drawn - with_action), bound, reason)
    row.exact("RL-16", "Expected Sarsa has less variance", bool((expected < with_action).all()), "not less everywhere")
    best = q.max(axis=1)[found.states[:, 1]] * task.discount
    mean = expectation(mdp, found, best)
    single = expectation(mdp, found, (best - mean[found.first]) ** 2)
    row("RL-18", "variance of Q-learning's target", np.abs(single - target_variance(task, q)[0]), bound, reason)


def test_variance_of_an_end(row):
    """Half of the steps end: what follows is worth 8 or nothing, and the target has variance gamma^2 16 (RL-18)."""
    rows = np.array([[[0.5, 0.5]], [[0.0, 1.0]]])
    task = Task(MDP(rows, [[1.0], [0.0]], 0.5, [1.0, 0.0]))
    table = np.array([[8.0], [0.0]])
    for name, found in (("Q-learning", target_variance(task, table)),
                        ("Sarsa", target_variance(task, table, np.ones((2, 1))))):  # fmt: skip
        seen = [float(variance[0, 0]) for variance in found]
        row.exact("RL-18", f"variance of a target that may end, {name}", seen == [4.0, 4.0], f"expected 4, saw {seen}")


def test_conditioning(row):
    """Conditioned on the state alone, as the notes print it, a bandit paying (0, 1) would be worth 1/2 (RL-16)."""
    mdp = MDP(np.ones((1, 2, 1)), [[0.0, 1.0]], 0.0)
    q = sarsa_operator(Task(mdp), np.array([[0.5, 0.5]]))(np.zeros((1, 2)))
    row.exact("RL-16", "a bandit's values", q.tolist() == [[0.0, 1.0]], f"expected [[0, 1]], saw {q.tolist()}")


def test_maximisation_bias(row):
    """Two independent estimates +-1 of 0: the maximum has mean 1/2, judged by a second draw 0 (RL-19)."""
    outcomes = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    law = np.full(4, 0.25)
    found = maximisation_bias(outcomes, law), double_bias(outcomes, law)
    row.exact("RL-19", "bias of the maximum of two coins", found == (0.5, 0.0), f"expected (1/2, 0), saw {found}")
    shifted = outcomes + np.array([0.0, 0.5])
    uneven = maximisation_bias(shifted, law), double_bias(shifted, law)
    row.exact("RL-19", "double estimates err to the other side", uneven[0] > 0.0 > uneven[1], f"saw {uneven}")


def test_epsilon_greedy(row):
    """One greedy action even where several are best, and epsilon / n for each of the n available (RL-11)."""
    rows = np.array([[1.0, 1.0, -np.inf, 0.0], [2.0, -np.inf, -np.inf, -np.inf]])
    found = epsilon_greedy(rows, 0.75)
    row.exact("RL-11", "epsilon-greedy probabilities", found.tolist() == [[0.5, 0.25, 0.0, 0.25], [1.0, 0.0, 0.0, 0.0]],
              f"saw {found.tolist()}")  # fmt: skip
    with pytest.raises(ValueError, match="expected a probability"):
        epsilon_greedy(rows, 1.5)


def test_best_epsilon_soft_policy_differs(row):
    """RL-11: a leads to rewards (1, -10), b pays 1/2; with epsilon 1/5 the best epsilon-soft policy takes b."""
    # State 0 chooses between going to state 1 and the end; in state 1 the choice pays 1 or -10.
    rows = np.zeros((3, 2, 3))
    rows[0, 0, 1] = rows[0, 1, 2] = rows[1, :, 2] = rows[2, :, 2] = 1.0
    available = np.array([[True, True], [True, True], [True, False]])
    mdp = MDP(rows, [[0.0, 0.5], [1.0, -10.0], [0.0, 0.0]], 0.0, [1.0, 0.0, 0.0], available)
    task = Task(mdp, 1.0)
    best, (soft, q) = optimal_values(task), epsilon_soft_optimum(task, 0.2)
    row.exact("RL-11", "greedy actions of the optimum and of the epsilon-soft one",
              (best.q[0].argmax(), q[0].argmax()) == (0, 1), f"q* {best.q[0]}, q soft {q[0]}")  # fmt: skip
    row(
        "RL-11",
        "epsilon-soft value of a",
        abs(q[0, 0] + 0.1),
        soft.error_bound + 2.0**-50,
        "certified, and -1/10 rounded",
    )
