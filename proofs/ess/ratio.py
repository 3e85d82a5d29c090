"""The ratio exp(delta / beta) itself: its sensitivity to beta and delta, and its normaliser (ESS-08, ESS-12)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import sympy
from flint import fmpq

from proofs import balls, instances
from proofs.arithmetic import exp
from proofs.claim import claim
from proofs.ess.samples import shown, total
from proofs.evidence import Answer, Case, every
from proofs.exact import LogNumber, Process
from proofs.symbolic import equal, positive, real, sign
from proofs.verdict import TRUE, true_if


@claim(
    "ESS-08",
    source="001 theoretical analysis, §1",
    statement="∂_β exp(δ/β) = −(δ/β²) exp(δ/β), so at smaller β any change of δ moves the occupancy ratio more.",
    formula="∂_β e^{δ/β} = −(δ/β²) e^{δ/β};  ∂_δ e^{δ/β} = e^{δ/β}/β decreases in β",
    stated={"formula": TRUE, "conclusion": true_if("δ > −β")},
    corrected="The sensitivity of the logarithm of the ratio, ∂_δ log e^{δ/β} = 1/β, decreases in β for every δ.",
    method="S",
    derivation=(
        "The chain rule gives the derivative in β as printed. It is not the sensitivity to δ, which is e^{δ/β}/β.",
        "∂_β (e^{δ/β}/β) = −e^{δ/β} (δ + β)/β³: negative iff δ > −β.",
        "At δ = −2: e^{−2} = 0.1353 at β = 1, and 2e^{−4} = 0.0366 at β = ½. The smaller β reacts less.",
    ),
    twins={
        "sign of the derivative": {"slope": lambda d, b: d / b**2 * exp(d / b)},
        "1/β in the place of 1/β²": {"slope": lambda d, b: -d / b * exp(d / b)},
        "the sensitivity of the logarithm": {"sensitivity": lambda d, b: 1 / b},
        "the sensitivity times β": {"sensitivity": lambda d, b: exp(d / b)},
        "logarithm with 1/β²": {"logarithmic": lambda b: 1 / b**2},
    },
)
def ess_08(
    case: Case,
    *,
    slope: Any = lambda d, b: -d / b**2 * exp(d / b),
    sensitivity: Any = lambda d, b: exp(d / b) / b,
    logarithmic: Any = lambda b: 1 / b,
) -> None:
    """The printed derivative; the sign of the sensitivity's derivative on both sides of delta = -beta."""
    (beta, p), (delta,) = positive("beta p"), real("delta")
    ratio = sympy.exp(delta / beta)
    case.claimed("S", "∂_β e^{δ/β} is as printed", equal(sympy.diff(ratio, beta), slope(delta, beta)), part="formula")

    part = "conclusion"
    change = sympy.diff(sensitivity(delta, beta), beta)
    two = [sympy.N(sensitivity(sympy.Integer(-2), b), 4) for b in (sympy.Integer(1), sympy.Rational(1, 2))]
    case.within(
        "S", "the sensitivity decreases in β where δ = −β + p, p > 0", sign(change.subs(delta, p - beta), -1), part=part
    )
    case.outside(
        "S",
        "it decreases where δ = −β − p",
        sign(change.subs(delta, -p - beta), -1),
        f"δ=−2: sensitivity {two[0]} at β=1, {two[1]} at β=1/2",
        part=part,
    )
    log_sensitivity = sympy.diff(sympy.log(ratio), delta)
    case.corrected("S", "∂_δ log e^{δ/β} = 1/β", equal(log_sensitivity, logarithmic(beta)), part=part)
    case.corrected("S", "which decreases in β for every δ", sign(sympy.diff(log_sensitivity, beta), -1), part=part)


@dataclasses.dataclass(frozen=True)
class Solved:
    """A decision process whose un-normalised dual (beta = 1) is solved exactly by `values`."""

    process: Process
    data: Mapping[tuple[int, int], fmpq]
    values: tuple[Any, ...]

    def ratios(self, values: Any, ratio: Any) -> dict[tuple[int, int], Any]:
        """ratio(delta_V) of every pair."""
        return {pair: ratio(self.process.td_error(*pair, values)) for pair in self.data}

    def mass(self, values: Any, ratio: Any) -> Any:
        """The total mass of D ratio(delta_V)."""
        found = self.ratios(values, ratio)
        return total([self.data[pair] * found[pair] for pair in self.data])

    def feasible(self, values: Any, ratio: Any) -> Answer:
        """Whether D ratio(delta_V) is an occupancy: mass 1, and no flow residual in any state."""
        found = self.ratios(values, ratio)
        occupancy = {pair: self.data[pair] * found[pair] for pair in self.data}
        residual = self.process.flow_residual(occupancy)
        mass = total(list(occupancy.values()))
        return Answer(
            mass == 1 and all(r == 0 for r in residual),
            f"mass {balls.short(mass)}, flow residuals {shown(list(residual))}",
        )


def solved(count: int, seed: int) -> list[Solved]:
    """Processes with rewards made for a chosen optimum: r = log(d/D) - gamma E V(s') + V(s), d and D occupancies."""
    found = []
    for base, policy, other in instances.processes(count, seed=seed):
        data, target = base.occupancy(other), base.occupancy(policy)
        values = base.values(policy)
        flat = dataclasses.replace(base, rewards=tuple(tuple(fmpq(0) for _ in row) for row in base.rewards))
        rewards = tuple(
            tuple(LogNumber.log(target[s, a] / data[s, a]) - flat.td_error(s, a, values) for a in range(len(row)))
            for s, row in enumerate(base.rewards)
        )
        found.append(Solved(dataclasses.replace(base, rewards=rewards), data, values))
    return found


@claim(
    "ESS-12",
    source=("001 theoretical analysis, §1", "001 compressed paragraph"),
    statement="The occupancy ratio of KL-regularised ROER is exp(δ/β), with equality.",
    formula="d*/d_D = exp(δ/β)",
    stated=true_if("δ = δ_{V*} with V* the optimum of the un-normalised dual (generator w log w − w + 1)"),
    corrected="For any other V: d*/d_D ∝ exp(δ/β) at best; adding c to V multiplies the mass by e^{−(1−γ)c/β}.",
    method="Q",
    derivation=(
        "The un-normalised dual is min_V (1−γ)E_{μ0}V + β E_D[e^{δ_V/β} − 1]. Its derivative in V(s) is minus the flow "
        "residual of D e^{δ_V/β} at s.",
        "So at its optimum V*, D e^{δ/β} is an occupancy, and has mass 1 without being divided by anything.",
        "δ_{V+c} = δ_V − (1−γ)c: any constant in V scales the mass, and V is only learned approximately.",
        "exp(δ/β) = (1, 3) on D = (½, ½) has mass 2; divided by it, (½, 3/2) is the ratio of the relaxed problem.",
    ),
    twins={
        "sign of δ": {"ratio": lambda delta: exp(-delta)},
        "factor 2": {"ratio": lambda delta: exp(2 * delta)},
        "sign of c": {"factor": lambda discount, c: exp((1 - discount) * c)},
        "discount in the place of 1 − discount": {"factor": lambda discount, c: exp(-discount * c)},
    },
)
def ess_12(case: Case, *, ratio: Any = exp, factor: Any = lambda discount, c: exp(-(1 - discount) * c)) -> None:
    """Processes whose dual is solved exactly; the same with another V; a law on which the normaliser is missing."""
    family = solved(9, seed=12)
    case.within(
        "Q",
        "D exp(δ/β) is an occupancy of mass 1 at the optimum of the dual",
        every(item.feasible(item.values, ratio) for item in family),
    )
    data, seen = (fmpq(1, 2), fmpq(1, 2)), (ratio(LogNumber.of(0)), ratio(LogNumber.log(3)))
    mass = total([d * w for d, w in zip(data, seen, strict=True)])
    case.outside("Q", "exp(δ/β) has mass 1 for δ/β = (0, log 3)", mass == 1, f"exp(δ/β) = {shown(seen)}: mass {mass}")
    one = family[0]
    shift = LogNumber.log(2) / (1 - one.process.discount)
    moved = [v + shift for v in one.values]
    case.outside("Q", "D exp(δ/β) is an occupancy when c is added to V*", one.feasible(moved, ratio), f"c = {shift}")

    def scaled(item: Solved) -> Answer:
        c = LogNumber.log(2) * 10
        values = [v + c for v in item.values]
        seen, expected = item.mass(values, exp), factor(item.process.discount, c)
        return Answer(seen == expected, f"γ={item.process.discount}, c={c}: {balls.short(seen)} and {expected}")

    case.corrected("Q", "adding c to V multiplies the mass by e^{−(1−γ)c/β}", every(scaled(item) for item in family))
    normalised = [w / mass for w in seen]
    case.corrected(
        "Q",
        "divided by its mean it is a ratio",
        total([d * w for d, w in zip(data, normalised, strict=True)]) == 1,
        shown(normalised),
    )
