"""The table of conjugates (FD-01) and the expansion of the optimal ratio at high temperature (FD-02)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import mpmath
import sympy
from flint import arb, fmpq

from proofs import balls, generators, under_test
from proofs.arithmetic import entropy_term, exp, log, sigmoid
from proofs.claim import claim
from proofs.divergences import Law
from proofs.evidence import Answer, Case, every
from proofs.fd.duality import multiplier
from proofs.generators import Curved, positive_part
from proofs.js.expansion import moments
from proofs.symbolic import positive, summed, vanishes
from proofs.verdict import THEOREM

CAP, LOW, HIGH = sympy.symbols("C m M", positive=True)
W = sympy.Symbol("w", positive=True)
ALPHA = sympy.Rational(3)
"""The power of the last row in the symbolic check; 2 in the numerical one."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One row: f, f', f*, the ratio (f*)', f'(infinity) and f''(1) as stated; `inside` is a parametrisation of w.

    `at` are numbers for the symbols in which the numerical check is made.
    """

    value: Any
    slope: Any
    conjugate: Any
    ratio: Any
    supremum: Any
    curvature: Any
    inside: Any = W
    at: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def row_of(generator: Curved, supremum: Any, curvature: Any, **more: Any) -> Row:
    """A row that states the formulas of a generator."""
    return Row(generator.value, generator.derivative, generator.conjugate, generator.ratio, supremum, curvature, **more)


def power(alpha: Any) -> Row:
    """The power generator in its general form."""
    return Row(
        lambda w: w ** (1 + 1 / alpha) / (1 + 1 / alpha) - w,
        lambda w: w ** (1 / alpha) - 1,
        lambda y: positive_part(1 + y) ** (1 + alpha) / (1 + alpha),
        lambda y: positive_part(1 + y) ** alpha,
        sympy.oo,
        1 / alpha,
    )


HALF = sympy.Rational(1, 2)

TABLE: dict[str, Row] = {
    "KL0": row_of(generators.KL0, sympy.oo, 1),
    "KL1": row_of(generators.KL, sympy.oo, 1),
    "JS": row_of(generators.JS, sympy.log(2), HALF),
    "chi-square": row_of(generators.CHI, sympy.oo, 1),
    "Hellinger": row_of(generators.HELLINGER, sympy.Integer(1), HALF),
    "reverse KL": row_of(generators.REVERSE, sympy.Integer(1), 1),
    "reverse KL0": row_of(generators.REVERSE0, sympy.Integer(0), 1),
    "Fermi-Dirac": row_of(
        generators.fermi_dirac(CAP), sympy.oo, CAP / (CAP - 1), inside=CAP * W / (1 + W), at={"C": 3}
    ),
    "two-sided": row_of(
        generators.two_sided(LOW, HIGH),
        sympy.oo,
        1 / (1 - LOW) + 1 / (HIGH - 1),
        inside=LOW + (HIGH - LOW) * W / (1 + W),
        at={"m": HALF, "M": 3},
    ),
    "power": power(ALPHA),
}


def changed(name: str, **formulas: Any) -> dict[str, Any]:
    """A twin: the table with one formula of one row replaced."""
    return {"table": {**TABLE, name: dataclasses.replace(TABLE[name], **formulas)}}


def numbers(row: Row) -> dict[Any, Any]:
    """Values of the parameters in the numerical check; wide apart, so that m < 1 < M."""
    return {symbol: sympy.sympify(row.at[symbol.name]) for symbol in (CAP, LOW, HIGH) if symbol.name in row.at}


def digits(row: Row) -> Any:
    """The largest Fenchel-Young defect |f(w) + f*(f'(w)) - w f'(w)| over points of the domain, with 60 digits."""
    worst = mpmath.mpf(0)
    with mpmath.workdps(60):
        for k in (1, 3, 7, 20, 90):
            w = row.inside.subs({**numbers(row), W: sympy.Rational(k, 10)})
            w = sympy.sympify(w)
            y = row.slope(w).subs(numbers(row))
            defect = (row.value(w) + row.conjugate(y) - w * y).subs(numbers(row))
            worst = max(worst, abs(mpmath.mpf(str(sympy.N(defect, 55)))))
    return worst


@claim(
    "FD-01",
    source=("toolkit", "002 §12 (needs it)"),
    statement="The table of generators with f', f*, the ratio (f*)', the domain of f* and f''(1), over w ≥ 0.",
    formula="f(w) + f*(f'(w)) = w f'(w),  (f*)'(f'(w)) = w,  sup dom f* = f'(∞),  for the ten rows",
    stated=THEOREM,
    corrected=(
        "χ² and power generators have a finite f'(0) and need (·)₊; JS, Hellinger and reverse KL have a finite "
        "f'(∞) and "
        "thus a barrier; KL and Fermi-Dirac need neither."
    ),
    method="S+N",
    derivation=(
        "f*(y) = sup_{w ≥ 0} (wy − f(w)) is attained where f'(w) = y, if there is such a w ≥ 0: f* = wy − f(w) there.",
        "Differentiate: (f*)' = w + w'(y − f'(w)) = w, the inverse of f'.",
        "If y < f'(0) the supremum is at w = 0: f* = −f(0), constant (χ²: −1/2, power: 0).",
        "If y ≥ f'(∞) finite, wy − f(w) grows for ever or up to a limit: the domain ends there.",
    ),
    twins={
        "KL0: f* without the shift": changed("KL0", conjugate=exp),
        "KL1: f* without the -1": changed("KL1", conjugate=exp),
        "JS: the softplus": changed("JS", conjugate=lambda y: log(1 + exp(y)) - log(sympy.Integer(2))),
        "JS: the sigmoid as ratio": changed("JS", ratio=sigmoid),
        "chi-square: y + y^2": changed("chi-square", conjugate=lambda y: y + y**2),
        "chi-square: not clipped": changed("chi-square", conjugate=lambda y: y + y**2 / 2),
        "Hellinger: sign of y": changed("Hellinger", conjugate=lambda y: y / (1 + y)),
        "reverse KL: sign": changed("reverse KL", conjugate=lambda y: log(1 - y)),
        "reverse KL0: constant dropped": changed("reverse KL0", conjugate=lambda y: -log(-y)),
        "Fermi-Dirac: C dropped": changed("Fermi-Dirac", conjugate=lambda y: log(1 + exp(y)) - entropy_term(CAP)),
        "Fermi-Dirac: f''(1) = 1/C": changed("Fermi-Dirac", curvature=1 / CAP),
        "two-sided: m y dropped": changed("two-sided", conjugate=lambda y: (HIGH - LOW) * log(1 + exp(y))),
        "power: exponent 1/alpha": changed("power", ratio=lambda y: positive_part(1 + y) ** (1 / ALPHA)),
        "Hellinger: domain to 2": changed("Hellinger", supremum=sympy.Integer(2)),
    },
)
def fd_01(case: Case, *, table: Any = TABLE) -> None:
    """Every row in symbols along y = f'(w), and to 40 digits; the clipped branches; suprema of the domains."""
    for name, row in table.items():
        w = row.inside
        y = sympy.simplify(row.slope(w)) if name in ("Fermi-Dirac", "two-sided") else row.slope(w)
        parameters = {} if name != "two-sided" else {"m": HALF, "M": sympy.Integer(3)}
        if name == "Fermi-Dirac":
            parameters = {"C": sympy.Integer(3)}
        derivative = sympy.diff(row.value(W), W) - row.slope(W)
        answers = [
            vanishes(derivative, **parameters, **({"w": sympy.Rational(6, 5)} if parameters else {})),
            vanishes(row.value(w) + row.conjugate(y) - w * y, **parameters),
            vanishes(row.ratio(y) - w, **parameters),
        ]
        bend = sympy.diff(row.slope(W), W).subs(W, 1)
        answers.append(vanishes(bend - row.curvature, **parameters))
        case.theorem(
            "S",
            f"{name}: f', Fenchel–Young equality, (f*)'(f'(w)) = w, f''(1)",
            every(answers, f"f''(1) = {row.curvature}"),
        )
        if name not in ("Fermi-Dirac", "two-sided"):
            at = sympy.limit(row.slope(W), W, sympy.oo)
            case.theorem("S", f"{name}: f* is finite up to f'(∞)", at == row.supremum, f"f'(∞) = {at}")
        defect = digits(row)
        case.theorem(
            "N",
            f"{name}: Fenchel–Young to 40 digits",
            bool(defect < mpmath.mpf(10) ** -40),
            f"{mpmath.nstr(defect, 2)}",
        )
    for name in ("chi-square", "power"):
        row = table[name]
        below = [vanishes(row.conjugate(sympy.Rational(-k, 2)) + sympy.limit(row.value(W), W, 0, "+")) for k in (3, 9)]
        at_zero = sympy.limit(row.slope(W), W, 0, "+")
        case.theorem(
            "S",
            f"{name}: f'(0) = −1, and f* = −f(0) below it",
            every([*below, vanishes(at_zero + 1)], f"f*(−9/2) = {row.conjugate(sympy.Rational(-9, 2))}"),
        )
    for name in ("KL0", "KL1", "JS", "Hellinger", "reverse KL", "reverse KL0"):
        at_zero = sympy.limit(table[name].slope(W), W, 0, "+")
        case.theorem("S", f"{name}: f'(0) = −∞, so w > 0 by itself", at_zero == -sympy.oo, f"{at_zero}")
    case.comparison(
        "N", "reference.divergence: f, f', f* and (f*)' of KL, JS and Fermi-Dirac", under_test.conjugate_table()
    )


def expansion(generator: Curved | Row) -> tuple[Any, Any]:
    """(c1, c2) = (1/f'', -f'''/(2 f''^3)) at w = 1, from f' by differentiating."""
    slope = generator.slope if isinstance(generator, Row) else generator.derivative
    second, third = (sympy.diff(slope(W), W, k).subs(W, 1) for k in (1, 2))
    return sympy.nsimplify(1 / second), sympy.nsimplify(-third / (2 * second**3))


STATED: dict[str, tuple[Any, Any]] = {
    "KL": (1, HALF),
    "JS": (2, 3),
    "Hellinger": (2, 3),
    "chi-square": (1, 0),
    "reverse KL": (1, 1),
    "Fermi-Dirac C=2": (HALF, 0),
    "Fermi-Dirac C=3": (sympy.Rational(2, 3), sympy.Rational(1, 9)),
}

GENERATORS: dict[str, Curved] = {
    "KL": generators.KL,
    "JS": generators.JS,
    "Hellinger": generators.HELLINGER,
    "chi-square": generators.CHI,
    "reverse KL": generators.REVERSE,
    "Fermi-Dirac C=2": generators.fermi_dirac(fmpq(2)),
    "Fermi-Dirac C=3": generators.fermi_dirac(fmpq(3)),
}

SYMBOLIC = {
    **GENERATORS,
    "Fermi-Dirac C=2": generators.fermi_dirac(sympy.Integer(2)),
    "Fermi-Dirac C=3": generators.fermi_dirac(sympy.Integer(3)),
}

THREE = Law((fmpq(1, 2), fmpq(1, 4), fmpq(1, 4)), (fmpq(0), fmpq(1), fmpq(3)))


def remainder(generator: Curved, first: Any, second: Any, beta: int) -> arb:
    """The largest difference between the exact optimum at beta and 1 + c1 x + c2 (x^2 - Var x), in balls."""
    data = Law(THREE.masses, tuple(a / beta for a in THREE.z))
    nu = multiplier(data, generator)
    mean = data.expect(data.z)
    variance = data.expect([(z - mean) ** 2 for z in data.z])
    errors = []
    for z in data.z:
        x = z - mean
        series = 1 + fmpq(int(first.p), int(first.q)) * x + fmpq(int(second.p), int(second.q)) * (x * x - variance)
        errors.append(abs(generator.ratio(balls.ball(z) - nu) - balls.ball(series)))
    return max(errors, key=lambda e: float(e.mid()))


@claim(
    "FD-02",
    source=("toolkit", "002 §7, §12"),
    statement="The optimal ratio at high temperature depends on f through two numbers.",
    formula="w = 1 + x/f₂ − (f₃/(2f₂³))(x² − Var x) + O(β⁻³),  f_k = f^{(k)}(1),  x = (A − E A)/β",
    stated=THEOREM,
    corrected=(
        "(c₁, c₂): KL (1, ½), JS (2, 3), Hellinger (2, 3), χ² (1, 0), reverse KL (1, 1), Fermi-Dirac C=2 (½, 0), "
        "C=3 (⅔, 1/9)."
    ),
    method="S+B",
    derivation=(
        "First-order condition f'(w) = A/β − ν with w = 1 + u: f'(1) + f₂u + ½f₃u² = A/β − ν + O(u³).",
        "u = u₁/β + u₂/β²: f₂u₁ = A − E A by E u₁ = 0, and f₂u₂ + ½f₃u₁² is constant.",
        "E u₂ = 0 fixes it: u₂ = −(f₃/(2f₂))(u₁² − E u₁²) = −(f₃/(2f₂³))((A−EA)² − Var A).",
        "f'(1) only moves ν (FD-07).",
    ),
    twins={
        "slope f2": {"first": lambda f2, f3: f2},
        "sign of the second order": {"second": lambda f2, f3: f3 / (2 * f2**3)},
        "second order without the half": {"second": lambda f2, f3: -f3 / f2**3},
        "second order over f2 squared": {"second": lambda f2, f3: -f3 / (2 * f2**2)},
        "JS (1, 3/2)": {"stated": {**STATED, "JS": (1, sympy.Rational(3, 2))}},
        "Fermi-Dirac C=3 (2/3, -1/9)": {
            "stated": {**STATED, "Fermi-Dirac C=3": (sympy.Rational(2, 3), -sympy.Rational(1, 9))}
        },
    },
)
def fd_02(
    case: Case,
    *,
    first: Any = lambda f2, f3: 1 / f2,
    second: Any = lambda f2, f3: -f3 / (2 * f2**3),
    stated: Any = STATED,
) -> None:
    """Order by order for symbolic f2, f3; the seven pairs; the order of the remainder in balls."""
    f2, (f3, t) = positive("f2")[0], sympy.symbols("f3 t", real=True)
    masses, advantage, mean, variance, _ = moments()
    near = {"D1": sympy.Rational(1, 5), "D2": sympy.Rational(3, 7)}
    c1, c2 = first(f2, f3), second(f2, f3)
    moved = [c1 * (a - mean) * t + c2 * ((a - mean) ** 2 - variance) * t**2 for a in advantage]
    average = summed(m * u for m, u in zip(masses, moved, strict=True))
    case.theorem("S", "the mean stays one", vanishes(sympy.expand(average), **near))
    forces = [sympy.expand(f2 * u + f3 * u**2 / 2 - t * a) for u, a in zip(moved, advantage, strict=True)]
    answers = [
        vanishes(sympy.expand((forces[k] - forces[0]).coeff(t, order)), **near) for k in (1, 2) for order in (1, 2)
    ]
    case.theorem("S", "f'(w) − A/β is the same at every atom up to O(β⁻³)", every(answers, "orders 1 and 2"))
    pairs = []
    for name, expected in stated.items():
        seen = expansion(SYMBOLIC[name])
        pairs.append(Answer(tuple(seen) == tuple(map(sympy.sympify, expected)), f"{name} ({seen[0]}, {seen[1]})"))
    case.theorem("S", "(c₁, c₂) of the seven generators", every(pairs, "; ".join(a.witness for a in pairs)))
    orders = []
    with balls.precision(256):
        for name, (slope, bend) in stated.items():
            errors = [
                remainder(GENERATORS[name], sympy.sympify(slope), sympy.sympify(bend), beta) for beta in (512, 1024)
            ]
            if name == "chi-square":
                orders.append(Answer(bool(max(errors, key=float) < arb(10) ** (-40)), "χ²: exact"))
                continue
            ratio = errors[0] / errors[1]
            orders.append(Answer(bool(ratio > fmpq(15, 2) and ratio < fmpq(17, 2)), f"{name} {balls.short(ratio, 4)}"))
    case.theorem(
        "B",
        "halving 1/β divides the remainder by 8",
        every(orders, "; ".join(answer.witness for answer in orders)),
    )
