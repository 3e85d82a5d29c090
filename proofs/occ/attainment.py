"""When the dual optimum exists and is unique (OCC-03)."""

from __future__ import annotations

from typing import Any

import sympy
from flint import fmpq, fmpq_mat

from proofs import balls
from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.exact import Process
from proofs.generators import HELLINGER, JS, KL, REVERSE
from proofs.occ import worlds
from proofs.occ.duality import exact_values
from proofs.occ.flow import FlowProblem, occupancy_of
from proofs.symbolic import sign
from proofs.verdict import true_if

ONE = fmpq(1)


def secluded() -> Process:
    """State 0 loops; state 1 leads to state 0 and nothing leads to state 1, not even the start."""
    home = (ONE, fmpq(0))
    return Process(((home,), (home,)), ((ONE,), (fmpq(2),)), fmpq(1, 2), home)


def entered() -> Process:
    """The same, but a quarter of the episodes starts in state 1."""
    home = (ONE, fmpq(0))
    return Process(((home,), (home,)), ((ONE,), (fmpq(2),)), fmpq(1, 2), (fmpq(3, 4), fmpq(1, 4)))


def uniform_occupancy(process: Process) -> tuple[fmpq, ...]:
    """The exact occupancy of the uniform policy: positive in every pair iff every state is reachable."""
    return occupancy_of(process, tuple(tuple(fmpq(1, len(row)) for _ in row) for row in process.rewards))


def attained(problem: FlowProblem) -> Answer:
    """Whether the dual has exactly one minimiser, shown twice.

    Exactly: a positive occupancy d gives (1-gamma)E_mu0 U = -sum d (BU) for every direction U, so the dual grows along
    each U with BU != 0; B of full column rank leaves no other direction. By balls: Krawczyk's test around Newton's
    answer. Undecided where the premise fails.
    """
    steps = problem.steps()
    rank = fmpq_mat(len(steps), len(steps[0]), [entry for row in steps for entry in row]).rank()
    full = rank == problem.process.n_states
    positive = min(uniform_occupancy(problem.process)) > 0
    try:
        with balls.precision(256):
            radius = max(float(v.rad()) for v in exact_values(problem))
            found = min(problem.ratios(exact_values(problem)), key=float)
        isolated = radius < 1e-20 and found > 0
    except (ValueError, ZeroDivisionError, OverflowError) as problem_:
        return Answer(False, f"{problem.generator.name}: {problem_}")
    return Answer(full and positive and bool(isolated), f"{problem.generator.name}: V* in balls of radius {radius:.0e}")


def falls_forever(problem: FlowProblem, state: int) -> Answer:
    """Whether the dual falls strictly as V of an unreachable state grows, for ever (so it attains no minimum there).

    Its derivative is -D (f*)'(delta/beta) of that state, exactly: V of the state enters its own TD errors alone.
    """
    enters = any(problem.process.transitions[s][a][state] != 0 for s, a in problem.process.pairs)
    started = problem.process.initial[state] != 0
    slopes = []
    for height in (0, 10, 100, 1000):
        values = [fmpq(4) + (fmpq(height) if s == state else 0) for s in range(problem.process.n_states)]
        slopes.append(problem.gradient(values)[state])
    falling = all(slope < 0 for slope in slopes)
    shown = ", ".join(balls.short(slope, 3) for slope in slopes)
    text = f"{problem.generator.name}: d dual/dV₁ at V₁ = 4, 14, 104, 1004: {shown}"
    return Answer(not enters and not started and falling, text)


@claim(
    "OCC-03",
    source=("toolkit", "001 §1 (takes d* and V* for granted)"),
    statement="The dual optimum V* exists and is unique, and gives a positive ratio w* in every pair.",
    formula="argmin_V (1−γ)E_{μ0}V + βE_D f*(δ_V/β) is a single V*",
    stated=true_if("every state is reachable (by some policy, from the initial law)"),
    corrected=(
        "In a state that no policy reaches w = 0 and V → +∞: the infimum is not attained; with f(0) = ∞ (reverse KL) "
        "the primal is infeasible and the dual has no lower bound. w* itself is unique, by strict convexity. The "
        "log-sum-exp dual has a line of minimisers V* + c."
    ),
    method="S+Q+B+P",
    derivation=(
        "If every state is reachable, the uniform policy has an occupancy d > 0. For every U, (1−γ)E_{μ0}U = −Σ d(BU), "
        "B = γP − E: along U the dual grows linearly or faster unless BU = 0, and BU = 0 only for U = 0.",
        "So a minimiser exists; f* is strictly increasing and convex where w > 0 and B has full rank: it is unique.",
        "If nothing leads to s and no episode starts there, V(s) occurs in the TD errors of s alone, and the "
        "derivative "
        "−D(s)(f*)'(δ/β) < 0 never vanishes: V(s) → ∞, w → 0.",
    ),
    twins={
        "the excluded instance is reachable": {"excluded": entered},
        "an unreachable state within the condition": {
            "family": lambda: [(secluded(), None, None, (fmpq(1, 2), fmpq(1, 2)))]
        },
    },
)
def occ_03(case: Case, *, family: Any = lambda: worlds.small(15), excluded: Any = secluded) -> None:
    """Rank, coercivity and Krawczyk's test on reachable processes; a state that nothing reaches."""
    answers = [
        attained(FlowProblem(process, law, worlds.BETA, generator))
        for process, _, _, law in family()
        for generator in (KL, JS, HELLINGER)
    ]
    case.within("P", "one minimiser, w > 0, on processes whose states are all reachable", every(answers))
    half = (fmpq(1, 2), fmpq(1, 2))
    alone = excluded()
    falling = [falls_forever(FlowProblem(alone, half, worlds.BETA, f), 1) for f in (KL, JS, REVERSE)]
    case.outside(
        "B",
        "the minimum is attained although nothing reaches state 1",
        ~every(falling, "; ".join(answer.witness for answer in falling)),
    )
    occupancy = uniform_occupancy(alone)
    case.corrected(
        "Q",
        "every occupancy leaves state 1 out, so w = 0 there",
        occupancy[1] == 0,
        f"d = ({occupancy[0]}, {occupancy[1]})",
    )
    barrier = FlowProblem(alone, half, worlds.BETA, REVERSE)
    lower = [barrier.dual([fmpq(4), fmpq(10) ** k]) for k in (1, 100, 10000)]
    case.corrected(
        "B",
        "reverse KL: the dual has no lower bound",
        bool(lower[2] < -3 and lower[2] < lower[1] < lower[0]),
        f"{', '.join(balls.short(v, 5) for v in lower)} at V₁ = 10, 10^100, 10^10000",
    )
    reached = entered()
    flat = []
    for constant in (fmpq(1), fmpq(-7, 3)):
        moved = [
            a - b + (1 - reached.discount) * constant
            for a, b in zip(
                FlowProblem(reached, half, worlds.BETA, KL).td_errors([constant, constant]),
                FlowProblem(reached, half, worlds.BETA, KL).td_errors([fmpq(0), fmpq(0)]),
                strict=True,
            )
        ]
        flat.append(Answer(all(m == 0 for m in moved)))
    case.corrected("Q", "the log-sum-exp dual is flat along constants: δ moves by −(1−γ)c everywhere", every(flat))
    w = sympy.Symbol("w", positive=True)
    for generator in (KL, JS, HELLINGER, REVERSE):
        convex = sign(sympy.diff(generator.derivative(w), w), 1)
        case.support("S", f"{generator.name}: f'' > 0, so w* is unique", convex)
