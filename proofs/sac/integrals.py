"""Rigorous integrals over the real line in balls: Arb's adaptive quadrature, with the tails bounded by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flint import acb, arb

from proofs import balls

REACH = 14
"""Where the integrals are cut off; the normal law has less than 1e-43 beyond."""


def integral(function: Callable[[Any], Any], low: Any, high: Any) -> arb:
    """The integral of a function that is holomorphic near the interval, as a real ball at the current precision."""
    return acb.integral(lambda x, _: function(x), acb(low), acb(high)).real


def normal_density(x: Any) -> Any:
    """The standard normal density of a complex ball."""
    return (-x * x / 2).exp() / (2 * acb.pi()).sqrt()


def normal_law(x: Any) -> Any:
    """The standard normal distribution function of a complex ball."""
    return (1 + (x / acb(2).sqrt()).erf()) / 2


def tail() -> arb:
    """The mass of the standard normal law beyond REACH, on one side."""
    return (balls.ball(REACH) / balls.ball(2).sqrt()).erfc() / 2


def expectation_of_law(distribution: Callable[[Any], Any], factor: int) -> arb:
    """E of a variable with this distribution function G, as the integral of 1 - G over x > 0 less that of G over x < 0.

    `factor` bounds 1 - G(x) and G(-x) by factor times the normal tail beyond REACH, whose integral is below the tail.
    """
    right = integral(lambda x: 1 - distribution(x), 0, REACH)
    left = integral(distribution, -REACH, 0)
    rest = factor * tail()
    return right - left + (-rest).union(rest)
