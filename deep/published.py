r"""Two recipes as they were published, literally, for comparison: their formulas and what is known to be wrong in them.

``roer-published`` is the public ROER code (its revision of 2024-07-16, ``per_type`` "OER", scheme "avg"). With
x = (q - v) / beta, z = min(x, c), u = exp(delta / beta) and means over the batch:

    value     mean[ e^z - z - 1 + (x - z)(e^z - 1) / beta ] / mean[ max(1, e^z) ],  the divisor held constant
    weights   u <- clip(u, 1, max),  w <- max( w ((1 - lambda) + lambda u / mean(w u)), floor )
    noise     a <- clip( a + clip(N(0, 0.1^2), -0.5, 0.5), -1, 1 )   on the data's action, in q alone

``js-note`` is the Jensen-Shannon variant that a note on that code proposes, its snippet alone. With z = clip((q - v) /
beta, -c, c):

    value     mean[ softplus(z) - log 2 ] / mean[ max(1/2, sigma(z)) ],  the divisor held constant
    weights   w <- low + (high - low) sigma( clip(delta / beta, -max, max) ),  low = 1/2, high = 2

The functions have the signatures that the learner asks for; what deviates from the corrected agent stands in
``DEVIATIONS``, one line each with the claim that judges it. ``tests`` holds every formula against a transcription of
its own. The rest of either recipe is settings: Huber width 20 (``losses.huber_error``), gradient penalty with
coefficient 1 (``deep.penalty``), target entropy -dim(A)/2, ``networks.published``, and the per-task settings.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from deep import weights
from deep.types import Evidence, Scalar, Settings, ValueTerms

NOTE_RANGE = (0.5, 2.0)
"""The note's ``js_min_weight`` and ``js_max_weight``, its defaults."""

DEVIATIONS: dict[str, tuple[str, ...]] = {
    "roer-published": (
        "GUM-03: the linear extension of the value loss is divided by beta once too often; its slope jumps by 1/beta "
        "at the clip, and for beta > 1 the loss is not convex (at beta 4 an example has its minimum at 3.2, not 75.1).",
        "GUM-05: the value loss is divided by the batch's own mean of max(1, e^z): harmless on all the data at once, "
        "biased on mini-batches (at batch 256 a heavy-tailed example has its value at 1.1 instead of 13.8).",
        "PRI-01: the recursion multiplies the stored weight: it is a replicator map whose attractor is winner-take-all "
        "and not the ratio that the paper derives; only its first step is the average that it is called.",
        "PRI-03: the recursion pulls the mean weight to one, so a floor above one (10 in the MuJoCo settings) holds "
        "nearly every weight: uniform replay with the TD loss multiplied by the floor.",
        "PRI-04: ratios are clipped below at 1, so negative TD errors all count alike and nothing is weighed down; new "
        "experience has weight 1 at its first use and at least the floor afterwards.",
        "PRI-05: replay is uniform and the weight multiplies the critic's loss, neither normalised nor bounded by the "
        "batch; the mean direction is that of proportional sampling, the step size and the noise are not.",
        "GUM-06: the value loss caps ratios at e^7 = 1097 and the weights at 50 or 100: V is not the multiplier of the "
        "ratios that are stored.",
        "OCC-06: exp(delta / beta) with this V is the ratio of policies, not of occupancies; it corrects no state "
        "marginal.",
        "OCC-07: TD errors of single transitions stand inside the exponential, which favours luck where dynamics are "
        "stochastic (KL-07).",
        "V regresses on Q at noised actions of the data: the soft value of a smeared policy that took no action.",
        "SAC-21: the target entropy is -dim(A)/2, where -dim(A) is usual.",
        "Not repeated: one random key for the next action, the noise and the actor; time limits that coincide with a "
        "termination; overwritten slots that keep the weight of what they held; a NaN for the penalty's derivative "
        "where a critic's slope is exactly zero.",
    ),
    "js-note": (
        "JS-05: the optimum under the Jensen-Shannon divergence is e^(z - nu) / (2 - e^(z - nu)), not a sigmoid.",
        "JS-20: low + (high - low) sigma(z) is optimal for a two-sided Fermi-Dirac divergence, scaled to mean one; the "
        "offset is not harmless: it compresses ratios (8/5 becomes 34/25).",
        "KL-08: no multiplier is subtracted; only for KL is it absorbed by normalisation (JS-06, JS-09).",
        "JS-21: softplus(z) - log 2 is not the conjugate of the Jensen-Shannon generator.",
        "JS-22: the value loss falls in v everywhere and has no minimiser: V drifts above every q + c beta and then "
        "stops, its gradient exactly zero.",
        "JS-24: the divisor lies in [1/2, 1) and changes the step size alone; subtracting log 2 changes nothing.",
        "JS-12: what is said of its stability holds for the sigmoid; the Jensen-Shannon weights are more uneven than "
        "those of KL, not less.",
        "PRI-02: weights are replaced at every visit instead of averaged, and their mean is not one.",
        "Not in the snippet: in the public code's place for it the floor under the weights follows; with that of the "
        "MuJoCo settings, 10, every weight would be 10.",
    ),
    "per": (
        "RB-04: importance factors are divided by their maximum over the batch, as in DQN Zoo and Acme, and not over "
        "the buffer, as in OpenAI Baselines; the paper leaves it open. Rows of least weight count a little too little.",
        "Draws are independent, not one from each of B equal strata of the cumulated weight.",
    ),
}


def value_objective(terms: ValueTerms, beta: Scalar, settings: Settings) -> Float[Array, ""]:
    """The public code's value loss, in units of beta and not of reward; ``value_cap`` is its ``gumbel_max_clip``.

    Its slope in v is -(e^x - 1) / (beta N) up to the cap and -(e^c - 1) / (beta^2 N) beyond, N the divisor (GUM-03,
    GUM-05). Deviations: ``DEVIATIONS["roer-published"]``.
    """
    x = (terms.q - terms.value) / beta
    z = jnp.minimum(x, settings.value_cap)
    loss = jnp.exp(z) - z - 1.0 + (x - z) * (jnp.exp(z) - 1.0) / beta
    return _divided(loss, jnp.maximum(1.0, jnp.exp(z)), terms.mass)


def weighting(
    evidence: Evidence, beta: Scalar, settings: Settings
) -> tuple[Float[Array, " B"], dict[str, Float[Array, ""]]]:
    """The public code's ``update_priority``: new stored weights, and what share of them the clips decide.

    ``ratio_min`` (1) and ``ratio_max`` clip exp(delta / beta), ``weight_rate`` is its ``per_beta``, ``weight_floor``
    its ``min_clip``. Deviations: PRI-01, PRI-03, PRI-04.
    """
    ratio = jnp.clip(jnp.exp(evidence.td_error / beta), settings.ratio_min, settings.ratio_max)
    new = weights.replicator(evidence.weight, ratio, settings.weight_rate, evidence.mass)
    return jnp.maximum(new, settings.weight_floor), {
        "weights/ratio_max": jnp.max(ratio),
        "weights/ratio_ess": weights.effective_sample_size(ratio, evidence.mass),
        "weights/at_floor": _share(new <= settings.weight_floor, evidence.mass),
        "weights/at_cap": _share(ratio >= settings.ratio_max, evidence.mass),
    }


def action_noise(key: Key[Array, ""], action: Float[Array, "B U"], settings: Settings) -> Float[Array, "B U"]:
    """The data's action with Gaussian noise of ``noise_std``, clipped to ``noise_clip``, inside the box [-1, 1]^U."""
    noise = settings.noise_std * jax.random.normal(key, action.shape, action.dtype)
    return jnp.clip(action + jnp.clip(noise, -settings.noise_clip, settings.noise_clip), -1.0, 1.0)


def note_value_objective(terms: ValueTerms, beta: Scalar, settings: Settings) -> Float[Array, ""]:
    """The note's ``js_divergence_loss``; ``value_cap`` is its ``gumbel_max_clip``, here on both sides.

    Its slope in v is -sigma(z) / (beta N) between the clips and zero beyond: it has no minimiser (JS-21, JS-22).
    """
    z = jnp.clip((terms.q - terms.value) / beta, -settings.value_cap, settings.value_cap)
    return _divided(jax.nn.softplus(z) - math.log(2.0), jnp.maximum(0.5, jax.nn.sigmoid(z)), terms.mass)


def note_weighting(
    evidence: Evidence, beta: Scalar, settings: Settings
) -> tuple[Float[Array, " B"], dict[str, Float[Array, ""]]]:
    """The note's priority, an affine sigmoid without memory (JS-05, JS-20); ``ratio_max`` is its ``max_clip``.

    The clip acts on the exponent, where the KL branch clips the ratio: at 50 it changes nothing.
    """
    low, high = NOTE_RANGE
    z = jnp.clip(evidence.td_error / beta, -settings.ratio_max, settings.ratio_max)
    new = low + (high - low) * jax.nn.sigmoid(z)
    return new, {
        "weights/ratio_max": jnp.max(new),
        "weights/ratio_ess": weights.effective_sample_size(new, evidence.mass),
    }


def _mean(x: Float[Array, " B"], mass: Float[Array, " B"]) -> Float[Array, ""]:
    return jnp.sum(mass * x) / jnp.sum(mass)


def _share(holds: Bool[Array, " B"], mass: Float[Array, " B"]) -> Float[Array, ""]:
    return _mean(holds.astype(mass.dtype), mass)


def _divided(loss: Float[Array, " B"], scale: Float[Array, " B"], mass: Float[Array, " B"]) -> Float[Array, ""]:
    """sum_b mass_b loss_b over the batch's mean of ``scale``, through which nothing is differentiated."""
    return jnp.sum(mass * loss) / jax.lax.stop_gradient(_mean(scale, mass))
