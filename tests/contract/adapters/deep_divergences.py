"""The generators of `deep` behind the contract's adapter protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from deep.divergence import Divergence


class Functions(NamedTuple):
    """Functions of the protocol, each of a generator's name and arrays."""

    conjugate: Callable[..., Any]
    slope: Callable[..., Any]
    relaxed: Callable[..., Any]


def functions(divergences: dict[str | None, Divergence | None], compiled: Callable[..., Any]) -> Functions:
    """One compilation for each generator and shape, through `compiled`."""

    def conjugate(name, y):
        generator = divergences[name]

        def curve(y):
            value, ratio = jax.value_and_grad(generator.conjugate)(y)
            return value, ratio, jax.grad(generator.ratio)(y)

        return jax.vmap(curve)(y)

    def slope(name, w):
        return divergences[name].slope(w)

    def relaxed(name, z, law):
        def solution(z):
            ratio, multiplier = divergences[name].relaxed(z, law)
            return multiplier, ratio

        (multiplier, ratio), derivative = jax.value_and_grad(solution, has_aux=True)(z)
        return ratio, multiplier, derivative

    return Functions(*(compiled(function, static_argnums=0) for function in (conjugate, slope, relaxed)))
