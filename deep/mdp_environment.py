"""A finite decision process of ``reference`` as a Gymnasium environment.

The learner that is trained on MuJoCo is run, through the same loop, on problems whose exact solution is known.
"""

from typing import Any, NamedTuple

import gymnasium
import numpy as np
from jaxtyping import Float32, Float64
from numpy.typing import NDArray

from reference.mdp import MDP


class MDPEnvironment(gymnasium.Env):
    """A finite decision process as a Gymnasium environment.

    Observations are one-hot rows of the S states, actions are Discrete(A). An episode starts in a state drawn from
    ``mdp.initial`` and terminates on entering a state of ``mdp.terminal``. An episode that starts in a terminal state
    (a uniform initial distribution allows it) ends with its first step, reward 0, whatever the action. ``info`` carries
    ``state`` and the ``action_mask`` of the available actions; an unavailable action raises ``ValueError``.
    There is no time limit: wrap in ``gymnasium.wrappers.TimeLimit`` to have episodes truncated.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 (Gymnasium's own form)

    def __init__(self, mdp: MDP) -> None:
        self.mdp = mdp
        states, actions = mdp.rewards.shape
        self.observation_space = gymnasium.spaces.Box(0.0, 1.0, (states,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(actions)
        self._terminal = np.asarray(mdp.terminal)
        self._initial = _Law.of(np.arange(states), np.asarray(mdp.initial))
        self._rows: dict[tuple[int, int], _Law] = {}
        self.state: int | None = None

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """Draw the initial state, or take ``options["state"]``."""
        super().reset(seed=seed)
        chosen = (options or {}).get("state")
        self.state = self._initial.draw(self.np_random) if chosen is None else int(chosen)
        return self._observation(), self._info()

    def step(self, action):
        """One transition: reward ``r(s, a)``, successor drawn from ``P(.|s, a)``."""
        if self.state is None:
            raise gymnasium.error.ResetNeeded("MDPEnvironment: call reset() before step()")
        state, action = self.state, int(action)
        if self._terminal[state]:
            return self._observation(), 0.0, True, False, self._info()
        if not self.mdp.available[state, action]:
            allowed = np.flatnonzero(self.mdp.available[state]).tolist()
            raise ValueError(
                f"MDPEnvironment: action {action} is not available in state {state}; expected one of {allowed}"
            )
        if (state, action) not in self._rows:
            self._rows[state, action] = _Law.of(*_row(self.mdp, state, action))
        self.state = self._rows[state, action].draw(self.np_random)
        reward = float(self.mdp.rewards[state, action])
        return self._observation(), reward, bool(self._terminal[self.state]), False, self._info()

    def _observation(self) -> Float32[np.ndarray, " S"]:
        observation = np.zeros(self.mdp.rewards.shape[0], np.float32)
        observation[self.state] = 1.0
        return observation

    def _info(self) -> dict[str, Any]:
        return {"state": self.state, "action_mask": self.mdp.available[self.state].astype(np.int8)}


class _Law(NamedTuple):
    """A distribution on a few states, drawn by inversion: one uniform number for each draw."""

    states: NDArray[np.int64]
    cumulative: Float64[np.ndarray, " N"]

    @classmethod
    def of(cls, states: NDArray[Any], probabilities: NDArray[Any]) -> "_Law":
        positive = probabilities > 0
        return cls(np.asarray(states)[positive].astype(np.int64), np.cumsum(probabilities[positive]))

    def draw(self, generator: np.random.Generator) -> int:
        # Scaled by the sum, which may miss one by rounding; held at the last state, which a rounded product can pass.
        at = int(np.searchsorted(self.cumulative, generator.random() * self.cumulative[-1], side="right"))
        return int(self.states[min(at, self.states.size - 1)])


def _row(mdp: MDP, state: int, action: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Successors of (state, action) and their probabilities, of a dense or a CSR process."""
    if not mdp.is_sparse:
        row = np.asarray(mdp.transitions)[state, action]
        return np.arange(row.size), row
    csr: Any = mdp.transitions
    at = state * mdp.rewards.shape[1] + action
    entries = slice(csr.indptr[at], csr.indptr[at + 1])
    return csr.indices[entries], csr.data[entries]
