"""The first quantity that is no finite number is named, with its update, whatever spreads after it."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from deep import agent, build, replay, watch
from deep.config import Config

SIZES = (2, 1)


BAD = [np.nan, np.inf, -np.inf]


def poisonable(inner: optax.GradientTransformation) -> optax.GradientTransformation:
    """The optimiser, whose step is not a number at the update whose number its state holds."""

    def init(params):
        return inner.init(params), jnp.int32(0), jnp.int32(-1)

    def update(gradient, state, params=None):
        held, count, at = state
        step, held = inner.update(gradient, held, params)
        poison = jnp.where(count + 1 == at, jnp.nan, 0.0)
        return jax.tree.map(lambda leaf: leaf + poison.astype(leaf.dtype), step), (held, count + 1, at)

    return optax.GradientTransformation(init, update)


@pytest.fixture(scope="module")
def setting():
    """A small learner with its first state, a batch, and one compiled update that is watched."""
    config = Config(hidden=(4,), batch_size=3)
    learner = build.learner_of(config, SIZES[1])
    learner = learner._replace(optimizers=agent.Optimizers(*map(poisonable, learner.optimizers)))
    with jax.disable_jit(False):
        state = agent.create(learner, jax.random.key(0), *SIZES)
        buffer = replay.create(5, *SIZES)
        for number in range(4):
            place = jnp.arange(2.0) + number
            step = replay.Transition(place, jnp.full(1, 0.3), 1.0 * number, place + 1, 0.0, 0.0)
            buffer = replay.insert(buffer, step)
        settings = build.settings_of(config, SIZES[1])
        batch = replay.gather(buffer, jnp.arange(3), settings.discount)
        update = functools.partial(agent.update, learner)
        metrics = jax.eval_shape(update, settings, state, batch)[2]

        @jax.jit
        def step(settings, state, batch, record):
            state, _, metrics = update(settings, state, batch)
            return state, watch.watch(record, metrics, state.params._asdict(), state.step)

    return step, settings, state, batch, watch.names(metrics, state.params._fields)


@pytest.fixture(scope="module")
def look():
    """One compiled look at two metrics and two groups of parameters."""
    metrics = {"losses/actor": jnp.asarray(1.5), "losses/critic": jnp.asarray(2.5)}
    groups = {"critic": {"a": jnp.ones(3), "b": jnp.ones((2, 2))}, "log_alpha": jnp.asarray(0.5)}
    return jax.jit(watch.watch), metrics, groups, watch.names(metrics, groups)


def trained(setting, poison=lambda update, settings, state, batch: (settings, state, batch), updates=6) -> str | None:
    """Six updates of which `poison` changes what goes into each."""
    step, settings, state, batch, names = setting
    record = watch.clean(names)
    for update in range(1, updates + 1):
        given = poison(update, settings, state, batch)
        state, record = step(*given, record)
    return watch.describe(record)


def test_nothing_bad_is_nothing_said(setting):
    assert trained(setting) is None


def spoil(metrics, groups, name, bad):
    """The same with one number of the quantity `name` replaced."""
    if name in metrics:
        return metrics | {name: jnp.asarray(bad)}, groups
    if name == "parameters/log_alpha":
        return metrics, groups | {"log_alpha": jnp.asarray(bad)}
    critic = groups["critic"]
    return metrics, groups | {"critic": critic | {"b": critic["b"].at[1, 0].set(bad)}}


@pytest.mark.parametrize("bad", BAD)
def test_every_quantity_is_named(row, look, bad):
    look, metrics, groups, names = look
    assert names == ("losses/critic", "parameters/critic", "losses/actor", "parameters/log_alpha")
    for place, name in enumerate(names):
        record = look(watch.clean(names), metrics, groups, 1)
        record = look(record, *spoil(metrics, groups, name, bad), 2)
        record = look(record, *spoil(metrics, groups, names[0], bad), 3)  # what it spreads to is not news
        expected = f"{name} was the first to be no finite number: {bad} at update 2"
        row.exact("CK07", "first bad quantity", watch.describe(record) == expected, f"{watch.describe(record)}")
        both = look(watch.clean(names), *spoil(*spoil(metrics, groups, names[-1], bad), name, bad), 7)
        row.exact("CK07", "first of two in an update", int(both.index) == place, f"{watch.describe(both)}, not {name}")


def optimizer(name):
    def poison(update, settings, state, batch):
        held, count, _ = getattr(state.optimizers, name)
        return (
            settings,
            state._replace(optimizers=state.optimizers._replace(**{name: (held, count, jnp.int32(4))})),
            batch,
        )

    return poison


def from_fourth(change):
    return lambda update, *given: change(*given) if update >= 4 else given


def setting_of(name):
    return from_fourth(
        lambda settings, state, batch: (settings._replace(**{name: getattr(settings, name) * jnp.nan}), state, batch)
    )


def data(name, value):
    def change(settings, state, batch):
        return settings, state, batch._replace(**{name: getattr(batch, name).at[1].set(value)})

    return from_fourth(change)


def parameters(name):
    def change(settings, state, batch):
        group = jax.tree.map(lambda leaf: leaf.at[(0,) * leaf.ndim].set(jnp.nan), getattr(state.params, name))
        return settings, state._replace(params=state.params._replace(**{name: group})), batch

    return from_fourth(change)


def no_beta(state):
    return state._replace(beta=state.beta._replace(beta=state.beta.beta * jnp.nan))


CAUSES = {
    "step of the critic": (optimizer("critic"), "parameters/critic"),
    "step of the value": (optimizer("value"), "parameters/value"),
    "step of the actor": (optimizer("actor"), "parameters/actor"),
    "step of alpha": (optimizer("log_alpha"), "parameters/log_alpha"),
    "tau": (setting_of("tau"), "parameters/target_critic"),
    "beta": (from_fourth(lambda *given: (given[0], no_beta(given[1]), given[2])), "losses/value"),
    "target entropy": (setting_of("target_entropy"), "losses/log_alpha"),
    "weight rate": (setting_of("weight_rate"), "weights/mean"),
    "a reward": (data("reward", jnp.inf), "losses/critic"),
    "an observation": (data("observation", jnp.nan), "losses/critic"),
    "a factor of the loss": (data("loss_weight", jnp.nan), "losses/critic"),
    "a stored weight": (data("weight", jnp.nan), "weights/mean"),
    "parameters of the value": (parameters("value"), "losses/value"),
    "parameters of the target critic": (parameters("target_critic"), "losses/critic"),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_the_first_is_named_in_a_learner_in_which_it_spreads(row, setting, cause):
    poison, expected = CAUSES[cause]
    said = trained(setting, poison)
    right = said is not None and said.startswith(f"{expected} was the first") and said.endswith("at update 4")
    row.exact("CK07", "first bad quantity of an update", right, f"{cause}: {said}, expected {expected} at update 4")


def test_of_seeds_trained_together_the_earliest_is_named(look):
    _, metrics, groups, names = look
    together = jax.jit(jax.vmap(watch.watch, in_axes=(0, 0, None, None)))
    good = {name: jnp.ones(3) for name in metrics}
    record = together(watch.clean(names, (3,)), good, groups, 1)
    record = together(record, good | {"losses/actor": jnp.asarray([1.0, np.nan, 1.0])}, groups, 2)
    record = together(record, good | {"losses/critic": jnp.full(3, np.inf)}, groups, 3)
    assert watch.describe(record) == (
        "losses/actor of seed number 1 of the 3 trained together was the first to be no finite number: nan at update 2"
    )


def test_other_quantities_than_announced_are_refused(look):
    _, metrics, groups, names = look
    with pytest.raises(ValueError, match="losses/else is not watched"):
        watch.watch(watch.clean(names), metrics | {"losses/else": jnp.zeros(())}, groups, 1)
    with pytest.raises(ValueError, match="losses/actor is missing"):
        watch.watch(watch.clean(names), {"losses/critic": jnp.zeros(())}, groups, 1)


def test_watching_changes_nothing(setting):
    """The record is a function of what the update computes anyway, and survives a checkpoint's round trip."""
    step, settings, state, batch, names = setting
    record = watch.clean(names)
    leaves, structure = jax.tree.flatten(record)
    assert [leaf.shape for leaf in leaves] == [()] * 3
    assert jax.tree.unflatten(structure, leaves).names == names
    after, _ = step(settings, state, batch, record)
    poisoned, _ = step(
        settings, state, batch, dataclasses.replace(record, index=jnp.int32(0), value=jnp.asarray(np.nan))
    )
    same = functools.reduce(
        lambda whole, pair: whole and np.array_equal(*map(np.asarray, pair)),
        zip(jax.tree.leaves(after.params), jax.tree.leaves(poisoned.params), strict=True),
        True,
    )
    assert same
