"""What the effective sample size measures, and what it does not (ESS-01, ESS-07, ESS-13)."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

from flint import fmpq

from proofs import balls, literal, under_test
from proofs.arithmetic import entropy_term
from proofs.claim import claim
from proofs.ess import samples
from proofs.ess.samples import moment_size, shown, total
from proofs.evidence import Answer, Case, every
from proofs.exact import LogNumber
from proofs.verdict import FALSE, TRUE, true_if


def squared_variation(values: Sequence[Any]) -> Any:
    """CV^2 = variance / mean^2, the variance over the whole batch (not n - 1)."""
    average = total(values) / len(values)
    return total([(w - average) ** 2 for w in values]) / len(values) / average**2


def chi_square(shares: Sequence[Any]) -> Any:
    """chi^2 of normalised weights to the uniform law."""
    uniform = fmpq(1, len(shares))
    return total([(share - uniform) ** 2 / uniform for share in shares])


def shannon(shares: Sequence[Any]) -> LogNumber:
    """H_1, the logarithm of the perplexity."""
    return -LogNumber.of(total([entropy_term(share) for share in shares]))


@claim(
    "ESS-01",
    source="001 choice of the indicator",
    statement="ESS = (Σw)²/Σw² = 1/Σw̄² measures how even the weights are: near |B| when uniform, small when peaked.",
    formula="ESS = (Σw)²/Σw² = 1/Σw̄² = n/(1+CV²) = n/(1+χ²) = exp(H₂(w̄)) ∈ [1, n], = n iff uniform",
    stated=TRUE,
    corrected="It is the Rényi perplexity of order 2: at most exp(H₁), and unchanged by w → cw.",
    method="Q+P",
    derivation=(
        "w̄ = w/Σw, so 1/Σw̄² = (Σw)²/Σw². The factor c of w → cw cancels.",
        "With mean m and variance v over the batch, (Σw)² = n²m² and Σw² = n(m² + v): ESS = n/(1 + v/m²). The "
        "chi-square divergence of w̄ to the uniform law is Σ(w̄ − 1/n)²·n = nΣw̄² − 1 = v/m².",
        "v ≥ 0 gives ESS ≤ n with equality iff all weights are equal; Σw̄² ≤ Σw̄ = 1 gives ESS ≥ 1.",
        "By Jensen log Σw̄·w̄ ≥ Σw̄ log w̄, that is H₂ ≤ H₁. Weights (1, 9): 100/82 = 50/41.",
    ),
    twins={
        "not normalised": {"size": lambda w: 1 / total([x * x for x in w])},
        "the square of the sum dropped": {"size": lambda w: total(w) / total([x * x for x in w])},
        "the inverse": {"size": lambda w: 1 / moment_size(w)},
        "1 − CV²": {"variation": lambda v, n: n * (1 - v)},
        "H₁ in the place of H₂": {"entropy": shannon},
    },
)
def ess_01(
    case: Case,
    *,
    size: Any = literal.effective_sample_size,
    variation: Any = lambda v, n: n / (1 + v),
    entropy: Any = lambda shares: -LogNumber.log(total([s * s for s in shares])),
) -> None:
    """Every identity and inequality on one exact batch, then on a family of them."""

    def described(w: Sequence[fmpq]) -> Answer:
        n, seen = len(w), size(w)
        shares = [x / total(w) for x in w]
        checks = {
            "(Σw)²/Σw²": seen == moment_size(w),
            "n/(1+CV²)": seen == variation(squared_variation(w), n),
            "n/(1+χ²)": seen == n / (1 + chi_square(shares)),
            "exp(H₂)": seen > 0 and LogNumber.log(seen) == entropy(shares),
            "1 ≤ ESS ≤ n": 1 <= seen <= n,
            "= n iff uniform": (seen == n) == (len({str(x) for x in w}) == 1),
            "≤ exp(H₁)": seen > 0 and LogNumber.log(seen) <= shannon(shares),
            "unchanged by w → 7w/3": size([x * fmpq(7, 3) for x in w]) == seen,
        }
        wrong = [name for name, holds in checks.items() if not holds]
        return Answer(not wrong, f"w={shown(w)}: ESS={balls.short(seen)}{f', but not {wrong}' if wrong else ''}")

    case.claimed("Q", "all forms agree, the range and the invariance", described((fmpq(1), fmpq(9))))
    case.claimed("P", "the same on a family of batches", every(described(w) for w in samples.weights(40, seed=1)))
    case.comparison("B", "reference.weights.effective_sample_size and perplexity", under_test.concentration())


ON_POLICY = (-LogNumber.log(3), LogNumber.log(3))
"""Rewards of a bandit with two arms, drawn by the uniform policy that is being evaluated."""


def bandit_fraction(rewards: Sequence[LogNumber], beta: fmpq) -> fmpq:
    """ESS/n of exp(δ/β) for an on-policy bandit: V = E r, δ = r − V."""
    average = total(rewards) / len(rewards)
    return literal.effective_sample_size([((r - average) / beta).exp() for r in rewards]) / len(rewards)


@claim(
    "ESS-07",
    source="001 choice of the indicator",
    statement="A low ESS shows that the buffer has shifted away from the policy; a high ESS that it is on-policy.",
    formula="ESS/n low ⇒ d_D ≠ d_π;  ESS/n high ⇒ d_D = d_π",
    stated={"low": FALSE, "high": FALSE},
    corrected=(
        "ESS measures the spread of δ/β and nothing else: ESS_{cδ+b}(cβ) = ESS_δ(β). Hence a correct ESS target makes "
        "β equivariant to scale and shift of the rewards; and ESS = n iff δ is constant on the batch."
    ),
    method="Q+P",
    derivation=(
        "A bandit whose data are drawn by the policy itself, rewards ±log 3, β = 1: δ = ±log 3 around V = 0, weights "
        "(1/3, 3), ESS/n = 25/41, although there is no shift at all. Rewards ±½ with β = ½ give 0.633.",
        "Rewards twice as large, same buffer and policy: weights (1/9, 9), ESS/n = 6724/13124 = 1681/3281.",
        "Rewards all equal: every δ is 0 and ESS = n, whatever data law and policy are.",
        "exp((cδ + b)/(cβ)) = e^{b/(cβ)} exp(δ/β): the constant factor cancels in ESS.",
    ),
    twins={
        "the ratio claimed low is that of equal rewards": {"rewards": (LogNumber.log(1), LogNumber.log(1))},
        "β not rescaled with δ": {"equivariant": lambda c, beta: beta},
        "β rescaled the wrong way": {"equivariant": lambda c, beta: beta / c},
    },
)
def ess_07(
    case: Case,
    *,
    rewards: Any = ON_POLICY,
    equivariant: Any = lambda c, beta: c * beta,
) -> None:
    """An on-policy bandit with a low ESS; an off-policy one with ESS = n; the equivariance on a family."""
    policy = data = (fmpq(1, 2), fmpq(1, 2))
    low, doubled = bandit_fraction(rewards, fmpq(1)), bandit_fraction([2 * r for r in rewards], fmpq(1))
    with balls.precision(128):
        half = balls.ball(fmpq(1, 2)) / balls.ball(fmpq(1, 2))
        other = literal.effective_sample_size([half.exp(), (-half).exp()]) / 2
        numbers = (
            f"d_D = d_π = (1/2, 1/2), rewards {', '.join(map(str, rewards))}: ESS/n = {low}; doubled: {doubled}; "
            f"rewards ±1/2 at β = 1/2: {balls.short(other, 3)}"
        )
    case.claimed(
        "Q", "a buffer with ESS/n < 2/3 is off-policy", not (low < fmpq(2, 3) and policy == data), numbers, "low"
    )
    case.corrected(
        "Q", "rescaling the rewards changes ESS, with buffer and policy unchanged", doubled < low < 1, part="low"
    )

    constant = (LogNumber.log(1), LogNumber.log(1))
    greedy = (fmpq(1), fmpq(0))
    high = bandit_fraction(constant, fmpq(1))
    shift = total([abs(p - d) for p, d in zip(greedy, data, strict=True)]) / 2
    case.claimed(
        "Q",
        "a buffer with ESS = n is on-policy",
        not (high == 1 and shift != 0),
        f"equal rewards, d_D=(1/2, 1/2), π=(1, 0): ESS/n = {high}, total variation {shift}",
        part="high",
    )

    def flat(delta: Sequence[LogNumber]) -> Answer:
        full = literal.effective_sample_size([d.exp() for d in delta]) == len(delta)
        return Answer(full == all(d == delta[0] for d in delta), shown(delta))

    family = list(samples.errors(30, seed=7))
    case.corrected("P", "ESS = n iff δ is constant", every(flat(d) for d in [constant, *family]), part="high")

    def same(delta: Sequence[LogNumber], c: int, b: LogNumber) -> Answer:
        here = literal.effective_sample_size([d.exp() for d in delta])
        beta = equivariant(fmpq(c), fmpq(1))
        there = literal.effective_sample_size([((c * d + b) / fmpq(beta)).exp() for d in delta])
        return Answer(here == there, f"δ={shown(delta)}, c={c}: {here} and {balls.short(there)}")

    case.corrected(
        "P",
        "ESS_{cδ+b}(cβ) = ESS_δ(β)",
        every(same(d, 2 + k % 3, LogNumber.log(32**12)) for k, d in enumerate(family)),
        part="low",
    )


@functools.cache
def mean_fraction(batch: int, low: int = 1, high: int = 9) -> fmpq:
    """E[ESS_B]/B for weights `low` or `high` with probability 1/2 each, by exact enumeration."""
    result = fmpq(0)
    for heavy in range(batch + 1):
        first = (batch - heavy) * low + heavy * high
        second = (batch - heavy) * low**2 + heavy * high**2
        result += fmpq(math.comb(batch, heavy), 2**batch) * fmpq(first**2, batch * second)
    return result


@claim(
    "ESS-13",
    source="001 practical advice",
    statement="ESS scales with the batch size |B|, so E_target = α|B| asks the same of every batch size.",
    formula="E[ESS_B]/B = E[w]²/E[w²]",
    stated=true_if("|B| is large"),
    corrected="E[ESS_B]/B exceeds the population's E[w]²/E[w²] and falls to it: small batches over-report ESS.",
    method="Q",
    derivation=(
        "ESS_B/B = m₁²/m₂ with the batch means of w and w². x²/y is jointly convex, so by Jensen the mean over "
        "batches is at least E[w]²/E[w²].",
        "For weights 1 or 9, m₁²/m₂ = h(k/B) with k heavy samples and h(p) = (1+8p)²/(1+80p) convex: E h(k/B) is a "
        "Bernstein polynomial of a convex function, which falls with B to h(½) = 25/41.",
        "Enumerating: 1, 33/41 = 0.8049, 0.6616, 0.6161 for B = 1, 2, 4, 8; the population has 0.6098.",
    ),
    twins={
        "the population value of the mean weight": {"population": lambda w: fmpq(total(w), len(w))},
        "the ratio of means without the square": {"population": lambda w: fmpq(total(w), total([x * x for x in w]))},
        "from below": {"order": lambda smaller, larger: smaller < larger},
    },
)
def ess_13(
    case: Case,
    *,
    population: Any = lambda w: fmpq(total(w)) ** 2 / (len(w) * total([x * x for x in w])),
    order: Any = lambda smaller, larger: smaller > larger,
) -> None:
    """Exact enumeration for |B| up to 64, and every batch of one to four samples drawn one by one."""
    limit = population((1, 9))
    near = fmpq(1, 100)
    for batch in (16, 64):
        seen = mean_fraction(batch)
        case.within(
            "Q",
            f"|B| = {batch}: within 1% of the population's fraction",
            abs(seen / limit - 1) < near,
            f"E[ESS_B]/B = {balls.short(seen, 4)}, population {limit} = {balls.short(balls.ball(limit), 4)}",
        )
    small = [mean_fraction(batch) for batch in (1, 2, 4, 8)]
    case.outside(
        "Q",
        "the same at |B| = 1, 2, 4",
        all(abs(seen / limit - 1) < near for seen in small[:3]),
        f"E[ESS_B]/B = {', '.join(balls.short(balls.ball(s), 4) for s in small)} at |B| = 1, 2, 4, 8",
    )
    listed = [
        total(
            [literal.effective_sample_size([fmpq(w) for w in batch]) for batch in itertools.product((1, 9), repeat=b)]
        )
        / (2**b * b)
        for b in (1, 2, 4)
    ]
    case.support("Q", "the enumeration by count is that of every batch", listed == small[:3])
    fractions = [mean_fraction(batch) for batch in range(1, 41)]
    case.corrected(
        "Q",
        "above the population's at every |B| ≤ 40, and falling",
        all(order(a, b) for a, b in itertools.pairwise(fractions)) and all(order(f, fmpq(25, 41)) for f in fractions),
        f"25/41 < {balls.short(balls.ball(fractions[-1]), 6)} at |B| = 40",
    )
