r"""Importance sampling (C10, RL-29): an expectation under one law from draws of another, with its exact moments.

    E_{p0} x = E_{p1}[w x],     w = p0 / p1,      if p1 > 0 wherever x p0 is not zero;

otherwise the right side lacks those outcomes, whatever the number of draws, and is refused here (`NotCovered`). With
p0 = (1/2, 1/2), x = (1, 3) and p1 = (1, 0) it would be 1/2 in place of 2. One term has the variance
sum p1 (w x - E x)^2, and E w^2 = 1 + chi^2(p0 || p1): what a mean over n draws costs grows with the mismatch of the
laws, by the product over the steps of a trajectory.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from reference.checks import check_policy
from reference.learning.task import draw

__all__ = [
    "ImportanceMoments", "NotCovered", "importance_estimates", "importance_moments", "importance_ratios",
    "weight_second_moment",
]  # fmt: skip


class NotCovered(ValueError):
    """Something counts that the sampling law never draws; the message says what."""


class ImportanceMoments(NamedTuple):
    """Mean and variance of one term `w x`; `low` and `high`: its smallest and largest possible value."""

    mean: float
    variance: float
    low: float
    high: float


def importance_moments(
    values: Float64[np.ndarray, " K"], target: Float64[np.ndarray, " K"], sampling: Float64[np.ndarray, " K"]
) -> ImportanceMoments:
    """Of `x p0 / p1` under the law p1 `sampling`, for the law p0 `target` (RL-29).

    `NotCovered` if an outcome with `x p0 != 0` is never drawn; `ValueError` for what is no law.
    """
    terms = _terms(values, target, sampling)
    possible = sampling > 0.0
    mean = float((sampling * terms).sum())
    variance = float((sampling * (terms - mean) ** 2).sum())
    return ImportanceMoments(mean, variance, float(terms[possible].min()), float(terms[possible].max()))


def importance_estimates(
    values: Float64[np.ndarray, " K"],
    target: Float64[np.ndarray, " K"],
    sampling: Float64[np.ndarray, " K"],
    draws: int,
    replications: int,
    rng: np.random.Generator,
) -> Float64[np.ndarray, " R"]:
    """Means of `w x` over `draws` outcomes of the law `sampling`, one for each replication. Raises as the moments."""
    terms = _terms(values, target, sampling)
    outcomes = draw(rng, np.broadcast_to(sampling, (draws * replications, len(sampling))))
    return terms[outcomes].reshape(replications, draws).mean(axis=1)


def weight_second_moment(target: Float64[np.ndarray, " K"], sampling: Float64[np.ndarray, " K"]) -> float:
    """`E w^2 = sum p0^2 / p1 = 1 + chi^2(p0 || p1)` (RL-29). `NotCovered` if an outcome of `target` is never drawn."""
    return float((target * _terms(np.ones(len(target)), target, sampling)).sum())


def importance_ratios(
    policy: Float64[np.ndarray, "S A"], behaviour: Float64[np.ndarray, "S A"]
) -> Float64[np.ndarray, "S A"]:
    """`policy / behaviour`, 0 where neither acts; `NotCovered` names the first pair that `behaviour` leaves out."""
    missing = np.argwhere((policy > 0.0) & ~(behaviour > 0.0))
    if len(missing):
        state, action = (int(i) for i in missing[0])
        raise NotCovered(
            f"behaviour[{state}, {action}] (state {state}, action {action}) is {behaviour[state, action]} and the "
            f"policy takes that action with probability {policy[state, action]}: expected a behaviour that may take "
            f"every action of the policy ({len(missing)} such pairs). Mix it with a policy that does."
        )
    return policy / np.where(behaviour > 0.0, behaviour, 1.0)


def _terms(values: np.ndarray, target: np.ndarray, sampling: np.ndarray) -> np.ndarray:
    """`x p0 / p1`, 0 for outcomes that are never drawn and do not count."""
    everything = np.ones((1, len(values)), dtype=np.bool_)
    for law in (target, sampling):
        check_policy(law[None], everything)
    missing = np.flatnonzero((values * target != 0.0) & ~(sampling > 0.0))
    if missing.size:
        i = int(missing[0])
        raise NotCovered(
            f"outcome {i} has value {values[i]} and target probability {target[i]} and is never drawn: expected "
            f"sampling[{i}] > 0 ({missing.size} such outcomes). Their share of the expectation would be lost."
        )
    return values * target / np.where(sampling > 0.0, sampling, 1.0)
