"""Products are asked for at their dtype's own precision: at JAX's default GPUs round float32 factors to TF32."""

import dataclasses

import numpy as np
import pytest

from deep import build, presets
from deep.config import ON_POLICY
from deep.rollouts import RolloutSession
from deep.session import Session

CASES = [
    ("roer-occupancy", "InvertedPendulum-v5"),
    ("roer-published", "InvertedPendulum-v5"),
    ("td3", "InvertedPendulum-v5"),
    ("dqn", "CartPole-v1"),
    ("ppo", "CartPole-v1"),
    ("ppo", "InvertedPendulum-v5"),
]


@pytest.mark.parametrize(("preset", "environment"), CASES)
def test_products_keep_every_bit(row, preset, environment):
    """In the program of a step, or of an on-policy update, before any compiler saw it."""
    config = dataclasses.replace(presets.preset(preset, environment), hidden=(8,))
    places = [build.environment_of(config)] * config.environments
    if config.agent in ON_POLICY:
        run = RolloutSession([config], places)
        state, width = run.states[0], 2 * run._sizes[0] + run._sizes[1] + 4
        rows = np.zeros((config.rollout_steps, config.environments, width), run._dtype)
        program = run._programs.update.lower(state, run._records[0], rows, run.settings)
    else:
        run = Session([dataclasses.replace(config, batch_size=8, buffer_size=64, warmup_steps=16)], places)
        rows = np.zeros((1, 3 * run._sizes[0] + run._sizes[1] + 3), run._dtype)
        program = run._programs.interact.lower(run.state, run.memory, run._record, rows, run.settings)
    products = [line for line in program.as_text().splitlines() if "dot_general" in line]
    assert products, "the program was expected to multiply matrices"
    coarse = [line.strip() for line in products if "precision = [HIGHEST, HIGHEST]" not in line]
    row.exact("NU05", f"products of {config.agent}", coarse == [], "; ".join(coarse))
