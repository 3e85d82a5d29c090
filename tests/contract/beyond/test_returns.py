"""Returns of one trajectory, each written out as the sum that defines it: n steps, lambda, advantages.

`deep` tells apart how an episode ends, and its own returns are in test_advantages.py; these rows are no part of its
contract but for packages of operators, where discounts are one number, and zero where the task ends.
"""

import numpy as np
from contract.compare import agree
from contract.problems import DTYPE, grids
from contract.shadow import exact
from hypothesis import given
from hypothesis import strategies as st
from running_error import Rounded, stack

T = 8


@st.composite
def trajectories(draw):
    """(rewards (T,), discounts (T,), values (T + 1,))."""
    grid = draw(grids(-4, 4))
    gamma = draw(st.sampled_from((0.5, 0.9375, 1.0)))
    going = np.array(draw(st.lists(st.sampled_from((1.0, 1.0, 1.0, 0.0)), min_size=T, max_size=T)))
    return grid(T), (gamma * going).astype(DTYPE), grid(T + 1)


def discounted(reward: np.ndarray, discount: np.ndarray, values: np.ndarray, first: int, steps: int) -> Rounded:
    """`steps` rewards from `first` on and the value after them."""
    total, factor = exact(np.zeros(())), exact(np.ones(()))
    for k in range(first, first + steps):
        total = total + factor * exact(reward[k])
        factor = factor * exact(discount[k])
    return total + factor * exact(values[first + steps])


@given(trajectory=trajectories(), n=st.integers(1, T + 2))
def test_n_step_return(trajectory, n, offered, row):
    """n rewards and the value after them, fewer where the trajectory ends before."""
    expected = stack([discounted(*trajectory, t, min(n, T - t)) for t in range(T)])
    agree(row, "RT-01", "n-step returns", offered("n_step_return")(*trajectory, n), expected)


@given(trajectory=trajectories(), lambda_=st.sampled_from((0.0, 0.5, 0.9375, 1.0)))
def test_lambda_return(trajectory, lambda_, offered, row):
    """(1 - lambda) sum of lambda^(n-1) n-step returns, what is left of the weight on the longest."""

    def mixture(t: int) -> Rounded:
        longest = T - t
        weights = [(1 - lambda_) * lambda_ ** (n - 1) for n in range(1, longest)] + [lambda_ ** (longest - 1)]
        total = exact(np.zeros(()))
        for n, weight in enumerate(weights, 1):
            factor = total.constant(weight)
            total = total + factor * discounted(*trajectory, t, n)
        return total

    seen = offered("lambda_return")(*trajectory, DTYPE.type(lambda_))
    agree(row, "RT-02", "lambda-returns", seen, stack([mixture(t) for t in range(T)]))


@given(trajectory=trajectories(), lambda_=st.sampled_from((0.0, 0.5, 0.9375, 1.0)))
def test_advantage(trajectory, lambda_, offered, row):
    """The sum of (gamma lambda)^k delta of the steps to come, which the end of the task cuts."""
    reward, discount, values = trajectory
    delta = exact(reward) + exact(discount) * exact(values[1:]) - exact(values[:-1])

    def ahead(t: int) -> Rounded:
        total, factor = exact(np.zeros(())), exact(np.ones(()))
        for k in range(t, T):
            total = total + factor * delta[k]
            factor = factor * (lambda_ * exact(discount[k]))
        return total

    seen = offered("advantage")(*trajectory, DTYPE.type(lambda_))
    agree(row, "RT-03", "generalised advantage estimates", seen, stack([ahead(t) for t in range(T)]))
