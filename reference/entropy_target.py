r"""The temperature alpha at which a maximum-entropy policy has a given mean entropy (SAC-16 to SAC-21).

**Of the decision process.** Let pi_alpha be the soft-optimal policy (`reference.soft`) and

    H(alpha) = (1 - gamma) E sum gamma^t entropy(pi_alpha(. | s_t))

its entropy, averaged over its own discounted occupancy from mu0. The optimum g(alpha) = max_pi sum d_pi r + alpha H(pi)
is a maximum of affine functions of alpha, hence convex, and H(alpha) = g'(alpha) (Danskin; the maximiser is unique
where it matters). So H never falls as alpha grows; being analytic in alpha, it is strictly increasing or constant.
alpha is the multiplier of the constraint H >= target (SAC-20). The limits are

    alpha -> 0         the largest entropy among *optimal* policies: positive only if optimal actions tie
    alpha -> infinity  the largest entropy of any policy: the soft optimum for r = 0 at alpha = 1, at most the largest
                       log of a number of available actions

and neither is attained unless H is constant. Averaged over a *fixed* law of states instead, the entropy of pi_alpha
need not be monotone: with alpha the soft values move too, and may draw the policy towards one action that leads to
choices. At a fixed q it is monotone state by state, dH/dalpha = Var_pi(q)/alpha^3 (SAC-18):
`temperature_for_entropy_at` is for that, the step that SAC takes.

Both return an interval at whose ends the sign of H - target is proved, rounding and the error of the soft values
included.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64
from scipy import optimize

from reference.bellman import boltzmann
from reference.certify import ELEMENTARY, lookahead, lookahead_radius, split
from reference.checks import check_initial, check_temperature
from reference.evaluation import evaluate_policy
from reference.mdp import MDP
from reference.rounding import UNIT_ROUNDOFF, gamma_n, outward, sum_minus_one
from reference.soft import solve_soft
from reference.solution import Solution

__all__ = ["EntropyTemperature", "InfeasibleEntropy", "certified_entropy", "largest_entropy", "soft_value_bounds",
           "temperature_for_entropy", "temperature_for_entropy_at"]  # fmt: skip

_RARE = -700.0  # exponents below this give probabilities that no sum notices
_COLDEST, _WARMEST = 1e-290, 1e290


class InfeasibleEntropy(ValueError):
    """An entropy that no temperature reaches; the message says what is known of the reachable range."""


class Entropy(NamedTuple):
    """A mean entropy, at most `error` from exact."""

    value: float
    error: float

    def side(self, target: float) -> int:
        """-1 if proved below the target, +1 if proved above, 0 if not decided."""
        return int(self.value - self.error > target) - int(self.value + self.error < target)


@dataclass(frozen=True, eq=False)
class EntropyTemperature:
    """The temperature that meets a target entropy, and a proof.

    * `alpha`: the best guess; the exact root lies in `[low, high]` (an end is 0 or infinite where none was proved).
    * `target`, and `achieved`: the entropy at exactly `alpha`, off by at most `achieved_error`; in nats.
    * `policy` `(S, A)`: the Boltzmann policy at `alpha`; `solution`: the soft-optimal values there, None for a fixed q.
    """

    alpha: float
    low: float
    high: float
    target: float
    achieved: float
    achieved_error: float
    policy: Float64[np.ndarray, "S A"]
    solution: Solution | None = None


def temperature_for_entropy(mdp: MDP, target: float) -> EntropyTemperature:
    """The alpha at which the soft-optimal policy has entropy `target` in the mean over its occupancy (SAC-16, SAC-20).

    InfeasibleEntropy at or above `largest_entropy`, and where the entropy is proved to exceed the target at every
    temperature that float64 can tell from zero: best actions tie, or nearly so, and the constraint is slack.
    """
    target = _checked_target(target)
    most = largest_entropy(mdp)
    if most.side(target) <= 0:
        raise InfeasibleEntropy(
            f"target entropy {target!r}: expected less than {most.value:.10g} nats (known to {most.error:.1e}), the "
            "largest mean entropy of any policy of this MDP, which alpha -> infinity approaches"
        )

    def measure(alpha: float) -> Entropy:
        return certified_entropy(mdp, solve_soft(mdp, alpha, _tightest(mdp, alpha)), alpha)

    start = mdp.largest_reward or 1.0
    root = _solve(measure, target, start, "soft-optimal policy")
    solution = solve_soft(mdp, root.alpha, _tightest(mdp, root.alpha))
    return root.found(target, solution.policy, solution)


def temperature_for_entropy_at(
    q: Float64[np.ndarray, "S A"],
    target: float,
    states: Float64[np.ndarray, " S"],
    available: Bool[np.ndarray, "S A"] | None = None,
) -> EntropyTemperature:
    """The alpha at which the Boltzmann policy of a fixed `q` has mean entropy `target` over the law `states` (SAC-18).

    Unique. InfeasibleEntropy unless the target lies strictly between the means of log(number of best actions) and of
    log(number of available actions). Pairs with `q` of -inf, or not `available`, are never taken.
    """
    target = _checked_target(target)
    usable = (np.ones(q.shape, dtype=np.bool_) if available is None else available) & (q > -np.inf)
    q = np.where(usable, q, -np.inf)
    if not (np.all(usable.any(axis=1)) and np.all(np.isfinite(q[usable]))):
        raise ValueError(
            "expected finite q at every available pair, and one such pair in every state; saw none, or NaN"
        )
    check_initial(states, len(q))
    best = (q == q.max(axis=1, keepdims=True)).sum(axis=1)
    least, most = (math.fsum(states * np.log(count)) for count in (best, usable.sum(axis=1)))
    blur = 4.0 * (ELEMENTARY + gamma_n(4)) * most
    if not least + blur < target < most - blur:
        raise InfeasibleEntropy(
            f"target entropy {target!r}: expected it strictly between {least:.10g} (every best action equally often, "
            f"alpha -> 0) and {most:.10g} nats (every available action, alpha -> infinity), not within rounding of them"
        )

    def measure(alpha: float) -> Entropy:
        policy = boltzmann(q, alpha)
        entropy, error = _state_entropy(q, policy, alpha, 0.0, np.zeros_like(q))
        rounding = gamma_n(4) * math.fsum(states * np.abs(entropy))
        return Entropy(math.fsum(states * entropy), outward(math.fsum(states * error) + rounding))

    span = float(np.max(q.max(axis=1) - np.where(usable, q, np.inf).min(axis=1)))
    root = _solve(measure, target, span, "Boltzmann policy of q")
    return root.found(target, boltzmann(q, root.alpha))


def largest_entropy(mdp: MDP) -> Entropy:
    """The supremum of the mean entropy over all policies: (1 - gamma) mu0 . v for the soft optimum of r = 0, alpha = 1.

    Not the mean log of numbers of actions under one occupancy: the policy that attains it seeks states with choices.
    """
    solution = solve_soft(_without_rewards(mdp), 1.0, _tightest(mdp, 1.0))
    return _discounted_mean(mdp, solution.values, solution.error_bound)


def certified_entropy(mdp: MDP, solution: Solution, alpha: float) -> Entropy:
    """H(alpha), enclosed, from soft values at temperature `alpha` with their error bound.

    The exact policy pi differs from the float policy p of these values by factors e^theta, |theta| <= eta, with eta =
    2 |dq|/alpha and rounding. With u the entropy values of p (certified) and x = -log p + gamma P u, one step of pi
    differs from one of p by at most sum p (e^eta - 1)(|x - c| + 2 eta), for any constant c, and what rows of p miss of
    one; all steps by that over 1 - gamma.
    """
    check_temperature(alpha)
    offset, deviation, lost = split(solution.values)
    local = lookahead(mdp, deviation, offset)
    spread = mdp.discount * (1.0 + mdp.largest_defect)
    q_error = outward(spread * (solution.error_bound + lost) + lookahead_radius(mdp, deviation, offset))
    policy = boltzmann(local, alpha)
    entropy = evaluate_policy(_without_rewards(mdp), policy, 1.0)
    ahead = np.where(mdp.available, entropy.q, 0.0)
    step = float(np.max(_state_entropy(local, policy, alpha, q_error, ahead)[1]))
    margin = 1.0 - spread * (1.0 + gamma_n(4))
    return _discounted_mean(mdp, entropy.values, entropy.error_bound + outward(step / margin))


def soft_value_bounds(
    mdp: MDP, hard: Solution, alpha: float
) -> tuple[Float64[np.ndarray, " S"], Float64[np.ndarray, " S"]]:
    """Bounds on the soft optimal values at temperature `alpha` from the hard ones (SAC-06), in every state:

        v*_hard <= v*_soft <= v*_hard + alpha log A / (1 - gamma),

    with A the largest number of available actions, `hard.error_bound` and rounding included.
    """
    check_temperature(alpha)
    margin = 1.0 - mdp.discount * (1.0 + mdp.largest_defect) - 4.0 * UNIT_ROUNDOFF
    bonus = outward(alpha * math.log(int(mdp.available.sum(axis=1).max())) / margin)
    error = hard.error_bound + 4.0 * UNIT_ROUNDOFF * (float(np.abs(hard.values).max()) + bonus)
    return hard.values - error, hard.values + (bonus + error)


def _state_entropy(
    q: np.ndarray, policy: np.ndarray, alpha: float, q_error: float, ahead: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Entropy of each row of `policy` = boltzmann(q, alpha), and how far one step of the exact policy may be off.

    A probability carries two roundings of its exponent, one exponential, a sum and a quotient.
    """
    with np.errstate(over="ignore"):
        exponent = (q - q.max(axis=1, keepdims=True)) / alpha
    common = exponent >= _RARE
    gaps = np.where(common, -exponent, 0.0)
    log_policy = np.log(np.where(common, policy, 1.0))
    n = q.shape[1]
    eta = outward(2.0 * q_error / alpha + 2.0 * UNIT_ROUNDOFF * gaps + 2.0 * ELEMENTARY + 2.0 * gamma_n(2 * n + 6))
    with np.errstate(over="ignore"):
        factor = np.where(common, policy * np.expm1(eta), 0.0)
    x = np.where(common, ahead - log_policy, 0.0)
    centre = (policy * x).sum(axis=1)
    excess = np.abs(sum_minus_one(policy)) + (n * UNIT_ROUNDOFF) ** 2
    error = (factor * (np.abs(x - centre[:, None]) + 2.0 * eta)).sum(axis=1) + excess * (1.0 + np.abs(centre))
    terms = np.where(common, -policy * log_policy, 0.0)
    error += (ELEMENTARY + gamma_n(n + 3)) * np.abs(terms).sum(axis=1) + 2.0 * ELEMENTARY
    error += n * 2.0**-900 * (1000.0 + np.abs(ahead).max(axis=1))  # the rare actions, in either policy
    return terms.sum(axis=1), outward(error)


def _discounted_mean(mdp: MDP, values: np.ndarray, error: float) -> Entropy:
    """(1 - gamma) mu0 . values, for values known to `error`."""
    value = (1.0 - mdp.discount) * math.fsum(mdp.initial * values)
    mass = (1.0 - mdp.discount) * math.fsum(mdp.initial)
    size = (1.0 - mdp.discount) * math.fsum(mdp.initial * np.abs(values))
    return Entropy(value, outward(mass * error + gamma_n(4) * size))


class _Root(NamedTuple):
    """A temperature, the interval in which the exact one is proved to lie, and the entropy at the temperature."""

    alpha: float
    low: float
    high: float
    entropy: Entropy

    def found(
        self, target: float, policy: Float64[np.ndarray, "S A"], solution: Solution | None = None
    ) -> EntropyTemperature:
        value, error = self.entropy
        return EntropyTemperature(self.alpha, self.low, self.high, target, value, error, policy, solution)


def _solve(measure: Callable[[float], Entropy], target: float, start: float, what: str) -> _Root:
    """The root of a non-decreasing entropy, by Brent's method in log alpha, and the nearest ends that are proved."""

    def excess(exponent: float) -> float:
        return measure(math.exp(exponent)).value - target

    low = high = min(max(start, _COLDEST), _WARMEST)
    while measure(high).value < target and high < _WARMEST:
        low, high = high, 16.0 * high
    while (entropy := measure(low)).value > target:
        # Colder than what is known of the values, policies are made of rounding.
        if low < max(_COLDEST, 2.0**-60 * start) or entropy.error > 0.5 * entropy.value:
            raise InfeasibleEntropy(
                f"target entropy {target!r}: the {what} still has {entropy.value:.6g} nats (known to "
                f"{entropy.error:.1e}) at alpha = {low:.1e}, and more at every larger alpha; float64 follows it no "
                "further. Best actions tie, or nearly so, and alpha -> 0 does not go below their entropy: expected a "
                "larger target"
            )
        low, high = low / 16.0, low
    alpha = low
    if low < high:
        ends = math.log(low), math.log(high)
        tight = {"xtol": 4.0 * UNIT_ROUNDOFF, "rtol": 8.0 * UNIT_ROUNDOFF}
        alpha = math.exp(optimize.root_scalar(excess, method="brentq", bracket=ends, **tight).root)
    entropy = measure(alpha)
    low, high = (_proved_end(measure, target, alpha, entropy, side) for side in (-1, 1))
    return _Root(alpha, low, high, entropy)


def _proved_end(measure: Callable[[float], Entropy], target: float, alpha: float, at: Entropy, side: int) -> float:
    step = max(at.error / target, 2.0**-48)
    while step < 2.0**40:
        candidate = alpha * (1.0 + step) if side > 0 else alpha / (1.0 + step)
        if measure(candidate).side(target) == side:
            return candidate
        step *= 4.0
    return math.inf if side > 0 else 0.0


def _checked_target(target: float) -> float:
    target = float(target)
    if not 0.0 < target < math.inf:
        raise InfeasibleEntropy(
            f"target entropy {target!r}: expected a finite number of nats > 0. Entropies of discrete actions are never "
            "negative (SAC-21), so a target of 0 or less never binds and alpha -> 0"
        )
    return target


def _tightest(mdp: MDP, alpha: float) -> float:
    """A tolerance that soft solvers can nearly reach: a few roundings of the largest value."""
    size = (mdp.largest_reward + alpha * math.log(mdp.n_actions)) / (1.0 - mdp.discount)
    return max(64.0 * UNIT_ROUNDOFF * (mdp.n_states + 8) * size, 2.0**-1000)


def _without_rewards(mdp: MDP) -> MDP:
    return replace(mdp, rewards=np.zeros_like(mdp.rewards))
