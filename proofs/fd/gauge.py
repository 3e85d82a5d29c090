"""Adding c (w - 1) to a generator (FD-07)."""

from __future__ import annotations

from typing import Any

import sympy

from proofs.arithmetic import exp, log
from proofs.claim import claim
from proofs.evidence import Case
from proofs.exact import mean
from proofs.fd.table import TABLE, W
from proofs.symbolic import equal, positive, real, vanishes
from proofs.verdict import THEOREM


@claim(
    "FD-07",
    source=("toolkit", "002 §12", "000 §4 (its generator is w log w)"),
    statement="Adding c(w−1) to f leaves the ratio and moves the regressed value.",
    formula="f → f + c(w−1):  f*(y) → f*(y−c) + c,  same w,  v → v − βc",
    stated=THEOREM,
    corrected=(
        "w log w (c = 1 relative to w log w − w + 1) regresses to β log E e^{q/β} − β, a constant bias. Use generators "
        "with f'(1) = 0."
    ),
    method="S",
    derivation=(
        "sup_w (wy − f(w) − cw + c) = f*(y − c) + c, at the w of f at y − c.",
        "E g((q−v')/β − c) = 1 is the equation of f at v' + βc: v' = v − βc, and w = g((q−v)/β) is the same.",
        "The value min_v v + βE f*((q−v)/β) does not move: −βc from v, +βc from the conjugate.",
        "c = 1: E e^{(q−v)/β − 1} = 1 gives v = β log E e^{q/β} − β.",
    ),
    twins={
        "conjugate without the + c": {"conjugate": lambda f, y, c: f(y - c)},
        "conjugate at y + c": {"conjugate": lambda f, y, c: f(y + c) + c},
        "v + beta c": {"shift": lambda beta, c: beta * c},
        "v - c": {"shift": lambda beta, c: -c},
        "w log w unbiased": {"biased": lambda soft, beta: soft},
    },
)
def fd_07(
    case: Case,
    *,
    conjugate: Any = lambda f, y, c: f(y - c) + c,
    shift: Any = lambda beta, c: -beta * c,
    biased: Any = lambda soft, beta: soft - beta,
) -> None:
    """The moved conjugate along y = f'(w) + c for five generators; the equation of the value; w log w."""
    beta, (c, v, y) = positive("beta")[0], real("c v y")
    for name in ("KL1", "JS", "Hellinger", "reverse KL", "chi-square"):
        row = TABLE[name]
        slope = row.slope(W)
        moved = row.value(W) + c * (W - 1)
        young = moved + conjugate(row.conjugate, slope + c, c) - W * (slope + c)
        case.theorem("S", f"{name}: Fenchel–Young equality of f + c(w−1) with f*(y−c) + c", vanishes(young))
    row = TABLE["KL1"]
    changed = sympy.diff(conjugate(row.conjugate, y, c), y)
    case.theorem("S", "the ratio is that of f at y − c", equal(changed, row.ratio(y - c)))
    q = real("q1 q2")
    masses = (sympy.Rational(1, 3), sympy.Rational(2, 3))
    before = [row.ratio((x - v) / beta) for x in q]
    after = [row.ratio((x - (v + shift(beta, c))) / beta - c) for x in q]
    same = equal(mean(masses, after), mean(masses, before))
    case.theorem("S", "at v − βc every ratio is what it was at v, so E g = 1 holds there", same)
    first = v + beta * mean(masses, [row.conjugate((x - v) / beta) for x in q])
    w = v + shift(beta, c)
    second = w + beta * mean(masses, [conjugate(row.conjugate, (x - w) / beta, c) for x in q])
    case.theorem("S", "the value v + βE f* does not move", equal(first, second))
    soft = beta * log(mean(masses, [exp(x / beta) for x in q]))
    raw = [TABLE["KL0"].ratio((x - biased(soft, beta)) / beta) for x in q]
    case.theorem("S", "w log w regresses to β log E e^{q/β} − β", equal(mean(masses, raw), 1))
