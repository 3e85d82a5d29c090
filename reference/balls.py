r"""Rigorous enclosures of what no rational can be: soft values and relaxed weights, by ball arithmetic.

Arb (F. Johansson, IEEE Trans. Comput. 66, 2017; the `exact` extra) encloses exp and log to any precision. No float is
trusted here: what float64 found is only where the search starts, and every enclosure follows from signs and residuals
evaluated in balls on the exact data.

* Values: with `T` any of the soft operators and `|T v - v| <= e` in balls, `|v* - v| <= e / (1 - gamma rho)`, where
  `rho` is the largest row sum, a rational. Corrections `(I - gamma P_pi)^-1 (T v - v)` are solved in float64: each
  gains about as many digits as float64 has.
* Weights: `E_D (f*)'(z - nu)` decreases in `nu`, so two certain signs enclose the multiplier.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from reference.checks import check_policy, check_temperature
from reference.conditional import conditional_value
from reference.divergence import (
    KL,
    Capped,
    Divergence,
    FermiDirac,
    Hellinger,
    JensenShannon,
    PearsonChi2,
    Power,
    ReverseKL,
    TwoSidedFermiDirac,
)
from reference.evaluation import evaluate_policy, linear_solver
from reference.mdp import MDP
from reference.rational import RationalMDP, import_flint, nearest_floats, pair_row
from reference.soft import solve_soft
from reference.weights import optimal_weights

__all__ = ["Enclosure", "WeightsEnclosure", "enclose_policy_values", "enclose_soft_values", "enclose_weights"]

_STEPS = 60  # corrections gain at least a bit each, and usually forty

_TINY_BITS = 1 << 14


class Enclosure(NamedTuple):
    """`lower[i] <= exact value i <= upper[i]`, with dyadic rationals."""

    lower: tuple[Fraction, ...]
    upper: tuple[Fraction, ...]

    @property
    def width(self) -> Fraction:
        """The widest of the intervals."""
        return max(high - low for low, high in zip(self.lower, self.upper, strict=True))

    def error(self, values: Float64[np.ndarray, " N"]) -> tuple[Fraction, Fraction]:
        """Bounds `low <= max |values - exact values| <= high`."""
        low, high = Fraction(0), Fraction(0)
        for value, bottom, top in zip(map(float, values), self.lower, self.upper, strict=True):
            x = Fraction(value)
            low = max(low, bottom - x, x - top)
            high = max(high, x - bottom, top - x)
        return low, high


class WeightsEnclosure(NamedTuple):
    """The exact solution of a relaxed problem: ratios on the support, in its order, multiplier and optimum."""

    weights: Enclosure
    multiplier: Enclosure
    value: Enclosure


def enclose_soft_values(
    process: MDP | RationalMDP,
    alpha: float,
    prior: Float64[np.ndarray, "S A"] | None = None,
    bits: int = 128,
) -> Enclosure:
    """The soft optimal values at temperature `alpha` (SAC-06), or with a `prior` the Gumbel values (OCC-06).

    The fixed point of `V = alpha log sum_a mu(a | s) exp((r + gamma P V)(s, a) / alpha)`, where `mu` is 1 at available
    actions or, divided by its row sums, the `prior`. Widths are about `2^-bits |V|`. Needs python-flint; ValueError for
    alpha <= 0, a prior that is no policy, or if `bits` are too few.
    """
    check_temperature(alpha)
    floats = nearest_floats(process)
    if prior is None:
        start = solve_soft(floats, alpha)
        weights = [[Fraction(int(usable)) for usable in row] for row in process.available]
    else:
        check_policy(prior, process.available)
        start = conditional_value(floats, prior, alpha)
        rows = [[Fraction(float(p)) for p in row] for row in prior]
        weights = [[p / sum(row) for p in row] for row in rows]
    arb = import_flint().arb

    def operator(q: list[list[Any]]) -> list[Any]:
        results = []
        for line, law in zip(q, weights, strict=True):
            taken = [(entry, mass) for entry, mass in zip(line, law, strict=True) if mass]
            top = max(entry.mid() for entry, _ in taken)
            total: Any = sum((ball(mass) * ((entry - top) / arb(alpha)).exp() for entry, mass in taken), start=arb(0))
            results.append(top + arb(alpha) * total.log())
        return results

    widest = max(_row_sum(process, int(pair)) for pair in np.flatnonzero(process.available))
    return _enclose(process, operator, start.values, start.policy, widest, bits)


def enclose_policy_values(
    process: MDP | RationalMDP, policy: Float64[np.ndarray, "S A"], alpha: float, bits: int = 128
) -> Enclosure:
    """The values of `policy`, its floats taken exactly, with entropy bonus `-alpha log pi` (SAC-03).

    Needs python-flint. ValueError for a policy that is none of the process.
    """
    arb: Any = import_flint().arb
    floats = nearest_floats(process)
    start = evaluate_policy(floats, policy, alpha)

    def operator(q: list[list[Any]]) -> list[Any]:
        results = []
        for line, law in zip(q, policy, strict=True):
            masses = [(entry, arb(float(p))) for entry, p in zip(line, law, strict=True) if p]
            terms = [p * (entry - arb(alpha) * p.log()) for entry, p in masses]
            results.append(sum(terms, start=arb(0)))
        return results

    sums = [_row_sum(process, pair) * Fraction(float(p)) for pair, p in enumerate(policy.flat)]
    width = process.n_actions
    widest = max(sum(sums[state * width : (state + 1) * width], Fraction(0)) for state in range(process.n_states))
    return _enclose(process, operator, start.values, policy, widest, bits)


def enclose_weights(
    advantage: Float64[np.ndarray, "..."],
    behavior: Float64[np.ndarray, "..."],
    beta: float,
    divergence: Divergence,
    bits: int = 128,
) -> WeightsEnclosure:
    """Ratios, multiplier and optimum of the relaxed problem (KL-04, JS-04, JS-10, FD-03), for the law `D / sum D`.

    Needs python-flint. ValueError as in `optimal_weights`; TypeError for a generator without formulas in balls.
    """
    flint = import_flint()
    arb = flint.arb
    formulas(divergence, arb)  # a generator without formulas is named before anything is solved
    guess = optimal_weights(advantage, behavior, beta, divergence)
    data = [(Fraction(float(a)), Fraction(float(d))) for a, d in zip(advantage.flat, behavior.flat, strict=True) if d]
    mass = sum((d for _, d in data), start=Fraction(0))
    exact_z = [a / Fraction(beta) for a, _ in data]
    size = int(max(map(abs, exact_z))).bit_length()
    with flint.ctx.workprec(bits + size + 64):
        ratio, conjugate = formulas(divergence, arb)
        z, law = [ball(x) for x in exact_z], [ball(d / mass) for _, d in data]

        def mean(function: Callable[[Any], Any], nu: Any) -> Any:
            return sum((d * function(x - nu) for d, x in zip(law, z, strict=True)), start=arb(0))

        def sign(nu: Fraction) -> int:
            """Of the mean ratio minus one; 0 where balls cannot tell. Beyond a pole the mean counts as infinite."""
            excess = mean(ratio, ball(nu)) - 1
            return 1 if excess > 0 else -1 if excess < 0 else 0

        ends = min(exact_z), max(exact_z)
        low, high = _bracket(sign, Fraction(guess.multiplier), Fraction(guess.multiplier_error), ends, bits)
        # Ratios are monotone, so the ends enclose them however wide the interval is.
        least = [ratio(x - ball(high)) for x in z]
        most = [ratio(x - ball(low)) for x in z]
        weights = Enclosure(tuple(end(w, "lower") for w in least), tuple(end(w, "upper") for w in most))
        # The dual value is convex in nu, with slope beta (1 - E w) of at most the slopes at the ends.
        middle = ball((low + high) / 2)
        dual = ball(Fraction(beta)) * (middle + mean(conjugate, middle))
        slopes = [abs(mean(ratio, ball(nu)) - 1) for nu in (low, high)]
        drop = ball(Fraction(beta) * (high - low)) * max(slopes, key=lambda slope: slope.upper())
        value = Enclosure((end(dual - drop, "lower"),), (end(dual, "upper"),))
    return WeightsEnclosure(weights, Enclosure((low,), (high,)), value)


def _enclose(
    process: MDP | RationalMDP,
    operator: Callable[[list[list[Any]]], list[Any]],
    start: Float64[np.ndarray, " S"],
    policy: Float64[np.ndarray, "S A"],
    row_sum: Fraction,
    bits: int,
) -> Enclosure:
    """The fixed point of a monotone `operator` on `q`, a contraction by `gamma row_sum`, from a float64 `start`."""
    flint = import_flint()
    arb, n_actions = flint.arb, process.n_actions
    solve = linear_solver(nearest_floats(process), policy)
    rate = Fraction(process.discount) * row_sum
    with flint.ctx.workprec(bits + 64):
        pairs = [pair_row(process, pair) if usable else None for pair, usable in enumerate(process.available.flat)]
        rows = [None if row is None else [(t, ball(Fraction(n, row.denominator)))
                for t, n in zip(row.columns, row.numerators, strict=True)] for row in pairs]  # fmt: skip
        discount = ball(Fraction(process.discount))
        rewards = [ball(Fraction(reward)) for reward in process.rewards.flat]

        def lookahead(pair: int, values: list[Any]) -> Any:
            return rewards[pair] + discount * sum((p * values[t] for t, p in rows[pair] or ()), start=arb(0))

        values, best = [arb(float(value)) for value in start], None
        for _ in range(_STEPS):
            pair_values = [lookahead(pair, values) for pair in range(len(rows))]
            lines = [pair_values[s * n_actions : (s + 1) * n_actions] for s in range(process.n_states)]
            residual = [after - before for after, before in zip(operator(lines), values, strict=True)]
            size = max(end(abs(entry), "upper") for entry in residual)
            if best is not None and 2 * size > best[0]:
                break
            best = size, values
            step = solve(np.array([float(entry.mid()) for entry in residual]))
            values = [(value + arb(float(move))).mid() for value, move in zip(values, step, strict=True)]
        assert best is not None
        error = best[0] / (1 - rate)
        centre = [end(value, "lower") for value in best[1]]
    return Enclosure(tuple(value - error for value in centre), tuple(value + error for value in centre))


def _bracket(
    sign: Callable[[Fraction], int], guess: Fraction, reach: Fraction, ends: tuple[Fraction, Fraction], bits: int
) -> tuple[Fraction, Fraction]:
    """Where a decreasing function is certainly positive on the left and negative on the right, or the `ends`."""
    low, high = ends

    def side(direction: int, limit: Fraction) -> Fraction:
        step = max(reach, Fraction(1, 1 << 60))
        point = guess + direction * step
        while direction * (limit - point) > 0 and sign(point) != -direction:
            step *= 2
            point = guess + direction * step
        return point if direction * (limit - point) > 0 else limit

    low, high = side(-1, low), side(1, high)
    width = Fraction(1, 1 << bits)
    while high - low > width:
        middle = (low + high) / 2
        seen = sign(middle)
        if seen == 0:
            break
        low, high = (middle, high) if seen > 0 else (low, middle)
    else:
        return low, high
    # The sign in the middle cannot be told, for instance on a plateau: bring either end to where it just can.
    left = right = middle
    for _ in range(bits):
        nearer, farther = (low + left) / 2, (high + right) / 2
        low, left = (nearer, left) if sign(nearer) > 0 else (low, nearer)
        high, right = (farther, right) if sign(farther) < 0 else (high, farther)
    return low, high


def formulas(divergence: Divergence, arb: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """`(f*)'` and `f*` of FD-01 on balls, written from the table and not from `reference.divergence`."""
    infinite = arb("+inf")

    def below(pole: Any, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """A function of the distance to a pole, infinite where that is certainly not positive."""
        return lambda y: infinite if pole(y) <= 0 else function(pole(y))

    match divergence:
        case KL():
            return (lambda y: y.exp()), (lambda y: y.exp() - 1)
        case JensenShannon():
            return below(lambda y: 2 - y.exp(), lambda s: 2 / s - 1), below(lambda y: 2 - y.exp(), lambda s: -s.log())
        case Hellinger():
            return below(lambda y: 1 - y, lambda s: 1 / (s * s)), below(lambda y: 1 - y, lambda s: 1 / s - 1)
        case ReverseKL():
            return below(lambda y: 1 - y, lambda s: 1 / s), below(lambda y: 1 - y, lambda s: -s.log())
        case FermiDirac() | TwoSidedFermiDirac():
            m, top = arb(divergence.smallest_ratio), arb(divergence.largest_ratio)
            odds = (top - 1) / (1 - m)
            return (
                lambda y: m + (top - m) / (1 + odds * (-y).exp()),
                lambda y: m * y + (top - m) * ((odds + y.exp()) / (odds + 1)).log(),
            )
        case PearsonChi2():
            return (lambda y: (1 + y).max(arb(0))), (lambda y: ((1 + y).max(arb(0)) ** 2 - 1) / 2)
        case Power(alpha=number):
            alpha = arb(number)
            return (
                lambda y: power(1 + y, alpha),
                lambda y: (power(1 + y, 1 + alpha) - 1) / (1 + alpha),
            )
        case Capped(divergence=inner, cap=number):
            cap, edge = arb(number), _slope(inner, arb(number))
            ratio, conjugate = formulas(inner, arb)

            def joined(plain: Callable[[Any], Any], beyond: Callable[[Any], Any]) -> Callable[[Any], Any]:
                """Both sides of the edge; their union where it cannot be told on which one an argument lies."""
                return lambda y: plain(y) if y < edge else beyond(y) if y > edge else plain(y).union(beyond(y))

            return joined(ratio, lambda y: cap), joined(conjugate, lambda y: conjugate(edge) + cap * (y - edge))
    raise TypeError(
        f"no formulas in balls for {divergence!r}: expected kl, js, fermi-dirac, two-sided-fermi-dirac, chi2, "
        "hellinger, reverse-kl or power, or one of them capped"
    )


def _slope(divergence: Divergence, w: Any) -> Any:
    """`f'` of FD-01 on balls, for generators that can be capped."""
    match divergence:
        case KL():
            return w.log()
        case JensenShannon():
            return (2 * w / (w + 1)).log()
        case Hellinger():
            return 1 - 1 / w.sqrt()
        case ReverseKL():
            return 1 - 1 / w
        case FermiDirac() | TwoSidedFermiDirac():
            m, top = divergence.smallest_ratio, divergence.largest_ratio
            return ((w - m) * (top - 1) / ((top - w) * (1 - m))).log()
        case PearsonChi2():
            return w - 1
        case Power(alpha=alpha):
            return power(w, 1 / type(w)(alpha)) - 1
        case Capped(divergence=inner):
            return _slope(inner, w)
    raise TypeError(f"no formulas in balls for {divergence!r}")


def power(base: Any, exponent: Any) -> Any:
    """`max(base, 0)^exponent` for a positive exponent: it increases, so the ends of `base` enclose it."""
    if base > 0:
        return base**exponent
    if base <= 0:
        return type(base)(0)
    return type(base)(0).union(type(base)(base.upper()) ** exponent)


def _row_sum(process: MDP | RationalMDP, pair: int) -> Fraction:
    row = pair_row(process, pair)
    return Fraction(sum(row.numerators), row.denominator)


def ball(value: Fraction) -> Any:
    """An enclosure of a rational at the working precision."""
    flint = import_flint()
    return flint.arb(flint.fmpq(value.numerator, value.denominator))


def end(ball: Any, which: str) -> Fraction:
    """The lower or upper end of a ball, outward, as a rational; sizes below 2^-16384 become that or 0."""
    mantissa, exponent = (int(part) for part in getattr(ball, which)().man_exp())
    if mantissa and mantissa.bit_length() + exponent < -_TINY_BITS:  # exp(-1e10) has no place in a Fraction
        outward = mantissa > 0 if which == "upper" else mantissa < 0
        return Fraction((mantissa > 0) - (mantissa < 0), 1 << _TINY_BITS) if outward else Fraction(0)
    return Fraction(mantissa) * Fraction(2) ** exponent
