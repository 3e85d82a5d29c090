"""Flow problems enclosed in balls, against sixty decimal digits (OCC-10)."""

import dataclasses
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from exact_flow import ExactFlow

from reference.divergence import (
    KL,
    Capped,
    FermiDirac,
    Hellinger,
    JensenShannon,
    Mixture,
    PearsonChi2,
    Power,
    ReverseKL,
    TwoSidedFermiDirac,
)
from reference.flow_balls import enclose_flow
from reference.library import garnet
from reference.occupancy import occupancy_measure
from reference.regularized import regularized_occupancy

GENERATORS = (
    KL(),
    JensenShannon(),
    FermiDirac(8.0),
    TwoSidedFermiDirac(0.05, 8.0),
    PearsonChi2(),
    Hellinger(),
    ReverseKL(),
    Power(0.75),
    Power(2.0),
)


@pytest.mark.parametrize("divergence", GENERATORS, ids=repr)
def test_balls_and_decimals_enclose_the_same_optimum(row, divergence):
    mdp = garnet(4, 2, 3, seed=0, discount=0.9)
    law = np.random.default_rng(0).dirichlet(np.ones(8)).reshape(4, 2)
    law = law + 3.0 * occupancy_measure(mdp, np.full((4, 2), 0.5))  # which keeps both ends of every generator
    law /= law.sum()
    found = regularized_occupancy(mdp, law, 0.3, divergence)
    balls = enclose_flow(mdp, law, 0.3, divergence, found.values)
    with mpmath.workdps(60):
        digits = ExactFlow(mdp, law, 0.3, divergence).enclose(found.values)
        ends = [mpmath.mpf(end[0].numerator) / end[0].denominator for end in (balls.lower, balls.upper)]
        slack = float(digits.upper - digits.lower)
        apart = float(max(ends[0] - digits.upper, digits.lower - ends[1], 0))
    row("OCC-10", "balls and decimals", apart, slack + float(balls.width), "width of both enclosures")
    row("OCC-10", "width of the balls", float(balls.width), 2.0**-128 * max(abs(found.dual), 0.3), "128 bits")
    assert Fraction(found.primal) <= balls.upper[0]
    assert balls.lower[0] <= Fraction(found.dual)


def test_saturated_ratios_are_enclosed():
    """In the cold, ratios stand at the cap but for e^-1000: floats cannot tell them from it, balls can."""
    mdp = garnet(4, 3, 3, seed=1, discount=0.9)
    law = np.full((4, 3), 1.0 / 12.0)
    divergence = FermiDirac(8.0)
    found = regularized_occupancy(mdp, law, 1e-3, divergence)
    assert np.nanmax(np.abs(found.td_error)) > 500.0 * found.beta
    balls = enclose_flow(mdp, law, 1e-3, divergence, found.values)
    assert Fraction(found.primal) <= balls.upper[0]
    assert balls.lower[0] <= Fraction(found.dual)


@pytest.mark.parametrize("divergence", [PearsonChi2(), Power(2.0), Power(0.75)], ids=repr)
def test_clipped_ratios_are_enclosed(divergence):
    """In the cold most ratios are zero, and states that only those lead to are visited by nothing."""
    mdp = garnet(6, 3, 2, seed=1, discount=0.9)
    mdp = dataclasses.replace(mdp, initial=np.eye(6)[0])
    law = np.full((6, 3), 1.0 / 18.0)
    found = regularized_occupancy(mdp, law, 1e-2, divergence)
    assert np.count_nonzero(found.ratio == 0.0) >= 6
    balls = enclose_flow(mdp, law, 1e-2, divergence, found.values)
    assert Fraction(found.primal) <= balls.upper[0]
    assert balls.lower[0] <= Fraction(found.dual)


@pytest.mark.parametrize("divergence", [JensenShannon(), Hellinger(), ReverseKL()], ids=repr)
def test_values_beyond_the_pole_are_raised(row, divergence):
    """Values too low by a little more than the distance to the pole lead to the same optimum."""
    mdp = garnet(4, 2, 3, seed=0, discount=0.9)
    law = np.full((4, 2), 1.0 / 8.0)
    found = regularized_occupancy(mdp, law, 0.1, divergence)
    distance = divergence.supremum - float(found.td_error.max()) / found.beta
    low = found.values - 1.5 * distance * found.beta / (1.0 - mdp.discount)
    near, far = (enclose_flow(mdp, law, 0.1, divergence, values) for values in (found.values, low))
    apart = float(max(near.lower[0] - far.upper[0], far.lower[0] - near.upper[0], 0))
    row("OCC-10", "balls from beyond the pole", apart, 0.0, "two enclosures of one number meet")


@pytest.mark.parametrize("divergence", [Capped(KL(), 4.0), Mixture([(1.0, KL()), (1.0, ReverseKL())])], ids=repr)
def test_other_generators_are_refused(divergence):
    mdp = garnet(3, 2, 2, seed=0)
    with pytest.raises(TypeError, match="no formulas in balls"):
        enclose_flow(mdp, np.full((3, 2), 1.0 / 6.0), 1.0, divergence, np.zeros(3))
