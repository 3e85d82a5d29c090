r"""Q-learning and double Q-learning (C7).

    target of Q-learning          r + gamma max_b q(s', b)                                                   (RL-18)
    target of double Q-learning   r + gamma q2(s', argmax_b q1(s', b)) for q1, and the other way round       (RL-19)

Q-learning (Watkins 1989) finds q* whatever the behaviour is, as long as every pair keeps being visited; a pair that is
not keeps its first value for ever. Whether the behaviour is the greedy policy ("on-policy") makes no difference to what
it finds (RL-18).

The maximum of estimates is no estimate of the maximum: of two independent unbiased ones that are +1 or -1 of 0, the
maximum has mean 1/2 (`maximisation_bias`). Double Q-learning (van Hasselt 2010) chooses by one table and judges by the
other; its own bias is never positive for independent tables (`double_bias`).
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64

from reference.learning.operators import best_next
from reference.learning.schedules import StepSizes
from reference.learning.task import Behaviour, Step, Task, bootstrapped, draw

__all__ = ["double_bias", "double_q_learning", "judged", "maximisation_bias", "q_learning"]


def q_learning(
    task: Task,
    behaviour: Behaviour,
    step_sizes: StepSizes,
    steps: int,
    replications: int,
    rng: np.random.Generator,
    start: float | np.ndarray = 0.0,
) -> Iterator[Step]:
    """Q-learning on the data of `behaviour`: `following(policy)` is off-policy, `exploring(epsilon)` its own (RL-18).

    Tables are `(R, S, A)` and begin at `start`.
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
        target = bootstrapped(rewards, task.discount, best_next(table[rows, following]), ended)
        table[entry] += sizes * (target - table[entry])
        yield Step(number, table, states, actions, rewards, following, ended, counts[entry], sizes)
        states = task.go_on(rng, following)


def double_q_learning(
    task: Task,
    behaviour: Behaviour,
    step_sizes: StepSizes,
    steps: int,
    replications: int,
    rng: np.random.Generator,
    start: float | np.ndarray = 0.0,
) -> Iterator[Step]:
    """Double Q-learning: a coin says which of two tables is updated, the other one judges (RL-19).

    Tables are `(R, 2, S, A)`, `start` is a number or `(2, S, A)`; the behaviour sees their mean.
    """
    first, second = np.broadcast_to(start, (2, *task.mdp.rewards.shape))
    table = np.stack([task.table(replications, first), task.table(replications, second)], axis=1)
    counts = np.zeros(table.shape, dtype=np.int64)
    rows = np.arange(replications)
    states = task.start(rng, replications)
    for number in range(1, steps + 1):
        both = table[rows, :, states]
        actions = draw(rng, behaviour(0.5 * (both[:, 0] + both[:, 1]), states))
        rewards, following = task.mdp.rewards[states, actions], task.step(rng, states, actions)
        ended, which = task.terminal[following], rng.integers(2, size=replications)
        entry = (rows, which, states, actions)
        counts[entry] += 1
        sizes = step_sizes(counts[entry])
        following_values = judged(table[rows, which, following], table[rows, 1 - which, following])
        target = bootstrapped(rewards, task.discount, following_values, ended)
        table[entry] += sizes * (target - table[entry])
        yield Step(number, table, states, actions, rewards, following, ended, counts[entry], sizes, which)
        states = task.go_on(rng, following)


def judged(chooser: Float64[np.ndarray, "... A"], judge: Float64[np.ndarray, "... A"]) -> Float64[np.ndarray, "..."]:
    """`judge(argmax_b chooser(b))`, row by row."""
    return np.take_along_axis(judge, chooser.argmax(axis=-1)[..., None], axis=-1)[..., 0]


def maximisation_bias(outcomes: Float64[np.ndarray, "N A"], probabilities: Float64[np.ndarray, " N"]) -> float:
    """`E max_b Q(b) - max_b E Q(b) >= 0`, for estimates `outcomes[i]` with probability `probabilities[i]` (RL-19)."""
    return float(probabilities @ outcomes.max(axis=1) - (probabilities @ outcomes).max())


def double_bias(outcomes: Float64[np.ndarray, "N A"], probabilities: Float64[np.ndarray, " N"]) -> float:
    """`E Q2(argmax_b Q1(b)) - max_b E Q(b) <= 0`, for two independent draws of the same law of estimates (RL-19)."""
    means = probabilities @ outcomes
    return float(probabilities @ means[outcomes.argmax(axis=1)] - means.max())
