"""What only an unusual input shows: equal ends, several ways to end, a limit that is met, the words of a table."""

import json
import math
import sys
import tarfile
from fractions import Fraction

import numpy as np
import pytest

from reference import cliff, garnet, gridworld, solve
from reference.balls import _bracket
from reference.commands_learning import Curve, _blocks, plot_curve
from reference.conditional import conditional_value
from reference.divergence import Capped, PearsonChi2
from reference.entropy_target import Entropy, InfeasibleEntropy, temperature_for_entropy
from reference.feasibility import support
from reference.fixed_point import certified
from reference.flow import flow_of
from reference.interop.logs import from_steps
from reference.interop.storm import _labels
from reference.interop.umb import write_umb
from reference.learners import LEARNERS
from reference.learners.learner import states
from reference.learning import Task, td_error_moments, undiscounted_optimum
from reference.learning.gradient_descent import LeastSquares
from reference.learning.gradient_moments import gradient_moments
from reference.learning.softmax import Softmax
from reference.lqr_problem import LQR, InvalidLQR
from reference.mdp import MDP, InvalidMDP
from reference.multiplier import solve_multiplier
from reference.output import _spinner
from reference.panel import Panel
from reference.rounding import gamma_n
from reference.show import describe
from reference.soft import soft_operator
from reference.solution import Status
from reference.temperature import beta_for_perplexity_fraction
from reference.temperature_feedback import FeedbackLaw, FeedbackState, hitting_time_bound


def test_policy_iteration_without_a_discount_ends():
    best = undiscounted_optimum(cliff(2, 5))
    assert best.status is Status.CONVERGED
    assert best.iterations <= best.q.size
    short = undiscounted_optimum(cliff(2, 5), max_iterations=1)
    assert (short.status, short.iterations, short.solver) == (Status.MAX_ITERATIONS, 1, best.solver)


def test_a_state_that_ends_in_two_ways(row):
    """Rewards 1 and -1 with chances 1/4 and 3/4, half a step from 0: 1/2 or -1/2 where the value is -1/2."""
    rows = [[[0.0, 1.0]] * 2, [[0.0, 1.0]] * 2]
    mdp = MDP(rows, [[1.0, -1.0], [0.0, 0.0]], 0.5, [1.0, 0.0], [[True, True], [True, False]])
    found = td_error_moments(Task(mdp), np.array([[0.25, 0.75], [1.0, 0.0]]), 0.5, 1)
    for quantity, seen, exact in (("mean", found.bias, 0.25), ("mean square", found.mean_square, 0.25)):
        error, terms = abs(float(seen[1, 0]) - exact), 16
        row("RL-15", f"{quantity} of an error", error, gamma_n(terms), f"gamma_{terms}: a system of one state")


def test_as_many_iterations_as_asked_for():
    mdp = garnet(6, 3, 3, seed=2)
    policy = np.full((6, 3), 1.0 / 3.0)
    for most in (1, 2):
        found = conditional_value(mdp, policy, 0.01, 1e-14, most)
        assert (found.iterations, found.status) == (most, Status.MAX_ITERATIONS)


def test_the_better_of_two_certificates_is_kept(row):
    mdp, operator = garnet(5, 2, 2, seed=1), soft_operator(0.5)
    for sign in (-1.0, 1.0):  # values that lie below and above the exact ones
        offset = sign * 2.0 * (mdp.largest_reward + 1.0) / (1.0 - mdp.discount)
        plain = operator.certify(mdp, np.zeros(5), offset)
        found = certified(mdp, operator, offset, np.zeros(5)).bounds.error
        row.exact("SAC-06", "moved by the centre of the bounds", found < plain.error, f"{found} after {plain.error}")


def test_perplexity_of_other_weights():
    advantage, behavior = np.array([0.0, 1.0, 3.0]), np.full(3, 1.0 / 3.0)
    assert beta_for_perplexity_fraction(advantage, behavior, 0.75, PearsonChi2()).weights.divergence == PearsonChi2()


def test_diagonal_of_the_normal_equations(row):
    """B^T diag(h) B for B = gamma P - E, from dense transitions."""
    rows, weights = np.array([[[1 / 3, 2 / 3], [0.3, 0.7]], [[0.9, 0.1], [0.2, 0.8]]]), np.array([0.3, 1.1, 0.7, 2.0])
    mdp, law = MDP(rows, np.zeros((2, 2)), 0.7), np.full((2, 2), 0.25)
    flow = flow_of(mdp, law, 1.0, PearsonChi2(), support(mdp, law, PearsonChi2()))
    exact, size = [Fraction(0)] * 2, [Fraction(0)] * 2
    for pair in range(4):
        for state in range(2):
            move, own = Fraction(0.7) * Fraction(float(rows.reshape(4, 2)[pair, state])), int(pair // 2 == state)
            exact[state] += Fraction(float(weights[pair])) * (move - own) ** 2
            size[state] += Fraction(float(weights[pair])) * (move + own) ** 2
    error = [abs(Fraction(float(x)) - y) for x, y in zip(flow.diagonal(weights), exact, strict=True)]
    row(
        "OCC-01",
        "diagonal of B'hB",
        np.array(error, dtype=float),
        gamma_n(16) * np.array(size, dtype=float),
        "gamma_16",
    )


def test_an_entropy_at_its_target_is_on_neither_side():
    assert [Entropy(1.0, 0.25).side(target) for target in (0.5, 0.75, 1.0, 1.25, 1.5)] == [1, 0, 0, 0, -1]


def test_whose_entropy_stays_above_the_target():
    tied = MDP([[[1.0], [1.0]]], [[1.0, 1.0]], 0.5)
    with pytest.raises(InfeasibleEntropy, match="the soft-optimal policy still has"):
        temperature_for_entropy(tied, 0.25 * math.log(2.0))


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match="have rank 2: expected 3"):
        LeastSquares(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0]]), np.zeros(3))
    log = [(0, 0, 1.0, 0, False, False), (0, 0, 1.0, 1, False, True)]
    with pytest.raises(InvalidMDP, match=r"state 1 is entered \(transition 1, from state 0\)"):
        from_steps(log, 0.9)


class Labelled:
    """What is asked of a model with labels of choices."""

    choice_labeling = property(lambda self: self)

    def has_choice_labeling(self) -> bool:
        return True

    def get_labels_of_choice(self, choice: int) -> set[str]:
        return [{"left"}, {"right", "fast"}, {"left"}][choice]


def test_labels_of_choices_are_numbered():
    numbers, count = _labels(Labelled(), 3)
    assert numbers is not None
    assert (numbers.tolist(), count) == ([1, 0, 1], 2)


def test_where_initial_probabilities_belong(tmp_path):
    write_umb(MDP([[[1.0, 0.0]], [[0.0, 1.0]]], [[0.0], [1.0]], 0.5, [0.25, 0.75]), tmp_path / "two.umb")
    with tarfile.open(tmp_path / "two.umb") as archive:
        file = archive.extractfile("index.json")
        assert file is not None
        groups = json.load(file)["annotations"]
    assert [entry["applies-to"] for name, group in groups.items() if name != "rewards" for entry in group.values()] == [
        ["states"]
    ]


def test_no_error_is_drawn_as_the_lowest_block():
    assert _blocks(Curve(np.array([1, 2]), np.zeros((2, 1)), None)) == "▁▁ 0"


def test_tables_and_their_names():
    html = Panel("t", [["1", "2"]], columns=["a", "b"]).to_html()
    assert "<th>a</th><th>b</th>" in html
    assert "XX" not in html.replace("</td><td", "")
    world = gridworld(2, 2)
    assert [panel.title for panel in describe(solve(world), world)][-1] == "values"


def test_a_bracket_as_narrow_as_asked_for():
    third = Fraction(1, 3)
    for bits in (8, 20):
        low, high = _bracket(
            lambda x: (x < third) - (x > third), Fraction(0), Fraction(1, 7), (Fraction(-9), Fraction(9)), bits
        )
        assert low < third < high
        assert high - low <= Fraction(1, 2**bits)


@pytest.mark.parametrize("gap", [10.0, 300.0])
@pytest.mark.parametrize("share", [0.5, 0.25])
def test_where_a_plateau_of_roots_ends(row, share, gap):
    """All mass at a cap of 1/share, none elsewhere: every root from the slope at the cap, 1/share - 1, to gap - 1."""
    root = solve_multiplier(
        np.array([0.0, -gap]), np.array([share, 1.0 - share]), 1.0, Capped(PearsonChi2(), 1.0 / share)
    )
    reason = "gamma_64: arguments of two entries and their ratios, each from both sides of the bend"
    assert root.pivot == 0
    assert root.low <= 1.0 / share - 1.0
    assert root.high >= gap - 1.0
    ends = np.array([root.low - (1.0 / share - 1.0), root.high - (gap - 1.0)])
    row("JS-04", "ends of a plateau", np.abs(ends), gamma_n(64) * gap, reason)


def test_standard_error_is_left_alone_while_a_clock_runs(monkeypatch):
    pytest.importorskip("rich")
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    clock = _spinner()
    assert clock is not None
    before = sys.stdout, sys.stderr
    with clock:
        assert (sys.stdout, sys.stderr) == before


def test_values_where_episodes_are_over_are_zero():
    task = Task(MDP([[[0.0, 1.0]], [[0.0, 1.0]]], [[1.0], [0.0]], 0.5, [1.0, 0.0]))
    assert states(task, np.array([3.0, 2.0])).tolist() == [3.0, 0.0]


def test_a_cost_that_does_not_fit_is_named():
    with pytest.raises(InvalidLQR, match="cross_cost"):
        LQR(np.eye(2), np.ones((2, 1)), np.eye(2), np.eye(1), 0.5, cross_cost=np.zeros((1, 2)))


def test_a_file_without_a_grid_says_so_in_whole_numbers(tmp_path):
    MDP([[[1.0]]], [[0.0]], 0.5).save(tmp_path / "one.npz")
    with np.load(tmp_path / "one.npz") as file:
        assert (file["grid"].dtype, file["grid"].size) == (np.int64, 0)


def test_steps_to_either_bound_of_the_printed_law():
    """Factors of at least e^1 upward over a distance of 2.5, of e^(-1/2) downward over 5.5."""
    law = FeedbackLaw(8.0, 1.0, 1.0, math.exp(-5.25), math.exp(2.5))
    assert hitting_time_bound(law, FeedbackState(16.0, 1.0)) == 3
    assert hitting_time_bound(law, FeedbackState(4.0, 1.0)) == 11


def test_a_baseline_of_nothing_is_none():
    mdp = MDP(
        [[[0.0, 1.0]] * 2, [[0.0, 1.0]] * 2], [[1.0, -1.0], [0.0, 0.0]], 0.5, [1.0, 0.0], [[True, True], [True, False]]
    )
    policy = Softmax(np.array([[[1.0], [0.0]], [[0.0], [0.0]]]), mdp.available)
    for seen, expected in zip(
        gradient_moments(Task(mdp), policy, np.array([0.5]), 2, np.zeros(2)),
        gradient_moments(Task(mdp), policy, np.array([0.5]), 2),
        strict=True,
    ):
        np.testing.assert_array_equal(seen, expected)


def test_the_range_of_errors_is_filled():
    axes = pytest.importorskip("matplotlib.figure").Figure().subplots()
    errors = np.array([[8.0, 2.0], [4.0, 1.0], [0.5, 0.25]])
    plot_curve(Curve(np.array([1, 10, 100]), errors, None), LEARNERS["td"], "td", axes)
    assert set(axes.collections[0].get_paths()[0].vertices[:, 1]) == set(errors.ravel())
