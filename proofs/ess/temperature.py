"""How the effective sample size of exp(delta / beta) depends on beta (ESS-02, ESS-09, ESS-10)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import sympy
from flint import fmpq

from proofs import balls, literal, under_test
from proofs.claim import claim
from proofs.ess import samples
from proofs.ess.samples import shown, tilted, total
from proofs.evidence import Answer, Case, every
from proofs.exact import LogNumber
from proofs.symbolic import equal, positive, real, sign, summed, vanishes
from proofs.verdict import FALSE, THEOREM, TRUE, true_if


def tilted_mean(delta: Sequence[Any], x: Sequence[Any], power: int = 1) -> Any:
    """m(power t): the mean of delta under weights x^power, x = e^{t delta}."""
    return summed(d * y**power for d, y in zip(delta, x, strict=True)) / summed(y**power for y in x)


def along(expression: Any, delta: Sequence[Any], x: Sequence[Any]) -> Any:
    """d/dt of a function of x_i = e^{t delta_i}: each x_i moves at the rate delta_i x_i."""
    return summed(d * y * sympy.diff(expression, y) for d, y in zip(delta, x, strict=True))


@claim(
    "ESS-02",
    source="001 design idea",
    statement="A small β concentrates the weights (low ESS), a large β makes them uniform (high ESS).",
    formula="d log ESS/d log β = 2t(m(2t) − m(t)) > 0, t = 1/β, m the mean of δ under weights e^{tδ}",
    stated={"monotone": TRUE, "elasticity": THEOREM, "range": THEOREM, "Gaussian": THEOREM},
    corrected=(
        "Strictly, unless all δ are equal; from the multiplicity of the largest δ (β → 0) to n (β → ∞). For Gaussian δ "
        "of variance τ²: ESS/n = e^{−τ²/β²}, with elasticity 2 log(1/α) at ESS = αn."
    ),
    method="S+Q",
    derivation=(
        "With L(t) = log Σe^{tδ}: log ESS = 2L(t) − L(2t), and L' = m, so d log ESS/dt = 2(m(t) − m(2t)).",
        "m' is the variance of δ under the tilted weights. Equivalently, pair by pair, m(2t) − m(t) is a positive "
        "multiple of Σ_{i<j} x_i x_j (δ_i − δ_j)(x_i − x_j), x = e^{tδ}: no term is negative.",
        "δ = (0, log 2, log 8): weights (1, 2, 8) at β = 1, ESS = 121/69; (1, 4, 64) at β = ½, ESS = 529/457.",
        "Gaussian: log E e^{tδ} = τ²t²/2, so log(ESS/n) = τ²t² − 2τ²t² = −τ²t², whose elasticity in β is 2τ²t².",
    ),
    twins={
        "the inverse of ESS": {"size": lambda w: total([x * x for x in w]) / total(w) ** 2},
        "factor 2 dropped": {"elasticity": lambda twice, once: twice - once},
        "sign": {"elasticity": lambda twice, once: 2 * (once - twice)},
        "half the Gaussian exponent": {"gaussian": lambda t, tau: -((tau * t) ** 2) / 2},
        "the limit at β → 0 is 1": {"coldest": lambda ties: 1},
    },
)
def ess_02(
    case: Case,
    *,
    size: Any = literal.effective_sample_size,
    elasticity: Any = lambda twice, once: 2 * (twice - once),
    gaussian: Any = lambda t, tau: -((tau * t) ** 2),
    coldest: Any = lambda ties: ties,
) -> None:
    """The elasticity as an identity and its sign in symbols; the two ends; the Gaussian law; one exact batch."""
    delta, x = real("delta1 delta2 delta3"), positive("x1 x2 x3")
    whole = sympy.cancel(size(list(x)))
    slope = sympy.cancel(-along(whole, delta, x) / whole)
    once, twice = tilted_mean(delta, x), tilted_mean(delta, x, 2)

    # delta and e^{t delta} are ordered alike: delta = (d, d+p, d+p+q), x = (y, y+u, y+u+v) with positive p, q, u, v
    p, q, u, v = positive("p q u v")
    order = {delta[1]: delta[0] + p, delta[2]: delta[0] + p + q, x[1]: x[0] + u, x[2]: x[0] + u + v}
    case.claimed("S", "ESS increases with β", sign(slope.subs(order, simultaneous=True), 1), part="monotone")
    cold, warm = (size(list(tilted(samples.THREE, power))) for power in (2, 1))
    case.claimed(
        "Q",
        "ESS(β=1) > ESS(β=½) at δ=(0, log 2, log 8)",
        warm > cold,
        f"ESS(1)={warm}, ESS(1/2)={cold}",
        part="monotone",
    )
    part = "elasticity"
    log_partition = sympy.log(summed(x))
    squares = sympy.log(summed(y**2 for y in x))
    case.theorem("S", "log ESS = 2L(t) − L(2t)", equal(sympy.log(whole), 2 * log_partition - squares), part=part)
    case.theorem(
        "S", "β d log ESS/dβ = 2t(m(2t) − m(t))", vanishes(sympy.cancel(slope - elasticity(twice, once))), part=part
    )
    pairs = itertools.combinations(range(3), 2)
    spread = summed(x[i] * x[j] * (delta[i] - delta[j]) ** 2 for i, j in pairs) / summed(x) ** 2
    case.theorem("S", "dm/dt is the variance", vanishes(sympy.cancel(along(once, delta, x) - spread)), part=part)

    part = "range"
    (y,) = positive("y")
    ends = {"two ties": [1, 1, y], "no tie": [1, y, y**2]}
    for (name, weights), ties in zip(ends.items(), (2, 1), strict=True):
        limit = sympy.limit(size(weights), y, 0, "+")
        case.theorem(
            "S", f"β → 0: the multiplicity of max δ ({name})", vanishes(limit - coldest(ties)), f"{limit}", part=part
        )
    case.theorem("S", "β → ∞: n", vanishes(sympy.limit(size([1, y, y**2]), y, 1) - 3), part=part)

    part = "Gaussian"
    (t, tau), (z,) = positive("t tau"), real("z")
    square = t * z - z**2 / (2 * tau**2) + (z - tau**2 * t) ** 2 / (2 * tau**2)
    generating = tau**2 * t**2 / 2
    case.theorem("S", "log E e^{tδ} = τ²t²/2, completing the square", equal(square, generating), part=part)
    fraction = gaussian(t, tau)
    case.theorem(
        "S", "log ESS/n = 2L(t) − L(2t) = −τ²t²", equal(2 * generating - generating.subs(t, 2 * t), fraction), part=part
    )
    (alpha,) = positive("alpha")
    at_target = (-t * sympy.diff(fraction, t)).subs(t, sympy.sqrt(-sympy.log(alpha)) / tau)
    case.theorem(
        "S",
        "elasticity 2 log(1/α) at ESS = αn",
        equal(at_target, -2 * sympy.log(alpha)),
        f"{sympy.N(at_target.subs(alpha, sympy.Rational(1, 2)), 4)} at α = 1/2",
        part=part,
    )
    comparison = under_test.elasticity()
    case.comparison("B", "reference.concentration.effective_sample_elasticity", comparison, part="elasticity")


def estimator_variance(shares: Sequence[fmpq], scales: Sequence[fmpq]) -> fmpq:
    """Var(sum of shares_i scales_i eps_i) over independent fair signs eps, by enumeration."""
    outcomes = [
        total([s * c * e for s, c, e in zip(shares, scales, signs, strict=True)])
        for signs in itertools.product((fmpq(-1), fmpq(1)), repeat=len(shares))
    ]
    average = total(outcomes) / len(outcomes)
    return total([(value - average) ** 2 for value in outcomes]) / len(outcomes)


@claim(
    "ESS-09",
    source="001 bias-variance, §2",
    statement="A small β concentrates the weights, so the variance of the updates increases.",
    formula="Var(w) = n/ESS − 1 decreases in β;  Var(Σ w̄ f) = σ²/ESS",
    stated={"weights": TRUE, "estimator": true_if("the averaged quantity f is independent of the weights")},
    corrected="If the spread of f_i depends on w_i: Var(Σ w̄ f) = Σ w̄_i² σ_i², which may lie above or below σ²/ESS.",
    method="Q",
    derivation=(
        "With mean-one weights, E w² = n/ESS, so Var(w) = n/ESS − 1, which decreases in β by ESS-02. "
        "δ = (0, log 2, log 8): 86/121 at β = 1, 842/529 at β = ½.",
        "Independent f_i of variance σ²: Var(Σ w̄ f) = Σ w̄² σ² = σ²/ESS.",
        "Shares (1/10, 9/10) of f = ±1: 41/50 = 1/ESS. But with f = ±w, of mean square 41: 3281/50, not 1681/50.",
    ),
    twins={
        "n/ESS without the 1": {"variance": lambda n, size: n / size},
        "ESS/n − 1": {"variance": lambda n, size: size / n - 1},
        "σ²·ESS": {"predicted": lambda square, size: square * size},
        "σ²/n": {"predicted": lambda square, size: square / 2},
    },
)
def ess_09(
    case: Case,
    *,
    variance: Any = lambda n, size: n / size - 1,
    predicted: Any = lambda square, size: square / size,
) -> None:
    """Exact variances of mean-one weights at three temperatures; an estimator over all signs of its terms."""
    seen = []
    for power in (1, 2, 3):
        raw = tilted(samples.THREE, power)
        ratio = [w * len(raw) / total(raw) for w in raw]
        direct = total([(w - 1) ** 2 for w in ratio]) / len(ratio)
        stated = variance(fmpq(len(raw)), literal.effective_sample_size(raw))
        case.claimed("Q", f"Var(w) = n/ESS − 1 at β = 1/{power}", direct == stated, f"{direct}", part="weights")
        seen.append(stated)
    case.claimed(
        "Q",
        "it decreases in β",
        seen[0] < seen[1] < seen[2],
        f"β = 1, 1/2, 1/3: {', '.join(map(str, seen))}",
        part="weights",
    )

    def matches(scales: Callable[[fmpq], fmpq], raw: Sequence[fmpq]) -> Answer:
        shares = [w / total(raw) for w in raw]
        spread = [scales(w) for w in raw]
        square = total([c * c for c in spread]) / len(spread)
        truth = estimator_variance(shares, spread)
        formula = predicted(square, literal.effective_sample_size(raw))
        return Answer(truth == formula, f"w={shown(raw)}: variance {truth}, σ²/ESS = {formula}")

    batches = [(fmpq(1), fmpq(9)), tilted(samples.THREE, 1), tilted(samples.THREE, 2)]
    part = "estimator"
    case.within("Q", "f = ±1, whatever the weight", every(matches(lambda w: fmpq(1), b) for b in batches), part=part)
    case.outside("Q", "f = ±w: large where the weight is", matches(lambda w: w, batches[0]), part=part)
    case.outside("Q", "f = ±1/w: small where the weight is", matches(lambda w: 1 / w, batches[0]), part=part)
    shares = [fmpq(1, 10), fmpq(9, 10)]
    case.corrected(
        "Q",
        "Var(Σ w̄ f) = Σ w̄² σ_i² there too",
        estimator_variance(shares, [fmpq(1), fmpq(9)])
        == total([(s * c) ** 2 for s, c in zip(shares, (1, 9), strict=True)]),
        part=part,
    )


CLIPPED = (LogNumber.log(10), LogNumber.log(100))
ROOT_TEN = (fmpq(3162, 1000), fmpq(3163, 1000))
"""Rationals on both sides of the square root of 10."""


def clipped(weights: Sequence[fmpq]) -> list[fmpq]:
    """The clip to [1, 50] of the published launch scripts."""
    return [fmpq(literal.clip(w, fmpq(1), fmpq(50))) for w in weights]


@claim(
    "ESS-10",
    source="001 practical advice",
    statement="Batch-mean normalisation and clipping of w̃ only prevent overflow; ESS stays the signal it was.",
    formula="ESS(w̃/mean w̃) = ESS(w̃);  ESS(clip(w̃, 1, 50)) increases with β as ESS(w̃) does",
    stated={"normalisation": TRUE, "clipping": FALSE},
    corrected="Compute ESS on the unclipped (log-)weights; clip only what is used as a priority.",
    method="Q",
    derivation=(
        "ESS is invariant to w → cw (ESS-01); the batch mean is such a factor.",
        "u = clip(e^{δ/β}, 1, 50) with δ = (log 10, log 100). β = ½: (100, 10⁴) becomes (50, 50), ESS = 2. "
        "β = 1: (10, 100) becomes (10, 50), ESS = 18/13. β = 2: (√10, 10) is not clipped, ESS = 1 + 2√10/11 = 1.575.",
        "2 > 18/13 < 1.575: not monotone. With T = 3/2 the reported ESS at β = ½ exceeds T, so even the law with the "
        "right sign lowers β further and stays at the lower bound, where the true ESS is 1.",
    ),
    twins={
        "no clip": {"clip": list},
        "clipped so high that nothing is": {"clip": lambda w: [min(x, fmpq(10**6)) for x in w]},
        "normalised by subtracting the mean": {"normalise": lambda w: [x - total(w) / len(w) + 1 for x in w]},
        "the correction clips as well": {"right": clipped},
    },
)
def ess_10(
    case: Case,
    *,
    normalise: Any = lambda w: [x * len(w) / total(w) for x in w],
    clip: Any = clipped,
    right: Any = list,
) -> None:
    """Normalisation on a family; the clipped and the unclipped ESS at three temperatures, exactly."""
    size = literal.effective_sample_size
    case.claimed(
        "Q",
        "dividing by the batch mean leaves ESS unchanged",
        every(Answer(size(normalise(w)) == size(w), shown(w)) for w in samples.weights(20, seed=10)),
        part="normalisation",
    )
    case.support("Q", "3.162 < √10 < 3.163", ROOT_TEN[0] ** 2 < 10 < ROOT_TEN[1] ** 2, part="clipping")

    def sizes(treat: Callable[[Sequence[fmpq]], Sequence[fmpq]]) -> list[tuple[fmpq, fmpq]]:
        """Bounds of ESS at beta = 1/2, 1, 2; ESS of (r, 10) increases with r < 10, so the ends of √10 suffice."""
        exact = [size(treat(tilted(CLIPPED, power))) for power in (2, 1)]
        return [(exact[0], exact[0]), (exact[1], exact[1]), *[tuple(size(treat((r, fmpq(10)))) for r in ROOT_TEN)]]

    def increasing(found: Sequence[tuple[fmpq, fmpq]]) -> bool:
        return all(low[1] < high[0] for low, high in itertools.pairwise(found))

    def described(found: Sequence[tuple[fmpq, fmpq]]) -> str:
        return f"ESS(1/2)={found[0][0]}, ESS(1)={found[1][0]}, ESS(2)={balls.short(balls.ball(found[2][0]), 4)}"

    seen, true = sizes(clip), sizes(right)
    case.claimed("Q", "ESS of the clipped weights increases with β", increasing(seen), described(seen), part="clipping")
    case.corrected("Q", "ESS of the unclipped weights does", increasing(true), described(true), part="clipping")
    target = fmpq(3, 2)
    case.corrected(
        "Q",
        "at β = ½ and T = 3/2 the unclipped ESS asks for a larger β",
        true[0][1] < target,
        f"unclipped {true[0][0]} < 3/2; clipped {size(clipped(tilted(CLIPPED, 2)))} there and at every smaller β",
        part="clipping",
    )
