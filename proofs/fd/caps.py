"""A linear extension of f* is a cap on w (FD-05); the Fermi-Dirac generator between its limits (FD-06)."""

from __future__ import annotations

from typing import Any

import sympy
from flint import arb, fmpq

from proofs import balls, conic, generators, instances
from proofs.arithmetic import log
from proofs.claim import claim
from proofs.divergences import Law, law
from proofs.evidence import Answer, Case, every
from proofs.fd.duality import multiplier, optimal_ratios
from proofs.generators import Curved, capped, fermi_dirac
from proofs.symbolic import equal, positive, real, sign, vanishes
from proofs.verdict import THEOREM

FOUR = fmpq(4)
"""d <= 4 D."""

SKEWED = law([1, 9, 10], [200, 1, fmpq(1, 2)])
"""One atom in twenty is far above the others, so that every generator runs into the cap."""

CAPPED = tuple(capped(f, FOUR) for f in (generators.KL, generators.JS, generators.CHI, generators.REVERSE))


def tangent(generator: Curved, y: Any, cap: Any) -> Any:
    """f*(y_c) + W (y - y_c) with y_c = f'(W): the linear C1 extension beyond y_c."""
    edge = generator.derivative(cap)
    return generator.conjugate(edge) + cap * (y - edge)


@claim(
    "FD-05",
    source=("toolkit", "ROER critic.py (its clip)", "002 §8"),
    statement="Extending f* by its tangent is the same as capping the ratio.",
    formula=(
        "sup_{0≤w≤W} (wy − f(w)) = f*(y) for y ≤ y_c, f*(y_c) + W(y − y_c) beyond, W = (f*)'(y_c);  E[min(g(z), W)] = 1"
    ),
    stated=THEOREM,
    corrected=(
        "A C¹ linear extension makes a loss robust and keeps the problem convex: the primal is solved over w ≤ W."
    ),
    method="S+B+C",
    derivation=(
        "If y ≤ y_c = f'(W) the free maximiser (f*)'(y) is at most W: nothing changes.",
        "If y > y_c, wy − f(w) has the slope y − f'(w) > 0 on [0, W], because f' increases: the maximum is Wy − f(W).",
        "By Fenchel–Young at y_c, f(W) = W y_c − f*(y_c): Wy − f(W) = f*(y_c) + W(y − y_c).",
        "Its derivative is min((f*)'(y), W): stationarity of the regression is E[min(g(z), W)] = 1.",
    ),
    twins={
        "slope 1": {"tail": lambda f, y, cap: f.conjugate(f.derivative(cap)) + (y - f.derivative(cap))},
        "slope over W": {"tail": lambda f, y, cap: f.conjugate(f.derivative(cap)) + (y - f.derivative(cap)) / cap},
        "constant dropped": {"tail": lambda f, y, cap: cap * (y - f.derivative(cap))},
        "clipped and rescaled": {
            "weights": lambda data, f: _rescaled(
                [w.min(balls.ball(FOUR)) for w in optimal_ratios(data, _free(f))], data
            )
        },
        "the cap forgotten": {"weights": lambda data, f: optimal_ratios(data, _free(f))},
    },
)
def fd_05(case: Case, *, tail: Any = tangent, weights: Any = optimal_ratios) -> None:
    """Both branches of the restricted supremum for five generators; capped problems against Clarabel."""
    cap, (y,), (w,) = positive("W")[0], real("y"), positive("w")
    for generator in (generators.KL, generators.JS, generators.CHI, generators.HELLINGER, generators.REVERSE):
        beyond = equal(tail(generator, y, cap), cap * y - generator.value(cap))
        case.theorem("S", f"{generator.name}: the extension is Wy − f(W)", beyond)
        rising = sign(sympy.diff(generator.derivative(w), w), 1)
        case.theorem("S", f"{generator.name}: f' increases, so that is the supremum over [0, W]", rising)
        slope = sympy.diff(tail(generator, y, cap), y)
        case.theorem(
            "S",
            f"{generator.name}: it continues f* with the slope (f*)'(y_c) = W",
            equal(generator.ratio(generator.derivative(cap)), slope),
        )
    answers, means = [], []
    for generator in CAPPED:
        with balls.precision(384):
            seen = weights(SKEWED, generator)
            mean = balls.ball(SKEWED.expect(seen))
            touches = seen[0].overlaps(balls.ball(FOUR)) and seen[1] < FOUR
        means.append(
            Answer(
                bool(touches and abs(mean - 1) < arb(10) ** (-25)),
                f"{generator.name}: E w = {balls.short(mean, 6)}, w = ({', '.join(balls.short(x, 5) for x in seen)})",
            )
        )
        answers.append(conic.optimal(SKEWED, generator, [exact_cap(x) for x in seen], generator.name))
    case.theorem(
        "B", "E[min(g(z), W)] = 1 with the top atom at the cap", every(means, "; ".join(a.witness for a in means))
    )
    case.theorem("C", "min(g(z), 4) is optimal among d ≤ 4D", every(answers))


def exact_cap(weight: arb) -> Any:
    """The cap itself, where a ball around it is all that the arithmetic gives."""
    return balls.ball(FOUR) if weight.overlaps(balls.ball(FOUR)) else weight


def _free(generator: Curved) -> Curved:
    name = generator.name.partition(" w<=")[0]
    return next(f for f in (generators.KL, generators.JS, generators.CHI, generators.REVERSE) if f.name == name)


def _rescaled(values: list[arb], data: Law) -> list[arb]:
    total = balls.ball(data.expect(values))
    return [value / total for value in values]


TEN = Law((fmpq(1, 10),) * 10, tuple(fmpq(k) for k in range(10)))
"""q = 0, ..., 9, equally likely."""

LEVEL = fmpq(5, 2)
"""C = 5/2: CVaR of level 2/5, the mean of the best four."""


def tail_mean(data: Law, cap: fmpq) -> fmpq:
    """max E[w q] over 0 <= w <= C with mean one: the best 1/C of the law, an exact linear program."""
    left, total = fmpq(1), fmpq(0)
    for mass, q in sorted(zip(data.masses, data.z, strict=True), key=lambda pair: -pair[1]):
        take = min(left, cap * mass)
        total, left = total + take * q, left - take
    return total


def tail_bound(data: Law, cap: fmpq) -> fmpq:
    """min_t t + C E(q - t)_+, the dual of that program; its minimum lies at an atom."""
    return min(t + cap * data.expect([max(q - t, fmpq(0)) for q in data.z]) for t in data.z)


@claim(
    "FD-06",
    source=("toolkit", "002 §12"),
    statement="The limits of the Fermi-Dirac generator w log w + (C−w) log(C−w).",
    formula="C → ∞: KL;  C → 1⁺: uniform;  C = 2: log-cosh regression;  β → 0: CVaR of level 1/C",
    stated={"KL": THEOREM, "uniform": THEOREM, "log-cosh": THEOREM, "CVaR": THEOREM},
    corrected=(
        "Quantified: |w/w_KL − 1| ≤ w_max/(C − w_max);  w ≤ C and 1 − w_i ≤ (C−1)(1−D_i)/D_i;  CVaR − β(C log C "
        "− f(1)) ≤ "
        "value + βf(1) ≤ CVaR. Ten equally likely values 0…9 and C = 5/2: 7.5."
    ),
    method="S+Q+B+P",
    derivation=(
        "w = Cσ(z−ν) means w = k e^z(1 − w/C). So w/(k e^z) ∈ [1 − w_max/C, 1], and E w = 1 puts k E e^z in "
        "[1, 1/(1 − w_max/C)]: C → ∞ gives e^z/E e^z.",
        "w ≤ C bounds the excess, and E w = 1 the lack: D_i(1 − w_i) = Σ_{j≠i} D_j(w_j − 1) ≤ (C−1)(1−D_i).",
        "C = 2: f*(z) − z = 2 log(1 + e^z) − 2 log 2 − z = 2 log cosh(z/2).",
        "f(1) ≤ E f(w) ≤ max(f(0), f(C)) = C log C, so β → 0 leaves max E[wq] over w ≤ C: CVaR, with the dual "
        "min_t t + C E(q−t)₊.",
    ),
    twins={
        "KL: bound over C squared": {"near": lambda top, cap: top / cap**2},
        "uniform: bound with (C-1)^2": {"lack": lambda cap, mass: (cap - 1) ** 2 * (1 - mass) / mass / 4},
        "log cosh z": {"cosh": lambda z: 2 * log(sympy.cosh(z))},
        "log cosh without the 2": {"cosh": lambda z: log(sympy.cosh(z / 2))},
        "CVaR of level C": {"risk": lambda data, cap: tail_mean(data, 1 / cap if cap < 1 else 2 * cap)},
        "the mean": {"risk": lambda data, cap: data.expect(data.z)},
    },
)
def fd_06(
    case: Case,
    *,
    near: Any = lambda top, cap: top / (cap - top),
    lack: Any = lambda cap, mass: (cap - 1) * (1 - mass) / mass,
    cosh: Any = lambda z: 2 * log(sympy.cosh(z / 2)),
    risk: Any = tail_mean,
) -> None:
    """Both limits in C on a family of laws with their bounds; log-cosh in symbols; CVaR as an exact linear program."""
    family = [
        d for d in instances.laws(20, seed=61) if fmpq(1, 10**3) < min(d.exponentials) <= max(d.exponentials) < 10**3
    ]
    wide, tight = [], []
    with balls.precision(384):
        for data in family:
            raw = data.exponentials
            total = balls.ball(data.expect(raw))
            for cap in (fmpq(1000), fmpq(10**6)):
                seen = optimal_ratios(data, fermi_dirac(cap))
                top = max(seen, key=lambda x: float(x.mid()))
                error = max(
                    (abs(w / (r / total) - 1) for w, r in zip(seen, raw, strict=True)), key=lambda x: float(x.mid())
                )
                bound = near(top, cap)
                wide.append(
                    Answer(
                        bool(error <= bound + arb(10) ** (-30)),
                        f"C={cap}: {balls.short(error, 3)} ≤ {balls.short(bound, 3)}",
                    )
                )
            for cap in (fmpq(11, 10), fmpq(1001, 1000)):
                seen = optimal_ratios(data, fermi_dirac(cap))
                tiny = arb(10) ** (-30)
                holds = all(
                    w <= balls.ball(cap) and 1 - w <= balls.ball(lack(cap, m)) + tiny
                    for w, m in zip(seen, data.masses, strict=True)
                )
                tight.append(Answer(bool(holds), f"C={cap}: w=({', '.join(balls.short(w, 6) for w in seen)})"))
    case.theorem("P", "|w/w_KL − 1| ≤ w_max/(C − w_max) at C = 10³, 10⁶", every(wide, wide[-1].witness), part="KL")
    case.theorem(
        "P", "w ≤ C and 1 − w ≤ (C−1)(1−D)/D at C = 1.1, 1.001", every(tight, tight[-1].witness), part="uniform"
    )
    z = real("z")[0]
    two = fermi_dirac(sympy.Integer(2))
    loss = two.conjugate(z) - z
    case.theorem(
        "S",
        "C = 2: f*(z) − z = 2 log cosh(z/2)",
        vanishes(sympy.exp(loss).rewrite(sympy.exp) - sympy.exp(cosh(z)).rewrite(sympy.exp)),
        part="log-cosh",
    )
    level, lowest = risk(TEN, LEVEL), tail_bound(TEN, LEVEL)
    case.theorem(
        "Q",
        "CVaR of level 2/5 of 0…9 is 7.5: primal and dual of the linear program agree",
        level == lowest == fmpq(15, 2),
        f"{level} and {lowest}",
        part="CVaR",
    )
    answers = []
    generator = fermi_dirac(LEVEL)
    with balls.precision(384):
        price = balls.ball(LEVEL) * log(balls.ball(LEVEL)) - generator.value(balls.ball(1))
        for beta in (fmpq(1), fmpq(1, 10), fmpq(1, 100)):
            data = Law(TEN.masses, tuple(q / beta for q in TEN.z))
            nu = multiplier(data, generator, 320)
            value = balls.ball(beta) * (conic.dual_value(data, generator, nu) + generator.value(balls.ball(1)))
            low, high = balls.ball(level) - balls.ball(beta) * price, balls.ball(level)
            answers.append(
                Answer(
                    bool(low <= value <= high),
                    f"β={beta}: {balls.short(low, 6)} ≤ {balls.short(value, 6)} ≤ {balls.short(high, 6)}",
                )
            )
    case.theorem(
        "B",
        "CVaR − β(C log C − f(1)) ≤ value + βf(1) ≤ CVaR",
        every(answers, "; ".join(a.witness for a in answers)),
        part="CVaR",
    )
