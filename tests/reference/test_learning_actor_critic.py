"""QAC and A2C against their fields, importance sampling, the off-policy gradient (C10)."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import tolerances_actors
import tolerances_learning
from exact import Exact, fractions, solve_linear
from hypothesis import example, given
from hypothesis import strategies as st
from scripted import Scripted, expectation, paths, uniform_for
from strategies import few, mdps, vectors

from reference import MDP, stationary_distribution
from reference.bellman import boltzmann
from reference.learning import (
    NotCovered,
    Task,
    a2c,
    a2c_fields,
    actor_field,
    constant,
    gae_bias,
    importance_estimates,
    importance_moments,
    importance_ratios,
    off_policy_a2c,
    off_policy_gradient,
    off_policy_samples,
    policy_values,
    qac,
    qac_fields,
    weight_second_moment,
)
from reference.rounding import gamma_n


@st.composite
def situations(draw, max_states: int = 3):
    """A task that may start anywhere, logits, a behaviour that does everything, and tables of both critics."""
    mdp = draw(mdps(max_states, 2, discounts=(0.0, 0.5, 0.9), scales=(1.0, 1.0 / 3.0))).mdp
    mdp = MDP(mdp.transitions, mdp.rewards, mdp.discount, None, mdp.available)
    if mdp.terminal.all():
        mdp = MDP([[[1.0]]], [[1.0]], 0.5)
    task, shape = Task(mdp), mdp.rewards.shape
    logits = np.where(mdp.available, 0.125 * draw(vectors(mdp.rewards.size)).reshape(shape), -np.inf)
    logits = np.where(task.terminal[:, None], np.where(mdp.available, 0.0, -np.inf), logits)
    q = np.where(mdp.available, draw(vectors(mdp.rewards.size)).reshape(shape), -np.inf)
    q = np.where(task.terminal[:, None], np.where(mdp.available, 0.0, -np.inf), q)
    behaviour = np.where(mdp.available, 1.0 + (np.arange(shape[1]) % 2), 0.0)
    return task, logits, behaviour / behaviour.sum(axis=1, keepdims=True), q


def ending() -> tuple[Task, np.ndarray, np.ndarray, np.ndarray]:
    """A situation in which every step may be the last and no table entry is zero: what must be cut is seen."""
    rows = np.full((3, 2, 3), 0.25)
    rows[:, :, 2], rows[2] = 0.5, [0.0, 0.0, 1.0]
    rows[0, 0], rows[1, 1] = [0.125, 0.375, 0.5], [0.25, 0.625, 0.125]
    available = np.array([[True, True], [True, True], [True, False]])
    task = Task(MDP(rows, [[1.0, 2.0], [3.0, -4.0], [0.0, 0.0]], 0.5, None, available))
    end = [0.0, -np.inf]
    logits, q = np.array([[0.5, -0.25], [1.0, 2.0], end]), np.array([[5.0, 6.0], [-7.0, 8.0], end])
    return task, logits, np.array([[0.25, 0.75], [0.75, 0.25], [1.0, 0.0]]), q


def uniforms(task: Task, acting: np.ndarray, after: np.ndarray | None, found) -> list[np.ndarray]:
    """Numbers that make replication `i` walk the step of path `i`, and draw its next action by `after`."""
    mdp, rows = task.mdp, np.asarray(task.mdp.to_dense().transitions)
    count, (state, following) = len(found.weights), found.states.T
    begin = np.where(task.terminal, 0.0, 1.0) / (~task.terminal).sum()
    numbers = [uniform_for(np.tile(begin, (count, 1)), state), uniform_for(acting[state], found.actions[:, 0])]
    numbers.append(uniform_for(rows[state, found.actions[:, 0]], following))
    ended = mdp.terminal[following]
    if after is not None:
        if ended.any():
            numbers.append(np.zeros(int(ended.sum())))
        numbers.append(np.where(ended, 0.0, uniform_for(after[following], found.actions[:, 1])))
    return numbers


@given(situations())
@example(ending())
def test_expected_updates_are_the_fields(row, situation):
    """One step from every pair to every successor, weighted by its probability: nothing is sampled."""
    task, logits, behaviour, q = situation
    policy, ones = boltzmann(logits, 1.0, task.mdp.available), np.ones(task.mdp.n_states)
    live, available = ~task.terminal, task.mdp.available
    values = np.where(live, np.where(available, q, np.inf).min(axis=1), 0.0)
    found = paths(task.mdp, policy, 1)
    count, first = len(found.weights), found.first
    rows = np.arange(count)
    size = 2.0 * tolerances_learning.magnitude(task, q) + tolerances_learning.magnitude(task, logits) + 1.0

    def weighted(task, *rest):
        return off_policy_a2c(task, behaviour, *rest)

    for id, name, acting, learner, after, table in (
        ("RL-28", "QAC", policy, qac, policy, q),
        ("RL-28", "A2C", policy, a2c, None, values),
        ("RL-29", "off-policy A2C", behaviour, weighted, None, values),
    ):
        rng = Scripted(uniforms(task, acting, after, found))
        step = next(learner(task, constant(1.0), constant(1.0), 1, count, rng, logits, table))
        same = np.array_equal(step.critic.states, first[0]) and np.array_equal(step.critic.actions, first[1])
        assert same, "the script was not followed"
        assert np.array_equal(step.critic.next_states, found.states[:, 1])
        moved = np.where(available[first[0]], step.logits[rows, first[0]], 0.0)
        moved = moved - np.where(available[first[0]], logits[first[0]], 0.0)
        actor = np.stack([(acting * expectation(task.mdp, found, moved[:, b])).sum(axis=1)
                          for b in range(logits.shape[1])], axis=1)  # fmt: skip
        fields = (qac_fields if learner is qac else a2c_fields)(task, logits, table, ones)
        weight = float(importance_ratios(policy, acting).max())
        bound, reason = tolerances_actors.field(task, size, weight)
        row(id, f"expected update of the actor, {name}", np.abs(actor - fields.actor)[live], bound, reason)
        where = (rows, *first) if learner is qac else (rows, first[0])
        before = table[first] if learner is qac else table[first[0]]
        critic = acting * expectation(task.mdp, found, step.critic.table[where] - before)
        critic = critic if learner is qac else critic.sum(axis=1)
        row(id, f"expected update of the critic, {name}", np.abs(critic - fields.critic)[live], bound, reason)


@few
@given(situations())
@example(ending())
def test_only_part_of_the_bias_is_seen(row, situation):
    """RL-28: with v in place of v_pi the actor errs by gamma (P e - P_pi e), and QAC with q_pi and A2C agree."""
    task, logits, _, q = situation
    policy, law = boltzmann(logits, 1.0, task.mdp.available), np.ones(task.mdp.n_states)
    found = policy_values(task, policy)
    truth = np.where(task.terminal, 0.0, found.values)
    values = np.where(task.terminal, 0.0, np.where(task.mdp.available, q, np.inf).min(axis=1))
    exact, seen = a2c_fields(task, logits, truth, law).actor, a2c_fields(task, logits, values, law).actor
    bound, reason = tolerances_actors.discounted_advantage(task, np.abs(truth) + np.abs(values), 1.0)
    bound += 4.0 * found.error_bound
    bias = actor_field(policy, gae_bias(task, policy, values - truth, 0.0), law * ~task.terminal)
    row("RL-28", "bias of A2C's actor", np.abs(seen - exact - bias), bound, reason)
    other = qac_fields(task, logits, found.q, law).actor
    row("RL-28", "QAC and A2C agree for exact critics", np.abs(exact - other), bound, reason)


def small() -> tuple[Task, np.ndarray, np.ndarray]:
    """Two states in which a behaviour that stays meets other states than an actor that moves."""
    rows = np.array([[[0.75, 0.25], [0.125, 0.875]], [[0.125, 0.875], [0.75, 0.25]]])
    mdp = MDP(rows, [[1.0, -1.0], [2.0, 0.5]], 0.75, [0.5, 0.5])
    return Task(mdp), np.array([[-1.0, 1.0], [0.5, 0.0]]), np.array([[0.875, 0.125], [0.125, 0.875]])


def test_sampled_updates(row):
    """Means of one step of 20000 replications against the fields, with the sample's own variance."""
    task, logits, behaviour = small()
    count, start, table = 20_000, task.mdp.initial, np.array([0.5, -0.5])
    q = np.array([[1.0, -1.0], [0.5, 2.0]])
    for k, (name, make, fields) in enumerate((
        ("QAC", lambda rng: qac(task, constant(1.0), constant(1.0), 1, count, rng, logits, q),
         qac_fields(task, logits, q, start)),
        ("A2C", lambda rng: a2c(task, constant(1.0), constant(1.0), 1, count, rng, logits, table),
         a2c_fields(task, logits, table, start)),
        ("off-policy A2C",
         lambda rng: off_policy_a2c(task, behaviour, constant(1.0), constant(1.0), 1, count, rng, logits, table),
         a2c_fields(task, logits, table, start)),
    )):  # fmt: skip
        step = next(make(np.random.default_rng(k)))
        first = q if name == "QAC" else table
        ratio = float(importance_ratios(boltzmann(logits, 1.0), behaviour).max()) if k == 2 else 1.0
        width = 4.0 * ratio * tolerances_learning.magnitude(task, q)
        for part, change, expected in (("actor", step.logits - logits, fields.actor),
                                       ("critic", step.critic.table - first, fields.critic)):  # fmt: skip
            flat, exact = change.reshape(count, -1), expected.ravel()
            slack = tolerances_learning.sampled_law(task, 2.0 * width)
            for i in range(len(exact)):
                bound, reason = tolerances_learning.empirical_mean(flat[:, i], width, 6 * len(exact))
                error = abs(flat[:, i].mean() - exact[i])
                row("RL-28", f"mean update of the {part}, {name}", error, bound + slack, reason)


LAWS = st.lists(st.integers(0, 4), min_size=3, max_size=3).filter(any)


@given(vectors(3), LAWS, st.lists(st.integers(1, 4), min_size=3, max_size=3), st.integers(0, 2))
def test_importance_moments(row, values, target, sampling, hole):
    """RL-29 in rationals; what does not count need not be covered, what counts must."""
    target = np.array(target, dtype=np.float64) / sum(target)
    if target[hole] * values[hole] == 0.0 and sum(sampling) > sampling[hole]:
        sampling = [0 if k == hole else n for k, n in enumerate(sampling)]
    sampling = np.array(sampling, dtype=np.float64) / sum(sampling)
    x, p0, p1 = fractions(values), fractions(target), fractions(sampling)
    mean = sum((a * b for a, b in zip(x, p0, strict=True)), Fraction(0))
    found = importance_moments(values, target, sampling)
    terms = [a * b / c if c else Fraction(0) for a, b, c in zip(x, p0, p1, strict=True)]
    # Sampling probabilities are rounded: the mass that they miss is no part of the mean.
    variance = sum((c * (t - mean) ** 2 for c, t in zip(p1, terms, strict=True)), Fraction(0))
    top = float(max(abs(t) for t in terms))
    bound, reason = tolerances_actors.importance(3, top)
    row("RL-29", "mean under another law", abs(float(mean - Fraction(found.mean))), bound, reason)
    row("RL-29", "variance of a term", abs(float(variance - Fraction(found.variance))), 16.0 * bound * (top + bound),
        reason)  # fmt: skip
    if not ((target > 0.0) & (sampling == 0.0)).any():
        second = sum((a * a / b for a, b in zip(p0, p1, strict=True) if b), Fraction(0))
        error = abs(float(second - Fraction(weight_second_moment(target, sampling))))
        row("RL-29", "E w^2 = 1 + chi^2", error, *tolerances_actors.importance(3, float(second)))


def test_importance_by_hand(row):
    """p0 = (1/2, 1/2), x = (1, 3): 2, not 1/2; E w^2 = 4/3 for p1 = (1/4, 3/4); sampled, and refused by name."""
    values, half, skew = np.array([1.0, 3.0]), np.array([0.5, 0.5]), np.array([0.25, 0.75])
    found = importance_moments(values, half, skew)
    row.exact("RL-29", "moments by hand", (found.mean, found.variance, found.low, found.high) == (2.0, 0.0, 2.0, 2.0),
              f"saw {found}")  # fmt: skip
    found = importance_moments(values, np.array([1.0, 0.0]), np.array([1.0, 0.0]))
    row.exact("RL-29", "range of what is drawn", (found.low, found.high) == (1.0, 1.0), f"saw {found}")
    second = weight_second_moment(half, skew)
    row("RL-29", "E w^2 = 4/3", abs(second - 4.0 / 3.0), *tolerances_actors.importance(2, second))
    with pytest.raises(NotCovered, match=r"outcome 1 has value 3\.0 and target probability 0\.5 and is never drawn"):
        importance_moments(values, half, np.array([1.0, 0.0]))
    with pytest.raises(NotCovered, match=r"behaviour\[0, 1\] \(state 0, action 1\) is 0\.0 and the policy takes"):
        importance_ratios(half[None], np.array([[1.0, 0.0]]))
    task, *_ = small()
    with pytest.raises(NotCovered, match=r"state 1, action 0"):
        off_policy_a2c(task, np.array([[0.5, 0.5], [0.0, 1.0]]), constant(1.0), constant(1.0), 1, 1,
                       np.random.default_rng(0))  # fmt: skip
    other = np.array([1.0, -2.0])
    exact, samples = importance_moments(other, half, skew), 20_000
    seen = importance_estimates(other, half, skew, samples, 4, np.random.default_rng(1))
    bound, reason = tolerances_learning.mean_of(samples, exact.variance, exact.high - exact.low, 4)
    row("RL-29", "sampled mean under another law", np.abs(seen - exact.mean), bound, reason)
    plain = float(skew @ other)
    row.exact("RL-29", "and not the mean of the sampling law", abs(plain - exact.mean) > bound, f"{plain}: {bound}")


def exact_gradient(task: Task, policy: np.ndarray, law: np.ndarray) -> list[list[Fraction]]:
    """dJ / d logits from the derivative of the Bellman equation, (I - gamma P_pi) v' = r' + gamma P' v."""
    exact, pi, weights = Exact.of(task.mdp), fractions(policy), fractions(law)
    values, system = exact.policy_values(pi), exact.system(fractions(policy))
    found = [[Fraction(0)] * task.mdp.n_actions for _ in exact.states]
    for s in exact.states:
        for b in exact.actions[s]:
            turned = [pi[s][a] * (int(a == b) - pi[s][b]) for a in exact.actions[s]]
            q = [exact.q(values, s, a) for a in exact.actions[s]]
            change = sum((t * x for t, x in zip(turned, q, strict=True)), Fraction(0))
            slope = solve_linear(system, [change if t == s else Fraction(0) for t in exact.states])
            found[s][b] = sum((w * x for w, x in zip(weights, slope, strict=True)), Fraction(0))
    return found


@few
@given(situations())
@example(ending())
def test_gradient_is_the_derivative(row, situation):
    """RL-30 for any law: rho pi (q - v) against the derivative of values, which knows no visits."""
    task, logits, _, _ = situation
    policy = boltzmann(logits, 1.0, task.mdp.available)
    for law in (task.mdp.initial, np.eye(task.mdp.n_states)[0]):
        seen, exact = off_policy_gradient(task, logits, law), exact_gradient(task, policy, law)
        found = policy_values(task, policy)
        bound, reason = tolerances_actors.off_policy_gradient(task, found.q, found.error_bound)
        error = [[float(abs(Fraction(float(x)) - y)) for x, y in zip(a, b, strict=True)]
                 for a, b in zip(seen.gradient, exact, strict=True)]  # fmt: skip
        row("RL-30", "gradient of the metric with a fixed law", error, bound, reason)
        values = Exact.of(task.mdp).policy_values(fractions(policy))
        value = sum((w * x for w, x in zip(fractions(law), values, strict=True)), Fraction(0))
        row("RL-30", "metric", float(abs(value - Fraction(seen.objective))), bound, reason)


def test_law_of_states(row):
    """RL-30: with S ~ rho the sampled update has the gradient as its mean; with S ~ d_beta it has not."""
    task, logits, behaviour = small()
    policy, law = boltzmann(logits, 1.0), stationary_distribution(task.mdp, behaviour)
    found = policy_values(task, policy)
    exact, count = off_policy_gradient(task, logits, law), 200_000
    mass = 1.0 / (1.0 - task.discount)
    row("RL-30", "mass of the visits", abs(exact.visits.sum() - mass),
        *tolerances_learning.linear_system(2, 2.0 * mass, mass))  # fmt: skip
    rng = np.random.default_rng(4)
    seen = off_policy_samples(task, logits, behaviour, law, found.values, count, rng)
    # Moving all logits of a state alike changes nothing: the entries of a score cancel.
    left, rare = np.abs(seen.terms.sum(axis=1)), 1.0 - policy[seen.states].max(axis=1)
    # Eight roundings of numbers up to the error itself, of which the entries' sizes sum to 2 (1 - pi) at least.
    row("RL-30", "sum of a score", left, gamma_n(8) * np.abs(seen.terms).sum(axis=1) / rare, "probabilities sum to one")
    terms = np.zeros((count, *logits.shape))
    terms[np.arange(count), seen.states] = seen.terms
    near = mass * actor_field(policy, found.q, law)
    ratio = float(importance_ratios(policy, behaviour).max())
    width = 2.0 * ratio * mass * 2.0 * tolerances_learning.magnitude(task, found.q)
    slack = tolerances_learning.sampled_law(task, 8.0 * mass * width) + 2.0 * mass * ratio * found.error_bound
    flat, apart = terms.reshape(count, -1), []
    for i in range(flat.shape[1]):
        bound, reason = tolerances_learning.empirical_mean(flat[:, i], width, flat.shape[1])
        error = abs(flat[:, i].mean() - exact.gradient.ravel()[i])
        row("RL-30", "mean of weighted updates, S ~ rho", error, bound + slack, reason)
        apart.append(abs(flat[:, i].mean() - near.ravel()[i]) - bound - slack)
    row.exact("RL-30", "S ~ d_beta gives another vector", max(apart) > 0.0, f"short by {-max(apart)}")
    with pytest.raises(NotCovered, match="state 0, action 1"):
        off_policy_samples(task, logits, np.array([[1.0, 0.0], [0.5, 0.5]]), law, found.values, 1, rng)
