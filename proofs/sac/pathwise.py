"""Gradients through the reparameterised Gaussian: which formula, and how noisy (SAC-13, SAC-26)."""

from __future__ import annotations

import functools
from typing import Any

import sympy

from proofs import literal
from proofs.claim import claim
from proofs.evidence import Case
from proofs.sac import gaussian
from proofs.sac.gaussian import X, expectation, log_normal_density
from proofs.sac.soft import ALPHA
from proofs.symbolic import equal, positive, real, vanishes
from proofs.verdict import FALSE, TRUE, true_if

MU = sympy.Symbol("mu", real=True)
SIGMA = sympy.Symbol("sigma", positive=True)
ACTION = sympy.Symbol("a", real=True)
PARAMETERS = {"μ": MU, "σ": SIGMA}


def quadratic() -> Any:
    """Q(a) = -kappa (a - c)^2 / 2."""
    (kappa,), (centre,) = positive("kappa"), real("c")
    return -kappa * (ACTION - centre) ** 2 / 2


@functools.cache
def objective() -> Any:
    """E[Q(a) - alpha log N(a; mu, sigma)], integrated over the noise."""
    action = MU + SIGMA * X
    inside = quadratic().subs(ACTION, action) - ALPHA * log_normal_density(action, MU, SIGMA)
    return expectation(sympy.expand(inside))


@claim(
    "SAC-13",
    source=("003 §4.1", "003 §4.4.1"),
    statement="The gradient of the actor's objective with reparameterised actions; two sections print two formulas.",
    formula="§4.1: ∇J ≈ E_ε[Q(f(ε)) − α log π(ε)];  §4.4.1: ∇_φ J ≈ ∇_φ[Q(f_φ(ε)) − α log π_φ(f_φ(ε))]",
    stated={"§4.1": FALSE, "§4.4.1": TRUE},
    corrected=(
        "As a total derivative: ∇ = (∂_a Q − α ∂_a log π) ∂_φ f − α ∂_φ log π. The last term has mean zero and may be "
        "dropped. log π at ε instead of f(ε) adds αμ/σ² to ∂_μ; keeping ∂_a Q alone loses the entropy's α/σ. (The "
        "subscript θ of the policy in §4.1 is φ.)"
    ),
    method="S",
    derivation=(
        "π = N(μ, σ²), Q = −κ(a − c)²/2: J = −κ((μ − c)² + σ²)/2 + α log σ + const, so ∂_μJ = −κ(μ − c) and "
        "∂_σJ = −κσ + α/σ.",
        "§4.1 prints the value J itself, no derivative; with a ∇ in front, log π(ε) = −(ε − μ)²/2σ² − log σ + const "
        "has E ∂_μ log π(ε) = −μ/σ²: the error is αμ/σ².",
        "E ∂_φ log π = ∂_φ ∫π = 0, so the partial derivative of log π in its parameters may be left out.",
    ),
    twins={
        "§4.1 with the derivative and log pi at the action": {
            "printed": lambda q, log_pi_noise, log_pi_action, variable: sympy.diff(q - ALPHA * log_pi_action, variable)
        },
        "§4.4.1 with log pi at the noise": {"total": lambda q, log_pi_noise, log_pi_action: q - ALPHA * log_pi_noise},
        "§4.4.1 without the entropy": {"total": lambda q, log_pi_noise, log_pi_action: q},
        "§4.4.1 with the sign of the entropy": {
            "total": lambda q, log_pi_noise, log_pi_action: q + ALPHA * log_pi_action
        },
        "the error without alpha": {"error": lambda mu, sigma: mu / sigma**2},
        "the lost entropy with the wrong power": {"lost": lambda sigma: ALPHA / sigma**2},
    },
)
def sac_13(
    case: Case,
    *,
    printed: Any = lambda q, log_pi_noise, log_pi_action, variable: literal.actor_objective_at_noise(
        q, log_pi_noise, ALPHA
    ),
    total: Any = lambda q, log_pi_noise, log_pi_action: q - ALPHA * log_pi_action,
    error: Any = lambda mu, sigma: ALPHA * mu / sigma**2,
    lost: Any = lambda sigma: ALPHA / sigma,
) -> None:
    """Gaussian policy, quadratic Q: every expectation in closed form, against the derivative of the objective."""
    case.support("S", "E e^{tx} = e^{t²/2}", gaussian.generating(), part="§4.1")
    action = MU + SIGMA * X
    q = quadratic().subs(ACTION, action)
    at_noise, at_action = (log_normal_density(x, MU, SIGMA) for x in (X, action))
    truth = {name: sympy.diff(objective(), variable) for name, variable in PARAMETERS.items()}
    for name, variable in PARAMETERS.items():
        stated = expectation(sympy.expand(printed(q, at_noise, at_action, variable)))
        case.claimed("S", f"the printed expectation is ∂J/∂{name}", equal(stated, truth[name]), part="§4.1")
        whole = expectation(sympy.expand(sympy.diff(total(q, at_noise, at_action), variable)))
        case.claimed("S", f"E of the total derivative is ∂J/∂{name}", equal(whole, truth[name]), part="§4.4.1")
    part = "§4.1"
    with_nabla = sympy.diff(literal.actor_objective_at_noise(q, at_noise, ALPHA), MU)
    excess = expectation(sympy.expand(with_nabla)) - truth["μ"]
    case.corrected("S", "with a ∇, log π(ε) adds αμ/σ² to ∂_μ", equal(excess, error(MU, SIGMA)), part=part)
    along = log_normal_density(ACTION, MU, SIGMA)
    split = {
        name: (sympy.diff(quadratic(), ACTION) - ALPHA * sympy.diff(along, ACTION)).subs(ACTION, action)
        * sympy.diff(action, variable)
        for name, variable in PARAMETERS.items()
    }
    for name, term in split.items():
        right = equal(expectation(sympy.expand(term)), truth[name])
        case.corrected("S", f"E[(∂_aQ − α∂_a log π)∂_{name} f] = ∂J/∂{name}", right, part=part)
        score = sympy.diff(along, PARAMETERS[name]).subs(ACTION, action)
        mean = vanishes(expectation(sympy.expand(score)))
        case.corrected("S", f"the dropped α∂_{name} log π has mean 0", mean, part=part)
    only_q = expectation(sympy.expand(sympy.diff(quadratic(), ACTION).subs(ACTION, action) * X))
    case.corrected("S", "∂_aQ alone loses α/σ of ∂_σ", equal(truth["σ"] - only_q, lost(SIGMA)), part=part)


def pathwise(q: Any, mu: Any, sigma: Any) -> Any:
    """The reparameterised sample of dE[Q]/dmu."""
    return sympy.diff(q, ACTION).subs(ACTION, mu + sigma * X)


def score(q: Any, mu: Any, sigma: Any) -> Any:
    """The likelihood-ratio sample of dE[Q]/dmu: Q times d log N/d mu."""
    return q.subs(ACTION, mu + sigma * X) * X / sigma


@claim(
    "SAC-26",
    source="003 §0.5.3",
    statement="Reparameterisation solves the high variance of the policy gradient.",
    formula="Var of ∂_a Q(μ + σε) < Var of Q(a) ∂_μ log π(a)",
    stated=true_if("Q is smooth on the scale of σ"),
    corrected="Both are unbiased; which one is noisier depends on Q: for sin 3a, σ = 1, the pathwise one, ninefold.",
    method="S",
    derivation=(
        "Q = −a², μ = 0, σ = 1: pathwise −2ε, variance 4; score −ε³, variance E ε⁶ = 15.",
        "Q = sin 3a: pathwise 3 cos 3ε, variance (9/2)(1 + e^{−18}) − 9e^{−9} = 4.499; score ε sin 3ε, variance "
        "1/2 + (35/2)e^{−18} − 9e^{−9} = 0.499.",
        "The pathwise sample sees the slope of Q, and a wave of length below σ has a large one.",
    ),
    twins={
        "the estimators exchanged": {"path": score, "likelihood": pathwise},
        "a smooth wave outside": {"rough": lambda a: -((a - 1) ** 2)},
        "factor 3 dropped from the variance": {
            "variances": lambda: (sympy.Integer(4), sympy.Integer(15), (1 - sympy.exp(-9)) ** 2 / 2)
        },
        "E eps^4 in place of E eps^6": {
            "variances": lambda: (sympy.Integer(4), sympy.Integer(3), 9 * (1 - sympy.exp(-9)) ** 2 / 2)
        },
        "the score without 1/sigma": {"likelihood": lambda q, mu, sigma: score(q, mu, sigma) * sigma},
    },
)
def sac_26(
    case: Case,
    *,
    path: Any = pathwise,
    likelihood: Any = score,
    rough: Any = lambda a: sympy.sin(3 * a),
    variances: Any = lambda: (sympy.Integer(4), sympy.Integer(15), 9 * (1 - sympy.exp(-9)) ** 2 / 2),
) -> None:
    """Exact variances of both estimators for a quadratic and a wave; that both have the same mean."""
    case.support("S", "E e^{tx} = e^{t²/2}", gaussian.generating())

    def compared(q: Any) -> tuple[Any, Any]:
        return tuple(gaussian.variance(form(q, sympy.Integer(0), sympy.Integer(1))) for form in (path, likelihood))

    smooth, wave = compared(-(ACTION**2)), compared(rough(ACTION))
    shown = [f"pathwise {sympy.N(pair[0], 4)}, score {sympy.N(pair[1], 4)}" for pair in (smooth, wave)]
    case.within("S", "less variance for Q = −a²", bool(smooth[0] < smooth[1]), shown[0])
    case.outside("S", "less variance for Q = sin 3a", bool(wave[0] < wave[1]), shown[1])
    first, second, third = variances()
    case.corrected("S", "the variances of Q = −a² are 4 and 15", (first, second) == smooth, shown[0])
    known = gaussian.variance(pathwise(sympy.sin(3 * ACTION), sympy.Integer(0), sympy.Integer(1)))
    case.corrected("S", "that of sin 3a is (9/2)(1 − e^{−9})²", equal(known, third), f"{known}")
    q = quadratic()
    means = [expectation(sympy.expand(form(q, MU, SIGMA))) for form in (path, likelihood)]
    unbiased = sympy.diff(expectation(sympy.expand(q.subs(ACTION, MU + SIGMA * X))), MU)
    case.corrected("S", "both are unbiased", bool(equal(means[0], unbiased).holds and equal(means[1], unbiased).holds))
