"""Batches, parameters, agents and buffers: what the functions of `contract.protocol` are handed and return."""

from __future__ import annotations

import unittest
from typing import Any, NamedTuple, Protocol

import numpy as np


class NotOffered(unittest.SkipTest):
    """Raised by an adapter's agent or buffer in place of what its package does not have: the row is not offered."""


class Batch(NamedTuple):
    """Rows of experience; tabular agents take one-hot observations and actions."""

    observation: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    next_observation: np.ndarray
    terminated: np.ndarray
    weight: np.ndarray
    mass: np.ndarray


class Settings(NamedTuple):
    """Scalars of the update."""

    discount: float
    tau: float
    beta: float
    weight_rate: float
    target_entropy: float
    value_cap: float


class Tables(NamedTuple):
    """Parameters of a tabular agent: critic and target (2, S, A), logits (S, A), value (S,), log_alpha ()."""

    critic: np.ndarray
    target: np.ndarray
    logits: np.ndarray
    value: np.ndarray
    log_alpha: np.ndarray


class Rates(NamedTuple):
    """Step size of plain gradient descent for each group (arrays broadcast against the parameters).

    `preconditioned` = 1 divides the actor's gradient by pi(a|s), which makes a step of rate 1/alpha exact
    soft policy improvement; 0 is the plain gradient.
    """

    critic: Any = 0.0
    actor: Any = 0.0
    value: Any = 0.0
    log_alpha: Any = 0.0
    preconditioned: float = 0.0


class TabularAgent(Protocol):
    """The whole update on tables; `state` is the implementation's own and opaque to the contract."""

    def state(self, tables: Tables, rates: Rates) -> Any: ...

    def update(self, state: Any, batch: Batch, settings: Settings) -> tuple[Any, Any]:
        """One update: the next state and the rows' new experience weights (B,)."""

    def iterate(self, state: Any, batch: Batch, settings: Settings, steps: int) -> tuple[Any, Any]:
        """`steps` updates on one batch, each handed the weights that the one before returned."""

    def tables(self, state: Any) -> Tables: ...


class Rollout(NamedTuple):
    """T steps of K environments, one-hot observations and actions, and each row's mass in the losses."""

    observation: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    next_observation: np.ndarray
    terminated: np.ndarray
    ended: np.ndarray
    mass: np.ndarray


class OnPolicy(Protocol):
    """An on-policy agent on tables, which descends with one plain rate for both."""

    def update(
        self,
        logits: np.ndarray,
        value: np.ndarray,
        rollout: Rollout,
        rate: float,
        *,
        discount: float,
        decay: float,
        clip: float,
        bonus: float,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The tables (S, A) and (S,) after one update; decay: lambda; bonus: the entropy's coefficient."""

    def actions(self, logits: np.ndarray, observations: np.ndarray, times: int, seed: int) -> np.ndarray:
        """The numbers (times, K) of the actions drawn at one observation (K, S) for each of K environments."""

    def greedy(self, logits: np.ndarray, observations: np.ndarray) -> np.ndarray:
        """The numbers (B,) of the actions in evaluation."""


Layer = tuple[np.ndarray, np.ndarray]


class Layers(NamedTuple):
    """Parameters of a continuous agent: ReLU between layers, linear output; `(kernel (in, out), bias (out,))` each.

    critic and target: two lists of layers on concatenated (observation, action); actor: hidden layers, then `mean` and
    `log_std` heads on the last hidden one, log_std clipped to `log_std_range`; value: layers on observations, none for
    an agent without a value network.
    """

    critic: list[list[Layer]]
    target: list[list[Layer]]
    actor: list[Layer]
    mean: Layer
    log_std: Layer
    value: list[Layer]
    log_alpha: np.ndarray
    log_std_range: tuple[float, float]


class LearningStep(NamedTuple):
    """What one step of insert, sample, update, write back and act did, and the randomness that it used.

    The one row of `new` overwrites the oldest, `rows` indices are drawn, and an action (U,) is taken at `observation`
    with `action_noise` (U,). `weights` are those of the buffer afterwards, in storage order. LaBER draws `candidates`
    times `rows` slots, `drawn`, measures their errors with `select_noise` (rows of it, U) at s', and keeps `positions`
    of them, whose slots are `indices`.
    """

    state: Any
    weights: np.ndarray
    action: np.ndarray
    indices: np.ndarray
    target_noise: np.ndarray
    actor_noise: np.ndarray
    action_noise: np.ndarray
    drawn: np.ndarray | None = None
    positions: np.ndarray | None = None
    select_noise: np.ndarray | None = None


class ContinuousAgent(Protocol):
    """The whole update on small networks (observations of size 3, actions of size 2, one hidden layer of width 5)."""

    def state(self, layers: Layers, rates: Rates, seed: int) -> Any: ...

    def initial(self, seed: int, alpha: float) -> Any:
        """A fresh agent with temperature alpha."""

    def noise(self, state: Any, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """The standard-normal noise (B, U) that the next update will use at s' (target) and at s (actor).

        Where it is drawn inside the update, run the update on a copy and record it; `state` must not advance.
        """

    def update(self, state: Any, batch: Batch, settings: Settings) -> tuple[Any, Any]:
        """One update: the next state and the rows' new experience weights (B,), None without such weights."""

    def run(self, variant: Any, state: Any, batch: Batch, settings: Settings) -> tuple[Any, Any]:
        """`update`, run as `variant` (see tests/variants.py) says; raises `NotOffered` where there is but one way."""

    def learning_step(
        self,
        state: Any,
        stored: Batch,
        new: Batch,
        observation: np.ndarray,
        settings: Settings,
        rows: int,
        n_step: int = 1,
        candidates: int = 1,
    ) -> LearningStep:
        """One whole step with a replay buffer that the rows of `stored` fill: see `LearningStep`.

        Consecutive rows are consecutive steps, and an episode ends where a row is terminated.
        """

    def layers(self, state: Any) -> Layers: ...

    log_std_range: tuple[float, float]


class ReplayBuffer(Protocol):
    """A ring buffer of one-number transitions: transition k stores k in every field, so contents can be read off."""

    def create(self, capacity: int) -> Any: ...

    def insert(self, buffer: Any, number: int) -> Any: ...

    def row(self, number: int) -> np.ndarray:
        """What `contents` and `gather` return for transition `number`."""

    def contents(self, buffer: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """(rows (N, fields) of the filled slots in storage order, weights (N,) or None where nothing is weighed)."""

    def sample(self, buffer: Any, seed: int, count: int) -> np.ndarray: ...

    def gather(self, buffer: Any, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """(rows (B, fields), weights (B,), masses (B,)); None for what the buffer does not have."""

    def set_weights(self, buffer: Any, indices: np.ndarray, weights: np.ndarray) -> Any: ...


class Store(Protocol):
    """A ring buffer whose weights are sampling probabilities; transition k has the states and action of `row(k)`."""

    def create(self, capacity: int) -> Any: ...

    def row(self, number: int) -> tuple[list[float], list[float], list[float]]:
        """(state, action, next state) of transition `number`."""

    def insert(
        self, buffer: Any, number: int, reward: float, terminated: float, ended: float, weight: float | None = 1.0
    ) -> Any:
        """Store a transition with an initial weight; None is the largest weight ever stored, at least 1."""

    def windows(self, buffer: Any, indices: np.ndarray, discount: float, n: int) -> tuple[np.ndarray, ...]:
        """(states, actions, next states, rewards, terminated, discounts) of the n-step rows at `indices`."""

    def weights(self, buffer: Any) -> np.ndarray:
        """Those of the filled slots, in storage order."""

    def set_weights(self, buffer: Any, indices: np.ndarray, weights: np.ndarray) -> Any: ...

    def weighing(self, weights: np.ndarray) -> Any:
        """A full buffer of any transitions with these weights."""

    def draw(self, buffer: Any, seed: int, count: int, exponent: float) -> tuple[np.ndarray, np.ndarray]:
        """(indices, factors of the loss, None without any) of a batch drawn in proportion with this exponent."""

    def probabilities(self, buffer: Any, seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """(indices, the probability that the buffer states for each of them) of a batch; only in `contract/beyond`."""


class Starts(Protocol):
    """A ring of initial states; state k is `row(k)`."""

    def create(self, capacity: int) -> Any: ...

    def row(self, number: int) -> list[float]: ...

    def insert(self, ring: Any, number: int, begins: float) -> Any:
        """Store state `number` where `begins` is 1; nothing happens where it is 0."""

    def sample(self, ring: Any, seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """(states, masses)."""


class DeepQ(Protocol):
    """Deep Q-learning on tables (S, A), online and target, with plain gradient steps; no update has been made yet."""

    def state(self, table: np.ndarray, target: np.ndarray, rate: float) -> Any: ...

    def update(self, state: Any, batch: Batch, discount: np.ndarray, tau: float, period: int, width: float) -> Any:
        """One update; `discount` (B,) is that of each row, `width` Huber's, where the loss has one."""

    def tables(self, state: Any) -> tuple[np.ndarray, np.ndarray]: ...

    def actions(self, state: Any, observations: np.ndarray, epsilon: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of the actions (E,) taken at one-hot states (E, S), exploring with this probability; greedy ones."""


class DeterministicLayers(NamedTuple):
    """Parameters of a deterministic agent, as in `Layers`: N critics and targets; actors, under a tanh."""

    critic: list[list[Layer]]
    target_critic: list[list[Layer]]
    actor: list[Layer]
    target_actor: list[Layer]


class DeterministicSettings(NamedTuple):
    """Polyak step, updates between two steps of the actor and of all targets, deviation and bound of target noise."""

    tau: float
    period: int
    noise: float
    clip: float


class DeterministicAgent(Protocol):
    """A deterministic agent on small networks with plain gradient steps; sizes as in `ContinuousAgent`."""

    def initial(self, seed: int) -> Any:
        """A fresh agent."""

    def state(self, layers: DeterministicLayers, rates: tuple[float, float], seed: int) -> Any:
        """These networks with step sizes for critics and actor; no update has been made yet."""

    def layers(self, state: Any) -> DeterministicLayers: ...

    def noise(self, state: Any, rows: int) -> np.ndarray:
        """The standard-normal noise (B, U) of the next update's target actions."""

    def target(self, state: Any, batch: Batch, discount: np.ndarray, chosen: DeterministicSettings) -> Any:
        """What the next update's critics regress on (B,); `discount` (B,) is that of each row."""

    def update(self, state: Any, batch: Batch, discount: np.ndarray, chosen: DeterministicSettings) -> Any: ...

    def actions(
        self, state: Any, observations: np.ndarray, std: float, seed: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(actions (E, U) taken in training, their standard-normal noise (E, U), actions (E, U) in evaluation)."""


class Draw(NamedTuple):
    """One call of a random function: its name, the key's raw data, and what it returned."""

    function: str
    key: bytes
    result: np.ndarray | None


class LearningStream(NamedTuple):
    """Every random draw and every key derivation of some learning steps, in order."""

    draws: list[Draw]
    derivations: list[Draw]
    noise_per_step: int
