"""The settings of runs that take seconds, and how the command line is told them."""

from __future__ import annotations

TINY = {
    "environment": "InvertedPendulum-v5",
    "preset": "roer",
    "seed": 7,
    "steps": 1500,
    "batch_size": 8,
    "buffer_size": 400,
    "hidden": (8,),
    "warmup_steps": 100,
    "evaluate_every": 400,
    "evaluation_episodes": 2,
    "log_every": 50,
    "checkpoint_every": 250,
}


def flags(config) -> list[str]:
    """The settings as the command line takes them."""
    words = ["train", config.environment]
    for name in sorted(TINY.keys() - {"environment"}):
        value = getattr(config, name)
        words += [f"--{name.replace('_', '-')}", *(map(str, value) if isinstance(value, tuple) else [str(value)])]
    return words
