"""Whether a process came back as it was sent: bit for bit, apart from what a format is known not to carry."""

from __future__ import annotations

import numpy as np

from reference.mdp import MDP


def rows(mdp: MDP) -> np.ndarray:
    """Dense transitions, with zeros for unavailable pairs, whose rows enter no result."""
    return np.asarray(mdp.to_dense().transitions) * mdp.available[:, :, None]


def difference(sent: MDP, received: MDP, *, actions: int | None = None, ignore: tuple[str, ...] = ()) -> str:
    """The name of the first part that differs, empty if none does. `actions` of `sent` are compared, all by default."""
    parts = {
        "transitions": (rows(sent)[:, :actions], rows(received)),
        "rewards": (sent.rewards[:, :actions], received.rewards),
        "available": (sent.available[:, :actions], received.available),
        "initial": (sent.initial, received.initial),
        "discount": (sent.discount, received.discount),
        "grid": (sent.grid, received.grid),
    }
    for name, (before, after) in parts.items():
        if name not in ignore and not np.array_equal(np.asarray(before), np.asarray(after)):
            return name
    return ""


def used_actions(mdp: MDP) -> int:
    """Actions up to the last one that some state has: formats without an action set know of no other."""
    return int(np.flatnonzero(mdp.available.any(axis=0))[-1]) + 1
