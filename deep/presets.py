"""The named presets: which settings make which algorithm."""

import dataclasses

from deep.config import Config
from deep.errors import InvalidSetting


@dataclasses.dataclass(frozen=True)
class Preset:
    """A named set of values and what it is."""

    config: Config
    explanation: str


PRESETS: dict[str, Preset] = {
    "sac": Preset(
        Config(preset="sac", divergence="none"),
        "Soft actor-critic: twin critics, tanh-Normal actor, learned temperature, uniform replay. No value network and "
        "no experience weights: the baseline that every other preset is compared with.",
    ),
    "roer": Preset(
        Config(preset="roer"),
        "SAC with regularised-occupancy experience replay (KL): a state value by capped Gumbel regression, weights "
        "exp(td / beta) of mean one, followed by the additive recursion, on the critic's loss. The default.",
    ),
}


def preset(name: str) -> Config:
    """The settings of a preset; InvalidSetting lists the names when there is none of this name."""
    if name not in PRESETS:
        raise InvalidSetting(f"--preset: expected one of {', '.join(PRESETS)}, saw {name!r}")
    return PRESETS[name].config


def describe() -> str:
    """Each preset with its explanation and the values in which it differs from the defaults."""
    plain = Config()
    paragraphs = []
    for name, entry in PRESETS.items():
        changed = {
            field.name: getattr(entry.config, field.name)
            for field in dataclasses.fields(Config)
            if field.name != "preset" and getattr(entry.config, field.name) != getattr(plain, field.name)
        }
        values = ", ".join(f"{key}={value}" for key, value in changed.items()) or "every setting at its default"
        paragraphs.append(f"{name}\n    {entry.explanation}\n    Settings: {values}.")
    return "\n\n".join(paragraphs)
