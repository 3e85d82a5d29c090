"""The variational derivation of the soft policy, and the sign of the actor's loss (SAC-04, SAC-09, SAC-11)."""

from __future__ import annotations

from typing import Any

import sympy
from flint import fmpq

from proofs import balls, literal
from proofs.arithmetic import entropy_term, exp, log
from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.exact import mean
from proofs.sac import soft
from proofs.sac.soft import ALPHA, boltzmann, mild_states, soft_value, total
from proofs.symbolic import equal, positive, real, sign, summed, vanishes
from proofs.verdict import CONTRADICTION, FALSE

LAMBDA = sympy.Symbol("lambda", real=True)
Q = real("Q1 Q2 Q3")
PI = positive("p1 p2 p3")


def lagrangian(policy: Any, multiplier: Any, alpha: Any = ALPHA) -> Any:
    """Source 003 sections 0.3.2 and 3.2.2 over three actions: sum pi Q - alpha sum pi log pi + lambda (1 - sum pi)."""
    reward = summed(p * q for p, q in zip(policy, Q, strict=True))
    return reward - alpha * summed(entropy_term(p) for p in policy) + multiplier * (1 - summed(policy))


@claim(
    "SAC-04",
    source=("003 §0.3.2", "003 §3.2.2.1"),
    statement="Setting the functional derivative of the Lagrangian to zero gives π* = exp(Q/α − 1 − λ).",
    formula="δL/δπ = Q − α(log π + 1) − λ = 0  ⇒  π* = exp(Q/α − 1 − λ);  §3.2.2.1: δL/δπ = Q/α − log π − 1 − λ",
    stated=FALSE,
    corrected=(
        "π = exp((Q − λ)/α − 1). §3.2.2.1 differentiates L/α with λ/α renamed λ. Harmless after normalisation (the "
        "boxed policy is right), wrong as a dual variable: λ = α(log Z − 1), not log Z − 1. The sign in front of λ is "
        "free."
    ),
    method="S",
    derivation=(
        "Q − α(log π + 1) − λ = 0 gives log π = (Q − λ)/α − 1: λ is divided by α as well.",
        "Insert the printed exp(Q/α − 1 − λ): what remains is αλ − λ = λ(α − 1), zero only for α = 1 (or λ = 0).",
        "Σπ = 1 gives e^{−λ/α − 1} Z = 1: λ = α(log Z − 1). Either form becomes e^{Q/α}/Z once it is normalised.",
    ),
    twins={
        "claim the right policy": {
            "policy": lambda q, alpha, m: exp((q - m) / alpha - 1),
            "slope": lambda q, log_pi, alpha, m: q - alpha * (log_pi + 1) - m,
        },
        "the remainder with the opposite sign": {"remainder": lambda m, alpha: m * (1 - alpha)},
        "the correction loses its -1": {"right": lambda q, alpha, m: exp((q - m) / alpha)},
        "the correction with the sign of lambda": {"right": lambda q, alpha, m: exp((q + m) / alpha - 1)},
        "the multiplier without alpha": {"dual": lambda log_z, alpha: log_z - 1},
    },
)
def sac_04(
    case: Case,
    *,
    policy: Any = literal.soft_policy_printed,
    slope: Any = literal.soft_slope_printed,
    right: Any = lambda q, alpha, m: exp((q - m) / alpha - 1),
    remainder: Any = lambda m, alpha: m * (alpha - 1),
    dual: Any = lambda log_z, alpha: alpha * (log_z - 1),
) -> None:
    """The derivative of the Lagrangian over three actions, at the printed and at the right policy."""
    derivative = sympy.diff(lagrangian(PI, LAMBDA), PI[0])

    def at(candidate: Any) -> Any:
        return derivative.subs(PI[0], candidate(Q[0], ALPHA, LAMBDA))

    case.claimed("S", "the printed policy is stationary", vanishes(at(policy)), "what remains is λ(α − 1)")
    case.claimed("S", "the printed derivative is δL/δπ", equal(derivative, slope(Q[0], log(PI[0]), ALPHA, LAMBDA)))
    case.corrected("S", "exp((Q − λ)/α − 1) is stationary", vanishes(at(right)))
    printed = literal.soft_policy_printed
    case.corrected("S", "the printed one leaves λ(α − 1)", equal(at(printed), remainder(LAMBDA, ALPHA)))
    scaled = sympy.diff(lagrangian(PI, ALPHA * LAMBDA) / ALPHA, PI[0])
    stated = literal.soft_slope_printed(Q[0], log(PI[0]), ALPHA, LAMBDA)
    case.corrected("S", "the printed derivative is that of L/α with λ replaced by αλ", equal(scaled, stated))
    partition = total([exp(q / ALPHA) for q in Q])
    solved = dual(log(partition), ALPHA)
    normalised = total([exp(q / ALPHA) for q in Q]) * sympy.exp(-solved / ALPHA - 1)
    case.corrected("S", "λ = α(log Z − 1) makes Σπ = 1", vanishes(sympy.log(normalised)))
    odds = [printed(q, ALPHA, LAMBDA) / exp(q / ALPHA) for q in Q]
    case.corrected("S", "normalised, the printed form is e^{Q/α}/Z as well", equal(odds[0], odds[1]))
    opposite = sympy.diff(lagrangian(PI, -LAMBDA), PI[0]).subs(PI[0], right(Q[0], ALPHA, -LAMBDA))
    case.corrected("S", "the other sign in front of λ only renames −λ to λ", vanishes(opposite))


@claim(
    "SAC-09",
    source="003 §3.3 (key steps 2-3)",
    statement="log Z(s) does not depend on α; minimising the KL divergence is minimising E[(log π − Q)/α].",
    formula="(2) ∂ log Z/∂α = 0;  (3) argmin_π KL(π‖p) = argmin_π E_π[(log π − Q)/α]",
    stated={"constant": FALSE, "objective": FALSE},
    corrected=(
        "log Z depends on α, ∂ log Z/∂α = −E_{π_B}[Q]/α², and not on θ or a. The objective is E_π[log π − Q/α], as one "
        "line above and in step 4; the printed one has lost the temperature, its minimiser is softmax(Q) for every α."
    ),
    method="S",
    derivation=(
        "log Z = log Σ e^{Q/α}: differentiate in α, −Σ (Q/α²) e^{Q/α}/Z. In θ: no θ occurs.",
        "(log π − Q)/α is 1/α times log π − Q: the factor moves no minimum, and log π − Q is minimal at π ∝ e^Q.",
        "E[log π − Q/α] is minimal at π ∝ e^{Q/α}: the 1/α belongs to Q alone.",
    ),
    twins={
        "claim independence of the policy": {"variable": PI[0]},
        "claim the right objective": {"objective": lambda log_pi, q, alpha: log_pi - q / alpha},
        "sign of the derivative": {"derivative": lambda average, alpha: average / alpha**2},
        "the derivative with 1/alpha": {"derivative": lambda average, alpha: -average / alpha},
        "the correction is the printed one": {"right": literal.actor_loss_of_the_derivation},
    },
)
def sac_09(
    case: Case,
    *,
    variable: Any = ALPHA,
    objective: Any = literal.actor_loss_of_the_derivation,
    derivative: Any = lambda average, alpha: -average / alpha**2,
    right: Any = lambda log_pi, q, alpha: log_pi - q / alpha,
) -> None:
    """The derivative of log Z; stationarity on the simplex of two free probabilities."""
    q = Q[:2]
    log_z = log(total([exp(x / ALPHA) for x in q]))
    average = mean(boltzmann(q, ALPHA), q)
    changed = sympy.diff(log_z, variable)
    case.claimed("S", "∂ log Z/∂α = 0", vanishes(changed), part="constant")
    case.corrected(
        "S", "∂ log Z/∂α = −E[Q]/α²", equal(sympy.diff(log_z, ALPHA), derivative(average, ALPHA)), part="constant"
    )
    case.corrected("S", "no policy parameter occurs in log Z", vanishes(sympy.diff(log_z, PI[0])), part="constant")

    (odds,) = positive("o")

    def stationary(loss: Any, temperature: Any) -> Answer:
        # Boltzmann at `temperature`: Q1 - Q2 = temperature log(odds).
        expected = total([p * loss(log(p), x, ALPHA) for p, x in zip((PI[0], 1 - PI[0]), q, strict=True)])
        slope = sympy.diff(expected, PI[0]).subs(PI[0], odds / (1 + odds))
        return vanishes(slope.subs(q[0], q[1] + temperature * log(odds)))

    part = "objective"
    case.claimed("S", "the Boltzmann policy at α minimises it", stationary(objective, ALPHA), part=part)
    case.corrected("S", "E[log π − Q/α] is stationary at the Boltzmann policy", stationary(right, ALPHA), part=part)
    lost = stationary(literal.actor_loss_of_the_derivation, sympy.Integer(1))
    case.corrected("S", "the printed one is stationary at softmax(Q), whatever α", lost, part=part)
    convex = sign(sympy.diff(entropy_term(PI[0]), PI[0], 2), 1)
    case.corrected("S", "both are strictly convex in π, so stationary is minimal", convex, part=part)


@claim(
    "SAC-11",
    source=("003 §0.4.1", "003 §0.5.2", "003 §4.1", "003 §4.5"),
    statement="J_π is E[α log π − Q] (§0.4.1), is maximised (§0.5.2), and is E[Q − α log π] and E[KL] (§4.1).",
    formula="J_π = E[α log π − Q];  actor update: maximise J_π;  J_π = E[Q − α log π]",
    stated=CONTRADICTION,
    corrected=(
        "Minimise E[α log π − Q] = α E[KL] − α E[log Z] (or maximise its negative). Maximised as §0.5.2 says, the form "
        "of §0.4.1 puts all mass on argmin Q. The E_a outside the KL of §4.1 is redundant."
    ),
    method="S+P",
    derivation=(
        "E_π[α log π − Q] has the Hessian α/π > 0 in π: strictly convex, minimal at the Boltzmann policy.",
        "A strictly convex function on the simplex is largest at a vertex: there it is −Q(a), so at argmin Q.",
        "Maximising it and minimising it are therefore different tasks; §4.1's form is the negative of §0.4.1's.",
    ),
    twins={
        "minimised both times": {"second": lambda log_pi, q, alpha: q - alpha * log_pi},
        "the other form both times": {"first": lambda log_pi, q, alpha: q - alpha * log_pi},
        "the relation without alpha": {"relation": lambda divergence, log_z, alpha: divergence - log_z},
        "the relation with the sign of log Z": {
            "relation": lambda divergence, log_z, alpha: alpha * (divergence + log_z)
        },
    },
)
def sac_11(
    case: Case,
    *,
    first: Any = lambda log_pi, q, alpha: alpha * log_pi - q,
    second: Any = lambda log_pi, q, alpha: alpha * log_pi - q,
    relation: Any = lambda divergence, log_z, alpha: alpha * (divergence - log_z),
) -> None:
    """`first` is minimised (section 0.4.1), `second` maximised (section 0.5.2): whether both prefer the same policy."""
    q, free = Q[:2], (PI[0], 1 - PI[0])

    def loss(form: Any) -> Any:
        return total([p * form(log(p), x, ALPHA) for p, x in zip(free, q, strict=True)])

    minimised, maximised = loss(first), -loss(second)
    opposed = vanishes(sympy.diff(minimised + maximised, PI[0]))
    shown = "§0.4.1 minimises what §0.5.2 maximises: the Boltzmann policy against all mass on argmin Q"
    case.contradiction("S", "what the update maximises is the loss to be minimised", opposed, shown)
    curvature = sympy.diff(ALPHA * entropy_term(PI[0]) - PI[0] * q[0], PI[0], 2)
    case.corrected("S", "E[α log π − Q] is strictly convex in each π(a)", sign(curvature, 1))
    best = boltzmann(q, ALPHA)
    partition = log(total([exp(x / ALPHA) for x in q]))
    case.corrected(
        "S",
        "E[α log π − Q] = αKL − α log Z",
        equal(loss(lambda lp, x, a: a * lp - x), relation(soft.divergence(free, best), partition, ALPHA)),
    )

    def opposite(values: Any, policy: Any) -> Answer:
        worst = min(values)
        at_worst, here, at_best = -worst, -soft.regularised(values, policy, fmpq(1)), -soft_value(values, fmpq(1))
        holds = bool(at_worst >= here >= at_best) and bool(at_worst > at_best)
        shown = f"{balls.short(at_worst)} at argmin Q, {balls.short(here)} at π, {balls.short(at_best)} at π_B"
        return Answer(holds, shown)

    family = [item for item in mild_states(36, seed=311) if soft.peaked(item[0])]
    examples = [opposite(*item) for item in family]
    case.corrected("P", "its maximum is at argmin Q, its minimum at π_B", every(examples), examples[0].witness)
