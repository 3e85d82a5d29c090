r"""The prioritised-replay baselines, delta_i = Q_i - y the TD error of critic i, |delta| the larger of the twins':

    PER    p = (|delta| + eps)^alpha; sampled in proportion, squared loss, importance correction
           (Schaul et al. 2016, Prioritized experience replay, section 3.3)
    LAP    p = max(|delta|, 1)^alpha; sampled in proportion, Huber loss of width 1, no correction
    PAL    sampled uniformly, loss delta_i^2 / (2 E[p]) for |delta_i| <= 1, |delta_i|^(1 + alpha) / ((1 + alpha) E[p])
           beyond, p that of LAP: the gradient that LAP has in expectation
           (both: Fujimoto, Meger and Precup 2020, An equivalence between loss functions and non-uniform sampling in
           experience replay, equations 11 and 12)
    LaBER  a large uniform batch, of which rows are drawn in proportion to |delta| with the factor E[|delta|] / |delta|
           (Lahire, Geist and Rachelson 2022, Large batch experience replay, section 4)

None of these papers has one TD error per transition and two critics; the larger error of the twins is what the authors
of LAP take for PER, LAP and the divisor of PAL in their TD3. With one priority for two critics PAL equals LAP exactly
for each twin on the rows on which their errors agree in size, and in general where each twin has its own.

Where 1 stands for LAP and PAL, ``huber_width`` k generalises it as in the authors' code: max(|delta|, k)^alpha, and PAL
k^alpha delta^2 / 2 below k, k |delta|^(1 + alpha) / (1 + alpha) above.

No |delta|^alpha is the optimal weight of any f-divergence: it is no monotone function of delta (KL-09).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from deep import sampling, weights
from deep.types import Evidence, Scalar, Settings

Metrics = dict[str, Float[Array, ""]]


def error_size(critic_error: Float[Array, "2 B"]) -> Float[Array, " B"]:
    """|delta| of each row: the larger of the twins'; nothing is differentiated through it."""
    return jax.lax.stop_gradient(jnp.max(jnp.abs(critic_error), axis=0))


def per(evidence: Evidence, beta: Scalar, settings: Settings) -> tuple[Float[Array, " B"], Metrics]:
    """Weighting rule of PER: (|delta| + ``priority_offset``)^``priority_exponent``."""
    del beta
    size = error_size(evidence.critic_error)
    return _logged((size + settings.priority_offset) ** settings.priority_exponent, evidence.mass)


def lap(evidence: Evidence, beta: Scalar, settings: Settings) -> tuple[Float[Array, " B"], Metrics]:
    """Weighting rule of LAP: max(|delta|, ``huber_width``)^``priority_exponent``; its loss is the Huber loss."""
    del beta
    return _logged(_lap_priority(error_size(evidence.critic_error), settings), evidence.mass)


def pal_loss(
    q: Float[Array, "2 B"],
    target: Float[Array, " B"],
    loss_weight: Float[Array, " B"],
    mass: Float[Array, " B"],
    settings: Settings,
) -> Float[Array, ""]:
    """sum_i sum_b mass_b w_b PAL(Q_i - y) / lambda, lambda = E[max(|delta|, width)^alpha] (not differentiated).

    The derivative in delta_i is clip(delta_i, -width, width) max(|delta_i|, width)^alpha / lambda.
    """
    error, width, exponent = q - target, settings.huber_width, settings.priority_exponent
    size = jnp.abs(error)
    inside = width**exponent * 0.5 * jnp.square(error)
    outside = width * jnp.maximum(size, width) ** (1.0 + exponent) / (1.0 + exponent)
    scale = jnp.sum(mass * _lap_priority(error_size(error), settings)) / jnp.sum(mass)
    return jnp.sum(mass * loss_weight * jnp.where(size <= width, inside, outside)) / scale


def laber_select(
    key: Key[Array, ""], priorities: Float[Array, " M"], batch_size: int
) -> tuple[Int[Array, " B"], Float[Array, " B"]]:
    """Positions of a large batch in proportion to ``priorities``, and the factors that keep the mean gradient.

    P(i) factor_i = 1/M on every row with a priority; those without one are never drawn and have, with |delta| for a
    priority, no gradient to lose. Where no row has one the draw is uniform and the factors are 1.
    """
    priorities = jax.lax.stop_gradient(priorities)
    positions = sampling.categorical(key, priorities, batch_size)
    drawn, mean = priorities[positions], jnp.mean(priorities)
    return positions, jnp.where(drawn > 0.0, mean / jnp.where(drawn > 0.0, drawn, 1.0), 1.0)


def _lap_priority(size: Float[Array, " B"], settings: Settings) -> Float[Array, " B"]:
    return jnp.maximum(size, settings.huber_width) ** settings.priority_exponent


def _logged(priority: Float[Array, " B"], mass: Float[Array, " B"]) -> tuple[Float[Array, " B"], Metrics]:
    return priority, {
        "weights/mean": jnp.sum(mass * priority) / jnp.sum(mass),
        "weights/min": jnp.min(priority, where=mass > 0, initial=jnp.inf),
        "weights/max": jnp.max(priority, where=mass > 0, initial=0.0),
        "weights/ess": weights.effective_sample_size(priority, mass),
    }
