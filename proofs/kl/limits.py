"""The KL optimum at small and large beta, and on continuous laws (KL-10, KL-11)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sympy
from flint import fmpq

from proofs import balls, instances
from proofs.arithmetic import exp
from proofs.claim import claim
from proofs.divergences import Law, kl_ratio
from proofs.evidence import Answer, Case, every
from proofs.symbolic import equal, positive, real, sign, vanishes
from proofs.verdict import TRUE, true_if


def conditional(masses: Sequence[fmpq], tied: Sequence[int]) -> list[fmpq]:
    """D restricted to the best actions: ties in proportion to D."""
    total = sum((masses[k] for k in tied), fmpq(0))
    return [mass / total if k in tied else fmpq(0) for k, mass in enumerate(masses)]


def evenly(masses: Sequence[fmpq], tied: Sequence[int]) -> list[fmpq]:
    """All mass on the best actions, ties evenly."""
    return [fmpq(1, len(tied)) if k in tied else fmpq(0) for k in range(len(masses))]


def abridged(data: Law) -> str:
    """A law in a few words."""
    text = str(data)
    return text if len(text) < 100 else f"{text[:100]}…"


ADVANTAGE = (fmpq(0), fmpq(1, 2), fmpq(2), fmpq(-3))
MASSES = (fmpq(1, 2), fmpq(1, 8), fmpq(1, 8), fmpq(1, 4))


@claim(
    "KL-10",
    source=("000 §1", "001 design idea"),
    statement="β → 0 makes the weights greedy, β → ∞ makes them uniform.",
    formula="‖w − 1‖_∞ ≤ e^{R/β} − 1;  d(A < max A) ≤ ((1−D*)/D*) e^{−gap/β};  d → D(·|argmax A) as β → 0",
    stated={"greedy": TRUE, "uniform": TRUE},
    corrected=(
        "R is the range of A, gap the distance from the best to the second-best advantage, D* = D(argmax A). Ties keep "
        "the proportions of D."
    ),
    method="P+B",
    derivation=(
        "w = e^{A/β}/E e^{A/β} is a quotient of two numbers between e^{min A/β} and e^{max A/β}: it lies in "
        "[e^{−R/β}, e^{R/β}], and 1 − e^{−x} ≤ e^x − 1.",
        "Off the argmax, e^{A/β} ≤ e^{(max A − gap)/β}, with D-mass 1 − D*; on it the numerator is D* e^{max A/β}. The "
        "quotient bounds the odds, and a probability is at most its odds.",
        "Tied pairs have equal weights w, so d = wD keeps their proportions; the rest vanishes by the bound.",
    ),
    twins={
        "half the range": {"spread": lambda e_range: (e_range - 1) / 2},
        "1 − e^{−R/β}": {"spread": lambda e_range: 1 - 1 / e_range},
        "odds of D dropped": {"leak": lambda top, e_gap: 1 / e_gap},
        "odds of D inverted": {"leak": lambda top, e_gap: top / (1 - top) / e_gap if top < 1 else fmpq(0)},
        "ties shared evenly": {"limit": evenly},
    },
)
def kl_10(
    case: Case,
    *,
    spread: Any = lambda e_range: e_range - 1,
    leak: Any = lambda top, e_gap: (1 - top) / top / e_gap,
    limit: Any = conditional,
) -> None:
    """Both bounds exactly on laws with rational e^{A/β}; in balls for one law over ten decades of β."""
    family = list(instances.laws(40, seed=10))

    def near_uniform(data: Law) -> Answer:
        weights = data.normalised(kl_ratio)
        distance = max(abs(w - 1) for w in weights)
        allowed = spread(max(data.exponentials) / min(data.exponentials))
        return Answer(bool(distance <= allowed), abridged(data))

    def near_greedy(data: Law) -> Answer:
        best = max(data.exponentials)
        tied = [k for k, q in enumerate(data.exponentials) if q == best]
        d = [m * w for m, w in zip(data.masses, data.normalised(kl_ratio), strict=True)]
        goal = limit(data.masses, tied)
        distance = sum((abs(x - y) for x, y in zip(d, goal, strict=True)), fmpq(0)) / 2
        others = [q for q in data.exponentials if q != best]
        top = sum((data.masses[k] for k in tied), fmpq(0))
        allowed = leak(top, best / max(others)) if others else fmpq(0)
        return Answer(bool(distance <= allowed), f"distance {balls.short(distance)} on {abridged(data)}")

    case.claimed("P", "‖w − 1‖_∞ ≤ e^{R/β} − 1", every(near_uniform(data) for data in family), part="uniform")
    case.claimed(
        "P",
        "d is as close to D(·|argmax A), in total variation, as the bound on the mass off the argmax",
        every(near_greedy(data) for data in family),
        part="greedy",
    )
    uniform, greedy = [], []
    for decade in range(-5, 6):
        with balls.precision(192):
            beta = balls.ball(fmpq(10) ** decade)
            parts = [mass * (balls.ball(a) / beta).exp() for mass, a in zip(MASSES, ADVANTAGE, strict=True)]
            total = sum(parts[1:], parts[0])
            ratios = [part / mass / total for part, mass in zip(parts, MASSES, strict=True)]
            distance = max((abs(w - 1) for w in ratios), key=lambda ball: float(ball.mid()))
            allowed = spread((balls.ball(5) / beta).exp())
            uniform.append(Answer(balls.less(distance, allowed), f"β=1e{decade}: {balls.short(distance, 3)}"))
            off = (parts[0] + parts[1] + parts[3]) / total
            bound = leak(MASSES[2], (balls.ball(fmpq(3, 2)) / beta).exp())
            greedy.append(Answer(balls.less(off, bound), f"β=1e{decade}: {balls.short(off, 3)}"))
    numbers = f"A=({', '.join(map(str, ADVANTAGE))}), D=({', '.join(map(str, MASSES))})"
    case.claimed(
        "B",
        "‖w − 1‖_∞ ≤ e^{R/β} − 1 for β = 10^−5 to 10^5",
        every(uniform),
        f"{numbers}, {uniform[-1].witness}",
        part="uniform",
    )
    case.claimed(
        "B",
        "mass off the argmax within its bound for β = 10^−5 to 10^5",
        every(greedy),
        f"{numbers}, {greedy[4].witness}",
        part="greedy",
    )


def gaussian_objective(variance: Any, beta: Any) -> Any:
    """E_d[x^2] - beta KL(d || N(0, 1)) for d = N(0, variance)."""
    return variance - beta * (variance - 1 - sympy.log(variance)) / 2


@claim(
    "KL-11",
    source="000 §5 (the continuous version, promised at its end)",
    statement="The derivation carries over to integrals: on a continuous law too, w* = exp(A/β)/E exp(A/β).",
    formula="w* = e^{A/β}/E e^{A/β},  value β log E e^{A/β}",
    stated=true_if("E e^{A/β} < ∞"),
    corrected="If E e^{A/β} = ∞ no optimum exists: the supremum is +∞ although every term of the objective is finite.",
    method="S",
    derivation=(
        "D = N(0, 1), A = x²: E e^{x²/β} = ∫ e^{−(1/2 − 1/β)x²} dx/√(2π) = (1 − 2/β)^{−1/2} if β > 2, else ∞.",
        "β = 3: Z = √3, and e^{x²/3}D/Z is the density of N(0, 3).",
        "For d = N(0, v): J(v) = v − β(v − 1 − log v)/2. At β = 3 it is largest at v = 3: 3 log √3 = β log Z.",
        "At β = 2, J(v) = 1 + log v → ∞.",
    ),
    twins={
        "sign": {"weight": lambda a, b: exp(-a / b)},
        "factor 2": {"weight": lambda a, b: exp(2 * a / b)},
        "β multiplies": {"weight": lambda a, b: exp(a * b)},
        "value log Z": {"value": lambda z, b: sympy.log(z)},
    },
)
def kl_11(case: Case, *, weight: Any = lambda a, b: exp(a / b), value: Any = lambda z, b: b * sympy.log(z)) -> None:
    """Integrals for D = N(0, 1) and A = x²; the objective over all centred Gaussians."""
    (x,), (v, c) = real("x"), positive("v c")
    density = sympy.exp(-(x**2) / 2) / sympy.sqrt(2 * sympy.pi)

    def integral(beta: int, moment: int = 0) -> Any:
        integrand = sympy.powsimp(sympy.expand(x**moment * weight(x**2, sympy.Integer(beta)) * density))
        return sympy.integrate(integrand, (x, -sympy.oo, sympy.oo))

    partition = integral(3)
    finite = partition.is_finite is not False
    case.within("S", "Z = √3 at β = 3", partition == sympy.sqrt(3), f"Z = {partition}")
    best = sympy.solve(sympy.diff(gaussian_objective(v, sympy.Integer(3)), v), v)
    case.support("S", "J(v) at β = 3 is largest at v = 3", best == [3] and curvature_is_negative(v))
    second = sympy.simplify(integral(3, 2) / partition) if finite else sympy.oo
    case.within("S", "the law e^{A/β}D/Z has the variance of the best Gaussian", second == 3, f"{second}")
    largest = gaussian_objective(sympy.Integer(3), sympy.Integer(3))
    reached = vanishes(sympy.expand_log(value(sympy.sqrt(3), 3) - largest, force=True))
    case.within("S", "β log Z is the largest value of J", reached, f"{sympy.N(largest, 6)}")

    unbounded = integral(2)
    case.outside(
        "S", "E e^{A/β} is finite at β = 2, so that w* exists", unbounded.is_finite is not False, f"Z = {unbounded}"
    )
    case.corrected(
        "S",
        "at β = 2 the objective of N(0, v) is 1 + log v, without bound",
        every(
            (
                equal(gaussian_objective(v, sympy.Integer(2)), 1 + sympy.log(v)),
                Answer(sympy.limit(gaussian_objective(v, sympy.Integer(2)), v, sympy.oo) == sympy.oo),
            )
        ),
    )
    closed = sympy.integrate(sympy.exp(-c * x**2) / sympy.sqrt(2 * sympy.pi), (x, -sympy.oo, sympy.oo))
    case.corrected("S", "Z = (1 − 2/β)^{−1/2} with c = 1/2 − 1/β > 0", equal(closed, 1 / sympy.sqrt(2 * c)))


def curvature_is_negative(v: sympy.Symbol) -> bool:
    """Whether J at beta = 3 is strictly concave in the variance."""
    return sign(sympy.diff(gaussian_objective(v, sympy.Integer(3)), v, 2), -1).holds is True
