"""Value functions with parameters: semi-gradients and stability (RL-20, RL-21)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sympy
from flint import fmpq

from proofs.claim import claim
from proofs.evidence import Case, every
from proofs.exact import mean, solve
from proofs.rl import chains
from proofs.rl.chains import Matrix, Vector, numbers, show
from proofs.symbolic import equal, positive, real, sign, summed, vanishes
from proofs.verdict import FALSE, true_if

#: Three states in a ring that mostly moves on; two features for each state; rewards; discount 9/10.
RING: Matrix = (numbers("1/10", "9/10", 0), numbers(0, "1/10", "9/10"), numbers("9/10", 0, "1/10"))
PHI: Matrix = (numbers(1, 0), numbers(1, 1), numbers(0, 2))
PAY: Vector = numbers(2, -1, 1)
GAMMA = fmpq(9, 10)


def td_matrix(weights: Sequence[Any], discount: Any) -> Matrix:
    """A = Φᵀ D (I − γP) Φ of the expected TD field A w − b on the ring."""
    moved = [chains.add(PHI[s], chains.push(RING[s], PHI), -discount) for s in range(3)]
    return tuple(
        tuple(sum((weights[s] * PHI[s][i] * moved[s][j] for s in range(3)), fmpq(0)) for j in range(2))
        for i in range(2)
    )


def curl(field: Sequence[Any], variables: Sequence[Any]) -> Any:
    """∂₂F₁ − ∂₁F₂, which is 0 for every gradient."""
    return sympy.diff(field[0], variables[1]) - sympy.diff(field[1], variables[0])


def rationals(values: Sequence[Any]) -> list[Any]:
    """Exact rationals as sympy numbers."""
    return [sympy.Rational(int(value.p), int(value.q)) for value in values]


def bootstrapped(estimate: Sequence[Any], state: int) -> Any:
    """r + γE v̂(s'), the TD target, which moves with w."""
    return rationals(PAY)[state] + rationals([GAMMA])[0] * mean(rationals(RING[state]), estimate)


def sampled_target(estimate: Sequence[Any], state: int) -> Any:
    """The mean Monte Carlo return, which does not depend on w."""
    values = chains.apply(chains.inverse(chains.one_minus(RING, GAMMA)), PAY)
    return rationals(values)[state]


def projection_bound(discount: Any) -> Any:
    """The square of 1/√(1 − γ²)."""
    return 1 / (1 - discount**2)


@claim(
    "RL-20",
    source="004 C8",
    statement="With v_π replaced by a TD target, TD with function approximation is SGD on J(w) = E(v_π − v̂)², whose "
    "gradient is −2E[(v_π − v̂)∇v̂].",
    formula="∇J(w) = −2E[(v_π(S) − v̂(S,w))∇v̂(S,w)], with v_π(s) replaced by r + γv̂(s',w)",
    stated={"TD is SGD": FALSE, "gradient": true_if("the weights of the states do not depend on w")},
    corrected=(
        "A semi-gradient: the expected field Aw − b has an asymmetric A = ΦᵀD(I−γP)Φ and is the gradient of nothing. "
        "With on-policy weights A is positive definite, and ‖v̂ − v‖_d ≤ ‖Πv − v‖_d/√(1−γ²) at the fixed point. Monte "
        "Carlo returns as the target do give SGD on J."
    ),
    method="S+Q",
    derivation=(
        "A gradient field has a symmetric Jacobian. That of E[(v̂ − r − γv̂(s'))∇v̂] is A.",
        "Ring of three states (stay with probability 1/10, else move on), features (1,0), (1,1), (0,2), γ = 9/10: "
        "A₁₂ = −38/75, but A₂₁ = −71/300. With the rewards (2,−1,1): errors 4.411 ≤ 4.679, best 2.040.",
        "With a target that does not depend on w the Jacobian is ΦᵀDΦ, which is symmetric: Monte Carlo is SGD.",
        "On-policy ‖Pv‖_d ≤ ‖v‖_d, so ΠT contracts with modulus γ in ‖·‖_d. By Pythagoras ‖v̂ − v‖² = ‖v̂ − Πv‖² + "
        "‖Πv − v‖² ≤ γ²‖v̂ − v‖² + ‖Πv − v‖².",
        "If the weights depend on w (say, through the policy), ∇J has the further term Σ ∇d(s)(v − v̂)².",
    ),
    twins={
        "Monte Carlo in place of TD": {"target": sampled_target},
        "sign of the gradient": {"gradient": lambda d, v, h, w: 2 * expected_slope(d, v, h, w)},
        "factor 2 dropped": {"gradient": lambda d, v, h, w: -expected_slope(d, v, h, w)},
        "bound with gamma in place of its square": {"bound": lambda g: (1 - g) / (1 + g)},
        "bound 1": {"bound": lambda g: fmpq(1)},
        "the correction bootstraps": {"fixed": bootstrapped},
    },
)
def rl_20(
    case: Case,
    *,
    target: Any = bootstrapped,
    fixed: Any = sampled_target,
    gradient: Any = lambda weights, values, estimate, w: -2 * expected_slope(weights, values, estimate, w),
    bound: Any = projection_bound,
) -> None:
    """The curl of the expected fields; the fixed point of TD against the projection of v; weights that move."""
    weights = chains.stationary(RING)
    w = real("w1 w2")
    estimate = [summed(f * x for f, x in zip(rationals(PHI[s]), w, strict=True)) for s in range(3)]

    def field(aim: Any) -> list[Any]:
        errors = [estimate[s] - aim(estimate, s) for s in range(3)]
        return [
            sympy.expand(
                summed(d * e * sympy.diff(h, x) for d, e, h in zip(rationals(weights), errors, estimate, strict=True))
            )
            for x in w
        ]

    matrix = td_matrix(weights, GAMMA)
    case.claimed(
        "S",
        "the expected TD field is a gradient: its curl vanishes",
        vanishes(curl(field(target), w)),
        f"A₁₂ = {matrix[0][1]}, A₂₁ = {matrix[1][0]}, asymmetry {matrix[0][1] - matrix[1][0]}",
        part="TD is SGD",
    )
    case.support(
        "S",
        "that field is Aw − b",
        every(
            equal(sympy.diff(component, x), rationals(row)[j])
            for component, row in zip(field(bootstrapped), matrix, strict=True)
            for j, x in enumerate(w)
        ),
        part="TD is SGD",
    )
    case.corrected("S", "with Monte Carlo returns the curl vanishes", vanishes(curl(field(fixed), w)), part="TD is SGD")
    symmetric = (matrix[0][0], (matrix[0][1] + matrix[1][0]) / 2, matrix[1][1])
    case.corrected(
        "Q",
        "A is positive definite",
        symmetric[0] > 0 and symmetric[0] * symmetric[2] - symmetric[1] ** 2 > 0,
        f"symmetric part ({show(symmetric[:2])}, {show(symmetric[1:])})",
        part="TD is SGD",
    )
    truth = chains.apply(chains.inverse(chains.one_minus(RING, GAMMA)), PAY)
    gram = [[mean(weights, [row[i] * row[j] for row in PHI]) for j in range(2)] for i in range(2)]

    def projected(values: Any, left: Any) -> Vector:
        right = [mean(weights, [row[i] * v for row, v in zip(PHI, values, strict=True)]) for i in range(2)]
        return chains.apply(PHI, solve(left, right))

    def distance(estimate: Any) -> Any:
        return mean(weights, [(x - y) ** 2 for x, y in zip(estimate, truth, strict=True)])

    reached, best = distance(projected(PAY, matrix)), distance(projected(truth, gram))
    case.corrected(
        "Q",
        "the fixed point obeys ‖v̂ − v‖² ≤ ‖Πv − v‖²/(1−γ²), and is not the projection",
        best < reached <= bound(GAMMA) * best,
        f"squared: {float_of(reached)} ≤ {float_of(bound(GAMMA) * best)}, best {float_of(best)}",
        part="TD is SGD",
    )
    values, masses, x = real("v1 v2"), positive("d1 d2"), sympy.Symbol("x", real=True)
    guesses = [sympy.sin(x), x**2]
    still = summed(d * (v - h) ** 2 for d, v, h in zip(masses, values, guesses, strict=True))
    case.within(
        "S",
        "weights that do not depend on w: the derivative of J",
        vanishes(sympy.expand(sympy.diff(still, x) - gradient(masses, values, guesses, x))),
        part="gradient",
    )
    moving = [1 / (1 + x**2), x**2 / (1 + x**2)]
    shifting = summed(d * (v - h) ** 2 for d, v, h in zip(moving, values, guesses, strict=True))
    case.outside(
        "S",
        "weights 1/(1+w²), w²/(1+w²): the derivative of J",
        vanishes(sympy.diff(shifting, x) - gradient(moving, values, guesses, x)),
        part="gradient",
    )


def expected_slope(weights: Any, values: Any, estimate: Any, w: Any) -> Any:
    """E[(v_π − v̂)∇v̂]."""
    return summed(d * (v - h) * sympy.diff(h, w) for d, v, h in zip(weights, values, estimate, strict=True))


def float_of(value: fmpq) -> str:
    """Six decimals of an exact number."""
    return f"{int(value.p) / int(value.q):.6f}"


def drift(weights: Sequence[Any], discount: Any, w: Any) -> Any:
    """The expected TD step of w → 2w: both states lead to the second, whose feature is 2; no rewards."""
    first = (discount * 2 * w - w) * 1
    second = (discount * 2 * w - 2 * w) * 2
    return weights[0] * first + weights[1] * second


@claim(
    "RL-21",
    source="004 C8",
    statement="TD with function approximation converges to an estimate of v_π, under either of the two laws of states "
    "offered: uniform or stationary.",
    formula="w ← w + αE_d[(r + γv̂(s',w) − v̂(s,w))∇v̂(s,w)] is stable",
    stated=true_if("the states are weighted on-policy (by the stationary law)"),
    corrected=(
        "On-policy −vᵀD(I−γP)v = −(1−γ)‖v‖² − (γ/2)Σ d p (v_s − v_t)² < 0. Off-policy weights can turn the sign: with "
        "features 1 and 2 and uniform weights TD diverges exactly for γ > 5/6."
    ),
    method="S",
    derivation=(
        "Features 1, 2; both states lead to the second; no rewards. Step of state 1: (2γw − w)·1, of state 2: "
        "(2γw − 2w)·2.",
        "Uniform weights: half the sum, w(6γ − 5)/2, which drives w away from 0 for γ > 5/6.",
        "The stationary law is (0, 1): −4(1−γ)w, which always drives w to 0.",
        "In general, with d = dP: Σ d p v_s v_t = ‖v‖² − ½Σ d p (v_s − v_t)², so vᵀD(I−γP)v is a sum of squares.",
    ),
    twins={
        "uniform weights throughout": {"on_policy": lambda: (sympy.Rational(1, 2), sympy.Rational(1, 2))},
        "stationary weights throughout": {"elsewhere": lambda: (sympy.Integer(0), sympy.Integer(1))},
        "sign of the step": {"step": lambda d, g, w: -drift(d, g, w)},
        "factor of the squares": {"squares": lambda g, inner, moved: (1 - g) * inner + g * moved},
        "threshold": {"threshold": "4/5"},
    },
)
def rl_21(
    case: Case,
    *,
    on_policy: Any = lambda: (sympy.Integer(0), sympy.Integer(1)),
    elsewhere: Any = lambda: (sympy.Rational(1, 2), sympy.Rational(1, 2)),
    step: Any = drift,
    squares: Any = lambda g, inner, moved: (1 - g) * inner + g / 2 * moved,
    threshold: Any = "5/6",
) -> None:
    """The sign of the drift for every γ in (0,1), written γ = 1/(1+t); its root; the sum of squares on two states."""
    (t, w), g = positive("t w"), sympy.Symbol("gamma", positive=True)
    inside = step(on_policy(), 1 / (1 + t), w)
    case.within("S", "stationary weights: the step has the sign of −w for every γ < 1", sign(inside, -1))
    case.within(
        "S",
        "and is −4(1−γ)w",
        equal(step((sympy.Integer(0), sympy.Integer(1)), g, w), -4 * (1 - g) * w),
    )
    case.outside(
        "S", "uniform weights: it has the sign of −w for every γ < 1", sign(step(elsewhere(), 1 / (1 + t), w), -1)
    )
    half = sympy.Rational(1, 2)
    uniform = drift((half, half), g, w)
    case.corrected("S", "uniform weights: the step is w(6γ−5)/2", equal(uniform, w * (6 * g - 5) / 2))
    case.corrected(
        "S",
        "it changes its sign at γ = 5/6 alone",
        sympy.solve(uniform, g) == [sympy.Rational(threshold)],
        f"roots {sympy.solve(uniform, g)}",
    )
    p, q = positive("p q")
    v = real("v1 v2")
    law = (q / (p + q), p / (p + q))
    rows = ((1 - p, p), (q, 1 - q))
    form = summed(law[i] * v[i] * (v[i] - g * summed(rows[i][j] * v[j] for j in range(2))) for i in range(2))
    inner = summed(law[i] * v[i] ** 2 for i in range(2))
    moved = summed(law[i] * rows[i][j] * (v[i] - v[j]) ** 2 for i in range(2) for j in range(2))
    case.corrected(
        "S",
        "vᵀD(I−γP)v = (1−γ)‖v‖² + (γ/2)Σ d p (v_s−v_t)² on every chain with two states",
        vanishes(sympy.cancel(sympy.together(form - squares(g, inner, moved)))),
    )
