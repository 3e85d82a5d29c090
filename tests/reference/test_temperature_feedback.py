"""`reference.temperature_feedback`: the laws as printed and reversed, their linearisation, where they run to."""

import cmath
import itertools
import math

import mpmath
import numpy as np
import pytest
import strategies
import tolerances
import tolerances_temperature as bounds
from hypothesis import assume, given
from hypothesis import strategies as st

from reference.bellman import boltzmann
from reference.concentration import effective_sample_elasticity, perplexity_elasticity
from reference.temperature import beta_for_effective_sample_fraction
from reference.temperature_feedback import (
    PRINTED,
    STABLE,
    FeedbackLaw,
    FeedbackState,
    eigenvalues,
    fewest_steps,
    gaussian_beta,
    hitting_time_bound,
    is_stable,
    jacobian,
    largest_stable_gain,
    log_factor_range,
    policy_entropy,
    policy_kl,
    printed_law,
    ringing_gains,
    stable_law,
    td_error_variance,
    weight_entropy,
)
from reference.weights import effective_sample_size, optimal_weights

N = 256
# The instance behind the printed numbers of ESS-04: 130 and 81 steps come back from this draw.
GAUSSIAN = np.random.default_rng(4).normal(size=N)
ETAS, RHOS = st.floats(0.01, 3.0), st.floats(0.01, 1.0)


def size_at(delta: np.ndarray, beta: float) -> float:
    """ESS of exp(delta/beta)."""
    weights = np.exp((delta - delta.max()) / beta)
    return float(weights.sum() ** 2 / (weights @ weights))


def orbit(step, law: FeedbackLaw, delta: np.ndarray, beta: float, steps: int) -> list[FeedbackState]:
    states = [FeedbackState(size_at(delta, beta), beta)]
    for _ in range(steps):
        states.append(step(law, states[-1], size_at(delta, states[-1].beta)))
    return states


@pytest.mark.parametrize(("step", "sign"), [(printed_law, 1), (stable_law, -1)])
@given(st.floats(1.0, 256.0), st.floats(1.0, 256.0), st.floats(0.01, 5.0), RHOS)
def test_one_step_of_the_pseudo_code(row, step, sign, estimate, signal, beta, rho):
    """ESS-03, ESS-05: hatE and beta as the note's pseudo-code computes them, in 30 digits."""
    law = FeedbackLaw(128.0, 0.1, rho)
    found = step(law, FeedbackState(estimate, beta), signal)
    with mpmath.workdps(30):
        smooth = (1 - mpmath.mpf(rho)) * estimate + mpmath.mpf(rho) * signal
        exact = beta * mpmath.exp(sign * mpmath.mpf(0.1) * (smooth / 128 - 1))
        exact = min(max(exact, mpmath.mpf(law.beta_min)), mpmath.mpf(law.beta_max))
        errors = [float(abs(found.estimate - smooth) / smooth), float(abs(found.beta - exact) / exact)]
    row("ESS-03" if sign > 0 else "ESS-05", "one step, relative", errors, *bounds.law_step())


@pytest.mark.parametrize("sign", [PRINTED, STABLE])
@strategies.few
@given(ETAS, RHOS)
def test_jacobian_against_derivatives_of_the_pseudo_code(row, sign, eta, rho):
    """ESS-03: (estimate/T - 1, log beta) is differentiated numerically at 40 digits, for delta = (0, log 2, log 8)."""
    with mpmath.workdps(40):
        delta = [mpmath.mpf(0), mpmath.log(2), mpmath.log(8)]

        def size(x):
            weights = [mpmath.exp(d / mpmath.exp(x)) for d in delta]
            return sum(weights) ** 2 / sum(w * w for w in weights)

        target = size(mpmath.mpf(0))  # beta* = 1

        def after(which, e, x):
            estimate = (1 - mpmath.mpf(rho)) * target * (1 + e) + mpmath.mpf(rho) * size(x)
            return (estimate / target - 1, x + sign * mpmath.mpf(eta) * (estimate / target - 1))[which]

        exact = [
            [float(mpmath.diff(lambda e, x, i=i: after(i, e, x), (0, 0), order)) for order in ((1, 0), (0, 1))]
            for i in range(2)
        ]
    elasticity = effective_sample_elasticity(np.log([1.0, 2.0, 8.0]), np.full(3, 1 / 3), 1.0)
    found = jacobian(eta, rho, elasticity, sign)
    bound, reason = bounds.elasticity(3, math.log(8))
    data = tolerances.input_rounding(4.0, math.log(8))[0]
    row("ESS-03", "Jacobian of a law", np.abs(found - exact), (bound + data) * (1.0 + eta), reason)


@pytest.mark.parametrize("elasticity", [effective_sample_elasticity, perplexity_elasticity])
def test_elasticities_are_computed_in_double_precision(elasticity):
    """Whatever the arrays hold: three numbers that float32 has, and integers."""
    advantage, law = np.array([0.0, 0.3, 1.7], np.float32), np.array([0.25, 0.25, 0.5], np.float32)
    assert elasticity(advantage, law, 0.7) == elasticity(advantage.astype(float), law.astype(float), 0.7)
    assert elasticity([0, 1, 3], law, 0.7) == elasticity([0.0, 1.0, 3.0], law.astype(float), 0.7)


@given(ETAS, RHOS, st.floats(0.01, 20.0), st.sampled_from([PRINTED, STABLE]))
def test_eigenvalues_solve_the_characteristic_equation(row, eta, rho, elasticity, sign):
    """ESS-03, ESS-05: z^2 - (2 - rho + sign eta rho s) z + (1 - rho); det = 1 - rho; stability; ringing."""
    trace = 2.0 - rho + sign * eta * rho * elasticity
    roots = eigenvalues(eta, rho, elasticity, sign)
    for root in roots:
        bound, reason = bounds.characteristic(trace, root)
        row("ESS-05", "characteristic equation", abs(root * root - trace * root + (1.0 - rho)), bound, reason)
    assert abs(roots[0]) >= abs(roots[1]) * (1.0 - tolerances.EVALUATION)
    gain, margin = eta * elasticity, tolerances.EVALUATION
    if sign == PRINTED:
        real = roots[0].imag == 0.0 == roots[1].imag
        saddle = real and roots[0].real > 1.0 > roots[1].real >= 0.0 and not is_stable(eta, rho, elasticity, sign)
        row.exact("ESS-03", "saddle for every eta, rho and s", saddle, f"{roots}")
        return
    edge = largest_stable_gain(rho)
    assume(abs(gain / edge - 1.0) > margin)
    inside = max(map(abs, roots)) < 1.0
    row.exact("ESS-05", "stable iff 0 < eta s < 4/rho - 2", inside == (gain < edge), f"{roots}, {gain} of {edge}")
    assert is_stable(eta, rho, elasticity, sign) == (gain < edge)
    low, high = ringing_gains(rho)
    assume(min(abs(gain / low - 1.0), abs(gain / high - 1.0)) > margin)
    rings = roots[0].imag != 0.0
    row.exact("ESS-05", "rings between its two gains", rings == (low < gain < high), f"{roots}, {low}, {high}")
    if rings:
        row("ESS-05", "modulus while ringing", abs(abs(roots[0]) ** 2 - (1.0 - rho)), *bounds.characteristic(2.0, 1.0))


def test_printed_numbers():
    """ESS-03: 1.06446 and 0.89247; ESS-05: 0.9747, ringing; without smoothing stable iff eta s < 2."""
    elasticity = 2.0 * math.log(2.0)  # Gaussian delta at ESS = n/2
    assert [round(root.real, 5) for root in eigenvalues(0.1, 0.05, elasticity, PRINTED)] == [1.06446, 0.89247]
    ringing = eigenvalues(0.1, 0.05, elasticity, STABLE)
    assert round(abs(ringing[0]), 4) == 0.9747
    assert ringing[0] == ringing[1].conjugate() != ringing[1]
    assert is_stable(0.1, 0.05, elasticity, STABLE)
    assert largest_stable_gain(1.0) == 2.0
    assert eigenvalues(0.5, 1.0, 2.0, STABLE) == (0j, 0j)


def test_printed_law_runs_to_a_bound_and_stays(row):
    """ESS-04: 0.97 beta* reaches 10^-3 in 130 steps, 1.03 beta* reaches 10 in 81; monotone, and bounds absorb."""
    law = FeedbackLaw(N / 2)
    rest = beta_for_effective_sample_fraction(GAUSSIAN, np.full(N, 1 / N), 0.5).beta
    for share, steps, end in ((0.97, 130, law.beta_min), (1.03, 81, law.beta_max)):
        states = orbit(printed_law, law, GAUSSIAN, share * rest, 400)
        betas = [state.beta for state in states]
        row.exact("ESS-04", "steps to a bound", betas.index(end) == steps, f"{betas.index(end)}, expected {steps}")
        limit = hitting_time_bound(law, states[0])
        row.exact("ESS-04", "hitting-time bound", steps <= limit, f"{steps} steps, bound {limit}")
        direction = math.copysign(1.0, end - rest)
        moves = [direction * (two.beta - one.beta) for one, two in itertools.pairwise(states)]
        sizes = [direction * (two.estimate - one.estimate) for one, two in itertools.pairwise(states)]
        rounding = 4.0 * tolerances.UNIT_ROUNDOFF * N
        row.exact("ESS-04", "monotone orbit", min(moves) >= 0.0 and min(sizes) >= -rounding, f"{min(moves)}")
        row.exact("ESS-04", "absorbing bound", set(betas[steps:]) == {end}, f"{set(betas[steps:])}")
    cold = orbit(printed_law, law, GAUSSIAN, 1.0, 1000)[-1]
    row.exact("ESS-04", "collapse from beta = 1", cold.beta == law.beta_min, f"{cold}")
    row("ESS-04", "ESS at the lower bound", size_at(GAUSSIAN, cold.beta) - 1.0, *tolerances.conjugate_identity(N, 1.0))
    with pytest.raises(ValueError, match="expected one that differs"):
        hitting_time_bound(law, FeedbackState(N / 2, 1.0))


def test_stable_law_comes_to_rest_at_the_exact_temperature(row):
    """ESS-05: where the stable law stops moving, ESS is the target up to its last movement over eta."""
    law = FeedbackLaw(N / 2)
    exact = beta_for_effective_sample_fraction(GAUSSIAN, np.full(N, 1 / N), 0.5)
    elasticity = effective_sample_elasticity(GAUSSIAN, np.full(N, 1 / N), exact.beta)
    for start in (0.3, 3.0):
        before, after = orbit(stable_law, law, GAUSSIAN, start, 3000)[-2:]
        # |log beta'/beta| = eta |estimate/T - 1|; the estimate trails the signal by its last change over rho
        moved = abs(math.log(after.beta / before.beta)) + bounds.law_step()[0]
        trail = abs(after.estimate - before.estimate) / law.rho / law.target + tolerances.conjugate_identity(N, 4.0)[0]
        allowed = 2.0 * exact.beta * (moved / law.eta + trail) / elasticity + exact.high - exact.low
        error = abs(after.beta - exact.beta)
        row("ESS-05", "resting place of the stable law", error, allowed, "last movement over eta s")


def test_factor_range(row):
    """ESS-06: alpha = 1/2, eta = 0.1, n = 256: the log-factor lies in [-127/1280, 1/10]; 10^-3 to 10 takes >= 93."""
    low, high = log_factor_range(0.1, 0.5, N)
    row("ESS-06", "range of the log-factor", [abs(low + 127 / 1280), abs(high - 0.1)], *bounds.law_step())
    assert fewest_steps(1e-3, 10.0, 0.1, 0.5, N) == 93
    assert fewest_steps(10.0, 1e-3, 0.1, 0.5, N) == math.ceil(math.log(1e4) / (127 / 1280))
    law = FeedbackLaw(N / 2)
    extremes = [printed_law(law, FeedbackState(size, 1.0), size).beta for size in (1.0, float(N))]
    errors = np.abs(np.log(extremes) - [low, high])
    row("ESS-06", "extreme steps", errors, *bounds.law_step())


def test_gaussian_delta(row):
    """ESS-02: for Gaussian delta ESS/n = exp(-var/beta^2), and the elasticity is 2 log(1/alpha)."""
    abscissae, error, reason = tolerances.normal_trapezoid(2001, 12.0)
    law = np.exp(-0.5 * abscissae**2)
    law /= math.fsum(law)
    variance = td_error_variance(abscissae, law)
    row("ESS-02", "variance of Gaussian delta", abs(variance - 1.0), 150.0 * error + bounds.law_step()[0], reason)
    for fraction in (0.2, 0.5, 0.9):
        beta = gaussian_beta(1.0, fraction)
        # Tilting by 2/beta moves the Gaussian by as much: what is left of its reach decides the tail.
        left = tolerances.normal_trapezoid(2001, 12.0 - 2.0 / beta)[1]
        rounding, why = bounds.elasticity(2001, 24.0 / beta)
        size = effective_sample_size(np.exp(abscissae / beta), law) / len(law)
        row("ESS-02", "ESS of Gaussian delta", abs(size / fraction - 1.0), 8.0 * left + rounding, reason)
        slope = effective_sample_elasticity(abscissae, law, beta)
        tail = 8.0 * left * (24.0 / beta) ** 2
        row("ESS-02", "elasticity of Gaussian delta", abs(slope + 2.0 * math.log(fraction)), tail + rounding, why)


def test_signals_and_the_sign_that_each_needs(row):
    """The note's alternatives: weight entropy grows with beta, policy KL falls, the variance of delta ignores it."""
    td_error = np.array([[1.0, 0.0, -2.0], [0.0, 3.0, 0.5]])
    law, states = np.full((2, 3), 1 / 6), np.array([0.5, 0.5])
    behavior_policy = np.full((2, 3), 1 / 3)
    betas = (0.5, 1.0, 2.0)
    weights = [optimal_weights(td_error, law, beta).weights for beta in betas]
    policies = [boltzmann(td_error, beta) for beta in betas]
    signals = {
        "weight entropy": ([weight_entropy(w, law) for w in weights], STABLE),
        "policy entropy": ([policy_entropy(p, states) for p in policies], STABLE),
        "policy KL": ([policy_kl(p, behavior_policy, states) for p in policies], PRINTED),
    }
    for name, (values, sign) in signals.items():
        slopes = [math.log(two / one) / math.log(2.0) for one, two in itertools.pairwise(values)]
        feedback = all(is_stable(0.1, 0.05, slope, sign) for slope in slopes)
        wrong = any(is_stable(0.1, 0.05, slope, -sign) for slope in slopes)  # type: ignore[arg-type]
        row.exact("ESS-05", f"sign for {name}", feedback and not wrong, f"elasticities {slopes}")
    assert not any(is_stable(0.1, 0.05, 0.0, sign) for sign in (PRINTED, STABLE))  # the variance of delta
    # Under uniform data KL(pi || uniform) = log A - entropy.
    gaps = [abs(math.log(3) - policy_entropy(p, states) - policy_kl(p, behavior_policy, states)) for p in policies]
    row("ESS-14", "policy KL and entropy", gaps, *tolerances.conjugate_identity(6, 4.0 * math.log(3)))
    mean = td_error.mean()
    true = np.square(td_error - mean).mean()
    row(
        "ESS-02",
        "variance of delta",
        abs(td_error_variance(td_error, law) - true),
        *tolerances.conjugate_identity(12, 4.0 * true),
    )
    assert policy_kl(np.array([[0.5, 0.5]]), np.array([[1.0, 0.0]]), np.array([1.0])) == math.inf


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": 0.0}, r"target is 0\.0: expected a finite number > 0"),
        ({"target": 1.0, "eta": -0.1}, r"eta is -0\.1: expected"),
        ({"target": 1.0, "rho": 0.0}, r"rho is 0\.0: expected a smoothing coefficient in \(0, 1\]"),
        ({"target": 1.0, "beta_min": 2.0, "beta_max": 1.0}, r"beta_min is 2\.0 and beta_max 1\.0: expected 0 < "),
    ],
)
def test_meaningless_laws_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        FeedbackLaw(**arguments)


def test_meaningless_variances_are_refused():
    with pytest.raises(ValueError, match=r"variance is 0\.0, fraction 0\.5: expected a variance > 0"):
        gaussian_beta(0.0, 0.5)
    assert cmath.isfinite(eigenvalues(1.0, 1.0, 1.0, STABLE)[0])
