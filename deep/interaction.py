r"""One environment step of learning as one function: store, draw, learn, write the weights back, act.

    interact    insert a transition; then ``Plan.updates`` times: draw a batch, update, store the rows' new weights;
                then draw the next action from the new policy

What updates and acts is the learner's :class:`~deep.types.Method`: that of SAC in :mod:`deep.agent`, or another.

Everything is on the device, so one dispatch serves an environment step and no weight is ever stale.
Random keys: each learning step splits the state's key into (next, sample, select, initial), and
the update splits what it is handed; acting splits what is left into (next, act).
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from deep import agent, baselines, deterministic, dqn, initials, replay
from deep.agent import Metrics
from deep.initials import Initials
from deep.replay import Replay, Transition
from deep.types import AgentState, Batch, Initial, Settings

Learner = agent.Learner | dqn.Learner | deterministic.Learner
State = AgentState | dqn.State | deterministic.State
Shapes = dict[str, jax.ShapeDtypeStruct]
Sampling = Callable[[Key[Array, ""], Replay, int, Settings], tuple[Int[Array, " B"], Float[Array, " B"]]]


class Plan(NamedTuple):
    """How a learner draws its batches; fixed at compile time.

    sampling        (key, replay, batch_size, settings) -> (indices (B,), factors of the critic's loss (B,))
    updates         learning steps for each environment step
    n_step          rewards in a row before the bootstrap
    candidates      batches drawn for each that is kept (LaBER); 1 keeps what is drawn
    initial_states  initial states drawn for the flow dual; 0 without it
    proportional    whether sampling needs the buffer's sums
    prioritised     whether new transitions begin with the largest weight seen instead of 1
    """

    sampling: Sampling
    batch_size: int
    updates: int = 1
    n_step: int = 1
    candidates: int = 1
    initial_states: int = 0
    proportional: bool = False
    prioritised: bool = False


class Memory(NamedTuple):
    """What a run remembers of its environment; ``initials`` is None unless the plan draws initial states."""

    replay: Replay
    initials: Initials | None


def create(plan: Plan, capacity: int, initial_capacity: int, observation_size: int, action_size: int) -> Memory:
    """An empty memory."""
    begun = initials.create(initial_capacity, observation_size) if plan.initial_states else None
    return Memory(replay.create(capacity, observation_size, action_size, plan.proportional), begun)


def begin(memory: Memory, observation: Float[Array, " O"]) -> Memory:
    """Note the state in which the first episode begins."""
    if memory.initials is None:
        return memory
    return memory._replace(initials=initials.insert(memory.initials, observation))


def insert(plan: Plan, memory: Memory, transition: Transition, observation: Float[Array, " O"]) -> Memory:
    """Store a transition and, where the episode ended with it, the state in which the next one begins."""
    weight = memory.replay.largest if plan.prioritised else 1.0
    begun = memory.initials
    if begun is not None:
        begun = initials.insert(begun, observation, transition.ended)
    return Memory(replay.insert(memory.replay, transition, weight), begun)


def draw(
    learner: Learner,
    plan: Plan,
    settings: Settings,
    state: State,
    memory: Memory,
    sample_key: Key[Array, ""],
    select_key: Key[Array, ""],
) -> tuple[Int[Array, " B"], Batch]:
    """A batch and where its rows are stored.

    With ``candidates`` > 1 the rows are drawn from so many batches in proportion to the size of their TD errors, which
    takes one pass of the networks over all of them and no gradient.
    """
    grown = settings.importance_exponent + settings.importance_growth * state.step
    settings = settings._replace(importance_exponent=jnp.minimum(grown, 1.0))
    indices, loss_weight = plan.sampling(sample_key, memory.replay, plan.candidates * plan.batch_size, settings)
    batch = replay.gather(memory.replay, indices, settings.discount, plan.n_step)._replace(loss_weight=loss_weight)
    if plan.candidates == 1:
        return indices, batch
    if learner.method.errors is None:
        raise ValueError(f"candidates: expected 1 with a learner that has no LaBER, saw {plan.candidates}")
    target_key, position_key = jax.random.split(select_key)
    errors = learner.method.errors(learner, state, batch, target_key)
    positions, factor = baselines.laber_select(position_key, baselines.error_size(errors), plan.batch_size)
    chosen = jax.tree.map(lambda rows: rows[positions], batch)
    mass = jnp.full_like(chosen.mass, 1.0 / plan.batch_size)
    return indices[positions], chosen._replace(loss_weight=chosen.loss_weight * factor, mass=mass)


def learn(
    learner: Learner, plan: Plan, settings: Settings, state: State, memory: Memory
) -> tuple[State, Memory, Metrics]:
    """``plan.updates`` learning steps, each on a batch of its own whose new weights are stored before the next."""

    def once(carry, _):
        state, memory = carry
        key, sample_key, select_key, initial_key = jax.random.split(state.key, 4)
        indices, batch = draw(learner, plan, settings, state, memory, sample_key, select_key)
        begun = _initial(plan, memory, initial_key)
        state, new_weight, metrics = _update(learner, settings, state._replace(key=key), batch, begun)
        if learner.weighting is not None:
            memory = memory._replace(replay=replay.set_weights(memory.replay, indices, new_weight))
        return (state, memory), metrics

    if plan.updates == 1:
        (state, memory), metrics = once((state, memory), None)
        return state, memory, metrics
    (state, memory), history = jax.lax.scan(once, (state, memory), length=plan.updates)
    return state, memory, jax.tree.map(lambda values: values[-1], history)


def interact(
    learner: Learner,
    plan: Plan,
    settings: Settings,
    state: State,
    memory: Memory,
    transition: Transition,
    observation: Float[Array, " O"],
) -> tuple[State, Memory, Float[Array, " U"], Metrics]:
    """Store a transition, learn, act: one dispatch per environment step.

    ``observation`` is where the next action is needed: the successor, or the first observation after a reset.
    """
    memory = insert(plan, memory, transition, observation)
    state, memory, metrics = learn(learner, plan, settings, state, memory)
    key, act_key = jax.random.split(state.key)
    action = learner.method.act(learner, settings, state, observation, act_key)
    return state._replace(key=key), memory, action, metrics


def _update(
    learner: Learner, settings: Settings, state: State, batch: Batch, begun: Initial | None
) -> tuple[State, Float[Array, " B"], Metrics]:
    """The method's update, under a condition that is always true, but not at compile time.

    Without it XLA's CPU backend copies the donated state, moments and parameters, where a single lane's axis is dropped
    and put back around the update. The predicate is shared by all lanes and stays one branch under `vmap`.
    """

    def update(state: State) -> tuple[Any, ...]:
        return learner.method.update(learner, settings, state, batch, begun)

    def leave(state: State) -> tuple[Any, ...]:
        shapes = _metrics(learner, settings, state, batch, begun)
        return state, batch.weight, jax.tree.map(lambda value: jnp.zeros(value.shape, value.dtype), shapes)

    return jax.lax.cond(jax.lax.optimization_barrier(jnp.ones((), bool)), update, leave, state)


def metrics(learner: Learner, plan: Plan, settings: Settings, state: State, memory: Memory) -> Shapes:
    """The shapes of what :func:`learn` reports; nothing is computed."""

    def drawn(state, memory):
        _, batch = draw(learner, plan, settings, state, memory, state.key, state.key)
        return batch, _initial(plan, memory, state.key)

    return _metrics(learner, settings, state, *jax.eval_shape(drawn, state, memory))


def _metrics(learner: Learner, *arguments: Any) -> Shapes:
    """The same of the method's update."""
    return jax.eval_shape(_traced(learner), *arguments)[2]


@functools.lru_cache(maxsize=64)
def _traced(learner: Learner) -> Callable[..., tuple[Any, ...]]:
    """The method's update with a memory of its traces, so that its shapes are found once and not for every program."""
    return jax.jit(functools.partial(learner.method.update, learner))


def _initial(plan: Plan, memory: Memory, key: Key[Array, ""]) -> Initial | None:
    if not plan.initial_states or memory.initials is None:
        return None
    return initials.sample(key, memory.initials, plan.initial_states)
