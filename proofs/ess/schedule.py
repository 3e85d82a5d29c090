"""What source 001 promises of the rule as a whole (ESS-16)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flint import fmpq

from proofs import balls, literal
from proofs.claim import claim
from proofs.ess import samples
from proofs.ess.samples import total
from proofs.evidence import Answer, Case, every, some
from proofs.exact import LogNumber
from proofs.verdict import CONTRADICTION, FALSE, TRUE

PAIR = (LogNumber.log(1), LogNumber.log(4))
"""TD errors whose shares are (1/5, 4/5) at beta = 1, (1/17, 16/17) at 1/2 and (1/3, 2/3) at 2."""

GRID = [
    (eta, rho, s)
    for eta in (fmpq(1, 20), fmpq(1, 5), fmpq(5), fmpq(50))
    for rho in (fmpq(1, 100), fmpq(1, 2), fmpq(99, 100), fmpq(1))
    for s in (fmpq(1, 10), fmpq(7, 5))
]
"""Rates and smoothings inside and far outside what the source suggests, with elasticities of ESS."""


def shares(beta: Any) -> list[fmpq]:
    """The normalised weights of PAIR."""
    raw = [(delta / fmpq(beta)).exp() for delta in PAIR]
    return [w / total(raw) for w in raw]


def distance(beta: Any, target: Sequence[fmpq]) -> fmpq:
    """Total variation from the normalised weights of PAIR to a target."""
    return total([abs(p - q) for p, q in zip(shares(beta), target, strict=True)]) / 2


def polynomial(z: int, eta: fmpq, rho: fmpq, s: fmpq, sign: int) -> fmpq:
    """The characteristic polynomial of ESS-03 (sign = 1, as printed) or ESS-05 (sign = -1)."""
    return z**2 - (2 - rho + sign * eta * rho * s) * z + (1 - rho)


@claim(
    "ESS-16",
    source=("001 design idea", "001 bias-variance, §2", "001 convergence and risk, §4", "001 compressed paragraph"),
    statement=(
        "A small β comes closer to d*; the rule oscillates if η or ρ is too large; it keeps β small early and raises "
        "it late; it prevents concentration and stabilises."
    ),
    formula="d*_β vs. d*;  λ(η, ρ);  sign(β_{t+1} − β_t);  Ê < T ⇒ β' ≤ β",
    stated={"closer": FALSE, "oscillates": FALSE, "schedule": FALSE, "prevents": CONTRADICTION, "arithmetic": TRUE},
    corrected=(
        "The first is ill-posed: d* depends on β, and for each β the weight is d*_β itself; towards a fixed target a "
        "smaller β can be farther. As printed the rule never oscillates; with the sign reversed it alternates iff "
        "ηs > 4/ρ − 2. The direction of β is fixed by sign(ESS(β₀) − T)."
    ),
    method="Q",
    derivation=(
        "Fixed target d*_1 = (1/5, 4/5). At β = ½ the shares are (1/17, 16/17), at distance |1/5 − 1/17| = 12/85; at "
        "β = 2 they are (1/3, 2/3), at 2/15 < 12/85.",
        "Printed law: λ₁λ₂ = 1−ρ ≥ 0, λ₁+λ₂ = 2−ρ+u > 0, discriminant > 0: positive real eigenvalues, no oscillation "
        "at any η, ρ. Reversed: p(−1) = 4−2ρ−u < 0 iff ηs > 4/ρ−2, an eigenvalue below −1.",
        "ESS(β₀) < T makes the first exponent negative and, by ESS-04, every later one: small early *and* late.",
        "The source wants concentrated weights (ESS < T) to concentrate less, and there prescribes a smaller β, which "
        "lowers ESS further (ESS-02). Its explanation, formula, pseudo-code and summary all share this sign.",
        "'β decreases or stays' is right as arithmetic: exp(x) < 1 for Ê < T, and β stays only at the clip.",
    ),
    twins={
        "the target taken at β = ½": {"aim": fmpq(1, 2)},
        "the sign reversed": {"sign": -1},
        "the exponent reversed": {"exponent": lambda e, t, eta: -literal.beta_exponent(e, t, eta)},
        "flip from ηs = 2/ρ on": {"flips": lambda rho: 2 / rho},
    },
)
def ess_16(
    case: Case,
    *,
    aim: Any = 1,
    sign: int = 1,
    exponent: Any = literal.beta_exponent,
    flips: Any = lambda rho: 4 / rho - 2,
) -> None:
    """Distances to one target; signs of the eigenvalues on a grid; directions of the exact exponent."""
    target, part = shares(aim), "closer"
    near, far = distance(fmpq(2), target), distance(fmpq(1, 2), target)
    case.claimed(
        "Q",
        f"β = ½ is closer than β = 2 to the target d*_β at β = {aim}",
        far < near,
        f"total variation {far} at β=1/2, {near} at β=2",
        part=part,
    )
    targets = {tuple(map(str, shares(beta))) for beta in (fmpq(1, 2), fmpq(1), fmpq(2))}
    case.corrected("Q", "β = ½, 1, 2 have three different targets, each its own weights", len(targets) == 3, part=part)

    part = "oscillates"

    def alternates(eta: fmpq, rho: fmpq, s: fmpq, sign: int) -> Answer:
        """Whether some eigenvalue is complex or negative: only then do successive deviations change sides."""
        middle = 2 - rho + sign * eta * rho * s
        square = middle**2 - 4 * (1 - rho)
        holds = square < 0 or middle < 0
        return Answer(bool(holds), f"η={eta}, ρ={rho}, s={s}: λ₁+λ₂={middle}, λ₁λ₂={1 - rho}, discriminant {square}")

    strongest = alternates(fmpq(50), fmpq(1), fmpq(7, 5), sign).witness
    case.claimed(
        "Q",
        "the printed rule oscillates for some η, ρ",
        some(alternates(*item, sign) for item in GRID).holds,
        strongest,
        part=part,
    )

    def flipped(eta: fmpq, rho: fmpq, s: fmpq) -> Answer:
        beyond = polynomial(-1, eta, rho, s, -1) < 0
        return Answer(beyond == bool(eta * s > flips(rho)), f"η={eta}, ρ={rho}, s={s}")

    case.corrected(
        "Q", "reversed, an eigenvalue lies below −1 iff ηs > 4/ρ − 2", every(flipped(*item) for item in GRID), part=part
    )

    part = "schedule"
    sizes = {
        beta: literal.effective_sample_size([(delta / beta).exp() for delta in samples.THREE])
        for beta in (fmpq(1, 3), fmpq(1, 2), fmpq(1))
    }
    eta = samples.SUGGESTED["eta"]

    def direction(beta: fmpq, goal: fmpq) -> int:
        x = exponent(sizes[beta], goal, eta)
        return (x > 0) - (x < 0)

    goal = fmpq(2)
    path = [direction(beta, goal) for beta in (fmpq(1), fmpq(1, 2), fmpq(1, 3))]
    seen = ", ".join(f"β={beta}: ESS={balls.short(size)}" for beta, size in reversed(sizes.items()))
    case.claimed(
        "Q",
        "β, small early, is raised later (T = 2, concentrated at first)",
        any(step > 0 for step in path),
        f"{seen}; direction {', '.join(f'{step:+d}' for step in path)}",
        part=part,
    )
    for goal in (fmpq(3, 2), fmpq(2)):
        expected = 1 if sizes[fmpq(1)] > goal else -1
        moves = literal.beta_exponent(sizes[fmpq(1)], goal, eta)
        case.corrected(
            "Q",
            f"at β₀ = 1 and T = {goal} the direction is that of ESS(β₀) − T",
            moves * expected > 0,
            f"ESS(1) = {sizes[fmpq(1)]}, exponent {moves}",
            part=part,
        )

    concentrated = direction(fmpq(1), fmpq(2)) < 0
    worse = sizes[fmpq(1, 2)] < sizes[fmpq(1)] < 2
    case.contradiction(
        "Q",
        "where concentration is to be prevented, ESS < T, the rule lowers β, and a lower β concentrates more",
        concentrated and worse,
        f"T=2: ESS(1)={sizes[fmpq(1)]} → ESS(1/2)={sizes[fmpq(1, 2)]}",
        part="prevents",
    )

    def stays_or_falls(beta: fmpq) -> Answer:
        x = exponent(sizes[beta], fmpq(2), eta)
        most = beta / (1 - x)  # e^x <= 1/(1 - x) for x < 1
        clipped = literal.clip(most, beta, fmpq(10))
        return Answer(
            bool(most < beta) and clipped == beta, f"β={beta}: exponent {x}, β' ≤ {most} or clipped at {clipped}"
        )

    case.claimed(
        "Q",
        "Ê < T: the factor is below 1, and β stays only where it is clipped",
        every(stays_or_falls(beta) for beta in sizes),
        part="arithmetic",
    )
