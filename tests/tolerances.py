"""Every bound that a test compares an error with, as `(bound, reason)`: from dtype, size, conditioning or a theorem.

`u` is the unit roundoff of float64 and `gamma_n = n u / (1 - n u)` bounds the relative effect of `n` roundings in any
order (Higham 2002, lemma 3.1 and section 3.1). No number in a test stands for a tolerance; it stands here, derived.
"""

from __future__ import annotations

import numpy as np

from reference.mdp import MDP
from reference.rounding import UNIT_ROUNDOFF, gamma_n
from reference.solution import Solution

Bound = tuple[float | np.ndarray, str]

# One ulp is at most 2 u; NumPy holds exp and log in float64 to 1 ulp in its own tests, 4 allow for other builds.
ELEMENTARY = 8.0 * UNIT_ROUNDOFF
SMALLEST = 2.0**-1074
# What a certificate may add, relatively, for the rounding of its own evaluation.
EVALUATION = 2.0**-40


def certified(error_bound: float) -> Bound:
    """What a solver itself promises."""
    return error_bound, "error bound certified by the solver"


def normalisation(size: int) -> Bound:
    """A row divided by its float64 sum misses one by `size - 1` additions and a division."""
    return gamma_n(size), f"gamma_{size}: normalising {size} numbers"


def row_sums(size: int, exact: list[float]) -> Bound:
    """What `sum_minus_one` states: one rounding of the result, and the summation of rests below `u`."""
    return gamma_n(1) * np.abs(exact) + (size * UNIT_ROUNDOFF) ** 2, "one rounding and n^2 u^2"


def sample_mean(size: int) -> Bound:
    """Hoeffding: the mean of `size` independent numbers in [0, 1] is this close to its expectation but once in 1e12."""
    return float(np.sqrt(np.log(2e12) / (2.0 * size))), f"Hoeffding's inequality for {size} numbers in [0, 1]"


def backup(mdp: MDP, values: np.ndarray) -> Bound:
    """Rounding of `r + gamma P v` in float64: `n` products, then a product and a sum."""
    n = mdp.row_entries
    magnitude = np.abs(mdp.rewards) + mdp.discount * mdp.expected_next(np.abs(values))
    return gamma_n(n + 3) * float(magnitude.max()), f"gamma_{n + 3} (|r| + gamma P |v|): one backup of {n} successors"


def policy_backup(mdp: MDP, values: np.ndarray, alpha: float = 0.0) -> Bound:
    """Rounding of `T_pi v`: a backup, a sum over actions, and a logarithm per action if there is a temperature."""
    n, actions = mdp.row_entries, mdp.n_actions
    magnitude = np.abs(mdp.rewards) + mdp.discount * mdp.expected_next(np.abs(values))
    # |pi log pi| <= 1/e per action.
    bound = gamma_n(n + actions + 5) * float(magnitude.max())
    bound += alpha * actions / np.e * (ELEMENTARY + gamma_n(actions + 4))
    return bound, f"gamma_{n + actions + 5} (|r| + gamma P |v|), and a logarithm per action"


def soft_backup(mdp: MDP, values: np.ndarray, alpha: float) -> Bound:
    """Rounding of the soft maximum: a backup, an exponential per action, a sum, a logarithm.

    Exponents `x <= 0` carry two roundings, and `|x| exp(x) <= 1/e`.
    """
    bound, actions = backup(mdp, values)[0], mdp.n_actions
    bound += alpha * (UNIT_ROUNDOFF * actions + 2.0 * ELEMENTARY + gamma_n(actions + 4)) * (1.0 + np.log(actions))
    magnitude = np.abs(mdp.rewards) + mdp.discount * mdp.expected_next(np.abs(values))
    bound += 2.0 * UNIT_ROUNDOFF * (float(magnitude.max()) + alpha * np.log(actions))
    return bound, "one backup, and exp, sum and log over the actions"


def contraction(mdp: MDP, distance: float, rounding: float) -> Bound:
    """`||T u - T v|| <= gamma rho ||u - v||` (RL-06, SAC-06), and the rounding of two backups."""
    rate = mdp.discount * (1.0 + mdp.largest_defect)
    return rate * distance * (1.0 + gamma_n(4)) + 2.0 * rounding, "gamma ||u - v|| and the rounding of two backups"


def greedy_loss(mdp: MDP, error: float, values: np.ndarray) -> Bound:
    """A policy greedy for `v` with `||v - v*|| <= e` loses at most `2 gamma e / (1 - gamma)` (RL-34).

    Greedy for float64 backups, it may miss the maximum by twice their rounding, each step of the way.
    """
    margin = 1.0 - mdp.discount * (1.0 + mdp.largest_defect)
    loss = 2.0 * mdp.discount * error + 2.0 * backup(mdp, values)[0]
    return loss / margin, "2 gamma e / (1 - gamma), and rounding of the backups"


def rounding_floor(mdp: MDP, values: np.ndarray) -> Bound:
    """What any certificate from one float64 backup must allow: rounding of its terms over `1 - gamma`, and of `v`.

    Centred values enter the dot product, so their span counts and not their size.
    """
    margin = 1.0 - mdp.discount * (1.0 + mdp.largest_defect)
    n, span = mdp.row_entries, float(np.ptp(values))
    unavoidable = gamma_n(n) * mdp.discount * 0.5 * span + UNIT_ROUNDOFF * mdp.largest_reward
    unavoidable += (n + 8) * SMALLEST  # every product may underflow
    floor = unavoidable / margin + UNIT_ROUNDOFF * float(np.abs(values).max())
    return floor, "(gamma_n gamma span(v)/2 + u |r|) / (1 - gamma) + u |v|"


def tightness() -> Bound:
    """How far above `rounding_floor` a certificate may lie.

    It charges 2 roundings of rewards and 5 of the common part (which is at most `r / (1 - gamma)`) where the floor has
    one, twice the span, and its own evaluation: less than 16 in all.
    """
    return 16.0, "a dozen roundings charged where the floor counts one"


def macqueen_width(mdp: MDP, values: np.ndarray, true_error: float) -> Bound:
    """How wide MacQueen's interval can get: `|T v - v| <= (1 + gamma rho) |v - v*|` over `1 - gamma rho`, rounding."""
    rate = mdp.discount * (1.0 + mdp.largest_defect)
    width = (1.0 + rate) * true_error / (1.0 - rate) * (1.0 + 4.0 * EVALUATION)
    floor = rounding_floor(mdp, values)[0] + 2.0 * UNIT_ROUNDOFF * float(np.abs(values).max()) / (1.0 - rate)
    return width + tightness()[0] * floor, "(1 + gamma) |v - v*| / (1 - gamma), and the rounding of a certificate"


def macqueen_slack() -> Bound:
    """MacQueen's interval against the true error, in the median.

    After the midrange shift the error may be anything up to half the width. That the median case uses a quarter of the
    bound says how sharp it is, and would break if a factor `1 / (1 - gamma)` were lost.
    """
    return 4.0, "the median true error uses a quarter of the certified bound"


def incumbent_loss(mdp: MDP, values: np.ndarray) -> Bound:
    """Policy iteration keeps an action unless another gains more than rounding: the loss is that gain over `1 - gamma`.

    What counts as rounding is twice the radius of a backup and the residual that refinement leaves, which is itself a
    few roundings of a backup.
    """
    floor, reason = rounding_floor(mdp, values)
    return 4.0 * tightness()[0] * floor, f"four certificates of {reason}"


def joined(values: np.ndarray) -> Bound:
    """Values are `offset + deviation`, rounded once, and so is `q`."""
    return 4.0 * UNIT_ROUNDOFF * float(np.abs(values).max()), "one rounding of v and of q each"


def two_sum(error: float) -> Bound:
    """TwoSum finds the rounding error of a sum exactly; widening a bound by it adds a relative `EVALUATION`."""
    return error * (1.0 + 2.0 * EVALUATION), "exact, widened outward"


def mixture(mdp: MDP) -> Bound:
    """A sum over actions weighted by a policy, and one product: `gamma_(A + 2)` relative to a mass of about one."""
    terms = mdp.n_actions + 2
    return gamma_n(terms) * (1.0 + mdp.largest_defect) * (
        1.0 + gamma_n(terms)
    ), f"gamma_{terms}: a mixture over actions"


def power(mdp: MDP, steps: int, distance: float, rounding: float, exact: np.ndarray) -> Bound:
    """`||T^k v - v_pi|| <= (gamma rho)^k ||v - v_pi||` (RL-04), rounding of `k` backups and of the exact values."""
    rate = mdp.discount * (1.0 + mdp.largest_defect + gamma_n(2 * (mdp.n_actions + 1)))
    bound = rate**steps * distance * (1.0 + gamma_n(2 * steps + 4)) + rounding * (1.0 + gamma_n(2 * steps))
    return bound + 3.0 * UNIT_ROUNDOFF * float(np.abs(exact).max()), "gamma^k |v - v_pi| and the rounding of k backups"


def occupancy_identity(mdp: MDP, occupancy_error: float, value_error: float) -> Bound:
    """`(1 - gamma) mu0 . v = sum d r` up to the errors of `d` and `v` and the rounding of two sums."""
    size = mdp.rewards.size
    top = mdp.largest_reward
    bound = top * occupancy_error + (1.0 - mdp.discount) * value_error * (1.0 + gamma_n(mdp.n_states))
    bound += (gamma_n(size) + gamma_n(mdp.n_states + 3)) * top * (1.0 + gamma_n(size)) ** 2
    return bound, "|r| times the occupancy's error, (1 - gamma) times the values' error, rounding of two sums"


def total_mass(mdp: MDP, occupancy_error: float) -> Bound:
    """The mass of the exact occupancy is one up to the defects of rows, which act `1 / (1 - gamma)` times."""
    defect = mdp.largest_defect + gamma_n(2 * (mdp.n_actions + 1)) + gamma_n(2 * (mdp.n_states + 1))
    margin = 1.0 - mdp.discount * (1.0 + defect)
    bound = occupancy_error + 2.0 * defect / margin + gamma_n(mdp.rewards.size)
    return bound, "L1 error of d, and row-sum defects / (1 - gamma)"


def flow(mdp: MDP, occupancy_error: float) -> Bound:
    """`sum |residual| <= (1 + gamma rho) sum |d - d_pi|`, defects of the policy's rows, rounding of the residual."""
    defect = mdp.largest_defect + gamma_n(2 * (mdp.n_actions + 1))
    bound = (1.0 + mdp.discount * (1.0 + defect)) * occupancy_error + 2.0 * defect
    bound += 3.0 * gamma_n(mdp.column_entries + mdp.n_actions + 6)
    bound += mdp.rewards.size * (mdp.column_entries + 4) * SMALLEST
    return bound, "(1 + gamma) |d - d_pi|, and rounding"


def flow_width(mdp: MDP, occupancy: np.ndarray, true_error: float) -> Bound:
    """How wide the L1 certificate can get: `(1 + gamma kappa) |d - d_pi| / (1 - gamma kappa)` and rounding."""
    defect = mdp.largest_defect + gamma_n(2 * (mdp.n_actions + 1))
    rate = mdp.discount * (1.0 + defect) ** 2
    mass = 1.0 + float(np.abs(occupancy).sum())
    rounding = 4.0 * gamma_n(mdp.column_entries + mdp.n_actions + 8) * mass
    width = ((1.0 + rate) * true_error * (1.0 + 4.0 * EVALUATION) + rounding) / (1.0 - rate)
    width += mdp.rewards.size * (mdp.column_entries + 8) * SMALLEST
    return width, "(1 + gamma) |d - d_pi| / (1 - gamma), and rounding"


def occupancy_floor(mdp: MDP) -> Bound:
    """What the L1 certificate of an occupancy must allow: the rounding of inflows of mass one, over `1 - gamma`."""
    margin = 1.0 - mdp.discount * (1.0 + mdp.largest_defect)
    return 4.0 * gamma_n(mdp.column_entries + 8) / margin, "four roundings of the inflow over 1 - gamma"


def conditional(mdp: MDP) -> Bound:
    """`d(s, a) / sum d(s, .)` for `d = rho pi`: a product, a scaling, a sum, two divisions; rows of `pi` near one."""
    terms = mdp.n_actions + 6 + 2 * (mdp.n_actions + 1)
    return gamma_n(terms), f"gamma_{terms}: normalising a row"


def entropy_bonus(mdp: MDP, alpha: float) -> Bound:
    """`v_soft <= v_hard + alpha log A / (1 - gamma)` (SAC-06)."""
    margin = 1.0 - mdp.discount * (1.0 + mdp.largest_defect)
    return alpha * np.log(mdp.n_actions) / margin * (1.0 + 4.0 * EVALUATION), "alpha log A / (1 - gamma)"


def improvement(mdp: MDP, alpha: float, before: Solution, after: Solution) -> Bound:
    """Soft policy improvement holds for exact Boltzmann policies of exact `q`.

    A policy with relative errors `e` from the Boltzmann policy of `q` loses at most `alpha e + |row sum - 1| |q|` in a
    step, `1 / (1 - gamma)` times that in all; `q` errs by `gamma` times the bound on the values, in both directions.
    """
    margin = 1.0 - mdp.discount * (1.0 + mdp.largest_defect + gamma_n(2 * (mdp.n_actions + 1)))
    q = before.q[mdp.available]
    size = float(np.abs(q).max()) + alpha * np.log(mdp.n_actions)
    step = 2.0 * before.error_bound + backup(mdp, before.values)[0] + gamma_n(2 * (mdp.n_actions + 1)) * size
    step += alpha * ELEMENTARY * mdp.n_actions + UNIT_ROUNDOFF * float(np.ptp(q))
    bound = (2.0 * step + before.error_bound + after.error_bound) / margin
    return bound, "certified bounds and one rounded Boltzmann step"


def soft_floor(mdp: MDP, alpha: float, values: np.ndarray) -> Bound:
    """`rounding_floor`, and one rounding of the soft maximum of each state."""
    margin = 1.0 - mdp.discount * (1.0 + mdp.largest_defect)
    floor, reason = rounding_floor(mdp, values)
    extra = alpha * (gamma_n(mdp.n_actions) + ELEMENTARY * (1.0 + np.log(mdp.n_actions)))
    return floor + extra / margin, f"{reason}, and exp, sum and log over actions"


def elimination(size: int) -> Bound:
    """Entrywise *relative* error of Grassmann, Taksar and Heyman's elimination on `size` states.

    Censoring one of `m` states rounds each entry at most `m + 3` times; a relative change `e` of the off-diagonal
    entries of an `m`-state chain changes its stationary distribution by `((1 + e)/(1 - e))**m - 1` at most (O'Cinneide
    1993).
    """
    exponent = sum(2.0 * m * gamma_n(m + 3) for m in range(1, size + 1)) + gamma_n(2 * size + 4)
    return 2.0 * exponent, f"O'Cinneide's entrywise bound for {size} states"


def data_rounding(mdp: MDP, magnitude: float) -> Bound:
    """A closed form in real numbers against the MDP of their floats: each reward rounded once, over `1 - gamma`."""
    margin = 1.0 - mdp.discount
    return 2.0 * (ELEMENTARY + 4.0 * UNIT_ROUNDOFF) * magnitude / margin, "rewards rounded once, over 1 - gamma"


def boltzmann(mdp: MDP, alpha: float, q_error: float, gap: float) -> Bound:
    """Entrywise relative error of `exp(q / alpha) / Z`: twice that of `q` over `alpha`, rounding of exponents, `Z`."""
    exponent = 2.0 * q_error / alpha + 2.0 * UNIT_ROUNDOFF * gap / alpha
    relative = np.expm1(exponent) + 2.0 * (ELEMENTARY + UNIT_ROUNDOFF * mdp.n_actions) + gamma_n(mdp.n_actions + 3)
    return float(relative), "2 |dq| / alpha, rounding of the exponents, the exponential and the sum"


def divergence_accuracy(exact: np.ndarray | float) -> Bound:
    """What `reference.divergence` promises of each of its functions: sixteen roundings of the exact value.

    The longest formula divides, takes two logarithms and adds: ten roundings, of which two may be doubled by
    cancellation of at most one bit. One underflow may come on top.
    """
    return 16.0 * UNIT_ROUNDOFF * np.abs(exact) + 2.0**-1073, "sixteen roundings of the exact value, and one underflow"


def conjugate_identity(size: int, scale: float) -> Bound:
    """A mean over `size` entries of terms up to `scale`, each from one function of a divergence."""
    return gamma_n(size + 20) * scale, f"gamma_{size + 20}: a function of the divergence per entry, and their mean"


def input_rounding(slope: float, inputs: float) -> Bound:
    """A closed form in real numbers against the float64 inputs that stand for them: one elementary function each."""
    return 2.0 * slope * ELEMENTARY * inputs, "inputs rounded once, times the largest slope (doubled for second order)"


def certificate_floor(
    advantage: np.ndarray, beta: float, price: float, weights: np.ndarray, curvature: np.ndarray
) -> Bound:
    """The largest gap that a tight certificate of the relaxed problem may report.

    Rounding of the best advantage, of the spread of advantages (each entry carries the roundings of a difference, a
    quotient, the ratio and two products, doubled) and of the price; to second order, u^2 w^2 f'' of each ratio, with
    f'' = 1/curvature taken a rounding inside the domain. Nothing of first order grows with beta alone.
    """
    inside = np.maximum(curvature, UNIT_ROUNDOFF * weights + 2.0**-1022)
    steepness = float(np.max(weights / inside * weights))
    spread, size = float(np.ptp(advantage)), float(np.abs(advantage).max())
    bound = UNIT_ROUNDOFF * (2.0 * size + 64.0 * spread + 64.0 * beta * (price + UNIT_ROUNDOFF * steepness))
    return bound, "64 roundings of the spread of advantages and of the price, 2 of the advantage itself"


def strong_concavity(gap: float, beta: float, curvature: np.ndarray, law: np.ndarray) -> Bound:
    """How far a point within `gap` of the optimum may lie from it: gap >= beta sum D f''/2 (w - w*)^2."""
    return np.sqrt(
        2.0 * gap * curvature / (beta * law)
    ), "sqrt(2 gap / (beta D f'')): strong concavity of the objective"


def forty_digits(scale: float) -> Bound:
    """For identities that are checked in mpmath, far beyond what float64 asks of them."""
    return 1e-40 * scale, "forty digits of the largest term"


def normal_trapezoid(points: int, reach: float) -> tuple[np.ndarray, float, str]:
    """Abscissae of the trapezoidal rule for integrals against a standard normal density, with the rule's error.

    On `points` equally spaced abscissae in [-reach, reach], at step h, the error for a density times a function
    analytic and bounded in a strip of half-width d is below `2 exp(-2 pi d / h) max + 2 Phi(-reach)` (Trefethen and
    Weideman 2014, theorem 5.1). For the density itself the strip may be taken at its best width d = 2 pi / h:
    2 exp(-2 pi^2 / h^2).
    """
    abscissae = np.linspace(-reach, reach, points)
    step = abscissae[1] - abscissae[0]
    tail = 2.0 * np.exp(-0.5 * reach**2) / reach
    bound = 2.0 * np.exp(-2.0 * np.pi**2 / step**2) + tail
    return abscissae, float(bound), f"trapezoidal rule with {points} points to {reach:g} standard deviations"


FALSE_ALARM = 1e-9
"""Probability that a statistical row fails on correct code, per row; stated in its reason."""


def empirical_distribution(samples: int) -> Bound:
    """Largest distance between a sample's distribution function and its law (Dvoretzky-Kiefer-Wolfowitz, Massart 1990).

    P(distance > t) <= 2 exp(-2 n t^2) for every n: no asymptotics.
    """
    bound = np.sqrt(np.log(2.0 / FALSE_ALARM) / (2.0 * samples))
    return float(bound), f"Dvoretzky-Kiefer-Wolfowitz inequality for {samples} samples, false alarm {FALSE_ALARM:g}"


def binomial_counts(samples: int, probability: float, counts: int) -> tuple[float, float, str]:
    """The interval that each of `counts` binomial counts leaves with probability <= FALSE_ALARM / counts, exactly."""
    from scipy.stats import binom

    share = FALSE_ALARM / counts / 2
    low, high = binom.ppf(share, samples, probability) - 1, binom.isf(share, samples, probability) + 1
    return float(low), float(high), f"exact binomial law of {counts} counts, false alarm {FALSE_ALARM:g} in all"


def normal_correlation(pairs: int, comparisons: int) -> Bound:
    """Largest |r| that `pairs` independent normal pairs reach with probability FALSE_ALARM / comparisons (exact)."""
    from scipy.stats import t as student

    quantile = student.isf(FALSE_ALARM / comparisons / 2, pairs - 2)
    bound = quantile / np.sqrt(pairs - 2 + quantile**2)
    return (
        float(bound),
        f"exact law of the correlation of {pairs} pairs, {comparisons} comparisons, false alarm {FALSE_ALARM:g} in all",
    )


def gumbel(q: np.ndarray, policy: np.ndarray, beta: float) -> Bound:
    """Rounding of `beta log E exp(q / beta)` over the last axis, for a law relative to its sum.

    Per action a gap, a quotient, two elementary functions, a product and two sums; the logarithm passes relative errors
    on, and gaps enter with their mean under the tilted law, which is at most `log(1 / pi(best))` and at most the span.
    """
    data = policy > 0.0
    top = np.where(data, q, -np.inf).max(axis=-1)
    gaps = np.where(data, (top[..., None] - np.where(data, q, 0.0)), 0.0).max(axis=-1)
    n = q.shape[-1]
    relative = gamma_n(2 * n + 6) + 2.0 * ELEMENTARY
    # log E e^x is at most the span of x in size, and at most log(1/pi): beta times either
    inner = np.minimum(gaps, beta * np.log(1.0 / np.where(data, policy, 1.0).min(axis=-1)))
    bound = relative * np.minimum(4.0 * gaps, 4.0 * beta + 4.0 * inner) + 4.0 * UNIT_ROUNDOFF * (np.abs(top) + inner)
    return bound, f"gamma_{2 * n + 6} and two elementary functions of the span, and the largest value"


def flow_identity(mdp: MDP, magnitude: float, occupancy_error: float, value_error: float) -> Bound:
    """`(1 - gamma) mu0 . v = sum d (r - price)` for summands up to `magnitude`, as in `occupancy_identity`."""
    size = mdp.rewards.size
    bound = magnitude * occupancy_error + (1.0 - mdp.discount) * value_error * (1.0 + gamma_n(mdp.n_states))
    bound += (gamma_n(size + 8) + gamma_n(mdp.n_states + 3) + 2.0 * ELEMENTARY) * magnitude * 2.0
    return bound, "summands times the occupancy's error, (1 - gamma) times the values' error, rounding of two sums"
