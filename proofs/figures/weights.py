"""Weights against advantage, and how concentrated they are: KL, JS and the sigmoid."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from flint import fmpq

from proofs import conic, generators
from proofs.arithmetic import sigmoid
from proofs.divergences import Law, js_ratio, kl_ratio
from proofs.figures import drawn
from proofs.figures.curves import floats, values
from proofs.js.weights import one_atom_bracket

KL_COLOR, JS_COLOR, FERMI_COLOR = "C0", "C3", "C2"


@functools.cache
def _even(beta: fmpq, atoms: int = 13, reach: int = 3) -> Law:
    """Advantages spread evenly over [-reach, reach], all equally likely, at temperature beta."""
    advantages = [fmpq(2 * reach * k, atoms - 1) - reach for k in range(atoms)]
    return Law((fmpq(1, atoms),) * atoms, tuple(a / beta for a in advantages))


@functools.cache
def _js_multiplier(data: Law) -> Any:
    return conic.multiplier(data, js_ratio, *one_atom_bracket(data))


@drawn(
    "JS-05",
    "Weights that average to one over 13 equally likely advantages, β = 1. The sigmoid is not the JS optimum: where "
    "it levels off, the JS weight grows faster than the exponential.",
)
def js_05(ax: Any) -> None:
    """Three weights on a logarithmic axis, the atoms marked."""
    data = _even(fmpq(1))
    nu = _js_multiplier(data)
    z = np.linspace(-3, 3, 121)
    atoms = floats(data.z)
    with_law = {
        "JS: g(z − ν), g(y) = eʸ/(2 − eʸ)": (lambda x: js_ratio(x - nu), 1, JS_COLOR),
        "KL: eᶻ/E eᶻ": (kl_ratio, values(kl_ratio, atoms).mean(), KL_COLOR),
        "sigmoid: σ(z)/E σ(z)": (sigmoid, values(sigmoid, atoms).mean(), FERMI_COLOR),
    }
    for label, (formula, mean, color) in with_law.items():
        ax.plot(z, values(formula, z) / mean, color=color, label=label)
        ax.plot(atoms, values(formula, atoms) / mean, ".", color=color, markersize=4)
    ax.set(xlabel="advantage z = A/β", ylabel="weight w = d/D", yscale="log")
    ax.legend()


def _share(weights: np.ndarray) -> float:
    return float(weights.mean() ** 2 / (weights**2).mean())


@drawn(
    "JS-12",
    "Effective share of the data, ESS/n, of 13 equally likely advantages. At every temperature the sigmoid keeps more "
    "of the data than KL, and JS keeps less.",
)
def js_12(ax: Any) -> None:
    """ESS/n against temperature."""
    temperatures = [fmpq(k, 8) for k in (3, 4, 5, 6, 8, 11, 16, 24, 36, 56, 80, 120, 180)]
    shares: dict[str, list[float]] = {"sigmoid": [], "KL": [], "JS": []}
    for beta in temperatures:
        data = _even(beta)
        atoms, nu = floats(data.z), _js_multiplier(data)
        shares["sigmoid"].append(_share(values(sigmoid, atoms)))
        shares["KL"].append(_share(values(kl_ratio, atoms)))
        shares["JS"].append(_share(values(lambda x, nu=nu: js_ratio(x - nu), atoms)))
    for (label, share), color in zip(shares.items(), (FERMI_COLOR, KL_COLOR, JS_COLOR), strict=True):
        ax.plot(floats(temperatures), share, ".-", color=color, label=label)
    ax.set(xlabel="temperature β", ylabel="ESS / n", xscale="log", ylim=(0, 1.03))
    ax.legend()


@drawn(
    "KL-10",
    "From greedy to uniform: for A = (0, ½, 1, 2), equally likely, the mass off the best action and the largest "
    "deviation of a weight from one, each below its bound.",
)
def kl_10(ax: Any) -> None:
    """Two deviations and their bounds."""
    advantages, mass = np.array([0.0, 0.5, 1.0, 2.0]), 0.25
    beta = np.geomspace(0.08, 60, 90)
    weights = np.exp((advantages[:, None] - 2.0) / beta)
    weights /= weights.mean(axis=0)
    off = mass * weights[:3].sum(axis=0)
    deviation = np.abs(weights - 1).max(axis=0)
    gap, reach = 1.0, 2.0
    ax.plot(beta, off, color="C0", label="mass off the argmax")
    ax.plot(beta, (1 - mass) / mass * np.exp(-gap / beta), "--", color="C0", label="≤ (1 − D*)/D* · exp(−gap/β)")
    ax.plot(beta, deviation, color="C1", label="max |w − 1|")
    ax.plot(beta, np.expm1(reach / beta), "--", color="C1", label="≤ exp(R/β) − 1")
    ax.set(xlabel="temperature β", xscale="log", yscale="log", ylim=(1e-5, 40))
    ax.legend()


@drawn(
    "KL-09",
    "What a regulariser asks for, and what PER does: the optimal weight never falls as the TD error rises, |δ|^α does. "
    "The power divergence gives thresholded, signed priorities.",
)
def kl_09(ax: Any) -> None:
    """Optimal weights beside PER's."""
    atoms = np.linspace(-2, 2, 41)
    grid = np.linspace(-2, 2, 201)

    def power(alpha: float) -> np.ndarray:
        def weight(x: np.ndarray, nu: float) -> np.ndarray:
            return np.maximum(1 + x - nu, 0) ** alpha

        low, high = -2.0, 3.0  # at low every weight exceeds one, at high all vanish
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if weight(atoms, middle).mean() > 1 else (low, middle)
        return weight(grid, low)

    ax.plot(grid, np.exp(grid) / np.exp(atoms).mean(), color="C0", label="KL: e^δ/E e^δ")
    ax.plot(grid, power(1.0), color="C2", label="(1 + δ − ν)₊  (χ²)")
    ax.plot(grid, power(0.6), color="C4", label="(1 + δ − ν)₊^0.6")
    ax.plot(grid, np.abs(grid) ** 0.6 / (np.abs(atoms) ** 0.6).mean(), "--", color="C3", label="PER: |δ|^0.6")
    ax.set(xlabel="TD error δ (β = 1)", ylabel="weight", ylim=(0, 4))
    ax.legend()


@drawn(
    "FD-01",
    "The ratio (f*)'(y) that each generator asks for. All meet at w = 1 with y = 0; JS, Hellinger and reverse KL have "
    "a pole, χ² cuts off, Fermi-Dirac (C = 2) levels off at its cap.",
)
def fd_01(ax: Any) -> None:
    """Six generators, each up to its pole."""
    named = {
        "KL": (generators.KL, 2.0),
        "JS": (generators.JS, float(np.log(2.0))),
        "χ²": (generators.CHI, 2.0),
        "Hellinger": (generators.HELLINGER, 1.0),
        "reverse KL": (generators.REVERSE, 1.0),
        "Fermi-Dirac": (generators.fermi_dirac(fmpq(2)), 2.0),
    }
    for label, (generator, end) in named.items():
        y = np.linspace(-3, end - 1e-3, 160)
        ax.plot(y, values(generator.ratio, y), label=label)
    ax.set(xlabel="y = (A/β) − ν, or δ/β", ylabel="ratio w", xlim=(-3, 2), ylim=(0, 5))
    ax.legend()
