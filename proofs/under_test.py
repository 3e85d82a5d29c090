"""Comparisons with `reference` as the thing under test: shown beside a claim, and no part of its verdict.

The inputs are dyadic, so that the floats handed to `reference` are exactly the numbers that the balls are about.
`reference` is imported inside the functions and whatever it raises becomes an answer, so that no verdict hangs on it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from flint import fmpq

from proofs import balls, conic
from proofs.divergences import Generator, Law
from proofs.evidence import Answer
from proofs.exact import rational

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
