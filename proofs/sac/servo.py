"""The temperature's loss and its update as a servo of the entropy (SAC-16, SAC-17, SAC-18)."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import sympy
from flint import arb, fmpq

from proofs import balls, literal, under_test
from proofs.arithmetic import exp, log
from proofs.claim import claim
from proofs.evidence import Case
from proofs.exact import mean
from proofs.sac import soft
from proofs.sac.soft import ALPHA, boltzmann, total
from proofs.symbolic import equal, positive, real, vanishes
from proofs.verdict import FALSE, TRUE

Q = (0, 1, 3)
"""The action values of the example."""

TARGET = fmpq(4, 5)
RATE = fmpq(1, 20)
START = fmpq(3, 10)

Step = Callable[[Any, Any, Any, Any], Any]
"""(log alpha, E log pi, target, rate) -> log alpha, as the source writes it."""


def policy_at(log_alpha: Any, scale: Any = 1) -> tuple[Any, ...]:
    """The Boltzmann policy of the example (its values divided by `scale`), in balls."""
    alpha = balls.ball(log_alpha).exp()
    return boltzmann([balls.ball(q) / scale for q in Q], alpha)


def advance(step: Step, log_alpha: Any, rate: Any = RATE, target: Any = TARGET) -> Any:
    """One update of the example: the literal step with the entropy of the Boltzmann policy at this temperature."""
    return step(log_alpha, -soft.entropy(policy_at(log_alpha)), balls.ball(target), balls.ball(rate))


def fixed_point(step: Step, target: Any = TARGET) -> arb | None:
    """log alpha with advance(log alpha) = log alpha, enclosed; None where the ends of [-1, 6/5] show no crossing."""

    def excess(x: Any) -> Any:
        return advance(step, x, RATE, target) - x

    low, high = fmpq(-1), fmpq(6, 5)
    try:
        return balls.root(excess, low, high)
    except ValueError:
        pass
    try:
        return balls.root(lambda x: -excess(x), low, high)
    except ValueError:
        return None


def slope(step: Step, log_alpha: arb, rate: Any = RATE) -> arb:
    """The eigenvalue of the literal update at a point, by a central difference of width 2^-41; its error is O(h^2)."""
    h, middle = balls.ball(2) ** -40, log_alpha.mid()
    return (advance(step, middle + h, rate) - advance(step, middle - h, rate)) / (2 * h)


@functools.cache
def on_target() -> arb:
    """log alpha at which the example has the target entropy; by bisection, without any update."""
    return balls.root(lambda x: balls.ball(TARGET) - soft.entropy(policy_at(x)), fmpq(-1), fmpq(6, 5))


@claim(
    "SAC-16",
    source=("003 §0.4.3", "003 §4.3"),
    statement="The temperature's loss and its gradients.",
    formula="J(α) = E[−α(log π + H̄)];  ∇_α J = H(π) − H̄;  ∇_{log α} J = −α E[log π + H̄]",
    stated=TRUE,
    corrected=(
        "Minimising J over α > 0 is dual descent of max E[Q] s.t. H ≥ H̄: the dual function α log Z − αH̄ has the same "
        "gradient at π_α. Taking the states from the replay buffer instead of the visitation is an approximation."
    ),
    method="S",
    derivation=(
        "J is linear in α: ∇_α J = −E[log π] − H̄ = H − H̄. With α = e^x: dα/dx = α.",
        "Dual function: g(α) = max_π E[Q] + α(H − H̄) = α log Z − αH̄.",
        "g'(α) = log Z − E_{π_α}[Q]/α − H̄ = H(π_α) − H̄: the policy moves with α, and its gradient term vanishes.",
    ),
    twins={
        "sign": {"gradient": lambda entropy, target: target - entropy},
        "sign of the target": {"gradient": lambda entropy, target: entropy + target},
        "alpha dropped": {"log_gradient": lambda alpha, average, target: -(average + target)},
        "sign of the gradient in log alpha": {
            "log_gradient": lambda alpha, average, target: alpha * (average + target)
        },
        "the dual without its target": {"dual": lambda log_z, alpha, target: alpha * log_z},
    },
)
def sac_16(
    case: Case,
    *,
    gradient: Any = lambda entropy, target: entropy - target,
    log_gradient: Any = lambda alpha, average, target: -alpha * (average + target),
    dual: Any = lambda log_z, alpha, target: alpha * log_z - alpha * target,
) -> None:
    """A policy of three actions held fixed; then the Boltzmann policy of two, which moves with alpha."""
    (first, second), (target, x) = positive("p1 p2"), real("H x")
    policy = (first, second, 1 - first - second)
    near = {"p1": sympy.Rational(1, 5), "p2": sympy.Rational(3, 7)}
    average = total([p * log(p) for p in policy])

    def loss(alpha: Any) -> Any:
        return total([p * (-alpha * (log(p) + target)) for p in policy])

    slope_in_alpha = sympy.diff(loss(ALPHA), ALPHA)
    right = equal(slope_in_alpha, gradient(soft.entropy(policy), target), **near)
    case.claimed("S", "∇_α J = H − H̄", right, "J is linear in α, with slope −E[log π] − H̄ = H − H̄")
    in_log = sympy.diff(loss(sympy.exp(x)), x)
    case.claimed(
        "S", "∇_{log α} J = −α E[log π + H̄]", equal(in_log, log_gradient(sympy.exp(x), average, target), **near)
    )
    q = real("Q1 Q2")
    log_z = log(total([exp(y / ALPHA) for y in q]))
    moving = soft.entropy(boltzmann(q, ALPHA))
    slope_of_dual = sympy.diff(dual(log_z, ALPHA, target), ALPHA)
    case.corrected("S", "g'(α) = H(π_α) − H̄", equal(slope_of_dual, moving - target))
    laws, entropies = real("D rho"), real("H1 H2")
    means = [law * entropies[0] + (1 - law) * entropies[1] for law in laws]
    case.corrected("S", "another law of states, another mean entropy", ~vanishes(means[0] - means[1]))


@claim(
    "SAC-17",
    source=("003 §4.3", "003 §4.4.4"),
    statement="The update of log α; §4.3 prints it with a minus in front, §4.4.4 without.",
    formula="§4.3: α̃ ← −α̃ + η α E[log π + H̄];  §4.4.4: α̃ ← α̃ + η α E[log π + H̄]",
    stated={"§4.3": FALSE, "§4.4.4": TRUE},
    corrected=(
        "α̃ ← α̃ + ηα E[log π + H̄] is gradient descent on J and comes to rest at H = H̄. The printed minus turns α into "
        "about 1/α at every step; its fixed point is α ≈ 1 whatever the target, and it even repels."
    ),
    method="E+B",
    derivation=(
        "Q = (0, 1, 3), H̄ = 0.8, η = 0.05, from α = 0.3: the printed rule gives 3.3731, 0.2853, 3.545, …: α ↔ 1/α.",
        "Its fixed point: 2 log α = ηα(H̄ − H), so log α = O(η): α = 1.0068, where H − H̄ = −0.271.",
        "Its eigenvalue there is −1 + η(α(H̄ − H) − Var/α) < −1.",
        "With a plus: ηα(H̄ − H) = 0 exactly on target, α = 1.5584, eigenvalue 1 − ηVar/α inside (−1, 1).",
    ),
    twins={
        "§4.3 with a plus": {"printed": literal.temperature_step},
        "§4.4.4 with a minus": {"right": literal.temperature_step_printed},
        "§4.4.4 with the gradient's sign": {
            "right": lambda x, average, target, rate: x - rate * exp(x) * (average + target)
        },
        "§4.4.4 with the target's sign": {
            "right": lambda x, average, target, rate: x + rate * exp(x) * (average - target)
        },
        "§4.4.4 with a target twice as large": {
            "right": lambda x, average, target, rate: x + rate * exp(x) * (2 * average + target)
        },
    },
)
def sac_17(
    case: Case, *, printed: Step = literal.temperature_step_printed, right: Step = literal.temperature_step
) -> None:
    """Fixed points in balls, eigenvalues by finite differences of the literal updates, and their orbits."""
    with balls.precision(256):
        for part, step in (("§4.3", printed), ("§4.4.4", right)):
            point = fixed_point(step)
            if point is None:
                case.claimed("B", "the entropy is on target at its fixed point", False, "no fixed point", part=part)
                continue
            excess = soft.entropy(policy_at(point)) - TARGET
            holds = balls.vanishes_within(excess, fmpq(1, 10**30))
            shown = f"α = {balls.short(point.exp(), 5)}, H − H̄ = {'0' if holds else balls.short(excess, 3)}"
            case.claimed("B", "the entropy is on target at its fixed point", holds, shown, part=part)
            rate = slope(step, point)
            stable = bool(abs(rate) < 1)
            case.claimed("E", "its fixed point attracts", stable, f"eigenvalue {balls.short(rate, 6)}", part=part)
        part = "§4.3"
        orbit = [balls.ball(START).log()]
        for _ in range(8):
            orbit.append(advance(literal.temperature_step_printed, orbit[-1]))
        flips = all(bool(a * b < 0) for a, b in itertools.pairwise(orbit))
        shown = ", ".join(balls.short(x.exp(), 5) for x in orbit[:5])
        case.corrected("B", "the printed rule flips about α = 1 at every step", flips, f"α: {shown}", part=part)
        point = fixed_point(literal.temperature_step_printed)
        assert point is not None
        alpha, policy = point.exp(), policy_at(point)
        linear = -1 + RATE * (alpha * (TARGET - soft.entropy(policy)) - soft.variance(policy, Q) / alpha)
        near = abs(linear - slope(literal.temperature_step_printed, point)) < balls.ball(2) ** -60
        case.corrected("E", "eigenvalue −1 + η(α(H̄−H) − Var/α)", bool(near), balls.short(linear, 6), part=part)
        others = {t: fixed_point(literal.temperature_step_printed, t) for t in (fmpq(1, 10), fmpq(1))}
        unmoved = all(x is not None and bool(abs(x) < balls.ball(RATE)) for x in others.values())
        shown = ", ".join(f"α = {balls.short(x.exp(), 5)} for H̄ = {t}" for t, x in others.items() if x is not None)
        case.corrected("B", "the printed rule rests near α = 1 for other targets too", unmoved, shown, part=part)
        settled = balls.ball(START).log()
        for _ in range(1500):
            settled = advance(literal.temperature_step, settled).mid()
        error = abs(settled - on_target())
        reached = error < balls.ball(fmpq(1, 10**10))
        shown = f"α = {balls.short(settled.exp(), 6)} after 1500 steps from 0.3"
    case.corrected("E", "with a plus the orbit reaches H = H̄", bool(reached), shown, part=part)


@claim(
    "SAC-18",
    source=("003 §0.1", "003 §4.4.6"),
    statement="α adjusts itself automatically, 'similar to integral control'.",
    formula="α̃ ← α̃ + ηα E[log π + H̄] is negative feedback of the entropy error",
    stated=TRUE,
    corrected=(
        "dH/dα = Var_π(Q)/α³ ≥ 0, so the update has the multiplier 1 − ηVar_π(Q)/α at its target: stable iff "
        "ηVar_π(Q)/α < 2. (The adaptive-β rule of source 001 has the opposite sign: ESS-03.)"
    ),
    method="S+E",
    derivation=(
        "With z = Q/α: H = log Z − E[z], d log Z/dα = −E[z]/α and dE[z]/dα = −(E[z] + Var(z))/α, so dH/dα = Var(z)/α = "
        "Var_π(Q)/α³.",
        "d/dα̃ [α̃ + ηα(H̄ − H)] = 1 + ηα(H̄ − H) − ηα² dH/dα; on target the middle term is 0.",
        "So the multiplier is 1 − ηVar/α: below one, above −1 iff ηVar/α < 2.",
    ),
    twins={
        "the step with the sign of source 001": {
            "step": lambda x, average, target, rate: x - rate * exp(x) * (average + target)
        },
        "the printed minus": {"step": literal.temperature_step_printed},
        "the variance over alpha squared": {"derivative": lambda variance, alpha: variance / alpha**2},
        "sign of the derivative": {"derivative": lambda variance, alpha: -variance / alpha**3},
        "the multiplier with half the gain": {
            "multiplier": lambda rate, variance, alpha: 1 - rate * variance / (2 * alpha)
        },
    },
)
def sac_18(
    case: Case,
    *,
    step: Step = literal.temperature_step,
    derivative: Any = lambda variance, alpha: variance / alpha**3,
    multiplier: Any = lambda rate, variance, alpha: 1 - rate * variance / alpha,
) -> None:
    """The derivative of the entropy for two free actions and one at zero; the literal update at several rates."""
    q = (*real("Q1 Q2"), sympy.Integer(0))
    policy = boltzmann(q, ALPHA)
    # log pi = Q/alpha - log Z, so that no logarithm of a quotient has to be taken apart.
    log_z = log(total([exp(x / ALPHA) for x in q]))
    entropy = log_z - mean(policy, q) / ALPHA
    seen = sympy.diff(entropy, ALPHA)
    right = equal(seen, derivative(soft.variance(policy, q), ALPHA))
    case.claimed("S", "dH/dα = Var_π(Q)/α³", right, "multiplier 1 − ηVar_π(Q)/α on target")
    x, rate, target, variance = *real("x"), *positive("eta H V")
    measured = sympy.Function("H")
    update = step(x, -measured(x), target, rate)
    at_target = sympy.diff(update, x).subs(sympy.Derivative(measured(x), x), variance / sympy.exp(x) ** 2)
    at_target = at_target.subs(measured(x), target)
    expected = multiplier(rate, variance, sympy.exp(x))
    case.claimed("S", "the multiplier on target is 1 − ηVar/α", equal(at_target, expected))
    with balls.precision(256):
        point = on_target()
        alpha, law = point.exp(), policy_at(point)
        gain = soft.variance(law, Q) / alpha
        shown = []
        holds = True
        for name, target_gain in (("0.05", None), ("1.9 α/Var", fmpq(19, 10)), ("2.1 α/Var", fmpq(21, 10))):
            chosen = balls.ball(RATE) if target_gain is None else (target_gain / gain).mid()
            eigenvalue = slope(step, point, chosen)
            linear = multiplier(chosen, soft.variance(law, Q), alpha)
            holds &= bool(abs(eigenvalue - linear) < balls.ball(2) ** -60)
            holds &= bool(abs(eigenvalue) < 1) is (target_gain is None or target_gain < 2)
            shown.append(f"{balls.short(eigenvalue, 5)} at η = {name}")
    case.claimed("E", "stable iff ηVar/α < 2, by finite differences", holds, f"eigenvalue {', '.join(shown)}")
    found = under_test.temperature_for_entropy(lambda alpha: soft.entropy(policy_at(alpha.log())), Q)
    case.comparison("B", "reference.entropy_target.temperature_for_entropy_at", found)
