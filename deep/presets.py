"""Every setting of a run with its default, and the named presets.

:class:`Config` is the interface of the command line, the contents of ``config.json`` and, with the seed, all that a
run depends on. The text below each field is its help. Defaults are those of the literature: SAC's networks, step sizes
and target entropy -dim(A); ROER's rate and cap (SAC-17, PRI-02, FD-05).
"""

import dataclasses
import math
from typing import Any, Literal, get_args

from deep.errors import InvalidSetting

DivergenceName = Literal["none", "kl", "js", "fermi-dirac"]


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of one training run."""

    environment: str = "HalfCheetah-v5"
    """Gymnasium id of an environment with a Box action space, also as package.module:Name-v0."""
    preset: str = "roer"
    """Name of the preset whose values the settings below start from (list: python -m deep presets)."""
    seed: int = 0
    """Seed of everything random in the run: initial networks, warm-up, resets, batches, noise, evaluation."""
    steps: int = 1_000_000
    """Environment steps in all; after the warm-up each is followed by one update."""

    discount: float = 0.99
    """Discount gamma in [0, 1)."""
    tau: float = 0.005
    """Polyak step of the target critic in (0, 1]: target <- tau * online + (1 - tau) * target."""
    learning_rate: float = 3e-4
    """Adam's step size for critic, actor, value and temperature."""
    batch_size: int = 256
    """Transitions in a batch, drawn uniformly with replacement."""
    updates_per_step: int = 1
    """Learning steps after each environment step, each on a batch of its own."""
    hidden: tuple[int, ...] = (256, 256)
    """Widths of the hidden layers of every network."""
    buffer_size: int = 1_000_000
    """Transitions kept; the oldest is overwritten when the buffer is full."""
    warmup_steps: int = 5_000
    """First steps, with actions uniform on the action box and no update."""
    target_entropy: float | None = None
    """Entropy in nats (of actions scaled to [-1, 1]) that the learned temperature holds; none means -dim(A)."""
    initial_alpha: float = 1.0
    """Temperature alpha at the start, in units of reward."""

    divergence: DivergenceName = "kl"
    """Generator of the experience weights; none is plain SAC, without value network and weights."""
    fermi_dirac_cap: float = 2.0
    """Largest ratio that the fermi-dirac divergence admits; above 1."""
    beta: float = 16.0
    """Temperature of the occupancy regulariser, in units of reward: small beta weighs experience more unevenly.

    On HalfCheetah-v5 the published 4 learns at half the speed of sac over the first 1e5 steps, 16 at the same speed."""
    weight_rate: float = 0.01
    """Rate lambda in (0, 1] of the recursion w <- (1 - lambda) w + lambda ratio."""
    value_cap: float = 7.0
    """Argument z above which the value loss is continued linearly; for js it must stay below log 2."""

    evaluate_every: int = 5_000
    """Steps between evaluations; the last step is always evaluated."""
    evaluation_episodes: int = 10
    """Episodes of an evaluation, with the policy's mode, in environments of their own."""
    log_every: int = 1_000
    """Steps between two lines of losses in the log."""
    checkpoint_every: int = 25_000
    """Steps between checkpoints; one is also written at the end, on SIGTERM and on Ctrl-C. The last two are kept."""

    def __post_init__(self) -> None:
        """Raise InvalidSetting for the first setting outside its range."""
        for name, expected, holds in _RANGES:
            value = getattr(self, name)
            if not holds(value):
                raise InvalidSetting(f"--{name.replace('_', '-')}: expected {expected}, saw {value!r}")
        if self.divergence == "js" and not self.value_cap < math.log(2.0):
            raise InvalidSetting(
                "--value-cap: the conjugate of js ends at log 2 = 0.6931..., so expected a cap below it "
                f"(0.5 admits ratios up to {1 / math.expm1(math.log(2) - 0.5):.2f}), saw {self.value_cap!r}"
            )
        if self.divergence not in get_args(DivergenceName):
            raise InvalidSetting(
                f"--divergence: expected one of {', '.join(get_args(DivergenceName))}, saw {self.divergence!r}"
            )


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _count(minimum: int):
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= minimum


_POSITIVE = ("a number > 0", lambda value: _number(value) and value > 0)
_RATE = ("a number in (0, 1]", lambda value: _number(value) and 0 < value <= 1)
_RANGES = (
    ("environment", "the id of an environment", lambda value: isinstance(value, str) and bool(value.strip())),
    ("seed", "a whole number from 0 to 2^32 - 1", lambda value: _count(0)(value) and value < 2**32),
    ("steps", "a whole number from 1 to 2^31 - 1", lambda value: _count(1)(value) and value < 2**31),
    ("discount", "a number in [0, 1)", lambda value: _number(value) and 0 <= value < 1),
    ("tau", *_RATE),
    ("learning_rate", *_POSITIVE),
    ("batch_size", "a whole number >= 1", _count(1)),
    ("updates_per_step", "a whole number >= 1", _count(1)),
    ("hidden", "one or more whole numbers >= 1", lambda value: len(value) > 0 and all(map(_count(1), value))),
    ("buffer_size", "a whole number from 1 to 2^31 - 1", lambda value: _count(1)(value) and value < 2**31),
    ("warmup_steps", "a whole number >= 1", _count(1)),
    ("target_entropy", "a finite number, or none", lambda value: value is None or _number(value)),
    ("initial_alpha", *_POSITIVE),
    ("fermi_dirac_cap", "a number > 1", lambda value: _number(value) and value > 1),
    ("beta", *_POSITIVE),
    ("weight_rate", *_RATE),
    ("value_cap", *_POSITIVE),
    ("evaluate_every", "a whole number >= 1", _count(1)),
    ("evaluation_episodes", "a whole number >= 1", _count(1)),
    ("log_every", "a whole number >= 1", _count(1)),
    ("checkpoint_every", "a whole number >= 1", _count(1)),
)


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


def to_json(config: Config) -> dict[str, Any]:
    """The settings as JSON values."""
    return {**dataclasses.asdict(config), "hidden": list(config.hidden)}


def from_json(values: dict[str, Any], where: str) -> Config:
    """Settings read back; InvalidSetting names what is unknown, missing or out of range, and the file."""
    known = {field.name for field in dataclasses.fields(Config)}
    unknown, missing = sorted(values.keys() - known), sorted(known - values.keys())
    if unknown or missing:
        problem = f"unknown setting {unknown[0]!r}" if unknown else f"the setting {missing[0]!r} is missing"
        raise InvalidSetting(f"{where}: {problem}; it was written by another version of this package")
    try:
        return Config(**{**values, "hidden": tuple(values["hidden"])})
    except (InvalidSetting, TypeError) as error:
        raise InvalidSetting(f"{where}: {error}") from error
