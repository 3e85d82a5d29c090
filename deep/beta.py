r"""Laws for beta, the temperature of the occupancy regulariser: one call in each jitted learning step.

    law(BetaState, delta (B,), mass (B,), settings) -> BetaState

    fixed                                  beta = settings.beta
    effective_sample_fraction(divergence)  E[w^2] = 1 / settings.ess_target                          (BET-03, ESS-11)
    kl_ball(divergence)                    KL(w p || p) = settings.kl_target                         (BET-01)
    feedback(divergence)                   beta exp(-eta (E/T - 1)), E the smoothed sample fraction  (ESS-05)
    feedback_as_printed                    beta exp(+eta (E/T - 1)): unstable, to be seen in a run   (ESS-03, ESS-04)

p = mass / sum(mass) is the law of the rows, w the optimal ratios of mean one at delta / beta, and E = 1 / E[w^2] the
effective sample size as a fraction of the rows. E is measured on these ratios, never on clipped ones: clipping breaks
the monotonicity on which every law here rests (ESS-10). The feedback laws are functions of E, T = settings.ess_target,
eta = settings.feedback_rate and rho = settings.feedback_smoothing.

Order, as in the note's pseudo-code: delta is that of the new value, E is measured at the beta of before, and the new
beta weighs this very batch and serves the value's next step. Targets are traced: one compiled program for all of them.

Small batches over-report: the expectation of E over batches of B rows tends to the fraction of the whole buffer from
above (ESS-13: weights 1 or 9 with equal chances have 0.61 over the buffer, 1 for B = 1, 0.80 for B = 2, 0.62 for
B = 8), so one and the same target asks for a somewhat smaller beta of a smaller batch.

Sources: the note on adaptive beta (ESS-*); J. Peters, K. Muelling, Y. Altuen, Relative Entropy Policy Search (2010).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from deep import weights
from deep.divergence import KL, Divergence
from deep.types import BetaState, Scalar, Settings

BetaLaw = Callable[[BetaState, Float[Array, " B"], Float[Array, " B"], Settings], BetaState]


def fixed(state: BetaState, td_error: Float[Array, " B"], mass: Float[Array, " B"], settings: Settings) -> BetaState:
    """``settings.beta``, whatever the data say."""
    del td_error, mass
    return state._replace(beta=jnp.asarray(settings.beta, state.beta.dtype))


# -- exact laws -------------------------------------------------------------------------------------------------------


def effective_sample_fraction(divergence: Divergence) -> BetaLaw:
    """The beta at which the batch's ratios have the effective sample fraction ``settings.ess_target`` (BET-03).

    Without state: whatever happened before, this batch gets this fraction. The fraction grows with beta for every
    divergence (ESS-11), from the mass of the best rows (for a capped divergence from what its cap allows) to one.
    Where the target is out of reach, beta is the bound that comes nearest: ``beta_min`` for a target below the mass of
    the rows that tie for the largest delta, as for rows that all tie; ``beta_max`` for a target of one. Likewise where
    the answer lies beyond a bound.
    """

    def law(state, td_error, mass, settings):
        target = settings.ess_target
        trials = bracket(td_error, mass, target, 1.0)
        beta = _meet(divergence, _chi_square, (1.0 - target) / target, trials, td_error, mass, settings)
        return state._replace(beta=beta)

    return law


def kl_ball(divergence: Divergence) -> BetaLaw:
    """The beta at which KL(w p || p) is ``settings.kl_target`` nats: for KL ratios the multiplier of REPS (BET-01).

    The divergence falls as beta grows (ESS-14), from -log(mass of the best rows) to zero. Out of reach, as in
    `effective_sample_fraction`, are targets above the first, which get ``beta_min``, and zero, which gets ``beta_max``.
    Rounding moves the answer by about eps / kl_target, relatively.
    """

    def law(state, td_error, mass, settings):
        target = settings.kl_target
        trials = bracket(td_error, mass, jnp.exp(-jnp.asarray(target)), 2.0)
        beta = _meet(divergence, weights.relative_entropy, target, trials, td_error, mass, settings)
        return state._replace(beta=beta)

    return law


def bracket(
    td_error: Float[Array, " B"], mass: Float[Array, " B"], fraction: Scalar, steepness: Scalar
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Bounds on the beta at which KL ratios have an effective sample fraction, or exp(-KL), of ``fraction`` (BET-03).

    With D* the mass of the best rows, the gap between the two largest delta, and the range R of all,

        gap / (k log((1 - D*)/(sqrt(a D*) - D*)))  <=  beta  <=  R / (2 arcosh(a^(-1/2)))

    with the steepness k = 1 for the effective sample fraction, 2 for exp(-KL). (0, ...) where a <= D*; (..., inf) for
    a = 1.
    """
    held = mass > 0
    top = jnp.max(td_error, where=held, initial=-jnp.inf)
    best = held & (td_error == top)
    share = jnp.sum(mass, where=best) / jnp.sum(mass)
    gap = top - jnp.max(td_error, where=held & ~best, initial=-jnp.inf)
    # sqrt(a D*) - D* = sqrt(D*)(a - D*)/(sqrt(a) + sqrt(D*)), where only a - D* cancels
    spare = jnp.sqrt(share) * (fraction - share) / (jnp.sqrt(fraction) + jnp.sqrt(share))
    reachable = (spare > 0) & jnp.isfinite(gap)
    steep = jnp.log((1.0 - share) / jnp.where(reachable, spare, 1.0))
    low = jnp.where(reachable, gap / (steepness * jnp.where(reachable, steep, 1.0)), 0.0)
    # arcosh(1 + y) with y = a^(-1/2) - 1, which a close to one would cancel
    y = jnp.expm1(-0.5 * jnp.log(fraction))
    arcosh = jnp.log1p(y + jnp.sqrt(y * (2.0 + y)))
    spread = top - jnp.min(td_error, where=held, initial=jnp.inf)
    high = jnp.where(arcosh > 0, 0.5 * spread / jnp.where(arcosh > 0, arcosh, 1.0), jnp.inf)
    return low, high


Concentration = Callable[[Float[Array, " B"], Float[Array, " B"]], Float[Array, ""]]


def _meet(
    divergence: Divergence,
    concentration: Concentration,
    radius: Scalar,
    trials: tuple[Float[Array, ""], Float[Array, ""]],
    td_error: Float[Array, " B"],
    mass: Float[Array, " B"],
    settings: Settings,
) -> Float[Array, ""]:
    """The beta in [beta_min, beta_max] where the concentration, which falls as beta grows, crosses ``radius``.

    Bisection of log beta. The first two trials are the bracket of KL ratios, which is proved for them alone: like
    every other trial they move the end that they are found to bound. Of the last two neighbours the warmer is
    returned, at which the ratios are no more concentrated than asked.
    """
    dtype = td_error.dtype

    def too_cold(beta: Float[Array, ""]) -> Bool[Array, ""]:
        ratio, _ = weights.tempered_ratio(divergence, td_error, beta, mass)
        return concentration(ratio, mass) >= radius

    def halve(step, ends):
        low, high = ends
        middle = jnp.sqrt(low) * jnp.sqrt(high)
        trial = jnp.clip(jnp.where(step == 0, trials[0], jnp.where(step == 1, trials[1], middle)), low, high)
        cold = too_cold(trial)
        return jnp.where(cold, trial, low), jnp.where(cold, high, trial)

    ends = jnp.asarray(settings.beta_min, dtype), jnp.asarray(settings.beta_max, dtype)
    return jax.lax.fori_loop(0, jnp.finfo(dtype).nmant + 10, halve, ends)[1]


def _chi_square(weight: Float[Array, " B"], mass: Float[Array, " B"]) -> Float[Array, ""]:
    """Var(w) / (E w)^2 = 1/E - 1 (ESS-01), without the cancellation of an effective sample fraction close to one."""
    law = mass / jnp.sum(mass)
    mean = jnp.sum(law * weight)
    return jnp.sum(law * jnp.square(weight - mean)) / jnp.square(mean)


# -- feedback ---------------------------------------------------------------------------------------------------------


def feedback(divergence: Divergence) -> BetaLaw:
    """E <- (1 - rho) E + rho S, beta <- clip(beta exp(-eta (E/T - 1))): the note's rule with the sign that is stable.

    S is the effective sample fraction of the batch's ratios at the present beta. With s = d log S / d log beta at the
    target (2 log(1/T) for KL ratios of Gaussian delta), the law is stable iff 0 < eta s < `largest_stable_gain`. It
    rings, with oscillations that shrink by sqrt(1 - rho) a step, iff (1 - sqrt(1 - rho))^2 < eta rho s <
    (1 + sqrt(1 - rho))^2: at the note's eta = 0.1, rho = 0.05, T = 1/2 it does, with |eigenvalue| = 0.9747 (ESS-05).
    """

    def law(state, td_error, mass, settings):
        return _servo(divergence, -settings.feedback_rate, state, td_error, mass, settings)

    return law


def feedback_as_printed(
    state: BetaState, td_error: Float[Array, " B"], mass: Float[Array, " B"], settings: Settings
) -> BetaState:
    """The note's rule as printed, exp(+eta (E/T - 1)) on exp(delta/beta): positive feedback (ESS-03).

    Its fixed point is a saddle for every eta and rho: beta runs to ``beta_min`` or ``beta_max``, whichever side of
    the target it starts on, and stays there (ESS-04). Literal but for the largest delta, which is subtracted before
    exp is taken: that changes no normalised weight, and exp(3/0.001) is no float.
    """
    return _servo(KL, settings.feedback_rate, state, td_error, mass, settings)


def _servo(
    divergence: Divergence,
    gain: Scalar,
    state: BetaState,
    td_error: Float[Array, " B"],
    mass: Float[Array, " B"],
    settings: Settings,
) -> BetaState:
    """One step of a feedback law, with ``gain`` the signed eta."""
    ratio, _ = weights.tempered_ratio(divergence, td_error, state.beta, mass)
    seen = weights.effective_sample_size(ratio, mass)
    rho, target = settings.feedback_smoothing, settings.ess_target
    smoothed = (1.0 - rho) * state.effective_sample_fraction + rho * seen
    beta = state.beta * jnp.exp(gain * ((smoothed - target) / target))
    return BetaState(jnp.clip(beta, settings.beta_min, settings.beta_max), smoothed)


def largest_stable_gain(smoothing: float) -> float:
    """4/rho - 2: `feedback` is stable for 0 < eta s below this, s = d log S / d log beta (ESS-05).

    ValueError for a smoothing coefficient outside (0, 1].
    """
    if not 0.0 < smoothing <= 1.0:
        raise ValueError(f"the smoothing coefficient is {smoothing!r}: expected 0 < rho <= 1; 1 does not smooth")
    return 4.0 / smoothing - 2.0
