"""Importance ratios, off-policy gradients and deterministic policies (RL-29, RL-30, RL-31)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sympy
from flint import fmpq

from proofs import balls
from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.exact import mean
from proofs.rl import chains, gradients
from proofs.rl.chains import numbers
from proofs.rl.gradients import BEHAVIOR_ODDS, ODDS, model, softmax
from proofs.symbolic import positive, sign, vanishes
from proofs.verdict import true_if


def ratio(wanted: Any, sampled: Any) -> Any:
    """p₀/p₁."""
    return wanted / sampled


def weighted(wanted: Sequence[Any], sampled: Sequence[Any], values: Sequence[Any], weight: Any) -> Any:
    """E_{p₁}[weight(p₀, p₁) x]: a sum over what p₁ can draw."""
    terms = [b * weight(a, b) * x for a, b, x in zip(wanted, sampled, values, strict=True) if b != 0]
    return sum(terms, fmpq(0))


def chi_square(wanted: Sequence[Any], sampled: Sequence[Any]) -> Any:
    """χ²(p₀‖p₁) = Σ (p₀ − p₁)²/p₁."""
    return sum(((a - b) ** 2 / b for a, b in zip(wanted, sampled, strict=True)), fmpq(0))


@claim(
    "RL-29",
    source="004 C10",
    statement="E_{p₀}[X] is estimated from samples of p₁ by the mean of x p₀(x)/p₁(x).",
    formula="E_{X~p₀}[X] = E_{X~p₁}[X p₀(X)/p₁(X)]",
    stated=true_if("p₁(x) > 0 wherever x p₀(x) ≠ 0"),
    corrected="Its price is E_{p₁}[(p₀/p₁)²] = 1 + χ²(p₀‖p₁): the variance of the ratios.",
    method="Q",
    derivation=(
        "Σ_x p₁ x p₀/p₁ = Σ_x x p₀ over the x with p₁ > 0; the others are missing.",
        "p₀ = (1/2, 1/2), x = (1, 3), p₁ = (1, 0): only x = 1 is ever drawn, with the ratio 1/2: 1/2 instead of 2.",
        "Σ p₀²/p₁ = 1 + Σ (p₀ − p₁)²/p₁; for p₁ = (1/4, 3/4) it is 1 + 1/3 = 4/3.",
    ),
    twins={
        "ratio inverted": {"weight": lambda a, b: b / a if a != 0 else fmpq(0)},
        "no ratio": {"weight": lambda a, b: fmpq(1)},
        "second moment without the 1": {"moment": chi_square},
        "chi-square the other way": {"moment": lambda a, b: 1 + chi_square(b, a)},
    },
)
def rl_29(
    case: Case, *, weight: Any = ratio, moment: Any = lambda wanted, sampled: 1 + chi_square(wanted, sampled)
) -> None:
    """Random laws with full support, one zero where it does no harm, and one where it does."""
    pairs = [(row, policy[s]) for p, policy, other in chains.family(12, 29) for s, row in enumerate(other)]

    def same(wanted: Any, sampled: Any, values: Any) -> Answer:
        found, truth = weighted(wanted, sampled, values, weight), mean(wanted, values)
        return Answer(found == truth, f"estimate {found}, mean {truth}")

    case.within(
        "Q",
        "p₁ > 0 everywhere",
        every(same(a, b, tuple(fmpq(3 * i - 2) for i in range(len(a)))) for a, b in pairs),
    )
    case.within(
        "Q",
        "p₁ = 0 only where p₀ or x is 0",
        same(numbers("1/2", "1/4", "1/4", 0), numbers("1/2", "1/2", 0, 0), numbers(2, -1, 0, 7)),
    )
    wanted, values = numbers("1/2", "1/2"), numbers(1, 3)
    case.outside("Q", "p₀ = (1/2, 1/2), x = (1, 3), p₁ = (1, 0)", same(wanted, numbers(1, 0), values))

    def second(a: Any, b: Any) -> Answer:
        seen = weighted(a, b, [ratio(x, y) for x, y in zip(a, b, strict=True)], ratio)
        return Answer(seen == moment(a, b), f"E w² = {seen}, 1 + χ² = {moment(a, b)}")

    example = second(wanted, numbers("1/4", "3/4"))
    case.corrected("Q", "E w² = 1 + χ²(p₀‖p₁)", every([example, *(second(a, b) for a, b in pairs)]), example.witness)
    case.corrected("Q", "which is 4/3 for p₁ = (1/4, 3/4)", moment(wanted, numbers("1/4", "3/4")) == fmpq(4, 3))


def off_policy_gradient(process: Any, policy: Any, behavior: Any, states: Any, weight: Any) -> chains.Vector:
    """E_{S~states, A~behavior}[weight(π, β) ∇ln π(A|S) δ_π(S,A)], with δ_π = q_π − v_π; `states` carries its mass."""
    advantages = process.advantages(policy)
    result = []
    for s in range(process.n_states):
        moved = gradients.tangent(policy, s)[s]
        terms = [
            behavior[s][a] * weight(policy[s][a], behavior[s][a]) * moved[a] / policy[s][a] * advantages[s, a]
            for a in range(len(policy[s]))
        ]
        result.append(states[s] * sum(terms, fmpq(0)))
    return tuple(result)


@claim(
    "RL-30",
    source="004 C10",
    statement="The off-policy gradient is E_{S~ρ, A~β}[(π/β)∇ln π δ_π], and (π/β)∇ln π = ∇π/β.",
    formula="∇J(θ) = E_{S~ρ, A~β}[(π(A|S)/β(A|S)) ∇ln π(A|S,θ) δ_π(S,A)]",
    stated=true_if("S ~ ρ = d_β(I−γP_π)^{-1}, of mass 1/(1−γ), for J = Σ d_β v_π"),
    corrected=(
        "Sampling S from the law d_β of the behaviour's own data is an approximation, whose direction differs from the "
        "gradient's. The cancellation π/β · ∇ln π = ∇π/β is exact."
    ),
    method="N+Q",
    derivation=(
        "J = Σ d_β(s)v_π(s) with d_β fixed: ∇J = Σ ρ(s) Σ_a ∇π(a|s) q_π(s,a), ρ = d_β(I−γP_π)^{-1} (RL-24).",
        "Σ_a ∇π q = Σ_a β (π/β)∇ln π q, and v_π may be subtracted as a baseline (RL-27).",
        "The importance ratio corrects the action alone. States drawn from d_β keep the wrong weights: ρ moves on "
        "from d_β under π, not under β.",
    ),
    twins={
        "ratio inverted": {"weight": lambda p, b: b / p},
        "ratio dropped": {"weight": lambda p, b: fmpq(1)},
        "normalised states": {"states": lambda p, pi, law: tuple((1 - p.discount) * x for x in visited(p, pi, law))},
        "the behaviour moves the states": {"follow": lambda policy, behavior: behavior},
        "cancelled the wrong way": {"cancelled": lambda slope, p, b: slope * b / p},
    },
)
def rl_30(
    case: Case,
    *,
    weight: Any = ratio,
    states: Any = lambda process, policy, law: visited(process, policy, law),
    follow: Any = lambda policy, behavior: policy,
    cancelled: Any = lambda slope, p, b: slope / b,
) -> None:
    """The exact gradient of J against the formula with ρ and with d_β; complex steps beside it."""
    process, policy, behavior = model("9/10"), softmax(ODDS), softmax(BEHAVIOR_ODDS)
    law = chains.stationary(chains.chain(process, behavior))
    exact = gradients.value_gradient(process, policy, law)

    def direction(found: Any) -> Answer:
        square, cosine = gradients.cosine(found, exact)
        shown = ", ".join(balls.short(balls.ball(x), 6) for x in found)
        return Answer(found == exact, f"({shown}), cosine with the gradient {cosine}, cos² = 1: {square == 1}")

    at = states(process, follow(policy, behavior), law)
    case.within(
        "Q",
        "S ~ ρ = d_β(I−γP_π)^{-1}",
        direction(off_policy_gradient(process, policy, behavior, at, weight)),
    )
    metric = gradients.discounted_metric(law, process.discount)
    close, shown = gradients.agreement(*gradients.complex_step(process, ODDS, metric), exact)
    case.support("N", "complex steps of J = Σ d_β v_π agree with the exact gradient", close, shown)
    plain = off_policy_gradient(process, policy, behavior, law, ratio)
    scaled = tuple(x / (1 - process.discount) for x in plain)
    case.outside("Q", "S ~ d_β, scaled to the mass of ρ", direction(scaled))
    case.corrected(
        "Q",
        "nor has it the gradient's direction, though it points to the same side",
        0 < gradients.cosine(plain, exact)[0] < 1 and mean(plain, exact) > 0,
    )
    p, b = policy[0][0], behavior[0][0]
    slope = gradients.tangent(policy, 0)[0][0]
    case.corrected("Q", "(π/β)∇ln π = ∇π/β", p / b * (slope / p) == cancelled(slope, p, b))


def visited(process: Any, policy: Any, law: Any) -> chains.Vector:
    """ρ = law (I − γP_π)^{-1}."""
    return chains.visitation(law, chains.chain(process, policy), process.discount)


def deterministic_gradient(visits: Any, action_slope: Any, policy_slope: Any) -> Any:
    """E_{ρ_μ}[∇μ ∇_a q], for terms that are multiples of s²."""
    return visits * policy_slope * action_slope


@claim(
    "RL-31",
    source="004 C10",
    statement="The deterministic policy gradient is E_{S~ρ_μ}[∇μ(S) ∇_a q_μ(S,a) at a = μ(S)], for the loss "
    "J = E_{d₀} v_μ; the method is off-policy.",
    formula="∇J(θ) = E_{S~ρ_μ}[∇_θ μ(S) ∇_a q_μ(S,a)|_{a=μ(S)}]",
    stated=true_if("μ, q are differentiable and ρ_μ is the un-normalised discounted visitation of μ from d₀"),
    corrected=(
        "“Off-policy” is right about actions: none is sampled, so no importance ratio is needed. States from a replay "
        "buffer in the place of ρ_μ are an approximation. J is maximised; to call it a loss is a misnomer."
    ),
    method="S",
    derivation=(
        "Scalar control: s' = Fs + Ga, r = −(Qs² + Ra²), a = θs, c = F + Gθ, γc² < 1. Then v = −p s² with "
        "p = (Q + Rθ²)/(1 − γc²), and J = −p E s₀².",
        "q = −(Qs² + Ra²) − γp(Fs + Ga)², so ∇_a q at a = θs is −2(Rθ + γpGc)s, and ∇_θ μ = s.",
        "ρ_μ weights s² by Σ γ^t c^{2t} E s₀² = E s₀²/(1 − γc²). The product is −2(Rθ + γpGc)E s₀²/(1 − γc²), which is "
        "−E s₀² dp/dθ.",
        "For R, Q > 0, J is negative and smallest (−∞) where the policy is worst: it is to be maximised.",
    ),
    twins={
        "normalised visits": {"visits": lambda m, g, c: (1 - g) * m / (1 - g * c**2)},
        "visits without the square": {"visits": lambda m, g, c: m / (1 - g * c)},
        "sign": {"product": lambda v, a, t: -v * a * t},
        "factor 2": {"product": lambda v, a, t: 2 * v * a * t},
        "discount dropped from q": {"inner": lambda g: sympy.Integer(1)},
        "the step of the policy dropped": {"product": lambda v, a, t: v * t},
    },
)
def rl_31(
    case: Case,
    *,
    visits: Any = lambda m, g, c: m / (1 - g * c**2),
    product: Any = deterministic_gradient,
    inner: Any = lambda g: g,
) -> None:
    """Scalar linear-quadratic control in symbols."""
    f, h, q, r, g, m = positive("F G Q R gamma m")
    theta = sympy.Symbol("theta", real=True)
    s, a = sympy.symbols("s a", real=True)
    c = f + h * theta
    price = (q + r * theta**2) / (1 - g * c**2)
    bellman = -(q * s**2 + r * (theta * s) ** 2) + g * (-price * (c * s) ** 2)
    case.support("S", "v = −p s² solves the Bellman equation", vanishes(sympy.cancel(bellman + price * s**2)))
    worth = -(q * s**2 + r * a**2) - inner(g) * price * (f * s + h * a) ** 2
    action_slope = sympy.cancel(sympy.diff(worth, a).subs(a, theta * s) / s)
    exact = sympy.diff(-price * m, theta)

    def gradient(weight: Any) -> Any:
        return product(weight(m, g, c), action_slope, 1)

    case.within(
        "S",
        "ρ_μ un-normalised, second moment m/(1 − γc²)",
        vanishes(sympy.cancel(sympy.together(gradient(visits) - exact))),
    )
    case.outside(
        "S",
        "states drawn from d₀ (a replay buffer) in the place of ρ_μ",
        vanishes(gradient(lambda m, g, c: m) - exact),
    )
    (square,) = positive("k")
    ahead = sum((g * square) ** t for t in range(4))
    case.support(
        "S",
        "four terms of ρ_μ's second moment Σ (γc²)^t sum to (1 − (γc²)⁴)/(1 − γc²)",
        vanishes(sympy.expand(ahead * (1 - g * square) - 1 + (g * square) ** 4)),
    )
    kinked = -m * sympy.Abs(theta - 1)
    left, right = (sympy.limit((kinked - kinked.subs(theta, 1)) / (theta - 1), theta, 1, side) for side in "-+")
    case.outside(
        "S",
        "r = −|a − s|, γ = 0, at θ = 1: J has a gradient",
        vanishes(left - right),
        f"J = −m|θ − 1| has the slopes {left} and {right}",
    )
    average = product((1 - g) * visits(m, g, c), action_slope, 1)
    case.outside("S", "ρ_μ normalised to mass one", vanishes(average - exact))
    stable = sympy.Symbol("t", positive=True)
    cost = (q + r * theta**2) * (1 + stable)
    case.corrected(
        "S",
        "where γc² < 1 (1 − γc² = 1/(1+t)) v is negative: J is a reward, to be maximised",
        sign(-cost * m, -1),
    )
