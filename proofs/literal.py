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


def boltzmann_rising_with_energy(energy: Number, temperature: Number) -> Number:
    """The unnormalised Boltzmann weight of source 003 section 1.1, where E = -Q: e^(E/T)."""
    return exp(energy / temperature)


def soft_policy_printed(q: Number, alpha: Number, multiplier: Number) -> Number:
    """Source 003 sections 0.3.2 and 3.2.2.1: the stationary policy, not normalised yet, e^(Q/alpha - 1 - lambda)."""
    return exp(q / alpha - 1 - multiplier)


def soft_slope_printed(q: Number, log_policy: Number, alpha: Number, multiplier: Number) -> Number:
    """Source 003 section 3.2.2.1: the functional derivative of the Lagrangian, Q/alpha - log pi - 1 - lambda."""
    return q / alpha - log_policy - 1 - multiplier


def soft_reward_printed(reward: Number, log_policy: Number, alpha: Number) -> Number:
    """Source 003 section 2.3: the summand of the unrolled soft value, r + alpha log pi."""
    return reward + alpha * log_policy


def actor_loss_of_the_derivation(log_policy: Number, q: Number, alpha: Number) -> Number:
    """Source 003 section 3.3: the integrand after the constant was left out, (log pi - Q)/alpha."""
    return (log_policy - q) / alpha


def actor_objective_at_noise(q_of_action: Number, log_policy_of_noise: Number, alpha: Number) -> Number:
    """Source 003 section 4.1: the printed gradient's integrand, without a nabla and with log pi at epsilon."""
    return q_of_action - alpha * log_policy_of_noise


def temperature_loss_of_the_summary(log_policy: Number, alpha: Number, target: Number) -> Number:
    """Source 003 section 4.5: E[-alpha log pi + H-bar], a bracket short of section 0.4.3."""
    return -alpha * log_policy + target


def temperature_step_printed(log_alpha: Number, mean_log_policy: Number, target: Number, rate: Number) -> Number:
    """Source 003 section 4.3: log alpha <- -log alpha + eta alpha E[log pi + H-bar], with its leading minus."""
    return -log_alpha + rate * exp(log_alpha) * (mean_log_policy + target)


def temperature_step(log_alpha: Number, mean_log_policy: Number, target: Number, rate: Number) -> Number:
    """Source 003 section 4.4.4: the same update with a plus, log alpha + eta alpha E[log pi + H-bar]."""
    return log_alpha + rate * exp(log_alpha) * (mean_log_policy + target)


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
