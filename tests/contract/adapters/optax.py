"""Optax's `incremental_update` and its losses; the sum over rows with weights and masses is Optax's users' own."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from contract.protocol import Implementation


def polyak(online, target, tau):
    return optax.incremental_update(jnp.asarray(online), jnp.asarray(target), tau)


def critic_gradient(q, target, weight, mass):
    def loss(q):
        return jnp.sum(mass * weight * optax.l2_loss(q, jnp.broadcast_to(target, q.shape)))

    return jax.grad(loss)(jnp.asarray(q))


def huber_gradient(q, target, weight, mass, width):
    def loss(q):
        return jnp.sum(mass * weight * optax.huber_loss(q, jnp.broadcast_to(target, q.shape), delta=width))

    return jax.grad(loss)(jnp.asarray(q))


implementation = Implementation(
    name="Optax",
    polyak=polyak,
    critic_gradient=critic_gradient,
    huber_gradient=huber_gradient,
    divergences=(),
    snippets={
        "huber_gradient": """
import jax
import optax
y = np.broadcast_to(target, q.shape)
theirs = jax.grad(lambda q: (mass * weight * optax.huber_loss(q, y, delta=width)).sum())(q)
""",
    },
)
