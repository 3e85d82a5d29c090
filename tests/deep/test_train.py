"""Whole runs: killed, stopped, damaged and resumed, they end as the run that nothing happened to."""

import json
import random
import signal
import time

import jax
import numpy as np
import pytest
from simulators import Poisoned
from tiny_runs import TINY, flags

from deep import checkpoint, environments, log, runs, train
from deep.config import Config
from deep.environments import Environment
from deep.errors import DeepError, Diverged, InvalidRun

CLOCKS = {"time", "date", "seconds", "SPS"}


def outcome(folder) -> tuple[bytes, dict[str, bytes], dict]:
    """The log and the last checkpoint of a finished run."""
    saved, refused = checkpoint.latest(folder / "checkpoints")
    assert refused == []
    arrays = {name: array.tobytes() for name, array in saved.arrays.items()}
    return (folder / "metrics.jsonl").read_bytes(), arrays, saved.record


def compare(row, folder, reference) -> None:
    ours, theirs = outcome(folder), reference
    lines = zip(ours[0].splitlines(), theirs[0].splitlines(), strict=False)
    at = next((f"line {n}: {a}, expected {b}" for n, (a, b) in enumerate(lines, 1) if a != b), "one is longer")
    row.exact("CK04", "log of a resumed run", ours[0] == theirs[0], at)
    odd = [name for name in theirs[1] if ours[1].get(name) != theirs[1][name]]
    row.exact("CK04", "last checkpoint of a resumed run", ours[1:] == theirs[1:], f"differ: {odd or 'record'}")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The run that nothing happened to."""
    folder = tmp_path_factory.mktemp("runs") / "uninterrupted"
    with jax.disable_jit(False):
        assert train.start([Config(**TINY)], [folder], unverified=True) == 0
    return folder


def test_a_run_leaves_its_log_curve_and_checkpoints(uninterrupted, row, tiny):
    config = tiny()
    names = {path.name for path in uninterrupted.iterdir()}
    assert {"config.json", "metrics.jsonl", "timing.jsonl", "checkpoints", "curve.png"} <= names
    assert (uninterrupted / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in checkpoint.files(uninterrupted / "checkpoints")] == [
        "step_000001500.safetensors",
        "step_000001250.safetensors",
    ]
    assert runs.settings(uninterrupted) == config
    assert runs.sessions(uninterrupted)[0]["unverified"] is True

    lines = log.read(uninterrupted)
    seen = {name for line in lines for name in line if name != "step"}
    row.exact("EV13", "every metric is documented", seen <= log.METRICS.keys(), f"{seen - log.METRICS.keys()}")
    clocked = [name for name in seen if CLOCKS & set(name.replace("/", " ").replace("_", " ").split())]
    row.exact("CK04", "no clock in the log", clocked == [], f"{clocked}")
    steps = [line["step"] for line in lines]
    assert steps == sorted(steps)
    evaluated = [line["step"] for line in lines if "evaluation/return" in line]
    row.exact("EV10", "evaluated when it says", evaluated == [400, 800, 1200, 1500], f"{evaluated}")
    learned = [line["step"] for line in lines if "losses/critic" in line]
    expected = list(range(config.warmup_steps + config.log_every, config.steps + 1, config.log_every))
    row.exact(
        "EV11", "losses logged when it says", learned == expected, f"{learned[:3]}..., expected {expected[:3]}..."
    )
    episodes = sum(line["charts/episodic_length"] for line in lines if "charts/episodic_length" in line)
    last = checkpoint.latest(uninterrupted / "checkpoints")[0]
    unfinished = len(last.arrays["host/actions"])
    row.exact("EV13", "episode lengths add up", episodes + unfinished == config.steps, f"{episodes} + {unfinished}")


def test_evaluations_leave_the_run_alone(row, tiny, tmp_path):
    """The whole loop, evaluated often and at its end alone: the same keys, the same episodes, the same parameters."""
    folders = {every: tmp_path / f"every_{every}" for every in (20, 150)}
    for every, folder in folders.items():
        assert train.start([tiny(steps=150, evaluate_every=every)], [folder], unverified=True) == 0
    often, once = (outcome(folder)[1] for folder in folders.values())
    keys = [arrays["agent/key"] for arrays in (often, once)]
    row.exact("RN06", "random key with and without evaluations", keys[0] == keys[1], f"{keys[0]}, expected {keys[1]}")
    episodes = [[line for line in log.read(folder) if "charts/episodic_return" in line] for folder in folders.values()]
    same = episodes[0] == episodes[1] and len(episodes[0]) > 1
    row.exact("EV09", "training episodes with and without evaluations", same, f"{episodes[0]}, expected {episodes[1]}")
    odd = [name for name in once if often.get(name) != once[name]]
    row.exact("EV09", "last checkpoint with and without evaluations", odd == [], f"differ: {odd}")


def test_killed_and_resumed(uninterrupted, launch, row, tmp_path):
    """SIGKILL at a random moment of the run, then --resume, in processes of their own."""
    reference = outcome(uninterrupted)
    total = len(reference[0])
    after = random.SystemRandom().randrange(1, int(0.8 * total))
    folder = tmp_path / "killed"
    process = launch(*flags(Config(**TINY)), "--unverified", "--folder", str(folder))
    written = folder / "metrics.jsonl"
    while process.poll() is None and (not written.exists() or written.stat().st_size < after):
        time.sleep(0.002)
    process.kill()
    output, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL, f"it ended before the kill at byte {after}:\n{output}"

    resumed = launch("train", "--resume", str(folder), "--unverified")
    output, _ = resumed.communicate()
    assert resumed.returncode == 0, f"killed at byte {after} of the log:\n{output}"
    compare(row, folder, reference)


def test_stopped_by_a_signal_and_resumed(uninterrupted, row, tiny, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "stopped"
    advance, seen = train.Session.advance, []

    def interrupted(session):
        if session.step == 873 and not seen:
            seen.append(True)
            signal.raise_signal(signal.SIGTERM)
        return advance(session)

    monkeypatch.setattr(train.Session, "advance", interrupted)
    before = signal.getsignal(signal.SIGTERM)
    assert train.start([tiny()], [folder], unverified=True) == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
    assert "SIGTERM: saved at step 874" in capsys.readouterr().out
    assert train.resume([folder], unverified=True) == 0
    assert [session["from_step"] for session in runs.sessions(folder)] == [0, 874]
    compare(row, folder, outcome(uninterrupted))


def test_a_damaged_checkpoint_falls_back(uninterrupted, row, tiny, tmp_path, capsys):
    folder = tmp_path / "damaged"
    train.start([tiny(steps=750)], [folder], unverified=True)
    newest, older = checkpoint.files(folder / "checkpoints")
    newest.write_bytes(newest.read_bytes()[:-100])
    # Rows of the log that came after the older checkpoint are made again, not twice.
    assert train.resume([folder], steps=1500, unverified=True) == 0
    printed = capsys.readouterr().out
    assert str(newest) in printed
    assert f"falling back to {older.name}" in printed
    compare(row, folder, outcome(uninterrupted))


def test_killed_before_the_first_checkpoint_begins_again(uninterrupted, row, tiny, tmp_path):
    folder = tmp_path / "early"
    runs.create(folder, tiny(), runs.session(None, 0))
    (folder / "metrics.jsonl").write_text('{"step": 3, "charts/episodic_return": 3.0, "charts/epi')
    assert train.resume([folder], unverified=True) == 0
    compare(row, folder, outcome(uninterrupted))


def test_a_complete_run_is_left_alone(uninterrupted, capsys):
    before = {path: path.stat().st_mtime_ns for path in uninterrupted.rglob("*") if path.is_file()}
    assert train.resume([uninterrupted], unverified=True) == 0
    assert "the run is complete" in capsys.readouterr().out
    after = {path: path.stat().st_mtime_ns for path in uninterrupted.rglob("*") if path.is_file()}
    assert {path.name for path in after if after[path] != before.get(path)} <= {"lock"}


def test_a_run_in_use_is_refused(uninterrupted):
    with runs.claimed(uninterrupted), pytest.raises(InvalidRun, match="in use by another process"):
        train.resume([uninterrupted], unverified=True)


def test_a_log_that_lost_its_end_is_refused(tiny, tmp_path):
    folder = tmp_path / "short"
    train.start([tiny(steps=450)], [folder], unverified=True)
    log_file = folder / "metrics.jsonl"
    log_file.write_bytes(log_file.read_bytes()[:10])
    with pytest.raises(InvalidRun, match="has 10 bytes, but the checkpoint was written when it had"):
        train.resume([folder], steps=500, unverified=True)


def test_a_number_that_is_none_stops_the_run(tiny, tmp_path, monkeypatch):
    poisoned = lambda identifier, **_: Environment(Poisoned("observation", np.inf, at=60), name=identifier)  # noqa: E731
    monkeypatch.setattr(environments, "make", poisoned)
    folder = tmp_path / "poisoned"
    said = r"observation\[1\] is inf .*step 60, episode 0\); the last good checkpoint is .*step_000000040"
    with pytest.raises(Diverged, match=said):
        train.start([tiny(checkpoint_every=20, evaluate_every=1000)], [folder], unverified=True)
    names = [path.name for path in checkpoint.files(folder / "checkpoints")]
    assert names == ["step_000000040.safetensors", "step_000000020.safetensors"]


def test_a_metric_that_is_no_number_stops_the_run(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(
        train.Session, "fetch_metrics", lambda session: [{"losses/critic": 1.0, "losses/value": float("nan")}]
    )
    with pytest.raises(Diverged, match=r"losses/value is nan at step 50; .*no checkpoint had been written"):
        train.start([tiny()], [tmp_path / "run"], unverified=True)


def test_an_existing_folder_is_never_overwritten(uninterrupted, tiny):
    before = {path: path.read_bytes() for path in uninterrupted.rglob("*") if path.is_file()}
    with pytest.raises(InvalidRun, match="exists already and is not overwritten: continue it with --resume"):
        train.start([tiny()], [uninterrupted], unverified=True)
    assert before == {path: path.read_bytes() for path in uninterrupted.rglob("*") if path.is_file()}


@pytest.mark.parametrize("content", [None, "", "{}", '{"settings": {"beta": 1}, "sessions": []}', "[1]"])
def test_a_folder_that_is_no_run_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(DeepError, match=r"config\.json"):
        train.resume([tmp_path], unverified=True)


def test_changed_versions_are_said(tiny, tmp_path, capsys):
    folder = tmp_path / "old"
    train.start([tiny(steps=410)], [folder], unverified=True)
    record = json.loads((folder / "config.json").read_text())
    record["sessions"][-1]["versions"]["jax"] = "0.1"
    (folder / "config.json").write_text(json.dumps(record))
    capsys.readouterr()
    train.resume([folder], steps=420, unverified=True)
    assert "warning: versions changed since this run was last started" in capsys.readouterr().out
