"""Gradient descent as stochastic approximation (RL-14)."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import sympy
from flint import fmpq

from proofs.claim import claim
from proofs.evidence import Answer, Case, every
from proofs.exact import mean
from proofs.rl.chains import numbers
from proofs.symbolic import equal, real, summed, vanishes
from proofs.verdict import true_if


def squared(w: Any, x: Any) -> Any:
    """½(w − x)²."""
    return (w - x) ** 2 / 2


def batch_variance(variance: Any, size: int) -> Any:
    """σ²/n."""
    return variance / size


@claim(
    "RL-14",
    source="004 C6",
    statement="GD is Robbins–Monro on the gradient of E f(w,X); the gradient of the mean is the mean of the gradients; "
    "BGD averages n samples, and SGD is BGD with batch size 1.",
    formula="∇_w E[f(w,X)] = E[∇_w f(w,X)] ≈ (1/n) Σ ∇_w f(w, x_i)",
    stated=true_if("∇ and E may be interchanged (say, f smooth in w with a dominated derivative)"),
    corrected=(
        "For f = 1{X<w} with X uniform the two sides are 1 and 0. A mini-batch is unbiased with variance σ²/n. "
        "∇E f = 0 is stationarity, which is a minimum only where E f is convex. What is printed as BGD is mini-batch "
        "GD; with a_k = 1/k and f = ½(w−x)² SGD is the running mean."
    ),
    method="Q+S",
    derivation=(
        "For finitely many x the derivative of a finite sum is the sum of the derivatives.",
        "E 1{X<w} = w for X uniform on (0,1): derivative 1. The derivative of 1{x<w} in w is 0 but at w = x: mean 0.",
        "The mean of n independent gradients has the mean of one and 1/n of its variance.",
        "w_{k+1} = w_k − (w_k − x_k)/k = ((k−1)w_k + x_k)/k: by induction the mean of x_1, …, x_k.",
    ),
    twins={
        "sign of the sample gradient": {"sample": lambda w, x: x - w},
        "factor 2 in the sample gradient": {"sample": lambda w, x: 2 * (w - x)},
        "variance over n squared": {"variance": lambda v, n: v / n**2},
        "variance not reduced": {"variance": lambda v, n: v},
        "step 1/(k+1)": {"step": lambda k: fmpq(1, k + 1)},
    },
)
def rl_14(
    case: Case,
    *,
    sample: Any = lambda w, x: w - x,
    variance: Any = batch_variance,
    step: Any = lambda k: fmpq(1, k),
) -> None:
    """A finite law in symbols; the indicator of a uniform variable; all batches of a small law; a running mean."""
    w, a, b, c, p, q = real("w a b c p q")
    atoms, masses = (a, b, c), (p, q, 1 - p - q)
    expectation = summed(m * squared(w, x) for m, x in zip(masses, atoms, strict=True))
    gradients = summed(m * sample(w, x) for m, x in zip(masses, atoms, strict=True))
    case.within("S", "f = ½(w−X)², three atoms", vanishes(sympy.expand(sympy.diff(expectation, w) - gradients)))
    x = sympy.Symbol("x", real=True)
    point = sympy.Symbol("w", positive=True)
    averaged = sympy.diff(sympy.integrate(sympy.Integer(1), (x, 0, point)), point)
    pointwise = sympy.integrate(sympy.diff(sympy.Integer(1), point), (x, 0, point))
    case.outside(
        "S",
        "f = 1{X<w}, X uniform on (0,1)",
        equal(averaged, pointwise),
        f"d/dw E f = {averaged}, E d/dw f = {pointwise}",
    )
    law, values = numbers("1/2", "1/3", "1/6"), numbers(-1, 2, 5)

    def batched(size: int) -> Answer:
        at = fmpq(3, 4)
        outcomes = [
            (
                functools.reduce(lambda left, right: left * right, (law[i] for i in batch)),
                gradient([values[i] for i in batch], at),
            )
            for batch in itertools.product(range(3), repeat=size)
        ]
        weights, estimates = zip(*outcomes, strict=True)
        single = [at - v for v in values]
        one = mean(law, [(g - mean(law, single)) ** 2 for g in single])
        centre = mean(weights, estimates)
        spread = mean(weights, [(g - centre) ** 2 for g in estimates])
        return Answer(
            centre == mean(law, single) and spread == variance(one, size),
            f"n={size}: mean {centre}, variance {spread}; one sample: mean {mean(law, single)}, variance {one}",
        )

    def gradient(batch: Sequence[Any], at: Any) -> Any:
        return sum((sample(at, v) for v in batch), fmpq(0)) / len(batch)

    case.within("Q", "a mini-batch is unbiased, its variance σ²/n", every(batched(n) for n in (1, 2, 3, 4)))
    data, iterate = numbers(4, -1, "5/2", 7, 0, "1/3"), fmpq(100)
    running = []
    for k, item in enumerate(data, 1):
        iterate -= step(k) * sample(iterate, item)
        running.append(iterate == sum(data[:k], fmpq(0)) / k)
    case.within("Q", "SGD with a_k = 1/k is the running mean", all(running), f"ends at {iterate}")
    double = (w**2 - 1) ** 2
    at_zero = sympy.diff(double, w).subs(w, 0)
    curvature = sympy.diff(double, w, 2).subs(w, 0)
    case.corrected(
        "S",
        "f = (w²−1)² is stationary at w = 0, which is a maximum",
        bool(at_zero == 0 and curvature < 0),
        f"f' = {at_zero}, f'' = {curvature}",
    )
