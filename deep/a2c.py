"""Advantage actor-critic: one gradient step of policy and value for each rollout, as pure functions.

The synchronous form of Mnih et al. (2016): generalised advantage estimates of all environments' steps, the policy
gradient with an entropy bonus, and a regression of V on the lambda-returns, both from the networks that acted.
With lambda = 1 the returns are n-step returns to the end of the rollout, those of the paper. Advantages are not
normalised. What the steps are is in :mod:`deep.on_policy`.
"""

from typing import NamedTuple

from deep import on_policy
from deep.on_policy import Method, Metrics, Networks, Optimizers, Rollout, State
from deep.types import Settings


class Learner(NamedTuple):
    """What is fixed at compile time."""

    networks: Networks
    optimizers: Optimizers

    @property
    def method(self) -> Method:
        """What a session does with this learner."""
        return on_policy.method(update)


def update(learner: Learner, settings: Settings, state: State, rollout: Rollout) -> tuple[State, Metrics]:
    """One step of both networks on all rows of the rollout."""
    rows = on_policy.gae_samples(learner, settings, state, rollout)
    params, optimizers, metrics = on_policy.step(
        learner, settings, state.params, state.optimizers, rows, on_policy.policy_gradient_loss
    )
    return State(params, optimizers, on_policy.keys(state).next, state.step + 1), metrics
