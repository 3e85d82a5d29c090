"""Laws for beta: exact answers inside certified intervals, one step of each feedback law, and where feedback goes."""

import numpy as np
import pytest
import running_error as re
import tolerances_beta as bounds
from contract import shadow
from contract.compare import EPS, examples
from contract.problems import DTYPE, grids, laws
from contract.protocol import FERMI_DIRAC_CAP
from contract.shadow import exact
from hypothesis import assume, given
from hypothesis import strategies as st

from reference.concentration import effective_sample_elasticity
from reference.divergence import divergence_from_name
from reference.targets import KL_BALL, SAMPLES, Data, coldest_ratios
from reference.temperature import beta_bracket, beta_for_effective_sample_fraction, beta_for_kl
from reference.temperature_feedback import (
    PRINTED,
    STABLE,
    FeedbackLaw,
    FeedbackState,
    eigenvalues,
    hitting_time_bound,
    jacobian,
    largest_stable_gain,
    printed_law,
    stable_law,
)

B = 64
DIVERGENCES = ("kl", "js", "fermi-dirac")
WIDE = {"beta_min": 2.0**-20, "beta_max": 2.0**20}
FRACTION = np.asarray(0.75, DTYPE)


def generator(name: str):
    return divergence_from_name(name, FERMI_DIRAC_CAP if name == "fermi-dirac" else None)


def ratios(divergence: str, td_error: np.ndarray, law: np.ndarray, beta) -> re.Rounded:
    """Optimal ratios at delta / beta on the rows with mass, the largest delta subtracted before the division."""
    held = law > 0
    z = (exact(td_error[held]) - float(td_error[held].max())) / beta
    if divergence != "kl":
        return shadow.relaxed_ratio(divergence, z, law[held].astype(np.float64))[0]
    return re.exp(z - re.log((exact(law[held]) * re.exp(z)).sum()))  # no bracket in which e^z overflows


def sample_fraction(weight: re.Rounded, law: np.ndarray) -> re.Rounded:
    """(E w)^2 / E w^2."""
    mass = exact(law)
    mean = (mass * weight).sum()
    return mean * mean / (mass * (weight * weight)).sum()


def chi_square(weight: re.Rounded, law: np.ndarray) -> re.Rounded:
    """Var w / (E w)^2."""
    mass = exact(law)
    mean = (mass * weight).sum()
    gap = weight - mean
    return (mass * (gap * gap)).sum() / (mean * mean)


def interior(signal, td_error, law, divergence: str, share: float) -> float:
    """A target between what the coldest and the warmest beta reach, exact in the precision under test."""
    assume(np.ptp(td_error[law > 0]) > 0)
    data = Data.of(td_error.astype(np.float64), law.astype(np.float64))
    limit = signal.target(data.mean(signal.phi(coldest_ratios(data, generator(divergence)))))
    warm = signal.target(0.0)
    return float(np.asarray(warm + share * (limit - warm), DTYPE))


def compare(row, id: str, quantity: str, beta, answer, concentration, offset: float = 0.0) -> None:
    """Require that beta lies in reference's interval, widened by what rounding of the concentration moves it.

    A law finds the beta at which *its* concentration is the radius; `concentration(beta)` says how far that may be off,
    and how fast it changes with log beta. Doubled for second order.
    """
    seen = concentration(exact(beta))
    blur = float(seen.error / seen.value) + offset
    step = 2.0**-6
    cold, warm = (float(concentration(exact(beta) * factor).value) for factor in (1.0 - step, 1.0 + step))
    moved = 2.0 * blur * 2.0 * step / np.log(cold / warm)
    assume(moved < 0.125)  # where ties all but fix the concentration, beta is not determined by it
    slack, reason = bounds.neighbours(DTYPE)
    error = abs(float(beta) - answer.beta) / answer.beta
    reason = f"running error of the concentration over its slope, reference's interval; {reason}"
    row(id, quantity, error, moved + slack + answer.relative_error, reason)


@pytest.mark.parametrize("divergence", DIVERGENCES)
@examples(0.2)
@given(grid=grids(-3, 3), law=laws(B), share=st.sampled_from((0.0625, 0.25, 0.75)), offset=st.sampled_from((0, 64)))
def test_effective_sample_fraction(divergence, grid, law, share, offset, offered, row):
    """The beta at which these ratios, exactly normalised and unclipped, have the fraction asked for."""
    td_error = grid(B) + np.asarray(offset, DTYPE)
    target = interior(SAMPLES, td_error, law, divergence, share)
    beta, fraction = offered("beta_law")(
        "effective-sample-fraction", divergence, np.ones((), DTYPE), FRACTION, td_error, law, ess_target=target, **WIDE
    )
    beta = np.asarray(beta)
    problem = (td_error.astype(np.float64), law.astype(np.float64))
    answer = beta_for_effective_sample_fraction(*problem, target, generator(divergence))
    compare(
        row,
        "BET-03" if divergence == "kl" else "ESS-11",
        f"beta for an effective sample fraction ({divergence})",
        beta,
        answer,
        lambda beta: chi_square(ratios(divergence, td_error, law, beta), law[law > 0]),
        4 * EPS / (1.0 - target),
    )
    row.exact("BET-03", "exact laws leave the smoothed fraction", float(fraction) == float(FRACTION), f"saw {fraction}")


@pytest.mark.parametrize("divergence", ["kl", "js"])
@examples(0.2)
@given(grid=grids(-3, 3), law=laws(B), share=st.sampled_from((0.0625, 0.25, 0.75)))
def test_kl_ball(divergence, grid, law, share, offered, row):
    """The beta at which the weighted batch is so many nats away from the plain one."""
    td_error = grid(B)
    target = interior(KL_BALL, td_error, law, divergence, share)
    beta, _ = offered("beta_law")(
        "kl-ball", divergence, np.ones((), DTYPE), FRACTION, td_error, law, kl_target=target, **WIDE
    )
    beta = np.asarray(beta)
    problem = (td_error.astype(np.float64), law.astype(np.float64))
    answer = beta_for_kl(*problem, target, generator(divergence))
    held = problem[1][law > 0]
    compare(
        row,
        "BET-01" if divergence == "kl" else "ESS-14",
        f"beta for a KL ball ({divergence})",
        beta,
        answer,
        lambda beta: bounds.relative_entropy(ratios(divergence, td_error, law, beta), held),
    )


@examples(0.4)
@given(grid=grids(-3, 3), law=laws(B), share=st.sampled_from((0.0625, 0.25, 0.75)), perplexity=st.booleans())
def test_bracket(grid, law, share, perplexity, offered, row):
    """The closed forms that the bisection tries first."""
    td_error = grid(B)
    fraction = interior(SAMPLES, td_error, law, "kl", share)
    low, high = offered("beta_bracket")(td_error, law, np.asarray(fraction, DTYPE), 2.0 if perplexity else 1.0)
    expected = beta_bracket(td_error.astype(np.float64), law.astype(np.float64), fraction, perplexity)
    for name, seen, true in zip(("below", "above"), (low, high), expected, strict=True):
        bound, reason = bounds.bracket(DTYPE)
        row("BET-03", f"closed-form bound on beta from {name}", abs(float(seen) - true), bound * true, reason)


OUT_OF_REACH = {
    "fraction below the share of the rows that tie": ({"ess_target": 0.25}, (1, 1, 0, -2), "beta_min"),
    "fraction one": ({"ess_target": 1.0}, (1, 0.5, 0, -2), "beta_max"),
    "all rows tie": ({"ess_target": 0.5}, (1, 1, 1, 1), "beta_min"),
    "answer above beta_max": ({"ess_target": 0.5}, (4096, 0, -512, 1), "beta_max"),
    "answer below beta_min": ({"ess_target": 0.5}, (0.015625, 0, -0.0078125, 0), "beta_min"),
}


@pytest.mark.parametrize("case", OUT_OF_REACH)
@pytest.mark.parametrize("divergence", ["kl", "js"])
def test_out_of_reach(divergence, case, offered, row):
    """No beta meets the target: the law stays within its bounds, at the one that comes nearest."""
    target, points, end = OUT_OF_REACH[case]
    td_error, law = np.zeros(B, DTYPE), np.zeros(B, DTYPE)
    td_error[: len(points)], law[: len(points)] = points, 0.25
    limits = {"beta_min": 0.125, "beta_max": 8.0}
    beta, _ = offered("beta_law")(
        "effective-sample-fraction", divergence, np.ones((), DTYPE), FRACTION, td_error, law, **target, **limits
    )
    bound, reason = bounds.neighbours(DTYPE)
    error = abs(float(beta) - limits[end])
    row("ESS-02", f"beta where the target is out of reach ({divergence})", error, bound * limits[end], reason)
    within = limits["beta_min"] <= float(beta) <= limits["beta_max"]
    row.exact("ESS-02", "beta stays within its bounds", within, f"{case}: expected {limits}, saw {float(beta)}")


@given(value=st.integers(1, 64))
def test_fixed(value, offered, row):
    """A fixed beta is the setting, whatever was before."""
    td_error, law = np.zeros(B, DTYPE), np.full(B, 1 / B, DTYPE)
    beta, fraction = offered("beta_law")(
        "fixed", "kl", np.ones((), DTYPE), FRACTION, td_error, law, beta=value / 8, **WIDE
    )
    row.exact("BET-03", "fixed beta", float(beta) == value / 8, f"expected {value / 8}, saw {float(beta)}")
    row.exact("BET-03", "fixed beta keeps the fraction", float(fraction) == float(FRACTION), f"saw {float(fraction)}")


# -- feedback ---------------------------------------------------------------------------------------------------------

STEPS = {"feedback": (stable_law, -1.0), "feedback-as-printed": (printed_law, 1.0)}


@pytest.mark.parametrize(
    ("name", "divergence"), [("feedback", "kl"), ("feedback", "js"), ("feedback-as-printed", "kl")]
)
@given(
    grid=grids(-3, 3),
    law=laws(B),
    beta=st.sampled_from((0.25, 1.0, 4.0)),
    smoothed=st.sampled_from((0.125, 0.5, 1.0)),
    target=st.sampled_from((0.25, 0.5, 0.75)),
    eta=st.sampled_from((0.0625, 1.0, 4.0)),
    rho=st.sampled_from((0.0625, 0.5, 1.0)),
)
def test_feedback_step(name, divergence, grid, law, beta, smoothed, target, eta, rho, offered, row):
    """One step: the fraction is smoothed first, and beta moves by its relative excess over the target."""
    td_error, limits = grid(B), {"beta_min": 0.125, "beta_max": 8.0}
    held = law[law > 0]
    signal = sample_fraction(ratios(divergence, td_error, law, exact(beta)), held)
    step, sign = STEPS[name]
    state = FeedbackState(smoothed, beta)
    answer = step(FeedbackLaw(target, eta, rho, **limits), state, float(signal.value))
    estimate = (1.0 - rho) * exact(smoothed) + rho * signal
    moved = re.exp((sign * eta) * ((estimate - target) / target)) * beta
    moved = re.minimum(re.maximum(moved, limits["beta_min"]), limits["beta_max"])
    seen = offered("beta_law")(
        name,
        divergence,
        np.asarray(beta, DTYPE),
        np.asarray(smoothed, DTYPE),
        td_error,
        law,
        ess_target=target,
        feedback_rate=eta,
        feedback_smoothing=rho,
        **limits,
    )
    id = "ESS-05" if sign < 0 else "ESS-03"
    reason = "running error analysis of one step around reference's"
    kind = f"{name}, {divergence}"
    row(id, f"smoothed fraction ({kind})", abs(float(seen[1]) - answer.estimate), float(estimate.error), reason)
    row(id, f"beta after one step ({kind})", abs(float(seen[0]) - answer.beta), float(moved.error), reason)


def gaussian() -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Hermite nodes and masses: a law of B points under which exponentials have their Gaussian means."""
    nodes, masses = np.polynomial.hermite_e.hermegauss(B)
    masses = masses / masses.sum()
    return nodes.astype(DTYPE), np.where(masses > np.finfo(np.float32).tiny, masses, 0.0).astype(DTYPE)


CLAIMED = {  # eta = 0.1, rho = 0.05, target 1/2 under Gaussian delta
    "feedback-as-printed": ("ESS-03", PRINTED, (1.06446, 0.89247), 5),
    "feedback": ("ESS-05", STABLE, (0.9747, 0.9747), 4),
}


@pytest.mark.parametrize("name", CLAIMED)
def test_eigenvalues(name, offered, row):
    """The whole law, differentiated at its fixed point: the printed sign makes a saddle, the other a stable spiral."""
    id, sign, claimed, digits = CLAIMED[name]
    td_error, law = gaussian()
    points, masses = td_error.astype(np.float64), law.astype(np.float64) / law.astype(np.float64).sum()
    eta, rho = 0.1, 0.05
    beta = float(np.asarray(1.0 / np.sqrt(np.log(2.0)), DTYPE))  # ESS/n = e^(-1/beta^2) = 1/2 (ESS-02)
    fraction = float(sample_fraction(ratios("kl", td_error, law, exact(beta)), law[law > 0]).value)
    rested = offered("beta_law_jacobian")(
        name,
        "kl",
        np.asarray(beta, DTYPE),
        np.asarray(fraction, DTYPE),
        td_error,
        law,
        ess_target=fraction,
        feedback_rate=eta,
        feedback_smoothing=rho,
        **WIDE,
    )
    (beta_beta, beta_fraction), (fraction_beta, fraction_fraction) = np.asarray(rested, np.float64)
    seen = np.array(
        [[fraction_fraction, fraction_beta * beta / fraction], [beta_fraction * fraction / beta, beta_beta]]
    )
    elasticity = effective_sample_elasticity(points, masses, beta)
    true = jacobian(eta, rho, elasticity, sign)
    bound, reason = bounds.jacobian(points, masses, beta, DTYPE)
    row(id, f"linearised law ({name})", np.abs(seen - true), bound, reason)
    moved = bounds.bauer_fike(true, bound)
    order = np.argsort(-np.linalg.eigvals(seen).real)
    found = np.linalg.eigvals(seen)[order]
    theirs = np.array(eigenvalues(eta, rho, elasticity, sign))
    apart = max(min(abs(z - t) for t in theirs) for z in found)
    row(id, f"eigenvalues of the linearised law ({name})", apart, moved, f"Bauer-Fike: {reason}")
    # The claim is about a Gaussian; masses and beta in this precision move the elasticity 2 log 2 by the same relative
    # amounts as they move the sums that the bound counts.
    row(
        id,
        f"claimed eigenvalues ({name})",
        np.abs(np.abs(found) - claimed),
        bounds.printed(digits) + 2 * moved,
        f"{digits} printed digits; {reason}",
    )
    unstable = np.abs(found).max() > 1.0
    row.exact(id, f"stability ({name})", unstable == (sign == PRINTED), f"expected {sign:+d}'s, saw {found}")


def orbit(law, name, td_error, mass, start, steps, settings) -> list[tuple[float, float]]:
    """(beta, smoothed fraction) from `start`, which comes first."""
    states = [(np.asarray(start[0], DTYPE), np.asarray(start[1], DTYPE))]
    for _ in range(steps):
        states.append(tuple(np.asarray(x) for x in law(name, "kl", *states[-1], td_error, mass, **settings)))
    return [(float(beta), float(fraction)) for beta, fraction in states]


@pytest.mark.parametrize("above", [False, True])
def test_printed_law_latches(above, offered, row):
    """From either side of the target beta runs to a bound, within the proved number of steps, and stays there."""
    td_error, mass = np.random.default_rng(4).integers(-192, 193, B) / 64, np.full(B, 1 / B, DTYPE)
    td_error = td_error.astype(DTYPE)
    target, settings = 0.5, {"feedback_rate": 0.5, "feedback_smoothing": 0.0625, "beta_min": 1e-3, "beta_max": 10.0}
    fixed_point = beta_for_effective_sample_fraction(td_error.astype(np.float64), np.full(B, 1 / B), target).beta
    beta = float(np.asarray(fixed_point * (1.125 if above else 0.875), DTYPE))
    start = sample_fraction(ratios("kl", td_error, mass, exact(beta)), mass)
    law = FeedbackLaw(target, 0.5, 0.0625, 1e-3, 10.0)
    steps = hitting_time_bound(law, FeedbackState(float(start.value), beta))
    states = orbit(
        offered("beta_law"),
        "feedback-as-printed",
        td_error,
        mass,
        (beta, float(start.value)),
        steps + 3,
        settings | {"ess_target": target},
    )
    end = float(np.asarray(10.0 if above else 1e-3, DTYPE))
    latched = [abs(beta - end) for beta, _ in states[steps:]]
    row(
        "ESS-04",
        "printed law at its bound after the proved number of steps",
        latched,
        2 * EPS * end,
        "a float's spacing",
    )
    betas = np.array([beta for beta, _ in states])
    back = np.maximum(-np.diff(betas) if above else np.diff(betas), 0.0)
    row("ESS-04", "printed law never turns back", back / betas[1:], 4 * EPS, "rounding of beta, relative")


def test_stable_law_comes_to_rest(offered, row):
    """The reversed sign, from far away, settles where the effective sample fraction is the target."""
    td_error = (np.random.default_rng(4).integers(-192, 193, B) / 64).astype(DTYPE)
    mass, target, eta, rho = np.full(B, 1 / B, DTYPE), 0.5, 0.5, 0.25
    settings = {"ess_target": target, "feedback_rate": eta, "feedback_smoothing": rho, **WIDE}
    states = orbit(offered("beta_law"), "feedback", td_error, mass, (0.25, 1.0), 250, settings)
    (beta, smoothed), (after, following) = states[-2:]
    seen = sample_fraction(ratios("kl", td_error, mass, exact(beta)), mass)
    # |E' - E| = rho |S - E| and |log beta' - log beta| = eta |E'/T - 1|: at rest S = E = T, and the last movements,
    # each known to rounding, say how far from rest this is.
    spread = (abs(following - smoothed) + 4 * EPS * smoothed) / rho
    excess = target * (abs(np.log(after / beta)) + 4 * EPS) / eta
    bound = spread + excess + abs(following - smoothed) + float(seen.error)
    row("ESS-05", "effective sample fraction at which the law rests", abs(float(seen.value) - target), bound,
        "last movements over rho and eta, plus running error")  # fmt: skip
    rest = beta_for_effective_sample_fraction(td_error.astype(np.float64), np.full(B, 1 / B), target)
    elasticity = effective_sample_elasticity(td_error.astype(np.float64), np.full(B, 1 / B), rest.beta)
    assert bound < 0.01, f"250 steps did not bring the law to rest: {states[-2:]}"
    distance = 2 * bound / (target * elasticity)
    row("ESS-05", "beta at which the law rests", abs(np.log(beta / rest.beta)), distance + rest.relative_error,
        "distance from the target over half the elasticity")  # fmt: skip


@given(rho=st.sampled_from((0.01, 0.05, 0.1, 0.5, 1.0)))
def test_largest_stable_gain(rho, offered, row):
    """4/rho - 2."""
    seen, true = float(offered("largest_stable_gain")(rho)), largest_stable_gain(rho)
    row("ESS-05", "largest stable gain", abs(seen - true), 4 * np.finfo(float).eps * true, "two roundings")
