"""Sweeps: every run of the grid ends complete and as if nothing had happened, or is named with what ended it."""

import contextlib
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import jax
import numpy as np
import pytest
from outcomes import difference, outcome
from tiny_sweeps import SHORT, grid_of, process_of, wait_until

from deep import checkpoint, runs, sweep, sweep_show, train, worker
from deep.commands import sweep as command
from deep.config import Config
from deep.errors import DeepError, InvalidRun
from deep.presets import preset
from deep.worker import Ended

KILLED = Ended(-signal.SIGKILL, "")


def test_seeds_may_be_words_or_ranges(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(sweep, "plan", lambda folder, configs, *_: seen.extend(configs) or pytest.fail("enough"))
    with pytest.raises(pytest.fail.Exception, match="enough"):
        command.run(["--tasks", "InvertedPendulum-v5", "--seeds", "0-2", "7", "--folder", str(tmp_path / "s")])
    assert [config.seed for config in seen] == [0, 1, 2, 7]


class Scripted:
    """An engine whose processes end as the script says: ("reaches", step, Ended) for each attempt, then complete."""

    def __init__(self, slots=2, **script):
        self.slots, self.script, self.words, self.stopped = slots, script, [], 0
        self._running = {}

    def start(self, unit, words):
        self.words.append(tuple(words))
        if not unit.folder.exists():
            runs.create(unit.folder, unit.config, runs.session(None, 0))
        steps = self.script.get(f"s{unit.config.seed}", [])
        step, end = steps.pop(0) if steps else (unit.config.steps, Ended(0, "done"))
        if step:
            checkpoint.save(unit.folder / "checkpoints", step, {"a": np.zeros(2)}, {})
        self._running[unit] = end
        assert len(self._running) <= self.slots

    def ended(self, seconds):
        ended, self._running = self._running, {}
        return list(ended.items())

    def stop(self):
        self.stopped += 1

    def close(self):
        self._running = {}


class Heard(sweep_show.Lines):
    """Lines that are kept; `at_tick` is called with the number of the tick."""

    def __init__(self, at_tick=lambda number: None):
        self.lines, self.ticks, self.at_tick = [], 0, at_tick

    def note(self, text):
        self.lines.append(text)

    def tick(self, entries):
        self.ticks += 1
        self.at_tick(self.ticks)


def units(folder, seeds=range(3), **changes):
    configs = [Config(**SHORT | changes | {"seed": seed}) for seed in seeds]
    return sweep.plan(folder, configs, lambda config: ["--seed", str(config.seed)], ["--keep", "3", "--unverified"])


def states(entries):
    return [entry.state for entry in entries]


def test_a_lost_run_is_continued_from_its_checkpoint(tmp_path):
    engine, heard = Scripted(s1=[(250, KILLED), (500, Ended(None, "NodeDiedError"))]), Heard()
    grid = units(tmp_path)
    entries, stopped_by = sweep.train(grid, engine, 3, heard, tmp_path / "summary.json")
    assert (states(entries), stopped_by) == (["complete"] * 3, 0)
    folder = str(grid[1].folder)
    again = [words for words in engine.words if folder in words]
    assert again == [grid[1].words, *[("train", "--resume", folder, "--keep", "3", "--unverified")] * 2]
    said = "\n".join(heard.lines)
    assert "s1 lost (killed by SIGKILL): continuing at step 250, retry 1 of 3" in said
    assert "s1 lost (NodeDiedError): continuing at step 500, retry 2 of 3" in said
    written = json.loads((tmp_path / "summary.json").read_text())
    assert [each["state"] for each in written.values()] == ["complete"] * 3
    assert [end["status"] for end in written[grid[1].name]["ends"]] == [-9, None]


def test_the_same_error_twice_is_the_runs_own(tmp_path):
    diverged = Ended(1, "error: losses/value is nan at step 300")
    engine, heard = Scripted(s0=[(250, diverged)] * 2, s1=[(0, KILLED)] * 3, s2=[(0, diverged), (0, KILLED)]), Heard()
    entries, _ = sweep.train(units(tmp_path), engine, 2, heard, tmp_path / "summary.json")
    assert states(entries) == ["failed", "failed", "complete"]
    said = "\n".join(heard.lines)
    assert "s0 failed twice the same way: error: losses/value is nan at step 300; see" in said
    assert "s1 failed: killed by SIGKILL, after 2 retries; see" in said
    assert "s1 lost (killed by SIGKILL): beginning again, retry 2 of 2" in said
    assert "[3/3]" in said


def test_a_run_that_says_it_is_done_and_is_not_is_no_complete_run(tmp_path):
    engine = Scripted(s0=[(250, Ended(0, "done"))] * 2)
    entries, _ = sweep.train(units(tmp_path, [0]), engine, 5, Heard(), tmp_path / "summary.json")
    assert states(entries) == ["failed"]


def test_a_signal_stops_the_sweep_and_the_same_command_continues_it(tmp_path):
    heard = Heard(lambda number: signal.raise_signal(signal.SIGTERM) if number == 1 else None)
    engine = Scripted(slots=1, s0=[(250, KILLED)])
    entries, stopped_by = sweep.train(units(tmp_path), engine, 3, heard, tmp_path / "summary.json")
    assert (states(entries), stopped_by, engine.stopped) == (["stopped"] * 3, signal.SIGTERM, 1)
    engine = Scripted()
    entries, stopped_by = sweep.train(units(tmp_path, range(4)), engine, 3, Heard(), tmp_path / "summary.json")
    assert (states(entries), stopped_by) == (["complete"] * 4, 0)
    assert [words[1] for words in engine.words].count("--resume") == 1
    engine, heard = Scripted(), Heard()
    entries, _ = sweep.train(units(tmp_path, range(2)), engine, 3, heard, tmp_path / "summary.json")
    assert (states(entries), engine.words) == (["complete"] * 2, [])
    assert heard.lines == ["2 runs, 2 complete before, 2 at once"]


def test_a_run_in_use_is_waited_for(tmp_path):
    grid = units(tmp_path)
    runs.create(grid[1].folder, grid[1].config, runs.session(None, 0))
    with contextlib.ExitStack() as held:
        held.enter_context(runs.claimed(grid[1].folder))
        heard = Heard(lambda number: held.close() if number == 5 else None)
        entries, _ = sweep.train(grid, Scripted(), 0, heard, tmp_path / "summary.json")
    assert states(entries) == ["complete"] * 3
    assert sum("s1 is in use by another process: waiting for it" in line for line in heard.lines) == 1


def test_more_steps_extend_a_sweep_and_other_settings_are_refused(tmp_path):
    sweep.train(units(tmp_path), Scripted(), 0, Heard(), tmp_path / "summary.json")
    longer = units(tmp_path, steps=1200)
    assert sweep.begin_or_continue(longer[0])[-5:] == ("--steps", "1200", "--keep", "3", "--unverified")
    with pytest.raises(InvalidRun, match=r"s0 holds a run with other settings \(steps 900 -> 800\)"):
        units(tmp_path, steps=800)
    with pytest.raises(InvalidRun, match=r"s0 holds a run with other settings \(tau 0.005 -> 0.1, beta 16.0 -> 2.0\)"):
        units(tmp_path, beta=2.0, tau=0.1)
    (tmp_path / "InvertedPendulum-v5__roer__s9").mkdir()
    with pytest.raises(InvalidRun, match="s9 is not a run folder"):
        units(tmp_path, [9])
    with pytest.raises(InvalidRun, match="two runs of the grid have this folder"):
        units(tmp_path, [1, 1])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seed", "3"], "--seed: the grid decides it"),
        (["--preset=sac"], "--preset: the grid decides it"),
        (["--jobs", "0"], "--jobs: expected a whole number >= 1, saw 0"),
        (["--keep", "0"], "--keep: expected a whole number >= 1, saw 0"),
        (["--retries", "-1"], "--retries: expected a whole number >= 0, saw -1"),
        (["--address", "auto"], "--address is for --engine ray"),
        (["--presets", "reor"], "expected one of .*, saw 'reor'"),
        (["--seeds", "x"], "--seeds: expected numbers and ranges such as"),
        (["--tasks", "HalfCheeta-v5"], "unknown environment 'HalfCheeta-v5'"),
    ],
)
def test_bad_input_is_one_error_before_anything_begins(tmp_path, arguments, said):
    given = ["--tasks", "InvertedPendulum-v5", "--folder", str(tmp_path / "sweep"), "--unverified", *arguments]
    with pytest.raises(DeepError, match=said):
        command.run(given)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("setting", "said"), [("--bata=3", "--bata"), ("--beta=-1", "--beta: expected a number > 0, saw -1.0")]
)
def test_a_bad_setting_of_the_runs_is_refused(tmp_path, capsys, setting, said):
    # Older releases of tyro let the settings' own error through, newer ones print it and exit.
    with pytest.raises((SystemExit, DeepError)) as refused:
        command.run(["--tasks", "InvertedPendulum-v5", "--folder", str(tmp_path / "s"), setting])
    assert said in capsys.readouterr().err + str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_a_process_is_held_to_its_share(monkeypatch):
    for name in ("XLA_PYTHON_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_PREALLOCATE"):
        monkeypatch.delenv(name, raising=False)
    assert worker.share(3, 2)["PJRT_NPROC"] == worker.share(3, 2)["OMP_NUM_THREADS"] == "3"
    assert worker.share(1, 4)["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.188"
    assert "XLA_PYTHON_CLIENT_MEM_FRACTION" not in worker.share(4, 1)
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    assert "XLA_PYTHON_CLIENT_MEM_FRACTION" not in worker.share(1, 4)


def test_the_last_line_of_a_log(tmp_path):
    log = tmp_path / "log"
    log.write_text(f"one\nerror: two\n\n{worker.heading(['train'])}")
    assert worker.last_line(log) == "error: two"
    log.write_text(worker.heading(["train"]))
    assert worker.last_line(log) == ""


def test_the_table_has_a_row_for_each_task_and_preset(tmp_path, capsys):
    grid = units(tmp_path)
    entries = [sweep.Entry(unit, state="complete", score=float(place)) for place, unit in enumerate(grid)]
    entries[2].state = "failed"
    sweep_show.table(entries)
    text = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert "roer 2 of 3 0.50 0.00 to 1.00 s2 failed" in text


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The same runs, trained one after the other in this process."""
    folder, found = tmp_path_factory.mktemp("undisturbed"), {}
    with jax.disable_jit(False):
        for seed in (7, 8):
            config = dataclasses.replace(preset("sac"), **SHORT | {"preset": "sac", "seed": seed})
            place = runs.folder_of(config, folder)
            assert train.start([config], [place], unverified=True) == 0
            found[place.name] = outcome(place)
    return found


def test_a_killed_process_is_resumed_and_the_sweep_ends_equal(row, tmp_path, processes, undisturbed, capfd):
    folder = tmp_path / "sweep"
    name = f"{SHORT['environment']}__sac__s8"

    def kill():
        written = folder / name / "metrics.jsonl"
        wait_until(lambda: written.exists() and written.stat().st_size > 4000)
        os.kill(process_of(folder / "logs" / f"{name}.log"), signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    assert command.run(grid_of(folder, ["sac"], "7-8")) == 0
    killer.join()
    printed = capfd.readouterr().out
    assert f"{name} lost (killed by SIGKILL)" in printed
    assert "2 of 2 runs complete" in printed
    for each, expected in undisturbed.items():
        odd = difference(outcome(folder / each), expected)
        row.exact("CK04", "run of a sweep with a killed process", odd == "", f"{each}: {odd}")
    summary = json.loads((folder / "summary.json").read_text())
    assert summary[name]["ends"] == [{"status": -9, "said": summary[name]["ends"][0]["said"]}]
    assert summary[name]["step"] == summary[name]["steps"] == SHORT["steps"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_sweep_that_ends_leaves_no_process_and_no_step_behind(row, tmp_path, processes, undisturbed, number):
    folder, name = tmp_path / "sweep", f"{SHORT['environment']}__sac__s7"
    script = "import sys; from deep.commands import sweep; sys.exit(sweep.run(sys.argv[1:]))"
    parent = subprocess.Popen(
        [sys.executable, "-c", script, *grid_of(folder, ["sac"], checkpoint_every=10**6)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    written = folder / name / "metrics.jsonl"
    wait_until(lambda: written.exists() and written.stat().st_size > 4000)
    child = process_of(folder / "logs" / f"{name}.log")
    parent.send_signal(number)
    printed, _ = parent.communicate()
    wait_until(lambda: not Path(f"/proc/{child}").exists())
    assert parent.returncode == (128 + number if number == signal.SIGTERM else -number)
    if number == signal.SIGTERM:
        assert "interrupted with 0 of 1 runs complete; the same command again continues" in printed
    step = checkpoint.reached(folder / name / "checkpoints")
    assert 0 < step < SHORT["steps"], f"expected a checkpoint where the signal came, saw step {step}"
    assert train.resume([folder / name], unverified=True) == 0
    ours, theirs = outcome(folder / name).logs, undisturbed[name].logs
    row.exact("CK04", "log of a run of a sweep that was stopped", ours == theirs, f"{name}: {ours}, expected {theirs}")
