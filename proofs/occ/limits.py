"""Reverse KL as an interior-point method (OCC-08), and the flow problem from cold to hot (OCC-09)."""

from __future__ import annotations

import itertools
from typing import Any

from flint import fmpq

from proofs import balls
from proofs.arithmetic import log
from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.exact import Process
from proofs.generators import JS, KL, REVERSE0
from proofs.occ import cone, worlds
from proofs.occ.duality import exact_values
from proofs.occ.flow import FlowProblem, newton, occupancy_of
from proofs.symbolic import equal, positive
from proofs.verdict import THEOREM


def best_policy(process: Process) -> tuple[Any, tuple[fmpq, ...]]:
    """An optimal deterministic policy and its values, by exact policy iteration."""
    choice = [0] * process.n_states
    while True:
        policy = tuple(
            tuple(fmpq(int(a == choice[s])) for a in range(len(process.rewards[s]))) for s in range(process.n_states)
        )
        values = process.values(policy)
        better = [
            max(range(len(process.rewards[s])), key=lambda a, s=s: (process.backup(s, a, values), a == choice[s]))
            for s in range(process.n_states)
        ]
        if better == choice:
            return policy, values
        choice = better


def linear_program(process: Process) -> tuple[fmpq, tuple[fmpq, ...], Answer]:
    """J_LP, an optimal occupancy, and the exact certificate: V >= r + gamma P V, and both values are the same."""
    policy, values = best_policy(process)
    occupancy = occupancy_of(process, policy)
    feasible = all(process.td_error(s, a, values) <= 0 for s, a in process.pairs)
    pairs = zip(process.pairs, occupancy, strict=True)
    reward = sum((mass * process.rewards[s][a] for (s, a), mass in pairs), fmpq(0))
    start = (1 - process.discount) * process.objective(policy)
    return reward, occupancy, Answer(feasible and reward == start, f"J_LP = {balls.short(reward)}")


@claim(
    "OCC-08",
    source="toolkit",
    statement="Reverse-KL ROER is an interior-point method for the linear program of the process.",
    formula=(
        "f = −log w: dual = (1−γ)E_{μ0}V − βE_D log(V − r − γPV) + const;  (1−γ)E_{μ0}V − Σ d r = β at the optimum;  "
        "Σ d r < J_LP < (1−γ)E_{μ0}V"
    ),
    stated=THEOREM,
    corrected=(
        "V is strictly feasible for the dual linear program, d for the primal one, and the duality gap is β exactly."
    ),
    method="S+Q+B+C",
    derivation=(
        "f*(y) = −1 − log(−y), and −δ_V = V − r − γPV is the slack of the dual linear program: a log barrier weighted "
        "with D.",
        "w = (f*)'(δ/β) = −β/δ, so Σ d δ = Σ D w δ = −β.",
        "Flow feasibility of d turns the left side into Σ d r − (1−γ)E_{μ0}V: the gap of the linear program is β.",
        "Weak duality of the linear program puts J_LP between the two.",
    ),
    twins={
        "barrier without beta": {"barrier": lambda beta, slack: -log(slack / beta) - 1},
        "barrier with the opposite sign": {"barrier": lambda beta, slack: beta * log(slack / beta) - beta},
        "gap beta/(1-gamma)": {"gap": lambda beta, discount: beta / (1 - discount)},
        "gap beta squared": {"gap": lambda beta, discount: beta**2},
    },
)
def occ_08(
    case: Case,
    *,
    barrier: Any = lambda beta, slack: -beta * log(slack / beta) - beta,
    gap: Any = lambda beta, discount: beta,
) -> None:
    """The barrier in symbols; the gap in balls around V*; the linear program exactly; Clarabel on the same problem."""
    beta, slack, mass = positive("beta s D")
    case.theorem(
        "S",
        "βf*(−s/β) is the log barrier of the slack s",
        equal(beta * REVERSE0.conjugate(-slack / beta), barrier(beta, slack)),
    )
    ratio = REVERSE0.ratio(-slack / beta)
    case.theorem("S", "D w δ = −Dβ in every pair, so Σ d δ = −β", equal(mass * ratio * -slack, -mass * beta))
    process, _, generic = worlds.textbook()
    best, _, certificate = linear_program(process)
    case.support("Q", "J_LP by exact policy iteration, with its dual certificate", certificate)
    answers, between, conics = [], [], []
    for temperature in (fmpq(1), fmpq(1, 10), fmpq(1, 100)):
        problem = FlowProblem(process, generic, temperature, REVERSE0)
        with balls.precision(256):
            values = exact_values(problem)
            occupancy = [m * w for m, w in zip(generic, problem.ratios(values), strict=True)]
            above, below = balls.ball(problem.start(values)), balls.ball(problem.reward(occupancy))
            difference = above - below - balls.ball(gap(temperature, process.discount))
            strict = all(balls.ball(delta) < 0 for delta in problem.td_errors(values))
        exact = balls.vanishes_within(difference, fmpq(1, 10**20))
        answers.append(Answer(exact, f"β={temperature}: gap {balls.short(above - below, 12)}"))
        between.append(
            Answer(
                bool(strict and below < best < above),
                f"{balls.short(below, 6)} < {balls.short(best, 6)} < {balls.short(above, 6)}",
            )
        )
        conics.append(cone.solve(problem).decides(newton(problem).lower, f"β={temperature}: optimum"))
    case.theorem("B", "(1−γ)E_{μ0}V − Σ d r = β", every(answers, "; ".join(a.witness for a in answers)))
    case.theorem(
        "B", "V strictly feasible, and d, V bracket J_LP", every(between, "; ".join(a.witness for a in between))
    )
    case.theorem("C", "Clarabel's enclosures agree", every(conics))


@claim(
    "OCC-09",
    source=("toolkit", "001 §2 (needs it)"),
    statement="The flow problem between its two limits in β.",
    formula=(
        "J_LP − βD_f(d_LP‖D) ≤ value(β) ≤ J_LP;  value and reward do not increase in β;  w → 1 as β → ∞ iff D is an "
        "occupancy"
    ),
    stated={"cold": THEOREM, "monotone": THEOREM, "hot": THEOREM},
    corrected="If D is no occupancy, D_f(d*‖D) stays above ½(‖R(D)‖₁/(1+γ))² for KL, R(D) the flow residual of D.",
    method="Q+B+P",
    derivation=(
        "f ≥ 0, so value ≤ J_LP; the occupancy d_LP is feasible, so value ≥ J_LP − βD_f(d_LP‖D).",
        "value(β) is a maximum of functions that decrease in β. With (d, β) and (d', β' > β) optimal, add both "
        "optimality inequalities: D_f(d') ≤ D_f(d), hence Σ d' r ≤ Σ d r.",
        "If D is feasible, βD_f(d*‖D) ≤ Σ(d* − D)r ≤ R: D_f → 0 and w → 1.",
        "If not, R(d*) = 0 and |R(D)|₁ ≤ (1+γ)|D − d*|₁, and Pinsker: KL ≥ ½|D − d*|₁² > 0 for every β.",
    ),
    twins={
        "lower end without beta": {"lower": lambda best, beta, price: best - price / 100},
        "lower end above the linear program": {"lower": lambda best, beta, price: best + beta * price},
        "upper end below the linear program": {"upper": lambda best, beta, price: best - beta * price},
        "reward rises": {"order": lambda cold, hot: hot > cold},
        "closing like 1/beta^2": {"closing": lambda spread, beta: spread / beta**2 / 100},
        "Pinsker without the square": {"floor": lambda distance: distance / 2},
    },
)
def occ_09(
    case: Case,
    *,
    lower: Any = lambda best, beta, price: best - beta * price,
    upper: Any = lambda best, beta, price: best,
    order: Any = lambda cold, hot: hot < cold,
    closing: Any = lambda spread, beta: spread / beta,
    floor: Any = lambda distance: distance**2 / 2,
) -> None:
    """Exact linear programs and enclosed optima of random processes at four temperatures; both kinds of law."""
    betas = (fmpq(1, 20), fmpq(1, 2), fmpq(5), fmpq(50))
    cold, monotone, certificates, hot, apart = [], [], [], [], []
    for process, _, valid, generic in worlds.small(10):
        best, occupancy, certificate = linear_program(process)
        certificates.append(certificate)
        for generator in (KL, JS):
            values, rewards = [], []
            for beta in betas:
                problem = FlowProblem(process, generic, beta, generator)
                with balls.precision(256):
                    price = problem.penalty(occupancy)
                    optimum = newton(problem)
                    low, high = lower(balls.ball(best), beta, price), upper(balls.ball(best), beta, price)
                    holds = low <= optimum.upper and optimum.lower <= high
                    cold.append(
                        Answer(
                            bool(holds),
                            f"β={beta}: {balls.short(low, 5)} ≤ {balls.short(optimum.upper, 5)} ≤ "
                            f"{balls.short(high, 5)}",
                        )
                    )
                    ratios = problem.ratios(exact_values(problem))
                    rewards.append(balls.ball(problem.reward([m * w for m, w in zip(generic, ratios, strict=True)])))
                    values.append(optimum.upper)
            for series, name in ((values, "value"), (rewards, "reward")):
                falls = all(order(a, b) for a, b in itertools.pairwise(series))
                monotone.append(Answer(bool(falls), f"{name}: {', '.join(balls.short(v, 5) for v in series)}"))
        spread = max(r for row in process.rewards for r in row) - min(r for row in process.rewards for r in row)
        for beta in betas:
            problem = FlowProblem(process, valid, beta, KL)
            with balls.precision(256):
                price = problem.penalty(newton(problem).occupancy)
                bound = balls.ball(closing(spread, beta))
            hot.append(
                Answer(bool(price <= bound), f"β={beta}: E f(w) = {balls.short(price, 3)} ≤ {balls.short(bound, 3)}")
            )
        missing = sum((abs(r) for r in FlowProblem(process, generic, betas[0], KL).residual(generic)), fmpq(0)) / (
            1 + process.discount
        )
        far = FlowProblem(process, generic, fmpq(10**6), KL)
        with balls.precision(256):
            price, least = far.penalty(newton(far).occupancy), balls.ball(floor(missing))
        apart.append(
            Answer(
                bool(price >= least and least > 0),
                f"E f(w) = {balls.short(price, 3)} ≥ {balls.short(least, 3)} at β = 10⁶",
            )
        )
    case.support(
        "Q", "J_LP of every process, by an exact linear program with its certificate", every(certificates), part="cold"
    )
    case.theorem("P", "J_LP − βD_f(d_LP‖D) ≤ value(β) ≤ J_LP", every(cold), part="cold")
    case.theorem("P", "value and reward fall as β grows", every(monotone), part="monotone")
    case.theorem("P", "D an occupancy: E f(w) ≤ R/β → 0", every(hot), part="hot")
    case.theorem("P", "D no occupancy: E f(w) stays above a positive bound", every(apart), apart[0].witness, part="hot")
    process, valid, generic = worlds.textbook()
    best, occupancy, _ = linear_program(process)
    chill = FlowProblem(process, generic, fmpq(1, 100), KL)
    with balls.precision(256):
        optimum, price = newton(chill), chill.penalty(occupancy)
        low, high = lower(balls.ball(best), chill.beta, price), upper(balls.ball(best), chill.beta, price)
    case.theorem(
        "B",
        "the textbook process at β = 1/100",
        bool(low <= optimum.upper and optimum.lower <= high),
        f"{balls.short(low)} ≤ {balls.short(optimum.lower)} ≤ {balls.short(high)}",
        part="cold",
    )
