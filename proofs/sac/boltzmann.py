"""The Boltzmann policy: when it exists, its limits, its sign, how robust it is (SAC-01, SAC-02, SAC-22, SAC-24)."""

from __future__ import annotations

import itertools
from typing import Any

import sympy
from flint import fmpq

from proofs import balls, literal, under_test
from proofs.arithmetic import exp, log
from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.exact import LogNumber
from proofs.sac import soft
from proofs.sac.soft import ALPHA, boltzmann, states, total
from proofs.symbolic import equal, positive, real, vanishes
from proofs.verdict import FALSE, TRUE, true_if


@claim(
    "SAC-01",
    source=("003 §0.2.1", "003 §1.1.1", "003 §1.2"),
    statement="The policy is modelled as the Boltzmann distribution of Q at temperature α, normalised by Z(s).",
    formula="π(a|s) = exp(Q(s,a)/α)/Z(s),  Z(s) = ∫ exp(Q(s,a)/α) da",
    stated=true_if("Z(s) < ∞ (bounded actions and bounded Q always; not on ℝ with constant Q)"),
    corrected=(
        "The actor's gradient never needs Z, which does not depend on φ. And differential entropy has units: measuring "
        "actions in units c times smaller (a → ca) adds α log c per dimension to V."
    ),
    method="S",
    derivation=(
        "Q = −κa²/2 on ℝ: Z = √(2πα/κ), the policy is N(0, α/κ). On [−1, 1] a bounded Q gives Z ≤ 2e^{max Q/α}.",
        "Q constant on ℝ: the integral over [−L, L] is 2L e^{Q/α}, which has no limit: there is no such policy.",
        "Where it exists, Q − α log π = α log Z does not depend on a: the first-order condition of max E[Q] + αH.",
        "∂/∂φ of E[log π_φ − Q/α + log Z] does not see log Z. Under a → ca, da contributes a factor c to Z.",
    ),
    twins={
        "sign of Q": {"density": lambda q, alpha: exp(-q / alpha)},
        "alpha multiplies": {"density": lambda q, alpha: exp(q * alpha)},
        "the shift without alpha": {"shift": lambda alpha, c: log(c)},
        "sign of the shift": {"shift": lambda alpha, c: -alpha * log(c)},
    },
)
def sac_01(
    case: Case, *, density: Any = lambda q, alpha: exp(q / alpha), shift: Any = lambda alpha, c: alpha * log(c)
) -> None:
    """A quadratic Q on the line, a linear one on an interval, a constant one on the line."""
    kappa, half, c = positive("kappa L c")
    a = sympy.Symbol("a", real=True)
    quadratic = -kappa * a**2 / 2
    partition = sympy.integrate(density(quadratic, ALPHA), (a, -sympy.oo, sympy.oo), conds="none")
    finite = partition.is_finite is not False and partition.is_positive is True
    case.within("S", "Z is finite for Q = −κa²/2 on ℝ", finite, f"Z = {partition}")
    bounded = sympy.integrate(density(kappa * a, ALPHA), (a, -1, 1))
    case.within("S", "Z is finite for Q = κa on [−1, 1]", bounded.is_finite is not False, f"Z = {bounded}")
    optimal = sympy.diff(quadratic - ALPHA * sympy.log(density(quadratic, ALPHA)), a)
    case.within("S", "Q − α log π does not depend on a: E[Q] + αH is stationary", vanishes(optimal))
    flat = sympy.integrate(density(sympy.Integer(1), ALPHA), (a, -half, half))
    limit = sympy.limit(flat, half, sympy.oo)
    case.outside("S", "Z is finite for Q = 1 on ℝ", limit.is_finite is not False, f"over [−L, L]: {flat} → {limit}")
    stretched = sympy.integrate(exp(kappa * a / c / ALPHA), (a, -c, c))
    plain = sympy.integrate(exp(kappa * a / ALPHA), (a, -1, 1))
    case.corrected(
        "S",
        "V = α log Z grows by α log c under a → ca",
        vanishes(sympy.exp(shift(ALPHA, c) / ALPHA) * plain - stretched),
    )
    (phi,), q = positive("phi"), real("Q1 Q2")
    policy = (phi, 1 - phi)
    against_law = soft.divergence(policy, boltzmann(q, ALPHA))
    without_z = total([p * (log(p) - x / ALPHA) for p, x in zip(policy, q, strict=True)])
    case.corrected("S", "∂KL/∂φ is that of E[log π − Q/α]", vanishes(sympy.diff(against_law - without_z, phi)))


@claim(
    "SAC-02",
    source=("003 §0.2.2", "003 §1.1.1", "003 §1.1.2", "003 §1.2"),
    statement=(
        "α → 0 gives the greedy and α → ∞ the uniform policy; better actions are more probable and every action keeps "
        "a positive probability; the exponential makes the probability proportional to Q."
    ),
    formula="lim_{α→0} π = greedy,  lim_{α→∞} π = uniform;  Q₁ > Q₂ ⇒ π₁ > π₂ > 0;  π ∝ Q",
    stated={
        "limits": true_if("the best action is unique (α → 0) and the actions are compact (α → ∞)"),
        "order": TRUE,
        "proportionality": FALSE,
    },
    corrected=(
        "1 − π(a*) ≤ (n−1)e^{−gap/α}; |π − 1/n| ≤ (e^{R/α} − 1)/n with R = max Q − min Q; tied best actions share "
        "equally. The log-odds are linear in Q: log(π₁/π₂) = (Q₁ − Q₂)/α."
    ),
    method="P+B",
    derivation=(
        "π(a)/π(a*) = e^{−(Q* − Q_a)/α} ≤ e^{−gap/α}; sum over the n − 1 other actions.",
        "Each e^{Q/α} lies within a factor e^{R/α} of the mean, so |nπ − 1| ≤ e^{R/α} − 1.",
        "Q = (1, 1, 0): the first action never gets more than 1/2. Q = −a² on ℝ: π(√α)/π(0) = 1/e at every α.",
        "Q = (1, 2), α = 1: π₂/π₁ = e = 2.718, not 2.",
    ),
    twins={
        "factor n-1 dropped": {"greedy": lambda n, decay: decay},
        "the gap doubled": {"greedy": lambda n, decay: (n - 1) * decay * decay},
        "half the bound at high temperature": {"uniform": lambda n, spread: (spread - 1) / (2 * n)},
        "the probability falls with Q": {"weight": lambda z: exp(-z)},
        "odds of the exponentials": {"odds": lambda first, second: exp(second - first)},
        "log-odds quadratic in Q": {"log_odds": lambda first, second: 2 * (first - second)},
    },
)
def sac_02(
    case: Case,
    *,
    weight: Any = exp,
    greedy: Any = lambda n, decay: (n - 1) * decay,
    uniform: Any = lambda n, spread: (spread - 1) / n,
    odds: Any = lambda first, second: second / first,
    log_odds: Any = lambda first, second: first - second,
) -> None:
    """Both bounds on a family of states at several temperatures; ties, the line, and one pair of values."""
    near_uniform = tuple(LogNumber.log(fmpq(101, 100) if k == 0 else 1) for k in range(6))
    tied_second = tuple(LogNumber.log(x) for x in (fmpq(5), 2, 2, 2))
    family = [q for q, _ in states(24, seed=202)] + [near_uniform, tied_second]

    def law(q: Any) -> tuple[Any, ...]:
        raw = [weight(x) for x in q]
        return tuple(x / total(raw) for x in raw)

    def cold(q: Any, times: int) -> Answer:
        best, second = sorted(q)[-1], sorted(q)[-2]
        missing = 1 - law([times * x for x in q])[q.index(best)]
        bound = greedy(len(q), exp(times * (second - best)))
        return Answer(bool(missing <= bound), f"1−π(a*) = {balls.short(missing)}, bound {balls.short(bound)}, Q={q}")

    def warm(q: Any, alpha: int) -> Answer:
        with balls.precision(256):
            policy = law([balls.ball(x) / alpha for x in q])
            spread = ((balls.ball(max(q)) - balls.ball(min(q))) / alpha).exp()
            bound = uniform(len(q), spread)
            worst = [balls.less(abs(p - fmpq(1, len(q))), bound) for p in policy]
            holds = False if False in worst else None if None in worst else True
            shown = f"π={', '.join(balls.short(p, 6) for p in policy)}, bound {balls.short(bound, 6)}"
        return Answer(holds, f"{shown}, α={alpha}")

    part = "limits"
    unique = [q for q in family if len(q) > 1 and soft.peaked(q)]
    case.within(
        "P", "1 − π(a*) ≤ (n−1)e^{−gap/α} at α = 1, 1/5", every(cold(q, k) for q in unique for k in (1, 5)), part=part
    )
    varied = [q for q in family if len(q) > 1 and min(q) < max(q)]
    case.within(
        "P", "|π − 1/n| ≤ (e^{R/α} − 1)/n at α = 1, 60", every(warm(q, k) for q in varied for k in (1, 60)), part=part
    )
    tied = (LogNumber.of(1), LogNumber.of(1), LogNumber.of(0))
    with balls.precision(128):
        shares = {k: boltzmann([balls.ball(x) * k for x in tied], 1)[0] for k in (1, 1000)}
        shown = ", ".join(f"π(a₁) = {balls.short(p, 6)} at α = 1/{k}" for k, p in shares.items())
        half = all(p.upper() > 1 - fmpq(1, 10) for p in shares.values())
        tail = balls.ball(-1).exp()
    case.outside("B", "α → 0 is greedy for the tied Q = (1, 1, 0)", half, shown, part=part)
    case.outside(
        "B",
        "α → ∞ is uniform for Q = −a² on ℝ",
        bool(tail > fmpq(1, 2)),
        f"π(√α)/π(0) = {balls.short(tail, 6)} at every α",
        part=part,
    )
    case.corrected("B", "the tied best actions share equally", shares[1000].overlaps(balls.ball(fmpq(1, 2))), part=part)

    part = "order"

    def ordered(q: Any) -> Answer:
        ranked = sorted(zip(q, law(q), strict=True), key=lambda pair: pair[0])
        wrong = [(x, y) for (x, p), (y, r) in itertools.pairwise(ranked) if x < y and not p < r]
        positive_all = all(p > 0 for _, p in ranked)
        return Answer(not wrong and positive_all, f"Q={wrong[0]} is in the opposite order" if wrong else "")

    case.claimed("P", "higher Q, higher probability; all positive", every(ordered(q) for q in family), part=part)

    part = "proportionality"
    with balls.precision(128):
        pair = boltzmann([balls.ball(1), balls.ball(2)], balls.ball(1))
        ratio = pair[1] / pair[0]
        stated = balls.ball(odds(balls.ball(1), balls.ball(2)))
        holds = ratio.overlaps(stated)
        shown = f"Q=(1, 2), α=1: π₂/π₁ = {balls.short(ratio)}, stated {balls.short(stated)}"
    case.claimed("B", "π₂/π₁ = Q₂/Q₁", holds, shown, part=part)

    def linear(q: Any) -> Answer:
        policy = boltzmann(q, 1)
        exact = [log(p / policy[0]) == log_odds(x, q[0]) for x, p in zip(q, policy, strict=True)]
        return Answer(all(exact), f"Q={q}")

    case.corrected("P", "log(π₁/π₂) = (Q₁ − Q₂)/α", every(linear(q) for q in family), part=part)
    case.comparison("B", "reference.bellman.boltzmann and soft_maximum", under_test.boltzmann_policy(), part="order")


@claim(
    "SAC-22",
    source=("003 §1.1", "003 §1.1.2"),
    statement="The Boltzmann distribution of an energy E = −Q; §1.1 prints one sign, §1.1.2 the other.",
    formula="§1.1: p ∝ exp(E/T);  §1.1.2: p = exp(−E/T)/Z;  both with E = −Q",
    stated={"§1.1": FALSE, "§1.1.2": TRUE},
    corrected="p ∝ exp(−E/T) = exp(Q/T). In these units the free energy is F = −T log Z, so V = −F.",
    method="Q+B",
    derivation=(
        "With E = −Q, exp(E/T) = exp(−Q/T): the better action becomes the less probable one.",
        "Q = (0, 1), T = 1: the printed form gives the better action 1/(1 + e) = 0.2689, the other e/(1 + e) = 0.7311.",
        "F = E[E] − T H = −(E[Q] + T H) = −V at the Boltzmann law.",
    ),
    twins={
        "the signs exchanged": {
            "first": lambda energy, t: exp(-energy / t),
            "second": literal.boltzmann_rising_with_energy,
        },
        "the first with the right sign": {"first": lambda energy, t: exp(-energy / t)},
        "the second with the wrong sign": {"second": literal.boltzmann_rising_with_energy},
        "sign of the free energy": {"free": lambda value: value},
    },
)
def sac_22(
    case: Case,
    *,
    first: Any = literal.boltzmann_rising_with_energy,
    second: Any = lambda energy, t: exp(-energy / t),
    free: Any = lambda value: -value,
) -> None:
    """Two actions with exact probabilities, the source's own Q = (0, 1) in balls."""
    forms = {"§1.1": first, "§1.1.2": second}
    exact_q = (LogNumber.of(0), LogNumber.log(3))
    for part, form in forms.items():
        raw = [form(-x, 1) for x in exact_q]
        better = raw[1] / total(raw)
        shown = f"Q=(0, log 3), T=1: p of the better action {better}"
        case.claimed("Q", "the better action is the more probable one", better > fmpq(1, 2), shown, part=part)
        with balls.precision(128):
            weights = [form(-balls.ball(x), balls.ball(1)) for x in (0, 1)]
            p = weights[1] / total(weights)
            shown = f"Q=(0, 1), T=1: {balls.short(p, 4)}"
            case.claimed("B", "the same for Q = (0, 1)", bool(p > fmpq(1, 2)), shown, part=part)
    right = [exp(x) for x in exact_q]
    policy = boltzmann(exact_q, 1)
    energy = total([p * -x for p, x in zip(policy, exact_q, strict=True)]) - soft.entropy(policy)
    value = log(total(right))
    for part in forms:
        case.corrected("Q", "F = E[E] − T H = −V", energy == free(value), f"F = {energy}, V = {value}", part=part)
    case.corrected("Q", "exp(−E/T) prefers the better action", policy[1] > fmpq(1, 2), f"p = {policy[1]}", part="§1.1")


@claim(
    "SAC-24",
    source=("003 §0.2.3", "003 §1.2"),
    statement="The Boltzmann policy is robust against errors of Q, while greedy policies are sensitive.",
    formula="‖π_Q − π_Q'‖₁ ≤ ‖Q − Q'‖_∞/α",
    stated=TRUE,
    corrected="Tight at π = 1/2; the constant 1/α explodes as α → 0, where argmax is discontinuous.",
    method="P+S",
    derivation=(
        "Along Q_t = Q + t(Q' − Q): π̇_i = π_i (Q̇_i − E_π Q̇)/α, so ‖π̇‖₁ = E_π|Q̇ − E_π Q̇|/α.",
        "Q̇ lies in an interval of length 2ε, ε = ‖Q' − Q‖_∞, so its standard deviation, and with it the mean absolute "
        "deviation, is at most ε. Integrate over t ∈ [0, 1].",
        "Two actions, Q̇ = ±ε: ‖π̇‖₁ = 4p(1−p)ε/α = (1 − (1−2p)²)ε/α, equal to ε/α at p = 1/2.",
        "Greedy: Q = (0, ±10⁻⁹) differ by 2·10⁻⁹, and the policies by 2.",
    ),
    twins={
        "half the bound": {"bound": lambda size: size / 2},
        "a square": {"bound": lambda size: size * size},
        "the slope without its factor 4": {"slope": lambda p: p * (1 - p)},
        "the slope with factor 2": {"slope": lambda p: 2 * p * (1 - p)},
    },
)
def sac_24(case: Case, *, bound: Any = lambda size: size, slope: Any = lambda p: 4 * p * (1 - p)) -> None:
    """Pairs of states with exact policies, in units of alpha; the derivative of two actions in symbols."""
    first, half = LogNumber.log(fmpq(1001, 1000)), [LogNumber.of(0)] * 2
    pairs = [((first, -first), tuple(half)), ((-first, first), (first, -first))]
    family = list(states(60, seed=224))
    pairs += [(q, r) for (q, _), (r, _) in itertools.pairwise(family) if len(q) == len(r)]

    def robust(q: Any, other: Any) -> Answer:
        moved = total([abs(p - r) for p, r in zip(boltzmann(q, 1), boltzmann(other, 1), strict=True)])
        size = max(max(x - y, y - x) for x, y in zip(q, other, strict=True))
        with balls.precision(192):
            allowed = bound(balls.ball(size))
            holds = True if moved == 0 and size == 0 else balls.less(moved, allowed)
            return Answer(holds, f"‖Δπ‖₁ = {balls.short(moved)}, ‖ΔQ‖_∞/α = {balls.short(balls.ball(size))}")

    summary = f"{len(pairs)} pairs of states"
    case.claimed("P", "‖Δπ‖₁ ≤ ‖ΔQ‖_∞/α", every((robust(*pair) for pair in pairs), summary))
    (shift,) = real("t")
    p = sympy.Symbol("p", positive=True)
    policy = boltzmann((sympy.log(p) + shift, sympy.log(1 - p) - shift), sympy.Integer(1))
    rate = 2 * sympy.diff(policy[0], shift).subs(shift, 0)
    case.claimed("S", "two actions: ‖π̇‖₁ = 4p(1−p)ε/α", equal(sympy.simplify(rate), slope(p)))
    gap = (1 - sympy.diff(policy[0], shift).subs(shift, 0) * 2) - (1 - 2 * p) ** 2
    case.claimed("S", "it falls short of ε/α by (1−2p)²: tight at 1/2", vanishes(sympy.simplify(gap)))
    tiny = fmpq(1, 10**9)
    greedy = [tuple(int(x == max(q)) for x in q) for q in ((fmpq(0), tiny), (fmpq(0), -tiny))]
    jump = sum(abs(x - y) for x, y in zip(*greedy, strict=True))
    case.corrected("P", "argmax jumps by 2 under a change of 2·10⁻⁹", jump == 2, f"greedy policies {greedy}")
