"""The update law of source 001 far from its fixed point: it latches at a bound (ESS-04), at known rates (ESS-06)."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from flint import arb, fmpq

from proofs import balls, literal, under_test
from proofs.claim import claim
from proofs.ess import samples
from proofs.ess.samples import BOUNDS, SUGGESTED, shown
from proofs.evidence import Answer, Case, every
from proofs.exact import LogNumber
from proofs.verdict import FALSE, THEOREM, TRUE

Exponent = Callable[[Any, Any, Any], Any]
BITS = 192


@dataclasses.dataclass(frozen=True)
class Orbit:
    """A run of the literal loop in balls: the states (hatE, beta), and whether the last beta is exactly a bound."""

    states: tuple[tuple[arb, arb], ...]
    latched: bool

    @property
    def steps(self) -> int:
        """How many iterations were made."""
        return len(self.states) - 1


def run(
    size: Callable[[arb], arb],
    start: Any,
    target: Any,
    exponent: Exponent,
    bounds: tuple[fmpq, fmpq] = BOUNDS,
    limit: int = 400,
) -> Orbit:
    """The literal loop from beta = `start`, hatE = ESS(start), until beta is clipped or `limit` iterations are made."""
    low, high = balls.ball(bounds[0]), balls.ball(bounds[1])
    states = [(size(balls.ball(start)), balls.ball(start))]
    while len(states) <= limit:
        states.append(advance(size, states[-1], target, exponent, (low, high)))
        if is_bound(states[-1][1], (low, high)):
            return Orbit(tuple(states), True)
    return Orbit(tuple(states), False)


def advance(size: Any, state: tuple[arb, arb], target: Any, exponent: Exponent, bounds: Any) -> tuple[arb, arb]:
    """One iteration of the literal loop at the suggested rate and smoothing, in balls."""
    return literal.adaptive_beta(
        state[0],
        state[1],
        size,
        target=balls.ball(target),
        eta=balls.ball(SUGGESTED["eta"]),
        rho=balls.ball(SUGGESTED["rho"]),
        bounds=bounds,
        exponent=exponent,
    )


def is_bound(beta: arb, bounds: tuple[arb, arb]) -> bool:
    """Whether a beta is a bound itself and not merely next to it: a clipped ball is the bound, digit for digit."""
    return any(beta.mid() == end.mid() and beta.rad() == end.rad() for end in bounds)


def batch(errors: Sequence[LogNumber]) -> Callable[[arb], arb]:
    """ESS of exp(delta/beta) on a batch, in balls."""
    values = [balls.ball(delta) for delta in errors]
    return lambda beta: literal.batch_effective_sample_size(values, beta)


def certainly_monotone(values: Sequence[arb], upward: bool) -> bool:
    """Whether balls certainly increase (or decrease) from each to the next."""
    return all(bool(a < b) if upward else bool(b < a) for a, b in itertools.pairwise(values))


@functools.cache
def gaussian_runs(exponent: Exponent) -> tuple[str, bool]:
    """n = 256, target 128: starts 3% below and above beta*, and at 1; a description, and whether each latched."""
    with balls.precision(BITS):
        middle = balls.root(lambda beta: 128 - samples.gaussian_size(beta, 256), 1, fmpq(4, 3), 96)
        found, latched = [f"β*={balls.short(middle, 5)}"], True
        starts = {"0.97β*": fmpq(97, 100) * middle, "1.03β*": fmpq(103, 100) * middle, "1": balls.ball(1)}
        for name, start in starts.items():
            orbit = run(lambda beta: samples.gaussian_size(beta, 256), start, 128, exponent, limit=200)
            end = orbit.states[-1][1]
            size = samples.gaussian_size(end, 256)
            found.append(
                f"from {name}: β={balls.short(end, 3)}, ESS={balls.short(size, 4)} after {orbit.steps} iterations"
            )
            latched &= orbit.latched
    return "; ".join(found), latched


FOUR = tuple(LogNumber.log(q) for q in (1, 4, 64))
"""TD errors whose weights are rational at beta = 1/2, 1 and 2."""

CRASHES = {"T above ESS(1)": fmpq(3, 2), "T below ESS(1)": fmpq(101, 100)}


def exact_iteration(estimate: fmpq, beta: fmpq, target: fmpq, exponent: Exponent) -> tuple[fmpq, fmpq]:
    """One iteration on FOUR with eta = 5, rho = 1/20 and bounds 1/2 and 2, exact where the clip decides beta.

    ValueError where it does not, because exp(exponent) is irrational.
    """
    size = literal.effective_sample_size([(delta / beta).exp() for delta in FOUR])
    estimate = literal.smoothed_size(estimate, size, SUGGESTED["rho"])
    free = LogNumber.log(beta) + exponent(estimate, target, fmpq(5))
    for bound, beyond in ((fmpq(1, 2), free <= -LogNumber.log(2)), (fmpq(2), free >= LogNumber.log(2))):
        if beyond:
            return estimate, bound
    raise ValueError(f"β e^x lies between the bounds for β={beta}, Ê={estimate}")


def hitting_bound(distance: LogNumber, eta: fmpq, excess: fmpq) -> int:
    """The smallest integer of at least distance / (eta excess), exactly."""
    quotient = distance / (eta * excess)
    steps = int(float(quotient.ball().mid()))
    while quotient > steps:
        steps += 1
    while quotient <= steps - 1:
        steps -= 1
    return steps


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
