r"""The *flow* problem: the occupancy that trades reward against divergence from the data (OCC-01).

    maximise   sum d r - beta E_D f(d/D)   over d >= 0   subject to
               sum_a d(s, a) = (1 - gamma) mu0(s) + gamma sum P(s | s', a') d(s', a')   in every state              (1)

for a data law D on (S, A) (`behavior`), a temperature beta > 0 and a generator f of `reference.divergence`, over
occupancies without mass where D has none. It is what ROER is about. Its dual

    minimise   (1 - gamma) E_{mu0} V + beta E_D f*(delta_V / beta),       delta_V = r + gamma P V - V              (2)

has the same value, and at its optimum d*/D = (f*)'(delta_V / beta): the *occupancy ratio* is a function of the TD
error. It corrects states and actions, which the ratio of `reference.conditional` does not; and it satisfies (1), which
the weights of `reference.weights` do not. The three are three types.

No multiplier for sum d = 1 is needed: (1) implies it, and a constant in V takes its place (OCC-02).

With the TD errors of single transitions inside f*, as sampled methods have them, (2) is another problem
(`reference.sampled`).
"""

import dataclasses
import math
from importlib import import_module

import numpy as np
from jaxtyping import Float64

from reference.certify import split
from reference.checks import check_policy
from reference.divergence import KL, Divergence
from reference.feasibility import InfeasibleFlow, Support, support
from reference.fixed_point import check_stopping
from reference.flow import Flow, flow_of
from reference.flow_cap import cap_bound, smallest_cap
from reference.flow_certificate import FlowBounds, certify_flow
from reference.flow_floor import floor_bound, largest_floor
from reference.flow_newton import Iterate, minimise_dual
from reference.mdp import MDP
from reference.occupancy import occupancy_measure
from reference.solution import Status

__all__ = ["RegularizedOccupancy", "flow_bounds", "regularized_occupancy"]

_WARM = 10.0  # in ranges of the rewards: optimal occupancies are then close to the data's, and far from a cap


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class RegularizedOccupancy:
    """Solution of the flow problem, enclosed from both sides.

    * `occupancy` `(S, A)`: d, zero without data; `ratio` `(S, A)`: w = d/D, NaN without data.
    * `policy` `(S, A)`: d given the state; in states that d does not visit that of the data, or uniform.
    * `values` `(S,)`: V, +inf in states that nothing reaches and -inf in states that must be avoided for lack of data
      (the dual is attained only in that limit, OCC-03); `td_error` `(S, A)`: delta_V, NaN where not available.
    * `primal <= optimum <= dual`, and `gap` = dual - primal: rounding counted, so `gap` is never zero. `dual` is that
      of `values`; `primal` that of the exact occupancy of `policy` (or of one within rounding of it that keeps a cap).
      `value` lies between them: the dual as float64 finds it, no bound but the best guess of the optimum.
    * `flow_residual`: bound on the sum of |what d lacks of (1)|.
    * `status` says whether `gap` met the tolerance; `iterations` Newton steps were taken, by `method`.
    """

    occupancy: Float64[np.ndarray, "S A"]
    ratio: Float64[np.ndarray, "S A"]
    values: Float64[np.ndarray, " S"]
    td_error: Float64[np.ndarray, "S A"]
    policy: Float64[np.ndarray, "S A"]
    primal: float
    dual: float
    value: float
    gap: float
    flow_residual: float
    behavior: Float64[np.ndarray, "S A"]
    beta: float
    divergence: Divergence
    status: Status
    iterations: int
    method: str

    @property
    def converged(self) -> bool:
        """Whether `gap` met the tolerance."""
        return self.status is Status.CONVERGED

    def __repr__(self) -> str:
        states, actions = self.occupancy.shape
        ending = self.status.name.lower().replace("_", " ")
        return (
            f"RegularizedOccupancy({states} states, {actions} actions, {self.divergence!r}, beta {self.beta:g}, "
            f"value {self.value:.6g}, gap <= {self.gap:.1e}, flow residual <= {self.flow_residual:.1e}, {ending}, "
            f"{self.method}, {self.iterations} iterations)"
        )

    def _repr_html_(self) -> str:
        return import_module("reference.show").to_html(self)


def regularized_occupancy(
    mdp: MDP,
    behavior: Float64[np.ndarray, "S A"],
    beta: float,
    divergence: Divergence | None = None,
    tolerance: float = 1e-8,
    max_iterations: int = 500,
) -> RegularizedOccupancy:
    """Solve the flow problem (1) and enclose its optimum (OCC-01, OCC-10).

    `behavior` `(S, A)` is a law on all pairs, zero where there are no data; `divergence` is KL if not given. Iterates
    to the rounding floor whatever the `tolerance` on the gap (in units of reward); `status` compares.

    `InfeasibleFlow` (a ValueError) names the state that cannot be avoided without data, the pair that no occupancy
    charges where f(0) = inf, or the smallest cap or the largest floor that an occupancy can keep (OCC-03, OCC-04).
    ValueError for a behavior that is no law on available pairs, beta <= 0, or a tolerance or iteration limit that means
    nothing.
    """
    divergence = KL() if divergence is None else divergence
    check_stopping(tolerance, max_iterations)
    where, flow = _restricted(mdp, behavior, beta, divergence)
    found = minimise_dual(flow, max_iterations)
    bounds = _certified(mdp, behavior, flow, found, tolerance, max_iterations)
    occupancy = np.zeros(mdp.rewards.size)
    occupancy[flow.pairs] = flow.law * found.ratio
    occupancy = occupancy.reshape(mdp.rewards.shape)
    data = behavior > 0.0
    ratio = np.where(data, 0.0, np.nan)
    ratio.ravel()[flow.pairs] = found.ratio
    values = np.where(where.dead, -np.inf, np.inf)
    values[flow.states] = found.offset + found.deviation
    status = Status.CONVERGED if bounds.gap <= tolerance else Status.ROUNDING_FLOOR
    if status is not Status.CONVERGED and not found.finished:
        status = Status.MAX_ITERATIONS
    return RegularizedOccupancy(
        occupancy=occupancy,
        ratio=ratio,
        values=values,
        td_error=_td_error(mdp, flow, found, values),
        policy=_policy(mdp, behavior, flow, flow.law * found.ratio),
        primal=bounds.primal,
        dual=bounds.dual,
        value=bounds.value,
        gap=bounds.gap,
        flow_residual=bounds.residual,
        behavior=behavior,
        beta=float(beta),
        divergence=divergence,
        status=status,
        iterations=found.iterations,
        method=f"primal-dual Newton with {found.method}",
    )


def flow_bounds(
    mdp: MDP,
    behavior: Float64[np.ndarray, "S A"],
    beta: float,
    divergence: Divergence,
    values: Float64[np.ndarray, " S"],
    policy: Float64[np.ndarray, "S A"],
) -> FlowBounds:
    """Enclose the optimum of the flow problem by any V and any policy, rounding included (OCC-10).

    The dual at `values`, rounded up, and the objective of the exact occupancy of `policy`, rounded down: -inf if it
    visits pairs without data. Values of states that no occupancy visits are ignored. Errors as in
    `regularized_occupancy`; ValueError if `policy` is no policy of this MDP or a value is not finite.
    """
    _, flow = _restricted(mdp, behavior, beta, divergence)
    check_policy(policy, mdp.available)
    if values.shape != (mdp.n_states,):
        raise ValueError(f"values has shape {values.shape}: expected (S,) = ({mdp.n_states},).")
    bad = flow.states[~np.isfinite(values[flow.states])]
    if bad.size:
        raise ValueError(f"values[{bad[0]}] is {values[bad[0]]}: expected a finite number in states that d can visit.")
    offset, deviation, _ = split(values[flow.states])  # what splitting loses does not matter: any V gives a bound
    occupancy = occupancy_measure(mdp, policy)
    inside = occupancy.ravel()[flow.pairs]
    bounds = certify_flow(mdp, flow, offset, deviation, inside)
    if np.count_nonzero(occupancy) > np.count_nonzero(inside):
        bounds = bounds._replace(primal=-math.inf)
    return bounds


def _restricted(
    mdp: MDP, behavior: Float64[np.ndarray, "S A"], beta: float, divergence: Divergence
) -> tuple[Support, Flow]:
    if not (np.isfinite(beta) and beta > 0.0):
        raise ValueError(
            f"beta is {beta!r}: expected a finite temperature > 0 (0 is a linear program: reference.solve)"
        )
    where = support(mdp, behavior, divergence)
    return where, flow_of(mdp, behavior, float(beta), divergence, where)


def _certified(
    mdp: MDP, behavior: Float64[np.ndarray, "S A"], flow: Flow, found: Iterate, tolerance: float, max_iterations: int
) -> FlowBounds:
    """The enclosure from the ratios found; where rounding lifts them above a cap or below a floor, from a mixture.

    Mixtures of occupancies are occupancies. Optima of a temperature far above the rewards usually lie well inside the
    cap; the programs for C_min and the largest floor find ratios that keep both, and tell whether they can be kept.
    """
    best = certify_flow(mdp, flow, found.offset, found.deviation, flow.law * found.ratio, tolerance)
    cap = flow.divergence.largest_ratio
    if best.gap <= tolerance or cap == math.inf:
        return best
    if found.finished:
        warm = dataclasses.replace(flow, beta=max(flow.beta, _WARM * float(np.ptp(flow.rewards))))
        inside = minimise_dual(warm, max_iterations)
        best = _mixed(mdp, flow, found, best, flow.law * inside.ratio, tolerance)
    if math.isinf(best.gap):
        between = _inside_both_ends(mdp, behavior, flow, found)
        best = best if between is None else _mixed(mdp, flow, found, best, between, tolerance)
    return best


def _inside_both_ends(
    mdp: MDP, behavior: Float64[np.ndarray, "S A"], flow: Flow, found: Iterate
) -> Float64[np.ndarray, " M"] | None:
    """An occupancy inside cap and floor, None if HiGHS finds none; `InfeasibleFlow` if there is none."""
    divergence, floor, cap = flow.divergence, flow.divergence.smallest_ratio, flow.divergence.largest_ratio
    try:
        smallest = smallest_cap(mdp, behavior)
        _check_cap(divergence, smallest.lower, smallest.upper)
        if floor == 0.0:
            return smallest.occupancy.ravel()[flow.pairs]
        largest = largest_floor(mdp, behavior, cap, smallest)
        _check_floor(divergence, largest.lower, largest.upper)
    except RuntimeError:
        # A dual without a minimum runs away along a V that proves as much: -V bounds either end like any other.
        values, where = np.zeros(mdp.n_states), support(mdp, behavior, KL())
        values[flow.states] = -(found.offset + found.deviation)
        lower = cap_bound(mdp, behavior, values, where)
        if lower > cap:
            _check_cap(divergence, lower, math.inf)
        upper = floor_bound(mdp, behavior, cap, values, where)
        if upper < floor:
            _check_floor(divergence, 0.0, upper)
        return None
    # The ratios of one may stand at the cap, those of the other below the floor; a mixture keeps both.
    share = 0.5 * (1.0 + floor / largest.lower)
    mixed = share * largest.occupancy + (1.0 - share) * smallest.occupancy
    return mixed.ravel()[flow.pairs]


def _mixed(
    mdp: MDP, flow: Flow, found: Iterate, best: FlowBounds, inside: Float64[np.ndarray, " M"], tolerance: float
) -> FlowBounds:
    """The best bounds from a little of `inside` in the occupancy found."""
    for exponent in range(-48, -16, 4):
        share = 2.0**exponent
        mixed = (1.0 - share) * (flow.law * found.ratio) + share * inside
        other = certify_flow(mdp, flow, found.offset, found.deviation, mixed, tolerance)
        best = best._replace(primal=max(best.primal, other.primal))
        if best.gap <= tolerance:
            break
    return best


def _check_cap(divergence: Divergence, lower: float, upper: float) -> None:
    """Raise `InfeasibleFlow` unless C_min, which lies in [lower, upper], is below the cap."""
    cap = divergence.largest_ratio
    if lower > cap:
        raise InfeasibleFlow(
            f"{divergence!r} is infeasible: every occupancy of this MDP has a ratio d/D of at least C_min = "
            f"{lower:.6g} somewhere (certified by a linear program; at most {upper:.6g}), but the cap is {cap:.6g}. "
            "Raise the cap above C_min, or use a generator without one, such as KL()"
        )
    if upper >= cap:
        raise InfeasibleFlow(
            f"{divergence!r} leaves no room: the smallest ratio that an occupancy of this MDP can keep, C_min, lies in "
            f"[{lower!r}, {upper!r}], and the cap {cap!r} does not exceed it by more than rounding. Raise the cap"
        )


def _check_floor(divergence: Divergence, lower: float, upper: float) -> None:
    """Raise `InfeasibleFlow` unless the largest floor, which lies in [lower, upper], is above that of `divergence`."""
    floor, cap = divergence.smallest_ratio, divergence.largest_ratio
    if upper < floor:
        raise InfeasibleFlow(
            f"{divergence!r} is infeasible: every occupancy of this MDP with ratios d/D up to {cap:.6g} has one of at "
            f"most {upper:.6g} somewhere (certified by a linear program; one has at least {lower:.6g} everywhere), but "
            f"the floor is {floor:.6g}. Lower the floor below that, or use a generator without one, such as KL()"
        )
    if lower <= floor:
        raise InfeasibleFlow(
            f"{divergence!r} leaves no room: the largest floor that an occupancy of this MDP with ratios up to "
            f"{cap:.6g} can keep lies in [{lower!r}, {upper!r}], and the floor {floor!r} is not below it by more than "
            "rounding. Lower the floor"
        )


def _td_error(mdp: MDP, flow: Flow, found: Iterate, values: np.ndarray) -> Float64[np.ndarray, "S A"]:
    """delta_V with V infinite outside the states of the flow: a move towards -inf outweighs one towards +inf."""
    finite = np.isfinite(values)
    whole = np.zeros(mdp.n_states)
    whole[flow.states] = found.deviation
    defects = mdp.discount * (found.offset * mdp.defects) - (1.0 - mdp.discount) * found.offset
    delta = (mdp.rewards + defects) + (mdp.discount * mdp.expected_next(whole) - whole[:, None])
    if not finite.all():
        for infinite in (np.inf, -np.inf):
            hits = mdp.discount * mdp.expected_next(np.where(values == infinite, 1.0, 0.0)) > 0.0
            delta = np.where(hits, infinite, delta)
        delta = np.where(finite[:, None], delta, -np.inf)
    delta = np.where(mdp.available, delta, np.nan)
    delta.ravel()[flow.pairs] = flow.td_error(found.offset, found.deviation)
    return delta


def _policy(mdp: MDP, behavior: np.ndarray, flow: Flow, occupancy: np.ndarray) -> Float64[np.ndarray, "S A"]:
    """d given the state; that of the data in states that d does not visit, and uniform where there are no data."""
    data = np.where(behavior.sum(axis=1, keepdims=True) > 0.0, behavior, mdp.available)
    policy = np.where(mdp.available, data, 0.0)
    policy = policy / policy.sum(axis=1, keepdims=True)
    kept = np.zeros(mdp.n_states, dtype=np.bool_)
    kept[flow.states] = True
    policy[kept] = 0.0
    policy.ravel()[flow.pairs] = flow.conditional(occupancy)
    return policy
