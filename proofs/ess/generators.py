"""How concentrated exactly normalised weights are as beta varies, for every divergence (ESS-11, ESS-14).

w = g(tA - mu(t)) with t = 1/beta, g = (f*)' and mu(t) such that E[w] = 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import sympy
from flint import fmpq

from proofs import balls, literal, under_test
from proofs.arithmetic import entropy_term, sigmoid
from proofs.claim import claim
from proofs.divergences import Law
from proofs.ess.paths import FERMI_DIRAC, GENERATORS, chi_square_weights, paths, weights
from proofs.ess.samples import shown
from proofs.evidence import Case, every
from proofs.exact import LogNumber
from proofs.symbolic import positive, real, sign, summed, vanishes
from proofs.verdict import FALSE, THEOREM, TRUE


def response(a: Sequence[Any], k: Sequence[Any], direction: Sequence[Any]) -> Any:
    """d/dt E[Phi] = sum k_i Phi'_i (A_i - mu'), with k = D g'(tA - mu) and mu' from dE[w]/dt = sum k (A - mu') = 0."""
    slope = summed(x * y for x, y in zip(k, a, strict=True)) / summed(k)
    return summed(x * p * (y - slope) for x, p, y in zip(k, direction, a, strict=True))


def covariance(k: Sequence[Any], left: Sequence[Any], right: Sequence[Any]) -> Any:
    """E[g'] Cov_{g'}(left, right), under the law proportional to k = D g'."""
    mass = summed(k)
    first, second = (summed(x * y for x, y in zip(k, values, strict=True)) / mass for values in (left, right))
    return summed(x * p * q for x, p, q in zip(k, left, right, strict=True)) - mass * first * second


DISPERSIONS: dict[str, Callable[[Any], Any]] = {
    "E w² = n/ESS": lambda w: w * w,
    "E w log w = log(n/perplexity)": entropy_term,
    "E w³ (Rényi, order 3)": lambda w: w * w * w,
}
SIGMOID_BATCH = (LogNumber.log(4), LogNumber.log(64))
RAMP = (fmpq(0), fmpq(1), fmpq(3))


@claim(
    "ESS-11",
    source=("toolkit", "001 alternative signals, §5", "002 §5"),
    statement="With another weight than exp(δ/β), ESS and entropy of the weights are still signals that grow with β.",
    formula="d/dt E[φ(w)] = E[g']·Cov_{g'}(φ'(w), A) ≥ 0 for convex φ, w = g(tA − μ(t)), E[w] = 1",
    stated={"every generator": THEOREM, "chi-square plateau": THEOREM, "raw sigmoid": FALSE},
    corrected=(
        "True for every generator if the weights are exactly normalised (multiplier solved for). Chi-square weights "
        "stay at ESS = m below β = (m/n)(A₍₁₎ − A₍₂₎). Raw σ(δ/β) fails: normalise by the multiplier of Fermi-Dirac."
    ),
    method="S+Q+P",
    derivation=(
        "Differentiate E[w] = 1: E[g'(A − μ')] = 0, so μ' is the mean of A under the law proportional to D g'.",
        "d/dt E[φ(w)] = E[φ'(w) g' (A − μ')], which is E[g'] times a covariance under that law.",
        "φ' increases with w and w with A: pair by pair, (φ'_i − φ'_j)(A_i − A_j) ≥ 0.",
        "χ²: the best m of n atoms alone have w = n/m, and the next is positive iff 1 + (A₍₂₎ − A₍₁₎)/β + n/m − 1 > 0.",
        "σ(δ/β) with δ = (log 4, log 64): (4/5, 64/65) at β = 1, ESS = 841/425 = 1.9788; (2/3, 8/9) at β = 2, "
        "ESS = 49/25; (½, ½) at β = ∞, ESS = 2: down, then up.",
    ),
    twins={
        "covariance under D instead of D g'": {
            "product": lambda k, left, right: covariance([sympy.Integer(1)] * 3, left, right)
        },
        "sign of the covariance": {"product": lambda k, left, right: -covariance(k, left, right)},
        "a concave dispersion": {"dispersions": {"E √w": lambda w: balls.ball(w).sqrt()}},
        "plateau up to A₍₁₎ − A₍₂₎": {"edge": lambda m, n, gap: gap},
        "plateau up to (1 − m/n)(A₍₁₎ − A₍₂₎)": {"edge": lambda m, n, gap: (1 - fmpq(m, n)) * gap},
        "the exponential in the place of the sigmoid": {"raw": lambda delta: delta.exp()},
    },
)
def ess_11(
    case: Case,
    *,
    product: Any = covariance,
    dispersions: Any = DISPERSIONS,
    edge: Any = lambda m, n, gap: fmpq(m, n) * gap,
    raw: Any = sigmoid,
) -> None:
    """The covariance in symbols, with its sign; six generators on a family; the plateau and the sigmoid exactly."""
    a, slope, k, part = real("A1 A2 A3"), real("p1 p2 p3"), positive("k1 k2 k3"), "every generator"
    change = response(a, k, slope)
    case.theorem(
        "S",
        "d/dt E[φ(w)] = E[g'] Cov_{g'}(φ'(w), A)",
        vanishes(sympy.cancel(change - product(k, slope, a))),
        part=part,
    )
    b, c, d, e = positive("b c d e")
    order = {a[1]: a[0] + b, a[2]: a[0] + b + c, slope[1]: slope[0] + d, slope[2]: slope[0] + d + e}
    increase = sympy.cancel(change.subs(order, simultaneous=True))
    case.theorem("S", "it is positive where φ'(w) is ordered like A", sign(increase, 1), part=part)
    for name, phi in dispersions.items():
        case.theorem(
            "P",
            f"{name} does not increase with β, for {', '.join(g.name for g in GENERATORS)}",
            every(path.decreasing(lambda w, _, phi=phi: phi(w)) for path in paths()),
            part=part,
        )

    part = "chi-square plateau"
    for advantage in (RAMP, (fmpq(0), fmpq(1), fmpq(1)), (fmpq(0), fmpq(0), fmpq(2), fmpq(5))):
        count, best = len(advantage), max(advantage)
        ties = sum(1 for x in advantage if x == best)
        limit = edge(ties, count, best - max(x for x in advantage if x < best))
        uniform = (fmpq(1, count),) * count
        sizes = [
            literal.effective_sample_size(chi_square_weights(Law(uniform, tuple(x / beta for x in advantage))))
            for beta in (limit / 50, limit / 2, limit, limit * fmpq(101, 100))
        ]
        case.theorem(
            "Q",
            f"ESS = {ties} up to β = {limit} and more beyond, A = {shown(advantage)}",
            sizes[:3] == [ties] * 3 and sizes[3] > ties,
            f"ESS {shown(sizes)}",
            part=part,
        )

    part = "raw sigmoid"
    sizes = [literal.effective_sample_size([fmpq(raw(delta / beta)) for delta in SIGMOID_BATCH]) for beta in (1, 2)] + [
        literal.effective_sample_size([fmpq(raw(LogNumber.of(0)))] * 2)
    ]
    case.claimed(
        "Q",
        "ESS of σ(δ/β) grows along β = 1, 2, ∞",
        sizes[0] <= sizes[1] <= sizes[2],
        f"ESS = {shown(sizes)}",
        part=part,
    )
    normalised = [
        weights(Law((fmpq(1, 2),) * 2, tuple(x / beta for x in SIGMOID_BATCH)), FERMI_DIRAC) for beta in (1, 2)
    ]
    with balls.precision(192):
        fixed = [literal.effective_sample_size(w) for w in normalised]
        grows = bool(fixed[0] < fixed[1]) and bool(fixed[1] < 2)
        case.corrected("P", "with the multiplier solved for it does", grows, f"ESS = {shown(fixed)}", part=part)


@claim(
    "ESS-14",
    source=("001 theoretical analysis, §1", "001 bias-variance, §2"),
    statement="A small β corrects the distribution more strongly than a large one.",
    formula="E_{d_β}[A] and D_f(d_β‖D) do not increase in β; for KL dE_{d_β}[A]/dβ = −Var/β², dKL/dβ = −Var/β³",
    stated=TRUE,
    corrected="For every f. The variance is that of A under d_β.",
    method="P+S",
    derivation=(
        "By the identity of ESS-11 with Φ' = A: dE[wA]/dt = E[g'] Var_{g'}(A) ≥ 0, t = 1/β.",
        "dE[f(w)]/dt = E[f'(w) w'] with f'(w) = tA − μ; since E[w'] = 0 this is t dE[wA]/dt ≥ 0.",
        "For KL, w' = w(A − E_d A), so dE_d[A]/dt = Var_d(A) and dKL/dt = t Var_d(A); dt/dβ = −1/β².",
    ),
    twins={
        "sign of dE/dβ": {"gain": lambda variance, beta: variance / beta**2},
        "dE/dβ with 1/β": {"gain": lambda variance, beta: -variance / beta},
        "dKL/dβ with 1/β²": {"divergence": lambda variance, beta: -variance / beta**2},
        "the advantage with the opposite sign": {"aim": lambda a: -a},
    },
)
def ess_14(
    case: Case,
    *,
    gain: Any = lambda variance, beta: -variance / beta**2,
    divergence: Any = lambda variance, beta: -variance / beta**3,
    aim: Any = lambda a: a,
) -> None:
    """Six generators on a family; the two responses for every f, and the two KL derivatives, in symbols."""
    case.claimed(
        "P",
        f"E_{{d_β}}[A] does not increase with β, for {', '.join(g.name for g in GENERATORS)}",
        every(path.decreasing(lambda w, a: w * aim(a)) for path in paths()),
    )
    case.claimed(
        "P",
        "D_f(d_β‖D) does not increase with β, each f with its own weights",
        every(path.decreasing(lambda w, _, path=path: path.generator.value(w)) for path in paths()),
    )
    a, k, (t, beta), (mu,) = real("A1 A2 A3"), positive("k1 k2 k3"), positive("t beta"), real("mu")
    pairs = list(itertools.combinations(range(3), 2))
    spread = summed(k[i] * k[j] * (a[i] - a[j]) ** 2 for i, j in pairs) / summed(k)
    forward = response(a, k, a)
    case.claimed("S", "dE[wA]/dt = E[g'] Var_{g'}(A), a sum of squares", vanishes(sympy.cancel(forward - spread)))
    inner = response(a, k, [t * x - mu for x in a])
    case.claimed("S", "dD_f/dt = t dE[wA]/dt, for every f", vanishes(sympy.cancel(inner - t * forward)))

    masses, x = positive("D1 D2 D3"), positive("x1 x2 x3")  # x_i = e^{A_i/beta} moves at the rate -A_i x_i / beta^2
    tilted = [m * y for m, y in zip(masses, x, strict=True)]
    partition = summed(tilted)
    average = summed(m * y for m, y in zip(tilted, a, strict=True)) / partition
    variance = summed(m * y**2 for m, y in zip(tilted, a, strict=True)) / partition - average**2

    def by_beta(expression: Any) -> Any:
        along = summed(-y / beta**2 * z * sympy.diff(expression, z) for y, z in zip(a, x, strict=True))
        return sympy.diff(expression, beta) + along

    case.claimed("S", "KL: dE_{d_β}[A]/dβ = −Var/β²", vanishes(sympy.cancel(by_beta(average) - gain(variance, beta))))
    shares = [y / partition for y in tilted]
    logs = [y / beta - sympy.log(partition) for y in a]
    relative = summed(d * y for d, y in zip(shares, logs, strict=True))
    case.claimed("S", "KL: dKL/dβ = −Var/β³", vanishes(sympy.cancel(by_beta(relative) - divergence(variance, beta))))
    case.comparison("B", "reference.concentration.perplexity_elasticity", under_test.elasticity(perplexity=True))
