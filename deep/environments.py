"""Environments as the learner sees them: flat float32 observations, actions in [-1, 1]^d, one episode at a time.

An agent of discrete actions (DQN) is handed an environment whose actions are rows of the identity instead; on-policy
agents take either kind.

:class:`Environment` wraps one Gymnasium environment (never a vector of them, so nothing resets by itself and the
observation after a step is always the *true* successor, at the end of an episode too). ``terminated`` and
``truncated`` stay apart from the simulator to the learner. What the arrays mean is in :mod:`deep.spaces`.

:func:`make` knows four ways to name one: an id of Gymnasium ("HalfCheetah-v5"), a task of the DeepMind Control Suite
("fish-swim"), a module that registers an id ("gymnasium_robotics:AntMaze_UMaze-v5"), and a class or function of a
module that gives an environment when it is called ("package.module:Name"). The last has the time limit that it brings
itself; an environment that never ends wants ``gymnasium.wrappers.TimeLimit``.

A finite decision process is wrapped by :class:`deep.mdp_environment.MDPEnvironment` first.
"""

import contextlib
import difflib
import importlib
import importlib.util
import math
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from jaxtyping import Float32

from deep import control_suite
from deep.errors import Diverged, InvalidEnvironment
from deep.mdp_environment import MDPEnvironment
from deep.spaces import Flattening, OneHot, Rescaling

__all__ = ["Environment", "Flattening", "MDPEnvironment", "OneHot", "Rescaling", "Step", "make", "nearest"]

SUGGESTIONS = 5
LARGEST = float(np.finfo(np.float32).max)
# What Gymnasium does not bring: ids that begin like these come with this package.
ROBOTICS = "gymnasium_robotics"
ROBOTICS_FAMILIES = ("AntMaze_", "PointMaze_", "Fetch", "HandReach", "HandManipulate", "AdroitHand", "FrankaKitchen")
EXTRAS = {"mujoco": "deep", "dm_control": "dmc", ROBOTICS: "robotics"}


class Step(NamedTuple):
    """What one step returned; ``observation`` is the true successor, ``terminated`` alone cuts the bootstrap."""

    observation: Float32[np.ndarray, " O"]
    reward: float
    terminated: bool
    truncated: bool


class Environment:
    """One Gymnasium environment behind flat float32 arrays.

    ``discrete`` says which kind of action space the agent has use for: a Discrete one, one-hot to the learner, or else
    a Box, or either for None; the other kind is refused. Neither wraps nor resets on its own. ``time_limit`` is the
    number of steps after which episodes are cut, None where Gymnasium does not know it.
    """

    def __init__(self, environment: gymnasium.Env, *, name: str | None = None, discrete: bool | None = False) -> None:
        self.inner = environment
        self.name = name or (environment.spec.id if environment.spec is not None else type(environment).__name__)
        space = environment.action_space
        if isinstance(space, gymnasium.spaces.Box) and not discrete:
            self.actions: Rescaling | OneHot = Rescaling.of(space, self.name)
        elif isinstance(space, gymnasium.spaces.Discrete) and discrete is not False:
            self.actions = OneHot(int(space.n), int(space.start))
        elif discrete:
            raise InvalidEnvironment(
                f"{self.name}: the action space is {space}, but the agent's actions are discrete: expected a Discrete "
                f"space. Environments with one are, for instance, {_listed(_discrete_examples())}"
            )
        elif discrete is None:
            raise InvalidEnvironment(
                f"{self.name}: the action space is {space}; expected a Box or a Discrete space. Environments with one "
                f"are, for instance, {_listed(_examples()[-2:] + _discrete_examples())}"
            )
        else:
            instead = "; --agent dqn takes this one" if isinstance(space, gymnasium.spaces.Discrete) else ""
            raise InvalidEnvironment(
                f"{self.name}: the action space is {space}, but the agent's actions are continuous: expected a Box. "
                f"Environments with one are, for instance, {_listed(_examples())}{instead}"
            )
        self.observations = Flattening.of(environment.observation_space, self.name)
        self.observation_size, self.action_size = self.observations.size, self.actions.size
        self.time_limit = environment.spec.max_episode_steps if environment.spec is not None else None

    @property
    def discrete(self) -> bool:
        """Whether the actions are rows of the identity."""
        return isinstance(self.actions, OneHot)

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
        flat = self.observations.row(observation)
        if flat.size != self.observation_size:
            raise InvalidEnvironment(
                f"{self.name}: returned an observation of {flat.size} numbers, but its observation space "
                f"{self.inner.observation_space} has {self.observation_size}"
            )
        return flat

    def _not_finite(self, observation: Float32[np.ndarray, " O"], when: str) -> str:
        at = int(np.flatnonzero(~np.isfinite(observation))[0])
        return f"{self.name}: observation[{at}] is {observation[at]} {when}; expected finite float32 numbers"


def make(identifier: str, *, render_mode: str | None = None, discrete: bool | None = False) -> Environment:
    """The environment ``identifier``; the module's docstring lists the ways to name one.

    ``render_mode="rgb_array"`` for frames of ``inner.render()``; ``discrete`` for an agent of discrete actions, None
    for one of either kind. InvalidEnvironment for an unknown identifier (with the nearest known ones), for a simulator
    that is not installed (with the line that installs it) and for spaces that the agent cannot use.
    """
    with _quiet_construction():
        environment = _build(identifier, render_mode)
    try:
        return Environment(environment, name=identifier, discrete=discrete)
    except InvalidEnvironment:
        environment.close()
        raise


def _build(identifier: str, render_mode: str | None) -> gymnasium.Env:
    # Left out where nothing is drawn: not every environment knows the argument.
    wanted: dict[str, Any] = {} if render_mode is None else {"render_mode": render_mode}
    module_name, colon, name = identifier.partition(":")
    if colon:
        module = _module(module_name, identifier)
        if hasattr(module, name):
            return _called(getattr(module, name), identifier, wanted)
    elif identifier not in gymnasium.registry:
        if (task := control_suite.task_of(identifier)) is not None:
            return control_suite.make(*task, render_mode)
        if identifier.startswith(ROBOTICS_FAMILIES):
            _module(ROBOTICS, identifier)
    try:
        return gymnasium.make(identifier, disable_env_checker=True, **wanted)
    except gymnasium.error.DependencyNotInstalled as error:
        remedy = _pip("mujoco") if "mujoco" in str(error).lower() else _first_line(error)
        raise InvalidEnvironment(f"{identifier}: its simulator is not installed: {remedy}") from error
    except ModuleNotFoundError as error:
        raise InvalidEnvironment(
            f"{identifier} needs {error.name}, which is not installed: {_pip(error.name)}"
        ) from error
    except (gymnasium.error.Error, ImportError) as error:
        said = f"the module {module_name} has nothing called {name!r}. " if colon else ""
        raise InvalidEnvironment(
            f"unknown environment {identifier!r}: {said}{_first_line(error)} "
            f"Nearest known ids: {_listed(nearest(name or identifier))}"
        ) from error


def _module(module_name: str, identifier: str) -> Any:
    """The module, looked for in the working directory as well: where a user's own environment is written."""
    here = os.getcwd()
    if not {here, ""} & set(sys.path):
        sys.path.append(here)
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        if module_name == missing or module_name.startswith(f"{missing}."):
            raise InvalidEnvironment(
                f"unknown environment {identifier!r}: there is no module {missing} here: {_pip(missing)}"
            ) from error
        raise InvalidEnvironment(f"{identifier} needs {missing}, which is not installed: {_pip(missing)}") from error
    except (ImportError, ValueError) as error:
        raise InvalidEnvironment(f"{identifier}: importing {module_name} failed: {_first_line(error)}") from error


def _called(entry: Any, identifier: str, wanted: dict[str, Any]) -> gymnasium.Env:
    """What a class or function makes of no arguments, or of the render mode where one is asked for."""
    if not callable(entry):
        raise InvalidEnvironment(
            f"{identifier} is {type(entry).__name__}; expected a class or a function that returns a gymnasium.Env"
        )
    try:
        environment = entry(**wanted)
    except TypeError as error:
        given = f"{wanted}" if wanted else "no arguments"
        raise InvalidEnvironment(
            f"{identifier} cannot be called with {given}: {_first_line(error)} "
            "Write a function around it that needs nothing else"
        ) from error
    if not isinstance(environment, gymnasium.Env):
        raise InvalidEnvironment(
            f"{identifier} returned {type(environment).__module__}.{type(environment).__qualname__}; expected a "
            "gymnasium.Env (an environment of the older gym package is wrapped by Shimmy's GymV26CompatibilityV0)"
        )
    return environment


@contextlib.contextmanager
def _quiet_construction() -> Iterator[None]:
    """Keep remarks on model files and id versions off the terminal; warnings of a running simulation are not touched.

    MuJoCo's compiler prints a deprecation for Gymnasium's own model files at every construction, and appends it to a
    log file in the working directory. dm_control warns where there is no display, which training does without.
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


def _pip(module: str | None) -> str:
    """The line that installs what brings ``module``."""
    package = (module or "").partition(".")[0]
    return f'pip install "roer[{EXTRAS[package]}]"' if package in EXTRAS else f"install what provides {package!r}"


def _examples() -> list[str]:
    return ["HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "InvertedPendulum-v5", "Pendulum-v1"]


def _discrete_examples() -> list[str]:
    return ["CartPole-v1", "Acrobot-v1", "MountainCar-v0"]


def _listed(identifiers: list[str]) -> str:
    return ", ".join(identifiers)


def _first_line(error: BaseException) -> str:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip()
    return line if line.endswith((".", "?", "!")) else f"{line}."
