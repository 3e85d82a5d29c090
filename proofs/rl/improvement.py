"""What state values alone can and cannot improve, and heads for continuous actions (RL-32, RL-33)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flint import fmpq

from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.rl import chains, iteration
from proofs.rl.chains import HALF, numbers, show
from proofs.verdict import FALSE, THEOREM, true_if

#: Two bandits that no state value under the uniform policy tells apart.
MIRRORED = (chains.moves([[0, 0]], [[0, 1]], HALF), chains.moves([[0, 0]], [[1, 0]], HALF))

#: A pair that it does tell apart.
UNEQUAL = (MIRRORED[0], chains.moves([[0, 0]], [[2, 0]], HALF))

#: Staying earns 0; moving on leads to a state that pays 1 for ever.
STAYING = chains.moves([[0, 1], [1, 1]], [[0, 0], [1, 1]], HALF)


@claim(
    "RL-33",
    source="004 C7",
    statement="(Companion.) State values alone cannot improve a policy.",
    formula="bandits r = (0,1) and r = (1,0): v_π equal under the uniform π, argmax_a q opposite",
    stated=THEOREM,
    corrected="q, or v with a model, tells them apart.",
    method="Q",
    derivation=(
        "Under the uniform policy both bandits earn 1/2 per step: v = (1/2)/(1−γ), which is 1 for γ = 1/2.",
        "The best action is the second in one and the first in the other. A rule that sees v alone chooses the same "
        "action in both, and so is wrong in one of them.",
    ),
    twins={
        "the same bandit twice": {"pair": (MIRRORED[0], MIRRORED[0])},
        "rewards (0,1) and (2,0)": {"pair": UNEQUAL},
        "a policy that prefers one action": {"policy": lambda: (numbers("1/3", "2/3"),)},
    },
)
def rl_33(case: Case, *, pair: Any = MIRRORED, policy: Any = lambda: (numbers("1/2", "1/2"),)) -> None:
    """Values, action values and best actions of the two bandits."""
    values = [process.values(policy()) for process in pair]
    best = [chains.greedy(process, chains.optimum(process)) for process in pair]
    case.theorem("Q", "the state values are equal", values[0] == values[1], f"v = {values[0][0]} and {values[1][0]}")
    case.theorem(
        "Q", "the optimal actions are opposite", best[0] != best[1], f"action {best[0][0]} and action {best[1][0]}"
    )
    q = [chains.backup(process, v)[0] for process, v in zip(pair, values, strict=True)]
    case.corrected(
        "Q",
        "q tells them apart",
        [row.index(max(row)) for row in q] == [actions[0] for actions in best],
        f"q = {show(q[0])} and {show(q[1])}",
    )


def softmax_probability(low: Any, high: Any) -> Any:
    """What a softmax head over 16 actions in the middle of 16 cells of [0, 1] gives to an open interval."""
    atoms = [fmpq(2 * i + 1, 32) for i in range(16)]
    return fmpq(sum(low < atom < high for atom in atoms), 16)


@claim(
    "RL-32",
    source=("004 C7", "004 C9"),
    statement="TD of state values can only evaluate a policy, not improve it; a softmax head can handle a continuous "
    "action space.",
    formula="no improvement from v;  π(·|s) = softmax(f(s;θ)) on a continuous A",
    stated={"TD cannot improve": true_if("there is no model, and v alone is learned"), "softmax head": FALSE},
    corrected=(
        "With P and r known, greedy lookahead on v improves the policy. A softmax is a law on finitely many actions; a "
        "continuous action space needs a density (or a deterministic policy, as in DPG)."
    ),
    method="Q",
    derivation=(
        "Without a model: the two bandits of RL-33 give the same v, and every rule that sees v alone fails in one.",
        "With a model, q(s,a) = r + γE[v(s')] is computed from v, and greedy improvement applies (RL-08).",
        "A softmax over n actions puts its mass 1 on n points, so the rest of [0,1] has the probability 0: an interval "
        "between two of the points is never entered, whatever the logits.",
        "A density on [0,1] gives every interval a positive probability.",
    ),
    twins={
        "bandits that v tells apart": {"pair": UNEQUAL},
        "the model is not used": {"improve": lambda process, actions, values: actions},
        "a density for the head": {"head": lambda low, high: high - low},
        "the correction is another softmax": {"density": softmax_probability},
    },
)
def rl_32(
    case: Case,
    *,
    pair: Any = MIRRORED,
    improve: Any = iteration.improved,
    head: Any = softmax_probability,
    density: Any = lambda low, high: high - low,
) -> None:
    """Every rule that sees v alone, on two bandits; lookahead with the model; the intervals between 16 actions."""
    values = [process.values(chains.uniform(process)) for process in pair]

    def improves(rule: Sequence[int]) -> bool:
        """Whether the chosen actions are better than the uniform policy in both bandits."""
        acting = [process.values(chains.pure(process, (action,))) for process, action in zip(pair, rule, strict=True)]
        return all(after[0] > before[0] for before, after in zip(values, acting, strict=True))

    # A rule sees v alone: where the values are equal it has to choose the same action in both.
    rules = [(a, b) for a in (0, 1) for b in (0, 1) if values[0] != values[1] or a == b]
    case.within(
        "Q",
        "no rule that sees v alone improves on the uniform policy in both bandits",
        not any(improves(rule) for rule in rules),
        f"v = {show(values[0])} and {show(values[1])}, {len(rules)} rules",
        part="TD cannot improve",
    )
    start = (0, 0)
    before = iteration.evaluated(STAYING, start)
    after = iteration.evaluated(STAYING, improve(STAYING, start, before))
    case.outside(
        "Q",
        "with the model known, nothing better than the evaluated policy follows from v",
        before == after,
        f"values {show(before)} → {show(after)} by greedy lookahead",
        part="TD cannot improve",
    )
    gaps = [(fmpq(2 * i + 1, 32), fmpq(2 * i + 3, 32)) for i in range(15)]
    case.claimed(
        "Q",
        "a softmax head enters every interval of [0, 1] with a positive probability",
        every(Answer(head(*gap) > 0, f"16 actions: probability {head(*gap)} of ({gap[0]}, {gap[1]})") for gap in gaps),
        part="softmax head",
    )
    case.corrected(
        "Q",
        "a density enters each of them, and has the mass 1",
        all(density(*gap) > 0 for gap in gaps) and density(fmpq(0), fmpq(1)) == 1,
        part="softmax head",
    )
