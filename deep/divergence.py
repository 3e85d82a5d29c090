r"""Generators of f-divergences as the learner uses them, normalised f(1) = f'(1) = 0 (FD-07).

For each generator f the learner needs only its conjugate, the ratio that maximises
``w y - f(w)`` and the multiplier that makes ratios mean one:

    conjugate(y)       f*(y) = sup_{w >= 0} (w y - f(w))
    ratio(y)           w = (f*)'(y)
    multiplier(z, p)   the nu with  sum_b p_b (f*)'(z_b - nu) = 1          (JS-04)

Written independently of ``reference.divergence``, so that their agreement means something.
Table: FD-01 of the claims ledger; statistics of the three ratios: JS-13.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

LOG_2 = math.log(2.0)
Pointwise = Callable[[Float[Array, "..."]], Float[Array, "..."]]


class Divergence(NamedTuple):
    """One generator; ``supremum`` is f'(inf), which arguments of ``conjugate`` and ``ratio`` stay below."""

    name: str
    conjugate: Pointwise
    ratio: Pointwise
    multiplier: Callable[[Float[Array, " B"], Float[Array, " B"]], Float[Array, ""]]
    supremum: float


def _kl_multiplier(z: Float[Array, " B"], p: Float[Array, " B"]) -> Float[Array, ""]:
    """nu = log E_p e^z, shifted by the maximum (KL-03)."""
    return jax.nn.logsumexp(z, b=p)


def _js_ratio(y: Float[Array, "..."]) -> Float[Array, "..."]:
    """Bose-Einstein form of e^y / (2 - e^y): no cancellation next to the pole at log 2."""
    return 1.0 / jnp.expm1(LOG_2 - y)


def _js_multiplier(z: Float[Array, " B"], p: Float[Array, " B"]) -> Float[Array, ""]:
    """Monotone Newton iteration for E_p[1 / expm1(s + z_max - z)] = 1, with nu = z_max - log 2 + s.

    ``s`` is the distance of the largest z from the pole; the left side is convex and decreasing
    in s, so Newton from a lower bound increases to the root and stops when rounding stops it.
    Lower bounds (JS-04): no atom may carry more than the whole mass, w_b <= 1/p_b; and Jensen,
    nu >= log E_p e^z.
    """
    z = jnp.where(p > 0, z, -jnp.inf)
    top = jnp.max(z)
    gap = top - z
    single_atom = jnp.max(jnp.where(p > 0, jnp.log1p(p) - gap, -jnp.inf))
    jensen = LOG_2 + jax.nn.logsumexp(-gap, b=p)

    def newton(s):
        w = 1.0 / jnp.expm1(s + gap)
        return s + (jnp.sum(p * w) - 1.0) / jnp.sum(p * w * (1.0 + w))

    def moving(carry):
        previous, s, count = carry
        return (s > previous) & (count < 200)

    def step(carry):
        _, s, count = carry
        return s, newton(s), count + 1

    start = jnp.maximum(single_atom, jensen)
    s, _, _ = jax.lax.while_loop(moving, step, (start, newton(start), 0))
    return top - LOG_2 + s


KL = Divergence("kl", jnp.expm1, jnp.exp, _kl_multiplier, math.inf)

JENSEN_SHANNON = Divergence(
    "js", lambda y: -jnp.log1p(-jnp.expm1(y)), _js_ratio, _js_multiplier, LOG_2
)  # the seed's generator: twice the Jensen-Shannon divergence in nats (JS-01)


def fermi_dirac(cap: float) -> Divergence:
    """Ratios in (0, cap): f(w) = w log w + (cap - w) log(cap - w), up to the gauge f(1) = f'(1) = 0 (JS-10).

    Raises ``ValueError`` unless cap > 1: ratios of mean one cannot stay below a smaller cap.
    """
    if not cap > 1:
        raise ValueError(f"fermi_dirac: the cap on the ratio must exceed its mean 1, got {cap}")
    shift = math.log(cap - 1.0)
    floor = math.log(cap / (cap - 1.0))  # softplus(-shift)

    def conjugate(y):
        return cap * (jax.nn.softplus(y - shift) - floor)

    def ratio(y):
        return cap * jax.nn.sigmoid(y - shift)

    def multiplier(z, p):
        """Bisection on [min z, max z]: there all ratios are >= 1, respectively <= 1."""
        low = jnp.min(jnp.where(p > 0, z, jnp.inf))
        high = jnp.max(jnp.where(p > 0, z, -jnp.inf))

        def halve(_, bracket):
            low, high = bracket
            middle = low + 0.5 * (high - low)
            above = jnp.sum(p * ratio(z - middle)) > 1.0
            return jnp.where(above, middle, low), jnp.where(above, high, middle)

        steps = jnp.finfo(z.dtype).nmant + 8
        low, high = jax.lax.fori_loop(0, steps, halve, (low, high))
        return low + 0.5 * (high - low)

    return Divergence(f"fermi-dirac({cap:g})", conjugate, ratio, multiplier, math.inf)
