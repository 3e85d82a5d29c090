"""`reference.lqr`: the Riccati equation at many digits, soft and regularised control against quadrature."""

import math

import mpmath
import numpy as np
import pytest
import tolerances
import tolerances_temperature as bounds
from exact_lqr import distance, policy_values, riccati, riccati_step, second_moment, to_mpmath
from hypothesis import given
from hypothesis import strategies as st
from strategies import few

from reference.lqr import solve_kl_lqr, solve_lqr, solve_soft_lqr
from reference.lqr_evaluation import evaluate_lqr, lqr_occupancy
from reference.lqr_problem import LQR, InvalidLQR, LinearGaussian
from reference.rounding import gamma_n
from reference.solution import Status

DIGITS = 40


def drawn_arguments(draw, max_states: int = 3) -> tuple:
    """Arguments of `LQR`: built outside the strategy, because runtime type checks draw random numbers of their own."""
    n, m = draw(st.integers(1, max_states)), draw(st.integers(1, 2))

    def matrix(rows, columns, unit):
        numbers = draw(st.lists(st.integers(-4, 4), min_size=rows * columns, max_size=rows * columns))
        return unit * np.array(numbers, dtype=np.float64).reshape(rows, columns)

    factor = matrix(n + m, n + m, 0.25)
    cost = factor @ factor.T + np.diag([1.0] * (n + m))
    root = matrix(n, n, 0.25)
    return (
        matrix(n, n, 0.25), matrix(n, m, 0.5), cost[:n, :n], cost[n:, n:], draw(st.sampled_from([0.0, 0.5, 0.9, 0.97])),
        root @ root.T, matrix(1, n, 1.0)[0], None, cost[:n, n:],
    )  # fmt: skip


arguments = st.composite(drawn_arguments)


@few
@given(arguments())
def test_riccati_at_forty_digits(row, drawn):
    """P, K and the constant against value iteration in 40 digits; the bound is not far above what rounding does."""
    problem = LQR(*drawn)
    found = solve_lqr(problem)
    assert found.status is Status.DIRECT
    with mpmath.workdps(DIGITS):
        P, gain, change = riccati(problem, 4000)
        assert change < mpmath.mpf(10) ** (8 - DIGITS)
        constant = -problem.discount * sum(
            P[i, j] * mpmath.mpf(float(problem.noise[i, j])) for i in range(P.rows) for j in range(P.cols)
        ) / (1 - mpmath.mpf(problem.discount))  # fmt: skip
        left = float(change / (1 - mpmath.mpf(problem.discount)) * 100)
        row("LQR-01", "values", distance(found.P, P), found.value_error + left, "certified by the solver")
        row("LQR-01", "gain", distance(found.policy.gain, gain), found.gain_error + left, "certified by the solver")
        error = float(abs(constant - mpmath.mpf(found.constant)))
    row("LQR-01", "constant", error, found.constant_error + left, "certified by the solver")
    loop = problem.dynamics - problem.control @ found.policy.gain
    weight = 1.0 / (1.0 - problem.discount * min(float(np.linalg.norm(loop, 2)) ** 2, 1.0))
    size = len(problem.dynamics) + len(problem.action_cost)
    scale = float(np.abs(problem.cost).sum() + np.abs(found.P).sum()) * (1.0 + float(np.abs(found.policy.gain).sum()))
    if float(np.linalg.norm(loop, 2)) < 1.0:
        bound, reason = bounds.riccati_floor(size, weight, scale * (1.0 + float(np.abs(problem.dynamics).sum())) ** 2)
        row("LQR-01", "certificate of the values", found.value_error, bound, reason)


def test_scalar_problem_on_paper(row):
    """a = b = q = r = 1, gamma = 1/2: p = 1 + p/2 - (p/2)^2/(1 + p/2), that is p^2 - p - 2 ... p = sqrt(2) here.

    (p - 1 - p/2)(1 + p/2) = -p^2/4 gives p/2 - 1 + p^2/4 - p/2 + p^2/4 = 0, so p^2 = 2 and k = p/(2 + p) = sqrt 2 - 1.
    """
    problem = LQR([[1.0]], [[1.0]], [[1.0]], [[1.0]], 0.5, [[1.0]])
    found = solve_lqr(problem)
    row("LQR-01", "scalar value", abs(found.P[0, 0] - math.sqrt(2)), *rounded(found.value_error))
    row("LQR-01", "scalar gain", abs(found.policy.gain[0, 0] - (math.sqrt(2) - 1)), *rounded(found.gain_error))
    row("LQR-01", "scalar constant", abs(found.constant + math.sqrt(2)), *rounded(found.constant_error))
    soft = solve_soft_lqr(problem, 0.25)
    true = 0.125 / (1.0 + math.sqrt(0.5))
    row("SAC-01", "scalar variance", abs(soft.policy.covariance[0, 0] - true), *rounded(soft.covariance_error))


def rounded(error: float) -> tolerances.Bound:
    return error + 4.0 * tolerances.UNIT_ROUNDOFF, "certified, and the rounding of the closed form"


@pytest.mark.parametrize(("n", "m", "discount"), [(6, 2, 0.9), (12, 3, 0.99), (30, 4, 0.95)])
def test_larger_problems_satisfy_the_equation_at_forty_digits(row, n, m, discount):
    """One Riccati step in 40 digits moves P by no more than twice its bound times the step's Lipschitz constant."""
    problem = random_problem(n, m, discount)
    found = solve_lqr(problem)
    with mpmath.workdps(DIGITS):
        following, _ = riccati_step(problem, to_mpmath(found.P))
        moved = distance(found.P, following)
    # |T(P) - T(P*)| <= gamma |F|^2 |P - P*| to first order, F the closed loop
    loop = np.linalg.norm(problem.dynamics - problem.control @ found.policy.gain, 2)
    bound = 2.0 * (1.0 + discount * float(loop) ** 2) * found.value_error
    row("LQR-01", "Riccati residual", moved, bound, "(1 + gamma |F|^2) times the certified error, doubled")


def random_problem(n: int, m: int, discount: float) -> LQR:
    rng = np.random.default_rng(n)
    factor = rng.normal(size=(n + m, n + m)) / math.sqrt(n)
    cost = factor @ factor.T + np.eye(n + m)
    cost = 0.5 * (cost + cost.T)
    dynamics = rng.normal(size=(n, n)) / math.sqrt(n)
    return LQR(
        dynamics, rng.normal(size=(n, m)), cost[:n, :n], cost[n:, n:], discount, np.eye(n), rng.normal(size=n), None,
        cost[:n, n:],
    )  # fmt: skip


@few
@given(arguments(), st.sampled_from([1e-3, 0.5, 20.0]), st.data())
def test_soft_values_are_log_integrals_of_their_q(row, drawn, alpha, data):
    """SAC-03: V(x) = alpha log int exp(Q(x, u)/alpha) du, by the trapezoidal rule; its Gaussian is the policy (SAC-01).

    For two actions the rule runs in the coordinates of the Cholesky factor of the precision, where it is a product.
    """
    problem = LQR(*drawn)
    found = solve_soft_lqr(problem, alpha)
    hard = solve_lqr(problem)
    np.testing.assert_array_equal(found.P, hard.P)
    n = len(problem.dynamics)
    state = np.array(data.draw(st.lists(st.integers(-3, 3), min_size=n, max_size=n)), dtype=np.float64)
    check_log_integral(row, problem, found, alpha, state, lambda action: found.q(state, action), 0.0)


def check_log_integral(row, problem, found, alpha, state, q, log_base) -> None:
    m = problem.control.shape[1]
    factor = np.linalg.cholesky(found.policy.covariance)
    mean = -found.policy.gain @ state
    step, reach = 0.5, 9.0
    axis = np.arange(-reach, reach + step / 2, step)
    grid = np.stack(np.meshgrid(*[axis] * m, indexing="ij"), axis=-1).reshape(-1, m)
    actions = mean + grid @ factor.T
    exponents = np.array([q(action) for action in actions]) / alpha
    top = exponents.max()
    weights = np.exp(exponents - top)
    integral = top + math.log(math.fsum(weights)) + m * math.log(step) + float(np.log(np.diag(factor)).sum()) + log_base
    rule = m * bounds.trapezoid_gaussian(step, 1.0, reach)
    size = float(np.abs(found.H).sum() * (1.0 + state @ state + np.square(actions).sum(axis=1).max()))
    size += abs(found.q_constant) + abs(found.constant) + alpha * (abs(top) + 20.0)
    rounding, reason = bounds.quadratic_forms(n_total(problem), size)
    certified = 2.0 * (float(found.error_at(state)) + found.value_error * (1.0 + size))
    allowed = 4.0 * (alpha * rule + rounding) + certified
    row("SAC-03", "soft value as a log-integral", abs(alpha * integral - float(found.value(state))), allowed, reason)
    density = weights / math.fsum(weights)
    # weights err by the rounding of their exponents, which the largest exponent bounds
    relative = 4.0 * (rule + 2.0 * rounding / alpha) + certified / alpha
    spread = float(np.abs(factor).sum())
    error = np.abs(density @ (actions - mean)).max()
    row("SAC-01", "mean of the soft policy", error, relative * reach * spread, "the rule and rounding of exponents")
    second = np.einsum("k,ki,kj->ij", density, actions - mean, actions - mean)
    error = np.abs(second - found.policy.covariance).max()
    row("SAC-01", "covariance of the policy", error, relative * (reach * spread) ** 2, "the rule and rounding")


def n_total(problem: LQR) -> int:
    return sum(problem.control.shape) + 2


@few
@given(arguments(), st.sampled_from([0.5, 20.0]), st.data())
def test_regularised_values_are_log_means_under_the_prior(row, drawn, alpha, data):
    """GUM-01, OCC-06 in continuous form: V(x) = alpha log E_prior exp(Q(x, u)/alpha)."""
    problem = LQR(*drawn)
    n, m = problem.control.shape
    gain = 0.25 * np.array(data.draw(st.lists(st.integers(-2, 2), min_size=n * m, max_size=n * m)), dtype=np.float64)
    prior = LinearGaussian(gain.reshape(m, n), np.diag([0.5, 2.0][:m]))
    found = solve_kl_lqr(problem, alpha, prior)
    state = np.array(data.draw(st.lists(st.integers(-2, 2), min_size=n, max_size=n)), dtype=np.float64)
    center = -prior.gain @ state
    log_norm = -0.5 * (m * math.log(2.0 * math.pi) + float(np.log(np.diag(prior.covariance)).sum()))

    def tilted(action):
        gap = action - center
        return found.q(state, action) - 0.5 * alpha * float(gap @ (gap / np.diag(prior.covariance)))

    check_log_integral(row, problem, found, alpha, state, tilted, log_norm)


def test_batches_are_answered_one_by_one():
    """V, Q and the bound on V over any leading axes; sums of a batch may be taken in another order."""
    problem = LQR([[1.0, 0.5], [0.0, 1.0]], [[0.0], [1.0]], np.eye(2), [[1.0]], 0.9, 0.25 * np.eye(2))
    found = solve_soft_lqr(problem, 0.5)
    rng = np.random.default_rng(0)
    states, actions = rng.normal(size=(3, 4, 2)), rng.normal(size=(3, 4, 1))
    pairs = np.concatenate([np.abs(states), np.abs(actions)], axis=2)
    sizes = {"P": np.abs(states), "H": pairs}
    sums = {k: np.einsum("...i,ij,...j->...", v, np.abs(getattr(found, k)), v) for k, v in sizes.items()}
    rounding = gamma_n(12) * (sums["P"] + sums["H"] + abs(found.constant) + abs(found.q_constant))
    for place in np.ndindex(3, 4):
        x, u = states[place], actions[place]
        for seen, alone in (
            (found.value(states), found.value(x)),
            (found.q(states, actions), found.q(x, u)),
            (found.error_at(states), found.error_at(x)),
        ):
            assert seen.shape == (3, 4)
            assert abs(seen[place] - alone) <= rounding[place]
        expected = found.q_constant - np.append(x, u) @ found.H @ np.append(x, u)
        assert abs(found.q(x, u) - expected) <= rounding[place]


def test_temperature_limits(row):
    """alpha -> 0 is the hard problem; a heavy price on leaving the prior makes the policy the prior."""
    problem = LQR([[1.0, 0.5], [0.0, 1.0]], [[0.0], [1.0]], np.eye(2), [[1.0]], 0.9, 0.25 * np.eye(2))
    hard, cold = solve_lqr(problem), solve_soft_lqr(problem, 1e-12)
    size = abs(math.log(1e-12)) + 5.0
    gap = abs(hard.constant - cold.constant)
    row("SAC-06", "cold soft control", gap, 1e-12 * size / 0.1 + hard.constant_error + cold.constant_error, "alpha log")
    prior = LinearGaussian(np.array([[0.5, 1.0]]), np.array([[1.0]]))
    base = evaluate_lqr(problem, prior)
    gaps = []
    for alpha in (1e3, 1e6):
        bound = solve_kl_lqr(problem, alpha, prior)
        gaps.append(float(np.abs(bound.policy.gain - prior.gain).max()))
        # |K - K0| <= |H_ux - H_uu K0| / (alpha/2 + ...): one over alpha times the slope of the values of the prior
        slope = 4.0 * float(np.abs(base.H).sum()) * (1.0 + float(np.abs(prior.gain).sum()))
        row("OCC-06", "distance to the prior", gaps[-1], slope / alpha, "slope of the prior's values over alpha")
        better = base.value(problem.initial_mean) - bound.value(problem.initial_mean)
        slack = float(base.error_at(problem.initial_mean) + bound.error_at(problem.initial_mean))
        row("OCC-06", "regularised optimum above the prior", max(float(better), 0.0), slack, "both certificates")


@few
@given(arguments(), st.data())
def test_evaluation_and_occupancy_are_exact(row, drawn, data):
    """P_K and the occupancy's moments against rational arithmetic; the return both ways (OCC-01, OCC-02, RL-02)."""
    problem = LQR(*drawn)
    n, m = problem.control.shape
    optimal = solve_lqr(problem)
    factor = 0.5 * np.array(data.draw(st.lists(st.integers(-2, 2), min_size=m * m, max_size=m * m)), dtype=np.float64)
    factor = factor.reshape(m, m)
    policy = LinearGaussian(np.round(optimal.policy.gain, 3), factor @ factor.T + 0.25 * np.eye(m))
    alpha = data.draw(st.sampled_from([0.0, 0.5]))
    found = evaluate_lqr(problem, policy, alpha)
    assert (found.policy, found.alpha) == (policy, alpha)
    row("RL-02", "values of a policy", distance(found.P, policy_values(problem, policy)), *certified(found.value_error))
    occupancy = lqr_occupancy(problem, policy)
    mean, moment = second_moment(problem, policy)
    error = distance(occupancy.mean[:, None], [[x] for x in mean])
    row("OCC-01", "mean of the occupancy", error, *certified(occupancy.mean_error))
    row("OCC-01", "second moment", distance(occupancy.second_moment, moment), *certified(occupancy.second_moment_error))
    exact = [[moment[i][j] - mean[i] * mean[j] for j in range(n)] for i in range(n)]
    row("OCC-01", "covariance", distance(occupancy.covariance, exact), *certified(occupancy.covariance_error))

    start = problem.initial_covariance + np.outer(problem.initial_mean, problem.initial_mean)
    value = found.constant - float(np.sum(found.P * start))
    entropy = 0.5 * (m * (1.0 + math.log(2.0 * math.pi)) + float(np.linalg.slogdet(policy.covariance)[1]))
    returned = alpha * entropy - float(np.sum(occupancy.pair_second_moment * problem.cost))
    size = float(np.abs(occupancy.pair_second_moment).sum() * np.abs(problem.cost).sum()) + abs(alpha * entropy)
    size += (1.0 - problem.discount) * (abs(found.constant) + float(np.abs(found.P).sum() * np.abs(start).sum()))
    rounding, reason = bounds.quadratic_forms(n + m, size * (1.0 + float(np.abs(policy.gain).sum())) ** 2)
    weight = float(np.abs(problem.cost).sum()) * (1.0 + float(np.abs(policy.gain).sum())) ** 2
    allowed = rounding + weight * occupancy.second_moment_error
    allowed += (1.0 - problem.discount) * (found.value_error * float(np.trace(start)) + found.constant_error)
    row("OCC-02", "return from the occupancy", abs((1.0 - problem.discount) * value - returned), allowed, reason)
    slack = (found.value_error + optimal.value_error) * float(np.trace(start))
    loss = float(np.sum((found.P - optimal.P) * start))
    row("LQR-01", "optimal values above", max(-loss, 0.0), slack + rounding, "both certificates")


def certified(error: float) -> tolerances.Bound:
    return tolerances.certified(error)


def test_long_horizon_sums(row):
    """The definition itself: 2000 steps of moments and rewards, which leave gamma^2000 (|F|^2)^2000 of the whole."""
    problem = random_problem(3, 2, 0.9)
    soft = solve_soft_lqr(problem, 0.5)
    policy = soft.policy
    loop = problem.dynamics - problem.control @ policy.gain
    push = problem.noise + problem.control @ policy.covariance @ problem.control.T
    mean, moment = (
        problem.initial_mean,
        problem.initial_covariance + np.outer(problem.initial_mean, problem.initial_mean),
    )
    pair = np.vstack([np.eye(3), -policy.gain])
    spread = np.zeros((5, 5))
    spread[3:, 3:] = policy.covariance
    mean_sum, moment_sum, reward_sum, steps = np.zeros(3), np.zeros((3, 3)), 0.0, 2000
    for t in range(steps):
        weight = 0.1 * 0.9**t
        mean_sum, moment_sum = mean_sum + weight * mean, moment_sum + weight * moment
        reward_sum -= 0.9**t * float(np.sum((pair @ moment @ pair.T + spread) * problem.cost))
        mean, moment = loop @ mean, loop @ moment @ loop.T + push
    occupancy = lqr_occupancy(problem, policy)
    scale = float(np.abs(occupancy.second_moment).max()) * (1.0 + float(np.abs(loop).sum())) ** 2
    tail = 0.9**steps * float(np.abs(moment).sum()) * 10.0
    bound, reason = bounds.matrix_sum(steps, 3, scale)
    row("OCC-01", "mean as a series", np.abs(occupancy.mean - mean_sum).max(), bound + tail, reason)
    row("OCC-01", "second moment as a series", np.abs(occupancy.second_moment - moment_sum).max(), bound + tail, reason)
    found = evaluate_lqr(problem, policy)
    start = problem.initial_covariance + np.outer(problem.initial_mean, problem.initial_mean)
    value = found.constant - float(np.sum(found.P * start))
    scale *= float(np.abs(problem.cost).sum()) * (1.0 + float(np.abs(policy.gain).sum())) ** 2 / 0.1
    bound, reason = bounds.matrix_sum(steps, 5, scale)
    row("RL-02", "return as a long sum", abs(value - reward_sum), bound + tail * scale, reason)
    again = evaluate_lqr(problem, policy, 0.5)
    size = float(np.abs(soft.P).sum()) + abs(soft.constant)
    bound, reason = bounds.quadratic_forms(5, size / 0.1)
    bound += soft.value_error + again.value_error + soft.constant_error + again.constant_error
    row("SAC-03", "soft optimum as the policy's value", abs(soft.constant - again.constant), bound, reason)
    row("SAC-03", "soft optimum as the policy's matrix", np.abs(soft.P - again.P).max(), bound, reason)


GOOD = {
    "dynamics": [[1.0]], "control": [[1.0]], "state_cost": [[1.0]], "action_cost": [[1.0]], "discount": 0.9
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"control": [1.0]}, r"control has shape \(1,\): expected \(n, m\)"),
        ({"dynamics": [[1.0, 0.0]]}, r"dynamics has shape \(1, 2\): expected \(1, 1\)"),
        ({"state_cost": [[math.nan]]}, r"state_cost\[0, 0\] is nan: expected a finite number"),
        ({"action_cost": [[0.0]]}, r"action_cost has the eigenvalue 0: expected a positive definite"),
        ({"state_cost": [[-1.0]]}, r"\[\[state_cost, .* has the eigenvalue -1: expected a positive semidefinite"),
        ({"noise": [[-0.5]]}, r"noise has the eigenvalue -0\.5"),
        ({"discount": 1.0}, r"discount is 1\.0: expected a number in \[0, 1\)"),
        ({"initial_mean": [1.0, 2.0]}, r"initial_mean has shape \(2,\): expected \(1,\)"),
        ({"dynamics": np.eye(2), "control": np.ones((2, 1)), "state_cost": [[1.0, 0.1], [0.2, 1.0]]},
         r"state_cost\[0, 1\] is 0\.1.* and state_cost\[1, 0\] is 0\.2.*: expected a symmetric"),
    ],
)  # fmt: skip
def test_what_is_no_problem_is_refused(changes, message):
    with pytest.raises(InvalidLQR, match=message):
        LQR(**(GOOD | changes))


def test_what_has_no_solution_is_refused():
    with pytest.raises(InvalidLQR, match=r"not stabilisable: .* eigenvalue 1\.138.* control does not reach"):
        solve_lqr(LQR(**(GOOD | {"dynamics": [[1.2]], "control": [[0.0]]})))
    # Here SciPy returns a matrix.
    idle = {"dynamics": [[0.5, -1.0], [-1.0, 0.0]], "control": np.zeros((2, 1)), "state_cost": np.eye(2)}
    with pytest.raises(InvalidLQR, match=r"not stabilisable: .* eigenvalue 1\.215.* control does not reach"):
        solve_lqr(LQR(**(GOOD | idle)))
    undecided = LQR(**(GOOD | {"dynamics": [[1.0 / math.sqrt(0.9)]], "state_cost": [[0.0]]}))
    with pytest.raises(InvalidLQR, match=r"on or near the unit circle costs nothing"):
        solve_lqr(undecided)
    problem = LQR(**(GOOD | {"dynamics": [[2.0]]}))
    still = LinearGaussian(np.zeros((1, 1)), np.zeros((1, 1)))
    for call in (evaluate_lqr, lqr_occupancy):
        with pytest.raises(InvalidLQR, match=r"spectral radius 1\.897.*: expected less than 1"):
            call(problem, still)
    with pytest.raises(ValueError, match=r"policy\.gain has shape \(1, 2\)"):
        evaluate_lqr(problem, LinearGaussian(np.zeros((1, 2)), np.zeros((1, 1))))
    with pytest.raises(ValueError, match=r"not positive definite: expected a density, as alpha is 1"):
        evaluate_lqr(LQR(**GOOD), LinearGaussian(np.array([[0.5]]), np.zeros((1, 1))), 1.0)
    with pytest.raises(ValueError, match=r"so that the prior has a density"):
        solve_kl_lqr(LQR(**GOOD), 1.0, still)
    with pytest.raises(ValueError, match=r"alpha is 0\.0: expected a finite temperature > 0"):
        solve_soft_lqr(LQR(**GOOD), 0.0)
