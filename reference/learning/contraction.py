r"""A proven bound on the error of tabular learning, step by step, for what really happened.

Let the sampled target of an entry k be a random map x -> T^(x) with E T^(x*) = x* and, for the same sample,

    |T^(x) - T^(x*)| <= modulus * max |x - x*|  over the entries of the next state that the sample visits.          (1)

All of TD(0), Sarsa for a fixed policy or for the epsilon-greedy policy of its own table, Expected Sarsa and Q-learning
do this with modulus gamma (for Sarsa, exploring with the same coin for x and x*: neither branch expands). Write the
n-th target of k at the fixed point as x*(k) + W_n(k): independent draws of one law, whichever states the past led to.
Then by induction over the updates (as Wainwright 2019, arXiv:1905.06265, does for all entries at once)

    |x(k) - x*(k)| <= B(k) + |P_n(k)|,    P_n = (1 - a_n) P_{n-1} + a_n W_n,
    B'(k) = (1 - a_n) B(k) + a_n modulus max (B + |P|) over the entries of the next state.                          (2)

B follows the very transitions of the run, and P_n(k) is a sum of independent terms with known weights, so Bernstein's
inequality and a union over entries, counts and replications bound |P| for ever. Nothing is asymptotic, and behaviour
may be anything, adaptive included: convergence is what (2) shows when every entry keeps being visited (RL-18).

**Several steps.** The n-step target of the entry of time t is x*(k) plus sum_{i < n} gamma^i D_{t+i}, D_t the noise of
one step at the fixed point, and what it bootstraps from counts gamma^n. Windows overlap, so P_n(k) is no sum of
independent terms, but a martingale: D_t has a coefficient C_t that is known at time t, the sum of gamma^i times the
weight of the window begun i steps before. With G = sum_{i < n} gamma^i and Cauchy and Schwarz's inequality

    C_t^2 <= G sum_i gamma^i c_{t-i}^2,     sum_t C_t^2 <= G^2 sum c^2,     |C_t| <= G max |c|,                     (3)

whence Freedman's inequality (Annals of Probability 3, 1975) and Azuma's say of P what Bernstein's and Hoeffding's do
for n = 1, with G D in the place of W (`enveloped_windows`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from reference.learning.operators import target_variance, td_operator
from reference.learning.schedules import StepSizes, noise_weights
from reference.learning.task import Step, Task

__all__ = ["TargetNoise", "action_noise", "concentrated", "enveloped", "enveloped_windows", "state_noise"]


@dataclass(frozen=True, eq=False)
class TargetNoise:
    """The law of `W(k)`, as far as it is needed: `variance` and `width` (largest minus smallest), like the table."""

    variance: np.ndarray
    width: np.ndarray


def concentrated(
    noise: TargetNoise, squares: np.ndarray | float, largest: np.ndarray | float, failure: float
) -> np.ndarray:
    """How far `P_n` strays but with probability `failure`, both sides counted, for weights as in `noise_weights`.

    The smallest of three, `L = log(2 / failure)`: Bernstein's inequality solved for the distance,
    `b L / 3 + sqrt((b L / 3)^2 + 2 V L)` with `b = largest * width` and `V = squares * variance`; Hoeffding's,
    `width sqrt(squares L / 2)`; and the width itself, for `P_n` is a mean of the `W` and zero. Which is the smallest is
    no matter of chance, so the probability is not shared.
    """
    if not 0.0 < failure < 1.0:
        raise ValueError(f"failure is {failure!r}: expected a probability between 0 and 1.")
    logarithm = np.log(2.0 / failure)
    linear = noise.width * largest * logarithm / 3.0
    bernstein = linear + np.sqrt(linear**2 + 2.0 * noise.variance * squares * logarithm)
    hoeffding = noise.width * np.sqrt(0.5 * squares * logarithm)
    return np.minimum(np.minimum(bernstein, hoeffding), noise.width)


def state_noise(task: Task, policy: Float64[np.ndarray, "S A"], values: Float64[np.ndarray, " S"]) -> TargetNoise:
    """The noise of TD(0) at its fixed point: of the action as well as of the next state."""
    pay, rows = task.mdp.rewards, np.asarray(task.mdp.to_dense().transitions)
    targets = pay[:, :, None] + task.discount * np.where(task.terminal, 0.0, values)
    weights = policy[:, :, None] * rows
    mean = td_operator(task, policy)(values)
    live = ~task.terminal
    variance = (weights * (targets - mean[:, None, None]) ** 2).sum(axis=(1, 2)) * live
    return TargetNoise(variance, _width(targets.reshape(len(pay), -1), weights.reshape(len(pay), -1)) * live)


def action_noise(
    task: Task, q: Float64[np.ndarray, "S A"], policy: Float64[np.ndarray, "S A"] | None = None, *,
    drawn: bool = False,
) -> TargetNoise:  # fmt: skip
    """The noise of an action-value method at its fixed point `q`.

    Of Q-learning without `policy`, else of Expected Sarsa, or of Sarsa if the next action is `drawn`.
    """
    variance = target_variance(task, q, policy)[int(drawn)]
    rows = np.asarray(task.mdp.to_dense().transitions)
    if drawn and policy is not None:
        finite = np.where(policy > 0.0, q, 0.0) * ~task.terminal[:, None]
        targets = np.broadcast_to(finite.ravel(), (*q.shape, q.size))
        weights = np.einsum("sat,tb->satb", rows, policy).reshape(targets.shape)
    else:
        values = q.max(axis=1) if policy is None else (policy * np.where(policy > 0.0, q, 0.0)).sum(axis=1)
        targets, weights = np.broadcast_to(np.where(task.terminal, 0.0, values), rows.shape), rows
    live = task.mdp.available & ~task.terminal[:, None]  # an unavailable pair may have no successor at all
    width = task.discount * np.where(live, _width(targets, weights), 0.0)
    return TargetNoise(variance, width)


def enveloped(
    steps: Iterable[Step],
    task: Task,
    truth: np.ndarray,
    noise: TargetNoise,
    start: np.ndarray,
    step_sizes: StepSizes,
    updates: int,
    failure: float,
) -> Iterator[tuple[Step, np.ndarray]]:
    """Each step of a learner, with a bound on `|table - truth|` like its table (2).

    With probability at least `1 - failure` *all* bounds of all steps and replications hold, for the real numbers that
    the floats of the learner round.

    * `truth` `(S,)` or `(S, A)`: the fixed point; `noise`: the law of the target there; `start`: the first table.
    * `step_sizes`: those of the learner, at most 1; `updates`: how many of one entry there can be, that is, steps.

    Double Q-learning is recognised by its two tables. There (1) holds with three times the modulus, because the table
    that judges may err and the table that chooses errs twice: the bound shrinks where `3 gamma < 1` only.
    """
    if float(step_sizes(1)) > 1.0:
        raise ValueError(f"the first step size is {float(step_sizes(1))!r}: expected at most 1, or (2) does not hold.")
    known = np.isfinite(truth)
    with np.errstate(invalid="ignore"):  # -inf - -inf at unavailable pairs
        gap = np.where(known, np.abs(start - truth), 0.0)
    squares, largest = noise_weights(step_sizes, updates)
    share = failure / (gap.size * max(1, updates))
    radius = np.zeros_like(gap)
    rows = np.arange(len(gap))
    for step in steps:
        total = gap + radius
        following = total[(rows, step.next_states) if step.which is None else (rows, slice(None), step.next_states)]
        following = following.reshape(len(gap), 1 if step.which is None else 2, -1).max(axis=2)
        if step.which is None:
            entry, reach = (rows, step.states), following[:, 0]
        else:
            entry = (rows, step.which, step.states)
            reach = following[rows, 1 - step.which] + 2.0 * following[rows, step.which]
        place = (step.states, step.actions) if truth.ndim == 2 else (step.states,)
        entry = (*entry, step.actions) if truth.ndim == 2 else entry
        reach = task.discount * np.where(step.ended, 0.0, reach)
        gap[entry] = (1.0 - step.step_sizes) * gap[entry] + step.step_sizes * reach
        here = TargetNoise(noise.variance[place], noise.width[place])
        radius[entry] = concentrated(here, squares[step.counts], largest[step.counts], share)
        yield step, gap + radius


def enveloped_windows(
    steps: Iterable[Step],
    task: Task,
    truth: np.ndarray,
    noise: TargetNoise,
    start: np.ndarray,
    n: int,
    step_sizes: StepSizes,
    updates: int,
    failure: float,
) -> Iterator[tuple[Step, np.ndarray]]:
    """As `enveloped`, for `n_step_td` and, along a fixed policy, `n_step_sarsa` (3).

    `noise`: of one step, hence of the action as well: for Sarsa `action_noise(task, q, policy, drawn=True)`.
    """
    if float(step_sizes(1)) > 1.0:
        raise ValueError(f"the first step size is {float(step_sizes(1))!r}: expected at most 1, or (2) does not hold.")
    known = np.isfinite(truth)
    with np.errstate(invalid="ignore"):  # -inf - -inf at unavailable pairs
        gap = np.where(known, np.abs(start - truth), 0.0).reshape(len(start), -1)
    share, radius = failure / (gap.size * max(1, updates)), np.zeros_like(gap)
    reach = float((task.discount ** np.arange(n)).sum())
    window = TargetNoise(np.array(reach**2 * noise.variance.max()), np.array(reach * noise.width.max()))
    radii = concentrated(window, *noise_weights(step_sizes, updates), share)
    sizes, counts = step_sizes(np.arange(1, updates + 1)), np.zeros(gap.shape, dtype=np.int64)
    waiting: list[list[int]] = [[] for _ in gap]
    per_state = gap.shape[1] // len(task.terminal)
    for step in steps:
        entries = step.states if truth.ndim == 1 else step.states * truth.shape[1] + step.actions
        for row, (entry, onward, ended) in enumerate(zip(entries, step.next_states, step.ended, strict=True)):
            waiting[row].append(int(entry))
            if not ended and len(waiting[row]) < n:
                continue
            # Sarsa bootstraps from one of the pairs of the next state.
            following = slice(onward * per_state, (onward + 1) * per_state)
            total = 0.0 if ended else task.discount**n * float((gap[row, following] + radius[row, following]).max())
            for oldest in waiting[row][: None if ended else 1]:
                size = float(sizes[counts[row, oldest]])
                counts[row, oldest] += 1
                gap[row, oldest] = (1.0 - size) * gap[row, oldest] + size * total
                radius[row, oldest] = radii[counts[row, oldest]]
            del waiting[row][: None if ended else 1]
        yield step, (gap + radius).reshape(start.shape)


def _width(targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Largest minus smallest target of positive weight, along the last axis."""
    possible = weights > 0.0
    return np.where(possible, targets, -np.inf).max(axis=-1) - np.where(possible, targets, np.inf).min(axis=-1)
