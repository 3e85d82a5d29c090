"""Every so-many-th float32 of the whole line as arguments, and what functions of one of them must be.

`floats` walks through bit patterns, so that every binade counts alike, subnormals and the largest numbers included, and
has a finer walk where learners work. Both strides are odd: all bits of the significand vary. Numbers next to zero, to
poles, kinks, caps and clips are all there. Nothing is drawn at random: a sweep always says the same.

Functions of a generator come with bounds (running error analysis of forms in which, but for the sigmoid's conjugate
and curvature, nothing cancels) and with the truth: in float64 for float32, where `ACCURACY` bounds the truth's own
error, and from mpmath for float64.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import exact_generators
import mpmath
import numpy as np
import running_error as re
from contract.generators import CAPS, EXPONENTS, GENERATORS, LOG_2, reference_divergence
from contract.problems import DTYPE
from contract.protocol import FERMI_DIRAC_CAP
from contract.shadow import exact
from running_error import Rounded

from reference.rounding import UNIT_ROUNDOFF

SINGLE = np.float32 == DTYPE
N = 2**17 if SINGLE else 2**10
"""Numbers of a sweep: one shape, one compilation. In float64 the truth takes fifty digits, so they are few."""
THIN = 1 if SINGLE else 2**8
WALK, FINE = 65537 * THIN, 4099 * THIN
"""Strides through the bit patterns of all finite float32, and of those of 2^-10 to 2^6."""
DIGITS = 120
"""Of mpmath: fifty remain where e^y - 1 cancels the 45 digits above the smallest float32."""
ACCURACY = 2.0**-40 if SINGLE else UNIT_ROUNDOFF
"""Relative error of a truth: of a float64 formula, held against mpmath on `some`; of mpmath, rounded once."""
LARGEST = float(np.finfo(np.float32).max) / 8.0
TINY = float(np.finfo(np.float32).tiny)
FLUSHED = 2.0**8 * float(np.finfo(DTYPE).tiny)
"""Bounds below this say more of subnormal numbers, which processors may flush to zero, than of roundings."""
OWN = 1.0 + UNIT_ROUNDOFF / re.unit_roundoff(DTYPE)
"""The value in the middle of a running error bound is rounded too, to float64."""


def _from_bits(bits: np.ndarray) -> np.ndarray:
    return bits.astype(np.uint32).view(np.float32).astype(np.float64)


def around(points, steps: int = 4) -> np.ndarray:
    """The points, rounded to the precision under test, and the next numbers on both sides of each."""
    found = [np.asarray(points, DTYPE)]
    for direction in (np.inf, -np.inf):
        last = found[0]
        for _ in range(steps):
            last = np.nextafter(last, DTYPE.type(direction))
            found.append(last)
    return np.concatenate(found).astype(np.float64)


@functools.cache
def _line() -> np.ndarray:
    """Both walks, with both signs; not to be written to."""
    top, ends = (np.array([x], np.float32).view(np.uint32)[0] for x in (np.finfo(np.float32).max, 2.0**-10))
    walk = _from_bits(np.arange(0, int(top) + 1, WALK))
    fine = _from_bits(np.arange(int(ends), int(ends) + 16 * 2**23, FINE))
    subnormal = _from_bits(np.array([0, 1, 2, 3, 4, 2**22, 2**23 - 1, 2**23, 2**23 + 1]))
    sized = np.concatenate([walk, fine, subnormal, _from_bits(np.array([top]))])
    return np.concatenate([sized, -sized])


def _ascending(x: np.ndarray) -> np.ndarray:
    """The numbers in order, each once; `np.unique` hashes them, which takes ten times as long."""
    x = np.sort(x + 0.0)
    return x[np.concatenate([[True], x[1:] > x[:-1]])]


def floats(special=(), low: float = -np.inf, high: float = np.inf) -> np.ndarray:
    """At most N numbers of the closed interval, ascending: both walks, and the neighbours of the special points."""
    y = _ascending(np.concatenate([_line(), around([-1.0, 1.0, *special])]))
    y = y[(y >= low) & (y <= high)]
    assert 0 < len(y) <= N, f"a sweep of {len(y)} numbers does not fit into {N}"
    return y


def padded(y: np.ndarray) -> np.ndarray:
    """The numbers in the precision under test, repeated to the one shape."""
    return np.resize(y, N).astype(DTYPE)


def some(y: np.ndarray, special=()) -> np.ndarray:
    """Which of the numbers the truth is held against mpmath on: a few hundred, those next to special points included.

    Each once, though it be repeated among the numbers, as where a cap ends them.
    """
    spread = np.linspace(0, len(y) - 1, min(len(y), 256)).round().astype(int)
    at = np.concatenate([spread, np.flatnonzero(np.isin(y, around([0.0, -1.0, 1.0, *special])))])
    return at[np.unique(y[at], return_index=True)[1]]


def precisely(function: Callable[[mpmath.mpf], mpmath.mpf], y: np.ndarray) -> np.ndarray:
    """The function at each of the numbers, correctly rounded to float64 but for subnormals."""
    with mpmath.workdps(DIGITS):
        return np.array([float(function(mpmath.mpf(float(x)))) for x in y])


def truth(quick: Callable[[np.ndarray], np.ndarray], slow, y: np.ndarray, special=()) -> np.ndarray:
    """The exact values: in float64, held against mpmath on `some` and on the special points' neighbours."""
    if not SINGLE:
        return precisely(slow, y)
    with np.errstate(over="ignore", under="ignore"):
        values = np.asarray(quick(y), np.float64)
    at = some(y, special)
    at = at[np.abs(values[at]) < LARGEST]
    expected = precisely(slow, y[at])
    error = np.abs(values[at] - expected)
    wrong = ~(error <= ACCURACY * np.abs(expected) + TINY * UNIT_ROUNDOFF)
    assert not wrong.any(), (
        f"the test's own float64 truth is not accurate: {values[at][wrong][:4]} at {y[at][wrong][:4]}, "
        f"mpmath has {expected[wrong][:4]}"
    )
    return values


def first(seen, y: np.ndarray) -> np.ndarray:
    """What was seen at the numbers themselves, without the padding."""
    return np.asarray(seen, np.float64).reshape(-1)[: len(y)]


def sweep(row, id: str, quantity: str, y: np.ndarray, seen, bound, values, reason: str, held=None) -> None:
    """Require that what was seen lies within the bound around the truth; the row says at which input it is worst.

    `held` are the places of these numbers in what the last call returned, if they are not its first: an entry's place
    is kept, so that a survey can tell which number of that call was worst. Values next to zero are a row of their own:
    there a bound counts the smallest numbers, everywhere else roundings.
    """
    __tracebackhide__ = True
    seen = first(seen, y)
    held = np.arange(len(y)) if held is None else held
    bound = OWN * (bound.error if isinstance(bound, Rounded) else bound) + ACCURACY * np.abs(values)
    with np.errstate(invalid="ignore"):
        error = np.abs(seen - values)
    tail = bound < FLUSHED
    for place, kept in (("over a sweep", ~tail), ("over a sweep, next to zero", tail)):
        if not kept.any():
            continue

        def placed(numbers: np.ndarray, kept=kept) -> np.ndarray:
            """The numbers that are kept, each in its place; others are the first of them, without an error."""
            array = np.full(held.max() + 1, numbers[kept][0])
            array[held[kept]] = numbers[kept]
            return array

        wrong = np.zeros(held.max() + 1)
        wrong[held[kept]] = error[kept]
        shown = placed(seen), placed(values)
        row(id, f"{quantity}, {place}", wrong, placed(bound), reason, shown, at=placed(y))


# -- generators -------------------------------------------------------------------------------------------------------


class Form(NamedTuple):
    """The ratio and the conjugate of a generator; but in the sigmoid's conjugate, nothing cancels in them."""

    ratio: Callable[[Rounded], Rounded]
    conjugate: Callable[[Rounded], Rounded]


def _bose_einstein(y: Rounded) -> Rounded:
    """1 / expm1(log 2 - y): next to the pole the rounding of log 2 is what is felt; 700 below it the ratio is zero."""
    return 1.0 / re.expm1(y.constant(LOG_2) - re.maximum(y, -700.0))


def _sigmoid(y: Rounded) -> Rounded:
    """cap / (1 + e^-x); where |x| = 700 it is at an end of its range."""
    x = re.maximum(re.minimum(y, 700.0), -700.0) - y.constant(float(np.log(FERMI_DIRAC_CAP - 1.0)))
    growth = re.exp(re.minimum(x, -x))
    return FERMI_DIRAC_CAP * (re.where(x.value > 0, growth.ones(), growth) / (1.0 + growth))


def _power(exponent: float) -> Callable[[Rounded], Rounded]:
    def conjugate(y: Rounded) -> Rounded:
        inside = y.value > -1.0
        held = re.expm1((1.0 + exponent) * re.log1p(re.where(inside, y, 0.0)))
        return re.where(inside, held, -1.0) / (1.0 + exponent)

    return conjugate


def _capped(cap: float) -> Form:
    def below(y: Rounded) -> Rounded:
        return re.minimum(y, y.constant(1.0 - 1.0 / cap))

    return Form(
        lambda y: re.minimum(1.0 / (1.0 - below(y)), cap),
        lambda y: cap * re.maximum(y - y.constant(1.0 - 1.0 / cap), 0.0) - re.log1p(-below(y)),
    )


FORMS = {name: Form(generator.ratio, generator.conjugate) for name, generator in GENERATORS.items()}
FORMS["js"] = Form(_bose_einstein, lambda y: -re.log1p(-re.expm1(y)))
FORMS["fermi-dirac"] = FORMS["fermi-dirac"]._replace(ratio=_sigmoid)
FORMS["reverse-kl"] = FORMS["reverse-kl"]._replace(conjugate=lambda y: -re.log1p(-y))
FORMS |= {name: FORMS[name]._replace(conjugate=_power(exponent)) for name, exponent in EXPONENTS.items()}
FORMS |= {name: _capped(cap) for name, cap in CAPS.items()}


def special(name: str) -> tuple[float, ...]:
    """Where a generator's functions of y do something: pole, kink, edge of the cap, middle of the sigmoid."""
    generator = GENERATORS[name]
    ends = tuple(x for x in (generator.supremum, generator.edge) if np.isfinite(x))
    return (*ends, float(np.log(FERMI_DIRAC_CAP - 1.0))) if name == "fermi-dirac" else ends


def arguments(name: str) -> np.ndarray:
    """Arguments below the pole of a generator, if it has one."""
    y = floats(special(name))
    return y[y < GENERATORS[name].supremum]


def reach(form: Callable[[Rounded], Rounded], y: np.ndarray) -> int:
    """How many of the ascending arguments a form has a bound for: next to a pole its last rounding may decide."""

    def bounded(k: int) -> bool:
        try:
            form(exact(y[k : k + 1]))
        except ZeroDivisionError:
            return False
        return True

    low, high = 0, len(y)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if bounded(middle) else (low, middle)
    return low


def ratios(name: str, y: np.ndarray) -> np.ndarray:
    """(f*)'(y)."""
    oracle = reference_divergence(name)
    return truth(oracle.ratio, functools.partial(exact_generators.ratio, oracle), y, special(name))


def conjugates(name: str, y: np.ndarray) -> np.ndarray:
    """f*(y)."""
    oracle = reference_divergence(name)
    return truth(oracle.conjugate, functools.partial(exact_generators.conjugate, oracle), y, special(name))


def bends(name: str, y: np.ndarray, w: np.ndarray) -> np.ndarray:
    """(f*)''(y) off kinks, from the ratio; of the sigmoid from e^-|x|, as 1 - w/C would cancel."""
    if name == "fermi-dirac":
        growth = np.exp(-np.abs(y - np.log(FERMI_DIRAC_CAP - 1.0)))
        return FERMI_DIRAC_CAP * growth / (1.0 + growth) ** 2
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        return np.where(w > 0, reference_divergence(name).curvature(w), 0.0)


def near_a_kink(name: str, ratio: Rounded, y: np.ndarray) -> np.ndarray:
    """Where rounding decides on which side of the generator's kink the argument lies."""
    generator = GENERATORS[name]
    if np.isfinite(generator.edge):  # the reciprocal that is capped is as uncertain as the ratio, by twice at most
        free = 1.0 / np.maximum(1.0 - y, TINY)
        return np.abs(free - CAPS[name]) <= 2.0 * ratio.error.max()
    return (ratio.value == 0.0) & (y == -1.0)


def slopes(name: str, w: np.ndarray) -> np.ndarray:
    """f'(w)."""
    oracle = reference_divergence(name)
    return truth(oracle.f_prime, functools.partial(exact_generators.slope, oracle), w)
