"""Comparisons with `reference`: effective sample sizes, and the temperatures that meet a target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flint import fmpq

from proofs import balls
from proofs.divergences import Law
from proofs.evidence import Answer
from proofs.exact import rational
from proofs.under_test.data import ADVANTAGE, BEHAVIOR, BETA, law, shielded

if TYPE_CHECKING:
    pass


def _within(beta: Any, theirs: Any, unit: str) -> Answer:
    """Whether a proved interval of `reference` contains an enclosed beta."""
    with balls.precision(256):
        holds = balls.ball(theirs.low) <= beta and beta <= balls.ball(theirs.high)
    return Answer(bool(holds), f"[{theirs.low!r}, {theirs.high!r}] around {balls.short(beta, 20)}, {unit}")


@shielded
def temperature_for_kl() -> Answer:
    """Whether the interval of `reference.beta_for_kl` contains the root, enclosed in balls."""
    from proofs.bet.ball import temperature
    from reference.temperature import beta_for_kl

    radius = 0.25
    data = Law(tuple(rational(m) for m in BEHAVIOR), tuple(rational(a) for a in ADVANTAGE))
    return _within(temperature(data, rational(radius)), beta_for_kl(ADVANTAGE, BEHAVIOR, radius), "KL = 1/4")


@shielded
def temperature_for_samples() -> Answer:
    """Whether the interval of `reference.beta_for_effective_sample_fraction` contains the root, enclosed in balls."""
    from reference.temperature import beta_for_effective_sample_fraction

    uniform = (0.25, 0.25, 0.25, 0.25)

    def excess(beta: Any) -> Any:
        raw = [(balls.ball(rational(a)) / beta).exp() for a in ADVANTAGE]
        total, square = sum(raw, balls.ball(0)), sum((w * w for w in raw), balls.ball(0))
        return balls.ball(fmpq(3, 4)) - total * total / square / 4

    beta = balls.root(excess, fmpq(1, 8), fmpq(64))
    return _within(beta, beta_for_effective_sample_fraction(ADVANTAGE, uniform, 0.75), "ESS/n = 3/4")


@shielded
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


@shielded
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


@shielded
def elasticity(perplexity: bool = False) -> Answer:
    """Whether an elasticity of `reference.concentration` is exact, rounded, with m the tilted mean of A.

    2 t (m(2t) - m(t)) for the effective sample size, Var_d(A) / beta^2 for the perplexity. Bound: 2n + 16 roundings,
    each of a term no larger than twice the range of A / beta, or its square.
    """
    from reference import concentration

    data = law()
    theirs = concentration.perplexity_elasticity if perplexity else concentration.effective_sample_elasticity
    seen = theirs(ADVANTAGE, BEHAVIOR, BETA)
    with balls.precision(256):
        z = [balls.ball(value) for value in data.z]

        def tilted(power: int, moment: int = 1) -> Any:
            raw = [(power * value).exp() for value in z]
            return data.expect([w * value**moment for w, value in zip(raw, z, strict=True)]) / data.expect(raw)

        exact = tilted(1, 2) - tilted(1) ** 2 if perplexity else 2 * (tilted(2) - tilted(1))
        error = abs(exact - balls.ball(seen))
        spread = 2 * (max(data.z) - min(data.z))
        bound = (2 * len(z) + 16) * fmpq(1, 2**53) * (spread**2 if perplexity else spread)
        holds = bool(error <= balls.ball(bound))
    return Answer(holds, f"error {balls.short(error.upper(), 2)}, bound {float(bound.p) / float(bound.q):.1e}")


@shielded
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


@shielded
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
