"""Baselines, and the TD error as an advantage (RL-27, RL-28)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sympy
from flint import fmpq

from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.exact import Process, mean
from proofs.rl import chains
from proofs.rl.chains import numbers, show
from proofs.rl.td import critic_error
from proofs.symbolic import equal, positive, real, summed, vanishes
from proofs.verdict import FALSE, TRUE, true_if


def weighted_mean(masses: Sequence[Any], norms: Sequence[Any], q: Sequence[Any]) -> Any:
    """b* = E[‖∇ln π‖² q]/E[‖∇ln π‖²]."""
    return summed_any(m * n * x for m, n, x in zip(masses, norms, q, strict=True)) / summed_any(
        m * n for m, n in zip(masses, norms, strict=True)
    )


def summed_any(terms: Any) -> Any:
    """The sum of terms in any number system."""
    first, *rest = terms
    for term in rest:
        first = first + term
    return first


def swapped(p: Any, first: Any, second: Any) -> Any:
    """(1−p)q₁ + pq₂."""
    return (1 - p) * first + p * second


def sample_variance(p: Any, q: Sequence[Any], baseline: Any) -> Any:
    """The variance of ∇ln π(A)(q(A) − b) for one logit, p = π(1)."""
    samples = [(1 - p) * (q[0] - baseline), -p * (q[1] - baseline)]
    masses = [p, 1 - p]
    centre = mean(masses, samples)
    return mean(masses, [(x - centre) ** 2 for x in samples])


@claim(
    "RL-27",
    source="004 C10",
    statement="Subtracting a baseline b(S) keeps the expected gradient; the variance is smallest at "
    "b* = E[‖∇ln π‖² q]/E‖∇ln π‖², which is about v_π.",
    formula="E[∇ln π (q − b)] = E[∇ln π q];  b* = E[‖∇ln π‖² q]/E[‖∇ln π‖²] ≈ v_π",
    stated={"invariance": TRUE, "b*": TRUE, "b* ≈ v_π": FALSE},
    corrected=(
        "b* − v_π = Cov(‖∇ln π‖², q)/E‖∇ln π‖²: equal exactly if the two are uncorrelated. For two actions with one "
        "logit b* = (1−p)q₁ + pq₂, the probabilities swapped, and the variance at b* is 0. With p = 9/10, q = (1,0) "
        "v_π is 64 times worse than no baseline at all."
    ),
    method="S+Q",
    derivation=(
        "Σ_a π ∇ln π b = b∇Σ_a π = 0.",
        "The mean does not depend on b, so the variance is E[‖∇ln π‖²(q−b)²] less a constant: a parabola in b with its "
        "minimum at b*.",
        "Two actions: ∇ln π = 1−p and −p, with the weights p(1−p)² and (1−p)p², in the ratio (1−p) : p. The samples "
        "(1−p)(q₁−b*) and −p(q₂−b*) are both p(1−p)(q₁−q₂): no noise.",
        "p = 9/10, q = (1,0): samples 1/10 and 0 without a baseline, variance 9/10000. With b = v_π = 9/10 they are "
        "1/100 and 81/100: 576/10000. With b* = 1/10: both 9/100.",
    ),
    twins={
        "weights not squared": {"best": lambda m, n, q: weighted_mean(m, [sympy.sqrt(x) for x in n], q)},
        "sign of b*": {"best": lambda m, n, q: -weighted_mean(m, n, q)},
        "value in place of b*": {"best": lambda m, n, q: summed_any(a * x for a, x in zip(m, q, strict=True))},
        "probabilities not swapped": {"pair": lambda p, x, y: p * x + (1 - p) * y},
        "b* in place of the value": {"approximate": lambda p, q: swapped(p, *q)},
        "no scores in the invariance": {"score": lambda p, a, i: 1 if a == i else 0},
    },
)
def rl_27(
    case: Case,
    *,
    best: Any = weighted_mean,
    pair: Any = swapped,
    approximate: Any = lambda p, q: p * q[0] + (1 - p) * q[1],
    score: Any = lambda p, a, i: (1 if a == i else 0) - p[i],
) -> None:
    """A softmax over three actions; the parabola in b; two actions in symbols and in the numbers of the example."""
    odds = positive("u1 u2 u3")
    policy = [u / sum(odds) for u in odds]
    b = sympy.Symbol("b", real=True)
    case.claimed(
        "S",
        "E[∇ln π b] = 0, softmax over three actions",
        every(vanishes(sympy.cancel(summed(policy[a] * score(policy, a, i) * b for a in range(3)))) for i in range(3)),
        part="invariance",
    )
    masses, norms, q = positive("p1 p2 p3"), positive("n1 n2 n3"), real("q1 q2 q3")
    spread = summed(m * n * (x - b) ** 2 for m, n, x in zip(masses, norms, q, strict=True))
    found = best(masses, norms, q)
    case.claimed(
        "S",
        "the variance is a parabola in b, stationary at b*",
        vanishes(sympy.cancel(sympy.diff(spread, b).subs(b, found))),
        part="b*",
    )
    convex = equal(sympy.diff(spread, b, 2), 2 * summed(m * n for m, n in zip(masses, norms, strict=True)))
    case.claimed("S", "with the second derivative 2E‖∇ln π‖² > 0", convex, part="b*")
    p, x, y = positive("p")[0], *real("q1 q2")
    two = weighted_mean([p, 1 - p], [(1 - p) ** 2, p**2], [x, y])
    case.corrected("S", "two actions: b* = (1−p)q₁ + pq₂", equal(two, pair(p, x, y)), part="b* ≈ v_π")
    case.corrected(
        "S",
        "where the variance is 0",
        vanishes(sympy.expand(sample_variance(p, (x, y), swapped(p, x, y)))),
        part="b* ≈ v_π",
    )
    last = [masses[0], masses[1], 1 - masses[0] - masses[1]]
    centre = summed(m * n for m, n in zip(last, norms, strict=True))
    value = summed(m * z for m, z in zip(last, q, strict=True))
    covariance = summed(m * n * z for m, n, z in zip(last, norms, q, strict=True)) - centre * value
    case.corrected(
        "S",
        "b* − v_π = Cov(‖∇ln π‖², q)/E‖∇ln π‖²",
        vanishes(sympy.cancel(weighted_mean(last, norms, q) - value - covariance / centre), p1="1/5", p2="3/7"),
        part="b* ≈ v_π",
    )
    likely, rewards = fmpq(9, 10), numbers(1, 0)
    none, at_best = (sample_variance(likely, rewards, c) for c in (fmpq(0), swapped(likely, *rewards)))
    near = sample_variance(likely, rewards, approximate(likely, rewards))
    case.claimed(
        "Q",
        "p = 9/10, q = (1,0): the baseline v_π does not raise the variance",
        near <= none,
        f"no baseline {none}, v_π = {approximate(likely, rewards)}: {near} ({near / none} times), "
        f"b* = {swapped(likely, *rewards)}: {at_best}",
        part="b* ≈ v_π",
    )
    case.corrected(
        "Q",
        "no baseline 9/10000, v_π 576/10000, b* 0",
        (none, sample_variance(likely, rewards, fmpq(9, 10)), at_best) == (fmpq(9, 10**4), fmpq(576, 10**4), 0),
        part="b* ≈ v_π",
    )


def error_bias(process: Process, errors: Any, s: int, a: int) -> Any:
    """γE[e(s')|s,a] − e(s)."""
    return process.discount * mean(process.transitions[s][a], errors) - errors[s]


@claim(
    "RL-28",
    source="004 C10",
    statement="The advantage q_π − v_π is computed as δ = r + γv(s') − v(s), with a network for v.",
    formula="E[r + γv(s') − v(s) | s, a] = q_π(s,a) − v_π(s)",
    stated=true_if("v = v_π"),
    corrected=(
        "With e = v − v_π, E[δ|s,a] − A = γE[e(s')|s,a] − e(s). Only the first part biases the policy gradient: −e(s) "
        "does not depend on the action and acts as a baseline."
    ),
    method="Q",
    derivation=(
        "Put v = v_π + e into δ and take the mean given (s,a): r + γE v_π(s') − v_π(s) is A, the rest is the bias.",
        "Σ_a ∇π(a|s) e(s) = 0, so the expected update sees γE[e(s')|s,a] alone.",
        "If e is constant, that too is the same for every action, and the gradient is exact.",
    ),
    twins={
        "sign of delta": {"delta": lambda r, g, n, v: v - r - g * n},
        "discount dropped": {"delta": lambda r, g, n, v: r + n - v},
        "bias without e(s)": {"bias": lambda p, e, s, a: p.discount * mean(p.transitions[s][a], e)},
        "bias without the discount": {"bias": lambda p, e, s, a: mean(p.transitions[s][a], e) - e[s]},
        "e(s) biases the gradient, the other part does not": {"harmful": lambda p, e, s, a: -e[s]},
    },
)
def rl_28(
    case: Case,
    *,
    delta: Any = critic_error,
    bias: Any = error_bias,
    harmful: Any = lambda process, errors, s, a: process.discount * mean(process.transitions[s][a], errors),
) -> None:
    """Random processes: the mean of δ with the right and with a wrong v, and the update that follows from it."""
    items = chains.family(16, 28)

    def expected(process: Process, values: Any, s: int, a: int, error: Any) -> Any:
        row = process.transitions[s][a]
        return mean(row, [error(process.rewards[s][a], process.discount, v, values[s]) for v in values])

    def advantage(process: Process, policy: Any, values: Any) -> Answer:
        truth = process.advantages(policy)
        found = {pair: expected(process, values, *pair, delta) for pair in process.pairs}
        worst = max(process.pairs, key=lambda pair: abs(found[pair] - truth[pair]))
        return Answer(found == truth, f"E[δ] = {found[worst]}, A = {truth[worst]} at state, action {worst}")

    case.within("Q", "v = v_π: E[δ|s,a] = A", every(advantage(p, pi, p.values(pi)) for p, pi, _ in items))
    process, policy, other = items[0]
    case.outside("Q", "v of another policy: E[δ|s,a] = A", advantage(process, policy, process.values(other)))

    def decomposed(process: Process, policy: Any, other: Any) -> Answer:
        values, truth = process.values(other), process.advantages(policy)
        errors = chains.add(values, process.values(policy), -1)
        return every(
            Answer(
                expected(process, values, *pair, critic_error) == truth[pair] + bias(process, errors, *pair),
                f"bias {bias(process, errors, *pair)} at {pair}",
            )
            for pair in process.pairs
        )

    case.corrected("Q", "E[δ|s,a] − A = γE[e(s')|s,a] − e(s)", every(decomposed(*item) for item in items))

    def moved(process: Process, policy: Any, other: Any) -> Answer:
        """The update Σ_s Σ_a ∇π(a|s)(…) along the direction that lifts action 0 and lowers action 1."""
        values, truth = process.values(other), process.advantages(policy)
        errors = chains.add(values, process.values(policy), -1)
        for s in range(process.n_states):
            step = policy[s][0] * policy[s][1]
            seen = step * (
                expected(process, values, s, 0, critic_error) - expected(process, values, s, 1, critic_error)
            )
            exact = step * (truth[s, 0] - truth[s, 1])
            extra = step * (harmful(process, errors, s, 0) - harmful(process, errors, s, 1))
            if seen != exact + extra:
                return Answer(False, f"state {s}: update {seen}, exact {exact}, bias {extra}")
        return Answer(True)

    case.corrected("Q", "the update is biased by γE[e(s')|s,a] alone", every(moved(*item) for item in items))
    shifted = tuple(v + 5 for v in process.values(policy))
    gaps = {
        show([expected(process, v, s, 0, critic_error) - expected(process, v, s, 1, critic_error) for s in range(2)])
        for v in (shifted, process.values(policy))
    }
    case.corrected("Q", "a constant error changes no difference between actions", len(gaps) == 1)
