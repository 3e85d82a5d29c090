"""The published recipes once more, in NumPy with running error bounds, transcribed from their formulas.

    roer-published  the public ROER code, revision of 2024-07-16: `gumbel_rescale_loss_per` and `update_priority` with
                    scheme "avg"
    js-note         the snippet of the note on it: `js_divergence_loss` and the priority of its branch "JS"

Nothing here comes from `deep.published`. Derivatives are by hand; an argument exactly at a clip has two.
"""

from __future__ import annotations

import numpy as np
import running_error as re
from running_error import Rounded

LOG_2 = float(np.log(2.0))
JS_MIN, JS_MAX = 0.5, 2.0


def mean(x: Rounded, mass: Rounded) -> Rounded:
    """The mean over a batch whose rows have these masses."""
    return (mass * x).sum() / mass.sum()


def clipped(x: Rounded, low: float, high: float) -> Rounded:
    """x within [low, high]; where it is cut off, its error is cut off as well."""
    value = np.clip(x.value, low, high)
    reach = np.maximum(np.clip(x.value + x.error, low, high) - value, value - np.clip(x.value - x.error, low, high))
    return Rounded(value, reach, x.unit, x.tiny)


def roer_value(value: Rounded, q: Rounded, beta: float, cap: float, mass: Rounded) -> tuple[Rounded, Rounded]:
    """Loss and its derivative in v.

    x = (q - v) / beta, z = min(x, cap); loss = e^z - z - 1; linear = (x - z) (e^z - 1) / beta; norm = mean(max(1, e^z))
    without derivative; the sum of loss and linear over norm, averaged.

    By autodiff the derivative of `linear` below the cap is a difference of two equal numbers, which is kept here for
    its rounding.
    """
    x = (q - value) / beta
    z = re.minimum(x, cap)
    growth = re.exp(z)
    slope = growth - 1.0
    norm = mean(re.maximum(growth, 1.0), mass)
    extension = slope / beta
    loss = growth - z - 1.0 + (x - z) * slope / beta
    inside = x.value < cap
    nothing = extension - extension + (x - z) * growth / beta
    steep = re.where(inside, slope + nothing, extension)
    return (mass * loss).sum() / norm, -(mass * steep / norm) / beta


def roer_weights(
    td_error: Rounded, weight: Rounded, mass: Rounded, beta: float, rate: float, low: float, high: float, floor: float
) -> Rounded:
    """exp_a = clip(exp(td / beta)); exp_a / mean(w exp_a); max((rate exp_a + (1 - rate)) w, floor)."""
    ratio = clipped(re.exp(td_error / beta), low, high)
    ratio = ratio / mean(weight * ratio, mass)
    return re.maximum((rate * ratio + (1.0 - rate)) * weight, floor)


def note_value(value: Rounded, q: Rounded, beta: float, cap: float, mass: Rounded) -> tuple[Rounded, Rounded]:
    """Loss and its derivative in v: z = clip((q - v) / beta, -cap, cap); (softplus(z) - log 2) / mean(max(1/2, sigma)).

    The derivative of softplus is evaluated as exp(z - softplus(z)), as reverse mode does.
    """
    x = (q - value) / beta
    z = clipped(x, -cap, cap)
    soft = re.softplus(z)
    norm = mean(re.maximum(re.logistic(z), 0.5), mass)
    inside = (np.abs(x.value) < cap).astype(np.float64)
    return (mass * (soft - z.constant(LOG_2))).sum() / norm, -(mass * (inside * re.exp(z - soft)) / norm) / beta


def note_weights(td_error: Rounded, beta: float, clip: float) -> Rounded:
    """js_min + sigma(clip(td / beta, -clip, clip)) (js_max - js_min)."""
    return JS_MIN + re.logistic(clipped(td_error / beta, -clip, clip)) * (JS_MAX - JS_MIN)
