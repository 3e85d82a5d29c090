r"""The exact side of linear function approximation (C8): what semi-gradient methods do on average, and where they stop.

A method with target T^ moves its weights by a (T^ - phi . w) phi. For an affine operator T x = M x + b (`Affine`), with
entries updated under a law d, D = diag(d), that is in expectation

    w + a (c - A w),        A = Phi^T D (I - M) Phi,        c = Phi^T D b,                                    (RL-20)

which stops at the *projected fixed point* Phi w = Pi T Phi w, Pi the projection in |x|_d^2 = sum d x^2. Monte Carlo's
target does not move with w: it stops at Pi v (`projection`). If M shrinks in that norm by the factor kappa (`modulus`;
kappa <= gamma for a policy's operator under the law of the states that the policy meets, `on_policy_law`), then

    w^T A w = |x|_d^2 - <x, M x>_d >= (1 - kappa) |x|_d^2,      x = Phi w                                     (RL-21)

so A is positive definite, expected updates with small steps converge, and with Pythagoras

    |Phi w - v|_d  <=  |Pi v - v|_d / sqrt(1 - kappa^2)  <=  |Pi v - v|_d / (1 - kappa)                       (RL-20)

(Tsitsiklis and Van Roy 1997, lemma 6 and theorem 1, for the two forms). Under other laws none of this need hold.

Fixed points come with a proven bound: with R close to A^{-1} and ||I - R A|| = alpha < 1 in the maximum norm,
|w' - w| <= max |R (c - A w')| / (1 - alpha) for every w' (Rump 2010, Acta Numerica 19, section 10), A and c being those
of the given floats: how far the computed entries are from them is charged (Higham 2002, section 3.1).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Complex128, Float64

from reference.checks import check_policy
from reference.learning.features import check_features, check_law
from reference.learning.operators import Affine
from reference.learning.task import Task
from reference.mdp import MDP
from reference.occupancy import stationary_distribution
from reference.rounding import gamma_n

__all__ = [
    "ApproximationBounds", "LinearSolution", "LinearSystem", "Stability", "approximation_bounds",
    "expected_semi_gradient", "law_norm", "modulus", "on_policy_law", "pair_law", "projected_fixed_point", "projection",
    "spectral_radius", "stability", "td_system",
]  # fmt: skip

_SMALLEST = 2.0**-1074  # what one underflowing product can lose


@dataclass(frozen=True, eq=False)
class LinearSystem:
    """`A w = c` over `D` weights: `matrix` and `offset` as computed, and how far each entry may be from exact."""

    matrix: Float64[np.ndarray, "D D"]
    offset: Float64[np.ndarray, " D"]
    matrix_error: Float64[np.ndarray, "D D"]
    offset_error: Float64[np.ndarray, " D"]

    def update(self, weights: Float64[np.ndarray, "*R D"]) -> Float64[np.ndarray, "*R D"]:
        """The expected update `c - A w`, per unit of step."""
        return self.offset - weights @ self.matrix.T

    def expected_weights(
        self, start: Float64[np.ndarray, " D"], step_size: float, steps: int
    ) -> Float64[np.ndarray, "K D"]:
        """The weights after `k = 0 .. steps` expected updates: what the figures of diverging methods show (RL-21)."""
        weights = [np.asarray(start, dtype=np.float64)]
        for _ in range(steps):
            weights.append(weights[-1] + step_size * self.update(weights[-1]))
        return np.array(weights)

    @property
    def curl(self) -> Float64[np.ndarray, "D D"]:
        """`A - A^T`: zero exactly where the update descends some function, which a semi-gradient does not (RL-20)."""
        return self.matrix - self.matrix.T


class LinearSolution(NamedTuple):
    """`weights` `(D,)` and `values` `Phi w` `(N,)`, each within its bound of the exact one, in every entry."""

    weights: Float64[np.ndarray, " D"]
    values: Float64[np.ndarray, " N"]
    weights_bound: float
    error_bound: float


class Stability(NamedTuple):
    """Of `w <- w + a (c - A w)`: what `A` decides.

    * `eigenvalues` of `A`: the expected update converges for small steps where all real parts are positive, `stable`.
    * `margin`: the least eigenvalue of `(A + A^T) / 2`, positive where `A` is positive definite.
    * `largest_step`: steps below it leave `I - a A` with a spectral radius below one; 0 if there are none.
    """

    eigenvalues: Complex128[np.ndarray, " D"]
    margin: float
    largest_step: float

    @property
    def stable(self) -> bool:
        """Whether every eigenvalue has a positive real part."""
        return bool((np.real(self.eigenvalues) > 0.0).all())


class ApproximationBounds(NamedTuple):
    """Bounds on `|Phi w - v|_d`: with `sqrt(1 - kappa^2)`, and with `1 - kappa` in the denominator."""

    sharp: float
    loose: float


def td_system(operator: Affine, features: Float64[np.ndarray, "N D"], law: Float64[np.ndarray, " N"]) -> LinearSystem:
    """`A = Phi^T D (I - M) Phi` and `c = Phi^T D b`, for any affine operator and any law (RL-20, RL-21).

    `ValueError` if features or law do not fit the operator.
    """
    check_features(features, len(operator.offset))
    check_law(law, len(operator.offset))
    moved, size = residual_features(operator, features)
    sizes = np.abs(features)
    return assembled(features.T * law, sizes.T * law, moved, size, operator.offset)


def residual_features(operator: Affine, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`(I - M) Phi`, and the sums of magnitudes that its rounding is measured by."""
    sizes = np.abs(features)
    return features - operator.matrix @ features, sizes + np.abs(operator.matrix) @ sizes


def assembled(
    left: np.ndarray, left_size: np.ndarray, moved: np.ndarray, size: np.ndarray, right: np.ndarray,
    right_error: np.ndarray | float = 0.0,
) -> LinearSystem:  # fmt: skip
    """`left @ moved` and `left @ right`, with what rounding can have done to them.

    Entries of `left` and of `moved` carry at most `N + 2` roundings relative to their sizes, a product of the two `N`
    more; the sizes are rounded as often, so twice the count is charged. `right_error` bounds what `right` lacks.
    """
    count = len(moved)
    charge = gamma_n(2 * (3 * count + 8))
    tiny = 4 * (count + 2) ** 2 * _SMALLEST * (1.0 + float(size.max())) * (1.0 + float(left_size.max()))
    reach = np.abs(right)
    return LinearSystem(
        left @ moved,
        left @ right,
        charge * (left_size @ size) + tiny,
        charge * (left_size @ reach) + (1.0 + charge) * (left_size @ np.broadcast_to(right_error, reach.shape)) + tiny,
    )


def solved(system: LinearSystem, features: Float64[np.ndarray, "N D"]) -> LinearSolution:
    """The solution with its proven bound. `ValueError` where float64 cannot tell that there is exactly one."""
    matrix, offset = system.matrix, system.offset
    size = len(offset)
    charge, outward = gamma_n(2 * (size + 4)), 1.0 + gamma_n(8 * (size + 8))
    try:
        inverse = np.linalg.inv(matrix)
    except np.linalg.LinAlgError:
        raise _not_unique(size) from None
    weights = inverse @ offset
    weights = weights + inverse @ (offset - matrix @ weights)
    distance = np.abs(inverse)
    defect = np.abs(np.eye(size) - inverse @ matrix) + charge * (np.eye(size) + distance @ np.abs(matrix))
    alpha = outward * float((defect + distance @ system.matrix_error).sum(axis=1).max())
    if not alpha < 1.0:
        raise _not_unique(size)
    residual = np.abs(offset - matrix @ weights) + charge * (np.abs(offset) + np.abs(matrix) @ np.abs(weights))
    residual += system.offset_error + system.matrix_error @ np.abs(weights) + 4 * size * _SMALLEST
    bound = outward * float((distance @ residual).max()) / (1.0 - alpha) * outward
    lengths = np.abs(features)
    error = lengths.sum(axis=1) * bound + gamma_n(2 * (size + 1)) * (lengths @ np.abs(weights)) + size * _SMALLEST
    return LinearSolution(weights, features @ weights, bound, outward * float(error.max()))


def projected_fixed_point(
    operator: Affine, features: Float64[np.ndarray, "N D"], law: Float64[np.ndarray, " N"]
) -> LinearSolution:
    """Where the expected update of the semi-gradient method stops, `Phi w = Pi T Phi w`, with a proven bound (RL-20).

    `ValueError` if float64 cannot tell that there is exactly one: the features may depend on one another where the law
    is positive, and off-policy the equation may have no solution or many.
    """
    return solved(td_system(operator, features, law), features)


def projection(
    features: Float64[np.ndarray, "N D"],
    law: Float64[np.ndarray, " N"],
    values: Float64[np.ndarray, " N"],
    error: float = 0.0,
) -> LinearSolution:
    """`argmin |Phi w - values|_d`: what Monte Carlo's expected update stops at, for the values of the policy (RL-20).

    Also what a frozen target leads to (RL-22). `values` may be off by `error`; the bound is for the exact ones. Raises
    as `projected_fixed_point`.
    """
    check_features(features, len(values))
    check_law(law, len(values))
    sizes = np.abs(features)
    return solved(assembled(features.T * law, sizes.T * law, features, sizes, values, error), features)


def expected_semi_gradient(
    target: Float64[np.ndarray, " N"],
    features: Float64[np.ndarray, "N D"],
    law: Float64[np.ndarray, " N"],
    weights: Float64[np.ndarray, " D"],
) -> Float64[np.ndarray, " D"]:
    """`Phi^T D (target - Phi w)`: the expected update for whatever expected target; Q-learning's is not affine.

    Entries of `law` zero do not count, whatever the target is there (`-inf` at unavailable pairs).
    """
    counted = law > 0.0
    kept = features[counted]
    return kept.T @ (law[counted] * (target[counted] - kept @ weights))


def stability(matrix: Float64[np.ndarray, "D D"]) -> Stability:
    """Whether, how surely and up to which step the expected update with this `A` converges (RL-21).

    Eigenvalues are those of the floats up to the rounding of a backward stable algorithm.
    """
    eigenvalues = np.linalg.eigvals(matrix).astype(np.complex128)
    margin = float(np.linalg.eigvalsh(0.5 * (matrix + matrix.T))[0])
    steps = 2.0 * eigenvalues.real / np.maximum(np.abs(eigenvalues) ** 2, np.finfo(np.float64).tiny)
    return Stability(eigenvalues, margin, max(0.0, float(steps.min())))


def spectral_radius(matrix: Float64[np.ndarray, "D D"], step_size: float) -> float:
    """The factor by which `w <- w - a A w` grows in the long run: above one, it diverges (RL-21)."""
    return float(np.abs(np.linalg.eigvals(np.eye(len(matrix)) - step_size * matrix)).max())


def law_norm(values: Float64[np.ndarray, " N"], law: Float64[np.ndarray, " N"]) -> float:
    """`|values|_d`, over the entries of positive weight."""
    counted = law > 0.0
    return float(np.sqrt(law[counted] @ values[counted] ** 2))


def modulus(operator: Affine, law: Float64[np.ndarray, " N"]) -> float:
    """`max |M x|_d / |x|_d`, up to rounding; infinite where an entry of weight zero is bootstrapped from (RL-21)."""
    check_law(law, len(operator.offset))
    counted = law > 0.0
    if operator.matrix[np.ix_(counted, ~counted)].any():
        return np.inf
    root = np.sqrt(law[counted])
    return float(np.linalg.norm(root[:, None] * operator.matrix[np.ix_(counted, counted)] / root, 2))


def approximation_bounds(distance: float, modulus: float) -> ApproximationBounds:
    """Bounds on `|Phi w - v|_d` from the distance `|Pi v - v|_d` of the features from `v` (RL-20).

    With `x = Phi w - Pi v = Pi M (Phi w - v)` orthogonal to `Pi v - v`, `e^2 = |x|^2 + distance^2` and
    `|x| <= kappa e`. `ValueError` unless `0 <= modulus < 1`: otherwise there is no such bound.
    """
    if not 0.0 <= modulus < 1.0:
        raise ValueError(
            f"the modulus is {modulus!r}: expected 0 <= modulus < 1, as under the law of the policy's own states."
        )
    return ApproximationBounds(distance / float(np.sqrt((1.0 - modulus) * (1.0 + modulus))), distance / (1.0 - modulus))


def on_policy_law(task: Task, policy: Float64[np.ndarray, "S A"]) -> Float64[np.ndarray, " S"]:
    """How often `policy` acts in each state in the long run, episodes beginning anew where they end (RL-21).

    Zero in terminal states. `ValueError` if there are several recurrent classes, for then that depends on the start.
    """
    check_policy(policy, task.mdp.available)
    live = np.flatnonzero(~task.terminal)
    rows = np.einsum("sa,sat->st", policy, np.asarray(task.mdp.to_dense().transitions))
    begin = task.mdp.initial[live] / task.mdp.initial[live].sum()
    chain = rows[np.ix_(live, live)] + np.outer(rows[np.ix_(live, task.terminal)].sum(axis=1), begin)
    # Rounding must not cost the chain its row sums.
    chain = chain / chain.sum(axis=1, keepdims=True)
    restarted = MDP(chain[:, None, :], np.zeros((len(live), 1)), 0.0)
    law = np.zeros(task.mdp.n_states)
    law[live] = stationary_distribution(restarted, np.ones((len(live), 1)))
    return law


def pair_law(task: Task, policy: Float64[np.ndarray, "S A"]) -> Float64[np.ndarray, " SA"]:
    """`on_policy_law` times the probabilities of the actions, over pairs `s*A + a`."""
    return (on_policy_law(task, policy)[:, None] * policy).ravel()


def _not_unique(size: int) -> ValueError:
    return ValueError(
        f"float64 cannot tell that this system of {size} unknowns has exactly one solution: the features may depend on "
        "one another where the law is positive, or the law may be one under which the equation has none or many. Drop "
        "features that others determine, or use the law of the policy's own states."
    )
