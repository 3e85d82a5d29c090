"""f-regression and its dual (FD-03); when the minimiser is the soft value (FD-04)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import sympy
from flint import arb, fmpq

from proofs import balls, conic, generators, under_test, zeros
from proofs.arithmetic import exp
from proofs.claim import claim
from proofs.divergences import Law
from proofs.evidence import Answer, Case, every
from proofs.exact import LogNumber, mean
from proofs.generators import Curved
from proofs.symbolic import equal, positive, real, vanishes
from proofs.verdict import THEOREM

EIGHT: tuple[Curved, ...] = (
    generators.KL,
    generators.JS,
    generators.CHI,
    generators.HELLINGER,
    generators.REVERSE,
    generators.ROOT_POWER,
    generators.fermi_dirac(fmpq(4)),
    generators.two_sided(fmpq(1, 2), fmpq(3)),
)

FIVE_ATOMS = Law(
    (fmpq(1, 10), fmpq(3, 10), fmpq(1, 5), fmpq(1, 4), fmpq(3, 20)),
    (fmpq(1), fmpq(-2), fmpq(1, 2), fmpq(0), fmpq(-3, 4)),
)
"""q/beta of five atoms."""


@functools.lru_cache(maxsize=128)
def multiplier(data: Law, generator: Curved, bits: int = 192) -> arb:
    """A ball around the nu with E (f*)'(z - nu) = 1.

    With y = z - nu <= f'(1) everywhere the mean is at most 1. It is at least 1 with y >= f'(1) everywhere, or, where
    f'(infinity) is finite, once the top atom alone, with f'(1/D), has d = 1.
    """
    with balls.precision(2 * bits):
        centre = balls.ball(generator.derivative(balls.ball(1)))
        z = [balls.ball(value) for value in data.z]
        top = max(range(len(z)), key=lambda k: float(z[k].mid()))
        high = z[top] - centre
        if generator.slope_limit is None:
            low = min(z, key=lambda value: float(value.mid())) - centre
        else:
            low = z[top] - balls.ball(generator.derivative(balls.ball(1 / data.masses[top])))
        margin = arb(2) ** (-bits)
        nu = conic.multiplier(data, generator.ratio, low - margin, high + margin, bits)
        if nu.rad() < margin * 16:
            return nu

        # A search that met the root of a piecewise linear function exactly stops there, with a wide bracket.
        def excess(x: Sequence[arb]) -> list[Any]:
            return [data.expect([generator.ratio(value - x[0]) for value in z]) - 1]

        def slope(x: Sequence[arb]) -> list[list[Any]]:
            return [[-data.expect([generator.slope(value - x[0]) for value in z])]]

        start = zeros.refine(excess, slope, [nu.mid()], 2 * bits)
        return zeros.isolate(excess, slope, start, bits)[0]


def optimal_ratios(data: Law, generator: Curved) -> list[arb]:
    """(f*)'(z - nu) at the multiplier."""
    nu = multiplier(data, generator)
    return [generator.ratio(balls.ball(z) - nu) for z in data.z]


@claim(
    "FD-03",
    source=("toolkit", "002 §8 (needs it)"),
    statement="f-regression is the dual of the relaxed problem.",
    formula=(
        "argmin_v E[f*(z) − z] ⇔ E[(f*)'(z)] = 1 ⇔ v = βν, z = (q−v)/β;  min_v v + βE f*(z) = max_w E[wq] − βE f(w)"
    ),
    stated=THEOREM,
    corrected="Both minimisations have the same v: v + βE f*(z) = E q + βE[f*(z) − z].",
    method="S+B+C",
    derivation=(
        "v + βE f*((q−v)/β) has the derivative 1 − E(f*)'(z), and βE[f*(z) − z] differs from it by the constant E q.",
        "Fenchel–Young, atom by atom: f*(z) + f(w) = wz at w = (f*)'(z). With E w = 1: v + βE f*(z) = E[wq] − βE f(w).",
        "For any mean-one w the right side is not larger: weak duality. So both are optimal.",
    ),
    twins={
        "v forgotten": {"value": lambda nu, penalty: penalty},
        "penalty with the opposite sign": {"value": lambda nu, penalty: nu - penalty},
        "regression on f* + z": {"loss": lambda conjugate, z: conjugate + z},
        "the Gumbel value for every f": {
            "regressed": lambda data, f: balls.ball(data.expect([balls.ball(z).exp() for z in data.z])).log()
        },
        "the mean for every f": {"regressed": lambda data, f: balls.ball(data.expect(data.z))},
    },
)
def fd_03(
    case: Case,
    *,
    value: Any = lambda nu, penalty: nu + penalty,
    loss: Any = lambda conjugate, z: conjugate - z,
    regressed: Any = multiplier,
) -> None:
    """Derivatives with a generic f*; eight generators against Clarabel, and primal against dual in balls."""
    (beta,), (q, v) = positive("beta"), real("q v")
    conjugate = sympy.Function("F")
    x = (q - v) / beta
    y = sympy.Symbol("y", real=True)
    slope = sympy.diff(conjugate(y), y)
    stationary = sympy.diff(loss(conjugate(x), x), v).doit() * beta - (1 - slope.subs(y, x).doit())
    case.theorem(
        "S", "β d/dv [f*(z) − z] = 1 − (f*)'(z), for a generic f*", sympy.simplify(stationary) == 0, "zero remainder"
    )
    same = sympy.simplify(v + beta * conjugate(x) - (q + beta * (conjugate(x) - x))) == 0
    case.theorem("S", "v + βf*(z) = q + β(f*(z) − z)", same, "zero remainder")
    conics, optima, gaps, widest = [], [], [], arb(0)
    for generator in EIGHT:
        with balls.precision(384):
            nu = regressed(FIVE_ATOMS, generator)
            y_ = [balls.ball(z) - nu for z in FIVE_ATOMS.z]
            limit = generator.slope_limit
            if limit is not None and not all(item < balls.ball(limit) for item in y_):
                conics.append(Answer(False, f"{generator.name}: v={balls.short(nu, 5)} leaves the domain of f*"))
                continue
            penalty = balls.ball(FIVE_ATOMS.expect([generator.conjugate(item) for item in y_]))
            ratios = [generator.ratio(item) for item in y_]
            dual = value(nu, penalty)
            primal = conic.ball_objective(FIVE_ATOMS, ratios, generator)
            gap = dual - primal
            widest = max(widest, abs(gap))
            gaps.append(Answer(bool(abs(gap) < arb(10) ** (-30)), f"{generator.name}: gap {balls.short(gap, 3)}"))
        certificate = conic.certify(FIVE_ATOMS, generator)
        with balls.precision(256):
            conics.append(inside(dual, certificate, generator.name))
        optima.append(conic.optimal(FIVE_ATOMS, generator, ratios, f"{generator.name}: (f*)'(z)"))
    case.theorem("C", "v + βE f*(z) is the optimal value, as Clarabel encloses it", every(conics))
    case.theorem("C", "w = (f*)'(z) is optimal", every(optima))
    case.theorem(
        "B", "both sides agree for eight generators", every(gaps), f"largest gap {balls.short(widest.upper(), 2)}"
    )
    for generator, name, cap in ((generators.KL, "kl", None), (generators.JS, "js", None)):
        case.comparison(
            "B",
            f"reference.optimal_weights, {generator.name}: value and dual",
            under_test.relaxed_value(generator, name, cap),
        )


def inside(number: arb, certificate: conic.Certificate, name: str) -> Answer:
    """Whether a value lies between the two bounds of a certificate, as far as its own ball can tell."""
    text = f"{name} {balls.short(number)} in [{balls.short(certificate.lower)}, {balls.short(certificate.upper)}]"
    return Answer(not (number < certificate.lower or number > certificate.upper) and bool(certificate.gap < 1e-4), text)


TWO_POINTS = Law((fmpq(1, 2), fmpq(1, 2)), (fmpq(0), fmpq(2)))
"""q = (0, 1) in units of beta = 1/2."""

STATED = {
    "KL": ("0.71689", "0.71689"),
    "JS": ("0.86461", "0.80767"),
    "chi-square": ("0.5", "0.75"),
    "reverse KL": ("0.80902", "0.68871"),
}


def decimal(text: str) -> LogNumber:
    """A printed decimal, exactly."""
    whole, _, digits = text.partition(".")
    return LogNumber.of(fmpq(int(whole + digits), 10 ** len(digits)))


@claim(
    "FD-04",
    source=("toolkit", "002 §8"),
    statement="The minimiser of f-regression is the soft value for KL alone.",
    formula="βν = min_v v + βE f*((q−v)/β) for all laws iff f*(y) = c(e^{y/c} − 1)",
    stated={"only KL": THEOREM, "values": THEOREM},
    corrected=(
        "q = (0, 1), β = ½ (minimiser / optimal value): KL 0.71689 / 0.71689, JS 0.86461 / 0.80767, χ² 0.5 / 0.75, "
        "reverse KL 0.80902 / 0.68871. A Bellman backup with another f must use the optimal value, not the minimiser."
    ),
    method="S+B",
    derivation=(
        "The optimal value is v + βE f*(z) at v = βν: equal to v iff E f*(z) = 0 whenever E(f*)'(z) = 1.",
        "On two points, p(g₁−1) + (1−p)(g₂−1) = 0 has to imply pf₁ + (1−p)f₂ = 0: f*(y)/((f*)'(y) − 1) is a "
        "constant c.",
        "f* = c((f*)' − 1) with f*(0) = 0 has the solution c(e^{y/c} − 1), and no other: KL at temperature c.",
        "There E f* = c(E g − 1) = 0.",
    ),
    twins={
        "solution without the -1": {"solution": lambda y, c: c * exp(y / c)},
        "solution with e^y": {"solution": lambda y, c: c * (exp(y) - 1)},
        "the value of JS for both": {"stated": {**STATED, "JS": ("0.80767", "0.80767")}},
        "chi-square swapped": {"stated": {**STATED, "chi-square": ("0.75", "0.5")}},
        "KL biased": {"stated": {**STATED, "KL": ("0.71689", "0.68871")}},
    },
)
def fd_04(case: Case, *, solution: Any = lambda y, c: c * (exp(y / c) - 1), stated: Any = STATED) -> None:
    """The differential equation; the four pairs of values in balls."""
    part = "only KL"
    y, (c,) = real("y")[0], positive("c")
    unknown = sympy.Function("F")
    solved: Any = sympy.dsolve(sympy.Eq(unknown(y), c * (unknown(y).diff(y) - 1)), unknown(y), ics={unknown(0): 0})
    case.theorem(
        "S",
        "f* = c((f*)' − 1), f*(0) = 0 has one solution, the stated one",
        equal(solved.rhs, solution(y, c)),
        f"{solved.rhs}",
        part=part,
    )
    g = sympy.diff(solution(y, c), y)
    case.theorem(
        "S", "for it f* = c(g − 1), so E g = 1 gives E f* = 0", vanishes(solution(y, c) - c * (g - 1)), part=part
    )
    case.theorem("S", "(f*)'(0) = 1: f'(1) = 0", equal(g.subs(y, 0), 1), part=part)
    first, second, p = sympy.symbols("f1 g1 p", real=True)
    f2, g2 = sympy.symbols("f2 g2", real=True)
    weight = sympy.solve(sympy.Eq(p * (second - 1) + (1 - p) * (g2 - 1), 0), p)[0]
    implied = sympy.simplify(
        (weight * first + (1 - weight) * f2) * (second - g2) - (first * (1 - g2) - f2 * (1 - second))
    )
    case.theorem("S", "two points: E f* = 0 iff f₁/(g₁−1) = f₂/(g₂−1)", implied == 0, "zero remainder", part=part)

    part = "values"
    half = fmpq(1, 2)
    answers = []
    for generator in (generators.KL, generators.JS, generators.CHI, generators.REVERSE):
        with balls.precision(256):
            nu = multiplier(TWO_POINTS, generator)
            terms = [generator.conjugate(balls.ball(z) - nu) for z in TWO_POINTS.z]
            pair = (nu * half, (nu + balls.ball(mean(TWO_POINTS.masses, terms))) * half)
            rounding = balls.ball(fmpq(1, 2 * 10**5))
            near = [
                abs(b - decimal(text).ball()) <= rounding for b, text in zip(pair, stated[generator.name], strict=True)
            ]
        answers.append(Answer(all(near), f"{generator.name} {balls.short(pair[0], 6)} / {balls.short(pair[1], 6)}"))
    case.theorem(
        "B",
        "q = (0, 1), β = ½: minimiser / optimal value",
        every(answers, "; ".join(a.witness for a in answers)),
        part=part,
    )
    with balls.precision(256):
        nu = multiplier(TWO_POINTS, generators.KL)
        gap = balls.ball(mean(TWO_POINTS.masses, [generators.KL.conjugate(balls.ball(z) - nu) for z in TWO_POINTS.z]))
    case.theorem("B", "KL: they agree to 30 digits", bool(abs(gap) < arb(10) ** (-30)), part=part)
