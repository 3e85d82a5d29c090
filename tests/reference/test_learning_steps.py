"""What every sampled learner says of its steps, beside its table: transitions of the process, counted from one."""

import numpy as np
import pytest
from episodic import twins

from reference.learning import (
    StepSizes,
    double_q_learning,
    expected_sarsa,
    exploring,
    following,
    linear_q_learning,
    linear_sarsa,
    linear_td,
    n_step_sarsa,
    n_step_td,
    q_learning,
    sarsa,
    td,
)

TASK, SIZES, STEPS, REPLICATIONS = twins(0.5), StepSizes(scale=2.0, power=1.0, offset=3.0), 60, 3
EVEN = np.where(TASK.mdp.available, 0.5, 0.0) + np.array([0.0, 0.0, 0.0, 0.0, 0.5])[:, None] * [1.0, 0.0]
STATES, PAIRS = np.eye(5), np.eye(10)
ACT = following(EVEN)
LEARNERS = {
    "td": lambda *run: td(TASK, EVEN, *run),
    "n-step td": lambda *run: n_step_td(TASK, EVEN, 2, *run),
    "sarsa": lambda *run: sarsa(TASK, ACT, *run),
    "n-step sarsa": lambda *run: n_step_sarsa(TASK, ACT, 2, *run),
    "expected sarsa": lambda *run: expected_sarsa(TASK, ACT, exploring(0.5), *run),
    "q-learning": lambda *run: q_learning(TASK, exploring(0.5), *run),
    "double q-learning": lambda *run: double_q_learning(TASK, exploring(0.5), *run),
    "linear td": lambda *run: linear_td(TASK, EVEN, STATES, *run),
    "linear sarsa": lambda *run: linear_sarsa(TASK, ACT, PAIRS, *run),
    "linear q-learning": lambda *run: linear_q_learning(TASK, exploring(0.5), PAIRS, *run),
}
AFTER_MANY = ("n-step td", "n-step sarsa")  # update what was met before
BY_STEP = ("linear td", "linear sarsa", "linear q-learning")  # one step size for all, by the number of the step


@pytest.mark.parametrize("name", LEARNERS)
def test_steps_are_transitions_of_the_process(name):
    mdp, seen, before = TASK.mdp, 0, None
    counted = np.zeros((REPLICATIONS, 2, 5, 2), dtype=np.int64)
    for seen, step in enumerate(LEARNERS[name](SIZES, STEPS, REPLICATIONS, np.random.default_rng(3)), 1):
        assert step.number == seen
        for field in (step.states, step.actions, step.rewards, step.next_states, step.ended):
            assert field.shape == (REPLICATIONS,)
        assert mdp.available[step.states, step.actions].all()
        np.testing.assert_array_equal(step.rewards, mdp.rewards[step.states, step.actions])
        assert (np.asarray(mdp.transitions)[step.states, step.actions, step.next_states] > 0.0).all()
        np.testing.assert_array_equal(step.ended, TASK.terminal[step.next_states])
        assert not TASK.terminal[step.states].any()
        if before is not None:
            np.testing.assert_array_equal(step.states[~before.ended], before.next_states[~before.ended])
        assert len(step.table) == REPLICATIONS
        if name not in AFTER_MANY:
            rows = np.arange(REPLICATIONS)
            which = step.which if name == "double q-learning" else np.zeros(REPLICATIONS, dtype=np.int64)
            action = np.zeros_like(step.actions) if name == "td" else step.actions
            counted[rows, which, step.states, action] += 1
            expected = np.full(REPLICATIONS, seen) if name in BY_STEP else counted[rows, which, step.states, action]
            np.testing.assert_array_equal(step.counts, expected)
            np.testing.assert_array_equal(step.step_sizes, 2.0 / (3.0 + expected))
        before = step
    assert seen == STEPS
