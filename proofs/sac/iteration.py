"""Soft policy iteration: one Boltzmann step improves, and only its fixed point is optimal (SAC-05, SAC-06)."""

from __future__ import annotations

import itertools
from typing import Any

from flint import arb_mat, fmpq

from proofs import balls, instances, under_test
from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.exact import LogNumber, Process
from proofs.sac import soft
from proofs.sac.soft import backups, boltzmann, soft_backup, soft_values
from proofs.sac.value import one_state
from proofs.verdict import FALSE, THEOREM, true_if

HALF = fmpq(1, 2)
THREE_QUARTERS = fmpq(3, 4)


def loop_or_stop() -> Process:
    """Action a pays log 3 and stays, action b pays log 4 and ends the episode; discount 1/2."""
    stay, leave = (fmpq(1), fmpq(0)), (fmpq(0), fmpq(1))
    rewards = ((LogNumber.log(3), LogNumber.log(4)), (LogNumber.of(0),))
    return Process(((stay, leave), (leave,)), rewards, HALF, (fmpq(1), fmpq(0)))


def policy_with(p: Any) -> Any:
    """The policy of `loop_or_stop` that takes action a with probability p."""
    return ((p, 1 - p), (fmpq(1),))


def soft_evaluation(process: Process, policy: Any) -> Any:
    """Q^pi of the maximum-entropy problem at temperature 1."""
    return backups(process, [soft.collected(v) for v in soft_values(process, policy, fmpq(1))])


def next_probability(p: Any) -> Any:
    """One step of soft policy iteration on `loop_or_stop` in balls: evaluate, then the Boltzmann policy of Q."""
    three, four = balls.ball(LogNumber.log(3)), balls.ball(LogNumber.log(4))
    value = soft.regularised((three, four), (p, 1 - p), balls.ball(1)) / (1 - p / 2)
    return boltzmann((three + value / 2, four), balls.ball(1))[0]


@claim(
    "SAC-05",
    source=("003 §0.3.2", "003 §2.3", "003 §3"),
    statement="The optimal policy is the Boltzmann policy of Q^π (boxed).",
    formula="π*(a|s) = exp(Q^π(s,a)/α) / ∫ exp(Q^π(s,a)/α) da",
    stated={"every π": FALSE, "some π": true_if("Q^π = Q*_soft")},
    corrected=(
        "π_new = e^{Q^π/α}/Z is one improvement step: the variational argument holds Q^π fixed, but Q^π depends on π. "
        "It is optimal exactly where nothing is left to improve, at Q*_soft."
    ),
    method="Q+B",
    derivation=(
        "One state, γ = 1/2, α = 1. a: reward log 3, stay; b: reward log 4, stop. With y = e^{V/2} the soft Bellman "
        "equation is y² = 3y + 4: y = 4, V* = log 16, π*(a) = 3y/(3y + 4) = 3/4.",
        "π₀ always takes b: V = log 4, so e^{Q(a)} = 3·2 = 6 and e^{Q(b)} = 4. The formula gives π₁(a) = 3/5, not 3/4.",
        "Repeat: 0.6, 0.742683, 0.749979, … → 3/4. Each step improves; none but the last is optimal.",
    ),
    twins={
        "start at the optimum": {"start": lambda: policy_with(fmpq(3, 4))},
        "the worse action preferred": {"step": lambda q: boltzmann([-x for x in q], fmpq(1))},
        "twice the temperature's power": {"step": lambda q: boltzmann([2 * x for x in q], fmpq(1))},
        "Q without the entropy of later actions": {
            "evaluation": lambda process, policy: backups(
                process, [soft.collected(v) for v in soft_values(process, policy, fmpq(0))]
            )
        },
        "another optimum": {"optimum": fmpq(3, 5)},
    },
)
def sac_05(
    case: Case,
    *,
    start: Any = lambda: policy_with(fmpq(0)),
    step: Any = lambda q: boltzmann(q, fmpq(1)),
    evaluation: Any = soft_evaluation,
    optimum: Any = THREE_QUARTERS,
) -> None:
    """The soft optimum exactly, with its certificate; the formula at another policy and at the optimum."""
    process = loop_or_stop()
    best = LogNumber.log(16)
    solves = soft_backup(process, (best, 0), fmpq(1))[0] == best

    def below(p: fmpq) -> Answer:
        value = LogNumber.of(soft_values(process, policy_with(p), fmpq(1))[0])
        return Answer(bool(value < best) if p != fmpq(3, 4) else value == best, f"V = {balls.short(value)} at {p}")

    values = every(below(fmpq(k, 16)) for k in range(17))
    for part in ("every π", "some π"):
        case.support("Q", "V* = log 16 solves the soft Bellman equation", solves, part=part)
        case.support("Q", "V^π < log 16 at 16 policies, and V^π = log 16 at π(a) = 3/4", values, part=part)

    def reached(policy: Any) -> Answer:
        try:
            q = evaluation(process, policy)[0]
            seen = step(q)[0]
        except ValueError:
            return Answer(False, "an irrational probability, so not the optimum")
        return Answer(
            seen == optimum, f"from π(a) = {policy[0][0]}: the formula gives {seen}, the optimum is {optimum}"
        )

    case.claimed("Q", "the formula gives the optimal policy, from any π", reached(start()), part="every π")
    part = "some π"
    case.within("Q", "it does at Q*_soft", reached(policy_with(fmpq(3, 4))), part=part)
    case.outside("Q", "it does from another π", reached(policy_with(fmpq(0))), part=part)
    first = step(evaluation(process, policy_with(fmpq(0)))[0])[0]
    gain = LogNumber.of(soft_values(process, policy_with(first), fmpq(1))[0]) - LogNumber.log(4)
    improved = bool(gain > 0)
    case.corrected("Q", "the step improves V", improved, f"V(π₁) − V(π₀) = {balls.short(gain)}", part="every π")
    with balls.precision(160):
        iterates = [balls.ball(fmpq(3, 5))]
        for _ in range(5):
            iterates.append(next_probability(iterates[-1]))
        rising = all(p < r for p, r in itertools.pairwise(iterates)) and iterates[-1] < balls.ball(fmpq(3, 4))
        near = balls.ball(fmpq(3, 4)) - iterates[-1] < balls.ball(fmpq(1, 10**15))
        shown = ", ".join(balls.short(p, 6) for p in iterates[:3])
    case.corrected("B", "the iterates rise to 3/4", bool(rising and near), shown, part="every π")


def improvement(process: Process, policy: Any, step: Any) -> Answer:
    """Whether `step` raises Q^pi at every pair, in balls (strictly: no policy of the family is optimal yet)."""
    old = soft_values(process, policy, fmpq(1))
    with balls.precision(192):
        q = [[balls.ball(x) for x in row] for row in backups(process, old)]
        new = [step(row) for row in q]
        size = process.n_states
        matrix, right = [], []
        for s in range(size):
            terms = list(zip(new[s], process.transitions[s], strict=True))
            moved = [soft.total([p * balls.ball(row[t]) for p, row in terms]) for t in range(size)]
            matrix.append([int(s == t) - process.discount * moved[t] for t in range(size)])
            right.append([soft.regularised([balls.ball(r) for r in process.rewards[s]], new[s], balls.ball(1))])
        solved = arb_mat(matrix).solve(arb_mat(right))
        better = backups(process, [solved[s, 0] for s in range(size)])
        gains = [y - x for row, other in zip(q, better, strict=True) for x, y in zip(row, other, strict=True)]
        smallest = min(gains, key=lambda gain: float(gain.mid()))
        holds = True if all(g > 0 for g in gains) else False if any(g < 0 for g in gains) else None
        return Answer(holds, f"smallest gain of Q {balls.short(smallest, 4)}")


def optimal_values(process: Process) -> tuple[fmpq, ...]:
    """The hard optimal values by exact policy iteration."""
    policy = [0] * process.n_states
    while True:
        chosen = tuple(
            tuple(fmpq(int(a == best)) for a in range(len(process.rewards[s]))) for s, best in enumerate(policy)
        )
        values = process.values(chosen)
        rows = backups(process, values)
        better = [max(range(len(row)), key=row.__getitem__) for row in rows]
        if all(rows[s][better[s]] == rows[s][policy[s]] for s in range(process.n_states)):
            return values
        policy = better


@claim(
    "SAC-06",
    source=("003 §1.2 (efficient and stable)", "toolkit"),
    statement="Soft policy iteration improves monotonically, and the soft optimum is near the hard one.",
    formula="Q^{π_new} ≥ Q^{π_old};  ‖Tu − Tv‖_∞ ≤ γ‖u − v‖_∞;  V*_hard ≤ V*_soft ≤ V*_hard + α log|A|/(1−γ)",
    stated=THEOREM,
    corrected="The upper bound is attained where all actions are alike.",
    method="Q+B+P",
    derivation=(
        "π_new maximises E[Q^π − α log π] in every state, so T_{π_new} V^π ≥ V^π; apply the monotone T_{π_new} again "
        "and again: V^{π_new} ≥ V^π, and Q^{π_new} = r + γP V^{π_new} ≥ Q^π.",
        "α log Σ e^{Q/α} has the gradient π_B, a probability vector: it moves no more than max|ΔQ|. Hence the modulus "
        "γ.",
        "max Q ≤ α log Σ e^{Q/α} ≤ max Q + α log|A|: so T V_hard ≥ V_hard, and T U ≤ U for "
        "U = V_hard + α log|A|/(1−γ); T is monotone, so its fixed point lies between.",
        "loop or stop: V_hard = log 9 ≤ log 16 ≤ log 36. Two equal actions, r = 0, γ = 1/2: V* = log 4, the bound "
        "itself.",
    ),
    twins={
        "the step prefers the worse action": {"step": lambda q: boltzmann([-x for x in q], balls.ball(1))},
        "modulus gamma squared": {"modulus": lambda discount: discount * discount},
        "bonus without 1/(1-gamma)": {"bonus": lambda log_n, discount: log_n},
        "bonus of the later steps only": {"bonus": lambda log_n, discount: log_n * (discount / (1 - discount))},
    },
)
def sac_06(
    case: Case,
    *,
    step: Any = lambda q: boltzmann(q, balls.ball(1)),
    modulus: Any = lambda discount: discount,
    bonus: Any = lambda log_n, discount: log_n / (1 - discount),
) -> None:
    """Two exact processes, then a family: gains, moduli and both bounds as one step of the monotone operator."""
    process, alike = loop_or_stop(), one_state(HALF)
    best, twin = LogNumber.log(16), LogNumber.log(4)
    fixed = soft_backup(process, (best, 0), fmpq(1))[0] == best and soft_backup(alike, (twin,), fmpq(1))[0] == twin
    case.theorem("Q", "the soft optima are log 16 and log 4", fixed)
    hard, extra = LogNumber.log(9), bonus(LogNumber.log(2), HALF)
    case.theorem("Q", "V_hard ≤ V_soft ≤ V_hard + log 2/(1−γ)", hard <= best <= hard + extra, "log 9 ≤ log 16 ≤ log 36")
    case.theorem("Q", "the upper bound where actions are alike", twin <= extra, f"{twin} ≤ {extra}")
    moved = soft_backup(process, (LogNumber.log(4), 0), fmpq(1))[0]
    ratio = best - moved <= (best - LogNumber.log(4)) * modulus(HALF)
    case.theorem("Q", "|T log 16 − T log 4| ≤ γ|log 16 − log 4|", ratio, f"T log 4 = {moved}")
    with balls.precision(160):
        iterates = [balls.ball(fmpq(3, 5))]
        for _ in range(3):
            iterates.append(next_probability(iterates[-1]))
        rising = all(p < r for p, r in itertools.pairwise(iterates))
        shown = f"π(a): {', '.join(balls.short(p, 6) for p in iterates)}"
    case.theorem("B", "π(a) rises towards 3/4 on loop or stop", rising, shown)

    family = list(instances.processes(20, seed=306))
    gains = every(improvement(item, policy, step) for item, policy, _ in family)
    case.theorem("P", "Q^{π_new} > Q^{π_old} at every pair", gains)

    def contracts(item: Process, u: Any, v: Any) -> Answer:
        with balls.precision(192):
            first, second = (soft_backup(item, [balls.ball(x) for x in w], balls.ball(1)) for w in (u, v))
            size = max(abs(x - y) for x, y in zip(u, v, strict=True))
            allowed = modulus(item.discount) * size
            worst = [balls.less(abs(x - y), allowed) for x, y in zip(first, second, strict=True)]
            shown = f"‖Tu − Tv‖ against {balls.short(balls.ball(allowed), 6)}"
        return Answer(False if False in worst else None if None in worst else True, shown)

    pairs = [(item, item.values(policy), item.values(other)) for item, policy, other in family]
    case.theorem("P", "‖Tu − Tv‖_∞ < γ‖u − v‖_∞", every(contracts(*x) for x in pairs))

    def between(item: Process) -> Answer:
        values = optimal_values(item)
        with balls.precision(192):
            extra = balls.ball(bonus(LogNumber.log(len(item.rewards[0])), item.discount))
            low, high = [balls.ball(v) for v in values], [balls.ball(v) + extra for v in values]
            one = balls.ball(1)
            rises = [balls.less(v, w) for v, w in zip(low, soft_backup(item, low, one), strict=True)]
            falls = [balls.less(w, v) for v, w in zip(high, soft_backup(item, high, one), strict=True)]
        answers = rises + falls
        return Answer(
            False if False in answers else None if None in answers else True, f"bonus {balls.short(extra, 6)}"
        )

    case.theorem(
        "P", "T V_hard > V_hard and T U < U, U = V_hard + log|A|/(1−γ)", every(between(x) for x, _, _ in family)
    )
    case.comparison("B", "reference.soft.solve_soft", under_test.soft_optimum())
