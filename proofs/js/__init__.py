"""Chapter JS: what source 002 states about JS-regularised occupancy optimisation.

Its generator is f(w) = w log w - (w + 1) log((w + 1)/2). The relaxed optimum is w = g(z - nu), g(y) = e^y/(2 - e^y),
z = A/beta, and nu the multiplier that makes the mean one. The source replaces it by the sigmoid.

Where a claim is::

    generator      JS-01, JS-02, JS-08          the generator, its divergence, derivative and conjugate
    optimum        JS-03, JS-04, JS-06          the first-order condition and its multiplier
    sigmoid        JS-05, JS-07, JS-09, JS-10   the sigmoid: not the optimum, but of another problem
    expansion      JS-11                        the weights at high temperature
    concentration  JS-12                        which weights are the most concentrated

Importing the package enters them all; `weights` holds what they share.
"""

from __future__ import annotations

from proofs.js import concentration, expansion, generator, optimum, sigmoid

__all__ = ["concentration", "expansion", "generator", "optimum", "sigmoid"]
