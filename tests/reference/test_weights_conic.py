"""Weights of every generator against a conic solver, to its accuracy; and their certificates, which close to 1e-12."""

import math

import conic
import numpy as np
import pytest
import tolerances
import tolerances_flow
import tolerances_generators

from reference.divergence import (
    KL,
    Capped,
    Divergence,
    FermiDirac,
    Hellinger,
    JensenShannon,
    Mixture,
    PearsonChi2,
    Power,
    ReverseKL,
    TwoSidedFermiDirac,
)
from reference.weights import optimal_weights, relaxed_objective

GENERATORS: list[Divergence] = [
    KL(),
    JensenShannon(),
    FermiDirac(1.5),
    FermiDirac(4.0),
    TwoSidedFermiDirac(0.5, 2.0),
    PearsonChi2(),
    Hellinger(),
    ReverseKL(),
    Power(0.5),
    Power(2.0),
    Capped(KL(), 2.0),
    Capped(ReverseKL(), 2.0),
    Mixture([(0.5, JensenShannon()), (1.0, PearsonChi2())]),
]
every_generator = pytest.mark.parametrize("generator", GENERATORS, ids=repr)
TEMPERATURES = (0.3, 1.0, 5.0)


def instance(seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Six advantages of unit size under a random law, and a temperature."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=6), rng.dirichlet(np.ones(6)), TEMPERATURES[seed]


@every_generator
@pytest.mark.parametrize("seed", range(3))
def test_against_an_independent_conic_solver(row, generator, seed):
    """Clarabel through cvxpy: our value and weights lie within the gap of its own primal and dual answers (FD-03)."""
    cvxpy = pytest.importorskip("cvxpy", reason="the third opinion needs cvxpy and clarabel")
    advantage, law, beta = instance(seed)
    d = cvxpy.Variable(6)
    price, constraints = conic.price(cvxpy, generator, d, law)
    normalised = cvxpy.sum(d) == 1
    problem = cvxpy.Problem(cvxpy.Maximize(advantage @ d - beta * price), [normalised, *constraints])
    problem.solve(solver=cvxpy.CLARABEL)
    assert problem.status == "optimal"

    solved = optimal_weights(advantage, law, beta, generator)
    theirs = inside(generator, d.value / law, law)
    lower = relaxed_objective(theirs, advantage, law, beta, generator)
    nu = float(normalised.dual_value) / beta
    upper = beta * (nu + math.fsum(law * generator.conjugate(advantage / beta - nu)) / math.fsum(law))
    scale = float(np.abs(advantage).max() + beta * np.max(generator.f(theirs)) + abs(upper))
    rounding = tolerances.conjugate_identity(6, scale)[0]
    gap = max(upper - lower, 0.0) + rounding
    reason = "gap between the conic solver's own primal and dual answers"
    outside = max(lower - solved.dual, solved.value - upper, 0.0)
    row("FD-03", f"value, {generator!r}", outside, rounding + solved.gap, "weak duality")
    row("FD-03", f"conic value, {generator!r}", abs(solved.value - lower), gap + solved.gap, reason)
    bound, reason = tolerances_flow.strong_concavity(gap, beta, generator, law, solved.weights, theirs)
    row("FD-01", f"conic weights, {generator!r}", np.abs(theirs - solved.weights), bound, reason)


def inside(generator: Divergence, ratio: np.ndarray, law: np.ndarray) -> np.ndarray:
    """Ratios of mean one in the domain of f next to those of a solver that keeps neither to the last digit.

    Clipped to the domain, then mixed with the end on the other side of one.
    """
    ratio = np.clip(ratio, generator.smallest_ratio, generator.largest_ratio)
    mean = math.fsum(law * ratio) / math.fsum(law)
    if mean >= 1.0 or generator.largest_ratio == math.inf:
        smallest = generator.smallest_ratio
        return smallest + (ratio - smallest) * (1.0 - smallest) / (mean - smallest)
    return ratio + (generator.largest_ratio - ratio) * (1.0 - mean) / (generator.largest_ratio - mean)


@pytest.mark.long
@every_generator
def test_certificates_close(row, generator):
    """The gap of the relaxed problem, rounding counted, is below 1e-12 on data of unit size (FD-03)."""
    for seed in range(3):
        advantage, law, _ = instance(seed)
        for beta in 10.0 ** np.arange(-5.0, 6.0):
            solved = optimal_weights(advantage, law, float(beta), generator)
            bound = tolerances_generators.closed(float(np.abs(advantage).max()))
            row("FD-03", f"certificate closes, {generator!r}", solved.gap, *bound)
