"""Optimal policies and the Bellman optimality equation (RL-05, RL-06, RL-07)."""

from __future__ import annotations

from typing import Any

from flint import fmpq

from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.exact import Process, mean
from proofs.rl import chains
from proofs.rl.chains import HALF, numbers, show
from proofs.under_test import processes
from proofs.verdict import FALSE, TRUE


def lookahead(process: Process, values: Any) -> chains.Vector:
    """The right side of the equation, max over actions."""
    return chains.optimality(process, values)


@claim(
    "RL-05",
    source="004 C3",
    statement="A policy that is at least as good as every other in every state exists; values satisfy the Bellman "
    "optimality equation; its maximum over policies is the maximum over actions.",
    formula="v_{π*}(s) ≥ v_π(s) for all s, π;  v_π = max_π(r_π + γP_π v_π);  max_π Σ_a π(a|s) q(s,a) = max_a q(s,a)",
    stated={"existence": TRUE, "notation": FALSE, "reduction": TRUE},
    corrected=(
        "v* = max_π(r_π + γP_π v*): the equation characterises v* alone, and the v_π of a policy that is not optimal "
        "violates it. Some deterministic policy dominates all, stochastic ones included. The maximum of the vector is "
        "attained in all states at once, because a policy chooses in each state separately."
    ),
    method="Q",
    derivation=(
        "Let v = max_a q_v be the fixed point. For every π, r_π + γP_π v ≤ v; applying this again and again, v_π ≤ v.",
        "Choose in each state an action that attains the maximum: r_π + γP_π v = v, so v_π = v. One policy dominates.",
        "Σ_a π(a|s) q(s,a) is a mean of the q(s,a): at most their maximum, which a point mass attains.",
        "One state, rewards 0 and 1, γ = 1/2, π uniform: v_π = 1, but max_a q = 1 + 1/2 = 3/2.",
    ),
    twins={
        "minimum in place of the maximum": {"operator": lambda p, v: tuple(min(q) for q in chains.backup(p, v))},
        "mean in place of the maximum": {
            "operator": lambda p, v: tuple(sum(q, fmpq(0)) / len(q) for q in chains.backup(p, v))
        },
        "the equation for v*": {"generic": lambda p, policy: chains.optimum(p)},
        "sum over actions without probabilities": {"averaged": lambda p, q: sum(q, fmpq(0))},
    },
)
def rl_05(
    case: Case,
    *,
    operator: Any = lookahead,
    generic: Any = lambda process, policy: process.values(policy),
    averaged: Any = mean,
) -> None:
    """All deterministic policies and some stochastic ones, on random processes with 2 to 4 states."""
    items = chains.family(12, 5)

    def dominated(process: Process, first: Any, second: Any) -> Answer:
        values = [process.values(chains.pure(process, actions)) for actions in chains.choices(process)]
        best = tuple(max(column) for column in zip(*values, strict=True))
        if best not in values:
            return Answer(False, f"no policy attains {show(best)} everywhere")
        stochastic = [process.values(policy) for policy in (first, second, chains.uniform(process))]
        above = [v for v in stochastic if any(x > y for x, y in zip(v, best, strict=True))]
        if above:
            return Answer(False, f"a stochastic policy has {show(above[0])}, the deterministic ones {show(best)}")
        return Answer(
            operator(process, best) == best, f"{len(values)} policies, best {show(best)}: v = max(r+γPv) for it"
        )

    case.claimed(
        "Q",
        "one deterministic policy dominates, and its values solve the equation",
        every(dominated(*item) for item in items),
        part="existence",
    )

    def certified(process: Process) -> Answer:
        values = chains.optimum(process)
        rows = chains.backup(process, values)
        return Answer(all(q <= v for row, v in zip(rows, values, strict=True) for q in row))

    case.claimed(
        "Q",
        "q* ≤ v* at every pair, which bounds every stochastic policy",
        every(certified(process) for process, _, _ in items),
        part="existence",
    )
    one = chains.moves([[0, 0]], [[0, 1]], HALF)
    policy = chains.uniform(one)
    seen = generic(one, policy)
    case.claimed(
        "Q",
        "the value of a policy satisfies v = max(r + γPv): one state, rewards 0 and 1, γ = 1/2, π uniform",
        lookahead(one, seen) == seen,
        f"v_π={show(seen)}, max(r+γPv_π)={show(lookahead(one, seen))}",
        part="notation",
    )
    best = chains.optimum(one)
    case.corrected("Q", "v* satisfies it", operator(one, best) == best, f"v*={show(best)}", part="notation")

    def reduced(process: Process, first: Any, second: Any) -> Answer:
        q = chains.backup(process, process.values(first))
        best = tuple(max(row) for row in q)
        if any(averaged(p, row) > b for pi in (first, second) for p, row, b in zip(pi, q, best, strict=True)):
            return Answer(False, "a mean over actions exceeds the best action")
        pure = chains.pure(process, [row.index(max(row)) for row in q])
        attained = tuple(averaged(p, row) for p, row in zip(pure, q, strict=True))
        return Answer(attained == best, f"attained {show(attained)}, best actions {show(best)}")

    case.claimed(
        "Q",
        "no mean over actions exceeds max_a q, and one policy attains it in all states at once",
        every(reduced(*item) for item in items),
        part="reduction",
    )


def euclidean(vector: Any) -> Any:
    """The squared Euclidean norm."""
    return sum((x * x for x in vector), fmpq(0))


@claim(
    "RL-06",
    source="004 C3",
    statement="f(v) = max_π(r_π + γP_π v) is a contraction, so it has exactly one fixed point and iterating finds it.",
    formula="‖f(v) − f(u)‖ ≤ γ‖v − u‖",
    stated=TRUE,
    corrected=(
        "In the sup norm, with modulus exactly γ. Not in the Euclidean norm: the rows (1,0), (1,0), γ = 9/10 stretch "
        "by √(81/50) ≈ 1.27. Uniqueness and convergence use that ℝⁿ is complete."
    ),
    method="Q+P",
    derivation=(
        "|max_a x_a − max_a y_a| ≤ max_a |x_a − y_a|, and the difference of two lookaheads is γE[v(s') − u(s')|s,a].",
        "Mean ≤ maximum: the sup norm shrinks by γ at least. For v − u = c everywhere it shrinks by exactly γ.",
        "Two fixed points would be at distance ≤ γ times their distance: they are one. f^k(v) is at distance "
        "≤ γ^k ‖v − v*‖.",
        "P with the rows (1,0), (1,0): v − u = (1,0) becomes γ(1,1), of squared Euclidean norm 2γ² = 81/50 > 1.",
    ),
    twins={
        "modulus gamma squared": {"modulus": lambda g: g**2},
        "modulus 1 - gamma": {"modulus": lambda g: 1 - g},
        "modulus 1": {"modulus": lambda g: fmpq(1)},
        "Euclidean norm": {"norm": euclidean, "modulus": lambda g: g**2},
        "the correction contracts in the other norm": {"other": lambda v: chains.sup(v) ** 2},
    },
)
def rl_06(case: Case, *, modulus: Any = lambda g: g, norm: Any = chains.sup, other: Any = euclidean) -> None:
    """Random pairs of vectors; a constant difference; the chain on which the Euclidean norm grows."""
    stretch = chains.moves([[0], [0]], [[0], [0]], "9/10")

    def shrinks(process: Process, v: Any, u: Any) -> Answer:
        image = chains.add(chains.optimality(process, v), chains.optimality(process, u), -1)
        seen, bound = norm(image), modulus(process.discount) * norm(chains.add(v, u, -1))
        return Answer(seen <= bound, f"‖f(v)−f(u)‖={seen}, bound {bound}, γ={process.discount}")

    items = chains.family(24, 6)
    case.claimed(
        "P",
        "the distance shrinks by γ at least",
        every(
            shrinks(process, process.values(first), tuple(3 * x + 1 for x in process.values(second)))
            for process, first, second in items
        ),
    )
    case.claimed("Q", "also where every row leads to state 0", shrinks(stretch, numbers(1, 0), numbers(0, 0)))
    process = items[0][0]
    image = chains.add(
        chains.optimality(process, (fmpq(5),) * process.n_states),
        chains.optimality(process, (fmpq(2),) * process.n_states),
        -1,
    )
    exactly = norm(image) == modulus(process.discount) * norm((fmpq(3),) * process.n_states)
    case.claimed("Q", "by exactly γ where the difference is constant", exactly, f"{show(image)} from a constant 3")
    grown = other(chains.add(chains.optimality(stretch, numbers(1, 0)), chains.optimality(stretch, numbers(0, 0)), -1))
    case.corrected(
        "Q",
        "the squared Euclidean norm grows by 81/50 on that chain",
        grown == fmpq(81, 50) and other(numbers(1, 0)) == 1,
        f"‖f(v)−f(u)‖²={grown}",
    )

    def converges(process: Process) -> Answer:
        truth = chains.optimum(process)
        values = (fmpq(7),) * process.n_states
        start = chains.distance(values, truth)
        for k in range(1, 7):
            values = chains.optimality(process, values)
            if chains.distance(values, truth) > process.discount**k * start:
                return Answer(False, f"sweep {k}: error {chains.distance(values, truth)}")
        return Answer(True)

    case.corrected("P", "‖f^k(v) − v*‖ ≤ γ^k ‖v − v*‖", every(converges(process) for process, _, _ in items))
    case.comparison("Q", "reference.bellman", processes.bellman_operator(chains.optimality))


@claim(
    "RL-07",
    source="004 C3",
    statement="The iterates of value iteration are values of policies, v_{π,k+1} = max_π(r_π + γP_π v_{π,k}).",
    formula="v_{π,k} is the value of a policy, for each k",
    stated=FALSE,
    corrected="They are plain vectors v_k with ‖v_k − v*‖ ≤ γ^k ‖v_0 − v*‖; no policy need have any of them as value.",
    method="Q",
    derivation=(
        "One state, rewards 0 and 1, γ = 1/2: the value of any policy lies in [0/(1−γ), 1/(1−γ)] = [0, 2].",
        "From v_0 = 10: v_1 = 1 + 10/2 = 6, which lies outside. v_k = 2 + 8/2^k never enters the interval.",
    ),
    twins={
        "start at the best value": {"start": 2},
        "start at the worst value": {"start": 0},
        "rate gamma squared in the correction": {"rate": lambda g, k: g ** (2 * k)},
        "one sweep more in the correction": {"rate": lambda g, k: g ** (k + 1)},
    },
)
def rl_07(case: Case, *, start: Any = 10, rate: Any = lambda g, k: g**k) -> None:
    """The range of all policy values against the first iterate; the error of eight iterates."""
    process = chains.moves([[0, 0]], [[0, 1]], HALF)
    extremes = [process.values(chains.pure(process, actions))[0] for actions in chains.choices(process)]
    first = chains.optimality(process, numbers(start))[0]
    case.claimed(
        "Q",
        "v₁ lies between the values of the worst and the best policy",
        min(extremes) <= first <= max(extremes),
        f"v₁={first}, policies in [{min(extremes)}, {max(extremes)}]",
    )
    values, errors = (fmpq(10),), []
    for k in range(1, 9):
        values = chains.optimality(process, values)
        errors.append(Answer(chains.distance(values, numbers(2)) <= rate(HALF, k) * 8, f"error {values[0] - 2}"))
    case.corrected("Q", "the error of v_k is at most γ^k times the first", every(errors))
