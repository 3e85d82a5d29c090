"""What the chapter on adaptive beta rests on: weights of mean one, the exact iteration, the latch of an orbit."""

from __future__ import annotations

import pytest
from flint import fmpq
from hypothesis import given
from hypothesis import strategies as st

from proofs import balls, literal
from proofs.divergences import Law
from proofs.ess import iteration, paths, samples

small = st.builds(fmpq, st.integers(-12, 12), st.integers(1, 4))


@given(st.lists(st.tuples(st.integers(1, 9), small), min_size=1, max_size=5))
def test_chi_square_weights_are_stationary_and_have_mean_one(row, atoms):
    total = sum(mass for mass, _ in atoms)
    law = Law(tuple(fmpq(mass, total) for mass, _ in atoms), tuple(z for _, z in atoms))
    weights = paths.chi_square_weights(law)
    row.exact("ESS-11", "mean one", law.expect(weights) == 1, f"{weights} on {law}")
    levels = {str(1 + z - w) for w, z in zip(weights, law.z, strict=True) if w > 0}
    row.exact("ESS-11", "one multiplier where w > 0", len(levels) == 1, f"{levels} on {law}")
    nu = next(1 + z - w for w, z in zip(weights, law.z, strict=True) if w > 0)
    idle = all(1 + z - nu <= 0 for w, z in zip(weights, law.z, strict=True) if w == 0)
    row.exact("ESS-11", "no weight withheld", idle, f"{weights} on {law}")


@pytest.mark.parametrize("generator", paths.GENERATORS, ids=lambda generator: generator.name)
def test_every_generator_has_narrow_weights_of_mean_one(generator, row):
    law = Law((fmpq(1, 3), fmpq(1, 2), fmpq(1, 6)), (fmpq(0), fmpq(2), fmpq(-1)))
    weights = [balls.ball(w) for w in paths.weights(law, generator)]
    with balls.precision(192):
        mean = balls.ball(law.expect(weights))
    row.exact("ESS-11", "mean one", mean.contains(1) and mean.rad() < fmpq(1, 10**12), str(mean))


def test_the_two_sizes_are_one(row):
    for weights in samples.weights(20, seed=3):
        same = literal.effective_sample_size(weights) == samples.moment_size(weights)
        row.exact("ESS-01", "(Σw)²/Σw² = 1/Σw̄²", same, str(weights))


def test_the_gaussian_size_is_that_of_its_batch(row):
    with balls.precision(128):
        beta = balls.ball(fmpq(7, 5))
        batch = [(balls.ball(delta) / beta).exp() for delta in samples.gaussian(16)]
        apart = samples.gaussian_size(beta, 16) - literal.effective_sample_size(batch)
        row.exact("ESS-04", "half the quantiles suffice", apart.contains(0) and apart.rad() < 2.0**-90, str(apart))


def test_an_iteration_that_the_clip_does_not_decide_is_refused(row):
    with pytest.raises(ValueError, match="lies between the bounds"):
        iteration.exact_iteration(fmpq(3, 2), fmpq(1), fmpq(3, 2), literal.beta_exponent)
    row.exact("ESS-04", "no rounded iteration", True, "")


def test_a_ball_next_to_a_bound_is_not_the_bound(row):
    with balls.precision(128):
        ends = balls.ball(fmpq(1, 10)), balls.ball(10)
        near = balls.ball(10) - balls.ball(fmpq(1, 2**100))
        row.exact("ESS-04", "bound told from its neighbour", not iteration.is_bound(near, ends), str(near))
        clipped = literal.clip(balls.ball(11), *ends)
        row.exact("ESS-04", "clipped is the bound", iteration.is_bound(clipped, ends), str(clipped))
