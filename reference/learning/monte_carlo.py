r"""Monte Carlo methods (C5): averages of returns, for evaluation and for control.

    q(s, a) ~ (1/N) sum of N returns from (s, a)

is unbiased (up to `truncation_bias`) if each episode gives one return: of its first pair (MC-basic) or of its first
visit. Using every visit gives more returns, which are not independent and whose number depends on them: biased for
finite N, consistent (RL-10, `reference.learning.visits`).

Control alternates with improvement. MC-basic with exact q is policy iteration (RL-08). Exploring starts and
epsilon-greedy behaviour improve after every episode; that exploring starts converge does not follow from the notes, and
is known under extra conditions only. Epsilon-greedy behaviour can reach the best epsilon-soft policy, not the optimum
(RL-11).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int

from reference.checks import check_policy
from reference.learning.task import Task, draw, epsilon_greedy

__all__ = [
    "Episodes", "epsilon_greedy_control", "exploring_starts", "mc_basic", "mc_evaluate", "returns_to_go",
    "sample_episodes", "visit_sums",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Episodes:
    """`N` episodes of at most `T` steps: all arrays are `(T, N)`; `alive` where the step was really made.

    `next_states` are where the steps led; what stands in rows that are not alive says nothing.
    """

    states: Int[np.ndarray, "T N"]
    actions: Int[np.ndarray, "T N"]
    rewards: Float64[np.ndarray, "T N"]
    alive: Bool[np.ndarray, "T N"]
    next_states: Int[np.ndarray, "T N"]


def sample_episodes(
    task: Task,
    policies: Float64[np.ndarray, "N S A"],
    states: Int[np.ndarray, " N"],
    horizon: int,
    rng: np.random.Generator,
    actions: Int[np.ndarray, " N"] | None = None,
) -> Episodes:
    """One episode from each of `states`, beginning with `actions` if given, each under its own policy.

    An episode that has not ended after `horizon` steps is cut there. `policies` may be a broadcast view.
    """
    rows = np.arange(len(states))
    shape = (horizon, len(states))
    all_states, all_actions = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    rewards, alive, all_next = np.zeros(shape), np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.int64)
    going = ~task.terminal[states]
    for t in range(horizon):
        if not going.any():
            break
        chosen = actions if t == 0 and actions is not None else draw(rng, policies[rows, states])
        all_states[t], all_actions[t], alive[t] = states, chosen, going
        rewards[t] = np.where(going, task.mdp.rewards[states, chosen], 0.0)
        # Terminal states only repeat themselves with reward 0, so those that ended may go on unheard.
        states = all_next[t] = task.step(rng, states, chosen)
        going = going & ~task.terminal[states]
    return Episodes(all_states, all_actions, rewards, alive, all_next)


def returns_to_go(task: Task, episodes: Episodes) -> Float64[np.ndarray, "T N"]:
    """`G_t = R_{t+1} + gamma G_{t+1}` of every step, 0 after the end (RL-01)."""
    returns = np.zeros((len(episodes.rewards) + 1, episodes.rewards.shape[1]))
    for t in reversed(range(len(episodes.rewards))):
        returns[t] = episodes.rewards[t] + task.discount * returns[t + 1]
    return returns[:-1]


def visit_sums(
    task: Task, episodes: Episodes, replications: int, *, first: bool
) -> tuple[Float64[np.ndarray, "R S A"], Int[np.ndarray, "R S A"]]:
    """Sums and numbers of the returns from each pair, of first visits only or of every visit (RL-10).

    The `N` episodes are `replications` equal blocks.
    """
    returns, shape = returns_to_go(task, episodes), task.mdp.rewards.shape
    count = episodes.rewards.shape[1]
    rows, block = np.arange(count), np.repeat(np.arange(replications), count // replications)
    sums, counts = np.zeros((replications, *shape)), np.zeros((replications, *shape), dtype=np.int64)
    seen = np.zeros((count, *shape), dtype=np.bool_)
    for t in range(len(returns)):
        states, actions = episodes.states[t], episodes.actions[t]
        used = episodes.alive[t] & ~(first & seen[rows, states, actions])
        seen[rows, states, actions] |= episodes.alive[t]
        entry = (block[used], states[used], actions[used])
        np.add.at(sums, entry, returns[t, used])
        np.add.at(counts, entry, 1)
    return sums, counts


def mc_evaluate(
    task: Task, policy: Float64[np.ndarray, "S A"], episodes: int, horizon: int, replications: int,
    rng: np.random.Generator, *, first: bool = True,
) -> tuple[Float64[np.ndarray, "R S A"], Int[np.ndarray, "R S A"]]:  # fmt: skip
    """Mean returns of the pairs met in `episodes` episodes of `policy`, and how many; `nan` where there are none."""
    check_policy(policy, task.mdp.available)
    count = replications * episodes
    starts = task.start(rng, count)
    sampled = sample_episodes(task, np.broadcast_to(policy, (count, *policy.shape)), starts, horizon, rng)
    sums, counts = visit_sums(task, sampled, replications, first=first)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan), counts


def mc_basic(
    task: Task, policy: Float64[np.ndarray, "S A"], iterations: int, episodes: int, horizon: int, replications: int,
    rng: np.random.Generator, epsilon: float = 0.0,
) -> tuple[Float64[np.ndarray, "J R S A"], Float64[np.ndarray, "K R S A"]]:  # fmt: skip
    """MC-basic: `episodes` returns from every pair, then the (epsilon-)greedy policy, again and again (RL-08, RL-11).

    Returns the policies `(iterations + 1, R, S, A)`, the first one given, and the estimates of `q` between them.
    """
    check_policy(policy, task.mdp.available)
    pairs = np.argwhere(task.mdp.available & ~task.terminal[:, None])
    start = np.tile(np.repeat(pairs, episodes, axis=0), (replications, 1))
    block = np.repeat(np.arange(replications), len(pairs) * episodes)
    policies, estimates = [np.tile(policy, (replications, 1, 1))], []
    for _ in range(iterations):
        returns, factor, states, actions = np.zeros(len(start)), 1.0, start[:, 0], start[:, 1]
        for _ in range(horizon):
            returns += factor * task.mdp.rewards[states, actions]
            factor *= task.discount
            states = task.step(rng, states, actions)
            if task.terminal[states].all():
                break
            actions = draw(rng, policies[-1][block, states])
        q = task.table(replications)
        q[:, pairs[:, 0], pairs[:, 1]] = returns.reshape(replications, len(pairs), episodes).mean(axis=2)
        estimates.append(q)
        policies.append(epsilon_greedy(q, epsilon))
    return np.array(policies), np.array(estimates)


def exploring_starts(
    task: Task, episodes: int, horizon: int, replications: int, rng: np.random.Generator,
    start: float | np.ndarray = 0.0, *, first: bool = True,
) -> tuple[Float64[np.ndarray, "R S A"], Int[np.ndarray, "R S A"]]:  # fmt: skip
    """MC with exploring starts: a uniformly drawn first pair, then the greedy policy, improved after every episode."""
    return _control(task, episodes, horizon, replications, rng, start, 0.0, True, first)


def epsilon_greedy_control(
    task: Task, epsilon: float, episodes: int, horizon: int, replications: int, rng: np.random.Generator,
    start: float | np.ndarray = 0.0, *, first: bool = True,
) -> tuple[Float64[np.ndarray, "R S A"], Int[np.ndarray, "R S A"]]:  # fmt: skip
    """MC with epsilon-greedy behaviour from `mdp.initial`, improved after every episode (RL-11)."""
    return _control(task, episodes, horizon, replications, rng, start, epsilon, False, first)


def _control(
    task: Task, episodes: int, horizon: int, replications: int, rng: np.random.Generator, start: float | np.ndarray,
    epsilon: float, exploring: bool, first: bool,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Averages of all returns so far, whichever policies they came from, and their numbers."""
    q = task.table(replications, start)
    counts = np.zeros(q.shape, dtype=np.int64)
    pairs = np.argwhere(task.mdp.available & ~task.terminal[:, None])
    for _ in range(episodes):
        states, actions = task.start(rng, replications), None
        if exploring:
            states, actions = pairs[rng.integers(len(pairs), size=replications)].T
        sampled = sample_episodes(task, epsilon_greedy(q, epsilon), states, horizon, rng, actions)
        sums, met = visit_sums(task, sampled, replications, first=first)
        counts += met
        q = np.where(met > 0, q + (sums - met * np.where(met > 0, q, 0.0)) / np.maximum(counts, 1), q)
    return q, counts
