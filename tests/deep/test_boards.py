"""TensorBoard and W&B: on request only, every scalar once, the extra named where it is missing."""

import json
import sys
import types

import pytest

from deep import boards, log
from deep.config import Config
from deep.errors import InvalidSetting


class Recorded:
    """A W&B run that writes down what it is told."""

    def __init__(self, **options) -> None:
        self.options, self.lines, self.metrics, self.ended = options, [], [], False

    def define_metric(self, name, step_metric=None):
        self.metrics.append((name, step_metric))

    def log(self, values):
        self.lines.append(values)

    def finish(self):
        self.ended = True


@pytest.fixture
def wandb(monkeypatch):
    """A module in the place of wandb; `started` are its runs."""
    stub = types.ModuleType("wandb")
    stub.Error = type("Error", (Exception,), {})
    stub.started = []

    def init(**options):
        if options["project"] == "closed":
            raise stub.Error("api key not configured")
        stub.started.append(Recorded(**options))
        return stub.started[-1]

    stub.init = init
    monkeypatch.setitem(sys.modules, "wandb", stub)
    return stub


def written(folder, *, tensorboard=False, wandb=None, step=0):
    """A log with one line of each kind."""
    boards.check(tensorboard, wandb)
    writer = log.Log(folder, step=step, boards=boards.requested(folder, Config(), step, tensorboard, wandb))
    writer.write(step + 10, {"losses/critic": 0.5, "evaluation/returns": [1.0, 2.0]})
    writer.speed(step + 10)
    writer.close()


def test_nothing_but_the_log_unless_asked(tmp_path):
    written(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.jsonl", "timing.jsonl"]


def test_tensorboard_on_request(tmp_path):
    written(tmp_path, tensorboard=True)
    (events,) = (tmp_path / "tensorboard").iterdir()
    contents = events.read_bytes()
    assert b"losses/critic" in contents
    assert b"charts/SPS" in contents
    assert b"evaluation/returns" not in contents


def test_wandb_on_request(tmp_path, wandb):
    written(tmp_path, wandb="project")
    (run,) = wandb.started
    assert {name: run.options[name] for name in ("project", "resume", "dir", "name", "group")} == {
        "project": "project",
        "resume": "allow",
        "dir": str(tmp_path),
        "name": tmp_path.name,
        "group": "HalfCheetah-v5 roer",
    }
    json.dumps(run.options["config"])
    assert run.options["config"]["beta"] == Config().beta
    assert run.metrics == [("environment_step", None), ("*", "environment_step")]
    assert run.lines[0] == {"environment_step": 10, "losses/critic": 0.5}
    assert set(run.lines[1]) == {"environment_step", "charts/SPS"}
    assert run.ended

    written(tmp_path, wandb="project", step=100)
    again = wandb.started[1]
    assert again.options["id"] == run.options["id"]
    assert again.lines[0] == {"environment_step": 110, "losses/critic": 0.5}


def test_wandb_that_does_not_start_is_one_error(tmp_path, wandb):
    with pytest.raises(InvalidSetting, match=r"--wandb closed: W&B does not start .api key not configured.*offline"):
        boards.requested(tmp_path, Config(), 0, False, "closed")


@pytest.mark.parametrize(("module", "flag", "extra"), [("tensorboardX", "--tensorboard", "deep"), ("wandb",) * 3])
def test_a_missing_extra_is_named(monkeypatch, module, flag, extra):
    monkeypatch.setitem(sys.modules, module, None)
    boards.check(False, None)
    with pytest.raises(
        InvalidSetting, match=rf'needs {module}, which this environment lacks: pip install "roer\[{extra}'
    ):
        boards.check(module == "tensorboardX", "project" if module == "wandb" else None)
