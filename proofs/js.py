"""Chapter JS: what source 002 states about JS-regularised occupancy optimisation.

Its generator is f(w) = w log w - (w + 1) log((w + 1)/2). The relaxed optimum is w = g(z - nu), g(y) = e^y/(2 - e^y),
z = A/beta, and nu the multiplier that makes the mean one. The source replaces it by the sigmoid.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import sympy
from flint import arb, fmpq

from proofs import balls, conic, instances, under_test
from proofs.arithmetic import exp, log, sigmoid
from proofs.claim import FALSE, THEOREM, TRUE, Answer, Case, claim, every, true_if
from proofs.divergences import JS, Law, fermi_dirac, js_ratio, kl_ratio, law, two_jsd
from proofs.exact import LogNumber
from proofs.symbolic import equal, polynomial_roots, positive, real, sign, summed, vanishes

HALF = sympy.Rational(1, 2)

TEXTBOOK = law([1, 1], [1, fmpq(9, 5)])
"""D = (1/2, 1/2), A/beta = (0, log 9/5): every formula of source 002 can be evaluated on it exactly."""


def js_derivative(w: Any) -> Any:
    """f'(w) of the generator of source 002."""
    return log(2 * w / (w + 1))


def bracket_low(data: Law) -> LogNumber:
    """The proved lower end of the multiplier: max(log E e^z, z_max - log(2 / (1 + D_max)))."""
    top = max(data.exponentials)
    mass = sum((m for m, q in zip(data.masses, data.exponentials, strict=True) if q == top), fmpq(0))
    return LogNumber.log(max(data.expect(data.exponentials), top * (1 + mass) / 2))


def bracket_high(data: Law) -> LogNumber:
    """The proved upper end of the multiplier: z_max."""
    return LogNumber.log(max(data.exponentials))


def one_atom_bracket(data: Law) -> tuple[Any, Any]:
    """A bracket that needs no rational e^z: z_max - log(2/(1 + D_max)) with the smallest mass for D_max, and z_max."""
    return max(data.z) - log(2 / (1 + min(data.masses))), max(data.z)


def js_multiplier(data: Law, bits: int = 160) -> arb:
    """A ball around the multiplier nu of the exact JS optimum."""
    return conic.multiplier(data, js_ratio, bracket_low(data), bracket_high(data), bits)


@functools.lru_cache(maxsize=256)
def js_weights(data: Law) -> tuple[arb, ...]:
    """Enclosures of the exact JS optimum w = g(z - nu)."""
    nu = js_multiplier(data)
    return tuple(js_ratio(balls.ball(z) - nu) for z in data.z)


def kl_weights(data: Law) -> tuple[fmpq, ...]:
    """The exact KL optimum e^z / E e^z."""
    return data.normalised(kl_ratio)


def fermi_weights(data: Law) -> tuple[fmpq, ...]:
    """What source 002 calls the JS optimum: sigma(z) / E sigma(z)."""
    return data.normalised(sigmoid)


def show(values: Sequence[Any]) -> str:
    """A tuple of numbers for a reader."""
    return f"({', '.join(balls.short(value, 6) for value in values)})"


@claim(
    "JS-01",
    source="002 §1",
    statement="The Jensen-Shannon divergence is the f-divergence of f(w) = −(w+1) log((w+1)/2) + w log w.",
    formula="Σ d_b f(d/d_b) = JSD(d‖d_b) = ½KL(d‖m) + ½KL(d_b‖m),  m = (d + d_b)/2",
    stated=FALSE,
    corrected=(
        "Σ d_b f(d/d_b) = KL(d‖m) + KL(d_b‖m) = 2 JSD, with supremum 2 log 2 (nats). The JSD's own generator is f/2: "
        "'JSD with β' is 'this f with β/2'."
    ),
    method="S",
    derivation=(
        "Put w = d/d_b: d_b w log w = d log(d/d_b), and d_b (w+1) log((w+1)/2) = (d + d_b) log(m/d_b).",
        "The difference is d log(d/m) + d_b log(d_b/m): summed over pairs, KL(d‖m) + KL(d_b‖m).",
        "The JSD is half of that. For disjoint d and d_b: 2 log 2 against log 2.",
    ),
    twins={
        "claim the factor 2": {"claimed": lambda jsd: 2 * jsd},
        "the correction loses its factor": {"right": lambda jsd: jsd},
        "the correction takes factor 4": {"right": lambda jsd: 4 * jsd},
    },
)
def js_01(case: Case, *, claimed: Any = lambda jsd: jsd, right: Any = lambda jsd: 2 * jsd) -> None:
    """Three pairs in symbols; disjoint laws as a limit."""
    d, base = positive("d1 d2 d3"), positive("b1 b2 b3")
    generated = summed(b * two_jsd(x / b) for x, b in zip(d, base, strict=True))
    half = sympy.Rational(1, 2)
    jsd = summed(
        half * x * sympy.log(2 * x / (x + b)) + half * b * sympy.log(2 * b / (x + b))
        for x, b in zip(d, base, strict=True)
    )
    case.claimed("S", "Σ d_b f(d/d_b) equals the JSD", equal(generated, claimed(jsd)))
    case.corrected("S", "Σ d_b f(d/d_b) = 2 JSD", equal(generated, right(jsd)))
    (w,) = positive("w")
    supremum = two_jsd_at_zero() + sympy.limit(two_jsd(w) / w, w, sympy.oo)
    case.corrected("S", "its supremum, at disjoint laws, is 2 log 2", equal(supremum, 2 * sympy.log(2)), f"{supremum}")


def two_jsd_at_zero() -> Any:
    """f(0+) of the generator of source 002."""
    (w,) = positive("w")
    return sympy.limit(two_jsd(w), w, 0, "+")


@claim(
    "JS-02",
    source="002 §3",
    statement="The derivative of the generator (boxed, 'the key step').",
    formula="f'(w) = log(2w/(w+1))",
    stated=TRUE,
    corrected=(
        "Also f(1) = f'(1) = 0, f'' = 1/(w(w+1)), f''(1) = 1/2, f'(0⁺) = −∞ (so w > 0 always) and f'(∞) = log 2 (so "
        "the conjugate has a barrier)."
    ),
    method="S",
    derivation=(
        "d/dw [w log w] = log w + 1, and d/dw [(w+1) log((w+1)/2)] = log((w+1)/2) + 1.",
        "The difference is log w − log((w+1)/2) = log(2w/(w+1)).",
    ),
    twins={
        "factor 2 dropped": {"derivative": lambda w: log(w / (w + 1))},
        "sign": {"derivative": lambda w: -log(2 * w / (w + 1))},
        "w - 1": {"derivative": lambda w: log(2 * w) - log(w) - log(w + 1)},
    },
)
def js_02(case: Case, *, derivative: Any = js_derivative) -> None:
    """The derivative, and what the ends of the domain look like."""
    (w,) = positive("w")
    case.claimed("S", "f' is the stated one", equal(sympy.diff(two_jsd(w), w), derivative(w)))
    stated = js_derivative(w)
    case.corrected("S", "f(1) = f'(1) = 0", every([vanishes(two_jsd(w).subs(w, 1)), vanishes(stated.subs(w, 1))]))
    case.corrected("S", "f'' = 1/(w(w+1)) > 0", equal(sympy.diff(stated, w), 1 / (w * (w + 1))))
    ends = sympy.limit(stated, w, 0, "+"), sympy.limit(stated, w, sympy.oo)
    case.corrected("S", "f'(0⁺) = −∞, f'(∞) = log 2", ends == (-sympy.oo, sympy.log(2)), f"limits {ends[0]}, {ends[1]}")


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


def mean_ratio(data: Law, c: fmpq) -> fmpq | None:
    """E g(z - nu) for e^nu = c, exactly; None outside the domain (an atom with e^{z - nu} >= 2)."""
    if max(data.exponentials) >= 2 * c:
        return None
    return data.expect([q / (2 * c - q) for q in data.exponentials])


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


def abridged(data: Law) -> str:
    """A law in a few words."""
    text = str(data)
    return text if len(text) < 100 else f"{text[:100]}…"


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


@claim(
    "JS-08",
    source="002 §5",
    statement="Convex-conjugate theory proves that the standard form of the JS optimum is the sigmoid.",
    formula="(f*)'(y) = C σ(y)",
    stated=FALSE,
    corrected=(
        "f*(y) = −log(2 − e^y) and (f*)'(y) = e^y/(2 − e^y) on y < log 2. The sigmoid lives elsewhere: the optimal "
        "discriminator w/(1+w) = σ(log w) = ½e^{z−ν} is log-linear."
    ),
    method="S",
    derivation=(
        "At the supremum of wy − f(w): y = f'(w) = log(2w/(w+1)), so w = e^y/(2−e^y).",
        "Insert: f*(y) = wy − f(w) = log((w+1)/2) = −log(2 − e^y).",
        "(f*)'/σ = (1+e^y)/(2−e^y) is not constant.",
    ),
    twins={
        "claim the exact ratio": {"claimed": js_ratio},
        "softplus as the conjugate": {"conjugate": lambda y: log(1 + exp(y)) - log(sympy.Integer(2))},
        "sign of the conjugate": {"conjugate": lambda y: log(2 - exp(y))},
        "factor 2 in the discriminator": {"discriminator": exp},
    },
)
def js_08(
    case: Case,
    *,
    claimed: Any = sigmoid,
    conjugate: Any = lambda y: -log(2 - exp(y)),
    discriminator: Any = lambda y: exp(y) / 2,
) -> None:
    """Fenchel-Young equality along w = (f*)'(y); whether the claimed shape is (f*)' up to a constant."""
    (w,) = positive("w")
    y = js_derivative(w)
    case.claimed(
        "S",
        "σ(y)/(f*)'(y) is constant",
        vanishes(sympy.diff(claimed(y) / w, w)),
        "derivative of the quotient along y = f'(w)",
    )
    case.corrected("S", "Fenchel-Young: f(w) + f*(f'(w)) = w f'(w)", equal(two_jsd(w) + conjugate(y), w * y))
    case.corrected("S", "(f*)'(f'(w)) = w", equal(js_ratio(y), w))
    case.corrected(
        "S", "f is strictly convex, so the stationary point is the supremum", sign(sympy.diff(two_jsd(w), w, 2), 1)
    )
    case.corrected("S", "the discriminator w/(1+w) is ½e^y", equal(w / (1 + w), discriminator(y)))


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


def moments() -> tuple[Any, Any, Any, Any, Any]:
    """Three atoms in symbols: masses, advantages, mean, variance and third central moment."""
    first, second = positive("D1 D2")
    masses = (first, second, 1 - first - second)
    advantage = real("A1 A2 A3")
    mean = summed(m * a for m, a in zip(masses, advantage, strict=True))
    variance = summed(m * (a - mean) ** 2 for m, a in zip(masses, advantage, strict=True))
    third = summed(m * (a - mean) ** 3 for m, a in zip(masses, advantage, strict=True))
    return masses, advantage, mean, variance, third


def taylor(ratio: Any, masses: Any, advantage: Any) -> list[tuple[Any, Any]]:
    """First and second order in t = 1/beta of the exactly normalised w = ratio(tA - nu(t)), for ratio(0) = 1.

    nu = n1 t + n2 t^2 follows order by order from E[w] = 1: n1 = E A, and slope n2 = E[curvature (A - E A)^2 / 2].
    """
    y = sympy.Symbol("y")
    slope, curvature = (sympy.diff(ratio(y), y, k).subs(y, 0) for k in (1, 2))
    mean = summed(m * a for m, a in zip(masses, advantage, strict=True))
    first = [slope * (a - mean) for a in advantage]
    bend = summed(m * curvature / 2 * (a - mean) ** 2 for m, a in zip(masses, advantage, strict=True))
    second = [curvature / 2 * (a - mean) ** 2 - bend for a in advantage]
    return list(zip(first, second, strict=True))


def quotient_series(top: tuple[Any, Any, Any], bottom: tuple[Any, Any, Any]) -> tuple[Any, Any]:
    """First and second order of a quotient of two power series whose constant terms agree."""
    first = (top[1] - bottom[1]) / bottom[0]
    return first, (top[2] - bottom[2]) / bottom[0] - first * bottom[1] / bottom[0]


@claim(
    "JS-11",
    source=("toolkit", "002 §7, §9 (need it)"),
    statement="How the three weights depart from uniform at high temperature.",
    formula=(
        "x = (A−Ā)/β:  KL 1 + x + ½(x²−Var x);  JS 1 + 2x + 3(x²−Var x);  sigmoid 1 + x/2 − (Ā/4β)x;  each + O(β⁻³)"
    ),
    stated=THEOREM,
    corrected="The true JSD (generator f/2) has slope 4. The sigmoid's second order depends on Ā: no shift invariance.",
    method="S",
    derivation=(
        "w = g(tA − ν(t)) with t = 1/β, g(0) = 1. First order of E[w] = 1: ν = tĀ, so w = 1 + g'(0) t(A−Ā).",
        "Second order: ½g''(0) t²(A−Ā)² − g'(0)n₂t², and E[w] = 1 subtracts the mean: ½g''(0)(x² − Var x).",
        "KL: g' = g'' = 1. JS: g = e^y/(2−e^y), g'(0) = 2, g''(0) = 6. Sigmoid: expand σ(tA)/E σ(tA) directly.",
    ),
    twins={
        "slope of JS 4": {"js": (4, 3)},
        "second order of JS 2": {"js": (2, 2)},
        "KL without the half": {"kl": (1, 1)},
        "the sigmoid's mean term dropped": {"sigmoid_second": lambda x, mean: 0 * x},
        "the sigmoid's mean term with factor 1/2": {"sigmoid_second": lambda x, mean: -mean * x / 2},
    },
)
def js_11(
    case: Case,
    *,
    kl: Any = (1, HALF),
    js: Any = (2, 3),
    sigmoid_second: Any = lambda x, mean: -mean * x / 4,
) -> None:
    """Taylor coefficients of three symbolic atoms, the multiplier expanded with them."""
    masses, advantage, mean, variance, _ = moments()
    near = {"D1": sympy.Rational(1, 5), "D2": sympy.Rational(3, 7)}
    for name, ratio, (c1, c2) in (("KL", kl_ratio, kl), ("JS", js_ratio, js)):
        terms = taylor(ratio, masses, advantage)
        for order in (0, 1):
            average = summed(m * term[order] for m, term in zip(masses, terms, strict=True))
            case.support("S", f"{name}: the mean stays one in order {order + 1}", vanishes(average, **near))
        answers = []
        for (first, second), a in zip(terms, advantage, strict=True):
            answers.append(equal(first, c1 * (a - mean), **near))
            answers.append(equal(second, c2 * ((a - mean) ** 2 - variance), **near))
        case.theorem("S", f"{name}: 1 + {c1}x + {c2}(x² − Var x)", every(answers, "zero remainder in both orders"))
    true_jsd = taylor(lambda y: js_ratio(2 * y), masses, advantage)
    slopes = (equal(first, 4 * (a - mean), **near) for (first, _), a in zip(true_jsd, advantage, strict=True))
    case.corrected("S", "the JSD's own generator f/2 has slope 4", every(slopes))
    t = sympy.Symbol("t", real=True)
    orders = [sympy.diff(sigmoid(t), t, k).subs(t, 0) / sympy.factorial(k) for k in range(3)]
    tops = [tuple(order * a**k for k, order in enumerate(orders)) for a in advantage]
    _, slope, bend = (summed(m * top[k] for m, top in zip(masses, tops, strict=True)) for k in range(3))
    answers = []
    for a, top in zip(advantage, tops, strict=True):
        first, second = quotient_series(top, (orders[0], slope, bend))
        answers.append(equal(first, (a - mean) / 2, **near))
        answers.append(equal(second, sigmoid_second(a - mean, mean), **near))
    case.theorem("S", "sigmoid: 1 + x/2 − (Ā/4β)x", every(answers, "zero remainder in both orders"))


def lower_tails(data: Law, weights: Sequence[Any]) -> list[Any]:
    """The mass d = D w of the atoms below each distinct level of the advantage, from the lowest up.

    Lower tails, because the upper ones come so close to 1 that a ball loses the difference.
    """
    levels = sorted(set(data.exponentials), key=LogNumber.of)[:-1]
    return [
        sum(
            (m * w for m, q, w in zip(data.masses, data.exponentials, weights, strict=True) if q <= level),
            fmpq(0),
        )
        for level in levels
    ]


def less_concentrated(data: Law, left: Any, right: Any, names: tuple[str, str]) -> Answer:
    """Whether left's weights are strictly majorised by right's (both increase with A): more mass in each lower tail."""
    with balls.precision(320):
        undecided = False
        tails = zip(lower_tails(data, left(data)), lower_tails(data, right(data)), strict=True)
        for level, (a, b) in enumerate(tails):
            exact = not isinstance(a, arb) and not isinstance(b, arb)
            answer = bool(b < a) if exact else balls.less(b, a)
            if answer is False:
                shown = f"{names[0]} {balls.short(a, 6)}, {names[1]} {balls.short(b, 6)}"
                return Answer(False, f"mass of the lowest {level + 1} levels: {shown} on {abridged(data)}")
            undecided |= answer is None
    return Answer(None if undecided else True, abridged(data))


def effective_fraction(data: Law, weights: Sequence[Any]) -> arb:
    """ESS / n = 1 / E w^2."""
    return 1 / balls.ball(data.expect([balls.ball(w) * balls.ball(w) for w in weights]))


@claim(
    "JS-12",
    source=("002 §7", "002 §9", "002 §10", "002 §12"),
    statement="JS weights (for the source: sigmoid weights) are smoother, more democratic and more stable than KL's.",
    formula="at equal β the JS weights are less concentrated than exp(A/β)",
    stated={"JS": FALSE, "sigmoid": TRUE, "curvature matched": THEOREM},
    corrected=(
        "At equal β, in majorisation order, for every A and D: σ ≺ KL ≺ JS, strictly unless A is constant; hence "
        "ESS_σ ≥ ESS_KL ≥ ESS_JS. With curvatures matched (β_JS = 2β_KL) there is no uniform order."
    ),
    method="S+P+B",
    derivation=(
        "d log w/dA: sigmoid (1−σ)/β < KL 1/β < JS (1+w)/β.",
        "Two mean-one weights, both increasing in A, one with the steeper logarithm: they cross once, so every upper "
        "tail has more mass under the steeper one. That is majorisation.",
        "Every convex dispersion follows the order: variance, 1/ESS, negative entropy, the maximum.",
        "With β_JS = 2β_KL the slopes agree to first order, and Var_JS − Var_KL = ½E x³ + …: the sign of the third "
        "central moment decides.",
    ),
    twins={
        "the sigmoid called JS": {"js": fermi_weights},
        "JS called the sigmoid": {"fermi": js_weights},
        "KL called the sigmoid": {"fermi": kl_weights},
        "JS with the slope 1 - w": {"js_slope": lambda w: 1 - w},
        "third moment with the opposite sign": {"matched": lambda third: -third / 2},
    },
)
def js_12(
    case: Case,
    *,
    js: Any = js_weights,
    fermi: Any = fermi_weights,
    js_slope: Any = lambda w: 1 + w,
    matched: Any = lambda third: third / 2,
) -> None:
    """Log-slopes in symbols; tails of a family of laws, exactly or in balls; the difference after matching."""
    family = list(instances.distinct(instances.laws(40, seed=12)))
    (y,), (w,) = real("y"), positive("w")
    sigmoid_slope = sympy.diff(sympy.log(sigmoid(y)), y)
    slope = sympy.diff(sympy.log(js_ratio(y)), y).subs(y, js_derivative(w))

    case.claimed(
        "P",
        "JS ≺ KL on a family of laws",
        every(less_concentrated(d, js, kl_weights, ("JS", "KL")) for d in family),
        part="JS",
    )
    case.corrected("S", "log-slope of JS is 1 + w, above KL's 1", equal(slope, js_slope(w)), part="JS")
    case.corrected(
        "P",
        "KL ≺ JS on every law",
        every(less_concentrated(d, kl_weights, js_weights, ("KL", "JS")) for d in family),
        part="JS",
    )
    with balls.precision(160):
        sizes = [effective_fraction(TEXTBOOK, f(TEXTBOOK)) for f in (fermi_weights, kl_weights, js_weights)]
    case.corrected("B", "ESS/n of sigmoid > KL > JS", bool(sizes[0] > sizes[1] > sizes[2]), show(sizes), part="JS")

    part = "sigmoid"
    case.claimed(
        "S", "log-slope of the sigmoid is 1 − σ, below KL's 1", equal(sigmoid_slope, 1 - sigmoid(y)), part=part
    )
    case.claimed(
        "P",
        "σ ≺ KL on every law",
        every(less_concentrated(d, fermi, kl_weights, ("σ", "KL")) for d in family),
        part=part,
    )

    part = "curvature matched"
    masses, advantage, _, _, third = moments()
    near = {"D1": sympy.Rational(1, 5), "D2": sympy.Rational(3, 7)}
    variances = []
    for ratio in (lambda v: js_ratio(v / 2), kl_ratio):
        terms = taylor(ratio, masses, advantage)
        variances.append(summed(m * 2 * first * second for m, (first, second) in zip(masses, terms, strict=True)))
    case.theorem(
        "S",
        "Var_JS − Var_KL = ½ E(A−Ā)³/β³ + O(β⁻⁴) at β_JS = 2β_KL",
        equal(variances[0] - variances[1], matched(third), **near),
        part=part,
    )
    skewed = {"positive": law([9, 1], [1, 2]), "negative": law([1, 9], [1, 2])}
    differences = {name: matched_difference(data) for name, data in skewed.items()}
    case.theorem(
        "B",
        "ESS_JS < ESS_KL at positive skew, > at negative: no uniform order",
        bool(differences["positive"] < 0 and differences["negative"] > 0),
        f"ESS_JS/n − ESS_KL/n: {show(list(differences.values()))}",
        part=part,
    )


def matched_difference(data: Law) -> arb:
    """ESS_JS/n - ESS_KL/n at beta_KL = 4 and beta_JS = 8, where the curvatures of the generators match."""
    with balls.precision(160):
        js_z = [balls.ball(z) / 8 for z in data.z]
        raw = [(balls.ball(z) / 4).exp() for z in data.z]
        low = balls.ball(data.expect([z.exp() for z in js_z])).log()
        high = max(js_z, key=lambda ball: ball.mid())
        nu = balls.root(lambda v: data.expect([js_ratio(z - v) for z in js_z]) - 1, low, high)
        total = data.expect(raw)
        return effective_fraction(data, [js_ratio(z - nu) for z in js_z]) - effective_fraction(
            data, [r / total for r in raw]
        )
