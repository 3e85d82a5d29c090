"""Temporal differences for evaluation (RL-15, RL-17)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from flint import fmpq

from proofs import balls
from proofs.arithmetic import exp
from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.exact import LogNumber, Process, mean
from proofs.literal import course_td_error, course_td_update
from proofs.rl import chains
from proofs.rl.chains import HALF, show
from proofs.verdict import CONTRADICTION, CONVENTION, TRUE


def critic_error(reward: Any, discount: Any, following: Any, here: Any) -> Any:
    """δ of C10 and of sources 000 to 002: r + γv(s') − v(s)."""
    return reward + discount * following - here


def expected_error(process: Process, policy: chains.Matrix, values: Any, delta: Any) -> chains.Vector:
    """E[δ|s] under the policy, over action and next state."""
    return tuple(
        mean(
            policy[s],
            [
                mean(row, [delta(r, process.discount, following, values[s]) for following in values])
                for row, r in zip(process.transitions[s], process.rewards[s], strict=True)
            ],
        )
        for s in range(process.n_states)
    )


@claim(
    "RL-15",
    source=("004 C7", "004 C10"),
    statement="TD(0) moves v(s) against its TD error δ = v(s) − [r + γv(s')], solving the Bellman equation; the critic "
    "of C10 takes δ = r + γv(s') − v(s).",
    formula="v(s) ← v(s) − α[v(s) − (r + γv(s'))];  C7: δ = v(s) − (r + γv(s'));  C10: δ = r + γv(s') − v(s)",
    stated={"update": TRUE, "sign": CONVENTION, "C7 and C10": CONTRADICTION},
    corrected=(
        "Fix δ = r + γv(s') − v(s), as C10 and the sources 000 to 002 do; then v ← v + αδ. Convergence needs that "
        "every state is visited for ever, and steps and noise as in RL-12 and RL-13."
    ),
    method="Q",
    derivation=(
        "E[r + γv(s') − v(s)|s] = (T_π v − v)(s), which is 0 in every state exactly for v = v_π.",
        "In the mean one step is v + α(T_π v − v): a contraction with modulus 1 − α(1−γ) towards v_π.",
        "v − αδ with the one sign is v + αδ with the other: the update does not see the choice.",
        "But exp(δ/β) does: for δ = β log 2 the two signs give the priorities 2 and 1/2.",
    ),
    twins={
        "sign of the update": {"update": lambda v, a, r, g, n: v + a * (v - (r + g * n))},
        "discount dropped": {"update": lambda v, a, r, g, n: v - a * (v - (r + n))},
        "reward dropped": {"update": lambda v, a, r, g, n: v - a * (v - g * n)},
        "C10 with the sign of C7": {"critic": course_td_error},
        "C7 with a plus": {"notes": lambda r, g, n, v: v + (r + g * n)},
    },
)
def rl_15(
    case: Case, *, update: Any = course_td_update, notes: Any = course_td_error, critic: Any = critic_error
) -> None:
    """Expected steps on exact processes; the mean of both errors at v_π; the priorities of both signs."""
    items = chains.family(16, 15)
    step = fmpq(1, 3)

    def one_step(process: Process, policy: Any, values: Any) -> chains.Vector:
        return tuple(
            mean(
                policy[s],
                [
                    mean(row, [update(values[s], step, r, process.discount, following) for following in values])
                    for row, r in zip(process.transitions[s], process.rewards[s], strict=True)
                ],
            )
            for s in range(process.n_states)
        )

    def approaches(process: Process, policy: Any, other: Any) -> Answer:
        truth = process.values(policy)
        if one_step(process, policy, truth) != truth:
            return Answer(False, f"moves away from v_π={show(truth)} to {show(one_step(process, policy, truth))}")
        start = process.values(other)
        seen = chains.distance(one_step(process, policy, start), truth)
        limit = (1 - step * (1 - process.discount)) * chains.distance(start, truth)
        return Answer(seen <= limit, f"distance {seen}, bound {limit}")

    case.claimed(
        "Q",
        "in the mean v_π stays, and any v comes closer by 1 − α(1−γ)",
        every(approaches(*item) for item in items),
        part="update",
    )
    for name, delta in (("C7", notes), ("C10", critic)):
        case.convention(
            "Q",
            f"E[δ|s] = 0 in every state at v_π, and not at another v, with the sign of {name}",
            every(
                Answer(
                    chains.sup(expected_error(p, pi, p.values(pi), delta)) == 0
                    and chains.sup(expected_error(p, pi, tuple(v + 1 for v in p.values(pi)), delta)) != 0
                )
                for p, pi, _ in items
            ),
            part="sign",
        )
    sample = (fmpq(3), HALF, fmpq(-2), fmpq(5))
    moved = update(fmpq(5), step, fmpq(3), HALF, fmpq(-2))
    case.convention(
        "Q",
        "v − αδ with the sign of C7 and v + αδ with that of C10 are the one update",
        moved == 5 - step * notes(*sample) == 5 + step * critic(*sample),
        f"v = 5 becomes {moved}",
        part="sign",
    )
    surprise = (LogNumber.log(2), HALF, LogNumber.of(0), LogNumber.of(0))
    first, second = exp(notes(*surprise)), exp(critic(*surprise))
    case.contradiction(
        "Q",
        "the two δ of one transition differ, and so do the priorities exp(δ/β)",
        first != second,
        f"r = β log 2, v = 0: exp(δ/β) is {first} with the sign of C7, {second} with that of C10",
        part="C7 and C10",
    )


def n_step_target(process: Process, policy: chains.Matrix, q: Sequence[Any], steps: int) -> chains.Vector:
    """E[R_{t+1} + γR_{t+2} + … + γ^n q(S_{t+n}, A_{t+n}) | s, a] for each pair."""
    rows, rewards = chains.state_action(process, policy)
    g, total, reached = process.discount, (fmpq(0),) * len(rewards), rewards
    for i in range(steps):
        total = chains.add(total, reached, g**i)
        reached = chains.apply(rows, reached)
    for _ in range(steps):
        q = chains.apply(rows, q)
    return chains.add(total, q, g**steps)


def action_values(process: Process, policy: chains.Matrix) -> chains.Vector:
    """q_π for each pair, by an exact solve over pairs."""
    rows, rewards = chains.state_action(process, policy)
    return chains.apply(chains.inverse(chains.one_minus(rows, process.discount)), rewards)


@claim(
    "RL-17",
    source="004 C7",
    statement="Sarsa and n-step Sarsa solve the Bellman equation of q_π; n-step Sarsa with the mean of "
    "R_{t+1} + γR_{t+2} + … + γ^n q.",
    formula="q_π(s,a) = E[R_{t+1} + γR_{t+2} + … + γ^n q_π(S_{t+n}, A_{t+n}) | s, a]",
    stated=TRUE,
    corrected=(
        "The n-step target has the one fixed point q_π and the modulus γ^n: n = 1 is Sarsa, n → ∞ Monte Carlo. For "
        "n ≥ 2 the data has to come from π itself, or each later action needs its importance ratio."
    ),
    method="Q",
    derivation=(
        "The one-step target is the affine map H q = r + γP_π q over pairs; the n-step target is H^n q.",
        "q_π = H q_π, so q_π = H^n q_π; and ‖H^n q − H^n q_π‖ = γ^n ‖P_π^n (q − q_π)‖ ≤ γ^n ‖q − q_π‖.",
        "With n = 1 the next action is the only one that is drawn, and it may be drawn from π whatever the data did "
        "before. With n = 2 the action in between is that of the data.",
    ),
    twins={
        "last power one less": {
            "target": lambda p, pi, q, n: chains.add(
                n_step_target(p, pi, q, n), _tail(p, pi, q, n), p.discount ** (n - 1) - p.discount**n
            )
        },
        "last power one more": {
            "target": lambda p, pi, q, n: chains.add(
                n_step_target(p, pi, q, n), _tail(p, pi, q, n), p.discount ** (n + 1) - p.discount**n
            )
        },
        "bootstrap dropped": {"target": lambda p, pi, q, n: n_step_target(p, pi, (fmpq(0),) * len(q), n)},
        "modulus of the n-step target": {"modulus": lambda g, n: g ** (n + 1)},
        "data of another policy": {"data": lambda policy, other: other},
    },
)
def rl_17(
    case: Case,
    *,
    target: Any = n_step_target,
    modulus: Any = lambda g, n: g**n,
    data: Any = lambda policy, other: policy,
) -> None:
    """Fixed point and modulus of the n-step target; all two-step trajectories; data of another policy."""
    items = chains.family(8, 17)

    def solved(process: Process, policy: Any, other: Any) -> Answer:
        truth = action_values(process, policy)
        acting = data(policy, other)
        for n in (1, 2, 3, 5):
            if target(process, acting, truth, n) != truth:
                return Answer(False, f"n={n}: the target at q_π is {show(target(process, acting, truth, n)[:2])}…")
            start = tuple(q + 2 for q in truth)
            seen = chains.distance(target(process, acting, start, n), truth)
            wild = tuple(q + (5 * i) % 7 - 3 for i, q in enumerate(truth))
            if seen > modulus(process.discount, n) * 2:
                return Answer(False, f"n={n}: a constant error 2 becomes {seen}, γ={process.discount}")
            far = chains.distance(target(process, acting, wild, n), truth)
            if far > process.discount**n * chains.distance(wild, truth):
                return Answer(False, f"n={n}: error {far}")
        return Answer(True)

    case.claimed(
        "Q", "fixed point q_π, modulus γ^n, for n = 1, 2, 3, 5", every((solved(*item) for item in items), "8 processes")
    )

    def enumerated(process: Process, policy: Any, behavior: Any, q: Any, s: int, a: int, weighted: bool) -> fmpq:
        g, total = process.discount, fmpq(0)
        states, index = range(process.n_states), {pair: i for i, pair in enumerate(process.pairs)}
        for s1, s2 in itertools.product(states, repeat=2):
            for a1, a2 in itertools.product(range(len(process.rewards[s1])), range(len(process.rewards[s2]))):
                mass = process.transitions[s][a][s1] * behavior[s1][a1] * process.transitions[s1][a1][s2]
                mass *= policy[s2][a2]
                ratio = policy[s1][a1] / behavior[s1][a1] if weighted else fmpq(1)
                later = g * process.rewards[s1][a1] + g**2 * q[index[s2, a2]]
                total += mass * ratio * later
        return process.rewards[s][a] + total

    process, policy, other = items[2]
    truth = action_values(process, policy)
    counted = tuple(enumerated(process, policy, policy, truth, s, a, False) for s, a in process.pairs)
    case.claimed(
        "Q",
        "the two-step target is the mean over all trajectories of two steps",
        counted == target(process, policy, truth, 2),
        f"at the first pair {balls.short(counted[0])}",
    )
    foreign = tuple(enumerated(process, policy, other, truth, s, a, False) for s, a in process.pairs)
    ratios = tuple(enumerated(process, policy, other, truth, s, a, True) for s, a in process.pairs)
    case.corrected(
        "Q",
        "two steps of another policy's data have another mean; importance ratios repair it",
        foreign != truth and ratios == truth,
        ", ".join(
            f"{name} {balls.short(values[0])}"
            for name, values in {"q_π": truth, "data of another policy": foreign, "weighted": ratios}.items()
        ),
    )
    rows, rewards = chains.state_action(process, policy)
    sarsa = chains.add(rewards, chains.apply(rows, truth), process.discount)
    case.corrected("Q", "n = 1 is the target of Sarsa", sarsa == n_step_target(process, policy, truth, 1))


def _tail(process: Process, policy: chains.Matrix, q: Sequence[Any], steps: int) -> Sequence[Any]:
    """P_π^n q: what the n-step target multiplies with γ^n."""
    rows, _ = chains.state_action(process, policy)
    for _ in range(steps):
        q = chains.apply(rows, q)
    return q
