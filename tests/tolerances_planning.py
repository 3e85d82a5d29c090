"""Bounds for the kernels and the solvers built on them, as `(bound, reason)`; see `tolerances`."""

from __future__ import annotations

import numpy as np
import tolerances
from tolerances import Bound

from reference.mdp import MDP


def repeated_backups(mdp: MDP, iterates: list[np.ndarray]) -> Bound:
    """Rounding of backups applied one after another to `iterates`: each adds its own and damps none of the earlier."""
    total = sum(float(tolerances.backup(mdp, np.abs(values))[0]) for values in iterates)
    growth = (1.0 + mdp.largest_defect) ** len(iterates) * (1.0 + tolerances.EVALUATION)
    return total * growth, f"the rounding of {len(iterates)} backups of a policy, added up"
