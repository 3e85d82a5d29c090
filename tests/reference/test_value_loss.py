"""Value losses: their slope, their minimiser, and the clipped Gumbel loss; the additive average of weights."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import strategies
from hypothesis import given
from hypothesis import strategies as st
from tolerances import divergence_accuracy, gamma_n

from reference.divergence import KL, Capped, FermiDirac, Hellinger, JensenShannon, PearsonChi2, ReverseKL
from reference.recursion import additive, additive_after
from reference.value_loss import fitted_value, value_loss, value_loss_slope

GENERATORS = (KL(), JensenShannon(), FermiDirac(2.0), PearsonChi2(), Hellinger(), ReverseKL(), Capped(KL(), 4.0))
every_generator = pytest.mark.parametrize("divergence", GENERATORS, ids=repr)


@every_generator
@strategies.few
@given(case=strategies.weighted_data(betas=[0.5, 2.0], scales=[1.0]), step=st.sampled_from([1e-3, 0.1, 2.0]))
def test_chords_lie_between_the_slopes_at_their_ends(row, divergence, case, step):
    """The loss is convex: each chord is at least as steep as at its left end, and at most as at its right (FD-03)."""
    v = fitted_value(case.advantage, case.behavior, case.beta, divergence).value + 0.25 * step
    arguments = (case.behavior, case.beta, divergence)
    left, right = (value_loss(case.advantage, x, *arguments) for x in (v, v + step))
    low, high = (value_loss_slope(case.advantage, x, *arguments) for x in (v, v + step))
    if not math.isfinite(left):
        return
    largest = float(np.abs(case.advantage).max() + abs(v) + step) / case.beta
    unit, reason = divergence_accuracy(1.0 + largest + abs(left) + abs(right) + (abs(low) + abs(high)) * case.beta)
    excess = max(low * step - (right - left), (right - left) - high * step, 0.0)
    bound = (len(case.behavior) + 4.0) * unit * (1.0 + step / case.beta)
    row("FD-03", f"value loss is convex with this slope, {divergence!r}", excess, bound, reason)


@every_generator
@strategies.few
@given(case=strategies.weighted_data(betas=[0.5, 2.0], scales=[1.0]), step=st.sampled_from([1e-3, 0.1, 2.0]))
def test_the_fitted_value_is_the_minimiser(row, divergence, case, step):
    """No v beside it has a smaller loss; the slope changes sign around its interval (FD-03, JS-23)."""
    arguments = (case.behavior, case.beta, divergence)
    found = fitted_value(case.advantage, *arguments)
    here = value_loss(case.advantage, found.value + found.error, *arguments)
    largest = float(np.abs(case.advantage).max() + abs(found.value) + step) / case.beta
    for other in (found.value - step, found.value + step):
        there = value_loss(case.advantage, other, *arguments)
        if not math.isfinite(there):
            continue
        unit, reason = divergence_accuracy(1.0 + largest + abs(there) + abs(here))
        steep = abs(value_loss_slope(case.advantage, found.value + found.error, *arguments)) * 2.0 * found.error
        bound = (len(case.behavior) + 4.0) * unit + steep
        row("FD-03", f"fitted value minimises, {divergence!r}", max(here - there, 0.0), bound, reason)


@strategies.few
@given(z=st.lists(st.floats(-5.0, 12.0), min_size=1, max_size=5), clip=st.sampled_from([0.5, 2.0, 7.0]))
def test_a_capped_generator_is_the_clipped_gumbel_loss(row, z, clip):
    """e^z - z - 1 up to the clip, its tangent beyond (GUM-04), written here from the table."""
    q, law = np.array(z), np.full(len(z), 1.0 / len(z))
    inside = np.minimum(q, clip)
    expected = math.fsum(np.exp(inside) - inside - 1.0 + np.maximum(q - clip, 0.0) * np.expm1(clip)) / len(z)
    seen = value_loss(q, 0.0, law, 1.0, Capped(KL(), math.exp(clip)))
    # the cap is a rounded e^clip: a unit of it moves the tail by its length, and the edge by nothing to first order
    scale = 1.0 + float(np.abs(q).max() + 1.0) * math.exp(clip)
    unit, reason = divergence_accuracy(scale)
    row("GUM-04", "clipped Gumbel loss", abs(seen - expected), (len(z) + 6.0) * unit, reason)


def test_losses_beyond_a_pole_are_infinite(row):
    q, law = np.array([0.0, 1.0]), np.array([0.5, 0.5])
    beyond = value_loss(q, 0.0, law, 1.0, JensenShannon()), value_loss_slope(q, 0.0, law, 1.0, JensenShannon())
    row.exact("JS-23", "barrier of the value loss", beyond == (math.inf, -math.inf), f"{beyond}")
    found = fitted_value(np.log([1.0, 1.8]), law, 1.0, JensenShannon())
    bound, reason = found.error + gamma_n(4), "its own error, and q = (0, log 9/5) rounded"
    row("JS-23", "v = log(3/2)", abs(found.value - math.log(1.5)), bound, reason)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"v": math.nan}, "expected a finite v"),
        ({"beta": 0.0}, "a beta > 0"),
        ({"behavior": np.zeros(2)}, "at least one of them positive"),
        ({"q": np.array([0.0, math.inf])}, "q: expected finite values"),
    ],
)
def test_bad_arguments_are_refused(change, message):
    arguments = {"q": np.zeros(2), "v": 0.0, "behavior": np.ones(2), "beta": 1.0, "divergence": KL(), **change}
    with pytest.raises(ValueError, match=message):
        value_loss(**arguments)


@strategies.few
@given(
    pairs=st.lists(st.tuples(st.floats(0.0, 50.0), st.floats(0.0, 50.0)), min_size=1, max_size=5),
    rate=st.floats(1e-3, 1.0),
    updates=st.integers(0, 12),
)
def test_the_additive_average_against_fractions(row, pairs, rate, updates):
    """PRI-02: step by step and in closed form, against the recursion in exact fractions."""
    weights, ratio = (np.array(column) for column in zip(*pairs, strict=True))
    exact, stepped = [Fraction(p) for p, _ in pairs], weights
    for _ in range(updates):
        exact = [
            (1 - Fraction(rate)) * p + Fraction(rate) * Fraction(w) for p, (_, w) in zip(exact, pairs, strict=True)
        ]
        stepped = additive(stepped, ratio, rate)
    largest = float(max(weights.max(), ratio.max(), np.finfo(float).tiny))
    for name, seen in (("stepped", stepped), ("closed form", additive_after(weights, ratio, rate, updates))):
        error = max(float(abs(Fraction(float(s)) - e)) for s, e in zip(seen, exact, strict=True))
        bound = gamma_n(4 * updates + 6) * 2.0 * largest + 4.0 * np.finfo(float).smallest_subnormal * (updates + 1)
        row(
            "PRI-02", f"additive average, {name}", error, bound, "four roundings for each update, of the largest weight"
        )


def test_a_rate_outside_its_range_is_refused():
    for rate in (0.0, -0.1, 1.5, math.nan):
        with pytest.raises(ValueError, match=r"expected a rate in \(0, 1\]"):
            additive(np.ones(2), np.ones(2), rate)
    with pytest.raises(ValueError, match="expected updates >= 0"):
        additive_after(np.ones(2), np.ones(2), 0.5, -1)
