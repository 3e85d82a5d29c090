"""Rigorous error bounds, rounding included.

Whatever produced a vector `v`, one pass over the model encloses `v* - v` for the float64 data taken as exact. `v` is
handed over as `offset + deviation`, two floats per state, because the common part `c` of a value function is large
(of the order `r / (1 - gamma)`) and only the deviation `w` need meet the long dot products:

    q_v(s, a) - c = r - (1 - gamma) c + gamma c delta(s, a) + gamma (P w)(s, a),      v = c + w,

with the exact row-sum defect `delta = sum_t P(t | s, a) - 1` (`MDP.defects`). With `n` entries in a row, any order of
summation and fused multiply-add or not, the dot product errs by at most `gamma_n sum p |w|` (Higham 2002, section 3.1).

From `m <= T v - v <= M` follow, for every monotone `T` with `T(v + x) - T v` between `gamma rho_min x` and
`gamma rho_max x`, the bounds of MacQueen (1966) and Porteus (1971) in every component:

    m / (1 - gamma rho) <= v* - v <= M / (1 - gamma rho')

where `rho` is the smallest row sum if `m >= 0` and the largest otherwise, and the other way round for `rho'`. This
covers the optimality, the policy and the soft operator.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from reference.kernels import kernels, row_maxima, row_sums
from reference.mdp import MDP, RowSums
from reference.rounding import SLACK, UNIT_ROUNDOFF, gamma_n, outward, sum_minus_one

# NumPy's own test suite holds float64 exp and log to 1 ulp; 4 are charged, for other builds and C libraries. One ulp is
# at most two unit roundoffs, relative.
ELEMENTARY = 8.0 * UNIT_ROUNDOFF
_SMALLEST = 2.0**-1074  # what one underflowing product can lose


class Bounds(NamedTuple):
    """`lower <= exact - given <= upper` in every state."""

    lower: float
    upper: float

    @property
    def error(self) -> float:
        """Bound on the sup-norm error."""
        return max(abs(self.lower), abs(self.upper))

    @property
    def centre(self) -> float:
        """The constant that, added to the given values, halves the bound."""
        return 0.5 * self.lower + 0.5 * self.upper if np.isfinite(self.error) else 0.0

    def widened(self, by: float) -> "Bounds":
        """The bounds for values that differ from the given ones by at most `by`, rounded outward."""
        if not np.isfinite(self.error + by):
            return UNBOUNDED
        spill = SLACK * (abs(self.lower) + abs(self.upper) + by)
        return Bounds((self.lower - by) - spill, (self.upper + by) + spill)


UNBOUNDED = Bounds(-np.inf, np.inf)
"""What is known of values that float64 cannot certify."""


def split(values: Float64[np.ndarray, " S"]) -> tuple[float, Float64[np.ndarray, " S"], float]:
    """`values` as `(c, w, e)`: `|values - c - w| <= e` with `c` their midrange; infinite `e` if not finite."""
    if not np.isfinite(values).all():
        return 0.0, np.zeros_like(values), np.inf
    offset = 0.5 * float(values.max()) + 0.5 * float(values.min())
    deviation = values - offset
    return offset, deviation, UNIT_ROUNDOFF * float(np.abs(deviation).max())


def join(
    offset: float, deviation: Float64[np.ndarray, " S"], bounds: Bounds
) -> tuple[Float64[np.ndarray, " S"], float]:
    """`offset + deviation` as one float64 vector, and the error bound of that vector."""
    values = offset + deviation
    # Error-free transformation (Knuth's TwoSum): what rounding the sum really lost, not what it might have.
    back = values - offset
    lost = (offset - (values - back)) + (deviation - back)
    return values, bounds.widened(float(np.abs(lost).max())).error


def lookahead(
    mdp: MDP, deviation: Float64[np.ndarray, " S"], offset: float, sums: RowSums | None = None
) -> Float64[np.ndarray, "S A"]:
    """`q_v - offset` for `v = offset + deviation`, with `-inf` at unavailable pairs; exact row sums if not given."""
    look, defects = kernels(mdp.matrix).lookahead, mdp.defects if sums is None else sums.defects
    local = look(mdp.matrix, deviation, mdp.rewards, defects, mdp.discount, offset)
    if not mdp.all_available:
        local[~mdp.available] = -np.inf
    return local


def lookahead_radius(
    mdp: MDP, deviation: Float64[np.ndarray, " S"], offset: float, sums: RowSums | None = None
) -> float:
    """How far every entry of `lookahead` may be from exact.

    Term by term: `gamma_n` for the dot product; 3 roundings for `(1 - gamma) c` and its difference from `r`; 2 for
    `gamma c delta`, and what the stored defect itself lacks (`RowSums.blur`); 1 for each product and sum that follows.
    One more is charged for the two terms of `c`.
    """
    sums = mdp.row_sums if sums is None else sums
    discount, n = mdp.discount, mdp.row_entries
    defect = sums.largest + sums.blur
    reward = mdp.largest_reward
    constant = (1.0 - discount) * abs(offset)
    shift = discount * abs(offset) * defect
    product = discount * (1.0 + defect) * float(np.abs(deviation).max())
    radius = gamma_n(n) * product
    radius += UNIT_ROUNDOFF * (2.0 * reward + 5.0 * constant + 5.0 * shift + 3.0 * product)
    radius += discount * abs(offset) * sums.blur
    return outward(radius) + (n + 8) * _SMALLEST


def optimality_bounds(mdp: MDP, deviation: Float64[np.ndarray, " S"], offset: float = 0.0) -> Bounds:
    """Bounds on `v* - v` for the optimal values and `v = offset + deviation` (RL-06)."""
    lost = 0.0
    if offset == 0.0:
        offset, deviation, lost = split(deviation)
    return optimality(mdp, deviation, offset)[0].widened(lost)


def optimality(
    mdp: MDP, deviation: Float64[np.ndarray, " S"], offset: float, sums: RowSums | None = None
) -> tuple[Bounds, Float64[np.ndarray, "S A"]]:
    """`optimality_bounds`, and the `q_v - offset` that they rest on: one pass over the model gives both.

    From quick row sums the bounds are nearly as sharp: those of the actions that may be the best are made exact.
    """
    sums = mdp.row_sums if sums is None else sums
    local = lookahead(mdp, deviation, offset, sums)
    radius = lookahead_radius(mdp, deviation, offset, sums)
    if not sums.exact:
        radius = _sharpen(mdp, local, radius, deviation, offset, sums)
    return enclosure(mdp, row_maxima(local), deviation, radius, sums), local


def _sharpen(
    mdp: MDP,
    local: Float64[np.ndarray, "S A"],
    radius: float,
    deviation: Float64[np.ndarray, " S"],
    offset: float,
    sums: RowSums,
) -> float:
    """Take the exact row sums of every pair of `local` that may be a maximum of its state; their new radius.

    With `radius = R` before and `R'` after: pairs below the maximum by more than `4 R`, where `R / 2` is for rounding
    that difference, are exactly below it. And since `R' <= 2 R` (less than `R`, and one rounding of `local`, at most
    `R / 2`), none of them is a maximum of the new `local` either.
    """
    least = row_maxima(local) - 4.0 * radius
    pairs = np.flatnonzero((local >= least[:, None]).ravel())
    exact = row_sums(np.asarray(mdp.matrix), pairs)  # only dense transitions have quick sums
    seen = sums.defects.ravel()[pairs]
    local.ravel()[pairs] += mdp.discount * (offset * (exact - seen))
    # Exact sums lack what they always lack; three roundings of the correction, which is at most twice the blur, add to
    # it; and one of the sum.
    blur = gamma_n(2) * (sums.largest + sums.blur) + (mdp.row_entries * UNIT_ROUNDOFF) ** 2
    blur += 8.0 * UNIT_ROUNDOFF * sums.blur
    now = sums._replace(least=sums.least - sums.blur, most=sums.most + sums.blur, blur=blur)
    rounding = UNIT_ROUNDOFF * float(np.abs(local.ravel()[pairs]).max(initial=0.0))
    return lookahead_radius(mdp, deviation, offset, now) + outward(rounding)


def policy_bounds(
    mdp: MDP,
    policy: Float64[np.ndarray, "S A"],
    deviation: Float64[np.ndarray, " S"],
    alpha: float = 0.0,
    offset: float = 0.0,
) -> Bounds:
    """Bounds on `v_pi - v` for the values of `policy`, with entropy bonus `alpha` (RL-03, SAC-03)."""
    lost = 0.0
    if offset == 0.0:
        offset, deviation, lost = split(deviation)
    entropy = -policy * np.log(np.where(policy > 0.0, policy, 1.0))
    local = np.where(mdp.available, lookahead(mdp, deviation, offset), 0.0)
    excess = sum_minus_one(policy)  # the floats of the policy are the policy: its rows may miss one as well
    total = (policy * local).sum(axis=1) + (offset * excess + alpha * entropy.sum(axis=1))

    n, surplus = mdp.n_actions, float(np.abs(excess).max())
    size = float((policy * np.abs(local)).sum(axis=1).max())
    bonus = alpha * float(np.abs(entropy).sum(axis=1).max())
    radius = (1.0 + surplus) * lookahead_radius(mdp, deviation, offset) + gamma_n(n + 3) * size
    radius += bonus * (ELEMENTARY + gamma_n(n + 5))
    radius += abs(offset) * (5.0 * UNIT_ROUNDOFF * surplus + (n * UNIT_ROUNDOFF) ** 2)
    radius += n * _SMALLEST * (1.0 + alpha)

    rows = excess + (policy * mdp.defects).sum(axis=1)  # row sums of P_pi, minus one
    blur = gamma_n(n + 4) * (surplus + mdp.largest_defect) + (n * UNIT_ROUNDOFF) ** 2
    blur += (1.0 + surplus) * mdp.row_sums.blur
    own = RowSums(rows, float(rows.min()), float(rows.max()), blur, False)
    return enclosure(mdp, total, deviation, radius, own).widened(lost)


def soft_bounds(mdp: MDP, deviation: Float64[np.ndarray, " S"], alpha: float, offset: float = 0.0) -> Bounds:
    """Bounds on `v*_alpha - v` for the soft optimal values at temperature `alpha` (SAC-06).

    With `x = (q - max q) / alpha <= 0` and `z = sum exp(x)` in `[1, A]`: `x` carries 2 roundings, and
    `|x| exp(x) <= 1/e` turns them into at most `u` per term of `z`; the exponential adds `ELEMENTARY`, the sum
    `gamma_A`, the logarithm `ELEMENTARY log z`. The soft maximum itself passes errors of `q` on with factor one.
    """
    lost = 0.0
    if offset == 0.0:
        offset, deviation, lost = split(deviation)
    local = lookahead(mdp, deviation, offset)
    top = local.max(axis=1)
    with np.errstate(over="ignore"):
        powers = np.exp((local - top[:, None]) / alpha)
    total = top + alpha * np.log(powers.sum(axis=1))
    radius = soft_radius(mdp, deviation, alpha, offset)
    return enclosure(mdp, total, deviation, radius).widened(lost)


def soft_radius(mdp: MDP, deviation: Float64[np.ndarray, " S"], alpha: float, offset: float) -> float:
    """How far the soft maximum of every state may be from exact; see `soft_bounds`."""
    n = mdp.n_actions
    relative = UNIT_ROUNDOFF * (n + 2) + 2.0 * ELEMENTARY + gamma_n(n)
    logarithm = math.log(n) + relative
    radius = lookahead_radius(mdp, deviation, offset)
    radius += alpha * (relative + (ELEMENTARY + 2.0 * UNIT_ROUNDOFF) * logarithm)
    size = mdp.largest_reward + abs(offset) * ((1.0 - mdp.discount) + mdp.discount * mdp.largest_defect)
    size += mdp.discount * (1.0 + mdp.largest_defect) * float(np.abs(deviation).max()) + alpha * logarithm
    return outward(radius + UNIT_ROUNDOFF * size) + n * _SMALLEST * (1.0 + alpha)


def occupancy_bound(mdp: MDP, policy: Float64[np.ndarray, "S A"], occupancy: Float64[np.ndarray, "S A"]) -> float:
    """Bound on `sum |d - d_pi|` for the discounted occupancy `d_pi` of `policy` and a candidate `d` (OCC-02).

    `d_pi - d = (I - gamma K^T)^-1 R` with the residual `R = pi ((1 - gamma) mu0 + gamma P^T d) - d` of the Bellman
    flow and the state-action chain `K`. Row sums of `K` are at most `1 + kappa`, hence
    `sum |d_pi - d| <= sum |R| / (1 - gamma (1 + kappa))`.
    """
    discount, matrix = mdp.discount, mdp.matrix
    flow = (1.0 - discount) * mdp.initial + discount * np.asarray(matrix.T @ occupancy.ravel())
    residual = policy * flow[:, None] - occupancy
    excess = sum_minus_one(policy)
    surplus, defect = float(np.abs(excess).max()), mdp.largest_defect
    terms = mdp.column_entries
    mass = (1.0 + defect) * float(np.abs(occupancy).sum())
    start = (1.0 - discount) * float(mdp.initial.sum())
    rounding = (1.0 + surplus) * (
        gamma_n(terms + 5) * discount * mass + gamma_n(6) * start
    ) + 2.0 * UNIT_ROUNDOFF * mass
    total = float(np.abs(residual).sum()) * (1.0 + gamma_n(mdp.rewards.size))
    total += rounding + (terms + 4) * mdp.rewards.size * _SMALLEST
    kappa = surplus + defect + surplus * defect
    margin = _margin(discount, kappa, gamma_n(8) * kappa + ((mdp.row_entries + mdp.n_actions) * UNIT_ROUNDOFF) ** 2)[0]
    return outward(total / margin) if margin > 0.0 and np.isfinite(total) else np.inf


def enclosure(
    mdp: MDP,
    target: Float64[np.ndarray, " S"],
    deviation: Float64[np.ndarray, " S"],
    radius: float,
    sums: RowSums | None = None,
) -> Bounds:
    """MacQueen's bounds on `v* - v` from `target ~ T v - offset`, correct to `radius`, for `v = offset + deviation`.

    `T` is monotone; the extremes of its row sums are those of `sums`, of the MDP if not given.
    """
    sums = mdp.row_sums if sums is None else sums
    residual = target - deviation
    low, high = float(residual.min()), float(residual.max())
    radius = outward(radius + UNIT_ROUNDOFF * max(abs(low), abs(high)))
    low, high = Bounds(low, high).widened(radius)
    narrow = _margin(mdp.discount, sums.most, sums.blur)
    wide = _margin(mdp.discount, sums.least, sums.blur)
    if narrow[0] <= 0.0 or not np.isfinite(low):
        return UNBOUNDED
    # What `widened` spilled outward is far more than the division rounds.
    return Bounds(low / (wide[1] if low >= 0.0 else narrow[0]), high / (narrow[0] if high >= 0.0 else wide[1]))


def _margin(discount: float, defect: float, blur: float) -> tuple[float, float]:
    """Lower and upper bound on `1 - discount (1 + defect)`."""
    margin = (1.0 - discount) - discount * defect
    slack = 4.0 * UNIT_ROUNDOFF * (abs(discount * defect) + abs(margin) + (1.0 - discount)) + discount * blur
    return margin - slack, margin + slack
