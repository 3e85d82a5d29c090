"""Value losses: the Gumbel loss with its two continuations beyond the clip."""

from __future__ import annotations

from typing import Any

import numpy as np

from proofs import balls, literal
from proofs.figures import drawn
from proofs.figures.curves import floats
from proofs.gum.clip import TwoPoint, mis_scaled


@drawn(
    "GUM-03",
    "One value in 500 is 100, the others 0; α = 4, clip 7. The published tail makes the minimum at v = 3.18 the lower "
    "one; with the tail of its own comment only the intended minimum, 75.1, is left.",
)
def gum_03(ax: Any) -> None:
    """Both losses against v, their local minima marked."""
    example = mis_scaled()
    grid = np.linspace(0, 90, 181)
    tails = {
        "as published, slope (e^c − 1)/α": (literal.gumbel_tail_published, "C3"),
        "as its comment says, slope e^c − 1": (literal.gumbel_tail_comment, "C0"),
    }
    with balls.precision(128):
        for label, (tail, color) in tails.items():
            ax.plot(grid, floats(_loss(example, v, tail) for v in grid), color=color, label=label)
            for minimum in example.local_minima(tail):
                ax.plot(*floats([minimum, example.loss(minimum, tail)]), "o", color=color, markersize=5)
    ax.set(xlabel="value v", ylabel="E[loss]", ylim=(0, 60))
    ax.legend()


def _loss(example: TwoPoint, v: float, tail: Any) -> Any:
    """The loss at v, and just beside it where v is the edge of the tail itself."""
    return example.loss(balls.ball(v + 1e-9 if v == float(example.edge) else v), tail)
