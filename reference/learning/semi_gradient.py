r"""Semi-gradient methods with linear features, along trajectories (C8).

    w <- w + a (target - phi . w) phi,                                                                        (RL-20)

    TD(0)          r + gamma phi(s') . w                          Sarsa         r + gamma phi(s', a') . w
    Monte Carlo    the return from s, after its episode           Q-learning    r + gamma max_b phi(s', b) . w

where the target is taken as given, though it moves with w: "semi", and the gradient of nothing except for Monte Carlo.
With one-hot features and a constant step these are the tabular methods, number by number. Step sizes count updates of
the weights, not visits of an entry. Off-policy TD(0) weights each update by pi(a|s) / b(a|s): that corrects the action,
and not the law of the states, so that it may diverge (RL-21, `reference.learning.counterexamples`).

What the updates are on average, and where they stop: `reference.learning.linear`; exact moments of TD(0)'s weights:
`reference.learning.linear_moments`. Weights that leave the range of float64 go on as `inf` or `nan`: divergence is an
answer here.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64, Int

from reference.checks import check_policy
from reference.learning.features import check_features
from reference.learning.monte_carlo import returns_to_go, sample_episodes
from reference.learning.operators import best_next
from reference.learning.schedules import StepSizes
from reference.learning.task import Behaviour, Step, Task, bootstrapped, draw

__all__ = ["linear_monte_carlo", "linear_q_learning", "linear_sarsa", "linear_td"]


def linear_td(
    task: Task,
    policy: Float64[np.ndarray, "S A"],
    features: Float64[np.ndarray, "S D"],
    step_sizes: StepSizes,
    steps: int,
    replications: int,
    rng: np.random.Generator,
    start: float | np.ndarray = 0.0,
    behaviour: Float64[np.ndarray, "S A"] | None = None,
) -> Iterator[Step]:
    """TD(0) for the values of `policy`, while following it, or `behaviour` with importance weights (RL-20, RL-21).

    The tables of the steps are the weights `(R, D)`; they begin at `start`, a number or `(D,)`. `ValueError` if one of
    the policies is none, or if `behaviour` never takes an action that `policy` may take.
    """
    acting = policy if behaviour is None else behaviour
    for given in (policy, acting):
        check_policy(given, task.mdp.available)
    missing = np.argwhere((policy > 0.0) & (acting == 0.0) & ~task.terminal[:, None])
    if len(missing):
        raise ValueError(
            f"the behaviour never takes action {missing[0, 1]} in state {missing[0, 0]}, which the policy may take: "
            "expected a positive probability, or there is no importance weight."
        )
    check_features(features, task.mdp.n_states)
    weights = _weights(features, replications, start)
    states = task.start(rng, replications)
    for number in range(1, steps + 1):
        actions = draw(rng, acting[states])
        rewards, following = task.mdp.rewards[states, actions], task.step(rng, states, actions)
        ended, size = task.terminal[following], float(step_sizes(number))
        with np.errstate(over="ignore", invalid="ignore"):
            target = bootstrapped(rewards, task.discount, _dot(features[following], weights), ended)
            ratio = policy[states, actions] / acting[states, actions]
            _move(weights, features[states], size * ratio, target)
        yield _step(number, weights, states, actions, rewards, following, ended, size)
        states = task.go_on(rng, following)


def linear_monte_carlo(
    task: Task,
    policy: Float64[np.ndarray, "S A"],
    features: Float64[np.ndarray, "S D"],
    step_sizes: StepSizes,
    episodes: int,
    horizon: int,
    replications: int,
    rng: np.random.Generator,
    start: float | np.ndarray = 0.0,
    *,
    starts_only: bool = False,
) -> Iterator[Step]:
    """Gradient Monte Carlo: after each episode, every state it met moves towards its return, first ones first (C8).

    A `Step` is one update; replications whose episode was shorter wait, with step size 0. A true stochastic gradient:
    the returns do not move (RL-20). Episodes are cut after `horizon` steps, and the returns from there on are missing
    to every state that was met: where episodes do not end by themselves, ask for `starts_only`, which moves the first
    state alone, and pays `truncation_bias`.
    """
    check_policy(policy, task.mdp.available)
    check_features(features, task.mdp.n_states)
    weights = _weights(features, replications, start)
    policies = np.broadcast_to(policy, (replications, *policy.shape))
    counts, number = np.zeros(replications, dtype=np.int64), 0
    for _ in range(episodes):
        sampled = sample_episodes(task, policies, task.start(rng, replications), horizon, rng)
        returns = returns_to_go(task, sampled)
        for t in np.flatnonzero(sampled.alive.any(axis=1))[: 1 if starts_only else None]:
            alive, states = sampled.alive[t], sampled.states[t]
            counts, number = counts + alive, number + 1
            sizes = np.where(alive, step_sizes(np.maximum(counts, 1)), 0.0)
            with np.errstate(over="ignore", invalid="ignore"):
                _move(weights, features[states], sizes, returns[t])
            following = sampled.next_states[t]
            ended = alive & task.terminal[following]
            yield Step(number, weights, states, sampled.actions[t], sampled.rewards[t], following, ended, counts, sizes)


def linear_sarsa(
    task: Task,
    behaviour: Behaviour,
    features: Float64[np.ndarray, "SA D"],
    step_sizes: StepSizes,
    steps: int,
    replications: int,
    rng: np.random.Generator,
    start: float | np.ndarray = 0.0,
) -> Iterator[Step]:
    """Semi-gradient Sarsa (Sutton and Barto 2018, section 10.1), acting as `behaviour` says (C8).

    `features` are those of pairs, `s*A + a`. For `following(policy)` it stops at the projected fixed point of
    `sarsa_operator`; for `exploring(epsilon)` it need not converge, and may chatter among policies (Gordon 1996).
    """
    pairs = _pairs(task, features)
    weights = _weights(features, replications, start)
    rows = np.arange(replications)
    states = task.start(rng, replications)
    actions = draw(rng, behaviour(_settled(task, _rows(task, pairs, weights, states), states), states))
    for number in range(1, steps + 1):
        rewards, following = task.mdp.rewards[states, actions], task.step(rng, states, actions)
        ended, onward, size = task.terminal[following], task.go_on(rng, following), float(step_sizes(number))
        values = _rows(task, pairs, weights, onward)
        chosen = draw(rng, behaviour(_settled(task, values, onward), onward))
        with np.errstate(over="ignore", invalid="ignore"):
            # Where the episode has ended, `chosen` belongs to the next one, and the value read here is cut.
            target = bootstrapped(rewards, task.discount, values[rows, chosen], ended)
            _move(weights, pairs[states, actions], size, target)
        yield _step(number, weights, states, actions, rewards, following, ended, size)
        states, actions = onward, chosen


def linear_q_learning(
    task: Task,
    behaviour: Behaviour,
    features: Float64[np.ndarray, "SA D"],
    step_sizes: StepSizes,
    steps: int,
    replications: int,
    rng: np.random.Generator,
    start: float | np.ndarray = 0.0,
) -> Iterator[Step]:
    """Semi-gradient Q-learning on the data of `behaviour` (C8): what DQN is without its network, replay and target.

    `features` are those of pairs, `s*A + a`. The expected update is `expected_semi_gradient` of `q_operator`. It may
    have no fixed point, several, or one that it runs away from (RL-21).
    """
    pairs = _pairs(task, features)
    weights = _weights(features, replications, start)
    states = task.start(rng, replications)
    for number in range(1, steps + 1):
        actions = draw(rng, behaviour(_settled(task, _rows(task, pairs, weights, states), states), states))
        rewards, following = task.mdp.rewards[states, actions], task.step(rng, states, actions)
        ended, size = task.terminal[following], float(step_sizes(number))
        with np.errstate(over="ignore", invalid="ignore"):
            target = bootstrapped(rewards, task.discount, best_next(_rows(task, pairs, weights, following)), ended)
            _move(weights, pairs[states, actions], size, target)
        yield _step(number, weights, states, actions, rewards, following, ended, size)
        states = task.go_on(rng, following)


def _weights(features: np.ndarray, replications: int, start: float | np.ndarray) -> Float64[np.ndarray, "R D"]:
    """The first weights of every replication."""
    return np.tile(np.broadcast_to(np.asarray(start, dtype=np.float64), features.shape[1]), (replications, 1))


def _pairs(task: Task, features: np.ndarray) -> Float64[np.ndarray, "S A D"]:
    """Features of pairs by state and action, checked."""
    check_features(features, task.mdp.rewards.size)
    return features.reshape(*task.mdp.rewards.shape, -1)


def _dot(features: Float64[np.ndarray, "R D"], weights: Float64[np.ndarray, "R D"]) -> Float64[np.ndarray, " R"]:
    return np.einsum("rd,rd->r", features, weights)


def _rows(task: Task, pairs: np.ndarray, weights: np.ndarray, states: Int[np.ndarray, " R"]) -> np.ndarray:
    """Action values `(R, A)` of one state for each replication, `-inf` where unavailable."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.einsum("rad,rd->ra", pairs[states], weights)
    return np.where(task.mdp.available[states], values, -np.inf)


def _settled(task: Task, rows: Float64[np.ndarray, "R A"], states: Int[np.ndarray, " R"]) -> np.ndarray:
    """What a behaviour may look at: weights that have diverged give no order of the actions, and any will do."""
    return np.where(task.mdp.available[states], np.nan_to_num(rows, nan=0.0), -np.inf)


def _move(weights: np.ndarray, features: np.ndarray, sizes: float | np.ndarray, target: np.ndarray) -> None:
    """One semi-gradient step of every replication, in place."""
    moves = sizes * (target - _dot(features, weights))
    weights += moves[:, None] * features


def _step(number: int, weights: np.ndarray, states: np.ndarray, actions: np.ndarray, rewards: np.ndarray,
          following: np.ndarray, ended: np.ndarray, size: float) -> Step:  # fmt: skip
    counts, sizes = np.full(len(states), number), np.full(len(states), size)
    return Step(number, weights, states, actions, rewards, following, ended, counts, sizes)
