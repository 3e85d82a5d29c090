"""The named presets: which settings make which algorithm, and the public settings of each task."""

import dataclasses
import textwrap
from collections.abc import Mapping
from typing import Any

from deep.config import Config
from deep.errors import InvalidSetting
from deep.tasks import task_settings


@dataclasses.dataclass(frozen=True)
class Preset:
    """A named set of values and what it is; ``by_task`` where the public code's settings lie below them.

    Those are its defaults, then those of the task's script.
    """

    values: Mapping[str, Any]
    explanation: str
    by_task: bool = False


_PUBLISHED: Mapping[str, Any] = {
    "networks": "published",
    "warmup_steps": 10_000,
    "critic_loss": "huber",
    "huber_width": 20.0,
    "gradient_penalty": 1.0,
    "value_objective": "published",
    "action_noise": 0.1,
    "weight_recursion": "published",
    "beta": 1.0,
}

_ON_POLICY: Mapping[str, Any] = {"divergence": "none", "hidden": (64, 64), "steps": 500_000}

PRESETS: Mapping[str, Preset] = {
    "sac": Preset(
        {"divergence": "none"},
        "Soft actor-critic: twin critics, tanh-Normal actor, learned temperature, uniform replay. No value network and "
        "no experience weights: the baseline that every other preset is compared with.",
    ),
    "roer": Preset(
        {},
        "SAC with regularised-occupancy experience replay (KL): a state value by capped Gumbel regression, weights "
        "exp(td / beta) of mean one, followed by the additive recursion, on the critic's loss. The default.",
    ),
    "roer-js": Preset(
        {"divergence": "js"},
        "roer with the generator of the Jensen-Shannon note (twice the divergence in nats, JS-01) and its true ratio "
        "1 / (2 e^-z - 1), which has a pole at log 2; the multiplier is solved for.",
    ),
    "roer-fermi-dirac": Preset(
        {"divergence": "fermi-dirac"},
        "roer with the generator whose ratio is the sigmoid, which the note takes for Jensen-Shannon's (JS-05, JS-10): "
        "ratios stay below fermi_dirac_cap.",
    ),
    "roer-occupancy": Preset(
        {"value_objective": "occupancy"},
        "roer with the flow dual for V, so that the weights aim at the ratio of occupancies d*/d_D itself and not at "
        "that of policies (OCC-01, OCC-06); the TD error is exact where the dynamics are deterministic (OCC-07).",
    ),
    "roer-published": Preset(
        {},
        "The public ROER code, literally: its recursion, clips, floor, Gumbel loss, gradient penalty, networks and "
        "settings of each task. Its known deviations: presets --explain.",
        by_task=True,
    ),
    "roer-published-uniform": Preset(
        {"ratio_max": 1.0},
        "roer-published with every ratio clipped to 1, so that each weight is the floor of its task: uniform replay "
        "under the same scale of loss and the same penalty, which is what roer-published has to be compared with.",
        by_task=True,
    ),
    "js-note": Preset(
        {"divergence": "js", "value_objective": "js-note", "weight_recursion": "js-note", "beta": 1.0},
        "The Jensen-Shannon note's code, literally. Its known deviations: presets --explain.",
    ),
    "per": Preset(
        {
            "divergence": "none",
            "baseline": "per",
            "weight_use": "sampling",
            "importance_exponent": 0.4,
            "importance_final": 1.0,
        },
        "SAC with proportional prioritised experience replay (Schaul et al. 2016): sampling by |td error|^0.6 with the "
        "importance correction that grows from 0.4 to 1 over the run.",
    ),
    "lap": Preset(
        {"divergence": "none", "baseline": "lap", "weight_use": "sampling", "priority_exponent": 0.4},
        "SAC with loss-adjusted prioritised replay (Fujimoto et al. 2020): sampling by max(|td error|, 1)^0.4 under a "
        "Huber loss, without correction.",
    ),
    "pal": Preset(
        {"divergence": "none", "baseline": "pal", "priority_exponent": 0.4},
        "SAC with the prioritised approximation loss: uniform sampling with LAP's expected gradient.",
    ),
    "laber": Preset(
        {"divergence": "none", "baseline": "laber"},
        "SAC with large-batch experience replay (Lahire et al. 2022): of each large batch the rows are drawn by "
        "|td error| and weighted so that the gradient stays unbiased.",
    ),
    "dqn": Preset(
        {
            "agent": "dqn",
            "divergence": "none",
            "critic_loss": "huber",
            "n_step": 3,
            "hidden": (128, 128),
            "learning_rate": 5e-4,
            "batch_size": 128,
            "buffer_size": 100_000,
            "warmup_steps": 1_000,
            "steps": 50_000,
        },
        "Deep Q-learning for discrete actions: double estimation (van Hasselt et al. 2016), three-step returns, Huber "
        "loss, a target network that follows as a moving average, epsilon-greedy exploration. For small tasks: "
        "on CartPole-v1 three seeds reach mean returns of 498 to 500 in 50,000 steps.",
    ),
    "ddpg": Preset(
        {"agent": "ddpg", "divergence": "none", "critics": 1, "target_noise": 0.0, "actor_period": 1},
        "Deep deterministic policy gradient (Lillicrap et al. 2016): one critic, an actor that ascends it, Gaussian "
        "exploration in place of the paper's correlated noise.",
    ),
    "td3": Preset(
        {"agent": "td3", "divergence": "none"},
        "Twin delayed DDPG (Fujimoto et al. 2018): ddpg with the smaller of two critics in the target, noise on the "
        "target's action and an actor that steps after every second update.",
    ),
    "reinforce": Preset(
        {"agent": "reinforce", **_ON_POLICY, "learning_rate": 1e-3},
        "REINFORCE (Williams 1992), for discrete or continuous actions: an update after every episode, from its Monte "
        "Carlo returns with the value network for a baseline.",
    ),
    "a2c": Preset(
        {
            "agent": "a2c",
            **_ON_POLICY,
            "environments": 8,
            "rollout_steps": 8,
            "trace_decay": 1.0,
            "learning_rate": 7e-4,
        },
        "Advantage actor-critic (Mnih et al. 2016, synchronous), for discrete or continuous actions: one step after "
        "every 8 steps of 8 environments, on n-step returns. Solves CartPole-v1 (mean return >= 475 over 100 episodes) "
        "in 200,000 steps, three seeds of three.",
    ),
    "ppo": Preset(
        {"agent": "ppo", **_ON_POLICY, "environments": 8, "rollout_steps": 128, "learning_rate": 3e-4},
        "Proximal policy optimisation (Schulman et al. 2017), for discrete or continuous actions: clipped surrogate, "
        "generalised advantage estimates, 10 epochs of 4 minibatches after every 128 steps of 8 environments. Solves "
        "CartPole-v1 (mean return >= 475 over 100 episodes) in 51,200 steps, three seeds of three.",
    ),
}


def default_of(agent: str | None) -> str:
    """The preset with which an agent is trained unless one is named."""
    return "roer" if agent is None or agent == "sac" or agent not in PRESETS else agent


def preset(name: str, environment: str | None = None) -> Config:
    """The settings of a preset, with those of the task where it has them; InvalidSetting lists the names otherwise."""
    if name not in PRESETS:
        raise InvalidSetting(f"--preset: expected one of {', '.join(PRESETS)}, saw {name!r}")
    chosen = PRESETS[name]
    below = _PUBLISHED if chosen.by_task else {}
    task = task_settings(environment) if chosen.by_task and environment is not None else {}
    place = {} if environment is None else {"environment": environment}
    return Config(preset=name, **{**below, **task, **chosen.values, **place})


def describe(explain: bool = False) -> str:
    """Each preset with its explanation, the values in which it differs from the defaults and, with ``explain``, how it
    is known to deviate from what it is meant to compute.
    """
    from deep.published import DEVIATIONS

    plain = Config()
    paragraphs = []
    for name, entry in PRESETS.items():
        settings = {**(_PUBLISHED if entry.by_task else {}), **entry.values}
        changed = {key: value for key, value in settings.items() if value != getattr(plain, key)}
        values = ", ".join(f"{key}={value}" for key, value in changed.items()) or "every setting at its default"
        if entry.by_task:
            values += ", and those of the task (deep/tasks.py)"
        lines = [name, *_wrapped(entry.explanation), *_wrapped(f"Settings: {values}.")]
        if explain:
            lines += [line for deviation in DEVIATIONS.get(name, ()) for line in _wrapped(f"- {deviation}", "      ")]
        paragraphs.append("\n".join(lines))
    return "\n\n".join(paragraphs)


def _wrapped(text: str, indent: str = "    ") -> list[str]:
    return textwrap.wrap(text, 118, initial_indent=indent, subsequent_indent=" " * 4)
