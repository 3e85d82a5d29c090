"""A small draw of `tests/truth.py`: no certificate is ever below the true error, nor far above it in the median.

As many processes as Hypothesis draws examples, 50 at least, or 5000 under `HYPOTHESIS_PROFILE=nightly`. 10,000, and a
table:

    python tests/truth.py
"""

import numpy as np
import pytest
import tolerances_exact
import truth
from hypothesis import settings

from reference.library import named

DRAWS = max(settings().max_examples, 50)  # the median of fewer says little


@pytest.fixture(scope="module")
def drawn() -> dict[str, list[truth.Measured]]:
    """Every certificate of the random processes."""
    return truth.collect((f"draw({seed})", seed, truth.draw(seed)) for seed in range(DRAWS))


@pytest.mark.long
def test_no_certificate_of_a_random_process_is_violated(row, drawn):
    for quantity, measured in drawn.items():
        for entry in measured:
            row("RL-34", f"{quantity}: error of random processes", float(entry.error), entry.bound, "certified bound")
            row.exact("RL-34", f"{quantity}: bound of random processes", not entry.violated, f"{entry}")


@pytest.mark.long
def test_certificates_are_tight_in_the_median(row, drawn):
    for quantity, measured in truth.families(drawn).items():
        ratio = truth.median(np.array([entry.ratio for entry in measured]))
        row("RL-34", f"{quantity}: median bound over true error", ratio, *tolerances_exact.median_ratio())


@pytest.mark.parametrize("name", sorted(named()))
def test_no_certificate_of_a_named_process_is_violated(row, name):
    for entry in truth.measure(named()[name].mdp, 0):
        row.exact("RL-34", "certificates of named processes", not entry.violated, f"{name}: {entry}")


def test_draws_are_of_every_kind():
    """The families of processes on which the promise is made."""
    mdps = [truth.draw(seed) for seed in range(200)]
    assert {mdp.discount for mdp in mdps} == set(truth.DISCOUNTS)
    assert {mdp.is_sparse for mdp in mdps} == {False, True}
    assert any(not mdp.available.all() for mdp in mdps)
    assert any((mdp.rewards < 0.0).all() for mdp in mdps)
    assert any(mdp.terminal.any() for mdp in mdps)
    scales = [mdp.largest_reward for mdp in mdps if mdp.largest_reward > 0.0]
    assert min(scales) < 1e-7
    assert max(scales) > 1e7
    dense = [np.asarray(mdp.to_dense().transitions) for mdp in mdps]
    assert any(((rows > 0.0) & (rows < 1e-9)).any() for rows in dense)
    assert any((rows[:, 0] == rows[:, 1]).all() for rows in dense if rows.shape[1] > 1 and rows.shape[0] > 1)
