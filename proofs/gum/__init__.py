"""Chapter GUM: Gumbel (ExtremeQ) regression, the value loss of ROER, and its continuation beyond the clip.

The loss of a value v is E[e^x - x - 1] with x = (q - v)/alpha; beyond a clip c it is continued linearly.

Where a claim is::

    regression     GUM-01, GUM-04          what it fits, and the clipped loss that is as it should be
    clip           GUM-02, GUM-03          the two published continuations beyond the clip
    normaliser     GUM-05, GUM-06          the batch's own normaliser, and two caps that contradict each other

Importing the package enters them all.
"""

from __future__ import annotations

from proofs.gum import clip, normaliser, regression

__all__ = ["clip", "normaliser", "regression"]
