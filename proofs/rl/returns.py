"""Returns and the Bellman equation (RL-01, RL-02)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from flint import fmpq

from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.exact import mean
from proofs.literal import course_return
from proofs.rl import chains
from proofs.rl.chains import HALF, numbers, show
from proofs.verdict import CONVENTION, FALSE, TRUE


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
def rl_01(case: Case, *, printed: Any = course_return, right: Any = discounted, acting: int = 1) -> None:
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
        all(course_return(r, g) == len(r) * g ** (len(r) - 1) * r[-1] for r, g in trials),
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
