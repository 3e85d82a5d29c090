"""What a solver returns: an answer, how far off it can be, and how the run ended."""

from dataclasses import dataclass
from enum import Enum
from importlib import import_module

import numpy as np
from jaxtyping import Float64


class Status(Enum):
    """How a run ended. The value of a member is its message."""

    CONVERGED = "converged: the certified error bound is within the tolerance"
    DIRECT = "solved directly: the error bound is what rounding leaves"
    ROUNDING_FLOOR = (
        "not converged: rounding prevents a certified error within the tolerance; values carry the bound that holds. "
        "Ask for a larger tolerance, or use a smaller discount or smaller rewards"
    )
    MAX_ITERATIONS = (
        "not converged: stopped at max_iterations before the tolerance was met; values carry the bound that holds. "
        "Raise max_iterations, or use policy iteration"
    )

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, eq=False, repr=False)
class Solution:
    """Values of an MDP (or of a policy) with a certificate.

    * `values` `(S,)`: `v`; `q` `(S, A)`: `r + gamma P v`, `-inf` at unavailable pairs.
    * `policy` `(S, A)`: probabilities of actions.
    * `error_bound`: a true bound on `max |values - exact values|` for the floats of the MDP, rounding included. It
      comes from one independent pass over the model (`reference.certify`), never from the solver's own stopping test.
    * `status`: how the run ended; `iterations`: how many steps it took; `solver`: which solver ran; `reason`: why that
      one, where it was chosen for the caller, or what else there is to say about the run.
    * `offset`, `deviation` `(S,)`: the same values before they were rounded to one float each, `offset + deviation`.
      For discounts near one their common part is large: differences of `values` carry its rounding, differences of
      `deviation` do not, and neither does what is certified from the two (`reference.certificate.certify`).
    """

    values: Float64[np.ndarray, " S"]
    q: Float64[np.ndarray, "S A"]
    policy: Float64[np.ndarray, "S A"]
    error_bound: float
    status: Status
    iterations: int
    solver: str = ""
    offset: float = 0.0
    deviation: Float64[np.ndarray, " S"] | None = None
    reason: str = ""

    @property
    def converged(self) -> bool:
        """Whether the run ended as asked."""
        return self.status in (Status.CONVERGED, Status.DIRECT)

    def __repr__(self) -> str:
        states, actions = self.q.shape
        ending = self.status.name.lower().replace("_", " ")
        return (
            f"Solution({states} states, {actions} actions, error <= {self.error_bound:.1e}, {ending}, "
            f"{self.solver}, {self.iterations} iterations)"
        )

    def _repr_html_(self) -> str:
        return import_module("reference.show").to_html(self)
