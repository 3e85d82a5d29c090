r"""Which stored transitions make a batch, and with what factors their losses enter.

A sampling rule is ``(key, replay, batch_size, settings) -> (indices (B,), loss_weight (B,))``; indices are drawn
independently, with replacement, from the filled slots:

    uniform       P(i) = 1 / size,         factor 1
    weighted      P(i) = 1 / size,         factor w_i: the stored weight reweighs the loss
    proportional  P(i) = w_i / sum_j w_j,  factor ((N P(i))^-b / max over the batch) = (min_batch w / w_i)^b,
                  b = ``importance_exponent``

``weighted`` and ``proportional`` with b = 0 have gradients of the same mean direction and other variances (PRI-05).
With b = 1 the factor undoes what the probabilities do, whatever they are: a ratio that shall have an effect must not be
corrected for completely.

The maximum of the factors is that of the batch. The paper (Schaul et al. 2016, algorithm 1) divides by max_i w_i and
leaves open over what; DeepMind's DQN Zoo and Acme and the authors of LAP take the batch, OpenAI Baselines the buffer.
The batch's largest factor is always 1, so that no stale transition of tiny weight shrinks every step; the price is that
the scale depends on what was drawn. Slot i counts in proportion to w_i^(1 - b) E[(min_batch w)^b | i is drawn]: for
b = 1 alike, but for slots that are themselves likely to be the batch's least, which count a little too little.

Draws in proportion go down the tree of sums that :mod:`deep.replay` keeps, with a fresh uniform number at every level:
one number of 24 bits for all levels would favour some of 1e6 slots by a tenth. Each level errs by two roundings, so the
law of the slots by at most 2 log2(N) eps in total variation; a slot of weight zero is never drawn, in any precision, as
long as one filled slot has a positive weight. Draws are independent, not one from each of B equal strata of the
cumulated weight as in the paper: strata need the single number.

Measured on one slow core, a step that draws 256 of 1e6 slots and sets their weights anew, jitted with donation: this
tree 0.18 ms, a prefix sum over all slots 4.6, over the sums of blocks of 128 and then within one 1.1, the same with
these sums kept 0.6, uniform sampling 0.11. With 1e5 slots 0.12, 0.47, 0.41, 0.53 and 0.10; four lanes of 1e6 slots
0.42, 60, 5.4, 2.4 and 0.15 (``tests/benchmarks/sampling.py``).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from deep.replay import Replay, sample_indices
from deep.types import Settings

Drawn = tuple[Int[Array, " B"], Float[Array, " B"]]


def uniform(key: Key[Array, ""], replay: Replay, batch_size: int, settings: Settings) -> Drawn:
    """Every filled slot alike."""
    del settings
    return sample_indices(key, replay, batch_size), jnp.ones(batch_size, replay.weight.dtype)


def weighted(key: Key[Array, ""], replay: Replay, batch_size: int, settings: Settings) -> Drawn:
    """Every filled slot alike, the stored weights as factors of the loss."""
    del settings
    indices = sample_indices(key, replay, batch_size)
    return indices, replay.weight[indices]


def proportional(key: Key[Array, ""], replay: Replay, batch_size: int, settings: Settings) -> Drawn:
    """Slots in proportion to their weights, with the importance correction of exponent ``importance_exponent``."""
    indices = proportional_indices(key, replay, batch_size)
    weight = replay.weight[indices]
    # N and the sum of all weights cancel in the division by the maximum.
    return indices, (jnp.min(weight) / weight) ** settings.importance_exponent


def proportional_indices(key: Key[Array, ""], replay: Replay, count: int) -> Int[Array, " B"]:
    """Indices with probabilities proportional to the stored weights, with replacement.

    ValueError for a buffer that keeps no sums.
    """
    if replay.sums is None:
        raise ValueError(
            "sampling in proportion: the buffer keeps no sums of its weights; create it with proportional=True"
        )
    sums, weight, nodes = replay.sums, replay.weight, replay.sums.shape[0]
    if nodes == 1:
        return jnp.zeros(count, jnp.int32)
    levels = nodes.bit_length() - 1
    uniforms = jax.random.uniform(key, (levels, count), weight.dtype)

    def child(node, left, right, u):
        """Right with probability right / (left + right); never to a side without weight unless both are."""
        return 2 * node + ((u * (left + right) >= left) & (right > 0.0))

    def descend(level, node):
        return child(node, sums[2 * node], sums[2 * node + 1], uniforms[level])

    node = jax.lax.fori_loop(0, levels - 1, descend, jnp.ones(count, jnp.int32))
    slot = 2 * node - nodes
    left, right = (weight.at[at].get(mode="fill", fill_value=0.0) for at in (slot, slot + 1))
    return child(node, left, right, uniforms[-1]) - nodes


def categorical(key: Key[Array, ""], weight: Float[Array, " M"], count: int) -> Int[Array, " B"]:
    """Positions in a short vector with probabilities proportional to its entries, with replacement.

    Entries of zero are never drawn; where all are zero every position is as likely.
    """
    weight = jnp.where(jnp.max(weight) > 0.0, weight, 1.0)
    # Summed in parallel, a prefix sum need be neither monotone nor constant across a zero; made so, every step of it
    # belongs to a positive entry.
    prefix = jax.lax.cummax(jnp.where(weight > 0.0, jnp.cumsum(weight), 0.0))
    u = jax.random.uniform(key, (count,), weight.dtype) * prefix[-1]
    return jnp.searchsorted(
        prefix, jnp.minimum(u, jnp.nextafter(prefix[-1], jnp.zeros((), weight.dtype))), side="right"
    )
