"""Returns, the Bellman equation and its two solutions (RL-01, RL-02, RL-03, RL-04)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from flint import fmpq

from proofs import under_test
from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.exact import Process, mean
from proofs.rl import chains
from proofs.rl.chains import HALF, numbers, show
from proofs.verdict import CONVENTION, FALSE, TRUE, true_if


def printed_return(rewards: Sequence[Any], discount: Any) -> Any:
    """The return of source 004 C1, Σ_{i=1}^t γ^{t−1} r_t: the summation index i occurs nowhere."""
    t = len(rewards)
    return sum((discount ** (t - 1) * rewards[t - 1] for _ in range(t)), fmpq(0))


def discounted(rewards: Sequence[Any], discount: Any) -> Any:
    """Σ_i γ^{i−1} r_i."""
    return sum((discount ** (i - 1) * r for i, r in enumerate(rewards, 1)), fmpq(0))


def markov(acting: int) -> Answer:
    """Whether s_2 depends on the past only through s_1 and a_`acting`, by enumerating s_0 a_0 s_1 a_1 s_2 a_2."""
    process, policy, _ = chains.family(1)[0]
    states, actions = range(process.n_states), [range(len(row)) for row in process.rewards]
    joint: dict[Any, fmpq] = {}
    for s0, s1, s2 in itertools.product(states, repeat=3):
        for a0, a1, a2 in itertools.product(actions[s0], actions[s1], actions[s2]):
            mass = process.initial[s0] * policy[s0][a0] * process.transitions[s0][a0][s1]
            mass *= policy[s1][a1] * process.transitions[s1][a1][s2] * policy[s2][a2]
            key = ((s1, (a0, a1, a2)[acting]), (s0, a0, a1), s2)
            joint[key] = joint.get(key, fmpq(0)) + mass
    laws: dict[Any, dict[Any, list[fmpq]]] = {}
    for (given, past, s2), mass in joint.items():
        laws.setdefault(given, {}).setdefault(past, [fmpq(0)] * len(states))[s2] += mass
    for given, pasts in laws.items():
        conditional = {
            past: tuple(mass / sum(masses, fmpq(0)) for mass in masses)
            for past, masses in pasts.items()
            if any(mass != 0 for mass in masses)
        }
        seen = set(map(show, conditional.values()))
        if len(seen) > 1:
            return Answer(False, f"given s₁, a={given}: the laws {' and '.join(sorted(seen)[:2])} of s₂")
    return Answer(True, f"one law of s₂ for each of {len(laws)} pairs, whatever came before")


@claim(
    "RL-01",
    source="004 C1",
    statement="The return is the sum of a trajectory's rewards, G = Σ γ^{t−1} r_t over i = 1 to t; the trajectory is "
    "s₀,a₀,s₁,r₁,a₁,…, and s_{t+1} depends on a_{t+1} and s_t.",
    formula="G = Σ_{i=1}^t γ^{t−1} r_t;  p(s_{t+1} | a_{t+1}, s_t, …) = p(s_{t+1} | a_{t+1}, s_t)",
    stated={"return": FALSE, "indices": CONVENTION},
    corrected="G = Σ_{i=1}^t γ^{i−1} r_i. Of the two numberings take (s_t, a_t, r_{t+1}, s_{t+1}), that of C2 and C7.",
    method="Q",
    derivation=(
        "Nothing in γ^{t−1} r_t depends on i, so the printed sum is t γ^{t−1} r_t.",
        "Rewards (1, 0), γ = 1/2: the sum is 2 · 1/2 · 0 = 0, although the first reward is 1. G = 1.",
        "With (s_t, a_t, r_{t+1}, s_{t+1}) the action a_t acts at s_t. The printed Markov property lets a_{t+1} act "
        "there; read with the numbering of C2 it is false, because a_{t+1} is chosen after s_{t+1} is seen.",
    ),
    twins={
        "the index put right": {"printed": discounted},
        "exponent i in the correction": {
            "right": lambda rewards, g: sum((g**i * r for i, r in enumerate(rewards, 1)), fmpq(0))
        },
        "discount dropped in the correction": {"right": lambda rewards, g: sum(rewards, fmpq(0))},
        "the next action acts": {"acting": 2},
        "the previous action acts": {"acting": 0},
    },
)
def rl_01(case: Case, *, printed: Any = printed_return, right: Any = discounted, acting: int = 1) -> None:
    """Both sums against the recursion G = r + γG'; the joint law of three states and actions."""

    def recursive(rewards: Sequence[Any], discount: Any) -> Any:
        return rewards[0] + discount * recursive(rewards[1:], discount) if rewards else fmpq(0)

    trials = [
        (numbers(1, 0), HALF),
        (numbers(3), fmpq(1, 3)),
        (numbers(1, -2, 5), fmpq(9, 10)),
        (numbers(0, 0, 0, 7), HALF),
    ]

    def same(formula: Callable[..., Any]) -> Answer:
        return every(
            Answer(
                formula(rewards, g) == recursive(rewards, g),
                f"rewards {show(rewards)}, γ={g}: {formula(rewards, g)}, by recursion {recursive(rewards, g)}",
            )
            for rewards, g in trials
        )

    case.claimed("Q", "the printed sum satisfies G = r₁ + γG'", same(printed), part="return")
    case.support(
        "Q",
        "the printed sum is t γ^{t−1} r_t",
        all(printed_return(r, g) == len(r) * g ** (len(r) - 1) * r[-1] for r, g in trials),
        part="return",
    )
    case.corrected("Q", "Σ γ^{i−1} r_i satisfies it", same(right), part="return")
    case.convention("Q", "the Markov property holds with a_t acting at s_t", markov(acting), part="indices")
    case.support("Q", "and fails with a_{t+1} acting at s_t", ~markov(2), part="indices")


def bellman(rewards: Any, moves: Any, policy: Any, discount: Any, values: Any) -> tuple[Any, ...]:
    """The right side of the Bellman equation: `rewards[s][a]` and `moves[s][a]` are the means of p(r|·) and p(s'|·)."""
    return tuple(
        mean(
            policy[s],
            [rewards[s][a] + discount * mean(moves[s][a], values) for a in range(len(policy[s]))],
        )
        for s in range(len(policy))
    )


#: One state: with probability 1/2 pay 1 and end, else pay 0 and stay. The reward tells exactly where one goes.
PAY_OR_STAY = (((("1", 1, HALF), ("0", 0, HALF)),), ((("0", 1, fmpq(1)),),))

#: Two states, two actions; (reward, next state, probability) with reward and next state dependent.
DEPENDENT = (
    (
        (("2", 0, fmpq(1, 4)), ("-1", 1, fmpq(3, 4))),
        (("1", 1, fmpq(1, 3)), ("0", 1, fmpq(1, 3)), ("5", 0, fmpq(1, 3))),
    ),
    ((("0", 0, HALF), ("4", 1, HALF)), (("-3", 1, fmpq(1)),)),
)


@claim(
    "RL-02",
    source="004 C2",
    statement="The state value satisfies the Bellman equation, with separate laws of the reward and of the next state.",
    formula="v_π(s) = Σ_a π(a|s) [Σ_r p(r|s,a) r + γ Σ_{s'} p(s'|s,a) v_π(s')]",
    stated=TRUE,
    corrected=(
        "It holds even where reward and next state are dependent given (s, a): only their means enter. It needs γ < 1 "
        "and bounded rewards, or proper termination; at γ = 1 a loop that pays has no value at all."
    ),
    method="Q",
    derivation=(
        "E[R + γG'|s,a] = E[R|s,a] + γE[G'|s,a] is linearity, which asks for no independence.",
        "Pay 1 and end, or pay 0 and stay, each with probability 1/2, γ = 1/2: v = 1/2 + γ v/2 gives v = 2/3.",
        "Counting trajectories: the reward comes at step k+1 with probability 2^{−k−1} and counts γ^k: "
        "Σ 2^{−k−1} 2^{−k} = (1/2)/(1 − 1/4) = 2/3.",
    ),
    twins={
        "discount dropped": {"equation": lambda r, p, pi, g, v: bellman(r, p, pi, 1, v)},
        "reward discounted": {
            "equation": lambda r, p, pi, g, v: bellman([[g * x for x in row] for row in r], p, pi, g, v)
        },
        "sign of the discount": {"equation": lambda r, p, pi, g, v: bellman(r, p, pi, -g, v)},
    },
)
def rl_02(case: Case, *, equation: Any = bellman) -> None:
    """Horizon by horizon: the mean return over all trajectories of the joint law against the equation's sweeps."""

    def marginals(joint: Any) -> tuple[Any, Any]:
        size = len(joint)
        rewards = [[sum((fmpq(int(r)) * p for r, _, p in outcomes), fmpq(0)) for outcomes in row] for row in joint]
        law = [[[sum((p for _, t, p in o if t == s), fmpq(0)) for s in range(size)] for o in row] for row in joint]
        return rewards, law

    def enumerated(joint: Any, policy: Any, discount: Any, state: int, horizon: int) -> fmpq:
        total, stack = fmpq(0), [(state, fmpq(1), fmpq(0), 0)]
        while stack:
            here, mass, collected, step = stack.pop()
            if step == horizon:
                total += mass * collected
                continue
            for action, outcomes in enumerate(joint[here]):
                for reward, following, p in outcomes:
                    gained = collected + discount**step * int(reward)
                    stack.append((following, mass * policy[here][action] * p, gained, step + 1))
        return total

    def agrees(joint: Any, policy: Any, discount: Any, horizons: int) -> Answer:
        rewards, law = marginals(joint)
        values = (fmpq(0),) * len(joint)
        for horizon in range(1, horizons + 1):
            values = equation(rewards, law, policy, discount, values)
            counted = tuple(enumerated(joint, policy, discount, s, horizon) for s in range(len(joint)))
            if values != counted:
                return Answer(False, f"horizon {horizon}: equation {show(values)}, trajectories {show(counted)}")
        return Answer(True, f"horizons 1 to {horizons}, last {show(values)}")

    policy = (numbers("1/4", "3/4"), numbers("2/5", "3/5"))
    case.claimed("Q", "mean over all trajectories, dependent reward and next state", agrees(DEPENDENT, policy, HALF, 5))
    always = ((fmpq(1),), (fmpq(1),))
    case.claimed("Q", "the same where one pays and ends or stays", agrees(PAY_OR_STAY, always, HALF, 10))
    rewards, law = marginals(PAY_OR_STAY)
    fixed = equation(rewards, law, always, HALF, numbers("2/3", 0))
    remainder = enumerated(PAY_OR_STAY, always, HALF, 0, 12) + fmpq(1, 4) ** 12 * fmpq(2, 3)
    case.claimed(
        "Q",
        "v = 2/3 solves the equation, and the trajectories sum to it",
        fixed == numbers("2/3", 0) and remainder == fmpq(2, 3),
        f"right side at 2/3: {fixed[0]}; twelve steps and the geometric rest: {remainder}",
    )
    case.corrected(
        "Q",
        "at γ = 1 a state that pays 1 and loops leaves v = 1 + v without a solution",
        chains.determinant(chains.one_minus(((fmpq(1),),), 1)) == 0,
    )


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
    case.comparison("Q", "reference.evaluation", under_test.policy_values())


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
