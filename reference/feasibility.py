r"""Whether the flow problem has a solution, and on which pairs: support and reachability (OCC-03).

An occupancy of finite divergence charges no pair without data. Hence it avoids every *dead* state: one without data, or
one whose every action with data may lead to a dead state. If a dead state has initial probability, no occupancy is
left; the error names the state that cannot be avoided. Otherwise d = 0 at pairs that may lead to dead states, and in
states that the remaining pairs never reach. Elsewhere the policy that takes every remaining pair is a Slater point.
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Bool, Float64
from scipy import sparse

from reference.divergence import Divergence
from reference.mdp import MDP
from reference.rounding import admissible_defect, sum_minus_one

__all__ = ["InfeasibleFlow", "Support", "check_law", "support"]


class InfeasibleFlow(ValueError):
    """No occupancy of the MDP has a finite divergence from the data; the message names what prevents it."""


@dataclasses.dataclass(frozen=True, eq=False)
class Support:
    """Where an optimal occupancy may be positive.

    * `pairs` `(S, A)`: available, with data, leading to no dead state, in a state that such pairs reach from `mu0`.
    * `dead` `(S,)`: states that must be avoided: V = -inf there in the limit; the other states without a pair in
      `pairs` are reached by nothing: V = +inf.
    """

    pairs: Bool[np.ndarray, "S A"]
    dead: Bool[np.ndarray, " S"]

    @property
    def states(self) -> Bool[np.ndarray, " S"]:
        """States that an occupancy may visit."""
        return np.asarray(self.pairs.any(axis=1))


def support(mdp: MDP, behavior: Float64[np.ndarray, "S A"], divergence: Divergence) -> Support:
    """Find the pairs that an occupancy may charge, or raise `InfeasibleFlow` (OCC-03).

    `behavior` is a law on (S, A), zero at unavailable pairs. ValueError if it is not.
    """
    check_law(mdp, behavior)
    allowed = behavior > 0.0
    dead = np.asarray(~allowed.any(axis=1))
    allowed, dead, cause = _spread(mdp, allowed, dead) if dead.any() else (allowed, dead, np.arange(mdp.n_states))
    started = np.flatnonzero(dead & (mdp.initial > 0.0))
    if started.size:
        raise InfeasibleFlow(_unavoidable(int(started[0]), cause, mdp))
    visited = _reached(mdp, allowed)
    pairs = allowed & visited[:, None]
    unused = np.argwhere((behavior > 0.0) & ~pairs)
    if len(unused) and not math.isfinite(_price_of_zero(divergence)):
        state, action = (int(i) for i in unused[0])
        why = "no policy reaches that state" if allowed[state, action] else (
            f"that pair may lead to state {_culprit(mdp, state, action, dead)}, which cannot be left alive: it must be "
            "avoided because data are missing there or behind it"
        )  # fmt: skip
        raise InfeasibleFlow(
            f"{divergence!r} has f(0) = inf, so an occupancy must charge every pair with data, but it cannot charge "
            f"state {state}, action {action} (behavior {behavior[state, action]:g}): {why}. Remove those data from "
            "behavior, or use a generator with finite f(0), such as KL()"
        )
    return Support(pairs, dead)


def _price_of_zero(divergence: Divergence) -> float:
    with np.errstate(all="ignore"):
        return float(divergence.f(0.0)) if divergence.smallest_ratio == 0.0 else math.inf


def check_law(mdp: MDP, behavior: Float64[np.ndarray, "S A"]) -> None:
    """Raise `ValueError` unless `behavior` is a law on the available pairs, up to rounding."""
    if behavior.shape != mdp.rewards.shape:
        raise ValueError(f"behavior has shape {behavior.shape}: expected (S, A) = {mdp.rewards.shape}.")
    bad = np.argwhere(~(np.isfinite(behavior) & (behavior >= 0.0)) | ((behavior > 0.0) & ~mdp.available))
    if len(bad):
        state, action = (int(i) for i in bad[0])
        seen = behavior[state, action]
        expected = "a probability >= 0" if not (np.isfinite(seen) and seen >= 0.0) else "0, because it is not available"
        raise ValueError(
            f"behavior[{state}, {action}] (state {state}, action {action}) is {seen:g}: expected {expected}."
        )
    defect, limit = float(sum_minus_one(behavior.reshape(1, -1))[0]), admissible_defect(behavior.size)
    if abs(defect) > limit:
        raise ValueError(
            f"behavior sums to {1.0 + defect!r}: expected 1 up to rounding (within {limit:.1e}): a law on all pairs. "
            "Divide it by its sum if that is what you mean; counts and policies are not such laws"
        )


def _edges(mdp: MDP, pairs: Bool[np.ndarray, "S A"]) -> sparse.csr_array:
    """Possible moves of the given pairs, as a CSR matrix (number of pairs, S)."""
    rows = mdp.matrix[np.flatnonzero(pairs)]
    matrix = sparse.csr_array(rows)
    matrix.eliminate_zeros()
    return matrix


def _spread(
    mdp: MDP, allowed: Bool[np.ndarray, "S A"], dead: Bool[np.ndarray, " S"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Remove pairs that may lead to dead states until no state dies; `cause` points a dead state to one behind it."""
    index = np.flatnonzero(allowed)
    arriving = sparse.csr_array(_edges(mdp, allowed).T)
    allowed, dead = allowed.copy(), dead.copy()
    owner = index // mdp.n_actions
    remaining = np.bincount(owner, minlength=mdp.n_states)
    alive = np.ones(index.size, dtype=np.bool_)
    cause = np.arange(mdp.n_states)
    frontier = np.flatnonzero(dead)
    while frontier.size:
        counts = np.diff(arriving.indptr)[frontier]
        hit = np.concatenate([arriving.indices[arriving.indptr[s] : arriving.indptr[s + 1]] for s in frontier])
        behind = np.repeat(frontier, counts)
        hit, first = np.unique(hit, return_index=True)
        fresh = alive[hit]
        hit, behind = hit[fresh], behind[first][fresh]
        alive[hit] = False
        np.subtract.at(remaining, owner[hit], 1)
        died = (remaining[owner[hit]] == 0) & ~dead[owner[hit]]
        cause[owner[hit][died]] = behind[died]
        frontier = np.unique(owner[hit][died])
        dead[frontier] = True
    allowed.ravel()[index[~alive]] = False
    return allowed, dead, cause


def _reached(mdp: MDP, allowed: Bool[np.ndarray, "S A"]) -> Bool[np.ndarray, " S"]:
    """States that the allowed pairs reach from the initial distribution; with discount 0 only its own."""
    visited = mdp.initial > 0.0
    if visited.all() or mdp.discount == 0.0:
        return visited
    index = np.flatnonzero(allowed)
    edges = _edges(mdp, allowed)
    owner = index // mdp.n_actions
    merge = sparse.csr_array((np.ones(index.size), (owner, np.arange(index.size))), shape=(mdp.n_states, index.size))
    steps = sparse.csr_array(merge @ edges)
    frontier = np.flatnonzero(visited)
    while frontier.size:
        found = np.concatenate([steps.indices[steps.indptr[s] : steps.indptr[s + 1]] for s in frontier])
        frontier = np.unique(found[~visited[found]])
        visited[frontier] = True
    return visited


def _culprit(mdp: MDP, state: int, action: int, dead: Bool[np.ndarray, " S"]) -> int:
    """A dead state to which the pair may lead."""
    chosen = np.zeros(mdp.rewards.shape, dtype=np.bool_)
    chosen[state, action] = True
    reached = _edges(mdp, chosen).indices
    return int(reached[dead[reached]].min())


def _unavoidable(start: int, cause: np.ndarray, mdp: MDP) -> str:
    path = [start]
    while cause[path[-1]] != path[-1]:
        path.append(int(cause[path[-1]]))
    remedy = "Add data there, or start elsewhere"
    where = f"state {start}, which has initial probability {mdp.initial[start]:g}"
    if len(path) == 1:
        return (
            f"behavior has no data in {where}: every occupancy visits it, and none has a ratio to the data. {remedy}."
        )
    shown = " -> ".join(str(s) for s in (path if len(path) <= 6 else [*path[:5], "...", path[-1]]))
    return (
        f"behavior has no data in state {path[-1]}, which cannot be avoided from {where}: every action with data may "
        f"lead to it ({shown}). {remedy}, or add data for an action that avoids it."
    )
