r"""Softmax policies: what policy gradients move (C9).

    pi(a|s) = exp(phi(s, a) . theta) / sum_b exp(phi(s, b) . theta),    over the available actions,
    grad log pi(a|s) = phi(s, a) - sum_b pi(b|s) phi(s, b),             the *score*, of mean zero in every state.

With one parameter for each pair (`tabular`) the parameters are the logits, and every policy that may take any action
is there. With other features states share parameters, and a policy gradient is no longer one state after another.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float64, Int

from reference.certify import ELEMENTARY
from reference.mdp import MDP
from reference.rounding import UNIT_ROUNDOFF, gamma_n

__all__ = ["Softmax", "tabular"]


@dataclass(frozen=True, eq=False)
class Softmax:
    """The policies of `features` `(S, A, D)` over the `available` actions `(S, A)`; those of other pairs are ignored.

    Parameters `theta` are `(..., D)`: all functions work for many at once. `ValueError` if shapes do not fit or a
    feature is not finite.
    """

    features: Float64[np.ndarray, "S A D"]
    available: Bool[np.ndarray, "S A"]

    def __post_init__(self) -> None:
        if self.features.ndim != 3 or self.features.shape[:2] != self.available.shape:
            raise ValueError(
                f"features and available have shapes {self.features.shape} and {self.available.shape}: expected "
                "(S, A, D) and (S, A)."
            )
        bad = np.argwhere(~np.isfinite(self.features))
        if len(bad):
            state, action, index = bad[0]
            raise ValueError(
                f"feature {index} of state {state}, action {action} is {self.features[state, action, index]}: "
                "expected a finite number (0 where the action is not available)."
            )

    @property
    def dimension(self) -> int:
        """How many parameters there are: `D`."""
        return self.features.shape[2]

    @cached_property
    def differences(self) -> Float64[np.ndarray, "S A D"]:
        """Features less those of the first available action, 0 at unavailable pairs.

        They give the same policies. Scores come from them, so that what is the same for all actions leaves exactly 0.
        """
        first = self.features[np.arange(len(self.features)), self.available.argmax(axis=1)]
        return np.where(self.available[:, :, None], self.features - first[:, None, :], 0.0)

    def logits(self, theta: Float64[np.ndarray, "... D"]) -> Float64[np.ndarray, "... S A"]:
        """`phi . theta`, `-inf` at unavailable pairs. `ValueError` for parameters of another number or not finite."""
        theta = np.asarray(theta, dtype=np.float64)
        if theta.shape[-1:] != (self.dimension,) or not np.isfinite(theta).all():
            raise ValueError(
                f"theta has shape {theta.shape} with {int((~np.isfinite(theta)).sum())} entries that are not finite: "
                f"expected finite numbers of shape (..., D) with D = {self.dimension}."
            )
        return np.where(self.available, np.tensordot(theta, self.features, axes=(-1, 2)), -np.inf)

    def probabilities(self, theta: Float64[np.ndarray, "... D"]) -> Float64[np.ndarray, "... S A"]:
        """`pi(a|s)`."""
        logits = self.logits(theta)
        powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return powers / powers.sum(axis=-1, keepdims=True)

    def scores(self, theta: Float64[np.ndarray, "... D"]) -> Float64[np.ndarray, "... S A D"]:
        """`grad log pi(a|s)` of every pair, 0 at unavailable ones."""
        means = np.einsum("...sa,sad->...sd", self.probabilities(theta), self.differences)
        return np.where(self.available[:, :, None], self.differences - means[..., None, :], 0.0)

    def scores_at(
        self,
        probabilities: Float64[np.ndarray, "N A"],
        states: Int[np.ndarray, " N"],
        actions: Int[np.ndarray, " N"],
    ) -> Float64[np.ndarray, "N D"]:
        """`grad log pi(a|s)` of one pair each, given `pi(.|s)` of its state."""
        features = self.differences[states]
        return features[np.arange(len(states)), actions] - np.einsum("na,nad->nd", probabilities, features)

    def accuracy(self, theta: Float64[np.ndarray, " D"]) -> float:
        """`e` with `|pi(a|s) - p| <= e p` for every entry `p` of `probabilities(theta)` and the exact `pi`.

        A logit takes as many roundings as its features have entries that are not zero, its distance to the largest one
        more; relative errors of exponentials count twice, for their sum as well. `ValueError` where a probability is
        too small for a float64 of full precision: no relative bound exists there.
        """
        logits, probabilities = self.logits(theta), self.probabilities(theta)
        small = np.argwhere(self.available & (probabilities < np.finfo(np.float64).tiny))
        if len(small):
            state, action = small[0]
            raise ValueError(
                f"the probability of action {action} in state {state} is {probabilities[state, action]}: expected one "
                "that float64 holds with full precision. Logits of a state must not differ by more than 700."
            )
        terms = int(np.count_nonzero(self.features, axis=2).max(initial=1))
        sizes = np.abs(self.features) @ np.abs(theta)
        gaps = np.where(self.available, logits.max(axis=1, keepdims=True) - np.where(self.available, logits, 0.0), 0.0)
        exponent = gamma_n(terms + 1) * float(sizes.max()) + UNIT_ROUNDOFF * float(gaps.max()) + ELEMENTARY
        return float(np.expm1(2.0 * exponent + gamma_n(2 * self.available.shape[1] + 4)))


def tabular(mdp: MDP) -> Softmax:
    """One parameter for each pair, its logit: parameter `s * A + a` (those of unavailable pairs do nothing)."""
    return Softmax(np.eye(mdp.rewards.size).reshape(*mdp.rewards.shape, mdp.rewards.size), mdp.available)
