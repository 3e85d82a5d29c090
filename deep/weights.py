r"""From TD errors to experience weights.

    ratio      relaxed     w*_b = (f*)'(delta_b / beta - nu),  nu such that the mean is one      (KL-04, JS-04, JS-10)
               occupancy   w*_b = (f*)'(min(delta_b / beta, z_c)),  delta of the flow dual's V          (OCC-01, FD-05)
    recursion  additive    w <- (1 - lambda) w + lambda w*: its only fixed point is w*                         (PRI-02)
               replicator  w <- (1 - lambda) w + lambda w w* / E[w w*]: rests on the best rows alone           (PRI-01)
               immediate   w <- w*: no memory, lambda = 1

:func:`relaxed` and :func:`occupancy` compose a ratio with a recursion into a weighting rule of the learner,
``(Evidence, beta, settings) -> (new weights (B,), metrics)``. The public code's recursion, the replicator with a
clipped ratio and a floor, is a rule of its own and not made of these.
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import xlogy
from jaxtyping import Array, Float
from scipy import special

from deep.divergence import Divergence
from deep.types import Evidence, Scalar, Settings

Metrics = dict[str, Float[Array, ""]]
Recursion = Callable[[Float[Array, " B"], Float[Array, " B"], Scalar, Float[Array, " B"]], Float[Array, " B"]]
Weighting = Callable[[Evidence, Scalar, Settings], tuple[Float[Array, " B"], Metrics]]

PERCENTILES = (0, 5, 25, 50, 75, 95, 100)


# -- ratios -----------------------------------------------------------------------------------------------------------


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
    ratio, multiplier = divergence.relaxed(centred, law)
    return ratio, top + multiplier


def tempered_ratio(
    divergence: Divergence, td_error: Float[Array, " B"], beta: Scalar, mass: Float[Array, " B"]
) -> tuple[Float[Array, " B"], Float[Array, ""]]:
    """`relaxed_ratio` at delta / beta, and its multiplier.

    The largest delta is subtracted before the division: what all delta share says nothing about the ratios, and its
    rounding, divided by a small beta, would drown what they differ by.
    """
    top = jnp.max(jnp.where(mass > 0, td_error, -jnp.inf))
    ratio, multiplier = relaxed_ratio(divergence, jnp.where(mass > 0, td_error - top, 0.0) / beta, mass)
    return ratio, multiplier + top / beta


def occupancy_ratio(divergence: Divergence, z: Float[Array, " B"], cap: Scalar) -> Float[Array, " B"]:
    """Ratio of the flow problem at z = delta / beta: no multiplier, which V's constant already is (OCC-01, OCC-02).

    Capped where the value objective continues f* linearly, so that both speak of one generator (FD-05, GUM-06).
    """
    return divergence.ratio(jnp.minimum(z, cap))


# -- recursions -------------------------------------------------------------------------------------------------------


def additive(
    weight: Float[Array, " B"], ratio: Float[Array, " B"], rate: Scalar, mass: Float[Array, " B"] | None = None
) -> Float[Array, " B"]:
    """(1 - rate) w + rate ratio: the error to a fixed ratio shrinks by exactly 1 - rate (PRI-02)."""
    del mass  # a recursion for each row by itself
    return (1.0 - rate) * weight + rate * ratio


def replicator(
    weight: Float[Array, " B"], ratio: Float[Array, " B"], rate: Scalar, mass: Float[Array, " B"]
) -> Float[Array, " B"]:
    """(1 - rate) w + rate w ratio / E[w ratio], the public code's recursion without its clips and its floor.

    Scaling the ratio changes nothing, and the batch's mean goes to one by exactly 1 - rate whatever the ratio is; but
    for a fixed one all mass ends on the rows where it is largest, and no other fixed point attracts (PRI-01). A batch
    in which no row has both a weight and a ratio above zero starts over at its ratios.
    """
    tilted = weight * ratio
    mean = jnp.sum(mass * tilted) / jnp.sum(mass)
    return additive(weight, jnp.where(mean > 0, tilted / jnp.where(mean > 0, mean, 1.0), ratio), rate)


def immediate(
    weight: Float[Array, " B"], ratio: Float[Array, " B"], rate: Scalar, mass: Float[Array, " B"]
) -> Float[Array, " B"]:
    """The ratio itself: what was stored is forgotten."""
    del weight, rate, mass
    return ratio


# -- weighting rules --------------------------------------------------------------------------------------------------


def relaxed(divergence: Divergence, recursion: Recursion) -> Weighting:
    """The rule that moves weights towards the batch's mean-one ratios at delta / beta (KL-04, JS-04, JS-10)."""
    floor, cap = ratio_limits(divergence)

    def rule(evidence: Evidence, beta: Scalar, settings: Settings) -> tuple[Float[Array, " B"], Metrics]:
        ratio, multiplier = tempered_ratio(divergence, evidence.td_error, beta, evidence.mass)
        new = recursion(evidence.weight, ratio, settings.weight_rate, evidence.mass)
        return new, {"weights/multiplier": multiplier, **_logged(new, ratio, evidence.mass, floor, cap)}

    return rule


def occupancy(divergence: Divergence, recursion: Recursion) -> Weighting:
    """The rule that moves weights towards (f*)'(delta / beta), delta that of the flow dual's V (OCC-01).

    Where V is optimal their mean is the mass of the flow: one if no episode terminates (OCC-02), otherwise
    (1 - gamma) sum_t gamma^t P(not terminated before t) < 1. ``weights/ratio_mean`` far from that says that V is not
    optimal; close to it says little, because a constant added to V alone can bring it there.
    """
    floor, _ = ratio_limits(divergence)

    def rule(evidence: Evidence, beta: Scalar, settings: Settings) -> tuple[Float[Array, " B"], Metrics]:
        ratio = occupancy_ratio(divergence, evidence.td_error / beta, settings.value_cap)
        new = recursion(evidence.weight, ratio, settings.weight_rate, evidence.mass)
        cap = divergence.ratio(jnp.asarray(settings.value_cap, ratio.dtype))
        return new, _logged(new, ratio, evidence.mass, floor, cap)

    return rule


def ratio_limits(divergence: Divergence) -> tuple[float, float]:
    """The smallest and the largest ratio that the divergence gives; inf where nothing caps it."""
    return float(divergence.ratio(jnp.asarray(-jnp.inf))), divergence.largest_ratio


def _logged(
    weight: Float[Array, " B"], ratio: Float[Array, " B"], mass: Float[Array, " B"], floor: Scalar, cap: Scalar
) -> Metrics:
    return {f"weights/{name}": value for name, value in statistics(weight, mass, floor, cap).items()} | {
        f"weights/ratio_{name}": value for name, value in statistics(ratio, mass, floor, cap).items()
    }


# -- what is logged ---------------------------------------------------------------------------------------------------


def effective_sample_size(weight: Float[Array, " B"], mass: Float[Array, " B"]) -> Float[Array, ""]:
    """(sum m w)^2 / sum m w^2 with sum m = 1: the fraction of the data that the weights effectively use (ESS-01)."""
    law = mass / jnp.sum(mass)
    return jnp.square(jnp.sum(law * weight)) / jnp.sum(law * jnp.square(weight))


def relative_entropy(weight: Float[Array, " B"], mass: Float[Array, " B"]) -> Float[Array, ""]:
    """KL(w p / E[w] || p) in nats, p = mass / sum(mass): how far the weighted batch is from the plain one.

    Summed as E[u log u - u + 1], u = w / E[w], whose terms are all positive. Rows without mass do not count.
    """
    law = mass / jnp.sum(mass)
    u = jnp.where(law > 0, weight / jnp.sum(law * weight), 1.0)
    return jnp.sum(law * (xlogy(u, u) - (u - 1.0)))


def statistics(weight: Float[Array, " B"], mass: Float[Array, " B"], floor: Scalar, cap: Scalar) -> Metrics:
    """Mean, min, max, ess, kl, at_floor and at_cap of a batch's weights: seven reductions, for every step.

    ``at_floor`` and ``at_cap`` are the shares of the mass on weights <= floor and >= cap, within rounding. What is
    floor and what is cap is for the rule to say: of the public code's weights ``weight_floor`` and no cap (inf), of its
    ratios ``ratio_min`` and ``ratio_max``, of optimal ratios `ratio_limits`.
    """
    law, held = mass / jnp.sum(mass), mass > 0
    slack = 16.0 * jnp.finfo(weight.dtype).eps  # a constant folded by the compiler may differ in its last digits
    return {
        "mean": jnp.sum(law * weight),
        "min": jnp.min(weight, where=held, initial=jnp.inf),
        "max": jnp.max(weight, where=held, initial=-jnp.inf),
        "ess": effective_sample_size(weight, mass),
        "kl": relative_entropy(weight, mass),
        "at_floor": jnp.sum(law, where=weight <= floor * (1.0 + slack)),
        "at_cap": jnp.sum(law, where=weight >= cap * (1.0 - slack)),
    }


def quantiles(weight: Float[Array, " B"], mass: Float[Array, " B"]) -> Float[Array, " Q"]:
    """The smallest weights below or at which PERCENTILES of the mass lie (the inverted distribution function).

    Sorts, which for 256 rows costs several times what :func:`statistics` does: for steps that write a log line.
    """
    order = jnp.argsort(jnp.where(mass > 0, weight, jnp.inf))
    below = jnp.cumsum(mass[order])
    asked = jnp.asarray(PERCENTILES, weight.dtype) / 100.0 * below[-1]
    # Left of the first row that reaches the share; the smallest weight that has mass at all comes first.
    return weight[order][jnp.minimum(jnp.searchsorted(below, asked), jnp.sum(mass > 0) - 1)]


def stored_statistics(
    weight: Float[Array, " N"] | Float[np.ndarray, " N"], size: int, floor: float, cap: float
) -> dict[str, float]:
    """What :func:`statistics` says and the quantiles, of the replay's first ``size`` weights: its filled slots.

    On the host in float64, for log lines only: it copies and sorts, some 30 ms for a million slots. Empty slots are
    left out: their weight of one would be most of what one sees until the buffer is full. ``q5`` and its like are the
    smallest weights at or below which that many percent of the slots lie.

    Raises ValueError for a buffer with nothing in it.
    """
    if not 1 <= size <= weight.shape[0]:
        raise ValueError(
            f"the replay has {weight.shape[0]} slots, of which {size} are said to be filled: expected 1 to all of them"
        )
    kept = np.sort(np.asarray(weight)[:size]).astype(np.float64)
    mean = float(kept.mean())
    u = kept / mean
    slack = 16.0 * float(np.finfo(weight.dtype).eps)
    ranks = {percent: max((percent * size + 99) // 100 - 1, 0) for percent in PERCENTILES}
    return {
        "mean": mean,
        "ess": 1.0 / float(np.mean(np.square(u))),
        "kl": float(np.mean(special.xlogy(u, u) - (u - 1.0))),
        "at_floor": float(np.mean(kept <= floor * (1.0 + slack))),
        "at_cap": float(np.mean(kept >= cap * (1.0 - slack))),
        **{f"q{percent}": float(kept[rank]) for percent, rank in ranks.items()},
    }
