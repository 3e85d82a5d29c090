r"""Gradient descent on a sample (C6): the whole batch, a mini-batch or a single datum, with exact errors.

The problem is least squares over a finite law, uniform over n data,

    J(w) = E f(w, I),     f(w, i) = (x_i . w - y_i)^2 / 2,     grad f(w, i) = x_i (x_i . w - y_i),

for which gradient and expectation may be exchanged (RL-14: in general they may not). A mini-batch of b independent
draws is unbiased, with 1/b of the covariance of one; b = 1 is stochastic gradient descent, and what the notes print as
"BGD" is the mini-batch form. With x = 1 and a_k = 1/k the iterates are running means.

The error e = w - w* of `descend` has exact first and second moments, because the gradient is affine in e: with
residuals rho_i = y_i - x_i . w*, m = E e and M = E e e^T,

    m' = (I - a H) m,
    M' = M - a (H M + M H) + a^2 ((1 - 1/b) H M H + E[x x^T (x^T M x - 2 rho x^T m + rho^2)] / b).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64, Int

from reference.learning.schedules import StepSizes

__all__ = ["LeastSquares", "descend", "descent_moments"]


@dataclass(frozen=True, eq=False)
class LeastSquares:
    """Data `features` `(N, D)`, `labels` `(N,)`, each as likely as the other.

    `ValueError` if shapes do not fit or the features do not span their space: then there is no single minimiser.
    """

    features: Float64[np.ndarray, "N D"]
    labels: Float64[np.ndarray, " N"]

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or self.labels.shape != self.features.shape[:1]:
            raise ValueError(
                f"features and labels have shapes {self.features.shape} and {self.labels.shape}: expected (N, D), (N,)."
            )
        if np.linalg.matrix_rank(self.features) < self.features.shape[1]:
            raise ValueError(
                f"the features have rank {np.linalg.matrix_rank(self.features)}: expected {self.features.shape[1]}, "
                "or the minimiser is not unique. Drop the features that others determine."
            )

    @cached_property
    def hessian(self) -> Float64[np.ndarray, "D D"]:
        """`H = E x x^T`."""
        return self.features.T @ self.features / len(self.labels)

    @cached_property
    def minimiser(self) -> Float64[np.ndarray, " D"]:
        """`w*`, by orthogonal factorisation."""
        return np.linalg.lstsq(self.features, self.labels)[0]

    def gradient(self, w: Float64[np.ndarray, "R D"], batch: Int[np.ndarray, "R B"]) -> Float64[np.ndarray, "R D"]:
        """The mean of `grad f(w, i)` over the data `batch` of each replication."""
        features = self.features[batch]
        errors = np.einsum("rbd,rd->rb", features, w) - self.labels[batch]
        return np.einsum("rb,rbd->rd", errors, features) / batch.shape[1]


def descend(
    problem: LeastSquares,
    batch: int | None,
    step_sizes: StepSizes,
    start: Float64[np.ndarray, " D"],
    steps: int,
    replications: int,
    rng: np.random.Generator,
) -> Float64[np.ndarray, "K R D"]:
    """The iterates of `w - a_k (mean gradient over the batch)`, from `start`, `steps + 1` of them (C6, RL-14).

    `batch`: data drawn with replacement at each step; None takes all, and there is nothing random left.
    """
    if batch is not None and batch < 1:
        raise ValueError(f"batch is {batch!r}: expected at least 1 datum, or None for all.")
    size = len(problem.labels)
    iterates = np.empty((steps + 1, replications, len(start)))
    iterates[0] = start
    everything = np.broadcast_to(np.arange(size), (replications, size))
    for k, step_size in enumerate(step_sizes(np.arange(1, steps + 1))):
        chosen = everything if batch is None else rng.integers(size, size=(replications, batch))
        iterates[k + 1] = iterates[k] - step_size * problem.gradient(iterates[k], chosen)
    return iterates


def descent_moments(
    problem: LeastSquares, batch: int | None, step_sizes: StepSizes, start: Float64[np.ndarray, " D"], steps: int
) -> tuple[Float64[np.ndarray, "K D"], Float64[np.ndarray, "K D D"]]:
    """`E e_k` and `E e_k e_k^T` of the iterates of `descend`, exactly up to rounding (RL-14)."""
    features, hessian = problem.features, problem.hessian
    residuals = problem.labels - features @ problem.minimiser
    share = 0.0 if batch is None else 1.0 / batch
    dimension = len(start)
    mean, second = np.empty((steps + 1, dimension)), np.empty((steps + 1, dimension, dimension))
    mean[0] = start - problem.minimiser
    second[0] = np.outer(mean[0], mean[0])
    for k, size in enumerate(step_sizes(np.arange(1, steps + 1))):
        m, matrix = mean[k], second[k]
        squares = np.einsum("nd,de,ne->n", features, matrix, features) - 2.0 * residuals * (features @ m) + residuals**2
        single = (features.T * squares) @ features / len(residuals)
        gradient = (1.0 - share) * hessian @ matrix @ hessian + share * single
        mean[k + 1] = m - size * hessian @ m
        second[k + 1] = matrix - size * (hessian @ matrix + matrix @ hessian) + size**2 * gradient
    return mean, second
