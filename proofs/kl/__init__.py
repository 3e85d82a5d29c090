"""Chapter KL: what source 000 states about KL-regularised occupancy optimisation.

The relaxed problem: max_w E_D[w A] - beta E_D[w log w] subject to E_D[w] = 1, with w = d / D; z = A / beta.

Where a claim is::

    problem     KL-01, KL-02   the problem in the ratio w
    optimum     KL-03, KL-04   its solution and the certificate of it
    occupancy   KL-05, KL-06   the flow constraint that the problem relaxes
    td_error    KL-07          the TD error in the place of the advantage
    multiplier  KL-08          the multiplier, which KL alone can drop
    priority    KL-09          which priorities are optimal for some regulariser
    limits      KL-10, KL-11   small and large beta, and continuous laws

Importing the package enters them all.
"""

from __future__ import annotations

from proofs.kl import limits, multiplier, occupancy, optimum, priority, problem, td_error

__all__ = ["limits", "multiplier", "occupancy", "optimum", "priority", "problem", "td_error"]
