"""The deterministic policy gradient of a linear gain: exact derivative, domination, ascent to Riccati (RL-31)."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import tolerances_actors
from exact import fractions
from exact_lqr import closed_loop, lyapunov, policy_values, product, scaled, total, transposed
from hypothesis import assume, example, given, reject
from hypothesis import strategies as st
from strategies import few

from reference.learning import ascend, deterministic_gradient, domination, gain_difference, riccati_distance
from reference.lqr import solve_lqr
from reference.lqr_problem import LQR, InvalidLQR, LinearGaussian
from reference.rounding import gamma_n


@st.composite
def arguments(draw):
    """Arguments of `LQR` and what a gain is off the optimal one."""
    n, m = draw(st.integers(1, 2)), draw(st.integers(1, 2))

    def matrix(rows, columns, unit):
        numbers = draw(st.lists(st.integers(-4, 4), min_size=rows * columns, max_size=rows * columns))
        return unit * np.array(numbers, dtype=np.float64).reshape(rows, columns)

    factor, root = matrix(n + m, n + m, 0.25), matrix(n, n, 0.25)
    cost = factor @ factor.T + np.eye(n + m)
    problem = (
        matrix(n, n, 0.25), matrix(n, m, 0.5), cost[:n, :n], cost[n:, n:], draw(st.sampled_from([0.0, 0.5, 0.9])),
        root @ root.T, matrix(1, n, 1.0)[0], None, cost[:n, n:],
    )  # fmt: skip
    return problem, matrix(m, n, 0.0625)


# Two states and actions, cross costs, noise and a mean: no term of the derivative is zero.
FULL = (
    (np.array([[0.75, 0.5], [-0.25, 1.0]]), np.array([[0.5, 1.0], [1.5, -0.5]]), np.array([[2.0, 0.5], [0.5, 1.5]]),
     np.array([[1.5, -0.25], [-0.25, 2.0]]), 0.9, np.array([[0.5, 0.25], [0.25, 1.0]]), np.array([1.0, -2.0]), None,
     np.array([[0.25, -0.5], [0.0, 0.25]])), np.array([[0.125, -0.0625], [0.0625, 0.1875]]),
)  # fmt: skip


def posed(drawn) -> tuple[LQR, np.ndarray, np.ndarray]:
    """The problem, its optimal gain and another one that stabilises it."""
    problem = LQR(*drawn[0])
    try:
        best = solve_lqr(problem).policy.gain
    except InvalidLQR:  # drawn with a mode that no gain reaches
        reject()
    gain = np.round(16.0 * best) / 16.0 + drawn[1]
    modulus = np.abs(np.linalg.eigvals(problem.dynamics - problem.control @ gain)).max()
    assume(problem.discount * modulus**2 < 1.0)
    return problem, best, gain


def starts(problem: LQR) -> list[list[Fraction]]:
    """S0 + mu0 mu0' + gamma W / (1 - gamma): what J weighs -P with, constant included."""
    gamma, mean = Fraction(problem.discount), [[Fraction(float(x))] for x in problem.initial_mean]
    noise = scaled(gamma / (1 - gamma), fractions(problem.noise))
    return total(fractions(problem.initial_covariance), product(mean, transposed(mean)), noise)


def trace(first, second) -> Fraction:
    return sum((a * b for one, two in zip(first, second, strict=True) for a, b in zip(one, two, strict=True)), 0)


def deterministic(gain: np.ndarray) -> LinearGaussian:
    return LinearGaussian(gain, np.zeros((len(gain), len(gain))))


def objective(problem: LQR, gain: np.ndarray) -> Fraction:
    return -trace(policy_values(problem, deterministic(gain)), starts(problem))


def derivative(problem: LQR, gain: np.ndarray) -> list[list[Fraction]]:
    """dJ/dK entry by entry, from the derivative of the Lyapunov equation: no theorem about visits enters."""
    gamma, policy = Fraction(problem.discount), deterministic(gain)
    P, loop, K = policy_values(problem, policy), closed_loop(problem, policy), fractions(gain)
    control, cross, price = map(fractions, (problem.control, problem.cross_cost, problem.action_cost))
    found = []
    for i in range(len(gain)):
        found.append([])
        for j in range(gain.shape[1]):
            moved = [[Fraction(int((k, m) == (i, j))) for m in range(gain.shape[1])] for k in range(len(gain))]
            turned = scaled(Fraction(-1), product(control, moved))
            half = total(
                scaled(Fraction(-1), product(cross, moved)), product(transposed(moved), price, K),
                scaled(gamma, product(transposed(turned), P, loop)),
            )  # fmt: skip
            found[-1].append(-trace(lyapunov(loop, total(half, transposed(half)), gamma), starts(problem)))
    return found


@few
@given(arguments())
@example(FULL)
def test_gradient_is_the_derivative(row, drawn):
    problem, _, gain = posed(drawn)
    found = deterministic_gradient(problem, gain)
    exact = derivative(problem, gain)
    errors = [[float(abs(Fraction(float(x)) - y)) for x, y in zip(a, b, strict=True)]
              for a, b in zip(found.gradient, exact, strict=True)]  # fmt: skip
    row("RL-31", "deterministic policy gradient", errors, found.error, "certified, rounding included")
    size = np.abs(found.slope) + np.abs(found.action_curvature) @ np.abs(gain)
    size = float(size.sum() * np.abs(found.visits).sum())
    limit = 64.0 * tolerances_actors.forms(problem, gain) * (size + 1.0)
    row("RL-31", "certificate of the gradient", found.error, limit, "sixty-four times what the Lyapunov solves lose")


def lost(problem: LQR, gain: np.ndarray, other: np.ndarray) -> float:
    """What (2) may lose: its slope is a difference of two terms of the size of |Huu| |K|."""
    here, moved = deterministic_gradient(problem, gain), np.abs(other - gain)
    terms = np.abs(here.slope) + np.abs(here.action_curvature) @ (np.abs(gain) + moved)
    visits = float(deterministic_gradient(problem, other).visits.trace())
    return 4.0 * tolerances_actors.forms(problem, gain, other) * visits * float(moved.sum()) * float(terms.sum())


@few
@given(arguments())
@example(FULL)
def test_differences_and_domination(row, drawn):
    """(2) against exact values, the gradient at the Riccati gain, and (3)."""
    problem, best, gain = posed(drawn)
    exact = objective(problem, best) - objective(problem, gain)
    seen, here = gain_difference(problem, gain, best), deterministic_gradient(problem, gain)
    there = deterministic_gradient(problem, best)
    error = abs(float(exact - Fraction(seen)))
    row("RL-31", "difference of two gains", error, lost(problem, gain, best), "Lyapunov solves in each factor")
    curvature, visits = np.linalg.norm(there.action_curvature, 2), np.linalg.norm(there.visits, 2)
    allowed = there.error + 2.0 * curvature * visits * solve_lqr(problem).gain_error * (1.0 + gamma_n(8))
    row("RL-31", "no gradient at the Riccati gain", np.abs(there.gradient), allowed, "both certificates")
    kappa, slack = domination(problem, gain), 1.0 + 8.0 * tolerances_actors.forms(problem, gain, best)
    squared = (float(np.linalg.norm(here.gradient)) + np.sqrt(gain.size) * here.error) ** 2
    limit = kappa * squared * slack + riccati_distance(problem, best).objective
    row("RL-31", "gradient domination", max(0.0, float(exact)), limit, "(3), and the certified distance of K*")
    cost = riccati_distance(problem, gain)
    row("RL-31", "certified cost of a gain", max(0.0, float(exact)), cost.objective, "|D|^2 |Huu*| tr Sigma")


DOUBLE = LQR([[1.0, 0.5], [0.0, 1.0]], [[0.0], [1.0]], np.eye(2), [[1.0]], 0.9, 0.25 * np.eye(2))
SPREAD = LQR(
    [[0.5, 0.25, 0.0], [0.0, 0.75, 0.25], [0.25, 0.0, 0.5]], [[1.0, 0.0], [0.0, 0.5], [0.0, 1.0]],
    np.eye(3), [[1.0, 0.25], [0.25, 1.0]], 0.9, None, [1.0, -1.0, 2.0],
)  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize(
    ("problem", "first"), [(DOUBLE, np.array([[0.25, 0.75]])), (SPREAD, np.zeros((2, 3)))], ids=["double", "spread"]
)
def test_ascent_reaches_riccati(row, problem, first):
    """Every step leaves at most 1 - eta / (2 kappa) of the distance; the last gain is certified to be Riccati's."""
    best, gain, steps, factor = solve_lqr(problem).policy.gain, first, 0, 1.0
    left, unsure = gain_difference(problem, first, best), lost(problem, first, best)
    beyond = riccati_distance(problem, best).objective
    for step in ascend(problem, first, 1000):
        if steps < 20:
            now, also = gain_difference(problem, step.gain, best), lost(problem, step.gain, best)
            visits = np.linalg.cond(deterministic_gradient(problem, gain).visits)
            blur = 8.0 * float(visits) ** 2 * tolerances_actors.forms(problem, gain, best)
            rate = 1.0 - 0.5 * step.step_size / domination(problem, gain)
            limit = (left + unsure + beyond) * (rate + blur) + also
            row("RL-31", "rate of one step", max(0.0, now), limit, "1 - eta / (2 kappa), Lyapunov solves")
            slack = unsure + also + lost(problem, gain, step.gain)
            row(
                "RL-31",
                "gain of one step",
                abs(left - now - step.increase),
                slack,
                "Lyapunov solves in three differences",
            )
            left, unsure, factor = now, also, factor * rate
        gain, steps = step.gain, steps + 1
    row.exact("RL-31", "the proven rate is of use", factor < 0.5, f"the product of the rates is {factor}")
    row.exact("RL-31", "ascent ends by itself", steps < 1000, f"made {steps} steps")
    seen = deterministic_gradient(problem, gain)
    # J* - J <= tr Sigma* E'Huu^-1 E and J* - J >= lambda_min(Sigma) lambda_min(Huu*) |D|^2, with E its own rounding.
    top = deterministic_gradient(problem, best)
    rounding = (gamma_n(8 * len(best[0])) + tolerances_actors.forms(problem, best)) * float(
        np.linalg.norm(np.abs(seen.action_curvature) @ np.abs(gain))
    )
    low = np.linalg.eigvalsh(seen.visits).min() * np.linalg.eigvalsh(top.action_curvature).min()
    high = np.linalg.norm(top.visits, 2) / np.linalg.eigvalsh(seen.action_curvature).min()
    bound = 2.0 * rounding * np.sqrt(high / low) + 2.0 * riccati_distance(problem, best).gain
    row("RL-31", "distance to the Riccati gain, certified", riccati_distance(problem, gain).gain, bound,
        "a slope that is nothing but rounding")  # fmt: skip


def test_domination_is_sharp(row):
    """In one dimension (3) becomes an equality at the optimum: a constant half as large would fail."""
    problem = LQR([[1.0]], [[1.0]], [[1.0]], [[1.0]], 0.5, [[1.0]])
    best = solve_lqr(problem).policy.gain
    for moved in (2.0**-6, -(2.0**-6), 2.0**-10):
        gain = best + moved
        limit = domination(problem, gain) * float(deterministic_gradient(problem, gain).gradient[0, 0]) ** 2
        seen = gain_difference(problem, gain, best)
        row.exact("RL-31", "kappa has no factor to lose", 0.5 * limit < seen <= limit, f"{seen} of {limit}")


def test_visits_of_another_law_are_no_gradient(row):
    """RL-31: replay states in place of rho_mu give another vector, of the same zero."""
    gain = np.array([[0.25, 0.75]])
    found = deterministic_gradient(DOUBLE, gain)
    other = -2.0 * found.slope / np.linalg.norm(found.slope)
    unit = found.gradient / np.linalg.norm(found.gradient)
    apart = float(np.abs(unit - other / np.linalg.norm(other)).max())
    row.exact("RL-31", "not the gradient", apart > 2.0 * found.error, f"directions differ by {apart}")
    gap = found.objective - float(objective(DOUBLE, gain))
    size = float(np.abs(found.visits).sum() * np.abs(DOUBLE.cost).sum() * (1.0 + np.abs(gain).sum()) ** 2)
    row("RL-31", "objective", abs(gap), tolerances_actors.forms(DOUBLE, gain) * size, "Lyapunov solves")


def test_refusals():
    unstable = LQR([[2.0]], [[1.0]], [[1.0]], [[1.0]], 0.9)
    still = np.zeros((1, 1))
    for call in (lambda: deterministic_gradient(unstable, still), lambda: next(ascend(unstable, still, 1))):
        with pytest.raises(InvalidLQR, match=r"spectral radius 1\.897.*: expected less than 1"):
            call()
    with pytest.raises(ValueError, match="values under the first gain are infinite"):
        gain_difference(unstable, still, np.ones((1, 1)))
    assert gain_difference(unstable, np.array([[1.5]]), still) == -np.inf
    fixed = LQR([[0.5]], [[1.0]], [[1.0]], [[1.0]], 0.5, None, [0.0], [[0.0]])
    assert domination(fixed, np.array([[0.125]])) == np.inf
