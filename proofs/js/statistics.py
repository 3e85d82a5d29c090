"""Three statistics: how each weight grows with the advantage, and where it ends (JS-13, JS-14, JS-17, JS-18)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import sympy
from flint import arb, fmpq

from proofs import balls, conic
from proofs.arithmetic import exp, sigmoid
from proofs.claim import claim
from proofs.divergences import Law, js_ratio, kl_ratio
from proofs.evidence import Answer, Case, every
from proofs.js.weights import abridged, js_derivative, one_atom_bracket, show
from proofs.symbolic import equal, positive, real, sign, summed, vanishes
from proofs.verdict import FALSE, THEOREM, TRUE

SIGNS = {"JS": 1, "KL": 0, "sigmoid": -1}
"""epsilon of w' = w (1 + epsilon w): Bose-Einstein, Maxwell-Boltzmann, Fermi-Dirac."""


def bose(x: Any) -> Any:
    """The mean occupation of bosons at chemical potential log 2: 1/(e^{log 2 - x} - 1)."""
    return 1 / (2 * exp(-x) - 1)


@claim(
    "JS-13",
    source=("toolkit", "002 §7, §10 (swap the two)"),
    statement="The three weights are the three statistics of physics; the sigmoid is Fermi-Dirac, JS is Bose-Einstein.",
    formula="w' = w(1 + εw):  JS w = 1/(e^{log 2 − x} − 1), ε = 1;  KL w = e^x, ε = 0;  sigmoid w = σ(x), ε = −1",
    stated=THEOREM,
    corrected="Saturation at large advantage belongs to ε = −1. JS has ε = +1: it condenses (JS-19).",
    method="S",
    derivation=(
        "w = e^x/(2 − e^x) = 1/(2e^{−x} − 1): the Bose-Einstein occupation with x = log 2 − energy.",
        "Differentiate: (2 e^x)/(2 − e^x)² = w · 2/(2 − e^x) = w(1 + w).",
        "(e^x)' = e^x and σ' = σ(1 − σ): the same equation with ε = 0 and ε = −1.",
    ),
    twins={
        "bosons and fermions swapped": {"signs": {"JS": -1, "KL": 0, "sigmoid": 1}},
        "JS without the quadratic term": {"signs": {"JS": 0, "KL": 0, "sigmoid": -1}},
        "chemical potential 0": {"occupation": lambda x: 1 / (exp(-x) - 1)},
        "fermions called bosons": {"occupation": lambda x: 1 / (2 * exp(-x) + 1)},
    },
)
def js_13(case: Case, *, signs: Any = SIGNS, occupation: Any = bose) -> None:
    """The differential equation of each weight, and the occupation of bosons."""
    (x,) = real("x")
    for name, weight in (("JS", js_ratio), ("KL", kl_ratio), ("sigmoid", sigmoid)):
        w = weight(x)
        case.theorem(
            "S", f"{name}: w' = w(1 + εw), ε = {signs[name]}", equal(sympy.diff(w, x), w * (1 + signs[name] * w))
        )
    case.theorem("S", "the JS weight is the Bose-Einstein occupation", equal(js_ratio(x), occupation(x)))


@functools.lru_cache(maxsize=64)
def two_atoms(gap: fmpq, mass: fmpq) -> Law:
    """An outlier of the given mass whose advantage lies `gap` above that of all others (at 0)."""
    return Law((mass, 1 - mass), (gap, fmpq(0)))


@functools.lru_cache(maxsize=64)
def exact_js(data: Law) -> tuple[arb, ...]:
    """The exact JS optimum, for advantages whose exponential need not be rational."""
    nu = conic.multiplier(data, js_ratio, *one_atom_bracket(data), bits=160)
    return tuple(js_ratio(balls.ball(z) - nu) for z in data.z)


def mean_one(shape: Any, data: Law) -> tuple[arb, ...]:
    """shape(z)/E shape(z) in balls."""
    raw = [balls.ball(shape(balls.ball(z))) for z in data.z]
    total = data.expect(raw)
    return tuple(value / total for value in raw)


def within(weights: Any, low: Any, high: Any, data: Law) -> Answer:
    """Whether every weight lies in [low, high]; a weight that certainly leaves it is the witness."""
    values = [balls.ball(w) for w in weights(data)]
    for w in values:
        if w < balls.ball(low(data)) or w > balls.ball(high(data)):
            return Answer(False, f"w = {balls.short(w, 6)} on {abridged(data)}")
    return Answer(all(balls.ball(low(data)) <= w <= balls.ball(high(data)) for w in values) or None, abridged(data))


@claim(
    "JS-14",
    source="002 §7 (table)",
    statement="JS weights lie in [0, 1], saturate at 1 for a large advantage, and keep about 0.5 for a negative one.",
    formula="0 ≤ w ≤ 1;  w → 1 (A → ∞);  w → ½ (A → −∞)",
    stated={"range": FALSE, "saturation": FALSE, "negative advantage": FALSE},
    corrected=(
        "The exact JS optimum ranges over (0, 1/D): a mean-one ratio that is not constant exceeds 1. At fixed ν it has "
        "a pole at A/β − ν = log 2. σ(−z) falls to 0 like e^{−z}; one half is its value at A = 0 only."
    ),
    method="S+P",
    derivation=(
        "E w = 1: unless w is constantly 1, some w > 1. And D w ≤ 1, so w ≤ 1/D; a large gap comes arbitrarily close.",
        "g(y) = e^y/(2 − e^y) → ∞ as y → log 2.",
        "σ(z) = e^z/(1 + e^z) → 0 as z → −∞, with σ(z)e^{−z} → 1; σ(0) = ½.",
    ),
    twins={
        "claim the range (0, 1/D)": {"top": lambda data: 1 / min(data.masses)},
        "claim the pole": {"saturation": sympy.oo},
        "claim decay to 0": {"floor": sympy.Integer(0)},
        "the correction says 1/(2D)": {"right_top": lambda data: 1 / (2 * min(data.masses))},
    },
)
def js_14(
    case: Case,
    *,
    top: Any = lambda data: fmpq(1),
    saturation: Any = sympy.S.One,
    floor: Any = sympy.S.Half,
    right_top: Any = lambda data: 1 / min(data.masses),
) -> None:
    """Exact JS optima of two-atom laws with growing gaps; limits of the two functions."""
    with balls.precision(256):
        family = [two_atoms(fmpq(gap), fmpq(1, n)) for gap in (50, 5, 1) for n in (100, 10, 3)]
        part = "range"
        case.claimed("P", "0 ≤ w ≤ 1", every(within(exact_js, lambda d: 0, top, d) for d in family), part=part)
        case.corrected(
            "P", "0 < w ≤ 1/D", every(within(exact_js, lambda d: 0, right_top, d) for d in family), part=part
        )
        largest = exact_js(family[0])[0]
        near = bool(largest > balls.ball(fmpq(999999, 10000)))
        case.corrected("P", "the bound is approached", near, f"D=1/100, gap 50: w={balls.short(largest, 5)}", part=part)
    (y,) = real("y")
    part, limit = "saturation", sympy.limit(js_ratio(y), y, sympy.log(2), "-")
    case.claimed("S", f"the JS weight ends at {saturation}", limit == saturation, f"limit {limit}", part=part)
    case.corrected("S", "a pole where A/β − ν = log 2", limit == sympy.oo, f"limit {limit}", part=part)
    part, limit = "negative advantage", sympy.limit(sigmoid(y), y, -sympy.oo)
    case.claimed("S", f"σ(z) → {floor} as z → −∞", limit == floor, f"limit {limit}", part=part)
    decay = sympy.limit(sympy.simplify(sigmoid(y) * sympy.exp(-y)), y, -sympy.oo)
    case.corrected(
        "S", "σ(z)e^{−z} → 1, and σ(0) = ½", (decay, sigmoid(y).subs(y, 0)) == (1, sympy.Rational(1, 2)), part=part
    )


QUARTER = sympy.Rational(1, 4)


def jacobian(slopes: Sequence[Any], masses: Sequence[Any], i: int, j: int) -> Any:
    """d w_i / d z_j of w = g(z - nu(z)) with E w = 1: g_i' (1_ij - D_j g_j' / E g')."""
    total = sum((m * s for m, s in zip(masses[1:], slopes[1:], strict=True)), masses[0] * slopes[0])
    return slopes[i] * ((1 if i == j else 0) - masses[j] * slopes[j] / total)


@claim(
    "JS-17",
    source="002 §10.1",
    statement="The gradient of the KL weight is e^{A/β}/β; that of JS is σ(1−σ)/β, at most 1/(4β), at A = 0.",
    formula="∂w/∂A = (1/β) e^{A/β} (KL);  (1/β) σ(1 − σ) ≤ 1/(4β) (JS)",
    stated={"KL": TRUE, "sigmoid": TRUE, "JS": FALSE, "Jacobian": THEOREM},
    corrected=(
        "The JS weight at fixed ν has ∂w/∂A = w(1 + w)/β: unbounded, and larger than KL's w/β. With the multiplier "
        "moving along: ∂w_i/∂A_j = (g_i'/β)(1_ij − D_j g_j'/E g') for every f."
    ),
    method="S+N",
    derivation=(
        "KL (raw): d/dA e^{A/β}. Sigmoid: σ' = σ(1 − σ), and ¼ − σ(1 − σ) = (½ − σ)² ≥ 0 with equality at A = 0.",
        "JS: g(y) = e^y/(2 − e^y) has g' = g(1 + g) (JS-13).",
        "Differentiate E g(z − ν) = 1 by z_j: D_j g_j' = E[g'] ∂ν/∂z_j, and insert.",
    ),
    twins={
        "maximum 1/2": {"peak": sympy.Rational(1, 2)},
        "the right gradient claimed for JS": {"js": lambda w, s: w * (1 + w)},
        "the correction with a minus": {"right": lambda w: w * (1 - w)},
        "KL's gradient without 1/beta": {"kl": lambda z, b: exp(z)},
        "Jacobian without the multiplier": {"moving": lambda s, m, i, j: s[i] * (1 if i == j else 0)},
        "Jacobian with D_i": {"moving": lambda s, m, i, j: jacobian(s, (*m[:j], m[i], *m[j + 1 :]), i, j)},
    },
)
def js_17(
    case: Case,
    *,
    kl: Any = lambda z, b: exp(z) / b,
    peak: Any = QUARTER,
    js: Any = lambda w, s: s * (1 - s),
    right: Any = lambda w: w * (1 + w),
    moving: Any = jacobian,
) -> None:
    """Derivatives in symbols; the Jacobian by implicit differentiation, and by differences of exact optima."""
    (a,), (beta, w) = real("A"), positive("beta w")
    case.claimed("S", "KL, raw: e^{A/β}/β", equal(sympy.diff(exp(a / beta), a), kl(a / beta, beta)), part="KL")
    s = sigmoid(a)
    case.claimed("S", "σ' = σ(1−σ)", equal(sympy.diff(s, a), s * (1 - s)), part="sigmoid")
    half = sympy.Rational(1, 2)
    case.claimed("S", f"{peak} − σ(1−σ) = (½ − σ)²", equal(peak - s * (1 - s), (half - s) ** 2), part="sigmoid")
    slope = sympy.diff(js_ratio(a), a)
    case.claimed("S", "the JS weight has the claimed gradient", equal(slope, js(js_ratio(a), s)), part="JS")
    at = slope.subs(a, js_derivative(w))
    case.corrected("S", "at fixed ν it is w(1+w)", equal(at, right(w)), part="JS")
    case.corrected("S", "larger than KL's w", sign(right(w) - w, 1), part="JS")

    masses = (*positive("D1 D2"), positive("D3")[0])
    slopes = positive("g1 g2 g3")
    for i, j in ((0, 0), (0, 1)):
        flat = [(1 if k == j else 0) for k in range(3)]
        shift = masses[j] * slopes[j] / summed(m * g for m, g in zip(masses, slopes, strict=True))
        implicit = slopes[i] * (flat[i] - shift)
        case.theorem(
            "S",
            f"∂w_{i + 1}/∂z_{j + 1} by implicit differentiation",
            equal(moving(slopes, masses, i, j), implicit),
            part="Jacobian",
        )
    kept = summed(m * moving(slopes, masses, i, 1) for i, m in enumerate(masses))
    case.theorem("S", "the mean stays one: E ∂w/∂z_j = 0", vanishes(kept), part="Jacobian")
    case.theorem("N", "differences of exact JS optima", _differences(moving), part="Jacobian")


def _differences(moving: Any) -> Answer:
    """The Jacobian against central differences of the exact optimum in a step of 2^-40.

    The error of the difference is h²/6 times a third derivative; every derivative of w on this law is below 2^10, and
    the enclosures are narrower than 2^-100, so 2^-68 bounds it.
    """
    step, bits = fmpq(1, 2**40), 400
    with balls.precision(bits):
        base = Law((fmpq(1, 2), fmpq(1, 3), fmpq(1, 6)), (fmpq(0), fmpq(1, 2), fmpq(1)))
        slopes = [w * (1 + w) for w in _precise(base)]
        worst = arb(0)
        for j in range(3):
            moved = []
            for side in (1, -1):
                z = tuple(value + side * step * int(k == j) for k, value in enumerate(base.z))
                moved.append(_precise(Law(base.masses, z)))
            for i in range(3):
                difference = (moved[0][i] - moved[1][i]) / balls.ball(2 * step)
                worst = worst.max(abs(difference - moving(slopes, tuple(balls.ball(m) for m in base.masses), i, j)))
    return Answer(bool(worst < balls.ball(fmpq(1, 2**68))), f"largest difference {balls.short(worst.upper(), 2)}")


@functools.lru_cache(maxsize=16)
def _precise(data: Law) -> tuple[arb, ...]:
    nu = conic.multiplier(data, js_ratio, *one_atom_bracket(data), bits=200)
    return tuple(js_ratio(balls.ball(z) - nu) for z in data.z)


OUTLIERS = (fmpq(1), fmpq(5), fmpq(10), fmpq(40))
"""Advantages of the one outlier among 100 samples, the other 99 at 0; beta = 1."""


@claim(
    "JS-18",
    source=("002 §10.2", "002 §10.3"),
    statement="An outlier dominates the KL weights; its JS weight stays near 1, and no sample is forgotten.",
    formula="one A > 0 among 99 zeros: w_JS(outlier) ≤ 1/½ = 2 while w_KL(outlier) is hundreds; σ(−5) ≈ 0.007 ≠ 0",
    stated={"sigmoid": TRUE, "JS": FALSE},
    corrected=(
        "The sigmoid's outlier weighs at most 1/E σ < 2/(1 − 1/n). JS gives it more than KL does: mean-one weights "
        "(σ, KL, JS) are 1.97, 59.99, 99.34 at A = 5 and 1.98, 99.55, 100.00 at A = 10. e^{−5} = 0.0067 is as "
        "different from 0 as σ(−5)."
    ),
    method="P",
    derivation=(
        "σ < 1 and E σ ≥ ½(1 − 1/n) when the others are at 0: the quotient is below 2/(1 − 1/n).",
        "By JS-12 every upper tail has more mass under JS than under KL; the outlier is the upper tail.",
        "σ(−5) = 0.00669 and e^{−5} = 0.00674; normalised, JS gives the sample at −5 less than KL.",
    ),
    twins={
        "the JS optimum called sigmoid": {"fermi": lambda data: exact_js(data)},
        "an exponential called sigmoid": {"fermi": lambda data: mean_one(lambda z: exp(2 * z), data)},
        "the sigmoid called JS": {"js": lambda data: mean_one(sigmoid, data)},
    },
)
def js_18(
    case: Case,
    *,
    fermi: Any = lambda data: mean_one(sigmoid, data),
    js: Any = exact_js,
) -> None:
    """Four outliers and one sample left behind, in balls."""
    share = fmpq(1, 100)
    with balls.precision(256):
        family = [two_atoms(gap, share) for gap in OUTLIERS]

        def bounded(weights: Any, data: Law) -> Answer:
            w, cap = weights(data)[0], balls.ball(2 / (1 - share))
            return Answer(balls.less(w, cap), f"outlier weight {balls.short(w, 6)} at A={data.z[0]}")

        def above_kl(weights: Any, data: Law) -> Answer:
            w, kl = weights(data)[0], mean_one(exp, data)[0]
            return Answer(balls.less(kl, w), f"KL {balls.short(kl, 6)}, this {balls.short(w, 6)} at A={data.z[0]}")

        def shown(gap: fmpq) -> str:
            data = two_atoms(gap, share)
            return show([balls.ball(f(data)[0]) for f in (fermi, lambda d: mean_one(exp, d), js)])

        numbers = f"(σ, KL, JS) {shown(fmpq(5))} at A=5, {shown(fmpq(10))} at A=10"
        case.claimed(
            "P",
            "the outlier weighs at most 2/(1−1/n)",
            every((bounded(fermi, d) for d in family), numbers),
            part="sigmoid",
        )
        behind = Law((share, 1 - share), (fmpq(-5), fmpq(0)))
        low, kl, least = fermi(behind)[0], mean_one(exp, behind)[0], js(behind)[0]
        case.claimed(
            "P",
            "the sample at −5 keeps a weight, larger than KL's",
            Answer(balls.less(kl, low), show([low, kl])),
            part="sigmoid",
        )
        case.claimed("P", "the outlier weighs at most 2/(1−1/n)", every(bounded(js, d) for d in family), part="JS")
        case.corrected(
            "P", "JS gives the outlier more than KL", every((above_kl(exact_js, d) for d in family), numbers), part="JS"
        )
        right = exact_js(behind)[0]
        case.corrected(
            "P", "and the sample at −5 less than KL", Answer(balls.less(right, kl), show([least, kl])), part="JS"
        )
