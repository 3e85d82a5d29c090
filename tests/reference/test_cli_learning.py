"""`learn` on the command line: the library's learners, held against the exact answer (C7 to C10)."""

import numpy as np
import pytest
import tolerances_learning
import tolerances_linear
from terminal import fails, run, run_json

from reference import MDP
from reference.commands_learning import Curve, _blocks
from reference.evaluation import evaluate_policy
from reference.learners import LEARNERS
from reference.learners.linear import state_features
from reference.learning import (
    StepSizes,
    Task,
    a2c,
    constant,
    epsilon_soft_optimum,
    on_policy_law,
    qac,
    reinforce,
    start_gradient,
    step_baseline,
    tabular,
    value_baseline,
)
from reference.planning import solve
from reference.rounding import gamma_n
from reference.sources import load_mdp, uniform_policy

NAME = "garnet:5,3,2,1"
SHORT = (NAME, "--discount", "0.7", "--steps", "400", "--replications", "3")
BOUNDED = {"td", "n-step-td", "sarsa", "n-step-sarsa", "expected-sarsa", "q-learning"}


def truth_of(method: str) -> tuple[np.ndarray, float]:
    """What each method finds, from the solvers, and a bound on its error: action values are one lookahead away."""
    mdp = load_mdp(NAME, 0.7)
    if method in ("reinforce", "qac", "a2c"):
        found = solve(mdp)
        table = np.array([mdp.initial @ found.values])
    elif method.startswith("linear"):
        return aggregated_values(mdp, by_pairs=method == "linear-sarsa")
    elif method.endswith("q-learning"):
        found = solve(mdp)
        table = found.q
    elif method == "sarsa":
        found, table = epsilon_soft_optimum(Task(mdp), 0.1)
    else:
        found = evaluate_policy(mdp, uniform_policy(mdp))
        table = found.values if method.endswith("td") else found.q
    return table, found.error_bound + gamma_n(mdp.n_states + 4) * float(np.abs(table).max())


def aggregated_values(mdp: MDP, *, by_pairs: bool) -> tuple[np.ndarray, float]:
    """Groups of states (0, 1), (2, 3) and 4, alone or with each action: the values of a smaller process.

    In it a group moves like its members on average, weighted by how often they are met. A relative error `e` of those
    weights and sums is one of its rows and rewards, and costs `e r / (1 - gamma)^2` at most; terms are doubled.
    """
    policy = uniform_policy(mdp)
    law, transitions = on_policy_law(Task(mdp), policy), np.asarray(mdp.to_dense().transitions)
    states, actions = mdp.rewards.shape
    group = np.repeat(np.arange(states) * 3 // states, actions if by_pairs else 1)
    if by_pairs:
        weights = (law[:, None] * policy).ravel()
        group = group * actions + np.tile(np.arange(actions), states)
        chain = (transitions[:, :, :, None] * policy).reshape(states * actions, -1)
        pay = mdp.rewards.ravel()
    else:
        weights, chain = law, np.einsum("sa,sat->st", policy, transitions)
        pay = (policy * mdp.rewards).sum(axis=1)
    member = (group[:, None] == np.arange(group.max() + 1)).astype(np.float64)
    share = member * weights[:, None] / (member.T @ weights)
    rows = share.T @ chain @ member
    rows /= rows.sum(axis=1, keepdims=True)
    small = MDP(rows[:, None, :], (share.T @ pay)[:, None], mdp.discount)
    found = evaluate_policy(small, np.ones((len(rows), 1)))
    relative = tolerances_linear.stationary(states) + gamma_n(4 * len(group) + 8)
    slack = 4.0 * relative * mdp.largest_reward / (1.0 - mdp.discount) ** 2
    values = found.values[group].reshape((states, actions) if by_pairs else states)
    return values, found.error_bound + slack


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


def test_features_of_a_file(capsys, tmp_path):
    """Groups are features like others; what does not fit is refused by name, and so are dependent columns."""
    groups = state_features(Task(load_mdp(NAME, 0.7)), "2")
    for name, features, good in (
        ("groups", groups, True),
        ("short", groups[:-1], False),
        ("words", groups.astype(str), False),
        ("twice", np.hstack([groups, groups]), False),
    ):
        file = tmp_path / f"{name}.npy"
        np.save(file, features)
        command = ("learn", "linear-td", *SHORT, "--features", str(file))
        if good:
            seen, same = run_json(capsys, *command), run_json(capsys, *command[:-1], "2")
            assert seen == same
        else:
            line = fails(capsys, *command)
            assert ("exactly one solution" if name == "twice" else "expected numbers (5, D)") in line


def test_features_are_zero_where_episodes_end(tmp_path):
    """Of a file, whatever it holds there, and of groups, of which there are half as many as live states."""
    task = Task(load_mdp("chain:4"))
    given = np.arange(1, 9).reshape(4, 2)
    np.save(tmp_path / "given.npy", given)
    seen = state_features(task, str(tmp_path / "given.npy"))
    assert seen.dtype == np.float64
    np.testing.assert_array_equal(seen, [[1, 2], [3, 4], [5, 6], [0, 0]])
    for source in (None, "2"):
        np.testing.assert_array_equal(state_features(task, source), [[1, 0], [1, 0], [0, 1], [0, 0]])
    np.testing.assert_array_equal(state_features(task, "1"), [[1], [1], [1], [0]])
    np.testing.assert_array_equal(state_features(task, "3"), [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]])


def test_linear_methods_where_episodes_end(capsys):
    """Ends have no features and no values; pairs that are missing have no answer."""
    for method in ("linear-td", "linear-sarsa"):
        seen = run_json(capsys, "learn", method, "cliff:3,4", "--discount", "0.5", "--steps", "100", "--features", "3")
        truth = np.array(seen["truth"], dtype=np.float64)
        assert truth.shape == ((12,) if method == "linear-td" else (12, 4))
        assert truth[11].ravel()[0] == 0.0
        assert np.isfinite(np.array(seen["errors"], dtype=np.float64)).all()


def test_divergence_is_shown(capsys, tmp_path):
    """Steps far too long: the error is infinite, in words, in JSON, on the live line and in a figure."""
    long = (
        "learn",
        "linear-td",
        *SHORT,
        "--step-size",
        "1e30",
        "--steps",
        "100",
        "--plot",
        str(tmp_path / "curve.png"),
    )
    assert "worst inf" in run(capsys, *long)
    errors = np.array(run_json(capsys, *long)["errors"][-1], dtype=np.float64)
    assert not np.isfinite(errors).any()
    curve = Curve(np.array([1, 2]), np.array([[1.0], [np.inf]]), None)
    assert _blocks(curve) == "██ inf"


def test_a_line_of_blocks_falls_with_the_median_error():
    """From a full block at the largest one; an error that is not finite is as high as that."""
    errors = np.array([[4.0, 2.0], [7.0, 1.0], [0.5, np.inf], [1.0, 1.0], [0.0, 0.25]])
    assert _blocks(Curve(np.arange(5), errors, None)) == "▆██▃▁ 0.125"


def improved(method: str, baseline, horizon: int) -> np.ndarray:
    """The parameters of the same learner of the library after 60 updates, from the same seed."""
    task, rng = Task(load_mdp(NAME, 0.7)), np.random.default_rng(0)
    sizes, critic = constant(0.25), StepSizes(1.0, 2.0 / 3.0)
    if method == "reinforce":
        *_, last = reinforce(task, tabular(task.mdp), sizes, 60, horizon, 3, rng, baseline=baseline)
        return last.theta
    *_, last = (qac if method == "qac" else a2c)(task, sizes, critic, 60, 3, rng)
    return last.logits.reshape(3, -1)


@pytest.mark.parametrize(
    ("method", "options", "baseline", "horizon"),
    [
        ("reinforce", (), value_baseline, 13),  # 0.7^13 is the first power below a hundredth
        ("reinforce", ("--baseline", "none"), None, 13),
        ("reinforce", ("--baseline", "optimal", "--horizon", "2"), step_baseline, 2),
        ("qac", (), None, 0),
        ("a2c", (), None, 0),
    ],
)
def test_policies_are_worth_what_is_said(row, capsys, method, options, baseline, horizon):
    """What the last policies lack of the best value: certified values of the library's learner from the same seed."""
    command = ("learn", method, *SHORT, "--steps", "60", "--step-size", "0.25", *options)
    seen = run_json(capsys, *command)
    task = Task(load_mdp(NAME, 0.7))
    for theta, error in zip(improved(method, baseline, horizon), seen["errors"][-1], strict=True):
        exact = start_gradient(task, tabular(task.mdp), theta)
        # A plain solve of a system of norm 2, whose inverse has norm 1 / (1 - gamma).
        solve = tolerances_learning.linear_system(5, 2.0 / 0.3, task.mdp.largest_reward / 0.3)[0]
        row("RL-24", f"what {method} lacks of the best value", abs(seen["truth"][0] - error - exact.objective),
            exact.objective_bound + 4.0 * solve, "certified, and a backward stable solve")  # fmt: skip
        assert error > 0.0
    assert max(seen["errors"][-1]) < min(seen["errors"][0])


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
        (("learn", "a2c", NAME, "--policy", "optimal"), "--policy: a2c takes none, only td"),
        (("learn", "td", NAME, "--features", "3"), "--features: td takes none, only linear-td, linear-sarsa"),
        (("learn", "linear-td", NAME, "--features", "6"), "expected a number of groups, 1 to 5, or an .npy file"),
        (("learn", "linear-td", NAME, "--features", "few"), "features are 'few': expected a number of groups"),
        (("learn", "linear-td", NAME, "--features", "nowhere.npy"), "nowhere.npy"),
        (("learn", "qac", NAME, "--baseline", "v"), "--baseline: qac takes none, only reinforce"),
        (("learn", "reinforce", NAME, "--baseline", "w"), "invalid choice: 'w'"),
        (("learn", "reinforce", NAME, "--horizon", "0"), "expected a number of rows >= 1"),
    ],
)
def test_bad_input_is_one_line(capsys, wrong, says):
    assert says in fails(capsys, *wrong)
