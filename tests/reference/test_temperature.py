"""`reference.temperature`: the brackets, the interval for beta against many digits, a conic solver, named numbers."""

import itertools
import math
from fractions import Fraction

import exact_generators
import exact_weights as exact
import mpmath
import numpy as np
import pytest
import strategies
import tolerances
import tolerances_temperature as bounds
from hypothesis import assume, given
from hypothesis import strategies as st

from reference.concentration import (
    effective_sample_elasticity,
    effective_sample_floor,
    perplexity,
    perplexity_elasticity,
)
from reference.divergence import KL, Capped, Divergence, FermiDirac, JensenShannon, PearsonChi2
from reference.temperature import (
    InfeasibleTarget,
    beta_bracket,
    beta_for_effective_sample_fraction,
    beta_for_kl,
    beta_for_perplexity_fraction,
)
from reference.weights import effective_sample_size, optimal_weights

each_kind = pytest.mark.parametrize("generator", [KL(), JensenShannon(), FermiDirac(2.0)], ids=repr)
TARGETS = {
    "effective sample fraction": (beta_for_effective_sample_fraction, lambda w: (w - 1) ** 2, lambda a: 1 / a - 1),
    "perplexity fraction": (
        beta_for_perplexity_fraction,
        lambda w: exact_generators.generator(KL(), w),
        lambda p: -mpmath.log(p),
    ),
    "KL": (beta_for_kl, lambda w: exact_generators.generator(KL(), w), lambda radius: radius),
}
LOGS = np.array([0.0, math.log(2), math.log(8)])
THIRD = np.full(3, 1 / 3)


def moment(generator: Divergence, case, beta: float, phi) -> mpmath.mpf:
    """E phi(w) at exactly this beta."""
    solved = exact.solve(generator, case.advantage, case.behavior, beta)
    law = [mpmath.mpf(float(p)) for p in case.behavior if p > 0.0]
    return sum(p * phi(w) for p, w in zip(law, solved.weights, strict=True)) / sum(law)


@pytest.mark.long
@each_kind
@strategies.few
@given(
    kind=st.sampled_from(list(TARGETS)),
    case=strategies.weighted_data(betas=[1.0]),
    share=st.sampled_from([0.02, 0.3, 0.7, 0.98]),
)
def test_the_interval_holds_the_exact_temperature(row, generator, kind, case, share):
    """ESS-11: the exact moment has the right sign at both ends, in 40 digits; and the achieved value is as stated."""
    support = case.behavior > 0.0
    assume(np.ptp(case.advantage[support]) > 0.0)
    solve, phi, radius = TARGETS[kind]
    best = case.behavior[support][case.advantage[support] == case.advantage[support].max()].sum()
    lowest = max(best, 1.0 / generator.largest_ratio)  # what a cap leaves is above it
    fraction = lowest + share * (1.0 - lowest)
    target = -math.log(fraction) if kind == "KL" else fraction
    try:
        found = solve(case.advantage, case.behavior, target, generator)
    except InfeasibleTarget:
        coldest = optimal_weights(case.advantage, case.behavior, 1e-9 * np.ptp(case.advantage[support]), generator)
        with mpmath.workdps(40):
            law = [mpmath.mpf(float(p)) for p in case.behavior[support]]
            ratios = [mpmath.mpf(float(w)) for w in coldest.weights[support]]
            reached = float(sum(p * phi(w) for p, w in zip(law, ratios, strict=True)) / sum(law))
            goal = float(radius(mpmath.mpf(target)))
        # An error e of ratios up to w moves E phi by at most 2 e (1 + w).
        moved = 4.0 * coldest.weights_error * (1.0 + float(coldest.weights[support].max()))
        bound = moved + tolerances.conjugate_identity(len(law), 1.0 + goal)[0]
        row("ESS-11", "target refused though reached", max(reached - goal, 0.0), bound, "ratios at nearly zero beta")
        return
    with mpmath.workdps(40):
        goal = radius(mpmath.mpf(target))
        if found.low > 0.0:
            cold = moment(generator, case, found.low, phi)
            row.exact("BET-03", f"{kind}, lower end, {generator!r}", cold >= goal, f"{cold} < {goal} at {found.low}")
        if found.high < math.inf:
            warm = moment(generator, case, found.high, phi)
            row.exact("BET-03", f"{kind}, upper end, {generator!r}", warm <= goal, f"{warm} > {goal} at {found.high}")
        here = moment(generator, case, found.beta, phi)
        value = {"KL": here, "perplexity fraction": mpmath.exp(-here)}.get(kind, 1 / (1 + here))
        error = float(abs(value - mpmath.mpf(found.achieved)))
    assert found.low <= found.beta <= found.high
    row("ESS-11", f"{kind} achieved, {generator!r}", error, *tolerances.certified(found.achieved_error))


@strategies.few
@given(case=strategies.weighted_data(betas=[1.0]), share=st.sampled_from([0.1, 0.5, 0.9]), flat=st.booleans())
def test_closed_brackets_hold_and_the_interval_is_narrow(row, case, share, flat):
    """BET-03 for effective samples (k = 1) and for perplexity (k = 2)."""
    support = case.behavior > 0.0
    advantage, law = case.advantage[support], case.behavior[support]
    best = law[advantage == advantage.max()].sum()
    assume(np.ptp(advantage) > 0.0 and best < 0.99)
    fraction = best + share * (1.0 - best)
    low, high = beta_bracket(case.advantage, case.behavior, fraction, perplexity=flat)
    solve = beta_for_perplexity_fraction if flat else beta_for_effective_sample_fraction
    found = solve(case.advantage, case.behavior, fraction)
    inside = low <= found.high and found.low <= high and low <= found.low and found.high <= high
    row.exact("BET-03", "proven bracket", inside, f"[{low}, {high}] against [{found.low}, {found.high}]")
    elasticity = (perplexity_elasticity if flat else effective_sample_elasticity)(
        case.advantage, case.behavior, found.beta
    )
    relative = 2.0 * found.achieved_error / (found.achieved * (1.0 - found.achieved))
    row("BET-03", "width of the interval", found.relative_error, *bounds.interval_width(relative, elasticity))


def test_printed_sizes_come_back(row):
    """ESS-02: delta = (0, log 2, log 8) has ESS 121/69 at beta = 1 and 529/457 at beta = 1/2."""
    for beta, size in ((1.0, Fraction(121, 69)), (0.5, Fraction(529, 457))):
        found = beta_for_effective_sample_fraction(LOGS, THIRD, float(size / 3))
        bound, reason = bounds.data_sensitivity(beta, math.log(8), effective_sample_elasticity(LOGS, THIRD, beta))
        row("ESS-02", "beta of a printed ESS", abs(found.beta - beta), bound + found.high - found.low, reason)
        variance = 3 / size - 1  # ESS-09: Var(w) = n/ESS - 1: 86/121 at beta = 1, 842/529 at beta = 1/2
        assert variance == (Fraction(86, 121) if beta == 1.0 else Fraction(842, 529))
        radius = found.weights.behavior @ (found.weights.weights - 1.0) ** 2
        spread = 2.0 * variance * bound / beta + 2.0 * found.achieved_error / float(size / 3) ** 2
        row("ESS-09", "variance of the weights", abs(radius - float(variance)), spread, reason)


def test_kantorovich_is_attained(row):
    """BET-04: k = 9 and a tenth of the data on top: ESS/n = 9/25, so the upper bracket is beta itself."""
    law, advantage = np.array([0.9, 0.1]), np.array([0.0, math.log(9)])
    bound, reason = bounds.data_sensitivity(1.0, math.log(9), effective_sample_elasticity(advantage, law, 1.0))
    row("BET-04", "Kantorovich's bound", abs(effective_sample_floor(math.log(9), 1.0) - 9 / 25), bound, reason)
    _, high = beta_bracket(advantage, law, 9 / 25)
    row("BET-04", "upper bracket attained", abs(high - 1.0), bound + tolerances.EVALUATION, reason)
    found = beta_for_effective_sample_fraction(advantage, law, 9 / 25)
    row("BET-04", "temperature of 9/25", abs(found.beta - 1.0), bound + found.high - found.low, reason)
    for beta in (0.01, 0.3, 1.0, 30.0):
        solved = optimal_weights(LOGS, THIRD, beta)
        under = effective_sample_floor(math.log(8), beta) - solved.effective_sample_fraction
        row("BET-04", "ESS above the bound", max(under, 0.0), *tolerances.conjugate_identity(3, 1.0))
    assert effective_sample_floor(1e4, 1.0) == 0.0


@pytest.mark.parametrize("seed", range(3))
def test_reps_multiplier_against_a_conic_solver(row, seed):
    """BET-01, BET-02: Clarabel's multiplier of the KL ball; the dual is strongly convex with g'' = Var/beta^3."""
    cvxpy = pytest.importorskip("cvxpy", reason="the third opinion needs cvxpy and clarabel")
    rng = np.random.default_rng(seed)
    advantage, law = 2.0 * rng.normal(size=6), rng.dirichlet(np.ones(6))
    radius = -(0.02, 0.3, 0.8)[seed] * math.log(law[advantage.argmax()])
    found = beta_for_kl(advantage, law, radius)
    d = cvxpy.Variable(6)
    ball = cvxpy.sum(cvxpy.rel_entr(d, law)) <= radius
    problem = cvxpy.Problem(cvxpy.Maximize(advantage @ d), [ball, cvxpy.sum(d) == 1])
    problem.solve(solver=cvxpy.CLARABEL)
    assert problem.status == "optimal"

    theirs = float(ball.dual_value)
    distribution = d.value / math.fsum(d.value)
    spent = math.fsum(distribution * np.log(distribution / law))
    keep = min(1.0, radius / spent)  # KL is convex: mixing with D brings it inside the ball
    lower = advantage @ (keep * distribution + (1.0 - keep) * law)

    def dual(beta: float) -> float:
        top = advantage.max()
        return beta * radius + top + beta * math.log(law @ np.exp((advantage - top) / beta))

    rounding = tolerances.conjugate_identity(6, dual(theirs) + np.abs(advantage).max())[0]
    ends = sorted((theirs, found.beta))
    variances = []
    for beta in np.linspace(*ends, 5):
        weights = optimal_weights(advantage, law, beta).weights * law
        variances.append(weights @ (advantage - weights @ advantage) ** 2 / beta**3)
    least = 0.5 * min(variances)  # between five points of an interval this short it does not halve
    bound, reason = bounds.strong_convexity(dual(theirs) - lower + rounding, least)
    row("BET-01", "multiplier of the KL ball", abs(theirs - found.beta), bound + found.high - found.low, reason)


@pytest.mark.long
@each_kind
@pytest.mark.parametrize("power", [-6, 5])
def test_scale_and_shift(row, generator, power):
    """ESS-07: ESS of c delta + b at c beta is that of delta at beta, so beta follows the scale of rewards."""
    advantage, law = np.array([0.0, 1.0, 3.0, -2.0]), np.array([0.25, 0.25, 0.125, 0.375])
    scale = 2.0**power
    fraction = 0.7  # under a cap of 2 the least is 0.5
    one = beta_for_effective_sample_fraction(advantage, law, fraction, generator)
    two = beta_for_effective_sample_fraction(scale * advantage + scale * 8.0, law, fraction, generator)
    overlap = scale * one.low <= two.high and two.low <= scale * one.high
    row.exact("ESS-07", f"beta scales, {generator!r}", overlap, f"{one} against {two}")


def test_low_size_without_any_shift_of_distribution(row):
    """ESS-07: a perfectly on-policy bandit with rewards +-1/2 at beta = 1/2 has 0.633; weights (1, 9) have 25/41."""
    half = np.array([0.5, 0.5])
    solved = optimal_weights([-0.5, 0.5], half, 0.5)
    true = (1.0 + 1.0 / math.cosh(2.0)) / 2.0  # cosh(1)^2 / cosh(2)
    assert round(true, 3) == 0.633
    row("ESS-07", "on-policy bandit", abs(solved.effective_sample_fraction - true), *tolerances.input_rounding(2, 1))
    bound, reason = tolerances.conjugate_identity(2, 1.0)
    row("ESS-07", "weights 1 and 9", abs(effective_sample_size([1, 9], half) / 2 - 25 / 41), bound, reason)


def test_clipped_weights_are_not_monotone(row):
    """ESS-10: u = clip(e^(delta/beta), 1, 50) with delta = (log 10, log 100): 2, 18/13, 1.575 at beta 1/2, 1, 2."""
    delta, half = np.log([10.0, 100.0]), np.array([0.5, 0.5])
    for beta, size in ((0.5, Fraction(2)), (1.0, Fraction(18, 13)), (2.0, Fraction(63, 40))):
        clipped = np.clip(np.exp(delta / beta), 1.0, 50.0)
        bound, reason = tolerances.input_rounding(4.0, math.log(100.0) / beta)
        if beta == 2.0:  # weights sqrt(10) and 10: (sqrt 10 + 10)^2 / 110
            assert round(float(size), 3) == 1.575
            size = (110 + 20 * math.sqrt(10)) / 110
        row("ESS-10", "ESS of clipped weights", abs(effective_sample_size(clipped, half) - float(size)), bound, reason)


def test_raw_sigmoid_weights_are_not_monotone(row):
    """ESS-11: sigma(delta/beta) with delta = (log 4, log 64) has ESS 49/25 at beta 2, 841/425 at 1, 2 at infinity."""
    half = np.array([0.5, 0.5])
    for beta, size in ((2.0, Fraction(49, 25)), (1.0, Fraction(841, 425))):
        delta = np.log([4.0, 64.0]) / beta
        weights = 1.0 / (1.0 + np.exp(-delta))
        bound, reason = tolerances.input_rounding(4.0, math.log(64.0))
        row("ESS-11", "raw sigmoid", abs(effective_sample_size(weights, half) - float(size)), bound, reason)
    assert Fraction(49, 25) < Fraction(841, 425) < 2


@given(case=strategies.weighted_data(betas=[0.1, 1.0, 10.0], scales=[1.0]))
def test_elasticities(row, case):
    """ESS-02, ESS-14: both elasticities against derivatives in 40 digits; perplexity is at least ESS (ESS-01)."""
    support = case.behavior > 0.0
    spread = float(np.ptp(case.advantage[support])) / case.beta
    bound, reason = bounds.elasticity(int(support.sum()), spread)
    with mpmath.workdps(40):
        law = [mpmath.mpf(float(p)) for p in case.behavior[support]]
        law = [p / sum(law) for p in law]
        top = case.advantage[support].max()
        gaps = [mpmath.mpf(float(a)) - mpmath.mpf(float(top)) for a in case.advantage[support]]

        def log_mean(t):
            return mpmath.log(sum(p * mpmath.exp(t * g) for p, g in zip(law, gaps, strict=True)))

        def size(x):
            t = mpmath.exp(-x)
            return 2 * log_mean(t) - log_mean(2 * t)

        def entropy(x):
            t = mpmath.exp(-x)
            tilted = [p * mpmath.exp(t * g) for p, g in zip(law, gaps, strict=True)]
            return log_mean(t) - t * sum(p * g for p, g in zip(tilted, gaps, strict=True)) / sum(tilted)

        x = mpmath.log(mpmath.mpf(case.beta))
        for name, ours, function in (
            ("ESS", effective_sample_elasticity, size), ("perplexity", perplexity_elasticity, entropy)
        ):  # fmt: skip
            slope = float(mpmath.diff(function, x))
            seen = ours(case.advantage, case.behavior, case.beta)
            row("ESS-02" if name == "ESS" else "ESS-14", f"elasticity of {name}", abs(seen - slope), bound, reason)
        true = int(support.sum()) * float(mpmath.exp(entropy(x)))
    solved = optimal_weights(case.advantage, case.behavior, case.beta)
    seen = perplexity(solved.weights, case.behavior)
    allowed = true * (bound + 4.0 * solved.weights_error * (1.0 + spread))
    row("ESS-01", "perplexity", abs(seen - true), allowed, reason)
    row("ESS-01", "ESS at most perplexity", max(solved.effective_sample_size - seen, 0.0), allowed, reason)


def test_flat_below_the_gap(row):
    """ESS-11: chi-square weights are 1/D on the best below beta = (m/n)(A_1 - A_2), and constant there."""
    advantage, law = np.array([3.0, 3.0, 1.0, 0.0]), np.full(4, 0.25)
    corner = 0.5 * (3.0 - 1.0)
    for target, expected in ((0.6, None), (0.5 + 2.0**-20, corner)):
        found = beta_for_effective_sample_fraction(advantage, law, target, PearsonChi2())
        row.exact("ESS-11", "beta above the flat region", found.high > corner, f"{found}")
        error = abs(found.achieved - target)
        row("ESS-11", "chi-square target met", error, found.achieved_error + 2.0**-53, "certified, and one rounding")
        if expected:  # just above: w = (2 - e, 2 - e, 2e, 0), 1/E[w^2] = (1 + e + ...)/2 with e ~ (beta - 1)/2
            row("ESS-11", "near the corner", abs(found.beta - corner), 2.0**-17, "slope of 1/E[w^2] at the corner")
    with pytest.raises(InfeasibleTarget, match=r"expected it strictly between 0\.5 and 1"):
        beta_for_effective_sample_fraction(advantage, law, 0.5, PearsonChi2())


def test_flat_under_a_cap(row):
    """Chi-square under a cap of 2: (2, 3/2, 0, 0) for every beta <= 8/3, where the third entry gets its first weight.

    With the second ratio at 3/2, the third is 1 + 1/2 - 4/beta, cut at 0 up to beta = 8/3.
    """
    law, advantage = np.array([0.125, 0.5, 0.25, 0.125]), np.array([10.0, 5.0, 1.0, 0.0])
    flat = 1.0 / float(law @ np.array([2.0, 1.5, 0.0, 0.0]) ** 2)
    with pytest.raises(InfeasibleTarget, match=r"strictly between 0\.61"):
        beta_for_effective_sample_fraction(advantage, law, flat, Capped(PearsonChi2(), 2.0))
    found = beta_for_effective_sample_fraction(advantage, law, flat + 2.0**-20, Capped(PearsonChi2(), 2.0))
    row.exact("ESS-11", "beta above the flat region", found.high > 8 / 3, f"{found}")
    error = abs(found.achieved - found.target)
    row("ESS-11", "capped chi-square target met", error, found.achieved_error + 2.0**-53, "certified, and one rounding")


@pytest.mark.parametrize(
    ("solve", "target", "message"),
    [
        (beta_for_effective_sample_fraction, 1 / 3, r"fraction 0\.333.*: expected it strictly between 0\.333.* and 1"),
        (beta_for_effective_sample_fraction, 1.0, r"fraction 1\.0: expected it strictly between"),
        (beta_for_effective_sample_fraction, math.nan, r"fraction nan: expected it strictly between"),
        (beta_for_perplexity_fraction, 0.1, r"perplexity fraction 0\.1: .* \(1 of 3 entries\)"),
        (beta_for_kl, math.log(3), r"KL\(d \|\| D\) 1\.09.*: expected it strictly between 0 and 1\.098"),
        (beta_for_kl, 0.0, r"KL\(d \|\| D\) 0\.0"),
        (beta_for_kl, -1.0, r"KL\(d \|\| D\) -1\.0"),
    ],
)
def test_targets_that_no_temperature_reaches(solve, target, message):
    """BET-01, BET-03: alpha n <= m or >= n, epsilon >= -log D(argmax)."""
    with pytest.raises(InfeasibleTarget, match=message):
        solve(LOGS, THIRD, target)


def test_data_without_an_answer():
    with pytest.raises(InfeasibleTarget, match=r"all advantages are 2, so weights are one at every temperature"):
        beta_for_kl([2.0, 2.0], [0.5, 0.5], 0.1)
    with pytest.raises(InfeasibleTarget, match=r"strictly between 0\.6.*FermiDirac\(cap=2"):
        beta_for_effective_sample_fraction(LOGS, THIRD, 0.5, FermiDirac(2.0))
    for advantage, law in (([1.0, math.inf], [0.5, 0.5]), ([1.0], [0.5, 0.5]), ([1.0, 2.0], [0.5, 0.4])):
        with pytest.raises(ValueError, match=r"advantage|behavior"):
            beta_for_effective_sample_fraction(advantage, law, 0.7)


def test_entries_without_data_do_not_count(row):
    """The advantage where the law is zero is ignored, whatever it is."""
    plain = beta_for_kl(LOGS, THIRD, 0.5)
    padded = beta_for_kl([*LOGS, math.nan, 1e300], [*THIRD, 0.0, 0.0], 0.5)
    same = (plain.beta, plain.low, plain.high) == (padded.beta, padded.low, padded.high)
    row.exact("BET-01", "entries without data", same, f"{plain} against {padded}")


@pytest.mark.long
def test_targets_order_temperatures(row):
    """ESS-11, KL-10: larger targets need larger beta, over ten decades of 1 - fraction and down to the multiplicity."""
    fractions = [1 / 3 + 1e-9, 0.5, 1 - 1e-12]
    for generator in (KL(), JensenShannon()):
        found = [beta_for_effective_sample_fraction(LOGS, THIRD, f, generator) for f in fractions]
        ordered = all(one.high < two.low for one, two in itertools.pairwise(found))
        row.exact("ESS-11", f"order of temperatures, {generator!r}", ordered, f"{found}")
