"""The relaxed problem of sources 000 and 002 as a Lagrangian of the flow problem (OCC-05)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from flint import arb, fmpq

from proofs import balls, conic
from proofs.arithmetic import log
from proofs.claim import claim
from proofs.divergences import Law
from proofs.evidence import Answer, Case, every
from proofs.exact import Process
from proofs.generators import JS, KL
from proofs.occ import cone, worlds
from proofs.occ.duality import WIDTH, narrow
from proofs.occ.flow import FlowProblem, newton, occupancy_of
from proofs.verdict import THEOREM


def scaled_law(problem: FlowProblem, values: Sequence[fmpq]) -> Law:
    """D with delta_V / beta: the relaxed problem whose linear coefficient is delta_V."""
    return Law(problem.law, tuple(delta / problem.beta for delta in problem.td_errors(values)))


def relaxed_value(problem: FlowProblem, values: Sequence[fmpq]) -> arb:
    """max_w E[w delta_V] - beta E f(w) over mean-one w: beta (nu + E f*(delta/beta - nu)) at the multiplier nu."""
    data = scaled_law(problem, values)
    with balls.precision(256):
        if problem.generator.name == "KL":
            nu = balls.ball(data.expect([balls.ball(z).exp() for z in data.z])).log()
        else:
            top = balls.ball(max(data.z))
            nu = conic.multiplier(data, JS.ratio, top - log(balls.ball(2) / (1 + min(data.masses))), top, 256)
        return balls.ball(problem.beta) * conic.dual_value(data, problem.generator, nu)


def one_state() -> FlowProblem:
    """A bandit with three actions: the flow equations say that d has mass one, and nothing else."""
    process = Process((((fmpq(1),),) * 3,), ((fmpq(1), fmpq(-1), fmpq(1, 2)),), fmpq(3, 4), (fmpq(1),))
    return FlowProblem(process, (fmpq(1, 2), fmpq(1, 3), fmpq(1, 6)), worlds.BETA, KL)


@claim(
    "OCC-05",
    source=("toolkit", "000 §1", "002 §1"),
    statement=(
        "How the relaxed problem of 000 and 002, with the advantage as its coefficient, relates to the flow problem."
    ),
    formula=(
        "relaxed(δ_U) + (1−γ)E_{μ0}U ≥ flow optimum for every U, with equality iff its optimum is flow-feasible;  "
        "A^π = δ_{V^π}"
    ),
    stated={"bound": THEOREM, "equality": THEOREM, "shaping": THEOREM},
    corrected=(
        "The sources' problem is the Lagrangian at V^π: in general a strict upper bound. They coincide for A = "
        "δ_{V*}, for "
        "|S| = 1, and in the limit β → ∞ if D is an occupancy."
    ),
    method="C+Q+B+P",
    derivation=(
        "For flow-feasible d, Σ d r = (1−γ)E_{μ0}U + Σ d δ_U whatever U is (potential shaping).",
        "Drop the flow equations and keep Σd = 1: the maximum of (1−γ)E_{μ0}U + Σ d δ_U − βE f(d/D) can only "
        "grow. That "
        "is the Lagrangian at V = U, minimised over constants in U.",
        "It has one maximiser; if that is flow-feasible nothing was gained, and otherwise something was, strictly.",
        "A^π = Q^π − V^π = r + γPV^π − V^π = δ_{V^π}: sources 000 and 002 solve the problem at U = V^π.",
        "Hoeffding: relaxed(δ_U) ≤ E_D δ_U + R²/(8β), R the range of δ_U. If D is an occupancy then E_D δ_U + "
        "(1−γ)E_{μ0}U = E_D r ≤ flow optimum, so the difference is at most R²/(8β).",
    ),
    twins={
        "the start without 1-gamma": {"lagrangian": lambda p, soft, start: soft + start / (1 - p.process.discount)},
        "the start with the opposite sign": {"lagrangian": lambda p, soft, start: soft - start},
        "the start dropped": {"lagrangian": lambda p, soft, start: soft},
        "shaping without 1-gamma": {"shaped": lambda p, reward, start: reward - start / (1 - p.process.discount)},
        "shaping with the opposite sign": {"shaped": lambda p, reward, start: reward + start},
        "closes like 1/beta^2": {"closing": lambda spread, beta: spread**2 / (8 * beta**2)},
    },
)
def occ_05(
    case: Case,
    *,
    lagrangian: Any = lambda p, soft, start: soft + start,
    shaped: Any = lambda p, reward, start: reward - start,
    closing: Any = lambda spread, beta: spread**2 / (8 * beta),
) -> None:
    """Random policies on random processes; Clarabel on both problems; the three cases of equality; shaping exactly."""
    family = worlds.small(20)

    def excess(problem: FlowProblem, values: Sequence[fmpq]) -> arb:
        """The Lagrangian at V, minus the flow optimum."""
        with balls.precision(256):
            return (
                lagrangian(problem, relaxed_value(problem, values), balls.ball(problem.start(values)))
                - newton(problem).upper
            )

    part = "bound"
    answers, gaps = [], []
    for process, policy, _, law in family:
        for generator in (KL, JS):
            gap = excess(FlowProblem(process, law, worlds.BETA, generator), process.values(policy))
            gaps.append(gap)
            answers.append(Answer(bool(gap > 0), f"{generator.name}: Lagrangian − optimum = {balls.short(gap, 4)}"))
    least = balls.short(min(gaps, key=float), 3)
    case.theorem(
        "P",
        "at V^π it is a strict upper bound",
        every(answers, f"20 random π of 20, KL and JS; least gap {least}"),
        part=part,
    )
    process, valid, generic = worlds.textbook()
    policy = tuple(tuple(fmpq(1, len(row)) for _ in row) for row in process.rewards)
    values = process.values(policy)
    textbook = FlowProblem(process, generic, worlds.BETA, KL)
    solved, certificate = cone.solve(textbook).certificate, conic.certify(scaled_law(textbook, values), KL)
    with balls.precision(256):
        start = balls.ball(textbook.start(values))
        low, high = (
            lagrangian(textbook, balls.ball(textbook.beta) * end, start)
            for end in (certificate.lower, certificate.upper)
        )
        ours = lagrangian(textbook, relaxed_value(textbook, values), start)
    case.theorem(
        "C",
        "both problems enclosed around Clarabel's answers: the intervals do not touch",
        bool(low > solved.upper and not ours < low and not ours > high),
        f"relaxed in [{balls.short(low)}, {balls.short(high)}], flow in [{balls.short(solved.lower)}, "
        f"{balls.short(solved.upper)}]",
        part=part,
    )

    part = "equality"
    at_optimum = [
        excess(problem, newton(problem).values)
        for problem in (textbook, FlowProblem(process, generic, worlds.BETA, JS))
    ]
    case.theorem("B", "at U = V* the two optima agree to 1e-30", every(narrow(gap) for gap in at_optimum), part=part)
    shifted = tuple(v + fmpq(5, 3) for v in newton(textbook).values)
    case.theorem("B", "and at V* plus any constant", narrow(excess(textbook, shifted)), part=part)
    alone = one_state()
    gap = excess(alone, (fmpq(7, 5),))
    case.theorem("B", "with |S| = 1 they agree for every U", narrow(gap), part=part)
    hot, cold = [], []
    for beta in (fmpq(1), fmpq(10), fmpq(100), fmpq(1000), fmpq(10000)):
        problem = FlowProblem(process, valid, beta, KL)
        gap, errors = excess(problem, values), problem.td_errors(values)
        bound = balls.ball(closing(max(errors) - min(errors), beta))
        hot.append(Answer(bool(gap > 0 and gap <= bound), f"β={beta}: {balls.short(gap, 3)} ≤ {balls.short(bound, 3)}"))
        cold.append(excess(FlowProblem(process, generic, beta, KL), values))
    case.theorem(
        "B",
        "D an occupancy: 0 < difference ≤ R²/(8β)",
        every(hot, "; ".join(answer.witness for answer in hot)),
        part=part,
    )
    growing = all(5 * a < b for a, b in itertools.pairwise(cold[2:]))
    case.theorem(
        "B",
        "D no occupancy: the difference grows with β instead",
        bool(growing and cold[-1] > 1),
        f"β = 1, 10, …, 10⁴: {', '.join(balls.short(g, 3) for g in cold)}",
        part=part,
    )

    part = "shaping"
    identities = []
    for process_, policy_, occupancy, law in family:
        problem = FlowProblem(process_, law, worlds.BETA, KL)
        potential = tuple(fmpq(3 * k * k - 2, 5) for k in range(process_.n_states))
        for given in (potential, process_.values(policy_)):
            left = sum((d * e for d, e in zip(occupancy, problem.td_errors(given), strict=True)), fmpq(0))
            right = shaped(problem, problem.reward(occupancy), problem.start(given))
            identities.append(Answer(left == right, f"{balls.short(left)} and {balls.short(right)}"))
        advantages = process_.advantages(policy_)
        same = [advantages[pair] for pair in process_.pairs] == problem.td_errors(process_.values(policy_))
        identities.append(Answer(same, "A^π = δ_{V^π}"))
    case.theorem("Q", "Σ d δ_U = Σ d r − (1−γ)E_{μ0}U for occupancies, and A^π = δ_{V^π}", every(identities), part=part)
    rewards = Law(generic, tuple(r / worlds.BETA for row in process.rewards for r in row))
    with balls.precision(128):
        without = [[balls.ball(z).exp() for z in data.z] for data in (rewards, scaled_law(textbook, values))]
        first, second = (
            [w / sum((m * x for m, x in zip(generic, raw, strict=True)), arb(0)) for w in raw] for raw in without
        )
        apart = max(abs(a - b) for a, b in zip(first, second, strict=True))
    case.theorem(
        "B",
        "without the flow equations r and A^π have different optima",
        bool(apart > balls.ball(WIDTH)),
        f"ratios differ by up to {balls.short(apart, 4)}",
        part=part,
    )
    off = occupancy_of(process, policy)
    moved = tuple(d / 2 + (fmpq(1, 2) if k == 0 else 0) for k, d in enumerate(off))
    left = sum((d * e for d, e in zip(moved, textbook.td_errors(values), strict=True)), fmpq(0))
    case.theorem(
        "Q",
        "off the flow the shaping identity fails",
        left != textbook.reward(moved) - textbook.start(values),
        f"{balls.short(left)} against {balls.short(textbook.reward(moved) - textbook.start(values))}",
        part=part,
    )
