"""`python -m reference`: answers that equal the solvers', one clear line for bad input, nothing overwritten."""

import argparse
import json
import math
import re
import subprocess
import sys

import numpy as np
import pytest
import tolerances
from terminal import fails, needs, run, run_json

from reference import library, output
from reference.__main__ import main
from reference.conditional import conditional_value
from reference.divergence import JensenShannon
from reference.evaluation import evaluate_policy
from reference.mdp import MDP
from reference.occupancy import occupancy_measure
from reference.parser import parser
from reference.planning import solve
from reference.soft import solve_soft
from reference.sources import load_mdp, load_policy, uniform_policy
from reference.weights import optimal_weights

TOY_TEXT = {"FrozenLake-v1": 17, "CliffWalking-v1": 49}


@pytest.mark.parametrize(
    "name", ["recycling-robot", "garnet:6,3,2,1", "gridworld:3,4", "cliff:3,4", "chain:5", "FrozenLake-v1"]
)
def test_solve_prints_every_digit_of_the_solution(capsys, name):
    if name.endswith("-v1"):
        needs("gymnasium")
    seen, expected = run_json(capsys, "solve", name), solve(load_mdp(name))
    np.testing.assert_array_equal(seen["values"], expected.values)
    np.testing.assert_array_equal(seen["policy"], expected.policy)
    assert seen["error_bound"] == expected.error_bound
    assert [[q is None for q in row] for row in seen["q"]] == np.isinf(expected.q).tolist()
    assert seen["status"] == "CONVERGED"
    assert seen["discount"] == load_mdp(name).discount


@pytest.mark.parametrize(("name", "states"), TOY_TEXT.items())
def test_toy_text_grids_are_drawn_with_arrows(capsys, name, states):
    needs("gymnasium")
    text = run(capsys, "solve", name, "--discount", "0.99")
    assert f"{name}: MDP({states} states, 4 actions, discount 0.99" in text
    assert "converged" in text
    assert {"→", "↓", "↑"} <= set(text)
    assert "…" not in text  # no number was cut


def test_the_newest_taxi(capsys):
    """Whatever version Gymnasium ships; an old id is answered with the new one."""
    needs("gymnasium")
    import gymnasium

    newest = max(key for key in gymnasium.registry if key.startswith("Taxi-v"))
    seen = run_json(capsys, "solve", newest)
    assert seen["states"] == 501
    assert newest in fails(capsys, "solve", "Taxi-v1")


def test_solvers_and_temperature_are_passed_on(capsys):
    name = "gridworld:3,3"
    mdp = load_mdp(name)
    soft = run_json(capsys, "solve", name, "--soft", "0.5")
    np.testing.assert_array_equal(soft["values"], solve_soft(mdp, 0.5).values)
    for solver in ("value-iteration", "policy-iteration"):
        seen = run_json(capsys, "solve", name, "--solver", solver, "--tolerance", "1e-6")
        assert seen["solver"] == solver.replace("-", " ")
        assert seen["error_bound"] <= 1e-6
        assert f"soft {seen['solver']}" == run_json(capsys, "solve", name, "--solver", solver, "--soft", "1")["solver"]


def test_a_bound_that_is_not_met_is_said_and_is_no_success(capsys):
    assert main(["solve", "chain:5", "--tolerance", "5e-324", "--discount", "0.9"]) == 1
    assert "not converged" in capsys.readouterr().out


def test_weights_are_those_of_the_library(capsys):
    """A^pi and the occupancy of the behavior policy, as `optimal_weights` takes them (KL-04, JS-04)."""
    name = "garnet:5,2,2,0"
    mdp = load_mdp(name)
    policy = uniform_policy(mdp)
    evaluated = evaluate_policy(mdp, policy)
    law = occupancy_measure(mdp, policy)
    expected = optimal_weights(
        evaluated.q - evaluated.values[:, None], law / math.fsum(law.ravel()), 0.5, JensenShannon()
    )
    seen = run_json(capsys, "weights", name, "--divergence", "js", "--beta", "0.5")
    np.testing.assert_array_equal(seen["weights"], expected.weights)
    assert (seen["multiplier"], seen["value"]) == (expected.multiplier, expected.value)
    assert seen["effective_sample_size"] == expected.effective_sample_size
    text = run(capsys, "weights", name, "--divergence", "js", "--beta", "0.5")
    for number in (expected.multiplier, expected.value):
        assert f"{number:.10g}" in text
    assert f"{expected.effective_sample_size:.6g} of 10 entries" in text
    capped = run_json(capsys, "weights", name, "--divergence", "fermi-dirac", "--cap", "2", "--beta", "0.1")
    assert max(max(row) for row in capped["weights"]) <= 2.0


def test_unavailable_pairs_have_no_weight(capsys):
    seen = run_json(capsys, "weights", "chain:4")
    assert seen["weights"][3][1] is None
    assert seen["behavior"][3][1] == 0.0


def test_a_multiplier_of_the_callers_is_judged(capsys, row):
    """At the optimal one the mean is one; elsewhere it says how far off; outside the domain it is refused (JS-03)."""
    solved = run_json(capsys, "weights", "bandit", "--divergence", "js")
    seen = run_json(capsys, "weights", "bandit", "--divergence", "js", "--multiplier", repr(solved["multiplier"]))
    bound, reason = tolerances.conjugate_identity(3, 1.0)
    weights = np.array([w for w in np.ravel(seen["weights"]) if w is not None])
    bound += solved["multiplier_error"] * float(np.max(weights * (1.0 + weights)))
    row("JS-04", "mean at the multiplier that is printed", abs(seen["mean"] - 1.0), 4.0 * bound, reason)
    assert "mean of the weights" in run(capsys, "weights", "bandit", "--multiplier", "5")
    assert "infeasible multiplier -9" in fails(capsys, "weights", "bandit", "--divergence", "js", "--multiplier", "-9")


def test_one_command_reads_what_another_wrote(capsys, tmp_path):
    """solve --json > policy.json, evaluate --policy policy.json: the optimal values again."""
    solved = run(capsys, "solve", "recycling-robot", "--json")
    policy = tmp_path / "optimal.json"
    policy.write_text(solved, encoding="utf-8")
    solved = json.loads(solved)
    seen = run_json(capsys, "evaluate", "recycling-robot", "--policy", str(policy))
    bound = seen["error_bound"] + solved["error_bound"]
    assert np.max(np.abs(np.array(seen["values"]) - np.array(solved["values"]))) <= bound
    array = tmp_path / "policy.npy"
    np.save(array, np.array(solved["policy"]))
    again = run_json(capsys, "evaluate", "recycling-robot", "--policy", str(array))
    assert again["values"] == seen["values"]
    greedy = run_json(capsys, "occupancy", "recycling-robot", "--policy", "optimal")
    assert greedy == run_json(capsys, "occupancy", "recycling-robot", "--policy", str(array))
    assert run_json(capsys, "weights", "recycling-robot", "--behavior", str(array))["support"] == 2


def test_conditional_and_occupancy(capsys):
    mdp = load_mdp("gridworld:2,3")
    seen = run_json(capsys, "conditional", "gridworld:2,3", "--beta", "0.3")
    np.testing.assert_array_equal(seen["values"], conditional_value(mdp, uniform_policy(mdp), 0.3).values)
    visited = run_json(capsys, "occupancy", "gridworld:2,3")
    np.testing.assert_array_equal(visited["occupancy"], occupancy_measure(mdp, uniform_policy(mdp)))
    assert "occupancy of states" in run(capsys, "occupancy", "gridworld:2,3")


def test_export_and_read_back(capsys, tmp_path):
    file = tmp_path / "process.npz"
    assert str(file) in run(capsys, "export", "garnet:5,2,3,7", str(file))
    assert run_json(capsys, "solve", str(file))["values"] == run_json(capsys, "solve", "garnet:5,2,3,7")["values"]
    assert run_json(capsys, "solve", str(file), "--discount", "0.5")["discount"] == 0.5


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
@pytest.mark.parametrize(
    "command", [["solve", "gridworld:2,3"], ["weights", "garnet:4,2,2,0"], ["occupancy", "chain:3"]]
)
def test_plots_are_written_whole(capsys, tmp_path, command, suffix):
    needs("matplotlib")
    file = tmp_path / f"figure{suffix}"
    run(capsys, *command, "--plot", str(file))
    start = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix]
    assert file.read_bytes().startswith(start)
    assert list(tmp_path.iterdir()) == [file]


def test_a_failing_plot_leaves_what_was_there(capsys, tmp_path, monkeypatch):
    needs("matplotlib")
    from matplotlib.figure import Figure

    file = tmp_path / "figure.png"
    file.write_bytes(b"before")

    def full(self, target, **options):
        target.write_bytes(b"half a pict")
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(Figure, "savefig", full)
    assert "No space left" in fails(capsys, "solve", "chain:3", "--plot", str(file))
    assert file.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [file]


BAD = [
    (["solve", "FrozenLake-v9"], "newest registered version is 'FrozenLake-v1'"),
    (["solve", "FrozenLak"], "Did you mean 'FrozenLake-v1'"),
    (["solve", "CartPole-v1"], "no transition table"),
    (["solve", "recycling-robt:"], "Did you mean recycling-robot"),
    (["solve", "folder/process"], "it is no file and no known name"),
    (["solve", "missing.npz"], "missing.npz: no such file"),
    (["solve", "garnet:5,3"], "expected garnet:STATES,ACTIONS,BRANCHING,SEED in whole numbers"),
    (["solve", "garnet:5,3,two,0"], "in whole numbers"),
    (["solve", "garnet:0,3,1,0"], "of at least 1"),
    (["solve", "garnet:5,3,9,0"], "branching is 9: expected between 1 and n_states = 5"),
    (["solve", "chain:3", "--discount", "1.0"], "discount is 1.0: expected 0 <= discount < 1"),
    (["solve", "chain:3", "--discount", "nan"], "discount is nan"),
    (["solve", "chain:3", "--discount", "high"], "invalid float value: 'high'"),
    (["solve", "chain:3", "--tolerance", "0"], "tolerance is 0.0"),
    (["solve", "chain:3", "--soft", "-1"], "alpha is -1.0"),
    (["solve", "chain:3", "--limit", "0"], "number of rows >= 1"),
    (["solve", "chain:3", "--plot", "figure.txt"], "ends in .png, .pdf or .svg"),
    (["solve", "chain:3", "--plot", "no/such/folder/f.png"], "there is no folder"),
    (["solve"], "arguments are required: NAME"),
    ([], "arguments are required: COMMAND"),
    (["slove", "chain:3"], "invalid choice: 'slove'"),
    (["weights", "chain:3", "--divergence", "jsd"], "invalid choice: 'jsd'"),
    (["weights", "chain:3", "--beta", "0"], "beta is 0"),
    (["weights", "chain:3", "--divergence", "fermi-dirac"], "expected a cap > 1"),
    (["weights", "chain:3", "--divergence", "fermi-dirac", "--cap", "0.5"], "infeasible below a cap of 1"),
    (["weights", "chain:3", "--divergence", "kl", "--cap", "2"], "expected no cap"),
    (["solve", "chain:3", "--reward", "fuel"], "chain:3 has one reward"),
    (["solve", "chain:3", "--solver", "simplex"], "invalid choice: 'simplex'"),
    (["solve", "chain:3", "--intended"], "expected --exact"),
    (["solve", "chain:3", "--exact", "--soft", "1"], "leave out --soft"),
    (["solve", "chain:3", "--exact", "--tolerance", "1e-3"], "leave out --tolerance"),
    (["solve", "chain:401", "--exact"], "expected at most 400"),
    (["solve", "garnet:3,2,2,0", "--exact", "--intended"], "within rounding of a fraction"),
    (["flow", "chain:3", "--beta", "-1"], "beta is -1.0: expected a finite temperature > 0"),
    (["flow", "chain:3", "--divergence", "fermi-dirac"], "expected a cap > 1"),
    (["flow", "chain:3", "--behavior", "best"], "unknown policy 'best'"),
    (["temperature", "chain:3"], "one of the arguments --ess --perplexity --kl is required"),
    (["temperature", "chain:3", "--ess", "0.5", "--kl", "1"], "not allowed with argument"),
    (["temperature", "chain:3", "--ess", "1.5"], "1.5"),
    (["temperature", "chain:3", "--ess", "1e-6"], "1e-06"),
    (["temperature", "chain:3", "--kl", "-1"], "-1"),
    (["compare", "chain:3", "--policies", "uniform"], "expected 2 arguments"),
    (["compare", "chain:3", "--policies", "uniform", "none.npy"], "none.npy: no such file"),
    (["compare", "chain:3", "--divergences", "kl", "wasserstein"], "invalid choice: 'wasserstein'"),
    (["compare", "chain:3", "--divergences", "kl", "--policies", "uniform", "optimal"], "not allowed with argument"),
    (["compare", "chain:3", "--divergences", "kl", "--cap", "2"], "no divergence here takes a cap"),
    (["compare", "chain:3", "--plot", "figure.txt"], "ends in .png, .pdf or .svg"),
    (["plot", "chain:3"], "arguments are required: FILE"),
    (["plot", "chain:3", "figure.txt"], "ends in .png, .pdf or .svg"),
    (["plot", "chain:3", "no/such/f.png"], "there is no folder"),
    (["plot", "chain:3", "figure.png", "--show", "everything"], "invalid choice: 'everything'"),
    (["plot", "missing.npz", "figure.png"], "missing.npz: no such file"),
    (["studio", "gridwrld:4,5"], "Did you mean gridworld"),
    (["studio", "chain:3", "--port", "high"], "invalid int value: 'high'"),
    (["weights", "chain:3", "--behavior", "unifrom"], "unknown policy 'unifrom'"),
    (["evaluate", "chain:3", "--policy", "missing.npy"], "missing.npy: no such file"),
    (["conditional", "chain:3", "--beta", "nan"], "beta is nan"),
    (["export", "chain:3", "file.txt"], "ends in .npz"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"), BAD, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_bad_input_is_one_clear_line(capsys, tmp_path, monkeypatch, arguments, message):
    if any(word in " ".join(arguments) for word in ("Frozen", "CartPole")):
        needs("gymnasium")
    if "figure.txt" not in arguments and "--plot" in arguments:
        needs("matplotlib")
    monkeypatch.chdir(tmp_path)
    assert message in fails(capsys, *arguments)
    assert list(tmp_path.iterdir()) == []


def test_wrong_files_are_one_clear_line(capsys, tmp_path):
    """A text, a truncated archive, a process that is none, a policy that is none: named, and left as they were."""
    text, cut, none = tmp_path / "text.npz", tmp_path / "cut.npz", tmp_path / "none.npz"
    text.write_text("hello", encoding="utf-8")
    library.chain(3).save(cut)
    cut.write_bytes(cut.read_bytes()[:100])
    np.savez(none, transitions=np.ones(3))
    for file in (text, cut, none):
        before = file.read_bytes()
        assert file.name in fails(capsys, "solve", str(file))
        assert file.read_bytes() == before
    policy = tmp_path / "policy.json"
    policy.write_text('{"policy": [[0.5, 0.4], [1, 0], [1, 0]]}', encoding="utf-8")
    assert "policy in state 0 sums to 0.9" in fails(capsys, "evaluate", "chain:3", "--policy", str(policy))
    for content, message in (("[[1, 0]]", "has shape (1, 2)"), ("{", "holds no policy"), ('{"a": 1}', "KeyError")):
        policy.write_text(content, encoding="utf-8")
        assert message in fails(capsys, "evaluate", "chain:3", "--policy", str(policy))
    array = tmp_path / "policy.npy"
    np.save(array, np.array([object()], dtype=object), allow_pickle=True)
    assert "holds no policy" in fails(capsys, "evaluate", "chain:3", "--policy", str(array))
    np.save(array, np.array([["a", "b"]] * 3))
    assert f"{array} holds no policy" in fails(capsys, "evaluate", "chain:3", "--policy", str(array))
    np.save(array, np.array([[1, 0]] * 3))
    assert load_policy(str(array), library.chain(3)).dtype == np.float64


@pytest.mark.parametrize("extra", ["matplotlib", "gymnasium"])
def test_a_missing_extra_is_named(capsys, monkeypatch, tmp_path, extra):
    monkeypatch.setitem(sys.modules, extra, None)
    command = (
        ["solve", "chain:3", "--plot", str(tmp_path / "f.png")] if extra == "matplotlib" else ["solve", "FrozenLake-v1"]
    )
    assert 'pip install "roer[show]"' in fails(capsys, *command)


def test_without_rich_the_tables_are_plain(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.console", None)
    text = run(capsys, "solve", "recycling-robot")
    assert "q(0)" in text
    assert "\x1b" not in text


def test_help_teaches_by_example(capsys):
    for arguments in (["--help"], ["solve", "--help"], ["weights", "--help"]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 0
        assert "python -m reference" in capsys.readouterr().out


def test_a_command_says_of_itself_what_the_list_says_of_it():
    """Its `--help` begins with the sentence that stands beside its name in the list of all."""
    (commands,) = (action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    listed = {entry.dest: entry.help for entry in commands._choices_actions}
    assert listed.keys() == commands.choices.keys()
    for name, command in commands.choices.items():
        assert command.description == listed[name]
        assert re.fullmatch(r"[A-Z].*[.)]", listed[name], re.DOTALL), f"{name}: a sentence"
        assert not listed[name].isupper()
        for option in command._actions:
            assert option.dest == "help" or re.match(r"[^A-Z\s]|[A-Z]+\(", option.help), (
                f"{name} {option.dest}: a phrase"
            )


@pytest.mark.long
def test_every_example_of_the_help_runs(capsys, tmp_path, monkeypatch):
    """The lines that `--help` shows, one after the other, in an empty folder."""
    for extra in ("gymnasium", "matplotlib"):
        needs(extra)
    from reference.parser import EXAMPLES

    monkeypatch.chdir(tmp_path)
    lines = [line.partition("#")[0].strip() for line in EXAMPLES.splitlines() if "python -m reference" in line]
    assert len(lines) >= 10
    for line in lines:
        if " studio " in line:  # serves until it is interrupted: tests/browser
            continue
        command, _, target = line.removeprefix("python -m reference ").partition(" > ")
        text = run(capsys, *command.split())
        assert text
        if target:
            (tmp_path / target).write_text(text, encoding="utf-8")
    written = {"cliff.png", "optimal.json", "weights.png", "curves.png", "visits.png", "learning.png", "taxi.npz"}
    assert {path.name for path in tmp_path.iterdir()} == written


def test_numbers_that_json_lacks_become_null():
    assert output.plain({"a": np.array([1.0, np.nan]), "b": [math.inf, 2], "c": "x"}) == {
        "a": [1.0, None],
        "b": [None, 2],
        "c": "x",
    }


def test_policies_come_from_where_they_say(tmp_path):
    mdp = library.chain(3)
    np.testing.assert_array_equal(load_policy("uniform", mdp), [[0.5, 0.5], [0.5, 0.5], [1.0, 0.0]])
    assert isinstance(load_mdp("chain:3"), MDP)
    assert load_mdp("chain:3", 0.5).discount == 0.5
    assert (load_mdp("bandit").discount, load_mdp("bandit", 0.5).discount) == (0.75, 0.5)
    assert load_mdp("garnet:400,2,2,0").is_sparse


def test_a_process_of_its_own():
    """The module runs from a shell: an answer on stdout, an error in one line on stderr with its status."""
    command = [sys.executable, "-W", "error", "-m", "reference"]
    good = subprocess.run(
        [*command, "solve", "chain:3", "--json"], capture_output=True, text=True, check=True, encoding="utf-8"
    )
    assert json.loads(good.stdout)["states"] == 3
    assert good.stderr == ""
    bad = subprocess.run([*command, "solve", "chain:3", "--discount", "1"], capture_output=True, text=True, check=False)
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr.count("\n") == 1
