"""Bounds for comparisons of the flow problem, as `(bound, reason)` like those of `tolerances`."""

from __future__ import annotations

import numpy as np
from tolerances import ELEMENTARY, EVALUATION, SMALLEST, Bound

from reference.divergence import Divergence
from reference.flow import Flow
from reference.mdp import MDP
from reference.regularized import RegularizedOccupancy
from reference.rounding import UNIT_ROUNDOFF, gamma_n


def enclosure(found: RegularizedOccupancy) -> Bound:
    """What the solution promises: the optimum lies between its primal and its dual."""
    return found.gap, "gap certified by the solver"


def far_below(found: RegularizedOccupancy) -> Bound:
    """How wide an enclosure at sixty digits may be that judges a float64 one: 2^-80 of it, lost in its rounding."""
    return 2.0**-80 * found.gap, "2^-80 of the gap: what the enclosure at sixty digits may leave open"


def gap_floor(mdp: MDP, found: RegularizedOccupancy) -> Bound:
    """The largest gap that rounding explains once Newton's method has converged.

    Sums over a column of P and over actions round `columns + A` times, and act 1/(1 - gamma) times on the visits; the
    objective follows them with rewards, spans of V and prices, and a logarithm where a state is hardly visited. The
    certificate charges each at both ends of two intervals and a function of the divergence sixteen roundings: 64.
    """
    terms = mdp.column_entries + mdp.row_entries + mdp.n_actions + 16
    values = found.values[np.isfinite(found.values)]
    data = found.behavior > 0.0
    price = float(np.sum(found.behavior[data] * found.divergence.f(found.ratio[data])))
    size = mdp.largest_reward + float(np.ptp(values)) + found.beta * (1.0 + price)
    rarest = float(found.behavior[data].min())
    margin = 1.0 - mdp.discount * (1.0 + mdp.largest_defect)
    bound = 64.0 * gamma_n(terms) * size * (1.0 - np.log(rarest)) / margin
    return bound, f"64 gamma_{terms} (|r| + span V + beta (1 + price)) / (1 - gamma), and a logarithm"


def strong_concavity(
    gap: float, beta: float, divergence: Divergence, law: np.ndarray, ratio: np.ndarray, other: np.ndarray
) -> Bound:
    """How far two ratios within `gap` of the optimum may be apart: beta D f''/2 (w - w')^2 each, f'' = 1/curvature.

    The curvature is the largest of seventeen between them, doubled for what lies between those.
    """
    between = [ratio + t * (other - ratio) for t in np.linspace(0.0, 1.0, 17)]
    curvature = 2.0 * np.max([np.asarray(divergence.curvature(w)) for w in between], axis=0)
    bound = 2.0 * np.sqrt(2.0 * gap * curvature / (beta * law)) + 2.0 * gap / (beta * law)
    return bound, "2 sqrt(2 gap / (beta D f'')): strong concavity of the objective, both ratios within the gap"


def flow_floor(mdp: MDP) -> Bound:
    """What a residual of the Bellman flow must allow: the rounding of inflow and outflow, each of mass one, twice."""
    terms = mdp.column_entries + mdp.n_actions + 16
    bound = 8.0 * gamma_n(terms) + mdp.rewards.size * (terms + 8) * SMALLEST
    return bound, f"8 gamma_{terms}: inflow and outflow of mass one, rounded and charged"


def jensen(found: RegularizedOccupancy, other: RegularizedOccupancy) -> Bound:
    """Two optima, each known to its gap, compared."""
    return found.gap + other.gap, "gaps certified by the solver, both"


def lagrangian(mdp: MDP, values: np.ndarray, gap: float, beta: float) -> Bound:
    """Rounding of (1 - gamma) mu0 . U + the relaxed optimum at delta_U: TD errors of size |r| + 2 |U|, and two gaps."""
    size = mdp.largest_reward + 2.0 * float(np.abs(values).max()) + beta
    bound = gap + gamma_n(mdp.row_entries + mdp.n_states + 8) * size * (1.0 + 4.0 * EVALUATION)
    return bound, "gaps certified by both solvers, rounding of delta_U and of mu0 . U"


def tilt(mdp: MDP, exponent: float, ratio_error: float) -> Bound:
    """Relative error of P e^(gamma V / beta), normalised: rounding of exponents up to `exponent` and of row sums."""
    terms = 2 * mdp.row_entries + 8
    bound = np.expm1(2.0 * ratio_error + 8.0 * UNIT_ROUNDOFF * exponent) + gamma_n(terms) + 2.0 * ELEMENTARY
    return float(bound), "relative error of the ratios, rounding of exponents and of sums over next states"


def mass(mdp: MDP) -> Bound:
    """The mass of an occupancy that satisfies the flow up to rounding, with rows that miss one by rounding."""
    margin = 1.0 - mdp.discount * (1.0 + mdp.largest_defect)
    defect = mdp.largest_defect + gamma_n(2 * mdp.n_states)
    return (flow_floor(mdp)[0] + 2.0 * defect) / margin, "flow residual and row-sum defects over 1 - gamma"


def barrier(mdp: MDP, found: RegularizedOccupancy) -> Bound:
    """How far sum d delta may be from beta (sum d - 1) for reverse KL, whose ratio is 1/(1 - y): D w (1 - y) = D.

    A pair off by x = w (1 - y) - 1 has the Fenchel-Young gap beta D (x - log(1 + x)) >= beta D x^2/2 / (1 + |x|), so by
    Cauchy-Schwarz sum beta D |x| <= 2 sqrt(gap beta). The mass of d enters once, and the rounding of two returns.
    """
    size = mdp.largest_reward + float(np.abs(found.values).max()) + found.beta
    bound = 2.0 * np.sqrt(found.gap * found.beta) + size * (mass(mdp)[0] + gamma_n(2 * mdp.rewards.size + 16))
    return float(bound), "2 sqrt(gap beta) by Cauchy-Schwarz, mass of d and rounding of two returns"


def limits(mdp: MDP, found: RegularizedOccupancy, value_error: float, price: float) -> Bound:
    """The optimum to its gap, the optimal return to its error, and the rounding of returns and of a divergence."""
    size = mdp.largest_reward * (1.0 + 1.0 / (1.0 - mdp.discount)) + found.beta * (1.0 + price)
    bound = (
        found.gap + value_error + gamma_n(2 * mdp.rewards.size + 32) * size + found.beta * mass(mdp)[0] * (1.0 + price)
    )
    return bound, "certified gap and error, rounding of a return and of a divergence"


def linear_program(mdp: MDP) -> Bound:
    """How far HiGHS may leave both sides of C_min apart: its tolerances, 1e-7, on every row, over 1 - gamma."""
    tolerance = 1e-7  # primal_feasibility_tolerance and dual_feasibility_tolerance of HiGHS, its defaults
    return 2.0 * tolerance * mdp.n_states / (
        1.0 - mdp.discount
    ), "feasibility tolerance of HiGHS on each state / (1 - gamma)"


def preconditioned(flow: Flow, weights: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, str]:
    """Rounding of E T^-1 E^T for E = N + 1 m^T (I - A N) / (1 - gamma), both ways, over `scale` in rows and columns.

    |E| <= L = 1/(1 - gamma) + 3/(1 - gamma)^2 in the norm of row sums, what cancels in I - A N included; every term of
    its at most 33 products rounds `S + 4` times, and the sums over states S times more.
    """
    size, margin = scale.size, 1.0 - flow.discount
    largest = 1.0 / margin + 3.0 / margin**2
    total = flow.outflow(weights)
    rounding = 2.0 * gamma_n(2 * 33 * (size + 4) + 4 * size) * largest**2 / float(total.min())
    return rounding / scale / scale[:, None], "gamma_n (1/(1 - gamma) + 3/(1 - gamma)^2)^2 / min T, over the diagonal"
