"""flow, temperature, compare, plot and exact optima on the command line: the library's numbers, and nothing else."""

import json
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from terminal import fails, needs, run, run_json

from reference import figures_ratios, library, rational
from reference.__main__ import main
from reference.commands_regularized import DRAWINGS
from reference.divergence import FermiDirac, JensenShannon
from reference.exact import solve_exactly
from reference.interop.umb import write_umb
from reference.ratios import behavior_of, three_ratios
from reference.regularized import regularized_occupancy
from reference.sources import load_mdp, uniform_policy
from reference.temperature import beta_for_effective_sample_fraction, beta_for_kl, beta_for_perplexity_fraction
from reference.weights import optimal_weights

NAME = "garnet:6,3,2,1"
TARGETS = {
    "ess": (beta_for_effective_sample_fraction, 0.5),
    "perplexity": (beta_for_perplexity_fraction, 0.5),
    "kl": (beta_for_kl, 0.2),
}


def data(name: str = NAME):
    """The process and what its uniform behavior says."""
    mdp = load_mdp(name)
    return mdp, behavior_of(mdp, uniform_policy(mdp))


def numbers(array: list) -> np.ndarray:
    """A list of JSON, null for NaN."""
    return np.array(array, dtype=np.float64)


def test_flow_is_that_of_the_library(capsys):
    """Digits, and the enclosure of the optimum (OCC-01, OCC-10)."""
    mdp, behavior = data()
    expected = regularized_occupancy(mdp, behavior.law, 0.3, JensenShannon())
    arguments = ("flow", NAME, "--beta", "0.3", "--divergence", "js")
    seen = run_json(capsys, *arguments)
    for field in ("occupancy", "ratio", "values", "td_error", "policy", "behavior"):
        np.testing.assert_array_equal(numbers(seen[field]), getattr(expected, field))
    for field in ("value", "primal", "dual", "gap"):
        assert seen[field] == getattr(expected, field)
    assert seen["status"] == "CONVERGED"
    text = run(capsys, *arguments)
    assert f"optimum in [{expected.primal:.12g}, {expected.dual:.12g}]" in text
    assert "ratio w" in text


def test_a_gap_that_stays_open_is_no_success(capsys, monkeypatch):
    monkeypatch.setattr(
        "reference.commands_regularized.regularized_occupancy",
        lambda *arguments: regularized_occupancy(*arguments, max_iterations=1),
    )
    assert main(["flow", "cliff:3,5", "--beta", "1e-3"]) == 1
    assert "not converged" in capsys.readouterr().out


@pytest.mark.parametrize("target", TARGETS)
def test_temperatures_meet_the_target_that_is_named(capsys, target):
    solve_for, value = TARGETS[target]
    _, behavior = data()
    expected = solve_for(behavior.advantage, behavior.law, value)
    seen = run_json(capsys, "temperature", NAME, f"--{target}", str(value))
    assert (seen["beta"], seen["beta_low"], seen["beta_high"]) == (expected.beta, expected.low, expected.high)
    assert seen["achieved"] == expected.achieved
    assert seen["signal"] == expected.signal
    np.testing.assert_array_equal(numbers(seen["weights"]), expected.weights.weights)
    assert f"beta {expected.beta:.12g}" in run(capsys, "temperature", NAME, f"--{target}", str(value))


def test_two_policies_are_compared(capsys, tmp_path):
    mdp, uniform = data("gridworld:2,3")
    policy = np.zeros_like(uniform.policy)
    policy[:, 0] = 1.0
    np.save(tmp_path / "up.npy", policy)
    other = behavior_of(mdp, policy)
    arguments = ("compare", "gridworld:2,3", "--policies", "uniform", str(tmp_path / "up.npy"))
    seen = run_json(capsys, *arguments)
    np.testing.assert_array_equal(seen["difference"], other.evaluation.values - uniform.evaluation.values)
    assert seen["difference_error"] == uniform.evaluation.error_bound + other.evaluation.error_bound
    assert seen["total_variation"] > 0.0
    assert "what the second gains" in run(capsys, *arguments)
    same = run_json(capsys, "compare", "gridworld:2,3", "--policies", "optimal", "optimal")
    assert (same["total_variation"], set(same["difference"])) == (0.0, {0.0})


def test_several_divergences_are_compared(capsys):
    """A cap reaches the generator that takes one; the others are not asked."""
    _, behavior = data()
    arguments = ("compare", NAME, "--divergences", "js", "fermi-dirac", "--cap", "2", "--beta", "0.5")
    seen = run_json(capsys, *arguments)["divergences"]
    for record, generator in zip(seen, (JensenShannon(), FermiDirac(2.0)), strict=True):
        expected = optimal_weights(behavior.advantage, behavior.law, 0.5, generator)
        assert record["divergence"] == repr(generator)
        assert (record["multiplier"], record["value"], record["gap"]) == (
            expected.multiplier,
            expected.value,
            expected.gap,
        )
        assert record["effective_sample_fraction"] == expected.effective_sample_fraction
        ends = np.nanmin(expected.weights), np.nanmax(expected.weights)
        assert (record["smallest_weight"], record["largest_weight"]) == ends
        np.testing.assert_array_equal(numbers(record["weights"]), expected.weights)
    text = run(capsys, *arguments)
    assert "JensenShannon()" in text
    assert "…" not in text  # nothing was cut


def test_the_three_ratios_are_compared(capsys):
    mdp, _ = data("gridworld:2,3")
    expected = three_ratios(mdp, uniform_policy(mdp), 0.3)
    seen = run_json(capsys, "compare", "gridworld:2,3", "--beta", "0.3")
    np.testing.assert_array_equal(numbers(seen["relaxed"]), expected.relaxed.weights)
    np.testing.assert_array_equal(numbers(seen["conditional"]), expected.conditional.ratio)
    np.testing.assert_array_equal(numbers(seen["occupancy"]), expected.occupancy.ratio)
    text = run(capsys, "compare", "gridworld:2,3", "--beta", "0.3")
    between = np.nanmax(np.abs(expected.conditional.ratio - expected.occupancy.ratio))
    assert f"conditional and occupancy ratio differ by up to {between:.6g}: only the second corrects states" in text
    assert f"in [{expected.occupancy.primal:.10g}, {expected.occupancy.dual:.10g}]" in text


def test_exact_optima_are_fractions(capsys):
    """The rational optimum of the floats, or of the fractions that were meant (RL-05)."""
    mdp = load_mdp("gridworld:2,3")
    for option, process in (([], mdp), (["--intended"], rational.intended(mdp))):
        found = solve_exactly(process)
        seen = run_json(capsys, "solve", "gridworld:2,3", "--exact", *option)
        assert [Fraction(value) for value in seen["exact_values"]] == list(found.values)
        assert seen["optimal_actions"] == found.optimal.tolist()
        assert seen["error_of_floats"] < 1.0
    text = run(capsys, "solve", "gridworld:2,3", "--exact", "--intended")
    assert "-199/100" in text
    assert "every optimal action" in text
    assert "→↓" in text  # a tie, which floats cannot tell from a near tie


def test_one_of_several_rewards(capsys, tmp_path):
    """A model checker's file may hold several; one has to be named, and the known ones are."""
    file = tmp_path / "process.umb"
    write_umb(library.chain(3), str(file))
    assert run_json(capsys, "solve", str(file), "--reward", "reward")["states"] == 3
    assert "reward" in fails(capsys, "solve", str(file), "--reward", "fuel")
    assert file.read_bytes()


@pytest.mark.parametrize("what", DRAWINGS)
@pytest.mark.parametrize("name", ["gridworld:2,3", NAME])
def test_every_figure_is_drawn(capsys, tmp_path, what, name):
    needs("matplotlib")
    file = tmp_path / "figure.png"
    seen = run_json(capsys, "plot", name, str(file), "--show", what)
    assert (seen["file"], seen["show"]) == (str(file), what)
    assert file.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "command", [["plot", NAME, "figure.png", "--show", "concentration"], ["temperature", NAME, "--ess", "0.5"]]
)
def test_concentration_is_drawn_two_decades_around_beta(capsys, tmp_path, monkeypatch, command):
    needs("matplotlib")
    drawn = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(figures_ratios, "plot_concentration", lambda behavior, betas, *_: drawn.append(betas))
    flag = {"plot": ["--beta", "0.25"], "temperature": ["--plot", "figure.png"]}[command[0]]
    seen = run_json(capsys, *command, *flag)
    (betas,) = drawn
    beta = seen.get("beta", 0.25)
    assert len(betas) == 120
    # One product and one power, and geomspace keeps its ends.
    assert betas[[0, -1]] == pytest.approx([beta / 100.0, beta * 100.0], rel=4.0 * np.finfo(float).eps)


@pytest.mark.parametrize(
    "command",
    [
        ["flow", NAME],
        ["temperature", NAME, "--ess", "0.5"],
        ["compare", NAME],
        ["compare", NAME, "--divergences", "kl", "js"],
        ["compare", NAME, "--policies", "uniform", "optimal"],
        ["compare", "gridworld:2,3", "--policies", "uniform", "optimal"],
    ],
    ids=" ".join,
)
def test_figures_of_answers_are_written_whole(capsys, tmp_path, command):
    needs("matplotlib")
    run(capsys, *command, "--plot", str(tmp_path / "figure.svg"))
    assert [path.name for path in tmp_path.iterdir()] == ["figure.svg"]


@pytest.mark.parametrize(
    "command", [["plot", "chain:3"], ["flow", "chain:3", "--plot"], ["compare", "chain:3", "--plot"]], ids=" ".join
)
@pytest.mark.parametrize("wrong", [["--beta", "0"], ["--divergence", "fermi-dirac"], ["--behavior", "best"]])
def test_bad_input_overwrites_nothing(capsys, tmp_path, command, wrong):
    needs("matplotlib")
    file = tmp_path / "figure.png"
    file.write_bytes(b"before")
    if command[0] == "plot":
        wrong = [*wrong, "--show", "ratios"]
    fails(capsys, *command, str(file), *wrong)
    assert file.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [file]


def test_running_out_of_memory_says_what_was_asked_and_what_is_there(capsys, monkeypatch):
    """Before the allocation, from the size; or from NumPy, when it fails."""
    message = fails(capsys, "solve", "garnet:1000000000000,4,5,0")
    assert "needs about" in message
    assert "GiB are available" in message

    def exhausted(*arguments, **options):
        np.empty((2**26, 2**20))

    monkeypatch.setattr("reference.commands.load_mdp", exhausted)
    monkeypatch.setattr("reference.__main__.available_memory", lambda: 3 * 2**30)
    message = fails(capsys, "solve", "chain:3")
    assert message.startswith("error: out of memory: unable to allocate")
    assert ", and 3 GiB are available. Take a smaller process" in message
    monkeypatch.setattr("reference.__main__.available_memory", lambda: None)
    assert "available" not in fails(capsys, "solve", "chain:3")


@pytest.mark.parametrize("command", ["flow", "temperature", "compare", "plot", "studio", "solve", "export"])
def test_help_of_a_command_shows_its_examples(capsys, command):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"python -m reference {command} " in capsys.readouterr().out


def test_a_process_of_its_own(tmp_path):
    """From a shell: JSON on stdout and silence on stderr; one line, a status and nothing written for bad input."""
    command = [sys.executable, "-W", "error", "-m", "reference"]
    file = tmp_path / "process.npz"
    library.gridworld(2, 2).save(str(file))
    good = subprocess.run(
        [*command, "flow", str(file), "--json"], capture_output=True, text=True, check=True, encoding="utf-8"
    )
    assert json.loads(good.stdout)["states"] == 4
    assert good.stderr == ""
    file.write_bytes(b"PK no archive")
    bad = subprocess.run([*command, "temperature", str(file), "--ess", "0.5"], capture_output=True, text=True)
    assert (bad.returncode, bad.stdout, bad.stderr.count("\n")) == (2, "", 1)
    assert "process.npz" in bad.stderr
    assert file.read_bytes() == b"PK no archive"
