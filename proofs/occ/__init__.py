"""Chapter OCC: the flow problem, whose optimum is the occupancy of a policy, and its dual (source 001; companions).

Where a claim is::

    duality      OCC-01, OCC-02, OCC-10   the dual, what normalises the ratio, bounds from both sides
    attainment   OCC-03                   when V* exists and is unique
    feasibility  OCC-04                   where the dual is finite and the primal feasible
    relaxed      OCC-05                   the problem of sources 000 and 002 as a Lagrangian
    conditional  OCC-06                   the ratios of policies
    sampled      OCC-07                   the TD errors of single samples
    limits       OCC-08, OCC-09           interior points, and the limits in beta

Importing the package enters them all.
"""

from __future__ import annotations

from proofs.occ import attainment, conditional, duality, feasibility, limits, relaxed, sampled

__all__ = ["attainment", "conditional", "duality", "feasibility", "limits", "relaxed", "sampled"]
