"""What a learner may do with a decision process: start, act, and see where that leads.

A `Task` is an `MDP` that is sampled. It keeps to the MDP's conventions: rewards are the expectations `r(s, a)`, and an
episode ends on entering a *terminal* state, one that only repeats itself with reward 0 (`MDP.terminal`). There the
value is zero, so learners cut the bootstrap; what merely stops watching (a horizon) does not.

Everything is vectorised over `R` independent replications, and every draw comes from the generator handed in.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int
from scipy import sparse

from reference.mdp import MDP

__all__ = ["Behaviour", "Step", "Task", "bootstrapped", "draw", "epsilon_greedy", "exploring", "following"]

Behaviour = Callable[[Float64[np.ndarray, "R A"], Int[np.ndarray, " R"]], Float64[np.ndarray, "R A"]]
"""Probabilities of actions from the current row of the table, `-inf` where unavailable, and the state."""


@dataclass(frozen=True, eq=False, init=False)
class Task:
    """An MDP to be sampled, under a discount in `[0, 1]`.

    * `discount`: that of the MDP if not given. 1 is allowed where there are terminal states: values are then sums of
      rewards until the end, and exist for policies that reach it (`reference.learning.undiscounted`).
    * `columns`, `cumulative` `(S*A, W)`: successors of each pair and their cumulative probabilities.

    The law that is sampled differs from the floats of the MDP by rounding only: less than `(2 W + 4) u` per successor.
    `ValueError` if the discount is none, or if `mdp.initial` starts only where everything is over.
    """

    mdp: MDP
    discount: float
    terminal: Bool[np.ndarray, " S"]
    columns: Int[np.ndarray, "SA W"]
    cumulative: Float64[np.ndarray, "SA W"]
    starts: Float64[np.ndarray, " S"]

    def __init__(self, mdp: MDP, discount: float | None = None) -> None:
        discount = mdp.discount if discount is None else float(discount)
        terminal = mdp.terminal
        if not 0.0 <= discount <= 1.0 or (discount == 1.0 and not terminal.any()):
            raise ValueError(
                f"discount is {discount!r}: expected 0 <= discount < 1, or 1 for a process with terminal states "
                f"({int(terminal.sum())} here)."
            )
        starts = np.where(terminal, 0.0, mdp.initial)
        if not starts.any():
            raise ValueError("every first state of the MDP is terminal: expected an initial state where one can act.")
        rows = sparse.csr_array(mdp.matrix)
        lengths = np.diff(rows.indptr)
        width = max(1, int(lengths.max()))
        columns = np.zeros((mdp.rewards.size, width), dtype=np.int64)
        probabilities = np.zeros(columns.shape)
        place = np.repeat(np.arange(len(lengths)), lengths), np.arange(rows.nnz) - np.repeat(rows.indptr[:-1], lengths)
        columns[place], probabilities[place] = rows.indices, rows.data
        fields = {
            "mdp": mdp,
            "discount": discount,
            "terminal": terminal,
            "columns": columns,
            "cumulative": _closed(probabilities),
            "starts": _closed((starts / starts.sum())[None])[0],
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def start(self, rng: np.random.Generator, count: int) -> Int[np.ndarray, " R"]:
        """First states, from `mdp.initial` given that the episode is not over before it begins."""
        return np.searchsorted(self.starts, rng.random(count), side="right")

    def step(
        self, rng: np.random.Generator, states: Int[np.ndarray, " R"], actions: Int[np.ndarray, " R"]
    ) -> Int[np.ndarray, " R"]:
        """One next state for each pair."""
        pairs = states * self.mdp.n_actions + actions
        place = (self.cumulative[pairs] <= rng.random(len(pairs))[:, None]).sum(axis=1)
        return self.columns[pairs, place]

    def go_on(self, rng: np.random.Generator, states: Int[np.ndarray, " R"]) -> Int[np.ndarray, " R"]:
        """`states`, with a fresh start where an episode has ended."""
        ended = self.terminal[states]
        if not ended.any():
            return states
        fresh = states.copy()
        fresh[ended] = self.start(rng, int(ended.sum()))
        return fresh

    def table(self, replications: int, start: float | np.ndarray = 0.0) -> Float64[np.ndarray, "R S A"]:
        """Action values to begin with: `start` (a number or `(S, A)`), 0 in terminal states, `-inf` if unavailable."""
        values = np.where(self.terminal[:, None], 0.0, np.broadcast_to(start, self.mdp.rewards.shape))
        return np.tile(np.where(self.mdp.available, values, -np.inf), (replications, 1, 1))


@dataclass(frozen=True, eq=False)
class Step:
    """One step of `R` learners at once. The next step overwrites the table: copy what is to be kept.

    * `number`: 1, 2, ...; `table`: `(R, S)` or `(R, S, A)`, after the update (`(R, 2, S, A)` in double Q-learning).
    * `states`, `actions`, `rewards`, `next_states`, `ended` `(R,)`: the transitions, `ended` where the next state is
      terminal; `next_states` are those before a fresh start.
    * `counts`, `step_sizes` `(R,)`: how often the updated entry has been updated, and by which step size this time.
    * `which` `(R,)`: the table that was updated, in double Q-learning.
    """

    number: int
    table: np.ndarray
    states: Int[np.ndarray, " R"]
    actions: Int[np.ndarray, " R"]
    rewards: Float64[np.ndarray, " R"]
    next_states: Int[np.ndarray, " R"]
    ended: Bool[np.ndarray, " R"]
    counts: Int[np.ndarray, " R"]
    step_sizes: Float64[np.ndarray, " R"]
    which: Int[np.ndarray, " R"] | None = None


def bootstrapped(
    rewards: Float64[np.ndarray, "..."],
    factor: float | np.ndarray,
    next_values: Float64[np.ndarray, "..."],
    ended: Bool[np.ndarray, "..."],
) -> Float64[np.ndarray, "..."]:
    """The target `reward + factor * value of what follows`, which is nothing where the episode has ended."""
    return rewards + factor * np.where(ended, 0.0, next_values)


def draw(rng: np.random.Generator, probabilities: Float64[np.ndarray, "R A"]) -> Int[np.ndarray, " R"]:
    """One index for each row, never one of probability zero."""
    return (_closed(probabilities) <= rng.random(len(probabilities))[:, None]).sum(axis=1)


def _closed(probabilities: Float64[np.ndarray, "N A"]) -> Float64[np.ndarray, "N A"]:
    """Cumulative sums, with the last possible entry taking what rounding leaves below one."""
    cumulative = np.cumsum(probabilities, axis=1)
    last = probabilities.shape[1] - 1 - (probabilities[:, ::-1] > 0.0).argmax(axis=1)
    cumulative[np.arange(probabilities.shape[1]) >= last[:, None]] = np.inf
    return cumulative


def epsilon_greedy(q: Float64[np.ndarray, "... A"], epsilon: float) -> Float64[np.ndarray, "... A"]:
    """`1 - epsilon + epsilon / n` for the first best action, `epsilon / n` for the others, of `n` available (RL-11).

    Actions of value `-inf` are not available. `ValueError` unless `epsilon` is a probability.
    """
    if not 0.0 <= epsilon <= 1.0:
        raise ValueError(f"epsilon is {epsilon!r}: expected a probability.")
    available = q > -np.inf
    share = epsilon / available.sum(axis=-1, keepdims=True)
    best = np.arange(q.shape[-1]) == q.argmax(axis=-1)[..., None]
    return np.where(available, share, 0.0) + np.where(best, 1.0 - epsilon, 0.0)


def exploring(epsilon: float) -> Behaviour:
    """The behaviour that is epsilon-greedy for the table as it stands."""
    return lambda rows, states: epsilon_greedy(rows, epsilon)


def following(policy: Float64[np.ndarray, "S A"]) -> Behaviour:
    """The behaviour that follows a policy whatever the table says."""
    return lambda rows, states: policy[states]
