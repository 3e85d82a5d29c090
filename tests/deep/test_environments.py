"""Environments: what the learner is shown is what the simulator did."""

import sys

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from simulators import Clock, Counter, Poisoned

from deep import environments
from deep.environments import Environment, Flattening, Rescaling
from deep.errors import Diverged, InvalidEnvironment

unit_actions = hnp.arrays(np.float32, 3, elements=st.floats(-1, 1, width=32))


@given(unit_actions)
def test_the_identity_on_the_unit_box(row, action):
    rescaling = Rescaling.of(gymnasium.spaces.Box(-1.0, 1.0, (3,)), "unit box")
    same = np.array_equal(rescaling.encode(action), action)
    row.exact("EV01", "actions of [-1, 1] untouched", same, f"{action} became {rescaling.encode(action)}")


@given(unit_actions)
def test_each_dimension_has_its_own_scale(row, action):
    low, high = np.float32([-1, 0, -5]), np.float32([1, 10, -2])
    seen = Rescaling.of(gymnasium.spaces.Box(low, high), "box").encode(action)
    exact = low.astype(np.float64) + (action.astype(np.float64) + 1) * (high.astype(np.float64) - low) / 2
    row(
        "EV02",
        "rescaled action",
        error=np.abs(seen - exact),
        bound=np.spacing(np.maximum(np.abs(low), np.abs(high))),
        reason="one rounding to float32 of a number below the largest bound; float64 before it",
    )
    row.exact("EV02", "rescaled action inside its box", bool(np.all((low <= seen) & (seen <= high))), f"{seen}")


@pytest.mark.parametrize("corner", [-1.0, 1.0])
def test_corners_are_reached(row, corner):
    # 0.1 and 0.7 have no exact binary form: their centre and half-width are rounded and must still meet the bound.
    low, high = np.float32([-0.1, 0.1, -7e5]), np.float32([0.7, 0.3, 3e-5])
    seen = Rescaling.of(gymnasium.spaces.Box(low, high), "box").encode(np.full(3, corner, np.float32))
    wanted = low if corner < 0 else high
    row("EV02", "corner of the box", np.abs(seen - wanted), np.spacing(np.maximum(abs(low), abs(high))), "one rounding")


def test_observations_are_copies_and_successors_are_true(row):
    environment = Environment(Counter(end=3, low=(-1.0, -2.0), high=(1.0, 2.0)))
    first = environment.reset(seed=5)
    steps = [environment.step(np.full(2, 0.5, np.float32)) for _ in range(3)]
    row.exact("BT08", "reset observation kept", first.tolist() == [0, 0, 0], f"{first}")
    for number, step in enumerate(steps, start=1):
        expected = [number, 0.5, 1.0]
        row.exact(
            "BT08", "successor", step.observation.tolist() == expected, f"{step.observation}, expected {expected}"
        )
    row.exact("BT08", "termination", [step.terminated for step in steps] == [False, False, True], f"{steps}")
    row.exact("EV09", "no reset of its own", environment.inner.seeds == [5], f"resets with {environment.inner.seeds}")


def test_the_successor_at_a_time_limit_is_the_simulators(row):
    environment = environments.make("InvertedPendulum-v5")
    environment.inner._max_episode_steps = 2  # the time limit, reached before the pole can fall
    environment.reset(seed=3)
    environment.step(np.zeros(1, np.float32))
    step = environment.step(np.zeros(1, np.float32))
    simulator = environment.inner.unwrapped._get_obs().astype(np.float32)
    row.exact("BT05", "truncation is no termination", (step.terminated, step.truncated) == (False, True), f"{step}")
    row.exact("BT08", "successor at the limit", step.observation.tobytes() == simulator.tobytes(), f"{simulator}")
    environment.close()


@pytest.mark.parametrize(("end", "expected"), [(2, (True, False)), (3, (True, True)), (4, (False, True))])
def test_terminated_and_truncated_stay_apart(row, end, expected):
    environment = Environment(gymnasium.wrappers.TimeLimit(Counter(end), 3), name="counter")
    environment.reset(seed=0)
    for _ in range(min(end, 3)):
        step = environment.step(np.zeros(1, np.float32))
    seen = (step.terminated, step.truncated)
    row.exact("BT07", "flags at the limit", seen == expected, f"saw {seen}, expected {expected}")


def test_structured_observations_are_flattened(row):
    class Structured(Counter):
        def __init__(self):
            super().__init__(end=9)
            self.observation_space = gymnasium.spaces.Dict(
                speed=gymnasium.spaces.Box(-1, 1, (2, 2), np.float32), gear=gymnasium.spaces.Discrete(3)
            )

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return {"speed": np.float32([[1, 2], [3, 4]]) / 8, "gear": 2}, {}

    environment = Environment(Structured())
    seen = environment.reset(seed=0)
    # In the order in which the space lists them; a Discrete entry is one-hot.
    expected = np.float32([1 / 8, 2 / 8, 3 / 8, 4 / 8, 0, 0, 1])
    same = seen.dtype == np.float32 and seen.tolist() == expected.tolist() and environment.observation_size == 7
    row.exact("EV01", "dict observation as one array", same, f"{seen}")


@pytest.mark.parametrize("place", ["observation", "reward"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_a_number_that_is_none_is_named(place, value):
    environment = Environment(Poisoned(place, value, at=2), name="poisoned")
    environment.reset(seed=0)
    environment.step(np.zeros(1, np.float32))
    with pytest.raises(Diverged, match=rf"poisoned: (the )?{place}.* is .*after the action \[0.0\]"):
        environment.step(np.zeros(1, np.float32))


@pytest.mark.parametrize(
    ("identifier", "said"),
    [
        ("HalfCheeta-v5", "unknown environment 'HalfCheeta-v5'.*HalfCheetah-v5"),
        ("HalfCheetah-v99", "unknown environment 'HalfCheetah-v99'.*HalfCheetah-v5"),
        ("", "unknown environment ''"),
        ("no_such_module:Thing-v0", "unknown environment.*no_such_module"),
        ("CartPole-v1", r"CartPole-v1: the action space is Discrete\(2\).*expected a Box"),
    ],
)
def test_unusable_environments(identifier, said):
    with pytest.raises(InvalidEnvironment, match=said):
        environments.make(identifier)


MUJOCO = [
    *("Ant", "HalfCheetah", "Hopper", "Humanoid", "HumanoidStandup", "InvertedDoublePendulum"),
    *("InvertedPendulum", "Pusher", "Reacher", "Swimmer", "Walker2d"),
]


@pytest.mark.parametrize("name", MUJOCO)
def test_every_mujoco_task_is_played_again_from_its_seed(row, name):
    used, fresh = (environments.make(f"{name}-v5") for _ in range(2))
    actions = used.actions.random(np.random.default_rng(2), 12)

    def played(environment, seed, count):
        shown = [environment.reset(seed).tobytes()]
        for action in actions[:count]:
            step = environment.step(action)
            shown.append((step.observation.tobytes(), *step[1:]))
            if step.terminated or step.truncated:
                break
        return shown

    played(used, 1, 5)  # what was played before must leave nothing behind
    again, shown = played(used, 4, 12), played(fresh, 4, 12)
    row.exact("CK04", "episode played again", again == shown and len(shown) > 2, f"{name}: {len(shown)} steps")
    used.close()
    fresh.close()


def test_nested_observations_lie_in_the_order_of_gymnasium(row):
    spaces = gymnasium.spaces
    box = spaces.Box(-9, 9, (2,), np.int64)
    space = spaces.Dict(
        b=spaces.Tuple((box, spaces.Discrete(3, start=1))), a=spaces.MultiBinary(2), c=spaces.Dict(z=box)
    )
    form = Flattening.of(space, "nested")
    entries = [space.sample() for _ in range(4)]
    expected = np.stack([spaces.flatten(space, one) for one in entries]).astype(np.float32)
    singly = np.stack([form.row(one) for one in entries])
    row.exact("EV01", "nested observation", np.array_equal(singly, expected), f"{singly}, Gymnasium has {expected}")
    stacked = {
        "a": np.stack([one["a"] for one in entries]),
        "b": tuple(np.stack([one["b"][at] for one in entries]) for at in range(2)),
        "c": {"z": np.stack([one["c"]["z"] for one in entries])},
    }
    together = form.rows(stacked, 4)
    row.exact("EV01", "stacked observations", np.array_equal(together, expected), f"{together}")
    row.exact("EV01", "size", form.size == expected.shape[1] == 2 + 2 + 3 + 2, f"{form.size}")


def test_a_dictionary_that_exceeds_float32_is_named():
    class Large(Clock):
        def step(self, action):
            observation, *rest = super().step(action)
            return observation | {"who": np.array([1e39])}, *rest

    environment = Environment(Large(0.0, (9,), structured=True), name="large")
    environment.reset(seed=0)
    with pytest.raises(Diverged, match=r"large: observation\[2\] is inf after the action"):
        environment.step(np.zeros(1, np.float32))


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A module in the working directory, as somebody writes an environment of their own."""
    text = """
import gymnasium, numpy as np
from simulators import Counter

class Mine(Counter):
    def __init__(self):
        super().__init__(end=3)

class Wants(Counter):
    pass

def made():
    return gymnasium.wrappers.TimeLimit(Mine(), 2)

def nothing():
    return None

number = 3
gymnasium.register("Registered-v0", entry_point=Mine)
"""
    (tmp_path / "workshop.py").write_text(text)
    monkeypatch.setattr("sys.path", [path for path in sys.path if path])
    yield "workshop"
    sys.modules.pop("workshop", None)
    gymnasium.registry.pop("Registered-v0", None)


@pytest.mark.parametrize(
    ("name", "ends"), [("Mine", (True, False)), ("made", (False, True)), ("Registered-v0", (True, False))]
)
def test_environments_of_one_s_own(row, written, name, ends):
    environment = environments.make(f"{written}:{name}")
    environment.reset(seed=0)
    while not any((step := environment.step(np.zeros(1, np.float32)))[2:]):
        pass
    seen = (environment.name, step.terminated, step.truncated)
    row.exact("EV09", "environment by entry point", seen == (f"workshop:{name}", *ends), f"{seen}, expected {ends}")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Missing", "unknown environment 'workshop:Missing': the module workshop has nothing called 'Missing'"),
        ("Wants", r"workshop:Wants cannot be called with no arguments: .*'end'"),
        ("nothing", "workshop:nothing returned builtins.NoneType; expected a gymnasium.Env"),
        ("number", "workshop:number is int; expected a class or a function"),
    ],
)
def test_entry_points_that_give_no_environment(written, name, said):
    with pytest.raises(InvalidEnvironment, match=said):
        environments.make(f"{written}:{name}")


def test_a_module_that_does_not_import(tmp_path, written):
    (tmp_path / "broken.py").write_text("import no_such_package")
    with pytest.raises(InvalidEnvironment, match="broken:Thing needs no_such_package, which is not installed"):
        environments.make("broken:Thing")
    (tmp_path / "circular.py").write_text("from math import tau_and_a_half")
    with pytest.raises(InvalidEnvironment, match="circular:Thing: importing circular failed: cannot import name"):
        environments.make("circular:Thing")


@pytest.mark.parametrize("identifier", ["AntMaze_UMaze-v5", "gymnasium_robotics:AntMaze_UMaze-v5"])
def test_mazes_want_their_extra(monkeypatch, identifier):
    monkeypatch.setitem(sys.modules, "gymnasium_robotics", None)
    with pytest.raises(InvalidEnvironment, match=r'no module gymnasium_robotics.*pip install "roer\[robotics\]"'):
        environments.make(identifier)


def test_actions_in_whole_numbers_are_refused():
    with pytest.raises(InvalidEnvironment, match=r"gears: the actions are int64 numbers.*expected a Box of floats"):
        Rescaling.of(gymnasium.spaces.Box(0, 5, (1,), np.int64), "gears")


def test_an_observation_of_another_size_than_declared_is_named():
    class Growing(Counter):
        def step(self, action):
            observation, *rest = super().step(action)
            return np.append(observation, 1.0), *rest

    environment = Environment(Growing(end=9))
    environment.reset(seed=0)
    with pytest.raises(InvalidEnvironment, match=r"Growing: returned an observation of 3 numbers.* has 2"):
        environment.step(np.zeros(1, np.float32))


@given(hnp.arrays(np.float32, 3, elements=st.floats(-1, 1, width=32)))
def test_decoding_undoes_encoding(row, action):
    low, high = np.float32([-1, 0, -5]), np.float32([1, 10, -2])
    rescaling = Rescaling.of(gymnasium.spaces.Box(low, high), "box")
    seen = rescaling.decode(rescaling.encode(action))
    largest, half = np.maximum(np.abs(low), np.abs(high)), (high.astype(np.float64) - low) / 2
    bound = np.spacing(largest) / half + np.spacing(np.float32(1))
    reason = "one rounding of the environment's action to float32, over the half-width, and one of the result"
    row("EV01", "action there and back", np.abs(seen.astype(np.float64) - action), bound, reason)


def test_an_unbounded_action_is_named():
    space = gymnasium.spaces.Box(np.float32([-1, -np.inf]), np.float32([1, 2]))
    with pytest.raises(InvalidEnvironment, match=r"action dimension 1 has the bounds \[-inf, 2.0\]"):
        Rescaling.of(space, "winged")


def test_constructing_mujoco_leaves_no_log_file(tmp_path):
    environments.make("HalfCheetah-v5").close()
    assert list(tmp_path.iterdir()) == []
