"""A generator of random numbers that says what it is told, so that a learner meets every transition exactly once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reference.mdp import MDP


class Scripted(np.random.Generator):
    """Hands out the given uniform numbers, call by call, and coins for `integers`; fails if asked for another size."""

    def __init__(self, numbers: list[np.ndarray], coin: int = 0) -> None:
        super().__init__(np.random.PCG64(0))
        self.numbers, self.coin = list(numbers), coin

    def random(self, size=None, dtype=np.float64, out=None):
        following = self.numbers.pop(0) if self.numbers else np.zeros(size)
        assert following.shape == (size,), f"the learner asked for {size} numbers, the script holds {following.shape}"
        return following

    def integers(self, low, high=None, size=None, dtype=np.int64, endpoint=False):
        return np.full(size, self.coin)


@dataclass(frozen=True)
class Paths:
    """All paths of `length` steps from every pair: `(N, length + 1)` states and actions, and their probabilities."""

    states: np.ndarray
    actions: np.ndarray
    weights: np.ndarray

    @property
    def first(self) -> tuple[np.ndarray, np.ndarray]:
        return self.states[:, 0], self.actions[:, 0]


def paths(mdp: MDP, policy: np.ndarray, length: int) -> Paths:
    """Every path of positive probability, enumerated; terminal states are followed by themselves."""
    rows = np.asarray(mdp.to_dense().transitions)
    grown = [((int(s),), (int(a),), 1.0) for s, a in np.argwhere(mdp.available & ~mdp.terminal[:, None])]
    for _ in range(length):
        grown = [
            ((*states, int(t)), (*actions, int(b)), weight * rows[states[-1], actions[-1], t] * policy[t, b])
            for states, actions, weight in grown
            for t in np.flatnonzero(rows[states[-1], actions[-1]])
            for b in np.flatnonzero(policy[t])
        ]
    states, actions, weights = zip(*grown, strict=True)
    return Paths(np.array(states), np.array(actions), np.array(weights))


def uniform_for(probabilities: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Numbers in the middle of the interval of the chosen entries, row by row."""
    rows = np.arange(len(chosen))
    mass = probabilities[rows, chosen]
    before = np.where(np.arange(probabilities.shape[1]) < chosen[:, None], probabilities, 0.0).sum(axis=1)
    return np.minimum(before + 0.5 * mass, 1.0 - 2.0**-53)


def expectation(mdp: MDP, found: Paths, values: np.ndarray) -> np.ndarray:
    """Sums of `values` weighted by the probabilities of the paths, for every first pair."""
    total = np.zeros(mdp.rewards.shape)
    np.add.at(total, found.first, found.weights * values)
    return total
