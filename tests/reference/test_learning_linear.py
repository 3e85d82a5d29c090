"""Linear approximation, exactly: fixed points, bounds, stability, and what other objectives find instead (C8)."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import tolerances_linear
from exact import distance, fractions, solve_linear
from hypothesis import example, given
from hypothesis import strategies as st
from situations import ending, situations
from strategies import few, vectors

from reference import MDP, garnet
from reference.learning import (
    Affine,
    Task,
    action_values,
    aggregated,
    approximation_bounds,
    baird,
    bellman_residual_minimiser,
    dqn_objective,
    fitted_q_step,
    law_norm,
    modulus,
    noisy_target,
    on_policy_law,
    one_hot,
    pair_law,
    per_action,
    policy_values,
    projected_fixed_point,
    projection,
    q_operator,
    ring,
    spectral_radius,
    squared_error,
    squared_error_minimiser,
    stability,
    target_variance,
    td_operator,
    td_outcomes,
    td_system,
    w_to_2w,
)
from reference.rounding import gamma_n


@st.composite
def drawings(draw):
    """A situation, small integers for features, and a process to take where the situation has no one law."""
    width = draw(st.integers(1, 2))
    return draw(situations(4, 2))[:2], draw(vectors(4 * width)).reshape(4, width), draw(st.integers(0, 99))


def approximation(drawing):
    """A task, a policy with one recurrent class, its law, and features that the law tells apart."""
    (task, policy), numbers, seed = drawing
    try:
        law = on_policy_law(task, policy)
    except ValueError:  # several recurrent classes
        task, policy = Task(garnet(3, 2, 3, seed, task.discount)), np.array([[0.5, 0.5], [0.25, 0.75], [1.0, 0.0]])
        law = on_policy_law(task, policy)
    features = 8.0 * numbers[: task.mdp.n_states].clip(-0.5, 0.5)
    features = np.where(task.terminal[:, None], 0.0, features)
    # States that are hardly ever met tell nothing apart in float64.
    if np.linalg.matrix_rank(features[law > 2.0**-16]) < features.shape[1]:
        features = np.where(task.terminal[:, None], 0.0, np.ones((len(law), 1)))
    return task, policy, law, features


def rational_system(left, moved, right):
    """`left^T moved` and `left^T right` for nested lists of rationals."""
    columns, rows = range(len(left[0])), range(len(right))
    matrix = [[sum((left[n][i] * moved[n][j] for n in rows), Fraction(0)) for j in columns] for i in columns]
    return matrix, [sum((left[n][i] * right[n] for n in rows), Fraction(0)) for i in columns]


def against(row, id, quantity, found, features, exact):
    """Weights and values of a solution against rational weights, both within their certified bounds."""
    values = [sum((f * w for f, w in zip(line, exact, strict=True)), Fraction(0)) for line in fractions(features)]
    row(id, f"weights of {quantity}", distance(found.weights, exact), found.weights_bound, "certified")
    row(id, quantity, distance(found.values, values), found.error_bound, "certified")


@given(drawings())
def test_solutions_are_exact(row, drawing):
    """The floats of operator, features and law taken as rationals, eliminated exactly."""
    task, policy, law, features = approximation(drawing)
    operator = td_operator(task, policy)
    phi, weights = fractions(features), fractions(law)
    chain, pay = fractions(operator.matrix), fractions(operator.offset)
    size, width = features.shape
    moved = [[phi[s][i] - sum((chain[s][t] * phi[t][i] for t in range(size)), Fraction(0)) for i in range(width)]
             for s in range(size)]  # fmt: skip
    left = [[d * x for x in line] for d, line in zip(weights, phi, strict=True)]
    matrix, offset = rational_system(left, moved, pay)
    system = td_system(operator, features, law)
    for i in range(width):
        for j in range(width):
            row("RL-20", "matrix of the expected update", float(abs(Fraction(system.matrix[i, j]) - matrix[i][j])),
                system.matrix_error[i, j], "certified")  # fmt: skip
    against(row, "RL-20", "projected fixed point", projected_fixed_point(operator, features, law), features,
            solve_linear(matrix, offset))  # fmt: skip
    values = policy_values(task, policy).values
    exact = solve_linear(*rational_system(left, phi, fractions(values)))
    against(row, "RL-20", "projection", projection(features, law, values), features, exact)
    left = [[d * x for x in line] for d, line in zip(weights, moved, strict=True)]
    matrix, offset = rational_system(left, moved, pay)
    least = bellman_residual_minimiser(operator, features, law)
    against(row, "RL-20", "minimiser of the Bellman residual", least, features, solve_linear(matrix, offset))


@given(drawings())
def test_theorem_of_tsitsiklis_and_van_roy(row, drawing):
    """On-policy: the modulus is gamma at most, A is positive definite with its margin, and both bounds hold."""
    task, policy, law, features = approximation(drawing)
    operator, size = td_operator(task, policy), task.mdp.n_states
    error = tolerances_linear.stationary(size)
    kappa = modulus(operator, law)
    slack = 2.0 * error + gamma_n(16 * size**2) * (1.0 + float(np.sqrt(size)))
    row("RL-21", "modulus under the policy's own law", max(0.0, kappa - task.discount), slack,
        "gamma, the law's error, and the backward error of singular values")  # fmt: skip
    top = min(task.discount + slack, 1.0 - 2.0**-20)  # discounts are 0.9 at most: never reached
    system = td_system(operator, features, law)
    gram = (features.T * law) @ features
    promised = (1.0 - top) * float(np.linalg.eigvalsh(gram)[0])
    missing = max(0.0, promised - stability(system.matrix).margin)
    row("RL-21", "margin of positive definiteness", missing,
        tolerances_linear.symmetric(gram) + tolerances_linear.symmetric(system.matrix) + system.matrix_error.sum(),
        "Weyl's inequality: eigenvalues of two symmetric matrices")  # fmt: skip

    truth = policy_values(task, policy)
    found = projected_fixed_point(operator, features, law)
    nearest = projection(features, law, truth.values, truth.error_bound)
    reached, best = law_norm(found.values - truth.values, law), law_norm(nearest.values - truth.values, law)
    known = found.error_bound + nearest.error_bound + 2.0 * truth.error_bound
    scale = float(np.abs(found.values).max() + np.abs(nearest.values).max() + np.abs(truth.values).max())
    rounding, reason = tolerances_linear.norms(features, error, scale)
    bounds = approximation_bounds(best + known + rounding, top)
    for name, bound in (("1 / sqrt(1 - gamma^2)", bounds.sharp), ("1 / (1 - gamma)", bounds.loose)):
        row("RL-20", f"error of the fixed point over the projection's, {name}", max(0.0, reached - bound),
            known + rounding, f"certified errors, {reason}")  # fmt: skip
    row("RL-20", "nothing is nearer than the projection", max(0.0, best - reached), known + rounding,
        f"certified errors, {reason}")  # fmt: skip


def test_episodes_that_are_over_at_once_are_none(row):
    """The law is that of the states where one acts: however many starts are ends, the others share alike (RL-21)."""
    rows = np.array([[0.25, 0.25, 0.5], [0.5, 0.0, 0.5], [0.0, 0.0, 1.0]])[:, None, :]
    rewards, policy = np.array([[1.0], [2.0], [0.0]]), np.ones((3, 1))
    laws = [
        on_policy_law(Task(MDP(rows, rewards, 0.5, start)), policy)
        for start in ([0.75, 0.25, 0.0], [0.375, 0.125, 0.5], [0.09375, 0.03125, 0.875])
    ]
    # Half of the mass begins anew: P = [[5/8, 3/8], [7/8, 1/8]], whose law is (7, 3)/10; four roundings an entry.
    error = float(np.abs(laws[0] - np.array([0.7, 0.3, 0.0])).max())
    row("RL-21", "law of an episode's states", error, tolerances_linear.stationary(2), "elimination of two states")
    row.exact("RL-21", "starts that are ends", all(np.array_equal(law, laws[0]) for law in laws), f"saw {laws}")


@given(drawings(), vectors(4))
def test_sum_of_squares(row, drawing, numbers):
    """`x^T D (I - gamma P) x = (1 - gamma) |x|^2 + gamma/2 sum d p (x_s - x_t)^2`, where no episode ends (RL-21)."""
    task, policy, law, _ = approximation(drawing)
    if task.terminal.any():
        task, policy = Task(garnet(3, 2, 3, 5, task.discount)), np.full((3, 2), 0.5)
        law = on_policy_law(task, policy)
    size = task.mdp.n_states
    x = numbers[:size]
    chain = td_operator(task, policy).matrix
    form = float(x @ (law * (x - chain @ x)))
    moves = float((law[:, None] * chain * (x[:, None] - x[None, :]) ** 2).sum())
    squares = (1.0 - task.discount) * law_norm(x, law) ** 2 + 0.5 * moves
    rounding, reason = tolerances_linear.norms(np.ones((size**2, 1)), tolerances_linear.stationary(size),
                                               4.0 * float(np.abs(x).max()) ** 2)  # fmt: skip
    row("RL-21", "drift of on-policy TD as a sum of squares", abs(form - squares), rounding, reason)


def test_ring(row):
    """RL-20: the field is no gradient, Monte Carlo's is, and the fixed point is neither the projection nor far off."""
    case = ring()
    law, operator = on_policy_law(case.task, case.policy), td_operator(case.task, case.policy)
    system = td_system(operator, case.features, law)
    # A_12 - A_21 over the rationals: 1/3 of the rows (1, 0), (1, 1), (0, 2) times the moved ones.
    slack = float(system.matrix_error.sum()) + gamma_n(64) * 4.0
    row("RL-20", "asymmetry of the expected update", abs(system.curl[0, 1] + 0.27), slack,
        "certified entries, and the rounding of the process")  # fmt: skip
    fixed = td_system(Affine(np.zeros((3, 3)), operator.offset), case.features, law)
    row("RL-20", "Monte Carlo's expected update is symmetric", np.abs(fixed.curl),
        2.0 * fixed.matrix_error.max(), "certified entries")  # fmt: skip
    truth = policy_values(case.task, case.policy)
    found = projected_fixed_point(operator, case.features, law)
    nearest = projection(case.features, law, truth.values, truth.error_bound)
    residual = bellman_residual_minimiser(operator, case.features, law)
    simple = approximation_bounds(8.0, 0.6)  # 1 - 0.6^2 = 0.8^2
    row("RL-20", "the two bounds", np.abs(np.array(simple) - [10.0, 20.0]), 20.0 * gamma_n(32),
        "0.6 rounded, a root and a quotient")  # fmt: skip
    for first, second in ((found, nearest), (found, residual), (nearest, residual)):
        apart = float(np.abs(first.values - second.values).max()) > first.error_bound + second.error_bound
        row.exact("RL-20", "three answers of three methods", apart, f"{first} and {second} are the same")


@pytest.mark.parametrize("discount", [0.5, 0.8, 0.85, 0.99])
def test_w_to_2w(row, discount):
    """RL-21: the drift is w (6 gamma - 5) / 2 off-policy, -4 (1 - gamma) w on-policy; they part at 5/6."""
    case, gamma = w_to_2w(discount), Fraction(discount)
    law, operator = on_policy_law(case.task, case.behaviour), td_operator(case.task, case.policy)
    row.exact("RL-21", "the behaviour is in either state half of the time", law.tolist() == [0.5, 0.5], f"saw {law}")
    own = on_policy_law(case.task, case.policy)
    for name, weights, drift in (("uniform", law, (6 * gamma - 5) / 2), ("on-policy", own, -4 * (1 - gamma))):
        system = td_system(operator, case.features, weights)
        row("RL-21", f"drift of w -> 2w, {name}", float(abs(Fraction(system.matrix[0, 0]) + drift)),
            system.matrix_error[0, 0], "certified")  # fmt: skip
        found = stability(system.matrix)
        row.exact("RL-21", f"w -> 2w is stable, {name}", found.stable == (drift < 0), f"{found} at {discount}")
        radius = spectral_radius(system.matrix, 2.0**-7)
        row.exact("RL-21", f"spectral radius of w -> 2w, {name}", (radius < 1.0) == (drift < 0), f"{radius}")
        row.exact(
            "RL-21", f"some step of w -> 2w converges, {name}", (found.largest_step > 0.0) == (drift < 0), f"{found}"
        )
        if drift < 0:
            edge = abs(1.0 - found.largest_step * float(-drift) / 2.0)
            slack = 2.0 * system.matrix_error[0, 0] / float(-drift) + gamma_n(16)
            row("RL-21", f"largest step of w -> 2w, {name}", edge, slack, "relative error of the certified entry")
    infinite = modulus(operator, np.array([1.0, 0.0]))
    row.exact("RL-21", "no modulus where weight zero is bootstrapped from", infinite == np.inf, f"saw {infinite}")


def baird_matrix(gamma: Fraction) -> list[list[Fraction]]:
    """How the values of the upper states and of the lower one move, per unit of step: the docstring's quadratic."""
    return [[Fraction(-10, 7), (10 * gamma - 2 * (1 - gamma)) / 7],
            [Fraction(-12, 7), (12 * gamma - 5 * (1 - gamma)) / 7]]  # fmt: skip


@pytest.mark.parametrize("discount", [0.5, 0.875, 0.9, 0.99])
def test_baird(row, discount):
    """RL-21: the two rates solve the quadratic; the expected update diverges exactly for gamma > 15/17."""
    case, gamma, step = baird(discount), Fraction(discount), 2.0**-7
    law = on_policy_law(case.task, case.behaviour)
    row("RL-21", "the behaviour is in every state one seventh of the time", np.abs(law - 1.0 / 7.0),
        tolerances_linear.stationary(7) / 7.0 + 2.0**-55, "elimination, and 1/7 rounded")  # fmt: skip
    # Exactly, with law 1/7: the field F on weights and the pair (u, l) obey L F = Q L.
    phi = fractions(case.features)
    field = [[sum(((gamma * phi[6][j] - phi[s][j]) * phi[s][i] for s in range(7)), Fraction(0)) / 7 for j in range(8)]
             for i in range(8)]  # fmt: skip
    seen = [[sum((phi[s][i] for s in range(6)), Fraction(0)) / 6 for i in range(8)], phi[6]]
    quadratic = baird_matrix(gamma)
    for k in range(2):
        moved = [sum((seen[k][i] * field[i][j] for i in range(8)), Fraction(0)) for j in range(8)]
        wanted = [sum((quadratic[k][m] * seen[m][j] for m in range(2)), Fraction(0)) for j in range(8)]
        row.exact("RL-21", "Baird's two rates", moved == wanted, f"{moved} is not {wanted}")
    trace = quadratic[0][0] + quadratic[1][1]
    whole = sum((field[i][i] for i in range(8)), Fraction(0))
    row.exact("RL-21", "the other rates of Baird's", whole == trace + 5 * Fraction(-4, 7), f"trace {whole}")
    determinant = quadratic[0][0] * quadratic[1][1] - quadratic[0][1] * quadratic[1][0]
    row.exact("RL-21", "the quadratic", (trace, determinant) == ((17 * gamma - 15) / 7, 26 * (1 - gamma) / 49),
              f"trace {trace}, determinant {determinant}")  # fmt: skip
    system = td_system(td_operator(case.task, case.policy), case.features, law)
    rates = np.roots([1.0, -float(trace), float(determinant)])
    expected = max(1.0, float(np.abs(1.0 + step * rates).max()))
    bound, reason = tolerances_linear.eigenvalues(system.matrix, tolerances_linear.stationary(7))
    bound = step * (bound + float(system.matrix_error.sum())) + gamma_n(256)
    row("RL-21", "spectral radius of Baird's", abs(spectral_radius(system.matrix, step) - expected), bound, reason)
    row.exact("RL-21", "Baird's diverges beyond 15/17", (expected > 1.0 + bound) == (gamma > Fraction(15, 17)),
              f"radius {expected} at {discount}")  # fmt: skip
    weights, steps = case.start.copy(), 100
    exact = [
        sum((Fraction(w) * x for w, x in zip(case.start.tolist(), line, strict=True)), Fraction(0)) for line in seen
    ]
    for _ in range(steps):
        weights = weights + step * system.update(weights)
        exact = [exact[k] + Fraction(step) * sum((quadratic[k][m] * exact[m] for m in range(2)), Fraction(0))
                 for k in range(2)]  # fmt: skip
    ours = np.array([case.features[:6].mean(axis=0) @ weights, case.features[6] @ weights])
    growth = (1.0 + step * float(np.abs(system.matrix).sum(axis=1).max())) ** steps
    slack = gamma_n(64 * steps) * growth * 32.0 * float(np.abs(case.start).max())
    row("RL-21", "values of Baird's states after 100 expected updates", np.abs(ours - [float(x) for x in exact]), slack,
        "roundings of each step, as far as steps can grow")  # fmt: skip
    with pytest.raises(ValueError, match="8 unknowns"):
        projected_fixed_point(td_operator(case.task, case.policy), case.features, law)


def test_minimiser_of_the_printed_objective(row):
    """RL-22: (1/2, 3/4, 1/4) instead of (1/2, 1, 0), because spreading B and C costs variance."""
    case = noisy_target()
    law, features = on_policy_law(case.task, case.policy), case.features
    row.exact("RL-22", "weights of A, B and C", law.tolist() == [0.5, 0.25, 0.25, 0.0], f"saw {law}")
    outcomes = td_outcomes(case.task, case.policy, features, law)
    found, fixed = squared_error_minimiser(outcomes, features), projected_fixed_point(
        td_operator(case.task, case.policy), features, law)  # fmt: skip
    row("RL-22", "minimiser of DQN's printed objective", np.abs(found.values - [0.5, 0.75, 0.25, 0.0]),
        found.error_bound, "certified")  # fmt: skip
    row("RL-22", "values that the target aims at", np.abs(fixed.values - [0.5, 1.0, 0.0, 0.0]), fixed.error_bound,
        "certified")  # fmt: skip
    for weights, cost in (([0.5, 0.75, 0.25], 1 / 16), ([0.5, 1.0, 0.0], 1 / 8)):
        q = action_values(case.task, features, np.array(weights))
        seen = dqn_objective(case.task, law, q), squared_error(outcomes, np.array(weights))
        row.exact("RL-22", "what the printed objective costs", seen == (cost, cost), f"expected {cost}, saw {seen}")
    q = action_values(case.task, features, np.array([7.0, 7.0, 7.0]))
    errors = 0.0
    for _ in range(2):  # two freezes reach the values from anywhere: the chain has two steps
        step = fitted_q_step(case.task, features, law, q)
        errors += step.error_bound
        q = action_values(case.task, features, step.weights)
    row("RL-22", "freezing and fitting twice", np.abs(q[:3, 0] - [0.5, 1.0, 0.0]), errors + gamma_n(64),
        "certified, and a target of certified values")  # fmt: skip


@few
@given(situations(), st.integers(0, 2**32 - 1))
@example(ending(), 0)
def test_objective_is_residual_and_variance(row, situation, seed):
    """RL-22: `J = |T q - q|^2 + E Var(target)`; frozen, `J(w) - J(w') = |Phi w - Phi w'|^2` from the minimiser w'."""
    task, policy, (table, other) = situation
    live = task.mdp.available & ~task.terminal[:, None]
    law = np.where(live, 0.25 + policy, 0.0).ravel()
    law = law / law.sum()
    features = np.random.default_rng(seed).integers(-4, 5, (live.size, 2)).astype(np.float64)
    size = task.mdp.largest_reward + 2.0 * float(np.abs(np.where(np.isfinite(table), table, 0.0)).max(initial=0.0))
    roundings = 8 * (live.size * task.mdp.n_states + 16)
    residual = np.where(live, q_operator(task, table) - np.where(live, table, 0.0), 0.0).ravel()
    spread = float(law @ target_variance(task, table)[0].ravel())
    row("RL-22", "DQN's objective is residual and variance",
        abs(dqn_objective(task, law, table) - law @ residual**2 - spread), gamma_n(roundings) * 4.0 * size**2,
        f"gamma_{roundings} of a squared target")  # fmt: skip
    if np.linalg.matrix_rank(features[law > 0.0]) < features.shape[1]:
        features = np.where(law > 0.0, 1.0, 0.0)[:, None]
    best = fitted_q_step(task, features, law, other)
    weights = best.weights + 1.0
    gap = dqn_objective(task, law, action_values(task, features, weights), other) - dqn_objective(
        task, law, action_values(task, features, best.weights), other)  # fmt: skip
    moved = law_norm(features @ (weights - best.weights), law)
    size += task.mdp.largest_reward + 2.0 * float(np.abs(np.where(np.isfinite(other), other, 0.0)).max(initial=0.0))
    size += float((np.abs(features) @ (np.abs(weights) + 1.0)).max())
    # The minimiser is known to its bound, by which the term that vanishes there need not.
    known = 2.0 * moved * (best.error_bound + gamma_n(roundings) * size)
    row("RL-22", "with a frozen target, fitting the mean target minimises it", abs(gap - moved**2),
        known + gamma_n(roundings) * 8.0 * size**2, f"certified minimiser, gamma_{roundings} of squares")  # fmt: skip


def test_features_and_errors(row):
    groups = aggregated([0, 1, 1, -1])
    row.exact("RL-20", "aggregation", groups.tolist() == [[1, 0], [0, 1], [0, 1], [0, 0]], f"saw {groups}")
    blocks = per_action(groups, 2)
    row.exact("RL-20", "features of pairs", blocks[3].tolist() == [0, 0, 0, 1] and blocks.shape == (8, 4), f"{blocks}")
    case = ring()
    pairs = pair_law(case.task, case.policy)
    row.exact("RL-20", "law of pairs", np.array_equal(pairs, on_policy_law(case.task, case.policy)), f"saw {pairs}")
    operator = td_operator(case.task, case.policy)
    for features, law, words in (
        (np.ones((2, 1)), np.ones(2) / 2, r"shape \(2, 1\)"),
        (np.full((3, 1), np.nan), np.ones(3) / 3, "finite"),
        (np.ones((3, 1)), np.array([0.5, -0.5, 1.0]), r"law\[1\]"),
        (np.ones((3, 1)), np.zeros(3), "zero everywhere"),
        (np.ones((3, 2)), np.ones(3) / 3, "exactly one solution"),
    ):
        with pytest.raises(ValueError, match=words):
            projected_fixed_point(operator, features, law)
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        modulus(operator, np.ones(2))
    with pytest.raises(ValueError, match="modulus"):
        approximation_bounds(1.0, 1.0)
    with pytest.raises(ValueError, match="sources"):
        squared_error(td_outcomes(case.task, case.policy, case.features), np.zeros(2))
    for wrong in ([0.5], [-1], [], [-2, 0]):
        with pytest.raises(ValueError, match="groups"):
            aggregated(wrong)
    for call in (lambda: one_hot(0), lambda: per_action(np.ones((2, 1)), 0)):
        with pytest.raises(ValueError, match="at least 1"):
            call()
