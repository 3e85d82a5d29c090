"""Running error analysis of what the on-policy rows compute beside plain arithmetic; see `running_error`."""

from __future__ import annotations

import math

import numpy as np
from running_error import Rounded

SMALLEST_DEVIATION = 1e-8
"""What is added to the deviation of advantages: part of the formula, as PPO's published implementations have it."""


def square_root(x: Rounded) -> Rounded:
    """sqrt is rounded correctly (IEEE 754), and |sqrt(y) - sqrt(x)| <= |y - x| / (sqrt(x) + sqrt(x - error))."""
    root, lowest = np.sqrt(x.value), np.sqrt(np.maximum(x.value - x.error, 0.0))
    return x._new(root, x.error / np.maximum(root + lowest, x.tiny))


def log_two_pi(like: Rounded) -> Rounded:
    """log(2 pi), which the type under test has to round."""
    return like.constant(math.log(2.0 * math.pi))
