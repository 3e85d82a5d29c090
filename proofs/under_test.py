"""Comparisons with `reference` as the thing under test: shown beside a claim, and no part of its verdict.

The inputs are dyadic, so that the floats handed to `reference` are exactly the numbers that the balls are about.
`reference` is imported inside the functions and whatever it raises becomes an answer, so that no verdict hangs on it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flint import fmpq

from proofs import balls, conic
from proofs.divergences import Generator, Law
from proofs.evidence import Answer
from proofs.exact import rational

if TYPE_CHECKING:
    from proofs.generators import Curved

_ADVANTAGE = (0.0, 0.5, -1.25, 2.0)
_BEHAVIOR = (0.125, 0.5, 0.25, 0.125)
_BETA = 0.5


def _law() -> Law:
    return Law(tuple(rational(mass) for mass in _BEHAVIOR), tuple(rational(a) / rational(_BETA) for a in _ADVANTAGE))


def _shielded(comparison: Callable[..., Answer]) -> Callable[..., Answer]:
    """A comparison whose exceptions are answers: the implementation under test then does not agree."""

    @functools.wraps(comparison)
    def compare(*arguments: Any, **options: Any) -> Answer:
        try:
            return comparison(*arguments, **options)
        except Exception as problem:
            return Answer(False, f"{type(problem).__name__}: {problem}")

    return compare


@_shielded
def relaxed_weights(generator: Generator, divergence: str, bracket: Any, cap: float | None = None) -> Answer:
    """Whether `reference.weights.optimal_weights` is as close to the exact weights as its own error bound says.

    The exact multiplier is enclosed by bisection on `bracket(law)`.
    """
    from reference.divergence import divergence_from_name
    from reference.weights import optimal_weights

    law = _law()
    low, high = bracket(law)
    nu = conic.multiplier(law, generator.ratio, low, high, 200)
    theirs = optimal_weights(_ADVANTAGE, _BEHAVIOR, _BETA, divergence_from_name(divergence, cap))
    with balls.precision(256):
        exact = [generator.ratio(balls.ball(z) - nu) for z in law.z]
        errors = [abs(w - balls.ball(float(t))) for w, t in zip(exact, theirs.weights, strict=True)]
        bound = balls.ball(theirs.weights_error)
        holds = all(error <= bound for error in errors)
        worst = max(float(error.upper()) for error in errors)
    return Answer(holds, f"largest error {worst:.1e}, its own bound {theirs.weights_error:.1e}")


@_shielded
def gumbel_value() -> Answer:
    """Whether `reference.conditional.gumbel_value` is the rounded exact soft value.

    The bound counts its roundings: n + 6 units of the value and of the largest |q|.
    """
    import numpy as np

    from reference.conditional import gumbel_value as theirs

    law = _law()
    seen = float(np.ravel(theirs(np.array([_ADVANTAGE]), np.array([_BEHAVIOR]), _BETA))[0])
    with balls.precision(256):
        exact = balls.ball(_BETA) * balls.ball(law.expect([balls.ball(z).exp() for z in law.z])).log()
        error = abs(exact - balls.ball(seen))
        unit = fmpq(1, 2**53)
        bound = (len(_ADVANTAGE) + 6) * unit * (max(abs(rational(a)) for a in _ADVANTAGE) + balls.ball(abs(seen)))
        return Answer(bool(error <= bound), f"error {balls.short(error.upper(), 2)}, bound {balls.short(bound, 2)}")


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
    arguments = (mdp, behavior, _BETA, divergence_from_name(divergence))
    return arguments, mdp, FlowProblem(process, law, rational(_BETA), generator)


@_shielded
def flow_optimum(generator: Curved, divergence: str) -> Answer:
    """Whether the interval of `reference.regularized_occupancy` contains the optimum, enclosed to 30 digits."""
    from proofs.occ.flow import newton
    from reference.regularized import regularized_occupancy

    arguments, _, problem = _flow_case(generator, divergence)
    theirs, ours = regularized_occupancy(*arguments), newton(problem)
    with balls.precision(256):
        holds = balls.ball(theirs.primal) <= ours.lower and ours.upper <= balls.ball(theirs.dual)
    return Answer(holds, f"[{theirs.primal!r}, {theirs.dual!r}] around {balls.short(ours.upper, 20)}")


@_shielded
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


@_shielded
def cap_bounds() -> Answer:
    """Whether the interval of `reference.smallest_cap` contains the exact C_min."""
    from proofs.generators import KL
    from proofs.occ.feasibility import smallest_cap as exactly
    from reference.flow_cap import smallest_cap

    (mdp, behavior, _, _), _, problem = _flow_case(KL, "kl")
    theirs, cap = smallest_cap(mdp, behavior), exactly(problem.process, problem.law)[0]
    holds = bool(rational(theirs.lower) <= cap <= rational(theirs.upper))
    return Answer(holds, f"[{theirs.lower!r}, {theirs.upper!r}] around {cap}")


@_shielded
def conditional_value() -> Answer:
    """Whether `reference.conditional_value` is as close to the conditional optimum as its own error bound says."""
    import numpy as np

    from proofs.generators import KL
    from proofs.occ.conditional import conditional_bounds, gumbel, iterate
    from proofs.occ.flow import middle
    from reference.conditional import conditional_value as theirs

    (mdp, _, _, _), _, problem = _flow_case(KL, "kl")
    policy = ((fmpq(1, 4), fmpq(3, 4)), (fmpq(1, 2), fmpq(1, 2)), (fmpq(7, 8), fmpq(1, 8)))
    seen = theirs(mdp, np.array([[float(m.p) / float(m.q) for m in row] for row in policy]), _BETA)
    beta, process = rational(_BETA), problem.process
    values = iterate(process, policy, beta, gumbel)
    with balls.precision(256):
        deltas = [balls.ball(process.td_error(s, a, values)) / balls.ball(beta) for s, a in process.pairs]
        raw = [rational(policy[s][a]) * middle(d.exp()) for (s, a), d in zip(process.pairs, deltas, strict=True)]
        low, high = conditional_bounds(process, policy, beta, values, raw)
        # (1 - gamma) E V moves with the bound on V; its own sum of three products rounds a few times.
        allowed = balls.ball(seen.error_bound) + balls.ball(8 * fmpq(1, 2**53)) * abs(high)
        error = abs(balls.ball(seen.objective) - low).max(abs(balls.ball(seen.objective) - high))
    return Answer(bool(error <= allowed), f"error {balls.short(error.upper(), 2)}, bound {balls.short(allowed, 2)}")


@_shielded
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


def _within(beta: Any, theirs: Any, unit: str) -> Answer:
    """Whether a proved interval of `reference` contains an enclosed beta."""
    with balls.precision(256):
        holds = balls.ball(theirs.low) <= beta and beta <= balls.ball(theirs.high)
    return Answer(bool(holds), f"[{theirs.low!r}, {theirs.high!r}] around {balls.short(beta, 20)}, {unit}")


@_shielded
def temperature_for_kl() -> Answer:
    """Whether the interval of `reference.beta_for_kl` contains the root, enclosed in balls."""
    from proofs.bet.ball import temperature
    from reference.temperature import beta_for_kl

    radius = 0.25
    data = Law(tuple(rational(m) for m in _BEHAVIOR), tuple(rational(a) for a in _ADVANTAGE))
    return _within(temperature(data, rational(radius)), beta_for_kl(_ADVANTAGE, _BEHAVIOR, radius), "KL = 1/4")


@_shielded
def temperature_for_samples() -> Answer:
    """Whether the interval of `reference.beta_for_effective_sample_fraction` contains the root, enclosed in balls."""
    from reference.temperature import beta_for_effective_sample_fraction

    uniform = (0.25, 0.25, 0.25, 0.25)

    def excess(beta: Any) -> Any:
        raw = [(balls.ball(rational(a)) / beta).exp() for a in _ADVANTAGE]
        total, square = sum(raw, balls.ball(0)), sum((w * w for w in raw), balls.ball(0))
        return balls.ball(fmpq(3, 4)) - total * total / square / 4

    beta = balls.root(excess, fmpq(1, 8), fmpq(64))
    return _within(beta, beta_for_effective_sample_fraction(_ADVANTAGE, uniform, 0.75), "ESS/n = 3/4")


@_shielded
def sample_floor() -> Answer:
    """Whether `reference.effective_sample_floor` is 1/cosh²(R/2β) up to the roundings of one division and cosh."""
    from reference.concentration import effective_sample_floor

    errors = []
    with balls.precision(128):
        for spread, beta in ((1.0, 1.0), (3.25, 0.5), (0.125, 8.0)):
            half = rational(spread) / rational(beta) / 2
            exact = 1 / balls.ball(half).cosh() ** 2
            # cosh passes a relative error of its argument x on with the factor x tanh x; then two operations.
            allowed = (2 * balls.ball(half) + 8) * balls.ball(fmpq(1, 2**53)) * exact
            error = abs(balls.ball(effective_sample_floor(spread, beta)) - exact)
            errors.append(bool(error <= allowed))
    return Answer(all(errors), f"{len(errors)} instances within their rounding")


@_shielded
def conjugate_table() -> Answer:
    """Whether f, f', f* and (f*)' of `reference.divergence` are as accurate, relatively, as it says (FD-01).

    Its generators have f(1) = f'(1) = 0: with b = f'(1) of the raw one, f - f(1) - b(w-1) and f*(y + b) + f(1) - b.
    """
    import numpy as np

    from proofs import generators
    from reference.divergence import RELATIVE_ACCURACY, divergence_from_name

    failed, worst = [], 0.0
    with balls.precision(256):
        accuracy = balls.ball(rational(RELATIVE_ACCURACY))
        for ours, theirs in (
            (generators.KL, divergence_from_name("kl")),
            (generators.JS, divergence_from_name("js")),
            (generators.fermi_dirac(fmpq(3)), divergence_from_name("fermi-dirac", 3.0)),
        ):
            one = balls.ball(1)
            level, slope = ours.value(one), ours.derivative(one)
            for w in (0.0625, 0.5, 1.5, 2.875):
                x = balls.ball(rational(w))
                y = float(np.log(w)) / 2.0
                at = balls.ball(rational(y)) + slope
                for exact, seen in (
                    (ours.value(x) - level - slope * (x - 1), theirs.f(w)),
                    (ours.derivative(x) - slope, theirs.f_prime(w)),
                    (ours.conjugate(at) + level - slope, theirs.conjugate(y)),
                    (ours.ratio(at), theirs.ratio(y)),
                ):
                    relative = abs(balls.ball(float(seen)) / exact - 1)
                    worst = max(worst, float(relative.upper()))
                    if not relative <= accuracy:
                        failed.append(theirs.name)
    return Answer(not failed, f"48 values, largest relative error {worst:.1e}, bound {RELATIVE_ACCURACY:.1e}")


@_shielded
def relaxed_value(generator: Curved, divergence: str, cap: float | None = None) -> Answer:
    """Whether value and dual of `reference.weights.optimal_weights` are within its own gap of the exact optimum."""
    from proofs.fd.duality import multiplier
    from reference.divergence import divergence_from_name
    from reference.weights import optimal_weights

    law = _law()
    theirs = optimal_weights(_ADVANTAGE, _BEHAVIOR, _BETA, divergence_from_name(divergence, cap))
    with balls.precision(256):
        exact = balls.ball(_BETA) * conic.dual_value(law, generator, multiplier(law, generator))
        errors = [abs(exact - balls.ball(number)) for number in (theirs.value, theirs.dual)]
        holds = all(error <= balls.ball(theirs.gap) for error in errors)
        worst = max(float(error.upper()) for error in errors)
    return Answer(holds, f"largest error {worst:.1e}, its own gap {theirs.gap:.1e}")
