"""REINFORCE (Williams 1992): the policy gradient with Monte Carlo returns of one whole episode, as pure functions.

With the value network for a baseline A_t = G_t - V(s_t), and V is regressed on G_t; without one A_t = G_t and no value
is read or trained. A baseline leaves the expectation as it is, and need not lower the variance (RL-27).

An episode that a time limit cuts goes on unseen: with a baseline V of its final observation stands for the rest,
without one the rest is left out, which biases the return of what has no end of its own.
"""

from typing import NamedTuple

import jax.numpy as jnp

from deep import advantages, on_policy
from deep.on_policy import Method, Metrics, Networks, Optimizers, Rollout, State
from deep.types import Settings


class Learner(NamedTuple):
    """What is fixed at compile time; ``baseline`` says whether V is subtracted from the returns."""

    networks: Networks
    optimizers: Optimizers
    baseline: bool

    @property
    def method(self) -> Method:
        """What a session does with this learner."""
        return on_policy.method(update, episodic=True)


def update(learner: Learner, settings: Settings, state: State, rollout: Rollout) -> tuple[State, Metrics]:
    """One step on an episode's rows, of the policy and of the baseline if there is one."""
    value = next_value = jnp.zeros_like(rollout.reward)
    if learner.baseline:
        value, next_value = on_policy.values(learner, state, rollout)
    returns = advantages.monte_carlo(rollout.reward, rollout.terminated, rollout.ended, next_value, settings.discount)
    rows = on_policy.samples(learner, state, rollout, returns - value, returns)
    params, optimizers, metrics = on_policy.step(
        learner, settings, state.params, state.optimizers, rows, on_policy.policy_gradient_loss
    )
    if not learner.baseline:
        params = params._replace(value=state.params.value)
        optimizers = optimizers._replace(value=state.optimizers.value)
        metrics = {name: seen for name, seen in metrics.items() if name not in ("losses/value", "values/v")}
    return State(params, optimizers, on_policy.keys(state).next, state.step + 1), metrics
