"""Where the whole update comes to rest on a random decision process, everything equals the exact solution.

All parts learn at once: twin critics with stored weights, value, weights, policy, targets, temperature. When the
iterates have stopped moving, the last movement alone says how far they can still be from the solution; no reference
enters the bound. With x the resting parameters, and for each group the residual e = (|movement| + running error) /
rate:

    targets      |Qbar_i - Q_i| <= e_target  (rate tau)
    policy       |alpha log pi - min Q - c(s)| <= e_policy, so alpha KL(pi | Boltzmann(min Q)) <= 2 e_policy
    critics      |Q_i - r - gamma P E_pi[min Qbar - alpha log pi]| <= e_critic

so min Q satisfies the soft optimality equation to  e = e_critic + gamma (e_target + 2 e_policy),  and, the operator
being a gamma-contraction (SAC-06), |Q_i - Q*| <= e / (1 - gamma). Policy: |log pi - log pi*| <= 2 (e_policy + that) /
alpha. Value: v is non-expansive in q. Weights: ratios are monotone in z - nu, which moves by at most twice the error
of z. Entropy: from the policy's bound. The exact solution is then that of `reference` at the temperature where the
run came to rest.
"""

import dataclasses

import numpy as np
import pytest
from contract import shadow
from contract.agents import Rates
from contract.compare import EPS, examples, iterates
from contract.generators import GENERATORS, reference_divergence
from contract.problems import ACTIONS, DTYPE, STATES, problems, settings, tables
from contract.shadow import exact
from hypothesis import given
from hypothesis import strategies as st
from running_error import Rounded, unit_roundoff

from reference.soft import solve_soft
from reference.weights import optimal_weights

DIVERGENCES = (None, "kl", "js", "fermi-dirac")
VALUE_IDS = {"kl": "GUM-01", "js": "FD-03", "fermi-dirac": "FD-03"}
FLOAT64 = np.finfo(np.float64).eps
UPDATES, CHUNK = 8000, 500
SERVO = 0.0625  # step size of the temperature


def entropy(policy: np.ndarray) -> np.ndarray:
    return -(policy * np.log(policy)).sum(-1)


def servo_rate(mdp, alpha: float, n: int) -> float:
    """alpha dH/dlog alpha at the exact soft solution: the temperature's contraction per unit of step size (SAC-18).

    Zero where the entropy does not depend on alpha, as without rewards: no temperature then meets another target.
    """
    step = 0.125
    low, high = (entropy(solve_soft(mdp, alpha * np.exp(h), 1e-12).policy[:n]).mean() for h in (-step, step))
    return alpha * float(high - low) / (2 * step)


def rest(agent, state, batch, scalars):
    """Iterate until the parameters stop moving at the resolution of the precision, or for `UPDATES` updates."""
    before = agent.tables(state)
    for _ in range(UPDATES // CHUNK):
        state, weight = agent.iterate(state, batch, scalars, CHUNK)
        batch = batch._replace(weight=np.asarray(weight))
        now = agent.tables(state)
        movement = max(
            np.abs(np.asarray(a, float) - b).max() / (1 + np.abs(b).max()) for a, b in zip(now, before, strict=True)
        )
        if movement <= 8 * EPS:
            break
        before = now
    return state, batch, now


def tilted(problem, batch):
    """The dynamics that the critic's weighted regression averages over: P(s'|s,a) w(s,a,s'), normalised.

    Weights that depend on the successor tilt the model (OCC-07); with one successor per pair, or without weights, it
    is P.
    """
    s, a, after = batch.observation.argmax(-1), batch.action.argmax(-1), batch.next_observation.argmax(-1)
    table = np.zeros((STATES, ACTIONS, STATES + 1))
    column = np.where(batch.terminated == 1, STATES, after)
    np.add.at(table, (s, a, column), batch.mass.astype(float) * batch.weight.astype(float))
    table = np.concatenate([table[: problem.n, :, : problem.n], table[: problem.n, :, STATES:]], axis=-1)
    mass = table.sum(-1, keepdims=True)
    return dataclasses.replace(problem, transitions=table / mass), mass[..., 0]


@iterates
@pytest.mark.parametrize("divergence", DIVERGENCES)
@examples(0.25)
@given(data=st.data())
def test_fixed_point(divergence, data, offered, row):
    """Q, pi, V, weights and temperature at rest against exact solutions; see the module's docstring."""
    problem = data.draw(problems(discounts=(0.0, 0.5, 0.75)))
    if divergence is not None and data.draw(st.booleans()):
        problem = problem.deterministic()
    learned = data.draw(st.booleans())
    start = data.draw(tables())._replace(log_alpha=np.asarray(data.draw(st.sampled_from((-1.0, -0.5, 0.25))), DTYPE))
    n, mdp, gamma = problem.n, problem.mdp(), problem.discount
    alpha = float(np.exp(np.float64(start.log_alpha)))
    goal = solve_soft(mdp, alpha, 1e-12)
    # The temperature learns where its servo can come to rest in time, with a factor two for what the weights tilt.
    learned = learned and UPDATES * SERVO * servo_rate(mdp, alpha, n) >= -2 * np.log(EPS)
    scalars = data.draw(settings(gamma, divergence))._replace(
        tau=0.5, beta=16.0, target_entropy=float(DTYPE.type(entropy(goal.policy[:n]).mean()))
    )
    behavior = np.ones((STATES, ACTIONS))
    behavior[:n] = problem.behavior
    rates = Rates(
        critic=DTYPE.type(0.25) / behavior.astype(DTYPE),
        actor=DTYPE.type(0.5),
        value=DTYPE.type(4.0),
        log_alpha=DTYPE.type(SERVO * learned),
        preconditioned=1.0,
    )
    agent = offered("tabular")(divergence)
    state, batch, x = rest(agent, agent.state(start, rates), problem.batch("behavior"), scalars)
    state, weights = agent.update(state, batch, scalars)
    step = shadow.update(shadow.lift(x), batch, exact(batch.weight), scalars, rates, divergence)

    after = agent.tables(state)
    moved = {
        k: np.abs(np.asarray(getattr(after, k), float) - getattr(x, k)) + getattr(step.tables, k).error
        for k in x._fields
    }
    alpha = float(np.exp(np.float64(x.log_alpha)))
    model, mass = tilted(problem, batch)
    still = moved["critic"][:, :n].max()
    e_target = moved["target"][:, :n].max() / scalars.tau + still
    e_policy = moved["logits"][:n].max() / float(rates.actor) + still
    e_critic = (moved["critic"][:, :n] / (np.asarray(rates.critic, float)[:n] * mass)).max()
    distance = (e_critic + gamma * (e_target + 2 * e_policy)) / (1 - gamma)

    truth = solve_soft(model.mdp(), alpha, 1e-12)
    q, scale = truth.q[:n], 1 + np.abs(truth.q[:n]).max()
    distance += truth.error_bound + 64 * FLOAT64 * scale / (1 - gamma)
    reason = "last movement and running error over the rates, through the gamma-contraction"
    row(
        "SAC-06",
        "soft Q where the whole update rests",
        np.abs(np.asarray(x.critic, float)[:, :n] - q),
        distance,
        reason,
    )
    policy = np.exp(np.asarray(x.logits, float)[:n])
    policy /= policy.sum(-1, keepdims=True)
    sharp = 2 * (e_policy + distance) / alpha + 64 * FLOAT64 * scale / alpha
    row(
        "SAC-05",
        "policy where the whole update rests is Boltzmann of the exact soft Q",
        np.abs(np.log(policy) - np.log(truth.policy[:n])),
        sharp,
        reason,
    )
    row.exact(
        "UP-03",
        "the whole update comes to rest",
        distance <= np.sqrt(EPS) * scale / (1 - gamma),
        f"after {UPDATES} updates the distance to the solution is bounded only by {distance:.2e}, of scale {scale:.2e}",
    )
    if learned:
        slack = float(moved["log_alpha"]) / (float(rates.log_alpha) * alpha)
        drift = sharp + entropy(truth.policy[:n]).mean() * np.expm1(sharp)
        row(
            "SAC-18",
            "entropy where the whole update rests is the target",
            abs(entropy(truth.policy[:n]).mean() - scalars.target_entropy),
            slack + drift,
            reason,
        )
    if divergence is None:
        return
    # 2 value
    residual = moved["value"][:n] / float(rates.value)
    values, bounds = np.zeros(STATES), np.zeros(STATES)
    for s in range(n):
        at = [
            shadow.stationary_value(divergence, q[s], problem.behavior[s], scalars.beta, scalars.value_cap, mean)
            for mean in (1.0, 1.0 + residual[s], 1.0 - residual[s])
        ]
        values[s], bounds[s] = (
            at[0],
            max(abs(at[1] - at[0]), abs(at[2] - at[0])) + distance + e_target + 64 * FLOAT64 * scale,
        )
    row(
        VALUE_IDS[divergence],
        f"value where the whole update rests ({divergence})",
        np.abs(np.asarray(x.value, float)[:n] - values[:n]),
        bounds[:n],
        reason + " and the monotone mean of ratios",
    )
    # 3 weights
    held = batch.mass > 0
    s, following = batch.observation.argmax(-1), batch.next_observation.argmax(-1)
    delta = batch.reward.astype(float) + gamma * (1 - batch.terminated) * values[following] - values[s]
    law = batch.mass.astype(float) / batch.mass.sum(dtype=float)
    answer = optimal_weights(delta, law, scalars.beta, reference_divergence(divergence))
    shift = 2 * (1 + gamma) * (bounds.max() + moved["value"][:n].max()) / scalars.beta + answer.multiplier_error
    y = Rounded(delta[held] / scalars.beta - answer.multiplier, shift, unit_roundoff(DTYPE), 0.0)
    lag = (np.abs(np.asarray(weights, float) - batch.weight) + step.weights.error)[held] / scalars.weight_rate
    row(
        "PRI-02",
        f"weights where the whole update rests ({divergence})",
        np.abs(batch.weight.astype(float)[held] - answer.weights[held]),
        lag + GENERATORS[divergence].ratio(y).error + answer.weights_error,
        reason + " and the monotone ratio",
    )
