"""Whole panels, letter by letter: what a reader sees of processes, solutions, weights and occupancies made by hand."""

import dataclasses
import io
import textwrap

import numpy as np
import pytest

from reference import show
from reference.conditional import ConditionalSolution
from reference.divergence import KL
from reference.mdp import MDP
from reference.panel import Panel, heat_of
from reference.regularized import RegularizedOccupancy
from reference.solution import Solution, Status
from reference.temperature import Temperature
from reference.weights import Weights


def fork() -> MDP:
    """Six states: one of five successors, three that end."""
    transitions = np.zeros((6, 2, 6))
    transitions[0, 0] = [0.25, 0.25, 0.125, 0.125, 0.125, 0.125]
    transitions[0, 1, 1] = 1.0
    transitions[1, 1, 2:4] = [0.75, 0.25]
    transitions[2, 0, 1:5] = 0.25
    transitions[3:, 0] = np.eye(6)[3:]
    rewards = np.zeros((6, 2))
    rewards[0, 1], rewards[1, 1] = 1.0 / 3.0, -2.0
    available = np.array([[1, 1], [0, 1], [1, 0], [1, 0], [1, 0], [1, 0]], dtype=bool)
    return MDP(transitions, rewards, 0.75, available=available)


def corridor() -> MDP:
    """Three cells in a row, left and right; the way out leads to a state that is no cell."""
    transitions = np.zeros((4, 2, 4))
    for state, (left, right) in enumerate([(0, 1), (0, 2), (1, 3), (3, 3)]):
        transitions[state, 0, left] = transitions[state, 1, right] = 1.0
    rewards = np.zeros((4, 2))
    rewards[2, 1] = 1.0
    return MDP(transitions, rewards, 0.5, grid=(1, 3))


TABLE = Solution(
    values=np.array([0.123456789, -1.0 / 3.0, 2e6]),
    q=np.array([[0.1, 1.0], [-np.inf, 2.0 / 3.0], [3.0, 3.0]]),
    policy=np.array([[0.0, 1.0], [0.25, 0.75], [0.5, 0.5]]),
    error_bound=1e-9,
    status=Status.DIRECT,
    iterations=3,
)
CONDITIONAL = ConditionalSolution(
    **vars(TABLE), ratio=np.array([[0.5, 1.5], [np.nan, 1.0], [1.0, 1.0]]), beta=0.5, objective=1.0
)
CELLS = Solution(
    values=np.array([0.25, 0.125, 1.0, 0.123456789]),
    q=np.zeros((4, 2)),
    policy=np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5], [0.5, 0.5]]),
    error_bound=0.0,
    status=Status.DIRECT,
    iterations=0,
)
WEIGHTS = Weights(
    weights=np.array([[0.5, 1.5], [np.nan, 2.0], [0.25, 1.0]]),
    behavior=np.array([[0.25, 0.25], [0.0, 0.125], [0.25, 0.125]]),
    divergence=KL(),
    beta=0.5,
    multiplier=1.0 / 3.0,
    multiplier_error=1e-12,
    weights_error=2e-13,
    value=2.0 / 3.0,
    dual=1.0,
    gap=3e-14,
)
ADVANTAGE = np.array([[0.0, 1.0], [np.nan, 2.0], [-1.0 / 3.0, 1e-9]])
TEMPERATURE = Temperature(0.5, 0.25, 0.625, 1.0 / 3.0, 0.3333, 1e-15, "KL", WEIGHTS)
OCCUPANCY = np.array([[0.0, 0.125], [0.0625, 0.25], [0.0, 0.5], [1.0 / 32.0, 1.0 / 32.0]])
FLOW = RegularizedOccupancy(
    occupancy=OCCUPANCY,
    ratio=np.array([[np.nan, 0.5], [0.25, 1.0], [0.0, 2.0], [0.25, 0.25]]),
    values=np.zeros(4),
    td_error=np.array([[np.nan, 1.0 / 3.0], [-1.0, 0.0], [-2.0, 1.5], [0.0, 0.0]]),
    policy=np.array([[0.0, 1.0], [0.2, 0.8], [0.0, 1.0], [0.5, 0.5]]),
    primal=0.9,
    dual=2.0 / 3.0,
    value=0.8,
    gap=1e-12,
    flow_residual=2e-15,
    behavior=np.array([[0.0, 0.25], [0.25, 0.25], [0.0, 0.25], [0.125, 0.125]]),
    beta=0.25,
    divergence=KL(),
    status=Status.CONVERGED,
    iterations=4,
    method="newton",
)

PAGES = {
    "process": (
        lambda: show.describe(fork()),
        """
        MDP(6 states, 2 actions, discount 0.75, dense)
          state  action    reward                         next state: probability
              0       0         0  0: 0.25, 1: 0.25, 2: 0.125, 3: 0.125, … 2 more
              0       1  0.333333                                            1: 1
              1       1        -2                                2: 0.75, 3: 0.25
              2       0         0              1: 0.25, 2: 0.25, 3: 0.25, 4: 0.25
              3       0         0                                            3: 1
              4       0         0                                            4: 1
              5       0         0                                            5: 1
        terminal states: 3, 4, 5
        """,
    ),
    "process, cut": (
        lambda: show.describe(fork().to_sparse(), limit=2),
        """
        MDP(6 states, 2 actions, discount 0.75, CSR)
          state  action    reward                         next state: probability
              0       0         0  0: 0.25, 1: 0.25, 2: 0.125, 3: 0.125, … 2 more
              0       1  0.333333                                            1: 1
              1       1        -2                                2: 0.75, 3: 0.25
        terminal states: 3, 4, … 1 more
        2 of 6 states shown
        """,
    ),
    "solution": (
        lambda: show.describe(TABLE),
        """
        values, and the likeliest action
          state      value    action  q(0)      q(1)
              0   0.123457         1   0.1         1
              1  -0.333333  1 (0.75)     –  0.666667
              2      2e+06   0 (0.5)     3         3
        """,
    ),
    "solution, cut": (
        lambda: show.describe(TABLE, limit=1),
        """
        values, and the likeliest action
          state     value  action  q(0)  q(1)
              0  0.123457       1   0.1     1
        1 of 3 states shown
        """,
    ),
    "solution, without room": (
        lambda: show.describe(TABLE, width=35),
        """
        values, and the likeliest action
          state      value    action
              0   0.123457         1
              1  -0.333333  1 (0.75)
              2      2e+06   0 (0.5)
        left out for want of room: q
        """,
    ),
    "conditional solution": (
        lambda: show.describe(CONDITIONAL),
        """
        values, and the likeliest action
          state      value    action  q(0)      q(1)  ratio(0)  ratio(1)
              0   0.123457         1   0.1         1       0.5       1.5
              1  -0.333333  1 (0.75)     –  0.666667         –         1
              2      2e+06   0 (0.5)     3         3         1         1
        """,
    ),
    "conditional solution, without room for q": (
        lambda: show.describe(CONDITIONAL, width=50),
        """
        values, and the likeliest action
          state  value    action  ratio(0)  ratio(1)
              0   0.12         1       0.5       1.5
              1  -0.33  1 (0.75)         –         1
              2  2e+06   0 (0.5)         1         1
        left out for want of room: q
        """,
    ),
    "conditional solution, without room": (
        lambda: show.describe(CONDITIONAL, width=30),
        """
        values, and the likeliest action
          state    value    action
              0   0.1235         1
              1  -0.3333  1 (0.75)
              2    2e+06   0 (0.5)
        left out for want of room: q, ratio
        """,
    ),
    "solution on a grid": (
        lambda: show.describe(CELLS, corridor()),
        """
        policy
          →  ←  ←→
        · no choice matters   + more than two actions tie

        values
          0.25  0.125  1
        states that are not cells: 3: 0.123457
        """,
    ),
    "solution on a grid, without room": (
        lambda: show.describe(CELLS, corridor(), width=19),
        """
        policy
          →  ←  ←→
        · no choice matters   + more than two actions tie

        values
          0.25  0.12  1
        states that are not cells: 3: 0.123457
        """,
    ),
    "weights": (
        lambda: show.describe(WEIGHTS),
        """
        optimal weights
          divergence             KL()
          beta                   0.5
          multiplier ν           0.3333333333  ± 1.0e-12
          optimal value          0.6666666667  ± 3.0e-14 (gap, rounding included)
          effective sample size  3.47222 of 5 entries
          effective share        0.694444 of samples drawn from D
          largest weight         2  ± 2.0e-13

        entries
          state  action  behavior D  weight w     w D
              0       0        0.25       0.5   0.125
              0       1        0.25       1.5   0.375
              1       1       0.125         2    0.25
              2       0        0.25      0.25  0.0625
              2       1       0.125         1   0.125
        """,
    ),
    "entries, cut": (
        lambda: show.describe(WEIGHTS, corridor(), limit=2, advantage=ADVANTAGE)[1:],
        """
        entries
          state  action  behavior D  advantage  weight w    w D
              1       →       0.125          2         2   0.25
              0       →        0.25          1       1.5  0.375
        2 of 5 entries with data shown, largest weights first
        """,
    ),
    "entries of a list": (
        lambda: show.describe(reshaped((6,)), corridor(), limit=1)[1:],
        """
        entries
          entry  behavior D  weight w   w D
              3       0.125         2  0.25
        1 of 5 entries with data shown, largest weights first
        """,
    ),
    "entries of a box": (
        lambda: show.describe(reshaped((3, 1, 2)), corridor(), limit=1)[1:],
        """
        entries
          entry        behavior D  weight w   w D
              1  0  1       0.125         2  0.25
        1 of 5 entries with data shown, largest weights first
        """,
    ),
    "temperature": (
        lambda: show.describe(TEMPERATURE, advantage=ADVANTAGE, limit=1)[::2],
        """
        temperature
          target    KL 0.3333333333
          achieved  0.3333  ± 1.0e-15
          beta      0.5  relative error ≤ 5.0e-01

        entries
          state  action  behavior D  advantage  weight w   w D
              1       1       0.125          2         2  0.25
        1 of 5 entries with data shown, largest weights first
        """,
    ),
    "regularised occupancy": (
        lambda: show.describe(FLOW, limit=2),
        """
        regularised occupancy
          divergence     KL()
          beta           0.25
          optimum        0.6666666667, or less by up to 1.0e-12 (rounding included)
          flow residual  2.0e-15
          largest ratio  2

        pairs
          state  action  behavior D  td error δ  ratio w  d = w D
              2       1        0.25         1.5        2      0.5
              1       1        0.25           0        1     0.25
        2 of 6 pairs with data shown, most frequent first
        """,
    ),
    "regularised occupancy on a grid": (
        lambda: show.describe(FLOW, corridor())[1:],
        """
        policy
          →  →  →
        · no choice matters   + more than two actions tie

        occupancy of states
          0.125  0.3125  0.5
        states that are not cells: 3: 0.0625

        pairs
          state  action  behavior D  td error δ  ratio w  d = w D
              2       →        0.25         1.5        2      0.5
              1       →        0.25           0        1     0.25
              0       →        0.25    0.333333      0.5    0.125
              1       ←        0.25          -1     0.25   0.0625
              3       ←       0.125           0     0.25  0.03125
              3       →       0.125           0     0.25  0.03125
        """,
    ),
    "occupancy": (
        lambda: show.occupancy_panels(fork(), np.vstack([OCCUPANCY, np.zeros((2, 2))]), limit=3),
        """
        occupancy of pairs
          state  action      d
              2       1    0.5
              1       1   0.25
              0       1  0.125
        3 of 6 pairs that are met shown, most frequent first
        """,
    ),
    "occupancy on a grid": (
        lambda: show.occupancy_panels(corridor(), OCCUPANCY, width=20),
        """
        occupancy of states
          0.12  0.31  0.5
        states that are not cells: 3: 0.0625

        occupancy of pairs
          state  action        d
              2       →      0.5
              1       →     0.25
              0       →    0.125
              1       ←   0.0625
              3       ←  0.03125
              3       →  0.03125
        """,
    ),
}


def reshaped(shape: tuple[int, ...]) -> Weights:
    return dataclasses.replace(
        WEIGHTS, weights=WEIGHTS.weights.reshape(shape), behavior=WEIGHTS.behavior.reshape(shape)
    )


@pytest.mark.parametrize("page", PAGES)
def test_panels_letter_by_letter(page):
    describe, expected = PAGES[page]
    assert "\n\n".join(panel.to_text() for panel in describe()) == textwrap.dedent(expected).strip()


TABLED = Panel("a < b", [["1", "x & y"], ["22", "z"]], ["n", "<name>"], ["more > less"])
FACTS = Panel("facts", [["beta", "0.5"], ["divergence", "KL()"]], facts=True)
GRID = Panel("grid", [["1", "22"], ["3", "-"]], notes=["a note"])
SHADED = Panel("heat", [["0", "1"], ["2", "-"]], heat=[[0.0, 0.25], [1.0, np.nan]])
WIDE = Panel("wide", [list("abcdefghijkl")])

HTML = {
    "table": (
        TABLED,
        """
        <table><caption>a &lt; b</caption><tr><th>n</th><th>&lt;name&gt;</th></tr>
        <tr><td style='text-align:right'>1</td><td style='text-align:right'>x &amp; y</td></tr>
        <tr><td style='text-align:right'>22</td><td style='text-align:right'>z</td></tr></table><p>more &gt; less</p>
        """,
    ),
    "facts": (
        FACTS,
        """
        <table><caption>facts</caption>
        <tr><td style='text-align:left'>beta</td><td style='text-align:left'>0.5</td></tr>
        <tr><td style='text-align:left'>divergence</td><td style='text-align:left'>KL()</td></tr></table>
        """,
    ),
    "heat": (
        SHADED,
        """
        <table><caption>heat</caption>
        <tr><td style='text-align:right;background:rgb(0,34,78);color:white'>0</td>
        <td style='text-align:right;background:rgb(62,78,99);color:white'>1</td></tr>
        <tr><td style='text-align:right;background:rgb(254,232,56);color:black'>2</td>
        <td style='text-align:right'>-</td></tr></table>
        """,
    ),
}


@pytest.mark.parametrize("name", HTML)
def test_html_letter_by_letter(name):
    panel, expected = HTML[name]
    assert panel.to_html() == "".join(line.strip() for line in expected.splitlines())


RICH = {
    "table": (
        TABLED,
        """
        a < b

           n   <name>
         ─────────────
           1    x & y
          22        z

        more > less
        """,
    ),
    "facts": (
        FACTS,
        """
        facts
        beta        0.5
        divergence  KL()
        """,
    ),
    "grid": (
        GRID,
        """
        grid
        ┌───┬────┐
        │ 1 │ 22 │
        ├───┼────┤
        │ 3 │ -  │
        └───┴────┘
        a note
        """,
    ),
    "heat": (
        SHADED,
        """
        heat
        ┌───┬───┐
        │ 0 │ 1 │
        ├───┼───┤
        │ 2 │ - │
        └───┴───┘
        """,
    ),
    "wide": (
        WIDE,
        """
        wide
        ┌─┬─┬─┬─┬─┬─┬─┬─┬─┬─┬─┬─┐
        │a│b│c│d│e│f│g│h│i│j│k│l│
        └─┴─┴─┴─┴─┴─┴─┴─┴─┴─┴─┴─┘
        """,
    ),
}


@pytest.mark.parametrize("name", RICH)
def test_terminals_letter_by_letter(name):
    """And titles in bold, notes dim."""
    panel, expected = RICH[name]
    console = pytest.importorskip("rich.console").Console(width=60, record=True, file=io.StringIO())
    console.print(panel.to_rich())
    styled, text = console.export_text(clear=False, styles=True), console.export_text()
    assert "\n".join(line.rstrip() for line in text.splitlines()) == textwrap.dedent(expected).strip()
    assert styled.startswith(f"\x1b[1m{panel.title}\x1b[0m\n")
    assert all(f"\x1b[2m{note}\x1b[0m\n" in styled for note in panel.notes)
    widest = max(map(len, text.splitlines()[1:-1]))
    assert panel.facts or panel.width == widest


def test_colors_run_from_blue_over_grey_to_yellow():
    """Black on the brightest ones, from 0.55."""
    at = {
        0.0: ("(0,34,78)", "white"),
        0.25: ("(62,78,99)", "white"),
        0.5: ("(124,123,120)", "white"),
        0.55: ("(137,134,114)", "black"),
        0.75: ("(189,178,88)", "black"),
        1.0: ("(254,232,56)", "black"),
    }
    for heat, (color, ink) in at.items():
        html = Panel("", [["x"]], heat=[[heat]]).to_html()
        assert f"<td style='text-align:right;background:rgb{color};color:{ink}'>x</td>" in html
    np.testing.assert_array_equal(heat_of(np.array([3.0, np.nan, 1.0, 2.0, -np.inf])), [1, np.nan, 0, 0.5, np.nan])
    assert np.isnan(heat_of(np.array([np.nan, np.inf]))).all()
