"""Bounds for linear function approximation: rounding of systems and norms, and how far weights can get."""

from __future__ import annotations

import numpy as np
import tolerances_learning
from tolerances import Bound

from reference.learning import LinearSolution, Outcomes, StepSizes, Task, WeightEnvelope
from reference.rounding import gamma_n


def expected_update(task: Task, features: np.ndarray, weights: np.ndarray, terms: int, ratio: float = 1.0) -> Bound:
    """A mean of `terms` updates `rho (r + gamma phi' . w - phi . w) phi` under a law, and the same from matrices.

    Updates are differences of weights, so that one rounding of a weight counts in each; dot products take `2 D`, a
    target and a probability six roundings each, importance weights two. Matrices sum over entries at most as often.
    """
    width, long, heavy = features.shape[1], float(np.abs(features).max()), float(np.abs(weights).max())
    size = ratio * long * (task.mdp.largest_reward + 2.0 * width * long * heavy) + heavy
    roundings = 2 * (terms + len(features) + 4 * width + 16)
    return 2.0 * gamma_n(roundings) * size, f"gamma_{roundings}, twice, of a reward and two values: two expectations"


def norms(features: np.ndarray, law_error: float, *sizes: float) -> Bound:
    """Quadratic forms over `N` entries with `D` weights and a law of relative error `law_error`."""
    roundings = 4 * (len(features) + features.shape[1] + 4)
    return (gamma_n(roundings) + 2.0 * law_error) * float(np.sum(sizes)), f"gamma_{roundings} and the law's own error"


def stationary(size: int) -> float:
    """Relative error of a law by the elimination of Grassmann, Taksar and Heyman (O'Cinneide 1993): `2 N^3` roundings.

    The chain itself is made of sums over actions and first states, and of a division.
    """
    return gamma_n(2 * size**3 + size * (2 * size + 16))


def eigenvalues(matrix: np.ndarray, law_error: float) -> Bound:
    """Bauer and Fike (1960): the condition of the eigenvectors times the backward error of the QR algorithm.

    The matrix itself is off by what the law of its rows is off by, relative.
    """
    condition = float(np.linalg.cond(np.linalg.eig(matrix)[1]))
    roundings = 16 * len(matrix) ** 2
    bound = condition * (gamma_n(roundings) + law_error) * float(np.linalg.norm(matrix))
    return bound, f"Bauer-Fike, condition {condition:.1e}, gamma_{roundings} of the matrix"


def symmetric(matrix: np.ndarray) -> float:
    """Weyl: eigenvalues of a symmetric matrix move by the backward error at most."""
    return gamma_n(16 * len(matrix) ** 2) * float(np.linalg.norm(matrix))


def reach(outcomes: Outcomes, step_sizes: StepSizes, start: np.ndarray, steps: int) -> np.ndarray:
    """How long the weights can be after each step, whatever is drawn: `|I - a g h^T|` times it, and `a |r| |g|`."""
    reached = [float(np.linalg.norm(start))]
    lengths = np.linalg.norm(outcomes.gradients, axis=1) * np.abs(outcomes.rewards)
    for size in step_sizes(np.arange(1, steps + 1)):
        growth = np.linalg.norm(outcomes.maps(float(size))[:, :-1, :-1], 2, axis=(1, 2))
        reached.append(float((growth * reached[-1] + size * lengths).max()) * (1.0 + gamma_n(64)))
    return np.array(reached)


def moments(outcomes: Outcomes, steps: int, reached: float) -> float:
    """Roundings of `steps` steps of a learner and of the recursion of its moments, whose terms are within `reached`."""
    roundings = 8 * steps * (len(outcomes.sources) + 4 * outcomes.gradients.shape[1] + 8)
    return gamma_n(roundings) * (1.0 + reached)


def run(task: Task, envelope: WeightEnvelope, solution: LinearSolution, step: float, gain: float) -> Bound:
    """What the floats of a learner add to a proven bound on its run, whose functionals begin with the weights.

    An update rounds the weights and `step * gain` times a target, sixteen times at most, of a fixed point known to its
    bound; draws are off by the law of the uniform numbers. By (1) of `linear_envelope` these pushes pass through
    contractions, in a norm of known condition, and at most add up.
    """
    steps, width = len(envelope.bounds) - 1, len(solution.weights)
    heavy = float(np.abs(solution.weights).max() + envelope.bounds[:, :width].max())
    target = step * gain * (task.mdp.largest_reward + 2.0 * gain * width * heavy)
    push = gamma_n(16 + 2 * width) * (heavy + target) + tolerances_learning.sampled_law(task, 2.0 * target)
    push += step * gain * 2.0 * gain * width * solution.weights_bound
    bound = 2.0 * width * envelope.condition * (steps * push + solution.weights_bound)
    return bound, f"rounding of {steps} updates"
