r"""The optimum of the flow problem enclosed in balls: any V bounds it from above, any policy from below (OCC-10).

No float is trusted here. Newton's method on the dual runs in Arb from values that may come from anywhere (F. Johansson,
IEEE Trans. Comput. 66, 2017; the `exact` extra); the V it ends at gives the dual, the policy of its ratios an occupancy
by a linear system in balls, and both sides are evaluated in balls on the exact data. So the enclosure holds whatever
Newton's method did, and is as narrow as it did well.
"""

from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Float64

from reference.balls import Enclosure, ball, end, formulas, power
from reference.divergence import (
    KL,
    Divergence,
    FermiDirac,
    Hellinger,
    JensenShannon,
    PearsonChi2,
    Power,
    ReverseKL,
    TwoSidedFermiDirac,
)
from reference.feasibility import support
from reference.flow import Flow, flow_of
from reference.mdp import MDP
from reference.rational import import_flint, pair_row

__all__ = ["enclose_flow"]

_STEPS = 60  # of Newton's method: from a float64 optimum a handful suffice
_BITS = 4096  # of precision at most; saturated ratios need many
_NAMED = (KL, JensenShannon, FermiDirac, TwoSidedFermiDirac, PearsonChi2, Hellinger, ReverseKL, Power)


def enclose_flow(
    mdp: MDP,
    behavior: Float64[np.ndarray, "S A"],
    beta: float,
    divergence: Divergence,
    values: Float64[np.ndarray, " S"],
    bits: int = 128,
) -> Enclosure:
    """Enclose the optimum of the flow problem to about `2^-bits` of its value, starting from `values` (OCC-10).

    `values` of `regularized_occupancy` will do; infinite ones are ignored where no occupancy goes. For the generators
    with a name of their own (TypeError for capped ones and mixtures), on small MDPs. Needs python-flint.
    `InfeasibleFlow` as in `regularized_occupancy`; ValueError if no precision up to 4096 bits is enough.
    """
    flint = import_flint()
    if not isinstance(divergence, _NAMED):
        raise TypeError(
            f"no formulas in balls of the flow problem for {divergence!r}: expected kl, js, fermi-dirac, "
            "two-sided-fermi-dirac, chi2, hellinger, reverse-kl or power"
        )
    flow = flow_of(mdp, behavior, float(beta), divergence, support(mdp, behavior, divergence))
    precision, found = bits + 64, None
    while precision <= _BITS:
        with flint.ctx.workprec(precision):
            found = _Problem(mdp, behavior, flow).enclose(values[flow.states])
        if found is not None and found.width <= Fraction(1, 1 << bits) * max(abs(found.upper[0]), Fraction(beta)):
            return found
        precision *= 2
    raise ValueError(
        f"the flow problem was enclosed to {'nothing' if found is None else float(found.width)!r} with {_BITS} bits: "
        "start from better values, or ask for fewer bits"
    )


class _Problem:
    """The data of one flow problem as balls of the working precision."""

    def __init__(self, mdp: MDP, behavior: np.ndarray, flow: Flow) -> None:
        self.arb: Any = import_flint().arb
        self.matrix: Any = import_flint().arb_mat
        self.flow, self.beta = flow, self.arb(flow.beta)
        place = {int(state): index for index, state in enumerate(flow.states)}
        self.discount = ball(Fraction(mdp.discount))
        self.start = [(1 - self.discount) * self.arb(float(mdp.initial[state])) for state in flow.states]
        self.owner = [int(state) for state in flow.owner]
        self.law = [self.arb(float(mass)) for mass in flow.law]
        self.rewards = [self.arb(float(reward)) for reward in flow.rewards]
        self.steps: list[dict[int, Any]] = []
        for pair, owner in zip(flow.pairs, self.owner, strict=True):
            row = pair_row(mdp, int(pair))
            step = {
                place[t]: self.discount * ball(Fraction(n, row.denominator))
                for t, n in zip(row.columns, row.numerators, strict=True)
                if n
            }
            step[owner] = step.get(owner, self.arb(0)) - 1
            self.steps.append(step)
        unused = np.ones(behavior.size, dtype=np.bool_)
        unused[flow.pairs] = False
        spare = sum((Fraction(float(mass)) for mass in behavior.ravel()[unused]), start=Fraction(0))
        self.ratio, self.conjugate = formulas(flow.divergence, self.arb)
        self.pole = self._pole()
        self.constant = self.beta * ball(spare) * self.conjugate(self.arb("-inf")) if spare else self.arb(0)

    def enclose(self, values: np.ndarray) -> Enclosure | None:
        """Both sides at the V that Newton's method ends at; None if it leaves the domain or balls cannot tell."""
        current = self._inside([self.arb(float(value)) for value in values])
        previous = None
        for _ in range(_STEPS):
            ratios = [self.ratio(y) for y in self._arguments(current)]
            gradient = self._gradient(ratios)
            size = max(abs(entry.mid()) for entry in gradient)  # not floats: saturated ratios need less than those hold
            if size == 0 or (previous is not None and previous < self.arb(2) ** -128 and 4 * size > previous):
                break
            previous = size
            try:
                moves = self._hessian(ratios).solve(self.matrix([[entry] for entry in gradient])).mid()
            except ZeroDivisionError:
                return None
            current = self._moved(current, [moves[s, 0] for s in range(len(current))])
        y = self._arguments(current)
        law, beta = self.law, self.beta
        mean = sum((mass * self.conjugate(x) for mass, x in zip(law, y, strict=True)), start=self.arb(0))
        dual = sum((m * v for m, v in zip(self.start, current, strict=True)), start=beta * mean) + self.constant
        lower = self._objective([self.ratio(x) for x in y])
        if not (dual.is_finite() and lower is not None and lower.is_finite()):
            return None
        return Enclosure((end(lower, "lower"),), (end(dual, "upper"),))

    def _pole(self) -> Any:
        """f'(inf) of FD-01, None where it is infinite."""
        match self.flow.divergence:
            case JensenShannon():
                return self.arb(2).log()
            case Hellinger() | ReverseKL():
                return self.arb(1)
        return None

    def _arguments(self, values: list[Any]) -> list[Any]:
        """delta_V / beta."""
        pairs = zip(self.rewards, self.steps, strict=True)
        return [(r + sum((b * values[t] for t, b in step.items()), self.arb(0))) / self.beta for r, step in pairs]

    def _inside(self, values: list[Any]) -> list[Any]:
        """The values, raised together if an argument stands beyond the pole."""
        if self.pole is None:
            return values
        excess = max(y.upper() for y in self._arguments(values)) - self.pole
        if excess < 0:
            return values
        # Next to the pole Newton's steps double the distance at best: as far inside as they were outside.
        shift = (2 * excess + self.arb(2) ** -60) * self.beta / (1 - self.discount)
        return [(value + shift).mid() for value in values]

    def _moved(self, values: list[Any], moves: list[Any]) -> list[Any]:
        """A full step, or a share of it that keeps below the pole."""
        share = self.arb(1)
        for _ in range(200):
            moved = [(value - share * move).mid() for value, move in zip(values, moves, strict=True)]
            if self.pole is None or all(y < self.pole for y in self._arguments(moved)):
                return moved
            share = share / 2
        return values

    def _gradient(self, ratios: list[Any]) -> list[Any]:
        """(1 - gamma) mu0 + B^T (D w): what the flow lacks."""
        total = list(self.start)
        for law, ratio, step in zip(self.law, ratios, self.steps, strict=True):
            for t, b in step.items():
                total[t] = total[t] + law * ratio * b
        return total

    def _hessian(self, ratios: list[Any]) -> Any:
        """B^T diag(D (f*)'') B / beta."""
        size = len(self.start)
        total = self.matrix(size, size)
        for law, ratio, step in zip(self.law, ratios, self.steps, strict=True):
            weight = (law * self._slope(ratio) / self.beta).mid()
            for t, b in step.items():
                for u, c in step.items():
                    total[t, u] = total[t, u] + weight * b * c
        for t in range(size):
            if total[t, t] == 0:  # nothing moves where all ratios are clipped, and no flow misses it
                total[t, t] = self.arb(1)
        return total.mid()

    def _slope(self, ratio: Any) -> Any:
        """(f*)'' as a function of the ratio, from FD-01; zero where a ratio is clipped."""
        match self.flow.divergence:
            case JensenShannon():
                return ratio * (1 + ratio)
            case FermiDirac() | TwoSidedFermiDirac() as logistic:
                m, top = self.arb(logistic.smallest_ratio), self.arb(logistic.largest_ratio)
                return (ratio - m) * ((top - ratio) / (top - m))
            case Hellinger():
                return 2 * ratio * ratio.sqrt()
            case ReverseKL():
                return ratio * ratio
            case PearsonChi2():
                return self.arb(int(ratio > 0))
            case Power(alpha=alpha):
                return alpha * ratio ** (1 - 1 / self.arb(alpha)) if ratio > 0 else self.arb(0)
        return ratio

    def _objective(self, ratios: list[Any]) -> Any:
        """sum d r - beta E_D f(d/D) for the occupancy of the policy that the ratios make; None if it has none."""
        size = len(self.start)
        masses = [(law * ratio).mid() for law, ratio in zip(self.law, ratios, strict=True)]
        visits = [self.arb(0)] * size
        for owner, mass in zip(self.owner, masses, strict=True):
            visits[owner] = visits[owner] + mass
        data = [self.arb(0)] * size
        for owner, law in zip(self.owner, self.law, strict=True):
            data[owner] = data[owner] + law
        # Where all ratios of a state are clipped any policy will do: that of the data.
        policy = [
            mass / visits[owner] if visits[owner] > 0 else law / data[owner]
            for owner, mass, law in zip(self.owner, masses, self.law, strict=True)
        ]
        system = self.matrix(size, size)
        for owner, share, step in zip(self.owner, policy, self.steps, strict=True):
            for t, b in step.items():
                system[t, owner] = system[t, owner] - share * b
        try:
            found = system.solve(self.matrix([[mass] for mass in self.start]))
        except ZeroDivisionError:
            return None
        total = self.constant
        for owner, share, law, reward in zip(self.owner, policy, self.law, self.rewards, strict=True):
            mass = found[owner, 0] * share
            total = total + mass * reward - self.beta * law * self._price(mass / law)
        return total

    def _price(self, ratio: Any) -> Any:
        """f of FD-01, normalised, at ratios that are positive; where they are clipped balls may reach below zero."""
        match self.flow.divergence:
            case JensenShannon():
                return ratio * ratio.log() - (ratio + 1) * ((ratio + 1) / 2).log()
            case FermiDirac() | TwoSidedFermiDirac() as logistic:
                m, top = self.arb(logistic.smallest_ratio), self.arb(logistic.largest_ratio)
                above = (top - ratio) * ((top - ratio) / (top - 1)).log()
                return (ratio - m) * ((ratio - m) / (1 - m)).log() + above
            case Hellinger():
                return (ratio.sqrt() - 1) ** 2
            case ReverseKL():
                return ratio - 1 - ratio.log()
            case PearsonChi2():
                return (ratio - 1) ** 2 / 2
            case Power(alpha=alpha):
                exponent = 1 + 1 / self.arb(alpha)
                return (power(ratio, exponent) - 1) / exponent - ratio + 1
        return ratio * ratio.log() - ratio + 1
