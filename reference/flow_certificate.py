r"""Two-sided bounds on the optimum of the flow problem, rounding included (OCC-10).

**Above.** Every V gives  U = (1 - gamma) mu0 . V + beta E_D f*(delta_V / beta), for the conjugate increases.

**Below.** Every policy's occupancy d is feasible. By the Bellman flow, sum d r = (1 - gamma) mu0 . V + sum d delta_V;
hence its objective is U less the Fenchel-Young gaps

    beta D (f(w) + f*(y) - w y) >= 0,      w = d/D,  y = delta_V / beta,

one for each pair: convex in w, and of second order near the optimum. The policy is that of a given d: with what d lacks
of the flow, R(d) = (1 - gamma) mu0 + gamma P^T d - sum_a d, the exact occupancy of its policy visits the states as
sum_a d + (I - gamma K^T)^-1 R for the chain K of the policy. Two bounds on that difference e are used:

* sum |e| <= sum |R| / (1 - gamma (1 + largest row-sum defect)). A sum of convex functions of the e_s under a bound on
  sum |e_s| is largest where one state has all of it, so only the worst state pays.
* |e_s| <= 2 max(|R| / rho) T_s with T = sum_{j<k} (gamma K^T)^j rho, rho = sum_a d, as soon as (gamma K^T)^k rho <=
  rho / 2 in every state: then x = 2 max(|R|/rho) T satisfies x - gamma K^T x >= |R|, and (I - gamma K^T)^-1 >= 0. It is
  relative, which rarely visited states, and ratios at a cap, need. Where a dense solve is cheap, it finds another x,
  and only the inequality is checked: x >= 0 and x - gamma K^T x > 0 prove that the inverse is nonnegative.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from reference.certify import lookahead, lookahead_radius
from reference.flow import Flow
from reference.mdp import MDP
from reference.rounding import UNIT_ROUNDOFF, gamma_n, outward, sum_minus_one

__all__ = ["FlowBounds", "certify_flow", "state_error"]

_SMALLEST = 2.0**-1074


class FlowBounds(NamedTuple):
    """`primal <= optimum <= dual`, `value` between them as float64 finds it; `residual` bounds `sum |R(d)|`."""

    primal: float
    dual: float
    value: float
    residual: float

    @property
    def gap(self) -> float:
        """dual - primal, rounded up."""
        width = self.dual - self.primal
        return width + UNIT_ROUNDOFF * abs(width) if math.isfinite(width) else math.inf


def certify_flow(
    mdp: MDP,
    flow: Flow,
    offset: float,
    deviation: Float64[np.ndarray, " N"],
    occupancy: Float64[np.ndarray, " M"],
    target: float = 0.0,
) -> FlowBounds:
    """Enclose the optimum from V = offset + deviation and an occupancy that nearly satisfies the flow.

    The second, dearer bound on the difference is tried if the first leaves a gap above `target`.
    """
    with np.errstate(all="ignore"):
        local, blur = _td_error(mdp, flow, offset, deviation)
        y, radius = local / flow.beta, outward(blur / flow.beta + UNIT_ROUNDOFF * np.abs(local / flow.beta))
        above = y + outward(radius) + (flow.divergence.argument_accuracy + UNIT_ROUNDOFF) * np.abs(y)
        if not np.all(above < flow.divergence.supremum):
            return FlowBounds(-math.inf, math.inf, math.inf, _flow_residual(flow, occupancy))
        conjugate = np.asarray(flow.divergence.conjugate(above))
        start, start_error = _start(mdp, flow, offset, deviation)
        terms = flow.law * conjugate
        mean = math.fsum(terms)
        spread = (flow.divergence.accuracy + 2.0 * UNIT_ROUNDOFF) * math.fsum(np.abs(terms)) + terms.size * _SMALLEST
        value = math.fsum([start, flow.beta * mean, flow.constant])
        error = (
            start_error
            + flow.beta * spread
            + 4.0 * UNIT_ROUNDOFF * (abs(start) + flow.beta * abs(mean) + abs(flow.constant))
        )
        error += flow.divergence.accuracy * abs(flow.constant)
        dual = value + outward(error)
        # The gaps are taken from the same upper value of f*, so only its rounding counts a second time.
        lost = math.inf
        for relative in (False, True):
            visits, residual = state_error(flow, occupancy, relative=relative)
            if not np.isfinite(visits).all():
                continue
            lost = min(lost, _fenchel_young(flow, occupancy, visits, y - radius, conjugate, spread_one=not relative))
            if lost + 2.0 * error <= target:
                break
        plain = math.fsum(flow.law * np.asarray(flow.divergence.conjugate(y)))
    primal = value - outward(2.0 * error + lost)
    primal = primal if math.isfinite(primal) else -math.inf
    guess = min(max(math.fsum([start, flow.beta * plain, flow.constant]), primal), dual)
    return FlowBounds(primal, dual, guess, residual)


def _td_error(mdp: MDP, flow: Flow, offset: float, deviation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """delta_V by one pass over the whole MDP, and how far each entry may be from exact."""
    whole = np.zeros(mdp.n_states)
    whole[flow.states] = deviation
    target = lookahead(mdp, whole, offset).ravel()[flow.pairs]
    own = deviation[flow.owner]
    delta = target - own
    return delta, lookahead_radius(mdp, whole, offset) + UNIT_ROUNDOFF * np.abs(delta)


def _start(mdp: MDP, flow: Flow, offset: float, deviation: np.ndarray) -> tuple[float, float]:
    """(1 - gamma) mu0 . V and a bound on its rounding."""
    excess = float(sum_minus_one(mdp.initial[None, :])[0])
    products = mdp.initial[flow.states] * deviation
    inner = math.fsum([*products, offset * excess])
    value = (1.0 - mdp.discount) * (offset + inner)
    size = abs(offset) * (1.0 + abs(excess)) + math.fsum(np.abs(products))
    error = (1.0 - mdp.discount) * (6.0 * UNIT_ROUNDOFF * size + abs(offset) * (mdp.n_states * UNIT_ROUNDOFF) ** 2)
    return value, outward(error) + (mdp.n_states + 4) * _SMALLEST


def _flow_residual(flow: Flow, occupancy: np.ndarray) -> float:
    return float(_residual_bounds(flow, occupancy).sum()) * (1.0 + gamma_n(flow.initial.size))


def _residual_bounds(flow: Flow, occupancy: Float64[np.ndarray, " M"]) -> Float64[np.ndarray, " N"]:
    """Bound on |R(d)| in every state: what float64 finds, and what its sums may have lost."""
    inflow, outflow = flow.inflow(occupancy), flow.outflow(occupancy)
    size = flow.initial + inflow + outflow
    longest = max(_longest_column(flow), int(np.bincount(flow.owner).max()))
    missing = np.abs((flow.initial - outflow) + inflow)
    return outward(missing + gamma_n(longest + 8) * size) + (longest + 8) * _SMALLEST


def _longest_column(flow: Flow) -> int:
    if isinstance(flow.matrix, np.ndarray):
        return flow.matrix.shape[0]
    return int(np.bincount(flow.matrix.indices, minlength=1).max())


def state_error(
    flow: Flow, occupancy: Float64[np.ndarray, " M"], *, relative: bool
) -> tuple[Float64[np.ndarray, " N"], float]:
    """Bounds on |exact visits of the policy of d - sum_a d|, and one on sum |R(d)|.

    Not `relative`: each is a bound on the *sum* over all states. `relative`: state by state; infinite where none holds.
    """
    missing = _residual_bounds(flow, occupancy)
    total = float(missing.sum()) * (1.0 + gamma_n(missing.size))
    if not relative:
        margin = 1.0 - flow.discount * (1.0 + float(np.abs(flow.defects).max()) + UNIT_ROUNDOFF) - 4.0 * UNIT_ROUNDOFF
        return np.full_like(missing, outward(total / margin) if margin > 0.0 else math.inf), total
    visits, policy = flow.outflow(occupancy), flow.conditional(occupancy)
    if not np.all(visits >= np.finfo(np.float64).tiny):
        visits = np.maximum(visits, np.finfo(np.float64).tiny)
    if flow.starts_direct:
        direct = _direct_error(flow, policy, missing)
        if direct is not None:
            return direct, total
    share = float(np.max(missing / visits))
    most = flow.initial.size + math.ceil(64.0 / -math.log(min(flow.discount, 1.0 - 2.0**-20)) if flow.discount else 1)
    mass, later = visits.copy(), visits
    for _ in range(min(most, 100_000)):
        later = flow.inflow(policy * later[flow.owner])
        if np.all(later <= 0.499 * visits):
            return 2.0 * share * mass * (1.0 + 2.0**-20), total
        mass += later
    return np.full_like(missing, math.inf), total


def _direct_error(
    flow: Flow, policy: Float64[np.ndarray, " M"], missing: Float64[np.ndarray, " N"]
) -> Float64[np.ndarray, " N"] | None:
    """Some x >= 0 with x - gamma K^T x >= missing, checked with its rounding; None if the solve is too rough."""
    chain = flow.chain(policy)
    dense = chain if isinstance(chain, np.ndarray) else chain.toarray()
    matrix, wanted = np.eye(len(dense)) - flow.discount * dense.T, (1.0 + 2.0**-10) * missing
    try:
        found = np.maximum(np.linalg.solve(matrix, wanted), 0.0)
    except np.linalg.LinAlgError:
        return None
    inflow = flow.inflow(policy * found[flow.owner])
    terms = max(_longest_column(flow), int(np.bincount(flow.owner).max())) + 32  # the policy is rounded as well
    kept = (found - inflow) - outward(gamma_n(terms) * (found + inflow)) - terms * _SMALLEST
    return found if np.all(kept >= missing) else None


def _fenchel_young(
    flow: Flow,
    occupancy: Float64[np.ndarray, " M"],
    visits: Float64[np.ndarray, " N"],
    below: Float64[np.ndarray, " M"],
    conjugate: Float64[np.ndarray, " M"],
    *,
    spread_one: bool,
) -> float:
    """Upper bound on beta E_D[f(w) + f*(y) - w y] for the exact occupancy of the policy of `occupancy`.

    `below` are lower ends for y, `conjugate` upper ends for f*(y). With `spread_one`, `visits` bounds the sum of the
    differences and only the worst state has one; otherwise every state has its own.
    """
    policy = flow.conditional(occupancy)
    ratio = occupancy / flow.law
    blur = 8.0 * UNIT_ROUNDOFF * ratio
    reach = visits[flow.owner] * policy * (1.0 + 16.0 * UNIT_ROUNDOFF) / flow.law

    def gaps(width: Float64[np.ndarray, " M"]) -> Float64[np.ndarray, " M"]:
        low, high = np.maximum(ratio - width, 0.0), ratio + width
        return flow.law * np.maximum(_gap(flow, low, below, conjugate), _gap(flow, high, below, conjugate))

    plain = gaps(blur) if spread_one else gaps(blur + reach)
    total = math.fsum(plain)
    if spread_one:
        worst = flow.outflow(gaps(blur + reach)) - flow.outflow(plain) * (1.0 - gamma_n(plain.size))
        total += max(float(worst.max()), 0.0) * (1.0 + gamma_n(plain.size))
    return outward(flow.beta * total) if math.isfinite(total) else math.inf


def _gap(flow: Flow, ratio: np.ndarray, below: np.ndarray, conjugate: np.ndarray) -> Float64[np.ndarray, " M"]:
    """Upper bound on f(w) + f*(y) - w y at one ratio per pair; infinite outside the domain of f."""
    divergence = flow.divergence
    inside = (ratio >= divergence.smallest_ratio) & (ratio <= divergence.largest_ratio) & (ratio < math.inf)
    ratio = np.where(inside, ratio, 1.0)
    price = np.asarray(divergence.f(ratio))
    product = np.where(ratio > 0.0, ratio * below, 0.0)
    rounding = divergence.accuracy * (price + np.abs(conjugate)) + 4.0 * UNIT_ROUNDOFF * (
        price + np.abs(conjugate) + np.abs(product)
    )
    gap = np.maximum(price + conjugate - product, 0.0) + rounding
    return np.where(inside & np.isfinite(gap), gap, math.inf)
