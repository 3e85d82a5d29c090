"""Decision processes, solutions and weights for the eye: tables in a terminal, `_repr_html_` in a notebook.

`describe(object)` turns what this package returns into `reference.panel.Panel`s: a title, columns, rows, notes. On MDPs
with a `grid`, values and policies are laid out as the grid, with arrows whose directions are read off the transitions.
Figures are in `reference.figures`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from reference.conditional import ConditionalSolution
from reference.mdp import MDP
from reference.panel import WIDTH, Panel, heat_of, require
from reference.regularized import RegularizedOccupancy
from reference.solution import Solution
from reference.temperature import Temperature
from reference.weights import Weights

__all__ = [
    "action_labels",
    "describe",
    "grid_of_values",
    "grid_panel",
    "occupancy_panels",
    "policy_cells",
    "table",
    "to_html",
    "to_text",
]

Describable = MDP | Solution | RegularizedOccupancy | Temperature | Weights

LIMIT = 20  # rows of a table before it is cut, with a note that says so
LEGEND = "· no choice matters   + more than two actions tie"
_ARROWS = {(-1, 0): "↑", (1, 0): "↓", (0, -1): "←", (0, 1): "→"}


def describe(
    thing: object,
    mdp: MDP | None = None,
    *,
    limit: int = LIMIT,
    width: int = WIDTH,
    advantage: np.ndarray | None = None,
) -> list[Panel]:
    """Panels for an `MDP`, `Solution`, `RegularizedOccupancy`, `Temperature` or `Weights`.

    Solutions and occupancies are laid out on the grid of `mdp` if it has one. `advantage` adds a column to weights.
    Tables longer than `limit` rows are cut, and numbers lose digits until a line has at most `width` characters.
    TypeError for anything else.
    """
    if isinstance(thing, Weights):
        return _weights(thing, mdp, limit, advantage)
    if isinstance(thing, Temperature):
        return [_temperature(thing), *_weights(thing.weights, mdp, limit, advantage)]
    if isinstance(thing, Solution):
        return _solution(thing, mdp, limit, width)
    if isinstance(thing, RegularizedOccupancy):
        return _regularized(thing, mdp, limit, width)
    if isinstance(thing, MDP):
        return _mdp(thing, limit)
    raise TypeError(
        f"expected an MDP, a Solution, a RegularizedOccupancy, a Temperature or Weights, saw {type(thing).__name__}"
    )


def to_html(thing: Describable, mdp: MDP | None = None) -> str:
    """What `_repr_html_` returns."""
    return "".join(panel.to_html() for panel in describe(thing, mdp))


def to_text(thing: Describable, mdp: MDP | None = None) -> str:
    """Plain text, for terminals without rich."""
    return "\n\n".join(panel.to_text() for panel in describe(thing, mdp))


def table(thing: Describable, mdp: MDP | None = None) -> Any:
    """A rich renderable: `rich.print(table(solution, mdp))`."""
    return require("rich.console").Group(*(panel.to_rich() for panel in describe(thing, mdp)))


def number(value: float | np.ndarray, digits: int = 6) -> str:
    """A float for a table: significant digits, a dash for what does not exist (NaN, and q of unavailable actions)."""
    return f"{float(value):.{digits}g}" if np.isfinite(value) else "–"


def action_labels(mdp: MDP) -> list[str]:
    """An arrow per action on a grid, its number where it has no direction (or the MDP no grid).

    The direction is that of the mean step between neighbouring cells: on slippery ice, too, an action goes on average
    where it is meant to go.
    """
    labels = [str(action) for action in range(mdp.n_actions)]
    if mdp.grid is None:
        return labels
    rows, columns = mdp.grid
    cells = np.arange(rows * columns)
    drift = np.zeros((mdp.n_actions, 2))
    for down, right in _ARROWS:
        row, column = cells // columns + down, cells % columns + right
        inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
        source, target = cells[inside], (row * columns + column)[inside]
        for action in range(mdp.n_actions):
            usable = mdp.available[source, action]
            pairs = source[usable] * mdp.n_actions + action
            moved = float(mdp.matrix[pairs, target[usable]].sum())
            drift[action] += moved * np.array([down, right])
    for action, (down, right) in enumerate(drift):
        if abs(down) != abs(right):
            step = (int(np.sign(down)), 0) if abs(down) > abs(right) else (0, int(np.sign(right)))
            labels[action] = _ARROWS[step]
    return labels if len(set(labels)) == len(labels) else [str(action) for action in range(mdp.n_actions)]


def pair_labels(mdp: MDP) -> list[str]:
    """`state action` for each pair, actions as `action_labels` writes them."""
    actions = action_labels(mdp)
    return [f"{state} {action}" for state in range(mdp.n_states) for action in actions]


def indifferent(mdp: MDP) -> Bool[np.ndarray, " S"]:
    """States in which no choice matters: every available action has the same reward and the same successors."""
    same = np.ones(mdp.n_states, dtype=np.bool_)
    first = mdp.available.argmax(axis=1)
    rows = np.arange(mdp.n_states) * mdp.n_actions
    for action in range(mdp.n_actions):
        difference = abs(mdp.matrix[rows + action] - mdp.matrix[rows + first]).sum(axis=1)
        rewards = mdp.rewards[:, action] == mdp.rewards[np.arange(mdp.n_states), first]
        same &= ~mdp.available[:, action] | (rewards & (np.asarray(difference).ravel() == 0.0))
    return same


def policy_cells(mdp: MDP, policy: Float64[np.ndarray, "S A"]) -> list[str]:
    """One label per state: the likeliest action (two if they tie, + for more), a dot where no choice matters."""
    labels, dots = action_labels(mdp), indifferent(mdp)
    cells = []
    for state in range(mdp.n_states):
        best = np.flatnonzero(policy[state] >= policy[state].max() * (1.0 - 1e-9))
        cells.append("·" if dots[state] else "+" if len(best) > 2 else "".join(labels[action] for action in best))
    return cells


def grid_panel(
    mdp: MDP, cells: Sequence[str], title: str, notes: Sequence[str] = (), values: np.ndarray | None = None
) -> Panel:
    """Cells of a grid, colored by `values` `(S,)` if there are any."""
    assert mdp.grid is not None
    rows, columns = mdp.grid
    heat = [] if values is None else heat_of(values[: rows * columns]).reshape(rows, columns).tolist()
    shown = [list(cells[row * columns : (row + 1) * columns]) for row in range(rows)]
    return Panel(title, shown, notes=notes, heat=heat)


def _fitting(build: Callable[[int], Panel], width: int) -> Panel:
    """The panel with as many digits as fit into `width` characters."""
    for digits in (6, 5, 4, 3, 2):
        panel = build(digits)
        if panel.width <= width:
            break
    return panel


def grid_of_values(mdp: MDP, values: Float64[np.ndarray, " S"], title: str, width: int = WIDTH) -> Panel:
    """The grid, colored by the values, and a note on states that are not among its cells."""
    assert mdp.grid is not None
    cells = mdp.grid[0] * mdp.grid[1]
    others = ", ".join(f"{state}: {number(values[state])}" for state in range(cells, mdp.n_states))
    notes = [f"states that are not cells: {others}"] if others else []
    return _fitting(
        lambda digits: grid_panel(mdp, [number(v, digits) for v in values[:cells]], title, notes, values), width
    )


def _solution(solution: Solution, mdp: MDP | None, limit: int, width: int) -> list[Panel]:
    if mdp is not None and mdp.grid is not None:
        policy = grid_panel(mdp, policy_cells(mdp, solution.policy), "policy", [LEGEND], solution.values)
        return [policy, grid_of_values(mdp, solution.values, "values", width)]
    labels = action_labels(mdp) if mdp is not None else [str(action) for action in range(solution.q.shape[1])]
    ratio = solution.ratio if isinstance(solution, ConditionalSolution) else None
    shown = range(min(limit, len(solution.values)))
    notes = _cut(len(solution.values), limit, "states")

    def states(digits: int, questions: bool, ratios: bool) -> Panel:
        rows = []
        for state in shown:
            best = int(solution.policy[state].argmax())
            share = float(solution.policy[state, best])
            action = labels[best] if share == 1.0 else f"{labels[best]} ({number(share, 3)})"
            more = [*(solution.q[state] if questions else []), *(ratio[state] if ratios and ratio is not None else [])]
            rows.append(
                [str(state), number(solution.values[state], digits), action, *(number(x, digits) for x in more)]
            )
        columns = ["state", "value", "action", *(f"q({label})" for label in labels if questions)]
        columns += [f"ratio({label})" for label in labels if ratios and ratio is not None]
        left_out = [] if questions else ["q"] if ratios or ratio is None else ["q", "ratio"]
        hidden = [f"left out for want of room: {', '.join(left_out)}"] if left_out else []
        return Panel("values, and the likeliest action", rows, columns, [*notes, *hidden])

    for questions, ratios in ((True, True), (False, True), (False, False)):
        panel = _fitting(lambda digits, q=questions, r=ratios: states(digits, q, r), width)
        if panel.width <= width:
            break
    return [panel]


def _weights(weights: Weights, mdp: MDP | None, limit: int, advantage: np.ndarray | None) -> list[Panel]:
    facts = [
        ["divergence", repr(weights.divergence)],
        ["beta", number(weights.beta)],
        ["multiplier ν", f"{number(weights.multiplier, 10)}  ± {weights.multiplier_error:.1e}"],
        ["optimal value", f"{number(weights.value, 10)}  ± {weights.gap:.1e} (gap, rounding included)"],
        ["effective sample size", f"{number(weights.effective_sample_size)} of {weights.support} entries"],
        ["effective share", f"{number(weights.effective_sample_fraction)} of samples drawn from D"],
        ["largest weight", f"{number(float(np.nanmax(weights.weights)))}  ± {weights.weights_error:.1e}"],
    ]
    flat, law = weights.weights.ravel(), weights.behavior.ravel()
    order = np.flatnonzero(law)
    if len(order) > limit:
        order = order[np.argsort(-flat[order], kind="stable")]
    axes = weights.weights.ndim
    names = ["state", "action"] if axes == 2 else ["entry"] * min(axes, 1) + [""] * (axes - 1)
    labels = action_labels(mdp) if mdp is not None and axes == 2 else None
    rows = []
    for entry in order[:limit]:
        place = [str(int(i)) for i in np.unravel_index(int(entry), weights.weights.shape)]
        if labels is not None:
            place[1] = labels[int(place[1])]
        extra = [number(advantage.ravel()[entry])] if advantage is not None else []
        rows.append([*place, number(law[entry]), *extra, number(flat[entry]), number(flat[entry] * law[entry])])
    columns = [*names, "behavior D", *(["advantage"] if advantage is not None else []), "weight w", "w D"]
    notes = _cut(len(order), limit, "entries with data", ", largest weights first")
    return [Panel("optimal weights", facts, facts=True), Panel("entries", rows, columns, notes)]


def _temperature(found: Temperature) -> Panel:
    facts = [
        ["target", f"{found.signal} {number(found.target, 10)}"],
        ["achieved", f"{number(found.achieved, 10)}  ± {found.achieved_error:.1e}"],
        ["beta", f"{number(found.beta, 12)}  relative error ≤ {found.relative_error:.1e}"],
    ]
    return Panel("temperature", facts, facts=True)


def _regularized(solved: RegularizedOccupancy, mdp: MDP | None, limit: int, width: int) -> list[Panel]:
    facts = [
        ["divergence", repr(solved.divergence)],
        ["beta", number(solved.beta)],
        ["optimum", f"{number(solved.dual, 10)}, or less by up to {solved.gap:.1e} (rounding included)"],
        ["flow residual", f"{solved.flow_residual:.1e}"],
        ["largest ratio", number(float(np.nanmax(solved.ratio)))],
    ]
    panels = [Panel("regularised occupancy", facts, facts=True)]
    if mdp is not None and mdp.grid is not None:
        visits = solved.occupancy.sum(axis=1)
        panels.append(grid_panel(mdp, policy_cells(mdp, solved.policy), "policy", [LEGEND], visits))
        panels.append(grid_of_values(mdp, visits, "occupancy of states", width))
    actions = solved.occupancy.shape[1]
    labels = action_labels(mdp) if mdp is not None else [str(action) for action in range(actions)]
    data = int(np.count_nonzero(solved.behavior))
    order = np.argsort(-solved.occupancy.ravel(), kind="stable")[: min(limit, data)]
    rows = [
        [str(pair // actions), labels[pair % actions], *(number(x.ravel()[pair]) for x in
         (solved.behavior, solved.td_error, solved.ratio, solved.occupancy))]
        for pair in map(int, order)
    ]  # fmt: skip
    columns = ["state", "action", "behavior D", "td error δ", "ratio w", "d = w D"]
    return [*panels, Panel("pairs", rows, columns, _cut(data, limit, "pairs with data", ", most frequent first"))]


def occupancy_panels(
    mdp: MDP, occupancy: Float64[np.ndarray, "S A"], limit: int = LIMIT, width: int = WIDTH
) -> list[Panel]:
    """State occupancies on the grid, and the pairs met most often."""
    panels = []
    if mdp.grid is not None:
        panels.append(grid_of_values(mdp, occupancy.sum(axis=1), "occupancy of states", width))
    labels, met = action_labels(mdp), int(np.count_nonzero(occupancy))
    order = np.argsort(-occupancy.ravel(), kind="stable")[: min(limit, met)]
    pairs = [(int(pair) // mdp.n_actions, int(pair) % mdp.n_actions) for pair in order]
    rows = [[str(state), labels[action], number(occupancy[state, action])] for state, action in pairs]
    note = _cut(met, limit, "pairs that are met", ", most frequent first")
    return [*panels, Panel("occupancy of pairs", rows, ["state", "action", "d"], note)]


def _mdp(mdp: MDP, limit: int) -> list[Panel]:
    rows = []
    for state in range(min(limit, mdp.n_states)):
        for action in np.flatnonzero(mdp.available[state]):
            row = mdp.matrix[[state * mdp.n_actions + int(action)]]
            row = row.ravel() if isinstance(row, np.ndarray) else np.asarray(row.toarray()).ravel()
            successors = np.flatnonzero(row)
            text = ", ".join(f"{target}: {number(row[target], 4)}" for target in successors[:4])
            text += f", … {len(successors) - 4} more" if len(successors) > 4 else ""
            rows.append([str(state), str(action), number(mdp.rewards[state, action]), text])
    ends = np.flatnonzero(mdp.terminal)
    note = [f"terminal states: {', '.join(map(str, ends[:limit])) or 'none'}"]
    note[0] += f", … {len(ends) - limit} more" if len(ends) > limit else ""
    columns = ["state", "action", "reward", "next state: probability"]
    return [Panel(repr(mdp), rows, columns, [*note, *_cut(mdp.n_states, limit, "states")])]


def _cut(total: int, limit: int, what: str, how: str = "") -> list[str]:
    return [f"{limit} of {total} {what} shown{how}"] if total > limit else []
