"""The written-out derivative of the gradient penalty against automatic differentiation of automatic differentiation."""

import jax
import jax.numpy as jnp
import numpy as np

from deep import losses, networks, penalty

OBSERVATIONS, ACTIONS, B = 3, 2, 16
EPS = float(jnp.finfo(jnp.zeros(0).dtype).eps)
HIDDEN = (6, 5)


def critic_and_rows(critic, gain):
    """Parameters with slopes around `gain`, and rows of data: observation, action, target, mass."""
    keys = jax.random.split(jax.random.key(0), 4)
    observation, noise = jax.random.normal(keys[0], (B, OBSERVATIONS)), jax.random.normal(keys[1], (B, ACTIONS))
    action, target, mass = jnp.tanh(noise), jax.random.normal(keys[2], (B,)), jnp.full(B, 1 / B)
    params = jax.jit(critic.init)(keys[3], observation, action)
    return jax.tree.map(lambda x: gain * x + 0.125, params), observation, action, target, mass


def nested(critic, params, observation, action, mass):
    """The penalty by differentiating the network in the action, row by row.

    Where every ReLU of a row is shut its slope is zero, and the norm's derivative there 0/0 (NaN in the public code).
    """
    slopes = jax.vmap(jax.jacrev(lambda o, a: critic.apply(params, o[None], a[None])[:, 0], argnums=1))(
        observation, action
    )
    squares = jnp.sum(jnp.square(slopes), axis=-1)
    norms = jnp.where(squares > 0.0, jnp.sqrt(jnp.where(squares > 0.0, squares, 1.0)), 0.0)
    return jnp.sum(mass[:, None] * jnp.square(jnp.maximum(norms - 1.0, 0.0)))


def magnitudes(params, observation, action, target, mass):
    """Arguments with which a derivative bounds the sums of the magnitudes of its terms.

    With non-negative parameters and data every ReLU is open, and with negative targets nothing cancels.
    """
    return jax.tree.map(jnp.abs, params), jnp.abs(observation), jnp.abs(action), -jnp.abs(target), mass


def test_against_nested_differentiation(row):
    """Value and derivative of critic loss + penalty in every parameter, with slopes below one and above."""
    critic = networks.published(ACTIONS, HIDDEN).critic

    def loss(penalty_of):
        def both(params, observation, action, target, mass):
            q, slope = penalty.values_and_slopes(params, observation, action)
            weight = jnp.linspace(0.5, 2.0, B)
            return losses.critic_loss(q, target, weight, mass) + 3.0 * penalty_of(
                params, observation, action, slope, mass
            )

        return jax.jit(jax.value_and_grad(both))

    written = loss(lambda params, observation, action, slope, mass: penalty.slope_penalty(slope, mass))
    twice = loss(lambda params, observation, action, slope, mass: nested(critic, params, observation, action, mass))
    # The terms of both before max(norm - 1, 0) makes them small: norm^2 + 1 instead of (norm - 1)^2.
    large = loss(lambda params, observation, action, slope, mass: jnp.sum(mass * (jnp.sum(slope**2, axis=-1) + 1.0)))
    # Terms of an entry pass through 2 L products of at most B or width numbers and a few scalar operations, twice.
    roundings = 2 * (2 * (len(HIDDEN) + 1) * max(B, *HIDDEN, OBSERVATIONS + ACTIONS) + 16)
    reason = f"{roundings} roundings of the sum of magnitudes"
    for gain in (0.25, 2.0):
        params, *rows = critic_and_rows(critic, gain)
        (value, gradient), (expected, theirs) = written(params, *rows), twice(params, *rows)
        bound, bounds = large(*magnitudes(params, *rows))
        quantity = "penalised critic loss against nested differentiation"
        row("GP-01", quantity, abs(float(value) - float(expected)), roundings * EPS * float(bound), reason)
        for seen, other, size in zip(*map(jax.tree.leaves, (gradient, theirs, bounds)), strict=True):
            apart = np.abs(np.asarray(seen, np.float64) - np.asarray(other, np.float64))
            row("GP-01", f"derivative of the {quantity}", apart, roundings * EPS * np.asarray(size, np.float64), reason)


def test_a_flat_critic():
    """A norm of exactly zero has derivative zero, not 0/0."""
    params, observation, action, _, mass = critic_and_rows(networks.continuous(ACTIONS, (7,)).critic, 1.0)
    flat = jax.tree.map(jnp.zeros_like, params)
    value, gradient = jax.jit(jax.value_and_grad(penalty.gradient_penalty))(flat, observation, action, mass)
    assert float(value) == 0.0
    assert all(not np.asarray(leaf).any() for leaf in jax.tree.leaves(gradient))


def test_each_twin_for_itself():
    """Slopes 0 and 5 cost 16, once (XQL's public code charged the first twin twice)."""
    params = {
        "params": {
            name: {"Dense_0": {"kernel": jnp.array([[7.0], [0.0], [0.0], [slope], [0.0]]), "bias": jnp.zeros(1)}}
            for name, slope in (("first", 0.0), ("second", 5.0))
        }
    }
    rows = jnp.ones((4, OBSERVATIONS)), jnp.ones((4, ACTIONS)), jnp.full(4, 0.25)
    assert float(penalty.gradient_penalty(params, *rows)) == 16.0


def test_seeds_side_by_side():
    """Mapped over the critics of two seeds, the custom derivative is that of each."""
    params, observation, action, _, mass = critic_and_rows(networks.continuous(ACTIONS, HIDDEN).critic, 2.0)
    other = jax.tree.map(lambda x: 0.75 * x, params)
    once = jax.jit(jax.grad(penalty.gradient_penalty))
    pair = jax.tree.map(lambda a, b: jnp.stack([a, b]), params, other)
    mapped = jax.jit(jax.vmap(jax.grad(penalty.gradient_penalty), in_axes=(0, None, None, None)))
    both = mapped(pair, observation, action, mass)
    for k, alone in enumerate((params, other)):
        expected = jax.tree.leaves(once(alone, observation, action, mass))
        largest = max(float(jnp.abs(leaf).max()) for leaf in expected)
        for a, b in zip(expected, jax.tree.leaves(both), strict=True):
            # sums of B rows and of at most as many units, five products deep, in another order
            assert np.abs(np.asarray(a) - np.asarray(b)[k]).max() <= 2 * 5 * B * EPS * largest
