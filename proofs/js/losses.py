"""The value loss of source 002 section 8, why it fits nothing, and the loss that works (JS-21 to JS-24)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sympy
from flint import arb, fmpq

from proofs import balls, conic, instances, literal, under_test
from proofs.arithmetic import entropy_term, exp, log, maximum, sigmoid
from proofs.claim import claim
from proofs.divergences import JS, Law, js_ratio, two_jsd
from proofs.evidence import Answer, Case, every
from proofs.js.weights import TEXTBOOK, abridged, js_derivative, one_atom_bracket
from proofs.symbolic import equal, positive, real, sign, vanishes
from proofs.verdict import FALSE, THEOREM

CLIP = 7
"""`gumbel_max_clip`, which the source's loss reuses."""

INFIMUM = -sympy.log(2)

EXPONENTIAL_VALUE = fmpq(3, 2)
"""e^v of the JS value of q = (0, log 9/5), equally likely, beta = 1."""

NORM_BOUNDS = (fmpq(1, 2), fmpq(1))


def shifted_softplus(y: Any) -> Any:
    """softplus(y) - log 2."""
    return literal.js_value_loss(y, 1)


def binary_entropy(w: Any) -> Any:
    """w log w + (1 - w) log(1 - w) + log 2, the generator whose conjugate softplus - log 2 is."""
    return entropy_term(w) + entropy_term(1 - w) + log(sympy.Integer(2))


@claim(
    "JS-21",
    source="002 §8",
    statement="softplus(z) = log(1 + e^z) is the conjugate of the JS generator; −log 2 belongs to its definition.",
    formula="f*(y) = softplus(y) − log 2",
    stated=FALSE,
    corrected=(
        "f*(y) = −log(2 − e^y). softplus − log 2 is the conjugate of binary entropy w log w + (1−w) log(1−w) + log 2 "
        "on [0, 1], where E w = 1 leaves only w ≡ 1."
    ),
    method="S+B",
    derivation=(
        "f(1) = 0 gives f*(y) ≥ y·1 − f(1) = y for every y. But softplus(1) − log 2 = 0.6201 < 1: refuted in one line.",
        "Fenchel-Young along y = f'(w): f(w) + f*(y) = wy holds for −log(2 − e^y), not for softplus.",
        "Binary entropy has h'(w) = log(w/(1−w)), inverse σ, and w y − h(w) = −log(1−w) − log 2 = softplus(y) − log 2.",
    ),
    twins={
        "claim the exact conjugate": {"conjugate": lambda y: -log(2 - exp(y))},
        "the correction's sign": {"right": lambda y: log(2 - exp(y))},
        "binary entropy without log 2": {"entropy": lambda w: entropy_term(w) + entropy_term(1 - w)},
    },
)
def js_21(
    case: Case,
    *,
    conjugate: Any = shifted_softplus,
    right: Any = lambda y: -log(2 - exp(y)),
    entropy: Any = binary_entropy,
) -> None:
    """f*(1) >= 1 in balls; Fenchel-Young for three candidates in symbols."""
    with balls.precision(128):
        point = balls.ball(fmpq(1, 2))
        value = balls.ball(conjugate(point))
        at_one = balls.ball(shifted_softplus(balls.ball(1)))
        shown = f"at y=1/2: {balls.short(value, 5)}; softplus(1) − log 2 = {balls.short(at_one, 5)}"
        case.claimed("B", "f*(y) ≥ y, because f(1) = 0", bool(value >= point), shown)
    (w,) = positive("w")
    y = js_derivative(w)
    case.claimed("S", "Fenchel-Young with the claimed conjugate", equal(two_jsd(w) + conjugate(y), w * y))
    case.corrected("S", "Fenchel-Young with −log(2 − e^y)", equal(two_jsd(w) + right(y), w * y))
    (odds,) = positive("o")
    share = odds / (1 + odds)
    case.corrected(
        "S",
        "softplus − log 2 is the conjugate of binary entropy",
        equal(entropy(share) + shifted_softplus(sympy.log(odds)), share * sympy.log(odds)),
    )


def slope_in_value(loss: Any, q: Sequence[Any], v: Any, alpha: Any) -> arb:
    """d/dv of the mean loss over q, by the derivative of the loss in its first argument, without its normaliser."""
    diff, a = sympy.symbols("diff alpha")
    derivative = sympy.lambdify(
        (diff, a), -sympy.diff(loss(diff, a), diff), modules=[{"exp": lambda x: x.exp()}, "math"]
    )
    terms = [balls.ball(derivative(balls.ball(x) - balls.ball(v), balls.ball(alpha))) for x in q]
    return sum(terms[1:], terms[0]) / len(terms)


def simulated(alpha: fmpq, q: Sequence[int], rate: int, steps: int) -> tuple[arb, arb]:
    """v and its gradient after gradient steps on the literal loss: clipped z, detached norm, equally likely q.

    The clip passes no gradient where it acts, as automatic differentiation has it.
    """
    v, gradient = balls.ball(0), balls.ball(0)
    for _ in range(steps):
        z = [(balls.ball(x) - v) / alpha for x in q]
        clipped = [maximum(-maximum(-x, balls.ball(-CLIP)), balls.ball(-CLIP)) for x in z]
        norm = balls.ball(literal.js_value_norm([sigmoid(x) for x in clipped]))
        pulls = [-sigmoid(x) / (alpha * norm) if abs(x) < CLIP else balls.ball(0) for x in z]
        gradient = sum(pulls[1:], pulls[0]) / len(pulls)
        v = balls.ball((v - rate * gradient).mid())
    return v, gradient


@claim(
    "JS-22",
    source="002 §8 (js_divergence_loss)",
    statement="softplus((q − v)/α) − log 2, divided by a detached norm, is a loss for the value v.",
    formula="min_v E[softplus((q−v)/α) − log 2]/norm is attained",
    stated=FALSE,
    corrected=(
        "dL/dv = −E[σ(z)]/(α norm) < 0 for every v: no minimiser; the infimum −log 2/norm is not attained. Gradient "
        "flow obeys u + e^u = t/α² + c with u = (v−q)/α: v grows like α log t. With z clipped at ±7, v passes "
        "max q + 7α and every gradient is exactly 0 from there on. The norm changes none of this."
    ),
    method="S+B",
    derivation=(
        "softplus' = σ > 0, and z falls as v rises: the derivative in v is negative everywhere.",
        "One value q: du/dt = σ(−u)/α² = 1/(α²(1 + e^u)), so d(u + e^u)/dt = 1/α².",
        "Where z < −7 the clip is constant: no gradient. v stops there, wherever the data are.",
    ),
    twins={
        "the loss that works": {"loss": lambda d, a: 2 * log(1 + exp(d / a)) - d / a},
        "sign of the flow": {"flow": lambda u: sympy.exp(-u) - u},
        "infimum 0": {"infimum": sympy.Integer(0)},
    },
)
def js_22(
    case: Case,
    *,
    loss: Any = literal.js_value_loss,
    flow: Any = lambda u: u + sympy.exp(u),
    infimum: Any = INFIMUM,
) -> None:
    """The slope at both ends in balls; limit and flow in symbols; the literal code, run until it freezes."""
    q, alpha = (0, 1), fmpq(1)
    with balls.precision(128):
        below, above = (slope_in_value(loss, q, v, alpha) for v in (-20, 20))
        shown = f"dL/dv = {balls.short(below, 4)} at v=−20, {balls.short(above, 4)} at v=20, q ∈ {{0, 1}}, α=1"
        case.claimed("B", "the loss falls at first and rises in the end", bool(below < 0) and bool(above > 0), shown)
    (z,), (a,) = real("z"), positive("alpha")
    slope = sympy.diff(literal.js_value_loss(z * a, a), z)
    case.corrected("S", "its slope in z is σ(z) > 0", every([equal(slope, sigmoid(z)), sign(sigmoid(z), 1)]))
    limit = sympy.limit(literal.js_value_loss(z, 1), z, -sympy.oo)
    case.corrected("S", "the infimum −log 2 is a limit only", equal(limit, infimum), f"limit {limit}")
    (u,) = real("u")
    speed = sigmoid(-u) / a**2
    case.corrected("S", "along the flow d(u + e^u)/dt = 1/α²", equal(sympy.diff(flow(u), u) * speed, 1 / a**2))
    with balls.precision(192):
        v, gradient = simulated(alpha, q, rate=40, steps=150)
        frozen = bool(v > max(q) + CLIP * balls.ball(alpha)) and gradient.is_zero()
        case.corrected(
            "B", "the literal loss freezes above max q + 7α", bool(frozen), f"v={balls.short(v, 5)}, gradient 0"
        )


@claim(
    "JS-23",
    source=("toolkit", "002 §8 (repaired)"),
    statement="The value loss of an f-divergence is f*(z) − z.",
    formula=(
        "ℓ(z) = f*(z) − z, z = (q−v)/β: stationary where E[(f*)'(z)] = 1.  JS: −log(2−e^z) − z.  "
        "Sigmoid: C softplus(z) − z, C > 1"
    ),
    stated=THEOREM,
    corrected=(
        "JS: convex, with a barrier v > max q − β log 2, Hessian 2 at 0, minimiser v = βν. In practice: its C¹ linear "
        "extension at z_c < log 2, which caps w at e^{z_c}/(2 − e^{z_c})."
    ),
    method="S+Q+C",
    derivation=(
        "d/dv E[f*(z) − z] = −(1/β)(E[(f*)'(z)] − 1): zero iff the weights (f*)'(z) have mean one.",
        "JS: (f*)' = e^z/(2−e^z) = w, and (f*)'' = w(1+w) > 0; at z = 0: w = 1, Hessian 2.",
        "C = 2: 2 log(1+e^z) − z = 2 log(2 cosh(z/2)).",
        "q = (0, log 9/5), equally likely, β = 1: v = log(3/2), e^z = (2/3, 6/5), w = (1/2, 3/2).",
    ),
    twins={
        "the linear term dropped": {"js": lambda z: -log(2 - exp(z))},
        "softplus for JS": {"js": lambda z: 2 * log(1 + exp(z)) - z},
        "v = log(9/5)": {"value": fmpq(9, 5)},
        "v is the KL soft value": {"value": fmpq(7, 5)},
        "C = 1": {"fermi": lambda z: log(1 + exp(z)) - z},
    },
)
def js_23(
    case: Case,
    *,
    js: Any = lambda z: -log(2 - exp(z)) - z,
    fermi: Any = lambda z: 2 * log(1 + exp(z)) - z,
    value: Any = EXPONENTIAL_VALUE,
) -> None:
    """Slopes and curvature in symbols, the example exactly, its weights against Clarabel."""
    (z,), (w,) = real("z"), positive("w")
    slope = sympy.diff(js(z), z)
    case.theorem("S", "JS: ℓ' = (f*)' − 1", equal(slope, js_ratio(z) - 1))
    curvature = sympy.diff(js(z), z, 2).subs(z, js_derivative(w))
    case.theorem("S", "JS: ℓ'' = w(1+w) > 0", every([equal(curvature, w * (1 + w)), sign(w * (1 + w), 1)]))
    case.theorem("S", "JS: Hessian 2 at 0", equal(sympy.diff(js(z), z, 2).subs(z, 0), 2))
    (t,) = positive("t")  # t = e^{z/2}
    even = fermi(2 * sympy.log(t)) - 2 * sympy.log(t + 1 / t)
    case.theorem("S", "sigmoid, C = 2: 2 log(2 cosh(z/2))", vanishes(even))
    case.theorem(
        "S", "sigmoid: ℓ' = Cσ − 1, which changes sign iff C > 1", equal(sympy.diff(fermi(z), z), 2 * sigmoid(z) - 1)
    )
    exponentials = [q / value for q in TEXTBOOK.exponentials]
    if max(exponentials) >= 2:
        case.theorem("Q", "v lies above the barrier", False, f"e^z = {max(exponentials)}")
        return
    weights = tuple(e / (2 - e) for e in exponentials)
    mean = TEXTBOOK.expect(weights)
    case.theorem("Q", "E[(f*)'(z)] = 1 at v = log(3/2)", mean == 1, f"w=({', '.join(map(str, weights))}), mean {mean}")
    case.theorem("C", "these weights are the JS optimum", conic.optimal(TEXTBOOK, JS, weights, "(f*)'(z)"))
    case.comparison("B", "reference.value_loss, JS", under_test.fitted_value(JS, "js", one_atom_bracket))


@claim(
    "JS-24",
    source="002 §8 (js_divergence_loss)",
    statement="The norm mean(max(½, σ(z))) matches the weight function, and −log 2 is part of the JS definition.",
    formula="E[σ(z)/norm] = 1;  the gradient depends on −log 2",
    stated={"norm": FALSE, "log 2": FALSE},
    corrected=(
        "norm ∈ [½, 1): it enlarges the step by a factor in (1, 2] and makes the mean weight at most, not exactly, "
        "one. −log 2 has no gradient; it only makes ℓ(0) = 0."
    ),
    method="S+P",
    derivation=(
        "½ ≤ max(½, σ) < 1, so their mean lies in [½, 1) and 1/norm in (1, 2].",
        "σ ≤ max(½, σ): E[σ]/norm ≤ 1, with equality only when every σ ≥ ½, that is every z ≥ 0.",
        "A constant has no gradient; softplus(0) = log 2, so subtracting it makes ℓ(0) = 0.",
    ),
    twins={
        "the mean of sigma itself": {"norm": lambda sigmoids: sum(sigmoids[1:], sigmoids[0]) / len(sigmoids)},
        "the correction bounds it by 3/4": {"bounds": (fmpq(1, 2), fmpq(3, 4))},
        "a factor instead of the constant": {"without": lambda z: literal.js_value_loss(z, 1) * 2},
        "claim what holds of the constant": {"dependence": False},
    },
)
def js_24(
    case: Case,
    *,
    norm: Any = literal.js_value_norm,
    bounds: Any = NORM_BOUNDS,
    without: Any = lambda z: literal.js_value_loss(z, 1) + log(sympy.Integer(2)),
    dependence: Any = True,
) -> None:
    """The norm on a family of batches, exactly; the constant in symbols."""
    family = list(instances.distinct(instances.laws(30, seed=24)))

    def sigmoids(data: Law) -> list[fmpq]:
        return [sigmoid(z) for z in data.z]

    def normalises(data: Law) -> Answer:
        values = sigmoids(data)
        mean = sum(values, fmpq(0)) / len(values) / norm(values)
        return Answer(mean == 1, f"mean of σ/norm {balls.short(mean, 5)} on {abridged(data)}")

    def inside(data: Law) -> Answer:
        value = literal.js_value_norm(sigmoids(data))
        return Answer(bool(bounds[0] <= value < bounds[1]), f"norm {balls.short(value, 5)} on {abridged(data)}")

    case.claimed("P", "the mean weight becomes one", every(normalises(d) for d in family), part="norm")
    case.corrected("P", "½ ≤ norm < 1 on every batch", every(inside(d) for d in family), part="norm")
    (z,) = real("z")
    change = sympy.diff(literal.js_value_loss(z, 1), z) - sympy.diff(without(z), z)
    unchanged = vanishes(change)
    held = ~unchanged if dependence else unchanged
    case.claimed(
        "S", "without −log 2 the gradient is another", held, "the difference of the gradients is 0", part="log 2"
    )
    case.corrected("S", "it is the same", unchanged, part="log 2")
    case.corrected("S", "and ℓ(0) = 0", vanishes(literal.js_value_loss(z, 1).subs(z, 0)), part="log 2")
