"""The maximum-entropy policy gradient and the law of its states (SAC-08, SAC-12), on two states in symbols."""

from __future__ import annotations

import functools
from typing import Any

import mpmath
import sympy

from proofs.arithmetic import log
from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.sac import soft
from proofs.symbolic import positive, vanishes
from proofs.verdict import true_if

P = positive("p1 p2")
"""The probability of the first action in either state; these are the parameters of the policy."""

GAMMA = sympy.Rational(4, 5)
TEMPERATURE = sympy.Rational(1, 2)
START = (sympy.Rational(3, 4), sympy.Rational(1, 4))
REWARDS = ((sympy.Integer(1), sympy.Rational(-1, 2)), (sympy.Integer(0), sympy.Integer(2)))
TO_FIRST = ((sympy.Rational(1, 4), sympy.Integer(1)), (sympy.Rational(1, 2), sympy.Rational(1, 5)))
"""P(first state | s, a)."""

SAMPLE = {P[0]: sympy.Rational(1, 3), P[1]: sympy.Rational(3, 5)}
"""Where the numbers of the witnesses are taken."""


@functools.cache
def solved() -> tuple[Any, Any, Any, Any]:
    """J, Q^pi, the expected discounted visits from START (mass 1/(1-gamma)) and the stationary law, all in p1, p2."""
    policy = [(p, 1 - p) for p in P]
    first = [sum(x * t for x, t in zip(row, to, strict=True)) for row, to in zip(policy, TO_FIRST, strict=True)]
    chain = sympy.Matrix([[x, 1 - x] for x in first])
    here = sympy.Matrix([soft.regularised(r, row, TEMPERATURE) for r, row in zip(REWARDS, policy, strict=True)])
    inverse = (sympy.eye(2) - GAMMA * chain).inv()
    values = inverse * here
    visits = sympy.Matrix([START]) * inverse
    q = [
        [r + GAMMA * (t * values[0] + (1 - t) * values[1]) for r, t in zip(rewards, to, strict=True)]
        for rewards, to in zip(REWARDS, TO_FIRST, strict=True)
    ]
    objective = START[0] * values[0] + START[1] * values[1]
    return objective, q, tuple(visits), stationary_law(*first)


def stationary_law(first: Any, second: Any) -> tuple[Any, Any]:
    """The stationary law of a chain on two states that moves to state 1 with these probabilities."""
    leave = 1 - first
    return second / (leave + second), leave / (leave + second)


def weighted(state: int, weight: Any) -> Any:
    """sum_a (d pi(a|s)/dp) weight(Q, log pi) at one state: the inner expectation of the policy gradient."""
    q = solved()[1][state]
    p = P[state]
    return weight(q[0], log(p), TEMPERATURE) - weight(q[1], log(1 - p), TEMPERATURE)


def slope(state: int) -> Any:
    """dJ/dp of one state's parameter, from the solved objective."""
    return _slope(state)


@functools.cache
def _slope(state: int) -> Any:
    return sympy.diff(solved()[0], P[state])


def polynomial(residual: Any) -> Any:
    """The numerator of a residual whose logarithms became symbols: zero exactly if the residual is.

    The residuals are rational in p and linear in log p and log(1 - p), which are independent over rational functions.
    """
    names = sympy.symbols("l1 m1 l2 m2", real=True)
    logs = dict(zip((log(P[0]), log(1 - P[0]), log(P[1]), log(1 - P[1])), names, strict=True))
    return sympy.fraction(sympy.together(sympy.sympify(residual).subs(logs)))[0]


def number(expression: Any) -> str:
    """Six digits of an expression at SAMPLE."""
    return str(sympy.N(sympy.sympify(expression).subs(SAMPLE), 6))


@functools.cache
def _objective_of_logits() -> Any:
    return sympy.lambdify(P, solved()[0], "mpmath")


def complex_step(weight: Any, measure: Any) -> Answer:
    """The gradient in two logits, by a complex step of J with 40 digits, against the formula.

    The error of a step h is O(h^2); it is estimated by a second step, ten times as long.
    """
    with mpmath.workdps(60):
        logits = [mpmath.mpf("-0.7"), mpmath.mpf("0.4")]

        def objective(k: int, step: Any) -> Any:
            moved = [t + (mpmath.mpc(0, step) if i == k else 0) for i, t in enumerate(logits)]
            return _objective_of_logits()(*(1 / (1 + mpmath.exp(-t)) for t in moved)).imag / step

        at = {p: 1 / (1 + mpmath.exp(-t)) for p, t in zip(P, logits, strict=True)}
        shown, holds = [], True
        for k in range(2):
            seen, check = objective(k, mpmath.mpf(10) ** -25), objective(k, mpmath.mpf(10) ** -24)
            formula = sympy.lambdify(P, measure()[k] * weighted(k, weight), "mpmath")(*at.values())
            p = at[P[k]]
            difference = abs(seen - formula * p * (1 - p))
            allowed = 1000 * abs(seen - check) + mpmath.mpf(10) ** -45
            holds &= bool(difference <= allowed)
            shown.append(f"{mpmath.nstr(seen, 8)} (difference {mpmath.nstr(difference, 2)})")
    return Answer(holds, f"complex step: {', '.join(shown)}")


def visits() -> Any:
    """The discounted visits, of mass 1/(1-gamma)."""
    return solved()[2]


@claim(
    "SAC-08",
    source=("003 §2.3", "003 §5.2"),
    statement="The policy gradient of the maximum-entropy objective.",
    formula="∇J = E_{s ~ p_π, a ~ π}[∇ log π(a|s) (Q^π(s,a) − α log π(a|s))]",
    stated=true_if("p_π is the discounted visitation, with its mass 1/(1−γ)"),
    corrected=(
        "With ρ = μ₀(I − γP_π)^{-1}. The −α∇ log π term that a total derivative adds has mean zero. Under a stationary "
        "law the direction is another one (and a transient start state gets no gradient at all); dropping −α log π is "
        "wrong."
    ),
    method="N+S",
    derivation=(
        "V = Σπ(Q − α log π), Q = r + γPV: ∇V = Σ∇π (Q − α log π) − α Σ∇π + γP_π ∇V, and Σ∇π = 0.",
        "Solve for ∇V: ∇J = μ₀(I − γP_π)^{-1} Σ∇π (Q − α log π): the states are weighted by discounted visits, of mass "
        "1/(1−γ).",
        "The stationary law solves another equation. If the start state never recurs its mass is 0: no gradient there.",
    ),
    twins={
        "the entropy dropped from the weight": {"weight": lambda q, log_pi, alpha: q},
        "sign of the entropy": {"weight": lambda q, log_pi, alpha: q + alpha * log_pi},
        "alpha dropped": {"weight": lambda q, log_pi, alpha: q - log_pi},
        "visits of mass one": {"measure": lambda: tuple((1 - GAMMA) * x for x in visits())},
        "the start law": {"measure": lambda: START},
    },
)
def sac_08(case: Case, *, weight: Any = lambda q, log_pi, alpha: q - alpha * log_pi, measure: Any = visits) -> None:
    """Two states and four pairs with free policy parameters: the derivative of the solved objective."""
    law = measure()
    case.within(
        "S",
        "∂J/∂p = ρ(s) Σ ∂π/∂p (Q − α log π) in either state",
        every(vanishes(polynomial(slope(s) - law[s] * weighted(s, weight))) for s in range(2)),
        f"∇J = ({number(slope(0))}, {number(slope(1))}) at p = (1/3, 3/5)",
    )
    case.within("N", "the same by a complex step in the logits", complex_step(weight, measure))
    stationary = solved()[3]
    other = [stationary[s] * weighted(s, lambda q, log_pi, alpha: q - alpha * log_pi) for s in range(2)]
    cross = vanishes(slope(0) * other[1] - slope(1) * other[0])
    shown = f"∇J ∝ ({number(slope(0))}, {number(slope(1))}), stationary ({number(other[0])}, {number(other[1])})"
    case.outside("S", "under the stationary law the direction is the same", cross, shown)
    mass = sympy.simplify(soft.total(visits()))
    case.corrected("S", "the mass of the visits is 1/(1−γ)", vanishes(mass - 1 / (1 - GAMMA)), f"{mass}")
    transient = stationary_law(sympy.Integer(0), sympy.Integer(0))[0]
    case.corrected("S", "a start state that never recurs has stationary mass 0, but one visit", vanishes(transient))
    extra = vanishes(sympy.diff(P[0], P[0]) + sympy.diff(1 - P[0], P[0]))
    case.corrected("S", "the missing −α∇ log π has mean −αΣ∇π = 0", extra)


def own_loss(state: int, loss: Any) -> Any:
    """Minus the derivative of the actor's loss in one state's parameter; Q is held fixed, then inserted."""
    q = sympy.symbols("q1 q2", real=True)
    p = P[state]
    expected = p * loss(log(p), q[0], TEMPERATURE) + (1 - p) * loss(log(1 - p), q[1], TEMPERATURE)
    return -sympy.diff(expected, p).subs(dict(zip(q, solved()[1][state], strict=True)), simultaneous=True)


@claim(
    "SAC-12",
    source="003 §0.4.1",
    statement="The actor's loss over the replay buffer is equivalent to the maximum-entropy objective.",
    formula="argmin E_{s~D, a~π}[α log π − Q^π] = argmax J(π)",
    stated=true_if("the policy is tabular and D has full support"),
    corrected=(
        "They share their stationary points then, not their gradients: the state weights are D(s) and ρ(s). A state "
        "with D(s) = 0 is never improved, while ∇J ≠ 0 there; and parameters shared between states settle elsewhere."
    ),
    method="N+S",
    derivation=(
        "Actor: −∂L/∂p_s = D(s) g(s), with g(s) = Σ ∂π/∂p (Q − α log π). Objective: ∂J/∂p_s = ρ(s) g(s) (SAC-08).",
        "Tabular, D > 0, ρ > 0: both vanish exactly where g(s) = 0 in every state, at the soft optimum.",
        "D(s) = 0: the actor's derivative is 0 whatever g(s) is.",
        "One parameter p for both states: D(1)g(1) + D(2)g(2) = 0 and ρ(1)g(1) + ρ(2)g(2) = 0 have different roots.",
    ),
    twins={
        "the entropy dropped": {"loss": lambda log_pi, q, alpha: -q},
        "the temperature lost": {"loss": lambda log_pi, q, alpha: log_pi - q},
        "the loss maximised": {"loss": lambda log_pi, q, alpha: q - alpha * log_pi},
        "the data see every state": {"unseen": lambda: (sympy.Rational(2, 3), sympy.Rational(1, 3))},
    },
)
def sac_12(
    case: Case,
    *,
    loss: Any = lambda log_pi, q, alpha: alpha * log_pi - q,
    unseen: Any = lambda: (sympy.Integer(0), sympy.Integer(1)),
) -> None:
    """Two states in symbols, with full data and with a state that has none; one shared parameter numerically."""
    data = (sympy.Rational(1, 3), sympy.Rational(2, 3))
    actor = [own_loss(s, loss) for s in range(2)]
    case.within(
        "S",
        "D full: ρ(s)·(actor's gradient) = D(s)·∂J/∂p, so both vanish together",
        every(vanishes(polynomial(data[s] * (actor[s] * visits()[s] - slope(s)))) for s in range(2)),
    )
    law = unseen()
    missed = law[0] * actor[0]
    stationary = vanishes(missed).holds is True and vanishes(slope(0)).holds is False
    shown = f"actor's gradient {number(missed)} at the state without data, ∂J/∂p = {number(slope(0))}"
    case.outside("S", "D(s) = 0: the stationary points are the same", not stationary, shown)
    case.within("N", "∂J/∂p by a complex step", complex_step(lambda q, log_pi, a: -loss(log_pi, q, a), visits))
    try:
        roots = shared_roots(loss, data)
    except (TypeError, ValueError) as problem:
        case.corrected("N", "one shared parameter settles elsewhere", False, f"no stationary parameter: {problem}")
        return
    with mpmath.workdps(40):
        apart = abs(roots[0][0] - roots[1][0]) > 1000 * (roots[0][1] + roots[1][1])
        shown = f"{mpmath.nstr(roots[0][0], 8)} and {mpmath.nstr(roots[1][0], 8)}"
    case.corrected("N", "one shared parameter settles elsewhere", bool(apart), f"roots {shown}")


def shared_roots(loss: Any, data: Any) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Where one probability for both states is stationary: for the actor, for J, each with an error estimate."""
    p = sympy.Symbol("p", positive=True)
    laws = (data, visits())
    found = []
    with mpmath.workdps(40):
        for law in laws:
            total = soft.total([law[s] * own_loss(s, loss) for s in range(2)]).subs({P[0]: p, P[1]: p})
            function = sympy.lambdify(p, total, "mpmath")
            root = mpmath.findroot(function, (mpmath.mpf("0.01"), mpmath.mpf("0.99")), solver="anderson")
            rate = mpmath.diff(function, root)
            found.append((root, abs(function(root) / rate) + mpmath.mpf(10) ** -30))
    return found[0], found[1]
