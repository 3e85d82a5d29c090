"""Chapter FD: what holds for every f-divergence (companions of source 002, section 12).

Where a claim is::

    table      FD-01          the conjugate table
    expansion  FD-02          the optimal ratio at high temperature
    duality    FD-03, FD-04   f-regression, and when its minimiser is the soft value
    caps       FD-05, FD-06   a linear extension is a cap; the Fermi-Dirac generator between its limits
    gauge      FD-07          adding c (w - 1) to f

Importing the package enters them all.
"""

from __future__ import annotations

from proofs.fd import caps, duality, expansion, gauge, table

__all__ = ["caps", "duality", "expansion", "gauge", "table"]
