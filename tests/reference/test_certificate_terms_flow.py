"""The terms of the flow problem's certificates, held against the worst that the standard model allows (OCC-10, OCC-04).

As `test_certificate_terms`. What a certificate is told of a generator is how accurate it promises to be, so here the
generator uses up what it promises (`Exploited`), in the direction that hurts.
"""

import dataclasses
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import tolerances
from exact import solve_linear
from worst_rounding import U, Worst, least, summed_once, worst

from reference.divergence import PearsonChi2
from reference.feasibility import support
from reference.flow import Flow, flow_of
from reference.flow_cap import cap_bound
from reference.flow_certificate import (
    _fenchel_young,
    _flow_residual,
    _gap,
    _residual_bounds,
    _start,
    certify_flow,
    state_error,
)
from reference.flow_floor import floor_bound
from reference.generator import Mean
from reference.mdp import MDP
from reference.multiplier import Arguments, multiplier_bracket
from reference.rounding import gamma_n

REASON = "the largest sum of roundings, u of each result, that the certificate must allow"
SCALES = (0.0, 2.0**-40, 1.0, 2.0**40)
MOVES = np.array([[[1 / 3, 2 / 3], [0.3, 0.7]], [[0.9, 0.1], [0.2, 0.8]]])
LAW = np.array([[0.1, 0.2], [0.3, 0.4]])
INITIAL = np.array([1 / 3, 2 / 3])


@dataclasses.dataclass(frozen=True)
class Exploited(PearsonChi2):
    """Half of Pearson's chi-square, off by the `promise`, relative to what is returned: down (-1) or up (+1)."""

    promise: float = 0.0
    direction: int = -1
    cap: float = math.inf

    @property
    def largest_ratio(self) -> float:
        """The cap."""
        return self.cap

    @property
    def mean_below(self) -> Mean | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """That of the uncapped generator; with a cap the ratio is not convex."""
        return Mean.MEAN if self.cap == math.inf else None

    @property
    def accuracy(self) -> float:
        """What is used up, and the roundings of the formula."""
        return self.promise + 8.0 * 2.0**-53

    def _f(self, w):
        return super()._f(w) / (1.0 - self.direction * self.promise)

    def _conjugate(self, y):
        exact = super()._conjugate(y)
        return exact / (1.0 - self.direction * np.sign(exact) * self.promise)

    def _f_prime(self, w):
        return super()._f_prime(w) / (1.0 - self.direction * np.sign(w - 1.0) * self.promise)

    def _ratio(self, y):
        return super()._ratio(y) / (1.0 - self.direction * self.promise)


def price(w: Fraction) -> Fraction:
    """f of half of Pearson's chi-square."""
    return (w - 1) ** 2 / 2


def conjugate(y: Fraction) -> Fraction:
    """f*."""
    return max(y, Fraction(-1)) * (2 + max(y, Fraction(-1))) / 2


def flow(mdp: MDP, beta: float, divergence: PearsonChi2) -> Flow:
    """The restriction to the data, which is everywhere."""
    return flow_of(mdp, LAW, beta, divergence, support(mdp, LAW, divergence))


def process(discount: float) -> MDP:
    """Two states, two actions, rewards of both signs."""
    return MDP(MOVES, np.array([[0.3, -0.2], [0.1, 0.7]]), discount, INITIAL)


def covered(row, id: str, quantity: str, loss: Fraction, size: Fraction, charge: Fraction) -> None:
    """Require `charge` to cover `loss`, and to be no more than a dozen times that and two roundings of `size`."""
    row(id, f"worst rounding of {quantity}", least(loss), float(charge), REASON)
    factor, reason = tolerances.tightness()
    most = factor * float(loss + 2 * U * size) + 2.0**-1000
    row(id, f"charge for the rounding of {quantity}", float(charge), most, reason)


@pytest.mark.parametrize("promise", [0.0, 2.0**-30])
def test_one_gap(row, promise):
    """f(w) + f*(y) - w y, from f and f* that are off by all that they promise."""
    generator = Exploited(promise=promise)
    problem, accuracy = flow(process(0.5), 1.0, generator), Fraction(generator.accuracy)
    for w, y in itertools.product(
        (0.0, 2.0**-40, 1.0 / 3.0, 1.0, 3.3, 2.0**40 / 3.0), (-7.0, -0.9, 0.0, 2.0**-40, 3.1, 1e12)
    ):
        ratio, below = np.full(4, w), np.full(4, y)
        paid, earned = float(generator.f(w)), float(generator.conjugate(y))
        loss = (Worst(paid, accuracy * Fraction(paid)) + Worst(earned, accuracy * abs(Fraction(earned)))) - Worst(
            w
        ) * Worst(y)
        plain = max((paid + earned) - w * y, 0.0)
        found = float(_gap(problem, ratio, below, np.full(4, earned))[0])
        size = Fraction(paid) + abs(Fraction(earned)) + abs(Fraction(w) * Fraction(y))
        covered(row, "OCC-10", "a Fenchel-Young gap", loss.loss, size, Fraction(found) - Fraction(plain))
        exact = price(Fraction(w)) + conjugate(Fraction(y)) - Fraction(w) * Fraction(y)
        row("OCC-10", "Fenchel-Young gap", float(max(exact - Fraction(found), 0)), 0.0, "certified")


@pytest.mark.parametrize("discount", [0.0, 0.7, 1.0 - 2.0**-20])
def test_start_value(row, discount):
    """(1 - gamma) mu0 . V for V = c + w, where mu0 need not sum to one."""
    mdp = process(discount)
    problem = flow(mdp, 1.0, PearsonChi2())
    excess = sum(map(Fraction, INITIAL.tolist())) - 1
    for offset, deviation in itertools.product(SCALES, SCALES):
        for w in (np.array([0.6, -0.3]), np.array([0.6, 0.7])):
            offset, w = offset / 0.7, deviation * w
            products = worst(INITIAL) * worst(w)
            inner = summed_once([*products, offset * Worst(excess, U * abs(excess))])
            value = (Worst(1) - discount) * (offset + inner)
            found, error = _start(mdp, problem, offset, w)
            size = (1 - Fraction(discount)) * (Fraction(offset) + sum(abs(p.value) for p in products))
            covered(row, "OCC-10", "the start value", value.loss, size, Fraction(error))
            row("OCC-10", "start value", float(abs(Fraction(found) - value.value)), error, "certified")


@pytest.mark.parametrize("discount", [0.0, 0.7, 1.0 - 2.0**-20])
def test_what_an_occupancy_lacks(row, discount):
    """R(d) in every state, and what it makes of the visits."""
    mdp = process(discount)
    problem = flow(mdp, 1.0, PearsonChi2())
    rows = worst(MOVES.reshape(4, 2))
    for scale in SCALES:
        given = scale * np.array([0.11, 0.23, 0.31, 0.41])
        start = (Worst(1) - discount) * worst(INITIAL)
        inflow = discount * (rows.T @ worst(given))
        outflow = worst(given).reshape(2, 2).sum(axis=1)
        lacks = (start - outflow) + inflow
        plain = np.abs((problem.initial - problem.outflow(given)) + problem.inflow(given))
        found = _residual_bounds(problem, given)
        for state in range(2):
            size = abs(start[state].value) + abs(inflow[state].value) + abs(outflow[state].value)
            size += Fraction(tolerances.EVALUATION) * Fraction(float(plain[state])) / U
            charge = Fraction(float(found[state])) - Fraction(float(plain[state]))
            covered(row, "OCC-02", "what a state lacks", lacks[state].loss, size, charge)
        visits, total = state_error(problem, given, relative=False)
        far = sum(abs(number.value) for number in lacks)
        most = max(sum(map(Fraction, line)) for line in MOVES.reshape(4, 2).tolist())
        row("OCC-02", "sum of what states lack", float(far), total, "certified")
        row("OCC-02", "visits from what states lack", float(far / (1 - Fraction(discount) * most)), visits, "certified")
        summed, residual = worst(found).sum(), Fraction(_flow_residual(problem, given))
        covered(row, "OCC-02", "sum of the bounds", summed.loss, summed.value, residual - Fraction(float(found.sum())))


def exact_visits(mdp: MDP, policy: list[list[Fraction]]) -> list[Fraction]:
    """The visits of a policy, in rational arithmetic."""
    gamma = Fraction(mdp.discount)
    system = [[Fraction(int(s == t)) for t in range(2)] for s in range(2)]
    for s, a, t in itertools.product(range(2), repeat=3):
        system[t][s] -= gamma * policy[s][a] * Fraction(float(MOVES[s, a, t]))
    return solve_linear(system, [(1 - gamma) * Fraction(float(mass)) for mass in INITIAL])


@pytest.mark.parametrize("relative", [False, True])
def test_sum_of_gaps(row, relative):
    """beta E_D of the gaps where visits may differ: in every state, or by all that may differ in the worst."""
    problem = flow(process(0.7), 0.3, PearsonChi2())
    for scale, reach in itertools.product((2.0**-40, 1.0, 2.0**20), (0.0, 2.0**-30, 2.0**-2, 3.0)):
        given, y = scale * np.array([0.11, 0.23, 0.31, 0.41]), np.array([0.2, -0.4, 1.7, -3.0])
        visits = np.array([1.0, 1.0]) * reach * scale
        found = _fenchel_young(
            problem, given, visits, y, np.asarray(PearsonChi2().conjugate(y)), spread_one=not relative
        )
        plain, worse = [], []
        for i in range(4):
            d, law = Fraction(float(given[i])), Fraction(float(LAW.ravel()[i]))
            share = d / sum(Fraction(float(x)) for x in given.reshape(2, 2)[i // 2]) * Fraction(float(visits[i // 2]))
            ends = [max(d + side * share, Fraction(0)) / law for side in (-1, 0, 1)]
            gaps = [law * (price(w) + conjugate(Fraction(y[i])) - w * Fraction(y[i])) for w in ends]
            plain.append(gaps[1])
            worse.append(max(gaps))
        more = [sum(worse[2 * s + a] - plain[2 * s + a] for a in range(2)) for s in range(2)]
        exact = Fraction(problem.beta) * (sum(worse) if relative else sum(plain) + max(more))
        row("OCC-10", "sum of Fenchel-Young gaps", float(max(exact - Fraction(found), 0)), 0.0, "certified")
        row(
            "OCC-10", "sum of Fenchel-Young gaps, from above", found, float(exact) * (1.0 + 2.0**-20), "2^-20, relative"
        )


@pytest.mark.parametrize("direction", [-1, 1])
@pytest.mark.parametrize("promise", [0.0, 2.0**-30])
def test_both_sides(row, direction, promise):
    """primal <= objective of an exact occupancy, dual >= exact dual, whatever f and f* keep of their promise."""
    generator = Exploited(promise=promise, direction=direction)
    policy = [[Fraction(1, 4), Fraction(3, 4)], [Fraction(1, 2), Fraction(1, 2)]]
    for discount, beta, offset, deviation in itertools.product(
        (0.0, 0.7), (2.0**-10, 0.3, 2.0**20), (0.0, 3.7), (0.0, 1.0, 2.0**20)
    ):
        mdp = process(discount)
        problem, gamma, b = flow(mdp, beta, generator), Fraction(discount), Fraction(beta)
        w = deviation * np.array([0.6, -0.3])
        values = [Fraction(offset) + Fraction(float(x)) for x in w]
        visits = exact_visits(mdp, policy)
        dual = (1 - gamma) * sum(Fraction(float(m)) * v for m, v in zip(INITIAL, values, strict=True))
        primal, size = Fraction(0), abs(dual)
        for s, a in itertools.product(range(2), repeat=2):
            law, reward = Fraction(float(LAW[s, a])), Fraction(float(mdp.rewards[s, a]))
            ahead = sum(Fraction(float(p)) * v for p, v in zip(MOVES[s, a], values, strict=True))
            bonus = b * law * conjugate((reward + gamma * ahead - values[s]) / b)
            d = visits[s] * policy[s][a]
            dual, size = dual + bonus, size + abs(bonus)
            primal += d * reward - b * law * price(d / law)
        given = np.array([float(visits[s] * policy[s][a]) for s in range(2) for a in range(2)])
        found = certify_flow(mdp, problem, offset, w, given)
        row("OCC-10", "exact dual", float(max(dual - Fraction(found.dual), 0)), 0.0, "certified")
        row("OCC-10", "exact primal", float(max(Fraction(found.primal) - primal, 0)), 0.0, "certified")
        room = 2 * (Fraction(generator.accuracy) + 32 * U) * size
        row(
            "OCC-10",
            "best guess of a dual",
            float(abs(Fraction(found.value) - dual)),
            float(room),
            "twice the promises",
        )
        row("OCC-10", "charge for a dual", float(Fraction(found.dual) - dual), float(room) * 2.0, "twice the promises")


def test_ratios(row):
    """Ends of w = (f*)'(y) from a ratio that is off by all that it promises."""
    offsets, law = np.array([0.0, 0.25, -0.5]), np.array([0.25, 0.25, 0.5])
    for direction, x in itertools.product((-1, 1), (-0.25, 0.0, 3.0)):
        generator = Exploited(promise=2.0**-30, direction=direction)
        low, high = Arguments(generator, offsets, law, 1.0).enclosure(x)
        exact = 1.0 + x + offsets  # dyadic, hence exact
        row("JS-04", "ratio above its lower end", np.maximum(low - exact, 0.0), 0.0, "certified")
        row("JS-04", "ratio below its upper end", np.maximum(exact - high, 0.0), 0.0, "certified")


def test_brackets_that_are_met(row):
    """Where one entry has all mass, or all others are at a cap, an end of the bracket is the multiplier itself."""
    for share, gap, direction in itertools.product((0.25, 1 / 3, 0.9), (8.0, 2.0**20), (-1, 1)):
        law, z = np.array([share, 1.0 - share]), np.array([0.3, 0.3 - gap])
        total = sum(map(Fraction, law.tolist()))
        alone = 1 + Fraction(0.3) - total / Fraction(share)
        generator = Exploited(promise=2.0**-30, direction=direction)
        low, high = multiplier_bracket(z, law, generator)
        outside(row, (low, high), alone)
        room = 4.0 * generator.accuracy / share + gamma_n(16) * gap
        row("JS-04", "end that is met by one entry", float(alone - Fraction(low)), room, "the promise, twice each way")
    for share, cap, direction in itertools.product((0.25, 1 / 3, 0.7), (1.05, 1.2, 1.3), (-1, 1)):
        law, z = np.array([share, 1.0 - share]), np.array([-0.7, 3.1])
        rest = (sum(map(Fraction, law.tolist())) - Fraction(1.0 - share) * Fraction(cap)) / Fraction(share)
        root, generator = 1 + Fraction(-0.7) - rest, Exploited(promise=2.0**-30, direction=direction, cap=cap)
        low, high = multiplier_bracket(z, law, generator)
        outside(row, (low, high), root)
        room = 4.0 * generator.accuracy * (1.0 + cap) / share
        row("JS-04", "end that is met by a cap", float(Fraction(high) - root), room, "the promise, twice each way")


def outside(row, ends: tuple[float, float], root: Fraction) -> None:
    """Require the root to lie between the ends, in rational arithmetic."""
    row("JS-04", "multiplier above its bracket's lower end", float(max(Fraction(ends[0]) - root, 0)), 0.0, "certified")
    row("JS-04", "multiplier below its bracket's upper end", float(max(root - Fraction(ends[1]), 0)), 0.0, "certified")


# -- caps and floors --------------------------------------------------------------------------------------------------


def kept(number: Worst, side: int) -> Worst:
    """The positive (+1) or negative (-1) part; where rounding may decide, all that may be lost."""
    size = side * number.value
    return Worst(max(size, Fraction(0)), number.loss if size >= 0 else 0)


@pytest.mark.parametrize("discount", [0.0, 0.7, 1.0 - 2.0**-20])
def test_cap_and_floor(row, discount):
    """The bounds on C_min and on the floor from any V, as quotients of sums that are rounded."""
    mdp = process(discount)
    where = support(mdp, LAW, PearsonChi2())
    law = worst(LAW.ravel())
    for values in ([1.0, 1 / 3], [1.0, -0.4], [0.0, 1.0], [1.0, -0.1], [1e10, 1e10 / 3], [0.7, 0.7]):
        V = np.array(values)
        own = np.repeat(worst(V), 2)
        drop = own - discount * (worst(MOVES.reshape(4, 2)) @ worst(V))
        gain = (Worst(1) - discount) * summed_once(worst(INITIAL) * worst(V))
        above, below = (summed_once(law * np.array([kept(x, side) for x in drop])) for side in (1, -1))
        plain = V.repeat(2) - discount * mdp.expected_next(V).ravel()
        up, down = (math.fsum(LAW.ravel() * np.maximum(side * plain, 0.0)) for side in (1, -1))
        worth = (1.0 - discount) * math.fsum(INITIAL * V)
        if worth > 0.0 and above.value > 0:
            charge = Fraction(worth / up) - Fraction(cap_bound(mdp, LAW, V, where))
            row("OCC-04", "worst rounding of a cap", least((gain / above).loss), float(charge), REASON)
            factor, reason = tolerances.tightness()
            room = factor * U * (4 + 2 * Fraction(float(np.abs(V).max())) / above.value) * gain.value / above.value
            room += factor * U * Fraction(float(INITIAL @ np.abs(V))) / above.value
            row("OCC-04", "charge for the rounding of a cap", float(charge), float(room), reason)
        for cap in (1.5, 2.0**30):
            if below.value <= 0:
                continue
            quotient = (cap * above - gain) / below
            found, seen = floor_bound(mdp, LAW, cap, V, where), (cap * up - worth) / down
            if quotient.value > quotient.loss:
                charge = Fraction(found) - Fraction(seen)
                row("OCC-04", "worst rounding of a floor", least(quotient.loss), float(charge), REASON)
                factor, reason = tolerances.tightness()
                size = Fraction(float(np.abs(V).max()))
                room = (
                    factor
                    * U
                    * (Fraction(cap) * (4 * above.value + 2 * size) + size + 4 * abs(gain.value))
                    / below.value
                )
                room += factor * U * (4 + 2 * size / below.value) * quotient.value
                row("OCC-04", "charge for the rounding of a floor", float(charge), float(room), reason)
