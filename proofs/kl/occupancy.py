"""What the relaxed problem leaves out: the Bellman flow that makes a distribution an occupancy (KL-05, KL-06)."""

from __future__ import annotations

import itertools
from typing import Any

from flint import fmpq

from proofs import balls, instances
from proofs.arithmetic import exp
from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.exact import LogNumber, Process
from proofs.verdict import FALSE, true_if


def flow_counterexample() -> Process:
    """State 0 leads to state 1, which loops; only state 1 pays, +1 or -1 (in units of log 9), discount 1/2."""
    to_one, one = (fmpq(0), fmpq(1)), (fmpq(0), fmpq(1))
    return Process(
        ((to_one, to_one), (one, one)), ((fmpq(0), fmpq(0)), (fmpq(1), fmpq(-1))), fmpq(1, 2), (fmpq(1), fmpq(0))
    )


def bandit() -> Process:
    """The same two rewards in a single state: there every distribution over actions is an occupancy."""
    return Process((((fmpq(1),), (fmpq(1),)),), ((fmpq(1), fmpq(-1)),), fmpq(1, 2), (fmpq(1),))


def relaxed_optimum(process: Process, behavior: Any, policy: Any, base: Any = 9) -> dict[tuple[int, int], fmpq]:
    """D exp(A^pi) normalised, for advantages that are integer multiples of log `base`: exactly rational."""
    advantages = process.advantages(policy)
    raw = {pair: behavior[pair] * exp(LogNumber.log(base) * advantages[pair]) for pair in process.pairs}
    total = sum(raw.values(), fmpq(0))
    return {pair: mass / total for pair, mass in raw.items()}


def uniform_policy(process: Process) -> Any:
    """Every action with the same probability."""
    return tuple(tuple(fmpq(1, len(r)) for _ in r) for r in process.rewards)


def uniform_pairs(process: Process) -> dict[tuple[int, int], fmpq]:
    """The uniform distribution over pairs."""
    return {pair: fmpq(1, len(process.pairs)) for pair in process.pairs}


@claim(
    "KL-05",
    source="000 §1",
    statement="The distribution d that solves the problem is the target occupancy, that of the optimal policy.",
    formula="d* = argmax Σ d A − β KL(d‖d_b) is the occupancy of a policy",
    stated=FALSE,
    corrected=(
        "The relaxed d* need not satisfy the Bellman flow equations, so in general it is the occupancy of no policy; "
        "it always is one when there is a single state. (See OCC-05 for what the relaxed value bounds.)"
    ),
    method="Q+P",
    derivation=(
        "Two states, γ = 1/2, start in s0; both actions of s0 lead to s1 (reward 0), which loops with rewards ±log 9.",
        "π uniform: V = 0, so A(s0,·) = 0 and A(s1,·) = ±log 9. With β = 1 and d_b uniform, d* ∝ (1, 1, 9, 1/9).",
        "d* gives s0 the mass 2/(2 + 82/9) = 9/50. But s0 is never visited again, so every policy gives it "
        "1 − γ = 1/2 exactly.",
    ),
    twins={
        "the instance where it is one": {"instance": bandit},
        "the correction without its condition": {"single_state": flow_counterexample},
    },
)
def kl_05(case: Case, *, instance: Any = flow_counterexample, single_state: Any = bandit) -> None:
    """Exact flow residuals of the relaxed optimum; the mass that every policy gives to the first state."""
    process = instance()
    optimum = relaxed_optimum(process, uniform_pairs(process), uniform_policy(process))
    residuals = process.flow_residual(optimum)
    first = sum((mass for (s, _), mass in optimum.items() if s == 0), fmpq(0))
    masses = set()
    for choice in itertools.product(*(range(len(r)) for r in process.rewards)):
        policy = tuple(
            tuple(fmpq(int(a == chosen)) for a in range(len(process.rewards[s]))) for s, chosen in enumerate(choice)
        )
        occupancy = process.occupancy(policy)
        masses.add(str(sum((mass for (s, _), mass in occupancy.items() if s == 0), fmpq(0))))
    case.claimed(
        "Q",
        "the relaxed optimum satisfies the flow equations",
        all(r == 0 for r in residuals),
        f"mass of s0: {first}; under every deterministic policy: {', '.join(sorted(masses))}; "
        f"flow residuals ({', '.join(map(str, residuals))})",
    )
    case.support(
        "Q",
        "an occupancy satisfies the flow equations, by the same residual",
        every(
            Answer(all(r == 0 for r in process_.flow_residual(process_.occupancy(policy))))
            for process_, policy, _ in instances.processes(6)
        ),
    )
    alone = single_state()
    flow = alone.flow_residual(relaxed_optimum(alone, uniform_pairs(alone), uniform_policy(alone)))
    case.corrected(
        "Q",
        "with a single state it is an occupancy",
        all(r == 0 for r in flow),
        f"residuals {', '.join(map(str, flow))}",
    )
    off = []
    for process_, policy, _ in instances.processes(12, seed=5):
        advantages = process_.advantages(policy)
        with balls.precision(128):
            raw = {pair: balls.ball(advantages[pair]).exp() / len(process_.pairs) for pair in process_.pairs}
            total = sum(raw.values(), balls.ball(0))
            residual = process_.flow_residual({pair: mass / total for pair, mass in raw.items()})
            off.append(Answer(any(not balls.ball(r).contains(0) for r in residual)))
    case.corrected("P", "on random processes the flow residual of d* excludes 0", every(off))


def improvement_scale(discount: Any) -> Any:
    """The factor of the performance-difference identity."""
    return 1 / (1 - discount)


@claim(
    "KL-06",
    source="000 §1",
    statement="The linear term Σ d A^π measures how much better the policy behind d is than π.",
    formula="(1/(1−γ)) Σ d A^π = J(π_d) − J(π)",
    stated=true_if("d is an occupancy (flow-feasible)"),
    corrected="For a distribution d that is no occupancy the linear term is not a policy improvement.",
    method="Q+P",
    derivation=(
        "Performance difference: unroll V^π along π_d; each step contributes γ^t A^π(s_t, a_t).",
        "Σ_t γ^t P(s_t, a_t) = d_π'(s, a)/(1−γ), which gives the identity, and needs d to be exactly that occupancy.",
        "Move half of d onto one pair: the policy read off from d has a different occupancy, and the two sides differ.",
    ),
    twins={
        "factor 1/(1-gamma) dropped": {"scale": lambda discount: 1},
        "gamma in place of 1-gamma": {"scale": lambda discount: 1 / discount},
        "sign of the advantage": {"scale": lambda discount: -1 / (1 - discount)},
    },
)
def kl_06(case: Case, *, scale: Any = improvement_scale) -> None:
    """Exact on rational processes: the occupancy of a second policy, and that occupancy moved off the flow."""

    def difference(process: Process, policy: Any, occupancy: Any) -> Answer:
        advantages = process.advantages(policy)
        left = scale(process.discount) * sum((occupancy[pair] * advantages[pair] for pair in process.pairs), fmpq(0))
        right = process.objective(instances.policy_of(process, occupancy)) - process.objective(policy)
        return Answer(left == right, f"left {balls.short(left)}, right {balls.short(right)}")

    family = list(instances.processes(24, seed=1))
    case.within(
        "P",
        "identity for the occupancy of a second policy",
        every(difference(process, policy, process.occupancy(other)) for process, policy, other in family),
    )
    process, policy, other = family[0]
    case.within("Q", "one of them", difference(process, policy, process.occupancy(other)))
    case.outside(
        "Q",
        "identity for a d with half its mass moved onto one pair",
        difference(process, policy, instances.off_flow(process, process.occupancy(other))),
    )
