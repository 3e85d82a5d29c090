"""Random decision problems whose every number is exact in float32, float64 and as a fraction.

Transition probabilities, policies and state laws are counts out of a power of two, rewards, tables and settings are
small multiples of one: what the implementation is handed, what the NumPy shadow is handed and what `reference` solves
are then the same problem bit for bit, and a difference between answers is never a difference between questions.

Problems of up to `STATES` states are padded to one shape with rows of mass zero, so that one compilation serves all
of them.
"""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
from contract.agents import Batch, Rates, Settings, Tables
from contract.generators import VALUE_CAPS
from contract.protocol import ACTIONS
from hypothesis import strategies as st

from reference.mdp import MDP

STATES = 4
PADDING = 4
ROWS = STATES * ACTIONS * (STATES + 1) + PADDING
EIGHTHS = 8
DTYPE = np.dtype(jax.dtypes.canonicalize_dtype(float))
"""The precision under test: JAX's default float, decided by JAX_ENABLE_X64."""
RATES = Rates(critic=0.5, actor=0.25, value=0.125, log_alpha=0.0625)
"""Step sizes of one update in which everything learns."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """A decision process on `n` states in which every action is available and any step may end the episode.

    transitions (n, A, n + 1), the last column being the probability that the episode ends; rewards (n, A); discount;
    behavior (n, A) the data's policy; states (n,) the data's state law, positive.
    """

    transitions: np.ndarray
    rewards: np.ndarray
    discount: float
    behavior: np.ndarray
    states: np.ndarray

    @property
    def n(self) -> int:
        return len(self.rewards)

    def mdp(self) -> MDP:
        """The same process for `reference`: the episode ends in one absorbing state with one action and reward 0."""
        n = self.n
        transitions = np.zeros((n + 1, ACTIONS, n + 1))
        transitions[:n] = self.transitions
        transitions[n, :, n] = 1.0
        rewards = np.zeros((n + 1, ACTIONS))
        rewards[:n] = self.rewards
        available = np.ones((n + 1, ACTIONS), dtype=bool)
        available[n, 1:] = False
        return MDP(transitions, rewards, self.discount, available=available)

    def deterministic(self) -> Problem:
        """The same process with each pair's most probable outcome made certain."""
        best = self.transitions.argmax(-1)
        return dataclasses.replace(self, transitions=np.eye(self.n + 1)[best])

    def law(self, kind: str) -> np.ndarray:
        """Mass of each pair (n, A): `unit` one for every pair, `behavior` pi_D(a|s), `data` D(s) pi_D(a|s)."""
        if kind == "unit":
            return np.ones((self.n, ACTIONS))
        return self.behavior if kind == "behavior" else self.states[:, None] * self.behavior

    def batch(self, kind: str, weights: np.ndarray | None = None) -> Batch:
        """Enumerate every (s, a, s') and every ending, each with its exact mass; shape (ROWS, ...) always.

        A terminal row carries the observation of some real state, which only the mask keeps out of the bootstrap, and
        padding rows carry real numbers, which only their mass keeps out of everything.
        """
        s, a, successor = (index.ravel() for index in np.indices((STATES, ACTIONS, STATES + 1)))
        real = (s < self.n) & ((successor < self.n) | (successor == STATES))
        ends = successor == STATES
        column = np.where(ends, self.n, np.where(real, successor, 0))
        row = np.where(real, s, 0)
        mass = np.where(real, self.law(kind)[row, a] * self.transitions[row, a, column], 0.0)
        reward = np.where(real, self.rewards[row, a], 3.0)
        after = np.where(ends, (s + 1) % self.n, np.where(real, successor, 0))
        count = len(s) + PADDING

        def padded(array: np.ndarray, fill: float) -> np.ndarray:
            return np.concatenate([array, np.full((PADDING, *array.shape[1:]), fill)]).astype(DTYPE)

        observation = padded(np.eye(STATES)[row], 0.0)
        observation[len(s) :, 0] = 1.0
        following = padded(np.eye(STATES)[after], 0.0)
        following[len(s) :, 0] = 1.0
        action = padded(np.eye(ACTIONS)[a], 0.0)
        action[len(s) :, 0] = 1.0
        weight = np.ones(count) if weights is None else weights
        return Batch(
            observation,
            action,
            padded(reward, -2.0),
            following,
            padded(ends.astype(float), 0.0),
            np.asarray(weight, DTYPE),
            padded(mass, 0.0),
        )


def _out_of_eight(draw: st.DrawFn, outcomes: int, *, positive: bool = False) -> np.ndarray:
    """A law on `outcomes` points in eighths; with `positive` every point has mass."""
    fixed = list(range(outcomes)) if positive else []
    free = draw(st.lists(st.integers(0, outcomes - 1), min_size=EIGHTHS - len(fixed), max_size=EIGHTHS - len(fixed)))
    return np.bincount(np.array(fixed + free), minlength=outcomes) / EIGHTHS


def _table(draw: st.DrawFn, shape: tuple[int, ...], low: int, high: int, unit: int) -> np.ndarray:
    size = int(np.prod(shape))
    values = draw(st.lists(st.integers(low, high), min_size=size, max_size=size))
    return np.array(values, dtype=np.float64).reshape(shape) / unit


@st.composite
def problems(draw: st.DrawFn, discounts: tuple[float, ...] = (0.0, 0.5, 0.75, 0.9375)) -> Problem:
    """Problems of 1 to STATES states."""
    n = draw(st.integers(1, STATES))
    transitions = np.array([[_out_of_eight(draw, n + 1) for _ in range(ACTIONS)] for _ in range(n)])
    behavior = np.array([_out_of_eight(draw, ACTIONS, positive=True) for _ in range(n)])
    rewards = _table(draw, (n, ACTIONS), -8, 8, 4)
    return Problem(
        transitions, rewards, draw(st.sampled_from(discounts)), behavior, _out_of_eight(draw, n, positive=True)
    )


@st.composite
def tables(draw: st.DrawFn) -> Tables:
    """Unrelated critics, targets, logits, values and temperature, exact in the precision under test."""
    return Tables(
        critic=_table(draw, (2, STATES, ACTIONS), -16, 16, 8).astype(DTYPE),
        target=_table(draw, (2, STATES, ACTIONS), -16, 16, 8).astype(DTYPE),
        logits=_table(draw, (STATES, ACTIONS), -16, 16, 8).astype(DTYPE),
        value=_table(draw, (STATES,), -16, 16, 8).astype(DTYPE),
        log_alpha=np.asarray(draw(st.integers(-8, 4)) / 4, DTYPE),
    )


@st.composite
def settings(draw: st.DrawFn, discount: float, divergence: str | None = None) -> Settings:
    """Scalars of the update; the cap lies inside the conjugate's domain."""
    return Settings(
        discount=discount,
        tau=draw(st.sampled_from((0.0078125, 0.125, 0.5))),
        beta=draw(st.sampled_from((0.5, 2.0, 4.0))),
        weight_rate=draw(st.sampled_from((0.125, 0.375))),
        target_entropy=draw(st.sampled_from((-1.0, 0.25, 0.75))),
        value_cap=draw(st.sampled_from(VALUE_CAPS[divergence or "kl"])),
    )


def stored_weights() -> st.SearchStrategy[np.ndarray]:
    """Experience weights (ROWS,), all different enough for a wrong row to show."""
    return st.integers(0, 2**16).map(lambda seed: np.random.default_rng(seed).integers(1, 33, ROWS) / 16)


def grids(low: float, high: float, unit: int = 64) -> st.SearchStrategy:
    """Random generators of arrays whose entries are multiples of 1/unit in [low, high]: `draw(shape)`."""

    def generator(seed: int):
        rng = np.random.default_rng(seed)
        return lambda *shape: (rng.integers(round(low * unit), round(high * unit) + 1, shape) / unit).astype(DTYPE)

    return st.integers(0, 2**32 - 1).map(generator)


@st.composite
def laws(draw: st.DrawFn, points: int, denominator: int = 1024) -> np.ndarray:
    """Laws on at most `points` points in multiples of 1/denominator: few atoms or many, zeros included."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    support = rng.permutation(points)[: draw(st.integers(1, points))]
    counts = rng.multinomial(denominator, rng.dirichlet(np.ones(len(support))))
    law = np.zeros(points)
    law[support] = counts / denominator
    return law.astype(DTYPE)
