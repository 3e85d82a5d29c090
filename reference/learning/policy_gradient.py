r"""Exact gradients of the three metrics of a policy (C9), each with a bound on its error (RL-23, RL-24).

    grad J = sum_s eta(s) sum_a grad pi(a|s) A(s, a),                                                             (1)

with weights eta and advantages A that must both belong to the metric J:

    start value            J = sum d v_pi, d fixed        eta = d (I - gamma P_pi)^{-1}      A = q_pi - v_pi
    average reward         J = r_bar                      eta = d_pi                         A = r - r_bar + P h - h
    stationary value       J = sum d_pi v_pi              eta = d_pi / (1 - gamma)           as for the average reward

h are the *differential* values, (I - P_pi) h = r_pi - r_bar. The weights of the first have mass 1 / (1 - gamma), a
factor that the expectation over a law of states hides (RL-24). In the third metric d_pi moves with the policy, and
J = r_bar / (1 - gamma) (RL-23): its gradient is not sum d_pi grad pi q_pi / (1 - gamma) with discounted q, which is
that of the first metric for d = d_pi held fixed, and wrong by a share of the order 1 - gamma.

The bounds are those of `policy_certificate`.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from reference.learning.policy_certificate import SMALLEST, assemble, certify, live_process, shortfall
from reference.learning.softmax import Softmax
from reference.learning.task import Task
from reference.mdp import MDP
from reference.occupancy import stationary_distribution, stationary_exponent
from reference.rounding import UNIT_ROUNDOFF, gamma_n, outward

__all__ = [
    "Direction", "PolicyGradient", "average_gradient", "reinforce_direction", "start_gradient", "stationary_gradient",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class PolicyGradient:
    """A gradient (1) in the parameters of a policy, with its parts.

    * `gradient`, `error_bound` `(D,)`: entry by entry a true bound, rounding included, for the floats handed in.
    * `objective`, `objective_bound`: the metric and the bound on its error.
    * `weights` `(S,)`: eta; `advantages` `(S, A)`: A, 0 at pairs that are unavailable or terminal.
    """

    gradient: Float64[np.ndarray, " D"]
    error_bound: Float64[np.ndarray, " D"]
    objective: float
    objective_bound: float
    weights: Float64[np.ndarray, " S"]
    advantages: Float64[np.ndarray, "S A"]


class Direction(NamedTuple):
    """An expected update that is no gradient: `vector`, `error_bound` `(D,)`, and eta and A of (1)."""

    vector: Float64[np.ndarray, " D"]
    error_bound: Float64[np.ndarray, " D"]
    weights: Float64[np.ndarray, " S"]
    advantages: Float64[np.ndarray, "S A"]


def start_gradient(
    task: Task, policy: Softmax, theta: Float64[np.ndarray, " D"], law: Float64[np.ndarray, " S"] | None = None
) -> PolicyGradient:
    """The gradient of `sum law(s) v_pi(s)` for a fixed law of first states, that of the task if not given (RL-24).

    Without a discount too, where episodes surely end. `ValueError` if they do not, if shapes do not fit, or if a
    probability is too small for float64.
    """
    return _discounted(task, policy, theta, law, task.discount)


def reinforce_direction(task: Task, policy: Softmax, theta: Float64[np.ndarray, " D"]) -> Direction:
    """Where REINFORCE without the factor `gamma^t` goes: (1) with undiscounted weights, discounted advantages (RL-25).

        sum_s eta_1(s) sum_a grad pi(a|s) (q_pi - v_pi)(s, a),      eta_1 = d (I - P_pi)^{-1}.

    For `gamma < 1` it is no gradient of anything in general (its Jacobian is not symmetric; Nota and Thomas 2020), and
    may point away from that of the value. `ValueError` as `start_gradient`, and if episodes need not end, for then the
    weights have no sum.
    """
    found = _discounted(task, policy, theta, None, 1.0)
    return Direction(found.gradient, found.error_bound, found.weights, found.advantages)


def average_gradient(mdp: MDP, policy: Softmax, theta: Float64[np.ndarray, " D"]) -> PolicyGradient:
    """The gradient of the average reward, the discount of the MDP being ignored (RL-23, RL-24).

    Staying where one is takes the probability that the other successors leave of one. `ValueError` if there are several
    recurrent classes (no average for all starts), shapes do not fit, or a probability is too small for float64.
    """
    found = live_process(mdp, policy, theta, np.ones(mdp.n_states, dtype=np.bool_))
    n_states, n_actions, accuracy = mdp.n_states, mdp.n_actions, found.accuracy
    law = stationary_distribution(mdp, found.policy)
    # One reference state, often visited, at which the differential values are 0.
    origin = int(law.argmax())
    others = np.flatnonzero(np.arange(n_states) != origin)
    moves = found.chain * ~np.eye(n_states, dtype=np.bool_)
    system = np.diag(moves.sum(axis=1)) - moves
    inner = system[np.ix_(others, others)]
    roundings = accuracy + gamma_n(2 * n_actions + n_states + 8)
    steps = np.zeros(n_states)
    steps[others] = np.linalg.solve(inner, np.ones(len(others)))
    apart = steps[:, None] - steps[None, :]
    gains = ((moves * apart).sum(axis=1) - roundings * (moves * np.abs(apart)).sum(axis=1))[others]
    least = float(gains.min(initial=1.0))
    if not (least > 0.0 and (steps >= 0.0).all()):
        raise ValueError(
            f"state {origin} is reached too rarely from elsewhere for float64 to tell: expected a chain that mixes. "
            "Use smaller logits, or start_gradient with a discount."
        )

    # The bordered system (I - P) h + r_bar = r_pi, h(origin) = 0: the average takes the place of h(origin).
    bordered = system.copy()
    bordered[:, origin] = 1.0

    def differential(unknown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The advantages that `(h, r_bar)` imply, and the sizes of what they are sums of."""
        values = np.where(np.arange(n_states) == origin, 0.0, unknown)
        distances = values[None, :] - values[:, None]
        advantages = found.rewards - unknown[origin] + np.einsum("sat,st->sa", found.transitions, distances)
        sizes = np.abs(found.rewards) + abs(unknown[origin])
        sizes = sizes + np.einsum("sat,st->sa", found.transitions, np.abs(distances))
        return np.where(mdp.available, advantages, 0.0), np.where(mdp.available, sizes, 0.0)

    unknown = np.linalg.solve(bordered, (found.policy * found.rewards).sum(axis=1))
    unknown += np.linalg.solve(bordered, (found.policy * differential(unknown)[0]).sum(axis=1))
    (advantages, sizes), average = differential(unknown), float(unknown[origin])
    radius = gamma_n(n_states + 4) * sizes + SMALLEST
    lack = float(shortfall(found, advantages, radius).max())  # bounds the error of the average as well
    spread = outward(2.0 * lack * steps / least)  # of the differential values
    error = radius + lack + np.einsum("sat,st->sa", found.transitions, spread[None, :] + spread[:, None])
    spare = float(np.expm1(2.0 * stationary_exponent(n_states, accuracy + gamma_n(n_actions + 2)))) * law

    def first(sizes: np.ndarray) -> np.ndarray:
        return spare @ sizes

    gradient, bound = assemble(found, policy.scores(theta), law, advantages, error * mdp.available, first)
    return PolicyGradient(gradient, bound, average, outward(lack), law, advantages)


def stationary_gradient(mdp: MDP, policy: Softmax, theta: Float64[np.ndarray, " D"]) -> PolicyGradient:
    """The gradient of `sum d_pi(s) v_pi(s)`, in which the law moves with the policy: `r_bar / (1 - gamma)` (RL-23).

    Errors as `average_gradient`, whose conventions hold for the rows.
    """
    found, margin = average_gradient(mdp, policy, theta), 1.0 - mdp.discount
    gradient, objective = found.gradient / margin, found.objective / margin
    bound = outward(found.error_bound / margin) + 3.0 * UNIT_ROUNDOFF * np.abs(gradient)
    return PolicyGradient(
        gradient,
        bound,
        objective,
        outward(found.objective_bound / margin) + 3.0 * UNIT_ROUNDOFF * abs(objective),
        found.weights / margin,
        found.advantages,
    )


def _discounted(
    task: Task, policy: Softmax, theta: np.ndarray, law: np.ndarray | None, visits_discount: float
) -> PolicyGradient:
    """(1) with the weights `law (I - visits_discount P_pi)^{-1}` and the advantages of the task."""
    found = live_process(task.mdp, policy, theta, ~task.terminal)
    states, discount = found.states, task.discount
    n_live, n_actions = found.policy.shape[0], found.policy.shape[1]
    begin, blur = _first_states(task, law)
    begin = begin[states]
    values_steps = certify(found, discount, task.mdp)
    visits_steps = values_steps if visits_discount == discount else certify(found, visits_discount, task.mdp)

    available = task.mdp.available[states]

    def implied(values: np.ndarray) -> np.ndarray:
        """The advantages of candidate values."""
        following = discount * (found.transitions @ values)
        return np.where(available, found.rewards + following - values[:, None], 0.0)

    values = np.linalg.solve(values_steps.system, (found.policy * found.rewards).sum(axis=1))
    values += np.linalg.solve(values_steps.system, (found.policy * implied(values)).sum(axis=1))
    advantages = implied(values)
    sizes = np.abs(found.rewards) + discount * (found.transitions @ np.abs(values)) + np.abs(values)[:, None]
    radius = gamma_n(n_live + 4) * sizes * available + SMALLEST
    values_error = float(shortfall(found, advantages, radius).max()) * values_steps.inverse
    error = radius + discount * (found.transitions @ values_error) + values_error[:, None]

    transposed = visits_steps.system.T
    visits = np.linalg.solve(transposed, begin)
    visits = visits + np.linalg.solve(transposed, begin + visits_discount * (visits @ found.chain) - visits)
    visits = np.maximum(visits, 0.0)
    inflow = visits_discount * (visits @ found.chain)
    rounding = (found.accuracy + gamma_n(n_actions + n_live + 4)) * (begin + inflow + visits) + blur * begin
    residual = np.abs(begin + inflow - visits) + rounding + SMALLEST
    missing = float(residual @ visits_steps.inverse)

    def first(sizes: np.ndarray) -> np.ndarray:
        return missing * sizes.max(axis=0)

    scores = policy.scores(theta)[states]
    gradient, bound = assemble(found, scores, visits, advantages, error * available, first)
    objective = float(begin @ values)
    objective_bound = float(begin @ values_error + (blur + gamma_n(n_live + 2)) * (begin @ np.abs(values)))
    weights, full = np.zeros(task.mdp.n_states), np.zeros(task.mdp.rewards.shape)
    weights[states], full[states] = visits, advantages
    return PolicyGradient(gradient, bound, objective, outward(objective_bound) + SMALLEST, weights, full)


def _first_states(task: Task, law: np.ndarray | None) -> tuple[np.ndarray, float]:
    """The law of first states, and how far its entries are from exact, relative to them."""
    if law is not None:
        if law.shape != (task.mdp.n_states,) or not (np.isfinite(law) & (law >= 0.0)).all():
            raise ValueError(f"law has shape {law.shape}, entries {law}: expected numbers >= 0 of shape (S,).")
        return law, 0.0
    starts = np.where(task.terminal, 0.0, task.mdp.initial)
    return starts / starts.sum(), gamma_n(len(starts) + 1)
