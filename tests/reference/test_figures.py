"""What figures say: titles, axes, scales and legends. What they draw is compared where their numbers are."""

from functools import cache
from typing import Any

import numpy as np
import pytest

from reference import figures, figures_ratios
from reference.commands_learning import Curve, plot_curve
from reference.divergence import KL, Divergence, JensenShannon
from reference.learners import LEARNERS
from reference.library import garnet, gridworld
from reference.mdp import MDP
from reference.occupancy import occupancy_measure
from reference.planning import solve
from reference.ratios import Behavior, Ratios, behavior_of, three_ratios
from reference.rounding import UNIT_ROUNDOFF
from reference.show import number, pair_labels, policy_cells
from reference.sources import uniform_policy
from reference.temperature_feedback import FeedbackLaw
from reference.weights import Weights, optimal_weights

GRID, OTHER = gridworld(2, 3), garnet(3, 2, 2, 0, 0.9)
GENERATORS = (KL(), JensenShannon())
LAW = FeedbackLaw(0.5, 0.2, 0.25, beta_min=1e-3, beta_max=1e2)


@cache
def behavior() -> Behavior:
    return behavior_of(OTHER, uniform_policy(OTHER))


@cache
def weights(generator: Divergence) -> Weights:
    return optimal_weights(behavior().advantage, behavior().law, 0.5, generator)


@cache
def ratios() -> Ratios:
    return three_ratios(OTHER, uniform_policy(OTHER), 0.5)


def visits(mdp: MDP) -> np.ndarray:
    return occupancy_measure(mdp, uniform_policy(mdp))


def axes() -> Any:
    """Axes without a window, or a skip where matplotlib is not installed."""
    return pytest.importorskip("matplotlib.figure").Figure().add_subplot()


def said(ax: Any) -> tuple[str, str, str, list[str]]:
    """Title, axes and legend."""
    legend = ax.get_legend()
    texts = [text.get_text() for text in legend.get_texts()] if legend else []
    return ax.get_title(), ax.get_xlabel(), ax.get_ylabel(), texts


FIGURES = {
    "values by state": (
        lambda ax: figures.plot_solution(OTHER, solve(OTHER), ax),
        lambda: (f"{solve(OTHER).solver}, error ≤ {solve(OTHER).error_bound:.1e}", "state", "value", []),
    ),
    "visits by state": (
        lambda ax: figures.plot_occupancy(OTHER, visits(OTHER), ax),
        lambda: ("state occupancy", "state", "discounted occupancy", []),
    ),
    "numbers by state": (
        lambda ax: figures.plot_states(OTHER, np.arange(3.0), "gain", ax),
        lambda: ("", "state", "gain", []),
    ),
    "weights": (
        lambda ax: figures.plot_weights(weights(KL()), behavior().advantage, ax),
        lambda: (
            f"KL(), β = 0.5, ν = {weights(KL()).multiplier:.4g}, effective share of the data "
            f"{weights(KL()).effective_sample_fraction:.3g}",
            "advantage",
            "weight w = d/D",
            [],
        ),
    ),
    "three ratios": (
        lambda ax: figures_ratios.plot_ratios(OTHER, ratios(), ax),
        lambda: (
            "three ratios, KL(), β = 0.5",
            "pairs with data, by occupancy ratio",
            "ratio w",
            ["occupancy d*/D", "conditional π*/π_D", "relaxed"],
        ),
    ),
    "weights of several generators": (
        lambda ax: figures_ratios.plot_weight_curves(behavior(), 0.5, GENERATORS, ax),
        lambda: (
            "optimal weights at β = 0.5",
            "advantage",
            "weight w",
            [f"{each!r}, ESS {weights(each).effective_sample_fraction:.2g}" for each in GENERATORS],
        ),
    ),
    "concentration": (
        lambda ax: figures_ratios.plot_concentration(behavior(), np.array([0.1, 1.0]), GENERATORS, ax),
        lambda: ("effective share of the data", "β", "1 / E w²", ["KL()", "JensenShannon()"]),
    ),
    "feedback": (
        lambda ax: figures_ratios.plot_feedback(LAW, 1.0, lambda beta: beta / (1.0 + beta), 4, 0.75, ax),
        lambda: (
            "feedback laws, target 0.5, η = 0.2, ρ = 0.25",
            "step",
            "β",
            ["as printed", "sign reversed", "exact β = 0.75"],
        ),
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_say_what_they_show(name):
    draw, expected = FIGURES[name]
    assert said(draw(axes())) == expected()


def test_grids_have_a_scale_and_a_label_in_every_cell():
    """Maps of values, visits and any other number: the first row of cells on top, light letters on dark cells."""
    solution = solve(GRID)
    numbers = np.linspace(0.0, 5.0, 6)
    for draw, label, cells in (
        (lambda ax: figures.plot_solution(GRID, solution, ax), "value", policy_cells(GRID, solution.policy)),
        (
            lambda ax: figures.plot_occupancy(GRID, visits(GRID), ax),
            "discounted occupancy",
            [number(visit, 2) for visit in visits(GRID).sum(axis=1)],
        ),
        (lambda ax: figures.plot_states(GRID, numbers, "gain", ax), "gain", [number(x, 2) for x in numbers]),
    ):
        ax = draw(axes())
        [scale] = [other for other in ax.figure.axes if other is not ax]
        assert scale.get_ylabel() == label
        assert [text.get_text() for text in ax.texts] == cells
        assert [text.get_position() for text in ax.texts] == [(column, row) for row in range(2) for column in range(3)]
        image = ax.images[0]
        light = [text.get_color() == "white" for text in ax.texts]
        shares = np.asarray(image.norm(image.get_array())).ravel()
        assert max(shares[light]) < min(shares[~np.array(light)])
        assert (len(ax.get_xticks()), len(ax.get_yticks())) == (0, 0)


@pytest.mark.parametrize("bounds", [None, np.array([[9.0, 8.0], [4.0, 5.0], [1.0, 1.0]])])
def test_curves_are_drawn_with_their_range_and_their_bound(bounds):
    """On logarithmic axes, unless an error is zero; runs that diverge leave the figure."""
    errors = np.array([[8.0, 2.0], [4.0, 1e200], [0.5, 0.25]])
    curve, learner = Curve(np.array([1, 10, 100]), errors, bounds), LEARNERS["td"]
    ax = axes()
    assert plot_curve(curve, learner, "td", ax) is ax
    ends = [] if bounds is None else ["bound, false with p = 1e-09"]
    assert said(ax) == ("td", learner.unit, learner.quantity, ["error, 2 replications", *ends])
    lines = [np.asarray(line.get_ydata()) for line in ax.lines]
    np.testing.assert_array_equal(lines[0], [5.0, np.nan, 0.375])
    if bounds is not None:
        np.testing.assert_array_equal(lines[1], [9.0, 5.0, 1.0])
    assert all(np.array_equal(line.get_xdata(), curve.steps) for line in ax.lines)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    met = plot_curve(curve._replace(errors=0.0 * errors), learner, "td", axes())
    assert (met.get_xscale(), met.get_yscale()) == ("log", "linear")


def test_pairs_are_named_on_their_axis():
    ax = figures_ratios.plot_ratios(OTHER, ratios(), axes())
    order = np.argsort(ratios().occupancy.ratio.ravel(), kind="stable")
    assert [text.get_text() for text in ax.get_xticklabels()] == [pair_labels(OTHER)[pair] for pair in order]
    np.testing.assert_array_equal(ax.get_xticks(), np.arange(OTHER.n_states * OTHER.n_actions))


def test_betas_are_drawn_on_logarithmic_axes_that_hold_the_bounds():
    """Both bounds that a law keeps to are inside; a share of the data is at most one."""
    feedback = figures_ratios.plot_feedback(LAW, 1.0, lambda beta: beta / (1.0 + beta), 4, None, axes())
    assert said(feedback)[3] == ["as printed", "sign reversed"]
    assert (feedback.get_xscale(), feedback.get_yscale()) == ("linear", "log")
    low, high = feedback.get_ylim()
    assert low < LAW.beta_min < LAW.beta_max < high
    share = figures_ratios.plot_concentration(behavior(), np.array([0.1, 1.0]), [KL()], axes())
    assert (share.get_xscale(), share.get_yscale()) == ("log", "linear")
    assert share.get_ylim()[0] == 0.0
    assert share.get_ylim()[1] > 1.0


def test_a_figure_fills_the_page_with_its_grid():
    """Inches of upright and wide grids, of a corridor, which keeps a height, of a tower, which has to end, and none."""
    assert figures.size_for(None) == figures.size_for(OTHER) == (8.0, 5.0)
    sizes = {(4, 4): (6, 6), (2, 4): (6, 3), (2, 5): (10, 4), (1, 20): (10, 1.5), (20, 2): (6, 12)}
    for (rows, columns), (width, height) in sizes.items():
        assert figures.size_for(gridworld(rows, columns)) == (width + 1.2, height + 0.6)


BLUE, ORANGE, GREEN, RED, GREY, BLACK = "#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#808080", "#000000"
ONE = f"line {GREY} : 0.8"  # the line at the ratio one
STYLES = {
    "values by state": [f"points {BLUE} . 4"],
    "visits by state": [],
    "numbers by state": [],
    "weights": [f"line {ORANGE} - 1", ONE],
    "three ratios": [f"points {BLUE} o 4", f"points {ORANGE} ^ 4", f"points {GREEN} x 4", ONE],
    "weights of several generators": [
        f"points {BLUE} . 5",
        f"line {BLUE} - 1",
        f"points {ORANGE} . 5",
        f"line {ORANGE} - 1",
        ONE,
    ],
    "concentration": [f"line {BLUE} - 1.5", f"line {ORANGE} - 1.5"],
    "feedback": [f"line {RED} - 1.5", f"line {BLUE} - 1.5", f"line {BLACK} -- 0.8"],
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_tell_their_lines_apart(name):
    """What is exact or a bound is thin or broken; a generator's points have the color of its curve."""
    ax = FIGURES[name][0](axes())
    assert [style(line) for line in ax.lines] == STYLES[name]


def style(line: Any) -> str:
    color = pytest.importorskip("matplotlib.colors").to_hex(line.get_color())
    if line.get_linestyle() == "None":
        return f"points {color} {line.get_marker()} {line.get_markersize():g}"
    return f"line {color} {line.get_linestyle()} {line.get_linewidth():g}"


def test_errors_bars_areas_and_bands_are_drawn_to_scale():
    values = figures.plot_solution(OTHER, solve(OTHER), axes())
    [errors] = values.collections
    bound, exact = solve(OTHER).error_bound, solve(OTHER).values
    ends = np.array([[segment[0, 1], segment[1, 1]] for segment in errors.get_segments()])
    np.testing.assert_array_equal(ends, np.stack([exact - bound, exact + bound], axis=1))
    assert list(errors.get_linewidths()) == [0.8]
    for bars, heights in (
        (figures.plot_occupancy(OTHER, visits(OTHER), axes()), visits(OTHER).sum(axis=1)),
        (figures.plot_states(OTHER, np.arange(3.0), "gain", axes()), np.arange(3.0)),
    ):
        assert [bar.get_width() for bar in bars.patches] == [0.9] * 3
        # An edge is rounded once and the middle twice, below 4.
        middles = [bar.get_x() + 0.5 * bar.get_width() for bar in bars.patches]
        np.testing.assert_allclose(middles, np.arange(3.0), rtol=0.0, atol=3 * 4.0 * UNIT_ROUNDOFF)
        np.testing.assert_array_equal([bar.get_height() for bar in bars.patches], heights)
    [points] = figures.plot_weights(weights(KL()), behavior().advantage, axes()).collections
    law = behavior().law[behavior().law > 0.0]
    np.testing.assert_array_equal(points.get_sizes(), 4.0 + 200.0 * law / law.max())
    assert points.get_alpha() == 0.5
    curve = Curve(np.array([1, 10]), np.array([[8.0, 2.0], [4.0, 1.0]]), np.array([[9.0], [5.0]]))
    band = plot_curve(curve, LEARNERS["td"], "td", axes())
    assert (band.collections[0].get_alpha(), list(band.collections[0].get_linewidths())) == (0.25, [0.0])
    assert [style(line) for line in band.lines] == [f"line {BLUE} - 1.5", f"line {ORANGE} -- 1.5"]


def test_maps_of_visits_are_drawn_by_their_square_root_from_zero():
    """So that the way to a goal shows beside the goal; values and gains are drawn as they are."""
    numbers = np.linspace(-2.0, 3.0, 6)
    visited = figures.plot_occupancy(GRID, visits(GRID), axes()).images[0]
    most = visits(GRID).sum(axis=1).max()
    assert (visited.norm.gamma, visited.norm.vmin, visited.norm.vmax) == (0.5, 0.0, most)
    assert float(visited.norm(0.25 * most)) == 0.5
    plain = figures.plot_states(GRID, numbers, "gain", axes()).images[0]
    np.testing.assert_allclose(np.ravel(plain.norm(plain.get_array())), numbers / 5.0 + 0.4, atol=4 * UNIT_ROUNDOFF)
    assert {visited.cmap.name, plain.cmap.name} == {"viridis"}


def test_labels_of_cells_fit_their_cells():
    """Sixteen points where there is room, less where a cell is narrow or its label long; none among 301 cells."""
    for columns, label in ((3, 0.5), (24, 0.5), (24, 0.125), (24, 5.0)):
        mdp = gridworld(2, columns)
        ax = figures.plot_states(mdp, np.full(2 * columns, label), "gain", axes())
        width = float(ax.figure.get_size_inches()[0])
        cell, longest = 0.75 * 72.0 * width / columns, max(len(number(label, 2)), 2)
        assert {text.get_fontsize() for text in ax.texts} == {min(16.0, cell / (0.7 * longest))}
        assert {(text.get_ha(), text.get_va()) for text in ax.texts} == {("center", "center")}
    for columns, labels in ((150, 300), (151, 0)):
        assert len(figures.plot_states(gridworld(2, columns), np.zeros(2 * columns), "gain", axes()).texts) == labels


def test_curves_reach_from_the_smallest_advantage_to_the_largest():
    """In as many points as look smooth; what is below a pole that rounding could touch stops short of it."""
    inside = behavior().advantage[behavior().law > 0.0]
    low, high = inside.min(), inside.max()
    [curve, _] = figures.plot_weights(weights(KL()), behavior().advantage, axes()).lines
    np.testing.assert_array_equal(curve.get_xdata(), np.linspace(low, high, 400))
    several = figures_ratios.plot_weight_curves(behavior(), 0.5, [KL()], axes())
    np.testing.assert_array_equal(several.lines[1].get_xdata(), np.linspace(low, high, 300))
    for beta in (1e-9, 0.5):
        ax = figures_ratios.plot_weight_curves(behavior(), beta, [JensenShannon()], axes())
        drawn = np.asarray(ax.lines[1].get_xdata())
        solved = optimal_weights(behavior().advantage, behavior().law, beta, JensenShannon())
        end = min(high, beta * (JensenShannon().supremum + solved.multiplier - solved.multiplier_error))
        np.testing.assert_array_equal(drawn, np.linspace(low, end, 300)[: 300 if end == high else -1])
        assert np.isfinite(np.asarray(ax.lines[1].get_ydata())).all()
