"""Chapter KL: what source 000 states about KL-regularised occupancy optimisation.

The relaxed problem: max_w E_D[w A] - beta E_D[w log w] subject to E_D[w] = 1, with w = d / D; z = A / beta.
"""

from __future__ import annotations

import itertools
from typing import Any

import sympy
from flint import fmpq

from proofs import balls, conic, exact, instances, under_test
from proofs.arithmetic import entropy_term, exp, log, sigmoid
from proofs.claim import FALSE, THEOREM, TRUE, Answer, Case, claim, every, true_if
from proofs.divergences import KL, fermi_dirac, js_ratio, kl_ratio, law
from proofs.exact import LogNumber, Process
from proofs.symbolic import equal, positive, real, sign, summed, vanishes

BETA = sympy.Symbol("beta", positive=True)


def relaxed_term(w: Any, advantage: Any, beta: Any) -> Any:
    """The summand that source 000 obtains in section 2: w A - beta w log w."""
    return w * advantage - beta * w * log(w)


@claim(
    "KL-01",
    source="000 §2",
    statement="Substituting the occupancy ratio w = d/d_b turns the objective into an expectation over d_b.",
    formula="Σ d A − β KL(d‖d_b) = Σ d_b [w A − β w log w]",
    stated=true_if("d is absolutely continuous with respect to d_b (d ≪ d_b)"),
    corrected="KL = +∞ when d charges a pair that d_b does not, so for KL nothing is lost by leaving such d out.",
    method="S",
    derivation=(
        "Put d = w d_b into Σ d A: the sum becomes Σ d_b w A.",
        "KL(d‖d_b) = Σ d log(d/d_b) = Σ d_b w log w, wherever d_b > 0.",
        "Where d_b = 0 < d there is no finite w: the left side is −∞, while the right side simply leaves the pair out.",
    ),
    twins={
        "sign of the penalty": {"term": lambda w, a, b: w * a + b * w * log(w)},
        "beta dropped": {"term": lambda w, a, b: w * a - w * log(w)},
        "factor w dropped from the penalty": {"term": lambda w, a, b: w * a - b * log(w)},
    },
)
def kl_01(case: Case, *, term: Any = relaxed_term) -> None:
    """Symbols on three pairs; a law that charges a pair without data."""
    behavior, ratio = positive("D1 D2 D3"), positive("w1 w2 w3")
    advantage = real("A1 A2 A3")
    occupancy = [w * base for w, base in zip(ratio, behavior, strict=True)]
    left = summed(
        d * a - BETA * d * sympy.log(d / base) for d, a, base in zip(occupancy, advantage, behavior, strict=True)
    )
    right = summed(base * term(w, a, BETA) for base, w, a in zip(behavior, ratio, advantage, strict=True))
    case.within("S", "both sides agree on three pairs with d_b > 0", equal(left, right))

    base = behavior[0]
    half = sympy.Rational(1, 2)
    charged = sympy.limit(half * advantage[1] - BETA * half * sympy.log(half / base), base, 0, "+")
    supported = term(half, advantage[0], BETA)
    case.outside(
        "S",
        "both sides agree for d=(1/2, 1/2) on d_b=(1, 0)",
        charged.is_finite is not False,
        f"left side {charged}, right side {supported} over the support of d_b",
    )


@claim(
    "KL-02",
    source="000 §2-3",
    statement="The problem in w is a separable concave maximisation with the single constraint that w has mean one.",
    formula="max_w Σ d_b [w A − β w log w]  s.t.  Σ d_b w = 1",
    stated=TRUE,
    corrected=(
        "Separable only after the constraint is dualised. The constraint w ≥ 0, which the source does not write, never "
        "binds: the slope of −β w log w is +∞ at 0, so the maximiser is unique and strictly positive."
    ),
    method="S",
    derivation=(
        "The Lagrangian has a diagonal Hessian, with entries −β d_b/w < 0: separable and strictly concave.",
        "Its slope in w tends to +∞ as w → 0 and to −∞ as w → ∞, so each maximiser is interior and unique.",
        "Eliminate w₃ through the constraint instead and mixed second derivatives appear: the constraint couples.",
    ),
    twins={
        "sign of the penalty": {"term": lambda w, a, b: w * a + b * w * log(w)},
        "penalty without the log": {"term": lambda w, a, b: w * a - b * w},
        "penalty that is finite-sloped at 0": {"term": lambda w, a, b: w * a - b * w**2 / 2},
    },
)
def kl_02(case: Case, *, term: Any = relaxed_term) -> None:
    """Hessian of the Lagrangian, slopes at both ends, and the coupling that elimination brings."""
    behavior, ratio = positive("D1 D2 D3"), positive("w1 w2 w3")
    advantage, multiplier = real("A1 A2 A3"), sympy.Symbol("lambda", real=True)
    objective = summed(base * term(w, a, BETA) for base, w, a in zip(behavior, ratio, advantage, strict=True))
    constraint = summed(base * w for base, w in zip(behavior, ratio, strict=True)) - 1
    lagrangian = objective - multiplier * constraint
    mixed = [sympy.diff(lagrangian, u, v) for u, v in itertools.combinations(ratio, 2)]
    case.claimed(
        "S",
        "the Lagrangian separates: no mixed second derivative",
        every([vanishes(m) for m in mixed], "Hessian diagonal"),
    )
    case.claimed(
        "S",
        "strictly concave in each w",
        every(sign(sympy.diff(lagrangian, w, 2), -1) for w in ratio),
        "(w log w)''=1/w",
    )
    slope = sympy.diff(lagrangian, ratio[0])
    at_zero = sympy.limit(slope, ratio[0], 0, "+")
    case.claimed("S", "slope +∞ at w = 0, so w ≥ 0 never binds", at_zero == sympy.oo, f"slope at 0: {at_zero}")
    at_infinity = sympy.limit(slope, ratio[0], sympy.oo)
    case.claimed(
        "S", "slope −∞ at w = ∞, so a maximiser exists", at_infinity == -sympy.oo, f"slope at ∞: {at_infinity}"
    )
    last = sympy.solve(constraint, ratio[2])[0]
    stated = summed(base * relaxed_term(w, a, BETA) for base, w, a in zip(behavior, ratio, advantage, strict=True))
    coupled = sympy.diff(stated.subs(ratio[2], last), ratio[0], ratio[1])
    case.corrected("S", "eliminating the constraint couples the w", ~vanishes(coupled))


def stationary_weight(advantage: Any, multiplier: Any, beta: Any) -> Any:
    """The solution of the first-order condition in source 000 section 4."""
    return exp((advantage - multiplier) / beta - 1)


def weight_constant(multiplier: Any, beta: Any) -> Any:
    """The constant C of source 000 section 4."""
    return exp(-multiplier / beta - 1)


@claim(
    "KL-03",
    source="000 §4",
    statement="Setting the derivative of the Lagrangian to zero gives an exponential of the advantage.",
    formula="A − β(log w + 1) − λ = 0  ⇒  w = exp((A−λ)/β − 1) = C e^{A/β},  C = exp(−λ/β − 1)",
    stated=TRUE,
    corrected="With the constraint: λ = β(log E e^{A/β} − 1) and C = 1/E e^{A/β}.",
    method="S",
    derivation=(
        "d/dw [w A − β w log w − λ w] = A − β(log w + 1) − λ.",
        "Solve for log w, then exponentiate; the part without A is the constant C.",
        "E[w] = 1 fixes λ: C E e^{A/β} = 1.",
    ),
    twins={
        "sign of lambda": {"weight": lambda a, m, b: exp((a + m) / b - 1)},
        "the -1 dropped": {"weight": lambda a, m, b: exp((a - m) / b)},
        "beta multiplies": {"weight": lambda a, m, b: exp((a - m) * b - 1)},
        "sign of lambda in C": {"constant": lambda m, b: exp(m / b - 1)},
    },
)
def kl_03(case: Case, *, weight: Any = stationary_weight, constant: Any = weight_constant) -> None:
    """The first-order condition, the factorisation, and the multiplier of a three-atom law."""
    (w,) = positive("w")
    a, lam = real("A lambda")
    slope = sympy.diff(w * a - BETA * w * log(w) - lam * w, w)
    case.claimed("S", "the weight solves the first-order condition", vanishes(slope.subs(w, weight(a, lam, BETA))))
    case.claimed(
        "S",
        "the weight is C e^{A/β}",
        equal(sympy.log(weight(a, lam, BETA)), sympy.log(constant(lam, BETA)) + a / BETA),
    )
    behavior, advantage = positive("D1 D2 D3"), real("A1 A2 A3")
    partition = summed(d * sympy.exp(x / BETA) for d, x in zip(behavior, advantage, strict=True))
    solved = BETA * (sympy.log(partition) - 1)
    mean = summed(d * stationary_weight(x, solved, BETA) for d, x in zip(behavior, advantage, strict=True))
    case.corrected("S", "λ = β(log E e^{A/β} − 1) makes the mean one", vanishes(sympy.log(sympy.simplify(mean))))


@claim(
    "KL-04",
    source=("000 §4", "000 §5"),
    statement="The optimal occupancy ratio is proportional to exp(A/β) (boxed).",
    formula="w* ∝ exp(A/β)",
    stated=TRUE,
    corrected=(
        "Of the relaxed problem. Its value is β log E e^{A/β}, and every distribution d falls short of it by exactly "
        "β KL(d‖d*): an optimality certificate in one line, without calculus."
    ),
    method="S+B+C",
    derivation=(
        "Let d* = D e^{A/β}/Z with Z = E e^{A/β}, so that A = β log(d*/D) + β log Z.",
        "Then J(d) = Σ d A − β Σ d log(d/D) = β log Z − β Σ d log(d/d*) = β log Z − β KL(d‖d*).",
        "KL is positive unless d = d*, so d* is the unique maximiser.",
    ),
    twins={
        "sign": {"shape": lambda z: exp(-z)},
        "factor 2": {"shape": lambda z: exp(2 * z)},
        "sigmoid instead": {"shape": sigmoid},
        "plus one": {"shape": lambda z: 1 + exp(z)},
    },
)
def kl_04(case: Case, *, shape: Any = exp) -> None:
    """The identity in symbols, in balls of width below 1e-50 on rational d, and Clarabel's two-sided certificate."""
    behavior, occupancy, z = positive("D1 D2 D3"), positive("d1 d2 d3"), real("z1 z2 z3")
    raw = [shape(x) for x in z]
    total = summed(d * r for d, r in zip(behavior, raw, strict=True))
    optimum = [base * r / total for base, r in zip(behavior, raw, strict=True)]
    partition = summed(base * sympy.exp(x) for base, x in zip(behavior, z, strict=True))
    last = 1 - occupancy[0] - occupancy[1]
    point = [occupancy[0], occupancy[1], last]
    objective = summed(d * x - d * sympy.log(d / base) for d, x, base in zip(point, z, behavior, strict=True))
    divergence = summed(d * sympy.log(d / best) for d, best in zip(point, optimum, strict=True))
    small = {"d1": sympy.Rational(1, 5), "d2": sympy.Rational(3, 7)}
    case.claimed(
        "S",
        "value − J(d) = β KL(d‖d*) for every d",
        vanishes(sympy.log(partition) - objective - divergence, **small),
    )

    data = law([1, 2, 3], [fmpq(1, 2), 3, fmpq(9, 5)])
    weights = data.normalised(shape)
    best = [mass * w for mass, w in zip(data.masses, weights, strict=True)]
    for trial in ((1, 1, 1), (1, 5, 2), (7, 1, 4)):
        d = [fmpq(x, sum(trial)) for x in trial]

        def shortfall(d: Any = d) -> Any:
            value = balls.ball(LogNumber.log(data.expect(data.exponentials)))
            ratio = [x / base for x, base in zip(d, data.masses, strict=True)]
            attained = balls.ball(data.expect([w * q for w, q in zip(ratio, data.z, strict=True)]))
            attained -= balls.ball(data.expect([entropy_term(balls.ball(w)) for w in ratio]))
            return (
                value
                - attained
                - balls.ball(
                    exact.mean(
                        [balls.ball(x) for x in d], [balls.ball(x / y).log() for x, y in zip(d, best, strict=True)]
                    )
                )
            )

        holds = balls.settle(lambda shortfall=shortfall: balls.vanishes_within(shortfall(), fmpq(1, 10**50)))
        case.claimed(
            "B",
            f"the certificate at d=({', '.join(map(str, d))})",
            holds,
            "encloses 0 within 1e-50" if holds else "0 excluded",
        )
    case.claimed("C", "no feasible point is better", conic.optimal(data, KL, weights, "the claimed ratio"))
    case.comparison("B", "reference.weights, KL", under_test.relaxed_weights(KL, "kl", lambda d: (min(d.z), max(d.z))))


def flow_counterexample() -> Process:
    """State 0 leads to state 1, which loops; only state 1 pays, +1 or -1 (in units of log 9), discount 1/2."""
    to_one, one = (fmpq(0), fmpq(1)), (fmpq(0), fmpq(1))
    return Process(
        ((to_one, to_one), (one, one)), ((fmpq(0), fmpq(0)), (fmpq(1), fmpq(-1))), fmpq(1, 2), (fmpq(1), fmpq(0))
    )


def bandit() -> Process:
    """The same two rewards in a single state: there every distribution over actions is an occupancy."""
    return Process((((fmpq(1),), (fmpq(1),)),), ((fmpq(1), fmpq(-1)),), fmpq(1, 2), (fmpq(1),))


def relaxed_optimum(process: Process, behavior: Any, policy: Any, base: Any = 9) -> dict[tuple[int, int], fmpq]:
    """D exp(A^pi) normalised, for advantages that are integer multiples of log `base`: exactly rational."""
    advantages = process.advantages(policy)
    raw = {pair: behavior[pair] * exp(LogNumber.log(base) * advantages[pair]) for pair in process.pairs}
    total = sum(raw.values(), fmpq(0))
    return {pair: mass / total for pair, mass in raw.items()}


def uniform_policy(process: Process) -> Any:
    """Every action with the same probability."""
    return tuple(tuple(fmpq(1, len(r)) for _ in r) for r in process.rewards)


def uniform_pairs(process: Process) -> dict[tuple[int, int], fmpq]:
    """The uniform distribution over pairs."""
    return {pair: fmpq(1, len(process.pairs)) for pair in process.pairs}


@claim(
    "KL-05",
    source="000 §1",
    statement="The distribution d that solves the problem is the target occupancy, that of the optimal policy.",
    formula="d* = argmax Σ d A − β KL(d‖d_b) is the occupancy of a policy",
    stated=FALSE,
    corrected=(
        "The relaxed d* need not satisfy the Bellman flow equations, so in general it is the occupancy of no policy; "
        "it always is one when there is a single state. (See OCC-05 for what the relaxed value bounds.)"
    ),
    method="Q+P",
    derivation=(
        "Two states, γ = 1/2, start in s0; both actions of s0 lead to s1 (reward 0), which loops with rewards ±log 9.",
        "π uniform: V = 0, so A(s0,·) = 0 and A(s1,·) = ±log 9. With β = 1 and d_b uniform, d* ∝ (1, 1, 9, 1/9).",
        "d* gives s0 the mass 2/(2 + 82/9) = 9/50. But s0 is never visited again, so every policy gives it "
        "1 − γ = 1/2 exactly.",
    ),
    twins={
        "the instance where it is one": {"instance": bandit},
        "the correction without its condition": {"single_state": flow_counterexample},
    },
)
def kl_05(case: Case, *, instance: Any = flow_counterexample, single_state: Any = bandit) -> None:
    """Exact flow residuals of the relaxed optimum; the mass that every policy gives to the first state."""
    process = instance()
    optimum = relaxed_optimum(process, uniform_pairs(process), uniform_policy(process))
    residuals = process.flow_residual(optimum)
    first = sum((mass for (s, _), mass in optimum.items() if s == 0), fmpq(0))
    masses = set()
    for choice in itertools.product(*(range(len(r)) for r in process.rewards)):
        policy = tuple(
            tuple(fmpq(int(a == chosen)) for a in range(len(process.rewards[s]))) for s, chosen in enumerate(choice)
        )
        occupancy = process.occupancy(policy)
        masses.add(str(sum((mass for (s, _), mass in occupancy.items() if s == 0), fmpq(0))))
    case.claimed(
        "Q",
        "the relaxed optimum satisfies the flow equations",
        all(r == 0 for r in residuals),
        f"mass of s0: {first}; under every deterministic policy: {', '.join(sorted(masses))}; "
        f"flow residuals ({', '.join(map(str, residuals))})",
    )
    case.support(
        "Q",
        "an occupancy satisfies the flow equations, by the same residual",
        every(
            Answer(all(r == 0 for r in process_.flow_residual(process_.occupancy(policy))))
            for process_, policy, _ in instances.processes(6)
        ),
    )
    alone = single_state()
    flow = alone.flow_residual(relaxed_optimum(alone, uniform_pairs(alone), uniform_policy(alone)))
    case.corrected(
        "Q",
        "with a single state it is an occupancy",
        all(r == 0 for r in flow),
        f"residuals {', '.join(map(str, flow))}",
    )
    off = []
    for process_, policy, _ in instances.processes(12, seed=5):
        advantages = process_.advantages(policy)
        with balls.precision(128):
            raw = {pair: balls.ball(advantages[pair]).exp() / len(process_.pairs) for pair in process_.pairs}
            total = sum(raw.values(), balls.ball(0))
            residual = process_.flow_residual({pair: mass / total for pair, mass in raw.items()})
            off.append(Answer(any(not balls.ball(r).contains(0) for r in residual)))
    case.corrected("P", "on random processes the flow residual of d* excludes 0", every(off))


def improvement_scale(discount: Any) -> Any:
    """The factor of the performance-difference identity."""
    return 1 / (1 - discount)


@claim(
    "KL-06",
    source="000 §1",
    statement="The linear term Σ d A^π measures how much better the policy behind d is than π.",
    formula="(1/(1−γ)) Σ d A^π = J(π_d) − J(π)",
    stated=true_if("d is an occupancy (flow-feasible)"),
    corrected="For a distribution d that is no occupancy the linear term is not a policy improvement.",
    method="Q+P",
    derivation=(
        "Performance difference: unroll V^π along π_d; each step contributes γ^t A^π(s_t, a_t).",
        "Σ_t γ^t P(s_t, a_t) = d_π'(s, a)/(1−γ), which gives the identity, and needs d to be exactly that occupancy.",
        "Move half of d onto one pair: the policy read off from d has a different occupancy, and the two sides differ.",
    ),
    twins={
        "factor 1/(1-gamma) dropped": {"scale": lambda discount: 1},
        "gamma in place of 1-gamma": {"scale": lambda discount: 1 / discount},
        "sign of the advantage": {"scale": lambda discount: -1 / (1 - discount)},
    },
)
def kl_06(case: Case, *, scale: Any = improvement_scale) -> None:
    """Exact on rational processes: the occupancy of a second policy, and that occupancy moved off the flow."""

    def difference(process: Process, policy: Any, occupancy: Any) -> Answer:
        advantages = process.advantages(policy)
        left = scale(process.discount) * sum((occupancy[pair] * advantages[pair] for pair in process.pairs), fmpq(0))
        right = process.objective(instances.policy_of(process, occupancy)) - process.objective(policy)
        return Answer(left == right, f"left {balls.short(left)}, right {balls.short(right)}")

    family = list(instances.processes(24, seed=1))
    case.within(
        "P",
        "identity for the occupancy of a second policy",
        every(difference(process, policy, process.occupancy(other)) for process, policy, other in family),
    )
    process, policy, other = family[0]
    case.within("Q", "one of them", difference(process, policy, process.occupancy(other)))
    case.outside(
        "Q",
        "identity for a d with half its mass moved onto one pair",
        difference(process, policy, instances.off_flow(process, process.occupancy(other))),
    )


def td_error(reward: Any, discount: Any, next_value: Any, value: Any) -> Any:
    """delta = r + gamma V(s') - V(s), the toolkit's sign everywhere."""
    return reward + discount * next_value - value


@claim(
    "KL-07",
    source="000 §5",
    statement="Approximating the advantage by the TD error turns the weights into exp(δ/β), the weights of ROER.",
    formula="E[exp(δ/β) | s, a] = exp(A/β)",
    stated=true_if("V = V^π and δ is a deterministic function of (s, a)"),
    corrected=(
        "E[δ_V|s,a] = A^π + γE[e(s')|s,a] − e(s) with e = V − V^π; and by Jensen E[e^{δ/β}|s,a] ≥ e^{E[δ]/β}, strictly "
        "if δ is random: sample weights over-weight noisy pairs."
    ),
    method="Q+S",
    derivation=(
        "δ_V = r + γV(s') − V(s). Put V = V^π + e and take the mean: A^π + γE[e(s')] − e(s).",
        "So V = V^π is needed for E[δ] = A; and exp is convex, so noise in δ adds weight even then.",
        "Two pairs, both with A = 0: one has δ = ±log 2 with probability 1/2, the other δ = 0. "
        "Expected weights: (2 + 1/2)/2 = 5/4 and 1.",
    ),
    twins={
        "sign of the TD error": {"delta": lambda r, g, n, v: v - r - g * n},
        "discount dropped": {"delta": lambda r, g, n, v: r + n - v},
        "sign of e(s) in the correction": {"bias": lambda g, following, here: g * following + here},
    },
)
def kl_07(case: Case, *, delta: Any = td_error, bias: Any = lambda g, following, here: g * following - here) -> None:
    """Deterministic processes with V^pi; the noisy pair; a wrong V; the bias identity on rational processes."""

    def same_weight(process: Process, policy: Any, values: Any) -> Answer:
        advantages = process.advantages(policy)
        for s, a in process.pairs:
            for t, probability in enumerate(process.transitions[s][a]):
                if probability == 0:
                    continue
                seen = delta(process.rewards[s][a], process.discount, values[t], values[s])
                if seen != advantages[s, a]:
                    return Answer(False, f"δ={balls.short(seen)} where A={balls.short(advantages[s, a])}")
        return Answer(True)

    certain = list(instances.processes(12, seed=2, deterministic=True))
    case.within(
        "Q",
        "δ = A, so the weights agree: deterministic transitions, V = V^π",
        every(same_weight(process, policy, process.values(policy)) for process, policy, _ in certain),
    )
    noise = [LogNumber.log(2), -LogNumber.log(2)]
    noisy = exact.mean([fmpq(1, 2)] * 2, [exp(delta(x, fmpq(1, 2), 0, 0)) for x in noise])
    quiet = exp(delta(fmpq(0), fmpq(1, 2), 0, 0))
    case.outside(
        "Q",
        "equal advantages get equal expected weights although δ = ±log 2 on one pair",
        noisy == quiet,
        f"expected weights {noisy} and {quiet}",
    )
    process, policy, other = certain[0]
    case.outside(
        "Q", "V = V^π replaced by the value of another policy", same_weight(process, policy, process.values(other))
    )

    def biased(process: Process, policy: Any, other: Any) -> Answer:
        values, truth = process.values(other), process.values(policy)
        errors = [v - t for v, t in zip(values, truth, strict=True)]
        advantages = process.advantages(policy)
        for s, a in process.pairs:
            row = process.transitions[s][a]
            expected = exact.mean(
                row, [td_error(process.rewards[s][a], process.discount, v, values[s]) for v in values]
            )
            if expected != advantages[s, a] + bias(process.discount, exact.mean(row, errors), errors[s]):
                return Answer(False, f"E[δ]={balls.short(expected)} at state {s}, action {a}")
        return Answer(True)

    case.corrected(
        "Q",
        "E[δ_V] = A^π + γE[e(s')] − e(s)",
        every(biased(*item) for item in instances.processes(12, seed=3)),
    )
    x, y = real("x y")
    jensen = (sympy.exp(x) + sympy.exp(y)) / 2 - sympy.exp((x + y) / 2)
    case.corrected(
        "S",
        "Jensen: the gap of a fair two-point δ is the square ½(e^{x/2} − e^{y/2})²",
        equal(jensen, (sympy.exp(x / 2) - sympy.exp(y / 2)) ** 2 / 2),
    )


def other_ratios() -> dict[str, Any]:
    """The optimal ratios (f*)' of five divergences that are not KL."""
    return {
        "JS": js_ratio,
        "chi-square": lambda y: 1 + y,
        "Hellinger": lambda y: 1 / (1 - y) ** 2,
        "reverse KL": lambda y: 1 / (1 - y),
        "Fermi-Dirac C=2": fermi_dirac(fmpq(2)).ratio,
    }


@claim(
    "KL-08",
    source=("000 §4", "002 §5"),
    statement="The multiplier λ is the same for all pairs, so normalisation absorbs it.",
    formula="g((A₁−λ)/β) / g((A₂−λ)/β) does not depend on λ, where w = g((A−λ)/β)",
    stated={"KL": TRUE, "only KL": THEOREM},
    corrected="For KL, and for no other divergence: only f = c w log w + affine makes log g affine.",
    method="S+Q",
    derivation=(
        "For KL, g(y) = e^y and the ratio is e^{(A₁−A₂)/β}: λ cancels.",
        "Suppose g(x₁−ν)/g(x₂−ν) does not depend on ν, for all x₁, x₂, and let h = log g. "
        "Differentiating in ν: h'(x₁−ν) = h'(x₂−ν), so h' is constant and g = e^{a+by}.",
        "g inverts f', so f'(w) = (log w − a)/b, that is f = c w log w + affine with c = 1/b.",
    ),
    twins={
        "the JS ratio": {"ratio": js_ratio},
        "the sigmoid": {"ratio": sigmoid},
        "a second exponential among the others": {
            "others": lambda: {**other_ratios(), "KL at beta/2": lambda y: exp(2 * y)}
        },
        "an affine ratio in the proof": {"solution": lambda y, a, b: a + b * y},
    },
)
def kl_08(
    case: Case,
    *,
    ratio: Any = kl_ratio,
    others: Any = other_ratios,
    solution: Any = lambda y, a, b: sympy.exp(a + b * y),
) -> None:
    """Derivative in the multiplier; the functional equation solved; five others whose ratio moves."""
    x, y, nu, a, b = real("x y nu a b")
    quotient = ratio(x - nu) / ratio(y - nu)
    case.claimed("S", "the ratio of two weights does not move with λ", vanishes(sympy.diff(quotient, nu)), part="KL")

    h = sympy.Function("h")
    equation: Any = sympy.dsolve(sympy.Eq(h(y).diff(y, 2), 0), h(y))
    solved = equation.rhs
    case.theorem(
        "S",
        "h' constant: the solutions of h'' = 0 are affine",
        vanishes(sympy.diff(solved, y, 2)),
        f"h = {solved}",
        part="only KL",
    )
    candidate = solution(y, a, b)
    case.theorem(
        "S",
        "g = e^h solves the functional equation",
        vanishes(sympy.diff(candidate.subs(y, x - nu) / candidate.subs(y, -nu), nu)),
        part="only KL",
    )
    (w,) = positive("w")
    slope = sympy.integrate((sympy.log(w) - a) / b, w)
    case.theorem(
        "S",
        "its f is (1/b) w log w + affine",
        vanishes(sympy.diff(slope - w * sympy.log(w) / b, w, 2)),
        part="only KL",
    )
    zero, shift = LogNumber.of(0), LogNumber.log(fmpq(9, 8))
    points = (zero, LogNumber.log(fmpq(6, 5)))

    def moves(name: str, g: Any) -> Answer:
        if name in ("JS", "Fermi-Dirac C=2", "KL at beta/2"):
            seen = [g(points[1] - s) / g(points[0] - s) for s in (zero, shift)]
        else:
            seen = [g(fmpq(1, 5) - s) / g(-s) for s in (fmpq(0), fmpq(1, 8))]
        return Answer(seen[0] != seen[1], f"{name}: {seen[0]} → {seen[1]}")

    answers = [moves(name, g) for name, g in others().items()]
    case.theorem(
        "Q",
        "the ratio moves with λ for every other divergence",
        every(answers, "; ".join(answer.witness for answer in answers)),
        part="only KL",
    )
    sample = law([1, 2, 3], [1, 2, fmpq(1, 2)])
    slopes = [log(w) - z for w, z in zip(sample.normalised(kl_ratio), sample.z, strict=True)]
    case.corrected(
        "Q",
        "for KL, λ dropped and then normalised: f'(w) − A/β is the same number at every pair",
        all(slope == slopes[0] for slope in slopes),
        f"−ν = {slopes[0]}",
        part="KL",
    )
