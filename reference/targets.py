r"""Targets of concentration: what they ask of the weights, which of them some temperature reaches, and brackets.

A target is a radius of E_D[phi(w)] for a convex phi with its minimum 0 at one (`reference.temperature` has the table).
As beta -> infinity weights go to one and E phi(w) to 0. As beta -> 0 they go to the most concentrated law that the
generator allows, ties sharing evenly: all mass on the best advantages, or the cap on as many entries as it takes. A
target is reached by some beta iff its radius lies strictly between.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from reference.certify import ELEMENTARY
from reference.divergence import KL, Divergence, Reals
from reference.rounding import SLACK, UNIT_ROUNDOFF, gamma_n
from reference.weights import optimal_weights


class InfeasibleTarget(ValueError):
    """A concentration that no temperature reaches; the message says what the reachable range is."""


class Signal(NamedTuple):
    """One kind of target: the convex phi, and how a target becomes a radius of E phi(w)."""

    name: str
    phi: Callable[[np.ndarray], np.ndarray]
    radius: Callable[[float], float]
    target: Callable[[float], float]
    relative: float  # rounding of `radius`, relative
    steepness: float  # k of the bracket
    inverse: Callable[[float], float]  # the fraction of the bracket that belongs to a target


def _kl_excess(w: np.ndarray) -> np.ndarray:
    return np.asarray(KL().f(w))


SAMPLES = Signal("effective sample fraction", lambda w: (w - 1.0) ** 2, lambda a: (1.0 - a) / a,
                   lambda radius: 1.0 / (1.0 + radius), gamma_n(2), 1.0, lambda a: a)  # fmt: skip
PERPLEXITY = Signal("perplexity fraction", _kl_excess, lambda p: -math.log(p),
                      lambda radius: math.exp(-radius), ELEMENTARY, 2.0, lambda p: p)  # fmt: skip
KL_BALL = Signal("KL(d || D)", _kl_excess, lambda radius: radius,
              lambda radius: radius, 0.0, 2.0, lambda radius: math.exp(-radius))  # fmt: skip


class Data(NamedTuple):
    """Advantages and law on the entries with data."""

    advantage: Float64[np.ndarray, " N"]
    law: Float64[np.ndarray, " N"]
    mass: float

    @classmethod
    def of(cls, advantage: Reals, behavior: Reals) -> "Data":
        """Checked as `optimal_weights` checks them; ValueError otherwise."""
        law = np.array(behavior, dtype=np.float64)
        values = np.array(advantage, dtype=np.float64)
        # Not solved for its answer: there data of the wrong shape, mass or size are refused, by name.
        optimal_weights(values, law, max(1.0, float(np.max(np.abs(values), where=np.isfinite(values), initial=0.0))))
        return cls(values[law > 0.0], law[law > 0.0], math.fsum(law[law > 0.0]))

    @property
    def best(self) -> np.ndarray:
        """Which entries have the largest advantage."""
        return self.advantage == self.advantage.max()

    @property
    def spread(self) -> float:
        """The range of the advantages."""
        return float(self.advantage.max()) - float(self.advantage.min())

    @property
    def coldest(self) -> float:
        """No beta below this is tried: advantages over it would come near the largest float."""
        return float(np.abs(self.advantage).max()) / 1e300

    def mean(self, values: np.ndarray) -> float:
        """E_D."""
        return math.fsum(self.law * values) / self.mass


def check_feasible(signal: Signal, data: Data, target: float, divergence: Divergence) -> float:
    """The radius of a target that some temperature reaches; InfeasibleTarget otherwise."""
    if data.spread == 0.0:
        raise InfeasibleTarget(
            f"{signal.name} {target:g}: all advantages are {data.advantage[0]:g}, so weights are one at every "
            "temperature; expected advantages that differ"
        )
    coldest = data.mean(signal.phi(coldest_ratios(data, divergence)))
    blur = gamma_n(len(data.law) + 32)
    limits = sorted((signal.target(coldest), signal.target(0.0)))
    if not limits[0] < target < limits[1] or not signal.radius(target) < coldest * (1.0 - blur):
        raise InfeasibleTarget(
            f"{signal.name} {target!r}: expected it strictly between {limits[0]:.17g} and {limits[1]:.17g}, its limits "
            f"for beta -> 0 and beta -> infinity under {divergence!r}, and not within rounding of the first. The best "
            f"advantage has probability {data.mean(data.best):.6g} under the data ({np.count_nonzero(data.best)} of "
            f"{len(data.law)} entries)"
        )
    return signal.radius(target)


def coldest_ratios(data: Data, divergence: Divergence) -> Float64[np.ndarray, " N"]:
    """The ratios for beta -> 0: as much as the generator allows on the best entries, ties sharing evenly."""
    smallest, largest = float(divergence.ratio(-math.inf)), divergence.largest_ratio
    if largest == math.inf:
        return np.where(data.best, smallest + (1.0 - smallest) / data.mean(data.best), smallest)
    values, place = np.unique(data.advantage, return_inverse=True)
    masses = np.bincount(place, data.law) / data.mass
    extras, left = np.zeros(len(values)), 1.0 - smallest
    for index in reversed(range(len(values))):
        extras[index] = min(left / masses[index], largest - smallest)
        left -= extras[index] * masses[index]
        if left <= 4.0 * UNIT_ROUNDOFF:
            break
    return smallest + extras[place]


def bracket_kl(signal: Signal, data: Data, target: float) -> tuple[float, float]:
    """`reference.temperature.beta_bracket`, rounded outward (BET-03)."""
    fraction, best = signal.inverse(target), data.mean(data.best)
    blur = ELEMENTARY + 8.0 * UNIT_ROUNDOFF
    # sqrt(a D*) - D* = sqrt(D*)(a - D*)/(sqrt(a) + sqrt(D*)), where only a - D* cancels
    excess = fraction * (1.0 - blur) - best * (1.0 + blur)
    low = 0.0
    if excess > 0.0:
        share = math.sqrt(best) * excess / (math.sqrt(fraction) + math.sqrt(best))
        gap = float(data.advantage.max()) - float(data.advantage[~data.best].max())
        low = gap / (signal.steepness * math.log(data.mean(~data.best) / share)) * (1.0 - SLACK)
    # arcosh(1 + y) with y = a^(-1/2) - 1, which a close to one would cancel
    y = math.expm1(0.5 * (math.log1p(signal.radius(target)) if signal is SAMPLES else signal.radius(target)))
    high = 0.5 * data.spread / math.log1p(y + math.sqrt(y * (2.0 + y))) * (1.0 + SLACK)
    return low, high
