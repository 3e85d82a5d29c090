r"""Proximal policy optimisation (Schulman et al. 2017) with the clipped surrogate, as pure functions.

One update, from a rollout:

    1 samples   advantages, lambda-returns and log pi_old, all from the networks that acted
    2 epochs    each deals the rows into minibatches, every row into exactly one, in an order of its own; each is
                one step of both networks on
                    L = -mean(min(rho A, clip(rho, 1 - c, 1 + c) A)),   rho = exp(log pi - log pi_old)
                with the minibatch's advantages normalised, and on the squared error of V

The minimum only ever takes away: where the ratio has left [1 - c, 1 + c] in the direction that A favours the gradient
is zero, in the other direction it is kept whole. The value loss is not clipped.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from deep import on_policy
from deep.on_policy import Method, Metrics, Networks, Optimizers, Rollout, Samples, State
from deep.types import Settings


class Learner(NamedTuple):
    """What is fixed at compile time: ``epochs`` passes over a rollout, each in ``minibatches`` steps."""

    networks: Networks
    optimizers: Optimizers
    epochs: int
    minibatches: int

    @property
    def method(self) -> Method:
        """What a session does with this learner."""
        return on_policy.method(update)


def surrogate_loss(log_prob: Float[Array, " B"], rows: Samples, settings: Settings) -> Float[Array, ""]:
    """-sum_b mass_b min(rho_b A_b, clip(rho_b, 1 - c, 1 + c) A_b) (Schulman et al. 2017, eq. 7).

    Written case by case: where rho is just at the end of the clip that A does not favour, both sides of that minimum
    are equal for good, and a derivative that is shared between them would be three quarters of what it is.
    """
    ratio = jnp.exp(log_prob - rows.log_prob)
    low, high = 1.0 - settings.ratio_clip, 1.0 + settings.ratio_clip
    kept = jnp.where(rows.advantage > 0, jnp.minimum(ratio, high), jnp.maximum(ratio, low))
    return -jnp.sum(rows.mass * kept * rows.advantage)


def deal(key: Key[Array, ""], rows: int, parts: int) -> Int[Array, "M B"]:
    """The numbers 0 .. rows - 1 in a random order, in ``parts`` of equal size; ValueError if they do not fit."""
    if rows % parts:
        raise ValueError(f"ppo: expected minibatches of equal size, saw {rows} rows for {parts} of them")
    return jax.random.permutation(key, rows).reshape(parts, rows // parts)


def update(learner: Learner, settings: Settings, state: State, rollout: Rollout) -> tuple[State, Metrics]:
    """All epochs on one rollout; the metrics are means over their steps."""
    rows = on_policy.gae_samples(learner, settings, state, rollout)
    keys = on_policy.keys(state)

    def minibatch(carry, indices):
        params, optimizers = carry
        part = jax.tree.map(lambda values: values[indices], rows)
        part = part._replace(mass=part.mass * learner.minibatches)
        part = part._replace(advantage=on_policy.normalised(part.advantage, part.mass))
        moved = _movement(learner, params.actor, part, settings)
        params, optimizers, metrics = on_policy.step(learner, settings, params, optimizers, part, surrogate_loss)
        return (params, optimizers), metrics | moved

    def epoch(carry, key):
        return jax.lax.scan(minibatch, carry, deal(key, len(rows.mass), learner.minibatches))

    carry = (state.params, state.optimizers)
    (params, optimizers), history = jax.lax.scan(epoch, carry, jax.random.split(keys.order, learner.epochs))
    metrics = jax.tree.map(jnp.mean, history)
    return State(params, optimizers, keys.next, state.step + 1), metrics


def _movement(learner: Learner, actor, part: Samples, settings: Settings) -> Metrics:
    """How far the policy is from the one that acted: KL(old || new), estimated, and the share of ratios outside.

    The estimate (rho - 1) - log rho is unbiased and never negative.
    """
    log_ratio = learner.networks.actor.apply(actor, part.observation).log_prob(part.action) - part.log_prob
    ratio = jnp.exp(log_ratio)
    outside = jnp.abs(ratio - 1.0) > settings.ratio_clip
    return {
        "policy/kl": jnp.sum(part.mass * (ratio - 1.0 - log_ratio)),
        "policy/clipped": jnp.sum(part.mass * outside),
    }
