r"""The off-policy policy gradient, with the law of states that it needs (C10, RL-30).

Let d be a law of states that does not depend on the actor: the stationary law of a behaviour policy, or the first
states of an episode. For a softmax actor and J = sum_s d(s) v_pi(s),

    grad J = sum_s rho(s) sum_a grad pi(a|s) q_pi(s, a)
           = E_{S ~ rho, A ~ beta}[pi(A|S)/beta(A|S) grad log pi(A|S) (q_pi(S, A) - v_pi(S))],
    rho = d (I - gamma P_pi)^{-1},                                                                              (1)

the discounted visits of pi, not of beta, from d: of mass 1/(1 - gamma) where episodes do not end. The notes leave out
what rho is. Drawing S from d itself, as a replay does, drops the factor (I - gamma P_pi)^{-1}: the field
`actor_field(policy, q, law)`, which is an approximation (Degris, White and Sutton 2012, arXiv:1205.4839).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int

from reference.bellman import boltzmann
from reference.learning.actor_critic import actor_field
from reference.learning.importance import importance_ratios
from reference.learning.operators import policy_values, td_operator
from reference.learning.task import Task, bootstrapped, draw

__all__ = ["OffPolicyGradient", "PolicyGradientSamples", "off_policy_gradient", "off_policy_samples"]


class OffPolicyGradient(NamedTuple):
    """`objective` J, `visits` rho `(S,)` (0 where terminal) and `gradient` `(S, A)` with respect to the logits."""

    objective: float
    visits: Float64[np.ndarray, " S"]
    gradient: Float64[np.ndarray, "S A"]


class PolicyGradientSamples(NamedTuple):
    """`terms` `(N, A)`, each an unbiased estimate of the gradient together with zeros at states other than `states`."""

    states: Int[np.ndarray, " N"]
    terms: Float64[np.ndarray, "N A"]


def off_policy_gradient(
    task: Task, logits: Float64[np.ndarray, "S A"], law: Float64[np.ndarray, " S"]
) -> OffPolicyGradient:
    """J, rho and grad J of (1) for the law d `law`, exact up to linear solves (RL-30).

    Of a behaviour: `law = stationary_distribution(mdp, behaviour)`. `ValueError` if values do not exist.
    """
    policy = boltzmann(logits, 1.0, task.mdp.available)
    found, live = policy_values(task, policy), ~task.terminal
    values = np.where(live, found.values, 0.0)
    system = np.eye(len(law)) - td_operator(task, policy).matrix
    visits = np.linalg.solve(system.T, law * live)
    return OffPolicyGradient(float(law @ values), visits, actor_field(policy, found.q, visits))


def off_policy_samples(
    task: Task,
    logits: Float64[np.ndarray, "S A"],
    behaviour: Float64[np.ndarray, "S A"],
    law: Float64[np.ndarray, " S"],
    values: Float64[np.ndarray, " S"],
    count: int,
    rng: np.random.Generator,
) -> PolicyGradientSamples:
    """Independent one-step estimates of the gradient: S from rho, A from `behaviour`, the TD error of `values`.

    S is reached from `law` by `policy` after a geometric number of steps, P(k) = (1 - gamma) gamma^k; what ends before
    counts as zero. The mean is `actor_field` of rho and r + gamma P v, hence the gradient if `values` are v_pi (RL-28).
    `NotCovered` if `behaviour` misses an available action, `ValueError` without a discount.
    """
    if task.discount == 1.0:
        raise ValueError("discount is 1: expected a discount below 1, or the discounted visits have no law.")
    policy = boltzmann(logits, 1.0, task.mdp.available)
    ratios = importance_ratios(policy, behaviour)
    states = draw(rng, np.broadcast_to(law, (count, len(law))))
    left = rng.geometric(1.0 - task.discount, count) - 1
    while (going := np.flatnonzero((left > 0) & ~task.terminal[states])).size:
        actions = draw(rng, policy[states[going]])
        states[going] = task.step(rng, states[going], actions)
        left[going] -= 1
    actions = draw(rng, behaviour[states])
    following = task.step(rng, states, actions)
    target = bootstrapped(task.mdp.rewards[states, actions], task.discount, values[following], task.terminal[following])
    errors = np.where(task.terminal[states], 0.0, target - values[states]) * ratios[states, actions]
    score = (np.arange(logits.shape[1]) == actions[:, None]) - policy[states]
    return PolicyGradientSamples(states, errors[:, None] * score / (1.0 - task.discount))
