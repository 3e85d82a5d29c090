r"""A primal-dual Newton method for the flow problem, with continuation in the temperature (OCC-01).

The optimum is where values V and ratios w satisfy

    R(D w) = 0   (Bellman flow)        and        w = (f*)'(y),  y = delta_V / beta,  on every pair.            (1)

Newton's method on the dual alone (w eliminated) needs hundreds of steps once beta is small: exponentials and poles are
only linear nearby. Here w is an unknown of its own, and the relation in (1) is linearised with its *secant* between the
two answers that it holds, w and w' = (f*)'(y):

    w + dw = w' + h dy,     h = (w - w') / (f'(w) - y),     dy = B dV / beta.

h is (f*)'' where the two agree, so that the method ends quadratically; for f = -log w it is w times the slack, the
scaling of primal-dual interior-point methods (Wright, *Primal-Dual Interior-Point Methods*, 1997), which it carries
over to every generator. Elimination of dw leaves

    (B^T diag(D h) B / beta) dV = -R(D w'),

the dual gradient with other weights. Steps in V keep the domain of f* and minimise the dual along their line; steps in
w stay inside [0, cap]. Values shifted by a constant cost one bisection, so that every temperature starts with ratios of
mean about one.

Pairs with few data weigh so little in the system that steps run them into a pole, or their exponential away. On the way
to `flow.beta` they count as if they had more, by a share that falls with the temperature: weighted centres far from the
boundary are easy to reach, and a path of weights leads from them to any other (B. Jansen, C. Roos, T. Terlaky and J.-P.
Vial, Primal-dual target-following algorithms for linear programming, Annals of Operations Research 62, 1996).
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from reference.flow import Flow
from reference.flow_system import NormalEquations
from reference.rounding import UNIT_ROUNDOFF

__all__ = ["Iterate", "minimise_dual"]

_COOLING = 0.2  # the next temperature, as a share of this one
_NEAR = 0.5  # squared Newton decrement below which a temperature is left: the next start is close enough
_INSIDE = 0.99  # share of the way to a boundary that a step may go
_DONE = 1e-22  # squared decrement, relative to one: the dual is then exact far below its rounding
_SMALL = 1e-10  # squared decrement that may be made of rounding
_STALLED = 3  # steps in a row that leave more than a quarter of the smallest one so far
_RUNAWAY = 1e-9  # share of the terms of a sum above which its sign is not made of rounding
_TINY = 1e-300


class Iterate(NamedTuple):
    """Values `offset + deviation`, and ratios that satisfy the flow."""

    offset: float
    deviation: Float64[np.ndarray, " N"]
    ratio: Float64[np.ndarray, " M"]
    iterations: int
    finished: bool
    unbounded: bool
    method: str


def minimise_dual(flow: Flow, max_iterations: int) -> Iterate:
    """Follow the optimum from a temperature of the size of the rewards down to `flow.beta`.

    `unbounded` reports values that no dual with a minimum has: no occupancy keeps the cap and the floor.
    """
    system = NormalEquations(flow)
    with np.errstate(all="ignore"):
        return _follow(flow, system, max_iterations)


def _follow(flow: Flow, system: NormalEquations, max_iterations: int) -> Iterate:
    divergence, cap = flow.divergence, flow.divergence.largest_ratio
    floor = divergence.smallest_ratio
    warmest = beta = max(flow.beta, float(np.ptp(flow.rewards)))
    law = _levelled(flow, beta, warmest)
    deviation = np.zeros(flow.initial.size)
    offset = _centred(flow, law, beta, 0.0, deviation)
    y = _arguments(flow, beta, offset, deviation)
    implied = np.asarray(divergence.ratio(y))
    ratio = np.clip(implied, max(_TINY, floor), cap * (1.0 - UNIT_ROUNDOFF))
    # At an end of the domain the secant has no slope, and where a whole state has none its value would have no step.
    # An argument just inside may round to the end: what counts is the implied ratio, where the secant takes its limit.
    ratio = np.where(_curvature(flow, implied, y) > 0.0, ratio, 0.5 * (ratio + 1.0))
    best, decrement, iteration, stalled = math.inf, math.inf, 0, 0
    finished = unbounded = False
    while iteration < max_iterations:
        iteration += 1
        implied = np.asarray(divergence.ratio(y))
        gradient = flow.residual(law * implied)
        slope = _secant(flow, ratio, implied, y)
        tolerance = min(0.1, max(1e-7, 0.1 * math.sqrt(decrement)))
        step = system.solve(law * slope / beta, -gradient, tolerance)
        if not np.isfinite(step).all():
            slope = _moved(flow, law, slope, ratio, implied, y)
            step = system.solve(law * slope / beta, -gradient, tolerance)
        change = flow.forward(step) / beta
        decrement = -float(gradient @ step) / beta
        if not np.isfinite(decrement):
            break
        decrement = max(decrement, 0.0)
        ratio_step = (implied - ratio) + slope * change
        length = _line_minimum(flow, law, y, change, float(flow.initial @ step) / beta, decrement)
        offset, deviation = _parted(offset, deviation + length * step)
        room = _within(ratio, ratio_step, floor, cap)
        ratio = np.maximum(ratio + room * ratio_step, floor)
        y = _arguments(flow, beta, offset, deviation)
        if cap < math.inf and _unbounded(flow, offset, deviation):
            unbounded = True
            break
        if beta > flow.beta:
            if decrement < _NEAR:
                beta, before = max(flow.beta, _COOLING * beta), law
                law = _levelled(flow, beta, warmest)
                ratio = ratio * (before / law)
                offset = _centred(flow, law, beta, offset, deviation)
                y = _arguments(flow, beta, offset, deviation)
            continue
        # Quadratic convergence ends in rounding: a decrement that is small and no longer falls is made of it. One step
        # does not tell, for secants of rare pairs may hold it up before it falls to the end.
        stalled = stalled + 1 if _SMALL > decrement > 0.25 * best else 0
        if decrement <= _DONE or stalled == _STALLED:
            finished = True
            break
        best = min(best, decrement)
    offset = _inside(flow, offset, deviation)
    ratio = _projected(flow, system, _arguments(flow, flow.beta, offset, deviation))
    return Iterate(offset, deviation, ratio, iteration, finished, unbounded, system.method)


def _parted(offset: float, deviation: np.ndarray) -> tuple[float, np.ndarray]:
    """The same values with what they share in the offset, where 1 - gamma makes its rounding harmless."""
    middle = 0.5 * (float(deviation.max()) + float(deviation.min()))
    return offset + middle, deviation - middle


def _levelled(flow: Flow, beta: float, warmest: float) -> Float64[np.ndarray, " M"]:
    """The data at `beta` on its way down, more where there are few; floors and caps leave no such freedom."""
    divergence = flow.divergence
    if beta <= flow.beta or divergence.smallest_ratio > 0.0 or divergence.largest_ratio < math.inf:
        return flow.law
    return np.maximum(flow.law, math.sqrt(beta / warmest) * float(flow.law.mean()))


def _arguments(flow: Flow, beta: float, offset: float, deviation: np.ndarray) -> Float64[np.ndarray, " M"]:
    """y = delta_V / beta, kept below the supremum where rounding would lift it there."""
    return np.minimum(flow.td_error(offset, deviation) / beta, np.nextafter(flow.divergence.supremum, 0.0))


def _inside(flow: Flow, offset: float, deviation: np.ndarray) -> float:
    """The offset, raised if rounding would lift an argument to the supremum: every V must keep below it."""
    supremum = flow.divergence.supremum
    if supremum == math.inf:
        return offset
    size = float(np.abs(flow.rewards).max()) + float(np.abs(deviation).max()) + (1.0 - flow.discount) * abs(offset)
    margin = 64.0 * UNIT_ROUNDOFF * (size / flow.beta + supremum)
    excess = float((flow.td_error(offset, deviation) / flow.beta).max()) + margin - supremum
    return offset + max(excess, 0.0) * flow.beta / (1.0 - flow.discount)


def _secant(flow: Flow, ratio: np.ndarray, implied: np.ndarray, y: np.ndarray) -> Float64[np.ndarray, " M"]:
    """(w - w') / (f'(w) - y), and its limit (f*)'' where the difference is made of rounding."""
    distance = np.asarray(flow.divergence.f_prime(ratio)) - y
    secant = (ratio - implied) / distance
    close = np.abs(distance) <= 1e-5 * (1.0 + np.abs(y))
    limit = _curvature(flow, implied, y)
    usable = np.isfinite(secant) & (secant >= 0.0) & ~close
    return np.where(usable, secant, np.where(np.isfinite(limit), limit, 0.0))


def _moved(
    flow: Flow, law: np.ndarray, slope: np.ndarray, ratio: np.ndarray, implied: np.ndarray, y: np.ndarray
) -> Float64[np.ndarray, " M"]:
    """The slopes, in states without any from ratios halfway to one: secants that reach back into the domain.

    Where all ratios of a state stand at an end the dual is linear in its value, and no system has a finite step.
    """
    still = (flow.outflow(law * slope) <= _TINY)[flow.owner]
    halfway = 0.5 * (ratio + 1.0)
    secant = (halfway - implied) / (np.asarray(flow.divergence.f_prime(halfway)) - y)
    return np.where(still, secant, slope)


def _curvature(flow: Flow, implied: np.ndarray, y: np.ndarray) -> Float64[np.ndarray, " M"]:
    """(f*)''(y): zero where the ratio stands at an end of its domain."""
    divergence, cap = flow.divergence, flow.divergence.largest_ratio
    top = float(divergence.f_prime(cap)) if cap < math.inf else math.inf
    moves = (y > divergence.infimum) & (y < top)
    return np.where(moves, np.asarray(divergence.curvature(implied)), 0.0)


def _within(ratio: np.ndarray, step: np.ndarray, floor: float, cap: float) -> float:
    """How far ratios may go along `step`, at most all the way."""
    falls, rises = step < 0.0, step > 0.0
    room = _INSIDE * float(np.min((floor - ratio[falls]) / step[falls], initial=math.inf))
    if cap < math.inf:
        room = min(room, _INSIDE * float(np.min((cap - ratio[rises]) / step[rises], initial=math.inf)))
    return min(1.0, room)


def _line_minimum(
    flow: Flow, law: np.ndarray, y: np.ndarray, change: np.ndarray, linear: float, decrement: float
) -> float:
    """A step length at which the dual has lost half of its slope: it is convex along the line, so signs decide."""
    divergence, longest = flow.divergence, 1.0
    if divergence.supremum < math.inf:
        rises = change > 0.0
        room = float(np.min((divergence.supremum - y[rises]) / change[rises], initial=math.inf))
        longest = min(1.0, _INSIDE * room)
    length, low, high = longest, 0.0, math.inf
    for _ in range(60):
        terms = law * np.asarray(divergence.ratio(y + length * change)) * change
        slope = linear + float(terms.sum())
        rounding = 64.0 * UNIT_ROUNDOFF * (abs(linear) + float(np.abs(terms).sum()))
        if math.isfinite(slope) and (abs(slope) <= max(0.5 * decrement, rounding) or decrement <= _DONE):
            break
        if slope < 0.0:
            low = length
            if high == math.inf:
                break
        else:
            high = length
        length = 0.5 * (low + high) if low > 0.0 else 0.4 * high
    return length


def _centred(flow: Flow, law: np.ndarray, beta: float, offset: float, deviation: np.ndarray) -> float:
    """The offset at which ratios have a mean between 1/2 and 2; bisection on the shift of all arguments."""
    y = flow.td_error(offset, deviation) / beta
    high = float(y.max())
    low = max(float(y.min()), high - flow.divergence.supremum)

    def mean(shift: float) -> float:
        """Of the ratios; infinite where the shift leaves the domain."""
        arguments = y - shift
        if not np.all(arguments <= flow.divergence.supremum):
            return math.inf
        return float(law @ np.asarray(flow.divergence.ratio(arguments)))

    reach = 1.0
    while mean(low) < 0.5 and reach < 1e4:  # data on pairs that cannot be charged are missing from the mean
        low, reach = low - reach, 2.0 * reach
    for _ in range(200):
        middle = 0.5 * (low + high)
        size = mean(middle)
        if 0.5 <= size <= 2.0:
            break
        low, high = (middle, high) if size > 2.0 else (low, middle)
    return offset + beta * 0.5 * (low + high) / (1.0 - flow.discount)


def _unbounded(flow: Flow, offset: float, deviation: np.ndarray) -> bool:
    """Whether V proves that no occupancy stays between floor and cap; where there is none, iterates run away along one.

    An occupancy makes (1 - gamma) mu0 . V + d . BV zero: nothing within the bounds does if the largest value is below.
    """
    divergence = flow.divergence
    common = flow.discount * (offset * flow.defects) - (1.0 - flow.discount) * offset
    steps = common + flow.forward(deviation)
    charges = flow.law * np.where(steps > 0.0, divergence.largest_ratio, divergence.smallest_ratio) * steps
    starts = flow.initial * (offset + deviation)
    size = float(np.abs(charges).sum() + np.abs(starts).sum())
    rounding = 64.0 * UNIT_ROUNDOFF * divergence.largest_ratio * float(flow.law.sum()) * float(np.abs(deviation).max())
    return float(charges.sum() + starts.sum()) < -(_RUNAWAY * size + rounding)


def _projected(flow: Flow, system: NormalEquations, y: np.ndarray) -> Float64[np.ndarray, " M"]:
    """The ratios at y, moved along the linearised flow equation until what they lack is rounding.

    Floats of size |V| / beta near y cannot hold y well enough; ratios can hold the flow to the last digit.
    """
    divergence, cap = flow.divergence, flow.divergence.largest_ratio
    ratio = np.asarray(divergence.ratio(y))
    slope = _curvature(flow, ratio, y)
    weights = flow.law * slope
    if not (np.isfinite(weights).all() and np.isfinite(ratio).all()):
        return np.where(np.isfinite(ratio), ratio, 1.0)  # a run that broke down: any occupancy will do
    missing = flow.residual(flow.law * ratio)
    for _ in range(4):
        moved = ratio + slope * flow.forward(system.solve(weights, -missing, 1e-6))
        moved = np.clip(moved, divergence.smallest_ratio, cap)
        left = flow.residual(flow.law * moved)
        if not np.abs(left).sum() < np.abs(missing).sum():
            break
        gain = float(np.abs(left).sum() / np.abs(missing).sum())
        ratio, missing = moved, left
        if gain > 0.25:
            break
    return ratio
