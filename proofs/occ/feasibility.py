"""Where the dual is finite and the primal feasible: domains, clips and the smallest cap (OCC-04)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import sympy
from flint import arb, fmpq

from proofs import balls, under_test
from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.exact import Process, solve
from proofs.generators import CHI, HELLINGER, JS, KL, REVERSE, REVERSE0, ROOT_POWER, fermi_dirac, positive_part
from proofs.occ import cone, worlds
from proofs.occ.attainment import ONE
from proofs.occ.duality import narrow
from proofs.occ.flow import FlowProblem, newton
from proofs.verdict import THEOREM


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
