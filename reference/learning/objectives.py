r"""What else one might minimise, and what that finds instead (C8, RL-20, RL-22).

    Bellman residual      |T Phi w - Phi w|_d^2: a true gradient, for which each sample needs two next states  (RL-20)
    DQN, as printed       J(w) = E (R + gamma max_b q(S', b, w) - q(S, A, w))^2
                               = |T q - q|_d^2 + E Var(target | S, A), and the variance depends on w as well    (RL-22)
    with a frozen target  E (R + gamma max_b q(S', b, w') - q(S, A, w))^2, minimised by Pi T q': fitted Q-iteration

Where every state has one action J is quadratic and has its own system (`squared_error_minimiser`). Differentiating it,
or the residual, through the target gives a different method from the semi-gradient ones, with a different answer; the
semi-gradient ones have no objective at all (`LinearSystem.curl`). R stands for the expected reward of the pair.
"""

import numpy as np
from jaxtyping import Float64

from reference.learning.features import check_features, check_law
from reference.learning.linear import LinearSolution, assembled, projection, residual_features, solved
from reference.learning.linear_moments import Outcomes
from reference.learning.operators import Affine, best_next, q_operator
from reference.learning.task import Task

__all__ = [
    "action_values", "bellman_residual_minimiser", "dqn_objective", "fitted_q_step", "squared_error",
    "squared_error_minimiser",
]  # fmt: skip


def bellman_residual_minimiser(
    operator: Affine, features: Float64[np.ndarray, "N D"], law: Float64[np.ndarray, " N"]
) -> LinearSolution:
    """`argmin |T Phi w - Phi w|_d`, with a proven bound; raises as `projected_fixed_point` (RL-20)."""
    check_features(features, len(operator.offset))
    check_law(law, len(operator.offset))
    moved, size = residual_features(operator, features)
    return solved(assembled(moved.T * law, size.T * law, moved, size, operator.offset), features)


def squared_error(outcomes: Outcomes, weights: Float64[np.ndarray, " D"]) -> float:
    """`E (r + gamma v(s') - v(s))^2` under independent draws: the mean square of the TD error (RL-22)."""
    _require_independent(outcomes)
    return float(outcomes.probabilities @ (outcomes.rewards - outcomes.differences @ weights) ** 2)


def squared_error_minimiser(outcomes: Outcomes, features: Float64[np.ndarray, "N D"]) -> LinearSolution:
    """`argmin E (r + gamma v(s') - v(s))^2` and the values of `features` there, with a proven bound (RL-22).

    The bound is for the floats of the outcomes; their differences carry two roundings of their own.
    """
    _require_independent(outcomes)
    differences = outcomes.differences
    weighted = differences.T * outcomes.probabilities
    size = np.abs(differences)
    return solved(assembled(weighted, np.abs(weighted), differences, size, outcomes.rewards), features)


def action_values(
    task: Task, features: Float64[np.ndarray, "SA D"], weights: Float64[np.ndarray, " D"]
) -> Float64[np.ndarray, "S A"]:
    """`q(s, a, w)`, 0 in terminal states and `-inf` at unavailable pairs, as in a table."""
    check_features(features, task.mdp.rewards.size)
    values = np.where(task.terminal[:, None], 0.0, (features @ weights).reshape(task.mdp.rewards.shape))
    return np.where(task.mdp.available, values, -np.inf)


def dqn_objective(
    task: Task,
    law: Float64[np.ndarray, " SA"],
    q: Float64[np.ndarray, "S A"],
    frozen: Float64[np.ndarray, "S A"] | None = None,
) -> float:
    """`E (r + gamma max_b q(S', b) - q(S, A))^2`, the pair drawn from `law`; `frozen` in the target if given (RL-22).

    Tables are as `action_values` makes them. Nothing follows the end of an episode.
    """
    check_law(law, task.mdp.rewards.size)
    following = np.where(task.terminal, 0.0, best_next(q if frozen is None else frozen))
    targets = task.mdp.rewards[:, :, None] + task.discount * following
    errors = (targets - np.where(task.mdp.available, q, 0.0)[:, :, None]) ** 2
    rows = np.asarray(task.mdp.to_dense().transitions)
    return float(law @ (rows * errors).sum(axis=2).ravel())


def fitted_q_step(
    task: Task,
    features: Float64[np.ndarray, "SA D"],
    law: Float64[np.ndarray, " SA"],
    frozen: Float64[np.ndarray, "S A"],
    error: float = 0.0,
) -> LinearSolution:
    """The minimiser of `dqn_objective` with this `frozen` target, `Pi T q'`: one step of fitted Q-iteration (RL-22).

    `error` bounds what rounding did to the expected target, and widens the bound of the answer.
    """
    target = q_operator(task, frozen).ravel()
    return projection(features, law, np.where(np.isfinite(target), target, 0.0), error)


def _require_independent(outcomes: Outcomes) -> None:
    if len(outcomes.first) != 1:
        raise ValueError(f"the outcomes have {len(outcomes.first)} sources: expected 1. Give td_outcomes a law.")
