r"""Action distributions behind one interface: ``expect``, ``sample``, ``mode``.

``expect(key, function)`` is E_{a ~ pi}[function(a, log pi(a))]: the tanh-Normal estimates it
with one reparameterised sample, the categorical computes it exactly. The losses are written
against ``expect`` alone, so the update that is trained on MuJoCo is the update that is
compared with exact solutions on finite decision processes.

On-policy agents learn from the actions that they took and ask for ``log_prob`` and ``entropy``
instead, of a categorical or of a plain normal distribution.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

Integrand = Callable[[Float[Array, "B U"], Float[Array, " B"]], PyTree[Float[Array, " B"]]]


def log_tanh_slope(u: Float[Array, "..."]) -> Float[Array, "..."]:
    """log(1 - tanh(u)^2), without the cancellation of the literal form (SAC-14)."""
    return 2.0 * (math.log(2.0) - u - jax.nn.softplus(-2.0 * u))


class TanhNormal(NamedTuple):
    """a = tanh(u), u ~ N(mean, exp(log_std)^2) per dimension, on (-1, 1)^U.

    Densities are functions of the pre-tanh value u: nothing ever needs arctanh.
    """

    mean: Float[Array, "B U"]
    log_std: Float[Array, "B U"]

    def log_prob(self, pre_tanh: Float[Array, "B U"]) -> Float[Array, " B"]:
        """log pi(tanh(u)) in nats: log N(u) - sum log(1 - tanh(u)^2) (SAC-14)."""
        z = (pre_tanh - self.mean) * jnp.exp(-self.log_std)
        return self._log_density(z, pre_tanh)

    def sample_pre_tanh(self, key: Key[Array, ""]) -> Float[Array, "B U"]:
        """u = mean + std * noise, differentiable in mean and log_std."""
        return self._pre_tanh(self._noise(key))

    def sample(self, key: Key[Array, ""]) -> Float[Array, "B U"]:
        """One action per row."""
        return jnp.tanh(self.sample_pre_tanh(key))

    def mode(self) -> Float[Array, "B U"]:
        """tanh of the mean: the deterministic action."""
        return jnp.tanh(self.mean)

    def expect(self, key: Key[Array, ""], function: Integrand) -> PyTree[Float[Array, " B"]]:
        """One-sample reparameterised estimate of E[function(a, log pi(a))]."""
        noise = self._noise(key)
        u = self._pre_tanh(noise)
        return function(jnp.tanh(u), self._log_density(noise, u))

    def _noise(self, key: Key[Array, ""]) -> Float[Array, "B U"]:
        # Behind a barrier, or else XLA's CPU backend computes the inverse error function anew in every fused loop that
        # reads the noise: 0.2 ms of an update's 7 on one core.
        return jax.lax.optimization_barrier(jax.random.normal(key, self.mean.shape, self.mean.dtype))

    def _pre_tanh(self, noise: Float[Array, "B U"]) -> Float[Array, "B U"]:
        return self.mean + jnp.exp(self.log_std) * noise

    def _log_density(self, z: Float[Array, "B U"], pre_tanh: Float[Array, "B U"]) -> Float[Array, " B"]:
        """log pi(tanh(u)) of u = mean + std * z."""
        normal = -0.5 * jnp.square(z) - self.log_std - 0.5 * math.log(2.0 * math.pi)
        return jnp.sum(normal - log_tanh_slope(pre_tanh), axis=-1)


class Categorical(NamedTuple):
    """Distribution over U actions, handed around one-hot."""

    logits: Float[Array, "B U"]

    def log_prob(self, action: Float[Array, "B U"]) -> Float[Array, " B"]:
        """log pi(a) in nats of one-hot actions."""
        return jnp.sum(action * jax.nn.log_softmax(self.logits), axis=-1)

    def entropy(self) -> Float[Array, " B"]:
        """-sum_a pi(a) log pi(a) in nats, at most log U; an action whose probability underflows adds nothing."""
        log_pi = jax.nn.log_softmax(self.logits)
        return -jnp.sum(jnp.exp(log_pi) * log_pi, axis=-1)

    def sample(self, key: Key[Array, ""]) -> Float[Array, "B U"]:
        """One one-hot action per row."""
        index = jax.random.categorical(key, self.logits)
        return jax.nn.one_hot(index, self.logits.shape[-1], dtype=self.logits.dtype)

    def mode(self) -> Float[Array, "B U"]:
        """The most probable action, one-hot."""
        return jax.nn.one_hot(jnp.argmax(self.logits, -1), self.logits.shape[-1], dtype=self.logits.dtype)

    def expect(self, key: Key[Array, ""], function: Integrand) -> PyTree[Float[Array, " B"]]:
        """Exact sum_a pi(a) function(a, log pi(a)); the key is not used."""
        del key
        log_pi = jax.nn.log_softmax(self.logits)
        rows, actions = log_pi.shape
        one_hot = jnp.broadcast_to(jnp.eye(actions, dtype=log_pi.dtype)[:, None, :], (actions, rows, actions))
        values = jax.vmap(function)(one_hot, log_pi.T)
        return jax.tree.map(lambda f: jnp.sum(jnp.exp(log_pi.T) * f, axis=0), values)


class Normal(NamedTuple):
    """N(mean, exp(log_std)^2) per dimension, on all of R^U."""

    mean: Float[Array, "B U"]
    log_std: Float[Array, "B U"]

    def log_prob(self, action: Float[Array, "B U"]) -> Float[Array, " B"]:
        """log density in nats, summed over the dimensions."""
        z = (action - self.mean) * jnp.exp(-self.log_std)
        return jnp.sum(-0.5 * jnp.square(z) - self.log_std - 0.5 * math.log(2.0 * math.pi), axis=-1)

    def entropy(self) -> Float[Array, " B"]:
        """sum_u log std_u + log(2 pi e) / 2 in nats: of the Gaussian, not of the actions that a box clips."""
        return jnp.sum(self.log_std + 0.5 * math.log(2.0 * math.pi * math.e), axis=-1)

    def sample(self, key: Key[Array, ""]) -> Float[Array, "B U"]:
        """One action per row."""
        return self.mean + jnp.exp(self.log_std) * jax.random.normal(key, self.mean.shape, self.mean.dtype)

    def mode(self) -> Float[Array, "B U"]:
        """The mean."""
        return self.mean


Distribution = TanhNormal | Categorical
