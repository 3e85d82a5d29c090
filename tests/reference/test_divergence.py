"""`reference.divergence` against formulas evaluated in mpmath at 80 digits, over the whole of each domain."""

import math

import exact_generators as exact
import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import few
from tolerances import divergence_accuracy, forty_digits

from reference.divergence import KL, LOG_2, DomainError, FermiDirac, JensenShannon, divergence_from_name

CAPS = (1.0 + 2.0**-40, 1.01, 1.75, 2.0, 3.0, 100.0, 1e8)
GENERATORS = [KL(), JensenShannon(), *(FermiDirac(cap) for cap in CAPS)]
every_generator = pytest.mark.parametrize("generator", GENERATORS, ids=repr)

# Every scale from the smallest normal float to the largest, both sides of 1, and its immediate neighbours
RATIOS = np.array(
    sorted(
        {10.0**k for k in range(-307, 308, 9)}
        | {1.0 + s * 2.0**-k for k in range(1, 53) for s in (-1.0, 1.0)}
        | {1.0 + s * k / 32.0 for k in range(24) for s in (-1.0, 1.0)}
        | {2.0, 3.0, 10.0}
    )
)
ARGUMENTS = np.array(
    sorted(
        {s * 2.0**-k for k in range(-9, 60) for s in (-1.0, 1.0)}
        | {LOG_2 - 2.0**-k for k in range(1, 54)}
        | {k / 16.0 for k in range(-64, 65)}
        | {-700.0, 0.0, 705.0, LOG_2, math.nextafter(LOG_2, 0.0)}
    )
)


def ratios_of(generator, span=np.inf):
    """RATIOS in the domain of f, within a factor `span` of one."""
    points = RATIOS[(span > RATIOS) & (1.0 / span < RATIOS)]
    return points[points <= generator.largest_ratio]


def arguments_of(generator, size=np.inf):
    """ARGUMENTS below the supremum, smaller than `size`."""
    points = ARGUMENTS[np.abs(ARGUMENTS) < size]
    return points[points <= generator.supremum]


@pytest.fixture(autouse=True)
def digits():
    # at w = 1 +- 2^-52 the double zero of f costs 32 digits; forty are asked for on top
    with mpmath.workdps(80):
        yield


def compare(row, id, quantity, exact_function, generator, points, seen):
    for point, value in zip(points, seen, strict=True):
        true = exact_function(generator, mpmath.mpf(float(point)))
        bound, reason = divergence_accuracy(float(true))
        row(id, f"{quantity} of {generator!r}", float(abs(mpmath.mpf(float(value)) - true)), bound, reason)


@every_generator
def test_generator_and_slope_at_every_scale(row, generator):
    """FD-01, columns f and f': no digits are lost at w = 1, at 0, or at the cap."""
    points = ratios_of(generator)
    finite = points[representable(generator, points)]
    compare(row, "FD-01", "generator", exact.generator, generator, finite, generator.f(finite))
    inside = points[points < generator.largest_ratio]
    compare(row, "FD-01", "slope", exact.slope, generator, inside, generator.f_prime(inside))


def representable(generator, points):
    """Where f is below the largest float."""
    largest = mpmath.mpf(float(np.finfo(np.float64).max))
    return np.array([exact.generator(generator, mpmath.mpf(float(w))) < largest for w in points])


@every_generator
def test_conjugate_and_ratio_at_every_scale(row, generator):
    """FD-01, columns f* and (f*)': accurate from -700 to the very last float below the supremum."""
    points = arguments_of(generator)
    compare(row, "FD-01", "conjugate", exact.conjugate, generator, points, generator.conjugate(points))
    compare(row, "FD-01", "ratio", exact.ratio, generator, points, generator.ratio(points))


@every_generator
def test_fenchel_young(row, generator):
    """f(w) + f*(y) >= w y, with equality at w = (f*)'(y) (FD-01): forty digits in mpmath, then in floats."""
    arguments = [mpmath.mpf(float(y)) for y in arguments_of(generator, 40.0)]
    for y in arguments:
        w = exact.ratio(generator, y)
        gap = abs(exact.generator(generator, w) + exact.conjugate(generator, y) - w * y)
        # the oracle itself must satisfy the theorem, far beyond float64
        bound, reason = forty_digits(float(1 + w * abs(y)))
        row("FD-01", f"Fenchel-Young equality in mpmath, {generator!r}", float(gap), bound, reason)
    for y in arguments_of(generator, 40.0):
        ratios = ratios_of(generator, 1e30)
        price, conjugate, product = generator.f(ratios), generator.conjugate(y), ratios * y
        violation = np.maximum(product - price - conjugate, 0.0)
        scale, reason = divergence_accuracy(price + abs(conjugate) + np.abs(product))
        row("FD-01", f"Fenchel-Young inequality, {generator!r}", violation, scale, reason)


@every_generator
def test_normalisation(row, generator):
    """f(1) = f'(1) = 0 and f*(0) = 0, (f*)'(0) = 1, all without rounding (FD-07)."""
    seen = [generator.f(1.0), generator.f_prime(1.0), generator.conjugate(0.0), generator.ratio(0.0)]
    row.exact(
        "FD-07", f"normalisation of {generator!r}", seen == [0.0, 0.0, 0.0, 1.0], f"expected 0, 0, 0, 1, saw {seen}"
    )


@every_generator
@few
@given(data=st.data())
def test_slope_and_ratio_are_inverse(row, generator, data):
    """(f*)'(f'(w)) = w: an error of one unit in f' moves w by f*'' times that."""
    top = min(generator.largest_ratio * (1.0 - 2.0**-20), 1e12)
    w = data.draw(st.floats(1e-30, top))
    slope = generator.f_prime(w)
    bound, reason = divergence_accuracy(w + generator.curvature(w) * abs(slope) + w)
    if isinstance(generator, JensenShannon):
        # f' is rounded next to log 2, where the ratio moves by w (1 + w) per unit
        bound = bound + generator.curvature(w) * math.ulp(LOG_2)
    row("FD-01", f"ratio of slope, {generator!r}", abs(generator.ratio(slope) - w), bound, reason)


@every_generator
@few
@given(y=st.floats(-30.0, 0.6), step=st.floats(1e-6, 0.05))
def test_curvature_is_the_slope_of_the_ratio(row, generator, y, step):
    """The chord of an increasing ratio lies between the slopes at its ends, if the slope is monotone there."""
    step = (y + step) - y  # as the floats have it
    low, high = generator.ratio(y), generator.ratio(y + step)
    slopes = [generator.curvature(end) for end in (low, high)]
    if isinstance(generator, FermiDirac) and low < generator.cap / 2 < high:
        slopes.append(generator.cap / 4)  # the steepest point lies inside
    chord, lower, upper = (high - low) / step, min(slopes), max(slopes)
    bound, reason = divergence_accuracy((low + high) / step)
    row("FD-01", f"curvature of {generator!r}", max(lower - chord, chord - upper, 0.0), bound, reason)


def test_limits_at_the_ends_of_the_domain(row):
    for generator in GENERATORS:
        assert generator.f_prime(0.0) == -math.inf
        assert generator.ratio(-math.inf) == 0.0
        bound, reason = divergence_accuracy(2.0 * generator.f(0.0))
        row("FD-01", "f*(-inf) = -f(0)", abs(generator.conjugate(-math.inf) + generator.f(0.0)), bound, reason)
    assert FermiDirac(2.0).f_prime(2.0) == math.inf
    assert FermiDirac(2.0).ratio(math.inf) == 2.0
    assert FermiDirac(2.0).f(2.0) == FermiDirac(2.0).f(0.0)  # C = 2 is symmetric about one
    assert KL().ratio(1e4) == math.inf
    assert 1e16 < JensenShannon().ratio(LOG_2) < math.inf  # the float lies just below the real log 2


def test_jensen_shannon_is_twice_the_jensen_shannon_divergence(row):
    """Of two laws with disjoint support it would be 2 log 2; of (1/4, 3/4) against (1/2, 1/2) by hand (JS-01)."""
    law, other = np.array([0.5, 0.5]), np.array([0.25, 0.75])
    middle = (law + other) / 2
    by_hand = float(other @ np.log(other / middle) + law @ np.log(law / middle))
    bound, reason = divergence_accuracy(np.abs(np.log(other / middle)).sum() + np.abs(np.log(law / middle)).sum())
    row("JS-01", "seed's f is KL + KL", abs(float(law @ JensenShannon().f(other / law)) - by_hand), bound, reason)


def test_sigmoid_is_fermi_dirac_and_not_jensen_shannon(row):
    """C sigmoid(y - log(C - 1)): C = 2 is twice the sigmoid (JS-10); Jensen-Shannon is another ratio (JS-08)."""
    y = np.linspace(-3.0, 0.6, 19)
    bound, reason = divergence_accuracy(np.full_like(y, 2.0))
    row("JS-10", "Fermi-Dirac ratio", np.abs(FermiDirac(2.0).ratio(y) - 2.0 / (1.0 + np.exp(-y))), bound, reason)
    ratio = JensenShannon().ratio(y)
    row("JS-08", "odds of the Jensen-Shannon ratio", np.abs(ratio / (1.0 + ratio) - 0.5 * np.exp(y)), bound, reason)


def test_shapes_are_kept():
    for generator in GENERATORS:
        for shape in ((), (0,), (3,), (2, 3), (2, 1, 2)):
            for function in (generator.f, generator.f_prime, generator.curvature):
                assert np.shape(function(np.full(shape, 0.5))) == shape
            for function in (generator.conjugate, generator.ratio):
                assert np.shape(function(np.full(shape, -0.5))) == shape


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: KL().f(-0.5), r"KL\(\)\.f: expected ratios in \[0, inf\), saw -0\.5$"),
        (lambda: KL().f_prime([1.0, math.nan]), r"saw nan at index 1"),
        (lambda: KL().f(math.inf), r"saw inf"),
        (
            lambda: FermiDirac(2.0).f([[1.0, 0.5], [0.0, 2.5]]),
            r"expected ratios in \[0, 2\], saw 2\.5 at index \(1, 1\)",
        ),
        (
            lambda: JensenShannon().ratio([0.1, 0.7]),
            r"below f'\(inf\) = log 2.*saw 0\.7 at index 1.*multiplier.*raise it",
        ),
        (lambda: JensenShannon().conjugate(1.0), r"JensenShannon\(\)\.conjugate: expected arguments below"),
        (lambda: KL().ratio(math.nan), r"saw nan"),
    ],
)
def test_arguments_outside_the_domain_are_named(call, message):
    with pytest.raises(DomainError, match=message):
        call()


@pytest.mark.parametrize("cap", [1.0, 0.5, -1.0, math.inf, math.nan])
def test_a_cap_that_admits_no_mean_of_one_is_refused(cap):
    with pytest.raises(ValueError, match=r"expected a cap in \(1, inf\), saw .* infeasible"):
        FermiDirac(cap)


def test_names():
    assert divergence_from_name("kl") == KL()
    assert divergence_from_name("js") == JensenShannon()
    assert divergence_from_name("fermi-dirac", 3.0) == FermiDirac(3.0)
    with pytest.raises(ValueError, match=r"among kl, js, fermi-dirac, .*two-sided-fermi-dirac, saw 'jsd'"):
        divergence_from_name("jsd")
    with pytest.raises(ValueError, match="expected a cap > 1"):
        divergence_from_name("fermi-dirac")
    with pytest.raises(ValueError, match="expected no cap"):
        divergence_from_name("kl", 2.0)
