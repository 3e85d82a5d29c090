"""Temporal differences beside Monte Carlo, from the same data (RL-35)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from flint import fmpq

from proofs.claim import claim
from proofs.evidence import Case
from proofs.rl import chains
from proofs.rl.chains import numbers, show
from proofs.rl.td import critic_error
from proofs.verdict import FALSE

#: The batch of eight episodes (Sutton and Barto 2018, example 6.4): (state, reward) for each step.
BATCH = ((("A", 0), ("B", 0)), *((("B", 1),),) * 6, (("B", 0),))


def td_episode(rewards: Sequence[Any], step: Any, values: Any) -> chains.Vector:
    """TD(0), γ = 1, along one episode that visits states 0, 1, 2, … once each, in that order."""
    values = [*values, fmpq(0)]
    for s, reward in enumerate(rewards):
        values[s] += step * (reward + values[s + 1] - values[s])
    return tuple(values[:-1])


def monte_carlo_episode(rewards: Sequence[Any], step: Any, values: Any) -> chains.Vector:
    """The same with the sampled return as the target."""
    return tuple(v + step * (sum(rewards[s:], fmpq(0)) - v) for s, v in enumerate(values))


def batch_mean(episodes: Any) -> dict[str, fmpq]:
    """Batch Monte Carlo: the mean return after each state."""
    returns: dict[str, list[int]] = {}
    for episode in episodes:
        for i, (state, _) in enumerate(episode):
            returns.setdefault(state, []).append(sum(reward for _, reward in episode[i:]))
    return {state: fmpq(sum(seen), len(seen)) for state, seen in returns.items()}


def batch_td(episodes: Any) -> dict[str, fmpq]:
    """Batch TD(0): the values of the process that the counts describe, here A → B always and B → end."""
    pays = [reward for episode in episodes for state, reward in episode if state == "B"]
    value = fmpq(sum(pays), len(pays))
    leaving = [reward for episode in episodes for state, reward in episode if state == "A"]
    return {"A": fmpq(sum(leaving), len(leaving)) + value, "B": value}


@claim(
    "RL-35",
    source="004 C7",
    statement="Temporal differences estimate values more efficiently than Monte Carlo.",
    formula="from the same data the TD estimate is at least as close to v_π as the Monte Carlo estimate",
    stated=FALSE,
    corrected=(
        "Neither dominates: after one episode of a chain Monte Carlo is exact where TD(0) has reached one state; on "
        "the A/B batch TD(0) has the value of the process that the counts describe, and Monte Carlo has not."
    ),
    method="Q",
    derivation=(
        "Chain 0 → 1 → 2 → end, reward 1 at the end, γ = 1, so v = (1,1,1). One episode, α = 1, from v = 0: TD(0) "
        "gives (0,0,1), because each state copies its successor's old value; the returns are (1,1,1).",
        "Batch: A,0,B,0; six times B,1; once B,0. The return after A was 0, so Monte Carlo says V(A) = 0.",
        "TD(0) says V(B) = 6/8 and V(A) = 0 + V(B) = 3/4, the value in the process with the observed frequencies.",
    ),
    twins={
        "learn from the end backwards": {"episode": monte_carlo_episode},
        "sign of the TD error": {"episode": lambda r, step, values: td_episode(r, -step, values)},
        "every return of the batch counted for A": {"batch": lambda e: {"A": fmpq(3, 4), "B": fmpq(3, 4)}},
        "batch TD without the value of B": {"bootstrap": lambda e: {"A": fmpq(0), "B": fmpq(3, 4)}},
    },
)
def rl_35(case: Case, *, episode: Any = td_episode, batch: Any = batch_mean, bootstrap: Any = batch_td) -> None:
    """One episode of the chain; the batch of eight episodes."""
    rewards, zero = numbers(0, 0, 1), numbers(0, 0, 0)
    line = chains.process([[[0, 1, 0]], [[0, 0, 1]], [[0, 0, 0]]], [[0], [0], [1]], 1)
    truth = line.values(chains.uniform(line))
    online, sampled = episode(rewards, fmpq(1), zero), monte_carlo_episode(rewards, fmpq(1), zero)
    errors = [tuple(abs(x - y) for x, y in zip(found, truth, strict=True)) for found in (online, sampled)]
    case.claimed(
        "Q",
        "after one episode of the chain TD(0) is at least as close as Monte Carlo",
        all(x <= y for x, y in zip(*errors, strict=True)),
        f"v={show(truth)}, TD(0) {show(online)}, Monte Carlo {show(sampled)}",
    )
    case.corrected(
        "Q", "there TD(0) has (0,0,1) and Monte Carlo is exact", online == numbers(0, 0, 1) and sampled == truth
    )
    counts = chains.process([[[0, 1]], [[0, 0]]], [[0], ["3/4"]], 1)
    described = dict(zip("AB", counts.values(chains.uniform(counts)), strict=True))
    found, means = bootstrap(BATCH), batch(BATCH)
    sums = dict.fromkeys("AB", fmpq(0))
    for steps in BATCH:
        for (state, reward), (following, _) in itertools.zip_longest(steps, steps[1:], fillvalue=("", 0)):
            sums[state] += critic_error(reward, 1, found.get(following, fmpq(0)), found[state])
    case.corrected(
        "Q",
        "on the batch the TD errors of TD(0) sum to 0, and it has the values of the counted process",
        all(total == 0 for total in sums.values()) and found == described,
        f"V(A)={found['A']}, V(B)={found['B']}",
    )
    case.corrected(
        "Q",
        "Monte Carlo has another V(A) there",
        means["A"] == 0 and means["A"] != described["A"] and means["B"] == described["B"],
        f"V(A)={means['A']}, V(B)={means['B']}",
    )
