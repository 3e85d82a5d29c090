"""The temperature as the multiplier of the entropy constraint, and the usual target (SAC-20, SAC-21)."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from typing import Any

from flint import arb, fmpq

from proofs import balls
from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.exact import mean, rational
from proofs.sac import soft
from proofs.sac.servo import TARGET, Q, on_target, policy_at
from proofs.sac.soft import boltzmann
from proofs.verdict import CONVENTION, FALSE

Rows = tuple[tuple[fmpq, ...], ...]

ONE_STATE: Rows = (tuple(fmpq(q) for q in Q),)
TWO_STATES: Rows = (ONE_STATE[0], tuple(q / 5 for q in ONE_STATE[0]))
"""The same values in two states, on two scales; both states equally often."""

SHARED_TARGET = fmpq(9427, 10000)
"""A mean entropy for two states that the same temperature, 1.558, meets."""


@dataclasses.dataclass(frozen=True)
class Solved:
    """Clarabel's answer to max E[Q] s.t. mean entropy >= target, made rigorous on both sides."""

    multipliers: tuple[fmpq, ...]
    lower: arb
    upper: arb
    solver_value: float
    primal_residual: float

    def __str__(self) -> str:
        found = ", ".join(f"{float(m.p) / float(m.q):.6f}" for m in self.multipliers)
        return (
            f"Clarabel multiplier {found}, value in [{balls.short(self.lower)}, {balls.short(self.upper)}], two-sided "
            f"gap {(self.upper - self.lower).upper().str(2, radius=False)}, primal residual {self.primal_residual:.1e}"
        )


def dual_function(rows: Rows, alpha: Any, target: Any) -> Any:
    """g(alpha): mean over states of alpha log sum e^{Q/alpha}, minus alpha target; a bound for every alpha > 0."""
    return mean(soft.ones(len(rows)), [soft.soft_value([balls.ball(q) for q in row], alpha) for row in rows]) - (
        alpha * target
    )


def value_and_entropy(rows: Rows, policies: Sequence[Sequence[Any]]) -> tuple[Any, Any]:
    """Mean of E[Q] and of the entropy over equally frequent states."""
    law = soft.ones(len(rows))
    values = mean(law, [mean(policy, row) for policy, row in zip(policies, rows, strict=True)])
    return values, mean(law, [soft.entropy(policy) for policy in policies])


def solve(rows: Rows, target: fmpq, *, each: bool = False) -> Solved:
    """Clarabel's enclosure; with `each`, one constraint for every state instead of their mean."""
    return _solve(rows, target, each)


@functools.lru_cache(maxsize=16)
def _solve(rows: Rows, target: fmpq, each: bool) -> Solved:
    import cvxpy
    import numpy as np

    size, width = len(rows), len(rows[0])
    values = np.array([[float(q.p) / float(q.q) for q in row] for row in rows])
    goal = float(target.p) / float(target.q)
    unknown: Any = cvxpy.Variable((size, width), nonneg=True)
    entropies = [cvxpy.sum(cvxpy.entr(unknown[s])) for s in range(size)]
    bounds: list[Any] = [entropy >= goal for entropy in entropies] if each else [sum(entropies) / size >= goal]
    constraints: list[Any] = [cvxpy.sum(unknown, axis=1) == 1, *bounds]
    objective = cvxpy.sum(cvxpy.multiply(values, unknown)) / size
    problem: Any = cvxpy.Problem(cvxpy.Maximize(objective), constraints)
    problem.solve(solver=cvxpy.CLARABEL)
    if problem.status not in (cvxpy.OPTIMAL, cvxpy.OPTIMAL_INACCURATE):
        raise RuntimeError(f"Clarabel ended with status {problem.status!r} on {rows}, target {target}")
    # With one constraint for each state the objective's 1/size belongs to the multiplier as well.
    scale = size if each else 1
    multipliers = tuple(max(scale * rational(float(b.dual_value)), fmpq(1, 2**40)) for b in bounds)
    raw = [[max(rational(float(p)), fmpq(0)) for p in row] for row in unknown.value]
    residual = max(abs(float(sum(float(p) for p in row)) - 1.0) for row in unknown.value)
    with balls.precision(192):
        lower = _feasible_value(rows, raw, target, each)
        goals = balls.ball(target)
        if each:
            parts = [dual_function((row,), balls.ball(m), goals) for row, m in zip(rows, multipliers, strict=True)]
            upper = mean(soft.ones(size), parts)
        else:
            upper = dual_function(rows, balls.ball(multipliers[0]), goals)
    return Solved(multipliers, lower, upper, float(problem.value), residual)


def _feasible_value(rows: Rows, raw: Sequence[Sequence[fmpq]], target: fmpq, each: bool) -> arb:
    """E[Q] of the solver's policies, normalised exactly and mixed with the uniform one until the entropy suffices."""
    normalised = [[p / sum(row, fmpq(0)) for p in row] for row in raw]
    share = fmpq(0)
    while share < 1:
        policies = [[(1 - share) * p + share / len(row) for p in row] for row in normalised]
        exact = [[balls.ball(p) for p in row] for row in policies]
        if each:
            enough = all(bool(soft.entropy(policy) >= balls.ball(target)) for policy in exact)
        else:
            enough = bool(value_and_entropy(rows, exact)[1] >= balls.ball(target))
        if enough:
            return balls.ball(value_and_entropy(rows, policies)[0])
        share = 4 * share if share else fmpq(1, 2**40)
    raise RuntimeError(f"the target {target} exceeds the entropy of the uniform policy")


def servo_temperature(rows: Rows, target: fmpq) -> arb:
    """The temperature at which the mean entropy of the Boltzmann policies is the target, by bisection in balls."""

    def missing(log_alpha: Any) -> Any:
        alpha = log_alpha.exp()
        policies = [boltzmann([balls.ball(q) for q in row], alpha) for row in rows]
        return balls.ball(target) - value_and_entropy(rows, policies)[1]

    return balls.root(missing, fmpq(-1), fmpq(2)).exp()


@claim(
    "SAC-20",
    source=("003 §4.3", "003 §4.4.6"),
    statement="α is not strictly a multiplier, since the constraint is soft; H(π(·|s)) ≥ H̄ holds in every state.",
    formula="α is no multiplier of H ≥ H̄;  H(π(·|s)) ≥ H̄ for each s",
    stated={"not a multiplier": FALSE, "every state": FALSE},
    corrected=(
        "The temperature at which H = H̄ is exactly the multiplier of the averaged constraint; where the constraint is "
        "slack, complementary slackness sends α → 0 (log α → −∞, never reached). One scalar α enforces the average "
        "only: two states on different scales have the entropies 0.800 and 1.085. Each state for itself needs its own "
        "α."
    ),
    method="C",
    derivation=(
        "max E[Q] s.t. H ≥ H̄ is concave, with the dual g(α) = α log Z − αH̄ and g'(α) = H(π_α) − H̄ (SAC-16).",
        "At the root α* of g' the policy π_α* is feasible with E[Q] = g(α*) − α*(H − H̄) = g(α*): both are optimal, "
        "and α* is the multiplier. Q = (0, 1, 3), H̄ = 0.8: α* = 1.558400; Clarabel's dual agrees to its accuracy.",
        "Q and Q/5 with the mean entropy 0.9427: one α = 1.5584, entropies 0.800 < H̄ and 1.085 > H̄.",
        "H̄ = −1: every policy satisfies it; the value is max Q and g decreases towards it as α → 0.",
    ),
    twins={
        "claim that it is one": {"denied": lambda optimal: optimal},
        "twice the temperature": {"temperature": lambda rows, target: 2 * servo_temperature(rows, target)},
        "the sign of the target in the dual": {"dual": lambda rows, alpha, target: dual_function(rows, alpha, -target)},
        "the dual without its target": {"dual": lambda rows, alpha, target: dual_function(rows, alpha, 0)},
        "both states on one scale": {"states": (ONE_STATE[0], ONE_STATE[0]), "shared": TARGET},
    },
)
def sac_20(
    case: Case,
    *,
    denied: Any = lambda optimal: ~optimal,
    temperature: Any = servo_temperature,
    dual: Any = dual_function,
    states: Rows = TWO_STATES,
    shared: fmpq = SHARED_TARGET,
) -> None:
    """One state and two states against Clarabel's two-sided enclosure; a slack constraint."""
    part = "not a multiplier"
    solved = solve(ONE_STATE, TARGET)
    with balls.precision(192):
        alpha = temperature(ONE_STATE, TARGET)
        policy = boltzmann([balls.ball(q) for q in ONE_STATE[0]], alpha)
        value, entropy = value_and_entropy(ONE_STATE, (policy,))
        bound = dual(ONE_STATE, alpha, balls.ball(TARGET))
        feasible = not entropy < balls.ball(TARGET)
        inside = value.upper() >= solved.lower and value.lower() <= solved.upper
        multiplier = Answer(
            bool(feasible and inside and value.overlaps(bound)),
            f"α* = {balls.short(alpha, 7)}: E[Q] = {balls.short(value)}, g(α*) = {balls.short(bound)}; {solved}",
        )
    case.claimed("C", "the temperature with H = H̄ is no multiplier", denied(multiplier), part=part)
    case.corrected("C", "π_α* is optimal and attains the dual value g(α*)", multiplier, part=part)
    slack = solve(ONE_STATE, fmpq(-1))
    with balls.precision(192):
        best = balls.ball(max(ONE_STATE[0]))
        cold = [dual_function(ONE_STATE, balls.ball(fmpq(1, 2**k)), balls.ball(-1)) for k in (0, 4, 8, 16)]
        falling = all(a > b for a, b in itertools.pairwise(cold)) and best < cold[-1] < best + fmpq(1, 10**4)
        certified = best >= slack.lower and best <= slack.upper
    case.corrected(
        "C", "slack: α → 0, and the value is max Q", bool(falling and certified), f"H̄ = −1: {slack}", part=part
    )

    part = "every state"
    together = solve(states, shared)
    with balls.precision(192):
        alpha = servo_temperature(states, shared)
        policies = [boltzmann([balls.ball(q) for q in row], alpha) for row in states]
        value, average = value_and_entropy(states, policies)
        entropies = [soft.entropy(policy) for policy in policies]
        met = [balls.less(e, balls.ball(shared)) for e in entropies]
        slipping = balls.ball(fmpq(1, 10**20))
        met = [False if abs(e - balls.ball(shared)) < slipping else m for e, m in zip(entropies, met, strict=True)]
        optimal = value.upper() >= together.lower and value.lower() <= together.upper
        listed = ", ".join(balls.short(e, 4) for e in entropies)
        shown = f"H = {listed} at α = {balls.short(alpha, 5)}, H̄ = {balls.short(balls.ball(shared), 5)}; {together}"
    case.claimed("C", "at the optimum every state has H ≥ H̄", not any(met), shown, part=part)
    overlap = bool(average.overlaps(balls.ball(shared)))
    case.corrected("C", "the average does, at the optimal value", bool(optimal and overlap), part=part)
    separate = solve(TWO_STATES, SHARED_TARGET, each=True)
    first, second = separate.multipliers
    with balls.precision(192):
        own = [servo_temperature((row,), SHARED_TARGET) for row in (TWO_STATES[0],)]
        scaled = own[0] / 5
        bounds = [
            dual_function((row,), a, balls.ball(SHARED_TARGET))
            for row, a in zip(TWO_STATES, (own[0], scaled), strict=True)
        ]
        both = mean(soft.ones(2), bounds)
        exact = both.upper() >= separate.lower and both.lower() <= separate.upper
        shown = f"α = {balls.short(own[0], 5)} and {balls.short(scaled, 5)}; {separate}"
    case.corrected(
        "C", "each state for itself has its own multiplier", bool(exact and first > 4 * second), shown, part=part
    )


def gaussian_entropy(deviation: Any) -> Any:
    """Differential entropy of N(mu, deviation^2) in nats, in balls."""
    return (2 * balls.ball(1).exp() * balls.ball(0).pi() * deviation * deviation).log() / 2


def gaussian_width(target: Any) -> Any:
    """The standard deviation with that entropy: e^{target - 1/2}/sqrt(2 pi)."""
    return (balls.ball(target) - balls.ball(fmpq(1, 2))).exp() / (2 * balls.ball(0).pi()).sqrt()


@claim(
    "SAC-21",
    source="003 §4.3",
    statement="The target entropy is usually −dim(A).",
    formula="H̄ = −dim A",
    stated=CONVENTION,
    corrected=(
        "−1 nat per dimension means a Gaussian with σ = 0.08902, or a uniform law of width 1/e. Feasible iff the "
        "target is at most d log 2 on [−1, 1]^d. For discrete actions H ≥ 0, so a negative target never binds and "
        "α → 0. Other code uses −dim/2 (σ = 0.1468)."
    ),
    method="B",
    derivation=(
        "Differential entropy: ½ log(2πeσ²) for N(μ, σ²), log(width) for a uniform law; both add over dimensions.",
        "½ log(2πeσ²) = −1 at σ = e^{−3/2}/√(2π) = 0.08902; log(width) = −1 at 1/e.",
        "On [−1, 1]^d the uniform law has the most, d log 2, and any smaller value is reached: −d is feasible.",
        "Discrete: −Σ p log p ≥ 0 > −1 at every temperature: the constraint is slack.",
    ),
    twins={
        "plus the dimension": {"target": lambda d: d},
        "no dimension": {"target": lambda d: fmpq(0) * d},
        "the width without the e": {"width": lambda t: balls.ball(t).exp() / (2 * balls.ball(0).pi()).sqrt()},
        "the width of twice the target": {"width": lambda t: gaussian_width(2 * t)},
    },
)
def sac_21(case: Case, *, target: Any = lambda d: -d, width: Any = gaussian_width) -> None:
    """Widths and bounds in balls; that every ball excludes the wrong answer."""
    narrow = fmpq(1, 10**20)
    with balls.precision(128):
        log_two = balls.ball(2).log()
        sizes = (1, 3, 17)
        deviation = width(target(1))
        off = gaussian_entropy(deviation) + 1
        case.convention(
            "B",
            "−1 nat per dimension is N(μ, σ²) with σ = 0.08902",
            balls.vanishes_within(off, narrow),
            f"σ = {balls.short(deviation, 4)}",
        )
        printed = abs(deviation - balls.ball(fmpq(8902, 100000))) < balls.ball(fmpq(1, 200000))
        case.convention("B", "σ to four digits", bool(printed), balls.short(deviation, 4))
        feasible = every(
            Answer(balls.less(target(d), d * log_two), f"target {target(d)}, most {balls.short(d * log_two, 4)}")
            for d in sizes
        )
        case.convention("B", "it is below the most that [−1, 1]^d allows, d log 2", feasible)
        uniform = (balls.ball(target(1)).exp()).log() + 1
        case.convention("B", "the uniform law of width 1/e has the same", balls.vanishes_within(uniform, narrow))
        discrete = [soft.entropy(policy_at(fmpq(k))) for k in (-2, -1, 0, 1)]
        discrete.append(soft.entropy(policy_at(on_target())))
        slack = every(Answer(balls.less(target(1), h), f"H = {balls.short(h, 4)}") for h in discrete)
        case.convention("B", "entropies of discrete actions stay above it: it never binds", slack)
        half = gaussian_width(fmpq(-1, 2))
        other = balls.less(fmpq(-1, 2), log_two)
    case.convention("B", "the other convention, −dim/2, is feasible as well", other, f"σ = {balls.short(half, 4)}")
