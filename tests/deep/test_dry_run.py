"""What a dry run says is what the run then has, and it leaves nothing behind."""

import re

import jax
import numpy as np
import pytest

from deep import checkpoint, dry_run, environments
from deep.session import Session


@pytest.fixture
def environment(tiny):
    made = environments.make(tiny().environment)
    yield made
    made.close()


def rows(text: str) -> dict[str, str]:
    return dict(re.split(r"  +", line, maxsplit=1) for line in text.splitlines())


def test_it_says_what_the_run_has(tiny, environment, tmp_path):
    config = tiny(beta=3.0)
    said = rows(dry_run.describe([config], environment, [tmp_path / "run"]))
    run = Session([config], [environment])
    for name, group in run.state.params._asdict().items():
        assert said[f"{name} parameters"] == f"{sum(leaf.size for leaf in jax.tree.leaves(group)):,}"
    assert said["environment"] == "InvertedPendulum-v5: observations 4, actions 1 in [-1, 1]"
    assert said["beta"] == "3.0  (preset: 16.0)"
    assert said["steps"] == "1,500: 100 of warm-up, then 1,400 updates"
    assert said["evaluations"] == "4 of 2 episodes"
    buffer = sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(run.memory))
    assert said["buffer"].startswith(f"{buffer / 1024:.1f} KiB: 400 transitions")
    assert said["folder"] == str(tmp_path / "run")
    assert "none covers this run" in said["certificate"]
    assert list(tmp_path.iterdir()) == []


def test_a_full_checkpoint_is_as_large_as_it_says(tiny, environment, tmp_path):
    config = tiny(buffer_size=5000, hidden=(64, 64), steps=5000)
    said = rows(dry_run.describe([config], environment, [tmp_path / "run"]))
    run = Session([config], [environment])
    run.memory = run.memory._replace(replay=run.replay._replace(size=jax.numpy.full(1, 5000, "int32")))
    run.save([tmp_path], [0])
    size = checkpoint.files(tmp_path)[0].stat().st_size
    named = float(re.search(r"at most ([\d.]+) KiB each", said["checkpoints"])[1]) * 1024
    assert named <= size <= 1.1 * named
    assert checkpoint.reached(tmp_path) == 0


def test_a_folder_that_is_there_is_said(tiny, environment, tmp_path):
    assert "exists already" in rows(dry_run.describe([tiny()], environment, [tmp_path]))["folder"]
