"""Enclosures by ball arithmetic against decimals, many-digit floats and exact rationals."""

from fractions import Fraction

import exact_weights
import mpmath
import numpy as np
import pytest
import tolerances_exact
from exact import fractions
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import Drawn, WeightedData, few, mdps, policies, weighted_data

from reference import rational
from reference.balls import Enclosure, enclose_policy_values, enclose_soft_values, enclose_weights, end
from reference.divergence import (
    KL,
    Capped,
    Divergence,
    FermiDirac,
    Hellinger,
    JensenShannon,
    PearsonChi2,
    Power,
    ReverseKL,
    TwoSidedFermiDirac,
)
from reference.library import named
from reference.rational import intended
from reference.sources import uniform_policy

TEMPERATURES = st.sampled_from([0.01, 1.0, 100.0])
GENERATORS = [
    KL(),
    JensenShannon(),
    FermiDirac(1.01),
    FermiDirac(2.0),
    FermiDirac(50.0),
    TwoSidedFermiDirac(0.5, 2.0),
    PearsonChi2(),
    Hellinger(),
    ReverseKL(),
    Power(1.5),
    Power(2.0),
    Capped(KL(), 4.0),
    Capped(PearsonChi2(), 1.5),
]
ID = {"kl": "KL-04", "js": "JS-04", "fermi-dirac": "JS-10"}


def apart(enclosure: Enclosure, numbers) -> float:
    """How far the numbers lie outside the enclosure."""
    pairs = zip(enclosure.lower, map(Fraction, numbers), enclosure.upper, strict=True)
    return float(max(max(low - x, x - high, Fraction(0)) for low, x, high in pairs))


def size(numbers) -> float:
    return max(abs(float(number)) for number in numbers)


@few
@given(mdps(), TEMPERATURES)
def test_soft_values_are_enclosed(row, drawn: Drawn, alpha):
    """SAC-06 against Newton's method on 50 decimal digits."""
    true = drawn.exact.soft_optimal_values(alpha)
    for mdp in (drawn.mdp, drawn.sparse):
        found = enclose_soft_values(mdp, alpha)
        scale = max(size(true), alpha, mdp.largest_reward)
        row("SAC-06", "soft values outside their enclosure", apart(found, true), *tolerances_exact.decimals(mdp, scale))
        row("SAC-06", "width of the enclosure", float(found.width), *tolerances_exact.width(mdp, scale, 128))


@few
@given(mdps(), TEMPERATURES, st.data())
def test_soft_policy_values_are_enclosed(row, drawn: Drawn, alpha, data):
    mdp, policy = drawn.mdp, data.draw(policies(drawn.mdp))
    true = drawn.exact.soft_policy_values(fractions(policy), alpha)
    found = enclose_policy_values(mdp, policy, alpha)
    scale = max(size(true), alpha, mdp.largest_reward)
    row("SAC-03", "policy values outside their enclosure", apart(found, true), *tolerances_exact.decimals(mdp, scale))
    row("SAC-03", "width of the enclosure", float(found.width), *tolerances_exact.width(mdp, scale, 128))
    hard = enclose_policy_values(mdp, policy, 0.0)
    exact = drawn.exact.policy_values(fractions(policy))
    row.exact("RL-03", "rational values in their enclosure", apart(hard, exact) == 0.0, f"{hard} without {exact}")


@few
@given(mdps(availability=False, terminals=False, dyadic=True), TEMPERATURES)
def test_gumbel_values_under_a_uniform_policy_are_shifted_soft_values(row, drawn: Drawn, alpha):
    """OCC-06: with `A` actions in every state, a Gumbel value is the soft one less `alpha log A / (1 - gamma)`."""
    mdp = drawn.mdp
    soft, gumbel = enclose_soft_values(mdp, alpha), enclose_soft_values(mdp, alpha, uniform_policy(mdp))
    with mpmath.workdps(60):
        shift = _fraction(mpmath.mpf(alpha) * mpmath.log(mdp.n_actions) / (1 - mpmath.mpf(mdp.discount)))
    scale = size(soft.lower) + float(shift)
    outside = apart(gumbel, [low - shift for low in soft.lower])
    row("OCC-06", "Gumbel values of the uniform policy", outside, *tolerances_exact.decimals(mdp, scale))


@pytest.mark.parametrize("generator", GENERATORS, ids=repr)
@few
@example(case=WeightedData(np.array([0.0, 1.0]), np.array([0.5, 0.5]), 1e-5))  # a plateau, for a cap of 2
@given(case=weighted_data())
def test_relaxed_problem_is_enclosed(row, generator, case):
    """Weights, multiplier and value against bisection on 60 digits (KL-04, JS-04, JS-10, FD-03)."""
    found = enclose_weights(case.advantage, case.behavior, case.beta, generator)
    with mpmath.workdps(60):
        true = exact_weights.solve(generator, case.advantage, case.behavior, case.beta)
        weights, value = [_fraction(w) for w in true.weights], _fraction(true.value)
    id, name = ID.get(generator.name, "FD-01"), repr(generator)
    bound, reason = tolerances_exact.bisection(generator, case.advantage, case.beta, weights)
    row(id, f"weights outside their enclosure, {name}", apart(found.weights, weights), bound, reason)
    scale = float(np.abs(case.advantage).max()) + case.beta
    error = apart(found.value, [value])
    row("FD-03", f"value outside its enclosure, {name}", error, *tolerances_exact.digits(scale, 50))
    row("FD-03", f"width of the value, {name}", float(found.value.width), *tolerances_exact.digits(scale, 30))


def test_rational_data_have_enclosures_of_any_width(row):
    """Three arms, two of them equally good: `v = (1 + log(2 + 1/e)) / (1 - gamma)` at temperature 1."""
    mdp = intended(named()["bandit"].mdp)
    with mpmath.workdps(200):
        true = _fraction((1 + mpmath.log(2 + mpmath.exp(-1))) / (1 - mpmath.mpf(3) / 4))
    for bits in (64, 256):
        found = enclose_soft_values(mdp, 1.0, bits=bits)
        row.exact("SAC-06", "closed form in its enclosure", apart(found, [true]) == 0.0, f"{found} without {true}")
        row("SAC-06", "width of the enclosure", float(found.width), *tolerances_exact.width(mdp.nearest, 8.0, bits))
    low, high = found.error(np.array([float(true)]))
    assert low <= abs(Fraction(float(true)) - true) <= high <= low + found.width


def test_missing_formulas_and_libraries_are_named(monkeypatch):
    law = np.array([0.5, 0.5])
    # A generator of someone's own, none of whose methods is called.
    stranger = type("Stranger", (Divergence,), dict.fromkeys(Divergence.__abstractmethods__))()
    with pytest.raises(TypeError, match=r"no formulas in balls for .*expected kl, js, fermi-dirac, .* capped"):
        enclose_weights(np.array([0.0, 1.0]), law, 1.0, stranger)

    def absent(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(rational, "import_module", absent)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "roer\[exact\]"'):
        enclose_weights(np.array([0.0, 1.0]), law, 1.0, KL())


def _fraction(number) -> Fraction:
    sign, mantissa, exponent, _ = number._mpf_
    return Fraction((-1) ** sign * int(mantissa)) * Fraction(2) ** max(exponent, -(1 << 14))


def test_ends_that_are_too_small_to_be_written_lie_outward():
    """Of e^-x, which no float and no short fraction holds, of its opposite, and of numbers that are written exactly."""
    flint = rational.import_flint()
    least = Fraction(1, 1 << 16384)
    positive = flint.arb(-20000).exp()
    for number, ends in (
        (positive, (0, least)),
        (-positive, (-least, 0)),
        (flint.arb(0, positive), (-least, least)),
        (flint.arb(0), (0, 0)),
        (flint.arb(-3) / 4, (Fraction(-3, 4), Fraction(-3, 4))),
        (flint.arb(2) ** -16384, (least, least)),
    ):
        assert (end(number, "lower"), end(number, "upper")) == ends
