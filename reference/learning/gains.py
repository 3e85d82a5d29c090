r"""What sampled policy gradients are bound to gain, step by step along a run (C9, C10).

A softmax policy of parameters theta has, for every reward R_t that the first t + 1 actions decide, S_t the sum of the
scores of these actions and u a direction,

    u^T Hess E R_t u = E R_t ((u . S_t)^2 - sum_{j <= t} Var_pi(u . phi(S_j, .)))                                   (1)

(as in Yuan, Gower and Lazaric 2022, arXiv:2107.11433, lemma 4.4). The bracket has mean zero, so half the range of R
counts; scores are martingale differences, so E (u . S_t)^2 is the mean of the same sum; and a number in an interval has
a variance of a quarter of its squared length at most. With d the longest difference of two features of one state,

    J = E sum_t gamma^t R_t   is L-smooth,   L = (d^2 / 4) (max R - min R) sum_t gamma^t (t + 1)                    (2)

which is (max R - min R) / (2 (1 - gamma)^2) for a table. So whatever a learner does to theta,

    |J(theta') - J(theta) - grad J . (theta' - theta)| <= (L / 2) |theta' - theta|^2.                               (3)

Summed over a run, what grad J . (theta' - theta) exceeds its conditional mean by is a martingale S_n, whose increments
have known conditional variances V and widths b. For every fixed x > 0, exp(x S_n - sum V (exp(x b) - 1 - x b) / b^2) is
a supermartingale (Freedman 1975), so that by Ville's inequality |S_n| stays for ever below

    min_x (log(2 K / failure) + sum V (exp(x b) - 1 - x b) / b^2) / x                                               (4)

over K fixed numbers x but with probability `failure`. Together: the objective gains what its exact expected updates
promise, less (L / 2) sum |theta' - theta|^2 and (4). As it cannot exceed J*, the expected updates must die out: for
REINFORCE, whose conditional means are a |grad J|^2, this is the rate of Ghadimi and Lan (SIAM J. Optimization 23,
2013). And by the performance difference, with exact visits rho, rho* of the policy and of an optimal one a*(s),

    J* - J = sum_s rho*(s) A(s, a*(s)) <= max_s (rho* / (rho pi(a*))) sqrt(S) |grad J|                              (5)

(Mei et al. 2020, arXiv:2005.06392, lemma 8): a stationary point of a policy that tries everything is the optimum.

Of the actor-critic methods (`reference.learning.actor_critic`) the step in state s moves its row alone. Its mean given
the past is exact here for whatever the critic says at that time, right or wrong.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from reference.bellman import boltzmann
from reference.learning.actor_critic import ActorStep
from reference.learning.baselines import q_values
from reference.learning.operators import optimal_values
from reference.learning.reinforce import Baseline, Update
from reference.learning.softmax import Softmax
from reference.learning.task import Step, Task

__all__ = ["Gain", "Prospects", "actor_gains", "domination_constant", "martingale_bound", "prospects",
           "reinforce_gains", "smoothness"]  # fmt: skip

_TILTS = 2.0 ** np.arange(-30.0, 31.0)  # the numbers x of (4)


class Gain(NamedTuple):
    """One step of `R` learners, seen from the exact objective; everything is `(R,)`.

    * `before`, `after`: J; `realised`: `grad J . (theta' - theta)`; `expected`: its mean given the past.
    * `variance`, `width`: of `realised` given the past, largest minus smallest; `moved`: `|theta' - theta|^2`.
    """

    before: Float64[np.ndarray, " R"]
    after: Float64[np.ndarray, " R"]
    realised: Float64[np.ndarray, " R"]
    expected: Float64[np.ndarray, " R"]
    variance: Float64[np.ndarray, " R"]
    width: Float64[np.ndarray, " R"]
    moved: Float64[np.ndarray, " R"]


class Prospects(NamedTuple):
    """Of many policies at once: `objective` `(R,)`, discounted `visits` `(R, S)`, `advantages` `(R, S, A)`."""

    objective: Float64[np.ndarray, " R"]
    visits: Float64[np.ndarray, "R S"]
    advantages: Float64[np.ndarray, "R S A"]


def prospects(task: Task, probabilities: Float64[np.ndarray, "R S A"]) -> Prospects:
    """Values from the first states of the task, by plain solves without a bound; `grad J = visits pi advantages`."""
    live = ~task.terminal
    starts = np.where(live, task.mdp.initial, 0.0)
    q = q_values(task, probabilities)
    values = (probabilities * q).sum(axis=2)
    rows = np.asarray(task.mdp.to_dense().transitions) * live
    chains = task.discount * np.einsum("rsa,sat->rts", probabilities * live[:, None], rows)
    begin = np.broadcast_to(starts / starts.sum(), values.shape)
    visits = np.linalg.solve(np.eye(len(live)) - chains, begin[:, :, None])[:, :, 0]
    return Prospects(values @ begin[0], visits, (q - values[:, :, None]) * (task.mdp.available & live[:, None]))


def smoothness(task: Task, policy: Softmax, horizon: int | None = None) -> float:
    """L of (2), of the value of the return or of that cut after `horizon` rewards.

    `ValueError` without a discount and without a horizon.
    """
    if horizon is None and task.discount == 1.0:
        raise ValueError("discount is 1: expected a discount below 1, or a horizon, or (2) is infinite.")
    paid = task.mdp.rewards[task.mdp.available & ~task.terminal[:, None]]
    span = float(np.ptp(np.append(paid, 0.0) if task.terminal.any() else paid))
    pairs = policy.features[:, :, None] - policy.features[:, None]
    known = policy.available[:, :, None] & policy.available[:, None]
    longest = float(((pairs**2).sum(axis=3) * known).max())
    if horizon is None:
        return 0.25 * longest * span / (1.0 - task.discount) ** 2
    return 0.25 * longest * span * float(np.sum(task.discount ** np.arange(horizon) * np.arange(1, horizon + 1)))


def domination_constant(task: Task, probabilities: Float64[np.ndarray, "R S A"]) -> Float64[np.ndarray, " R"]:
    """`C` of (5), `J* - J <= C |grad J|` for a table of logits, up to rounding; infinite if a state is never met.

    `ValueError` for a task without a discount.
    """
    q = optimal_values(task).q
    best = np.eye(q.shape[1])[np.where(task.terminal, 0, q.argmax(axis=1))]
    there = prospects(task, best[None]).visits[0]
    here = prospects(task, probabilities).visits * (probabilities * best).sum(axis=2)
    counted = there > 0.0
    with np.errstate(divide="ignore"):
        return np.sqrt(counted.sum()) * (there[counted] / here[:, counted]).max(axis=1)


def martingale_bound(
    variances: Float64[np.ndarray, "K R"], widths: Float64[np.ndarray, "K R"], failure: float
) -> Float64[np.ndarray, " K"]:
    """(4) after each of `K` steps, for the sum over steps and replications; all hold with probability `1 - failure`.

    `variances`, `widths`: of the increments given the past, `Gain`'s. `ValueError` unless `0 < failure < 1`.
    """
    if not 0.0 < failure < 1.0:
        raise ValueError(f"failure is {failure!r}: expected a probability between 0 and 1.")
    logarithm, bound = np.log(2.0 * len(_TILTS) / failure), np.full(len(variances), np.inf)
    for tilt in _TILTS.tolist():
        x = tilt * widths
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            # For small x the quotient is at most (1 + x) / 2, and there its formula would cancel.
            rate = np.where(x < 2.0**-12, 0.5 * (1.0 + x), (np.expm1(x) - x) / x**2)
            spent = np.where(variances > 0.0, tilt**2 * variances * rate, 0.0)
            bound = np.fmin(bound, (logarithm + np.cumsum(spent.sum(axis=1))) / tilt)
    return bound


def reinforce_gains(
    updates: Iterable[Update],
    task: Task,
    policy: Softmax,
    start: float | np.ndarray,
    horizon: int,
    *,
    baseline: Baseline | None = None,
    factor: bool = True,
) -> Iterator[Gain]:
    """Of `reinforce` with the same arguments; J is the value of the return cut after `horizon` rewards."""
    first = np.broadcast_to(np.asarray(start, dtype=np.float64), (policy.dimension,))
    theta, objective, gradient = None, np.zeros(0), np.zeros((0, 0))
    for update in updates:
        if theta is None:
            theta = np.tile(first, (len(update.theta), 1))
            objective, gradient = _cut(task, policy, theta, horizon)
        b = np.zeros((len(theta), task.mdp.n_states)) if baseline is None else baseline(task, policy, theta)
        mean, variance, width = _along(task, policy, theta, gradient, horizon, b, factor)
        change, size = update.theta - theta, update.step_size
        before, slope = objective, gradient
        theta = update.theta.copy()
        objective, gradient = _cut(task, policy, theta, horizon)
        yield Gain(before, objective, (slope * change).sum(axis=1), size * mean, size**2 * variance, size * width,
                   (change**2).sum(axis=1))  # fmt: skip


def _cut(task: Task, policy: Softmax, theta: np.ndarray, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """The value of the cut return, and its gradient, of many parameters."""
    live, rows = ~task.terminal, np.asarray(task.mdp.to_dense().transitions)
    taken = policy.probabilities(theta) * live[:, None]
    scores = policy.scores(theta)
    value, slope = np.zeros((len(theta), len(live))), np.zeros((len(theta), len(live), policy.dimension))
    for _ in range(horizon):
        q = task.mdp.rewards + task.discount * np.einsum("sat,rt->rsa", rows, value)
        slope = np.einsum("rsa,rsad->rsd", taken * q, scores) + task.discount * np.einsum(
            "rsa,sat,rtd->rsd", taken, rows, slope)  # fmt: skip
        value = (taken * q).sum(axis=2)
    starts = np.where(live, task.mdp.initial, 0.0)
    starts = starts / starts.sum()
    return value @ starts, np.einsum("s,rsd->rd", starts, slope)


def _along(
    task: Task, policy: Softmax, theta: np.ndarray, direction: np.ndarray, horizon: int, b: np.ndarray, factor: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, variance and width of REINFORCE's estimate along a direction: `gradient_moments`, of many parameters."""
    live, discount = ~task.terminal, task.discount
    carry = discount if factor else 1.0
    rows = np.asarray(task.mdp.to_dense().transitions)
    law = (policy.probabilities(theta) * live[:, None])[..., None] * rows
    chain = law.sum(axis=2)
    x = np.einsum("rsad,rd->rsa", policy.scores(theta), direction) * live[:, None]
    value, estimate, v, k, c = (np.zeros((len(theta), len(live))) for _ in range(5))
    for _ in range(horizon):
        returns = task.mdp.rewards[:, :, None] + discount * value[:, None, None, :]
        estimates = x[..., None] * (returns - b[:, :, None, None]) + carry * estimate[:, None, None, :]
        value, estimate = (law * returns).sum(axis=(2, 3)), (law * estimates).sum(axis=(2, 3))
        spread, apart = returns - value[:, :, None, None], estimates - estimate[:, :, None, None]
        left = discount * x[..., None] * (discount * x[..., None] * v[:, None, None] + 2.0 * carry * k[:, None, None])
        c = (law * (apart**2 + left)).sum(axis=(2, 3)) + carry**2 * np.einsum("rst,rt->rs", chain, c)
        k = (law * (spread * apart + discount**2 * x[..., None] * v[:, None, None])).sum(axis=(2, 3)) + (
            discount * carry * np.einsum("rst,rt->rs", chain, k))  # fmt: skip
        v = (law * spread**2).sum(axis=(2, 3)) + discount**2 * np.einsum("rst,rt->rs", chain, v)
    starts = np.where(live, task.mdp.initial, 0.0)
    starts = starts / starts.sum()
    mean, reach, width, weight = estimate @ starts, 0.0, np.zeros(len(theta)), 1.0
    returned = [reach := task.mdp.largest_reward + discount * reach for _ in range(horizon)]
    for most in reversed(returned):
        width += 2.0 * weight * np.abs(x).max(axis=(1, 2)) * (most + np.abs(b).max(axis=1))
        weight *= carry
    return mean, c @ starts + (estimate - mean[:, None]) ** 2 @ starts, width


def actor_gains(
    steps: Iterable[ActorStep],
    task: Task,
    logits: float | np.ndarray,
    start: float | np.ndarray,
    behaviour: Float64[np.ndarray, "S A"] | None = None,
) -> Iterator[Gain]:
    """Of `qac`, `a2c` or (with its `behaviour`) `off_policy_a2c`, begun at the tables `logits` and `start`.

    `expected` is of the critic as it stands. QAC draws an action before the update that precedes it, and that update
    may change the critic in the pair just drawn: given the past before the draw, both are accounted for.
    """
    last: Step | None = None
    theta = table = policy = acting = np.zeros(0)
    overwritten = np.zeros(0)  # what the last update of the critic found in its entry
    found = Prospects(*(np.zeros(0) for _ in range(3)))
    transitions = np.asarray(task.mdp.to_dense().transitions)
    for step in steps:
        critic, size = step.critic, step.actor_step_size
        rows, states = np.arange(len(critic.states)), critic.states
        pairs, available = critic.table.ndim == 3, task.mdp.available[states]
        if last is None:
            theta, still = task.table(len(rows), logits), np.where(task.terminal, 0.0, 0.0 if pairs else start)
            table = task.table(len(rows), start) if pairs else np.tile(still, (len(rows), 1))
            policy = acting = _policies(theta)
            found = prospects(task, policy)
        here = policy[rows, states]
        slope = found.visits[rows, states][:, None] * here * found.advantages[rows, states]
        # grad J . score(a), the scores of a row being 1[a = b] - pi(b).
        along = slope - (here * slope).sum(axis=1, keepdims=True)
        if pairs:
            chances = acting[rows, states][:, :, None]
            signal = np.where(available, table[rows, states], 0.0)
            if last is not None:
                again = np.flatnonzero((last.states == states) & ~last.ended)
                value, share = overwritten[again], last.step_sizes[again]
                # Had the same action been drawn again, the critic would have bootstrapped from it.
                target = last.rewards[again] + task.discount * value
                signal[again, last.actions[again]] = value + share * (target - value)
            moves = (signal * along)[:, :, None]
        else:
            taken = here if behaviour is None else behaviour[states]
            ratios = np.divide(here, taken, out=np.zeros_like(here), where=taken > 0.0)
            chances = taken[:, :, None] * transitions[states]
            onward = np.where(task.terminal, 0.0, table)[:, None]
            errors = task.mdp.rewards[states][:, :, None] + task.discount * onward - table[rows, states][:, None, None]
            moves = (ratios * along)[:, :, None] * errors
        mean = (chances * moves).sum(axis=(1, 2))
        variance = (chances * (moves - mean[:, None, None]) ** 2).sum(axis=(1, 2))
        possible = np.broadcast_to(chances, moves.shape) > 0.0
        width = np.where(possible, moves, -np.inf).max(axis=(1, 2)) - np.where(possible, moves, np.inf).min(axis=(1, 2))
        change = np.zeros_like(here)
        change[available] = step.logits[rows, states][available] - theta[rows, states][available]
        entry = (rows, states, critic.actions) if pairs else (rows, states)
        overwritten, acting, last = table[entry].copy(), policy, critic
        theta, table = step.logits.copy(), critic.table.copy()
        policy, objective = _policies(theta), found.objective
        found = prospects(task, policy)
        yield Gain(objective, found.objective, (slope * change).sum(axis=1), size * mean, size**2 * variance,
                   size * width, (change**2).sum(axis=1))  # fmt: skip


def _policies(logits: Float64[np.ndarray, "R S A"]) -> Float64[np.ndarray, "R S A"]:
    return boltzmann(logits.reshape(-1, logits.shape[2]), 1.0).reshape(logits.shape)
