r"""Learning with a simulator: every entry of the table gets its own independent sample at every step.

The setting of most convergence rates, and the one in which n-step targets are independent from step to step. Each rule
below is the sampled target of one method for all pairs at once; its expectation is the operator of the same name in
`reference.learning.operators`. For a rule that contracts with modulus m = gamma (gamma^n for n steps), and the noise
W = target - T q* at the fixed point, as in `reference.learning.contraction`,

    |q_k - q*| <= B_k + |P_k|,      B_{k+1} = (1 - a_k (1 - m)) B_k + a_k m max |P_k|.
"""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float64

from reference.learning.contraction import TargetNoise, action_noise, concentrated
from reference.learning.operators import best_next, sarsa_operator
from reference.learning.sarsa import expected_value
from reference.learning.schedules import StepSizes, noise_weights
from reference.learning.task import Task, bootstrapped, draw

__all__ = [
    "Rule", "expected_sarsa_rule", "n_step_noise", "n_step_rule", "q_learning_rule", "synchronous",
    "synchronous_envelope",
]  # fmt: skip

Rule = Callable[[Task, Float64[np.ndarray, "R S A"], np.random.Generator], Float64[np.ndarray, "R S A"]]


def synchronous(
    task: Task, rule: Rule, step_sizes: StepSizes, steps: int, replications: int, rng: np.random.Generator,
    start: float | np.ndarray = 0.0,
) -> Iterator[Float64[np.ndarray, "R S A"]]:  # fmt: skip
    """The tables `q + a_k (target - q)` after each step. The next step overwrites them: copy what is to be kept."""
    table = task.table(replications, start)
    pairs = np.nonzero(task.mdp.available & ~task.terminal[:, None])
    entries = (slice(None), *pairs)
    for size in step_sizes(np.arange(1, steps + 1)):
        table[entries] += size * (rule(task, table, rng)[entries] - table[entries])
        yield table


def q_learning_rule(
    task: Task, table: Float64[np.ndarray, "R S A"], rng: np.random.Generator
) -> Float64[np.ndarray, "R S A"]:
    """`r + gamma max_b q(S', b)` for every pair (RL-18)."""
    return bootstrapped(task.mdp.rewards, task.discount, *_next_values(task, best_next(table), rng))


def expected_sarsa_rule(policy: Float64[np.ndarray, "S A"]) -> Rule:
    """`r + gamma sum_b pi(b|S') q(S', b)` for every pair (RL-16)."""

    def rule(task: Task, table: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        values = expected_value(table, np.broadcast_to(policy, table.shape))
        return bootstrapped(task.mdp.rewards, task.discount, *_next_values(task, values, rng))

    return rule


def n_step_rule(policy: Float64[np.ndarray, "S A"], n: int) -> Rule:
    """The on-policy n-step target of every pair, Sarsa's for `n = 1` (RL-17). `ValueError` unless `n >= 1`."""
    if n < 1:
        raise ValueError(f"n is {n!r}: expected at least 1 step.")

    def rule(task: Task, table: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        states, actions = (np.broadcast_to(index, table.shape).ravel() for index in np.indices(table.shape[1:]))
        target, factor = np.zeros(table.size), 1.0
        for _ in range(n):
            target = target + factor * task.mdp.rewards[states, actions]
            factor *= task.discount
            states = task.step(rng, states, actions)
            actions = draw(rng, policy[states])
        values = table[np.arange(len(table)).repeat(table[0].size), states, actions]
        return bootstrapped(target, factor, values, task.terminal[states]).reshape(table.shape)

    return rule


def n_step_noise(task: Task, q: Float64[np.ndarray, "S A"], policy: Float64[np.ndarray, "S A"], n: int) -> TargetNoise:
    """The noise of the n-step target at `q_pi`: `V_n = V_1 + gamma^2 E V_{n-1}`, martingale differences adding up."""
    single = action_noise(task, q, policy, drawn=True)
    forward = sarsa_operator(task, policy).matrix
    variance = single.variance.ravel()
    for _ in range(n - 1):
        variance = single.variance.ravel() + task.discount * (forward @ variance)
    width = single.width.max() * (task.discount ** np.arange(n)).sum()
    return TargetNoise(variance.reshape(q.shape), np.full(q.shape, width))


def synchronous_envelope(
    modulus: float, noise: TargetNoise, gap: float, step_sizes: StepSizes, steps: int, replications: int, failure: float
) -> Float64[np.ndarray, "K S A"]:
    """Bounds on `|q_k - q*|` for `k = 0 .. steps`, all of which hold with probability at least `1 - failure`.

    `gap`: the largest `|q_0 - q*|`. Step sizes must be at most 1. For the real numbers that the floats round.
    """
    squares, largest = noise_weights(step_sizes, steps)
    share = failure / (noise.variance.size * max(1, steps) * replications)
    radius = np.zeros((steps + 1, *noise.variance.shape))
    for k in range(1, steps + 1):
        radius[k] = concentrated(noise, squares[k], largest[k], share)
    common = np.empty(steps + 1)
    common[0] = gap
    for k, size in enumerate(step_sizes(np.arange(1, steps + 1))):
        common[k + 1] = (1.0 - size * (1.0 - modulus)) * common[k] + size * modulus * float(radius[k].max())
    return common[:, None, None] + radius


def _next_values(
    task: Task, values: Float64[np.ndarray, "R S"], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """`values` at one next state for each pair of each replication, and whether that state is terminal."""
    shape = (len(values), *task.mdp.rewards.shape)
    states, actions = (np.broadcast_to(index, shape).ravel() for index in np.indices(shape[1:]))
    following = task.step(rng, states, actions).reshape(shape)
    return values[np.arange(len(values))[:, None, None], following], task.terminal[following]
