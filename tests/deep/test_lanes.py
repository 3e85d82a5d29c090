"""Several seeds in one program: each lane is the run that it would have been alone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deep import checkpoint, environments, runs, train
from deep.commands.train import seed_list
from deep.config import Config
from deep.errors import InvalidSetting
from deep.programs import lane
from deep.session import Session

SEEDS = (3, 4, 11, 12)
STEPS = 160  # of which 60 learn


def begin(configs: list[Config]) -> Session:
    return Session(configs, [environments.make(config.environment) for config in configs])


def parameters(run: Session, index: int) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(lane(run.state.params, index))])


def advanced(configs: list[Config], moved: float = 0.0) -> Session:
    """The session after STEPS; with ``moved``, every parameter is scaled by 1 +- moved after each update."""
    run = begin(configs)
    signs = np.random.default_rng(0)
    for _ in range(STEPS):
        run.advance()
        if moved and run.step > configs[0].warmup_steps:

            def scaled(leaf):
                return leaf * jnp.asarray(1.0 + moved * signs.choice([-1.0, 1.0], leaf.shape), leaf.dtype)

            run.state = run.state._replace(params=jax.tree.map(scaled, run.state.params))
    return run


@pytest.mark.parametrize("preset", ["sac", "roer"])
def test_a_lane_is_the_run_alone(row, tiny, preset):
    """Same batches, same noise; parameters to what rounding alone does to a run, which is measured, not assumed.

    A product over B rows or H units in another order of summation differs by at most gamma_n relative to its terms, so
    a twin whose parameters all move by that much after every update is further from the run than the lane may be.
    """
    configs = [tiny(preset=preset, divergence={"sac": "none", "roer": "kl"}[preset], seed=seed) for seed in SEEDS]
    together = advanced(configs)
    unit = float(np.finfo(together.replay.reward.dtype).eps) / 2
    terms = 4 * max(configs[0].batch_size, *configs[0].hidden, 8)
    for index, config in enumerate(configs):
        alone, twin = advanced([config]), advanced([config], moved=terms * unit)
        ours, theirs = lane(together.replay, index), lane(alone.replay, 0)
        same = np.array_equal(ours.action[: config.warmup_steps], theirs.action[: config.warmup_steps])
        row.exact("RN03", "warm-up of a lane", bool(same), f"seed {config.seed}")
        expected = parameters(alone, 0)
        bound = np.abs(parameters(twin, 0) - expected).max()
        row(
            "RN03",
            "parameters of a lane against the run alone",
            np.abs(parameters(together, index) - expected).max(),
            bound,
            f"deviation of a twin whose parameters move by {terms} unit roundoffs after each of 60 updates",
        )


def test_lanes_share_nothing(row, tiny):
    """Another seed beside it changes nothing in a lane but rounding; two lanes have no number in common."""
    run = advanced([tiny(seed=seed) for seed in SEEDS])
    actions = np.asarray(run.replay.action[:, :STEPS, 0])
    shared = [len(set(a.tolist()) & set(b.tolist())) for i, a in enumerate(actions) for b in actions[:i]]
    row.exact("RN07", "lanes draw their own actions", max(shared) == 0, f"{shared} in common")
    keys = {np.asarray(jax.random.key_data(lane(run.state.key, index))).tobytes() for index in range(len(SEEDS))}
    row.exact("RN07", "lanes have keys of their own", len(keys) == len(SEEDS), f"{len(keys)} keys")


def test_stopped_and_resumed_together(row, tiny, tmp_path):
    """Each lane is a run folder; resumed, all of them end as if nothing had happened, bit for bit."""
    folders = [[tmp_path / name / f"s{seed}" for seed in SEEDS] for name in ("whole", "halves")]
    configs = [tiny(steps=700, seed=seed) for seed in SEEDS]
    assert train.start(configs, folders[0], unverified=True) == 0
    assert train.start([dataclasses.replace(config, steps=400) for config in configs], folders[1], unverified=True) == 0
    # A lane that had saved one checkpoint more when the process died is set back to the others.
    newest = checkpoint.files(folders[1][2] / "checkpoints")[0]
    newest.unlink()
    assert train.resume(runs.members(tmp_path / "halves"), steps=700, unverified=True) == 0
    for whole, halves in zip(*folders, strict=True):
        logs = [(folder / "metrics.jsonl").read_bytes().splitlines() for folder in (whole, halves)]
        # the shorter run evaluated at its own last step, before which it was set back
        row.exact("CK04", "log of a lane that was resumed", logs[0] == logs[1], f"{halves.name}")
        saved = [checkpoint.load(checkpoint.files(folder / "checkpoints")[0]).arrays for folder in (whole, halves)]
        odd = [name for name in saved[0] if saved[0][name].tobytes() != saved[1][name].tobytes()]
        row.exact("CK04", "last checkpoint of a lane that was resumed", odd == [], f"{halves.name}: {odd}")


@pytest.mark.parametrize(("text", "seeds"), [("0-3", [0, 1, 2, 3]), ("5", [5]), ("0,2, 7-8", [0, 2, 7, 8])])
def test_seeds_as_they_are_typed(text, seeds):
    assert seed_list(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "3-1", "1,1", "0-2,2", "-1", "1;2"])
def test_seeds_that_are_none(text):
    with pytest.raises(InvalidSetting, match="--seeds: expected"):
        seed_list(text)
