"""What the public code's networks start from, and that they have the parameters of the others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deep import networks

OBSERVATIONS, ACTIONS, HIDDEN = 9, 3, (8, 8)
EPS = float(jnp.finfo(jnp.zeros(0).dtype).eps)


def initial(made):
    """Parameters of critic, actor and value."""
    key, observation, action = jax.random.key(0), jnp.ones((2, OBSERVATIONS)), jnp.ones((2, ACTIONS))
    return (
        made.critic.init(key, observation, action),
        made.actor.init(key, observation),
        made.value.init(key, observation),
    )


@pytest.fixture(scope="module")
def published():
    """Parameters of the public code's networks."""
    return jax.jit(lambda: initial(networks.published(ACTIONS, HIDDEN)))()


def test_same_parameters(published):
    """The two sets of networks differ in initial numbers alone."""
    ours = jax.eval_shape(lambda: initial(networks.continuous(ACTIONS, HIDDEN)))
    shapes = [jax.tree.map(lambda x: (x.shape, x.dtype), tree) for tree in (ours, published)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("group", [0, 1, 2])
def test_orthogonal(group, published, row):
    """K^T K or K K^T is gain^2 times the identity: 2 everywhere, 1 in the policy's heads; biases are zero."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(published[group]):
        name, x = jax.tree_util.keystr(path), np.asarray(leaf, np.float64)
        if x.ndim == 1:
            assert not x.any(), name
            continue
        square = 1.0 if "mean" in name or "log_std" in name else 2.0
        product = x.T @ x if x.shape[0] >= x.shape[1] else x @ x.T
        rows, columns = max(x.shape), min(x.shape)
        row(
            "RP-01",
            "kernels of the public networks are orthogonal",
            np.abs(product - square * np.eye(columns)),
            8.0 * square * rows * columns**1.5 * EPS,
            "Householder QR: |Q^T Q - I| <= c m n^(3/2) u (Higham 2002, theorem 19.4), c = 16 with EPS = 2u",
        )


def test_log_std_range():
    """Clipped to [-10, 2], as in the public code; ours reaches down to -20."""
    for made, low in ((networks.published(1, (4,)), -10.0), (networks.continuous(1, (4,)), -20.0)):
        shapes = jax.eval_shape(made.actor.init, jax.random.key(0), jnp.ones((1, 2)))
        params = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        for push, expected in ((-1e3, low), (1e3, 2.0)):
            pushed = jax.tree.map(lambda x: x, params)
            pushed["params"]["log_std"]["bias"] = jnp.full(1, push)
            assert float(made.actor.apply(pushed, jnp.ones((1, 2))).log_std[0, 0]) == expected
