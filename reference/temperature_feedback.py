r"""Feedback laws for beta, one step at a time, and what their linearisation says (ESS-03 to ESS-06).

The note on adaptive beta smooths a signal S, the effective sample size, and moves beta by its relative excess over a
target T:

    estimate' = (1 - rho) estimate + rho S,      beta' = clip(beta exp(sign eta (estimate'/T - 1)), beta_min, beta_max)

as printed with sign = +1 (`printed_law`). The effective sample size grows with beta (ESS-02), so this is positive
feedback: its fixed point is a saddle for every eta and rho, and beta runs to a bound and stays there (ESS-03, ESS-04).
`stable_law` has sign = -1. With e = estimate/T - 1, x = log beta - log beta* and the elasticity s = d log S/d log beta
at the fixed point,

    (e, x)' = J (e, x),    J = [[1 - rho, rho s], [sign eta (1 - rho), 1 + sign eta rho s]],    det J = 1 - rho.     (1)

It is stable iff the feedback is negative, sign s < 0, and 0 < eta |s| < 4/rho - 2; it rings (complex eigenvalues of
modulus sqrt(1 - rho)) iff eta rho |s| lies between (1 - sqrt(1 - rho))^2 and (1 + sqrt(1 - rho))^2 (ESS-05). What
counts is the sign of s: a signal that *falls* as beta grows, like the divergence of an improved policy from the data's,
needs the printed sign, and one that does not depend on beta, like the variance of TD errors, is no feedback at all.
`reference.temperature` solves for beta instead, without state, gain or bounds.
"""

import cmath
import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy.special import rel_entr

from reference.checks import check_policy
from reference.concentration import perplexity

Sign = Literal[-1, 1]
PRINTED: Sign = 1
STABLE: Sign = -1


@dataclass(frozen=True)
class FeedbackLaw:
    """Parameters of a law: `target` T of the signal, rate `eta`, smoothing `rho`, and the bounds of beta.

    The note suggests T = 0.3 n to 0.8 n, eta 0.05 to 0.2, rho 0.01 to 0.1 and the bounds that are the defaults here.
    ValueError for a target or eta <= 0, rho outside (0, 1], or bounds not 0 < beta_min < beta_max < inf.
    """

    target: float
    eta: float = 0.1
    rho: float = 0.05
    beta_min: float = 1e-3
    beta_max: float = 10.0

    def __post_init__(self) -> None:
        for name, value in (("target", self.target), ("eta", self.eta)):
            if not 0.0 < value < math.inf:
                raise ValueError(f"{name} is {value!r}: expected a finite number > 0")
        _check_rho(self.rho)
        if not 0.0 < self.beta_min < self.beta_max < math.inf:
            raise ValueError(
                f"beta_min is {self.beta_min!r} and beta_max {self.beta_max!r}: expected 0 < beta_min < beta_max < inf"
            )


class FeedbackState(NamedTuple):
    """What a law remembers: the smoothed signal, and beta."""

    estimate: float
    beta: float


def printed_law(law: FeedbackLaw, state: FeedbackState, signal: float) -> FeedbackState:
    """One step as the note prints it, with `signal` measured at `state.beta` (ESS-03)."""
    return _step(law, state, signal, PRINTED)


def stable_law(law: FeedbackLaw, state: FeedbackState, signal: float) -> FeedbackState:
    """One step with the sign reversed: negative feedback for a signal that grows with beta (ESS-05)."""
    return _step(law, state, signal, STABLE)


def _step(law: FeedbackLaw, state: FeedbackState, signal: float, sign: Sign) -> FeedbackState:
    estimate = (1.0 - law.rho) * state.estimate + law.rho * signal
    beta = state.beta * math.exp(sign * law.eta * (estimate - law.target) / law.target)
    return FeedbackState(estimate, min(max(beta, law.beta_min), law.beta_max))


# -- the linearised law -------------------------------------------------------------------------------------------


def jacobian(eta: float, rho: float, elasticity: float, sign: Sign) -> Float64[np.ndarray, "2 2"]:
    """J of (1): derivatives of the next (estimate/T - 1, log beta) by the present, at an interior fixed point."""
    _check_rho(rho)
    gain = sign * eta
    return np.array([[1.0 - rho, rho * elasticity], [gain * (1.0 - rho), 1.0 + gain * rho * elasticity]])


def eigenvalues(eta: float, rho: float, elasticity: float, sign: Sign) -> tuple[complex, complex]:
    """Roots of z^2 - (2 - rho + sign eta rho s) z + (1 - rho), the larger modulus first (ESS-03, ESS-05)."""
    _check_rho(rho)
    half = 0.5 * (2.0 - rho + sign * eta * rho * elasticity)
    # half^2 - (1 - rho) with u = sign eta rho s: (rho^2 + 2 (2 - rho) u + u^2)/4, where nothing of size one cancels
    u = sign * eta * rho * elasticity
    root = cmath.sqrt(0.25 * (rho * rho + 2.0 * (2.0 - rho) * u + u * u))
    large = half + root if half >= 0.0 else half - root
    if root.imag:
        return large, large.conjugate()
    return large, complex((1.0 - rho) / large) if large else 0j  # the product of the roots is 1 - rho


def is_stable(eta: float, rho: float, elasticity: float, sign: Sign) -> bool:
    """Whether both eigenvalues lie inside the unit circle: 0 < -sign eta s < 4/rho - 2 (Jury's test, ESS-05)."""
    return 0.0 < -sign * eta * elasticity < largest_stable_gain(rho)


def largest_stable_gain(rho: float) -> float:
    """4/rho - 2: negative feedback is stable below this eta |s| (ESS-05)."""
    _check_rho(rho)
    return 4.0 / rho - 2.0


def ringing_gains(rho: float) -> tuple[float, float]:
    """The eta |s| between which negative feedback rings, with |eigenvalue| = sqrt(1 - rho) (ESS-05)."""
    _check_rho(rho)
    memory = math.sqrt(1.0 - rho)
    # (1 - sqrt(1 - rho))^2 / rho, without the cancellation
    return rho / (1.0 + memory) ** 2, (1.0 + memory) ** 2 / rho


# -- the printed law, globally ------------------------------------------------------------------------------------


def hitting_time_bound(law: FeedbackLaw, start: FeedbackState) -> int:
    """Steps after which the printed law sits at a bound, for a signal that grows with beta and is frozen (ESS-04).

    For a start with `estimate` = S(beta) the orbit is monotone, so every factor is at least the first:
    ceil(log(beta_max/beta) / (eta (estimate/T - 1))), and likewise downward. ValueError at the fixed point, which it
    never leaves.
    """
    excess = start.estimate / law.target - 1.0
    if excess == 0.0:
        raise ValueError(f"the estimate equals the target {law.target!r}: expected one that differs, or it never moves")
    distance = math.log(law.beta_max / start.beta) if excess > 0.0 else math.log(start.beta / law.beta_min)
    return math.ceil(distance / (law.eta * abs(excess)))


def log_factor_range(eta: float, fraction: float, samples: int) -> tuple[float, float]:
    """Smallest and largest log(beta'/beta) of the printed law for T = fraction n: ESS lies in [1, n] (ESS-06)."""
    return -eta * (1.0 - 1.0 / (fraction * samples)), eta * (1.0 / fraction - 1.0)


def fewest_steps(beta: float, other: float, eta: float, fraction: float, samples: int) -> int:
    """No fewer steps take the printed law from `beta` to `other` (ESS-06)."""
    down, up = log_factor_range(eta, fraction, samples)
    distance = math.log(other / beta)
    return math.ceil(distance / (up if distance >= 0.0 else down))


# -- signals ------------------------------------------------------------------------------------------------------


def weight_entropy(weights: Float64[np.ndarray, "..."], behavior: Float64[np.ndarray, "..."]) -> float:
    """log n - KL(d || D): the entropy of the normalised weights, if D is uniform on n samples. Grows with beta."""
    return math.log(perplexity(weights, behavior))


def td_error_variance(td_error: Float64[np.ndarray, "..."], behavior: Float64[np.ndarray, "..."]) -> float:
    """Var_D(delta). Does not depend on beta: elasticity 0, so no law of this form comes to rest on it.

    What it determines directly is beta = sqrt(variance / log(1/a)), the exact answer to ESS = a n for Gaussian delta
    (ESS-02): `gaussian_beta`.
    """
    support = behavior > 0.0
    law, delta = behavior[support], td_error[support]
    mass = math.fsum(law)
    mean = math.fsum(law * delta) / mass
    return math.fsum(law * (delta - mean) ** 2) / mass


def gaussian_beta(variance: float, fraction: float) -> float:
    """The beta at which the KL weights of Gaussian delta have ESS/n = exp(-variance/beta^2) = `fraction` (ESS-02)."""
    if not (0.0 < variance < math.inf and 0.0 < fraction < 1.0):
        raise ValueError(f"variance is {variance!r}, fraction {fraction!r}: expected a variance > 0, 0 < fraction < 1")
    return math.sqrt(variance / -math.log(fraction))


def policy_entropy(policy: Float64[np.ndarray, "S A"], states: Float64[np.ndarray, " S"]) -> float:
    """Mean entropy of `policy` over the law `states`. Grows with the temperature of a Boltzmann policy (SAC-18)."""
    _check_policies(states, policy)
    entropy = -np.sum(policy * np.log(np.where(policy > 0.0, policy, 1.0)), axis=1)
    return math.fsum(states * entropy)


def policy_kl(
    policy: Float64[np.ndarray, "S A"], behavior_policy: Float64[np.ndarray, "S A"], states: Float64[np.ndarray, " S"]
) -> float:
    """Mean KL(pi || pi_D) over the law `states`; infinite where pi takes what pi_D never does.

    For pi proportional to pi_D exp(delta/beta) (OCC-06) it falls as beta grows: there the *printed* sign is the
    negative feedback.
    """
    _check_policies(states, policy, behavior_policy)
    visited = states > 0.0
    return float(states[visited] @ rel_entr(policy, behavior_policy)[visited].sum(axis=1))


def _check_policies(states: np.ndarray, *policies: np.ndarray) -> None:
    for policy in policies:
        check_policy(policy, np.ones((len(states), policy.shape[-1]), dtype=np.bool_))


def _check_rho(rho: float) -> None:
    if not 0.0 < rho <= 1.0:
        raise ValueError(f"rho is {rho!r}: expected a smoothing coefficient in (0, 1]; 1 does not smooth")
