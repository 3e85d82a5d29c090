"""Approximate values by name, linear in features: held against the projected fixed point (C8).

It is as near as their expected update leads: what separates it from the values of the policy is the features' part.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from reference.learners.learner import Learner, no_noise, pairs, policy_of, shape_of
from reference.learning import (
    Step,
    StepSizes,
    Task,
    aggregated,
    following,
    linear_sarsa,
    linear_td,
    on_policy_law,
    pair_law,
    per_action,
    projected_fixed_point,
    sarsa_operator,
    td_operator,
)

__all__ = ["LINEAR", "state_features"]

_QUANTITY = "largest distance of a value from the projected fixed point"


def state_features(task: Task, source: str | None) -> Float64[np.ndarray, "S D"]:
    """A number of groups of consecutive states (by default half as many as states), or an `.npy` file `(S, D)`.

    Zero where episodes end. `ValueError` (`OSError` for a path that cannot be read) for a number that does not fit, or
    a file that holds no such matrix.
    """
    live = ~task.terminal
    count = int(live.sum())
    if source is not None and Path(source).suffix == ".npy":
        given = np.load(source, allow_pickle=False)
        if given.ndim != 2 or given.shape[0] != len(live) or given.dtype.kind not in "fiu":
            raise ValueError(f"{source} holds {given.dtype} of shape {given.shape}: expected numbers ({len(live)}, D)")
        return np.where(live[:, None], given.astype(np.float64), 0.0)
    groups = (count + 1) // 2 if source is None else int(source) if source.isdecimal() else 0
    if not 1 <= groups <= count:
        raise ValueError(f"features are {source!r}: expected a number of groups, 1 to {count}, or an .npy file (S, D)")
    return aggregated(np.where(live, (np.cumsum(live) - 1) * groups // count, -1))


def _met(features: Float64[np.ndarray, "N D"], law: Float64[np.ndarray, " N"]) -> Float64[np.ndarray, "N D"]:
    """Without the features of what is never met: their weights stay as they are, whatever they are."""
    kept = features[law > 0.0].any(axis=0)
    return features[:, kept]


def _of_states(task: Task, arguments: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    law = on_policy_law(task, policy_of(task, arguments))
    return _met(state_features(task, arguments.features), law), law


def _of_pairs(task: Task, arguments: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    law = pair_law(task, policy_of(task, arguments))
    features = per_action(state_features(task, arguments.features), task.mdp.n_actions)
    return _met(np.where(task.mdp.available.reshape(-1, 1), features, 0.0), law), law


def _projected_values(task: Task, arguments: argparse.Namespace) -> tuple[np.ndarray, float]:
    found = projected_fixed_point(td_operator(task, policy_of(task, arguments)), *_of_states(task, arguments))
    return found.values, found.error_bound


def _projected_action_values(task: Task, arguments: argparse.Namespace) -> tuple[np.ndarray, float]:
    found = projected_fixed_point(sarsa_operator(task, policy_of(task, arguments)), *_of_pairs(task, arguments))
    return pairs(task, found.values.reshape(task.mdp.rewards.shape)), found.error_bound


def _linear_td(task, arguments, sizes, rng):
    features, _ = _of_states(task, arguments)
    return linear_td(task, policy_of(task, arguments), features, sizes, *shape_of(arguments), rng)


def _linear_sarsa(task, arguments, sizes, rng):
    features, _ = _of_pairs(task, arguments)
    return linear_sarsa(task, following(policy_of(task, arguments)), features, sizes, *shape_of(arguments), rng)


def _approximated(parts: Callable[[Task, argparse.Namespace], tuple[np.ndarray, np.ndarray]]):
    def read(task: Task, arguments: argparse.Namespace) -> Callable[[Step], np.ndarray]:
        features, _ = parts(task, arguments)

        def values(step: Step) -> np.ndarray:
            with np.errstate(over="ignore", invalid="ignore"):  # weights may have diverged
                return step.table @ features.T

        return values

    def step_sizes(task: Task, arguments: argparse.Namespace) -> StepSizes:
        # Below one over the largest square, so that no update overshoots; the power asks for no eigenvalue.
        features, _ = parts(task, arguments)
        return StepSizes(1.0 / max(float((features**2).sum(axis=1).max()), np.finfo(np.float64).tiny), 2.0 / 3.0)

    return read, step_sizes


LINEAR = {
    "linear-td": Learner(_linear_td, _projected_values, no_noise, *_approximated(_of_states), _QUANTITY),
    "linear-sarsa": Learner(_linear_sarsa, _projected_action_values, no_noise, *_approximated(_of_pairs), _QUANTITY),
}
