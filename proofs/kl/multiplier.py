"""The multiplier that normalisation absorbs, for KL and for no other divergence (KL-08)."""

from __future__ import annotations

from typing import Any

import sympy
from flint import fmpq

from proofs.arithmetic import exp, log, sigmoid
from proofs.claim import claim
from proofs.divergences import fermi_dirac, js_ratio, kl_ratio, law
from proofs.evidence import Answer, Case, every
from proofs.exact import LogNumber
from proofs.symbolic import positive, real, vanishes
from proofs.verdict import THEOREM, TRUE


def other_ratios() -> dict[str, Any]:
    """The optimal ratios (f*)' of five divergences that are not KL."""
    return {
        "JS": js_ratio,
        "chi-square": lambda y: 1 + y,
        "Hellinger": lambda y: 1 / (1 - y) ** 2,
        "reverse KL": lambda y: 1 / (1 - y),
        "Fermi-Dirac C=2": fermi_dirac(fmpq(2)).ratio,
    }


@claim(
    "KL-08",
    source=("000 §4", "002 §5"),
    statement="The multiplier λ is the same for all pairs, so normalisation absorbs it.",
    formula="g((A₁−λ)/β) / g((A₂−λ)/β) does not depend on λ, where w = g((A−λ)/β)",
    stated={"KL": TRUE, "only KL": THEOREM},
    corrected="For KL, and for no other divergence: only f = c w log w + affine makes log g affine.",
    method="S+Q",
    derivation=(
        "For KL, g(y) = e^y and the ratio is e^{(A₁−A₂)/β}: λ cancels.",
        "Suppose g(x₁−ν)/g(x₂−ν) does not depend on ν, for all x₁, x₂, and let h = log g. "
        "Differentiating in ν: h'(x₁−ν) = h'(x₂−ν), so h' is constant and g = e^{a+by}.",
        "g inverts f', so f'(w) = (log w − a)/b, that is f = c w log w + affine with c = 1/b.",
    ),
    twins={
        "the JS ratio": {"ratio": js_ratio},
        "the sigmoid": {"ratio": sigmoid},
        "a second exponential among the others": {
            "others": lambda: {**other_ratios(), "KL at beta/2": lambda y: exp(2 * y)}
        },
        "an affine ratio in the proof": {"solution": lambda y, a, b: a + b * y},
    },
)
def kl_08(
    case: Case,
    *,
    ratio: Any = kl_ratio,
    others: Any = other_ratios,
    solution: Any = lambda y, a, b: sympy.exp(a + b * y),
) -> None:
    """Derivative in the multiplier; the functional equation solved; five others whose ratio moves."""
    x, y, nu, a, b = real("x y nu a b")
    quotient = ratio(x - nu) / ratio(y - nu)
    case.claimed("S", "the ratio of two weights does not move with λ", vanishes(sympy.diff(quotient, nu)), part="KL")

    h = sympy.Function("h")
    equation: Any = sympy.dsolve(sympy.Eq(h(y).diff(y, 2), 0), h(y))
    solved = equation.rhs
    case.theorem(
        "S",
        "h' constant: the solutions of h'' = 0 are affine",
        vanishes(sympy.diff(solved, y, 2)),
        f"h = {solved}",
        part="only KL",
    )
    candidate = solution(y, a, b)
    case.theorem(
        "S",
        "g = e^h solves the functional equation",
        vanishes(sympy.diff(candidate.subs(y, x - nu) / candidate.subs(y, -nu), nu)),
        part="only KL",
    )
    (w,) = positive("w")
    slope = sympy.integrate((sympy.log(w) - a) / b, w)
    case.theorem(
        "S",
        "its f is (1/b) w log w + affine",
        vanishes(sympy.diff(slope - w * sympy.log(w) / b, w, 2)),
        part="only KL",
    )
    zero, shift = LogNumber.of(0), LogNumber.log(fmpq(9, 8))
    points = (zero, LogNumber.log(fmpq(6, 5)))

    def moves(name: str, g: Any) -> Answer:
        if name in ("JS", "Fermi-Dirac C=2", "KL at beta/2"):
            seen = [g(points[1] - s) / g(points[0] - s) for s in (zero, shift)]
        else:
            seen = [g(fmpq(1, 5) - s) / g(-s) for s in (fmpq(0), fmpq(1, 8))]
        return Answer(seen[0] != seen[1], f"{name}: {seen[0]} → {seen[1]}")

    answers = [moves(name, g) for name, g in others().items()]
    case.theorem(
        "Q",
        "the ratio moves with λ for every other divergence",
        every(answers, "; ".join(answer.witness for answer in answers)),
        part="only KL",
    )
    sample = law([1, 2, 3], [1, 2, fmpq(1, 2)])
    slopes = [log(w) - z for w, z in zip(sample.normalised(kl_ratio), sample.z, strict=True)]
    case.corrected(
        "Q",
        "for KL, λ dropped and then normalised: f'(w) − A/β is the same number at every pair",
        all(slope == slopes[0] for slope in slopes),
        f"−ν = {slopes[0]}",
        part="KL",
    )
