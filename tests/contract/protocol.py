"""The adapter protocol: what the contract needs from an implementation, as plain functions on arrays.

An implementation under test is an object with a `name` and any of the functions below; whatever it lacks is reported as
*not offered*, not as failed. `--implementation deep` (the default) loads `contract.adapters.deep`;
`--implementation module:object` loads someone else's. B is the number of rows of a batch, S of states, A of actions,
O and U the sizes of observations and actions. Arguments are NumPy arrays of the precision under test (JAX's default
float), results anything that `numpy.asarray` takes. A `divergence` is a name of `DIVERGENCES`: `"fermi-dirac"` has cap
`FERMI_DIRAC_CAP`, `"power"` exponent `POWER_EXPONENT`, `"capped"` is reverse KL on ratios up to `RATIO_CAP`. Generators
one by one are also those of `STEEP_DIVERGENCES`, whose ratios are steep somewhere: `"power-steep"` has exponent
`STEEP_EXPONENT`, `"capped-far"` is reverse KL on ratios up to `FAR_CAP`. A `recipe` is `"roer-published"` or
`"js-note"`.

How to write an adapter. One module, one object::

    # yourpackage/contract.py
    from contract.protocol import Implementation
    from yourpackage import update_target

    implementation = Implementation(
        name="yourpackage", polyak=lambda online, target, tau: update_target(target, online, rate=tau)
    )

    python -m pytest tests/contract --implementation yourpackage.contract:implementation -rs -k polyak

Run it in the root of the checkout, where `pip install -e ".[deep]"` and `pip install --group dev` were run beside your
package (JAX decides the precision), with your module on PYTHONPATH. `-k` takes the tests of one function, `-rs` says
why the others were skipped. A plain SAC (no value network, no weights) has `polyak`, `soft_value`, `critic_target`,
`critic_gradient`, `temperature_gradient`, the three `squashed_*`, `actor_gradient`, `replay` and `continuous`: begin in
this order.

1. Offer what your code has, one function at a time, and leave the rest out. A function must call *your* code with the
   numbers it is handed and return what your code computed: an adapter that computes the answer itself tests itself.
2. Where your formula sits inside a larger step (an update that samples, differentiates and descends), give that step
   networks and data of which everything but the quantity asked for is known: a critic whose parameters are the values
   q, an actor that returns the log-probabilities, an optimiser that keeps the gradient it is handed. `adapters/sbx.py`
   (JAX) and `adapters/sb3.py` (PyTorch) do so; `adapters/rlax.py` and `adapters/optax.py` show the plain case.
3. Batches are of the precision under test; `terminated` is 0 or 1 in them, a scalar is a number. If your losses are
   plain means over the batch, with no weight or mass for each row, say `weighted=False`: rows are then handed over with
   weight one and mass 1/B. If you know fewer divergences, name them in `divergences`; none is `()`. A loss without the
   1/2 deviates in its gradient: leave it there, and give the agents a rate that undoes the factor, so that the rows of
   the whole update still say something. An agent or a buffer that has only a part of its methods raises `NotOffered` in
   the others. Without a value network `layers().value` is `[]`; without experience weights `update` returns None for
   them, as buffers do.
4. Nothing random is compared number by number but through what you return beside it: `squashed_draw` returns the point
   before tanh, `noise` the noise that the next update will use.
5. Where you differ on purpose, write the row and the reason into a file and pass `--deviations FILE`; see
   `contract/deviations.py`. `snippets` may say in a few lines how the package itself is called, for the report.

Formulas, one per equation (each loss is `sum_b mass_b loss_b`):

    soft_value(q (2, B), log_prob (B,), alpha) -> (B,)                       min_i Q_i - alpha log pi
    critic_target(reward, terminated, next_value, discount) -> (B,)
    td_error(reward, terminated, value, next_value, discount) -> (B,)
    critic_gradient(q (2, B), target, weight, mass) -> (2, B)                derivative of 1/2 sum_i (Q_i - y)^2 in q
    value_gradient(divergence, value, q, beta, cap, mass) -> (B,)            derivative of the value loss in v
    temperature_gradient(log_alpha, log_prob, target_entropy) -> scalar      derivative of -alpha (log pi + H) in log
        alpha, all three arguments scalars; not of -log alpha (log pi + H), which many descend
    ratio(divergence, z, mass) -> ((B,), multiplier)                         relaxed weights, mean one under mass
    conjugate(divergence, y (B,)) -> ((B,), (B,), (B,))                      f*(y), its derivative, that of the ratio
    slope(divergence, w (B,)) -> (B,)                                        f'(w)
    relaxed(divergence, z, law) -> ((B,), multiplier, (B,))                  `ratio` at any scale; d multiplier / dz
    blend(weight, ratio, rate) -> (B,)                                       the additive recursion
    beta_law(name, divergence, beta, fraction, td_error, mass, /, **settings) -> (beta, fraction)
        name: `fixed`, `effective-sample-fraction`, `kl-ball`, `feedback`, `feedback-as-printed`; fraction: the smoothed
        effective sample fraction; settings: those the law reads, of beta, ess_target, kl_target, feedback_rate,
        feedback_smoothing, beta_min, beta_max
    beta_law_jacobian(the same) -> ((dbeta'/dbeta, dbeta'/dfraction), (dfraction'/dbeta, dfraction'/dfraction))
    beta_bracket(td_error, mass, fraction, steepness) -> (low, high)         bounds on beta for KL weights
    largest_stable_gain(rho) -> float                                        bound on eta s of `feedback`
    recursion(name, weight, ratio, rate, mass, times) -> (B,)                name: `additive`, `replicator`, `immediate`
    weighting(rule, recursion, divergence, td_error, weight, mass, beta, **settings) -> ((B,), {name: scalar})
        rule: `relaxed` or `occupancy`; settings: weight_rate, value_cap
    weight_statistics(weight, mass, floor, cap) -> {name: scalar}
    stored_statistics(weight, size, floor, cap) -> {name: scalar}            of the first `size` weights
    polyak(online, target, tau) -> array
    squashed_log_prob(mean (B, U), log_std (B, U), pre_tanh (B, U)) -> (B,)
    squashed_draw(mean, log_std, seed) -> (action (B, U), log_prob (B,), pre_tanh (B, U))
    squashed_mode(mean, log_std) -> (B, U)
    huber_gradient(q (2, B), target, weight, mass, width) -> (2, B)          derivative of the critic's Huber loss in q
    flow_gradient(divergence, value (B,), next_value (B,), initial_value (I,), reward, terminated, discount (B,), gamma,
        beta, cap, mass, initial_mass (I,)) -> ((B,), (B,), (I,))            derivative of the flow dual in each value
    flow_ratio(divergence, td_error, beta, cap) -> (B,)                      the occupancy ratio, nothing normalised
    penalised_gradient(twins, observation, action, target, weight, mass, coefficient) -> (scalar, twins)
        the gradient penalty, and the derivative of critic loss + coefficient * penalty in the layers of both twins
    published_value(recipe, value, q, beta, cap, mass) -> (scalar, (B,))     a literal value loss, its derivative in v
    published_weights(recipe, td_error, weight, mass, beta, rate, low, high, floor) -> (B,)
    published_noise(action (B, U), noise (B, U), std, clip) -> (B, U)        noised actions, from standard-normal noise
    per_priority(critic_error (2, B), exponent, offset) -> (B,)
    lap_priority(critic_error (2, B), exponent, width) -> (B,)
    lap_gradient(q (2, B), target, weight, mass, width) -> (2, B)            derivative of the loss that goes with LAP
    pal_gradient(q (2, B), target, weight, mass, exponent, width) -> (2, B)  derivative of the PAL loss in q
    laber_select(priorities (M,), seed, count) -> ((B,), (B,))               positions in a large batch, their factors
    laber_gradient(q (2, M), target, seed) -> ((2, M), ((M,), (M,)))
        derivative of the squared loss of M sub-sampled rows, with the |Q - y| of q for priorities; positions, factors
    actor_gradient(mean (B,), log_std (B,), noise (B,), alpha, critic=, mass=) -> ((B,), (B,))
        derivative of the actor loss in mean and log_std for given standard-normal noise; `critic(action (B,)) ->
        (B,)` uses operators only, so it takes arrays of any library; a row's derivative is proportional to its mass.
        The masses are those of a quadrature and `weighted=False` does not level them: a plain mean, which gives each
        row 1/B, returns its derivatives times B mass_b

Agents, which run the whole update with plain gradient steps of given rates:

    tabular(divergence | None) -> TabularAgent
    whole_update(divergence, objective, law, tables, rates, batch, settings, initial (S,), beta, fraction, /, **others)
            -> (Tables, (B,), beta, fraction)                                one update of tables, new weights, new beta
        objective: `conditional` or `occupancy`, the flow dual with `initial` for the law of initial states; law: as in
        `beta_law`, from `beta` and `fraction`; others: the settings that it reads
    continuous(divergence | None, penalised=False) -> ContinuousAgent        penalised: with the penalty, coefficient 1
    replay() -> ReplayBuffer
    store() -> Store                                                         n-step windows and sampling in proportion
    starts() -> Starts                                                       a ring of initial states
    learning_stream(steps, seed) -> LearningStream                           every random draw of whole learning steps

Deep Q-learning, with an online network Q and a target network; actions are rows of the identity:

    q_target(double, q (B, A), target_q (B, A), reward, terminated, discount (B,)) -> (B,)
        from the values of both networks at s'; double: whether the online one chooses the action
    q_gradient(loss, q (B, A), action (B, A), target, weight, mass, width) -> (B, A)
        derivative of the loss in q; loss: `squared`, half the square, or `huber` of this width
    exploration(start, final, updates, step) -> scalar                       probability after `step` updates
    deep_q(double, loss) -> DeepQ

On-policy learning. Arrays (T, K) are T steps of K environments; `next_value` is that of the true successor, `ended` is
1 where the episode ends, by termination (`terminated`) or by a time limit:

    gae(reward (T, K), terminated, ended, value, next_value, discount, decay) -> (T, K)
    returns(reward, terminated, ended, next_value, discount, n | None) -> (T, K)
        of n steps, None for all to the end of the episode; the last row bootstraps where its episode goes on
    categorical(logits (B, A), action (B, A)) -> ((B,), (B,))                log pi of one-hot actions, entropy, in nats
    normal(mean (B, U), log_std, action) -> ((B,), (B,))                     the same, of a normal law on R^U
    policy_loss(log_prob (B,), advantage, mass) -> (scalar, (B,))            the loss, its derivative in log pi
    surrogate(log_prob, old_log_prob, advantage, mass, clip) -> (scalar, (B,))   the same, PPO's
    regression(value (B,), target, mass) -> (scalar, (B,))                   the same, of half the squared error in V
    normalised(advantage (B,), mass) -> (B,)                                 mean zero, deviation one
    minibatches(seed, rows, parts) -> (parts, rows / parts)                  the rows of each minibatch of an epoch
    on_policy(method) -> OnPolicy                                            method: `a2c`, `reinforce`,
        `reinforce-baseline`, `ppo` with two epochs of one minibatch

Deterministic policies (DDPG, TD3), of N = 1 or 2 critics, actions in [-1, 1]^U:

    policy_gradient(gain, quadratic (3,), observation (B,), mass (B,)) -> scalar
        derivative of the actor's loss in the gain of a = gain s, where Q(s, a) = (s^2, s a, a^2) . quadratic
    deterministic(critics) -> DeterministicAgent

What other packages compute in this form (`contract/beyond`; T steps of one trajectory, values (T + 1,) of its
states, the last to bootstrap from, discounts (T,) zero where the task ends):

    n_step_return(reward (T,), discount (T,), values (T + 1,), n) -> (T,)    the last ones bootstrap from the last value
    lambda_return(reward, discount, values, lambda_) -> (T,)
    advantage(reward, discount, values, lambda_) -> (T,)                     generalised advantage estimates
"""

from __future__ import annotations

import dataclasses
import importlib
import unittest
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

FERMI_DIRAC_CAP = 4.0
POWER_EXPONENT = 1.5
RATIO_CAP = 4.0
STEEP_EXPONENT = 0.25
FAR_CAP = 50.0
ACTIONS = 3
"""Actions of every problem on tables."""
DIVERGENCES = ("kl", "js", "fermi-dirac", "chi2", "hellinger", "reverse-kl", "power", "capped")
STEEP_DIVERGENCES = ("power-steep", "capped-far")


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


@dataclasses.dataclass(frozen=True, repr=False)
class Implementation:
    """What is under test; a function left at None is not offered. See the module's docstring for signatures."""

    name: str
    soft_value: Callable[..., Any] | None = None
    critic_target: Callable[..., Any] | None = None
    td_error: Callable[..., Any] | None = None
    critic_gradient: Callable[..., Any] | None = None
    value_gradient: Callable[..., Any] | None = None
    huber_gradient: Callable[..., Any] | None = None
    flow_gradient: Callable[..., Any] | None = None
    flow_ratio: Callable[..., Any] | None = None
    penalised_gradient: Callable[..., Any] | None = None
    published_value: Callable[..., Any] | None = None
    published_weights: Callable[..., Any] | None = None
    published_noise: Callable[..., Any] | None = None
    temperature_gradient: Callable[..., Any] | None = None
    ratio: Callable[..., Any] | None = None
    conjugate: Callable[..., Any] | None = None
    slope: Callable[..., Any] | None = None
    relaxed: Callable[..., Any] | None = None
    blend: Callable[..., Any] | None = None
    beta_law: Callable[..., Any] | None = None
    beta_law_jacobian: Callable[..., Any] | None = None
    beta_bracket: Callable[..., Any] | None = None
    largest_stable_gain: Callable[..., Any] | None = None
    recursion: Callable[..., Any] | None = None
    weighting: Callable[..., Any] | None = None
    weight_statistics: Callable[..., Any] | None = None
    stored_statistics: Callable[..., Any] | None = None
    polyak: Callable[..., Any] | None = None
    squashed_log_prob: Callable[..., Any] | None = None
    squashed_draw: Callable[..., Any] | None = None
    squashed_mode: Callable[..., Any] | None = None
    actor_gradient: Callable[..., Any] | None = None
    tabular: Callable[..., TabularAgent] | None = None
    whole_update: Callable[..., Any] | None = None
    continuous: Callable[..., ContinuousAgent] | None = None
    replay: Callable[[], ReplayBuffer] | None = None
    store: Callable[[], Store] | None = None
    starts: Callable[[], Starts] | None = None
    per_priority: Callable[..., Any] | None = None
    lap_priority: Callable[..., Any] | None = None
    lap_gradient: Callable[..., Any] | None = None
    pal_gradient: Callable[..., Any] | None = None
    laber_select: Callable[..., Any] | None = None
    laber_gradient: Callable[..., Any] | None = None
    learning_stream: Callable[..., LearningStream] | None = None
    q_target: Callable[..., Any] | None = None
    q_gradient: Callable[..., Any] | None = None
    exploration: Callable[..., Any] | None = None
    deep_q: Callable[..., DeepQ] | None = None
    gae: Callable[..., Any] | None = None
    returns: Callable[..., Any] | None = None
    categorical: Callable[..., Any] | None = None
    normal: Callable[..., Any] | None = None
    policy_loss: Callable[..., Any] | None = None
    surrogate: Callable[..., Any] | None = None
    regression: Callable[..., Any] | None = None
    normalised: Callable[..., Any] | None = None
    minibatches: Callable[..., Any] | None = None
    on_policy: Callable[..., OnPolicy] | None = None
    policy_gradient: Callable[..., Any] | None = None
    deterministic: Callable[..., DeterministicAgent] | None = None
    n_step_return: Callable[..., Any] | None = None
    lambda_return: Callable[..., Any] | None = None
    advantage: Callable[..., Any] | None = None
    divergences: tuple[str, ...] = DIVERGENCES
    weighted: bool = True
    snippets: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Python that calls the package itself and assigns `theirs`, by function name, its arguments being variables; or
    by `"id quantity"` of a row, then complete. What the report prints beside a deviation."""

    def __repr__(self) -> str:
        """The name alone: Hypothesis prints an implementation with every failing example."""
        return f"<Implementation {self.name}>"

    def rows(self, weight: np.ndarray, mass: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The weights and masses of a batch as the implementation can take them: as they are, or one and 1/B."""
        if self.weighted:
            return weight, mass
        return np.ones_like(weight), np.full_like(mass, 1.0 / len(mass))

    def offers(self, name: str) -> bool:
        """Whether the function `name` is there."""
        return getattr(self, name) is not None


def load(specification: str) -> Implementation:
    """Return the implementation named by `deep` or by `module:object`.

    Raises ValueError, with what was expected, when there is no such module or object or it is no `Implementation`.
    """
    module_name, _, attribute = specification.partition(":")
    if specification == "deep":
        module_name, attribute = "contract.adapters.deep", "implementation"
    if not module_name or not attribute:
        raise ValueError(f"--implementation: expected `deep` or `module:object`, saw {specification!r}")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except ModuleNotFoundError as error:
        raise ValueError(f"--implementation {specification}: no module {error.name!r}; is it installed?") from error
    except AttributeError as error:
        raise ValueError(f"--implementation {specification}: {module_name} has no object {attribute!r}") from error
    if not isinstance(found, Implementation):
        raise ValueError(
            f"--implementation {specification}: expected a contract.protocol.Implementation, saw {type(found).__name__}"
        )
    return found
