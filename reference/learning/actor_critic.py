r"""Actor-critic methods with a softmax actor and a tabular critic (C10): QAC, A2C, and A2C on another policy's data.

The actor is pi(a|s) proportional to exp(theta(s, a)); its score d log pi(a|s) / d theta(s, b) is 1[a = b] - pi(b|s).

    QAC      theta(s, .) += a score q(s, a)        q(s, a) += c (r + gamma q(s', a') - q(s, a))   (Sarsa)
    A2C      theta(s, .) += a score delta          v(s)    += c delta,    delta = r + gamma v(s') - v(s)
    off-policy A2C: a ~ beta, and both updates times pi(a|s) / beta(a|s), so that score pi / beta = grad pi / beta

All read the tables as they stand before the step. Given the law d of the state in which the step is made, the expected
updates per unit of step size are (*fields*)

    actor    d(s) pi(b|s) (x(s, b) - sum_a pi(a|s) x(s, a)),      x = q, or x = r + gamma P v for A2C             (1)
    critic   D (T q - q) of Sarsa, D (T v - v) of TD(0)                                                          (2)

and importance weights leave them as they are: what differs off-policy is the law d (RL-29, RL-30). With exact values
and d = rho_pi, the un-normalised discounted visits, (1) is the gradient (`reference.learning.off_policy`). With v in
place of v_pi the actor's field errs by d(s) pi(b|s) gamma (P e (s, b) - P_pi e (s)), e = v - v_pi: of the bias of the
TD error only the part that differs between actions is seen (RL-28).

Sources: V. Konda and J. Tsitsiklis, Actor-critic algorithms, NIPS 12 (2000); T. Degris, M. White and R. Sutton,
Off-policy actor-critic, ICML 2012, arXiv:1205.4839; S. Zhao, Mathematical Foundations of Reinforcement Learning,
chapter 10.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int

from reference.bellman import boltzmann
from reference.checks import check_policy
from reference.learning.importance import importance_ratios
from reference.learning.operators import sarsa_operator, td_operator
from reference.learning.schedules import StepSizes
from reference.learning.task import Step, Task, bootstrapped, draw

__all__ = ["ActorStep", "Fields", "a2c", "a2c_fields", "actor_field", "off_policy_a2c", "qac", "qac_fields"]


class Fields(NamedTuple):
    """Expected updates of actor and critic per unit of step size, shaped like their tables."""

    actor: Float64[np.ndarray, "S A"]
    critic: np.ndarray


def actor_field(
    policy: Float64[np.ndarray, "S A"], signal: Float64[np.ndarray, "S A"], law: Float64[np.ndarray, " S"]
) -> Float64[np.ndarray, "S A"]:
    """Formula (1): the expectation of score times `signal`, in states of law `law`.

    Linear in both; a signal that is the same for all actions of a state gives nothing (RL-27). What stands in `signal`
    where `policy` is zero does not count.
    """
    known = np.where(policy > 0.0, signal, 0.0)
    return law[:, None] * policy * (known - (policy * known).sum(axis=1, keepdims=True))


def qac_fields(
    task: Task, logits: Float64[np.ndarray, "S A"], q: Float64[np.ndarray, "S A"], law: Float64[np.ndarray, " S"]
) -> Fields:
    """The expected updates of `qac` at the tables `logits` and `q`, in states of law `law` (RL-17)."""
    policy, here = _policy(task, logits), law * ~task.terminal
    flat = np.where(task.mdp.available, q, 0.0).ravel()
    critic = sarsa_operator(task, policy).field((here[:, None] * policy).ravel())(flat)
    return Fields(actor_field(policy, q, here), critic.reshape(policy.shape))


def a2c_fields(
    task: Task, logits: Float64[np.ndarray, "S A"], values: Float64[np.ndarray, " S"], law: Float64[np.ndarray, " S"]
) -> Fields:
    """The expected updates of `a2c` and `off_policy_a2c` at `logits` and `values`, in states of law `law` (RL-28)."""
    policy, here = _policy(task, logits), law * ~task.terminal
    following = task.mdp.expected_next(np.where(task.terminal, 0.0, values))
    lookahead = task.mdp.rewards + task.discount * following
    return Fields(actor_field(policy, lookahead, here), td_operator(task, policy).field(here)(values))


@dataclass(frozen=True, eq=False)
class ActorStep:
    """One step of `R` learners at once: `logits` `(R, S, A)` after the update, `-inf` where unavailable.

    * `critic`: the transition and the critic's table `(R, S)` or `(R, S, A)`, after the update.
    * `actor_step_size`: the one of this step.

    The next step overwrites both tables: copy what is to be kept.
    """

    logits: Float64[np.ndarray, "R S A"]
    actor_step_size: float
    critic: Step

    @property
    def number(self) -> int:
        """Of the step: 1, 2, ..."""
        return self.critic.number


def qac(
    task: Task,
    actor_sizes: StepSizes,
    critic_sizes: StepSizes,
    steps: int,
    replications: int,
    rng: np.random.Generator,
    logits: float | np.ndarray = 0.0,
    start: float | np.ndarray = 0.0,
) -> Iterator[ActorStep]:
    """QAC: the actor moves by its score times `q(s, a)`, Sarsa evaluates it.

    * `actor_sizes`: per step; `critic_sizes`: per update of the entry; `logits`, `start`: tables to begin with.

    The next action is drawn before the update and then taken, as in `sarsa`.
    """
    actor, table = task.table(replications, logits), task.table(replications, start)
    counts, rows = np.zeros(table.shape, dtype=np.int64), np.arange(replications)
    states = task.start(rng, replications)
    actions = draw(rng, boltzmann(actor[rows, states], 1.0))
    for number in range(1, steps + 1):
        rewards, following = task.mdp.rewards[states, actions], task.step(rng, states, actions)
        ended, onward = task.terminal[following], task.go_on(rng, following)
        chosen = draw(rng, boltzmann(actor[rows, onward], 1.0))
        entry = (rows, states, actions)
        counts[entry] += 1
        sizes, step_size = critic_sizes(counts[entry]), float(actor_sizes(number))
        target = bootstrapped(rewards, task.discount, table[rows, onward, chosen], ended)
        actor[rows, states] += step_size * table[entry][:, None] * _score(actor[rows, states], actions)
        table[entry] += sizes * (target - table[entry])
        yield ActorStep(actor, step_size, Step(number, table, states, actions, rewards, following, ended,
                                               counts[entry], sizes))  # fmt: skip
        states, actions = onward, chosen


def a2c(
    task: Task,
    actor_sizes: StepSizes,
    critic_sizes: StepSizes,
    steps: int,
    replications: int,
    rng: np.random.Generator,
    logits: float | np.ndarray = 0.0,
    start: float | np.ndarray = 0.0,
) -> Iterator[ActorStep]:
    """A2C: the TD error moves both the actor and the critic, which is TD(0) (RL-28). Arguments as for `qac`."""
    return _td_actor_critic(task, None, actor_sizes, critic_sizes, steps, replications, rng, logits, start)


def off_policy_a2c(
    task: Task,
    behaviour: Float64[np.ndarray, "S A"],
    actor_sizes: StepSizes,
    critic_sizes: StepSizes,
    steps: int,
    replications: int,
    rng: np.random.Generator,
    logits: float | np.ndarray = 0.0,
    start: float | np.ndarray = 0.0,
) -> Iterator[ActorStep]:
    """A2C on what the policy `behaviour` does, every update weighted by `pi(a|s) / behaviour(a|s)` (RL-29).

    The states are those that `behaviour` meets, not those of RL-30: an approximation, by a known field (`a2c_fields`).
    `NotCovered` if `behaviour` never takes an action that a softmax actor takes, which is every available one.
    """
    check_policy(behaviour, task.mdp.available)
    importance_ratios(task.mdp.available / task.mdp.available.sum(axis=1, keepdims=True), behaviour)
    return _td_actor_critic(task, behaviour, actor_sizes, critic_sizes, steps, replications, rng, logits, start)


def _td_actor_critic(
    task: Task,
    behaviour: np.ndarray | None,
    actor_sizes: StepSizes,
    critic_sizes: StepSizes,
    steps: int,
    replications: int,
    rng: np.random.Generator,
    logits: float | np.ndarray,
    start: float | np.ndarray,
) -> Iterator[ActorStep]:
    actor = task.table(replications, logits)
    table = np.tile(np.where(task.terminal, 0.0, start), (replications, 1))
    counts, rows = np.zeros(table.shape, dtype=np.int64), np.arange(replications)
    states = task.start(rng, replications)
    for number in range(1, steps + 1):
        policy = boltzmann(actor[rows, states], 1.0)
        acting = policy if behaviour is None else behaviour[states]
        actions = draw(rng, acting)
        weights = policy[rows, actions] / acting[rows, actions]
        rewards, following = task.mdp.rewards[states, actions], task.step(rng, states, actions)
        ended = task.terminal[following]
        counts[rows, states] += 1
        sizes, step_size = critic_sizes(counts[rows, states]), float(actor_sizes(number))
        target = bootstrapped(rewards, task.discount, table[rows, following], ended)
        errors = weights * (target - table[rows, states])
        actor[rows, states] += step_size * errors[:, None] * _score(actor[rows, states], actions)
        table[rows, states] += sizes * errors
        yield ActorStep(actor, step_size, Step(number, table, states, actions, rewards, following, ended,
                                               counts[rows, states], sizes))  # fmt: skip
        states = task.go_on(rng, following)


def _policy(task: Task, logits: np.ndarray) -> np.ndarray:
    return boltzmann(logits, 1.0, task.mdp.available)


def _score(logits: Float64[np.ndarray, "R A"], actions: Int[np.ndarray, " R"]) -> Float64[np.ndarray, "R A"]:
    """`d log pi(a) / d logits` of each row."""
    return (np.arange(logits.shape[1]) == actions[:, None]) - boltzmann(logits, 1.0)
