"""Presets: every name resolves to functions, and the public settings of a task are those of its script."""

import pytest

from deep import agent, build, presets
from deep.config import ON_POLICY
from deep.errors import InvalidSetting

# Cap on exp(td/beta), floor, beta, millions of steps: the official repository's scripts, transcribed a second time.
SCRIPTS = {
    "Ant-v5": (100, 10, 1, 1),
    "HalfCheetah-v5": (50, 10, 4, 1),
    "Hopper-v5": (100, 10, 0.4, 1),
    "Humanoid-v5": (50, 10, 4, 1),
    "Walker2d-v5": (50, 10, 4, 1),
    "fish-swim": (100, 1, 1, 1),
    "dm_control/hopper-hop": (50, 1, 1, 1),
    "hopper-stand": (100, 1, 1, 1),
    "humanoid-run": (100, 1, 4, 1),
    "humanoid-stand": (100, 1, 4, 1),
    "quadruped-run": (100, 10, 1, 1),
    "antmaze-umaze-v2": (50, 10, 0.4, 2),
    "antmaze-umaze-diverse-v2": (50, 1, 0.4, 2),
    "antmaze-medium-play-v2": (50, 1, 0.4, 2),
    "antmaze-medium-diverse-v2": (50, 1, 0.4, 2),
}


@pytest.mark.parametrize("environment", SCRIPTS)
def test_published_settings_of_a_task(row, environment):
    config = presets.preset("roer-published", environment)
    seen = (config.ratio_max, config.weight_floor, config.beta, config.steps / 1e6)
    row.exact("PRI-03", "public settings of a task", seen == SCRIPTS[environment], f"{environment}: {seen}")
    shared = (config.huber_width, config.gradient_penalty, config.action_noise, config.warmup_steps, config.weight_rate)
    row.exact("PRI-03", "public settings of all tasks", shared == (20.0, 1.0, 0.1, 10_000, 0.01), f"{shared}")
    even = presets.preset("roer-published-uniform", environment)
    same = (even.ratio_max, even.weight_floor, even.beta) == (1.0, *SCRIPTS[environment][1:3])
    row.exact("PRI-03", "uniform with the same scale of loss", same, f"{even}")


@pytest.mark.parametrize("name", presets.PRESETS)
def test_every_preset_stands_for_functions(row, name):
    config = presets.preset(name, "HalfCheetah-v5")
    learner, again = (
        build.rollout_learner_of(config, 6, False) if config.agent in ON_POLICY else build.learner_of(config, 6)
        for _ in range(2)
    )
    plan, settings = build.plan_of(config), build.settings_of(config, 6)
    row.exact("EV12", "a preset is what it says", config.preset == name and learner == again, name)
    weighed = config.divergence != "none"
    valued = isinstance(learner, agent.Learner) and learner.value is not None
    row.exact("EV12", "a value network with a divergence only", valued == weighed, name)
    row.exact(
        "EV12", "initial states for the flow dual only", (plan.initial_states > 0) == (name == "roer-occupancy"), name
    )
    entropy = -3.0 if config.networks == "published" else -6.0
    row.exact("SAC-21", "target entropy", float(settings.target_entropy) == entropy, f"{settings.target_entropy}")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"divergence": "fermi-dirac", "ratio_cap": 3.0}, r"--ratio-cap: .*in \(1, 2\) for fermi-dirac"),
        ({"divergence": "reverse-kl", "value_cap": 1.0}, "--value-cap: the conjugate of reverse-kl ends at 1.0000"),
        ({"baseline": "per"}, "--baseline: the baselines weigh by critic errors"),
        (
            {"value_objective": "occupancy", "n_step": 3},
            "--n-step: expected 1 with .*occupancy, .*saw 3",
        ),
        ({"ratio_max": 0.5}, "--ratio-max: expected at least --ratio-min"),
        ({"beta_min": 2.0, "beta_max": 1.0}, "--beta-max: expected more than --beta-min"),
        ({"ess_target": 1.0}, r"--ess-target: expected a number in \(0, 1\), saw 1.0"),
    ],
)
def test_settings_that_contradict_each_other(tiny, changes, said):
    with pytest.raises(InvalidSetting, match=said):
        build.settings_of(tiny(**changes), 6)


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("objective", ["conditional", "occupancy"])
def test_rows_of_several_steps_are_kept_from_the_flow_dual(row, tiny, objective, steps):
    """Their later actions are the data's and not a flow's; where a target is bootstrapped they bias and are allowed."""
    try:
        tiny(value_objective=objective, n_step=steps)
        refused = False
    except InvalidSetting:
        refused = True
    expected = objective == "occupancy" and steps > 1
    seen = f"{steps} steps with the {objective} objective: {'refused' if refused else 'allowed'}"
    row.exact("NS12", "n-step rows with the flow dual", refused == expected, seen)
