"""One test, four ways of running the code under test: eager, jit, vmap, scan.

A test asks for the `variant` fixture, wraps what it tests and calls the result::

    def test_soft_value(variant, row):
        soft_value = variant(losses.soft_value)
        row("SAC-01", "soft value", abs(soft_value(q, log_prob, alpha) - expected), bound, reason)

Arguments and results are pytrees of arrays; close over whatever is static. The test is run once per mode, and errs if
it never calls what it wrapped. Wrapping the same function again in a Hypothesis example costs no second compilation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import rows

MODES = ("eager", "jit", "vmap", "scan")


def transformed(mode: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` as `mode` runs it: the same arguments, the same result."""
    import jax  # here, not above: the cells without JAX load this module too
    import jax.numpy as jnp

    def as_arrays(arguments):
        return jax.tree.map(lambda leaf: leaf if isinstance(leaf, jax.Array) else jnp.asarray(leaf), arguments)

    def eager(*arguments):
        with jax.disable_jit():  # undoes an inner `jax.jit` as well
            return function(*arguments)

    @jax.jit
    def mapped(arguments):
        return jax.vmap(lambda row: function(*row))(arguments)

    def vmap(*arguments):
        twice = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), as_arrays(arguments))
        return jax.tree.map(lambda leaf: leaf[1], mapped(twice))

    @jax.jit
    def scanned(arguments):
        # The arguments are carried, so that the body sees traced values and not constants.
        return jax.lax.scan(lambda carry, _: (carry, function(*carry)), arguments, None, length=2)[1]

    def scan(*arguments):
        return jax.tree.map(lambda leaf: leaf[-1], scanned(as_arrays(arguments)))

    ways = {"eager": eager, "jit": jax.jit(function), "vmap": vmap, "scan": scan}
    if mode not in ways:
        raise ValueError(f"unknown mode {mode!r}; expected one of {', '.join(MODES)}")
    return ways[mode]


class Variant:
    """Wraps functions for one mode and remembers whether any was called."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.calls = 0
        self._wrapped: dict[Callable[..., Any], Callable[..., Any]] = {}

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function` as this mode runs it."""
        if function not in self._wrapped:
            self._wrapped[function] = transformed(self.mode, function)
        run = self._wrapped[function]

        def counted(*arguments):
            self.calls += 1
            return run(*arguments)

        return counted


@pytest.fixture(params=MODES)
def variant(request: pytest.FixtureRequest):
    """One of the four modes; see the module's docstring."""
    wrapper = Variant(request.param)
    yield wrapper
    if wrapper.calls == 0 and rows.passed(request.node):
        pytest.fail("this test asked for `variant` and never called what it wrapped")
