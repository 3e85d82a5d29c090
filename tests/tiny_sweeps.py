"""Sweeps of runs that take seconds, and how to find the processes that train them."""

from __future__ import annotations

import re
import time
from pathlib import Path

from tiny_runs import TINY, flags

from deep.config import Config

SHORT = TINY | {"steps": 900, "evaluation_episodes": 1}


def grid_of(folder: Path, presets: list[str], seeds: str = str(SHORT["seed"]), **changes) -> list[str]:
    """The arguments of a sweep over presets with tiny settings."""
    words = flags(Config(**SHORT | changes))[2:]
    for flag in ("--preset", "--seed"):
        at = words.index(flag)
        del words[at : at + 2]
    names = ["--tasks", str(SHORT["environment"]), "--presets", *presets, "--seeds", seeds]
    return [*names, "--folder", str(folder), "--jobs", "2", "--unverified", *words]


def process_of(log: Path) -> int:
    """The process that writes to a run's log, once it has said so."""
    return int(re.findall(r"^process (\d+)$", log.read_text(), re.MULTILINE)[-1])


def wait_until(condition, seconds: float = 300.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)
