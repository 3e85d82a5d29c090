"""Several environments at once: K of our own in step, and the vectors of Gymnasium under each of their autoreset modes.

:func:`reset` and :func:`step` move K :class:`~deep.environments.Environment` together: one for each seed of a run, or
several that collect for one learner. Every environment keeps seeds of its own, so what it does is what it would do
alone.

:class:`VectorEnvironment` reads a :class:`gymnasium.vector.VectorEnv`, which resets its parts by itself and says so in
one of three ways (``metadata["autoreset_mode"]``). Each of them hides the end of an episode somewhere else:

* ``NEXT_STEP``: the successor is there, and the *next* call ignores the action and returns the first observation of the
  new episode with reward 0. That row is no transition: ``valid`` is False.
* ``SAME_STEP``: the observation is already the first of the new episode; the successor is in ``info["final_obs"]``.
* ``DISABLED``: the successor is there, and the part waits to be reset, which happens here.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from jaxtyping import Bool, Float32, Float64

from deep.environments import LARGEST, Environment
from deep.errors import Diverged, InvalidEnvironment
from deep.spaces import Flattening, Rescaling

__all__ = ["Steps", "VectorEnvironment", "VectorSteps", "reset", "step"]


class Steps(NamedTuple):
    """What a step of K environments returned.

    ``observation`` holds the true successors, ``now`` what to act on next: the successor, or the first observation of
    the new episode where one ended (``terminated`` or ``truncated``).
    """

    observation: Float32[np.ndarray, "K O"]
    reward: Float64[np.ndarray, " K"]
    terminated: Bool[np.ndarray, " K"]
    truncated: Bool[np.ndarray, " K"]
    now: Float32[np.ndarray, "K O"]


def reset(environments: Sequence[Environment], seeds: Sequence[int]) -> Float32[np.ndarray, "K O"]:
    """Start an episode in each environment, from the seed at its place."""
    return np.stack([one.reset(seed) for one, seed in zip(environments, seeds, strict=True)])


def step(
    environments: Sequence[Environment],
    actions: Float32[np.ndarray, "K U"],
    next_seed: Callable[[int], int],
    threads: Executor | None = None,
    share: int = 1,
) -> Steps:
    """One step of each; an environment whose episode ends is reset with ``next_seed(its place)``.

    ``threads`` runs ``share`` environments in each task, beside each other where the simulator releases the
    interpreter's lock (MuJoCo does). The result is the same, bit for bit. Diverged says at which place a number was
    not finite; the others have made their step then as well, or not, so that nothing can go on from there.
    """

    def one(place: int) -> tuple[Any, ...]:
        environment = environments[place]
        try:
            made = environment.step(actions[place])
            over = made.terminated or made.truncated
            return *made, environment.reset(next_seed(place)) if over else made.observation
        except Diverged as error:
            raise Diverged(f"{error} (environment {place} of {len(environments)})") from error

    def some(first: int) -> list[tuple[Any, ...]]:
        return [one(place) for place in range(first, min(first + share, len(environments)))]

    if threads is None:
        rows = [one(place) for place in range(len(environments))]
    else:
        rows = [row for part in threads.map(some, range(0, len(environments), share)) for row in part]
    observation, reward, terminated, truncated, now = zip(*rows, strict=True)
    return Steps(np.stack(observation), np.array(reward), np.array(terminated), np.array(truncated), np.stack(now))


class VectorSteps(NamedTuple):
    """K transitions, of which those with ``valid`` True happened; the others are to be thrown away.

    ``observation`` is what was acted on, ``next_observation`` the true successor, at the end of an episode too.
    """

    observation: Float32[np.ndarray, "K O"]
    action: Float32[np.ndarray, "K U"]
    reward: Float64[np.ndarray, " K"]
    next_observation: Float32[np.ndarray, "K O"]
    terminated: Bool[np.ndarray, " K"]
    truncated: Bool[np.ndarray, " K"]
    valid: Bool[np.ndarray, " K"]


class VectorEnvironment:
    """A Gymnasium vector behind flat float32 arrays and true transitions, whatever its autoreset mode.

    ``observation`` (K, O) is what the next actions are for. InvalidEnvironment for a vector that does not say how it
    resets, and for spaces that the continuous agent cannot use.
    """

    def __init__(self, environment: gymnasium.vector.VectorEnv, *, name: str | None = None) -> None:
        self.inner = environment
        self.name = name or (environment.spec.id if environment.spec is not None else type(environment).__name__)
        said = (environment.metadata or {}).get("autoreset_mode")
        try:
            self.mode = AutoresetMode(said)
        except ValueError as error:
            known = ", ".join(str(mode) for mode in AutoresetMode)
            raise InvalidEnvironment(
                f"{self.name}: its metadata say autoreset_mode = {said!r}; expected one of {known}. "
                "Without it nobody knows which observations are successors"
            ) from error
        space = environment.single_action_space
        if not isinstance(space, gymnasium.spaces.Box):
            raise InvalidEnvironment(
                f"{self.name}: the action space is {space}, but the agent's actions are continuous: expected a Box"
            )
        self.actions = Rescaling.of(space, self.name)
        self.observations = Flattening.of(environment.single_observation_space, self.name)
        self.size = environment.num_envs
        self.observation_size, self.action_size = self.observations.size, self.actions.size
        self.observation = np.zeros((self.size, self.observation_size), np.float32)
        self._waiting = np.zeros(self.size, bool)

    def reset(self, seed: int | list[int] | None = None) -> Float32[np.ndarray, "K O"]:
        """Start an episode in each part; a number stands for itself, itself + 1, ... (Gymnasium's own rule)."""
        seeds: Any = seed  # a list is what Gymnasium's own vectors take, and their base class does not say so
        observation, _ = self.inner.reset(seed=seeds)
        self.observation = self.observations.rows(observation, self.size)
        self._waiting[:] = False
        return self.observation

    def step(self, actions: Float32[np.ndarray, "K U"]) -> VectorSteps:
        """Apply K actions of [-1, 1]^U; Diverged names the first number of a valid row that is not finite."""
        observation, rewards, terminations, truncations, info = self.inner.step(self.actions.encode(actions))
        before, after = self.observation, self.observations.rows(observation, self.size)
        reward = np.array(rewards, np.float64)
        terminated, truncated = np.array(terminations, bool), np.array(truncations, bool)
        over, valid = terminated | truncated, np.ones(self.size, bool)
        successor = self.observation = after
        if self.mode is AutoresetMode.NEXT_STEP:
            valid, self._waiting = ~self._waiting, over
        elif over.any() and self.mode is AutoresetMode.SAME_STEP:
            successor = after.copy()
            successor[over] = self._final(info, over)
        elif over.any():
            first, _ = self.inner.reset(options={"reset_mask": over.copy()})
            self.observation = np.where(over[:, None], self.observations.rows(first, self.size), after)
        made = VectorSteps(before, np.array(actions, np.float32), reward, successor, terminated, truncated, valid)
        self._check(made)
        return made

    def close(self) -> None:
        """Release the simulators."""
        self.inner.close()

    def _final(self, info: dict[str, Any], over: Bool[np.ndarray, " K"]) -> Float32[np.ndarray, "E O"]:
        final = info.get("final_obs")
        if final is None:
            raise InvalidEnvironment(
                f"{self.name}: autoreset mode {self.mode} and an episode ended, but info has no 'final_obs' (it has "
                f"{sorted(info)}): the successors are lost. Make the vector with another autoreset mode"
            )
        if isinstance(final, np.ndarray) and final.dtype == object:
            return np.stack([self.observations.row(one) for one in final[over]])
        return self.observations.rows(final, self.size)[over]

    def _check(self, made: VectorSteps) -> None:
        for quantity, values in (("reward", made.reward[:, None]), ("observation", made.next_observation)):
            wrong = np.argwhere(~(np.abs(values) <= LARGEST) & made.valid[:, None])
            if wrong.size:
                place, at = wrong[0]
                which = quantity if quantity == "reward" else f"{quantity}[{at}]"
                raise Diverged(
                    f"{self.name}: {which} of environment {place} of {self.size} is {values[place, at]} after the "
                    f"action {made.action[place].tolist()}; expected finite float32 numbers"
                )
