r"""From TD errors to experience weights.

    ratio      w*_b = (f*)'(delta_b / beta - nu),  nu such that the mean is one    (relaxed: KL-04, JS-04, JS-10)
    recursion  w <- (1 - lambda) w + lambda w*                                     (additive; fixed point w*: PRI-02)

The ratio is mean one over the batch; the public code's multiplicative recursion is a replicator
map with another attractor (PRI-01) and is not this function.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from deep.divergence import Divergence
from deep.types import Scalar


def relaxed_ratio(
    divergence: Divergence, z: Float[Array, " B"], mass: Float[Array, " B"]
) -> tuple[Float[Array, " B"], Float[Array, ""]]:
    """Optimal ratio of the relaxed problem at z = advantage / beta under the law mass / sum(mass), and its multiplier.

    Solved for z - max z, which changes the multiplier alone: next to the pole of the JS ratio the rounding of a
    multiplier as large as z would be felt. Rows without mass (padding) get the ratio of the largest z.
    """
    law = mass / jnp.sum(mass)
    top = jnp.max(jnp.where(mass > 0, z, -jnp.inf))
    centred = jnp.where(mass > 0, z - top, 0.0)
    multiplier = divergence.multiplier(centred, law)
    return divergence.ratio(centred - multiplier), top + multiplier


def additive(weight: Float[Array, " B"], ratio: Float[Array, " B"], rate: Scalar) -> Float[Array, " B"]:
    """(1 - rate) w + rate ratio: the error to a fixed ratio shrinks by exactly 1 - rate (PRI-02)."""
    return (1.0 - rate) * weight + rate * ratio


def effective_sample_size(weight: Float[Array, " B"], mass: Float[Array, " B"]) -> Float[Array, ""]:
    """(sum m w)^2 / sum m w^2 with sum m = 1: the fraction of the data that the weights effectively use (ESS-01)."""
    law = mass / jnp.sum(mass)
    return jnp.square(jnp.sum(law * weight)) / jnp.sum(law * jnp.square(weight))
