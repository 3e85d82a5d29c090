"""What TD errors of single samples inside f* compute: an agent that chooses its luck (OCC-07)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flint import arb, fmpq

from proofs import balls, instances, under_test
from proofs.arithmetic import exp
from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.exact import Process
from proofs.generators import JS, KL, Curved
from proofs.occ import cone, worlds
from proofs.occ.duality import exact_values, narrow
from proofs.occ.flow import FlowProblem, newton
from proofs.verdict import THEOREM


def lifted(process: Process, law: Sequence[fmpq]) -> tuple[Process, tuple[fmpq, ...]]:
    """The process whose actions are the transitions (a, s') with positive probability, and the law D P on them."""
    masses = dict(zip(process.pairs, law, strict=True))
    transitions, rewards, laws = [], [], []
    for s in range(process.n_states):
        rows, paid = [], []
        for a in range(len(process.rewards[s])):
            for t, probability in enumerate(process.transitions[s][a]):
                if probability != 0:
                    rows.append(tuple(fmpq(int(t == u)) for u in range(process.n_states)))
                    paid.append(process.rewards[s][a])
                    laws.append(masses[s, a] * probability)
        transitions.append(tuple(rows))
        rewards.append(tuple(paid))
    return Process(tuple(transitions), tuple(rewards), process.discount, process.initial), tuple(laws)


def sampled_dual(problem: FlowProblem, values: Sequence[fmpq]) -> arb:
    """(1-gamma)E V + beta E_{D P} f*((r + gamma V(s') - V(s))/beta): the expectation over s' outside f*."""
    process, total = problem.process, arb(0)
    for (s, a), mass in zip(process.pairs, problem.law, strict=True):
        for t, probability in enumerate(process.transitions[s][a]):
            if probability != 0:
                delta = process.rewards[s][a] + process.discount * values[t] - values[s]
                total += balls.ball(mass * probability) * problem.generator.conjugate(balls.ball(delta / problem.beta))
    return balls.ball(problem.start(values)) + balls.ball(problem.beta) * total


def tilted(p: Any, v: Any, beta: Any, discount: Any) -> Any:
    """P e^{gamma V / beta}, the dynamics of an agent that chooses its luck, before normalisation."""
    return p * exp(discount * v / beta)


@claim(
    "OCC-07",
    source=("toolkit", "001 (TD errors of samples)", "ROER sac_learner.py, dataset_utils.py"),
    statement="What single-sample TD errors inside f* compute.",
    formula=(
        "min_V (1−γ)E_{μ0}V + βE_{DP} f*((r + γV(s') − V(s))/β) = the flow problem over d(s,a,s') against D·P;  "
        "KL: P̃ ∝ P e^{γV/β}"
    ),
    stated=THEOREM,
    corrected="It is optimistic: at least the flow optimum, by Jensen, and equal to it for deterministic transitions.",
    method="B+C+P",
    derivation=(
        "Make every transition (a, s') an action: the flow equations of d(s, a, s') are those of the process whose "
        "actions are deterministic, and its dual has δ̂ = r + γV(s') − V(s) inside f*.",
        "f* is convex: E_P f*(δ̂/β) ≥ f*(δ/β) for every V, so its minimum is not below that of the flow problem.",
        "For KL, d(s, a, s') = D P e^{δ̂/β}: given (s, a) the next state has law ∝ P e^{γV(s')/β}.",
    ),
    twins={
        "the expectation inside f*": {"dual": FlowProblem.dual},
        "the start without 1-gamma": {"dual": lambda p, v: sampled_dual(p, v) + p.process.discount * p.start(v)},
        "tilted without gamma": {"dynamics": lambda p, v, beta, discount: p * exp(v / beta)},
        "tilted towards bad luck": {"dynamics": lambda p, v, beta, discount: p * exp(-discount * v / beta)},
        "not tilted": {"dynamics": lambda p, v, beta, discount: p},
    },
)
def occ_07(case: Case, *, dual: Any = sampled_dual, dynamics: Any = tilted) -> None:
    """The sampled dual against Clarabel on the lifted primal; the tilt in balls; deterministic processes."""
    process, _, generic = worlds.textbook()
    beta = worlds.BETA
    wide, laws = lifted(process, generic)
    generators: tuple[Curved, ...] = (KL, JS)
    inside, luck = [], []
    for generator in generators:
        problem, sampled = FlowProblem(process, generic, beta, generator), FlowProblem(wide, laws, beta, generator)
        best = newton(sampled)
        with balls.precision(256):
            inside.append(cone.solve(sampled).decides(dual(problem, best.values), f"{generator.name}: sampled dual"))
            plain = newton(problem).upper
            luck.append(
                Answer(
                    bool(best.lower > plain),
                    f"{generator.name}: {balls.short(best.lower, 6)} > {balls.short(plain, 6)}",
                )
            )
    case.theorem(
        "C", "its minimum is the optimum over d(s, a, s'), as Clarabel encloses it", every(inside, inside[0].witness)
    )
    case.theorem("B", "it exceeds the flow optimum", every(luck, "; ".join(a.witness for a in luck)))
    sampled = FlowProblem(wide, laws, beta, KL)
    with balls.precision(256):
        values = exact_values(sampled)
        ratios = iter(sampled.ratios(values))
        tilts = []
        for s, a in process.pairs:
            targets = [t for t, p in enumerate(process.transitions[s][a]) if p != 0]
            chosen = [balls.ball(process.transitions[s][a][t]) * next(ratios) for t in targets]
            expected = [
                dynamics(
                    balls.ball(process.transitions[s][a][t]), values[t], balls.ball(beta), balls.ball(process.discount)
                )
                for t in targets
            ]
            for c, e in zip(chosen, expected, strict=True):
                defect = c / sum(chosen, arb(0)) - e / sum(expected, arb(0))
                tilts.append(
                    Answer(balls.vanishes_within(defect, fmpq(1, 10**20)), f"({s}, {a}): {balls.short(defect, 3)}")
                )
    case.theorem("B", "KL: the next state has law ∝ P e^{γV/β}", every(tilts))
    same = []
    for world, _, _ in instances.processes(10, seed=8, deterministic=True):
        law = tuple(fmpq(k + 1, len(world.pairs) * (len(world.pairs) + 1) // 2) for k in range(len(world.pairs)))
        plain, (taller, heavier) = FlowProblem(world, law, beta, KL), lifted(world, law)
        same.append(narrow(abs(newton(FlowProblem(taller, heavier, beta, KL)).upper - newton(plain).upper)))
    case.theorem("P", "for deterministic transitions both optima agree", every(same))
    case.comparison("B", "reference.sampled_occupancy", under_test.sampled_optimum())
