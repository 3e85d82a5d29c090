"""Comparisons that every contract test makes: arrays against running error bounds, and against reported ones."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from contract.problems import DTYPE
from hypothesis import settings
from running_error import Rounded

REASON = f"running error analysis of the formula in {DTYPE.name}"
EPS = float(np.finfo(DTYPE).eps)
QUANTITIES = {
    "critic": "critic after the update",
    "target": "target critic after the update",
    "logits": "policy after the update",
    "value": "value after the update",
    "log_alpha": "temperature after the update",
}
"""What the fields of `Tables` are called in rows."""


def agree(row, id: str, quantity: str, seen: Any, expected: Rounded, reason: str = REASON, where: Any = ...) -> None:
    """Require that what was computed lies within the running error bound of what was expected."""
    __tracebackhide__ = True
    seen = np.asarray(seen, dtype=np.float64)
    if seen.shape != expected.shape:
        row.exact(id, quantity, False, f"expected shape {expected.shape}, saw {seen.shape}")
    values = seen[where], expected.value[where]
    row(id, quantity, np.abs(seen - expected.value)[where], expected.error[where], reason, values)


def examples(share: float) -> settings:
    """The profile's number of examples, scaled for tests whose one example costs more or less than most."""
    if jax.config.jax_disable_jit:
        share /= 5  # an update costs its thousand operations one by one
    return settings(max_examples=max(2, round(settings().max_examples * share)))


iterates = pytest.mark.skipif(
    bool(jax.config.jax_disable_jit), reason="thousands of updates in a row: the cells with jit run this row"
)
