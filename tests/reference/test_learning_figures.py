"""Figures 4.3, 6.2, 7.2 and 11.2 of Sutton and Barto (2018) and their cliff: the exact quantities behind what is drawn.

The book prints curves, not tables. What is read from them is said beside each test, and kept to what a curve shows.
"""

from __future__ import annotations

from decimal import Context, Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
import tolerances_learning
import tolerances_linear
from tolerances import FALSE_ALARM

from reference.learning import (
    baird,
    cliff_walking,
    constant,
    epsilon_greedy,
    epsilon_soft_optimum,
    gambler,
    linear_td,
    on_policy_law,
    optimal_values,
    policy_values,
    random_walk,
    sample_episodes,
    smallest_stakes,
    spectral_radius,
    td_error_moments,
    td_operator,
    td_outcomes,
    td_system,
    undiscounted_optimum,
    undiscounted_values,
    walk_errors,
    weight_moments,
)
from reference.rounding import gamma_n


@pytest.mark.parametrize(("heads", "goal"), [(0.4, 100), (0.25, 12), (0.5, 7), (0.125, 2)])
def test_gambler_values(row, heads, goal):
    """Example 4.3: bold play solves the equation of optimality, in rationals; float64 finds it within its bound."""
    game, chance = gambler(heads, goal), Fraction(heads)
    worth = [*game.exact[:-1], Fraction(1)]
    best = [max(chance * worth[s + a] + (1 - chance) * worth[s - a] for a in range(1, min(s, goal - s) + 1))
            for s in range(1, goal)]  # fmt: skip
    row.exact("RL-08", "gambler: the equation of optimality", best == worth[1:-1], f"{best} is not {worth}")
    for name, found in (
        ("optimum", undiscounted_optimum(game.task.mdp)),
        ("bold play", undiscounted_values(game.task.mdp, game.bold)),
        ("smallest stakes", undiscounted_values(game.task.mdp, np.eye(goal // 2 + 1)[smallest_stakes(game)])),
    ):
        # The complements of these coins are floats, so that the rows are exact.
        error = np.abs(found.values - game.values)
        row("RL-08", f"gambler: {name}", error, found.error_bound + 2.0**-53, "certified, and the fractions rounded")


def test_figure_of_the_gambler(row):
    """Figure 4.3 (p = 0.4). Below: one spike of 50 at 50, of 25 at 25 and 75, and between multiples of 25 tents up to
    12. Above: 0.4 at 50, where all is staked at once."""
    game = gambler()
    stakes = smallest_stakes(game)
    spikes = {25: 25, 50: 50, 75: 25}
    drawn = [spikes.get(s, min(s % 25, -s % 25)) for s in range(101)]
    row.exact("RL-08", "figure 4.3, policy", stakes == drawn, f"expected {drawn}, saw {stakes}")
    p = Fraction(0.4)
    quarters = [game.exact[s] for s in (25, 50, 75)]
    row.exact("RL-08", "figure 4.3, values at the quarters", quarters == [p**2, p, p + (1 - p) * p], f"saw {quarters}")
    row.exact("RL-08", "bold play ties with it", not np.array_equal(game.bold.argmax(axis=1), stakes), "no tie")


def test_gambler_plays(row):
    """How often bold play reaches the goal, from capitals drawn at random, is the mean of the values."""
    game, runs = gambler(), 20_000
    task, starts = game.task, np.full(101, 1.0 / 99.0)
    starts[[0, 100]] = 0.0
    rng = np.random.default_rng(1)
    policies = np.broadcast_to(game.bold, (runs, *game.bold.shape))
    seen = sample_episodes(task, policies, task.start(rng, runs), 64, rng)
    won = (seen.alive & (seen.next_states == 100)).any(axis=0)
    # Every stake of bold play may be the last: it ends with probability 0.4 at least. What is cut has not won.
    cut, chance = 0.6**64, float(starts @ game.values)
    bound, reason = tolerances_learning.mean_of(runs, chance * (1.0 - chance), 1.0, 1)
    slack = tolerances_learning.sampled_law(task, 64.0)
    row("RL-08", "gambler: plays won", abs(won.mean() - chance), bound + cut + slack, f"{reason}; uncut but 0.6^64")


def test_figure_of_the_walk(row):
    """Figure 6.2, right: curves begin at 0.236 (exactly the root of 1/18); steps of 0.15 fall fastest, those of 0.05
    end lowest, and every curve of a constant step ends well above zero."""
    walk, start = random_walk(), Fraction(1, 2)
    first = sum((start - value) ** 2 for value in walk.exact[:5]) / 5
    row.exact("RL-15", "figure 6.2, where curves begin", first == Fraction(1, 18), f"saw {first}")
    curves = {a: td_error_moments(walk.task, walk.policy, a, 100, 0.5).mean_square[:, :5].mean(axis=1)
              for a in (0.05, 0.1, 0.15)}  # fmt: skip
    for a, curve in curves.items():
        row("RL-15", "figure 6.2, first point", abs(curve[0] - 1.0 / 18.0), gamma_n(32), f"of numbers below one, {a}")
    after = {k: sorted(curves, key=lambda a: curves[a][k]) for k in (10, 100)}
    right = after[10] == [0.15, 0.1, 0.05] and after[100] == [0.05, 0.1, 0.15]
    row.exact("RL-15", "figure 6.2, order of the steps", right, f"saw {after}")
    levels = [float(np.sqrt(curves[a][100])) for a in (0.05, 0.1, 0.15)]
    inside = all(0.03 < level < 0.1 for level in levels)
    row.exact("RL-15", "figure 6.2, last points between 0.03 and 0.1", inside, f"saw {levels}")


@pytest.mark.long
def test_figure_of_several_steps(row):
    """Figure 7.2, errors over ten episodes of the walk of 19: that of n = 4 with steps of 0.4 is above 0.25, and below
    that of one step, whatever the step size, and that of 16 steps where their curve is lowest.

    The mean of a norm is at least the norm of the mean, which is exact for one step.
    """
    walk, episodes = random_walk(19, -1.0, 1.0), 10
    live = ~walk.task.terminal
    biased = []
    for alpha in (0.4, 0.6, 0.8, 1.0):
        bias = td_error_moments(walk.task, walk.policy, alpha, episodes, 0.0).bias[1:, live]
        biased.append(float(np.sqrt((bias**2).mean(axis=1)).mean()))
    least = min(biased)
    # Tables stay in [-1, 1], so that no state errs by more than 1 + |v|.
    width = float(np.sqrt(np.mean((1.0 + np.abs(walk.values[live])) ** 2)))
    enough = np.log(3.0 / FALSE_ALARM)
    for n, alpha, runs, bets in (
        (4, 0.4, 2600, ((0.25, True), (least, False))),
        (16, 0.2, 350, ((least, True),)),
    ):
        seen = walk_errors(walk, n, alpha, episodes, runs, np.random.default_rng(n), 0.0)[1:].mean(axis=0)
        for level, above in bets:
            name = "one step" if level == least else f"{level}"
            won = tolerances_learning.stake(seen, level, width, above)
            row.exact("RL-17", f"figure 7.2, n = {n}: {'above' if above else 'below'} {name}", won > enough,
                      f"mean {seen.mean()}, level {level}, false alarm e^-{won:.1f}")  # fmt: skip


def test_figure_of_the_cliff(row):
    """Example 6.6: -13 along the edge; online about -50 for Q-learning and -25 for Sarsa in the figure, whose limits
    for a step that vanishes are -45.80 and -20.71."""
    task, start = cliff_walking(), 36
    soft, _ = epsilon_soft_optimum(task, 0.1)
    careless = policy_values(task, epsilon_greedy(optimal_values(task).q, 0.1))
    for name, found, printed in (("Q-learning", careless, -45.80), ("Sarsa", soft, -20.71)):
        error = abs(found.values[start] - printed)
        row("RL-11", f"online limit of {name}", error, 0.005 + found.error_bound, "two digits are printed")


def by_the_book(alpha: float, discount: float, steps: int) -> list[list[Decimal]]:
    """Equation (11.9), semi-gradient DP: `w += alpha / |S| sum_s (E[R + gamma v(S')] - v(s)) grad v(s)`."""
    rate, gamma = Decimal(alpha) / 7, Decimal(discount)
    features = [[2 * (i == j) + (j == 7) for j in range(8)] for i in range(6)] + [[0] * 6 + [1, 2]]
    weights = [Decimal(x) for x in (1, 1, 1, 1, 1, 1, 10, 1)]
    found = [weights]
    for _ in range(steps):
        values = [sum((x * w for x, w in zip(line, weights, strict=True)), Decimal(0)) for line in features]
        errors = [gamma * values[6] - value for value in values]  # the target policy always leads to the seventh
        moves = [sum((e * line[j] for e, line in zip(errors, features, strict=True)), Decimal(0)) for j in range(8)]
        weights = [w + rate * move for w, move in zip(weights, moves, strict=True)]
        found.append(weights)
    return found


def test_figure_of_baird(row):
    """Figure 11.2, right (alpha = 0.01, 1000 sweeps): w8 leaves through 300 near the right edge, w1 to w6 lie on one
    curve between 100 and 200 there, and w7, which began highest at 10, ends lowest."""
    case, steps, alpha = baird(0.99), 1000, 0.01
    system = td_system(td_operator(case.task, case.policy), case.features, on_policy_law(case.task, case.behaviour))
    seen = system.expected_weights(case.start, alpha, steps)
    with localcontext(Context(prec=50)):
        exact = np.array(by_the_book(alpha, case.task.discount, steps)).astype(np.float64)
    # Every step errs by A, whose floats are certified and whose law is rounded, and by some roundings; what it errs by
    # grows with the powers of I - a A from there on.
    power, largest = np.eye(8), 1.0
    for _ in range(steps):
        power = power - alpha * system.matrix @ power
        largest = max(largest, float(np.linalg.norm(power, 2)))
    unsure = float(system.matrix_error.sum()) + tolerances_linear.stationary(7) * float(np.abs(system.matrix).sum())
    bound = 2.0 * steps * largest * (alpha * unsure + gamma_n(40)) * float(np.linalg.norm(exact, axis=1).max())
    row("RL-21", "figure 11.2, weights of semi-gradient DP", np.abs(seen - exact), bound,
        f"{steps} errors of a step, none grown by more than {largest:.0f}")  # fmt: skip
    last = exact[-1]
    row.exact("RL-21", "figure 11.2, w8 leaves through 300", exact[900, 7] < 300.0 < last[7], f"saw {last}")
    together = bool((np.ptp(exact[:, :6], axis=1) == 0.0).all() and 100.0 < last[0] < 200.0)
    row.exact("RL-21", "figure 11.2, w1 to w6 are one curve", together, f"saw {last}")
    row.exact("RL-21", "figure 11.2, w7 ends lowest", bool(0.0 < last[6] < 10.0), f"saw {last}")
    row.exact("RL-21", "and no step is short enough", spectral_radius(system.matrix, 1e-6) > 1.0, "it converges")


def test_figure_of_baird_sampled(row):
    """Figure 11.2, left: one run of off-policy TD. Its exact mean diverges alike, and runs have that mean."""
    case, steps, runs = baird(0.99), 1000, 1300
    mean, second = weight_moments(
        td_outcomes(case.task, case.policy, case.features, None, case.behaviour), constant(0.01), case.start, steps
    )
    row.exact("RL-21", "figure 11.2, mean of off-policy TD", bool(mean[-1, 7] > 300.0), f"saw {mean[-1]}")
    deviation = np.sqrt(np.maximum(np.diagonal(second[-1]) - mean[-1] ** 2, 0.0))
    *_, last = linear_td(case.task, case.policy, case.features, constant(0.01), steps, runs, np.random.default_rng(2),
                         case.start, case.behaviour)  # fmt: skip
    groups, (bound, reason) = tolerances_learning.median_of_means(runs, deviation, 8)
    size = runs // groups
    medians = np.median(last.table[: groups * size].reshape(groups, size, 8).mean(axis=1), axis=0)
    slack = gamma_n(64 * steps) * float(np.sqrt(np.diagonal(second[-1])).max())
    row("RL-21", "figure 11.2, sampled weights", np.abs(medians - mean[-1]), bound + slack, reason)
    apart = float((medians - case.start - bound - slack)[[0, 7]].min())
    row.exact("RL-21", "and the runs have left the start", apart > 0.0, f"{medians}: {bound}")


def test_errors():
    for wrong in (0.0, 0.75, float("nan")):
        with pytest.raises(ValueError, match="bold play is optimal"):
            gambler(wrong)
    with pytest.raises(ValueError, match="at least 2 units"):
        gambler(0.4, 1)
