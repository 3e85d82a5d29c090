"""rlax's operators: the TD error, losses of one number, and returns of a trajectory.

rlax has functions of single numbers and of single trajectories; `jax.vmap` and `jax.grad` are all that is added here,
and the sum over rows with their weights and masses, which rlax leaves to its users.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import rlax
from contract.protocol import Implementation


def td_error(reward, terminated, value, next_value, discount):
    discounts = np.asarray(discount, reward.dtype) * (1 - terminated)
    return jax.vmap(rlax.td_learning)(*map(jnp.asarray, (value, reward, discounts, next_value)))


def critic_gradient(q, target, weight, mass):
    return jax.grad(lambda q: jnp.sum(mass * weight * rlax.l2_loss(q, target)))(jnp.asarray(q))


def huber_gradient(q, target, weight, mass, width):
    return jax.grad(lambda q: jnp.sum(mass * weight * rlax.huber_loss(q - target, width)))(jnp.asarray(q))


def n_step_return(reward, discount, values, n):
    return rlax.n_step_bootstrapped_returns(*map(jnp.asarray, (reward, discount, values[1:])), n)


def lambda_return(reward, discount, values, lambda_):
    return rlax.lambda_returns(*map(jnp.asarray, (reward, discount, values[1:])), lambda_)


def advantage(reward, discount, values, lambda_):
    arrays = jnp.asarray(reward), jnp.asarray(discount), lambda_, jnp.asarray(values)
    return rlax.truncated_generalized_advantage_estimation(*arrays)


implementation = Implementation(
    name="rlax",
    td_error=td_error,
    critic_gradient=critic_gradient,
    huber_gradient=huber_gradient,
    n_step_return=n_step_return,
    lambda_return=lambda_return,
    advantage=advantage,
    divergences=(),
    snippets={
        "huber_gradient": """
import jax
import rlax
theirs = jax.grad(lambda q: (mass * weight * rlax.huber_loss(q - target, width)).sum())(q)
""",
    },
)
