"""Situations of learners: a task, a policy and tables, and the numbers that lead every replication along its path."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from scripted import uniform_for
from strategies import mdps, policies, vectors

from reference import MDP
from reference.learning import Task


@st.composite
def situations(draw, max_states: int = 3, max_actions: int = 2):
    """A task that may start anywhere, a policy that may do anything, and a table."""
    mdp = draw(mdps(max_states, max_actions, discounts=(0.0, 0.5, 0.9), scales=(1.0, 1.0 / 3.0))).mdp
    mdp = MDP(mdp.transitions, mdp.rewards, mdp.discount, None, mdp.available)
    if mdp.terminal.all():
        mdp = MDP([[[1.0]]], [[1.0]], 0.5)
    task, policy = Task(mdp), draw(policies(mdp, positive=True))
    table = draw(vectors(2 * mdp.rewards.size)).reshape(2, *mdp.rewards.shape)
    table = np.where(mdp.available, np.where(mdp.terminal[:, None], 0.0, table), -np.inf)
    return task, policy, table


def ending(n_states: int = 2):
    """A situation in which every pair may end the episode, and no value is zero: what must be cut is seen."""
    rows = np.full((n_states + 1, 2, n_states + 1), 0.5 / n_states)
    rows[:, :, n_states] = 0.5
    rows[n_states] = np.eye(n_states + 1)[n_states]
    available = np.ones((n_states + 1, 2), dtype=np.bool_)
    available[n_states, 1] = False
    rewards = np.vstack([np.arange(1.0, 2 * n_states + 1).reshape(n_states, 2), [[0.0, 0.0]]])
    task = Task(MDP(rows, rewards, 0.5, None, available))
    table = np.vstack([np.arange(5.0, 2 * n_states + 5).reshape(n_states, 2), [[0.0, -np.inf]]])
    return task, np.where(available, [0.25, 0.75], 0.0) + ~available[:, ::-1] * 0.75, np.stack([table, -table])


def script(task: Task, policy: np.ndarray, found, *, ahead: bool) -> list[np.ndarray]:
    """The numbers that make replication `i` walk path `i`; `ahead` if the next action is drawn after each step."""
    mdp, rows = task.mdp, np.asarray(task.mdp.to_dense().transitions)
    count, length = found.states.shape[0], found.states.shape[1] - 1
    begin = np.where(mdp.terminal, 0.0, 1.0) / (~mdp.terminal).sum()
    numbers = [uniform_for(np.tile(begin, (count, 1)), found.states[:, 0])]
    numbers.append(uniform_for(policy[found.states[:, 0]], found.actions[:, 0]))
    over = np.zeros(count, dtype=bool)
    for t in range(length):
        state, action, following_state = found.states[:, t], found.actions[:, t], found.states[:, t + 1]
        step = uniform_for(rows[state, action], following_state)
        numbers.append(np.where(over, 0.0, step))
        ended = task.terminal[following_state] | over
        fresh = ended if not over.any() else None
        # Once an episode is over its replication starts anew, somewhere; it is not looked at any more.
        if fresh is not None and fresh.any():
            numbers.append(np.zeros(int(fresh.sum())))
        if ahead or t + 1 < length:
            numbers.append(np.where(ended, 0.0, uniform_for(policy[following_state], found.actions[:, t + 1])))
        over = ended
    return numbers
