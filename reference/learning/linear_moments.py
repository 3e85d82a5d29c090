r"""The exact mean and second moment of the weights of linear TD(0) and Sarsa, step by step, off-policy too (C8).

An update is a random affine map of the weights,

    w -> w + a g (r - h . w),        g = rho phi(s),     h = phi(s) - gamma phi(s') [s' not terminal],

so with x = (w, 1) and L = the map on x, the moments Y(s) = E x x^T 1{next update from s} follow

    Y'(t) = sum over the transitions s -> t of p L Y(s) L^T                                                    (1)

without any sampling or closure. If every update draws its state afresh from one law, there is one s: linear stochastic
approximation under independent draws. Along a trajectory s is the state of the process, and the noise is Markovian;
(1) holds all the same, and with it the mean need not obey the expected update A, c. For Sarsa g and h are features of
pairs, and s is the pair that is taken next (`pair_outcomes`).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int

from reference.checks import check_policy
from reference.learning.features import check_features, check_law
from reference.learning.schedules import StepSizes
from reference.learning.task import Task

__all__ = ["Outcomes", "independent_td", "pair_outcomes", "td_outcomes", "weight_moments"]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """All that one update of TD(0) may be: `N` transitions among `S` sources, which is 1 under independent draws.

    * `first` `(S,)`: the law of the first source; `sources`, `targets` `(N,)`: from which one to which one;
      `probabilities` `(N,)`: given the source.
    * `gradients` `(N, D)`: `g`; `differences` `(N, D)`: `h`; `rewards` `(N,)`.
    """

    first: Float64[np.ndarray, " S"]
    sources: Int[np.ndarray, " N"]
    targets: Int[np.ndarray, " N"]
    probabilities: Float64[np.ndarray, " N"]
    gradients: Float64[np.ndarray, "N D"]
    differences: Float64[np.ndarray, "N D"]
    rewards: Float64[np.ndarray, " N"]

    def maps(self, step_size: float) -> Float64[np.ndarray, "N E E"]:
        """`L` of each outcome, on `(w, 1)`."""
        count, width = self.gradients.shape
        maps = np.tile(np.eye(width + 1), (count, 1, 1))
        maps[:, :width, :width] -= step_size * self.gradients[:, :, None] * self.differences[:, None, :]
        maps[:, :width, width] = step_size * self.gradients * self.rewards[:, None]
        return maps


def td_outcomes(
    task: Task,
    policy: Float64[np.ndarray, "S A"],
    features: Float64[np.ndarray, "S D"],
    law: Float64[np.ndarray, " S"] | None = None,
    behaviour: Float64[np.ndarray, "S A"] | None = None,
) -> Outcomes:
    """The updates of `linear_td`, along a trajectory, or with the state drawn from `law` each time.

    With `behaviour`, its actions and importance weights. A law that is not of total one is scaled.
    """
    acting = policy if behaviour is None else behaviour
    for given in (policy, acting):
        check_policy(given, task.mdp.available)
    check_features(features, task.mdp.n_states)
    transitions = np.asarray(task.mdp.to_dense().transitions)
    begin = np.where(task.terminal, 0.0, task.mdp.initial)
    begin = begin / begin.sum()
    if law is not None:
        check_law(law, task.mdp.n_states)
        begin = law / law.sum()
    possible = (acting[:, :, None] * transitions > 0.0) & ~task.terminal[:, None, None]
    states, actions, following = np.nonzero(possible)
    chances = acting[states, actions] * transitions[states, actions, following]
    ended = task.terminal[following]
    if law is not None:
        first, sources, targets, chances = (
            np.ones(1),
            np.zeros_like(states),
            np.zeros_like(states),
            begin[states] * chances,
        )
        kept = np.arange(len(states))
    else:
        # An episode that ends begins anew: one outcome for each first state.
        fresh = np.flatnonzero(begin)
        kept = np.repeat(np.arange(len(states)), np.where(ended, len(fresh), 1))
        turn = np.arange(len(kept)) - np.repeat(np.flatnonzero(np.diff(kept, prepend=-1)), np.bincount(kept))
        again = fresh[np.minimum(turn, len(fresh) - 1)]
        targets = np.where(ended[kept], again, following[kept])
        chances = chances[kept] * np.where(ended[kept], begin[again], 1.0)
        first, sources = begin, states[kept]
    states, actions, following, ended = states[kept], actions[kept], following[kept], ended[kept]
    ratio = policy[states, actions] / acting[states, actions]
    differences = features[states] - task.discount * np.where(ended[:, None], 0.0, features[following])
    return Outcomes(
        first, sources, targets, chances, ratio[:, None] * features[states], differences,
        task.mdp.rewards[states, actions],
    )  # fmt: skip


def pair_outcomes(
    task: Task,
    behaviour: Float64[np.ndarray, "S A"],
    features: Float64[np.ndarray, "SA D"],
    target: Float64[np.ndarray, "S A"] | None = None,
) -> Outcomes:
    """The updates of `linear_sarsa` along a trajectory of a policy; sources are the pairs `s*A + a`.

    With a `target` policy the bootstrap is its expectation, as in Expected Sarsa: what `linear_q_learning` does while
    its greedy policy is `target`.
    """
    check_features(features, task.mdp.rewards.size)
    for given in (behaviour,) if target is None else (behaviour, target):
        check_policy(given, task.mdp.available)
    width, rows = task.mdp.n_actions, np.asarray(task.mdp.to_dense().transitions)
    begin = np.where(task.terminal, 0.0, task.mdp.initial)
    first = ((begin / begin.sum())[:, None] * behaviour).ravel()
    ended = task.terminal
    # After a pair: the state, and the pair taken there, or in a fresh start where the episode has ended.
    taken = np.where(ended[:, None], first, np.eye(len(ended)).repeat(width, axis=1) * behaviour.ravel())
    live = np.flatnonzero((task.mdp.available & (behaviour > 0.0) & ~ended[:, None]).ravel())
    chances = rows.reshape(-1, len(ended))[live][:, :, None] * taken
    place, following, targets = np.nonzero(chances)
    sources = live[place]
    onward = features[targets]
    if target is not None:
        means = np.einsum("sa,sad->sd", target, features.reshape(*target.shape, -1))
        onward = means[following]
    differences = features[sources] - task.discount * np.where(ended[following][:, None], 0.0, onward)
    return Outcomes(
        first, sources, targets, chances[place, following, targets], features[sources], differences,
        task.mdp.rewards.ravel()[sources],
    )  # fmt: skip


def weight_moments(
    outcomes: Outcomes, step_sizes: StepSizes, start: Float64[np.ndarray, " D"], steps: int
) -> tuple[Float64[np.ndarray, "K D"], Float64[np.ndarray, "K D D"]]:
    """`E w_k` and `E w_k w_k^T` after `k = 0 .. steps` updates, exactly up to rounding (1)."""
    width = len(start)
    begin = np.append(np.asarray(start, dtype=np.float64), 1.0)
    second = outcomes.first[:, None, None] * np.outer(begin, begin)
    totals = [second.sum(axis=0)]
    for size in step_sizes(np.arange(1, steps + 1)):
        maps = outcomes.maps(float(size))
        moved = outcomes.probabilities[:, None, None] * (maps @ second[outcomes.sources] @ maps.transpose(0, 2, 1))
        second = np.zeros_like(second)
        np.add.at(second, outcomes.targets, moved)
        totals.append(second.sum(axis=0))
    moments = np.array(totals)
    return moments[:, :width, width], moments[:, :width, :width]


def independent_td(
    outcomes: Outcomes,
    step_sizes: StepSizes,
    start: Float64[np.ndarray, " D"],
    steps: int,
    replications: int,
    rng: np.random.Generator,
) -> Float64[np.ndarray, "K R D"]:
    """The weights of TD(0) whose updates are independent draws of `outcomes`, `steps + 1` of them.

    `ValueError` unless the outcomes have one source: along trajectories, `linear_td` is the learner.
    """
    if len(outcomes.first) != 1:
        raise ValueError(f"the outcomes have {len(outcomes.first)} sources: expected 1. Give td_outcomes a law.")
    cumulative = np.cumsum(outcomes.probabilities)
    cumulative[-1] = np.inf
    iterates = np.empty((steps + 1, replications, len(start)))
    iterates[0] = start
    with np.errstate(over="ignore", invalid="ignore"):  # divergence is an answer (RL-21)
        for k, size in enumerate(step_sizes(np.arange(1, steps + 1))):
            drawn = np.searchsorted(cumulative, rng.random(replications), side="right")
            now = iterates[k]
            errors = outcomes.rewards[drawn] - np.einsum("rd,rd->r", outcomes.differences[drawn], now)
            iterates[k + 1] = now + (size * errors)[:, None] * outcomes.gradients[drawn]
    return iterates
