"""Comparisons with `reference` as the thing under test: shown beside a claim, and no part of its verdict.

The inputs are dyadic, so that the floats handed to `reference` are exactly the numbers that the balls are about.
`reference` is imported inside the functions and whatever it raises becomes an answer, so that no verdict hangs on it.
"""

from __future__ import annotations

from proofs.under_test.flow import cap_bounds as cap_bounds
from proofs.under_test.flow import conditional_value as conditional_value
from proofs.under_test.flow import flow_certificate as flow_certificate
from proofs.under_test.flow import flow_optimum as flow_optimum
from proofs.under_test.flow import sampled_optimum as sampled_optimum
from proofs.under_test.soft import boltzmann_policy as boltzmann_policy
from proofs.under_test.soft import soft_optimum as soft_optimum
from proofs.under_test.soft import temperature_for_entropy as temperature_for_entropy
from proofs.under_test.temperature import concentration as concentration
from proofs.under_test.temperature import elasticity as elasticity
from proofs.under_test.temperature import feedback as feedback
from proofs.under_test.temperature import rates as rates
from proofs.under_test.temperature import sample_floor as sample_floor
from proofs.under_test.temperature import temperature_for_kl as temperature_for_kl
from proofs.under_test.temperature import temperature_for_samples as temperature_for_samples
from proofs.under_test.weights import additive_average as additive_average
from proofs.under_test.weights import conjugate_table as conjugate_table
from proofs.under_test.weights import fitted_value as fitted_value
from proofs.under_test.weights import gumbel_value as gumbel_value
from proofs.under_test.weights import relaxed_value as relaxed_value
from proofs.under_test.weights import relaxed_weights as relaxed_weights
