r"""TD(0) and n-step temporal differences for state values, along trajectories (C7).

    v(s_t) <- v(s_t) + a delta,      delta = r_{t+1} + gamma v(s_{t+1}) - v(s_t)                               (RL-15)

with the sign of delta that C10 and the rest of this package use (C7 prints the opposite one). After n steps the rewards
are discounted by gamma^i and the bootstrap by gamma^n; at the end of an episode the remaining windows are shorter, and
nothing is bootstrapped (RL-17). Step sizes are asked for per visit of the entry.

The expected update and its fixed point: `reference.learning.operators`. A proven bound on the error of TD(0), step by
step: `reference.learning.contraction`. The exact mean and mean square of its error: `reference.learning.moments`.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float64, Int

from reference.checks import check_policy
from reference.learning.schedules import StepSizes
from reference.learning.task import Step, Task, bootstrapped, draw

__all__ = ["n_step_td", "td"]


def td(
    task: Task,
    policy: Float64[np.ndarray, "S A"],
    step_sizes: StepSizes,
    steps: int,
    replications: int,
    rng: np.random.Generator,
    start: float | np.ndarray = 0.0,
) -> Iterator[Step]:
    """TD(0) for the values of `policy` while following it; tables are `(R, S)` and begin at `start` (RL-15).

    `ValueError` if `policy` is no policy of the MDP.
    """
    check_policy(policy, task.mdp.available)
    table = np.tile(np.where(task.terminal, 0.0, start), (replications, 1))
    counts = np.zeros(table.shape, dtype=np.int64)
    rows = np.arange(replications)
    states = task.start(rng, replications)
    for number in range(1, steps + 1):
        actions = draw(rng, policy[states])
        rewards, following = task.mdp.rewards[states, actions], task.step(rng, states, actions)
        ended = task.terminal[following]
        counts[rows, states] += 1
        sizes = step_sizes(counts[rows, states])
        target = bootstrapped(rewards, task.discount, table[rows, following], ended)
        table[rows, states] += sizes * (target - table[rows, states])
        yield Step(number, table, states, actions, rewards, following, ended, counts[rows, states], sizes)
        states = task.go_on(rng, following)


def n_step_td(
    task: Task,
    policy: Float64[np.ndarray, "S A"],
    n: int,
    step_sizes: StepSizes,
    steps: int,
    replications: int,
    rng: np.random.Generator,
    start: float | np.ndarray = 0.0,
) -> Iterator[Step]:
    """n-step TD for the values of `policy` while following it (Sutton and Barto 2018, section 7.1; RL-17).

    A `Step` is one of the environment; the entry that it updates was visited `n` steps before, and the end of an
    episode updates all that wait. `counts` and `step_sizes` are those of the state that is left.
    """
    check_policy(policy, task.mdp.available)
    table = np.tile(np.where(task.terminal, 0.0, start), (replications, 1))
    window = Window(task, n, replications, table)
    states = task.start(rng, replications)
    for number in range(1, steps + 1):
        actions = draw(rng, policy[states])
        rewards, following = task.mdp.rewards[states, actions], task.step(rng, states, actions)
        ended = task.terminal[following]
        counts, sizes = window.push(states, rewards, following, ended, step_sizes)
        yield Step(number, table, states, actions, rewards, following, ended, counts, sizes)
        states = task.go_on(rng, following)


class Window:
    """The last `n` entries of each replication and the rewards since: what an n-step method has yet to update.

    `table` `(R, K)` is updated in place. `ValueError` unless `n` is at least 1.
    """

    def __init__(self, task: Task, n: int, replications: int, table: Float64[np.ndarray, "R K"]) -> None:
        if n < 1:
            raise ValueError(f"n is {n!r}: expected at least 1 step.")
        self.n, self.table, self.powers = n, table, task.discount ** np.arange(n + 1)
        self.entries = np.zeros((replications, n), dtype=np.int64)
        self.rewards = np.zeros((replications, n))
        self.waiting = np.zeros(replications, dtype=np.int64)
        self.counts = np.zeros(table.shape, dtype=np.int64)

    def push(
        self,
        entries: Int[np.ndarray, " R"],
        rewards: Float64[np.ndarray, " R"],
        next_entries: Int[np.ndarray, " R"],
        ended: Bool[np.ndarray, " R"],
        step_sizes: StepSizes,
    ) -> tuple[Int[np.ndarray, " R"], Float64[np.ndarray, " R"]]:
        """Take one transition of every replication and make the updates that are due."""
        rows = np.arange(len(entries))
        self.entries[rows, self.waiting], self.rewards[rows, self.waiting] = entries, rewards
        self.waiting += 1
        full = np.flatnonzero((self.waiting == self.n) & ~ended)
        if full.size:
            self._update(full, self.table[full, next_entries[full]], step_sizes)
        while (over := np.flatnonzero(ended & (self.waiting > 0))).size:
            self._update(over, None, step_sizes)
        counts = self.counts[rows, entries]
        return counts, step_sizes(np.maximum(counts, 1))

    def _update(self, rows: np.ndarray, next_values: np.ndarray | None, step_sizes: StepSizes) -> None:
        """Move the oldest waiting entry of `rows` towards the rewards of its window, and `next_values` after them."""
        length, entry = self.waiting[rows], self.entries[rows, 0]
        inside = np.arange(self.n) < length[:, None]
        target = (self.rewards[rows] * self.powers[:-1] * inside).sum(axis=1)
        if next_values is not None:
            target = target + self.powers[length] * next_values
        self.counts[rows, entry] += 1
        sizes = step_sizes(self.counts[rows, entry])
        self.table[rows, entry] += sizes * (target - self.table[rows, entry])
        self.entries[rows, :-1], self.rewards[rows, :-1] = self.entries[rows, 1:], self.rewards[rows, 1:]
        self.waiting[rows] -= 1
