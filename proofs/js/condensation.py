"""Continuous and unbounded advantages: where the JS problem has no density-ratio optimum (JS-19)."""

from __future__ import annotations

import functools
from typing import Any

import sympy
from flint import acb, arb, fmpq

from proofs import balls, conic
from proofs.claim import claim
from proofs.divergences import Law, js_ratio, two_jsd
from proofs.evidence import Case
from proofs.js.weights import one_atom_bracket
from proofs.symbolic import equal, positive
from proofs.verdict import THEOREM

CEILING = 2 * sympy.log(2)
"""The supremum of the generator's divergence, at laws without common support (JS-01)."""

GRID = 160
"""Atoms of the discretised law; the uppermost has mass 1/GRID^2."""


def thinning(beta: fmpq) -> Law:
    """The density 2(1 - a) of the advantage on [0, 1], on the midpoints of GRID cells (exactly of mass one)."""
    middles = [fmpq(2 * k + 1, 2 * GRID) for k in range(GRID)]
    return Law(tuple(2 * (1 - a) / GRID for a in middles), tuple(a / beta for a in middles))


def debye(x: Any) -> Any:
    """Integral of t/(e^t - 1) over [0, x]: pi^2/6 + x log(1 - e^{-x}) - Li_2(e^{-x})."""
    if isinstance(x, sympy.Expr):
        return sympy.pi**2 / 6 + x * sympy.log(1 - sympy.exp(-x)) - sympy.polylog(2, sympy.exp(-x))
    dilogarithm = acb((-x).exp()).polylog(2).real
    return arb.pi() ** 2 / 6 + x * (1 - (-x).exp()).log() - dilogarithm


def attainable(beta: Any) -> Any:
    """The largest E w that a density ratio attains on the density 2(1 - a): 2 beta^2 debye(1/beta)."""
    return 2 * beta**2 * debye(1 / beta)


def top_mass(data: Law) -> arb:
    """The mass that the exact JS optimum puts on the uppermost atom."""
    nu = conic.multiplier(data, js_ratio, *one_atom_bracket(data), bits=96)
    return balls.ball(data.masses[-1]) * js_ratio(balls.ball(data.z[-1]) - nu)


@functools.cache
def condensed(beta: fmpq) -> tuple[arb, arb]:
    """On the grid: the mass on the uppermost atom, and the most that all the others can carry.

    The multiplier is at least z_max - log 2, and g falls as it rises: E over the others is at most its value there.
    """
    with balls.precision(160):
        data = thinning(beta)
        edge = balls.ball(data.z[-1]) - balls.ball(2).log()
        others = [m * js_ratio(balls.ball(z) - edge) for m, z in zip(data.masses[:-1], data.z[:-1], strict=True)]
        return top_mass(data), balls.ball(sum(others[1:], others[0]))


@claim(
    "JS-19",
    source=("toolkit", "002 §1–2 (assume a density ratio)"),
    statement="Continuous advantages: the JS problem can be infinite, or its optimum can hold an atom.",
    formula=(
        "A unbounded: value +∞.  Density 2(1−a) of A on [0, 1]: max E w = 2β²[π²/6 + X log(1−e^{−X}) − Li₂(e^{−X})], "
        "X = 1/β; below β_c = 0.711716… an atom on argmax A carries the rest"
    ),
    stated={"unbounded": THEOREM, "condensation": THEOREM},
    corrected="KL stays finite where E e^{A/β} < ∞ (KL-11). At β = ½ the atom holds 39.3 % and no w = d/D is optimal.",
    method="S+B",
    derivation=(
        "The penalty of any d is at most 2 log 2: a point mass on a pair of probability p costs p f(1/p) + (1−p) f(0).",
        "So the value is at least A_k − 2β log 2 for every atom k: +∞ when A is unbounded.",
        "Bounded by 1: w = g(a/β − ν) needs ν ≥ 1/β − log 2. At that ν, with t = (1−a)/β: g = 1/(e^t − 1).",
        "E w ≤ ∫ 2(1−a) g da = 2β² ∫₀^X t/(e^t − 1) dt, which is below 1 for β < β_c: Bose-Einstein condensation.",
    ),
    twins={
        "bound log 2": {"penalty": sympy.log(2)},
        "bound 4 log 2": {"penalty": 4 * sympy.log(2)},
        "beta once": {"most": lambda beta: 2 * beta * debye(1 / beta)},
        "factor 2 dropped": {"most": lambda beta: beta**2 * debye(1 / beta)},
        "sign of the dilogarithm": {"integral": lambda x: debye(x) + 2 * sympy.polylog(2, sympy.exp(-x))},
    },
)
def js_19(
    case: Case,
    *,
    penalty: Any = CEILING,
    most: Any = attainable,
    integral: Any = debye,
) -> None:
    """The cost of a point mass in symbols; the closed form by its derivative; the critical temperature in balls."""
    (p,), part = positive("p"), "unbounded"
    cost = p * two_jsd(1 / p) + (1 - p) * sympy.log(2)
    limit = sympy.limit(sympy.expand_log(cost, force=True), p, 0, "+")
    case.theorem("S", "a point mass costs at most, and in the limit exactly, 2 log 2", equal(limit, penalty), part=part)
    with balls.precision(128):
        costs = []
        for k in (1, 10, 100):
            q = fmpq(1, 2**k)
            costs.append(q * two_jsd(balls.ball(1 / q)) + (1 - q) * balls.ball(2).log())
        bound = balls.ball(2).log() * 2
        shown = (
            f"p=1/2, 2^-10, 2^-100 cost {', '.join(balls.short(c, 5) for c in costs)}; 2 log 2={balls.short(bound, 5)}"
        )
        below = [balls.less(costs[0], bound), balls.less(costs[1], bound), balls.less(costs[2], bound)]
        case.theorem("B", "so the value exceeds A_k − 2β log 2 for every k", all(below), shown, part=part)
        x = balls.ball(fmpq(1, 2)).exp() / 2
        kl = 2 * (x / (1 - x)).log()
        case.corrected(
            "B", "KL on A=k with mass 2^-k, β=2, is finite", bool(x < 1), f"value {balls.short(kl, 6)}", part=part
        )

    (x,), part = positive("X"), "condensation"
    slope = sympy.expand_func(sympy.diff(integral(x), x))
    case.theorem("S", "d/dX of the closed form is X/(e^X − 1)", equal(slope, x / (sympy.exp(x) - 1)), part=part)
    start = sympy.limit(x * sympy.log(1 - sympy.exp(-x)), x, 0, "+") + sympy.pi**2 / 6 - sympy.polylog(2, 1)
    case.theorem("S", "and it begins at 0", equal(sympy.expand_func(start), 0), part=part)
    with balls.precision(160):
        named = fmpq(711716, 10**6)
        below, above = (most(balls.ball(beta)) for beta in (named, named + fmpq(1, 10**6)))
        shown = f"max E w = {balls.short(below, 8)} at β=0.711716, {balls.short(above, 8)} at 0.711717"
        case.theorem("B", "it carries all the mass from β_c on", bool(below < 1) and bool(above > 1), shown, part=part)
        rest = 1 - most(balls.ball(fmpq(1, 2)))
        low, high = fmpq(3925, 10**4), fmpq(3935, 10**4)
        holds = bool(balls.ball(low) < rest < balls.ball(high))
        case.theorem("B", "at β = ½ the atom holds 39.3 %", holds, f"1 − E w = {balls.short(rest, 5)}", part=part)
        (cold, others), (warm, _) = condensed(fmpq(1, 2)), condensed(fmpq(1))
        shown = (
            f"{GRID} atoms, the top one of mass 1/{GRID**2}: it carries {balls.short(cold, 4)} at β=½ (the others at "
            f"most {balls.short(others, 4)}), {balls.short(warm, 4)} at β=1"
        )
        bounded = bool(cold >= 1 - others) and bool(warm < cold / 10)
        case.theorem("B", "discretised: the top atom condenses below β_c, not above", bounded, shown, part=part)
