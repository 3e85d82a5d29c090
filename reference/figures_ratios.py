"""Figures of regularised problems: the three ratios, weight curves, concentration against beta, the feedback laws.

Each takes `ax=`, returns the Axes and never calls `show()`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64

from reference.divergence import Divergence
from reference.mdp import MDP
from reference.panel import axes_or_new, require
from reference.ratios import Behavior, Ratios
from reference.show import pair_labels
from reference.temperature_feedback import FeedbackLaw, FeedbackState, printed_law, stable_law
from reference.weights import optimal_weights, weights_at

__all__ = ["plot_concentration", "plot_feedback", "plot_ratios", "plot_weight_curves"]

_NAMED = 24  # pairs that still have room for a label each
_LINEAR = 100.0  # a larger ratio is drawn on a logarithmic axis,
_FLOOR = 1e-6  # which ends here: what is smaller is as good as zero
_LAWS = (("as printed", printed_law, "C3"), ("sign reversed", stable_law, "C0"))


def plot_ratios(mdp: MDP, ratios: Ratios, ax: Any = None) -> Any:
    """Relaxed, conditional and occupancy ratio of every pair with data, ordered by the occupancy ratio."""
    ax = axes_or_new(ax)
    support = np.flatnonzero(ratios.behavior.law)
    order = support[np.argsort(ratios.occupancy.ratio.ravel()[support], kind="stable")]
    place = np.arange(len(order))
    for label, ratio, marker in (
        ("occupancy d*/D", ratios.occupancy.ratio, "o"),
        ("conditional π*/π_D", ratios.conditional.ratio, "^"),
        ("relaxed", ratios.relaxed.weights, "x"),
    ):
        ax.plot(place, ratio.ravel()[order], marker, markersize=4, label=label)
    ax.axhline(1.0, linewidth=0.8, linestyle=":", color="grey")
    ax.set(xlabel="pairs with data, by occupancy ratio", ylabel="ratio w")
    _scale(ax, float(np.nanmax([ratios.occupancy.ratio, ratios.conditional.ratio, ratios.relaxed.weights])))
    if len(order) <= _NAMED:
        names = pair_labels(mdp)
        ax.set_xticks(place, [names[pair] for pair in order], rotation=90, fontsize=7)
    ax.legend()
    ax.set_title(f"three ratios, {ratios.relaxed.divergence!r}, β = {ratios.relaxed.beta:g}")
    return ax


def plot_weight_curves(behavior: Behavior, beta: float, divergences: Sequence[Divergence], ax: Any = None) -> Any:
    """Optimal weight against advantage, one curve for each generator at the same beta (JS-12)."""
    ax = axes_or_new(ax)
    support = behavior.law > 0.0
    inside = behavior.advantage[support]
    low, high = float(inside.min()), float(inside.max())
    for color, divergence in enumerate(divergences):
        solved = optimal_weights(behavior.advantage, behavior.law, beta, divergence)
        ax.plot(inside, solved.weights[support], ".", markersize=5, color=f"C{color}")
        # The curve stops short of the pole that rounding of the multiplier could otherwise touch.
        end = min(high, beta * (divergence.supremum + solved.multiplier - solved.multiplier_error))
        grid = np.linspace(low, end, 300)[: 300 if end == high else -1]
        curve = weights_at(solved.multiplier, grid, beta, divergence)
        label = f"{divergence!r}, ESS {solved.effective_sample_fraction:.2g}"
        ax.plot(grid, curve, linewidth=1, color=f"C{color}", label=label)
    ax.axhline(1.0, linewidth=0.8, linestyle=":", color="grey")
    ax.set(xlabel="advantage", ylabel="weight w")
    _scale(ax, max(float(np.max(line.get_ydata())) for line in ax.lines))
    ax.legend()
    ax.set_title(f"optimal weights at β = {beta:g}")
    return ax


def _scale(ax: Any, largest: float) -> None:
    """A logarithmic axis where a few large ratios would press all others onto the axis."""
    if largest > _LINEAR:
        ax.set(yscale="log", ylim=(_FLOOR, 3.0 * largest))
        ax.set_ylabel(f"{ax.get_ylabel()} (from {_FLOOR:g})")


def plot_concentration(
    behavior: Behavior, betas: Float64[np.ndarray, " N"], divergences: Sequence[Divergence], ax: Any = None
) -> Any:
    """Effective share of the data against beta: increasing for every generator (ESS-11)."""
    ax = axes_or_new(ax)
    for divergence in divergences:
        share = [
            optimal_weights(behavior.advantage, behavior.law, float(beta), divergence).effective_sample_fraction
            for beta in betas
        ]
        ax.plot(betas, share, label=repr(divergence))
    ax.set(xlabel="β", ylabel="1 / E w²", ylim=(0.0, 1.02), xscale="log")
    ax.legend()
    ax.set_title("effective share of the data")
    return ax


def plot_feedback(
    law: FeedbackLaw, start: float, signal: Callable[[float], float], steps: int, exact: float | None, ax: Any = None
) -> Any:
    """Beta under the law as printed and with its sign reversed, beside the exact answer (ESS-03, ESS-05)."""
    ax = axes_or_new(ax)
    for label, step, color in _LAWS:
        ax.plot(feedback_path(law, start, signal, steps, step), color=color, label=label)
    if exact is not None:
        ax.axhline(exact, linewidth=0.8, linestyle="--", color="black", label=f"exact β = {exact:.3g}")
    ax.set(xlabel="step", ylabel="β", yscale="log", ylim=(0.7 * law.beta_min, 1.4 * law.beta_max))
    ax.legend()
    ax.set_title(f"feedback laws, target {law.target:g}, η = {law.eta:g}, ρ = {law.rho:g}")
    return ax


def feedback_path(
    law: FeedbackLaw,
    start: float,
    signal: Callable[[float], float],
    steps: int,
    step: Callable[[FeedbackLaw, FeedbackState, float], FeedbackState],
) -> Float64[np.ndarray, " N"]:
    """Beta after 0, 1, ..., `steps` steps of a law from `start`, its estimate starting at the signal there."""
    state = FeedbackState(signal(start), start)
    path = [state.beta]
    for _ in range(steps):
        state = step(law, state, signal(state.beta))
        path.append(state.beta)
    return np.array(path)


def figure(inches: tuple[float, float]) -> Any:
    """An empty figure that no window and no pyplot state belongs to, and its Axes."""
    made = require("matplotlib.figure").Figure(figsize=inches, layout="constrained")
    return made, made.add_subplot()
