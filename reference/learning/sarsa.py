r"""Sarsa, Expected Sarsa and n-step Sarsa for action values, along trajectories (C7).

    target of Sarsa            r + gamma q(s', a'),  a' the action really taken next                        (RL-17)
    target of Expected Sarsa   r + gamma sum_b pi(b|s') q(s', b)                                            (RL-16)

Both have the same expectation given (s, a); the second lacks the variance of the next action (`target_variance`). For a
fixed policy they find q_pi. For the epsilon-greedy policy of its own table Sarsa finds the optimum among epsilon-soft
policies (`epsilon_soft_optimum`): to find q* epsilon must go to zero, slowly enough that every pair keeps being visited
(RL-11).
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64

from reference.learning.schedules import StepSizes
from reference.learning.task import Behaviour, Step, Task, bootstrapped, draw
from reference.learning.temporal_difference import Window

__all__ = ["expected_sarsa", "expected_value", "n_step_sarsa", "sarsa"]


def sarsa(
    task: Task,
    behaviour: Behaviour,
    step_sizes: StepSizes,
    steps: int,
    replications: int,
    rng: np.random.Generator,
    start: float | np.ndarray = 0.0,
) -> Iterator[Step]:
    """Sarsa (Rummery and Niranjan 1994), acting as `behaviour` says: `following(policy)`, `exploring(epsilon)`.

    The next action is chosen by the table as it stands before the update, and is then taken. Tables are `(R, S, A)`.
    """
    table = task.table(replications, start)
    counts = np.zeros(table.shape, dtype=np.int64)
    rows = np.arange(replications)
    states = task.start(rng, replications)
    actions = draw(rng, behaviour(table[rows, states], states))
    for number in range(1, steps + 1):
        rewards, following = task.mdp.rewards[states, actions], task.step(rng, states, actions)
        ended, onward = task.terminal[following], task.go_on(rng, following)
        chosen = draw(rng, behaviour(table[rows, onward], onward))
        # Where the episode has ended, `chosen` belongs to the next one, and the value read here is cut.
        following_values = table[rows, onward, chosen]
        entry = (rows, states, actions)
        counts[entry] += 1
        sizes = step_sizes(counts[entry])
        target = bootstrapped(rewards, task.discount, following_values, ended)
        table[entry] += sizes * (target - table[entry])
        yield Step(number, table, states, actions, rewards, following, ended, counts[entry], sizes)
        states, actions = onward, chosen


def expected_sarsa(
    task: Task,
    target_policy: Behaviour,
    behaviour: Behaviour,
    step_sizes: StepSizes,
    steps: int,
    replications: int,
    rng: np.random.Generator,
    start: float | np.ndarray = 0.0,
) -> Iterator[Step]:
    """Expected Sarsa (van Seijen et al. 2009): on-policy if `behaviour` is the `target_policy`, off-policy if not.

    No importance weights are needed: the target is conditional on the pair, and the behaviour chose only that (RL-16).
    """
    table = task.table(replications, start)
    counts = np.zeros(table.shape, dtype=np.int64)
    rows = np.arange(replications)
    states = task.start(rng, replications)
    for number in range(1, steps + 1):
        actions = draw(rng, behaviour(table[rows, states], states))
        rewards, following = task.mdp.rewards[states, actions], task.step(rng, states, actions)
        ended = task.terminal[following]
        entry = (rows, states, actions)
        counts[entry] += 1
        sizes = step_sizes(counts[entry])
        following_rows = table[rows, following]
        following_values = expected_value(following_rows, target_policy(following_rows, following))
        target = bootstrapped(rewards, task.discount, following_values, ended)
        table[entry] += sizes * (target - table[entry])
        yield Step(number, table, states, actions, rewards, following, ended, counts[entry], sizes)
        states = task.go_on(rng, following)


def n_step_sarsa(
    task: Task,
    behaviour: Behaviour,
    n: int,
    step_sizes: StepSizes,
    steps: int,
    replications: int,
    rng: np.random.Generator,
    start: float | np.ndarray = 0.0,
) -> Iterator[Step]:
    """On-policy n-step Sarsa (Sutton and Barto 2018, section 7.2; RL-17). `n = 1` is Sarsa, with the same draws.

    A `Step` is one of the environment, as in `n_step_td`. Off-policy data would need importance weights for `n >= 2`.
    """
    table = task.table(replications, start)
    flat = table.reshape(replications, -1)
    window = Window(task, n, replications, flat)
    rows, width = np.arange(replications), task.mdp.n_actions
    states = task.start(rng, replications)
    actions = draw(rng, behaviour(table[rows, states], states))
    for number in range(1, steps + 1):
        rewards, following = task.mdp.rewards[states, actions], task.step(rng, states, actions)
        ended, onward = task.terminal[following], task.go_on(rng, following)
        chosen = draw(rng, behaviour(table[rows, onward], onward))
        counts, sizes = window.push(states * width + actions, rewards, onward * width + chosen, ended, step_sizes)
        yield Step(number, table, states, actions, rewards, following, ended, counts, sizes)
        states, actions = onward, chosen


def expected_value(
    rows: Float64[np.ndarray, "*R A"], probabilities: Float64[np.ndarray, "*R A"]
) -> Float64[np.ndarray, "*R"]:
    """`sum_b pi(b) q(b)`, over the actions that have a probability: those unavailable are `-inf` in the rows."""
    return (probabilities * np.where(probabilities > 0.0, rows, 0.0)).sum(axis=-1)
