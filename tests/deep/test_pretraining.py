"""A run that begins with recorded transitions: the buffer before the first step, the updates before it, resuming."""

import dataclasses

import numpy as np
import pytest

from deep import checkpoint, environments, log, offline, pretraining, runs, train
from deep.errors import InvalidSetting
from deep.programs import lane
from deep.session import Session


@pytest.fixture
def recorded(tiny, tmp_path):
    """The buffer of another run as a file."""
    config = tiny(seed=5)
    run = Session([config], [environments.make(config.environment)])
    for _ in range(150):
        run.advance()
    path = tmp_path / "data.npz"
    offline.write(path, pretraining.of_replay(lane(run.replay, 0)), run.environments[0])
    return path


def settings(tiny, recorded, **changes):
    return tiny(dataset=str(recorded), pretrain_steps=30, steps=260, **changes)


@pytest.mark.parametrize("objective", ["conditional", "occupancy"])
def test_the_buffer_begins_with_the_data(row, tiny, recorded, objective):
    config = settings(tiny, recorded, value_objective=objective, reward_shift=-1.0)
    run = Session([config], [environments.make(config.environment)])
    data = np.load(recorded)
    held = np.asarray(lane(run.replay, 0).reward[:150])
    row.exact("EV11", "recorded rewards, shifted", np.array_equal(held, data["rewards"] - 1.0), f"{held[:5]}")
    for _ in range(3):
        run.pretrain(10)
    made = int(run.state.step[0])
    row.exact("EV11", "updates before the first step", made == run.pretrained == 30, f"{made}, {run.pretrained}")
    run.advance()
    size, reward = int(lane(run.replay, 0).size), float(lane(run.replay, 0).reward[150])
    row.exact("EV11", "the first step is stored behind the data", (size, reward) == (151, 0.0), f"{size}, {reward}")


def test_stopped_while_pretraining(row, tiny, recorded, tmp_path, monkeypatch):
    """Killed between two blocks of updates and resumed: the same log and the same last checkpoint."""
    monkeypatch.setattr(train, "PRETRAIN_AT_ONCE", 10)
    config = settings(tiny, recorded)
    folders = [tmp_path / "whole", tmp_path / "halves"]
    assert train.start([config], [folders[0]], unverified=True) == 0
    pretrain = Session.pretrain

    def killed(run, count):
        if run.pretrained == 20:
            raise KeyboardInterrupt
        pretrain(run, count)

    with monkeypatch.context() as patch:
        patch.setattr(Session, "pretrain", killed)
        with pytest.raises(KeyboardInterrupt):
            train.start([config], [folders[1]], unverified=True)
    assert checkpoint.latest(folders[1] / "checkpoints")[0].record["pretrained"] == 20
    assert train.resume([folders[1]], unverified=True) == 0
    lines = [(folder / "metrics.jsonl").read_bytes() for folder in folders]
    row.exact("CK04", "log of a run stopped while pretraining", lines[0] == lines[1], "the logs differ")
    saved = [checkpoint.load(checkpoint.files(folder / "checkpoints")[0]).arrays for folder in folders]
    odd = [name for name in saved[0] if saved[0][name].tobytes() != saved[1][name].tobytes()]
    row.exact("CK04", "last checkpoint of a run stopped while pretraining", odd == [], f"differ: {odd}")
    numbers = [line["pretraining/step"] for line in log.read(folders[0]) if "pretraining/step" in line]
    assert numbers == [10, 20, 30]
    assert runs.settings(folders[0]) == config


def test_pretraining_needs_data(tiny):
    with pytest.raises(InvalidSetting, match="nothing to learn from before the first step without --dataset"):
        dataclasses.replace(tiny(), pretrain_steps=3)
