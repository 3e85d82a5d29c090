"""The whole update along the axes that presets combine: divergences, the flow dual, laws of beta, n-step rows, LaBER.

`test_update.py` has the divergences of the presets under the conditional objective and a fixed beta; here each other
divergence, objective and law takes part in some update, and every update is held to the shadow in all that it changes.
Combinations are chosen, not multiplied: each costs a compilation.
"""

import numpy as np
import pytest
import running_error as re
import tolerances_beta as bounds
from contract import shadow
from contract.agents import Batch, Settings
from contract.compare import EPS, QUANTITIES, REASON, agree, examples
from contract.networks import flat, penalty_by_hand, random_batch, random_layers
from contract.problems import DTYPE, RATES, STATES, problems, settings, stored_weights, tables
from contract.shadow import exact
from hypothesis import assume, given
from hypothesis import strategies as st
from running_error import Rounded

ON_TABLES = [
    ("chi2", "conditional", "fixed"),
    ("hellinger", "conditional", "feedback"),
    ("power", "conditional", "feedback-as-printed"),
    ("capped", "conditional", "effective-sample-fraction"),
    ("kl", "occupancy", "fixed"),
    ("js", "occupancy", "kl-ball"),
    ("reverse-kl", "occupancy", "feedback"),
]
CLAIMS = {
    "feedback": "ESS-05",
    "feedback-as-printed": "ESS-03",
    "effective-sample-fraction": "BET-03",
    "kl-ball": "BET-01",
}
BETA, FRACTION = 4.0, 0.625
STEERED = {
    "ess_target": 0.5,
    "feedback_rate": 1.0,
    "feedback_smoothing": 0.25,
    "beta_min": 2.0**-10,
    "beta_max": 2.0**10,
}


def samples(ratio: Rounded, law: Rounded) -> Rounded:
    """The effective sample fraction (E w)^2 / E w^2."""
    mean = (law * ratio).sum()
    return mean * mean / (law * (ratio * ratio)).sum()


class Steering:
    """What a law of beta must have made of the TD errors; `beta` is what the update under test came to."""

    def __init__(self, row, name: str, divergence: str, beta, fraction, target: float) -> None:
        self.row, self.name, self.divergence = row, name, divergence
        self.beta, self.fraction, self.target = float(beta), float(fraction), target

    def __call__(self, td_error: Rounded, rows: np.ndarray) -> Rounded:
        held = rows > 0
        law = exact(rows[held]) / float(rows.sum())
        feedback = self.name.startswith("feedback")
        return (self._fed if feedback else self._solved)(td_error[held], law)

    def _ratios(self, divergence: str, td_error: Rounded, law: Rounded, beta: Rounded) -> Rounded:
        return shadow.relaxed_ratio(divergence, td_error / beta, law.value)[0]

    def _fed(self, td_error: Rounded, law: Rounded) -> Rounded:
        """The fraction at the beta of before, smoothed; beta moved by its relative excess over the target."""
        printed = self.name == "feedback-as-printed"
        ratio = self._ratios("kl" if printed else self.divergence, td_error, law, exact(BETA))
        rho, target = STEERED["feedback_smoothing"], STEERED["ess_target"]
        smoothed = (1.0 - rho) * exact(FRACTION) + rho * samples(ratio, law)
        gain = STEERED["feedback_rate"] * (1.0 if printed else -1.0)
        beta = BETA * re.exp(gain * ((smoothed - target) / target))
        agree(self.row, CLAIMS[self.name], f"smoothed fraction in the update ({self.name})", self.fraction, smoothed)
        agree(self.row, CLAIMS[self.name], f"beta in the update ({self.name})", self.beta, beta)
        return beta

    def _concentration(self, td_error: Rounded, law: Rounded, beta: float) -> Rounded:
        ratio = self._ratios(self.divergence, td_error, law, exact(np.asarray(beta, DTYPE)))
        if self.name == "kl-ball":
            return bounds.relative_entropy(ratio, law.value)
        gap = ratio - (law * ratio).sum()
        return (law * (gap * gap)).sum()

    def _solved(self, td_error: Rounded, law: Rounded) -> Rounded:
        """The new beta, not the old one, meets the target on this very batch: chi-square 1/E - 1, or KL, is the radius.

        How far the concentration may be off is its running error, that of the TD errors included, and what one step of
        the bisection changes.
        """
        radius = self.target if self.name == "kl-ball" else 1.0 / self.target - 1.0
        slack, _ = bounds.neighbours(DTYPE)
        seen = self._concentration(td_error, law, self.beta)
        cold, warm = (self._concentration(td_error, law, self.beta * (1.0 + s)).value for s in (-2 * slack, 2 * slack))
        bound = seen.error + cold - warm + 8 * EPS * radius / min(self.target, 1.0 - self.target)
        error = abs(float(seen.value) - radius)
        reason = f"{REASON}; neighbours of a bisection"
        self.row(CLAIMS[self.name], f"concentration at the beta in the update ({self.name})", error, bound, reason)
        self.row.exact(
            CLAIMS[self.name],
            f"beta in the update leaves the smoothed fraction ({self.name})",
            self.fraction == FRACTION,
            f"expected {FRACTION}, saw {self.fraction}",
        )
        return exact(np.asarray(self.beta, DTYPE))

    def reached(self, td_error: Rounded, rows: np.ndarray) -> float:
        """A target that beta = 1/2 meets, exact in the precision under test."""
        held = rows > 0
        law = exact(rows[held]) / float(rows.sum())
        size = float(self._concentration(td_error[held], law, 0.5).value)
        assume(0.0625 <= size <= 4.0)
        return float(np.asarray(size if self.name == "kl-ball" else 1.0 / (1.0 + size), DTYPE))


@pytest.mark.parametrize(("divergence", "objective", "law"), ON_TABLES)
@examples(0.1)
@given(data=st.data())
def test_update_on_tables(divergence, objective, law, data, offered, row):
    """One whole update with every axis set: parameters, weights, and where beta goes between value and weights."""
    problem, start = data.draw(problems()), data.draw(tables())
    if law == "effective-sample-fraction" or law == "kl-ball":
        assume((problem.law("data") > 0).sum() > 1)
    scalars = data.draw(settings(problem.discount, divergence))._replace(beta=BETA)
    batch = problem.batch("data", data.draw(stored_weights()))
    initial = np.zeros(STATES, DTYPE)
    initial[: problem.n] = problem.states[::-1]
    flow = initial if objective == "occupancy" else None
    arguments = (shadow.lift(start), batch, exact(batch.weight), scalars, RATES, divergence, flow)

    steering = Steering(row, law, divergence, BETA, FRACTION, 0.5)
    others = dict(STEERED)
    if law in ("effective-sample-fraction", "kl-ball"):
        before = shadow.update(*arguments)
        target = steering.reached(before.td_error, batch.mass.astype(np.float64))
        others |= {"kl_target" if law == "kl-ball" else "ess_target": target}
        steering.target = target
    seen, weights, beta, fraction = offered("whole_update")(
        divergence, objective, law, start, RATES, batch, scalars, initial, BETA, FRACTION, **others
    )
    steering.beta, steering.fraction = float(beta), float(fraction)
    step = shadow.update(*arguments, None if law == "fixed" else steering)
    for name, quantity in QUANTITIES.items():
        which = f" ({objective}, {divergence})" if name == "value" else ""
        agree(row, "UP-08", f"{quantity}{which}", getattr(seen, name), getattr(step.tables, name))
    held = batch.mass > 0
    which = f"({objective}, {divergence}, {law})"
    agree(row, "UP-08", f"experience weights after the update {which}", weights, step.weights, where=held)
    if law == "fixed":
        kept = (float(beta), float(fraction)) == (BETA, FRACTION)
        row.exact("UP-08", "a fixed beta in the update", kept, f"expected {(BETA, FRACTION)}, saw {(beta, fraction)}")


def windows(full: Batch, indices: np.ndarray, gamma: float, n: int) -> tuple[Batch, Rounded, Rounded]:
    """The n-step rows at `indices` of a full ring whose newest row is in slot 0, their rewards and their discounts."""
    last, rewards, discounts = [], [], []
    for slot in map(int, indices):
        reward, reach = exact(full.reward[slot]), gamma
        while reach > gamma**n and full.terminated[slot] == 0 and slot != 0:
            slot = (slot + 1) % len(full.reward)
            reward, reach = reward + reach * exact(full.reward[slot]), reach * gamma
        last.append(slot)
        rewards.append(reward)
        discounts.append(reach)
    batch = Batch(*(field[indices] for field in full))
    batch = batch._replace(next_observation=full.next_observation[last], terminated=full.terminated[last])
    return batch, re.stack(rewards), exact(np.array(discounts))


@pytest.mark.parametrize("seed", [21, 22])
def test_learning_step_of_rows(seed, offered, row):
    """One learning step on the n-step rows that LaBER keeps, penalised: windows, factors, gamma^k in every place."""
    agent, count, n_step, candidates = offered("continuous")("kl", True), 16, 3, 3
    layers, stored, new = random_layers(seed, agent.log_std_range, 0.25), random_batch(seed), random_batch(seed + 1)
    steep = [[(kernel * DTYPE.type(2), bias) for kernel, bias in twin] for twin in layers.critic]
    layers = layers._replace(critic=steep)  # slopes on either side of one
    scalars = Settings(0.9375, 0.125, 4.0, 0.375, -2.0, 7.0)
    observation = new.next_observation[0]
    state = agent.state(layers, RATES, seed)
    step = agent.learning_step(state, stored, new, observation, scalars, count, n_step, candidates)
    full = Batch(*(np.concatenate([fresh[:1], old[1:]]) for fresh, old in zip(new, stored, strict=True)))
    full.weight[0] = 1.0
    lifted = shadow.lift_layers(layers)
    batch, reward, discount = windows(full, step.indices, scalars.discount, n_step)
    batch = batch._replace(mass=np.full(count, 1 / count, DTYPE))
    size = shadow.error_size(lifted, *windows(full, step.drawn, scalars.discount, n_step), step.select_noise)
    factor = exact(batch.weight) * (size.sum() / len(step.drawn) / size[step.positions])
    expected, weights = shadow.continuous_update(
        lifted,
        batch,
        exact(batch.weight),
        scalars,
        RATES,
        "kl",
        step.target_noise,
        step.actor_noise,
        (reward, discount),
        factor,
        lambda *twin: penalty_by_hand(*twin)[1],
    )
    name = f"{n_step}-step rows that LaBER keeps"
    for group, arrays in flat(agent.layers(step.state)).items():
        for ours, theirs in zip(arrays, flat(expected)[group], strict=True):
            agree(row, "UP-07", f"{group} after a learning step on {name}", ours, theirs)
    value, error = full.weight.astype(np.float64), np.zeros(len(full.weight))
    value[step.indices], error[step.indices] = weights.value, weights.error
    row("UP-07", f"weights in the replay after a learning step on {name}", np.abs(step.weights - value), error, REASON)
