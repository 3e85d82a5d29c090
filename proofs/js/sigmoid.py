"""The sigmoid of source 002 (JS-05, JS-07, JS-09, JS-10): not the optimum of the JS problem, but of another one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sympy
from flint import fmpq

from proofs import balls, conic, instances, under_test
from proofs.arithmetic import exp, log, sigmoid
from proofs.claim import claim
from proofs.divergences import JS, Law, fermi_dirac, js_ratio, kl_ratio, law
from proofs.evidence import Answer, Case, every
from proofs.exact import LogNumber
from proofs.js.weights import TEXTBOOK, abridged, js_weights, one_atom_bracket, show
from proofs.symbolic import equal, polynomial_roots, positive, real, summed, vanishes
from proofs.verdict import FALSE, THEOREM


@claim(
    "JS-05",
    source=("002 §5", "002 §12"),
    statement="The optimal occupancy ratio under JS regularisation is proportional to the sigmoid of A/β (boxed).",
    formula="w* ∝ σ(A/β)",
    stated=FALSE,
    corrected="w* = e^{z−ν}/(2 − e^{z−ν}) with z = A/β and ν such that the mean is one.",
    method="Q+B+C",
    derivation=(
        "D = (1/2, 1/2), A/β = (0, log 9/5). First-order condition: log(2w/(w+1)) = z − ν, so 2w/(w+1) must have the "
        "ratio 9/5 over the two pairs.",
        "w = (1/2, 3/2) has mean one and 2w/(w+1) = (2/3, 6/5), whose ratio is 9/5: this is the optimum, e^{−ν} = 2/3.",
        "Its weight ratio is 3. The sigmoid's is (9/14)/(1/2) = 9/7; KL's is 9/5; the formula e^z/(2−e^z) with λ "
        "dropped, as the text proposes, gives 9.",
        "Objective values (β = 1): JS 0.373196 > KL 0.356950 > sigmoid 0.326706 > λ dropped 0.325510.",
    ),
    twins={
        "claim the exact formula": {"claimed": lambda data: (fmpq(1, 2), fmpq(3, 2))},
        "the correction drops the multiplier": {"right": lambda data: data.normalised(js_ratio)},
        "the correction is KL": {"right": lambda data: data.normalised(kl_ratio)},
        "sign in the correction": {"right": lambda data: (fmpq(3, 2), fmpq(1, 2))},
    },
)
def js_05(
    case: Case,
    *,
    claimed: Any = lambda data: data.normalised(sigmoid),
    right: Any = lambda data: tuple(js_ratio(z - log(fmpq(3, 2))) for z in data.z),
) -> None:
    """First-order condition, exact objective values and Clarabel's enclosure, for the sigmoid and the correction."""
    data = TEXTBOOK
    candidates = {"the claimed ratio": claimed(data), "the corrected ratio": right(data)}

    def stationary(weights: Sequence[Any]) -> Answer:
        odds = [2 * w / (w + 1) / q for w, q in zip(weights, data.exponentials, strict=True)]
        return Answer(
            all(o == odds[0] for o in odds),
            f"w={show(weights)}, w₂/w₁={weights[1] / weights[0]}, 2w/(w+1)·e^(−z)={show(odds)}",
        )

    claimed_w, right_w = candidates.values()
    case.claimed("Q", "the first-order condition holds with one multiplier", stationary(claimed_w))
    case.corrected("Q", "the first-order condition holds with one multiplier", stationary(right_w))
    case.corrected("Q", "mean one", data.expect(right_w) == 1)
    rivals = {
        "KL": data.normalised(kl_ratio),
        "sigmoid": data.normalised(sigmoid),
        "λ dropped": data.normalised(js_ratio),
    }
    values = {name: data.objective(w, JS) for name, w in rivals.items()}
    best = data.objective(right_w, JS)
    case.corrected(
        "B",
        "its objective value is strictly above those of KL, sigmoid and λ dropped",
        every(
            balls.certainly_less(
                lambda value=value: value, lambda: best, f"{name} {rivals[name][1] / rivals[name][0]}: "
            )
            for name, value in values.items()
        ),
        "; ".join(
            f"{name}: ratio {rivals[name][1] / rivals[name][0]}, value {value.decimal()}"
            for name, value in values.items()
        )
        + f"; corrected: value {best.decimal()}",
    )
    case.claimed("C", "no feasible point is better", conic.optimal(data, JS, claimed_w, "the claimed ratio"))
    case.corrected("C", "no feasible point is better", conic.optimal(data, JS, right_w, "the corrected ratio"))
    case.comparison("B", "reference.weights, JS", under_test.relaxed_weights(JS, "js", one_atom_bracket))


@claim(
    "JS-07",
    source="002 §6",
    statement="w = Cσ(z) satisfies the first-order condition for a suitable normalisation constant C.",
    formula="2w/(w+1) = e^{z−ν} for all z, with w = C σ(z) and some C > 0",
    stated=FALSE,
    corrected="(2w/(w+1))/e^z = 2C/(1 + (C+1)e^z) is constant in z only for C = −1 (and C = 0): never for a weight.",
    method="S",
    derivation=(
        "With t = e^z: w = Ct/(1+t), so 2w/(w+1) = 2Ct/(1 + (C+1)t).",
        "Divide by t: 2C/(1 + (C+1)t) has to be e^{−ν} for every t. The coefficient of t must vanish: C = −1.",
        "So for C > 0 the condition cannot hold at two different advantages.",
    ),
    twins={
        "the exact weight, C = 1": {"shape": js_ratio},
        "the correction drops the 1": {"remainder": lambda c, t: 2 * c / (1 + c * t)},
        "the correction changes a sign": {"remainder": lambda c, t: 2 * c / (1 + (c - 1) * t)},
    },
)
def js_07(case: Case, *, shape: Any = sigmoid, remainder: Any = lambda c, t: 2 * c / (1 + (c + 1) * t)) -> None:
    """The constants for which the first-order condition holds identically, from the coefficients of a polynomial."""
    (t,) = positive("t")
    constant = sympy.Symbol("C")

    def over_exponential(g: Any) -> Any:
        w = constant * g(sympy.log(t))
        return sympy.cancel(sympy.together(2 * w / (w + 1) / t))

    roots = polynomial_roots(sympy.diff(over_exponential(shape), t), t, constant)
    case.claimed(
        "S",
        "some C > 0 works for every z",
        any(root.is_positive for root in roots),
        f"C in {{{', '.join(map(str, roots))}}}",
    )
    case.corrected(
        "S",
        "(2w/(w+1))/e^z = 2C/(1+(C+1)e^z) for the sigmoid",
        vanishes(sympy.cancel(over_exponential(sigmoid) - remainder(constant, t))),
    )
    exact_roots = polynomial_roots(sympy.diff(over_exponential(js_ratio), t), t, constant)
    case.corrected("S", "the JS weight satisfies it with C = 1", sympy.Integer(1) in exact_roots, f"C in {exact_roots}")


def shifted(data: Law, shift: fmpq) -> Law:
    """The law with log(shift) added to every advantage."""
    return Law(data.masses, tuple(LogNumber.log(q * shift) for q in data.exponentials))


@claim(
    "JS-09",
    source="002 §5, §12",
    statement="Some fixed f-divergence (the source: JS) has w ∝ σ(A/β) as its optimum.",
    formula="there is an f, not depending on A, whose relaxed optimum is σ(A/β)/E σ(A/β)",
    stated=FALSE,
    corrected="Normalised optima do not change under A → A + c, for any f; the sigmoid's do.",
    method="S+Q+B+P",
    derivation=(
        "Adding c to every A adds the constant c E[w] = c to the objective: the optimum stays, for every f.",
        "σ(log 2)/σ(0) = (2/3)/(1/2) = 4/3, but σ(log 4)/σ(log 2) = (4/5)/(2/3) = 6/5: the same advantages, shifted.",
    ),
    twins={
        "claim the exponential": {"shape": exp},
        "the correction shifts only one atom": {
            "moved": lambda data, c: Law(data.masses, (*(log(q * c) for q in data.exponentials[:1]), *data.z[1:]))
        },
        "the correction scales instead": {"moved": lambda data, c: Law(data.masses, tuple(2 * z for z in data.z))},
    },
)
def js_09(case: Case, *, shape: Any = sigmoid, moved: Any = shifted) -> None:
    """The claimed shape on a law and its shift, exactly; exact JS and KL optima on a family, in balls."""
    data = law([1, 1], [1, 2])
    before, after = data.normalised(shape), shifted(data, fmpq(2)).normalised(shape)
    case.claimed(
        "Q",
        "the normalised weights are those of the shifted advantages",
        before == after,
        f"w₂/w₁ = {before[1] / before[0]} at A/β=(0, log 2), {after[1] / after[0]} at (log 2, log 4)",
    )
    f, w, d, z, c = sympy.Function("f"), positive("w1 w2 w3"), positive("D1 D2 D3"), real("z1 z2 z3"), real("c")[0]
    before, after = (
        summed(mass * (x * (y + shift) - f(x)) for mass, x, y in zip(d, w, z, strict=True)) for shift in (0, c)
    )
    mean = summed(mass * x for mass, x in zip(d, w, strict=True))
    case.corrected(
        "S",
        "for every f the objective changes by c E[w], a constant on E[w] = 1",
        vanishes(sympy.expand(after - before - c * mean)),
    )
    kl_data = law([2, 1, 1], [1, 2, fmpq(1, 3)])
    case.corrected(
        "Q",
        "the KL optimum is unchanged by a shift",
        kl_data.normalised(kl_ratio) == moved(kl_data, fmpq(7, 3)).normalised(kl_ratio),
    )

    def unchanged(item: Law) -> Answer:
        first, second = js_weights(item), js_weights(moved(item, fmpq(5, 4)))
        with balls.precision(128):
            apart = [not (a - b).contains(0) for a, b in zip(first, second, strict=True)]
            width = max(float((a - b).rad()) for a, b in zip(first, second, strict=True))
        return Answer(not any(apart), f"enclosures agree, the widest ±{width:.0e}, on {abridged(item)}")

    family = list(instances.distinct(instances.laws(16, seed=9)))
    case.corrected("P", "the exact JS optima are unchanged by a shift", every(unchanged(item) for item in family))
    case.corrected("B", "one of them", unchanged(TEXTBOOK))


def fermi_dirac_cap(data: Law) -> fmpq:
    """C = 1 / E sigma(A / beta), for which the multiplier vanishes."""
    return 1 / data.expect([sigmoid(z) for z in data.z])


@claim(
    "JS-10",
    source=("toolkit", "002 §5, §12 (repaired)"),
    statement="Sigmoid weights are exactly optimal, for the capped Fermi-Dirac regulariser.",
    formula="f_C(w) = w log w + (C−w) log(C−w) on [0, C], C = 1/E σ(A/β):  w* = C σ(A/β), ν = 0",
    stated=THEOREM,
    corrected=("C depends on (A, β, D). For a fixed C > 1 the optimum is Cσ((A−ν)/β) with ν solved for."),
    method="S+Q+C",
    derivation=(
        "f_C'(w) = log(w/(C−w)), and f_C'(Cσ(y)) = log(σ/(1−σ)) = y.",
        "So w = Cσ(z) solves f_C'(w) = z − ν with ν = 0, and its mean is C E σ(z) = 1 for this C.",
        "C = 1/E σ > 1 because σ < 1. Example: D = (1/2, 1/2), A/β = (0, log 9/5): C = 7/4, w = (7/8, 9/8).",
    ),
    twins={
        "C = E sigma": {"cap": lambda data: 1 / fermi_dirac_cap(data)},
        "C = 2 with nu = 0": {"cap": lambda data: fmpq(2)},
        "sign of the second term": {"generator_slope": lambda w, c: log(w) + log(c - w)},
        "a different shape": {"shape": lambda z: exp(z) / (1 + 2 * exp(z))},
    },
)
def js_10(
    case: Case,
    *,
    cap: Any = fermi_dirac_cap,
    generator_slope: Any = lambda w, c: log(w / (c - w)),
    shape: Any = sigmoid,
) -> None:
    """The slope inverts the sigmoid; mean one, inside the domain; Clarabel's enclosure, with nu = 0 and nu solved."""
    (c,), y = positive("C"), real("y")[0]
    w = c * shape(y)
    case.theorem("S", "f_C'(Cσ(y)) = y", equal(generator_slope(w, c), y))
    (v,) = positive("w")
    inside = v * sympy.log(v) + (c - v) * sympy.log(c - v)
    case.theorem(
        "S", "f_C' is the derivative of f_C", equal(sympy.diff(inside, v), generator_slope(v, c), C=sympy.Integer(3))
    )
    data = TEXTBOOK
    limit = cap(data)
    weights = tuple(limit * shape(z) for z in data.z)
    case.theorem("Q", "mean one", data.expect(weights) == 1, f"C={limit}, w={show(weights)}")
    case.theorem("Q", "0 < w < C and C > 1", limit > 1 and all(0 < x < limit for x in weights), f"C={limit}")
    if limit > 1:
        case.theorem("C", "no feasible point is better", conic.optimal(data, fermi_dirac(limit), weights, "Cσ(A/β)"))
    fixed = fmpq(2)
    other = law([1, 2, 3], [5, 1, fmpq(1, 3)])
    generator = fermi_dirac(fixed)
    low, high = min(other.z) - log(2), max(other.z) + log(2)
    nu = conic.multiplier(other, generator.ratio, low, high)
    with balls.precision(160):
        solved = tuple(generator.ratio(balls.ball(z) - nu) for z in other.z)
    case.corrected(
        "C",
        "for fixed C = 2: Cσ((A−ν)/β) with ν solved for",
        conic.optimal(other, generator, solved, f"Cσ(z−ν), ν={balls.short(nu)},"),
    )
    case.comparison(
        "B",
        "reference.weights, Fermi-Dirac C = 2",
        under_test.relaxed_weights(generator, "fermi-dirac", lambda d: (min(d.z) - log(2), max(d.z) + log(2)), cap=2.0),
    )
