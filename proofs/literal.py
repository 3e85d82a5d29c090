"""Literal transcriptions of formulas as the sources and the public ROER code state them, right or wrong.

They exist once, here; the claims run against them. Nothing else in this project may use them: what is right lives in
`reference` and `deep`. Every function works in any number system of `proofs.arithmetic`.
"""

from __future__ import annotations

from collections.abc import Sequence

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


def priority_signal(exponential: Number, cap: Number) -> Number:
    """What `update_priority` of the public ROER code computes of e^{delta/beta}: clipped to [1, max_clip]."""
    return min(max(exponential, cap / cap), cap)


def update_priority(priorities: Sequence[Number], signals: Sequence[Number], rate: Number) -> list[Number]:
    """`update_priority` of the public ROER code, scheme "avg", on a batch, without its floor."""
    total = priorities[0] * signals[0]
    for p, u in zip(priorities[1:], signals[1:], strict=True):
        total = total + p * u
    average = total / len(priorities)
    return [p * (1 - rate + rate * u / average) for p, u in zip(priorities, signals, strict=True)]


def update_priority_with_floor(
    priorities: Sequence[Number], signals: Sequence[Number], rate: Number, floor: Number
) -> list[Number]:
    """The same with the floor that follows in the public ROER code: max(p, min_clip)."""
    return [max(p, floor) for p in update_priority(priorities, signals, rate)]
