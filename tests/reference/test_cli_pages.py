"""Whole answers of `python -m reference`, and what the figures are that it writes.

Left out of the answers are blanks and rules, which rich draws, numbers written as powers of ten, bounds on rounding
errors that processors make differently, and two counts: how often Newton's method iterated, and the bits of a common
denominator, which depends on the library that solved in fractions.
"""

import re
import textwrap

import pytest
from terminal import needs, run, run_json

BOUND = re.compile(r"\d(\.\d+)?e[+-]\d+")
COUNT = re.compile(r"(?<=Cholesky factors, )\d+(?= iterations)|(?<=a denominator of )\d+")
PAGES = {
    "solve recycling-robot": """
        recycling-robot: MDP(2 states, 3 actions, discount 0.9, dense)
        policy iteration, 2 iterations: converged: the certified error bound is within the tolerance
        value from the start 15.51020408, every value within ~
        2 states (at most 300): factorising each policy costs less than the sweeps it saves
        values, and the likeliest action
        state value action q(0) q(1) q(2)
        0 16.3265 0 16.3265 15.6939 –
        1 14.6939 2 13.4592 14.2245 14.6939
        """,
    "solve gridworld:2,2 --discount 0.5": """
        gridworld:2,2: MDP(4 states, 4 actions, discount 0.5, dense)
        policy iteration, 3 iterations: converged: the certified error bound is within the tolerance
        value from the start -0.875, every value within ~
        4 states (at most 300): factorising each policy costs less than the sweeps it saves
        policy
        │ → │ ↓ │
        │ → │ · │
        · no choice matters + more than two actions tie
        values
        │ -1.5 │ -1 │
        │ -1 │ 0 │
        """,
    "solve bandit --exact --intended": """
        bandit: RationalMDP(1 states, 3 actions, discount 3/4)
        exact: rational optimum, every optimality inequality decided; 1 exact solves, 1 states with ties, a denominator of some bits
        value from the start 4; float64 had missed a value by at most ~
        exact values
        state value optimal actions
        0 4 0 2
        """,  # noqa: E501
    "solve gridworld:2,2 --exact --discount 0.5": """
        gridworld:2,2: MDP(4 states, 4 actions, discount 0.5, dense)
        exact: rational optimum, every optimality inequality decided; 1 exact solves, 1 states with ties, a denominator of some bits
        value from the start -7/8; float64 had missed a value by at most ~
        every optimal action
        │ →↓ │ ↓ │
        │ → │ · │
        · no choice matters + more than two actions tie
        values
        │ -1.5 │ -1 │
        │ -1 │ 0 │
        exact values
        state value optimal actions
        0 -3/2 → ↓
        1 -1 ↓
        2 -1 →
        3 0 ↑
        """,  # noqa: E501
    "evaluate bandit --soft 0.5": """
        bandit: MDP(1 states, 3 actions, discount 0.75, dense)
        direct linear solve, 1 iterations: solved directly: the error bound is what rounding leaves
        value from the start 4.863891244, every value within ~
        values, and the likeliest action
        state value action q(0) q(1) q(2)
        0 4.86389 0 (0.333) 4.64792 3.64792 4.64792
        """,
    "occupancy bandit": """
        bandit: MDP(1 states, 3 actions, discount 0.75, dense)
        mean reward 0.6666666667, largest residual of the Bellman flow ~
        occupancy of pairs
        state action d
        0 0 0.333333
        0 1 0.333333
        0 2 0.333333
        """,
    "weights bandit --beta 0.5 --limit 1": """
        bandit: MDP(1 states, 3 actions, discount 0.75, dense)
        advantages of the behavior policy, from values within ~; D is its occupancy
        optimal weights
        divergence KL()
        beta 0.5
        multiplier ν 0.3266780537 ± ~
        optimal value 0.1633390268 ± ~ (gap, rounding included)
        effective sample size 2.25914 of 3 entries
        effective share 0.753047 of samples drawn from D
        largest weight 1.40493 ± ~
        entries
        state action behavior D advantage weight w w D
        0 0 0.333333 0.333333 1.40493 0.468311
        1 of 3 entries with data shown, largest weights first
        """,
    "weights bandit --beta 0.5 --multiplier 1": """
        bandit: MDP(1 states, 3 actions, discount 0.75, dense)
        mean of the weights 0.5100115297 (1 at the multiplier 0.3266780537)
        objective 0.01001152967; 0.1633390268 is the optimum of weights with mean one
        """,
    "conditional bandit --beta 0.5": """
        bandit: MDP(1 states, 3 actions, discount 0.75, dense)
        soft policy iteration from the behavior policy, 2 iterations: converged: the certified error bound is within the tolerance
        value from the start 3.320022774, every value within ~
        values, and the likeliest action
        state value action q(0) q(1) q(2) ratio(0) ratio(1) ratio(2)
        0 3.32002 0 (0.468) 3.49002 2.49002 3.49002 1.40493 0.190137 1.40493
        """,  # noqa: E501
    "flow bandit --beta 0.5 --limit 2": """
        bandit: MDP(1 states, 3 actions, discount 0.75, dense)
        primal-dual Newton with Cholesky factors, some iterations: converged: the certified error bound is within the tolerance
        optimum in [0.830005693506, 0.830005693506], of which mean reward 0.9366210617
        regularised occupancy
        divergence KL()
        beta 0.5
        optimum 0.8300056935, or less by up to ~ (rounding included)
        flow residual ~
        largest ratio 1.40493
        pairs
        state action behavior D td error δ ratio w d = w D
        0 0 0.333333 0.169994 1.40493 0.468311
        0 2 0.333333 0.169994 1.40493 0.468311
        2 of 3 pairs with data shown, most frequent first
        """,  # noqa: E501
    "compare gridworld:2,2 --policies uniform optimal --discount 0.5 --limit 3": """
        gridworld:2,2: MDP(4 states, 4 actions, discount 0.5, dense)
        value from the start: uniform -1.294117647, optimal -0.875
        the second gains from 0 to 0.647059 over the states, each within ~
        total variation between their occupancies 0.485294
        what the second gains
        │ 0.382353 │ 0.647059 │
        │ 0.647059 │ 0 │
        values, largest differences first
        state uniform optimal difference
        1 -1.64706 -1 0.647059
        2 -1.64706 -1 0.647059
        0 -1.88235 -1.5 0.382353
        """,
    "compare bandit --divergences kl js": """
        bandit: MDP(1 states, 3 actions, discount 0.75, dense)
        optimal weights at beta 1
        divergence ν value gap 1 / E w² min w max w
        KL() 0.096716 0.096716 ~ 0.87525 0.46609 1.267
        JensenShannon() 0.18975 0.15007 ~ 0.78942 0.26959 1.3652
        """,
    "compare gridworld:2,2 --discount 0.5 --limit 2": """
        gridworld:2,2: MDP(4 states, 4 actions, discount 0.5, dense)
        optimum of the flow problem in [-0.6230082717, -0.6230082717]
        conditional and occupancy ratio differ by up to 0.252836: only the second corrects states
        ratios, pairs with most data first
        pair behavior D relaxed conditional occupancy
        3 ↑ 0.352941 0.966616 1 1.13705
        0 ↑ 0.0588235 0.911396 0.925064 0.860678
        """,
    "learn td bandit --steps 2 --replications 2 --limit 2": """
        bandit: MDP(1 states, 3 actions, discount 0.75, dense)
        td, 2 steps, 2 replications, StepSizes(scale=4.0, power=1.0, offset=4.0)
        largest error of the table, at the end: median 1.667, worst 2; the exact answer within ~
        proven bound at the end 3.278, false with probability ~
        largest error of the table
        step median error worst error bound
        1 1.867 1.867 3.133
        2 1.667 2 3.278
        """,
}


@pytest.mark.parametrize("command", PAGES)
def test_answers_word_by_word(capsys, command):
    lines = [" ".join(line.split()) for line in run(capsys, *command.split()).splitlines()]
    kept = [line for line in lines if line and not set(line) <= set("─┌┬┐├┼┤└┴┘")]
    seen = COUNT.sub("some", BOUND.sub("~", "\n".join(kept)))
    assert seen == textwrap.dedent(PAGES[command]).strip()


SQUARE, WIDE = (6.0 + 1.2, 6.0 + 0.6), (8.0, 5.0)  # of two by two cells, and of everything that is no grid
PROCESS = "gridworld:2,2 --discount 0.5"
RATIO = ["occupancy d*/D", "conditional π*/π_D", "relaxed"]
FIGURES = {
    f"solve {PROCESS}": (SQUARE, "policy iteration, error ≤ ~", "", "", []),
    f"evaluate {PROCESS}": (SQUARE, "direct linear solve, error ≤ ~", "", "", []),
    f"conditional {PROCESS}": (
        SQUARE,
        "soft policy iteration from the behavior policy, error ≤ ~",
        "",
        "",
        [],
    ),
    f"occupancy {PROCESS}": (SQUARE, "state occupancy", "", "", []),
    f"flow {PROCESS}": (SQUARE, "state occupancy", "", "", []),
    f"weights {PROCESS} --beta 0.5": (
        WIDE,
        "KL(), β = 0.5, ν = {multiplier:.4g}, effective share of the data {effective_sample_fraction:.3g}",
        "advantage",
        "weight w = d/D",
        [],
    ),
    f"temperature {PROCESS} --ess 0.9": (WIDE, "effective share of the data", "β", "1 / E w²", ["KL()"]),
    f"compare {PROCESS}": (
        WIDE,
        "three ratios, KL(), β = 1",
        "pairs with data, by occupancy ratio",
        "ratio w",
        RATIO,
    ),
    f"compare {PROCESS} --policies uniform optimal": (SQUARE, "uniform to optimal", "", "", []),
    f"compare {PROCESS} --divergences kl js": (
        WIDE,
        "optimal weights at β = 1",
        "advantage",
        "weight w",
        [
            "{divergences[0][divergence]}, ESS {divergences[0][effective_sample_fraction]:.2g}",
            "{divergences[1][divergence]}, ESS {divergences[1][effective_sample_fraction]:.2g}",
        ],
    ),
    f"learn td {PROCESS} --steps 2": (
        WIDE,
        "td",
        "step",
        "largest error of the table",
        ["error, 10 replications", "bound, false with p = ~"],
    ),
}


@pytest.mark.parametrize("command", FIGURES)
def test_commands_write_the_figure_of_their_answer(capsys, tmp_path, monkeypatch, command):
    """In the size of the page, sharp enough to print, nothing outside of its frame; titles say what the JSON says."""
    needs("matplotlib")
    from matplotlib.figure import Figure

    written = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda made, *a, **k: written.append((made, k)) or save(made, *a, **k))
    facts = run_json(capsys, *command.split(), "--plot", str(tmp_path / "figure.png"))
    [(figure, options)] = written
    assert options == {"dpi": 150}
    assert type(figure.get_layout_engine()).__name__ == "ConstrainedLayoutEngine"
    ax = figure.axes[0]
    legend = ax.get_legend()
    entries = [text.get_text() for text in legend.get_texts()] if legend else []
    said = [BOUND.sub("~", text) for text in (ax.get_title(), ax.get_xlabel(), ax.get_ylabel(), *entries)]
    inches, *axis, legend = FIGURES[command]
    assert tuple(figure.get_size_inches()) == inches
    assert said == [text.format(**facts) for text in (*axis, *legend)]
