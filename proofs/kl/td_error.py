"""The TD error in the place of the advantage (KL-07)."""

from __future__ import annotations

from typing import Any

import sympy
from flint import fmpq

from proofs import balls, exact, instances
from proofs.arithmetic import exp
from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.exact import LogNumber, Process
from proofs.symbolic import equal, real
from proofs.verdict import true_if


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
