"""Empirical decision processes: what logged transitions say, and nothing that they do not say.

From `n(s, a, t)` transitions of pair `(s, a)` to state `t`, the maximum-likelihood estimate

    P[s, a, t] = n(s, a, t) / n(s, a),    r[s, a] = mean reward of the pair,    D(s, a) = n(s, a) / n

and no more: a pair that was never tried is unavailable. Source: Puterman, *Markov Decision Processes* (1994), for the
process; J. Fu et al., *D4RL* (2020), for the distinction of `terminated` from `truncated`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import fsum
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float64, Int64

from reference.layout import laid_out, merged
from reference.mdp import MDP, InvalidMDP
from reference.memory import require_memory

__all__ = ["LoggedMDP", "from_steps", "from_transitions"]


@dataclass(frozen=True, eq=False)
class LoggedMDP:
    """An empirical MDP and the visits behind it.

    * `mdp`: its last state is the absorbing one that `terminated` transitions lead to, if there were any.
    * `counts`: `(S, A)` how often each pair was tried; 0 at the absorbing state.
    """

    mdp: MDP
    counts: Int64[np.ndarray, "S A"]

    @property
    def law(self) -> Float64[np.ndarray, "S A"]:
        """The law `D` of the data, `n(s, a) / n`: the behavior of the relaxed problem (`reference.weights`).

        It is no occupancy of the process: the absorbing state has none of it. For a law that obeys the flow take the
        occupancy of `policy`.
        """
        return self.counts / self.counts.sum()

    @property
    def policy(self) -> Float64[np.ndarray, "S A"]:
        """The behavior policy, `n(s, a) / n(s)`; where nothing was tried, the one action that there is."""
        tried = self.counts.sum(axis=1, keepdims=True)
        return np.where(tried > 0, self.counts / np.maximum(tried, 1), self.mdp.available)


def from_transitions(
    states: npt.ArrayLike,
    actions: npt.ArrayLike,
    rewards: npt.ArrayLike,
    next_states: npt.ArrayLike,
    terminated: npt.ArrayLike,
    discount: float,
    *,
    truncated: npt.ArrayLike | None = None,
    n_states: int | None = None,
    n_actions: int | None = None,
    initial: npt.ArrayLike | None = None,
    close: bool = False,
) -> LoggedMDP:
    """The empirical MDP of `n` logged transitions, each argument of shape `(n,)`.

    `terminated` transitions lead to one absorbing state, added at the end, with reward 0. States and actions are
    numbered from 0; `n_states` and `n_actions` default to what is seen. With `truncated`, transitions are in order, and
    the first states of the episodes are `initial`; without it, `initial` is given (over `n_states`), or uniform.

    A state in which nothing was tried gets one action that repeats it with reward 0. That changes nothing where no
    transition leads to it. Where one does, its value would be an invention: this is an error that names the state,
    unless `close` asks for just that (a pessimistic choice where rewards are positive, and the reverse).

    Raises `InvalidMDP` for arrays of unequal length or of other kinds, numbers out of range and rewards that are not
    finite, naming the transition. Probabilities are rounded once, mean rewards twice.
    """
    s, a, t = (
        _indices(v, name) for v, name in ((states, "states"), (actions, "actions"), (next_states, "next_states"))
    )
    end, r = _flags(terminated, "terminated", s), _rewards(rewards)
    for name, column in (("actions", a), ("rewards", r), ("next_states", t)):
        _same_length(name, column, s)
    if len(s) == 0:
        raise InvalidMDP("no transition is given: expected at least one.")
    size = (_size("n_states", n_states, max(int(s.max()), int(t.max()))), _size("n_actions", n_actions, int(a.max())))
    shape = (size[0] + bool(end.any()), size[1])
    require_memory(
        64.0 * shape[0] * shape[1] + 128.0 * len(s),
        f"{shape[0]} states with {shape[1]} actions and {len(s)} transitions",
        "Number states and actions without gaps.",
    )
    pair = s * size[1] + a
    counts = np.bincount(pair, minlength=shape[0] * shape[1]).reshape(shape)
    available = counts > 0
    idle = np.flatnonzero(~available.any(axis=1))
    _check_dead_ends(idle[idle < size[0]], s, t, end, close)
    target = np.where(end, size[0], t)
    tried, inverse = np.unique(pair, return_inverse=True)
    moves, times = np.unique(pair * shape[0] + target, return_counts=True)
    moved, arrived = np.divmod(moves, shape[0])
    order = np.argsort(inverse)  # of any kind: `fsum` gives one mean whatever the order of a pair's rewards
    groups = np.split(r[order], np.cumsum(counts.ravel()[tried])[:-1])
    means = np.zeros(shape)
    means.flat[tried] = [fsum(group) / len(group) for group in groups]
    available[idle, 0] = True
    # Behind what was seen, the loops of the states in which nothing was tried.
    columns = (
        np.append(moved // size[1], idle),
        np.append(moved % size[1], np.zeros_like(idle)),
        np.append(arrived, idle),
        np.append(times / counts.ravel()[moved], np.ones(len(idle))),
    )
    matrix = merged(columns, shape)
    start = _initial(initial, truncated, s, end, shape[0])
    counts.setflags(write=False)
    return LoggedMDP(MDP(laid_out(matrix, shape), means, discount, start, available), counts)


def from_steps(steps: Iterable[Any], discount: float, **options: Any) -> LoggedMDP:
    """`from_transitions` of steps `(state, action, reward, next state, terminated, truncated)`, in order.

    That is what `env.step` of Gymnasium returns, behind the state and the action. `options` are those of
    `from_transitions`.
    """
    rows = []
    for index, step in enumerate(steps):
        if not isinstance(step, tuple | list) or len(step) != 6:
            raise InvalidMDP(
                f"step {index} is {step!r}: expected (state, action, reward, next state, terminated, truncated)."
            )
        rows.append(step)
    if not rows:
        raise InvalidMDP("no step is given: expected at least one.")
    s, a, r, t, terminated, truncated = (list(column) for column in zip(*rows, strict=True))
    return from_transitions(s, a, r, t, terminated, discount, truncated=truncated, **options)


def _check_dead_ends(idle: np.ndarray, s: np.ndarray, t: np.ndarray, end: np.ndarray, close: bool) -> None:
    """Refuse states in which nothing was tried although a transition leads there."""
    entered = idle[np.isin(idle, t[~end])]
    if entered.size and not close:
        state = int(entered[0])
        where = int(np.flatnonzero((t == state) & ~end)[0])
        raise InvalidMDP(
            f"state {state} is entered (transition {where}, from state {s[where]}) and no action was tried there: "
            f"expected data for every state that is entered alive ({entered.size} without). Leave out the transitions "
            "that lead there, or let them end with close=True (absorbing, reward 0)."
        )


def _initial(
    initial: npt.ArrayLike | None, truncated: npt.ArrayLike | None, s: np.ndarray, end: np.ndarray, n_states: int
) -> np.ndarray | None:
    """The distribution of first states: as given, or as seen at the start of episodes, or None."""
    if initial is not None:
        given = np.asarray(initial, dtype=np.float64)
        return np.append(given, np.zeros(max(0, n_states - len(given)))) if given.ndim == 1 else given
    if truncated is None:
        return None
    over = end | _flags(truncated, "truncated", s)
    first = s[np.append(True, over[:-1])]
    return np.bincount(first, minlength=n_states) / len(first)


def _indices(value: npt.ArrayLike, name: str) -> Int64[np.ndarray, " N"]:
    array = np.asarray(value)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise InvalidMDP(f"{name} is {array.dtype} of shape {array.shape}: expected whole numbers of shape (n,).")
    if array.size and int(array.min()) < 0:
        where = int(np.flatnonzero(array < 0)[0])
        raise InvalidMDP(f"{name}[{where}] is {array[where]}: expected a number of at least 0.")
    return array.astype(np.int64)


def _rewards(value: npt.ArrayLike) -> Float64[np.ndarray, " N"]:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidMDP(f"rewards cannot be read as float64 numbers of shape (n,): {error}") from error
    if array.ndim != 1:
        raise InvalidMDP(f"rewards has shape {array.shape}: expected (n,).")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise InvalidMDP(f"rewards[{bad[0]}] is {array[bad[0]]}: expected a finite number ({bad.size} such entries).")
    return array


def _flags(value: npt.ArrayLike, name: str, like: np.ndarray) -> np.ndarray:
    array = np.asarray(value)
    if array.ndim != 1 or not np.isin(array, (0, 1)).all():
        raise InvalidMDP(f"{name} is {array.dtype} of shape {array.shape}: expected booleans of shape (n,).")
    _same_length(name, array, like)
    return array.astype(np.bool_)


def _same_length(name: str, column: np.ndarray, like: np.ndarray) -> None:
    if len(column) != len(like):
        raise InvalidMDP(f"{name} has {len(column)} entries and states {len(like)}: expected one for each transition.")


def _size(name: str, given: int | None, largest: int) -> int:
    if given is not None and given <= largest:
        raise InvalidMDP(f"{name} is {given}: expected at least {largest + 1}, because {largest} occurs.")
    return largest + 1 if given is None else given
