"""Settings from a file: what it says is taken, what it cannot mean is one error that names it."""

import dataclasses
import json

import pytest

from deep import config_file, presets, runs
from deep.config import Config, to_json
from deep.errors import InvalidSetting


def test_a_runs_own_file_gives_its_settings(tiny, tmp_path):
    config = tiny(preset="sac", divergence="none", target_entropy=-0.5)
    runs.create(tmp_path / "run", config, runs.session(None, 0))
    assert config_file.load(tmp_path / "run" / "config.json") == config


def test_what_the_file_leaves_out_is_the_presets(tmp_path):
    path = tmp_path / "some.json"
    path.write_text('{"hidden": [32, 16], "beta": 4, "target_entropy": null}')
    changed = {"hidden": (32, 16), "beta": 4.0}
    assert config_file.load(path) == dataclasses.replace(Config(), **changed)
    assert config_file.load(path, "sac") == dataclasses.replace(presets.preset("sac"), **changed)
    assert isinstance(config_file.load(path).beta, float)
    path.write_text('{"preset": "sac", "steps": 5}')
    assert config_file.load(path) == dataclasses.replace(presets.preset("sac"), steps=5)


BAD = {
    "no JSON": ('{"beta": 1,', r"not JSON: .* at line 1, column \d+"),
    "no object": ("[1]", r"expected an object of settings, like .*, saw a list"),
    "unknown": ('{"learning-rat": 1}', "unknown setting 'learning-rat'; did you mean 'learning_rate'"),
    "nothing like it": ('{"qqqqq": 1}', "unknown setting 'qqqqq'; the settings are environment, agent, preset"),
    "twice": ('{"beta": 1, "beta": 2}', "'beta' is there twice"),
    "text for a number": ('{"beta": "1"}', 'beta: expected a number, saw "1"'),
    "fraction for a count": ('{"steps": 1.5}', "steps: expected a whole number, saw 1.5"),
    "truth for a number": ('{"target_entropy": true}', "target_entropy: expected a number or null, saw true"),
    "not a list": ('{"hidden": 8}', "hidden: expected a list, each of it a whole number, saw 8"),
    "odd in a list": ('{"hidden": [8, "x"]}', "hidden: expected a list"),
    "none of the names": ('{"divergence": "chi3"}', 'divergence: expected one of "none", .*, saw "chi3"'),
    "out of range": ('{"beta": -1}', "--beta: expected a number > 0, saw -1.0"),
    "not finite": ('{"beta": NaN}', "--beta: expected a number > 0, saw nan"),
    "no preset": ('{"preset": "reor"}', "expected one of .*, saw 'reor'"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_clear_error(tmp_path, name):
    text, said = BAD[name]
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(InvalidSetting, match=said) as caught:
        config_file.load(path)
    assert "bad.json" in str(caught.value)


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(InvalidSetting, match=r"--config: cannot read .*none.json: No such file"):
        config_file.load(tmp_path / "none.json")


def test_a_preset_that_the_file_contradicts_is_refused(tiny, tmp_path):
    path = tmp_path / "run.json"
    path.write_text(json.dumps(to_json(tiny())))
    assert config_file.load(path, "roer") == tiny()
    with pytest.raises(InvalidSetting, match=r"--preset sac: .*run.json holds settings of the preset 'roer'"):
        config_file.load(path, "sac")
