"""Which of the three weights is the most concentrated: majorisation and effective sample size (JS-12)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sympy
from flint import arb, fmpq

from proofs import balls, instances
from proofs.arithmetic import sigmoid
from proofs.claim import claim
from proofs.divergences import Law, js_ratio, kl_ratio, law
from proofs.evidence import Answer, Case, every
from proofs.exact import LogNumber
from proofs.js.expansion import moments, taylor
from proofs.js.weights import TEXTBOOK, abridged, fermi_weights, js_derivative, js_weights, kl_weights, show
from proofs.symbolic import equal, positive, real, summed
from proofs.verdict import FALSE, THEOREM, TRUE


def lower_tails(data: Law, weights: Sequence[Any]) -> list[Any]:
    """The mass d = D w of the atoms below each distinct level of the advantage, from the lowest up.

    Lower tails, because the upper ones come so close to 1 that a ball loses the difference.
    """
    levels = sorted(set(data.exponentials), key=LogNumber.of)[:-1]
    return [
        sum(
            (m * w for m, q, w in zip(data.masses, data.exponentials, weights, strict=True) if q <= level),
            fmpq(0),
        )
        for level in levels
    ]


def less_concentrated(data: Law, left: Any, right: Any, names: tuple[str, str]) -> Answer:
    """Whether left's weights are strictly majorised by right's (both increase with A): more mass in each lower tail."""
    with balls.precision(320):
        undecided = False
        tails = zip(lower_tails(data, left(data)), lower_tails(data, right(data)), strict=True)
        for level, (a, b) in enumerate(tails):
            exact = not isinstance(a, arb) and not isinstance(b, arb)
            answer = bool(b < a) if exact else balls.less(b, a)
            if answer is False:
                shown = f"{names[0]} {balls.short(a, 6)}, {names[1]} {balls.short(b, 6)}"
                return Answer(False, f"mass of the lowest {level + 1} levels: {shown} on {abridged(data)}")
            undecided |= answer is None
    return Answer(None if undecided else True, abridged(data))


def effective_fraction(data: Law, weights: Sequence[Any]) -> arb:
    """ESS / n = 1 / E w^2."""
    return 1 / balls.ball(data.expect([balls.ball(w) * balls.ball(w) for w in weights]))


@claim(
    "JS-12",
    source=("002 §7", "002 §9", "002 §10", "002 §12"),
    statement="JS weights (for the source: sigmoid weights) are smoother, more democratic and more stable than KL's.",
    formula="at equal β the JS weights are less concentrated than exp(A/β)",
    stated={"JS": FALSE, "sigmoid": TRUE, "curvature matched": THEOREM},
    corrected=(
        "At equal β, in majorisation order, for every A and D: σ ≺ KL ≺ JS, strictly unless A is constant; hence "
        "ESS_σ ≥ ESS_KL ≥ ESS_JS. With curvatures matched (β_JS = 2β_KL) there is no uniform order."
    ),
    method="S+P+B",
    derivation=(
        "d log w/dA: sigmoid (1−σ)/β < KL 1/β < JS (1+w)/β.",
        "Two mean-one weights, both increasing in A, one with the steeper logarithm: they cross once, so every upper "
        "tail has more mass under the steeper one. That is majorisation.",
        "Every convex dispersion follows the order: variance, 1/ESS, negative entropy, the maximum.",
        "With β_JS = 2β_KL the slopes agree to first order, and Var_JS − Var_KL = ½E x³ + …: the sign of the third "
        "central moment decides.",
    ),
    twins={
        "the sigmoid called JS": {"js": fermi_weights},
        "JS called the sigmoid": {"fermi": js_weights},
        "KL called the sigmoid": {"fermi": kl_weights},
        "JS with the slope 1 - w": {"js_slope": lambda w: 1 - w},
        "third moment with the opposite sign": {"matched": lambda third: -third / 2},
    },
)
def js_12(
    case: Case,
    *,
    js: Any = js_weights,
    fermi: Any = fermi_weights,
    js_slope: Any = lambda w: 1 + w,
    matched: Any = lambda third: third / 2,
) -> None:
    """Log-slopes in symbols; tails of a family of laws, exactly or in balls; the difference after matching."""
    family = list(instances.distinct(instances.laws(40, seed=12)))
    (y,), (w,) = real("y"), positive("w")
    sigmoid_slope = sympy.diff(sympy.log(sigmoid(y)), y)
    slope = sympy.diff(sympy.log(js_ratio(y)), y).subs(y, js_derivative(w))

    case.claimed(
        "P",
        "JS ≺ KL on a family of laws",
        every(less_concentrated(d, js, kl_weights, ("JS", "KL")) for d in family),
        part="JS",
    )
    case.corrected("S", "log-slope of JS is 1 + w, above KL's 1", equal(slope, js_slope(w)), part="JS")
    case.corrected(
        "P",
        "KL ≺ JS on every law",
        every(less_concentrated(d, kl_weights, js_weights, ("KL", "JS")) for d in family),
        part="JS",
    )
    with balls.precision(160):
        sizes = [effective_fraction(TEXTBOOK, f(TEXTBOOK)) for f in (fermi_weights, kl_weights, js_weights)]
    case.corrected("B", "ESS/n of sigmoid > KL > JS", bool(sizes[0] > sizes[1] > sizes[2]), show(sizes), part="JS")

    part = "sigmoid"
    case.claimed(
        "S", "log-slope of the sigmoid is 1 − σ, below KL's 1", equal(sigmoid_slope, 1 - sigmoid(y)), part=part
    )
    case.claimed(
        "P",
        "σ ≺ KL on every law",
        every(less_concentrated(d, fermi, kl_weights, ("σ", "KL")) for d in family),
        part=part,
    )

    part = "curvature matched"
    masses, advantage, _, _, third = moments()
    near = {"D1": sympy.Rational(1, 5), "D2": sympy.Rational(3, 7)}
    variances = []
    for ratio in (lambda v: js_ratio(v / 2), kl_ratio):
        terms = taylor(ratio, masses, advantage)
        variances.append(summed(m * 2 * first * second for m, (first, second) in zip(masses, terms, strict=True)))
    case.theorem(
        "S",
        "Var_JS − Var_KL = ½ E(A−Ā)³/β³ + O(β⁻⁴) at β_JS = 2β_KL",
        equal(variances[0] - variances[1], matched(third), **near),
        part=part,
    )
    skewed = {"positive": law([9, 1], [1, 2]), "negative": law([1, 9], [1, 2])}
    differences = {name: matched_difference(data) for name, data in skewed.items()}
    case.theorem(
        "B",
        "ESS_JS < ESS_KL at positive skew, > at negative: no uniform order",
        bool(differences["positive"] < 0 and differences["negative"] > 0),
        f"ESS_JS/n − ESS_KL/n: {show(list(differences.values()))}",
        part=part,
    )


def matched_difference(data: Law) -> arb:
    """ESS_JS/n - ESS_KL/n at beta_KL = 4 and beta_JS = 8, where the curvatures of the generators match."""
    with balls.precision(160):
        js_z = [balls.ball(z) / 8 for z in data.z]
        raw = [(balls.ball(z) / 4).exp() for z in data.z]
        low = balls.ball(data.expect([z.exp() for z in js_z])).log()
        high = max(js_z, key=lambda ball: ball.mid())
        nu = balls.root(lambda v: data.expect([js_ratio(z - v) for z in js_z]) - 1, low, high)
        total = data.expect(raw)
        return effective_fraction(data, [js_ratio(z - nu) for z in js_z]) - effective_fraction(
            data, [r / total for r in raw]
        )
