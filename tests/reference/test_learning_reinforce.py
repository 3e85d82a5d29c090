"""REINFORCE against the exact law of its estimates: every path enumerated, then sampled; baselines (C9)."""

from __future__ import annotations

import numpy as np
import pytest
import tolerances_gradients
import tolerances_learning
from episodic import bandit, ending, shared
from hypothesis import example, given
from hypothesis import strategies as st
from scripted import Scripted, paths, uniform_for
from strategies import few, mdps, vectors

from reference import MDP
from reference.learning import (
    Softmax,
    Task,
    constant,
    episode_baseline,
    gradient_moments,
    optimal_baseline,
    reinforce,
    reinforce_direction,
    score_covariance,
    start_gradient,
    step_baseline,
    tabular,
    value_baseline,
)


def fixed(baseline):
    """A baseline that is the same whatever the parameters are."""
    return lambda task, policy, theta: np.tile(baseline, (len(theta), 1))


@st.composite
def situations(draw):
    mdp = draw(mdps(3, 2, discounts=(0.0, 0.5, 0.9), scales=(1.0,))).mdp
    mdp = MDP(mdp.transitions, mdp.rewards, mdp.discount, None, mdp.available)
    task = ending(0.5) if mdp.terminal.all() else Task(mdp)
    policy = tabular(task.mdp)
    if draw(st.booleans()):
        features = draw(vectors(2 * task.mdp.rewards.size, 0.125)).reshape(*task.mdp.rewards.shape, 2)
        policy = Softmax(features, task.mdp.available)
    return task, policy, draw(vectors(policy.dimension, 0.125))


def noisy():
    """Steps that may end and actions that matter: what the steps of an episode have in common is seen."""
    task = ending(0.5)
    return task, tabular(task.mdp), np.array([1.0, -1.0, 0.5, 0.0, 0.0, 0.0])


@few
@given(situations(), st.integers(1, 3), st.booleans(), st.sampled_from(["none", "v", "eighths"]))
@example(noisy(), 3, True, "eighths")
@example(noisy(), 3, False, "none")
def test_estimates_enumerated(row, situation, horizon, factor, kind):
    """Every path through the learner: mean and covariance of its estimates are the exact ones (RL-25, RL-27)."""
    task, policy, theta = situation
    mdp, probabilities = task.mdp, policy.probabilities(theta)
    found = paths(mdp, probabilities, horizon - 1)
    rows, count = np.asarray(mdp.to_dense().transitions), len(found.weights)
    begin = np.where(task.terminal, 0.0, mdp.initial)
    begin = begin / begin.sum()
    numbers = [uniform_for(np.tile(begin, (count, 1)), found.states[:, 0])]
    for t in range(horizon):
        state, action = found.states[:, t], found.actions[:, t]
        numbers.append(uniform_for(probabilities[state], action))
        numbers.append(uniform_for(rows[state, action], found.states[:, t + 1]) if t + 1 < horizon else np.zeros(count))
    b = {"none": np.zeros(mdp.n_states), "v": value_baseline(task, policy, theta[None])[0],
         "eighths": np.arange(1.0, mdp.n_states + 1) / 8.0}[kind]  # fmt: skip
    baseline = None if kind == "none" else fixed(b)
    update = next(reinforce(task, policy, constant(0.5), 1, horizon, count, Scripted(numbers), theta,
                            baseline=baseline, factor=factor))  # fmt: skip
    weights = begin[found.states[:, 0]] * probabilities[found.first] * found.weights
    mean, covariance, width = gradient_moments(task, policy, theta, horizon, b, factor=factor)
    size, error, reason = tolerances_gradients.estimate(task, policy, theta, horizon, b, count)
    row("RL-25", "expected estimate of REINFORCE", np.abs(weights @ update.gradients - mean), error * size, reason)
    apart = update.gradients - mean
    seen = np.einsum("n,nd,ne->de", weights, apart, apart)
    row("RL-27", "covariance of REINFORCE", np.abs(seen - covariance), 8.0 * error * size**2, reason)
    row("RL-27", "estimates stay within their width", np.ptp(update.gradients, axis=0), width + error * size, reason)
    plain = gradient_moments(task, policy, theta, horizon, factor=factor).mean
    row("RL-27", "the mean does not depend on the baseline", np.abs(mean - plain), error * size, reason)
    moved = theta + 0.5 * update.gradients
    row.exact("RL-25", "the update is a step along the estimate", bool((update.theta == moved).all()), "it is not")


@few
@given(situations())
def test_mean_is_the_gradient(row, situation):
    """With gamma^t, the mean tends to the certified gradient, at the rate of the rewards that are cut (RL-25)."""
    task, policy, theta = situation
    exact = start_gradient(task, policy, theta)
    for horizon in (4, 40):
        mean = gradient_moments(task, policy, theta, horizon).mean
        size, error, reason = tolerances_gradients.estimate(task, policy, theta, horizon)
        cut, why = tolerances_gradients.cut(task, policy, horizon)
        row("RL-25", "the mean estimate is the gradient", np.abs(mean - exact.gradient),
            cut + exact.error_bound + error * size, f"{why}; {reason}")  # fmt: skip


@pytest.mark.parametrize("discount", [0.5, 1.0])
def test_closed_forms(row, discount):
    """Episodes of two steps, nothing cut: the mean with gamma^t is the gradient, without it the closed form (RL-25)."""
    task, policy = shared(discount)
    theta = np.array([0.75])
    for factor, exact, bound in (
        (True, *_parts(start_gradient(task, policy, theta))),
        (False, *_parts(reinforce_direction(task, policy, theta))),
    ):
        mean = gradient_moments(task, policy, theta, 2, factor=factor).mean
        size, error, reason = tolerances_gradients.estimate(task, policy, theta, 2)
        name = "with" if factor else "without"
        row("RL-25", f"mean {name} gamma^t in closed form", np.abs(mean - exact), bound + error * size, reason)


def _parts(found):
    return found[:2] if isinstance(found, tuple) else (found.gradient, found.error_bound)


def test_sampled_estimates(row):
    """20000 episodes of the two steps: sampled means and variances are the exact ones, and the wrong sign is seen."""
    task, policy = shared(0.5)
    runs, theta = 20_000, np.zeros(1)
    for factor in (True, False):
        for kind, baseline in (("none", None), ("v", value_baseline), ("b*", step_baseline)):
            update = next(reinforce(task, policy, constant(1.0), 1, 2, runs, np.random.default_rng(1), theta,
                                    baseline=baseline, factor=factor))  # fmt: skip
            b = None if baseline is None else baseline(task, policy, theta[None])[0]
            mean, covariance, width = gradient_moments(task, policy, theta, 2, b, factor=factor)
            variance = np.diag(covariance)
            radius, reason = tolerances_learning.mean_of(runs, variance, width, 12)
            slack = tolerances_learning.sampled_law(task, float(width.max()))
            kept, sampled = "with" if factor else "without", update.gradients.mean(axis=0)
            row(
                "RL-25", f"sampled mean {kept} gamma^t, baseline {kind}", np.abs(sampled - mean), radius + slack, reason
            )
            if kind == "none":
                sure = float(np.sign(sampled[0])) if abs(sampled[0]) > (radius + slack)[0] else 0.0
                row.exact("RL-25", f"the sign {kept} gamma^t", sure == (1.0 if factor else -1.0),
                          f"mean {sampled} +- {radius}, while dJ/dtheta is 1/16")  # fmt: skip
            # (g - m)^2 lies in [0, width^2], so its variance is at most width^2 Var g.
            squares = ((update.gradients - mean) ** 2).mean(axis=0)
            radius, reason = tolerances_learning.mean_of(runs, width**2 * variance, width**2, 12)
            row("RL-27", f"sampled variance, baseline {kind}", np.abs(squares - variance), radius + slack * width,
                reason)  # fmt: skip


def test_baselines_of_a_bandit(row):
    """RL-27: p = 9/10, q = (1, 0), one logit: variance 9/10000 without baseline, 576/10000 with v, none with b*."""
    policy = Softmax(np.array([[[1.0], [0.0]]]), np.ones((1, 2), dtype=np.bool_))
    theta, q = np.array([np.log(9.0)]), np.array([[1.0, 0.0]])
    # Log 9 and its probability carry a few roundings each, and so does every sample, none above one.
    bound = 16.0 * tolerances_gradients.relative(policy, theta, 32, 4)
    best = optimal_baseline(policy, theta, q)
    row("RL-27", "b* swaps the probabilities", abs(best - 0.1), bound, "sixteen times a few roundings")
    for name, baseline, exact in (("none", 0.0, 0.0009), ("v", 0.9, 0.0576), ("b*", float(best[0]), 0.0)):
        seen = score_covariance(policy, theta, q, np.array([baseline]))[0, 0, 0]
        row("RL-27", f"variance with baseline {name}", abs(seen - exact), bound, "sixteen times a few roundings")


@few
@given(vectors(4, 0.125))
def test_two_actions_without_noise(row, numbers):
    """RL-27: with a table of two logits too, `b* = (1 - p) q_1 + p q_2`, and both samples are the gradient."""
    theta, q = numbers[:2], numbers[2:4]
    task = bandit(*q)
    policy = tabular(task.mdp)
    theta = np.concatenate([theta, [0.0, 0.0]])
    p = policy.probabilities(theta)[0]
    best = step_baseline(task, policy, theta[None])[0]
    size, error, reason = tolerances_gradients.estimate(task, policy, theta, 1, best)
    swapped = p[1] * q[0] + p[0] * q[1]
    row("RL-27", "b* of two logits", abs(best[0] - swapped), 8.0 * error * (size + 1.0), reason)
    update = next(reinforce(task, policy, constant(1.0), 1, 1, 64, np.random.default_rng(0), theta,
                            baseline=step_baseline))  # fmt: skip
    exact = start_gradient(task, policy, theta)
    row("RL-27", "every sample is the gradient", np.abs(update.gradients - exact.gradient),
        exact.error_bound + 8.0 * error * (size + 1.0), reason)  # fmt: skip


@few
@given(situations(), vectors(3, 0.125))
def test_one_sample_parabola(row, situation, apart):
    """RL-27: the trace of the covariance at `b` exceeds that at `b*` by `(b - b*)^2 E|x|^2`."""
    task, policy, theta = situation
    q, apart = task.mdp.rewards, apart[: task.mdp.n_states]
    best = optimal_baseline(policy, theta, q)
    least, other = (np.einsum("sdd->s", score_covariance(policy, theta, q, b)) for b in (best, best + apart))
    lengths = (policy.probabilities(theta) * (policy.scores(theta) ** 2).sum(axis=2)).sum(axis=1)
    size, error, reason = tolerances_gradients.estimate(task, policy, theta, 1, np.abs(best) + np.abs(apart))
    bound = 16.0 * error * policy.dimension * (size + 1.0) ** 2
    row("RL-27", "the trace is a parabola about b*", np.abs(other - least - apart**2 * lengths), bound, reason)


@few
@given(situations(), vectors(3, 0.125), st.integers(1, 4), st.booleans())
@example(noisy(), np.array([1.0, -2.0, 0.5]), 3, True)
@example(noisy(), np.array([1.0, -2.0, 0.5]), 4, False)
def test_episode_baseline(row, situation, apart, horizon, factor):
    """The trace for whole episodes is even about its best baseline, which no other beats (RL-27)."""
    task, policy, theta = situation
    apart = apart[: task.mdp.n_states]
    best = episode_baseline(task, policy, theta, horizon, factor=factor)

    def trace(b):
        return float(np.trace(gradient_moments(task, policy, theta, horizon, b, factor=factor).covariance))

    size, error, reason = tolerances_gradients.estimate(task, policy, theta, horizon, np.abs(best) + np.abs(apart))
    # L / M carries the relative error of M and the error of L, over an M that may be small: in the trace, M times that.
    bound = 64.0 * error * policy.dimension * (size + 1.0) ** 2
    row("RL-27", "the trace is even about the best baseline", abs(trace(best + apart) - trace(best - apart)), bound,
        reason)  # fmt: skip
    least = trace(best)
    others = {"none": 0.0 * best, "v": value_baseline(task, policy, theta[None])[0],
              "b*": step_baseline(task, policy, theta[None])[0]}  # fmt: skip
    for name, b in others.items():
        _, own, why = tolerances_gradients.estimate(task, policy, theta, horizon, b)
        row("RL-27", f"trace below that with baseline {name}", max(0.0, least - trace(b)),
            bound + 64.0 * own * policy.dimension * (size + 1.0 + np.abs(b).max()) ** 2, why)  # fmt: skip


def test_value_baseline_is_not_best(row):
    """RL-27: exact traces say that v may be worse than nothing, and b* of single steps not the best for episodes."""
    (task, policy), theta = shared(1.0), np.array([np.log(9.0)])
    size, error, _ = tolerances_gradients.estimate(task, policy, theta, 2, 2.0)
    slack = 8.0 * error * size**2
    # The four paths by hand, at p = 9/10: second moments less the square of the mean, -9/200.
    for name, baseline, second in (
        ("b*", step_baseline, 0.02025),
        ("none", lambda task, policy, theta: np.zeros((1, 3)), 0.1629),
        ("v", value_baseline, 0.20745),
    ):
        b = baseline(task, policy, theta[None])[0]
        seen = float(gradient_moments(task, policy, theta, 2, b).covariance[0, 0])
        row("RL-27", f"variance of two steps, baseline {name}", abs(seen - (second - 0.045**2)), slack,
            "rounding of estimates")  # fmt: skip
    # Here what follows depends on the action, and the terms of an estimate on each other.
    task = ending(0.5)
    policy, theta, horizon = tabular(task.mdp), np.array([1.0, -1.0, 0.5, 0.0, 0.0, 0.0]), 6
    single = step_baseline(task, policy, theta[None])[0]
    best = episode_baseline(task, policy, theta, horizon)
    size, error, _ = tolerances_gradients.estimate(task, policy, theta, horizon, np.abs([best, single]))
    traces = [float(np.trace(gradient_moments(task, policy, theta, horizon, b).covariance)) for b in (best, single)]
    slack = 16.0 * error * policy.dimension * size**2
    row.exact("RL-27", "b* of single steps is not the best for episodes", traces[0] + slack < traces[1],
              f"traces {traces}, baselines {best} and {single}")  # fmt: skip


def test_noise_free_ascent(row):
    """With b*, twenty episodes of a bandit are twenty steps of exact gradient ascent, in every replication (RL-27)."""
    task, steps, size = bandit(1.0, 0.0), 20, 0.5
    policy, theta = tabular(task.mdp), np.array([0.25, -0.5, 0.0, 0.0])
    learners = [reinforce(task, policy, constant(size), steps, 1, 32, np.random.default_rng(2), theta, baseline=b)
                for b in (step_baseline, None)]  # fmt: skip
    allowed, spread = 0.0, 0.0
    for update, noisy in zip(*learners, strict=True):
        exact = start_gradient(task, policy, theta)
        largest, error, reason = tolerances_gradients.estimate(task, policy, theta, 1, 1.0)
        theta = theta + size * exact.gradient
        # The field p (1 - p) (1, -1) has slopes p (1 - p) (1 - 2 p) in either logit, below 1/8: its norm is below 1/4.
        own = size * (float(exact.error_bound.max()) + 8.0 * error * (largest + 1.0))
        allowed = (1.0 + 0.25 * size) * allowed + 2.0 * own
        row("RL-27", "ascent without noise", np.abs(update.theta - theta), allowed, f"{reason}, step by step")
        spread = float(np.ptp(noisy.theta, axis=0).max())
    row.exact("RL-27", "without a baseline there is noise", spread > 2.0 * allowed, f"spread {spread}")


def test_samples_and_probabilities(row):
    """RL-26: a sample raises the probability of its action if it paid, and lowers it otherwise, whatever the step."""
    for pay in (2.0, -2.0):
        task = bandit(pay, pay, pay)
        policy, theta = tabular(task.mdp), np.array([1.0, 0.0, -1.0, 0.0, 0.0, 0.0])
        update = next(reinforce(task, policy, constant(0.5), 1, 1, 200, np.random.default_rng(3), theta))
        before, after = policy.probabilities(theta)[0], policy.probabilities(update.theta)[:, 0]
        taken = np.sign(pay) * update.gradients[:, :3] > 0.0  # only the sampled action's score is positive
        change = np.sign(after - before)
        moved = (change[taken] == np.sign(pay)).all() and (taken.sum(axis=1) == 1).all()
        row.exact("RL-26", "the sampled action rises if q > 0, and falls if not", bool(moved), f"pay {pay}")
        size, error, reason = tolerances_gradients.estimate(task, policy, theta, 1)
        own = update.gradients[:, :3][taken]
        sampled = np.broadcast_to(before, taken.shape)[taken]
        row("RL-26", "the rarer the action, the larger its step", np.abs(own - pay * (1.0 - sampled)), error * size,
            reason)  # fmt: skip


def test_episodes_of_the_learner(row):
    """What an update says of its episode: discounted returns and lengths of the two steps."""
    task, policy = shared(0.5)
    updates = list(reinforce(task, policy, constant(1.0), 3, 5, 50, np.random.default_rng(4)))
    row.exact("RL-25", "episodes are counted", [u.number for u in updates] == [1, 2, 3], f"{updates}")
    row.exact("RL-25", "lengths", all((u.lengths == 2).all() for u in updates), f"{updates[0].lengths}")
    possible = {0.0, 1.0, -0.75, 0.25}
    seen = {float(x) for u in updates for x in u.returns}
    row.exact("RL-25", "returns", seen <= possible and len(seen) > 1, f"expected some of {possible}, saw {seen}")
    with pytest.raises(ValueError, match="at least 1 step"):
        next(reinforce(task, policy, constant(1.0), 1, 0, 1, np.random.default_rng(0)))
    with pytest.raises(ValueError, match="at least 1 step"):
        gradient_moments(task, policy, np.zeros(1), 0)
    stay = np.zeros((2, 1, 2))
    stay[0, 0, 0] = stay[1, 0, 1] = 1.0
    forever = MDP(stay, [[1.0], [0.0]], 0.5)
    with pytest.raises(ValueError, match="values that exist"):
        value_baseline(Task(forever, 1.0), tabular(forever), np.zeros((1, 2)))
