"""`deep`'s n-step windows, sampling in proportion, initial states and baselines behind the contract's protocol."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from deep import baselines, initials, losses, replay, sampling, types


def _compiled(static=()):
    """`jax.jit`, with NumPy arguments made JAX arrays first."""

    def decorate(function):
        run = jax.jit(function, static_argnums=static)

        @functools.wraps(function)
        def call(*arguments):
            return run(*jax.tree.map(lambda x: jnp.asarray(x) if isinstance(x, np.ndarray) else x, arguments))

        return call

    return decorate


def _settings(**chosen) -> types.Settings:
    """Settings of which a function reads only those that are given."""
    unread = {name: 0.0 for name in types.Settings._fields if name not in types.Settings._field_defaults}
    return types.Settings(**(unread | chosen))


def _evidence(critic_error) -> types.Evidence:
    rows = critic_error.shape[1]
    unread = jnp.full(rows, jnp.nan, critic_error.dtype)  # these rules look at nothing but the critics
    return types.Evidence(unread, critic_error, unread, jnp.full(rows, 1.0 / rows, critic_error.dtype))


@_compiled()
def _insert(buffer, number, reward, terminated, ended, weight):
    state, action = jnp.stack([number, number + 0.25]), number[None]
    transition = replay.Transition(state, -action, reward, state + 0.5, terminated, ended)
    return replay.insert(buffer, transition, jnp.where(weight < 0, buffer.largest, weight))


_gather = _compiled(static=3)(replay.gather)
_set_weights = _compiled()(replay.set_weights)
_with_sums = _compiled()(replay.with_sums)


@_compiled(static=2)
def _draw(buffer, seed, count, exponent):
    return sampling.proportional(jax.random.key(seed), buffer, count, _settings(importance_exponent=exponent))


class StoreDeep:
    """The buffer with sums; transition k stores states (k, k + 1/4) and (k + 1/2, k + 3/4), and action -k."""

    def create(self, capacity):
        return replay.create(capacity, 2, 1, proportional=True)

    def insert(self, buffer, number, reward, terminated, ended, weight=1.0):
        numbers = (
            jnp.asarray(x, float) for x in (number, reward, terminated, ended, -1.0 if weight is None else weight)
        )
        return _insert(buffer, *numbers)

    def windows(self, buffer, indices, discount, n):
        batch = _gather(buffer, indices, discount, n)
        rows = (batch.observation, batch.action, batch.next_observation)
        return *(np.asarray(x) for x in rows), *(
            np.asarray(x) for x in (batch.reward, batch.terminated, batch.discount)
        )

    def row(self, number):
        return [number, number + 0.25], [-float(number)], [number + 0.5, number + 0.75]

    def weights(self, buffer):
        return np.asarray(buffer.weight)[: int(buffer.size)]

    def set_weights(self, buffer, indices, new):
        return _set_weights(buffer, np.asarray(indices), jnp.asarray(new, float))

    def weighing(self, weights):
        buffer = replay.create(len(weights), 2, 1)
        weight, size = jnp.asarray(weights, float), jnp.int32(len(weights))
        return _with_sums(buffer._replace(weight=weight, size=size))

    def draw(self, buffer, seed, count, exponent):
        return tuple(np.asarray(x) for x in _draw(buffer, seed, count, exponent))


class StartsDeep:
    """The ring of initial states; state k is (k, k + 1/4)."""

    _insert = staticmethod(_compiled()(initials.insert))
    _sample = staticmethod(
        _compiled(static=2)(lambda ring, seed, count: initials.sample(jax.random.key(seed), ring, count))
    )

    def create(self, capacity):
        return initials.create(capacity, 2)

    def insert(self, ring, number, begins):
        return self._insert(ring, jnp.asarray(self.row(number), float), jnp.asarray(begins, float))

    def row(self, number):
        return [number, number + 0.25]

    def sample(self, ring, seed, count):
        drawn = self._sample(ring, seed, count)
        return np.asarray(drawn.observation), np.asarray(drawn.mass)


@_compiled()
def per_priority(critic_error, exponent, offset):
    settings = _settings(priority_exponent=exponent, priority_offset=offset)
    return baselines.per(_evidence(critic_error), jnp.nan, settings)[0]


@_compiled()
def lap_priority(critic_error, exponent, width):
    settings = _settings(priority_exponent=exponent, huber_width=width)
    return baselines.lap(_evidence(critic_error), jnp.nan, settings)[0]


@_compiled()
def lap_gradient(q, target, weight, mass, width):
    return jax.grad(losses.huber_error)(q, target, weight, mass, _settings(huber_width=width))


@_compiled()
def pal_gradient(q, target, weight, mass, exponent, width):
    settings = _settings(priority_exponent=exponent, huber_width=width)
    return jax.grad(baselines.pal_loss)(q, target, weight, mass, settings)


@_compiled(static=2)
def laber_select(priorities, seed, count):
    return baselines.laber_select(jax.random.key(seed), priorities, count)


@_compiled()
def laber_gradient(q, target, seed):
    """Derivative of the sub-sampled loss in the large batch's values, priorities taken from the same values."""

    def loss(q):
        positions, factor = baselines.laber_select(
            jax.random.key(seed), jnp.max(jnp.abs(q - target), axis=0), q.shape[1]
        )
        mass = jnp.full(q.shape[1], 1.0 / q.shape[1], q.dtype)
        return losses.critic_loss(q[:, positions], target[positions], factor, mass), (positions, factor)

    return jax.grad(loss, has_aux=True)(q)
