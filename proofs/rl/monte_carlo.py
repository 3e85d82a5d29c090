"""Monte Carlo evaluation and ε-greedy policies (RL-10, RL-11)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flint import fmpq

from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.exact import Process
from proofs.literal import course_epsilon_greedy
from proofs.rl import chains, iteration
from proofs.rl.chains import show
from proofs.symbolic import equal, positive
from proofs.verdict import TRUE, true_if


def first_visit(lengths: Sequence[int]) -> fmpq:
    """The mean over episodes of the return after the first visit; every step pays 1."""
    return fmpq(sum(lengths), len(lengths))


def every_visit(lengths: Sequence[int]) -> fmpq:
    """The mean over all visits of all episodes: an episode of L steps has the returns L, L − 1, …, 1."""
    return fmpq(sum(length * (length + 1) // 2 for length in lengths), sum(lengths))


def compositions(total: int, parts: int) -> Any:
    """All ways to split `total` steps into `parts` episodes of at least one step."""
    if parts == 1:
        yield (total,)
        return
    for first in range(1, total - parts + 2):
        for rest in compositions(total - first, parts - 1):
            yield (first, *rest)


def mean_given(estimator: Any, total: int, episodes: int) -> fmpq:
    """The mean of an estimator given the total number of steps: all compositions are equally likely."""
    values = [estimator(lengths) for lengths in compositions(total, episodes)]
    return sum(values, fmpq(0)) / len(values)


def expected(estimator: Any, episodes: int) -> tuple[fmpq, bool]:
    """The exact mean of an estimator, and whether its mean given n steps is affine in n, which this uses.

    P(n) = C(n−1, N−1) 2^{−n} has mean 2N. The line is drawn through n = N and N + 1 and verified on the next five.
    """
    low, high = (mean_given(estimator, episodes + i, episodes) for i in (0, 1))
    affine = all(mean_given(estimator, episodes + i, episodes) == low + (high - low) * i for i in range(2, 7))
    return low + (high - low) * episodes, affine


def truncation(g: Any, steps: int, largest: Any) -> Any:
    """γ^T r_max/(1−γ)."""
    return g**steps * largest / (1 - g)


@claim(
    "RL-10",
    source="004 C5",
    statement="The mean of sampled returns estimates the value; a trajectory may be used at its first or at every "
    "visit; estimation in the place of evaluation gives MC-basic.",
    formula="q_π(s,a) ≈ (1/N) Σ g^{(i)}(s,a)",
    stated={
        "first visit": TRUE,
        "every visit": true_if("N → ∞ (it is consistent; for finite N it is biased)"),
        "MC-basic": true_if("q is exact (then it is policy iteration)"),
    },
    corrected=(
        "First visits are unbiased for every N. Every visit has the mean (2N+1)/(N+1) in the example, not 2. Cutting "
        "returns after T steps biases by at most γ^T r_max/(1−γ). That MC-ES with improvement during collection "
        "converges does not follow from the text (known under extra conditions only)."
    ),
    method="Q",
    derivation=(
        "Continue with probability 1/2, reward 1 for each step, γ = 1: V = 1 + V/2 = 2. First-visit returns are "
        "independent with mean V.",
        "Every visit, one episode of L steps: (L + (L−1) + … + 1)/L = (L+1)/2, of mean (2+1)/2 = 3/2.",
        "Given n steps in N episodes all compositions of n are equally likely, and the mean is (n+1)/(N+1). E[n] = 2N: "
        "(2N+1)/(N+1), which is 3/2, 5/3, 7/4, … → 2.",
    ),
    twins={
        "first visit also counts the others": {"first": every_visit},
        "every visit weighted by episode": {
            "visits": lambda lengths: sum((fmpq(n + 1, 2) for n in lengths), fmpq(0)) / len(lengths)
        },
        "every visit counts the first only": {"visits": first_visit},
        "truncation: 1 - gamma dropped": {"cut": lambda g, steps, largest: g**steps * largest},
        "truncation: one power more": {"cut": lambda g, steps, largest: g ** (steps + 1) * largest / (1 - g)},
        "limit of every visit": {"limit": lambda n: (2 * n + 1) / (n + 2)},
    },
)
def rl_10(
    case: Case,
    *,
    first: Any = first_visit,
    visits: Any = every_visit,
    cut: Any = truncation,
    limit: Any = lambda n: (2 * n + 1) / (n + 1),
) -> None:
    """All compositions of the steps into episodes; truncated returns; MC-basic beside policy iteration."""
    counts = (1, 2, 3, 4)

    def unbiased(estimator: Any, episodes: int) -> Answer:
        found, affine = expected(estimator, episodes)
        return Answer(found == 2 if affine else None, f"N={episodes}: mean {found}, value 2")

    case.claimed("Q", "first visits have the mean 2", every(unbiased(first, n) for n in counts), part="first visit")

    def biased(process: Process, policy: Any) -> Answer:
        values, largest = (fmpq(0),) * process.n_states, max(abs(r) for row in process.rewards for r in row)
        truth = process.values(policy)
        for steps in range(1, 7):
            values = chains.evaluation(process, policy, values)
            if chains.distance(values, truth) > cut(process.discount, steps, largest):
                return Answer(False, f"after {steps} steps {chains.distance(values, truth)}")
        return Answer(True)

    paying = chains.moves([[0]], [[1]], "2/3")
    case.corrected(
        "Q",
        "returns cut after T steps: bias at most γ^T r_max/(1−γ), with equality where each step pays the same",
        every([*(biased(p, pi) for p, pi, _ in chains.family(12, 10)), biased(paying, chains.uniform(paying))]),
        part="first visit",
    )
    means = [expected(visits, n) for n in counts]
    case.within(
        "Q",
        "every visit: the mean is (2N+1)/(N+1), within 1/(N+1) of 2",
        all(affine and found == limit(fmpq(n)) for n, (found, affine) in zip(counts, means, strict=True))
        and all(abs(limit(fmpq(n)) - 2) <= fmpq(1, n + 1) for n in (1, 10, 10**3, 10**6)),
        f"N=1 to 4: {', '.join(str(found) for found, _ in means)}; N=10⁶: {limit(fmpq(10**6))}",
        part="every visit",
    )
    case.outside(
        "Q", "every visit, one or two episodes", every(unbiased(visits, n) for n in (1, 2)), part="every visit"
    )

    def same_steps(process: Process) -> Answer:
        actions = (0,) * process.n_states
        for _ in range(6):
            rows, rewards = chains.state_action(process, chains.pure(process, actions))
            q = dict(
                zip(
                    process.pairs,
                    chains.apply(chains.inverse(chains.one_minus(rows, process.discount)), rewards),
                    strict=True,
                )
            )
            best = [max(q[s, a] for a in range(len(process.rewards[s]))) for s in range(process.n_states)]
            chosen = tuple(
                a if q[s, a] == best[s] else next(b for b in range(len(process.rewards[s])) if q[s, b] == best[s])
                for s, a in enumerate(actions)
            )
            expected_step = iteration.improved(process, actions, iteration.evaluated(process, actions))
            if chosen != expected_step:
                return Answer(False, f"{actions} → {chosen}, policy iteration {expected_step}")
            actions = chosen
        return Answer(iteration.evaluated(process, actions) == chains.optimum(process))

    case.within(
        "Q",
        "with exact q each step is that of policy iteration",
        every(same_steps(process) for process, _, _ in chains.family(8, 10)),
        part="MC-basic",
    )
    late = iteration.LATE
    before, after = (iteration.evaluated(late, actions) for actions in ((0, 0, 0), (1, 0, 0)))
    one_step = chains.backup(late, iteration.swept_once(late, (0, 0, 0)))[0]
    case.outside(
        "Q",
        "with returns cut after two steps the step does not lower the values",
        one_step[1] <= one_step[0] or all(y >= x for x, y in zip(before, after, strict=True)),
        f"q(0,·)={show(one_step)} chooses action 1; values {show(before)} → {show(after)}",
        part="MC-basic",
    )


def soft_improvement(process: Process, values: Any, epsilon: Any) -> chains.Matrix:
    """The ε-greedy policy for the lookahead on `values`, ties broken to the first action."""
    rows = []
    for row in chains.backup(process, values):
        best, n = row.index(max(row)), len(row)
        rows.append(tuple(course_epsilon_greedy(epsilon, n) if a == best else epsilon / n for a in range(n)))
    return tuple(rows)


def soft_optimum(process: Process, epsilon: Any) -> tuple[chains.Matrix, chains.Vector]:
    """The best ε-soft policy and its values, by policy iteration within the ε-soft policies."""
    policy = chains.uniform(process)
    while True:
        values = process.values(policy)
        better = soft_improvement(process, values, epsilon)
        after = process.values(better)
        if after == values:
            return better, values
        policy = better


#: State 0: action 0 leads to state 1, whose actions pay 1 and −10; action 1 pays 1/2. A row of zeros ends the episode.
DETOUR = chains.process([[[0, 1], [0, 0]], [[0, 0], [0, 0]]], [[0, "1/2"], [1, -10]], 1)


@claim(
    "RL-11",
    source="004 C5",
    statement="The ε-greedy policy gives the greedy action 1 − (ε/n)(n−1) and each other action ε/n; with it Monte "
    "Carlo control finds the optimal policy.",
    formula="π(a*|s) = 1 − (ε/n)(n−1),  π(a|s) = ε/n otherwise",
    stated={"formula": TRUE, "converges to the optimal policy": true_if("ε → 0")},
    corrected=(
        "1 − (ε/n)(n−1) = 1 − ε + ε/n, and ties have to be broken to one action. With ε fixed, improvement holds "
        "within the ε-soft policies, and their optimum may differ from the optimal policy even in its greedy action."
    ),
    method="S+Q",
    derivation=(
        "1 − (ε/n)(n−1) + (n−1)(ε/n) = 1; and 1 − ε + ε/n exceeds ε/n by 1 − ε ≥ 0.",
        "For an ε-soft π, Σ_a π(a|s) q − (ε/n) Σ_a q is (1−ε) times a mean of q: at most (1−ε) max_a q. So the "
        "ε-greedy policy improves every ε-soft one.",
        "ε = 1/5: action a leads to a choice between 1 and −10, worth (9/10) · 1 − (1/10) · 10 = −1/10 to an ε-soft "
        "policy; b pays 1/2. The best ε-soft policy prefers b, the optimal one a.",
        "In general a is worth 1 − 11ε/2, which exceeds 1/2 for ε < 1/11.",
    ),
    twins={
        "n in place of n-1": {"greedy": lambda e, n: 1 - e / n * n},
        "epsilon for each other action": {"other": lambda e, n: e},
        "plus sign": {"greedy": lambda e, n: 1 + e / n * (n - 1)},
        "epsilon small from the start": {"fixed": lambda: fmpq(1, 20)},
        "epsilon that stays": {"schedule": lambda k: fmpq(1, 5)},
    },
)
def rl_11(
    case: Case,
    *,
    greedy: Any = course_epsilon_greedy,
    other: Any = lambda epsilon, n: epsilon / n,
    fixed: Any = lambda: fmpq(1, 5),
    schedule: Any = lambda k: fmpq(1, 12 * 2**k),
) -> None:
    """Symbols for the formula; exact policy iteration within the ε-soft policies."""
    epsilon, n = positive("epsilon n")
    case.claimed(
        "S", "the probabilities sum to one", equal(greedy(epsilon, n) + (n - 1) * other(epsilon, n), 1), part="formula"
    )
    case.claimed(
        "S",
        "the greedy action has 1 − ε + ε/n, which exceeds ε/n by 1 − ε",
        equal(greedy(epsilon, n) - other(epsilon, n), 1 - epsilon),
        part="formula",
    )
    two_best = 2 * course_epsilon_greedy(epsilon, n) + (n - 2) * epsilon / n
    case.corrected(
        "S", "two greedy actions at once would have the sum 2 − ε", equal(two_best, 2 - epsilon), part="formula"
    )

    def improves(process: Process, seed: Any) -> Answer:
        e = fmpq(1, 3)
        soft = tuple(tuple((1 - e) * p + e / len(row) for p in row) for row in seed)
        values = process.values(soft)
        after = process.values(soft_improvement(process, values, e))
        return Answer(all(y >= x for x, y in zip(values, after, strict=True)), f"{show(values)} → {show(after)}")

    case.corrected(
        "Q",
        "ε-greedy improves every ε-soft policy",
        every(improves(process, policy) for process, policy, _ in chains.family(16, 11)),
        part="converges to the optimal policy",
    )

    def optimal_action(e: Any) -> Answer:
        policy, values = soft_optimum(DETOUR, e)
        return Answer(policy[0][0] > policy[0][1], f"ε={e}: state 1 is worth {values[1]}, b pays 1/2")

    def gap(e: Any) -> Any:
        return 1 - soft_optimum(DETOUR, e)[1][0]

    falling = [schedule(k) for k in range(0, 12, 2)]
    part = "converges to the optimal policy"
    case.within("Q", "ε → 0: the greedy action is the optimal one", every(map(optimal_action, falling)), part=part)
    gaps = [gap(e) for e in falling]
    case.within(
        "Q",
        "ε → 0: the value falls short of 1 by at most 6ε, and that tends to 0",
        all(short <= 6 * e for short, e in zip(gaps, falling, strict=True)) and gaps[-1] < fmpq(1, 1000),
        f"ε={falling[-1]}: {gaps[-1]}",
        part=part,
    )
    case.outside(
        "Q",
        "ε fixed: the greedy action of the best ε-soft policy is the optimal one",
        optimal_action(fixed()),
        part="converges to the optimal policy",
    )
