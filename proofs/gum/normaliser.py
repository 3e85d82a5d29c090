"""The batch's own normaliser of the Gumbel loss, and two caps that contradict each other (GUM-05, GUM-06)."""

from __future__ import annotations

import functools
from typing import Any

import sympy
from flint import arb, fmpq

from proofs import balls
from proofs.arithmetic import exp, log, maximum, minimum
from proofs.claim import claim
from proofs.divergences import Law
from proofs.evidence import Answer, Case
from proofs.gum.clip import CLIP
from proofs.symbolic import equal, positive, real, summed
from proofs.verdict import CONTRADICTION, FALSE, TRUE

_TAIL = fmpq(1, 10**40)
"""Probability that the enumeration may leave out; every term lies in [-1, 1], so it is added as a ball of that size."""

FAIR = Law((fmpq(1, 2), fmpq(1, 2)), (fmpq(0), fmpq(10)))
"""q in {0, 1}, equally likely, alpha = 1/10."""

HEAVY = Law((fmpq(499, 500), fmpq(1, 500)), (fmpq(0), fmpq(20)))
"""q = 20 with probability 1/500, else 0, alpha = 1."""


def published_norm(x: Any) -> Any:
    """One sample's share of the detached normaliser: max(1, e^x)."""
    return maximum(exp(x), fmpq(1))


@functools.lru_cache(maxsize=16)
def binomial(size: int, probability: fmpq) -> tuple[tuple[int, arb], ...]:
    """(k, P(K = k)) for K ~ Bin(size, probability), up to where all that follows is below _TAIL."""
    with balls.precision(192):
        odds = balls.ball(probability / (1 - probability))
        mass = balls.ball(1 - probability) ** size
        kept, total = [(0, mass)], mass
        for k in range(1, size + 1):
            mass = mass * odds * (size - k + 1) / k
            total += mass
            kept.append((k, mass))
            if 1 - total < balls.ball(_TAIL) and k > size * probability:
                break
    return tuple(kept)


def expected_step(data: Law, size: int, norm: Any, v: arb) -> arb:
    """E over batches of sum(e^x - 1) / sum(norm(x)), x = z - v: proportional to the expected update of v (units of z).

    A batch of `size` draws has K of the upper atom, K binomial.
    """
    bottom, top = (balls.ball(z) - v for z in data.z)
    pull_bottom, pull_top = bottom.exp() - 1, top.exp() - 1
    norm_bottom, norm_top = balls.ball(norm(bottom)), balls.ball(norm(top))
    total = balls.ball(0)
    for k, mass in binomial(size, data.masses[1]):
        rest = size - k
        total += mass * (k * pull_top + rest * pull_bottom) / (k * norm_top + rest * norm_bottom)
    return total + arb(0, balls.ball(_TAIL).upper()) if size > 100 else total


def resting_point(data: Law, size: int, norm: Any = published_norm) -> arb:
    """Where the expected mini-batch update vanishes, in units of z.

    The bracket is wider than it need be on one side: at batch size 1 the root is the middle of the two values, and a
    search that begins by hitting the root exactly cannot tell the sign there.
    """
    return balls.root(lambda v: expected_step(data, size, norm, v), data.z[0], data.z[1] + fmpq(1, 3), 96)


def soft_value(data: Law) -> arb:
    """log E e^z, the minimiser that is meant."""
    return balls.ball(data.expect([balls.ball(z).exp() for z in data.z])).log()


@claim(
    "GUM-05",
    source="ROER critic.py, gumbel_rescale_loss",
    statement="Dividing the loss by the batch's own mean of max(1, e^z), without gradient, only rescales the step.",
    formula="v rests where E_batch[mean(e^z − 1)/mean(max(1, e^z))] = 0;  claimed: at v = α log E e^{q/α}",
    stated={"full batch": TRUE, "mini-batch": FALSE},
    corrected=(
        "With the whole data as the batch the norm is one positive constant. In a mini-batch it is correlated with the "
        "gradient, and v rests elsewhere: at batch size 1 a symmetric M-estimator, with a heavy tail far too low. A "
        "constant that does not depend on the batch (or a running mean) keeps the resting point."
    ),
    method="S+B",
    derivation=(
        "A common positive factor 1/N moves no zero of E[e^z − 1]: full batch.",
        "With batches the expectation is over the quotient. For two values the batch is K ~ Bin(B, p): a finite sum.",
        "B = 1: the quotient is 1 − e^{−z} for z > 0 and e^z − 1 for z < 0, an odd function of z: v is the median-like "
        "centre of symmetry, 0.5 for a fair q ∈ {0, 1}, whatever α.",
        "q = 20 with probability 1/500: most batches of 256 hold no outlier or one that fills the norm; v rests at "
        "1.107 instead of 13.785.",
    ),
    twins={
        "a constant norm called the published one": {"norm": lambda x: fmpq(1)},
        "the correction divides by e^z": {"constant": lambda x: exp(x)},
        "the full batch weighs each sample by its own norm": {"shared": lambda x, total: published_symbol(x)},
    },
)
def gum_05(
    case: Case,
    *,
    norm: Any = published_norm,
    constant: Any = lambda x: fmpq(1),
    shared: Any = lambda x, total: total,
) -> None:
    """Three atoms in symbols for the full batch; exact enumeration over batches of a two-point law in balls."""
    masses, x = positive("D1 D2 D3"), real("x1 x2 x3")
    total = summed(m * published_symbol(y) for m, y in zip(masses, x, strict=True))
    normalised = summed(m * (sympy.exp(y) - 1) / shared(y, total) for m, y in zip(masses, x, strict=True))
    plain = summed(m * (sympy.exp(y) - 1) for m, y in zip(masses, x, strict=True))
    case.claimed(
        "S",
        "the full-batch update is the plain one divided by the norm: the same zero",
        equal(normalised * total, plain),
        part="full batch",
    )
    seen = []
    with balls.precision(160):
        for data, alpha, sizes in ((FAIR, fmpq(1, 10), (1, 2, 256)), (HEAVY, fmpq(1), (64, 256, 4096))):
            intended = soft_value(data)
            points = [resting_point(data, size, norm) for size in sizes]
            numbers = ", ".join(f"B={b}: {balls.short(alpha * v, 5)}" for b, v in zip(sizes, points, strict=True))
            seen.append(all(v.overlaps(intended) for v in points))
            case.claimed(
                "B",
                f"v rests at the soft value, q ∈ {{{data.z[0] * alpha}, {data.z[1] * alpha}}}, α={alpha}",
                seen[-1],
                f"soft value {balls.short(alpha * intended, 5)}; {numbers}",
                part="mini-batch",
            )
            fixed = resting_point(data, 2, constant)
            case.corrected(
                "B",
                "with a constant norm it does, for batches of 2",
                bool(fixed.overlaps(intended)),
                f"v = {balls.short(alpha * fixed, 5)}",
                part="mini-batch",
            )


def published_symbol(x: Any) -> Any:
    """max(1, e^x) as a symbol."""
    return sympy.Max(1, sympy.exp(x))


@claim(
    "GUM-06",
    source="ROER sac_learner.py and the published launch scripts",
    statement="The value is fitted with weights capped at e^7, the priorities are stored capped at 50 (or 100).",
    formula="E[min(e^z, e^7)] = 1 (the fitted V)  and  E[min(e^z, 50)] = 1 (a stored ratio has mean one)",
    stated=CONTRADICTION,
    corrected=(
        "Both hold only if no weight exceeds the smaller cap. With one cap in both places the stored ratio has mean 1."
    ),
    method="B",
    derivation=(
        "The clipped loss is stationary where E[min(e^z, W)] = 1, with W = e^7 = 1096.6 (GUM-04).",
        "Where some e^z > 50, min(e^z, 50) is strictly smaller there and nowhere larger: its mean is below 1.",
        "q = 20 with probability 1/500, else 0, α = 1: V = 13.785, e^{20−V} = 500, and the stored mean is 0.100.",
    ),
    twins={
        "the same cap in both places": {"stored": lambda: balls.ball(CLIP).exp()},
        "the correction caps the value only": {"repaired": lambda: balls.ball(CLIP).exp()},
        "the correction caps at 100": {"repaired": lambda: balls.ball(100)},
    },
)
def gum_06(case: Case, *, stored: Any = lambda: balls.ball(50), repaired: Any = lambda: balls.ball(50)) -> None:
    """The value fitted under each cap, and the mean of what is stored, in balls."""

    def fitted(cap: arb) -> arb:
        return balls.root(lambda v: mean_capped(HEAVY, v, cap) - 1, HEAVY.z[0], HEAVY.z[1], 128)

    with balls.precision(192):
        wide = balls.ball(CLIP).exp()
        v = fitted(wide)
        mean = mean_capped(HEAVY, v, stored())
        case.contradiction(
            "B",
            "the fitted V makes the mean under e^7 one, and that of the stored ratio another number",
            bool(mean < 1 and mean_capped(HEAVY, v, wide).contains(1)),
            f"V={balls.short(v, 5)}, e^(20−V)={balls.short((20 - v).exp(), 4)}, stored mean {balls.short(mean, 4)}",
        )
        outlier = (20 - v).exp()
        case.support("B", "the outlier's weight lies between the caps", bool(outlier > 100 and outlier < wide))
        narrow = balls.ball(50)
        mean = mean_capped(HEAVY, fitted(narrow), repaired())
        held = Answer(bool(mean.contains(1)) and bool(mean.rad() < arb(2) ** -80), balls.short(mean, 6))
        case.corrected("B", "one cap of 50 in both places: mean 1", held, f"V={balls.short(fitted(narrow), 5)}")


def mean_capped(data: Law, v: arb, cap: arb) -> arb:
    """E[min(e^{z - v}, cap)]."""
    edge = log(cap)
    return balls.ball(data.expect([minimum(balls.ball(z) - v, edge).exp() for z in data.z]))
