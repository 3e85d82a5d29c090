"""`reference.divergence` against formulas evaluated in mpmath at 80 digits, over the whole of each domain."""

import math

import exact_generators as exact
import mpmath
import numpy as np
import pytest
import tolerances_generators
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import few
from tolerances import divergence_accuracy, forty_digits

from reference.divergence import (
    KL,
    LOG_2,
    RELATIVE_ACCURACY,
    Capped,
    Divergence,
    DomainError,
    FermiDirac,
    Hellinger,
    JensenShannon,
    Mixture,
    PearsonChi2,
    Power,
    ReverseKL,
    TwoSidedFermiDirac,
    divergence_from_name,
)

CAPS = (1.0 + 2.0**-40, 1.01, 1.75, 2.0, 3.0, 100.0, 1e8)
CLOSED = [
    KL(),
    JensenShannon(),
    *(FermiDirac(cap) for cap in CAPS),
    *(TwoSidedFermiDirac(*ends) for ends in ((0.0, 3.0), (0.5, 2.0), (1e-6, 1e6), (0.999, 1.001))),
    PearsonChi2(),
    Hellinger(),
    ReverseKL(),
    *(Power(alpha) for alpha in (0.01, 0.5, 1.0, 2.0, 3.7, 100.0)),
]
CAPPED = [
    Capped(KL(), 4.0),
    Capped(JensenShannon(), 4.0),
    Capped(PearsonChi2(), 1.5),
    Capped(ReverseKL(), 1e6),
    Capped(FermiDirac(8.0), 3.0),
]
MIXTURES = [
    Mixture([(0.5, JensenShannon())]),
    Mixture([(1.0, KL()), (1.0, PearsonChi2())]),
    Mixture([(1e-3, KL()), (2.0, ReverseKL())]),
    Mixture([(1.0, ReverseKL()), (0.5, Hellinger()), (0.25, JensenShannon())]),
    Mixture([(1.0, KL()), (1.0, FermiDirac(3.0))]),
    Mixture([(1.0, Capped(PearsonChi2(), 2.0)), (1e-8, Power(2.0))]),
]
GENERATORS = [*CLOSED, *CAPPED, *MIXTURES]
every_generator = pytest.mark.parametrize("generator", GENERATORS, ids=repr)
with_pole = [generator for generator in GENERATORS if generator.supremum < math.inf]

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
        | {pole - 2.0**-k for k in range(1, 54) for pole in (LOG_2, 1.0)}
        | {k / 16.0 for k in range(-64, 65)}
        | {-700.0, 0.0, 705.0, LOG_2, math.nextafter(LOG_2, 0.0)}
    )
)
SLACKS = 2.0 ** np.arange(-160.0, 9.0, 4.0)
THIN = 16  # the oracle inverts mixtures numerically: one in so many points


def thinned(generator, points):
    return points[:: THIN if generator in MIXTURES else 1]


def ratios_of(generator, span=np.inf):
    """RATIOS in the domain of f, within a factor `span` of one."""
    points = RATIOS[(span > RATIOS) & (1.0 / span < RATIOS)]
    return points[(points >= generator.smallest_ratio) & (points <= generator.largest_ratio)]


def arguments_of(generator, size=np.inf):
    """ARGUMENTS below the supremum, smaller than `size`."""
    points = ARGUMENTS[np.abs(ARGUMENTS) < size]
    return thinned(generator, points[points < generator.supremum])


@pytest.fixture(autouse=True)
def digits():
    # at w = 1 +- 2^-52 the double zero of f costs 32 digits; forty are asked for on top
    with mpmath.workdps(80):
        yield


def compare(row, quantity, exact_function, generator, points, seen):
    for point, value in zip(points, seen, strict=True):
        true = exact_function(generator, mpmath.mpf(float(point)))
        bound, reason = tolerances_generators.forward(generator, float(true))
        row("FD-01", f"{quantity} of {generator!r}", float(abs(mpmath.mpf(float(value)) - true)), bound, reason)


def compare_at_arguments(row, generator, points, conjugates, ratios, to_argument=mpmath.mpf):
    """f* and (f*)' at `to_argument(point)`; one exact inversion serves both."""
    table = exact.formulas(generator)
    for point, conjugate, ratio in zip(points, conjugates, ratios, strict=True):
        y = to_argument(float(point))
        w, second = exact.ratio(generator, y), exact.conjugate(generator, y)
        slope = float(1 / table.second(w)) if generator.argument_accuracy and generator.curvature(float(w)) else 0.0
        bound, reason = tolerances_generators.backward(generator, point, float(second), float(w))
        error = float(abs(mpmath.mpf(float(conjugate)) - second))
        row("FD-01", f"conjugate of {generator!r}", error, bound, reason)
        bound, reason = tolerances_generators.backward(generator, point, float(w), slope)
        row("FD-01", f"ratio of {generator!r}", float(abs(mpmath.mpf(float(ratio)) - w)), bound, reason)


@every_generator
def test_generator_and_slope_at_every_scale(row, generator):
    """FD-01, columns f and f': no digits are lost at w = 1, at 0, or at the cap."""
    points = ratios_of(generator)
    finite = points[representable(exact.generator, generator, points)]
    compare(row, "generator", exact.generator, generator, finite, generator.f(finite))
    inside = points[(points > generator.smallest_ratio) & (points < generator.largest_ratio)]
    inside = inside[representable(exact.slope, generator, inside)]
    compare(row, "slope", exact.slope, generator, inside, generator.f_prime(inside))


def representable(function, generator, points):
    """Where a function is below the largest float."""
    largest = mpmath.mpf(float(np.finfo(np.float64).max))
    return np.array([function(generator, mpmath.mpf(float(x))) < largest for x in points])


@pytest.mark.long
@every_generator
def test_conjugate_and_ratio_at_every_scale(row, generator):
    """FD-01, columns f* and (f*)': accurate from -700 to the very last float below the supremum."""
    points = arguments_of(generator)
    points = points[representable(exact.conjugate, generator, points)]
    compare_at_arguments(row, generator, points, generator.conjugate(points), generator.ratio(points))


@pytest.mark.parametrize("generator", with_pole, ids=repr)
def test_functions_of_the_distance_to_the_pole(row, generator):
    """Closer to a pole than arguments in floats can say: f* and (f*)' at supremum - s, and s itself (OCC-04)."""
    points = thinned(generator, SLACKS)
    pole = exact.formulas(generator).supremum
    values = generator.conjugate_at_slack(points), generator.ratio_at_slack(points)
    compare_at_arguments(row, generator, points, *values, lambda s: pole - mpmath.mpf(s))
    ratios = ratios_of(generator)
    with mpmath.workdps(400):  # the difference of two slopes costs as many digits as the ratio has
        top = exact.formulas(generator).supremum
        compare(row, "slack", lambda g, w: top - exact.slope(g, w), generator, ratios, generator.slope_slack(ratios))


@every_generator
def test_fenchel_young(row, generator):
    """f(w) + f*(y) >= w y, with equality at w = (f*)'(y) (FD-01): forty digits in mpmath, then in floats."""
    arguments = [mpmath.mpf(float(y)) for y in arguments_of(generator, 40.0)]
    for y in arguments[:: 8 if generator in CLOSED else 2]:
        w = exact.ratio(generator, y)
        gap = abs(exact.generator(generator, w) + exact.conjugate(generator, y) - w * y)
        # the oracle itself must satisfy the theorem, far beyond float64
        bound, reason = forty_digits(float(1 + w * abs(y)))
        row("FD-01", f"Fenchel-Young equality in mpmath, {generator!r}", float(gap), bound, reason)
    points = arguments_of(generator, 40.0)
    ratios = ratios_of(generator, 1e15)
    points, ratios = points[generator.ratio(points) < 1e30][:, None], ratios[generator.f(ratios) < 1e300]
    price, conjugate, product = generator.f(ratios), generator.conjugate(points), ratios * points
    violation = np.maximum(product - price - conjugate, 0.0)
    scale, reason = divergence_accuracy(price + np.abs(conjugate) + np.abs(product))
    scale *= (generator.accuracy + generator.argument_accuracy * (1.0 + generator.ratio(points))) / RELATIVE_ACCURACY
    row("FD-01", f"Fenchel-Young inequality, {generator!r}", violation, scale, reason)


@every_generator
def test_normalisation(row, generator):
    """f(1) = f'(1) = 0 and f*(0) = 0, (f*)'(0) = 1, all without rounding (FD-07)."""
    seen = [generator.f(1.0), generator.f_prime(1.0), generator.conjugate(0.0), generator.ratio(0.0)]
    row.exact(
        "FD-07", f"normalisation of {generator!r}", seen == [0.0, 0.0, 0.0, 1.0], f"expected 0, 0, 0, 1, saw {seen}"
    )


def invertible(generator: Divergence) -> tuple[float, float]:
    """Ratios between which f' and (f*)'' are numbers: a power far from one leaves little room on either side of one."""
    ends = []
    for end in (
        max(1e-30, generator.smallest_ratio * (1.0 + 2.0**-20)),
        min(generator.largest_ratio * (1.0 - 2.0**-20), 1e12),
    ):
        with np.errstate(over="ignore"):
            while not (generator.f_prime(end) < generator.supremum and generator.curvature(end) < 1e300):
                end = math.sqrt(end)
        ends.append(end)
    return ends[0], ends[1]


@every_generator
@few
@given(data=st.data())
def test_slope_and_ratio_are_inverse(row, generator, data):
    """(f*)'(f'(w)) = w: an error of one unit in f' moves w by f*'' times that."""
    w = data.draw(st.floats(*invertible(generator)))
    assume(generator.smallest_ratio < w < generator.largest_ratio)
    slope = generator.f_prime(w)
    assume(slope < generator.supremum and generator.curvature(w) < 1e300)
    bound, reason = tolerances_generators.inverse(generator, w, slope)
    row("FD-01", f"ratio of slope, {generator!r}", abs(generator.ratio(slope) - w), bound, reason)


@pytest.mark.long
@every_generator
@few
@given(y=st.floats(-30.0, 0.6), step=st.floats(1e-6, 0.05))
def test_curvature_is_the_slope_of_the_ratio(row, generator, y, step):
    """The chord of an increasing ratio lies between the slopes at its ends, if the slope is monotone there."""
    scale = min(1.0, generator.supremum / LOG_2)  # a share of JS has its pole sooner
    y, step = scale * y, scale * step
    step = (y + step) - y  # as the floats have it
    low, high = generator.ratio(y), generator.ratio(y + step)
    slopes = [generator.curvature(end) for end in (low, high)]
    slopes += [generator.curvature(w) for w in np.linspace(low, high, 33)[1:-1]]  # the steepest point may lie inside
    if high == generator.largest_ratio:
        slopes.append(generator.curvature(high * (1.0 - 2.0**-40)))
    if low == generator.smallest_ratio:
        slopes.append(generator.curvature(low + 2.0**-40 * high))
    # between 33 points a slope that peaks may be a little higher: by the share of the squared step that it bends
    chord, lower, upper = (high - low) / step, min(slopes), max(slopes) * (1.0 + step**2)
    bound, reason = divergence_accuracy((low + high) / step)
    bound *= 1.0 + (generator.argument_accuracy * (1.0 + abs(y))) / RELATIVE_ACCURACY * (1.0 + upper)
    row("FD-01", f"curvature of {generator!r}", max(lower - chord, chord - upper, 0.0), bound, reason)


def test_limits_at_the_ends_of_the_domain(row):
    for generator in GENERATORS:
        low = generator.smallest_ratio
        assert generator.f_prime(low) == generator.infimum
        assert generator.ratio(-math.inf) == low
        price = generator.f(low)
        if low > 0.0 or price == math.inf:
            assert generator.conjugate(-math.inf) == -math.inf
            continue
        bound, reason = divergence_accuracy(4.0 * price)
        row("FD-01", "f*(-inf) = -f(0)", abs(generator.conjugate(-math.inf) + price), bound, reason)
    assert PearsonChi2().ratio([-2.0, -1.0]).tolist() == [0.0, 0.0]
    assert ReverseKL().ratio_at_slack([0.0, math.inf]).tolist() == [math.inf, 0.0]
    assert Mixture([(1e-3, KL()), (1.0, ReverseKL())]).ratio([-1e308, 1e5]).tolist() == [
        pytest.approx(1e-308, rel=2.0 * RELATIVE_ACCURACY),
        math.inf,
    ]
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
        slack = () if generator.supremum == math.inf else (generator.conjugate_at_slack, generator.ratio_at_slack)
        for shape in ((), (0,), (3,), (2, 3), (2, 1, 2)):
            for function in (generator.f, generator.f_prime, generator.curvature, generator.conjugate_at_ratio, *slack):
                assert np.shape(function(np.full(shape, 1.0))) == shape
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
        (lambda: TwoSidedFermiDirac(0.5, 2.0).f([0.4]), r"expected ratios in \[0\.5, 2\], saw 0\.4 at index 0"),
        (lambda: Hellinger().ratio(1.5), r"below f'\(inf\) = 1, saw 1\.5"),
        (
            lambda: ReverseKL().ratio_at_slack([1.0, -1.0]),
            r"\.ratio_at_slack: expected distances >= 0 to the pole, saw -1 at index 1",
        ),
        (
            lambda: KL().conjugate_at_slack(1.0),
            r"\.conjugate_at_slack: f'\(inf\) is infinite, so there is no pole",
        ),
    ],
)
def test_arguments_outside_the_domain_are_named(call, message):
    with pytest.raises(DomainError, match=message):
        call()


@pytest.mark.parametrize("wrong", [1.0, 0.5, -1.0, math.inf, math.nan])
def test_a_cap_that_admits_no_mean_of_one_is_refused(wrong):
    with pytest.raises(ValueError, match=r"expected a cap in \(1, inf\), saw .* infeasible"):
        FermiDirac(wrong)
    with pytest.raises(ValueError, match=r"expected 0 <= low < 1 < high < inf, saw low=0\.5"):
        TwoSidedFermiDirac(0.5, wrong)
    with pytest.raises(ValueError, match=r"expected a cap in \(1, 8\), saw"):
        Capped(FermiDirac(8.0), wrong)


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.inf, math.nan, 5e-324])
def test_an_exponent_that_is_no_power_is_refused(wrong):
    with pytest.raises(ValueError, match="expected a finite exponent alpha > 0"):
        Power(wrong)


def test_mixtures_that_are_none_are_refused():
    with pytest.raises(ValueError, match=r"coefficients >= 0, saw -1 for ReverseKL\(\) in pair 1"):
        Mixture([(1.0, KL()), (-1.0, ReverseKL())])
    with pytest.raises(ValueError, match=r"expected at least one positive coefficient, saw \[0\.0\]"):
        Mixture([(0.0, KL())])


def test_relatives(row):
    """alpha = 1 is chi-square (KL-09), m = 0 is Fermi-Dirac (JS-20), a mixture with itself a multiple (FD-01)."""
    y = np.linspace(-3.0, 0.6, 37)
    pairs = [
        (Power(1.0), PearsonChi2(), y),
        (TwoSidedFermiDirac(0.0, 3.0), FermiDirac(3.0), y),
        (Mixture([(0.5, KL()), (0.5, KL())]), KL(), y),
        (Mixture([(2.0, Hellinger())]), Hellinger(), 0.5 * y),
        (Capped(KL(), 1e6), KL(), y),
    ]
    for one, other, arguments in pairs:
        scale = float(y[0] / arguments[0])
        bounds = [
            tolerances_generators.backward(one, x, 2.0 * w, 2.0 * (w + w * w))
            for x, w in zip(y, other.ratio(arguments), strict=True)
        ]
        error = np.abs(one.ratio(y) - other.ratio(arguments))
        row("FD-01", f"{one!r} as {other!r}", error, [bound for bound, _ in bounds], bounds[0][1])
        price = np.abs(one.f([0.5, 2.0]) - scale * other.f([0.5, 2.0]))
        row("FD-01", f"price of {one!r}", price, *divergence_accuracy(4.0 * one.f([0.5, 2.0])))


def test_a_cap_continues_the_conjugate_linearly(row):
    """FD-05: f* beyond y_c is f*(y_c) + W (y - y_c), and the ratio min(g, W)."""
    capped, y = Capped(ReverseKL(), 4.0), np.array([-1.0, 0.75, 1.0, 5.0, 1e6])
    by_hand = np.where(y <= 0.75, -np.log1p(-np.minimum(y, 0.75)), math.log(4.0) + 4.0 * (y - 0.75))
    row("FD-05", "linear extension", np.abs(capped.conjugate(y) - by_hand), *divergence_accuracy(2.0 * by_hand))
    row.exact("FD-05", "cap", capped.ratio(y[1:]).tolist() == [4.0] * 4, f"saw {capped.ratio(y)}")
    assert (capped.saturation, capped.supremum) == (0.75, math.inf)


def test_names():
    assert divergence_from_name("kl") == KL()
    assert divergence_from_name("js") == JensenShannon()
    assert divergence_from_name("fermi-dirac", 3.0) == FermiDirac(3.0)
    assert divergence_from_name("power", alpha=2.0) == Power(2.0)
    assert divergence_from_name("two-sided-fermi-dirac", low=0.5, high=2.0) == TwoSidedFermiDirac(0.5, 2.0)
    for known in (PearsonChi2(), Hellinger(), ReverseKL()):
        assert divergence_from_name(known.name) == known
    with pytest.raises(
        ValueError, match=r"among kl, js, fermi-dirac \(cap\), chi2, .*power \(alpha\), .*\(low, high\), saw 'jsd'"
    ):
        divergence_from_name("jsd")
    with pytest.raises(ValueError, match="expected a cap > 1"):
        divergence_from_name("fermi-dirac")
    with pytest.raises(ValueError, match="expected no cap"):
        divergence_from_name("kl", 2.0)
    with pytest.raises(ValueError, match="expected an exponent alpha > 0"):
        divergence_from_name("power")
    with pytest.raises(ValueError, match="no high, saw 2; only two-sided-fermi-dirac takes one"):
        divergence_from_name("chi2", high=2.0)
