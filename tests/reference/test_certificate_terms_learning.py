"""The terms that bound the errors of policy gradients and of quadratic values, held against the worst rounding.

As `test_certificate_terms`: the model's worst, for probabilities that are as far from exact as they may be.
"""

import itertools
from fractions import Fraction

import numpy as np
import pytest
import tolerances
from worst_rounding import U, Worst, least, worst

from reference.learning.policy_certificate import Live, assemble, certify, shortfall
from reference.lqr_evaluation import LQROccupancy
from reference.mdp import MDP
from reference.occupancy import stationary_exponent

REASON = "the largest sum of roundings, u of each result, that the certificate must allow"
MOVES = np.array([[[0.3, 0.6], [0.1, 0.7]], [[0.9, 0.05], [0.2, 0.3]]])  # what is left of one ends
POLICY = np.array([[0.25, 0.75], [0.4, 0.6]])
ACCURACIES = (2.0**-52, 2.0**-30)


def live(accuracy: float) -> Live:
    """Two states that may end, under probabilities known to `accuracy`."""
    chain = np.einsum("sa,sat->st", POLICY, MOVES)
    return Live(np.arange(2), POLICY, accuracy, chain, MOVES, np.zeros((2, 2)))


def covered(row, quantity: str, loss: Fraction, size: Fraction, charge: Fraction) -> None:
    """Require `charge` to cover `loss`, and to be no more than a dozen times that and two roundings of `size`."""
    row("RL-24", f"worst rounding of {quantity}", least(loss), float(charge), REASON)
    factor, reason = tolerances.tightness()
    most = factor * float(loss + 2 * U * size) + 2.0**-900
    row("RL-24", f"charge for the rounding of {quantity}", float(charge), most, reason)


@pytest.mark.parametrize("accuracy", ACCURACIES)
def test_what_candidates_lack(row, accuracy):
    """|sum_a pi A| for advantages known to a radius."""
    policy = worst(POLICY, accuracy * POLICY)
    for scale, radius in itertools.product((0.0, 2.0**-20, 1.0), (0.0, 2.0**-60, 2.0**-40)):
        advantages = scale * np.array([[0.9, -0.3], [0.3, -0.7]])
        found = shortfall(live(accuracy), advantages, np.full((2, 2), radius))
        exact = (policy * worst(advantages, np.full((2, 2), radius))).sum(axis=1)
        seen = np.abs((POLICY * advantages).sum(axis=1))
        for state in range(2):
            size = sum(abs(Fraction(float(x))) for x in (POLICY * advantages)[state])
            size += Fraction(tolerances.EVALUATION) * Fraction(float(seen[state])) / U
            covered(
                row,
                "a shortfall",
                exact[state].loss,
                size,
                Fraction(float(found[state])) - Fraction(float(seen[state])),
            )


@pytest.mark.parametrize("accuracy", ACCURACIES)
@pytest.mark.parametrize("discount", [0.0, 0.9, 1.0])
def test_steps_until_the_end(row, accuracy, discount):
    """(I - gamma P_pi) t >= least for the exact policy, from a chain that is rounded."""
    found = certify(live(accuracy), discount, MDP([[[1.0]]], [[0.0]], 0.5))
    moves = worst(POLICY, accuracy * POLICY)
    chain = np.array(
        [[sum((moves[s, a] * MOVES[s, a, t] for a in range(2)), start=Worst(0)) for t in range(2)] for s in range(2)]
    )
    left = worst(found.steps) - discount * (chain @ worst(found.steps))
    seen = float(np.min(found.steps - discount * (live(accuracy).chain @ np.abs(found.steps))))
    loss, largest = min(number.loss for number in left), Fraction(float(found.steps.max()))
    size = largest * (2 + Fraction(accuracy) / U)
    covered(row, "steps until the end", loss, size, Fraction(seen) - Fraction(found.least))


@pytest.mark.parametrize("accuracy", ACCURACIES)
def test_sum_of_scores(row, accuracy):
    """sum eta pi A score, entry by entry, and the error of eta handed on."""
    scores = np.array([[[0.5, 2.0], [-0.5, 0.0]], [[0.0, 1.0], [3.0, -1.0]]])
    blurred = 2.0 * 2.0**-53 * np.abs(scores).max(axis=1, keepdims=True) * np.ones_like(scores)
    for scale, error, lost in itertools.product((2.0**-20, 1.0), (0.0, 2.0**-60, 2.0**-35), (0.0, 2.0**-60, 2.0**-35)):
        weights, advantages = np.array([1.7, 0.3]), scale * np.array([[0.9, -0.3], [0.3, -0.7]])
        blur = np.full((2, 2), error)
        gradient, bound = assemble(
            live(accuracy), scores, weights, advantages, blur, lambda sizes, lost=lost: lost * sizes.sum(axis=0)
        )
        taken = worst(weights, lost)[:, None] * worst(POLICY, accuracy * POLICY)
        exact = ((taken * worst(advantages, blur))[:, :, None] * worst(scores, blurred)).sum(axis=(0, 1))
        for entry in range(2):
            covered(row, "a sum of scores", exact[entry].loss, Fraction(0), Fraction(float(bound[entry])))
            far = abs(Fraction(float(gradient[entry])) - exact[entry].value)
            row("RL-24", "sum of scores", float(far), float(bound[entry]), "certified")


def test_covariance_of_an_occupancy(row):
    """M - m m' from a second moment and a mean that are known to a distance, of one state."""
    for mean, second, blur, far in itertools.product(
        (0.0, 2.0**-20, 1.0), (0.0, 1.0, 2.0**20), (0.0, 2.0**-40), (0.0, 2.0**-40)
    ):
        m, M = np.array([mean / 3.0]), np.array([[second / 7.0]])
        found = LQROccupancy(m, M, np.zeros((2, 2)), far, blur)
        # The mean is squared: its distance counts twice, and once squared.
        exact = worst(M, blur)[0, 0] - worst(m, far)[0] * worst(m, far)[0]
        loss = exact.loss + Fraction(far) ** 2
        row("OCC-02", "worst rounding of a covariance", least(loss), found.covariance_error, REASON)
        factor, reason = tolerances.tightness()
        size = 2 * U * (Fraction(float(M[0, 0])) + Fraction(float(m[0])) ** 2)
        row("OCC-02", "charge for a covariance", found.covariance_error, factor * float(loss + size), reason)


def chains(size: int) -> np.ndarray:
    """Chains of so many states, with probabilities of several sizes."""
    weights = np.random.default_rng(size).random((12, size, size)) ** np.array([1.0, 2.0, 4.0] * 4)[:, None, None]
    return weights / weights.sum(axis=2, keepdims=True)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 6])
def test_law_of_states(row, size):
    """Grassmann, Taksar and Heyman's elimination, entry by entry."""
    for chain in chains(size):
        loss = max(number.loss / number.value for number in eliminated(worst(chain)))
        row("RL-23", "worst rounding of a law", least(loss), stationary_exponent(size, 0.0), REASON)


@pytest.mark.parametrize("relative", ACCURACIES)
@pytest.mark.parametrize("size", [2, 3, 4])
def test_law_of_a_chain_that_is_not_quite_known(row, size, relative):
    """Probabilities that leave a state, each off by all that it may be in either direction."""
    exact = np.vectorize(Fraction)
    signs = np.random.default_rng(size).choice([-1, 1], (12, size, size))
    for chain, sign in zip(chains(size), signs, strict=True):
        known, other = (eliminated(exact(chain) * factor) for factor in (1, 1 + Fraction(relative) * sign))
        # 1 + x exceeds e^log(1 + x) by less than x^2.
        far = max(abs(new / old - 1) * (1 - abs(new / old - 1)) for new, old in zip(other, known, strict=True))
        bound = Fraction(stationary_exponent(size, relative)) - Fraction(stationary_exponent(size, 0.0))
        row("RL-23", "law of a chain that is off", float(far), float(bound), "2 m times the relative change")


def eliminated(chain: np.ndarray) -> np.ndarray:
    """The stationary distribution by censoring the last state, and so on; only what leaves a state enters."""
    chain, size = chain.copy(), len(chain)
    for last in range(size - 1, 0, -1):
        chain[:last, last] = chain[:last, last] / chain[last, :last].sum()
        chain[:last, :last] = chain[:last, :last] + chain[:last, last, None] * chain[None, last, :last]
    weights = np.full(size, type(chain[0, 0])(1))
    for state in range(1, size):
        weights[state] = (weights[:state] * chain[:state, state]).sum()
    return weights / weights.sum()
