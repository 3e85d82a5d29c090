"""The ratio of policies, which Gumbel regression gives, beside that of occupancies (OCC-06)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from flint import arb, fmpq

from proofs import balls, under_test
from proofs.arithmetic import exp, log
from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.exact import LogNumber, Process, mean, rational
from proofs.generators import KL
from proofs.occ import cone, worlds
from proofs.occ.duality import exact_values, narrow
from proofs.occ.flow import FlowProblem, middle, occupancy_of, policy_of
from proofs.verdict import THEOREM

Policy = tuple[tuple[fmpq, ...], ...]


def gumbel(masses: Sequence[Any], q: Sequence[Any], beta: Any) -> Any:
    """beta log E_{pi_D} e^{q/beta}, the value that Gumbel regression fits (GUM-01)."""
    return beta * log(mean(masses, [exp(x / beta) for x in q]))


def iterate(
    process: Process, policy: Policy, beta: fmpq, operator: Callable[..., Any], steps: int = 260
) -> tuple[fmpq, ...]:
    """V after `steps` applications of a gamma-contraction, as exact rationals near its fixed point."""
    with balls.precision(128):
        values = [arb(0)] * process.n_states
        laws = [[balls.ball(m) for m in row] for row in policy]
        for _ in range(steps):
            values = [
                operator(
                    laws[s], [balls.ball(process.backup(s, a, values)) for a in range(len(row))], balls.ball(beta)
                ).mid()
                for s, row in enumerate(policy)
            ]
        return tuple(middle(v) for v in values)


def start(process: Process, values: Sequence[Any]) -> Any:
    """(1-gamma) E_mu0 V."""
    return (1 - process.discount) * mean(process.initial, values)


def price(process: Process, policy: Policy, occupancy: Sequence[fmpq]) -> arb:
    """sum d log(pi_d / pi_D), for an occupancy with mass in every pair."""
    conditional = policy_of(process, occupancy)
    total = arb(0)
    for (s, a), mass in zip(process.pairs, occupancy, strict=True):
        total += balls.ball(mass) * balls.ball(conditional[s][a] / policy[s][a]).log()
    return total


def conditional_bounds(
    process: Process, policy: Policy, beta: fmpq, values: Sequence[fmpq], raw: Any
) -> tuple[arb, arb]:
    """Bounds of max_d sum d r - beta sum d log(pi_d/pi_D): the policy of `raw`, and (1-gamma)E V + max (TV - V)_+.

    The second, because sum d r - beta(...) = (1-gamma)E V + sum_s d(s)(E_pi q - beta KL - V(s)) and E_pi q - beta KL is
    at most the Gumbel value TV(s), whatever pi is.
    """
    with balls.precision(256):
        occupancy = occupancy_of(process, policy_of(process, raw))
        reward = sum((d * process.rewards[s][a] for (s, a), d in zip(process.pairs, occupancy, strict=True)), fmpq(0))
        lower = balls.ball(reward) - balls.ball(beta) * price(process, policy, occupancy)
        rise = arb(0)
        for s, row in enumerate(policy):
            q = [balls.ball(process.backup(s, a, values)) for a in range(len(row))]
            rise = rise.max(gumbel([balls.ball(m) for m in row], q, balls.ball(beta)) - balls.ball(values[s]))
        return lower, balls.ball(start(process, values)) + rise


@functools.lru_cache(maxsize=8)
def conditional_cone(process: Process, policy: Policy, beta: fmpq) -> tuple[arb, arb]:
    """The enclosure around Clarabel's answer to the conditional problem."""
    import cvxpy
    import numpy as np

    equations = np.array(cone.flow_matrix(process))
    rewards = np.array([cone.number(rational(process.rewards[s][a])) for s, a in process.pairs])
    shares = np.array([cone.number(policy[s][a]) for s, a in process.pairs])
    owner = np.array([[1.0 if s == t else 0.0 for t in range(process.n_states)] for s, _ in process.pairs])
    unknown: Any = cvxpy.Variable(len(rewards), nonneg=True)
    flow = equations @ unknown == np.array([cone.number((1 - process.discount) * m) for m in process.initial])
    penalty = cvxpy.sum(cvxpy.rel_entr(unknown, cvxpy.multiply(shares, owner @ (owner.T @ unknown))))
    program: Any = cvxpy.Problem(cvxpy.Maximize(rewards @ unknown - cone.number(beta) * penalty), [flow])
    program.solve(solver=cvxpy.CLARABEL, tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10)
    raw = [rational(float(x)) for x in unknown.value]
    values = [rational(float(v)) for v in flow.dual_value]
    return conditional_bounds(process, policy, beta, values, raw)


def two_steps() -> tuple[Process, Policy]:
    """Every value is a logarithm: beta = 1, discount 1/2, both actions of state 0 lead to state 1, which loops."""
    to_one = (fmpq(0), fmpq(1))
    two, three = LogNumber.log(fmpq(2)), LogNumber.log(fmpq(3))
    process = Process(
        ((to_one, to_one), (to_one, to_one)),
        ((LogNumber.of(0), three), (LogNumber.of(0), two)),
        fmpq(1, 2),
        (fmpq(1), fmpq(0)),
    )
    return process, ((fmpq(1, 2), fmpq(1, 2)), (fmpq(1, 4), fmpq(3, 4)))


@claim(
    "OCC-06",
    source=("toolkit", "001 §1", "ROER critic.py (its value objective)"),
    statement="With a Gumbel-regressed V, exp(δ/β) is the ratio of policies, not that of occupancies.",
    formula=(
        "V = β log E_{π_D} e^{(r+γPV)/β} solves max_d Σ d r − βΣ d log(π_d/π_D), with value (1−γ)E_{μ0}V;  "
        "exp(δ_V/β) = π*/π_D"
    ),
    stated=THEOREM,
    corrected=(
        "Its mean under π_D is 1 in every state, so reweighting with it leaves every state marginal of the data as "
        "it is."
    ),
    method="Q+B+C",
    derivation=(
        "For any V and d: Σ d r − βΣ d log(π_d/π_D) = (1−γ)E_{μ0}V + Σ_s d(s)(E_π[q] − βKL(π‖π_D) − V(s)), q = r "
        "+ γPV.",
        "The bracket is at most β log E_{π_D}e^{q/β} − V(s) = 0, with equality for π ∝ π_D e^{q/β}: value "
        "(1−γ)E_{μ0}V.",
        "That π over π_D is e^{(q − V)/β} = e^{δ/β}, and its mean under π_D is 1 state by state.",
        "Exactly: γ = 1/2, β = 1, e^{r} = (1, 3) in s0 and (1, 2) in s1, π_D = (1/2, 1/2) and (1/4, 3/4): "
        "V(s1) = 2 log(7/4), V(s0) = log 2 + log(7/4); ratios (1/2, 3/2) and (4/7, 8/7).",
    ),
    twins={
        "beta dropped in the exponent": {"operator": lambda m, q, b: b * log(mean(m, [exp(x) for x in q]))},
        "the sum instead of the mean": {
            "operator": lambda m, q, b: b * log(sum((exp(x / b) for x in q[1:]), exp(q[0] / b)))
        },
        "the mean of q": {"operator": lambda m, q, b: mean(m, q)},
        "the value without 1-gamma": {"value": lambda p, v: start(p, v) / (1 - p.discount)},
        "ratio without beta": {"ratio": lambda delta, beta: exp(delta)},
        "ratio with the opposite sign": {"ratio": lambda delta, beta: exp(-delta / beta)},
    },
)
def occ_06(
    case: Case,
    *,
    operator: Any = gumbel,
    value: Any = start,
    ratio: Any = lambda delta, beta: exp(delta / beta),
) -> None:
    """Fixed point against Clarabel; means of the ratio state by state; both ratios side by side; one exact instance."""
    process, _, generic = worlds.textbook()
    policy, beta = policy_of(process, generic), fmpq(3, 10)
    values = iterate(process, policy, beta, operator, 700)
    low, high = conditional_cone(process, policy, beta)
    with balls.precision(256):
        stated = balls.ball(value(process, values))
        agreed = not stated < low - arb(10) ** (-20) and not stated > high + arb(10) ** (-20)
        deltas = [balls.ball(process.td_error(s, a, values)) for s, a in process.pairs]
        ratios = dict(zip(process.pairs, [ratio(d, balls.ball(beta)) for d in deltas], strict=True))
        means = [mean(row, [ratios[s, a] for a in range(len(row))]) for s, row in enumerate(policy)]
        centred = [Answer(bool(abs(m - 1) < arb(10) ** (-25)), f"mean {balls.short(m, 10)}") for m in means]
        raw = [middle(m * w) for m, w in zip(generic, ratios.values(), strict=True)]
        lower, upper = conditional_bounds(process, policy, beta, values, raw)
    width = (high - low).upper().str(2, radius=False)
    case.theorem(
        "C",
        "the value (1−γ)E_{μ0}V lies in the enclosure around Clarabel's answer",
        bool(agreed),
        f"{balls.short(stated, 10)} in [{balls.short(low, 10)}, {balls.short(high, 10)}], gap {width}",
    )
    case.theorem("B", "V and the policy π_D e^{δ/β} bound the optimum to 1.1e-30", narrow(upper - lower))
    case.theorem("B", "exp(δ/β) has mean 1 under π_D in every state", every(centred))
    problem = FlowProblem(process, generic, beta, KL)
    with balls.precision(256):
        occupancy_ratio = problem.ratios(exact_values(problem))
        apart = max(abs(a - b) for a, b in zip(ratios.values(), occupancy_ratio, strict=True))
        marginal = [
            mean(generic[3 * s : 3 * s + 3], occupancy_ratio[3 * s : 3 * s + 3])
            / sum(generic[3 * s : 3 * s + 3], fmpq(0))
            for s in range(5)
        ]
    case.theorem(
        "B",
        "it is not the occupancy ratio, which does correct the states",
        bool(apart > balls.ball(fmpq(1, 10)) and max(abs(m - 1) for m in marginal) > balls.ball(fmpq(1, 100))),
        f"largest difference {balls.short(apart, 4)}; state means of the occupancy ratio "
        f"{', '.join(balls.short(m, 4) for m in marginal)}",
    )
    exact, laws = two_steps()
    seven = LogNumber.log(fmpq(7, 4))
    solution = (LogNumber.log(fmpq(2)) + seven, 2 * seven)
    one = fmpq(1)
    try:
        fixed = all(
            operator(row, [exact.backup(s, a, solution) for a in range(2)], one) == solution[s]
            for s, row in enumerate(laws)
        )
        seen = [ratio(exact.td_error(s, a, solution), one) for s, a in exact.pairs]
    except ValueError:
        fixed, seen = False, []
    case.theorem(
        "Q",
        "exactly: V = (log 2 + log 7/4, 2 log 7/4), ratios (1/2, 3/2, 4/7, 8/7)",
        fixed and seen == [fmpq(1, 2), fmpq(3, 2), fmpq(4, 7), fmpq(8, 7)],
        f"ratios ({', '.join(map(str, seen))})",
    )
    case.comparison("B", "reference.conditional_value", under_test.conditional_value())
