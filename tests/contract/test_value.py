"""Value regression with a divergence's conjugate: gradient, C1 cap, and minimiser."""

import numpy as np
import pytest
from contract import shadow
from contract.agents import Rates
from contract.compare import EPS, agree, examples, iterates
from contract.generators import GENERATORS, VALUE_CAPS, reference_divergence
from contract.problems import ACTIONS, DTYPE, STATES, grids, problems, settings, tables
from contract.protocol import DIVERGENCES
from contract.shadow import exact
from hypothesis import assume, given
from hypothesis import strategies as st

from reference.weights import optimal_weights

B = 64
IDS = {name: "GUM-01" if name == "kl" else "FD-03" for name in DIVERGENCES}


@pytest.mark.parametrize("divergence", DIVERGENCES)
@given(grid=grids(-4, 4), mass=grids(0, 1, 256), beta=st.sampled_from((0.5, 2.0, 4.0)), which=st.integers(0, 1))
def test_gradient(divergence, grid, mass, beta, which, offered, row):
    """d/dv of sum m beta (f*(z) - z) is m (1 - (f*)'(min(z, cap))), z = (q - v)/beta: no stray beta anywhere."""
    v, q, m, cap = grid(B), grid(B), mass(B), VALUE_CAPS[divergence][which]
    seen = offered("value_gradient")(divergence, v, q, beta, cap, m)
    z = (exact(q) - exact(v)) / beta
    expected = exact(m) * (1.0 - shadow.capped_ratio(divergence, z, cap))
    agree(row, IDS[divergence], f"gradient of the value loss ({divergence})", seen, expected)


@pytest.mark.parametrize("divergence", DIVERGENCES)
@given(beta=st.sampled_from((0.25, 0.5, 2.0, 4.0)), which=st.integers(0, 1), step=st.integers(4, 10))
def test_slope_is_continuous_at_the_cap(divergence, beta, which, step, offered, row):
    """The derivative just below and just above the cap differ by no more than the curvature there allows."""
    cap, gap = VALUE_CAPS[divergence][which], 2.0**-step
    q = np.zeros(B, DTYPE)
    q[:3] = beta * (cap - gap), beta * (cap + gap), beta * (cap + 64.0)
    seen = np.asarray(offered("value_gradient")(divergence, np.zeros(B, DTYPE), q, beta, cap, np.ones(B, DTYPE)), float)
    at = exact(q[:2].astype(DTYPE)) / beta
    slopes = shadow.capped_ratio(divergence, at, cap)
    rounding = slopes.error.sum() + 4 * EPS * (1 + np.abs(seen[:2]).max())
    below, edge = GENERATORS[divergence].value(np.array([at.value[0], cap]))
    row(
        "GUM-04",
        f"value loss is C1 at the cap ({divergence})",
        abs((seen[0] - seen[1]) - (edge - below)),
        rounding,
        "the slope's own increase up to the cap and no jump beyond; running error",
    )
    row(
        "GUM-04",
        f"value loss is linear above the cap ({divergence})",
        abs(seen[2] - seen[1]),
        rounding,
        "the slope above the cap is one number; running error of evaluating it twice",
    )


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_gradient_far_from_the_cap(divergence, offered, row):
    """Where e^z overflows in any precision the slope is that of the linear extension, not inf times zero (NU01)."""
    q, cap = np.zeros(B, DTYPE), VALUE_CAPS[divergence][0]
    q[:4] = -4096.0, -128.0, 128.0, 4096.0
    seen = np.asarray(offered("value_gradient")(divergence, np.zeros(B, DTYPE), q, 1.0, cap, np.ones(B, DTYPE)), float)
    finite = bool(np.isfinite(seen).all())
    name = f"gradient of the value loss is finite far from the cap ({divergence})"
    row.exact("GUM-04", name, finite, f"saw {seen[:4].tolist()} at z = {q[:4].tolist()}")


@iterates
@pytest.mark.parametrize("divergence", DIVERGENCES)
@examples(0.4)
@given(data=st.data())
def test_minimiser(divergence, data, offered, row):
    """Regressed on a frozen critic, V reaches the state's exact value, with the cap active or not.

    At rest |E[(f*)'] - 1| is at most the last movement over the step, plus rounding; the mean is monotone in v, so v
    lies between the values at which the mean is one plus and one minus that.
    """
    problem, start = data.draw(problems()), data.draw(tables())
    scalars = data.draw(settings(problem.discount, divergence))._replace(
        tau=0.0, beta=data.draw(st.sampled_from((2.0, 4.0)))
    )
    n, beta, cap = problem.n, scalars.beta, scalars.value_cap
    q = start.target.min(axis=0).astype(np.float64)
    solution = [shadow.stationary_value(divergence, q[s], problem.behavior[s], beta, cap, 1.0) for s in range(n)]
    rate = np.full(STATES, beta, DTYPE)
    if (
        divergence != "fermi-dirac"
    ):  # from above, the mean's slope grows towards the solution: Newton's step there is safe
        for s in range(n):
            y = np.minimum((q[s] - solution[s]) / beta, min(cap, GENERATORS[divergence].edge))
            rate[s] = beta / float(problem.behavior[s] @ GENERATORS[divergence].curvature(y))
    rates = Rates(value=rate)  # Fermi-Dirac: (f*)'' <= cap / 4 = 1 everywhere
    start = start._replace(value=q.max(axis=-1).astype(DTYPE))
    agent, batch = offered("tabular")(divergence), problem.batch("behavior")
    state = agent.state(start, rates)
    movement, before = np.inf, start.value
    for _ in range(40):
        state, _ = agent.iterate(state, batch, scalars, 10)
        seen = agent.tables(state).value
        movement, before = np.abs(seen - before).max(), seen
        if movement <= 4 * EPS * (1 + np.abs(q).max()):
            break
    assume(movement <= 64 * EPS * (1 + np.abs(q).max()))
    last = agent.tables(state)
    state, _ = agent.update(state, batch, scalars)
    moved = np.abs(agent.tables(state).value.astype(np.float64) - last.value)
    step = shadow.update(shadow.lift(last), batch, exact(batch.weight), scalars, rates, divergence)
    residual = (moved + step.tables.value.error) / rate
    reason = f"last movement and running error, carried through the monotone mean of ratios ({divergence})"
    for s in range(n):
        law, exact_value = problem.behavior[s], solution[s]
        bounds = [
            abs(shadow.stationary_value(divergence, q[s], law, beta, cap, 1 + sign * residual[s]) - exact_value)
            for sign in (1, -1)
        ]
        bound = max(bounds) + 16 * np.finfo(float).eps * (1 + abs(exact_value))
        error = abs(float(last.value[s]) - exact_value)
        row("GUM-04", f"regressed value is stationary with the capped ratio ({divergence})", error, bound, reason)
        if q[s].max() - exact_value <= beta * cap:  # the cap is not active: this is the uncapped problem
            answer = optimal_weights(q[s], law, beta, reference_divergence(divergence))
            row(
                IDS[divergence],
                f"regressed value against reference ({divergence})",
                abs(float(last.value[s]) - beta * answer.multiplier),
                bound + beta * answer.multiplier_error,
                reason,
            )


@examples(0.4)
@given(data=st.data())
def test_one_gumbel_step_from_the_exact_value(data, offered, row):
    """The exact Gumbel value beta log E e^(q/beta) is a fixed point of the whole update's value step (GUM-01)."""
    problem, start = data.draw(problems()), data.draw(tables())
    scalars = data.draw(settings(problem.discount, "kl"))._replace(value_cap=7.0, beta=2.0)
    q = start.target.min(axis=0).astype(np.float64)
    top = q.max(-1, keepdims=True)
    law = np.full((STATES, ACTIONS), 1 / ACTIONS)
    law[: problem.n] = problem.behavior
    gumbel = (top[:, 0] + 2.0 * np.log((law * np.exp((q - top) / 2.0)).sum(-1))).astype(DTYPE)
    start = start._replace(value=gumbel)
    rates = Rates(value=2.0)
    agent, batch = offered("tabular")("kl"), problem.batch("behavior")
    state, _ = agent.update(agent.state(start, rates), batch, scalars)
    step = shadow.update(shadow.lift(start), batch, exact(batch.weight), scalars, rates, "kl")
    n = problem.n
    # d(step)/dv vanishes at the solution to first order, so rounding v to the tested precision moves it by EPS |v| at
    # most.
    row(
        "GUM-01",
        "the exact Gumbel value is a fixed point of the value step",
        np.abs(agent.tables(state).value[:n] - gumbel[:n].astype(np.float64)),
        step.tables.value.error[:n] + 2 * EPS * np.abs(gumbel[:n].astype(np.float64)) + EPS,
        "running error plus rounding of the value",
    )
