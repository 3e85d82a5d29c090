"""What the replay buffer costs and keeps: no copies of itself, sums of weights to the bit, one gather for one step."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from deep import agent, baselines, build, checkpoint, initials, interaction, networks, replay, sampling, types
from deep.config import Config
from deep.divergence import KL

SLOTS = 2**20
jitted = pytest.mark.skipif(bool(jax.config.jax_disable_jit), reason="about compiled programs")


def transition(number: float) -> replay.Transition:
    states, number = jnp.full(3, number, float), jnp.asarray(number, float)
    return replay.Transition(states, jnp.full(2, number), number, states + 1, jnp.zeros(()), jnp.zeros(()))


def temporary_bytes(lanes: int, proportional: bool) -> int:
    """Scratch memory of one environment step of a small learner with a large buffer; nothing is run."""
    adam = optax.adam(1e-3)
    learner = agent.Learner(networks.continuous(2, (4,)), agent.Optimizers(*(adam,) * 4), **build.roer(KL))
    rule = sampling.proportional if proportional else sampling.weighted
    step = functools.partial(interaction.interact, learner, interaction.Plan(rule, 16))
    settings = types.Settings(*(jnp.asarray(x) for x in (0.99, 0.005, 4.0, 0.01, -2.0, 7.0)))
    state = jax.eval_shape(lambda: agent.create(learner, jax.random.key(0), 3, 2))
    stored = jax.eval_shape(lambda: replay.create(SLOTS, 3, 2, proportional))
    memory = interaction.Memory(stored, None)
    arguments = (state, memory, jax.eval_shape(lambda: transition(0)), jax.eval_shape(lambda: jnp.zeros(3)))
    if lanes > 1:
        step = jax.vmap(step, (None, 0, 0, 0, 0))
        arguments = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((lanes, *leaf.shape), leaf.dtype), arguments)
    compiled = jax.jit(step, donate_argnums=(1, 2)).lower(settings, *arguments).compile()
    return compiled.memory_analysis().temp_size_in_bytes


@jitted
@pytest.mark.parametrize(("lanes", "proportional"), [(1, False), (2, True)])
def test_buffer_is_updated_in_place(lanes, proportional):
    """A step needs less scratch memory than a copy of the smallest array of the buffer, in one lane and in several."""
    smallest = SLOTS * jnp.zeros(0).dtype.itemsize
    assert temporary_bytes(lanes, proportional) < smallest


def test_sums_follow_the_weights():
    """After any insertions and new weights the sums are those of the weights, bit for bit, so nothing drifts."""
    rng = np.random.default_rng(0)
    insert = jax.jit(lambda stored, number: replay.insert(stored, transition(number), stored.largest))
    for capacity in (1, 2, 5, 8):
        stored = replay.create(capacity, 3, 2, proportional=True)
        for number in range(2 * capacity):
            stored = insert(stored, number)
            slots = jnp.asarray(rng.integers(0, int(stored.size), 4))
            stored = replay.set_weights(stored, slots, jnp.asarray(rng.random(capacity))[slots])
        assert np.array_equal(stored.sums[1:], replay.with_sums(stored).sums[1:])
        if capacity > 1:
            assert np.isclose(stored.sums[1], stored.weight.sum(), rtol=capacity * jnp.finfo(stored.weight.dtype).eps)


def test_checkpoint_brings_the_sums_back(tmp_path):
    """Sums are not written and come back with the weights; so does the largest weight, also when it is gone."""
    stored = replay.create(5, 3, 2, proportional=True)
    for number in range(3):
        stored = replay.insert(stored, transition(number))
    for weights in ([8.0, 2.0, 3.0], [0.5, 0.25, 3.0]):
        stored = replay.set_weights(stored, jnp.arange(3), jnp.asarray(weights))
    path = checkpoint.save(tmp_path, 1, checkpoint.arrays_of_replay(stored, "replay"), {})
    saved = checkpoint.load(path)
    assert not any("sums" in name for name in saved.arrays)
    restored = checkpoint.replay_like(5, 3, 2, saved, "replay", proportional=True)
    assert restored.largest == 8.0
    for name, leaf in stored._asdict().items():
        assert np.array_equal(leaf, getattr(restored, name)), name


def test_one_step_rows_cost_one_gather_for_each_array():
    """n = 1 is not paid for by windows: states, steps and weights are read once each."""
    stored = replay.create(5, 3, 2)
    gathers = {}
    for n in (1, 2):
        text = str(jax.make_jaxpr(lambda indices, n=n: replay.gather(stored, indices, 0.99, n))(jnp.arange(4)))
        gathers[n] = text.count(" gather[")
    assert gathers[1] == 3
    assert gathers[2] > 3


def learner(kind: type[agent.Learner] = agent.Learner) -> agent.Learner:
    adam = optax.adam(1e-3)
    return kind(networks.continuous(2, (4,)), agent.Optimizers(*(adam,) * 4), **build.roer(KL))


def fresh(one: agent.Learner) -> types.AgentState:
    return jax.jit(lambda key: agent.create(one, key, 3, 2))(jax.random.key(0))


def test_the_importance_exponent_ends_at_its_final_value(row):
    """In a straight line over the run's updates, and no further: the factors of a draw are those of that exponent."""
    config = Config(steps=196, warmup_steps=100, importance_exponent=0.25, importance_final=1.0)
    settings = build.settings_of(config, 2)  # 96 updates, so the exponent grows by 1/128 with each, exactly
    stored = functools.reduce(replay.insert, map(transition, range(4)), replay.create(4, 3, 2, proportional=True))
    stored = replay.set_weights(stored, jnp.arange(4), jnp.asarray([0.5, 1.0, 2.0, 4.0]))
    one, plan, key = learner(), interaction.Plan(sampling.proportional, 16), jax.random.key(3)
    begun = fresh(one)
    for step, exponent in ((0, 0.25), (32, 0.5), (64, 0.75), (96, 1.0), (200, 1.0)):
        state = begun._replace(step=jnp.asarray(step, begun.step.dtype))
        _, batch = interaction.draw(one, plan, settings, state, interaction.Memory(stored, None), key, key)
        fixed = settings._replace(importance_exponent=jnp.asarray(exponent, float))
        expected = sampling.proportional(key, stored, 16, fixed)[1]
        same = np.array_equal(batch.loss_weight, expected)
        row.exact("PR14", "annealed importance exponent", same, f"update {step}: expected the factors of {exponent}")


class Doubling(agent.Learner):
    """A learner that doubles the weights of its batch and learns nothing."""

    @property
    def method(self):
        def update(learner, settings, state, batch, initial):
            return state._replace(step=state.step + 1), 2.0 * batch.weight, {}

        return super().method._replace(update=update)


@pytest.mark.parametrize("updates", [1, 3])
def test_every_update_reads_the_weights_of_the_one_before(row, updates):
    """Of the updates in one environment step: 64 draws of 4 slots leave none out, so each update doubles them all."""
    stored = functools.reduce(replay.insert, map(transition, range(4)), replay.create(4, 3, 2))
    one, plan = learner(Doubling), interaction.Plan(sampling.weighted, 64, updates)
    settings = build.settings_of(Config(), 2)
    state = fresh(one)
    after, memory, _ = interaction.learn(one, plan, settings, state, interaction.Memory(stored, None))
    row.exact("EV11", "updates in one environment step", int(after.step) == updates, f"{after.step} of {updates}")
    weights = np.asarray(memory.replay.weight).tolist()
    right = weights == [2.0**updates] * 4
    row.exact("PR18", "weights after the updates of a step", right, f"{weights}, expected {2.0**updates} in each slot")


def test_priorities_vanish_with_the_error(row):
    """Critics that are right have the priority of no error, however large their values."""
    one = build.compose(networks.continuous(2, (4,)), optax.adam(1e-3), None, baseline="per")
    settings = build.settings_of(Config(priority_offset=2.0**-6, priority_exponent=1.0), 2)
    state = fresh(one)

    def constant(path, leaf):
        return jnp.full_like(leaf, 2.0 if jax.tree_util.keystr(path[-2:]) == "['Dense_1']['bias']" else 0.0)

    critic = jax.tree_util.tree_map_with_path(constant, state.params.critic)
    state = state._replace(params=state.params._replace(critic=critic))
    ones = jnp.ones(3)
    batch = types.Batch(
        jnp.ones((3, 3)), jnp.ones((3, 2)), 2 * ones, jnp.ones((3, 3)), ones, ones, ones, ones, ones / 3
    )
    priority = np.asarray(jax.jit(functools.partial(agent.update, one))(settings, state, batch)[1]).tolist()
    row.exact("PR19", "priorities at convergence", priority == [2.0**-6] * 3, f"{priority}, expected the offset 2^-6")


def test_what_is_refused():
    """Impossible sizes and draws that need sums are named."""
    stored = replay.create(2, 3, 2)
    with pytest.raises(ValueError, match="capacity must be at least 1"):
        replay.create(0, 3, 2)
    with pytest.raises(ValueError, match="at least 1 state"):
        initials.create(0, 3)
    with pytest.raises(ValueError, match="at least 1 step, got 0"):
        replay.gather(stored, jnp.zeros(1, int), 0.99, 0)
    with pytest.raises(ValueError, match="proportional=True"):
        sampling.proportional_indices(jax.random.key(0), stored, 4)


def test_uniform_and_weighted_factors():
    """Uniform draws leave the loss alone, weighted ones hand the stored weight on; both draw the same slots."""
    stored = functools.reduce(replay.insert, map(transition, range(4)), replay.create(4, 3, 2))
    stored = replay.set_weights(stored, jnp.arange(4), jnp.asarray([0.5, 1.0, 2.0, 4.0]))
    settings = types.Settings(*[0.0] * 6)
    plain, ones = sampling.uniform(jax.random.key(3), stored, 32, settings)
    same, factors = sampling.weighted(jax.random.key(3), stored, 32, settings)
    assert np.array_equal(plain, same)
    assert np.array_equal(ones, np.ones(32))
    assert np.array_equal(factors, stored.weight[same])


def test_priorities_are_not_differentiated():
    """Neither the factors of LaBER nor the size of an error pass a gradient on."""
    error = jnp.asarray([[1.0, -2.0, 0.5], [0.25, 3.0, -1.0]])

    def factors(error):
        return jnp.sum(baselines.laber_select(jax.random.key(0), jnp.max(jnp.abs(error), axis=0), 8)[1])

    assert np.array_equal(jax.grad(factors)(error), np.zeros((2, 3)))
    assert np.array_equal(jax.grad(lambda e: jnp.sum(baselines.error_size(e)))(error), np.zeros((2, 3)))
