"""What chapter SAC rests on: Gaussian expectations, quadrature, exact soft values, and the solver's enclosure."""

from __future__ import annotations

import math

import mpmath
import pytest
import sympy
from flint import acb, fmpq
from hypothesis import given
from hypothesis import strategies as st

from proofs import balls, ledger
from proofs.exact import LogNumber
from proofs.sac import gaussian, integrals, multiplier, soft
from proofs.sac.gaussian import X
from proofs.sac.iteration import loop_or_stop, optimal_values, policy_with

INTEGRANDS = (X**4, X * sympy.sin(3 * X), sympy.exp(X / 2) * X**2, 3 + sympy.cos(2 * X) ** 2)


def test_every_entry_of_the_source_is_there(row):
    wanted = {f"SAC-{k:02d}" for k in range(1, 27)}
    seen = {claim.id for claim in ledger.select(["SAC"])}
    row.exact("SAC-01", "entries", seen == wanted, f"missing {wanted - seen}, too many {seen - wanted}")


@pytest.mark.parametrize("integrand", INTEGRANDS, ids=str)
def test_gaussian_expectations_agree_with_quadrature(row, integrand):
    exact = gaussian.expectation(integrand)
    function = sympy.lambdify(X, integrand * sympy.exp(-(X**2) / 2) / sympy.sqrt(2 * sympy.pi), "mpmath")
    with mpmath.workdps(30):
        numeric, error = mpmath.quad(function, mpmath.linspace(-14, 14, 15), error=True)
        away = abs(mpmath.mpf(sympy.N(exact, 30)) - numeric)
    reason = "the quadrature's own estimate, and the mass beyond 14 deviations"
    row("SAC-26", str(integrand), float(away), float(error) + 1e-25, reason)


def test_an_integrand_of_another_form_is_refused(row):
    for integrand in (sympy.log(X), sympy.exp(X**2), sympy.sqrt(X)):
        with pytest.raises(ValueError, match=r"expected (powers and exponentials|an exponent linear)"):
            gaussian.expectation(integrand)
    row.exact("SAC-26", "integrand refused", True, "")


def test_quadrature_encloses_the_known_order_statistics(row):
    with balls.precision(128):
        larger = integrals.expectation_of_law(lambda x: integrals.normal_law(x) ** 2, factor=4)
        known = 1 / balls.ball(0).pi().sqrt()
        mass = integrals.integral(integrals.normal_density, acb(-1), acb(1))
        erf = (1 / balls.ball(2).sqrt()).erf()
    row.exact("SAC-15", "E max of two normals is 1/√π", bool(larger.overlaps(known)), f"{larger} and {known}")
    row.exact("SAC-14", "mass within one deviation", bool(mass.overlaps(erf)), f"{mass} and {erf}")
    narrow = balls.ball(fmpq(1, 10**25))
    row.exact("SAC-15", "the enclosure is narrow", bool(larger.rad() < narrow), f"radius {larger.rad()}")


@given(st.lists(st.builds(fmpq, st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=4))
def test_collecting_logarithms_keeps_the_number(row, factors):
    value = LogNumber.of(0)
    for k, factor in enumerate(factors):
        value = value + LogNumber.log(factor) * fmpq(1, k + 1)
    collected = soft.collected(value)
    row.exact("SAC-05", "collected", collected == value and len(collected.terms) <= 1, f"{value} and {collected}")


def test_soft_values_solve_the_soft_bellman_equation(row):
    process = loop_or_stop()
    for p in (fmpq(0), fmpq(1, 3), fmpq(1)):
        policy = policy_with(p)
        values = soft.soft_values(process, policy, fmpq(1))
        backed = soft.regularised(soft.backups(process, values)[0], policy[0], fmpq(1))
        row.exact("SAC-07", f"π(a) = {p}", LogNumber.of(values[0]) == LogNumber.of(backed), f"{values[0]}, {backed}")


def test_hard_values_are_optimal(row):
    from proofs import instances

    for process, policy, _ in instances.processes(6, seed=1):
        best, other = optimal_values(process), process.values(policy)
        backed = [max(r) for r in soft.backups(process, best)]
        row.exact("SAC-06", "T V = V", list(best) == backed, f"{best}")
        row.exact("SAC-06", "no policy is better", all(x >= y for x, y in zip(best, other, strict=True)), f"{other}")


@pytest.mark.parametrize("each", [False, True])
def test_the_solver_is_enclosed_from_both_sides(row, each):
    solved = multiplier.solve(multiplier.TWO_STATES, multiplier.SHARED_TARGET, each=each)
    row.exact("SAC-20", "lower below upper", bool(solved.lower < solved.upper), str(solved))
    middle, gap = solved.lower.mid(), float((solved.upper - solved.lower).upper())
    away = abs(solved.solver_value - float(middle))
    allowed = gap + 4 * math.ulp(solved.solver_value) + 1e-8
    row("SAC-20", "the solver's own value", away, allowed, "the gap, and Clarabel's tolerance of 1e-8")
