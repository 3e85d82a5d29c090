"""Value iteration, policy iteration and what lies between them (RL-08, RL-09, RL-34)."""

from __future__ import annotations

import itertools
from typing import Any

from flint import fmpq

from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.exact import Process
from proofs.rl import chains
from proofs.rl.chains import HALF, numbers, show
from proofs.under_test import processes
from proofs.verdict import THEOREM, TRUE


def improved(process: Process, actions: Any, values: Any) -> tuple[int, ...]:
    """The greedy actions, keeping the present one where it is among the best."""
    rows = chains.backup(process, values)
    return tuple(a if row[a] == max(row) else row.index(max(row)) for row, a in zip(rows, actions, strict=True))


def evaluated(process: Process, actions: Any) -> chains.Vector:
    """The exact values of a deterministic policy."""
    return process.values(chains.pure(process, actions))


def swept_once(process: Process, actions: Any) -> chains.Vector:
    """One sweep from 0 in the place of an evaluation."""
    return chains.income(process, chains.pure(process, actions))


@claim(
    "RL-08",
    source="004 C4",
    statement="Policy iteration alternates evaluation and greedy improvement and arrives at an optimal policy.",
    formula="v_{π_k} = r_{π_k} + γP_{π_k} v_{π_k};  π_{k+1} = argmax_π(r_π + γP_π v_{π_k})",
    stated=TRUE,
    corrected=(
        "The values rise, strictly somewhere until the policy is optimal, so at most |A|^|S| policies are met. "
        "Evaluation has to be exact (the text: infinitely many sweeps); with one sweep neither need be true."
    ),
    method="Q",
    derivation=(
        "T_{π'} v_π = max_π(…) ≥ T_π v_π = v_π. T_{π'} is monotone: v_π ≤ T_{π'} v_π ≤ T_{π'}² v_π ≤ … → v_{π'}.",
        "If v_{π'} = v_π, then v_π = T_{π'} v_π = max_π(r_π + γP_π v_π): π is optimal already.",
        "So no policy comes back before the end, and there are finitely many deterministic ones.",
    ),
    twins={
        "worst action": {"improve": lambda p, actions, v: tuple(row.index(min(row)) for row in chains.backup(p, v))},
        "the reward alone": {"improve": lambda p, actions, v: tuple(row.index(max(row)) for row in p.rewards)},
        "one sweep for an evaluation": {"evaluate": swept_once},
    },
)
def rl_08(case: Case, *, improve: Any = improved, evaluate: Any = evaluated) -> None:
    """Every step from every deterministic policy of random processes; the run to its end."""

    def runs(process: Process) -> Answer:
        truth, count = chains.optimum(process), 1
        for row in process.rewards:
            count *= len(row)
        for start in chains.choices(process):
            actions, before = start, evaluated(process, start)
            for _ in range(count):
                better = improve(process, actions, evaluate(process, actions))
                after = evaluated(process, better)
                if any(y < x for x, y in zip(before, after, strict=True)):
                    return Answer(False, f"{actions} → {better}: values {show(before)} → {show(after)}")
                if before == after:
                    break
                actions, before = better, after
            if before != truth:
                return Answer(False, f"ended with {show(before)}, optimal {show(truth)}")
        return Answer(True, f"from each of {count} policies")

    items = chains.family(8, 7)
    case.claimed(
        "Q",
        "from every deterministic policy: values rise, strictly until optimal, and the end is optimal",
        every((runs(process) for process, _, _ in items), "8 processes with 4 to 81 starts each"),
    )
    start = (0, 0, 0)
    lost = improved(LATE, start, swept_once(LATE, start))
    before, after = evaluated(LATE, start), evaluated(LATE, lost)
    case.corrected(
        "Q",
        "with one sweep from 0 for an evaluation, a step can lower the values",
        any(y < x for x, y in zip(before, after, strict=True)),
        f"{start} → {lost}: {show(before)} → {show(after)}",
    )
    case.comparison("Q", "reference.planning", processes.optimal_values("PolicyIteration", chains.optimum))


#: Leaving state 0 pays after two steps what staying never makes up for; one sweep does not see that far.
LATE = chains.moves([[1, 0], [2, 2], [2, 2]], [[0, 1], [0, 0], [8, 8]], HALF)


def truncated(process: Process, start: Any, sweeps: int, count: int) -> list[tuple[Any, Any]]:
    """The pairs (greedy policy for v_k, v_{k+1}) of truncated policy iteration."""
    values, found = start, []
    for _ in range(count):
        actions = chains.greedy(process, values)
        policy = chains.pure(process, actions)
        for _ in range(sweeps):
            values = chains.evaluation(process, policy, values)
        found.append((actions, values))
    return found


def shifted_bound(g: Any, k: int, sweeps: int, error: Any, shift: Any) -> Any:
    """γ^k ‖v_0 − c − v*‖ + γ^{nk} c, for c = max(0, max(v_0 − Tv_0))/(1−γ)."""
    return g**k * error + g ** (sweeps * k) * shift


#: The processes of CLAIMS, with the start on which the greedy policies get worse.
FALLING = (
    (chains.moves([[2, 0], [0, 1], [0, 1]], [[-1, -4], [1, 0], [-1, 0]], HALF), numbers(-2, -1, 2), 2),
    (chains.moves([[1, 0], [1, 0]], [[4, -4], [1, 1]], HALF), numbers(5, -3), 1),
)


@claim(
    "RL-09",
    source="004 C4",
    statement="Truncated policy iteration (n sweeps for each evaluation) finds the optimal values as policy iteration "
    "does.",
    formula="v_{k+1} = T_{π_{k+1}}^n v_k with π_{k+1} greedy for v_k;  v_k → v*",
    stated={"convergence": TRUE, "policy values can fall": THEOREM},
    corrected=(
        "v_k → v* for every n ≥ 1 and every v_0: with c = max(0, max(v_0 − Tv_0))/(1−γ), "
        "‖v_k − v*‖ ≤ γ^k ‖v_0 − c − v*‖ + γ^{nk} c. The values of the greedy policies need not rise; the v_k do if "
        "Tv_0 ≥ v_0."
    ),
    method="Q",
    derivation=(
        "If Tu ≥ u, then T_π^n u ≥ T_π u = Tu for the greedy π, and the next iterate again satisfies Tu' ≥ u': the "
        "iterates rise and lie between those of value iteration and v*. So ‖u_k − v*‖ ≤ γ^k ‖u_0 − v*‖.",
        "Subtracting c from v_0 changes no greedy policy and shifts v_k by γ^{nk} c; this c gives Tu_0 ≥ u_0.",
        "n = 2, γ = 1/2, v_0 = (−2,−1,2): the greedy policies (0,0,1), (0,1,1) have the values (−6/7, 4/7, 2/7) and "
        "(−1, 0, 0). n = 1, v_0 = (5,−3) on two states: (6, 4), then (5, 2).",
    ),
    twins={
        "the shift forgotten": {"bound": lambda g, k, n, error, shift: g ** (n * k) * error},
        "gamma to the nk on both": {"bound": lambda g, k, n, e, c: g ** (n * k) * (e + c)},
        "sign of the shift": {"bound": lambda g, k, n, e, c: g**k * e - g ** (n * k) * c},
        "policies evaluated exactly": {"iterate": lambda p, start, n, count: truncated(p, start, 40, count)},
        "a start at the optimum": {"start": lambda process, v: chains.optimum(process)},
    },
)
def rl_09(
    case: Case,
    *,
    bound: Any = shifted_bound,
    iterate: Any = truncated,
    start: Any = lambda process, values: values,
) -> None:
    """The bound on random processes from wild starts; the two processes whose greedy policies get worse."""

    def bounded(process: Process, first: Any, sweeps: int) -> Answer:
        truth, g = chains.optimum(process), process.discount
        drop = max(fmpq(0), *chains.add(first, chains.optimality(process, first), -1))
        shift = drop / (1 - g)
        error = chains.distance(tuple(v - shift for v in first), truth)
        for k, (_, values) in enumerate(truncated(process, first, sweeps, 6), 1):
            limit = bound(g, k, sweeps, error, shift)
            if chains.distance(values, truth) > limit:
                return Answer(False, f"n={sweeps}, k={k}: {chains.distance(values, truth)} > {limit}")
        return Answer(True)

    items = chains.family(12, 9)
    wild = [tuple(fmpq((5 * s + 3 * i) % 17 - 8) for s in range(p.n_states)) for i, (p, _, _) in enumerate(items)]
    case.claimed(
        "Q",
        "‖v_k − v*‖ within the bound for n = 1 to 4",
        every(
            (bounded(p, v, n) for (p, _, _), v in zip(items, wild, strict=True) for n in range(1, 5)),
            "12 processes, n = 1 to 4, k = 1 to 6",
        ),
        part="convergence",
    )

    def rises(process: Process, sweeps: int) -> Answer:
        low = (min(min(row) for row in process.rewards) / (1 - process.discount),) * process.n_states
        steps = [low, *(values for _, values in truncated(process, low, sweeps, 5))]
        pairs = itertools.pairwise(steps)
        return Answer(all(y >= x for a, b in pairs for x, y in zip(a, b, strict=True)))

    case.corrected(
        "Q",
        "v_k rises where Tv₀ ≥ v₀",
        every(rises(process, n) for process, _, _ in items for n in (1, 2, 3)),
        part="convergence",
    )

    def falls(process: Process, first: Any, sweeps: int) -> Answer:
        run = [actions for actions, _ in iterate(process, start(process, first), sweeps, 8)]
        values = [evaluated(process, actions) for actions in run]
        drops = [
            (a, b, v, w)
            for a, b, v, w in zip(run, run[1:], values, values[1:], strict=False)
            if all(y <= x for x, y in zip(v, w, strict=True)) and v != w
        ]
        recovers = values[-1] == chains.optimum(process)
        shown = f"{drops[0][0]} → {drops[0][1]}: {show(drops[0][2])} → {show(drops[0][3])}" if drops else "no fall"
        return Answer(bool(drops) and recovers, f"n={sweeps}: {shown}")

    answers = [falls(*item) for item in FALLING]
    case.theorem(
        "Q",
        "a greedy policy is nowhere better than the one before and somewhere worse; the last is optimal",
        every(answers, "; ".join(answer.witness for answer in answers)),
        part="policy values can fall",
    )


#: A greedy policy that loses as much as the bound allows: at v = (ε, −ε) looping for −2γε looks as good as leaving.
TIGHT = chains.moves([[0, 1], [1, 1]], [[-1, 0], [0, 0]], HALF)


@claim(
    "RL-34",
    source="004 C4",
    statement="Value iteration approaches the optimal values, and greedy behaviour on them the optimal policy.",
    formula="‖v_{k+1} − v*‖ ≤ γ‖v_k − v*‖;  ‖v* − v_{greedy(v)}‖ ≤ (2γ/(1−γ)) ‖v − v*‖",
    stated=TRUE,
    corrected="Both bounds are attained: the first where the error is constant, the second on two states.",
    method="Q",
    derivation=(
        "v_{k+1} − v* = Tv_k − Tv*, and T is a contraction with modulus γ (RL-06).",
        "With π greedy for v: v* − v_π = (Tv* − T_π v) + (T_π v − T_π v_π), where T_π v = Tv. So "
        "‖v* − v_π‖ ≤ γε + γ‖v − v_π‖ ≤ γε + γ(ε + ‖v* − v_π‖); solve for ‖v* − v_π‖.",
        "Two states, γ = 1/2, v* = (0,0): looping in state 0 pays −1, leaving pays 0. v = (1,−1) makes both look like "
        "−1/2; looping has the value −1/(1−γ) = −2 = −(2γ/(1−γ)) · 1.",
    ),
    twins={
        "rate gamma squared": {"rate": lambda g: g**2},
        "rate 1 - gamma": {"rate": lambda g: 1 - g},
        "factor 2 dropped": {"loss": lambda g: g / (1 - g)},
        "1 - gamma dropped": {"loss": lambda g: 2 * g},
        "two powers of gamma": {"loss": lambda g: 2 * g**2 / (1 - g)},
    },
)
def rl_34(case: Case, *, rate: Any = lambda g: g, loss: Any = lambda g: 2 * g / (1 - g)) -> None:
    """Random processes and starts; the two starts that attain the bounds."""

    def shrinks(process: Process, values: Any) -> Answer:
        truth = chains.optimum(process)
        seen = chains.distance(chains.optimality(process, values), truth)
        limit = rate(process.discount) * chains.distance(values, truth)
        return Answer(seen <= limit, f"error {seen}, bound {limit}, γ={process.discount}")

    def loses(process: Process, values: Any) -> Answer:
        truth = chains.optimum(process)
        seen = chains.distance(truth, evaluated(process, chains.greedy(process, values)))
        limit = loss(process.discount) * chains.distance(values, truth)
        return Answer(seen <= limit, f"loss {seen}, bound {limit}, γ={process.discount}, v={show(values)}")

    items = chains.family(24, 34)
    starts = [
        tuple(v + (7 * s + 5 * i) % 9 - 4 for s, v in enumerate(chains.optimum(p))) for i, (p, _, _) in enumerate(items)
    ]
    raised = tuple(v + 2 for v in chains.optimum(items[0][0]))
    pairs = [(p, v) for (p, _, _), v in zip(items, starts, strict=True)]
    case.claimed("Q", "one sweep", every((shrinks(*pair) for pair in pairs), "24 processes"))
    case.claimed("Q", "one sweep from a constant error", shrinks(items[0][0], raised))
    case.claimed("Q", "the greedy policy", every((loses(*pair) for pair in pairs), "24 processes"))
    case.claimed("Q", "the greedy policy that attains the bound", loses(TIGHT, numbers(1, -1)))
    case.comparison("Q", "reference.planning", processes.optimal_values("ValueIteration", chains.optimum))
