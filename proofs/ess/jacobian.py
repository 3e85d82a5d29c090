"""Jacobians of the literal update law, symbolically and by finite differences, and their eigenvalues.

The state is (e, x) = (hatE/T - 1, log(beta/beta*)), the elasticity of ESS there s = d log ESS/d log beta.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import sympy
from flint import arb, fmpq

from proofs import balls, literal
from proofs.ess import samples
from proofs.evidence import Answer, every
from proofs.symbolic import positive, real

Matrix = tuple[tuple[Any, Any], tuple[Any, Any]]
Exponent = Callable[[Any, Any, Any], Any]

ETA, RHO, ELASTICITY = positive("eta rho s")
PRECISION = 400
STEP = fmpq(1, 2**100)


def reversed_exponent(estimate: Any, target: Any, eta: Any) -> Any:
    """The exponent of the update law with the opposite sign."""
    return -literal.beta_exponent(estimate, target, eta)


def symbolic_jacobian(exponent: Exponent) -> Matrix:
    """Derivatives of the literal loop at its fixed point, for a signal T (beta/beta*)^s."""
    (target, middle), (e, x) = positive("T beta"), real("e x")
    estimate, beta = literal.adaptive_beta(
        target * (1 + e),
        middle * sympy.exp(x),
        lambda b: target * (b / middle) ** ELASTICITY,
        target=target,
        eta=ETA,
        rho=RHO,
        bounds=None,
        exponent=exponent,
    )
    following = estimate / target - 1, sympy.expand_log(sympy.log(beta / middle), force=True)
    rows = [[sympy.simplify(sympy.diff(f, v).subs({e: 0, x: 0})) for v in (e, x)] for f in following]
    return (rows[0][0], rows[0][1]), (rows[1][0], rows[1][1])


def difference_jacobian(exponent: Exponent, size: Any, beta: arb, eta: fmpq, rho: fmpq) -> Matrix:
    """Central differences of the literal loop around beta, where T = ESS(beta) makes it a fixed point."""
    target, h = size(beta), balls.ball(STEP)

    def step(e: arb, x: arb) -> tuple[arb, arb]:
        estimate, following = literal.adaptive_beta(
            target * (1 + e),
            beta * x.exp(),
            size,
            target=target,
            eta=balls.ball(eta),
            rho=balls.ball(rho),
            bounds=None,
            exponent=exponent,
        )
        return estimate / target - 1, (following / beta).log()

    zero = balls.ball(0)
    pairs = [(step(h, zero), step(-h, zero)), (step(zero, h), step(zero, -h))]
    columns = [tuple((a - b) / (2 * h) for a, b in zip(ahead, behind, strict=True)) for ahead, behind in pairs]
    return (columns[0][0], columns[1][0]), (columns[0][1], columns[1][1])


def eigenvalues(jacobian: Matrix) -> tuple[Any, ...]:
    """The two eigenvalues as (real part, imaginary part), the larger real part first; in balls."""
    (a, b), (c, d) = jacobian
    half, determinant = (a + d) / 2, a * d - b * c
    discriminant = half * half - determinant
    if discriminant > 0:
        root = discriminant.sqrt()
        return (half + root, balls.ball(0)), (half - root, balls.ball(0))
    return (half, (-discriminant).sqrt()), (half, -(-discriminant).sqrt())


def moduli(found: tuple[Any, ...]) -> list[arb]:
    """The moduli of eigenvalues."""
    return [abs(x) if y.is_zero() else (x * x + y * y).sqrt() for x, y in found]


def described(found: tuple[Any, ...]) -> str:
    """Eigenvalues for a reader."""
    (x, y), (other, _) = found
    if y.is_zero():
        return f"eigenvalues {balls.short(x, 6)}, {balls.short(other, 5)}"
    return f"eigenvalues {balls.short(x, 5)} ± {balls.short(y, 5)}i of modulus {balls.short(moduli(found)[0], 4)}"


def population(beta: arb) -> arb:
    """ESS/n of unit Gaussian delta on infinitely many samples (ESS-02)."""
    return (-1 / (beta * beta)).exp()


def signals() -> dict[str, tuple[Any, arb]]:
    """Three signals, each with a fixed point: ESS as a function of beta, and beta*."""
    three = [balls.ball(delta) for delta in samples.THREE]
    return {
        "Gaussian δ, α = 1/2": (population, 1 / balls.ball(2).log().sqrt()),
        "δ = (0, log 2, log 8), T = 121/69": (
            lambda beta: literal.batch_effective_sample_size(three, beta),
            balls.ball(1),
        ),
        "256 Gaussian quantiles": (lambda beta: samples.gaussian_size(beta, 256), balls.ball(fmpq(7, 6))),
    }


def elasticity(size: Any, beta: arb) -> arb:
    """d log ESS/d log beta by a central difference."""
    h = balls.ball(STEP).exp()
    return (size(beta * h) / size(beta / h)).log() / (2 * balls.ball(STEP))


@functools.cache
def observed(exponent: Exponent) -> dict[str, tuple[Matrix, arb]]:
    """For each signal the Jacobian of the literal loop, by differences, and the elasticity."""
    with balls.precision(PRECISION):
        return {
            name: (difference_jacobian(exponent, size, beta, **samples.SUGGESTED), elasticity(size, beta))
            for name, (size, beta) in signals().items()
        }


def agree(exponent: Exponent, jacobian: Callable[..., Matrix]) -> Answer:
    """Whether the differences of the literal loop are the stated Jacobian, to 2^-150, for every signal."""
    found = []
    with balls.precision(PRECISION):
        eta, rho = (balls.ball(samples.SUGGESTED[name]) for name in ("eta", "rho"))
        for name, (seen, s) in observed(exponent).items():
            stated = jacobian(eta, rho, s)
            worst = max(
                float(abs(x - balls.ball(y)).upper())
                for x, y in zip(itertools.chain(*seen), itertools.chain(*stated), strict=True)
            )
            found.append(Answer(worst < 2.0**-150, f"{name}: s = {balls.short(s, 5)}, largest difference {worst:.0e}"))
        return every(found, "; ".join(answer.witness for answer in found))


def law_spectrum(gain: fmpq, rho: fmpq, exponent: Exponent) -> tuple[Any, ...]:
    """Eigenvalues of the law at gain = eta s, from the trace and determinant of its literal Jacobian."""
    at = {ETA: sympy.Integer(1), RHO: _sympy(rho), ELASTICITY: _sympy(gain)}
    (a, b), (c, d) = [[balls.ball(str(entry.subs(at))) for entry in row] for row in _cached_jacobian(exponent)]
    return eigenvalues(((a, b), (c, d)))


@functools.cache
def _cached_jacobian(exponent: Exponent) -> Matrix:
    return symbolic_jacobian(exponent)


def _sympy(value: fmpq) -> Any:
    return sympy.Rational(int(value.p), int(value.q))
