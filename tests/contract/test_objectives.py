"""Huber error and the flow dual: derivatives, and where the dual's V comes to rest on random decision processes.

The last has a bound that nobody's answer enters. Write L for the objective on tables, y = delta / beta for a row's
argument, w = (f*)'(y), D for its mass and V* for the optimum. Then for every V

    (V - V*) . grad L(V) = beta sum_b D_b (w_b - w*_b)(y_b - y*_b) >= beta sum_b D_b kappa_b (y_b - y*_b)^2,

kappa the least curvature of f* between y and y*. Take one row in each state: following those rows,
|V - V*| <= beta max|y - y*| / (1 - gamma) over them. With m the least D kappa among them this gives

    max|y - y*| <= |grad L(V)|_1 / ((1 - gamma) m),        |V - V*| <= beta |grad L(V)|_1 / ((1 - gamma)^2 m).

Every (f*)'' here rises, or rises and then falls, so over [y - rho, y + rho] it is least at an end; with that for kappa
the bounds hold wherever the first is below rho (the left side grows along the ray from V*, so a larger distance would
contradict it at the distance rho).

Terminations: the end is a state of value zero without data or price. `reference` has no such state, so it is given one
with data, whose optimal value v0 is then handed to the implementation as a reward gamma v0 at terminal rows; the other
values must agree.
"""

import dataclasses

import numpy as np
import pytest
from contract import shadow
from contract.compare import EPS, agree, examples, iterates
from contract.generators import GENERATORS, VALUE_CAPS, reference_divergence
from contract.problems import ACTIONS, DTYPE, ROWS, STATES, Problem, grids, problems
from contract.protocol import DIVERGENCES
from contract.shadow import exact
from hypothesis import assume, given
from hypothesis import strategies as st
from running_error import Rounded, maximum, minimum, scatter_add, unit_roundoff

from reference.composed import Capped
from reference.feasibility import InfeasibleFlow
from reference.mdp import MDP
from reference.regularized import regularized_occupancy
from reference.sampled import sampled_occupancy

B = 64
RHO = 2.0**-4  # distance of arguments within which the bound on V is a bound
KEPT = 0.875  # share of the data on living states where episodes end; `reference` finds the rest where they have ended


@given(grid=grids(-8, 8), weight=grids(0, 3), mass=grids(0, 1, 256), width=st.sampled_from((0.25, 1.0, 20.0)))
def test_huber_gradient(grid, weight, mass, width, implementation, offered, row):
    """mass w clip(Q_i - y, -width, width) for each twin by itself."""
    q, y, (w, m) = grid(2, B), grid(B), implementation.rows(weight(B), mass(B))
    seen = offered("huber_gradient")(q, y, w, m, width)
    expected = exact(m) * exact(w) * minimum(maximum(exact(q) - exact(y), -width), width)
    agree(row, "CL-01", "gradient of the critic's Huber loss", seen, expected)


# -- the flow dual ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("divergence", DIVERGENCES)
@given(
    grid=grids(-4, 4),
    mass=grids(0, 1, 256),
    gamma=st.sampled_from((0.0, 0.75, 0.9375)),
    beta=st.sampled_from((0.5, 2.0, 4.0)),
    which=st.integers(0, 1),
)
def test_flow_gradient(divergence, grid, mass, gamma, beta, which, offered, row):
    """The flow dual's derivative: -m w at s, gamma m w at s' where nothing ended, (1 - gamma) mu0 at initial states."""
    v, following, start, reward = grid(B), grid(B), grid(STATES), grid(B)
    terminated, m, initial, cap = (
        (np.arange(B) % 3 == 0).astype(DTYPE),
        mass(B),
        mass(STATES),
        VALUE_CAPS[divergence][which],
    )
    # each row's own discount, as rows of several steps would have
    discount = np.where(np.arange(B) % 2 == 0, gamma, gamma * gamma).astype(DTYPE)
    seen = offered("flow_gradient")(
        divergence, v, following, start, reward, terminated, discount, gamma, beta, cap, m, initial
    )
    going = exact(1.0 - terminated)
    delta = exact(reward) + exact(discount) * (going * exact(following)) - exact(v)
    here, there = shadow.flow_rows(divergence, delta, going, exact(discount), beta, cap, exact(m))
    name = f"gradient of the flow dual ({divergence})"
    agree(row, "OCC-01", f"{name} in V(s)", seen[0], here)
    agree(row, "OCC-01", f"{name} in V(s')", seen[1], there)
    agree(row, "OCC-01", f"{name} in V(s0)", seen[2], (1.0 - gamma) * exact(initial))


@pytest.mark.parametrize("divergence", DIVERGENCES)
@given(grid=grids(-4, 4), beta=st.sampled_from((0.5, 2.0, 4.0)), which=st.integers(0, 1))
def test_flow_ratio(divergence, grid, beta, which, offered, row):
    """(f*)'(min(delta / beta, cap)): V is the multiplier, and none is subtracted."""
    delta, cap = grid(B), VALUE_CAPS[divergence][which]
    expected = GENERATORS[divergence].ratio(minimum(exact(delta) / beta, cap))
    agree(
        row, "OCC-01", f"occupancy ratio ({divergence})", offered("flow_ratio")(divergence, delta, beta, cap), expected
    )


class Flow:
    """The flow dual on tables: rows with mass, the implementation's gradient, and the bound of the module's docstring.

    Its rows are those of `problem` with the masses of the data and, where an episode ends, `ending` added to rewards.
    """

    def __init__(self, problem, divergence: str, beta: float, cap: float, ending: float, gradient) -> None:
        self.n, self.gamma, self.beta, self.cap = problem.n, problem.discount, beta, cap
        self.generator, self.divergence, self._offered = GENERATORS[divergence], divergence, gradient
        self.batch = problem.batch("data")
        self.batch = self.batch._replace(mass=(kept(problem) * self.batch.mass).astype(DTYPE))
        reward = self.batch.reward + self.gamma * ending * self.batch.terminated.astype(np.float64)
        self.reward = np.where(self.batch.terminated == 1, reward, self.batch.reward)
        self.batch = self.batch._replace(reward=self.reward.astype(DTYPE))
        self.s, self.after = self.batch.observation.argmax(-1), self.batch.next_observation.argmax(-1)
        self.held = self.batch.mass > 0
        self.initial = np.zeros(STATES, DTYPE)
        self.initial[: self.n] = problem.states

    def gradient(self, values: np.ndarray) -> np.ndarray:
        """The implementation's derivative in the table of V."""
        v = values.astype(DTYPE)
        here, there, start = self._offered(
            self.divergence,
            v[self.s],
            v[self.after],
            v,
            self.batch.reward,
            self.batch.terminated,
            np.full(ROWS, self.gamma, DTYPE),
            self.gamma,
            self.beta,
            self.cap,
            self.batch.mass,
            self.initial,
        )
        table = np.asarray(start, np.float64).copy()
        np.add.at(table, self.s, np.asarray(here, np.float64))
        np.add.at(table, self.after, np.asarray(there, np.float64))
        return table[: self.n]

    def shadow(self, values: np.ndarray, dtype) -> Rounded:
        """The derivative with the rounding of `dtype`, that of the rewards at endings included."""
        unit, tiny = unit_roundoff(dtype), float(np.finfo(dtype).tiny)
        v = Rounded(values.astype(np.float64), 0.0, unit, tiny)
        reward = Rounded(self.reward, np.abs(self.reward - self.reward.astype(dtype)), unit, tiny)
        going, mass = v._lift(1.0 - self.batch.terminated), v._lift(self.batch.mass.astype(np.float64))
        delta = reward + self.gamma * (going * v[self.after]) - v[self.s]
        here, there = shadow.flow_rows(self.divergence, delta, going, self.gamma, self.beta, self.cap, mass)
        shape = values.shape
        table = scatter_add(here, (self.s,), shape) + scatter_add(there, (self.after,), shape)
        return ((1.0 - self.gamma) * v._lift(self.initial.astype(np.float64)) + table)[: self.n]

    def arguments(self, values: np.ndarray) -> np.ndarray:
        """delta / beta of every row, in float64."""
        going = 1.0 - self.batch.terminated.astype(np.float64)
        return (self.reward + self.gamma * going * values[self.after] - values[self.s]) / self.beta

    def rest(self) -> np.ndarray:
        """V where the implementation's gradient vanishes: damped Newton steps, their Hessians by NumPy.

        The objective is convex: a step is halved while the gradient at its end points back along it by more than half
        of what it pointed forward at the beginning.
        """
        rows = np.zeros((ROWS, STATES))
        rows[np.arange(ROWS), self.after] = self.gamma * (1.0 - self.batch.terminated)
        rows[np.arange(ROWS), self.s] -= 1.0
        rows, mass = rows[:, : self.n], self.batch.mass.astype(np.float64)
        top = min(self.cap, self.generator.edge)
        values, stalled, lent = np.zeros(STATES, DTYPE), 0, 2.0**-4
        slope = self.gradient(values)
        best, least = values, float(np.abs(slope).sum())
        while stalled < 12:
            y = self.arguments(values.astype(np.float64))
            # Rows on which the objective is linear have no curvature. Some is lent to them, less after each full step.
            curvature = np.where(y < top, self.generator.curvature(np.minimum(y, top)), 0.0)
            hessian = rows.T @ ((mass * np.where(curvature > 0.0, curvature, lent) / self.beta)[:, None] * rows)
            step = -np.linalg.lstsq(hessian, slope, rcond=None)[0]
            moves = np.abs(rows @ step) / self.beta / (1.0 + 0.5 * np.abs(y))
            step = step / max(moves[self.held].max(), 1.0)
            forward = float(slope @ step)
            for halved in range(12):
                ahead = values + np.concatenate([0.5**halved * step, np.zeros(STATES - self.n)]).astype(DTYPE)
                slope = self.gradient(ahead)
                if slope @ step <= -0.5 * forward:
                    break
            lent = min(2.0 * lent, 2.0**-4) if halved else lent / 8.0
            values, size = ahead, float(np.abs(slope).sum())
            stalled = 0 if size < 0.75 * least else stalled + 1
            best, least = (values, size) if size < least else (best, least)
        return best

    def distance(self, values: np.ndarray, slope: np.ndarray) -> tuple[float, bool]:
        """Bound on |V - V*| from the derivative at V, and whether it lies where the bound is one."""
        y = self.arguments(values)
        curved = self.held & (y + RHO < self.cap)
        least = np.minimum(*(self.generator.curvature(y[curved] + x) for x in (-RHO, RHO)))
        per_state = np.zeros(self.n)
        np.maximum.at(per_state, self.s[curved], self.batch.mass[curved] * least)
        size, left = float(slope.sum()), 1.0 - self.gamma
        if per_state.min() == 0.0:
            return np.inf, False
        apart = size / (left * per_state.min())
        return self.beta * apart / left, apart <= RHO


def kept(problem) -> float:
    """The share of the data on living states: all of it if no episode ends."""
    return KEPT if problem.transitions[:, :, problem.n].any() else 1.0


def with_the_end(problem) -> tuple[MDP, np.ndarray]:
    """The problem for `reference`, with data where episodes have ended as well, and the law of its data."""
    n = problem.n
    mdp = dataclasses.replace(problem.mdp(), initial=np.append(problem.states, 0.0))
    law = np.zeros((n + 1, ACTIONS))
    law[:n] = kept(problem) * problem.law("data")
    law[n, 0] = 1.0 - kept(problem)
    return mdp, law


@iterates
@pytest.mark.parametrize("divergence", DIVERGENCES)
@examples(0.25)
@given(problem=problems((0.0, 0.5, 0.75)), certain=st.booleans(), beta=st.sampled_from((1.0, 2.0, 4.0)), data=st.data())
def test_flow_at_rest(divergence, problem, certain, beta, data, offered, row):
    """V and ratios where the flow dual rests against `reference`: the flow problem, or the sampled one (OCC-07)."""
    problem = problem.deterministic() if certain else problem
    cap = VALUE_CAPS[divergence][data.draw(st.integers(0, 1))]
    mdp, law = with_the_end(problem)
    capped = reference_divergence(divergence)
    if cap < GENERATORS[divergence].edge:
        capped = Capped(capped, float(GENERATORS[divergence].value(np.asarray(cap))))
    solve = regularized_occupancy if certain else sampled_occupancy
    try:
        solved = solve(mdp, law, beta, capped)
    except InfeasibleFlow:  # no occupancy keeps this cap: the dual has no minimum
        assume(False)
    n, ending = problem.n, solved.values[problem.n]
    flow = Flow(problem, divergence, beta, cap, ending if np.isfinite(ending) else 0.0, offered("flow_gradient"))

    theirs = np.zeros(STATES)
    theirs[:n] = solved.values[:n]
    at = flow.shadow(theirs, np.float64)
    their_bound, sharp = flow.distance(theirs, np.abs(at.value) + at.error)
    assume(sharp)  # next to an inactive curvature the optimum is hardly determined, by anybody
    seen = flow.rest()
    slope = np.abs(flow.gradient(seen)) + flow.shadow(seen, DTYPE).error
    bound, inside = flow.distance(seen.astype(np.float64), slope)
    where = "deterministic dynamics" if certain else "stochastic dynamics: the sampled problem"
    claim = "OCC-01" if certain else "OCC-07"
    row.exact(
        "UP-03",
        "the flow dual comes to rest",
        inside,
        f"the derivative {slope.sum():.1e} left at rest says only that V is within {bound:.1e} of the optimum",
    )
    reason = "derivative left at rest and its running error, over the least curvature and (1 - gamma)^2"
    apart = np.abs(seen[:n].astype(np.float64) - solved.values[:n])
    row(claim, f"V of the flow dual at rest ({divergence}, {where})", apart, bound + their_bound, reason)
    y = flow.arguments(seen.astype(np.float64))
    delta = (beta * y).astype(DTYPE)
    ratio = np.asarray(offered("flow_ratio")(divergence, delta, beta, cap), np.float64)
    x = (1.0 + problem.discount) * (bound + their_bound) / beta + 4 * EPS * (1.0 + np.abs(y))
    argument = minimum(Rounded(y, x, unit_roundoff(DTYPE), float(np.finfo(DTYPE).tiny)), cap)
    expected = their_ratios(flow, problem, solved, certain)
    held = flow.held
    row(
        claim,
        f"occupancy ratio at rest ({divergence}, {where})",
        np.abs(ratio - expected)[held],
        GENERATORS[divergence].ratio(argument[held]).error,
        reason + " and the monotone ratio",
    )


def their_ratios(flow: Flow, problem, solved, certain: bool) -> np.ndarray:
    """The ratio d/D of every row, from the pair in the flow problem and from the transition in the sampled one."""
    action = flow.batch.action.argmax(-1)
    successor = np.where(flow.batch.terminated == 1, problem.n, flow.after)
    if certain:
        return np.nan_to_num(solved.ratio[np.minimum(flow.s, problem.n - 1), action])
    table = np.zeros((STATES + 1, ACTIONS, STATES + 1))
    table[solved.state, solved.action, solved.next_state] = solved.ratio
    return table[flow.s, action, successor]


def test_luck(offered, row):
    """Where luck is in play the flow dual of single transitions rests above the flow problem, as OCC-07 says."""
    transitions = np.zeros((2, ACTIONS, 3))
    transitions[0, :, :2] = 0.5
    transitions[1, :, 1] = 1.0
    rewards = np.zeros((2, ACTIONS))
    rewards[1] = 4.0
    law = np.full(ACTIONS, 0.25)
    law[0] = 0.5
    problem = Problem(transitions, rewards, 0.5, np.stack([law, law]), np.array([0.5, 0.5]))
    mdp, data = with_the_end(problem)
    flow = Flow(problem, "kl", 1.0, 7.0, 0.0, offered("flow_gradient"))
    seen = flow.rest().astype(np.float64)
    slope = np.abs(flow.gradient(seen)) + flow.shadow(seen, DTYPE).error
    bound, inside = flow.distance(seen, slope)
    lucky, honest = (f(mdp, data, 1.0) for f in (sampled_occupancy, regularized_occupancy))
    row(
        "OCC-07",
        "V under luck is that of the sampled problem",
        np.abs(seen[:2] - lucky.values[:2]),
        bound + EPS * np.abs(lucky.values[:2]),
        "derivative left at rest; rounding of V",
    )
    row.exact(
        "OCC-07",
        "V under luck is above that of the flow problem",
        inside and bool(seen[0] > honest.values[0] + bound),
        f"expected V(0) above the flow problem's {honest.values[0]:.4f} by more than {bound:.1e}, saw {seen[0]}",
    )
