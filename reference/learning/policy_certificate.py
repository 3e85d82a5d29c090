r"""What bounds the errors of exact policy gradients (C9): processes under a softmax policy, certified.

Let p be the float64 probabilities, within a relative e of the exact ones pi (`Softmax.accuracy`). As the exact
ones sum to one, what a candidate v lacks is R(s) = sum_a pi(a|s) A^(s, a), with A^ its own advantages: it is known to
e sum p |A^| and roundings. If t > 0 and (I - gamma P_pi) t >= b > 0, then (I - gamma P_pi)^{-1} is nonnegative and at
most t / b on ones, so |v_pi - v| <= max |R| t / b, and an error of eta is at most sum |residual| t / b in L1. t is the
number of steps that count, so the bound knows that episodes end, and needs no discount. For differential values t is
the number of steps to one state, where h = 0. The stationary law is known entry by entry (O'Cinneide 1993).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from reference.learning.softmax import Softmax
from reference.mdp import MDP
from reference.rounding import UNIT_ROUNDOFF, gamma_n, outward

__all__ = ["SMALLEST", "Live", "Steps", "assemble", "certify", "live_process", "shortfall"]

SMALLEST = 2.0**-1000  # more than all that underflowing products can lose


class Steps(NamedTuple):
    """`t` with `(I - gamma P_pi) t >= least`: the certificate of one linear system."""

    system: Float64[np.ndarray, "L L"]
    steps: Float64[np.ndarray, " L"]
    least: float

    @property
    def inverse(self) -> Float64[np.ndarray, " L"]:
        """A bound on the row sums of the inverse."""
        return outward(self.steps / self.least)


class Live(NamedTuple):
    """The process under a policy, where it has not ended."""

    states: np.ndarray
    policy: Float64[np.ndarray, "L A"]
    accuracy: float
    chain: Float64[np.ndarray, "L L"]
    transitions: Float64[np.ndarray, "L A L"]
    rewards: Float64[np.ndarray, "L A"]


def live_process(mdp: MDP, policy: Softmax, theta: np.ndarray, live: np.ndarray) -> Live:
    """The states `live` alone. `ValueError` if the policy is not one for the pairs of the process."""
    if policy.available.shape != mdp.rewards.shape or (policy.available != mdp.available).any():
        raise ValueError(
            f"the policy is for {policy.available.shape[0]} states with {int(policy.available.sum())} available pairs, "
            f"the process has {mdp.n_states} with {int(mdp.available.sum())}: expected the pairs of the process."
        )
    states = np.flatnonzero(live)
    probabilities = policy.probabilities(theta)[states]
    transitions = np.asarray(mdp.to_dense().transitions)[np.ix_(states, np.arange(mdp.n_actions), states)]
    transitions = transitions * mdp.available[states][:, :, None]
    chain = np.einsum("sa,sat->st", probabilities, transitions)
    return Live(states, probabilities, policy.accuracy(theta), chain, transitions, mdp.rewards[states])


def certify(found: Live, discount: float, mdp: MDP) -> Steps:
    """Solve for the steps, and hold them to their inequality. `ValueError` if float64 cannot tell that they end."""
    system = np.eye(len(found.chain)) - discount * found.chain
    try:
        steps = np.linalg.solve(system, np.ones(len(system)))
    except np.linalg.LinAlgError as error:
        raise _endless(mdp, discount) from error
    following = discount * (found.chain @ np.abs(steps))
    roundings = found.accuracy + gamma_n(found.policy.shape[1] + len(system) + 4)
    least = float(np.min(steps - following - roundings * (np.abs(steps) + following)))
    if not (least > 0.0 and (steps > 0.0).all()):
        raise _endless(mdp, discount)
    return Steps(system, steps, least)


def _endless(mdp: MDP, discount: float) -> ValueError:
    return ValueError(
        f"with discount {discount!r} the policy's episodes in {mdp!r} are too long for float64 to sum, or need not "
        "end: expected a terminal state that is reached from everywhere. Use a smaller discount."
    )


def shortfall(found: Live, advantages: np.ndarray, radius: np.ndarray) -> Float64[np.ndarray, " L"]:
    """A bound on `|sum_a pi A^|`, for the exact policy, which sums to one."""
    seen = np.abs((found.policy * advantages).sum(axis=1))
    relative = found.accuracy + gamma_n(found.policy.shape[1] + 2)
    charged = relative * (found.policy * np.abs(advantages)).sum(axis=1)
    return outward(seen + charged + (1.0 + relative) * (found.policy * radius).sum(axis=1))


def assemble(
    found: Live,
    scores: Float64[np.ndarray, "L A D"],
    weights: Float64[np.ndarray, " L"],
    advantages: Float64[np.ndarray, "L A"],
    error: Float64[np.ndarray, "L A"],
    first: Callable[[np.ndarray], np.ndarray],
) -> tuple[Float64[np.ndarray, " D"], Float64[np.ndarray, " D"]]:
    """(1) of `policy_gradient` and its error; `first` bounds `sum |d eta(s)| c(s)` for the error of the weights.

    Exact advantages have mean zero in every state, so the scores may be any features less a constant of the state: the
    rounding of what was subtracted costs nothing, those of the two differences a rounding of the largest ones.
    """
    size = advantages.size
    taken = weights[:, None] * found.policy
    gradient = np.einsum("sa,sad->d", taken * advantages, scores)
    lengths = np.abs(scores)
    reach = np.abs(advantages) + error
    per_state = (1.0 + found.accuracy) * np.einsum("sa,sad->sd", found.policy * reach, lengths)
    charged = (found.accuracy + gamma_n(size + 5)) * taken * reach + taken * error
    bound = first(per_state) + np.einsum("sa,sad->d", charged, lengths)
    bound += 4.0 * UNIT_ROUNDOFF * (taken * reach).sum(axis=1) @ lengths.max(axis=1)
    return gradient, outward((1.0 + gamma_n(2 * size + 8)) * bound) + SMALLEST
