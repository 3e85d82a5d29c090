r"""The *flow* problem: the occupancy that trades reward against divergence from the data (OCC-01).

    maximise   sum d r - beta E_D f(d/D)   over d >= 0   subject to
               sum_a d(s, a) = (1 - gamma) mu0(s) + gamma sum P(s | s', a') d(s', a')   in every state              (1)

for a data law D on (S, A) (`behavior`), a temperature beta > 0 and a generator f of `reference.divergence`, over
occupancies without mass where D has none. It is what ROER is about. Its dual

    minimise   (1 - gamma) E_{mu0} V + beta E_D f*(delta_V / beta),       delta_V = r + gamma P V - V              (2)

has the same value, and d*/D = (f*)'(delta_V / beta) at its optimum: the *occupancy ratio* is a function of the TD error.
It corrects states and actions, which the conditional ratio of `reference.conditional` does not; and it satisfies (1),
which the relaxed weights of `reference.weights` do not. The three are three types.

No multiplier for sum d = 1 is needed: (1) implies it, and a constant in V takes its place (OCC-02).

`sampled_occupancy` solves (2) with the TD errors of single transitions inside f*, as sampled methods do. That is
another problem: its agent chooses its luck (OCC-07).
"""

import dataclasses
import math
from importlib import import_module

import numpy as np
from jaxtyping import Float64, Int
from scipy import sparse

from reference.certify import split
from reference.checks import check_policy
from reference.divergence import KL, Divergence
from reference.feasibility import InfeasibleFlow, Support, check_law, support
from reference.fixed_point import check_stopping
from reference.flow import Flow, flow_of
from reference.flow_cap import smallest_cap
from reference.flow_certificate import FlowBounds, certify_flow
from reference.flow_newton import Iterate, minimise_dual
from reference.mdp import MDP
from reference.occupancy import occupancy_measure
from reference.solution import Status

__all__ = ["RegularizedOccupancy", "SampledOccupancy", "flow_bounds", "regularized_occupancy", "sampled_occupancy"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class RegularizedOccupancy:
    """Solution of the flow problem, enclosed from both sides.

    * `occupancy` `(S, A)`: d, zero without data; `ratio` `(S, A)`: w = d/D, NaN without data; `policy` `(S, A)`: d given
      the state, in states that d does not visit that of the data, or uniform.
    * `values` `(S,)`: V, +inf in states that nothing reaches and -inf in states that must be avoided for lack of data
      (the dual is attained only in that limit, OCC-03); `td_error` `(S, A)`: delta_V, NaN where not available.
    * `primal <= optimum <= dual`, and `gap` = dual - primal: rounding counted, so `gap` is never zero. `dual` is that of
      `values`; `primal` that of the exact occupancy of `policy` (or of one within rounding of it that keeps a cap).
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
            f"value {self.dual:.6g}, gap <= {self.gap:.1e}, flow residual <= {self.flow_residual:.1e}, {ending}, "
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

    `behavior` `(S, A)` is a law on all pairs, zero where there are no data; `divergence` is KL if not given. Iterates to
    the rounding floor whatever the `tolerance` on the gap (in units of reward); `status` compares.

    `InfeasibleFlow` (a ValueError) names the state that cannot be avoided without data, the pair that no occupancy
    charges where f(0) = inf, or the smallest cap that an occupancy can keep (OCC-03, OCC-04). ValueError for a behavior
    that is no law on available pairs, beta <= 0, or a tolerance or iteration limit that means nothing.
    """
    divergence = KL() if divergence is None else divergence
    check_stopping(tolerance, max_iterations)
    where, flow = _restricted(mdp, behavior, beta, divergence)
    found = minimise_dual(flow, max_iterations)
    bounds = _certified(mdp, flow, found, tolerance)
    if math.isinf(bounds.gap) and divergence.largest_ratio < math.inf:
        _refuse_cap(mdp, behavior, divergence, found)
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
        gap=bounds.gap,
        flow_residual=bounds.residual,
        behavior=behavior,
        beta=float(beta),
        divergence=divergence,
        status=status,
        iterations=found.iterations,
        method=f"primal-dual Newton with {found.method}",
    )


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class SampledOccupancy:
    """Solution of the dual with the TD errors of single transitions inside f*: an agent that chooses its luck (OCC-07).

    * `problem`: the flow problem of the MDP whose actions are the transitions (a, s'), and its certificate; its dual is
      that of the sampled TD errors, and `values` are its V.
    * `state`, `action`, `next_state` `(N,)`: the transitions with data; `law` `(N,)`: D(s, a) P(s' | s, a);
      `occupancy` `(N,)`, `ratio` `(N,)`, `td_error` `(N,)`: d(s, a, s'), d over the law, r + gamma V(s') - V(s).
    """

    problem: RegularizedOccupancy
    state: Int[np.ndarray, " N"]
    action: Int[np.ndarray, " N"]
    next_state: Int[np.ndarray, " N"]
    law: Float64[np.ndarray, " N"]
    occupancy: Float64[np.ndarray, " N"]
    ratio: Float64[np.ndarray, " N"]
    td_error: Float64[np.ndarray, " N"]

    @property
    def values(self) -> Float64[np.ndarray, " S"]:
        """V of the sampled dual."""
        return self.problem.values

    @property
    def primal(self) -> float:
        """Lower bound on the optimum of the sampled problem."""
        return self.problem.primal

    @property
    def dual(self) -> float:
        """Upper bound on the optimum of the sampled problem."""
        return self.problem.dual

    def __repr__(self) -> str:
        return f"SampledOccupancy({self.law.size} transitions with data, {self.problem!r})"


def sampled_occupancy(
    mdp: MDP,
    behavior: Float64[np.ndarray, "S A"],
    beta: float,
    divergence: Divergence | None = None,
    tolerance: float = 1e-8,
    max_iterations: int = 500,
) -> SampledOccupancy:
    """Minimise (1 - gamma) E_{mu0} V + beta E_{D P} f*((r + gamma V(s') - V(s)) / beta) (OCC-07).

    Its primal runs over laws on (s, a, s') against D P: the flow problem of the MDP whose actions are its transitions,
    with dynamics tilted towards good luck, P~ proportional to P e^(gamma V / beta) under KL. By Jensen its optimum is
    never below that of `regularized_occupancy`; they agree where transitions are deterministic. D P and the product
    are rounded once. Arguments and errors as in `regularized_occupancy`; states are the same, actions are not.
    """
    check_law(mdp, behavior)
    rows = sparse.csr_array(mdp.matrix)
    rows.eliminate_zeros()
    moves = sparse.coo_array(sparse.csr_array(sparse.diags_array(behavior.ravel()) @ rows))
    pair, target, law = moves.row, moves.col, moves.data
    # Unavailable pairs and pairs without data are no transitions with data; a state keeps one action in any case.
    state = pair // mdp.n_actions
    rank = np.arange(state.size) - np.searchsorted(state, state)
    width = int(rank.max()) + 1
    available = np.zeros((mdp.n_states, width), dtype=np.bool_)
    available[state, rank] = True
    rewards = np.zeros((mdp.n_states, width))
    rewards[state, rank] = mdp.rewards.ravel()[pair]
    laws = np.zeros((mdp.n_states, width))
    laws[state, rank] = law / math.fsum(law)
    idle = np.flatnonzero(~available[:, 0])
    available[idle, 0] = True
    heads = np.concatenate([state * width + rank, idle * width])
    tails = np.concatenate([target, idle])
    transitions = sparse.csr_array((np.ones(heads.size), (heads, tails)), shape=(mdp.n_states * width, mdp.n_states))
    lucky = MDP(transitions, rewards, mdp.discount, mdp.initial, available)
    solved = regularized_occupancy(lucky, laws, beta, divergence, tolerance, max_iterations)
    return SampledOccupancy(
        problem=solved,
        state=state,
        action=pair % mdp.n_actions,
        next_state=target,
        law=laws[state, rank],
        occupancy=solved.occupancy[state, rank],
        ratio=solved.ratio[state, rank],
        td_error=solved.td_error[state, rank],
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
    if values.shape != (mdp.n_states,) or not np.isfinite(values[flow.states]).all():
        raise ValueError(f"values has shape {values.shape}: expected (S,) = ({mdp.n_states},), finite where d can be.")
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
        raise ValueError(f"beta is {beta!r}: expected a finite temperature > 0 (0 is a linear program: reference.solve)")
    where = support(mdp, behavior, divergence)
    return where, flow_of(mdp, behavior, float(beta), divergence, where)


def _certified(mdp: MDP, flow: Flow, found: Iterate, tolerance: float) -> FlowBounds:
    """The best enclosure: from the ratios found or, at a cap, from a mixture with ratios well inside it."""
    cap = flow.divergence.largest_ratio
    best = certify_flow(mdp, flow, found.offset, found.deviation, flow.law * found.ratio, tolerance)
    for exponent in (-46, -40, -32, -24) if cap < math.inf else ():
        if best.gap <= tolerance:
            break
        share = 2.0**exponent
        mixed = (1.0 - share) * found.ratio + share * np.minimum(found.interior, cap)
        other = certify_flow(mdp, flow, found.offset, found.deviation, flow.law * mixed, tolerance)
        best = best._replace(primal=max(best.primal, other.primal))
    return best


def _refuse_cap(mdp: MDP, behavior: np.ndarray, divergence: Divergence, found: Iterate) -> None:
    """Raise `InfeasibleFlow` if the cap is what prevents a solution."""
    smallest, cap = smallest_cap(mdp, behavior), divergence.largest_ratio
    if smallest.lower > cap:
        raise InfeasibleFlow(
            f"{divergence!r} is infeasible: every occupancy of this MDP has a ratio d/D of at least C_min = "
            f"{smallest.lower:.6g} somewhere (certified by a linear program; at most {smallest.upper:.6g}), but the "
            f"cap is {cap:.6g}. Raise the cap above C_min, or use a generator without one, such as KL()"
        )
    if smallest.upper >= cap or found.unbounded:
        raise InfeasibleFlow(
            f"{divergence!r} leaves no room: the smallest ratio that an occupancy of this MDP can keep lies in "
            f"[{smallest.lower!r}, {smallest.upper!r}], which the cap {cap!r} does not exceed. Raise the cap"
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
