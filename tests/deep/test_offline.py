"""Recorded transitions: what was recorded is what the learner gets, and what does not fit is named."""

import sys

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from simulators import Clock, Counter

from deep import initials, offline, pretraining, replay
from deep.environments import Environment
from deep.errors import InvalidData
from deep.replay import Transition

LOW, HIGH = (-2.0, 0.0), (2.0, 0.5)


@pytest.fixture
def environment():
    """Observations (steps, last action), actions in [-2, 2] x [0, 0.5]."""
    return Environment(Counter(end=4, low=LOW, high=HIGH), name="counter")


def recorded(**changes):
    """Episodes of 4, 3 and 2 steps: the first terminated, the second was cut off, the third breaks off."""
    lengths = [4, 3, 2]
    actions = np.stack([np.linspace(-2, 2, 9), np.linspace(0, 0.5, 9)], axis=1)
    count = np.concatenate([np.arange(length) for length in lengths])
    after = np.column_stack([count + 1, actions])
    before = np.where((count == 0)[:, None], 0.0, np.roll(after, 1, axis=0))
    rows = {
        "observations": before,
        "actions": actions,
        "rewards": np.arange(9.0),
        "next_observations": after,
        "terminations": np.isin(np.arange(9), [3]),
        "truncations": np.isin(np.arange(9), [6]),
    }
    return {key: value for key, value in (rows | changes).items() if value is not None}


def saved(path, **changes):
    np.savez(path / "data.npz", **recorded(**changes))
    return path / "data.npz"


def test_rows_arrive_in_the_learners_units(row, environment, tmp_path):
    truth, made = recorded(), offline.read(str(saved(tmp_path)), environment, reward_shift=-1.0)
    for name, key in (("observation", "observations"), ("next_observation", "next_observations")):
        seen, expected = getattr(made, name), truth[key].astype(np.float32)
        row.exact("RB17", name, seen.dtype == np.float32 and np.array_equal(seen, expected), f"{seen}")
    units = (truth["actions"] - np.mean([LOW, HIGH], axis=0)) / [2.0, 0.25]
    bound = np.spacing(np.float32(1.0))
    row("EV01", "recorded action in [-1, 1]", np.abs(made.action - units), bound, "one rounding to float32, at most 1")
    row.exact("RB17", "shifted reward", made.reward.tolist() == [r - 1 for r in range(9)], f"{made.reward}")
    row.exact("BT02", "terminated", np.flatnonzero(made.terminated).tolist() == [3], f"{made.terminated}")
    row.exact("BT05", "truncated", np.flatnonzero(made.truncated).tolist() == [6], f"{made.truncated}")
    row.exact("RB17", "ended", np.flatnonzero(made.ended).tolist() == [3, 6, 8], f"{made.ended}")


def test_the_layout_of_d4rl(row, environment, tmp_path):
    """Successors are the observations of the next rows; those of episodes that were cut off are not in the file."""
    truth = recorded()
    path = saved(
        tmp_path, next_observations=None, terminations=None, truncations=None,
        terminals=truth["terminations"], timeouts=truth["truncations"].astype(np.float32),
    )  # fmt: skip
    made, kept = offline.read_npz(path, environment), [0, 1, 2, 3, 4, 5, 7]
    row.exact("BT08", "rows with a successor", made.reward.tolist() == kept, f"{made.reward}, expected {kept}")
    living = ~made.terminated
    expected = truth["next_observations"][kept].astype(np.float32)
    same = np.array_equal(made.next_observation[living], expected[living])
    row.exact("BT08", "successors", same, f"{made.next_observation}, expected {expected} but for row 3")
    row.exact("BT05", "terminated", np.flatnonzero(made.terminated).tolist() == [3], f"{made.terminated}")
    row.exact("RB17", "ended", np.flatnonzero(made.ended).tolist() == [3, 5, 6], f"{made.ended}")
    begins = pretraining.initial_observations(made)
    row.exact("RB17", "initial states", np.array_equal(begins, np.zeros((3, 3))), f"{begins}")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rewards": None}, "no array 'rewards'; expected .*saw actions, next_observations, observations"),
        ({"terminations": None, "dones": np.zeros(9)}, "no array 'terminations' .'dones' mixes"),
        ({"next_observations": None, "truncations": None}, "neither 'next_observations' nor 'truncations'"),
        ({"observations": np.zeros((8, 3))}, r"'observations' has the shape \(8, 3\); expected \(9, 3\)"),
        ({"next_observations": np.zeros((9, 2))}, r"'next_observations' has the shape \(9, 2\); expected \(9, 3\)"),
        ({"actions": np.zeros(9)}, r"'actions' has the shape \(9,\); expected \(9, 2\)"),
        ({"rewards": np.zeros((9, 2))}, r"'rewards' has the shape \(9, 2\); expected \(9,\)"),
        ({"rewards": np.float64(3)}, r"'rewards' has the shape \(\); expected \(N,\)"),
        ({"rewards": np.zeros(0)}, r"'rewards' has the shape \(0,\)"),
        ({"rewards": np.r_[np.zeros(8), np.nan]}, r"rewards\[8, 0\] is nan; expected finite"),
        ({"observations": np.full((9, 3), 1e39)}, r"observations\[0, 0\] is inf"),
        ({"terminations": np.arange(9)}, r"terminations\[2\] is 2.0; expected 0 or 1"),
        ({"truncations": np.full(9, -1)}, r"truncations\[0\] is -1.0; expected 0 or 1"),
        ({"rewards": np.array(["a"] * 9)}, "'rewards' holds <U1; expected numbers"),
        ({"rewards": np.array([{}] * 9)}, "cannot be read at 'rewards' .Object arrays .*never pickled ones"),
        (
            {"actions": np.tile([3.5, 0.25], (9, 1))},
            r"actions\[0, 0\] is 3.5, outside \[-2.0, 2.0\] of counter by 1.5 \(9 of 9 rows are outside\)",
        ),
        ({"actions": np.tile([0.0, -1e-6], (9, 1))}, r"actions\[0, 1\] is -1e-06, outside \[0.0, 0.5\].*by 1e-06"),
    ],
)
def test_files_that_do_not_fit(environment, tmp_path, changes, said):
    with pytest.raises(InvalidData, match=rf"data.npz: {said}"):
        offline.read_npz(saved(tmp_path, **changes), environment)


def test_files_that_are_none(environment, tmp_path):
    with pytest.raises(
        InvalidData, match=r"absent.npz: no such file; expected an .npz file of transitions, or minari:"
    ):
        offline.read("absent.npz", environment)
    whole = saved(tmp_path).read_bytes()
    path = tmp_path / "damaged.npz"
    flipped = bytearray(whole)
    flipped[whole.index(b"NUMPY") + 130] ^= 1  # inside the first array's data, past its header
    for contents in (b"", b"text", whole[: len(whole) // 2], bytes(flipped)):
        path.write_bytes(contents)
        with pytest.raises(InvalidData, match=r"damaged.npz: cannot be read"):
            offline.read_npz(path, environment)
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(InvalidData, match=r"one.npy: holds no named arrays; expected an .npz file"):
        offline.read_npz(tmp_path / "one.npy", environment)


@given(hnp.arrays(np.float32, (9, 2), elements=st.floats(-1, 1, width=32)))
def test_what_is_written_is_read_again(row, tmp_path_factory, action):
    environment = Environment(Counter(end=4, low=LOW, high=HIGH))
    folder = tmp_path_factory.mktemp("recorded")
    made = offline.read_npz(saved(folder), environment)._replace(action=action)
    offline.write(folder / "again.npz", made, environment)
    again = offline.read_npz(folder / "again.npz", environment)
    for name in offline.Transitions._fields:
        if name != "action":
            same = np.array_equal(getattr(again, name), getattr(made, name))
            row.exact("RB05", f"{name} written and read", same, f"{getattr(again, name)}")
    same = np.array_equal(again.action[:, 0], action[:, 0])
    row.exact("RB05", "action in a box around zero", same, f"{again.action[:, 0]}, wrote {action[:, 0]}")
    # a = (x - c)/h, x rounded in float64 at most |c| + h = 2h away from zero: 2 units of float64, then one of float32.
    bound = 4 * np.finfo(np.float64).eps + np.spacing(np.abs(action[:, 1]))
    reason = "one rounding of the written action to float64, over the half-width, and one of the result to float32"
    row("RB05", "action written and read", np.abs(again.action[:, 1].astype(float) - action[:, 1]), bound, reason)
    left = sorted(path.name for path in folder.iterdir())
    row.exact("RB05", "files left", left == ["again.npz", "data.npz"], f"{left}")


@pytest.mark.parametrize(("capacity", "proportional"), [(9, False), (12, True)])
def test_a_buffer_is_filled_and_recorded(row, environment, tmp_path, capacity, proportional):
    made, kept = offline.read_npz(saved(tmp_path), environment), replay.create(capacity, 3, 2, proportional)
    stored = pretraining.fill(replay.create(capacity, 3, 2, proportional), made)
    write = jax.jit(replay.insert)
    for values in zip(*made[:5], made.ended, strict=True):
        kept = write(kept, Transition(*(jnp.asarray(value, float) for value in values)))
    same = jax.tree.map(lambda one, other: bool((one == other).all()), stored, kept)
    row.exact("RB04", "filled at once and row by row", all(jax.tree.leaves(same)), f"equal: {same}")
    back = pretraining.of_replay(stored)
    for name in offline.Transitions._fields:
        expected = made.truncated | (np.arange(9) == 8) if name == "truncated" else getattr(made, name)
        same = np.array_equal(getattr(back, name), expected)
        row.exact("RB17", f"{name} from the buffer", same, f"{getattr(back, name)}, expected {expected}")
    for _ in range(4):
        kept = write(kept, Transition(*(jnp.full(shape, 7.0) for shape in (3, 2, (), 3, (), ()))))
    oldest = pretraining.of_replay(kept).reward.tolist()
    expected = [*range(13 - capacity, 9), 7, 7, 7, 7]
    row.exact("RB15", "oldest first after the end", oldest == expected, f"{oldest}, expected {expected}")
    with pytest.raises(ValueError, match="already holds"):
        pretraining.fill(kept, made)
    with pytest.raises(InvalidData, match=r"9 recorded transitions do not fit into a buffer of 8; set --buffer-size"):
        pretraining.fill(replay.create(8, 3, 2), made)


@pytest.mark.parametrize("capacity", [2, 3, 5])
def test_the_ring_of_initial_states(row, environment, tmp_path, capacity):
    truth = recorded()
    begins = np.array([[1.0, 0, 0], [2, 0, 0], [3, 0, 0]])
    truth["observations"][[0, 4, 7]] = begins  # so that the three can be told apart
    made, ring = offline.read_npz(saved(tmp_path, **truth), environment), initials.create(capacity, 3)
    seen = pretraining.begun(ring, made)
    for state in begins[-capacity:]:
        ring = initials.insert(ring, jnp.asarray(state))
    same = all(np.array_equal(one, other) for one, other in zip(seen, ring, strict=True))
    row.exact("OCC-01", "initial states of the recorded episodes", same, f"{seen}, expected {ring}")


def test_shuffled_rows_have_no_initial_states(environment, tmp_path):
    order = np.array([4, 0, 6, 2, 8, 1, 5, 3, 7])
    path = saved(tmp_path, **{key: value[order] for key, value in recorded().items()})
    made = offline.read_npz(path, environment)
    assert made.ended.all()
    with pytest.raises(InvalidData, match="row 0 neither terminated nor was truncated, and row 1 does not continue it"):
        pretraining.initial_observations(made)


def test_an_end_that_looks_like_a_step_is_an_end(row, environment, tmp_path):
    """Where an episode begins in the very state in which the last one ended, the flags alone tell."""
    still = dict.fromkeys(("observations", "next_observations"), np.ones((9, 3)))
    made = offline.read_npz(saved(tmp_path, **still), environment)
    row.exact("RB17", "ended", np.flatnonzero(made.ended).tolist() == [3, 6, 8], f"{made.ended}")


@pytest.fixture
def library(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path / "minari"


@pytest.mark.extras
@pytest.mark.filterwarnings("ignore::UserWarning:minari.utils")
@pytest.mark.parametrize("structured", [False, True], ids=["box", "dict"])
def test_a_minari_data_set(row, library, structured):
    import minari
    from minari.data_collector import EpisodeBuffer

    # Two episodes that end, one that was broken off; every number of a clock is known.
    clock, chosen, episodes = Clock(5.0, (3, 2, 9), structured), [], []
    generator = np.random.default_rng(0)
    for steps in (3, 2, 2):
        seen, actions = [clock.reset()[0]], generator.uniform(-2, 2, (steps, 1)).astype(np.float32)
        made = [clock.step(action) for action in actions]
        seen.extend(step[0] for step in made)
        if structured:
            at = tuple([one["at"][part] for one in seen] for part in range(2))
            seen = {"at": at, "who": [one["who"] for one in seen]}
        flags = [[step[place] for step in made] for place in (1, 2, 3)]
        episodes.append(EpisodeBuffer(None, None, None, seen, list(actions), *flags, infos={}))
        chosen.extend(actions)
    said = {"algorithm_name": "a", "author": "a", "author_email": "a", "code_permalink": "a", "description": "a"}
    minari.create_dataset_from_buffers("tests/clock-v0", episodes, env=clock, **said)
    environment = Environment(Clock(5.0, (9,), structured), name="clock")
    made = offline.read("minari:tests/clock-v0", environment, reward_shift=0.5)
    at, who = (slice(0, 2), 2) if structured else (slice(1, 3), 0)
    truth = [(episode, step) for episode, length in enumerate([3, 2, 2]) for step in range(length)]
    before, after = made.observation[:, at].tolist(), made.next_observation[:, at].tolist()
    row.exact("RB10", "observations", before == [[e, t] for e, t in truth], f"{before}, expected {truth}")
    row.exact("BT08", "successors", after == [[e, t + 1] for e, t in truth], f"{after}, expected those of {truth}")
    row.exact("EV01", "order of the parts", set(made.observation[:, who]) == {5.0}, f"{made.observation}")
    actions = environment.actions.decode(np.array(chosen))
    row.exact("RB10", "actions", np.array_equal(made.action, actions), f"{made.action}, expected {actions}")
    rewards = [100 * episode + step + 1.5 for episode, step in truth]
    row.exact("RB17", "rewards", made.reward.tolist() == rewards, f"{made.reward}, expected {rewards}")
    flags = [np.flatnonzero(column).tolist() for column in made[4:]]
    row.exact("BT05", "flags", flags == [[2], [4, 6], [2, 4, 6]], f"terminated, truncated, ended at {flags}")
    with pytest.raises(InvalidData, match=r"minari:tests/clock-v0, episode 0.*"):
        offline.read("minari:tests/clock-v0", Environment(Counter(end=4, low=LOW, high=HIGH), name="counter"))
    with pytest.raises(
        InvalidData, match=r"minari:tests/clock-v7: not on this machine.*Here are: tests/clock-v0.*minari download"
    ):
        offline.read("minari:tests/clock-v7", environment)


def test_minari_that_is_absent(monkeypatch, environment):
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(InvalidData, match=r'minari:any/set-v0 needs minari.*pip install "roer\[offline\]"'):
        offline.read("minari:any/set-v0", environment)


def test_discrete_actions_have_no_units(tmp_path):
    environment = Environment(gymnasium.make("CartPole-v1"), discrete=True)
    path = tmp_path / "data.npz"
    rows = {"observations": np.zeros((2, 4)), "next_observations": np.zeros((2, 4)), "actions": np.eye(2)}
    np.savez(path, **rows, rewards=np.zeros(2), terminations=np.zeros(2))
    with pytest.raises(InvalidData, match="CartPole-v1: recorded transitions need continuous actions"):
        offline.read_npz(path, environment)
