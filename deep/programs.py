"""The compiled functions of a session, each on a leading axis of lanes: runs that differ in their seeds alone."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from deep import agent, build, interaction, seeds, watch
from deep.config import Config
from deep.environments import Environment
from deep.interaction import Learner, Memory, State
from deep.replay import Transition
from deep.types import Settings
from deep.watch import Record


class Programs(NamedTuple):
    """The compiled functions of a session; every argument but the settings has a leading axis of lanes.

    State, memory and record are donated: updated in place, the buffer is never copied. The settings are one vector
    (:func:`packed`), for on the host every argument of a dispatch costs some 3 microseconds.
    """

    create: Callable[..., State]
    begin: Callable[..., Memory]
    insert: Callable[..., Memory]
    interact: Callable[..., tuple[State, Memory, Record, Array, agent.Metrics]]
    learn: Callable[..., tuple[State, Memory, Record, agent.Metrics]]
    first_action: Callable[..., tuple[State, Array]]


@functools.lru_cache(maxsize=16)
def programs(learner: Learner, plan: interaction.Plan, observation_size: int, action_size: int, lanes: int) -> Programs:
    """The functions, compiled once for all sessions of a process that share the arguments.

    The host hands over one array (L, F) for each step, a row for each lane (observation, action, successor, observation
    to act on, reward, terminated, ended): every separate argument from the host costs as much as all of these numbers.
    """
    ends = np.cumsum([observation_size, action_size, observation_size, observation_size])

    def unpack(row):
        before, action, successor, now, (reward, terminated, ended) = jnp.split(row, ends)
        return Transition(before, action, reward, successor, terminated, ended), now

    def create(key, *starts):
        return learner.method.create(learner, key, observation_size, action_size, *starts)

    def insert(memory, row):
        return interaction.insert(plan, memory, *unpack(row))

    def seen(record, metrics, state):
        return watch.watch(record, metrics, state.params._asdict(), state.step)

    def interact(state, memory, record, row, settings):
        state, memory, action, metrics = interaction.interact(
            learner, plan, Settings(*settings), state, memory, *unpack(row)
        )
        return state, memory, seen(record, metrics, state), action, metrics

    def learn(state, memory, record, settings, count):
        def once(carry, _):
            state, memory, record = carry
            state, memory, metrics = interaction.learn(learner, plan, Settings(*settings), state, memory)
            return (state, memory, seen(record, metrics, state)), metrics

        carry, history = jax.lax.scan(once, (state, memory, record), length=count)
        return *carry, jax.tree.map(lambda values: values[-1], history)

    def first_action(state, observation, settings):
        key, act_key = jax.random.split(state.key)
        return state._replace(key=key), learner.method.act(learner, Settings(*settings), state, observation, act_key)

    return Programs(
        jax.jit(_on_lanes(create, lanes, 1)),
        jax.jit(_on_lanes(interaction.begin, lanes, 2), donate_argnums=0),
        jax.jit(_on_lanes(insert, lanes, 2), donate_argnums=0),
        jax.jit(_on_lanes(interact, lanes, 4), donate_argnums=(0, 1, 2)),
        jax.jit(
            lambda state, memory, record, settings, count: _on_lanes(functools.partial(learn, count=count), lanes, 3)(
                state, memory, record, settings
            ),
            static_argnums=4,
            donate_argnums=(0, 1, 2),
        ),
        jax.jit(_on_lanes(first_action, lanes, 2), donate_argnums=0),
    )


def packed(settings: Settings) -> Float[Array, " S"]:
    """The settings as the programs take them."""
    return jnp.stack(settings)


@functools.lru_cache(maxsize=64)
def watched(learner: Learner, plan: interaction.Plan, observation_size: int, action_size: int) -> tuple[str, ...]:
    """The names of what an update computes, in its order: what :mod:`deep.watch` looks at."""
    settings = Settings(*[jnp.zeros(())] * len(Settings._fields))
    create = functools.partial(learner.method.create, learner)
    state = jax.eval_shape(lambda key: create(key, observation_size, action_size), jax.random.key(0))
    memory = jax.eval_shape(lambda: interaction.create(plan, 2, 1, observation_size, action_size))
    return watch.names(interaction.metrics(learner, plan, settings, state, memory), state.params._fields)


def _on_lanes(function: Callable, lanes: int, mapped: int) -> Callable:
    """``function`` on a leading axis of lanes of its first ``mapped`` arguments; the others are shared.

    One lane is no batched product with a batch of one: its axis is dropped and put back, which costs nothing as long as
    the update is under a condition (:func:`deep.interaction.learn`).
    """
    if lanes > 1:
        return lambda *args: jax.vmap(function, [0] * mapped + [None] * (len(args) - mapped))(*args)

    def single(*args):
        first = jax.tree.map(lambda leaf: leaf[0], args[:mapped])
        return jax.tree.map(lambda leaf: leaf[None], function(*first, *args[mapped:]))

    return single


def initial_state(config: Config, learner: Learner, environment: Environment) -> State:
    """The learner's state before the first update, without an axis of lanes."""
    sizes = (environment.observation_size, environment.action_size)
    return lane(initial_states(learner, build.plan_of(config), sizes, [config]), 0)


def lane(tree: PyTree, index: int) -> PyTree:
    """One lane of a tree whose leaves have a leading axis of lanes."""
    return jax.tree.map(lambda leaf: leaf[index], tree)


def initial_states(
    learner: Learner, plan: interaction.Plan, sizes: tuple[int, int], configs: Sequence[Config]
) -> State:
    """The state of every lane before its first update; ``sizes`` are those of observations and actions."""
    keys = jnp.stack([seeds.learner(config.seed) for config in configs])
    create = programs(learner, plan, *sizes, len(configs)).create
    return create(keys, *build.starts_of(configs[0]))
