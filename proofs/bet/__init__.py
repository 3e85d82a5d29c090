"""Chapter BET: choosing beta so that weights are as concentrated as asked.

Where a claim is::

    ball     BET-01, BET-02   a ball of relative entropy, and the curvature of its dual
    samples  BET-03, BET-04   a target for the effective sample size, and a floor under it

Importing the package enters them all.
"""

from __future__ import annotations

from proofs.bet import ball, samples

__all__ = ["ball", "samples"]
