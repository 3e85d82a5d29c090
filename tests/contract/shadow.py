"""The whole update once more, in NumPy, in the pinned order, with a running error bound on every number.

Nothing here comes from the implementation under test: losses are differentiated by hand, and each array is a
`running_error.Rounded`, whose `error` bounds what the same formula may be off by in the precision under test. Order
of one update (the one that the implementation must follow):

    1 critic       y from the OLD actor, OLD alpha and OLD targets; loss sum m w (Q_i - y)^2 / 2 for each twin
    2 value        q = min_i of the OLD target at the data's action; loss beta sum m (f*(z) - z), z = (q - v)/beta
    3 weights      delta from the NEW value; ratio mean one under the masses; w <- (1 - rate) w + rate ratio
    4 actor        sum m E[alpha log pi - min_i Q_i] with the NEW critic and the OLD alpha
    5 temperature  -alpha (E log pi + H), log pi of step 4
    6 targets      tau NEW critic + (1 - tau) OLD target
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import running_error as re
from contract.agents import Batch, Layer, Layers, Rates, Settings, Tables
from contract.generators import GENERATORS
from contract.problems import DTYPE
from running_error import Rounded
from scipy.optimize import brentq


def exact(value: Any) -> Rounded:
    return Rounded.exact(value, DTYPE)


# -- divergences: multipliers and ratios ---------------------------------------------------------------------------


def multiplier(divergence: str, z: Rounded, law: np.ndarray) -> Rounded:
    """The nu with sum law (f*)'(z - nu) = 1, and how far a computation in the tested precision may miss it.

    The root is bracketed by bisection in float64. An implementation finds a nu at which *its* mean of ratios is one to
    rounding, so the miss is (rounding of that mean) / (slope of the mean), plus the spacing of numbers next to nu and
    the arguments' own error (nu is 1-Lipschitz in z).
    """
    generator, held = GENERATORS[divergence], law > 0
    points, weights = z.value[held], law[held]

    def excess(nu: float) -> float:
        return float(weights @ generator.value(points - nu)) - 1.0

    top = float(points.max())
    if np.isfinite(generator.supremum):  # JS-04: here the largest ratio alone makes the mean one
        low = top - float(generator.inverse(1.0 / weights[points == top].sum()))
    else:
        low = float(points.min())
    slack = 16 * float(np.spacing(abs(low) + abs(top) + 1.0))
    nu = top if np.ptp(points) == 0 else float(brentq(excess, low - slack, top + slack, xtol=slack / 16))
    at = Rounded(points - nu, 0.0, z.unit, z.tiny)
    # Forming z - nu costs a rounding of the difference and inherits a rounding of z and of nu.
    shift = 2 * z.unit * (np.abs(points) + abs(nu) + np.abs(points - nu))
    mean = (Rounded(weights, 0.0, z.unit, z.tiny) * generator.ratio(at)).sum()
    curvatures = generator.curvature(points - nu)
    miss = (float(mean.error) + float(weights @ (curvatures * shift))) / float(weights @ curvatures)
    spacing = 4 * z.unit * (abs(nu) + abs(top)) + slack
    return Rounded(nu, 2 * miss + spacing + z.error[held].max() + z.tiny, z.unit, z.tiny)


def relaxed_ratio(divergence: str, z: Rounded, mass: np.ndarray) -> tuple[Rounded, Rounded]:
    """Mean-one optimal ratios under mass / sum mass, and their multiplier."""
    nu = multiplier(divergence, z, mass / mass.sum())
    y = z - nu
    held = mass > 0
    ceiling = GENERATORS[divergence].supremum
    if np.isfinite(ceiling):  # a padding row may lie beyond the pole: its ratio means nothing and nobody reads it
        y = re.where(held, y, 0.0)
    return GENERATORS[divergence].ratio(y), nu


def capped_ratio(divergence: str, z: Rounded, cap: float) -> Rounded:
    """The slope of the C1 extension of f*: (f*)'(min(z, cap))."""
    return GENERATORS[divergence].slope(re.minimum(z, cap))


def stationary_value(divergence: str, q: np.ndarray, law: np.ndarray, beta: float, cap: float, mean: float) -> float:
    """The v at which E[(f*)'(min((q - v)/beta, cap))] equals `mean`: decreasing in v, solved in float64."""

    def excess(v: float) -> float:
        return float(law @ GENERATORS[divergence].value(np.minimum((q - v) / beta, cap))) - mean

    low, high = q.min() - beta, q.max() + beta
    while excess(low) < 0:
        low -= beta
    while excess(high) > 0:
        high += beta
    return float(brentq(excess, low, high, xtol=4 * np.finfo(float).eps))


# -- the tabular update -----------------------------------------------------------------------------------------------


class RoundedTables(NamedTuple):
    """`Tables` with error bounds."""

    critic: Rounded
    target: Rounded
    logits: Rounded
    value: Rounded
    log_alpha: Rounded


class Step(NamedTuple):
    """Everything that one update computes, by name."""

    tables: RoundedTables
    weights: Rounded
    y: Rounded
    td_error: Rounded | None
    log_prob: Rounded
    beta: Rounded | None = None


Law = Callable[[Rounded, np.ndarray], Rounded]
"""A law of beta: from the TD errors of the new value and the law of the rows."""


def lift(tables: Tables) -> RoundedTables:
    return RoundedTables(*(exact(t) for t in tables))


def next_value(tables: RoundedTables, states: np.ndarray) -> Rounded:
    """E_{a ~ pi}[min_i Qbar_i(s, a) - alpha log pi(a|s)] at each row's state."""
    log_pi = re.log_softmax(tables.logits)
    q = re.minimum(tables.target[0], tables.target[1])
    return (re.exp(log_pi) * (q - re.exp(tables.log_alpha) * log_pi)).sum(axis=-1)[states]


def flow_rows(
    divergence: str, delta: Rounded, going: Rounded, gamma: Any, beta: Any, cap: float, mass: Rounded
) -> tuple[Rounded, Rounded]:
    """Derivative of the flow dual's beta sum m f*(delta / beta) in V(s) and in V(s') of every row (OCC-01)."""
    pull = beta * (mass * capped_ratio(divergence, delta / beta, cap)) / beta
    return -pull, pull * gamma * going


def update(
    tables: RoundedTables,
    batch: Batch,
    weights: Rounded,
    settings: Settings,
    rates: Rates,
    divergence: str | None,
    initial: np.ndarray | None = None,
    law: Law | None = None,
) -> Step:
    """One whole update of tables with plain gradient steps; `weights` are the stored ones (B,).

    With an `initial` law (S,) of states the value minimises the flow dual instead, and ratios are those of occupancies.
    A `law` moves beta after the value has been learned with that of the settings.
    """
    s, a, after = batch.observation.argmax(-1), batch.action.argmax(-1), batch.next_observation.argmax(-1)
    reward, mass, going = exact(batch.reward), exact(batch.mass), exact(1.0 - batch.terminated)
    alpha, gamma = re.exp(tables.log_alpha), settings.discount
    # 1 critic
    y = reward + gamma * (going * next_value(tables, after))
    gradients = [
        re.scatter_add(mass * weights * (tables.critic[i][s, a] - y), (s, a), tables.logits.shape) for i in range(2)
    ]
    critic = tables.critic - rates.critic * re.stack(gradients)
    # 2 value, 3 weights
    value, td_error, new_weights, beta = tables.value, None, weights, None
    if divergence is not None:
        if initial is None:
            q = re.minimum(tables.target[0], tables.target[1])[s, a]
            z = (q - value[s]) / settings.beta
            slope = re.scatter_add(mass * (1.0 - capped_ratio(divergence, z, settings.value_cap)), (s,), value.shape)
        else:
            delta = reward + gamma * (going * value[after]) - value[s]
            here, there = flow_rows(divergence, delta, going, gamma, settings.beta, settings.value_cap, mass)
            flow = re.scatter_add(here, (s,), value.shape) + re.scatter_add(there, (after,), value.shape)
            slope = (1.0 - gamma) * exact(initial) + flow
        value = value - rates.value * slope
        td_error = reward + gamma * (going * value[after]) - value[s]
        rows = batch.mass.astype(np.float64)
        beta = exact(settings.beta) if law is None else law(td_error, rows)
        if initial is None:
            ratio, _ = relaxed_ratio(divergence, td_error / beta, rows)
        else:
            ratio = GENERATORS[divergence].ratio(re.minimum(td_error / beta, settings.value_cap))
        new_weights = (1.0 - settings.weight_rate) * weights + settings.weight_rate * ratio
    # 4 actor: d/dlogit(a) of sum_b pi(b)(alpha log pi(b) - Q(b)) is pi(a)(g(a) - sum_b pi(b) g(b)), g = alpha log pi
    # - Q
    log_pi = re.log_softmax(tables.logits)
    pi = re.exp(log_pi)
    g = alpha * log_pi - re.minimum(critic[0], critic[1])
    per_state = re.scatter_add(mass, (s,), value.shape)
    gradient = per_state.reshape(-1, 1) * (pi * (g - (pi * g).sum(axis=-1).reshape(-1, 1)))
    if rates.preconditioned:
        gradient = gradient / pi
    logits = tables.logits - rates.actor * gradient
    # 5 temperature
    log_prob = (mass * (pi * log_pi).sum(axis=-1)[s]).sum() / mass.sum()
    log_alpha = tables.log_alpha + rates.log_alpha * (alpha * (log_prob + settings.target_entropy))
    # 6 targets
    target = settings.tau * critic + (1.0 - settings.tau) * tables.target
    return Step(RoundedTables(critic, target, logits, value, log_alpha), new_weights, y, td_error, log_prob, beta)


# -- the continuous update: small ReLU networks, differentiated by hand ----------------------------------------------


def lift_layer(layer: Layer) -> tuple[Rounded, Rounded]:
    return exact(layer[0]), exact(layer[1])


def lift_layers(layers: Layers) -> Layers:
    """The same layers with error bounds (none yet)."""
    return Layers(
        [[lift_layer(layer) for layer in twin] for twin in layers.critic],
        [[lift_layer(layer) for layer in twin] for twin in layers.target],
        [lift_layer(layer) for layer in layers.actor],
        lift_layer(layers.mean),
        lift_layer(layers.log_std),
        [lift_layer(layer) for layer in layers.value],
        exact(layers.log_alpha),
        layers.log_std_range,
    )


def forward(layers: list, x: Rounded, *, linear_output: bool = True) -> tuple[Rounded, list[tuple[Rounded, Rounded]]]:
    """ReLU layers, and (input, derivative of the activation) of each for the way back."""
    tape = []
    for k, (kernel, bias) in enumerate(layers):
        h = x @ kernel + bias
        last = linear_output and k == len(layers) - 1
        tape.append((x, h.ones() if last else re.positive(h)))
        x = h if last else re.maximum(h, 0.0)
    return x, tape


def backward(layers: list, tape: list, slope: Rounded) -> tuple[list, Rounded]:
    """Gradients of the layers and of the input, from the derivative `slope` of the loss in the output."""
    gradients = []
    for (kernel, _), (x, active) in zip(reversed(layers), reversed(tape), strict=True):
        slope = slope * active
        gradients.append((x.T @ slope, slope.sum(axis=0)))
        slope = slope @ kernel.T
    return gradients[::-1], slope


def descend(layers: list, gradients: list, rate: float) -> list:
    return [(w - rate * dw, b - rate * db) for (w, b), (dw, db) in zip(layers, gradients, strict=True)]


def normal_log_prob(z: Rounded, log_std: Rounded) -> Rounded:
    """log N(u; mean, std) at z = (u - mean)/std."""
    return -0.5 * (z * z) - log_std - z.constant(0.5 * np.log(2.0 * np.pi))


class Policy(NamedTuple):
    """One reparameterised action and what its gradient needs."""

    hidden: Rounded
    tape: list
    inside: Rounded
    std: Rounded
    noise: Rounded
    normal: Rounded
    pre_tanh: Rounded
    action: Rounded
    log_prob: Rounded


def log_tanh_slope(u: Rounded) -> Rounded:
    """log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2u)) (SAC-14)."""
    return 2.0 * ((u.constant(np.log(2.0)) - u) - re.softplus(-2.0 * u))


def policy(layers: Layers, observation: Rounded, noise: np.ndarray) -> Policy:
    hidden, tape = forward(layers.actor, observation, linear_output=False)
    mean = hidden @ layers.mean[0] + layers.mean[1]
    raw = hidden @ layers.log_std[0] + layers.log_std[1]
    low, high = layers.log_std_range
    log_std = re.minimum(re.maximum(raw, low), high)
    inside = re.positive(raw - low) * re.positive(high - raw)
    std, eps = re.exp(log_std), exact(noise)
    u = mean + std * eps
    z = (u - mean) / std  # equal to eps; as evaluated from u it inherits the rounding of u divided by std
    log_prob = normal_log_prob(z, log_std) - log_tanh_slope(u)
    return Policy(hidden, tape, inside, std, eps, z, u, re.tanh(u), log_prob.sum(axis=-1))


def critic_target(layers: Layers, batch: Batch, reward: Rounded, gamma: Any, noise: np.ndarray) -> Rounded:
    """y of every row, given the noise of the actions at its successor."""
    following = exact(batch.next_observation)
    ahead = policy(layers, following, noise)
    beyond = [forward(twin, re.concatenate([following, ahead.action]))[0][:, 0] for twin in layers.target]
    soft = re.minimum(*beyond) - re.exp(layers.log_alpha) * ahead.log_prob
    return reward + gamma * (exact(1.0 - batch.terminated) * soft)


def error_size(layers: Layers, batch: Batch, reward: Rounded, gamma: Any, noise: np.ndarray) -> Rounded:
    """max_i |Q_i - y| of every row."""
    y, joint = critic_target(layers, batch, reward, gamma, noise), exact(np.hstack([batch.observation, batch.action]))
    errors = [forward(twin, joint)[0][:, 0] - y for twin in layers.critic]
    return re.maximum(*(re.maximum(error, -error) for error in errors))


def continuous_update(
    layers: Layers,
    batch: Batch,
    weights: Rounded,
    settings: Settings,
    rates: Rates,
    divergence: str | None,
    target_noise: np.ndarray,
    actor_noise: np.ndarray,
    rows: tuple[Rounded, Rounded] | None = None,
    loss_weights: Rounded | None = None,
    penalty: Callable[[list, list, Rounded], list] | None = None,
) -> tuple[Layers, Rounded]:
    """One whole update of small networks with plain gradient steps, given the noise of its two action samples.

    `rows` are the rewards and discounts (B,) of rows of several steps; `loss_weights` (B,) are the factors of the
    critic's loss where these are not the stored weights; `penalty` gives what is added to the derivative in each kernel
    of a twin, from its layers, its tape and the masses.
    """
    observation, following = exact(batch.observation), exact(batch.next_observation)
    mass, going = exact(batch.mass), exact(1.0 - batch.terminated)
    reward, gamma = (exact(batch.reward), settings.discount) if rows is None else rows
    alpha = re.exp(layers.log_alpha)
    joint = re.concatenate([observation, exact(batch.action)])
    # 1 critic
    y = critic_target(layers, batch, reward, gamma, target_noise)
    critic = []
    for twin in layers.critic:
        q, tape = forward(twin, joint)
        factor = weights if loss_weights is None else loss_weights
        slope = (mass * factor * (q[:, 0] - y)).reshape(-1, 1)
        gradients = backward(twin, tape, slope)[0]
        if penalty is not None:
            gradients = [(dw + g, db) for (dw, db), g in zip(gradients, penalty(twin, tape, mass), strict=True)]
        critic.append(descend(twin, gradients, rates.critic))
    # 2 value, 3 weights
    value, new_weights = layers.value, weights
    if divergence is not None:
        q = re.minimum(*(forward(twin, joint)[0][:, 0] for twin in layers.target))
        v, tape = forward(value, observation)
        z = (q - v[:, 0]) / settings.beta
        slope = (mass * (1.0 - capped_ratio(divergence, z, settings.value_cap))).reshape(-1, 1)
        value = descend(value, backward(value, tape, slope)[0], rates.value)
        now, then = (forward(value, x)[0][:, 0] for x in (observation, following))
        delta = reward + gamma * (going * then) - now
        ratio, _ = relaxed_ratio(divergence, delta / settings.beta, batch.mass.astype(np.float64))
        new_weights = (1.0 - settings.weight_rate) * weights + settings.weight_rate * ratio
    # 4 actor
    here = policy(layers, observation, actor_noise)
    twins = [forward(twin, re.concatenate([observation, here.action])) for twin in critic]
    first, second = (q[:, 0] for q, _ in twins)
    takes_first = re.positive(second - first)
    pull = [mass * takes_first, mass * (1.0 - takes_first)]
    dq_da = None
    for twin, (_, tape), share in zip(critic, twins, pull, strict=True):
        _, slope = backward(twin, tape, share.reshape(-1, 1))
        through = slope[:, observation.shape[1] :]
        dq_da = through if dq_da is None else dq_da + through
    scale = (alpha * mass).reshape(-1, 1)
    # log pi = -z^2/2 - log std - log(1 - tanh^2 u), z = (u - mean)/std: z does not move with mean or std, but its two
    # contributions cancel only to rounding, so both are kept. d/du of -log(1 - tanh^2 u) is 2 - 4 sigmoid(-2u) = 2
    # tanh u.
    opposite = -2.0 * here.pre_tanh
    steep = 2.0 - 4.0 * re.exp(opposite - re.softplus(opposite))
    through_z = scale * (here.normal / here.std)
    d_u = scale * steep - through_z - dq_da * (1.0 - here.action * here.action)
    d_mean = d_u + through_z
    d_log_std = (d_u * (here.std * here.noise) + scale * (here.normal * here.normal) - scale) * here.inside
    d_hidden = d_mean @ layers.mean[0].T + d_log_std @ layers.log_std[0].T
    actor = descend(layers.actor, backward(layers.actor, here.tape, d_hidden)[0], rates.actor)
    mean, log_std = descend(
        [layers.mean, layers.log_std],
        [(here.hidden.T @ d_mean, d_mean.sum(axis=0)), (here.hidden.T @ d_log_std, d_log_std.sum(axis=0))],
        rates.actor,
    )
    # 5 temperature
    log_prob = (mass * here.log_prob).sum() / mass.sum()
    log_alpha = layers.log_alpha + rates.log_alpha * (alpha * (log_prob + settings.target_entropy))
    # 6 targets
    target = [
        [
            (settings.tau * w + (1.0 - settings.tau) * tw, settings.tau * b + (1.0 - settings.tau) * tb)
            for (w, b), (tw, tb) in zip(twin, old, strict=True)
        ]
        for twin, old in zip(critic, layers.target, strict=True)
    ]
    new = Layers(critic, target, actor, mean, log_std, value, log_alpha, layers.log_std_range)
    return new, new_weights
