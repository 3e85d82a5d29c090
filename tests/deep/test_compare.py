"""Presets side by side: the numbers of the table, what is refused, and what a reader is told."""

import json

import numpy as np
import pytest
from made_runs import made

from deep import comparison_table as table
from deep import results, statistics
from deep.commands import compare as command
from deep.compare import compare
from deep.errors import InvalidRun, InvalidSetting
from reference.rounding import gamma_n

FINAL = {
    ("Easy-v0", "sac"): [10.0, 12.0, 14.0, 16.0],
    ("Easy-v0", "roer"): [13.0, 15.0, 17.0, 19.0],
    ("Hard-v0", "sac"): [-400.0, -300.0, -200.0, -100.0],
    ("Hard-v0", "roer"): [-350.0, -300.0, -150.0, 0.0],
}
RANDOM = {"Easy-v0": 1.0, "Hard-v0": -1000.0}


def everything(folder, scale=1.0, shift=0.0):
    for (environment, preset), finals in FINAL.items():
        for seed, final in enumerate(finals):
            made(
                folder / f"{environment}-{preset}-{seed}",
                {10: [0.0, 0.0], 20: [scale * final + shift - 1.0, scale * final + shift + 1.0]},
                random=[scale * RANDOM[environment] + shift],
                environment=environment,
                preset=preset,
                seed=seed,
                divergence="none" if preset == "sac" else "kl",
            )
    return [results.read(one) for one in results.folders([folder])]


def test_the_numbers_are_those_of_the_statistics(tmp_path):
    found = compare(everything(tmp_path))
    assert found.baseline == "sac"
    assert [(one.environment, one.label) for one in found.entries] == [
        ("Easy-v0", "sac"),
        ("Easy-v0", "roer"),
        ("Hard-v0", "sac"),
        ("Hard-v0", "roer"),
    ]
    entry = found.entries[3]
    ours = np.array(FINAL["Hard-v0", "roer"])
    assert entry.returns.tolist() == ours.tolist()
    assert entry.iqm == statistics.bootstrap(ours)
    assert entry.median == -225.0
    assert entry.difference.estimate == (-300 - 150) / 2 - (-300 - 200) / 2
    assert entry.difference.low < entry.difference.estimate < entry.difference.high
    assert entry.improvement.estimate == (1 + 1.5 + 3 + 4) / 16
    assert found.entries[2].difference is found.entries[2].improvement is None

    sac, roer = found.overall
    assert found.tasks == ("Easy-v0", "Hard-v0")
    assert sac.mean.estimate == 1.0
    scores = [(np.array(FINAL["Easy-v0", "roer"]) - 1) / 12, (ours + 1000) / 750]
    assert roer.iqm == statistics.stratified_bootstrap(scores, statistics.aggregate_iqm)
    easy = (2 + 3 + 4 + 4) / 16  # 13 beats two of sac's returns, 15 three, the others all
    assert roer.improvement.estimate == (easy + entry.improvement.estimate) / 2
    assert roer.profile.estimate[0] == 1.0
    assert roer.profile.estimate[-1] == 0.0


def test_the_final_return_is_the_last_and_not_the_best(row, tmp_path):
    """The maximum over evaluations is biased upwards, the more of them there are."""
    for seed in range(2):
        curve = {10: [50.0 + seed, 52.0 + seed], 20: [8.0 + seed, 10.0 + seed]}
        made(tmp_path / f"run{seed}", curve, random=[0.0], environment="Easy-v0", preset="sac", seed=seed)
    (entry,) = compare([results.read(one) for one in results.folders([tmp_path])]).entries
    seen = (entry.step, entry.returns.tolist())
    row.exact("EV10", "final returns", seen == (20, [9.0, 10.0]), f"{seen}, expected those of step 20")


def test_scores_do_not_depend_on_the_unit_of_returns(row, tmp_path):
    one = compare(everything(tmp_path / "one"))
    other = compare(everything(tmp_path / "other", scale=64.0, shift=1024.0))
    for ours, theirs in zip(one.overall, other.overall, strict=True):
        for name in ("iqm", "mean", "median", "optimality_gap"):
            error = np.abs(np.subtract(getattr(ours, name), getattr(theirs, name)))
            # Returns are whole numbers here: only the quotient rounds, and the sums of at most eight scores below 2.
            row(
                "STAT-SCORE", f"{name} after an affine map", error, 2 * gamma_n(20) * 2, "a quotient and sums of scores"
            )


def test_the_reader_is_told(tmp_path):
    notes = "\n".join(compare(everything(tmp_path)).notes)
    assert "Easy-v0, Hard-v0: paired, every preset with the seeds 0-3" in notes
    assert "as few as 4 runs" in notes
    made(tmp_path / "more", {20: [1.0]}, environment="Easy-v0", preset="roer", seed=7)
    made(tmp_path / "alone", {20: [1.0]}, [0.0], environment="New-v0", preset="roer")
    made(tmp_path / "flat", {20: [1.0]}, [2.0], environment="Flat-v0", preset="sac", divergence="none")
    made(tmp_path / "unwarmed", {20: [1.0]}, environment="Unwarmed-v0", preset="sac", divergence="none")
    found = compare([results.read(one) for one in results.folders([tmp_path])])
    notes = "\n".join(found.notes)
    assert "Easy-v0: not paired, the presets have different seeds (sac 0-3, roer 0-3, 7)" in notes
    assert "New-v0 has no scores: sac was not run there" in notes
    assert "Flat-v0 has no scores: sac returns 1 on average, no more than random actions (2)" in notes
    assert "Unwarmed-v0 has no scores: no episode of random actions ended during any warm-up" in notes
    assert "as few as 1 run of" in notes
    assert found.tasks == ("Easy-v0", "Hard-v0")


def test_a_task_that_one_preset_lacks_is_left_out(tmp_path):
    runs = everything(tmp_path)
    runs = [run for run in runs if (run.config.environment, run.config.preset) != ("Hard-v0", "roer")]
    found = compare(runs)
    assert found.tasks == ("Easy-v0",)
    assert "Hard-v0 is left out of the scores over all tasks: not every preset was run there" in found.notes


def test_runs_of_different_lengths_are_refused(tmp_path):
    made(tmp_path / "short", {10: [1.0], 20: [2.0]}, seed=0)
    made(tmp_path / "long", {10: [1.0], 20: [2.0], 30: [9.0]}, seed=1)
    found = [results.read(one) for one in results.folders([tmp_path])]
    with pytest.raises(InvalidRun, match=r"end at different steps \(.*short at 20, .*long at 30\).*--at 20"):
        compare(found)
    (entry,) = compare(found, at=20).entries
    assert (entry.step, entry.returns.tolist()) == (20, [2.0, 2.0])
    with pytest.raises(InvalidRun, match=r"--at 30: .*short has no evaluation at this step; its nearest is 20"):
        compare(found, at=30)
    with pytest.raises(InvalidSetting, match="--baseline: expected one of roer, saw 'sac'"):
        compare(found, "sac", 20)


def test_the_command(tmp_path, capsys):
    everything(tmp_path / "runs")
    assert command.run([str(tmp_path / "runs")]) == 0
    shown = capsys.readouterr().out
    assert "Final returns" in shown
    assert "Scores over 2 tasks (0: random actions, 1: mean of sac)" in shown
    assert "…" not in shown

    assert command.run([str(tmp_path / "runs"), "--markdown", "--baseline", "roer"]) == 0
    lines = capsys.readouterr().out.splitlines()
    tables = [line for line in lines if line.startswith("|")]
    assert {line.count("|") for line in tables} == {9, 7}
    interval = statistics.bootstrap(np.array(FINAL["Easy-v0", "roer"]))
    assert f"| Easy-v0 | 20 | roer | 4 | 16.0 [{interval.low:.1f}, {interval.high:.1f}] | 16.0 | - | - |" in tables

    assert command.run([str(tmp_path / "runs"), "--json", "--output", "compare.svg"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    found = compare([results.read(one) for one in results.folders([tmp_path / "runs"])])
    assert numbers == json.loads(json.dumps(table.to_json(found)))
    assert numbers["entries"][1]["iqm"]["estimate"] == 16.0
    assert len(numbers["overall"][0]["profile"]["low"]) == len(numbers["thresholds"])
    assert (tmp_path / "compare.svg").read_text().lstrip().startswith("<?xml")

    with pytest.raises(InvalidSetting, match="--json and --markdown: expected one of them"):
        command.run([str(tmp_path / "runs"), "--json", "--markdown"])
    with pytest.raises(InvalidSetting, match="expected at least one run folder"):
        command.run([])
    made(tmp_path / "one", {20: [1.0]})
    with pytest.raises(InvalidSetting, match="there is nothing to draw: Made-v0 has no scores"):
        command.run([str(tmp_path / "one"), "--output", "none.svg"])


def test_one_preset_alone_has_no_differences(tmp_path):
    made(tmp_path / "one", {20: [4.0]}, [0.0])
    found = compare([results.read(tmp_path / "one")])
    assert table.tables(found)[0].rows == (("Made-v0", "20", "roer", "1", "4.0", "4.0", "-", "-"),)
    assert len(table.figure(found).axes) == 2
