"""The three ratios beside one another, and the figures that show them."""

import numpy as np
import pytest
import tolerances

from reference import figures_ratios
from reference.divergence import KL, FermiDirac, JensenShannon
from reference.library import chain, garnet, gridworld
from reference.ratios import behavior_of, three_ratios
from reference.sources import load_mdp, uniform_policy
from reference.temperature import beta_for_effective_sample_fraction
from reference.temperature_feedback import FeedbackLaw, printed_law, stable_law
from reference.weights import optimal_weights

MDP = garnet(6, 3, 2, 0, 0.9)


def axes():
    """Axes without a window, or a skip where matplotlib is not installed."""
    pytest.importorskip("matplotlib.figure")
    return figures_ratios.figure((6.0, 4.0))[1]


def test_each_ratio_keeps_what_it_promises(row):
    """Mean one over the data; mean one in every state; an occupancy (KL-04, OCC-06, OCC-01)."""
    policy = uniform_policy(MDP)
    ratios = three_ratios(MDP, policy, 0.5)
    law = ratios.behavior.law
    bound, reason = tolerances.normalisation(law.size)
    relaxed = abs(float(np.nansum(law * ratios.relaxed.weights)) - 1.0)
    row("KL-04", "mean of the relaxed ratio", relaxed, bound + ratios.relaxed.weights_error, reason)
    means = (policy * ratios.conditional.ratio).sum(axis=1)
    # the ratio is exp((q - v)/beta), whose errors are those of v and q over beta
    loose = 4.0 * ratios.conditional.error_bound / 0.5 * float(ratios.conditional.ratio.max())
    row("OCC-06", "means of the conditional ratio", float(np.abs(means - 1.0).max()), bound + loose, reason)
    np.testing.assert_array_equal(ratios.occupancy.behavior, law)
    assert ratios.occupancy.converged


def test_all_ratios_tend_to_one_as_beta_grows():
    far, near = (three_ratios(MDP, uniform_policy(MDP), beta) for beta in (1.0, 1e6))
    for kind in (
        lambda r: r.relaxed.weights,
        lambda r: r.conditional.ratio,
        lambda r: r.occupancy.ratio,
    ):
        assert np.nanmax(np.abs(kind(near) - 1.0)) < 1e-3 * np.nanmax(np.abs(kind(far) - 1.0))


def test_pairs_that_are_not_available_have_no_advantage():
    behavior = behavior_of(chain(3), uniform_policy(chain(3)))
    np.testing.assert_array_equal(np.isnan(behavior.advantage), ~chain(3).available)
    with pytest.raises(ValueError, match="policy"):
        behavior_of(chain(3), np.ones((3, 2)))


def test_points_are_the_ratios_in_order():
    mdp = gridworld(2, 2)
    ratios = three_ratios(mdp, uniform_policy(mdp), 0.5)
    ax = axes()
    assert figures_ratios.plot_ratios(mdp, ratios, ax) is ax
    data = ratios.behavior.law > 0.0
    drawn = {line.get_label(): line.get_ydata() for line in ax.lines[:3]}
    np.testing.assert_array_equal(drawn["occupancy d*/D"], np.sort(ratios.occupancy.ratio[data]))
    np.testing.assert_array_equal(np.sort(drawn["relaxed"]), np.sort(ratios.relaxed.weights[data]))
    np.testing.assert_array_equal(np.sort(drawn["conditional π*/π_D"]), np.sort(ratios.conditional.ratio[data]))
    assert len(ax.get_xticklabels()) == data.sum()


@pytest.mark.parametrize("beta", [1e-4, 0.3, 100.0])
def test_weight_curves_pass_through_the_weights(beta):
    behavior = behavior_of(MDP, uniform_policy(MDP))
    generators = [KL(), JensenShannon(), FermiDirac(2.0)]
    ax = axes()
    figures_ratios.plot_weight_curves(behavior, beta, generators, ax)
    for place, generator in enumerate(generators):
        points, curve = ax.lines[2 * place], ax.lines[2 * place + 1]
        solved = optimal_weights(behavior.advantage, behavior.law, beta, generator)
        np.testing.assert_array_equal(points.get_ydata(), solved.weights[behavior.law > 0.0])
        heights = np.asarray(curve.get_ydata())
        assert np.isfinite(heights).all()
        assert (np.diff(heights) >= 0.0).all()


def test_a_few_large_ratios_do_not_hide_the_others():
    behavior = behavior_of(MDP, uniform_policy(MDP))
    mild, steep = (figures_ratios.plot_weight_curves(behavior, beta, [KL()], axes()) for beta in (100.0, 1e-4))
    assert mild.get_yscale() == "linear"
    largest = optimal_weights(behavior.advantage, behavior.law, 1e-4).weights
    assert (steep.get_yscale() == "log") == (np.nanmax(largest) > 100.0)
    cliff = load_mdp("cliff:4,12")
    ax = figures_ratios.plot_ratios(cliff, three_ratios(cliff, uniform_policy(cliff), 1.0), axes())
    assert ax.get_yscale() == "log"


def test_the_effective_share_is_drawn_as_the_library_has_it():
    behavior, betas = behavior_of(MDP, uniform_policy(MDP)), np.array([0.1, 1.0, 10.0])
    ax = figures_ratios.plot_concentration(behavior, betas, [KL(), JensenShannon()], axes())
    for line, generator in zip(ax.lines, (KL(), JensenShannon()), strict=True):
        expected = [optimal_weights(behavior.advantage, behavior.law, b, generator) for b in betas]
        np.testing.assert_array_equal(line.get_ydata(), [each.effective_sample_fraction for each in expected])
        np.testing.assert_array_equal(line.get_xdata(), betas)


@pytest.mark.long
def test_the_printed_law_runs_to_a_bound_and_the_stable_one_to_the_answer():
    """From the same start (ESS-03, ESS-05); the figure shows both, and the exact answer (BET-03)."""
    behavior = behavior_of(MDP, uniform_policy(MDP))

    def share(beta: float) -> float:
        return optimal_weights(behavior.advantage, behavior.law, beta).effective_sample_fraction

    exact = beta_for_effective_sample_fraction(behavior.advantage, behavior.law, 0.5)
    law = FeedbackLaw(0.5, 0.2, 0.25, beta_min=1e-3, beta_max=1e2)
    ax = figures_ratios.plot_feedback(law, 2.0 * exact.beta, share, 200, exact.beta, axes())
    printed, stable = (np.asarray(line.get_ydata()) for line in ax.lines[:2])
    assert printed[-1] == law.beta_max
    assert abs(stable[-1] - exact.beta) < 1e-3 * abs(stable[0] - exact.beta)
    assert f"exact β = {exact.beta:.3g}" in [line.get_label() for line in ax.lines]
    low = figures_ratios.feedback_path(law, 0.5 * exact.beta, share, 200, printed_law)
    assert low[-1] == law.beta_min
    np.testing.assert_array_equal(
        stable, figures_ratios.feedback_path(law, 2.0 * exact.beta, share, 200, stable_law)
    )  # fmt: skip
