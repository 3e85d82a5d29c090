"""Figures of solutions, occupancies and weights: each takes `ax=`, returns the Axes and never calls `show()`."""

from typing import Any

import numpy as np
from jaxtyping import Float64

from reference.mdp import MDP
from reference.panel import axes_or_new, require
from reference.show import number, policy_cells
from reference.solution import Solution
from reference.weights import Weights, weights_at

__all__ = ["plot_occupancy", "plot_solution", "plot_states", "plot_weights", "size_for"]

_ANNOTATED = 300  # cells of a grid that still have room for a label
_DARK = 0.6  # share of the color scale below which white is easier to read than black
_MAP_SHARE = 0.75  # of a figure's width that the map takes beside its scale
_DECADES = 1e3  # a larger ratio of weights is drawn on a logarithmic axis


def plot_solution(mdp: MDP, solution: Solution, ax: Any = None) -> Any:
    """Values as a heat map with the policy's arrows on a grid, as points per state otherwise. Returns the Axes."""
    ax = axes_or_new(ax)
    if mdp.grid is None:
        states = np.arange(mdp.n_states)
        ax.errorbar(states, solution.values, yerr=solution.error_bound, fmt=".", markersize=4, linewidth=0.8)
        _state_axis(ax, "value")
    else:
        _heat_map(ax, mdp, solution.values, policy_cells(mdp, solution.policy), "value")
    ax.set_title(f"{solution.solver}, error ≤ {solution.error_bound:.1e}")
    return ax


def plot_occupancy(mdp: MDP, occupancy: Float64[np.ndarray, "S A"], ax: Any = None) -> Any:
    """How often each state is visited: a heat map on a grid, bars otherwise. Returns the Axes."""
    ax = axes_or_new(ax)
    visits = occupancy.sum(axis=1)
    if mdp.grid is None:
        ax.bar(np.arange(mdp.n_states), visits, width=0.9)
        _state_axis(ax, "discounted occupancy")
    else:
        # A goal that is never left takes most of the mass: on a square root the way there shows as well.
        norm = require("matplotlib.colors").PowerNorm(0.5, vmin=0.0)
        _heat_map(ax, mdp, visits, [number(visit, 2) for visit in visits], "discounted occupancy", norm)
    ax.set_title("state occupancy")
    return ax


def plot_states(mdp: MDP, values: Float64[np.ndarray, " S"], label: str, ax: Any = None) -> Any:
    """A number per state: a heat map on a grid, bars otherwise. Returns the Axes."""
    ax = axes_or_new(ax)
    if mdp.grid is None:
        ax.bar(np.arange(mdp.n_states), values, width=0.9)
        _state_axis(ax, label)
    else:
        _heat_map(ax, mdp, values, [number(value, 2) for value in values], label)
    return ax


def plot_weights(weights: Weights, advantage: Float64[np.ndarray, "..."], ax: Any = None) -> Any:
    """Weight against advantage, areas in proportion to the data's law, on the curve that they must lie on.

    Returns the Axes.
    """
    ax = axes_or_new(ax)
    support = weights.behavior > 0.0
    seen, law = np.asarray(advantage)[support], weights.behavior[support]
    low, high = float(seen.min()), float(seen.max())
    if high > low:
        # the curve ends at the largest advantage, where the multiplier is known to be inside the domain
        grid = np.linspace(low, high, 400)
        curve = weights_at(_inside(weights, high), grid, weights.beta, weights.divergence)
        ax.plot(grid, curve, linewidth=1, color="C1")
    ax.scatter(seen, weights.weights[support], s=4.0 + 200.0 * law / law.max(), alpha=0.5)
    inside = weights.weights[support]
    if float(inside.min()) > 0.0 and float(inside.max()) > _DECADES * float(inside.min()):
        ax.set_yscale("log")
    ax.axhline(1.0, linewidth=0.8, linestyle=":", color="grey")
    ax.set(xlabel="advantage", ylabel="weight w = d/D")
    share = f"effective share of the data {weights.effective_sample_fraction:.3g}"
    ax.set_title(f"{weights.divergence!r}, β = {weights.beta:g}, ν = {weights.multiplier:.4g}, {share}")
    return ax


def _state_axis(ax: Any, label: str) -> None:
    ax.set(xlabel="state", ylabel=label)
    ax.xaxis.set_major_locator(require("matplotlib.ticker").MaxNLocator(integer=True))


def _inside(weights: Weights, high: float) -> float:
    """The multiplier, moved by its rounding error if the curve's end would otherwise touch the pole."""
    end = high / weights.beta - weights.divergence.supremum
    return max(weights.multiplier, float(np.nextafter(end, np.inf))) if np.isfinite(end) else weights.multiplier


def size_for(mdp: MDP | None) -> tuple[float, float]:
    """Inches of a figure in which the grid of the MDP, or a plot without one, fills the page."""
    if mdp is None or mdp.grid is None:
        return 8.0, 5.0
    rows, columns = mdp.grid
    width = 6.0 if columns <= 2 * rows else 10.0
    return width + 1.2, min(max(width * rows / columns, 1.5), 12.0) + 0.6


def _heat_map(
    ax: Any, mdp: MDP, values: Float64[np.ndarray, " S"], cells: list[str], label: str, norm: Any = None
) -> None:
    assert mdp.grid is not None
    rows, columns = mdp.grid
    shown = values[: rows * columns].reshape(rows, columns)
    image = ax.imshow(shown, cmap="viridis", norm=norm)
    ax.figure.colorbar(image, ax=ax, label=label, shrink=min(1.0, max(0.4, rows / columns)))
    ax.set(xticks=[], yticks=[])
    if rows * columns > _ANNOTATED:
        return
    cell = _MAP_SHARE * 72.0 * float(ax.figure.get_size_inches()[0]) / columns  # points
    longest = max(map(len, cells[: rows * columns]))
    size = min(16.0, cell / (0.7 * max(longest, 2)))  # a digit is about 0.6 of its height wide
    for (row, column), value in np.ndenumerate(shown):
        color = "white" if float(image.norm(value)) <= _DARK else "black"
        ax.text(column, row, cells[row * columns + column], ha="center", va="center", color=color, fontsize=size)
