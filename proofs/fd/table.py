"""The table of conjugates (FD-01)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import mpmath
import sympy

from proofs import generators, under_test
from proofs.arithmetic import entropy_term, exp, log, sigmoid
from proofs.claim import claim
from proofs.evidence import Case, every
from proofs.generators import Curved, positive_part
from proofs.symbolic import vanishes
from proofs.verdict import THEOREM

CAP, LOW, HIGH = sympy.symbols("C m M", positive=True)
W = sympy.Symbol("w", positive=True)
ALPHA = sympy.Rational(3)
"""The power of the last row."""


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
