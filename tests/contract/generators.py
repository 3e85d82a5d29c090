"""The generators of f-divergences (FD-01) as the contract checks them: with error bounds, in float64, and in reference.

`GENERATORS` holds each function in forms whose rounding matches how it can be computed; `reference_divergence` is the
oracle's object; `VALUE_CAPS` are arguments at which the value loss is continued linearly, below every pole.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import running_error as re
from contract.protocol import FAR_CAP, FERMI_DIRAC_CAP, POWER_EXPONENT, RATIO_CAP, STEEP_EXPONENT
from running_error import Rounded

from reference.divergence import Capped, Divergence, ReverseKL, divergence_from_name

Arrays = Callable[[np.ndarray], np.ndarray]
LOG_2 = float(np.log(2.0))
EXPONENTS = {"power": POWER_EXPONENT, "power-steep": STEEP_EXPONENT}
CAPS = {"capped": RATIO_CAP, "capped-far": FAR_CAP}


class Generator(NamedTuple):
    """One generator, each function in the form whose rounding matches how it can be computed.

    ratio        (f*)'(y) as evaluated directly
    slope        (f*)'(y) as the reverse pass of f* evaluates it (through expm1 and log1p: absolute, not relative,
    errors)
    conjugate    f*(y), with absolute errors of the size of its terms
    bend         (f*)''(y) from y and the ratio there
    value        (f*)'(y) in float64;  curvature  (f*)''(y) in float64;  inverse  f'(w) in float64
    supremum     f'(inf) where ratios are unbounded;  edge  f' at the cap of the ratios, where there is one
    """

    ratio: Callable[[Rounded], Rounded]
    slope: Callable[[Rounded], Rounded]
    conjugate: Callable[[Rounded], Rounded]
    bend: Callable[[Rounded, Rounded], Rounded]
    value: Arrays
    curvature: Arrays
    inverse: Arrays
    supremum: float = np.inf
    edge: float = np.inf


@functools.cache
def reference_divergence(name: str) -> Divergence:
    """The generator of this name in `reference`."""
    if name in CAPS:
        return Capped(ReverseKL(), CAPS[name])
    if name in EXPONENTS:
        return divergence_from_name("power", alpha=EXPONENTS[name])
    return divergence_from_name(name, FERMI_DIRAC_CAP if name == "fermi-dirac" else None)


def _kl_slope(y: Rounded) -> Rounded:
    return re.expm1(y) + 1.0


def _js_ratio(y: Rounded) -> Rounded:
    growth = re.exp(y)
    return growth / (2.0 - growth)


def _js_slope(y: Rounded) -> Rounded:
    growth = re.expm1(y)
    return (growth + 1.0) / (1.0 - growth)


_FD_SHIFT = float(np.log(FERMI_DIRAC_CAP - 1.0))
_FD_FLOOR = float(np.log(FERMI_DIRAC_CAP / (FERMI_DIRAC_CAP - 1.0)))


def _fd_slope(y: Rounded) -> Rounded:
    x = y - y.constant(_FD_SHIFT)
    return FERMI_DIRAC_CAP * re.exp(x - re.softplus(x))


def _fd_conjugate(y: Rounded) -> Rounded:
    return FERMI_DIRAC_CAP * (re.softplus(y - y.constant(_FD_SHIFT)) - y.constant(_FD_FLOOR))


def _fd(y: np.ndarray) -> np.ndarray:
    return FERMI_DIRAC_CAP / (1.0 + np.exp(-(y - _FD_SHIFT)))


def _chi2_ratio(y: Rounded) -> Rounded:
    return re.maximum(1.0 + y, 0.0)


def _chi2_conjugate(y: Rounded) -> Rounded:
    kept = re.maximum(y, -1.0)
    return kept + 0.5 * (kept * kept)


def _hellinger_ratio(y: Rounded) -> Rounded:
    return 1.0 / ((1.0 - y) * (1.0 - y))


def _hellinger_slope(y: Rounded) -> Rounded:
    return 1.0 / (1.0 - y) + y / ((1.0 - y) * (1.0 - y))


def _reverse_kl_ratio(y: Rounded) -> Rounded:
    return 1.0 / (1.0 - y)


def _raised(t: Rounded, exponent: float) -> Rounded:
    """t_+^exponent: monotone, so that its ends enclose it; evaluated as exp(exponent log t), or better."""
    low, value, high = (np.maximum(x, 0.0) ** exponent for x in (t.value - t.error, t.value, t.value + t.error))
    size = exponent * np.abs(np.log(np.where(t.value > 0, t.value, 1.0)))
    roundings = 2 * re.ULPS["expm1"] + (2 * re.ULPS["log1p"] + re.ROUNDINGS) * size
    return t._new(value, np.maximum(high - value, value - low), roundings)


def _power(exponent: float) -> Generator:
    def ratio(y: Rounded) -> Rounded:
        return _raised(1.0 + y, exponent)

    def bend(_: Rounded, w: Rounded) -> Rounded:
        held = re.where(w.value > 0, w, 1.0)
        steep = _raised(held, 1.0 - 1.0 / exponent) if exponent >= 1 else 1.0 / _raised(held, 1.0 / exponent - 1.0)
        return exponent * re.where(w.value > 0, steep, 0.0)

    return Generator(
        ratio,
        ratio,
        lambda y: (_raised(1.0 + y, 1.0 + exponent) - 1.0) / (1.0 + exponent),
        bend,
        lambda y: np.maximum(1.0 + y, 0.0) ** exponent,
        lambda y: np.where(y > -1.0, exponent * np.where(y > -1.0, 1.0 + y, 1.0) ** (exponent - 1.0), 0.0),
        lambda w: w ** (1.0 / exponent) - 1.0,
    )


def _capped(cap: float) -> Generator:
    """Reverse KL on ratios up to `cap`."""
    edge = 1.0 - 1.0 / cap

    def ratio(y: Rounded) -> Rounded:
        return re.minimum(_reverse_kl_ratio(re.minimum(y, edge)), cap)

    return Generator(
        ratio,
        ratio,
        lambda y: cap * re.maximum(y - edge, 0.0) - re.log(1.0 - re.minimum(y, edge)),
        lambda y, w: re.where(y.value < edge, w * w, 0.0),
        lambda y: 1.0 / (1.0 - np.minimum(y, edge)),
        lambda y: np.where(y <= edge, (1.0 - np.minimum(y, edge)) ** -2.0, 0.0),
        lambda w: 1.0 - 1.0 / w,
        edge=edge,
    )


GENERATORS = {
    "kl": Generator(re.exp, _kl_slope, re.expm1, lambda _, w: w, np.exp, np.exp, np.log),
    "js": Generator(
        _js_ratio,
        _js_slope,
        lambda y: -re.log(1.0 - re.expm1(y)),
        lambda _, w: w * (1.0 + w),
        lambda y: np.exp(y) / (2.0 - np.exp(y)),
        lambda y: 2.0 * np.exp(y) / (2.0 - np.exp(y)) ** 2,
        lambda w: np.log(2.0 * w / (w + 1.0)),
        LOG_2,
    ),
    "fermi-dirac": Generator(
        _fd_slope,
        _fd_slope,
        _fd_conjugate,
        lambda _, w: w * (1.0 - w / FERMI_DIRAC_CAP),
        _fd,
        lambda y: _fd(y) * (1.0 - _fd(y) / FERMI_DIRAC_CAP),
        lambda w: np.log(w / (FERMI_DIRAC_CAP - w)) + _FD_SHIFT,
    ),
    "chi2": Generator(
        _chi2_ratio,
        _chi2_ratio,
        _chi2_conjugate,
        lambda _, w: re.positive(w),
        lambda y: np.maximum(1.0 + y, 0.0),
        lambda y: np.where(y > -1.0, 1.0, 0.0),
        lambda w: w - 1.0,
    ),
    "hellinger": Generator(
        _hellinger_ratio,
        _hellinger_slope,
        lambda y: y / (1.0 - y),
        lambda _, w: 2.0 * _raised(w, 1.5),
        lambda y: (1.0 - y) ** -2.0,
        lambda y: 2.0 * (1.0 - y) ** -3.0,
        lambda w: 1.0 - w**-0.5,
        1.0,
    ),
    "reverse-kl": Generator(
        _reverse_kl_ratio,
        _reverse_kl_ratio,
        lambda y: -re.log(1.0 - y),
        lambda _, w: w * w,
        lambda y: 1.0 / (1.0 - y),
        lambda y: (1.0 - y) ** -2.0,
        lambda w: 1.0 - 1.0 / w,
        1.0,
    ),
    **{name: _power(exponent) for name, exponent in EXPONENTS.items()},
    **{name: _capped(cap) for name, cap in CAPS.items()},
}

VALUE_CAPS = {
    "kl": (0.5, 7.0),
    "js": (0.25, 0.5),
    "fermi-dirac": (0.5, 7.0),
    "chi2": (0.5, 7.0),
    "hellinger": (0.25, 0.625),
    "reverse-kl": (0.25, 0.75),
    "power": (0.5, 7.0),
    "capped": (0.5, 7.0),
}
