"""The metrics of policies: stationary laws, average rewards, discounted values (RL-23)."""

from __future__ import annotations

from typing import Any

from flint import fmpq

from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.exact import mean
from proofs.rl import chains
from proofs.rl.chains import HALF, Matrix, numbers, show
from proofs.under_test import processes
from proofs.verdict import TRUE, true_if

#: Stay in state 0 with probability 1/2, in state 1 with 3/4: stationary law (1/3, 2/3). Only state 0 pays, 1.
TWO: Matrix = (numbers("1/2", "1/2"), numbers("1/4", "3/4"))
PAY = numbers(1, 0)

IDENTITY: Matrix = (numbers(1, 0), numbers(0, 1))
SWAP: Matrix = (numbers(0, 1), numbers(1, 0))

#: One transient state in front of a recurrent class of two.
UNICHAIN: Matrix = (numbers(0, "1/3", "2/3"), numbers(0, "1/2", "1/2"), numbers(0, "1/4", "3/4"))


def values(matrix: Matrix, rewards: Any, discount: Any) -> chains.Vector:
    """(I − γP)^{-1} r."""
    return chains.apply(chains.inverse(chains.one_minus(matrix, discount)), rewards)


def partial_average(matrix: Matrix, rewards: Any, state: int, steps: int) -> fmpq:
    """(1/n) E Σ_{k<n} r(S_k) from one state."""
    total, law = fmpq(0), chains.unit(state, len(rewards))
    for _ in range(steps):
        total += mean(law, rewards)
        law = chains.push(law, matrix)
    return total / steps


def one_law(matrix: Matrix) -> Answer:
    """Whether d = dP has a single solution among laws: I − P has the rank n − 1."""
    nullity = len(matrix) - chains.rank(chains.one_minus(matrix, 1))
    return Answer(nullity == 1, f"{nullity} independent solutions of d = dP")


@claim(
    "RL-23",
    source=("004 C8", "004 C9"),
    statement="The stationary law d_π exists; the average reward is r̄ = Σ d_π r_π = lim (1/n) E Σ R, from any start; "
    "v̄ = Σ d(s)v_π(s) = E Σ γ^t R_{t+1}.",
    formula="d_π = d_π P_π;  r̄ = lim_n (1/n) E[Σ_{k≤n} R_{t+k} | S_t = s₀];  v̄ = E Σ γ^t R_{t+1};  r̄ = (1−γ)v̄",
    stated={
        "stationary law": true_if("there is one recurrent class"),
        "average reward": true_if("the chain is unichain (one recurrent class)"),
        "v̄ as a sum": TRUE,
        "r̄ = (1−γ)v̄": true_if("d = d_π"),
    },
    corrected=(
        "With several recurrent classes there are many stationary laws, and the average reward depends on s₀. That the "
        "law of S_t tends to d_π also needs aperiodicity; the average does not. S₀ is drawn from d in v̄ = E Σ γ^t R."
    ),
    method="Q",
    derivation=(
        "d = dP has a one-dimensional solution exactly if there is one recurrent class. P = I: every law is "
        "stationary, and the average reward from s₀ is r(s₀).",
        "With (I−P)h = r − r̄, Σ_{k<n} (r(S_k) − r̄) has the mean h(s₀) − E h(S_n), so the average is "
        "r̄ + O(1/n) from every start.",
        "v̄ = dᵀΣ γ^t P^t r = E Σ γ^t r(S_t) with S₀ ~ d. If d = dP this is r̄ Σ γ^t = r̄/(1−γ).",
        "Chain (1/2,1/2), (1/4,3/4), r = (1,0), γ = 1/2: r̄ = 1/3, but (1−γ)v(s₀) = 5/7.",
    ),
    twins={
        "discount factor 1 - gamma inverted": {"scale": lambda g: 1 / (1 - g)},
        "1 - gamma dropped": {"scale": lambda g: fmpq(1)},
        "the start state's law for a stationary one": {"law": lambda matrix: chains.unit(0, len(matrix))},
        "one class for two": {"reducible": TWO},
        "powers of gamma from 1": {"power": lambda g, t: g ** (t + 1)},
        "powers of gamma dropped": {"power": lambda g, t: fmpq(1)},
    },
)
def rl_23(
    case: Case,
    *,
    scale: Any = lambda g: 1 - g,
    law: Any = chains.stationary,
    reducible: Any = IDENTITY,
    power: Any = lambda g, t: g**t,
) -> None:
    """Ranks of I − P; averages with their exact remainder; discounted sums with theirs; two metrics compared."""
    part = "stationary law"
    positive = [chains.chain(p, pi) for p, pi, _ in chains.family(12, 23)]
    single = [TWO, SWAP, UNICHAIN]
    case.within("Q", "one recurrent class: d = dP has one solution", every(map(one_law, single)), part=part)
    case.within(
        "Q",
        "which is a law",
        every(
            Answer(chains.push(d, matrix) == d and sum(d, fmpq(0)) == 1 and min(d) >= 0, f"d={show(d)}")
            for matrix in single
            for d in [law(matrix)]
        ),
        part=part,
    )
    case.outside("Q", "two classes (P = I): one solution", one_law(reducible), part=part)
    even, odd = (chains.push(chains.unit(0, 2), power_of(SWAP, n)) for n in (20, 21))
    case.corrected(
        "Q",
        "a periodic chain has one stationary law, and its law of S_t alternates",
        even != odd,
        f"{show(even)}, {show(odd)}",
        part=part,
    )

    def averages(matrix: Matrix, rewards: Any) -> Answer:
        size = len(rewards)
        if not one_law(matrix).holds:
            seen = [partial_average(matrix, rewards, s, 24) for s in range(size)]
            return Answer(len(set(map(str, seen))) == 1, f"averages {show(seen)} from the states in turn")
        d = law(matrix)
        gain = mean(d, rewards)
        rows = [[(1 if i == j else 0) - matrix[i][j] for j in range(size)] for i in range(size - 1)]
        bias = chains.solve([*rows, list(d)], [*(rewards[i] - gain for i in range(size - 1)), fmpq(0)])
        for n in (1, 5, 24):
            end = power_of(matrix, n)
            for s in range(size):
                remainder = (bias[s] - mean(end[s], bias)) / n
                if partial_average(matrix, rewards, s, n) != gain + remainder:
                    return Answer(False, f"n={n}, s₀={s}: {partial_average(matrix, rewards, s, n)}, r̄={gain}")
        return Answer(True, f"r̄={gain}")

    part = "average reward"
    cases = [(TWO, PAY), (SWAP, PAY), (UNICHAIN, numbers(9, 1, -1))]
    case.within(
        "Q",
        "one recurrent class: the average of n steps is r̄ + (h(s₀) − E h(S_n))/n, from every s₀",
        every(averages(*item) for item in cases),
        "; ".join(averages(*item).witness for item in cases),
        part=part,
    )
    case.outside("Q", "two classes (P = I): the same average from every s₀", averages(reducible, PAY), part=part)

    part = "v̄ as a sum"
    start, g = numbers("1/5", "4/5"), HALF

    def summed(matrix: Matrix, rewards: Any, first: Any, discount: Any) -> Answer:
        total, at = fmpq(0), first
        for t in range(20):
            total += power(discount, t) * mean(at, rewards)
            at = chains.push(at, matrix)
        rest = power(discount, 20) * mean(at, values(matrix, rewards, discount))
        whole = mean(first, values(matrix, rewards, discount))
        return Answer(total + rest == whole, f"twenty terms and the rest {total + rest}, Σ d v = {whole}")

    case.claimed(
        "Q",
        "Σ d v = Σ_{t<20} γ^t E R_{t+1} + γ^20 E v(S_20), with S₀ ~ d",
        every(
            [
                summed(TWO, PAY, start, g),
                *(
                    summed(
                        matrix, numbers(*range(1, len(matrix) + 1)), (fmpq(1, len(matrix)),) * len(matrix), fmpq(2, 3)
                    )
                    for matrix in positive
                ),
            ]
        ),
        part=part,
    )

    part = "r̄ = (1−γ)v̄"

    def matches(first: Any) -> Answer:
        gain, discounted = mean(chains.stationary(TWO), PAY), scale(g) * mean(first, values(TWO, PAY, g))
        return Answer(gain == discounted, f"r̄={gain}, (1−γ)v̄={discounted}")

    case.within("Q", "d = d_π", matches(law(TWO)), part=part)
    case.outside("Q", "d the start state", matches(chains.unit(0, 2)), part=part)
    case.comparison(
        "Q",
        "reference.occupancy",
        processes.stationary_law(lambda p, pi: chains.stationary(chains.chain(p, pi))),
        part="stationary law",
    )


def power_of(matrix: Matrix, exponent: int) -> Matrix:
    """matrix to a power."""
    result = tuple(chains.unit(i, len(matrix)) for i in range(len(matrix)))
    for _ in range(exponent):
        result = tuple(chains.push(row, matrix) for row in result)
    return result
