r"""Generators of f-divergences as the learner uses them, normalised f(1) = f'(1) = 0 (FD-01, FD-07).

    name         f(w)                                 f*(y)                       w = (f*)'(y)        f'(inf)
    kl           w log w - w + 1                      e^y - 1                     e^y                 inf
    js           w log w - (w+1) log((w+1)/2)         -log(2 - e^y)               e^y/(2 - e^y)       log 2
    fermi-dirac  w log w + (C-w) log((C-w)/(C-1))     C log((C-1+e^y)/C)          C e^y/(C-1+e^y)     inf, w < C
    chi2         (w-1)^2/2                            y + y^2/2, -1/2 for y < -1  (1+y)_+             inf
    hellinger    (sqrt(w)-1)^2                        y/(1-y)                     1/(1-y)^2           1
    reverse-kl   w - 1 - log w                        -log(1-y)                   1/(1-y)             1
    power        (w^(1+1/a) - 1)/(1+1/a) - w + 1      ((1+y)_+^(1+a) - 1)/(1+a)   (1+y)_+^a           inf
    capped       f(w) for w <= W                      f* up to f'(W), then        min((f*)'(y), W)    inf
                                                      its tangent, C1 (FD-05)

``js`` is twice the Jensen-Shannon divergence in nats (JS-01) and its ratio is no sigmoid (JS-05); the sigmoid is
``fermi-dirac`` (JS-10). ``power`` with exponent a weighs like thresholded, signed prioritised replay (KL-09);
``power(1)`` is chi2. Of each generator the learner needs its conjugate, the ratio that maximises ``w y - f(w)``, and
the multiplier that makes ratios mean one (:mod:`deep.multiplier`).

Derivatives are written down, not traced: that of the conjugate is the ratio and that of the ratio the curvature
1/f''(w), both free of NaN wherever they exist, so no branch that was not taken reaches a gradient. Arguments at or
above a finite f'(inf), which the caller keeps out (``supremum``), give infinities or NaN.

Written independently of ``reference.divergence``, so that their agreement means something.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from deep.multiplier import Pointwise, Relaxed, View, relaxed

LOG_2 = math.log(2.0)
Values = Float[Array, "..."]


class Divergence(NamedTuple):
    """One generator, as pointwise functions and the solution of the relaxed problem.

    conjugate        f*(y) = sup_{w >= 0} (w y - f(w)), for y < supremum
    ratio            w = (f*)'(y), for y < supremum
    multiplier       z (B,), p (B,) -> the nu with  sum_b p_b (f*)'(z_b - nu) = 1           (JS-04)
    supremum         f'(inf): where f* ends; inf for generators without a pole
    slope            f'(w), the inverse of ``ratio``, for w below ``largest_ratio``
    relaxed          z, p -> (ratios, nu): as ``multiplier``, and the ratios without the rounding of z - nu
    largest_ratio    no ratio lies above; inf where nothing caps them
    view             the same from the origin of the generator, as the solver and ``capped`` see it
    """

    name: str
    conjugate: Pointwise
    ratio: Pointwise
    multiplier: Callable[[Float[Array, " B"], Float[Array, " B"]], Float[Array, ""]]
    supremum: float
    slope: Pointwise
    relaxed: Callable[[Float[Array, " B"], Float[Array, " B"]], Relaxed]
    largest_ratio: float
    view: View


def _derived(function: Pointwise, derivative: Callable[[Values, Values], Values]) -> Pointwise:
    """``function`` with derivative(x, function(x)) as its derivative."""
    differentiable = jax.custom_jvp(function)

    @differentiable.defjvp
    def _(primals, tangents):
        (x,), (tangent,) = primals, tangents
        value = differentiable(x)
        return value, derivative(x, value) * tangent

    return differentiable


def _divergence(name: str, view: View, conjugate: Pointwise, supremum: float = math.inf) -> Divergence:
    """The generator with these pieces; ``view`` says everything but the conjugate's value."""
    seen = view._replace(below=_derived(view.below, lambda x, w: -view.curvature(w)))

    def ratio(y):
        return seen.below(view.origin - y)

    return Divergence(
        name,
        _derived(conjugate, lambda y, _: ratio(y)),
        ratio,
        lambda z, p: relaxed(seen, z, p).multiplier,
        supremum,
        lambda w: view.origin - view.distance(w),
        functools.partial(relaxed, seen),
        view.largest,
        seen,
    )


def _kl() -> Divergence:
    """Maxwell-Boltzmann ratios; the multiplier is in closed form, nu = log E_p e^z (KL-03)."""
    view = View(0.0, lambda x: jnp.exp(-x), lambda w: -jnp.log(w), lambda w: w, math.inf)

    def solve(z, p):
        top = jax.lax.stop_gradient(jnp.max(jnp.where(p > 0, z, -jnp.inf)))
        growth = jnp.exp(jnp.where(p > 0, z - top, 0.0))
        mean = jnp.sum(p * growth)
        return Relaxed(growth / mean, top + jnp.log(mean))

    return _divergence("kl", view, jnp.expm1)._replace(relaxed=solve, multiplier=lambda z, p: solve(z, p).multiplier)


def _js() -> Divergence:
    """Bose-Einstein ratios (JS-13), 1/expm1 of the distance to the pole: nothing cancels next to it."""
    view = View(LOG_2, lambda x: 1.0 / jnp.expm1(x), lambda w: jnp.log1p(1.0 / w), lambda w: w * (1.0 + w), math.inf)
    return _divergence("js", view, lambda y: -jnp.log1p(-jnp.expm1(y)), LOG_2)


def _chi2() -> Divergence:
    view = View(
        -1.0,
        lambda x: jnp.maximum(-x, 0.0),
        lambda w: -w,
        lambda w: jnp.where(w > 0, jnp.ones_like(w), jnp.zeros_like(w)),
        math.inf,
    )

    def conjugate(y):
        kept = jnp.maximum(y, -1.0)
        return kept * (1.0 + 0.5 * kept)

    return _divergence("chi2", view, conjugate)


def _hellinger() -> Divergence:
    def below(x):
        root = 1.0 / x
        return root * root

    view = View(1.0, below, lambda w: 1.0 / jnp.sqrt(w), lambda w: 2.0 * w * jnp.sqrt(w), math.inf)
    return _divergence("hellinger", view, lambda y: y / (1.0 - y), 1.0)


def _reverse_kl() -> Divergence:
    view = View(1.0, lambda x: 1.0 / x, lambda w: 1.0 / w, jnp.square, math.inf)
    return _divergence("reverse-kl", view, lambda y: -jnp.log1p(-y), 1.0)


KL = _kl()
JENSEN_SHANNON = _js()
CHI2 = _chi2()
HELLINGER = _hellinger()
REVERSE_KL = _reverse_kl()


@functools.cache  # equal arguments give the same object, and so the same compiled program
def fermi_dirac(cap: float) -> Divergence:
    """Ratios in (0, cap): f(w) = w log w + (cap - w) log(cap - w), up to the gauge f(1) = f'(1) = 0 (JS-10).

    Raises ``ValueError`` unless 1 < cap < inf: ratios of mean one cannot stay below a smaller cap.
    """
    if not 1.0 < cap < math.inf:
        raise ValueError(f"fermi_dirac: the cap on the ratio must exceed its mean 1, and be finite; got {cap}")
    shift = math.log(cap - 1.0)
    floor = math.log(cap / (cap - 1.0))  # softplus(-shift)
    view = View(
        shift,
        lambda x: cap * jax.nn.sigmoid(-x),
        lambda w: jnp.log((cap - w) / w),
        lambda w: w * jnp.maximum(1.0 - w / cap, 0.0),
        cap,
    )
    return _divergence(f"fermi-dirac({cap:g})", view, lambda y: cap * (jax.nn.softplus(y - shift) - floor))


@functools.cache
def power(alpha: float) -> Divergence:
    """Ratios (1 + y)_+^alpha, f'(w) = w^(1/alpha) - 1: thresholded, signed prioritised replay (KL-09).

    Raises ``ValueError`` unless 0 < alpha < inf.
    """
    if not 0.0 < alpha < math.inf:
        raise ValueError(f"power: the exponent of the ratio must be positive and finite, got {alpha}")

    def raised(t, exponent):
        """t_+^exponent."""
        return jnp.where(t > 0, jnp.where(t > 0, t, 1.0) ** exponent, 0.0)

    view = View(
        -1.0,
        lambda x: raised(-x, alpha),
        lambda w: -raised(w, 1.0 / alpha),
        lambda w: alpha * raised(w, 1.0 - 1.0 / alpha),
        math.inf,
    )

    def conjugate(y):
        return jnp.expm1((1.0 + alpha) * jnp.log1p(jnp.maximum(y, -1.0))) / (1.0 + alpha)

    return _divergence(f"power({alpha:g})", view, conjugate)


@functools.cache
def capped(divergence: Divergence, cap: float) -> Divergence:
    """The generator restricted to ratios w <= cap: f* continued linearly and C1 above f'(cap) (FD-05).

    There is no pole left: a cap is reached before one. Raises ``ValueError`` unless 1 < cap < the largest ratio of
    ``divergence``, which has no larger ones to cap.
    """
    if not 1.0 < cap < divergence.largest_ratio:
        raise ValueError(
            f"capped: expected a cap on the ratio in (1, {divergence.largest_ratio:g}) for {divergence.name}, "
            f"got {cap}; ratios have mean one, so none obeys a cap below it"
        )
    view = divergence.view

    def below(x):
        edge, one = view.distance(jnp.asarray(cap, x.dtype)), view.distance(jnp.ones((), x.dtype))
        inside = x > edge
        return jnp.where(inside, jnp.minimum(view.below(jnp.where(inside, x, one)), cap), cap)

    def conjugate(y):
        edge = divergence.slope(jnp.asarray(cap, y.dtype))
        inside = y < edge
        tangent = divergence.conjugate(edge) + cap * (y - edge)
        return jnp.where(inside, divergence.conjugate(jnp.where(inside, y, 0.0)), tangent)

    seen = view._replace(below=below, curvature=lambda w: jnp.where(w < cap, view.curvature(w), 0.0), largest=cap)
    return _divergence(f"capped({divergence.name}, {cap:g})", seen, conjugate)


def largest_argument(divergence: Divergence, ratio: float) -> float:
    """The cap on arguments, f'(ratio), at which the value loss stops at ratios of ``ratio`` (``value_cap``; FD-05).

    The one way to a cap that suits every generator: below a pole, and at the same largest ratio for all; inf where no
    ratio of the generator is as large, so that there is nothing to continue. Raises ``ValueError`` unless
    1 < ratio < inf and, next to a pole, JAX's default float tells the cap from it.
    """
    if not 1.0 < ratio < math.inf:
        raise ValueError(f"{divergence.name}: expected a largest ratio of the value loss in (1, inf), got {ratio}")
    if ratio >= divergence.largest_ratio:
        return math.inf
    cap = divergence.slope(jnp.asarray(ratio, float))
    if not bool(jnp.isfinite(divergence.ratio(cap))):
        raise ValueError(
            f"{divergence.name}: a largest ratio of {ratio:g} lies closer to the pole at {divergence.supremum:g} than "
            f"{cap.dtype.name} can tell; give a smaller one, for example 1000"
        )
    return float(cap)
