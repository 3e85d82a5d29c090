r"""Advantages of a trajectory as one linear map (C10): TD errors, n steps, and their exponential mean (GAE).

Let a trajectory hold states s_t, rewards r_t and the states s'_t that were really reached, before any fresh start. With

    delta_t = r_t + gamma (1 - terminated_t) v(s'_t) - v(s_t),     e_t = terminated_t or truncated_t,            (1)
    A_t = delta_t + gamma lambda (1 - e_t) A_{t+1}                                                              (2)

(Schulman et al. 2016, arXiv:1506.02438, equation 16). Termination cuts the bootstrap, for nothing follows it;
truncation keeps the bootstrap, for the process would have gone on; both cut the trace, for what the trajectory holds
next belongs to another episode. So A = G delta with G_tk = (gamma lambda)^(k - t) if t <= k are of one episode, else 0.
lambda = 0 gives TD errors, lambda = 1 the returns (with the bootstrap of a truncation) less v. Keeping k < t + n of
the rows for lambda = 1 gives n-step advantages A^(n), and (2) is (1 - lambda) sum_n lambda^(n-1) A^(n).

**Bias (RL-28).** Over pairs let M = gamma P Pi be the matrix of Sarsa and e = v - v_pi. After a pair, H steps before
the trajectory is cut,

    E A = sum_{i < H} (lambda M)^i (r + gamma P v - v),
    E A - (q_pi - v_pi) = (1 - lambda) sum_{n < H} lambda^(n-1) M^n e + lambda^(H-1) M^H e - e.                   (3)

For H = 1 that is gamma E e(S') - e(s). Its mean under pi is (gamma P_pi - I) e, of size at least (1 - gamma) max |e|:
the TD error is an unbiased advantage if and only if v = v_pi. The last term of (3) depends on the state alone, and a
gradient does not see it; for lambda = 1 and no cut it is all there is.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int

from reference.checks import check_policy
from reference.learning.operators import policy_values, sarsa_operator
from reference.learning.task import Task, draw
from reference.mdp import MDP

__all__ = [
    "AdvantageMap", "Trajectories", "advantage_function", "expected_gae", "gae_bias", "gae_map", "n_step_map",
    "opposite_bandits", "sample_trajectories",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class AdvantageMap:
    """`A = trace (rewards - values) + bootstrap next_values`, for `T` steps; leading axes are independent trajectories.

    * `trace` `(..., T, T)`: G, upper triangular; `bootstrap` `(..., T, T)`: gamma G, without the columns of steps that
      terminated.
    """

    trace: Float64[np.ndarray, "*batch T T"]
    bootstrap: Float64[np.ndarray, "*batch T T"]

    def __call__(
        self,
        rewards: Float64[np.ndarray, "*batch T"],
        values: Float64[np.ndarray, "*batch T"],
        next_values: Float64[np.ndarray, "*batch T"],
    ) -> Float64[np.ndarray, "*batch T"]:
        """The advantages; finite `next_values` are asked for even where they do not count.

        What a critic is moved towards is `A + values`: for `gae_map` the lambda-return.
        """
        own = self.trace @ (rewards - values)[..., None]
        return (own + self.bootstrap @ next_values[..., None])[..., 0]


def gae_map(
    terminated: Bool[np.ndarray, "*batch T"],
    truncated: Bool[np.ndarray, "*batch T"],
    discount: float,
    trace_decay: float,
) -> AdvantageMap:
    """Generalised advantage estimation (2) with `trace_decay` lambda (RL-28).

    A last step without a flag is bootstrapped from, like a truncation. `ValueError` unless `discount` and `trace_decay`
    are in `[0, 1]`.
    """
    for name, number in (("discount", discount), ("trace_decay", trace_decay)):
        if not 0.0 <= number <= 1.0:
            raise ValueError(f"{name} is {number!r}: expected a number in [0, 1].")
    distance, together = _segments(terminated, truncated)
    powers = _powers(discount * trace_decay, terminated.shape[-1])
    return _closed(np.where(together, powers[distance], 0.0), terminated, discount)


def n_step_map(
    terminated: Bool[np.ndarray, "*batch T"], truncated: Bool[np.ndarray, "*batch T"], discount: float, n: int
) -> AdvantageMap:
    """`n` rewards, then the bootstrap, less the value; windows end early where an episode or the data do (RL-17).

    `ValueError` unless `discount` is in `[0, 1]` and `n >= 1`.
    """
    if n < 1:
        raise ValueError(f"n is {n!r}: expected at least 1 step.")
    whole = gae_map(terminated, truncated, discount, 1.0)
    distance, _ = _segments(terminated, truncated)
    return _closed(np.where(distance < n, whole.trace, 0.0), terminated, discount)


def _segments(terminated: np.ndarray, truncated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`k - t` `(T, T)`, zero below the diagonal, and whether `t <= k` are steps of one episode."""
    ended = terminated | truncated
    before = np.cumsum(ended, axis=-1) - ended
    distance = np.subtract.outer(np.arange(ended.shape[-1]), np.arange(ended.shape[-1])).T
    together = (before[..., :, None] == before[..., None, :]) & (distance >= 0)
    return np.maximum(distance, 0), together


def _powers(base: float, count: int) -> np.ndarray:
    """`base^0 .. base^(count - 1)` by multiplication: `k - 1` roundings at most in the `k`-th, on every machine."""
    return np.cumprod(np.where(np.arange(count) == 0, 1.0, base))


def _closed(trace: np.ndarray, terminated: np.ndarray, discount: float) -> AdvantageMap:
    return AdvantageMap(trace, discount * trace * ~terminated[..., None, :])


# -- expectations -------------------------------------------------------------------------------------------------


def advantage_function(task: Task, policy: Float64[np.ndarray, "S A"]) -> Float64[np.ndarray, "S A"]:
    """`q_pi - v_pi`, 0 at pairs that are unavailable or terminal."""
    found = policy_values(task, policy)
    live = task.mdp.available & ~task.terminal[:, None]
    return np.where(live, found.q - found.values[:, None], 0.0)


def expected_gae(
    task: Task,
    policy: Float64[np.ndarray, "S A"],
    values: Float64[np.ndarray, " S"],
    trace_decay: float,
    horizon: int | None = None,
) -> Float64[np.ndarray, "S A"]:
    """The expectation of (2) from each pair, `policy` followed, for any critic `values` (RL-28).

    * `horizon`: steps until the trajectory is cut, its own first included; without one it is never cut. With
      `trace_decay` 1 and `horizon` n: the n-step advantage; `horizon` 1: the TD error.

    0 at pairs that are unavailable or terminal. `ValueError` if nothing is discounted and `policy` may never end, and
    for a `horizon` below 1.
    """
    _check_sum(task, policy, trace_decay, horizon)
    operator = sarsa_operator(task, policy)
    over_pairs = _over_pairs(task, values)
    errors = operator.matrix @ over_pairs + operator.offset - over_pairs
    return _discounted_sum(trace_decay * operator.matrix, errors, horizon).reshape(policy.shape)


def gae_bias(
    task: Task,
    policy: Float64[np.ndarray, "S A"],
    error: Float64[np.ndarray, " S"],
    trace_decay: float,
    horizon: int | None = None,
) -> Float64[np.ndarray, "S A"]:
    """Formula (3): what `error`, which is v - v_pi, does to the expected advantage (RL-28). As `expected_gae`."""
    _check_sum(task, policy, trace_decay, horizon)
    matrix, over_pairs = sarsa_operator(task, policy).matrix, _over_pairs(task, error)
    following = matrix @ over_pairs
    if horizon is None:
        later = (1.0 - trace_decay) * _discounted_sum(trace_decay * matrix, following, None)
    else:
        later = (1.0 - trace_decay) * _discounted_sum(trace_decay * matrix, following, horizon - 1)
        last = following
        for _ in range(horizon - 1):
            last = trace_decay * (matrix @ last)
        later = later + last
    return (later - over_pairs).reshape(policy.shape)


def _over_pairs(task: Task, values: np.ndarray) -> np.ndarray:
    """`values` of the states at their available pairs, 0 where terminal."""
    return np.where(task.mdp.available & ~task.terminal[:, None], values[:, None], 0.0).ravel()


def _discounted_sum(matrix: np.ndarray, terms: np.ndarray, horizon: int | None) -> np.ndarray:
    """`sum_{i < horizon} matrix^i terms`."""
    if horizon is None:
        return np.linalg.solve(np.eye(len(terms)) - matrix, terms)
    total = np.zeros_like(terms)
    for _ in range(horizon):
        total = terms + matrix @ total
    return total


def _check_sum(task: Task, policy: np.ndarray, trace_decay: float, horizon: int | None) -> None:
    """`ValueError` unless the sum over steps has a value."""
    if horizon is not None and horizon < 1:
        raise ValueError(f"horizon is {horizon!r}: expected at least 1 step, or None.")
    if horizon is None and task.discount * trace_decay == 1.0:
        policy_values(task, policy)  # which refuses a policy that may never end


# -- samples ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Trajectories:
    """`N` trajectories of `T` steps each, episode after episode; all arrays are `(N, T)`.

    `next_states` are those before a fresh start, so that `values[next_states]` is what a truncation bootstraps from.
    """

    states: Int[np.ndarray, "N T"]
    actions: Int[np.ndarray, "N T"]
    rewards: Float64[np.ndarray, "N T"]
    next_states: Int[np.ndarray, "N T"]
    terminated: Bool[np.ndarray, "N T"]
    truncated: Bool[np.ndarray, "N T"]


def sample_trajectories(
    task: Task, policy: Float64[np.ndarray, "S A"], steps: int, limit: int, replications: int, rng: np.random.Generator
) -> Trajectories:
    """`steps` of `policy` in each replication, with a fresh start after the end and after `limit` steps of an episode.

    An episode that ends in its last permitted step carries both flags. `ValueError` if `policy` is none of the MDP.
    """
    check_policy(policy, task.mdp.available)
    shape = (replications, steps)
    states, actions, following = (np.zeros(shape, dtype=np.int64) for _ in range(3))
    rewards = np.zeros(shape)
    terminated, truncated = np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.bool_)
    here, age = task.start(rng, replications), np.zeros(replications, dtype=np.int64)
    for t in range(steps):
        states[:, t], actions[:, t] = here, draw(rng, policy[here])
        rewards[:, t] = task.mdp.rewards[here, actions[:, t]]
        following[:, t] = task.step(rng, here, actions[:, t])
        age += 1
        terminated[:, t], truncated[:, t] = task.terminal[following[:, t]], age >= limit
        over = terminated[:, t] | truncated[:, t]
        here = following[:, t].copy()
        if over.any():
            here[over], age[over] = task.start(rng, int(over.sum())), 0
    return Trajectories(states, actions, rewards, following, terminated, truncated)


def opposite_bandits() -> tuple[MDP, MDP]:
    """Two bandits, paying (0, 1) and (1, 0) (RL-33).

    Under the uniform policy both have the value 1/2 and the same law of every target of `td`, and opposite actions are
    best: without a model, state values cannot say which. Advantages can: they are (-1/2, 1/2) and (1/2, -1/2).
    """
    pull = np.ones((1, 2, 1))
    return MDP(pull, [[0.0, 1.0]], 0.0), MDP(pull, [[1.0, 0.0]], 0.0)
