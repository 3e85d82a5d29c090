"""Counting false alarms: what counts as green, what is run again, and what a log remembers."""

import json

import false_alarms
import pytest

GREEN = {"status": 0, "passed": 99, "failed": {}, "said": "", "seconds": 1.0}


def test_a_stopped_count_goes_on(tmp_path, capsys):
    log, seen = tmp_path / "folder" / "alarms.jsonl", []

    def once(seed, tests, precision):
        seen.append(seed)
        if seed == 3 and len(seen) == 3:
            raise KeyboardInterrupt
        return {"seed": seed, **GREEN}

    with pytest.raises(KeyboardInterrupt):
        false_alarms.main(["--runs", "4", "--log", str(log)], once)
    assert false_alarms.main(["--runs", "4", "--log", str(log)], once) == 0
    assert seen == [1, 2, 3, 3, 4]
    assert [json.loads(line)["seed"] for line in log.read_text().splitlines()] == [1, 2, 3, 4]
    assert "4 runs in float32, 396 tests passed, all green" in capsys.readouterr().out
    # Another precision is another count.
    assert false_alarms.main(["--runs", "1", "--precision", "float64", "--log", str(log)], once) == 0
    assert seen[5:] == [1]


@pytest.mark.parametrize(
    "changes",
    [{"failed": {"test_a": "E  assert 2 <= 1"}, "status": 1}, {"status": 2}],
    ids=["a failure", "an interruption"],
)
def test_what_is_not_green_is_counted(changes, tmp_path, capsys):
    def once(seed, tests, precision):
        return {"seed": seed, **GREEN, **(changes if seed == 2 else {})}

    assert false_alarms.main(["--runs", "3", "--log", str(tmp_path / "alarms.jsonl")], once) == 1
    assert "1 not green: seeds [2]" in capsys.readouterr().out


def test_a_run_without_tests_stops_the_count_and_is_not_remembered(tmp_path, capsys):
    log = tmp_path / "alarms.jsonl"

    def once(seed, tests, precision):
        return {"seed": seed, **GREEN, "status": 2, "passed": 0, "said": "No module named deep"}

    assert false_alarms.main(["--runs", "3", "--log", str(log)], once) == 2
    assert not log.exists()
    said = capsys.readouterr().err
    assert "expected tests to run, saw none (exit status 2)" in said
    assert "No module named deep" in said
