r"""One pure function per equation of the learner.

Every loss is ``sum_b mass_b * loss_b``: a mean over a sampled batch, an exact expectation over
an enumerated one. Targets enter as arguments, so nothing here needs a stopped gradient.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from deep.divergence import Divergence
from deep.types import Scalar


def soft_value(q: Float[Array, "2 B"], log_prob: Float[Array, " B"], alpha: Scalar) -> Float[Array, " B"]:
    """min_i Q_i(s, a) - alpha log pi(a|s), whose expectation over a is the soft value (SAC-03, SAC-15)."""
    return jnp.min(q, axis=0) - alpha * log_prob


def critic_target(
    reward: Float[Array, " B"],
    terminated: Float[Array, " B"],
    next_value: Float[Array, " B"],
    discount: Float[Array, " B"] | Scalar,
) -> Float[Array, " B"]:
    """y = r + gamma (1 - terminated) V(s'): termination cuts the bootstrap and its entropy, truncation cuts neither.

    A row of k steps has its discounted rewards for r and gamma^k for gamma.
    """
    return reward + discount * (1.0 - terminated) * next_value


def td_error(
    reward: Float[Array, " B"],
    terminated: Float[Array, " B"],
    value: Float[Array, " B"],
    next_value: Float[Array, " B"],
    discount: Float[Array, " B"] | Scalar,
) -> Float[Array, " B"]:
    """delta = r + gamma (1 - terminated) V(s') - V(s), this sign everywhere (RL-15)."""
    return critic_target(reward, terminated, next_value, discount) - value


def critic_loss(
    q: Float[Array, "2 B"], target: Float[Array, " B"], weight: Float[Array, " B"], mass: Float[Array, " B"]
) -> Float[Array, ""]:
    """sum_i sum_b mass_b w_b (Q_i - y)^2 / 2: both twins regress on the same target."""
    return jnp.sum(mass * weight * 0.5 * jnp.square(q - target))


def capped_conjugate(divergence: Divergence, z: Float[Array, " B"], cap: Scalar) -> Float[Array, " B"]:
    """f*(z), continued linearly and C1 above ``cap``: the conjugate of f restricted to w <= (f*)'(cap) (FD-05)."""
    # max(z - cap, 0), not z - min(z, cap): the latter's gradient below the cap is ratio(cap) - ratio(cap), which only
    # rounds to zero and in float32 would blur every ratio by the last digits of e^7.
    above = jnp.maximum(z - cap, 0.0)
    return divergence.conjugate(jnp.minimum(z, cap)) + divergence.ratio(jnp.asarray(cap, z.dtype)) * above


def value_loss(
    value: Float[Array, " B"],
    q: Float[Array, " B"],
    beta: Scalar,
    divergence: Divergence,
    cap: Scalar,
    mass: Float[Array, " B"],
) -> Float[Array, ""]:
    """beta sum_b mass_b (f*(z) - z), z = (q - v)/beta (FD-03; for KL the Gumbel loss e^z - z - 1, GUM-01, GUM-04).

    In units of reward. Stationary where E[min((f*)'(z), W)] = 1; no 1/beta in the extension (GUM-03).
    """
    z = (q - value) / beta
    return beta * jnp.sum(mass * (capped_conjugate(divergence, z, cap) - z))


def actor_loss(soft_values: Float[Array, " B"], mass: Float[Array, " B"]) -> Float[Array, ""]:
    """E[alpha log pi - min_i Q_i], to be minimised (SAC-11): minus the expected soft value."""
    return -jnp.sum(mass * soft_values)


def temperature_loss(log_alpha: Float[Array, ""], log_prob: Scalar, target_entropy: Scalar) -> Float[Array, ""]:
    """-alpha (E log pi + H-bar): its gradient in log alpha is alpha (H - H-bar) (SAC-16), a stable servo (SAC-18)."""
    return -jnp.exp(log_alpha) * (log_prob + target_entropy)
