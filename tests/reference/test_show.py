"""What people see: tables, HTML and figures say what the numbers say, and name the extra that they lack."""

import html.parser
import io
import sys

import numpy as np
import pytest

import reference
from reference import figures, show
from reference.conditional import conditional_value
from reference.divergence import KL, FermiDirac, JensenShannon
from reference.evaluation import evaluate_policy
from reference.library import chain, cliff, garnet, gridworld, named
from reference.mdp import MDP
from reference.occupancy import occupancy_measure
from reference.panel import Panel, heat_of, require
from reference.planning import solve
from reference.regularized import regularized_occupancy
from reference.sources import uniform_policy
from reference.temperature import beta_for_effective_sample_fraction
from reference.weights import optimal_weights


def rows_of(panel: Panel) -> list[list[str]]:
    return [list(row) for row in panel.rows]


def test_arrows_lead_to_the_goal_on_every_regular_grid():
    """Up, right, down, left are read off the transitions, also where the steps slip sideways."""
    for slip in (0.0, 0.6):
        assert show.action_labels(gridworld(4, 5, slip=slip)) == ["↑", "→", "↓", "←"]
    assert show.action_labels(cliff()) == ["↑", "→", "↓", "←"]
    assert show.action_labels(chain(4)) == ["←", "→"]
    assert show.action_labels(chain(4).to_sparse()) == ["←", "→"]
    assert show.action_labels(garnet(4, 3, 2, seed=0)) == ["0", "1", "2"]
    mirrored = gridworld(3, 3)
    flipped = MDP(np.asarray(mirrored.transitions)[:, ::-1], mirrored.rewards[:, ::-1], 0.9,
                  available=mirrored.available[:, ::-1], grid=(3, 3))  # fmt: skip
    assert show.action_labels(flipped) == ["←", "↓", "→", "↑"]


def test_actions_without_a_direction_keep_their_numbers():
    transitions = np.eye(4)[np.array([[3, 0], [2, 1], [1, 2], [0, 3]])]  # jumps across, and staying
    mdp = MDP(transitions, np.zeros((4, 2)), 0.9, grid=(2, 2))
    assert show.action_labels(mdp) == ["0", "1"]


def test_policy_cells_show_ties_and_states_without_a_choice():
    mdp = gridworld(2, 2)
    policy = np.array([[0.0, 0.5, 0.5, 0.0], [0.1, 0.2, 0.6, 0.1], [0.25] * 4, [1.0, 0.0, 0.0, 0.0]])
    assert show.policy_cells(mdp, policy) == ["→↓", "↓", "+", "·"]


def test_a_grid_is_laid_out_as_the_grid():
    mdp = cliff()
    solution = solve(mdp)
    policy, values = show.describe(solution, mdp)
    assert rows_of(policy)[2] == ["→"] * 11 + ["↓"]
    assert rows_of(policy)[3][-1] == "·"
    shown = np.array([[float(cell) for cell in row] for row in values.rows]).ravel()
    digits = max(len(cell.lstrip("-").replace(".", "").lstrip("0")) for row in values.rows for cell in row)
    np.testing.assert_allclose(shown, solution.values, rtol=0.5 * 10.0 ** (1 - digits))


@pytest.mark.parametrize("width", [60, 80, 100])
def test_lines_stay_within_the_page(width):
    """Numbers lose digits, then columns go, before a line is longer than asked for."""
    for mdp in (cliff(), gridworld(3, 4), garnet(6, 3, 2, seed=0)):
        for solution in (solve(mdp), conditional_value(mdp, uniform_policy(mdp), 0.3)):
            for panel in show.describe(solution, mdp, width=width):
                if panel.columns or width >= 80:
                    assert panel.width <= width, panel.to_text()


def test_state_tables_show_every_number():
    case = named()["recycling-robot"].mdp
    solution = solve(case)
    [panel] = show.describe(solution, case)
    assert list(panel.columns) == ["state", "value", "action", "q(0)", "q(1)", "q(2)"]
    for state, row in enumerate(panel.rows):
        assert row[1] == f"{solution.values[state]:.6g}"
        assert row[2] == str(solution.policy[state].argmax())
        assert row[3:] == ["–" if np.isinf(q) else f"{q:.6g}" for q in solution.q[state]]
    [short] = show.describe(solution, case, limit=1)
    assert len(short.rows) == 1
    assert short.notes == ["1 of 2 states shown"]


def test_stochastic_policies_show_their_probability():
    mdp = garnet(3, 2, 2, seed=0)
    policy = np.array([[0.75, 0.25]] * 3)
    [panel] = show.describe(evaluate_policy(mdp, policy), mdp)
    assert [row[2] for row in panel.rows] == ["0 (0.75)"] * 3


@pytest.mark.parametrize("generator", [KL(), JensenShannon(), FermiDirac(2.0)], ids=repr)
def test_weights_show_the_multiplier_the_value_and_the_sample_size(generator):
    advantage = np.array([[0.0, 1.0], [2.0, -np.inf]])
    solved = optimal_weights(advantage, [[0.25, 0.25], [0.5, 0.0]], 0.7, generator)
    facts, entries = show.describe(solved, advantage=advantage)
    text = facts.to_text()
    for number in (f"{solved.multiplier:.10g}", f"{solved.value:.10g}", f"{solved.effective_sample_size:.6g}"):
        assert number in text
    assert len(entries.rows) == 3  # the pair without data is not an entry
    assert [row[3] for row in entries.rows] == ["0", "1", "2"]
    assert [row[4] for row in entries.rows] == [f"{w:.6g}" for w in solved.weights[solved.behavior > 0.0]]
    _, cut = show.describe(solved, limit=1)
    assert cut.rows[0][:2] == ["1", "0"]
    assert "largest weights first" in cut.notes[0]
    flat = optimal_weights([0.0, 1.0], [0.5, 0.5], 1.0, generator)
    assert show.describe(flat)[1].columns[0] == "entry"


def test_actions_of_weights_are_named_where_the_process_is_known():
    mdp = gridworld(1, 2)
    solved = optimal_weights(np.arange(8.0).reshape(mdp.rewards.shape), np.full(mdp.rewards.shape, 0.125), 1.0)
    numbered, named = (show.describe(solved, known)[1].rows for known in (None, mdp))
    assert [row[1] for row in numbered] == ["0", "1", "2", "3"] * 2
    assert [row[1] for row in named] == show.action_labels(mdp) * 2


def test_cells_of_a_grid_have_room_up_to_twelve_in_a_row():
    for columns, roomy in ((1, True), (11, True), (12, False)):
        assert Panel("grid", [["0"] * columns]).roomy is roomy
        assert Panel("table", [["0"] * columns], ["name"] * columns).roomy
    assert Panel("nothing", []).roomy


class _Tags(html.parser.HTMLParser):
    """Every opened tag is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.seen.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_html_of_everything_is_well_formed():
    """`_repr_html_` of processes, solutions and weights, and the same through a panel with hostile text."""
    mdp = chain(3)
    things = [mdp, garnet(3, 2, 2, seed=0).to_sparse(), solve(mdp), optimal_weights([0.0, 1.0], [0.5, 0.5], 1.0)]
    for text in [*(thing._repr_html_() for thing in things), show.to_html(solve(mdp), mdp)]:
        tags = _Tags()
        tags.feed(text)
        assert tags.open == []
        assert {"table", "tr", "td"} <= tags.seen
    assert "&lt;b&gt;" in Panel("<b>", [["<b>"]]).to_html()


def test_both_formats_show_what_is_described():
    """With the process, its grid and names; without, numbers: in HTML as in plain text."""
    mdp = gridworld(2, 3)
    for known in (mdp, None):
        panels = show.describe(solve(mdp), known)
        assert show.to_html(solve(mdp), known) == "".join(panel.to_html() for panel in panels)
        assert show.to_text(solve(mdp), known) == "\n\n".join(panel.to_text() for panel in panels)
    assert show.to_html(solve(mdp), mdp) != show.to_html(solve(mdp))


def test_plain_text_is_aligned():
    text = show.to_text(garnet(3, 2, 2, seed=0))
    lines = text.splitlines()
    assert lines[0].startswith("MDP(3 states, 2 actions")
    assert lines[-1] == "terminal states: none"
    panel = Panel("title", [["1", "22"], ["333", "4"]], ["a", "b"])
    assert panel.to_text() == "title\n    a   b\n    1  22\n  333   4"


def test_rich_tables_hold_the_same_cells():
    console = pytest.importorskip("rich.console").Console(width=100, record=True, file=io.StringIO())
    mdp = gridworld(2, 3)
    console.print(show.table(solve(mdp), mdp))
    text = console.export_text()
    for panel in show.describe(solve(mdp), mdp):
        assert panel.title in text
        assert all(cell in text for row in panel.rows for cell in row)


def test_grids_are_colored_by_their_values():
    """Darkest at the smallest value, brightest at the largest, on a terminal and in HTML; no color without contrast."""
    mdp = gridworld(2, 3)
    solution = solve(mdp)
    for panel in show.describe(solution, mdp):
        heat = np.ravel(panel.heat)
        np.testing.assert_array_equal(heat.argmin(), solution.values.argmin())
        np.testing.assert_array_equal((heat.min(), heat.max()), (0.0, 1.0))
        assert panel.to_html().count("background:rgb") == mdp.n_states
    file = io.StringIO()
    console = pytest.importorskip("rich.console").Console(file=file, force_terminal=True, color_system="truecolor")
    console.print(show.table(solution, mdp))
    assert "\x1b[37;48;2;0;34;78m" in file.getvalue()  # white on the darkest blue
    assert "\x1b[30;48;2;254;232;56m" in file.getvalue()  # black on the brightest yellow
    assert np.isnan(heat_of(np.ones(3))).all()
    np.testing.assert_array_equal(heat_of(np.array([1e308, -1e308, np.inf])), [1.0, 0.0, np.nan])


def test_regularised_occupancies_and_temperatures_show_their_certificates():
    """In a notebook as well: `_repr_html_` holds what the panels hold."""
    mdp = gridworld(2, 3)
    law = occupancy_measure(mdp, uniform_policy(mdp))
    solved = regularized_occupancy(mdp, law / law.sum(), 0.5)
    titles = [panel.title for panel in show.describe(solved, mdp)]
    assert titles == ["regularised occupancy", "policy", "occupancy of states", "pairs"]
    assert f"{solved.dual:.10g}, or less by up to {solved.gap:.1e}" in solved._repr_html_()
    pairs = show.describe(solved, mdp)[-1]
    assert [float(row[-1]) for row in pairs.rows] == sorted((float(row[-1]) for row in pairs.rows), reverse=True)
    (cut,) = show.describe(solved, mdp, limit=2)[-1].notes
    assert cut == f"2 of {np.count_nonzero(solved.occupancy)} pairs with data shown, most frequent first"
    (cut,) = show.occupancy_panels(mdp, law, limit=2)[-1].notes
    assert cut == f"2 of {np.count_nonzero(law)} pairs that are met shown, most frequent first"
    found = beta_for_effective_sample_fraction(np.array([0.0, 1.0, 2.0]), np.full(3, 1 / 3), 0.6)
    text = show.to_text(found)
    assert f"{found.beta:.12g}" in text
    assert "effective sample fraction 0.6" in text
    assert f"{found.beta:.12g}" in found._repr_html_()


def test_what_cannot_be_shown_is_named():
    with pytest.raises(TypeError, match="or Weights, saw list"):
        show.describe([1, 2])


@pytest.mark.parametrize("module", ["rich.table", "matplotlib.pyplot"])
def test_a_missing_extra_names_itself_and_its_install_line(monkeypatch, module):
    name = module.partition(".")[0]
    monkeypatch.setitem(sys.modules, module, None)  # what an absent module looks like to import
    with pytest.raises(ModuleNotFoundError, match=rf'needs {name}, .*: pip install "roer\[show\]"'):
        require(module)
    # the tables themselves do without
    assert show.to_text(solve(chain(3)))


def axes():
    """Axes without a window, or a skip where matplotlib is not installed."""
    figure = pytest.importorskip("matplotlib.figure").Figure()
    return figure.add_subplot()


def test_figures_draw_on_the_axes_they_are_given_and_return_them():
    mdp, other = gridworld(3, 4), garnet(6, 2, 2, seed=0)
    solution = solve(mdp)
    ax = axes()
    assert figures.plot_solution(mdp, solution, ax) is ax
    np.testing.assert_array_equal(np.asarray(ax.images[0].get_array()).ravel(), solution.values)
    assert [text.get_text() for text in ax.texts] == show.policy_cells(mdp, solution.policy)
    ax = axes()
    assert figures.plot_solution(other, solve(other), ax) is ax
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), solve(other).values)
    occupancy = occupancy_measure(mdp, solution.policy)
    ax = axes()
    assert figures.plot_occupancy(mdp, occupancy, ax) is ax
    np.testing.assert_array_equal(np.asarray(ax.images[0].get_array()).ravel(), occupancy.sum(axis=1))
    ax = axes()
    assert figures.plot_occupancy(other, occupancy_measure(other, uniform_policy(other)), ax) is ax
    assert len(ax.patches) == 6


@pytest.mark.parametrize("generator", [KL(), JensenShannon(), FermiDirac(2.0)], ids=repr)
@pytest.mark.parametrize("beta", [1e-6, 0.1, 10.0])
def test_weights_lie_on_their_curve(generator, beta):
    """The curve is drawn to the largest advantage, next to the pole too, and ends at the largest weight."""
    advantage = np.array([0.0, 1.0, 1.5, np.nan])
    solved = optimal_weights(advantage, [0.5, 0.25, 0.25, 0.0], beta, generator)
    ax = axes()
    assert figures.plot_weights(solved, advantage, ax) is ax
    points = np.asarray(ax.collections[0].get_offsets())
    np.testing.assert_array_equal(points[:, 0], advantage[:3])
    np.testing.assert_array_equal(points[:, 1], solved.weights[:3])
    curve = np.asarray(ax.lines[0].get_ydata())
    assert np.all(np.isfinite(curve))
    assert np.all(np.diff(curve) >= 0.0)


def test_equal_advantages_are_drawn_without_a_curve():
    solved = optimal_weights([1.0, 1.0], [0.5, 0.5], 1.0)
    ax = figures.plot_weights(solved, np.ones(2), axes())
    assert len(ax.lines) == 1  # the line at one


def test_figures_make_axes_where_none_are_given():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    mdp = chain(3)
    ax = figures.plot_solution(mdp, solve(mdp))
    assert ax.figure.number in pyplot.get_fignums()
    pyplot.close(ax.figure)


def test_package_exports_what_it_shows():
    assert reference.optimal_weights is optimal_weights
    assert reference.conditional_value is conditional_value
