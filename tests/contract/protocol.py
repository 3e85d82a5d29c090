"""The adapter protocol: what the contract needs from an implementation, as plain functions on arrays.

An implementation under test is an object with a `name` and any of the functions below; whatever it lacks is reported as
*not offered*, not as failed. `--implementation deep` (the default) loads `contract.adapters.deep`;
`--implementation module:object` loads someone else's. B is the number of rows of a batch, S of states, A of actions,
O and U the sizes of observations and actions. Arguments are NumPy arrays of the precision under test (JAX's default
float), results anything that `numpy.asarray` takes. A `divergence` is a name of `DIVERGENCES`: `"fermi-dirac"` has cap
`FERMI_DIRAC_CAP`, `"power"` exponent `POWER_EXPONENT`, `"capped"` is reverse KL on ratios up to `RATIO_CAP`. Generators
one by one are also those of `STEEP_DIVERGENCES`, whose ratios are steep somewhere: `"power-steep"` has exponent
`STEEP_EXPONENT`, `"capped-far"` is reverse KL on ratios up to `FAR_CAP`. A `recipe` is `"roer-published"` or
`"js-note"`. Batches, settings, agents and buffers are those of `contract/agents.py`, with their fields and methods.

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
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from contract.agents import (
    ContinuousAgent,
    DeepQ,
    DeterministicAgent,
    LearningStream,
    OnPolicy,
    ReplayBuffer,
    Starts,
    Store,
    TabularAgent,
)

FERMI_DIRAC_CAP = 4.0
POWER_EXPONENT = 1.5
RATIO_CAP = 4.0
STEEP_EXPONENT = 0.25
FAR_CAP = 50.0
ACTIONS = 3
"""Actions of every problem on tables."""
DIVERGENCES = ("kl", "js", "fermi-dirac", "chi2", "hellinger", "reverse-kl", "power", "capped")
STEEP_DIVERGENCES = ("power-steep", "capped-far")


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
