"""Whole problems against their temperature: the flow problem's optimum, and the temperature that meets a target."""

from __future__ import annotations

from typing import Any

import numpy as np
from flint import fmpq

from proofs import balls, generators
from proofs.bet import samples
from proofs.exact import LogNumber
from proofs.figures import drawn
from proofs.figures.curves import floats, values
from proofs.occ import limits, worlds
from proofs.occ.flow import FlowProblem, newton


@drawn(
    "BET-03",
    "Effective share of eight samples against the temperature. The two bounds, in closed form, enclose the one β at "
    "which the share is one half.",
)
def bet_03(ax: Any) -> None:
    """The share, the target and its bracket."""
    advantages = [
        LogNumber.log(q) for q in (1, fmpq(3, 4), fmpq(1, 2), fmpq(2, 5), *(fmpq(1, k) for k in (3, 5, 8, 20)))
    ]
    alpha = fmpq(1, 2)
    grid = np.geomspace(0.05, 20, 90)
    ax.plot(grid, values(lambda beta: samples.fraction(advantages, beta), grid), color="C0", label="ESS/n")
    with balls.precision(96):
        low = samples.bracket_low(len(advantages), 1, samples.gap(advantages), alpha)
        high = samples.bracket_high(samples.spread(advantages), alpha)
        ends = floats([low, high])
    ax.axhline(0.5, color="grey", linestyle=":", label="target")
    ax.axvspan(*ends, color="C1", alpha=0.2, label="bracket of β")
    ax.set(xlabel="temperature β", ylabel="ESS / n", xscale="log", ylim=(0, 1.03))
    ax.legend()


@drawn(
    "OCC-09",
    "Optimum of the flow problem against β (KL, a small random process). It falls from that of the linear program, and "
    "lies between it and its line through d_LP; large β draws the occupancy to the data.",
)
def occ_09(ax: Any) -> None:
    """The enclosed optimum at a row of temperatures, beside both bounds."""
    process, _, _, law = worlds.small(1)[0]
    best, occupancy, _ = limits.linear_program(process)
    betas = [fmpq(k, 100) for k in (2, 4, 8, 16, 30, 60, 120, 250, 500, 1000)]
    optima, lines = [], []
    with balls.precision(256):
        for beta in betas:
            problem = FlowProblem(process, law, beta, generators.KL)
            optima.append(newton(problem).upper)
            lines.append(balls.ball(best) - beta * problem.penalty(occupancy))
    beta, optimum = floats(betas), floats(optima)
    ax.plot(beta, optimum, ".-", color="C0", label="optimum of the flow problem")
    ax.axhline(*floats([best]), color="C2", linestyle="--", label="linear program (β = 0)")
    ax.plot(beta, floats(lines), ":", color="C3", label="J_LP − β D_f(d_LP‖D)")
    margin = 0.1 * float(np.ptp(optimum)) + 1e-9
    ax.set(xlabel="β", ylabel="value", xscale="log", ylim=(optimum.min() - margin, optimum.max() + 2 * margin))
    ax.legend(loc="lower left")
