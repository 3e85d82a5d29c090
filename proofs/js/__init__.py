"""Chapter JS: what source 002 states about JS-regularised occupancy optimisation.

Its generator is f(w) = w log w - (w + 1) log((w + 1)/2). The relaxed optimum is w = g(z - nu), g(y) = e^y/(2 - e^y),
z = A/beta, and nu the multiplier that makes the mean one. The source replaces it by the sigmoid.

Where a claim is::

    generator      JS-01, JS-02, JS-08          the generator, its divergence, derivative and conjugate
    optimum        JS-03, JS-04, JS-06          the first-order condition and its multiplier
    sigmoid        JS-05, JS-07, JS-09, JS-10   the sigmoid: not the optimum, but of another problem
    expansion      JS-11                        the weights at high temperature
    concentration  JS-12                        which weights are the most concentrated
    statistics     JS-13, JS-14, JS-17, JS-18   how each weight grows with the advantage, and where it ends
    table          JS-15, JS-16                 the table of section 9 and its conclusion
    condensation   JS-19                        continuous and unbounded advantages
    scaling        JS-20                        the affine priority, and the problem that it solves
    losses         JS-21, JS-22, JS-23, JS-24   the value loss of section 8, and the one that works
    support        JS-25                        mass outside the support of the data

Importing the package enters them all; `weights` holds what they share.
"""

from __future__ import annotations

from proofs.js import (
    concentration,
    condensation,
    expansion,
    generator,
    losses,
    optimum,
    scaling,
    sigmoid,
    statistics,
    support,
    table,
)

__all__ = [
    "concentration",
    "condensation",
    "expansion",
    "generator",
    "losses",
    "optimum",
    "scaling",
    "sigmoid",
    "statistics",
    "support",
    "table",
]
