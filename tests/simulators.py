"""Small Gymnasium environments whose every number is known."""

from __future__ import annotations

import gymnasium
import numpy as np


class Counter(gymnasium.Env):
    """The observation is (steps since the reset, last action), handed out in one buffer that is overwritten each step.

    The reward is the number of the step; the episode terminates at `end` and has no other limit.
    """

    def __init__(self, end: int, low=(-1.0,), high=(1.0,)):
        low, high = np.asarray(low, np.float32), np.asarray(high, np.float32)
        self.action_space = gymnasium.spaces.Box(low, high)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1 + low.size,), np.float64)
        self.end, self.seeds = end, []
        self._buffer = np.zeros(1 + low.size)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seeds.append(seed)
        self._buffer[:] = 0.0
        return self._buffer, {}

    def step(self, action):
        assert self.action_space.contains(action)
        self._buffer[0] += 1
        self._buffer[1:] = action
        count = self._buffer[0]
        return self._buffer, float(count), bool(count >= self.end), False, {}


class Poisoned(Counter):
    """Counter that returns `value` in the named place from step `at` on."""

    def __init__(self, place: str, value: float, at: int):
        super().__init__(end=10**6)
        self.place, self.value, self.at = place, value, at

    def step(self, action):
        observation, reward, terminated, truncated, info = super().step(action)
        if observation[0] >= self.at and self.place == "observation":
            observation = np.array([observation[0], self.value])
        if observation[0] >= self.at and self.place == "reward":
            reward = self.value
        return observation, reward, terminated, truncated, info


class Forgetful(Counter):
    """Counter whose observations depend on something that no seed fixes: it cannot be resumed exactly."""

    instances = 0

    def __init__(self):
        super().__init__(end=10**6)
        type(self).instances += 1
        self.offset = float(type(self).instances)

    def step(self, action):
        observation, *rest = super().step(action)
        return observation + self.offset, *rest


class Clock(gymnasium.Env):
    """Episode number e of clock `name` ends after `lengths[e]` steps, by termination where e is even.

    The observation is (name, episode, steps since the reset), the reward 100 * episode + steps; `taken` lists the
    actions that were not ignored.
    """

    def __init__(self, name: float, lengths: tuple[int, ...], structured: bool = False):
        self.name, self.lengths, self.structured = name, lengths, structured
        self.action_space = gymnasium.spaces.Box(-2.0, 2.0, (1,), np.float32)
        flat = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float64)
        parts = gymnasium.spaces.Dict(at=gymnasium.spaces.Tuple((flat, flat)), who=flat)
        whole = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float64)
        self.observation_space = parts if structured else whole
        self.episode, self.count, self.taken = -1, 0, []

    def _observation(self):
        if not self.structured:
            return np.array([self.name, self.episode, self.count], np.float64)
        episode, count, name = (np.array([value], np.float64) for value in (self.episode, self.count, self.name))
        return {"at": (episode, count), "who": name}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.count = self.episode + 1, 0
        return self._observation(), {}

    def step(self, action):
        self.count += 1
        self.taken.append(float(action[0]))
        over, even = self.count >= self.lengths[self.episode], self.episode % 2 == 0
        return self._observation(), 100.0 * self.episode + self.count, over and even, over and not even, {"count": 1}
