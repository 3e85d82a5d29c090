"""The terms of certificates: bounds hold whatever the roundings were, and each term where it is all that there is.

What a certificate charges for rounding is far above what rounding does in an example, so a term with a wrong sign or
factor goes unseen. Here the charge is held against the worst that the standard model allows for the same formula
(`worst_rounding`), over inputs whose parts differ by factors of 2^40 or are 0: in some of them every term stands alone.
The charge is not far above that worst either, which keeps it from growing where it need not.
"""

import itertools
from fractions import Fraction

import numpy as np
import pytest
import tolerances
from exact import solve_linear
from worst_rounding import U, Worst, also, exactly, exp, expm1, least, log, log1p, worst

from reference import certify
from reference.certify import Bounds, lookahead_radius, occupancy_bound, policy_bounds, soft_radius
from reference.conditional import gumbel_operator
from reference.enclosure import Ball
from reference.lqr import discounted_constant
from reference.lqr_problem import LQR
from reference.mdp import MDP

SCALES = (0.0, 2.0**-40, 1.0, 2.0**40)
DISCOUNTS = (0.0, 0.7, 1.0 - 2.0**-20)
REASON = "the largest sum of roundings, u of each result, that the certificate must allow"
DIGITS = np.array([[0.7, -0.3], [-0.3, 1.1]])


def covered(row, id: str, quantity: str, loss: Fraction, size: Fraction, bound: float) -> None:
    """Require `bound` to cover `loss`, and to be no more than a dozen times that and two roundings of `size`."""
    row(id, f"worst rounding of {quantity}", least(loss), bound, REASON)
    factor, reason = tolerances.tightness()
    most = factor * float(loss + 2 * U * size) + 2.0**-1000
    row(id, f"charge for the rounding of {quantity}", bound, most, reason)


@pytest.mark.parametrize("discount", DISCOUNTS)
def test_constant_of_quadratic_values(row, discount):
    """(1 - gamma) v0 = bonus - gamma tr(P W) for values and a bonus that are known to a distance."""
    noise = np.array([[1.3, 0.2], [0.2, 0.9]])
    problem = LQR(np.eye(2), np.eye(2), np.eye(2), np.eye(2), discount, noise)
    cancels = discount * float(np.sum(DIGITS * noise))
    for values, radius, blur in itertools.product(SCALES, (0.0, 2.0**-80, 1.0), (0.0, 2.0**-70, 1.0)):
        P, known = values * DIGITS, np.full((2, 2), radius / 3.0)
        for bonus in (*SCALES, values * cancels):
            trace = np.trace(worst(P, known) @ worst(noise))
            middle = (trace + trace) * Fraction(1, 2)
            exact = (worst(bonus, blur / 7.0)[()] - discount * middle) / (Worst(1) - discount)
            size = (Fraction(bonus) + abs(trace.value) + trace.loss) / (1 - Fraction(discount))
            found, bound = discounted_constant(problem, Ball(P, known), bonus, blur / 7.0)
            covered(row, "LQR-01", "the constant", exact.loss, size, bound)
            row("LQR-01", "constant of a ball", float(abs(exact.value - Fraction(found))), bound, "certified")


# -- values of finite processes ---------------------------------------------------------------------------------------


THIRDS = np.array([[[1 / 3, 2 / 3], [0.3, 0.7]], [[2 / 3, 1 / 3], [0.7, 0.3]]])
"""Two states that are alike, so that what one may lose the other may lose as well."""
POLICY = np.array([[0.4, 0.6], [0.4, 0.6]])


def problems():
    """Processes and values c + w whose parts are of very different sizes: (mdp, offset, deviation)."""
    for discount, reward, offset, deviation in itertools.product((0.7, 1.0 - 2.0**-20), *[(0.0, 2.0**-40, 1.0)] * 3):
        rewards = reward * np.array([[0.9, 0.8], [0.9, 0.8]])
        yield MDP(THIRDS, rewards, discount), offset / 0.7, deviation * np.array([0.55, -0.55])


def defects(mdp: MDP) -> np.ndarray:
    """Exact row sums less one, known as well as `MDP.row_sums` promises."""
    exact = [[sum(map(Fraction, line)) - 1 for line in state] for state in np.asarray(mdp.transitions).tolist()]
    found = [[Worst(number, U * abs(number)) for number in line] for line in exact]
    return np.array(found, dtype=object)


def backup(mdp: MDP, offset: float, deviation: np.ndarray) -> np.ndarray:
    """`lookahead` in its order of operations: (r - (1 - gamma) c) + (gamma (c delta) + gamma P w)."""
    gamma = mdp.discount
    common = gamma * (offset * defects(mdp)) + gamma * (np.asarray(mdp.transitions) @ worst(deviation))
    return (worst(mdp.rewards) - (Worst(1) - gamma) * offset) + common


def losses(array: np.ndarray) -> list[Fraction]:
    """What each entry may lose."""
    return [number.loss for number in np.ravel(array)]


def largest_backup(mdp: MDP, offset: float, deviation: np.ndarray) -> Fraction:
    """|r| + (1 - gamma) |c| + 2 gamma |w|, which no backup less c exceeds."""
    gamma, size = Fraction(mdp.discount), Fraction(float(np.abs(deviation).max()))
    return Fraction(mdp.largest_reward) + (1 - gamma) * Fraction(offset) + 2 * gamma * size


def test_one_backup(row):
    """Every entry of r + gamma P v for v = c + w."""
    for mdp, offset, deviation in problems():
        found = backup(mdp, offset, deviation)
        size = largest_backup(mdp, offset, deviation)
        covered(row, "RL-06", "one backup", max(losses(found)), size, lookahead_radius(mdp, deviation, offset))


def test_values_of_a_policy(row, monkeypatch):
    """What the interval around a policy's values rests on, whose rows may miss one: the floats are the policy."""
    handed = {}
    monkeypatch.setattr(certify, "enclosure", lambda *arguments: handed.update(all=arguments) or Bounds(0.0, 0.0))
    for alpha, surplus in itertools.product((0.0, 2.0**-40, 1.0), (0.0, 2.0**-24)):
        policy = POLICY + np.array([0.0, surplus])
        excess = [Worst(e := sum(map(Fraction, line)) - 1, U * abs(e)) for line in policy.tolist()]
        entropy = [-sum(worst(p)[()] * log(Worst(p)) for p in line) for line in policy.tolist()]
        for mdp, offset, deviation in problems():
            local = (worst(policy) * backup(mdp, offset, deviation)).sum(axis=1)
            target = [q + (offset * e + alpha * h) for q, e, h in zip(local, excess, entropy, strict=True)]
            rows = np.array(excess) + (worst(policy) * defects(mdp)).sum(axis=1)
            policy_bounds(mdp, policy, deviation, alpha, offset or 2.0**-1000)
            _, _, _, radius, sums = handed["all"]
            size = largest_backup(mdp, offset, deviation) + Fraction(alpha) + Fraction(offset * surplus)
            covered(row, "SAC-03", "one backup under a policy", max(losses(np.array(target))), size, radius)
            covered(row, "RL-06", "row sums under a policy", max(losses(rows)), Fraction(surplus) + 2 * U, sums.blur)
            assert Fraction(sums.least) <= min(number.value for number in rows) + Fraction(sums.blur)
            assert Fraction(sums.most) >= max(number.value for number in rows) - Fraction(sums.blur)


def test_soft_backup(row):
    """top + alpha log sum exp((q - top) / alpha) in every state. Errors of q move it as much as they are."""
    for alpha, (mdp, offset, deviation) in itertools.product((2.0**-40, 2.0**-10, 1.0, 2.0**10), problems()):
        local = backup(mdp, offset, deviation)
        target = []
        for line in local:
            top = max(line)
            powers = sum((exp((exactly(q) - exactly(top)) / alpha) for q in line), start=Worst(0))
            target.append(also(exactly(top) + alpha * log(powers), top))
        size = largest_backup(mdp, offset, deviation) + Fraction(alpha)
        radius = soft_radius(mdp, deviation, alpha, offset)
        covered(row, "SAC-06", "one soft backup", max(losses(np.array(target))), size, radius)


def test_gumbel_backup(row):
    """top + beta log E exp((q - top) / beta), by log1p where the mean is near one; errors of q as above."""
    mass = worst(POLICY).sum(axis=1)
    for beta, (mdp, offset, deviation) in itertools.product((2.0**-10, 2.0**-1, 1.0, 2.0**10), problems()):
        target = []
        for line, law, total in zip(backup(mdp, offset, deviation), POLICY.tolist(), mass, strict=True):
            top = max(line)
            gaps = [(exactly(q) - exactly(top)) / beta for q in line]
            deficit = sum(p * expm1(x) for p, x in zip(law, gaps, strict=True)) / total
            direct = sum(p * exp(x) for p, x in zip(law, gaps, strict=True)) / total
            mean = log1p(deficit) if deficit.value > Fraction(-1, 2) else log(direct)
            target.append(also(exactly(top) + beta * mean, top))
        size = largest_backup(mdp, offset, deviation) + max(abs(number.value) for number in target)
        radius = gumbel_operator(POLICY, beta).radius(mdp, deviation, offset)
        covered(row, "OCC-06", "one Gumbel backup", max(losses(np.array(target))), size, radius)


# -- occupancies ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("discount", [*DISCOUNTS, 1.0 - 2.0**-44])
@pytest.mark.parametrize("surplus", [0.0, 2.0**-24])
def test_distance_to_an_occupancy(row, discount, surplus):
    """sum |d - d_pi| from what d lacks of the flow, which is rounded: for the occupancy itself, less and more of it."""
    if discount * (1.0 + surplus) >= 1.0:
        surplus = (1.0 - discount) / 4.0
    policy, mdp = POLICY + np.array([0.0, surplus]), MDP(THIRDS, np.zeros((2, 2)), discount, np.array([0.25, 0.75]))
    gamma, law = Fraction(discount), [[Fraction(p) for p in line] for line in policy.tolist()]
    moves = [[[Fraction(p) for p in line] for line in state] for state in THIRDS.tolist()]
    chain = [[sum(law[s][a] * moves[s][a][t] for a in range(2)) for t in range(2)] for s in range(2)]
    system = [[Fraction(int(s == t)) - gamma * chain[s][t] for s in range(2)] for t in range(2)]
    visits = solve_linear(system, [(1 - gamma) * Fraction(float(p)) for p in mdp.initial])
    exact = [[visits[s] * law[s][a] for a in range(2)] for s in range(2)]
    narrow = 1 - gamma * min(sum(line) for line in chain)
    for factor, shift in itertools.product((0.0, 1.0, 2.0**40), (0.0, 2.0**-40, 1.0)):
        given = factor * np.array([[float(d) for d in line] for line in exact]) + shift * np.array([[0.3, 0.7]] * 2)
        bound = occupancy_bound(mdp, policy, given)
        flow = (Worst(1) - discount) * worst(mdp.initial) + discount * (
            worst(THIRDS.reshape(4, 2)).T @ worst(given).ravel()
        )
        residual = worst(policy) * flow[:, None] - worst(given)
        loss = sum(losses(residual)) / narrow
        far = sum(abs(Fraction(float(g)) - d) for g, d in zip(given.ravel(), np.ravel(exact), strict=True))
        row("OCC-02", "distance of a candidate", float(far), bound, "certified")
        lack = sum(abs(number.value) for number in np.ravel(residual)) / narrow
        covered(row, "OCC-02", "what an occupancy lacks", loss, lack / (2 * U), bound)
