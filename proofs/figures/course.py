"""What the course notes (source 004) print, beside what holds: one figure for each chapter that no run shows."""

from __future__ import annotations

from typing import Any

import sympy
from flint import fmpq

from proofs.figures import drawn
from proofs.figures.curves import floats
from proofs.literal import course_return
from proofs.rl import chains
from proofs.rl.approximation import closed_variance
from proofs.rl.features import drift
from proofs.rl.iteration import FALLING, evaluated, truncated
from proofs.rl.monte_carlo import every_visit, expected, first_visit
from proofs.rl.policy_gradient import update_terms
from proofs.rl.returns import discounted


@drawn(
    "RL-01",
    "The return of t rewards of 1 at γ = 9/10. As printed it is tγ^{t−1}: only the last reward counts, t times, and "
    "long episodes are worth nothing. The sum of γ^{i−1} rises to 1/(1−γ) = 10.",
)
def rl_01(ax: Any) -> None:
    """Both sums against the number of rewards."""
    lengths = range(1, 61)
    for formula, color, label in ((course_return, "C3", "as printed"), (discounted, "C0", "Σ γ^(i−1) r_i")):
        returns = floats(formula([fmpq(1)] * t, fmpq(9, 10)) for t in lengths)
        ax.plot(lengths, returns, ".-", color=color, markersize=3, linewidth=1, label=label)
    ax.axhline(10, color="grey", linestyle=":")
    ax.set(xlabel="rewards t, each 1", ylabel="return")
    ax.legend(loc="center right")


@drawn(
    "RL-09",
    "Truncated policy iteration with two sweeps, γ = 1/2, from v₀ = (−2, −1, 2). The iterates (solid) approach v*; the "
    "exact values of the greedy policies (dashed) get worse at the second step, then recover.",
)
def rl_09(ax: Any) -> None:
    """Distances from the optimum of the iterates and of the values of their policies."""
    process, start, sweeps = FALLING[0]
    truth, steps = chains.optimum(process), truncated(process, start, sweeps, 8)
    iterates = [chains.distance(values, truth) for values in (start, *(values for _, values in steps))]
    policies = [chains.distance(evaluated(process, actions), truth) for actions, _ in steps]
    ax.plot(floats(iterates), ".-", color="C0", label="iterate v_k")
    ax.plot(range(1, 9), floats(policies), "x--", color="C3", label="values of the greedy policy")
    ax.set(xlabel="step k", ylabel="distance from the optimum", ylim=(-0.1, None))
    ax.legend()


@drawn(
    "RL-10",
    "The exact mean of Monte Carlo averages over N episodes: reward 1 per step, continue with probability 1/2, so the "
    "value is 2. First visits are unbiased; every visit has the mean (2N+1)/(N+1).",
)
def rl_10(ax: Any) -> None:
    """Both means for one to seven episodes, by enumeration."""
    counts = range(1, 8)
    for estimator, color, label in ((first_visit, "C0", "first visit"), (every_visit, "C3", "every visit")):
        means = floats(expected(estimator, n)[0] for n in counts)
        ax.plot(counts, means, ".-", color=color, label=label)
    ax.plot(counts, floats(fmpq(2 * n + 1, n + 1) for n in counts), "o", color="grey", markerfacecolor="none")
    ax.set(xlabel="episodes N", ylabel="mean of the estimate", ylim=(1.4, 2.1))
    ax.legend(loc="lower right")


@drawn(
    "RL-12",
    "The variance of Robbins–Monro iterates for g(w) = w and a_k = 1/k. Noise of variance k² obeys every condition of "
    "the notes, and the variance grows like k/3; with variance 1 it is 1/k.",
)
def rl_12(ax: Any) -> None:
    """Both closed forms, on logarithmic axes."""
    steps = [round(10 ** (i / 8)) for i in range(33)]
    ax.plot(steps, floats(closed_variance(fmpq(k)) for k in steps), ".-", color="C3", label="Var η_k = k²")
    ax.plot(steps, floats(fmpq(1, k) for k in steps), ".-", color="C0", label="Var η_k = 1")
    ax.set(xlabel="update k", ylabel="variance of the iterate", xscale="log", yscale="log")
    ax.legend(loc="upper left")


@drawn(
    "RL-21",
    "The expected TD step of w → 2w at w = 1. Under uniform weights it is (6γ − 5)/2: beyond γ = 5/6 it leads away "
    "from the answer, w = 0. Under the stationary weights it is −4(1−γ), and leads there for every γ < 1.",
)
def rl_21(ax: Any) -> None:
    """The drift against the discount for both laws of states."""
    discounts = [fmpq(i, 60) for i in range(61)]
    for weights, color, label in (
        ((fmpq(1, 2), fmpq(1, 2)), "C3", "uniform weights"),
        ((fmpq(0), fmpq(1)), "C0", "stationary weights"),
    ):
        steps = floats(drift(weights, g, fmpq(1)) for g in discounts)
        ax.plot(floats(discounts), steps, color=color, label=label)
    ax.axhline(0, color="grey", linewidth=0.8)
    ax.axvline(5 / 6, color="grey", linestyle=":")
    ax.set(xlabel="discount γ", ylabel="expected step at w = 1", xlim=(0, 1))
    ax.legend()


@drawn(
    "RL-25",
    "Two steps that share p: action 1 pays 1, then −3/2. The gradient is 1 − 3γ/2, and so is the mean of the updates "
    "that keep γ^t. Without it the mean is −1/2 at every γ: for γ < 2/3 it points the wrong way.",
)
def rl_25(ax: Any) -> None:
    """The derivative of the return and the mean update without the factor, against the discount."""
    p, discounts = sympy.Rational(1, 2), [sympy.Rational(i, 6) for i in range(7)]
    for weight, style, label in (
        (lambda g, t: g**t, "C0.-", "dJ/dp, and γ^t kept"),
        (lambda g, t: sympy.Integer(1), "C3.--", "γ^t dropped"),
    ):
        updates = [float(update_terms(p, g, weight)) for g in discounts]
        ax.plot([float(g) for g in discounts], updates, style, label=label)
    ax.axhline(0, color="grey", linewidth=0.8)
    ax.set(xlabel="discount γ", ylabel="mean update of p", xlim=(0, 1))
    ax.legend()
