"""The public per-task settings of the ROER code's 15 scripts, by the task's name without its version.

Everything that a script does not set is in the preset: cap 7 on the Gumbel loss's argument, rate 0.01 of the weights.
Source: the ``reproduce`` scripts of the official repository (revision 09249a3); where a table elsewhere disagrees with
them, the scripts are taken.
"""

import re
from typing import Any, NamedTuple


class Task(NamedTuple):
    """Cap on exp(td / beta), floor of the stored weight, beta, steps; the AntMaze scripts also shift rewards by -1."""

    ratio_max: float
    weight_floor: float
    beta: float
    steps: int = 1_000_000
    reward_shift: float = 0.0


_MAZE = {"steps": 2_000_000, "reward_shift": -1.0}
TASKS: dict[str, Task] = {
    "ant": Task(100.0, 10.0, 1.0),
    "halfcheetah": Task(50.0, 10.0, 4.0),
    "hopper": Task(100.0, 10.0, 0.4),
    "humanoid": Task(50.0, 10.0, 4.0),
    "walker2d": Task(50.0, 10.0, 4.0),
    "fish-swim": Task(100.0, 1.0, 1.0),
    "hopper-hop": Task(50.0, 1.0, 1.0),
    "hopper-stand": Task(100.0, 1.0, 1.0),
    "humanoid-run": Task(100.0, 1.0, 4.0),
    "humanoid-stand": Task(100.0, 1.0, 4.0),
    "quadruped-run": Task(100.0, 10.0, 1.0),
    "antmaze-umaze": Task(50.0, 10.0, 0.4, **_MAZE),
    "antmaze-umaze-diverse": Task(50.0, 1.0, 0.4, **_MAZE),
    "antmaze-medium-play": Task(50.0, 1.0, 0.4, **_MAZE),
    "antmaze-medium-diverse": Task(50.0, 1.0, 0.4, **_MAZE),
}


def task_settings(environment: str) -> dict[str, Any]:
    """The settings of the task that an environment's id names; none for a task without a script."""
    name = re.sub(r"-v\d+$", "", environment.split(":")[-1].split("/")[-1]).lower().replace("_", "-")
    return TASKS[name]._asdict() if name in TASKS else {}
