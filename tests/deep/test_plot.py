"""Which runs make one curve, at which steps, with which band; and the figures drawn from them."""

import json

import numpy as np
import pytest
from made_runs import made

from deep import diagnostics, figures, plot, results
from deep.commands import plot as command
from deep.errors import InvalidRun, InvalidSetting
from deep.statistics import bootstrap, interquartile_mean


def labels(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_curves_over_seeds(tmp_path):
    """Only steps that all runs have reached; the interquartile mean over runs of the episodes' means."""
    folders = [
        made(
            tmp_path / str(seed),
            {10: [seed, seed + 2.0], 20: [5.0, 7.0]} | ({30: [0.0, 0.0]} if seed else {}),
            seed=seed,
            steps=30,
        )
        for seed in range(4)
    ]
    (curve,) = plot.read(folders)
    assert curve.steps.tolist() == [10, 20]
    expected = bootstrap(np.array([1.0, 2, 3, 4]))
    assert (curve.middle[0], curve.low[0], curve.high[0]) == expected
    assert expected.estimate == interquartile_mean(np.array([1.0, 2, 3, 4]))
    assert curve.middle[1] == curve.low[1] == curve.high[1] == 6.0
    figure = plot.draw([curve])
    (axes,) = figure.axes
    (line,) = axes.lines
    assert labels(figure) == ["roer, 4 seeds"]
    assert axes.get_title() == "Made-v0"
    assert (line.get_xdata().tolist(), line.get_ydata().tolist()) == ([10, 20], curve.middle.tolist())


def test_the_curve_of_one_run(tmp_path):
    figure = plot.curves([made(tmp_path / "one", {10: [0.0, 1.0, 2.0, 3.0, 4.0], 20: [6.0] * 5}, seed=3)])
    (axes,) = figure.axes
    (line,), (band,) = axes.lines, axes.collections
    assert labels(figure) == ["roer, seed 3"]
    assert line.get_ydata().tolist() == [2.0, 6.0]
    assert sorted(set(band.get_paths()[0].vertices[:, 1])) == [1.0, 3.0, 6.0]


def test_each_environment_has_a_panel_and_each_preset_one_look(tmp_path):
    made(tmp_path / "a", {10: [1.0]}, environment="A-v0", preset="sac")
    made(tmp_path / "b", {10: [1.0], 20: [2.0]}, environment="B-v0", preset="sac")
    made(tmp_path / "c", {10: [1.0], 20: [2.0]}, environment="B-v0", preset="roer")
    figure = plot.curves([tmp_path])
    assert [axes.get_title() for axes in figure.axes] == ["A-v0", "B-v0"]
    looks = {line.get_label(): line.get_color() for line in figure.axes[1].lines}
    assert figure.axes[0].lines[0].get_color() == looks["sac"] != looks["roer"]
    assert labels(figure) == ["sac, seed 0", "roer, seed 0"]


def test_other_settings_are_another_curve(tmp_path):
    """Averaged as two seeds, beta 4 and beta 16 would be a number that belongs to nothing."""
    for seed, beta in ((0, 4.0), (1, 4.0), (0, 16.0)):
        made(tmp_path / f"{seed}-{beta}", {10: [beta]}, seed=seed, beta=beta, evaluate_every=10 + seed)
    found = plot.read([tmp_path])
    assert [(one.label, one.seeds) for one in found] == [("roer (beta=16)", (0,)), ("roer (beta=4)", (0, 1))]


def test_a_run_named_twice_counts_once(tmp_path):
    one = made(tmp_path / "one", {10: [1.0]})
    assert results.folders([one, tmp_path, tmp_path / "one"]) == [one]
    made(tmp_path / "copy", {10: [1.0]})
    with pytest.raises(InvalidRun, match="both seed 0 of roer on Made-v0 with equal settings: the same run twice"):
        plot.read([tmp_path])


def test_runs_without_a_common_step(tmp_path):
    folders = [made(tmp_path / "a", {10: [1.0]}, seed=0), made(tmp_path / "b", {15: [1.0]}, seed=1)]
    with pytest.raises(InvalidRun, match="share no evaluation step"):
        plot.read(folders)
    with pytest.raises(InvalidRun, match="nothing to show, the run has no evaluation yet"):
        plot.read([made(tmp_path / "c", {}, seed=2)])
    with pytest.raises(InvalidRun, match="nowhere is not a run folder and holds none"):
        plot.read([tmp_path / "nowhere"])


@pytest.mark.parametrize(("value", "said"), [(5e2, "500"), (1.5e3, "1.5k"), (2.5e4, "25k"), (3e6, "3M"), (0.0, "0")])
def test_steps_are_written_short(value, said):
    assert figures.steps(value) == said


def logged(folder, rows):
    with (folder / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def test_diagnostics(tmp_path):
    """A panel for each quantity that was logged; over seeds the median and the range."""
    for seed in range(3):
        folder = made(tmp_path / str(seed), {30: [1.0]}, seed=seed)
        rows = [{"step": step, "losses/critic": step + seed, "weights/min": 0.5, "weights/max": 2.0} for step in (1, 2)]
        logged(folder, [*rows, {"step": 3 + seed, "losses/critic": 9.0}])
    traces = diagnostics.read([tmp_path])
    assert [(trace.panel, trace.metric) for trace in traces] == [
        ("critic loss", "losses/critic"),
        ("experience weights", "weights/max"),
        ("experience weights", "weights/min"),
    ]
    assert [values.tolist() for values in traces[0][3:]] == [[1, 2], [2.0, 3.0], [1.0, 2.0], [3.0, 4.0]]
    figure = diagnostics.draw(traces)
    assert [axes.get_title() for axes in figure.axes] == ["critic loss", "experience weights"]
    assert len(figure.axes[1].lines) == 2
    with pytest.raises(InvalidRun, match="no losses in its log yet"):
        diagnostics.read([made(tmp_path / "early", {10: [1.0]}, seed=9)])


def test_the_command_draws_what_it_prints(tmp_path, capsys):
    for seed in range(2):
        logged(made(tmp_path / f"run{seed}", {10: [seed], 20: [3.0]}, seed=seed), [{"step": 11, "losses/actor": 1.0}])
    assert command.run([str(tmp_path), "--output", "figures/curves.svg", "--statistic", "mean", "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert numbers["statistic"] == "mean"
    assert numbers["curves"][0]["middle"] == [0.5, 3.0]
    assert numbers["curves"][0]["seeds"] == [0, 1]
    assert (tmp_path / "figures/curves.svg").read_text().lstrip().startswith("<?xml")
    assert command.run([str(tmp_path), "--what", "diagnostics", "--output", "inside.pdf"]) == 0
    assert (tmp_path / "inside.pdf").read_bytes().startswith(b"%PDF")
    assert command.run([str(tmp_path), "--what", "diagnostics", "--output", "inside.png", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["traces"][0]["metric"] == "losses/actor"
    with pytest.raises(InvalidRun, match=r"cannot write the figure curves\.docx"):
        command.run([str(tmp_path), "--output", "curves.docx"])
    assert not list(tmp_path.glob("*.docx"))
    (tmp_path / "taken").write_text("")
    with pytest.raises(InvalidRun, match=r"cannot write the figure taken/curves\.png"):
        command.run([str(tmp_path), "--output", "taken/curves.png"])
    with pytest.raises(InvalidSetting, match="expected at least one run folder"):
        command.run([])
