"""Environments beside each other: every transition is one that an environment alone would have made."""

import functools
from concurrent.futures import ThreadPoolExecutor

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given
from hypothesis import strategies as st
from simulators import Clock, Counter, Poisoned

from deep import vector
from deep.environments import Environment
from deep.errors import Diverged, InvalidEnvironment
from deep.vector import VectorEnvironment

STEPS = 12
episode_lengths = st.lists(st.lists(st.integers(1, 4), min_size=STEPS, max_size=STEPS), min_size=2, max_size=3)


def told(name, lengths, count, structured):
    """The first `count` transitions of a clock, enumerated from its definition."""
    order = [1, 2, 0] if structured else [0, 1, 2]  # a dictionary lists its keys in the order of the alphabet
    rows = []
    for episode, length in enumerate(lengths):
        for step in range(1, length + 1):
            before, after = [name, episode, step - 1], [name, episode, step]
            ends = (step == length and episode % 2 == 0, step == length and episode % 2 == 1)
            rows.append(([before[at] for at in order], 100.0 * episode + step, [after[at] for at in order], *ends))
    return rows[:count]


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
@pytest.mark.parametrize("structured", [False, True], ids=["box", "dict"])
@given(lengths=episode_lengths, seed=st.integers(0, 2**16))
def test_transitions_are_true_in_every_autoreset_mode(row, mode, structured, lengths, seed):
    clocks = [Clock(float(place), tuple(each), structured) for place, each in enumerate(lengths)]
    environment = VectorEnvironment(SyncVectorEnv([lambda one=one: one for one in clocks], autoreset_mode=mode))
    environment.reset(seed=0)
    generator, seen = np.random.default_rng(seed), [[] for _ in clocks]
    for _ in range(STEPS):
        held = environment.observation.copy()
        actions = environment.actions.random(generator, len(clocks))
        made = environment.step(actions)
        row.exact("RB10", "acted on", np.array_equal(made.observation, held), f"{made.observation}, acted on {held}")
        for place in np.flatnonzero(made.valid):
            seen[place].append([column[place] for column in made])
    for place, clock in enumerate(clocks):
        rows = seen[place]
        truth = told(clock.name, clock.lengths, len(rows), structured)
        ours = [(list(one[0]), one[2], list(one[3]), bool(one[4]), bool(one[5])) for one in rows]
        row.exact("BT08", f"transitions under {mode.name}", ours == truth, f"{ours}, expected {truth}")
        taken = [2.0 * float(one[1][0]) for one in rows]
        row.exact("RB10", "actions of valid rows", taken == clock.taken, f"{taken}, executed were {clock.taken}")
        ignored = [False] if mode is AutoresetMode.NEXT_STEP else []  # a call for each reset, whose action goes nowhere
        calls = [call for length in clock.lengths for call in [True] * length + ignored]
        expected = sum(calls[:STEPS])
        row.exact("BT08", "rows kept", len(rows) == expected, f"{len(rows)} of {STEPS} calls, expected {expected}")


@pytest.mark.parametrize("threads", [False, True], ids=["sequential", "threads"])
def test_each_environment_does_what_it_does_alone(row, threads):
    lengths = [(3, 1, 2, 9), (1, 1, 1, 9), (9,), (4, 9), (2, 2, 2, 9)]
    together, alone = ([Environment(Clock(float(place), each)) for place, each in enumerate(lengths)] for _ in range(2))
    actions = np.linspace(-1, 1, 6 * 5, dtype=np.float32).reshape(6, 5, 1)
    now, reseeded = vector.reset(together, range(5)), []
    with ThreadPoolExecutor(2) as pool:
        rounds = [
            vector.step(together, row_, lambda place: reseeded.append(place) or 7, pool if threads else None, share=2)
            for row_ in actions
        ]
    for place, one in enumerate(alone):
        observation = one.reset(place)
        row.exact("EV09", "first observation", np.array_equal(now[place], observation), f"{now[place]}")
        for made, chosen in zip(rounds, actions, strict=True):
            step = one.step(chosen[place])
            observation = one.reset(7) if step.terminated or step.truncated else step.observation
            same = np.array_equal(made.observation[place], step.observation) and step[1:] == tuple(
                column[place] for column in made[1:4]
            )
            row.exact("BT08", "step of one among several", bool(same), f"{made}, alone {step}")
            row.exact("BT08", "acted on next", np.array_equal(made.now[place], observation), f"{made.now[place]}")
        row.exact("RN04", "actions of its own", one.inner.taken == together[place].inner.taken, "actions mixed up")
    row.exact("EV09", "resets", sorted(reseeded) == [0, 0, 0, 1, 1, 1, 3, 4, 4, 4], f"{sorted(reseeded)}")


def test_each_environment_is_reset_with_its_own_seed(row):
    several = [Environment(Counter(end=2)) for _ in range(3)]
    vector.reset(several, [11, 12, 13])
    for _ in range(2):
        vector.step(several, np.zeros((3, 1), np.float32), lambda place: 21 + place)
    seen = [one.inner.seeds for one in several]
    row.exact("RN04", "seeds of environments in step", seen == [[11, 21], [12, 22], [13, 23]], f"reset with {seen}")


def test_a_number_that_is_none_is_named_with_its_environment():
    several = [Environment(Poisoned("reward", value, at=1), name="bad") for value in (0.0, np.nan)]
    vector.reset(several, [0, 0])
    with pytest.raises(Diverged, match=r"bad: the reward is nan.*environment 1 of 2"):
        vector.step(several, np.zeros((2, 1), np.float32), int)
    whole = VectorEnvironment(
        SyncVectorEnv([functools.partial(Poisoned, "observation", value, 1) for value in (0, np.inf)])
    )
    whole.reset(0)
    with pytest.raises(Diverged, match=r"observation\[1\] of environment 1 of 2 is inf after the action \[0.0\]"):
        whole.step(np.zeros((2, 1), np.float32))


def test_unusable_vectors():
    class Silent(SyncVectorEnv):
        """Forgets to say how it resets, or what the last observation was."""

        def step(self, actions):
            *rest, _ = super().step(actions)
            return *rest, {"steps": 1}

    clocks = [functools.partial(Clock, 0.0, (1, 9))]
    lost = VectorEnvironment(Silent(clocks, autoreset_mode=AutoresetMode.SAME_STEP))
    lost.reset()
    with pytest.raises(InvalidEnvironment, match=r"Silent: .*info has no 'final_obs' \(it has \['steps'\]\)"):
        lost.step(np.zeros((1, 1), np.float32))
    unsaid = SyncVectorEnv(clocks)
    del unsaid.metadata["autoreset_mode"]
    with pytest.raises(InvalidEnvironment, match=r"autoreset_mode = None; expected one of.*NEXT_STEP"):
        VectorEnvironment(unsaid)
    with pytest.raises(InvalidEnvironment, match=r"action space is Discrete\(2\)"):
        VectorEnvironment(gymnasium.make_vec("CartPole-v1", 2))
