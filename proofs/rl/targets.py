"""What the targets of Q-learning and DQN aim at: the maximum, and a target that moves (RL-19, RL-22)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from flint import fmpq

from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.exact import mean, solve
from proofs.rl import chains
from proofs.rl.chains import HALF, Vector, numbers, show
from proofs.verdict import FALSE, THEOREM, TRUE

#: Two independent estimates of 0, each +1 or −1 with probability 1/2: all four outcomes are equally likely.
SIGNS = tuple(itertools.product(numbers(1, -1), repeat=2))


@claim(
    "RL-19",
    source=("004 C7", "004 C8"),
    statement="(Companion to the targets of Q-learning and DQN.) The maximum of unbiased estimates is biased upwards.",
    formula="E max_i X_i ≥ max_i E X_i, with E max = 1/2 for two fair signs",
    stated=THEOREM,
    corrected="Valuing the action that one estimate prefers by an independent second estimate has no such bias here.",
    method="Q",
    derivation=(
        "Two independent estimates of 0, each ±1 with probability 1/2: their maximum is 1 in three cases of four and "
        "−1 in one, so its mean is 3/4 − 1/4 = 1/2, although both true values are 0.",
        "In general max_i X_i ≥ X_j for each j; take the mean, then the largest right side.",
        "If an independent copy Y values the action argmax X, its mean is that of Y: 0.",
    ),
    twins={
        "mean in place of the maximum": {"target": lambda x: sum(x, fmpq(0)) / len(x)},
        "minimum in place of the maximum": {"target": min},
        "the first estimate alone": {"target": lambda x: x[0]},
        "the second estimate is the first": {"double": lambda x, y: x[x.index(max(x))]},
    },
)
def rl_19(case: Case, *, target: Any = max, double: Any = lambda x, y: y[x.index(max(x))]) -> None:
    """All outcomes of two estimates, and of two pairs of estimates."""
    expected = sum((target(x) for x in SIGNS), fmpq(0)) / len(SIGNS)
    case.theorem("Q", "E max of two ±1 estimates of 0 is 1/2", expected == HALF, f"E max = {expected}, max E = 0")
    truth = numbers("3/2", "-1/4")
    shifted = sum((target(chains.add(truth, x)) for x in SIGNS), fmpq(0)) / len(SIGNS)
    case.theorem(
        "Q", "with the true values 3/2 and −1/4 it exceeds the larger", shifted > max(truth), f"E max = {shifted}"
    )
    crossed = sum((double(x, y) for x in SIGNS for y in SIGNS), fmpq(0)) / len(SIGNS) ** 2
    case.corrected("Q", "an independent second estimate is unbiased", crossed == 0, f"mean {crossed}")


#: A leads to B or C with probability 1/2 each; B pays 1 and C pays 0, then the end. γ = 1. Weights of A, B, C.
VISITS = numbers(1, "1/2", "1/2")


def moving_loss(q: Sequence[Any], frozen: Sequence[Any]) -> Any:
    """J with the target computed from `frozen`: DQN's printed objective has frozen = q."""
    a, b, c = q
    toward = ((frozen[1] - a) ** 2 + (frozen[2] - a) ** 2) / 2
    return VISITS[0] * toward + VISITS[1] * (1 - b) ** 2 + VISITS[2] * (0 - c) ** 2


def slope(loss: Any, point: Sequence[Any]) -> Vector:
    """The gradient of a quadratic, exactly, by central differences."""
    size = len(point)
    steps = [chains.unit(i, size) for i in range(size)]
    return tuple((loss(chains.add(point, e)) - loss(chains.add(point, e, -1))) / 2 for e in steps)


def minimiser(loss: Any, size: int) -> Vector:
    """Where the gradient of a strictly convex quadratic vanishes."""
    origin = (fmpq(0),) * size
    constant = slope(loss, origin)
    columns = [chains.add(slope(loss, chains.unit(i, size)), constant, -1) for i in range(size)]
    return solve([[columns[j][i] for j in range(size)] for i in range(size)], [-x for x in constant])


@claim(
    "RL-22",
    source="004 C8",
    statement="DQN minimises J(w) = E(R + γ max q̂(S',·,w) − q̂(S,A,w))²; with a target network the target is held "
    "fixed while the main network learns.",
    formula="argmin_w E(R + γ max_a q̂(S',a,w) − q̂(S,A,w))² = q*;  with w_target frozen: argmin = E[target]",
    stated={"minimiser": FALSE, "target network": TRUE},
    corrected=(
        "E(target − q)² = (E[target] − q)² + Var(target), and the variance depends on w as well: its minimiser is not "
        "q*. With w_target frozen the variance is a constant and the minimiser is E[target|s,a]: fitted Q-iteration."
    ),
    method="Q",
    derivation=(
        "A leads to B or C with probability 1/2; B pays 1, C pays 0, γ = 1. The truth is (q_A, q_B, q_C) = (½, 1, 0).",
        "J = ½[(B−A)² + (C−A)²] + ½(1−B)² + ½C². ∂_A: A = (B+C)/2; ∂_B: 2B = 1 + A; ∂_C: 2C = A.",
        "So A = (1 + 2A)/4: the minimiser is (½, ¾, ¼), which pulls B and C together to make A's target less noisy.",
        "With B, C frozen in A's target the three equations separate: A = (B + C)/2 and B = 1, C = 0.",
    ),
    twins={
        "the frozen target": {"loss": lambda q: moving_loss(q, numbers("1/2", 1, 0))},
        "the squared mean error": {
            "loss": lambda q: ((q[1] + q[2]) / 2 - q[0]) ** 2 + (1 - q[1]) ** 2 / 2 + q[2] ** 2 / 2
        },
        "the target network moves along": {"frozen": lambda q, target: moving_loss(q, q)},
        "the variance dropped": {"spread": lambda target, centre: fmpq(0)},
    },
)
def rl_22(
    case: Case,
    *,
    loss: Any = lambda q: moving_loss(q, q),
    frozen: Any = moving_loss,
    spread: Any = lambda target, centre: mean(numbers("1/2", "1/2"), [(x - centre) ** 2 for x in target]),
) -> None:
    """Exact minimisers of the quadratic losses; the decomposition into squared bias and variance."""
    truth = numbers("1/2", 1, 0)
    found = minimiser(loss, 3)
    case.claimed(
        "Q",
        "the minimiser of J is q*",
        found == truth,
        f"argmin {show(found)}, q* = {show(truth)}; J = {loss(found)} < {loss(truth)}",
        part="minimiser",
    )
    case.support(
        "Q",
        "q* is (½, 1, 0), by an exact solve",
        chains.process([[[0, "1/2", "1/2"]], [[0, 0, 0]], [[0, 0, 0]]], [[0], [1], [0]], 1).values(((fmpq(1),),) * 3)
        == truth,
        part="minimiser",
    )
    trials = [numbers(2, 0, 1), numbers(0, 3, -1), truth]

    def decomposed(q: Any) -> Answer:
        centre = (q[1] + q[2]) / 2
        left = ((q[1] - q[0]) ** 2 + (q[2] - q[0]) ** 2) * HALF
        right = (centre - q[0]) ** 2 + spread(q[1:], centre)
        return Answer(left == right, f"{left} and {right} at q = {show(q)}")

    case.corrected(
        "Q", "E(target − q)² = (E target − q)² + Var(target)", every(map(decomposed, trials)), part="minimiser"
    )

    def fitted(target: Any) -> Answer:
        reached = minimiser(lambda q: frozen(q, target), 3)
        wanted = ((target[1] + target[2]) / 2, fmpq(1), fmpq(0))
        return Answer(reached == wanted, f"argmin {show(reached)}, E[target] {show(wanted)}")

    case.claimed(
        "Q",
        "with the target frozen the minimiser is the mean target",
        every(map(fitted, trials)),
        part="target network",
    )
    iterate = numbers(7, 7, 7)
    for _ in range(2):
        iterate = minimiser(lambda q, target=iterate: moving_loss(q, target), 3)
    case.corrected(
        "Q", "freezing and fitting twice arrives at q* here", iterate == truth, show(iterate), part="target network"
    )
