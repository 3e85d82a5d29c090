"""Exact gradients of a small process with softmax policies, shared by the policy-gradient claims.

Two actions in each state and one logit θ_s; with e^θ rational the policy and its derivative π₀π₁ are rational. The
gradients come from exact values of the metric at nearby policies and, as a second computation, from complex steps in
50 digits; neither knows the policy-gradient theorem.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import mpmath
from flint import fmpq

from proofs.exact import Process, mean, solve
from proofs.rl import chains
from proofs.rl.chains import Matrix, Vector, numbers

#: e^θ of the three states, for the target policy and for the behaviour.
ODDS = numbers(2, "1/3", "3/2")
BEHAVIOR_ODDS = numbers("1/2", 1, 3)

_DIGITS = 50
_STEP = "1e-40"


@functools.cache
def model(discount: str) -> Process:
    """Three states, two actions; every policy of full support is irreducible."""
    transitions = [
        [["1/2", "1/2", 0], [0, "1/4", "3/4"]],
        [[0, "1/2", "1/2"], [1, 0, 0]],
        [["1/4", 0, "3/4"], [0, 1, 0]],
    ]
    return chains.process(transitions, [[1, 0], [0, 2], [-1, "3/2"]], discount, ["1/2", "1/4", "1/4"])


def softmax(odds: Sequence[Any]) -> Matrix:
    """π(0|s) = e^θ/(1 + e^θ)."""
    return tuple((u / (1 + u), 1 / (1 + u)) for u in odds)


def tangent(policy: Matrix, state: int) -> Matrix:
    """∂π/∂θ_state: π₀π₁ and −π₀π₁ in that state, 0 elsewhere."""
    return tuple((p[0] * p[1], -p[0] * p[1]) if s == state else (fmpq(0), fmpq(0)) for s, p in enumerate(policy))


def moebius_slope(metric: Callable[[fmpq], fmpq], p: fmpq) -> fmpq:
    """The exact derivative at p of a quotient of two affine functions, from its values at three points.

    With t the step, metric(p + t) = (m + bt)/(1 + dt); the values at ±h give d and b, and the derivative is b − dm. A
    fourth point is checked. ValueError when it does not fit.
    """
    h = min(p, 1 - p) / 2
    middle, above, below = metric(p), metric(p + h), metric(p - h)
    if above == below:
        bend, rise = fmpq(0), fmpq(0)
    else:
        bend = (2 * middle - above - below) / (above - below) / h
        rise = (above * (1 + bend * h) - middle) / h
    if metric(p + h / 2) * (1 + bend * h / 2) != middle + rise * h / 2:
        raise ValueError("the metric is no quotient of two affine functions of one probability")
    return rise - bend * middle


def slopes(policy: Matrix, metric: Callable[[Matrix], fmpq]) -> Vector:
    """∂metric/∂θ_s for each state, by dπ(0|s)/dθ_s = π₀π₁.

    By Cramer's rule values and stationary laws are quotients of determinants that are affine in one row of the chain,
    and so in π(0|s).
    """
    result = []
    for s, (p, rest) in enumerate(policy):

        def moved(x: fmpq, s: int = s) -> fmpq:
            return metric((*policy[:s], (x, 1 - x), *policy[s + 1 :]))

        result.append(moebius_slope(moved, p) * p * rest)
    return tuple(result)


def value_gradient(process: Process, policy: Matrix, start: Sequence[Any]) -> Vector:
    """∇ of start·v_π."""
    return slopes(policy, lambda pi: mean(start, process.values(pi)))


def average_gradient(process: Process, policy: Matrix) -> Vector:
    """∇ of r̄ = d·r."""
    return slopes(policy, lambda pi: mean(chains.stationary(chains.chain(process, pi)), chains.income(process, pi)))


def theorem(process: Process, policy: Matrix, weights: Sequence[Any], q: Matrix) -> Vector:
    """Σ_s η(s) Σ_a ∇π(a|s) q(s,a), the policy-gradient theorem."""
    return tuple(weights[s] * mean(tangent(policy, s)[s], q[s]) for s in range(process.n_states))


def differential(process: Process, policy: Matrix) -> Matrix:
    """q(s,a) = r − r̄ + E h(s'), with (I − P)h = r_π − r̄ and d·h = 0."""
    matrix, rewards, size = chains.chain(process, policy), chains.income(process, policy), process.n_states
    law = chains.stationary(matrix)
    gain = mean(law, rewards)
    rows = [[(1 if i == j else 0) - matrix[i][j] for j in range(size)] for i in range(size - 1)]
    bias = solve([*rows, list(law)], [*(rewards[i] - gain for i in range(size - 1)), fmpq(0)])
    return tuple(
        tuple(
            process.rewards[s][a] - gain + mean(process.transitions[s][a], bias) for a in range(len(process.rewards[s]))
        )
        for s in range(size)
    )


def _number(value: fmpq) -> Any:
    return mpmath.mpf(int(value.p)) / int(value.q)


def complex_step(process: Process, odds: Sequence[Any], metric: Callable[[Any, Any], Any]) -> tuple[list[Any], Any]:
    """∇ of metric(P_π, r_π) by complex steps, and an estimate of its error from a second step ten times as long."""
    with mpmath.workdps(_DIGITS):

        def derivative(state: int, step: Any) -> Any:
            logits = [mpmath.log(_number(u)) for u in odds]
            logits[state] += mpmath.mpc(0, step)
            policy = [(1 / (1 + mpmath.exp(-x)), 1 / (1 + mpmath.exp(x))) for x in logits]
            size = range(process.n_states)
            chain = mpmath.matrix(process.n_states)
            income = mpmath.matrix(process.n_states, 1)
            for s in size:
                for a in (0, 1):
                    income[s] += policy[s][a] * _number(process.rewards[s][a])
                    for t in size:
                        chain[s, t] += policy[s][a] * _number(process.transitions[s][a][t])
            return mpmath.im(metric(chain, income)) / step

        step = mpmath.mpf(_STEP)
        found = [derivative(s, step) for s in range(process.n_states)]
        again = [derivative(s, 10 * step) for s in range(process.n_states)]
        return found, max(abs(x - y) for x, y in zip(found, again, strict=True))


def discounted_metric(start: Sequence[Any], discount: Any) -> Callable[[Any, Any], Any]:
    """start·(I − γP)^{-1} r for `complex_step`."""

    def metric(chain: Any, income: Any) -> Any:
        values = mpmath.lu_solve(mpmath.eye(chain.rows) - _number(discount) * chain, income)
        return mpmath.fsum(_number(start[s]) * values[s] for s in range(chain.rows))

    return metric


def average_metric(chain: Any, income: Any) -> Any:
    """d·r with d the stationary law, for `complex_step`."""
    size = chain.rows
    system = chain.T - mpmath.eye(size)
    right = mpmath.matrix(size, 1)
    for t in range(size):
        system[size - 1, t] = 1
    right[size - 1] = 1
    law = mpmath.lu_solve(system, right)
    return mpmath.fsum(law[s] * income[s] for s in range(size))


def agreement(found: Sequence[Any], error: Any, exact: Sequence[Any]) -> tuple[bool, str]:
    """Whether complex steps agree with exact gradients to 30 digits, and the numbers."""
    with mpmath.workdps(_DIGITS):
        worst = max(abs(x - _number(y)) for x, y in zip(found, exact, strict=True))
        close = bool(worst < mpmath.mpf(10) ** -30 and error < mpmath.mpf(10) ** -30)
        return close, f"difference {mpmath.nstr(worst, 2)}, own error estimate {mpmath.nstr(error, 2)}"


def cosine(left: Sequence[Any], right: Sequence[Any]) -> tuple[fmpq, str]:
    """The exact squared cosine of two gradients, and the cosine in five decimals."""
    square = mean(left, right) ** 2 / (mean(left, left) * mean(right, right))
    return square, f"{(int(square.p) / int(square.q)) ** 0.5:.5f}"
