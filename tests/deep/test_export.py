"""The exported policy acts as the agent does, where neither the agent nor JAX can be imported."""

import json
import re
import subprocess
import sys

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import running_error
from made_runs import untrained
from running_error import Rounded
from tiny_runs import TINY

from deep import act, agent, checkpoint, export, runs
from deep.commands import export as command
from deep.config import Config
from deep.environments import Environment, OneHot, make
from deep.errors import CheckpointError, InvalidRun

OBSERVATIONS, BLOCKED = 64, ("jax", "jaxlib", "flax", "optax", "deep", "reference", "gymnasium", "mujoco")

ELSEWHERE = f"""
import sys
for name in {BLOCKED}:
    sys.modules[name] = None
sys.path.insert(0, sys.argv[1])
import numpy as np
from act import load
policy = load()
observations = np.load(sys.argv[2])
actions = np.stack([policy(one) for one in observations])
np.savez(sys.argv[3], unscaled=policy.unscaled(observations), actions=actions)
"""


class Boxed(gymnasium.Env):
    """Spaces and nothing else."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (5,))

    def __init__(self, box):
        self.action_space = box


@pytest.fixture
def trained():
    """An untrained policy, with scales at which tanh is neither linear nor flat, over a box with odd bounds."""
    config = Config(**TINY | {"hidden": (16, 8), "preset": "sac", "divergence": "none"})
    box = gymnasium.spaces.Box(np.array([-2.0, 0.25, -1.0], np.float32), np.array([1.0, 0.75, 1e3], np.float32))
    return untrained(config, Environment(Boxed(box)))


@pytest.fixture
def folder(tmp_path, trained):
    runs.create(tmp_path / "run", trained.config, runs.session(None, 0))
    return tmp_path / "run"


def expected(trained, observations) -> Rounded:
    """The mode in float64, with a bound on what rounding in the network's precision may do to it."""
    layers = export.mode_layers(trained.actor)
    dtype = layers[0][0].dtype
    x = Rounded.exact(observations, dtype)
    for kernel, bias in layers[:-1]:
        x = running_error.maximum(x @ Rounded.exact(kernel, dtype) + Rounded.exact(bias, dtype), 0.0)
    kernel, bias = layers[-1]
    return running_error.tanh(x @ Rounded.exact(kernel, dtype) + Rounded.exact(bias, dtype))


def test_it_acts_identically_without_jax(row, tmp_path, folder, trained):
    export.export(folder, trained, tmp_path / "policy")
    assert sorted(path.name for path in (tmp_path / "policy").iterdir()) == ["act.py", "policy.npz"]
    observations = np.random.default_rng(0).normal(scale=2.0, size=(OBSERVATIONS, 5)).astype(np.float32)
    np.save(tmp_path / "observations.npy", observations)
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", ELSEWHERE]
        + [str(tmp_path / name) for name in ("policy", "observations.npy", "acted.npz")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "acted.npz") as acted:
        unscaled, actions = acted["unscaled"], acted["actions"]
    true = expected(trained, observations)
    ours = np.array([agent.act_greedy(trained.learner, trained.actor, jnp.asarray(one)) for one in observations])
    row("EXPORT-01", "exported mode", np.abs(unscaled - true.value), true.error, "running error of the network")
    row("EXPORT-01", "agent's mode", np.abs(ours - true.value), true.error, "running error of the network")
    row("EXPORT-01", "exported mode less the agent's", np.abs(unscaled - ours), 2 * true.error, "two roundings")
    assert np.ptp(unscaled) > 1.0

    scaled = np.stack([trained.actions.encode(one.astype(np.float32)) for one in ours])
    # Both may be half a unit away from the box's map of their own mode, which stretches their distance by `half`.
    unit = np.finfo(np.float32).eps * np.maximum(np.abs(trained.actions.low), np.abs(trained.actions.high))
    row(
        "EXPORT-01",
        "exported action",
        np.abs(actions - scaled),
        2 * true.error * trained.actions.half + 2 * unit,
        "map",
    )
    assert actions.dtype == np.float32
    assert np.all((actions >= trained.actions.low) & (actions <= trained.actions.high))


def test_the_box_is_reached_to_its_corners(folder, tmp_path, trained):
    """A saturated policy gives the bounds themselves, as the agent's own rescaling does."""
    export.export(folder, trained, tmp_path / "policy")
    loaded = act.load(tmp_path / "policy" / "policy.npz")
    for sign in (-1.0, 1.0):
        flat = loaded._replace(layers=((np.zeros((5, 3), np.float32), np.full(3, sign * 50.0, np.float32)),))
        corner = trained.actions.encode(np.full(3, sign, np.float32))
        assert flat(np.zeros(5)).tolist() == corner.tolist()
        assert corner.tolist() == (trained.actions.high if sign > 0 else trained.actions.low).tolist()


def test_it_says_where_it_comes_from_and_what_it_wants(folder, tmp_path, trained):
    export.export(folder, trained, tmp_path / "policy")
    loaded = act.load(tmp_path / "policy" / "policy.npz")
    assert loaded.about["environment"] == trained.config.environment
    assert (loaded.about["step"], loaded.about["seed"]) == (40, trained.config.seed)
    assert loaded.about["versions"] == runs.sessions(folder)[0]["versions"]
    with pytest.raises(ValueError, match=r"expected 5 numbers in an observation, saw \(4,\)"):
        loaded(np.zeros(4))
    assert loaded(np.zeros((5, 1))).shape == (3,)


@pytest.mark.parametrize("change", ["renamed", "extra", "no bias"])
def test_another_network_is_refused(folder, tmp_path, trained, change):
    layers = {name: dict(layer) for name, layer in trained.actor["params"].items()}
    if change == "renamed":
        layers["Dense_2"] = layers.pop("Dense_1")
    elif change == "extra":
        layers["LayerNorm_0"] = {"scale": np.ones(16)}
    else:
        layers["mean"].pop("bias")
    with pytest.raises(InvalidRun, match=r"expected an actor of the layers|expected layers with a kernel and a bias"):
        export.export(folder, trained._replace(actor={"params": layers}), tmp_path / "policy")
    with pytest.raises(InvalidRun, match="expected a policy over a box of actions"):
        export.export(folder, trained._replace(actions=OneHot(3)), tmp_path / "policy")
    assert not (tmp_path / "policy").exists()


def test_the_command_exports_the_last_checkpoint(tmp_path, capsys):
    config = Config(**TINY)
    environment = make(config.environment)
    actor = untrained(config, environment).actor
    run = tmp_path / "run"
    runs.create(run, config, runs.session(None, 0))
    for step, scale in ((20, 2.0), (40, 1.0)):
        moved = jax.tree.map(lambda leaf, by=scale: by * leaf, actor)
        arrays = checkpoint.arrays_of(moved, "agent/params/actor")
        checkpoint.save(run / "checkpoints", step, arrays, {"step": step})
    assert command.run([str(run)]) == 0
    assert capsys.readouterr().out.split() == [str(run / "policy" / name) for name in ("policy.npz", "act.py")]
    exported = act.load(run / "policy" / "policy.npz")
    assert exported.about["step"] == 40
    for (kernel, bias), (ours, theirs) in zip(exported.layers, export.mode_layers(actor), strict=True):
        assert np.array_equal(kernel, ours)
        assert np.array_equal(bias, theirs)

    done = subprocess.run(
        [sys.executable, str(run / "policy" / "act.py"), "2"], capture_output=True, text=True, check=False
    )
    assert re.fullmatch(r"episode 0: return \d+\.00\nepisode 1: return \d+\.00\n", done.stdout), done.stderr

    newest = run / "checkpoints" / "step_000000040.safetensors"
    newest.write_bytes(newest.read_bytes()[:-8])
    assert command.run([str(run), "--output", str(tmp_path / "earlier")]) == 0
    assert "warning: " in (said := capsys.readouterr().err)
    assert "falling back to step_000000020.safetensors" in said
    assert json.loads(json.dumps(act.load(tmp_path / "earlier" / "policy.npz").about))["step"] == 20
    (tmp_path / "taken").write_text("")
    with pytest.raises(InvalidRun, match="cannot write the policy into"):
        command.run([str(run), "--output", str(tmp_path / "taken")])
    (run / "checkpoints" / "step_000000020.safetensors").unlink()
    with pytest.raises(CheckpointError, match="none of its checkpoints can be used"):
        command.run([str(run)])
