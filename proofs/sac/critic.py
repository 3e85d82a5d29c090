"""The critics: minimum of two, squared loss, slowly moving target (SAC-15, SAC-19, SAC-23)."""

from __future__ import annotations

from typing import Any

import sympy
from flint import fmpq

from proofs import balls, literal
from proofs.arithmetic import log
from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.exact import mean
from proofs.sac import integrals, soft
from proofs.sac.soft import ALPHA
from proofs.symbolic import equal, positive, real, sign, vanishes
from proofs.verdict import FALSE, TRUE, true_if


def smaller_of_two(law: Any) -> Any:
    """The distribution function of min(X, Y), X and Y independent with the distribution function `law`."""
    return 1 - (1 - law) ** 2


def largest(distribution: Any, actions: int) -> Any:
    """E of the largest of so many independent variables with a distribution function of the normal one, as a ball."""
    return integrals.expectation_of_law(lambda x: distribution(integrals.normal_law(x)) ** actions, factor=4 * actions)


@claim(
    "SAC-15",
    source=("003 §0.4.2", "003 §4.2", "003 §5"),
    statement="The minimum of two critics reduces (prevents) over-estimation; each regresses on y by ∇(Q − y)².",
    formula="y = r + γ E[min_i Q_i(s',a') − α log π];  E max_a min_i Q_i ≤ max_a Q;  ∇J_Q = ∇(Q − y)² = 2(Q − y)∇Q",
    stated={"evaluation": TRUE, "control": FALSE, "gradient": true_if("y is held constant (target parameters θ̄)")},
    corrected=(
        "At a given action E min(Q₁, Q₂) ≤ min E Q_i; unbiased errors N(0, σ²): −σ/√π. Maximised over actions the "
        "minimum is still biased upwards from three actions on (+0.128 σ), less than one critic (+0.846 σ). y uses θ̄ "
        "(§4.2 prints θ), is masked at the end of an episode, and ∇ is a semi-gradient; one sampled a' adds variance, "
        "no bias."
    ),
    method="B+S",
    derivation=(
        "min(x, y) = (x + y)/2 − |x − y|/2 ≤ either. For independent N(0, σ²): E|x − y| = 2σ/√π, so E min = −σ/√π.",
        "max over n actions of min-of-two has the distribution function (1 − (1 − Φ)²)ⁿ. Its mean: −0.564, −0.099, "
        "+0.128, +0.274 for n = 1, 2, 3, 4, and +0.674 for n = 10.",
        "∇(Q − y)² = 2(Q − y)(∇Q − ∇y): the second part is left out on purpose. It is linear in y, so a sample of y "
        "with the right mean gives the right mean gradient.",
    ),
    twins={
        "the maximum of two": {"pair": lambda law: law**2},
        "the minimum of three": {"pair": lambda law: 1 - (1 - law) ** 3},
        "the bias with sqrt(2 pi)": {"bias": lambda sigma: -sigma / sympy.sqrt(2 * sympy.pi)},
        "sign of the bias": {"bias": lambda sigma: sigma / sympy.sqrt(sympy.pi)},
        "the gradient without its 2": {"gradient": lambda q, y, slope: (q - y) * slope},
        "the gradient with y's sign": {"gradient": lambda q, y, slope: 2 * (q + y) * slope},
    },
)
def sac_15(
    case: Case,
    *,
    pair: Any = smaller_of_two,
    bias: Any = lambda sigma: -sigma / sympy.sqrt(sympy.pi),
    gradient: Any = lambda q, y, slope: 2 * (q - y) * slope,
) -> None:
    """Order statistics enclosed by quadrature; identities of the minimum and of the regression in symbols."""
    part = "evaluation"
    (low, gap), (sigma,) = (real("y")[0], positive("d")[0]), positive("sigma")
    smaller = sympy.Min(low + gap, low)
    case.claimed(
        "S", "min(x, y) = (x + y)/2 − |x − y|/2", vanishes(smaller - ((2 * low + gap) / 2 - gap / 2)), part=part
    )
    deviation = sympy.sqrt(2) * sigma
    distance = 2 * sympy.integrate(gap * sympy.exp(-(gap**2) / (2 * deviation**2)), (gap, 0, sympy.oo))
    distance = distance / (deviation * sympy.sqrt(2 * sympy.pi))
    case.claimed("S", "E min = −E|x − y|/2 = −σ/√π", equal(-distance / 2, bias(sigma)), part=part)
    with balls.precision(128):
        alone = largest(pair, 1)
        exact = -1 / balls.ball(0).pi().sqrt()
        case.claimed(
            "B", "one action: E min(Q₁, Q₂) = −σ/√π ≤ 0", alone.overlaps(exact), balls.short(alone, 6), part=part
        )
        counts = (1, 2, 3, 4, 10)
        found = {n: largest(pair, n) for n in counts}
        single = {n: largest(lambda law: law, n) for n in counts}
        shown = ", ".join(f"{balls.short(x, 4)} (n={n})" for n, x in found.items())
        part = "control"
        bounded = [balls.less(x, 0) for x in found.values()]
        holds = False if False in bounded else None if None in bounded else True
        case.claimed("B", "E max_a min_i Q_i ≤ 0 = max_a Q for n actions", holds, shown, part=part)
        below = every(Answer(balls.less(found[n], single[n])) for n in counts)
        alone_shown = ", ".join(f"{balls.short(x, 4)} (n={n})" for n, x in single.items())
        case.corrected("B", "less than with one critic", below, f"one critic: {alone_shown}", part=part)
        stated = {1: "-0.564", 2: "-0.099", 3: "0.128", 4: "0.274", 10: "0.674"}
        near = every(
            Answer(bool(abs(found[n] - balls.ball(_decimal(text))) < balls.ball("1/2000")), f"n={n}")
            for n, text in stated.items()
        )
        case.corrected("B", "the means to three digits", near, shown, part=part)

    part = "gradient"
    theta, y, reward, mask = real("theta y r d")
    q = sympy.Function("Q")(theta)
    moving = sympy.Function("Y")(theta)
    slope = sympy.diff(q, theta)
    constant = sympy.expand(sympy.diff((q - y) ** 2, theta) - gradient(q, y, slope)) == 0
    case.within("S", "y constant: ∇(Q − y)² = 2(Q − y)∇Q", constant, "zero remainder" if constant else "", part=part)
    rest = sympy.expand(sympy.diff((q - moving) ** 2, theta) - gradient(q, moving, slope))
    case.outside("S", "y(θ): the same", rest == 0, f"remainder {sympy.factor(rest)}", part=part)
    first, second = real("y1 y2")
    sampled = (gradient(q, first, slope) + gradient(q, second, slope)) / 2
    linear = sympy.expand(sampled - gradient(q, (first + second) / 2, slope)) == 0
    case.corrected("S", "a sampled y gives the right mean gradient", linear, part=part)
    target = reward + sympy.Rational(9, 10) * (1 - mask) * y
    case.corrected("S", "masked, y = r at the end of an episode", vanishes(target.subs(mask, 1) - reward), part=part)


def _decimal(text: str) -> fmpq:
    """A decimal of three places, exactly."""
    return fmpq(int(text.replace(".", "")), 1000)


@claim(
    "SAC-19",
    source="003 §4.5",
    statement="The summary's temperature and critic losses.",
    formula="J(α) = E[−α log π + H̄];  J_Q = E[Q − y]²",
    stated={"temperature": FALSE, "critic": FALSE},
    corrected="J(α) = E[−α(log π + H̄)] with derivative H − H̄; J_Q = E[(Q − y)²]. One bracket each.",
    method="S+Q",
    derivation=(
        "∂/∂α E[−α log π + H̄] = H: the target has dropped out, and minimising drives α → 0 wherever H > 0.",
        "∂/∂α E[−α(log π + H̄)] = H − H̄, zero where the entropy is on target.",
        "y = ±1 with equal chances, Q = 0: (E[Q − y])² = 0 while E[(Q − y)²] = 1: the printed loss sees no error.",
    ),
    twins={
        "claim the right temperature loss": {"loss": lambda log_pi, alpha, target: -alpha * (log_pi + target)},
        "claim the right critic loss": {"squared": lambda errors: mean([fmpq(1, 2)] * 2, [e * e for e in errors])},
        "the correction with the sign of the target": {
            "right": lambda log_pi, alpha, target: -alpha * (log_pi - target)
        },
        "the correction with the sign of alpha": {"right": lambda log_pi, alpha, target: alpha * (log_pi + target)},
        "the corrected critic without the square": {"mean_square": lambda errors: mean([fmpq(1, 2)] * 2, errors)},
    },
)
def sac_19(
    case: Case,
    *,
    loss: Any = literal.temperature_loss_of_the_summary,
    squared: Any = lambda errors: mean([fmpq(1, 2)] * 2, errors) ** 2,
    right: Any = lambda log_pi, alpha, target: -alpha * (log_pi + target),
    mean_square: Any = lambda errors: mean([fmpq(1, 2)] * 2, [e * e for e in errors]),
) -> None:
    """The derivative in alpha for a policy of two actions; two errors that cancel."""
    (p,), (target,) = positive("p"), real("H")
    policy = (p, 1 - p)

    def derivative(form: Any) -> Any:
        return sympy.diff(soft.total([x * form(log(x), ALPHA, target) for x in policy]), ALPHA)

    part, entropy = "temperature", soft.entropy(policy)
    stated = derivative(loss)
    case.claimed("S", "∂J/∂α = H − H̄: stationary on target", vanishes(stated - (entropy - target)), part=part)
    case.corrected("S", "∂/∂α E[−α(log π + H̄)] = H − H̄", equal(derivative(right), entropy - target), part=part)
    printed = derivative(literal.temperature_loss_of_the_summary)
    case.corrected("S", "the printed one has derivative H", equal(printed, entropy), part=part)
    odds = positive("o")[0]
    uniform = sign(-log(1 / (1 + odds)), 1)
    case.corrected("S", "−log π > 0, so H > 0 and α → 0", uniform, part=part)

    part, errors = "critic", (fmpq(1), fmpq(-1))
    seen, exact = squared(errors), fmpq(1)
    case.claimed(
        "Q", "the loss of Q = 0 for y = ±1 is 1", seen == exact, f"printed {seen}, E[(Q−y)²] = {exact}", part=part
    )
    case.corrected("Q", "E[(Q − y)²] = 1", mean_square(errors) == exact, f"{mean_square(errors)}", part=part)


@claim(
    "SAC-23",
    source=("003 §0.4.2", "003 §4.4.3"),
    statement="The target network follows by Polyak averaging, slowly.",
    formula="θ̄ ← τθ + (1 − τ)θ̄",
    stated=TRUE,
    corrected=(
        "θ̄ is the average of past θ with weights τ(1−τ)^k, of mean age (1−τ)/τ and half-life log 2/(−log(1−τ)): 199 "
        "and 138.3 updates at τ = 0.005. (§4.4.3 once writes the targets as θ₁, θ₂: a typo.)"
    ),
    method="S",
    derivation=(
        "Insert the update into itself n times: Σ_{k<n} τ(1−τ)^k θ_{−k} + (1−τ)^n θ̄₀.",
        "Σ_{k<n} k τ q^k = q(1 − q^n)/τ − n q^n with q = 1 − τ, by induction; n → ∞ leaves q/τ, the mean age.",
        "A weight has halved after h steps with (1−τ)^h = 1/2. τ = 1/200: (199/200)^138 > 1/2 > (199/200)^139.",
    ),
    twins={
        "tau on the old target": {"update": lambda tau, new, old: (1 - tau) * new + tau * old},
        "the old target kept whole": {"update": lambda tau, new, old: tau * new + old},
        "weights one power further": {"weight": lambda tau, k: tau * (1 - tau) ** (k + 1)},
        "mean age 1/tau": {"age": lambda tau: 1 / tau},
        "half-life log(2)/tau": {"half_life": lambda tau: sympy.log(2) / tau},
    },
)
def sac_23(
    case: Case,
    *,
    update: Any = lambda tau, new, old: tau * new + (1 - tau) * old,
    weight: Any = lambda tau, k: tau * (1 - tau) ** k,
    age: Any = lambda tau: (1 - tau) / tau,
    half_life: Any = lambda tau: -sympy.log(2) / sympy.log(1 - tau),
) -> None:
    """Five updates in symbols; the mean age from its partial sums; the half-life."""
    tau, n = positive("tau n")
    parameters, start = real("theta0 theta1 theta2 theta3 theta4"), real("start")[0]
    target = start
    for theta in parameters:
        target = update(tau, theta, target)
    ages = range(len(parameters))
    unrolled = soft.total([weight(tau, k) * parameters[-1 - k] for k in ages]) + (1 - tau) ** len(parameters) * start
    shown = "at τ = 0.005: mean age 199, half-life 138.3"
    case.claimed("S", "five updates are the weights τ(1−τ)^k", vanishes(target - unrolled), shown)
    total = soft.total([weight(tau, k) for k in ages]) + (1 - tau) ** len(parameters)
    case.claimed("S", "they sum to one", vanishes(total - 1))
    keep = positive("q")[0]

    def partial(count: Any) -> Any:
        return keep * (1 - keep**count) / (1 - keep) - count * keep**count

    step = partial(n + 1) - partial(n) - n * (1 - keep) * keep**n
    case.corrected(
        "S", "Σ k τ q^k: the step of the induction", vanishes(sympy.powsimp(sympy.expand(step * (1 - keep))))
    )
    small = sympy.Rational(1, 200)
    limit = sympy.limit(partial(n).subs(keep, 1 - small), n, sympy.oo)
    case.corrected("S", "mean age (1−τ)/τ = 199 at τ = 0.005", equal(limit, age(small)), f"{age(small)}")
    halved = half_life(tau) * sympy.log(1 - tau) + sympy.log(2)
    life = half_life(small)
    shown = f"half-life {sympy.N(life, 5)} at τ = 0.005"
    case.corrected("S", "(1−τ)^h = 1/2", vanishes(halved), shown)
    between = (1 - small) ** 138 > sympy.Rational(1, 2) > (1 - small) ** 139
    case.corrected("S", "it lies between 138 and 139 updates", bool(between) and bool(138 < life < 139), shown)
