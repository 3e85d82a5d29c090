"""Comparisons with `reference`: the flow problem, the conditional and the sampled one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flint import fmpq

from proofs import balls
from proofs.evidence import Answer
from proofs.exact import rational
from proofs.under_test.data import BETA, shielded

if TYPE_CHECKING:
    from proofs.generators import Curved


def _flow_case(generator: Curved, divergence: str) -> tuple[Any, Any, Any]:
    """The dyadic flow problem, for `reference` and for balls."""
    import numpy as np

    from proofs.occ import worlds
    from proofs.occ.flow import FlowProblem
    from reference.divergence import divergence_from_name
    from reference.mdp import MDP

    process, law = worlds.dyadic()
    number = float
    transitions = np.array([[[number(p.p) / number(p.q) for p in row] for row in pair] for pair in process.transitions])
    rewards = np.array([[number(r.p) / number(r.q) for r in row] for row in process.rewards])
    initial = np.array([number(m.p) / number(m.q) for m in process.initial])
    mdp = MDP(transitions, rewards, number(process.discount.p) / number(process.discount.q), initial)
    behavior = np.array([number(m.p) / number(m.q) for m in law]).reshape(rewards.shape)
    arguments = (mdp, behavior, BETA, divergence_from_name(divergence))
    return arguments, mdp, FlowProblem(process, law, rational(BETA), generator)


@shielded
def flow_optimum(generator: Curved, divergence: str) -> Answer:
    """Whether the interval of `reference.regularized_occupancy` contains the optimum, enclosed to 30 digits."""
    from proofs.occ.flow import newton
    from reference.regularized import regularized_occupancy

    arguments, _, problem = _flow_case(generator, divergence)
    theirs, ours = regularized_occupancy(*arguments), newton(problem)
    with balls.precision(256):
        holds = balls.ball(theirs.primal) <= ours.lower and ours.upper <= balls.ball(theirs.dual)
    return Answer(holds, f"[{theirs.primal!r}, {theirs.dual!r}] around {balls.short(ours.upper, 20)}")


@shielded
def flow_certificate(generator: Curved, divergence: str) -> Answer:
    """Whether the bounds of `reference.flow_bounds` lie outside those in balls, at the same V and policy."""
    from proofs.occ.flow import occupancy_of
    from reference.regularized import flow_bounds, regularized_occupancy

    arguments, _, problem = _flow_case(generator, divergence)
    theirs = regularized_occupancy(*arguments)
    policy = [[rational(float(x)) for x in row] for row in theirs.policy]
    mdp, behavior, beta, divergence_ = arguments
    seen = flow_bounds(mdp, behavior, beta, divergence_, theirs.values, theirs.policy)
    with balls.precision(256):
        # Rows of their policy sum to one up to rounding; the exact occupancy needs them to do so exactly.
        rows = tuple(tuple(x / sum(row, fmpq(0)) for x in row) for row in policy)
        low = problem.objective(occupancy_of(problem.process, rows))
        high = problem.dual([rational(float(v)) for v in theirs.values])
        holds = bool(balls.ball(seen.primal) <= low and high <= balls.ball(seen.dual))
    return Answer(holds, f"[{seen.primal!r}, {seen.dual!r}] around [{balls.short(low, 18)}, {balls.short(high, 18)}]")


@shielded
def cap_bounds() -> Answer:
    """Whether the interval of `reference.smallest_cap` contains the exact C_min."""
    from proofs.generators import KL
    from proofs.occ.feasibility import smallest_cap as exactly
    from reference.flow_cap import smallest_cap

    (mdp, behavior, _, _), _, problem = _flow_case(KL, "kl")
    theirs, cap = smallest_cap(mdp, behavior), exactly(problem.process, problem.law)[0]
    holds = bool(rational(theirs.lower) <= cap <= rational(theirs.upper))
    return Answer(holds, f"[{theirs.lower!r}, {theirs.upper!r}] around {cap}")


@shielded
def conditional_value() -> Answer:
    """Whether `reference.conditional_value` is as close to the conditional optimum as its own error bound says."""
    import numpy as np

    from proofs.generators import KL
    from proofs.occ.conditional import conditional_bounds, gumbel, iterate
    from proofs.occ.flow import middle
    from reference.conditional import conditional_value as theirs

    (mdp, _, _, _), _, problem = _flow_case(KL, "kl")
    policy = ((fmpq(1, 4), fmpq(3, 4)), (fmpq(1, 2), fmpq(1, 2)), (fmpq(7, 8), fmpq(1, 8)))
    seen = theirs(mdp, np.array([[float(m.p) / float(m.q) for m in row] for row in policy]), BETA)
    beta, process = rational(BETA), problem.process
    values = iterate(process, policy, beta, gumbel)
    with balls.precision(256):
        deltas = [balls.ball(process.td_error(s, a, values)) / balls.ball(beta) for s, a in process.pairs]
        raw = [rational(policy[s][a]) * middle(d.exp()) for (s, a), d in zip(process.pairs, deltas, strict=True)]
        low, high = conditional_bounds(process, policy, beta, values, raw)
        # (1 - gamma) E V moves with the bound on V; its own sum of three products rounds a few times.
        allowed = balls.ball(seen.error_bound) + balls.ball(8 * fmpq(1, 2**53)) * abs(high)
        error = abs(balls.ball(seen.objective) - low).max(abs(balls.ball(seen.objective) - high))
    return Answer(bool(error <= allowed), f"error {balls.short(error.upper(), 2)}, bound {balls.short(allowed, 2)}")


@shielded
def sampled_optimum() -> Answer:
    """Whether the interval of `reference.sampled_occupancy` contains the sampled optimum, enclosed to 30 digits."""
    from proofs.generators import KL
    from proofs.occ.flow import FlowProblem, newton
    from proofs.occ.sampled import lifted
    from reference.sampled import sampled_occupancy

    arguments, _, problem = _flow_case(KL, "kl")
    theirs = sampled_occupancy(*arguments)
    process, law = lifted(problem.process, problem.law)
    ours = newton(FlowProblem(process, law, problem.beta, KL))
    with balls.precision(256):
        holds = balls.ball(theirs.primal) <= ours.lower and ours.upper <= balls.ball(theirs.dual)
    return Answer(bool(holds), f"[{theirs.primal!r}, {theirs.dual!r}] around {balls.short(ours.upper, 20)}")
