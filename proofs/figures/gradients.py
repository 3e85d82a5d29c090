"""The noise of policy gradients: what a baseline does to the variance of one sample."""

from __future__ import annotations

from typing import Any

import numpy as np
from flint import fmpq

from proofs.figures import drawn
from proofs.figures.curves import floats
from proofs.rl.baselines import sample_variance, swapped

#: The action values of the claim's example.
REWARDS = (fmpq(1), fmpq(0))


@drawn(
    "RL-27",
    "Two actions with q = (1, 0): the variance of a one-sample policy gradient against the baseline. At b* (circles) "
    "it is 0. The value v_π (crosses) is b* only for p = 1/2; at p = 9/10 it is 64 times worse than none.",
)
def rl_27(ax: Any) -> None:
    """The parabola in b for three policies, with b*, v and no baseline marked."""
    grid = [fmpq(k, 100) for k in range(-10, 111)]
    for p, color in ((fmpq(1, 2), "C2"), (fmpq(3, 4), "C0"), (fmpq(9, 10), "C3")):
        ax.plot(floats(grid), floats(sample_variance(p, REWARDS, b) for b in grid), color=color, label=f"p = {p}")
        for b, mark in ((swapped(p, *REWARDS), "o"), (p, "x"), (fmpq(0), "|")):
            ax.plot(
                *floats([b, sample_variance(p, REWARDS, b)]), mark, color=color, markersize=6, markerfacecolor="none"
            )
    ax.set(xlabel="baseline b", ylabel="variance of one sample", xticks=np.linspace(0, 1, 6))
    ax.legend()
