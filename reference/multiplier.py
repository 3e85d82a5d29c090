r"""The normalisation multiplier of the relaxed problem: the nu at which ratios have mean one (JS-04).

With z = advantage/beta on the support of the data law D, nu is a root of

    E_D[(f*)'(z - nu)] = 1.                                                                                     (1)

The left side does not increase in nu; `multiplier_bracket` gives proven bounds on its roots. The search does
not run in nu. Only differences of advantages matter, and a float near z cannot say how close the largest argument is
to a pole, or to which side of a capped ratio an entry falls. The unknown is therefore the argument x of one *pivot*
entry, all others follow from it,

    y_i = x + (A_i - A_pivot)/beta,             nu = A_pivot/beta - x,                                          (2)

and differences of floats are exact to one rounding whatever the size of A. Close to a pole x is replaced by its
distance to the pole, so that ratios as large as 1/D_min keep their relative accuracy. `solve_multiplier` returns an
interval for x that is proved, with rounding errors counted, to contain every root.

**One root or many.** (f*)' increases strictly but where the ratio is at an end of its domain. So the root is unique
unless, at the optimum, *every* ratio is at an end (0 and the cap of a capped chi-square, say). Then the roots are an
interval, all with the same ratios, and the interval returned contains it.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float64

from reference.divergence import Divergence, Mean
from reference.rounding import UNIT_ROUNDOFF

_MAX_STEPS = 400  # twice what bisection alone needs from any bracket of floats down to neighbouring floats


@dataclasses.dataclass(frozen=True, eq=False)
class Arguments:
    """The arguments y_i as functions of one unknown x, equation (2), and what the generator makes of them.

    `offsets` are (A_i - A_pivot)/beta; with `from_pole`, x and the offsets are distances below the supremum instead:
    y_i = supremum - (x - offset_i).
    """

    divergence: Divergence
    offsets: Float64[np.ndarray, " N"]
    behavior: Float64[np.ndarray, " N"]
    mass: float
    from_pole: bool = False

    def at(self, x: float) -> np.ndarray:
        """y_i, or its distance to the pole with `from_pole`."""
        return x - self.offsets if self.from_pole else x + self.offsets

    def uncertainty(self, x: float) -> np.ndarray:
        """Bound on the error of `at(x)` that counts for ratios and conjugates, for an exact x.

        One rounding each in A_i - A_pivot, the division and the sum, one more for whoever adds the bound to `at(x)`;
        and the backward error of the generator.
        """
        rounding = UNIT_ROUNDOFF * (4.0 * np.abs(self.offsets) + 2.0 * abs(x)) * (1.0 + 8.0 * UNIT_ROUNDOFF)
        return rounding + self.divergence.argument_accuracy * np.abs(self.at(x))

    def ratio(self, x: float) -> np.ndarray:
        """w_i = (f*)'(y_i)."""
        return self._ratio(self.at(x))

    def conjugate(self, x: float) -> np.ndarray:
        """f*(y_i)."""
        function = self.divergence.conjugate_at_slack if self.from_pole else self.divergence.conjugate
        return np.asarray(function(self.at(x)))

    def enclosure(self, x: float) -> tuple[np.ndarray, np.ndarray]:
        """Proven bounds on the exact w_i: the ratio increases in y, so its ends are those of the argument."""
        at, uncertainty, accuracy = self.at(x), self.uncertainty(x), self.divergence.accuracy + 4.0 * UNIT_ROUNDOFF
        ends = self._ratio(at - uncertainty), self._ratio(at + uncertainty)
        low, high = (ends[1], ends[0]) if self.from_pole else ends
        smallest, largest = self.divergence.smallest_ratio, self.divergence.largest_ratio
        return np.maximum(low * (1.0 - accuracy), smallest), np.minimum(high * (1.0 + accuracy), largest)

    def mean(self, values: np.ndarray) -> float:
        """E_D, correctly rounded but for the products; D is relative to its sum, which may miss one by rounding."""
        return math.fsum(self.behavior * values) / self.mass

    @property
    def sign(self) -> float:
        """+1 if ratios increase in x, -1 if they decrease."""
        return -1.0 if self.from_pole else 1.0

    def _ratio(self, at: np.ndarray) -> np.ndarray:
        """Ratios at arguments or slacks, infinite at and beyond the pole."""
        if self.from_pole:
            return np.asarray(self.divergence.ratio_at_slack(np.maximum(at, 0.0)))
        supremum = self.divergence.supremum
        ratio = np.asarray(self.divergence.ratio(np.minimum(at, supremum)))
        return np.where(at < supremum, ratio, math.inf) if supremum < math.inf else ratio


@dataclasses.dataclass(frozen=True, eq=False)
class Root:
    """Where (1) holds: at x in [low, high] only, of which `x` is the best guess; `pivot` indexes the support."""

    arguments: Arguments
    pivot: int
    x: float
    low: float
    high: float

    @property
    def pivot_argument(self) -> float:
        """y of the pivot."""
        return self.arguments.divergence.supremum - self.x if self.arguments.from_pole else self.x

    @property
    def halfwidth(self) -> float:
        """How far an exact root may be from `x`."""
        return max(self.high - self.x, self.x - self.low)


def multiplier_bracket(
    z: Float64[np.ndarray, " N"], behavior: Float64[np.ndarray, " N"], divergence: Divergence
) -> tuple[float, float]:
    """Proven bounds `low <= nu <= high` on the roots of (1), for a law `behavior` > 0 on all entries.

    With D relative to its sum, m and M the smallest and the largest ratio and g = (f*)', of which g(0) = 1:

    * All generators: min z <= nu <= max z, because at these ends all ratios are on one side of one.
    * All generators, one entry alone: D_i w_i + (1 - D_i) m <= 1 says w_i <= m + (1 - m)/D_i, so
      nu >= z_i - f'(m + (1 - m)/D_i). For JS this is z_i - log(2/(1 + D_i)) (JS-04), for KL z_i + log D_i, for chi2
      z_i + 1 - 1/D_i, for Hellinger z_i - 1 + sqrt(D_i), for reverse KL z_i - 1 + D_i.
    * With a cap M, D_i w_i + (1 - D_i) M >= 1 likewise: nu <= z_i - f'((1 - (1 - D_i) M)/D_i), where that is a ratio
      above m.
    * Jensen's inequality, by the means that the generator names. If g is convex in y, 1 = E g(z - nu) >= g(E z - nu):
      nu >= E z (chi2, power with alpha >= 1, Hellinger, reverse KL, and mixtures of these with KL and JS). If g is
      convex in u = e^y, 1 >= g(log E u): nu >= log E e^z (KL, JS). If g is concave in u: nu <= log E e^z (KL,
      both Fermi-Dirac, and their capped versions). If g is convex in v = e^-y, in which it falls, E v >= 1:
      nu >= -log E e^-z (both Fermi-Dirac).

    The bounds are rounded outward. They are finite, and inside them no argument leaves the domain of f* but at the
    very end (OCC-04).
    """
    low, high = _argument_bracket(Arguments(divergence, z, behavior, math.fsum(behavior)))
    return -high, -low


def _argument_bracket(arguments: Arguments) -> tuple[float, float]:
    """`multiplier_bracket` for x = -nu when `offsets` stand for z, rounded outward."""
    divergence, offsets = arguments.divergence, arguments.offsets
    share, smallest, cap = arguments.behavior / arguments.mass, divergence.smallest_ratio, divergence.largest_ratio
    accuracy = 2.0 * divergence.accuracy + 8.0 * UNIT_ROUNDOFF
    lower, upper = [-float(offsets.max())], [-float(offsets.min())]

    with np.errstate(over="ignore"):
        most = (smallest + (1.0 - smallest) / share) * (1.0 + 8.0 * UNIT_ROUNDOFF)
    bounding = most < min(cap, np.finfo(np.float64).max)
    slope = np.asarray(divergence.f_prime(np.where(bounding, most, 1.0)))
    alone = np.where(bounding, slope * (1.0 + accuracy), divergence.supremum * (1.0 + accuracy))
    upper.append(float(np.min(alone - offsets)))
    if cap < math.inf:
        least = (1.0 - (1.0 - share) * cap - 8.0 * UNIT_ROUNDOFF * cap) / share
        bounding = least > smallest
        slope = np.asarray(divergence.f_prime(np.where(bounding, least, 1.0)))
        rest = np.where(bounding, slope - accuracy * np.abs(slope), -math.inf)
        lower.append(float(np.max(rest - offsets)))
    rounding = 4.0 * UNIT_ROUNDOFF * float(np.max(np.abs(offsets)))  # three in an offset, one in a sum
    jensen = 8.0 * rounding  # two elementary functions more
    if divergence.mean_below is not None:
        upper.append(jensen - _mean_of(divergence.mean_below, arguments))
    if divergence.mean_above is not None:
        lower.append(-_mean_of(divergence.mean_above, arguments) - jensen)
    return max(lower) - rounding, min(upper) + rounding


def _mean_of(mean: Mean, arguments: Arguments) -> float:
    offsets, law, mass = arguments.offsets, arguments.behavior, arguments.mass
    if mean is Mean.MEAN:
        return arguments.mean(offsets)
    if mean is Mean.SOFT_MAXIMUM:
        return float(offsets.max()) + _log_mean_exp(offsets - offsets.max(), law, mass)
    return float(offsets.min()) - _log_mean_exp(offsets.min() - offsets, law, mass)


def solve_multiplier(
    advantage: Float64[np.ndarray, " N"], behavior: Float64[np.ndarray, " N"], beta: float, divergence: Divergence
) -> Root:
    """The roots of (1) for finite advantages under a law that is positive on all entries.

    Closed form where both Jensen bounds are the soft maximum (KL); otherwise Newton steps on log E w, safeguarded by
    bisection inside a proven bracket. Bracket and enclosure hold for every generator; what the generator decides is
    only whether there is a pole, next to which the unknown is a distance.
    """
    mass = math.fsum(behavior)

    def arguments(pivot: int, from_pole: bool = False) -> Arguments:
        offsets = (advantage - advantage[pivot]) / beta
        return Arguments(divergence, offsets, behavior, mass, from_pole)

    top = int(np.argmax(advantage))
    below_top = arguments(top)
    if not np.any(below_top.offsets):
        return Root(below_top, top, 0.0, 0.0, 0.0)  # equal advantages: all ratios are one, exactly
    if divergence.mean_below == divergence.mean_above == Mean.SOFT_MAXIMUM:
        return _enclose(below_top, top, -_log_mean_exp(below_top.offsets, behavior, mass))
    if divergence.supremum < math.inf:
        return _solve_below_pole(below_top, arguments(top, from_pole=True), top)
    return _solve_between_entries(advantage, arguments)


def _solve_below_pole(plain: Arguments, polar: Arguments, top: int) -> Root:
    """The largest argument lies in [0, supremum): its ratio is at least the mean."""
    half = 0.5 * plain.divergence.supremum
    if _log_mean(plain, half) >= 0.0:
        return _enclose(plain, top, _find(plain, 0.0, half))
    low, high = _limits(polar)
    return _enclose(polar, top, _find(polar, low, min(half, high)))


def _solve_between_entries(advantage: Float64[np.ndarray, " N"], arguments: Callable[[int], Arguments]) -> Root:
    """nu lies between two neighbouring values of z; the nearer one becomes the pivot.

    E w is at least one at nu = min z and at most one at nu = max z, and bisection over the sorted entries keeps this.
    """
    values, index = np.unique(advantage, return_index=True)
    low, high = 0, len(values) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if _log_mean(arguments(int(index[middle])), 0.0) >= 0.0:
            low = middle
        else:
            high = middle
    lower, upper = int(index[low]), int(index[high])
    from_lower, from_upper = arguments(lower), arguments(upper)
    width = float(from_lower.offsets[upper])
    if _log_mean(from_lower, -0.5 * width) >= 0.0:
        return _enclose(from_upper, upper, _find(from_upper, 0.0, 0.5 * width))
    return _enclose(from_lower, lower, _find(from_lower, -0.5 * width, 0.0))


def _limits(arguments: Arguments) -> tuple[float, float]:
    """`multiplier_bracket` for x: proven to contain every root.

    Next to a pole the pivot is the best entry, at a slack between that of its ratio if it had all mass, and that of
    a ratio of one, which is the supremum.
    """
    if not arguments.from_pole:
        return _argument_bracket(arguments)
    divergence = arguments.divergence
    heaviest = arguments.mass / float(arguments.behavior[int(np.argmax(arguments.offsets))])
    slack = float(divergence.slope_slack(min(heaviest * (1.0 + 8.0 * UNIT_ROUNDOFF), np.finfo(np.float64).max)))
    margin = 2.0 * divergence.accuracy
    return slack * (1.0 - margin), divergence.supremum * (1.0 + margin)


def _log_mean(arguments: Arguments, x: float) -> float:
    """log E w at x: zero at the root."""
    return math.log(arguments.mean(arguments.ratio(x)) or math.ulp(0.0))


def _find(arguments: Arguments, low: float, high: float) -> float:
    """A float next to the root of log E w in [low, high], by Newton steps that bisection safeguards.

    A step that leaves the bracket, or is not half the step before, is replaced by bisection. Next to a pole E w is
    nearly a power of x: there steps are taken in log x.
    """
    proven_low, proven_high = _limits(arguments)
    if max(low, proven_low) < min(high, proven_high):  # else rounding has separated brackets that touch
        low, high = max(low, proven_low), min(high, proven_high)
    sign, geometric = arguments.sign, arguments.from_pole
    x, last = _middle(low, high, geometric), math.inf
    for _ in range(_MAX_STEPS):
        ratio = arguments.ratio(x)
        mean = arguments.mean(ratio)
        error = math.log(mean) if mean > 0.0 else -math.inf
        if abs(error) <= UNIT_ROUNDOFF:
            return x
        low, high = (low, x) if sign * error > 0.0 else (x, high)
        slope = sign * arguments.mean(np.asarray(arguments.divergence.curvature(ratio))) if mean < math.inf else 0.0
        step = -error * mean / slope if slope != 0.0 and error > -math.inf else math.inf
        following = x * math.exp(min(max(step / x, -50.0), 50.0)) if geometric else x + step
        if not (low < following < high and abs(step) <= 0.5 * last):
            following = _middle(low, high, geometric)
        last = abs(following - x)
        if last <= math.ulp(x) or following in (low, high):
            return following
        x = following
    return x


def _middle(low: float, high: float, geometric: bool) -> float:
    return math.sqrt(low) * math.sqrt(high) if geometric else low + 0.5 * (high - low)


def _enclose(arguments: Arguments, pivot: int, x: float) -> Root:
    """An interval around x in which all roots are proved to lie: E w is on the right side of one at both ends.

    The ends are the nearest found at which the sign holds against all rounding errors, or else those of the bracket.
    """

    def decided(candidate: float, direction: float) -> bool:
        low, high = arguments.enclosure(candidate)
        if direction * arguments.sign > 0.0:
            return arguments.mean(low) * (1.0 - 4.0 * UNIT_ROUNDOFF) > 1.0
        return arguments.mean(high) * (1.0 + 4.0 * UNIT_ROUNDOFF) < 1.0

    def spread(inner: float, outer: float) -> bool:
        """Whether ratios differ between two points by more than the rounding errors at one of them."""
        low, high = arguments.enclosure(outer)
        change = np.abs(arguments.ratio(outer) - arguments.ratio(inner))
        return bool(np.max(change) > np.max(high - low))

    def end(direction: float, limit: float) -> float:
        reach = max(direction * (limit - x), 0.0)
        low, high = arguments.enclosure(x)
        slope = arguments.mean(np.asarray(arguments.divergence.curvature(arguments.ratio(x))))
        first = arguments.mean(high - low) / slope if slope > 0.0 else 0.0
        inner, outer = 0.0, min(max(first, math.ulp(x)), reach)
        while outer < reach and not decided(x + direction * outer, direction):
            inner, outer = outer, min(2.0 * outer, reach)
        # The last doubling may have jumped far over a plateau of E w, and over the bend at its end
        while outer - inner > 2.0 * math.ulp(x + direction * outer) and (
            outer - inner > min(outer / 64.0, 1.0 / 16.0) or spread(x + direction * inner, x + direction * outer)
        ):
            middle = 0.5 * (inner + outer)
            if middle in (inner, outer):  # neighbours, although floats next to x + outer may lie closer
                break
            if decided(x + direction * middle, direction):
                outer = middle
            else:
                inner = middle
        return x + direction * outer

    low, high = _limits(arguments)
    return Root(arguments, pivot, x, end(-1.0, low), end(1.0, high))


def _log_mean_exp(t: Float64[np.ndarray, " N"], behavior: Float64[np.ndarray, " N"], mass: float) -> float:
    """log E e^t for t <= 0 with maximum 0: relatively accurate also where all t are tiny."""
    with np.errstate(under="ignore"):
        deficit = math.fsum(behavior * np.expm1(t)) / mass
        return math.log1p(deficit) if deficit > -0.5 else math.log(math.fsum(behavior * np.exp(t)) / mass)
