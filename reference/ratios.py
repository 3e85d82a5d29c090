r"""The three ratios w = d/D that answer to the same name, side by side.

    relaxed       advantages of the behavior policy as fixed coefficients: no occupancy in general     (KL-04, KL-05)
    conditional   pi*/pi_D, mean one in every state: corrects no state marginal                       (OCC-06, GUM-01)
    occupancy     d*/d_D, the flow-constrained optimum: the law of a policy                            (OCC-01)

They coincide as beta grows, where all are one if D is the occupancy of the behavior policy, and differ below.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from reference.conditional import ConditionalSolution, conditional_value
from reference.divergence import KL, Divergence
from reference.evaluation import evaluate_policy
from reference.mdp import MDP
from reference.occupancy import occupancy_measure
from reference.regularized import RegularizedOccupancy, regularized_occupancy
from reference.solution import Solution
from reference.weights import Weights, optimal_weights

__all__ = ["Behavior", "Ratios", "behavior_of", "three_ratios"]


@dataclass(frozen=True, eq=False)
class Behavior:
    """What a behavior policy says about a process.

    * `policy` `(S, A)`; `evaluation`: its values; `advantage` `(S, A)`: A = q - v, NaN where not available.
    * `law` `(S, A)`: D, its discounted occupancy, summing to one.
    """

    policy: Float64[np.ndarray, "S A"]
    evaluation: Solution
    advantage: Float64[np.ndarray, "S A"]
    law: Float64[np.ndarray, "S A"]


@dataclass(frozen=True, eq=False)
class Ratios:
    """The three solutions at one temperature; the conditional problem knows KL only."""

    behavior: Behavior
    relaxed: Weights
    conditional: ConditionalSolution
    occupancy: RegularizedOccupancy


def behavior_of(mdp: MDP, policy: Float64[np.ndarray, "S A"]) -> Behavior:
    """Evaluate the behavior policy. ValueError if it is no distribution over available actions."""
    evaluation = evaluate_policy(mdp, policy)
    advantage = np.where(mdp.available, evaluation.q, np.nan) - evaluation.values[:, None]
    occupancy = occupancy_measure(mdp, policy)
    return Behavior(policy, evaluation, advantage, occupancy / math.fsum(occupancy.ravel()))


def three_ratios(
    mdp: MDP, policy: Float64[np.ndarray, "S A"], beta: float, divergence: Divergence | None = None
) -> Ratios:
    """Solve the three problems for the data of `policy` at temperature `beta`; KL if no `divergence` is given.

    Raises what `optimal_weights`, `conditional_value` and `regularized_occupancy` raise.
    """
    divergence = KL() if divergence is None else divergence
    behavior = behavior_of(mdp, policy)
    return Ratios(
        behavior,
        optimal_weights(behavior.advantage, behavior.law, beta, divergence),
        conditional_value(mdp, policy, beta),
        regularized_occupancy(mdp, behavior.law, beta, divergence),
    )
