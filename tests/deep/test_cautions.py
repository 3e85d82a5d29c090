"""What is said of settings before a run: exactly where theory says that they end badly."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from deep import beta, build, cautions, dry_run, environments, train
from deep.errors import NotCertified
from deep.types import BetaState
from reference.composed import Capped
from reference.divergence import KL
from reference.feasibility import InfeasibleFlow
from reference.mdp import MDP
from reference.regularized import regularized_occupancy

STEPS, GAMMA = 16, 0.75  # (1 - gamma) T = 4


def episode() -> tuple[MDP, np.ndarray]:
    """Episodes of STEPS steps, each state seen once, and the law of their data."""
    transitions = np.zeros((STEPS, 1, STEPS))
    transitions[np.arange(STEPS), 0, np.minimum(np.arange(STEPS) + 1, STEPS - 1)] = 1.0
    mdp = MDP(transitions, np.ones((STEPS, 1)), GAMMA, initial=np.eye(STEPS)[0])
    return mdp, np.full((STEPS, 1), 1.0 / STEPS)


@pytest.mark.parametrize(("cap", "feasible"), [(3.875, False), (4.125, True)])
def test_a_cap_that_no_occupancy_keeps_is_told(row, tiny, cap, feasible):
    """The reference finds an occupancy under the cap where nothing is said, and none where something is."""
    try:
        found = bool(regularized_occupancy(*episode(), 1.0, Capped(KL(), cap)).ratio.max() <= cap)
    except InfeasibleFlow:
        found = False
    config = tiny(value_objective="occupancy", ratio_cap=cap, discount=GAMMA)
    said = cautions.cautions(config, STEPS)
    row.exact("OCC-04", "a cap that no occupancy keeps", found == feasible == (not said), f"{cap}: {found}, {said}")
    assert not said or "some ratio must reach 4:" in said[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"value_objective": "conditional", "ratio_cap": 1.5},
        {"value_objective": "occupancy"},
        {"value_objective": "occupancy", "divergence": "none", "fermi_dirac_cap": 1.5},
    ],
)
def test_nothing_is_said_where_no_cap_is_met(tiny, changes):
    assert cautions.cautions(tiny(**changes), 1000) == []


def test_the_cap_of_the_value_loss_counts(tiny):
    """For KL a cap on arguments at 2 is one on ratios at e^2 = 7.39, below the 10 of 1000 steps at gamma 0.99."""
    config = tiny(value_objective="occupancy", value_cap=2.0)
    assert "stop at 7.389 " in cautions.cautions(config, 1000)[0]
    assert cautions.cautions(config, None) == []


def growth(config) -> float:
    """The largest |eigenvalue| of the law at its target, by differences, on Gaussian TD errors."""
    delta = jnp.asarray(np.random.default_rng(0).normal(size=4096))
    law, settings = build.learner_of(config, 1).beta_law, build.settings_of(config, 1)
    mass = jnp.full_like(delta, 1.0 / delta.size)
    exact = beta.effective_sample_fraction(build.divergence_of(config))
    at = float(exact(BetaState(jnp.ones(()), jnp.ones(())), delta, mass, settings).beta)

    def after(log_beta, fraction):
        seen = law(BetaState(jnp.asarray(jnp.exp(log_beta)), jnp.asarray(fraction)), delta, mass, settings)
        return np.array([np.log(float(seen.beta)), float(seen.effective_sample_fraction)])

    here, step = np.array([np.log(at), config.ess_target]), 2.0**-6
    columns = [(after(*(here + step * e)) - after(*(here - step * e))) / (2 * step) for e in np.eye(2)]
    return float(np.abs(np.linalg.eigvals(np.stack(columns, axis=1))).max())


@pytest.mark.parametrize("smoothing", [0.5, 1.0])
@pytest.mark.parametrize("share", [0.75, 1.5])
def test_feedback_beyond_its_stable_gain_is_told(row, tiny, smoothing, share):
    """Something is said where the linearised law grows, nothing where it does not."""
    rate = share * beta.largest_stable_gain(smoothing) / (2 * np.log(2))
    config = tiny(beta_law="feedback", feedback_rate=float(rate), feedback_smoothing=smoothing)
    said = cautions.cautions(config, None)
    unstable = growth(config) > 1.0
    row.exact("ESS-05", "an unstable feedback law is told", bool(said) == unstable == (share > 1), f"{rate}: {said}")
    printed = dataclasses.replace(config, beta_law="feedback-as-printed")
    assert cautions.cautions(printed, None) == []


def test_a_dry_run_and_a_start_say_it(tiny, tmp_path, capsys):
    config = tiny(value_objective="occupancy", ratio_cap=2.0)
    environment = environments.make(config.environment)
    said = cautions.cautions(config, environment.time_limit)[0]
    assert "episodes of 1,000 steps" in said
    lines = dry_run.describe([config], environment, [tmp_path / "run"]).splitlines()
    assert ["warning", said] in [line.split(maxsplit=1) for line in lines]
    environment.close()
    with pytest.raises(NotCertified):
        train.start([config], [tmp_path / "run"])
    assert f"warning: {said}\n" in capsys.readouterr().out
