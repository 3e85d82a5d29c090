"""Interquartile means and bootstrap intervals of one task; the log that returns are read from."""

import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from deep import log, presets
from deep.config import from_json, to_json
from deep.errors import Diverged
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
    with pytest.raises(ValueError, match="expected one-dimensional arrays with at least one value"):
        bootstrap(np.array([]))


def test_a_line_cut_short_is_left_out(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 10}\n{"step": 20, "evaluation/retu')
    assert [line["step"] for line in log.read(tmp_path)] == [10]


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
