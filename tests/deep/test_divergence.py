"""What the contract cannot ask of every implementation: construction, errors and caps of the learner's generators."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deep import divergence, losses
from deep.divergence import (
    CHI2,
    HELLINGER,
    JENSEN_SHANNON,
    KL,
    REVERSE_KL,
    capped,
    fermi_dirac,
    largest_argument,
    power,
)

POLES = (JENSEN_SHANNON, HELLINGER, REVERSE_KL)
UNBOUNDED = (KL, CHI2, power(2.0), *POLES)
every = pytest.mark.parametrize("generator", UNBOUNDED, ids=lambda generator: generator.name)
EPS = float(jnp.finfo(jax.dtypes.canonicalize_dtype(float)).eps)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fermi_dirac(1.0), "fermi_dirac: the cap on the ratio must exceed its mean 1"),
        (lambda: fermi_dirac(math.inf), "and be finite; got inf"),
        (lambda: power(0.0), "power: the exponent of the ratio must be positive and finite, got 0"),
        (lambda: capped(KL, 1.0), "capped: expected a cap on the ratio in (1, inf) for kl, got 1"),
        (lambda: capped(fermi_dirac(4.0), 4.0), "in (1, 4) for fermi-dirac(4), got 4"),
        (lambda: largest_argument(KL, 1.0), "kl: expected a largest ratio of the value loss in (1, inf), got 1"),
        (lambda: largest_argument(KL, math.inf), "in (1, inf), got inf"),
        (lambda: largest_argument(REVERSE_KL, 1e20), "closer to the pole at 1 than"),
    ],
)
def test_errors_say_what_was_expected_and_seen(make, message):
    with pytest.raises(ValueError) as seen:  # noqa: PT011 (the message is compared below, verbatim)
        make()
    assert message in str(seen.value)


def test_equal_arguments_give_the_same_object():
    """What was compiled for one serves the other."""
    assert capped(fermi_dirac(8.0), 2.0) is capped(fermi_dirac(8.0), 2.0)
    assert power(1.5) is power(1.5)


@every
@pytest.mark.parametrize("ratio", [1.5, 8.0, 100.0])
def test_value_loss_stops_at_the_largest_ratio(generator, ratio):
    """A cap given as a ratio is obeyed by every generator, above its pole too, and is the capped generator's loss."""
    cap = largest_argument(generator, ratio)
    assert cap < generator.supremum
    z = jnp.asarray([-2.0, 0.0, cap, 2.0 * cap + 1.0, 1e6])
    ones, zero = jnp.ones_like(z), jnp.zeros_like(z)
    other = capped(generator, ratio)
    steepest = float(other.ratio(z[-1]))
    assert steepest == ratio
    mine = losses.value_loss(zero, z, 1.0, generator, cap, ones)
    theirs = losses.value_loss(zero, z, 1.0, other, largest_argument(other, ratio), ones)
    # Next to a pole the rounding of the cap moves the ratio there by the curvature, at most 2 (1 + w)^2.
    moved = 8 * EPS * (1 + ratio) ** 2 * float(z[-1])
    assert math.isfinite(float(mine))
    assert abs(float(mine) - float(theirs)) <= moved + 64 * EPS * float(theirs)


@pytest.mark.parametrize("generator", [fermi_dirac(4.0), capped(KL, 4.0)], ids=lambda generator: generator.name)
def test_bounded_ratios_need_no_cap(generator):
    """The cap is then infinite, and the loss and its gradient finite all the same."""
    cap = largest_argument(generator, 1000.0)
    assert cap == math.inf
    z = jnp.asarray([-1e6, 0.0, 1e6])
    assert np.isfinite(np.asarray(losses.capped_conjugate(generator, z, cap))).all()


@every
def test_a_cap_beyond_every_ratio_changes_nothing(generator):
    """One row carries at most 1/p: a larger cap is never met."""
    z, p = jnp.asarray([0.5, -1.0, 0.25, 9.0]), jnp.asarray([0.25, 0.5, 0.25, 0.0])
    plain, held = generator.relaxed(z, p), capped(generator, 16.0).relaxed(z, p)
    assert np.abs(np.asarray(plain.ratio - held.ratio)).max() <= 64 * EPS
    assert np.asarray(plain.ratio)[3] == np.asarray(plain.ratio)[0]  # a row without mass: that of the largest z


def test_the_tighter_of_two_caps_holds():
    nested = capped(capped(HELLINGER, 4.0), 2.0)
    y = jnp.linspace(-3.0, 3.0, 13)
    assert (nested.ratio(y) == capped(HELLINGER, 2.0).ratio(y)).all()
    assert nested.largest_ratio == 2.0


def test_every_root_of_a_flat_mean_has_the_same_ratios():
    """Half the rows at zero and half at the cap: any multiplier in between serves (chi2 under a cap of two)."""
    generator = capped(CHI2, 2.0)
    ratio, _ = generator.relaxed(jnp.asarray([0.0, 8.0]), jnp.asarray([0.5, 0.5]))
    assert np.array_equal(ratio, [0.0, 2.0])


def test_names():
    assert divergence.KL.multiplier(jnp.zeros(4), jnp.full(4, 0.25)) == 0.0
    names = {KL: "kl", JENSEN_SHANNON: "js", CHI2: "chi2", HELLINGER: "hellinger", REVERSE_KL: "reverse-kl"}
    names |= {fermi_dirac(2.5): "fermi-dirac(2.5)", power(2.0): "power(2)", capped(KL, 2.5): "capped(kl, 2.5)"}
    assert [generator.name for generator in names] == list(names.values())
