r"""Settings that are admissible and yet end badly, as far as it can be known before a run.

    flow dual   Episodes of T steps hold their first state once, so first states are 1/T of the data; of a discounted
                flow they are 1 - gamma. Some ratio there is therefore at least (1 - gamma) T: where the caps stop all
                ratios below that, no occupancy keeps them, the dual has no minimum and V runs away       (OCC-04)
    feedback    eta s reaches 4/rho - 2, s = 2 log(1 / ess_target) as for KL ratios of Gaussian TD errors (ESS-05)

Nothing is refused: episodes may end before their limit, and TD errors are not Gaussian.
"""

import math

import jax.numpy as jnp

from deep import beta, build
from deep.config import Config


def cautions(config: Config, time_limit: int | None) -> list[str]:
    """What to tell whoever starts a run; ``time_limit`` is that of the environment's episodes in steps, if it has one.

    InvalidSetting for what building the learner refuses.
    """
    if config.divergence == "none":
        return []
    return [text for text in (_capped_flow(config, time_limit), _unstable_feedback(config)) if text is not None]


def _capped_flow(config: Config, time_limit: int | None) -> str | None:
    generator = build.divergence_of(config)
    if config.value_objective != "occupancy" or generator is None or time_limit is None:
        return None
    largest = float(generator.ratio(jnp.asarray(build.value_cap(config), float)))
    needed = (1.0 - config.discount) * time_limit
    if largest >= needed:
        return None
    return (
        f"the flow dual's ratios stop at {largest:.4g} (--value-cap, and --ratio-cap or --fermi-dirac-cap), but in "
        f"episodes of {time_limit:,} steps first states are 1/{time_limit} of the data and 1 - gamma = "
        f"{1.0 - config.discount:.4g} of the flow, so some ratio must reach {needed:.4g}: unless episodes end well "
        "before their limit, V has no optimum and runs away (OCC-04); raise the cap"
    )


def _unstable_feedback(config: Config) -> str | None:
    """Of the stable law only: the printed one is told to be unstable wherever it is named."""
    if config.beta_law != "feedback":
        return None
    sensitivity = 2.0 * math.log(1.0 / config.ess_target)
    gain, limit = config.feedback_rate * sensitivity, beta.largest_stable_gain(config.feedback_smoothing)
    if gain < limit:
        return None
    return (
        f"--feedback-rate {config.feedback_rate:g} times the sensitivity 2 log(1 / ess_target) = {sensitivity:.3g} is "
        f"{gain:.3g}, not below 4 / feedback_smoothing - 2 = {limit:.3g}: the feedback law is unstable for KL ratios "
        f"of Gaussian TD errors, and beta will swing between its bounds (ESS-05); a rate below "
        f"{limit / sensitivity:.3g} is stable"
    )
