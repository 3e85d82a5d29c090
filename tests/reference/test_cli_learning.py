"""`learn` on the command line: the library's learners, held against the exact answer (C7)."""

import numpy as np
import pytest
from terminal import fails, run, run_json

from reference.commands_learning import LEARNERS
from reference.evaluation import evaluate_policy
from reference.learning import Task, epsilon_soft_optimum
from reference.planning import solve
from reference.rounding import gamma_n
from reference.sources import load_mdp, uniform_policy

NAME = "garnet:5,3,2,1"
SHORT = (NAME, "--discount", "0.7", "--steps", "400", "--replications", "3")
BOUNDED = {"td", "expected-sarsa", "q-learning"}


def truth_of(method: str) -> tuple[np.ndarray, float]:
    """What each method finds, from the solvers, and a bound on its error: action values are one lookahead away."""
    mdp = load_mdp(NAME, 0.7)
    if method.endswith("q-learning"):
        found = solve(mdp)
        table = found.q
    elif method == "sarsa":
        found, table = epsilon_soft_optimum(Task(mdp), 0.1)
    else:
        found = evaluate_policy(mdp, uniform_policy(mdp))
        table = found.values if method.endswith("td") else found.q
    return table, found.error_bound + gamma_n(mdp.n_states + 4) * float(np.abs(table).max())


@pytest.mark.parametrize("method", LEARNERS)
def test_errors_are_those_to_the_exact_answer(row, capsys, method):
    """Under the proven bound, where there is one, at every step noted (false with probability 1e-9)."""
    seen = run_json(capsys, "learn", method, *SHORT)
    expected, bound = truth_of(method)
    gap = np.abs(np.array(seen["truth"]) - expected)
    row("RL-18", f"what {method} is held against", gap, bound + seen["truth_error"], "both certified bounds")
    errors = np.array(seen["errors"])
    assert errors.shape == (len(seen["steps"]), 3)
    assert seen["steps"][-1] == 400
    assert (errors[-1] < np.abs(expected).max()).all()
    assert (seen["bounds"] is None) == (method not in BOUNDED)
    if method in BOUNDED:
        row("RL-18", f"error of {method} along its run", errors, np.array(seen["bounds"]) + seen["truth_error"], "(2)")


def test_states_that_end_and_pairs_that_are_missing(capsys):
    """The cliff has both; its errors are numbers all the same."""
    seen = run_json(capsys, "learn", "q-learning", "cliff:3,4", "--discount", "0.9", "--steps", "200")
    assert np.isfinite(np.array(seen["errors"], dtype=np.float64)).all()


def test_equal_seeds_give_equal_runs(capsys):
    first, again, other = (run_json(capsys, "learn", "sarsa", *SHORT, "--seed", seed) for seed in "112")
    assert first == again
    assert first["errors"] != other["errors"]


def test_table_and_figure(capsys, tmp_path):
    target = tmp_path / "curve.png"
    text = run(capsys, "learn", "td", *SHORT, "--plot", str(target), "--limit", "5")
    assert target.read_bytes().startswith(b"\x89PNG")
    assert "proven bound at the end" in text
    assert "worst error" in text


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (("learn", "q-lerning", NAME), "q-lerning"),
        (("learn", "td", NAME, "--steps", "0"), "expected a number of rows >= 1"),
        (("learn", "sarsa", NAME, "--epsilon", "2"), "epsilon is 2.0: expected a probability"),
        (("learn", "td", NAME, "--step-size", "-1"), "expected finite numbers, scale > 0"),
        (("learn", "td", NAME, "--step-size", "1.5"), "expected at most 1"),
        (("learn", "n-step-td", NAME, "--policy", "nowhere.npy"), "nowhere.npy"),
        (("learn", "q-learning", NAME, "--policy", "optimal"), "--policy: q-learning takes none, only td, n-step-td"),
        (("learn", "td", NAME, "--n", "3"), "--n: td takes none, only n-step-td, n-step-sarsa"),
    ],
)
def test_bad_input_is_one_line(capsys, wrong, says):
    assert says in fails(capsys, *wrong)
