r"""The *conditional* problem: stay close to the data's policy in every state (OCC-06, GUM-01).

    maximise   sum d r - beta sum_s d(s) KL(pi_d(. | s) || pi_D(. | s))   over occupancies d of the MDP

for the policy pi_D of the data (`behavior_policy`) and a temperature beta > 0. Its value function is the fixed point of

    V(s) = beta log E_{a ~ pi_D(. | s)} exp((r + gamma P V)(s, a) / beta),                                       (1)

the *Gumbel value*, which one-step regression of e^z - z with z = (q - v)/beta also finds (GUM-01), and its optimum is
(1 - gamma) E_{mu0} V. The ratio

    pi*(a | s) / pi_D(a | s) = exp((r + gamma P V - V)(s, a) / beta)                                             (2)

has mean one under pi_D *in every state*: it corrects no state marginal and is not the occupancy ratio d*/d_D, nor the
relaxed ratio of `reference.weights`.

The operator in (1) is monotone, convex and a gamma-contraction. Newton's method on it is soft policy iteration with
entropy relative to pi_D; it converges from any start, and quadratically at the end.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from reference.certify import ELEMENTARY, Bounds, enclosure, lookahead, lookahead_radius, split
from reference.checks import check_policy, check_temperature
from reference.fixed_point import Operator, check_stopping, newton_iteration, solution
from reference.mdp import MDP
from reference.rounding import UNIT_ROUNDOFF, gamma_n
from reference.solution import Solution

__all__ = ["ConditionalSolution", "conditional_ratio", "conditional_value", "gumbel_value"]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ConditionalSolution(Solution):
    """Solution of the conditional problem: `values` V of (1), `policy` pi*, and

    * `ratio` `(S, A)`: pi*/pi_D of (2), NaN where pi_D is 0;
    * `beta`: the temperature; `objective`: (1 - gamma) E_{mu0} V, the optimum of the problem.
    """

    ratio: Float64[np.ndarray, "S A"]
    beta: float
    objective: float


def gumbel_value(
    q: Float64[np.ndarray, "... A"], behavior_policy: Float64[np.ndarray, "..."], beta: float
) -> np.float64 | Float64[np.ndarray, "..."]:
    """beta log E_{pi_D} exp(q/beta) over the last axis (GUM-01): between E_{pi_D} q and the largest q with data.

    Rows are laws relative to their sum, which may miss one by rounding. Entries where `behavior_policy` is 0 are
    ignored, whatever their q. ValueError for beta <= 0, a row that is no distribution, or a q that is not finite where
    there are data.
    """
    _check_one_step(q, behavior_policy, beta)
    top, _, log_mean = _log_mean(q, behavior_policy, beta)
    return (top + beta * log_mean)[()]


def conditional_ratio(
    q: Float64[np.ndarray, "... A"], behavior_policy: Float64[np.ndarray, "..."], beta: float
) -> Float64[np.ndarray, "... A"]:
    """exp((q - v)/beta) with v the Gumbel value: mean one under every row of pi_D; NaN where pi_D is 0 (OCC-06)."""
    _check_one_step(q, behavior_policy, beta)
    _, gaps, log_mean = _log_mean(q, behavior_policy, beta)
    with np.errstate(under="ignore"):
        return np.where(behavior_policy > 0.0, np.exp(gaps - log_mean[..., None]), np.nan)


def conditional_value(
    mdp: MDP,
    behavior_policy: Float64[np.ndarray, "S A"],
    beta: float,
    tolerance: float = 1e-8,
    max_iterations: int = 100,
) -> ConditionalSolution:
    """The fixed point of (1) with a true bound on its error, the optimal policy and its ratio (OCC-06).

    ValueError for a policy that is no distribution over available actions, beta <= 0, or a tolerance or iteration limit
    that means nothing. Iterates to the rounding floor; `status` says whether the bound met `tolerance`.
    """
    check_policy(behavior_policy, mdp.available)
    check_stopping(tolerance, max_iterations)
    operator = gumbel_operator(behavior_policy, beta)
    # Newton's last steps are cheap and double the digits: go to the rounding floor, then compare with the tolerance.
    found, status, iterations = newton_iteration(mdp, operator, 0.0, max_iterations)
    name = "soft policy iteration from the behavior policy"
    solved = solution(operator, mdp, found, status, iterations, tolerance, name)
    local = lookahead(mdp, found.deviation, found.offset)
    return ConditionalSolution(
        solved.values, solved.q, solved.policy, solved.error_bound, solved.status, solved.iterations, solved.solver,
        solved.offset, solved.deviation,
        ratio=conditional_ratio(local, behavior_policy, beta),
        beta=float(beta),
        objective=float((1.0 - mdp.discount) * (mdp.initial @ solved.values)),
    )  # fmt: skip


def gumbel_operator(behavior_policy: Float64[np.ndarray, "S A"], beta: float) -> Operator:
    """The operator of (1), the policy that attains it, and what rounding can do to it."""
    _check_beta(beta)

    def reduce(q: np.ndarray) -> np.ndarray:
        top, _, log_mean = _log_mean(q, behavior_policy, beta)
        return top + beta * log_mean

    def policy(q: np.ndarray) -> np.ndarray:
        _, gaps, log_mean = _log_mean(q, behavior_policy, beta)
        with np.errstate(under="ignore"):
            return _tilted(behavior_policy, np.exp(gaps - log_mean[:, None]))

    def radius(mdp: MDP, deviation: np.ndarray, offset: float) -> float:
        return _radius(mdp, behavior_policy, beta, deviation, offset)

    def bounds(mdp: MDP, deviation: np.ndarray, offset: float) -> Bounds:
        lost = 0.0
        if offset == 0.0:
            offset, deviation, lost = split(deviation)
        target = reduce(lookahead(mdp, deviation, offset))
        return enclosure(mdp, target, deviation, radius(mdp, deviation, offset)).widened(lost)

    return Operator(reduce, policy, bounds, radius)


def _radius(mdp: MDP, behavior_policy: np.ndarray, beta: float, deviation: np.ndarray, offset: float) -> float:
    """How far the Gumbel value of every state may be from exact.

    With x = (q - max q)/beta and D = E expm1(x) in (-1, 0], the relative error of D is that of 2 A + 6 roundings and
    two elementary functions; log1p passes it on as |D|/(1 + D). Below D = -1/2, log E e^x is taken directly, where the
    roundings of x add the mean of |x| under the tilted law. The Gumbel value passes errors of q on with factor one.
    """
    local = lookahead(mdp, deviation, offset)
    top, gaps, log_mean = _log_mean(local, behavior_policy, beta)
    with np.errstate(under="ignore"):
        tilted = _tilted(behavior_policy, np.exp(gaps - log_mean[:, None]))
    deficit = -np.expm1(log_mean)
    relative = gamma_n(2 * mdp.n_actions + 6) + 2.0 * ELEMENTARY
    tilt = np.sum(tilted * np.abs(np.where(tilted > 0.0, gaps, 0.0)), axis=1)
    direct = relative + 4.0 * UNIT_ROUNDOFF * tilt
    log_error = np.where(deficit < 0.5, 2.0 * relative * deficit, direct) + 2.0 * ELEMENTARY * np.abs(log_mean)
    size = np.abs(top) + 2.0 * beta * np.abs(log_mean)
    radius = lookahead_radius(mdp, deviation, offset) + float(np.max(beta * log_error + 2.0 * UNIT_ROUNDOFF * size))
    return radius + mdp.n_actions * 2.0**-1074 * (1.0 + beta)


def _tilted(
    behavior_policy: Float64[np.ndarray, "S A"], ratio: Float64[np.ndarray, "S A"]
) -> Float64[np.ndarray, "S A"]:
    """pi* = ratio pi_D, rows divided by their sum so that rounding of the ratio does not show."""
    policy = behavior_policy * np.where(behavior_policy > 0.0, ratio, 0.0)
    return policy / policy.sum(axis=1, keepdims=True)


def _log_mean(q: np.ndarray, behavior_policy: np.ndarray, beta: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Largest q with data, gaps (q - largest)/beta, and log E e^gap; relatively accurate also for large beta."""
    data = behavior_policy > 0.0
    top = np.where(data, q, -np.inf).max(axis=-1)
    with np.errstate(over="ignore", under="ignore"):
        gaps = np.where(data, np.where(data, q, 0.0) - np.where(data, top[..., None], 0.0), -np.inf) / beta
        mass = behavior_policy.sum(axis=-1)
        deficit = (behavior_policy * np.expm1(gaps)).sum(axis=-1) / mass
        direct = np.log((behavior_policy * np.exp(gaps)).sum(axis=-1) / mass)
    return np.asarray(top), gaps, np.where(deficit > -0.5, np.log1p(np.maximum(deficit, -0.5)), direct)


def _check_beta(beta: float) -> None:
    try:
        check_temperature(beta)
    except ValueError as error:
        raise ValueError(f"beta is {beta!r}: expected a finite temperature > 0 (0 is the greedy limit)") from error


def _check_one_step(q: np.ndarray, behavior_policy: np.ndarray, beta: float) -> None:
    _check_beta(beta)
    if q.shape != behavior_policy.shape or q.ndim == 0:
        raise ValueError(f"q has shape {q.shape}: expected that of behavior_policy, {behavior_policy.shape}")
    rows = behavior_policy.reshape(-1, q.shape[-1])
    check_policy(rows, np.ones(rows.shape, dtype=np.bool_))
    wrong = (behavior_policy > 0.0) & ~np.isfinite(q)
    if np.any(wrong):
        index = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(f"q{list(index)} is {q[index]:g} where behavior_policy is positive: expected a finite number")
