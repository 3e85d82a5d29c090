"""Chapter PRI: the multiplicative priority of the public ROER code, p <- p (1 - b + b u / mean_B(p u)).

u = clip(e^{delta/beta}, 1, max_clip), then p <- max(p, min_clip); sampling is uniform and p multiplies the loss.

Where a claim is::

    replicator  PRI-01, PRI-02   the map on the full batch: its fixed points, and where it goes instead
    clips       PRI-03, PRI-04   the floor and the two clips
    sampling    PRI-05, PRI-06   weighting against sampling, and mini-batches

Importing the package enters them all.
"""

from __future__ import annotations

from proofs.pri import clips, replicator, sampling

__all__ = ["clips", "replicator", "sampling"]
