"""Literal transcriptions of formulas as the sources and the public ROER code state them, right or wrong.

They exist once, here; the claims run against them. Nothing else in this project may use them: what is right lives in
`reference` and `deep`. Every function works in any number system of `proofs.arithmetic`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flint import fmpq

from proofs.arithmetic import Number, exp, log, maximum, minimum, sigmoid


def gumbel_loss(x: Number) -> Number:
    """The Gumbel (ExtremeQ) loss below the clip: e^x - x - 1, with x = (q - v)/alpha."""
    return exp(x) - x - 1


def gumbel_tail_published(x: Number, clip: Number, alpha: Number) -> Number:
    """`gumbel_rescale_loss_per` of the public ROER code beyond the clip: its linear part is divided by alpha again."""
    return gumbel_loss(clip) + (x - clip) * (exp(clip) - 1) / alpha


def gumbel_tail_comment(x: Number, clip: Number, alpha: Number) -> Number:
    """The same tail as the comment beside that code describes it: without the second division by alpha."""
    return gumbel_loss(clip) + (x - clip) * (exp(clip) - 1)


def gumbel_tail_flat(x: Number, clip: Number, alpha: Number) -> Number:
    """`gumbel_rescale_loss` of the public ROER code beyond the clip: x is replaced by the clip, a constant."""
    return gumbel_loss(clip) + 0 * x


def js_value_loss(diff: Number, alpha: Number) -> Number:
    """`js_divergence_loss` of source 002 section 8 before clip and norm: softplus(z) - log 2, z = diff/alpha."""
    return log((1 + exp(diff / alpha)) / 2)


def js_value_norm(sigmoids: Sequence[Number]) -> Number:
    """The detached normaliser of the same loss, for a batch of sigmoid(z): the mean of max(1/2, sigmoid)."""
    floors = [maximum(weight, fmpq(1, 2)) for weight in sigmoids]
    return sum(floors[1:], floors[0]) / len(floors)


def js_priority(z: Number, low: Number, high: Number) -> Number:
    """The JS priority of source 002 section 8: low + sigmoid(z) (high - low), `js_min_weight` and `js_max_weight`."""
    return low + sigmoid(z) * (high - low)


def effective_sample_size(weights: Sequence[Number]) -> Number:
    """Source 001, choice of the indicator: normalise, then 1 / sum of squares."""
    total = sum(weights[1:], weights[0])
    shares = [w / total for w in weights]
    return 1 / sum((share * share for share in shares[1:]), shares[0] * shares[0])


def batch_effective_sample_size(errors: Sequence[Number], beta: Number) -> Number:
    """Source 001, pseudo-code: the effective sample size of w_i = exp(delta_i / beta) on a batch."""
    return effective_sample_size([exp(delta / beta) for delta in errors])


def smoothed_size(previous: Number, current: Number, rho: Number) -> Number:
    """Source 001: hatE = (1 - rho) * hatE + rho * ESS_t."""
    return (1 - rho) * previous + rho * current


def beta_exponent(estimate: Number, target: Number, eta: Number) -> Number:
    """Source 001: the exponent eta * (hatE - E_target) / E_target of the update law of beta, sign as printed."""
    return eta * (estimate - target) / target


def clip(value: Number, low: Number, high: Number) -> Number:
    """The clip of source 001: no smaller than low, no larger than high."""
    return minimum(maximum(value, low), high)


def adaptive_beta(
    estimate: Number,
    beta: Number,
    size: Callable[[Number], Number],
    *,
    target: Number,
    eta: Number,
    rho: Number,
    bounds: tuple[Number, Number] | None,
    exponent: Callable[[Number, Number, Number], Number] = beta_exponent,
) -> tuple[Number, Number]:
    """Source 001, the body of the loop: (hatE, beta) after one iteration; `size` is ESS_t as a function of beta.

    Without bounds it is the law before the clip; another `exponent` is another law.
    """
    estimate = smoothed_size(estimate, size(beta), rho)
    beta = beta * exp(exponent(estimate, target, eta))
    return estimate, beta if bounds is None else clip(beta, *bounds)
