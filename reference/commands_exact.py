"""`python -m reference solve --exact`: the rational optimum, proved, beside what float64 found."""

import argparse
from fractions import Fraction

import numpy as np

from reference import planning, show
from reference.certificate import certify
from reference.commands import process_facts, process_of
from reference.exact import ExactSolution, check_size
from reference.mdp import MDP
from reference.output import page_width, report, waiting
from reference.panel import Panel
from reference.rational import intended

__all__ = ["solve"]

_LONG = 24  # characters of a fraction that a table still shows
_DIGITS = 17  # that tell every float from its neighbours


def solve(arguments: argparse.Namespace) -> int:
    """The exact optimum of the floats, or of the rationals that they were meant to be."""
    if not arguments.exact:
        raise ValueError("--intended names the fractions behind the floats: expected --exact with it")
    for option in ("soft", "solver", "tolerance", "plot"):
        if getattr(arguments, option) is not None:
            raise ValueError(f"--exact has no tolerance, no solver to choose and no figure: leave out --{option}")
    mdp = process_of(arguments)
    process = intended(mdp) if arguments.intended else mdp
    check_size(process, None)  # before anything that takes long
    with waiting(f"solving {arguments.name} exactly"):
        certificate = certify(process, planning.solve(mdp), exact=True)
    found = certificate.exact
    assert found is not None
    ties = int((found.optimal.sum(axis=1) > 1).sum())
    bits = found.denominator.bit_length()
    start = sum((Fraction(m) * v for m, v in zip(process.initial, found.values, strict=True)), start=Fraction(0))
    facts = {
        **process_facts(arguments, mdp), "intended": arguments.intended, "solver": "exact policy iteration",
        "exact_solves": found.solves, "status": "EXACT", "message": str(certificate.kind),
        "error_of_floats": certificate.error_bound, "start_value": float(start), "exact_start_value": str(start),
        "states_with_ties": ties, "denominator_bits": bits, "exact_values": [str(value) for value in found.values],
        "values": found.nearest, "policy": found.policy, "optimal_actions": found.optimal,
    }  # fmt: skip
    lines = [
        f"{certificate.kind}; {found.solves} exact solves, {ties} states with ties, a denominator of {bits} bits",
        f"value from the start {_written(start)}; float64 had missed a value by at most {certificate.error_bound:.1e}",
    ]
    report(f"{arguments.name}: {process!r}", facts, lines, _panels(found, mdp, arguments.limit), as_json=arguments.json)
    return 0


def _written(value: Fraction) -> str:
    """The fraction where there is room for it, the nearest float otherwise."""
    return text if len(text := str(value)) <= _LONG else f"≈ {float(value):.{_DIGITS}g}"


def _panels(found: ExactSolution, mdp: MDP, limit: int) -> list[Panel]:
    panels = []
    if mdp.grid is not None:
        tied = found.optimal / found.optimal.sum(axis=1, keepdims=True)
        cells = show.policy_cells(mdp, tied)
        panels.append(show.grid_panel(mdp, cells, "every optimal action", [show.LEGEND], found.nearest))
        panels.append(show.grid_of_values(mdp, found.nearest, "values", page_width()))
    labels = show.action_labels(mdp)
    rows = [
        [str(state), _written(found.values[state]), " ".join(labels[a] for a in np.flatnonzero(found.optimal[state]))]
        for state in range(min(limit, mdp.n_states))
    ]
    notes = [f"{limit} of {mdp.n_states} states shown"] if mdp.n_states > limit else []
    return [*panels, Panel("exact values", rows, ["state", "value", "optimal actions"], notes)]
