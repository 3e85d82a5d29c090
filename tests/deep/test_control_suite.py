"""Tasks of the DeepMind Control Suite: shown as they are, ended as they end, played again from seed and actions."""

import os
import subprocess
import sys

import numpy as np
import pytest

from deep import control_suite, environments
from deep.errors import Diverged, InvalidEnvironment

pytestmark = pytest.mark.extras
TASKS = ["fish-swim", "hopper-hop", "hopper-stand", "humanoid-run", "humanoid-stand", "quadruped-run"]
STEPS = 50


def played(environment, seed, actions):
    """Everything that an episode showed, as bytes and numbers; and the steps."""
    shown, steps = [environment.reset(seed).tobytes()], []
    for action in actions:
        steps.append(environment.step(action))
        shown.append((steps[-1].observation.tobytes(), *steps[-1][1:]))
    return shown, steps


@pytest.mark.parametrize("name", TASKS)
def test_an_episode_is_a_function_of_its_seed_and_actions(row, name):
    used, fresh = environments.make(name), environments.make(f"dm_control/{name}")
    other, actions = np.split(used.actions.random(np.random.default_rng(1), 2 * STEPS), 2)
    elsewhere, _ = played(used, 5, other)  # what was played before must leave nothing behind
    again, _ = played(used, 6, actions)
    shown, steps = played(fresh, 6, actions)
    row.exact("CK04", "episode played again", again == shown, f"{name}: differs from step {_first(again, shown)}")
    row.exact("RN04", "another seed", elsewhere[0] != shown[0], f"{name}: seeds 5 and 6 begin alike")
    rewards = [step.reward for step in steps]
    row.exact("EV13", "rewards in [0, 1]", all(0 <= reward <= 1 for reward in rewards), f"{rewards}")
    row.exact("EV09", "an episode of its own", used.inner is not fresh.inner, "one simulator for both")
    used.close()
    fresh.close()


def _first(one, other):
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=True)) if a != b), None)


def test_observations_and_actions_are_those_of_the_task(row):
    environment = environments.make("quadruped-run")
    task, physics = environment.inner.environment, environment.inner.environment.physics
    flat = environment.reset(3)
    parts = task.task.get_observation(physics)
    expected = np.concatenate([np.ravel(parts[name]) for name in task.observation_spec()]).astype(np.float32)
    row.exact("EV01", "observation end to end", flat.tobytes() == expected.tobytes(), f"{flat}, task has {expected}")
    specification = task.action_spec()
    for corner, bound in ((-1.0, specification.minimum), (1.0, specification.maximum)):
        environment.step(np.full(environment.action_size, corner, np.float32))
        reached = np.array(physics.control())
        spacing = np.spacing(np.abs(bound))
        row("EV02", "control at the corner", np.abs(reached - bound), spacing, "one rounding in float64")
    unequal = specification.maximum.min() < specification.maximum.max()
    row.exact("EV02", "bounds differ between dimensions", unequal, f"{specification}: the test has lost its point")
    environment.close()


def test_time_is_up_by_truncation(row):
    environment = environments.make("hopper-hop")
    inner = environment.inner.environment
    row.exact("BT05", "control steps of an episode", inner._step_limit == 1000, f"{inner._step_limit}")
    inner._step_limit = 3
    for episode in range(2):
        environment.reset(episode)
        steps = [environment.step(np.zeros(4, np.float32)) for _ in range(3)]
        flags = [(step.terminated, step.truncated) for step in steps]
        row.exact("BT05", "flags", flags == [(False, False)] * 2 + [(False, True)], f"{flags}")
        parts = inner.task.get_observation(inner.physics).values()
        expected = np.concatenate([np.ravel(part) for part in parts]).astype(np.float32)
        same = steps[-1].observation.tobytes() == expected.tobytes()
        row.exact("BT08", "successor at the limit", same, f"{steps[-1].observation}, simulator has {expected}")
    environment.close()


@pytest.mark.parametrize(
    ("limit", "expected"), [(2, [(0, 0), (0, 1)]), (3, [(0, 0), (0, 0), (1, 1)]), (9, [(0, 0), (0, 0), (1, 0)])]
)
def test_an_end_and_a_limit_stay_apart(row, monkeypatch, limit, expected):
    """The suite answers "time is up" without asking the task; an end in the same step is an end all the same."""
    environment = environments.make("lqr-lqr_2_1")
    inner = environment.inner.environment
    inner._step_limit = limit
    environment.reset(0)
    after = iter(range(1, 10))
    ends = {"now": 0}
    monkeypatch.setattr(inner.task, "after_step", lambda physics: ends.update(now=next(after)))
    monkeypatch.setattr(inner.task, "get_termination", lambda physics: 0.0 if ends["now"] == 3 else None)
    steps = [environment.step(np.zeros(1, np.float32)) for _ in expected]
    flags = [(int(step.terminated), int(step.truncated)) for step in steps]
    row.exact("BT07", "flags where both may hold", flags == expected, f"{flags}, expected {expected}")
    environment.close()


def test_a_diverged_simulation_is_named():
    environment = environments.make("hopper-hop")
    environment.reset(0)
    environment.inner.environment.physics.data.qvel[0] = np.nan
    with pytest.raises(Diverged, match=r"hopper-hop: the simulator's state is not finite after the action \[0.0"):
        environment.step(np.zeros(4, np.float32))
    environment.close()


@pytest.mark.parametrize(
    ("identifier", "expected"),
    [
        ("fish-swim", ("fish", "swim")),
        ("dm_control/ball_in_cup-catch", ("ball_in_cup", "catch")),
        ("humanoid_CMU-run", ("humanoid_CMU", "run")),
        ("CartPole-v1", None),
        ("HalfCheetah-v5", None),
        ("dm_control/fish-swim-v0", None),  # the name that Shimmy registers stays Shimmy's
        ("package.module:fish-swim", None),
        ("", None),
    ],
)
def test_names(identifier, expected):
    assert control_suite.task_of(identifier) == expected


def test_an_unknown_task_and_a_suite_that_is_absent(monkeypatch):
    with pytest.raises(InvalidEnvironment, match=r"unknown environment 'fish-swm'.*Nearest: fish-swim"):
        environments.make("fish-swm")
    monkeypatch.setitem(sys.modules, "dm_control", None)
    with pytest.raises(InvalidEnvironment, match=r'fish-swim.*dm_control.*not installed: pip install "roer\[dmc\]"'):
        environments.make("fish-swim")


def test_building_a_task_says_nothing(tmp_path):
    """No display, no warning, no log file: in a process of its own, because only the first import would speak."""
    code = "from deep import environments; environments.make('fish-swim').reset(0)"
    path = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []
