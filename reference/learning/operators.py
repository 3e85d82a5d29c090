r"""The exact expected update of every temporal-difference method, as an operator (C7).

A method that moves an entry of its table towards a sampled target, `x(k) <- x(k) + a (target - x(k))`, moves it in
expectation by `a ((T x)(k) - x(k))`, where `T` is the expectation of the target given the entry:

    TD(0)             (T v)(s)    = sum_a pi(a|s) (r(s, a) + gamma E v(S'))                              (RL-15)
    Sarsa             (T q)(s, a) = r(s, a) + gamma E sum_b pi(b|S') q(S', b)                            (RL-16)
    Expected Sarsa    the same: it differs by the variance of its target only                           (RL-16)
    n-step Sarsa      T^n: rewards discounted by gamma^i, the bootstrap by gamma^n                       (RL-17)
    Q-learning        (T q)(s, a) = r(s, a) + gamma E max_b q(S', b)                                     (RL-18)
    Sarsa for the epsilon-greedy policy of its own table, with the mean under that policy for the max    (RL-11)
    double Q-learning (T (q1, q2))(s, a) = r(s, a) + gamma E q2(S', argmax_b q1(S', b)), for the first   (RL-19)

The expectation is conditional on the pair (s, a), not on s alone as the notes print it (RL-16). Nothing follows the end
of an episode. The first four are affine and given as matrices; fixed points come from the solvers of `reference`.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from reference.bellman import policy_rewards
from reference.checks import check_policy
from reference.evaluation import evaluate_policy
from reference.learning.task import Task, epsilon_greedy
from reference.learning.undiscounted import undiscounted_optimum, undiscounted_values
from reference.mdp import MDP
from reference.planning import PolicyIteration
from reference.solution import Solution

__all__ = [
    "Affine", "best_next", "double_q_operator", "epsilon_soft", "epsilon_soft_operator", "epsilon_soft_optimum",
    "expected_sarsa_operator", "n_step_operator", "optimal_values", "policy_values", "q_operator", "sarsa_operator",
    "target_variance", "td_operator",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Affine:
    """`T x = matrix x + offset` over the flattened table: states, or pairs `s*A + a` (those unavailable are 0)."""

    matrix: Float64[np.ndarray, "K K"]
    offset: Float64[np.ndarray, " K"]

    def __call__(self, table: np.ndarray) -> np.ndarray:
        """`T` of a table of any shape with `K` entries; what stands at unavailable pairs is ignored, and comes back."""
        flat = np.asarray(table, dtype=np.float64).reshape(-1)
        known = np.isfinite(flat)
        applied = self.matrix @ np.where(known, flat, 0.0) + self.offset
        return np.where(known, applied, flat).reshape(np.shape(table))

    def power(self, n: int) -> "Affine":
        """`T` applied `n` times; `n = 0` is the identity."""
        matrix, offset = np.eye(len(self.offset)), np.zeros(len(self.offset))
        for _ in range(n):
            matrix, offset = self.matrix @ matrix, self.matrix @ offset + self.offset
        return Affine(matrix, offset)

    def field(self, law: Float64[np.ndarray, " K"]) -> "Affine":
        """The expected update `D (T x - x)` where entry `k` is updated with probability `law[k]`, per unit of step."""
        return Affine(law[:, None] * (self.matrix - np.eye(len(law))), law * self.offset)


def td_operator(task: Task, policy: Float64[np.ndarray, "S A"]) -> Affine:
    """The expected target of TD(0), over states (RL-15). `ValueError` if `policy` is none of the MDP."""
    check_policy(policy, task.mdp.available)
    chain = np.einsum("sa,sat->st", policy, _transitions(task))
    live = ~task.terminal
    return Affine(task.discount * chain * live[:, None], policy_rewards(task.mdp, policy) * live)


def sarsa_operator(task: Task, policy: Float64[np.ndarray, "S A"]) -> Affine:
    """The expected target of Sarsa, and of Expected Sarsa, for a fixed policy, over pairs (RL-16, RL-17)."""
    check_policy(policy, task.mdp.available)
    pairs = np.einsum("sat,tb->satb", _transitions(task), policy).reshape((policy.size, policy.size))
    live = _live(task).ravel()
    return Affine(task.discount * pairs * live[:, None], np.where(live, task.mdp.rewards.ravel(), 0.0))


def n_step_operator(task: Task, policy: Float64[np.ndarray, "S A"], n: int) -> Affine:
    """The expected target of on-policy n-step Sarsa: `T^n`, of modulus `gamma^n` and the same fixed point (RL-17)."""
    if n < 1:
        raise ValueError(f"n is {n!r}: expected at least 1 step.")
    return sarsa_operator(task, policy).power(n)


def q_operator(task: Task, q: Float64[np.ndarray, "S A"]) -> Float64[np.ndarray, "S A"]:
    """The expected target of Q-learning at the table `q`, whatever the behaviour is (RL-18)."""
    return _lookahead(task, best_next(q))


def expected_sarsa_operator(
    task: Task, policy: Float64[np.ndarray, "S A"], q: Float64[np.ndarray, "S A"]
) -> Float64[np.ndarray, "S A"]:
    """The expected target of Expected Sarsa for `policy` at the table `q` (RL-16)."""
    return _lookahead(task, (policy * np.where(policy > 0.0, q, 0.0)).sum(axis=1))


def epsilon_soft_operator(task: Task, epsilon: float, q: Float64[np.ndarray, "S A"]) -> Float64[np.ndarray, "S A"]:
    """The expected target of Sarsa that acts epsilon-greedily for its own table (RL-11).

    A contraction of modulus gamma, because `(1 - epsilon) max + epsilon mean` does not expand; its fixed point is
    `epsilon_soft_optimum`, which is not q*.
    """
    return expected_sarsa_operator(task, epsilon_greedy(q, epsilon), q)


def double_q_operator(
    task: Task, chooser: Float64[np.ndarray, "S A"], judge: Float64[np.ndarray, "S A"]
) -> Float64[np.ndarray, "S A"]:
    """The expected target for the table `chooser` in double Q-learning (van Hasselt 2010; RL-19)."""
    return _lookahead(task, judge[np.arange(len(judge)), chooser.argmax(axis=1)])


def target_variance(
    task: Task, table: Float64[np.ndarray, "S A"], policy: Float64[np.ndarray, "S A"] | None = None
) -> tuple[Float64[np.ndarray, "S A"], Float64[np.ndarray, "S A"]]:
    """Variances of the sampled target at each pair, without and with the draw of the next action (RL-16).

    For `policy`: that of Expected Sarsa, `gamma^2 Var v(S')`, and that of Sarsa, with `gamma^2 E Var_pi q(S', .)` more.
    Without one: that of Q-learning, twice.
    """
    if policy is None:
        values, within = best_next(table), np.zeros(len(table))
    else:
        finite = np.where(policy > 0.0, table, 0.0)
        values = (policy * finite).sum(axis=1)
        within = (policy * (finite - values[:, None]) ** 2).sum(axis=1)
    # What ends the episode is followed by nothing, and differs from the mean by all of it.
    rows, live = np.asarray(task.mdp.to_dense().transitions), ~task.terminal
    values, within = values * live, within * live
    spread = (values[None, None, :] - (rows @ values)[:, :, None]) ** 2
    between = task.discount**2 * (rows * spread).sum(axis=2) * _live(task)
    return between, between + task.discount**2 * (rows @ within) * _live(task)


def policy_values(task: Task, policy: Float64[np.ndarray, "S A"]) -> Solution:
    """The fixed point of TD(0) (`values`), Sarsa, Expected Sarsa and n-step Sarsa (`q`), with a certified bound."""
    if task.discount < 1.0:
        return evaluate_policy(task.mdp.with_discount(task.discount), policy)
    return undiscounted_values(task.mdp, policy)


def optimal_values(task: Task) -> Solution:
    """The fixed point of Q-learning and double Q-learning, from `reference.planning` where there is a discount."""
    if task.discount < 1.0:
        return PolicyIteration().solve(task.mdp.with_discount(task.discount))
    return undiscounted_optimum(task.mdp)


def epsilon_soft(mdp: MDP, epsilon: float) -> MDP:
    """The process in which an action is replaced by a uniform available one with probability `epsilon` (RL-11).

    Its policies are the epsilon-soft policies of `mdp`, so its optimum is the best that one of those can do.
    `ValueError` unless `epsilon` is a probability.
    """
    if not 0.0 <= epsilon <= 1.0:
        raise ValueError(f"epsilon is {epsilon!r}: expected a probability.")
    dense = np.asarray(mdp.to_dense().transitions)
    share = mdp.available / mdp.available.sum(axis=1, keepdims=True)
    rows = (1.0 - epsilon) * dense + epsilon * np.einsum("sa,sat->st", share, dense)[:, None]
    rewards = (1.0 - epsilon) * mdp.rewards + epsilon * (share * mdp.rewards).sum(axis=1, keepdims=True)
    kept = mdp.available[:, :, None] * rows
    return MDP(kept, rewards, mdp.discount, mdp.initial, mdp.available, mdp.grid)


def epsilon_soft_optimum(task: Task, epsilon: float) -> tuple[Solution, Float64[np.ndarray, "S A"]]:
    """The fixed point of Sarsa with epsilon-greedy behaviour: the solution of `epsilon_soft`, and `q` (RL-11).

    `q = r + gamma P v` belongs to the first process: its action is really taken, and epsilon counts from then on.
    """
    found = optimal_values(Task(epsilon_soft(task.mdp, epsilon), task.discount))
    return found, _lookahead(task, found.values)


def best_next(q: Float64[np.ndarray, "... A"]) -> Float64[np.ndarray, "..."]:
    """`max_b q(., b)` over the available actions, which are those not `-inf`."""
    return q.max(axis=-1)


def _lookahead(task: Task, values: Float64[np.ndarray, " S"]) -> Float64[np.ndarray, "S A"]:
    """`r + gamma E v(S')`, nothing following the end, and `-inf` where unavailable."""
    following = task.mdp.expected_next(np.where(task.terminal, 0.0, values))
    q = (task.mdp.rewards + task.discount * following) * ~task.terminal[:, None]
    return np.where(task.mdp.available, q, -np.inf)


def _transitions(task: Task) -> Float64[np.ndarray, "S A S"]:
    """`P(t | s, a)` for `t` that are not terminal: what is bootstrapped from."""
    rows = np.asarray(task.mdp.to_dense().transitions)
    return rows * ~task.terminal


def _live(task: Task) -> np.ndarray:
    """The available pairs of states that are not terminal."""
    return task.mdp.available & ~task.terminal[:, None]
