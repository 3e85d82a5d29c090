"""Comparisons with `reference`: weights and values of the relaxed problem."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flint import fmpq

from proofs import balls, conic
from proofs.divergences import Generator
from proofs.evidence import Answer
from proofs.exact import rational
from proofs.under_test.data import ADVANTAGE, BEHAVIOR, BETA, law, shielded

if TYPE_CHECKING:
    from proofs.generators import Curved


@shielded
def relaxed_weights(generator: Generator, divergence: str, bracket: Any, cap: float | None = None) -> Answer:
    """Whether `reference.weights.optimal_weights` is as close to the exact weights as its own error bound says.

    The exact multiplier is enclosed by bisection on `bracket(data)`.
    """
    from reference.divergence import divergence_from_name
    from reference.weights import optimal_weights

    data = law()
    low, high = bracket(data)
    nu = conic.multiplier(data, generator.ratio, low, high, 200)
    theirs = optimal_weights(ADVANTAGE, BEHAVIOR, BETA, divergence_from_name(divergence, cap))
    with balls.precision(256):
        exact = [generator.ratio(balls.ball(z) - nu) for z in data.z]
        errors = [abs(w - balls.ball(float(t))) for w, t in zip(exact, theirs.weights, strict=True)]
        bound = balls.ball(theirs.weights_error)
        holds = all(error <= bound for error in errors)
        worst = max(float(error.upper()) for error in errors)
    return Answer(holds, f"largest error {worst:.1e}, its own bound {theirs.weights_error:.1e}")


@shielded
def relaxed_value(generator: Curved, divergence: str, cap: float | None = None) -> Answer:
    """Whether value and dual of `reference.weights.optimal_weights` are within its own gap of the exact optimum."""
    from proofs.fd.duality import multiplier
    from reference.divergence import divergence_from_name
    from reference.weights import optimal_weights

    data = law()
    theirs = optimal_weights(ADVANTAGE, BEHAVIOR, BETA, divergence_from_name(divergence, cap))
    with balls.precision(256):
        exact = balls.ball(BETA) * conic.dual_value(data, generator, multiplier(data, generator))
        errors = [abs(exact - balls.ball(number)) for number in (theirs.value, theirs.dual)]
        holds = all(error <= balls.ball(theirs.gap) for error in errors)
        worst = max(float(error.upper()) for error in errors)
    return Answer(holds, f"largest error {worst:.1e}, its own gap {theirs.gap:.1e}")


@shielded
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


@shielded
def gumbel_value() -> Answer:
    """Whether `reference.conditional.gumbel_value` is the rounded exact soft value.

    The bound counts its roundings: n + 6 units of the value and of the largest |q|.
    """
    import numpy as np

    from reference.conditional import gumbel_value as theirs

    data = law()
    seen = float(np.ravel(theirs(np.array([ADVANTAGE]), np.array([BEHAVIOR]), BETA))[0])
    with balls.precision(256):
        exact = balls.ball(BETA) * balls.ball(data.expect([balls.ball(z).exp() for z in data.z])).log()
        error = abs(exact - balls.ball(seen))
        unit = fmpq(1, 2**53)
        bound = (len(ADVANTAGE) + 6) * unit * (max(abs(rational(a)) for a in ADVANTAGE) + balls.ball(abs(seen)))
        return Answer(bool(error <= bound), f"error {balls.short(error.upper(), 2)}, bound {balls.short(bound, 2)}")


@shielded
def fitted_value(generator: Generator, divergence: str, bracket: Any, cap: float | None = None) -> Answer:
    """Whether the minimiser of `reference.value_loss` is as close to beta nu as its own error says.

    `cap` continues the loss beyond the cap by its tangent; nu is enclosed by bisection on `bracket(law)`.
    """
    from reference.divergence import Capped, divergence_from_name
    from reference.value_loss import fitted_value as theirs

    data = law()
    low, high = bracket(data)
    kind = divergence_from_name(divergence)
    seen = theirs(_array(ADVANTAGE), _array(BEHAVIOR), BETA, kind if cap is None else Capped(kind, cap))
    with balls.precision(256):
        exact = balls.ball(BETA) * conic.multiplier(data, generator.ratio, low, high, 200)
        error = abs(exact - balls.ball(seen.value))
        holds = bool(error <= balls.ball(seen.error))
    return Answer(holds, f"error {balls.short(error.upper(), 2)}, its own bound {seen.error:.1e}")


@shielded
def additive_average() -> Answer:
    """Whether `reference.recursion` keeps w* and approaches it by the factor 1 - b, exactly on dyadic numbers."""
    from reference.recursion import additive, additive_after

    start, ratio, rate = _array((1.0, 1.0, 4.0)), _array((0.5, 1.5, 1.0)), 0.25
    once = [0.75 * p + 0.25 * w for p, w in zip(start, ratio, strict=True)]
    twice = [w + 0.5625 * (p - w) for p, w in zip(start, ratio, strict=True)]
    kept = additive(ratio, ratio, rate).tolist() == ratio.tolist()
    moved = additive(start, ratio, rate).tolist() == once and additive_after(start, ratio, rate, 2).tolist() == twice
    return Answer(kept and moved, f"after one and two updates {once} and {twice}")


def _array(numbers: Any) -> Any:
    """Numbers as an array of float64."""
    import numpy as np

    return np.array(numbers, dtype=np.float64)
