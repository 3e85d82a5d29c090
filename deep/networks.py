"""Twin critic, actor and value network, and their tabular twins.

``continuous`` builds the 256-256 ReLU networks that are trained on MuJoCo, ``published`` the same
with the initialisers and the log-std range of the public ROER code; ``tabular`` builds one linear
layer on one-hot inputs, whose parameters *are* the tables Q, pi and V, so that the same update
runs on a finite decision process. ``CategoricalActor``, ``NormalActor`` and ``BoundedValue`` are
those of the on-policy agents.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from deep import products
from deep.distributions import Categorical, Normal, TanhNormal

LOG_STD_RANGE = (-20.0, 2.0)
PUBLISHED_LOG_STD_RANGE = (-10.0, 2.0)


class Networks(NamedTuple):
    """Flax modules of one agent: critic(s, a) -> (2, B), actor(s) -> distribution, value(s) -> (B,).

    Typed ``Any`` because Flax types what ``apply`` returns as a union with its mutable form, which is never asked for.
    """

    critic: Any
    actor: Any
    value: Any


# Flax fixes parameters at float32; ``float`` follows JAX's default precision, so x64 checks run in float64.
dense = partial(nn.Dense, param_dtype=float, dot_general=products.dot_general)
lecun = nn.initializers.lecun_normal()  # Flax's own default
hidden_gain, head_gain = nn.initializers.orthogonal(math.sqrt(2.0)), nn.initializers.orthogonal(1.0)


class MLP(nn.Module):
    """ReLU layers of the given widths and a linear output."""

    hidden: Sequence[int]
    outputs: int
    kernel_init: nn.initializers.Initializer = lecun

    @nn.compact
    def __call__(self, x: Float[Array, "B N"]) -> Float[Array, "B M"]:
        for width in self.hidden:
            x = nn.relu(dense(width, kernel_init=self.kernel_init)(x))
        return dense(self.outputs, kernel_init=self.kernel_init)(x)


class TwinCritic(nn.Module):
    """Two independent Q networks. Kept apart: one batched product measured slower on CPU."""

    hidden: Sequence[int]
    kernel_init: nn.initializers.Initializer = lecun

    @nn.compact
    def __call__(self, observation: Float[Array, "B O"], action: Float[Array, "B U"]) -> Float[Array, "2 B"]:
        x = jnp.concatenate([observation, action], axis=-1)
        first = MLP(self.hidden, 1, self.kernel_init, name="first")(x)
        second = MLP(self.hidden, 1, self.kernel_init, name="second")(x)
        return jnp.stack([first[:, 0], second[:, 0]])


class SingleCritic(nn.Module):
    """One Q network, with the leading axis that the twins have."""

    hidden: Sequence[int]

    @nn.compact
    def __call__(self, observation: Float[Array, "B O"], action: Float[Array, "B U"]) -> Float[Array, "1 B"]:
        x = jnp.concatenate([observation, action], axis=-1)
        return MLP(self.hidden, 1, name="first")(x).T


class DeterministicActor(nn.Module):
    """mu(s) in [-1, 1]^U: the mode of :class:`GaussianActor`, with the same layers and no spread."""

    hidden: Sequence[int]
    action_size: int

    @nn.compact
    def __call__(self, observation: Float[Array, "B O"]) -> Float[Array, "B U"]:
        x = observation
        for width in self.hidden:
            x = nn.relu(dense(width)(x))
        return jnp.tanh(dense(self.action_size, name="mean")(x))


class GaussianActor(nn.Module):
    """State-dependent diagonal Gaussian before tanh; log-std clipped to ``log_std_range``."""

    hidden: Sequence[int]
    action_size: int
    kernel_init: nn.initializers.Initializer = lecun
    head_init: nn.initializers.Initializer = lecun
    log_std_range: tuple[float, float] = LOG_STD_RANGE

    @nn.compact
    def __call__(self, observation: Float[Array, "B O"]) -> TanhNormal:
        x = observation
        for width in self.hidden:
            x = nn.relu(dense(width, kernel_init=self.kernel_init)(x))
        mean = dense(self.action_size, kernel_init=self.head_init, name="mean")(x)
        log_std = dense(self.action_size, kernel_init=self.head_init, name="log_std")(x)
        return TanhNormal(mean, jnp.clip(log_std, *self.log_std_range))


class StateValue(nn.Module):
    """V(s)."""

    hidden: Sequence[int]
    kernel_init: nn.initializers.Initializer = lecun

    @nn.compact
    def __call__(self, observation: Float[Array, "B O"]) -> Float[Array, " B"]:
        return MLP(self.hidden, 1, self.kernel_init, name="value")(observation)[:, 0]


def _bounded(hidden: Sequence[int], outputs: int, gain: float, name: str, x: Float[Array, "B N"]):
    """Tanh layers with orthogonal kernels of gain sqrt(2), and a linear output of this gain (inside a module)."""
    for width in hidden:
        x = jnp.tanh(dense(width, kernel_init=hidden_gain)(x))
    return dense(outputs, kernel_init=nn.initializers.orthogonal(gain), name=name)(x)


class CategoricalActor(nn.Module):
    """Softmax policy of an on-policy agent, nearly uniform at first (Andrychowicz et al. 2021, section 3.2)."""

    hidden: Sequence[int]
    n_actions: int

    @nn.compact
    def __call__(self, observation: Float[Array, "B O"]) -> Categorical:
        return Categorical(_bounded(self.hidden, self.n_actions, 0.01, "logits", observation))


class NormalActor(nn.Module):
    """Gaussian policy of an on-policy agent: one log-std for all states, at first 0; the mean at first nearly 0."""

    hidden: Sequence[int]
    action_size: int

    @nn.compact
    def __call__(self, observation: Float[Array, "B O"]) -> Normal:
        mean = _bounded(self.hidden, self.action_size, 0.01, "mean", observation)
        log_std = self.param("log_std", nn.initializers.zeros, (self.action_size,), float)
        return Normal(mean, jnp.broadcast_to(log_std, mean.shape))


class BoundedValue(nn.Module):
    """V(s) of an on-policy agent."""

    hidden: Sequence[int]

    @nn.compact
    def __call__(self, observation: Float[Array, "B O"]) -> Float[Array, " B"]:
        return _bounded(self.hidden, 1, 1.0, "value", observation)[:, 0]


class TwinTable(nn.Module):
    """Q_i(s, a) as two (S, A) tables."""

    @nn.compact
    def __call__(self, observation: Float[Array, "B S"], action: Float[Array, "B A"]) -> Float[Array, "2 B"]:
        shape = (2, observation.shape[-1], action.shape[-1])
        table = self.param("table", nn.initializers.zeros, shape)
        return jnp.einsum("bs,ba,isa->ib", observation, action, table, precision=jax.lax.Precision.HIGHEST)


class SoftmaxTable(nn.Module):
    """pi(a|s) as a softmax of an (S, A) table of logits."""

    n_actions: int

    @nn.compact
    def __call__(self, observation: Float[Array, "B S"]) -> Categorical:
        table = self.param("table", nn.initializers.zeros, (observation.shape[-1], self.n_actions))
        return Categorical(products.matmul(observation, table))


class ValueTable(nn.Module):
    """V(s) as an (S,) table."""

    @nn.compact
    def __call__(self, observation: Float[Array, "B S"]) -> Float[Array, " B"]:
        return products.matmul(observation, self.param("table", nn.initializers.zeros, (observation.shape[-1],)))


class QTable(nn.Module):
    """Q(s, .) as an (S, A) table: what DQN's network is on a decision process."""

    n_actions: int

    @nn.compact
    def __call__(self, observation: Float[Array, "B S"]) -> Float[Array, "B A"]:
        return products.matmul(
            observation, self.param("table", nn.initializers.zeros, (observation.shape[-1], self.n_actions))
        )


def continuous(action_size: int, hidden: Sequence[int] = (256, 256)) -> Networks:
    """Networks for observations in R^O and actions in (-1, 1)^action_size."""
    hidden = tuple(hidden)
    return Networks(TwinCritic(hidden), GaussianActor(hidden, action_size), StateValue(hidden))


def published(action_size: int, hidden: Sequence[int] = (256, 256)) -> Networks:
    """``continuous`` as the public ROER code (its revision of 2024-07-16) initialises it.

    Orthogonal kernels of gain sqrt(2), output layers of critics and value included; policy heads of gain 1; log-std
    clipped to [-10, 2]. Its target entropy is -dim(A)/2, a setting and not part of the networks (SAC-21).
    """
    hidden = tuple(hidden)
    return Networks(
        TwinCritic(hidden, hidden_gain),
        GaussianActor(hidden, action_size, hidden_gain, head_gain, PUBLISHED_LOG_STD_RANGE),
        StateValue(hidden, hidden_gain),
    )


def tabular(n_actions: int) -> Networks:
    """Tables on one-hot states and one-hot actions; the number of states is that of the observation."""
    return Networks(TwinTable(), SoftmaxTable(n_actions), ValueTable())
