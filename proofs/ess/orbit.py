"""The update law of source 001 far from its fixed point: it latches at a bound (ESS-04), at known rates (ESS-06)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flint import fmpq

from proofs import balls, literal, under_test
from proofs.claim import claim
from proofs.ess import samples
from proofs.ess.iteration import (
    BITS,
    CRASHES,
    FOUR,
    advance,
    batch,
    certainly_monotone,
    exact_iteration,
    gaussian_runs,
    hitting_bound,
    is_bound,
    run,
)
from proofs.ess.samples import BOUNDS, SUGGESTED, shown
from proofs.evidence import Answer, Case, every
from proofs.exact import LogNumber
from proofs.verdict import FALSE, THEOREM, TRUE


@claim(
    "ESS-04",
    source=("001 adaptive rule", "001 pseudo-code"),
    statement="The rule is a controller: from where it starts, β moves so that ESS approaches its target.",
    formula="|ESS(β_t) − T| → 0",
    stated=FALSE,
    corrected=(
        "The map (Ê, β) ↦ next preserves the order. If Ê₀ = ESS(β₀) > T, both increase for ever and β sits at β_max "
        "after at most ⌈log(β_max/β₀)/(η(Ê₀/T − 1))⌉ iterations; symmetrically at β_min if Ê₀ < T."
    ),
    method="P+Q",
    derivation=(
        "For fixed δ, Ê' increases with Ê and, by ESS-02, with β; β' increases with β and Ê'. So the map preserves the "
        "order, and if the first step goes up, so does every later one, and likewise down.",
        "Going up, Ê_t ≥ Ê₀, so each factor of β is at least exp(η(Ê₀/T − 1)): the bound on the number of steps.",
        "At β_max the exponent stays positive: the bound is never left.",
        "δ = (0, log 4, log 64), β₀ = 1: ESS(½), ESS(1), ESS(2) = 1.008, 1.158, 1.754. With T = 3/2 < ESS(2) the rule "
        "goes down to ½, with T = 1.01 > ESS(½) up to 2: away from T both times.",
    ),
    twins={
        "the sign reversed": {"exponent": lambda estimate, target, eta: -literal.beta_exponent(estimate, target, eta)},
        "the hitting bound without eta": {
            "hitting": lambda distance, eta, excess: hitting_bound(distance, fmpq(1), excess)
        },
        "a hitting bound six times too small": {
            "hitting": lambda distance, eta, excess: hitting_bound(distance, eta, 6 * excess)
        },
    },
)
def ess_04(case: Case, *, exponent: Any = literal.beta_exponent, hitting: Any = hitting_bound) -> None:
    """One exact iteration towards each bound; orbits of a family in balls; order and hitting times."""
    sizes = {beta: literal.effective_sample_size([(d / beta).exp() for d in FOUR]) for beta in (fmpq(1, 2), 1, fmpq(2))}
    for name, target in CRASHES.items():
        _, beta = exact_iteration(sizes[1], fmpq(1), target, exponent)
        case.claimed(
            "Q",
            f"ESS is nearer to T after one iteration, {name}",
            abs(sizes[beta] - target) < abs(sizes[1] - target),
            f"T={target}: β=1 → {beta}, ESS={balls.short(balls.ball(sizes[1]), 5)} → "
            f"{balls.short(balls.ball(sizes[beta]), 5)}",
        )

    def starts() -> list[tuple[Sequence[LogNumber], fmpq, fmpq]]:
        found = []
        for index, delta in enumerate(samples.errors(9, seed=4)):
            size = literal.effective_sample_size([d.exp() for d in delta])
            found.append((delta, size, size * (fmpq(5, 6) if index % 2 else fmpq(5, 4))))
        return found

    narrow = (fmpq(1, 10), fmpq(10))

    def approaches(delta: Sequence[LogNumber], size: fmpq, target: fmpq) -> Answer:
        with balls.precision(BITS):
            measure = batch(delta)
            orbit = run(measure, 1, target, exponent, narrow, limit=130)
            last = measure(orbit.states[-1][1])
            nearer = balls.less(abs(last - balls.ball(target)), balls.ball(abs(size - target)))
            return Answer(
                nearer,
                f"δ={shown(delta)}, T={balls.short(target)}: ESS {balls.short(size)} → {balls.short(last, 4)} at "
                f"β={balls.short(orbit.states[-1][1], 3)} after {orbit.steps} iterations",
            )

    case.claimed("P", "ESS ends nearer to T than it began", every(approaches(*item) for item in starts()))
    text, latched = gaussian_runs(exponent)
    case.claimed("P", "256 Gaussian δ at α = ½: β comes to rest between its bounds", not latched, text)

    printed = literal.beta_exponent
    for name, target in CRASHES.items():
        estimate, beta = exact_iteration(sizes[1], fmpq(1), target, printed)
        later = [beta]
        for _ in range(3):
            estimate, beta = exact_iteration(estimate, beta, target, printed)
            later.append(beta)
        case.corrected(
            "Q", f"the bound is absorbing, {name}", len(set(later)) == 1, f"β = {', '.join(map(str, later))}"
        )

    def latches(delta: Sequence[LogNumber], size: fmpq, target: fmpq) -> Answer:
        with balls.precision(BITS):
            measure, upward = batch(delta), size > target
            orbit = run(measure, 1, target, printed, narrow)
            allowed = hitting(LogNumber.log(10), SUGGESTED["eta"], abs(size / target - 1))
            estimates = [
                estimate for estimate, _ in orbit.states[1:]
            ]  # the first step leaves hatE = ESS(beta) as it is
            path = [beta for _, beta in orbit.states], estimates
            monotone = all(certainly_monotone(values, upward) for values in path)
            stays = advance(measure, orbit.states[-1], target, printed, tuple(map(balls.ball, narrow)))
            held = is_bound(stays[1], (balls.ball(narrow[0]), balls.ball(narrow[1])))
        return Answer(
            orbit.latched and monotone and held and orbit.steps <= allowed,
            f"δ={shown(delta)}: {orbit.steps} iterations, bound {allowed}",
        )

    case.corrected("P", "monotone, latched within the bound, and held", every(latches(*item) for item in starts()))

    def ordered(delta: Sequence[LogNumber], size: fmpq, target: fmpq) -> Answer:
        with balls.precision(BITS):
            pairs = [
                ((size, 1), (size + fmpq(1, 9), 1)),
                ((size, 1), (size, fmpq(10, 9))),
                ((size, fmpq(1, 7)), (2 * size, 3)),
            ]
            for pair in pairs:
                lower, upper = (
                    advance(batch(delta), (balls.ball(e), balls.ball(b)), target, printed, None) for e, b in pair
                )
                if not all(bool(a < b) for a, b in zip(lower, upper, strict=True)):
                    return Answer(False, f"δ={shown(delta)}: {pair}")
        return Answer(True)

    case.corrected("P", "the map preserves the order of (Ê, β)", every(ordered(*item) for item in starts()))


@claim(
    "ESS-06",
    source="001 adaptive rule",
    statement="The exponential update keeps β positive and adjusts it in relative proportion.",
    formula="β' = β e^x > 0;  x = η(Ê/T − 1) ∈ [−η(1 − 1/(αn)), η(1/α − 1)] for T = αn",
    stated={"positive": TRUE, "rates": THEOREM},
    corrected=(
        "The range is asymmetric. At α = ½, n = 256, η = 0.1 it is [−127/1280, 1/10], and no fewer than 93 iterations "
        "take β from 10⁻³ to 10."
    ),
    method="Q",
    derivation=(
        "e^x ≥ (1 + x/k)^k > 0 for k > |x|; and β e^x/β does not depend on β.",
        "1 ≤ ESS ≤ n (ESS-01), and Ê is an average of such numbers and of its start, so Ê ∈ [1, n].",
        "x increases with Ê: at Ê = 1 it is η(1/(αn) − 1), at Ê = n it is η(1/α − 1).",
        "log(10/10⁻³) = log 10⁴ = 9.21; at most 1/10 in each iteration: 93 of them.",
    ),
    twins={
        "an additive update": {"update": lambda beta, x: beta + x},
        "the lower end without 1/(αn)": {"least": lambda eta, alpha, n: -eta},
        "the upper end 1/α": {"most": lambda eta, alpha, n: eta / alpha},
        "the upper end 1 − α": {"most": lambda eta, alpha, n: eta * (1 - alpha)},
    },
)
def ess_06(
    case: Case,
    *,
    update: Any = lambda beta, x: beta * (1 + x / 8) ** 8,
    least: Any = lambda eta, alpha, n: -eta * (1 - 1 / (alpha * n)),
    most: Any = lambda eta, alpha, n: eta * (1 / alpha - 1),
) -> None:
    """A rational lower bound of e^x; both ends of the exponent for a grid of parameters; the fewest iterations."""
    grid = [
        (eta, alpha, n)
        for eta in (fmpq(1, 20), fmpq(1, 10), fmpq(1, 5))
        for alpha in (fmpq(3, 10), fmpq(1, 2), fmpq(4, 5))
        for n in (32, 256)
    ]

    def positive(eta: fmpq, alpha: fmpq, n: int) -> Answer:
        for estimate in (fmpq(1), fmpq(n)):
            x = literal.beta_exponent(estimate, alpha * n, eta)
            if abs(x) >= 8:
                return Answer(None, f"(1 + x/8)^8 bounds e^x only for |x| < 8, saw {x}")
            low, high = (update(beta, x) / beta for beta in BOUNDS)
            if not (low > 0 and low == high):
                return Answer(False, f"x={x}: factors {low} at β={BOUNDS[0]} and {high} at β={BOUNDS[1]}")
        return Answer(True)

    case.claimed(
        "Q", "β' > 0, by a factor that does not depend on β", every(positive(*p) for p in grid), part="positive"
    )

    def ends(eta: fmpq, alpha: fmpq, n: int) -> Answer:
        seen = [literal.beta_exponent(fmpq(e), alpha * n, eta) for e in (1, n)]
        stated = [least(eta, alpha, n), most(eta, alpha, n)]
        return Answer(seen == stated, f"η={eta}, α={alpha}, n={n}: {shown(seen)}, stated {shown(stated)}")

    part = "rates"
    case.theorem("Q", "the exponent at Ê = 1 and at Ê = n", every(ends(*p) for p in grid), part=part)
    low, high = least(fmpq(1, 10), fmpq(1, 2), 256), most(fmpq(1, 10), fmpq(1, 2), 256)
    numbers = low == fmpq(-127, 1280) and high == fmpq(1, 10)
    case.theorem("Q", "at α = ½, n = 256, η = 0.1", numbers, f"[{low}, {high}]", part=part)
    distance = LogNumber.log(BOUNDS[1] / BOUNDS[0])
    steps = hitting_bound(distance, fmpq(1), high)
    case.theorem(
        "Q",
        "no fewer than 93 iterations take β from 10⁻³ to 10",
        bool(92 * high < distance <= 93 * high),
        f"log 10⁴ = {distance.decimal(4)}, {steps} iterations",
        part=part,
    )
    comparison = under_test.rates()
    case.comparison("B", "reference.temperature_feedback, rates and hitting times", comparison, part=part)
