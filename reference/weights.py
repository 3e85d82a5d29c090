r"""The *relaxed* problem: optimal weights w = d/D of the data, and the multiplier that makes them mean one.

    maximise   E_D[w A] - beta E_D[f(w)]   over w >= 0   subject to   E_D[w] = 1                            (KL-02)

for advantages A, a data law D (`behavior`), a temperature beta > 0 and a generator f of `reference.divergence`. With
z = A/beta the solution is, entry by entry,

    w = (f*)'(z - nu),       nu the unique root of E_D[(f*)'(z - nu)] = 1                          (KL-04, JS-04, JS-10)

and its value is that of the dual,  min over nu of  beta (nu + E_D[f*(z - nu)])                                (FD-03).
The sources write lambda = beta nu. No nu may be dropped: it is absorbed by normalisation for KL only (KL-08).

Relaxed, because d = w D need not be the occupancy of any policy (KL-05). This ratio is one of three that are easily
confused; the others are the conditional ratio of `reference.conditional` and the occupancy ratio of the flow problem.

**Entries without data.** Where `behavior` is 0 the ratio d/D does not exist: the weight there is NaN, the advantage
there is ignored (it may be infinite or NaN), and `Weights.distribution` is 0.
"""

import dataclasses
import math
from importlib import import_module

import numpy as np
from jaxtyping import Float64

from reference.divergence import KL, Divergence, DomainError, Reals
from reference.multiplier import Arguments, Root, solve_multiplier
from reference.rounding import UNIT_ROUNDOFF, admissible_defect

__all__ = ["Weights", "effective_sample_size", "optimal_weights", "relaxed_objective", "weights_at"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Weights:
    """Optimal ratios of the relaxed problem, with a certificate.

    * `weights`, `behavior`: of the shape of the data; weights are NaN where `behavior` is 0.
    * `multiplier`: nu, in units of advantage/beta; at most `multiplier_error` from the exact one.
    * `weights_error`: bound on `max |weights - exact weights|` over the support.
    * `value`: objective of these weights; `dual`: upper bound on every objective. The optimum is within `gap` of both;
      rounding errors are counted in `gap`, so it is zero only where nothing was rounded (equal advantages).
    * `effective_sample_fraction`: 1/E_D[w^2], in (0, 1]; `effective_sample_size`: that times the entries with data.
    """

    weights: Float64[np.ndarray, "..."]
    behavior: Float64[np.ndarray, "..."]
    divergence: Divergence
    beta: float
    multiplier: float
    multiplier_error: float
    weights_error: float
    value: float
    dual: float
    gap: float

    @property
    def distribution(self) -> Float64[np.ndarray, "..."]:
        """d = w D, zero where there are no data."""
        return np.where(self.behavior > 0.0, self.behavior * self.weights, 0.0)

    @property
    def support(self) -> int:
        """The number of entries with data."""
        return int(np.count_nonzero(self.behavior))

    @property
    def effective_sample_fraction(self) -> float:
        """1/E_D[w^2]."""
        return effective_sample_size(self.weights, self.behavior) / self.support

    @property
    def effective_sample_size(self) -> float:
        """`effective_sample_fraction` times the number of entries with data (ESS-01)."""
        return effective_sample_size(self.weights, self.behavior)

    def __repr__(self) -> str:
        return (
            f"Weights({self.divergence!r}, beta {self.beta:g}, {self.support} of {self.behavior.size} entries, "
            f"multiplier {self.multiplier:.6g}, value {self.value:.6g}, gap <= {self.gap:.1e}, "
            f"ESS {self.effective_sample_size:.4g})"
        )

    def _repr_html_(self) -> str:
        return import_module("reference.show").to_html(self)


def optimal_weights(advantage: Reals, behavior: Reals, beta: float, divergence: Divergence | None = None) -> Weights:
    """Solve the relaxed problem exactly (KL-04, JS-04, JS-10, FD-03).

    `advantage` and `behavior` have one shape, any; `behavior` is a law on all entries; `divergence` is KL if not given.
    ValueError, naming the entry, for an advantage that is not finite where there are data, a law that is negative or
    does not sum to one up to rounding, beta <= 0, unequal shapes, or a range of advantages that overflows over beta.
    """
    divergence = KL() if divergence is None else divergence
    data = _Data.checked(advantage, behavior, beta)
    root = solve_multiplier(data.advantage, data.law, data.beta, divergence)
    reference_value = float(data.advantage[root.pivot])
    ratio = root.arguments.ratio(root.x)
    primal, dual, rounding = _certificate(root, ratio, data.beta)
    shift = max(_lost(reference_value, primal), _lost(reference_value, dual))
    multiplier = reference_value / data.beta - root.pivot_argument
    spread = 4.0 * UNIT_ROUNDOFF * (abs(reference_value / data.beta) + abs(root.pivot_argument))
    weights = np.full(data.shape, np.nan)
    weights[data.support] = ratio
    return Weights(
        weights=_frozen(weights),
        behavior=_frozen(data.behavior),
        divergence=divergence,
        beta=data.beta,
        multiplier=multiplier,
        multiplier_error=root.halfwidth + spread,
        weights_error=_ratio_error(root, ratio),
        value=reference_value + primal,
        dual=reference_value + dual,
        gap=(max(dual - primal, 0.0) + rounding + shift) * (1.0 + 8.0 * UNIT_ROUNDOFF),
    )


def weights_at(multiplier: float, advantage: Reals, beta: float, divergence: Divergence) -> Float64[np.ndarray, "..."]:
    """The ratios (f*)'(advantage/beta - multiplier) at a multiplier of the caller's, whose mean may be anything.

    DomainError where the multiplier leaves the domain of the ratio (JS-03), naming the entry and the smallest
    multiplier that stays inside.
    """
    beta = _checked_beta(beta)
    z = np.asarray(advantage, dtype=np.float64) / beta
    if np.any(np.isnan(z)):
        raise ValueError(f"advantage is NaN at index {_place(np.isnan(z))}: expected numbers")
    y = z - float(multiplier)
    if not np.all(y <= divergence.supremum):
        index = np.unravel_index(int(np.argmax(z)), z.shape)
        raise DomainError(
            f"infeasible multiplier {float(multiplier):g} for {divergence!r}: the ratio exists where advantage/beta - "
            f"multiplier < f'(inf) = {divergence.supremum:.6g}, but entry {_index(index)} has {float(np.max(y)):.6g}; "
            f"expected a multiplier above {float(np.max(z)) - divergence.supremum:.6g} (optimal_weights solves for it)"
        )
    return np.asarray(divergence.ratio(y))


def relaxed_objective(weights: Reals, advantage: Reals, behavior: Reals, beta: float, divergence: Divergence) -> float:
    """E_D[w A] - beta E_D[f(w)] of any weights w >= 0; entries without data are ignored (KL-01)."""
    data = _Data.checked(advantage, behavior, beta)
    w = _same_shape("weights", weights, data.shape)[data.support]
    price = np.asarray(divergence.f(w))
    return math.fsum(data.law * (w * data.advantage - data.beta * price)) / math.fsum(data.law)


def effective_sample_size(weights: Reals, behavior: Reals) -> float:
    """n E_D[w]^2 / E_D[w^2] with n the number of entries with data (ESS-01); invariant to scaling of the weights.

    With the uniform law on n samples this is (sum w)^2 / sum w^2. Entries without data are ignored.
    """
    law = np.asarray(behavior, dtype=np.float64)
    w = _same_shape("weights", weights, law.shape)
    support = law > 0.0
    largest = float(np.max(w[support], initial=0.0))
    if not 0.0 < largest < math.inf:
        raise ValueError(f"expected finite weights >= 0, some > 0 where there are data; the largest is {largest:g}")
    law, w = law[support], w[support] / largest  # no square over- or underflows
    mean, square = math.fsum(law * w), math.fsum(law * w * w)
    return len(w) * mean * mean / (square * math.fsum(law))


def _ratio_error(root: Root, ratio: Float64[np.ndarray, " N"]) -> float:
    """Largest distance of the ratios to the exact ones at any x of the proven interval, in which they are monotone."""
    errors = []
    for end in (root.low, root.high):
        low, high = root.arguments.enclosure(end)
        errors.append(float(np.max(np.maximum(high - ratio, ratio - low))))
    return max(errors) * (1.0 + 4.0 * UNIT_ROUNDOFF)


def _feasible(
    arguments: Arguments, ratio: Float64[np.ndarray, " N"]
) -> tuple[Float64[np.ndarray, " N"], Float64[np.ndarray, " N"]]:
    """Ratios of mean one next to the given ones and in the domain of f, and a bound on their rounding errors.

    Mixed with the smallest ratio (which scales them, where that is zero), or with the largest: either keeps the domain.
    """
    smallest, cap, mean = arguments.divergence.smallest_ratio, arguments.divergence.largest_ratio, arguments.mean(ratio)
    if mean >= 1.0 or cap == math.inf:
        excess = ratio - smallest
        feasible = smallest + excess / (mean - smallest) * (1.0 - smallest)
        moved = excess / (1.0 - smallest)
    else:
        room = cap - ratio
        feasible = ratio + room * ((1.0 - mean) / (cap - mean))
        moved = room / (cap - 1.0)
    # Four roundings of the mean, which is compared with one, and six of an entry; none at an end that stays
    rounding = UNIT_ROUNDOFF * np.where(moved > 0.0, 6.0 * ratio + 4.0 * moved, 0.0)
    return np.clip(feasible, smallest, cap), rounding


def _certificate(root: Root, ratio: Float64[np.ndarray, " N"], beta: float) -> tuple[float, float, float]:
    """Primal value, dual value and the larger of their rounding errors, all relative to the advantage of the pivot.

    Weak duality holds for any nu and any feasible w, so the two values, computed by different formulas (f and f*),
    enclose the optimum. The dual is taken at the nu found, the primal at the ratios moved to mean one exactly.

    With errors `e_P` and `e_D` of the computed values `P` and `D`, the optimum lies between `P - e_P` and `D + e_D`: it
    is within `max(D - P, 0) + max(e_P, e_D)` of both, the larger of the errors and not their sum.
    """
    arguments, x, divergence = root.arguments, root.x, root.arguments.divergence
    if not np.any(arguments.offsets):
        return 0.0, 0.0, 0.0  # equal advantages: all ratios are one, and nothing was rounded
    advantage = arguments.offsets * beta
    conjugate = arguments.conjugate(x)
    dual = beta * (arguments.mean(conjugate) - root.pivot_argument)

    feasible, rounding = _feasible(arguments, ratio)
    price = np.asarray(divergence.f(feasible))
    primal = arguments.mean(feasible * advantage - beta * price)

    # A ratio moved by its rounding error changes the price by at most what f changes over that interval: f is convex.
    smallest, cap = divergence.smallest_ratio, divergence.largest_ratio
    ends = np.clip((feasible - rounding, feasible + rounding), smallest, min(cap, np.finfo(np.float64).max))
    swing = np.max(np.abs(np.asarray(divergence.f(ends)) - price), axis=0, initial=0.0)
    steepest = arguments.enclosure(x)[1]  # f* moves with its argument by the ratio at most
    # Four roundings more for the factor beta, the difference, the law and its mass.
    accuracy = divergence.accuracy + 4.0 * UNIT_ROUNDOFF
    of_primal = (rounding + 4.0 * UNIT_ROUNDOFF * feasible) * np.abs(advantage) + beta * (
        swing + 3.0 * accuracy * price
    )
    of_dual = beta * (accuracy * np.abs(conjugate) + steepest * arguments.uncertainty(x))
    primal_error = arguments.mean(of_primal) + 4.0 * UNIT_ROUNDOFF * abs(primal)
    dual_error = arguments.mean(of_dual) + 8.0 * UNIT_ROUNDOFF * (abs(dual) + beta * abs(root.pivot_argument))
    return primal, dual, max(primal_error, dual_error)


def _lost(large: float, small: float) -> float:
    """The rounding error of `large + small`, exactly (Knuth's TwoSum)."""
    total = large + small
    back = total - large
    return abs((large - (total - back)) + (small - back))


@dataclasses.dataclass(frozen=True, eq=False)
class _Data:
    """Checked input: the whole arrays, and their entries on the support of the law."""

    behavior: Float64[np.ndarray, "..."]
    support: np.ndarray
    advantage: Float64[np.ndarray, " N"]
    law: Float64[np.ndarray, " N"]
    beta: float

    @property
    def shape(self) -> tuple[int, ...]:
        return self.behavior.shape

    @classmethod
    def checked(cls, advantage: Reals, behavior: Reals, beta: float) -> "_Data":
        beta = _checked_beta(beta)
        law = np.array(behavior, dtype=np.float64)
        values = _same_shape("advantage", advantage, law.shape)
        wrong = ~((law >= 0.0) & (law < math.inf))
        if np.any(wrong):
            raise ValueError(f"behavior is {law[wrong][0]:g} at index {_place(wrong)}: expected probabilities >= 0")
        support = law > 0.0
        total = math.fsum(law[support])
        if total == 0.0:
            raise ValueError(f"behavior is zero everywhere (shape {law.shape}): expected a law that sums to one")
        if abs(total - 1.0) > admissible_defect(law.size):
            raise ValueError(
                f"behavior sums to {total!r}: expected 1 up to rounding (within {admissible_defect(law.size):.1e}). "
                "Divide it by its sum if that is what you mean; a count or a discounted measure is not a law"
            )
        wrong = support & ~np.isfinite(values)
        if np.any(wrong):
            raise ValueError(
                f"advantage is {values[wrong][0]:g} at index {_place(wrong)}, where behavior is {law[wrong][0]:g}: "
                "expected a finite number wherever there are data"
            )
        inside = values[support]
        with np.errstate(over="ignore"):
            spread = (float(inside.max()) - float(inside.min())) / beta, float(np.abs(inside).max()) / beta
        if not all(number < np.finfo(np.float64).max / 4.0 for number in spread):
            raise ValueError(
                f"advantages from {inside.min():g} to {inside.max():g} overflow when divided by beta = {beta:g}: "
                "rescale the advantages or use a larger beta"
            )
        return cls(law, support, inside, law[support], beta)


def _checked_beta(beta: float) -> float:
    number = float(beta)
    if not 0.0 < number < math.inf:
        raise ValueError(f"beta is {number:g}: expected a finite temperature > 0 (0 is the greedy limit)")
    return number


def _same_shape(name: str, value: Reals, shape: tuple[int, ...]) -> Float64[np.ndarray, "..."]:
    array = np.array(value, dtype=np.float64)
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}: expected that of behavior, {shape}")
    return array


def _place(wrong: np.ndarray) -> str:
    return _index(np.argwhere(wrong)[0])


def _index(index) -> str:
    """`3`, or `(2, 0)`."""
    return str(int(index[0])) if len(index) == 1 else str(tuple(int(i) for i in index))


def _frozen(array: Float64[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
    array.setflags(write=False)
    return array
