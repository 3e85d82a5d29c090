"""The moving average with which source 001 smooths the effective sample size (ESS-15)."""

from __future__ import annotations

from typing import Any

import sympy

from proofs import literal
from proofs.claim import claim
from proofs.ess.jacobian import ELASTICITY, ETA, RHO, reversed_exponent, symbolic_jacobian
from proofs.ess.samples import SUGGESTED
from proofs.evidence import Answer, Case, every
from proofs.symbolic import equal, positive, sign, vanishes
from proofs.verdict import THEOREM, TRUE

TERMS = 6
"""How many terms of the unrolled average are compared."""

NO_RINGING_AND_RINGING = (sympy.Integer(1), sympy.Rational(1, 20))
"""A rho with which the repaired loop does not ring at the suggested gain, and one with which it does."""


@claim(
    "ESS-15",
    source=("001 adaptive rule", "001 practical advice"),
    statement="Exponential smoothing with a small ρ keeps transient noise of ESS from moving β.",
    formula="Ê' = (1−ρ)Ê + ρ ESS:  E Ê = E ESS,  Var Ê = ρ/(2−ρ) Var ESS,  mean lag (1−ρ)/ρ",
    stated={"noise": TRUE, "ringing": THEOREM},
    corrected=(
        "The price is the lag (1−ρ)/ρ. In the loop of ESS-05 a smaller ρ brings ringing, not calm: at ηs = 0.1386 it "
        "does not ring for ρ = 1, and does for ρ = 1/20."
    ),
    method="S",
    derivation=(
        "Unrolled, Ê_t = (1−ρ)^t Ê_0 + Σ_k ρ(1−ρ)^k ESS_{t−k}. The coefficients ρ(1−ρ)^k sum to 1: unbiased.",
        "With independent ESS the stationary variance solves v = (1−ρ)²v + ρ²σ², so v = ρσ²/(2−ρ).",
        "The mean lag ℓ = Σ k ρ(1−ρ)^k solves ℓ = (1−ρ)(1 + ℓ): ℓ = (1−ρ)/ρ.",
        "The loop of ESS-05 rings iff (1−√(1−ρ))² < ηρs < (1+√(1−ρ))²; the left end is about ρ²/4.",
    ),
    twins={
        "variance factor ρ/2": {"variance": lambda rho: rho / 2},
        "variance factor ρ": {"variance": lambda rho: rho},
        "lag 1/ρ": {"lag": lambda rho: 1 / rho},
        "the average forgets nothing": {"average": lambda previous, current, rho: previous + rho * current},
        "the ringing starts at large ρ": {"calm": NO_RINGING_AND_RINGING[::-1]},
    },
)
def ess_15(
    case: Case,
    *,
    average: Any = literal.smoothed_size,
    variance: Any = lambda rho: rho / (2 - rho),
    lag: Any = lambda rho: (1 - rho) / rho,
    calm: Any = NO_RINGING_AND_RINGING,
) -> None:
    """The literal average unrolled, its moments as fixed points, and the discriminant of the repaired loop."""
    (mean, square), part = positive("m v"), "noise"
    history = sympy.symbols(f"y0:{TERMS}", real=True, seq=True)
    start = sympy.Symbol("y", real=True)
    unrolled = start
    for value in history:
        unrolled = average(unrolled, value, RHO)
    newest_first = history[::-1]
    kernel = [sympy.expand(sympy.diff(unrolled, value)) for value in newest_first]
    weights = [equal(seen, RHO * (1 - RHO) ** k) for k, seen in enumerate(kernel)]
    case.claimed("S", "the value k iterations ago counts ρ(1−ρ)^k", every(weights, f"k < {TERMS}"), part=part)
    rest = sympy.diff(unrolled, start)
    case.claimed("S", "these and the start's (1−ρ)^t sum to 1", vanishes(sum(kernel, rest) - 1), part=part)
    case.claimed("S", "unbiased: the mean is its fixed point", vanishes(average(mean, mean, RHO) - mean), part=part)
    old, new = (
        sympy.diff(average(start, history[0], RHO), start),
        sympy.diff(average(start, history[0], RHO), history[0]),
    )
    v = variance(RHO) * square
    case.claimed("S", "v = ρσ²/(2−ρ) solves v = (1−ρ)²v + ρ²σ²", equal(old**2 * v + new**2 * square, v), part=part)
    suggested = sympy.Rational(int(SUGGESTED["rho"].p), int(SUGGESTED["rho"].q))
    numbers = f"ρ = {suggested}: variance factor {variance(suggested)}, mean lag {lag(suggested)}"
    case.claimed("S", "ℓ = (1−ρ)/ρ solves ℓ = (1−ρ)(1+ℓ)", equal(old * (1 + lag(RHO)), lag(RHO)), numbers, part=part)

    part = "ringing"
    (a, b), (c, d) = symbolic_jacobian(reversed_exponent)
    discriminant = (a + d) ** 2 - 4 * (a * d - b * c)
    gain = sympy.Rational(1, 10) * 2 * sympy.log(2)
    at = discriminant.subs(ETA * ELASTICITY, gain).subs({ETA: gain, ELASTICITY: 1})
    for name, rho, wanted in zip(("no ringing", "ringing"), calm, (1, -1), strict=True):
        value = sympy.N(at.subs(RHO, rho), 30)
        holds = bool(value * wanted > 0)
        case.theorem(
            "S",
            f"{name} at ρ = {rho}, ηs = 2 log 2/10",
            Answer(holds, f"discriminant {sympy.N(value, 4)}"),
            part=part,
        )
    q, u = positive("q u")
    (k,) = positive("k")
    edge = (1 - q) ** 2 / (1 - q**2)
    falling = sympy.diff(edge, q).subs(q, 1 / (1 + k))
    case.theorem(
        "S", "the gain ηs at which ringing starts falls to 0 with ρ (q = √(1−ρ) → 1)", sign(falling, -1), part=part
    )
    at_start = (u - (1 - q) ** 2).subs(u, edge * (1 - q**2))
    case.theorem("S", "it is (1−q)²/(1−q²)", vanishes(at_start), part=part)
    case.theorem("S", "which is 0 at q = 1", vanishes(sympy.limit(edge, q, 1)), part=part)
