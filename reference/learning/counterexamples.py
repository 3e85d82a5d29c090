r"""Small processes on which linear methods fail, with what is exactly known about them (C8).

    w -> 2w      two states of features 1 and 2; the policy leads to the second. Under uniform weights the expected
                 update is w (6 gamma - 5) / 2: it diverges exactly for gamma > 5/6; on-policy it is
                 -4 (1 - gamma) w                                                                             (RL-21)
    Baird        seven states, eight weights, exact values 0. Under the uniform law the expected update has the rates
                 -4/7 five times, 0 once, and the two roots z of
                     z^2 - z (17 gamma - 15) / 7 + 26 (1 - gamma) / 49 = 0,
                 so that it diverges exactly for gamma > 15/17                                                (RL-21)
    the ring     three states, two features: the matrix of TD(0) is not symmetric, its fixed point not the
                 projection                                                                                   (RL-20)
    A, B or C    a target of variance: the minimiser of DQN's printed objective is not q*                     (RL-22)

The first is example 11.1 of Sutton and Barto (2018), after Tsitsiklis and Van Roy (1996), made a process with a
behaviour of its own; the second is Baird (1995) in the form of their figure 11.1. For its quadratic: the update moves
the value u of every upper state by (10 (gamma l - u) - 2 (1 - gamma) l) / 7, where l is that of the lower one, and l by
(12 (gamma l - u) - 5 (1 - gamma) l) / 7; what sets upper states apart shrinks by itself.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from reference.learning.features import aggregated
from reference.learning.task import Task
from reference.mdp import MDP

__all__ = ["Counterexample", "baird", "noisy_target", "ring", "w_to_2w"]


@dataclass(frozen=True, eq=False)
class Counterexample:
    """A task, the `policy` to evaluate, the `behaviour` that acts, features of states, weights to begin with."""

    task: Task
    policy: Float64[np.ndarray, "S A"]
    behaviour: Float64[np.ndarray, "S A"]
    features: Float64[np.ndarray, "S D"]
    start: Float64[np.ndarray, " D"]


def w_to_2w(discount: float = 0.99) -> Counterexample:
    """Features 1 and 2, no rewards. Action 0 leads to the second state, action 1 to the first.

    The policy takes action 0; the behaviour tosses a coin, and so is in either state half of the time.
    """
    rows = np.zeros((2, 2, 2))
    rows[:, 0, 1] = rows[:, 1, 0] = 1.0
    task = Task(MDP(rows, np.zeros((2, 2)), discount))
    return Counterexample(
        task, np.tile([1.0, 0.0], (2, 1)), np.full((2, 2), 0.5), np.array([[1.0], [2.0]]), np.array([1.0])
    )


def baird(discount: float = 0.99) -> Counterexample:
    """Upper states `i = 0 .. 5` are valued `2 w_i + w_7`, the lower state 6 `w_6 + 2 w_7`; no rewards.

    Action 0 ("dashed") leads to one of the upper states, action 1 ("solid") to the lower one. The policy takes action
    1; the behaviour action 0 six times of seven, and so is in every state one seventh of the time.
    """
    rows = np.zeros((7, 2, 7))
    rows[:, 0, :6], rows[:, 1, 6] = 1.0 / 6.0, 1.0
    features = np.zeros((7, 8))
    features[np.arange(6), np.arange(6)] = 2.0
    features[:6, 7], features[6, 6], features[6, 7] = 1.0, 1.0, 2.0
    start = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 10.0, 1.0])
    task = Task(MDP(rows, np.zeros((7, 2)), discount))
    return Counterexample(task, np.tile([0.0, 1.0], (7, 1)), np.tile([6.0 / 7.0, 1.0 / 7.0], (7, 1)), features, start)


def ring() -> Counterexample:
    """Three states in a ring that mostly moves on, paid 2, -1 and 1; discount 9/10; followed on-policy (RL-20)."""
    rows = np.array([[[0.1, 0.9, 0.0]], [[0.0, 0.1, 0.9]], [[0.9, 0.0, 0.1]]])
    task = Task(MDP(rows, [[2.0], [-1.0], [1.0]], 0.9))
    always = np.ones((3, 1))
    return Counterexample(task, always, always, np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0]]), np.zeros(2))


def noisy_target() -> Counterexample:
    """A leads to B or C by a coin, B pays 1 and C nothing before the end; no discount, one weight each (RL-22).

    The values of A, B and C are 1/2, 1 and 0.
    """
    rows = np.zeros((4, 1, 4))
    rows[0, 0, 1:3] = 0.5
    rows[1:, 0, 3] = 1.0
    mdp = MDP(rows, [[0.0], [1.0], [0.0], [0.0]], 0.0, [1.0, 0.0, 0.0, 0.0])
    always = np.ones((4, 1))
    return Counterexample(Task(mdp, 1.0), always, always, aggregated([0, 1, 2, -1]), np.zeros(3))
