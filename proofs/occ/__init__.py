"""Chapter OCC: the flow problem, whose optimum is the occupancy of a policy, and its dual (source 001; companions).

Where a claim is::

    duality      OCC-01, OCC-02, OCC-10   the dual, what normalises the ratio, bounds from both sides
    attainment   OCC-03, OCC-04           when V* exists, and where the problem is feasible

Importing the package enters them all.
"""

from __future__ import annotations

from proofs.occ import attainment, duality

__all__ = ["attainment", "duality"]
