"""Experience weights: the relaxed problem against two solvers, and the additive recursion."""

import cvxpy
import numpy as np
import pytest
from contract import shadow
from contract.agents import Rates
from contract.compare import EPS, agree, examples, iterates
from contract.generators import reference_divergence
from contract.problems import DTYPE, grids, laws, problems, settings, stored_weights, tables
from contract.protocol import DIVERGENCES, FERMI_DIRAC_CAP, POWER_EXPONENT, RATIO_CAP
from contract.shadow import exact
from hypothesis import given
from hypothesis import strategies as st

from reference.divergence import Capped
from reference.weights import optimal_weights

B = 64
IDS = {
    "kl": "KL-04",
    "js": "JS-04",
    "fermi-dirac": "JS-10",
    "chi2": "KL-09",
    "hellinger": "FD-01",
    "reverse-kl": "FD-01",
    "power": "KL-09",
    "capped": "FD-05",
}


@pytest.mark.parametrize("divergence", DIVERGENCES)
@given(grid=grids(-3, 3), law=laws(B), scale=st.sampled_from((1.0, 0.25, 8.0)))
def test_relaxed_weights(divergence, grid, law, scale, offered, row):
    """Mean-one optimal ratios and their multiplier, whatever the total mass, zeros included."""
    z = grid(B)
    ratio, multiplier = offered("ratio")(divergence, z, (law * scale).astype(DTYPE))
    expected, nu = shadow.relaxed_ratio(divergence, exact(z), law.astype(np.float64))
    answer = optimal_weights(z.astype(np.float64), law.astype(np.float64), 1.0, reference_divergence(divergence))
    held = law > 0
    name = f"relaxed weights ({divergence})"
    reason = "running error analysis through the multiplier's conditioning; reference's own error bound"
    row(
        IDS[divergence],
        name,
        np.abs(np.asarray(ratio, float)[held] - answer.weights[held]),
        expected.error[held] + answer.weights_error,
        reason,
    )
    row(
        IDS[divergence],
        f"normalisation multiplier of the {name}",
        abs(float(multiplier) - answer.multiplier),
        float(nu.error) + answer.multiplier_error,
        reason,
    )
    mean = float(law.astype(np.float64) @ np.where(held, np.asarray(ratio, float), 0.0))
    row(IDS[divergence], f"mean of the {name} is one", abs(mean - 1.0), float(law[held] @ expected.error[held]), reason)


def conic(divergence: str, z: np.ndarray, law: np.ndarray) -> np.ndarray:
    """The same maximisation given to an interior-point solver that knows no formula for its solution."""
    w = cvxpy.Variable(len(z), nonneg=True)
    penalty = {
        "kl": lambda: -cvxpy.entr(w),
        "js": lambda: cvxpy.rel_entr(w, (w + 1) / 2) + cvxpy.rel_entr(np.ones(len(z)), (w + 1) / 2),
        "fermi-dirac": lambda: -cvxpy.entr(w) - cvxpy.entr(FERMI_DIRAC_CAP - w),
        "chi2": lambda: cvxpy.square(w) / 2,
        "hellinger": lambda: -2 * cvxpy.sqrt(w),
        "reverse-kl": lambda: -cvxpy.log(w),
        "power": lambda: cvxpy.power(w, 1 + 1 / POWER_EXPONENT) / (1 + 1 / POWER_EXPONENT),
        "capped": lambda: -cvxpy.log(w),
    }[divergence]()  # up to a multiple of w - 1, which the constraint fixes
    constraints = [law @ w == 1] + ([w <= RATIO_CAP] if divergence == "capped" else [])
    problem = cvxpy.Problem(cvxpy.Maximize(law @ (cvxpy.multiply(w, z) - penalty)), constraints)
    problem.solve(solver=cvxpy.CLARABEL)
    assert problem.status == cvxpy.OPTIMAL, f"the conic solver ended with {problem.status}"
    return np.maximum(w.value, 0.0) / float(law @ np.maximum(w.value, 0.0))


INSTANCES = (
    ((0.0, np.log(9 / 5)), (0.5, 0.5)),  # the worked example of JS-05
    ((-1.0, 0.25, 0.5, 1.5), (0.125, 0.5, 0.25, 0.125)),
    ((0.75, -2.0, 0.75), (0.25, 0.25, 0.5)),
)


@pytest.mark.parametrize("divergence", DIVERGENCES)
@pytest.mark.parametrize("instance", range(len(INSTANCES)))
def test_third_opinion(divergence, instance, offered, row):
    """A conic solver's optimum. Duality certifies its gap, and strong convexity turns that into a distance.

    For a feasible w the gap to the dual value at any nu bounds the gap to the optimum; f'' >= m on the ratios that can
    occur, so |w - w*|_D^2 <= 2 gap / m.
    """
    points, masses = (np.array(x) for x in INSTANCES[instance])
    z, law = np.zeros(B, DTYPE), np.zeros(B, DTYPE)
    z[: len(points)], law[: len(points)] = points, masses
    points = z[: len(points)].astype(np.float64)
    ratio = np.asarray(offered("ratio")(divergence, z, law)[0], np.float64)[: len(points)]
    theirs = conic(divergence, points, masses)
    generator = reference_divergence(divergence)
    answer = optimal_weights(points, masses, 1.0, generator)
    primal = float(masses @ (theirs * points - generator.f(theirs)))
    dual = answer.multiplier + float(masses @ generator.conjugate(points - answer.multiplier))
    gap = max(dual - primal, 0.0) + 64 * np.finfo(float).eps * (1 + abs(dual))
    largest = min(1 / masses.min(), generator.largest_ratio)
    uncapped = generator.divergence if isinstance(generator, Capped) else generator
    curvature = 4 / FERMI_DIRAC_CAP if divergence == "fermi-dirac" else 1 / uncapped.curvature(largest)  # f'' falls
    distance = np.sqrt(2 * gap / (curvature * masses))
    expected, _ = shadow.relaxed_ratio(divergence, exact(z), law.astype(np.float64))
    row(
        IDS[divergence],
        f"relaxed weights against a conic solver ({divergence})",
        np.abs(ratio - theirs),
        distance + expected.error[: len(points)],
        "certified duality gap and strong convexity, plus running error",
    )


@given(grid=grids(0, 4), rate=st.sampled_from((0.0, 0.125, 0.375, 1.0)))
def test_additive(grid, rate, offered, row):
    """(1 - rate) w + rate ratio."""
    w, u = grid(B), grid(B)
    agree(
        row,
        "PRI-02",
        "additive recursion of the weights",
        offered("blend")(w, u, rate),
        (1.0 - rate) * exact(w) + rate * exact(u),
    )


@iterates
@pytest.mark.parametrize("divergence", DIVERGENCES)
@examples(0.4)
@given(data=st.data())
def test_recursion_to_its_fixed_point(divergence, data, offered, row):
    """With parameters at rest the whole update drives stored weights to the optimal ones at rate 1 - lambda."""
    problem, start, weights = data.draw(problems()), data.draw(tables()), data.draw(stored_weights())
    scalars = data.draw(settings(problem.discount, divergence))._replace(beta=4.0)
    agent, batch = offered("tabular")(divergence), problem.batch("data", weights)
    state, steps = agent.state(start, Rates()), data.draw(st.sampled_from((1, 7, 150)))
    expected = shadow.update(shadow.lift(start), batch, exact(batch.weight), scalars, Rates(), divergence)
    ratio = (expected.weights - (1.0 - scalars.weight_rate) * exact(batch.weight)) / scalars.weight_rate
    held = batch.mass > 0
    answer = optimal_weights(
        expected.td_error.value, batch.mass.astype(np.float64), scalars.beta, reference_divergence(divergence)
    )
    _, new = agent.iterate(state, batch, scalars, steps)
    running = exact(batch.weight)
    for _ in range(steps):
        running = (1.0 - scalars.weight_rate) * running + scalars.weight_rate * ratio
    gap = (1.0 - scalars.weight_rate) ** steps * (batch.weight.astype(np.float64) - answer.weights)
    row(
        "PRI-02",
        f"weights after k steps of the recursion ({divergence})",
        np.abs(np.asarray(new, float) - (answer.weights + gap))[held],
        running.error[held] + answer.weights_error + EPS * np.abs(gap[held]),
        "running error analysis of k steps towards reference.weights",
    )
