"""Linear-quadratic control at many digits: rational Lyapunov solutions, and Riccati equations by two methods."""

from __future__ import annotations

from fractions import Fraction

import mpmath
import numpy as np
from exact import fractions, solve_linear

from reference.lqr_problem import LQR, LinearGaussian

Matrix = list[list[Fraction]]


def product(*factors: Matrix) -> Matrix:
    """The product of matrices over any field."""
    first, *rest = factors
    for second in rest:
        columns = list(zip(*second, strict=True))
        first = [[sum(a * b for a, b in zip(line, column, strict=True)) for column in columns] for line in first]
    return first


def total(*terms: Matrix) -> Matrix:
    """The sum of matrices."""
    return [[sum(entries) for entries in zip(*lines, strict=True)] for lines in zip(*terms, strict=True)]


def scaled(number: Fraction, matrix: Matrix) -> Matrix:
    """A multiple."""
    return [[number * entry for entry in line] for line in matrix]


def transposed(matrix: Matrix) -> Matrix:
    """The transpose."""
    return [list(column) for column in zip(*matrix, strict=True)]


def lyapunov(loop: Matrix, source: Matrix, discount: Fraction) -> Matrix:
    """The exact P = source + discount loop' P loop, as a linear system in the entries of P."""
    n = len(loop)
    pairs = [(i, j) for i in range(n) for j in range(n)]
    system = [
        [Fraction(int((i, j) == (k, m))) - discount * loop[k][i] * loop[m][j] for k, m in pairs] for i, j in pairs
    ]
    flat = solve_linear(system, [source[i][j] for i, j in pairs])
    return [[flat[i * n + j] for j in range(n)] for i in range(n)]


def closed_loop(problem: LQR, policy: LinearGaussian) -> Matrix:
    """A - B K."""
    dynamics, control, gain = map(fractions, (problem.dynamics, problem.control, policy.gain))
    return total(dynamics, scaled(Fraction(-1), product(control, gain)))


def policy_values(problem: LQR, policy: LinearGaussian) -> Matrix:
    """P of a linear policy, exactly."""
    gain, cross = fractions(policy.gain), fractions(problem.cross_cost)
    mixed = scaled(Fraction(-1), product(cross, gain))
    stage = total(
        fractions(problem.state_cost), mixed, transposed(mixed),
        product(transposed(gain), fractions(problem.action_cost), gain),
    )  # fmt: skip
    return lyapunov(closed_loop(problem, policy), stage, Fraction(problem.discount))


def second_moment(problem: LQR, policy: LinearGaussian) -> tuple[list[Fraction], Matrix]:
    """Mean and second moment of the discounted occupancy, exactly."""
    gamma, loop, control = Fraction(problem.discount), closed_loop(problem, policy), fractions(problem.control)
    start = [[Fraction(float(x))] for x in problem.initial_mean]
    first = total(fractions(problem.initial_covariance), product(start, transposed(start)))
    noise = total(fractions(problem.noise), product(control, fractions(policy.covariance), transposed(control)))
    source = total(scaled(1 - gamma, first), scaled(gamma, noise))
    n = len(loop)
    system = [[Fraction(int(i == j)) - gamma * loop[i][j] for j in range(n)] for i in range(n)]
    mean = solve_linear(system, [(1 - gamma) * x[0] for x in start])
    return mean, lyapunov(transposed(loop), source, gamma)


def to_mpmath(array: np.ndarray) -> mpmath.matrix:
    """The floats, exactly."""
    return mpmath.matrix([[mpmath.mpf(float(x)) for x in line] for line in array])


def riccati_step(problem: LQR, P: mpmath.matrix, costs: tuple | None = None) -> tuple[mpmath.matrix, mpmath.matrix]:
    """One step of value iteration, and the gain that attains it."""
    A, B = to_mpmath(problem.dynamics), to_mpmath(problem.control)
    Q, N, R = costs or map(to_mpmath, (problem.state_cost, problem.cross_cost, problem.action_cost))
    gamma = mpmath.mpf(problem.discount)
    H = R + gamma * (B.T * P * B)
    G = N.T + gamma * (B.T * P * A)
    gain = mpmath.lu_solve(H, G) if G.cols == 1 else mpmath.inverse(H) * G
    return Q + gamma * (A.T * P * A) - G.T * gain, gain


def riccati(problem: LQR, steps: int, costs: tuple | None = None) -> tuple[mpmath.matrix, mpmath.matrix, mpmath.mpf]:
    """P after `steps` of value iteration from the identity, its gain, and the last change."""
    n = len(problem.dynamics)
    P = mpmath.eye(n)
    gain, change = mpmath.matrix(1, 1), mpmath.inf
    for _ in range(steps):
        following, gain = riccati_step(problem, P, costs)
        change = max(abs(following[i, j] - P[i, j]) for i in range(n) for j in range(n))
        P = (following + following.T) / 2  # rounding that is not symmetric would grow like A, not like the closed loop
        if change < mpmath.mpf(10) ** -(mpmath.mp.dps - 5):
            break
    return P, gain, change


def distance(given: np.ndarray, exact) -> float:
    """Frobenius norm of the difference, which bounds the spectral norm."""
    rows, columns = given.shape
    entry = (lambda i, j: exact[i, j]) if isinstance(exact, mpmath.matrix) else (lambda i, j: exact[i][j])
    kind = mpmath.mpf if isinstance(exact, mpmath.matrix) else Fraction
    squares = [(kind(float(given[i, j])) - entry(i, j)) ** 2 for i in range(rows) for j in range(columns)]
    return float(mpmath.sqrt(mpmath.mpf(float(sum(squares)))))
