"""Interquartile means and bootstrap intervals, and the curves drawn from them."""

import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from deep import log, plot, presets, runs
from deep.config import Config, from_json, to_json
from deep.errors import Diverged, InvalidRun
from deep.statistics import RESAMPLES, bootstrap, interquartile_mean
from reference.rounding import gamma_n


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=30))
def test_the_interquartile_mean_is_that_of_the_middle(row, values):
    ordered, cut = sorted(values), len(values) // 4
    middle = ordered[cut : len(ordered) - cut]
    exact = Fraction(sum(middle), len(middle))
    seen = interquartile_mean(np.array(values, np.float64))
    magnitude = sum(map(abs, middle)) / len(middle)
    bound = gamma_n(len(middle)) * magnitude
    row("STAT-IQM", "interquartile mean", abs(Fraction(float(seen)) - exact), bound, "a sum and a division")


def test_extremes_do_not_move_it():
    values = np.array([0.0, 1, 2, 3, 4, 5, 6, 7])
    wild = values.copy()
    wild[0], wild[-1] = -1e9, 1e9
    assert interquartile_mean(values) == interquartile_mean(wild) == 3.5
    assert values.mean() != wild[1:].mean()


def test_the_interval_is_that_of_the_resampling_law(row):
    """Resampled means of five zeros and five ones follow Binomial(10, 1/2) / 10, whose quantiles are known."""
    interval = bootstrap(np.repeat([0.0, 1.0], 5), statistic=lambda values: values.mean(axis=0))
    law = binom(10, 0.5)
    low, high = law.ppf(0.025) / 10, law.ppf(0.975) / 10
    seen = (interval.estimate, interval.low, interval.high)
    row.exact("STAT-CI", "bootstrap interval", seen == (0.5, low, high), f"{seen}, expected {(0.5, low, high)}")
    # The sample's quantile is another atom only if the count of resamples below it strays this far.
    below, reached = law.cdf(10 * low - 1), law.cdf(10 * low)
    miss = 2 * (binom.sf(0.025 * RESAMPLES - 1, RESAMPLES, below) + binom.cdf(0.025 * RESAMPLES, RESAMPLES, reached))
    row("STAT-CI", "chance that a right bootstrap fails here", miss, 1 / RESAMPLES**2, "stated false alarm")


def test_one_value_is_its_own_interval():
    assert bootstrap(np.array([3.0])) == (3.0, 3.0, 3.0)


def test_no_values_no_interval():
    with pytest.raises(ValueError, match="expected a one-dimensional array with at least one value"):
        bootstrap(np.array([]))


def a_run(folder, seed: int, returns: dict[int, list[float]]):
    runs.create(folder, Config(environment="Made-v0", seed=seed), {"date": "today"})
    lines = [{"step": step, "evaluation/returns": values} for step, values in returns.items()]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_curves_over_seeds(tmp_path):
    """Only steps that all runs have reached; the interquartile mean over runs of the episodes' means."""
    folders = [
        a_run(tmp_path / str(seed), seed, {10: [seed, seed + 2.0], 20: [5.0, 7.0]} | ({30: [0.0, 0.0]} if seed else {}))
        for seed in range(4)
    ]
    axes = plot.curves(folders)
    (line,) = axes.lines
    assert line.get_label() == "Made-v0, roer (4 runs)"
    assert line.get_xdata().tolist() == [10, 20]
    assert line.get_ydata().tolist() == [interquartile_mean(np.array([1.0, 2, 3, 4])), 6.0]


def test_the_curve_of_one_run(tmp_path):
    axes = plot.curves([a_run(tmp_path / "one", 3, {10: [0.0, 1.0, 2.0, 3.0, 4.0], 20: [6.0] * 5})])
    (line,), (band,) = axes.lines, axes.collections
    assert line.get_label() == "Made-v0, roer (seed 3)"
    assert line.get_ydata().tolist() == [2.0, 6.0]
    assert sorted(set(band.get_paths()[0].vertices[:, 1])) == [1.0, 3.0, 6.0]


def test_runs_without_a_common_step(tmp_path):
    folders = [a_run(tmp_path / "a", 0, {10: [1.0]}), a_run(tmp_path / "b", 1, {15: [1.0]})]
    with pytest.raises(InvalidRun, match="share no evaluation step"):
        plot.curves(folders)
    with pytest.raises(InvalidRun, match="nothing to plot"):
        plot.curves([a_run(tmp_path / "c", 2, {})])


def test_a_line_cut_short_is_left_out(tmp_path):
    folder = a_run(tmp_path / "cut", 0, {10: [1.0]})
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 20, "evaluation/retu')
    assert [line["step"] for line in log.read(folder)] == [10]


def test_a_bad_metric_is_not_written(tmp_path):
    writer = log.Log(tmp_path)
    writer.write(1, {"losses/critic": 0.5})
    with pytest.raises(Diverged, match="losses/actor is inf at step 2"):
        writer.write(2, {"losses/critic": 0.5, "losses/actor": float("inf")})
    with pytest.raises(Diverged, match=r"evaluation/returns is .*nan.* at step 3"):
        writer.write(3, {"evaluation/returns": [1.0, float("nan")]})
    writer.close()
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1, "losses/critic": 0.5}\n'


def test_settings_survive_their_file():
    for name in presets.PRESETS:
        config = presets.preset(name)
        stored = json.loads(json.dumps(to_json(config)))
        assert from_json(stored, "config.json") == config
    with pytest.raises(ValueError, match=r"config.json: unknown setting 'gamma'"):
        from_json(stored | {"gamma": 0.9}, "config.json")


def test_a_bar_is_drawn_and_removed(capsys):
    bar = log.Bar(100, 0)
    bar.tick(1)
    bar.INTERVAL = 0.0
    bar.episode(12.5)
    bar.evaluation(50, 3.0, 1.0)
    bar.close()
    assert "step        50  return       3.00 +- 1.00" in capsys.readouterr().out
