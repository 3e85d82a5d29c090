"""From choices, as model checkers count them, to pairs of state and action.

A model checker lists for each state its choices, each with a distribution over next states, and may label them with
actions. Where no state has two choices of the same action, the actions keep their numbers. Otherwise labels do not tell
the choices apart, and each state numbers its own in their order.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float64, Int64

from reference.layout import laid_out, merged
from reference.mdp import MDP, InvalidMDP
from reference.memory import require_memory

__all__ = ["Choices", "chosen_reward"]


def chosen_reward(names: Iterable[str], asked: str | None) -> str:
    """The reward model that is `asked` for, or the only one. Raises `ValueError`, naming those that there are."""
    known = sorted(names)
    if asked is None and len(known) == 1:
        return known[0]
    if asked is not None and asked in known:
        return asked
    seen = "which one to take was not said" if asked is None else f"none is called {asked!r}"
    raise ValueError(
        f"has the reward models {', '.join(known)}, and {seen}: expected reward= with one of these names."
        if known
        else "has no reward model: expected one, from which r(s, a) is taken."
    )


@dataclass(frozen=True, eq=False)
class Choices:
    """A process in the form of the model checkers: `C` choices with `B` branches.

    * `starts`: `(S + 1,)`; the choices of state `s` are `starts[s]` up to `starts[s + 1]`.
    * `actions`: `(C,)` the action of each choice, below `n_actions`; or None.
    * `choice`, `target`, `probability`: `(B,)` the choice that a branch belongs to, its next state and its probability.
    * `rewards`: `(C,)`, of state, choice and branches together.
    """

    starts: Int64[np.ndarray, " S_plus_1"]
    actions: Int64[np.ndarray, " C"] | None
    n_actions: int
    choice: Int64[np.ndarray, " B"]
    target: Int64[np.ndarray, " B"]
    probability: Float64[np.ndarray, " B"]
    rewards: Float64[np.ndarray, " C"]

    def to_mdp(self, discount: float, initial: npt.ArrayLike | None, grid: Any = None) -> MDP:
        """The MDP; branches of a choice that lead to the same state are added up. Raises `InvalidMDP`."""
        counts = np.diff(self.starts)
        n_states = len(counts)
        state = np.repeat(np.arange(n_states), counts)
        action, n_actions = self._numbered(state, counts)
        if n_actions == 0:
            raise InvalidMDP("no state has a choice: expected at least one in every state.")
        require_memory(
            40.0 * n_states * n_actions + 60.0 * len(self.probability),
            f"a process of {n_states} states, {n_actions} actions and {len(self.probability)} branches",
            "Use a smaller model.",
        )
        shape = (n_states, n_actions)
        rewards, available = np.zeros(shape), np.zeros(shape, dtype=np.bool_)
        rewards[state, action], available[state, action] = self.rewards, True
        matrix = merged((state[self.choice], action[self.choice], self.target, self.probability), shape)
        return MDP(laid_out(matrix, shape), rewards, discount, initial, available, grid)

    def _numbered(self, state: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, int]:
        """The number of each choice among the actions of its state, and how many there are."""
        if self.actions is not None:
            order = np.lexsort((self.actions, state))
            twice = (np.diff(state[order]) == 0) & (np.diff(self.actions[order]) == 0)
            if not twice.any():
                return self.actions, self.n_actions
        return np.arange(len(state)) - self.starts[state], int(counts.max())
