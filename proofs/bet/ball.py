"""The temperature of a relative-entropy ball (BET-01) and the curvature of its dual (BET-02)."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import sympy
from flint import arb, fmpq

from proofs import balls, instances, under_test
from proofs.arithmetic import exp, log
from proofs.claim import claim
from proofs.divergences import Law
from proofs.evidence import Answer, Case, every
from proofs.exact import LogNumber, mean, rational
from proofs.symbolic import equal, positive, real, sign, summed
from proofs.verdict import THEOREM

RANDOM_LAW = Law(
    (fmpq(1, 10), fmpq(3, 10), fmpq(1, 5), fmpq(1, 4), fmpq(3, 20)),
    (fmpq(2), fmpq(-1), fmpq(1, 2), fmpq(0), fmpq(5, 4)),
)
"""Five advantages with their masses; beta = 1, so that z is A."""

RADIUS = fmpq(1, 10)


def tilt(data: Law, eta: Any) -> list[arb]:
    """The masses of D e^{A/eta}, normalised."""
    raw = [balls.ball(m) * (balls.ball(z) / balls.ball(eta)).exp() for m, z in zip(data.masses, data.z, strict=True)]
    total = sum(raw, arb(0))
    return [mass / total for mass in raw]


def relative_entropy(masses: Any, base: Any) -> arb:
    """KL(d || D) of exact or enclosed masses."""
    total = arb(0)
    for d, m in zip(masses, base, strict=True):
        d = balls.ball(d)
        total += d * (d / balls.ball(m)).log() if not d.is_zero() else arb(0)
    return total


def dual(data: Law, radius: Any, eta: Any) -> arb:
    """g(eta) = eta epsilon + eta log E e^{A/eta}."""
    eta = balls.ball(eta)
    return eta * balls.ball(radius) + eta * balls.ball(data.expect([(balls.ball(z) / eta).exp() for z in data.z])).log()


def temperature(data: Law, radius: Any) -> arb:
    """A ball around the eta with KL(w_eta || D) = radius, bisected in a bracket proved by monotonicity."""
    low, high = fmpq(1, 64), fmpq(64)
    return balls.root(lambda eta: relative_entropy(tilt(data, eta), data.masses) - balls.ball(radius), low, high, 128)


@functools.lru_cache(maxsize=4)
def clarabel(data: Law, radius: fmpq) -> tuple[tuple[fmpq, ...], fmpq]:
    """Clarabel's d and its multiplier of KL(d || D) <= radius."""
    import cvxpy
    import numpy as np

    masses = np.array([float(m.p) / float(m.q) for m in data.masses])
    advantage = np.array([float(rational(z).p) / float(rational(z).q) for z in data.z])
    unknown: Any = cvxpy.Variable(len(masses), nonneg=True)
    normal: Any = cvxpy.sum(unknown) == 1
    ball: Any = cvxpy.sum(cvxpy.kl_div(unknown, masses)) <= float(radius.p) / float(radius.q)
    program: Any = cvxpy.Problem(cvxpy.Maximize(advantage @ unknown), [normal, ball])
    program.solve(solver=cvxpy.CLARABEL, tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10)
    raw = [max(rational(float(x)), fmpq(0)) for x in unknown.value]
    total = sum(raw, fmpq(0))
    return tuple(x / total for x in raw), rational(float(ball.dual_value))


def inside(data: Law, point: tuple[fmpq, ...], radius: fmpq) -> tuple[fmpq, ...]:
    """A point certainly in the ball: the given one, moved a little towards D until the balls say so."""
    step = fmpq(1, 10**11)
    mixed = point
    while not relative_entropy(mixed, data.masses) <= balls.ball(radius):
        mixed = tuple((1 - step) * d + step * m for d, m in zip(point, data.masses, strict=True))
        step *= 4
    return mixed


@claim(
    "BET-01",
    source=("toolkit", "001 (discussion of other signals)"),
    statement="The temperature that keeps the weights in a ball of relative entropy.",
    formula=(
        "max E_d A s.t. KL(d‖D) ≤ ε = min_η ηε + η log E e^{A/η}, convex;  KL(w_η‖D) falls from −log D(argmax A) "
        "to 0;  "
        "a unique η* iff 0 < ε < −log D(argmax A)"
    ),
    stated=THEOREM,
    corrected="η* is the multiplier of the ball, found by bisection: no feedback rule is needed.",
    method="Q+B+C+P",
    derivation=(
        "Lagrangian with multiplier η ≥ 0: ηε + max_d (E_d A − ηKL(d‖D)) = ηε + η log E e^{A/η} (KL-04).",
        "A maximum of functions that are affine in η, so convex. Its derivative is ε − KL(w_η‖D).",
        "d KL/dη = −Var_{w_η}(A)/η³ < 0 (BET-02). For η → 0, w_η → D(·|argmax A), whose KL is −log D(argmax A); for "
        "η → ∞ it is 0. So every ε between has one root, and no other ε has one.",
        "D = (1/2, 1/2), A = (0, log 9): at η = 1, w = (1/10, 9/10), and ε = log 2 − log 10 + (9/10) log 9 has η* = 1.",
    ),
    twins={
        "the ball's term with the opposite sign": {"dual": lambda data, eps, eta: dual(data, -eps, eta)},
        "eta dropped before the logarithm": {
            "dual": lambda data, eps, eta: (
                balls.ball(eta) * balls.ball(eps) + (dual(data, eps, eta) / balls.ball(eta) - balls.ball(eps))
            )
        },
        "the mean in place of log E exp": {
            "dual": lambda data, eps, eta: balls.ball(eta) * balls.ball(eps) + balls.ball(data.expect(data.z))
        },
        "limit 1 - D(argmax)": {"limit": lambda top: 1 - top},
        "limit with the opposite sign": {"limit": log},
        "the radius without the entropy of D": {"radius": lambda: fmpq(9, 10) * LogNumber.log(fmpq(9))},
    },
)
def bet_01(
    case: Case,
    *,
    dual: Any = dual,
    limit: Any = lambda top: -log(top),
    radius: Any = lambda: LogNumber.log(fmpq(1, 5)) + fmpq(9, 10) * LogNumber.log(fmpq(9)),
) -> None:
    """Clarabel's d and multiplier on five atoms, enclosed from both sides; an exact instance; a family."""
    point, multiplier = clarabel(RANDOM_LAW, RADIUS)
    with balls.precision(192):
        eta = temperature(RANDOM_LAW, RADIUS)
        lower = balls.ball(
            RANDOM_LAW.expect(
                [
                    d / m * z
                    for d, m, z in zip(inside(RANDOM_LAW, point, RADIUS), RANDOM_LAW.masses, RANDOM_LAW.z, strict=True)
                ]
            )
        )
        upper = dual(RANDOM_LAW, RADIUS, multiplier)
        ours = dual(RANDOM_LAW, RADIUS, eta.mid())
        gap, apart = upper - lower, abs(eta - balls.ball(multiplier))
        agreed = upper >= lower and gap < arb(10) ** (-7) and ours >= lower and ours <= upper + arb(10) ** (-20)
    case.theorem(
        "C",
        "Clarabel's d and multiplier enclose min g(η)",
        bool(agreed),
        f"value in [{balls.short(lower, 10)}, {balls.short(upper, 10)}], η* = {balls.short(eta, 7)}, Clarabel's "
        f"multiplier "
        f"{balls.short(balls.ball(multiplier), 7)}, apart {balls.short(apart, 2)}",
    )
    half = Law((fmpq(1, 2), fmpq(1, 2)), (LogNumber.of(0), LogNumber.log(fmpq(9))))
    weights = half.normalised(exp)
    spent = half.expect([w * log(w) for w in weights])
    case.theorem(
        "Q",
        "A = (0, log 9), D = (1/2, 1/2): at η = 1, w_η spends ε exactly",
        radius() == spent,
        f"w=({', '.join(map(str, weights))}), ε = {balls.short(LogNumber.of(spent), 10)}",
    )
    answers, ends = [], []
    with balls.precision(256):
        for data in instances.distinct(instances.laws(30, seed=41)):
            scaled = Law(data.masses, tuple(balls.ball(z) for z in data.z))
            spread = max(scaled.z, key=float) - min(scaled.z, key=float)
            series = [relative_entropy(tilt(scaled, spread * fmpq(n, 4)), data.masses) for n in (1, 2, 4, 8, 64)]
            answers.append(Answer(all(bool(a > b) for a, b in itertools.pairwise(series))))
            top = max(data.exponentials)
            mass = sum((m for m, q in zip(data.masses, data.exponentials, strict=True) if q == top), fmpq(0))
            second = max(q for q in data.exponentials if q != top)
            cold = (LogNumber.log(top) - LogNumber.log(second)).ball() / 200
            near = abs(relative_entropy(tilt(scaled, cold), data.masses) - balls.ball(limit(mass)))
            hot = relative_entropy(tilt(scaled, spread * 10**6), data.masses)
            ends.append(
                Answer(
                    bool(near < arb(10) ** (-20) and hot < arb(10) ** (-10)), f"off by {balls.short(near, 3)} on {data}"
                )
            )
    case.theorem("P", "KL(w_η‖D) falls strictly with η", every(answers))
    case.theorem("P", "from −log D(argmax A) at η → 0 to 0 at η → ∞", every(ends))
    convex = []
    with balls.precision(192):
        for n in range(1, 12):
            left, here, right = (dual(RANDOM_LAW, RADIUS, fmpq(k, 4)) for k in (n, n + 1, n + 2))
            convex.append(Answer(bool(left + right > 2 * here), f"second difference at η={fmpq(n + 1, 4)}"))
    case.theorem("B", "g is convex", every(convex))
    case.comparison("B", "reference.beta_for_kl", under_test.temperature_for_kl())


@claim(
    "BET-02",
    source="toolkit",
    statement="The dual of a relative-entropy ball is strictly convex.",
    formula="g(η) = ηε + η log E e^{A/η}:  g''(η) = Var_{w_η}(A)/η³;  the same for E_s[η log E_a e^{A/η}] (MPO)",
    stated=THEOREM,
    corrected="Strictly convex unless A is constant (for MPO: constant in every state), where g is affine.",
    method="S",
    derivation=(
        "With L(t) = log E e^{tA}, t = 1/η: g = ηε + ηL(1/η), g' = ε + L − tL', g'' = t³ L''(t).",
        "L'' is the variance of A under w_η.",
        "MPO averages such functions over states: g'' is the average of the variances.",
    ),
    twins={
        "eta squared": {"curvature": lambda variance, eta: variance / eta**2},
        "opposite sign": {"curvature": lambda variance, eta: -variance / eta**3},
        "second moment in place of the variance": {
            "spread": lambda masses, values: mean(masses, [v**2 for v in values])
        },
        "untilted variance": {"tilted": lambda masses, values, eta: masses},
    },
)
def bet_02(
    case: Case,
    *,
    curvature: Any = lambda variance, eta: variance / eta**3,
    spread: Any = lambda masses, values: mean(masses, [v**2 for v in values]) - mean(masses, values) ** 2,
    tilted: Any = lambda masses, values, eta: [
        m * exp(v / eta) / mean(masses, [exp(x / eta) for x in values]) for m, v in zip(masses, values, strict=True)
    ],
) -> None:
    """Two symbolic atoms (one at 0 by shift), then two states of two actions."""
    eta, mass, epsilon = positive("eta D epsilon")
    near = {"D": sympy.Rational(1, 3), "m": sympy.Rational(2, 5)}
    first, second = real("A B")

    def soft(masses: Any, values: Any) -> Any:
        return eta * sympy.log(mean(masses, [exp(v / eta) for v in values]))

    masses, values = (mass, 1 - mass), (first, sympy.Integer(0))
    g = eta * epsilon + soft(masses, values)
    stated = curvature(spread(tilted(masses, values, eta), values), eta)
    case.theorem("S", "g'' = Var_{w_η}(A)/η³", equal(sympy.diff(g, eta, 2), stated, **near))
    shifted = (first + second, second)
    moved = equal(soft(masses, shifted), soft(masses, values) + second, **near)
    case.theorem("S", "A constant in A is affine in g: the second atom may be put at 0", moved)
    (state,) = positive("m")
    other = (second, sympy.Integer(0))
    half = (sympy.Rational(1, 2), sympy.Rational(1, 2))
    mpo = state * soft(masses, values) + (1 - state) * soft(half, other)
    average = state * spread(tilted(masses, values, eta), values) + (1 - state) * spread(
        tilted(half, other, eta), other
    )
    case.theorem(
        "S",
        "MPO: g'' is the state average of the variances over η³",
        equal(sympy.diff(mpo, eta, 2), curvature(average, eta), **near),
    )
    x, y = positive("x y")
    variance = x * y * (first**2) / (x + y) ** 2
    squared = sign(variance.subs(first, sympy.Symbol("a", positive=True)), 1)
    case.theorem("S", "the variance of two atoms is positive unless their advantages agree", squared)
    weights = (x / (x + y), y / (x + y))
    case.support(
        "S",
        "and is x y (A − B)²/(x + y)²",
        equal(summed(w * v**2 for w, v in zip(weights, values, strict=True)) - mean(weights, values) ** 2, variance),
    )
