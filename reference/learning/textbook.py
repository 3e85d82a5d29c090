r"""Sutton and Barto's random walks, cliff and gambler, with what is exactly known about them.

From *Reinforcement Learning: An Introduction*, 2nd edition (2018): the random walk of example 6.2 (true values k/6,
learning curves of TD(0)) and of example 7.1 (19 states, n-step methods), the cliff of example 6.6, and the gambler of
example 4.3. None has a discount. The book's figures of the walks and of the cliff are averages over runs; the
expectation of the first is `moments.td_error_moments`. Baird's counterexample is one of `counterexamples`.

For the cliff, with epsilon = 1/10 and sums of rewards until the goal:

    optimal path, along the edge                                                -13
    the same behaved epsilon-greedily: what Q-learning ends up with online      -45.80
    the best epsilon-soft policy: what Sarsa converges to                       -20.71

The best epsilon-soft path runs one row above the edge (15 steps); the book draws the one along the top (17 steps).

The gambler who has s of N units stakes up to min(s, N - s) on a coin that falls his way with probability p, and stops
at 0 or N. Where p <= 1/2, staking all that may be staked is optimal (bold play; Dubins and Savage 1965):

    v(s) = p v(2 s)  for  2 s <= N,      v(s) = p + (1 - p) v(2 s - N)  otherwise,                                (1)

so values are rational. Other stakes are as good, and which ones is a question that rounding answers at random: the
policy of figure 4.3, the smallest best stakes, needs exact arithmetic (`smallest_stakes`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Float64

from reference.learning.schedules import constant
from reference.learning.task import Step, Task
from reference.learning.temporal_difference import n_step_td
from reference.library import cliff
from reference.mdp import MDP
from reference.textbook import deterministic

__all__ = [
    "Gambler", "RandomWalk", "cliff_walking", "episode_returns", "gambler", "greedy_path", "random_walk",
    "smallest_stakes", "walk_errors",
]  # fmt: skip

UNLIMITED = 10**9
"""Steps for a learner that is stopped by the number of episodes."""


@dataclass(frozen=True, eq=False)
class RandomWalk:
    """A walk on a line: `task` without a discount, the `policy` that steps to either side, exact `values`.

    States are numbered from the left; the last one is the end, on either side, and has value 0.
    """

    task: Task
    policy: Float64[np.ndarray, "S 2"]
    exact: tuple[Fraction, ...]

    @property
    def values(self) -> Float64[np.ndarray, " S"]:
        """`exact`, correctly rounded."""
        return np.array([float(value) for value in self.exact])


def random_walk(n_states: int = 5, left: float = 0.0, right: float = 1.0) -> RandomWalk:
    """Example 6.2 (5 states, 0 and 1 paid at the ends) and example 7.1 (19 states, -1 and 1), from the middle.

    The value of state `k = 1 .. n` is `left + (right - left) k / (n + 1)`. `ValueError` unless there is a middle.
    """
    if n_states < 1 or n_states % 2 == 0:
        raise ValueError(f"n_states is {n_states!r}: expected an odd number, for the walk begins in the middle.")
    end = n_states
    successors = [[state - 1 if state > 0 else end, state + 1] for state in range(n_states)] + [[end, end]]
    rewards = np.zeros((n_states + 1, 2))
    rewards[0, 0], rewards[n_states - 1, 1] = left, right
    available = np.ones((n_states + 1, 2), dtype=np.bool_)
    available[end, 1] = False
    # The discount of an MDP is below one; the task's counts, and it is one.
    plain = deterministic(successors, rewards, 0.0, available)
    initial = (np.arange(n_states + 1) == n_states // 2).astype(np.float64)
    mdp = MDP(plain.transitions, plain.rewards, 0.0, initial, available)
    low, high = Fraction(left), Fraction(right)
    exact = tuple(low + (high - low) * Fraction(k, n_states + 1) for k in range(1, n_states + 1))
    policy = available / available.sum(axis=1, keepdims=True)
    return RandomWalk(Task(mdp, 1.0), policy, (*exact, Fraction(0)))


def walk_errors(
    walk: RandomWalk, n: int, step_size: float, episodes: int, runs: int, rng: np.random.Generator, start: float
) -> Float64[np.ndarray, "K runs"]:
    """Root mean square errors over the states, before and after each episode of n-step TD (figures of 6.2 and 7.1).

    `n = 1` is TD(0); more steps than an episode lasts is every-visit Monte Carlo with that step. Tables begin at
    `start`. Figure 6.2 shows their mean over runs, from 1/2; figure 7.2 that over the first 10 episodes too, from 0.
    """
    live = ~walk.task.terminal
    errors = np.empty((episodes + 1, runs))
    errors[0] = np.sqrt(np.mean((start - walk.values[live]) ** 2))
    done = np.zeros(runs, dtype=np.int64)
    for step in n_step_td(walk.task, walk.policy, n, constant(step_size), UNLIMITED, runs, rng, start):
        over = np.flatnonzero(step.ended & (done < episodes))
        done[over] += 1
        errors[done[over], over] = np.sqrt(np.mean((step.table[over][:, live] - walk.values[live]) ** 2, axis=1))
        if (done == episodes).all():
            break
    return errors


def cliff_walking() -> Task:
    """Example 6.6: 4 x 12 cells, -1 for each step, -100 and back to the start for the cliff, no discount."""
    return Task(cliff(), 1.0)


def episode_returns(steps: Iterable[Step], episodes: int) -> Float64[np.ndarray, "episodes R"]:
    """Sums of rewards of the first `episodes` episodes of every replication: online performance (figure of 6.6).

    The learner is left alone once all have them; `ValueError` if it ends before.
    """
    totals, done = np.zeros((0, 0)), np.zeros(0, dtype=np.int64)
    for step in steps:
        if step.number == 1:
            totals, done = np.zeros((episodes, len(step.states))), np.zeros(len(step.states), dtype=np.int64)
        counted = np.flatnonzero(done < episodes)
        totals[done[counted], counted] += step.rewards[counted]
        done += step.ended
        if (done >= episodes).all():
            return totals
    raise ValueError(
        f"the learner stopped after {int(done.min(initial=0))} episodes: expected {episodes}. Allow more steps."
    )


def greedy_path(task: Task, q: Float64[np.ndarray, "S A"], limit: int = 1000) -> list[int]:
    """The likeliest states from the likeliest first state to the end, first best actions taken throughout.

    `ValueError` if the end is not reached in `limit` steps.
    """
    state = int(np.argmax(task.mdp.initial * ~task.terminal))
    path = [state]
    transitions = np.asarray(task.mdp.to_dense().transitions)
    while not task.terminal[state]:
        if len(path) > limit:
            raise ValueError(f"the greedy path does not end within {limit} steps: it goes through {path[-5:]} and on.")
        state = int(transitions[state, q[state].argmax()].argmax())
        path.append(state)
    return path


@dataclass(frozen=True, eq=False)
class Gambler:
    """Example 4.3: `task` without a discount, which pays 1 for reaching the goal, and `exact` values, 0 at both ends.

    States are units of capital `0 .. N`; action `a` stakes `a` units, at least one where one can play.
    """

    task: Task
    exact: tuple[Fraction, ...]

    @property
    def values(self) -> Float64[np.ndarray, " S"]:
        """`exact`, correctly rounded."""
        return np.array([float(value) for value in self.exact])

    @property
    def bold(self) -> Float64[np.ndarray, "S A"]:
        """The policy that stakes all that may be staked."""
        stakes = np.arange(self.task.mdp.n_actions)
        return (stakes == np.where(self.task.mdp.available, stakes, 0).max(axis=1, keepdims=True)).astype(np.float64)


def gambler(heads: float = 0.4, goal: int = 100) -> Gambler:
    """Example 4.3, in the book with `heads` 0.4 and `goal` 100. Values are exact for the float `heads` (1).

    In the process `1 - heads` is a float, which is a rounding away for some coins; for 0.4 it is not.

    `ValueError` unless `0 < heads <= 1/2`, for a coin that favours him is best played timidly, and `goal >= 2`.
    """
    if not 0.0 < heads <= 0.5:
        raise ValueError(f"heads is {heads!r}: expected 0 < heads <= 1/2, where bold play is optimal.")
    if goal < 2:
        raise ValueError(f"goal is {goal!r}: expected at least 2 units, or there is nothing to play for.")
    capital = np.arange(goal + 1)
    most = np.minimum(capital, goal - capital)
    stakes = np.arange(int(most.max()) + 1)
    available = (stakes <= most[:, None]) & ((stakes > 0) | (most[:, None] == 0))
    transitions = np.zeros((goal + 1, len(stakes), goal + 1))
    for state, stake in np.argwhere(available).tolist():
        transitions[state, stake, state - stake] += 1.0 - heads
        transitions[state, stake, state + stake] += heads
    transitions[[0, goal], 0] = np.eye(goal + 1)[[0, goal]]
    rewards = np.where(available & (capital[:, None] + stakes == goal) & (stakes > 0), heads, 0.0)
    mdp = MDP(transitions, rewards, 0.0, None, available)
    return Gambler(Task(mdp, 1.0), _bold_values(Fraction(heads), goal))


def smallest_stakes(game: Gambler) -> list[int]:
    """The smallest best stake for each capital, `0 .. N`: the policy of figure 4.3, ties told exactly."""
    goal, heads = len(game.exact) - 1, Fraction(float(game.task.mdp.rewards.max()))
    worth = [*game.exact[:-1], Fraction(1)]

    def value(capital: int, stake: int) -> Fraction:
        return heads * worth[capital + stake] + (1 - heads) * worth[capital - stake]

    best = [0]
    for capital in range(1, goal):
        values = [value(capital, stake) for stake in range(1, min(capital, goal - capital) + 1)]
        best.append(1 + values.index(max(values)))
    return [*best, 0]


def _bold_values(heads: Fraction, goal: int) -> tuple[Fraction, ...]:
    """(1): every capital leads to one other, on to an end or into a cycle."""
    values = {0: Fraction(0), goal: Fraction(1)}
    for first in range(1, goal):
        path, capital = [], first
        while capital not in values and capital not in path:
            path.append(capital)
            capital = 2 * capital if 2 * capital <= goal else 2 * capital - goal
        steps = [(Fraction(0), heads) if 2 * c <= goal else (heads, 1 - heads) for c in path]
        if capital not in values:
            total, factor = Fraction(0), Fraction(1)
            for gain, share in steps[path.index(capital) :]:
                total, factor = total + factor * gain, factor * share
            values[capital] = total / (1 - factor)
        onward = values[capital]
        for c, (gain, share) in zip(reversed(path), reversed(steps), strict=True):
            onward = values[c] = gain + share * onward
    # What is left to win at the goal is nothing.
    return (*(values[capital] for capital in range(goal)), Fraction(0))
