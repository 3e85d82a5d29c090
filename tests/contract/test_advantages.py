"""Generalised advantage estimates and returns: each row as the sum that defines it, with both ends of an episode.

T steps of K environments. An episode ends in a terminal state or by a time limit anywhere, and V of its final
observation is no value of the row below, which belongs to the next episode; elsewhere it is. The last row stops in the
midst of one.
"""

import numpy as np
import pytest
from contract.compare import agree
from contract.problems import DTYPE, grids
from contract.shadow import exact
from hypothesis import given
from hypothesis import strategies as st
from running_error import Rounded, stack

T, K = 8, 3
DISCOUNTS = st.sampled_from((0.0, 0.5, 0.9375, 1.0))


@st.composite
def trajectories(draw):
    """(rewards, terminated, ended, values, values of the true successors), each (T, K)."""
    grid = draw(grids(-4, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    how = rng.choice(3, size=(T, K), p=(0.6, 0.2, 0.2))
    ended, terminated = (how > 0).astype(DTYPE), (how == 1).astype(DTYPE)
    value, final = grid(T, K), grid(T, K)
    following = np.concatenate([value[1:], final[-1:]])
    return grid(T, K), terminated, ended, value, np.where(ended > 0, final, following).astype(DTYPE)


def ahead(ended: np.ndarray, t: int, k: int, n: int = T) -> range:
    """The at most n rows from t to where the episode of environment k, or the trajectory, ends."""
    ends = np.flatnonzero(ended[t:, k])
    last = t + int(ends[0]) if ends.size else T - 1
    return range(t, min(last + 1, t + n))


def table(of) -> Rounded:
    """(T, K) of a function of t and k."""
    return stack([stack([of(t, k) for k in range(K)]) for t in range(T)])


def kinds(terminated: np.ndarray, ended: np.ndarray) -> dict[str, np.ndarray]:
    """Rows by how their episode ends within the trajectory."""
    lasts = np.array([[ahead(ended, t, k)[-1] for k in range(K)] for t in range(T)])
    over, done = np.take_along_axis(ended, lasts, 0) > 0, np.take_along_axis(terminated, lasts, 0) > 0
    return {
        "before a terminal state": done,
        "before a time limit": over & ~done,
        "where the rollout stops in an episode": ~over,
    }


def compare(row, id: str, quantity: str, seen, expected: Rounded, trajectory) -> None:
    for kind, where in kinds(trajectory[1], trajectory[2]).items():
        if where.any():
            agree(row, id, f"{quantity} {kind}", seen, expected, where=where)


@given(trajectory=trajectories(), discount=DISCOUNTS, decay=st.sampled_from((0.0, 0.5, 0.9375, 1.0)))
def test_advantages(trajectory, discount, decay, offered, row):
    """sum_l (gamma lambda)^l delta_{t+l} over what is left of the episode."""
    reward, terminated, _, value, next_value = map(exact, trajectory)
    delta = reward + discount * ((1.0 - terminated) * next_value) - value

    def estimate(t: int, k: int) -> Rounded:
        total, factor = exact(np.zeros(())), exact(np.ones(()))
        for at in ahead(trajectory[2], t, k):
            total = total + factor * delta[at, k]
            factor = factor * (discount * exact(decay))
        return total

    seen = offered("gae")(*trajectory, discount, decay)
    compare(row, "GAE-01", "advantages", seen, table(estimate), trajectory)


@pytest.mark.parametrize("n", [1, 2, 5, T + 2, None])
@given(trajectory=trajectories(), discount=DISCOUNTS)
def test_returns(n, trajectory, discount, offered, row):
    """At most n rewards, and V of the state after the last one unless it is terminal."""
    reward, terminated, ended, _, next_value = trajectory

    def total(t: int, k: int) -> Rounded:
        rows = ahead(ended, t, k, n or T)
        total, factor = exact(np.zeros(())), exact(np.ones(()))
        for at in rows:
            total = total + factor * exact(reward[at, k])
            factor = factor * exact(discount)
        return total + factor * exact((1 - terminated[rows[-1], k]) * next_value[rows[-1], k])

    seen = offered("returns")(reward, terminated, ended, next_value, discount, n)
    name = "Monte Carlo returns" if n is None else f"{n}-step returns"
    compare(row, "GAE-02", name, seen, table(total), trajectory)
