r"""Features of states and of pairs, for value functions that are linear in their weights (C8).

    v(s, w) = phi(s) . w,       q(s, a, w) = phi(s, a) . w

Features are the rows of a matrix `(N, D)`, one for each state, or one for each pair `s*A + a` as in `Affine`. One-hot
features are a table again. Several aggregations side by side (`numpy.hstack`) are tile coding (Sutton and Barto 2018,
section 9.5.4). Learners never read the rows of terminal states, nor those of unavailable pairs: let them be zero, and
the values there are what they should be.
"""

import numpy as np
import numpy.typing as npt
from jaxtyping import Float64

__all__ = ["aggregated", "check_features", "check_law", "one_hot", "per_action"]


def one_hot(size: int) -> Float64[np.ndarray, "N N"]:
    """One weight for each entry: the table itself."""
    if size < 1:
        raise ValueError(f"size is {size!r}: expected at least 1 entry.")
    return np.eye(size)


def aggregated(groups: npt.ArrayLike) -> Float64[np.ndarray, "N D"]:
    """One weight for each group of entries: `groups[i]` is that of entry `i`, or -1 for none (a zero row).

    `ValueError` unless the groups are integers from -1 on, at least one of them a group.
    """
    given = np.asarray(groups)
    if given.ndim != 1 or given.dtype.kind not in "iu" or given.size == 0 or given.min() < -1 or given.max() < 0:
        raise ValueError(f"groups is {groups!r}: expected one integer for each entry, from 0, or -1 for none.")
    return (given[:, None] == np.arange(int(given.max()) + 1)).astype(np.float64)


def per_action(features: Float64[np.ndarray, "S D"], n_actions: int) -> Float64[np.ndarray, "SA AD"]:
    """Features of pairs: those of the state, with weights of their own for each action."""
    if n_actions < 1:
        raise ValueError(f"n_actions is {n_actions!r}: expected at least 1.")
    size, width = features.shape
    pairs = np.zeros((size, n_actions, n_actions, width))
    for action in range(n_actions):
        pairs[:, action, action] = features
    return pairs.reshape(size * n_actions, n_actions * width)


def check_features(features: np.ndarray, size: int) -> None:
    """Raise `ValueError` unless `features` is a finite `(size, D)` matrix, `D >= 1`."""
    if features.ndim != 2 or features.shape[0] != size or features.shape[1] < 1:
        raise ValueError(
            f"features have shape {features.shape}: expected ({size}, D), a row for each state, or for each pair "
            "s*A + a of an action-value method."
        )
    bad = np.argwhere(~np.isfinite(features))
    if len(bad):
        raise ValueError(f"features[{bad[0, 0]}, {bad[0, 1]}] is {features[tuple(bad[0])]}: expected finite numbers.")


def check_law(law: np.ndarray, size: int) -> None:
    """Raise `ValueError` unless `law` holds `size` finite weights `>= 0`, at most one each, that are not all zero."""
    if law.shape != (size,):
        raise ValueError(f"law has shape {law.shape}: expected ({size},), like the table that it weights.")
    bad = np.flatnonzero(~((law >= 0.0) & (law <= 1.0)))
    if len(bad) or not law.any():
        where = f"law[{bad[0]}] is {law[bad[0]]}" if len(bad) else "law is zero everywhere"
        raise ValueError(f"{where}: expected probabilities, some of them positive.")
