"""Functions of one number over the whole line of float32, against high precision; each row names its worst input.

What other files compare on grids, where learners work, is compared here on every so-many-th float32 that there is
(contract/sweeps.py): cancellation and overflow hide between grid points and next to poles, kinks, caps and clips.
"""

import mpmath
import numpy as np
import pytest
import running_error as re
import tolerances_divergences as bounds
import tolerances_replay
from contract import shadow, sweeps
from contract.generators import GENERATORS, VALUE_CAPS, reference_divergence
from contract.problems import DTYPE
from contract.protocol import DIVERGENCES, STEEP_DIVERGENCES
from contract.shadow import exact
from contract.sweeps import N, first, floats, padded, sweep, truth
from running_error import Rounded, maximum, minimum, unit_roundoff

GENERATED = (*DIVERGENCES, *STEEP_DIVERGENCES)
REASON = f"running error analysis in {DTYPE.name} of a form in which nothing cancels"
ABSOLUTE = f"running error analysis in {DTYPE.name}: where terms cancel, roundings of the terms"
ROWS = min(N, 2**12)
"""Of a batch: some learners' steps take room for each pair of rows."""


def within(*functions: np.ndarray) -> np.ndarray:
    """Where float32 can hold all results and what is computed on the way to them: squares, sums of a few."""
    return np.all([np.abs(values) < sweeps.LARGEST for values in functions], axis=0)


def full(value: float) -> np.ndarray:
    return np.full(N, value, DTYPE)


# -- generators -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("divergence", GENERATED)
def test_conjugate(divergence, offered, row):
    """f* below its pole and the derivatives that gradients take: the ratio and, off kinks, the curvature (FD-01)."""
    form, y = sweeps.FORMS[divergence], sweeps.arguments(divergence)
    seen = [first(x, y) for x in offered("conjugate")(divergence, padded(y))]
    value, w = sweeps.conjugates(divergence, y), sweeps.ratios(divergence, y)
    bend = sweeps.bends(divergence, y, w)
    held = np.flatnonzero(within(value, w, bend))
    y, value, w, bend = (x[held] for x in (y, value, w, bend))
    seen = [x[held] for x in seen]
    terms = ABSOLUTE if divergence == "fermi-dirac" else REASON  # a softplus less a constant; w less w^2/C
    k = sweeps.reach(form.conjugate, y)
    reason = f"{terms}; no bound for the last {len(y) - k} floats below the pole" if k < len(y) else terms
    expected, quantity = form.conjugate(exact(y[:k])), f"conjugate ({divergence})"
    sweep(row, "FD-01", quantity, y[:k], seen[0][:k], expected, value[:k], reason, held[:k])
    k = sweeps.reach(form.ratio, y)
    y, w, bend, held, seen = y[:k], w[:k], bend[:k], held[:k], [x[:k] for x in seen]
    at = exact(y)
    ratio = form.ratio(at)
    sweep(row, "FD-01", f"derivative of the conjugate ({divergence})", y, seen[1], ratio, w, REASON, held)
    decided = ~sweeps.near_a_kink(divergence, ratio, y)
    expected = GENERATORS[divergence].bend(at[decided], ratio[decided])
    quantity = f"derivative of the ratio ({divergence})"
    sweep(row, "FD-01", quantity, y[decided], seen[2][decided], expected, bend[decided], terms, held[decided])


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_ratio(divergence, offered, row):
    """The weight (f*)'(min(y, cap)) as a function of delta / beta, relatively exact in its tail; two caps (OCC-01)."""
    form, y = sweeps.FORMS[divergence], sweeps.arguments(divergence)
    last = float(y[sweeps.reach(form.ratio, y) - 1]) if np.isfinite(GENERATORS[divergence].supremum) else np.inf
    for cap in (float(DTYPE.type(VALUE_CAPS[divergence][1])), last):
        y = floats((*sweeps.special(divergence), *([cap] if np.isfinite(cap) else [])))
        seen = first(offered("flow_ratio")(divergence, padded(y), 1.0, cap), y)
        w = sweeps.ratios(divergence, np.minimum(y, cap))
        held = np.flatnonzero(within(w))
        expected = form.ratio(minimum(exact(y[held]), cap))
        quantity = f"ratio of TD errors ({divergence})"
        sweep(row, "FD-05", quantity, y[held], seen[held], expected, w[held], REASON, held)


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_value_gradient(divergence, offered, row):
    """1 - (f*)'(min(z, cap)) as a function of the difference q - v = 2 z, next to the caps and far from them."""
    for cap in VALUE_CAPS[divergence]:
        y = floats((2.0 * cap, *(2.0 * x for x in sweeps.special(divergence))))
        seen = offered("value_gradient")(divergence, full(0.0), padded(y), 2.0, cap, full(1.0))
        z = np.minimum((y / 2.0).astype(DTYPE), cap).astype(np.float64)  # exact, but for half a subnormal
        expected = 1.0 - sweeps.FORMS[divergence].ratio(exact(z))
        values = 1.0 - sweeps.ratios(divergence, z)
        sweep(row, "GUM-04", f"gradient of the value loss ({divergence})", y, seen, expected, values, ABSOLUTE)


@pytest.mark.parametrize("divergence", GENERATED)
def test_slope(divergence, offered, row):
    """f'(w) of every positive ratio that float32 holds with all its digits, and whose inverse it holds."""
    oracle, pole = reference_divergence(divergence), GENERATORS[divergence].supremum
    w = floats((0.5, oracle.largest_ratio) if np.isfinite(oracle.largest_ratio) else (0.5,), low=8.0 * sweeps.TINY)
    w = w[w < oracle.largest_ratio]
    seen = first(offered("slope")(divergence, padded(w)), w)
    values = sweeps.slopes(divergence, w)
    held = np.flatnonzero(within(values))
    bound, reason = bounds.slopes(values[held], w[held], pole if np.isfinite(pole) else 0.0, unit_roundoff(DTYPE))
    sweep(row, "FD-01", f"slope ({divergence})", w[held], seen[held], bound, values[held], reason, held)


# -- the policy -------------------------------------------------------------------------------------------------------


def density(mean, log_std, u) -> tuple[Rounded, np.ndarray]:
    """log pi at tanh(u) in one dimension, with its running error; and where its squares can be held."""
    m, s, x = exact(mean), exact(log_std), exact(u)
    z = (x - m) / re.exp(s)
    return shadow.normal_log_prob(z, s) - shadow.log_tanh_slope(x), within(z.value**2)


@pytest.mark.parametrize("which", ["pre-tanh point", "mean", "log-std"])
def test_squashed_log_density(which, offered, row):
    """log pi as a function of u, of the mean and of the log-std, the others fixed (SAC-14)."""
    place = ("mean", "log-std", "pre-tanh point").index(which)
    low, high = (-40.0, 40.0) if which == "log-std" else (-(2.0**60), 2.0**60)
    y = floats((20.0, -20.0), low, high)
    for others in ((0.0, 0.0, 0.5), (-3.0, -5.0, -2.0), (2.0, 2.0, 7.0)):
        given = [np.full_like(y, x) for x in others]
        given[place] = y

        def quick(x, given=given):
            m, s, u = (x if k == place else np.full_like(x, given[k][0]) for k in range(3))
            cosh = np.logaddexp(u, -u) - np.log(2.0)
            return -0.5 * ((u - m) * np.exp(-s)) ** 2 - s - 0.5 * np.log(2.0 * np.pi) + 2.0 * cosh

        def slow(x, others=others):
            m, s, u = (x if k == place else mpmath.mpf(others[k]) for k in range(3))
            return (
                -(((u - m) / mpmath.exp(s)) ** 2) / 2
                - s
                - mpmath.log(2 * mpmath.pi) / 2
                + 2 * mpmath.log(mpmath.cosh(u))
            )

        expected, bounded = density(*given)
        held = np.flatnonzero(bounded)
        seen = offered("squashed_log_prob")(*(padded(x)[:, None] for x in given))
        values = truth(quick, slow, y)
        quantity = f"tanh-Normal log-density as a function of the {which}"
        sweep(row, "SAC-14", quantity, y[held], first(seen, y)[held], expected[held], values[held], ABSOLUTE, held)


def test_mode(offered, row):
    """tanh of every mean."""
    y = floats()
    seen = offered("squashed_mode")(padded(y)[:, None], np.zeros((N, 1), DTYPE))
    values = truth(np.tanh, mpmath.tanh, y)
    sweep(row, "SAC-14", "deterministic action is tanh of the mean", y, seen, re.tanh(exact(y)), values, REASON)


def test_temperature_gradient(offered, row):
    """-alpha (log pi + H) as a function of log alpha, a scalar: a few of the sweep."""
    y = floats(low=-64.0, high=64.0)
    y = y[np.linspace(0, len(y) - 1, 96).astype(int)]
    log_prob, target = DTYPE.type(-1.75), DTYPE.type(0.5)
    expected = -(re.exp(exact(y)) * (exact(log_prob) + exact(target)))
    values = truth(lambda x: 1.25 * np.exp(x), lambda x: mpmath.mpf(1.25) * mpmath.exp(x), y)
    for k, x in enumerate(y):
        seen = offered("temperature_gradient")(np.asarray(x, DTYPE), log_prob, target)
        at = slice(k, k + 1)
        sweep(row, "SAC-16", "temperature gradient", y[at], seen, expected[at], values[at], REASON)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_surrogate(sign, offered, row):
    """The derivative of PPO's surrogate as a function of the logarithm of the ratio: zero beyond one of the clips."""
    ends = np.log(0.75), np.log(1.25)
    y = floats(ends, high=80.0)
    seen = offered("surrogate")(padded(y), full(0.0), full(sign), full(1.0), 0.25)[1]
    rho = re.exp(exact(y))
    inside = re.positive(1.25 - rho) if sign > 0 else re.positive(rho - 0.75)

    def kept(rho):
        return rho < 1.25 if sign > 0 else rho > 0.75

    values = truth(
        lambda x: np.where(kept(np.exp(x)), -sign * np.exp(x), 0.0),
        lambda x: -sign * mpmath.exp(x) if kept(mpmath.exp(x)) else mpmath.mpf(0),
        y,
        ends,
    )
    name = "good" if sign > 0 else "bad"
    sweep(
        row, "OP-02", f"derivative of the clipped surrogate for {name} actions", y, seen, inside * rho, values, REASON
    )


# -- losses and priorities --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["squared", "huber"])
def test_critic_gradient(loss, implementation, offered, row):
    """q - y and its clip, for both twins at once: of every q, where y is zero and where it is one."""
    width = 0.25 if loss == "huber" else np.inf
    w, m = implementation.rows(np.ones(ROWS, DTYPE), np.ones(ROWS, DTYPE))
    share = float(m[0])
    if loss == "huber":
        gradient, id, quantity, options = offered("huber_gradient"), "CL-01", "critic's Huber loss", (width,)
    else:
        gradient, id, quantity, options = offered("critic_gradient"), "UP-01", "critic loss", ()
    for target in (0.0, 1.0):
        ends = (target - width, target + width) if width < np.inf else ()
        y = floats(ends, -sweeps.LARGEST, sweeps.LARGEST)
        expected = share * minimum(maximum(exact(y) - target, -width), width)
        values = truth(
            lambda x, target=target: share * np.clip(x - target, -width, width),
            lambda x, target=target: share * min(max(x - target, mpmath.mpf(-width)), mpmath.mpf(width)),
            y,
        )
        for k in range(0, len(y), ROWS):
            at = slice(k, min(k + ROWS, len(y)))
            q = np.resize(y[at], ROWS).astype(DTYPE)
            seen = gradient(np.stack([q, q[::-1]]), np.full(ROWS, target, DTYPE), w, m, *options)
            for twin in (np.asarray(seen)[0], np.asarray(seen)[1, ::-1]):
                sweep(row, id, f"gradient of the {quantity}", y[at], twin, expected[at], values[at], REASON)


@pytest.mark.parametrize("rule", ["per", "lap"])
def test_priority(rule, offered, row):
    """(|delta| + eps)^alpha and max(|delta|, width)^alpha as functions of one twin's error, the other's zero."""
    exponent, constant = float(DTYPE.type(0.6)), 2.0**-20 if rule == "per" else 1.0
    y = floats((constant, -constant))
    error = np.stack([padded(y), full(0.0)])
    size = exact(np.abs(y))
    base = size + constant if rule == "per" else maximum(size, constant)

    def shifted(x):
        return abs(x) + constant if rule == "per" else np.maximum(np.abs(x), constant)

    def slow(x):
        return (abs(x) + constant if rule == "per" else max(abs(x), mpmath.mpf(constant))) ** mpmath.mpf(exponent)

    values = truth(lambda x: shifted(x) ** exponent, slow, y)
    seen = offered(f"{rule}_priority")(error, DTYPE.type(exponent), constant)
    id, quantity = f"{rule.upper()}-01", f"priorities of {rule.upper()}"
    sweep(row, id, quantity, y, seen, tolerances_replay.power(base, exponent), values, REASON)
