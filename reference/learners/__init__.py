"""The methods that `python -m reference learn` offers by name, and the options that they take."""

import argparse
from collections.abc import Mapping

from reference.learners.learner import Learner as Learner
from reference.learners.linear import LINEAR
from reference.learners.policies import BASELINES as BASELINES
from reference.learners.policies import POLICIES
from reference.learners.tables import CONTROL, TABLES
from reference.learning import StepSizes, Task, constant

LEARNERS: Mapping[str, Learner] = {**TABLES, **LINEAR, **POLICIES}

_DEFAULTS = {"epsilon": 0.1, "n": 4, "policy": "uniform", "features": None, "baseline": "v", "horizon": None}
_TAKERS = {
    "epsilon": CONTROL,
    "n": ("n-step-td", "n-step-sarsa"),
    "policy": tuple(method for method in LEARNERS if method not in (*CONTROL, *POLICIES)),
    "features": tuple(LINEAR),
    "baseline": ("reinforce",),
    "horizon": ("reinforce",),
}


def complete(arguments: argparse.Namespace) -> None:
    """Fill in defaults; ValueError for an option that the method would ignore."""
    if arguments.steps is None:
        arguments.steps = LEARNERS[arguments.method].steps
    for option, default in _DEFAULTS.items():
        if getattr(arguments, option) is None:
            setattr(arguments, option, default)
        elif arguments.method not in _TAKERS[option]:
            raise ValueError(f"--{option}: {arguments.method} takes none, only {', '.join(_TAKERS[option])}")


def known_step_sizes(arguments: argparse.Namespace, task: Task) -> StepSizes:
    """The one given, for ever, or those of the method."""
    if arguments.step_size is not None:
        return constant(arguments.step_size)
    return LEARNERS[arguments.method].step_sizes(task, arguments)
