"""What a run leaves when it is ended at the worst moment, and how the command line goes on from there."""

import json
import os
import signal

import jax
import pytest
from outcomes import difference, outcome
from tiny_runs import TINY

from deep import __main__ as command_line
from deep import checkpoint, files, runs, train
from deep.config import Config
from deep.errors import InvalidRun
from deep.stop import Stop

SHORT = TINY | {"steps": 600, "evaluation_episodes": 1}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run that nothing happened to."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    with jax.disable_jit(False):
        assert train.start([Config(**SHORT)], [folder], unverified=True) == 0
    return outcome(folder)


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip(path):
    contents = bytearray(path.read_bytes())
    contents[-100] ^= 1
    path.write_bytes(contents)


def flip_header(path):
    contents = bytearray(path.read_bytes())
    contents[3] ^= 64
    path.write_bytes(contents)


@pytest.mark.parametrize("damage", [cut, flip, flip_header])
def test_the_command_line_falls_back_to_the_previous_checkpoint(row, tmp_path, capsys, whole, damage):
    folder = tmp_path / "damaged"
    assert train.start([Config(**SHORT | {"steps": 500})], [folder], unverified=True) == 0
    newest, older = checkpoint.files(folder / "checkpoints")
    damage(newest)
    capsys.readouterr()
    assert command_line.main(["evaluate", str(folder), "--episodes", "1"]) == 0
    told = capsys.readouterr()
    assert f"falling back to {older.name}" in told.err
    assert f"step {checkpoint.load(older).step:,}," in told.out
    assert command_line.main(["train", "--resume", str(folder), "--steps", "600", "--unverified"]) == 0
    printed = capsys.readouterr().out
    assert str(newest) in printed
    assert f"falling back to {older.name}" in printed
    odd = difference(outcome(folder), whole)
    row.exact("CK04", "run after a damaged checkpoint", odd == "", odd)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_a_save_does_not_cut_it_short(row, tmp_path, monkeypatch, whole, number):
    folder, replace = tmp_path / "run", os.replace

    def interrupted(source, target):
        if "step_000000250" in str(target):
            signal.raise_signal(number)
        replace(source, target)

    monkeypatch.setattr(os, "replace", interrupted)
    assert train.start([Config(**SHORT)], [folder], unverified=True) == number
    saved, refused = checkpoint.latest(folder / "checkpoints")
    assert (saved.step, refused) == (250, [])
    assert train.resume([folder], unverified=True) == 0
    odd = difference(outcome(folder), whole)
    row.exact("CK04", "run stopped while it saved", odd == "", odd)


def test_a_run_folder_appears_with_its_settings_or_not_at_all(tiny, tmp_path, monkeypatch):
    """A process killed between the folder and its config.json would leave what can neither be started nor resumed."""
    seen = []

    def killed(path, text):
        seen.append((path, sorted(each.name for each in tmp_path.iterdir() if not each.name.startswith("."))))
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "write_atomically", killed)
    with pytest.raises(KeyboardInterrupt):
        runs.create(tmp_path / "run", tiny(), {})
    assert [names for _, names in seen] == [[]]
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(runs, "write_atomically", files.write_atomically)
    runs.create(tmp_path / "run", tiny(), {})
    assert json.loads((tmp_path / "run" / "config.json").read_text())["settings"]["seed"] == TINY["seed"]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o755
    with pytest.raises(InvalidRun, match="exists already"):
        runs.create(tmp_path / "run", tiny(), {})
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidRun, match="exists already"):
        runs.create(tmp_path / "empty", tiny(), {})
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidRun, match="cannot make the run folder"):
        runs.create(tmp_path / "file" / "run", tiny(), {})


def test_a_folder_is_in_use_while_it_is_claimed(tmp_path):
    assert not runs.in_use(tmp_path)
    with runs.claimed(tmp_path):
        assert runs.in_use(tmp_path)
    assert not runs.in_use(tmp_path)


def test_the_revision_says_whether_the_checkout_was_edited(monkeypatch):
    answers = {"rev-parse": "0123abc", "ls-files": "runs.py", "status": ""}
    monkeypatch.setattr(runs, "_git", lambda where, word, *rest: answers[word])
    assert runs.git_revision() == "0123abc"
    answers["status"] = " M agent.py"
    assert runs.git_revision() == "0123abc+changes"
    answers["ls-files"] = ""  # installed below another repository
    assert runs.git_revision() is None


def test_a_second_ctrl_c_interrupts_and_a_second_sigterm_does_not():
    stop = Stop()
    before = signal.getsignal(signal.SIGINT)
    with stop.listening():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert stop.signal == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
