"""When the dual optimum exists and is unique (OCC-03), and where the flow problem has a solution at all (OCC-04)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import sympy
from flint import arb, fmpq, fmpq_mat

from proofs import balls, under_test
from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.exact import Process, solve
from proofs.generators import CHI, HELLINGER, JS, KL, REVERSE, REVERSE0, ROOT_POWER, fermi_dirac, positive_part
from proofs.occ import cone, worlds
from proofs.occ.duality import exact_values, narrow
from proofs.occ.flow import FlowProblem, newton, occupancy_of
from proofs.symbolic import sign
from proofs.verdict import THEOREM, true_if

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


@functools.lru_cache(maxsize=8)
def smallest_cap(process: Process, law: tuple[fmpq, ...]) -> tuple[fmpq, tuple[fmpq, ...], tuple[fmpq, ...]]:
    """C_min = min over occupancies of max d/D, with an occupancy d that attains it and a V that proves it.

    HiGHS only says which ratios are 0, which are at the cap and which lie between; the vertex and its multipliers are
    then exact solves of the equations that this leaves, and what they are worth is checked by the claim.
    """
    import numpy as np
    from scipy import optimize

    masses = np.array([cone.number(m) for m in law])
    size, n = len(masses), process.n_states
    equations = np.hstack([np.array(cone.flow_matrix(process)) * masses, np.zeros((n, 1))])
    below = np.hstack([np.eye(size), -np.ones((size, 1))])
    start = [cone.number((1 - process.discount) * m) for m in process.initial]
    cost = np.zeros(size + 1)
    cost[-1] = 1.0
    found = optimize.linprog(cost, below, np.zeros(size), equations, start, bounds=(0, None), method="highs")
    ratios, cap = found.x[:-1], found.x[-1]
    between = [i for i in range(size) if 1e-7 < ratios[i] < cap - 1e-7]
    capped = [i for i in range(size) if ratios[i] >= cap - 1e-7]
    # Row t, pair i: how much of state t's flow equation a unit of d(pair i) takes, minus the entry of B.
    takes = [[-entry for entry in row] for row in FlowProblem(process, law, ONE, KL).steps()]
    matrix = [
        [law[i] * takes[i][t] for i in between] + [sum((law[i] * takes[i][t] for i in capped), fmpq(0))]
        for t in range(n)
    ]
    solution = solve(matrix, [(1 - process.discount) * m for m in process.initial])
    exact = dict(zip(between, solution, strict=False)) | dict.fromkeys(capped, solution[-1])
    occupancy = tuple(law[i] * exact.get(i, fmpq(0)) for i in range(size))
    duals = [takes[i] for i in between] + [[sum((law[i] * takes[i][t] for i in capped), fmpq(0)) for t in range(n)]]
    values = solve(duals, [fmpq(0)] * len(between) + [fmpq(1)])
    return solution[-1], occupancy, values


def cap_below(process: Process, law: Sequence[fmpq], values: Sequence[fmpq]) -> fmpq:
    """(1-gamma) E_mu0 V / E_D[(V - gamma P V)_+]: a lower bound of C_min for every V."""
    start = (1 - process.discount) * sum((m * v for m, v in zip(process.initial, values, strict=True)), fmpq(0))
    drops = []
    for s, a in process.pairs:
        after = sum((p * v for p, v in zip(process.transitions[s][a], values, strict=True)), fmpq(0))
        drops.append(max(values[s] - process.discount * after, fmpq(0)))
    weight = sum((m * d for m, d in zip(law, drops, strict=True)), fmpq(0))
    return start / weight if weight > 0 else fmpq(0)


def slack(problem: FlowProblem, values: Any, limit: Any) -> Answer:
    """Whether V >= r + gamma P V - beta * limit, strictly, in every pair."""
    edge = balls.ball(problem.beta) * balls.ball(limit)
    worst = max(problem.td_errors(values))
    return Answer(
        bool(balls.ball(worst) < edge),
        f"{problem.generator.name}: max δ {balls.short(balls.ball(worst), 5)} < {balls.short(edge, 5)}",
    )


SUPREMA = {
    "JS": sympy.log(2),
    "Hellinger": sympy.Integer(1),
    "reverse KL": sympy.Integer(1),
    "-log w": sympy.Integer(0),
}
"""f'(infinity), as the entry states it."""


@claim(
    "OCC-04",
    source=("toolkit", "002 §12 (names the generators)"),
    statement="Where the dual is finite, and which generators leave the flow problem feasible.",
    formula=(
        "JS, Hellinger, reverse KL: δ_V < βf'(∞), with f'(∞) = log 2, 1, 1 (or 0);  χ², power: w = (1 + y)₊;  "
        "Fermi-Dirac: feasible iff C ≥ C_min = min_d max d/D = max_V (1−γ)E_{μ0}V / E_D(V − γPV)₊"
    ),
    stated={"domain": THEOREM, "clip": THEOREM, "cap": THEOREM},
    corrected=(
        "C_min = 1 for a valid occupancy; a generic law needs C above it: two linear programs prove C_min exactly."
    ),
    method="S+Q+B+C",
    derivation=(
        "f*(y) is finite up to y = f'(∞): V is feasible for the dual linear program V ≥ r + γPV up to βf'(∞).",
        "χ² and power generators have f'(0) > −∞: the supremum over w ≥ 0 is at w = 0 once y < f'(0), not at 1 + "
        "y < 0.",
        "An occupancy d ≤ C D exists iff the smallest max d/D is at most C. For any V, (1−γ)E_{μ0}V = Σ d(V − γPV) ≤ "
        "C E_D(V − γPV)₊: a lower bound, with equality at the dual vertex.",
    ),
    twins={
        "JS with f'(inf) = log 3/2": {"limits": {**SUPREMA, "JS": sympy.log(sympy.Rational(3, 2))}},
        "Hellinger with f'(inf) = 2": {"limits": {**SUPREMA, "Hellinger": sympy.Integer(2)}},
        "chi-square without the clip": {"clip": lambda y: 1 + y},
        "chi-square clipped at 1": {"clip": lambda y: 1 + positive_part(y)},
        "bound without 1-gamma": {"below": lambda p, d, v: cap_below(p, d, v) / (1 - p.discount)},
        "bound with the average": {"below": lambda p, d, v: cap_below(p, d, v) / 2},
    },
)
def occ_04(
    case: Case,
    *,
    limits: Any = SUPREMA,
    clip: Any = lambda y: positive_part(1 + y),
    below: Any = cap_below,
) -> None:
    """Limits of f'; the clipped ratio against the unclipped one; C_min with both exact certificates, and Clarabel."""
    process, valid, generic = worlds.textbook()
    w = sympy.Symbol("w", positive=True)
    for generator in (JS, HELLINGER, REVERSE, REVERSE0):
        at = sympy.limit(generator.derivative(w), w, sympy.oo)
        case.theorem("S", f"{generator.name}: f'(∞)", at == limits[generator.name], f"{at}", part="domain")
    inside = []
    for generator in (JS, HELLINGER, REVERSE, REVERSE0):
        problem = FlowProblem(process, generic, worlds.BETA, generator)
        assert generator.slope_limit is not None
        inside.append(slack(problem, newton(problem).values, generator.slope_limit))
        beyond = [v - 100 for v in newton(problem).values]
        inside.append(Answer(not problem.dual(beyond).is_finite()))
    case.theorem("B", "δ_{V*} < βf'(∞) in every pair; the dual is infinite beyond", every(inside), part="domain")

    part = "clip"
    cold = FlowProblem(process, generic, fmpq(1, 20), CHI)
    best = newton(cold)
    with balls.precision(256):
        y = cold.scaled(best.values)
        lowest = min(y, key=float)
        answers = []
        for item, ratio in zip(y, best.ratios, strict=True):
            answers.append(Answer(bool(abs(clip(item) - balls.ball(ratio)) < arb(10) ** (-30))))
        unclipped = 1 + lowest
    case.theorem(
        "B",
        "at β = 1/20 the optimal ratio is (1 + y)₊",
        every(answers),
        f"1 + y falls to {balls.short(unclipped, 5)}; {sum(r == 0 for r in best.ratios)} of 15 ratios are 0",
        part=part,
    )
    case.theorem("B", "no duality gap with the clip", narrow(best.gap), part=part)
    case.theorem("C", "Clarabel agrees with the clipped optimum", cone.solve(cold).decides(best.lower, "χ²"), part=part)
    rooted = FlowProblem(process, generic, fmpq(1, 20), ROOT_POWER)
    clipped = sum(r == 0 for r in newton(rooted).ratios)
    case.theorem(
        "B", "the power generator too, with ratios at 0", narrow(newton(rooted).gap) if clipped else False, part=part
    )

    part = "cap"
    constant = tuple(ONE for _ in process.initial)
    highest = max(d / m for d, m in zip(valid, valid, strict=True))
    case.theorem(
        "Q",
        "C_min = 1 for the law of a policy: d = D below, V = 1 above",
        below(process, valid, constant) == highest and all(r == 0 for r in cold.residual(valid)),
        f"max d/D {highest}, bound {below(process, valid, constant)}",
        part=part,
    )
    cap, occupancy, values = smallest_cap(process, generic)
    reached = max(d / m for d, m in zip(occupancy, generic, strict=True))
    case.theorem(
        "Q",
        "C_min of a generic law: the occupancy and V of the linear program agree exactly",
        below(process, generic, values) == reached and min(occupancy) >= 0,
        f"max d/D = {balls.short(reached)}, bound {balls.short(below(process, generic, values))}",
        part=part,
    )
    case.support("Q", "that d satisfies the flow equations", all(r == 0 for r in cold.residual(occupancy)), part=part)
    room = FlowProblem(process, generic, worlds.BETA, fermi_dirac(cap + fmpq(1, 20)))
    case.theorem(
        "C",
        f"Fermi-Dirac with C = C_min + 1/20 is feasible, C_min = {balls.short(cap, 5)}",
        cone.solve(room).decides(newton(room).lower, "optimum"),
        part=part,
    )
    case.theorem(
        "Q",
        "below C_min the V of the linear program refutes every d ≤ C D",
        below(process, generic, values) > cap - fmpq(1, 20),
        part=part,
    )
    case.comparison("Q", "reference.smallest_cap", under_test.cap_bounds(), part=part)
