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


@_shielded
def concentration() -> Answer:
    """Whether effective sample size and perplexity of `reference` are the exact ones, rounded.

    Bounds: n + 10 roundings of the sums and quotients; the perplexity's exponent is at most log n, so an elementary
    function off by a few units adds no more than 16.
    """
    from reference.concentration import perplexity
    from reference.weights import effective_sample_size

    weights = (0.5, 3.0, 1.25, 7.0)
    count, uniform = len(weights), [0.25] * 4
    with balls.precision(256):
        exact = [balls.ball(w) for w in weights]
        total = sum(exact[1:], exact[0])
        shares = [w / total for w in exact]
        size = 1 / sum((s * s for s in shares[1:]), shares[0] * shares[0])
        entropy = -sum((s * s.log() for s in shares[1:]), shares[0] * shares[0].log())
        seen = effective_sample_size(weights, uniform), perplexity(weights, uniform)
        errors = [abs(balls.ball(s) / e - 1) for s, e in zip(seen, (size, entropy.exp()), strict=True)]
        bounds = [fmpq(count + 10, 2**53), fmpq(2 * count + 36, 2**53)]
        holds = all(bool(error <= bound) for error, bound in zip(errors, bounds, strict=True))
        return Answer(holds, f"relative errors {', '.join(balls.short(e.upper(), 2) for e in errors)}")


@_shielded
def elasticity(perplexity: bool = False) -> Answer:
    """Whether an elasticity of `reference.concentration` is exact, rounded, with m the tilted mean of A.

    2 t (m(2t) - m(t)) for the effective sample size, Var_d(A) / beta^2 for the perplexity. Bound: 2n + 16 roundings,
    each of a term no larger than twice the range of A / beta, or its square.
    """
    from reference import concentration

    law = _law()
    theirs = concentration.perplexity_elasticity if perplexity else concentration.effective_sample_elasticity
    seen = theirs(_ADVANTAGE, _BEHAVIOR, _BETA)
    with balls.precision(256):
        z = [balls.ball(value) for value in law.z]

        def tilted(power: int, moment: int = 1) -> Any:
            raw = [(power * value).exp() for value in z]
            return law.expect([w * value**moment for w, value in zip(raw, z, strict=True)]) / law.expect(raw)

        exact = tilted(1, 2) - tilted(1) ** 2 if perplexity else 2 * (tilted(2) - tilted(1))
        error = abs(exact - balls.ball(seen))
        spread = 2 * (max(law.z) - min(law.z))
        bound = (2 * len(z) + 16) * fmpq(1, 2**53) * (spread**2 if perplexity else spread)
        holds = bool(error <= balls.ball(bound))
    return Answer(holds, f"error {balls.short(error.upper(), 2)}, bound {float(bound.p) / float(bound.q):.1e}")


@_shielded
def feedback(sign: Any) -> Answer:
    """Whether `reference.temperature_feedback` steps and linearises a law for beta of this sign exactly, rounded.

    Bounds: 16 roundings for one step (an exponent below one), and for an eigenvalue 32 roundings of its size.
    """
    from reference import temperature_feedback as theirs

    law = theirs.FeedbackLaw(target=5.0, eta=0.125, rho=0.0625)
    start, signal = theirs.FeedbackState(estimate=4.0, beta=0.75), 6.5
    step = theirs.printed_law if sign > 0 else theirs.stable_law
    seen = step(law, start, signal)
    with balls.precision(256):
        estimate = balls.ball((1 - law.rho) * start.estimate + law.rho * signal)
        beta = balls.ball(start.beta) * (balls.ball(sign * law.eta) * (estimate - 5) / 5).exp()
        errors = [abs(balls.ball(seen.estimate) / estimate - 1), abs(balls.ball(seen.beta) / beta - 1)]
        u = sign * fmpq(1, 8) * fmpq(1, 16) * fmpq(3, 2)
        half, determinant = (2 - fmpq(1, 16) + u) / 2, 1 - fmpq(1, 16)
        root = balls.ball(abs(half**2 - determinant)).sqrt()
        if half**2 > determinant:
            exact = (balls.ball(half) + root, balls.ball(0)), (balls.ball(half) - root, balls.ball(0))
        else:
            exact = (balls.ball(half), root), (balls.ball(half), -root)
        found = theirs.eigenvalues(law.eta, law.rho, 1.5, sign)
        apart = [
            abs(balls.ball(value.real) - x) + abs(abs(balls.ball(value.imag)) - abs(y))
            for value, (x, y) in zip(found, exact, strict=True)
        ]
        unit = fmpq(1, 2**53)
        holds = all(bool(e <= 16 * unit) for e in errors) and all(bool(e <= 32 * unit) for e in apart)
        worst = max(float(e.upper()) for e in [*errors, *apart])
    return Answer(holds, f"largest error {worst:.1e}")


@_shielded
def rates() -> Answer:
    """Whether `reference.temperature_feedback` has the exact range of the exponent, and its two counts of steps.

    Bound: 8 roundings for each end of the range; the counts are integers, and far from a jump here.
    """
    from reference import temperature_feedback as theirs

    seen = theirs.log_factor_range(0.125, 0.5, 256)
    errors = [abs(rational(end) / exact - 1) for end, exact in zip(seen, (fmpq(-127, 1024), fmpq(1, 8)), strict=True)]
    crossing = theirs.fewest_steps(1e-3, 10.0, 0.1, 0.5, 256)
    law = theirs.FeedbackLaw(target=4.0, eta=0.125, rho=0.0625)
    hitting = theirs.hitting_time_bound(law, theirs.FeedbackState(estimate=5.0, beta=1.0))
    with balls.precision(128):
        expected = balls.ball(10).log() * 32  # log(10)/(0.125 * 0.25) = 73.68...
        counted = crossing == 93 and bool(hitting - 1 < expected) and bool(expected <= hitting)
    holds = counted and all(error <= fmpq(8, 2**53) for error in errors)
    return Answer(holds, f"{crossing} and {hitting} iterations, ends {seen[0]:.6g} and {seen[1]:.6g}")


_ACTION_VALUES = (0.0, 1.0, 3.0)
_TEMPERATURE = 0.75


@_shielded
def boltzmann_policy() -> Answer:
    """Whether `reference.bellman` has the rounded exact Boltzmann policy and soft value of one state.

    The bounds count roundings: n + 8 units of each probability, and of the value's largest summand.
    """
    import numpy as np

    from reference.bellman import boltzmann, soft_maximum

    q = np.array([_ACTION_VALUES])
    seen = [float(x) for x in boltzmann(q, _TEMPERATURE)[0]]
    value = float(np.ravel(soft_maximum(q, _TEMPERATURE))[0])
    with balls.precision(256):
        raw = [(balls.ball(x) / balls.ball(_TEMPERATURE)).exp() for x in _ACTION_VALUES]
        partition = sum(raw, balls.ball(0))
        unit = balls.ball(fmpq(len(raw) + 8, 2**53))
        errors = [abs(x / partition - balls.ball(p)) / balls.ball(p) for x, p in zip(raw, seen, strict=True)]
        exact = balls.ball(_TEMPERATURE) * partition.log()
        errors.append(abs(exact - balls.ball(value)) / balls.ball(max(abs(value), *_ACTION_VALUES)))
        worst = max(float(error.upper()) for error in errors)
        return Answer(all(bool(error <= unit) for error in errors), f"largest relative error {worst:.1e}")


@_shielded
def soft_optimum() -> Answer:
    """Whether `reference.soft.solve_soft` is as close to the exact soft optimal values as its own error bound says.

    The exact ones are enclosed by 160 steps of the soft Bellman operator, a contraction with modulus 1/2, in balls.
    """
    import numpy as np

    from reference.mdp import MDP
    from reference.soft import solve_soft

    transitions = np.array([[[0.25, 0.75], [1.0, 0.0]], [[0.5, 0.5], [0.0, 1.0]]])
    rewards = np.array([[1.0, -0.5], [0.25, 2.0]])
    solved = solve_soft(MDP(transitions, rewards, 0.5, np.array([0.5, 0.5])), _TEMPERATURE)
    with balls.precision(256):
        alpha, values = balls.ball(_TEMPERATURE), [balls.ball(0), balls.ball(0)]
        steps = []
        for _ in range(160):
            rows = [
                [
                    balls.ball(float(rewards[s, a]))
                    + sum(
                        (balls.ball(float(p)) * v for p, v in zip(transitions[s, a], values, strict=True)),
                        balls.ball(0),
                    )
                    / 2
                    for a in range(2)
                ]
                for s in range(2)
            ]
            new = [alpha * sum(((q / alpha).exp() for q in row), balls.ball(0)).log() for row in rows]
            steps.append(max((abs(x - y).upper() for x, y in zip(values, new, strict=True)), key=float))
            values = new
        rest = steps[0] / balls.ball(2) ** 159
        errors = [abs(v - balls.ball(float(t))) + rest for v, t in zip(values, solved.values, strict=True)]
        holds = all(error <= balls.ball(float(solved.error_bound)) for error in errors)
        worst = max(float(error.upper()) for error in errors)
    return Answer(holds, f"largest error {worst:.1e}, its own bound {solved.error_bound:.1e}")


@_shielded
def temperature_for_entropy(entropy: Callable[[Any], Any], action_values: tuple[int, ...]) -> Answer:
    """Whether the interval of `reference.entropy_target.temperature_for_entropy_at` holds the exact temperature.

    `entropy` is that of the Boltzmann policy of these values at a temperature; the target is a dyadic 0.75.
    """
    import numpy as np

    from reference.entropy_target import temperature_for_entropy_at

    found = temperature_for_entropy_at(np.array([action_values], dtype=np.float64), 0.75, np.array([1.0]))
    with balls.precision(256):
        target = balls.ball(fmpq(3, 4))
        below, above = (entropy(balls.ball(float(end))) for end in (found.low, found.high))
        width = (found.high - found.low) / found.alpha
    return Answer(bool(below < target < above), f"alpha {found.alpha:.6f}, relative width {width:.1e}")
