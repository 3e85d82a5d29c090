"""What the generators of the learner are held to, as `(bound, reason)` like the bounds of `tolerances`."""

from __future__ import annotations

import numpy as np
import running_error as re
from tolerances import Bound

from reference.divergence import Divergence
from reference.weights import Weights


def two_evaluations(expected: re.Rounded) -> Bound:
    """The exact value and the computed one lie within one running error bound of the same number."""
    return 2.0 * expected.error, "running error analysis, for the computed value and for the exact one"


def slopes(slope: np.ndarray, ratio: np.ndarray, pole: float, unit: float) -> Bound:
    """f'(w): a constant less a distance, the distance from a quotient and one elementary function of w.

    A quotient's rounding moves a logarithm absolutely; a power is exp(a log w).
    """
    terms = 1.0 + abs(pole) + np.abs(slope)
    roundings = 2.0 * (re.ULPS["expm1"] + re.ULPS["log1p"] * np.abs(np.log(ratio))) + 3.0 * re.ROUNDINGS
    return roundings * unit * terms, "roundings of a constant, a quotient, an elementary function and their difference"


def _distances(generator: Divergence, answer: Weights, z: np.ndarray) -> tuple[np.ndarray, bool]:
    """How far each argument is below the pole; without one, from zero."""
    y = z - answer.multiplier
    if not np.isfinite(generator.supremum):
        return y, False
    near = answer.weights > 0.5  # farther away, the difference says it as well; next to the pole only the ratio does
    return np.where(near, generator.slope_slack(np.where(near, answer.weights, 1.0)), generator.supremum - y), True


def relaxed(generator: Divergence, z: np.ndarray, law: np.ndarray, answer: Weights, unit: float) -> Bound:
    """Error of mean-one ratios, times the law, from a solver that measures arguments from one well chosen row.

    Arguments are differences of data and one unknown, the argument of the row on which the mean depends most (within
    rounding: any row of half that weight, for arguments as far off as from the farthest row; next to a kink that makes
    another row the one): each is rounded in units of its own distance from a fixed origin, and of that row's. The mean
    is one to its rounding and that of the arguments. As all ratios move the same way with the unknown, the products of
    law and error add up to no more than the mean's error: each alone is no larger.
    """
    rows, size = len(z), float(np.log1p(np.abs(answer.weights)).max())
    at, slack = _distances(generator, answer, z)

    def ends(pivot: float) -> tuple[np.ndarray, np.ndarray]:
        moved = 8.0 * unit * (np.abs(at) + pivot + (0.0 if slack else 2.0))
        if slack:
            return tuple(generator.ratio_at_slack(np.maximum(at + sign * moved, 0.0)) for sign in (1.0, -1.0))
        return tuple(generator.ratio(at + sign * moved) for sign in (-1.0, 1.0))

    def farthest(ratio: np.ndarray) -> float:
        importance = law * generator.curvature(ratio)
        return np.abs(at)[importance >= 0.5 * importance.max()].max()

    pivot = max(farthest(ratio) for ratio in (answer.weights, *ends(np.abs(at).max())))
    low, high = ends(pivot)
    relative = 2.0 * (re.ULPS["expm1"] + re.ULPS["log1p"] * size) + 3.0 * re.ROUNDINGS
    each = law * (high - low + relative * unit * answer.weights + answer.weights_error)
    mean = (re.ROUNDINGS * (rows + 1) + 8.0) * unit
    return mean + each.sum() + each, "rounding of the mean and of arguments, which move all ratios the same way"


def multiplier_slope(generator: Divergence, law: np.ndarray, y: re.Rounded) -> tuple[np.ndarray, np.ndarray, str]:
    """d nu / dz_b = p_b c_b / sum p c with c = (f*)'', and a bound on its error (inf where the sum may vanish).

    c is monotone in the argument y, and so enclosed by its values at the ends of the running error bound of y; but for
    Fermi-Dirac, whose c changes by no more than the ratio does.
    """
    top = np.nextafter(generator.supremum, 0.0)
    ratios = [np.asarray(generator.ratio(np.minimum(y.value + sign * y.error, top))) for sign in (-1.0, 0.0, 1.0)]
    low, middle, high = (np.asarray(generator.curvature(ratio)) for ratio in ratios)
    relative = (2.0 * re.ROUNDINGS * (len(law) + 4) + 2.0 * re.ULPS["expm1"]) * y.unit
    spread = np.maximum(np.abs(high - middle), np.abs(low - middle)) + ratios[2] - ratios[0] + relative * middle
    total, doubt = float(law @ middle), float(law @ spread)
    derivative = law * middle / total
    room = total - doubt
    error = (law * spread + derivative * doubt) / room if room > 0 else np.full_like(law, np.inf)
    return derivative, error, "curvatures between the ends of the arguments' running error bounds"
