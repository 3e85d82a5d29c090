"""Literal transcriptions of formulas as the sources and the public ROER code state them, right or wrong.

They exist once, here; the claims run against them. Nothing else in this project may use them: what is right lives in
`reference` and `deep`. Every function works in any number system of `proofs.arithmetic`.
"""

from __future__ import annotations

from proofs.arithmetic import Number, exp


def gumbel_loss(x: Number) -> Number:
    """The Gumbel (ExtremeQ) loss below the clip: e^x - x - 1, with x = (q - v)/alpha."""
    return exp(x) - x - 1


def gumbel_tail_published(x: Number, clip: Number, alpha: Number) -> Number:
    """`gumbel_rescale_loss_per` of the public ROER code beyond the clip: its linear part is divided by alpha again."""
    return gumbel_loss(clip) + (x - clip) * (exp(clip) - 1) / alpha


def gumbel_tail_comment(x: Number, clip: Number, alpha: Number) -> Number:
    """The same tail as the comment beside that code describes it: without the second division by alpha."""
    return gumbel_loss(clip) + (x - clip) * (exp(clip) - 1)
