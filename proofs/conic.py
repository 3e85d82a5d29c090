"""Two-sided certificates around the answer of an independent conic solver (cvxpy with Clarabel).

The relaxed problem max_w E[w z] - E[f(w)] subject to E[w] = 1 (in units of beta) is handed to Clarabel as a cone
program in d = D w. What comes back is floating point and proves nothing by itself, so it is turned into a certificate:

* its primal answer, rounded to an exactly feasible rational d, gives a rigorous lower bound of the optimal value;
* its dual answer, the multiplier nu as an exact rational, gives the rigorous upper bound nu + E f*(z - nu).

Both are evaluated in balls. A formula whose value falls below the lower bound is refuted, one inside the enclosure is
optimal to within its width; no tolerance is chosen anywhere.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

from flint import arb, fmpq

from proofs import balls
from proofs.divergences import Generator, Law
from proofs.evidence import Answer
from proofs.exact import rational


@dataclasses.dataclass(frozen=True)
class Certificate:
    """An enclosure of the optimal value with the solver's own answer and residuals."""

    masses: tuple[fmpq, ...]
    multiplier: fmpq
    lower: arb
    upper: arb
    solver_value: float
    primal_residual: float
    stationarity_residual: float

    @property
    def gap(self) -> arb:
        """upper - lower: how far the solver's answer can be from optimal."""
        return self.upper - self.lower

    def __str__(self) -> str:
        width = self.gap.upper().str(2, radius=False)
        return (
            f"Clarabel d=({', '.join(f'{float(mass.p) / float(mass.q):.6f}' for mass in self.masses)}), "
            f"value in [{balls.short(self.lower)}, {balls.short(self.upper)}], two-sided gap {width}, "
            f"residuals: primal {self.primal_residual:.1e}, stationarity {self.stationarity_residual:.1e}"
        )

    def decides(self, value: Any, name: str) -> Answer:
        """Whether `value`, attained by a feasible point, is optimal as far as the enclosure can tell.

        False: certainly below the lower bound. True: the point attains at least the lower bound, so it is optimal
        to within the gap. (Above the upper bound is impossible for a feasible point and is reported as undecided.)
        """
        value = balls.ball(value)
        shown = f"{name} attains {balls.short(value)}; {self}"
        if value < self.lower:
            return Answer(False, shown)
        if value > self.upper:
            return Answer(None, f"{shown}: above the upper bound, so it cannot be feasible")
        return Answer(True if value.upper() >= self.lower else None, shown)


def _penalty(generator: Generator, masses: Any, unknown: Any) -> Any:
    """sum D f(d / D) as a cone-representable expression."""
    import cvxpy

    cone = getattr(generator, "cone", None)
    if cone is not None:
        return cvxpy.sum(cvxpy.multiply(masses, cone(unknown / masses)))
    if generator.name == "JS":
        middle = (unknown + masses) / 2
        return cvxpy.sum(cvxpy.rel_entr(unknown, middle) + cvxpy.rel_entr(masses, middle))
    if generator.name.startswith("Fermi-Dirac"):
        assert generator.cap is not None
        rest = float(generator.cap.p) / float(generator.cap.q) * masses - unknown
        return cvxpy.sum(cvxpy.rel_entr(unknown, masses) + cvxpy.rel_entr(rest, masses))
    if generator.name.startswith("KL"):
        return cvxpy.sum(cvxpy.kl_div(unknown, masses))
    raise ValueError(f"no cone form of {generator.name} is known; add one here")


def certify(law: Law, generator: Generator) -> Certificate:
    """Solve the relaxed problem of `law` with Clarabel and enclose its optimal value."""
    return _certify(law, generator)


@functools.lru_cache(maxsize=64)
def _certify(law: Law, generator: Generator) -> Certificate:
    import cvxpy
    import numpy as np

    masses = np.array([float(mass.p) / float(mass.q) for mass in law.masses])
    z = np.array([float(balls.ball(value).mid()) for value in law.z])
    unknown: Any = cvxpy.Variable(len(masses), nonneg=True)
    constraints: list[Any] = [cvxpy.sum(unknown) == 1]
    if generator.cap is not None:
        constraints.append(unknown <= float(generator.cap.p) / float(generator.cap.q) * masses)
    problem: Any = cvxpy.Problem(cvxpy.Maximize(z @ unknown - _penalty(generator, masses, unknown)), constraints)
    problem.solve(solver=cvxpy.CLARABEL)
    if problem.status not in (cvxpy.OPTIMAL, cvxpy.OPTIMAL_INACCURATE):
        raise RuntimeError(f"Clarabel ended with status {problem.status!r} on {law}, {generator.name}")
    raw = [rational(float(value)) for value in unknown.value]
    multiplier = rational(float(constraints[0].dual_value))
    feasible = feasible_point(raw, law, generator.cap)
    with balls.precision(256):
        weights = [mass / base for mass, base in zip(feasible, law.masses, strict=True)]
        lower = ball_objective(law, weights, generator)
        upper = dual_value(law, generator, multiplier)
        stationarity = max(
            (
                float(abs(balls.ball(w) - generator.ratio(balls.ball(z) - balls.ball(multiplier))).upper())
                for w, z in zip(weights, law.z, strict=True)
            ),
        )
    total = sum(raw, fmpq(0)) - 1
    primal = max(float(abs(total).p) / float(abs(total).q), *(max(0.0, -float(r.p) / float(r.q)) for r in raw))
    return Certificate(tuple(feasible), multiplier, lower, upper, float(problem.value), primal, stationarity)


def ball_objective(law: Law, weights: Sequence[Any], generator: Generator) -> arb:
    """E[w z] - E[f(w)] as a ball."""
    terms = [
        balls.ball(w) * balls.ball(z) - generator.value(balls.ball(w)) for w, z in zip(weights, law.z, strict=True)
    ]
    return balls.ball(law.expect(terms))


def dual_value(law: Law, generator: Generator, multiplier: Any) -> arb:
    """The dual function nu + E f*(z - nu), an upper bound of the optimal value for every nu in its domain."""
    nu = balls.ball(multiplier)
    return nu + balls.ball(law.expect([generator.conjugate(balls.ball(z) - nu) for z in law.z]))


def feasible_point(raw: Sequence[fmpq], law: Law, cap: fmpq | None) -> list[fmpq]:
    """The solver's d made exactly feasible: clipped at 0, scaled to mass 1, mixed with D until below the cap."""
    clipped = [max(value, fmpq(0)) for value in raw]
    total = sum(clipped, fmpq(0))
    point = [value / total for value in clipped]
    if cap is None:
        return point
    mixing = fmpq(0)
    for mass, base in zip(point, law.masses, strict=True):
        weight = mass / base
        if weight > cap:
            mixing = max(mixing, (weight - cap) / (weight - 1))
    return [(1 - mixing) * mass + mixing * base for mass, base in zip(point, law.masses, strict=True)]


def optimal(law: Law, generator: Generator, weights: Sequence[Any], name: str) -> Answer:
    """Whether mean-one `weights` solve the relaxed problem, decided against the solver's enclosure."""
    certificate = certify(law, generator)
    with balls.precision(256):
        mean = balls.ball(law.expect(weights))
        if not mean.contains(1):
            return Answer(False, f"{name} has mean {balls.short(mean)}, so it is not feasible")
        if generator.cap is not None and any(balls.ball(w) > balls.ball(generator.cap) for w in weights):
            return Answer(False, f"{name} leaves the domain w <= {generator.cap}")
        if any(balls.ball(w) < 0 for w in weights):
            return Answer(False, f"{name} is negative somewhere")
        return certificate.decides(ball_objective(law, weights, generator), name)


def multiplier(law: Law, ratio: Callable[[Any], Any], low: Any, high: Any, bits: int = 128) -> arb:
    """A ball around the nu with E ratio(z - nu) = 1, given a proved bracket."""
    return balls.root(
        lambda nu: law.expect([ratio(balls.ball(z) - nu) for z in law.z]) - 1,
        low,
        high,
        bits,
    )
