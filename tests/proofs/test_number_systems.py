"""The number systems that the verdicts rest on: exact logarithms, balls, symbols and the solver's certificate."""

from __future__ import annotations

import math

import pytest
import sympy
from flint import fmpq
from hypothesis import given
from hypothesis import strategies as st

from proofs import balls, conic, exact, symbolic
from proofs.arithmetic import entropy_term, exp, log, minimum, sigmoid
from proofs.divergences import JS, KL, Law, capped_kl, fermi_dirac, js_ratio, law
from proofs.evidence import Answer
from proofs.exact import LogNumber, rational
from proofs.js.concentration import less_concentrated
from proofs.js.weights import bracket_high, bracket_low, fermi_weights, js_weights, kl_weights, mean_ratio
from proofs.kl.occupancy import flow_counterexample, uniform_policy

positive = st.builds(fmpq, st.integers(1, 60), st.integers(1, 60))
anything = st.builds(fmpq, st.integers(-20, 20), st.integers(1, 12))


@given(positive, positive, anything)
def test_logarithms_of_rationals_are_a_field_with_an_exact_order(row, p, q, r):
    x = log(p) + r * log(q)
    row.exact("proofs-exact", "log is a homomorphism", log(p) + log(q) == log(p * q), f"log {p} + log {q}")
    row.exact("proofs-exact", "x - x is 0", (x - x).is_zero() and x == x + 0, str(x))
    row.exact("proofs-exact", "order", (log(p) < log(q)) == (p < q), f"log {p}, log {q}")
    with balls.precision(128):
        seen, value = x.ball(), math.log(int(p.p) / int(p.q)) + int(r.p) / int(r.q) * math.log(int(q.p) / int(q.q))
        near = abs(float(seen.mid()) - value)
    unit = 2.0**-52
    bound = 8 * unit * (1 + abs(value) + abs(int(r.p) / int(r.q)) * 5)
    row("proofs-exact", "enclosure of a logarithm", near, bound, "a few roundings of log in float64")


@given(positive, st.integers(-3, 3))
def test_the_exponential_inverts_the_logarithm(row, q, k):
    row.exact("proofs-exact", "exp of log", exp(log(q)) == q and exp(k * log(q)) == q**k, f"{q}, {k}")
    row.exact("proofs-exact", "exp of half a log", exp(log(q**2) / 2) == q, f"{q}")


def test_an_irrational_exponential_says_what_to_do(row):
    with pytest.raises(ValueError, match="irrational; use balls"):
        exp(fmpq(1))
    with pytest.raises(ValueError, match="no rational root of degree 2"):
        exp(log(2) / 2)
    with pytest.raises(ValueError, match="positive rational inside a logarithm"):
        log(fmpq(-1))
    row.exact("proofs-exact", "no silent rounding", exp(log(fmpq(9, 4)) / 2) == fmpq(3, 2), "√(9/4) is 3/2")


def test_zero_is_told_from_tiny(row):
    tiny = log(fmpq(10**40 + 1, 10**40))
    row.exact("proofs-exact", "sign of a tiny logarithm", tiny.sign() == 1 and (tiny - tiny).sign() == 0, str(tiny))
    row.exact("proofs-exact", "log 8 = 3 log 2", (log(8) - 3 * log(2)).is_zero(), "8 = 2^3")
    row.exact("proofs-exact", "log 2 is not rational", log(2) - fmpq(693147, 10**6) > 0, "log 2 > 0.693147")


@given(positive)
def test_one_formula_means_the_same_in_every_number_system(row, q):
    symbol = sympy.Symbol("z", real=True)
    for name, formula in {"sigmoid": sigmoid, "entropy": lambda z: entropy_term(exp(z)), "JS": js_ratio}.items():
        if name == "JS" and q == 2:
            continue
        precise = formula(log(q))
        at = sympy.Rational(int(q.p), int(q.q))
        symbolically = sympy.N(formula(symbol).subs(symbol, sympy.log(at)), 40)
        with balls.precision(160):
            enclosed = formula(balls.ball(log(q)))
            inside = enclosed.contains(balls.ball(precise)) or (enclosed - balls.ball(precise)).contains(0)
            decimal = sympy.N(sympy.sympify(balls.ball(precise).str(45, radius=False)), 40)
        row.exact("proofs-exact", f"{name}: ball around the exact value", inside, f"{enclosed} and {precise}")
        error = abs(float(decimal - symbolically))
        row(
            "proofs-exact",
            f"{name}: symbols",
            error,
            2.0**-100 * (1 + abs(float(decimal))),
            "40 digits, less cancellation",
        )


@given(st.lists(positive, min_size=1, max_size=4), st.data())
def test_the_js_bracket_holds_on_random_laws(row, exponentials, data):
    masses = data.draw(st.lists(st.integers(1, 9), min_size=len(exponentials), max_size=len(exponentials)))
    item = law(masses, exponentials)
    low, high = bracket_low(item), bracket_high(item)
    at_low, at_high = mean_ratio(item, exp(low)), mean_ratio(item, exp(high))
    row.exact("JS-04", "mean at the lower end", at_low is not None and at_low >= 1, f"{at_low} on {item}")
    row.exact("JS-04", "mean at the upper end", at_high is not None and at_high <= 1, f"{at_high} on {item}")


@given(st.lists(positive, min_size=2, max_size=4, unique=True), st.data())
def test_the_three_weights_are_ordered_by_majorisation_on_random_laws(row, exponentials, data):
    masses = data.draw(st.lists(st.integers(1, 9), min_size=len(exponentials), max_size=len(exponentials)))
    item = law(masses, exponentials)
    below = less_concentrated(item, fermi_weights, kl_weights, ("σ", "KL"))
    above = less_concentrated(item, kl_weights, js_weights, ("KL", "JS"))
    row.exact("JS-12", "σ ≺ KL", below.holds is True, below.witness)
    row.exact("JS-12", "KL ≺ JS", above.holds is True, above.witness)


def test_a_root_is_enclosed_and_a_bad_bracket_refused(row):
    root = balls.root(lambda x: 2 - x * x, 1, 2, 200)
    with balls.precision(512):
        width = float(root.rad())
        row.exact("proofs-balls", "root of 2 - x^2", root.contains(balls.ball(2).sqrt()), str(root))
    row("proofs-balls", "width of the enclosure", width, 2.0**-199, "bisection to 200 bits")
    with pytest.raises(ValueError, match="expected a decreasing function with a root in"):
        balls.root(lambda x: x - 5, 1, 2)
    row.exact("proofs-balls", "bad bracket refused", True, "")


def test_comparisons_of_balls_answer_only_when_certain(row):
    with balls.precision(64):
        third = balls.ball(fmpq(1, 3))
        row.exact(
            "proofs-balls", "overlap", balls.less(third, third) is None, "a ball compared with itself was decided"
        )
        row.exact("proofs-balls", "less", balls.less(third, 1) is True and balls.less(1, third) is False, "1/3 and 1")
    row.exact("proofs-balls", "settle gives up", balls.settle(lambda: None) is None, "an open question was answered")
    same = balls.certainly_less(lambda: log(4), lambda: 2 * log(2))
    row.exact("proofs-balls", "exact equality", same.holds is False, same.witness)
    row.exact("proofs-balls", "minimum", minimum(log(2), log(3)) == log(2), "log 2 < log 3")


def test_symbols_prove_refute_and_abstain(row):
    x = sympy.Symbol("x", positive=True)
    row.exact(
        "proofs-symbolic", "identity", symbolic.equal(sympy.log(x * 2), sympy.log(2) + sympy.log(x)).holds is True, ""
    )
    wrong = symbolic.equal(sympy.log(x + 1), sympy.log(x))
    row.exact("proofs-symbolic", "refutation", wrong.holds is False and "remainder" in wrong.witness, str(wrong))
    hidden = symbolic.vanishes(sympy.Function("h")(x) - sympy.Function("k")(x))
    row.exact(
        "proofs-symbolic", "abstention", hidden.holds is not True, f"two unknown functions were found equal: {hidden}"
    )
    row.exact("proofs-symbolic", "sign", symbolic.sign(x + 1, 1) == Answer(True, "x + 1 > 0"), "x + 1 > 0 for x > 0")
    row.exact(
        "proofs-symbolic", "sign refuted", symbolic.sign(x - sympy.Rational(1, 2), 1).holds is False, "x - 1/2 > 0"
    )
    row.exact("proofs-symbolic", "pole", symbolic.vanishes(1 / (x - x)).holds is False, "1/0 vanished")


@pytest.mark.parametrize("generator", [KL, JS, fermi_dirac(fmpq(2)), capped_kl(fmpq(3))], ids=lambda g: g.name)
def test_weak_duality_holds_in_balls_for_every_generator(generator, row):
    data = law([1, 2, 3], [5, 1, fmpq(1, 3)])
    certificate = conic.certify(data, generator)
    with balls.precision(256):
        trivial = conic.ball_objective(data, [fmpq(1)] * 3, generator)
        row.exact("FD-03", f"{generator.name}: lower ≤ upper", certificate.lower <= certificate.upper, str(certificate))
        row.exact("FD-03", f"{generator.name}: w = 1 is no better", trivial <= certificate.upper, str(trivial))
        uniform = conic.optimal(data, generator, [fmpq(1)] * 3, "w = 1")
    row.exact("FD-03", f"{generator.name}: w = 1 is refuted", uniform.holds is False, uniform.witness)
    infeasible = conic.optimal(data, generator, [fmpq(2)] * 3, "w = 2")
    row.exact("FD-03", f"{generator.name}: mean two is refused", infeasible.holds is False, infeasible.witness)


def test_exact_processes_solve_their_own_equations(row):
    process = flow_counterexample()
    policy = uniform_policy(process)
    occupancy = process.occupancy(policy)
    row.exact("KL-05", "flow residual", all(r == 0 for r in process.flow_residual(occupancy)), str(occupancy))
    row.exact("KL-05", "total mass", sum(occupancy.values(), fmpq(0)) == 1, str(occupancy))
    with pytest.raises(ZeroDivisionError):
        exact.solve([[1, 1], [1, 1]], [1, 2])
    with pytest.raises(ValueError, match="expected an int, a float, an fmpq or a string"):
        rational(None)
    with pytest.raises(ValueError, match="expected positive masses that sum to 1"):
        Law((fmpq(1, 2),), (LogNumber.of(0),))
