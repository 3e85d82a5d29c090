r"""The normalisation multiplier of the relaxed problem, and the ratios that it makes mean one (JS-04, FD-03).

For z = advantage / beta under a law p, the optimal ratios of a generator f are

    w_b = (f*)'(z_b - nu),        nu such that  sum_b p_b w_b = 1                                            (1)

No single float nu serves both precisions and all temperatures: next to a pole of f*, or where a cap leaves the choice
to one row among very different ones, rounding nu by one unit moves ratios visibly. So the unknown is the distance x of
one row, the *pivot*, below a fixed origin of the generator (its pole, where it has one), and every row has

    origin - (z_b - nu) = x + (z_pivot - z_b)                                                                (2)

which is exact to one rounding of a difference of data.

*Bracket.* All ratios lie on one side of one at nu = min z and at nu = max z; and no row carries more than the whole
mass, w_b <= 1/p_b (JS-04). *Search.* With d(w) = origin - f'(w), Newton's method on d(mean of the ratios) = d(1), which
is linear in x for one row alone and for KL; bisection where Newton leaves the bracket or does not halve what is
missing. *Pivot.* The first search measures from the largest z; the second from the row on which the mean depends most.

*Accuracy.* A ratio is that of an argument moved by some units in the last place of the data, off by (f*)'' times that;
z being rounded itself, nobody could know it better. Where (f*)'' is large - 1/(4 w^3) for ``power(1/4)`` next to its
kink, w^2 for reverse KL under a cap of 50 - this may be hundreds of units of the ratio: 107 and 10 units of one were
seen in float64, over 60 random laws of 64 rows, where moving z by four units of its own does as much. The errors times
their law added up to 4.3 units.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

Pointwise = Callable[[Float[Array, "..."]], Float[Array, "..."]]
Scalar = Float[Array, ""]
MAX_STEPS = 200  # of one search; over ten decades of beta the most that both together were seen to take is 61


class View(NamedTuple):
    """A generator seen from its origin; distances x = origin - y are counted downwards.

    below      x -> (f*)'(origin - x), non-increasing;   distance   w -> origin - f'(w), for ratios below ``largest``
    curvature  w -> (f*)''(f'(w)), the slope of the ratio in its argument;   largest   no ratio is above (inf: none is)
    """

    origin: float
    below: Pointwise
    distance: Pointwise
    curvature: Pointwise
    largest: float


class Relaxed(NamedTuple):
    """Optimal ratios (B,) of the relaxed problem, mean one under the law, and their multiplier."""

    ratio: Float[Array, " B"]
    multiplier: Scalar


class _Search(NamedTuple):
    """A root of the mean in x, bracketed: the mean is at least one at ``low`` and at most one at ``high``.

    ``miss`` is how far d(mean) was from d(1) before a step of Newton's that led here, inf after a bisection.
    """

    x: Scalar
    low: Scalar
    high: Scalar
    miss: Scalar
    steps: Int[Array, ""]
    finished: Bool[Array, ""]


def relaxed(view: View, z: Float[Array, " B"], p: Float[Array, " B"]) -> Relaxed:
    """Solve (1) for the generator seen through ``view``, by the parametrisation (2).

    ``p`` sums to one up to rounding and may be zero (padding): such a row is given the ratio of the largest z and has
    no part in anything. Where every ratio is at an end of its domain many nu serve, all with the same ratios; one of
    them is returned. Derivatives are those of the implicit function theorem.
    """
    z = jnp.where(p > 0, z, jnp.max(jnp.where(p > 0, z, -jnp.inf)))
    pivot, x = _root(view, *jax.lax.stop_gradient((z, p)))
    gap = z[pivot] - z
    mean = jnp.sum(p * view.below(x + gap))
    slope = jax.lax.stop_gradient(jnp.sum(p * view.curvature(view.below(x + gap))))
    # Zero, with the derivative that keeps the mean where it is while z and p move.
    x += jnp.where(slope > 0, (mean - jax.lax.stop_gradient(mean)) / jnp.where(slope > 0, slope, 1.0), 0.0)
    return Relaxed(view.below(x + gap), z[pivot] - view.origin + x)


def _root(view: View, z: Float[Array, " B"], p: Float[Array, " B"]) -> tuple[Int[Array, ""], Scalar]:
    """The pivot's index and its distance below the origin."""
    one = view.distance(jnp.ones((), z.dtype))
    most = 1.0 / jnp.minimum(jnp.where(p > 0, p, 1.0), 1.0)
    bounded = (p > 0) & (most < view.largest)
    alone = jnp.where(bounded, view.distance(jnp.where(bounded, most, 1.0)), -jnp.inf)

    def search(turn, found):
        pivot, x = found
        gap = z[pivot] - z
        low = jnp.maximum(jnp.max(alone - gap), one - jnp.max(gap))
        high = jnp.maximum(low, one - jnp.min(gap))
        start = _Search(jnp.clip(x, low, high), low, high, jnp.full_like(x, jnp.inf), jnp.zeros((), int), x != x)
        x = jax.lax.while_loop(_unfinished, lambda state: _step(view, p, gap, one, state), start).x
        weight = jnp.where(p > 0, p * view.curvature(view.below(x + gap)), -1.0)
        following = jnp.where(turn == 0, jnp.argmax(weight), pivot)
        return following, x + gap[following]

    top = jnp.argmax(z)
    mean = one - jnp.sum(p * (z[top] - z))  # nu = E z: exact to first order in 1/beta (FD-02)
    return jax.lax.fori_loop(0, 2, search, (top, mean))


def _unfinished(search: _Search) -> Bool[Array, ""]:
    return ~search.finished & (search.steps < MAX_STEPS)


def _step(view: View, p: Float[Array, " B"], gap: Float[Array, " B"], one: Scalar, search: _Search) -> _Search:
    """One evaluation of the mean, and where to evaluate it next."""
    x = search.x
    ratio = view.below(x + gap)
    mean = jnp.sum(p * ratio)
    low, high = jnp.where(mean >= 1.0, x, search.low), jnp.where(mean <= 1.0, x, search.high)
    miss = one - view.distance(mean)
    newton = x + miss * view.curvature(mean) / jnp.sum(p * view.curvature(ratio))
    middle = low + 0.5 * (high - low)
    trusted = (newton > low) & (newton < high) & (jnp.abs(miss) < 0.5 * search.miss)  # false for NaN
    following = jnp.where(trusted, newton, middle)
    # Rounding of the mean is a few units; where it is more, a step that x cannot feel is all that can be asked.
    unit, excess = jnp.finfo(x.dtype).eps, jnp.abs(mean - 1.0)
    settled = (excess <= 4 * unit) | ((excess <= 64 * unit) & (jnp.abs(newton - x) <= 2 * unit * jnp.abs(x)))
    finished = settled | ~((middle > low) & (middle < high))
    return _Search(
        jnp.where(finished, x, following),
        low,
        high,
        jnp.where(trusted, jnp.abs(miss), jnp.inf),
        search.steps + 1,
        finished,
    )
