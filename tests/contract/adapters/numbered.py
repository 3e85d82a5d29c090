"""Transitions that say their own number, for the adapters of replay buffers."""

from __future__ import annotations

import numpy as np


def fields(number: float) -> tuple[list[float], list[float], float, list[float], float]:
    """(state, action, reward, next state, terminated) of transition `number`, no field passing for another."""
    return (
        [number, number + 0.25],
        [-float(number)],
        number + 0.5,
        [number + 1.0, number + 1.25],
        float(number % 2),
    )


def row(number: float) -> np.ndarray:
    """The fields in one row."""
    return np.concatenate([np.ravel(field) for field in fields(number)])
