"""Decision processes whose optimal values are known in closed form, each with its source.

`exact` values are rationals for the very floats of the MDP: the closed form is evaluated in `Fraction` at the stored
discount and rewards, and all transition probabilities are dyadic, so nothing is rounded on the way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float64

from reference.layout import laid_out, merged
from reference.mdp import MDP

SUTTON = "Sutton and Barto, Reinforcement Learning, 2nd edition (2018)"


@dataclass(frozen=True, eq=False)
class NamedMDP:
    """An MDP, its exact optimal values, and where both come from.

    `soft_alpha` and `soft_values` are given where the soft optimum is known as well.
    """

    mdp: MDP
    exact: tuple[Fraction, ...]
    source: str
    soft_alpha: float | None = None
    soft_values: Float64[np.ndarray, " S"] | None = None

    @property
    def values(self) -> Float64[np.ndarray, " S"]:
        """`exact`, correctly rounded."""
        return np.array([float(value) for value in self.exact])


def deterministic(
    successors: Sequence[Sequence[int]],
    rewards: npt.ArrayLike,
    discount: float,
    available: Bool[np.ndarray, "S A"] | None = None,
    grid: tuple[int, int] | None = None,
) -> MDP:
    """An MDP in which pair `(s, a)` leads to state `successors[s][a]` for certain."""
    target = np.array(successors)
    state, action = np.indices(target.shape)
    matrix = merged((state.ravel(), action.ravel(), target.ravel(), np.ones(target.size)), target.shape)
    transitions = laid_out(matrix, target.shape)
    return MDP(transitions, np.array(rewards, dtype=np.float64), discount, available=available, grid=grid)


def puterman(discount: float) -> NamedMDP:
    """The two-state example. The short-sighted action is best up to discount 10/11, the patient one above."""
    transitions = np.array([[[0.5, 0.5], [0.0, 1.0]], [[0.0, 1.0], [0.0, 0.0]]])
    available = np.array([[True, True], [True, False]])
    mdp = MDP(transitions, np.array([[5.0, 10.0], [-1.0, 0.0]]), discount, available=available)
    g = Fraction(discount)
    stay, leave = (5 - g * Fraction(11, 2)) / ((1 - g / 2) * (1 - g)), (10 - 11 * g) / (1 - g)
    return NamedMDP(mdp, (max(stay, leave), -1 / (1 - g)), "Puterman, Markov Decision Processes (1994), section 3.1")


def recycling_robot(discount: float = 0.9) -> NamedMDP:
    """States high and low; actions search, wait, recharge; searching keeps the charge with probability 3/4 and 1/2."""
    transitions = np.array([
        [[0.75, 0.25], [1.0, 0.0], [0.0, 0.0]],
        [[0.5, 0.5], [0.0, 1.0], [1.0, 0.0]],
    ])  # fmt: skip
    rewards = np.array([[2.0, 1.0, 0.0], [0.5 * 2.0 - 0.5 * 3.0, 1.0, 0.0]])
    available = np.array([[True, True, False], [True, True, True]])
    mdp = MDP(transitions, rewards, discount, available=available)
    g = Fraction(discount)
    high = 2 / (1 - g * Fraction(3, 4) - g * g / 4)  # search when high, recharge when low
    return NamedMDP(mdp, (high, g * high), f"{SUTTON}, example 3.3, with alpha = 3/4, beta = 1/2, rewards 2 and 1")


def special_gridworld(discount: float = 0.9) -> NamedMDP:
    """The 5 x 5 grid in which every action in A pays 10 and leads to A', in B pays 5 and leads to B'."""
    side, steps = 5, [(-1, 0), (0, 1), (1, 0), (0, -1)]  # up, right, down, left
    jumps = {(0, 1): ((4, 1), 10.0), (0, 3): ((2, 3), 5.0)}
    successors, rewards = [], []
    for row, column in np.ndindex(side, side):
        ends, pays = [], []
        for down, right in steps:
            cell, reward = jumps.get((row, column), ((row + down, column + right), 0.0))
            if not (0 <= cell[0] < side and 0 <= cell[1] < side):
                cell, reward = (row, column), -1.0
            ends.append(cell[0] * side + cell[1])
            pays.append(reward)
        successors.append(ends)
        rewards.append(pays)
    g = Fraction(discount)
    best_a = 10 / (1 - g**5)  # A' is four steps below A
    best_b = 5 + g**5 * best_a  # from B' back to A in four steps
    exact = []
    for row, column in np.ndindex(side, side):
        # B throws who steps on it: the way to A from its right, in the top row, goes around.
        detour = 2 if row == 0 and column > 3 else 0
        via_a, via_b = row + abs(column - 1) + detour, row + abs(column - 3)
        exact.append(best_b if via_b == 0 else max(g**via_a * best_a, g**via_b * best_b))
    mdp = deterministic(successors, rewards, discount, grid=(side, side))
    return NamedMDP(mdp, tuple(exact), f"{SUTTON}, examples 3.5 and 3.8")


def truncated_iteration() -> NamedMDP:
    """Three states on which truncated policy iteration makes policies worse for a while (RL-09)."""
    mdp = deterministic([[2, 0], [0, 1], [0, 1]], [[-1, -4], [1, 0], [-1, 0]], 0.5)
    return NamedMDP(mdp, (Fraction(-6, 7), Fraction(4, 7), Fraction(2, 7)), "counterexample RL-09, n = 2")


def truncated_iteration_once() -> NamedMDP:
    """Two states on which even one sweep of value iteration makes the greedy policy worse (RL-09)."""
    mdp = deterministic([[1, 0], [1, 0]], [[4, -4], [1, 1]], 0.5)
    return NamedMDP(mdp, (Fraction(6), Fraction(4)), "counterexample RL-09, n = 1")


def loop_or_stop() -> NamedMDP:
    """Loop for `log 3` or stop for `log 4`: the Boltzmann policy of `Q_pi` is not `pi` (SAC-05).

    The soft value at temperature 1 is `2 log 4` for the real logarithms; the floats move it by one rounding each,
    times at most `1 / (1 - gamma) = 2`.
    """
    loop, stop = float(np.log(3.0)), float(np.log(4.0))
    available = np.array([[True, True], [True, False]])
    mdp = deterministic([[0, 1], [1, 1]], [[loop, stop], [0.0, 0.0]], 0.5, available)
    soft = np.array([2.0 * np.log(4.0), 0.0])
    return NamedMDP(mdp, (2 * Fraction(loop), Fraction(0)), "counterexample SAC-05", 1.0, soft)


def bandit(discount: float = 0.75) -> NamedMDP:
    """One state, three arms, two of them equally good."""
    mdp = deterministic([[0, 0, 0]], [[1.0, 0.0, 1.0]], discount)
    best = 1 / (1 - Fraction(discount))
    # Equal arms share the policy: exp(v / alpha) with v = r + gamma v + alpha log(2 + exp(-1 / alpha)).
    soft = (1.0 + np.log(2.0 + np.exp(-1.0))) / (1.0 - discount)
    return NamedMDP(mdp, (best,), "geometric series", 1.0, np.array([soft]))


def indifferent(discount: float = 0.999) -> NamedMDP:
    """Four states in which nothing matters: every pair pays -1. All policies tie."""
    weights = np.array([[[1, 2, 3, 2], [8, 0, 0, 0]], [[4, 4, 0, 0], [0, 1, 6, 1]],
                        [[2, 2, 2, 2], [0, 0, 5, 3]], [[7, 0, 0, 1], [1, 3, 0, 4]]])  # fmt: skip
    mdp = MDP(weights / 8.0, np.full((4, 2), -1.0), discount)
    return NamedMDP(mdp, (-1 / (1 - Fraction(discount)),) * 4, "geometric series")


def named() -> dict[str, NamedMDP]:
    """Every textbook case by name."""
    return {
        "puterman": puterman(0.9),
        "puterman-patient": puterman(0.95),
        "puterman-tie": puterman(0.5),
        "recycling-robot": recycling_robot(),
        "special-gridworld": special_gridworld(),
        "truncated-iteration": truncated_iteration(),
        "truncated-iteration-once": truncated_iteration_once(),
        "loop-or-stop": loop_or_stop(),
        "bandit": bandit(),
        "indifferent": indifferent(),
    }
