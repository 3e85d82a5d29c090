r"""One environment step of learning as one function: store, draw, learn, write the weights back, act.

    interact    insert a transition; then ``Plan.updates`` times: draw a batch, :func:`deep.agent.update`, store the
                rows' new weights; then draw the next action from the new policy

Everything is on the device, so one dispatch serves an environment step and no weight is ever stale.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
from jaxtyping import Array, Float, Int, Key

from deep import agent, replay
from deep.agent import Learner, Metrics
from deep.replay import Replay, Transition
from deep.types import AgentState, Batch, Settings

Sampling = Callable[[Key[Array, ""], Replay, int, Settings], tuple[Int[Array, " B"], Float[Array, " B"]]]


class Plan(NamedTuple):
    """How a learner draws its batches; fixed at compile time.

    sampling  (key, replay, batch_size, settings) -> (indices (B,), factors of the critic's loss (B,))
    updates   learning steps for each environment step
    """

    sampling: Sampling
    batch_size: int
    updates: int = 1


def draw(plan: Plan, settings: Settings, stored: Replay, key: Key[Array, ""]) -> tuple[Int[Array, " B"], Batch]:
    """A batch and where its rows are stored."""
    indices, loss_weight = plan.sampling(key, stored, plan.batch_size, settings)
    return indices, replay.gather(stored, indices, settings.discount)._replace(loss_weight=loss_weight)


def learn(
    learner: Learner, plan: Plan, settings: Settings, state: AgentState, stored: Replay
) -> tuple[AgentState, Replay, Metrics]:
    """``plan.updates`` learning steps, each on a batch of its own whose new weights are stored before the next."""

    def once(carry, _):
        state, stored = carry
        key, sample_key = jax.random.split(state.key)
        indices, batch = draw(plan, settings, stored, sample_key)
        state, new_weight, metrics = agent.update(learner, settings, state._replace(key=key), batch)
        if learner.weighting is not None:
            stored = replay.set_weights(stored, indices, new_weight)
        return (state, stored), metrics

    if plan.updates == 1:
        (state, stored), metrics = once((state, stored), None)
        return state, stored, metrics
    (state, stored), history = jax.lax.scan(once, (state, stored), length=plan.updates)
    return state, stored, jax.tree.map(lambda values: values[-1], history)


def interact(
    learner: Learner,
    plan: Plan,
    settings: Settings,
    state: AgentState,
    stored: Replay,
    transition: Transition,
    observation: Float[Array, " O"],
) -> tuple[AgentState, Replay, Float[Array, " U"], Metrics]:
    """Store a transition, learn, act: one dispatch per environment step.

    ``observation`` is where the next action is needed: the successor, or the first observation after a reset.
    """
    stored = replay.insert(stored, transition)
    state, stored, metrics = learn(learner, plan, settings, state, stored)
    key, act_key = jax.random.split(state.key)
    action = agent.act(learner, state.params.actor, observation, act_key)
    return state._replace(key=key), stored, action, metrics
