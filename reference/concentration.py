r"""How concentrated weights are, and how that depends on beta (ESS-01, ESS-02, ESS-14, BET-04).

Of KL weights w proportional to exp(A/beta), with t = 1/beta and L(t) = log E_D exp(tA): log ESS/n = 2 L(t) - L(2t) and
log perplexity/n = L(t) - t L'(t). The elasticities d log(.) / d log beta of both are nonnegative: they are what a
feedback law for beta sees (`reference.temperature_feedback`).
"""

import math

import numpy as np
from jaxtyping import Float64

from reference.divergence import KL, Reals
from reference.weights import effective_sample_size, optimal_weights

__all__ = ["effective_sample_elasticity", "effective_sample_floor", "perplexity", "perplexity_elasticity"]


def perplexity(weights: Reals, behavior: Reals) -> float:
    """n exp(-KL(d || D)) for d proportional to `weights` D and n entries with data; exp(entropy) if D is uniform.

    At least the effective sample size and at most n (ESS-01); invariant to scaling of the weights.
    """
    effective_sample_size(weights, behavior)  # checks both
    law = np.asarray(behavior, dtype=np.float64)
    support = law > 0.0
    law, w = law[support], np.asarray(weights, dtype=np.float64)[support]
    w = w / w.max()
    w = w / (math.fsum(law * w) / math.fsum(law))
    return len(w) * math.exp(-math.fsum(law * np.asarray(KL().f(w))) / math.fsum(law))


def effective_sample_floor(spread: float, beta: float) -> float:
    """1/cosh^2(R/(2 beta)) <= ESS/n for KL weights of advantages with range R (Kantorovich, BET-04)."""
    half = 0.5 * spread / beta
    return 1.0 / math.cosh(half) ** 2 if half < 300.0 else 0.0


def effective_sample_elasticity(advantage: Reals, behavior: Reals, beta: float) -> float:
    """d log ESS / d log beta = 2 t (m(2t) - m(t)) >= 0 of KL weights, t = 1/beta, m the tilted mean of A (ESS-02)."""
    gaps, law = _gaps(advantage, behavior, beta)
    once, twice = law * np.exp(gaps), law * np.exp(2.0 * gaps)
    return 2.0 * (math.fsum(twice * gaps) / math.fsum(twice) - math.fsum(once * gaps) / math.fsum(once))


def perplexity_elasticity(advantage: Reals, behavior: Reals, beta: float) -> float:
    """d log perplexity / d log beta = Var_d(A)/beta^2 of KL weights, d their distribution (ESS-14)."""
    gaps, law = _gaps(advantage, behavior, beta)
    tilted = law * np.exp(gaps)
    mean = math.fsum(tilted * gaps) / math.fsum(tilted)
    return math.fsum(tilted * (gaps - mean) ** 2) / math.fsum(tilted)


def _gaps(
    advantage: Reals, behavior: Reals, beta: float
) -> tuple[Float64[np.ndarray, " N"], Float64[np.ndarray, " N"]]:
    """(A - max A)/beta and the law, on the entries with data."""
    optimal_weights(advantage, behavior, beta)  # refuses, by name, what is no advantage, law or temperature
    law = np.array(behavior, dtype=np.float64)
    inside = np.array(advantage, dtype=np.float64)[law > 0.0]
    return (inside - inside.max()) / beta, law[law > 0.0]
