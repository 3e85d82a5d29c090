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


def course_return(rewards: Sequence[Number], discount: Number) -> Number:
    """The return of source 004 C1, sum over i from 1 to t of gamma^{t-1} r_t: the index i occurs nowhere."""
    t = len(rewards)
    return sum(discount ** (t - 1) * rewards[t - 1] for _ in range(t))


def course_epsilon_greedy(epsilon: Number, n: Number) -> Number:
    """The probability of the greedy action among n in source 004 C5."""
    return 1 - epsilon / n * (n - 1)


def course_td_error(reward: Number, discount: Number, following: Number, here: Number) -> Number:
    """The TD error of source 004 C7, with the opposite sign of every other source."""
    return here - (reward + discount * following)


def course_td_update(value: Number, step: Number, reward: Number, discount: Number, following: Number) -> Number:
    """TD(0) in source 004 C7."""
    return value - step * (value - (reward + discount * following))
