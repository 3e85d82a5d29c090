"""The soft value of a policy: closed form, unrolled, and rescaled (SAC-03, SAC-07, SAC-10)."""

from __future__ import annotations

from typing import Any

from flint import fmpq

from proofs import balls, instances, literal
from proofs.arithmetic import log
from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.exact import LogNumber, Process, mean
from proofs.sac import soft
from proofs.sac.soft import ALPHA, boltzmann, mild_states, soft_value, soft_values
from proofs.symbolic import equal, positive, real
from proofs.verdict import FALSE, true_if


@claim(
    "SAC-03",
    source=("003 §0.2.3", "003 §1.2"),
    statement="The soft value has a closed form, the free energy of Q.",
    formula="V(s) = E_π[Q − α log π] = α log ∫ exp(Q(s,a)/α) da",
    stated=true_if("π is the Boltzmann policy of the same Q and α"),
    corrected="For every policy E_π[Q − α log π] = α log Z − α KL(π ‖ e^{Q/α}/Z): the closed form is the maximum.",
    method="S+P",
    derivation=(
        "At π = e^{Q/α}/Z: Q − α log π = α log Z for every action, so its mean is α log Z.",
        "Any π: Q = α log(π_B Z) with π_B the Boltzmann policy; insert: E_π[Q − α log π] = α log Z − α KL(π‖π_B).",
        "KL is 0 only at π = π_B: every other policy has less.",
    ),
    twins={
        "alpha dropped in front": {"closed": lambda q, alpha: log(soft.total([soft.exp(x / alpha) for x in q]))},
        "alpha multiplies in the exponent": {
            "closed": lambda q, alpha: alpha * log(soft.total([soft.exp(x * alpha) for x in q]))
        },
        "the mean of Q": {"closed": lambda q, alpha: mean([fmpq(1, len(q))] * len(q), q)},
        "sign of the divergence": {"gap": lambda divergence, alpha: -alpha * divergence},
        "the divergence without alpha": {"gap": lambda divergence, alpha: divergence},
    },
)
def sac_03(case: Case, *, closed: Any = soft_value, gap: Any = lambda divergence, alpha: alpha * divergence) -> None:
    """Two actions in symbols; a family of states with exact values, Boltzmann and not."""
    q, (p,) = real("Q1 Q2"), positive("p")
    best = boltzmann(q, ALPHA)
    case.within("S", "π = e^{Q/α}/Z", equal(soft.regularised(q, best, ALPHA), closed(q, ALPHA)))
    free = (p, 1 - p)
    identity = soft.regularised(q, free, ALPHA) - soft_value(q, ALPHA) + gap(soft.divergence(free, best), ALPHA)
    case.corrected("S", "E_π[Q − α log π] = α log Z − α KL(π‖π_B) for every π", equal(identity, 0))

    family = list(mild_states(36, seed=303))

    def attained(q: Any, policy: Any) -> Answer:
        # The temperature 1/2, so that alpha does not hide.
        with balls.precision(192):
            left = soft.regularised([balls.ball(x) for x in q], [balls.ball(p) for p in policy], fmpq(1, 2))
            right = balls.ball(closed([balls.ball(x) for x in q], fmpq(1, 2)))
            shown = f"E_π[Q − α log π] = {balls.short(left)}, closed form {balls.short(right)}"
            return Answer(balls.vanishes_within(left - right, fmpq(1, 10**40)), shown)

    at_best = [(q, boltzmann(q, fmpq(1, 2))) for q, _ in family]
    case.within("P", "equality at the Boltzmann policy", every(attained(*item) for item in at_best))
    q, policy = family[-1]
    case.outside("P", "equality at another policy", attained(q, policy))

    def less(q: Any, policy: Any) -> Answer:
        left, right = soft.regularised(q, policy, fmpq(1, 2)), soft_value(q, fmpq(1, 2))
        return Answer(bool(left <= right), f"{balls.short(left)} > {balls.short(right)}")

    case.corrected("P", "no policy exceeds it", every(less(*item) for item in family))


def one_state(discount: fmpq, reward: Any = 0, actions: int = 2) -> Process:
    """A single state whose actions all lead back to it."""
    return Process((((fmpq(1),),) * actions,), ((LogNumber.of(reward),) * actions,), discount, (fmpq(1),))


@claim(
    "SAC-07",
    source="003 §2.3",
    statement="Unrolling the soft value gives E Σ γ^t (r + α log π), 'this is the expression of J(π)'.",
    formula="V^π(s₀) = E Σ_t γ^t (r(s_t,a_t) + α log π(a_t|s_t)) = J(π)",
    stated=FALSE,
    corrected=(
        "The sign: V^π(s₀) = E Σ γ^t (r − α log π), and J = E_{s₀} V. The soft Q holds the entropy of later actions "
        "but not that of its own, so it is not 'the expected return' of §4.1."
    ),
    method="Q",
    derivation=(
        "V = E_π[Q − α log π] and Q = r + γE V: one step contributes r − α log π.",
        "Repeat: V(s₀) = E Σ γ^t (r − α log π), and E[−log π] is the entropy in J.",
        "Two actions, uniform, r = 0, γ = 9/10, α = 1: every step contributes log 2: V = 10 log 2, printed −10 log 2.",
    ),
    twins={
        "claim the right sign": {"summand": lambda r, log_pi, alpha: r - alpha * log_pi},
        "the correction with the printed sign": {"right": literal.soft_reward_printed},
        "the correction without alpha": {"right": lambda r, log_pi, alpha: r - log_pi},
        "the correction with twice the entropy": {"right": lambda r, log_pi, alpha: r - 2 * alpha * log_pi},
    },
)
def sac_07(
    case: Case,
    *,
    summand: Any = literal.soft_reward_printed,
    right: Any = lambda r, log_pi, alpha: r - alpha * log_pi,
) -> None:
    """The sum over the exact occupancy against the exact solution of the soft Bellman equation."""
    uniform = (soft.ones(2),)
    example = (one_state(fmpq(9, 10)), uniform, fmpq(1))
    family = [(process, policy, fmpq(2, 3)) for process, policy, _ in instances.processes(12, seed=307)]

    def unrolled(process: Process, policy: Any, alpha: fmpq, term: Any) -> Answer:
        occupancy = process.occupancy(policy)
        terms = [(s, a, term(process.rewards[s][a], log(policy[s][a]), alpha)) for s, a in process.pairs]
        seen = LogNumber.of(0)
        for s, a, value in terms:
            seen = seen + value * (occupancy[s, a] / (1 - process.discount))
        exact = LogNumber.of(mean(process.initial, soft_values(process, policy, alpha)))
        return Answer(seen == exact, f"unrolled {balls.short(seen)}, soft Bellman equation {balls.short(exact)}")

    value = soft_values(*example)[0]
    case.claimed("Q", "the printed sum is V", unrolled(*example, summand), f"V = {value}: 10 log 2, not −10 log 2")
    case.claimed(
        "Q",
        "on random processes",
        every(unrolled(process, policy, alpha, summand) for process, policy, alpha in family),
    )
    everything = [example, *family]
    ten = LogNumber.log(2) * 10
    case.corrected("Q", "V = +10 log 2 for the uniform policy", value == ten, f"{value}")
    case.corrected(
        "Q",
        "E Σ γ^t (r − α log π) = V",
        every(unrolled(process, policy, alpha, right) for process, policy, alpha in everything),
    )
    ((own, _),) = soft.backups(example[0], [value])
    missing = value - own
    case.corrected("Q", "V − Q = log 2: Q lacks its own action's entropy", missing == LogNumber.log(2), f"{missing}")


@claim(
    "SAC-10",
    source="003 §3.4",
    statement="Setting α = 1 loses nothing ('the general case is similar').",
    formula="the optimal policy at temperature α and reward r is the one at α = 1",
    stated=true_if("the rewards are divided by α"),
    corrected="Q*(r, α) = α Q*(r/α, 1), and the policies agree. At α = 1 with r unscaled the policy is another one.",
    method="P",
    derivation=(
        "α log Σ e^{Q/α} is α times log Σ e^{Q/α}: T_{r,α}(αV) = α T_{r/α,1}(V) for every V.",
        "So α times the fixed point of T_{r/α,1} is the fixed point of T_{r,α}, which is unique (a contraction).",
        "One state, Q = (0, log 9): odds 81 at α = 1/2, but 9 at α = 1.",
    ),
    twins={
        "rewards multiplied by alpha": {"scaled": lambda r, alpha: r * alpha},
        "rewards left alone": {"scaled": lambda r, alpha: r},
        "the value not scaled back": {"back": lambda value, alpha: value},
        "the value divided by alpha": {"back": lambda value, alpha: value / alpha},
    },
)
def sac_10(
    case: Case, *, scaled: Any = lambda r, alpha: r / alpha, back: Any = lambda value, alpha: value * alpha
) -> None:
    """The operator identity in balls at random values of random processes; exact policies of one state."""
    alpha = fmpq(2, 5)

    def rescaled(process: Process) -> Process:
        rewards = tuple(tuple(scaled(r, alpha) for r in row) for row in process.rewards)
        return Process(process.transitions, rewards, process.discount, process.initial)

    def operators(process: Process, values: Any) -> Answer:
        with balls.precision(192):
            at_alpha = soft.soft_backup(process, [balls.ball(back(v, alpha)) for v in values], balls.ball(alpha))
            at_one = soft.soft_backup(rescaled(process), [balls.ball(v) for v in values], balls.ball(1))
            differences = [x - back(y, alpha) for x, y in zip(at_alpha, at_one, strict=True)]
            holds = [balls.vanishes_within(d, fmpq(1, 10**40)) for d in differences]
            shown = f"T_(r,α)(αV) − α T_(r/α,1)(V) = {balls.short(differences[0])}"
        return Answer(False if False in holds else None if None in holds else True, shown)

    family = [(process, process.values(policy)) for process, policy, _ in instances.processes(16, seed=310)]
    case.within("P", "T_{r,α}(αV) = α T_{r/α,1}(V): the optima correspond", every(operators(*x) for x in family))

    def same(q: Any, divide: bool) -> Answer:
        half = fmpq(1, 2)
        with balls.precision(192):
            cold = boltzmann([balls.ball(x) for x in q], half)
            one = boltzmann([balls.ball(scaled(x, half) if divide else x) for x in q], fmpq(1))
            equal = [balls.vanishes_within(x - y, fmpq(1, 10**40)) for x, y in zip(cold, one, strict=True)]
            odds = balls.short(cold[-1] / cold[0], 6), balls.short(one[-1] / one[0], 6)
        shown = f"odds {odds[0]} at α = 1/2, {odds[1]} at α = 1"
        return Answer(False if False in equal else None if None in equal else True, shown)

    laws = [q for q, _ in mild_states(24, seed=311)]
    case.within("P", "same policy with r/α", every(same(q, True) for q in laws))
    nine = (LogNumber.of(0), LogNumber.log(9))
    case.outside("P", "same policy with r as it is", same(nine, False))
