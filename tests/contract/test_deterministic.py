"""Deterministic policies: the smoothed target, whole updates in a row, the policy gradient on LQR, exploration.

Networks are small and differentiated by hand; the actor is the tanh of ReLU layers.
"""

import functools

import numpy as np
import pytest
import running_error as re
from contract import shadow
from contract.agents import Batch, DeterministicLayers, DeterministicSettings
from contract.compare import agree, examples
from contract.networks import BATCH, OBSERVATIONS, random_batch, random_layers
from contract.problems import DTYPE
from contract.shadow import exact
from hypothesis import given
from hypothesis import strategies as st
from running_error import Rounded

CRITIC_RATE, ACTOR_RATE = 0.5, 0.25
NEVER = 2**20
"""A period that no test reaches."""
one_or_two = pytest.mark.parametrize("critics", [1, 2], ids=["one critic", "twins"])
seeds = st.integers(0, 2**31 - 1)
spreads = st.sampled_from((0.25, 8.0))
"""Scales of the actor's output: inside the box, and at its walls."""
discounts = st.sampled_from((0.0, 0.5, 0.9375)).map(lambda gamma: (gamma ** (1 + np.arange(BATCH) % 3)).astype(DTYPE))


def random_networks(seed: int, critics: int, spread: float) -> DeterministicLayers:
    """Small networks with all parameters different; their log-std heads, which `spread` scales, are the actors'."""
    one, other = (random_layers(seed + k, (-20.0, 2.0), spread) for k in (0, 1))
    return DeterministicLayers(
        one.critic[:critics], one.target[:critics], [*one.actor, one.log_std], [*other.actor, other.log_std]
    )


def lift(layers: DeterministicLayers) -> DeterministicLayers:
    critic, target = ([[shadow.lift_layer(x) for x in net] for net in group] for group in layers[:2])
    return DeterministicLayers(critic, target, *([shadow.lift_layer(x) for x in net] for net in layers[2:]))


def flat(layers: DeterministicLayers) -> dict[str, list]:
    """The arrays of each group, in order."""
    return {
        "critic": [x for net in layers.critic for layer in net for x in layer],
        "target critic": [x for net in layers.target_critic for layer in net for x in layer],
        "actor": [x for layer in layers.actor for x in layer],
        "target actor": [x for layer in layers.target_actor for x in layer],
    }


def clip(x: Rounded, bound: float) -> Rounded:
    return re.minimum(re.maximum(x, -bound), bound)


def smoothed_target(
    layers: DeterministicLayers, batch: Batch, discount: np.ndarray, noise: np.ndarray, chosen: DeterministicSettings
) -> Rounded:
    """y of every row, given the standard-normal noise of the actions at its successor."""
    after = exact(batch.next_observation)
    action = re.tanh(shadow.forward(layers.target_actor, after)[0])
    action = clip(action + clip(chosen.noise * exact(noise), chosen.clip), 1.0)
    values = [shadow.forward(net, re.concatenate([after, action]))[0][:, 0] for net in layers.target_critic]
    value = functools.reduce(re.minimum, values)
    return exact(batch.reward) + exact(discount) * (exact(1.0 - batch.terminated) * value)


def updated(layers: DeterministicLayers, batch: Batch, y: Rounded, tau: float, moves: bool) -> DeterministicLayers:
    """The networks after one plain gradient step; `moves` says whether the actor and the targets do."""
    observation, mass = exact(batch.observation), exact(batch.mass)
    joint = re.concatenate([observation, exact(batch.action)])
    critic = []
    for net in layers.critic:
        q, tape = shadow.forward(net, joint)
        slope = (mass * exact(batch.weight) * (q[:, 0] - y)).reshape(-1, 1)
        critic.append(shadow.descend(net, shadow.backward(net, tape, slope)[0], CRITIC_RATE))
    if not moves:
        return layers._replace(critic=critic)
    raw, tape = shadow.forward(layers.actor, observation)
    action = re.tanh(raw)
    _, values = shadow.forward(critic[0], re.concatenate([observation, action]))
    _, slope = shadow.backward(critic[0], values, -mass.reshape(-1, 1))
    through = slope[:, OBSERVATIONS:] * (1.0 - action * action)
    actor = shadow.descend(layers.actor, shadow.backward(layers.actor, tape, through)[0], ACTOR_RATE)

    def follow(online: list, target: list) -> list:
        return [
            tuple(tau * new + (1.0 - tau) * old for new, old in zip(layer, behind, strict=True))
            for layer, behind in zip(online, target, strict=True)
        ]

    targets = [follow(net, behind) for net, behind in zip(critic, layers.target_critic, strict=True)]
    return DeterministicLayers(critic, targets, actor, follow(actor, layers.target_actor))


@one_or_two
@examples(0.5)
@given(
    seed=seeds,
    spread=spreads,
    discount=discounts,
    std=st.sampled_from((0.0, 0.25, 2.0)),
    bound=st.sampled_from((0.125, 0.5)),
)
def test_target(critics, seed, spread, discount, std, bound, offered, row):
    """r + gamma^k (1 - terminated) min_i Qbar_i(s', a'), a' the target actor's with clipped noise, inside the box."""
    agent, batch = offered("deterministic")(critics), random_batch(seed)
    layers = random_networks(seed, critics, spread)
    state, chosen = agent.state(layers, (0.0, 0.0), seed), DeterministicSettings(0.0, NEVER, std, bound)
    seen = agent.target(state, batch, discount, chosen)
    expected = smoothed_target(lift(layers), batch, discount, agent.noise(state, BATCH), chosen)
    agree(row, "DPG-01", "smoothed target at terminal rows", seen, expected, where=batch.terminated == 1)
    agree(row, "DPG-01", "smoothed target", seen, expected)


@one_or_two
@pytest.mark.parametrize("period", [1, 2])
@examples(0.3)
@given(seed=seeds, spread=spreads, discount=discounts, tau=st.sampled_from((0.0078125, 0.5)))
def test_whole_update(critics, period, seed, spread, discount, tau, implementation, offered, row):
    """Two updates in a row: critics, then the actor on the new first critic, then all targets, when they are due."""
    agent, batch = offered("deterministic")(critics), random_batch(seed)
    weight, mass = implementation.rows(batch.weight, batch.mass)
    batch = batch._replace(weight=weight, mass=mass)
    layers = random_networks(seed, critics, spread)
    chosen = DeterministicSettings(tau, period, 0.5, 0.25)
    state, expected, before = agent.state(layers, (CRITIC_RATE, ACTOR_RATE), seed), lift(layers), None
    for count in (1, 2):
        noise = agent.noise(state, BATCH)
        fresh = before is None or not np.array_equal(noise, before)
        row.exact("RN-01", "noise of successive targets differs", fresh, "two updates used the same noise")
        y = smoothed_target(expected, batch, discount, noise, chosen)
        state, before = agent.update(state, batch, discount, chosen), noise
        expected = updated(expected, batch, y, tau, count % period == 0)
        theirs = flat(expected)
        for group, arrays in flat(agent.layers(state)).items():
            for ours, theirs_ in zip(arrays, theirs[group], strict=True):
                agree(row, "DPG-02", f"{group} after the deterministic update", ours, theirs_)


@given(seed=seeds, period=st.integers(1, 4), updates=st.integers(1, 9))
@examples(0.3)
def test_period(seed, period, updates, offered, row):
    """The actor and all targets move after every period and not in between; the critics move in every update."""
    agent, batch = offered("deterministic")(2), random_batch(seed)
    discount, chosen = np.full(BATCH, 0.5, DTYPE), DeterministicSettings(0.5, period, 0.25, 0.5)
    state = agent.state(random_networks(seed, 2, 0.25), (CRITIC_RATE, ACTOR_RATE), seed)
    for count in range(1, updates + 1):
        before = flat(agent.layers(state))
        state = agent.update(state, batch, discount, chosen)
        for group, arrays in flat(agent.layers(state)).items():
            moved = any(not np.array_equal(a, b) for a, b in zip(arrays, before[group], strict=True))
            due = group == "critic" or count % period == 0
            row.exact(
                "DPG-02",
                f"when the {group} moves",
                moved == due,
                f"{group} in update {count} of period {period}: expected {'a' if due else 'no'} step, saw the other",
            )


@given(
    closed=st.sampled_from((-1, 0, 1)),
    drift=st.integers(-8, 8),
    force=st.sampled_from((-2.0, -0.5, 0.5, 1.0)),
    costs=st.tuples(st.integers(1, 16), st.integers(1, 16)),
    gamma=st.sampled_from((0.25, 0.5, 0.75, 0.9375)),
    start=st.integers(1, 16),
)
def test_policy_gradient_on_lqr(closed, drift, force, costs, gamma, start, offered, row):
    """Under the policy's own visitation the actor's gradient is the derivative of the return in the gain (RL-31).

    s' = d s + f a, r = -(p s^2 + c a^2), a = k s, whose closed loop d + f k is -1, 0 or 1, so that the visitation from
    s0 lies on two states: J(k) = -s0^2 (p + c k^2) / (1 - gamma (d + f k)^2) is differentiated by the quotient rule.
    """
    d, (p, c), s0 = drift / 4, (cost / 8 for cost in costs), start / 8
    k = (closed - d) / force
    one = exact(1.0)
    rest = one - gamma * closed**2
    value = (p + c * exact(k * k)) / rest
    quadratic = [-(p + gamma * value * d * d), -2.0 * gamma * value * d * force, -(c + gamma * value * force * force)]
    states = np.array([s0, closed * s0])
    later = gamma / (one - gamma * gamma) if closed == -1 else gamma / (one - gamma)
    mass = [one / (one - gamma * gamma) if closed == -1 else one, later]
    given_ = [np.array([x.value for x in numbers]).astype(DTYPE) for numbers in (quadratic, mass)]
    seen = offered("policy_gradient")(DTYPE.type(k), given_[0], states.astype(DTYPE), given_[1])

    law, (_, cross, curve) = re.stack(mass), quadratic
    slope = (law * states * (cross * states + 2.0 * curve * (k * states))).sum()
    truth = -(s0 * s0) * (2.0 * c * k * rest + (p + c * exact(k * k)) * (2.0 * gamma * closed * force)) / (rest * rest)
    row(
        "RL-31",
        "deterministic policy gradient on LQR",
        abs(float(seen) + float(truth.value)),
        slope.error + truth.error,
        "running error analysis of the gradient and of the return's derivative",
        (seen, -truth.value),
    )


@given(seed=seeds, spread=spreads, std=st.sampled_from((0.0, 0.25, 1.0)))
def test_exploration(seed, spread, std, offered, row):
    """mu(s) of the online actor in evaluation; in training the same with noise, inside the box."""
    agent, batch = offered("deterministic")(2), random_batch(seed)
    layers = random_networks(seed, 2, spread)
    explored, noise, greedy = agent.actions(agent.state(layers, (0.0, 0.0), seed), batch.observation, std, seed)
    expected = re.tanh(shadow.forward(lift(layers).actor, exact(batch.observation))[0])
    agree(row, "DPG-03", "deterministic action in evaluation", greedy, expected)
    agree(row, "DPG-03", "deterministic action in training", explored, clip(expected + std * exact(noise), 1.0))
    row.exact(
        "DPG-03",
        "noise of exploration differs from state to state",
        len(np.unique(noise, axis=0)) == BATCH,
        f"expected {BATCH} different rows, saw {noise}",
    )


@one_or_two
def test_initial_state(critics, offered, row):
    """A fresh agent: targets equal to what they follow, and twins that differ."""
    agent = offered("deterministic")(critics)
    layers = agent.layers(agent.initial(5))
    groups = flat(layers)
    row.exact("DPG-02", "number of critics", len(layers.critic) == critics, f"saw {len(layers.critic)}")
    for name in ("critic", "actor"):
        pairs = zip(groups[name], groups[f"target {name}"], strict=True)
        same = all(np.array_equal(a, b) for a, b in pairs)
        row.exact("DPG-02", f"initial target {name}", same, f"expected the parameters of the {name}")
    kernels = [net[0][0] for net in layers.critic]
    apart = critics == 1 or not np.array_equal(*kernels)
    row.exact("DPG-02", "initial twins differ", apart, "both critics start with the same kernels")
