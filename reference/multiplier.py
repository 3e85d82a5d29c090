r"""The normalisation multiplier of the relaxed problem: the nu at which ratios have mean one (JS-04).

With z = advantage/beta on the support of the data law D, nu is the root of

    E_D[(f*)'(z - nu)] = 1.                                                                                     (1)

The left side decreases in nu, so the root is unique; `multiplier_bracket` gives proven bounds on it. The search does
not run in nu. Only differences of advantages matter, and a float near z cannot say how close the largest argument is
to a pole, or to which side of a capped ratio an entry falls. The unknown is therefore the argument x of one *pivot*
entry, all others follow from it,

    y_i = x + (A_i - A_pivot)/beta,             nu = A_pivot/beta - x,                                          (2)

and differences of floats are exact to one rounding whatever the size of A. Close to a pole x is replaced by its
distance to the pole, so that ratios as large as 1/D_min keep their relative accuracy. `solve_multiplier` returns an
interval for x that is proved, with rounding errors counted, to contain the root.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float64

from reference.divergence import KL, LOG_2, RELATIVE_ACCURACY, Divergence, FermiDirac, JensenShannon
from reference.rounding import UNIT_ROUNDOFF

_MAX_STEPS = 400  # twice what bisection alone needs from any bracket of floats down to neighbouring floats


@dataclasses.dataclass(frozen=True, eq=False)
class Arguments:
    """The arguments y_i as functions of one unknown x, equation (2), and what the generator makes of them.

    `offsets` are (A_i - A_pivot)/beta; with `from_pole`, x and the offsets are distances below the supremum log 2
    instead: y_i = log 2 - (x - offset_i).
    """

    divergence: Divergence
    offsets: Float64[np.ndarray, " N"]
    behavior: Float64[np.ndarray, " N"]
    mass: float
    from_pole: bool = False

    def at(self, x: float) -> np.ndarray:
        """y_i."""
        return LOG_2 - (x - self.offsets) if self.from_pole else x + self.offsets

    def uncertainty(self, x: float) -> np.ndarray:
        """Bound on the rounding of y_i (of the distance to the pole, with `from_pole`) for an exact x.

        One rounding each in A_i - A_pivot, the division and the sum.
        """
        return UNIT_ROUNDOFF * (3.0 * np.abs(self.offsets) + abs(x)) * (1.0 + 4.0 * UNIT_ROUNDOFF)

    def ratio(self, x: float) -> np.ndarray:
        """w_i = (f*)'(y_i)."""
        if self.from_pole:
            return np.asarray(_barrier(self.divergence).ratio_at_slack(x - self.offsets))
        return np.asarray(self.divergence.ratio(x + self.offsets))

    def conjugate(self, x: float) -> np.ndarray:
        """f*(y_i)."""
        if self.from_pole:
            return np.asarray(_barrier(self.divergence).conjugate_at_slack(x - self.offsets))
        return np.asarray(self.divergence.conjugate(x + self.offsets))

    def ratio_error(self, x: float, ratio: np.ndarray) -> np.ndarray:
        """Bound on the rounding of w_i: that of the function, and that of its argument (doubled for second order)."""
        slope = np.asarray(self.divergence.curvature(ratio))
        return RELATIVE_ACCURACY * ratio + 2.0 * slope * self.uncertainty(x)

    def mean(self, values: np.ndarray) -> float:
        """E_D, correctly rounded but for the products; D is relative to its sum, which may miss one by rounding."""
        return math.fsum(self.behavior * values) / self.mass

    @property
    def sign(self) -> float:
        """+1 if ratios increase in x, -1 if they decrease."""
        return -1.0 if self.from_pole else 1.0


@dataclasses.dataclass(frozen=True, eq=False)
class Root:
    """Where (1) holds: at an x in [low, high], of which `x` is the best guess; `pivot` indexes the support."""

    arguments: Arguments
    pivot: int
    x: float
    low: float
    high: float

    @property
    def pivot_argument(self) -> float:
        """y of the pivot."""
        return LOG_2 - self.x if self.arguments.from_pole else self.x

    @property
    def halfwidth(self) -> float:
        """How far the exact root may be from `x`."""
        return max(self.high - self.x, self.x - self.low)


def multiplier_bracket(
    z: Float64[np.ndarray, " N"], behavior: Float64[np.ndarray, " N"], divergence: Divergence
) -> tuple[float, float]:
    """Proven bounds `low <= nu <= high` on the multiplier, for a law `behavior` > 0 on all entries.

    Always min z <= nu <= max z: at the ends all ratios are on one side of one. Sharper, with u = e^(y):

    * KL: nu = log E e^z, both bounds (KL-03).
    * JS: max(log E e^z, z_i - log(2/(1 + D_i)) for every i) (JS-04): the ratio u/(2 - u) is convex in u, so Jensen
      gives 1 >= g(E u); and one entry alone has D_i w_i <= 1.
    * Fermi-Dirac: -log E e^-z <= nu <= log E e^z. The ratio C u/(C - 1 + u) is concave in u, so Jensen gives
      1 <= g(E u), that is E u >= 1; and C/(1 + (C - 1) v) is convex in v = 1/u, so E v >= 1.
    """
    mass = math.fsum(behavior)
    top, bottom = float(z.max()), float(z.min())
    soft_max = top + _log_mean_exp(z - top, behavior, mass)
    if isinstance(divergence, KL):
        return soft_max, soft_max
    if isinstance(divergence, JensenShannon):
        one_entry = float(np.max(z - np.log(2.0) + np.log1p(behavior / mass)))
        return min(max(soft_max, one_entry), top), top
    if isinstance(divergence, FermiDirac):
        return max(bottom, bottom - _log_mean_exp(bottom - z, behavior, mass)), min(soft_max, top)
    return bottom, top


def solve_multiplier(
    advantage: Float64[np.ndarray, " N"], behavior: Float64[np.ndarray, " N"], beta: float, divergence: Divergence
) -> Root:
    """The root of (1) for finite advantages under a law that is positive on all entries.

    Closed form for KL; otherwise Newton steps on log E w, safeguarded by bisection inside a proven bracket.
    """
    mass = math.fsum(behavior)

    def arguments(pivot: int, from_pole: bool = False) -> Arguments:
        offsets = (advantage - advantage[pivot]) / beta
        return Arguments(divergence, offsets, behavior, mass, from_pole)

    top = int(np.argmax(advantage))
    below_top = arguments(top)
    if not np.any(below_top.offsets):
        return Root(below_top, top, 0.0, 0.0, 0.0)  # equal advantages: all ratios are one, exactly
    if isinstance(divergence, KL):
        x = -_log_mean_exp(below_top.offsets, behavior, mass)
        return _enclose(below_top, top, x, 0.0, math.inf)
    if divergence.supremum < math.inf:
        return _solve_below_pole(below_top, arguments(top, from_pole=True), top)
    return _solve_between_entries(advantage, arguments)


def _solve_below_pole(plain: Arguments, polar: Arguments, top: int) -> Root:
    """The largest argument lies in [0, log 2): its ratio is at least the mean. Bracket of JS-04 for its distance."""
    half = 0.5 * LOG_2
    if _log_mean(plain, half) >= 0.0:
        return _enclose(plain, top, _find(plain, 0.0, half), 0.0, half)
    single = math.log1p(float(polar.behavior[top]) / polar.mass)
    jensen = LOG_2 + _log_mean_exp(polar.offsets, polar.behavior, polar.mass)
    low, high = max(single, jensen) * (1.0 - 8.0 * UNIT_ROUNDOFF), half * (1.0 + 8.0 * UNIT_ROUNDOFF)
    low = min(low, high)
    return _enclose(polar, top, _find(polar, low, high), low, high)


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
        return _enclose(from_upper, upper, _find(from_upper, 0.0, 0.5 * width), 0.0, width)
    return _enclose(from_lower, lower, _find(from_lower, -0.5 * width, 0.0), -width, 0.0)


def _log_mean(arguments: Arguments, x: float) -> float:
    """log E w at x: zero at the root."""
    return math.log(arguments.mean(arguments.ratio(x)) or math.ulp(0.0))


def _find(arguments: Arguments, low: float, high: float) -> float:
    """A float next to the root of log E w in [low, high], by Newton steps that bisection safeguards.

    A step that leaves the bracket, or is not half the step before, is replaced by bisection. Next to a pole E w is
    nearly a power of x: there steps are taken in log x.
    """
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


def _enclose(arguments: Arguments, pivot: int, x: float, low: float, high: float) -> Root:
    """An interval around x in which the root is proved to lie: E w is on the right side of one at both ends.

    The ends are the nearest found at which the sign holds against all rounding errors, or else those of the bracket.
    """

    def decided(candidate: float, direction: float) -> bool:
        ratio = arguments.ratio(candidate)
        error = arguments.mean(arguments.ratio_error(candidate, ratio)) + 4.0 * UNIT_ROUNDOFF * arguments.mean(ratio)
        return direction * arguments.sign * (arguments.mean(ratio) - 1.0) > error

    def end(direction: float, limit: float) -> float:
        reach = abs(limit - x)
        ratio = arguments.ratio(x)
        slope = arguments.mean(np.asarray(arguments.divergence.curvature(ratio)))
        first = arguments.mean(arguments.ratio_error(x, ratio)) / slope if slope > 0.0 else 0.0
        inner, outer = 0.0, min(max(first, math.ulp(x)), reach)
        while outer < reach and not decided(x + direction * outer, direction):
            inner, outer = outer, min(2.0 * outer, reach)
        # The last doubling may have jumped far over a plateau of E w; an argument of 1/16 changes ratios little.
        while outer - inner > min(outer / 64.0, 1.0 / 16.0):
            middle = 0.5 * (inner + outer)
            if decided(x + direction * middle, direction):
                outer = middle
            else:
                inner = middle
        return x + direction * outer

    return Root(arguments, pivot, x, end(-1.0, low), end(1.0, high))


def _barrier(divergence: Divergence) -> JensenShannon:
    if not isinstance(divergence, JensenShannon):
        raise TypeError(f"expected a generator with a pole, saw {divergence!r}")
    return divergence


def _log_mean_exp(t: Float64[np.ndarray, " N"], behavior: Float64[np.ndarray, " N"], mass: float) -> float:
    """log E e^t for t <= 0 with maximum 0: relatively accurate also where all t are tiny."""
    with np.errstate(under="ignore"):
        deficit = math.fsum(behavior * np.expm1(t)) / mass
        return math.log1p(deficit) if deficit > -0.5 else math.log(math.fsum(behavior * np.exp(t)) / mass)
