"""The whole update against the NumPy shadow: what it reads, in which order, and in every way of running it."""

import numpy as np
import pytest
import running_error as re
from contract import shadow
from contract.agents import Batch, Layers, Settings
from contract.compare import QUANTITIES, REASON, agree, examples
from contract.networks import BATCH, flat, random_batch, random_layers
from contract.problems import DTYPE, RATES, problems, settings, stored_weights, tables
from contract.shadow import exact
from hypothesis import given
from hypothesis import strategies as st
from running_error import Rounded

DIVERGENCES = (None, "kl", "js", "fermi-dirac")


@pytest.mark.parametrize("divergence", DIVERGENCES)
@examples(0.5)
@given(data=st.data())
def test_tabular_update(divergence, data, known, offered, row):
    """Two whole updates in a row on tables, all rates at once: every parameter and every weight."""
    problem, start = data.draw(problems()), data.draw(tables())
    weights = data.draw(stored_weights())
    scalars = data.draw(settings(problem.discount, divergence))._replace(beta=4.0)
    agent, batch = offered("tabular")(known(divergence)), problem.batch("data", weights)
    state = agent.state(start, RATES)
    expected, running = shadow.lift(start), exact(batch.weight)
    held = batch.mass > 0
    for _ in range(2):
        state, new = agent.update(state, batch, scalars)
        step = shadow.update(expected, batch, running, scalars, RATES, divergence)
        seen, expected, running = agent.tables(state), step.tables, step.weights
        for name, quantity in QUANTITIES.items():
            agree(row, "UP-01", quantity, getattr(seen, name), getattr(expected, name))
        agree(row, "UP-01", "experience weights after the update", new, running, where=held)
        batch = batch._replace(weight=np.asarray(new))
    row.exact(
        "UP-05",
        "rows of mass zero move nothing",
        np.array_equal(seen.critic[:, problem.n :], start.critic[:, problem.n :]),
        "expected the critic of states without data to stay as it was",
    )


def continuous_expectation(agent, layers: Layers, state, batch: Batch, scalars: Settings, divergence: str | None):
    noise = agent.noise(state, BATCH)
    return shadow.continuous_update(
        shadow.lift_layers(layers), batch, exact(batch.weight), scalars, RATES, divergence, *noise
    )


def compare_continuous(
    row, id: str, seen: Layers, weights, expected: Layers, expected_weights: Rounded, note: str
) -> None:
    __tracebackhide__ = True
    theirs = flat(expected)
    for group, arrays in flat(seen).items():
        if arrays:  # an agent without a value network has nothing to compare there
            for ours, theirs_ in zip(arrays, theirs[group], strict=True):
                agree(row, id, f"{group} after the continuous update", ours, theirs_, REASON + note)
    if weights is not None:
        agree(row, id, "experience weights after the continuous update", weights, expected_weights, REASON + note)


@pytest.mark.parametrize("divergence", [None, "kl"])
@examples(0.5)
@given(seed=st.integers(0, 2**31 - 1), spread=st.sampled_from((0.25, 8.0)))
def test_continuous_update(divergence, seed, spread, implementation, known, offered, row):
    """One whole update of small networks, given the same noise: both passes by hand, in the pinned order."""
    agent = offered("continuous")(known(divergence))
    layers, batch = random_layers(seed, agent.log_std_range, spread), random_batch(seed + 1)
    weight, mass = implementation.rows(batch.weight, batch.mass)
    batch = batch._replace(weight=weight, mass=mass)
    scalars = Settings(0.9375, 0.125, 4.0, 0.375, -2.0, 7.0)
    state = agent.state(layers, RATES, seed)
    expected, expected_weights = continuous_expectation(agent, layers, state, batch, scalars, divergence)
    after, weights = agent.update(state, batch, scalars)
    compare_continuous(row, "UP-02", agent.layers(after), weights, expected, expected_weights, "")


def test_variants(variant, known, offered, row):
    """Eager, jitted, vmapped and scanned updates all agree with the shadow, for tables and for networks."""
    problem_seed = 7
    agent = offered("continuous")(known("kl"))
    layers, batch = random_layers(problem_seed, agent.log_std_range, 0.25), random_batch(problem_seed)
    scalars = Settings(0.9375, 0.125, 4.0, 0.375, -2.0, 7.0)
    state = agent.state(layers, RATES, problem_seed)
    expected, expected_weights = continuous_expectation(agent, layers, state, batch, scalars, "kl")
    after, weights = agent.run(variant, state, batch, scalars)
    compare_continuous(row, "UP-04", agent.layers(after), weights, expected, expected_weights, f" ({variant.mode})")


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_learning_step(seed, known, offered, row):
    """Insert, sample, update, write the weights back, act: one step with the replay is the composition of its parts."""
    agent, rows = offered("continuous")(known("kl")), 16
    layers, stored, new = random_layers(seed, agent.log_std_range, 0.25), random_batch(seed), random_batch(seed + 1)
    observation = new.next_observation[0] + DTYPE.type(0.5)
    scalars = Settings(0.9375, 0.125, 4.0, 0.375, -2.0, 7.0)
    for stream in range(seed, seed + 100):  # a draw of the new transition, whose slot is overwritten, is what tells
        step = agent.learning_step(agent.state(layers, RATES, stream), stored, new, observation, scalars, rows)
        if 0 in step.indices:
            break
    # The new transition overwrites slot 0, with weight one, before the batch is drawn; rows of 12 slots repeat in 16
    # draws.
    full = Batch(*(np.concatenate([fresh[:1], old[1:]]) for fresh, old in zip(new, stored, strict=True)))
    full.weight[0] = 1.0
    batch = Batch(*(field[step.indices] for field in full))._replace(mass=np.full(rows, 1 / rows, DTYPE))
    expected, new_weights = shadow.continuous_update(
        shadow.lift_layers(layers),
        batch,
        exact(batch.weight),
        scalars,
        RATES,
        "kl",
        step.target_noise,
        step.actor_noise,
    )
    theirs = flat(expected)
    for group, arrays in flat(agent.layers(step.state)).items():
        for ours, theirs_ in zip(arrays, theirs[group], strict=True):
            agree(row, "UP-07", f"{group} after a learning step", ours, theirs_)
    value, error = full.weight.astype(np.float64), np.zeros(len(full.weight))
    value[step.indices], error[step.indices] = new_weights.value, new_weights.error
    row("UP-07", "weights in the replay after a learning step", np.abs(step.weights - value), error, REASON)
    policy = shadow.policy(expected, exact(observation[None]), step.action_noise[None])
    agree(row, "UP-07", "action after a learning step", step.action, policy.action[0])


def test_initial_state(implementation, offered, row):
    """A fresh agent: targets equal to their critics, twins that differ, and the temperature that was asked for."""
    agent = offered("continuous")("kl" if "kl" in implementation.divergences else None)
    layers = agent.layers(agent.initial(5, 0.5))
    groups = flat(layers)
    same = all(np.array_equal(a, b) for a, b in zip(groups["critic"], groups["target critic"], strict=True))
    row.exact(
        "UP-06", "initial targets equal the critics", same, "target and online critic start with different parameters"
    )
    apart = any(not np.array_equal(a[0], b[0]) for a, b in zip(layers.critic[0], layers.critic[1], strict=True))
    row.exact(
        "UP-06",
        "initial twins differ",
        apart,
        "both critics start with the same kernels, so their minimum is no minimum",
    )
    agree(row, "UP-06", "initial temperature", layers.log_alpha, re.log(exact(0.5)))


def test_lanes_of_a_vmap_draw_their_own_noise(implementation, offered, row):
    """Two seeds side by side learn different actors from one batch: lanes share no key (RN07)."""
    agent = offered("continuous")("kl" if "kl" in implementation.divergences else None)
    layers, batch = random_layers(3, agent.log_std_range, 0.25), random_batch(3)
    scalars = Settings(0.9375, 0.125, 4.0, 0.375, -2.0, 7.0)
    one, two = (agent.update(agent.state(layers, RATES, seed), batch, scalars)[0] for seed in (1, 2))
    differ = not np.array_equal(agent.layers(one).mean[0], agent.layers(two).mean[0])
    row.exact(
        "RN-01", "two seeds draw different noise", differ, "two updates under different seeds gave the same actor"
    )
