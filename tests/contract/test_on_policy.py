"""REINFORCE, A2C and PPO: log-probabilities, losses, normalisation, minibatches, one whole update of tables, acting.

Advantages and returns themselves are in test_advantages.py; the whole update computes them once more.
"""

import numpy as np
import pytest
import running_error as re
import tolerances
from contract.agents import Rollout
from contract.compare import agree, examples
from contract.problems import DTYPE, STATES, grids, problems
from contract.protocol import ACTIONS
from contract.shadow import exact
from hypothesis import assume, given
from hypothesis import strategies as st
from running_error import Rounded, stack
from scipy.special import softmax
from tolerances_on_policy import SMALLEST_DEVIATION, log_two_pi, square_root

from reference.evaluation import evaluate_policy
from reference.occupancy import occupancy_measure

B, U = 32, 3
T, K = 6, 2
DRAWS = 2**12
CLIPS = st.sampled_from((0.125, 0.25, 0.5))


# -- formulas ---------------------------------------------------------------------------------------------------------


def log_law(logits: Rounded) -> tuple[Rounded, Rounded, Rounded]:
    """log pi (B, A), pi, and the entropy (B,)."""
    log_pi = re.log_softmax(logits)
    pi = re.exp(log_pi)
    return log_pi, pi, -(pi * log_pi).sum(axis=-1)


@given(grid=grids(-8, 8), wide=st.sampled_from((1.0, 64.0)))
def test_categorical(grid, wide, offered, row):
    """log pi(a) of the action taken; the entropy of the whole law, finite where a probability vanishes."""
    logits, taken = grid(B, ACTIONS) * DTYPE.type(wide), np.arange(B) % ACTIONS
    log_prob, entropy = offered("categorical")(logits, np.eye(ACTIONS, dtype=DTYPE)[taken])
    log_pi, _, expected = log_law(exact(logits))
    agree(row, "OP-01", "categorical log-probability", log_prob, log_pi[np.arange(B), taken])
    agree(row, "OP-01", "categorical entropy", entropy, expected)


@given(grid=grids(-4, 4), scale=grids(-3, 1))
def test_normal(grid, scale, offered, row):
    """Sums over the dimensions, of the action as it was drawn: far outside [-1, 1] as well."""
    mean, log_std, action = grid(B, U), scale(B, U), grid(B, U)
    log_prob, entropy = offered("normal")(mean, log_std, action)
    z = (exact(action) - exact(mean)) * re.exp(-exact(log_std))
    half = log_two_pi(z) * 0.5
    agree(row, "OP-01", "normal log-probability", log_prob, (-0.5 * (z * z) - exact(log_std) - half).sum(axis=-1))
    agree(row, "OP-01", "normal entropy", entropy, (exact(log_std) + (half + 0.5)).sum(axis=-1))


@given(grid=grids(-4, 4), mass=grids(0, 1, 256))
def test_policy_loss(grid, mass, offered, row):
    """-mass A log pi, whose derivative is -mass A: a step along it makes good actions more probable."""
    log_prob, advantage, m = grid(B), grid(B), mass(B)
    loss, gradient = offered("policy_loss")(log_prob, advantage, m)
    weighted = exact(m) * exact(advantage)
    agree(row, "OP-02", "policy loss", loss, -(weighted * exact(log_prob)).sum())
    agree(row, "OP-02", "derivative of the policy loss", gradient, -weighted)


@given(grid=grids(-1, 1), advantage=grids(-4, 4), mass=grids(0, 1, 256), clip=CLIPS)
def test_surrogate(grid, advantage, mass, clip, offered, row):
    """The lesser of both surrogates: no derivative where the ratio has left the clip on the side that A favours."""
    new, old, a, m = grid(B), grid(B), advantage(B), mass(B)
    loss, gradient = offered("surrogate")(new, old, a, m, clip)
    expected, slope = surrogate(exact(new), exact(old), exact(a), clip)
    agree(row, "OP-02", "clipped surrogate", loss, -(exact(m) * expected).sum())
    for sign, name in ((1, "good"), (-1, "bad")):
        where = np.sign(a) == sign
        if where.any():
            quantity = f"derivative of the clipped surrogate for {name} actions"
            agree(row, "OP-02", quantity, gradient, -(exact(m) * slope), where=where)


def surrogate(new: Rounded, old: Rounded, advantage: Rounded, clip: float) -> tuple[Rounded, Rounded]:
    """min(rho A, clip(rho) A), and its derivative in log pi."""
    ratio = re.exp(new - old)
    low, high = exact(DTYPE.type(1.0)) - clip, exact(DTYPE.type(1.0)) + clip
    clipped = re.minimum(re.maximum(ratio, low), high)
    inside = re.where(advantage.value > 0, re.positive(high - ratio), re.positive(ratio - low))
    return re.minimum(ratio * advantage, clipped * advantage), inside * (ratio * advantage)


@given(grid=grids(-4, 4), mass=grids(0, 1, 256))
def test_regression(grid, mass, offered, row):
    """mass (V - G)^2 / 2, whose derivative is mass (V - G)."""
    value, target, m = grid(B), grid(B), mass(B)
    loss, gradient = offered("regression")(value, target, m)
    error = exact(value) - exact(target)
    agree(row, "OP-02", "value loss", loss, (exact(m) * (0.5 * (error * error))).sum())
    agree(row, "OP-02", "derivative of the value loss", gradient, exact(m) * error)


def normalised(advantage: Rounded, mass: Rounded) -> Rounded:
    """(A - mean) / (deviation + 1e-8), rows counting by their mass."""
    share = mass / mass.sum()
    centred = advantage - (share * advantage).sum()
    variance = (share * (centred * centred)).sum()
    assume(variance.value > variance.error)
    return centred / (square_root(variance) + variance.constant(SMALLEST_DEVIATION))


@given(grid=grids(-4, 4), mass=grids(0, 1, 256), far=st.sampled_from((0.0, 64.0)))
def test_normalised(grid, mass, far, offered, row):
    """Mean zero and deviation one over all rows, wherever the mean was; equal rows, and a single one, become zero."""
    advantage, m = grid(B) + DTYPE.type(far), mass(B)
    assume(m.any())
    seen = offered("normalised")(advantage, m)
    agree(row, "OP-02", "normalised advantages", seen, normalised(exact(advantage), exact(m)))
    alone = np.zeros(B, DTYPE)
    alone[0] = 1.0
    seen = np.asarray(offered("normalised")(advantage, alone))
    row.exact("OP-02", "a single advantage normalised", seen[0] == 0.0, f"expected 0, saw {seen[0]}")


@given(seed=st.integers(0, 2**31 - 1), parts=st.sampled_from((1, 2, 8, B)))
def test_minibatches(seed, parts, offered, row):
    """An epoch uses every row exactly once, and another key another order."""
    dealt = np.asarray(offered("minibatches")(seed, B, parts))
    shape = dealt.shape == (parts, B // parts)
    row.exact("OP-02", "shape of an epoch's minibatches", shape, f"{dealt.shape}, {parts} parts of {B} rows")
    once = np.array_equal(np.sort(dealt.ravel()), np.arange(B))
    row.exact("OP-02", "an epoch uses every row exactly once", once, f"expected 0..{B - 1} once each, saw {dealt}")
    other = np.asarray(offered("minibatches")(seed + 1, B, parts))
    row.exact("OP-02", "orders differ between keys", not np.array_equal(dealt, other), f"twice {dealt}")


# -- one whole update -------------------------------------------------------------------------------------------------


@st.composite
def rollouts(draw) -> Rollout:
    """Consistent trajectories: the row below begins where this one led, unless an episode ended."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    how = rng.choice(3, size=(T, K), p=(0.6, 0.2, 0.2))
    states, final = rng.integers(STATES, size=(2, T, K))
    following = np.where(how > 0, final, np.concatenate([states[1:], final[-1:]]))
    eye = np.eye(STATES, dtype=DTYPE)
    actions = np.eye(ACTIONS, dtype=DTYPE)[rng.integers(ACTIONS, size=(T, K))]
    reward, mass = rng.integers(-128, 129, size=(T, K)) / 64, rng.integers(0, 65, size=(T, K)) / 512
    flags = (how == 1).astype(DTYPE), (how > 0).astype(DTYPE)
    return Rollout(eye[states], actions, reward.astype(DTYPE), eye[following], *flags, mass.astype(DTYPE))


def estimates(method: str, rollout: Rollout, value: np.ndarray, discount: float, decay: float):
    """Advantages and returns (T * K,), row by row from the last."""
    v, after = (exact(rows @ value) for rows in (rollout.observation, rollout.next_observation))
    if method == "reinforce":
        v = after = exact(np.zeros((T, K)))
    if method.startswith("reinforce"):
        decay = 1.0
    going, alive = exact(1 - rollout.ended), exact(1 - rollout.terminated)
    delta = exact(rollout.reward) + discount * (alive * after) - v
    found, ahead = [], exact(np.zeros(K))
    for t in reversed(range(T)):
        ahead = delta[t] + exact(discount) * exact(decay) * (going[t] * ahead)
        found.insert(0, ahead)
    advantage = stack(found)
    return advantage.reshape(-1), (advantage + v).reshape(-1)


def actor_step(logits: Rounded, s, a, mass: Rounded, slope, bonus: float, rate: float) -> Rounded:
    """Logits after a descent of -sum mass slope(log pi) - bonus sum mass H, differentiated by hand."""
    rows, taken = logits[s], np.eye(ACTIONS)[a]
    log_pi, pi, entropy = log_law(rows)
    derivative = slope(log_pi[np.arange(len(s)), a]).reshape(-1, 1)
    direction = derivative * (exact(taken) - pi) - bonus * (pi * (log_pi + entropy.reshape(-1, 1)))
    return logits + rate * re.scatter_add(mass.reshape(-1, 1) * direction, (s,), logits.shape)


@pytest.mark.parametrize("method", ["a2c", "reinforce", "reinforce-baseline", "ppo"])
@examples(0.5)
@given(
    rollout=rollouts(),
    grid=grids(-2, 2),
    discount=st.sampled_from((0.0, 0.5, 0.9375)),
    decay=st.sampled_from((0.0, 0.5, 0.9375, 1.0)),
    clip=CLIPS,
    bonus=st.sampled_from((0.0, 0.125)),
)
def test_whole_update(method, rollout, grid, discount, decay, clip, bonus, offered, row):
    """Advantages from the old value, then the steps; a second epoch of PPO holds the ratio against the old policy."""
    assume(rollout.mass.any())
    logits, value, rate = grid(STATES, ACTIONS), grid(STATES), 0.25
    seen, seen_value = offered("on_policy")(method).update(
        logits, value, rollout, rate, discount=discount, decay=decay, clip=clip, bonus=bonus
    )
    s, a = (rows.argmax(-1).ravel() for rows in (rollout.observation, rollout.action))
    advantage, target = estimates(method, rollout, value, discount, decay)
    mass, table, v = exact(rollout.mass.ravel()), exact(logits), exact(value)
    old = log_law(table[s])[0][np.arange(T * K), a]
    if method == "ppo":
        advantage = normalised(advantage, mass)

    def slope(log_prob: Rounded) -> Rounded:
        return surrogate(log_prob, old, advantage, clip)[1] if method == "ppo" else advantage

    for _ in range(2 if method == "ppo" else 1):
        table = actor_step(table, s, a, mass, slope, bonus, rate)
        v = v - rate * re.scatter_add(mass * (v[s] - target), (s,), v.shape)
    agree(row, "OP-03", f"policy after an update of {method}", seen, table)
    if method == "reinforce":
        row.exact("OP-03", "no value without a baseline", np.array_equal(seen_value, value), f"{value} -> {seen_value}")
    else:
        agree(row, "OP-03", f"value after an update of {method}", seen_value, v)


@examples(0.5)
@given(problem=problems(), grid=grids(-2, 2))
def test_policy_gradient(problem, grid, offered, row):
    """With V = v_pi, over all (s, a, s') by their discounted occupancy, A2C's step is d (q - v) of `reference`."""
    logits, n = grid(STATES, ACTIONS), problem.n
    mdp, policy = problem.mdp(), np.eye(1, ACTIONS).repeat(n + 1, axis=0)
    policy[:n] = softmax(logits[:n].astype(np.float64), axis=-1)
    solved, occupancy = evaluate_policy(mdp, policy), occupancy_measure(mdp, policy)[:n]
    batch = problem.batch("unit")
    s, a, after = (rows.argmax(-1) for rows in (batch.observation, batch.action, batch.next_observation))
    value = np.zeros(STATES)
    value[:n] = solved.values[:n]
    mass = np.where(batch.mass > 0, batch.mass * occupancy[np.minimum(s, n - 1), a], 0.0)
    steps = (rows[:, None] for rows in batch[:5])
    rollout = Rollout(*steps, np.ones((len(s), 1), DTYPE), mass.astype(DTYPE)[:, None])
    changed, _ = offered("on_policy")("a2c").update(
        logits, value.astype(DTYPE), rollout, 1.0, discount=problem.discount, decay=0.5, clip=0.0, bonus=0.0
    )
    # Masses and values are rounded when they are handed over.
    table = exact(logits)
    m, v = table.constant(mass), table.constant(value)
    advantage = exact(batch.reward) + problem.discount * (exact(1 - batch.terminated) * v[after]) - v[s]
    step = actor_step(table, s, a, m, lambda log_prob: advantage, 0.0, 1.0)
    theirs = occupancy * (solved.q[:n] - value[:n, None])
    rounding, reason = tolerances.backup(mdp, solved.values)
    row(
        "RL-24",
        "expected step of A2C with the exact value is the policy gradient",
        np.abs(changed[:n] - logits[:n] - theirs),
        step.error[:n] + rounding + 2 * solved.error_bound,
        f"running error analysis of the step; in the reference, {reason}, and its error bound",
        (changed[:n] - logits[:n], theirs),
    )


# -- acting -----------------------------------------------------------------------------------------------------------


def test_actions(offered, row):
    """Pairs of actions, of two environments at once and of one at two times, are independent draws from pi."""
    logits = (np.arange(STATES * ACTIONS).reshape(STATES, ACTIONS) % 4 / 2).astype(DTYPE)
    law = log_law(exact(logits))[1].value[0]
    at = np.eye(STATES, dtype=DTYPE)[np.zeros(2, int)]
    taken = offered("on_policy")("a2c").actions(logits, at, 2 * DRAWS, 11)
    pairs = {"of two environments": taken[:DRAWS], "at two times": taken[DRAWS:, 0].reshape(-1, 2)}
    for name, drawn in pairs.items():
        for first in range(ACTIONS):
            for second in range(ACTIONS):
                count = float(((drawn[:, 0] == first) & (drawn[:, 1] == second)).sum())
                low, high, reason = tolerances.binomial_counts(
                    len(drawn), law[first] * law[second], 2 * ACTIONS * ACTIONS
                )
                row("OP-04", f"pairs of actions {name}", abs(count - (low + high) / 2), (high - low) / 2, reason)


@given(grid=grids(-8, 8))
def test_greedy(grid, offered, row):
    """In evaluation the most probable action."""
    apart = np.arange(ACTIONS, dtype=DTYPE) / 256  # less than the grid's spacing: no ties
    logits = grid(STATES, ACTIONS) + apart
    seen = offered("on_policy")("ppo").greedy(logits, np.eye(STATES, dtype=DTYPE))
    right = np.array_equal(seen, logits.argmax(-1))
    row.exact("OP-04", "greedy actions", right, f"expected {logits.argmax(-1)}, saw {seen} for\n{logits}")
