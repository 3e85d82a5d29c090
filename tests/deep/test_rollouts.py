"""On-policy agents in a session: what a rollout holds, when it is learned from; a killed run goes on exactly."""

import dataclasses
import os
import signal

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit
from outcomes import difference, outcome
from simulators import Counter, Forgetful, Poisoned

from deep import __main__ as command_line
from deep import (
    a2c,
    build,
    checkpoint,
    dry_run,
    export,
    log,
    networks,
    on_policy,
    policy,
    presets,
    seeds,
    train,
)
from deep.config import Config
from deep.environments import Environment
from deep.errors import CheckpointError, Diverged, InvalidEnvironment, InvalidRun, InvalidSetting
from deep.evaluate import evaluate, greedy
from deep.rollouts import RolloutSession

SMALL = {"hidden": (4,), "environments": 3, "rollout_steps": 4, "minibatches": 2, "epochs": 2}


def config(agent: str = "ppo", **changes) -> Config:
    """Small settings, as far as the agent reads them."""
    read = {"ppo": set(SMALL), "a2c": {"hidden", "environments", "rollout_steps"}, "reinforce": {"hidden"}}[agent]
    small = {name: value for name, value in SMALL.items() if name in read}
    return Config(
        **{"agent": agent, "divergence": "none", "environment": "CartPole-v1", "steps": 300, **small, **changes}
    )


def begin(*configs: Config, made=None) -> RolloutSession:
    made = made or (lambda: build.environment_of(configs[0]))
    return RolloutSession(configs, [made() for one in configs for _ in range(one.environments)])


def bits(run: RolloutSession, index: int = 0) -> dict[str, bytes]:
    """Everything that decides the future of a lane, as bytes."""
    arrays = checkpoint.arrays_of(run.states[index], "agent")
    arrays |= {"rows": np.array(run._rows[index]), "observations": np.stack([h.observation for h in run.hosts[index]])}
    return {name: array.tobytes() for name, array in arrays.items()}


def counting(end: int, limit: int):
    """Made anew at each call: an environment that terminates at `end`, or is cut before."""
    return lambda: Environment(TimeLimit(Counter(end=end), limit), name="counting")


@pytest.mark.parametrize(
    ("agent", "environment", "lanes"),
    [("ppo", "CartPole-v1", 2), ("a2c", "Pendulum-v1", 1), ("reinforce", "CartPole-v1", 1)],
)
def test_a_resumed_run_is_the_run_itself(agent, environment, lanes, tmp_path, row):
    """Saved in the midst of a rollout and of episodes."""
    settings = [config(agent, environment=environment, seed=seed) for seed in range(lanes)]
    folders = [tmp_path / str(seed) for seed in range(lanes)]
    run, again = begin(*settings), begin(*settings)
    for _ in range(30):
        run.advance()
    run.save(folders, [7] * lanes)
    positions = again.restore([checkpoint.load(checkpoint.files(folder)[0]) for folder in folders])
    assert positions == [7] * lanes
    assert again.step == run.step
    for _ in range(40):
        assert run.advance() == again.advance()
    for index in range(lanes):
        expected, seen = bits(run, index), bits(again, index)
        same = seen == expected and run.fetch_metrics() == again.fetch_metrics()
        row.exact("CK04", f"a resumed run of {agent}", same, f"{[n for n in expected if seen[n] != expected[n]]}")
    assert any(run._rows) or agent == "reinforce"
    assert int(run.states[0].step) > 0


def test_a_stopped_run_ends_as_the_run_that_was_not(tmp_path, monkeypatch, row):
    """Three environments step over what is due; log, evaluations and last checkpoint are those of one go."""
    # Stopped at step 81, in the midst of a rollout of 24 steps, with lines of the log before the next update.
    due = {"evaluate_every": 50, "evaluation_episodes": 1, "log_every": 5, "checkpoint_every": 40}
    settings = config(steps=150, rollout_steps=8, **due)
    whole, stopped, replace = tmp_path / "whole", tmp_path / "stopped", os.replace
    assert train.start([settings], [whole], unverified=True) == 0

    def interrupted(source, target):
        if "step_000000081" in str(target):
            signal.raise_signal(signal.SIGTERM)
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupted)
        assert train.start([settings], [stopped], unverified=True) == signal.SIGTERM
    assert checkpoint.latest(stopped / "checkpoints")[0].step == 81
    assert train.resume([stopped], unverified=True) == 0
    odd = difference(outcome(stopped), outcome(whole))
    row.exact("CK04", "a stopped and resumed run of ppo", odd == "", odd)
    lines = log.read(whole)
    seen = {name for line in lines for name in line if name != "step"}
    row.exact("EV13", "every metric is documented", seen <= log.METRICS.keys(), f"{seen - log.METRICS.keys()}")
    evaluated = [line["step"] for line in lines if "evaluation/return" in line]
    row.exact("EV10", "evaluated when it says", evaluated == [51, 102, 150], f"{evaluated}")
    saved = [checkpoint.load(path).step for path in checkpoint.files(whole / "checkpoints")]
    row.exact("CK06", "saved at the end and before", saved == [150, 120], f"{saved}")
    assert command_line.main(["evaluate", str(whole), "--episodes", "1"]) == 0
    with pytest.raises(InvalidRun, match="expected the tanh policy of an agent such as sac, saw one of ppo"):
        export.export(whole, policy.load(whole), tmp_path / "policy")


def test_an_update_after_each_rollout(row):
    run, updates = begin(config()), []
    for _ in range(12):
        run.advance()
        updates.append(int(run.states[0].step))
    row.exact("EV11", "updates of ppo", updates == [0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3], f"{updates}")
    assert run.step == 36


def test_reinforce_learns_after_each_episode(row):
    run = begin(config("reinforce"), made=counting(end=3, limit=10))
    updates = []
    for _ in range(9):
        run.advance()
        updates.append(int(run.states[0].step))
    row.exact("EV11", "updates of reinforce", updates == [0, 0, 1, 1, 1, 2, 2, 2, 3], f"{updates}")


def recorded(run: RolloutSession, steps: int) -> list[on_policy.Rollout]:
    """The rollouts that the learner is handed over some steps, without learning from them."""
    seen = []

    def update(state, record, rows, settings):
        del settings
        size, action = run._sizes
        before, taken, successor, rest = np.split(rows, np.cumsum([size, action, size]), axis=-1)
        seen.append(on_policy.Rollout(before, taken, rest[..., 0], successor, *np.moveaxis(rest[..., 1:], -1, 0)))
        return state, record, {}

    run._programs = run._programs._replace(update=update)
    for _ in range(steps):
        run.advance()
    return seen


def test_ends_of_episodes(row):
    """A time limit ends an episode and does not terminate; the successor is the final observation, not the next one."""
    cases = {"truncated": (3, 2, [0, 0]), "terminated": (2, 2, [0, 1])}
    for name, (end, limit, flags) in cases.items():
        run = begin(config(), made=counting(end, limit))
        (first,) = recorded(run, 4)
        row.exact(
            "BT05", f"terminated, {name}", (first.terminated == np.array([*flags, *flags])[:, None]).all(), f"{first}"
        )
        row.exact("PG04", f"ended, {name}", (first.ended == np.array([0, 1, 0, 1])[:, None]).all(), f"{first.ended}")
        following = first.next_observation[:, :, 0]
        row.exact("BT08", "successors", (following == np.array([1, 2, 1, 2])[:, None]).all(), f"{following}")
        assert (first.observation[:, :, 0] == np.array([0, 1, 0, 1])[:, None]).all()
        assert (first.reward == np.array([1, 2, 1, 2])[:, None]).all()
        rounding = first.mass.size * float(np.finfo(first.mass.dtype).eps)
        row(
            "BT23",
            "masses of a rollout",
            abs(float(first.mass.sum()) - 1.0),
            rounding,
            "rounding of each and of their sum",
        )
        resets = [seed for one in run._environments[0] for seed in one.inner.unwrapped.seeds]
        row.exact("RN04", "each episode its own seed", len(set(resets)) == len(resets) == 9, f"reset with {resets}")


def test_whole_episodes_are_padded(row):
    run = begin(config("reinforce"), made=counting(end=3, limit=10))
    first, second = recorded(run, 6)
    real = np.zeros(len(first.mass), bool)
    real[:3] = True
    alike = np.array_equal(first.mass[:, 0] > 0, real) and not first.reward[~real].any()
    row.exact("NS09", "rows of an episode", alike and len(first.mass) == len(second.mass), f"{first.mass[:, 0]}")


def test_an_evaluation_leaves_the_training_alone(row):
    settings = config("a2c")
    run, plain = begin(settings), begin(settings)
    acting = greedy(run.learner)
    for step in range(20):
        run.advance()
        plain.advance()
        if step % 5 == 0:
            result = evaluate(lambda: build.environment_of(settings), acting, run.policy(0), 2, settings.seed, step)
            assert (result.returns == result.lengths).all()
    row.exact("RN06", "training with and without evaluation", bits(run) == bits(plain), "an evaluation changed it")


def test_lanes_are_the_runs_that_they_would_be_alone(row):
    settings = [config(seed=seed) for seed in (3, 4)]
    together, alone = begin(*settings), [begin(one) for one in settings]
    for _ in range(30):
        ended = together.advance()
        assert ended == [one.advance()[0] for one in alone]
    for index, one in enumerate(alone):
        row.exact("RN07", "a lane against a run of its own", bits(together, index) == bits(one), f"lane {index}")


def test_numbers_that_are_not_finite(tmp_path):
    run = begin(config(), made=lambda: Environment(Poisoned("reward", np.nan, at=2), name="poisoned"))
    run.advance()
    with pytest.raises(Diverged, match=r"poisoned: the reward is nan.*environment 0 of 3.*step 6"):
        run.advance()
    run = begin(config())
    actor = jax.tree.map(lambda leaf: leaf * jnp.nan, run.states[0].params.actor)
    run.states[0] = run.states[0]._replace(params=run.states[0].params._replace(actor=actor))
    with pytest.raises(Diverged, match=r"the policy's actions are .*nan"):
        run.advance()
    run = begin(config("a2c", learning_rate=1e38), made=counting(end=3, limit=10))
    with pytest.raises(Diverged, match="was the first to be no finite number"):
        _until_saved(run, tmp_path)
    assert not list(tmp_path.iterdir())


def _until_saved(run: RolloutSession, folder) -> None:
    for _ in range(40):
        run.advance()
    run.save([folder], [0])


def test_what_cannot_be_replayed_is_refused(tmp_path):
    made = lambda: Environment(Forgetful(), name="forgetful")  # noqa: E731
    run = begin(config(), made=made)
    run.advance()
    run.save([tmp_path], [0])
    with pytest.raises(CheckpointError, match="did not reproduce it"):
        begin(config(), made=made).restore([checkpoint.load(checkpoint.files(tmp_path)[0])])


def test_a_checkpoint_of_other_settings_is_refused(tmp_path):
    run = begin(config())
    run.save([tmp_path], [0])
    other = dataclasses.replace(config(), ratio_clip=0.3)
    with pytest.raises(CheckpointError, match=r"ratio_clip 0\.2 -> 0\.3"):
        begin(other).restore([checkpoint.load(checkpoint.files(tmp_path)[0])])


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"divergence": "kl"}, "--divergence: expected none unless with --agent sac"),
        ({"n_step": 3}, "--n-step: read with .* alone; expected its default 1 with --agent ppo, saw 3"),
        ({"dataset": "x.npz"}, "--dataset: read with"),
        ({"control_variate": "none"}, "--control-variate: read with --agent reinforce alone"),
        ({"steps": 301}, "--steps: expected a multiple of --environments"),
        ({"minibatches": 5}, "--minibatches: expected a divisor"),
        ({"agent": "dqn"}, "--environments: read with --agent a2c or ppo alone"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_contradicts_itself(changes, flag):
    with pytest.raises(InvalidSetting, match=flag):
        dataclasses.replace(config(), **changes)


def test_actions_of_either_kind():
    for environment, discrete in (("CartPole-v1", True), ("Pendulum-v1", False)):
        assert build.environment_of(config(environment=environment)).discrete is discrete
    flags = Counter(end=3)
    flags.action_space = gymnasium.spaces.MultiBinary(2)
    with pytest.raises(InvalidEnvironment, match="expected a Box or a Discrete space"):
        Environment(flags, name="flags", discrete=None)


def test_the_presets_are_what_they_say():
    for name in ("reinforce", "a2c", "ppo"):
        chosen = presets.preset(presets.default_of(name), "CartPole-v1")
        learner = build.rollout_learner_of(chosen, 2, True)
        assert (chosen.agent, type(learner).__module__) == (name, f"deep.{name}")


def test_a_network_of_another_width_is_refused():
    parts = on_policy.Networks(networks.SoftmaxTable(2), networks.ValueTable())
    learner = a2c.Learner(parts, build.rollout_learner_of(config(), 2, True).optimizers)
    with pytest.raises(ValueError, match="actions of size 5, saw one of size 2"):
        on_policy.create(learner, jax.random.key(0), 3, 5)


def test_a_dry_run_says_what_the_run_has(tmp_path):
    settings = config("ppo", environment="Pendulum-v1")
    environment = build.environment_of(settings)
    said = dry_run.describe([settings], environment, [tmp_path / "run"])
    run = begin(settings)
    count = sum(leaf.size for leaf in jax.tree.leaves(run.states[0].params.actor))
    assert f"actor parameters  {count:,}\n" in said
    assert "300: 25 updates after 4 steps of 3 environments each" in said
    assert "12 transitions" in said
    said = dry_run.describe([config("reinforce")], build.environment_of(config("reinforce")), [tmp_path / "run"])
    assert "an update after every episode" in said


def test_seeds_of_environments(row):
    numbers = [seeds.episode(5, place + 3 * count) for place in range(3) for count in range(4)]
    row.exact("RN04", "seeds of environments", len(set(numbers)) == 12, f"{numbers}")


@pytest.mark.parametrize("largest", [6.5, 13.0, 26.0])
def test_gradients_are_clipped_by_their_global_norm(row, largest):
    """Adam's first moment is 1 - 0.9 of the gradient that reaches it: (3, 4) and 12 have the norm 13 together."""
    learner = build.rollout_learner_of(config(gradient_clip=largest), 2, True)
    gradient = {"one": jnp.array([3.0, 4.0]), "other": jnp.array([[12.0]])}
    for name, optimizer in learner.optimizers._asdict().items():
        _, state = optimizer.update(gradient, optimizer.init(gradient), gradient)
        moments = next(part for part in jax.tree.leaves(state, is_leaf=_has_moments) if _has_moments(part))
        for leaf, whole in gradient.items():
            expected = (1.0 - 0.9) * min(1.0, largest / 13.0) * np.asarray(whole, np.float64)
            error = np.abs(np.asarray(moments.mu[leaf], np.float64) - expected)
            # Norm, quotient, product, 1 - 0.9 and its product each round once, by half a unit in the last place.
            bound = 3 * float(jnp.finfo(whole.dtype).eps) * expected
            row("TN18", f"clipped gradient of the {name}", error, bound, "five roundings", (moments.mu[leaf], expected))


def _has_moments(part) -> bool:
    return hasattr(part, "mu")
