"""The optimal ratio of any f-divergence at high temperature (FD-02)."""

from __future__ import annotations

from typing import Any

import sympy
from flint import arb, fmpq

from proofs import balls, generators
from proofs.claim import claim
from proofs.divergences import Law
from proofs.evidence import Answer, Case, every
from proofs.fd.duality import multiplier
from proofs.fd.table import HALF, Row, W
from proofs.generators import Curved
from proofs.symbolic import positive, real, summed, vanishes
from proofs.verdict import THEOREM


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
    masses, advantage = (HALF, HALF / 2, HALF / 2), real("A1 A2 A3")
    mean = summed(m * a for m, a in zip(masses, advantage, strict=True))
    variance = summed(m * (a - mean) ** 2 for m, a in zip(masses, advantage, strict=True))
    c1, c2 = first(f2, f3), second(f2, f3)
    moved = [c1 * (a - mean) * t + c2 * ((a - mean) ** 2 - variance) * t**2 for a in advantage]
    average = summed(m * u for m, u in zip(masses, moved, strict=True))
    case.theorem("S", "the mean stays one", vanishes(sympy.expand(average)))
    forces = [sympy.expand(f2 * u + f3 * u**2 / 2 - t * a) for u, a in zip(moved, advantage, strict=True)]
    answers = [vanishes(sympy.expand((forces[k] - forces[0]).coeff(t, order))) for k in (1, 2) for order in (1, 2)]
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
