"""Exact answers: rational optimal values, proved optimal by comparing integers; values and occupancies of policies.

Optimal values are found by policy iteration (RL-08) that floats guide: the policy that float64 finds is evaluated by
one exact linear solve, and then *all* `S*A` optimality inequalities `q(s, a) <= v(s)` are decided. Float64 with its
rounding bound decides those that hold by more than rounding; the rest, ties among them, are compared as integers.
Where one is violated the policy is improved and the solve repeated; exact policy iteration ends (Howard 1960).
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float64
from scipy import sparse
from scipy.sparse import linalg as sparse_linalg

from reference import certify as bounds
from reference.checks import check_policy
from reference.mdp import MDP
from reference.rational import RationalMDP, Row, float_integers, nearest_floats, pair_row, pair_rows, solve_integers
from reference.rounding import UNIT_ROUNDOFF, outward

__all__ = ["ExactSolution", "ExactValues", "evaluate_policy_exactly", "occupancy_measure_exactly", "solve_exactly"]

RATIONAL_STATES = 1000
"""States up to which processes of small rationals are solved without being asked twice: seconds."""
FLOAT_STATES = 400
"""The same for float64 data, whose 53 bits per number make the integers of a solution about six times as long."""


@dataclass(frozen=True, eq=False, repr=False)
class ExactValues:
    """Rational values `numerators[s] / denominator`, `denominator > 0`, of all states."""

    numerators: tuple[int, ...]
    denominator: int

    @cached_property
    def values(self) -> tuple[Fraction, ...]:
        """The values in lowest terms."""
        return tuple(Fraction(numerator, self.denominator) for numerator in self.numerators)

    @cached_property
    def nearest(self) -> Float64[np.ndarray, " S"]:
        """The values, correctly rounded to float64."""
        return np.array([numerator / self.denominator for numerator in self.numerators])

    def error(self, values: Float64[np.ndarray, " S"]) -> Fraction:
        """`max |values - exact values|`, exactly."""
        digits, power = float_integers(values)
        gaps = [abs(x * self.denominator - y * power) for x, y in zip(digits, self.numerators, strict=True)]
        return Fraction(max(gaps), self.denominator * power)


@dataclass(frozen=True, eq=False, repr=False)
class ExactSolution(ExactValues):
    """The rational optimum of a decision process.

    * `policy` `(S, A)`: a deterministic policy whose exact values these are.
    * `optimal` `(S, A)`: *every* action that attains the optimum. More than one in a row is an exact tie.
    * `solves`: how many exact linear solves it took; one means that the policy of the floats was optimal.
    """

    policy: Float64[np.ndarray, "S A"]
    optimal: Bool[np.ndarray, "S A"]
    solves: int

    def __repr__(self) -> str:
        states, actions = self.optimal.shape
        tied = int((self.optimal.sum(axis=1) > 1).sum())
        return (
            f"ExactSolution({states} states, {actions} actions, {tied} with ties, denominator of "
            f"{self.denominator.bit_length()} bits, {self.solves} exact solves)"
        )


def solve_exactly(
    process: MDP | RationalMDP, start: Float64[np.ndarray, "S A"] | None = None, limit: int | None = None
) -> ExactSolution:
    """The rational optimal values of `process`, proved optimal, and every optimal action (RL-05, RL-08).

    * `process`: an `MDP` stands for its floats, exactly; a `RationalMDP` for its fractions.
    * `start` `(S, A)`: policy to start from (its likeliest actions); if not given, where policy iteration in float64
      stops.
    * `limit`: states up to which to try, 1000 for rational data and 400 for floats if not given (seconds; time grows
      like `S^3` and a little more).

    Needs python-flint above 60 states. ValueError above `limit`; ModuleNotFoundError, with the pip line, without it.
    """
    check_size(process, limit)
    if start is None:
        chosen = _guess(nearest_floats(process))
    else:
        chosen = np.where(process.available, start, -1.0).argmax(axis=1)
    solves = 0
    while True:
        found = _chosen_values(process, chosen)
        solves += 1
        improved, optimal = _compare(process, found, chosen)
        if np.array_equal(improved, chosen):
            policy = np.zeros(process.available.shape)
            policy[np.arange(process.n_states), chosen] = 1.0
            return ExactSolution(found.numerators, found.denominator, policy, optimal, solves)
        chosen = improved


def evaluate_policy_exactly(
    process: MDP | RationalMDP, policy: Float64[np.ndarray, "S A"], limit: int | None = None
) -> ExactValues:
    """The rational values of `policy`, whose floats are taken exactly (RL-02, RL-03). Sizes as in `solve_exactly`.

    ValueError if `policy` is none of this process.
    """
    check_policy(policy, process.available)
    check_size(process, limit)
    return _policy_values(process, policy)


def occupancy_measure_exactly(
    process: MDP | RationalMDP, policy: Float64[np.ndarray, "S A"], limit: int | None = None
) -> tuple[tuple[Fraction, ...], ...]:
    """The rational discounted occupancy `(S, A)` of `policy`, whose floats are taken exactly (OCC-01, OCC-02).

    `rho = (1 - gamma) mu0 + gamma P_pi^T rho`, `d = rho pi`. Sizes as in `solve_exactly`. ValueError if `policy`
    is none of this process.
    """
    check_policy(policy, process.available)
    check_size(process, limit)
    rows, scales, _ = _system(process, policy)
    start = [(1 - Fraction(process.discount)) * Fraction(mass) for mass in process.initial]
    common = math.lcm(*(mass.denominator for mass in start))
    # The rows are those of diag(scales) (I - gamma P_pi); transposed, they act on rho / scales.
    transposed = [list(column) for column in zip(*rows, strict=True)]
    numerators, denominator = solve_integers(transposed, [int(mass * common) for mass in start])
    states = [Fraction(n * scale, denominator * common) for n, scale in zip(numerators, scales, strict=True)]
    return tuple(
        tuple(mass * Fraction(float(p)) for p in row) for mass, row in zip(states, policy, strict=True)
    )  # fmt: skip


def check_size(process: MDP | RationalMDP, limit: int | None) -> None:
    """ValueError if `process` has more states than `limit`, or than take seconds where none is given."""
    usual = FLOAT_STATES if isinstance(process, MDP) else RATIONAL_STATES
    allowed = usual if limit is None else limit
    if process.n_states > allowed:
        kind = "float64" if isinstance(process, MDP) else "rational"
        raise ValueError(
            f"an exact solve of {process.n_states} states with {kind} data: expected at most {allowed}. The integers "
            f"of a solution grow with the number of states, and time like its cube: {usual} take seconds. Pass "
            f"limit={process.n_states} if you can wait, or use certify(mdp, solution), whose float64 bound is "
            "rigorous at any size."
        )


def _guess(mdp: MDP) -> np.ndarray:
    """The actions at which Howard's improvements in plain float64 stop: `(S,)`.

    A state keeps its action unless another gains more than a rounded backup can. Nothing rests on what comes out but
    the number of exact solves.
    """
    states = np.arange(mdp.n_states)
    chosen = np.where(mdp.available, mdp.rewards, -np.inf).argmax(axis=1)
    seen: set[bytes] = set()
    while chosen.tobytes() not in seen:
        seen.add(chosen.tobytes())
        chain, rewards = mdp.matrix[states * mdp.n_actions + chosen], mdp.rewards[states, chosen]
        try:
            if isinstance(chain, np.ndarray):
                values = np.linalg.solve(np.eye(mdp.n_states) - mdp.discount * chain, rewards)
            else:
                values = sparse_linalg.splu((sparse.eye_array(mdp.n_states) - mdp.discount * chain).tocsc()).solve(
                    rewards
                )
        except (np.linalg.LinAlgError, RuntimeError):  # singular to float64, with a discount of almost one
            break
        offset, deviation, _ = bounds.split(values)
        local = bounds.lookahead(mdp, deviation, offset)
        noise = 2.0 * bounds.lookahead_radius(mdp, deviation, offset)
        best = local.argmax(axis=1)
        chosen = np.where(local[states, best] - local[states, chosen] > noise, best, chosen)
    return chosen


def _system(
    process: MDP | RationalMDP, policy: Float64[np.ndarray, "S A"]
) -> tuple[list[list[int]], list[int], list[Fraction]]:
    """Integer rows `scale(s) (I - gamma P_pi)(s, .)`, the scales, and `r_pi`."""
    discount = Fraction(process.discount)
    matrix, scales, rewards = [], [], []
    for state in range(process.n_states):
        taken = [(int(a), Fraction(float(policy[state, a]))) for a in np.flatnonzero(policy[state])]
        rows = pair_rows(process, [state * process.n_actions + action for action, _ in taken])
        shares = [weight / row.denominator for (_, weight), row in zip(taken, rows, strict=True)]
        common = math.lcm(*(share.denominator for share in shares))
        line = [0] * process.n_states
        for share, row in zip(shares, rows, strict=True):
            factor = -discount.numerator * share.numerator * (common // share.denominator)
            for target, numerator in zip(row.columns, row.numerators, strict=True):
                line[target] += factor * numerator
        line[state] += discount.denominator * common
        matrix.append(line)
        scales.append(discount.denominator * common)
        rewards.append(sum((w * Fraction(process.rewards[state, a]) for a, w in taken), start=Fraction(0)))
    return matrix, scales, rewards


def _policy_values(process: MDP | RationalMDP, policy: Float64[np.ndarray, "S A"]) -> ExactValues:
    return _values(*_system(process, policy))


def _chosen_values(process: MDP | RationalMDP, chosen: np.ndarray) -> ExactValues:
    """The values of the policy that takes action `chosen[s]` in `s`: no sums, so no fractions but the rewards."""
    discount = Fraction(process.discount)
    states = range(process.n_states)
    rows = pair_rows(process, [state * process.n_actions + action for state, action in enumerate(chosen.tolist())])
    matrix, scales = [], []
    for state, row in zip(states, rows, strict=True):
        line, scale = [0] * process.n_states, discount.denominator * row.denominator
        for target, numerator in zip(row.columns, row.numerators, strict=True):
            line[target] = -discount.numerator * numerator
        line[state] += scale
        matrix.append(line)
        scales.append(scale)
    return _values(matrix, scales, [Fraction(reward) for reward in process.rewards[states, chosen].tolist()])


def _values(matrix: list[list[int]], scales: list[int], rewards: list[Fraction]) -> ExactValues:
    """The solution of `matrix v = scales rewards`."""
    common = math.lcm(*(reward.denominator for reward in rewards))
    right = [
        scale * reward.numerator * (common // reward.denominator) for scale, reward in zip(scales, rewards, strict=True)
    ]
    numerators, denominator = solve_integers(matrix, right)
    return ExactValues(tuple(numerators), denominator * common)


def _compare(
    process: MDP | RationalMDP, found: ExactValues, chosen: np.ndarray
) -> tuple[np.ndarray, Bool[np.ndarray, "S A"]]:
    """The best action of every state for `found` (the chosen one where none is better), and all that tie with it.

    Every available pair is decided, by floats or by integers.
    """
    open_pairs = _undecided(process, found)
    improved, optimal = chosen.copy(), np.zeros_like(open_pairs)
    optimal[np.arange(len(chosen)), chosen] = True
    best = [(0, 1)] * len(chosen)  # the largest gain q(s, a) - v(s), times the denominator, as a fraction
    for state, action in np.argwhere(open_pairs).tolist():
        if action == chosen[state]:
            continue
        gain, scale = _gain(process, found, state, action)
        difference = gain * best[state][1] - best[state][0] * scale
        if difference > 0:
            improved[state], best[state] = action, (gain, scale)
            optimal[state] = False
        optimal[state, action] |= difference >= 0
    return improved, optimal


def _gain(process: MDP | RationalMDP, found: ExactValues, state: int, action: int) -> tuple[int, int]:
    """`(q(s, a) - v(s)) * found.denominator` as an integer over a positive one."""
    row: Row = pair_row(process, state * process.n_actions + action)
    discount, reward = Fraction(process.discount), Fraction(process.rewards[state, action])
    expected = sum(n * found.numerators[t] for t, n in zip(row.columns, row.numerators, strict=True))
    scale = discount.denominator * row.denominator
    inner = discount.numerator * expected - scale * found.numerators[state]
    return reward.numerator * scale * found.denominator + reward.denominator * inner, reward.denominator * scale


def _undecided(process: MDP | RationalMDP, found: ExactValues) -> Bool[np.ndarray, "S A"]:
    """The available pairs for which float64 cannot prove `q(s, a) < v(s)`.

    With `c` the midrange of the values and `w` their deviations, correctly rounded: the rounding bound of a centred
    backup, `u |w|` for `w` itself and `gamma` times that inside the backup, and for rational data `u` for each of `r`,
    `gamma` and `P`.
    """
    floats = nearest_floats(process)
    offset, deviation, _ = bounds.split(found.nearest)
    top, bottom = float(offset).as_integer_ratio()
    exact = [n * bottom - top * found.denominator for n in found.numerators]
    deviation = np.array([n / (found.denominator * bottom) for n in exact])
    size = float(np.abs(deviation).max())
    slack = bounds.lookahead_radius(floats, deviation, offset) + 4.0 * UNIT_ROUNDOFF * size + 2.0**-1070
    if isinstance(process, RationalMDP):
        slack += UNIT_ROUNDOFF * (floats.largest_reward + 4.0 * (abs(offset) + size))
    local = bounds.lookahead(floats, deviation, offset)
    return process.available & ~(local + outward(slack) < deviation[:, None])
