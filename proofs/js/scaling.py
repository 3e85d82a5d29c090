"""The affine priority of source 002 section 8: not harmless, and exactly optimal for another problem (JS-20)."""

from __future__ import annotations

from typing import Any

import sympy
from flint import fmpq

from proofs import literal
from proofs.arithmetic import log, sigmoid
from proofs.claim import claim
from proofs.divergences import law
from proofs.evidence import Case
from proofs.symbolic import equal, positive, real
from proofs.verdict import FALSE, THEOREM

LOW, HIGH = fmpq(1, 2), fmpq(2)
"""`js_min_weight` and `js_max_weight` of the source."""

DATA = law([1, 1], [1, 4])
"""Two pairs, equally likely, with A/beta = 0 and log 4: sigmoids 1/2 and 4/5."""


@claim(
    "JS-20",
    source=("002 §5", "002 §8"),
    statement="Scaling the sigmoid to [js_min, js_max] is harmless, because only the relative sizes of weights matter.",
    formula="w₂/w₁ of js_min + σ(z)(js_max − js_min) equals σ(z₂)/σ(z₁)",
    stated={"scaling": FALSE, "two-sided": THEOREM},
    corrected=(
        "An affine map is not linear: the ratio 8/5 becomes 34/25, and no ratio exceeds js_max/js_min = 4. The affine "
        "weight m + (M−m)σ((A−ν)/β) is exactly optimal for f = (w−m) log(w−m) + (M−w) log(M−w), with m = k·js_min, "
        "M = k·js_max, ν = 0 and k = 1/E[priority]."
    ),
    method="S+Q",
    derivation=(
        "σ(0) = 1/2 and σ(log 4) = 4/5: ratio 8/5. With (1/2, 2): 5/4 and 17/10, ratio 34/25.",
        "js_min ≤ priority ≤ js_max bounds every ratio by js_max/js_min.",
        "f'(w) = log((w−m)/(M−w)). At w = m + (M−m)σ(y): (w−m)/(M−w) = σ/(1−σ) = e^y, so f'(w) = y = z − ν.",
        "k = 1/E[priority] makes the mean one, with ν = 0. (`clip(a, ±max_clip)` acts on the exponent here, and on "
        "exp(a) in the KL branch: the same name, another meaning.)",
    ),
    twins={
        "scaled by a factor only": {"priority": lambda z, low, high: high * sigmoid(z)},
        "the two-sided slope with a plus": {"slope": lambda w, low, high: log((w - low) * (high - w))},
        "the sigmoid of -y": {"weight": lambda y, low, high: low + (high - low) * sigmoid(-y)},
        "k = E[priority]": {"scale": lambda priorities, masses: masses.expect(priorities)},
        "ratios bounded by js_max": {"bound": HIGH / LOW / 3},
    },
)
def js_20(
    case: Case,
    *,
    priority: Any = literal.js_priority,
    slope: Any = lambda w, low, high: log((w - low) / (high - w)),
    weight: Any = lambda y, low, high: low + (high - low) * sigmoid(y),
    scale: Any = lambda priorities, masses: 1 / masses.expect(priorities),
    bound: Any = HIGH / LOW,
) -> None:
    """Two pairs exactly; the two-sided regulariser in symbols, and its domain exactly."""
    before = [sigmoid(z) for z in DATA.z]
    after = [priority(z, LOW, HIGH) for z in DATA.z]
    ratios = before[1] / before[0], after[1] / after[0]
    shown = f"{ratios[0]} before, {ratios[1]} after scaling to [1/2, 2]"
    case.claimed("Q", "w₂/w₁ is unchanged", ratios[0] == ratios[1], shown, part="scaling")
    extreme = literal.js_priority(log(fmpq(10**9)), LOW, HIGH) / literal.js_priority(-log(fmpq(10**9)), LOW, HIGH)
    within = bool(fmpq(34, 25) <= extreme < bound)
    case.corrected("Q", "no ratio reaches js_max/js_min", within, f"{float(extreme):.7f} at z=±log 10⁹", part="scaling")
    (low, width), (y,), part = positive("m r"), real("y"), "two-sided"
    high = low + width
    (v,) = positive("v")
    w = low + v
    f = v * sympy.log(v) + (high - w) * sympy.log(high - w)
    inside = {"m": sympy.Rational(1, 3), "r": sympy.Integer(2), "v": sympy.Rational(1, 2)}
    case.theorem("S", "f' is the stated slope", equal(sympy.diff(f, v), slope(w, low, high), **inside), part=part)
    case.theorem("S", "f'(m + (M−m)σ(y)) = y", equal(slope(weight(y, low, high), low, high), y), part=part)
    k = scale([literal.js_priority(z, LOW, HIGH) for z in DATA.z], DATA)
    scaled = [k * literal.js_priority(z, LOW, HIGH) for z in DATA.z]
    holds = DATA.expect(scaled) == 1 and all(k * LOW < x < k * HIGH for x in scaled)
    solves = [log((x - k * LOW) / (k * HIGH - x)) == z for x, z in zip(scaled, DATA.z, strict=True)]
    shown = f"k={k}, w=({', '.join(map(str, scaled))})"
    case.theorem(
        "Q", "mean one, inside (m, M), first-order condition with ν = 0", holds and all(solves), shown, part=part
    )
