"""Chapter ESS: what source 001 states about choosing beta from the effective sample size (ESS).

The weights are w_i = exp(delta_i / beta) on a batch of n samples, ESS = (sum w)^2 / sum w^2. The source smooths it,
hatE' = (1 - rho) hatE + rho ESS, and moves beta by the factor exp(eta (hatE'/T - 1)) towards a target T = alpha n.

Where a claim is::

    measure      ESS-01, ESS-07, ESS-13   what the effective sample size measures
    temperature  ESS-02, ESS-09, ESS-10   how it depends on beta, for exp(delta / beta)
    generators   ESS-11, ESS-14           how it depends on beta, for every divergence
    ratio        ESS-08, ESS-12           the ratio exp(delta / beta) itself
    rule         ESS-03, ESS-05           the update law near its fixed point, as printed and with the sign reversed
    orbit        ESS-04, ESS-06           the update law far from its fixed point
    smoothing    ESS-15                   the moving average
    schedule     ESS-16                   what the source promises of the whole

Importing the package enters them all. `samples` holds what they share; `jacobian`, `iteration` and `paths` run and
differentiate what is judged.
"""

from __future__ import annotations

from proofs.ess import generators, measure, orbit, ratio, rule, schedule, smoothing, temperature

__all__ = ["generators", "measure", "orbit", "ratio", "rule", "schedule", "smoothing", "temperature"]
