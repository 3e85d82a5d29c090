"""The flow problem and its dual (OCC-01), what normalises its ratio (OCC-02), and bounds from both sides (OCC-10)."""

from __future__ import annotations

import functools
import random
from typing import Any

import sympy
from flint import arb, fmpq

from proofs import balls, under_test
from proofs.arithmetic import exp, log
from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.exact import mean
from proofs.generators import JS, KL, KL0
from proofs.occ import cone, worlds
from proofs.occ.flow import FlowProblem, bounds, enclose, newton, occupancy_of
from proofs.symbolic import equal, positive, real, summed, vanishes
from proofs.verdict import THEOREM, TRUE

WIDTH = fmpq(11, 10**31)
"""1.1e-30: how wide an enclosure of an optimal value may be."""


@functools.lru_cache(maxsize=64)
def exact_values(problem: FlowProblem) -> tuple[arb, ...]:
    """Balls that contain the exact dual optimum."""
    return enclose(problem, newton(problem))


def narrow(gap: arb) -> Answer:
    """Whether upper − lower is below 1.1e-30 and not negative (as far as its ball, narrower still, can tell)."""
    return Answer(bool(not gap < 0 and gap < balls.ball(WIDTH)), f"upper − lower {balls.short(gap.mid(), 3)}")


def closes(problem: FlowProblem, ratios: Any) -> Answer:
    """Whether D w satisfies the flow equations, for w computed from balls around V*."""
    with balls.precision(192):
        residuals = [balls.ball(r) for r in problem.residual([m * w for m, w in zip(problem.law, ratios, strict=True)])]
        answers = [balls.vanishes_within(r, fmpq(1, 10**20)) for r in residuals]
        worst = max(residuals, key=lambda ball: float(abs(ball).upper()))
        holds = False if False in answers else None if None in answers else True
    return Answer(holds, f"{problem.generator.name}: largest flow residual {balls.short(abs(worst).upper(), 2)}")


@claim(
    "OCC-01",
    source=("001 (related work)", "001 §1"),
    statement=(
        "Carried into the dual, the f-divergence-regularised RL objective has an optimal occupancy ratio that is a "
        "function of the TD error."
    ),
    formula="w* = d*/D = (f*)'(δ_{V*}/β),  V* = argmin_V (1−γ)E_{μ0}V + βE_D f*(δ_V/β)",
    stated=TRUE,
    corrected="It holds at the minimiser V* of the dual; at another V, (f*)'(δ_V/β) is no ratio of an occupancy.",
    method="C+B",
    derivation=(
        "Lagrangian of the flow problem with multiplier V(s) for the flow equation of s: Σ d r + (1−γ)E_{μ0}V + "
        "Σ d(γPV − V) − βE_D f(d/D) = (1−γ)E_{μ0}V + E_D[w δ_V − βf(w)].",
        "The maximum over w ≥ 0, pair by pair, is βf*(δ_V/β), attained at w = (f*)'(δ_V/β): weak duality.",
        "The gradient of the dual in V is minus the flow residual of D(f*)'(δ_V/β): where it vanishes this w is "
        "feasible, and both values agree. Slater's condition (a flow-feasible d > 0 with finite f) makes V* exist.",
        "Checked on five states and three actions, γ = 9/10, β = 3/10, six generators, D an occupancy and D none.",
    ),
    twins={
        "the factor 1-gamma dropped": {"dual": lambda p, v: p.dual(v) + p.process.discount * p.start(v)},
        "the penalty with the opposite sign": {"dual": lambda p, v: 2 * p.start(v) - p.dual(v)},
        "beta dropped from the ratio": {"ratio": lambda f, delta, beta: f.ratio(delta)},
        "sign of the TD error": {"ratio": lambda f, delta, beta: f.ratio(-delta / beta)},
        "the conjugate instead of its derivative": {"ratio": lambda f, delta, beta: f.conjugate(delta / beta)},
    },
)
def occ_01(
    case: Case,
    *,
    dual: Any = FlowProblem.dual,
    ratio: Any = lambda f, delta, beta: f.ratio(delta / beta),
) -> None:
    """Newton on the dual against Clarabel on the primal; flow residuals of the ratio at an enclosed V*."""
    values, gaps, residuals = [], [], []
    distance, clarabel = 0.0, 0.0
    for problem in worlds.problems():
        best, solved = newton(problem), cone.solve(problem)
        with balls.precision(2 * 192):
            value = dual(problem, best.values)
            values.append(solved.decides(value, f"{problem.generator.name}: dual"))
            gap = value - best.lower
            gaps.append(narrow(gap))
            clarabel = max(clarabel, float((solved.certificate.upper - solved.certificate.lower).upper()))
            exact = problem.td_errors(exact_values(problem))
            beta = balls.ball(problem.beta)
            ratios = [ratio(problem.generator, balls.ball(delta), beta) for delta in exact]
        residuals.append(closes(problem, ratios))
        distance = max(distance, solved.distance(best.occupancy))
    shown = f"12 problems: Clarabel's two-sided gap ≤ {clarabel:.1e}, its d within {distance:.1e} of ours"
    case.claimed("C", "the dual's minimum lies in the enclosure around Clarabel's primal answer", every(values, shown))
    case.claimed("B", "no duality gap: 0 ≤ dual − primal < 1.1e-30", every(gaps))
    case.claimed(
        "B",
        "D(f*)'(δ/β) at the enclosed V* satisfies the flow equations",
        every(residuals, "12 problems, every residual is a ball around 0 narrower than 1e-20"),
    )
    off = []
    for problem in worlds.problems():
        moved = [v + fmpq(k + 1, 2) for k, v in enumerate(newton(problem).values)]
        inside = problem.shifted_inside(moved)
        off.append(~closes(problem, problem.ratios(inside)))
    case.corrected("B", "at a V that is not optimal it does not", every(off))
    for generator, name in ((KL, "kl"), (JS, "js")):
        case.comparison("B", f"reference.regularized_occupancy, {name}", under_test.flow_optimum(generator, name))


class Symbols:
    """Two states with one action each: symbolic beta, rewards and values, small rationals for the rest."""

    def __init__(self) -> None:
        third, quarter = sympy.Rational(1, 3), sympy.Rational(1, 4)
        (self.beta,), self.discount = positive("beta"), 3 * quarter
        self.law, self.initial = (third, 1 - third), (quarter, 1 - quarter)
        self.chain = ((third, 1 - third), (1 - quarter, quarter))
        self.rewards, self.values = real("r1 r2"), real("V1 V2")
        self.shift = real("c")[0]

    def td_errors(self, values: Any) -> list[Any]:
        """r + gamma P V - V."""
        return [
            r + self.discount * mean(row, values) - v
            for r, row, v in zip(self.rewards, self.chain, values, strict=True)
        ]

    def dual(self, values: Any, conjugate: Any) -> Any:
        """(1-gamma) E_mu0 V + beta E_D f*(delta/beta)."""
        terms = [conjugate(delta / self.beta) for delta in self.td_errors(values)]
        return (1 - self.discount) * mean(self.initial, values) + self.beta * mean(self.law, terms)

    def lifted(self, constant: Any) -> list[Any]:
        """V + c."""
        return [v + constant for v in self.values]


@claim(
    "OCC-02",
    source=("toolkit", "001 §1 (needs it)"),
    statement="Which multiplier normalises the ratio of the flow problem.",
    formula=(
        "δ_{V+c} = δ_V − (1−γ)c;  KL: E_D e^{δ/β} = 1 at V*;  min_c dual(V+c) = (1−γ)E_{μ0}V + β log E_D e^{δ_V/β};  "
        "for w log w: w = e^{δ/β−1}, V shifted by −β/(1−γ)"
    ),
    stated=THEOREM,
    corrected="Σd = 1 follows from the flow equations, so an extra multiplier ν is the constant in V: ν = (1−γ)c.",
    method="S+N",
    derivation=(
        "Add up the flow equations: Σd = (1−γ) + γΣd, so Σd = 1; a multiplier for it moves nothing.",
        "δ_{V+c} = δ_V + γc − c. For f* = e^y − 1 the derivative of dual(V + c) in c is (1−γ)(1 − E_D e^{δ/β}): zero "
        "at the optimum.",
        "Solve it for c: c = β/(1−γ) log E_D e^{δ_V/β}, and put it back: the log-sum-exp dual. Adding a constant to V "
        "adds and subtracts (1−γ)c there: flat, and its gradient is the normalised e^{δ/β}.",
        "For w log w, f*(y) = e^{y−1}: dual₀(V − β/(1−γ)) = dual₁(V) for every V.",
    ),
    twins={
        "the gauge without 1-gamma": {"gauge": lambda c, discount: c},
        "the gauge with the opposite sign": {"gauge": lambda c, discount: -(1 - discount) * c},
        "log-sum-exp without beta": {"soft": lambda start, beta, total: start + log(total)},
        "log-sum-exp with the opposite sign": {"soft": lambda start, beta, total: start - beta * log(total)},
        "the shift without 1-gamma": {"shift": lambda beta, discount: -beta},
        "the shift with the opposite sign": {"shift": lambda beta, discount: beta / (1 - discount)},
    },
)
def occ_02(
    case: Case,
    *,
    gauge: Any = lambda c, discount: (1 - discount) * c,
    soft: Any = lambda start, beta, total: start + beta * log(total),
    shift: Any = lambda beta, discount: -beta / (1 - discount),
) -> None:
    """Identities on two symbolic states; both generators solved to 50 digits on the textbook process."""
    world = Symbols()
    beta, c = world.beta, world.shift
    occupancy = positive("d1 d2")
    flow = summed(
        occupancy[s]
        - (1 - world.discount) * world.initial[s]
        - world.discount * mean(occupancy, [row[s] for row in world.chain])
        for s in range(2)
    )
    implied = equal(flow, (1 - world.discount) * (summed(occupancy) - 1))
    case.theorem("S", "the flow equations add up to (1−γ)(Σd − 1)", implied)
    moved = zip(world.td_errors(world.values), world.td_errors(world.lifted(c)), strict=True)
    case.theorem("S", "δ_{V+c} = δ_V − (1−γ)c", every(equal(a - b, gauge(c, world.discount)) for a, b in moved))

    dual = world.dual(world.lifted(c), lambda y: exp(y) - 1)
    weights = [exp(delta / beta) for delta in world.td_errors(world.values)]
    total = mean(world.law, weights)
    at_zero = sympy.diff(dual, c).subs(c, 0)
    case.theorem("S", "KL: stationarity in c is E_D e^{δ/β} = 1", equal(at_zero, (1 - world.discount) * (1 - total)))
    best = beta / (1 - world.discount) * sympy.log(total)
    start = (1 - world.discount) * mean(world.initial, world.values)
    # At c = best every exponential loses the same factor, the total.
    scaled = (1 - world.discount) * best + start + beta * (total / total - 1) - soft(start, beta, total)
    case.theorem("S", "the minimum over c is the log-sum-exp dual", vanishes(sympy.expand(scaled)))
    lifted = [w * sympy.exp(-(1 - world.discount) * c / beta) for w in weights]
    factored = [equal(exp(d / beta), e) for d, e in zip(world.td_errors(world.lifted(c)), lifted, strict=True)]
    case.theorem("S", "V + c multiplies every e^{δ/β} by e^{−(1−γ)c/β}: the log-sum-exp dual is flat", every(factored))
    y = real("y1 y2")
    generic = beta * sympy.log(mean(world.law, [sympy.exp(item / beta) for item in y]))
    softmax = [sympy.exp(item / beta) / mean(world.law, [sympy.exp(other / beta) for other in y]) for item in y]
    slopes = [equal(sympy.diff(generic, v), m * w) for v, m, w in zip(y, world.law, softmax, strict=True)]
    case.theorem("S", "its ratio is e^{δ/β} normalised", every(slopes))

    zero = world.dual(world.lifted(shift(beta, world.discount)), lambda v: exp(v - 1))
    one = world.dual(world.values, lambda v: exp(v) - 1)
    case.theorem("S", "dual of w log w at V − β/(1−γ) = dual of w log w − w + 1 at V", equal(zero, one))

    process, _, law = worlds.textbook()
    first, second = (newton(FlowProblem(process, law, worlds.BETA, f)) for f in (KL, KL0))
    with balls.precision(256):
        normal = balls.ball(mean(law, FlowProblem(process, law, worlds.BETA, KL).ratios(first.values))) - 1
        expected = shift(worlds.BETA, process.discount)
        apart = max(abs(balls.ball(b - a - expected)) for a, b in zip(first.values, second.values, strict=True))
    tiny = arb(10) ** (-40)
    case.theorem("N", "|E_D e^{δ/β} − 1| < 1e-40 at V*", bool(abs(normal) < tiny), f"{balls.short(abs(normal), 2)}")
    case.theorem(
        "N",
        "V₀ − V₁ = −β/(1−γ) to 40 digits",
        bool(apart < tiny),
        f"−β/(1−γ) = {expected}, off by {balls.short(apart, 2)}",
    )


@claim(
    "OCC-10",
    source="toolkit",
    statement="A two-sided certificate for the flow problem that no solver can fake.",
    formula="Σ d_π r − βE_D f(d_π/D) ≤ optimum ≤ (1−γ)E_{μ0}V + βE_D f*(δ_V/β)  for every V and every policy π",
    stated=THEOREM,
    corrected="This is the gold standard for every solver: its answer enters as V and π, and balls do the rest.",
    method="B",
    derivation=(
        "The occupancy d_π of a rational policy is an exact rational solve: feasible without rounding, so its "
        "objective "
        "is a lower bound.",
        "Weak duality makes the dual at any V an upper bound: f(w) + f*(y) ≥ w y, pair by pair.",
        "Both errors are of second order in the distance from the optimum: V and π good to 16 digits give 32.",
    ),
    twins={
        "upper bound without the conjugate": {"upper": lambda p, v: balls.ball(p.start(v))},
        "upper bound with half the penalty": {"upper": lambda p, v: (p.dual(v) + balls.ball(p.start(v))) / 2},
        "upper bound with gamma for 1-gamma": {
            "upper": lambda p, v: p.dual(v) + (p.process.discount / (1 - p.process.discount) - 1) * p.start(v)
        },
        "lower bound without the penalty": {"lower": lambda p, d: balls.ball(p.reward(d))},
        "lower bound un-normalised": {"lower": lambda p, d: p.objective(d) / balls.ball(1 - p.process.discount)},
    },
)
def occ_10(case: Case, *, upper: Any = FlowProblem.dual, lower: Any = FlowProblem.objective) -> None:
    """Weak duality on random V and policies; the width of the enclosure at Newton's answer."""
    generator = random.Random(10)
    ordered, widths, widest = [], [], arb(0)
    for problem in worlds.problems():
        process, best = problem.process, newton(problem)
        with balls.precision(384):
            for _ in range(3):
                noise = [v + fmpq(generator.randint(-9, 9), 20) for v in best.values]
                policy = [[fmpq(generator.randint(1, 9)) for _ in row] for row in process.rewards]
                rows = tuple(tuple(x / sum(row, fmpq(0)) for x in row) for row in policy)
                high = upper(problem, problem.shifted_inside(noise))
                low = lower(problem, occupancy_of(process, rows))
                shown = f"{problem.generator.name}: {balls.short(low, 6)} ≤ {balls.short(high, 6)}"
                ordered.append(Answer(bool(low <= high), shown))
            width = upper(problem, best.values) - lower(problem, best.occupancy)
            widest = max(widest, abs(width))
            widths.append(narrow(width))
    case.theorem("B", "every policy's lower bound is below every V's upper bound", every(ordered))
    case.theorem(
        "B",
        "at Newton's V and policy they are less than 1.1e-30 apart",
        every(widths, f"widest {balls.short(widest, 2)}"),
    )
    answers = []
    for problem in worlds.problems():
        solved = cone.solve(problem).certificate
        again = bounds(problem, newton(problem).values, newton(problem).occupancy)
        answers.append(Answer(bool(solved.lower <= again.upper and again.lower <= solved.upper)))
    case.support("B", "the bounds from Clarabel's answer enclose the same optimum", every(answers))
    case.comparison("B", "reference.flow_bounds at its own V and policy", under_test.flow_certificate(KL, "kl"))
