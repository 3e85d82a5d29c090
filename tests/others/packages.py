"""The packages that are held against the contract, in the order of the page's columns."""

from __future__ import annotations

import importlib.metadata
from typing import NamedTuple


class Package(NamedTuple):
    """A package, what it is called where it is installed, and the adapter of it."""

    name: str
    distribution: str
    module: str
    about: str

    @property
    def specification(self) -> str:
        """What `--implementation` takes."""
        return f"contract.adapters.{self.module}:implementation"

    @property
    def version(self) -> str | None:
        """The installed version, None where it is not installed."""
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return None


PACKAGES = (
    Package("SBX", "sbx-rl", "sbx", "SAC: `SAC.update_critic`, `update_actor`, `update_temperature`, `soft_update`"),
    Package("Stable-Baselines3", "stable-baselines3", "sb3", "SAC: `SAC.train`; replay, n-step and rollout buffers"),
    Package("CleanRL", "cleanrl", "cleanrl", "the training step of `sac_continuous_action.py`, executed as it stands"),
    Package("rlax", "rlax", "rlax", "operators: TD error, losses, n-step and lambda-returns, advantages"),
    Package("flashbax", "flashbax", "flashbax", "the prioritised trajectory buffer and the uniform one, items alone"),
    Package("Optax", "optax", "optax", "`incremental_update` and the losses"),
)
