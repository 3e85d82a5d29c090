"""Environments as the learner sees them: flat float32 observations, actions in [-1, 1]^d, one episode at a time.

:class:`Environment` wraps one Gymnasium environment (never a vector of them, so nothing resets by itself and the
observation after a step is always the *true* successor, at the end of an episode too). ``terminated`` and
``truncated`` stay apart from the simulator to the learner. Actions are rescaled dimension by dimension, so that a box
with different bounds in each dimension is reached to its corners.

A finite decision process is wrapped by :class:`deep.mdp_environment.MDPEnvironment` first.
"""

import contextlib
import difflib
import importlib.util
import math
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from jaxtyping import Float32, Float64
from numpy.typing import NDArray

from deep.errors import Diverged, InvalidEnvironment
from deep.mdp_environment import MDPEnvironment

__all__ = ["Environment", "MDPEnvironment", "OneHot", "Rescaling", "Step", "make", "nearest"]

SUGGESTIONS = 5
LARGEST = float(np.finfo(np.float32).max)


class Step(NamedTuple):
    """What one step returned; ``observation`` is the true successor, ``terminated`` alone cuts the bootstrap."""

    observation: Float32[np.ndarray, " O"]
    reward: float
    terminated: bool
    truncated: bool


class Rescaling(NamedTuple):
    """Affine map from [-1, 1]^U onto the box [low, high], one scale for each dimension.

    Written as centre + half * action, so that it is exactly the identity on the box [-1, 1]^U.
    """

    low: NDArray[Any]
    high: NDArray[Any]
    centre: Float64[np.ndarray, " U"]
    half: Float64[np.ndarray, " U"]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, space: gymnasium.spaces.Box, name: str) -> "Rescaling":
        """The map onto ``space``; InvalidEnvironment names the first dimension without two finite bounds."""
        low, high = space.low.ravel(), space.high.ravel()
        wide = np.flatnonzero(~(np.isfinite(low) & np.isfinite(high) & (low < high)))
        if wide.size:
            at = int(wide[0])
            raise InvalidEnvironment(
                f"{name}: action dimension {at} has the bounds [{low[at]}, {high[at]}]; actions are rescaled from "
                "[-1, 1], which needs finite bounds with low < high in every dimension. "
                "Wrap the environment in gymnasium.wrappers.RescaleAction or ClipAction with bounds of your choice"
            )
        centre = 0.5 * (low.astype(np.float64) + high)
        half = 0.5 * (high.astype(np.float64) - low)
        return cls(low, high, centre, half, space.shape)

    @property
    def size(self) -> int:
        """U."""
        return self.low.size

    def encode(self, action: Float32[np.ndarray, " U"]) -> NDArray[Any]:
        """The environment's action: clipped, because rounding may step over a bound by one unit in the last place."""
        scaled = (self.centre + self.half * action).astype(self.low.dtype)
        return np.minimum(np.maximum(scaled, self.low), self.high).reshape(self.shape)

    def random(self, generator: np.random.Generator, count: int) -> Float32[np.ndarray, "N U"]:
        """``count`` actions uniform on [-1, 1)^U, hence uniform on the box."""
        return 2.0 * generator.random((count, self.size), dtype=np.float32) - np.float32(1.0)


class OneHot(NamedTuple):
    """Discrete actions, handed to the learner as rows of the identity."""

    size: int
    start: int = 0

    def encode(self, action: Float32[np.ndarray, " U"]) -> np.int64:
        """The action's number: the position of the one."""
        return np.int64(self.start + int(np.argmax(action)))

    def random(self, generator: np.random.Generator, count: int) -> Float32[np.ndarray, "N U"]:
        """``count`` actions, uniform over the U rows of the identity."""
        return np.eye(self.size, dtype=np.float32)[generator.integers(self.size, size=count)]


class Environment:
    """One Gymnasium environment behind flat float32 arrays.

    ``discrete=True`` admits a Discrete action space, one-hot to the learner (the tabular networks); otherwise it is
    refused, because the continuous networks have no use for it. Neither wraps nor resets on its own.
    """

    def __init__(self, environment: gymnasium.Env, *, name: str | None = None, discrete: bool = False) -> None:
        self.inner = environment
        self.name = name or (environment.spec.id if environment.spec is not None else type(environment).__name__)
        space = environment.action_space
        if isinstance(space, gymnasium.spaces.Box):
            self.actions: Rescaling | OneHot = Rescaling.of(space, self.name)
        elif isinstance(space, gymnasium.spaces.Discrete) and discrete:
            self.actions = OneHot(int(space.n), int(space.start))
        else:
            raise InvalidEnvironment(
                f"{self.name}: the action space is {space}, but the agent's actions are continuous: expected a Box. "
                f"Environments with one are, for instance, {_listed(_examples())}"
            )
        observations = environment.observation_space
        try:
            flat = gymnasium.spaces.flatten_space(observations)
        except NotImplementedError:
            flat = None
        if not isinstance(flat, gymnasium.spaces.Box):
            raise InvalidEnvironment(
                f"{self.name}: the observation space is {observations}, which has no flat array form; expected a Box, "
                "or a Dict or Tuple of such (wrap the environment in gymnasium.wrappers.TransformObservation)"
            )
        self.observation_size = int(np.prod(flat.shape))
        self.action_size = self.actions.size
        self._structured = None if isinstance(observations, gymnasium.spaces.Box) else observations

    def reset(self, seed: int | None = None) -> Float32[np.ndarray, " O"]:
        """Start an episode; the seed fixes everything random in it."""
        observation, _ = self.inner.reset(seed=seed)
        flat = self._flat(observation)
        if not np.isfinite(flat).all():
            raise Diverged(self._not_finite(flat, "on reset"))
        return flat

    def step(self, action: Float32[np.ndarray, " U"]) -> Step:
        """Apply an action of [-1, 1]^U; Diverged names the first quantity that is no finite float32."""
        observation, reward, terminated, truncated, _ = self.inner.step(self.actions.encode(action))
        flat = self._flat(observation)
        reward = float(reward)
        if not -LARGEST <= reward <= LARGEST:
            raise Diverged(f"{self.name}: the reward is {reward} after the action {np.array(action).tolist()}")
        # A NaN or an infinity survives the sum, which costs less than isfinite().all(); float64 cannot overflow here.
        if not math.isfinite(flat.sum(dtype=np.float64)):
            raise Diverged(self._not_finite(flat, f"after the action {np.array(action).tolist()}"))
        return Step(flat, reward, bool(terminated), bool(truncated))

    def close(self) -> None:
        """Release the simulator."""
        self.inner.close()

    def _flat(self, observation: Any) -> Float32[np.ndarray, " O"]:
        """A fresh float32 array: an environment may hand out the same buffer at every step."""
        if self._structured is not None:
            observation = gymnasium.spaces.flatten(self._structured, observation)
        with np.errstate(over="ignore"):  # what exceeds float32 becomes infinite and is reported as such
            return np.array(observation, dtype=np.float32).reshape(-1)

    def _not_finite(self, observation: Float32[np.ndarray, " O"], when: str) -> str:
        at = int(np.flatnonzero(~np.isfinite(observation))[0])
        return f"{self.name}: observation[{at}] is {observation[at]} {when}; expected finite float32 numbers"


def make(identifier: str, render_mode: str | None = None) -> Environment:
    """The Gymnasium environment ``identifier`` ("HalfCheetah-v5", "package.module:Name-v0").

    InvalidEnvironment for an unknown identifier (with the nearest known ones), for a simulator that is not installed
    and for spaces that the continuous agent cannot use. ``render_mode`` is Gymnasium's, for videos.
    """
    try:
        with _quiet_construction():
            environment = gymnasium.make(identifier, render_mode=render_mode, disable_env_checker=True)
    except gymnasium.error.DependencyNotInstalled as error:
        remedy = 'pip install "roer[deep]"' if "mujoco" in str(error).lower() else _first_line(error)
        raise InvalidEnvironment(f"{identifier}: its simulator is not installed: {remedy}") from error
    except (gymnasium.error.Error, ImportError) as error:
        if isinstance(error, ModuleNotFoundError) and identifier in gymnasium.registry:
            raise InvalidEnvironment(f"{identifier} needs {error.name}, which is not installed") from error
        known = _listed(nearest(identifier))
        raise InvalidEnvironment(
            f"unknown environment {identifier!r}: {_first_line(error)} Nearest known ids: {known}"
        ) from error
    try:
        return Environment(environment, name=identifier)
    except InvalidEnvironment:
        environment.close()
        raise


@contextlib.contextmanager
def _quiet_construction() -> Iterator[None]:
    """Keep remarks on model files and id versions off the terminal; warnings of a running simulation are not touched.

    MuJoCo's compiler prints a deprecation for Gymnasium's own model files at every construction, and appends it to a
    log file in the working directory.
    """
    mujoco: Any = importlib.import_module("mujoco") if importlib.util.find_spec("mujoco") else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if mujoco is None:
            yield
            return
        before = mujoco.get_mju_user_warning()
        mujoco.set_mju_user_warning(lambda message: None)
        try:
            yield
        finally:
            mujoco.set_mju_user_warning(before)


def nearest(identifier: str) -> list[str]:
    """The registered ids most like ``identifier``, the newest version of each."""
    newest: dict[str, str] = {}
    for key, _ in sorted(gymnasium.registry.items(), key=lambda item: item[1].version or 0):
        newest[key.rpartition("-v")[0].lower()] = key
    name = identifier.rpartition("-v")[0] or identifier
    close = difflib.get_close_matches(name.lower(), list(newest), n=SUGGESTIONS, cutoff=0.5)
    return [newest[key] for key in close] or _examples()


def _examples() -> list[str]:
    return ["HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "InvertedPendulum-v5", "Pendulum-v1"]


def _listed(identifiers: list[str]) -> str:
    return ", ".join(identifiers)


def _first_line(error: BaseException) -> str:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip()
    return line if line.endswith((".", "?", "!")) else f"{line}."
