"""Squashed Gaussians: the density after tanh, and the modes that a Gaussian actor can have (SAC-14, SAC-25)."""

from __future__ import annotations

from typing import Any

import mpmath
import sympy

from proofs import balls
from proofs.claim import claim
from proofs.evidence import Answer, Case
from proofs.sac import integrals
from proofs.sac.gaussian import X, log_normal_density
from proofs.sac.soft import ALPHA
from proofs.symbolic import equal, positive, real, sign, vanishes
from proofs.verdict import FALSE, TRUE

MU = sympy.Symbol("mu", real=True)
SIGMA = sympy.Symbol("sigma", positive=True)


def softplus(x: Any) -> Any:
    """log(1 + e^x)."""
    return sympy.log(1 + sympy.exp(x))


@claim(
    "SAC-14",
    source=("003 §0.4.1", "003 §4.1", "003 §5"),
    statement="Gaussian actions a = μ + σε, whose log-probability is that of the Gaussian.",
    formula="a = μ_φ(s) + σ_φ(s) ε,  log π(a|s) = log N(a; μ, σ)",
    stated={"unbounded actions": TRUE, "bounded actions": FALSE},
    corrected=(
        "Bounded actions are a = tanh u with u = μ + σε, and log π(a) = log N(u; μ, σ) − Σ log(1 − tanh² u). Stable: "
        "log(1 − tanh² u) = 2(log 2 − u − softplus(−2u)). Without the correction the 'density' of a integrates to "
        "0.6057 (μ = 0, σ = 1)."
    ),
    method="S+B",
    derivation=(
        "a = μ + σε: da = σ dε, so log π(a) = log N(ε; 0, 1) − log σ = log N(a; μ, σ).",
        "a = tanh u: da = (1 − tanh² u) du, so π(a) = N(u)/(1 − tanh² u), and the logarithm gets −log(1 − tanh² u).",
        "Leave it out: ∫N(u(a)) da = E[1 − tanh² u] = 0.6057 instead of 1.",
        "1 − tanh² u = 4/(e^u + e^{−u})² = 4e^{−2u}/(1 + e^{−2u})²: half its logarithm is log 2 − u − softplus(−2u).",
    ),
    twins={
        "claim the corrected density": {"claimed": lambda normal, slope: normal / slope},
        "sign of the correction": {"right": lambda normal, slope: normal * slope},
        "the correction squared": {"right": lambda normal, slope: normal / slope**2},
        "the stable form without its 2": {"stable": lambda u: sympy.log(2) - u - softplus(-2 * u)},
        "softplus(-u) in the stable form": {"stable": lambda u: 2 * (sympy.log(2) - u - softplus(-u))},
        "log sigma forgotten": {"unsquashed": lambda log_noise, sigma: log_noise},
    },
)
def sac_14(
    case: Case,
    *,
    claimed: Any = lambda normal, slope: normal,
    right: Any = lambda normal, slope: normal / slope,
    stable: Any = lambda u: 2 * (sympy.log(2) - u - softplus(-2 * u)),
    unsquashed: Any = lambda log_noise, sigma: log_noise - sympy.log(sigma),
) -> None:
    """The change of variables in symbols; the mass of either density on (-1, 1) enclosed by rigorous quadrature."""
    part = "unbounded actions"
    noise = log_normal_density(X, sympy.Integer(0), sympy.Integer(1))
    gaussian_action = log_normal_density(MU + SIGMA * X, MU, SIGMA)
    case.claimed("S", "log π(μ + σε) = log N(a; μ, σ)", equal(unsquashed(noise, SIGMA), gaussian_action), part=part)

    part = "bounded actions"

    def mass(form: Any) -> Any:
        # The integral over a becomes one over u, da = (1 - tanh^2 u) du; beyond the reach it adds at most the tails.
        def integrand(u: Any) -> Any:
            slope = 1 / (u.cosh() * u.cosh())
            return form(integrals.normal_density(u), slope) * slope

        inside = integrals.integral(integrand, -integrals.REACH, integrals.REACH)
        return inside + balls.ball(0).union(2 * integrals.tail())

    with balls.precision(128):
        for role, form, name in ((case.claimed, claimed, "as printed"), (case.corrected, right, "corrected")):
            seen = mass(form)
            holds = seen.contains(1) and seen.rad() < balls.ball("1/1000000000000")
            role("B", f"the density of a = tanh u, {name}, has mass 1", bool(holds), balls.short(seen, 4), part=part)
    (u,), (t,) = real("u"), positive("t")
    slope = sympy.diff(sympy.tanh(u), u)
    case.corrected("S", "da/du = 1 − tanh² u", vanishes(slope - (1 - sympy.tanh(u) ** 2)), part=part)
    exponential = sympy.expand(slope).rewrite(sympy.exp).subs(u, sympy.log(t))
    case.corrected(
        "S",
        "log(1 − tanh² u) = 2(log 2 − u − softplus(−2u))",
        equal(sympy.log(sympy.factor(sympy.simplify(exponential))), stable(sympy.log(t))),
        part=part,
    )


def one_mode(x: Any, m: Any) -> Any:
    """log N(x; m, 1) - log target(x), for the target (N(-m, 1) + N(m, 1))/2."""
    return sympy.log(2) - sympy.log(1 + sympy.exp(-2 * m * x))


def centred_bound(sigma: Any, m: Any) -> Any:
    """A lower bound of KL(N(0, sigma^2) || target), from log(2 cosh y) <= |y| + log 2."""
    return (sigma**2 + m**2 - 1) / 2 - sympy.log(sigma) - m * sigma * sympy.sqrt(2 / sympy.pi)


DISTANCE = 5


def divergence_from_target(mean: float, deviation: float, nodes: int) -> Any:
    """KL(N(mean, deviation^2) || target) by Gauss-Hermite quadrature with so many nodes."""
    import numpy as np

    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    x = mean + deviation * points
    target = np.logaddexp(-((x - DISTANCE) ** 2) / 2, -((x + DISTANCE) ** 2) / 2) - np.log(2)
    own = -(points**2) / 2 - np.log(deviation)
    return float(weights @ (own - target)) / float(weights.sum())


@claim(
    "SAC-25",
    source=("003 §0.2.3", "003 §1.1.1"),
    statement="Several modes: the policy captures several good actions at once.",
    formula="the policy has a mode at every peak of Q(s, ·)",
    stated={"Boltzmann": TRUE, "Gaussian actor": FALSE},
    corrected=(
        "The Gaussian that minimises KL(π‖target) for a symmetric two-peaked target sits on one peak, at KL = log 2 "
        "(less 10⁻⁶ at distance 5). A tanh-Gaussian (μ = 0) has two modes iff σ² > 1/2: they leave 0 there and tend to "
        "the ends of the interval as σ grows, whatever Q is."
    ),
    method="S+N",
    derivation=(
        "π = e^{Q/α}/Z: (log π)' = Q'/α, so π has its modes exactly where Q has its peaks.",
        "Target ½N(−m, 1) + ½N(m, 1), Gaussian on one peak: KL = log 2 − E log(1 + e^{−2mx}) < log 2.",
        "Centred, any σ: log(2 cosh y) ≤ |y| + log 2 gives KL ≥ (σ² + m² − 1)/2 − log σ − mσ√(2/π), at m = 5 never "
        "below 2.62: covering both peaks costs more than losing one.",
        "tanh u, u ~ N(0, σ²): (log π)' = 2 tanh u − u/σ². For σ² ≤ 1/2 it is below 2(tanh u − u) ≤ 0 for u > 0: one "
        "mode. For σ² > 1/2 it is positive at small u and negative at large u: two.",
    ),
    twins={
        "the Boltzmann slope without alpha": {"slope": lambda slope, alpha: slope},
        "one peak costs half": {"single": lambda x, m: sympy.log(2) / 2 - sympy.log(1 + sympy.exp(-2 * m * x))},
        "one peak with exponent mx": {"single": lambda x, m: sympy.log(2) - sympy.log(1 + sympy.exp(-m * x))},
        "the spread reward doubled": {
            "centred": lambda sigma, m: centred_bound(sigma, m) - m * sigma * sympy.sqrt(2 / sympy.pi)
        },
        "two modes from variance one": {"curvature": lambda variance: 1 - 1 / variance},
        "sign of the curvature": {"curvature": lambda variance: 1 / variance - 2},
    },
)
def sac_25(
    case: Case,
    *,
    slope: Any = lambda slope, alpha: slope / alpha,
    single: Any = one_mode,
    centred: Any = centred_bound,
    curvature: Any = lambda variance: 2 - 1 / variance,
) -> None:
    """Modes of the Boltzmann policy; both Gaussians against a target with peaks at -5 and 5; the squashed Gaussian."""
    part = "Boltzmann"
    (a, z), (m, sigma) = real("a log_Z"), positive("m sigma")
    q = sympy.Function("Q")(a)
    log_policy = q / ALPHA - z
    modes = sympy.expand(sympy.diff(log_policy, a) - slope(sympy.diff(q, a), ALPHA)) == 0
    case.claimed("S", "(log π)' = Q'/α: the same peaks", modes, part=part)
    two = -((a**2 - 1) ** 2)
    peaks = [x for x in sympy.solve(sympy.diff(two / ALPHA, a), a) if sympy.diff(two, a, 2).subs(a, x).is_negative]
    case.claimed("S", "Q = −(a² − 1)² gives π the modes ±1", sorted(peaks) == [-1, 1], f"modes {peaks}", part=part)

    part = "Gaussian actor"
    target = sympy.log((sympy.exp(-((X - m) ** 2) / 2) + sympy.exp(-((X + m) ** 2) / 2)) / 2)
    on_peak = -((X - m) ** 2) / 2 - target
    identity = vanishes(sympy.exp(on_peak) - sympy.exp(single(X, m)))
    case.corrected("S", "on one peak: log π − log target = log 2 − log(1 + e^{−2mx}) < log 2", identity, part=part)
    distance = 2 * sympy.integrate(X * sympy.exp(-(X**2) / (2 * sigma**2)), (X, 0, sympy.oo))
    distance = distance / (sigma * sympy.sqrt(2 * sympy.pi))
    bound = (sigma**2 + m**2) / 2 - m * distance - sympy.log(sigma) - sympy.Rational(1, 2)
    spread = centred(sigma, m)
    case.corrected("S", "centred: the lower bound", equal(bound, spread), part=part)
    case.corrected("S", "it is convex in σ", sign(sympy.diff(spread, sigma, 2), 1), part=part)
    at = [x for x in sympy.solve(sympy.diff(spread.subs(m, DISTANCE), sigma), sigma) if x.is_positive]
    least = sympy.N(spread.subs(m, DISTANCE).subs(sigma, at[0]), 30)
    case.claimed(
        "S",
        "covering both peaks beats sitting on one",
        bool(least < sympy.log(2)),
        f"centred at least {sympy.N(least, 5)}, on one peak less than log 2 = 0.69315",
        part=part,
    )
    case.corrected("N", "the best Gaussian sits on one peak", *best_gaussian(), part=part)
    u, variance = sympy.Symbol("u", positive=True), SIGMA**2
    log_density = -(u**2) / (2 * variance) - sympy.log(1 - sympy.tanh(u) ** 2)
    at_zero = sympy.diff(log_density, u, 2).subs(u, 0)
    case.corrected("S", "tanh-Gaussian: curvature 2 − 1/σ² at 0", equal(at_zero, curvature(variance)), part=part)
    derivative = 2 * sympy.tanh(u) - u / variance
    same = vanishes(sympy.diff(log_density, u) - derivative)
    case.corrected("S", "(log π)' = 2 tanh u − u/σ²", same, part=part)
    below = vanishes(sympy.diff(u - sympy.tanh(u), u) - sympy.tanh(u) ** 2)
    case.corrected("S", "tanh u ≤ u, as (u − tanh u)' = tanh² u: one mode for σ² ≤ 1/2", below, part=part)
    with mpmath.workdps(30):
        tops = {v: mpmath.findroot(lambda x, v=v: 2 * mpmath.tanh(x) - x / v, 4 * v - 1) for v in (0.55, 1, 4)}
        left = max(abs(2 * mpmath.tanh(top) - top / v) for v, top in tops.items())
        shown = ", ".join(f"±{mpmath.nstr(mpmath.tanh(top), 6)} for σ² = {v}" for v, top in tops.items())
        outward = mpmath.tanh(tops[0.55]) < mpmath.tanh(tops[1]) < mpmath.tanh(tops[4]) and left < 1e-20
    case.corrected(
        "N", "the modes move to the ends", bool(outward), f"{shown}; residual {mpmath.nstr(left, 2)}", part=part
    )


def best_gaussian() -> tuple[Answer, str]:
    """The best mean and deviation on a grid; the error estimate is the change from 60 to 90 nodes."""
    import numpy as np

    grid = [
        (divergence_from_target(mean, deviation, 60), mean, deviation)
        for mean in np.arange(0.0, 7.01, 0.5)
        for deviation in np.arange(0.5, 6.01, 0.25)
    ]
    value, mean, deviation = min(grid)
    error = abs(value - divergence_from_target(mean, deviation, 90)) + 1e-14
    holds = (mean, deviation) == (DISTANCE, 1.0) and abs(value - float(np.log(2))) < 1e-6 + error
    return Answer(holds), f"best of {len(grid)}: mean {mean:g}, deviation {deviation:g}, KL {value:.7f} ± {error:.0e}"
