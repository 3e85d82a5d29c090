"""`reference.weights`: exact examples, a many-digit oracle, a conic solver, and the theorems for all data."""

import itertools
import math
from fractions import Fraction

import exact_weights as exact
import mpmath
import numpy as np
import pytest
import strategies
import tolerances
from hypothesis import assume, given
from hypothesis import strategies as st

from reference.divergence import (
    KL,
    Capped,
    DomainError,
    FermiDirac,
    Hellinger,
    JensenShannon,
    Mixture,
    PearsonChi2,
    Power,
    ReverseKL,
    TwoSidedFermiDirac,
)
from reference.multiplier import multiplier_bracket
from reference.weights import effective_sample_size, optimal_weights, relaxed_objective, weights_at

KINDS = [
    KL(),
    JensenShannon(),
    FermiDirac(2.0),
    TwoSidedFermiDirac(0.5, 2.0),
    PearsonChi2(),
    Hellinger(),
    ReverseKL(),
    Power(2.0),
    Capped(JensenShannon(), 4.0),
]
GENERATORS = [*KINDS, FermiDirac(1.01), FermiDirac(50.0), Power(0.5), Capped(PearsonChi2(), 1.5)]
MIXTURES = [
    Mixture([(1.0, KL()), (0.5, ReverseKL())]),
    Mixture([(1.0, Capped(PearsonChi2(), 2.0)), (1e-3, KL())]),
]
ID = {
    "kl": "KL-04",
    "js": "JS-04",
    "fermi-dirac": "JS-10",
    "two-sided-fermi-dirac": "JS-20",
    "chi2": "KL-09",
    "power": "KL-09",
    "capped": "FD-05",
}
every_generator = pytest.mark.parametrize("generator", GENERATORS, ids=repr)
each_kind = pytest.mark.parametrize("generator", KINDS, ids=repr)
HALF = np.array([0.5, 0.5])
TWO_POWERS = st.lists(st.integers(-5, 5), min_size=2, max_size=2, unique=True)
GARBAGE = st.sampled_from([0.0, 1e300, -math.inf, math.inf, math.nan])


def five_integers(least):
    return st.lists(st.integers(least, 9), min_size=5, max_size=5)


@every_generator
@strategies.few
@given(case=strategies.weighted_data())
def test_solution_within_its_own_bounds_of_eighty_digits(row, generator, case):
    """Weights, multiplier, value and dual against the first-order condition solved in mpmath (JS-04, FD-03)."""
    solved = optimal_weights(case.advantage, case.behavior, case.beta, generator)
    support = case.behavior > 0.0
    with mpmath.workdps(80):
        true = exact.solve(generator, case.advantage, case.behavior, case.beta)
        pairs = zip(true.weights, solved.weights[support], strict=True)
        weights = [abs(float(w - mpmath.mpf(float(ours)))) for w, ours in pairs]
        multiplier = float(abs(true.multiplier - mpmath.mpf(solved.multiplier)))
        values = [float(abs(true.value - mpmath.mpf(number))) for number in (solved.value, solved.dual)]
    id, name = ID.get(generator.name, "FD-01"), repr(generator)
    row(id, f"weights, {name}", weights, *tolerances.certified(solved.weights_error))
    row(id, f"multiplier, {name}", multiplier, *tolerances.certified(solved.multiplier_error))
    bound, reason = tolerances.certified(solved.gap)
    bound += tolerances.forty_digits(abs(float(true.value)))[0]  # equal advantages have a gap of 0, the oracle has not
    row("FD-03", f"value and dual, {name}", values, bound, reason)


@pytest.mark.long
@pytest.mark.parametrize("generator", [*GENERATORS, *MIXTURES], ids=repr)
@strategies.few
@given(case=strategies.weighted_data())
def test_mean_one_with_a_tight_certificate_and_a_proven_multiplier(row, generator, case):
    """E w = 1 (KL-02); the gap is a few roundings of what enters it for any beta; nu in its bracket (JS-04).

    The bracket is the soft maximum for KL, that of JS-04 for JS, soft minimum to soft maximum for Fermi-Dirac, and
    above the mean for all whose ratio is convex in its argument.
    """
    solved = optimal_weights(case.advantage, case.behavior, case.beta, generator)
    support = case.behavior > 0.0
    law, weights, advantage = case.behavior[support], solved.weights[support], case.advantage[support]
    name = repr(generator)

    mean = math.fsum(solved.distribution) / math.fsum(law)
    bound, reason = tolerances.conjugate_identity(len(law), 1.0)
    row(
        ID.get(generator.name, "FD-01"),
        f"mean of weights, {name}",
        abs(mean - 1.0),
        bound + solved.weights_error,
        reason,
    )

    price = float(np.max(generator.f(weights) * law))
    floor = tolerances.certificate_floor(advantage, case.beta, price, weights, generator.curvature(weights))
    row("FD-03", f"certified gap, {name}", solved.gap, *floor)
    excess = max(solved.value - solved.dual, 0.0)
    row("FD-03", f"value below dual, {name}", excess, *tolerances.certified(solved.gap))

    z = advantage / case.beta
    low, high = multiplier_bracket(z, law, generator)
    outside = max(low - solved.multiplier, solved.multiplier - high, 0.0)
    bound, reason = tolerances.conjugate_identity(len(z), 1.0 + 4.0 * float(np.abs(z).max()))
    row("JS-04", f"bracket, {name}", outside, bound + solved.multiplier_error, reason)


@each_kind
@strategies.few
@given(case=strategies.weighted_data(betas=[0.5, 1.0, 4.0], scales=[1.0]))
def test_first_order_condition(row, generator, case):
    """A = beta (f'(w) + nu) entry by entry (KL-03, JS-03, JS-10); f' is not what the solver inverts."""
    solved = optimal_weights(case.advantage, case.behavior, case.beta, generator)
    support = case.behavior > 0.0
    weights, advantage = solved.weights[support], case.advantage[support]
    inside = (weights > generator.smallest_ratio) & (weights < generator.largest_ratio)  # ends have no slope left
    assume(np.all(inside))
    slope = generator.f_prime(weights)
    residual = np.abs(advantage - case.beta * (slope + solved.multiplier))
    per_weight = 32.0 * weights / generator.curvature(weights)  # relative rounding of a weight, seen through f''
    bound, reason = tolerances.divergence_accuracy(
        np.abs(advantage) + case.beta * (per_weight + np.abs(slope) + abs(solved.multiplier))
    )
    row(
        ID.get(generator.name, "FD-01"),
        f"first-order condition, {generator!r}",
        residual,
        bound + case.beta * solved.multiplier_error,
        reason,
    )


def test_jensen_shannon_weights_by_hand(row):
    """JS-05: D = (1/2, 1/2), A/beta = (0, log 9/5): w = (1/2, 3/2), nu = log 3/2, and not the sigmoid's ratio 9/7.

    By hand: e^-nu = 2/3 gives 2w/(w + 1) = (2/3, 6/5), so w = (1/2, 3/2), of mean one; and 6/5 < 2 is in the domain.
    """
    advantage = np.array([0.0, math.log(9 / 5)])
    solved = optimal_weights(advantage, HALF, 1.0, JensenShannon())
    by_hand = [Fraction(1, 2), Fraction(3, 2)]
    assert [2 * w / (w + 1) for w in by_hand] == [Fraction(2, 3), Fraction(2, 3) * Fraction(9, 5)]
    bound, reason = tolerances.input_rounding(1.5 * 2.5, math.log(9 / 5))
    row("JS-05", "weights", np.abs(solved.weights - [0.5, 1.5]), bound + solved.weights_error, reason)
    row("JS-05", "multiplier", abs(solved.multiplier - math.log(1.5)), bound + solved.multiplier_error, reason)
    row(
        "JS-23",
        "value regressed",
        abs(solved.multiplier * solved.beta - math.log(1.5)),
        bound + solved.multiplier_error,
        reason,
    )


def test_kl_weights_by_hand(row):
    """The same data under KL: w = e^z/E e^z = (5/7, 9/7), ratio 9/5; value log E e^z = log 7/5 (KL-04, JS-05)."""
    solved = optimal_weights([0.0, math.log(9 / 5)], HALF, 1.0, KL())
    bound, reason = tolerances.input_rounding(9 / 7, math.log(9 / 5))
    row("KL-04", "weights", np.abs(solved.weights - [5 / 7, 9 / 7]), bound + solved.weights_error, reason)
    row("KL-04", "value", abs(solved.value - math.log(7 / 5)), bound + solved.gap, reason)
    row("KL-04", "multiplier", abs(solved.multiplier - math.log(7 / 5)), bound + solved.multiplier_error, reason)


def test_fermi_dirac_weights_by_hand(row):
    """JS-10: with C = 1/E sigmoid(z) = 7/4 the weights are C sigmoid(z) = (7/8, 9/8): the sigmoid is Fermi-Dirac.

    Raw f_C has f_C'(C sigmoid(z)) = z, nu = 0; normalised f'(1) = 0 moves nu by log(C - 1) = log 3/4 (FD-07).
    """
    sigmoid = [Fraction(1, 2), Fraction(9, 14)]
    cap = 1 / (sum(sigmoid) / 2)
    assert cap == Fraction(7, 4)
    assert [cap * s for s in sigmoid] == [Fraction(7, 8), Fraction(9, 8)]
    solved = optimal_weights([0.0, math.log(9 / 5)], HALF, 1.0, FermiDirac(float(cap)))
    bound, reason = tolerances.input_rounding(9 / 8, math.log(9 / 5))
    row("JS-10", "weights", np.abs(solved.weights - [7 / 8, 9 / 8]), bound + solved.weights_error, reason)
    row("JS-10", "multiplier", abs(solved.multiplier + math.log(3 / 4)), bound + solved.multiplier_error, reason)


def test_objectives_of_the_four_candidates_are_ordered(row):
    """JS-05: under the JS objective, JS 0.373196 > KL 0.356950 > sigmoid 0.326706 > lambda dropped 0.325510."""
    advantage = np.array([0.0, math.log(9 / 5)])
    dropped = weights_at(0.0, advantage, 1.0, JensenShannon())
    row("JS-05", "ratio without lambda", abs(dropped[1] / dropped[0] - 9.0), *tolerances.input_rounding(90.0, 1.0))
    candidates = {
        "JS": [0.5, 1.5],
        "KL": [5 / 7, 9 / 7],
        "sigmoid": [7 / 8, 9 / 8],
        "lambda dropped": dropped / dropped.mean(),
    }
    values = [relaxed_objective(w, advantage, HALF, 1.0, JensenShannon()) for w in candidates.values()]
    row.exact("JS-05", "strict order of objectives", values == sorted(set(values), reverse=True), f"saw {values}")
    printed = [0.373196, 0.356950, 0.326706, 0.325510]
    assert [round(value, 6) for value in values] == printed
    solved = optimal_weights(advantage, HALF, 1.0, JensenShannon())
    bound, reason = tolerances.input_rounding(1.5, math.log(9 / 5))
    row("JS-05", "optimal value", abs(solved.value - values[0]), bound + solved.gap, reason)


def test_relaxed_optimum_is_no_occupancy(row):
    """KL-05: A = (0, 0, log 9, -log 9), D uniform: mass 9/50 at the first state, where every policy has 1/2."""
    solved = optimal_weights([[0.0, 0.0], [math.log(9), -math.log(9)]], np.full((2, 2), 0.25), 1.0)
    bound, reason = tolerances.input_rounding(9 / 50, math.log(9))
    row(
        "KL-05",
        "mass at the first state",
        abs(solved.distribution[0].sum() - 9 / 50),
        bound + solved.weights_error,
        reason,
    )


def test_effective_sample_size_by_hand(row):
    """ESS-02: delta = (0, log 2, log 8): 121/69 at beta = 1, 529/457 at beta = 1/2; uniform weights give n (ESS-01)."""
    delta = [0.0, math.log(2), math.log(8)]
    uniform = np.full(3, 1 / 3)
    for beta, size in ((1.0, Fraction(121, 69)), (0.5, Fraction(529, 457))):
        solved = optimal_weights(delta, uniform, beta)
        bound, reason = tolerances.input_rounding(6.0, math.log(8) / beta)
        row("ESS-02", "effective sample size", abs(solved.effective_sample_size - float(size)), bound, reason)
    bound, reason = tolerances.conjugate_identity(3, 3.0)
    row("ESS-01", "uniform weights", abs(effective_sample_size([2.0, 2.0, 2.0], uniform) - 3.0), bound, reason)


@each_kind
@strategies.few
@given(case=strategies.weighted_data(betas=[0.1, 1.0, 10.0]), other=five_integers(0))
def test_no_other_weights_do_better(row, generator, case, other):
    """Weak duality: every feasible w has an objective below the dual value (FD-03)."""
    weights = np.array(other[: len(case.behavior)], dtype=np.float64)
    mean = float(weights @ case.behavior)
    assume(mean > 0.0)
    weights = weights / mean
    # move towards one until both ends of the domain hold
    room = min(1.0 - generator.smallest_ratio, generator.largest_ratio - 1.0)
    weights = 1.0 + (weights - 1.0) * min(1.0, room / max(float(weights.max()), 1.0) / 2.0)
    solved = optimal_weights(case.advantage, case.behavior, case.beta, generator)
    objective = relaxed_objective(weights, case.advantage, case.behavior, case.beta, generator)
    inside = case.behavior > 0.0
    scale = float(np.max(weights[inside] * np.abs(case.advantage[inside]) + case.beta * generator.f(weights[inside])))
    bound, reason = tolerances.conjugate_identity(8, scale)
    row("FD-03", f"objective below dual, {generator!r}", max(objective - solved.dual, 0.0), bound + solved.gap, reason)


@given(
    case=strategies.weighted_data(betas=[0.1, 1.0, 10.0], scales=[1.0]),
    other=five_integers(1),
)
def test_kl_suboptimality_is_a_divergence(row, case, other):
    """value - J(d) = beta KL(d || d*) for every distribution d on the support: optimality without calculus (KL-04)."""
    support = case.behavior > 0.0
    weights = np.where(support, np.array(other[: len(support)], dtype=np.float64), 0.0)
    weights = weights / (float(weights @ case.behavior) / math.fsum(case.behavior))
    solved = optimal_weights(case.advantage, case.behavior, case.beta)
    d, best = (weights * case.behavior)[support], solved.distribution[support]
    loss = solved.value - relaxed_objective(weights, case.advantage, case.behavior, case.beta, KL())
    divergence = math.fsum(d * np.log(d / best)) / math.fsum(case.behavior)
    scale = case.beta * (1.0 + float(np.abs(np.log(d / best)).max())) + float(np.abs(case.advantage[support]).max())
    bound, reason = tolerances.conjugate_identity(10, 8.0 * scale + 8.0 * case.beta * float(weights[support].max()))
    row("KL-04", "loss is beta KL(d || d*)", abs(loss - case.beta * divergence), bound + solved.gap, reason)


@each_kind
@strategies.few
@given(case=strategies.weighted_data(scales=[1.0]), shift=st.integers(-(2**20), 2**20))
def test_only_differences_of_advantages_matter(row, generator, case, shift):
    """w(A + c) = w(A), nu moves by c/beta (KL-08, JS-09). Integers shift exactly, so the weights agree to the bit."""
    solved = optimal_weights(case.advantage, case.behavior, case.beta, generator)
    moved = optimal_weights(case.advantage + shift, case.behavior, case.beta, generator)
    same = np.array_equal(solved.weights, moved.weights, equal_nan=True)
    row.exact("JS-09", f"shift of advantages, {generator!r}", same, f"{solved.weights} became {moved.weights}")
    difference = abs(moved.multiplier - solved.multiplier - shift / case.beta)
    bound, reason = tolerances.divergence_accuracy(shift / case.beta)
    error = bound + solved.multiplier_error + moved.multiplier_error
    row("JS-04", f"shift of the multiplier, {generator!r}", difference, error, reason)


@each_kind
@strategies.few
@given(case=strategies.weighted_data(), exponent=st.integers(-30, 30))
def test_scale_of_advantages_and_beta_together(row, generator, case, exponent):
    """w depends on A/beta only, and the value scales (ESS-07). Powers of two scale exactly: to the bit."""
    scale = 2.0**exponent
    solved = optimal_weights(case.advantage, case.behavior, case.beta, generator)
    scaled = optimal_weights(scale * case.advantage, case.behavior, scale * case.beta, generator)
    same = np.array_equal(solved.weights, scaled.weights, equal_nan=True) and scaled.value == scale * solved.value
    row.exact("ESS-07", f"joint scale, {generator!r}", same, f"{solved.weights} became {scaled.weights}")


@each_kind
@strategies.few
@given(case=strategies.weighted_data())
def test_weights_grow_with_the_advantage(row, generator, case):
    """Larger advantage, larger weight; equal advantage, equal weight (KL-09)."""
    solved = optimal_weights(case.advantage, case.behavior, case.beta, generator)
    support = np.flatnonzero(case.behavior > 0.0)
    order = support[np.argsort(case.advantage[support], kind="stable")]
    weights, advantage = solved.weights[order], case.advantage[order]
    ties = all(w == v for w, v, a, b in zip(weights, weights[1:], advantage, advantage[1:], strict=False) if a == b)
    row.exact("KL-09", f"ties, {generator!r}", ties, f"equal advantages {advantage} have weights {weights}")
    fall = np.append(np.maximum(weights[:-1] - weights[1:], 0.0), 0.0)
    row("KL-09", f"monotone weights, {generator!r}", fall, *tolerances.divergence_accuracy(weights))


@given(case=strategies.weighted_data(betas=[0.1, 0.5, 1.0, 2.0, 10.0], scales=[1.0, 1.0 / 3.0]))
def test_sigmoid_kl_and_js_are_ordered_by_majorisation(row, case):
    """JS-12: sigmoid, KL, JS concentrate more and more, in every partial sum from the top; hence ESS falls."""
    support = np.flatnonzero(case.behavior > 0.0)
    order = support[np.argsort(-case.advantage[support], kind="stable")]
    law, z = case.behavior[order], case.advantage[order] / case.beta
    kl = optimal_weights(case.advantage, case.behavior, case.beta, KL())
    js = optimal_weights(case.advantage, case.behavior, case.beta, JensenShannon())
    sigmoid = np.exp(np.minimum(z, 0.0)) / (1.0 + np.exp(-np.abs(z)))  # relatively accurate on both sides
    assume(float(sigmoid.min()) > 0.0)
    sigmoid = sigmoid / (math.fsum(law * sigmoid) / math.fsum(law))
    curves = [np.cumsum(law * w) for w in (sigmoid, kl.weights[order], js.weights[order])]
    bound, reason = tolerances.conjugate_identity(len(law), 1.0 + float(np.abs(z).max()))
    errors = bound + kl.weights_error + js.weights_error
    for lower, upper, name in ((0, 1, "sigmoid below KL"), (1, 2, "KL below JS")):
        row("JS-12", f"partial sums, {name}", np.maximum(curves[lower] - curves[upper], 0.0), errors, reason)
    sizes = [effective_sample_size(sigmoid, law), kl.effective_sample_size, js.effective_sample_size]
    for larger, smaller in itertools.pairwise(sizes):
        size_bound = len(law) * errors * 2.0 * float(js.weights[order].max())
        row("JS-12", "effective sample size falls", max(smaller - larger, 0.0), size_bound, reason)


@each_kind
@strategies.few
@given(
    case=strategies.weighted_data(betas=[1.0], scales=[1.0]),
    powers=TWO_POWERS,
)
def test_effective_sample_size_grows_with_beta(row, generator, case, powers):
    """ESS-11, for every generator and over ten decades; between the multiplicity of the best and all entries."""
    cold, warm = (optimal_weights(case.advantage, case.behavior, 10.0**k, generator) for k in sorted(powers))
    largest = float(np.nanmax(cold.weights))
    bound, reason = tolerances.conjugate_identity(len(case.behavior), 4.0 * cold.support)
    bound = bound + 4.0 * cold.support * largest * (cold.weights_error + warm.weights_error)
    fall = max(cold.effective_sample_size - warm.effective_sample_size, 0.0)
    row("ESS-11", f"ESS grows with beta, {generator!r}", fall, bound, reason)
    excess = max(warm.effective_sample_size - warm.support, 0.0)
    row("ESS-01", f"ESS at most n, {generator!r}", excess, *tolerances.conjugate_identity(8, warm.support))


def test_brackets_are_attained(row):
    """A rare best entry under JS takes nearly all mass: w = 1/D, the single-atom bound of JS-04 (JS-14: 100.0)."""
    law = np.full(100, 0.01)
    advantage = np.zeros(100)
    advantage[0] = 50.0
    solved = optimal_weights(advantage, law, 1.0, JensenShannon())
    low, _ = multiplier_bracket(advantage, law, JensenShannon())
    # what the other 99 entries keep: each e^(y) / (2 - e^y) with y <= log 2 - 50, and the slope w (1 + w) at the top
    kept = 99.0 * math.exp(-49.0)
    bound, reason = tolerances.input_rounding(1.0, 100.0)
    row("JS-14", "weight of the outlier", 100.0 - solved.weights[0], kept + bound, reason + "; mass kept by the others")
    row("JS-04", "single-atom bound attained", solved.multiplier - low, kept + bound, reason)
    assert round(float(solved.weights[0]), 1) == 100.0


@each_kind
@strategies.few
@given(advantage=st.integers(-(10**9), 10**9), beta=st.sampled_from(strategies.BETAS), place=st.integers(0, 2))
def test_one_atom_laws(row, generator, advantage, beta, place):
    """All data in one entry, or all advantages equal: w = 1 exactly, nu = A/beta, value A."""
    law = np.eye(3)[place]
    for behavior, advantages in (
        (law, np.where(law > 0.0, advantage, 7.0)),
        (np.full(4, 0.25), np.full(4, float(advantage))),
    ):
        solved = optimal_weights(advantages, behavior, beta, generator)
        seen = (set(solved.weights[behavior > 0.0]), solved.multiplier, solved.value, solved.dual)
        expected = ({1.0}, advantage / beta, float(advantage), float(advantage))
        row.exact(
            ID.get(generator.name, "FD-01"),
            f"one atom, {generator!r}",
            seen == expected,
            f"expected {expected}, saw {seen}",
        )


@each_kind
@strategies.few
@given(
    case=strategies.weighted_data(),
    garbage=GARBAGE,
    place=st.integers(0, 5),
)
def test_entries_without_data_change_nothing(row, generator, case, garbage, place):
    """The weight there is NaN, the law's share of it 0, and the rest is the same to the bit, whatever stands there."""
    place = min(place, len(case.behavior))
    solved = optimal_weights(case.advantage, case.behavior, case.beta, generator)
    wider = optimal_weights(
        np.insert(case.advantage, place, garbage), np.insert(case.behavior, place, 0.0), case.beta, generator
    )
    rest = np.delete(wider.weights, place)
    same = (
        np.array_equal(rest, solved.weights, equal_nan=True)
        and (wider.multiplier, wider.value, wider.gap) == (solved.multiplier, solved.value, solved.gap)
        and wider.effective_sample_size == solved.effective_sample_size
        and math.isnan(wider.weights[place])
        and wider.distribution[place] == 0.0
    )
    row.exact("KL-01", f"entries without data, {generator!r}", bool(same), f"{solved!r} became {wider!r}")


@given(case=strategies.weighted_data(betas=[1.0, 10.0, 100.0, 1e5]))
def test_uniform_and_greedy_limits_of_kl(row, case):
    """KL-10: |w - 1| <= e^(R/beta) - 1, and the mass off the best is at most (1 - D*)/D* e^(-gap/beta)."""
    support = case.behavior > 0.0
    advantage, law = case.advantage[support], case.behavior[support]
    solved = optimal_weights(case.advantage, case.behavior, case.beta)
    weights = solved.weights[support]
    spread = float(np.ptp(advantage)) / case.beta
    if spread < 700.0:
        row("KL-10", "near uniform", np.abs(weights - 1.0), math.expm1(spread) + solved.weights_error, "e^(R/beta) - 1")
    best = advantage == advantage.max()
    if not np.all(best):
        share = math.fsum(law[best])
        gap = float(advantage.max() - advantage[~best].max()) / case.beta
        bound = (1.0 - share) / share * math.exp(-gap) + solved.weights_error + tolerances.divergence_accuracy(1.0)[0]
        row("KL-10", "mass off the best", math.fsum((law * weights)[~best]), bound, "(1 - D*)/D* e^(-gap/beta)")


@given(
    advantage=st.lists(st.integers(-9, 9), min_size=2, max_size=8),
    cap=st.sampled_from([1.25, 2.0, 4.0]),
    power=st.integers(-6, 0),
)
def test_cold_fermi_dirac_is_conditional_value_at_risk(row, advantage, cap, power):
    """FD-06: CVaR of level 1/C minus beta max f <= value <= CVaR, so beta -> 0 gives CVaR."""
    beta, n = 10.0**power, len(advantage)
    ordered, left, risk = sorted(advantage, reverse=True), Fraction(1), Fraction(0)
    for number in ordered:  # the mean of the best 1/C of the law, exactly
        take = min(left, Fraction(cap) / n)
        risk, left = risk + take * number, left - take
    generator = FermiDirac(cap)
    solved = optimal_weights(np.array(advantage, dtype=np.float64), np.full(n, 1 / n), beta, generator)
    shortfall = float(risk) - solved.value
    price = float(max(generator.f(0.0), generator.f(cap)))
    bound, reason = tolerances.conjugate_identity(n, 10.0 * cap)
    row("FD-06", "value below CVaR", max(-shortfall, 0.0), solved.gap + bound, reason)
    row("FD-06", "value near CVaR", max(shortfall, 0.0), beta * price + solved.gap + bound, "beta max f")


def test_repr_is_short_and_arrays_are_frozen():
    solved = optimal_weights(np.arange(6.0).reshape(2, 3), np.full((2, 3), 1 / 6), 0.5, JensenShannon())
    assert repr(solved).startswith("Weights(JensenShannon(), beta 0.5, 6 of 6 entries, multiplier ")
    assert len(repr(solved)) < 160
    assert solved.weights.shape == (2, 3)
    with pytest.raises(ValueError, match="read-only"):
        solved.weights[0, 0] = 2.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ([1.0, math.nan], HALF, 1.0),
            r"advantage is nan at index 1, where behavior is 0\.5: expected a finite number",
        ),
        (([[0.0, 1.0], [math.inf, 0.0]], np.full((2, 2), 0.25), 1.0), r"advantage is inf at index \(1, 0\)"),
        (([1.0, 2.0], [1.5, -0.5], 1.0), r"behavior is -0\.5 at index 1: expected probabilities >= 0"),
        (([1.0, 2.0], [0.5, math.nan], 1.0), r"behavior is nan at index 1"),
        (([1.0, 2.0], [0.5, 0.4], 1.0), r"behavior sums to 0\.9: expected 1 up to rounding .* Divide it by its sum"),
        (([1.0, 2.0], [0.0, 0.0], 1.0), r"behavior is zero everywhere"),
        (([1.0, 2.0, 3.0], HALF, 1.0), r"advantage has shape \(3,\): expected that of behavior, \(2,\)"),
        (([1.0, 2.0], HALF, 0.0), r"beta is 0: expected a finite temperature > 0"),
        (([1.0, 2.0], HALF, -1.0), r"beta is -1"),
        (([1.0, 2.0], HALF, math.nan), r"beta is nan"),
        (([1e300, -1e300], HALF, 1e-10), r"overflow when divided by beta = 1e-10: rescale"),
    ],
)
@each_kind
def test_wrong_input_is_named(generator, arguments, message):
    with pytest.raises(ValueError, match=message):
        optimal_weights(*arguments, generator)


def test_a_multiplier_outside_the_domain_is_infeasible():
    """JS-03: at e^x = 5/2 the printed formula returns -5; here it is an error that says which multiplier would do."""
    with pytest.raises(
        DomainError, match=r"infeasible multiplier 0 for JensenShannon.*entry 1 has 0\.916.*above 0\.223"
    ):
        weights_at(0.0, [0.0, math.log(5 / 2)], 1.0, JensenShannon())
    with pytest.raises(ValueError, match="advantage is NaN at index 0"):
        weights_at(0.0, [math.nan], 1.0, KL())
    with pytest.raises(ValueError, match="weights has shape"):
        effective_sample_size([1.0], HALF)
    with pytest.raises(ValueError, match="the largest is 0"):
        effective_sample_size([0.0, 0.0], HALF)


def test_a_plateau_beside_a_finer_scale_of_floats_ends(row):
    """E w is one over a whole range of nu, and nu is near zero where the ends of that range are not."""
    found = optimal_weights(np.array([1.0, 0.25]), np.array([0.5, 0.5]), 0.01, Capped(JensenShannon(), 2.0))
    bound, reason = tolerances.conjugate_identity(2, 2.0)
    worst = float(np.abs(found.weights - [2.0, 0.0]).max())
    row("FD-05", "weights at a cap that the best entry fills", worst, found.weights_error + bound, reason)
