"""Learning action values (RL-16, RL-18)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flint import fmpq

from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.exact import Process, mean
from proofs.rl import chains
from proofs.rl.chains import HALF, numbers, show
from proofs.rl.td import action_values
from proofs.verdict import CONVENTION, FALSE, true_if

Pairs = Mapping[tuple[int, int], Any]


def by_pair(process: Process, q: Sequence[Any]) -> dict[tuple[int, int], Any]:
    """Action values as a table."""
    return dict(zip(process.pairs, q, strict=True))


def state_mean(process: Process, policy: chains.Matrix, q: Pairs, state: int) -> Any:
    """E_{A~π} q(state, A)."""
    return mean(policy[state], [q[state, a] for a in range(len(policy[state]))])


def given_pair(process: Process, policy: chains.Matrix, q: Pairs, s: int, a: int) -> Any:
    """E[R + γE_A q(S',A) | s, a]."""
    return process.backup(s, a, [state_mean(process, policy, q, t) for t in range(process.n_states)])


def given_state(process: Process, policy: chains.Matrix, q: Pairs, s: int, a: int) -> Any:
    """E[R + γE_A q(S',A) | s], as printed: the action is averaged over as well."""
    return mean(policy[s], [given_pair(process, policy, q, s, b) for b in range(len(policy[s]))])


def removed_variance(process: Process, policy: chains.Matrix, q: Pairs, s: int, a: int) -> Any:
    """γ² E Var_π(q(S',·))."""
    total = fmpq(0)
    for t, probability in enumerate(process.transitions[s][a]):
        centre = state_mean(process, policy, q, t)
        total += probability * mean(policy[t], [(q[t, b] - centre) ** 2 for b in range(len(policy[t]))])
    return process.discount**2 * total


@claim(
    "RL-16",
    source="004 C7",
    statement="Expected Sarsa solves q_π(s,a) = E[R + γE[q_k(S',A)] | s].",
    formula="q_π(s,a) = E[R + γE_A q_k(S',A) | s]",
    stated=FALSE,
    corrected=(
        "q_π(s,a) = E[R + γE_A q_π(S',A) | s, a]: given the pair, and with q_π inside, not the iterate q_k. The target "
        "has the mean of Sarsa's and lacks the variance γ²E Var_π(q(S',·)). E_A q_k(s',A) = v_k(s') by definition."
    ),
    method="Q",
    derivation=(
        "Given s alone the right side does not depend on a. Bandit with rewards (0,1), γ = 0: it is 1/2 for both.",
        "Given (s,a): E[R + γE_A q_π(S',A)|s,a] is the Bellman equation of q_π.",
        "Sarsa's target r + γq(s',A') has this mean given s'; around it A' adds γ²Var_π(q(s',·)).",
        "π = (1/4, 3/4), q(s',·) = (0, 4): variance 16 · 3/16 = 3, so Sarsa has 3γ² more.",
    ),
    twins={
        "given the pair": {"right_side": given_pair},
        "gamma in place of its square": {
            "removed": lambda p, pi, q, s, a: removed_variance(p, pi, q, s, a) / p.discount
        },
        "the correction keeps an iterate in place of q_π": {
            "inner": lambda p, pi: by_pair(p, [q + i for i, q in enumerate(action_values(p, pi))])
        },
        "second moment in place of the variance": {
            "removed": lambda p, pi, q, s, a: (
                p.discount**2
                * sum(
                    (
                        m * mean(pi[t], [q[t, b] ** 2 for b in range(len(pi[t]))])
                        for t, m in enumerate(p.transitions[s][a])
                    ),
                    fmpq(0),
                )
            )
        },
    },
)
def rl_16(
    case: Case,
    *,
    right_side: Any = given_state,
    removed: Any = removed_variance,
    inner: Any = lambda process, policy: by_pair(process, action_values(process, policy)),
) -> None:
    """The bandit; the Bellman equation of q_π; mean and variance of both targets over all outcomes."""
    bandit = chains.moves([[0, 0]], [[0, 1]], 0)
    policy = chains.uniform(bandit)
    truth = by_pair(bandit, action_values(bandit, policy))
    seen = {pair: right_side(bandit, policy, truth, *pair) for pair in bandit.pairs}
    case.claimed(
        "Q",
        "bandit with rewards (0,1): the right side is q_π",
        seen == truth,
        f"right side {show(tuple(seen.values()))}, q_π={show(tuple(truth.values()))}",
    )
    items = chains.family(10, 16)

    def solves(process: Process, pi: Any) -> Answer:
        q = by_pair(process, action_values(process, pi))
        inside = inner(process, pi)
        found = {pair: given_pair(process, pi, inside, *pair) for pair in process.pairs}
        return Answer(found == q, f"{found[0, 0]} and {q[0, 0]} at the first pair")

    case.corrected("Q", "given (s,a), with q_π inside, it is q_π", every(solves(p, pi) for p, pi, _ in items))

    def moments(process: Process, pi: Any, q: Pairs, s: int, a: int) -> tuple[Any, Any, Any, Any]:
        """Mean and variance of Sarsa's target, then of Expected Sarsa's, over next state and next action."""
        masses, sampled, averaged = [], [], []
        for t, probability in enumerate(process.transitions[s][a]):
            for b, chosen in enumerate(pi[t]):
                masses.append(probability * chosen)
                sampled.append(process.rewards[s][a] + process.discount * q[t, b])
                averaged.append(process.rewards[s][a] + process.discount * state_mean(process, pi, q, t))
        result = []
        for target in (sampled, averaged):
            centre = mean(masses, target)
            result += [centre, mean(masses, [(x - centre) ** 2 for x in target])]
        return result[0], result[1], result[2], result[3]

    def reduces(process: Process, pi: Any, q: Pairs, s: int, a: int) -> Answer:
        m1, v1, m2, v2 = moments(process, pi, q, s, a)
        less = removed(process, pi, q, s, a)
        return Answer(m1 == m2 and v1 - v2 == less, f"means {m1}, {m2}; variances {v1}, {v2}; formula {less}")

    case.corrected(
        "Q",
        "the mean of Sarsa's target, with γ²E Var_π(q(S',·)) less variance",
        every(
            reduces(p, pi, by_pair(p, action_values(p, other)), s, a) for p, pi, other in items[:5] for s, a in p.pairs
        ),
    )
    two = chains.moves([[1, 1], [1, 1]], [[0, 0], [0, 0]], HALF)
    skewed = (numbers("1/2", "1/2"), numbers("1/4", "3/4"))
    table = by_pair(two, numbers(0, 0, 0, 4))
    _, variance, _, rest = moments(two, skewed, table, 0, 0)
    case.corrected(
        "Q",
        "π = (1/4, 3/4), q(s',·) = (0, 4), γ = 1/2: Sarsa's variance is 3γ², Expected Sarsa's 0",
        variance == 3 * HALF**2 and rest == 0 and removed(two, skewed, table, 0, 0) == variance,
        f"{variance} and {rest}",
    )


def state_means(process: Process, q: Sequence[Any]) -> list[Any]:
    """The plain mean over actions in each state."""
    table, policy = by_pair(process, q), chains.uniform(process)
    return [state_mean(process, policy, table, t) for t in range(process.n_states)]


def q_target(process: Process, q: Sequence[Any]) -> chains.Vector:
    """r + γE max_a q(S',a) for each pair."""
    table = by_pair(process, q)
    best = [max(table[t, b] for b in range(len(process.rewards[t]))) for t in range(process.n_states)]
    return tuple(process.backup(s, a, best) for s, a in process.pairs)


def q_step(process: Process, q: Sequence[Any], weights: Sequence[Any], step: Any) -> chains.Vector:
    """The expected step of Q-learning when pair i is drawn with probability weights[i]."""
    return tuple(x + step * d * (y - x) for x, d, y in zip(q, weights, q_target(process, q), strict=True))


def largest(process: Process, q: Pairs, state: int) -> list[Any]:
    """What Q-learning bootstraps on, for each action that may be taken next: always the largest."""
    row = [q[state, b] for b in range(len(process.rewards[state]))]
    return [max(row)] * len(row)


def visiting_rate(process: Process, step: Any, least: Any) -> Any:
    """1 − α d_min (1 − γ)."""
    return 1 - step * least * (1 - process.discount)


@claim(
    "RL-18",
    source="004 C7",
    statement="Q-learning solves the Bellman optimality equation from the data of any behaviour policy; a method whose "
    "behaviour and target policies differ is off-policy.",
    formula="q(s,a) = E[R + γ max_a q(S',a) | s, a];  off-policy ⇔ behaviour ≠ target",
    stated={"limit": true_if("every (s, a) keeps being visited"), "off-policy": CONVENTION},
    corrected=(
        "The expected update contracts towards q* with the modulus 1 − α d_min(1−γ), for every law d > 0 of the data. "
        "A pair that is never visited keeps its initial value for ever. The name is a convention: Q-learning may also "
        "run on the data of its own ε-greedy policy, with the same target."
    ),
    method="P",
    derivation=(
        "Expected step at pair i: q_i + αd_i((Hq)_i − q_i), where H has the modulus γ and the fixed point q*.",
        "|new_i − q*_i| ≤ (1 − αd_i)|q_i − q*_i| + αd_iγ‖q − q*‖ ≤ (1 − αd_i(1−γ))‖q − q*‖.",
        "With d_i = 0 the step at i is nothing: q_i never changes, whatever its value.",
    ),
    twins={
        "mean in place of the maximum": {
            "advance": lambda p, q, d, a: tuple(
                x + a * w * (p.backup(*pair, state_means(p, q)) - x) for x, w, pair in zip(q, d, p.pairs, strict=True)
            )
        },
        "sign of the step": {"advance": lambda p, q, d, a: q_step(p, q, d, -a)},
        "rate without 1 - gamma": {"rate": lambda p, a, least: 1 - a * least},
        "rate with the largest probability": {"rate": lambda p, a, least: 1 - a * (1 - p.discount)},
        "a law that visits all pairs": {"law": lambda p: (fmpq(1, len(p.pairs)),) * len(p.pairs)},
        "bootstrap on the action that is taken": {
            "bootstrap": lambda p, q, t: [q[t, b] for b in range(len(p.rewards[t]))]
        },
    },
)
def rl_18(
    case: Case,
    *,
    advance: Any = q_step,
    rate: Any = visiting_rate,
    law: Any = lambda process: numbers(0, *(1,) * (len(process.pairs) - 1)),
    bootstrap: Any = largest,
) -> None:
    """Expected steps under two laws of the data; a law that leaves out one pair."""
    items = chains.family(16, 18)
    step = HALF

    def optimal_pairs(process: Process) -> chains.Vector:
        return tuple(q for row in chains.backup(process, chains.optimum(process)) for q in row)

    def contracts(process: Process, policy: Any) -> Answer:
        truth, count = optimal_pairs(process), len(process.pairs)
        laws = [
            tuple(fmpq(1, process.n_states) * policy[s][a] for s, a in process.pairs),
            tuple(fmpq(2 * (i + 1), count * (count + 1)) for i in range(count)),
        ]
        for weights in laws:
            if advance(process, truth, weights, step) != truth:
                return Answer(False, f"q* moves under the law {show(weights[:3])}…")
            for start in (tuple(q + 1 for q in truth), tuple(q + (3 * i) % 5 - 2 for i, q in enumerate(truth))):
                seen = chains.distance(advance(process, start, weights, step), truth)
                limit = rate(process, step, min(weights)) * chains.distance(start, truth)
                if seen > limit:
                    return Answer(False, f"distance {seen} > {limit}")
        return Answer(True)

    case.within(
        "P",
        "under two laws that visit every pair, q* stays and the distance shrinks by 1 − αd_min(1−γ)",
        every(contracts(p, pi) for p, pi, _ in items),
        part="limit",
    )

    def learns(process: Process) -> Answer:
        truth, weights = optimal_pairs(process), law(process)
        q = tuple(x + 3 for x in truth)
        first = q[0]
        for _ in range(3):
            q = q_step(process, q, weights, step)
        return Answer(q[0] != first, f"pair (0,0): still {q[0]} after 3 steps, q* = {truth[0]}")

    case.outside(
        "P", "with the pair (0,0) unvisited it is learned", every(learns(p) for p, _, _ in items), part="limit"
    )

    def same_target(process: Process, policy: Any, other: Any) -> Answer:
        q = by_pair(process, action_values(process, policy))
        greedy = chains.pure(process, chains.greedy(process, process.values(policy)))
        states, seen = range(process.n_states), set()
        for acting in (policy, other, greedy):
            following = [mean(acting[t], bootstrap(process, q, t)) for t in states]
            seen.add(show([process.backup(s, a, following) for s, a in process.pairs]))
        return Answer(len(seen) == 1, f"{len(seen)} mean targets under three behaviours")

    case.convention(
        "P",
        "given the pair, the mean target is the same whoever acts next: another policy, or the greedy one itself",
        every(same_target(*item) for item in items),
        part="off-policy",
    )
