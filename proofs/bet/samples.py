"""The temperature of a target for the effective sample size (BET-03), and a floor under that size (BET-04)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import sympy
from flint import arb, fmpq

from proofs import balls, instances, under_test
from proofs.claim import claim
from proofs.divergences import Law
from proofs.evidence import Answer, Case, every
from proofs.exact import LogNumber
from proofs.generators import sqrt
from proofs.symbolic import equal, positive, real, sign, vanishes
from proofs.verdict import THEOREM


def samples(count: int, seed: int) -> Iterator[tuple[int, int, list[LogNumber]]]:
    """n, the multiplicity m < n of the best advantage, and n advantages with the best at 0."""
    for data in instances.distinct(instances.laws(count, seed=seed, largest=7)):
        top = max(data.exponentials)
        advantages = [LogNumber.log(q / top) for q in data.exponentials]
        yield len(advantages), sum(q == top for q in data.exponentials), advantages


def fraction(advantages: list[LogNumber], beta: Any) -> arb:
    """ESS/n of e^{A/beta}."""
    raw = [(a.ball() / balls.ball(beta)).exp() for a in advantages]
    total = sum(raw, arb(0))
    return total * total / sum((w * w for w in raw), arb(0)) / len(raw)


def perplexity_fraction(advantages: list[LogNumber], beta: Any) -> arb:
    """e^{-KL(w || uniform)} of e^{A/beta}."""
    raw = [(a.ball() / balls.ball(beta)).exp() for a in advantages]
    total = sum(raw, arb(0))
    entropy = arb(0)
    for weight, a in zip(raw, advantages, strict=True):
        entropy -= weight / total * (a.ball() / balls.ball(beta) - total.log())
    return entropy.exp() / len(raw)


def gap(advantages: list[LogNumber]) -> arb:
    """How far the best advantage is above the second best."""
    return min((-a.ball() for a in advantages if a != 0), key=float)


def spread(advantages: list[LogNumber]) -> arb:
    """The range R of the advantages, whose largest is 0."""
    return max((-a.ball() for a in advantages), key=float)


def bracket_low(n: int, m: int, gap_: arb, alpha: fmpq) -> arb:
    """gap / log((n - m)/(sqrt(alpha m n) - m))."""
    return gap_ / ((n - m) / (sqrt(alpha * m * n) - m)).log()


def bracket_high(range_: arb, alpha: fmpq) -> arb:
    """R / (2 arcosh(alpha^{-1/2}))."""
    return range_ / (2 * (1 / sqrt(alpha)).acosh())


@claim(
    "BET-03",
    source=("toolkit", "001 (its target E_target = α|B|)"),
    statement="The temperature at which ESS is exactly αn.",
    formula=(
        "unique β for m < αn < n;  gap/log((n−m)/(√(αmn)−m)) ≤ β ≤ R/(2 arcosh(α^{−1/2}));  ESS target = χ²-ball of "
        "radius 1/α − 1;  ESS/n ≤ e^{−KL}"
    ),
    stated={"bracket": THEOREM, "balls": THEOREM},
    corrected="Bisection on that bracket is stateless and exact; it replaces every feedback rule for β.",
    method="S+Q+B+P",
    derivation=(
        "ESS(β) increases strictly from m to n (ESS-02), so αn between them is met once.",
        "Let the best m weigh 1 and the others sum to r ≤ (n−m)e^{−gap/β}. ESS ≤ (m + r)²/m; if ESS = αn then "
        "r ≥ √(αmn) − m. Solve for β: the lower end (where √(αmn) > m, that is αn > m).",
        "ESS/n ≥ 1/cosh²(R/2β) (BET-04); if ESS = αn then cosh(R/2β) ≥ α^{−1/2}: the upper end.",
        "E w² − 1 = E(w−1)² at mean one, and n/ESS = E w²: the χ²-ball. −KL = E w log(1/w) ≥ −log E w² by Jensen.",
        "A = (0, 0, −log 3), α = 49/57: n = 3, m = 2, and ESS = (7/3)²/(19/9) = 49/19 at β = 1.",
    ),
    twins={
        "upper end without the 2": {"high": lambda r, alpha: r / (4 * (1 / sqrt(alpha)).acosh())},
        "upper end with alpha^-1": {"high": lambda r, alpha: r / (2 * balls.ball(1 / alpha).acosh())},
        "lower end without the square root": {
            "low": lambda n, m, g, alpha: g / (balls.ball(n - m) / (alpha * n - m)).log() * 3
        },
        "lower end with the range": {"low": lambda n, m, g, alpha: 40 * bracket_low(n, m, g, alpha)},
        "radius 1/alpha": {"radius": lambda alpha: 1 / alpha},
        "ESS above the perplexity": {"order": lambda ess, perplexity: ess > perplexity},
    },
)
def bet_03(
    case: Case,
    *,
    low: Any = bracket_low,
    high: Any = bracket_high,
    radius: Any = lambda alpha: 1 / alpha - 1,
    order: Any = lambda ess, perplexity: ess <= perplexity,
) -> None:
    """The fraction at both ends of the bracket on a family; one exact instance; the two balls."""
    part, ends, rising, ordered = "bracket", [], [], []
    with balls.precision(320):
        for n, m, advantages in samples(40, 43):
            for share in (fmpq(1, 20), fmpq(1, 2), fmpq(19, 20)):
                alpha = (m + share * (n - m)) / n
                below, above = low(n, m, gap(advantages), alpha), high(spread(advantages), alpha)
                at_low, at_high = fraction(advantages, below), fraction(advantages, above)
                tiny = arb(10) ** (-60)
                holds = bool(below > 0 and at_low <= balls.ball(alpha) + tiny and at_high >= balls.ball(alpha) - tiny)
                shown = f"n={n}, m={m}, α={alpha}: ESS/n {balls.short(at_low, 4)} and {balls.short(at_high, 4)}"
                ends.append(Answer(holds, shown))
            scale = spread(advantages)
            series = [fraction(advantages, scale * fmpq(k, 8)) for k in (1, 2, 4, 8, 32)]
            rising.append(Answer(all(bool(a < b) for a, b in itertools.pairwise(series))))
            for k in (1, 4, 32):
                beta = scale * fmpq(k, 8)
                ess, perplexity = fraction(advantages, beta), perplexity_fraction(advantages, beta)
                ordered.append(
                    Answer(
                        bool(order(ess, perplexity)), f"ESS/n {balls.short(ess, 6)}, e^−KL {balls.short(perplexity, 6)}"
                    )
                )
    case.theorem("P", "ESS/n ≤ α at the lower end, ≥ α at the upper", every(ends), part=part)
    case.theorem("P", "ESS rises strictly with β, so β is unique", every(rising), part=part)
    exact = [LogNumber.of(0), LogNumber.of(0), LogNumber.log(fmpq(1, 3))]
    alpha = fmpq(49, 57)
    with balls.precision(128):
        below, above = low(3, 2, gap(exact), alpha), high(spread(exact), alpha)
        holds = below <= 1 and above >= 1
    data = Law((fmpq(1, 3),) * 3, tuple(exact))
    weights = data.normalised(lambda z: z.exp())
    second = data.expect([w * w for w in weights])
    case.theorem(
        "B",
        "A = (0, 0, −log 3), α = 49/57: the exact β = 1 lies in the bracket",
        bool(holds) and 1 / second == alpha,
        f"[{balls.short(below, 6)}, {balls.short(above, 6)}]",
        part=part,
    )

    part = "balls"
    distance = data.expect([(w - 1) * (w - 1) for w in weights])
    case.theorem(
        "Q",
        "χ² of the weights is 1/α − 1 where ESS = αn",
        distance == radius(1 / second),
        f"χ² = {distance}, ESS/n = {1 / second}",
        part=part,
    )
    (w,) = positive("w")
    mean, square = real("mean square")
    case.theorem(
        "S", "E(w−1)² = E w² − 1 at mean one", vanishes((square - 2 * mean + 1).subs(mean, 1) - (square - 1)), part=part
    )
    concave = sign(sympy.diff(sympy.log(w), w, 2), -1)
    case.theorem("S", "log is concave: E_d log w ≤ log E_d w, so KL ≤ log E w²", concave, part=part)
    case.theorem("P", "ESS/n ≤ e^{−KL}", every(ordered), part=part)
    case.comparison(
        "B", "reference.beta_for_effective_sample_fraction", under_test.temperature_for_samples(), part="bracket"
    )


@claim(
    "BET-04",
    source="toolkit",
    statement="The effective sample size cannot fall below a bound that knows only the range of the advantages.",
    formula="ESS/n ≥ 4k/(1+k)² = 1/cosh²(R/2β),  k = e^{R/β}",
    stated=THEOREM,
    corrected="Tight when a fraction 1/(1+k) of the samples has the top weight: k = 9 gives 9/25.",
    method="S+Q+P",
    derivation=(
        "Scale the weights into [1, k]: (w − 1)(k − w) ≥ 0, so E w² ≤ (1+k)E w − k.",
        "With x = E w: ESS/n = x²/E w² ≥ x²/((1+k)x − k), and x²/((1+k)x − k) − 4k/(1+k)² = "
        "((1+k)x − 2k)²/((1+k)²((1+k)x − k)) ≥ 0.",
        "Equality needs w ∈ {1, k} and x = 2k/(1+k): the weight k on a fraction 1/(1+k).",
        "4k/(1+k)² = 4/(k^{1/2} + k^{−1/2})² = 1/cosh²(R/2β).",
    ),
    twins={
        "2k/(1+k)^2": {"floor": lambda k: 2 * k / (1 + k) ** 2},
        "8k/(1+k)^2": {"floor": lambda k: 8 * k / (1 + k) ** 2},
        "cosh of R/beta": {"hyperbolic": lambda x: 1 / sympy.cosh(x) ** 2},
        "cosh without the square": {"hyperbolic": lambda x: 1 / sympy.cosh(x / 2)},
        "tight at 1/2": {"share": lambda k: k / k / 2},
        "tight at k/(1+k)": {"share": lambda k: k / (1 + k)},
    },
)
def bet_04(
    case: Case,
    *,
    floor: Any = lambda k: 4 * k / (1 + k) ** 2,
    hyperbolic: Any = lambda x: 1 / sympy.cosh(x / 2) ** 2,
    share: Any = lambda k: 1 / (1 + k),
) -> None:
    """The two identities behind the bound in symbols; the tight case exactly; a family of exact laws."""
    k, s, slack = positive("k s t")
    x = 1 + slack
    w = 1 + s
    product = (w - 1) * (k - w)
    case.theorem("S", "(w−1)(k−w) = (1+k)w − k − w²", equal(product, (1 + k) * w - k - w**2))
    above = x**2 / ((1 + k) * x - k) - floor(k)
    square = ((1 + k) * x - 2 * k) ** 2 / ((1 + k) ** 2 * ((1 + k) * x - k))
    case.theorem("S", "x²/((1+k)x − k) − 4k/(1+k)² is a square over a positive number", equal(above, square))
    positive_denominator = sign(sympy.expand((1 + k) * x - k), 1)
    case.support("S", "(1+k)x − k > 0 for x ≥ 1", positive_denominator)
    (r,) = real("r")
    expanded = (hyperbolic(r) - floor(sympy.exp(r))).rewrite(sympy.exp)
    case.theorem("S", "4k/(1+k)² = 1/cosh²(R/2β) at k = e^{R/β}", vanishes(sympy.simplify(expanded)))
    q = share(k)
    tight = (1 - q + q * k) ** 2 / (1 - q + q * k**2)
    case.theorem("S", "attained with the weight k on the fraction 1/(1+k)", equal(tight, floor(k)))
    part = share(fmpq(9))
    seen = (1 - part + 9 * part) ** 2 / (1 - part + 81 * part)
    case.theorem(
        "Q",
        "k = 9: ESS/n = 9/25",
        seen == fmpq(9, 25) == floor(fmpq(9)),
        f"top weight on {part} of the samples: {seen}",
    )
    answers = []
    for data in instances.laws(40, seed=44):
        raw = data.exponentials
        ratio = max(raw) / min(raw)
        ess = data.expect(raw) ** 2 / data.expect([e * e for e in raw])
        answers.append(
            Answer(
                bool(ess >= floor(ratio)),
                f"k={balls.short(ratio)}: ESS/n {balls.short(ess)} ≥ {balls.short(floor(ratio))}",
            )
        )
    case.theorem("P", "on exact laws", every(answers))
    case.comparison("B", "reference.effective_sample_floor", under_test.sample_floor())
