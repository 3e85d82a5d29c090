"""Recursions that run away, beside those that settle: the temperature law of source 001 and the priority of ROER."""

from __future__ import annotations

from typing import Any

import numpy as np
from flint import arb, fmpq

from proofs import balls, literal
from proofs.figures import drawn
from proofs.figures.curves import floats
from proofs.pri import replicator
from proofs.sac import servo

ETA, RHO, TARGET = fmpq(1, 10), fmpq(1, 20), fmpq(1, 2)
"""From the ranges that source 001 suggests; the target is a share of the batch."""


def _gaussian_share(beta: arb) -> arb:
    """ESS/n of exp(delta/beta) for Gaussian delta of variance one, in the limit of large batches (ESS-02)."""
    return (-1 / (beta * beta)).exp()


def _orbit(estimate: float, log_beta: float, sign: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """(log(beta/beta*), hatE/T - 1) along the law of source 001, with the printed sign (1) or the other one (-1)."""
    rest = 1 / (-balls.ball(TARGET).log()).sqrt()  # where ESS/n = TARGET
    beta, size = rest * balls.ball(log_beta).exp(), balls.ball(TARGET) * (1 + balls.ball(estimate))
    path = []
    for _ in range(steps):
        path.append(((beta / rest).log(), size / balls.ball(TARGET) - 1))
        size, beta = literal.adaptive_beta(
            balls.ball(size.mid()),
            balls.ball(beta.mid()),
            _gaussian_share,
            target=balls.ball(TARGET),
            eta=ETA,
            rho=RHO,
            bounds=None,
            exponent=lambda *law: sign * literal.beta_exponent(*law),
        )
        if not -4 < float(beta.log().mid()) < 4:
            break
    return floats(x for x, _ in path), floats(y for _, y in path)


@drawn(
    "ESS-03",
    "The law of source 001 in its phase plane, for Gaussian TD errors, target one half, η = 0.1, ρ = 0.05. With the "
    "printed sign the target is a saddle: every orbit leaves, to greedy or to uniform. With the other it spirals in.",
)
def ess_03(ax: Any) -> None:
    """Orbits from the same points under both signs."""
    starts = [(0.0, -0.5), (0.0, 0.5), (0.15, -0.08), (-0.15, 0.08)]
    with balls.precision(96):
        for number, (estimate, log_beta) in enumerate(starts):
            for sign, color, label in ((1, "C3", "as printed"), (-1, "C0", "sign reversed")):
                x, y = _orbit(estimate, log_beta, sign, 260)
                ax.plot(x, y, color=color, linewidth=1, label=label if number == 0 else None)
                middle = min(len(x) // 3, 24)
                ax.annotate(
                    "",
                    (x[middle + 1], y[middle + 1]),
                    (x[middle], y[middle]),
                    arrowprops={"arrowstyle": "-|>", "color": color, "linewidth": 0},
                )
            ax.plot(log_beta, estimate, ".", color="grey")
    ax.plot(0, 0, "k+")
    ax.set(xlabel="log(β/β*)", ylabel="estimate of ESS over its target, less 1", xlim=(-2, 2), ylim=(-1, 1))
    ax.legend(loc="lower right")


@drawn(
    "SAC-17",
    "The temperature α of the claim's example, updated from 0.3. With the minus of §4.3 it jumps to about 1/α at every "
    "step, ever further out; without it (§4.4.4) it comes to rest where the entropy is the target, α = 1.558.",
)
def sac_17(ax: Any) -> None:
    """Both printed updates, and the temperature at which the entropy is the target."""
    with balls.precision(96):
        for step, count, style, color, label in (
            (literal.temperature_step_printed, 40, ".-", "C3", "§4.3, as printed"),
            (literal.temperature_step, 200, "-", "C0", "§4.4.4"),
        ):
            log_alpha, path = balls.ball(servo.START).log(), []
            for _ in range(count):
                path.append(log_alpha.exp())
                log_alpha = balls.ball(servo.advance(step, log_alpha).mid())
            ax.plot(floats(path), style, color=color, linewidth=1, markersize=3, label=label)
        ax.axhline(*floats([servo.on_target().exp()]), color="grey", linestyle=":", label="entropy on target")
    ax.set(xlabel="update", ylabel="temperature α", yscale="log", xlim=(0, 200))
    ax.legend()


@drawn(
    "PRI-01",
    "Priorities of three items with signals u = 1, 2, 4, rate 0.1. The published update (solid) is a replicator: one "
    "item takes everything. The additive average (dashed) goes to w* = u/E u = (3/7, 6/7, 12/7).",
)
def pri_01(ax: Any) -> None:
    """Both recursions from equal priorities."""
    rate, steps = 0.1, 121
    for update, style in ((literal.update_priority, "-"), (replicator.additive, "--")):
        priorities, path = [1.0, 1.0, 1.0], []
        for _ in range(steps):
            path.append(priorities)
            priorities = update(priorities, [1.0, 2.0, 4.0], rate)
        for item, color in enumerate(("C0", "C1", "C3")):
            label = f"u = {2**item}" if style == "-" else None
            ax.plot([p[item] for p in path], style, color=color, label=label)
    ax.set(xlabel="update", ylabel="priority", xlim=(0, steps - 1))
    ax.legend(loc="center right", bbox_to_anchor=(1.0, 0.74))
