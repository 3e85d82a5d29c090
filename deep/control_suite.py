"""The DeepMind Control Suite (Tassa et al. 2018, arXiv:1801.00690) behind Gymnasium's interface; the extra ``dmc``.

Three things are settled here, because a run that is resumed or compared depends on them:

* **Ends.** dm_env marks the last step of an episode and gives it a discount: 0 where the task ended, 1 where time was
  up. The first is ``terminated``, the second ``truncated``. At its time limit the suite never asks the task whether it
  ended as well, so that is asked here: both flags are set where both hold.
* **Seeds.** A suite task draws from one generator for its whole life. Every ``reset`` with a seed starts that generator
  anew, so an episode is a function of its seed and its actions, whatever was played before. What a task draws when it
  is built (the masses of ``lqr-*``) is drawn from the same seed in every process: it is part of the task.
* **Order.** The parts of an observation are laid end to end in the order in which the task lists them.

One step of this environment is one control step of the suite (1 to 15 steps of its physics); there is no further
action repeat. Episodes have 1000 steps and rewards lie in [0, 1], those of ``lqr-*`` aside, which have no limit.
"""

import difflib
import re
import warnings
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Float64, UInt8

from deep.errors import Diverged, InvalidEnvironment

__all__ = ["ControlSuite", "make", "names", "task_of"]

PREFIX = "dm_control/"
FORM = re.compile(rf"(?:{PREFIX})?(?P<domain>[A-Za-z_]+)-(?P<task>[a-z][a-z_0-9]*)")
VERSION = re.compile(r"v\d+")
SUGGESTIONS = 5
WIDTH, HEIGHT = 480, 480


class ControlSuite(gymnasium.Env):
    """One task of the suite: ``environment`` as :func:`dm_control.suite.load` returns it, ``name`` for messages.

    Observations are flat float64 arrays, actions the task's own box (its bounds differ between dimensions in some
    domains). With ``render_mode="rgb_array"``, :meth:`render` returns a frame of the domain's first camera.
    """

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012 (Gymnasium's own form)

    def __init__(self, environment: Any, name: str, render_mode: str | None = None) -> None:
        from dm_control.rl.control import PhysicsError

        self.environment, self.name, self.render_mode = environment, name, render_mode
        self._refused = PhysicsError
        self.metadata = self.metadata | {"render_fps": round(1.0 / environment.control_timestep())}
        self._parts = environment.observation_spec()
        size = sum(int(np.prod(part.shape)) for part in self._parts.values())
        actions = environment.action_spec()
        low, high = (np.broadcast_to(bound, actions.shape).copy() for bound in (actions.minimum, actions.maximum))
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float64)
        self.action_space = gymnasium.spaces.Box(low, high, actions.shape, actions.dtype)
        self._renderer: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        """Start an episode; with a seed, the one that belongs to it."""
        super().reset(seed=seed)
        # dm_control 1.0.50 sets the shape of arrays, which NumPy 2.5 deprecates: nothing that a user could act on.
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"dm_control\.")
        if seed is not None:
            self.environment.task.random.seed(seed)
        return self._flat(self.environment.reset().observation), {}

    def step(self, action):
        """One control step; Diverged when the simulation's state is no longer finite."""
        try:
            step = self.environment.step(action)
        except self._refused as error:
            tried = np.array(action).tolist()
            raise Diverged(
                f"{self.name}: the simulator's state is not finite after the action {tried}: {error}"
            ) from error
        if step.first():
            raise gymnasium.error.ResetNeeded("the episode is over (or has not begun); call reset() before step()")
        over = step.last()
        truncated = bool(over and step.discount)
        terminated = bool(over and (not truncated or self.environment.task.get_termination(self._physics) == 0.0))
        return self._flat(step.observation), float(step.reward), terminated, truncated, {}

    def render(self) -> UInt8[np.ndarray, "height width 3"] | None:
        """The frame, drawn by Gymnasium's renderer: the same back ends (``MUJOCO_GL``) as its own MuJoCo tasks."""
        if self.render_mode is None:
            return None
        if self._renderer is None:
            from gymnasium.envs.mujoco.mujoco_rendering import MujocoRenderer

            model, data = self._physics.model.ptr, self._physics.data.ptr
            # A buffer larger than the model declares has to be declared first.
            model.vis.global_.offwidth = max(WIDTH, model.vis.global_.offwidth)
            model.vis.global_.offheight = max(HEIGHT, model.vis.global_.offheight)
            self._renderer = MujocoRenderer(model, data, width=WIDTH, height=HEIGHT, camera_id=min(0, model.ncam - 1))
        return self._renderer.render("rgb_array")

    def close(self) -> None:
        """Release the simulator and its window."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
        self.environment.close()

    @property
    def _physics(self) -> Any:
        return self.environment.physics

    def _flat(self, observation: dict[str, Any]) -> Float64[np.ndarray, " O"]:
        return np.concatenate([np.asarray(observation[part], np.float64).reshape(-1) for part in self._parts])


def task_of(identifier: str) -> tuple[str, str] | None:
    """Domain and task of "fish-swim" or "dm_control/fish-swim"; None for what does not have that form.

    "CartPole-v1" does not: a version is no task.
    """
    match = FORM.fullmatch(identifier)
    if match is None or VERSION.fullmatch(match["task"]):
        return None
    return match["domain"], match["task"]


def make(domain: str, task: str, render_mode: str | None = None) -> ControlSuite:
    """The task of the suite; InvalidEnvironment when the suite is not installed or has no such task."""
    try:
        from dm_control import suite
    except ModuleNotFoundError as error:
        raise InvalidEnvironment(
            f"{domain}-{task} reads as a task of the DeepMind Control Suite, which needs {error.name}, and that is not "
            'installed: pip install "roer[dmc]". (Environments of Gymnasium are written like "HalfCheetah-v5")'
        ) from error
    if (domain, task) not in suite.ALL_TASKS:
        known = names()
        close = difflib.get_close_matches(f"{domain}-{task}", known, n=SUGGESTIONS, cutoff=0.5)
        raise InvalidEnvironment(
            f"unknown environment '{domain}-{task}': the DeepMind Control Suite has no such task. "
            f"Nearest: {', '.join(close or known)}"
        )
    return ControlSuite(suite.load(domain, task, task_kwargs={"random": 0}), f"{domain}-{task}", render_mode)


def names() -> list[str]:
    """The tasks of the installed suite, as they are typed."""
    from dm_control import suite

    return [f"{domain}-{task}" for domain, task in suite.ALL_TASKS]
