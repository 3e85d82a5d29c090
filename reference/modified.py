"""Modified policy iteration modulo constants: from value iteration (`n = 1`) to policy iteration (`n = infinity`).

Each step takes the policy that is greedy for `v` and applies its backup `n` times: the truncated policy iteration of
the notes (RL-09), Puterman and Shin's modified policy iteration (Puterman 1994, section 6.5). Backups move a constant
added to `v` by a constant, so every step works on the deviations of `v` from a common part, and is stopped on the span
of what a backup still changes, never on its norm (section 6.6): the common part, which dies out only as slowly as
`gamma**k`, is not iterated at all. It is `g / (1 - gamma)`, with `g` the midrange of the change (MacQueen 1966).

No stopping test here is trusted: it only says when to ask `reference.certify`, and its `q` drives the next step if the
answer is no.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from reference import certify
from reference.certify import Bounds
from reference.kernels import Kernels, Matrix, best_of, kernels
from reference.mdp import MDP, RowSums
from reference.solution import Status

_GOAL = 0.1  # how far to evaluate an unsettled policy: the span of the change relative to that of its improvement
_PATIENCE = 4  # an unsettled policy is evaluated for at most this many times the cost of improving it
_CAUTION = 0.7  # the share of the sweeps that the rate so far asks for before looking at the span again


class Run(NamedTuple):
    """Where an iteration ended: values `offset + deviation`, their bounds, and the `q - offset` behind these."""

    offset: float
    deviation: Float64[np.ndarray, " S"]
    bounds: Bounds
    local: Float64[np.ndarray, "S A"]
    status: Status
    iterations: int
    sweeps: int  # backups of one policy, on top of one full backup for each iteration

    @property
    def error(self) -> float:
        """The error bound of `offset + deviation` as one vector."""
        return certify.join(self.offset, self.deviation, self.bounds)[1]


def modified_policy_iteration(
    mdp: MDP,
    tolerance: float,
    max_iterations: int,
    n: int | None = None,
    start: Float64[np.ndarray, " S"] | None = None,
) -> Run:
    """Optimal values to a certified error of `tolerance`, or why not.

    With `n`, exactly `n` backups of each policy; without, as many as reduce the span of the change enough. `start` is
    the first `v`, a constant if not given.
    """
    discount, passes = mdp.discount, kernels(mdp.matrix)
    patience = _patience(mdp, n)
    to_bound = 0.5 * discount / (1.0 - discount)  # from the span of a change to the error after one more backup
    target = 0.5 * tolerance  # the other half is left to rounding
    sums = mdp.quick_row_sums
    reward = _Rewards(mdp, sums)
    if start is None:
        deviation, now = np.zeros(mdp.n_states), best_of(reward.at(0.0))  # the backup of a constant needs no sweep
    else:
        offset, deviation, _ = certify.split(start)
        now = passes.improve(mdp.matrix, reward.at(offset), discount, deviation)
    states = np.arange(mdp.n_states)
    held: tuple[Matrix, np.ndarray] | None = None  # the last policy evaluated: its rows and its actions
    total, milestone, since = 0, np.inf, 0
    for iteration in range(1, max_iterations + 1):
        low, high = _extremes(now.best - deviation)
        gain, span = 0.5 * low + 0.5 * high, high - low
        offset = gain / (1.0 - discount)
        radius = certify.lookahead_radius(mdp, deviation, offset, sums)
        if span <= 0.5 * milestone:
            milestone, since = span, iteration
        # The change was seen with the row sums acting on the common part before.
        noise, stays = span + reward.drift(offset), iteration - since
        last = noise <= radius or (noise <= 4.0 * radius and stays > 2) or stays > patience
        status = Status.ROUNDING_FLOOR if last else Status.MAX_ITERATIONS
        last = last or iteration == max_iterations
        negligible = 0.01 * (1.0 - discount) * target
        deviation = now.best - gain
        small = to_bound * span <= target
        if n != 1 and not (small or status is Status.ROUNDING_FLOOR):
            settled = held is not None and np.array_equal(held[1], now.action)
            if held is None or not settled:
                held = passes.select(mdp.matrix, now.action, mdp.n_actions, held), now.action
            chain, one = held[0], reward.at(offset, negligible)[states, now.action] - gain
            plan = _plan(mdp, n, settled, iteration, span, max(target / to_bound, 0.5 * radius))
            deviation, low, high, sweeps = _evaluate(passes, chain, one, discount, deviation, span, plan)
            total += sweeps
            small = to_bound * (high - low) <= target
            middle = sum(_extremes(deviation)) / 2.0
            deviation -= middle
            offset += middle + discount * (0.5 * low + 0.5 * high) / (1.0 - discount)
        if not (small or last):
            now = passes.improve(mdp.matrix, reward.at(offset, negligible), discount, deviation)
            continue
        run = Run(offset, deviation, *certify.optimality(mdp, deviation, offset, sums), status, iteration, total)
        if run.error <= tolerance:
            return run._replace(status=Status.CONVERGED)
        if iteration == max_iterations or (last and sums.exact):
            return recentred(mdp, run)
        if not sums.exact:  # it may have been the row sums: the iteration goes on with exact ones
            sums = mdp.row_sums
            reward, milestone, since = _Rewards(mdp, sums), np.inf, iteration
        now = best_of(run.local)
        now = now._replace(best=now.best + (1.0 - discount) * offset)
        low, high = _extremes(now.best - deviation)
        if to_bound * (high - low) <= target:  # it was rounding, not an action that is better still
            target *= 0.5
    raise AssertionError("the last iteration returns")


class _Rewards:
    """`r + gamma c delta`, `-inf` at unavailable pairs: what the common part `c` of `v` adds through row sums."""

    def __init__(self, mdp: MDP, sums: RowSums) -> None:
        self._mdp, self._sums, self._offset = mdp, sums, np.inf
        self._now = mdp.rewards

    def at(self, offset: float, negligible: float = 0.0) -> Float64[np.ndarray, "S A"]:
        """The rewards for a common part `offset`; those last given if they differ by no more than `negligible`."""
        mdp = self._mdp
        if not self.drift(offset) <= negligible:
            self._offset = offset
            self._now = (mdp.discount * offset) * self._sums.defects
            self._now += mdp.rewards
            if not mdp.all_available:
                self._now[~mdp.available] = -np.inf
        return self._now

    def drift(self, offset: float) -> float:
        """By how much those for `offset` differ at most from the ones last given."""
        return self._mdp.discount * self._sums.largest * abs(offset - self._offset)


def _patience(mdp: MDP, n: int | None) -> int:
    """In how many iterations exact steps halve the span of the change at the latest.

    A single backup shrinks it by `gamma rho`. With more of them it may grow on the way. But a constant, which changes
    no policy, makes `v <= T v`; from there the iteration is monotone and at least as fast as value iteration (Puterman
    1994, theorem 6.5.5), so that after `k` steps the change is at most `2 gamma**k / (1 - gamma)` times what it was.
    """
    factor = 2.0 if n == 1 else 4.0 / (1.0 - mdp.discount)
    return 2 + math.ceil(math.log(factor) / -_log_rate(mdp))


def _log_rate(mdp: MDP) -> float:
    """The logarithm of the largest `gamma rho`, below 0 by a margin that every MDP has (`checks.check_scale`)."""
    margin = (1.0 - mdp.discount) - mdp.discount * mdp.quick_row_sums.most
    return math.log1p(-margin) if margin < 1.0 else -math.inf


class _Plan(NamedTuple):
    """How long to evaluate one policy."""

    limit: int  # backups at most
    wanted: float  # the span of the change to reach,
    end: float  # or, if that takes no more than
    spare: float  # so many further backups, this one

    @property
    def first(self) -> int:
        """How many backups to start with."""
        return self.limit if self.wanted < 0.0 else 1


def _plan(mdp: MDP, n: int | None, settled: bool, iteration: int, span: float, end: float) -> _Plan:
    """Few backups for a policy that will change, all it takes for one that has stopped changing.

    What an evaluation may cost is measured by what the next improvement costs: about a backup for every action.
    """
    if n is not None:
        return _Plan(n - 1, -1.0, -1.0, 0.0)
    # In exact arithmetic the span shrinks by `gamma rho` each time: more than that takes would move rounding only.
    limit = 1 + math.ceil(max(0.0, math.log(end / span) / _log_rate(mdp)))
    if settled:
        return _Plan(limit, end, end, 0.0)
    spare = 0.0 if iteration == 1 else float(mdp.n_actions)
    return _Plan(min(limit, _PATIENCE * (mdp.n_actions + 2)), max(end, _GOAL * span), end, spare)


def _evaluate(
    passes: Kernels,
    chain: Matrix,
    rewards: Float64[np.ndarray, " S"],
    discount: float,
    deviation: Float64[np.ndarray, " S"],
    span: float,
    plan: _Plan,
) -> tuple[Float64[np.ndarray, " S"], float, float, int]:
    """Backups of one policy as planned, from values whose last change had this `span`.

    Returns the values, the least and the largest change of the last backup and how many there were. Looking at the
    change costs as much as a third of a backup, hence not every time.
    """
    done, steps, wanted = 0, plan.first, plan.wanted
    while True:
        deviation, low, high = passes.evaluate(chain, rewards, discount, deviation, steps)
        done += steps
        now = high - low
        if done >= plan.limit or now <= plan.end:
            return deviation, low, high, done
        speed = math.log(now / span) / steps  # of one backup; negative unless rounding is all that moves
        if now <= wanted:
            if not (speed < 0.0 and math.log(plan.end / now) >= plan.spare * speed):
                return deviation, low, high, done
            wanted = plan.end
        needed = math.log(wanted / now) / speed if speed < 0.0 else 1.0
        steps, span = min(plan.limit - done, max(1, int(_CAUTION * needed))), now


def _extremes(vector: Float64[np.ndarray, " S"]) -> tuple[float, float]:
    return float(vector.min()), float(vector.max())


def recentred(mdp: MDP, run: Run) -> Run:
    """`run`, or what it becomes when moved by the constant that halves its bound, whichever is certified better."""
    offset = run.offset + run.bounds.centre
    bounds, local = certify.optimality(mdp, run.deviation, offset)
    moved = run._replace(offset=offset, bounds=bounds, local=local)
    return min(run, moved, key=lambda candidate: candidate.bounds.error)
