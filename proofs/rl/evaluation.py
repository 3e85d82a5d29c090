"""The two solutions of the Bellman equation (RL-03, RL-04)."""

from __future__ import annotations

from typing import Any

from flint import fmpq

from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.exact import Process
from proofs.rl import chains
from proofs.rl.chains import numbers, show
from proofs.under_test import processes
from proofs.verdict import TRUE, true_if


def closed_form(matrix: chains.Matrix, discount: Any, rewards: Any) -> chains.Vector:
    """(I − γP)^{-1} r."""
    return chains.apply(chains.inverse(chains.one_minus(matrix, discount)), rewards)


@claim(
    "RL-03",
    source="004 C2",
    statement="The Bellman equation has the closed solution v = (I − γP)^{-1} r.",
    formula="v_π = (I − γP_π)^{-1} r_π",
    stated=true_if("γ < 1"),
    corrected=(
        "The rows of the inverse sum to exactly 1/(1−γ). At γ = 1 the matrix is singular for every stochastic P, and "
        "invertible on the transient block of a chain that terminates."
    ),
    method="Q",
    derivation=(
        "‖γP‖_∞ = γ < 1, so Σ γ^k P^k converges to the inverse; (I − γP)1 = (1−γ)1 gives its row sums.",
        "At γ = 1 that line says (I − P)1 = 0: the vector of ones is in the kernel and det(I − P) = 0.",
        "Between transient states P is substochastic and P^k → 0, so there the series converges even at γ = 1.",
    ),
    twins={
        "sign of the discount": {"solution": lambda p, g, r: closed_form(p, -g, r)},
        "transposed": {"solution": lambda p, g, r: closed_form(tuple(zip(*p, strict=True)), g, r)},
        "discount dropped from the row sums": {"row_sum": lambda g: fmpq(1)},
        "row sums with the wrong sign": {"row_sum": lambda g: 1 / (1 + g)},
    },
)
def rl_03(case: Case, *, solution: Any = closed_form, row_sum: Any = lambda g: 1 / (1 - g)) -> None:
    """The inverse on exact chains; the determinant at γ = 1; the transient block."""

    def solves(process: Process, policy: Any) -> Answer:
        matrix, rewards = chains.chain(process, policy), chains.income(process, policy)
        values = solution(matrix, process.discount, rewards)
        right = chains.add(rewards, chains.apply(matrix, values), process.discount)
        return Answer(values == right, f"v={show(values[:2])}, r+γPv={show(right[:2])}, γ={process.discount}")

    items = chains.family(20, 3)
    case.within("Q", "it solves v = r + γPv", every(solves(p, pi) for p, pi, _ in items))
    sums = [
        {sum(row, fmpq(0)) for row in chains.inverse(chains.one_minus(chains.chain(p, pi), p.discount))}
        for p, pi, _ in items
    ]
    case.within(
        "Q",
        "each row of the inverse sums to 1/(1−γ)",
        all(seen == {row_sum(p.discount)} for seen, (p, _, _) in zip(sums, items, strict=True)),
    )
    singular = [chains.determinant(chains.one_minus(chains.chain(p, pi), 1)) for p, pi, _ in items]
    case.outside(
        "Q",
        "I − γP is invertible at γ = 1",
        any(value != 0 for value in singular),
        f"det(I−P) = {', '.join(sorted(set(map(str, singular))))} on {len(singular)} chains",
    )
    block = (numbers("1/2", "1/4"), numbers("1/3", "1/3"))
    lasting = closed_form(block, fmpq(1), numbers(1, 1))
    case.corrected(
        "Q",
        "at γ = 1 a transient block is invertible: expected steps to the end",
        lasting == chains.add(numbers(1, 1), chains.apply(block, lasting)) and min(lasting) >= 1,
        show(lasting),
    )
    case.comparison("Q", "reference.evaluation", processes.policy_values())


def sweep(matrix: Any, rewards: Any, discount: Any, values: Any) -> chains.Vector:
    """r + γPv."""
    return chains.add(rewards, chains.apply(matrix, values), discount)


@claim(
    "RL-04",
    source="004 C2",
    statement="Iterating v ← r + γPv solves the Bellman equation.",
    formula="v_{k+1} = r_π + γP_π v_k → v_π",
    stated=TRUE,
    corrected=(
        "‖v_k − v‖ ≤ γ^k ‖v_0 − v‖, and after the fact ‖v_k − v‖ ≤ γ/(1−γ) ‖v_k − v_{k−1}‖; both are attained where "
        "the error is the same in every state."
    ),
    method="Q",
    derivation=(
        "v_{k+1} − v = γP(v_k − v), and ‖P‖_∞ = 1: each sweep multiplies the largest error by at most γ.",
        "‖v_{k−1} − v‖ ≤ ‖v_{k−1} − v_k‖ + ‖v_k − v‖ and ‖v_k − v‖ ≤ γ‖v_{k−1} − v‖; eliminate ‖v_{k−1} − v‖.",
        "P1 = 1, so a constant error c shrinks to exactly γ^k c: no smaller bound is true.",
    ),
    twins={
        "discount dropped": {"step": lambda p, r, g, v: sweep(p, r, 1, v)},
        "sign of the discount": {"step": lambda p, r, g, v: sweep(p, r, -g, v)},
        "one power more": {"prior": lambda g, k, error: g ** (k + 1) * error},
        "1 - gamma dropped afterwards": {"posterior": lambda g, change: g * change},
        "gamma squared afterwards": {"posterior": lambda g, change: g**2 / (1 - g) * change},
    },
)
def rl_04(
    case: Case,
    *,
    step: Any = sweep,
    prior: Any = lambda g, k, error: g**k * error,
    posterior: Any = lambda g, change: g / (1 - g) * change,
) -> None:
    """Eight sweeps on exact chains against both bounds, from a start with a constant error as well."""

    def bounded(process: Process, policy: Any, start: Any) -> Answer:
        matrix, rewards = chains.chain(process, policy), chains.income(process, policy)
        truth, g = process.values(policy), process.discount
        error, values = chains.distance(start, truth), start
        for k in range(1, 9):
            before, values = values, step(matrix, rewards, g, values)
            seen = chains.distance(values, truth)
            if seen > prior(g, k, error):
                return Answer(False, f"sweep {k}: error {seen} > {prior(g, k, error)}, γ={g}")
            if seen > posterior(g, chains.distance(values, before)):
                return Answer(
                    False, f"sweep {k}: error {seen} > {posterior(g, chains.distance(values, before))}, γ={g}"
                )
        return Answer(True)

    items = chains.family(16, 4)
    case.claimed(
        "Q",
        "both bounds hold from v₀ = 0",
        every((bounded(p, pi, (fmpq(0),) * p.n_states) for p, pi, _ in items), "16 processes, 8 sweeps each"),
    )
    case.claimed(
        "Q",
        "both bounds hold where the error is constant, with equality",
        every(
            (bounded(p, pi, tuple(v + 3 for v in p.values(pi))) for p, pi, _ in items), "16 processes, 8 sweeps each"
        ),
    )
