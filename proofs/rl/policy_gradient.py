"""The policy-gradient theorem and REINFORCE (RL-24, RL-25, RL-26)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import sympy
from flint import fmpq

from proofs import balls
from proofs.claim import claim
from proofs.evidence import Answer, Case
from proofs.exact import Process
from proofs.rl import chains, gradients
from proofs.rl.gradients import ODDS, model, softmax
from proofs.symbolic import equal, positive, sign, vanishes
from proofs.under_test import processes
from proofs.verdict import true_if


def discounted_visits(process: Process, policy: chains.Matrix) -> chains.Vector:
    """ρ = d(I − γP_π)^{-1}, of mass 1/(1−γ)."""
    return chains.visitation(process.initial, chains.chain(process, policy), process.discount)


def stationary(process: Process, policy: chains.Matrix) -> chains.Vector:
    """d_π."""
    return chains.stationary(chains.chain(process, policy))


def discounted_q(process: Process, policy: chains.Matrix) -> chains.Matrix:
    """q_π."""
    return chains.backup(process, process.values(policy))


@claim(
    "RL-24",
    source="004 C9",
    statement="The gradient of the metric J is Σ η(s) Σ ∇π(a|s) q_π(s,a) = E[∇ln π q_π], for a law η of states.",
    formula="∇J(θ) = Σ_s η(s) Σ_a ∇π(a|s,θ) q_π(s,a) = E[∇ln π(A|S,θ) q_π(S,A)]",
    stated=true_if("η and q match the metric"),
    corrected=(
        "For J = Σ d v with a fixed d: η = ρ = d(I−γP_π)^{-1}, whose mass is 1/(1−γ), so the form with E needs the "
        "factor 1/(1−γ). For the average reward: η = d_π with the differential q; with the discounted q the formula is "
        "only approximate, with an error of the order 1−γ."
    ),
    method="N+Q",
    derivation=(
        "v = Σ π q and q = r + γPv give ∇v = Σ_a ∇π q + γP_π ∇v, so ∇(d·v) = d(I−γP_π)^{-1} Σ_a ∇π q.",
        "d(I−γP)^{-1} has the mass Σ γ^t = 1/(1−γ): an expectation over the normalised law lacks this factor.",
        "For r̄: with (I−P)h = r − r̄, ∇r̄ + ∇h = Σ ∇π q + P∇h; multiply by d_π = d_πP: ∇r̄ = Σ d_π Σ ∇π q, where q "
        "is the differential one.",
        "Checked on three states with two actions and one logit each. Values and stationary laws are quotients of "
        "affine functions of one π(0|s) (Cramer), so three exact values give the exact derivative.",
    ),
    twins={
        "stationary law for the start metric": {"visits": stationary},
        "normalised visits": {"visits": lambda p, pi: tuple((1 - p.discount) * x for x in discounted_visits(p, pi))},
        "discounted visits for the average reward": {"average_law": discounted_visits},
        "discounted q for the average reward": {"average_q": discounted_q},
        "sign of q": {"q": lambda p, pi: tuple(tuple(-x for x in row) for row in discounted_q(p, pi))},
    },
)
def rl_24(
    case: Case,
    *,
    visits: Any = discounted_visits,
    q: Any = discounted_q,
    average_law: Any = stationary,
    average_q: Any = gradients.differential,
) -> None:
    """Derivatives in exact rationals, from values alone, and complex steps in 50 digits against the theorem."""
    process, policy = model("9/10"), softmax(ODDS)
    start_gradient = gradients.value_gradient(process, policy, process.initial)
    gain_gradient = gradients.average_gradient(process, policy)

    def same(found: Any, exact: Any) -> Answer:
        shown = ", ".join(balls.short(x, 6) for x in map(balls.ball, found))
        return Answer(found == exact, f"formula ({shown}), gradient ({', '.join(_short(x) for x in exact)})")

    case.within(
        "Q",
        "J = Σ d v: η = d(I−γP)^{-1}",
        same(gradients.theorem(process, policy, visits(process, policy), q(process, policy)), start_gradient),
    )
    case.within(
        "Q",
        "J = r̄: η = d_π and the differential q",
        same(
            gradients.theorem(process, policy, average_law(process, policy), average_q(process, policy)), gain_gradient
        ),
    )
    for name, exact, metric in (
        ("Σ d v", start_gradient, gradients.discounted_metric(process.initial, process.discount)),
        ("r̄", gain_gradient, gradients.average_metric),
    ):
        close, shown = gradients.agreement(*gradients.complex_step(process, ODDS, metric), exact)
        case.support("N", f"complex steps agree with the exact gradient of {name}", close, shown)
    normalised = tuple((1 - process.discount) * x for x in discounted_visits(process, policy))
    case.outside(
        "Q",
        "J = Σ d v: E over the normalised law, without 1/(1−γ)",
        same(gradients.theorem(process, policy, normalised, discounted_q(process, policy)), start_gradient),
    )
    case.outside(
        "Q",
        "J = Σ d v: η = d_π",
        same(
            gradients.theorem(process, policy, stationary(process, policy), discounted_q(process, policy)),
            start_gradient,
        ),
    )
    errors = []
    for discount in ("1/2", "9/10", "99/100", "999/1000"):
        nearby = model(discount)
        found = gradients.theorem(nearby, policy, stationary(nearby, policy), discounted_q(nearby, policy))
        errors.append(chains.distance(found, gain_gradient))
    case.outside(
        "Q",
        "J = r̄: the discounted q, at γ = 0.5, 0.9, 0.99, 0.999",
        any(error == 0 for error in errors),
        "errors " + ", ".join(balls.short(balls.ball(error), 3) for error in errors),
    )
    case.corrected(
        "Q",
        "that error falls with 1−γ: by nearly ten from 0.9 to 0.99 to 0.999",
        all(8 < x / y < 12 for x, y in itertools.pairwise(errors[1:])),
    )
    mass = sum(discounted_visits(process, policy), fmpq(0))
    case.corrected("Q", "the mass of ρ is 1/(1−γ)", mass == 1 / (1 - process.discount), f"mass {mass}")
    case.comparison("Q", "reference.occupancy, (1−γ)ρ", processes.occupancy())


def _short(value: fmpq) -> str:
    return balls.short(balls.ball(value), 6)


#: Two steps with the same probability p of action 1: it pays 1 in the first step and −3/2 in the second. γ = 1/2.
PAYS = (sympy.Integer(1), sympy.Rational(-3, 2))


def update_terms(p: Any, g: Any, weight: Any) -> Any:
    """E Σ_t weight(γ, t) ∂_p log π(a_t) G_t, over the four trajectories."""
    total = sympy.Integer(0)
    for actions in itertools.product((0, 1), repeat=2):
        mass = sympy.prod([p if a else 1 - p for a in actions])
        rewards = [a * pay for a, pay in zip(actions, PAYS, strict=True)]
        scores = [1 / p if a else -1 / (1 - p) for a in actions]
        returns = [rewards[0] + g * rewards[1], rewards[1]]
        total += mass * sum(weight(g, t) * scores[t] * returns[t] for t in (0, 1))
    return sympy.cancel(total)


@claim(
    "RL-25",
    source="004 C9",
    statement="REINFORCE moves θ along E[∇ln π q_π], by one sample at a time: θ + α∇ln π(a_t|s_t) G_t.",
    formula="E Σ_t ∇ln π(a_t|s_t) G_t = ∇J",
    stated=true_if("γ = 1, or the factor γ^t is kept"),
    corrected=(
        "E Σ_t γ^t ∇ln π(a_t|s_t) G_t = ∇J. Without γ^t the expected update can point the wrong way. The “=” between "
        "the expectation and the sample is stochastic approximation, not equality."
    ),
    method="S",
    derivation=(
        "Two steps with the same p = π(1), action 1 pays 1, then −3/2, γ = 1/2: J = p − (3/4)p, so dJ/dp = +1/4.",
        "The first step's score times G₀ has the mean 1 (the later reward does not depend on a₀), the second's times "
        "G₁ the mean −3/2.",
        "With γ^t: 1 + (1/2)(−3/2) = 1/4. Without: 1 − 3/2 = −1/2, the opposite direction.",
        "At γ = 1 the two agree: dJ/dp = 1 − 3/2 as well.",
    ),
    twins={
        "gamma to the t+1": {"kept": lambda g, t: g ** (t + 1)},
        "gamma to the 2t": {"kept": lambda g, t: g ** (2 * t)},
        "sign": {"kept": lambda g, t: -(g**t)},
        "the factor kept after all": {"dropped": lambda g, t: g**t},
    },
)
def rl_25(case: Case, *, kept: Any = lambda g, t: g**t, dropped: Any = lambda g, t: sympy.Integer(1)) -> None:
    """The four trajectories in symbols."""
    p, g = positive("p gamma")
    objective = sympy.Integer(0)
    for actions in itertools.product((0, 1), repeat=2):
        mass = sympy.prod([p if a else 1 - p for a in actions])
        objective += mass * sum(g**t * a * pay for t, (a, pay) in enumerate(zip(actions, PAYS, strict=True)))
    slope = sympy.diff(sympy.expand(objective), p)
    half = sympy.Rational(1, 2)
    case.within("S", "γ^t kept: the mean update is dJ/dp for every γ", equal(update_terms(p, g, kept), slope))
    case.within("S", "γ = 1 without the factor", equal(update_terms(p, sympy.Integer(1), dropped), slope.subs(g, 1)))
    seen = update_terms(p, half, dropped)
    case.outside(
        "S",
        "γ = 1/2 without the factor",
        vanishes(seen - slope.subs(g, half)),
        f"dJ/dp = {slope.subs(g, half)}, mean update {seen}",
    )
    case.corrected(
        "S",
        "there dJ/dp = 1/4 and the mean update −1/2",
        slope.subs(g, half) == sympy.Rational(1, 4) and update_terms(p, half, lambda g, t: sympy.Integer(1)) == -half,
    )


def moved_softmax(odds: Sequence[Any], direction: Sequence[Any], action: int) -> Any:
    """d/dα at 0 of π(action) for the logits log odds + α direction."""
    alpha = sympy.Symbol("alpha", real=True)
    raised = [u * sympy.exp(alpha * x) for u, x in zip(odds, direction, strict=True)]
    return sympy.diff(raised[action] / sum(raised), alpha).subs(alpha, 0)


@claim(
    "RL-26",
    source="004 C9",
    statement="β_t = q/π balances exploration and exploitation: the update raises the sampled action's probability, "
    "the more so the larger q and the smaller π.",
    formula="θ ← θ + α∇π β_t, β_t = q/π:  π_{t+1} = π_t + αβ_t‖∇π‖² + O(α²)",
    stated=true_if("q ≥ 0"),
    corrected=(
        "For q < 0 the sampled action is suppressed, and the factor 1/π suppresses the rare ones most. β_t changes "
        "with a constant added to the rewards, although the mean of the update does not."
    ),
    method="S",
    derivation=(
        "d/dα π(θ + αβ∇π) at 0 is ∇π·β∇π = β‖∇π‖²: up if β > 0, down if β < 0.",
        "∂β/∂q = 1/π > 0. ∂β/∂π = −q/π²: negative (rare actions are raised most) exactly for q > 0.",
        "β(q + c) = β(q) + c/π, but Σ_a π ∇ln π c = c ∇Σ_a π = 0.",
    ),
    twins={
        "times pi": {"factor": lambda q, p: q * p},
        "sign": {"factor": lambda q, p: -q / p},
        "one over pi dropped": {"factor": lambda q, p: q},
        "the norm not squared": {"growth": lambda b, gradient: b * sympy.sqrt(sum(x**2 for x in gradient))},
        "factor 2 in the growth": {"growth": lambda b, gradient: 2 * b * sum(x**2 for x in gradient)},
    },
)
def rl_26(
    case: Case,
    *,
    factor: Any = lambda q, p: q / p,
    growth: Any = lambda b, gradient: b * sum(x**2 for x in gradient),
) -> None:
    """A softmax over three actions in symbols; signs of the derivatives of β."""
    odds = positive("u1 u2 u3")
    total = sum(odds)
    policy = [u / total for u in odds]
    gradient = [policy[0] * ((1 if i == 0 else 0) - policy[i]) for i in range(3)]
    b = sympy.Symbol("b", real=True)
    first = moved_softmax(odds, [b * x for x in gradient], 0)
    case.within("S", "to first order in α, π changes by αβ‖∇π‖²", vanishes(sympy.cancel(first - growth(b, gradient))))
    q, p = positive("q p")
    case.within("S", "q > 0: β grows with q", sign(sympy.diff(factor(q, p), q), 1))
    case.within("S", "q > 0: the rarer the action, the larger β", sign(sympy.diff(factor(q, p), p), -1))
    case.outside("S", "q < 0: the rarer the action, the larger β", sign(sympy.diff(factor(-q, p), p), -1))
    slopes = positive("g1 g2 g3")
    case.outside("S", "q < 0: the sampled action is raised", sign(growth(factor(-q, p), slopes), 1))
    (c,) = positive("c")
    case.corrected("S", "adding c to every q adds c/π to β", equal(factor(q + c, p) - factor(q, p), c / p))
    offset = sum(c * policy[a] * ((1 if a == 0 else 0) - policy[0]) for a in range(3))
    case.corrected("S", "and nothing to the mean update: Σ_a π ∇ln π c = 0", vanishes(sympy.cancel(offset)))
