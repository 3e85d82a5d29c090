"""The first-order condition of the JS problem, its multiplier and what the multiplier does (JS-03, JS-04, JS-06)."""

from __future__ import annotations

from typing import Any

import sympy
from flint import fmpq

from proofs import balls, instances
from proofs.arithmetic import exp, log, sigmoid
from proofs.claim import claim
from proofs.divergences import Law, js_ratio, kl_ratio
from proofs.evidence import Answer, Case, every
from proofs.exact import LogNumber
from proofs.js.weights import TEXTBOOK, abridged, bracket_high, bracket_low, js_multiplier, mean_ratio
from proofs.symbolic import equal, positive, real, sign
from proofs.verdict import FALSE, THEOREM, TRUE, true_if


@claim(
    "JS-03",
    source=("002 §4", "002 §5"),
    statement="Solving the first-order condition 2w/(w+1) = e^x gives w = e^x/(2 − e^x), by two methods.",
    formula="A − β log(2w/(w+1)) − λ = 0  ⇒  w = e^x/(2 − e^x),  x = (A−λ)/β",
    stated=true_if("x = (A−λ)/β < log 2"),
    corrected=(
        "The algebra is right. Without λ (the text then sets x = A/β) nothing keeps x below log 2 or the weights "
        "normalised: at e^x = 5/2 the formula returns −5, at e^x = 2 it has a pole."
    ),
    method="S+Q",
    derivation=(
        "Cross-multiply: 2w = e^x w + e^x, so w(2 − e^x) = e^x.",
        "2w/(w+1) < 2 for every w ≥ 0, so the equation has a solution only for e^x < 2.",
    ),
    twins={
        "sign in the denominator": {"weight": lambda x: exp(x) / (2 + exp(x))},
        "factor 2 dropped": {"weight": lambda x: exp(x) / (1 - exp(x))},
        "numerator 2e^x": {"weight": lambda x: 2 * exp(x) / (2 - exp(x))},
        "sigmoid": {"weight": sigmoid},
    },
)
def js_03(case: Case, *, weight: Any = js_ratio) -> None:
    """Both derivations in symbols; a grid of rational e^x below 2, and two values that are not."""
    (t, w) = positive("t w")
    x = sympy.log(t)
    first = sympy.solve(sympy.Eq(2 * w, t * (w + 1)), w)[0]
    second = 1 / sympy.solve(sympy.Eq(1 / (2 * w) + sympy.Rational(1, 2), 1 / t), 1 / w)[0]
    fixed = {"t": sympy.Rational(5, 4)}
    case.within("S", "method 1: cross-multiply", equal(weight(x), first, **fixed))
    case.within("S", "method 2: take reciprocals", equal(weight(x), second, **fixed))

    def ratio_at(q: fmpq) -> Answer:
        if q == 2:
            return Answer(False, "e^x=2: pole")
        value = weight(LogNumber.log(q))
        solves = value >= 0 and 2 * value / (value + 1) == q
        return Answer(bool(solves), f"e^x={q}: w={value}")

    case.within(
        "Q", "a ratio w ≥ 0 that solves the condition, e^x < 2", every(ratio_at(fmpq(k, 8)) for k in range(1, 16))
    )
    case.outside("Q", "the same at e^x = 5/2", ratio_at(fmpq(5, 2)))
    case.outside("Q", "the same at e^x = 2", ratio_at(fmpq(2)))


@claim(
    "JS-04",
    source=("toolkit", "002 §5 (needs it)"),
    statement="The multiplier that normalises the JS weights exists, is unique and lies in a bracket known in advance.",
    formula="max(log E e^z, z_max − log(2/(1+D_max))) ≤ ν ≤ z_max,  D_max = D(argmax z)",
    stated=THEOREM,
    corrected=(
        "Bisection on this bracket is safe: the mean of the weights is at least 1 at its lower end. D_max is the mass "
        "of the atoms where z is largest, ties together; with the largest mass instead the bracket is wrong."
    ),
    method="S+P+B",
    derivation=(
        "g(y) = e^y/(2−e^y) increases strictly, so E g(z−ν) decreases strictly in ν, from +∞ (ν ↓ z_max − log 2) to 0.",
        "Upper end: w is mean one and largest at z_max, so g(z_max − ν) ≥ 1 = g(0).",
        "Lower end 1: e^{z−ν} = 2w/(w+1), a concave function of w, so E e^{z−ν} ≤ 2·1/(1+1) = 1 (Jensen).",
        "Lower end 2: the top atom alone gives D_max g(z_max−ν) ≤ 1, that is e^{z_max−ν} ≤ 2/(1+D_max).",
    ),
    twins={
        "1 + D_max becomes 2 + D_max": {
            "low": lambda data: LogNumber.log(max(data.exponentials)) + log((2 + max(data.masses)) / 2)
        },
        "log E e^z as the upper end": {"high": lambda data: LogNumber.log(data.expect(data.exponentials))},
        "E z in place of z_max": {"high": lambda data: data.expect([LogNumber.of(z) for z in data.z])},
        "D_max read as the largest mass": {
            "low": lambda data: LogNumber.log(max(data.exponentials) * (1 + max(data.masses)) / 2)
        },
        "factor 2 dropped below": {"low": lambda data: LogNumber.log(max(data.exponentials) * (1 + min(data.masses)))},
    },
)
def js_04(case: Case, *, low: Any = bracket_low, high: Any = bracket_high) -> None:
    """Monotonicity and concavity in symbols; both ends exactly on a family of laws; one enclosure by bisection."""
    y, (w, mass) = real("y")[0], positive("w D")
    slope = sympy.diff(js_ratio(y), y)
    case.theorem("S", "g' = 2e^y/(2−e^y)² > 0", equal(slope, 2 * sympy.exp(y) / (2 - sympy.exp(y)) ** 2))
    case.theorem("S", "2w/(w+1) is concave", sign(sympy.diff(2 * w / (w + 1), w, 2), -1))
    case.theorem("S", "g(y) = 1/D at e^y = 2/(1+D)", equal(js_ratio(sympy.log(2 / (1 + mass))), 1 / mass))

    def ends(data: Law) -> Answer:
        below, above = low(data), high(data)
        at_low, at_high = None, None
        if isinstance(below, LogNumber) and isinstance(above, LogNumber):
            try:
                at_low, at_high = mean_ratio(data, exp(below)), mean_ratio(data, exp(above))
            except ValueError:
                nu = js_multiplier(data)
                bad = not (balls.ball(below) <= nu.upper() and nu.lower() <= balls.ball(above))
                return Answer(not bad, f"ν={balls.short(nu)} on {data}")
        holds = (at_low is None or at_low >= 1) and at_high is not None and at_high <= 1
        shown = f"mean weight {balls.short(at_high) if at_high is not None else 'undefined'} at the upper end"
        below_text = "infinite" if at_low is None else balls.short(at_low)
        return Answer(bool(holds), f"mean weight {below_text} at the lower, {shown}, on {abridged(data)}")

    case.theorem(
        "P", "mean weight ≥ 1 at the lower end, ≤ 1 at the upper", every(ends(item) for item in instances.laws(120))
    )
    proper = every(
        Answer(mean_ratio(item, exp(bracket_low(item))) is not None, abridged(item)) for item in instances.laws(120)
    )
    case.theorem("P", "the lower end lies inside the domain, so bisection never meets the pole", proper)
    nu = js_multiplier(TEXTBOOK)
    with balls.precision(256):
        enclosed = nu.contains(LogNumber.log(fmpq(3, 2)).ball())
        shown = nu.str(30)
    case.theorem("B", "bisection on the bracket encloses ν = log(3/2) on the textbook law", enclosed, f"ν in {shown}")


@claim(
    "JS-06",
    source="002 §5 (key point 3)",
    statement="λ is a global constant that does not affect the relative order, so it can be ignored and w ∝ σ(A/β).",
    formula="the order of the weights, and w(s₁,a₁)/w(s₂,a₂), do not depend on λ",
    stated={"order": TRUE, "proportionality": FALSE},
    corrected="The order does not depend on λ; the ratios do, between e^{(A₂−A₁)/β} and infinity.",
    method="S+Q",
    derivation=(
        "g' > 0, so the order of the weights is that of the advantages whatever λ is.",
        "On A/β = (0, log 9/5), with c = e^{−λ/β}: w₂/w₁ = (9/5)(2−c)/(2−9c/5).",
        "That is 9/5 for c → 0, 3 at the true c = 2/3, 9 at c = 1 (λ ignored), and infinite for c → 10/9.",
    ),
    twins={
        "KL's ratio": {"ratio": kl_ratio},
        "a decreasing ratio": {"ratio": lambda y: js_ratio(-y)},
        "the quotient loses a factor": {"quotient": lambda c: fmpq(9, 5) * (2 - c) / (2 - c)},
    },
)
def js_06(
    case: Case,
    *,
    ratio: Any = js_ratio,
    quotient: Any = lambda c: fmpq(9, 5) * (2 - c) / (2 - fmpq(9, 5) * c),
) -> None:
    """Monotonicity in symbols; the quotient at four values of e^{-λ/β}, exactly."""
    (s,) = positive("s")
    slope = sympy.diff(ratio(sympy.log(2 * s / (1 + s))), s)
    case.claimed(
        "S",
        "g increases on its domain e^y = 2s/(1+s) < 2, so λ keeps the order",
        sign(slope, 1),
        part="order",
    )
    truth = fmpq(2, 3)

    def at(c: fmpq) -> fmpq:
        weights = [ratio(LogNumber.log(q * c)) for q in TEXTBOOK.exponentials]
        return weights[1] / weights[0]

    grid = [fmpq(1, 10**6), fmpq(1, 3), truth, fmpq(1)]
    seen = ", ".join(f"c={c}: {balls.short(at(c))}" for c in grid)
    case.claimed(
        "Q",
        "the ratio of two weights is the same with the true λ and with λ ignored",
        at(truth) == at(fmpq(1)),
        f"w₂/w₁ at {seen}",
        part="proportionality",
    )
    case.corrected(
        "Q",
        "w₂/w₁ = (9/5)(2−c)/(2−9c/5)",
        all(quotient(c) == js_ratio(LogNumber.log(c * fmpq(9, 5))) / js_ratio(LogNumber.log(c)) for c in grid),
        f"{quotient(truth)} at the true c = 2/3, {quotient(fmpq(1))} with λ ignored",
        part="proportionality",
    )
    (c,) = positive("c")
    formula = sympy.Rational(9, 5) * (2 - c) / (2 - sympy.Rational(9, 5) * c)
    ends = sympy.limit(formula, c, 0), sympy.limit(formula, c, sympy.Rational(10, 9), "-")
    case.corrected(
        "S",
        "its range is (9/5, ∞)",
        ends == (sympy.Rational(9, 5), sympy.oo),
        f"limits {ends[0]} and {ends[1]}",
        part="proportionality",
    )
