r"""Sutton and Barto's random walks and cliff, with what is exactly known about them.

From *Reinforcement Learning: An Introduction*, 2nd edition (2018): the random walk of example 6.2 (true values k/6,
learning curves of TD(0)) and of example 7.1 (19 states, n-step methods), and the cliff of example 6.6. None has a
discount. The book's figures are averages over runs; the expectation of the first is `moments.td_error_moments`.

For the cliff, with epsilon = 1/10 and sums of rewards until the goal:

    optimal path, along the edge                                                -13
    the same behaved epsilon-greedily: what Q-learning ends up with online      -45.80
    the best epsilon-soft policy: what Sarsa converges to                       -20.71

The best epsilon-soft path runs one row above the edge (15 steps); the book draws the one along the top (17 steps).
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

__all__ = ["RandomWalk", "cliff_walking", "episode_returns", "greedy_path", "random_walk", "walk_errors"]

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
