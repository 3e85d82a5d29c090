"""Flow problems enclosed in balls, against sixty decimal digits (OCC-10)."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
from exact_flow import ExactFlow
from plain_generators import PearsonChi2

from reference.divergence import KL, FermiDirac, JensenShannon
from reference.flow_balls import enclose_flow
from reference.library import garnet
from reference.regularized import regularized_occupancy


@pytest.mark.parametrize("divergence", [KL(), JensenShannon()], ids=lambda d: d.name)
def test_balls_and_decimals_enclose_the_same_optimum(row, divergence):
    mdp = garnet(4, 2, 3, seed=0, discount=0.9)
    law = np.random.default_rng(0).dirichlet(np.ones(8)).reshape(4, 2)
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


def test_other_generators_are_refused():
    mdp = garnet(3, 2, 2, seed=0)
    with pytest.raises(TypeError, match="no formulas in balls"):
        enclose_flow(mdp, np.full((3, 2), 1.0 / 6.0), 1.0, PearsonChi2(), np.zeros(3))
