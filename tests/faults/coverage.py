"""What is known to go wrong in deep RL code, by the ids that the catalogues use, and what of it is planted here.

An id is planted (a letter after it marks one of several forms), or it is not applicable, with the reason why nothing of
`deep` could carry it; what is neither is a gap.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

KNOWN = {
    "BT": (
        1,
        2,
        3,
        4,
        5,
        7,
        8,
        9,
        12,
        13,
        14,
        15,
        17,
        18,
        19,
        20,
        21,
        22,
        23,
        26,
        27,
        28,
        33,
        34,
    ),  # bootstrap target / critic loss
    "NS": (4, 5, 7, 9, 10, 11, 12),  # n-step
    "PG": (1, 2, 4, 5, 6, 8, 9, 10, 13, 14, 15, 17, 18, 21),  # GAE, A2C, PPO, V-trace
    "SE": (1, 2, 3, 4, 5, 7, 8, 9, 14, 15, 17, 18, 19, 22, 23, 26),  # SAC entropy, policy, temperature
    "TN": (2, 3, 4, 7, 8, 9, 11, 12, 16, 17, 18),  # target nets, optimisers, jitted loop
    "RB": (3, 4, 5, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17),  # replay buffer
    "PR": (2, 3, 4, 6, 10, 11, 12, 14, 16, 17, 18, 19),  # prioritised replay
    "RO": (
        3,
        5,
        7,
        8,
        10,
        11,
        12,
        15,
        17,
        18,
        19,
        20,
        21,
        23,
        26,
        27,
        28,
        29,
        33,
        34,
        35,
        36,
    ),  # ROER / XQL weights and values
    "NU": (1, 2, 4, 5, 6, 7, 9),  # numerics / JAX
    "RN": (1, 4, 5, 6, 7),  # randomness
    "EV": (1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 13),  # environment, scaling, evaluation, schedule
    "CK": (1, 2, 3, 4, 5, 6),  # checkpoint
}
"""The numbers of each family."""


def ids() -> list[str]:
    """`BT01` and so on, all of them."""
    return [f"{family}{number:02}" for family, numbers in KNOWN.items() for number in numbers]


def planted(faults: Iterable[str]) -> set[str]:
    """The known ids among those of planted faults: `BT12` for `BT12b`; faults that belong to a claim are others."""
    return {match.group() for id in faults if (match := re.match(r"[A-Z]{2}\d\d", id))}


def gaps(faults: Iterable[str], not_applicable: Iterable[str]) -> list[str]:
    """The known ids that are neither planted, in any form, nor set aside."""
    covered = planted(faults) | set(not_applicable)
    return [id for id in ids() if id not in covered]
