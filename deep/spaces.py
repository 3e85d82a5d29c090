"""Spaces as the learner sees them: observations as flat float32 rows, actions in [-1, 1]^U.

Actions are rescaled dimension by dimension, so that a box with different bounds in each dimension is reached to its
corners. Structured observations are laid end to end in the order in which the space lists its parts, which for a
dictionary is Gymnasium's own: the order of :func:`gymnasium.spaces.flatten`.
"""

from typing import Any, NamedTuple

import gymnasium
import numpy as np
from jaxtyping import Float32, Float64
from numpy.typing import NDArray

from deep.errors import InvalidEnvironment


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
        """The map onto ``space``; InvalidEnvironment for integers and for bounds that are not finite."""
        if space.dtype is None or not np.issubdtype(space.dtype, np.floating):
            raise InvalidEnvironment(
                f"{name}: the actions are {space.dtype} numbers ({space}), but the agent's are continuous: "
                "expected a Box of floats"
            )
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

    def encode(self, action: Float32[np.ndarray, "*N U"]) -> NDArray[Any]:
        """The environment's action: clipped, because rounding may step over a bound by one unit in the last place."""
        scaled = (self.centre + self.half * action).astype(self.low.dtype)
        return np.minimum(np.maximum(scaled, self.low), self.high).reshape(action.shape[:-1] + self.shape)

    def decode(self, action: NDArray[Any]) -> Float32[np.ndarray, "*N U"]:
        """The learner's action of the environment's, which :meth:`encode` inverts; what lies outside is clipped."""
        flat = np.asarray(action, np.float64).reshape(*action.shape[: action.ndim - len(self.shape)], self.size)
        return np.clip((flat - self.centre) / self.half, -1.0, 1.0).astype(np.float32)

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


class Flattening(NamedTuple):
    """Observations of a space as rows of ``size`` float32 numbers.

    ``leaves`` are the parts that are arrays, each with the keys and positions that lead to it: one leaf with no path
    for a plain Box. What is no Box (a number, a set of flags) becomes the one-hot code that Gymnasium gives it.
    """

    leaves: tuple[tuple[tuple[str | int, ...], gymnasium.Space], ...]
    size: int

    @classmethod
    def of(cls, space: gymnasium.Space, name: str) -> "Flattening":
        """The form of ``space``; InvalidEnvironment for a space without one (texts, graphs, sequences)."""
        try:
            flat = gymnasium.spaces.flatten_space(space)
        except NotImplementedError:
            flat = None
        if not isinstance(flat, gymnasium.spaces.Box):
            raise InvalidEnvironment(
                f"{name}: the observation space is {space}, which has no flat array form; expected a Box, "
                "or a Dict or Tuple of such (wrap the environment in gymnasium.wrappers.TransformObservation)"
            )
        return cls(_leaves(space, ()), int(np.prod(flat.shape)))

    def row(self, observation: Any) -> Float32[np.ndarray, " O"]:
        """One observation, in memory of its own: an environment may hand out the same buffer at every step."""
        with np.errstate(over="ignore"):  # what exceeds float32 becomes infinite and is reported as such
            if self.leaves[0][0] == () and isinstance(self.leaves[0][1], gymnasium.spaces.Box):
                return np.array(observation, dtype=np.float32).reshape(-1)
            parts = [_coded(space, _at(observation, path)) for path, space in self.leaves]
            return np.concatenate([np.asarray(part, dtype=np.float32).reshape(-1) for part in parts])

    def rows(self, observations: Any, count: int) -> Float32[np.ndarray, "N O"]:
        """``count`` observations whose parts are stacked along a first axis, as vectors and data sets hold them."""
        parts = []
        with np.errstate(over="ignore"):
            for path, space in self.leaves:
                stacked = _at(observations, path)
                if not isinstance(space, gymnasium.spaces.Box):
                    stacked = np.stack([_coded(space, entry) for entry in stacked])
                parts.append(np.array(stacked, dtype=np.float32).reshape(count, -1))
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def _leaves(space: gymnasium.Space, path: tuple) -> tuple[tuple[tuple[str | int, ...], gymnasium.Space], ...]:
    if isinstance(space, gymnasium.spaces.Dict):
        inside = list(space.spaces.items())
    elif isinstance(space, gymnasium.spaces.Tuple):
        inside = list(enumerate(space.spaces))
    else:
        return ((path, space),)
    return tuple(leaf for key, part in inside for leaf in _leaves(part, (*path, key)))


def _at(observation: Any, path: tuple) -> Any:
    for key in path:
        observation = observation[key]
    return observation


def _coded(space: gymnasium.Space, value: Any) -> Any:
    return value if isinstance(space, gymnasium.spaces.Box) else gymnasium.spaces.flatten(space, value)
