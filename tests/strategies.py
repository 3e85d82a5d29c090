"""Hypothesis strategies: decision processes and policies from small integers.

A draw is a float MDP together with the rational MDP that its floats are, so that a test can ask for the exact answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from exact import Exact
from hypothesis import settings
from hypothesis import strategies as st

from reference.mdp import MDP

DISCOUNTS = (0.0, 0.5, 0.9, 0.99, 0.999)
SCALES = (1.0, 1.0, 1.0, 1.0 / 3.0, 1e-8, 1e8)
# Mostly small; a large one makes the rest of its row improbable.
WEIGHTS = (0, 0, 1, 1, 2, 3, 7, 1_000_000)

# For theorems whose examples are dear (files, several exact solves) or that random examples hardly vary.
few = settings(max_examples=max(1, settings().max_examples // 4))


@dataclass(frozen=True)
class Drawn:
    """A float MDP and the exact one behind it."""

    mdp: MDP

    @cached_property
    def exact(self) -> Exact:
        return Exact.of(self.mdp)

    @cached_property
    def sparse(self) -> MDP:
        """The same process as CSR."""
        return self.mdp.to_sparse()

    def __repr__(self) -> str:
        mdp = self.mdp
        return (
            f"MDP(np.array({np.asarray(mdp.to_dense().transitions).tolist()}), np.array({mdp.rewards.tolist()}), "
            f"{mdp.discount}, np.array({mdp.initial.tolist()}), np.array({mdp.available.tolist()}))"
        )


@st.composite
def mdps(
    draw: st.DrawFn,
    max_states: int = 4,
    max_actions: int = 3,
    *,
    discounts: Sequence[float] = DISCOUNTS,
    scales: Sequence[float] = SCALES,
    terminals: bool = True,
    availability: bool = True,
    twins: bool = True,
    dyadic: bool = False,
    sparse: bool = False,
) -> Drawn:
    """Small MDPs, with ties, negative rewards, near-deterministic rows, terminal states and forbidden actions.

    * `terminals`: the last state may repeat itself with reward 0 by its only action.
    * `availability`: actions may be forbidden; every state keeps one.
    * `twins`: a state may have two actions that are the same in all but their order, so that they tie exactly.
    * `dyadic`: probabilities are multiples of 1/16 and rewards small integers: exact in float64, float32 and bfloat16.
    * `sparse`: `mdp` itself is CSR.
    """
    n_states, n_actions = draw(st.integers(1, max_states)), draw(st.integers(1, max_actions))
    pairs = n_states * n_actions
    transitions = _dyadic_rows(draw, pairs, n_states) if dyadic else _weighted_rows(draw, pairs, n_states)
    transitions = transitions.reshape(n_states, n_actions, n_states)
    scale = 1.0 if dyadic else draw(st.sampled_from(scales))
    rewards = scale * np.array(draw(_integers(pairs, -3, 3)), dtype=np.float64).reshape(n_states, n_actions)
    if twins and n_actions > 1 and draw(st.booleans()):
        transitions[:, 1], rewards[:, 1] = transitions[:, 0], rewards[:, 0]
    available = np.ones((n_states, n_actions), dtype=np.bool_)
    if availability and n_actions > 1 and draw(st.booleans()):
        available = np.array(draw(_integers(pairs, 0, 1)), dtype=np.bool_).reshape(n_states, n_actions)
        available[~available.any(axis=1), 0] = True
    if terminals and n_states > 1 and draw(st.booleans()):
        transitions[-1], rewards[-1], available[-1] = np.eye(n_states)[-1], 0.0, np.arange(n_actions) == 0
    initial = None
    if draw(st.booleans()):
        initial = (_dyadic_rows if dyadic else _weighted_rows)(draw, 1, n_states)[0]
    mdp = MDP(transitions, rewards, draw(st.sampled_from(discounts)), initial, available)
    return Drawn(mdp.to_sparse() if sparse else mdp)


@st.composite
def policies(draw: st.DrawFn, mdp: MDP, *, positive: bool = False) -> np.ndarray:
    """Stochastic policies `(S, A)` from small integer weights; with `positive`, every available action is taken."""
    low = int(positive)
    weights = np.array(draw(_integers(mdp.rewards.size, low, 4)), dtype=np.float64).reshape(mdp.rewards.shape)
    weights *= mdp.available
    weights[weights.sum(axis=1) == 0.0] = mdp.available[weights.sum(axis=1) == 0.0]
    return weights / weights.sum(axis=1, keepdims=True)


def vectors(size: int, scale: float = 1.0) -> st.SearchStrategy[np.ndarray]:
    """Value vectors from small integers, times `scale`."""
    return _integers(size, -50, 50).map(lambda numbers: scale / 8.0 * np.array(numbers, dtype=np.float64))


def _integers(size: int, low: int, high: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(low, high), min_size=size, max_size=size)


def _weighted_rows(draw: st.DrawFn, rows: int, columns: int) -> np.ndarray:
    """Rows of integer weights divided by their sums; the division is rounded, and that is the MDP."""
    drawn = draw(st.lists(st.sampled_from(WEIGHTS), min_size=rows * columns, max_size=rows * columns))
    weights = np.array(drawn, dtype=np.float64).reshape(rows, columns)
    weights[weights.sum(axis=1) == 0.0, 0] = 1.0
    return weights / weights.sum(axis=1, keepdims=True)


def _dyadic_rows(draw: st.DrawFn, rows: int, columns: int) -> np.ndarray:
    """Rows of multiples of 1/16 that sum to one exactly: the gaps between sorted cut points."""
    cuts = np.sort(np.array(draw(_integers(rows * (columns - 1), 0, 16)), dtype=np.float64).reshape(rows, columns - 1))
    return np.diff(np.pad(cuts, ((0, 0), (1, 1)), constant_values=(0.0, 16.0))) / 16.0


# Advantages of every size: alone, next to a large common part, or next to nothing.
ADVANTAGE_SCALES = (1.0, 1.0, 1.0, 1.0 / 3.0, 1e-6, 1e6)
BETAS = tuple(10.0**k for k in range(-5, 6))


@dataclass(frozen=True)
class WeightedData:
    """Advantages under a data law, and a temperature: an instance of the relaxed problem."""

    advantage: np.ndarray
    behavior: np.ndarray
    beta: float


@st.composite
def weighted_data(
    draw: st.DrawFn, max_entries: int = 5, betas: Sequence[float] = BETAS, scales: Sequence[float] = ADVANTAGE_SCALES
) -> WeightedData:
    """Instances with ties, one-atom laws, entries without data, very rare entries, and beta over ten decades."""
    n = draw(st.integers(1, max_entries))
    advantage = draw(st.sampled_from(scales)) * np.array(draw(_integers(n, -4, 4)), dtype=np.float64)
    if draw(st.booleans()):
        advantage = advantage + draw(st.sampled_from(scales)) * draw(st.integers(-1000, 1000))
    return WeightedData(advantage, _weighted_rows(draw, 1, n)[0], draw(st.sampled_from(list(betas))))
