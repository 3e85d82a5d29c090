"""The generator of source 002: the divergence it generates, its derivative and its conjugate (JS-01, JS-02, JS-08)."""

from __future__ import annotations

from typing import Any

import sympy

from proofs.arithmetic import exp, log, sigmoid
from proofs.claim import claim
from proofs.divergences import js_ratio, two_jsd
from proofs.evidence import Case, every
from proofs.js.weights import js_derivative
from proofs.symbolic import equal, positive, sign, summed, vanishes
from proofs.verdict import FALSE, TRUE


@claim(
    "JS-01",
    source="002 §1",
    statement="The Jensen-Shannon divergence is the f-divergence of f(w) = −(w+1) log((w+1)/2) + w log w.",
    formula="Σ d_b f(d/d_b) = JSD(d‖d_b) = ½KL(d‖m) + ½KL(d_b‖m),  m = (d + d_b)/2",
    stated=FALSE,
    corrected=(
        "Σ d_b f(d/d_b) = KL(d‖m) + KL(d_b‖m) = 2 JSD, with supremum 2 log 2 (nats). The JSD's own generator is f/2: "
        "'JSD with β' is 'this f with β/2'."
    ),
    method="S",
    derivation=(
        "Put w = d/d_b: d_b w log w = d log(d/d_b), and d_b (w+1) log((w+1)/2) = (d + d_b) log(m/d_b).",
        "The difference is d log(d/m) + d_b log(d_b/m): summed over pairs, KL(d‖m) + KL(d_b‖m).",
        "The JSD is half of that. For disjoint d and d_b: 2 log 2 against log 2.",
    ),
    twins={
        "claim the factor 2": {"claimed": lambda jsd: 2 * jsd},
        "the correction loses its factor": {"right": lambda jsd: jsd},
        "the correction takes factor 4": {"right": lambda jsd: 4 * jsd},
    },
)
def js_01(case: Case, *, claimed: Any = lambda jsd: jsd, right: Any = lambda jsd: 2 * jsd) -> None:
    """Three pairs in symbols; disjoint laws as a limit."""
    d, base = positive("d1 d2 d3"), positive("b1 b2 b3")
    generated = summed(b * two_jsd(x / b) for x, b in zip(d, base, strict=True))
    half = sympy.Rational(1, 2)
    jsd = summed(
        half * x * sympy.log(2 * x / (x + b)) + half * b * sympy.log(2 * b / (x + b))
        for x, b in zip(d, base, strict=True)
    )
    case.claimed("S", "Σ d_b f(d/d_b) equals the JSD", equal(generated, claimed(jsd)))
    case.corrected("S", "Σ d_b f(d/d_b) = 2 JSD", equal(generated, right(jsd)))
    (w,) = positive("w")
    supremum = two_jsd_at_zero() + sympy.limit(two_jsd(w) / w, w, sympy.oo)
    case.corrected("S", "its supremum, at disjoint laws, is 2 log 2", equal(supremum, 2 * sympy.log(2)), f"{supremum}")


def two_jsd_at_zero() -> Any:
    """f(0+) of the generator of source 002."""
    (w,) = positive("w")
    return sympy.limit(two_jsd(w), w, 0, "+")


@claim(
    "JS-02",
    source="002 §3",
    statement="The derivative of the generator (boxed, 'the key step').",
    formula="f'(w) = log(2w/(w+1))",
    stated=TRUE,
    corrected=(
        "Also f(1) = f'(1) = 0, f'' = 1/(w(w+1)), f''(1) = 1/2, f'(0⁺) = −∞ (so w > 0 always) and f'(∞) = log 2 (so "
        "the conjugate has a barrier)."
    ),
    method="S",
    derivation=(
        "d/dw [w log w] = log w + 1, and d/dw [(w+1) log((w+1)/2)] = log((w+1)/2) + 1.",
        "The difference is log w − log((w+1)/2) = log(2w/(w+1)).",
    ),
    twins={
        "factor 2 dropped": {"derivative": lambda w: log(w / (w + 1))},
        "sign": {"derivative": lambda w: -log(2 * w / (w + 1))},
        "w - 1": {"derivative": lambda w: log(2 * w) - log(w) - log(w + 1)},
    },
)
def js_02(case: Case, *, derivative: Any = js_derivative) -> None:
    """The derivative, and what the ends of the domain look like."""
    (w,) = positive("w")
    case.claimed("S", "f' is the stated one", equal(sympy.diff(two_jsd(w), w), derivative(w)))
    stated = js_derivative(w)
    case.corrected("S", "f(1) = f'(1) = 0", every([vanishes(two_jsd(w).subs(w, 1)), vanishes(stated.subs(w, 1))]))
    case.corrected("S", "f'' = 1/(w(w+1)) > 0", equal(sympy.diff(stated, w), 1 / (w * (w + 1))))
    ends = sympy.limit(stated, w, 0, "+"), sympy.limit(stated, w, sympy.oo)
    case.corrected("S", "f'(0⁺) = −∞, f'(∞) = log 2", ends == (-sympy.oo, sympy.log(2)), f"limits {ends[0]}, {ends[1]}")


@claim(
    "JS-08",
    source="002 §5",
    statement="Convex-conjugate theory proves that the standard form of the JS optimum is the sigmoid.",
    formula="(f*)'(y) = C σ(y)",
    stated=FALSE,
    corrected=(
        "f*(y) = −log(2 − e^y) and (f*)'(y) = e^y/(2 − e^y) on y < log 2. The sigmoid lives elsewhere: the optimal "
        "discriminator w/(1+w) = σ(log w) = ½e^{z−ν} is log-linear."
    ),
    method="S",
    derivation=(
        "At the supremum of wy − f(w): y = f'(w) = log(2w/(w+1)), so w = e^y/(2−e^y).",
        "Insert: f*(y) = wy − f(w) = log((w+1)/2) = −log(2 − e^y).",
        "(f*)'/σ = (1+e^y)/(2−e^y) is not constant.",
    ),
    twins={
        "claim the exact ratio": {"claimed": js_ratio},
        "softplus as the conjugate": {"conjugate": lambda y: log(1 + exp(y)) - log(sympy.Integer(2))},
        "sign of the conjugate": {"conjugate": lambda y: log(2 - exp(y))},
        "factor 2 in the discriminator": {"discriminator": exp},
    },
)
def js_08(
    case: Case,
    *,
    claimed: Any = sigmoid,
    conjugate: Any = lambda y: -log(2 - exp(y)),
    discriminator: Any = lambda y: exp(y) / 2,
) -> None:
    """Fenchel-Young equality along w = (f*)'(y); whether the claimed shape is (f*)' up to a constant."""
    (w,) = positive("w")
    y = js_derivative(w)
    case.claimed(
        "S",
        "σ(y)/(f*)'(y) is constant",
        vanishes(sympy.diff(claimed(y) / w, w)),
        "derivative of the quotient along y = f'(w)",
    )
    case.corrected("S", "Fenchel-Young: f(w) + f*(f'(w)) = w f'(w)", equal(two_jsd(w) + conjugate(y), w * y))
    case.corrected("S", "(f*)'(f'(w)) = w", equal(js_ratio(y), w))
    case.corrected(
        "S", "f is strictly convex, so the stationary point is the supremum", sign(sympy.diff(two_jsd(w), w, 2), 1)
    )
    case.corrected("S", "the discriminator w/(1+w) is ½e^y", equal(w / (1 + w), discriminator(y)))
