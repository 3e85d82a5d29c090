"""The run as a state machine: what it stores, how often it learns, that evaluating it and saving it change nothing."""

import functools
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tolerances
from gymnasium.wrappers import TimeLimit
from simulators import Counter, Forgetful, Poisoned

import deep.agent
from deep import build, checkpoint, divergence, environments, networks, seeds
from deep.config import Config
from deep.environments import Environment
from deep.errors import CheckpointError, Diverged, InvalidEnvironment
from deep.evaluate import LONGEST, evaluate, greedy
from deep.mdp_environment import MDPEnvironment
from deep.session import Session, lane
from reference import library


def begin(config: Config) -> Session:
    return Session([config], [environments.make(config.environment)])


def save(run: Session, folder: Path, position: int = 0) -> Path:
    run.save([folder], [position])
    return checkpoint.files(folder)[0]


def bits(run: Session) -> dict[str, bytes]:
    """Everything on the device, as bytes."""
    arrays = checkpoint.arrays_of(lane(run.state, 0), "agent")
    arrays |= checkpoint.arrays_of_replay(lane(run.replay, 0), "replay")
    return {name: array.tobytes() for name, array in arrays.items()}


def difference(one: dict[str, bytes], other: dict[str, bytes]) -> str:
    return "first difference: " + next((name for name in one if one[name] != other.get(name)), "none")


@pytest.mark.parametrize("preset", ["sac", "roer"])
def test_one_update_for_each_step_after_the_warm_up(row, tiny, preset):
    kind = {"sac": "none", "roer": "kl"}[preset]
    run = begin(tiny(preset=preset, divergence=kind))
    updates = []
    for _ in range(110):
        run.advance()
        updates.append(int(run.state.step[0]))
    expected = [0] * 100 + list(range(1, 11))
    row.exact("EV11", "updates after each step", updates == expected, f"saw {updates}, expected {expected}")
    weights = np.asarray(lane(run.replay, 0).weight[:110])
    moved = bool(np.any(weights != 1))
    row.exact("PRI-02", "weights move with a divergence only", moved == (preset == "roer"), f"{weights}")
    counters = {"step": run.state.step, "size": run.replay.size, "head": run.replay.head}
    short = {name: str(count.dtype) for name, count in counters.items() if np.iinfo(count.dtype).max < 2**31 - 1}
    row.exact("NU07", "counters as long as the longest run", short == {}, f"expected room for 2^31 - 1, saw {short}")


def test_reported_returns_are_the_environments_own(row, tiny):
    """A shift of the rewards is for the learner; in reported returns it would favour short or long episodes."""
    run = Session([tiny(reward_shift=-2.0)], [Environment(Counter(end=3), name="counter")])
    returns = [ended.episodic_return for _ in range(6) for episodes in run.advance() for ended in episodes]
    row.exact("EV08", "reported returns under shifted rewards", returns == [6.0, 6.0], f"{returns}, expected 1 + 2 + 3")
    stored = np.asarray(lane(run.replay, 0).reward[:6]).tolist()
    row.exact("EV08", "stored rewards are shifted", stored == [-1.0, 0.0, 1.0] * 2, f"{stored}")


def test_the_buffer_holds_what_the_simulator_did(row, tiny):
    """The stored actions, put into a simulator of our own, give the stored rows, episode after episode."""
    config = tiny()
    run = begin(config)
    lengths = [ended.length for _ in range(300) for episodes in run.advance() for ended in episodes]
    assert len(lengths) > 1
    stored = lane(run.replay, 0)
    largest = np.abs(np.asarray(stored.action[:300])).max()
    row.exact("RB07", "stored actions in the unit box", bool(largest <= 1), f"the largest is {largest}")
    simulator, at, ends = environments.make(config.environment), 0, []
    for episode in range(len(lengths)):
        observation, over = simulator.reset(seeds.episode(config.seed, episode)), False
        while not over:
            action = np.asarray(stored.action[at], np.float32)
            step = simulator.step(action)
            expected = {
                "observation": observation,
                "reward": step.reward,
                "next_observation": step.observation,
                "terminated": step.terminated,
                "ended": step.terminated or step.truncated,
            }
            for name, value in expected.items():
                kept = np.asarray(getattr(stored, name)[at])
                same = np.array_equal(kept, np.asarray(value, kept.dtype))
                row.exact("RB10", f"stored {name}", same, f"row {at}: {kept}, simulated {value}")
            observation, over, at = step.observation, step.terminated or step.truncated, at + 1
        ends.append(at)
    row.exact("RB10", "episode lengths", np.diff([0, *ends]).tolist() == lengths, f"{ends} and {lengths}")


def test_a_time_limit_does_not_cut_the_bootstrap(row, tiny):
    config = tiny()
    run = Session([config], [Environment(TimeLimit(Counter(end=3), 2), name="truncated")])
    ended = Session([config], [Environment(TimeLimit(Counter(end=2), 2), name="terminated")])
    for one in (run, ended):
        for _ in range(12):
            one.advance()
    stored, cut = np.asarray(lane(run.replay, 0).terminated[:12]), np.asarray(lane(ended.replay, 0).terminated[:12])
    row.exact("BT05", "terminated at a time limit", stored.tolist() == [0.0] * 12, f"{stored}")
    row.exact("BT07", "terminated exactly at the limit", cut.tolist() == [0.0, 1.0] * 6, f"{cut}")
    following = np.asarray(lane(run.replay, 0).next_observation[:12, 0])
    row.exact("BT08", "successor at the limit", following.tolist() == [1.0, 2.0] * 6, f"{following}")
    resets = run.environments[0].inner.unwrapped.seeds
    row.exact("RN04", "each episode its own seed", len(set(resets)) == len(resets) == 7, f"reset with {resets}")


def test_warm_up_actions_are_uniform(row, tiny):
    run = begin(tiny(warmup_steps=3000))
    actions = np.sort(np.concatenate([run._warmups[0, :, 0], run._warmups[0, :, 0]])[:3000])
    grid = np.arange(3001) / 3000
    distance = np.maximum(np.abs((actions + 1) / 2 - grid[:-1]), np.abs((actions + 1) / 2 - grid[1:])).max()
    row("EV02", "warm-up actions against the uniform law", distance, *tolerances.empirical_distribution(3000))


def test_evaluation_leaves_the_training_alone(row, tiny):
    config = tiny()
    with_evaluation, without = begin(config), begin(config)
    policy = greedy(with_evaluation.learner)
    fresh = functools.partial(environments.make, config.environment)
    for step in range(1, 141):
        for run in (with_evaluation, without):
            run.advance()
        if step % 20 == 0:
            evaluate(fresh, policy, lane(with_evaluation.state.params.actor, 0), 2, config.seed, step)
    ours, theirs = bits(with_evaluation), bits(without)
    row.exact("RN06", "training with and without evaluation", ours == theirs, difference(ours, theirs))


def test_an_evaluation_is_a_function_of_policy_seed_and_step(row, tiny):
    config = tiny()
    run = begin(config)
    fresh = functools.partial(environments.make, config.environment)
    play = functools.partial(evaluate, fresh, greedy(run.learner), lane(run.state.params.actor, 0))
    first, again, later, other = play(3, 0, 10), play(3, 0, 10), play(3, 0, 20), play(3, 1, 10)
    row.exact("EV09", "repeated evaluation", first.returns.tolist() == again.returns.tolist(), f"{first}, {again}")
    row.exact("RN04", "episodes of one evaluation differ", len(set(first.returns)) > 1, f"{first.returns}")
    distinct = first.returns.tolist() not in (later.returns.tolist(), other.returns.tolist())
    row.exact("RN04", "other step or seed, other episodes", distinct, f"{first}, {later}, {other}")


def test_evaluation_takes_the_mode_and_undiscounted_returns(row, tiny):
    """By hand: tanh of the mean, one environment after another."""
    config = tiny(discount=0.5)
    run = begin(config)
    actor = lane(run.state.params.actor, 0)
    played = evaluate(lambda: environments.make(config.environment), greedy(run.learner), actor, 2, 3, 40)
    for episode in range(2):
        simulator, total, length, over = environments.make(config.environment), 0.0, 0, False
        observation = simulator.reset(seeds.evaluation(3, 40, episode))
        while not over:
            distribution = run.learner.networks.actor.apply(actor, jnp.asarray(observation[None]))
            observation, reward, terminated, truncated = simulator.step(
                np.asarray(np.tanh(distribution.mean[0]), np.float32)
            )
            total, length, over = total + reward, length + 1, terminated or truncated
        # The reward of this task is 1 for each step that does not end it, so equal lengths are equal returns.
        row.exact("EV13", "evaluation return", played.returns[episode] == total, f"{played.returns}, expected {total}")
        row.exact(
            "SE23", "evaluation length", played.lengths[episode] == length, f"{played.lengths}, expected {length}"
        )


def test_an_episode_without_end_is_reported(tiny, monkeypatch):
    monkeypatch.setattr("deep.evaluate.LONGEST", 50)
    run = begin(tiny())
    endless = lambda: Environment(Counter(end=10**9), name="endless")  # noqa: E731
    with pytest.raises(InvalidEnvironment, match="endless: an evaluation episode went on for 50 steps"):
        evaluate(endless, lambda actor, observations: np.zeros((1, 1)), lane(run.state.params.actor, 0), 1, 0, 0)
    assert LONGEST > 50


RESTORED = (
    ("CK01", "target network", ("agent/params/target_critic",)),
    ("CK02", "optimisers", ("agent/optimizers/",)),
    ("CK03", "temperature", ("agent/params/log_alpha",)),
    ("CK04", "random key", ("agent/key",)),
    ("CK04", "buffer and weights", ("replay/",)),
    ("CK06", "update counter", ("agent/step",)),
)
"""What must come back, each under a name of its own: afterwards everything depends on everything."""


@pytest.mark.parametrize("at", [30, 100, 101, 137], ids=["warm-up", "last random", "first policy", "learning"])
def test_saved_and_restored_is_uninterrupted(row, tiny, tmp_path, at):
    config = tiny()
    whole, first = begin(config), begin(config)
    for _ in range(at):
        first.advance()
    path = save(first, tmp_path, 123)
    second = begin(config)
    assert second.restore([checkpoint.load(path)]) == [123]
    kept, back = bits(first), bits(second)
    for id, what, prefixes in RESTORED:
        names = [name for name in kept if name.startswith(prefixes)]
        odd = [name for name in names if kept[name] != back.get(name)]
        row.exact(id, f"{what} of a restored run", bool(names) and odd == [], f"differ: {odd} of {names}")
    counted = [(run.step, run.pretrained, run.hosts[0].episode, len(run.hosts[0].actions)) for run in (second, first)]
    row.exact("CK06", "counters of a restored run", counted[0] == counted[1], f"{counted[0]}, expected {counted[1]}")
    episodes = [[run.advance() for _ in range(160 - run.step)][at - 160 :] for run in (whole, second)]
    ours, theirs = bits(second), bits(whole)
    row.exact("CK04", "resumed run against the uninterrupted one", ours == theirs, difference(ours, theirs))
    row.exact("CK06", "episodes after resuming", episodes[0] == episodes[1], f"{episodes[1]}, expected {episodes[0]}")


def test_saving_does_not_disturb(row, tiny, tmp_path):
    config = tiny()
    saved, plain = begin(config), begin(config)
    for step in range(130):
        saved.advance()
        plain.advance()
        if step % 7 == 0:
            save(saved, tmp_path)
    ours, theirs = bits(saved), bits(plain)
    row.exact("CK04", "training with and without checkpoints", ours == theirs, difference(ours, theirs))


def test_settings_of_another_run_are_refused(tiny, tmp_path):
    run = begin(tiny())
    run.advance()
    saved = checkpoint.load(save(run, tmp_path))
    with pytest.raises(CheckpointError, match=r"other settings \(beta 16.0 -> 0.5\)"):
        begin(tiny(beta=0.5)).restore([saved])
    begin(tiny(steps=1501)).restore([saved])  # more steps are no other settings


def test_a_simulator_that_forgets_is_refused(tiny, tmp_path):
    config = tiny()
    run = Session([config], [Environment(Forgetful(), name="forgetful")])
    for _ in range(5):
        run.advance()
    saved = checkpoint.load(save(run, tmp_path))
    with pytest.raises(CheckpointError, match=r"replaying the 5 steps.*forgetful is not deterministic"):
        Session([config], [Environment(Forgetful(), name="forgetful")]).restore([saved])


def test_a_bad_number_names_the_step(tiny):
    run = Session([tiny()], [Environment(Poisoned("reward", float("nan"), at=4), name="poisoned")])
    for _ in range(3):
        run.advance()
    with pytest.raises(Diverged, match=r"the reward is nan.*step 4, episode 0"):
        run.advance()


def test_bad_parameters_are_not_saved(tiny, tmp_path):
    run = begin(tiny())
    for _ in range(103):
        run.advance()
    poison = run.state.params.log_alpha * float("nan")
    run.state = run.state._replace(params=run.state.params._replace(log_alpha=poison))
    with pytest.raises(Diverged, match="agent/params/log_alpha holds nan at step 103"):
        save(run, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_bad_actions_are_not_taken(tiny):
    run = begin(tiny())
    for _ in range(103):
        run.advance()
    run.state = run.state._replace(
        params=run.state.params._replace(actor=jax.tree.map(lambda leaf: leaf * float("nan"), run.state.params.actor))
    )
    run.advance()  # the action of this step was drawn before
    with pytest.raises(Diverged, match=r"the policy's action is \[\[nan\]\] at step 105"):
        run.advance()


@pytest.mark.parametrize("lanes", [1, 3])
def test_the_buffer_is_updated_in_place(row, tiny, lanes):
    """No copy of an array with a slot for each transition: at a million slots one costs more than the whole update."""
    slots = 4999
    configs = [tiny(steps=5000, buffer_size=slots, seed=seed) for seed in range(lanes)]
    run = Session(configs, [environments.make(config.environment) for config in configs])
    program = run._programs.interact.lower(
        run.state, run.memory, run._record, np.zeros((lanes, 3 * 4 + 1 + 3), run._dtype), run.settings
    ).compile()
    text = program.as_text()
    assert f"{slots}," in text, "the program was expected to name the buffer's shape"
    copies = [line.strip() for line in text.splitlines() if re.search(rf"\b{slots}[,\]]\S* copy(-start)?\(", line)]
    row.exact("RB-INPLACE", "copies of the buffer in a step", copies == [], "; ".join(copies))


def test_the_tabular_learner_runs_on_a_decision_process(row, tiny):
    mdp = library.garnet(4, 2, 2, 0, 0.9)
    sgd = optax.sgd(0.5)
    learner = deep.agent.Learner(
        networks.tabular(2), deep.agent.Optimizers(sgd, sgd, sgd, sgd), **build.roer(divergence.KL)
    )
    environment = Environment(TimeLimit(MDPEnvironment(mdp), 10), name="garnet", discrete=True)
    run = Session([tiny(target_entropy=0.5)], [environment], learner)
    for _ in range(150):
        run.advance()
    actions = np.asarray(lane(run.replay, 0).action[:150])
    one_hot = bool(np.all(np.sort(actions, axis=1) == [0.0, 1.0]))
    row.exact("RB07", "stored one-hot actions", one_hot, f"{actions}")
    states = np.argmax(np.asarray(lane(run.replay, 0).observation[:150]), axis=1)
    rewards = mdp.rewards[states, np.argmax(actions, axis=1)].astype(lane(run.replay, 0).reward.dtype)
    row.exact(
        "RB10", "stored rewards are r(s, a)", np.array_equal(rewards, lane(run.replay, 0).reward[:150]), f"{rewards}"
    )
